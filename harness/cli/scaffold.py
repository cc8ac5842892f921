"""A new plugin as a package: what its files say, and how they come to be, all of them or none."""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import keyword
import os
import re
import shutil
import tomllib
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from string import Template

from harness.registry.catalogue import Catalogue
from harness.registry.component import NAME
from harness.registry.presets import builtin_presets
from harness.system.errors import CannotWrite, HarnessError

TEMPLATES = Path(__file__).resolve().parent / "templates"
LICENCES = ("Apache-2.0", "BSD-3-Clause", "MIT", "none")
PREFIX = "harness-"  # of a distribution that says whose plugin it is; its components go without
FEW = 3  # kinds that stand in one line
_DISTRIBUTION = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*\Z")


@dataclass(frozen=True)
class Plugin:
    """What a new plugin is called, and what it brings: one component of each kind, all of one name."""

    distribution: str
    kinds: tuple[str, ...]
    licence: str = LICENCES[0]
    year: int = 0  # of the copyright and of the reference to fill in; 0: this one

    @property
    def module(self) -> str:
        """What is imported."""
        return self.distribution.replace("-", "_")

    @property
    def component(self) -> str:
        """What is written in a config."""
        return self.distribution.removeprefix(PREFIX).replace("-", "_")

    @property
    def words(self) -> dict[str, str]:
        """What every template may hold, by its placeholder."""
        return {
            "distribution": self.distribution,
            "module": self.module,
            "name": self.component,
            "camel": "".join(part.capitalize() for part in self.component.split("_")),
            "year": str(self.year or date.today().year),
        }


def use(plugin: Plugin, kind: str) -> str:
    """A command that uses the plugin's component of a kind, beside others where that says something."""
    commands = tomllib.loads((TEMPLATES / "uses.toml").read_text(encoding="utf-8"))
    return _filled(commands[kind], plugin.words)


def render(plugin: Plugin) -> dict[str, str]:
    """{path in the package's folder: text}."""
    words = plugin.words
    licensed = plugin.licence != "none"
    lines = f'license = "{plugin.licence}"\nlicense-files = ["LICENSE"]\n' if licensed else ""
    words |= {
        "summary": f"A plugin for harness: {_listed(plugin)}.",
        "imports": _imported(sorted(plugin.kinds)),
        "modules": _row(sorted(plugin.kinds)),
        "licence_lines": lines,
        "licence_sentence": f"\n\nLicence: {plugin.licence}." if licensed else "",
        "harness": ".".join(importlib.metadata.version("harness").split(".")[:2]),
        "rows": "\n".join(f"| `{kind}/{plugin.component}` | {_settings(plugin, kind)} |" for kind in plugin.kinds),
        "example": f"{plugin.kinds[0]}/{plugin.component}",
        "uses": "\n".join(use(plugin, kind) for kind in plugin.kinds),
    }
    files = {
        "pyproject.toml": "pyproject.toml",
        "README.md": "README.md",
        ".gitignore": "gitignore",
        ".github/workflows/test.yml": "test.yml",
        f"{plugin.module}/__init__.py": "__init__.py",
        "tests/test_conformance.py": "test_conformance.py",
    }
    made = {path: _filled(_template(f"package/{name}"), words) for path, name in files.items()}
    made |= {f"{plugin.module}/{kind}.py": component(plugin, kind) for kind in plugin.kinds}
    if licensed:
        made["LICENSE"] = _filled(_template(f"licences/{plugin.licence}"), words)
    return dict(sorted(made.items()))


def _imported(modules: list[str]) -> str:
    return ", ".join(modules) if len(modules) <= FEW else _row(modules)


def _row(names: list[str]) -> str:
    """A tuple, as a formatter leaves it."""
    if len(names) == 1:
        return f"({names[0]},)"
    return f"({', '.join(names)})" if len(names) <= FEW else "\n".join(["(", *(f"    {name}," for name in names), ")"])


def _listed(plugin: Plugin) -> str:
    *others, last = plugin.kinds
    if len(others) >= FEW:
        return f"components named {plugin.component}"
    return f"the {', '.join(others)} and {last} {plugin.component}" if others else f"the {last} {plugin.component}"


def component(plugin: Plugin, kind: str) -> str:
    """The module of a kind."""
    return _filled(_template(f"kinds/{kind}.py"), plugin.words)


def _template(name: str) -> str:
    return (TEMPLATES / f"{name}.tmpl").read_text(encoding="utf-8")


def _filled(text: str, words: dict[str, str]) -> str:
    return Template(text).substitute(words)


def _function(plugin: Plugin, kind: str) -> ast.FunctionDef:
    tree = ast.parse(component(plugin, kind))
    return next(n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == plugin.component)


def _settings(plugin: Plugin, kind: str) -> str:
    """The names of a component's settings, read off its template."""
    return ", ".join(f"`{argument.arg}`" for argument in _function(plugin, kind).args.kwonlyargs)


def refuse_name(plugin: Plugin) -> None:
    """Raises HarnessError for a name that cannot be."""
    name = plugin.distribution
    if not _DISTRIBUTION.match(name):
        raise HarnessError(f"a name is lower case letters, digits, - and _, and starts with a letter; got {name!r}")
    if not NAME.match(plugin.component) or keyword.iskeyword(plugin.component) or plugin.component == "auto":
        raise HarnessError(f"{plugin.component!r} can be no name of a component; choose another than {name!r}")
    for kind in plugin.kinds:
        if {plugin.component, plugin.words["camel"]} & _names(kind):
            raise HarnessError(f"the name {plugin.component!r} has a meaning in the code of a {kind}; choose another")


def refuse_taken(plugin: Plugin, known: Catalogue) -> None:
    """Raises HarnessError for a name that someone has."""
    name = plugin.distribution
    if plugin.module == "tests" or _importable(plugin.module):
        raise HarnessError(f"the name {name} is taken: there is a module {plugin.module!r} in this environment")
    try:
        version = importlib.metadata.version(name)
        raise HarnessError(f"the name {name} is taken by the installed distribution {name} {version}")
    except importlib.metadata.PackageNotFoundError:
        pass
    presets = known.presets | dict.fromkeys(builtin_presets(), "harness")
    for kind in plugin.kinds:
        label = f"{kind}/{plugin.component}"
        entry = known.entries[kind].get(plugin.component)
        owner = entry["origin"] if entry else presets.get(label)
        if owner:
            raise HarnessError(f"the name {label} is taken by {owner}; choose another than {name!r}")


def _importable(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return True  # half a module is there


def _names(kind: str) -> set[str]:
    """What the template of a kind calls by a name of its own: a component of such a name would hide it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(component(Plugin("a_name_of_nobody", (kind,)), kind))):
        if isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.alias):
            found.add(node.asname or node.name.partition(".")[0])
        elif isinstance(node, ast.arg):
            found.add(node.arg)
    return found


def refuse_place(target: Path) -> None:
    """Raises HarnessError where a folder cannot be made."""
    if target.exists() or target.is_symlink():
        raise HarnessError(f"{target} is there already")
    if not target.parent.is_dir():
        raise HarnessError(f"no folder {target.parent}")


def write(files: dict[str, str], target: Path) -> None:
    """Makes a folder of files: beside its place, and put there whole. Raises HarnessError where that cannot be."""
    refuse_place(target)
    beside = target.parent / f".{target.name}.{os.getpid()}"
    try:
        for name, text in files.items():
            path = beside / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        beside.rename(target)
    except OSError as error:
        raise CannotWrite.told(target, error) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
