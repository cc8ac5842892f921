"""Rules on the learning rate, from short trainings with other rates and from the curvature."""

from __future__ import annotations

import math

from harness_doctor.engine import KEY
from harness_doctor.engine import quantities as q
from harness_doctor.evidence import LEAP, RunEvidence, ShortTraining
from harness_doctor.finding import Evidence, Finding, between

HIGH, LOW, ASCENT = "learning rate too high", "learning rate too low", "loss rises at every learning rate"
FLAT = 1e-4  # relative fall of that loss that rounding explains
RISE = 5e-3  # relative rise of the loss of a batch in a few steps on it that rounding does not explain


def _own(seen: RunEvidence) -> ShortTraining | None:
    trials = seen.net.trials if seen.net is not None else ()
    return next((t for t in trials if t.factor == 1), None)


def _reached(seen: RunEvidence, own: ShortTraining) -> float:
    """Return the loss to beat: the run's final loss, or that of the same number of steps if it is lower."""
    losses = seen.curve("train/loss")
    if seen.status == "diverged" or not losses or not math.isfinite(losses[-1]):
        return math.inf if seen.status == "diverged" else own.loss
    return min(own.loss, losses[-1]) if own.steps < seen.steps else losses[-1]


def _best(trials: list[ShortTraining]) -> ShortTraining:
    """Return the smallest change of the learning rate that comes close to the lowest loss."""
    lowest = min(t.loss for t in trials)
    near = [t for t in trials if t.loss <= lowest + 0.1 * abs(lowest)]
    return min(near, key=lambda t: abs(math.log(t.factor)))


def _gain(reached: float, best: float) -> float:
    """Return the relative decrease of the loss by another learning rate."""
    if not math.isfinite(best) or best < 0:
        return 0.0
    return 1.0 if math.isinf(reached) else (1 - best / reached if reached > 0 else 0.0)


def _tried(seen: RunEvidence, higher: bool) -> tuple[ShortTraining, ShortTraining, float] | None:
    own = _own(seen)
    others = [t for t in seen.net.trials if (t.factor > 1) == higher and t.factor != 1] if seen.net is not None else []
    if own is None or not others:
        return None
    best = _best(others)
    return own, best, _gain(_reached(seen, own), best.loss)


def overshoots(seen: RunEvidence) -> float:
    """Return the relative decrease of the loss by a lower rate in the same number of steps; 0 if not tried."""
    tried = _tried(seen, higher=False)
    return 0.0 if tried is None else tried[2]


def too_high(seen: RunEvidence) -> Finding | None:
    """Find learning rates that reach a much higher loss than a lower rate in as many steps, or that diverge."""
    evidence = []
    if (tried := _tried(seen, higher=False)) is not None and math.isfinite(tried[1].loss):
        own, best, gain = tried
        confidence = 0.93 * between(gain, 0.25, 0.6) * between(seen.lag(), 0.08, 0.25)
        evidence = [
            Evidence(f"training loss with the learning rate {seen.lr * best.factor:g}", best.loss, "", best.steps),
            Evidence(f"and with {seen.lr:g}", own.loss, "", own.steps),
        ]
        lr = seen.lr * best.factor
    elif seen.status == "diverged" and math.isfinite(seen.lr):
        confidence, lr = 0.8, seen.lr / 10
        evidence = [Evidence("step from which on the loss is no number", float((seen.error or {}).get("step", 0)))]
        if seen.leap > LEAP:
            confidence = 0.9
            evidence.append(Evidence("the first step that was measured changed a layer's weights by", seen.leap))
    else:
        return None
    if any(share > 0.3 for _, share in seen.first(q.DEAD).values()):
        confidence *= 0.4  # what is dead from the start was not killed by steps
    net = seen.net
    if net is not None and net.plain_steps and math.isfinite(net.curvature) and net.curvature > 0:
        evidence.append(Evidence("the learning rate over 2 / the Hessian's largest eigenvalue",
                                 seen.lr * net.curvature / 2, "", 0))  # fmt: skip
    cause = "steps overshoot: they are longer than the loss is smooth"
    return Finding(HIGH, confidence, tuple(evidence), cause, (f"optimizer.lr={lr:.3g}",))


def too_low(seen: RunEvidence) -> Finding | None:
    """Find learning rates that reach a much higher loss than a higher rate in as many steps, if little was learned."""
    tried = _tried(seen, higher=True)
    if tried is None:
        return None
    own, best, gain = tried
    confidence = 0.92 * between(gain, 0.2, 0.55) * between(seen.lag(), 0.1, 0.3)
    evidence = (
        Evidence(f"training loss with the learning rate {seen.lr * best.factor:g}", best.loss, "", best.steps),
        Evidence(f"and with {seen.lr:g}", own.loss, "", own.steps),
    )
    cause = "steps are too small to come anywhere in so many of them"
    return Finding(LOW, confidence, evidence, cause, (f"optimizer.lr={seen.lr * best.factor:.3g}",))


def ascent(seen: RunEvidence) -> Finding | None:
    """Find steps on one batch that raise its loss at every learning rate, the smaller the rate the less."""
    trials = seen.net.repeated if seen.net is not None else ()
    rises = [(trial.loss - trial.start) / max(abs(trial.start), 1e-12) for trial in trials]
    gentle = [trial for trial, rise in zip(trials, rises, strict=True) if RISE < rise < 1]
    if len(trials) < 2 or not gentle or min(rises) < -FLAT:
        return None
    evidence = [Evidence("loss of a batch before steps on it", trials[0].start)]
    evidence += [
        Evidence(f"and after them with the learning rate {seen.lr * t.factor:g}", t.loss, "", t.steps) for t in gentle
    ]
    name = seen.config["optimizer"][KEY]
    cause = (
        f"steps raise the loss whatever their size: check the sign of the step in optimizer {name} "
        f"(`harness check optimizer/{name}` tests that it descends), and of gradients that the model, an activation or "
        "the loss defines"
    )
    return Finding(ASCENT, 0.95, tuple(evidence), cause)


RULES = (too_high, too_low, ascent)
