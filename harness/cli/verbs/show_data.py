"""The data of a run: columns, types, classes, and what is done with them."""

from __future__ import annotations

import argparse
import json
from typing import Any


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("overrides", nargs="*", metavar="OVERRIDE", help="for example data=csv data.path=people.csv")
    parser.add_argument("--config-dir", metavar="FOLDER", help="a folder of your own presets")
    parser.add_argument("--json", action="store_true", help="everything, for programs")


def run(args: argparse.Namespace) -> int:
    from harness.config import composition
    from harness.datasets.description import describe_data

    overrides = list(args.overrides)
    chosen = [o for o in overrides if o.startswith(("data=csv", "data=parquet"))]
    if chosen and not any(o.startswith("data.target=") for o in overrides):
        overrides.append("data.target=''")  # all columns are shown before one is chosen
    values = composition.compose(overrides, args.config_dir).values
    told = describe_data(values)
    if told is None:
        told = _splits(values)
    if args.json:
        print(json.dumps(told, indent=1, ensure_ascii=False))
    else:
        _print(told)
    return 0


def _splits(values: dict[str, Any]) -> dict[str, Any]:
    """What is known of data that is no table: it has to be loaded for that."""
    from harness.datasets.dataset import SPLITS, Samples, size
    from harness.datasets.loading import load

    dataset = load(values).dataset
    told: dict[str, Any] = {"data": values["data"]["_component_"], "inputs": list(dataset.inputs)}
    told["splits"] = {split: size(dataset.part(split)) for split in SPLITS}
    told["target"] = {"name": "", "kind": dataset.target}
    parts = [part for split in SPLITS if isinstance(part := dataset.part(split), Samples)]
    if dataset.target == "class" and len(parts) == len(SPLITS):
        counts = sum(part.y.bincount(minlength=len(dataset.classes)) for part in parts)
        shares = zip(dataset.classes, (counts / counts.sum()).tolist(), strict=True)  # type: ignore[union-attr]
        told["target"]["classes"] = dict(sorted(shares, key=lambda row: -row[1]))
    return told


def _print(told: dict[str, Any]) -> None:
    from harness.analysis.report.table import render

    if "columns" in told:
        marks = [told["encoding"], f"separator {told['separator']!r}"] if "encoding" in told else []
        marks += [f"decimal {told['decimal']!r}"] if "decimal" in told else []
        first = f"{told['file']}: {told['rows']:,} rows, {len(told['columns'])} columns"
        print("; ".join([first, *marks]))
        rows = [
            [c["name"], c["role"], c["kind"], _percent(c["missing"]) if c["missing"] else "", c["values"], c["action"]]
            for c in told["columns"]
        ]
        render(["column", "role", "kind", "missing", "values", "what is done"], rows)
    else:
        splits = ", ".join(f"{split} {n:,}" for split, n in told["splits"].items())
        print(f"{told['data']}: {splits}; inputs of shape {tuple(told['inputs'])}")
    for remark in told.get("remarks", ()):
        print(f"note: {remark}")
    if "target" not in told:
        print("choose what to predict: data.target=COLUMN")
        return
    target = told["target"]
    named = f"target {target['name']}: " if target["name"] else "target: "
    if "classes" not in target:
        print(named + ("real numbers" if target["kind"] == "real" else target["kind"]))
        return
    shown = [f"{name} {_percent(share)}" for name, share in list(target["classes"].items())[:20]]
    more = ["..."] if len(target["classes"]) > len(shown) else []
    print(f"{named}{len(target['classes'])} classes: {', '.join([*shown, *more])}")


def _percent(share: float) -> str:
    """A share for people: small ones are never 0%."""
    return "<1%" if 0 < share < 0.01 else f"{share:.0%}"
