"""TensorBoard: seen on tensorboard 2.21. It documents how to start it, and none of its Python modules."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import tensorboard.program
from tensorboard import default
from tensorboard.plugins.hparams import api_pb2, backend_context, hparams_plugin


def silence_loader() -> None:
    """Keep TensorBoard from printing how its data loader is switched off.

    Sets `tensorboard.program._DATA_SERVER_ADVISORY_MESSAGE`, seen on tensorboard 2.21. Without it, the note is printed.
    """
    tensorboard.program._DATA_SERVER_ADVISORY_MESSAGE = ""


def plugins(chosen: Callable[[Iterable[str]], list[str]]) -> list[Any]:
    """Return TensorBoard's plugins, with the metrics that the table of hyperparameters shows, in their order.

    On its own, the table shows the first five of all scalars by the alphabet. Overrides
    `Context._compute_metric_infos_from_runs` of `tensorboard.plugins.hparams.backend_context` and sets
    `HParamsPlugin._context`, seen on tensorboard 2.21. Without them, the table shows TensorBoard's choice.

    Args:
        chosen: Returns the tags to show of all tags of scalars, in the order of the columns.
    """

    class Context(backend_context.Context):
        def _compute_metric_infos_from_runs(self, *args: Any) -> list[Any]:
            infos = {info.name.tag: info for info in super()._compute_metric_infos_from_runs(*args)}
            ordered: list[api_pb2.MetricInfo] = [infos[tag] for tag in chosen(infos)]
            return ordered

    class Hyperparameters(hparams_plugin.HParamsPlugin):
        def __init__(self, context: Any) -> None:
            super().__init__(context)
            self._context = Context(context)

    return [Hyperparameters if p is hparams_plugin.HParamsPlugin else p for p in default.get_plugins()]
