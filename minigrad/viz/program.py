"""The computation of a program as a list of nodes: the material of every drawing.

`minigrad.viz.recorded` makes a `Program` of the graph that autograd recorded, `minigrad.viz.watching` of a function
that it runs; `minigrad.viz.gradients` adds the backward pass.

Nodes stand in the order in which they ran, and are named after it: n1, n2, ... The same program gives the same names.
"""

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from minigrad.autograd.function import Function
from minigrad.autograd.tensor import Tensor
from minigrad.nn.module import Module
from minigrad.nn.parameter import Parameter

FREED = "A backward pass has freed what the ops retained; draw before it, or use retain_graph=True."

DIFFERENCE = "differs by at most"
"""Among a node's details: how far a composed form is from the fused op. It is a result, and no option."""


@dataclass(slots=True, eq=False)
class Value:
    """One tensor: an output of an op, or a leaf.

    Attributes:
        shape, dtype: None where they are not known.
        array: its values; None if autograd did not keep them and the computation was not watched.
        grad: its gradient, after `differentiate`.
        kept_by: ids of the ops that retain it for their backward rule.
        parts: what the gradient is the sum of: (id of the op whose rule sent it, number of that op's input, array).
        name: what it is, where an op has several outputs.
    """

    shape: tuple[int, ...] | None
    dtype: Any
    array: Any = None
    grad: Any = None
    kept_by: list[str] = field(default_factory=list)
    parts: list[tuple[str, int, Any]] = field(default_factory=list)
    name: str = ""


@dataclass(frozen=True, slots=True)
class Scope:
    """One call of a module, or (then `module` is False) another group of nodes that is drawn as a box."""

    name: str
    kind: str = ""
    call: int = 1
    module: bool = True


@dataclass(slots=True, eq=False)
class Node:
    """An op, or a leaf tensor.

    Attributes:
        id: such as "n7": stable from run to run, and the id of its element in an SVG.
        op: the name of the op; "" for a leaf.
        label: what is written on it: the op, or the name of the tensor.
        role: "op", "parameter", "buffer", "input", "leaf" (any other tensor that wants a gradient), "constant",
            "output" (an op whose result was asked for), "error"; in the views of the backward pass "backward",
            "sum" (gradients meet) and "gradient" (what a leaf gets).
        inputs: where each input comes from: (id of a node, number of its output); None for what is no tensor.
        outputs: a `Value` for each output.
        scope: the modules around it, outermost first.
        details: the op's options, and its inputs that are plain numbers.
        error: the message, if this is where the program failed.
        twin: in the views of the backward pass, the id of the forward node that this one belongs to.
        kept: in the views of the backward pass, the tensors of the forward pass that its rule needs.
        function, tensor: what it stands for.
        arguments: the arrays (or numbers, or None) that the op was given; None where they are not all known.
    """

    id: str
    op: str
    label: str
    role: str
    inputs: list[tuple[str, int] | None] = field(default_factory=list)
    outputs: list[Value] = field(default_factory=list)
    scope: tuple[Scope, ...] = ()
    details: dict[str, str] = field(default_factory=dict)
    error: str | None = None
    twin: str | None = None
    kept: list[tuple[str, int]] = field(default_factory=list)
    function: Function | None = None
    tensor: Tensor | None = None
    arguments: tuple[Any, ...] | None = None

    @property
    def value(self) -> Any:
        """The array of the first output, or None."""
        return self.outputs[0].array if self.outputs else None

    @property
    def grad(self) -> Any:
        """The gradient of the first output, or None."""
        return self.outputs[0].grad if self.outputs else None


@dataclass(slots=True, eq=False)
class Step:
    """One op's turn in the backward pass: the gradients of its outputs came in, those of its inputs went out."""

    node: Node
    incoming: list[Any]
    outgoing: list[Any]


class Program:
    """Nodes in the order in which they ran, inputs before those who use them.

    Attributes:
        nodes: all of them; `program[id]` finds one.
        outputs: (node, number of the output) of each result.
        steps: the backward pass in its order, after `differentiate`.
        error: the exception that stopped the program, or None.
        note: what the drawing should say about it, such as why there are no gradients.
    """

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.outputs: list[tuple[Node, int]] = []
        self.steps: list[Step] = []
        self.error: Exception | None = None
        self.note = ""
        self._by_id: dict[str, Node] = {}
        self._buffers: dict[tuple[Module, str], tuple[Any, Any]] = {}
        self._of_function: dict[Function, Node] = {}
        self._of_tensor: dict[Tensor, tuple[Node, int]] = {}
        self._of_array: dict[int, Node] = {}  # leaves by the array object that they hold

    def __getitem__(self, id: str) -> Node:
        return self._by_id[id]

    def add(self, node: Node) -> Node:
        self.nodes.append(node)
        self._by_id[node.id] = node
        if node.function is not None:
            self._of_function[node.function] = node
        if node.tensor is not None:
            self._of_tensor[node.tensor] = node, 0
        if not node.op:
            self._of_array.setdefault(id(node.value), node)
        return node

    def next_id(self) -> str:
        return f"n{len(self.nodes) + 1}"

    def remember(self, module: Module) -> None:
        """Keep what a module remembers from call to call (running statistics) for `restore`."""
        for part in module.modules():
            for name in part._buffer_names:
                buffer = part.__dict__[name]
                self._buffers.setdefault((part, name), (buffer, None if buffer is None else buffer.array.copy()))

    def restore(self) -> None:
        """Put it back: to look at a program changes nothing."""
        for (module, name), (buffer, values) in self._buffers.items():
            if module.__dict__[name] is not buffer:
                object.__setattr__(module, name, buffer)
            if buffer is not None and buffer.array.tobytes() != values.tobytes():
                buffer.array[...] = values

    def find(self, tensor: Tensor) -> tuple[Node, int] | None:
        """The node that stands for a tensor, or made it."""
        found = self._of_tensor.get(tensor)
        if found is None and tensor.grad_fn in self._of_function:
            found = self._of_function[tensor.grad_fn], tensor.output_index
        if found is None and tensor.grad_fn is None and id(tensor.array) in self._of_array:
            found = self._of_array[id(tensor.array)], 0
        return found


