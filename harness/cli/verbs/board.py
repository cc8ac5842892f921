"""Open TensorBoard on a study or a run; other options are passed to TensorBoard (--port 6007)."""

from __future__ import annotations

import argparse
import sys

from harness.results.study import OUTPUTS, study_folder
from harness.system.platforms import replace_process
from harness.system.safe_files import refuse_special


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("study", metavar="STUDY", nargs="?", default=OUTPUTS)
    parser.set_defaults(unknown_words=[])


def run(args: argparse.Namespace) -> int:
    folder = study_folder(args.study)
    refuse_special(folder)
    options = ["--logdir", str(folder), "--window_title", f"harness {args.study}", *args.unknown_words]
    replace_process([sys.executable, "-P", "-m", "harness.cli.tensorboard", *options])
