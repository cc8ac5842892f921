"""The bench: every case is trained and examined, and trained again with the suggested override if there is one."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from harness.system.errors import HarnessError
from harness_doctor.evidence import RunEvidence
from harness_doctor.examination import Examination
from harness_doctor.finding import Finding
from harness_doctor.rules.data import IMBALANCE
from harness_doctor.trying import with_tries
from tests.plugins.doctor.case import Case, named, trained

SURELY = 1.96  # deviations of a 95% interval


class Run(NamedTuple):
    """An examined run: its validation metric (nan if it has none), evidence, findings, and the same metric on test."""

    score: float
    metric: str
    higher_is_better: bool
    seen: RunEvidence
    findings: list[Finding]
    test: float = math.nan


Look = Callable[[Sequence[str]], Run]


@dataclass(frozen=True)
class Result:
    """The result of a case; `after` is the run with the overrides of the first finding, if any."""

    case: Case
    run: Run
    findings: list[Finding]
    after: Run | None = None
    left: str = ""  # the first accusation on the run after

    @property
    def named(self) -> str:
        return named(self.findings)

    @property
    def right(self) -> bool:
        return self.named == self.case.trouble

    @property
    def mended(self) -> bool:
        """Return True if the run with the override is without findings, and better than before."""
        if self.after is None or self.left or math.isnan(self.after.score):
            return False
        gain = self.after.score - self.run.score
        if self.case.trouble == IMBALANCE:  # the mean recall of classes, not the share of all samples
            return balanced(self.after) > balanced(self.run)
        return math.isnan(self.run.score) or (gain > 0) == self.after.higher_is_better

    @property
    def worse(self) -> bool:
        """Return True if the override made the run significantly worse on validation or on test.

        Significant is the 95% interval of an accuracy, or a tenth of an error. A run that now has another metric cannot
        be compared.
        """
        if self.after is None or math.isnan(self.run.score) or self.after.metric != self.run.metric:
            return False
        if self.case.trouble == IMBALANCE:
            return balanced(self.after) < balanced(self.run)
        if math.isnan(self.after.score):
            return True
        before, after, counts = self.run, self.after, self.run.seen.counts
        pairs = ((before.score, after.score, "val"), (before.test, after.test, "test"))
        return any(fallen(a, b, int(counts.get(split, 0) or 1), before.higher_is_better) for a, b, split in pairs)

    @property
    def lower(self) -> bool:
        """Return True if the run is worse by the first definition, which is often met by chance.

        It is one standard error of an accuracy on test, or a tenth of an error; or on validation more than 0.005, or a
        hundredth of an error.
        """
        if self.after is None or math.isnan(self.run.score) or self.after.metric != self.run.metric:
            return False
        if self.case.trouble == IMBALANCE:
            return balanced(self.after) < balanced(self.run)
        if math.isnan(self.after.score):
            return True
        before, after = self.run, self.after
        if not before.higher_is_better:
            return after.score > 1.01 * before.score or after.test > 1.1 * before.test
        n, share = int(before.seen.counts.get("test", 0) or 1), min(max(before.test, 0.0), 1.0)
        error = math.sqrt(max(0.25 / n, share * (1 - share) / n))
        return before.score - after.score > 0.005 or before.test - after.test > error


def fallen(before: float, after: float, n: int, higher_is_better: bool) -> bool:
    """Return True if a metric on `n` samples has become significantly worse."""
    if not higher_is_better:
        return after > 1.1 * before
    share = min(max(before, 0.0), 1.0)
    return before - after > SURELY * math.sqrt(max(share * (1 - share), 1 / n) / n)


def looking(study: str) -> Look:
    """Train and examine in this process."""
    examination = Examination()

    def look(words: Sequence[str]) -> Run:
        record = trained(words, study)
        metric = str(record.config["objective"])
        best = record.best.get(metric, {})
        done = record.status == "completed"
        score = record.objective if done else math.nan
        test = float(record.metrics.get(metric.replace("val/", "test/"), math.nan)) if done else math.nan
        seen = examination.examine(record)
        return Run(score, metric, higher(metric, best), seen, examination.findings(record, seen), test)

    return look


def judged(cases: Iterable[Case], look: Look, mending: bool) -> Iterator[Result]:
    """Yield results of the cases in order; with `mending`, suggested overrides are tried."""
    for case in cases:
        run = look(case.words)
        findings = run.findings
        result = Result(case, run, findings)
        tries = findings[0].tries if findings else ()
        if mending and case.trouble and result.right and tries:
            try:
                after = look(with_tries(case.words, tries))
            except HarnessError:  # an override that does not fit is no remedy
                yield result
                continue
            result = Result(case, run, findings, after, named(after.findings))
        yield result


def balanced(run: Run) -> float:
    """Return the mean recall of the classes, on validation."""
    scores = run.seen.net.scores if run.seen.net is not None else None
    known = [recall for recall in (scores.recalls if scores is not None else ()) if not math.isnan(recall)]
    return sum(known) / len(known) if known else math.nan


def higher(metric: str, best: Mapping[str, Any]) -> bool:
    """Return True if more of a metric is better; a metric that was never measured is judged by its name."""
    return bool(best.get("higher_is_better", metric.rpartition("/")[2] not in ("loss", "mse", "mae")))


def wilson(hits: int, of: int) -> tuple[float, float]:
    """Return Wilson's 95% interval of a share.

    >>> tuple(round(end, 3) for end in wilson(9, 10))
    (0.596, 0.982)
    """
    share, z2 = hits / of, SURELY**2
    middle = (share + z2 / (2 * of)) / (1 + z2 / of)
    half = SURELY / (1 + z2 / of) * math.sqrt(share * (1 - share) / of + z2 / (4 * of * of))
    return max(0.0, middle - half), min(1.0, middle + half)
