"""Tests of broken plugins beside good ones: each is reported by name, and the others are not affected."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.registry import catalogue
from harness.registry.catalogue import Catalogue
from harness.registry.discovery import PluginProblem, entry_points, load
from harness.registry.registry import Registry
from harness.system.errors import HarnessError
from tests.helpers.commands import harness
from tests.helpers.strangers import install


def _command(offers: str) -> str:
    """Source of a plugin with commands: `C(name, help, arguments, function)`; `f` takes any arguments."""
    return (
        f"C = harness.Command\ndef f(given):\n    return 0\n"
        f"@harness.hookimpl\ndef harness_commands():\n    return [{offers}]"
    )


# distribution: (source, names that its hook returns, stage, part of the message)
BROKEN: dict[str, tuple[str, str | None, str, str]] = {
    "raises": ("raise RuntimeError('out of\\norder')", None, "import", "RuntimeError: out of order"),
    "exits": ("raise SystemExit(3)", None, "import", "SystemExit: 3"),
    "typo": ("def f(:", None, "import", "SyntaxError"),
    "lacks": ("import not_installed_here", None, "import", "No module named 'not_installed_here'"),
    "dies": ("import os; os._exit(7)", None, "scan", "died with status 7"),
    "hangs": (
        "import pathlib, time\nwith pathlib.Path(__file__).with_name('starts').open('a') as file:\n"
        "    file.write('x')\ntime.sleep(600)",
        None,
        "scan",
        "within 3 s",
    ),
    "mute": ("x = 1", None, "register", "no hook"),
    "misspelt": ("@harness.hookimpl\ndef harness_component():\n    return []", None, "register", "harness_component"),
    "throws": (
        "@harness.hookimpl\ndef harness_components():\n    raise KeyError('a')",
        None,
        "harness_components",
        "KeyError: 'a'",
    ),
    "gives-none": (
        "@harness.hookimpl\ndef harness_components():\n    return None",
        None,
        "harness_components",
        "TypeError",
    ),
    "unmarked": ("def snake(x):\n    return x", "snake", "component", "is not marked"),
    "untyped": (
        "@harness.activation\ndef untyped(x, *, a=1):\n    return x",
        "untyped",
        "component",
        "'a' has no type",
    ),
    "starred": ("@harness.activation\ndef starred(x, *rest):\n    return x", "starred", "component", "*rest"),
    "hidden": ("@harness.activation\ndef hidden(x, **rest):\n    return x", "hidden", "component", "*rest"),
    "asking": ("@harness.activation\ndef asking(x, y):\n    return x", "asking", "component", "asks for 'y'"),
    "trait": ("@harness.activation(gian=1.0)\ndef trait(x):\n    return x", "trait", "component", "trait 'gian'"),
    "blob": ("@harness.activation(gain={1, 2})\ndef blob(x):\n    return x", "blob", "component", "set is not JSON"),
    "capital": ("@harness.activation(name='Snake')\ndef f(x):\n    return x", "f", "component", "lower case"),
    "default": (
        "@harness.activation\ndef default(x, *, a: float = 'high'):\n    return x",
        "default",
        "component",
        "'a': must be a number",
    ),
    "alien": (
        "@harness.activation\ndef alien(x, *, a: dict[str, int]):\n    return x",
        "alien",
        "component",
        "not plain data",
    ),
    "unknown-hint": (
        "from __future__ import annotations\n@harness.activation\ndef hint(x, *, a: Missing = 1):\n    return x",
        "hint",
        "component",
        "'Missing' is not defined",
    ),
    "twice": ("@harness.activation\ndef twice(x):\n    return x", "twice, twice", "duplicate", "twice by this plugin"),
    "taker": (
        "@harness.activation\ndef relu(x):\n    return x * 0",
        "relu",
        "duplicate",
        "of dl-harness and 'taker' of",
    ),
    "left": ("@harness.activation\ndef same(x):\n    return x", "same", "duplicate", "'left' of left and 'right' of r"),
    "right": (
        "@harness.activation\ndef same(x):\n    return x",
        "same",
        "duplicate",
        "'left' of left and 'right' of r",
    ),
    "folder": (
        "@harness.hookimpl\ndef harness_config_dirs():\n    return ['pkg://folder_without.presets']",
        None,
        "harness_config_dirs",
        "folder_without",
    ),
    "folder-raises": (
        "@harness.hookimpl\ndef harness_config_dirs():\n    return ['pkg://folder_of_trouble']",
        None,
        "harness_config_dirs",
        "SystemExit: 4",
    ),
    "folder-text": (
        "@harness.hookimpl\ndef harness_config_dirs():\n    return 'pkg://folder_text'",
        None,
        "harness_config_dirs",
        "expected a list, got the string",
    ),
    "wants-more": ("@harness.hookimpl\ndef harness_components(kind):\n    return []", None, "register", "kind"),
    "prints": (
        "print('hello')\n@harness.activation\ndef prints(x):\n    return x",
        "prints",
        "import",
        "to standard output while it is loaded: 'hello'",
    ),
    "prints-below": (
        "import os; os.system('echo hello')\nx = 1",
        "",
        "import",
        "to standard output while it is loaded: 'hello'",
    ),
    "shy": (
        "class Shy:\n    @property\n    def __harness__(self):\n        raise OSError('not you')\n"
        "    __repr__ = __harness__.fget\nshy = Shy()",
        "shy",
        "component",
        "Shy: OSError: not you",
    ),
    "verb-none": (_command("'nothing'"), None, "command", "expected a harness.Command, got str"),
    "verb-name": (
        _command("C('Best One', 'Help.', f, f)"),
        None,
        "command",
        "command name 'Best One' must start with a letter",
    ),
    "verb-help": (_command("C('verb-help', '  ', f, f)"), None, "command", "command 'verb-help' has no help"),
    "verb-call": (_command("C('verb-call', 'Help.', f, 3)"), None, "command", "function must be a function, got 3"),
    "verb-raises": (_command("C('verb-raises', 'Help.', lambda p: p.x, f)"), None, "command", "has no attribute 'x'"),
    "verb-exits": (_command("C('verb-exits', 'Help.', lambda p: exit(5), f)"), None, "command", "SystemExit: 5"),
    "verb-text": (
        _command("C('verb-text', 'H.', lambda p: p.add_argument('--a', help='5%'), f)"),
        None,
        "command",
        "command/verb-text: ValueError",
    ),
    "verb-twice": (_command("*[C('verb-twice', 'H.', f, f)] * 2"), None, "duplicate", "twice by this plugin"),
    "verb-taker": (
        _command("C('report', 'H.', f, f)"),
        None,
        "duplicate",
        "command/report is offered by harness itself and 'verb-taker' of verb-taker",
    ),
    "verb-left": (_command("C('same', 'H.', f, f)"), None, "duplicate", "'verb-left' of verb-left and 'verb-right' of"),
    "verb-right": (_command("C('same', 'H.', f, f)"), None, "duplicate", "'verb-left' of verb-left and 'verb-right'"),
    "gone": ("", None, "import", "No module named 'gone'"),
}
IN_COMPANY = {"left", "right", "taker", "verb-left", "verb-right"}
LIVE = set(BROKEN) - IN_COMPANY - {"dies", "hangs", "prints", "prints-below"}  # reported without a child process
STILL_THERE = {"twice": ["activation/twice"]}  # the usable components of a broken plugin are kept

GOOD = {
    "noisy": "import sys\nsys.stderr.write('noise')\n@harness.activation\ndef noisy(x):\n    return x",
    "half": (
        "@harness.activation\ndef whole(x):\n    return x\n@harness.activation\ndef broken(x, *args):\n    return x"
    ),
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    for name, (source, offers, _, _) in BROKEN.items():
        path = install(folder, name, source, offers=offers)
        if "from __future__" in source:  # it comes before everything else
            first = source.splitlines()[0]
            path.write_text(f"{first}\n" + path.read_text().replace(first, ""))
    (folder / "gone.py").unlink()
    (folder / "folder_of_trouble").mkdir()
    (folder / "folder_of_trouble" / "__init__.py").write_text("raise SystemExit(4)")
    install(folder, "noisy", GOOD["noisy"], offers="noisy")
    install(folder, "half", GOOD["half"], offers="whole, broken", plugin="named/otherwise")
    return folder


@pytest.fixture(scope="module")
def known(site: Path) -> Iterator[Catalogue]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(site))
        patch.setenv("HARNESS_BLOCK", "hangs,dies")
        catalogue.read()  # a cold import of torch may take longer than the limit of a plugin
        patch.delenv("HARNESS_BLOCK")
        with pytest.MonkeyPatch.context() as hurried:  # done before the tests, whose own scans may import torch cold
            hurried.setenv("HARNESS_SCAN_TIMEOUT", "3")
            result = catalogue.read()
        yield result


def problem(known: Catalogue, distribution: str) -> PluginProblem:
    (problems,) = [p for p in known.problems if p.distribution == distribution]
    return problems


@pytest.mark.parametrize("name", BROKEN)
def test_broken_plugin_is_reported_by_name_stage_and_reason(name: str, known: Catalogue) -> None:
    _, _, stage, reason = BROKEN[name]
    reported = problem(known, name)
    assert (reported.plugin, reported.stage) == (name, stage)
    assert reason in reported.message
    assert "\n" not in reported.message
    plugin = next(p for p in known.plugins if p.distribution == name)
    assert (plugin.status, plugin.version) == ("broken", "1.0")
    assert plugin.components == STILL_THERE.get(name, [])


def test_other_plugins_are_not_affected(known: Catalogue) -> None:
    by_name = {p.distribution: p for p in known.plugins}
    assert by_name["dl-harness"].status == "installed"
    assert by_name["noisy"].status == "installed"
    assert by_name["noisy"].components == ["activation/noisy"]
    assert by_name["half"].status == "broken"
    assert by_name["half"].components == ["activation/whole"]
    assert known.get("activation", "relu")["origin"] == "dl-harness"
    assert problem(known, "raises").traceback.rstrip().endswith("order")
    assert len(known.problems) == len(BROKEN) + 1


def test_component_left_out_gives_its_reason(known: Catalogue) -> None:
    with pytest.raises(
        HarnessError, match=r"activation/same of left is left out: .*'left' of left and 'right' of right"
    ):
        known.get("activation", "same")
    with pytest.raises(HarnessError, match=r"activation/starred of starred is left out: .*\*rest"):
        known.get("activation", "starred")
    with pytest.raises(HarnessError, match=r"no activation 'nosy'\. Did you mean 'noisy'\?"):
        known.get("activation", "nosy")
    with pytest.raises(HarnessError, match=r" Left out: .*raises \(broken\), .*; see harness plugins\Z") as refused:
        known.get("activation", "never")
    assert "twice" not in str(refused.value)  # it has another component


def test_command_line_shows_every_problem_and_continues(known: Catalogue, site: Path, workdir: Path) -> None:
    def run(*words: str, status: int = 0, block: str = "hangs,dies") -> tuple[str, str]:
        done = harness(*words, cwd=workdir, site=site, status=status, HARNESS_SCAN_TIMEOUT="3", HARNESS_BLOCK=block)
        return done.stdout, done.stderr

    text, noise = run("plugins", block="")
    for name, (_, _, stage, reason) in BROKEN.items():
        assert f"{name} ({name}), {stage}: " in text
        assert reason in text
    assert noise == ""
    parsed = json.loads(run("plugins", "--json")[0])
    assert {p["distribution"] for p in parsed["problems"]} == {*BROKEN, "half"} - {"hangs", "dies"}
    assert {p["name"] for p in parsed["plugins"] if p["status"] == "blocked"} == {"hangs", "dies"}
    out, noise = run("activation=whole", "--cfg", "job", "--package", "activation")
    assert "_component_: whole" in out
    assert noise == ""
    out, noise = run("activation=same", status=2)
    assert noise.startswith("harness: error: activation/same of left is left out: ")
    assert noise.count("\n") == 1


def test_good_plugin_trains_beside_broken_ones(known: Catalogue, site: Path, workdir: Path) -> None:
    def run(*words: str) -> str:
        return harness(*words, cwd=workdir, site=site, HARNESS_SCAN_TIMEOUT="3").stdout

    starts = (site / "starts").read_text()
    assert "noisy" in run("--help")
    assert run("activation=noisy", "data=iris", "epochs=1").startswith("completed")
    assert (site / "starts").read_text() == starts


def test_distribution_without_metadata_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "torn", "")
    (tmp_path / "torn-1.0.dist-info" / "METADATA").unlink()
    monkeypatch.syspath_prepend(str(tmp_path))
    assert [(p.name, distribution) for p, distribution, _ in entry_points() if p.name == "torn"] == [("torn", "?")]


def test_live_registry_isolates_like_the_catalogue(
    known: Catalogue, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = {distribution: point for point, distribution, _ in entry_points()}
    for name in LIVE:
        offer = load(points[name], name)
        assert [p.stage for p in offer.problems] == [BROKEN[name][2]], name
    monkeypatch.setattr(catalogue, "current", lambda: known)
    assert Registry().get("activation", "whole")(3) == 3
    (site / "noisy.py").write_text("raise OSError('gone')")  # changed since the scan
    with pytest.raises(HarnessError, match=r"activation 'noisy' of noisy cannot be loaded: OSError: gone"):
        Registry().get("activation", "noisy")


LEAVING = """
@harness.activation
def kept(x):
    return x

