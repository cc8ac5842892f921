"""The documentation covers everything that a user can choose, and its generated pages are up to date."""

from __future__ import annotations

import importlib.util
import inspect
import re
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

import harness
from harness.cli.scaffold import Plugin, component, use
from harness.config.composition import compose
from harness.config.error_messages import plain_errors
from harness.config.settings import nested_settings, scalar_settings
from harness.registry import catalogue, hookspecs
from harness.registry.kinds import KEY, KINDS
from tests.docs.pages import BOOK, PAGES, ROOT, blocks, commands, name

STALE = "is stale: run `python docs/generate.py` and commit the result"
OUTSIDE = [ROOT / file for file in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")]  # not in the site


def _generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", BOOK / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _text(page: str) -> str:
    return (BOOK / page).read_text(encoding="utf-8")


def _hooks() -> dict[str, str]:
    """{name: signature} of the hook specifications."""
    return {
        name: f"{name}{inspect.signature(hook)}".replace("'", "")
        for name, hook in vars(hookspecs).items()
        if name.startswith("harness_") and inspect.isfunction(hook)
    }


@pytest.mark.parametrize("page", sorted(_generator().PAGES))
def test_generated_page_is_fresh(page: str) -> None:
    assert _text(f"reference/{page}") == _generator().PAGES[page](), f"docs/reference/{page} {STALE}"


@pytest.mark.parametrize("hook", sorted(_hooks()))
def test_hook_is_documented(hook: str) -> None:
    assert _hooks()[hook] in _text("reference/plugins.md")


@pytest.mark.parametrize("hook", sorted(_hooks()))
def test_hook_has_example(hook: str) -> None:
    pages = [blocks(page) for page in PAGES if page.parent.name == "plugins"]
    shown = [b for page in pages for b in page if b.file and f"@harness.hookimpl\ndef {hook}(" in b.text]
    assert shown


@pytest.mark.parametrize("kind", KINDS)
def test_kind_is_documented(kind: str) -> None:
    assert f"| `{kind}` |" in _text("reference/plugins.md")
    page = blocks(BOOK / "how-to" / "plugins" / f"{kind}.md")
    zoo = Plugin("zoo", (kind,), year=2026)
    assert component(zoo, kind) in [block.text for block in page if block.file == f"zoo/zoo/{kind}.py"]
    assert use(zoo, kind) in [command for b in page if b.language == "console" for command, _ in commands(b)]


def test_settings_are_documented() -> None:
    keys = [p.name for p in scalar_settings()]
    keys += [f"{name}.{p.name}" for name, inner in nested_settings().items() for p in inner]
    assert [key for key in keys if f"`{key}`" not in _text("reference/settings.md")] == []


def test_built_in_components_are_documented() -> None:
    own = [e for e in catalogue.current() if e["origin"] == "dl-harness"]
    pages = {kind: _text(f"reference/components/{kind}.md") for kind in KINDS}
    heads = [e for e in own if e["plugin"] == "harness"]
    assert [e["name"] for e in heads if f"\n## {e['name']} {{ #{e['name']} }}\n" not in pages[e["kind"]]] == []
    bridged = [e["name"] for e in own if e["plugin"] != "harness"]
    assert [name for name in bridged if f"\n| `{name}` |" not in _text("reference/bridges.md")] == []


def _composes(kind: str, count: int | None = None) -> None:
    generator = _generator()
    for entry in generator.entries(KINDS[kind])[:count]:
        with plain_errors():
            node = compose([word.strip("'") for word in generator.example(entry)]).values[kind]
        assert entry["name"] in (node if KINDS[kind].many else [node[KEY]])


@pytest.mark.parametrize("kind", KINDS)
def test_example_of_component_composes(kind: str) -> None:
    _composes(kind, count=1)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_examples_of_components_compose(kind: str) -> None:
    _composes(kind)


@pytest.mark.parametrize("page", OUTSIDE, ids=name)
def test_links_have_targets(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    targets = [t.partition("#")[0] for t in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in t]
    assert [target for target in targets if target and not (page.parent / target).exists()] == []


def test_docstrings_of_public_names_are_linted() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (ignored,) = settings["tool"]["ruff"]["lint"]["per-file-ignores"]
    linted = set(ignored.removeprefix("!harness/{").removesuffix("}").split(","))
    values = [(name, getattr(harness, name)) for name in harness.__all__]
    sources = {v.__name__ if inspect.ismodule(v) else harness.source(name) for name, v in values}
    paths = [Path(*source.split(".")[1:]) for source in sources]
    assert [p for p in paths if not {f"{p}.py", f"{p}/__init__.py"} & linted] == []
