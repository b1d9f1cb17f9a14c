"""Power normalization."""

from collections.abc import Callable
from typing import Any

import numpy as np

from minigrad.autograd import Function, Tensor
from minigrad.autograd.modes import modes
from minigrad.autograd.tensor import raw
from minigrad.kernels import power as kernels
from minigrad.ops.norm.batch import channel_axes, elements, per_channel
from minigrad.ops.norm.common import (
    PASSES,
    ChannelNorm,
    affine,
    check_channels,
    check_parameters,
    check_writable,
    follow,
    wide_moments,
)
from minigrad.ops.reduction import mean, sum
from minigrad.ops.shape import reshape
from minigrad.ops.unary import sqrt


class Published(Function):
    """y = γ x/ψ + β with the paper's **approximate** backward, which is not its derivative:

        ∂L/∂x = (γ ∂L/∂y − ν x̂) / ψ,   x̂ = x/ψ

    ψ and ν count as constants: ν stands for the gradient through ψ. Higher derivatives are those of this rule.
    """

    def __init__(self, psi: Any, nu: Any, average: Any):
        self.psi, self.nu, self.average = psi, nu, average

    def forward(self, x: Any, gamma: Any, beta: Any) -> Any:
        self.save_for_backward(x, gamma)
        return affine(x / self.psi, gamma, beta, per_channel(x))

    def backward(self, g: Any) -> Any:
        x, gamma = self.saved
        axes, shape = channel_axes(x), per_channel(x)
        x_hat = x / self.psi
        d_x_hat = affine(g, gamma, None, shape)
        if self.average is not None:
            self.average.watch(raw(x_hat), raw(d_x_hat))
        return (
            (d_x_hat - x_hat * self.nu) / self.psi if self.needs(0) else None,
            sum(g * x_hat, axes) if self.needs(1) else None,
            sum(g, axes) if self.needs(2) else None,
        )


class Watch(Function):
    """y = x. Calls a function with x and its gradient in the backward pass."""

    def __init__(self, show: Callable[[Any, Any], None]):
        self.show = show

    def forward(self, x: Any) -> Any:
        self.save_for_backward(x)
        return x

    def backward(self, g: Any) -> Any:
        self.show(raw(self.saved[0]), raw(g))
        return g


class GradientAverage:
    """Updates ν once in the backward pass of a step: ν ← ν (1 − (1 − α) Γ) + (1 − α) Λ.

    Γ = mean(x̂²) and Λ = mean(∂L/∂x̂ · x̂) over a channel; 1 − α is `momentum`.
    """

    def __init__(self, op: str, nu: Any, momentum: float):
        self.op, self.nu, self.momentum = op, nu, momentum

    def __call__(self, mean_square: Any, mean_product: Any) -> None:
        if self.nu is None:
            return
        nu, self.nu = self.nu, None  # a second pass through the same graph is not a second step
        values = nu._write(self.op) if isinstance(nu, Tensor) else nu
        values[...] = values * (1 - self.momentum * mean_square) + self.momentum * mean_product

    def watch(self, x_hat: Any, g: Any) -> None:
        if x_hat.size:
            axes = channel_axes(x_hat)
            self((x_hat * x_hat).mean(axes, dtype=np.float64), (x_hat * g).mean(axes, dtype=np.float64))


