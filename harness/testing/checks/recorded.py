"""Check that training steps which are replayed from a recording equal plain ones."""

from __future__ import annotations

from typing import Any

from harness.datasets.dataset import Dataset
from harness.testing.check import check
from harness.testing.checks.fused import COMPUTING, alone_because, line, reshaped, suited
from harness.testing.component_case import Case, Inapplicable, expect
from harness.testing.fixtures import accepted_shape
from harness.testing.training import LOADER, composed, same, trained

EPOCHS = 4  # batches of each size are recorded up to three times before they are replayed
SEEDS = (3, 5)


@check(*(kind for kind in COMPUTING if kind != "diagnostic"), needs=("fused",))
def recorded(case: Case) -> None:
    """Training steps that are replayed from a recording equal plain steps to the bit, alone and in a stack."""
    if why := alone_because(case.entry):
        raise Inapplicable(why)
    words = [word for word in line(case.entry, case.given) if not word.startswith("epochs=")]
    config = composed((*words, f"epochs={EPOCHS}")).values
    data = suited(case.entry)(LOADER.load(config).dataset)
    if case.kind == "model" and not case.list_trait("input_ndim") and data.target != "surface":
        data = reshaped(data, accepted_shape(case, tuple(data.inputs)))
    members = [config | {"seed": seed, "recording": "always"} for seed in SEEDS]
    lr = config["optimizer"].get("lr")
    if case.kind == "optimizer" and isinstance(lr, float):  # it is stepped by an optimizer of its own
        members.append(members[0] | {"optimizer": config["optimizer"] | {"lr": 0.3 * lr}})
    reasons = [_compare(members[:1], data, fused=False), _compare(members, data, fused=True)]
    if all(reasons):
        raise Inapplicable(f"its steps are not recorded: {reasons[-1]}")


def _compare(configs: list[dict[str, Any]], data: Dataset, fused: bool) -> str:
    """Raise Fault if recorded runs differ from plain ones; return why no step was replayed, or the empty string."""
    replayed = trained(configs, data, fused=fused)
    plain = trained([config | {"recording": "never"} for config in configs], data, fused=fused)
    where = "in a stack" if fused else "alone"
    bits = all(same(a, b) for a, b in zip(replayed, plain, strict=True))
    expect(bits, f"runs {where} differ in some bits when their steps are replayed from a recording")
    return replayed[0].state.plain_because
