"""Offer the components of the catalogue to Hydra as config groups, under the scheme harness://components."""

import builtins

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.object_type import ObjectType
from hydra.plugins.config_source import ConfigLoadError, ConfigResult, ConfigSource
from hydra.plugins.search_path_plugin import SearchPathPlugin

URL = "harness://components"
SETTINGS, TRAINER = "settings", "trainer/lightning"  # configs that can be loaded but are not listed as choices


class HarnessSource(ConfigSource):
    """Hydra's config source: groups are kinds, configs are components."""

    @staticmethod
    def scheme() -> str:
        """Return the scheme of the URL."""
        return "harness"

    def available(self) -> bool:
        """Return True: the catalogue always exists."""
        return True

    def is_group(self, config_path: str) -> bool:
        """Return True for a kind."""
        from harness.registry.kinds import KINDS

        return config_path.strip("/") in ("", *KINDS)

    def is_config(self, config_path: str) -> bool:
        """Return True for a component."""
        path = _name(config_path)
        kind, _, name = path.partition("/")
        if path in (SETTINGS, TRAINER) or name in self._options(kind):
            return True
        from harness.registry import catalogue

        return catalogue.current().left_out(kind, name) is not None  # load_config then raises with the reason

    def load_config(self, config_path: str) -> ConfigResult:
        """Build the config node of a component."""
        from harness.config import schema
        from harness.registry import catalogue
        from harness.registry.kinds import AUTO, KINDS

        path = _name(config_path)
        kind, _, name = path.partition("/")
        if path == SETTINGS:
            package, node = "", schema.settings_node()
        elif path == TRAINER:
            package, node = "trainer", schema.trainer_node(catalogue.current().trainer)
        elif name not in self._options(kind):
            raise ConfigLoadError(catalogue.current().left_out(kind, name) or f"no component {path!r}")
        else:
            package = f"{kind}.{name}" if KINDS[kind].many else kind
            auto = name == AUTO
            node = schema.auto_node(kind) if auto else schema.component_node(catalogue.current().get(kind, name))
        return ConfigResult(
            provider="harness", path=self.full_path(), config=node, header={"package": package or "_global_"}
        )

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        """List the kinds, or the components of a kind."""
        from harness.registry.kinds import KINDS

        path = config_path.strip("/")
        if path == "":
            return sorted(KINDS) if results_filter in (None, ObjectType.GROUP) else []
        return self._options(path) if results_filter in (None, ObjectType.CONFIG) else []

    def _options(self, kind: str) -> builtins.list[str]:
        from harness.registry import catalogue
        from harness.registry.kinds import AUTO, KINDS

        if kind not in KINDS:
            return []
        return sorted([*catalogue.current().names(kind), *([AUTO] if KINDS[kind].auto is not None else [])])


class HarnessSearchPath(SearchPathPlugin):
    """Hydra's search path: adds components and plugin folders to applications that search harness's own conf."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Append the components and the folders of plugins."""
        from harness.registry.presets import conf_dir

        conf = conf_dir().as_posix()
        if not any((item.path or "").removeprefix("file://") == conf for item in search_path.get_path()):
            return
        from harness.registry import catalogue
        from harness.registry.presets import file_url

        search_path.append("harness", URL)
        for distribution, folder in catalogue.current().config_dirs:
            search_path.append(distribution, file_url(folder))


def _name(config_path: str) -> str:
    return config_path.strip("/").removesuffix(".yaml")
