"""What makes the sides of a claim comparable: epochs, the best epoch, a value that all reach, sizes or times."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness import HarnessError, Record

RULES = ("epochs", "best_validation")
PARAMETERS, TIME = "model.parameters", "time"
TOLERANCE = 0.05  # of a number of parameters
_HOUR = 3600


@dataclass(frozen=True)
class Match:
    """A matching rule.

    Attributes:
        rule: "epochs" for equal epochs, "best_validation" for the best epoch of each run, the name of a metric whose
            value all runs reach, "model.parameters" for equal sizes, or "time" for equal seconds of training.
        value: The value of the metric, the number of parameters or of seconds.
    """

    rule: str
    value: float = 0.0

    def words(self, words: Sequence[str]) -> list[str]:
        """Return the overrides of a run with those that the rule adds."""
        if self.rule == "best_validation":
            stopping = ["regularizer.early_stopping.patience=1000"]
            return [*with_regularizer(words, "early_stopping"), *stopping]
        if self.rule == TIME:
            hours, seconds = divmod(int(self.value), _HOUR)
            return [*words, f"trainer.max_time=00:{hours:02d}:{seconds // 60:02d}:{seconds % 60:02d}", "path=alone"]
        if self.rule in (*RULES, PARAMETERS):
            return list(words)
        stop = [f"regularizer.stop_at.watch={self.rule}", f"regularizer.stop_at.value={self.value}"]
        return [*with_regularizer(words, "stop_at"), *stop]

    def reached(self, record: Record) -> bool:
        """Return False for a run that ended before it reached the value of the metric.

        Raises:
            HarnessError: If the run has another number of parameters than the rule states.
        """
        if self.rule == PARAMETERS and record.model is not None:
            parameters = record.model["parameters"]
            if not math.isclose(parameters, self.value, rel_tol=TOLERANCE):
                raise HarnessError(
                    f"the claim states {self.value:g} parameters, and {record.name} has {parameters}: choose a width"
                )
        return (
            "/" not in self.rule or (record.ended or {}).get("by") == "regularizer.stop_at" or _at_value(self, record)
        )

    def text(self, language: str) -> str:
        """Return the rule in words."""
        number = f"{self.value:g}"
        texts = {
            "epochs": {"en": "after equal epochs", "ko": "같은 에폭 뒤"},
            "best_validation": {"en": "at the best epoch by validation", "ko": "검증이 가장 좋은 에폭에서"},
            PARAMETERS: {"en": f"with {number} parameters", "ko": f"매개변수 {number}개로"},
            TIME: {"en": f"after {number} s of training", "ko": f"{number}초 학습한 뒤"},
        }
        reached = {"en": f"when {self.rule} reaches {number}", "ko": f"{self.rule} = {number}에 이르렀을 때"}
        return texts.get(self.rule, reached)[language]


def _at_value(match: Match, record: Record) -> bool:
    """Return True if the last epoch of a run reached the value."""
    value = record.metrics.get(match.rule, math.nan)
    return value >= match.value if record.directions.get(match.rule, False) else value <= match.value


def parse_match(row: Any) -> Match:
    """Return a matching rule from plain data.

    Raises:
        ValueError: If it is none.
    """
    if row in RULES:
        return Match(str(row))
    known = (
        f"{', '.join(RULES)}, {{METRIC: value}} such as {{train/accuracy: 0.95}}, {{{PARAMETERS}: n}} or {{{TIME}: s}}"
    )
    if not isinstance(row, dict) or len(row) != 1:
        raise ValueError(f"match must be one of {known}, got {row!r}")
    ((name, value),) = row.items()
    if name not in (PARAMETERS, TIME) and "/" not in str(name):
        raise ValueError(f"match must be one of {known}, got {row!r}")
    least = 1 if name in (PARAMETERS, TIME) else -math.inf
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value) or value < least:
        raise ValueError(f"match.{name} takes a number, got {value!r}")
    return Match(str(name), float(value))


def key_of(word: str) -> str:
    """Return the key that an override sets."""
    return word.partition("=")[0].lstrip("+~").strip()


def with_regularizer(words: Sequence[str], name: str) -> list[str]:
    """Return overrides that add a regularizer to those that they choose.

    >>> with_regularizer(["epochs=5", "regularizer=[dropout]"], "stop_at")
    ['epochs=5', 'regularizer=[dropout,stop_at]']
    """
    chosen: list[str] = []
    for word in words:
        if key_of(word) == "regularizer":
            chosen = [part.strip() for part in word.partition("=")[2].strip(" []").split(",") if part.strip()]
    others = [word for word in words if key_of(word) != "regularizer"]
    return [*others, f"regularizer=[{','.join([*chosen, name])}]"]
