"""Writes the pages of docs/reference/ from the code: `python docs/generate.py`; a test tells when they are stale."""

from __future__ import annotations

import contextlib
import inspect
import io
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import harness
from harness.cli.main import dispatch
from harness.config.schema import entry_parameters
from harness.config.settings import NOT_IDENTITY, nested_settings, scalar_settings
from harness.config.trainer_options import INSTEAD, allowed
from harness.datasets.dataset import Dataset, Samples
from harness.modeling.regularizer import Regularizer
from harness.modeling.rng.noise import Noise
from harness.modeling.task import Task
from harness.registry import catalogue
from harness.registry.command import built_in_names
from harness.registry.component import Decorator, Parameter
from harness.registry.kinds import KINDS, UNLISTED_TRAITS, Kind
from harness.registry.param_types import describe, doc_of, space_of
from harness.testing.suite import CHECKS

FOLDER = Path(__file__).resolve().parent / "reference"
HEADER = "<!-- Written by `python docs/generate.py`: change the code, then run it again. -->\n"


def table(header: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *body]
    return "\n".join("| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |" for line in lines)


def value(default: Any) -> str:
    """A default as it is written in an override."""
    if isinstance(default, (list, tuple)):
        return "[" + ",".join(value(item) for item in default) + "]"
    if default is None or isinstance(default, bool):
        return {None: "null", True: "true", False: "false"}[default]
    return str(default)


def row(p: Parameter, prefix: str = "") -> list[str]:
    """A parameter's name, default, valid values, space, meaning."""
    default = "must be given" if p.required else f"`{value(p.default)}`"
    space = space_of(p.hint)
    return [f"`{prefix}{p.name}`", default, describe(p.hint), f"`{space}`" if space else "", doc_of(p.hint) or ""]


def settings() -> str:
    """The top level of the config."""
    all_rows = [row(p) for p in scalar_settings()]
    for name, inner in nested_settings().items():
        all_rows += [row(p, f"{name}.") for p in inner]
    body = [[name, default, valid, meaning] for name, default, valid, _, meaning in all_rows]
    outside = ", ".join(f"`{name}`" for name in (*NOT_IDENTITY, "split.on_overlap"))
    trainer = catalogue.current().trainer
    passed = ", ".join(f"`{name}`" for name in allowed(trainer))
    refused = [[f"`trainer.{name}`", instead] for name, instead in INSTEAD.items()]
    return "\n".join(
        [
            "# Settings",
            "",
            HEADER,
            "The keys of a run that belong to no component. Change one with an override: `harness epochs=5`.",
            "",
            table(["key", "default", "valid", "what it is"], body),
            "",
            f"These do not change a run's result, and are no part of its [identity](../record.md#identity): {outside}.",
            "",
            "## Lightning's Trainer",
            "",
            f"These parameters of Lightning's Trainer pass through `trainer.*`: {passed}.",
            "",
            "These are refused, because the learner does them itself:",
            "",
            table(["refused", "use instead"], refused),
            "",
        ]
    )


def _choose(kind: Kind) -> str:
    if kind.many:
        return f"A list, chosen by `'{kind.name}=[NAME,NAME]'`. Settings stand at `{kind.name}.NAME.*`."
    return f"One is chosen, by `{kind.name}=NAME`. Settings stand at `{kind.name}.*`."


def _auto(kind: Kind) -> str:
    if kind.auto is None:
        return ""
    return f"`auto` stands for `{kind.auto}`." if kind.auto else "`auto` is decided by the data and the other choices."


def components() -> str:
    """Every built-in component, a section a kind."""
    told = (
        "What comes with harness. `harness list` shows those of your plugins too, and what the bridges to other "
        "people's collections bring, which [Bridges](bridges.md) lists."
    )
    lines = ["# Components", "", HEADER, told]
    for kind in KINDS.values():
        lines += ["", f"## {kind.name}", "", " ".join(filter(None, [_choose(kind), _auto(kind)]))]
        for name in catalogue.current().names(kind.name):
            entry = catalogue.current().get(kind.name, name)
            if entry["plugin"] == "harness":
                lines += ["", *_component(entry)]
    return "\n".join([*lines, ""])


def _component(entry: dict[str, Any]) -> list[str]:
    lines = [f"### {entry['kind']}/{entry['name']}", "", entry["doc"], ""]
    parameters = entry_parameters(entry)
    if parameters:
        lines += [table(["parameter", "default", "valid", "search", "what it is"], [row(p) for p in parameters]), ""]
    if entry["reference"]:
        lines += [f"Reference: {entry['reference']}", ""]
    for trait, told in entry["traits"].items():
        if trait in UNLISTED_TRAITS:
            continue
        lines += [f"Trait `{trait}`: {', '.join(map(str, told)) if isinstance(told, list) else told}", ""]
    return lines[:-1]


def bridges() -> str:
    """What the bridges bring, a row a component: the collections tell the rest."""
    lines = [
        "# Bridges",
        "",
        HEADER,
        "What is made by inspection of other people's collections, in the versions that this book was written with "
        "(`constraints.txt`). `harness show KIND/NAME` tells each setting's valid values and meaning.",
    ]
    entries = [e for e in catalogue.current() if e["origin"] == "harness" and e["plugin"] != "harness"]
    for plugin, kind in sorted({(e["plugin"], e["kind"]) for e in entries}):
        body = [
            [f"`{e['name']}`", e["doc"].splitlines()[0], " ".join(f"`{_given(p)}`" for p in entry_parameters(e))]
            for e in entries
            if (e["plugin"], e["kind"]) == (plugin, kind)
        ]
        lines += ["", f"## {plugin}: {kind}", "", table(["name", "what it is", "settings"], body)]
    return "\n".join([*lines, ""])


