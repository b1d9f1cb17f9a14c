"""Switchable normalization."""

from math import prod
from typing import Any

import numpy as np

from minigrad.autograd.fused import Fused
from minigrad.autograd.modes import modes
from minigrad.autograd.tensor import raw
from minigrad.ops.activation import softmax
from minigrad.ops.elementwise import cast
from minigrad.ops.norm.batch import channel_axes, elements, per_channel
from minigrad.ops.norm.common import (
    ChannelNorm,
    affine,
    check_channels,
    check_parameters,
    check_writable,
    constant,
    follow,
    moments,
    standardize,
    wide_moments,
)


class SwitchableNorm(Fused):
    """A mix of instance, layer and batch norm's statistics: (x, logits for means, for variances, γ, β) → y.

    Each channel of each sample has its own mix, so the kernels treat it as one run.

    Args:
        shape: the input's, (N, C, *).
        eps: ε.
        kinds: the kinds that are mixed, of "instance", "layer" and "batch", in the order of their weights.
        running: mean and variance to use for the batch's, in evaluation; None in training.

    Attributes:
        statistics: for each kind, mean and variance, in a shape that broadcasts to (N, C).
        mix: for mean and for variance: the weights, and the mixed values.
    """

    def __init__(self, shape: tuple[int, ...], eps: float, kinds: tuple[str, ...], running: Any):
        self.batch, self.channels, self.space = shape[0], shape[1], prod(shape[2:])
        self.eps, self.kinds, self.running = float(eps), kinds, running
        self.runs = ChannelNorm()  # all kernels see one sample of N·C channels
        self.runs.parameters, self.runs.eps = self.batch * self.channels, self.eps
        self.statistics: dict[str, Any] = {}
        self.mix: list[Any] = []

    def composed(self, x: Any, mean_weight: Any, var_weight: Any, gamma: Any, beta: Any) -> Any:
        """Equations 2 and 3 of the paper: three kinds of statistics, their mix, normalize, scale and shift."""
        space, shape = tuple(range(2, x.ndim)), per_channel(x)
        axes = {"instance": space, "layer": (1, *space), "batch": (0, *space)}
        w, v = softmax(mean_weight, 0), softmax(var_weight, 0)
        mu: Any = 0.0
        variance: Any = 0.0
        for k, kind in enumerate(self.kinds):
            if kind == "batch" and self.running is not None:
                mu_k, variance_k = (s.reshape(shape) for s in self.running)
            else:
                mu_k, variance_k = moments(x, axes[kind])
            mu = mu + w[k] * mu_k
            variance = variance + v[k] * variance_k
        return affine(standardize(x, mu, variance, self.eps), gamma, beta, shape)

    def forward(self, x: Any, mean_weight: Any, var_weight: Any, gamma: Any, beta: Any) -> Any:
        self.save_for_backward(x, mean_weight, var_weight, gamma, beta)
        x = np.ascontiguousarray(x)
        y = np.empty(x.shape, x.dtype)
        if not x.size:
            return y
        self.runs.stats = stats = np.empty((4, self.runs.parameters), x.dtype)
        one, zero = (constant(value, self.runs.parameters, x.dtype) for value in (1, 0))
        rows, out = self.rows(x), self.rows(y)
        self.runs.run_forward(rows, one, zero, out, False)  # for its statistics: those of the instances
        self.gather(stats)
        with np.errstate(all="ignore"):
            for i, logits in enumerate((mean_weight, var_weight)):
                weights = softmax(logits.astype(np.float64), 0)
                # Σw is not exactly 1, so average the differences from the first kind, not the values.
                start = self.statistics[self.kinds[0]][i] if i == 0 else 0.0
                values = start + sum(
                    w * (self.statistics[kind][i] - start) for w, kind in zip(weights, self.kinds, strict=True)
                )
                self.mix.append((weights, np.broadcast_to(values, (self.batch, self.channels))))
            (_, mu), (_, variance) = self.mix
            stats[0] = mu.reshape(-1)
            stats[1] = mu.reshape(-1) - stats[0]
            stats[2] = 1 / np.sqrt(variance.reshape(-1) + self.eps)
        self.runs.run_forward(rows, self.each(gamma, 1, x.dtype), self.each(beta, 0, x.dtype), out, True)
        return y

    def gather(self, stats: Any) -> None:
        """The other statistics from those of the instances. Variances add up: within instances, and between them."""
        with np.errstate(all="ignore"):
            mu, variance = (s.reshape(self.batch, self.channels) for s in wide_moments(stats, self.eps))
            self.statistics["instance"] = mu, variance
            for kind, axis in (("layer", 1), ("batch", 0)):
                center = mu[:, :1] if axis == 1 else mu[:1]  # subtracted first, so that equal means have no variance
                shared = center + (mu - center).mean(axis, keepdims=True)
                within, between = variance.mean(axis, keepdims=True), ((mu - shared) ** 2).mean(axis, keepdims=True)
                self.statistics[kind] = shared, within + between
            if self.running is not None:
                self.statistics["batch"] = tuple(s.astype(np.float64)[None] for s in self.running)

    def gradients(self, g: Any, x: Any, mean_weight: Any, var_weight: Any, gamma: Any, beta: Any) -> Any:
        """As for any norm; the gradients of mean and variance are distributed to the kinds by the weights."""
        x, g = np.ascontiguousarray(x), np.ascontiguousarray(g)
        dx = np.empty(x.shape, x.dtype)
        dgamma, dbeta = np.zeros((2, self.batch, self.channels), x.dtype)
        dmeans, dvariances = np.zeros((2, len(self.kinds)))
        if x.size:
            rows, spread = self.rows(x), (self.batch, self.channels)
            scale = self.each(gamma, 1, x.dtype)
            # dx = γ g/√(σ² + ε) so far, as if the statistics were constants.
            parts = dgamma.reshape(-1), dbeta.reshape(-1)
            self.runs.run_backward(self.rows(g), rows, scale, self.rows(dx), *parts, True)
            with np.errstate(all="ignore"):
                inv_std = self.runs.stats[2].astype(np.float64).reshape(spread)
                dmu = -inv_std * dbeta * scale.reshape(spread)
                dvariance = -0.5 * inv_std**2 * dgamma * scale.reshape(spread)
                own_mu = self.statistics["instance"][0]
                (w, mixed_mu), (v, mixed_variance) = self.mix
                shift = slope = 0.0  # dx += slope · (x − μ of the instance) + shift
                for k, kind in enumerate(self.kinds):
                    mu, variance = self.statistics[kind]
                    dmeans[k] = w[k] * (dmu * (mu - mixed_mu)).sum()  # (through softmax)
                    dvariances[k] = v[k] * (dvariance * (variance - mixed_variance)).sum()
                    if kind == "batch" and self.running is not None:
                        continue  # constants
                    axes = {"instance": (), "layer": (1,), "batch": (0,)}[kind]
                    n = self.space * prod(spread[a] for a in axes)
                    of_mean = w[k] * dmu.sum(axes, keepdims=True) / n
                    of_variance = 2 * v[k] * dvariance.sum(axes, keepdims=True) / n
                    shift = shift + of_mean + of_variance * (own_mu - mu)
                    slope = slope + of_variance
                self.add_line(dx, rows, inv_std, slope, shift)
        found = dx, dmeans, dvariances, *(parts.sum(0, dtype=np.float64) for parts in (dgamma, dbeta))
        return tuple(d.astype(x.dtype, copy=False) if self.needs(i) else None for i, d in enumerate(found))

    def add_line(self, dx: Any, rows: Any, inv_std: Any, slope: Any, shift: Any) -> None:
        """dx += slope · (x − μ) + shift, μ being the instance's. (x − μ)/√(σ² + ε) on the way has no extremes."""
        dtype, shape = rows.dtype, (1, self.runs.parameters, 1)
        own, mu = ChannelNorm(), self.statistics["instance"][0].reshape(-1)
        own.parameters, own.eps, own.stats = self.runs.parameters, self.eps, self.runs.stats.copy()
        own.stats[0] = mu
        own.stats[1] = mu - own.stats[0]
        line = np.empty_like(rows)
        one, zero = (constant(value, own.parameters, dtype) for value in (1, 0))
        own.run_forward(rows, one, zero, line, True)
        spread = np.ones((self.batch, self.channels))
        line *= (slope / inv_std * spread).astype(dtype).reshape(shape)
        line += (shift * spread).astype(dtype).reshape(shape)
        dx += line.reshape(dx.shape)

    def rows(self, x: Any) -> Any:
        """x as one sample of N·C channels."""
        return x.reshape(1, self.runs.parameters, self.space)

    def each(self, values: Any, default: int, dtype: Any) -> Any:
        """γ or β for every channel of every sample."""
        return constant(default, self.runs.parameters, dtype) if values is None else np.tile(values, self.batch)


