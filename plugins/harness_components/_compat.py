"""Private and undocumented APIs of the libraries that the built-in components use."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path


def keep_growing_workers() -> None:
    """Keep loky, in one of its workers, from restarting that worker when its memory grows.

    Otherwise a worker whose second task takes 300 MB more than its first ends, with a warning about a leak. Sets
    `loky.process_executor._USE_PSUTIL`, seen on loky 3.7. Without it, large runs of a sweep start on cold workers.
    """
    from loky import process_executor

    process_executor._USE_PSUTIL = False


def sklearn_file(name: str) -> Path:
    """Return the path of a data file that scikit-learn's loaders read, without importing scikit-learn.

    Its import takes a second, since it imports pandas and scipy.stats. Uses the folder `sklearn/datasets/data`, seen on
    scikit-learn 1.9. Without it, call `sklearn.datasets.load_digits` and the like, which return the same arrays.
    """
    spec = find_spec("sklearn")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0]) / "datasets" / "data" / name
