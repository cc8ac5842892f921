"""Tests of a comparison as Markdown, LaTeX and HTML for a notebook."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from harness.analysis.report.markup import latex, to_latex, to_markdown, to_notebook
from tests.helpers.comparisons import HOSTILE, builders, hostile_names, many_data_sets, one_data_set

BUILDERS = builders()


class Tags(HTMLParser):
    """The tags of a page, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def shown(page: str) -> Tags:
    """Return what a Markdown renderer makes of a page."""
    return Tags(MarkdownIt("commonmark").enable("table").render(page))


@pytest.mark.parametrize("name", BUILDERS)
def test_markdown_has_a_table_for_each_data_set(name: str) -> None:
    comparison = BUILDERS[name]
    page = shown(to_markdown(comparison))
    tables = [*comparison.tables, *([comparison.overall] if comparison.overall else [])]
    assert page.tags.count("table") >= len(tables)
    assert page.tags.count("tr") >= sum(len(table.arms) + 1 for table in tables)
    assert set(page.tags) <= {"p", "strong", "br", "h3", "table", "thead", "tbody", "tr", "th", "td", "ul", "li"}


def test_markdown_shows_the_verdict_and_the_differences() -> None:
    comparison = one_data_set()
    text = to_markdown(comparison)
    assert text.startswith(f"**{comparison.verdict[0]}**")
    assert "| 4 | sgd,tanh | 10/10 | .9592 | -.0128 \\[-.0184, -.0072\\] | 0% | worse |" in text
    assert "- groups: {1-3} {4}" in text


def test_hostile_names_are_literal_in_markdown() -> None:
    page = shown(to_markdown(hostile_names()))
    assert not {"script", "a", "img", "code"} & set(page.tags)
    for name in HOSTILE:
        assert name.replace("\x1b", "\\x1b").replace("\u202e", "\\u202e") in page.text


@pytest.mark.parametrize("name", BUILDERS)
def test_latex_tables_have_equal_rows_and_balanced_braces(name: str) -> None:
    comparison = BUILDERS[name]
    text = to_latex(comparison)
    unescaped = re.sub(r"\\[\\{}$&#%_]", "", text)
    assert unescaped.count("{") == unescaped.count("}")
    assert len(re.findall(r"\\begin\{table\}", text)) == len(re.findall(r"\\end\{table\}", text)) >= 1
    for alignment, body in re.findall(r"\\begin\{tabular\}\{(\w+)\}\n(.*?)\\end\{tabular\}", text, re.DOTALL):
        rows = [line for line in body.splitlines() if line.endswith(r"\\")]
        assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {len(alignment) - 1}


def test_latex_has_numbers_in_math_and_a_caption() -> None:
    text = to_latex(one_data_set())
    assert r"$-.0128$ [$-.0184$, $-.0072$]" in text
    assert r"\caption{adam,relu has the highest mean on digits" in text
    assert r"0\% & worse" in text
    assert to_latex(many_data_sets()).count(r"\begin{table}") == 8  # six data sets, all of them, ranks


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_literal_in_latex(name: str) -> None:
    text = to_latex(hostile_names())
    assert latex(name) in text
    bare = re.sub(r"\\(text[a-z]+\{\}|[{}$&#%_])", "", latex(name))
    assert not set("\\{}$&#%_^~<>\x1b\u202e") & set(bare)


@pytest.mark.parametrize("name", BUILDERS)
def test_notebook_view_has_only_its_own_tags(name: str) -> None:
    page = Tags(to_notebook(BUILDERS[name]))
    assert set(page.tags) <= {"p", "b", "h4", "table", "tr", "th", "td"}
    assert not set("\x1b\u202e") & set(page.text)


def test_hostile_names_are_literal_in_a_notebook() -> None:
    page = Tags(to_notebook(hostile_names()))
    for name in HOSTILE:
        assert name.replace("\x1b", "\\x1b").replace("\u202e", "\\u202e") in page.text


COMMANDS = {  # that the tables use, with the number of their arguments
    "begin": 1, "end": 1, "caption": 1, "centering": 0, "toprule": 0, "midrule": 0, "bottomrule": 0, "times": 0,
    "textbackslash": 1, "textasciicircum": 1, "textasciitilde": 1, "textless": 1, "textgreater": 1, "textbar": 1,
    "textquotedbl": 1, "textquotesingle": 1, "textasciigrave": 1,
}  # fmt: skip
TOKEN = re.compile(r"\\([A-Za-z]+)|\\(.)|([{}$&#^_~%\"'`<>|])|(--|,,)", re.DOTALL)


def refuse_wrong_latex(text: str) -> None:
    """Raise AssertionError if LaTeX would stop at a text, or print other characters than those of the comparison."""
    head, *lines = text.splitlines()
    assert head.startswith("% needs ")
    text = "\n".join(line for line in lines if not line.startswith("% "))
    assert not re.search(r"(\\\\|rule)\s*[\[*]", text), "taken for the argument of a line break or a rule"
    braces, environments, math = 0, [], False
    for match in TOKEN.finditer(text):
        command, symbol, special, ligature = match.groups()
        assert ligature is None or math, f"{ligature} is printed as another character"
        if command is not None:
            assert command in COMMANDS, f"unknown \\{command}"
            assert text[match.end() :].startswith("{") == bool(COMMANDS[command]), f"\\{command} takes an argument"
            name = re.match(r"\{(\w*)\}", text[match.end() :])
            if command == "begin":
                assert name is not None
                environments.append(name[1])
            elif command == "end":
                assert name is not None
                assert environments.pop() == name[1]
        elif symbol is not None:
            assert symbol in "\\{}$&#%_", f"unknown \\{symbol}"
            assert symbol != "\\" or (environments[-1] == "tabular" and braces == 0 and not math)
        elif special in "{}":
            braces += 1 if special == "{" else -1
            assert braces >= 0
        elif special == "$":
            math = not math
        else:
            assert special == "&", f"bare {special}"
            assert (environments[-1], braces, math) == ("tabular", 0, False)
    assert (braces, environments, math) == (0, [], False)


@pytest.mark.parametrize("name", BUILDERS)
def test_latex_compiles(name: str) -> None:
    refuse_wrong_latex(to_latex(BUILDERS[name]))


def renamed(name: str) -> str:
    """Return LaTeX with one arm of another name."""
    comparison = one_data_set()
    (table,) = comparison.tables
    arms = [replace(table.arms[0], name=name), *table.arms[1:]]
    return to_latex(replace(comparison, tables=[replace(table, arms=arms)], verdict=[f"{name} is best"]))


@pytest.mark.parametrize(
    "name", ["[l2]", "*", "a--b---c", "a,,b", "?`!`", "<<x>>", "''x``", r"\end{tabular}", "%", "\0"]
)
def test_name_that_latex_would_read_is_literal(name: str) -> None:
    text = renamed(name)
    refuse_wrong_latex(text)
    assert f"{latex(name)} & 10/10" in text


def test_characters_beyond_latin_are_noted() -> None:
    assert "LuaLaTeX or XeLaTeX" in renamed("결과").splitlines()[1]
    assert "LuaLaTeX" not in renamed("naïve")


@given(st.text(max_size=30))
def test_any_name_is_literal_in_latex(name: str) -> None:
    refuse_wrong_latex(f"% needs \n\\begin{{tabular}}{{l}}\nx{latex(name)}x \\\\\n\\end{{tabular}}")
