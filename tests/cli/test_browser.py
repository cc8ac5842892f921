"""Tests of TensorBoard in a real browser, on a study of 60 runs: its pages show what the records hold.

With HARNESS_PICTURES=FOLDER, the pictures of the docs are written there.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

import harness
from harness.results.record import Record
from tests.helpers import browser
from tests.helpers.boards import Board, serving
from tests.helpers.browser import Page

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(browser.find() is None, reason="no Chromium is installed here"),
]

BASE = ["study=sixty", "epochs=4"]
ROWS = """
[...all('vaadin-grid')[0].shadowRoot.querySelectorAll('#items tr')].filter(tr => !tr.hidden).map(tr =>
  [...tr.children].map(td => td.querySelector('slot').assignedElements().map(e => words(e).trim()).join('')))
"""
HEAD = ROWS.replace("#items", "#header")
SCROLL = "all('vaadin-grid')[0].shadowRoot.querySelector('#table').scrollTop = {}"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Record]]:
    """58 runs of a sweep, a single run with all details, and one that diverged."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("browser"))
        grid = ["optimizer=sgd,adam", "optimizer.lr=0.003,0.01,0.03", "seed=range(9)", "path=fused", "jobs=1"]
        runs = list(harness.sweep([*BASE, *grid]))
        runs += harness.sweep([*BASE, "optimizer=rmsprop", "seed=range(4)", "path=fused", "jobs=1"])
        runs.append(harness.run([*BASE, "model=cnn", "normalization=batch_norm"]))
        runs.append(harness.run([*BASE, "optimizer=sgd", "optimizer.lr=1e30"]))
        assert len(runs) == 60
        yield runs


@pytest.fixture(scope="module")
def board(study: list[Record]) -> Iterator[Board]:
    with serving(study[0].folder.parent.resolve(), len(study)) as server:
        yield server


def seen(board: Board, tmp_path: Path, look: Any, width: int = 1440) -> Any:
    """Return the result of a coroutine on a page of this board."""

    async def run() -> Any:
        async with browser.page(tmp_path, width, 860) as page:
            return await look(page)

    return asyncio.run(run())


async def shot(page: Page, name: str, tmp_path: Path) -> np.ndarray:
    """Return the window's pixels [H, W, 3]; with enough colours, they are saved as a picture of the docs."""
    path = tmp_path / f"{name}.png"
    await page.picture(path)
    image = PIL.Image.open(path).convert("RGB")
    if folder := os.environ.get("HARNESS_PICTURES"):
        image.quantize(96).save(Path(folder) / f"tensorboard-{name}.png", optimize=True)
    return np.asarray(image)


async def opened(page: Page, board: Board, tab: str, expression: str) -> None:
    await page.go(f"{board.url}#{tab}")
    await page.until(expression)


async def ticked(page: Page, record: Record) -> None:
    """Select a run: TensorBoard's older pages show none of more than 40 runs by default."""
    box = f"all('[id=\"checkbox-{record.folder.name}\"]')[0]"
    await page.until(f"!!{box}")
    await page.js(f"{box}.checked || {box}.click()")


def test_scalars_page_shows_curves(board: Board, study: list[Record], tmp_path: Path) -> None:
    async def look(page: Page) -> Any:
        await page.go(f"{board.url}?tagFilter=/loss&smoothing=0#timeseries")
        await page.until("all('scalar-card line-chart').length >= 3")
        await asyncio.sleep(5)
        return "".join((await page.js("words()")).split()), await shot(page, "scalars", tmp_path)

    words, pixels = seen(board, tmp_path, look)
    for tag in ("train/loss", "val/loss", "test/loss"):
        assert tag in words
    assert study[0].folder.name in words
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 200  # curves of many colours


