"""Tests of a run's folder: the files written when a run begins."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from harness.config.composition_cache import NAME, TASK
from harness.results.record import Record, read
from harness.results.run_dir import log_files, open_folder
from harness.system.errors import reraise_interrupt

LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(codec="utf-8"))
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab_", min_size=1), inner, max_size=3)
)


def opened(folder: Path, config: dict[str, Any], overrides: list[str], hydra: str = "") -> Record:
    record = Record("0" * 12, "a", "s", config=config, folder=folder)
    open_folder(record, overrides, hydra)
    return record


@given(st.dictionaries(st.text("abc", min_size=1), VALUES, max_size=4))
def test_config_survives_its_file(tmp_path_factory: pytest.TempPathFactory, config: dict[str, Any]) -> None:
    folder = tmp_path_factory.mktemp("run")
    for _ in range(2):  # the second time from the cache
        opened(folder, config, [])
        assert yaml.safe_load((folder / ".hydra" / "config.yaml").read_text()) == (config or None)


def test_equal_numbers_keep_their_types(tmp_path: Path) -> None:
    for value, text in ((1, "1"), (1.0, "1.0"), (True, "true"), (math.inf, ".inf")):
        opened(tmp_path, {"a": value}, [])
        assert (tmp_path / ".hydra" / "config.yaml").read_text() == f"a: {text}\n"


def test_opened_folder_has_status_running_and_its_overrides(tmp_path: Path) -> None:
    overrides = ["seed=1", "study='it''s'", "name='@name@'", '"x"=y']
    opened(tmp_path, {"seed": 1}, overrides, f"hydra: {{task: '{TASK}', name: '{NAME}'}}")
    record = read(tmp_path)
    assert record is not None
    assert (record.status, record.config) == ("running", {"seed": 1})
    assert yaml.safe_load((tmp_path / ".hydra" / "overrides.yaml").read_text()) == overrides
    hydra = yaml.safe_load((tmp_path / ".hydra" / "hydra.yaml").read_text())["hydra"]
    assert hydra == {"task": overrides, "name": ",".join(overrides)}


def test_files_of_an_earlier_attempt_are_removed(tmp_path: Path) -> None:
    (tmp_path / "weights.pt").touch()
    (tmp_path / "logs").mkdir()
    opened(tmp_path, {}, [])
    assert {path.name for path in tmp_path.iterdir()} == {".hydra", "record.json"}


@pytest.mark.parametrize("level", [logging.DEBUG, logging.INFO])
def test_log_has_caught_exceptions_at_debug_level(level: int, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(level, "harness"), log_files([tmp_path]):
        try:
            _ = 1 / 0
        except ZeroDivisionError as error:
            reraise_interrupt(error)
        logging.getLogger("harness").info("trained")
    said = (tmp_path / "log.txt").read_text()
    assert ("caught ZeroDivisionError: division by zero\nTraceback" in said) == (level == logging.DEBUG)
    assert "INFO harness: trained" in said
