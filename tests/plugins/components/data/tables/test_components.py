"""Tests of realistic tables: columns of any type, missing values, ids, encodings, groups and an order."""

import gzip
import json
import zipfile

import numpy as np
import pandas as pd
import pytest
import torch

import harness
from harness.datasets import disk
from harness.datasets.dataset import SPLITS, digest, overlap
from harness.datasets.loading import load
from harness.system.errors import HarnessError
from tests.plugins.components.helpers import data

N = 200
RNG = np.random.default_rng(0)
SHORT = ["epochs=2", "model.width=8", "executor=in_process", "model=mlp", "diagnostic=[]", "logger=[]"]


def people(n=N, seed=0):
    """Return a table with every type of column, and Korean names."""
    rng = np.random.default_rng(seed)
    age = rng.integers(18, 80, n).astype(float)
    result = np.where(age > 60, "높음", np.where(rng.random(n) < 0.2, "낮음", "보통"))
    table = pd.DataFrame(
        {
            "고객번호": [f"C{i:05d}" for i in range(n)],
            "나이": age,
            "도시": rng.choice(["서울", "부산", "대구"], n),
            "키": rng.normal(170, 8, n).round(1),
            "가입일": pd.date_range("2020-01-01", periods=n, freq="31h").strftime("%Y-%m-%d"),
            "회원": rng.choice(["예", "아니오"], n),
            "메모": [f"메모 {i} 번 손님은 {rng.integers(99)} 번 왔다" for i in range(n)],
            "나라": "KR",
            "결과": result,
        }
    )
    table.loc[table.index % 17 == 3, "나이"] = np.nan
    table.loc[table.index % 23 == 5, "도시"] = None
    return table


def settings(path, target="결과", **more):
    return {"path": str(path), "target": target, **more}


def parts_of(dataset):
    return {split: dataset.part(split) for split in SPLITS}


def rows_of(dataset, split, columns):
    """Return named inputs of a split, float64."""
    return dataset.part(split).x[:, [dataset.columns.index(c) for c in columns]].double().numpy()


@pytest.fixture
def few_rows_at_a_time(monkeypatch):
    monkeypatch.setattr(disk, "BLOCK_BYTES", 3000)


def test_every_type_of_column_becomes_numbers(tmp_path):
    table = people()
    table.to_csv(tmp_path / "t.csv", index=False)
    dataset = data("csv", settings(tmp_path / "t.csv"))
    assert dataset.columns == (
        "나이", "키", "가입일", "회원", "도시=대구", "도시=부산", "도시=서울", "나이 is missing", "도시 is missing",
    )  # fmt: skip
    assert dataset.left_out == {"고객번호": "id, each value once", "메모": "text", "나라": "one value only"}
    assert dataset.classes == ("낮음", "높음", "보통")
    x = torch.cat([p.x for p in parts_of(dataset).values()]).double().numpy()
    place = {name: i for i, name in enumerate(dataset.columns)}
    order = np.argsort(x[:, place["가입일"]], kind="stable")
    days = (pd.to_datetime(table["가입일"]) - pd.Timestamp(0)).dt.days.to_numpy()
    np.testing.assert_array_equal(x[order, place["가입일"]], np.sort(days))
    assert x[:, place["회원"]].sum() == (table["회원"] == "예").sum()
    assert x[:, place["나이 is missing"]].sum() == table["나이"].isna().sum()
    gaps = x[:, place["나이 is missing"]] == 1
    train = dataset.train.x.double().numpy()
    present = train[train[:, place["나이 is missing"]] == 0, place["나이"]]
    assert set(x[gaps, place["나이"]]) == {np.median(present)}  # of the training split
    np.testing.assert_array_equal(x[:, [place[f"도시={c}"] for c in ("대구", "부산", "서울")]].sum(1), 1)


