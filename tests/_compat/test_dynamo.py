"""torch's compiler is imported when something compiles, and then works as if it had been imported at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.commands import python

START = """
import sys
import harness
import torch
from torch import nn

def imported():
    return "torch._dynamo.eval_frame" in sys.modules

import pytorch_lightning
from pytorch_lightning.utilities.compile import from_compiled, to_uncompiled
model = nn.Linear(2, 1)
optimizer = torch.optim.Adam(model.parameters())
model(torch.ones(1, 2)).sum().backward()
optimizer.step()
optimizer.zero_grad()
optimizer.load_state_dict(optimizer.state_dict())
torch.func.vmap(torch.sin)(torch.ones(3))
assert not imported()
"""

COMPILED = """
class Model(pytorch_lightning.LightningModule):
    def forward(self, x):
        return x + 1

compiled = torch.compile(Model(), backend="eager")
from lightning_fabric.wrappers import OptimizedModule
assert imported() and isinstance(compiled, OptimizedModule) and not isinstance(model, OptimizedModule)
assert isinstance(compiled, torch._dynamo.OptimizedModule) and torch._dynamo.OptimizedModule is not OptimizedModule
assert isinstance(to_uncompiled(from_compiled(compiled)), Model)
assert compiled(torch.ones(1)).item() == 2
assert torch._dynamo is sys.modules["torch._dynamo"] and type(torch._dynamo) is type(torch)
"""

DISABLED = """
@torch.compiler.disable
def twice(x):
    return 2 * x

assert twice(torch.ones(1)).item() == 2 and not imported()

@torch.compile(backend="eager", fullgraph=True)
def compiled(x):
    return twice(x) + 1

try:
    compiled(torch.ones(1))
except torch._dynamo.exc.Unsupported:
    pass
else:
    raise AssertionError("a disabled function was compiled")
broken = torch.compile(lambda x: twice(x) + 1, backend="eager")
assert broken(torch.ones(1)).item() == 3
optimizer.add_param_group({"params": [nn.Parameter(torch.ones(1))]})
"""

SUBMODULE = """
import torch._dynamo.config
from torch._dynamo.utils import counters
import importlib
assert imported() and sys.modules["torch._dynamo.config"] is torch._dynamo.config
assert importlib.import_module("torch._dynamo.utils") is torch._dynamo.utils
assert counters is torch._dynamo.utils.counters
with torch._dynamo.config.patch(recompile_limit=3):
    assert torch._dynamo.config.recompile_limit == 3
"""

ATTRIBUTE = """
torch._dynamo.reset()
assert imported() and "torch._dynamo.convert_frame" in sys.modules
"""


@pytest.mark.parametrize("use", [COMPILED, DISABLED, SUBMODULE, ATTRIBUTE])
def test_compiler_is_imported_when_it_is_used(use: str, tmp_path: Path) -> None:
    python(START + use, cwd=tmp_path)


def test_another_version_of_torch_imports_its_compiler_at_once(tmp_path: Path) -> None:
    source = "import sys, harness, torch\ntorch.__version__ = '2.99.0'\nimport torch._dynamo\n"
    python(source + "assert 'torch._dynamo.eval_frame' in sys.modules", cwd=tmp_path)
