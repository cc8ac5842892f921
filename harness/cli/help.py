"""`harness --help`: the verbs, everything that can be chosen, the config that would run.

Written here and not by Hydra's template: Hydra copies its whole store for every group that it lists.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness import app, catalogue
from harness.kinds import AUTO, KINDS
from harness.presets import names_in, own_presets

FOOT = """\
Change a choice or a value with an override: harness optimizer=sgd optimizer.lr=0.1 seed=1
Lists are chosen in brackets and quoted:     harness 'regularizer=[l2,dropout]' regularizer.dropout.p=0.3
Sweep over commas:                           harness -m activation=relu,tanh seed=0,1,2
A folder of your own presets:                harness --config-dir FOLDER experiment=MINE
The config as it would run:                  harness [overrides] --cfg job
Bash completion:                             eval "$(harness -sc install=bash)"
Hydra's own flags:                           harness --hydra-help"""


def text(overrides: Sequence[str], config_dir: str | None = None) -> str:
    """The help, with the config as these overrides compose it."""
    from hydra import compose
    from omegaconf import OmegaConf

    from harness.cli.verbs import VERBS
    from harness.override_text import put_texts
    from harness.overrides import parse

    with app.hydra_session():
        config = compose(app.CONFIG, app.with_config_dir(overrides, config_dir))
    put_texts(parse(overrides), config)
    verbs = [f"  harness {verb:<20} {call.__doc__}" for verb, call in VERBS.items()]
    choices = [f"{group}: {', '.join(names)}" for group, names in options(config_dir).items()]
    return "\n".join(
        [
            "harness: declare a deep-learning experiment; run it once or ten thousand times.",
            "",
            "  harness [overrides]          One run.",
            "  harness -m [overrides]       A sweep.",
            *verbs,
            "",
            "== What can be chosen (group=option) ==",
            "",
            *choices,
            "",
            "== Config (override anything: foo.bar=value) ==",
            "",
            OmegaConf.to_yaml(config),
            FOOT,
        ]
    )


def options(config_dir: str | None = None) -> dict[str, list[str]]:
    """Every group with its options: components, presets of harness, of plugins and of the user's folder."""
    known = catalogue.current()
    found: dict[str, set[str]] = {}
    for kind in KINDS.values():
        found[kind.name] = {*known.names(kind.name), *([AUTO] if kind.auto is not None else [])}
    presets = [*own_presets(), *known.presets, *(names_in(Path(config_dir).expanduser()) if config_dir else [])]
    for name in presets:
        group, slash, option = name.rpartition("/")
        if slash:
            found.setdefault(group, set()).add(option)
    return {group: sorted(names) for group, names in sorted(found.items())}
