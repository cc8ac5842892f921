"""Show the data of a run: its columns, their types and handling, or its classes and splits."""

from __future__ import annotations

import argparse
import json
from typing import Any

from harness.system.garbage import uncollected
from harness.system.spinner import Spinner


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("overrides", nargs="*", metavar="OVERRIDE", help="for example data=csv data.path=people.csv")
    parser.add_argument("--config-dir", metavar="FOLDER", help="folder of your own presets")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")


def run(args: argparse.Namespace) -> int:
    from harness.config import composition
    from harness.datasets.description import describe_data

    overrides = list(args.overrides)
    chosen = [o for o in overrides if o.startswith(("data=csv", "data=parquet"))]
    if chosen and not any(o.startswith("data.target=") for o in overrides):
        overrides.append("data.target=''")  # show all columns before a target is chosen
    values = composition.compose(overrides, args.config_dir).values
    description = describe_data(values)
    if description is None:
        description = _describe_splits(values)
    if args.json:
        print(json.dumps(description, indent=1, ensure_ascii=False))
    else:
        _print(description)
    return 0


def _describe_splits(values: dict[str, Any]) -> dict[str, Any]:
    """Load data that is not a table, and describe its splits."""
    with Spinner("loading the data"), uncollected():
        from harness.datasets.dataset import SPLITS, Samples, size
        from harness.datasets.loading import load

        dataset = load(values).dataset
    description: dict[str, Any] = {"data": values["data"]["_component_"], "inputs": list(dataset.inputs)}
    description["splits"] = {split: size(dataset.part(split)) for split in SPLITS}
    description["target"] = {"name": "", "kind": dataset.target}
    parts = [part for split in SPLITS if isinstance(part := dataset.part(split), Samples)]
    if dataset.target == "class" and len(parts) == len(SPLITS):
        counts = sum(part.y.bincount(minlength=len(dataset.classes)) for part in parts)
        shares = zip(dataset.classes, (counts / counts.sum()).tolist(), strict=True)  # type: ignore[union-attr]
        description["target"]["classes"] = dict(sorted(shares, key=lambda row: -row[1]))
    return description


def _print(description: dict[str, Any]) -> None:
    from harness.analysis.report.table import render

    if "columns" in description:
        marks = (
            [description["encoding"], f"separator {description['separator']!r}"] if "encoding" in description else []
        )
        marks += [f"decimal {description['decimal']!r}"] if "decimal" in description else []
        first = f"{description['file']}: {description['rows']:,} rows, {len(description['columns'])} columns"
        print("; ".join([first, *marks]))
        rows = [
            [c["name"], c["role"], c["kind"], _percent(c["missing"]) if c["missing"] else "", c["values"], c["action"]]
            for c in description["columns"]
        ]
        render(["column", "role", "kind", "missing", "values", "what is done"], rows)
    else:
        splits = ", ".join(f"{split} {n:,}" for split, n in description["splits"].items())
        print(f"{description['data']}: {splits}; inputs of shape {tuple(description['inputs'])}")
    for remark in description.get("remarks", ()):
        print(f"note: {remark}")
    if "target" not in description:
        print("choose what to predict: data.target=COLUMN")
        return
    target = description["target"]
    named = f"target {target['name']}: " if target["name"] else "target: "
    if "classes" not in target:
        print(named + ("real numbers" if target["kind"] == "real" else target["kind"]))
        return
    shown = [f"{name} {_percent(share)}" for name, share in list(target["classes"].items())[:20]]
    more = ["..."] if len(target["classes"]) > len(shown) else []
    print(f"{named}{len(target['classes'])} classes: {', '.join([*shown, *more])}")


def _percent(share: float) -> str:
    """Format a share as a percentage; a small one is never 0%."""
    return "<1%" if 0 < share < 0.01 else f"{share:.0%}"
