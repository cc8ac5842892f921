"""Generate the pages of docs/reference/ from the code: `python docs/generate.py`. A test fails when they are stale."""

from __future__ import annotations

import contextlib
import functools
import inspect
import io
import os
import re
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, get_type_hints
from unittest import mock

import harness
from harness.cli.main import dispatch
from harness.config.settings import NOT_IDENTITY, Tune, nested_settings, scalar_settings
from harness.config.trainer_options import INSTEAD, allowed
from harness.registry import catalogue
from harness.registry.catalogue import entry_parameters
from harness.registry.command import built_in_names
from harness.registry.component import Decorator, Parameter
from harness.registry.kinds import KINDS, UNLISTED_TRAITS, Kind
from harness.registry.param_types import describe, doc_of, space_of
from harness.space import space_text
from harness.testing.suite import CHECKS

FOLDER = Path(__file__).resolve().parent / "reference"
CONTRACT = tomllib.loads((FOLDER.parent / "contract.toml").read_text(encoding="utf-8"))
OFFERS, TRAITS, TASKS, CONTEXT, REQUIRED = (CONTRACT[k] for k in ("offers", "traits", "tasks", "context", "required"))
HEADER = "<!-- Written by `python docs/generate.py`: change the code, then run it again. -->\n"


def table(header: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *body]
    return "\n".join("| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |" for line in lines)


def value(default: Any) -> str:
    """Return a default as an override writes it."""
    if isinstance(default, (list, tuple)):
        return "[" + ",".join(value(item) for item in default) + "]"
    if default is None or isinstance(default, bool):
        return {None: "null", True: "true", False: "false"}[default]
    return str(default)


def row(p: Parameter, prefix: str = "") -> list[str]:
    """Return name, default, valid values, search space and description of a setting."""
    default = "required" if p.required else f"`{value(p.default)}`"
    space = space_of(p.hint)
    return [
        f"`{prefix}{p.name}`",
        default,
        describe(p.hint),
        f"`{space_text(space)}`" if space else "",
        doc_of(p.hint) or "",
    ]


def settings() -> str:
    """The top level of the config."""
    all_rows = [row(p) for p in scalar_settings()]
    for name, inner in nested_settings().items():
        all_rows += [row(p, f"{name}.") for p in inner]
    body = [[name, default, valid, meaning] for name, default, valid, _, meaning in all_rows]
    body.append(
        ["`tune.space.KEY`", "none", "a search space", doc_of(get_type_hints(Tune, include_extras=True)["space"])]
    )
    outside = ", ".join(f"`{name}`" for name in (*NOT_IDENTITY, "split.on_overlap"))
    trainer = catalogue.current().trainer
    passed = ", ".join(f"`{name}`" for name in allowed(trainer))
    refused = [[f"`trainer.{name}`", instead] for name, instead in INSTEAD.items()]
    return "\n".join(
        [
            "# Settings",
            "",
            HEADER,
            "The settings of a run. Change one with an override: `harness epochs=5`. Settings of components are in "
            "[Components](components.md).",
            "",
            table(["key", "default", "valid", "description"], body),
            "",
            "These do not change the result of a run and are not part of its [ID](../explanation/identity.md): "
            f"{outside}.",
            "",
            "## Lightning's Trainer { #lightnings-trainer }",
            "",
            f"These parameters of Lightning's Trainer pass through `trainer.*`: {passed}.",
            "",
            "These are refused, because harness manages them:",
            "",
            table(["refused", "use instead"], refused),
            "",
        ]
    )


def title(kind: Kind) -> str:
    """The heading of a kind's page."""
    plural = {"data": "data sets", "loss": "losses"}.get(kind.name, f"{kind.name}s")
    return plural.capitalize()


def entries(kind: Kind) -> list[dict[str, Any]]:
    """The built-in components of a kind, without those of bridges."""
    known = catalogue.current()
    return [e for name in known.names(kind.name) if (e := known.get(kind.name, name))["plugin"] == "harness"]


def components() -> str:
    """The kinds, with a link to the page of each."""
    body = [
        [f"[{title(kind)}](components/{kind.name}.md)", f"`{choice(kind)}`", str(len(entries(kind))), kind.returns]
        for kind in KINDS.values()
    ]
    lines = [
        "# Components",
        "",
        HEADER,
        "The kinds of components, with the built-in components of each. `harness list` also lists those of your "
        "plugins. [Bridges](bridges.md) lists components of other libraries.",
        "",
        table(["kind", "choose", "built-in", "a component returns"], body),
    ]
    return "\n".join([*lines, ""])


def choice(kind: Kind) -> str:
    """An override that chooses a component of a kind."""
    return f"{kind.name}=[NAME,NAME]" if kind.many else f"{kind.name}=NAME"


def _auto(kind: Kind) -> str:
    if kind.auto is None:
        return ""
    return f" `auto` selects `{kind.auto}`." if kind.auto else " `auto` selects it by the data and the other choices."


