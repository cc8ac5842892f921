"""Tests of the ID of a run: what it depends on, and what not."""

from __future__ import annotations

import os
import shutil
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from harness.config.composition import compose
from harness.execution.preparation import prepare
from harness.registry import catalogue
from harness.results.run_id import components, identity, identity_by_seed, sources


def id_of(*overrides: str) -> str:
    return prepare(compose(list(overrides))).record.id


@pytest.fixture(scope="module")
def base() -> str:
    return id_of()


@pytest.mark.parametrize(
    "override",
    [
        "study=other", "objective=val/loss", "rerun=true", "fail_fast=true", "save=none", "jobs=2", "cache_dir=x",
        "metric=[f1]", "logger=[csv]", "logger=[]", "executor=in_process", "split.on_overlap=error",
        "trainer=cpu", "trainer.devices=1", "trainer.num_nodes=1", "trainer.detect_anomaly=false",
        "model=mlp", "task=classification", "transform=[standardize]", "optimizer.lr=0.001", "seed=0",
    ],
)  # fmt: skip
def test_id_ignores_logging_and_launching(override: str, base: str) -> None:
    assert id_of(override) == base


@pytest.mark.parametrize(
    "override",
    [
        "seed=1", "epochs=21", "batch_size=32", "accumulate=2", "warmup=0.1", "split.seed=1", "split.val=0.2",
        "optimizer.lr=0.002", "optimizer=adamw", "activation=tanh", "regularizer=[l2]", "model.width=129",
        "trainer.precision=64-true", "trainer.max_time=00:00:01:00", "corruption=[label_noise]", "transform=[]",
        "data=iris", "transform.standardize.per=feature",
    ],
)  # fmt: skip
def test_id_depends_on_settings_that_change_the_result(override: str, base: str) -> None:
    more = {"model.width=129": ["model=mlp"], "transform.standardize.per=feature": ["transform=[standardize]"]}
    assert id_of(*more.get(override, []), override) != base


@pytest.mark.parametrize(("kind", "first", "second"), [("transform", "min_max", "whiten"), ("regularizer", "l2", "l1")])
def test_id_depends_on_the_order_of_a_list(kind: str, first: str, second: str) -> None:
    assert id_of(f"{kind}=[{first},{second}]") != id_of(f"{kind}=[{second},{first}]")


@pytest.mark.parametrize("path", ["table.csv", "@seed@", '"@seed@"'])
def test_id_by_seed_is_the_id(path: str) -> None:
    values = prepare(compose(["data=iris"])).values | {"data": {"_component_": "csv", "path": path}}
    rest = "cpu", "0" * 16, catalogue.current().trainer, {"torch": "2"}
    by_seed = identity_by_seed(values, *rest)
    for seed in (0, 1, 2**53):
        assert by_seed(seed) == identity(values | {"seed": seed}, *rest)


def test_id_depends_on_device_and_data() -> None:
    prepared = prepare(compose([]))
    defaults = catalogue.current().trainer
    used = sources(components(prepared.values))
    ids = {identity(prepared.values, device, data, defaults, used) for device in ("cpu", "cuda") for data in ("a", "b")}
    assert len(ids) == 4


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A plugin that imports an editable package, which imports a third one."""
    for name, text in {
        "plug_main": "import numpy\nfrom plug_helper.deep import g\n",
        "plug_helper": "",
        "plug_third": "x = 1\n",
    }.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(text)
    (tmp_path / "plug_helper" / "deep.py").write_text("import plug_third\ndef g(): return plug_third.x\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def digests(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Return the digests of sources for a run with a component of plug_main."""
    monkeypatch.setitem(catalogue.current().entries["activation"], "fake", {"package": "plug_main"})
    for name in list(sys.modules):
        if name.startswith("plug_"):
            del sys.modules[name]
    return sources([("activation", "fake")])


