"""Tests of private APIs of Lightning: a failing test names the feature that breaks when the API changes."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
import torch
from pytorch_lightning.plugins.environments import LightningEnvironment

from harness._compat.lightning import CommandLauncher, CommandStrategy
from harness.training.distributed import RANK_VARIABLES, rank_environment

CHILD = "import json, os, sys; json.dump(dict(os.environ), open(sys.argv[1], 'w'))"


@pytest.fixture
def strategy(tmp_path: Path) -> CommandStrategy:
    command = [sys.executable, "-c", CHILD, str(tmp_path / "child.json")]
    command_strategy = CommandStrategy(command, parallel_devices=[torch.device("cpu")] * 2)
    command_strategy.cluster_environment = LightningEnvironment()
    command_strategy._configure_launcher()
    return command_strategy


def test_strategy_has_the_launcher_of_its_command(strategy: CommandStrategy) -> None:
    assert isinstance(strategy.launcher, CommandLauncher), "other processes run the user's script again"


def test_launcher_starts_the_command_once_for_each_other_rank(strategy: CommandStrategy, tmp_path: Path) -> None:
    launcher = strategy.launcher
    assert isinstance(launcher, CommandLauncher)
    with rank_environment():
        assert launcher.launch(lambda: "result") == "result"
        (child,) = launcher.procs
        assert child.wait(60) == 0, "no other process starts: training waits forever"
        variables = json.loads((tmp_path / "child.json").read_text())
        assert {name: variables[name] for name in RANK_VARIABLES} == {
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": os.environ["MASTER_PORT"],
            "NODE_RANK": "0",
            "LOCAL_RANK": "1",
            "WORLD_SIZE": "2",
        }
