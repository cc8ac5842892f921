"""Advice is tried before it is given: a run is trained again with it, for no longer than the run itself took."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
import yaml
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from harness import catalogue
from harness.app import compose
from harness.build import build
from harness.doctor.finding import ACCUSES, Finding
from harness.doctor.of_net import make
from harness.doctor.of_predictions import scores
from harness.doctor.rules_data import IMBALANCE, NOISE
from harness.doctor.rules_fit import OVERFITTING, UNDERFITTING
from harness.doctor.rules_machine import LOADER, MEMORY, SMALL
from harness.doctor.seen import Scores, Seen
from harness.errors import HarnessError
from harness.learner.fit import Run, fit, make_trainer
from harness.loading import Loader
from harness.prepare import make_plan
from harness.record import Record
from harness.resolve import resolve
from harness.running import make_member
from harness.settings import parse

PROVEN = frozenset({OVERFITTING, UNDERFITTING})  # what no advice mends is not this trouble
UNTRIED = frozenset({LOADER, SMALL, MEMORY})  # of the machine: a score does not tell
LEAST_S, TIMES = 10.0, 2.0  # processor seconds that all trials of a run take, or so many times what it took itself
GAIN, SURE_GAIN = 0.01, 0.02  # of a score, at the least, that counts as better; and that proves a trouble
LOSS_GAIN = 0.85  # of the loss on validation: what is lower is better at an equal score
ASIDE = frozenset(
    {
        "study",
        "logger",
        "diagnostic",
        "executor",
        "path",
        "jobs",
        "resume",
        "rerun",
        "checkpoint_every",
        "save",
        "hydra",
    }
)


def with_tries(words: Sequence[str], tries: Sequence[str]) -> list[str]:
    """The overrides of a run with those to try, which win."""
    keys = {word.partition("=")[0] for word in tries}
    kept = [w for w in words if (key := w.partition("=")[0]) not in keys and key.partition(".")[0] not in keys]
    return [*kept, *tries]


def tried(record: Record, seen: Seen, findings: list[Finding], loader: Loader) -> list[Finding]:
    """The findings, the first one's advice having been tried: advice that helps stays, with what came of it, and other
    advice is withdrawn. Overfitting and underfitting that no advice mends are no accusation.
    """
    if not findings or findings[0].confidence < ACCUSES or not findings[0].tries:
        return findings
    first, *others = findings
    if first.trouble in UNTRIED or seen.data is None or not (record.folder / ".hydra" / "overrides.yaml").exists():
        return findings
    trial = _Trial(record, seen, loader)
    last = ""
    for tries in dict.fromkeys((first.tries, *first.others)):
        result = trial.of(first, tries)
        if result is None:
            break  # no time is left, or it cannot be trained here
        helps, last = result
        if helps:
            return [replace(first, tries=tries, outcome=last), *others]
    if not last:
        return findings  # nothing is known of its advice
    told = f"{first.cause}; what usually mends it did not help here"
    confidence = min(first.confidence, 0.8 * ACCUSES) if first.trouble in PROVEN else first.confidence
    found = [replace(first, tries=(), cause=told, outcome=last, confidence=confidence), *others]
    return sorted(found, key=lambda f: -f.confidence)


class _Trial:
    """Trains a run again with other overrides, as long as time is left."""

    def __init__(self, record: Record, seen: Seen, loader: Loader) -> None:
        self.record, self.seen, self.loader = record, seen, loader
        own = float(seen.time.get("share_s") or seen.time.get("fit_s") or 0.0)
        self.ends = time.process_time() + max(LEAST_S, TIMES * own)
        path = record.folder / ".hydra" / "overrides.yaml"
        words = [str(word) for word in yaml.safe_load(path.read_text()) or []]
        self.words = [word for word in words if word.lstrip("+~").partition("=")[0].partition(".")[0] not in ASIDE]

    def of(self, finding: Finding, tries: Sequence[str]) -> tuple[bool, str] | None:
        """Whether some overrides help, and in words what came of them; None where that cannot be known here."""
        if time.process_time() > self.ends:
            return None
        words = [*with_tries(self.words, tries), "logger=[]", "diagnostic=[]"]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is broken may warn; it is examined, and not used
            try:
                made = self._trained(compose(words).values)
            except (HarnessError, HydraException, OmegaConfBaseException):
                return False, "it cannot be combined with this run"
            except (Exception, SystemExit):  # whatever a stranger's broken component does
                return None
        if made is None:
            return None
        found, loss = made
        return self._judged(finding, tries, found, loss)

    def _trained(self, asked: dict[str, Any]) -> tuple[Scores | None, float] | None:
        """The scores, and the loss on validation, of a run of this config; None where it took too long."""
        dataset = self.loader.load(asked).dataset
        values = resolve(asked, dataset, catalogue.current())
        plan = make_plan(parse(values), dataset, values)
        parts = build(values, dataset, plan.total_steps)
        member = make_member(values, parts)
        late: list[bool] = []

        def watch(metrics: dict[str, float], step: int, epoch: int) -> None:
            if time.process_time() > self.ends:
                late.append(True)
                raise TimeoutError

        member.watchers.append(watch)
        fit(make_trainer(values["trainer"], plan, ""), [Run(parts, plan, dataset, member)], False)
        if late:
            return None
        if member.failed is not None:
            raise member.failed
        if member.weights is None:
            return None, math.inf
        path = make(values, dataset, plan)
        path.model.load_state_dict(member.weights)
        path.averages = []
        with torch.random.fork_rng(devices=[]):
            return scores(path, dataset), float(member.metrics.get("val/loss", math.nan))

    def _judged(
        self, finding: Finding, tries: Sequence[str], made: Scores | None, loss: float
    ) -> tuple[bool, str] | None:
        if made is None:
            return (False, "it diverged") if math.isinf(loss) else None
        seen, what, of = self.seen, "score on validation", _val
        if finding.trouble == IMBALANCE:
            what, of = "mean recall of the classes, on validation", _balanced
        own = seen.net.scores if seen.net is not None else None
        before, after = math.nan if own is None else of(own), of(made)
        if math.isnan(after):
            return None
        told = f"{what} {after:.3g}" + ("" if math.isnan(before) else f", {before:.3g} without")
        if math.isnan(before):
            return after > (seen.data.floor if seen.data is not None else -math.inf), told
        gain = after - before
        error = 0.0 if seen.data is None else seen.data.error
        margin = max(SURE_GAIN, error) if finding.trouble == UNDERFITTING else max(GAIN, 0.5 * error)
        if gain >= margin:
            return True, told
        curve = [value for value in seen.curve("val/loss") if math.isfinite(value)]
        same = not any(word.partition("=")[0].partition(".")[0] in ("loss", "task", "data") for word in tries)
        lower = bool(curve) and same and loss <= LOSS_GAIN * curve[-1] and seen.data is not None
        if lower and gain >= -0.005 and finding.trouble in (OVERFITTING, NOISE):
            return True, f"{told}; loss on validation {loss:.3g}, {curve[-1]:.3g} without"
        kept = gain >= -0.005 and finding.trouble not in (OVERFITTING, UNDERFITTING, NOISE, IMBALANCE)
        return kept, told


def _val(scores: Scores) -> float:
    return scores.val


def _balanced(scores: Scores) -> float:
    known = [recall for recall in scores.recalls if not math.isnan(recall)]
    return sum(known) / len(known) if known else math.nan
