"""Rules on the data: scales, labels, classes, duplicates."""

from __future__ import annotations

import math

from harness_doctor.engine import KEY, sure_ratio
from harness_doctor.engine import quantities as q
from harness_doctor.evidence import DataEvidence, RunEvidence
from harness_doctor.finding import ACCUSES, Evidence, Finding, between

INPUTS, NOISE, LEAK, IMBALANCE = "inputs not scaled", "label noise", "leak between splits", "imbalance"
TARGETS, CONSTANT, TOLD = "targets not scaled", "constant targets", "target among the inputs"


def inputs(seen: RunEvidence) -> Finding | None:
    """Find features far from mean 0 and standard deviation 1."""
    if seen.data is not None:
        data = seen.data
        if not data.real_inputs:
            return None
        widest, narrowest, center = data.widest, data.narrowest, data.center
    else:
        values = {quantity: value for quantity in (q.INPUT_WIDEST, q.INPUT_LARGEST)
                  for _, value in seen.last(quantity).values()}  # fmt: skip
        if not values.get(q.INPUT_WIDEST):  # not known, or samples that are all alike, which no scale sets apart
            return None
        widest = narrowest = values[q.INPUT_WIDEST]
        center = values.get(q.INPUT_LARGEST, 0.0) / 3
    large = between(math.log10(max(widest, center, 1e-9)), 0.9, 1.7)
    small = between(-math.log10(max(widest, 1e-9)), 1.2, 2.2)
    lag = seen.lag("both")
    bad = 0.6 if math.isnan(lag) else 0.3 + 0.7 * between(lag, 0.05, 0.2)
    evidence = [Evidence("largest deviation of a feature", widest)]
    evidence.append(Evidence("largest mean of a feature", center))
    if narrowest < widest:
        evidence.append(Evidence("smallest deviation of a feature", narrowest))
    cause = "features of such scales make some directions of the loss far steeper than others"
    return Finding(INPUTS, 0.98 * max(large, small) * bad, tuple(evidence), cause, ("transform=[standardize]",))


def label_noise(seen: RunEvidence) -> Finding | None:
    """Find training labels that baseline estimators agree with less than with validation labels."""
    data = seen.data
    if data is None or math.isnan(data.agreement):
        return None
    if unrelated := _unrelated(data):
        return unrelated
    if not data.usual >= 0.5:
        return None
    held = max(1, int(seen.counts.get("val", 0)))
    train, val = data.agreement, (data.usual * held + 2) / (held + 4)  # of few samples, even 1 is chance in part
    error = math.sqrt(_variance(train, data.n) + _variance(val, held))
    wrong = 1 - train / val
    surely = wrong - 2.33 * error / val
    evidence = (
        Evidence(f"agreement of {data.by_reference} with held-out training labels", train),
        Evidence("and with validation labels", val),
        Evidence("so many training labels may be wrong", max(0.0, wrong)),
    )
    cause = "a share of the training labels is wrong, and a network that fits them learns them by heart"
    first, *others = (("regularizer=[early_stopping,label_smoothing]",), ("regularizer=[early_stopping]",))
    enough = between(held, 8, 24)  # samples to know what can be had
    confidence = 0.95 * enough * between(surely, 0.01, 0.08)
    return Finding(NOISE, confidence, evidence, cause, first, tuple(others))


def _unrelated(data: DataEvidence) -> Finding | None:
    """Find labels that no baseline estimator can predict from hundreds of samples."""
    gain = max(data.attained - data.floor_train, data.reference - data.floor - data.error)
    confidence = 0.75 * between(data.looked, 200, 400) * between(gain, 2 * data.error_train, data.error_train)
    confidence *= between(data.floor_train, 0.9, 0.8)  # where one class is nearly all, accuracy tells nothing
    if confidence < ACCUSES:
        return None
    evidence = (
        Evidence(f"share of training labels that {data.by_reference} predicts without having seen them", data.attained),
        Evidence("and the share of the largest class", data.floor_train),
    )
    cause = "the inputs tell nothing of the labels: these are chance, or belong to other rows"
    return Finding(NOISE, confidence, evidence, cause)


def _variance(share: float, of: int) -> float:
    """Return the variance of a counted share; never 0, as in Agresti and Coull."""
    likely = (share * of + 2) / (of + 4)
    return likely * (1 - likely) / max(1, of)


