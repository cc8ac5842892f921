"""Create a plugin package that works as it is.

It has one component of each requested kind, tests, a README and a CI workflow. It can be installed and passes its tests
as it is; put your own formulas into it.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from harness.cli.scaffold import LICENCES, Plugin, refuse_name, refuse_taken, refuse_target, render, use, write
from harness.registry.kinds import KINDS
from harness.system.errors import HarnessError, suggest


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="name of the package and its components, with or without harness-")
    parser.add_argument(
        "--kind", action="append", default=[], metavar="KIND", help="kind of a component; repeat for more (activation)"
    )
    parser.add_argument("--licence", default=LICENCES[0], metavar="L", help=f"{', '.join(LICENCES)} ({LICENCES[0]})")
    parser.add_argument("--json", action="store_true", help="print what was written as JSON")
    parser.add_argument("--dir", default=".", metavar="D", help="folder to create NAME/ in (the working folder)")


def run(args: argparse.Namespace) -> int:
    from harness.registry import catalogue

    for kind in args.kind:
        if kind not in KINDS:
            raise HarnessError(f"--kind: no kind {kind!r}.{suggest(kind, KINDS)}")
    if args.licence not in LICENCES:
        raise HarnessError(f"--licence: no licence {args.licence!r}.{suggest(args.licence, LICENCES)}")
    plugin = Plugin(args.name, tuple(dict.fromkeys(args.kind or ["activation"])), args.licence)
    target = Path(args.dir).expanduser() / plugin.distribution
    refuse_name(plugin)
    refuse_target(target)
    refuse_taken(plugin, catalogue.current())
    files = render(plugin)
    write(files, target)
    path = str(target) if target.is_absolute() else f"./{target}"
    steps = [
        f"pip install --editable {path}",
        f"harness check {plugin.distribution}",
        use(plugin, plugin.kinds[0]),
    ]
    if args.json:
        print(json.dumps({"folder": str(target), "files": list(files), "next": steps}, indent=1))
        return 0
    print(f"wrote {target}/")
    print("\n".join(f"  {name}" for name in files))
    print("\nNext steps:")
    for command in steps:
        print(f"  {command}")
    return 0
