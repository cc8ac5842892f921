"""Tests of undocumented APIs of TensorBoard: a failing test names the feature that breaks when the API changes."""

from __future__ import annotations

import importlib
import warnings
from types import ModuleType

import pytest

NOTE = "_DATA_SERVER_ADVISORY_MESSAGE"


def _imported(name: str) -> ModuleType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of TensorBoard's dependencies
        return importlib.import_module(name)


def test_note_on_the_loader_is_silenced(monkeypatch: pytest.MonkeyPatch) -> None:
    program = _imported("tensorboard.program")
    assert hasattr(program, NOTE), "the note on the loader is printed: it has another name"
    monkeypatch.setattr(program, NOTE, "note")
    _imported("harness._compat.tensorboard").silence_loader()
    assert getattr(program, NOTE) == ""


def test_table_shows_the_chosen_metrics_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    compat, hparams = _imported("harness._compat.tensorboard"), _imported("tensorboard.plugins.hparams.hparams_plugin")
    (plugin,) = [p for p in compat.plugins(lambda tags: sorted(tags)[1:]) if getattr(p, "plugin_name", "") == "hparams"]
    assert plugin is not hparams.HParamsPlugin, "the table shows the first five scalars by the alphabet"
    names = [("margin", ""), ("val/loss", ""), ("lr", "")]
    base = _imported("tensorboard.plugins.hparams.backend_context").Context
    monkeypatch.setattr(base, "_compute_metric_names", lambda *_: names)
    context = plugin(_imported("tensorboard.plugins.base_plugin").TBContext())._context
    assert isinstance(context, base)
    infos = context._compute_metric_infos_from_runs(None, "", {})
    assert [info.name.tag for info in infos] == ["margin", "val/loss"]
