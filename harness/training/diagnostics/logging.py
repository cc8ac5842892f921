"""Write the values of diagnostics to loggers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.modeling.diagnostic import Embedding, Histogram, Image, PrCurve, Text


def to_logger(logger: Any, values: Mapping[str, Any], step: int) -> None:
    """Write values to a logger.

    Numbers go to `log_metrics`. Other values go to the method for their type, if the logger has it: `log_image(key,
    images, step)` as in Lightning's loggers, `log_histogram(key, counts, edges, step)`, `log_text(key, text, step)`,
    `log_embedding(key, vectors, labels, images, step)`, `log_pr_curve(key, scores, truths, step)`.

    Args:
        logger: A Lightning logger.
        values: The values by tag.
        step: Optimizer steps so far.
    """
    numbers = {tag: value for tag, value in values.items() if isinstance(value, float)}
    if numbers:
        logger.log_metrics(numbers, step=step)
    for tag, value in values.items():
        match value:
            case Histogram(counts, edges):
                _log(logger, "log_histogram", tag, counts, edges, step=step)
            case Image(pixels):
                _log(logger, "log_image", tag, [pixels], step=step)
            case Text(markdown):
                _log(logger, "log_text", tag, markdown, step=step)
            case Embedding(vectors, labels, images):
                _log(logger, "log_embedding", tag, vectors, labels, images, step=step)
            case PrCurve(scores, truths):
                _log(logger, "log_pr_curve", tag, scores, truths, step=step)


def _log(logger: Any, method: str, tag: str, *values: Any, step: int) -> None:
    if hasattr(logger, method):
        getattr(logger, method)(tag, *values, step=step)
