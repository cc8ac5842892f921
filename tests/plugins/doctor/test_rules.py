"""Tests of the doctor's evidence and rules, against independent references."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, r2_score, recall_score

import harness
from harness.cli.main import dispatch
from harness.config.settings import typed_settings
from harness.datasets.loading import load
from harness.datasets.sampling import first_samples
from harness.execution.preparation import make_plan
from harness.modeling.builder import build
from harness.registry import catalogue
from harness.training.diagnostics import quantities
from harness_doctor import evidence_data, evidence_files, evidence_model
from harness_doctor.diagnose import EXPLAINS, RULES, TROUBLES, diagnose, offered
from harness_doctor.evidence import DataEvidence, NetworkEvidence, RunEvidence, Scores, score_error
from harness_doctor.evidence_files import measured
from harness_doctor.evidence_layers import curvature, largest_eigenvalue
from harness_doctor.examination import Examination, joined
from harness_doctor.finding import Finding, between, ranked
from harness_doctor.rules import data as rules_data
from harness_doctor.rules import fit as rules_fit
from harness_doctor.rules import hardware as rules_hardware
from harness_doctor.scoring import marks, recalls, right_logits, scored, shares
from harness_doctor.summary import certain
from harness_doctor.trying import ScoreGains, TrialScores, fits, tried
from tests.plugins.doctor.case import named

NOTHING = RunEvidence({"batch_size": 64, "accumulate": 1}, {}, "completed", None, {}, {})


@settings(deadline=None)
@given(st.floats(allow_nan=False), st.floats(-10, 10), st.floats(-10, 10))
def test_between_is_a_share_that_increases_towards_high(value: float, low: float, high: float) -> None:
    if abs(high - low) < 1e-6:
        return
    share = between(value, low, high)
    assert 0 <= share <= 1
    assert between(low, low, high) == 0
    assert between(high, low, high) == 1
    assert share == pytest.approx(1 - between(value, high, low), abs=1e-6)


def test_scores_are_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    logits, classes = torch.tensor(rng.standard_normal((200, 4))), torch.tensor(rng.integers(0, 4, 200))
    assert scored("class", logits, classes) == pytest.approx(accuracy_score(classes, logits.argmax(1)))
    expected = recall_score(classes, logits.argmax(1), average=None)
    assert recalls(logits, classes, 4) == pytest.approx(tuple(expected))
    y = torch.tensor(rng.standard_normal((100, 2)))
    near = y + 0.5 * torch.tensor(rng.standard_normal((100, 2)))
    assert scored("real", near, y) == pytest.approx(r2_score(y, near))
    assert math.isnan(scored("class", torch.zeros(3), torch.zeros(3)))


@settings(deadline=None, max_examples=20)
@given(st.integers(2, 40), st.integers(0, 2**31))
def test_largest_eigenvalue_is_numpys(width: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    half = rng.standard_normal((width, width))
    matrix = torch.tensor(half + half.T)
    expected = np.linalg.eigvalsh(matrix.numpy())[-1]
    result = largest_eigenvalue(lambda v: matrix @ v, torch.zeros(width, dtype=torch.float64), 40)
    assert result == pytest.approx(expected, abs=1e-6)


def test_right_logits_predict_the_targets() -> None:
    y = torch.tensor([0, 2, 1])
    assert right_logits(y, 3, 20.0).argmax(1).tolist() == y.tolist()
    assert (right_logits(torch.tensor([0, 1]), 1, 20.0)[:, 0] > 0).tolist() == [False, True]


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 30), st.integers(0, 2**31))
def test_near_duplicates_are_counted(copies: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    train, held = rng.standard_normal((200, 5)), rng.standard_normal((40, 5))
    held[:copies] = train[rng.permutation(200)[:copies]] * (1 + 1e-9)
    assert evidence_data.near_duplicates(train, held) == pytest.approx(copies / 40)


def _values(*overrides: str) -> dict[str, Any]:
    from harness.config.composition import compose
    from harness.execution.resolve import resolve

    values = compose(["logger=[]", *overrides]).values
    return resolve(values, load(values).dataset, catalogue.current())


def test_curvature_is_that_of_the_dense_hessian() -> None:
    values = _values("data=iris", "model=mlp", "model.width=4", "model.depth=1", "activation=tanh")
    dataset = load(values).dataset
    plan = make_plan(typed_settings(values), dataset, values)
    path = evidence_model.make(values, dataset, plan)
    x, y = first_samples(dataset, 512)
    model = build(values, dataset, plan.total_steps).model
    params = dict(model.named_parameters())
    flat = torch.cat([p.detach().flatten() for p in params.values()])

    def loss(flat: torch.Tensor) -> torch.Tensor:
        pieces = flat.split([p.numel() for p in params.values()])
        bound = {n: v.reshape(p.shape) for (n, p), v in zip(params.items(), pieces, strict=True)}
        return torch.nn.functional.cross_entropy(torch.func.functional_call(model, bound, (x,)), y)

    dense = torch.autograd.functional.hessian(loss, flat)
    assert curvature(path, dataset) == pytest.approx(float(torch.linalg.eigvalsh(dense)[-1]), rel=1e-2)


def test_share_of_wrong_labels_is_estimated() -> None:
    values = _values("data=blobs", "corruption=[label_noise]", "corruption.label_noise.p=0.3")
    loaded = load(values)
    data = evidence_data.look(loaded.dataset, loaded.overlap, 64)
    assert 1 - data.agreement / data.usual == pytest.approx(0.3, abs=0.06)
    assert data.counts == tuple(torch.bincount(loaded.dataset.train.y).tolist())


def test_symptom_is_ranked_after_its_cause() -> None:
    cause, symptom, other = (Finding(t, c, (), "") for t, c in (("a", 0.7), ("b", 0.9), ("c", 0.6)))
    findings = ranked([symptom, cause, other], {"a": frozenset({"b"})})
    assert [f.trouble for f in findings] == ["a", "c", "b"]
    assert findings[-1].confidence < 0.5
    weak = replace(cause, confidence=0.3)  # it is no accusation, and explains nothing
    assert [f.trouble for f in ranked([symptom, weak], {"a": frozenset({"b"})})] == ["b", "a"]


def test_causes_are_known_troubles() -> None:
    assert set(EXPLAINS) <= set(TROUBLES)
    assert set().union(*EXPLAINS.values()) <= set(TROUBLES)
    assert len(set(TROUBLES)) == len(TROUBLES)


def test_missing_evidence_gives_no_finding() -> None:
    assert [rule(NOTHING) for rule in RULES if rule(NOTHING) is not None and rule(NOTHING).confidence > 0] == []  # type: ignore[union-attr]


def test_overrides_with_unknown_components_are_left_out() -> None:
    known = catalogue.current()
    tries = ("initializer=he_normal", "initializer=nowhere", "regularizer=[dropout,nowhere]", "optimizer.lr=0.1")
    assert offered(tries, known) == ("initializer=he_normal", "optimizer.lr=0.1")
    assert offered(("loss=auto", "regularizer=[]"), known) == ("loss=auto", "regularizer=[]")


def test_diagnostics_are_read_by_their_declared_quantities() -> None:
    nodes = {"dead_units": {"_component_": "dead_units"}, "activation_gradient": {"_component_": "activation_gradient"}}
    tags = {
        "dead_units/a.b/dead": [(0, 0.5)],
        "dead_units/a.b/zeros": [(0, 0.6)],
        "activation_gradient/first_to_last": [(0, 0.1)],
        "activation_gradient/a": [(0, 2.0)],
    }
    assert measured(tags, nodes, catalogue.current()) == {
        quantities.DEAD: {"a.b": [(0, 0.5)]},
        quantities.ZEROS: {"a.b": [(0, 0.6)]},
        quantities.PROFILE: {"": [(0, 0.1)]},
        quantities.GRADIENT: {"a": [(0, 2.0)]},
    }


def test_every_declared_quantity_is_known() -> None:
    known = {value for name, value in vars(quantities).items() if name.isupper()}
    declared = {
        q for e in catalogue.current() if e["kind"] == "diagnostic" for q in e["traits"].get("tells", {}).values()
    }
    assert declared
    assert declared <= known


def test_measurements_are_joined_in_step_order() -> None:
    result = joined({"q": {"a": [(5, 1.0), (9, 2.0)]}}, {"q": {"a": [(0, 3.0), (9, 4.0)], "b": [(1, 5.0)]}})
    assert result == {"q": {"a": [(0, 3.0), (5, 1.0), (9, 4.0)], "b": [(1, 5.0)]}}


@pytest.mark.parametrize(
    ("error", "rule", "trouble"),
    [
        (
            {"type": "OutOfMemoryError", "message": "CUDA out of memory"},
            rules_hardware.memory,
            "memory",
        ),
        (
            {"type": "ValueError", "message": "Expected more than 1 value per channel when training, got"},
            rules_fit.small_batches,
            "batch norm with small batches",
        ),
    ],
)
def test_error_is_a_finding(error: dict[str, Any], rule: Any, trouble: str) -> None:
    finding = rule(replace(NOTHING, status="failed", error=error))
    assert finding.trouble == trouble
    assert finding.confidence > 0.9


def test_data_findings() -> None:
    plain = DataEvidence("class", 2, counts=(100, 100), n=200, held_out=100, overlap=0)
    assert all((f := rule(replace(NOTHING, data=plain))) is None or f.confidence == 0 for rule in rules_data.RULES)
    for changed, trouble in (({"widest": 300.0}, "inputs not scaled"), ({"overlap": 30}, "leak between splits")):
        findings = diagnose(replace(NOTHING, data=replace(plain, **changed)))
        assert [f.trouble for f in findings] == [trouble]


def test_doctor_reports_on_a_run_and_on_a_study(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ill = harness.run(["initializer=zeros", "data=iris", "epochs=2", "diagnostic=[standard]", "logger=[]", "study=s"])
    harness.run(["data=iris", "epochs=30", "optimizer.lr=0.01", "logger=[]", "study=s"])
    assert dispatch(["doctor", str(ill.folder), "--quick", "--json"]) == 0
    (first, *_) = json.loads(capsys.readouterr().out)["findings"]
    assert first["trouble"] == "symmetric units"
    assert first["try"] == ["initializer=he_normal"]
    assert {"what", "value", "layer", "step"} <= first["evidence"][0].keys()
    assert dispatch(["doctor", "s"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("2 runs, 1 of them without a finding\n\nsymmetric units: 1 run\n")
    assert "try   initializer=he_normal" in text


def test_run_prints_certain_findings_only(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["data=iris", "epochs=2", "diagnostic=[standard]", "logger=[]"]
    dispatch([*line, "initializer=zeros"])
    assert "  doctor    symmetric units: " in capsys.readouterr().out
    dispatch(line)
    assert "doctor" not in capsys.readouterr().out


def test_dead_network_is_not_called_overfitting(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["data=breast_cancer", "epochs=12", "initializer=bias_shift", "initializer.value=-25", "logger=[]"]
    dispatch([*line, "study=dead"])
    assert "doctor" not in capsys.readouterr().out  # the files alone are not certain, so nothing is printed
    assert dispatch(["doctor", "dead", "--json"]) == 0
    (first, *_) = json.loads(capsys.readouterr().out)["findings"]
    assert first["trouble"] == "dying ReLU"
    assert first["try"] == ["initializer=he_normal"]
    assert "without" in first["outcome"]


def test_uncertain_finding_from_files_is_not_printed() -> None:
    rising = {"train/loss": [(i, 1 / (1 + i)) for i in range(9)], "val/loss": [(i, 1.0 + i) for i in range(9)]}
    seen = replace(NOTHING, history=rising)
    assert [f.trouble for f in diagnose(seen)] == ["overfitting"]
    assert certain(diagnose(seen)) == []


def table(**changed: Any) -> RunEvidence:
    """A run on 500 noisy rows: plain estimators reach .75, a constant .6."""
    facts: dict[str, Any] = {"floor": 0.6, "floor_train": 0.6, "reference": 0.755, "attained": 0.75, "usual": 0.75}
    samples = {"looked": 500, "looked_val": 100, "n": 500, "held_out": 200, "overlap": 0}
    data = DataEvidence("class", 2, counts=(300, 200), by_reference="logistic regression", **(facts | samples))
    net = NetworkEvidence(Scores(train=changed.pop("train", 0.83), val=changed.pop("val", 0.76)))
    history = {"train/loss": [(i, 0.7 - 0.01 * i) for i in range(20)], "val/loss": [(i, 0.6) for i in range(20)]}
    config = NOTHING.config | {"epochs": 20, "model": {"_component_": "mlp", "width": 128, "depth": 2}}
    return replace(NOTHING, config=config, data=replace(data, **changed), net=net, history=history)


def test_noise_is_not_called_underfitting() -> None:
    """From a report: training accuracy .829, a linear model .755 on validation."""
    assert named(diagnose(table(train=0.829))) == ""
    assert named(diagnose(table(train=0.74, val=0.74))) == ""  # as good as possible
    # if nothing can be learned, a network as good as a constant is fine
    assert named(diagnose(table(train=0.6, val=0.6, reference=0.62, attained=0.61, usual=0.6, looked=150))) == ""
    (first, *_) = diagnose(table(train=0.63, val=0.62))
    assert first.trouble == "underfitting"
    assert first.tries == ("model=mlp", "model.width=512", "model.depth=3")
    assert first.others == (("epochs=60",),)


def test_imbalance_advice_uses_class_weights_if_the_loss_has_them() -> None:
    rare = table(train=0.98, val=0.97, counts=(480, 20), floor=0.96, floor_train=0.96, attained=0.97, reference=0.97)
    rare = replace(rare, net=NetworkEvidence(Scores(train=0.98, val=0.97, recalls=(1.0, 0.4))))
    assert diagnose(rare)[0].tries == ("loss=focal",)
    node = {"_component_": "cross_entropy", "weights": "none"}
    (first,) = diagnose(replace(rare, config=rare.config | {"loss": node}))
    assert (first.trouble, first.others) == ("imbalance", (("loss=focal",),))
    assert first.tries == ("loss=cross_entropy", "loss.weights=balanced")


def test_target_findings() -> None:
    real = DataEvidence("real", 1, looked=400, looked_val=100, n=400, target_std=1e5, target_mean=3e5)
    plain = replace(NOTHING, config=NOTHING.config | {"task": {"standardize": False}}, status="diverged")
    assert diagnose(replace(plain, data=real))[0].trouble == "targets not scaled"
    assert diagnose(replace(plain, data=replace(real, target_std=0.0)))[0].trouble == "constant targets"
    assert "targets not scaled" not in [f.trouble for f in diagnose(replace(plain, data=real, config=NOTHING.config))]
    leaking = replace(real, telling=3, telling_score=0.999, others_score=0.7)
    assert named(diagnose(replace(NOTHING, data=leaking))) == "target among the inputs"
    assert named(diagnose(replace(NOTHING, data=replace(leaking, others_score=0.995)))) == ""


def test_input_that_equals_the_target_is_found() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((300, 5)), rng.standard_normal((300, 1))
    assert evidence_data.telling("real", x, y, 0.0) == {}
    x[:, 2] = 3 * y[:, 0] + 1
    result = evidence_data.telling("real", x, y, 1.0)
    assert result["telling"] == 2
    assert result["telling_score"] > 0.99 > 0.5 > result["others_score"]


def test_standard_errors_match_simulated_draws() -> None:
    rng = np.random.default_rng(0)
    drawn = rng.binomial(200, 0.8, 4000) / 200
    assert score_error("class", 0.8, 200) == pytest.approx(drawn.std(), rel=0.05, abs=0)
    x = rng.standard_normal((2000, 300))
    y = x + rng.standard_normal((2000, 300))
    r2 = np.array([np.corrcoef(a, b)[0, 1] ** 2 for a, b in zip(x, y, strict=True)])
    assert score_error("real", 0.5, 300) == pytest.approx(r2.std(), rel=0.05, abs=0)


def test_advice_is_tried_and_withdrawn_if_useless(workdir: Path) -> None:
    """Label smoothing and early stopping are tried where labels are wrong; a remedy without effect is not given."""
    record = harness.run(["data=breast_cancer", "epochs=3", "logger=[]", "optimizer.lr=1e-5"])
    examination = Examination()
    seen = examination.examine(record)
    (first, *_) = examination.findings(record, seen)
    assert first.trouble == "learning rate too low"
    assert first.outcome.endswith("without")
    wrong = Finding("overfitting", 0.9, (), "why", ("regularizer=[weight_decay]",), (("no.such=key",),))
    (left,) = tried(record, seen, [wrong], examination.loader)
    assert left.tries == ()
    assert left.confidence < 0.5
    assert "did not help" in left.cause
    helps = Finding("overfitting", 0.9, (), "why", ("optimizer.lr=1e-6",), (("optimizer.lr=0.003",),))
    (kept,) = tried(record, seen, [helps], examination.loader)
    assert kept.tries == ("optimizer.lr=0.003",)
    assert [one.folder.absolute() for one in harness.load("scratch")] == [record.folder]  # trials leave no records


def test_advice_must_exceed_its_noise() -> None:
    """The gain must exceed the chance variation of both seeds and samples."""
    rng = np.random.default_rng(0)

    def gains(*means: float, samples: int = 100) -> ScoreGains:
        summed = ScoreGains(balanced=False)
        for mean in means:
            before = (rng.uniform(size=samples) < 0.7).astype(float)
            after = before.copy()
            wrong = np.flatnonzero(before == 0)
            after[wrong[: round(mean * samples)]] = 1.0
            one, other = (
                Scores(val=float(marks.mean()), marks=tuple(marks.tolist()), shares=(1 / samples,) * samples)
                for marks in (before, after)
            )
            summed.note(TrialScores(one, 0.5), TrialScores(other, 0.5))
        return summed

    sure, few, nothing = gains(0.1, 0.1, 0.1), gains(0.02, samples=50), gains(0.0, 0.0)
    assert sure.mean == pytest.approx(0.1, abs=1e-9, rel=1e-9)
    assert sure.mean > 3 * sure.error > 0
    assert few.mean == pytest.approx(0.02, abs=1e-9, rel=1e-9)
    assert few.mean < 1.64 * few.error
    assert (nothing.mean, nothing.error) == (0.0, 0.0)
    uneven = gains(0.2, 0.0, 0.0)
    assert uneven.error > sure.error


def test_marks_average_to_the_score() -> None:
    logits, classes = torch.tensor([[2.0, 0.0], [0.0, 1.0], [3.0, 1.0]]), torch.tensor([0, 1, 1])
    assert marks("class", logits, classes) == (1.0, 1.0, 0.0)
    assert shares(classes) == pytest.approx((0.5, 0.25, 0.25), rel=1e-6, abs=0)
    truth = torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
    result = truth + 0.3
    assert np.mean(marks("real", result, truth)) == pytest.approx(scored("real", result, truth), rel=1e-5, abs=1e-6)


def test_estimator_is_examined_by_its_data_and_scores(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = harness.run(["data=wine", "model=random_forest", "logger=[]", "study=trees"])
    seen = Examination().examine(record)
    assert seen.net is not None
    assert seen.net.scores is not None
    assert seen.net.scores.train > 0.95
    assert dispatch(["doctor", "trees"]) == 0
    text = capsys.readouterr().out
    assert "model random_forest is fitted at once" in text
    assert "Error" not in text
    assert not fits(record, ("optimizer.lr=0.1",))
    assert not fits(record, ("regularizer=[dropout]",))
    assert fits(record, ("transform=[standardize]",))


def test_damage_of_the_first_step_is_not_called_a_bad_start(workdir: Path) -> None:
    line = ["data=iris", "epochs=5", "optimizer=sgd", "optimizer.lr=10000", "diagnostic=[standard]", "logger=[]"]
    record = harness.run(line)
    assert record.status == "diverged"
    for seen in (evidence_files.seen(record), Examination().examine(record)):
        first, *_ = diagnose(seen)
        assert first.trouble == "learning rate too high"
        assert first.confidence >= 0.8


def test_evidence_that_cannot_be_gathered_is_reported(workdir: Path) -> None:
    record = harness.run(["data=iris", "epochs=1", "logger=[]"])
    gone = replace(record, config=record.config | {"data": {"_component_": "gone"}})
    seen = Examination().examine(gone)
    assert seen.data is None
    assert "gone" in seen.missing[0]
    point = harness.run(["data=rosenbrock", "epochs=2", "logger=[]"])
    assert diagnose(Examination().examine(point)) == []


def test_study_without_runs_is_refused(workdir: Path) -> None:
    (workdir / "outputs" / "empty").mkdir(parents=True)
    with pytest.raises(harness.HarnessError, match="no runs in empty"):
        dispatch(["doctor", "empty"])


def test_slow_loader_is_found_from_measured_waiting() -> None:
    measured = {quantities.WAITING: {"": [(10, 0.1), (20, 0.6)]}}
    waits = replace(NOTHING, config=NOTHING.config | {"data": {"workers": 2}}, measured=measured)
    finding = rules_hardware.loader(waits)
    assert finding is not None
    assert (finding.trouble, finding.tries) == ("data loader bound", ("data.workers=4",))
    assert finding.confidence > 0.8
    assert [e.value for e in finding.evidence] == [0.6]
    assert "waits for its samples" in rules_hardware.limit(waits)
    slow = replace(NOTHING, data=DataEvidence("class", 2, fetch_s=0.09), time={"fit_s": 1.0, "steps": 10})
    assert (rules_hardware.loader(slow) or finding).evidence[0].value == 0.09


@pytest.mark.parametrize(("times", "text"), [(3.0, "3.0 times as many"), (1.0, "arithmetic"), (math.nan, "")])
def test_limit_of_a_run_is_named(times: float, text: str) -> None:
    net = NetworkEvidence(step_s=times, step4_s=4.0)
    assert text in rules_hardware.limit(replace(NOTHING, net=net))
    assert bool(rules_hardware.limit(replace(NOTHING, net=net))) == bool(text)
