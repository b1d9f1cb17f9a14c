"""The backward pass: visit the recorded ops from the youngest to the oldest, and hand gradients down.

Every node carries a serial number (`order`), which tells when it ran. An op runs after the ops whose results it uses.
So, from the youngest node to the oldest, each node comes after all its users: then its gradient is complete. There is
no recursion: a chain of 100,000 ops is a list of 100,000 nodes.
"""

from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Any

import numpy as np

from minigrad.autograd.function import AnomalyError, Function, has_nan
from minigrad.autograd.modes import modes
from minigrad.autograd.tensor import Tensor, raw

_by_age = attrgetter("order")


def backward(
    output: Tensor, gradient: Any = None, retain_graph: bool | None = None, create_graph: bool = False
) -> None:
    """`Tensor.backward`: gradients of `output` are added to the `.grad` of every leaf below it."""
    with np.errstate(all="ignore"):  # the slope of √x at 0 is ∞, which is no cause for a warning
        _run([output], [gradient], None, retain_graph, create_graph, "backward")


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool = False,
) -> tuple[Tensor, ...]:
    """The gradients of `outputs` with respect to `inputs`; no `.grad` is touched.

    grad_inputs[j] = Σ_i (∂outputs[i] / ∂inputs[j])ᵀ · grad_outputs[i]

    Args:
        outputs: one tensor, or several, whose gradients are added up.
        inputs: the tensors to differentiate by; they may lie in the middle of the graph.
        grad_outputs: for each output a tensor of its shape; None stands for 1 for a one-element output.
        retain_graph: keep the graph for another pass. Default: `create_graph`.
        create_graph: record this pass, so that the gradients can be differentiated again.
        allow_unused: give None for an input that the outputs do not depend on, rather than raise.

    Returns:
        One gradient for each input, as a tuple (also for a single input, as in PyTorch).

    Raises:
        RuntimeError: an input is unused, the graph was freed, a gradient has the wrong shape, ...

    Example:
        >>> import minigrad as mg
        >>> x = mg.tensor(3.0, requires_grad=True)
        >>> (dx,) = mg.grad(x**3, x, create_graph=True)
        >>> mg.grad(dx, x)[0].item()  # (x³)″ = 6x
        18.0
    """
    outputs = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    inputs = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    if grad_outputs is None:
        grad_outputs = [None] * len(outputs)
    elif isinstance(grad_outputs, (Tensor, np.ndarray, np.generic, float, int)):
        grad_outputs = [grad_outputs]
    if len(grad_outputs) != len(outputs):
        raise ValueError(f"grad: {len(outputs)} outputs, but {len(grad_outputs)} grad_outputs")
    for i, x in enumerate(inputs):
        if not isinstance(x, Tensor):
            raise TypeError(f"grad: inputs[{i}] must be a Tensor, not {type(x).__name__}")
        if not x.requires_grad:
            raise RuntimeError(
                f"grad: inputs[{i}] does not require a gradient; make it with requires_grad=True before it is used"
            )
    with np.errstate(all="ignore"):
        found = _run(outputs, grad_outputs, inputs, retain_graph, create_graph, "grad")
    if not allow_unused:
        for i, g in enumerate(found):
            if g is None:
                raise RuntimeError(
                    f"grad: inputs[{i}] (shape {inputs[i].shape}) was not used to compute the outputs. If that is "
                    "meant to be so, pass allow_unused=True, which gives None for it."
                )
    return tuple(found)


