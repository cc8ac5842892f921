"""Tests of claim files: those that are shipped, and mistakes in a file."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import pytest

import harness
from harness_claims.claim import key_of, parse, read
from harness_claims.running import cells, common

FILES = harness.config_files("claim")
ROW: dict[str, Any] = {
    "statement": {"en": "Wider is better", "ko": "넓을수록 좋다"},
    "source": ["001"],
    "topic": "linearity",
    "hold": ["data=iris", "model=mlp"],
    "sides": {"wide": ["model.width=64"], "narrow": ["model.width=2"]},
    "conditions": {"adam": {"set": ["optimizer=adam"], "expect": "holds"}},
    "seeds": 6,
    "quick": {"seeds": 3, "conditions": ["adam"]},
    "measure": {"metric": "test/accuracy"},
    "effect": "difference",
    "decide": {"above": 0.1},
    "because": {"en": "It holds more.", "ko": "더 많이 담는다."},
}


def changed(path: str, value: Any) -> dict[str, Any]:
    """Return the row with the value of a key with dots changed; ... removes the key."""
    row = copy.deepcopy(ROW)
    node, *_ = [row]
    *above, last = path.split(".")
    for part in above:
        node = node[part]
    if value is ...:
        del node[last]
    else:
        node[last] = value
    return row


def test_row_is_a_claim() -> None:
    claim = parse("wide", ROW)
    assert claim.conditions[0].words == ("optimizer=adam",)
    assert (claim.quick_seeds, claim.seeds) == (3, 6)
    assert 0.2 in claim.region
    assert 0.1 not in claim.region
    words = dict(cells(claim, quick=False))
    assert words["adam", "wide", 0] == ["data=iris", "model=mlp", "optimizer=adam", "model.width=64"]
    assert len(words) == 2


def test_infinite_effects_belong_to_a_region_without_an_end_on_their_side() -> None:
    above = parse("wide", changed("decide", {"above": 0.1})).region
    below = parse("wide", changed("decide", {"below": 0.1})).region
    within = parse("wide", changed("decide", {"within": [0, 1]})).region
    ends = [-math.inf, math.inf]
    assert [[end in region for end in ends] for region in (above, below, within)] == [
        [False, True],
        [True, False],
        [False, False],
    ]


def test_condition_replaces_the_overrides_of_a_side() -> None:
    claim = parse("wide", changed("conditions.adam.sides", {"wide": ["model.width=128"]}))
    words = dict(cells(claim, quick=False))
    assert words["adam", "wide", 0][-1] == "model.width=128"
    assert words["adam", "narrow", 0][-1] == "model.width=2"


MISTAKES = [
    (changed("conditions.adam.sides", {"tall": ["model.width=9"]}), "conditions.adam.sides has no side 'tall'"),
    (changed("conditions.adam.sides", {"wide": ["model.width=2"]}), "two sides are the same setting"),
    (changed("conditions.adam.sides", {"wide": ["data=wine"]}), "data stands in both hold and sides"),
    (changed("statment", "x"), "has no key 'statment'"),
    (changed("measure", ...), "it has no 'measure'"),
    (changed("statement.ko", ""), "statement has no text in 'ko'"),
    (changed("because.ko", "It holds more."), "because: the text in 'ko' is not Korean"),
    (changed("sides.narrow", ["model.width=64"]), "two sides are the same setting"),
    (changed("hold", ["data=iris", "model.width=3"]), "model.width stands in both hold and sides"),
    (changed("conditions.adam.set", ["data=wine"]), "data stands in both hold and conditions"),
    (changed("hold", ["seed=3"]), "hold sets seed, which the runner of claims sets"),
    (changed("hold", "data=iris"), "hold is a list of overrides"),
    (changed("hold", ["data"]), "hold is a list of overrides"),
    (changed("conditions.adam.expect", "maybe"), "must be one of holds, fails, open"),
    (changed("conditions", {}), "conditions is a mapping"),
    (changed("measure", {"metrics": "test/accuracy"}), "a reading names one of"),
    (changed("measure", {"metric": "test/accuracy", "at": "last"}), "a reading of metric has no key 'at'"),
    (changed("measure", {"curve": "val/loss", "at": "middle"}), "at takes"),
    (changed("measure", {"curve": "val/loss", "at": {"when": "train/loss"}}), "at.when compares"),
    (changed("measure", {"curve": "val/loss", "over": "sum"}), "over takes one of"),
    (changed("measure", {"ratio": [{"metric": "test/loss"}]}), "takes two readings"),
    (changed("effect", "slope"), "effect slope needs a factor"),
    (changed("factor", {"epochs": [1, 2]}), "effect difference takes no factor"),
    (changed("effect", "level"), "effect level needs 1 sides, got 2"),
    (changed("effect", "mean"), "effect must be one of"),
    (changed("decide", {}), "decide takes one of above, below and within"),
    (changed("decide", {"above": 0, "below": 1}), "decide takes one of above, below and within"),
    (changed("decide", {"above": float("-inf")}), "decide.above takes a number"),
    (changed("decide", {"within": [1, 0]}), "the lower first"),
    (changed("decide", {"above": 0, "of": "median"}), "decide.of must be one of mean, every, share"),
    (changed("seeds", 0), "seeds must be a whole number in 1 .. 1000"),
    (changed("seeds", True), "seeds must be a whole number"),
    (changed("source", "001"), "source is a list with at least one entry, got '001'"),
    (changed("quick.conditions", []), "quick.conditions is a list with at least one entry"),
    (changed("measure", {"epochs": "val/accuracy >= e"}), "epochs compares a curve with a number"),
    (changed("effect", "pick"), "effect pick is decided by the share of seeds or by every seed, not by mean"),
    ({**changed("effect", "pick"), "decide": {"above": -1, "of": "share"}}, "decide has one outcome only: effect pick"),
    ({**changed("effect", "pick"), "decide": {"below": 0, "of": "every"}}, "decide has one outcome only"),
    (changed("quick.conditions", ["sgd"]), "quick.conditions must be one of adam"),
    (changed("revised", {"en": "The seeds."}), "revised has no text in 'ko'"),
    (changed("match", "time"), "match must be one of epochs, best_validation"),
    (changed("match", {"accuracy": 0.9}), "match must be one of epochs, best_validation"),
    (changed("match", {"train/accuracy": "much"}), "match.train/accuracy takes a number, got 'much'"),
    (changed("match", {"model.parameters": 0}), "match.model.parameters takes a number, got 0"),
    (changed("measure", {"epochs": "val/accuracy"}), "epochs compares a curve with a number"),
    (changed("measure", {"epochs": "val/accuracy >= 0.9"}), "decide.of takes share or rank"),
    (changed("tune", {"over": {"optimizer.lr": [0.1]}}), "tune.over.optimizer.lr needs at least two different levels"),
    (changed("tune", {"over": {"optimizer.lr": [0.1, 1]}, "by": "test/loss"}), "tune.by names a metric of validation"),
    (changed("tune", {"over": {}}), "tune.over is a mapping of keys to levels"),
    (changed("verdict", "true"), "verdict must be one of supported"),
    ([], "a claim is a mapping"),
]


@pytest.mark.parametrize(("row", "message"), MISTAKES)
def test_mistake_in_a_claim_is_refused_in_one_line(row: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message) as refused:
        parse("wide", row)
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize("text", ["a: [", "- 1", "a: ${b", "\x00", "'"])
def test_file_that_is_no_claim_is_named(text: str, tmp_path: Path) -> None:
    path = tmp_path / "torn.yaml"
    path.write_text(text)
    with pytest.raises(harness.HarnessError, match=r"torn\.yaml: ") as refused:
        read(path)
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize("slug", FILES)
def test_shipped_claim_composes(slug: str) -> None:
    from harness.config.composition import compose
    from harness.config.overrides import parse as parse_overrides

    claim = read(FILES[slug])
    for _, words in cells(claim, quick=False):
        parse_overrides(words)
        compose([*common(claim), *(word for word in words if not key_of(word).startswith("tune."))])
    assert claim.source
    assert {condition.name for condition in claim.conditions} >= set(claim.quick_conditions)
