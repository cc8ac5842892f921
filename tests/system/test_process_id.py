import os

import psutil

from harness.system import process_id


def test_process_is_identified_by_its_start_time():
    mine = process_id.started(os.getpid())
    assert mine == process_id.started(os.getpid()) > 0
    assert process_id.started(2**31 - 1) is None
    assert abs(process_id._started_elsewhere(os.getpid()) - psutil.Process().create_time()) < 1
    assert process_id._started_elsewhere(2**31 - 1) is None
    assert process_id.here()["boot"]
