"""Write the tables of docs/explanation/doctor.md: `python -m tests.plugins.doctor.table` trains and judges every case;
`python -m tests.plugins.doctor.table advice textbook tables` does the named parts.
"""

from __future__ import annotations

import math
import os
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from harness_doctor.diagnose import TROUBLES
from tests.plugins.doctor import judged as textbook
from tests.plugins.doctor import judged_tables
from tests.plugins.doctor.advice import DRAWS, MARGIN, Advice, advised, held_out
from tests.plugins.doctor.bench import Look, Result, Run, judged, looking, wilson
from tests.plugins.doctor.case import Case, planted

BENCHES = {"textbook": (textbook, ""), "tables": (judged_tables, "_tables")}
PAGE = Path(__file__).resolve().parents[3] / "docs" / "explanation" / "doctor.md"


def share(hits: int, of: int) -> str:
    """Format a share with its interval."""
    low, high = wilson(hits, of)
    return f"{hits} of {of} ({100 * hits / of:.0f}%, 95% interval {100 * low:.0f} to {100 * high:.0f}%)"


def confusion(results: Sequence[Result]) -> str:
    """Return the table of troubles named first, by planted trouble."""
    rows = ["| planted | runs | named first | something else | nothing |", "| --- | --- | --- | --- | --- |"]
    for trouble in (*TROUBLES, ""):
        own = [r for r in results if r.case.trouble == trouble]
        others = Counter(r.named for r in own if r.named not in (trouble, ""))
        text = ", ".join(f"{name} ({n})" for name, n in others.items())
        silent = sum(not r.named for r in own)
        right = "" if not trouble else str(sum(r.right for r in own))
        if own:
            rows.append(f"| {trouble or 'nothing (healthy)'} | {len(own)} | {right} | {text} | {silent} |")
    return "\n".join(rows)


def headline(results: Sequence[Result]) -> str:
    """Return the line with both main shares."""
    sick, well = [r for r in results if r.case.trouble], [r for r in results if not r.case.trouble]
    return (
        f"The right trouble is named first in {share(sum(r.right for r in sick), len(sick))}; of healthy runs, "
        f"{share(sum(not r.right for r in well), len(well))} are accused of something."
    )


def mended(results: Sequence[Result]) -> str:
    """Return the table of runs before and after their suggested overrides."""
    tried = [r for r in results if r.after is not None]
    rows = [
        f"Of {len(tried)} planted troubles that an override is suggested for, it makes the run healthy (nothing is "
        f"found any more, and validation is better) in {sum(r.mended for r in tried)}. Worse on the same seed is "
        f"{sum(r.worse for r in tried)} by the 95% interval of an accuracy or a tenth of an error, on validation or on "
        f"test, and {sum(r.lower for r in tried)} by a standard error on test or 0.005 on validation.",
        "",
        "| run | trouble | tried | metric | before | after | |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for r in tried:
        assert r.after is not None
        ends = "worse" if r.worse else "healthy" if r.mended else f"still: {r.left or 'no better'}"
        tries = " ".join(r.findings[0].tries)
        rows.append(
            f"| `{r.case.overrides}` | {r.case.trouble} | `{tries}` | {r.after.metric} | {number(r.run)} | "
            f"{number(r.after)} | {ends} |"
        )
    return "\n".join(rows)


def advice_table(found: Sequence[tuple[Case, Advice | None]]) -> str:
    """Return the table of the effect of advice on fresh seeds and splits."""
    given = [advice for _, advice in found if advice is not None]
    if not given:
        return f"No advice is given on any of {len(found)} runs."
    better, worse = sum(a.better for a in given), sum(a.worse for a in given)
    rows = [
        f"On {len(given)} of {len(found)} runs, advice is given. It is worse in {share(worse, len(given))}, better in "
        f"{better}, and no different beyond chance or the margin in {len(given) - better - worse}. The mean gain "
        f"alone, whatever its interval, is below the margin in {sum(a.lower for a in given)}.",
        "",
        "| run | found | tried | mean gain on test, 95% interval | |",
        "| --- | --- | --- | --- | --- |",
    ]
    for a in given:
        low, high = a.interval
        of = "accuracy" if a.margin == MARGIN[True] else "log error"
        ends = "worse" if a.worse else "better" if a.better else ""
        gain = f"{sum(a.gains) / len(a.gains):+.3f} ({low:+.3f} to {high:+.3f}) {of}"
        rows.append(f"| `{a.case.overrides}` | {a.trouble} | `{' '.join(a.tries)}` | {gain} | {ends} |")
    return "\n".join(rows)


def number(run: Run) -> str:
    """Format a score, or the status of a run without one."""
    return run.seen.status if math.isnan(run.score) else f"{run.score:.3g}"


def written(page: str, tables: dict[str, str]) -> str:
    """Return a page with its tables between <!-- NAME --> and <!-- end --> replaced."""
    for name, text in tables.items():
        pattern = re.compile(f"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        assert pattern.search(page), name
        page = pattern.sub(lambda match, text=text: f"{match[1]}\n{text}\n\n{match[2]}", page)
    return page


def main(parts: Sequence[str]) -> None:
    """Judge every case of some parts in an empty folder, and write their tables into the page."""
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        site = Path(folder) / "site"
        site.mkdir()
        with planted(site):
            look = looking("judged")
            for part in parts or ("advice", *BENCHES):
                tables = {"advice": of_advice(look)} if part == "advice" else of_bench(part, look)
                PAGE.write_text(written(PAGE.read_text(), tables))


def of_advice(look: Look) -> str:
    """Return the table of advice on held-out cases."""
    results = []
    for case, _, advice in advised(held_out(DRAWS), look):
        results.append((case, advice))
        text = (
            "no advice"
            if advice is None
            else "WORSE"
            if advice.worse
            else f"{sum(advice.gains) / len(advice.gains):+.3f}"
        )
        print(text, case, file=sys.stderr)
    return advice_table(results)


def of_bench(part: str, look: Look) -> dict[str, str]:
    """Return the tables of a bench."""
    module, suffix = BENCHES[part]
    results = []
    for result in judged([*module.PLANTED, *module.HEALTHY], look, mending=True):
        results.append(result)
        print("right" if result.right else f"WRONG ({result.named or 'nothing'})", result.case, file=sys.stderr)
    return {f"judged{suffix}": f"{headline(results)}\n\n{confusion(results)}", f"mended{suffix}": mended(results)}


if __name__ == "__main__":
    main(sys.argv[1:])