@harness.activation
def tried(x):
    return x

@harness.hookimpl
def harness_components():
    return [kept, tried]

@harness.hookimpl
def harness_left_out():
    return {"activation/tried": "it breaks\\nwith this torch", "optimizer/fast_*": "pip install fast brings it", **MORE}
"""


def test_plugin_can_explain_what_it_leaves_out(tmp_path: Path, workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = tmp_path / "site"
    site.mkdir()
    install(site, "leaving", LEAVING.replace("**MORE", ""))
    install(site, "leaving-badly", LEAVING.replace("kept", "bad").replace("tried", "worse").replace("**MORE", "'x': 3"))
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("HARNESS_BLOCK", "hangs")  # a plugin of the tests above
    known = catalogue.read()
    assert known.get("activation", "kept")["origin"] == "leaving"
    with pytest.raises(HarnessError, match=r"^activation/tried of leaving is left out: it breaks with this torch$"):
        known.get("activation", "tried")
    with pytest.raises(HarnessError, match=r"^no optimizer 'fst_one'\."):
        known.get("optimizer", "fst_one")
    assert problem(known, "leaving-badly").stage == "harness_left_out"
    assert known.hints("optimizer")[0] == "optimizer/fast_*: pip install fast brings it"
    assert known.hints("loss") == []
    block = {"HARNESS_BLOCK": "leaving-badly"}
    refused = harness("optimizer=fast_one", cwd=workdir, site=site, status=2, **block).stderr
    assert refused == "harness: error: optimizer/fast_one of leaving is left out: pip install fast brings it\n"
    assert [path.name for path in workdir.iterdir()] == ["site"]
    listed = harness("list", "optimizer", cwd=workdir, site=site, **block).stdout.splitlines()
    assert listed[-1] == "optimizer/fast_*: pip install fast brings it"


def test_interrupt_in_a_plugin_is_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "interrupts", "raise KeyboardInterrupt")
    install(tmp_path, "interrupts-later", "@harness.hookimpl\ndef harness_components():\n    raise KeyboardInterrupt")
    monkeypatch.syspath_prepend(str(tmp_path))
    points = {d: p for p, d, _ in entry_points()}
    for name in ("interrupts", "interrupts-later"):
        with pytest.raises(KeyboardInterrupt):
            load(points[name], name)


def test_plugins_have_a_stable_order_starting_with_harness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("zebra", "ant", "bee"):
        install(tmp_path, name, "")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path))  # on the path twice, listed once
    points = [(distribution, point.name) for point, distribution, _ in entry_points()]
    ours = [point for point in points if point[0] == "dl-harness"]
    assert points == ours + sorted(set(points) - set(ours))
    assert ours == sorted(ours)
    assert {("ant", "ant"), ("bee", "bee"), ("zebra", "zebra")} <= set(points)
    assert len(points) == len(set(points))
    assert importlib.metadata.version("ant") == "1.0"
