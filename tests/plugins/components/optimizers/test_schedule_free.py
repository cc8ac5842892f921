"""Tests of schedule-free steps against the paper's three sequences, and of the parameters in each mode."""

import copy
import math

import numpy as np
import pytest
import torch

from tests.plugins.components.optimizers.helpers import START, STEPS, built, gradient, path, trained


def schedule_free(w, g, s, t, lr=2.5e-3, base="adamw", betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0):
    """Reference step: w is y; the state holds z and x."""
    z, x = s.get("z", w), s.get("x", w)
    s["v"] = betas[1] * s.get("v", 0) + (1 - betas[1]) * g**2
    direction, gamma = g, lr
    if base == "adamw":
        direction, gamma = g / (np.sqrt(s["v"]) + eps), lr * math.sqrt(1 - betas[1] ** t)
    s["sum"] = s.get("sum", 0) + gamma**2
    s["z"] = z - gamma * (direction + weight_decay * w)
    s["x"] = x + gamma**2 / s["sum"] * (s["z"] - x)
    return (1 - betas[0]) * s["z"] + betas[0] * s["x"]


CASES = [
    {},
    {"lr": 0.1, "betas": [0.7, 0.9], "eps": 1e-3, "weight_decay": 0.2},
    {"lr": 0.1, "base": "sgd"},
    {"lr": 0.05, "base": "sgd", "betas": [0.5, 0.9], "weight_decay": 0.2},
]


@pytest.mark.parametrize(("dtype", "rtol"), [(torch.float64, 1e-9), (torch.float32, 2e-4)])
@pytest.mark.parametrize("settings", CASES)
def test_steps_match_the_formula(settings, dtype, rtol):
    points, _ = trained("schedule_free", settings, dtype)
    np.testing.assert_allclose(points, path(schedule_free, settings), rtol=rtol, atol=rtol)


def point(p, optimizer, lr, t):
    """Make one step at a learning rate that a scheduler has set."""
    optimizer.param_groups[0]["lr"] = lr
    p.grad = torch.tensor(gradient(p.detach().numpy(), t))
    optimizer.step()


@pytest.mark.parametrize("settings", CASES)
def test_evaluation_uses_the_average_under_any_schedule(settings):
    p = torch.nn.Parameter(torch.tensor(START))
    optimizer, w, state = built("schedule_free", settings, [p]), START, {}
    for t in range(1, STEPS + 1):
        lr = 0.02 * (1 + t % 3)
        w = schedule_free(w, gradient(w, t), state, t, **{**settings, "lr": lr})
        point(p, optimizer, lr, t)
        optimizer.eval()
        np.testing.assert_allclose(p.detach(), state["x"], rtol=1e-9, atol=1e-9)
        optimizer.train()


def test_average_at_a_constant_learning_rate_is_the_mean():
    p = torch.nn.Parameter(torch.tensor(START))
    optimizer = built("schedule_free", {"base": "sgd", "lr": 0.1}, [p])
    iterates = []
    for t in range(1, STEPS + 1):
        point(p, optimizer, 0.1, t)
        iterates.append(optimizer.state[p]["z"].clone())
    optimizer.eval()
    torch.testing.assert_close(p.detach(), torch.stack(iterates).mean(0))


@pytest.mark.parametrize("settings", CASES)
def test_evaluating_and_saving_do_not_change_the_path(settings):
    """Evaluate after each step and resume from a state saved in evaluation: the path is bitwise equal."""
    expected, _ = trained("schedule_free", settings, torch.float64)
    p = torch.nn.Parameter(torch.tensor(START))
    optimizer = built("schedule_free", settings, [p])
    for t in range(1, STEPS + 1):
        optimizer.train()
        optimizer.train()
        point(p, optimizer, optimizer.defaults["lr"], t)
        assert torch.equal(p.detach(), torch.tensor(expected[t - 1]))
        optimizer.eval()
        optimizer.eval()
        saved = copy.deepcopy((p.detach(), optimizer.state_dict()))
        p = torch.nn.Parameter(saved[0])
        optimizer = built("schedule_free", settings, [p])
        optimizer.load_state_dict(saved[1])


def test_external_changes_of_the_parameters_are_kept():
    """A constraint applied to the parameters after a step moves the average with them."""
    p = torch.nn.Parameter(torch.tensor(START))
    optimizer = built("schedule_free", {"base": "sgd", "lr": 0.1, "betas": [0.5, 0.9]}, [p])
    point(p, optimizer, 0.1, 1)
    optimizer.eval()
    before = p.detach().clone()
    optimizer.train()
    with torch.no_grad():
        p += 1
    optimizer.eval()
    torch.testing.assert_close(p.detach(), before + 2)


def test_all_sequences_are_equal_before_the_first_step():
    p = torch.nn.Parameter(torch.tensor(START))
    optimizer = built("schedule_free", {}, [p])
    for switch in (optimizer.eval, optimizer.train):
        switch()
        np.testing.assert_array_equal(p.detach(), START)


def test_step_in_evaluation_mode_is_refused():
    p = torch.nn.Parameter(torch.tensor(START))
    optimizer = built("schedule_free", {}, [p])
    optimizer.eval()
    with pytest.raises(RuntimeError, match=r"call train\(\) before step\(\)"):
        point(p, optimizer, 0.1, 1)
