"""`harness check`: whether what was promised of runs holds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.cli.parser import verb_parser
from harness.errors import HarnessError

if TYPE_CHECKING:
    from harness.replay import Replayed


def check(words: list[str]) -> int:
    """Trains some runs of a study again, to show that training many as one has changed nothing."""
    parser = verb_parser(
        "check", "Trains some fused runs of a study again: padded to two (to the bit the same), and alone."
    )
    parser.add_argument("--fused", metavar="STUDY", required=True, help="the study, a folder or a name under outputs/")
    parser.add_argument("--sample", type=int, default=8, metavar="N", help="how many runs, at most (8)")
    parser.add_argument("--json", action="store_true", help="for programs")
    args = parser.parse_args(words)
    if args.sample < 1:
        raise HarnessError(f"--sample must be at least 1, got {args.sample}")
    from harness.record import load
    from harness.replay import replay, sampled

    records = load(args.fused)
    chosen = sampled(records, args.sample)
    if not chosen:
        raise HarnessError(f"no run of {args.fused} was trained fused: path=fused makes every run one of a stack")
    from harness.prepare import Preparation

    preparation = Preparation()
    found = [replay(record, preparation) for record in chosen]
    if args.json:
        print(json.dumps([one.row() for one in found], indent=1))
    else:
        _show(found)
    return 0 if all(one.fine for one in found) else 1


def _show(found: Sequence[Replayed]) -> None:
    from harness.report.table import render

    def number(value: float | None) -> str:
        return "" if value is None else f"{value:.1e}" if value else "0"

    render(
        ["run", "stack of", "padded", "alone", "one ulp", ""],
        [
            [one.name, str(one.members), number(one.padded), number(one.alone), number(one.ulp), one.problem]
            for one in found
        ],
        numeric=["stack of", "padded", "alone", "one ulp"],
    )
    worst = max((one.padded for one in found if one.padded is not None), default=0.0)
    wrong = sum(not one.fine for one in found)
    print(
        f"{len(found)} runs: the largest deviation from the same run padded to two is {worst:g}"
        + (f"; {wrong} are not what they should be" if wrong else "")
    )
