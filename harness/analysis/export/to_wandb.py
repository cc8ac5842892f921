"""Write runs to Weights & Biases: online, or to its offline folders, which `wandb sync` uploads."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from harness.analysis.export.runs import Run, load_tool, project
from harness.system import safe_files
from harness.system.errors import HarnessError, one_line

MARK = "harness-export.txt"  # in the folder of a run that was written whole


class Wandb:
    """The project of a study.

    Args:
        study: Name of the study, of which that of the project is made.

    Raises:
        HarnessError: If wandb is not installed.
    """

    def __init__(self, study: str) -> None:
        self._wandb = load_tool("wandb", "wandb", "wandb")
        self._project = project(study)
        self._root = Path(os.environ.get("WANDB_DIR", "."))
        mode = os.environ.get("WANDB_MODE", "online")
        if mode not in ("online", "offline"):
            raise HarnessError(f"WANDB_MODE={mode}: expected online or offline")
        self.where = f"{self._root / 'wandb'}, {mode}"

    def keys(self) -> set[str]:
        return {_key(mark.parent) for mark in (self._root / "wandb").glob(f"*run-*/{MARK}")}

    def add(self, run: Run) -> None:
        for folder in (self._root / "wandb").glob(f"*run-*-{run.key}"):
            if not safe_files.is_link(folder):
                shutil.rmtree(folder)  # left by a crash
        try:
            folder = self._write(run)
        except self._wandb.errors.Error as error:
            advice = "run wandb login, or set WANDB_MODE=offline"
            raise HarnessError(f"wandb: {one_line(error)[:500]}; {advice}") from error
        safe_files.write_file(folder / MARK, f"{run.key}\n".encode(), durable=False)

    def _write(self, run: Run) -> Path:
        """Write a run, and return its folder."""
        record = run.record
        started = self._wandb.init(
            project=self._project,
            id=run.key,
            name=record.name[:128],
            config=run.settings | {"harness": run.about},
            tags=[record.status],
            resume="allow",
            reinit="create_new",
            dir=str(self._root),
            settings=self._wandb.Settings(
                console="off", silent=True, disable_code=True, disable_git=True, x_disable_meta=True,
                x_disable_stats=True, x_save_requirements=False,
            ),
        )  # fmt: skip
        for step, values in run.rows():
            started.log(values, step=step, commit=True)
        folder = Path(started.dir).parent
        started.finish(exit_code=0 if record.status == "completed" else 1)
        return folder


def _key(folder: Path) -> str:
    """Return the key of a run from the name of its folder, `run-DATE_TIME-ID-DIGEST`."""
    return "-".join(folder.name.rsplit("-", 2)[1:])
