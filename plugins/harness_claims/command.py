"""The command `harness claims`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness import Command, HarnessError

if TYPE_CHECKING:
    from harness_claims.claim import Claim

SUFFIX = ".yaml"
TEMPLATE = Path(__file__).parent / "template.yaml"
HELP = """Test what textbooks state: train the runs that could refute a claim, and print the verdict.

Without a name, all claims. Verdicts are supported, refuted, conditional (true under some of the tested conditions) and
not settled. Runs are kept in outputs/claims/CLAIM, and are not trained again. A claim is a YAML file: --new writes one
to edit, and --check trains a version of it whose sides are equal, which must not support it. The exit status is 1 if
the verdict on a claim that is marked stable differs from the recorded one, or if a check fails.
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `harness claims`."""
    parser.add_argument("claim", metavar="CLAIM", nargs="*", help="names of claims, or FILE.yaml; none for all")
    parser.add_argument("--quick", action="store_true", help="fewer seeds and conditions")
    parser.add_argument("--list", action="store_true", help="list the claims, and train nothing")
    parser.add_argument("--check", action="store_true", help="check that a claim can fail: also train equal sides")
    parser.add_argument("--new", metavar="FILE.yaml", help="write a claim to edit")
    parser.add_argument("--show", action="store_true", help="open TensorBoard on the runs afterwards")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="the first seed (0)")
    parser.add_argument("--language", choices=("en", "ko"), default="en", help="language of the answer (en)")
    parser.add_argument("--book", metavar="FOLDER", help="write the answers as pages, with figures")
    parser.add_argument("--json", action="store_true", help="print JSON")


def claims(args: argparse.Namespace) -> int:
    """Run `harness claims`."""
    from harness import config_files
    from harness_claims.claim import read

    if args.new:
        return _new(args.new)
    files = config_files("claim")
    files |= {name: Path(name) for name in args.claim if name.endswith(SUFFIX)}
    for name in args.claim:
        if name not in files:
            raise HarnessError(f"no claim {name!r}.{_near(name, list(files))}")
    if args.seed < 0:
        raise HarnessError(f"--seed must not be negative, got {args.seed}")
    chosen: list[Claim] = [replace(read(files[name]), typed=name) for name in args.claim or files]
    if args.list:
        _list(chosen, args.language, args.json)
        return 0
    if args.check:
        return _check(chosen, args)
    from harness_claims.running import run
    from harness_claims.text import lines, row, summary

    results = []
    for claim in chosen:
        result = run(claim, args.quick, args.seed)
        results.append(result)
        if not args.json:
            print("\n".join(lines(result, args.language)), flush=True)
            print()
    print(json.dumps({"claims": [row(result) for result in results]}, indent=1) if args.json else summary(results))
    if args.book:
        from harness_claims.book import write_book

        for path in write_book(results, Path(args.book)):
            print(f"written to {path}")
    if args.show:
        _show(chosen)
    return int(any(result.changed and result.claim.stable and not result.quick for result in results))


def _check(claims: Sequence[Claim], args: argparse.Namespace) -> int:
    from harness_claims.checking import check, failed, lines, row

    checks = [check(claim, args.quick, args.seed) for claim in claims]
    print(json.dumps({"claims": [row(one) for one in checks]}, indent=1) if args.json else "\n".join(lines(checks)))
    return int(failed(checks))


def _new(name: str) -> int:
    """Write the file of a new claim."""
    path = Path(name)
    if path.suffix != SUFFIX:
        raise HarnessError(f"--new takes the name of a file, wide-nets.yaml, got {name!r}")
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(TEMPLATE.read_text(encoding="utf-8"))
    except OSError as error:
        raise HarnessError(f"cannot write {name}: {error.strerror}") from error
    print(f"written to {name}: edit it, then run 'harness claims {name}' and 'harness claims --check {name}'")
    return 0


def _list(claims: Sequence[Claim], language: str, as_json: bool) -> None:
    if as_json:
        print(
            json.dumps(
                {"claims": [{"claim": c.slug, "topic": c.topic, "statement": dict(c.statement)} for c in claims]}
            )
        )
        return
    width = max((len(claim.slug) for claim in claims), default=0)
    for claim in claims:
        print(f"{claim.slug:{width}}  {claim.topic:14}  {claim.verdict or '-':11}  {claim.statement[language]}")


def _near(name: str, known: Sequence[str]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, known, 3)
    return f" Did you mean {' or '.join(map(repr, near))}?" if near else " harness claims --list shows all."


def _show(claims: Sequence[Claim]) -> None:
    import subprocess
    import sys

    from harness_claims.running import study

    studies = [f"outputs/{study(claim)}" for claim in claims]
    folder = studies[0] if len(studies) == 1 else "outputs/claims"
    subprocess.run([sys.executable, "-m", "harness", "board", folder], check=False)


COMMAND = Command("claims", HELP, arguments, claims)
