import pytest
import torch
from torch import nn

from harness_components.tensorboard.graph import graph_of


class Doubled(nn.Module):
    """One layer used twice, with something between."""

    def __init__(self):
        super().__init__()
        self.shared = nn.Linear(4, 4)
        self.body = nn.Sequential(nn.Conv1d(1, 2, 3), nn.Dropout(0.5))

    def forward(self, x):
        both = self.shared(torch.relu(self.shared(x)))
        return self.body(both[:, None]), both


def nodes(model, x):
    return {node.name: node for node in graph_of(model, x).node}


def test_operations_have_the_names_of_modules():
    found = nodes(Doubled(), torch.ones(2, 4))
    assert {
        "input", "shared (Linear)/weight", "shared (Linear)/bias", "shared (Linear)/linear", "relu",
        "shared (Linear)/linear 2", "body/0 (Conv1d)/weight", "body/1 (Dropout)/dropout", "output", "output 2",
    } <= found.keys()  # fmt: skip
    assert list(found["relu"].input) == ["shared (Linear)/linear"]
    assert "relu" in found["shared (Linear)/linear 2"].input
    assert list(found["output 2"].input) == ["shared (Linear)/linear 2"]


def test_node_inputs_exist_and_shapes_are_recorded():
    found = nodes(Doubled(), torch.ones(2, 4))
    assert all(name in found for node in found.values() for name in node.input)
    assert not any("Constant" in node.op for node in found.values())

    def shape(name):
        (told,) = found[name].attr["_output_shapes"].list.shape
        return [d.size for d in told.dim]

    assert shape("shared (Linear)/weight") == [4, 4]
    assert shape("output") == [2, 2, 2]


def test_graph_does_not_change_the_model():
    model = nn.Sequential(nn.BatchNorm1d(3), nn.Dropout(0.5))
    model[1].eval()
    before, state = torch.get_rng_state(), {k: v.clone() for k, v in model.state_dict().items()}
    graph_of(model, torch.randn(5, 3, generator=torch.Generator().manual_seed(0)))
    assert [m.training for m in model.modules()] == [True, True, False]
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())


def test_model_that_cannot_be_traced_raises():
    class Dictionary(nn.Module):
        def forward(self, x):
            return {"y": object()}

    with pytest.raises(Exception, match=r".+"):
        graph_of(Dictionary(), torch.ones(1, 4))