def _run(
    outputs: list[Tensor],
    gradients: Sequence[Any],
    inputs: list[Tensor] | None,
    retain_graph: bool | None,
    create_graph: bool,
    caller: str,
) -> list[Any]:
    if retain_graph is None:
        retain_graph = create_graph

    # The gradients sent to each node so far: one slot for each of its outputs. An op takes its slots out when its turn
    # comes. At the end only the gradients of the leaves are left here.
    pending: dict[Any, list[Any]] = {}
    given: set[int] = set()  # arrays that the user holds already: the seed gradients, and each .grad handed out
    for i, (output, gradient) in enumerate(zip(outputs, gradients, strict=True)):
        gradient = _starting_gradient(output, gradient, i, caller)
        gradient = gradient if create_graph else gradient.array
        given.add(id(raw(gradient)))
        node = output.grad_fn or output
        _send(pending, node, len(node.outputs), output.output_index, gradient)

    nodes = _reachable(pending)
    leading: set[Any] = set()
    wanted = None
    targets: dict[Any, Any] = {}  # gradients of inputs that lie in the middle of the graph
    if inputs is not None:
        leading, wanted = _leading_to(nodes, [x.grad_fn or x for x in inputs])
        targets = {(x.grad_fn, x.output_index): None for x in inputs if x.grad_fn is not None}
    before = modes.grad, modes.create_graph, modes.wanted
    modes.grad, modes.create_graph, modes.wanted = create_graph, create_graph, wanted
    anomaly = modes.anomaly
    try:
        for node in reversed(nodes):
            grads = pending.pop(node, None)
            if grads is None or (wanted is not None and node not in wanted):
                continue
            if node.hooks:
                _run_hooks(node, grads)
            if targets:
                for i, g in enumerate(grads):
                    if (node, i) in targets:
                        targets[node, i] = g
                if node not in leading:  # only a target: another pass may still go through it
                    continue
            try:
                results = node.backward(*(grads if len(grads) == 1 else _fill_in(node, grads, create_graph)))
            except Exception as error:
                error.add_note(f"in {node.name}.backward")
                raise
            if type(results) is not tuple:
                results = (results,)
            if len(results) != len(node.edges) or anomaly:
                _check(node, grads, results)
            if not retain_graph:
                node.release()
            for edge, g in zip(node.edges, results, strict=False):
                if edge is None or g is None:
                    continue
                target, index = edge
                if wanted is not None and target not in wanted:
                    continue
                outputs = target.outputs
                shape, dtype = outputs[index]
                if getattr(g, "shape", None) != shape or g.dtype is not dtype:
                    g = _fit(node, edge, g)
                if target in pending or len(outputs) > 1:
                    _send(pending, target, len(outputs), index, g)
                else:  # fast path: the first gradient of nearly every target
                    pending[target] = [g]
        for leaf, grads in pending.items():
            if leaf.hooks:
                _run_hooks(leaf, grads)
            if inputs is None:
                _accumulate(leaf, grads[0], create_graph, given)
        if inputs is None:
            return []
        found = [
            pending.get(x, (None,))[0] if x.grad_fn is None else targets[x.grad_fn, x.output_index] for x in inputs
        ]
        return [_as_result(g, given) for g in found]
    finally:
        modes.grad, modes.create_graph, modes.wanted = before


def _starting_gradient(output: Tensor, gradient: Any, i: int, caller: str) -> Tensor:
    if not isinstance(output, Tensor):
        raise TypeError(f"{caller}: outputs[{i}] must be a Tensor, not {type(output).__name__}")
    if not output.requires_grad:
        raise RuntimeError(
            f"{caller}: the tensor (shape {output.shape}) does not require a gradient and has no graph. It was "
            "probably computed inside no_grad(), detached, or made of tensors without requires_grad=True"
        )
    if output.array.dtype.kind != "f":
        raise TypeError(
            f"{caller}: the tensor is {output.dtype}, and only floats have a gradient. An op below it made integers "
            "of floats"
        )
    if gradient is None:
        if output.array.size != 1:
            raise RuntimeError(
                f"{caller}: without a gradient to start from, the output must have one element, and it has shape "
                f"{output.shape}. Pass a tensor of that shape, or reduce the output first (.sum(), .mean())."
            )
        return Tensor._of(np.array(1, output.array.dtype).reshape(output.array.shape))
    if not isinstance(gradient, Tensor):
        gradient = Tensor(np.asarray(gradient))
    if gradient.array.shape != output.array.shape:
        raise RuntimeError(f"{caller}: the gradient has shape {gradient.shape}, and the tensor {output.shape}")
    if gradient.array.dtype != output.array.dtype:
        if gradient.requires_grad:
            raise RuntimeError(f"{caller}: the gradient is {gradient.dtype}, and the tensor {output.dtype}")
        gradient = Tensor._of(gradient.array.astype(output.dtype))
    return gradient


def _send(pending: dict[Any, list[Any]], node: Any, slot_count: int, index: int, g: Any) -> None:
    slots = pending.get(node)
    if slots is None:
        pending[node] = slots = [None] * slot_count
    # A sum is a new array, never `+=`: the same array may have been sent to another node as well.
    slots[index] = g if slots[index] is None else slots[index] + g


def _reachable(roots: Iterable[Any]) -> list[Any]:
    """All ops that lie below the roots, oldest first."""
    stack = [root for root in roots if root.edges]  # (a leaf has none)
    seen, nodes = set(stack), []
    while stack:
        node = stack.pop()
        nodes.append(node)
        for edge in node.edges:
            if edge is not None:
                below = edge[0]
                if below.edges and below not in seen:
                    seen.add(below)
                    stack.append(below)
    nodes.sort(key=_by_age)
    return nodes


def _leading_to(nodes: list[Any], targets: list[Any]) -> tuple[set[Any], set[Any]]:
    """The `nodes` (oldest first) through which a gradient reaches a target; and the same list with the targets."""
    leading, wanted = set(), set(targets)
    for node in nodes:
        for edge in node.edges:
            if edge is not None and edge[0] in wanted:
                leading.add(node)
                wanted.add(node)
                break
    return leading, wanted


