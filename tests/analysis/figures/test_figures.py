"""Tests of the figures, on synthetic comparisons of many shapes."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, pairwise

import matplotlib
import pytest
from matplotlib.backend_bases import RendererBase
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from harness.analysis.comparison.model import Comparison
from harness.analysis.figures import FIGURES, draw
from harness.analysis.figures.style import PALETTE, arm_styles, style
from tests.helpers.comparisons import (
    HOSTILE,
    builders,
    hostile_names,
    losses,
    many_data_sets,
    nothing_completed,
    one_data_set,
    single_seed,
)

COMPARISONS = builders()
ONE = {"forest", "curves", "cost", "variance"}
MANY = {*ONE, "heatmap", "profiles", "critical_difference"}
EXPECTED = {
    "one_data_set": {*ONE, "effects", "interactions"},
    "with_margin": {*ONE, "effects", "interactions"},
    "twenty_arms": ONE,
    "many_data_sets": MANY,
    "twelve_data_sets": MANY,
    "two_factors": {*ONE, "effects", "interactions"},
    "with_failures": {*ONE, "completion"},
    "losses": {*ONE, "effects", "interactions", "sensitivity"},
    "single_seed": ONE - {"variance"},
    "nothing_completed": {"completion", "variance"},
    "hostile_names": {*ONE, "heatmap", "effects", "profiles", "sensitivity", "completion", "tuning"},
    "tuned": {*ONE, "heatmap", "profiles", "tuning"},
}


def texts(figure: Figure) -> list[Text]:
    return [t for t in figure.findobj(Text) if t.get_visible() and t.get_text()]


def drawn(name: str, comparison: Comparison) -> Figure:
    figure = draw(name, comparison)
    assert figure is not None
    return figure


def boxes(figure: Figure) -> list[tuple[str, Bbox]]:
    """Draw a figure; return each text drawn, but those that are turned by an angle, and its rectangle."""
    found: list[Text] = []
    draw_text = Text.draw

    def record(text: Text, renderer: RendererBase) -> None:
        found.append(text)
        draw_text(text, renderer)

    with style(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(Text, "draw", record)
        figure.canvas.draw()
        straight = [text for text in found if text.get_text() and text.get_rotation() in (0.0, 90.0)]
        return [(text.get_text(), Text.get_window_extent(text)) for text in straight]  # without an annotation's arrow


@pytest.mark.parametrize("name", COMPARISONS)
def test_comparison_has_the_figures_that_it_has_data_for(name: str) -> None:
    assert {figure for figure in FIGURES if draw(figure, COMPARISONS[name]) is not None} == EXPECTED[name]


@pytest.mark.parametrize(
    ("comparison", "name"),
    [
        (c, name)
        for c in ("twenty_arms", "twelve_data_sets", "with_failures", "hostile_names", "tuned")
        for name in sorted(EXPECTED[c])
    ],
)
def test_labels_do_not_overlap(comparison: str, name: str) -> None:
    figure = drawn(name, COMPARISONS[comparison])
    found = boxes(figure)
    assert found
    for (one, a), (two, b) in combinations(found, 2):
        shared = Bbox.intersection(a, b)
        assert shared is None or min(shared.width, shared.height) < 2, (one, two)
    assert [text for text, box in found if box.x0 < -1 or box.x1 > figure.bbox.x1 + 1] == []


def test_drawing_leaves_matplotlib_as_it_was() -> None:
    with matplotlib.rc_context({"font.size": 31, "text.usetex": True, "axes.facecolor": "black"}):
        before = dict(matplotlib.rcParams)
        figure = drawn("forest", one_data_set())
        assert dict(matplotlib.rcParams) == before
    assert max(text.get_fontsize() for text in texts(figure)) < 12
    assert not any(text.get_usetex() for text in texts(figure))


@pytest.mark.parametrize("name", ["forest", "curves", "completion", "cost", "heatmap"])
def test_names_are_taken_literally(name: str) -> None:
    figure = drawn(name, hostile_names())
    with style():
        figure.canvas.draw()
    shown = [text.get_text() for text in texts(figure)]
    assert any(r"$_%\input{x}" in text for text in shown)
    assert all(character.isprintable() for text in shown for character in text.replace("\n", ""))
    assert not any(text.get_parse_math() for text in texts(figure) if "$" in text.get_text())
    assert not any("\u202e" in text or "\x1b" in text for text in shown)
    assert any(r"\u202eevil" in text for text in shown)


def test_forest_has_a_dot_for_each_pair() -> None:
    comparison = one_data_set(arms=4, seeds=10)
    (axes,) = drawn("forest", comparison).axes
    dots = next(line for line in axes.lines if line.get_marker() == ".")
    pairs = [d.pairs for d in comparison.tables[0].differences if d.against == comparison.tables[0].reference]
    assert sorted(dots.get_xdata()) == sorted(value for each in pairs for value in each.values())


def test_forest_shows_the_margin_as_a_band() -> None:
    without, with_margin = (drawn("forest", one_data_set(margin=margin)).axes[0] for margin in (None, 0.006))
    assert len(without.patches) == 0
    (band,) = with_margin.patches
    assert band.get_extents().width > 0
    assert (band.get_x(), band.get_x() + band.get_width()) == pytest.approx((-0.006, 0.006), rel=0, abs=1e-12)


def test_ratios_are_drawn_on_a_logarithmic_scale() -> None:
    (axes,) = drawn("forest", losses()).axes
    assert axes.get_xscale() == "log"


def test_heat_map_names_every_mean() -> None:
    comparison = many_data_sets()
    shown = {text.get_text() for text in texts(drawn("heatmap", comparison))}
    assert {f"{arm.mean:.4f}"[1:] for table in comparison.tables for arm in table.arms} <= shown


def test_pareto_front_is_bold() -> None:
    """Of arms of one table, those that are both dearer and worse than another are not bold."""
    comparison = one_data_set()
    bold = {text.get_text() for text in texts(drawn("cost", comparison)) if text.get_fontweight() == "bold"}
    front = {
        arm.name
        for arm in comparison.tables[0].arms
        if not any(other.seconds < arm.seconds and other.mean >= arm.mean for other in comparison.tables[0].arms)
    }
    assert bold == front


def test_cost_is_measured_in_parameters_where_paths_are_mixed() -> None:
    comparison = one_data_set()
    (table,) = comparison.tables
    arms = [replace(arm, seconds=None, parameters=1000 * (i + 1)) for i, arm in enumerate(table.arms)]
    mixed = replace(comparison, tables=[replace(table, arms=arms)])
    assert drawn("cost", mixed).axes[0].get_xlabel() == "parameters"
    same = [replace(arm, parameters=1000) for arm in arms]
    assert draw("cost", replace(comparison, tables=[replace(table, arms=same)])) is None


def test_arms_beside_each_other_differ_without_colour() -> None:
    styles = list(arm_styles(one_data_set(arms=20)).values())
    for one, two in pairwise(styles):
        assert one.color != two.color
        assert one.marker != two.marker
        assert one.line != two.line
    assert len({(style.color, style.marker) for style in styles}) == 20


def test_colours_are_told_apart_in_print() -> None:
    """The first colours of the palette have different greys, which markers and lines support."""
    greys = sorted(0.2126 * r + 0.7152 * g + 0.0722 * b for r, g, b in map(matplotlib.colors.to_rgb, PALETTE[:3]))
    assert greys[0] < 0.95 * greys[1] < 0.95 * greys[2]


def test_single_seed_has_no_interval() -> None:
    shown = [text.get_text() for text in texts(drawn("forest", single_seed()))]
    assert not any("[" in text for text in shown)


def test_study_of_thousands_of_runs_is_drawn_with_pixels_for_dots() -> None:
    comparison = one_data_set(arms=40, seeds=100)
    dots = [line for axes in drawn("forest", comparison).axes for line in axes.lines if line.get_marker() == "."]
    assert [dot.get_rasterized() for dot in dots] == [True]


def test_arm_without_completed_runs_has_a_bar_only() -> None:
    comparison = nothing_completed()
    assert draw("forest", comparison) is None
    assert draw("cost", comparison) is None
    shown = {text.get_text() for text in texts(drawn("completion", comparison))}
    assert {"adam", "sgd", "0/10", "failed"} <= shown


def test_long_names_are_shortened() -> None:
    shown = [text.get_text() for text in texts(drawn("forest", hostile_names()))]
    assert HOSTILE[-1] not in shown
    assert any(text.startswith("naïve") and "…" in text for text in shown)
