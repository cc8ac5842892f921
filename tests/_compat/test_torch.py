"""Tests of private APIs of torch: a failing test names the feature that breaks when the API changes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import vmap
from torch.optim.optimizer import register_optimizer_step_post_hook

from harness._compat import torch as compat
from harness._compat.torch import pytree


def test_pytree_maps_nested_tensors() -> None:
    tree = {"a": torch.ones(2), "b": (torch.zeros(3), 4)}
    leaves, form = pytree.tree_flatten(tree)
    assert pytree.tree_leaves(tree) == leaves
    assert leaves[2] == 4
    doubled = pytree.tree_map_only(Tensor, lambda t: 2 * t, tree)
    assert doubled["a"].tolist() == [2, 2]
    assert pytree.tree_unflatten([1, 2, 3], form) == {"a": 1, "b": (2, 3)}
    assert pytree.tree_map(lambda x, y: x + y, (1, [2]), (10, [20])) == (11, [22])


def test_dispatch_mode_sees_the_operations_of_the_backward_pass() -> None:
    seen = []

    class Watch(compat.TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            seen.append(func.overloadpacket.__name__)
            return func(*args, **(kwargs or {}))

    x = torch.ones(2, requires_grad=True)
    with Watch():
        x.tanh().sum().backward()
    assert {"tanh", "tanh_backward"} <= set(seen), "memory cannot be estimated, stacks cannot be made exact"


@pytest.mark.parametrize(
    ("base", "layers"),
    [
        (compat.BatchNormBase, [nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm]),
        (compat.NormBase, [nn.BatchNorm2d, nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d]),
        (compat.DropoutBase, [nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout]),
    ],
)
def test_layers_have_a_common_base(base: type, layers: list[type]) -> None:
    assert [layer for layer in layers if not issubclass(layer, base)] == []


def test_module_state_is_a_subset_of_every_modules_attributes() -> None:
    held = {name for name in vars(nn.Linear(2, 2)) if not name.endswith(("hooks", "with_kwargs", "always_called"))}
    assert held - {"in_features", "out_features"} >= compat.MODULE_STATE, "models that are alike seem to differ"
    assert {"_parameters", "_buffers", "_modules"} <= held


def test_unlisted_samplers_are_those_of_distributions(monkeypatch: pytest.MonkeyPatch) -> None:
    called = []

    class Watch(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            called.append(func)
            return func(*args, **(kwargs or {}))

    with Watch():
        torch.distributions.Gamma(torch.ones(2), torch.ones(2)).sample()
        torch.distributions.Dirichlet(torch.ones(2)).sample()
    assert set(compat.UNLISTED_SAMPLERS) <= set(called), "gamma samples do not come from the run's random numbers"


@pytest.mark.parametrize("shape", [(4, 3), (4, 3, 2), (4, 3, 2, 2, 2)])
def test_any_batch_norm_takes_any_number_of_dimensions(shape: tuple[int, ...]) -> None:
    y = compat.AnyBatchNorm(3)(torch.randn(shape, generator=torch.Generator().manual_seed(0)))
    over = [0, *range(2, len(shape))]
    torch.testing.assert_close(y.mean(over), torch.zeros(3), rtol=0, atol=1e-5)


def test_fixed_precision_survives_a_change_by_the_parent() -> None:
    class Mean(compat.FixedPrecision):
        fixed = ("mean",)

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("mean", torch.tensor([1e15 + 1], dtype=torch.float64))
            self.register_buffer("other", torch.zeros(1, dtype=torch.float64))

    model = nn.Sequential(Mean()).to(torch.float32)
    assert model[0].mean.item() == 1e15 + 1, "mean and deviation of targets are rounded"
    assert model[0].other.dtype == torch.float32
    assert model.to("meta")[0].mean.is_meta
    assert list(model.state_dict()) == ["0.other", "0.mean"]


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_storage_id_is_shared_by_views_only(device: str) -> None:
    one, other = torch.empty(4, device=device), torch.empty(4, device=device)
    assert compat.storage_id(one) == compat.storage_id(one[1:]), "shared memory is counted twice"
    assert compat.storage_id(one) != compat.storage_id(other), "memory is left out of the estimate"


@pytest.mark.parametrize("when", ["pre", "post"])
def test_step_hooks_are_detected(when: str) -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))])
    assert not compat.has_step_hooks(optimizer)
    handle = getattr(optimizer, f"register_step_{when}_hook")(lambda *_: None)
    assert compat.has_step_hooks(optimizer), "a hook that mixes members of a stack is overlooked"
    handle.remove()
    assert not compat.has_step_hooks(optimizer)


@pytest.mark.parametrize(("dims", "shape"), [((0, None), (3, 2)), ((1, 0), (2, 3)), ((-1, 0), (2, 3))])
def test_beneath_vmap_gives_the_tensors_of_all_members(dims: tuple[int, int | None], shape: tuple[int, int]) -> None:
    seen = []

    def together(x: Tensor, factor: Tensor) -> Tensor:
        seen.append((x.shape, factor.shape))
        return x * factor[:, None]

    x = torch.arange(6.0).view(shape)
    factor = torch.tensor(2.0) if dims[1] is None else torch.tensor([1.0, 2.0, 3.0])
    y = vmap(lambda x, f: compat.beneath_vmap(together, x, f), in_dims=dims)(x, factor)
    assert seen == [((3, 2), (3,))], "a stack cannot be trained exactly"
    expected = x.movedim(dims[0], 0) * factor.expand(3)[:, None]
    torch.testing.assert_close(y, expected, rtol=0, atol=1e-12)


def test_operations_have_variants_that_write_into_given_tensors() -> None:
    seen: list[Any] = []

    class Watch(compat.TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            seen.append((func, compat.written_arguments(func, args, kwargs or {})))
            return func(*args, **(kwargs or {}))

    x = torch.ones(2)
    with Watch():
        y = torch.add(x, 1.0)
        y.mul_(2.0)
    (add, nothing), (mul, written) = seen
    assert compat.is_operation(add)
    assert not compat.is_operation(torch.add)
    assert nothing == []
    assert written == [y]
    out = torch.empty(2)
    variant = compat.out_variant(add)
    assert variant is not None, "a replayed step allocates all of its tensors"
    variant[0](x, 1.0, **{variant[1][0]: out})
    assert out.tolist() == [2, 2]
    assert compat.out_variant(mul) is None
    assert compat.direct(add)(x, 1.0).tolist() == [2, 2]


def test_storage_ids_are_unique_while_a_weak_reference_lives() -> None:
    references, ids = [], set()
    for _ in range(100):
        storage = torch.empty(3).untyped_storage()
        references.append(compat.StorageWeakRef(storage))
        ids.add(compat.storage_id(storage))
        del storage
    assert all(reference.expired() for reference in references), "recording a step keeps its tensors"
    assert len(ids) == 100, "recorded tensors are mistaken for each other"


def test_global_hooks_of_optimizers_are_seen() -> None:
    assert not compat.has_global_step_hooks()
    handle = register_optimizer_step_post_hook(lambda *_: None)
    assert compat.has_global_step_hooks(), "hooks are not called for optimizers that are stepped by their kernel"
    handle.remove()


@pytest.mark.parametrize("kernel", ["adam", "adamw", "sgd"])
def test_fused_kernels_make_the_step_of_their_optimizer(kernel: str) -> None:
    p, g, zero = nn.Parameter(torch.ones(3)), torch.tensor([1.0, -2.0, 0.5]), torch.zeros(3)
    cls = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}[kernel]
    optimizer = cls([p], lr=0.1, weight_decay=0.0, fused=True)
    p.grad = g
    optimizer.step()
    q = [torch.ones(3)]
    if kernel == "sgd":
        rest = {"momentum": 0.0, "dampening": 0.0, "nesterov": False, "is_first_step": False}
        compat.fused_sgd_(q, [g], [], lr=0.1, weight_decay=0.0, maximize=False, **rest)
    else:
        step = compat.fused_adam_ if kernel == "adam" else compat.fused_adamw_
        rest = {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "amsgrad": False}
        states = [[zero.clone()], [zero.clone()], [], [torch.tensor(1.0)]]
        step(q, [g], *states, lr=0.1, weight_decay=0.0, maximize=False, **rest)
    assert torch.equal(q[0], p.detach())
