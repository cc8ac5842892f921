import os
from concurrent.futures import wait

import pytest

from tests.components.helpers import make


def test_in_process_runs_each_call_at_once_here():
    seen = []
    with make("executor", "in_process", jobs=4) as executor:
        futures = [executor.submit(lambda i: (seen.append(i), os.getpid()), i) for i in range(3)]
        assert seen == [0, 1, 2]
    assert wait(futures).not_done == set()
    assert {future.result()[1] for future in futures} == {os.getpid()}


def test_in_process_keeps_an_error_for_who_asks():
    executor = make("executor", "in_process", jobs=1)
    future = executor.submit(divmod, 1, 0)
    with pytest.raises(ZeroDivisionError):
        future.result()
    assert list(executor.map(pow, [2, 3], [2, 2])) == [4, 9]


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_in_process_leaves_an_end_to_its_caller(stop):
    def end():
        raise stop

    with pytest.raises(stop):
        make("executor", "in_process", jobs=1).submit(end)
