"""The backward pass over a `Program`: every gradient, and the sender and receiver of each part."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from minigrad.autograd import engine
from minigrad.autograd.function import Function
from minigrad.autograd.modes import modes
from minigrad.autograd.tensor import Tensor, raw
from minigrad.nn.module import _Tap
from minigrad.viz.program import FREED, Node, Program, Scope, Step, Value
from minigrad.viz.watching import Watcher, watch


def differentiate(program: Program, gradient: Any = None) -> None:
    """Run the backward pass over a program, and write down every gradient and where each came from.

    It is the engine's pass, with two differences: nothing is added to `.grad`, and hooks do not run.

    Args:
        program: is given gradients (`Value.grad`, `Value.parts`) and `steps`.
        gradient: that of the first output, where the pass starts; ones by default.
    """
    program.steps.clear()
    for node in program.nodes:
        for value in node.outputs:
            value.grad = None
            value.parts.clear()
    pass_ = _Pass(program, gradient, create_graph=False)
    for op, grads in pass_.turns():
        node = program._of_function[op]
        for value, g in zip(node.outputs, grads, strict=True):
            value.grad = None if g is None else np.asarray(g)
        outgoing = pass_.run(op, grads)
        for i, g in enumerate(outgoing):
            source = node.inputs[i] if g is not None else None
            if source is not None:
                program[source[0]].outputs[source[1]].parts.append((node.id, i, np.asarray(g)))
        program.steps.append(Step(node, list(grads), outgoing))
    for leaf, g in pass_.leaves():
        leaf.outputs[0].grad = np.asarray(g)
    if program.note == FREED:
        for node in program.nodes:  # an earlier pass left these
            if node.tensor is not None and node.tensor.grad is not None:
                node.outputs[0].grad = node.tensor.grad.array


def differentiate_recorded(program: Program, gradient: Any = None) -> None:
    """Run the backward pass with `create_graph`, and add the ops that it consists of to the program."""
    pass_ = _Pass(program, gradient, create_graph=True)
    watcher = Watcher(
        program, {g: ("start", "seed") for grads in pass_.pending.values() for g in grads if g is not None}
    )
    with watch(watcher):
        for op, grads in pass_.turns():
            node = program._of_function[op]
            title = f"derivative of {op.name} ({node.id})"
            watcher.scope = (Scope("backward pass", module=False), *node.scope, Scope(title, module=False))
            count = len(program.nodes)
            pass_.run(op, grads)
            for made in program.nodes[count:]:
                made.twin = node.id
                made.role = "backward" if made.op else made.role
    for leaf, g in list(pass_.leaves()):
        found = program.find(g) if isinstance(g, Tensor) else None
        if found is not None:
            scope = (Scope("backward pass", module=False), *leaf.scope)
            value = Value(g.shape, g.dtype, g.array)
            id = program.next_id()
            sources: list[tuple[str, int] | None] = [(found[0].id, found[1])]
            node = Node(id, "Gradient", f"∇ {leaf.label}", "gradient", sources, [value], scope, twin=leaf.id)
            program.add(node)


class _Pass:
    """The engine's loop, one turn at a time."""

    def __init__(self, program: Program, gradient: Any, create_graph: bool):
        self.program, self.create_graph = program, create_graph
        self.pending: dict[Any, list[Any]] = {}
        self.ops: list[Function] = []
        start = [(node, i) for node, i in program.outputs if _wants_gradient(node)]
        if not start:
            program.note = program.note or "Nothing here requires a gradient."
            return
        node, index = start[0]
        value = node.outputs[index]
        seed = np.ones(value.shape or (), value.dtype) if gradient is None else np.asarray(raw(gradient), value.dtype)
        if seed.shape != value.shape:
            raise ValueError(f"graph: the gradient has shape {seed.shape}, and the output {value.shape}")
        engine._send(
            self.pending,
            node.function or node.tensor,
            len(node.outputs),
            index,
            Tensor(seed) if create_graph else seed,
        )
        ops = engine._reachable(self.pending)
        if any(op._saved is None for op in ops):
            program.note = FREED
        elif any(op not in program._of_function for op in ops):
            program.note = "Part of this was computed before the drawing began, so there are no gradients."
        else:
            self.ops = ops
            return
        self.pending.clear()

    def turns(self) -> Iterator[tuple[Function, list[Any]]]:
        """Each op, from the youngest to the oldest, with the gradients of its outputs."""
        before = modes.grad, modes.create_graph, modes.wanted
        modes.grad, modes.create_graph, modes.wanted = self.create_graph, self.create_graph, None
        try:
            with np.errstate(all="ignore"):
                for op in reversed(self.ops):
                    grads = self.pending.pop(op, None)
                    if grads is not None:
                        yield op, grads
        finally:
            modes.grad, modes.create_graph, modes.wanted = before

    def run(self, op: Function, grads: list[Any]) -> list[Any]:
        """The gradients of an op's inputs, which are also sent on."""
        filled = engine._fill_in(op, list(grads), self.create_graph)
        results = tuple(filled) if isinstance(op, _Tap) else op.backward(*filled)  # a tap would run a module's hooks
        results = results if type(results) is tuple else (results,)
        outgoing: list[Any] = [None] * len(op.edges)
        for i, (edge, g) in enumerate(zip(op.edges, results, strict=False)):
            if edge is None or g is None:
                continue
            target, index = edge
            outgoing[i] = g = engine._fit(op, edge, g)
            engine._send(self.pending, target, len(target.outputs), index, g)
        return outgoing

    def leaves(self) -> Iterator[tuple[Node, Any]]:
        """The gradients that arrived at the leaves."""
        for leaf, grads in self.pending.items():
            found = self.program.find(leaf)
            if found is not None and grads[0] is not None:
                yield found[0], grads[0]


def _wants_gradient(node: Node) -> bool:
    return bool(node.function.edges) if node.function else node.tensor is not None and node.tensor.requires_grad
