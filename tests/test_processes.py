import os

import psutil

from harness import processes


def test_when_a_process_started():
    mine = processes.started(os.getpid())
    assert mine == processes.started(os.getpid()) > 0
    assert processes.started(2**31 - 1) is None
    assert abs(processes._started_elsewhere(os.getpid()) - psutil.Process().create_time()) < 1
    assert processes._started_elsewhere(2**31 - 1) is None
    assert processes.here()["boot"]