def test_graph_page_shows_named_modules(board: Board, tmp_path: Path) -> None:
    nodes = "all('g.node').map(e => e.getAttribute('data-name'))"

    async def look(page: Page) -> Any:
        await opened(page, board, "graphs", f"{nodes}.includes('head (Linear)')")
        await asyncio.sleep(3)
        box = "all('g.node').find(e => e.getAttribute('data-name') === 'stages').querySelector('.buttoncircle')"
        await page.js(f"{box}.dispatchEvent(new MouseEvent('click', {{bubbles: true}}))")
        await page.until(f"{nodes}.includes('stages/stage1')")
        await asyncio.sleep(3)
        await shot(page, "graph", tmp_path)
        return await page.js("all('g.node text').map(e => e.firstChild.textContent)")

    assert {"input", "stage0", "stage1", "flatten", "head (Linear)", "output"} <= set(seen(board, tmp_path, look))


def test_hparams_table_has_the_values_of_the_records(board: Board, study: list[Record], tmp_path: Path) -> None:
    async def look(page: Page) -> Any:
        await opened(page, board, "hparams", f"({ROWS}).length > 20")
        await asyncio.sleep(4)
        await shot(page, "hparams", tmp_path)
        (head,) = await page.js(HEAD)
        cells: dict[str, dict[str, str]] = {}
        for top in range(0, 60 * 40, 200):  # rows are made when scrolled into view
            await page.js(SCROLL.format(top))
            await asyncio.sleep(0.3)
            cells |= {row[0]: dict(zip(head, row, strict=False)) for row in await page.js(ROWS)}
        return cells

    table = seen(board, tmp_path, look, width=2000)
    assert table.keys() >= {record.folder.name for record in study}
    for record in study:
        row = table[record.folder.name]
        assert row["optimizer"] == record.choices["optimizer"]
        assert float(row["optimizer.lr"]) == pytest.approx(record.config["optimizer"]["lr"], rel=1e-4)
        for metric in ("val/accuracy", "val/loss", "test/accuracy", "test/loss"):
            if record.status == "diverged":
                assert row[metric] == "", "an empty cell, and no zero"
            else:
                assert float(row[metric]) == pytest.approx(record.metrics[metric], rel=1e-4)


@pytest.mark.parametrize(
    ("tab", "shown", "texts"),
    [
        ("images", "all('img').length >= 4", ["pictures/confusion_matrix", "pictures/misclassified"]),
        ("histograms", "all('vz-histogram-timeseries').length >= 4", ["weights/head.weight", "weights/head.bias"]),
        ("pr_curves", "all('tf-pr-curve-card').length >= 4", ["pr_curves/0", "pr_curves/3"]),
        ("text", "words().includes('batch_norm')", ["harness", "cnn", "he_normal"]),
        (
            "custom_scalars",
            "words().includes('Matches (2)')",
            ["losses and metrics", "loss", "accuracy", "learning rate"],
        ),
    ],
)
def test_page_shows_the_selected_run(
    tab: str, shown: str, texts: list[str], board: Board, study: list[Record], tmp_path: Path
) -> None:
    async def look(page: Page) -> Any:
        await opened(page, board, tab, "all('tf-multi-checkbox').length > 0")
        await ticked(page, study[58])
        await page.until(shown)
        await asyncio.sleep(4)
        await shot(page, tab, tmp_path)
        return await page.js("words()")

    words = seen(board, tmp_path, look)
    assert [word for word in texts if word not in words] == []


def test_projector_shows_the_samples(board: Board, study: list[Record], tmp_path: Path) -> None:
    async def look(page: Page) -> Any:
        await opened(page, board, "projector", "words().includes('Total variance described')")
        await asyncio.sleep(6)
        return "".join((await page.js("words()")).split()), await shot(page, "projector", tmp_path)

    words, pixels = seen(board, tmp_path, look)
    assert f"Points:{study[58].data['val']}" in words
    middle = pixels[200:700, 400:1000].reshape(-1, 3)
    assert (middle.max(1) < 60).mean() > 0.02  # the dark images of the samples
