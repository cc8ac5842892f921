"""Conformance checks for components of any kind."""

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
from harness.registry.catalogue import entry_parameters
from harness.registry.component import ComponentError, mark_of, validate
from harness.registry.param_types import convert, encode, space_of
from harness.system.errors import HarnessError, one_line
from harness.system.process_state import states
from harness.testing.check import check
from harness.testing.component_case import Case, Fault, Inapplicable, expect
from harness.testing.exercise import exercise

# Kinds whose docstring must hold a formula if they have a reference.
MATHEMATICAL = ("activation", "initializer", "loss", "normalization", "optimizer", "regularizer", "scheduler")
FOUND_BY = re.compile(
    r"\b(1[5-9]|20)\d\d[a-z]?\b|\barXiv:\s*\S|\bdoi\b|\b10\.\d{4,}/|https?://|\bISBN\b", re.IGNORECASE
)
SAMPLES = 4  # samples of the settings to test
DRAWS = 50  # values to draw from each search space


@check(needs=())
def documented(case: Case) -> None:
    """The docstring has a summary in one line and, if the component has a reference, the formula below it."""
    lines = inspect.cleandoc(case.entry["doc"]).splitlines()
    expect(lines and lines[0], "it has no docstring: its first line is what lists and help show")
    first, rest = lines[0], lines[1:]
    expect(
        re.match(r"[A-Z0-9].{10,}[.:)]$", first),
        f"its docstring's first line is not a sentence (a capital, 12 characters or more, a full stop): {first!r}",
    )
    expect(len(first) <= 120, f"its docstring's first line has {len(first)} characters, but at most 120 fit in a list")
    expect(not rest or not rest[0], "its docstring's second line is not empty")
    expect(
        case.kind not in MATHEMATICAL or not case.entry["reference"] or len(rest) > 1,
        "it has a reference, but its docstring has no formula below the first line",
    )


@check(needs=())
def referenced(case: Case) -> None:
    """The reference, if there is one, can be found by a year, an arXiv number, a DOI or an address."""
    reference = case.entry["reference"]
    if reference is None:
        raise Inapplicable("it has no reference, which is right for unpublished work")
    identifier = FOUND_BY.search(reference)
    expect(identifier, f"its reference has no year, arXiv number, DOI or address to find it by: {reference!r}")
    expect(re.search(r"[^\W\d_]{2}", reference), f"its reference names neither author nor title: {reference!r}")


@check(needs=())
def schema(case: Case) -> None:
    """The signature follows the rules, and all defaults and samples of search spaces are valid."""
    try:
        validate(case.function)
    except ComponentError as error:
        raise Fault(str(error)) from error
    mark = mark_of(case.function)
    same_name = mark is not None and (mark.kind, mark.name) == (case.kind, case.name)
    expect(same_name and case.asks == case.entry["asks"], "its signature differs from that in the catalogue")
    listed = entry_parameters(dict(case.entry))
    expect([p.name for p in case.parameters] == [p.name for p in listed], "its settings differ from the catalogue's")
    rng = Random(0)
    for declared, known in zip(case.parameters, listed, strict=True):
        expect(encode(declared.hint) == encode(known.hint), f"the type of {declared.name} differs from the catalogue's")
        if not declared.required:
            value = convert(declared.hint, declared.default)
            expect(
                value == convert(declared.hint, value), f"the default of {declared.name} changes when it is converted"
            )
        space = space_of(declared.hint)
        for _ in range(DRAWS if space is not None else 0):
            assert space is not None
            value = space.sample(rng)
            try:
                convert(declared.hint, value)
            except ValueError as error:
                raise Fault(f"the search space of {declared.name} draws {value!r}, but it {error}") from error


@check(needs=())
def pickles(case: Case) -> None:
    """The component can be pickled, to be sent to another process."""
    try:
        same = pickle.loads(pickle.dumps(case.function)) is case.function
    except Exception as error:
        raise Fault(f"it cannot be pickled: {error}") from error
    expect(same, "unpickling returns another object: its module has something else under its name")


@check(needs=("schema",))
def builds(case: Case) -> None:
    """With its defaults the component returns an object of its kind, which works."""
    try:
        _scramble(1)
        case.kept["first"] = _bits(exercise(case))
    except HarnessError as error:
        cause = error.__cause__
        if case.kind == "data" and isinstance(cause, OSError) and not isinstance(cause, FileNotFoundError):
            raise Inapplicable(f"its data is not available here: {error}") from error
        raise


@check()
def samples(case: Case) -> None:
    """The same holds with settings drawn from its search spaces."""
    if case.sampled(0) is None:
        raise Inapplicable("none of its settings has a search space")
    refused = []
    for seed in range(SAMPLES):
        drawn = case.sampled(seed)
        assert drawn is not None
        try:
            exercise(drawn)
        except Inapplicable:
            raise
        except HarnessError as error:  # a refused combination of settings
            refused.append(str(error))
        except Exception as error:
            settings = ", ".join(f"{name}={drawn.given[name]!r}" for name in drawn.given)
            raise Fault(f"with {settings}: {error if isinstance(error, Fault) else one_line(error)}") from error
    expect(len(refused) < SAMPLES, f"it refuses all {SAMPLES} samples: {refused[0] if refused else ''}")


@check(name="globals")
def leaves_globals(case: Case) -> None:
    """The component leaves the shared state of the process unchanged (generators, dtype, threads, warnings, ...)."""
    if case.kind in ("logger", "executor"):
        raise Inapplicable("it opens files or processes by its nature")
    # the second use, since the first may import a library that changes the state
    _scramble(2)
    before = states()
    case.kept["second"] = _bits(exercise(case))
    after = states()
    changed = [name for name in before if before[name] != after[name]]
    expect(not changed, f"it changes {', '.join(changed)} (draw from the generator or noise that harness injects)")


@check(needs=("globals",))
def repeats(case: Case) -> None:
    """The same seed gives bit-equal results, whatever ran before."""
    if case.kind in ("logger", "executor"):
        raise Inapplicable("it has no result of its own")
    same = case.kept["first"] == case.kept["second"]
    expect(same, "two equal uses give two results: it keeps state, or draws from another generator")


def _scramble(seed: int) -> None:
    """Seed the global generators, from which a component must not draw."""
    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    random.seed(seed)


def _bits(tree: Any) -> list[Any]:
    """Return the leaves of a tree; tensors as bytes, so that nan equals nan."""
    arrays = [leaf.detach().cpu().numpy() if isinstance(leaf, Tensor) else leaf for leaf in pytree.tree_leaves(tree)]
    return [(a.shape, str(a.dtype), a.tobytes()) if isinstance(a, np.ndarray) else a for a in arrays]
