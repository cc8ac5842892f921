"""Tests of training against a hand-written loop, and of its guarantees on batches, noise and precision."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.nn import functional as F

from harness.config.composition import compose
from harness.datasets.dataset import Samples
from harness.datasets.loading import load
from harness.modeling.builder import RunComponents
from harness.training.batches import CHUNK
from harness.training.lightning_module import Learner
from harness.training.plan import Plan
from tests.training.helpers import FLOAT64, on_disk, train


def test_training_matches_a_hand_written_loop() -> None:
    """The reference is plain torch: three epochs of Adam with an L2 penalty, cosine schedule and warmup."""
    line = [
        *FLOAT64,
        "epochs=3",
        "batch_size=100",
        "regularizer=[l2]",
        "regularizer.l2.strength=0.01",
        "scheduler=cosine",
        "warmup=0.25",
        "optimizer.lr=0.01",
    ]
    start: list[torch.nn.Module] = []
    member, _, parts = train(line, change=lambda parts: start.append(copy.deepcopy(parts.model)))
    model = start[0].double()
    data = load(compose(line).values).dataset
    assert isinstance(data.train, Samples)
    x, y = data.train.x.double(), data.train.y
    plan = Plan(seed=0, epochs=3, batch_size=100, accumulate=1, warmup=0.25, n=len(x))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    warm, total = plan.warmup_steps, plan.total_steps
    means, step = [], 0
    for epoch in range(3):
        order, losses = plan.order(epoch), []
        for first in range(0, len(x), 100):
            index = order[first : first + 100]
            cosine = (1 + torch.cos(torch.tensor(torch.pi * (step - warm) / (total - warm)))) / 2
            optimizer.param_groups[0]["lr"] = 0.01 * ((step + 1) / warm if step < warm else float(cosine))
            loss = F.cross_entropy(model(x[index]), y[index])
            penalty = sum((p * p).sum() for p in model.parameters() if p.ndim > 1) * 0.01 / 2
            optimizer.zero_grad()
            (loss + penalty).backward()
            optimizer.step()
            losses.append(float(loss.detach()) * len(index))
            step += 1
        means.append(sum(losses) / len(x))
    assert [row["train/loss"] for row in member.history] == pytest.approx(means, rel=1e-6)
    for p, q in zip(model.parameters(), parts.model.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-5, atol=1e-7)
    model.eval()
    with torch.no_grad():
        assert isinstance(data.test, Samples)
        right = (model(data.test.x.double()).argmax(1) == data.test.y).double().mean()
    assert member.metrics["test/accuracy"] == pytest.approx(float(right), abs=1e-6)


@pytest.mark.parametrize("workers", [0, 2])
def test_data_not_in_memory_trains_the_same(workers: int) -> None:
    line = ["epochs=2", "regularizer=[dropout]", "model=cnn", "normalization=batch_norm"]
    inside, _, a = train(line)
    outside, _, b = train(line, data=lambda dataset: on_disk(dataset, workers))
    assert inside.history == outside.history
    assert inside.metrics == outside.metrics
    for p, q in zip(a.model.parameters(), b.model.parameters(), strict=True):
        assert torch.equal(p, q)


def test_accumulated_batches_match_one_large_batch() -> None:
    """Without noise, four batches of 50 step as one of 200 does, and so does the incomplete last step."""
    large, _, a = train([*FLOAT64, "epochs=2", "batch_size=200", "regularizer=[l1]"])
    small, _, b = train([*FLOAT64, "epochs=2", "batch_size=50", "accumulate=4", "regularizer=[l1]"])
    assert large.steps == small.steps
    assert small.metrics["test/loss"] == pytest.approx(large.metrics["test/loss"], rel=1e-9)
    for p, q in zip(a.model.parameters(), b.model.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-9, atol=1e-12)


def test_noise_depends_on_the_seed_alone() -> None:
    line = ["epochs=2", "regularizer=[dropout]", "augmentation=[random_shift]"]
    torch.manual_seed(1)
    first, _, _ = train([*line, "seed=5"])
    torch.manual_seed(2)
    torch.rand(17)
    again, _, _ = train([*line, "seed=5"])
    other, _, _ = train([*line, "seed=6"])
    assert first.history == again.history
    assert first.history != other.history


def test_training_does_not_change_the_global_generator() -> None:
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    train(["epochs=1", "regularizer=[dropout]"])
    assert torch.equal(before, torch.random.get_rng_state())


def test_nonfinite_loss_ends_the_run() -> None:
    member, _, _ = train(["optimizer=sgd", "optimizer.lr=1e20", "epochs=3"])
    assert member.diverged is not None
    assert member.diverged["step"] == member.steps < 18
    assert member.diverged["last_finite_loss"] == pytest.approx(2.5, abs=2)
    assert not any(name.startswith("test/") for name in member.metrics)


def test_nonfinite_loss_of_the_final_evaluation_is_a_divergence() -> None:
    member, _, _ = train(["optimizer=sgd", "optimizer.lr=1e30", "epochs=1", "batch_size=1149"])
    assert member.diverged is not None
    assert member.diverged["message"] == "the val loss became nan at step 1"
    assert member.diverged["step"] == member.steps == 1
    assert member.weights is None
    assert "val/accuracy" in member.metrics
    assert not any(name.startswith("test/") for name in member.metrics)


@pytest.mark.parametrize(("precision", "dtype"), [("bf16-mixed", torch.float32), ("64-true", torch.float64)])
def test_precision_sets_the_dtype_of_weights(precision: str, dtype: torch.dtype) -> None:
    member, weights, _ = train(["epochs=3", f"trainer.precision={precision}", "normalization=layer_norm"])
    assert member.metrics["val/accuracy"] > 0.8
    assert {t.dtype for t in weights.values()} == {dtype}


def test_parameter_without_gradient_is_unchanged() -> None:
    spare = torch.nn.Parameter(torch.ones(3))
    member, _, parts = train(["epochs=1"], change=lambda parts: parts.model.register_parameter("spare", spare))
    assert torch.equal(spare, torch.ones(3))
    assert member.metrics["train/loss"] < 2.4
    assert "spare" in dict(parts.model.named_parameters())


def test_validation_follows_its_interval_and_the_last_epoch() -> None:
    member, _, _ = train(["epochs=5", "trainer.check_val_every_n_epoch=2"])
    assert ["val/loss" in row for row in member.history] == [False, True, False, True, True]


def test_max_time_ends_a_run_with_its_metrics() -> None:
    member, _, _ = train(["epochs=100000", "trainer.max_time=00:00:00:01"])
    assert 0 < member.epochs < 100000
    assert {"val/accuracy", "test/accuracy"} <= set(member.metrics)


def test_parameter_groups_have_separate_gradients() -> None:
    """Each group's loss moves its own parameters only, and both losses start from the same point."""

    def two(parts: RunComponents) -> None:
        task = parts.task
        task.groups = lambda model: {  # type: ignore[method-assign]
            "hidden": [n for n, _ in model.named_parameters() if n.startswith("hidden")],
            "head": [n for n, _ in model.named_parameters() if n.startswith("head")],
        }

        def losses(call, batch, noise):  # type: ignore[no-untyped-def]
            value = F.cross_entropy(call(batch[0]), batch[1])
            return {"hidden": value, "head": value * 0}

        task.losses = losses  # type: ignore[method-assign]

    before: dict[str, torch.Tensor] = {}

    def change(parts: RunComponents) -> None:
        two(parts)
        before.update({n: p.detach().clone() for n, p in parts.model.named_parameters()})

    _, _, parts = train(["epochs=1"], change=change)
    moved = {n: not torch.equal(p, before[n]) for n, p in parts.model.named_parameters()}
    assert all(changed == name.startswith("hidden") for name, changed in moved.items()), moved


def test_run_ended_within_an_epoch_measures_its_last_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stops as trainer.max_time does, but after a given chunk: the first of the second epoch."""
    whole = Learner.training_step

    def step(self: Learner, batch: object, index: int) -> None:
        whole(self, batch, index)
        if self.current_epoch == 1:
            self.trainer.should_stop = True
            self.states[0].stopped_by = "trainer.max_time"

    monkeypatch.setattr(Learner, "training_step", step)
    member, weights, parts = train(["epochs=5", "batch_size=1"])
    assert (member.epochs, member.steps) == (1, 1149 + CHUNK)
    parts.model.load_state_dict(weights)
    data = load(compose([]).values).dataset
    assert isinstance(data.val, Samples)
    with torch.no_grad():
        loss = F.cross_entropy(parts.model.eval()(data.val.x), data.val.y)
    assert member.metrics["val/loss"] == pytest.approx(float(loss), rel=1e-5)


def test_early_stopping_follows_the_direction_of_its_metric() -> None:
    line = ["epochs=6", "regularizer=[early_stopping]", "regularizer.early_stopping.patience=2"]
    member, _, _ = train([*line, "regularizer.early_stopping.watch=val/accuracy"])
    assert member.epochs > 3  # accuracy rises at first, which must not stop the run
