"""Tests of `harness new`: the files of a plugin, names that are refused, and that no half of one remains."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

import harness
from harness.cli import main
from harness.cli.scaffold import LICENCES, Plugin, refuse_name, refuse_taken, render, use, write
from harness.registry.catalogue import Catalogue
from harness.registry.kinds import KINDS
from harness.registry.scanning import scan_cache
from harness.space import Space
from harness.system.errors import HarnessError
from tests.helpers.commands import environment

EVERY = Plugin("harness-a-zoo", tuple(KINDS), "MIT", 2026)


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as stop:
        main(["new", *words])
    output = capsys.readouterr()
    assert (stop.value.code, output.out) == (2, "")
    assert output.err.count("\n") == 1
    return output.err.removeprefix("harness: error: ").rstrip()


def test_template_has_a_component_of_every_kind() -> None:
    files = render(EVERY)
    for kind in KINDS:
        (function,) = [
            node
            for node in ast.parse(files[f"harness_a_zoo/{kind}.py"]).body
            if isinstance(node, ast.FunctionDef) and node.name == "a_zoo"
        ]
        (mark,) = function.decorator_list
        assert ast.unparse(mark).startswith(f"harness.{kind}(reference='A. Author, Title of the work, 2026'")
        assert {a.arg for a in function.args.args} <= set(KINDS[kind].offers)
        spaces = {space.__name__ for space in Space.__subclasses__()} | {"Log"}
        for argument in function.args.kwonlyargs:
            assert argument.annotation is not None
            names = {node.id for node in ast.walk(argument.annotation) if isinstance(node, ast.Name)}
            assert "Annotated" in names
            assert names & spaces, "a setting says where it is searched"
        assert function.args.kwonlyargs
        assert len((ast.get_docstring(function) or "").splitlines()) > 2


def test_new_plugin_is_discovered_with_all_components(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = render(EVERY)
    write(files, tmp_path / "harness-a-zoo")
    monkeypatch.syspath_prepend(str(tmp_path / "harness-a-zoo"))
    info = tmp_path / "harness-a-zoo" / "harness_a_zoo-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: harness-a-zoo\nVersion: 0.1.0\n")
    ((name, value),) = tomllib.loads(files["pyproject.toml"])["project"]["entry-points"]["harness"].items()
    (info / "entry_points.txt").write_text(f"[harness]\n{name} = {value}\n")
    listing = scan_cache._scan(name, "harness-a-zoo")
    assert listing["problems"] == []
    assert {row["kind"]: row["name"] for row in listing["components"]} == dict.fromkeys(KINDS, "a_zoo")
    for row in listing["components"]:
        settings = ", ".join(f"`{p['name']}`" for p in row["parameters"])
        assert f"| `{row['kind']}/a_zoo` | {settings} |" in files["README.md"]
        assert use(EVERY, row["kind"]) in files["README.md"]


@pytest.mark.parametrize("licence", LICENCES)
def test_new_package_is_complete(licence: str, tmp_path: Path) -> None:
    plugin = Plugin("swirl", ("activation",), licence, 2026)
    files = render(plugin)
    project = tomllib.loads(files["pyproject.toml"])["project"]
    assert project["entry-points"] == {"harness": {"swirl": "swirl"}}
    assert project["dependencies"] == [f"dl-harness>={harness.__version__.rpartition('.')[0]}"]
    assert (project["name"], project["readme"], project.get("license")) == (
        "swirl",
        "README.md",
        licence if licence != "none" else None,
    )
    if licence == "none":
        assert "LICENSE" not in files
    else:
        assert "2026" in files["LICENSE"]
        assert "The swirl authors" in files["LICENSE"]
        assert f"Licence: {licence}." in files["README.md"]
    steps = yaml.safe_load(files[".github/workflows/test.yml"])["jobs"]["test"]["steps"]
    assert [step["run"] for step in steps if "run" in step][-2:] == ["pytest", "harness check swirl"]
    assert 'conformance("swirl")' in files["tests/test_conformance.py"]


def test_new_files_are_formatted_and_sorted(tmp_path: Path) -> None:
    for name, kinds in (("one", ("loss",)), ("some", ("loss", "activation", "model")), ("all", tuple(KINDS))):
        write(render(Plugin(name, kinds)), tmp_path / name)
    ruff = [sys.executable, "-m", "ruff"]
    lines = ("--isolated", "--no-cache", "--line-length", "120")
    subprocess.run([*ruff, "format", "--check", *lines, "."], check=True, cwd=tmp_path)
    chosen = ("--select", "E,F,W,I,B,UP,SIM,C4,RUF,PT,PIE", "--ignore", "RUF001,RUF002,RUF003")
    subprocess.run([*ruff, "check", *lines, *chosen, "."], check=True, cwd=tmp_path)


def test_new_lists_its_files_and_the_next_steps(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (workdir / "mine").mkdir()
    with pytest.raises(SystemExit) as stop:
        main(["new", "harness-swirl", "--kind", "optimizer", "--kind", "loss", "--kind", "loss", "--dir", "mine"])
    assert stop.value.code == 0
    output = capsys.readouterr().out
    written = sorted(p.relative_to(workdir).as_posix() for p in workdir.rglob("*") if p.is_file())
    assert written == sorted(
        f"mine/harness-swirl/{name}" for name in render(Plugin("harness-swirl", ("optimizer", "loss")))
    )
    for name in written:
        assert f"  {name.removeprefix('mine/harness-swirl/')}\n" in output
    assert "  pip install --editable ./mine/harness-swirl\n  harness check harness-swirl\n" in output
    assert "harness -m optimizer=swirl,sgd,adam" in output


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("Swirl", "a name holds lower case letters, digits, - and _, and starts with a letter; got 'Swirl'"),
        ("2fast", "a name holds lower case"),
        ("a/b", "a name holds lower case"),
        ("a--b", "a name holds lower case"),
        ("..", "a name holds lower case"),
        ("lambda", "'lambda' cannot name a component"),
        ("harness-1", "'1' cannot name a component"),
        ("auto", "'auto' cannot name a component"),
        ("harness-auto", "'auto' cannot name a component"),
        ("sklearn", "the name sklearn is taken: there is a module 'sklearn'"),
        ("json", "the name json is taken: there is a module 'json'"),
        ("tests", "the name tests is taken"),
        ("pytorch-lightning", "the name pytorch-lightning is taken: there is a module 'pytorch_lightning'"),
        ("hydra-core", "the name hydra-core is taken by the installed distribution hydra-core"),
        ("relu", "the name activation/relu is taken by dl-harness; choose another name than 'relu'"),
        ("harness-relu", "the name activation/relu is taken by dl-harness"),
        ("weight --kind initializer", "the name 'weight' is used in the code of a initializer"),
        ("harness-torch --kind loss", "the name 'torch' is used in the code of a loss"),
        ("log", "the name 'log' is used in the code of a activation"),
        ("swirl --kind optimiser", "--kind: no kind 'optimiser'. Did you mean 'optimizer'?"),
        ("swirl --licence mit", "--licence: no licence 'mit'. "),
        ("swirl --dir nowhere", "no folder nowhere"),
        ("swirl --lisence MIT", "harness new: "),
        ("there", "there exists already"),
        ("", "harness new: "),
    ],
)
def test_invalid_name_is_refused_in_one_line(
    words: str, line: str, workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (workdir / "there").mkdir()
    assert refused(capsys, *words.split()).startswith(line)
    assert [path.name for path in workdir.iterdir()] == ["there"]


def test_name_taken_by_another_plugin_is_refused() -> None:
    entries: dict[str, dict[str, Any]] = {kind: {} for kind in KINDS}
    entries["activation"]["swirl"] = {"origin": "whirls"}
    known = Catalogue(entries, [], [], [], {}, {"loss/swirl": "recipes"})
    for kind, owner in (("activation", "whirls"), ("loss", "recipes")):
        with pytest.raises(
            HarnessError, match=f"the name {kind}/swirl is taken by {owner}; choose another name than 'swirl'"
        ):
            refuse_taken(Plugin("swirl", ("model", kind)), known)
    for name in ("swirl", "harness-swirl", "two_turns", "swirl2"):
        plugin = Plugin(name, ("model", "data"))
        refuse_name(plugin)
        refuse_taken(plugin, known)


def test_full_disk_leaves_no_files(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, written = Path.write_text, []

    def full(path: Path, text: str, **more: str) -> int:
        written.append(path)
        if len(written) > 3:
            raise OSError(28, "No space left on device")
        return real(path, text, **more)

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(HarnessError, match="cannot write swirl: No space left on device"):
        write(render(Plugin("swirl", ("activation",))), Path("swirl"))
    assert len(written) == 4
    assert list(workdir.iterdir()) == []


def test_interrupt_leaves_no_files(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write(render(Plugin("swirl", ("activation",))), Path("swirl"))
    assert list(workdir.iterdir()) == []


def test_new_imports_no_torch(workdir: Path) -> None:
    source = (
        "import sys\nfrom harness.cli import main\ntry:\n    main(['new', 'swirl'])\nexcept SystemExit as stop:\n"
        "    print(stop.code, 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", source], cwd=workdir, env=environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "0 False"
