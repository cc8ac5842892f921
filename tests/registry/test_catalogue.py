"""Tests of the cached catalogue: when it scans plugins again, and how it works without a cache."""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from harness.registry import catalogue
from harness.registry.catalogue import Catalogue
from harness.registry.discovery import entry_points
from harness.registry.scanning import scan_cache, scanner
from harness.system.errors import HarnessError
from tests.helpers.commands import environment
from tests.helpers.strangers import install, uninstall

SNAKE = "@harness.activation\ndef snake(x, *, a: float = {}):\n    return x\n"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of packages with one third-party plugin, and an empty cache."""
    folder = tmp_path / "site"
    folder.mkdir()
    install(folder, "snakes", SNAKE.format(1.0), offers="snake")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    return folder


@pytest.fixture
def scanned(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """List the scanned plugins in order. Third-party ones are scanned for real, those that import torch are not."""
    real, seen = scan_cache._scan, []

    def scan(plugin: str, distribution: str) -> dict[str, Any]:
        seen.append(distribution)
        if distribution in ("", "dl-harness"):
            return {"components": [], "config_dirs": {}, "problems": [], "trainer": {"max_steps": -1}}
        return real(plugin, distribution)

    monkeypatch.setattr(scan_cache, "_scan", scan)
    monkeypatch.setattr(scan_cache, "_scan_together", lambda plugins: [])
    return seen


def again(seen: list[str]) -> Catalogue:
    seen.clear()
    return catalogue.read()


def default(known: Catalogue) -> Any:
    return known.get("activation", "snake")["parameters"][0]["default"]


def test_warm_read_scans_nothing(site: Path, scanned: list[str]) -> None:
    first = again(scanned)
    assert sorted(scanned) == sorted(["", *(distribution for _, distribution, _ in entry_points())])
    assert "snakes" in scanned
    second = again(scanned)
    assert scanned == []
    assert (second.entries, second.trainer, second.plugins) == (first.entries, first.trainer, first.plugins)
    assert default(second) == 1.0
    assert second.trainer == {"max_steps": -1}


def test_edited_plugin_is_scanned_again(site: Path, scanned: list[str]) -> None:
    again(scanned)
    (site / "snakes.py").write_text((site / "snakes.py").read_text().replace("= 1.0", "= 2.25"))
    assert default(again(scanned)) == 2.25
    assert scanned == ["snakes"]


def test_installed_and_removed_plugins_are_noticed(site: Path, scanned: list[str]) -> None:
    again(scanned)
    install(site, "waves", "@harness.activation\ndef wave(x):\n    return x", offers="wave")
    assert again(scanned).names("activation") == ["snake", "wave"]
    assert sorted(scanned) == ["snakes", "waves"]  # harness's own plugins do not depend on other distributions
    uninstall(site, "snakes")
    known = again(scanned)
    assert scanned == ["waves"]
    assert known.names("activation") == ["wave"]
    assert "snakes" not in {p.distribution for p in known.plugins}


@pytest.mark.parametrize(
    ("file", "ours"),
    [
        ("__editable__.snakes-1.0.pth", False),
        ("_snakes.pth", False),
        ("Snakes-1.0.egg-info", False),
        ("snakes_of_africa-1.0.dist-info", True),
        ("torch_extras-1.0.dist-info", True),
    ],
)
def test_broken_plugin_is_scanned_again_after_another_install(
    file: str, ours: bool, site: Path, scanned: list[str]
) -> None:
    again(scanned)
    (site / file).touch()
    again(scanned)
    assert "snakes" in scanned
    assert ("dl-harness" in scanned) is ours


def test_upgraded_plugin_is_scanned_again(site: Path, scanned: list[str]) -> None:
    again(scanned)
    uninstall(site, "snakes")
    install(site, "snakes", SNAKE.format(1.0), offers="snake", version="2.0")
    known = again(scanned)
    assert "snakes" in scanned
    assert next(p.version for p in known.plugins if p.distribution == "snakes") == "2.0"


def test_cache_keeps_scans_of_several_environments(
    site: Path, scanned: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan_cache, "MAX_SCANS", 2)
    source = (site / "snakes.py").read_text()
    times = os.stat(site / "snakes.py")
    again(scanned)
    (site / "snakes.py").write_text(source + "# another checkout\n")
    again(scanned)
    (site / "snakes.py").write_text(source)
    os.utime(site / "snakes.py", ns=(times.st_atime_ns, times.st_mtime_ns))
    again(scanned)
    assert scanned == []
    for line in range(4):
        (site / "snakes.py").write_text(source + "#" * line)
        again(scanned)
    kept = [p.name for p in (scan_cache.cache_folder() / "catalogue").glob("snakes-*")]
    assert len(kept) == 2


def test_two_plugins_of_one_name_have_their_own_cache_files(site: Path, scanned: list[str]) -> None:
    for distribution in ("one", "two"):
        source = f"@harness.activation\ndef {distribution}(x):\n    return x"
        install(site, distribution, source, offers=distribution, plugin="plugin/../x")
    assert again(scanned).names("activation") == ["one", "snake", "two"]
    assert again(scanned).names("activation") == ["one", "snake", "two"]
    assert scanned == []


@pytest.mark.parametrize("text", ["", '{"components": [', "[]", "{}", "null", "\0\0"])
def test_torn_cache_file_is_scanned_again(text: str, site: Path, scanned: list[str]) -> None:
    again(scanned)
    (file,) = (scan_cache.cache_folder() / "catalogue").glob("snakes-*")
    whole = file.read_text()
    file.write_text(text)
    assert default(again(scanned)) == 1.0
    assert scanned == ["snakes"]
    assert file.read_text() == whole


def test_catalogue_works_without_a_writable_cache(
    site: Path, scanned: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "file"))
    assert default(again(scanned)) == 1.0
    assert default(again(scanned)) == 1.0
    assert "snakes" in scanned


def test_crash_is_retried_after_ten_minutes_and_an_exception_is_not(
    site: Path, scanned: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    install(site, "dies", "import os; os._exit(1)")
    install(site, "raises", "raise ValueError")
    again(scanned)
    known = again(scanned)
    assert scanned == []
    assert {p.distribution for p in known.problems} == {"dies", "raises"}
    scanned.clear()
    catalogue.read(again=True)  # as by `harness plugins`
    assert scanned == ["dies"]
    monkeypatch.setenv("HARNESS_SCAN_TIMEOUT", "60")  # more time may be enough
    again(scanned)
    assert scanned == ["dies"]
    (kept,) = (scan_cache.cache_folder() / "catalogue").glob("dies-*")
    before = kept.stat().st_mtime - scan_cache.RETRY_S - 1
    os.utime(kept, (before, before))
    again(scanned)
    assert scanned == ["dies"]


def test_foreign_distribution_with_our_module_is_named_in_one_line(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    owners = {"harness": ["dl-harness", "harness"]}
    monkeypatch.setattr(importlib.metadata, "packages_distributions", lambda: owners)
    (problem,) = scanner.same_module("dl-harness")

    def scan(plugin: str, distribution: str) -> dict[str, Any]:
        return {"components": [], "config_dirs": {}, "problems": [problem] * (plugin == "harness"), "trainer": {}}

    monkeypatch.setattr(scan_cache, "_scan", scan)
    monkeypatch.setattr(scan_cache, "_scan_together", lambda plugins: [])
    with pytest.warns(
        UserWarning, match=r"^the distribution harness has a module 'harness' too, .*: pip uninstall harness"
    ):
        known = catalogue.read()
    assert [p.distribution for p in known.plugins if p.status == "broken"] == ["dl-harness"]
    owners["harness"].remove("harness")
    assert scanner.same_module("dl-harness") == []


def test_harness_itself_is_always_scanned_again_after_a_failure(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = {"plugin": "harness", "distribution": "dl-harness", "stage": "scan", "message": "slow"}
    failed = {"components": [], "config_dirs": {}, "problems": [row], "limit": scan_cache.TIMEOUT_S}
    scans: list[str] = []
    monkeypatch.setattr(scan_cache, "_scan", lambda p, d: scans.append(d) or failed)
    monkeypatch.setattr(scan_cache, "_scan_together", lambda plugins: [])
    again(scans)
    again(scans)
    assert set(scans) == {"", "dl-harness"}  # and not snakes


def test_plugins_of_harness_are_scanned_in_one_process(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The scan imports torch once; if one of the plugins fails, each is scanned alone."""
    light = {"components": [], "config_dirs": {}, "problems": [], "trainer": {}}
    together: list[Any] = []
    alone: list[Any] = []
    monkeypatch.setattr(scan_cache, "_scan", lambda p, d: alone.append((p, d)) or light)
    monkeypatch.setattr(
        scan_cache, "_scan_together", lambda plugins: together.append(plugins) or [light] * len(plugins)
    )
    catalogue.read()
    assert together[0][0] == ("", "")
    assert {d for _, d in together[0][1:]} == {"dl-harness"}
    assert alone == [("snakes", "snakes")]
    catalogue.read()
    assert (len(together), len(alone)) == (1, 1)
    shutil.rmtree(scan_cache.cache_folder())
    monkeypatch.setattr(scan_cache, "_scan_together", lambda plugins: [])
    catalogue.read()
    assert sorted(alone[1:]) == sorted([*together[0], ("snakes", "snakes")])


