"""Tests of quoting: the shell's own quotes are enough for any text on the command line."""

import pytest

from harness.config.overrides import expand, parse
from harness.config.quoting import quoted


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("data.target=결과", "결과"),
        ("data.path=train (1).csv", "train (1).csv"),
        ("data.separator=;", ";"),
        ("data.separator=,", ","),
        ("data.separator=\\t", "\\t"),
        ("data.target=a=b", "a=b"),
        ("data.target=price(usd)", "price(usd)"),
        ("data.target=it's", "it's"),
        ('data.target="it\'s"', "it's"),
        ("data.path=C:\\data\\(x)\\", "C:\\data\\(x)\\"),
        ("data.path=~/a b.csv", "~/a b.csv"),
        ("data.path='a;b'", "a;b"),
        ("data.inputs=[나이,키 (cm),b]", ["나이", "키 (cm)", "b"]),
        ("data.inputs=[a,b]", ["a", "b"]),
        ("data.ordinal=[size: S < M < L]", ["size: S < M < L"]),
        ("data.missing=[]", []),
        ("study=실험 (1)", "실험 (1)"),
    ],
)
def test_text_value_needs_no_second_quotes(text, value):
    (override,) = parse(quoted([text]))
    assert override.value() == value


@pytest.mark.parametrize(
    ("text", "jobs"),
    [
        ("data.path=a.csv,b.csv", ["a.csv", "b.csv"]),
        ("data.path=train (1).csv,train (2).csv", ["train (1).csv", "train (2).csv"]),
        ("data.inputs=[나이],[나이,키]", [["나이"], ["나이", "키"]]),
        ("data.target=결과,나이", ["결과", "나이"]),
    ],
)
def test_commas_still_separate_sweep_values(text, jobs):
    assert [parse(job)[0].value() for job in expand(quoted([text], sweep=True))] == jobs


@pytest.mark.parametrize(
    "text", ["epochs=(2", "optimizer.lr=a=b", "data.path='a", "data.inputs=[a", "seed=1", "~logger"]
)
def test_valid_or_malformed_override_is_not_quoted(text):
    assert quoted([text]) == [text]
