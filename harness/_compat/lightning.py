"""Lightning: seen on pytorch-lightning 2.6."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from typing import Any

from pytorch_lightning import Trainer
from pytorch_lightning.strategies import DDPStrategy
from pytorch_lightning.strategies.launchers.subprocess_script import _SubprocessScriptLauncher


class CommandStrategy(DDPStrategy):
    """Distributed training whose other processes run `command`, and not this script again.

    Overrides `DDPStrategy._configure_launcher`, seen on pytorch-lightning 2.6. Without it, a notebook or a sweep cannot
    train on several devices.
    """

    def __init__(self, command: Sequence[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.command = list(command)

    def _configure_launcher(self) -> None:
        assert self.cluster_environment is not None
        if not self.cluster_environment.creates_processes_externally:
            self._launcher = CommandLauncher(self.command, self.cluster_environment, self.num_processes, self.num_nodes)


class CommandLauncher(_SubprocessScriptLauncher):
    """Starts the other processes of a run by a command.

    Overrides `_SubprocessScriptLauncher._call_children_scripts` and calls `_check_can_spawn_children`, seen on
    pytorch-lightning 2.6.
    """

    def __init__(self, command: list[str], *args: Any) -> None:
        super().__init__(*args)
        self.command = command

    def _call_children_scripts(self) -> None:
        self._check_can_spawn_children()
        environment = {
            "MASTER_ADDR": self.cluster_environment.main_address,
            "MASTER_PORT": str(self.cluster_environment.main_port),
            "NODE_RANK": str(self.cluster_environment.node_rank()),
            "WORLD_SIZE": str(self.num_processes * self.num_nodes),
        }
        os.environ.update(environment | {"LOCAL_RANK": str(self.cluster_environment.local_rank())})
        self.procs = [
            subprocess.Popen(self.command, env=os.environ | {"LOCAL_RANK": str(rank)}, stdout=subprocess.DEVNULL)
            for rank in range(1, self.num_processes)
        ]


def start_at(trainer: Trainer, epoch: int, batches: int) -> None:
    """Begin training with a later epoch: `trainer.current_epoch` and `trainer.global_step` count from there.

    Sets the progress of Lightning's loops, seen on pytorch-lightning 2.6. Without it, the callbacks of a resumed run
    count from 0.

    Args:
        trainer: The trainer, before its fit.
        epoch: The epoch to begin with.
        batches: Batches in an epoch.
    """
    progress: Any = trainer.fit_loop.epoch_progress.current
    progress.ready = progress.started = progress.processed = progress.completed = epoch
    trainer.fit_loop.epoch_loop._batches_that_stepped = epoch * batches


def count_steps(trainer: Trainer, steps: int) -> None:
    """Set `trainer.global_step`, which Lightning leaves at 0 where a module steps its optimizers itself.

    Sets the progress of Lightning's loop of manual optimization, seen on pytorch-lightning 2.6.
    """
    total = trainer.fit_loop.epoch_loop.manual_optimization.optim_step_progress.total
    total.ready = total.completed = steps
