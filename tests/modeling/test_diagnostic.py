"""Tests of the interface of a diagnostic: its arguments decide when it is measured, and wrong ones are refused."""

from __future__ import annotations

import functools

import pytest

from harness.modeling.diagnostic import Diagnostic


def scaled(params, *, by):
    return {}


@pytest.mark.parametrize(
    ("measure", "once", "when"),
    [
        (lambda params, loss: {}, False, "step"),
        (functools.partial(scaled, by=2), False, "step"),
        (lambda history: {}, False, "epoch"),
        (lambda machine: {}, False, "epoch"),
        (lambda model: {}, False, "end"),
        (lambda model, dataset, loss, history: {}, False, "end"),
        (lambda params, loss: {}, True, "end"),
    ],
)
def test_arguments_decide_when_a_diagnostic_is_measured(measure, once, when):
    assert Diagnostic(measure, once=once).when == when


@pytest.mark.parametrize(
    ("measure", "once", "message"),
    [
        (lambda weight: {}, False, "asks for 'weight'; it may ask for batch_size, "),
        (lambda model, grads: {}, False, "cannot ask for 'grads'"),
        (lambda previous: {}, True, "cannot ask for 'previous'"),
        (lambda machine, model: {}, False, "cannot ask for 'machine'"),
        (lambda history, params: {}, False, "after each epoch cannot ask for 'params'"),
    ],
)
def test_unknown_argument_is_refused(measure, once, message):
    with pytest.raises(TypeError, match=message):
        _ = Diagnostic(measure, once=once).asks