def switchable_norm(
    input: Any,
    mean_weight: Any,
    var_weight: Any,
    running_mean: Any = None,
    running_var: Any = None,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *,
    using_in: bool = True,
    using_bn: bool = True,
) -> Any:
    """Normalize by a mix of instance, layer and batch norm's statistics, and learn the mix.

        y = (x − Σ w_k μ_k) / √(Σ w′_k σ²_k + ε) · γ + β,   w = softmax(mean_weight),  w′ = softmax(var_weight)

    k stands for the instance (over space), the layer (over channels and space) and the batch (over samples and
    space), in this order. Where one weight is 1, this is instance norm, layer norm (but with γ and β for channels),
    or batch norm.

    The four decisions: (1) three sets of elements share statistics: a channel of a sample, a sample, a channel; (2)
    the statistics are the mean and the biased variance of each set, and a learned mix of these; (3) the mix
    standardizes x; (4) one γ and one β for each channel restore capacity.

    In evaluation, running averages replace the batch's statistics. The statistics of instance and layer still come
    from the sample.

    Shapes:
        input (N, C, *), output the same; mean_weight and var_weight (3,), or as many as there are kinds; everything
        else (C,).

    Args:
        input: x, floating-point.
        mean_weight, var_weight: λ and λ′, the logits of the mix. Equal logits give equal weights.
        running_mean, running_var: averages of the batch's μ and *unbiased* variance. In training they are updated in
            place, running ← (1 − momentum) · running + momentum · new; otherwise they are used. Pass both or neither.
        weight, bias: γ and β; None means 1 and 0.
        training: True: use the statistics of the batch. False: use the running averages.
        momentum: the weight of the new value.
        eps: ε, under the root.
        using_in: False leaves the instance out. (N, C) needs False, because its instances are single elements.
        using_bn: False leaves the batch out: then nothing changes in evaluation, and a batch of one is allowed.

    Raises:
        ValueError: another number of weights; (N, C) with `using_in`; one value per channel in training; in
            evaluation no running averages; a shape that does not fit.
        TypeError: an input that is not floating-point, or dtypes that differ.

    The paper computes layer and batch variances as mean(σ² + μ²) − mean(μ)², from the instances' statistics; that
    difference cancels. Here the variances within and between instances are added. For the instances' variances the
    authors' code divides by n − 1; the paper and this function divide by n. For the running average the authors' code
    takes the biased variance; this function takes the unbiased one, as `batch_norm` does. The `momentum` of the
    authors' code weighs the old value. PyTorch and Keras do not have it.

    Source: Luo, Ren, Peng, Zhang & Li, "Differentiable learning-to-normalize via switchable normalization",
    arXiv 1806.10779.

    Example:
        >>> import minigrad as mg
        >>> x = mg.tensor([[[1.0, 3.0], [10.0, 30.0]]])
        >>> instance_only = mg.tensor([100.0, 0.0, 0.0])
        >>> mg.nn.functional.switchable_norm(x, instance_only, instance_only, training=True, eps=0.0).tolist()
        [[[-1.0, 1.0], [-1.0, 1.0]]]
    """
    op = "switchable_norm"
    x = check_channels(op, input)
    if using_in and x.ndim == 2:
        raise ValueError(
            f"{op}: in (N, C) an instance is a single element and has no variance; pass using_in=False to mix layer "
            f"and batch only. The input has shape {x.shape}"
        )
    kinds = tuple(k for k, used in (("instance", using_in), ("layer", True), ("batch", using_bn)) if used)
    check_parameters(op, x, (len(kinds),), mean_weight, var_weight, names=("mean_weight", "var_weight"))
    check_parameters(op, x, (x.shape[1],), weight, bias, running_mean, running_var)
    running = None
    if using_bn:
        if (running_mean is None) != (running_var is None):
            raise ValueError(f"{op}: pass both running_mean and running_var, or neither")
        if training and elements(x) == 1:
            raise ValueError(
                f"{op}: training needs more than one value per channel for the batch's variance, and the input has "
                f"shape {x.shape}; use larger batches, or using_bn=False"
            )
        if not training and running_mean is None:
            raise ValueError(
                f"{op}: without training, running_mean and running_var are needed; pass both, or using_bn=False"
            )
        if not training:  # copies: the averages may change before the backward pass
            running = np.array(raw(running_mean)), np.array(raw(running_var))
    norm = SwitchableNorm(x.shape, eps, kinds, running)
    inputs = input, mean_weight, var_weight, weight, bias
    fused = (norm.space > 1 or not x.size) and not modes.composed
    if fused:
        y = norm(*inputs)
    elif modes.composed:
        y = norm.composed(*inputs)
    else:  # Without space there are no rows for a kernel. The composed form in float64 is exact.
        x = x.astype(np.float64)
        y = cast(norm.composed(*(None if t is None else cast(t, np.float64) for t in inputs)), raw(input).dtype)
    if using_bn and training and running_mean is not None and x.size:
        check_writable(op, running_mean=running_mean, running_var=running_var)
        mu, variance = norm.statistics["batch"] if fused else moments(x, channel_axes(x))
        n = elements(x)
        follow(op, running_mean, mu, momentum)
        follow(op, running_var, variance * (n / (n - 1)), momentum)
    return y
