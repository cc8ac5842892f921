"""Write figures as files, and as SVG that is part of a page."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any, Literal

import matplotlib
from matplotlib.figure import Figure

from harness.analysis.comparison.model import Comparison
from harness.analysis.figures.registry import FIGURES, draw
from harness.analysis.figures.style import BAND, GRID, INK, MUTED, PALETTE, PAPER, style
from harness.system import safe_files
from harness.system.errors import HarnessError
from harness.system.escape import printable

Format = Literal["pdf", "svg", "png"]
FORMATS: tuple[Format, ...] = ("pdf", "svg", "png")
DPI = 200
# Neither the time nor the version of matplotlib: the same comparison gives the same bytes.
_METADATA: dict[str, dict[str, Any]] = {
    "pdf": {"CreationDate": None, "Creator": "harness", "Producer": None},
    "svg": {"Date": None, "Creator": "harness"},
    "png": {"Software": None},
}
_VARIABLES = {
    INK: "ink", MUTED: "muted", GRID: "grid", BAND: "band", PAPER: "paper",
    **{color: f"c{i}" for i, color in enumerate(PALETTE)},
}  # fmt: skip


def save(comparison: Comparison, folder: str | Path, format: Format = "pdf") -> list[Path]:
    """Write every figure of a comparison that it has data for, as `FOLDER/NAME.FORMAT`.

    Args:
        comparison: The comparison.
        folder: The folder; it is created if it does not exist. Files of the same names are replaced.
        format: "pdf", "svg" or "png".

    Returns:
        The files.

    Raises:
        HarnessError: If the format is unknown, or if a file cannot be written.
    """
    if format not in FORMATS:
        raise HarnessError(f"--format={printable(format)}: expected {', '.join(FORMATS[:-1])} or {FORMATS[-1]}")
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise HarnessError(f"--figures: {printable(folder)} is not a folder: choose another")
    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in FIGURES:
            if (figure := draw(name, comparison)) is None:
                continue
            path = folder / f"{name}.{format}"
            if path.is_dir():
                raise HarnessError(f"--figures: {printable(path)} is a folder: remove it, or choose another folder")
            safe_files.write_file(path, content(figure, format, name), durable=False)
            written.append(path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise HarnessError(f"--figures: cannot write to {printable(folder)}: {reason}") from error
    return written


def content(figure: Figure, format: Format, name: str, dpi: int = DPI, paths: bool = True) -> bytes:
    """Return a figure as the content of a file.

    Args:
        figure: The figure.
        format: "pdf", "svg" or "png".
        name: Its name, from which the IDs in an SVG are derived.
        dpi: Pixels per inch of a PNG, and of the pixels in a vector format.
        paths: True to draw the letters of an SVG as paths, which look alike everywhere; False to keep them as text.
    """
    buffer = io.BytesIO()
    with style(), matplotlib.rc_context({"svg.hashsalt": name, "svg.fonttype": "path" if paths else "none"}):
        figure.savefig(buffer, format=format, dpi=dpi, metadata=_METADATA[format])
    return buffer.getvalue()


def inline_svg(figure: Figure, name: str) -> str:
    """Return a figure as an SVG element for a page, with text as text, and with colours that the page may change.

    Colours become CSS variables (`--ink`, `--muted`, `--grid`, `--band`, `--paper`, `--c0`, ...), and IDs get the name
    of the figure as a prefix, so that those of two figures differ.
    """
    text = content(figure, "svg", name, dpi=110, paths=False).decode()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<style[^>]*>[^<]*</style>|<!--.*?-->", "", text, flags=re.DOTALL)
    used = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', text))
    text = re.sub(r"<[^>]*>", lambda match: _tag(match[0], name, used), text)  # names are not part of tags
    return re.sub(r">\s+<", "><", text)


def _tag(tag: str, name: str, used: set[str]) -> str:
    tag = re.sub(r' id="([^"]*)"', lambda match: f' id="{name}-{match[1]}"' if match[1] in used else "", tag)
    tag = re.sub(r'(url\(#|href="#)', rf"\g<1>{name}-", tag)
    tag = re.sub(r'style="[^"]*"', lambda match: re.sub(r"#[0-9a-f]{6}", _variable, match[0]), tag)
    tag = re.sub(r' transform="rotate\(-0 [^"]*"', "", tag)
    tag = re.sub(r"(?:'[^'\"]*', )*sans-serif", "var(--sans)", tag)
    tag = re.sub(r"(\.\d\d)\d+", r"\1", tag)
    return tag.replace(' xmlns:xlink="http://www.w3.org/1999/xlink"', "").replace("xlink:href", "href")


def _variable(match: re.Match[str]) -> str:
    color = match[0]
    return f"var(--{_VARIABLES[color]})" if color in _VARIABLES else color
