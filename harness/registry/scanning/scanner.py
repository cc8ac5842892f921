"""The program of the child process that scans plugins: load them and write their contents to a file."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

from harness.registry import discovery
from harness.registry.scanning.dependencies import FileAccessLog, file_states


def main(plugins: str, answer: str) -> None:
    """Scan plugins and write the results as a JSON list.

    Args:
        plugins: JSON list of (plugin, distribution). Without a distribution, Lightning's Trainer is scanned.
        answer: Path of the file to write.
    """
    log = FileAccessLog()
    scans = []
    for plugin, distribution in json.loads(plugins):
        offer = scan(plugin, distribution) if distribution else trainer()
        scans.append(offer | {"files": file_states(log.files()), "environment": log.variables()})
    Path(answer).write_text(json.dumps(scans))


def scan(plugin: str, distribution: str) -> dict[str, Any]:
    """Return the contents of a plugin as plain data."""
    for point, owner, _ in discovery.entry_points():
        if (point.name, owner) == (plugin, distribution):
            return discovery.load(point, owner, scanned=True).describe()
    raise LookupError(f"no plugin {plugin!r} of {distribution}")


def trainer() -> dict[str, Any]:
    """Return the parameters of Lightning's Trainer, with those defaults that are plain data."""
    from pytorch_lightning import Trainer

    rows = inspect.signature(Trainer.__init__).parameters.values()
    plain = (str, int, float, bool, type(None))
    defaults = {p.name: p.default if isinstance(p.default, plain) else None for p in rows if p.name != "self"}
    return {"trainer": defaults, "components": [], "config_dirs": {}, "problems": []}