@pytest.mark.parametrize("encoding", ["cp949", "utf-8", "utf-8-sig", "utf-16", "euc-kr"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_encoding_and_separator_are_detected(tmp_path, encoding, separator):
    people(60).to_csv(tmp_path / "t.csv", index=False, encoding=encoding, sep=separator)
    people(60).to_csv(tmp_path / "plain.csv", index=False)
    detected, plain = (data("csv", settings(tmp_path / name)) for name in ("t.csv", "plain.csv"))
    assert (detected.columns, detected.classes) == (plain.columns, plain.classes)
    assert torch.equal(detected.train.x, plain.train.x)


def test_western_encoding_is_detected(tmp_path):
    text = "größe;name;y\n" + "".join(f"{i % 7},5;{'café' if i % 3 else 'thé'};{'pq'[i % 2]}\n" for i in range(60))
    (tmp_path / "t.csv").write_bytes(text.encode("cp1252"))
    dataset = data("csv", settings(tmp_path / "t.csv", "y"))
    assert dataset.columns == ("größe", "name=café", "name=thé")
    assert set(rows_of(dataset, "train", ["größe"]).ravel()) <= {i + 0.5 for i in range(7)}


@pytest.mark.parametrize("suffix", ["gz", "bz2", "xz", "zip"])
def test_compressed_file_is_read(tmp_path, suffix):
    people(60).to_csv(tmp_path / "t.csv", index=False)
    people(60).to_csv(tmp_path / f"t.csv.{suffix}", index=False)
    plain, packed = (data("csv", settings(tmp_path / name)) for name in ("t.csv", f"t.csv.{suffix}"))
    assert digest(plain) == digest(packed)


def test_damaged_archive_and_workbook_are_refused(tmp_path):
    people(60).to_csv(tmp_path / "t.csv.gz", index=False)
    content = (tmp_path / "t.csv.gz").read_bytes()
    (tmp_path / "t.csv.gz").write_bytes(content[: len(content) // 2])
    with pytest.raises(HarnessError, match="damaged or cut short"):
        data("csv", settings(tmp_path / "t.csv.gz"))
    with zipfile.ZipFile(tmp_path / "t.xlsx", "w") as archive:
        archive.writestr("[Content_Types].xml", "")
    with pytest.raises(HarnessError, match="Excel workbook: save the sheet as CSV"):
        data("csv", settings(tmp_path / "t.xlsx"))


@pytest.mark.parametrize(
    ("first", "row", "end"),
    [
        ("a,b,y,", "{i},{j}.5,{y},", ""),  # a separator at the end of each line
        ("a,b,y", "{i},{j}.5,{y},", ""),
        ("sep=;\na;b;y", "{i};{j}.5;{y}", ""),  # as Excel writes
        ("# made by hand\n\na,b,y", "{i},{j}.5,{y}\n", ",,\n\n"),
        ("a;b;y", "{i};{j},5;{y}", ""),
        ("a b y", "{i}   {j}.5 {y}", ""),
        ("a,b,y", '"{i}", "{j}.5" ,{y}', ""),
        ("a,b,y", '"1,{i:03d}",{j}.5,{y}', ""),
        ("a,b,y", "{i}%,$ {j}.5,{y}", ""),
    ],
)
def test_files_of_other_programs_are_read(tmp_path, first, row, end):
    rows = [row.format(i=(i * 7) % 40, j=i % 9, y="pq"[i % 2]) for i in range(40)]
    (tmp_path / "t.csv").write_text("\n".join([first, *rows, end]))
    dataset = data("csv", settings(tmp_path / "t.csv", "y"))
    assert dataset.columns == ("a", "b")
    x = torch.cat([p.x for p in parts_of(dataset).values()])
    assert sorted(x[:, 1].tolist()) == sorted(i % 9 + 0.5 for i in range(40))
    start = 1000 if row.startswith('"1,') else 0
    assert sorted(x[:, 0].tolist()) == [start + i for i in range(40)]


def test_unnamed_pandas_index_is_left_out(tmp_path):
    """The row number must be no input, and must not hide duplicate samples."""
    table = pd.DataFrame({"a": RNG.integers(0, 9, N), "b": RNG.integers(0, 3, N), "y": RNG.choice(list("pq"), N)})
    table.to_csv(tmp_path / "i.csv")
    table.to_csv(tmp_path / "plain.csv", index=False)
    indexed, plain = (data("csv", settings(tmp_path / name, "y")) for name in ("i.csv", "plain.csv"))
    assert indexed.left_out == {"Unnamed: 0": "row number"}
    assert digest(indexed) == digest(plain)
    assert overlap(indexed) == overlap(plain) > 0


@pytest.mark.parametrize("start", [0, 1])
def test_row_numbers_and_ids_are_left_out_unless_requested(tmp_path, start):
    table = pd.DataFrame({"a": RNG.normal(size=N), "row": np.arange(N) + start, "user_id": RNG.permutation(N) + 1000})
    table["y"] = RNG.choice(list("pq"), N)
    table.to_csv(tmp_path / "t.csv", index=False)
    dataset = data("csv", settings(tmp_path / "t.csv", "y"))
    assert dataset.columns == ("a",)
    assert dataset.left_out == {"row": "row number", "user_id": "id, each value once"}
    requested = data("csv", settings(tmp_path / "t.csv", "y", inputs=["a", "row"]))
    assert requested.columns == ("a", "row")


def test_named_index_is_a_column_and_an_unnamed_one_is_not(tmp_path):
    table = pd.DataFrame({"alcohol": RNG.normal(size=N), "hue": RNG.normal(size=N), "y": RNG.choice(list("pq"), N)})
    table.set_index("alcohol").to_parquet(tmp_path / "named.parquet")
    table.set_index(RNG.permutation(N)).to_parquet(tmp_path / "nameless.parquet")
    named, nameless = (data("parquet", settings(tmp_path / f"{n}.parquet", "y")) for n in ("named", "nameless"))
    assert set(named.columns) == set(nameless.columns) == {"alcohol", "hue"}


def test_parquet_keeps_its_types(tmp_path):
    table = people()
    table["가입일"] = pd.to_datetime(table["가입일"])
    table["회원"] = table["회원"] == "예"
    table["도시"] = table["도시"].astype("category")
    table["결과"] = table["결과"].astype("category")
    table.to_parquet(tmp_path / "t.parquet")
    people().to_csv(tmp_path / "t.csv", index=False)
    stored, text = data("parquet", settings(tmp_path / "t.parquet")), data("csv", settings(tmp_path / "t.csv"))
    assert stored.columns == text.columns
    assert torch.equal(stored.train.x, text.train.x)
    assert torch.equal(stored.train.y, text.train.y)


def test_na_can_be_a_class_and_other_words_can_be_missing(tmp_path):
    table = pd.DataFrame({"a": RNG.normal(size=N).round(3).astype(str), "y": RNG.choice(["NA", "EU"], N)})
    table.loc[::9, "a"] = "unknown"
    table.to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(HarnessError, match=r"column 'y': expected a value, got 'NA'.*data\.missing=\[\]"):
        data("csv", settings(tmp_path / "t.csv", "y", categories=["a"]))
    dataset = data("csv", settings(tmp_path / "t.csv", "y", missing=["unknown"]))
    assert dataset.classes == ("EU", "NA")
    assert dataset.columns == ("a", "a is missing")


def test_category_absent_from_training_is_zeros(tmp_path):
    table = pd.DataFrame({"a": RNG.choice(list("uv"), N), "t": np.arange(N) * 1.5, "y": RNG.choice(list("pq"), N)})
    table.loc[N - 20 :, "a"] = "new"
    table.to_csv(tmp_path / "t.csv", index=False)
    dataset = data("csv", settings(tmp_path / "t.csv", "y", order="t"))
    assert dataset.columns == ("a=u", "a=v")
    assert rows_of(dataset, "test", ["a=u", "a=v"])[-20:].sum() == 0


def test_ordinal_columns_keep_their_order(tmp_path):
    table = pd.DataFrame({"size": RNG.choice(["small", "medium", "large"], N), "y": RNG.choice(list("pq"), N)})
    table["mark"] = RNG.choice(["x", "b", "k"], N)
    table.to_csv(tmp_path / "t.csv", index=False)
    dataset = data("csv", settings(tmp_path / "t.csv", "y", ordinal=["size", "mark: k < x < b"]))
    assert dataset.columns == ("size (small < medium < large)", "mark (k < x < b)")
    values = {"small": 0, "medium": 1, "large": 2}, {"k": 0, "x": 1, "b": 2}
    np.testing.assert_array_equal(dataset.encode(table)[:, 0], table["size"].map(values[0]))
    np.testing.assert_array_equal(dataset.encode(table)[:, 1], table["mark"].map(values[1]))
    with pytest.raises(HarnessError, match="the order of 'mark' lacks 'b'"):
        data("csv", settings(tmp_path / "t.csv", "y", ordinal=["mark: k < x"]))


def test_group_is_in_one_split_only(tmp_path):
    table = pd.DataFrame({"a": RNG.normal(size=N), "g": RNG.integers(0, 30, N), "y": RNG.choice(list("pq"), N)})
    table.to_csv(tmp_path / "t.csv", index=False)
    for seed in range(3):
        dataset = data("csv", settings(tmp_path / "t.csv", "y", group="g", inputs=["a", "g"]), seed=seed)
        groups = [set(rows_of(dataset, split, ["g"]).ravel()) for split in SPLITS]
        assert sum(map(len, groups)) == len(set.union(*groups))
        assert len(dataset.test) == pytest.approx(0.2 * N, abs=10)
        assert len(dataset.val) == pytest.approx(0.16 * N, abs=10)
    assert data("csv", settings(tmp_path / "t.csv", "y", group="g")).columns == ("a",)


@pytest.mark.parametrize("kind", ["dates", "numbers"])
def test_split_by_time_trains_on_the_past(tmp_path, kind):
    moments = pd.date_range("2021-01-01", periods=N, freq="D")[RNG.permutation(N)]
    when = moments.strftime("%d.%m.%Y") if kind == "dates" else moments.day_of_year * 1.5
    table = pd.DataFrame({"when": when, "a": RNG.normal(size=N), "y": RNG.choice(list("pq"), N)})
    table.to_csv(tmp_path / "t.csv", index=False)
    dataset = data("csv", settings(tmp_path / "t.csv", "y", order="when", inputs=["a", "when"]))
    train, val, test = (rows_of(dataset, split, ["when"]) for split in SPLITS)
    assert train.max() < val.min()
    assert val.max() < test.min()
    assert data("csv", settings(tmp_path / "t.csv", "y", order="when")).columns == ("a",)


def test_codes_words_and_numbers_are_distinguished(tmp_path):
    table = pd.DataFrame(
        {
            "zip": RNG.choice(["01234", "00501", "10001"], N),  # leading zeros that a number would lose
            "children": RNG.choice(["0", "1", "2", "3+"], N),
            "price": [f"{v:,.2f}" for v in RNG.uniform(900, 9000, N)],
            "weight": RNG.choice(["61.5", "70.25", "?"], N, p=[0.5, 0.45, 0.05]),
            "season": RNG.choice(["2020_21", "2021_22"], N),
            "y": RNG.choice(list("pq"), N),
        }
    )
    table.to_csv(tmp_path / "t.csv", index=False)
    dataset = data("csv", settings(tmp_path / "t.csv", "y"))
    assert dataset.columns == (
        "price", "weight", "zip=00501", "zip=01234", "zip=10001", "children=0", "children=1", "children=2",
        "children=3+", "season=2020_21", "season=2021_22", "weight is missing",
    )  # fmt: skip


def test_all_faults_are_listed_in_one_line(tmp_path):
    rows = [f"{i * 1.5},{i % 3},{'pq'[i % 2]}" for i in range(60)]
    for place, row in ((4, "abc,1,p"), (11, "2.5,inf,q"), (30, "1.5,2,"), (41, "x,2,p")):
        rows[place] = row
    (tmp_path / "t.csv").write_text("\n".join(["a,b,y", *rows]))
    with pytest.raises(HarnessError) as caught:
        data("csv", settings(tmp_path / "t.csv", "y"))
    text = str(caught.value)
    for words in (
        "line 6, column 'a': expected a number, got 'abc'",
        "line 13, column 'b': expected a finite number, got 'inf'",
        "line 32, column 'y': expected a value, got nothing",
        "line 43, column 'a': expected a number, got 'x'",
        "data.categories=[a]",
    ):
        assert words in text
    assert "\n" not in text


def test_at_most_ten_faults_are_listed(tmp_path):
    rows = [f"{i * 1.5},{'' if i % 2 else 'p'}" for i in range(60)]
    (tmp_path / "t.csv").write_text("\n".join(["a,y", *rows]))
    with pytest.raises(HarnessError, match=r"; and 20 more$") as caught:
        data("csv", settings(tmp_path / "t.csv", "y"))
    assert str(caught.value).count("expected a value") == 10


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"inputs": ["나아"]}, r"no column '나아' \(data\.inputs\)"),
        ({"drop": ["x1"], "inputs": ["x2"]}, r"no column 'x2' \(data\.inputs\).*no column 'x1' \(data\.drop\)"),
        ({"encoding": "utf-9"}, "no encoding 'utf-9'"),
        ({"group": "도시", "order": "가입일"}, "choose one"),
        ({"inputs": ["나라"], "drop": ["나라"]}, "no column to learn from"),
        ({"drop": ["결과"]}, "cannot name the target"),
    ],
)
def test_settings_that_do_not_fit_are_refused(tmp_path, more, message):
    people(60).to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(HarnessError, match=message):
        data("csv", settings(tmp_path / "t.csv", **more))


