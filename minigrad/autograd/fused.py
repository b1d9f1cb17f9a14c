"""Fused ops: three things that must agree.

1. The **composed** form: a Python function that computes the op with small Tensor ops, as its paper writes
   it. It is slow, plainly right, and differentiable to any order.
2. The **fused** forward and backward kernels, which do the same in a pass or two over memory.
3. `FusedBackward`: the backward kernel as a graph op of its own, so that it can be differentiated, too. *Its*
   derivative comes from the composed form, and so do all higher ones.

A kernel may reuse what the forward pass cached (a mean, an inverse deviation): the numbers are the same. A
*derivative rule* may not, because a mean depends on the input. That is why the second derivative never looks
at the cache and goes back to the inputs.

The composed form is as plain as its paper, and a float32 cannot hold what it computes on the way: squares of 1e20,
or the mean of numbers near 1e6. Kernels take care of that. Here the composed form runs in float64, and the derivative
is rounded once, at the end.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from minigrad.autograd.engine import grad
from minigrad.autograd.function import Function
from minigrad.autograd.modes import enable_grad, modes
from minigrad.autograd.tensor import Tensor, raw


class FusedBackward(Function):
    """The backward kernel of a fused op, as a graph op: (grad_output, *inputs) → gradients of the inputs.

    Args:
        composed: the composed form; takes the op's inputs, returns its output.
        kernel: takes the gradient of the output and the op's inputs, all arrays; returns one gradient for
            each input, None for those that are not wanted.
        label: the name for pictures and errors.
    """

    def __init__(self, composed: Callable[..., Any], kernel: Callable[..., Any], label: str):
        self.composed, self.kernel, self.label = composed, kernel, label
        self.present: list[int] = []

    @property
    def name(self) -> str:
        return self.label

    def forward(self, grad_output: Any, *inputs: Any) -> Any:
        self.save_for_backward(grad_output, *inputs)
        gradients = self.kernel(grad_output, *inputs)
        # Only wanted gradients become outputs; `spread` puts the Nones back.
        self.present = [i for i, g in enumerate(gradients) if g is not None]
        return tuple(gradients[i] for i in self.present)

    def backward(self, *cotangents: Any) -> Any:
        grad_output, *inputs = map(_separate, self.saved)
        record = modes.create_graph
        with enable_grad():
            output = self.composed(*inputs)
            sources = [inputs[i] for i in self.present]
            gradients = grad(output, sources, grad_output, create_graph=True, allow_unused=True)
            reached = [(g, v) for g, v in zip(gradients, cotangents, strict=True) if g is not None and g.requires_grad]
            variables = [v for v in (grad_output, *inputs) if isinstance(v, Tensor) and v.requires_grad]
            found = iter(
                grad(
                    [g for g, _ in reached],
                    variables,
                    [_Widen()(v if isinstance(v, Tensor) else Tensor(v)) for _, v in reached],
                    create_graph=record,
                    allow_unused=True,
                )
            )
        result = [next(found) if isinstance(v, Tensor) and v.requires_grad else None for v in (grad_output, *inputs)]
        return tuple(result if record else map(raw, result))


class _Widen(Function):
    """y = x in float64, as a node of its own. (The engine brings the gradient back to the input's dtype.)"""

    def forward(self, x: Any) -> Any:
        return x.astype(np.float64, copy=False)

    def backward(self, g: Any) -> Any:
        return g


def _separate(value: Any) -> Any:
    """`value` as a variable of its own, in float64, for a derivative that stops here.

    Inputs of an op may depend on each other (γ may be computed from x). The op's rule is about each of them
    alone, so each is passed through a node of its own, and the gradient is taken there.
    """
    if isinstance(value, Tensor):
        if value.requires_grad:
            return _Widen()(value)
        if value.dtype.kind != "f":
            return Tensor(value.data)
        value = value.data
    if value is None or getattr(value, "dtype", None) is None or value.dtype.kind != "f":
        return value
    return Tensor(value.astype(np.float64, copy=False), requires_grad=True)


def fused_backward(
    composed: Callable[..., Any], kernel: Callable[..., Any], label: str, grad_output: Any, *inputs: Any
) -> tuple[Any, ...]:
    """Run a backward kernel as a graph op. For use as the `backward` rule of a fused `Function`.

    Returns one gradient for each of `inputs`, None where `kernel` returned None. See `FusedBackward`.
    """
    if not modes.create_graph:  # nobody will differentiate again, so there is nothing to record
        return tuple(kernel(grad_output, *inputs))
    op = FusedBackward(composed, kernel, label)
    gradients = op(grad_output, *inputs)
    result: list[Any] = [None] * len(inputs)
    for i, g in zip(op.present, gradients, strict=True):
        result[i] = g
    return tuple(result)
