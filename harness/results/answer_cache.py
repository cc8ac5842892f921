"""Cache answers that take a while to compute in the user's cache folder.

`<cache folder>/<folder>/<key>.json` holds an answer. The key holds all that the answer depends on, so that an answer is
never out of date; those that were written first are removed. Without a cache everything works, only slower.
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
from harness.system.typed_json import checker, refuse_depth

KEPT = 128  # answers in a folder
MAX_BYTES = 8 * safe_files.MB  # size of an answer
T = TypeVar("T")


def key_of(question: Any) -> str:
    """Return the key of a question: a digest of its `repr`."""
    return hashlib.sha256(repr(question).encode(errors="surrogateescape")).hexdigest()[:24]


def recall(folder: str, key: str, hint: Any) -> Any:
    """Return a cached answer; None if there is none, or if it is not of the type `hint`."""
    with contextlib.suppress(OSError, ValueError, RecursionError):
        text = safe_files.read(_path(folder, key), MAX_BYTES)
        refuse_depth(text)
        answer = json.loads(text)
        if checker(hint)(answer) is None:
            return answer
    return None


def keep(folder: str, key: str, answer: Any) -> None:
    """Cache an answer, if the cache can be written."""
    text, path = json.dumps(answer).encode(), _path(folder, key)
    with contextlib.suppress(OSError):
        if len(text) <= MAX_BYTES:
            path.parent.mkdir(parents=True, exist_ok=True)
            safe_files.write_file(path, text, durable=False)
            for stale in sorted(path.parent.glob("*.json"), key=_modified)[:-KEPT]:
                stale.unlink(missing_ok=True)


def cached(folder: str, question: Any, hint: Any, compute: Callable[[], T]) -> T:
    """Return the cached answer to a question, or compute it and cache it.

    Args:
        folder: Name of the folder for answers of this kind.
        question: All that the answer depends on.
        hint: Type of the answer as JSON, such as `dict[str, str]`.
        compute: Computes the answer.
    """
    key = key_of(question)
    answer: T | None = recall(folder, key, hint)
    if answer is None:
        answer = compute()
        keep(folder, key, answer)
    return answer


def _path(folder: str, key: str) -> Path:
    return cache_folder() / folder / f"{key}.json"


def _modified(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:  # another process has removed it
        return 0
