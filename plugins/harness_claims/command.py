"""The command `harness claims`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from harness import Command, HarnessError

HELP = """Test what textbooks state: train the runs that could refute a claim, and print the verdict.

Without a name, all claims. Verdicts are supported, refuted, conditional (true under some of the tested conditions) and
not settled. Runs are kept in outputs/claims/CLAIM, and are not trained again. The exit status is 1 if the verdict on a
claim that is marked stable differs from the recorded one.
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `harness claims`."""
    parser.add_argument("claim", metavar="CLAIM", nargs="*", help="names of claims; none for all")
    parser.add_argument("--quick", action="store_true", help="fewer seeds and conditions")
    parser.add_argument("--list", action="store_true", help="list the claims, and train nothing")
    parser.add_argument("--show", action="store_true", help="open TensorBoard on the runs afterwards")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="the first seed (0)")
    parser.add_argument("--language", choices=("en", "ko"), default="en", help="language of the answer (en)")
    parser.add_argument("--book", metavar="FOLDER", help="write the answers as pages, en.md and ko.md")
    parser.add_argument("--json", action="store_true", help="print JSON")


def claims(args: argparse.Namespace) -> int:
    """Run `harness claims`."""
    from harness import config_files
    from harness_claims.claim import Claim, read

    files = config_files("claim")
    for name in args.claim:
        if name not in files:
            raise HarnessError(f"no claim {name!r}.{_near(name, list(files))}")
    if args.seed < 0:
        raise HarnessError(f"--seed must not be negative, got {args.seed}")
    chosen: list[Claim] = [read(files[name]) for name in args.claim or files]
    if args.list:
        _list(chosen, args.language, args.json)
        return 0
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


def _list(claims: Sequence[object], language: str, as_json: bool) -> None:
    from harness_claims.claim import Claim

    rows = [claim for claim in claims if isinstance(claim, Claim)]
    if as_json:
        print(
            json.dumps({"claims": [{"claim": c.slug, "topic": c.topic, "statement": dict(c.statement)} for c in rows]})
        )
        return
    width = max((len(claim.slug) for claim in rows), default=0)
    for claim in rows:
        print(f"{claim.slug:{width}}  {claim.topic:14}  {claim.verdict or '-':11}  {claim.statement[language]}")


def _near(name: str, known: Sequence[str]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, known, 3)
    return f" Did you mean {' or '.join(map(repr, near))}?" if near else " harness claims --list shows all."


def _show(claims: Sequence[object]) -> None:
    import subprocess
    import sys

    from harness_claims.claim import Claim
    from harness_claims.running import study

    studies = [f"outputs/{study(claim)}" for claim in claims if isinstance(claim, Claim)]
    folder = studies[0] if len(studies) == 1 else "outputs/claims"
    subprocess.run([sys.executable, "-m", "harness", "board", folder], check=False)


COMMAND = Command("claims", HELP, arguments, claims)