def leak(seen: RunEvidence) -> Finding | None:
    """Find samples, or near-duplicates, in several splits."""
    data = seen.data
    overlap = data.overlap if data is not None else seen.counts.get("overlap")
    held = data.held_out if data is not None else sum(seen.counts.get(split, 0) for split in ("val", "test"))
    if overlap is None or not held:
        return None
    share = overlap / held
    near = data.near if data is not None else 0.0
    confidence = max(between(share, 0.02, 0.1), between(near, 0.05, 0.2)) if max(overlap, near * held) >= 4 else 0.0
    evidence = (
        Evidence("samples that stand in more than one split", float(overlap)),
        Evidence("share of validation that has a near-duplicate in training", near),
    )
    cause = "what is measured on them is memory: take doubles out of the data (split.on_overlap=error refuses them)"
    return Finding(LEAK, 0.95 * confidence, evidence, cause)


def imbalance(seen: RunEvidence) -> Finding | None:
    """Find classes with few samples that are recognized less often than the others."""
    data = seen.data
    if data is None or not data.counts or min(data.counts) < 0:
        return None
    most, least = max(data.counts), min(data.counts)
    ratio = most / max(1, least)
    surely = sure_ratio(data.counts)
    if surely < 4:
        return None
    scores = seen.net.scores if seen.net is not None else None
    lost = 0.3
    if scores is not None and scores.recalls:
        middle = sorted(data.counts)[len(data.counts) // 2]
        rare = [r for c, r in zip(data.counts, scores.recalls, strict=True) if c < middle / 2 and not math.isnan(r)]
        usual = [r for c, r in zip(data.counts, scores.recalls, strict=True) if c >= middle and not math.isnan(r)]
        if not rare and len(data.counts) == 2:
            rare, usual = ([scores.recalls[data.counts.index(f(data.counts))]] for f in (min, max))
        if rare and usual:
            lost = sum(usual) / len(usual) - min(rare)
    confidence = between(math.log10(surely), 0.6, 1.1) * (0.25 + 0.75 * between(lost, 0.05, 0.3))
    evidence = (
        Evidence("training samples of the largest class over those of the smallest", ratio),
        Evidence("by how much a rare class is recognised less often, on validation", lost),
    )
    cause = "the loss counts samples, and rare classes are few of them"
    first, *others = _for_rare_classes(seen)
    return Finding(IMBALANCE, 0.96 * confidence, evidence, cause, first, tuple(others))


def _for_rare_classes(seen: RunEvidence) -> list[tuple[str, ...]]:
    """Return losses that give rare classes more weight: the run's loss with weights, if it takes them, and focal."""
    loss = seen.config.get("loss", {})
    weighted = [(f"loss={loss[KEY]}", "loss.weights=balanced")] if loss.get("weights") == "none" else []
    return [*weighted, ("loss=focal",)]


def targets(seen: RunEvidence) -> Finding | None:
    """Find real targets far from standard deviation 1 in a task that does not standardize them."""
    data = seen.data
    if data is None or data.target != "real" or seen.config.get("task", {}).get("standardize") is not False:
        return None
    if not data.target_std > 0:
        return None
    large = between(math.log10(max(data.target_std, abs(data.target_mean))), 0.9, 1.7)
    small = between(-math.log10(data.target_std), 1.2, 2.2)
    evidence = (
        Evidence("deviation of the target", data.target_std),
        Evidence("its mean", data.target_mean),
    )
    cause = "a network begins with outputs near 0 and 1: to reach numbers of such a size takes its steps"
    bad = 0.3 + 0.7 * between(seen.lag("both"), 0.05, 0.2)
    return Finding(TARGETS, 0.98 * max(large, small) * bad, evidence, cause, ("task.standardize=true",))


def constant(seen: RunEvidence) -> Finding | None:
    """Find data whose training targets are all equal."""
    data = seen.data
    if data is None or not data.looked:
        return None
    one_class = len(data.counts) > 0 and sum(count > 0 for count in data.counts) == 1
    if not one_class and not (data.target == "real" and data.target_std == 0):
        return None
    evidence = (Evidence("training samples, all with the same target", float(data.looked)),)
    return Finding(CONSTANT, 0.97, evidence, "every training sample has the same target: choose another column")


def told(seen: RunEvidence) -> Finding | None:
    """Find one input that corresponds to the target one to one, or determines it while all others together do not."""
    data = seen.data
    if data is None or data.telling < 0:
        return None
    which = data.telling_name or f"input {data.telling} (counted from 0)"
    cause = f"{which} is the target under another name, or follows from it: leave it out, unless it is known when "
    cause += "predictions are made"
    if data.copied:
        one = Evidence(f"training samples in which {which} and the target correspond one to one", float(data.looked))
        return Finding(TOLD, 0.95, (one,), cause)
    evidence = (
        Evidence(f"score of {which} by itself", data.telling_score),
        Evidence("and of all the others together", data.others_score),
    )
    return Finding(TOLD, 0.85 * between(data.telling_score - data.others_score, 0.02, 0.05), evidence, cause)


RULES = (inputs, label_noise, leak, imbalance, targets, constant, told)
