"""Print the JSON Schema of the config, for editors and programs."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from harness.system.errors import HarnessError


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--to", metavar="FILE", help="write it to a file; it is replaced if it exists")


def run(args: argparse.Namespace) -> int:
    from harness.config.json_schema import config_schema
    from harness.registry import catalogue
    from harness.system.safe_files import write_file

    text = json.dumps(config_schema(catalogue.current()), indent=1) + "\n"
    if args.to is None:
        sys.stdout.write(text)
        return 0
    try:
        write_file(Path(args.to), text.encode())
    except OSError as error:
        raise HarnessError(f"cannot write {args.to}: {error.strerror or error}") from error
    print(f"written to {args.to}")
    return 0