def test_joint_scan_fails_if_one_plugin_prints_or_dies(site: Path) -> None:
    install(site, "prints", "print('hello')")
    install(site, "dies", "import os; os._exit(1)")
    assert [len(scan_cache._scan_together([("snakes", "snakes"), (n, n)])) for n in ("prints", "dies")] == [0, 0]
    assert len(scan_cache._scan_together([("snakes", "snakes"), ("snakes", "snakes")])) == 2


def test_slow_scan_names_the_plugin(
    site: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install(site, "slow", "import time; time.sleep(60)")
    monkeypatch.setattr(scan_cache, "PATIENCE_S", 0.1)
    monkeypatch.setenv("HARNESS_SCAN_TIMEOUT", "0.5")
    assert scan_cache._scan("slow", "slow")["problems"][0]["message"] == "it did not finish loading within 0.5 s"
    output = capsys.readouterr()
    assert output.err == "harness: the plugin slow is still loading (at most 0.5 s); HARNESS_BLOCK=slow leaves it out\n"


INTERRUPTED = """
from harness.registry import catalogue; from harness.registry.scanning import scan_cache, scanner
real = scan_cache._scan
light = {"components": [], "config_dirs": {}, "problems": []}
scan_cache._scan = lambda p, d: real(p, d) if d == "hangs" else light
scan_cache._scan_together = lambda plugins: [light] * len(plugins)
catalogue.read()
"""


def test_interrupt_ends_a_hanging_scan(site: Path, tmp_path: Path) -> None:
    started = tmp_path / "started"
    install(site, "hangs", f"import pathlib, time; pathlib.Path({str(started)!r}).touch(); time.sleep(600)")
    reader = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED], env=environment(site), cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )
    while not started.exists():
        assert reader.poll() is None
        time.sleep(0.02)
    reader.send_signal(signal.SIGINT)
    assert "KeyboardInterrupt" in reader.communicate(timeout=60)[1]  # and not after the 120 s of a scan


