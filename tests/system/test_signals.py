"""Tests that SIGTERM and SIGHUP are interrupts that name their signal."""

from __future__ import annotations

import signal

import pytest

from harness.system.signals import ENDING, Terminated, reason, terminable


@pytest.mark.parametrize("number", ENDING)
def test_signal_is_an_interrupt_and_its_handler_is_restored(number: signal.Signals) -> None:
    before = signal.signal(number, signal.SIG_DFL)  # nohup, for one, ignores SIGHUP
    try:
        with pytest.raises(Terminated) as caught, terminable():
            signal.raise_signal(number)
        assert reason(caught.value) == (number.name, f"ended by {number.name}")
        assert signal.getsignal(number) is signal.SIG_DFL
    finally:
        signal.signal(number, before)


def test_reason_of_ctrl_c() -> None:
    assert reason(KeyboardInterrupt()) == ("KeyboardInterrupt", "interrupted by the user")
