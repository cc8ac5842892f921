"""Tests of completion in zsh and fish, with the shells themselves."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.cli.terminal import Terminal
from tests.helpers.commands import HARNESS, environment

LINES = [
    ("harness rep", "report"),
    ("harness report de", "depth"),
    ("harness list optim", "optimizer"),
    ("harness eval --js", "--json"),
    ("harness optimizer=adamw", "optimizer=adamw"),
    ("harness callback=[lightning_e", "callback=[lightning_early_stopping]"),
]
# ^G prints the line after the completion, which begins with ^U.
ZSH = """\
PS1='$ '; unsetopt zle_bracketed_paste; autoload -Uz compinit && compinit -D
show() {{ print -r -- "<<$BUFFER>>"; BUFFER= }}; zle -N show; bindkey '^G' show
eval "$(harness -sc install=zsh)"; print re''ady
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "outputs/depth").mkdir(parents=True)
    return tmp_path


def variables() -> dict[str, str]:
    return environment(PATH=f"{Path(HARNESS).parent}:{environment()['PATH']}", TERM="dumb", COLUMNS="200")


@pytest.mark.skipif(shutil.which("fish") is None, reason="no fish on this machine")
def test_fish_completes(folder: Path) -> None:
    asked = "\n".join(f'complete -C "{line}"; printf "%s\\n" ----' for line, _ in LINES)
    script = f"harness -sc install=fish | source\n{asked}\nharness -sc uninstall=fish | source\ncomplete -c harness\n"
    found = subprocess.run(
        ["fish", "--no-config", "-c", script], cwd=folder, env=variables(), capture_output=True, text=True, check=True
    )
    *answers, after = found.stdout.split("----\n")
    for (line, word), answer in zip(LINES, answers, strict=True):
        assert word in answer.split(), (line, found.stderr)
    assert after.strip() == ""


@pytest.mark.skipif(shutil.which("zsh") is None, reason="no zsh on this machine")
def test_zsh_completes(folder: Path) -> None:
    terminal = Terminal(["zsh", "-f", "-i"], folder, variables())
    terminal.type(ZSH.format().strip() + "\n")
    terminal.until(r"ready\r\n")
    for line, word in LINES[:4]:
        terminal.type(f"\x15{line}\t\x07")
        _, match = terminal.until(r"<<(.*)>>")
        assert match.group(1).rstrip().endswith(word), line
    terminal.type("\x15exit\n")
    terminal.rest()
