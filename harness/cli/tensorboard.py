"""TensorBoard as `harness board` starts it: quiet, and with a table of hyperparameters that compares runs.

TensorBoard's own main module says that it may be swapped out like this.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable

SPLITS = ("val", "test", "")  # whose metrics the table shows, in this order, and then the training loss


def compared(tags: Iterable[str]) -> list[str]:
    """The scalars that tell how good a run is, the first ones first; a table of all of them could not be read.

    >>> compared(["gradient_norm/layers.0", "margin", "test/loss", "train/loss", "train/lr", "val/loss"])
    ['val/loss', 'test/loss', 'margin', 'train/loss']
    """
    ranks = {tag: SPLITS.index(tag.rpartition("/")[0]) for tag in tags if tag.rpartition("/")[0] in SPLITS}
    chosen = sorted(ranks, key=lambda tag: (ranks[tag], tag))
    return [*chosen, *(tag for tag in tags if tag == "train/loss")]


def main(options: list[str]) -> int:
    """Serves until it is interrupted; options as TensorBoard takes them."""
    warnings.simplefilter("ignore")  # of TensorBoard's dependencies
    import absl.logging
    import tensorboard.program  # from tensorboard it is a proxy, which keeps what it is given to itself
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
