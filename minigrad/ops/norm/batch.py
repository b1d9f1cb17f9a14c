"""Batch normalization."""

from math import prod
from typing import Any

from minigrad.autograd.modes import modes
from minigrad.autograd.tensor import raw
from minigrad.ops.elementwise import clone
from minigrad.ops.norm.common import (
    ChannelNorm,
    affine,
    as_stats,
    check_channels,
    check_parameters,
    moments,
    standardize,
    update_running,
)
from minigrad.ops.shape import reshape


def channel_axes(x: Any) -> tuple[int, ...]:
    """Every axis but the channels', which is axis 1."""
    return (0, *range(2, x.ndim))


def per_channel(x: Any) -> tuple[int, ...]:
    """The shape in which one number per channel broadcasts against x."""
    return (1, -1) + (1,) * (x.ndim - 2)


def elements(x: Any) -> int:
    """How many elements of x belong to one channel."""
    return x.shape[0] * prod(x.shape[2:])


class BatchNorm(ChannelNorm):
    """A group is one channel. `given` statistics, if there are any, take the place of the batch's."""

    def __init__(self, channels: int, eps: float, given: Any = None):
        self.parameters, self.eps, self.given = channels, float(eps), given

    def composed(self, x: Any, gamma: Any, beta: Any) -> Any:
        """Algorithm 1 of the paper: μ and σ² of the mini-batch, normalize, scale and shift."""
        shape = per_channel(x)
        if self.given is None:
            mu, variance = moments(x, channel_axes(x))
        else:  # those of the fused forward pass, if there was one: the averages may have changed since
            given = self.given if self.stats is None else self.stats[[0, 3]]
            mu, variance = (reshape(s, shape) for s in given)
        return affine(standardize(x, mu, variance, self.eps), gamma, beta, shape)


def batch_norm(
    input: Any,
    running_mean: Any = None,
    running_var: Any = None,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    """Normalize every channel by the statistics of the batch, or in evaluation by running averages of them.

    y = (x − μ) / √(σ² + ε) · γ + β

    The four decisions: (1) all elements of a channel, over the batch and over space, share statistics; (2) the
    statistics are the mean and the biased variance; (3) they standardize x; (4) one γ and one β for each channel
    restore capacity.

    Shapes:
        input (N, C) or (N, C, *), output the same; everything else (C,).

    Args:
        input: x, floating-point.
        running_mean, running_var: averages of μ and of the *unbiased* variance. In training they are updated in place,
            running ← (1 − momentum) · running + momentum · new; otherwise they are used. Pass both or neither.
        weight, bias: γ and β; None means 1 and 0.
        training: True: use the statistics of the batch. False: use the running averages.
        momentum: the weight of the new value.
        eps: ε, under the root.

    Raises:
        ValueError: one value per channel in training (one value has no variance); a shape that does not fit; only one
            of the running averages; no running averages in evaluation.
        TypeError: an input that is not floating-point, or dtypes that differ.

    An empty batch leaves the running averages alone (PyTorch makes them NaN). Keras weighs the *old* value by
    `momentum` (0.99, that is 0.01 here), has ε = 1e-3, and averages the biased variance. The paper's population
    estimate uses the unbiased variance, as this function does.

    Source: Ioffe & Szegedy, "Batch normalization", arXiv 1502.03167.

    Example:
        >>> import minigrad as mg
        >>> x = mg.tensor([[1.0, 10.0], [3.0, 30.0]])
        >>> mg.nn.functional.batch_norm(x, training=True, eps=0.0).tolist()
        [[-1.0, -1.0], [1.0, 1.0]]
    """
    op = "batch_norm"
    if getattr(input, "shape", None) == (
        0,
    ):  # nothing, without channels: PyTorch takes it, and so code may count on it
        return clone(input)
    x = check_channels(op, input)
    channels = x.shape[1]
    check_parameters(op, x, (channels,), weight, bias, running_mean, running_var)
    if not training:
        if running_mean is None or running_var is None:
            raise ValueError(
                f"{op}: without training, running_mean and running_var are needed; pass both, or training=True to "
                "normalize by the batch's own statistics"
            )
        norm = BatchNorm(channels, eps, (raw(running_mean), raw(running_var)))
        return norm.composed(input, weight, bias) if modes.composed else norm(input, weight, bias)

    if (running_mean is None) != (running_var is None):
        raise ValueError(f"{op}: pass both running_mean and running_var, to be updated together, or neither")
    n = elements(x)
    if n == 1:
        raise ValueError(
            f"{op}: training needs more than one value per channel, and the input has shape {x.shape}: the "
            "variance of one value is 0. Use larger batches (drop_last=True drops a small last one), evaluation mode "
            "(model.eval()), or layer_norm or group_norm, which need no batch"
        )
    norm = BatchNorm(channels, eps)
    if modes.composed:
        y = norm.composed(input, weight, bias)
        stats = as_stats(*moments(x, channel_axes(x)))
    else:
        y = norm(input, weight, bias)
        stats = norm.stats
    if running_mean is not None and 0 not in x.shape:
        update_running(op, running_mean, running_var, stats, n, momentum)
    return y
