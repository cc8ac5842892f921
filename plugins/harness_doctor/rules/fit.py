"""Rules on the fit: the loss, normalization over batches, over- and underfitting."""

from __future__ import annotations

import math
from typing import Any

from harness_doctor.engine import KEY
from harness_doctor.evidence import NetworkEvidence, RunEvidence
from harness_doctor.finding import Evidence, Finding, between
from harness_doctor.rules.hardware import larger

WRONG_LOSS, SMALL_BATCHES, MODE = "wrong loss", "batch norm with small batches", "batch norm in the wrong mode"
OVERFITTING, UNDERFITTING = "overfitting", "underfitting"


def wrong_loss(seen: RunEvidence) -> Finding | None:
    """Find a loss that does not fit the output."""
    findings = [f for rule in (_prefers_wrong, _of_probabilities, _cut, _names_as_numbers) if (f := rule(seen))]
    return max(findings, key=lambda f: f.confidence, default=None)


def _prefers_wrong(seen: RunEvidence) -> Finding | None:
    net = seen.net
    if net is None or math.isnan(net.loss_right):
        return None
    losses = seen.curve("train/loss")
    made = net.loss_made if net.scores is not None else (losses[-1] if losses else math.nan)
    if math.isnan(made) or made >= net.loss_right - 0.05 * max(1.0, abs(net.loss_right)):
        return None
    evidence = (Evidence("loss of the network's predictions", made), Evidence("and of right ones", net.loss_right))
    cause = "this loss is lower for wrong predictions than for right ones: to minimise it is not to learn"
    return Finding(WRONG_LOSS, 0.99 * between(seen.lag(), 0.05, 0.2), evidence, cause, ("loss=auto",))


def _of_probabilities(seen: RunEvidence) -> Finding | None:
    net = seen.net
    if net is None or not net.sums_to_one or not net.loss_of_certain > net.loss_right + 0.1:
        return None
    evidence = (
        Evidence("least loss that probabilities can reach", net.loss_of_certain),
        Evidence("and that logits can", net.loss_right),
    )
    cause = "the network ends in a softmax, and its loss takes a softmax again: it wants logits"
    return Finding(WRONG_LOSS, 0.97, evidence, cause, ("model=auto",))


def _cut(seen: RunEvidence) -> Finding | None:
    net = seen.net
    if net is None or not net.cut > 0.15:
        return None
    bad = 0.3 + 0.7 * between(seen.lag(), 0.05, 0.2)
    evidence = (Evidence("share of the network's outputs that are exactly zero", net.cut),)
    cause = "an activation at the output cuts off what the loss wants to be any number"
    return Finding(WRONG_LOSS, 0.96 * between(net.cut, 0.1, 0.3) * bad, evidence, cause, ("model=auto",))


def _names_as_numbers(seen: RunEvidence) -> Finding | None:
    data = seen.data
    if data is None or not data.distinct_targets >= 2:
        return None
    evidence = (Evidence("different targets, all whole numbers", float(data.distinct_targets)),)
    cause = "targets look like names of classes, and are learned as amounts"
    tries = ("data.kind=class",) if "kind" in seen.config.get("data", {}) else ()
    return Finding(WRONG_LOSS, 0.85, evidence, cause, tries)


def small_batches(seen: RunEvidence) -> Finding | None:
    """Find normalization over batches of so few samples that mean and variance are mostly noise."""
    message = str((seen.error or {}).get("message", ""))
    if "more than 1 value per channel" in message:
        cause = "batch normalization cannot work on a batch, or a last batch, of one sample"
        one = (Evidence("samples in a batch", float(seen.config["batch_size"])),)
        return Finding(SMALL_BATCHES, 0.97, one, cause, larger(seen))
    net = seen.net
    if net is None or not net.batch_statistics:
        return None
    bad = max(between(seen.lag("both"), 0.02, 0.15), abs(_gap(net)))
    confidence = between(net.batch_numbers, 12, 5) * (0.45 + 0.55 * min(1.0, bad))
    evidence = (
        Evidence("numbers that a mean and a variance are taken of", float(net.batch_numbers), net.batch_statistics[0]),
        Evidence("score on training samples, in training mode less in evaluation mode", _gap(net)),
    )
    cause = "means and variances of so few numbers are mostly chance"
    return Finding(SMALL_BATCHES, 0.97 * confidence, evidence, cause, larger(seen))