def _given(p: Parameter) -> str:
    return p.name if p.required else f"{p.name}={value(p.default)}"


def kinds() -> str:
    """What a plugin's component of each kind may ask for, and the classes that it meets."""
    body = [
        [
            f"`{kind.name}`",
            "list" if kind.many else "one",
            ", ".join(f"`{name}`" for name in kind.offers),
            kind.returns,
            ", ".join(f"`{name}`" for name in kind.traits),
        ]
        for kind in KINDS.values()
    ]
    lines = [
        "# Kinds",
        "",
        HEADER,
        "The contract of each kind: what a component may ask for by the names of its positional parameters, what it "
        "returns, and which traits its decorator takes beside `reference`, `name` and "
        "[`skips`](../testing.md#what-does-not-fit).",
        "",
        table(["kind", "chosen", "may ask for", "returns", "traits"], body),
    ]
    for cls in (Regularizer, Task, Noise, Dataset, Samples):
        lines += ["", f"## harness.{cls.__name__}", "", inspect.getdoc(cls) or "", *_members(cls)]
    return "\n".join([*lines, ""])


def _members(cls: type) -> list[str]:
    found = []
    for name, member in vars(cls).items():
        if name.startswith("_"):
            continue
        doc = " ".join((inspect.getdoc(member) or "").split()) if not isinstance(member, str) else ""
        if inspect.isfunction(member):
            found.append([f"`{name}{_signature(member)}`", doc])
        elif isinstance(member, property):
            found.append([f"`{name}`", doc])
    return ["", table(["", "what it does"], found)] if found else []


def _signature(function: Any) -> str:
    """The parameters by name and default: types are in the source."""
    shown = [p.replace(annotation=p.empty) for p in inspect.signature(function).parameters.values() if p.name != "self"]
    return str(inspect.Signature(shown)).replace("torch.float32", "float32")


def commands() -> str:
    """What each verb says of itself."""
    lines = [
        "# Commands",
        "",
        HEADER,
        "`harness VERB --help`, for every verb. A line without a verb is a run or a sweep.",
    ]
    with mock.patch.dict(os.environ, {"COLUMNS": "100", "NO_COLOR": "1"}):
        known = catalogue.current().commands
        for name in [*built_in_names(), *(name for name, row in known.items() if row["origin"] == "harness")]:
            said = io.StringIO()
            with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
                dispatch([name, "--help"])
            lines += ["", f"## harness {name}", "", "```text", said.getvalue().strip(), "```"]
    return "\n".join([*lines, ""])


def checks() -> str:
    """What `harness check` looks at."""
    body = [
        [f"`{c.name}`", c.meaning, "all" if len(c.kinds) == len(KINDS) else ", ".join(c.kinds), ", ".join(c.needs)]
        for c in CHECKS.values()
    ]
    lines = [
        "# Checks",
        "",
        HEADER,
        "What `harness check` and `harness.testing.conformance` look at; [Testing](../testing.md) tells how. A check "
        "is not tried where one that it needs has failed.",
        "",
        table(["check", "what holds", "kinds", "needs"], body),
    ]
    return "\n".join([*lines, ""])


SUBJECTS = {  # package: heading
    "execution": "Run and load",
    "results": "Records",
    "registry": "Mark components",
    "datasets": "Data sets",
    "modeling": "Build models and tasks",
    "config": "Config",
    "system": "Errors and files",
}


def api() -> str:
    """Every public name, by subject; modules last."""
    found: dict[str, list[list[str]]] = {heading: [] for heading in [*SUBJECTS.values(), "Modules"]}
    for name in harness.__all__:
        value = getattr(harness, name)
        if inspect.ismodule(value):
            found["Modules"].append([f"`harness.{name}`", _first(value)])
        else:
            heading = SUBJECTS[harness.source(name).split(".")[1]]
            found[heading].append([f"`{name}`", _meaning(name, value)])
    lines = [
        "# Python API",
        "",
        HEADER,
        "The names that may be imported from `harness`. A plugin keeps to them, to `harness.space` and to "
        "`harness.testing`; everything else may move.",
    ]
    for heading, body in found.items():
        lines += ["", f"## {heading}", "", table(["name", "what it is"], body)]
    return "\n".join([*lines, ""])


def _meaning(name: str, value: Any) -> str:
    if isinstance(value, Decorator):
        return f"Decorator: marks a function as a component of the kind {value.kind}."
    own = getattr(value, "__module__", "").startswith("harness") and callable(value)
    return _first(value) if own or name == "hookimpl" else f"`{value}`"


def _first(value: Any) -> str:
    """The first paragraph of a docstring."""
    return " ".join((inspect.getdoc(value) or "").split("\n\n")[0].split())


PAGES = {
    "settings.md": settings,
    "components.md": components,
    "bridges.md": bridges,
    "kinds.md": kinds,
    "checks.md": checks,
    "commands.md": commands,
    "api.md": api,
}


def main() -> None:
    """Writes every page."""
    FOLDER.mkdir(exist_ok=True)
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
