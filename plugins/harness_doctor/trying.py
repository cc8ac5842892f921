"""Try advice before it is given: train a run again with and without it, on a few seeds."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
import yaml
from hydra.errors import HydraException
from numpy.typing import NDArray
from omegaconf.errors import OmegaConfBaseException

from harness import HarnessError, Record, RunCallback
from harness_doctor.engine import KEY, compose, current, reraise_interrupt, typed_settings
from harness_doctor.engine_training import (
    OF_STEPS,
    OF_TRAINING,
    Loader,
    Run,
    build,
    fit,
    make_member,
    make_plan,
    make_trainer,
    resolve,
)
from harness_doctor.evidence import RunEvidence, Scores
from harness_doctor.evidence_model import fitted, make
from harness_doctor.evidence_predictions import scores
from harness_doctor.finding import ACCUSES, Finding
from harness_doctor.rules.data import IMBALANCE, NOISE
from harness_doctor.rules.fit import OVERFITTING, UNDERFITTING
from harness_doctor.rules.hardware import LOADER, MEMORY

PROVEN = frozenset({OVERFITTING, UNDERFITTING})  # troubles that are only stated if advice helps
GAINS = PROVEN | {NOISE, IMBALANCE}  # troubles whose advice must raise the score; elsewhere it must not lower it
UNTRIED = frozenset({LOADER, MEMORY})  # troubles of the machine, which scores do not show
LEAST_S, TIMES = 20.0, 2.0  # processor seconds for all trials of a run: at least these, or this multiple of its own
SEEDS = 3  # largest number of pairs of runs, the run itself included
GAIN, SURE_GAIN = 0.01, 0.02  # smallest gain of a score that counts; and that proves underfitting
CLEAR = 0.05  # gain that needs no further seeds, if it is also three standard errors
LOSS = 0.005  # largest loss of a score that does not count
SURELY = 1.64  # standard errors of a gain: 5% by chance
LOSS_GAIN = 0.85  # ratio of validation losses that counts as better at an equal score
OVERRIDES = ".hydra/overrides.yaml"  # in the folder of a run
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
    """Return the overrides of a run, replaced and extended by those to try."""
    keys = {word.partition("=")[0] for word in tries}
    kept = [w for w in words if (key := w.partition("=")[0]) not in keys and key.partition(".")[0] not in keys]
    return [*kept, *tries]


def tried(record: Record, seen: RunEvidence, findings: list[Finding], loader: Loader) -> list[Finding]:
    """Return the findings after trying the advice of the first shown one that has any.

    Advice that helps is kept with its outcome; other advice is withdrawn, and so is that of the other findings, whose
    turn comes once this one is fixed. Overfitting and underfitting that no advice improves become hints.
    """
    shown = [f for f in findings if f.confidence >= ACCUSES] or findings
    place = next((place for place, finding in enumerate(shown) if finding.tries), None)
    told = [replace(finding, tries=(), others=()) for finding in findings]
    if place is not None:
        told[place] = _tried(record, seen, findings[place], loader)
    return sorted(told, key=lambda f: -f.confidence)


def _tried(record: Record, seen: RunEvidence, found: Finding, loader: Loader) -> Finding:
    silent = replace(found, tries=(), others=())
    if found.trouble in UNTRIED:
        return replace(found, others=())
    asked = [tries for tries in dict.fromkeys((found.tries, *found.others)) if tries and fits(record, tries)]
    choices = [tries for tries in asked if changes(record, tries, loader)]
    if not choices:
        return silent
    needed = found.trouble in GAINS or found.confidence < ACCUSES
    said: list[str] = []  # the outcome of each advice that was tried
    if seen.data is not None and (record.folder / OVERRIDES).exists():
        trial = _Trial(record, seen, loader)
        for tries in choices:
            result = trial.of(found, tries, needed)
            if result is None:
                break  # no time is left, or it cannot be trained here
            if result.helps:
                return replace(found, tries=tries, others=(), outcome="\n".join([result.told, *said]))
            said.append(f"{' '.join(tries)}: {result.told}")
    if said:
        cause = f"{found.cause}; what usually mends it did not help here beyond chance"
        confidence = min(found.confidence, 0.8 * ACCUSES) if found.trouble in PROVEN else found.confidence
        return replace(silent, cause=cause, outcome="\n".join(said), confidence=confidence)
    if needed:
        return replace(silent, cause=f"{found.cause}; what usually mends it could not be tried here")
    return replace(found, tries=choices[0], others=())


def fits(record: Record, tries: Sequence[str]) -> bool:
    """Return False for overrides of training if the model is an estimator that is fitted at once."""
    if not current().get("model", record.config["model"][KEY])["traits"].get("estimator"):
        return True
    useless = {*OF_TRAINING, *OF_STEPS, "loss"}
    return not any(word.partition("=")[0].partition(".")[0] in useless for word in tries)


def changes(record: Record, tries: Sequence[str], loader: Loader) -> bool:
    """Return False if the run has the values of some overrides already, be it by `auto`."""
    if not (record.folder / OVERRIDES).exists():
        return True
    try:
        asked = compose(with_tries(_words(record), tries)).values
        values = resolve(asked, loader.load(asked).dataset, current())
    except (HarnessError, HydraException, OmegaConfBaseException):
        return True  # a trial says why
    keys = {word.partition("=")[0].partition(".")[0] for word in tries}
    return any(values.get(key) != record.config.get(key) for key in keys)


def _words(record: Record) -> list[str]:
    """Return the overrides of a run that bear upon its training."""
    words = [str(word) for word in yaml.safe_load((record.folder / OVERRIDES).read_text()) or []]
    return [word for word in words if word.lstrip("+~").partition("=")[0].partition(".")[0] not in ASIDE]


class Outcome(NamedTuple):
    """Result of a trial: if the overrides help beyond chance, and a description."""

    helps: bool
    told: str


class TrialScores(NamedTuple):
    """A run that was trained again: its scores, None if it diverged, and its validation loss."""

    scores: Scores | None
    loss: float


class ScoreGains:
    """Gains by advice, seed by seed: scores before and after, and the gain of each validation sample."""

    def __init__(self, balanced: bool) -> None:
        self.balanced = balanced
        self.before: list[float] = []
        self.after: list[float] = []
        self.losses: list[tuple[float, float]] = []
        self.by_sample: list[NDArray[np.float64]] = []
        self.shares: NDArray[np.float64] = np.zeros(0)

    def note(self, before: TrialScores, after: TrialScores) -> None:
        """Add a pair of runs; a diverged one has the score -1."""
        one, other = (self._score(made) for made in (before, after))
        self.before.append(one)
        self.after.append(other)
        self.losses.append((before.loss, after.loss))
        if before.scores is None or after.scores is None:
            return
        marks, more = (np.asarray(made.scores.marks) for made in (before, after) if made.scores is not None)
        if len(marks) == len(more) > 1:
            self.by_sample.append(more - marks)
            shares = before.scores.shares if self.balanced else ()
            self.shares = np.asarray(shares) if len(shares) == len(marks) else np.full(len(marks), 1 / len(marks))

    def _score(self, made: TrialScores) -> float:
        if made.scores is None:
            return -1.0
        return balanced(made.scores) if self.balanced else made.scores.val

    @property
    def mean(self) -> float:
        return float(np.mean(self.after) - np.mean(self.before))

    @property
    def error(self) -> float:
        """Standard error of the mean gain, over samples and seeds."""
        variance = 0.0
        if self.by_sample:
            gains = np.mean(self.by_sample, 0)
            variance += float((self.shares**2 * (gains - (self.shares * gains).sum()) ** 2).sum())
        if len(self.after) > 1:
            variance += float(np.var(np.subtract(self.after, self.before), ddof=1)) / len(self.after)
        return math.sqrt(variance)

    @property
    def lower_loss(self) -> bool:
        """True if the validation loss is much lower on every seed."""
        return all(after <= LOSS_GAIN * before for before, after in self.losses)


class _TimeLimit(RunCallback):
    """Ends a run at the end of an epoch when the process has used its processor time."""

    def __init__(self, ends: float) -> None:
        self.ends, self.exceeded = ends, False

    def on_epoch_end(self, metrics: Mapping[str, float], step: int, epoch: int) -> None:
        if time.process_time() > self.ends:
            self.exceeded = True
            raise TimeoutError


class _Trial:
    """Train a run again with other overrides while time is left."""

    def __init__(self, record: Record, seen: RunEvidence, loader: Loader) -> None:
        self.record, self.seen, self.loader = record, seen, loader
        seconds = float(seen.time.get("share_s") or seen.time.get("fit_s") or 0.0)
        self.ends = time.process_time() + max(LEAST_S, TIMES * seconds)
        self.words = _words(record)
        losses = [value for value in seen.curve("val/loss") if math.isfinite(value)]
        found = seen.net.scores if seen.net is not None else None
        self._before = {0: TrialScores(found, losses[-1] if losses else math.nan)}

    def of(self, finding: Finding, tries: Sequence[str], needed: bool) -> Outcome | None:
        """Return the outcome of some overrides, or None if it cannot be determined.

        Args:
            finding: the finding that they address.
            tries: the overrides.
            needed: True if they must raise the score, False if they must not lower it.
        """
        same = not any(word.partition("=")[0].partition(".")[0] in ("loss", "task", "data") for word in tries)
        gains = ScoreGains(finding.trouble == IMBALANCE)
        for place in range(SEEDS):
            try:
                pair = self._pair(tries, place)
            except (HarnessError, HydraException, OmegaConfBaseException):
                return Outcome(False, "it cannot be combined with this run")
            except (Exception, SystemExit) as error:  # a broken component may raise anything
                reraise_interrupt(error)
                return None
            if pair is None:
                break  # no time is left
            before, after = pair
            if not place and (before.scores is None or math.isnan(before.scores.val)):
                return self._alone(after)
            if after.scores is None:
                return Outcome(False, "it diverged")
            if math.isnan(after.scores.val):
                return None
            gains.note(before, after)
            if self._clear(gains, needed, finding, same):
                break
        return self._judged(gains, needed, finding, same) if gains.after else None

    def _pair(self, tries: Sequence[str], place: int) -> tuple[TrialScores, TrialScores] | None:
        """Return the run without and with the overrides on one seed; None if no time is left."""
        seed = [f"seed={int(self.record.config['seed']) + 1000 * place}"] if place else []
        after = self._trained([*with_tries(self.words, [*tries, *seed])])
        if after is not None and place not in self._before:
            before = self._trained(with_tries(self.words, seed))
            if before is None:
                return None
            self._before[place] = before
        return None if after is None else (self._before[place], after)

    def _trained(self, words: Sequence[str]) -> TrialScores | None:
        """Train a run of these overrides; return None if it takes too long."""
        if time.process_time() > self.ends:
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # broken runs may warn
            return self._of_values(compose([*words, "logger=[]", "diagnostic=[]"]).values)

    def _of_values(self, asked: dict[str, Any]) -> TrialScores | None:
        dataset = self.loader.load(asked).dataset
        values = resolve(asked, dataset, current())
        plan = make_plan(typed_settings(values), dataset, values)
        if fitting := fitted(values, dataset, plan):
            return TrialScores(scores(fitting, dataset), math.nan)
        parts = build(values, dataset, plan.total_steps)
        member = make_member(values, parts)
        limit = _TimeLimit(self.ends)
        member.callbacks.append(limit)
        fit(make_trainer(values["trainer"], plan, ""), [Run(parts, plan, dataset, member)], False)
        if limit.exceeded:
            return None
        if member.failed is not None:
            raise member.failed
        if member.weights is None:
            return TrialScores(None, math.inf)
        path = make(values, dataset, plan)
        path.model.load_state_dict(member.weights)
        path.averages = []
        with torch.random.fork_rng(devices=[]):
            return TrialScores(scores(path, dataset), float(member.metrics.get("val/loss", math.nan)))

    def _alone(self, after: TrialScores) -> Outcome | None:
        """Return the outcome for a run without a score, such as a diverged one: advice helps if it beats a constant."""
        if after.scores is None:
            return Outcome(False, "it diverged")
        made, data = after.scores.val, self.seen.data
        if math.isnan(made):
            return None
        return Outcome(made > (-math.inf if data is None else data.floor), f"score on validation {made:.3g}")

    def _clear(self, gains: ScoreGains, needed: bool, finding: Finding, same: bool) -> bool:
        """Return True if no further seed would change the outcome."""
        if gains.mean >= max(CLEAR, 3 * gains.error):
            return True
        lost = gains.mean < -max(LOSS, gains.error)
        nothing = needed and gains.mean <= 0 and not self._softer(gains, finding, same)
        return lost or nothing

    def _softer(self, gains: ScoreGains, finding: Finding, same: bool) -> bool:
        """Return True if predictions are as good and much less overconfident, which fixes a fit to noise."""
        return same and finding.trouble in (OVERFITTING, NOISE) and gains.mean >= 0 and gains.lower_loss

    def _judged(self, gains: ScoreGains, needed: bool, finding: Finding, same: bool) -> Outcome:
        what = "mean recall of the classes, on validation" if gains.balanced else "score on validation"
        told = f"{what} {np.mean(gains.after):.3g}, {np.mean(gains.before):.3g} without"
        seeds = len(gains.after)
        told += f" (means of {seeds} seeds)" if seeds > 1 else ""
        least = SURE_GAIN if finding.trouble == UNDERFITTING else GAIN
        if gains.mean >= max(least, SURELY * gains.error):
            return Outcome(True, told)
        if self._softer(gains, finding, same):
            before, after = np.mean(gains.losses, 0)
            return Outcome(True, f"{told}; loss on validation {after:.3g}, {before:.3g} without")
        return Outcome(not needed and gains.mean >= -LOSS, told)


def balanced(scores: Scores) -> float:
    """Return the mean recall of the classes in validation."""
    known = [recall for recall in scores.recalls if not math.isnan(recall)]
    return sum(known) / len(known) if known else math.nan
