"""Adagrad: steps divided by the root of the sum of all squared gradients so far."""

from typing import Any

from minigrad.autograd import Tensor
from minigrad.kernels import optim as kernels
from minigrad.optim.optimizer import Optimizer, buffer


class Adagrad(Optimizer):
    """Adagrad::

        g ← g + weight_decay · p
        s ← s + g²
        p ← p − lr / (1 + (t − 1) · lr_decay) · g / (√s + eps)          in step t = 1, 2, ...

    Args:
        params: tensors, (name, tensor) pairs, or groups of them (see `Optimizer`).
        lr: learning rate.
        lr_decay: how fast the learning rate falls.
        weight_decay: the strength of an L2 penalty.
        initial_accumulator_value: the value of s before the first step.
        eps: added to the root, outside it.
        maximize: ascend rather than descend.

    Source: Duchi, Hazan and Singer, Adaptive subgradient methods for online learning and stochastic optimization,
    JMLR 12, 2011.
    """

    remembers = {"step": True, "sum": True}

    def __init__(
        self,
        params: Any,
        lr: float = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        *,
        maximize: bool = False,
    ):
        super().__init__(
            params,
            {
                "lr": lr,
                "lr_decay": lr_decay,
                "weight_decay": weight_decay,
                "initial_accumulator_value": initial_accumulator_value,
                "eps": eps,
                "maximize": maximize,
            },
        )

    def check(self, group: dict[str, Any]) -> None:
        self._check_range(group, "lr", "lr_decay", "weight_decay", "initial_accumulator_value", "eps")

    def options(self, group: dict[str, Any]) -> Any:
        names = ("lr", "lr_decay", "eps", "weight_decay", "initial_accumulator_value")
        return *(float(group[name]) for name in names), -1.0 if group["maximize"] else 1.0

    def update(self, p: Tensor, x: Any, g: Any, state: dict[str, Any], options: Any) -> None:
        lr, lr_decay, eps, weight_decay, start, sign = options
        t = state["step"] = state.get("step", 0) + 1
        total = buffer(state, "sum", p, start)
        rate = lr / (1 + (t - 1) * lr_decay)
        kernels.adagrad(x.size, x, g, total, rate, eps, weight_decay, sign)
