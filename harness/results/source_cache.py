"""Cache digests of source files and versions of installed packages, since reading them takes a second.

`<cache folder>/sources/<key>.json` holds an answer. The key holds all that the answer depends on, so that an answer is
never out of date; old ones are removed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from harness.registry.scanning.scan_cache import cache_folder
from harness.system import safe_files
from harness.system.typed_json import checker

KEPT = 64  # answers; each edit of a plugin makes a new one
T = TypeVar("T")


def cached(hint: Any, question: Any, answer: Callable[[], T]) -> T:
    """Return the cached answer to a question, or compute it and cache it.

    Args:
        hint: The type of the answer as JSON, such as `dict[str, str]`.
        question: All that the answer depends on; its `repr` is the key.
        answer: Computes the answer.
    """
    key = hashlib.sha256(repr(question).encode(errors="surrogateescape")).hexdigest()[:24]
    path = cache_folder() / "sources" / f"{key}.json"
    with contextlib.suppress(OSError, ValueError, RecursionError):
        known: T = json.loads(safe_files.read(path, safe_files.MB))
        if checker(hint)(known) is None:
            return known
    found = answer()
    with contextlib.suppress(OSError):  # without a cache everything works, only slower
        path.parent.mkdir(parents=True, exist_ok=True)
        safe_files.write_file(path, json.dumps(found).encode(), durable=False)
        for stale in sorted(path.parent.glob("*.json"), key=_modified)[:-KEPT]:
            stale.unlink(missing_ok=True)
    return found


def _modified(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:  # another process has removed it
        return 0
