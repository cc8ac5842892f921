"""The result of a claim, as lines for the terminal and as data."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from harness_claims.claim import Claim
from harness_claims.deciding import Decided
from harness_claims.running import Result, study

WIDTH = 100
EFFECT = {
    "en": {
        "level": "{measure} of {sides}",
        "difference": "{measure}: {sides}",
        "ratio": "{measure}: {sides}",
        "slope": "slope of {measure} over {factor}",
        "interaction": "slope of {measure} over {factor}: {sides}",
        "spread": "largest minus smallest {measure} over {factor}",
        "correlation": "rank correlation of {measure} with {factor}",
        "pick": "{measure} is highest for {first}",
    },
    "ko": {
        "level": "{sides}의 {measure}",
        "difference": "{measure}: {sides}",
        "ratio": "{measure}: {sides}",
        "slope": "{factor}에 대한 {measure}의 기울기",
        "interaction": "{factor}에 대한 {measure}의 기울기: {sides}",
        "spread": "{factor}에 따른 {measure}의 최댓값 - 최솟값",
        "correlation": "{factor}에 대한 {measure}의 순위 상관",
        "pick": "{measure}의 최댓값은 {first}의 것",
    },
}
DECIDED = {
    "en": {
        "mean": "the mean is {}",
        "every": "every seed is {}",
        "share": "most seeds are {}",
        "rank": "by rank it is {}",
    },
    "ko": {"mean": "평균이 {}", "every": "모든 시드에서 {}", "share": "과반의 시드에서 {}", "rank": "순위로 보아 {}"},
}
REVISED = {"en": "Changed after a first look", "ko": "결과를 처음 본 뒤 바꾼 것"}
TRUE_IF = {"en": "; true if ", "ko": "; 참인 조건: "}
JOINED = {"ratio": " / ", "difference": " - ", "interaction": " - "}


def quantity(claim: Claim, language: str = "en") -> str:
    """Return in words the number that decides a claim, and how its sides are matched."""
    names = list(claim.sides)
    sides = JOINED.get(claim.effect, ", ").join(names)
    factor = claim.factor[0] if claim.factor else ""
    form = EFFECT[language][claim.effect]
    text = form.format(measure=claim.measure.text(language), sides=sides, factor=factor, first=names[0])
    return text if claim.match.rule == "epochs" else f"{text}, {claim.match.text(language)}"


def lines(result: Result, language: str = "en") -> list[str]:
    """Return the lines that answer whether a claim is true: verdict, numbers, conditions, and why."""
    claim = result.claim
    changed = f" (recorded: {claim.verdict})" if result.changed else ""
    quick = ", quick" if result.quick else ""
    found = [f"{claim.slug}  {result.verdict.upper()}{changed}"]
    found += _wrapped(f'"{claim.statement[language]}"')
    found += _wrapped(f"{quantity(claim, language)}{TRUE_IF[language]}{rule(claim, language)}")
    found += [_condition(one, claim, len(result.decided) > 1) for one in result.decided]
    found += _wrapped(claim.because[language])
    if claim.revised:
        found += _wrapped(f"{REVISED[language]}: {claim.revised[language]}")
    found.append(
        f"  {result.runs} runs{quick}; again: harness claims {claim.typed or claim.slug}{' --quick' * result.quick}"
    )
    return found


def rule(claim: Claim, language: str = "en") -> str:
    """Return the rule that decides, in words."""
    return DECIDED[language][claim.of].format(claim.region.text(language))


def _condition(one: Decided, claim: Claim, several: bool) -> str:
    seeds = f"{len(one.effects)} seeds"
    number = "no measurement" if one.estimate is None else f"{one.estimate:.4g}"
    number += " (median)" * (claim.of == "rank")
    if one.low is not None and one.high is not None:
        number += f" [{one.low:.4g}, {one.high:.4g}]"
    more = f"; {one.needed} seeds would settle it" if one.needed else ""
    missing = f"; {one.missing} of them without a measurement" if one.missing else ""
    surprise = ", not as expected" if {one.expect, one.outcome} == {"holds", "fails"} else ""
    name = f"{one.condition}: " if several else ""
    return f"  {name}{one.outcome}{surprise}: {number}, {seeds}{missing}{more}"


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent="  ", subsequent_indent="  ")


def summary(results: Sequence[Result]) -> str:
    """Return how many claims have each verdict."""
    counts: dict[str, int] = {}
    for result in results:
        counts[result.verdict] = counts.get(result.verdict, 0) + 1
    return f"{len(results)} claims: " + ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))


def _as_json(value: Any) -> Any:
    """Return plain data with words for numbers that JSON does not have, as records have them: "inf"."""
    if isinstance(value, dict):
        return {key: _as_json(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_as_json(one) for one in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def row(result: Result) -> dict[str, Any]:
    """Return a result as plain data."""
    claim = result.claim
    return {
        "claim": claim.slug,
        "verdict": result.verdict,
        "recorded": claim.verdict,
        "statement": dict(claim.statement),
        "because": dict(claim.because),
        "revised": dict(claim.revised) or None,
        "quantity": quantity(claim),
        "rule": rule(claim),
        "conditions": [_as_json(asdict(one)) for one in result.decided],
        "runs": result.runs,
        "quick": result.quick,
        "study": study(claim),
    }
