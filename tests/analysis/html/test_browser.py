"""Tests of the HTML report in a real browser: it opens fast, offline, without an error, and its tables can be sorted.

With HARNESS_PICTURES=FOLDER, the picture of the docs is written there.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from playwright.sync_api import Browser, Page

from harness.analysis.html import page
from tests.helpers import browser
from tests.helpers.comparisons import hostile_names, many_data_sets, two_factors, with_failures

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(browser.find() is None, reason="no Chromium is installed here"),
]

PAGES = {
    "failures": with_failures(),
    "hostile": hostile_names(),
    "factors": two_factors(),
    "many": many_data_sets(data_sets=10, arms=6, seeds=5),  # 300 runs
}
ROWS = "[...document.querySelectorAll('tbody')[0].rows].map(row => row.cells[{}].textContent)"
HEADS = "[...document.querySelectorAll('thead')[0].querySelectorAll('th')]"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    for name, comparison in PAGES.items():
        (folder / f"{name}.html").write_text(page(comparison), encoding="utf-8")
    return {name: folder / f"{name}.html" for name in PAGES}


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser.page() as first:
        assert first.context.browser is not None
        yield first.context.browser


@pytest.fixture
def tab(chromium: Browser) -> Iterator[Page]:
    """A new tab; what its console says, a script that fails, a dialog or a request of the page is an error."""
    errors: list[str] = []
    with chromium.new_page(viewport={"width": 1100, "height": 900}, color_scheme="light") as new:
        new.on("console", lambda message: errors.append(message.text))
        new.on("pageerror", lambda error: errors.append(str(error)))
        new.on("request", lambda request: request.url.startswith(("file:", "data:")) or errors.append(request.url))
        yield new
    assert errors == []


def load_ms(tab: Page, file: Path) -> float:
    tab.goto(file.as_uri())
    return float(tab.evaluate("performance.getEntriesByType('navigation')[0].duration"))


def shot(tab: Page) -> np.ndarray:
    """Return the pixels [H, W, 3] of the window."""
    return np.asarray(PIL.Image.open(io.BytesIO(tab.screenshot())).convert("RGB"))


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize(("scheme", "media"), [("light", "screen"), ("dark", "screen"), ("light", "print")])
def test_page_opens(name: str, scheme: str, media: str, files: dict[str, Path], tab: Page) -> None:
    tab.emulate_media(color_scheme=scheme, media=media)
    assert min(load_ms(tab, files[name]) for _ in range(3)) < 2000
    pixels = shot(tab)
    assert (pixels.mean() < 80) == (scheme == "dark")
    assert pixels.std() > 10, "there is text on the page"
    ink, paper = (tab.evaluate(f"getComputedStyle(document.body).{key}") for key in ("color", "backgroundColor"))
    assert ink != paper
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_page_fits_a_phone(files: dict[str, Path], tab: Page) -> None:
    tab.set_viewport_size({"width": 375, "height": 812})
    for file in files.values():
        tab.goto(file.as_uri())
        assert tab.evaluate("document.documentElement.scrollWidth") == 375


def test_table_is_sorted_by_keyboard(files: dict[str, Path], tab: Page) -> None:
    tab.goto(files["failures"].as_uri())
    titles = tab.evaluate(f"{HEADS}.map(head => head.textContent)")
    column = titles.index("s/run")
    before = tab.evaluate(ROWS.format(column))
    for key, state, order in (("Enter", "ascending", 1), ("Space", "descending", -1)):
        tab.evaluate(f"{HEADS}[{column}].querySelector('button').focus()")
        tab.keyboard.press(key)
        assert tab.evaluate(f"{HEADS}.map(head => head.getAttribute('aria-sort'))")[column] == state
        numbers = [float(cell) for cell in tab.evaluate(ROWS.format(column)) if cell != "–"]
        assert numbers == sorted(numbers, reverse=order < 0)
        assert tab.evaluate(ROWS.format(column))[-1] == "–", "cells without a value are last"
    assert sorted(before) == sorted(tab.evaluate(ROWS.format(column)))
    rank = tab.evaluate(f"{HEADS}[0].querySelector('button').click(); {ROWS.format(0)}")
    assert rank == ["1", "2", "3", "4", "5"]


def test_page_is_complete_without_scripts(files: dict[str, Path], chromium: Browser) -> None:
    with chromium.new_page(java_script_enabled=False) as plain:
        plain.goto(files["failures"].as_uri())
        assert plain.locator("thead th").first.is_visible()
        assert plain.locator("thead button").count() == 0
        assert plain.locator("tbody").first.locator("tr").count() == 5


def test_print_shows_what_is_closed_on_the_screen(files: dict[str, Path], tab: Page) -> None:
    tab.emulate_media(media="print")
    tab.goto(files["many"].as_uri())
    closed = "[...document.querySelectorAll('details:not([open]) tbody')]"
    assert tab.evaluate(f"{closed}.length") > 5
    assert tab.evaluate(f"{closed}.every(body => body.getBoundingClientRect().height > 20)")
    assert tab.pdf().startswith(b"%PDF")


def test_picture_of_the_docs(files: dict[str, Path], tab: Page) -> None:
    """The first screen has the verdict, the facts and the ranking."""
    tab.goto(files["factors"].as_uri())
    places = [
        tab.evaluate(f"document.querySelector('{selector}').getBoundingClientRect().bottom")
        for selector in ("#verdict", ".facts", "#ranking table")
    ]
    assert places == sorted(places)
    assert places[-1] < 1000
    if folder := os.environ.get("HARNESS_PICTURES"):
        picture = tab.screenshot(full_page=True, clip={"x": 0, "y": 0, "width": 1100, "height": 1480})
        image = PIL.Image.open(io.BytesIO(picture)).convert("RGB")
        image.quantize(192, dither=PIL.Image.Dither.NONE).save(Path(folder) / "report.png", optimize=True)
