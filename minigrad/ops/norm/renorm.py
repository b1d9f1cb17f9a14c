"""Batch renormalization."""

from typing import Any

import numpy as np

from minigrad.autograd.modes import modes
from minigrad.autograd.tensor import raw
from minigrad.ops.norm.batch import channel_axes, elements, per_channel
from minigrad.ops.norm.common import (
    ChannelNorm,
    affine,
    check_channels,
    check_parameters,
    check_writable,
    follow,
    moments,
)
from minigrad.ops.unary import sqrt


def clip(values: Any, lowest: float, highest: float) -> Any:
    """`values` where they are within the limits, else the limit. NaN stays NaN."""
    return np.minimum(np.maximum(values, lowest), highest)


class BatchRenorm(ChannelNorm):
    """Batch norm whose x̂ is corrected toward the x̂ of the running averages.

    Args:
        average: μ and σ, the running averages.
        eps: ε.
        limits: r_max and d_max in training; None in evaluation, where the running averages themselves are used.

    Attributes:
        r, d: the correction. Constants: no gradient flows through them.
        batch: μ_B and σ_B, once the correction is known.
    """

    def __init__(self, average: tuple[Any, Any], eps: float, limits: tuple[float, float] | None):
        self.mean, self.std = average
        self.parameters, self.eps, self.limits = self.mean.size, float(eps), limits
        self.given = average if limits is None else None
        self.r: Any = None
        self.d: Any = None
        self.batch: Any = None

    def correct(self, mu: Any, std: Any) -> None:
        """r = clip(σ_B/σ, 1/r_max, r_max) and d = clip((μ_B − μ)/σ, −d_max, d_max)."""
        assert self.limits is not None
        r_max, d_max = self.limits
        self.batch = mu, std
        with np.errstate(all="ignore"):  # σ = 0 shows in the result
            self.r = clip(std / self.std, 1 / r_max, r_max).astype(self.mean.dtype)
            self.d = clip((mu - self.mean) / self.std, -d_max, d_max).astype(self.mean.dtype)

    def composed(self, x: Any, gamma: Any, beta: Any) -> Any:
        """Algorithm 1 of the paper: x̂ = (x − μ_B)/σ_B · r + d, scale and shift; in evaluation x̂ = (x − μ)/σ."""
        shape = per_channel(x)
        if self.given is not None:
            x_hat = (x - self.mean.reshape(shape)) / self.std.reshape(shape)
        else:
            mu, variance = moments(x, channel_axes(x))
            std = sqrt(variance + self.eps)
            if self.batch is None:
                self.correct(raw(mu).reshape(-1), raw(std).reshape(-1))
            x_hat = (x - mu) / std * self.r.reshape(shape) + self.d.reshape(shape)
        return affine(x_hat, gamma, beta, shape)

    def normalize(self, x: Any, gamma: Any, beta: Any, y: Any) -> None:
        self.stats = stats = np.empty((4, self.parameters), x.dtype)
        if self.given is not None:
            with np.errstate(divide="ignore"):
                stats[...] = self.mean, np.zeros_like(self.mean), 1 / self.std, np.zeros_like(self.mean)
            self.run_forward(x, gamma, beta, y, True)
            return
        self.run_forward(x, gamma, beta, y, False)  # batch norm: the statistics, and with r = 1 and d = 0 the result
        with np.errstate(divide="ignore"):
            self.correct(stats[0].astype(np.float64) + stats[1], 1 / stats[2].astype(np.float64))
        if (self.r != 1).any() or (self.d != 0).any():
            self.run_forward(x, gamma * self.r, gamma * self.d + beta, y, True)

    def differentiate(self, g: Any, x: Any, gamma: Any, dx: Any, dgamma: Any, dbeta: Any) -> None:
        """Batch norm's own, with γr for γ and γd + β for β."""
        scale = gamma if self.given is not None else gamma * self.r
        super().differentiate(g, x, scale, dx, dgamma, dbeta)
        if self.given is None:
            dgamma[...] = dgamma * self.r + dbeta * self.d


