"""Tests of `harness claims`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

import harness
from harness.cli import main
from harness_claims.claim import read
from harness_claims.reading import measure
from harness_claims.running import run
from tests.helpers.planted import planted

CLAIM = """
statement: {{en: Training longer lowers the loss, ko: 오래 학습하면 손실이 줄어든다}}
source: ['001']
topic: descent
stable: true
hold: [data=wine, model=logistic]
sides:
  long: [epochs=8]
  short: [epochs=1]
seeds: 8
quick: {{seeds: 3}}
measure: {measure}
effect: difference
decide: {{below: 0}}
because: {{en: It moves further., ko: 더 멀리 간다.}}
revised: {{en: It had 4 seeds., ko: 시드가 4개였다.}}
verdict: {verdict}
"""
PLUGIN = """
@harness.hookimpl
def harness_config_dirs():
    return ["pkg://claimant.claims"]
"""


@pytest.fixture(scope="module", autouse=True)
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A stranger's plugin with two claims, one of which records a wrong verdict."""
    site = tmp_path_factory.mktemp("site")
    folder = site / "claimant" / "claims" / "claim"
    folder.mkdir(parents=True)
    for package in (site / "claimant", site / "claimant" / "claims"):
        (package / "__init__.py").write_text("")
    last = "{curve: val/loss, at: last}"
    (folder / "longer.yaml").write_text(CLAIM.format(measure=last, verdict="supported"))
    (folder / "longer-wrong.yaml").write_text(CLAIM.format(measure="{metric: train/loss}", verdict="refuted"))
    with planted(site, "claim-presets", PLUGIN):
        yield


