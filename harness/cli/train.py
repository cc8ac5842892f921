"""A line that is Hydra's: a run, a sweep, or one of the questions that Hydra answers."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from harness import app
from harness.errors import HarnessError


def hydra_line(line: list[str]) -> int:
    """Answers a line of Hydra flags and overrides."""
    from hydra._internal.utils import get_args_parser

    parser = get_args_parser()
    parser.error = _refuse  # type: ignore[method-assign]
    args = parser.parse_args(line)
    if args.config_name or args.config_path or args.experimental_rerun:
        raise HarnessError("harness has one config; search a folder of your own with --config-dir FOLDER")
    if args.shell_completion:
        return _complete(args)
    if args.help or args.hydra_help or args.cfg or args.info or args.resolve:
        return _ask(args, parser)
    if args.multirun:
        return _sweep(args.overrides, args.config_dir)
    return _run(args.overrides, args.config_dir)


def _refuse(message: str) -> Any:
    raise HarnessError(message)


def _ask(args: Any, parser: argparse.ArgumentParser) -> int:
    from harness.overrides import parse

    parse(args.overrides)
    overrides = app.with_config_dir(args.overrides, args.config_dir)
    with app.hydra_session() as hydra:
        if args.help:
            args.overrides = overrides
            hydra.app_help(config_name=app.CONFIG, args_parser=parser, args=args)
        elif args.hydra_help:
            hydra.hydra_help(config_name=app.CONFIG, args_parser=parser, args=args)
        elif args.cfg:
            hydra.show_cfg(app.CONFIG, overrides, args.cfg, package=args.package, resolve=args.resolve)
        elif args.info:
            hydra.show_info(args.info, app.CONFIG, overrides)
        else:
            raise HarnessError("--resolve goes with --cfg job")
    return 0


def _complete(args: Any) -> int:
    from harness.cli.completion import query

    if args.overrides == ["query=bash"]:
        print(" ".join(query()))
        return 0
    with app.hydra_session() as hydra:
        hydra.shell_completion(config_name=app.CONFIG, overrides=args.overrides)
    return 0


def _run(overrides: list[str], config_dir: str | None) -> int:
    job = app.compose(overrides, config_dir)
    from harness.cli.progress import RunProgress
    from harness.report.summary import run_summary
    from harness.runner import train

    with RunProgress(job.settings.epochs) as progress:
        record = train(job, progress.epoch)
    print(run_summary(record))
    return 1 if record.status == "failed" else 0


def _sweep(overrides: list[str], config_dir: str | None) -> int:
    from harness.cli.progress import SweepProgress

    progress = SweepProgress()
    with progress:
        app.multirun(overrides, config_dir)
    from harness.report.summary import sweep_summary

    print(sweep_summary(progress.records))
    sys.stdout.flush()
    return 1 if any(record.status == "failed" for record in progress.records) else 0
