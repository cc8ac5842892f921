"""Tests that help, lists and mistakes answer without importing torch, which is slow."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.commands import harness, python

REPORT = """
import sys
from harness.cli import main
try:
    main(sys.argv[1:])
except SystemExit as stop:
    heavy = ("torch", "pytorch_lightning", "torchmetrics", "sklearn", "pandas", "tensorboard", "harness_components",
             "harness_doctor", "harness_sklearn", "harness_pytorch_optimizer", "pytorch_optimizer")
    print(stop.code or 0, *[name for name in heavy if name in sys.modules])
"""


@pytest.mark.parametrize(
    ("line", "printed"),  # None: it is refused
    [
        ("--help", "optimizer: "),
        ("--version", "harness "),
        ("list", "adam"),
        ("list optimizer --json", '"name": "adam"'),
        ("show model/sklearn_svc", "model.C"),
        ("show optimizer/pytorch_optimizer_ranger", "optimizer.lr"),
        ("show optimizer/adam", "optimizer.lr"),
        ("plugins", "installed"),
        ("--cfg job", "_component_: adam"),
        ("--cfg job --resolve regularizer=[dropout]", "p: 0.5"),
        ("--hydra-help", "Hydra"),
        ("activation=rely", None),
        ("optimizer.lr=fast", None),
        ("optimizer.lr=-1", None),
        ("model=sklearn_svc model.C=-1", None),
        ("optimizer=pytorch_optimizer_adamini", None),
        ("-m optimizer=adam,sgdd", None),
        ("lits", None),
        ("help", "harness doctor"),
        ("-sc install=bash", "complete "),
    ],
)
def test_light_command_imports_no_torch(line: str, printed: str | None, workdir: Path) -> None:
    out = python(REPORT, *line.split(), cwd=workdir)
    assert out.splitlines()[-1] == ("2" if printed is None else "0")
    assert (printed or "") in out


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with a study of two runs and a table."""
    folder = tmp_path_factory.mktemp("study")
    harness("-m", "seed=0,1", "epochs=1", "study=pair", cwd=folder)
    (folder / "table.csv").write_text("x,y\n" + "".join(f"{i * i},{'ab'[i % 2]}\n" for i in range(40)))
    return folder


@pytest.mark.parametrize(
    ("line", "printed"),
    [
        ("report pair", "test/accuracy"),
        ("report pair --runs", "seed"),
        ("report pair --json", "accuracy"),
        ("report pair --latex", "tabular"),
        ("report pair --html pair.html", "pair.html"),
        ("report none", None),
        ("doctor pair --quick", "runs"),
        ("check none", None),
        ("rm none", None),
        ("board none", None),
        ("rm pair status=failed", ""),
    ],
)
def test_command_on_a_study_imports_no_torch(line: str, printed: str | None, study: Path) -> None:
    out = python(REPORT, *line.split(), cwd=study)
    status, *heavy = out.splitlines()[-1].split()
    assert status == ("2" if printed is None else "0")
    assert heavy in ([], ["harness_doctor"])
    assert (printed or "") in out


@pytest.mark.parametrize(
    ("line", "printed"),
    [
        ("show-data data=csv data.path=table.csv data.target=y", "2 columns"),
        ("data=csv data.path=table.csv data.target=z", None),
        ("-m seed=0,1 data=csv data.path=table.csv data.target=z", None),
        ("data=csv data.path=none.csv data.target=y", None),
    ],
)
def test_table_is_read_without_torch(line: str, printed: str | None, study: Path) -> None:
    out = python(REPORT, *line.split(), cwd=study)
    status, *heavy = out.splitlines()[-1].split()
    assert status == ("2" if printed is None else "0")
    assert set(heavy) <= {"pandas", "harness_components"}
    assert (printed or "") in out


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("harness opti", "optimizer="),
        ("harness optimizer=ad", "optimizer=adam"),
        ("harness regularizer=[l", "regularizer=[l2"),
        ("harness show loss/", "loss/mse"),
        ("harness report stu", "study"),
    ],
)
def test_completion_imports_no_torch(line: str, word: str, workdir: Path) -> None:
    (workdir / "outputs" / "study").mkdir(parents=True)
    out = python(REPORT, "-sc", "query=bash", cwd=workdir, COMP_LINE=line, COMP_POINT=str(len(line)))
    assert out.splitlines()[-1] == "0"
    assert word in out.split()


def test_harness_decorators_import_nothing_heavy(workdir: Path) -> None:
    heavy = "('torch', 'hydra', 'omegaconf', 'numpy')"
    source = f"import sys, harness; harness.activation; print([n for n in {heavy} if n in sys.modules])"
    assert python(source, cwd=workdir) == "[]\n"


def test_report_detects_an_import_of_torch(workdir: Path) -> None:
    out = python("from harness import Dataset\n" + REPORT, "list", cwd=workdir)
    assert out.splitlines()[-1].split()[:2] == ["0", "torch"]


def test_built_in_components_are_loaded_without_what_few_of_them_need(workdir: Path) -> None:
    heavy = "('pandas', 'pyarrow', 'sklearn', 'scipy.stats', 'datasets', 'matplotlib', 'requests')"
    source = (
        "import sys\nfrom harness.registry.registry import REGISTRY\nREGISTRY.get('data', 'digits')\n"
        f"print([n for n in {heavy} if n in sys.modules])"
    )
    assert python(source, cwd=workdir) == "[]\n"
