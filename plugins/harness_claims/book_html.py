"""The book of claims as one HTML page that needs no other file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from harness_claims.book_text import WORDS, by_topic, by_verdict, columns, decides, introduction, is_stable, row
from harness_claims.claim import LANGUAGES
from harness_claims.figure import figure
from harness_claims.running import Result
from harness_claims.text import REVISED

NAMES = {"en": "English", "ko": "한국어"}
STYLE = """
body { font: 16px/1.6 system-ui, sans-serif; color: #24292f; background: #fff; max-width: 52rem; margin: 0 auto;
  padding: 1rem; }
h1, h2, h3 { line-height: 1.3; } h3 { margin-top: 2.5rem; }
table { border-collapse: collapse; margin: 1rem 0; } td, th { border: 1px solid #d0d7de; padding: .25rem .6rem; }
th { text-align: left; } td:nth-child(n+3) { font-variant-numeric: tabular-nums; }
.verdict { font-weight: 600; padding: .1rem .5rem; border-radius: 1rem; color: #fff; background: #57606a; }
.supported { background: #1a7f37; } .refuted { background: #cf222e; } .conditional { background: #8250df; }
code { background: #f6f8fa; padding: .1rem .3rem; } svg { max-width: 100%; height: auto; }
nav a { margin-right: 1rem; } section { display: none; }
section:target, section:has(:target), section.first { display: block; }
section:target ~ section.first, section:has(:target) ~ section.first { display: none; }
ul { padding-left: 1.2rem; } .small { color: #57606a; }
"""


def html_page(results: Sequence[Result]) -> str:
    """Return the book in all languages, as a page with its figures and styles inside."""
    sections = [_section(results, language) for language in LANGUAGES]
    # the first language is shown unless another one, or an entry of it, is the target: it comes last in the file
    first, *others = sections
    title = escape(WORDS[LANGUAGES[0]]["title"])
    return (
        f'<!doctype html>\n<html lang="{LANGUAGES[0]}">\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width">\n<title>{title}</title>\n<style>{STYLE}</style>\n'
        + "\n".join([*others, first.replace("<section ", '<section class="first" ', 1)])
        + "\n</html>\n"
    )


def _section(results: Sequence[Result], language: str) -> str:
    words = WORDS[language]
    switch = " ".join(f'<a href="#{other}">{NAMES[other]}</a>' for other in LANGUAGES)
    found = [
        f'<section id="{language}" lang="{language}">',
        f"<nav>{switch}</nav>",
        f"<h1>{escape(words['title'])}</h1>",
    ]
    found += [f"<p>{escape(introduction(results, words))}</p>", f"<h2>{escape(words['verdicts'])}</h2>"]
    for name, group in by_verdict(results).items():
        found += [f"<p>{_badge(name, words)} ({len(group)})</p>", _index(group, language)]
    found.append(f"<h2>{escape(words['topics'])}</h2>")
    for topic, group in by_topic(results).items():
        found += [f"<p><strong>{escape(words.get(topic, topic))}</strong> ({len(group)})</p>", _index(group, language)]
    for topic, group in by_topic(results).items():
        found.append(f"<h2>{escape(words.get(topic, topic).capitalize())}</h2>")
        found += [_entry(result, language, words) for result in group]
    return "\n".join([*found, "</section>"])


def _badge(verdict: str, words: Mapping[str, str]) -> str:
    return f'<span class="verdict {verdict.replace(" ", "-")}">{escape(words.get(verdict, verdict))}</span>'


def _index(group: Sequence[Result], language: str) -> str:
    rows = [
        f'<li><a href="#{language}-{escape(r.claim.slug)}">{escape(r.claim.statement[language])}</a></li>'
        for r in group
    ]
    return f"<ul>{''.join(rows)}</ul>"


def _entry(result: Result, language: str, words: Mapping[str, str]) -> str:
    claim = result.claim
    header = "".join(f"<th>{escape(cell)}</th>" for cell in columns(words))
    rows = ["".join(f"<td>{escape(cell)}</td>" for cell in row(one, words)) for one in result.decided]
    stable = f' <span class="small">{escape(words["stable"])}</span>' if is_stable(result) else ""
    found = [
        f'<h3 id="{language}-{escape(claim.slug)}">{escape(claim.statement[language])}</h3>',
        f"<p>{_badge(result.verdict, words)}{stable}</p>",
        f"<p>{escape(claim.because[language])}</p>",
        f'<p class="small">{escape(words["decides"])}: {escape(decides(claim, language))}.</p>',
        figure(claim, result.decided, language),
        f"<table><tr>{header}</tr>{''.join(f'<tr>{cells}</tr>' for cells in rows)}</table>",
    ]
    if claim.revised:
        found.append(f'<p class="small">{escape(REVISED[language])}: {escape(claim.revised[language])}</p>')
    if claim.references:
        found.append(f'<p class="small">{escape(words["references"])}: {escape("; ".join(claim.references))}.</p>')
    again = f"{escape(words['again'])} ({result.runs} {escape(words['runs'])})"
    found.append(f"<p>{again}: <code>harness claims {escape(claim.slug)}</code></p>")
    return "\n".join(found)