@pytest.mark.parametrize("component", ["csv", "parquet"])
def test_large_table_is_encoded_as_in_memory(tmp_path, few_rows_at_a_time, component):
    path = tmp_path / f"t.{component}"
    people().to_csv(path, index=False) if component == "csv" else people().to_parquet(path)
    for more in ({}, {"order": "가입일"}, {"drop": ["나이"]}):
        inside = data(component, settings(path, **more))
        outside = data(component, settings(path, in_memory=False, **more), cache_dir=tmp_path / "kept")
        assert (outside.columns, outside.left_out, outside.classes) == (
            inside.columns,
            inside.left_out,
            inside.classes,
        )
        for split in SPLITS:
            x, y = outside.part(split).take(torch.arange(len(outside.part(split))))
            assert torch.equal(x.float(), inside.part(split).x.float())
            assert torch.equal(y, inside.part(split).y)
        np.testing.assert_array_equal(outside.encode(people(9, 1)), inside.encode(people(9, 1)))


def test_digest_depends_on_every_value_that_is_used(tmp_path):
    digests = set()
    for column, value in ((None, None), ("나이", 33.0), ("나이", np.nan), ("도시", "제주"), ("가입일", "2020-01-09")):
        table = people()
        if column:
            table.loc[0, column] = value
        table.to_csv(tmp_path / "t.csv", index=False)
        digests.add(digest(data("csv", settings(tmp_path / "t.csv"))))
    table = people()
    table["도시"] = table["도시"].replace("서울", "서울시")
    table.to_csv(tmp_path / "t.csv", index=False)
    digests.add(digest(data("csv", settings(tmp_path / "t.csv"))))
    assert len(digests) == 6
    table = people()
    table.loc[0, "메모"] = "left out"
    table.to_csv(tmp_path / "t.csv", index=False)
    people().to_csv(tmp_path / "same.csv", index=False)
    same, other = (data("csv", settings(tmp_path / name)) for name in ("same.csv", "t.csv"))
    assert digest(same) == digest(other)


