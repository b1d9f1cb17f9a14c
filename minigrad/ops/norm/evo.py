"""EvoNorm B0 and S0: normalization and activation in one layer, found by an evolutionary search."""

from math import prod
from typing import Any

import numpy as np

from minigrad.autograd.fused import Fused
from minigrad.autograd.modes import modes
from minigrad.autograd.tensor import raw
from minigrad.kernels import evo as kernels
from minigrad.ops.compare import maximum
from minigrad.ops.norm.batch import channel_axes, per_channel
from minigrad.ops.norm.common import (
    affine,
    as_stats,
    check_channels,
    check_float,
    check_groups,
    check_parameters,
    moments,
    update_running,
    vector,
)
from minigrad.ops.shape import reshape
from minigrad.ops.unary import sigmoid, sqrt

PARAMETERS = ("weight", "bias", "v", "running_var")

PASSES = 6
"""One element costs about as much as this number of elements in a plain loop."""


class EvoNorm(Fused):
    """What both share: (x, γ, β, v) → y, with one γ, one β and one v for each channel."""

    eps: float

    def forward(self, x: Any, gamma: Any, beta: Any, v: Any) -> Any:
        self.save_for_backward(x, gamma, beta, v)
        y = np.empty(x.shape, x.dtype)
        if x.size:
            self.compute(self.layout(x), *self.parameters(x, gamma, beta, v), self.layout(y))
        return y

    def gradients(self, g: Any, x: Any, gamma: Any, beta: Any, v: Any) -> tuple[Any, ...]:
        dx, sums = np.empty(x.shape, x.dtype), np.zeros((3, x.shape[1]))
        if x.size:
            scale, _, gate = self.parameters(x, gamma, beta, v)
            sums = self.differentiate(self.layout(g), self.layout(x), scale, gate, self.layout(dx))
        return (
            dx if self.needs(0) else None,
            *(s.astype(x.dtype) if self.needs(i) else None for i, s in enumerate(sums, 1)),
        )

    def parameters(self, x: Any, gamma: Any, beta: Any, v: Any) -> tuple[Any, Any, Any]:
        """γ, β and v as contiguous vectors; 1, 0 and 1 where there is none."""
        n, dtype = x.shape[1], x.dtype
        return vector(gamma, 1, n, dtype), vector(beta, 0, n, dtype), vector(v, 1, n, dtype)

    # -- what each adds --

    def layout(self, x: Any) -> Any:
        """How the kernels see it."""
        raise NotImplementedError

    def compute(self, x: Any, gamma: Any, beta: Any, v: Any, y: Any) -> None:
        """Write the output into `y`."""
        raise NotImplementedError

    def differentiate(self, g: Any, x: Any, gamma: Any, v: Any, dx: Any) -> Any:
        """Write the gradient of x; return those of γ, β and v, (3, C)."""
        raise NotImplementedError

    def composed(self, x: Any, gamma: Any, beta: Any, v: Any) -> Any:
        """The same by small ops."""
        raise NotImplementedError


def gated(x: Any, v: Any) -> Any:
    """v x."""
    return x if v is None else x * reshape(v, per_channel(x))


class EvoNormB0(EvoNorm):
    """y = x / max(σ_batch, v x + σ_instance) · γ + β; with `given` variances, those are σ²_batch."""

    def __init__(self, eps: float, given: Any = None):
        self.eps, self.given = float(eps), given

    def composed(self, x: Any, gamma: Any, beta: Any, v: Any) -> Any:
        """Table 1 of the paper, ε being inside each root."""
        variance = moments(x, channel_axes(x))[1] if self.given is None else reshape(self.given, per_channel(x))
        of_batch = sqrt(variance + self.eps)
        of_instance = sqrt(moments(x, tuple(range(2, x.ndim)))[1] + self.eps)
        return affine(x / maximum(of_batch, gated(x, v) + of_instance), gamma, beta, per_channel(x))

    def layout(self, x: Any) -> Any:
        return np.ascontiguousarray(x).reshape(*x.shape[:2], -1)

    def compute(self, x: Any, gamma: Any, beta: Any, v: Any, y: Any) -> None:
        self.means, self.variances = np.empty((2, *x.shape[:2]))
        self.batch = np.zeros((2, x.shape[1]))
        if self.given is not None:
            self.batch[1] = self.given
        kernels.b0_forward(
            PASSES * x.size,
            x,
            gamma,
            beta,
            v,
            self.eps,
            y,
            self.means,
            self.variances,
            self.batch,
            self.given is not None,
        )

    def differentiate(self, g: Any, x: Any, gamma: Any, v: Any, dx: Any) -> Any:
        sums = np.empty((3, x.shape[1]))
        kernels.b0_backward(
            PASSES * x.size,
            g,
            x,
            gamma,
            v,
            self.eps,
            self.means,
            self.variances,
            self.batch,
            self.given is not None,
            dx,
            sums,
        )
        return sums