class PowerNorm(ChannelNorm):
    """Groups are channels, divided by their quadratic mean ψ.

    Args:
        channels: C.
        eps: ε.
        square: ψ², the running average; None to take the batch's own.
        nu: ν for the published backward; None for the derivative.
        average: the object that updates ν.
        training: True: compute the batch's own ψ².

    Attributes:
        batch_square: ψ² of the batch, in training.
    """

    def __init__(self, channels: int, eps: float, square: Any, nu: Any, average: Any, training: bool):
        self.parameters, self.eps, self.training = channels, float(eps), training
        self.square, self.nu, self.average = square, nu, average
        self.given = None if square is None else (np.zeros_like(square), square)
        self.batch_square: Any = None

    def composed(self, x: Any, gamma: Any, beta: Any, average: Any = None) -> Any:
        """Algorithm 2 of the paper; during warm-up its section 4.1."""
        shape, axes = per_channel(x), channel_axes(x)
        if self.square is None:
            x_hat = x / sqrt(mean(x * x, axes, keepdim=True) + self.eps)
        else:
            psi = sqrt(self.square + self.square.dtype.type(self.eps)).reshape(shape)
            if self.nu is not None:
                return Published(psi, self.nu.reshape(shape), average)(x, gamma, beta)
            x_hat = x / psi
        if average is not None:
            x_hat = Watch(average.watch)(x_hat)
        return affine(x_hat, gamma, beta, shape)

    def normalize(self, x: Any, gamma: Any, beta: Any, y: Any) -> None:
        if not self.training:
            super().normalize(x, gamma, beta, y)
            return
        self.stats = stats = np.empty((4, self.parameters), x.dtype)
        self.run_forward(x, gamma, beta, y, False)  # for its statistics: mean(x²) = σ² + μ², which does not cancel
        mu, variance = wide_moments(stats, self.eps)
        with np.errstate(all="ignore"):
            self.batch_square = variance + mu * mu
            if np.isnan(self.batch_square.sum()):
                for c in np.flatnonzero(np.isnan(self.batch_square)):  # infinity has a square, and no variance
                    self.batch_square[c] = np.square(x[:, c], dtype=np.float64).mean()
            stats[:2] = 0
            stats[2] = 1 / np.sqrt((self.batch_square if self.square is None else self.square) + self.eps)
        self.run_forward(x, gamma, beta, y, True)

    def differentiate(self, g: Any, x: Any, gamma: Any, dx: Any, dgamma: Any, dbeta: Any) -> None:
        """With the batch's own ψ, the exact gradient has the published form, with Λ in place of its average ν."""
        self.run_backward(g, x, gamma, dx, dgamma, dbeta, True)
        if not self.training:
            return
        inv_psi = self.stats[2].astype(np.float64)
        with np.errstate(all="ignore"):
            mean_square = self.batch_square * inv_psi * inv_psi
            mean_product = dgamma.astype(np.float64) * gamma / elements(x)
            nu = mean_product if self.square is None else self.nu
            if nu is not None:
                x, dx = self.layout(x, dx)
                take_off = kernels.take_off_columns if x.ndim == 2 else kernels.take_off_channels
                take_off(PASSES * x.size, x, dx, self.stats[2], (nu * inv_psi).astype(x.dtype))
        if self.average is not None:
            self.average(mean_square, mean_product)


