"""Whitening layers: decorrelated batch normalization, and IterNorm."""

from typing import Any

import numpy as np

from minigrad.autograd import Tensor
from minigrad.autograd.tensor import raw
from minigrad.nn import functional as F
from minigrad.nn.norm.common import ChannelNorm
from minigrad.ops.matrix_root import inverse_sqrt
from minigrad.ops.norm.whitening import Whitening, iterated_root


class WhiteningPopulation:
    """Mean and covariance of each group of channels over everything that was added, exactly; see `Moments`."""

    def __init__(self, layer: Any):
        width = layer.num_features // layer.num_groups
        self.layer, self.count = layer, 0
        self.mean, self.products = np.zeros((layer.num_groups, width, 1)), np.zeros((layer.num_groups, width, width))

    def add(self, x: Any) -> None:
        """Add an input, (N, C) or (N, C, *)."""
        n = x.size // self.layer.num_features
        if n == 0:
            return
        part = Whitening(self.layer.num_features, self.layer.num_groups, self.layer.root)
        centered = part.center(x)
        total, shift = self.count + n, part.mean - self.mean
        self.products += centered @ centered.swapaxes(-1, -2)
        self.products += shift @ shift.swapaxes(-1, -2) * (self.count * n / total)
        self.mean += shift * (n / total)
        self.count = total

    def store(self) -> None:
        """Set the layer's averages: μ, and the whitening matrix of the biased covariance, as in training."""
        self.layer.running_mean.copy_(self.mean.reshape(-1))
        self.layer.running_matrix.copy_(raw(self.layer.root(self.products / self.count)))


