"""Tests of Bash completion, with the tab key in a real bash."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.cli.completion import complete
from harness.registry.command import built_in_names
from harness.registry.kinds import KINDS
from tests.cli.terminal import Terminal
from tests.helpers.commands import HARNESS, environment

# ^G prints the line after the completion.
SETUP = r"""
bind 'set show-all-if-ambiguous on'; bind 'set bell-style none'; bind 'set page-completions off'
bind 'set completion-query-items 0'; bind -x '"\C-g": printf "<<%s>>\n" "$READLINE_LINE"'
eval "$(harness -sc install=bash)"; echo re''ady
"""


@pytest.fixture(scope="module")
def bash(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    if shutil.which("bash") is None:
        pytest.skip("no bash on this machine")
    folder = tmp_path_factory.mktemp("bash")
    for name in ("depth", "width-1", "width-2"):
        (folder / "outputs" / name).mkdir(parents=True)
    where = f"{Path(HARNESS).parent}:{environment()['PATH']}"
    variables = environment(PATH=where, TERM="dumb", PS1="$ ", INPUTRC="/dev/null", COLUMNS="200")
    terminal = Terminal(["bash", "--norc", "--noprofile", "-i"], folder, variables)
    terminal.type(SETUP.strip() + "\n")
    terminal.until(r"ready\r\n")
    yield terminal
    terminal.type("\x15exit\n")
    assert terminal.rest()[1] == 0


def press_tab(bash: Terminal, line: str) -> tuple[str, list[str]]:
    """Return the line after the tab key, and the words that were listed."""
    bash.type(f"\x15{line}\t\x07")
    shown, match = bash.until(r"<<(.*)>>\r?\n")
    bash.type("\x15")
    lines = shown.replace("\r", "").split("\n")
    return match.group(1), " ".join(row for row in lines if "$ " not in row and "<<" not in row).split()


@pytest.mark.parametrize(
    ("line", "after"),
    [
        ("harness rep", "harness report "),
        ("harness plu", "harness plugins "),
        ("harness report de", "harness report depth "),
        ("harness board wid", "harness board width-"),
        ("harness list optim", "harness list optimizer "),
        ("harness list optimizer -", "harness list optimizer --"),
        ("harness show regularizer/dro", "harness show regularizer/dropout "),
        ("harness show optimizer/adagr", "harness show optimizer/adagrad "),
        ("harness batch", "harness batch_size="),
        ("harness split.on", "harness split.on_overlap="),
        ("harness optimizer=adag", "harness optimizer=adagrad"),
        ("harness optimizer=sgd optimizer.mom", "harness optimizer=sgd optimizer.momentum="),
        ("harness -m activation=relu,tan", "harness -m activation=relu,tanh"),
        ("harness 'regularizer=[l2,dro", "harness 'regularizer=[l2,dropout"),
        ('harness "regularizer=[dro', 'harness "regularizer=[dropout'),
        ("harness regularizer=[l2,dro", "harness regularizer=[l2,dropout"),
        ("harness -m 'regularizer=[],[dro", "harness -m 'regularizer=[],[dropout"),
        ("harness --multi", "harness --multirun "),
        ("harness --cfg j", "harness --cfg job "),
        ("harness --config-dir out", "harness --config-dir outputs/"),
        ("harness nothing_like_it", "harness nothing_like_it"),
        ("harness optimizer=no_such optimizer.l", "harness optimizer=no_such optimizer.l"),
    ],
)
def test_tab_key_completes(line: str, after: str, bash: Terminal) -> None:
    completed, _ = press_tab(bash, line)
    assert completed == after


def test_tab_key_lists(bash: Terminal) -> None:
    _, words = press_tab(bash, "harness ")
    assert {*built_in_names(), "doctor", "optimizer=", "seed=", "experiment="} - {"experiment="} <= set(words)
    _, words = press_tab(bash, "harness 'regularizer=[l2,")
    assert "regularizer=[l2,dropout" in words
    assert "regularizer=[l2,l2" not in words
    _, words = press_tab(bash, "harness report ")
    assert words == ["depth", "width-1", "width-2"]
    _, words = press_tab(bash, "harness 'regularizer=[dropou")
    assert words == ["regularizer=[dropout,", "regularizer=[dropout]"]


def test_completion_uses_the_words_before_the_cursor() -> None:
    assert complete(["list", ""]) == list(KINDS)
    assert complete(["list", "optimizer", ""]) == []
    assert complete(["list", "--json", "optimi"]) == ["optimizer"]
    assert complete(["report", "study", "--json", "--m"]) == ["--metric", "--margin", "--markdown"]
    assert complete(["check", "optimizer/adamw", "activation/rel"]) == ["activation/relu"]
    assert complete(["check", "harness-nothing"]) == []
    assert {"--only", "--set", "--list", "--fused"} < {*complete(["check", "--"])}
    assert complete(["check", "--only", "x", "optimizer/adamw"]) == ["optimizer/adamw"]  # x is no component
    assert complete(["new", "--kind", "optim"]) == ["optimizer"]
    assert complete(["seed=1", "rep"]) == []  # a verb is the first word
    assert complete(["--cfg", "j"]) == ["job"]
    assert complete(["-m", "--config-dir", "optimizer=sgd", "optimizer.mom"]) == []  # a folder of that name
    assert "--config-name" not in complete(["--"])
    assert complete(["+optimizer=sg"]) == ["+optimizer=sgd"]
    assert complete(["activation=tanh,tan"]) == []  # it is already chosen
    assert complete(["-m", "seed=0,1", "zi"]) == ["zip="]
    assert complete(["-m", "seed=0,1", "seed+=5", "zi"]) == ["zip="]
    assert complete(["-m", "experiment=benchmark_initializers", "initializer+=lecun_"]) == [
        "initializer+=lecun_normal",
        "initializer+=lecun_uniform",
    ]
    assert complete(["zi"]) == []  # one run
    assert complete(["-m", "seed=0,1", "split.seed=0,1", "zip=[seed,spl"]) == [
        "zip=[seed,split.seed,",
        "zip=[seed,split.seed]",
    ]
    assert complete(["-m", "seed=0,1", "split.seed=0,1", "zip=[seed,split.seed]", "batc"]) == ["batch_size="]


@pytest.mark.parametrize("verb", [*built_in_names(), "doctor"])
def test_every_verb_is_completed(verb: str) -> None:
    assert verb in complete([verb[:-1]])
    assert "--help" in complete([verb, "-"])
