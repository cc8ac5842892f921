"""Rules on signals and gradients in the layers, dead and equal units, and parameters without a gradient."""

from __future__ import annotations

import math

from harness_doctor.engine import quantities as q
from harness_doctor.evidence import RunEvidence
from harness_doctor.finding import Evidence, Finding, between
from harness_doctor.rules.learning_rate import overshoots

VANISHING, EXPLODING, DYING = "vanishing gradients", "exploding gradients", "dying ReLU"
SATURATION, SYMMETRIC, DISCONNECTED = "saturation", "symmetric units", "disconnected parameters"

WITHOUT = {"activation": "activation=relu", "normalization": "normalization=none", "regularizer": "regularizer=[]"}


def _bad(seen: RunEvidence, least: float, score: str = "both") -> float:
    """Return 1 for a run that learns badly, `least` for one that learns well, and a value between if unknown."""
    lag = seen.lag(score)
    return (1 + least) / 2 if math.isnan(lag) else least + (1 - least) * between(lag, 0.08, 0.3)


def _profile(seen: RunEvidence) -> Evidence | None:
    """Return the gradient at the first layer's output over that at the last's, at the start; needs three layers."""
    what = q.PROFILE
    names = seen.net.weighted if seen.net is not None else ()
    first = seen.first(q.GRADIENT)
    profile = [(name, *first[name]) for name in names if name in first]
    if len(profile) > 2 and profile[0][2] > 0 and profile[-1][2] > 0:
        return Evidence(what, profile[0][2] / profile[-1][2], profile[0][0], profile[0][1])
    told = seen.first(q.PROFILE).get("")
    return None if names or told is None or not told[1] > 0 else Evidence(what, told[1], "", told[0])


def vanishing(seen: RunEvidence) -> Finding | None:
    """Find gradients that shrink on their way back to the first layer."""
    profile = _profile(seen)
    if profile is None:
        return None
    confidence = between(-math.log10(profile.value), 1.3, 2.5) * _bad(seen, 0.3)
    cause = "each layer shrinks what comes back: flat activations, or small initial weights"
    return Finding(VANISHING, 0.97 * confidence, (profile,), cause, ("activation=relu", "initializer=he_normal"))


def exploding(seen: RunEvidence) -> Finding | None:
    """Find gradients or signals that grow from layer to layer at the start."""
    profile = _profile(seen)
    largest = seen.first(q.LARGEST_ACTIVATION)
    found: list[tuple[float, Evidence]] = []
    if profile is not None:
        found.append((between(math.log10(profile.value), 1, 2.5), profile))
    flat = max((share for _, share in seen.first(q.SATURATED).values()), default=0.0)
    if largest and flat < 0.3 and (data := seen.data) is not None:  # what is bounded does not explode
        layer, (step, value) = max(largest.items(), key=lambda item: item[1][1])
        size = max(1.0, data.center, data.widest)  # what comes in large goes out large
        share = between(math.log10(max(value / size, 1e-9)), 1.5, 2.7) if math.isfinite(value) else 1.0
        found.append((share, Evidence("largest number that a layer makes", value, layer, step)))
    if not found:
        return None
    confidence = max(c for c, _ in found) * _bad(seen, 0.3)
    evidence = tuple(e for c, e in found if c > 0)
    cause = "large initial weights: each layer makes its numbers, and what comes back, larger"
    return Finding(EXPLODING, 0.97 * confidence, evidence, cause, ("initializer=he_normal",))


def dying(seen: RunEvidence) -> Finding | None:
    """Find rectifiers that are zero on every sample, which pass no gradient."""
    last, first = seen.last(q.DEAD), seen.first(q.DEAD)
    if not last:
        return None
    layer, (step, share) = max(last.items(), key=lambda item: item[1][1])
    began_at, began = first.get(layer, (step, 0.0))
    # what has died while the training split was learned has done no harm
    confidence = between(share, 0.35, 0.8) * _bad(seen, 0.45, "both" if began > 0.3 else "train")
    evidence = [Evidence("share of units that are zero on every sample", share, layer, step)]
    if step != began_at:
        evidence.append(Evidence("and that were so before", began, layer, began_at))
    if began > 0.3:
        cause, tries = "they are dead from the start: initial biases far below zero", ("initializer=he_normal",)
    else:
        confidence *= 1 - 0.5 * between(overshoots(seen), 0.25, 0.5)  # then the steps are the trouble
        cause, tries = "steps too large have pushed them where they are never active", ("activation=leaky_relu",)
    return Finding(DYING, 0.96 * confidence, tuple(evidence), cause, tries)


def saturation(seen: RunEvidence) -> Finding | None:
    """Find activations in their flat regions, where the gradient vanishes."""
    found = [(value, layer, step) for look in (seen.first, seen.last)
             for layer, (step, value) in look(q.SATURATED).items()]  # fmt: skip
    if not found:
        return None
    value, layer, step = max(found)
    confidence = between(value, 0.4, 0.75) * _bad(seen, 0.4)
    evidence = (Evidence("share of places whose slope is below 5% of the steepest", value, layer, step),)
    early = any(v > 0.4 for _, v in seen.first(q.SATURATED).values())
    cause = "initial weights are too large for this activation" if early else "training has driven it to its ends"
    if not early:
        confidence *= 0.9 - 0.5 * between(overshoots(seen), 0.25, 0.5)
    tries = ("initializer=xavier_normal",) if early else ("activation=relu", "initializer=he_normal")
    return Finding(SATURATION, 0.96 * confidence, evidence, cause, tries)


def symmetric(seen: RunEvidence) -> Finding | None:
    """Find layers whose units are equal and stay so."""
    first, last = seen.first(q.ASYMMETRY), seen.last(q.ASYMMETRY)
    hidden = (seen.net.weighted if seen.net is not None else tuple(first))[:-1]
    same = [layer for layer in hidden if layer in first and first[layer][1] < 1e-3 and last[layer][1] < 1e-3]
    if not same:
        return None
    what = "how much its units differ, |W - mean row| / |W|"
    evidence = tuple(Evidence(what, last[name][1], name, last[name][0]) for name in same)
    cause = "initial weights are the same for every unit: their gradients are too, and they never part"
    return Finding(SYMMETRIC, 0.99 * _bad(seen, 0.6), evidence, cause, ("initializer=he_normal",))


def disconnected(seen: RunEvidence) -> Finding | None:
    """Find trainable parameters that the loss does not depend on."""
    net, counted = seen.net, seen.last(q.UNREACHED).values()
    evidence = tuple(Evidence("no gradient reaches it", 0.0, name) for name in (net.unreached if net else ()))
    evidence = evidence or tuple(Evidence("parameters without a gradient", v, "", s) for s, v in counted if v > 0)
    if not evidence:
        return None
    if net is None:
        cause = "the model does not use these parameters, or a component detaches what is computed from them"
        return Finding(DISCONNECTED, 0.95, evidence, cause)
    if net.block is not None and net.block.kind in WITHOUT:
        kind, name, layer = net.block.kind, net.block.name, net.block.layer
        cause = f"{kind} {name} at {layer} passes no gradient back: it detaches its input, or computes outside of torch"
        return Finding(DISCONNECTED, 0.95, evidence, cause, (WITHOUT[kind],))
    cause = "the model makes these parameters and does not use them, or detaches what it makes of them"
    return Finding(DISCONNECTED, 0.95, evidence, cause, ("model=auto",))


RULES = (vanishing, exploding, dying, saturation, symmetric, disconnected)
