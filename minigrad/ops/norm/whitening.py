"""Whitening: channels are standardized and uncorrelated. Decorrelated batch norm and IterNorm.

Standardizing divides each channel by its own deviation; two channels may still be equal. Whitening multiplies the
channels together, as a vector, by the inverse square root of their covariance matrix,

    x̂ = Σ^(−½) (x − μ),    so that  mean x̂ x̂ᵀ = Σ^(−½) Σ Σ^(−½) = I.

Any rotation of a white x̂ is also white. With the symmetric Σ^(−½), called ZCA ("zero-phase component analysis"), x̂
stays closest to x, and each channel keeps its place. PCA whitening rotates to the principal axes. From batch to batch
these axes may swap or flip, and the next layer would get its channels in another order ("stochastic axis swapping").
"""

from collections.abc import Callable
from functools import partial
from math import prod
from typing import Any

import numpy as np

from minigrad.autograd import Tensor, enable_grad
from minigrad.autograd.engine import grad
from minigrad.autograd.modes import modes
from minigrad.autograd.tensor import raw
from minigrad.ops.elementwise import cast
from minigrad.ops.linalg import matmul
from minigrad.ops.matrix_root import inverse_sqrt, newton_schulz
from minigrad.ops.norm.batch import per_channel
from minigrad.ops.norm.common import (
    FusedNorm,
    affine,
    check_channels,
    check_groups,
    check_parameters,
    check_writable,
    follow,
)
from minigrad.ops.reduction import mean
from minigrad.ops.shape import matrix_transpose, permute, reshape


class Whitening(FusedNorm):
    """(x, γ, β) → y, whose groups of channels are white.

    Everything is computed in float64: a covariance squares, and its inverse root divides by the smallest of what is
    left. The work is in the products with matrices of (channels of a group) × (elements of a channel): two on the way
    forward and three on the way back, which leave little for a kernel to gain. What is saved here is memory traffic.

    Args:
        channels: C.
        num_groups: number of groups; each group is whitened alone.
        root: Σ → Σ^(−½), a differentiable function of a batch of matrices.
        given: (μ, W), constants to center and multiply by. None: the statistics of the input.
    """

    def __init__(self, channels: int, num_groups: int, root: Callable[[Any], Any], given: Any = None):
        self.parameters, self.num_groups, self.root, self.given = channels, num_groups, root, given

    def by_group(self, x: Any) -> Any:
        """(N, C, *) → (groups, channels of a group, elements of a channel)."""
        n, c = x.shape[:2]
        width, space = c // self.num_groups, prod(x.shape[2:])
        x = permute(reshape(x, n, self.num_groups, width, space), 1, 2, 0, 3)
        return reshape(x, self.num_groups, width, n * space)

    def back(self, x: Any, shape: tuple[int, ...]) -> Any:
        """The inverse of `by_group`."""
        n, c = shape[:2]
        width, space = c // self.num_groups, prod(shape[2:])
        x = permute(reshape(x, self.num_groups, width, n, space), 2, 0, 1, 3)
        return reshape(x, shape)

    # -- as the papers write it --

    def composed(self, x: Any, gamma: Any, beta: Any) -> Any:
        """Center, covariance, its inverse root, multiply, scale and shift."""
        grouped = self.by_group(cast(x, np.float64))
        if self.given is None:
            deviation = (
                grouped - raw(grouped)[..., :1]
            )  # a shift makes the mean of large values exact; any shift is allowed
            centered = deviation - mean(deviation, -1, keepdim=True)
            covariance = matmul(centered, matrix_transpose(centered)) / centered.shape[-1]
            matrix = self.root(covariance)
        else:
            mu, matrix = self.given
            centered = grouped - mu
        x_hat = self.back(matmul(matrix, centered), x.shape)
        gamma, beta = (None if p is None else cast(p, np.float64) for p in (gamma, beta))
        return cast(affine(x_hat, gamma, beta, per_channel(x)), x.dtype)

    # -- the same without temporaries --

    def center(self, x: Any) -> Any:
        """x − μ in float64, by group."""
        grouped = np.array(self.by_group(x), np.float64, order="C")  # always a copy, to work in
        if self.given is None:
            shift = grouped[..., :1].copy()
            grouped -= shift
            mean = grouped.mean(-1, keepdims=True)
            grouped -= mean
            self.mean = shift + mean
        else:
            self.mean = self.given[0]
            grouped -= self.mean
        return grouped

    def normalize(self, x: Any, gamma: Any, beta: Any, y: Any) -> None:
        with np.errstate(all="ignore"):
            centered = self.center(x)
            if self.given is None:
                covariance = centered @ centered.swapaxes(-1, -2)
                covariance /= centered.shape[-1]
                # The root is a small graph of its own, for the way back.
                self.covariance = Tensor(covariance, requires_grad=True)
                with enable_grad():
                    self.inverse_root = self.root(self.covariance)
                self.matrix = raw(self.inverse_root)
            else:
                self.matrix = self.given[1]
            # γ is part of the matrix: diag(γ) Σ^(−½).
            out = (gamma.reshape(self.num_groups, -1, 1) * self.matrix) @ centered
            out += beta.reshape(self.num_groups, -1, 1)
            y[...] = self.back(out, x.shape)

    def differentiate(self, g: Any, x: Any, gamma: Any, dx: Any, dgamma: Any, dbeta: Any) -> None:
        with np.errstate(all="ignore"):
            centered = self.center(x)
            g = np.array(self.by_group(g), np.float64, order="C")
            total = g.sum(-1, keepdims=True)
            product = g @ centered.swapaxes(-1, -2)
            gamma = gamma.reshape(self.num_groups, -1, 1).astype(np.float64)
            dgamma[...] = (self.matrix * product).sum(-1).reshape(-1)
            dbeta[...] = total.reshape(-1)
            # To x̂ = W (x − μ) comes γ g, and Wᵀ takes it on to x − μ.
            out = (self.matrix.swapaxes(-1, -2) * gamma.swapaxes(-1, -2)) @ g
            if self.given is None:
                (slope,) = grad(self.inverse_root, self.covariance, gamma * product, retain_graph=True)
                # dΣ = (dx xᵀ + x dxᵀ) / M, and x is centered.
                slope = slope.array + slope.array.swapaxes(-1, -2)
                out += np.matmul(slope / centered.shape[-1], centered, out=g)
                out -= out.mean(-1, keepdims=True)
            dx[...] = self.back(out, x.shape)


