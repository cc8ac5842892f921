"""The program of the child process that scans plugins: load them and write their contents to a file."""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import inspect
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from harness.registry import discovery
from harness.registry.scanning.dependencies import CODE, FileAccessLog, file_states
from harness.system.distribution import DISTRIBUTION


def main(plugins: str, answer: str) -> None:
    """Scan plugins and write the results as a JSON list.

    Args:
        plugins: JSON list of (plugin, distribution). Without a distribution, Lightning's Trainer is scanned.
        answer: Path of the file to write.
    """
    log = FileAccessLog()
    scans = []
    roots = _roots()
    for plugin, distribution in json.loads(plugins):
        before = set(log.files())
        offer = scan(plugin, distribution) if distribution else trainer()
        # Those of plugins that this process happened to load before are not files of this one. A module that both
        # import is loaded once, so it counts for both.
        others = tuple(root for owner, root in roots if owner != (plugin, distribution))
        read = [path for path in log.files() if path not in before or path.endswith(CODE)]
        files = [path for path in read if not path.startswith(others)]
        scans.append(offer | {"files": file_states(files), "environment": log.variables()})
    Path(answer).write_text(json.dumps(scans))


def _roots() -> list[tuple[tuple[str, str], str]]:
    """Return ((plugin, distribution), path) of the package or module of each plugin, if no two plugins share it."""
    found: dict[str, list[tuple[str, str]]] = {}
    for point, owner, _ in discovery.entry_points():
        with contextlib.suppress(ImportError, ValueError):
            spec = importlib.util.find_spec(point.value.partition(":")[0].partition(".")[0])
            folders = () if spec is None else spec.submodule_search_locations
            paths = [f"{os.path.realpath(folder)}{os.sep}" for folder in folders or ()]
            paths += [os.path.realpath(spec.origin)] if spec is not None and not paths and spec.origin else []
            for path in paths:
                found.setdefault(path, []).append((point.name, owner))
    return [(owners[0], path) for path, owners in found.items() if len(owners) == 1]


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