def _gap(net: NetworkEvidence) -> float:
    if net.scores is None or math.isnan(net.scores.train_mode) or math.isnan(net.scores.train):
        return 0.0
    return net.scores.train_mode - net.scores.train


def mode(seen: RunEvidence) -> Finding | None:
    """Find networks that behave differently in evaluation, or are not put into evaluation mode."""
    net = seen.net
    if net is None or net.scores is None:
        return None
    if net.company > 1e-3:
        evidence = Evidence("how far a prediction depends on the others in its batch", net.company)
        cause = "in evaluation it still normalizes over the batch: a sample's prediction depends on its company"
        return Finding(MODE, 0.95, (evidence,), cause, ("normalization=layer_norm",))
    if not net.batch_statistics:
        return None
    evidence_of = (
        Evidence("score on training samples, in training mode", net.scores.train_mode),
        Evidence("and in evaluation mode", net.scores.train),
    )
    cause = "the running mean and variance that evaluation takes are not those of training"
    return Finding(MODE, 0.96 * between(_gap(net), 0.04, 0.15), evidence_of, cause, ("normalization=layer_norm",))


def overfitting(seen: RunEvidence) -> Finding | None:
    """The training split is learned by heart, and validation gets worse."""
    val = [v for v in seen.curve("val/loss") if math.isfinite(v)]
    scores = seen.net.scores if seen.net is not None else None
    if len(val) < 3:
        return None
    best = min(val)
    if scores is None or math.isnan(scores.val):
        return _by_curves(seen, val, best)
    start = seen.net.loss_start if seen.net is not None and math.isfinite(seen.net.loss_start) else val[0]
    rise = (val[-1] - best) / max(start - best, 1e-12)
    gap = scores.train - scores.val
    lag = seen.lag("val")
    if seen.data is not None and seen.data.target == "real":  # of r², a gap is harmless where nobody does better
        by_gap = between(gap, 0.2, 0.45) * between(lag, 0.08, 0.25)
        by_rise = between(gap, 0.15, 0.3) * between(rise, 0.03, 0.12)
    else:
        # an accuracy of few samples is chance in part
        gap -= math.sqrt(max(0.0, scores.val * (1 - scores.val)) / max(1, int(seen.counts.get("val", 0))))
        # noise makes a gap as well: it harms where plain estimators, or the run itself earlier, do better
        harm = max(between(lag, 0.02, 0.15), _fallen(seen, scores.val))
        by_gap = between(gap, 0.06, 0.14) * (0.6 + 0.4 * harm)
        by_rise = between(gap, 0.05, 0.15) * between(rise, 0.03, 0.12) * (0.6 + 0.4 * max(harm, between(rise, 0.3, 1)))
        by_rise = max(by_rise, between(gap, 0.02, 0.08) * between(rise, 0.3, 1))
    evidence = (
        Evidence("score on training samples less that on validation", gap),
        Evidence("share of what validation loss had gained that is lost again", rise, "", val.index(best)),
    )
    return _overfits(seen, 0.9 * max(by_gap, by_rise), evidence)


def _overfits(seen: RunEvidence, confidence: float, evidence: tuple[Evidence, ...]) -> Finding:
    cause = "more parameters and epochs than samples can teach"
    first, *others = remedies(seen.config)
    return Finding(OVERFITTING, confidence, evidence, cause, first, tuple(others))


