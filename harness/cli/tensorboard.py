"""Start TensorBoard for `harness board`: quiet, and with a table of hyperparameters that compares runs.

The documentation of TensorBoard's own main module allows to replace it like this.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable

SPLITS = ("val", "test", "")  # order of the metrics in the table; the training loss comes last


def compared(tags: Iterable[str]) -> list[str]:
    """Return the scalars to compare runs by, the most important first; a table of all scalars would be unreadable.

    >>> compared(["gradient_norm/layers.0", "margin", "test/loss", "train/loss", "train/lr", "val/loss"])
    ['val/loss', 'test/loss', 'margin', 'train/loss']
    """
    ranks = {tag: SPLITS.index(tag.rpartition("/")[0]) for tag in tags if tag.rpartition("/")[0] in SPLITS}
    chosen = sorted(ranks, key=lambda tag: (ranks[tag], tag))
    return [*chosen, *(tag for tag in tags if tag == "train/loss")]


def main(options: list[str]) -> int:
    """Serve TensorBoard until it is interrupted.

    Args:
        options: Command-line options of TensorBoard.
    """
    warnings.simplefilter("ignore")  # warnings of TensorBoard's dependencies
    import absl.logging
    import tensorboard.program  # `from tensorboard import program` returns a proxy, which ignores assignments
    from tensorboard.plugins.base_plugin import FlagsError

    from harness._compat.tensorboard import plugins, silence_loader

    absl.logging.set_verbosity(absl.logging.WARNING)
    silence_loader()
    board = tensorboard.program.TensorBoard(plugins(compared))
    try:
        board.configure(["tensorboard", *options])
        return int(board.main())
    except FlagsError as error:
        print(f"harness: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
