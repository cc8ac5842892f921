"""Run every example of the documentation: one page at a time, from top to bottom, in an empty folder.

In ```console blocks, `$ harness ...` runs in this process. ```python blocks share one namespace. A block with a title
is written to that file. `pip install -e FOLDER` becomes an entry point on the path. Blocks below `<!-- slow -->` run in
the slow tests only.
"""

from __future__ import annotations

import importlib
import os
import re
import shlex
import subprocess
import sys
import tomllib
import warnings
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from harness.cli import main
from harness.registry import catalogue
from harness.results import run_id
from harness.system.session import Session, current
from tests.docs.pages import PAGES, Block, blocks, commands
from tests.docs.pages import name as page_id
from tests.helpers.planted import forget

LEFT_OUT = ("make", "git", "cd", "source", ".", "python", "tensorboard")  # they change or need the reader's machine
LOOKS = ("ls", "cat", "head", "find")


@pytest.fixture
def reader(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder and a process as a reader has them: nothing installed but harness; put back afterwards."""

    def board(*_: Any) -> None:
        raise SystemExit(0)  # it would become TensorBoard

    monkeypatch.syspath_prepend(str(workdir))
    monkeypatch.setattr(os, "execv", board)
    with Session():
        yield workdir
    _forget(workdir)


def _install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `pip install -e FOLDER` does for a plugin: its modules are on the path, and its entry points are seen."""
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    monkeypatch.syspath_prepend(str(folder))
    info = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    points = project["entry-points"]["harness"]
    for module in points.values():
        forget(module.partition(":")[0].partition(".")[0])
    (info / "entry_points.txt").write_text("\n".join(["[harness]", *(f"{k} = {v}" for k, v in points.items())]))
    current().forget(catalogue.read)


def _forget(folder: Path) -> None:
    """What was imported from a folder is imported anew, as by a new process."""
    for name in [n for n, m in sys.modules.items() if str(folder) in str(getattr(m, "__file__", ""))]:
        del sys.modules[name]
        run_id.forget(name)
    importlib.invalidate_caches()


def _command(command: str, status: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = shlex.split(command)
    with monkeypatch.context() as patch, ExitStack() as stack:
        while re.fullmatch(r"[A-Z_]+=.*", words[0]):
            name, _, value = words.pop(0).partition("=")
            patch.setenv(name, value)
        if words[0] == "harness":
            stack.enter_context(Session())  # as in a process of its own
            with warnings.catch_warnings():
                warnings.simplefilter("default")
                with pytest.raises(SystemExit) as stop:
                    main(words[1:])
            assert stop.value.code == status, command
        elif words[:2] == ["pip", "install"]:
            _install(folder / words[-1], monkeypatch)
        elif words[0] in LOOKS:
            subprocess.run(command, shell=True, check=True, cwd=folder, stdout=subprocess.DEVNULL)
        else:
            assert words[0] in LEFT_OUT, f"the test cannot run {command!r}"


def _check_page(page: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, slow: bool) -> None:
    names: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks(page):
        if block.slow and not slow:
            continue
        where = f"{page_id(page)}:{block.line}"
        if block.file is not None:
            (folder / block.file).parent.mkdir(parents=True, exist_ok=True)
            (folder / block.file).write_text(block.text)
            _forget(folder)
        elif block.language == "python":
            exec(compile("\n" * block.line + block.text, str(page), "exec"), names)
        elif block.language == "console":
            assert commands(block), f"{where} holds no command"
            for command, status in commands(block):
                _command(command, status, folder, monkeypatch)


def _slow(page: Path) -> bool:
    return any(block.slow for block in blocks(page))


def _has_examples(page: Path) -> bool:
    return any(block.language in ("console", "python") for block in blocks(page))


@pytest.mark.parametrize("page", [p for p in PAGES if _has_examples(p)], ids=page_id)
def test_the_examples_of_a_page_run(page: Path, reader: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _check_page(page, reader, monkeypatch, slow=False)


@pytest.mark.slow
@pytest.mark.parametrize("page", [p for p in PAGES if _slow(p)], ids=page_id)
def test_the_slow_examples_of_a_page_run(page: Path, reader: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _check_page(page, reader, monkeypatch, slow=True)


def test_commands_have_status() -> None:
    text = "$ harness epochs=2 \\\n    seed=1\ndone\n$ harness optimizer=adamm\nharness: error: no optimizer 'adamm'.\n"
    assert commands(Block("console", text)) == [
        ("harness epochs=2 seed=1", 0),
        ("harness optimizer=adamm", 2),
    ]
