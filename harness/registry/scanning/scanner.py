"""The program of the child process that scans plugins: load them and write their contents to a file."""

from __future__ import annotations

import importlib.metadata
import inspect
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from harness.registry import discovery
from harness.registry.scanning.dependencies import FileAccessLog, file_states
from harness.system.distribution import DISTRIBUTION


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
            offer = discovery.load(point, owner, scanned=True).describe()
            ours = (plugin, distribution) == (discovery.GROUP, DISTRIBUTION)
            return offer | {"problems": offer["problems"] + same_module(distribution)} if ours else offer
    raise LookupError(f"no plugin {plugin!r} of {distribution}")


def same_module(distribution: str) -> list[dict[str, str]]:
    """Return a problem for each other distribution that has a module `harness`, whose files may have replaced ours."""
    others = {*importlib.metadata.packages_distributions().get(discovery.GROUP, ())} - {distribution}
    return [
        asdict(
            discovery.PluginProblem(
                discovery.GROUP,
                distribution,
                discovery.SAME_MODULE,
                f"the distribution {name} has a module 'harness' too, and may have replaced files of {distribution}: "
                f"pip uninstall {name}, then pip install --force-reinstall --no-deps {distribution}",
            )
        )
        for name in sorted(others)
    ]


def trainer() -> dict[str, Any]:
    """Return the parameters of Lightning's Trainer, with those defaults that are plain data."""
    from pytorch_lightning import Trainer

    rows = inspect.signature(Trainer.__init__).parameters.values()
    plain = (str, int, float, bool, type(None))
    defaults = {p.name: p.default if isinstance(p.default, plain) else None for p in rows if p.name != "self"}
    return {"trainer": defaults, "components": [], "config_dirs": {}, "problems": []}
