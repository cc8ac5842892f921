"""Tests of the HTML report, without a browser."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from harness.analysis.comparison.compare import compare
from harness.analysis.html import page
from harness.analysis.html.tables import MARKS
from tests.helpers.comparisons import (
    HOSTILE,
    builders,
    many_data_sets,
    one_data_set,
    single_seed,
)
from tests.helpers.studies import noise, study

VOID = {"meta", "link", "br", "hr", "img", "input", "wbr"}


class Document(HTMLParser):
    """The elements of a page; a tag that is not closed in order is an error."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self.words: list[str] = []
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open:
            self.texts.setdefault(self.open[-1], []).append(data)
        if not {"style", "script"} & set(self.open):
            self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


COMPARISONS = builders()


class Pages(dict[str, str]):
    """The page of each comparison, made when it is first asked for."""

    def __missing__(self, name: str) -> str:
        self[name] = page(COMPARISONS[name])
        return self[name]


@pytest.fixture(scope="module")
def pages() -> Pages:
    return Pages()


@pytest.mark.parametrize("name", COMPARISONS)
def test_page_is_well_formed_small_and_needs_nothing_else(name: str, pages: Pages) -> None:
    source = pages[name]
    document = Document(source)
    assert source.startswith("<!DOCTYPE html>")
    assert len(source.encode()) < 1_000_000
    ids = [attributes["id"] for _, attributes in document.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [
        value for _, a in document.elements for key, value in a.items() if key in ("src", "href", "action", "srcset")
    ]
    assert all(link is not None and link.startswith(("#", "data:image/png;")) for link in links)
    assert {link[1:] for link in links if link is not None and link.startswith("#")} <= set(ids)
    assert not re.search(r"@import|url\((?!#)", source)
    assert "http" not in source.replace("http-equiv", "").replace("http://www.w3.org/2000/svg", "")


@pytest.mark.parametrize("name", COMPARISONS)
def test_only_script_is_the_one_that_the_policy_names(name: str, pages: Pages) -> None:
    document = Document(pages[name])
    (script,) = document.texts["script"]
    (policy,) = [m["content"] for m in document.all("meta") if m.get("http-equiv") == "Content-Security-Policy"]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy is not None
    assert policy.startswith("default-src 'none'; ")
    assert f"script-src 'sha256-{digest}'" in policy
    assert len(document.all("script")) == 1
    assert not [key for _, attributes in document.elements for key in attributes if key.startswith("on")]


def test_hostile_names_are_shown_and_not_acted_on(pages: Pages) -> None:
    source = pages["hostile_names"]
    document = Document(source)
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]", source)
    text = document.text()
    for name in HOSTILE:
        assert name.replace("\x1b", r"\x1b").replace("\u202e", r"\u202e") in text
    assert not {tag for tag, _ in document.elements} & {"iframe", "object", "embed", "link", "base", "form", "red"}


def test_reader_meets_the_verdict_first(pages: Pages) -> None:
    text = Document(pages["one_data_set"]).text()
    order = [
        "adam,relu has the highest mean on digits",
        "Scope",
        "Look",
        "Margin",
        "Floor",
        "Ranking",
        "How it was decided",
    ]
    places = [text.index(words) for words in order]
    assert places == sorted(places)


def test_numbers_have_the_form_of_papers(pages: Pages) -> None:
    text = Document(pages["one_data_set"]).text()
    for number in (
        ".9719 ± .0033",
        "−.0128",
        "[−.0184, −.0072]",
        "10/10",
        "0.22",
        "first look, .0289 of .05 spent; Holm over 6",
        "26,122 parameters each",
    ):
        assert number in text
    ratio = Document(pages["losses"]).text()
    assert "×1.156" in ratio
    assert "[1.037, 1.289]" in ratio


def test_facts_name_chance_margin_and_floor() -> None:
    text = Document(page(one_data_set(margin=0.006))).text()
    assert "Chance level .1020 answering '3' always scores .1020" in text
    assert "Margin ±.006" in text
    assert re.search(r"Floor \.\d{4} to \.\d{4}", text)
    assert "two one-sided tests place the difference within ±.006" in text
    assert "splits for ±.006" in text


@pytest.mark.parametrize("verdict", ["worse", "not settled", "equal"])
def test_verdict_is_told_by_a_mark_and_words(verdict: str, pages: Pages) -> None:
    mark, kind = MARKS[verdict]
    name = "one_data_set" if verdict == "not settled" else "with_margin"
    cell = f'<td class="text {kind}" data-v="[0-9]"><span class="mark" aria-hidden="true">{mark}</span>{verdict}</td>'
    assert re.search(cell, pages[name])


