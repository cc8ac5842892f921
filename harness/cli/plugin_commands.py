"""Run commands of plugins. The plugin is imported when its command is run."""

from __future__ import annotations

from collections.abc import Sequence

from harness.cli.parser import parse
from harness.config.error_messages import plain_errors
from harness.registry.registry import REGISTRY
from harness.results.machine_faults import machine_fault
from harness.system.errors import HarnessError, one_line


def run_command(name: str, words: Sequence[str]) -> int:
    """Run a plugin's command with the words that follow its name, and return its exit status.

    Raises:
        HarnessError: If the words are not valid, the plugin cannot be loaded, or the command fails.
        SystemExit: After its help was printed.
    """
    command = REGISTRY.command(name)
    args = parse(command, words)
    try:
        with plain_errors():
            status = command.function(args)
        if type(status) is not int:
            raise TypeError(f"its function must return an exit status (0: done), got {status!r}")
        return status
    except (HarnessError, BrokenPipeError):
        raise
    except (Exception, SystemExit) as error:  # a bug of the plugin
        if isinstance(error, Exception) and machine_fault(error):
            raise
        failed = HarnessError(f"command {name!r} failed: {one_line(error)} (HYDRA_FULL_ERROR=1 shows where)")
        failed.begun = True
        raise failed from error
