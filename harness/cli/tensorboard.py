"""TensorBoard as `harness board` starts it: quiet, and with a table of hyperparameters that compares runs.

TensorBoard's own main module says that it may be swapped out like this.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable
from typing import Any

SPLITS = ("val", "test", "")  # whose metrics the table shows, in this order, and then the training loss


def compared(tags: Iterable[str]) -> list[str]:
    """The scalars that tell how good a run is, the first ones first; a table of all of them could not be read.

    >>> compared(["gradient_norm/layers.0", "margin", "test/loss", "train/loss", "train/lr", "val/loss"])
    ['val/loss', 'test/loss', 'margin', 'train/loss']
    """
    ranks = {tag: SPLITS.index(tag.rpartition("/")[0]) for tag in tags if tag.rpartition("/")[0] in SPLITS}
    chosen = sorted(ranks, key=lambda tag: (ranks[tag], tag))
    return [*chosen, *(tag for tag in tags if tag == "train/loss")]


def plugins() -> list[Any]:
    """TensorBoard's plugins, the one of hyperparameters with our choice of metrics: on its own it shows the first five
    of all scalars by the alphabet, among them each layer's gradient norm.
    """
    from tensorboard import default
    from tensorboard.plugins.hparams import api_pb2, backend_context, hparams_plugin

    class Context(backend_context.Context):
        def _compute_metric_infos_from_runs(self, *given: Any) -> list[Any]:
            found = {info.name.tag: info for info in super()._compute_metric_infos_from_runs(*given)}
            order: list[api_pb2.MetricInfo] = [found[tag] for tag in compared(found)]
            return order

    class Hyperparameters(hparams_plugin.HParamsPlugin):
        def __init__(self, context: Any) -> None:
            super().__init__(context)
            self._context = Context(context)

    return [Hyperparameters if p is hparams_plugin.HParamsPlugin else p for p in default.get_plugins()]


def main(options: list[str]) -> int:
    """Serves until it is interrupted; options as TensorBoard takes them."""
    warnings.simplefilter("ignore")  # of TensorBoard's dependencies
    import absl.logging
    import tensorboard.program  # from tensorboard it is a proxy, which keeps what it is given to itself
    from tensorboard.plugins.base_plugin import FlagsError

    absl.logging.set_verbosity(absl.logging.WARNING)
    tensorboard.program._DATA_SERVER_ADVISORY_MESSAGE = ""  # on how its loader is switched off
    board = tensorboard.program.TensorBoard(plugins())
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
