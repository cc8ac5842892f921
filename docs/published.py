"""Write and check the published benchmarks, docs/benchmarks/.

    python docs/published.py write activations   tables, figures and runs of outputs/benchmark_activations_v1
    python docs/published.py check               train ten runs again, drawn at random, and compare

A page holds comments that name a report, `<!-- over: benchmark_x_v1 --by x -->`, up to `<!-- end -->`. `write` puts the
command and its table between them. The text around them is written by hand. `<!-- winners: lr -->` asks for the values
of a setting that tuning chose.
"""

from __future__ import annotations

import argparse
import csv
import io
import itertools
import os
import random
import re
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

import harness
from harness.config.composition import conf_dir

FOLDER = Path(__file__).resolve().parent / "benchmarks"
MEASURED = ("test/accuracy", "test/loss")
MARKS = {"better": " ▲", "worse": " ▼", "equal": " =", "not settled": "", "": ""}
BLOCK = re.compile(r"<!-- (?P<kind>over|each|cells|winners): (?P<report>[^>]*?) -->\n.*?<!-- end -->", re.DOTALL)
_BRACES = re.compile(r"\{([^{}]*)\}")

Row = dict[str, str]


def names() -> list[str]:
    """Return the published benchmarks: those with a file of runs."""
    return sorted(path.stem for path in FOLDER.glob("*.csv"))


def experiment(name: str) -> dict[str, Any]:
    """Return the content of a benchmark's file."""
    path = conf_dir() / "experiment" / f"benchmark_{name}.yaml"
    content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return content


