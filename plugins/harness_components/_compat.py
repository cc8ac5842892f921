"""Private and undocumented APIs of the libraries that the built-in components use."""

from __future__ import annotations


def keep_growing_workers() -> None:
    """Keep loky, in one of its workers, from restarting that worker when its memory grows.

    Otherwise a worker whose second task takes 300 MB more than its first ends, with a warning about a leak. Sets
    `loky.process_executor._USE_PSUTIL`, seen on loky 3.7. Without it, large runs of a sweep start on cold workers.
    """
    from loky import process_executor

    process_executor._USE_PSUTIL = False
