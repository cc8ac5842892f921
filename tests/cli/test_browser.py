"""Tests of TensorBoard in a real browser, on a study of 60 runs: its pages show what the records hold.

With HARNESS_PICTURES=FOLDER, the pictures of the docs are written there.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from playwright.sync_api import Page

import harness
from harness.results.record import Record
from tests.helpers import browser
from tests.helpers.boards import Board, serving
from tests.helpers.browser import until

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


@contextmanager
def opened(board: Board, path: str, shown: str, width: int = 1440) -> Iterator[Page]:
    """A page of the board, as soon as an expression is true there."""
    with browser.page(width, 860) as page:
        page.goto(f"{board.url}{path}")
        until(page, shown)
        yield page


def shot(page: Page, name: str, settled_s: float) -> np.ndarray:
    """The window's pixels [H, W, 3] once it has settled; in colours enough, they become a picture of the docs."""
    page.wait_for_timeout(settled_s * 1000)
    image = PIL.Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    if folder := os.environ.get("HARNESS_PICTURES"):
        image.quantize(96).save(Path(folder) / f"tensorboard-{name}.png", optimize=True)
    return np.asarray(image)


def test_scalars_page_shows_curves(board: Board, study: list[Record]) -> None:
    path = "?tagFilter=/loss&smoothing=0#timeseries"
    with opened(board, path, "all('scalar-card line-chart').length >= 3") as page:
        pixels = shot(page, "scalars", 5)
        words = "".join(page.evaluate("words()").split())
    for tag in ("train/loss", "val/loss", "test/loss"):
        assert tag in words
    assert study[0].folder.name in words
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 200  # curves of many colours


def test_graph_page_shows_named_modules(board: Board) -> None:
    nodes = "all('g.node').map(e => e.getAttribute('data-name'))"
    with opened(board, "#graphs", f"{nodes}.includes('head (Linear)')") as page:
        page.wait_for_timeout(3000)
        box = "all('g.node').find(e => e.getAttribute('data-name') === 'stages').querySelector('.buttoncircle')"
        page.evaluate(f"{box}.dispatchEvent(new MouseEvent('click', {{bubbles: true}}))")
        until(page, f"{nodes}.includes('stages/stage1')")
        shot(page, "graph", 3)
        texts = page.evaluate("all('g.node text').map(e => e.firstChild.textContent)")
    assert {"input", "stage0", "stage1", "flatten", "head (Linear)", "output"} <= set(texts)


def test_hparams_table_has_the_values_of_the_records(board: Board, study: list[Record]) -> None:
    table: dict[str, dict[str, str]] = {}
    with opened(board, "#hparams", f"({ROWS}).length > 20", width=2000) as page:
        shot(page, "hparams", 4)
        (head,) = page.evaluate(HEAD)
        for top in range(0, 60 * 40, 200):  # rows are made when scrolled into view
            page.evaluate(SCROLL.format(top))
            page.wait_for_timeout(300)
            table |= {row[0]: dict(zip(head, row, strict=False)) for row in page.evaluate(ROWS)}
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
def test_page_shows_the_selected_run(tab: str, shown: str, texts: list[str], board: Board, study: list[Record]) -> None:
    # of more than 40 runs TensorBoard's older pages show none, until some are ticked
    box = f"all('[id=\"checkbox-{study[58].folder.name}\"]')[0]"
    with opened(board, f"#{tab}", f"!!{box}") as page:
        page.evaluate(f"{box}.checked || {box}.click()")
        until(page, shown)
        shot(page, tab, 4)
        words = page.evaluate("words()")
    assert [word for word in texts if word not in words] == []


def test_projector_shows_the_samples(board: Board, study: list[Record]) -> None:
    with opened(board, "#projector", "words().includes('Total variance described')") as page:
        pixels = shot(page, "projector", 6)
        words = "".join(page.evaluate("words()").split())
    assert f"Points:{study[58].data['val']}" in words
    middle = pixels[200:700, 400:1000].reshape(-1, 3)
    assert (middle.max(1) < 60).mean() > 0.02  # the dark images of the samples
