"""Adam and AdamW: steps scaled by running estimates of each gradient's mean and size."""

from typing import Any

from minigrad.autograd import Tensor
from minigrad.checks import brief, is_number
from minigrad.kernels import optim as kernels
from minigrad.optim.optimizer import Optimizer, buffer


class Adam(Optimizer):
    """Adam: each value moves by about lr, whatever the scale of its gradient::

        g ← g + weight_decay · p
        m ← β₁ m + (1 − β₁) g                   running mean of the gradient
        v ← β₂ v + (1 − β₂) g²                  running mean of its square
        p ← p − lr · m̂ / (√v̂ + eps)             m̂ = m / (1 − β₁ᵗ),  v̂ = v / (1 − β₂ᵗ)

    m and v start at zero, and so are too small at first. The division by 1 − βᵗ in step t corrects this.

    Args:
        params: tensors, (name, tensor) pairs, or groups of them (see `Optimizer`).
        lr: learning rate.
        betas: (β₁, β₂), how much of m and of v is kept from step to step.
        eps: added to the root, outside it, after the correction of v.
        weight_decay: the strength of an L2 penalty. It becomes part of g, and so is scaled like it; see `AdamW`.
        amsgrad: divide by the largest v so far.
        maximize: ascend rather than descend.

    Source: Kingma and Ba, arXiv 1412.6980; amsgrad: Reddi et al., arXiv 1904.09237. As in PyTorch, amsgrad takes the
    largest v before the correction.

    Example:
        >>> import minigrad as mg
        >>> x = mg.tensor([1.0, 100.0], requires_grad=True)
        >>> optimizer = mg.optim.Adam([x], lr=0.5)
        >>> (x * x).sum().backward()
        >>> optimizer.step()
        >>> x.tolist()  # both moved by lr, though their gradients are 2 and 200
        [0.5, 99.5]
    """

    remembers = {"step": True, "exp_avg": True, "exp_avg_sq": True, "max_exp_avg_sq": False}

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        decoupled_weight_decay: bool = False,
    ):
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "amsgrad": amsgrad,
                "maximize": maximize,
                "decoupled_weight_decay": decoupled_weight_decay,
            },
        )

    def check(self, group: dict[str, Any]) -> None:
        self._check_range(group, "lr", "eps", "weight_decay")
        betas = group["betas"]
        pair = isinstance(betas, tuple | list) and len(betas) == 2
        if not pair or not all(is_number(beta) and 0 <= beta < 1 for beta in betas):
            raise ValueError(
                f"{self._name}: betas must be two numbers, each at least 0 and below 1, got {brief(betas)}"
            )

    def options(self, group: dict[str, Any]) -> Any:
        beta1, beta2 = map(float, group["betas"])
        lr, weight_decay, keep = float(group["lr"]), float(group["weight_decay"]), 1.0
        if group["decoupled_weight_decay"]:
            weight_decay, keep = 0.0, 1.0 - lr * weight_decay
        sign = -1.0 if group["maximize"] else 1.0
        return lr, beta1, beta2, float(group["eps"]), weight_decay, keep, sign, group["amsgrad"]

    def update(self, p: Tensor, x: Any, g: Any, state: dict[str, Any], options: Any) -> None:
        lr, beta1, beta2, eps, weight_decay, keep, sign, amsgrad = options
        t = state["step"] = state.get("step", 0) + 1
        m, v = buffer(state, "exp_avg", p), buffer(state, "exp_avg_sq", p)
        # lr · m̂ / (√v̂ + ε) = lr / (1 − β₁ᵗ) · m / (√v / √(1 − β₂ᵗ) + ε)
        rate, root = lr / (1 - beta1**t), (1 - beta2**t) ** 0.5
        if amsgrad:
            v_max = buffer(state, "max_exp_avg_sq", p)
            kernels.amsgrad(x.size, x, g, m, v, v_max, rate, beta1, beta2, root, eps, weight_decay, keep, sign)
        else:
            kernels.adam(x.size, x, g, m, v, rate, beta1, beta2, root, eps, weight_decay, keep, sign)


class AdamW(Adam):
    """Adam with weight decay that is not part of the gradient: p ← (1 − lr · weight_decay) · p, then Adam's step.

    In `Adam`, the decay is divided by √v̂ like the gradient, so that values with large gradients hardly decay. Here
    every value decays at the same rate. Weights before a normalization layer only change their scale when they
    decay. The layer's own γ and β should not decay at all: see `weight_decay_groups`.

    The arguments are those of `Adam`; `weight_decay` is 0.01 by default.

    Source: Loshchilov and Hutter, arXiv 1711.05101. As in PyTorch, the decay is multiplied by lr.

    Example:
        >>> import minigrad as mg
        >>> x = mg.tensor([4.0], requires_grad=True)
        >>> optimizer = mg.optim.AdamW([x], lr=0.5, weight_decay=0.5)
        >>> (x * 0).sum().backward()
        >>> optimizer.step()
        >>> x.tolist()
        [3.0]
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ):
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize, decoupled_weight_decay=True)
