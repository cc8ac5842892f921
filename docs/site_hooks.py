"""Hooks of MkDocs: write the Markdown of each page beside its HTML, and llms.txt, an index of the pages for programs.

See https://llmstxt.org for the format of llms.txt.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

_STATE: dict[str, list[Any]] = {"pages": [], "nav": []}
_FIRST_PARAGRAPH = re.compile(r"\A(?:#.*\n|\s*\n)*((?:[^\n#`|<!\[-].*\n?)+)")


def on_nav(nav: Any, config: Any, files: Any) -> Any:
    """Keep the navigation, which is the order of the index."""
    _STATE["nav"], _STATE["pages"] = list(nav.items), []
    return nav


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Keep the Markdown of a page."""
    _STATE["pages"].append((page, markdown))
    return markdown


def on_post_build(config: Any) -> None:
    """Write the Markdown of all pages, and llms.txt."""
    site = Path(config["site_dir"])
    summaries = {}
    for page, markdown in _STATE["pages"]:
        path = site / page.file.src_uri
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(markdown, encoding="utf-8")
        summaries[page.file.src_uri] = first_sentence(markdown)
    lines = [f"# {config['site_name']}", "", f"> {config['site_description']}", ""]
    for item in _STATE["nav"]:
        lines += _section(item, summaries, config)
    (site / "llms.txt").write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")


def first_sentence(markdown: str) -> str:
    """Return the first sentence of a page, after its title."""
    match = _FIRST_PARAGRAPH.match(markdown)
    text = " ".join(match[1].split()) if match else ""
    text = re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", text)
    return re.split(r"(?<=[.!?:]) (?=[A-Z`])", text)[0]


def _section(item: Any, summaries: dict[str, str], config: Any) -> list[str]:
    pages = list(_pages(item))
    title = item.title if item.is_section else "Start"
    rows = []
    for page in pages:
        source = page.file.src_uri
        summary = f": {summaries[source]}" if summaries.get(source) else ""
        rows.append(f"- [{page.title}]({config['site_url'] or ''}{source}){summary}")
    return [f"## {title}", "", *rows, ""]


def _pages(item: Any) -> list[Any]:
    if item.is_page:
        return [item]
    return [page for child in getattr(item, "children", None) or [] for page in _pages(child)]
