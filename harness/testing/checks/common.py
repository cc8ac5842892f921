"""Checks of what holds for a component of any kind."""

from __future__ import annotations

import inspect
import pickle
import random
import re
from random import Random
from typing import Any

import numpy as np
import torch
from torch import Tensor

from harness._compat.torch import pytree
from harness.config.schema import entry_parameters
from harness.registry.component import ComponentError, mark_of, validate
from harness.registry.param_types import convert, encode, space_of
from harness.system.errors import HarnessError, one_line
from harness.system.process_state import states
from harness.testing.check import check
from harness.testing.component_case import Case, Fault, Inapplicable, expect
from harness.testing.exercise import behave

# What papers are written about: with a reference, the docstring tells the formula too.
MATHEMATICAL = ("activation", "initializer", "loss", "normalization", "optimizer", "regularizer", "scheduler")
FOUND_BY = re.compile(
    r"\b(1[5-9]|20)\d\d[a-z]?\b|\barXiv:\s*\S|\bdoi\b|\b10\.\d{4,}/|https?://|\bISBN\b", re.IGNORECASE
)
SAMPLES = 4  # settings drawn from the search spaces
DRAWS = 50  # values of a space


@check(needs=())
def documented(case: Case) -> None:
    """Its docstring says in one line what it is, and below it, where it has a reference, the formula."""
    lines = inspect.cleandoc(case.entry["doc"]).splitlines()
    expect(lines and lines[0], "it has no docstring: its first line is what lists and help show")
    first, rest = lines[0], lines[1:]
    expect(re.match(r"[A-Z0-9].{10,}[.:)]$", first), f"its docstring's first line is no sentence: {first!r}")
    expect(len(first) <= 120, f"its docstring's first line has {len(first)} characters, and 120 fit in a list")
    expect(not rest or not rest[0], "its docstring's second line is not empty")
    expect(
        case.kind not in MATHEMATICAL or not case.entry["reference"] or len(rest) > 1,
        "it has a reference, and its docstring no formula below the first line",
    )


@check(needs=())
def referenced(case: Case) -> None:
    """Its reference, where it has one, can be found: it has a year, an arXiv number, a DOI or an address."""
    reference = case.entry["reference"]
    if reference is None:
        raise Inapplicable("it names no reference, which is right for what no one has published")
    found = FOUND_BY.search(reference)
    expect(found, f"its reference has no year, arXiv number, DOI or address to find it by: {reference!r}")
    expect(re.search(r"[^\W\d_]{2}", reference), f"its reference names nobody and nothing: {reference!r}")


@check(needs=())
def schema(case: Case) -> None:
    """Its signature keeps the rule, and each default and all that its search spaces draw is valid."""
    try:
        validate(case.function)
    except ComponentError as error:
        raise Fault(str(error)) from error
    mark = mark_of(case.function)
    named = mark is not None and (mark.kind, mark.name) == (case.kind, case.name)
    expect(named and case.asks == case.entry["asks"], "the catalogue tells another signature than it has")
    told = entry_parameters(dict(case.entry))
    expect([p.name for p in case.parameters] == [p.name for p in told], "the catalogue tells other parameters")
    rng = Random(0)
    for declared, known in zip(case.parameters, told, strict=True):
        expect(encode(declared.hint) == encode(known.hint), f"the catalogue tells another type of {declared.name}")
        if not declared.required:
            value = convert(declared.hint, declared.default)
            expect(value == convert(declared.hint, value), f"the default of {declared.name} is not what it becomes")
        space = space_of(declared.hint)
        for _ in range(DRAWS if space is not None else 0):
            assert space is not None
            value = space.sample(rng)
            try:
                convert(declared.hint, value)
            except ValueError as error:
                raise Fault(f"the search space of {declared.name} draws {value!r}, and it {error}") from error


@check(needs=())
def pickles(case: Case) -> None:
    """It can be sent to another process."""
    try:
        same = pickle.loads(pickle.dumps(case.function)) is case.function
    except Exception as error:
        raise Fault(f"pickle refuses it: {error}") from error
    expect(same, "another function comes back: its module holds something else by its name")


@check(needs=("schema",))
def builds(case: Case) -> None:
    """With its defaults it makes what its kind says, and that does what it is for."""
    try:
        _scramble(1)
        case.kept["first"] = _bits(behave(case))
    except HarnessError as error:
        cause = error.__cause__
        if case.kind == "data" and isinstance(cause, OSError) and not isinstance(cause, FileNotFoundError):
            raise Inapplicable(f"its data cannot be had here: {error}") from error
        raise


@check()
def samples(case: Case) -> None:
    """So it does with settings drawn from its search spaces."""
    if case.sampled(0) is None:
        raise Inapplicable("none of its settings has a search space")
    refused = []
    for seed in range(SAMPLES):
        drawn = case.sampled(seed)
        assert drawn is not None
        try:
            behave(drawn)
        except Inapplicable:
            raise
        except HarnessError as error:  # which says to a user what does not go together
            refused.append(str(error))
        except Exception as error:
            said = ", ".join(f"{name}={drawn.given[name]!r}" for name in drawn.given)
            raise Fault(f"with {said}: {error if isinstance(error, Fault) else one_line(error)}") from error
    expect(len(refused) < SAMPLES, f"it refuses all {SAMPLES} of them: {refused[0] if refused else ''}")


@check(name="globals")
def leaves_globals(case: Case) -> None:
    """It changes nothing that the process shares: random generators, default dtype, threads, warnings, folders."""
    if case.kind in ("logger", "executor"):
        raise Inapplicable("it opens files or processes by its nature")
    # once it has built: what the import of a library does is not the component's
    _scramble(2)
    before = states()
    case.kept["second"] = _bits(behave(case))
    after = states()
    changed = [name for name in before if before[name] != after[name]]
    expect(not changed, f"it changes {', '.join(changed)} (chance comes from the generator or noise that is offered)")


@check(needs=("globals",))
def repeats(case: Case) -> None:
    """The same seed gives the same result, to the bit, whatever was done before."""
    if case.kind in ("logger", "executor"):
        raise Inapplicable("it has no result of its own")
    same = case.kept["first"] == case.kept["second"]
    expect(same, "used twice in the same way, it gives two results: something is kept, or drawn elsewhere")


def _scramble(seed: int) -> None:
    """Sets what a component might draw from, and must not."""
    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    random.seed(seed)


def _bits(tree: Any) -> list[Any]:
    """The leaves, tensors as what compares by ==, nan too."""
    arrays = [leaf.detach().cpu().numpy() if isinstance(leaf, Tensor) else leaf for leaf in pytree.tree_leaves(tree)]
    return [(a.shape, str(a.dtype), a.tobytes()) if isinstance(a, np.ndarray) else a for a in arrays]
