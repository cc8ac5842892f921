"""Nothing that a person can use is missing from the documentation, and no page of it is stale."""

from __future__ import annotations

import importlib.util
import inspect
import re
from pathlib import Path
from types import ModuleType

import pytest

from harness.cli.scaffold import Plugin, component, use
from harness.config.settings import nested_settings, scalar_settings
from harness.registry import catalogue, hookspecs
from harness.registry.command import built_in_names
from harness.registry.kinds import KINDS
from tests.docs.pages import GENERATED, PAGES, ROOT, blocks, commands

BOOK = ROOT / "docs"
STALE = "is stale: run `python docs/generate.py` and commit what it writes"


def _generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", BOOK / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _text(*pages: str) -> str:
    return "\n".join((BOOK / page).read_text(encoding="utf-8") for page in pages)


def _hooks() -> dict[str, str]:
    """{name: signature} of the hook specifications."""
    return {
        name: f"{name}{inspect.signature(hook)}".replace("'", "")
        for name, hook in vars(hookspecs).items()
        if name.startswith("harness_") and inspect.isfunction(hook)
    }


@pytest.mark.parametrize("name", sorted(_generator().PAGES))
def test_a_generated_page_is_fresh(name: str) -> None:
    committed = (BOOK / "reference" / name).read_text(encoding="utf-8")
    assert committed == _generator().PAGES[name](), f"docs/reference/{name} {STALE}"


@pytest.mark.parametrize("hook", sorted(_hooks()))
def test_a_hook_stands_in_the_book_with_its_exact_arguments(hook: str) -> None:
    assert _hooks()[hook] in _text("plugins.md")


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_stands_in_the_book(kind: str) -> None:
    assert f"| `{kind}` |" in _text("plugins.md")
    assert f"\n## {kind}\n" in _text("reference/components.md")


@pytest.mark.parametrize("hook", sorted(_hooks()))
def test_a_hook_has_an_example_that_runs(hook: str) -> None:
    page = blocks(BOOK / "write-a-plugin.md")
    marked = f"@harness.hookimpl\ndef {hook}("
    at = next(i for i, block in enumerate(page) if block.language == "python" and marked in block.text)
    assert page[at].file is not None
    assert any(block.language == "console" for block in page[at:])


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_has_the_example_that_harness_new_writes(kind: str) -> None:
    page = blocks(BOOK / "write-a-plugin.md")
    zoo = Plugin("zoo", (kind,), year=2026)
    at = next(i for i, block in enumerate(page) if block.file == f"zoo/zoo/{kind}.py")
    assert page[at].text == component(zoo, kind)
    assert [command for command, _ in commands(page[at + 1])] == [use(zoo, kind)]


@pytest.mark.parametrize("verb", [*built_in_names(), "doctor"])
def test_a_verb_stands_in_the_book(verb: str) -> None:
    assert f"`harness {verb}" in _text("first-steps.md")


def test_every_setting_stands_in_the_book() -> None:
    keys = [p.name for p in scalar_settings()] + [
        f"{name}.{p.name}" for name, inner in nested_settings().items() for p in inner
    ]
    assert [key for key in keys if f"`{key}`" not in _text("reference/settings.md")] == []


def test_every_built_in_component_stands_in_the_book() -> None:
    own = [e for e in catalogue.current() if e["origin"] == "harness"]
    heads = {f"{e['kind']}/{e['name']}" for e in own if e["plugin"] == "harness"}
    rows = {e["name"] for e in own if e["plugin"] != "harness"}
    assert [name for name in heads if f"\n### {name}\n" not in _text("reference/components.md")] == []
    assert [name for name in rows if f"\n| `{name}` |" not in _text("reference/bridges.md")] == []


@pytest.mark.parametrize("page", [*PAGES, *GENERATED], ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        to = (page.parent / path).resolve() if path else page
        assert to.exists(), f"{target} leads nowhere"
        if anchor:
            heads = re.findall(r"^#+ (.*)$", to.read_text(encoding="utf-8"), re.MULTILINE)
            slugs = [re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads]
            assert anchor in slugs, f"{target}: {to.name} has no such heading"


def test_every_page_is_in_the_index() -> None:
    index = _text("index.md")
    missing = [p.relative_to(BOOK).as_posix() for p in [*PAGES[1:], *GENERATED] if p.name != "index.md"]
    assert [name for name in missing if f"]({name})" not in index] == []
