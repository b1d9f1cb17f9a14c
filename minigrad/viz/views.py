"""The views of a program: the backward pass beside or instead of the forward pass, and fused ops taken apart."""

from dataclasses import replace
from typing import Any

import numpy as np

from minigrad.autograd import composed as composed_mode
from minigrad.autograd.fused import FusedBackward
from minigrad.autograd.tensor import Tensor
from minigrad.viz import gradients, watching
from minigrad.viz.program import DIFFERENCE, Node, Program, Scope, Value, place_leaves

FORWARD, BACKWARD = Scope("forward pass", module=False), Scope("backward pass", module=False)


def nodes(program: Program, view: str, gradient: Any = None) -> list[Node]:
    """The nodes of a view, in the order in which they run."""
    if view == "forward" or program.error is not None:
        return program.nodes
    if view == "backward":
        return backward(program, linked=False)
    if view == "both":
        forward = [replace(node, scope=(FORWARD, *node.scope)) for node in program.nodes]
        for node in forward:  # the gradients have nodes of their own
            node.outputs = [replace(value, grad=None) for value in node.outputs]
        return forward + backward(program, linked=True)
    count = len(program.nodes)
    gradients.differentiate_recorded(program, gradient)
    before = [replace(node, scope=(FORWARD, *node.scope)) for node in program.nodes[:count]]
    after = program.nodes[count:]
    place_leaves(program)  # a constant of the backward pass stands there
    return before + after


def backward(program: Program, linked: bool) -> list[Node]:
    """The backward pass as nodes: where it starts, a rule for each op, a sum wherever gradients meet, the results.

    Ids are those of the forward nodes with another letter: "b7" is the rule of "n7", "s7" the sum of the gradients of
    its output, "d2" the gradient of the leaf "n2". With `linked`, rules name the tensors that they need (`Node.kept`).
    """
    result: list[Node] = []
    ports: dict[tuple[str, int], tuple[str, int]] = {}  # (op, number of its input) → where its gradient is made
    start = program.steps[0].node if program.steps else None
    outer = (BACKWARD,) if linked else ()

    def arriving(node: Node, index: int, scope: tuple[Scope, ...]) -> tuple[str, int] | None:
        """What makes the gradient of this output: a rule, or a sum node if there are several."""
        value = node.outputs[index]
        sources = [ports[id, i] for id, i, _ in value.parts]
        if node is start and (start, index) in program.outputs[:1]:
            seed = value.grad if not value.parts else value.grad - sum(g for _, _, g in value.parts)
            sources.insert(0, ("seed", 0))
            links: list[tuple[str, int] | None] = [(node.id, index)] if linked else []
            result.append(
                Node(
                    "seed", "Seed", "start", "seed", links, [Value(seed.shape, seed.dtype, seed)], outer, twin=node.id
                )
            )
        if len(sources) < 2:
            return sources[0] if sources else None
        total = Value(value.shape, value.dtype, value.grad)
        id = f"s{node.id[1:]}" + (f"-{index}" if index else "")
        result.append(Node(id, "Sum", "+", "sum", list(sources), [total], scope, twin=node.id))
        return id, 0

    for step in program.steps:
        node = step.node
        scope = (*outer, *node.scope)
        inputs = [arriving(node, i, scope) for i in range(len(node.outputs))]
        id = f"b{node.id[1:]}"
        outputs = []
        for i, g in enumerate(step.outgoing):
            if g is None:
                continue
            ports[node.id, i] = id, len(outputs)
            source = node.inputs[i]
            name = "" if source is None else f"∇ {_name(program[source[0]])}"
            outputs.append(Value(g.shape, g.dtype, np.asarray(g), name=name))
        rule = Node(id, f"{node.op}Backward", f"{_name(node)} backward", "backward", list(inputs), outputs, scope)
        rule.twin = node.id
        if linked and node.function is not None and node.function._saved:
            places = [(node.id, ~s) if s < 0 else node.inputs[s] for s in node.function._sources]
            rule.kept = list(dict.fromkeys(place for place in places if place is not None))
        result.append(rule)
    for node in program.nodes:
        if not node.op and node.grad is not None and node.outputs[0].parts:
            scope = (*outer, *node.scope)
            source = arriving(node, 0, scope)
            value = Value(node.outputs[0].shape, node.outputs[0].dtype, node.grad)
            label = f"∇ {node.label}"
            result.append(
                Node(f"d{node.id[1:]}", "Gradient", label, "gradient", [source], [value], scope, twin=node.id)
            )
    return result


def expand(nodes: list[Node]) -> list[Node]:
    """Beside every fused op, its composed form: the small ops on the same inputs, and the difference of the
    results."""
    result: list[Node] = []
    for node in nodes:
        op = node.function
        composed = getattr(op, "composed", None)
        if composed is None or isinstance(op, FusedBackward) or node.arguments is None:
            result.append(node)
            continue
        tensors = [Tensor(x) if isinstance(x, np.ndarray) else x for x in node.arguments]
        with composed_mode():  # what the composed form uses is taken apart, too
            inner = watching.record(composed, *tensors)
        beside = Scope(f"{node.op}, fused and composed", module=False)
        node = replace(node, scope=(*node.scope, beside), label=f"{node.label} (fused)")
        scope = (*node.scope, Scope("composed form", module=False))
        result.append(node)
        # What flows into the composed form is what flows into the fused op.
        given: dict[str, tuple[str, int]] = {}
        for x, source in zip(tensors, node.inputs, strict=True):
            found = inner.find(x) if isinstance(x, Tensor) else None
            if found is not None and source is not None:
                given[found[0].id] = source
        small = [n for n in inner.nodes if n.id not in given]
        off = _differences(node, inner)
        new = {n.id: f"{node.id}c{k + 1}" for k, n in enumerate(small)}
        for n in small:
            inputs = [s and (given.get(s[0]) or (new[s[0]], s[1])) for s in n.inputs]
            values = [replace(value, kept_by=[]) for value in n.outputs]
            copy = replace(n, id=new[n.id], inputs=inputs, outputs=values, scope=scope)
            if n.role == "output":
                copy.role = "op"
                if n.id in off:
                    copy.details = {**n.details, DIFFERENCE: f"{off[n.id]:.1e}"}
            result.append(copy)
    return result


def _name(node: Node) -> str:
    return f"{node.label} {node.id}" if node.op else node.label


def _differences(fused: Node, composed: Program) -> dict[str, float]:
    """By each node that makes an output of the composed form: the largest difference from the fused op's output."""
    found: dict[str, float] = {}
    for value, (node, i) in zip(fused.outputs, composed.outputs, strict=True):
        a, b = value.array, node.outputs[i].array
        if a is not None and b is not None:
            with np.errstate(all="ignore"):
                difference = float(np.abs(np.asarray(a, np.float64) - b).max(initial=0.0))
            found[node.id] = max(found.get(node.id, 0.0), difference)
    return found
