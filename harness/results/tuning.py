"""The result of tuning one contestant of a sweep, as it is kept beside the trials in the study's folder `tuning`.

Trials are runs of the study NAME/tuning. They are never evaluated on the test split.
"""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePath
from typing import Annotated, Any

from harness.config.validation import TRIALS as FOLDER
from harness.results.levels import natural_key
from harness.space import Choice, Space, parse_space
from harness.system import safe_files
from harness.system.typed_json import Keys, OneOf, Pattern, checker, refuse_depth

SCHEMA = 1
METHODS = ("random", "tpe", "grid")
BORDER = 0.05  # share of a space, at either end, within which a winner lies at its border
NEIGHBOURS = 3
WRITING_S = 60.0  # after which a file that was not put in place is left over
MAX_BYTES = 64 * safe_files.MB

_Numbers = list[float | str]  # "nan", "inf" and "-inf" are numbers
_TRIAL = Keys(
    {"settings": dict[str, Any], "runs": list[str], "statuses": list[str], "values": _Numbers, "losses": _Numbers}
    | {"steps": int},
    needed=True,
)
_TUNING = Keys(
    {"schema": int, "id": Annotated[str, Pattern("[0-9a-f]{12}")], "levels": dict[str, Any], "objective": str}
    | {"higher_is_better": bool, "method": Annotated[str, OneOf(METHODS)], "seeds": list[int], "space": dict[str, str]}
    | {"budget": int, "trials": list[Annotated[dict[str, Any], _TRIAL]]},
    needed=True,
)
_check = checker(Annotated[dict[str, Any], _TUNING])


def trials_study(study: str) -> str:
    """Return the name of the study that holds the trials of a study.

    >>> trials_study("optimizers")
    'optimizers/tuning'
    """
    return f"{study}/{FOLDER}"


def holds_trials(study: str) -> bool:
    """Return True if the runs of a study are trials, by the study's name.

    >>> holds_trials("optimizers/tuning"), holds_trials("optimizers")
    (True, False)
    """
    parts = PurePath(study).parts
    return len(parts) > 1 and parts[-1] == FOLDER


@dataclass(frozen=True)
class Trial:
    """One setting of a contestant, trained with every tuning seed.

    Attributes:
        settings: The values that were tried, by key: {"optimizer.lr": 0.003}.
        runs: The ID of the run of each tuning seed.
        statuses: The status of each run.
        values: The objective of each run at the end of its training; nan where the run did not complete.
        losses: The validation loss of each run, by which trials of equal scores are ordered; nan if not measured.
        steps: Optimizer steps of all runs.
    """

    settings: dict[str, Any]
    runs: tuple[str, ...]
    statuses: tuple[str, ...]
    values: tuple[float, ...]
    losses: tuple[float, ...]
    steps: int

    @property
    def score(self) -> float:
        """The mean of the values; nan if a run did not complete."""
        return math.fsum(self.values) / len(self.values) if all(map(math.isfinite, self.values)) else math.nan

    @property
    def loss(self) -> float:
        """The mean of the losses, or infinity if it is unknown."""
        return math.fsum(self.losses) / len(self.losses) if all(map(math.isfinite, self.losses)) else math.inf


@dataclass(frozen=True)
class Tuning:
    """The trials of one contestant.

    Attributes:
        id: The name of the file, 12 hexadecimal digits.
        levels: The swept values that make the contestant: {"optimizer": "adam", "data": "digits"}.
        objective: The metric that trials are scored by, on the validation split.
        higher_is_better: Its direction.
        method: "random", "tpe" or "grid".
        budget: The trials that were allowed; a grid, or a contestant without a space, may have fewer.
        seeds: The tuning seeds.
        space: The searched space of each setting, as text.
        trials: The trials, in their order.
    """

    id: str
    levels: dict[str, Any]
    objective: str
    higher_is_better: bool
    method: str
    budget: int
    seeds: tuple[int, ...]
    space: dict[str, str]
    trials: tuple[Trial, ...] = field(repr=False)

    @property
    def winner(self) -> int:
        """The index of the trial with the best score; the first one if no trial completed."""
        return best(self.trials, self.higher_is_better)

    @property
    def steps(self) -> int:
        """Optimizer steps of all trials."""
        return sum(trial.steps for trial in self.trials)

    def summary(self) -> dict[str, Any]:
        """Return what the record of a judged run says of the tuning that chose its settings."""
        trial = self.trials[self.winner]
        spaces = {key: parse_space(text) for key, text in self.space.items()}
        return {
            "id": self.id,
            "method": self.method,
            "budget": self.budget,
            "trials": len(self.trials),
            "failed": sum(not math.isfinite(t.score) for t in self.trials),
            "seeds": list(self.seeds),
            "steps": self.steps,
            "objective": self.objective,
            "trial": self.winner,
            "settings": trial.settings,
            "score": trial.score,
            "border": at_border(trial.settings, spaces),
            "neighbours": [
                {"settings": self.trials[place].settings, "score": self.trials[place].score}
                for place in nearest(self.winner, self.trials, spaces)
            ],
        }


