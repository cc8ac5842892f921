"""Tests of the page for users of lightning-hydra-template: its length, and its table against what harness answers."""

from __future__ import annotations

import re

import pytest

from harness.cli.main import main
from tests.docs.pages import BOOK, blocks

PAGE = BOOK / "how-to/from-lightning-hydra-template.md"
WORDS = re.findall(r"^\| `(.+?)` \| `(.+?)` \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)


def test_the_move_takes_less_than_40_lines() -> None:
    (plugin,) = (block for block in blocks(PAGE) if block.file == "template/waves/plugin.py")
    assert len(plugin.text.splitlines()) < 40


@pytest.mark.parametrize(("template", "ours"), WORDS)
def test_a_word_of_the_template_is_answered_with_ours(
    template: str, ours: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main([template, "--cfg", "job"])
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("harness: error: ")
    assert ours in line


def test_all_words_are_in_the_table() -> None:
    assert len(WORDS) > 30
