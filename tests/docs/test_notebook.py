"""Execute the cells of the notebook in the documentation, as Jupyter does."""

from __future__ import annotations

import ast
import json
import shlex
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.cli.main import main
from tests.docs.pages import BOOK

NOTEBOOK = BOOK / "how-to/notebook.ipynb"


class Display:
    """Stands for IPython in the kernel of a notebook; keeps what is displayed."""

    def __init__(self) -> None:
        self.shown: list[str] = []
        self.value: Any = None
        self.display = SimpleNamespace(display=self.show)

    def get_ipython(self) -> Any:
        return SimpleNamespace(config={"IPKernelApp": {}})

    def show(self, value: Any, display_id: bool) -> Any:
        self.shown.append(value._repr_html_())
        self.value = value
        return SimpleNamespace(update=lambda again: self.shown.append(again._repr_html_()))


def run_cell(source: str, names: dict[str, Any]) -> Any:
    """Run a cell; return the value of its last expression. A line `!harness ...` is a command."""
    if source.startswith("%pip"):
        return None
    if source.startswith("!harness "):
        with pytest.raises(SystemExit) as stop:
            main(shlex.split(eval(f"f{source[9:]!r}", names)))
        assert stop.value.code in (0, 1)  # 1: there is something to fix
        return None
    body = ast.parse(source).body
    last = body.pop() if isinstance(body[-1], ast.Expr) else None
    exec(compile(ast.Module(body, []), str(NOTEBOOK), "exec"), names)
    return eval(compile(ast.Expression(last.value), str(NOTEBOOK), "eval"), names) if last else None


def test_cells_run_and_show_a_bar_and_tables(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    display = Display()
    monkeypatch.setitem(sys.modules, "IPython", display)  # type: ignore[arg-type]
    cells = [cell for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    assert not any(cell["outputs"] for cell in cells)
    names: dict[str, Any] = {}
    values = [run_cell("".join(cell["source"]), names) for cell in cells]
    html = [value._repr_html_() for value in values if hasattr(value, "_repr_html_")]
    assert any("<th>status</th>" in text and text.count("completed") == 6 for text in html)
    assert '<progress value="0" max="6">' in display.shown[0]
    assert "6 of 6 runs: 6 completed" in display.shown[-1]
    assert repr(display.value) == "6 of 6 runs: 6 completed"  # shown where there is no HTML


def test_no_bar_is_shown_outside_of_a_notebook(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from harness.execution.sweep.notebook import in_notebook

    assert not in_notebook()
    terminal = SimpleNamespace(get_ipython=lambda: SimpleNamespace(config={"TerminalIPythonApp": {}}))
    monkeypatch.setitem(sys.modules, "IPython", terminal)  # type: ignore[arg-type]
    assert not in_notebook()