def evo_norm_b0(
    input: Any,
    running_var: Any = None,
    weight: Any = None,
    bias: Any = None,
    v: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    """Divide by the deviation of the batch, or by one that grows with the element itself: whichever is larger.

    y = x / max(√(σ²_batch + ε), v x + √(σ²_instance + ε)) · γ + β

    It takes the place of a batch norm *and* of the activation after it: large positive elements are divided by
    nearly v x, so their outputs approach 1/v.

    The four decisions: (1) all elements of a channel share the first statistic, and the elements of one channel of one
    sample share the second; (2) both are biased variances; (3) the larger denominator divides, and nothing is
    subtracted; (4) one γ, one β and one v for each channel restore capacity.

    Shapes:
        input (N, C, *) with at least one axis of space, output the same; everything else (C,).

    Args:
        input: x, floating-point.
        running_var: average of the *unbiased* variance of the batch. In training it is updated in place, running ← (1
            − momentum) · running + momentum · new; otherwise it is used. The instance's deviation always comes from
            the input.
        weight, bias, v: γ, β and v; None means 1, 0 and 1, the start of the paper's layers.
        training: True: use the variance of the batch. False: the running average.
        momentum: the weight of the new value.
        eps: ε, under each root.

    Raises:
        ValueError: one value per channel in training (one value has no variance); no running variance in evaluation; a
            shape that does not fit.
        TypeError: an input that is not floating-point, or dtypes that differ.

    An empty batch leaves the running variance alone. The authors' TensorFlow program weighs the *old* value by its
    momentum, and averages the biased variance. PyTorch and Keras do not have it.

    Source: Liu, Brock, Simonyan & Le, "Evolving normalization-activation layers", arXiv 2004.02967.

    Example:
        >>> import minigrad as mg
        >>> x = mg.tensor([[[-2.0, 2.0]], [[-2.0, 2.0]]])
        >>> mg.nn.functional.evo_norm_b0(x, training=True, eps=0.0).tolist()
        [[[-1.0, 0.5]], [[-1.0, 0.5]]]
    """
    op = "evo_norm_b0"
    x = check_float(op, input)
    if x.ndim < 3:
        raise ValueError(f"{op}: the input must be (N, C, ...) with an axis of space, got shape {x.shape}")
    check_parameters(op, x, (x.shape[1],), weight, bias, v, running_var, names=PARAMETERS)
    if not training:
        if running_var is None:
            raise ValueError(
                f"{op}: without training, running_var is needed; pass it, or training=True to use the batch's own "
                "variance"
            )
        norm = EvoNormB0(eps, np.array(raw(running_var)))  # a copy: the average may change before the backward pass
        return norm.composed(input, weight, bias, v) if modes.composed else norm(input, weight, bias, v)
    n = x.shape[0] * prod(x.shape[2:])
    if n == 1:
        raise ValueError(
            f"{op}: training needs more than one value per channel, and the input has shape {x.shape}: the variance "
            "of one value is 0. Use larger batches, or evo_norm_s0, which needs no batch"
        )
    norm = EvoNormB0(eps)
    y = norm.composed(input, weight, bias, v) if modes.composed else norm(input, weight, bias, v)
    if running_var is not None and x.size:
        with np.errstate(all="ignore"):  # the square of 1e20 is infinite in float32
            variance = moments(x, channel_axes(x))[1] if modes.composed else norm.batch[1].astype(x.dtype)
        update_running(op, np.zeros(x.shape[1], x.dtype), running_var, as_stats(variance, variance), n, momentum)
    return y


class EvoNormS0(EvoNorm):
    """y = x σ(v x) / √(σ²_group + ε) · γ + β."""

    def __init__(self, groups: int, eps: float):
        self.groups, self.eps = groups, float(eps)

    def composed(self, x: Any, gamma: Any, beta: Any, v: Any) -> Any:
        """Table 1 of the paper, and its group_std."""
        inside = gated(x, v)
        shape = (x.shape[0], self.groups, x.shape[1] // max(self.groups, 1), *x.shape[2:])
        groups = reshape(x, shape)
        deviation = sqrt(moments(groups, tuple(range(2, groups.ndim)))[1] + self.eps)
        divided = reshape(reshape(x * sigmoid(inside), shape) / deviation, x.shape)
        return affine(divided, gamma, beta, per_channel(x))

    def layout(self, x: Any) -> Any:
        return np.ascontiguousarray(x).reshape(x.shape[0] * self.groups, x.shape[1] // self.groups, -1)

    def exponentials(self, x: Any, v: Any) -> Any:
        """exp(−|v x|), from which the kernels make σ(v x) and its slope; NumPy computes several at once."""
        rows, runs, _ = x.shape
        with np.errstate(all="ignore"):  # exp(−∞) is 0, which is right where v x overflows
            e = x.reshape(rows // self.groups, self.groups, runs, -1) * v.reshape(1, self.groups, runs, 1)
        np.abs(e, out=e)
        np.negative(e, out=e)
        return np.exp(e, out=e).reshape(x.shape)

    def compute(self, x: Any, gamma: Any, beta: Any, v: Any, y: Any) -> None:
        self.stats = np.empty((2, len(x)))
        e = self.exponentials(x, v)
        kernels.s0_forward(PASSES * x.size, x, e, gamma, beta, v, self.eps, y, self.stats)

    def differentiate(self, g: Any, x: Any, gamma: Any, v: Any, dx: Any) -> Any:
        partial = np.empty((3, *x.shape[:2]))
        e = self.exponentials(x, v)
        kernels.s0_backward(PASSES * x.size, g, x, e, gamma, v, self.eps, self.stats, dx, partial)
        return partial.reshape(3, -1, gamma.size).sum(1)


def evo_norm_s0(
    input: Any, num_groups: int, weight: Any = None, bias: Any = None, v: Any = None, eps: float = 1e-5
) -> Any:
    """Gate every element by a sigmoid, and divide by the deviation of its group of channels.

    y = x · sigmoid(v x) / √(σ²_group + ε) · γ + β

    It takes the place of a group norm *and* of the activation after it, which would be a SiLU.

    The four decisions: (1) the channels of a group, over space, of one sample share a statistic; (2) the statistic is
    the biased variance of x, before the gate; (3) its root divides the gated value, and nothing is subtracted; (4) one
    γ, one β and one v for each channel restore capacity.

    Shapes:
        input (N, C) or (N, C, *), output the same; weight, bias and v (C,).

    Args:
        input: x, floating-point.
        num_groups: G, a divisor of the number of channels; the paper takes 32.
        weight, bias, v: γ, β and v; None means 1, 0 and 1, the start of the paper's layers.
        eps: ε, under the root.

    Raises:
        ValueError: G does not divide C, or a shape does not fit.
        TypeError: an input that is not floating-point, or dtypes that differ.

    A batch of one is allowed, and nothing changes in evaluation. PyTorch and Keras do not have it.

    Source: Liu, Brock, Simonyan & Le, "Evolving normalization-activation layers", arXiv 2004.02967.

    Example:
        >>> import minigrad as mg
        >>> x = mg.tensor([[-1000.0, 1000.0]])
        >>> mg.nn.functional.evo_norm_s0(x, 1, eps=0.0).tolist()
        [[0.0, 1.0]]
    """
    op = "evo_norm_s0"
    x = check_channels(op, input)
    channels = x.shape[1]
    check_groups(op, x, num_groups)
    check_parameters(op, x, (channels,), weight, bias, v, names=PARAMETERS)
    norm = EvoNormS0(num_groups, eps)
    return norm.composed(input, weight, bias, v) if modes.composed else norm(input, weight, bias, v)
