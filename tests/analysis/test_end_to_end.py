"""End to end: harness trains studies with equal and with unequal arms, adds seeds, and its verdicts are right."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom

import harness
from harness.analysis.comparison.model import Difference
from harness.analysis.stats.looks import spend
from harness.analysis.stats.paired import ALPHA, estimate
from tests.helpers.planted import planted

STUDIES = 40
LOOKS = (5, 10, 20)
TWIN = '''
import torch
from harness.space import Integers

@harness.initializer()
def twin(
    weight, fan_in: int, gain: float, generator: torch.Generator, *, mark: Annotated[int, Integers(0, 9)] = 0
) -> None:
    """He initialization, normal. Arms with other marks are independent draws from the same distribution."""
    seed = int(torch.randint(2**62, (), generator=generator)) + mark
    weight.normal_(0, gain / fan_in**0.5, generator=torch.Generator().manual_seed(seed))
'''
SMALL = ["data=moons", "data.n=300", "batch_size=32", "initializer=twin", "executor=in_process", "path=fused"]
EQUAL = ["initializer.mark=0,1", "data.noise=0.3", "epochs=4"]
UNEQUAL = ["activation=relu,identity", "data.noise=0.2", "epochs=6", "optimizer.lr=0.02"]  # moons are no linear problem


@pytest.fixture
def twins(tmp_path: Path, workdir: Path) -> Iterator[None]:
    """Install the initializer."""
    site = tmp_path / "site"
    site.mkdir()
    with planted(site, "twins", TWIN, "twin"):
        yield


def looks(study: str, first_seed: int, words: Sequence[str]) -> Iterator[tuple[Difference, str]]:
    """Train a study and add seeds to it. Yield the difference of its arms and the report at each look."""
    for n in LOOKS:
        seeds = [f"seed=range({first_seed},{first_seed + n})", "split.seed=${seed}"]
        harness.sweep([*SMALL, *words, *seeds, f"study={study}"])
        found = harness.report(study)
        (difference,) = found.comparison.tables[0].differences
        assert difference.n == n
        yield difference, " ".join(str(found).split())


def called_by_simulation(d: float) -> float:
    """Return the share of 4,000 studies with a normal difference of d standard deviations that call it."""
    x = np.random.default_rng(0).standard_normal((4_000, LOOKS[-1])) + d
    spent = [(n, spend(n, before, 30)) for before, n in itertools.pairwise((0, *LOOKS))]
    return float(np.mean([any(estimate(row[:n]).p <= level for n, level in spent) for row in x]))


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.usefixtures("twins")
def test_equal_arms_are_rarely_called_different() -> None:
    called = naive = 0
    for i in range(STUDIES):
        seen = list(looks(f"equal{i}", 1000 * i, EQUAL))
        settled = [d.verdict != "not settled" for d, _ in seen]
        assert settled == sorted(settled)  # a verdict stays
        assert all(("not settled" in text) != verdict for (_, text), verdict in zip(seen, settled, strict=True))
        assert sum(d.level for d, _ in seen) <= ALPHA
        called += settled[-1]
        naive += any(d.p is not None and d.p <= ALPHA for d, _ in seen)
    print(f"{called} of {STUDIES} pairs of equal arms called different; {naive} by looks at .05 each")
    assert called <= binom.ppf(0.999, STUDIES, ALPHA)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.usefixtures("twins")
def test_planted_difference_is_found() -> None:
    first: list[float] = []
    seeds = []
    for i in range(STUDIES):
        for d, text in looks(f"unequal{i}", 1000 * i, UNEQUAL):
            if d.n == LOOKS[0]:
                sign = 1 if d.arm == "identity" else -1
                first += [sign * x for x in d.pairs.values()]
            if d.verdict != "not settled":
                assert "identity is worse than relu on moons" in text
                seeds.append(d.n)
                break
            assert "not settled" in text
    size = float(np.mean(first) / np.std(first, ddof=1))
    power = called_by_simulation(size)
    print(f"{len(seeds)} of {STUDIES} differences of {size:.2f} sd found with {np.mean(seeds):.1f} seeds; {power:.3f}")
    assert size < -0.5
    assert len(seeds) >= binom.ppf(0.001, STUDIES, power)
