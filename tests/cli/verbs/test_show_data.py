"""Tests of `harness show-data`: how each column is used, before any training."""

import json
import subprocess
import sys

import pytest

from harness.cli.parser import parse
from harness.cli.verbs import built_in
from harness.system.errors import HarnessError


def show_data(words):
    command = built_in("show-data")
    return command.function(parse(command, words))


ROW = "{id};{age};{city};{day:02d}.03.2021;{result}\n"
TABLE = "id;나이;도시;가입일;결과\n" + "".join(
    ROW.format(
        id=100 + 3 * i,
        age="" if i % 10 == 3 else 20 + i % 50,
        city=("서울", "부산")[i % 2],
        day=1 + i % 28,
        result="높음" if i % 4 else "낮음",
    )
    for i in range(40)
)


@pytest.fixture
def table(workdir):
    (workdir / "people (1).csv").write_bytes(TABLE.encode("cp949"))
    return ["data=csv", "data.path=people (1).csv"]


def test_json_output_describes_each_column(table, capsys):
    assert show_data([*table, "data.target=결과", "data.order=가입일", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["rows"], report["encoding"], report["separator"]) == (40, "cp949", ";")
    columns = {c["name"]: (c["role"], c["kind"], c["missing"], c["values"]) for c in report["columns"]}
    assert columns == {
        "id": ("left out", "id", 0, "100 .. 217"),
        "나이": ("input", "number", 0.1, "20 .. 59"),
        "도시": ("input", "category", 0, "서울, 부산"),
        "가입일": ("order", "date", 0, "2021-03-01 .. 2021-03-28"),
        "결과": ("target", "category", 0, "높음, 낮음"),
    }
    assert report["target"] == {"name": "결과", "kind": "class", "classes": {"높음": 0.75, "낮음": 0.25}}


def test_text_output_has_columns_and_class_shares(table, capsys):
    show_data([*table, "data.target=결과"])
    text = capsys.readouterr().out
    assert "people (1).csv: 40 rows, 5 columns; cp949; separator ';'" in text
    assert "median, with an indicator" in text
    assert "target 결과: 2 classes: 높음 75%, 낮음 25%" in text


def test_target_is_optional(table, capsys):
    assert show_data(table) == 0
    assert "choose what to predict: data.target=COLUMN" in capsys.readouterr().out


def test_faults_are_refused_as_by_a_run(table):
    with pytest.raises(HarnessError, match=r"data csv: people \(1\)\.csv has no column '결가'"):
        show_data([*table, "data.target=결가"])


def test_data_other_than_tables_shows_its_splits(capsys):
    assert show_data(["data=iris"]) == 0
    assert "3 classes: setosa 33%" in capsys.readouterr().out


def test_show_data_and_a_misspelt_column_import_no_torch(table, workdir):
    code = """
import sys
from harness.cli import main
for words in (["show-data", *{line}, "data.target=결과"], [*{line}, "data.target=결가"]):
    try:
        main(words)
    except SystemExit as stop:
        print(stop.code, "torch" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", code.replace("{line}", repr(table))],
        cwd=workdir,
        capture_output=True,
        text=True,
        check=True,
    )
    assert [line for line in done.stdout.splitlines() if line.endswith(("True", "False"))] == ["0 False", "2 False"]
    assert "no column '결가'" in done.stderr
