"""Complete commands, flags and names for bash, zsh and fish; Hydra completes the rest of an override."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from harness.config import composition
from harness.registry import catalogue
from harness.registry.kinds import KINDS
from harness.results.study import OUTPUTS

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
    ['--json', '--help']
    """
    *before, word = words
    before = [w for w in before if w]
    if before and before[0] in _COMMANDS:
        return [w for w in _complete_command(before, word) if w.startswith(word)]
    if before and before[0] in (commands := catalogue.current().commands):
        return _complete_plugin_command(commands[before[0]], before[1:], word)
    if before and before[-1] in _VALUES:
        return [w for w in _VALUES[before[-1]] if w.startswith(word)]
    if word.startswith("-"):
        return [flag for flag in _FLAGS if flag.startswith(word)]
    key, equals, value = word.partition("=")
    kind = key.lstrip("+")
    if equals and kind in KINDS and ("[" in value or "," in value):
        return _complete_choice(word, kind)
    overrides = _complete_with_hydra([*(w for w in before if not w.startswith("-")), word])
    if before or equals:
        return overrides
    return [command for command in (*_COMMANDS, *catalogue.current().commands) if command.startswith(word)] + overrides


_FLAGS = ("--cfg", "--config-dir", "--help", "--hydra-help", "--info", "--multirun", "--package", "--resolve", "-m")
_VALUES: dict[str, tuple[str, ...]] = {
    "--cfg": ("job", "hydra", "all"),
    "-c": ("job", "hydra", "all"),
    "--info": ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath"),
    "--config-dir": (),  # bash completes folders
    "-cd": (),
}


def _studies() -> list[str]:
    root = Path(OUTPUTS)
    return sorted(p.name for p in root.iterdir() if p.is_dir()) if root.is_dir() else []


def _metrics(study: str) -> list[str]:
    from harness.results.study import load

    return sorted({name for record in load(study) for name in record.metrics})


def _components() -> list[str]:
    return [f"{entry['kind']}/{entry['name']}" for entry in catalogue.current()]


# {command: (completions of its first argument, flags)}
_COMMANDS: dict[str, tuple[Callable[[], Iterable[str]], tuple[str, ...]]] = {
    "list": (lambda: KINDS, ("--json",)),
    "show": (_components, ()),
    "show-data": (lambda: (), ("--json", "--config-dir")),
    "plugins": (lambda: (), ("--json",)),
    "board": (_studies, ()),
    "rm": (_studies, ("--all", "--yes")),
    "check": (_studies, ("--fused", "--sample", "--json")),
    "new": (lambda: (), ("--kind", "--licence", "--dir")),
    "report": (_studies, ("--json", "--metric")),
}


def _complete_command(before: list[str], word: str) -> list[str]:
    command, *arguments = before
    first, flags = _COMMANDS[command]
    if arguments and arguments[-1] == "--metric":
        return _metrics(arguments[0])
    if arguments and arguments[-1] == "--kind":
        return list(KINDS)
    if command == "show-data" and not word.startswith("-"):
        return complete([*(w for w in arguments if "=" in w), word])
    if word.startswith("-"):
        return [flag for flag in (*flags, "--help") if flag not in arguments]
    return [] if any(not w.startswith("-") for w in arguments) else list(first())


# Completions of an argument of a plugin's command, by its metavar.
_METAVARS: dict[str, Callable[[], Iterable[str]]] = {
    "STUDY": _studies,
    "RUN": _studies,
    "KIND": lambda: KINDS,
    "KIND/NAME": _components,
}


def _complete_plugin_command(command: dict[str, Any], arguments: list[str], word: str) -> list[str]:
    """Complete the arguments of a plugin's command from its catalogue entry."""
    if word.startswith("-"):
        return [flag for flag in (*command["flags"], "--help") if flag not in arguments and flag.startswith(word)]
    first = not any(not w.startswith("-") for w in arguments)
    names = [name for metavar in command["takes"] if first and metavar in _METAVARS for name in _METAVARS[metavar]()]
    if (matches := [name for name in names if name.startswith(word)]) or "OVERRIDE" not in command["takes"]:
        return matches
    return complete([*(w for w in arguments if "=" in w), word])


def _complete_choice(word: str, kind: str) -> list[str]:
    """Complete the last name in `kind=[a,b` or `kind=a,b` with the names not yet chosen and what may follow them."""
    start = max(word.rfind("["), word.rfind(","), word.find("=")) + 1
    opened = word.rfind("[")
    if word.rfind("]") > opened:
        return []  # the cursor is between two lists of a sweep
    chosen = word[max(opened, word.find("=")) + 1 : start].split(",")
    names = [n for n in catalogue.current().names(kind) if n.startswith(word[start:]) and n not in chosen]
    if len(names) == 1:
        return [word[:start] + names[0] + end for end in ((",", "]") if opened >= 0 else ("",))]
    return [word[:start] + name for name in names]


def _complete_with_hydra(words: list[str]) -> list[str]:
    from harness._compat.hydra import completed

    with composition.hydra_session() as hydra:
        completions = completed(hydra.config_loader, composition.CONFIG, " ".join(words))
    return [w for w in completions if w]