def power_norm(
    input: Any,
    running_square: Any,
    nu: Any = None,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *,
    warmup: bool = False,
    approximate: bool = True,
    axis: int = 1,
) -> Any:
    """Divide every channel by a running quadratic mean; the gradient is the paper's, and **approximate**.

        y = γ x / √(ψ² + ε) + β
        ψ² ← (1 − momentum) ψ² + momentum · mean(x²)      after its use

    With text, the statistics of a batch jump from step to step. So training, like evaluation, divides by a running
    average of the quadratic mean. The mean jumps most and is not subtracted. The true gradient would go back through
    all steps that the average remembers. The paper replaces that part by another running average, ν, which the
    *backward* pass updates:

        ∂L/∂x = (∂L/∂x̂ − ν x̂) / ψ,  ∂L/∂x̂ = γ ∂L/∂y,  x̂ = x/ψ
        ν ← ν (1 − momentum · mean(x̂²)) + momentum · mean(∂L/∂x̂ · x̂)

    This is not the derivative of y: a comparison with finite differences fails, as it must. Higher derivatives are the
    exact derivatives of the formula above, with ψ and ν as constants.

    The four decisions: (1) all elements of a channel, over the batch and over space, share a statistic; (2) the
    statistic is the quadratic mean, averaged over the steps; (3) it divides x; (4) one γ and one β for each channel
    restore capacity. Evaluation computes the same and updates nothing; its gradient is the derivative.

    Shapes:
        input (N, C), (N, C, *), or with `axis=-1` (*, C); output the same; everything else (C,).

    Args:
        input: x, floating-point.
        running_square: ψ². Used in training and in evaluation; updated in place in training.
        nu: ν, updated in place by the backward pass, once for each forward pass. Start with zeros.
        weight, bias: γ and β; None means 1 and 0.
        training: True: update the averages.
        momentum: the weight of the new value, which the paper calls 1 − α, with α = 0.9.
        eps: ε, under the root.
        warmup: True divides by the *batch's* quadratic mean (the paper's PN-V), with the exact gradient, and only
            updates the averages. Use it for the first steps, before the averages mean anything.
        approximate: False gives the derivative of y with ψ as a constant, as if ν were 0.
        axis: the axis of the channels: 1, or −1 for text in a transformer, (N, T, C).

    Raises:
        ValueError: no running average; no ν for the approximate backward; a shape that does not fit.
        TypeError: an input that is not floating-point, or dtypes that differ.

    The authors' code multiplies ν by 1 − α where ν is used, this code where ν is updated, with the same result. In the
    backward pass the authors' code divides by the batch's ψ; this code follows algorithm 2. An empty batch updates
    nothing. PyTorch and Keras do not have it.

    Source: Shen, Yao, Gholami, Mahoney & Keutzer, "PowerNorm", arXiv 2003.07845, algorithm 2.

    Example:
        >>> import minigrad as mg
        >>> x, square = mg.tensor([[1.0], [7.0]]), mg.ones(1) * 4
        >>> mg.nn.functional.power_norm(x, square, mg.zeros(1), training=True, momentum=0.5, eps=0.0).tolist()
        [[0.5], [3.5]]
        >>> square.tolist()  # (4 + (1 + 49)/2)/2
        [14.5]
    """
    op = "power_norm"
    if axis not in (1, -1):
        raise ValueError(f"{op}: the channels are on axis 1 or axis −1, not {axis}; move them with x.transpose")
    x = check_channels(op, input)
    if axis == -1 and x.ndim > 2:
        flat = (x.size // x.shape[-1] if x.shape[-1] else 0, x.shape[-1])
        options = {"warmup": warmup, "approximate": approximate}
        y = power_norm(reshape(input, flat), running_square, nu, weight, bias, training, momentum, eps, **options)
        return reshape(y, x.shape)
    names = ("running_square", "nu", "weight", "bias")
    check_parameters(op, x, (x.shape[1],), running_square, nu, weight, bias, names=names)
    if running_square is None:
        raise ValueError(f"{op}: running_square is needed, in training as well; start with ones")
    published = training and approximate and not warmup
    if published and nu is None:
        raise ValueError(
            f"{op}: the paper's backward pass needs its running average nu; start with zeros, or pass "
            "approximate=False for the derivative with the quadratic mean as a constant"
        )
    # Copies: the averages change before the backward pass.
    square = None if training and warmup else np.array(raw(running_square))
    constant_nu = np.array(raw(nu)) if published else None
    average = GradientAverage(op, nu, momentum) if training and nu is not None else None
    norm = PowerNorm(x.shape[1], eps, square, constant_nu, average, training)
    if modes.composed:
        y = norm.composed(input, weight, bias, average)
        new = (x * x).mean(channel_axes(x)) if x.size else None
    else:
        y = norm(input, weight, bias)
        new = norm.batch_square
    if training and x.size:
        check_writable(op, running_square=running_square, **({} if nu is None else {"nu": nu}))
        follow(op, running_square, new, momentum)
    return y
