"""Data sets of the Hugging Face `datasets` library."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Gt, MinLen
from torch import Generator, Tensor

import harness
from harness import (
    SPLITS,
    Dataset,
    Divided,
    HarnessError,
    Split,
    disk,
    divide_rest,
    one_line,
    precision,
    suggest,
    torch_adapter,
)
from harness_components.data.files.targets import TargetColumn, infer_target

Side = Annotated[int, Gt(0)]
_USUAL = {"val": ("validation", "valid", "val", "dev"), "test": ("test",)}  # usual names of splits
_GREY = ("1", "L", "LA", "I", "I;16", "F")


@harness.data(
    reference="Lhoest et al., Datasets: a community library for natural language processing, EMNLP 2021, "
    "arXiv:2109.02846"
)
def hugging_face(
    split: Split,
    cache_dir: Path,
    generator: Generator,
    *,
    path: Annotated[str, "name on the hub (ylecun/mnist), or a folder of files"],
    inputs: Annotated[tuple[str, ...], MinLen(1), "column of the inputs; several columns of numbers are joined"],
    target: Annotated[str, "column to predict"],
    config: Annotated[str | None, "configuration of the set, where it has several"] = None,
    revision: Annotated[str | None, "commit, branch or tag of the set; null: the newest"] = None,
    train: Annotated[str, "name of the training split"] = "train",
    val: Annotated[
        str | None, "name of the validation split; auto: the usual names; null: take from training"
    ] = "auto",
    test: Annotated[str | None, "name of the test split; auto: the usual names; null: take from training"] = "auto",
    kind: Annotated[
        Literal["auto", "class", "real"], "kind of target; auto: labels, texts and few different integers are classes"
    ] = "auto",
    size: Annotated[tuple[Side, Side] | None, "height and width to resize images to; null: no resizing"] = None,
    colour: Annotated[bool | None, "colour images; false: grey; null: as the first image"] = None,
    in_memory: Annotated[
        bool | Literal["auto"], "hold all samples in memory; false: keep them under cache_dir; auto: by their size"
    ] = "auto",
) -> Dataset:
    """A data set of the Hugging Face datasets library: from its hub, or files that it reads. Needs `datasets`.

    Inputs are a column of images `[3 or 1, height, width]` in [0, 1], a column of arrays of one shape, or columns of
    numbers `[D]`. Splits that the set lacks are taken from its training samples.
    """
    loaded = _loaded(path, config, revision, cache_dir)
    names = {"train": train}
    for part, requested in (("val", val), ("test", test)):
        name = next((usual for usual in _USUAL[part] if usual in loaded), None) if requested == "auto" else requested
        if name is not None:
            names[part] = name
    for part, name in names.items():
        if name not in loaded:
            raise HarnessError(f"{path} has no split {name!r} (data.{part}).{suggest(name, list(loaded))}")
        if not len(loaded[name]):
            raise HarnessError(f"{path}: the split {name!r} is empty")
    sets = {part: loaded[name] for part, name in names.items()}
    columns = sets["train"].column_names
    for name in (*inputs, target):
        if name not in columns:
            raise HarnessError(f"{path} has no column {name!r}.{suggest(name, columns)}")
    read = _Images(path, inputs[0], size, colour) if _is_image(sets["train"], inputs) else _Numbers(path, inputs)
    first = read.rows(sets["train"], 0, 1)
    classes, labels = _targets(sets, target, kind, path)
    rows = max(1, disk.BLOCK_BYTES // max(1, first.nbytes))

    def chunks() -> Iterator[disk.Chunk]:
        for part in SPLITS:
            for at in range(0, len(sets[part]) if part in sets else 0, rows):
                x = read.rows(sets[part], at, at + rows)
                if x.shape[1:] != first.shape[1:]:
                    raise HarnessError(
                        f"{path}: inputs of {list(x.shape[1:])} in the split {names[part]!r} near sample {at}, and the "
                        f"first is {list(first.shape[1:])}: all must be of one shape"
                    )
                if not np.isfinite(x).all():
                    bad = at + int(np.argwhere(~np.isfinite(x))[0][0])
                    raise HarnessError(
                        f"{path}: sample {bad} of {names[part]!r} has an input that is missing or not finite"
                    )
                y = classes.encode(_column(sets[part], target, at, at + rows))
                if (classes.kind == "class" and y.min() < 0) or not np.isfinite(y).all():
                    raise HarnessError(
                        f"{path}: the split {names[part]!r} has samples without a target; data.{part}=null takes it "
                        "from the training samples"
                    )
                yield x, y

    def divided(y: Tensor | None) -> Divided:
        return divide_rest({part: len(rows) for part, rows in sets.items()}, split, generator, y)

    total = first.nbytes * sum(len(s) for s in sets.values())
    dataset = torch_adapter.hold(chunks, divided, total, in_memory, cache_dir, classes.kind, labels)
    return replace(dataset, remarks=classes.remarks)


def _loaded(path: str, config: str | None, revision: str | None, cache_dir: Path) -> Any:
    """Load the set, {split: rows}."""
    try:
        import datasets
    except ImportError as error:
        raise HarnessError("hugging_face reads with `datasets`: pip install 'dl-harness[hugging_face]'") from error
    if not path:
        raise HarnessError("data.path must name a set or a folder, got ''")
    folder = Path(path).expanduser()
    try:
        if any((folder / name).is_file() for name in ("dataset_dict.json", "state.json")):
            loaded = datasets.load_from_disk(str(folder))
        else:
            cache = str(Path(cache_dir) / "hugging_face")
            where = str(folder) if folder.is_dir() else path
            loaded = datasets.load_dataset(where, config, revision=revision, cache_dir=cache)
    except Exception as error:  # of the library, of the network, of the files' own readers
        raise HarnessError(f"datasets cannot load {path!r}: {one_line(error)}") from error
    return {"train": loaded} if isinstance(loaded, datasets.Dataset) else dict(loaded)


def _is_image(rows: Any, inputs: tuple[str, ...]) -> bool:
    import datasets

    images = [name for name in inputs if isinstance(rows.features[name], datasets.Image)]
    if images and len(inputs) > 1:
        raise HarnessError(
            f"data.inputs={list(inputs)}: {images[0]!r} holds images, which cannot be joined: name it alone"
        )
    return bool(images)


def _column(rows: Any, name: str, first: int, last: int) -> np.ndarray:
    exact = {"dtype": np.float64} if "float64" in repr(rows.features[name]) else {}  # datasets itself makes it float32
    return np.asarray(rows.select_columns([name]).with_format("numpy", **exact)[first:last][name])


class _Numbers:
    """Columns of numbers, or of arrays of numbers, as inputs."""

    def __init__(self, path: str, names: tuple[str, ...]) -> None:
        self.path, self.names = path, names

    def rows(self, rows: Any, first: int, last: int) -> np.ndarray:
        """Return inputs first .. last - 1, [n, ...]: arrays of one column as they are, several columns joined."""
        columns = [self._numbers(rows, name, first, last) for name in self.names]
        if len(columns) == 1 and columns[0].ndim > 1:
            return columns[0]
        return np.concatenate([c.reshape(len(c), -1) for c in columns], axis=1)

    def _numbers(self, rows: Any, name: str, first: int, last: int) -> np.ndarray:
        values = _column(rows, name, first, last)
        if values.dtype == object:
            try:
                values = np.stack(values.tolist())
            except (TypeError, ValueError):
                raise HarnessError(
                    f"{self.path}: the column {name!r} holds {rows.features[name]} of different shapes or with gaps, "
                    "expected numbers or arrays of one shape"
                ) from None
        if values.dtype.kind not in "fiub":
            raise HarnessError(f"{self.path}: the column {name!r} holds {values.dtype}, expected numbers or images")
        return values.astype(precision.holding(values.dtype), copy=False)


class _Images:
    """A column of images as inputs."""

    def __init__(self, path: str, name: str, size: tuple[int, int] | None, colour: bool | None) -> None:
        self.path, self.name, self.size, self.colour = path, name, size, colour

    def rows(self, rows: Any, first: int, last: int) -> np.ndarray:
        """Return images first .. last - 1, [n, channels, height, width], in [0, 1]."""
        images = rows.select_columns([self.name])[first:last][self.name]
        made = [self._image(image, first + place) for place, image in enumerate(images)]
        shapes = sorted({pixels.shape for pixels in made})
        if len(shapes) > 1:
            raise HarnessError(
                f"{self.path}: images of {list(shapes[0])} and {list(shapes[1])}: bring them to one size with data.size"
            )
        return np.stack(made)

    def _image(self, image: Any, place: int) -> np.ndarray:
        if image is None:
            raise HarnessError(f"{self.path}: sample {place} has no image")
        if self.colour is None:
            self.colour = image.mode not in _GREY
        image = image.convert("RGB" if self.colour else "L")
        if self.size is not None and image.size != self.size[::-1]:
            image = image.resize(self.size[::-1], 2)  # Pillow's number for bilinear
        pixels = np.asarray(image, dtype=np.float32) / 255
        return np.moveaxis(pixels, -1, 0) if self.colour else pixels[None]


def _targets(sets: dict[str, Any], target: str, kind: str, path: str) -> tuple[TargetColumn, list[str]]:
    """Return the target column and the names of its classes."""
    import datasets

    feature = sets["train"].features[target]
    if isinstance(feature, datasets.ClassLabel) and kind != "real":
        return TargetColumn("class", tuple(range(feature.num_classes))), list(feature.names)

    def chunks() -> Iterator[np.ndarray]:
        for rows in sets.values():
            yield from (_column(rows, target, at, at + 10_000) for at in range(0, len(rows), 10_000))

    column = infer_target(chunks(), target, kind, Path(path))
    if column is None:
        raise HarnessError(f"{path}: the column {target!r} holds numbers and other things, or gaps")
    return column, column.classes
