"""What the catalogue's child process runs: load a plugin, or several of one house, and write down what they offer."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

from harness.registry import discovery
from harness.registry.scanning.dependencies import FileAccessLog, noted


def main(plugins: str, answer: str) -> None:
    """Scans each (plugin, distribution) of a JSON list (or, with no distribution, Lightning's Trainer) into the file
    `answer`.
    """
    opened = FileAccessLog()
    found = []
    for plugin, distribution in json.loads(plugins):
        offer = scan(plugin, distribution) if distribution else trainer()
        found.append(offer | {"files": noted(opened.files()), "environment": opened.variables()})
    Path(answer).write_text(json.dumps(found))


def scan(plugin: str, distribution: str) -> dict[str, Any]:
    """The plugin's offer as plain data."""
    for point, owner, _ in discovery.entry_points():
        if (point.name, owner) == (plugin, distribution):
            return discovery.load(point, owner, scanned=True).describe()
    raise LookupError(f"no plugin {plugin!r} of {distribution}")


def trainer() -> dict[str, Any]:
    """The parameters of Lightning's Trainer, with the defaults that are plain data."""
    from pytorch_lightning import Trainer

    rows = inspect.signature(Trainer.__init__).parameters.values()
    plain = (str, int, float, bool, type(None))
    defaults = {p.name: p.default if isinstance(p.default, plain) else None for p in rows if p.name != "self"}
    return {"trainer": defaults, "components": [], "config_dirs": {}, "problems": []}
