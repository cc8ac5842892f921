"""Describe the environment of a run: versions, device, processor, and the commit of the working folder."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import psutil
import torch

from harness.registry import catalogue
from harness.system import platforms
from harness.system.blas import product_library
from harness.system.distribution import DISTRIBUTION
from harness.system.errors import HarnessError


def device_type(trainer: dict[str, Any]) -> str:
    """Return the type of the device that Lightning will train on: cpu, cuda or mps.

    Args:
        trainer: The `trainer` node of a config.

    Raises:
        HarnessError: If this machine does not have the requested accelerator.
    """
    accelerator = trainer.get("accelerator") or "auto"
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not available.get(accelerator, accelerator != "gpu" or any(available.values())):
        raise HarnessError(
            f"trainer.accelerator={accelerator}: this machine has none; trainer=auto uses what the machine has"
        )
    if accelerator in ("cpu", "cuda", "mps"):
        return str(accelerator)
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu" if accelerator == "auto" else str(accelerator)


def describe(device: str) -> dict[str, Any]:
    """Return the `environment` of a record."""
    return {
        **_versions(),
        "plugins": _plugins(),
        "device": _device(device),
        "cpu": _cpu(),
        "products": product_library(),
        "git": _git(str(Path.cwd())),
    }


@functools.cache
def _versions() -> dict[str, str]:
    names = {
        "harness": DISTRIBUTION,
        "torch": "torch",
        "pytorch_lightning": "pytorch-lightning",
        "hydra": "hydra-core",
    }
    return {"python": platform.python_version()} | {k: importlib.metadata.version(v) for k, v in names.items()}


@functools.cache
def _plugins() -> dict[str, str]:
    return catalogue.versions()


def _device(device: str) -> str:
    return torch.cuda.get_device_name() if device == "cuda" and torch.cuda.is_available() else device


@functools.cache
def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


@functools.cache
def _git(folder: str) -> str:
    """Return the commit of a checkout, or the empty string outside of one.

    "+changes" is appended if files differ from the commit, "+unknown" if comparing them would run programs that the
    checkout configures.
    """

    def git(*words: str) -> str:
        command = ["git", "-c", "core.fsmonitor=false", "-c", "safe.bareRepository=explicit", *words]
        process = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=5, check=True)
        return process.stdout.strip()

    try:
        commit = git("rev-parse", "HEAD")
        if _runs_programs(git("config", "--local", "--includes", "--list", "--name-only")):
            return f"{commit}+unknown"
        changed = git("status", "--porcelain", "--untracked-files=no", "--ignore-submodules=all")
        return commit + ("+changes" if changed else "")
    except (OSError, subprocess.SubprocessError):
        return ""


def _runs_programs(keys: str) -> bool:
    """Return True if a checkout's own config, which may come from a stranger, names programs that `git status` runs."""
    return any(key.startswith("filter.") and not key.endswith(".required") for key in keys.lower().splitlines())


def peak_memory(device: str) -> int:
    """Return the peak of the device's allocated memory, or of the process's resident memory, in bytes."""
    if device == "cuda":
        return int(torch.cuda.max_memory_allocated())
    return platforms.peak_memory()


def held_memory(device: str) -> int:
    """Return the memory in use now, on the device or by the process, in bytes."""
    if device == "cuda":
        return int(torch.cuda.memory_allocated())
    return int(_process(os.getpid()).memory_info().rss)


@functools.lru_cache(1)
def _process(number: int) -> psutil.Process:
    return psutil.Process(number)