def test_new_rows_are_encoded_as_in_training(tmp_path):
    people().to_csv(tmp_path / "t.csv", index=False)
    dataset = data("csv", settings(tmp_path / "t.csv"))
    rows = people(5, 3).drop(columns=["결과", "고객번호", "메모"])
    rows.loc[0, "나이"], rows.loc[1, "도시"] = np.nan, "제주"
    encoded = dataset.encode(rows)
    place = {name: i for i, name in enumerate(dataset.columns)}
    train = dataset.train.x.double().numpy()
    present = train[train[:, place["나이 is missing"]] == 0, place["나이"]]
    assert encoded[0, place["나이"]] == np.median(present)
    assert encoded[1, [place[f"도시={c}"] for c in ("대구", "부산", "서울")]].sum() == 0
    assert encoded.dtype == np.float64
    rows.to_csv(tmp_path / "more.csv", index=False, sep=";", encoding="cp949")
    np.testing.assert_array_equal(dataset.encode(str(tmp_path / "more.csv")), encoded)
    np.testing.assert_array_equal(dataset.encode(rows.set_index("키")), encoded)
    with pytest.raises(HarnessError, match="no column '나이'"):
        dataset.encode(rows.drop(columns=["나이"]))
    with pytest.raises(HarnessError, match="row 2, column '키': expected a number, got 'tall'"):
        dataset.encode(rows.astype({"키": object}).assign(키=[1.0, "tall", 2.0, 3.0, 4.0]))


