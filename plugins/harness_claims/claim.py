"""A claim: a statement, the runs that could refute it, and the rule that decides, fixed before looking.

A claim is a YAML file of the config group `claim`. Its keys and their values are closed vocabularies; it holds no code.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import HarnessError
from harness_claims.matching import Match, key_of, parse_match
from harness_claims.reading import Measure, measure

LANGUAGES = ("en", "ko")
EFFECTS = ("level", "difference", "ratio", "slope", "interaction", "spread", "correlation", "pick")
NEEDS_FACTOR = ("slope", "interaction", "spread", "correlation")
SIDES = {"level": 1, "slope": 1, "spread": 1, "correlation": 1, "difference": 2, "ratio": 2, "interaction": 2}
DECIDED_OF = ("mean", "every", "share", "rank")
RANGES = {"pick": (0.0, 1.0), "correlation": (-1.0, 1.0)}  # of effects that are bounded
OF_RANKS = ("share", "rank")  # that can be decided if runs diverge or do not reach a value
EXPECTED = ("holds", "fails", "open")
VERDICTS = ("supported", "refuted", "conditional", "not settled")
SPLITS = ("drawn", "fixed")
KEYS = (
    "statement", "source", "topic", "stable", "hold", "sides", "factor", "conditions", "match", "tune", "splits",
    "seeds", "quick", "measure", "effect", "decide", "because", "revised", "references", "verdict",
)  # fmt: skip
NEEDED = ("statement", "source", "topic", "sides", "seeds", "measure", "effect", "decide", "because")
MAX_SEEDS = 1000


@dataclass(frozen=True)
class Condition:
    """Settings under which a claim is tested.

    Attributes:
        name: Its name.
        words: The overrides of its runs.
        expect: "holds", "fails" or "open", as expected before looking.
        sides: The overrides of sides that are other ones under this condition.
    """

    name: str
    words: tuple[str, ...]
    expect: str
    sides: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Region:
    """The effects of which the claim is true: low < effect < high. An end that is infinite belongs to it."""

    low: float
    high: float

    def __contains__(self, value: float) -> bool:
        return (self.low < value or value == self.low == -math.inf) and (
            value < self.high or value == self.high == math.inf
        )

    def text(self, language: str) -> str:
        """Return the region in words."""
        low, high = f"{self.low:g}", f"{self.high:g}"
        if math.isinf(self.low):
            return {"en": f"below {high}", "ko": f"{high}보다 작다"}[language]
        if math.isinf(self.high):
            return {"en": f"above {low}", "ko": f"{low}보다 크다"}[language]
        return {"en": f"between {low} and {high}", "ko": f"{low} 초과 {high} 미만이다"}[language]


@dataclass(frozen=True)
class Tuning:
    """How settings of each cell of a claim are chosen, on seeds that are not judged.

    Attributes:
        over: The levels of each key, all combinations of which are tried.
        by: The metric of validation that chooses.
        seeds: Seeds of each trial.
    """

    over: Mapping[str, tuple[Any, ...]]
    by: str
    seeds: int

    @property
    def words(self) -> list[str]:
        """The overrides of a tuned run."""
        budget = math.prod(len(levels) for levels in self.over.values())
        spaces = [f"tune.space.{key}=choice({','.join(map(str, levels))})" for key, levels in self.over.items()]
        words = [f"tune.budget={budget}", "tune.method=grid", "tune.over=[]", f"tune.seeds={self.seeds}"]
        return [*words, "tune.per_seed=true", f"objective={self.by}", *spaces]


@dataclass(frozen=True)
class Claim:
    """A claim as its file declares it.

    Attributes:
        slug: Its name.
        statement: The statement in each language.
        source: The documents that state it.
        topic: The chapter of the book.
        stable: True if a verdict that changes is a failure.
        hold: Overrides of every run.
        sides: What is compared: the overrides of each side.
        factor: The key that is varied in order, and its levels; None without one.
        conditions: The conditions under which it is tested.
        match: What makes the sides comparable.
        tune: How settings are chosen before; None: they are not.
        splits: "drawn" with the seed, or "fixed".
        seeds: The number of seeds.
        quick_seeds: Their number with --quick.
        quick_conditions: The names of the conditions with --quick.
        measure: What is measured of a run.
        effect: How the measurements of a seed become one number.
        region: The effects of which the claim is true.
        of: "mean" over the seeds, "every" seed, the "share" of the seeds, or the "rank" of their effects.
        because: Why, in each language.
        revised: What was changed after a first look at results, in each language; empty if nothing was.
        references: What to read.
        verdict: The recorded verdict, or None.
        typed: How it was named on the command line.
    """

    slug: str
    statement: Mapping[str, str]
    source: tuple[str, ...]
    topic: str
    stable: bool
    hold: tuple[str, ...]
    sides: Mapping[str, tuple[str, ...]]
    factor: tuple[str, tuple[Any, ...]] | None
    conditions: tuple[Condition, ...]
    match: Match
    tune: Tuning | None
    splits: str
    seeds: int
    quick_seeds: int
    quick_conditions: tuple[str, ...]
    measure: Measure
    effect: str
    region: Region
    of: str
    because: Mapping[str, str]
    revised: Mapping[str, str]
    references: tuple[str, ...] = field(default=())
    verdict: str | None = None
    typed: str = ""


def read(path: Path) -> Claim:
    """Read the file of a claim.

    Raises:
        HarnessError: If the file does not declare a claim; the message names the file and the mistake.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    try:
        row = OmegaConf.to_container(OmegaConf.create(path.read_text(encoding="utf-8")), resolve=False)
        return parse(path.stem, row)
    except OSError as error:
        raise HarnessError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, TypeError, OmegaConfBaseException, YAMLError, UnicodeDecodeError) as error:
        raise HarnessError(f"{path}: {' '.join(str(error).split())}") from error