def best(trials: Sequence[Trial], higher_is_better: bool) -> int:
    """Return the index of the best trial. Equal scores are ordered by the validation loss, and then by the index.

    Args:
        trials: The trials. One of which a run did not complete is worse than all others.
        higher_is_better: The direction of their scores.
    """

    def key(place: int) -> tuple[float, float, int]:
        score = trials[place].score
        if not math.isfinite(score):
            return math.inf, math.inf, place
        return (-score if higher_is_better else score), trials[place].loss, place

    return min(range(len(trials)), key=key)


def at_border(settings: Mapping[str, Any], spaces: Mapping[str, Space]) -> list[str]:
    """Return the settings that lie in the outer 5% of their spaces, where a better value may lie outside."""
    ordered = {key: space for key, space in spaces.items() if not isinstance(space, Choice)}
    return [key for key, space in ordered.items() if not BORDER < space.share(settings[key]) < 1 - BORDER]


def nearest(place: int, trials: Sequence[Trial], spaces: Mapping[str, Space]) -> list[int]:
    """Return the indices of the trials nearest to one, by the Euclidean distance of their shares of the spaces."""

    def distance(other: int) -> float:
        total = 0.0
        for key, space in spaces.items():
            a, b = trials[place].settings[key], trials[other].settings[key]
            total += float(a != b) if isinstance(space, Choice) else (space.share(a) - space.share(b)) ** 2
        return total

    others = [other for other in range(len(trials)) if trials[other].settings != trials[place].settings]
    return sorted(others, key=lambda other: (distance(other), other))[:NEIGHBOURS]


def write(tuning: Tuning, study: Path) -> None:
    """Write the file of a contestant below the folder of its study."""
    row = {"schema": SCHEMA} | asdict(tuning)
    for trial in row["trials"]:
        trial |= {name: [_word(value) for value in trial[name]] for name in ("values", "losses")}
    text = json.dumps(row, indent=1, default=str)
    safe_files.make_folder(study / FOLDER)
    for left in (study / FOLDER).glob(".*.json.*.tmp"):  # by a process that was killed while it wrote
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > WRITING_S:
                left.unlink()
    safe_files.write_file(study / FOLDER / f"{tuning.id}.json", text.encode())


def _word(value: float) -> float | str:
    return value if math.isfinite(value) else "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"


def read_tunings(study: Path, unreadable: list[str] | None = None) -> list[Tuning]:
    """Read the results of tuning in the folder of a study, in the natural order of their levels.

    Args:
        study: The folder of the study.
        unreadable: List that gets a line for each file that cannot be read.
    """
    found = []
    for path in sorted((study / FOLDER).glob("[0-9a-f]*.json")):
        try:
            found.append(_read(path))
        except (OSError, ValueError) as error:
            if unreadable is not None:
                unreadable.append(f"{path}: {' '.join(str(error).split())}")
    return sorted(found, key=lambda t: [natural_key(value) for value in t.levels.values()])


def _read(path: Path) -> Tuning:
    text = safe_files.read(path, MAX_BYTES)
    refuse_depth(text)
    row = json.loads(text)
    if (mistake := _check(row)) is not None:
        raise ValueError(mistake)
    if row.pop("schema") != SCHEMA or not row["trials"]:
        raise ValueError("unknown schema, or no trials")
    trials = []
    for trial in row["trials"]:
        numbers = {name: tuple(float(value) for value in trial[name]) for name in ("values", "losses")}
        if not len(trial["runs"]) == len(trial["statuses"]) == len(numbers["values"]) == len(row["seeds"]):
            raise ValueError("a trial has not one run for each seed")
        trials.append(Trial(**(trial | numbers | {name: tuple(trial[name]) for name in ("runs", "statuses")})))
    known = {name: row[name] for name in Tuning.__dataclass_fields__}
    tuning = Tuning(**(known | {"seeds": tuple(row["seeds"]), "trials": tuple(trials)}))
    for key, space in tuning.space.items():
        parse_space(space)
        if any(key not in trial.settings for trial in trials):
            raise ValueError(f"a trial has no value of {key}")
    return tuning
