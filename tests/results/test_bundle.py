"""Tests of bundles: what is in them, that they read like the study, and that damaged and hostile ones are refused."""

from __future__ import annotations

import json
import os
import random
import stat
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

import harness
from harness.results import bundle
from harness.results.bundle import open_bundle, write_bundle
from harness.results.curves import read_curves
from harness.system.errors import HarnessError
from tests.helpers.commands import python
from tests.helpers.saved import small


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def study(workdir: Path) -> Path:
    folder = workdir / "outputs" / "ab"
    small(folder)
    (folder / "looks.jsonl").write_text("{}\n")
    return folder


@pytest.fixture
def sent(study: Path, workdir: Path) -> Path:
    path = workdir / "ab.zip"
    assert write_bundle(study, path) == (6, 0, [])
    return path


def zipped(path: Path, *entries: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    """Write a zip file with a record and other entries."""
    good = b'{"schema": 1, "id": "0123456789ab", "name": "a", "study": "s"}'
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in (("s/a-0123456789ab/record.json", good), *entries):
            file.writestr(name, content)
    return path


def test_bundle_reads_like_its_study(study: Path, sent: Path) -> None:
    there, here = harness.load(study), harness.load(sent)
    assert [record.to_json() for record in here] == [record.to_json() for record in there]
    curves = [read_curves(record) for record in here]
    assert len(curves[0]) == 4
    assert curves == [read_curves(record) for record in there]
    assert here[0].folder.name == there[0].folder.name
    assert here[0].folder.parent.name == "ab"
    assert (here[0].folder.parent / "looks.jsonl").read_text() == "{}\n"


def test_bundle_names_commands_and_environments_and_leaves_weights_out(sent: Path) -> None:
    with zipfile.ZipFile(sent) as file:
        names = {name.rpartition("/")[2] for name in file.namelist()}
        about = json.loads(file.read("ab/bundle.json"))
    assert names == {"record.json", "curves.csv", "config.yaml", "looks.jsonl", "bundle.json"}
    assert about["commands"] == ["harness -m optimizer=adam,sgd 'seed=range(3)' 'split.seed=${seed}' study=ab"]
    assert (about["runs"], about["environments"], about["study"]) == (6, [{}], "ab")


def test_same_study_gives_same_bytes(study: Path, sent: Path, workdir: Path) -> None:
    for path in study.rglob("*"):
        os.utime(path, (0, 0))
    write_bundle(study, workdir / "again.zip")
    assert (workdir / "again.zip").read_bytes() == sent.read_bytes()


def test_tuning_is_part_of_a_bundle(study: Path, workdir: Path) -> None:
    small(study / "tuning", first=100)
    (study / "tuning" / "0123456789ab.json").write_text("{}")
    judged = len(harness.load(study))
    assert write_bundle(study, workdir / "tuned.zip") == (6, 6, [])
    assert len(harness.load(workdir / "tuned.zip")) == judged == 6
    opened = open_bundle(workdir / "tuned.zip") / "tuning"
    assert (opened / "0123456789ab.json").read_text() == "{}"
    assert len(list(opened.glob("*/record.json"))) == len(list(opened.glob("*/curves.csv"))) == 6


def test_what_is_no_plain_file_or_no_record_is_left_out(study: Path, workdir: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("step,epoch,metric,value\n1,0,secret,1\n")
    runs = sorted(study.glob("*/"))
    (runs[0] / "curves.csv").unlink()
    (runs[0] / "curves.csv").symlink_to(secret)
    (runs[1] / "record.json").write_text('{"schema": 1, "id":')
    (study / "elsewhere").symlink_to(tmp_path)
    runs_written, trials, left_out = write_bundle(study, workdir / "some.zip")
    assert (runs_written, trials) == (5, 0)
    assert len(left_out) == 2
    assert left_out[0].endswith("curves.csv: it is not a plain file") != left_out[1].endswith("it is not a plain file")
    assert b"secret" not in (workdir / "some.zip").read_bytes()
    with zipfile.ZipFile(workdir / "some.zip") as file:
        assert len([name for name in file.namelist() if name.endswith("curves.csv")]) == 5


def test_taken_path_is_refused(study: Path, workdir: Path) -> None:
    (workdir / "taken.zip").write_text("mine")
    (workdir / "link.zip").symlink_to(workdir / "nowhere")
    for name in ("taken.zip", "link.zip"):
        with pytest.raises(HarnessError, match=f"{name} exists: remove it, or choose another name"):
            write_bundle(study, workdir / name)
    assert (workdir / "taken.zip").read_text() == "mine"
    assert not (workdir / "nowhere").exists()


def test_unwritable_path_and_empty_study_are_refused_and_leave_nothing(study: Path, workdir: Path) -> None:
    with pytest.raises(HarnessError, match=r"cannot write no/ab.zip: No such file"):
        write_bundle(study, Path("no/ab.zip"))
    (workdir / "empty").mkdir()
    with pytest.raises(HarnessError, match="no runs in empty"):
        write_bundle(Path("empty"), Path("empty.zip"))
    assert [path.name for path in workdir.iterdir() if "zip" in path.name] == []


def _link() -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("s/a-0123456789ab/curves.csv")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ("../record.json", "leads out of the bundle"),
        ("s/../../record.json", "leads out of the bundle"),
        ("/tmp/record.json", "leads out of the bundle"),
        ("s//record.json", "leads out of the bundle"),
        ("s/./record.json", "leads out of the bundle"),
        ("C:/record.json", "leads out of the bundle"),
        ("s\\..\\..\\record.json", "leads out of the bundle"),
        ("s/a\x1b[31m/record.json", "is no name of a file"),
        (f"s/{'a' * 256}/record.json", "is no name of a file"),
        (_link(), "is a link"),
    ],
    ids=str,
)
def test_hostile_name_is_refused(entry: str | zipfile.ZipInfo, reason: str, workdir: Path, temporary: Path) -> None:
    path = zipped(workdir / "x.zip", (entry, b"../../outside"))
    before = sorted(workdir.rglob("*"))
    with pytest.raises(HarnessError, match=rf"^x.zip is refused: '[^\n\x1b]*' in it {reason}$"):
        harness.load("x.zip")
    assert sorted(workdir.rglob("*")) == before
    assert list(temporary.iterdir()) == []
    assert path.exists()


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_name_that_stands_there_twice_is_refused(workdir: Path) -> None:
    zipped(workdir / "x.zip", ("s/a-0123456789ab/record.json", b"{}"))
    with pytest.raises(HarnessError, match="in it stands there twice"):
        harness.load("x.zip")