def _fallen(seen: RunEvidence, made: float) -> float:
    """Return how far validation accuracy has fallen from its best epoch, beyond chance: 1 for a tenth or more."""
    curve = [value for value in seen.curve("val/accuracy") if math.isfinite(value)]
    if not curve or seen.data is None:
        return 0.0
    return between(max(curve) - curve[-1] - 1.5 * seen.data.error, 0, 0.1)


def _by_curves(seen: RunEvidence, val: list[float], best: float) -> Finding | None:
    """Find overfitting without weights to score: validation loss that rises while training loss falls."""
    train, at = seen.curve("train/loss"), val.index(best)
    if len(train) != len(val) or not train[-1] < train[at]:
        return None
    rise = (val[-1] - best) / max(val[0] - best, 1e-12)
    evidence = (
        Evidence("least validation loss, after which it rose", best, "", at),
        Evidence("and at the end", val[-1]),
    )
    return _overfits(seen, 0.9 * between(rise, 0.2, 0.8), evidence)


def remedies(config: Any) -> list[tuple[str, ...]]:
    """Return regularizers to add to those of the run, the most effective choice first."""
    chosen = list(config.get("regularizer", {}))
    wanted = (("early_stopping", "dropout"), ("early_stopping",), ("dropout",), ("weight_decay",))
    added = [[*chosen, *(name for name in names if name not in chosen)] for names in wanted]
    return [(f"regularizer=[{','.join(names)}]",) for names in added if names != chosen]


def underfitting(seen: RunEvidence) -> Finding | None:
    """Find runs that fit the training split worse than baseline estimators fit held-out samples.

    Their validation score must lag too: noise that nobody can fit is not underfitting.
    """
    lag = seen.lag()
    if math.isnan(lag) or seen.status != "completed" or seen.net is None or seen.net.scores is None:
        return None
    evidence = [Evidence("score on training samples", seen.net.scores.train)]
    confidence = 0.85 * between(lag, 0.08, 0.16)
    if seen.data is not None and not math.isnan(seen.data.attained):
        evidence.append(Evidence(f"score of {seen.data.by_reference} on those it has not seen", seen.data.attained))
        evidence.append(Evidence("and on validation", seen.data.reference))
        confidence *= between(seen.lag("val"), 0, 0.05)
    cause, tries, others = _why(seen, seen.curve("train/loss"))
    return Finding(UNDERFITTING, confidence, tuple(evidence), cause, tries, others)


def _why(seen: RunEvidence, losses: list[float]) -> tuple[str, tuple[str, ...], tuple[tuple[str, ...], ...]]:
    longer = (f"epochs={3 * int(seen.config['epochs'])}",)
    larger = _larger(seen.config.get("model", {}))
    if seen.config.get("regularizer"):
        return "what is regularized so strongly cannot fit", ("regularizer=[]",), (longer, larger)
    if _unmoved(seen.net):
        cause = "weights and loss have hardly moved since the start: steps are too small, or too few"
        return cause, (longer if math.isnan(seen.lr) else (f"optimizer.lr={100 * seen.lr:.3g}",)), (longer,)
    late = losses[-max(2, len(losses) // 5) :]
    if len(late) >= 2 and late[0] > 0 and late[-1] < 0.9 * late[0]:
        return "it is still learning when it ends", longer, (larger,)
    cause = "the network is too small for this data" if len(larger) > 1 else "the model is too simple for this data"
    return cause, larger, (longer,)


def _unmoved(net: NetworkEvidence | None) -> bool:
    """Return True if training changed neither weights nor loss, which tells nothing about the size of the network."""
    return net is not None and net.moved < 0.01 and not net.loss_made < 0.97 * net.loss_start


def _larger(model: Any) -> tuple[str, ...]:
    grown = {"width": lambda n: max(64, 4 * n), "depth": lambda n: max(2, n + 1)}
    tries = tuple(f"model.{key}={grow(model[key])}" for key, grow in grown.items() if isinstance(model.get(key), int))
    return (f"model={model[KEY]}", *tries) if tries else ("model=auto",)


RULES = (wrong_loss, small_batches, mode, overfitting, underfitting)
