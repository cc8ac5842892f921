"""Tests of reading texts of a table: numbers with other marks, dates in two orders, a first line of values."""

import numpy as np
import pandas as pd
import pytest
import torch

from harness.datasets import disk
from harness.datasets.dataset import SPLITS
from harness.datasets.sampling import sampled
from harness.system.errors import HarnessError
from harness_components.data.tables.columns import CATEGORIES, ColumnProfile
from tests.plugins.components.helpers import data

N = 60
RNG = np.random.default_rng(0)
Y = ["pq"[i % 2] for i in range(N)]


def _read(folder, table, target="y", **more):
    table.to_csv(folder / "t.csv", index=False)
    return data("csv", {"path": str(folder / "t.csv"), "target": target, **more})


@pytest.mark.parametrize("mark", [" ", "'", "\u00a0", "\u202f", "\u2019"])
def test_digits_may_be_grouped_by_spaces_and_apostrophes(tmp_path, mark):
    values = RNG.integers(1000, 9_000_000, N)
    texts = [f"{value:,}".replace(",", mark) for value in values]
    dataset = _read(tmp_path, pd.DataFrame({"a": texts, "y": Y}))
    assert sorted(torch.cat([dataset.part(s).x for s in SPLITS]).flatten().tolist()) == sorted(values.tolist())


def test_typographic_minus_is_a_minus(tmp_path):
    values = RNG.normal(size=N).round(3)
    dataset = _read(tmp_path, pd.DataFrame({"a": [str(v).replace("-", "\u2212") for v in values], "y": Y}))
    result = torch.cat([dataset.part(s).x for s in SPLITS]).double().flatten().sort().values.numpy()
    np.testing.assert_allclose(result, np.sort(values), rtol=1e-6, atol=1e-6)


def test_ambiguous_dates_are_remarked(tmp_path):
    days = pd.date_range("2024-01-01", periods=N, freq="D")
    early = days[days.day <= 12].repeat(4)[:N]
    both = _read(tmp_path, pd.DataFrame({"when": early.strftime("%m/%d/%Y"), "a": RNG.normal(size=N), "y": Y}))
    assert [text for text in both.remarks if "'when' are read as month/day, and may be day/month" in text]
    one = _read(tmp_path, pd.DataFrame({"when": days.strftime("%d/%m/%Y"), "a": RNG.normal(size=N), "y": Y}))
    assert one.remarks == ()


@pytest.mark.parametrize("second", ["%d.%m.%Y", "%Y년 %m월 %d일", "%d-%b-%Y", "%d/%m/%Y"])
@pytest.mark.parametrize("in_memory", [True, False])
def test_dates_in_two_forms_are_read_each_in_its_own(tmp_path, monkeypatch, second, in_memory):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(disk, "BLOCK_BYTES", 8 * 3 * (N // 4))  # the second form is met in a later block
    days = pd.date_range("2020-01-13", periods=N, freq="D")
    texts = [day.strftime("%Y-%m-%d" if place < N / 2 else second) for place, day in enumerate(days)]
    table = pd.DataFrame({"when": texts, "a": RNG.normal(size=N), "y": Y})
    dataset = _read(tmp_path, table, in_memory=in_memory)
    found = torch.cat([sampled(dataset, N, split)[0][:, 0] for split in SPLITS]).sort().values
    np.testing.assert_allclose(found, (days - pd.Timestamp(0)).days.to_numpy(), rtol=0, atol=1e-3)
    assert any("'when' are written in several ways" in text for text in dataset.remarks)


def test_dates_in_both_orders_of_day_and_month_are_refused(tmp_path):
    days = pd.date_range("2024-01-13", periods=N, freq="D")
    texts = [day.strftime("%d/%m/%Y" if place % 2 else "%m/%d/%Y") for place, day in enumerate(days)]
    table = pd.DataFrame({"when": texts, "a": RNG.normal(size=N), "y": Y})
    with pytest.raises(HarnessError, match=r"'when' mixes dates as %m/%d/%Y and as %d/%m/%Y, .* data\.drop=\[when\]"):
        _read(tmp_path, table)
    assert _read(tmp_path, table, drop=["when"]).columns == ("a",)


@pytest.mark.parametrize(
    ("names", "remarked"),
    [
        (["5.1", "3.5", "1.4", "setosa"], True),
        (["5", "3", "1", "setosa"], True),  # integers, not in order
        (["3", "3", "7", "setosa"], True),
        (["2019", "2020", "2021", "y"], False),  # years
        (["0", "1", "2", "y"], False),  # places of pixels
        (["a", "b", "1.5", "y"], False),
    ],
)
def test_first_line_of_values_is_remarked(tmp_path, names, remarked):
    rows = [",".join([*(f"{v:.2f}" for v in RNG.normal(size=3)), y]) for y in Y]
    (tmp_path / "t.csv").write_text("\n".join([",".join(names), *rows]))
    dataset = data("csv", {"path": str(tmp_path / "t.csv"), "target": names[-1]})
    assert any("add a line with names above it" in text.lower() for text in dataset.remarks) is remarked


def test_few_values_are_counted_of_each_column_of_a_wide_table():
    numbers, words, ids = (ColumnProfile(name, (), columns=2000) for name in ("numbers", "words", "ids"))
    for block in range(3):
        numbers.update(pd.Series(RNG.normal(size=400)))
        words.update(pd.Series([f"w{place % CATEGORIES}" for place in range(400)]))
        ids.update(pd.Series(np.arange(400) + 400 * block))
    assert numbers.most == CATEGORIES
    assert [column.overflows for column in (numbers, words, ids)] == [True, False, True]
    assert len(numbers.distinct) == CATEGORIES
    assert sum(words.distinct.values()) == 1200
    assert [column.unique for column in (numbers, words, ids)] == [False, False, True]