@pytest.mark.parametrize("size", [bundle.ANY_RATIO + 1, bundle.curves.MAX_BYTES + 1])
def test_bomb_is_refused_before_it_is_unpacked(size: int, workdir: Path, temporary: Path) -> None:
    path = workdir / "x.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        file.writestr("s/a-0123456789ab/record.json", "{}")
        with file.open("s/a-0123456789ab/curves.csv", "w", force_zip64=True) as curves:
            for start in range(0, size, bundle.MB):
                curves.write(bytes(min(bundle.MB, size - start)))
    with pytest.raises(HarnessError, match=r"x.zip is refused: .*(is too large|which no study of its size does)$"):
        harness.load("x.zip")
    assert list(temporary.iterdir()) == []


def test_understated_size_is_refused(workdir: Path, temporary: Path) -> None:
    path = zipped(workdir / "x.zip", ("s/a-0123456789ab/curves.csv", bytes(1 << 20)))
    content = path.read_bytes()
    assert content.count((1 << 20).to_bytes(4, "little")) == 2
    path.write_bytes(content.replace((1 << 20).to_bytes(4, "little"), (7).to_bytes(4, "little")))
    with pytest.raises(HarnessError, match=r"x.zip is truncated, damaged or no zip file"):
        harness.load("x.zip")
    assert list(temporary.iterdir()) == []


