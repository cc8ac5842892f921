"""Tests that numerical comparisons state both tolerances: sums differ in the last bits between processors."""

import ast
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parents[1]
DEFAULTS = {"assert_close", "approx"}  # torch's and pytest's default tolerances are positive
ABSOLUTE = ("atol", "abs_tol")


def without_tolerance(source: str) -> Iterator[int]:
    """Yield the lines of comparisons whose absolute tolerance is zero or missing."""
    for node in ast.walk(ast.parse(source)):
        name = ast.unparse(node.func).split(".")[-1] if isinstance(node, ast.Call) else ""
        if name not in {"assert_allclose", "allclose", "isclose", *DEFAULTS}:
            continue
        assert isinstance(node, ast.Call)
        stated = {k.arg: ast.unparse(k.value) for k in node.keywords}
        absolute = [stated[word] for word in ABSOLUTE if word in stated]
        one_sided = name == "assert_close" and "rtol" in stated and not absolute
        if one_sided or "0" in absolute or (name not in DEFAULTS and not absolute):
            yield node.lineno


def test_every_comparison_states_an_absolute_tolerance():
    lines = [
        f"{file.relative_to(HERE)}:{n}" for file in HERE.rglob("*.py") for n in without_tolerance(file.read_text())
    ]
    assert not lines


def test_comparison_without_tolerance_is_detected():
    wrong = "np.testing.assert_allclose(a, b, rtol=1e-9)", "torch.testing.assert_close(a, b, rtol=1e-9, atol=0)"
    assert [list(without_tolerance(line)) for line in wrong] == [[1], [1]]
    assert not list(without_tolerance("np.testing.assert_allclose(a, b, atol=1e-9)"))
