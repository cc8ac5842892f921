"""Evidence on a data set: scales, classes, duplicates, and scores of baseline estimators."""

from __future__ import annotations

import math
import time
import warnings
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from harness import Dataset, Samples
from harness_doctor.engine_training import SPLITS, sampled, size
from harness_doctor.evidence import DataEvidence

MOST = 2000  # largest number of training samples examined
HELD = 1000  # largest number of validation samples examined
NEAR = 1e-4  # distance relative to the median one below which samples are duplicates
FEATURES = 4096  # largest number of features for the baseline estimators
SURELY = 0.98  # smallest score of an input that determines the target
EQUAL = 1e-6  # how far a correlation of one may be from it by rounding
BY_CHANCE = 1e-6  # probability that an input corresponds to the classes by chance
KERNEL = 256  # largest number of features for a kernel machine
FEW = 30  # largest number of different integer targets that may be class names
Array = NDArray[Any]


class _Baseline(NamedTuple):
    name: str
    score: float  # on validation
    model: Any


def look(dataset: Dataset, overlap: int | None, batch_size: int) -> DataEvidence:
    """Return the evidence on a data set, `overlap` of whose samples occur in several splits."""
    (x, y), (vx, vy) = (sampled(dataset, count, split) for count, split in ((MOST, "train"), (HELD, "val")))
    inputs, targets = x.flatten(1).double().numpy(), y.numpy()
    held, held_targets = vx.flatten(1).double().numpy(), vy.numpy()
    deviations = inputs.std(0)
    varying = deviations[deviations > 0]
    facts: dict[str, Any] = {
        "target": dataset.target,
        "outputs": dataset.width,
        "center": float(np.abs(inputs.mean(0)).max()),
        "widest": float(deviations.max()),
        "narrowest": float(varying.min()) if len(varying) else 0.0,
        "real_inputs": dataset.real_inputs,
        "overlap": overlap,
        "held_out": sum(size(dataset.part(split)) for split in SPLITS[1:]),
        "n": size(dataset.train),
        "looked": len(inputs),
        "looked_val": len(held),
        "fetch_s": 0.0 if dataset.in_memory else fetching(dataset, batch_size),
    }
    if dataset.target == "class":
        whole = dataset.train.y if isinstance(dataset.train, Samples) else y
        facts["counts"] = tuple(torch.bincount(whole.long(), minlength=len(dataset.classes)).tolist())
    if dataset.target == "real" and targets.ndim == 2 and targets.shape[1] == 1:
        values = np.unique(targets)
        whole_numbers = bool((values == np.round(values)).all()) and len(values) <= min(FEW, len(targets) // 5)
        facts["distinct_targets"] = len(values) if whole_numbers and len(values) > 1 else 0
        facts |= {"target_mean": float(targets.mean()), "target_std": float(targets.astype(float).std())}
    if dataset.target in ("class", "real", "labels") and inputs.shape[1] <= FEATURES and len(held) and len(inputs) > 9:
        facts |= _reference(dataset.target, inputs, targets, held, held_targets)
        if x.ndim == 2 and (place := copy_of(dataset.target, inputs, targets)) is not None:  # not a step of a sequence
            facts |= {"telling": place, "copied": True}
        if "telling" in facts and len(dataset.columns) == inputs.shape[1]:
            facts["telling_name"] = dataset.columns[facts["telling"]]
        if dataset.real_inputs and not dataset.repeats:
            facts["near"] = near_duplicates(inputs, held)
    return DataEvidence(**facts)


def fetching(dataset: Dataset, batch_size: int) -> float:
    """Return the seconds to fetch a batch of training samples one by one in this process; the shortest of three."""
    part: Any = dataset.train
    count = min(batch_size, size(dataset.train))
    times = []
    for start in (0, count, 2 * count):
        began = time.perf_counter()
        for place in range(start, start + count):
            part[place % size(dataset.train)]
        times.append(time.perf_counter() - began)
    return min(times)


def near_duplicates(train: Array, held: Array) -> float:
    """Return the share of held-out samples that are ten thousand times closer to a training sample than usual."""
    from sklearn.neighbors import NearestNeighbors

    scale = train.std(0)
    scale[scale == 0] = 1.0
    nearest = NearestNeighbors(n_neighbors=1).fit(train / scale)
    usual = float(np.median(np.linalg.norm((train - np.roll(train, 1, axis=0)) / scale, axis=1)))
    apart = nearest.kneighbors(held / scale)[0][:, 0]
    return float((apart < NEAR * usual).mean()) if usual > 0 else 0.0


def _reference(target: str, x: Array, y: Array, vx: Array, vy: Array) -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # warnings of estimators, such as on a class with one sample
        baselines = _baselines(target, x, y, vx, vy)
        best = max(baselines, key=lambda one: one.score)
        if math.isnan(best.score):
            return {}
        facts: dict[str, Any] = {"reference": best.score, "by_reference": best.name, "floor": floor(target, y, vy)}
        facts["usual"] = float(np.median([one.score for one in baselines]))
        facts |= {"attained": attained(target, best.model, x, y), "floor_train": floor(target, y, y)}
        return facts | telling(target, x, y, facts["attained"])


def telling(target: str, x: Array, y: Array, reached: float) -> dict[str, Any]:
    """Return evidence on an input that determines the target alone, while all others together do not.

    Such an input is likely the target itself, in other units or under another name.
    """
    if target not in ("class", "real") or x.shape[1] < 3 or (y.ndim == 2 and y.shape[1] > 1) or reached < SURELY:
        return {}
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    flat = y.ravel()
    tree = DecisionTreeClassifier if target == "class" else DecisionTreeRegressor
    importances = tree(random_state=0).fit(x, flat).feature_importances_
    place = int(importances.argmax())
    if importances[place] < SURELY:
        return {}
    alone = attained(target, tree(random_state=0), x[:, [place]], y)
    if alone < SURELY:
        return {}
    others = np.delete(x, place, axis=1)
    rest = max(attained(target, one.model, others, y) for one in _baselines(target, others, y, others[:1], y[:1]))
    return {"telling": place, "telling_score": alone, "others_score": rest}


def copy_of(target: str, x: Array, y: Array) -> int | None:
    """Return the first input whose values correspond to the targets one to one, beyond chance; None if there is none.

    Of real targets, the correlation is one. The names of classes may also be spread over several inputs of 0 and 1.
    """
    if target not in ("class", "real") or x.shape[1] < 2 or (y.ndim == 2 and y.shape[1] > 1):
        return None
    y = y.ravel()
    if target == "real":
        x, y = x - x.mean(0), y.astype(float) - y.mean()
        scale = np.linalg.norm(x, axis=0) * np.linalg.norm(y)
        certain = np.abs(y @ x) >= (1 - EQUAL) * np.where(scale > 0, scale, np.inf)
        return int(certain.argmax()) if certain.any() and len(np.unique(y)) > FEW else None
    classes, first, index, counts = np.unique(y, return_index=True, return_inverse=True, return_counts=True)
    if _arrangements(counts) < math.log(x.shape[1] / BY_CHANCE):
        return None
    values = x[first]  # one row for each class
    told: dict[int, int] = {}  # {class: the first input that tells it from all others}
    for place in np.flatnonzero((values[index] == x).all(0)):
        kinds, which, sizes = np.unique(values[:, place], return_inverse=True, return_counts=True)
        if len(kinds) == len(classes):
            return int(place)
        if len(kinds) == 2 and 1 in sizes:
            told.setdefault(int((sizes[which] == 1).argmax()), int(place))
    return min(told.values()) if len(told) >= len(classes) - 1 else None


def _arrangements(counts: Array) -> float:
    """Return the logarithm of the number of ways to assign classes of these sizes to samples."""
    return math.lgamma(counts.sum() + 1) - sum(math.lgamma(count + 1) for count in counts)


def _baselines(target: str, x: Array, y: Array, vx: Array, vy: Array) -> list[_Baseline]:
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    near = min(5, len(x) // 2)
    if target == "class":
        models: dict[str, Any] = {
            "nearest neighbours": make_pipeline(StandardScaler(), KNeighborsClassifier(near)),
            "a random forest": RandomForestClassifier(30, random_state=0),
            "logistic regression": make_pipeline(StandardScaler(), LogisticRegression(max_iter=200)),
        }
    else:
        models = {
            "nearest neighbours": make_pipeline(StandardScaler(), KNeighborsRegressor(near)),
            "a random forest": RandomForestRegressor(30, random_state=0),
            "ridge regression": make_pipeline(StandardScaler(), Ridge()),
        }
    flat = y.ravel() if y.ndim == 2 and y.shape[1] == 1 else y
    if x.shape[1] <= KERNEL and flat.ndim == 1:
        models["a kernel machine"] = _kernel_machine(target)
    return [_Baseline(name, score(target, model.fit(x, flat).predict(vx), vy), model) for name, model in models.items()]


def _kernel_machine(target: str) -> Any:
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC, SVR

    if target == "class":
        return make_pipeline(StandardScaler(), SVC())
    return TransformedTargetRegressor(make_pipeline(StandardScaler(), SVR(C=10)), transformer=StandardScaler())


def attained(target: str, model: Any, x: Array, y: Array) -> float:
    """Return the cross-validated score of an estimator on the training samples, in five folds."""
    from sklearn.model_selection import KFold, cross_val_predict

    folds = KFold(min(5, len(x)), shuffle=True, random_state=0)
    flat = y.ravel() if y.ndim == 2 and y.shape[1] == 1 else y
    return score(target, cross_val_predict(model, x, flat, cv=folds), y)


def score(target: str, prediction: Array, y: Array) -> float:
    """Return the accuracy of classes or labels, or the explained variance of real targets, averaged over targets."""
    prediction = prediction.reshape(y.shape)
    if target == "class":
        return float((prediction == y).mean())
    if target == "labels":
        return float(((prediction > 0.5) == (y > 0.5)).mean())
    variance = y.var(0)
    error = np.square(prediction - y).mean(0)
    varies = variance > 0
    return float(np.clip(1 - error[varies] / variance[varies], -1, 1).mean()) if varies.any() else math.nan


def floor(target: str, y: Array, vy: Array) -> float:
    """Return the score of the best constant."""
    if target == "class":
        return float((vy == np.bincount(y).argmax()).mean())
    return score(target, np.broadcast_to(y.mean(0), vy.shape), vy)
