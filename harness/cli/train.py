"""Run a line of Hydra flags and overrides: a run, a sweep, or a question that Hydra answers."""

from __future__ import annotations

import argparse
import shutil
import sys
from contextlib import suppress
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from harness.analysis.report.findings import print_findings
from harness.config import composition
from harness.config.validation import MissingSetting
from harness.execution import hydra_app
from harness.registry import hydra_keys
from harness.system.distribution import DISTRIBUTION
from harness.system.errors import CannotWrite, HarnessError, nearest_flag, suggest
from harness.system.garbage import uncollected
from harness.system.spinner import Spinner

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from harness.cli.live.progress import SweepProgress
    from harness.config.job import Job
    from harness.results.record import Record


REFUSED = ("--config-name", "--config-path", "--experimental-rerun")  # flags of Hydra


def hydra_line(line: list[str]) -> int:
    """Run a line of Hydra flags and overrides, and return the exit status."""
    from harness._compat.hydra import arguments_parser

    parser = arguments_parser()
    parser.allow_abbrev = False

    def refuse(message: str) -> Any:
        raise HarnessError(f"{message}.{nearest_flag(message, parser)}")

    parser.error = refuse  # type: ignore[method-assign]
    if "--version" in line:
        print(f"harness {version(DISTRIBUTION)}")
        return 0
    args = parser.parse_intermixed_args(line)  # a flag may stand anywhere
    if args.run and args.multirun:
        raise HarnessError("--run and --multirun exclude each other")
    if any(getattr(args, flag.removeprefix("--").replace("-", "_")) for flag in REFUSED):
        raise HarnessError("harness has one config; add a folder of your own with --config-dir FOLDER")
    if args.shell_completion:
        return _complete(args)
    if args.help or args.hydra_help or args.cfg or args.info or args.resolve:
        return _answer(args, parser)
    if args.multirun:
        return _sweep(args.overrides, args.config_dir)
    try:
        return _run(args.overrides, args.config_dir)
    except composition.SweepDeclared:
        return _sweep(args.overrides, args.config_dir)


def _answer(args: Any, parser: argparse.ArgumentParser) -> int:
    from harness.config.override_text import as_typed
    from harness.config.overrides import parse, take_added, take_zip
    from harness.config.quoting import quoted

    args.overrides = quoted(args.overrides)
    if args.multirun:
        words, added = take_added(args.overrides)
        words, zips = take_zip(words)
        if zips or added or any(override.is_sweep_override() for override in parse(words, sweep=True)):
            shows = "--cfg, --info and --help show one run, not a sweep"
            raise HarnessError(f"{shows}: leave out -m, and give each key one value")
    hydra_keys.check_words(parse(args.overrides), sweep=True)
    if args.help:
        from harness.cli.help import text

        print(text(args.overrides, args.config_dir))
        return 0
    overrides = composition.with_config_dir(args.overrides, args.config_dir)
    with composition.hydra_session() as hydra:
        if args.hydra_help:
            hydra.hydra_help(config_name=composition.CONFIG, args_parser=parser, args=args)
            return 0
        if not args.cfg and not args.info:
            raise HarnessError("--resolve needs --cfg job")
        config = composition.compose_unchecked(hydra, overrides)
        with suppress(MissingSetting):  # a missing value is shown as ???
            composition.job_from_hydra(config, overrides)
        overrides = as_typed(parse(overrides), config)
        if args.cfg:
            _check_package(config, args.package)
            hydra.show_cfg(composition.CONFIG, overrides, args.cfg, package=args.package, resolve=args.resolve)
        else:
            hydra.show_info(args.info, composition.CONFIG, overrides)
    return 0


def _check_package(config: DictConfig, package: str | None) -> None:
    """Refuse a package that the config does not have; Hydra itself would print a message and exit."""
    from omegaconf import OmegaConf

    if package not in (None, "_global_") and OmegaConf.select(config, package) is None:
        raise HarnessError(f"--package: the config has no {package!r}.{suggest(package, config)}")


def _complete(args: Any) -> int:
    from harness.cli import completion

    if args.overrides == ["query=bash"]:
        print("\n".join(completion.query()))
        return 0
    action = args.overrides[0] if len(args.overrides) == 1 else ""
    if action not in completion.SCRIPTS:
        got = f", got {' '.join(args.overrides)}" if args.overrides else ""
        raise HarnessError(f"--shell-completion takes one of {', '.join(completion.SCRIPTS)}{got}")
    print(completion.SCRIPTS[action])
    return 0


def _run(overrides: list[str], config_dir: str | None) -> int:
    from harness.execution import known_runs

    job = composition.compose(overrides, config_dir)
    question = known_runs.question([job], in_sweep=False)
    (record,) = known_runs.recall(question, [job]) or [_train(job, question)]

    from harness.analysis.report.summary import run_summary
    from harness.results.machine_faults import MachineFault, blames_machine, machine_line

    print(run_summary(record))
    if blames_machine(record):
        raise MachineFault(machine_line(record))
    print_findings([record])
    return 1 if record.status == "failed" else 0


def _train(job: Job, question: str | None) -> Record:
    from harness.datasets.description import check_data

    check_data(job.values)  # before torch is imported
    with Spinner("loading torch and Lightning"), uncollected():
        from harness.cli.live.progress import RunProgress
        from harness.execution.train import train

    with RunProgress(job.settings.epochs) as progress:
        return train(job, [progress], question=question)


def _sweep(overrides: list[str], config_dir: str | None) -> int:
    from harness.cli.live.progress import SweepProgress

    progress = SweepProgress()
    try:
        with progress:
            hydra_app.multirun(overrides, config_dir)
    except HarnessError as error:  # some runs could not be started or recorded; the others have ended
        if isinstance(error, CannotWrite):
            error.begun = error.begun or any(not record.cached for record in progress.records)
        if progress.records:
            _summarise(progress)
        raise
    except KeyboardInterrupt:
        if progress.records:
            of = f" of {progress.standing.jobs}" if progress.standing.jobs else ""
            ended = f"{len(progress.records)}{of} runs have ended"
            print(f"harness: {ended}; run the same line again to continue with the rest", file=sys.stderr)
        raise
    _summarise(progress)
    return 1 if any(record.status == "failed" for record in progress.records) else 0


def _summarise(progress: SweepProgress) -> None:
    from harness.analysis.report.summary import sweep_summary

    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    times = progress.standing.elapsed_s, progress.standing.training_s
    print(sweep_summary(progress.records, times, width))
    print_findings(progress.records)
    sys.stdout.flush()
