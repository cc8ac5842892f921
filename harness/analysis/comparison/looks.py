"""Keep the looks at a study in `looks.jsonl`, so that its verdicts stay valid when seeds are added.

A line is one look at new data: the question, the number of planned units, and each pair of arms with the number of its
units, the digest of their outcomes, the error rate spent and the verdict. A look counts as long as its outcomes are
part of the present ones: other runs under the same names, such as those of a later sweep with more epochs, are another
experiment. Lines are appended in one write; lines that are torn or of another format are skipped.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.analysis.stats.looks import planned_units, spend
from harness.system import safe_files
from harness.system.errors import HarnessError
from harness.system.typed_json import refuse_depth

FILE = "looks.jsonl"
FORMAT = 1
MAX_BYTES = 256 * safe_files.MB


@dataclass(frozen=True)
class PairLook:
    """A look at two arms.

    Attributes:
        n: Number of paired units.
        places: Where the paired outcomes are from: units, and levels that the comparison averages over.
        digest: Digest of these outcomes.
        level: Error rate that the look spent.
        planned: Number of units planned.
        number: Number of the look, from 1.
        winner: Name of the arm that is settled to be better, or the empty string.
        margin: The margin within which the arms are settled to be equal, or None.
    """

    n: int
    places: tuple[str, ...]
    digest: str
    level: float
    planned: int
    number: int = 1
    winner: str = ""
    margin: float | None = None


Pair = tuple[str, str]
Outcomes = Mapping[str, str]  # paired outcomes as text, by place


def pair_key(arm: str, against: str) -> Pair:
    """Return the names of two arms in a fixed order."""
    return (arm, against) if arm <= against else (against, arm)


def _digest(outcomes: Outcomes, places: Iterable[str]) -> str:
    text = repr([(place, outcomes[place]) for place in places])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass
class Question:
    """The looks at one question: a metric on one data set, for one family of comparisons.

    Attributes:
        key: The question as text.
        looks: Earlier looks at each pair, the last one last; after `recall` those that count.
        outcomes: Present outcomes of each pair.
        planned: Number of units planned, or None before the first look.
        fresh: Looks of this report at new data.
    """

    key: str
    looks: dict[Pair, list[PairLook]] = field(default_factory=dict)
    outcomes: dict[Pair, Outcomes] = field(default_factory=dict)
    planned: int | None = None
    fresh: dict[Pair, PairLook] = field(default_factory=dict)

    def recall(self, outcomes: Mapping[Pair, Outcomes]) -> None:
        """Set the present outcomes, and drop earlier looks whose outcomes are no part of them."""
        self.outcomes = dict(outcomes)
        self.looks = {
            pair: [
                look
                for look in self.looks.get(pair, [])
                if all(place in found for place in look.places) and _digest(found, look.places) == look.digest
            ]
            for pair, found in outcomes.items()
        }
        known = [look for looks in self.looks.values() for look in looks]
        self.planned = known[-1].planned if known else None

    def plan(self, n: int, wished: int | None) -> None:
        """Fix the number of planned units at the first look.

        Raises:
            HarnessError: If another number is wished for after the first look.
        """
        if self.planned is None:
            self.planned = planned_units(n) if wished is None else wished
        elif wished is not None and wished != self.planned:
            raise HarnessError(
                f"--planned {wished}: {self.planned} units were planned at the first look at this comparison, and "
                "error rates were spent by that plan; start a new study to plan otherwise"
            )

    def look(self, pair: Pair, n: int) -> PairLook:
        """Return the look at a pair: the earlier one at the same data, or a new one with the rate that it spends.

        Args:
            pair: The pair.
            n: Number of its units.
        """
        assert self.planned is not None
        found, earlier = self.outcomes[pair], self.looks[pair]
        for known in reversed(earlier):
            if len(known.places) == len(found):
                return known
        before = max((known.n for known in earlier), default=0)
        number = 1 + max((known.number for known in earlier), default=0)
        places = tuple(sorted(found))
        look = PairLook(n, places, _digest(found, places), spend(n, before, self.planned), self.planned, number)
        self.fresh[pair] = look
        return look

    def keep(self, pair: Pair, winner: str = "", margin: float | None = None) -> None:
        """Note the verdict of a look at new data; a look at known data changes nothing."""
        if (look := self.fresh.get(pair)) is not None:
            self.fresh[pair] = replace(look, winner=winner, margin=margin)

    def settled(self, pair: Pair) -> PairLook | None:
        """Return the first earlier look that settled which arm is better, or None."""
        return next((look for look in self.looks[pair] if look.winner), None)

    def equal(self, pair: Pair, margin: float) -> PairLook | None:
        """Return the first earlier look that settled that the arms are equal within a margin, or None."""
        return next((look for look in self.looks[pair] if look.margin is not None and look.margin <= margin), None)

    def spent(self, pair: Pair) -> float:
        """Return the error rate spent on a pair by all looks."""
        fresh = self.fresh.get(pair)
        return sum(look.level for look in self.looks[pair]) + (fresh.level if fresh is not None else 0.0)

    def line(self) -> str:
        """Return the new looks as a line of the file. Places that several pairs share are written once."""
        places = {places: i for i, places in enumerate(dict.fromkeys(look.places for look in self.fresh.values()))}
        pairs = [
            [*pair, x.n, places[x.places], x.digest, x.level, x.number, x.winner, x.margin]
            for pair, x in self.fresh.items()
        ]
        row = {
            "format": FORMAT,
            "time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "question": self.key,
            "planned": self.planned,
            "places": list(places),
            "pairs": pairs,
        }
        return json.dumps(row, separators=(",", ":")) + "\n"


class Looks:
    """The looks at a study.

    Args:
        folder: Folder of the study; None to keep nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self.path = None if folder is None else folder / FILE
        self.questions: dict[str, Question] = {}
        self.ended = True
        if self.path is not None:
            self._read(self.path)

    def _read(self, path: Path) -> None:
        if safe_files.is_link(path):
            raise HarnessError(f"{path} keeps the looks at this study, and is a link: remove it")
        try:
            text = safe_files.read(path, MAX_BYTES)
        except FileNotFoundError:
            return
        except OSError as error:
            raise HarnessError(f"{path} keeps the looks at this study, and cannot be read: {error}") from error
        self.ended = not text or text.endswith(b"\n")
        for line in filter(None, text.split(b"\n")):
            try:
                refuse_depth(line)
                self._add(json.loads(line))
            except (ValueError, TypeError, KeyError, IndexError, RecursionError):
                continue

    def _add(self, row: Mapping[str, Any]) -> None:
        if row["format"] != FORMAT:
            return
        planned, places = int(row["planned"]), [tuple(map(str, names)) for names in row["places"]]
        looks = [
            (
                (str(a), str(b)),
                PairLook(
                    int(n),
                    places[at],
                    str(digest),
                    float(level),
                    planned,
                    int(number),
                    str(winner),
                    None if margin is None else float(margin),
                ),
            )
            for a, b, n, at, digest, level, number, winner, margin in row["pairs"]
        ]
        if planned < 1 or any(look.n < 0 or look.number < 1 or not 0 <= look.level <= 1 for _, look in looks):
            raise ValueError("a number is out of range")
        question = self.question(str(row["question"]))
        for pair, look in looks:
            question.looks.setdefault(pair, []).append(look)

    def question(self, key: str) -> Question:
        """Return the looks at a question."""
        return self.questions.setdefault(key, Question(key))

    def save(self) -> str:
        """Append the new looks in one write. Return why that failed, or the empty string."""
        if self.path is None:
            return ""
        text = "".join(question.line() for question in self.questions.values() if question.fresh)
        if text:
            try:
                safe_files.append(self.path, (text if self.ended else f"\n{text}").encode())
            except OSError as error:
                return f"this look is not kept, since {self.path} cannot be written: {error.strerror or error}"
        return ""
