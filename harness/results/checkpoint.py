"""Save and read a run's last checkpoint, from which it continues bit-equal to a run that was never interrupted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from harness.system import safe_files
from harness.system.safe_files import write_file

FILE = "checkpoint.pt"
FORMAT = 2  # of the content; to be raised when its keys change


def save(folder: Path, run_id: str, path: str, content: dict[str, Any]) -> None:
    """Replace a run's checkpoint.

    Args:
        folder: The run's folder.
        run_id: The run's ID.
        path: `alone` or `fused`; a run can only continue on the same path.
        content: State of the run.
    """
    checkpoint = {"format": FORMAT, "id": run_id, "path": path, **content}
    write_file(folder / FILE, lambda file: torch.save(checkpoint, file))


class UnusableCheckpoint(ValueError):
    """Raised for a checkpoint that a run cannot continue from; the message is the reason."""


def read(folder: Path, run_id: str, peek: bool = False) -> dict[str, Any] | None:
    """Read a run's checkpoint.

    Args:
        folder: The run's folder.
        run_id: The run's ID.
        peek: Leave the tensors on disk, to test only that the checkpoint can be read.

    Returns:
        The checkpoint; None if there is no such file.

    Raises:
        UnusableCheckpoint: If the file is torn, not a checkpoint, of another version of harness, or of another run.
    """
    try:
        safe_files.check_plain(folder / FILE)
        checkpoint: Any = torch.load(folder / FILE, weights_only=True, map_location="cpu", mmap=peek)
    except FileNotFoundError:
        return None
    except safe_files.UnsafeFile as error:
        raise UnusableCheckpoint(f"its {FILE} cannot be read: {error.strerror}") from error
    except Exception as error:  # torch raises many kinds of errors for a torn file
        raise UnusableCheckpoint(f"its {FILE} cannot be read: it is torn or not a checkpoint") from error
    if not _is_checkpoint(checkpoint):
        raise UnusableCheckpoint(f"its {FILE} is not a checkpoint of harness")
    if checkpoint.get("format") != FORMAT:
        raise UnusableCheckpoint(f"its {FILE} was written by another version of harness")
    if checkpoint["id"] != run_id:
        raise UnusableCheckpoint(f"its {FILE} is of another run")
    return dict(checkpoint)


def _is_checkpoint(content: Any) -> bool:
    """Return True for the structure that `save` writes. The training path itself checks the content of `state`."""
    if not isinstance(content, dict) or not {"id", "path"} <= set(content) or content["path"] not in ("alone", "fused"):
        return False
    member = content.get("member")
    return isinstance(member, dict) and isinstance(content.get("state"), dict) and type(member.get("epochs")) is int


def remove(folder: Path) -> None:
    """Remove the checkpoint of a run, if there is one."""
    (folder / FILE).unlink(missing_ok=True)
