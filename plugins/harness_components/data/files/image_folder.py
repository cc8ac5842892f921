"""Images of the user's, a folder for each class."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
from annotated_types import Gt
from torch import Generator

import harness
from harness import Dataset, HarnessError, Split, from_arrays, suggest

ENDINGS = (".png", ".jpg", ".jpeg")
Side = Annotated[int, Gt(0)]


@harness.data(reads=("path",))
def image_folder(
    split: Split,
    generator: Generator,
    *,
    path: Annotated[str, "folder that holds a folder of images for each class"],
    size: Annotated[tuple[Side, Side], "height and width to resize images to, in pixels"] = (32, 32),
    colour: Annotated[bool, "colour images; false: grey"] = True,
) -> Dataset:
    """PNG and JPEG images in a folder for each class, held in memory.

    Inputs `[3, height, width]`, or `[1, height, width]` without colour, in [0, 1]; the classes are the names of the
    folders.
    """
    if not path:
        raise HarnessError("data.path must name a folder, got ''")
    root = Path(path).expanduser()
    if not root.is_dir():
        near = [p.name for p in root.parent.iterdir()] if root.parent.is_dir() else []
        raise HarnessError(f"no folder {root}.{suggest(root.name, near, listed=False)}")
    folders = sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    if len(folders) < 2:
        raise HarnessError(f"{root} has {len(folders)} folders, expected one for each of two classes or more")
    x, y = [], []
    for place, folder in enumerate(folders):
        files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in ENDINGS and p.is_file())
        if not files:
            raise HarnessError(f"{folder} holds no images ({', '.join(ENDINGS)})")
        x += [_read(file, size, colour) for file in files]
        y += [place] * len(files)
    return from_arrays(np.stack(x), np.array(y), split, generator, target="class", classes=[p.name for p in folders])


def _read(file: Path, size: tuple[int, int], colour: bool) -> np.ndarray:
    """Return an image as [channels, height, width] in [0, 1]."""
    from PIL import Image  # at the first image: most runs read none

    height, width = size
    try:
        with Image.open(file) as opened:
            pixels = opened.convert("RGB" if colour else "L")
            if pixels.size != (width, height):
                pixels = pixels.resize((width, height), Image.Resampling.BILINEAR)
            array = np.asarray(pixels, dtype=np.float32) / 255
    except (OSError, ValueError, SyntaxError) as error:  # Pillow raises the last for a broken PNG
        raise HarnessError(f"{file} is not a readable image: {' '.join(str(error).split())}") from error
    return np.moveaxis(array, -1, 0) if colour else array[None]
