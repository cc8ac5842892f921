"""Find the file that a setting names."""

from __future__ import annotations

from pathlib import Path

from harness import HarnessError, check_plain, suggest


def readable(path: str) -> Path:
    """Return the file of a path.

    Raises:
        HarnessError: If it cannot be read.
    """
    if not path:
        raise HarnessError("data.path must name a file, got ''")
    file = Path(path).expanduser()
    try:
        if not file.is_dir():
            check_plain(file)  # reading a pipe would wait, and a device has no end
        with file.open("rb"):
            return file
    except IsADirectoryError as error:
        raise HarnessError(f"{file} is a folder, expected a file") from error
    except FileNotFoundError as error:
        near = [p.name for p in file.parent.iterdir()] if file.parent.is_dir() else []
        raise HarnessError(f"no file {file}.{suggest(file.name, near, listed=False)}") from error
    except OSError as error:
        raise HarnessError(f"cannot read {file}: {error.strerror}") from error
