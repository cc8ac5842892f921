"""Complete commands, flags and names for bash, zsh and fish; Hydra completes the rest of an override."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from harness._compat.hydra import arguments_parser, completed
from harness.cli.train import REFUSED
from harness.cli.verbs import built_in
from harness.config import composition
from harness.config.overrides import ZIP, expand, take_added, take_zip
from harness.registry import catalogue
from harness.registry.command import built_in_names, describe, words_of
from harness.registry.kinds import KINDS
from harness.results.study import OUTPUTS
from harness.system.errors import HarnessError

# Hydra's own script treats an open quote as part of the word, and lists of components are quoted.
INSTALL = """\
_harness_completion() {
    local IFS=$'\\n'
    COMPREPLY=($(COMP_LINE=$COMP_LINE COMP_POINT=$COMP_POINT "$1" -sc query=bash 2>/dev/null))
    if [[ ${COMPREPLY[0]} == *=* || ${COMPREPLY[0]} == *. ]]; then compopt -o nospace; fi
}
COMP_WORDBREAKS=${COMP_WORDBREAKS//=}
complete -o default -F _harness_completion harness"""
UNINSTALL = """\
complete -r harness
unset -f _harness_completion"""
ZSH_INSTALL = """\
_harness_completion() {
    local -a found=("${(@f)$(COMP_LINE=${(j: :)words[1,CURRENT]} "${words[1]}" -sc query=bash 2>/dev/null)}")
    local -a open=(${(M)found:#*(=|.)}) done=(${found:#*(=|.)})
    (( $#open )) && compadd -S '' -- $open
    (( $#done )) && compadd -- $done
}
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit; }
compdef _harness_completion harness"""
ZSH_UNINSTALL = """\
compdef -d harness
unfunction _harness_completion"""
FISH_INSTALL = """\
function _harness_completion
    env COMP_LINE=(commandline --cut-at-cursor | string collect) harness -sc query=bash 2>/dev/null
end
complete --command harness --no-files --arguments '(_harness_completion)'"""
FISH_UNINSTALL = """\
complete --command harness --erase
functions --erase _harness_completion"""
SCRIPTS = {
    "install=bash": INSTALL,
    "uninstall=bash": UNINSTALL,
    "install=zsh": ZSH_INSTALL,
    "uninstall=zsh": ZSH_UNINSTALL,
    "install=fish": FISH_INSTALL,
    "uninstall=fish": FISH_UNINSTALL,
}


def query() -> list[str]:
    """Return the completions of the word at the cursor, from COMP_LINE and COMP_POINT as bash sets them."""
    line = os.environ.get("COMP_LINE", "")
    line = line[: int(os.environ.get("COMP_POINT") or len(line))]
    words = [word.lstrip("'\"") for word in line.split(" ")]
    return complete(words[1:] if len(words) > 1 else [""])


def complete(words: list[str]) -> list[str]:
    """Return the completions of the last of the words that follow `harness`.

    >>> complete(["rep"])
    ['report']
    >>> complete(["list", "optimizer", "-"])
    ['--help', '--json']
    """
    *before, word = words
    before = [w for w in before if w]
    if before and (command := _command(before[0])) is not None:
        return _behind(command, before[1:], word)
    hydra = words_of(arguments_parser())
    overrides, argument = _read(hydra["flags"], before)
    if argument is not None:
        return _begin(word, argument["choices"])
    if word.startswith("-"):
        return _begin(word, (flag for flag in hydra["flags"] if flag.startswith("--") and flag not in REFUSED))
    if "+=" in word:
        return [found.replace("=", "+=", 1) for found in complete([*before, word.replace("+=", "=", 1)])]
    key, equals, value = word.partition("=")
    kind = key.lstrip("+")
    if equals and kind in KINDS and ("[" in value or "," in value):
        return _inside(word, catalogue.current().names(kind))
    if equals and key == ZIP:
        return _inside(word, [text.partition("=")[0].lstrip("+") for text in overrides])
    found = _hydra([*_first_job(overrides), word])
    if {"-m", "--multirun"} & {*before}:
        found += _begin(word, [f"{ZIP}="])
    return found if before or equals else _begin(word, (*built_in_names(), *catalogue.current().commands)) + found


def _command(name: str) -> dict[str, Any] | None:
    """Return the row of a built-in or a plugin's command."""
    return describe(built_in(name)) if name in built_in_names() else catalogue.current().commands.get(name)


def _read(flags: dict[str, Any], given: list[str]) -> tuple[list[str], dict[str, Any] | None]:
    """Return the words that are no flags and no flags' values, and what the last flag still wants."""
    arguments, wanted = [], None
    for word in given:
        if wanted is not None:
            wanted = None
        elif word.startswith("-"):
            wanted = flags.get(word)
        else:
            arguments.append(word)
    return arguments, wanted


def _first_job(overrides: Sequence[str]) -> list[str]:
    """Return the overrides with the first of the values that a sweep gives a key, since Hydra completes one run."""
    try:
        return [expand([text])[0][0] for text in take_zip(take_added(overrides)[0])[0]]
    except HarnessError:
        return list(overrides)


def _behind(command: dict[str, Any], given: list[str], word: str) -> list[str]:
    """Complete a word behind a command."""
    arguments, argument = _read(command["flags"], given)
    if argument is None and word.startswith("-"):
        return _begin(word, (flag for flag in command["flags"] if flag.startswith("--") and flag not in given))
    if argument is None:
        places = [place for place in command["arguments"] for _ in range(len(arguments) + 1 if place["many"] else 1)]
        if len(arguments) >= len(places):
            return []
        argument = places[len(arguments)]
    names = [name for metavar in argument["takes"] if metavar in _NAMES for name in _NAMES[metavar](arguments)]
    if (found := _begin(word, (*argument["choices"], *names))) or "OVERRIDE" not in argument["takes"]:
        return found
    return complete([*(w for w in arguments if "=" in w), word])


def _begin(word: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if name.startswith(word)]


def _studies(arguments: Sequence[str]) -> list[str]:
    root = Path(OUTPUTS)
    return sorted(p.name for p in root.iterdir() if p.is_dir()) if root.is_dir() else []


def _metrics(arguments: Sequence[str]) -> list[str]:
    from harness.results.study import load

    return sorted({name for record in load(arguments[0]) for name in record.metrics}) if arguments else []


# The names that an argument is completed with, by its metavar and the arguments before it.
_NAMES: dict[str, Callable[[Sequence[str]], Iterable[str]]] = {
    "STUDY": _studies,
    "RUN": _studies,
    "METRIC": _metrics,
    "KIND": lambda _: KINDS,
    "KIND/NAME": lambda _: (f"{entry['kind']}/{entry['name']}" for entry in catalogue.current()),
    "PLUGIN": lambda _: sorted({plugin.distribution for plugin in catalogue.current().plugins}),
}


def _inside(word: str, known: Iterable[str]) -> list[str]:
    """Complete the last name of `KEY=[a,b` or `KEY=a,b` with known ones not yet chosen, and add what may follow it."""
    start = max(word.rfind("["), word.rfind(","), word.find("=")) + 1
    opened = word.rfind("[")
    if word.rfind("]") > opened:
        return []  # the cursor is between two lists of a sweep
    chosen = word[max(opened, word.find("=")) + 1 : start].split(",")
    names = [n for n in known if n.startswith(word[start:]) and n not in chosen]
    if len(names) == 1:
        return [word[:start] + names[0] + end for end in ((",", "]") if opened >= 0 else ("",))]
    return [word[:start] + name for name in names]


def _hydra(words: list[str]) -> list[str]:
    with composition.hydra_session() as hydra:
        completions = completed(hydra.config_loader, composition.CONFIG, " ".join(words))
    return [w for w in completions if w]
