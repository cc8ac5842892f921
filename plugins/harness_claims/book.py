"""The book of claims: Markdown pages, figures and one HTML page, by topic and with an index by verdict."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness_claims.book_html import html_page
from harness_claims.book_text import WORDS, by_topic, by_verdict, columns, decides, introduction, is_stable, row
from harness_claims.claim import LANGUAGES
from harness_claims.figure import figure
from harness_claims.running import Result
from harness_claims.text import REVISED, quantity

FIGURES = "figures"


def write_book(results: Sequence[Result], folder: Path) -> list[Path]:
    """Write the pages and figures of the book into a folder, and return the paths of the pages."""
    (folder / FIGURES).mkdir(parents=True, exist_ok=True)
    for slug in _figures(folder) - {result.claim.slug for result in results}:
        (folder / FIGURES / f"{slug}.svg").unlink(missing_ok=True)
    for result in results:
        _write(folder / FIGURES / f"{result.claim.slug}.svg", figure(result.claim, result.decided))
    texts = {f"{language}.md": page(results, language) for language in LANGUAGES}
    texts["claims.html"] = html_page(results)
    return [_write(folder / name, text) for name, text in texts.items()]


def _figures(folder: Path) -> set[str]:
    """Return the claims of which the book that is in a folder shows a figure: other files there are not its own."""
    page = folder / f"{LANGUAGES[0]}.md"
    text = page.read_text(encoding="utf-8") if page.exists() else ""
    return set(re.findall(rf"\]\({FIGURES}/([^/)]+)\.svg\)", text))


def _write(path: Path, text: str) -> Path:
    beside = path.with_name(f".{path.name}.tmp")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)
    return path


def page(results: Sequence[Result], language: str) -> str:
    """Return the page of one language, as Markdown."""
    words = WORDS[language]
    found = [f"# {words['title']}", "", introduction(results, words), "", f"## {words['verdicts']}", ""]
    for name, group in by_verdict(results).items():
        slugs = [f"- [{r.claim.statement[language]}](#{r.claim.slug})" for r in group]
        found += [f"**{words.get(name, name)}** ({len(slugs)})", "", *slugs, ""]
    for topic, group in by_topic(results).items():
        found += [f"## {words.get(topic, topic).capitalize()}", ""]
        for result in group:
            found += _entry(result, language, words)
    return "\n".join(found).rstrip() + "\n"


def _entry(result: Result, language: str, words: Mapping[str, str]) -> list[str]:
    claim = result.claim
    found = [f"### {claim.statement[language]} {{ #{claim.slug} }}", ""]
    stable = f" ({words['stable']})" if is_stable(result) else ""
    found += [f"**{words.get(result.verdict, result.verdict)}**{stable}. {claim.because[language]}", ""]
    found += [f"{words['decides']}: {decides(claim, language)}.", ""]
    found += [f"![{quantity(claim, language)}]({FIGURES}/{claim.slug}.svg)", ""]
    header = columns(words)
    rows = [header, ["---"] * len(header), *(_cells(row(one, words)) for one in result.decided)]
    found += [*(f"| {' | '.join(cells)} |" for cells in rows), ""]
    if claim.revised:
        found += [f"{REVISED[language]}: {claim.revised[language]}", ""]
    if claim.references:
        found += [f"{words['references']}: {'; '.join(claim.references)}.", ""]
    found += [f"{words['again']} ({result.runs} {words['runs']}): `harness claims {claim.slug}`", ""]
    return found


def _cells(texts: Sequence[str]) -> list[str]:
    """Return the cells of a row of a table in Markdown."""
    return [text.replace("|", "\\|") for text in texts]
