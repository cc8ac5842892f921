"""Choose the settings of trials. Every choice is a function of the config and of the results so far."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

from harness.execution.tuning.search_space import Dimension
from harness.results.tuning import Trial
from harness.space import Choice, Integers, Space
from harness.system.errors import HarnessError

Dimensions = Mapping[str, Dimension]
Settings = dict[str, Any]
STARTUP = 10  # random trials before TPE uses their results; a quarter of a smaller budget
ROUNDS = 8  # batches of trials that TPE chooses one after another


def value_at(space: Space, share: float) -> Any:
    """Return the value at a share of a space; a real number with four significant digits."""
    value = space.at(share)
    if isinstance(space, (Choice, Integers)):
        return value
    return min(max(float(f"{value:.4g}"), space.low), space.high)  # type: ignore[attr-defined]


def random_settings(space: Dimensions, stream: str, place: int) -> Settings:
    """Return the settings of one trial of random search.

    Args:
        space: The searched space.
        stream: Names the draws. Contestants with the same stream are tried with the same shares of their spaces.
        place: The index of the trial.
    """
    shares = {key: Random(f"{stream}:{d.draw}:{place}").random() for key, d in space.items()}  # SHA-512 of the text
    return {key: value_at(d.space, shares[key]) for key, d in space.items()}


def grid_settings(space: Dimensions, budget: int) -> list[Settings]:
    """Return the settings of the largest regular grid that the budget allows.

    The values of a setting are the middles of equal shares of its space. A setting gets one more value at a time, that
    with the fewest first, while the product of their numbers stays within the budget.
    """
    most = {key: _number_of_values(d.space) for key, d in space.items()}
    levels = dict.fromkeys(space, 1)
    growing = list(space)
    while growing:
        key = min(growing, key=lambda name: levels[name])
        if levels[key] < most[key] and math.prod(levels.values()) // levels[key] * (levels[key] + 1) <= budget:
            levels[key] += 1
        else:
            growing.remove(key)
    settings: list[Settings] = [{}]
    for key, dimension in space.items():
        values = [value_at(dimension.space, (i + 0.5) / levels[key]) for i in range(levels[key])]
        settings = [{**row, key: value} for row in settings for value in values]
    return settings


def _number_of_values(space: Space) -> float:
    if isinstance(space, Choice):
        return len(space.options)
    return space.high - space.low + 1 if isinstance(space, Integers) else math.inf


def tpe_rounds(budget: int) -> list[int]:
    """Return the numbers of trials in the rounds of a TPE search. They depend on the budget alone.

    >>> tpe_rounds(32), tpe_rounds(4)
    ([8, 4, 4, 4, 4, 4, 4], [1, 1, 1, 1])
    """
    start = min(STARTUP, max(1, budget // 4))
    size = max(1, budget // ROUNDS)
    rounds = [start]
    while (left := budget - sum(rounds)) > 0:
        rounds.append(min(size, left))
    return rounds


def tpe_settings(
    space: Dimensions, stream: str, rounds: Sequence[int], trials: Sequence[Trial], higher_is_better: bool
) -> list[Settings]:
    """Return the settings of the next round of a search by the tree-structured Parzen estimator of Optuna.

    The search is repeated from its first round, with the results of the trials so far.

    Args:
        space: The searched space.
        stream: Names the draws.
        rounds: The numbers of trials in the rounds up to the next.
        trials: The trials of the earlier rounds.
        higher_is_better: The direction of their scores.
    """
    optuna = load_optuna()
    sampler = optuna.samplers.TPESampler(
        seed=Random(stream).getrandbits(32), n_startup_trials=rounds[0], multivariate=True, constant_liar=True
    )
    direction = "maximize" if higher_is_better else "minimize"
    study = optuna.create_study(sampler=sampler, direction=direction)
    ask: Callable[[], Any] = lambda: study.ask(  # noqa: E731
        {d.draw: _distribution(optuna, d.space) for d in space.values()}
    )
    worst = _worst(trials, higher_is_better)
    settings: list[Settings] = []
    for number, size in enumerate(rounds):
        asked = [ask() for _ in range(size)]
        settings = [{key: _value(d.space, trial.params[d.draw]) for key, d in space.items()} for trial in asked]
        if number + 1 < len(rounds):
            first = sum(rounds[:number])
            for asked_trial, trial in zip(asked, trials[first : first + size], strict=True):
                study.tell(asked_trial, trial.score if math.isfinite(trial.score) else worst)
    return settings


def _worst(trials: Sequence[Trial], higher_is_better: bool) -> float:
    """Return the score that the search is told of a trial that did not complete: the worst one that was measured."""
    scores = [trial.score for trial in trials if math.isfinite(trial.score)]
    if not scores:
        return 0.0
    return min(scores) if higher_is_better else max(scores)


def _distribution(optuna: Any, space: Space) -> Any:
    if isinstance(space, Choice):
        return optuna.distributions.CategoricalDistribution(list(range(len(space.options))))
    return optuna.distributions.FloatDistribution(0.0, 1.0)


def _value(space: Space, drawn: Any) -> Any:
    return space.options[drawn] if isinstance(space, Choice) else value_at(space, drawn)


def load_optuna() -> Any:
    """Import Optuna.

    Raises:
        HarnessError: If it is not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import optuna
    except ImportError:
        raise HarnessError("tune.method=tpe needs Optuna: pip install 'dl-harness[tune]'") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
