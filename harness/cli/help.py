"""`harness --help` and `harness help`: the commands, a line for each group of choices, and examples of overrides.

Hydra's own template is not used, since Hydra copies its whole store for every group that it lists.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from harness.cli.verbs import built_in
from harness.config import composition
from harness.config.foreign_words import default_of
from harness.config.validation import MissingSetting
from harness.registry import catalogue
from harness.registry.command import built_in_names
from harness.registry.kinds import AUTO, KINDS
from harness.registry.presets import builtin_presets, names_in
from harness.system.distribution import DISTRIBUTION

WIDTH = 110  # columns of a line of choices
EXAMPLES = """\
List all choices of a kind:                  harness list optimizer
Show a choice and its settings:              harness show optimizer/sgd
Change a choice or a value:                  harness optimizer=sgd optimizer.lr=0.1 seed=1
Choose a list, quoted for the shell:         harness 'regularizer=[l2,dropout]' regularizer.dropout.p=0.3
Sweep over values:                           harness -m activation=relu,tanh seed=0,1,2
Vary two keys together:                      harness -m seed=0,1 split.seed=2,3 'zip=[seed,split.seed]'
Print the composed config:                   harness [overrides] --cfg job
Use a folder of your own presets:            harness --config-dir FOLDER experiment=MINE
Install completion (bash, zsh, fish):        eval "$(harness -sc install=bash)"
Show Hydra's own flags:                      harness --hydra-help"""


def text(overrides: Sequence[str], config_dir: str | None = None) -> str:
    """Return the help text.

    Raises:
        HarnessError: If a run would refuse the overrides.
    """
    if overrides or config_dir:
        words = composition.with_config_dir(overrides, config_dir)
        with composition.hydra_session() as hydra, suppress(MissingSetting):
            composition.job_from_hydra(composition.compose_unchecked(hydra, words), words)
    lines = {name: built_in(name).help.strip().splitlines()[0] for name in built_in_names()}
    lines |= {name: row["help"] for name, row in catalogue.current().commands.items()}
    verbs = [f"  harness {name:<20} {lines[name]}" for name in sorted(lines)]
    choices = [_line(group, names) for group, names in options(config_dir).items()]
    return "\n".join(
        [
            "harness: declare a deep-learning experiment; run it once or ten thousand times.",
            "",
            "  harness [overrides]          One run.",
            "  harness -m [overrides]       A sweep.",
            *verbs,
            "",
            "Choices (group=name):",
            "",
            *choices,
            "",
            EXAMPLES,
        ]
    )


def options(config_dir: str | None = None) -> dict[str, list[str]]:
    """Return the names of every group: first those of the user's folder and of other plugins, then the default, then
    the other built-in ones.
    """
    known = catalogue.current()
    user_presets = names_in(Path(config_dir).expanduser()) if config_dir else []
    first: dict[str, set[str]] = {}
    rest: dict[str, set[str]] = {}
    for entry in known:
        (rest if entry["origin"] == DISTRIBUTION else first).setdefault(entry["kind"], set()).add(entry["name"])
    for presets, into in ((user_presets, first), (known.presets, first), (builtin_presets(), rest)):
        for name in presets:
            group, slash, option = name.rpartition("/")
            if slash:
                into.setdefault(group, set()).add(option)
    for kind in KINDS.values():
        if kind.auto is not None:
            rest.setdefault(kind.name, set()).add(AUTO)
    ordered = {}
    for group in sorted({*KINDS, *first, *rest}):
        default = (default_of(group) or "").partition("=")[2]
        others = sorted(rest.get(group, set()), key=lambda name: (name != default, name))
        ordered[group] = [*sorted(first.get(group, set())), *others]
    return ordered


def _line(group: str, names: Sequence[str]) -> str:
    """Return a line with a group, as many of its names as fit, and the number of the others."""
    line = f"  {group}: "
    for index, name in enumerate(names):
        more = f"... and {len(names) - index} more"
        if index and len(line) + len(name) + 2 + len(more) > WIDTH and group in KINDS:
            return line + more
        line += name + (", " if index < len(names) - 1 else "")
    return line