def decorrelated_batch_norm(
    input: Any,
    running_mean: Any = None,
    running_matrix: Any = None,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *,
    num_groups: int = 1,
) -> Any:
    """Whiten each group of channels by the mean and covariance of the batch, or in evaluation by running averages.

    y = (Σ + εI)^(−½) (x − μ) · γ + β,  with (Σ + εI)^(−½) the symmetric root (ZCA) for each group of channels

    The four decisions: (1) all elements of a group's channels, over the batch and over space, share statistics; (2)
    the statistics are the mean of each channel and the covariance of each pair; (3) they whiten x; (4) one γ and one β
    for each channel restore capacity. With as many groups as channels it is batch norm.

    Shapes:
        input (N, C) or (N, C, *), output the same; running_matrix (G, C/G, C/G) for G groups; everything else (C,).

    Args:
        input: x, floating-point.
        running_mean, running_matrix: averages of μ and of (Σ + εI)^(−½). In training they are updated in place,
            running ← (1 − momentum) · running + momentum · new; otherwise they are used. Pass both or neither.
        weight, bias: γ and β; None means 1 and 0.
        training: True: use the statistics of the batch. False: use the running averages.
        momentum: the weight of the new value.
        eps: ε, on the diagonal of Σ. It must not be 0 where Σ is singular: with fewer elements in a channel than
            channels in a group, or where one channel is a combination of others.
        num_groups: G, a divisor of C. The covariance of D = C/G channels is only meaningful with several times D
            elements in each channel; the paper whitens groups of 16 in large networks.

    Raises:
        ValueError: one value per channel in training (one value has no covariance); G does not divide C; a shape that
            does not fit; only one of the running averages; no running averages in evaluation.
        TypeError: an input that is not floating-point, or dtypes that differ.

    The running averages are the paper's: of the whitening matrix itself, from the biased covariance. (Batch norm's
    running variance is unbiased.) Equal eigenvalues are allowed, because no eigenvector is differentiated. PyTorch and
    Keras do not have it.

    Source: Huang, Yang, Lang & Deng, "Decorrelated batch normalization", arXiv 1804.08450.

    Example:
        >>> import minigrad as mg
        >>> x = mg.tensor([[1.0, 1.0], [-1.0, -1.0], [2.0, -2.0], [-2.0, 2.0]])
        >>> y = mg.nn.functional.decorrelated_batch_norm(x, training=True, eps=0.0)
        >>> (y.T @ y / 4).round(decimals=6).tolist()
        [[1.0, 0.0], [0.0, 1.0]]
    """
    parameters = running_mean, running_matrix, weight, bias
    root = partial(inverse_sqrt, eps=eps)
    return _whitened("decorrelated_batch_norm", root, input, parameters, training, momentum, num_groups)


