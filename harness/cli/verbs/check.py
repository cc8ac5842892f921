"""Check plugins and components, or the fused runs of a study.

Test whether components conform to the rules of their kind. With --fused, train some fused runs of a study again, padded
to two (which must be equal to the bit) and alone, and show the deviations.
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
from harness.system.garbage import uncollected
from harness.system.spinner import Spinner, in_cell

if TYPE_CHECKING:
    from harness.execution.sweep.verify import Replayed
    from harness.testing.suite import Result

MAX_EXPLAINED = 12  # components for which the reasons of skipped checks are printed


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="*", metavar="PLUGIN|KIND/NAME", help="a plugin's distribution, or KIND/NAME")
    parser.add_argument("--only", metavar="CHECK,...", help="run only these checks")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KIND/NAME.KEY=VALUE", help="give a setting that has no default"
    )
    parser.add_argument("--list", action="store_true", help="list the checks and their meaning")
    parser.add_argument("--fused", metavar="STUDY", help="check runs of a study: a folder, or a name under outputs/")
    parser.add_argument("--sample", type=int, default=8, metavar="N", help="with --fused: train at most N runs (8)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    if args.list:
        return _list_checks(args.json)
    if (args.fused is None) == (not args.names):
        raise HarnessError("harness check needs NAMEs (a plugin's distribution, or KIND/NAME), or --fused STUDY")
    if args.fused is not None:
        return _check_fused(args.fused, args.sample, args.json)
    return _check_components(args.names, args.only, args.set, args.json)


def _list_checks(as_json: bool) -> int:
    from harness.analysis.report.table import render
    from harness.testing.suite import CHECKS

    if as_json:
        rows = [{"name": c.name, "meaning": c.meaning, "kinds": list(c.kinds)} for c in CHECKS.values()]
        print(json.dumps(rows, indent=1))
        return 0
    all_kinds = max(len(c.kinds) for c in CHECKS.values())
    kinds = {c.name: "all" if len(c.kinds) == all_kinds else ", ".join(c.kinds) for c in CHECKS.values()}
    render(["check", "", "kinds"], [[c.name, c.meaning, kinds[c.name]] for c in CHECKS.values()])
    return 0


def _check_components(names: Sequence[str], only: str | None, texts: Sequence[str], as_json: bool) -> int:
    from harness.testing.selection import select

    entries = select(names)
    with Spinner("loading torch and Lightning"), uncollected():
        from harness.testing.importing import imported
        from harness.testing.suite import CHECKS, Subject, problems, refuse_unknown, settings_for

    selected = set(CHECKS) if only is None else set(only.split(","))
    for name in sorted(selected - set(CHECKS)):
        raise HarnessError(f"there is no check {name!r}.{suggest(name, CHECKS)}")
    settings = _parse_settings(texts)
    refuse_unknown(entries, settings)
    results: list[Result] = problems(names) if only is None else []
    if only is None:
        results += imported((str(entry["origin"]), str(entry["plugin"])) for entry in entries)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the author sees warnings in tests; they are not findings
        for entry in entries:
            subject = Subject(entry, settings_for(entry, settings))
            _show_progress(subject.label)
            results += [subject.result(c.name) for c in subject.checks if c.name in selected]
    _show_progress("")
    if as_json:
        print(json.dumps([result.row() for result in results], indent=1))
    else:
        _report(results)
    return 1 if any(result.status == "failed" for result in results) else 0


def _parse_settings(texts: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return {kind/name: {key: value}} from texts KIND/NAME.KEY=VALUE."""
    from omegaconf import OmegaConf

    settings: dict[str, dict[str, Any]] = {}
    for text in texts:
        path, equals, value = text.partition("=")
        label, dot, key = path.partition(".")
        if not (equals and dot and "/" in label):
            raise HarnessError(f"--set takes KIND/NAME.KEY=VALUE, got {text!r}")
        try:
            parsed = OmegaConf.to_container(OmegaConf.create(f"value: {value}"))
        except Exception as error:  # raised by YAML
            raise HarnessError(f"--set {text}: {value!r} is not a value: {one_line(error)}") from error
        assert isinstance(parsed, dict)
        settings.setdefault(label, {})[key] = parsed["value"]
    return settings


def _show_progress(label: str) -> None:
    """Show on a terminal which component is being checked."""
    if sys.stderr.isatty() and not in_cell():
        print(f"\r\x1b[K{label}", end="", file=sys.stderr, flush=True)


def _report(results: Sequence[Result]) -> None:
    """Print a line for each component, with its findings below; equal reasons are printed once."""
    by_component: dict[str, list[Result]] = {}
    for result in results:
        by_component.setdefault(result.component, []).append(result)
    width = max(map(len, by_component), default=0)
    for component, group in by_component.items():
        counts = Counter(result.status for result in group)
        words = [f"{counts[status]} {status}" for status in ("passed", "failed", "skipped") if counts[status]]
        seconds = sum(result.seconds for result in group)
        verdict = "FAILED" if counts["failed"] else "ok"
        print(f"{component:<{width}}  {verdict:<6}  {', '.join(words)}  {seconds:.2f} s")
        findings: dict[tuple[str, str], list[str]] = {}
        for result in group:
            if result.status == "failed" or (result.finding and len(by_component) <= MAX_EXPLAINED):
                findings.setdefault((result.status, result.finding), []).append(result.check)
        for (status, finding), checks in findings.items():
            print(f"    {', '.join(checks)}, {status}: {printable(finding)}")
    total = Counter(result.status for result in results)
    failed = len({result.component for result in results if result.status == "failed"})
    print(
        f"{len(by_component)} checked: {total['passed']} passed, {total['failed']} failed, {total['skipped']} skipped"
        + (f"; {failed} to fix" if failed else "")
    )


def _check_fused(study: str, sample: int, as_json: bool) -> int:
    """Train some fused runs of a study again, padded and alone, and show the deviations."""
    if sample < 1:
        raise HarnessError(f"--sample must be at least 1, got {sample}")
    from harness.execution.sweep.verify import replay, sampled
    from harness.results.study import load

    chosen = sampled(load(study), sample)
    if not chosen:
        raise HarnessError(f"no run of {study} was trained fused: train them with path=fused")
    from harness.execution.preparation import Preparation

    preparation = Preparation()
    replayed = [replay(record, preparation) for record in chosen]
    if as_json:
        print(json.dumps([run.row() for run in replayed], indent=1))
    else:
        _show_deviations(replayed)
    return 0 if all(run.fine for run in replayed) else 1


def _show_deviations(runs: Sequence[Replayed]) -> None:
    from harness.analysis.report.table import render

    def number(value: float | None) -> str:
        return "" if value is None else f"{value:.1e}" if value else "0"

    render(
        ["run", "stack of", "padded", "alone", "one ulp", ""],
        [
            [run.name, str(run.members), number(run.padded), number(run.alone), number(run.ulp), run.problem]
            for run in runs
        ],
        numeric=["stack of", "padded", "alone", "one ulp"],
    )
    worst = max((run.padded for run in runs if run.padded is not None), default=0.0)
    failed = sum(not run.fine for run in runs)
    print(
        f"{len(runs)} runs: the largest deviation from the same run padded to two is {worst:g}"
        + (f"; {failed} failed" if failed else "")
    )
