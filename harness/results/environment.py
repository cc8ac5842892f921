"""Where a run ran: versions, device, processor, the commit of the folder it was started in."""

from __future__ import annotations

import functools
import importlib.metadata
import platform
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import torch

from harness.registry import catalogue
from harness.system.errors import HarnessError


def device_type(trainer: dict[str, Any]) -> str:
    """cpu, cuda or mps: where Lightning will train with these settings. Raises HarnessError for what is not there."""
    wanted = trainer.get("accelerator") or "auto"
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there.get(wanted, wanted != "gpu" or any(there.values())):
        raise HarnessError(f"trainer.accelerator={wanted}: this machine has none; trainer=auto takes what there is")
    if wanted in ("cpu", "cuda", "mps"):
        return str(wanted)
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu" if wanted == "auto" else str(wanted)


def describe(device: str) -> dict[str, Any]:
    """The record's `environment`."""
    return {
        **_versions(),
        "plugins": _plugins(),
        "device": _device(device),
        "cpu": _cpu(),
        "git": _git(str(Path.cwd())),
    }


@functools.cache
def _versions() -> dict[str, str]:
    names = {
        "harness": "harness",
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
    """The commit, with "+changes" where files differ from it, "+unknown" where comparing would run programs that the
    checkout names; empty outside of a checkout.
    """

    def ask(*words: str) -> str:
        command = ["git", "-c", "core.fsmonitor=false", "-c", "safe.bareRepository=explicit", *words]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=5, check=True)
        return done.stdout.strip()

    try:
        commit = ask("rev-parse", "HEAD")
        if _runs_programs(ask("config", "--local", "--includes", "--list", "--name-only")):
            return f"{commit}+unknown"
        changed = ask("status", "--porcelain", "--untracked-files=no", "--ignore-submodules=all")
        return commit + ("+changes" if changed else "")
    except (OSError, subprocess.SubprocessError):
        return ""


def _runs_programs(keys: str) -> bool:
    """Return True if a checkout's own config names programs that `git status` runs to compare files: whoever made the
    working folder has named them.
    """
    return any(key.startswith("filter.") and not key.endswith(".required") for key in keys.lower().splitlines())


def peak_memory(device: str) -> int:
    """Bytes: the device's peak of allocated memory, or the process's largest resident size."""
    if device == "cuda":
        return int(torch.cuda.max_memory_allocated())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def held_memory(device: str) -> int:
    """Bytes that are held now, on the device or by the process: what a run takes comes on top."""
    if device == "cuda":
        return int(torch.cuda.memory_allocated())
    return int(psutil.Process().memory_info().rss)
