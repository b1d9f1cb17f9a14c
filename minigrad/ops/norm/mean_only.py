"""Mean-only batch normalization."""

from typing import Any

import numpy as np

from minigrad.autograd import Function
from minigrad.autograd.modes import modes
from minigrad.autograd.tensor import raw
from minigrad.kernels import center as kernels
from minigrad.kernels.norm import CHUNK
from minigrad.ops.elementwise import cast
from minigrad.ops.norm.batch import channel_axes, per_channel
from minigrad.ops.norm.common import (
    PASSES,
    affine,
    check_channels,
    check_parameters,
    check_writable,
    follow,
    vector,
)
from minigrad.ops.reduction import mean, sum


class MeanOnlyBatchNorm(Function):
    """y = x − μ_B + β.

    Subtracting the mean is linear and its own transpose: y = P x with P = I − 11ᵀ/n. So the gradient is the same op,
    ∂L/∂x = P ∂L/∂y, and all higher gradients are too.

    Attributes:
        means: (2, C), the means' high and low part.
    """

    means: Any = None

    def forward(self, x: Any, beta: Any) -> Any:
        x = np.ascontiguousarray(x)
        y = np.empty(x.shape, x.dtype)
        if x.size:
            batch, channels = x.shape[:2]
            beta = vector(beta, 0, channels, x.dtype)
            self.means = np.empty((2, channels), x.dtype)
            columns = x.size == batch * channels
            shape = (batch, channels) if columns else (batch, channels, -1)
            center = kernels.center_columns if columns else kernels.center_channels
            work = 0 if columns and batch <= CHUNK else PASSES * x.size  # one task needs no threads
            center(work, x.reshape(shape), beta, y.reshape(shape), self.means)
        return y

    def composed(self, x: Any, beta: Any) -> Any:
        return affine(x - mean(x, channel_axes(x), keepdim=True), None, beta, per_channel(x))

    def backward(self, g: Any) -> Any:
        dx = MeanOnlyBatchNorm()(g, None) if self.needs(0) else None
        if not self.needs(1):
            return dx, None
        # NumPy adds rows one after the other, which loses digits in float32, and elements along space in pairs.
        wide = cast(g, np.float64) if g.ndim == 2 else g
        return dx, cast(sum(wide, channel_axes(g)), g.dtype)


def mean_only_batch_norm(
    input: Any, running_mean: Any = None, bias: Any = None, training: bool = False, momentum: float = 0.1
) -> Any:
    """Subtract the batch's mean from every channel, or in evaluation a running average of it.

    y = x − μ + β

    It is made for layers with weight normalization, which already fixes the scale of the input. Centering costs less
    than batch norm. Its noise is that of a mean, which is closer to a normal distribution and weaker than the noise of
    a variance.

    The four decisions: (1) all elements of a channel, over the batch and over space, share a statistic; (2) the
    statistic is the mean; (3) it is subtracted; nothing is divided, so the scale of x stays; (4) one β for each
    channel restores the mean.

    Shapes:
        input (N, C) or (N, C, *), output the same; everything else (C,).

    Args:
        input: x, floating-point.
        running_mean: the average of μ. In training it is updated in place, running ← (1 − momentum) · running +
            momentum · new, and may be None. Otherwise it is used.
        bias: β; None means 0.
        training: True: subtract the mean of the batch. False: the running average.
        momentum: the weight of the new value.

    Raises:
        ValueError: a shape that does not fit; no running average in evaluation.
        TypeError: an input that is not floating-point, or dtypes that differ.

    A single value has a mean, so a batch of one is allowed: its output is β, and its gradient 0. An empty batch
    leaves the running average alone. Neither PyTorch nor Keras has it; Keras's `BatchNormalization` always divides.

    Source: Salimans & Kingma, "Weight normalization", arXiv 1602.07868, section 4.

    Example:
        >>> import minigrad as mg
        >>> x = mg.tensor([[1.0, 10.0], [3.0, 30.0]])
        >>> mg.nn.functional.mean_only_batch_norm(x, training=True).tolist()
        [[-1.0, -10.0], [1.0, 10.0]]
    """
    op = "mean_only_batch_norm"
    x = check_channels(op, input)
    check_parameters(op, x, (x.shape[1],), bias, running_mean, names=("bias", "running_mean"))
    shape, axes = per_channel(x), channel_axes(x)
    if not training:
        if running_mean is None:
            raise ValueError(
                f"{op}: without training, running_mean is needed; pass it, or training=True to subtract the batch's "
                "own mean"
            )
        return affine(input - np.array(raw(running_mean)).reshape(shape), None, bias, shape)
    if modes.composed:
        mu = mean(input, axes, keepdim=True)
        y = affine(input - mu, None, bias, shape)
        new = raw(mu)
    else:
        norm = MeanOnlyBatchNorm()
        y = norm(input, bias)
        new = None if norm.means is None else norm.means.astype(np.float64).sum(0)
    if running_mean is not None and x.size:
        check_writable(op, running_mean=running_mean)
        follow(op, running_mean, new, momentum)
    return y