# -- making nodes --------------------------------------------------------------------------------------------


def names_of(params: Any) -> dict[Tensor, tuple[str, str]]:
    """Name and role of the tensors that the user names.

    `params` is a module, a dictionary from names to tensors, or pairs as of `named_parameters()`.
    """
    if params is None:
        return {}
    if isinstance(params, Module):
        named = {p: (name, "parameter") for name, p in params.named_parameters()}
        return named | {b: (name, "buffer") for name, b in params.named_buffers()}
    pairs = list(
        params.items() if isinstance(params, Mapping) else params if isinstance(params, Iterable) else [params]
    )
    for pair in pairs:
        if not (isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[1], Tensor)):
            raise TypeError(
                "graph: params must be a module, a dictionary from names to tensors, or pairs of both such as "
                f"model.named_parameters(); got a {type(params).__name__} with a {type(pair).__name__} in it. To give "
                "names to a list: dict(w=w, b=b)"
            )
    return {tensor: (str(name), "parameter" if isinstance(tensor, Parameter) else "") for name, tensor in pairs}


def _role(tensor: Tensor) -> str:
    if isinstance(tensor, Parameter):
        return "parameter"
    return "leaf" if tensor.requires_grad else "constant"


def add_leaf(
    program: Program, tensor: Tensor, names: Mapping[Tensor, tuple[str, str]], scope: tuple[Scope, ...]
) -> Node:
    name, role = names.get(tensor, ("", ""))
    role = role or _role(tensor)
    value = Value(tensor.shape, tensor.dtype, tensor.array)
    node = Node(program.next_id(), "", name or role, role, outputs=[value], scope=scope, tensor=tensor)
    return program.add(node)


@cache
def _option_names(kind: type[Function]) -> list[str]:
    return list(inspect.signature(kind).parameters)


def options_of(op: Function) -> dict[str, str]:
    """The options of the op, such as axis=1: the arguments of its class that it keeps under the same name."""
    found = {}
    for name in _option_names(type(op)):
        value = getattr(op, name, None)
        plain = (int, float, str)
        if isinstance(value, plain) or (isinstance(value, tuple) and all(isinstance(v, plain) for v in value)):
            text = f"{value:g}" if isinstance(value, float) else str(value)
            if len(text) <= 24 and name != "label":
                found[name] = text
    return found


def mark_kept(program: Program, node: Node) -> None:
    """Note which tensors this op retains; their values are known by that."""
    op = node.function
    if op is None or not op._saved:
        return
    for array, source in zip(op._saved, op._sources, strict=False):
        place = (node.id, ~source) if source < 0 else node.inputs[source]
        if place is None or not isinstance(array, np.ndarray):
            continue
        value = program[place[0]].outputs[place[1]]
        if value.array is None:
            value.array = array
        if node.id not in value.kept_by:
            value.kept_by.append(node.id)


def finish(program: Program, found: tuple[Node, int], tensor: Tensor) -> None:
    node, index = found
    if node.op:
        node.role = "output"
    if node.outputs[index].array is None:
        node.outputs[index].array = tensor.array
    program.outputs.append(found)


def place_leaves(program: Program) -> None:
    """Parameters and constants stand in the smallest box around all who use them, what the user gave outside."""
    places: dict[str, tuple[Scope, ...]] = {}
    for node in program.nodes:
        for source in node.inputs:
            if source is not None and not program[source[0]].op:
                known = places.get(source[0])
                places[source[0]] = node.scope if known is None else common_path([known, node.scope])
    for id, place in places.items():
        program[id].scope = () if program[id].role in ("input", "leaf") else place


def common_path(paths: list[tuple[Any, ...]]) -> tuple[Any, ...]:
    """The longest path that all begin with."""
    first, *others = paths
    for other in others:
        length = min(len(first), len(other))
        first = first[: next((i for i in range(length) if first[i] != other[i]), length)]
    return first


def tensors_in(result: Any) -> list[Tensor]:
    """The tensors in nested tuples, lists and dictionaries, in order."""
    found, stack = [], [result]
    while stack:
        x = stack.pop()
        if isinstance(x, Tensor):
            found.append(x)
        elif isinstance(x, Mapping):
            stack.extend(reversed(list(x.values())))
        elif isinstance(x, list | tuple):
            stack.extend(reversed(x))
    return found
