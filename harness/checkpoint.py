"""A run's last checkpoint: all that going on from it needs, to the same bits as if it had never stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from harness import safe_files
from harness.record import write_file

FILE = "checkpoint.pt"


def save(folder: Path, run_id: str, path: str, content: dict[str, Any]) -> None:
    """Replaces the run's checkpoint. A stack's member goes on in a stack, a run alone by itself: `path` says which."""
    whole = {"id": run_id, "path": path, **content}
    write_file(folder / FILE, lambda file: torch.save(whole, file))


def read(folder: Path, run_id: str) -> dict[str, Any] | None:
    """The run's checkpoint; None where there is none that can be gone on from."""
    try:
        safe_files.check_plain(folder / FILE)
        found: Any = torch.load(folder / FILE, weights_only=True, map_location="cpu")
    except Exception:  # of a torn file, torch says all sorts of things
        return None
    return found if _whole(found, run_id) else None


def _whole(found: Any, run_id: str) -> bool:
    """Return True for what `save` writes. What is in `state` is its path's own, which refuses what does not fit."""
    if not isinstance(found, dict) or found.get("id") != run_id or found.get("path") not in ("alone", "fused"):
        return False
    member = found.get("member")
    return isinstance(member, dict) and isinstance(found.get("state"), dict) and type(member.get("epochs")) is int


def remove(folder: Path) -> None:
    """The run is complete."""
    (folder / FILE).unlink(missing_ok=True)
