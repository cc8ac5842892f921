"""A real browser for tests: Chromium without a window, driven by its DevTools protocol."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
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


class Page:
    """One tab."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket, self._count = socket, 0

    async def call(self, method: str, **params: Any) -> Any:
        """Call a method of the protocol; return its result."""
        self._count += 1
        await self._socket.send_json({"id": self._count, "method": method, "params": params})
        while True:
            answer = await self._socket.receive_json()
            if answer.get("id") == self._count:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]

    async def go(self, url: str) -> None:
        """Open an address. A change after # alone does not load the page anew."""
        await self.call("Page.navigate", url="about:blank")
        await self.call("Page.navigate", url=url)

    async def js(self, expression: str) -> Any:
        """Return the value of an expression in the page."""
        made = await self.call("Runtime.evaluate", expression=DEEP + expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in made:
            raise RuntimeError(json.dumps(made["exceptionDetails"])[:500])
        return made["result"].get("value")

    async def until(self, expression: str, seconds: float = 60) -> Any:
        """Return the value of an expression once it is true. Raises TimeoutError with the text of the page."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with suppress(RuntimeError):  # the page is still loading
                if value := await self.js(expression):
                    return value
            await asyncio.sleep(0.25)
        raise TimeoutError(f"never true: {expression}; the page says {(await self.js('words()'))[:2000]!r}")

    async def picture(self, path: Path, **clip: int) -> None:
        """Return a PNG of the window, or of a part of it: x, y, width, height."""
        part = {"clip": {**clip, "scale": 1}} if clip else {}
        made = await self.call("Page.captureScreenshot", format="png", **part)
        path.write_bytes(base64.b64decode(made["data"]))


@asynccontextmanager
async def page(folder: Path, width: int = 1280, height: int = 800) -> AsyncIterator[Page]:
    """Open a tab of a browser that keeps its files in a folder."""
    program = find()
    assert program is not None
    flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--remote-debugging-port=0",
             "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--no-first-run",
             f"--user-data-dir={folder}", f"--window-size={width},{height}"]  # fmt: skip
    with (folder / "log").open("wb") as log:
        browser = subprocess.Popen([program, *flags, "about:blank"], stdout=log, stderr=log, env=os.environ)
    try:
        async with aiohttp.ClientSession() as session:
            port = await _port(folder / "DevToolsActivePort")
            async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                tab = next(t for t in await answer.json() if t["type"] == "page")
            async with session.ws_connect(tab["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                made = Page(socket)
                await made.call("Page.enable")
                size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
                await made.call("Emulation.setDeviceMetricsOverride", **size)
                yield made
    finally:
        browser.terminate()
        browser.wait(30)


async def _port(file: Path, seconds: float = 60) -> int:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with suppress(OSError, ValueError, IndexError):
            return int(file.read_text().splitlines()[0])
        await asyncio.sleep(0.1)
    raise TimeoutError("the browser did not start")
