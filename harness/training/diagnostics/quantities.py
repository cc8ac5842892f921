"""Names of measured quantities that do not depend on the diagnostic.

A diagnostic's trait `tells` maps its tags to these: {"{layer}/dead": DEAD} says that NAME/LAYER/dead is the share of
dead units of that layer. The first pattern that a tag matches holds. Whoever reads measurements, as the doctor does,
then needs no diagnostic's name.
"""

from __future__ import annotations

GRADIENT = "gradient by output"  # of each sample's loss by what the layer made of it, root mean square
PROFILE = "gradient by the first layer's output over that by the last's"
WEIGHT_GRADIENT = "gradient by weights"  # norm
WHOLE_GRADIENT = "gradient by all weights"  # norm
UPDATE = "update to weight"  # |w' - w| / |w| of a step
ASYMMETRY = "asymmetry"  # how much the units of a layer differ
DEAD = "dead units"  # share that is zero on every sample
ZEROS = "zeros"  # share of exact zeros
SATURATED = "saturated"  # share of places that are no exact zeros, and where the activation is flat
UNREACHED = "unreached"  # trainable parameters without a gradient
WAITING = "share of the training time in which data was waited for"
LARGEST_ACTIVATION = "largest activation"
INPUT_LARGEST, INPUT_WIDEST = "largest input", "widest input"  # magnitude; deviation of a feature


def full_tag(name: str, tag: str) -> str:
    """Return the tag of a diagnostic's value among all tags. It has a group, unlike the metrics of a whole run.

    >>> full_tag("dead_units", "hidden.0/dead"), full_tag("unreached", "")
    ('dead_units/hidden.0/dead', 'unreached/value')
    """
    return f"{name}/{tag or 'value'}"
