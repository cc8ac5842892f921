"""Tests of figures as files, and as SVG in a page."""

from __future__ import annotations

import io
import re
from pathlib import Path
from xml.etree import ElementTree

import PIL.Image
import pytest

from harness.analysis.figures import FIGURES, FORMATS, draw, save
from harness.analysis.figures.files import Format, inline_svg
from harness.system.errors import HarnessError
from tests.helpers.comparisons import hostile_names, many_data_sets, one_data_set, single_seed

MAGIC = {"pdf": b"%PDF", "svg": b"<?xml", "png": b"\x89PNG"}


@pytest.mark.parametrize("format", FORMATS)
def test_files_are_the_same_each_time(format: Format, tmp_path: Path) -> None:
    first, second = (save(single_seed(), tmp_path / folder, format) for folder in ("a", "b"))
    assert [path.name for path in first] == [f"{n}.{format}" for n in ("forest", "curves", "cost")]
    for one, two in zip(first, second, strict=True):
        content = one.read_bytes()
        assert content.startswith(MAGIC[format])
        assert content == two.read_bytes()
        assert b"CreationDate" not in content
        assert b"<dc:date>" not in content
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == sorted(path.name for path in first)


def test_picture_has_print_resolution(tmp_path: Path) -> None:
    path = next(path for path in save(single_seed(), tmp_path, "png") if path.stem == "forest")
    with PIL.Image.open(path) as image:
        assert image.width == pytest.approx(6.75 * 200, rel=0, abs=1)


def test_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(HarnessError, match=r"--figures: .*taken is not a folder: choose another"):
        save(one_data_set(), tmp_path / "taken")
    assert (tmp_path / "taken").read_text() == "mine"


def test_taken_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "forest.pdf").mkdir()
    with pytest.raises(HarnessError, match=r"forest\.pdf is a folder: remove it, or choose another folder"):
        save(one_data_set(), tmp_path)


def test_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HarnessError, match=r"--figures: cannot write to .*: Not a directory"):
        save(one_data_set(), tmp_path / "file" / "inner")


def test_unknown_format_names_the_known() -> None:
    with pytest.raises(HarnessError, match=r"^--format=gif: expected pdf, svg or png$"):
        save(one_data_set(), "never", "gif")
    assert not Path("never").exists()


@pytest.mark.parametrize("name", FIGURES)
def test_inline_svg_is_well_formed_and_escaped(name: str) -> None:
    figure = next(f for c in (hostile_names(), one_data_set(), many_data_sets()) if (f := draw(name, c)) is not None)
    svg = inline_svg(figure, name)
    root = ElementTree.fromstring(svg)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert not [e for e in root.iter() if e.tag.rpartition("}")[2] in ("script", "style", "metadata", "foreignObject")]
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u202e]", svg)
    assert "#1f2329" not in svg, "ink is a variable of the page"
    assert "var(--ink)" in svg
    ids = re.findall(r' id="([^"]*)"', svg)
    assert all(each.startswith(f"{name}-") for each in ids)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:url\(#|href="#)([^)"]+)', svg)) <= set(ids)


def test_inline_svg_keeps_text_as_text() -> None:
    figure = draw("forest", one_data_set())
    assert figure is not None
    words = [e.text for e in ElementTree.parse(io.StringIO(inline_svg(figure, "forest"))).iter() if e.text]
    assert {"adam,relu", "sgd,tanh", "baseline"} <= set(words)