def test_processes_of_a_hanging_plugin_are_ended(
    site: Path, scanned: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beat = tmp_path / "beat"
    loop = f"import time, pathlib\nwhile True: pathlib.Path({str(beat)!r}).touch(); time.sleep(0.05)"
    source = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {loop!r}])"
    install(site, "hangs", source)
    monkeypatch.setenv("HARNESS_SCAN_TIMEOUT", "3")
    assert [p.message for p in again(scanned).problems] == ["it did not finish loading within 3 s"]
    last = beat.stat().st_mtime_ns
    subprocess.run([sys.executable, "-c", "import time; time.sleep(0.5)"], check=True)
    assert beat.stat().st_mtime_ns == last


def test_plugins_are_not_imported_from_the_working_folder(site: Path, scanned: list[str], workdir: Path) -> None:
    for name in ("json", "snakes", "pluggy"):
        (workdir / f"{name}.py").write_text("raise SystemExit('not me')")
    assert default(again(scanned)) == 1.0


@pytest.mark.parametrize("value", ["soon", "0", "-1", "inf", "nan"])
def test_scan_timeout_must_be_positive_seconds(value: str, site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_SCAN_TIMEOUT", value)
    with pytest.raises(HarnessError, match=f"HARNESS_SCAN_TIMEOUT must be seconds > 0, got '{value}'"):
        scan_cache._scan("snakes", "snakes")


@pytest.mark.parametrize("word", ["snakes", "reptile"])
def test_plugin_is_blocked_by_either_name(
    word: str, site: Path, scanned: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    uninstall(site, "snakes")
    install(site, "snakes", "raise SystemExit", plugin="reptile")
    monkeypatch.setenv("HARNESS_BLOCK", f"other, {word}")
    known = again(scanned)
    assert "snakes" not in scanned
    assert [(p.name, p.status, p.components) for p in known.plugins if p.distribution == "snakes"] == [
        ("reptile", "blocked", [])
    ]
    assert known.problems == []


def test_concurrent_reads_agree(site: Path, tmp_path: Path) -> None:
    program = (
        "import json; from harness.registry import catalogue; "
        "from harness.registry.scanning import scan_cache; real = scan_cache._scan\n"
        "light = {'components': [], 'config_dirs': {}, 'problems': []}\n"
        "scan_cache._scan = lambda p, d: real(p, d) if d == 'snakes' else light\n"
        "scan_cache._scan_together = lambda plugins: [light] * len(plugins)\n"
        "print(json.dumps(catalogue.read().entries))"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, env=environment(site), cwd=tmp_path)
        for _ in range(4)
    ]
    answers = [json.loads(p.communicate(timeout=120)[0]) for p in started]
    assert all(answer == answers[0] for answer in answers)
    assert list(answers[0]["activation"]) == ["snake"]
    left = list((scan_cache.cache_folder() / "catalogue").iterdir())
    assert all(path.suffix == ".json" for path in left)


def test_component_for_a_task_serves_similar_tasks() -> None:
    tasks: dict[str, Any] = {"classification": {"traits": {}}, "shaken": {"traits": {"like": "classification"}}}
    known = Catalogue({"task": tasks}, [], [], [], {})
    assert known.serves(["regression", "classification"], "shaken")
    assert known.serves(["shaken"], "shaken")
    assert known.serves(None, "shaken")
    assert not known.serves(["regression"], "shaken")
    assert not known.serves(["shaken"], "classification")  # it may need more than the other provides


PRESET = "# @package {}\nlr: 0.1\n"


def presets(site: Path, distribution: str, *names: str) -> None:
    """A third-party plugin with presets only."""
    package = f"{distribution}_presets"
    for folder in (site / package, *[(site / package / n).parent for n in names]):
        folder.mkdir(exist_ok=True, parents=True)
    (site / package / "__init__.py").touch()
    for name in names:
        (site / package / f"{name}.yaml").write_text(PRESET.format(name.partition("/")[0]))
    install(site, distribution, f"@harness.hookimpl\ndef harness_config_dirs():\n    return ['pkg://{package}']")


def test_presets_have_their_origin(site: Path, scanned: list[str]) -> None:
    presets(site, "recipes", "optimizer/hot", "experiment/mine")
    known = again(scanned)
    assert known.problems == []
    assert known.presets == {"optimizer/hot": "recipes", "experiment/mine": "recipes"}
    assert known.config_dirs == [("recipes", "pkg://recipes_presets")]


@pytest.mark.parametrize(
    ("name", "owner"), [("activation/snake", "snakes"), ("trainer/cpu", "dl-harness"), ("config", "dl-harness")]
)
def test_preset_cannot_take_a_known_name(name: str, owner: str, site: Path, scanned: list[str]) -> None:
    presets(site, "recipes", name, "optimizer/hot")
    known = again(scanned)
    assert [(p.distribution, p.stage) for p in known.problems] == [("recipes", "duplicate")]
    assert f"the preset {name} " in known.problems[0].message
    assert f"taken by {owner};" in known.problems[0].message
    assert known.config_dirs == []
    assert known.presets == {}


def test_presets_with_a_duplicate_name_are_both_left_out(site: Path, scanned: list[str]) -> None:
    presets(site, "recipes", "optimizer/hot")
    presets(site, "kitchen", "optimizer/hot", "optimizer/cold")
    known = again(scanned)
    assert {p.distribution: p.message.partition(" has ")[2] for p in known.problems} == {
        "recipes": "a name taken by kitchen; rename the file",
        "kitchen": "a name taken by recipes; rename the file",
    }
    assert known.config_dirs == []
    assert "optimizer/hot of kitchen is left out" in (known.left_out("optimizer", "hot") or "")


def keep_times(path: Path, text: str) -> None:
    """Change a file to a text of equal length and keep its times."""
    times = path.stat()
    assert len(text) == times.st_size
    path.write_text(text)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


@pytest.mark.parametrize("change", ["write", "keep_times"])
@pytest.mark.parametrize(
    "loading",
    [
        "from helpers_of_mine import LR\n",
        "import importlib\nLR = importlib.import_module('helpers_' + 'of_mine').LR\n",
        "from pathlib import Path\nLR = float((Path(__file__).parent / 'lr.txt').read_text())\n",
    ],
    ids=["import", "dynamic", "data"],
)
def test_changed_helper_of_a_default_is_noticed(
    loading: str, change: str, site: Path, scanned: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").mkdir()
    helper = tmp_path / "mine" / "helpers_of_mine.py"
    monkeypatch.syspath_prepend(str(helper.parent))
    files = {helper: "LR = {}\n", site / "lr.txt": "{}"}
    for path, text in files.items():
        path.write_text(text.format(0.25))
    source = loading + "@harness.activation\ndef snake(x, *, a: float = LR):\n    return x\n"
    uninstall(site, "snakes")
    install(site, "snakes", source, offers="snake")
    assert default(again(scanned)) == 0.25
    assert default(again(scanned)) == 0.25
    assert scanned == []
    for path, text in files.items():
        (keep_times if change == "keep_times" else Path.write_text)(path, text.format(0.75))
    assert default(again(scanned)) == 0.75
    assert scanned == ["snakes"]


def test_change_of_equal_size_and_time_is_noticed(site: Path, scanned: list[str]) -> None:
    again(scanned)
    keep_times(site / "snakes.py", (site / "snakes.py").read_text().replace("= 1.0", "= 2.5"))
    assert default(again(scanned)) == 2.5
    assert scanned == ["snakes"]


def test_changed_environment_variable_of_a_default_is_noticed(
    site: Path, scanned: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = "import os\n" + SNAKE.format("float(os.environ.get('SNAKE', '1.5'))")
    uninstall(site, "snakes")
    install(site, "snakes", source, offers="snake")
    assert default(again(scanned)) == 1.5
    monkeypatch.setenv("SNAKE", "2.5")
    assert default(again(scanned)) == 2.5
    assert default(again(scanned)) == 2.5
    assert scanned == []


SCAN = """
import json, sys
from harness.registry.scanning import scanner
scanner.main(json.dumps([[name, name] for name in sys.argv[2:]]), sys.argv[1])
"""


def test_plugins_that_are_scanned_together_have_the_files_that_each_has_alone(site: Path, tmp_path: Path) -> None:
    """The ID of a run depends on these files: it must not depend on which plugins had to be scanned again."""

    def files(*names: str) -> dict[str, list[str]]:
        answer = tmp_path / "answer.json"
        command = [sys.executable, "-c", SCAN, str(answer), *names]
        subprocess.run(command, env=environment(site), cwd=tmp_path, check=True)
        scans = zip(names, json.loads(answer.read_text()), strict=True)
        return {name: sorted(Path(path).name for path in scan["files"]) for name, scan in scans}

    for name in ("alpha", "beta"):
        (site / f"{name}.txt").write_text(name)
        install(site, name, f"from pathlib import Path\nPath(__file__).with_name('{name}.txt').read_text()")
    alone = files("alpha") | files("beta")
    assert alone == {"alpha": ["alpha.py", "alpha.txt"], "beta": ["beta.py", "beta.txt"]}
    assert files("alpha", "beta") == files("beta", "alpha") == alone