def of_kind(kind: Kind) -> str:
    """The page of a kind: its contract, then every built-in component."""
    settings = f"{kind.name}.NAME.*" if kind.many else f"{kind.name}.*"
    known = entries(kind)
    lines = [
        f"# {title(kind)}",
        "",
        HEADER,
        f"Choose with `{choice(kind)}`. Settings are at `{settings}`.{_auto(kind)}",
        "",
        table(["component", "description"], [[f"[`{e['name']}`](#{e['name']})", _first_line(e)] for e in known]),
    ]
    for entry in known:
        lines += ["", *_component(entry)]
    lines += ["", "## Contract", "", f"A component of this kind returns {kind.returns}.", ""]
    if kind.offers:
        offers = [[f"`{name}`", OFFERS[kind.name][name]] for name in kind.offers]
        lines += [table(["positional parameter", "what harness injects"], offers), ""]
    if kind.traits:
        lines += [table(["trait", "meaning"], [[f"`{name}`", TRAITS[kind.name][name]] for name in kind.traits]), ""]
    lines += [f"[Write a plugin of this kind](../../how-to/plugins/{kind.name}.md) has an example.", ""]
    return "\n".join(lines)


def _first_line(entry: dict[str, Any]) -> str:
    return str(entry["doc"].splitlines()[0])


def _component(entry: dict[str, Any]) -> list[str]:
    lines = [f"## {entry['name']} {{ #{entry['name']} }}", "", *_doc(entry["doc"]), ""]
    if parameters := entry_parameters(entry):
        lines += [table(["setting", "type and range", "default", "search space", "description"], map(_row, parameters))]
        lines += [""]
    traits = {name: told for name, told in entry["traits"].items() if name not in UNLISTED_TRAITS}
    if traits:
        lines += ["Traits: " + ", ".join(f"`{name}={_trait(told)}`" for name, told in traits.items()) + ".", ""]
    lines += ["```console", f"$ harness {' '.join(example(entry))}", "```", ""]
    if entry["reference"]:
        lines += [f"Reference: {_linked(entry['reference'])}", ""]
    return lines[:-1]


def _row(p: Parameter) -> list[str]:
    name, default, valid, space, meaning = row(p)
    return [name, valid, default, space, meaning]


def _trait(told: Any) -> str:
    return ",".join(map(str, told)) if isinstance(told, list) else str(told)


def _doc(doc: str) -> list[str]:
    """A docstring as Markdown: doctests are fenced, and the table of settings takes the place of `Args`."""
    lines: list[str] = []
    for paragraph in doc.split("\n\n"):
        if paragraph.startswith("Args:"):
            continue
        fenced = paragraph.lstrip().startswith(">>>")
        lines += ["```pycon", inspect.cleandoc(paragraph), "```", ""] if fenced else [paragraph, ""]
    return lines[:-1]


def _linked(reference: str) -> str:
    """A reference with a link to arXiv."""
    return re.sub(r"arXiv:(\d{4}\.\d{4,5})", r"[arXiv:\1](https://arxiv.org/abs/\1)", reference)


def example(entry: dict[str, Any]) -> list[str]:
    """The overrides of a run that uses a component, with the data and the task that it needs."""
    kind, name = KINDS[entry["kind"]], entry["name"]
    at = f"{kind.name}.{name}" if kind.many else kind.name
    words = [f"{kind.name}=[{name}]" if kind.many else f"{kind.name}={name}"]
    parameters = entry_parameters(entry)
    words += [f"{at}.{p.name}={REQUIRED[p.name]}" for p in parameters if p.required]
    shown = next((p for p in parameters if not p.required and isinstance(p.default, float)), None)
    words += [f"{at}.{shown.name}={value(shown.default)}"] if shown else []
    context = CONTEXT.get(f"{kind.name}/{name}")
    if context is None:
        traits = entry["traits"]
        context = TASKS[next(iter(traits.get("tasks", ["classification"])))]
        if kind.name == "model" and traits.get("input_ndim") == [2]:
            context = ["data=order"]
    words += [word for word in context if word.partition("=")[0] != kind.name]
    return [f"'{word}'" if "[" in word else word for word in words]


def bridges() -> str:
    """The components of other libraries, one row each."""
    lines = [
        "# Bridges",
        "",
        HEADER,
        "Components that are derived from other libraries, in the versions of `constraints.txt`. "
        "`harness show KIND/NAME` prints valid values and descriptions of settings. "
        "[Use components of torch, Lightning and scikit-learn](../how-to/plugins/bridges.md) explains the names.",
    ]
    entries = [e for e in catalogue.current() if e["origin"] == "dl-harness" and e["plugin"] != "harness"]
    for plugin, kind in sorted({(e["plugin"], e["kind"]) for e in entries}):
        body = [
            [f"`{e['name']}`", _first_line(e), " ".join(f"`{_given(p)}`" for p in entry_parameters(e))]
            for e in entries
            if (e["plugin"], e["kind"]) == (plugin, kind)
        ]
        lines += ["", f"## {plugin}: {kind}", "", table(["name", "description", "settings"], body)]
    return "\n".join([*lines, ""])


def _given(p: Parameter) -> str:
    return p.name if p.required else f"{p.name}={value(p.default)}"


