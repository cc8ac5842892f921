import math

import pytest
import torch

from tests.components.helpers import make


def optimizer(lr):
    return torch.optim.SGD([torch.ones(1, requires_grad=True)], lr=lr)


def test_constant_asks_for_no_scheduler():
    assert make("scheduler", "constant", optimizer=optimizer(0.1), total_steps=5) is None


@pytest.mark.parametrize("total", [1, 2, 17])
@pytest.mark.parametrize("final", [0.0, 0.1, 1.0])
def test_cosine_is_half_a_period(final, total):
    made = optimizer(0.3)
    scheduler = make("scheduler", "cosine", {"final": final}, optimizer=made, total_steps=total)
    found = [made.param_groups[0]["lr"]]
    for _ in range(total):
        made.step()
        scheduler.step()
        found.append(made.param_groups[0]["lr"])
    shares = [final + (1 - final) * (1 + math.cos(math.pi * t / total)) / 2 for t in range(total + 1)]
    assert found == pytest.approx([0.3 * share for share in shares], abs=1e-12)
