"""Tests that every benchmark of `conf/experiment` is documented, runs and stays as published."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

import harness
from harness.config.composition import conf_dir
from harness.config.overrides import expand

FILES = {path.stem: path for path in sorted((conf_dir() / "experiment").glob("benchmark_*.yaml"))}

# The content of each published version, without comments. A changed benchmark is another version under another study.
PUBLISHED = {
    "benchmark_activations_v1": "73d7ca298e2f1408",
    "benchmark_initializers_v1": "327da647e507fd39",
    "benchmark_optimizers_v1": "90bb9e3a9baea3eb",
    "benchmark_regularizers_v1": "347d0abed1ba5bc8",
}


def body(name: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(FILES[name].read_text(encoding="utf-8"))
    return content


def declared(name: str) -> dict[str, list[str]]:
    """Return the swept values of each key."""
    params = body(name)["hydra"]["sweeper"]["params"]
    return {key: [job[0] for job in expand([f"{key}={value}"])] for key, value in params.items()}


def test_benchmarks_are_found() -> None:
    subjects = ("activations", "initializers", "optimizers", "regularizers")
    assert {f"benchmark_{subject}" for subject in subjects} <= set(FILES)


@pytest.mark.parametrize("name", FILES)
def test_header_states_question_version_and_how_to_join(name: str) -> None:
    lines = FILES[name].read_text(encoding="utf-8").splitlines(keepends=True)
    header = "".join(itertools.takewhile(lambda line: line.startswith("#"), lines))
    subject = name.removeprefix("benchmark_").removesuffix("s")
    version = re.search(r"version (\d+): .*\?", header, re.DOTALL)
    assert version is not None
    assert body(name)["study"] == f"{name}_v{version[1]}"
    for part in (
        f"#   harness -m experiment={name}\n",
        f"#   harness report {body(name)['study']} --by {subject} ",
        "--baseline ",
        "--margin ",
        f"{subject}+=",
        "# Held fixed, and why:\n",
        "# This file does not change.",
    ):
        assert part in header, part


@pytest.mark.parametrize("name", FILES)
def test_benchmark_has_six_data_sets_and_ten_seeds(name: str) -> None:
    swept = declared(name)
    assert len(swept["data"]) >= 6
    assert len(swept["seed"]) >= 10
    one_search = "tune" in body(name) and not body(name)["tune"].get("per_seed")  # sees one split
    assert body(name)["split"]["seed"] == (0 if one_search else "${seed}")


@pytest.mark.parametrize("name", FILES)
def test_published_version_is_unchanged(name: str) -> None:
    content = body(name)
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
    assert PUBLISHED[content["study"]] == digest, "raise the version in the header and in the study, and add it here"


@pytest.mark.filterwarnings(r"ignore:regularizer=\[\]. no setting to search")  # the baseline
@pytest.mark.parametrize("name", FILES)
def test_each_value_of_the_benchmark_trains(name: str, workdir: Path) -> None:
    swept = {key: values for key, values in declared(name).items() if key != "seed"}
    most = max(len(values) for values in swept.values())
    cycled = {key: list(itertools.islice(itertools.cycle(values), most)) for key, values in swept.items()}
    words = [f"{key}=" + ",".join(value.partition("=")[2] for value in values) for key, values in cycled.items()]
    words += [f"zip=[{','.join(swept)}]", "seed=0", "epochs=1", "executor=in_process"]
    if "tune" in body(name):
        words += ["tune.budget=1", "tune.seeds=1"]
    records = harness.sweep([f"experiment={name}", *words])
    assert [record.status for record in records] == ["completed"] * most
    assert {record.choices["data"] for record in records} == {word.partition("=")[2] for word in swept["data"]}