def test_korean_table_trains_and_its_predictions_match_the_record(workdir):
    table = people(1200)
    for encoding in ("cp949", "utf-8"):
        table.to_csv(f"{encoding} (1).csv", index=False, sep=";", encoding=encoding)
    line = ["data=csv", "data.target=결과", "transform=[min_max]", *SHORT]
    record, same = (harness.run([*line, f"data.path={encoding} (1).csv"]) for encoding in ("cp949", "utf-8"))
    assert record.status == "completed"
    assert (record.metrics, record.data["digest"]) == (same.metrics, same.data["digest"])
    share = record.data["majority"]
    assert share["class"] == "보통"
    assert set(record.data["left_out"]) == {"고객번호", "메모", "나라"}

    plain = load(record.config | {"transform": {}}).dataset
    scaled = load(record.config).dataset
    assert share["test"] == pytest.approx((plain.test.y == 2).double().mean().item(), rel=1e-9, abs=0)
    inputs = torch.from_numpy(plain.encode(table)).to(plain.test.x.dtype)
    rows = {row.numpy().tobytes(): i for i, row in enumerate(inputs)}
    places = [rows[row.numpy().tobytes()] for row in plain.test.x]
    with torch.no_grad():
        predicted = harness.load_model(record)(scaled.test.x).argmax(1)
    names = np.asarray(record_classes := plain.classes)[predicted.numpy()]
    assert record_classes == ("낮음", "높음", "보통")
    right = (names == table["결과"].to_numpy()[places]).mean()
    assert right == pytest.approx(record.metrics["test/accuracy"], rel=1e-6, abs=1e-9)


