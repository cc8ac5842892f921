"""A run's last checkpoint: all that going on from it needs, to the same bits as if it had never stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from harness.system import safe_files
from harness.system.safe_files import write_file

FILE = "checkpoint.pt"


def save(folder: Path, run_id: str, path: str, content: dict[str, Any]) -> None:
    """Replaces the run's checkpoint. A stack's member goes on in a stack, a run alone by itself: `path` says which."""
    whole = {"id": run_id, "path": path, **content}
    write_file(folder / FILE, lambda file: torch.save(whole, file))


class UnusableCheckpoint(ValueError):
    """A checkpoint that a run cannot continue from. Its text is the reason."""


def read(folder: Path, run_id: str, peek: bool = False) -> dict[str, Any] | None:
    """Read a run's checkpoint.

    Args:
        folder: The run's folder.
        run_id: The run's ID.
        peek: Leave the tensors on disk: only for seeing whether the checkpoint can be read.

    Returns:
        The checkpoint; None if there is no such file.

    Raises:
        UnusableCheckpoint: If the file is torn, is no checkpoint, or is of another run.
    """
    try:
        safe_files.check_plain(folder / FILE)
        found: Any = torch.load(folder / FILE, weights_only=True, map_location="cpu", mmap=peek)
    except FileNotFoundError:
        return None
    except safe_files.UnsafeFile as error:
        raise UnusableCheckpoint(f"its {FILE} cannot be read: {error.strerror}") from error
    except Exception as error:  # of a torn file, torch says all sorts of things
        raise UnusableCheckpoint(f"its {FILE} is torn, or no checkpoint: it cannot be read") from error
    if not _whole(found):
        raise UnusableCheckpoint(f"its {FILE} is not a checkpoint of harness")
    if found["id"] != run_id:
        raise UnusableCheckpoint(f"its {FILE} is of another run")
    return dict(found)


def _whole(found: Any) -> bool:
    """Return True for what `save` writes. What is in `state` is its path's own, which refuses what does not fit."""
    if not isinstance(found, dict) or not {"id", "path"} <= set(found) or found["path"] not in ("alone", "fused"):
        return False
    member = found.get("member")
    return isinstance(member, dict) and isinstance(found.get("state"), dict) and type(member.get("epochs")) is int


def remove(folder: Path) -> None:
    """The run is complete."""
    (folder / FILE).unlink(missing_ok=True)