def test_long_list_of_files_is_refused(sent: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "MAX_DIRECTORY", 100)
    with pytest.raises(HarnessError, match="its list of files is too long"):
        harness.load(sent)


def test_full_disk_is_told(sent: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free: Callable[..., tuple[int, int, int]] = bundle.shutil.disk_usage
    monkeypatch.setattr(bundle.shutil, "disk_usage", lambda path: type(free("/"))(10, 10, 0))
    with pytest.raises(HarnessError, match=r"ab.zip unpacks to 0 MB, and .* has 0 MB: set TMPDIR to another disk"):
        harness.load(sent)
    assert list(temporary.iterdir()) == []


def test_later_format_is_refused(workdir: Path) -> None:
    zipped(workdir / "x.zip", ("s/bundle.json", b'{"format": 2}'))
    with pytest.raises(HarnessError, match=r"x.zip has format 2, and this version of harness reads 1"):
        harness.load("x.zip")


def test_file_that_is_no_bundle_is_refused(workdir: Path) -> None:
    Path("text.zip").write_text("hello")
    with pytest.raises(HarnessError, match=r"text.zip is truncated, damaged or no zip file"):
        harness.load("text.zip")
    with zipfile.ZipFile("other.zip", "w") as file:
        file.writestr("a/b.txt", "hello")
    with pytest.raises(HarnessError, match=r"other.zip is no bundle: there is no FOLDER/record.json in it"):
        harness.load("other.zip")


def test_files_that_belong_to_no_bundle_are_not_unpacked(workdir: Path) -> None:
    zipped(workdir / "x.zip", ("s/a-0123456789ab/weights.pt", b"x"), ("s/.owners/a.json", b"{}"), ("s/run.py", b"x"))
    folder = open_bundle(Path("x.zip"))
    assert [path.name for path in folder.rglob("*") if path.is_file()] == ["record.json"]


def test_torn_record_is_left_out_with_a_warning(workdir: Path) -> None:
    zipped(workdir / "x.zip", ("s/b-0123456789ac/record.json", b'{"schema": 1, "id": "01'))
    with pytest.warns(UserWarning, match=r"left out: .*b-0123456789ac/record.json: it is torn or not JSON"):
        assert [record.name for record in harness.load("x.zip")] == ["a"]


def test_truncated_bundle_is_refused_wherever_it_ends(sent: Path, workdir: Path, temporary: Path) -> None:
    content = sent.read_bytes()
    for end in sorted({0, 1, 21, 22, len(content) - 1, *random.Random(0).sample(range(len(content)), 40)}):
        Path("cut.zip").write_bytes(content[:end])
        with pytest.raises(HarnessError, match=r"^cut.zip is truncated, damaged or no zip file [^\n]*$"):
            harness.load("cut.zip")
    assert list(temporary.iterdir()) == []


def test_damaged_bundle_is_refused_or_reads_the_same(study: Path, sent: Path) -> None:
    content, whole = sent.read_bytes(), [record.to_json() for record in harness.load(study)]
    lines = []
    for place in random.Random(0).sample(range(len(content)), 60):
        Path("bad.zip").write_bytes(content[:place] + bytes([content[place] ^ 0x41]) + content[place + 1 :])
        try:
            assert [record.to_json() for record in harness.load("bad.zip")] == whole
        except HarnessError as error:
            lines.append(str(error))
    assert len(lines) > 30
    assert not [line for line in lines if "\n" in line]


def test_unpacked_files_are_gone_when_the_process_ends(sent: Path, workdir: Path) -> None:
    program = "import harness, sys; print(harness.load(sys.argv[1])[0].folder)"
    folder = Path(python(program, str(sent), cwd=workdir, TMPDIR=str(workdir)).strip())
    assert folder.is_relative_to(workdir)
    assert not folder.parents[1].exists()