def runs(name: str) -> list[Row]:
    """Return the published runs of a benchmark."""
    with (FOLDER / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def overrides(name: str, run: Row) -> list[str]:
    """Return the overrides that train a published run again, in a stack if it was trained in one."""
    keys = list(experiment(name)["hydra"]["sweeper"]["params"])
    tuned = ["tune.budget=null", *shlex.split(run["settings"])] if "settings" in run else []
    return [f"experiment=benchmark_{name}", *(f"{key}={run[key]}" for key in keys), *tuned, f"path={run['path']}"]


def command(name: str, run: Row) -> str:
    """Return the command that trains a published run again."""
    return shlex.join(["harness", "-m", *overrides(name, run), "study=again"])


def _text(value: Any) -> str:
    return f"[{','.join(value)}]" if isinstance(value, list) else f"{value}"


def _write_runs(name: str) -> None:
    content = experiment(name)
    keys = list(content["hydra"]["sweeper"]["params"])
    rows = []
    for record in harness.load(content["study"]):
        key_values = {key: _text(record.swept_values[key]) for key in keys}
        tuned = {}
        if "tune" in content:
            tuned["settings"] = " ".join(f"{key}={value}" for key, value in record.tuning.get("settings", {}).items())
        measured = {metric: repr(record.metrics.get(metric, record.status)) for metric in MEASURED}
        rows.append(key_values | tuned | {"path": record.cohort["path"]} | measured)
    order = {key: list(dict.fromkeys(row[key] for row in rows)) for key in keys if key != "seed"}
    rows.sort(key=lambda row: (*(order[key].index(row[key]) for key in order), int(row["seed"])))
    with (FOLDER / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _report(words: list[str]) -> list[Row]:
    line = [sys.executable, "-m", "harness", "report", *words, "--csv"]
    done = subprocess.run(line, check=True, capture_output=True, text=True)
    return list(csv.DictReader(io.StringIO(done.stdout)))


def _number(text: str, signed: bool = False) -> str:
    return f"{float(text):{'+' if signed else ''}.4f}".replace("0.", ".", 1)


def _table(header: list[str], rows: list[list[str]]) -> str:
    right = ["---", *(["---:"] * (len(header) - 1))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, right, *rows))


def _over(words: list[str]) -> str:
    """The arms over data sets."""
    rows = [row for row in _report(words) if not row["data"]]
    lines = []
    for row in rows:
        interval = f"[{_number(row['low'], True)}, {_number(row['high'], True)}]" if row["against"] else ""
        difference = f"{_number(row['estimate'], True)} {interval}" if row["against"] else "baseline"
        lines.append([row["arm"], _number(row["mean"]), difference, row["verdict"]])
    against = next(row["against"] for row in rows if row["against"])
    return _table(["arm", "mean accuracy", f"against {against}", "verdict"], lines)


def _each(words: list[str]) -> str:
    """The arms on each data set."""
    rows = _report(words)
    arms = [row["arm"] for row in rows if not row["data"]]
    found = {(row["arm"], row["data"]): row for row in rows}
    sets = list(dict.fromkeys(row["data"] for row in rows if row["data"]))
    cells = [
        [_number(row["mean"]) + MARKS[row["verdict"]] for row in (found[arm, data] for data in sets)] for arm in arms
    ]
    return _table(["arm", *sets], [[arm, *line] for arm, line in zip(arms, cells, strict=True)])


def columns(words: list[str]) -> dict[str, list[str]]:
    """Return the words of a report for each combination of the values in braces, `--where seed={0,1}`."""
    options = [values.split(",") for values in _BRACES.findall(" ".join(words))]
    found = {}
    for chosen in itertools.product(*options):
        text = " ".join(words)
        for value in chosen:
            text = _BRACES.sub(value, text, count=1)
        found[" ".join(chosen)] = text.split()
    return found


def _cells(words: list[str]) -> str:
    """The arms over data sets, for each combination of the values in braces."""
    found: dict[str, dict[str, str]] = {}
    for column, some in columns(words).items():
        rows = [row for row in _report(some) if not row["data"]]
        found[column] = {row["arm"]: _number(row["mean"]) + MARKS[row["verdict"]] for row in rows}
    arms = sorted(next(iter(found.values())))
    return _table(["arm", *found], [[arm, *(cells[arm] for cells in found.values())] for arm in arms])


def _winners(name: str, settings: list[str]) -> str:
    """The median over the seeds of settings that tuning chose for each arm on each data set."""
    by = name.removesuffix("s")
    chosen: dict[str, dict[str, list[float]]] = {}
    for run in runs(name):
        pairs = (word.partition("=") for word in shlex.split(run["settings"]))
        values = [float(value) for key, _, value in pairs if key.rpartition(".")[2] in settings]
        chosen.setdefault(run[by].strip("[]"), {}).setdefault(run["data"], []).extend(values)
    sets = list(next(iter(chosen.values())))
    lines = [[arm, *(f"{statistics.median(cells[data]):.2g}" for data in sets)] for arm, cells in chosen.items() if arm]
    return _table(["arm", *sets], lines)


def _fill(match: re.Match[str], name: str) -> str:
    words = match["report"].split()
    head = match[0].partition("\n")[0]
    if match["kind"] == "winners":
        return f"{head}\n\n{_winners(name, words)}\n\n<!-- end -->"
    table = {"over": _over, "each": _each, "cells": _cells}[match["kind"]](words)
    return f"{head}\n\n```bash\n{shown(words)}\n```\n\n{table}\n\n<!-- end -->"


def shown(words: list[str]) -> str:
    """Return the command that is shown above a table: of several columns, that of the first."""
    column, some = next(iter(columns(words).items()))
    line = f"harness report {' '.join(some)}"
    return f"{line}  # column {column}" if column else line


def write(name: str) -> None:
    """Write the runs, the tables and the figures of a benchmark."""
    _write_runs(name)
    page = FOLDER / f"{name}.md"
    text = page.read_text(encoding="utf-8")
    words = next(m["report"].split() for m in BLOCK.finditer(text) if m["kind"] in ("over", "each"))
    with tempfile.TemporaryDirectory() as folder:
        line = [sys.executable, "-m", "harness", "report", *words, "--figures", folder, "--format", "png"]
        subprocess.run(line, check=True, capture_output=True)
        for figure in re.findall(rf"\({name}-(\w+)\.png\)", text):
            shutil.copy(Path(folder) / f"{figure}.png", FOLDER / f"{name}-{figure}.png")
    page.write_text(BLOCK.sub(lambda match: _fill(match, name), text), encoding="utf-8")


def repeated(number: int, seed: int) -> Iterator[tuple[str, Row, dict[str, float]]]:
    """Train published runs again, drawn at random; yield command, published metrics and new metrics."""
    drawn = random.Random(seed)
    published = {name: runs(name) for name in names()}
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            for _ in range(number):
                name = drawn.choice(list(published))
                run = drawn.choice(published[name])
                (record,) = harness.sweep([*overrides(name, run), "study=again", "executor=in_process"])
                yield command(name, run), run, record.metrics
        finally:
            os.chdir(before)


def check(number: int, seed: int) -> int:
    """Print whether drawn runs have equal metrics when trained again; return the number of those that differ."""
    different = 0
    for line, run, metrics in repeated(number, seed):
        equal = all(repr(metrics.get(metric)) == run[metric] for metric in MEASURED)
        different += not equal
        found = "equal" if equal else f"got {metrics.get('test/accuracy')}"
        print(f"test/accuracy {run['test/accuracy']}  {found}  {line}", flush=True)
    return different


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    writer = verbs.add_parser("write")
    writer.add_argument("name", nargs="+")
    checker = verbs.add_parser("check")
    checker.add_argument("--runs", type=int, default=10)
    checker.add_argument("--seed", type=int, default=random.randrange(2**32), help="seed of the drawing")
    args = parser.parse_args()
    if args.verb == "write":
        for name in args.name:
            write(name)
    else:
        print(f"seed {args.seed}")
        sys.exit(1 if check(args.runs, args.seed) else 0)
