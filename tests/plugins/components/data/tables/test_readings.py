"""What a table's texts can be read as: numbers with other marks, dates in two orders, a first line of values."""

import numpy as np
import pandas as pd
import pytest
import torch

from harness.datasets.dataset import SPLITS
from tests.plugins.components.helpers import data

N = 60
RNG = np.random.default_rng(0)
Y = ["pq"[i % 2] for i in range(N)]


def _read(folder, table, target="y", **more):
    table.to_csv(folder / "t.csv", index=False)
    return data("csv", {"path": str(folder / "t.csv"), "target": target, **more})


@pytest.mark.parametrize("mark", [" ", "'", "\u00a0", "\u202f", "\u2019"])
def test_digits_are_grouped_by_spaces_and_apostrophes(tmp_path, mark):
    values = RNG.integers(1000, 9_000_000, N)
    texts = [f"{value:,}".replace(",", mark) for value in values]
    dataset = _read(tmp_path, pd.DataFrame({"a": texts, "y": Y}))
    assert sorted(torch.cat([dataset.part(s).x for s in SPLITS]).flatten().tolist()) == sorted(values.tolist())


def test_a_typographic_minus_is_a_minus(tmp_path):
    values = RNG.normal(size=N).round(3)
    dataset = _read(tmp_path, pd.DataFrame({"a": [str(v).replace("-", "\u2212") for v in values], "y": Y}))
    found = torch.cat([dataset.part(s).x for s in SPLITS]).double().flatten().sort().values.numpy()
    np.testing.assert_allclose(found, np.sort(values), rtol=1e-6, atol=1e-6)


def test_dates_of_two_readings_are_told(tmp_path):
    days = pd.date_range("2024-01-01", periods=N, freq="D")
    early = days[days.day <= 12].repeat(4)[:N]
    both = _read(tmp_path, pd.DataFrame({"when": early.strftime("%m/%d/%Y"), "a": RNG.normal(size=N), "y": Y}))
    assert [text for text in both.remarks if "'when' are read as month/day, and may be day/month" in text]
    one = _read(tmp_path, pd.DataFrame({"when": days.strftime("%d/%m/%Y"), "a": RNG.normal(size=N), "y": Y}))
    assert one.remarks == ()


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["5.1", "3.5", "1.4", "setosa"], True),
        (["5", "3", "1", "setosa"], True),  # whole, and not in order
        (["3", "3", "7", "setosa"], True),
        (["2019", "2020", "2021", "y"], False),  # years
        (["0", "1", "2", "y"], False),  # places of pixels
        (["a", "b", "1.5", "y"], False),
    ],
)
def test_a_first_line_of_values_is_told(tmp_path, names, told):
    rows = [",".join([*(f"{v:.2f}" for v in RNG.normal(size=3)), y]) for y in Y]
    (tmp_path / "t.csv").write_text("\n".join([",".join(names), *rows]))
    dataset = data("csv", {"path": str(tmp_path / "t.csv"), "target": names[-1]})
    assert any("add a line with names above it" in text.lower() for text in dataset.remarks) is told