def _fill_in(node: Function, grads: list[Any], create_graph: bool) -> list[Any]:
    """Give unused outputs a zero gradient (or None, if the node asks for None)."""
    for i, g in enumerate(grads):
        if g is None and node.materialize_grads:
            shape, dtype = node.outputs[i]
            zeros = np.zeros(shape, dtype)
            grads[i] = Tensor._of(zeros) if create_graph else zeros
    return grads


def _check(node: Function, grads: list[Any], results: tuple[Any, ...]) -> None:
    if len(results) != len(node.edges):
        raise RuntimeError(
            f"{node.name}.backward returned {len(results)} gradients for {len(node.edges)} inputs; return one for "
            "each input, and None where there is none"
        )
    if modes.anomaly and not any(g is not None and has_nan(raw(g)) for g in grads):
        for i, g in enumerate(results):
            if g is not None and has_nan(raw(g)):
                raise AnomalyError(
                    f"{node.name} made a NaN in the backward pass, in the gradient of its input {i}. The forward "
                    f"pass called it at\n{node.where or '  (unknown: it ran outside detect_anomaly)'}"
                )


def _fit(node: Function, edge: tuple[Any, int], g: Any) -> Any:
    """Check a rule's result against the input that it belongs to."""
    target, index = edge
    shape, dtype = target.outputs[index]
    if not isinstance(g, Tensor | np.ndarray | np.generic):
        raise TypeError(
            f"{node.name}.backward returned a {type(g).__name__} as the gradient of input {_place(node, edge)}; "
            f"return an array of the input's shape, {shape}, or a tuple of one for each input"
        )
    if g.shape != shape:
        raise RuntimeError(
            f"{node.name}.backward: the gradient of input {_place(node, edge)} has shape {g.shape}, the input {shape}"
        )
    if dtype.kind != "f":
        raise TypeError(
            f"{node.name}.backward: its input {_place(node, edge)} is {dtype}, which has no gradient, and comes from "
            f"{target.name}, whose forward made it of numbers that have one. If that is meant to be so, say "
            f"`differentiable = False` in class {type(target).__name__}; otherwise return floats"
        )
    if g.dtype.kind not in "fiub":
        raise TypeError(f"{node.name}.backward: the gradient of input {_place(node, edge)} is {g.dtype}, not {dtype}")
    return g if g.dtype == dtype else g.astype(dtype)


def _place(node: Function, edge: tuple[Any, int]) -> int:
    """The number of the input. Compares by identity: `edges.index` would compare leaves by their elements."""
    return next(i for i, other in enumerate(node.edges) if other is edge)


def _run_hooks(node: Any, grads: list[Any]) -> None:
    for index, hooks in node.hooks.items():
        for hook in list(hooks):
            g = grads[index]
            if g is None:
                break
            is_array = not isinstance(g, Tensor)
            result = hook(Tensor._of(np.array(g)) if is_array else g)
            if result is not None:
                if not isinstance(result, Tensor | np.ndarray):
                    raise TypeError(f"a hook must return a tensor or None, and returned a {type(result).__name__}")
                if result.shape != g.shape or result.dtype != g.dtype:
                    raise RuntimeError(
                        f"a hook changed a gradient of {g.dtype}{list(g.shape)} into one of "
                        f"{result.dtype}{list(result.shape)}"
                    )
                grads[index] = raw(result) if is_array else result if isinstance(result, Tensor) else Tensor(result)


def _accumulate(leaf: Tensor, g: Any, create_graph: bool, given: set[int]) -> None:
    if not leaf.requires_grad:  # requires_grad_(False) since the graph was recorded
        return
    if leaf.grad is None:
        leaf.grad = _as_result(g, given)
    elif not isinstance(leaf.grad, Tensor) or leaf.grad.shape != g.shape:
        raise RuntimeError(
            f"backward: a tensor of shape {g.shape} had its .grad set to one of shape {np.shape(leaf.grad)} "
            f"(a {type(leaf.grad).__name__}), to which its gradient cannot be added. Set .grad to None, or to a "
            "tensor of the same shape"
        )
    elif create_graph or leaf.grad.requires_grad or not leaf.grad.array.flags.writeable:
        leaf.grad = leaf.grad + g
    else:
        leaf.grad.array += g
        leaf.grad.version[0] += 1


def _as_result(g: Any, given: set[int]) -> Any:
    """A gradient to hand to the user: memory of its own, so that changing it in place changes nothing else."""
    if g is None:
        return None
    if isinstance(g, Tensor):  # the pass is being recorded: the copy must be, too
        g = g.clone() if g.array.base is not None or id(g.array) in given else g
        given.add(id(g.array))
        return g
    if type(g) is not np.ndarray:
        g = np.asarray(g)
    if g.base is not None or id(g) in given or not g.flags.writeable:
        g = g.copy()
    given.add(id(g))
    return Tensor._of(g)
