"""A real browser for tests: the system's Chromium without a window, driven by Playwright."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = ("--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")
# Web components keep their content in shadow roots, and the projector in a frame: these search both.
DEEP = """
function all(selector, root = document) {
  const found = [...root.querySelectorAll(selector)];
  for (const e of root.querySelectorAll('*')) {
    const inner = e.shadowRoot || (e.tagName === 'IFRAME' && e.contentDocument);
    if (inner) found.push(...all(selector, inner));
  }
  return found;
}
function words(root = document.body) {
  let text = '';
  for (const n of root.childNodes) {
    if (n.nodeType === 3) text += n.textContent + ' ';
    else if (n.nodeType === 1 && !['STYLE', 'SCRIPT', 'TEMPLATE', 'DOM-MODULE'].includes(n.tagName)) {
      if (n.shadowRoot) text += words(n.shadowRoot);
      if (n.tagName === 'IFRAME' && n.contentDocument) text += words(n.contentDocument.body);
      text += words(n);
    }
  }
  return text;
}
"""


def find() -> str | None:
    """Return the browser's program, if one is installed."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


@contextmanager
def page(width: int = 1280, height: int = 800) -> Iterator[Page]:
    """Open a tab, whose scripts have the functions above."""
    with sync_playwright() as driver, driver.chromium.launch(executable_path=find(), args=FLAGS) as browser:
        tab = browser.new_page(viewport={"width": width, "height": height})
        tab.add_init_script(f"{DEEP}; Object.assign(globalThis, {{ all, words }})")
        yield tab


def until(tab: Page, expression: str, seconds: float = 60) -> None:
    """Wait until an expression is true; one that fails, since the page is being made, is not."""
    guarded = f"() => {{ try {{ return {expression} }} catch {{ return false }} }}"
    tab.wait_for_function(guarded, timeout=seconds * 1000, polling=250)
