"""Bash completion: verbs and what follows them, names inside `[...]`; Hydra's own for the rest."""

from __future__ import annotations

import os
from pathlib import Path

from harness import app, catalogue
from harness.kinds import KINDS
from harness.record import OUTPUTS


def query() -> list[str]:
    """The words that may stand at the cursor: COMP_LINE and COMP_POINT as bash sets them."""
    line = os.environ.get("COMP_LINE", "")
    line = line[: int(os.environ.get("COMP_POINT") or len(line))]
    words = line.split(" ")
    return complete(words[1:] if len(words) > 1 else [""])


def complete(words: list[str]) -> list[str]:
    """Completions of the last word, given the words behind `harness`.

    >>> complete(["rep"])
    ['report']
    """
    from harness.cli.verbs import VERBS

    *before, word = words
    before = [w for w in before if w]
    if before and before[0] in VERBS:
        return [w for w in _behind(before[0]) if w.startswith(word)]
    if not before and word and "=" not in word:
        verbs = [verb for verb in VERBS if verb.startswith(word)]
        return verbs + _hydra(words)
    if not before and not word:
        return [*VERBS, *_hydra(words)]
    key, equals, value = word.partition("=")
    if equals and "[" in value and key.lstrip("+") in KINDS:
        return _inside(word, key.lstrip("+"))
    return _hydra(words)


def _behind(verb: str) -> list[str]:
    if verb == "list":
        return list(KINDS)
    if verb == "show":
        return [f"{entry['kind']}/{entry['name']}" for entry in catalogue.current()]
    if verb in ("report", "board"):
        root = Path(OUTPUTS)
        return sorted(p.name for p in root.iterdir() if p.is_dir()) if root.is_dir() else []
    return ["--json"]


def _inside(word: str, kind: str) -> list[str]:
    """Completes the last name of `kind=[a,b` with those not yet chosen."""
    start = max(word.rfind("["), word.rfind(",")) + 1
    chosen = word[word.rfind("[") + 1 : start].split(",")
    names = [n for n in catalogue.current().names(kind) if n.startswith(word[start:]) and n not in chosen]
    return [word[:start] + name for name in names]


def _hydra(words: list[str]) -> list[str]:
    from hydra._internal.core_plugins.bash_completion import BashCompletion

    with app.hydra_session() as hydra:
        found = BashCompletion(hydra.config_loader)._query(config_name=app.CONFIG, line=" ".join(words))
    return [w for w in found if w]
