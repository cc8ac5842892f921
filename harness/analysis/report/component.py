"""Describe a component in words, from its catalogue entry, for `harness show`."""

from __future__ import annotations

import textwrap
from typing import Any

from harness.registry.catalogue import entry_parameters
from harness.registry.kinds import KINDS, UNLISTED_TRAITS
from harness.registry.param_types import describe as describe_type
from harness.registry.param_types import doc_of, space_of
from harness.space import space_text
from harness.system.errors import shown


def describe(entry: dict[str, Any]) -> str:
    """Return a component's documentation, settings, reference and traits, and the override that chooses it.

    Args:
        entry: Entry of the catalogue.
    """
    kind, name = entry["kind"], entry["name"]
    many = KINDS[kind].many
    prefix = f"{kind}.{name}" if many else kind
    choose = f"'{kind}=[{name}]'" if many else f"{kind}={name}"
    lines = [f"{kind}/{name}  ({entry['origin']})", "", textwrap.indent(entry["doc"], "  "), ""]
    parameters = entry_parameters(entry)
    for p in parameters:
        default = "must be given" if p.required else f"= {shown(p.default)}"
        space = space_of(p.hint)
        more = [
            describe_type(p.hint),
            *([f"search {space_text(space)}"] if space else []),
            *([doc_of(p.hint)] if doc_of(p.hint) else []),
        ]
        lines.append(f"  {prefix}.{p.name} {default}")
        lines.append(f"      {'; '.join(more)}")
    if parameters:
        lines.append("")
    if entry["reference"]:
        lines.append(f"  reference  {entry['reference']}")
    for trait, value in entry["traits"].items():
        if trait in UNLISTED_TRAITS:
            continue
        words = ", ".join(str(v) for v in value) if isinstance(value, list) else value
        lines.append(f"  {trait:<9}  {words}")
    lines.append(f"  choose     harness {choose}")
    return "\n".join(lines)
