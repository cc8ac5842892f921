"""Tests of process state: every run starts from the same, and changes by a component are undone and reported."""

from __future__ import annotations

import os
import re
import signal
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import harness
from harness.results.record import Record
from harness.system.process_state import StateWarning, as_new, ignore, kept, preserved, states
from harness.system.session import Session
from harness.system.shared_state import CALLERS, GENERATORS, current
from tests.helpers.planted import planted

HEADER = """
import locale, logging, os, random, signal, sys, tempfile, warnings
import numpy as np, torch
"""
# A statement that changes each state.
CHANGES = {
    "the working folder": "os.chdir(tempfile.gettempdir())",
    "the environment variables": "os.environ['PLANTED'] = 'a secret'",
    "the search path of modules": "sys.path.insert(0, '/planted')",
    "the locale": "locale.setlocale(locale.LC_NUMERIC, 'C.UTF-8')",
    "the locale's characters": "locale.setlocale(locale.LC_CTYPE, 'C')",
    "the permissions of new files": "os.umask(0o013)",
    "the handlers of signals": "signal.signal(signal.SIGUSR1, print)",
    "the filters of warnings": "warnings.simplefilter('ignore', BytesWarning)",
    "the hooks for uncaught exceptions": "sys.excepthook = print",
    "the levels and handlers of logging": "logging.getLogger().setLevel(5)",
    "the limit of recursion": "sys.setrecursionlimit(5432)",
    "numpy's handling of errors": "np.seterr(all='raise')",
    "torch's default dtype": "torch.set_default_dtype(torch.float64)",
    "torch's default device": "torch.set_default_device('meta')",
    "whether torch records gradients": "torch.set_grad_enabled(False)",
    "whether torch is deterministic": "torch.use_deterministic_algorithms(True)",
    "torch's precision of float32 products": "torch.set_float32_matmul_precision('medium')",
    "torch's number of threads": "torch.set_num_threads(3)",
    "torch's check for anomalies": "torch.autograd.set_detect_anomaly(True)",
    "torch's autocast": "torch.set_autocast_enabled('cpu', True)",
    "torch's settings of cuDNN and oneDNN": "torch.backends.mkldnn.enabled = False",
    "torch's choice of attention kernels": "torch.backends.cuda.enable_flash_sdp(False)",
    "whether denormal numbers are kept": "torch.set_flush_denormal(True)",
    "Python's random generator": "random.random()",
    "numpy's random generator": "np.random.rand()",
    "torch's random generators": "torch.rand(1)",
}
NAMES = list(CHANGES)
TOLD = [name for name in NAMES if name not in GENERATORS]
PLUGIN = f"""
CHANGES = {list(CHANGES.values())!r}


def change(number):
    if number >= 0:
        exec(CHANGES[number])


change({NAMES.index("torch's default dtype")})


class Descent(torch.optim.SGD):
    def step(self, closure=None):
        super().step(closure)
        change(self.defaults["at_step"])


@harness.optimizer
def rude(params, *, lr: float = 0.1, number: int = -1, at_step: int = -1):
    \"\"\"Plain descent.\"\"\"
    change(number)
    made = Descent(params, lr)
    made.defaults["at_step"] = at_step
    return made
"""


def change(name: str) -> None:
    exec(HEADER + CHANGES[name], {})


@pytest.fixture(autouse=True)
def put_back() -> Iterator[None]:
    with preserved():
        yield


@pytest.fixture(scope="module")
def plugin(usual: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:  # libraries are imported
    with planted(tmp_path_factory.mktemp("site"), "rude", HEADER + PLUGIN, "rude"):
        yield


def test_each_state_has_a_planted_change() -> None:
    assert list(states()) == NAMES


@pytest.mark.parametrize("name", TOLD)
def test_change_is_undone_and_reported(name: str) -> None:
    before = states()
    messages: list[str] = []
    with kept(messages.append, by="optimizer rude"):
        change(name)
        assert states()[name] != before[name]
    assert states() == before
    (line,) = messages
    assert line.startswith(f"optimizer rude changed {name}")
    assert line.endswith("; it was put back")
    assert "secret" not in line


def test_unchanged_state_is_not_reported() -> None:
    messages: list[str] = []
    with kept(messages.append):
        pass
    assert messages == []


def test_change_is_reported_once_by_the_innermost() -> None:
    messages: list[str] = []
    with kept(messages.append), kept(ignore), kept(by="loss a"):
        os.umask(0o013)
    assert messages == []
    with kept(messages.append), kept(by="loss a"):
        os.umask(0o013)
    assert len(messages) == 1
    with pytest.warns(StateWarning, match="loss a changed"), kept(by="loss a"):
        os.umask(0o013)


def test_signal_handlers_are_kept_when_the_user_ends_the_command() -> None:
    """A second signal must not disturb the recording of what the first one ended."""

    def end() -> None:
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), as_new(), kept(ignore):
        end()
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_IGN


@pytest.mark.parametrize("name", NAMES)
def test_run_starts_as_in_a_new_process(name: str) -> None:
    start = (current() | GENERATORS)[name].start
    change(name)
    caller = states()
    with as_new():
        inside = states()
        assert inside[name] == (caller[name] if start is CALLERS else start)
        for other in NAMES:
            change(other)
    assert states() == caller


def run(*words: str) -> Record:
    return harness.run([*words, "optimizer=sgd", "optimizer.lr=0.1", "epochs=1", "rerun=true", "diagnostic=[]"])


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("usual"))
        return run().metrics


@pytest.mark.parametrize("name", NAMES)
def test_metrics_do_not_depend_on_earlier_state(name: str, usual: dict[str, Any], workdir: Path) -> None:
    change(name)
    if name == "the working folder":
        os.chdir(workdir)
    before = states()
    record = run()
    assert (record.status, record.warnings) == ("completed", [])
    assert record.metrics == usual
    assert states() == before


@pytest.mark.parametrize("path", ["alone", "fused"])
@pytest.mark.parametrize("when", ["number", "at_step"])
def test_other_runs_are_not_affected(path: str, when: str, plugin: None, workdir: Path) -> None:
    """Alone and in a stack: each run changes one state, and the last changes nothing."""
    names = NAMES if path == "alone" else TOLD  # a draw from a shared generator prevents a stack
    words = ["optimizer=rude", "epochs=1", f"path={path}", "executor=in_process", "diagnostic=[]"]
    before = states()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StateWarning)  # of the plugin's import, if it comes first
        (alone,) = harness.sweep([*words, "study=one", f"optimizer.{when}=-1"])
        numbers = ",".join(str(i) for i in (*map(NAMES.index, names), -1))
        *rude, last = harness.sweep([*words, "study=all", f"optimizer.{when}={numbers}"])
    assert states() == before
    assert (alone.status, alone.error) == ("completed", None)
    assert (last.status, last.error) == ("completed", None)
    assert last.metrics == alone.metrics
    for name, record in zip(names, rude, strict=True):
        lines = [
            line for line in record.warnings if re.search(rf" changed {re.escape(name)}(;| from| \(| [A-Z])", line)
        ]
        assert len(lines) == (name not in GENERATORS), (name, record.warnings, record.error)
        if when == "number":
            assert record.metrics == alone.metrics


def test_change_by_a_plugins_import_is_reported(plugin: None, workdir: Path) -> None:
    from harness.registry.registry import REGISTRY

    sys.modules.pop("rude", None)
    with (
        Session(),
        pytest.warns(StateWarning, match=r"the import of plugin rude \(rude\) changed torch's default dtype from"),
    ):
        REGISTRY.get("optimizer", "rude")
    assert torch.get_default_dtype() == torch.float32