def test_record_of_real_targets_has_the_error_of_their_mean(workdir):
    people().to_csv("t.csv", index=False)
    record = harness.run(["data=csv", "data.path=t.csv", "data.target=키", "batch_size=16", *SHORT])
    dataset = load(record.config).dataset
    y, mean = dataset.test.y.double(), dataset.train.y.double().mean()
    assert record.data["mean"]["test"] == pytest.approx(float(((y - mean) ** 2).mean()), rel=1e-6, abs=1e-9)
    median = np.quantile(dataset.train.y, 0.5, method="lower")
    assert record.data["median"]["test"] == pytest.approx(float(abs(y - median).mean()), rel=1e-6, abs=1e-9)
    stored = json.loads((record.folder / "record.json").read_text())["data"]
    assert all(stored[key] == record.data[key] for key in ("mean", "median"))


def test_gzip_is_detected_by_its_content(tmp_path):
    people(60).to_csv(tmp_path / "t.csv", index=False)
    (tmp_path / "packed").write_bytes(gzip.compress((tmp_path / "t.csv").read_bytes()))
    assert len(data("csv", settings(tmp_path / "packed")).classes) == 3


def test_predictions_of_a_table_match_the_record(workdir):
    table = people(1200)
    table.to_csv("people (1).csv", index=False, sep=";", encoding="cp949")
    record = harness.run(["data=csv", "data.path=people (1).csv", "data.target=결과", *SHORT])
    dataset = harness.load_data(record, transformed=False)
    inputs = torch.from_numpy(dataset.encode(table)).to(dataset.test.x.dtype)
    rows = {row.numpy().tobytes(): i for i, row in enumerate(inputs)}
    test = table.iloc[[rows[row.numpy().tobytes()] for row in dataset.test.x]]
    predicted = harness.predict(record, test.drop(columns="결과"))
    right = (np.asarray(predicted.labels) == test["결과"].to_numpy()).mean()
    assert right == pytest.approx(record.metrics["test/accuracy"], rel=1e-6, abs=1e-9)
    test.to_csv("test.csv", index=False, encoding="utf-8")
    assert harness.predict(record, "test.csv").labels == predicted.labels
