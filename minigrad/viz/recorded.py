"""The graph that autograd recorded for the sake of the backward pass, as a `Program`.

It holds the ops on the way from something that requires a gradient to a result, and of their values those that a rule
retains. It does not know which module called an op; that is guessed from the names of parameters.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np

from minigrad.autograd import engine
from minigrad.autograd.tensor import Tensor
from minigrad.nn.container import Sequential
from minigrad.nn.module import Module
from minigrad.viz.program import (
    FREED,
    Node,
    Program,
    Scope,
    Value,
    add_leaf,
    common_path,
    finish,
    mark_kept,
    names_of,
    options_of,
    place_leaves,
)


def from_outputs(outputs: Iterable[Tensor], params: Any = None) -> Program:
    """The recorded graph below `outputs`. Values are known of leaves, and of what the rules retain."""
    program, outputs, names = Program(), list(outputs), names_of(params)
    for i, output in enumerate(outputs):
        if not output.requires_grad:
            raise ValueError(
                f"graph: outputs[{i}] (shape {output.shape}) has no graph: it was computed without any tensor that "
                "requires a gradient, or inside no_grad(). To draw it all the same, let graph() watch the "
                "computation: mg.viz.graph(model, x), or mg.viz.graph(lambda: ...)"
            )
    if isinstance(params, Module):
        program.remember(params)
    freed = False
    for op in engine._reachable([output.grad_fn or output for output in outputs]):
        kept = op._saved
        freed = freed or kept is None
        known = dict(zip(op._sources, kept or (), strict=False))
        sources: list[tuple[str, int] | None] = []
        unknown = 0
        for i, edge in enumerate(op.edges):
            if edge is None:
                array = known.get(i)
                if isinstance(array, np.ndarray):
                    value = Value(array.shape, array.dtype, array)
                    constant = program.add(Node(program.next_id(), "", "constant", "constant", outputs=[value]))
                    sources.append((constant.id, 0))
                else:
                    unknown += i not in known
                    sources.append(None)
                continue
            below, index = edge
            if isinstance(below, Tensor):
                found = program.find(below)
                source = found[0] if found else add_leaf(program, below, names, ())
            else:
                source = program._of_function[below]
            sources.append((source.id, index))
        details = options_of(op)
        if unknown:
            details["inputs without gradient"] = str(unknown)
        values = [Value(shape, dtype) for shape, dtype in op.outputs]
        node = Node(program.next_id(), op.name, op.name, "op", sources, values, details=details, function=op)
        if all(i in known for i in range(len(op.edges))):
            node.arguments = tuple(known[i] for i in range(len(op.edges)))
        program.add(node)
        mark_kept(program, node)
    for output in outputs:
        found = program.find(output) or (add_leaf(program, output, names, ()), 0)
        finish(program, found, output)
    if freed:
        program.note = FREED
    _infer_modules(program, params)
    return program


def _infer_modules(program: Program, params: Any) -> None:
    """Guess from the names of parameters which module called an op.

    An op that uses parameters is in the module that holds them. Another one is in the smallest module around the op
    whose result it took last and the op that takes its own first; at the ends, where one is missing, it is in none.
    """
    homes: dict[str, tuple[str, ...]] = {}
    for node in program.nodes:
        if not node.op and node.role in ("parameter", "buffer"):
            homes[node.id] = tuple(node.label.split("."))[:-1]
    own: dict[str, tuple[str, ...]] = {}
    for node in program.nodes:
        paths = [homes[source[0]] for source in node.inputs if source is not None and source[0] in homes]
        if paths:
            own[node.id] = common_path(paths)
    before, after = dict(own), dict(own)
    users: dict[str, list[str]] = {}
    for node in program.nodes:
        for source in node.inputs:
            if source is not None:
                users.setdefault(source[0], []).append(node.id)
        known = [source[0] for source in node.inputs if source is not None and source[0] in before]
        if node.id not in own and known:
            before[node.id] = before[max(known, key=lambda id: int(id[1:]))]
    for node in reversed(program.nodes):
        first_user = next((id for id in users.get(node.id, ()) if id in after), None)
        if node.id not in own and first_user is not None and node.op:
            after[node.id] = after[first_user]
    module = params if isinstance(params, Module) else None
    kinds = {} if module is None else {path: type(part).__name__ for path, part in module.named_modules()}
    # By path the names of the children of each Sequential, which runs them and nothing else.
    sequences = {
        tuple(path.split(".")) if path else (): list(part._module_names)
        for path, part in (() if module is None else module.named_modules())
        if isinstance(part, Sequential)
    }
    calls: Counter[tuple[str, ...]] = Counter()
    current: tuple[Scope, ...] = ()
    for node in program.nodes:
        if not node.op:
            continue
        inside = node.id in before and node.id in after
        parts = common_path([before[node.id], after[node.id]]) if inside else ()
        if inside and parts in sequences:
            parts = _inside_sequence(parts, sequences[parts], before[node.id], after[node.id])
        scopes: list[Scope] = []
        paths = [parts[:i] for i in range(0 if module is not None and inside else 1, len(parts) + 1)]
        for i, path in enumerate(paths):
            name = ".".join(path)
            if i < len(current) and current[i].name == name and tuple(current[:i]) == tuple(scopes):
                scopes.append(current[i])
            else:
                calls[path] += 1
                scopes.append(Scope(name, kinds.get(name, ""), calls[path]))
        node.scope = current = tuple(scopes)
    place_leaves(program)


def _inside_sequence(
    path: tuple[str, ...], children: list[str], before: tuple[str, ...], after: tuple[str, ...]
) -> tuple[str, ...]:
    """An op between two neighbours in a Sequential belongs to the first: nobody else could have called it."""
    first, second = (other[len(path)] if len(other) > len(path) else None for other in (before, after))
    if first in children and second in children and children.index(second) == children.index(first) + 1:
        return (*path, first)
    return path