def batch_renorm(
    input: Any,
    running_mean: Any,
    running_std: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.01,
    eps: float = 1e-5,
    r_max: float = 3.0,
    d_max: float = 5.0,
) -> Any:
    """Batch norm whose output in training is that of evaluation, as far as two limits allow.

        y = γ x̂ + β
        training:    x̂ = (x − μ_B)/σ_B · r + d,  r = clip(σ_B/σ, 1/r_max, r_max), d = clip((μ_B − μ)/σ, −d_max, d_max)
        evaluation:  x̂ = (x − μ)/σ

    μ_B and σ_B = √(σ_B² + ε) are the batch's; μ and σ are running averages of them. Where nothing is clipped,
    x̂ = (x − μ)/σ in training as well: small or unusual batches are then normalized by the statistics of the whole
    data. But r and d count as constants, so the gradient is batch norm's, times r. With r_max = 1 and d_max = 0 this
    *is* batch norm.

    The four decisions: (1) all elements of a channel, over the batch and over space, share statistics; (2) the
    statistics are the mean and the biased variance of the batch, and running averages of mean and deviation; (3) they
    standardize x; (4) one γ and one β for each channel restore capacity.

    Shapes:
        input (N, C) or (N, C, *), output the same; everything else (C,).

    Args:
        input: x, floating-point.
        running_mean, running_std: averages of μ_B and σ_B. They are used in training and in evaluation. In training
            they are updated in place after their use: running ← (1 − momentum) · running + momentum · new.
        weight, bias: γ and β; None means 1 and 0.
        training: True: use the batch's statistics and update the averages. False: use the averages alone.
        momentum: the weight of the new value, α in the paper, which takes 0.01: the averages should be steadier than
            the batches.
        eps: ε, under the root, and so a part of σ.
        r_max, d_max: the limits, at least 1 and 0. The paper begins with 1 and 0 and relaxes them to 3 and 5;
            `nn.BatchRenorm1d` does that by itself.

    Raises:
        ValueError: one value per channel in training (one value has no variance); limits below 1 and 0; a shape that
            does not fit.
        TypeError: an input that is not floating-point, or dtypes that differ.

    The running average is of the *deviation*, as in the paper, and not of the unbiased variance as in `batch_norm`.
    TensorFlow's `renorm=True` keeps both, the deviation for r and d, the variance for evaluation. An empty batch
    leaves the averages alone. PyTorch and Keras 3 have no such function.

    Source: Ioffe, "Batch renormalization", arXiv 1702.03275.

    Example:
        >>> import minigrad as mg
        >>> x = mg.tensor([[1.0], [3.0]])
        >>> mg.nn.functional.batch_renorm(x, mg.ones(1), mg.ones(1) * 0.5, training=True, eps=0.0).tolist()
        [[0.0], [4.0]]
    """
    op = "batch_renorm"
    x = check_channels(op, input)
    names = ("weight", "bias", "running_mean", "running_std")
    check_parameters(op, x, (x.shape[1],), weight, bias, running_mean, running_std, names=names)
    if running_mean is None or running_std is None:
        raise ValueError(
            f"{op}: running_mean and running_std are needed, in training as well: the batch's statistics are compared "
            "with them. Start with zeros and ones"
        )
    if not (r_max >= 1 and d_max >= 0):
        raise ValueError(f"{op}: the limits must be r_max ≥ 1 and d_max ≥ 0, not r_max={r_max} and d_max={d_max}")
    # A copy: the averages change before the backward pass.
    average = np.array(raw(running_mean)), np.array(raw(running_std))
    if training and elements(x) == 1:
        raise ValueError(
            f"{op}: training needs more than one value per channel, and the input has shape {x.shape}: the variance "
            "of one value is 0. Use larger batches (drop_last=True drops a small last one) or evaluation mode"
        )
    norm = BatchRenorm(average, eps, (r_max, d_max) if training else None)
    y = norm.composed(input, weight, bias) if modes.composed else norm(input, weight, bias)
    if training and x.size:
        check_writable(op, running_mean=running_mean, running_std=running_std)
        for running, new in zip((running_mean, running_std), norm.batch, strict=True):
            follow(op, running, new, momentum)
    return y