def parse(slug: str, row: Any) -> Claim:
    """Return a claim from plain data.

    Raises:
        ValueError: If a key is unknown or missing, or if the claim could not be refuted.
    """
    if not isinstance(row, dict):
        raise ValueError("a claim is a mapping of keys")
    _only(row, KEYS, "the claim")
    for key in NEEDED:
        if key not in row:
            raise ValueError(f"it has no {key!r}")
    sides = _sides(row["sides"])
    effect = _one_of(row["effect"], EFFECTS, "effect")
    factor = _factor(row.get("factor"))
    conditions = _conditions(row.get("conditions", {"always": {"set": [], "expect": "holds"}}))
    hold = _words(row.get("hold", []), "hold")
    match = parse_match(row.get("match", "epochs"))
    for condition in conditions:
        if unknown := condition.sides.keys() - sides.keys():
            raise ValueError(f"conditions.{condition.name}.sides has no side {min(unknown)!r}")
        _check_shape(effect, sides | dict(condition.sides), factor)
    _check_keys(hold, sides, factor, conditions)
    seeds = _count(row["seeds"], "seeds")
    quick = row.get("quick", {})
    _only(quick, ("seeds", "conditions"), "quick")
    names = tuple(condition.name for condition in conditions)
    chosen = _texts(quick.get("conditions", list(names)), "quick.conditions")
    for name in chosen:
        _one_of(name, names, "quick.conditions")
    region, of = _decide(row["decide"])
    measured = measure(row["measure"])
    if measured.may_be_infinite and effect in ("slope", "interaction", "spread"):
        raise ValueError(f"a run that never reaches the value has no epoch, so no {effect}: compare by another effect")
    if measured.may_be_infinite and of not in OF_RANKS:
        raise ValueError(f"a run that never reaches the value has no epoch: decide.of takes {' or '.join(OF_RANKS)}")
    _check_rule(effect, region, of)
    verdict = row.get("verdict")
    return Claim(
        slug=slug,
        statement=_text(row["statement"], "statement"),
        source=_texts(row["source"], "source"),
        topic=str(row["topic"]),
        stable=bool(row.get("stable", False)),
        hold=hold,
        sides=sides,
        factor=factor,
        conditions=conditions,
        match=match,
        tune=_tuning(row.get("tune")),
        splits=_one_of(row.get("splits", "drawn"), SPLITS, "splits"),
        seeds=seeds,
        quick_seeds=min(seeds, _count(quick.get("seeds", seeds), "quick.seeds")),
        quick_conditions=chosen,
        measure=measured,
        effect=effect,
        region=region,
        of=of,
        because=_text(row["because"], "because"),
        revised=_text(row["revised"], "revised") if "revised" in row else {},
        references=_texts(row["references"], "references") if "references" in row else (),
        verdict=None if verdict is None else _one_of(verdict, VERDICTS, "verdict"),
    )


