"""What the pages of the book of claims have in common: their words, their order, and the numbers of a claim."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from harness_claims.claim import VERDICTS, Claim
from harness_claims.deciding import ALPHA, Decided
from harness_claims.running import Result
from harness_claims.text import quantity, rule

WORDS: dict[str, dict[str, str]] = {
    "en": {
        "title": "The book of claims",
        "intro": (
            "What textbooks and courses state, tested by experiments that could refute it. The number that decides, "
            "the rule and the seeds of a claim were fixed before looking; where something was changed afterwards, the "
            "entry says so. Each claim keeps an error rate of 5%: of {n} claims about {wrong} may have a wrong verdict "
            "by chance. A verdict is stable if three disjoint sets of seeds gave it: {stable} verdicts are."
        ),
        "stable": "stable",
        "verdicts": "By verdict",
        "decides": "What decides",
        "condition": "condition",
        "outcome": "outcome",
        "effect": "effect [interval]",
        "seeds": "seeds",
        "again": "Repeat it",
        "runs": "runs",
        "references": "References",
        "topics": "By topic",
    },
    "ko": {
        "title": "주장의 책",
        "intro": (
            "교재와 강의가 말하는 것을 반박할 수 있는 실험으로 시험한 결과이다. "
            "판정에 쓰는 수와 규칙과 시드의 수는 결과를 보기 전에 정했고, 나중에 바꾼 것이 있으면 그 항목에 적었다. "
            "주장 하나의 오류율은 5%이므로 {n}개 가운데 {wrong}개쯤은 우연히 잘못 판정될 수 있다. "
            "겹치지 않는 세 벌의 시드에서 판정이 모두 같으면 안정된 판정이라고 한다. 그런 판정은 {stable}개이다."
        ),
        "stable": "안정됨",
        "verdicts": "판정별",
        "decides": "판정하는 수",
        "condition": "조건",
        "outcome": "결과",
        "effect": "효과 [구간]",
        "seeds": "시드",
        "again": "다시 하기",
        "runs": "회 학습",
        "references": "참고 문헌",
        "topics": "주제별",
        "activations": "활성화 함수",
        "convolution": "합성곱",
        "descent": "경사 하강",
        "initialisation": "초기화",
        "linearity": "선형과 비선형",
        "losses": "손실 함수",
        "normalisation": "정규화",
        "optimisers": "최적화",
        "regularisation": "규제",
        "representation": "표현 학습",
        "sequences": "순차 데이터",
        "splits": "데이터 나누기",
        "systems": "시스템",
        "supported": "지지됨",
        "refuted": "반박됨",
        "conditional": "조건부",
        "not settled": "미결",
        "holds": "성립",
        "fails": "불성립",
    },
}


def introduction(results: Sequence[Result], words: Mapping[str, str]) -> str:
    """Return what a reader of the book must know."""
    stable = sum(is_stable(result) for result in results)
    return words["intro"].format(n=len(results), wrong=math.ceil(len(results) * ALPHA), stable=stable)


def is_stable(result: Result) -> bool:
    """Return True if other seeds gave the same verdict."""
    return result.claim.stable and result.verdict == result.claim.verdict


def by_verdict(results: Sequence[Result]) -> dict[str, list[Result]]:
    """Return the results of each verdict that occurs."""
    groups = {name: [result for result in results if result.verdict == name] for name in VERDICTS}
    return {name: group for name, group in groups.items() if group}


def by_topic(results: Sequence[Result]) -> dict[str, list[Result]]:
    """Return the results of each topic."""
    groups: dict[str, list[Result]] = {}
    for result in results:
        groups.setdefault(result.claim.topic, []).append(result)
    return groups


def decides(claim: Claim, language: str) -> str:
    """Return the number that decides a claim, and the rule."""
    return f"{quantity(claim, language)}; {rule(claim, language)}"


def columns(words: Mapping[str, str]) -> list[str]:
    """Return the titles of the columns of a claim's table."""
    return [words[name] for name in ("condition", "outcome", "effect", "seeds")]


def row(one: Decided, words: Mapping[str, str]) -> list[str]:
    """Return the cells of a condition in a claim's table."""
    number = "-" if one.estimate is None else f"{one.estimate:.3g}"
    if one.low is not None and one.high is not None:
        number += f" [{one.low:.3g}, {one.high:.3g}]"
    return [one.condition, words.get(one.outcome, one.outcome), number, str(len(one.effects))]
