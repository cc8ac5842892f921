"""From evidence to findings: apply every rule, rank symptoms below their causes, drop overrides that do not exist."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from harness_doctor.engine import KEY, KINDS, Catalogue, current
from harness_doctor.evidence import RunEvidence
from harness_doctor.finding import Finding, Rule, ranked
from harness_doctor.rules import data as rules_data
from harness_doctor.rules import fit as rules_fit
from harness_doctor.rules import gradients, learning_rate
from harness_doctor.rules import hardware as rules_hardware
from harness_doctor.rules.data import CONSTANT, IMBALANCE, INPUTS, LEAK, NOISE, TARGETS, TOLD
from harness_doctor.rules.fit import MODE, OVERFITTING, SMALL_BATCHES, UNDERFITTING, WRONG_LOSS
from harness_doctor.rules.gradients import DISCONNECTED, DYING, EXPLODING, SATURATION, SYMMETRIC, VANISHING
from harness_doctor.rules.hardware import LOADER, MEMORY, SMALL
from harness_doctor.rules.learning_rate import ASCENT, HIGH, LOW

RULES: tuple[Rule, ...] = (
    *gradients.RULES, *learning_rate.RULES, *rules_data.RULES, *rules_fit.RULES, *rules_hardware.RULES,
)  # fmt: skip
TROUBLES = (
    VANISHING, EXPLODING, DYING, SATURATION, SYMMETRIC, HIGH, LOW, INPUTS, WRONG_LOSS, SMALL_BATCHES, MODE,
    OVERFITTING, UNDERFITTING, NOISE, LEAK, IMBALANCE, DISCONNECTED, LOADER, SMALL, MEMORY,
    TARGETS, CONSTANT, TOLD, ASCENT,
)  # fmt: skip
HINT = 0.2  # lowest confidence that is reported

_RATE = frozenset({HIGH, LOW, UNDERFITTING})
EXPLAINS = {
    WRONG_LOSS: _RATE | {EXPLODING, VANISHING, DYING, SATURATION, OVERFITTING, SYMMETRIC},
    INPUTS: _RATE | {EXPLODING, VANISHING, DYING, SATURATION, OVERFITTING},
    DISCONNECTED: _RATE | {VANISHING, EXPLODING, DYING},
    SYMMETRIC: _RATE | {VANISHING, EXPLODING, DYING, SATURATION},
    EXPLODING: _RATE | {DYING, SATURATION, OVERFITTING},
    SATURATION: _RATE | {VANISHING, OVERFITTING},
    VANISHING: _RATE | {DYING, OVERFITTING},
    SMALL_BATCHES: _RATE | {MODE, OVERFITTING, SMALL},
    MODE: _RATE | {OVERFITTING},
    ASCENT: _RATE | {EXPLODING, VANISHING, DYING, SATURATION, OVERFITTING},
    HIGH: frozenset({DYING, UNDERFITTING}),
    LOW: frozenset({UNDERFITTING}),
    DYING: frozenset({UNDERFITTING, LOW}),
    NOISE: _RATE | {OVERFITTING},
    IMBALANCE: frozenset({OVERFITTING, UNDERFITTING}),
    LEAK: frozenset({OVERFITTING}),
    TARGETS: _RATE | {EXPLODING, VANISHING, DYING, OVERFITTING, SYMMETRIC},
    TOLD: _RATE | {OVERFITTING, NOISE},
    CONSTANT: frozenset(TROUBLES) - {CONSTANT, MEMORY, LEAK},
    MEMORY: frozenset(TROUBLES) - {MEMORY},
}


def diagnose(seen: RunEvidence, known: Catalogue | None = None) -> list[Finding]:
    """Return the findings on a run, the most confident first."""
    findings = [finding for rule in RULES if (finding := rule(seen)) is not None and finding.confidence >= HINT]
    catalogue = known or current()
    return [_plain(f, seen, catalogue) for f in ranked(findings, EXPLAINS) if f.confidence >= HINT]


def _plain(finding: Finding, seen: RunEvidence, known: Catalogue) -> Finding:
    """Leave out unknown numbers, and advice that is not installed or that the run follows already."""
    choices = [offered(tries, known) for tries in (finding.tries, *finding.others)]
    first, *others = [tries for tries in choices if not all(has(seen.config, text) for text in tries)] or [()]
    evidence = tuple(one for one in finding.evidence if not math.isnan(one.value))
    return replace(finding, evidence=evidence, tries=first, others=tuple(others))


def has(config: Mapping[str, Any], override: str) -> bool:
    """Return True if a resolved config has the value of an override.

    >>> has({"loss": {"_component_": "mse"}, "epochs": 5}, "loss=mse"), has({"epochs": 5}, "epochs=15")
    (True, False)
    """
    key, _, value = override.partition("=")
    node: Any = config
    for name in key.split("."):
        node = node.get(name) if isinstance(node, Mapping) else None
    if isinstance(node, Mapping):
        node = node[KEY] if KEY in node else f"[{','.join(node)}]"
    return str(node).lower() == value


def offered(tries: tuple[str, ...], known: Catalogue) -> tuple[str, ...]:
    """Return the overrides whose components are installed: rules name components that may be missing."""
    installed = []
    for text in tries:
        kind, _, value = text.partition("=")
        names = [name for name in value.strip("[]").split(",") if name]
        available = {*known.names(kind), "auto"} if kind in KINDS else set(names)
        if available.issuperset(names):
            installed.append(text)
    return tuple(installed)
