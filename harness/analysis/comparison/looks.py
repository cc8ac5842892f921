"""Keep the looks at a study in `looks.jsonl`, so that its verdicts stay valid when seeds are added.

A line is one look at new data: the question, the number of planned units, and each pair of arms with the number of its
units, the digest of their outcomes, the error rate spent and the verdict. Lines are appended in one write; lines that
are torn or of another format are skipped.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
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
        digest: Digest of their outcomes.
        level: Error rate that the look spent.
        winner: Name of the arm that is settled to be better, or the empty string.
        margin: The margin within which the arms are settled to be equal, or None.
        number: Number of the look, from 1.
    """

    n: int
    digest: str
    level: float
    winner: str = ""
    margin: float | None = None
    number: int = 1


Pair = tuple[str, str]


def pair_key(arm: str, against: str) -> Pair:
    """Return the names of two arms in a fixed order."""
    return (arm, against) if arm <= against else (against, arm)


@dataclass
class Question:
    """The looks at one question: a metric on one data set, for one family of comparisons.

    Attributes:
        key: The question as text.
        planned: Number of units planned at the first look, or None before it.
        looks: Earlier looks at each pair, the last one last.
        number: Number of looks so far.
        fresh: Looks of this report at new data.
    """

    key: str
    planned: int | None = None
    looks: dict[Pair, list[PairLook]] = field(default_factory=dict)
    number: int = 0
    fresh: dict[Pair, PairLook] = field(default_factory=dict)

    def plan(self, n: int, wished: int | None) -> int:
        """Return the number of planned units, and fix it at the first look.

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
        return self.planned

    def look(self, pair: Pair, n: int, digest: str) -> PairLook:
        """Return the look at a pair: the earlier one at the same data, or a new one with the rate that it spends."""
        earlier = self.looks.get(pair, [])
        for known in reversed(earlier):
            if known.digest == digest:
                return known
        assert self.planned is not None
        before = max((known.n for known in earlier), default=0)
        look = PairLook(n, digest, spend(n, before, self.planned), number=self.number + 1)
        self.fresh[pair] = look
        return look

    def keep(self, pair: Pair, winner: str = "", margin: float | None = None) -> None:
        """Note the verdict of a look at new data; a look at known data changes nothing."""
        if (look := self.fresh.get(pair)) is not None:
            self.fresh[pair] = replace(look, winner=winner, margin=margin)

    def settled(self, pair: Pair) -> PairLook | None:
        """Return the first earlier look that settled which arm is better, or None."""
        return next((look for look in self.looks.get(pair, []) if look.winner), None)

    def equal(self, pair: Pair, margin: float) -> PairLook | None:
        """Return the first earlier look that settled that the arms are equal within a margin, or None."""
        return next((x for x in self.looks.get(pair, []) if x.margin is not None and x.margin <= margin), None)

    def spent(self, pair: Pair) -> float:
        """Return the error rate spent on a pair by all looks."""
        looks = [*self.looks.get(pair, []), *([self.fresh[pair]] if pair in self.fresh else [])]
        return sum(look.level for look in looks)

    def line(self) -> str:
        """Return the new looks as a line of the file."""
        pairs = [[*pair, x.n, x.digest, x.level, x.winner, x.margin] for pair, x in self.fresh.items()]
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        row = {"format": FORMAT, "time": now, "question": self.key, "planned": self.planned, "pairs": pairs}
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
            except (ValueError, TypeError, KeyError, RecursionError):
                continue

    def _add(self, row: Mapping[str, Any]) -> None:
        if row["format"] != FORMAT:
            return
        looks = [
            ((str(a), str(b)), (int(n), str(digest), float(level), str(winner), None if m is None else float(m)))
            for a, b, n, digest, level, winner, m in row["pairs"]
        ]
        planned = int(row["planned"])
        if planned < 1 or any(n < 0 or not 0 <= level <= 1 for _, (n, _, level, _, _) in looks):
            raise ValueError("a number is out of range")
        question = self.question(str(row["question"]))
        question.planned = question.planned or planned
        question.number += 1
        for pair, values in looks:
            question.looks.setdefault(pair, []).append(PairLook(*values, number=question.number))

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
