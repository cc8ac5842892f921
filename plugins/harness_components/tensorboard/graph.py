"""A model's operations as TensorBoard's graph, under the names that its modules have in the program."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from tensorboard.compat.proto.attr_value_pb2 import AttrValue
from tensorboard.compat.proto.graph_pb2 import GraphDef
from tensorboard.compat.proto.node_def_pb2 import NodeDef
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.versions_pb2 import VersionDef
from torch import Tensor, nn

from harness import Elementwise

_ROOT = "__module"
_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)  # their own names tell nothing


def graph_of(model: nn.Module, inputs: Tensor) -> GraphDef:
    """The operations of a copy of the model on these inputs, as it is evaluated. Raises what tracing raises."""
    copied = copy.deepcopy(model).eval()
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")  # on what a trace does not hold for other inputs: it is only looked at
        graph = torch.jit.trace(copied, (inputs,), check_trace=False, strict=False).inlined_graph
    shapes = {name: _shape(tensor.shape) for name, tensor in _tensors(copied)}
    return GraphDef(node=_Nodes(_shown(copied), shapes).of(graph), versions=VersionDef(producer=22))


def _tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from model.named_parameters(remove_duplicate=False)
    yield from model.named_buffers(remove_duplicate=False)


def _shown(model: nn.Module) -> dict[str, str]:
    """{module's name: the path it has in the graph}, as stages/stage0/0 (Conv2d)."""
    paths = {"": ""}
    for name, module in model.named_modules():
        if name:
            parent, _, own = name.rpartition(".")
            said = module.extra_repr() if isinstance(module, Elementwise) else type(module).__name__
            label = own if isinstance(module, _CONTAINERS) else f"{own} ({said})"
            paths[name] = f"{paths[parent]}{label}/"
    return paths


class _Nodes:
    """The nodes of one traced graph: inputs, parameters, operations, outputs; constants and lists are left out, since
    a trace shares them between layers that have nothing to do with each other.
    """

    def __init__(self, paths: dict[str, str], shapes: dict[str, TensorShapeProto]) -> None:
        self._paths, self._shapes = paths, shapes
        self._made: dict[str, NodeDef] = {}
        self._sources: dict[str, list[str]] = {}  # of a value of the trace: the nodes that it comes from
        self._modules: dict[str, str] = {}  # of a value that is a module: its name

    def of(self, graph: Any) -> list[NodeDef]:
        """All of them."""
        for value in graph.inputs():
            if value.type().kind() == "ClassType":
                self._modules[value.debugName()] = ""
            elif value.uses():
                self._add("input", "input", [], [value], _shapes([value]))
        for node in graph.nodes():
            self._node(node)
        for value in _single(graph.outputs()):
            self._add("output", "output", self._sources.get(value.debugName(), []), [value], _shapes([value]))
        return list(self._made.values())

    def _node(self, node: Any) -> None:
        inputs = list(dict.fromkeys(self._inputs(node)))
        if node.kind() == "prim::GetAttr":
            self._attribute(node)
        elif node.kind() in ("prim::ListConstruct", "prim::TupleConstruct", "prim::ListUnpack", "prim::TupleUnpack"):
            for value in node.outputs():
                self._sources[value.debugName()] = inputs
        elif inputs:
            scope = node.scopeName().rpartition("/")[2].removeprefix(_ROOT).removeprefix(".")
            operation = node.kind().partition("::")[2].strip("_")
            outputs = list(node.outputs())
            self._add(self._paths.get(scope, "") + operation, node.kind(), inputs, outputs, _shapes(outputs))

    def _inputs(self, node: Any) -> Iterator[str]:
        for value in node.inputs():
            yield from self._sources.get(value.debugName(), [])

    def _attribute(self, node: Any) -> None:
        owner, name, value = self._modules[node.input().debugName()], node.s("name"), node.output()
        whole = f"{owner}.{name}" if owner else name
        if value.type().kind() == "ClassType":
            self._modules[value.debugName()] = whole
        elif whole in self._shapes:
            self._add(self._paths.get(owner, "") + name, "parameter", [], [value], [self._shapes[whole]])

    def _add(
        self, path: str, operation: str, inputs: list[str], values: list[Any], shapes: list[TensorShapeProto]
    ) -> None:
        name, count = path, 1
        while name in self._made:
            count += 1
            name = f"{path} {count}"
        told = AttrValue(list=AttrValue.ListValue(shape=shapes))
        self._made[name] = NodeDef(name=name, op=operation, input=inputs, attr={"_output_shapes": told})
        for value in values:
            self._sources[value.debugName()] = [name]


def _single(values: Iterable[Any]) -> Iterator[Any]:
    """Return the elements of a tuple."""
    for value in values:
        made = value.node()
        yield from _single(made.inputs()) if made.kind() == "prim::TupleConstruct" else [value]


def _shapes(values: list[Any]) -> list[TensorShapeProto]:
    return [_shape(value.type().sizes() if value.isCompleteTensor() else None) for value in values]


def _shape(sizes: Sequence[int] | None) -> TensorShapeProto:
    if sizes is None:
        return TensorShapeProto(unknown_rank=True)
    return TensorShapeProto(dim=[TensorShapeProto.Dim(size=size) for size in sizes])
