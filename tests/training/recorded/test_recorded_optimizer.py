"""Tests of recorded optimizer steps: equal to plain steps to the bit, and what is never replayed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook

from harness.registry import catalogue
from harness.registry.registry import REGISTRY
from harness.testing.training import cohort, same
from harness.training.fit import Run
from harness.training.recorded.function import LASTING
from harness.training.recorded.recorded_optimizer import PROGRAMS, WORTH, RecordedOptimizer
from harness.training.vectorized.lifting import RestackDifferently, TrainSeparately
from tests.training.recorded.test_steps import SHARED, assert_same_bits

LINE = ["data=digits", "split.test=0.7", "split.val=0.2", "batch_size=43", "epochs=4", "model=mlp", "model.width=7"]
GIVEN = {"int": 100, "float": 0.1}  # settings without a default
ALL = {e["name"]: e for e in catalogue.current() if e["kind"] == "optimizer" and not e["traits"].get("closure")}
QUICK = (  # element-wise, with matrices, of torch, with numbers that change, with counters, in two modes
    "adadelta", "lion", "muon", "nadam", "radam", "schedule_free", "torch_rprop",
    "pytorch_optimizer_adabelief", "pytorch_optimizer_shampoo",
)  # fmt: skip


def members(name: str, words: tuple[str, ...], recording: str) -> list[Run]:
    """Train members of which two share their settings and two do not."""
    required = [f"optimizer.{p['name']}={GIVEN[p['type']['of']]}" for p in ALL[name]["parameters"] if p["required"]]
    rate = next((p["default"] for p in ALL[name]["parameters"] if p["name"] == "lr"), None)
    rates = [[f"optimizer.lr={rate * f}"] if isinstance(rate, float) else [] for f in (1.0, 1.0, 0.3, 0.1)]
    base = [*LINE, f"optimizer={name}", *required, *words, f"recording={recording}"]
    while True:
        try:
            return cohort([[*base, f"seed={seed}", *own] for seed, own in enumerate(rates)], fused=True)
        except RestackDifferently:
            continue


def assert_recorded_equals_plain(name: str, *words: str) -> None:
    try:
        plain = members(name, words, "never")
    except TrainSeparately:
        with pytest.raises(TrainSeparately):
            members(name, words, "always")
        return
    assert all(same(a, b) for a, b in zip(members(name, words, "always"), plain, strict=True))


@pytest.mark.parametrize("name", QUICK)
def test_recorded_steps_of_a_stack_equal_plain_ones(name: str) -> None:
    assert_recorded_equals_plain(name, "scheduler=cosine", "warmup=0.2")


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("words", [(), ("scheduler=one_cycle", "regularizer=[gradient_clipping]")], ids=" ".join)
def test_recorded_steps_of_any_optimizer_equal_plain_ones(name: str, words: tuple[str, ...]) -> None:
    assert_recorded_equals_plain(name, *words)


VARIANTS = {
    "constant": [],
    "cosine": ["scheduler=cosine", "warmup=0.2"],
    "seldom changed": ["scheduler=step"],
    "momentum follows": ["scheduler=one_cycle"],
    "decay": ["optimizer.weight_decay=0.1", "scheduler=cosine"],
    "clipping": ["regularizer=[gradient_clipping]"],
    "average": ["regularizer=[weight_averaging]"],
    "early stopping": ["regularizer=[early_stopping]", "regularizer.early_stopping.patience=1"],
    "diagnostics": ["diagnostic=[gradient_norm]", "diagnostic.gradient_norm.every=3"],
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_have_the_bits_of_plain_steps(variant: str) -> None:
    words = ["optimizer=rmsprop", *VARIANTS[variant]]
    assert_same_bits(words, SHARED, fused=True)
    assert_same_bits(words, SHARED[:1], fused=False)


@pytest.mark.parametrize("name", ["nadam", "muon"])
def test_numbers_of_each_step_are_those_of_plain_steps(name: str) -> None:
    assert_same_bits([f"optimizer={name}", "scheduler=cosine"], SHARED[:1], fused=False)


def test_steps_are_recorded_anew_when_members_leave() -> None:
    gone = [["seed=1"], ["seed=2", "optimizer.lr=1e30"], ["seed=3", "optimizer.lr=0.02"]]
    runs = assert_same_bits(["optimizer=rmsprop", "scheduler=cosine"], gone, fused=True)
    assert [run.state.diverged is not None for run in runs] == [False, True, False]


class Steps:
    """Steps of an optimizer on one parameter, recorded, beside those of a second optimizer that are plain."""

    def __init__(
        self,
        make: Callable[[list[nn.Parameter]], Optimizer],
        plugin: Callable[..., Any] | None = None,
        steps: int = LASTING,
    ) -> None:
        self.p, self.other = (nn.Parameter(torch.linspace(-1, 1, 48)) for _ in range(2))
        self.optimizer, self.plain = make([self.p]), make([self.other])
        self.recorded = RecordedOptimizer(self.optimizer, plugin, steps)
        self.grads = {"p": torch.zeros(48)}
        self.made = self.count = 0  # by the optimizer's own code, and in all

    def make(self, grads: Mapping[Tensor, Tensor]) -> None:
        self.made += 1
        self.p.grad = grads[self.p]
        self.optimizer.step()

    def step(self, times: int = 1) -> None:
        for _ in range(times):
            self.count += 1
            self.grads["p"].copy_(torch.randn(48, generator=torch.Generator().manual_seed(self.count)))
            if not self.recorded.step(self.grads, lambda grads: ({self.p: grads["p"]}, []), self.make):
                self.make({self.p: self.grads["p"].clone()})
            self.other.grad = self.grads["p"].clone()
            self.plain.step()
            assert torch.equal(self.p, self.other)

    def set_rate(self, lr: float) -> None:
        for optimizer in (self.optimizer, self.plain):
            optimizer.param_groups[0]["lr"] = lr


def test_code_of_the_optimizer_runs_in_the_first_steps_only() -> None:
    steps = Steps(lambda params: torch.optim.RMSprop(params, 0.01))
    steps.step(9)
    assert steps.made == 4  # one makes the state, one shows that steps may be recorded, two are recorded


def test_numbers_follow_the_learning_rate_after_one_more_recorded_step() -> None:
    steps = Steps(lambda params: torch.optim.RMSprop(params, 0.01, eps=0.01))  # eps does not follow
    steps.step(5)
    for lr in (0.02, 0.03, 0.0, 0.01):
        steps.set_rate(lr)
        steps.step(2)
    assert steps.made == 5


@pytest.mark.parametrize(("name", "settings"), [("nadam", {}), ("muon", {"adamw_lr": 0.01})])
def test_numbers_of_the_optimizer_are_computed_for_each_step(name: str, settings: dict[str, float]) -> None:
    optimizer = REGISTRY.get("optimizer", name)
    steps = Steps(lambda params: optimizer(params, lr=0.01, **settings))
    steps.step(9)
    assert steps.made == 4
    assert steps.optimizer.state[steps.p]["step"] == 9


@pytest.mark.parametrize("steps", [WORTH - 1, WORTH])
def test_few_steps_are_not_recorded(steps: int) -> None:
    stepped = Steps(lambda params: torch.optim.RMSprop(params, 0.01), steps=steps)
    stepped.step(9)
    assert stepped.made == (4 if steps == WORTH else 9)


def test_step_of_many_operations_is_worth_a_recording_in_many_steps_only() -> None:
    def rule(o: Own, p: nn.Parameter, g: Tensor) -> None:
        for _ in range(WORTH + 1):
            p.sub_(g, alpha=0.01)

    steps = Steps(lambda params: Own(params, rule), Own, steps=WORTH)
    steps.step(9)
    assert steps.made == 9


class Own(Optimizer):
    """An optimizer of a plugin, whose steps a function makes."""

    def __init__(self, params: list[nn.Parameter], rule: Callable[[Own, nn.Parameter, Tensor], None]) -> None:
        super().__init__(params, {"lr": 0.1})
        self.rule, self.calls, self.inner = rule, 0, torch.optim.SGD(params, 0.1)

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                self.rule(self, p, p.grad)


def stepping(rule: Callable[[Own, nn.Parameter, Tensor], None]) -> Steps:
    return Steps(lambda params: Own(params, rule), plugin=Own)


def _decayed(o: Own, p: nn.Parameter, g: Tensor) -> None:
    p.sub_(g.add_(p, alpha=0.1), alpha=o.param_groups[0]["lr"])  # changes the gradient


def _bounded(o: Own, p: nn.Parameter, g: Tensor) -> None:
    p.sub_(g, alpha=min(o.param_groups[0]["lr"], 0.15))


def test_gradient_may_be_changed_in_place() -> None:
    steps = stepping(_decayed)
    steps.step(6)
    assert steps.made == 3


def test_steps_of_a_plugin_are_recorded_anew_when_its_learning_rate_changes() -> None:
    steps = stepping(_bounded)
    steps.step(4)
    for lr in (0.12, 0.14, 0.3):
        steps.set_rate(lr)
        steps.step(4)
    assert steps.made == 1 + 2 * 4


def test_settings_that_change_often_make_steps_plain() -> None:
    steps = stepping(_bounded)
    for change in range(PROGRAMS + 3):
        steps.set_rate(0.1 / (1 + change))
        steps.step(4)
    assert steps.made > 2 * (PROGRAMS + 1)


def _counted(o: Own, p: nn.Parameter, g: Tensor) -> None:
    o.calls += 1
    p.sub_(g * (3 if o.calls % 7 == 0 else 1), alpha=0.1)


def _counted_in_state(o: Own, p: nn.Parameter, g: Tensor) -> None:
    o.state[p]["t"] = t = o.state[p].get("t", 0) + 1
    p.sub_(g * (3 if t % 7 == 0 else 1), alpha=0.1)


def _counted_in_the_group(o: Own, p: nn.Parameter, g: Tensor) -> None:
    o.param_groups[0]["t"] = t = o.param_groups[0].get("t", 0) + 1
    p.sub_(g * (3 if t % 7 == 0 else 1), alpha=0.1)


def _counted_in_an_inner_optimizer(o: Own, p: nn.Parameter, g: Tensor) -> None:
    o.inner.state[p]["t"] = t = o.inner.state[p].get("t", 0) + 1
    p.sub_(g * (3 if t % 7 == 0 else 1), alpha=0.1)


def _of_a_new_tensor(o: Own, p: nn.Parameter, g: Tensor) -> None:
    o.state[p]["last"] = g.clone()
    p.sub_(g, alpha=0.1)


def _moving(o: Own, p: nn.Parameter, g: Tensor) -> None:
    p.data = p.data - 0.1 * g


def _reading(o: Own, p: nn.Parameter, g: Tensor) -> None:
    p.sub_(g, alpha=0.1 if float(g.sum()) > 0 else 0.2)


def _drawing(o: Own, p: nn.Parameter, g: Tensor) -> None:
    torch.manual_seed(int(1e3 * p.sum()))
    p.sub_(g + torch.randn_like(g), alpha=0.1)


@pytest.mark.parametrize(
    "rule",
    [
        _counted, _counted_in_state, _counted_in_the_group, _counted_in_an_inner_optimizer, _of_a_new_tensor, _moving,
        _reading, _drawing,
    ],
)  # fmt: skip
def test_steps_that_depend_on_more_than_tensors_are_plain(rule: Callable[[Own, nn.Parameter, Tensor], None]) -> None:
    steps = stepping(rule)
    steps.step(15)
    assert steps.made == 15


def test_hooks_run_in_each_step() -> None:
    called: list[int] = []
    steps = Steps(lambda params: torch.optim.RMSprop(params, 0.01))
    steps.step(5)
    handle = steps.optimizer.register_step_post_hook(lambda *_: called.append(1))
    steps.step(2)
    handle.remove()
    everywhere = register_optimizer_step_post_hook(lambda *_: called.append(1))
    steps.step(1)
    everywhere.remove()
    assert len(called) == 2 + 2  # the last one after the step of the second optimizer, too


def test_step_that_an_object_replaces_runs_each_time() -> None:
    called: list[int] = []

    def make(params: list[nn.Parameter]) -> Optimizer:
        optimizer = torch.optim.RMSprop(params, 0.01)
        own = optimizer.step

        def step(*args: Any) -> Any:
            called.append(1)
            return own(*args)

        vars(optimizer)["step"] = step
        return optimizer

    Steps(make).step(9)
    assert len(called) == 9 + 9
