"""The kinds of components, with the parameters that harness injects and the traits that a component may declare.

This table is the contract with every plugin. A positional parameter of a component must be listed in the `offers` of
its kind, and an argument of its decorator in the `traits`.
"""

from __future__ import annotations

from dataclasses import dataclass

KEY = "_component_"

AUTO = "auto"  # the choice that harness replaces by one that fits the other choices
NONE = "none"  # the name in a resolved config for a kind that the model does not use
OPTIONAL_KINDS = frozenset({"activation", "normalization", "initializer", "optimizer", "scheduler"})  # may be NONE
# A metric that asks for one of these is a function that returns a number, called once after training.
AT_END = frozenset({"history", "model", "dataset"})
SKIPS = "skips"  # a trait of every kind: {check: reason why it does not apply}; the checks test that it is needed

UNLISTED_TRAITS = ("cases",)  # traits that only serve the checks, and are not shown to users


@dataclass(frozen=True)
class Kind:
    """One config group."""

    name: str
    many: bool  # True for a list of choices (`'regularizer=[l2,dropout]'`), False for one (`optimizer=adam`)
    offers: tuple[str, ...]  # names of the positional parameters that harness can inject
    returns: str
    traits: tuple[str, ...] = ()
    auto: str | None = None  # component behind the choice `auto`; "" if the other choices decide; None: no `auto`


_ALL = (
    Kind(
        "task",
        False,
        ("loss", "dataset"),
        "a harness.Task",
        ("targets", "classes", "loss", "metrics", "imbalance_metrics", "model", "like", "auto", "words", "tuples"),
        "",
    ),
    Kind("data", False, ("split", "cache_dir", "generator"), "a harness.Dataset", ("describe", "reads")),
    Kind(
        "model",
        False,
        ("inputs", "outputs", "vocabulary", "block", "generator"),
        "a torch.nn.Module; or a harness.Estimator, with the trait `estimator`, which is fitted at once",
        (
            "tasks",
            "losses",
            "metrics",
            "input_ndim",
            "inputs_within",
            "real_inputs",
            "estimator",
            "training",
            "initializer",
            "forward_only",
        ),
        "mlp",
    ),
    Kind(
        "activation",
        False,
        ("x", "features", "axis"),
        "a tensor of the shape of x, element by element; a torch.nn.Module where it asks for features or axis",
        ("gain", "width_factor"),
    ),
    Kind(
        "normalization",
        False,
        ("features", "ndim", "layer", "name", "generator"),
        "a torch.nn.Module, or None; None where it asks for a layer, whose weight `name` it changes",
        ("cancels_bias", "input_ndim"),
    ),
    Kind(
        "initializer",
        False,
        ("weight", "bias", "fan_in", "fan_out", "gain", "index", "generator", "model", "batch"),
        "None: it fills the weight (and the bias) in place; or, where it asks for the model, all of them at once",
        ("keeps", "mean", "std"),
        "he_normal",
    ),
    Kind(
        "loss",
        False,
        ("prediction", "target", "class_counts"),
        "a scalar, a mean over the batch; {group: scalar} where the task has several groups",
        ("tasks", "pairs", "weighted"),
        "",
    ),
    Kind(
        "optimizer",
        False,
        ("params", "named_params", "total_steps", "generator"),
        "a torch.optim.Optimizer",
        ("full_batch", "closure", "gradient"),
    ),
    Kind(
        "scheduler",
        False,
        ("optimizer", "total_steps"),
        "a torch learning-rate scheduler, stepped once a step; ReduceLROnPlateau, stepped once an epoch",
        ("watches",),
    ),
    Kind("regularizer", True, ("classes", "total_steps"), "a harness.Regularizer"),
    Kind("augmentation", True, ("classes",), "a callable (x, y, noise) -> (x, y)", ("input_ndim",)),
    Kind("corruption", True, ("dataset", "generator"), "a harness.Dataset", ("targets",)),
    Kind("transform", True, ("train", "chunks"), "a callable on inputs", ("within",), "standardize"),
    Kind(
        "metric",
        True,
        ("num_classes", "analogies", "task", "history", "directions", "model", "dataset"),
        "a torchmetrics.Metric; or, where it asks for the history, the model or the dataset, a number, once at the end",
        ("tasks", "targets", "input_ndim", "higher_is_better", "cases"),
    ),
    Kind("diagnostic", True, (), "a harness.Diagnostic: a pure measurement, and how often it is made", ("tells",)),
    Kind("callback", True, (), "a pytorch_lightning.Callback, which follows the training of one run"),
    Kind("logger", True, ("run_dir", "name", "in_sweep"), "a Lightning logger"),
    Kind("executor", False, ("jobs",), "a concurrent.futures.Executor", ("task_minutes", "task_start"), "loky"),
)

KINDS: dict[str, Kind] = {kind.name: kind for kind in _ALL}

# Kinds whose settings may be tuned: not those that pose the problem, nor those that observe or launch a run.
_GIVEN = ("task", "data", "corruption", "metric", "diagnostic", "callback", "logger", "executor")
TUNED = tuple(name for name in KINDS if name not in _GIVEN)
