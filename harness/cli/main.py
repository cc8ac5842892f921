"""Which of the command line's doors a line goes through, and how it ends."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from harness.errors import HarnessError, plain_errors, suggest
from harness.escape import lines, printable
from harness.processes import safe_path
from harness.signals import Terminated, terminable

DONE, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130


def main(argv: Sequence[str] | None = None) -> None:
    """The `harness` command. Exits with 0 done, 1 a run or the machine failed, 2 bad input, 130 interrupted, 143 ended
    by SIGTERM.
    """
    line = list(sys.argv[1:] if argv is None else argv)
    asked = os.environ.get("HYDRA_FULL_ERROR")
    traces = asked == "1"
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises, and what it raises is told here
    warnings.showwarning = _warning
    try:
        with terminable(), plain_errors(), safe_path():
            sys.exit(dispatch(line))
    except HarnessError as error:
        if traces:
            raise
        print(f"harness: error: {lines(error)}", file=sys.stderr)
        sys.exit(FAILED if error.begun else BAD_INPUT)
    except KeyboardInterrupt as error:
        if traces:
            raise
        if isinstance(error, Terminated):
            print(f"harness: {error}", file=sys.stderr)
            sys.exit(128 + error.number)
        print("harness: interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # the reader of a pipe (`| head`) has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(DONE)
    finally:
        if asked is None:
            del os.environ["HYDRA_FULL_ERROR"]
        else:
            os.environ["HYDRA_FULL_ERROR"] = asked


def dispatch(line: list[str]) -> int:
    """A verb if the first word holds no `=` and starts with none of `-+~`; otherwise the line is Hydra's."""
    if line[:1] == ["help"]:
        line = [*line[1:2], "--help", *line[2:]]  # `harness help report` is `harness report --help`
    if line and line[0] and "=" not in line[0] and line[0][0] not in "-+~":
        from harness.cli.verbs import VERBS

        verb = VERBS.get(line[0])
        if verb is None:
            raise HarnessError(f"no command {line[0]!r}.{suggest(line[0], VERBS)} {_meant(line[0])}")
        return _call(verb, line[1:])
    from harness.cli.train import hydra_line

    return hydra_line(line)


def _meant(word: str) -> str:
    """Return how a word is written that is no verb: a component's choice, or an override in general."""
    from harness import catalogue
    from harness.kinds import KINDS

    if word in KINDS:
        return f"Choose one with {word}=NAME; harness list {word} shows them."
    kinds = [entry["kind"] for entry in catalogue.current() if entry["name"] == word]
    if kinds:
        kind = kinds[0]
        return f"Choose it with '{kind}=[{word}]'." if KINDS[kind].many else f"Choose it with {kind}={word}."
    return "An override is KEY=VALUE."


def _call(verb: Callable[[list[str]], int], words: list[str]) -> int:
    try:
        return verb(words)
    except SystemExit as stop:  # argparse has printed its help (0) or its error (2)
        return int(stop.code or 0)


def _warning(message: Warning | str, *where: Any, **more: Any) -> None:
    text = " ".join(str(message).split())
    print(f"harness: warning: {printable(text)}", file=sys.stderr)
