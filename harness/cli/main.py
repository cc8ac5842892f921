"""The entry point `harness`: dispatch the command line, and turn errors into exit statuses."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence
from typing import Any

from harness.config.error_messages import plain_errors
from harness.registry.command import built_in_names
from harness.system.errors import HarnessError, suggest
from harness.system.escape import lines, printable
from harness.system.garbage import keep_all
from harness.system.process_id import safe_path
from harness.system.signals import Terminated, terminable

DONE, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130


def main(argv: Sequence[str] | None = None) -> None:
    """Run the `harness` command.

    The exit status is 0: done; 1: a run or the machine failed; 2: bad input; 130: interrupted; 143: ended by SIGTERM.

    Args:
        argv: Words of the command line; None for those of the process.
    """
    line = list(sys.argv[1:] if argv is None else argv)
    full_error = os.environ.get("HYDRA_FULL_ERROR")
    traces = full_error == "1"
    os.environ["HYDRA_FULL_ERROR"] = "1"  # let Hydra raise its errors, which are printed here
    warnings.showwarning = _warning
    if argv is None:  # the process is the command, and not a caller of this function
        keep_all()
    try:
        with terminable(), plain_errors(), safe_path():
            sys.exit(dispatch(line))
    except HarnessError as error:
        if traces:
            raise
        print(f"harness: error: {lines(error)}", file=sys.stderr)
        sys.exit(FAILED if error.begun or _machine_fault(error) else BAD_INPUT)
    except KeyboardInterrupt as error:
        if traces:
            raise
        if isinstance(error, Terminated):
            print(f"harness: {error}", file=sys.stderr)
            sys.exit(128 + error.number)
        print("harness: interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # the reader of a pipe (`| head`) has ended
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(DONE)
    except OSError as error:
        if traces or not (fault := _machine_fault(error)):
            raise
        print(f"harness: error: {lines(fault)}", file=sys.stderr)
        sys.exit(FAILED)
    finally:
        if full_error is None:
            del os.environ["HYDRA_FULL_ERROR"]
        else:
            os.environ["HYDRA_FULL_ERROR"] = full_error


def _machine_fault(error: Exception) -> str | None:
    from harness.results.machine_faults import machine_fault

    return machine_fault(error)


def dispatch(line: list[str]) -> int:
    """Run a command line and return its exit status.

    The first word is a command if it holds no `=` and starts with none of `-+~`; otherwise the line is Hydra's.
    """
    if line[:1] == ["help"]:
        line = [*line[1:2], "--help", *line[2:]]  # `harness help report` is `harness report --help`
    if line and line[0] and "=" not in line[0] and line[0][0] not in "-+~":
        try:
            return _command(line)
        except SystemExit as stop:  # argparse has printed the help of the command
            return int(stop.code or 0)
    from harness.cli.train import hydra_line

    return hydra_line(line)


def _command(line: list[str]) -> int:
    name, *words = line
    if name in built_in_names():
        from harness.cli.parser import parse
        from harness.cli.verbs import built_in

        command = built_in(name)
        return command.function(parse(command, words))
    from harness.registry import catalogue

    known = catalogue.current()
    if name in known.commands:
        from harness.cli.plugin_commands import run_command

        return run_command(name, words)
    if why := known.left_out("command", name):
        raise HarnessError(why)
    hint = _suggestion(line) or f"{suggest(name, [*built_in_names(), *known.commands])} An override is KEY=VALUE."
    raise HarnessError(f"no command {name!r}.{hint}{known.missing()}")


_TRAIN = ("fit", "launch", "multirun", "run", "start", "sweep", "train", "tune")  # verbs of other tools
_INSTEAD = {"components": "harness list", "config": "harness --cfg job", "help": "harness --help",
            "rerun": "harness rerun=true", "resume": "harness resume=true", "tensorboard": "harness board",
            "predict": "harness.predict(RUN, x) in Python", "validate": "harness eval RUN",
            "test": "harness check for components, harness eval RUN for a run",
            "version": "harness --version"}  # fmt: skip


def _suggestion(line: list[str]) -> str:
    """Return what to type for a line that begins with a choice, a key or a verb of another tool; else ""."""
    from harness.config.foreign_words import is_key, suggest_key
    from harness.registry import catalogue
    from harness.registry.kinds import KINDS

    word, rest = line[0], line[1:]
    if word in _TRAIN:
        words = [*(["-m"] if word in ("multirun", "sweep", "tune") else []), *rest]
        return f" A run needs no command: {' '.join(['harness', *(words or ['[KEY=VALUE ...]'])])}"
    if word.endswith(".py"):  # src/train.py, src/eval.py
        return f" There is no script: {' '.join(['harness', *(['eval RUN'] if 'eval' in word else []), *rest])}"
    if word in _INSTEAD:
        return f" Write {_INSTEAD[word]}."
    if word in KINDS:
        return f" Choose one with {word}=NAME; harness list {word} shows them."
    kinds = [entry["kind"] for entry in catalogue.current() if entry["name"] == word]
    if kinds:
        kind = kinds[0]
        return f" Choose it with '{kind}=[{word}]'." if KINDS[kind].many else f" Choose it with {kind}={word}."
    key, *values = [*word.replace(":", " ").split(), *rest]
    if is_key(key):
        value = next((value for value in values if value != "="), "VALUE").removeprefix("=")
        return f" Write {key}={value}, without a space."
    hint = suggest_key(key)
    return f" {hint}" if hint else ""


def _warning(message: Warning | str, *where: Any, **more: Any) -> None:
    text = " ".join(str(message).split())
    print(f"harness: warning: {printable(text)}", file=sys.stderr)