def claims(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main(["claims", *words])
    captured = capsys.readouterr()
    return int(stop.value.code or 0), captured.out, captured.err


def test_claim_of_a_plugin_runs_to_a_verdict_and_is_cached(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = claims(capsys, "longer")
    assert out.startswith("longer  SUPPORTED\n")
    assert status == 0
    assert '"Training longer lowers the loss"' in out
    assert "true if the mean is below 0" in out
    assert "It moves further." in out
    assert "Changed after a first look: It had 4 seeds." in out
    assert out.endswith("1 claims: 1 supported\n")
    records = {path: path.stat().st_mtime_ns for path in Path("outputs/claims/longer").glob("*/record.json")}
    assert len(records) == 16
    again = claims(capsys, "longer")
    assert again[:2] == (status, out)
    assert {path: path.stat().st_mtime_ns for path in records} == records


def test_verdict_in_korean_and_as_data(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "오래 학습하면 손실이 줄어든다" in claims(capsys, "longer", "--quick", "--language", "ko")[1]
    row = json.loads(claims(capsys, "longer", "--quick", "--json")[1])["claims"][0]
    assert (row["claim"], row["verdict"], row["quick"], row["runs"]) == ("longer", "supported", True, 6)
    assert row["conditions"][0]["outcome"] == "holds"


def test_book_has_a_page_for_each_language(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    claims(capsys, "longer", "--quick", "--book", "book")
    english, korean = ((workdir / "book" / f"{name}.md").read_text(encoding="utf-8") for name in ("en", "ko"))
    assert "### Training longer lowers the loss { #longer }" in english
    assert "**supported** (stable). It moves further." in english
    assert "| always | holds |" in english
    assert "**지지됨** (안정됨). 더 멀리 간다." in korean
    assert "결과를 처음 본 뒤 바꾼 것: 시드가 4개였다." in korean
    assert "`harness claims longer`" in korean
    assert "long - short; 평균이 0보다 작다" in korean
    assert "![val/loss: long - short](figures/longer.svg)" in english
    files = sorted(str(path.relative_to("book")) for path in Path("book").rglob("*.*"))
    assert files == ["claims.html", "en.md", "figures/longer.svg", "ko.md"]


def test_book_is_one_html_page_with_figures(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    claims(capsys, "longer", "longer-wrong", "--quick", "--book", "book")
    html = Path("book/claims.html").read_text(encoding="utf-8")
    assert html.count("<svg") == 4
    assert html.count('<span class="small">stable</span>') == 1  # the verdict on the other one has changed
    ids = re.findall(r'id="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    assert {*re.findall(r'href="#([^"]+)"', html)} <= set(ids)
    ElementTree.fromstring(Path("book/figures/longer.svg").read_text(encoding="utf-8"))
    Path("book/figures/mine.svg").touch()
    claims(capsys, "longer-wrong", "--quick", "--book", "book")
    assert not Path("book/figures/longer.svg").exists()
    assert Path("book/figures/mine.svg").exists()  # no figure of the book


def test_new_claim_runs_and_passes_its_check(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert claims(capsys, "--new", "wide.yaml")[0] == 0
    status, out, _ = claims(capsys, "wide.yaml", "--quick")
    assert status == 0
    assert out.startswith("wide  SUPPORTED\n")
    assert "again: harness claims wide.yaml --quick" in out
    status, out, _ = claims(capsys, "--check", "wide.yaml", "--quick")
    assert status == 0
    assert out.startswith("wide  supported    turned refuted; equal sides ")
    assert "equal sides supported" not in out
    row = json.loads(claims(capsys, "--check", "wide.yaml", "--quick", "--json")[1])["claims"][0]
    assert (row["verdict"], row["turned"], row["expected"]) == ("supported", "refuted", "refuted")


def test_equal_sides_differ_in_their_seeds_and_share_their_splits(
    workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    claims(capsys, "--check", "longer", "--quick")
    records = [record for record in harness.load("outputs/claims/longer") if record.config["seed"] > 1000]
    assert {record.config["epochs"] for record in records} == {8}
    assert len({record.config["seed"] for record in records}) == 6
    assert sorted(record.config["split"]["seed"] for record in records) == [0, 0, 1, 1, 2, 2]


def test_other_seeds_give_other_runs(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    claims(capsys, "longer", "--quick", "--seed", "100")
    seeds = {json.loads(p.read_text())["config"]["seed"] for p in Path("outputs").rglob("record.json")}
    assert seeds == {100, 101, 102}


def test_changed_verdict_of_a_stable_claim_is_shown_and_fails(
    workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, _ = claims(capsys, "longer-wrong")
    assert status == 1
    assert out.startswith("longer-wrong  SUPPORTED (recorded: refuted)\n")


def test_claims_are_listed_without_training(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = claims(capsys, "--list")
    assert "sigmoid-vanish" in out
    assert "longer-wrong" in out
    assert not list(workdir.iterdir())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["longr"], "harness: error: no claim 'longr'. Did you mean 'longer'?\n"),
        (["--new", "wide"], "harness: error: --new takes the name of a file, wide-nets.yaml, got 'wide'\n"),
        (["--new", "no/wide.yaml"], "harness: error: cannot write no/wide.yaml: No such file or directory\n"),
        (["no.yaml"], "harness: error: cannot read no.yaml: No such file or directory\n"),
        (["longer", "--seed", "-1"], "harness: error: --seed must not be negative, got -1\n"),
    ],
)
def test_wrong_words_are_refused(
    words: list[str], message: str, workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, _, err = claims(capsys, *words)
    assert status == 2
    assert err.startswith(message)


def test_timed_claim_trains_each_seed_as_a_sweep(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    claim = read(harness.config_files("claim")["longer"])
    timed = replace(claim, slug="timed", measure=measure({"record": "time.fit_s"}))
    launched: list[int] = []
    sweep = harness.sweep

    def counted(*words: Any, variants: list[list[str]]) -> Any:
        launched.append(len(variants))
        return sweep(*words, variants=variants)

    monkeypatch.setattr(harness, "sweep", counted)
    run(claim, quick=True)
    result = run(timed, quick=True)
    assert launched == [6, 2, 2, 2]
    assert result.decided[0].missing == 0
