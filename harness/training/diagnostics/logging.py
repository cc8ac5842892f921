"""What diagnostics found, handed to the loggers that take it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.modeling.diagnostic import Embedding, Histogram, Image, PrCurve, Text


def to_logger(logger: Any, found: Mapping[str, Any], step: int) -> None:
    """Numbers go to `log_metrics`; what is none to the method for it, where the logger has one: `log_image(key,
    images, step)` as Lightning's own do, `log_histogram(key, counts, edges, step)`, `log_text(key, text, step)`,
    `log_embedding(key, vectors, labels, images, step)`, `log_pr_curve(key, scores, truths, step)`.
    """
    numbers = {tag: value for tag, value in found.items() if isinstance(value, float)}
    if numbers:
        logger.log_metrics(numbers, step=step)
    for tag, value in found.items():
        match value:
            case Histogram(counts, edges):
                _hand(logger, "log_histogram", tag, counts, edges, step=step)
            case Image(pixels):
                _hand(logger, "log_image", tag, [pixels], step=step)
            case Text(markdown):
                _hand(logger, "log_text", tag, markdown, step=step)
            case Embedding(vectors, labels, images):
                _hand(logger, "log_embedding", tag, vectors, labels, images, step=step)
            case PrCurve(scores, truths):
                _hand(logger, "log_pr_curve", tag, scores, truths, step=step)


def _hand(logger: Any, method: str, tag: str, *values: Any, step: int) -> None:
    if hasattr(logger, method):
        getattr(logger, method)(tag, *values, step=step)
