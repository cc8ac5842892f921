"""Write a new plugin as a package, from templates."""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import keyword
import os
import re
import shutil
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from string import Template

from harness.registry.catalogue import Catalogue
from harness.registry.component import NAME
from harness.registry.presets import builtin_presets
from harness.system.distribution import DISTRIBUTION
from harness.system.errors import CannotWrite, HarnessError

TEMPLATES = Path(__file__).resolve().parent / "templates"
LICENCES = ("Apache-2.0", "BSD-3-Clause", "MIT", "none")
PREFIX = "harness-"  # of the name of a distribution; names of components go without
MAX_PER_LINE = 3  # kinds in one line of code
_DISTRIBUTION = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*\Z")


@dataclass(frozen=True)
class Plugin:
    """Names and kinds of a new plugin, which has one component of each kind, all of one name."""

    distribution: str
    kinds: tuple[str, ...]
    licence: str = LICENCES[0]
    year: int = 0  # for the copyright and the reference; 0: the current year

    @property
    def module(self) -> str:
        """The name to import."""
        return self.distribution.replace("-", "_")

    @property
    def component(self) -> str:
        """The name in a config."""
        return self.distribution.removeprefix(PREFIX).replace("-", "_")

    @property
    def placeholders(self) -> dict[str, str]:
        """The values of the placeholders that every template may hold."""
        return {
            "distribution": self.distribution,
            "module": self.module,
            "name": self.component,
            "camel": "".join(part.capitalize() for part in self.component.split("_")),
            "year": str(self.year or date.today().year),
        }


def use(plugin: Plugin, kind: str) -> str:
    """Return an example command that uses the plugin's component of a kind."""
    import tomllib

    commands = tomllib.loads((TEMPLATES / "uses.toml").read_text(encoding="utf-8"))
    return _fill(commands[kind], plugin.placeholders)


def render(plugin: Plugin) -> dict[str, str]:
    """Return the files of the package, as {path: text}."""
    placeholders = plugin.placeholders
    licensed = plugin.licence != "none"
    lines = f'license = "{plugin.licence}"\nlicense-files = ["LICENSE"]\n' if licensed else ""
    placeholders |= {
        "summary": f"A plugin for harness: {_list_components(plugin)}.",
        "imports": _import_list(sorted(plugin.kinds)),
        "modules": _tuple(sorted(plugin.kinds)),
        "licence_lines": lines,
        "licence_sentence": f"\n\nLicence: {plugin.licence}." if licensed else "",
        "harness": ".".join(importlib.metadata.version(DISTRIBUTION).split(".")[:2]),
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
    texts = {path: _fill(_template(f"package/{name}"), placeholders) for path, name in files.items()}
    texts |= {f"{plugin.module}/{kind}.py": component(plugin, kind) for kind in plugin.kinds}
    if licensed:
        texts["LICENSE"] = _fill(_template(f"licences/{plugin.licence}"), placeholders)
    return dict(sorted(texts.items()))


def _import_list(modules: list[str]) -> str:
    return ", ".join(modules) if len(modules) <= MAX_PER_LINE else _tuple(modules)


def _tuple(names: list[str]) -> str:
    """Return the source of a tuple, as a formatter leaves it."""
    if len(names) == 1:
        return f"({names[0]},)"
    if len(names) <= MAX_PER_LINE:
        return f"({', '.join(names)})"
    return "\n".join(["(", *(f"    {name}," for name in names), ")"])


def _list_components(plugin: Plugin) -> str:
    *others, last = plugin.kinds
    if len(others) >= MAX_PER_LINE:
        return f"components named {plugin.component}"
    return f"the {', '.join(others)} and {last} {plugin.component}" if others else f"the {last} {plugin.component}"


def component(plugin: Plugin, kind: str) -> str:
    """Return the source of the module with the component of a kind."""
    return _fill(_template(f"kinds/{kind}.py"), plugin.placeholders)


def _template(name: str) -> str:
    return (TEMPLATES / f"{name}.tmpl").read_text(encoding="utf-8")


def _fill(text: str, placeholders: dict[str, str]) -> str:
    return Template(text).substitute(placeholders)


def _function(plugin: Plugin, kind: str) -> ast.FunctionDef:
    tree = ast.parse(component(plugin, kind))
    return next(n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == plugin.component)


def _settings(plugin: Plugin, kind: str) -> str:
    """Return the names of a component's settings, read from its template."""
    return ", ".join(f"`{argument.arg}`" for argument in _function(plugin, kind).args.kwonlyargs)


def refuse_name(plugin: Plugin) -> None:
    """Refuse a name that is not valid for a distribution or a component.

    Raises:
        HarnessError: If the name is not valid.
    """
    name = plugin.distribution
    if not _DISTRIBUTION.match(name):
        raise HarnessError(f"a name holds lower case letters, digits, - and _, and starts with a letter; got {name!r}")
    if not NAME.match(plugin.component) or keyword.iskeyword(plugin.component) or plugin.component == "auto":
        raise HarnessError(f"{plugin.component!r} cannot name a component; choose another name than {name!r}")
    for kind in plugin.kinds:
        if {plugin.component, plugin.placeholders["camel"]} & _names(kind):
            raise HarnessError(f"the name {plugin.component!r} is used in the code of a {kind}; choose another name")


def refuse_taken(plugin: Plugin, known: Catalogue) -> None:
    """Refuse a name that a module, a distribution, a component or a preset has already.

    Raises:
        HarnessError: If the name is taken.
    """
    name = plugin.distribution
    if plugin.module == "tests" or _importable(plugin.module):
        raise HarnessError(f"the name {name} is taken: there is a module {plugin.module!r} in this environment")
    try:
        version = importlib.metadata.version(name)
        raise HarnessError(f"the name {name} is taken by the installed distribution {name} {version}")
    except importlib.metadata.PackageNotFoundError:
        pass
    presets = known.presets | dict.fromkeys(builtin_presets(), DISTRIBUTION)
    for kind in plugin.kinds:
        label = f"{kind}/{plugin.component}"
        entry = known.entries[kind].get(plugin.component)
        owner = entry["origin"] if entry else presets.get(label)
        if owner:
            raise HarnessError(f"the name {label} is taken by {owner}; choose another name than {name!r}")


def _importable(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return True  # a broken module of this name exists


def _names(kind: str) -> set[str]:
    """Return the names that the template of a kind uses; a component of such a name would shadow it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(component(Plugin("a_name_of_nobody", (kind,)), kind))):
        if isinstance(node, ast.Name):
            names.add(node.id)
        elif isinstance(node, ast.alias):
            names.add(node.asname or node.name.partition(".")[0])
        elif isinstance(node, ast.arg):
            names.add(node.arg)
    return names


def refuse_target(target: Path) -> None:
    """Refuse a folder that exists already or cannot be made.

    Raises:
        HarnessError: If the target exists, or if its parent does not.
    """
    if target.exists() or target.is_symlink():
        raise HarnessError(f"{target} exists already")
    if not target.parent.is_dir():
        raise HarnessError(f"no folder {target.parent}")


def write(files: dict[str, str], target: Path) -> None:
    """Write a folder of files, all of them or none: beside the target first, and renamed at the end.

    Args:
        files: Text of each file by its path in the folder.
        target: The folder.

    Raises:
        HarnessError: If the folder cannot be written.
    """
    refuse_target(target)
    temporary = target.parent / f".{target.name}.{os.getpid()}"
    try:
        for name, text in files.items():
            path = temporary / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        temporary.rename(target)
    except OSError as error:
        raise CannotWrite.from_os_error(target, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
