"""Trackio's storage, which writes a run in one transaction; the documented API writes it value by value."""

from __future__ import annotations

from typing import Any


def write_run(
    project: str, name: str, id: str, steps: list[tuple[int, dict[str, float]]], config: dict[str, Any], time: str
) -> None:
    """Write a whole run to the local storage, or nothing of it. Seen in trackio 0.43.

    Args:
        project: Name of the project.
        name: Name of the run.
        id: ID of the run.
        steps: The values of each step.
        config: Config of the run.
        time: Time of all values, in ISO format.
    """
    from trackio.sqlite_storage import SQLiteStorage

    SQLiteStorage.bulk_log(
        project=project,
        run=name,
        metrics_list=[values for _, values in steps],
        steps=[step for step, _ in steps],
        timestamps=[time] * len(steps),
        config=config,
        run_id=id,
    )


def read_run(project: str, name: str, id: str) -> list[dict[str, Any]]:
    """Return the values of a run with their `step`, which the documented API does not have. Seen in trackio 0.43."""
    from trackio.sqlite_storage import SQLiteStorage

    rows: list[dict[str, Any]] = SQLiteStorage.get_logs(project, name, run_id=id)
    return rows
