"""RMSprop: steps divided by a running root mean square of the gradient."""

from typing import Any

import numpy as np

from minigrad.autograd import Tensor
from minigrad.kernels import optim as kernels
from minigrad.optim.optimizer import Optimizer, buffer


class RMSprop(Optimizer):
    """RMSprop::

        g ← g + weight_decay · p
        s ← alpha · s + (1 − alpha) · g²
        d = g / (√s + eps)                      centered: √(s − a²), where a is the same average of g
        p ← p − lr · d                          with momentum:  b ← momentum · b + d;  p ← p − lr · b

    Args:
        params: tensors, (name, tensor) pairs, or groups of them (see `Optimizer`).
        lr: learning rate.
        alpha: how much of s is kept from step to step.
        eps: added to the root, outside it.
        weight_decay: the strength of an L2 penalty.
        momentum: how much of the buffer b is kept.
        centered: divide by the standard deviation instead, as Graves (arXiv 1308.0850) does.
        maximize: ascend rather than descend.

    Difference from PyTorch: where rounding makes the variance s − a² negative, it counts as 0 rather than giving NaN.

    Source: Tieleman and Hinton, Neural Networks for Machine Learning, lecture 6.5, 2012.
    """

    remembers = {"step": True, "square_avg": True, "grad_avg": False, "momentum_buffer": False}

    def __init__(
        self,
        params: Any,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        *,
        maximize: bool = False,
    ):
        super().__init__(
            params,
            {
                "lr": lr,
                "alpha": alpha,
                "eps": eps,
                "weight_decay": weight_decay,
                "momentum": momentum,
                "centered": centered,
                "maximize": maximize,
            },
        )

    def check(self, group: dict[str, Any]) -> None:
        self._check_range(group, "lr", "alpha", "eps", "momentum", "weight_decay")

    def options(self, group: dict[str, Any]) -> Any:
        names = ("lr", "alpha", "eps", "weight_decay", "momentum")
        return *(float(group[name]) for name in names), bool(group["centered"]), -1.0 if group["maximize"] else 1.0

    def update(self, p: Tensor, x: Any, g: Any, state: dict[str, Any], options: Any) -> None:
        lr, alpha, eps, weight_decay, momentum, centered, sign = options
        state["step"] = state.get("step", 0) + 1
        square = buffer(state, "square_avg", p)
        if momentum == 0 and not centered:
            kernels.rmsprop(x.size, x, g, square, lr, alpha, eps, weight_decay, sign)
            return
        average = buffer(state, "grad_avg", p) if centered else np.empty_like(square)
        velocity = buffer(state, "momentum_buffer", p) if momentum != 0 else np.empty_like(square)
        kernels.rmsprop_with(x.size, x, g, square, average, velocity, *options)
