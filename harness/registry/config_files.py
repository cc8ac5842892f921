"""Find the files of a config group: those of harness and those of plugins."""

from __future__ import annotations

from pathlib import Path

from harness.registry import catalogue
from harness.registry.presets import conf_dir, file_url


def config_files(group: str) -> dict[str, Path]:
    """Return the YAML files of a config group by their names, those of harness first.

    Args:
        group: A folder of `conf/`, and of the preset folders of plugins: "experiment", "claim".
    """
    plugin_folders = [Path(file_url(url).removeprefix("file://")) for _, url in catalogue.current().config_dirs]
    found: dict[str, Path] = {}
    for folder in (conf_dir(), *plugin_folders):
        for path in sorted((folder / group).glob("*.yaml")):
            found.setdefault(path.stem, path)
    return found
