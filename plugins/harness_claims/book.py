"""The book of claims: one Markdown page in each language, by topic, with an index by verdict."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness_claims.claim import LANGUAGES, VERDICTS
from harness_claims.deciding import Decided
from harness_claims.running import Result
from harness_claims.text import quantity, rule

WORDS: dict[str, dict[str, str]] = {
    "en": {
        "title": "The book of claims",
        "intro": (
            "What textbooks and courses state, tested by experiments that could refute it. The number that decides, "
            "the rule and the seeds of a claim were fixed before looking. Each claim keeps an error rate of 5%: of "
            "{n} claims about {wrong} may have a wrong verdict by chance."
        ),
        "verdicts": "By verdict",
        "decides": "What decides",
        "condition": "condition",
        "outcome": "outcome",
        "effect": "effect [interval]",
        "seeds": "seeds",
        "again": "Repeat it",
        "runs": "runs",
        "references": "References",
    },
    "ko": {
        "title": "주장의 책",
        "intro": (
            "교재와 강의가 말하는 것을 반박할 수 있는 실험으로 시험한 결과이다. "
            "판정에 쓰는 수와 규칙과 시드의 수는 결과를 보기 전에 정했다. "
            "주장 하나의 오류율은 5%이므로 {n}개 가운데 {wrong}개쯤은 우연히 잘못 판정될 수 있다."
        ),
        "verdicts": "판정별",
        "decides": "판정하는 수",
        "condition": "조건",
        "outcome": "결과",
        "effect": "효과 [구간]",
        "seeds": "시드",
        "again": "다시 하기",
        "runs": "회 학습",
        "references": "참고 문헌",
        "supported": "지지됨",
        "refuted": "반박됨",
        "conditional": "조건부",
        "not settled": "미결",
        "holds": "성립",
        "fails": "불성립",
    },
}


def write_book(results: Sequence[Result], folder: Path) -> list[Path]:
    """Write a page for each language into a folder, and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for language in LANGUAGES:
        path = folder / f"{language}.md"
        beside = folder / f".{language}.md.tmp"
        beside.write_text(page(results, language), encoding="utf-8")
        beside.replace(path)
        paths.append(path)
    return paths


def page(results: Sequence[Result], language: str) -> str:
    """Return the page of one language."""
    words = WORDS[language]
    wrong = f"{len(results) * 0.05:.0f}"
    found = [
        f"# {words['title']}",
        "",
        words["intro"].format(n=len(results), wrong=wrong),
        "",
        f"## {words['verdicts']}",
        "",
    ]
    for name in VERDICTS:
        slugs = [f"[{r.claim.statement[language]}](#{r.claim.slug})" for r in results if r.verdict == name]
        if slugs:
            found += [f"**{words.get(name, name)}** ({len(slugs)})", "", *(f"- {slug}" for slug in slugs), ""]
    for topic in dict.fromkeys(result.claim.topic for result in results):
        found += [f"## {topic.capitalize()}", ""]
        for result in results:
            if result.claim.topic == topic:
                found += _entry(result, language, words)
    return "\n".join(found).rstrip() + "\n"


def _entry(result: Result, language: str, words: dict[str, str]) -> list[str]:
    claim = result.claim
    found = [f"### {claim.statement[language]} {{ #{claim.slug} }}", ""]
    found += [f"**{words.get(result.verdict, result.verdict)}.** {claim.because[language]}", ""]
    found += [f"{words['decides']}: {quantity(claim)}; {rule(claim)}.", ""]
    found += [
        f"| {words['condition']} | {words['outcome']} | {words['effect']} | {words['seeds']} |",
        "| --- | --- | --- | --- |",
        *(_row(one, words) for one in result.decided),
        "",
    ]
    if claim.references:
        found += [f"{words['references']}: {'; '.join(claim.references)}.", ""]
    found += [f"{words['again']} ({result.runs} {words['runs']}): `harness claims {claim.slug}`", ""]
    return found


def _row(one: Decided, words: dict[str, str]) -> str:
    number = "-" if one.estimate is None else f"{one.estimate:.3g}"
    if one.low is not None and one.high is not None:
        number += f" [{one.low:.3g}, {one.high:.3g}]"
    cells: list[Any] = [one.condition, words.get(one.outcome, one.outcome), number, len(one.effects)]
    return f"| {' | '.join(map(str, cells))} |"
