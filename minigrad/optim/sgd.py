"""Stochastic gradient descent, with momentum."""

from typing import Any

from minigrad.autograd import Tensor
from minigrad.checks import brief, is_number
from minigrad.kernels import optim as kernels
from minigrad.optim.optimizer import Optimizer, buffer


class SGD(Optimizer):
    """Stochastic gradient descent: p ← p − lr · g.

    With momentum, a buffer b averages the gradients (b = g in the first step)::

        g ← g + weight_decay · p
        b ← momentum · b + (1 − dampening) · g
        p ← p − lr · b                          or, with nesterov,  p ← p − lr · (g + momentum · b)

    Args:
        params: tensors, (name, tensor) pairs, or groups of them (see `Optimizer`).
        lr: learning rate.
        momentum: how much of the buffer is kept from step to step.
        dampening: how much of each new gradient is left out of the buffer.
        weight_decay: the strength of an L2 penalty, weight_decay/2 · ‖p‖².
        nesterov: take the gradient's effect on the buffer into account at once (needs momentum, no dampening).
        maximize: ascend rather than descend.

    Note: as in PyTorch, the buffer does not contain the learning rate. In Sutskever et al. (2013) and in Keras it
    does, and a change of the rate acts on old gradients only slowly.

    Source: Sutskever et al., On the importance of initialization and momentum in deep learning, ICML 2013.

    Example:
        >>> import minigrad as mg
        >>> x = mg.tensor(1.0, requires_grad=True)
        >>> optimizer = mg.optim.SGD([x], lr=0.1)
        >>> (x * x).backward()
        >>> optimizer.step()
        >>> round(x.item(), 4)
        0.8
    """

    remembers = {"momentum_buffer": False}

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
    ):
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "dampening": dampening,
                "weight_decay": weight_decay,
                "nesterov": nesterov,
                "maximize": maximize,
            },
        )

    def check(self, group: dict[str, Any]) -> None:
        self._check_range(group, "lr", "momentum", "weight_decay")
        if not is_number(group["dampening"]):
            raise ValueError(f"SGD: dampening must be a number, got {brief(group['dampening'])}")
        if group["nesterov"] and (group["momentum"] == 0 or group["dampening"] != 0):
            raise ValueError(
                f"SGD: nesterov needs a momentum above 0 and no dampening; momentum is {group['momentum']} and "
                f"dampening {group['dampening']}"
            )

    def options(self, group: dict[str, Any]) -> Any:
        lr, momentum, weight_decay = map(float, (group["lr"], group["momentum"], group["weight_decay"]))
        sign = -1.0 if group["maximize"] else 1.0
        return lr, momentum, weight_decay, sign, 1.0 - float(group["dampening"]), bool(group["nesterov"])

    def update(self, p: Tensor, x: Any, g: Any, state: dict[str, Any], options: Any) -> None:
        lr, momentum, weight_decay, sign, take, nesterov = options
        if momentum == 0:
            kernels.sgd(x.size, x, g, lr, weight_decay, sign)
            return
        if "momentum_buffer" not in state:
            take = 1.0  # the first gradient fills the buffer undamped
        b = buffer(state, "momentum_buffer", p)
        kernels.sgd_momentum(x.size, x, g, b, lr, momentum, take, weight_decay, nesterov, sign)