class _WhiteningNorm(ChannelNorm):
    """γ, β, and running averages of the mean and of the whitening matrix."""

    running_matrix: Tensor | None

    def __init__(
        self,
        num_features: int,
        num_groups: int,
        eps: float,
        momentum: float | None,
        affine: bool,
        track_running_stats: bool,
        bias: bool,
        dtype: Any,
    ):
        if num_groups < 1 or num_features % num_groups:
            name = type(self).__name__
            raise ValueError(f"{name}: num_features={num_features} is not divisible by num_groups={num_groups}")
        self.num_groups = num_groups
        super().__init__(num_features, eps, momentum, affine, track_running_stats, bias=bias, dtype=dtype)

    def first_averages(self) -> dict[str, Any]:
        """The first values of the running averages: 0 for the mean, the identity for a matrix."""
        identity = np.eye(self.num_features // self.num_groups)
        return {"running_mean": np.zeros(self.num_features), "running_matrix": np.stack([identity] * self.num_groups)}

    def whiten(self, input: Tensor, *statistics: Any) -> Tensor:
        """The layer's function: of the input, running averages, γ, β, training, momentum, ε."""
        raise NotImplementedError(f"{type(self).__name__} defines no whiten")

    def root(self, covariance: Any) -> Any:
        """The whitening matrix of a covariance."""
        raise NotImplementedError(f"{type(self).__name__} defines no root")

    def population_statistics(self) -> Any:
        """The object that `nn.utils.recompute_statistics` feeds with this layer's inputs; None without running
        averages."""
        return None if self.running_mean is None else WhiteningPopulation(self)

    def forward(self, input: Tensor) -> Tensor:
        if input.ndim < 2 or input.shape[1] != self.num_features:
            raise ValueError(
                f"{type(self).__name__}: num_features={self.num_features}, and the input must be "
                f"(N, {self.num_features}) or (N, {self.num_features}, ...); its shape is {input.shape}"
            )
        mean, matrix = self.running_mean, self.running_matrix
        if not self.training:
            return self.whiten(input, mean, matrix, self.weight, self.bias, mean is None, 0.0, self.eps)
        if not self.track_running_stats or mean is None:
            return self.whiten(input, None, None, self.weight, self.bias, True, 0.0, self.eps)
        y = self.whiten(input, mean, matrix, self.weight, self.bias, True, self.next_momentum(), self.eps)
        self.count_batch(input)
        return y

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, num_groups={self.num_groups}, eps={self.eps}, momentum={self.momentum}, "
            f"affine={self.affine}, bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )


class DecorrelatedBatchNorm(_WhiteningNorm):
    """Whiten each group of channels by the mini-batch's mean and covariance; in evaluation by running averages.

    y = (Σ + εI)^(−½) (x − μ) · γ + β; see `functional.decorrelated_batch_norm`.

    Args:
        num_features: C, the number of channels.
        num_groups: G, a divisor of C: each group of C/G channels is whitened alone. With C groups it is batch norm.
            Whitening many channels at once needs large batches.
        eps: ε, on the diagonal of the covariance.
        momentum: the weight of the new batch in the running averages; None averages all batches equally.
        affine: False leaves γ (`weight`) and β (`bias`) out.
        track_running_stats: False keeps no averages; evaluation then uses the batch's statistics as well.
        bias: False leaves only β out.
        dtype: of parameters and averages; float32 by default.

    Shapes:
        (N, C) or (N, C, *), with any number of axes of space → the same. `running_mean` is (C,), `running_matrix`
        (G, C/G, C/G).

    Raises:
        ValueError: G does not divide C; another number of channels; one value per channel in training.

    In evaluation the running averages of μ and of the whitening matrix are used.

    Source: Huang, Yang, Lang & Deng, "Decorrelated batch normalization", arXiv 1804.08450.

    Example:
        >>> import minigrad as mg
        >>> norm = mg.nn.DecorrelatedBatchNorm(2, eps=0.0)
        >>> x = mg.tensor([[1.0, 1.0], [-1.0, -1.0], [2.0, -2.0], [-2.0, 2.0]])  # variance 2 along (1, 1)/√2, then 8
        >>> norm(x).round(decimals=4).tolist()
        [[1.0, 1.0], [-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0]]
    """

    def __init__(
        self,
        num_features: int,
        num_groups: int = 1,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        *,
        bias: bool = True,
        dtype: Any = None,
    ):
        super().__init__(num_features, num_groups, eps, momentum, affine, track_running_stats, bias, dtype)

    def whiten(self, input: Tensor, *statistics: Any) -> Tensor:
        return F.decorrelated_batch_norm(input, *statistics, num_groups=self.num_groups)

    def root(self, covariance: Any) -> Any:
        """(Σ + εI)^(−½)."""
        return inverse_sqrt(covariance, self.eps)


class IterativeNorm(_WhiteningNorm):
    """`DecorrelatedBatchNorm` by a few Newton–Schulz iterations instead of eigenvalues: IterNorm.

    See `functional.iterative_norm`.

    Args:
        num_features, num_groups, eps, momentum, affine, track_running_stats, bias, dtype: as in
            `DecorrelatedBatchNorm`.
        iterations: T; more of them whiten more completely.

    Shapes, errors and evaluation are those of `DecorrelatedBatchNorm`.

    Source: Huang, Zhou, Zhu, Liu & Shao, "Iterative normalization", arXiv 1904.03441.

    Example:
        >>> import minigrad as mg
        >>> norm = mg.nn.IterativeNorm(64, num_groups=4, iterations=7)
        >>> norm(mg.randn(8, 64, 5, 5)).shape, norm.running_matrix.shape
        ((8, 64, 5, 5), (4, 16, 16))
    """

    def __init__(
        self,
        num_features: int,
        num_groups: int = 1,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        *,
        iterations: int = 5,
        bias: bool = True,
        dtype: Any = None,
    ):
        super().__init__(num_features, num_groups, eps, momentum, affine, track_running_stats, bias, dtype)
        if not isinstance(iterations, int | np.integer) or iterations < 0:
            raise ValueError(f"IterativeNorm: iterations must be an integer of at least 0, got {iterations!r}")
        self.iterations = int(iterations)

    def whiten(self, input: Tensor, *statistics: Any) -> Tensor:
        return F.iterative_norm(input, *statistics, num_groups=self.num_groups, iterations=self.iterations)

    def root(self, covariance: Any) -> Any:
        """(Σ + εI)^(−½) after `self.iterations` iterations."""
        return iterated_root(covariance, self.eps, self.iterations)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, iterations={self.iterations}"