def _only(row: Any, known: Sequence[str], where: str) -> None:
    if not isinstance(row, dict):
        raise ValueError(f"{where} is a mapping of keys, got {row!r}")
    for key in row:
        if key not in known:
            raise ValueError(f"{where} has no key {key!r}; its keys are {', '.join(known)}")


def _one_of(value: Any, known: Iterable[str], where: str) -> str:
    if value not in tuple(known):
        raise ValueError(f"{where} must be one of {', '.join(known)}, got {value!r}")
    return str(value)


def _text(row: Any, where: str) -> Mapping[str, str]:
    _only(row, LANGUAGES, where)
    for language in LANGUAGES:
        if not str(row.get(language) or "").strip():
            raise ValueError(f"{where} has no text in {language!r}")
    if not any("가" <= char <= "힣" for char in row["ko"]):
        raise ValueError(f"{where}: the text in 'ko' is not Korean")
    return {language: " ".join(str(row[language]).split()) for language in LANGUAGES}


def _texts(value: Any, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not value:
        raise ValueError(f"{where} is a list with at least one entry, got {value!r}")
    return tuple(map(str, value))


def _words(value: Any, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(word, str) and "=" in word for word in value):
        raise ValueError(f"{where} is a list of overrides, [epochs=5, model=mlp], got {value!r}")
    return tuple(value)


def _sides(row: Any) -> dict[str, tuple[str, ...]]:
    if not isinstance(row, dict) or not row:
        raise ValueError("sides is a mapping of names to lists of overrides")
    return {str(name): _words(words, f"sides.{name}") for name, words in row.items()}


def _factor(row: Any) -> tuple[str, tuple[Any, ...]] | None:
    if row is None:
        return None
    if not isinstance(row, dict) or len(row) != 1:
        raise ValueError("factor is one key with its levels: factor: {model.depth: [2, 4, 8]}")
    ((key, levels),) = row.items()
    if not isinstance(levels, list) or len(set(map(str, levels))) < 2:
        raise ValueError(f"factor {key} needs at least two different levels, got {levels!r}")
    return str(key), tuple(levels)


def _conditions(row: Any) -> tuple[Condition, ...]:
    if not isinstance(row, dict) or not row:
        raise ValueError("conditions is a mapping of names to {set: [overrides], expect: holds}")
    found = []
    for name, inner in row.items():
        where = f"conditions.{name}"
        _only(inner, ("set", "expect", "sides"), where)
        words = _words(inner.get("set", []), f"{where}.set")
        sides = _sides(inner["sides"]) if "sides" in inner else {}
        found.append(Condition(str(name), words, _one_of(inner.get("expect"), EXPECTED, f"{where}.expect"), sides))
    return tuple(found)


def _tuning(row: Any) -> Tuning | None:
    if row is None:
        return None
    _only(row, ("over", "by", "seeds"), "tune")
    over = row.get("over")
    if not isinstance(over, dict) or not over:
        raise ValueError("tune.over is a mapping of keys to levels, {optimizer.lr: [0.01, 0.1]}")
    levels = {str(key): values for key, values in over.items()}
    for key, values in levels.items():
        if not isinstance(values, list) or len(set(map(str, values))) < 2:
            raise ValueError(f"tune.over.{key} needs at least two different levels, got {values!r}")
    by = str(row.get("by", "val/loss"))
    if not by.startswith("val/"):
        raise ValueError(f"tune.by names a metric of validation, val/..., got {by!r}")
    return Tuning({key: tuple(values) for key, values in levels.items()}, by, _count(row.get("seeds", 1), "tune.seeds"))


def _check_shape(effect: str, sides: Mapping[str, Any], factor: object) -> None:
    if (effect in NEEDS_FACTOR) != (factor is not None):
        raise ValueError(f"effect {effect} {'needs a factor' if effect in NEEDS_FACTOR else 'takes no factor'}")
    needed = SIDES.get(effect)
    if (needed is not None and len(sides) != needed) or (needed is None and len(sides) < 2):
        raise ValueError(f"effect {effect} needs {needed or 'two or more'} sides, got {len(sides)}")
    texts = [tuple(sorted(words)) for words in sides.values()]
    if len(set(texts)) < len(texts):
        raise ValueError("two sides are the same setting, which nothing can tell apart")


def _check_rule(effect: str, region: Region, of: str) -> None:
    """Refuse a rule of which the outcome is known before."""
    if effect == "pick" and of not in ("share", "every"):  # 0 or 1, of which a t interval may have no width
        raise ValueError(f"effect pick is decided by the share of seeds or by every seed, not by {of}")
    if effect in RANGES:
        low, high = RANGES[effect]
        if (low in region and high in region) or region.high <= low or region.low >= high:
            raise ValueError(f"decide has one outcome only: effect {effect} is between {low:g} and {high:g}")


def _check_keys(
    hold: Sequence[str],
    sides: Mapping[str, Sequence[str]],
    factor: tuple[str, Any] | None,
    conditions: Sequence[Condition],
) -> None:
    """Refuse a key that stands in two places: one would silently replace the other."""
    declared = [sides, *(condition.sides for condition in conditions)]
    of_sides = {key_of(word) for each in declared for words in each.values() for word in words}
    of_conditions = {key_of(word) for condition in conditions for word in condition.words}
    places = {
        "hold": {key_of(word) for word in hold},
        "sides": of_sides,
        "factor": set() if factor is None else {factor[0]},
        "conditions": of_conditions,
    }
    reserved = ("seed", "split.seed", "study", "diagnostic", "save")
    for place, keys in places.items():
        for key in keys:
            if key in reserved:
                raise ValueError(f"{place} sets {key}, which the runner of claims sets")
            for other, others in places.items():
                if other != place and key in others:
                    raise ValueError(f"{key} stands in both {place} and {other}: it belongs in one of them")


def _count(value: Any, where: str) -> int:
    if type(value) is not int or not 1 <= value <= MAX_SEEDS:
        raise ValueError(f"{where} must be a whole number in 1 .. {MAX_SEEDS}, got {value!r}")
    return value


def _decide(row: Any) -> tuple[Region, str]:
    _only(row, ("above", "below", "within", "of"), "decide")
    given = [key for key in ("above", "below", "within") if key in row]
    if len(given) != 1:
        raise ValueError("decide takes one of above, below and within")
    value = row[given[0]]
    ends = value if isinstance(value, list) and given[0] == "within" else [value]
    if not all(isinstance(end, (int, float)) and not isinstance(end, bool) and math.isfinite(end) for end in ends):
        raise ValueError(
            f"decide.{given[0]} takes {'two numbers' if given[0] == 'within' else 'a number'}, got {value!r}"
        )
    if given[0] == "within":
        if len(ends) != 2 or not ends[0] < ends[1]:
            raise ValueError(f"decide.within takes two numbers, the lower first, got {value!r}")
        region = Region(float(ends[0]), float(ends[1]))
    else:
        region = Region(float(value), math.inf) if given[0] == "above" else Region(-math.inf, float(value))
    return region, _one_of(row.get("of", "mean"), DECIDED_OF, "decide.of")
