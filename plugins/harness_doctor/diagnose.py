"""From evidence to findings: apply every rule, rank symptoms below their causes, drop overrides that do not exist."""

from __future__ import annotations

from dataclasses import replace

from harness_doctor.engine import KINDS, Catalogue, current
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
from harness_doctor.rules.learning_rate import HIGH, LOW

RULES: tuple[Rule, ...] = (
    *gradients.RULES, *learning_rate.RULES, *rules_data.RULES, *rules_fit.RULES, *rules_hardware.RULES,
)  # fmt: skip
TROUBLES = (
    VANISHING, EXPLODING, DYING, SATURATION, SYMMETRIC, HIGH, LOW, INPUTS, WRONG_LOSS, SMALL_BATCHES, MODE,
    OVERFITTING, UNDERFITTING, NOISE, LEAK, IMBALANCE, DISCONNECTED, LOADER, SMALL, MEMORY,
    TARGETS, CONSTANT, TOLD,
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
    sorted_findings = [replace(f, tries=offered(f.tries, catalogue)) for f in ranked(findings, EXPLAINS)]
    return [f for f in sorted_findings if f.confidence >= HINT]


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
