"""Write runs to Trackio's local storage; `trackio sync` uploads it."""

from __future__ import annotations

from harness._compat import trackio as storage
from harness.analysis.export.runs import Run, load_tool, project
from harness.system.errors import HarnessError, one_line


class Trackio:
    """The project of a study.

    Args:
        study: Name of the study, of which that of the project is made.

    Raises:
        HarnessError: If Trackio is not installed, or refuses the name.
    """

    def __init__(self, study: str) -> None:
        self._trackio = load_tool("trackio", "trackio", "trackio")
        self._project = project(study, r"\w-")
        self.where = f"project {self._project}"

    def keys(self) -> set[str]:
        try:
            return {run.id for run in self._trackio.Api().runs(self._project)}
        except ValueError:  # there is no such project yet
            return set()

    def add(self, run: Run) -> None:
        config = run.settings | {"harness": run.about}
        try:
            storage.write_run(self._project, run.record.name, run.key, run.rows(), config, run.started.isoformat())
        except (OSError, ValueError) as error:
            raise HarnessError(f"trackio: {one_line(error)[:500]}") from error
