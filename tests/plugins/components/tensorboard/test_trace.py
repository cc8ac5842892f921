import gzip
import json

import pytest

import harness
from harness_components.tensorboard.trace import SKIPPED


@pytest.mark.parametrize("path", ["alone", "fused"])
def test_requested_steps_are_traced(path, workdir):
    record = harness.run(
        ["epochs=2", f"path={path}", "logger.tensorboard.profile=5", "logger.tensorboard.details=none"]
    )
    events = json.loads(gzip.decompress((record.folder / "trace.json.gz").read_bytes()))["traceEvents"]
    steps = [e for e in events if e.get("name", "").startswith("Optimizer.step#")]
    assert len(steps) in (5, 6), "the one in whose end the trace begins may be seen too"
    assert "trace of 5 optimizer steps" in (record.folder / "log.txt").read_text()


def test_short_run_is_not_traced_and_the_next_is(workdir):
    few = harness.run(["epochs=1", "batch_size=1000", "logger.tensorboard.profile=5"])
    assert few.time["steps"] < SKIPPED
    assert f"no trace: the run ended within {SKIPPED} optimizer steps" in (few.folder / "log.txt").read_text()
    assert not (few.folder / "trace.json.gz").exists()
    enough = harness.run(["epochs=2", "batch_size=200", "logger.tensorboard.profile=500"])
    assert "trace of 9 optimizer steps" in (enough.folder / "log.txt").read_text()


def test_one_member_of_a_stack_is_traced(workdir):
    runs = harness.sweep(["epochs=1", "seed=0,1", "path=fused", "jobs=1", "logger.tensorboard.profile=4"])
    said = [(run.folder / "log.txt").read_text() for run in runs]
    assert sum("trace of 4 optimizer steps" in text for text in said) == 1
    assert sum("another run of this process is traced" in text for text in said) == 1
