"""A plugin to begin with: a package that works.

It has one component of each kind asked for, its tests, its README and its CI. It installs and passes its tests as it
is; put your own formulas into it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.cli.scaffold import LICENCES, Plugin, refuse_name, refuse_place, refuse_taken, render, use, write
from harness.registry.kinds import KINDS
from harness.system.errors import HarnessError, suggest


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="of the package and its components; harness-NAME is a package too")
    parser.add_argument(
        "--kind", action="append", default=[], metavar="KIND", help="a kind, more than once for more (activation)"
    )
    parser.add_argument("--licence", default=LICENCES[0], metavar="L", help=f"{', '.join(LICENCES)} ({LICENCES[0]})")
    parser.add_argument("--dir", default=".", metavar="D", help="the folder in which NAME/ is made (this one)")


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
    refuse_place(target)
    refuse_taken(plugin, catalogue.current())
    files = render(plugin)
    write(files, target)
    print(f"wrote {target}/")
    print("\n".join(f"  {name}" for name in files))
    print("\nGo on with:")
    place = str(target) if target.is_absolute() else f"./{target}"
    for command in (
        f"pip install --editable {place}",
        f"harness check {plugin.distribution}",
        use(plugin, plugin.kinds[0]),
    ):
        print(f"  {command}")
    return 0
