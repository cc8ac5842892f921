"""`harness --help` and `harness help`: the verbs, a line for each group of choices, how an override is written.

Written here and not by Hydra's template: Hydra copies its whole store for every group that it lists.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from harness.config import composition
from harness.config.foreign_words import default_of
from harness.config.validation import MissingSetting
from harness.registry import catalogue
from harness.registry.kinds import AUTO, KINDS
from harness.registry.presets import builtin_presets, names_in

WIDTH = 110  # of a line of choices
FOOT = """\
All choices of a kind:                       harness list optimizer
What a choice does and its settings:         harness show optimizer/sgd
Change a choice or a value:                  harness optimizer=sgd optimizer.lr=0.1 seed=1
Lists are chosen in brackets and quoted:     harness 'regularizer=[l2,dropout]' regularizer.dropout.p=0.3
Sweep over commas:                           harness -m activation=relu,tanh seed=0,1,2
The config as it would run:                  harness [overrides] --cfg job
A folder of your own presets:                harness --config-dir FOLDER experiment=MINE
Completion for bash, zsh and fish:           eval "$(harness -sc install=bash)"
Hydra's own flags:                           harness --hydra-help"""


def text(overrides: Sequence[str], config_dir: str | None = None) -> str:
    """Return the help. Raises HarnessError for overrides that a run would not take."""
    from harness.cli.verbs import VERBS

    if overrides or config_dir:
        words = composition.with_config_dir(overrides, config_dir)
        with composition.hydra_session() as hydra, suppress(MissingSetting):
            composition.job_from_hydra(composition.compose_unchecked(hydra, words), words)
    verbs = [f"  harness {verb:<20} {call.__doc__}" for verb, call in VERBS.items()]
    verbs += [f"  harness {row['name']:<20} {row['help']}" for row in catalogue.current().commands.values()]
    choices = [_line(group, names) for group, names in options(config_dir).items()]
    return "\n".join(
        [
            "harness: declare a deep-learning experiment; run it once or ten thousand times.",
            "",
            "  harness [overrides]          One run.",
            "  harness -m [overrides]       A sweep.",
            *verbs,
            "",
            "What can be chosen (group=name):",
            "",
            *choices,
            "",
            FOOT,
        ]
    )


def options(config_dir: str | None = None) -> dict[str, list[str]]:
    """Return the names of every group. First come those that harness does not bring: presets of the user's folder and
    what other plugins offer; then the default; then the rest.
    """
    known = catalogue.current()
    theirs = names_in(Path(config_dir).expanduser()) if config_dir else []
    first: dict[str, set[str]] = {}
    rest: dict[str, set[str]] = {}
    for entry in known:
        (rest if entry["origin"] == "harness" else first).setdefault(entry["kind"], set()).add(entry["name"])
    for presets, into in ((theirs, first), (known.presets, first), (builtin_presets(), rest)):
        for name in presets:
            group, slash, option = name.rpartition("/")
            if slash:
                into.setdefault(group, set()).add(option)
    for kind in KINDS.values():
        if kind.auto is not None:
            rest.setdefault(kind.name, set()).add(AUTO)
    found = {}
    for group in sorted({*KINDS, *first, *rest}):
        default = (default_of(group) or "").partition("=")[2]
        others = sorted(rest.get(group, set()), key=lambda name: (name != default, name))
        found[group] = [*sorted(first.get(group, set())), *others]
    return found


def _line(group: str, names: Sequence[str]) -> str:
    """Return a group and as many of its names as fit into a line, and how many more there are."""
    line = f"  {group}: "
    for index, name in enumerate(names):
        more = f"... and {len(names) - index} more"
        if index and len(line) + len(name) + 2 + len(more) > WIDTH and group in KINDS:
            return line + more
        line += name + (", " if index < len(names) - 1 else "")
    return line
