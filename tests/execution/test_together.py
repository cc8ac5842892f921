"""A cohort beside other launches: what one of them has completed is not trained again."""

from __future__ import annotations

from pathlib import Path

from harness.config.composition import compose
from harness.execution.cohort import How
from harness.execution.preparation import prepare
from harness.execution.together import train_cohort


def test_what_another_launch_completed_under_other_words_is_found(workdir: Path) -> None:
    words = ["model=mlp", "model.width=8", "epochs=1", "save=none"]
    first, second = (prepare(compose(line)) for line in (words, words[::-1]))  # both are sure that it is not there yet
    assert first.record.id == second.record.id
    assert first.record.folder != second.record.folder
    (trained,) = train_cohort([first], How())
    (found,) = train_cohort([second], How())
    assert trained is not None
    assert found is not None
    assert found.cached
    assert found.folder == trained.folder
    assert [path.parent for path in Path("outputs").absolute().rglob("record.json")] == [trained.folder]
