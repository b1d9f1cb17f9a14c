"""Fused ops: three things that must agree.

1. The **composed** form: a Python function that computes the op with small Tensor ops, as its paper writes
   it. It is slow, plainly right, and differentiable to any order.
2. The **fused** forward and backward kernels, which do the same in a pass or two over memory.
3. `FusedBackward`: the backward kernel as a graph op of its own, so that it can be differentiated as well. *Its*
   derivative comes from the composed form, and so do all higher ones.

A kernel may reuse what the forward pass cached (a mean, an inverse deviation): the numbers are the same. A
*derivative rule* may not, because a mean depends on the input. That is why the second derivative never looks
at the cache and goes back to the inputs.

The composed form follows the paper, so its intermediate values may not fit into float32: squares of 1e20, or the mean
of numbers near 1e6. The kernels take care of such values themselves. For derivatives, the composed form runs in
float64, and the derivative is rounded once, at the end.
"""

from collections.abc import Callable, Iterable
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
        # Outputs are arrays, so only wanted gradients become outputs; `_spread` puts the Nones back.
        self.present = [i for i, g in enumerate(gradients) if g is not None]
        return tuple(gradients[i] for i in self.present)

    def backward(self, *cotangents: Any) -> Any:
        """Compute the gradients again, by the composed form; then differentiate that computation."""
        variables = [_variable(v) for v in self.saved]
        grad_output, *inputs = variables
        record = modes.create_graph
        with enable_grad():
            output = self.composed(*inputs)
            sources = [inputs[i] for i in self.present]
            gradients = grad(output, sources, grad_output, create_graph=True, allow_unused=True)
            # A gradient that depends on nothing (None, or a constant) has no derivative to add.
            pairs = [(g, v) for g, v in zip(gradients, cotangents, strict=True) if g is not None and g.requires_grad]
            wanted = [i for i, v in enumerate(variables) if isinstance(v, Tensor) and v.requires_grad]
            derivatives = grad(
                [g for g, _ in pairs],
                [variables[i] for i in wanted],
                [_Widen()(v if isinstance(v, Tensor) else Tensor(v)) for _, v in pairs],
                create_graph=record,
                allow_unused=True,
            )
        return _spread(derivatives if record else map(raw, derivatives), wanted, len(variables))


class _Widen(Function):
    """y = x in float64, as a node of its own. (The engine brings the gradient back to the input's dtype.)"""

    def forward(self, x: Any) -> Any:
        return x.astype(np.float64, copy=False)

    def backward(self, g: Any) -> Any:
        return g


def _variable(value: Any) -> Any:
    """`value` as a variable of its own, in float64, for a derivative that stops here.

    Inputs of an op may depend on each other (γ may be computed from x). The op's rule is about each of them
    alone, so each is passed through a node of its own, and the gradient is taken there.
    """
    if isinstance(value, Tensor) and value.requires_grad:
        return _Widen()(value)
    array = raw(value)
    if not isinstance(array, np.ndarray) or array.dtype.kind != "f":
        return value  # None, an option, an index: nothing to differentiate by
    return Tensor(array.astype(np.float64, copy=False), requires_grad=True)


def _spread(values: Iterable[Any], positions: list[int], n: int) -> tuple[Any, ...]:
    """n places: the values at their positions, None at all others."""
    result: list[Any] = [None] * n
    for position, value in zip(positions, values, strict=True):
        result[position] = value
    return tuple(result)


def fused_backward(
    composed: Callable[..., Any], kernel: Callable[..., Any], label: str, grad_output: Any, *inputs: Any
) -> tuple[Any, ...]:
    """Run a backward kernel as a graph op. For use as the `backward` rule of a fused `Function`.

    Returns one gradient for each of `inputs`, None where `kernel` returned None. See `FusedBackward`.
    """
    if not modes.create_graph:  # no second derivative is wanted, so there is nothing to record
        return tuple(kernel(grad_output, *inputs))
    op = FusedBackward(composed, kernel, label)
    gradients = op(grad_output, *inputs)
    return _spread(gradients, op.present, len(inputs))


class Fused(Function):
    """A fused op with one output: `forward` and `gradients` run kernels, and `composed` says what they compute.

    `forward` saves its inputs, in their order. `gradients` takes the gradient of the output and the inputs, all
    arrays, and returns one gradient for each input, None for those that are not wanted.
    """

    def backward(self, g: Any) -> Any:
        if not modes.create_graph:  # as in `fused_backward`, without its arguments: norms come here once a layer
            return self.gradients(g, *self.saved)
        return fused_backward(self.composed, self.gradients, self.name + "Backward", g, *self.saved)

    def gradients(self, *arrays: Any, **_: Any) -> Any:
        """The backward kernel: (g, *inputs) → gradients of the inputs."""
        raise NotImplementedError(f"{self.name} has no gradients")

    def composed(self, *inputs: Any, **_: Any) -> Any:
        """The same op by small ops."""
        raise NotImplementedError(f"{self.name} has no composed form")