def test_groups_have_letters(pages: Pages) -> None:
    comparison = one_data_set()
    cells = re.findall(r'<td class="text">((?:<span class="group">[A-L]?</span>)+)</td>', pages["one_data_set"])
    letters = [re.sub(r"<[^>]*>", "", cell) for cell in cells]
    groups = comparison.tables[0].groups
    expected = ["".join("ABCD"[i] for i, g in enumerate(groups) if a.name in g) for a in comparison.tables[0].arms]
    assert letters == expected


def test_every_figure_has_an_alternative_text_and_a_caption(pages: Pages) -> None:
    for name in COMPARISONS:
        document = Document(pages[name])
        figures = len(document.all("figure"))
        assert figures == len(document.all("figcaption"))
        drawings = [a for a in document.all("svg") if a.get("role") == "img"]
        assert len(drawings) == figures
        assert all(len(drawing.get("aria-label") or "") > 40 for drawing in drawings)


def test_failures_are_listed_with_findings(pages: Pages) -> None:
    text = Document(pages["with_failures"]).text()
    assert "35 of 50 runs completed" in text
    assert "4 of 10 .0870 loss is nan at step 40 of 600 optimizer.lr=0.3 is too large" in text
    assert "share of pairs won decides" in text
    assert "worse (by wins)" in text


def test_commands_are_told(pages: Pages) -> None:
    comparison = one_data_set()
    blocks = Document(pages["one_data_set"]).texts["pre"]
    assert blocks == [comparison.command, comparison.more]


def test_single_seed_and_nothing_completed_have_a_page(pages: Pages) -> None:
    assert "needs at least 3" in Document(pages["single_seed"]).text()
    text = Document(pages["nothing_completed"]).text()
    assert "No run of broken completed." in text
    assert "0 of 20 runs completed." in text


def test_second_look_at_the_same_data_spends_nothing() -> None:
    comparison = one_data_set()
    again = replace(comparison, look=replace(comparison.look, new=False))
    text = Document(page(again)).text()
    assert "spends no further error rate; .0289 of .05 is spent so far" in text
    assert "first look, .0289 of .05 spent" in text


def test_comparison_of_empty_parts_has_a_page() -> None:
    empty = replace(single_seed(), tables=[], curves=[], notes=[], command="", environment={}, varied=[])
    assert "How to repeat it" in Document(page(empty)).text()


def test_page_of_many_arms_and_data_sets_stays_small() -> None:
    """Long rankings are cut, and the page says so; names of any length do not break the limit."""
    comparison = one_data_set(arms=130, seeds=3)
    (table,) = comparison.tables
    long = [replace(arm, name=arm.name + "x" * 5000) for arm in table.arms]
    source = page(
        replace(comparison, tables=[replace(table, arms=long, data=f"{i}", differences=[]) for i in range(30)])
    )
    assert len(source.encode()) < 2_000_000
    text = Document(source).text()
    assert "The best 33 of 130 arms; harness report --csv has all." in text


def test_page_is_the_same_each_time() -> None:
    assert page(single_seed()) == page(single_seed())


def test_overall_ranking_is_open_and_those_of_many_data_sets_are_closed(pages: Pages) -> None:
    opened = re.findall(r"<details( open)?><summary>(?!The other)([^<]*)", pages["many_data_sets"])
    names = ["Over data sets", *(str(table.data) for table in many_data_sets().tables), "Shares in numbers"]
    assert [(bool(is_open), name.strip()) for is_open, name in opened] == [(n == "Over data sets", n) for n in names]


def test_title_is_escaped(pages: Pages) -> None:
    (title,) = Document(pages["hostile_names"]).texts["title"]
    assert title == "<script>alert(1)</script>: test/accuracy"


def test_comparison_of_records_has_a_page() -> None:
    """What `compare` returns is what the page expects: levels, verdicts by wins, and an environment with folders."""

    def value(data: str, optimizer: str, seed: int) -> float | None:
        if (optimizer, seed) == ("sgd", 2):
            return None
        return round(360 + 8 * noise(data, seed) - 12 * (optimizer == "sgd") + noise(data, optimizer, seed)) / 400

    records = study({"data": ["digits", "wine"], "optimizer": ["adam", "sgd", "lion"]}, value, seeds=5)
    text = Document(page(compare(records, study=None, keep_looks=False))).text()
    assert "28 of 30 runs completed" in text
    assert "ValueError: it broke" in text
    assert "needs at least 4; each data set stands for itself" in text


def test_environment_is_told_in_words() -> None:
    environment = {"torch": "2.8.0", "git": "", "plugins": {"harness": "0.1.0", "mine": "2"}}
    text = Document(page(replace(single_seed(), environment=environment))).text()
    assert "torch 2.8.0 plugins harness 0.1.0, mine 2" in text
    assert "git" not in text.partition("Environment")[2]
