"""Conformance of a plugin or KIND/NAME; --fused STUDY: that training many runs as one has changed nothing.

With --fused, some fused runs of a study are trained again, padded to two (to the bit the same), and alone.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from harness.system.errors import HarnessError, one_line, suggest
from harness.system.escape import printable

if TYPE_CHECKING:
    from harness.execution.sweep.verify import Replayed
    from harness.testing.suite import Result

FEW = 12  # of so many components, it is also told why a check was skipped


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="*", metavar="PLUGIN|KIND/NAME", help="a plugin's distribution, or a component")
    parser.add_argument("--only", metavar="CHECK,...", help="some checks only")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KIND/NAME.KEY=VALUE", help="a setting that has no default"
    )
    parser.add_argument("--list", action="store_true", help="the checks, and what each means")
    parser.add_argument("--fused", metavar="STUDY", help="runs of a study, a folder or a name under outputs/")
    parser.add_argument("--sample", type=int, default=8, metavar="N", help="of --fused: how many runs, at most (8)")
    parser.add_argument("--json", action="store_true", help="for programs")


def run(args: argparse.Namespace) -> int:
    if args.list:
        return _listed(args.json)
    if (args.fused is None) == (not args.names):
        raise HarnessError("harness check wants NAMEs (a plugin's distribution, or KIND/NAME), or --fused STUDY")
    if args.fused is not None:
        return _fused(args.fused, args.sample, args.json)
    return _components(args.names, args.only, args.set, args.json)


def _listed(as_json: bool) -> int:
    from harness.analysis.report.table import render
    from harness.testing.suite import CHECKS

    if as_json:
        rows = [{"name": c.name, "meaning": c.meaning, "kinds": list(c.kinds)} for c in CHECKS.values()]
        print(json.dumps(rows, indent=1))
        return 0
    every = max(len(c.kinds) for c in CHECKS.values())
    kinds = {c.name: "all" if len(c.kinds) == every else ", ".join(c.kinds) for c in CHECKS.values()}
    render(["check", "", "kinds"], [[c.name, c.meaning, kinds[c.name]] for c in CHECKS.values()])
    return 0


def _components(names: Sequence[str], only: str | None, given: Sequence[str], as_json: bool) -> int:
    from harness.testing.importing import imported
    from harness.testing.suite import CHECKS, Subject, problems, refuse_unknown, select, settings_for

    wanted = set(CHECKS) if only is None else set(only.split(","))
    for name in sorted(wanted - set(CHECKS)):
        raise HarnessError(f"there is no check {name!r}.{suggest(name, CHECKS)}")
    settings = _settings(given)
    entries = select(names)
    refuse_unknown(entries, settings)
    found: list[Result] = problems(names) if only is None else []
    if only is None:
        found += imported((str(entry["origin"]), str(entry["plugin"])) for entry in entries)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a warning is the author's to see in tests, and no finding
        for entry in entries:
            subject = Subject(entry, settings_for(entry, settings))
            _told(subject.label)
            found += [subject.result(one.name) for one in subject.checks if one.name in wanted]
    _told("")
    if as_json:
        print(json.dumps([result.row() for result in found], indent=1))
    else:
        _report(found)
    return 1 if any(result.status == "failed" for result in found) else 0


def _settings(given: Sequence[str]) -> dict[str, dict[str, Any]]:
    """{kind/name: {key: value}} of KIND/NAME.KEY=VALUE."""
    from omegaconf import OmegaConf

    found: dict[str, dict[str, Any]] = {}
    for text in given:
        path, equals, value = text.partition("=")
        label, dot, key = path.partition(".")
        if not (equals and dot and "/" in label):
            raise HarnessError(f"--set wants KIND/NAME.KEY=VALUE, got {text!r}")
        try:
            made = OmegaConf.to_container(OmegaConf.create(f"value: {value}"))
        except Exception as error:  # what YAML says of it
            raise HarnessError(f"--set {text}: {value!r} is no value: {one_line(error)}") from error
        assert isinstance(made, dict)
        found.setdefault(label, {})[key] = made["value"]
    return found


def _told(label: str) -> None:
    """What is looked at now, where someone waits for it."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{label}", end="", file=sys.stderr, flush=True)


def _report(found: Sequence[Result]) -> None:
    """A line for each component, and below it what was found; why checks were skipped, once each."""
    by: dict[str, list[Result]] = {}
    for result in found:
        by.setdefault(result.component, []).append(result)
    wide = max(map(len, by), default=0)
    for component, results in by.items():
        counted = Counter(result.status for result in results)
        words = [f"{counted[status]} {status}" for status in ("passed", "failed", "skipped") if counted[status]]
        seconds = sum(result.seconds for result in results)
        verdict = "FAILED" if counted["failed"] else "ok"
        print(f"{component:<{wide}}  {verdict:<6}  {', '.join(words)}  {seconds:.2f} s")
        said: dict[tuple[str, str], list[str]] = {}
        for result in results:
            if result.status == "failed" or (result.finding and len(by) <= FEW):
                said.setdefault((result.status, result.finding), []).append(result.check)
        for (status, finding), checks in said.items():
            print(f"    {', '.join(checks)}, {status}: {printable(finding)}")
    total = Counter(result.status for result in found)
    wrong = len({result.component for result in found if result.status == "failed"})
    print(
        f"{len(by)} checked: {total['passed']} passed, {total['failed']} failed, {total['skipped']} skipped"
        + (f"; {wrong} to mend" if wrong else "")
    )


def _fused(study: str, sample: int, as_json: bool) -> int:
    """Trains some runs of a study again, to show that training many as one has changed nothing."""
    if sample < 1:
        raise HarnessError(f"--sample must be at least 1, got {sample}")
    from harness.execution.sweep.verify import replay, sampled
    from harness.results.study import load

    chosen = sampled(load(study), sample)
    if not chosen:
        raise HarnessError(f"no run of {study} was trained fused: path=fused makes every run one of a stack")
    from harness.execution.preparation import Preparation

    preparation = Preparation()
    found = [replay(record, preparation) for record in chosen]
    if as_json:
        print(json.dumps([one.row() for one in found], indent=1))
    else:
        _show(found)
    return 0 if all(one.fine for one in found) else 1


def _show(found: Sequence[Replayed]) -> None:
    from harness.analysis.report.table import render

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
