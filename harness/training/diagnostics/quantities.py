"""Names of the quantities that diagnostics measure, for readers that know no diagnostic, such as the doctor.

A diagnostic's trait `tells` maps patterns of its tags to quantities: `{"{layer}/dead": DEAD}` means that
NAME/LAYER/dead is the share of dead units of that layer. The first pattern that matches a tag applies.
"""

from __future__ import annotations

GRADIENT = "gradient by output"  # of each sample's loss by the layer's output, root mean square
PROFILE = "gradient by the first layer's output over that by the last's"
WEIGHT_GRADIENT = "gradient by weights"  # norm
WHOLE_GRADIENT = "gradient by all weights"  # norm
UPDATE = "update to weight"  # |w' - w| / |w| of a step
ASYMMETRY = "asymmetry"  # how much the units of a layer differ
DEAD = "dead units"  # share that is zero on every sample
ZEROS = "zeros"  # share of exact zeros
SATURATED = "saturated"  # share of elements that are not exactly zero and where the activation is flat
UNREACHED = "unreached"  # trainable parameters without a gradient
WAITING = "share of the training time in which data was waited for"
LARGEST_ACTIVATION = "largest activation"
INPUT_LARGEST, INPUT_WIDEST = "largest input", "widest input"  # magnitude; deviation of a feature


def full_tag(name: str, tag: str) -> str:
    """Return a tag of a diagnostic among those of all diagnostics, always with a group: metrics of a run have none.

    >>> full_tag("dead_units", "hidden.0/dead"), full_tag("unreached", "")
    ('dead_units/hidden.0/dead', 'unreached/value')
    """
    return f"{name}/{tag or 'value'}"