def commands() -> str:
    """The help text of every command."""
    known = catalogue.current().commands
    names = [*built_in_names(), *(name for name, command in known.items() if command["origin"] == "dl-harness")]
    lines = ["# Commands", "", HEADER, COMMANDS.strip()]
    with mock.patch.dict(os.environ, {"COLUMNS": "100", "NO_COLOR": "1"}):
        for name in names:
            said = io.StringIO()
            with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
                dispatch([name, "--help"])
            lines += ["", f"## harness {name}", "", "```text", said.getvalue().strip(), "```"]
    return "\n".join([*lines, ""])


COMMANDS = """
The first word of the command line is a command if it contains no `=` and does not start with `-`, `+` or `~`.
Otherwise all words are overrides of a run (`harness [OVERRIDES]`) or a sweep (`harness -m [OVERRIDES]`).
`harness --cfg job [OVERRIDES]` prints the config and trains nothing.

A study is given by its name or its folder (`./NAME` if both exist).

| exit status | meaning |
| --- | --- |
| 0 | success; a diverged run is a result |
| 1 | a run or a check failed |
| 2 | invalid input |
| 130, 143, 129 | ended by Ctrl-C, SIGTERM, SIGHUP |

`HYDRA_FULL_ERROR=1` before a command shows tracebacks. `eval "$(harness -sc install=bash)"` (or zsh, fish) enables
completion of commands, choices and settings.
"""


def checks() -> str:
    """The checks of `harness check`."""
    body = [
        [f"`{c.name}`", c.meaning, "all" if len(c.kinds) == len(KINDS) else ", ".join(c.kinds), ", ".join(c.needs)]
        for c in CHECKS.values()
    ]
    lines = [
        "# Checks",
        "",
        HEADER,
        "The checks of `harness check` and `harness.testing.conformance`: see "
        "[Test a plugin](../how-to/plugins/test.md). A check is skipped if a check that it needs has failed.",
        "",
        table(["check", "property", "kinds", "needs"], body),
    ]
    return "\n".join([*lines, ""])


SUBJECTS = {  # package: heading
    "execution": "Run and load",
    "results": "Records",
    "analysis": "Compare",
    "registry": "Plugins",
    "datasets": "Data sets",
    "modeling": "Models, tasks and measurements",
    "config": "Settings",
    "training": "Callbacks and threads",
    "system": "Errors, files and sessions",
}
HYDRA = "Hydra plugins"


def api() -> str:
    """The public names by subject; mkdocstrings fills in signatures and docstrings."""
    found: dict[str, list[str]] = {heading: [] for heading in [*SUBJECTS.values(), HYDRA]}
    modules, decorators = [], []
    for name in harness.__all__:
        value = getattr(harness, name)
        if inspect.ismodule(value):
            modules += [] if name in FACES or name in COLLECTIONS else [[f"`harness.{name}`", _first(value)]]
        elif isinstance(value, Decorator):
            decorators.append(f"[`harness.{name}`](components/{name}.md)")
        else:
            _, package, *_, module = harness.source(name).split(".")
            found[HYDRA if module.startswith("hydra_") else SUBJECTS[package]].append(f"harness.{name}")
    lines = [
        "# Python API",
        "",
        HEADER,
        "The names that may be imported from `harness`, `harness.space` and `harness.testing`. Plugins import "
        "nothing else; other modules may change without notice.",
    ]
    for heading, names in found.items():
        names.sort(key=lambda name: name.rpartition(".")[2][0].isupper())  # functions, then classes
        lines += ["", f"## {heading}"]
        if heading == "Plugins":
            lines += ["", f"The decorators mark a function as a component: {', '.join(decorators)}."]
        lines += [line for name in names for line in ("", f"::: {name}")]
    for module, heading in FACES.items():
        lines += ["", f"## {heading}", "", f"::: harness.{module}"]
    for module, heading in COLLECTIONS.items():
        value = getattr(harness, module)
        names = sorted(value.__all__, key=lambda name: name[0].isupper())
        lines += ["", f"## {heading}", "", f"`harness.{module}`: {_first(value)}"]
        lines += [line for name in names for line in ("", f"::: harness.{module}.{name}")]
    lines += ["", "## Modules", "", "Functions that the built-in plugins share.", ""]
    return "\n".join([*lines, table(["module", "content"], modules), ""])


FACES = {"space": "Search spaces", "testing": "Testing"}  # public modules with a section of their own
COLLECTIONS = {"stats": "Statistics"}  # attributes of harness that collect names of several modules


def _first(value: Any) -> str:
    """The first paragraph of a docstring."""
    return " ".join((inspect.getdoc(value) or "").split("\n\n")[0].split())


PAGES = {
    "settings.md": settings,
    "components.md": components,
    **{f"components/{name}.md": functools.partial(of_kind, kind) for name, kind in KINDS.items()},
    "bridges.md": bridges,
    "checks.md": checks,
    "commands.md": commands,
    "api.md": api,
}


def main() -> None:
    """Write every page."""
    (FOLDER / "components").mkdir(parents=True, exist_ok=True)
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
