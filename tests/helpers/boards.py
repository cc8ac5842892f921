"""TensorBoard's server, started as a user starts it, and the requests of its pages."""

from __future__ import annotations

import json
import re
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.helpers.commands import HARNESS, environment

STATUSES = ["STATUS_UNKNOWN", "STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_RUNNING"]


class Board:
    """A server that has read its runs."""

    def __init__(self, url: str) -> None:
        self.url = url

    def get(self, route: str, **query: Any) -> Any:
        """Return an answer of the server to a path, as `scalars/scalars`."""
        with urllib.request.urlopen(f"{self.url}data/{route}?{urllib.parse.urlencode(query)}", timeout=60) as answer:
            content = answer.read()
            return json.loads(content) if "json" in answer.headers["Content-Type"] else content

    def plugin(self, route: str, **query: Any) -> Any:
        """Return an answer of a plugin."""
        return self.get(f"plugin/{route}", **query)

    def post(self, route: str, **body: Any) -> Any:
        """Return an answer of a plugin that is asked in JSON."""
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.url}data/plugin/{route}", json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read())

    def table(self) -> dict[str, dict[str, Any]]:
        """Return the table of hyperparameters: {run: {settings, metrics, status}}."""
        answer = self.post(
            "hparams/session_groups", startIndex=0, sliceSize=1000, allowedStatuses=STATUSES, colParams=[]
        )
        return {
            group["name"]: {
                "settings": group["hparams"],
                "metrics": {m["name"]["tag"]: m["value"] for m in group.get("metricValues", [])},
                "status": group["sessions"][0]["status"],
            }
            for group in answer["sessionGroups"]
        }


@contextmanager
def serving(folder: Path, runs: int, *options: str, seconds: float = 120) -> Iterator[Board]:
    """Serve outputs/STUDY by `harness board STUDY`, once it has read so many runs."""
    address_file = folder.parent / f"{folder.name}{''.join(options)}.board"
    command = [HARNESS, "board", folder.name, "--port", "0", *options]
    with address_file.open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, env=environment(), cwd=folder.parents[1])
    try:
        end = time.monotonic() + seconds
        while time.monotonic() < end and server.poll() is None:
            url = re.search(r"http://\S+", address_file.read_text())
            with suppress(urllib.error.URLError, TimeoutError):
                if url and len((board := Board(url[0])).get("runs")) >= runs:
                    yield board
                    break
            time.sleep(0.1)
        else:
            raise TimeoutError(f"no board with {runs} runs: {address_file.read_text()}")
    finally:
        server.terminate()
        server.wait(30)