def test_imported_helpers_count(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = digests(monkeypatch)
    assert set(before) == {"plug_main", "plug_helper", "plug_third", "numpy"}
    assert before["numpy"] == f"numpy {version('numpy')}"  # an installed package counts by its version
    (package / "plug_third" / "__init__.py").write_text("x = 2\n")
    after = digests(monkeypatch)
    assert after["plug_third"] != before["plug_third"]
    assert after["plug_main"] == before["plug_main"]
    (package / "plug_third" / "__init__.py").write_text("x = 1\n")
    assert digests(monkeypatch) == before


def test_data_file_in_a_package_counts(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = digests(monkeypatch)
    (package / "plug_main" / "table.json").write_text("[1]")
    assert digests(monkeypatch)["plug_main"] != before["plug_main"]


def test_helper_that_cannot_be_parsed_counts(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = digests(monkeypatch)
    (package / "plug_helper" / "broken.py").write_text("def (:\n")
    assert digests(monkeypatch)["plug_helper"] != before["plug_helper"]


def test_file_of_equal_size_and_time_is_read_again(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = package / "plug_third" / "__init__.py"
    before, times = digests(monkeypatch), file.stat()
    file.write_text("x = 2\n")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert digests(monkeypatch)["plug_third"] != before["plug_third"]


@pytest.mark.parametrize(
    "text",
    [
        "from importlib import import_module\nm = import_module('plug_dynamic')\n",
        "import importlib\ndef f(): return importlib.import_module('plug_dynamic.deep')\n",
        "m = __import__('plug_dynamic')\n",
    ],
)
def test_module_imported_by_a_call_counts(text: str, package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (package / "plug_dynamic.py").write_text("x = 1\n")
    (package / "plug_helper" / "deep.py").write_text(text)
    before = digests(monkeypatch)
    (package / "plug_dynamic.py").write_text("x = 2\n")
    assert digests(monkeypatch)["plug_dynamic"] != before["plug_dynamic"]


def test_linked_folder_counts(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (package / "shared").mkdir()
    (package / "shared" / "rules.py").write_text("x = 1\n")
    (package / "plug_main" / "rules").symlink_to(package / "shared")
    (package / "shared" / "up").symlink_to(package / "plug_main")  # a cycle of links
    before = digests(monkeypatch)
    (package / "shared" / "rules.py").write_text("x = 2\n")
    assert digests(monkeypatch)["plug_main"] != before["plug_main"]


@pytest.mark.parametrize(
    ("text", "file"),
    [
        ("def f(): return open('table.csv').read()\n", "table.csv"),
        ("HERE = Path(__file__).parent\ndef f(): return (HERE / 'tables' / 'a.csv').read_text()\n", "tables/a.csv"),
        ("HERE = Path(__file__).parent\ndef f(n): return (HERE / f'table_{n}.csv').read_text()\n", "table_3.csv"),
        ("def f(): return Path(__file__).with_suffix('.json').read_text()\n", "plug_main.json"),
        ("def f(): return list(Path(__file__).parent.glob('*.txt'))\n", "words.txt"),
    ],
)
def test_data_file_beside_a_single_file_plugin_counts(
    text: str, file: str, package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(package / "plug_main")
    (package / "plug_main.py").write_text(f"from pathlib import Path\n{text}")
    (package / file).parent.mkdir(exist_ok=True)
    (package / file).write_text("1")
    (package / "other.log").write_text("1")
    before = digests(monkeypatch)
    (package / "other.log").write_text("2")
    assert digests(monkeypatch) == before
    (package / file).write_text("2")
    assert digests(monkeypatch)["plug_main"] != before["plug_main"]


def test_editable_part_of_a_namespace_package_counts(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("here", "installed"):
        (package / folder / "plug_space").mkdir(parents=True)
        (package / folder / "plug_space" / f"{folder}.py").write_text("x = 1\n")
        monkeypatch.syspath_prepend(str(package / folder))
    (package / "installed" / "other-1.0.dist-info").mkdir()
    (package / "plug_main" / "__init__.py").write_text("from plug_space import here\n")
    before = digests(monkeypatch)
    (package / "here" / "plug_space" / "here.py").write_text("x = 2\n")
    assert digests(monkeypatch)["plug_space"] != before["plug_space"]


def test_file_opened_while_a_plugin_loads_counts(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rules = package / "rules.txt"
    rules.write_text("1")
    monkeypatch.setattr(catalogue.Catalogue, "files_of", lambda self, kind, name: [str(rules)])
    before = digests(monkeypatch)
    rules.write_text("2")
    assert digests(monkeypatch)["rules.txt"] != before["rules.txt"]