def iterative_norm(
    input: Any,
    running_mean: Any = None,
    running_matrix: Any = None,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *,
    num_groups: int = 1,
    iterations: int = 5,
) -> Any:
    """IterNorm: whiten each group of channels by a few Newton–Schulz iterations.

    y = Σ^(−½) (x − μ) · γ + β,  Σ = mean (x − μ)(x − μ)ᵀ + εI,  Σ^(−½) ≈ P_T / √tr Σ,
    P₀ = I,  Pₖ = ½ (3 Pₖ₋₁ − Pₖ₋₁³ Σ / tr Σ)

    The four decisions, the other arguments, shapes, errors and running averages are those of
    `decorrelated_batch_norm`: (1) the channels of a group, over the batch and over space, share statistics; (2) the
    statistics are the means and a covariance; (3) they whiten x; (4) one γ and one β for each channel restore
    capacity. Only the matrix is computed differently: by products, without eigenvalues. In evaluation the running
    averages are used. With few iterations the directions of large variance are whitened and those of small variance,
    mostly noise, are not blown up; with many, the result is that of `decorrelated_batch_norm`.

    Shapes:
        input (N, C) or (N, C, *), output the same.

    Args:
        iterations: T. The paper's 5 whiten the large directions; for all of them, T = 7 is enough where variances
            differ by a factor of 10 between two channels, and about 12 where they do by 100 in a group of 16.

    PyTorch and Keras do not have it.

    Source: Huang, Zhou, Zhu, Liu & Shao, "Iterative normalization", arXiv 1904.03441.

    Example:
        >>> import minigrad as mg
        >>> x = mg.tensor([[1.0, 1.0], [-1.0, -1.0], [2.0, -2.0], [-2.0, 2.0]])
        >>> y = mg.nn.functional.iterative_norm(x, training=True, eps=0.0, iterations=7)
        >>> (y.T @ y / 4).round(decimals=6).tolist()
        [[1.0, 0.0], [0.0, 1.0]]
    """
    if not isinstance(iterations, int | np.integer) or iterations < 0:
        raise ValueError(f"iterative_norm: iterations must be an integer of at least 0, got {iterations!r}")

    parameters = running_mean, running_matrix, weight, bias
    root = partial(iterated_root, eps=eps, iterations=int(iterations))
    return _whitened("iterative_norm", root, input, parameters, training, momentum, num_groups)


def iterated_root(covariance: Any, eps: float, iterations: int) -> Any:
    """(Σ + εI)^(−½), nearly: `iterations` steps on the way there."""
    return newton_schulz(covariance + eps * np.eye(covariance.shape[-1]), iterations)


def _whitened(
    op: str,
    root: Callable[[Any], Any],
    input: Any,
    parameters: tuple[Any, Any, Any, Any],
    training: bool,
    momentum: float,
    num_groups: int,
) -> Any:
    running_mean, running_matrix, weight, bias = parameters
    x = check_channels(op, input)
    channels = x.shape[1]
    check_groups(op, x, num_groups)
    check_parameters(op, x, (channels,), weight, bias, running_mean)
    width = channels // num_groups
    check_parameters(op, x, (num_groups, width, width), running_matrix, names=("running_matrix",))
    if (running_mean is None) != (running_matrix is None):
        raise ValueError(f"{op}: pass both running_mean and running_matrix, or neither")
    if not training:
        if running_mean is None:
            raise ValueError(
                f"{op}: without training, running_mean and running_matrix are needed; pass both, or training=True to "
                "whiten by the batch's own statistics"
            )
        # Copies: the averages may change before the backward pass.
        mu = np.array(raw(running_mean), np.float64).reshape(num_groups, width, 1)
        norm = Whitening(channels, num_groups, root, (mu, np.array(raw(running_matrix), np.float64)))
        return norm.composed(input, weight, bias) if modes.composed and x.size else norm(input, weight, bias)
    if x.shape[0] * prod(x.shape[2:]) == 1:
        raise ValueError(
            f"{op}: training needs more than one value per channel, and the input has shape {x.shape}: the "
            "covariance of one value is 0. Use larger batches (drop_last=True drops a small last one), or evaluation "
            "mode (model.eval())"
        )
    norm = Whitening(channels, num_groups, root)
    if modes.composed and x.size:
        y = norm.composed(input, weight, bias)
        mu, matrix = _statistics(norm, x) if running_mean is not None else (None, None)
    else:
        y = norm(input, weight, bias)
        mu, matrix = (norm.mean, norm.matrix) if x.size else (None, None)
    if running_mean is not None and mu is not None:
        check_writable(op, running_mean=running_mean, running_matrix=running_matrix)
        follow(op, running_mean, mu, momentum)
        follow(op, running_matrix, matrix, momentum)
    return y


def _statistics(norm: Whitening, x: Any) -> tuple[Any, Any]:
    """μ and the whitening matrix of a batch."""
    centered = norm.center(x)
    return norm.mean, raw(norm.root(centered @ centered.swapaxes(-1, -2) / centered.shape[-1]))
