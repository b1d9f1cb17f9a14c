"""Normalization layers: they hold what `minigrad.ops.norm` computes with, γ and β, and running averages."""

from typing import Any

import numpy as np

from minigrad.autograd import Tensor
from minigrad.nn import functional as F
from minigrad.nn.module import Module
from minigrad.nn.parameter import Parameter


class _Norm(Module):
    """γ (`weight`) starts at 1 and β (`bias`) at 0: a new layer standardizes and does no more."""

    weight: Parameter | None
    bias: Parameter | None

    def _make_affine(self, shape: tuple[int, ...], affine: bool, bias: bool, dtype: Any) -> None:
        self.register_parameter("weight", Parameter(np.ones(shape, dtype)) if affine else None)
        self.register_parameter("bias", Parameter(np.zeros(shape, dtype)) if affine and bias else None)

    def reset_parameters(self) -> None:
        """γ back to 1, and β to 0."""
        for parameter, value in ((self.weight, 1), (self.bias, 0)):
            if parameter is not None:
                parameter.detach().fill_(value)


class _ChannelNorm(_Norm):
    """What batch and instance norm share: one γ, one β and one pair of running averages for each channel."""

    input_ndims: tuple[int, ...]
    layouts: str

    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(
        self,
        num_features: int,
        eps: float,
        momentum: float | None,
        affine: bool,
        track_running_stats: bool,
        *,
        bias: bool,
        dtype: Any,
    ):
        super().__init__()
        dtype = np.float32 if dtype is None else dtype
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        self._make_affine((num_features,), affine, bias, dtype)
        tracked = track_running_stats
        self.register_buffer("running_mean", Tensor(np.zeros(num_features, dtype)) if tracked else None)
        self.register_buffer("running_var", Tensor(np.ones(num_features, dtype)) if tracked else None)
        self.register_buffer("num_batches_tracked", Tensor(np.array(0)) if tracked else None)

    def reset_running_stats(self) -> None:
        """Forget the running averages: mean 0, variance 1, no batch seen."""
        for buffer, value in ((self.running_mean, 0), (self.running_var, 1), (self.num_batches_tracked, 0)):
            if buffer is not None:
                buffer.fill_(value)

    def reset_parameters(self) -> None:
        """γ back to 1, β to 0, and the running averages to nothing seen."""
        self.reset_running_stats()
        super().reset_parameters()

    def _check_input(self, input: Tensor, channel_axis: int) -> None:
        name = type(self).__name__
        if input.ndim not in self.input_ndims:
            raise ValueError(f"{name}: the input must be {self.layouts}, and has shape {input.shape}")
        if input.shape[channel_axis] != self.num_features:
            raise ValueError(
                f"{name}: num_features={self.num_features}, but the input has {input.shape[channel_axis]} channels "
                f"(axis {channel_axis} of shape {input.shape}); give the layer the number of channels that comes in"
            )

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )


class _BatchNorm(_ChannelNorm):
    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        *,
        bias: bool = True,
        dtype: Any = None,
    ):
        super().__init__(num_features, eps, momentum, affine, track_running_stats, bias=bias, dtype=dtype)

    def forward(self, input: Tensor) -> Tensor:
        self._check_input(input, 1)
        mean, var, count = self.running_mean, self.running_var, self.num_batches_tracked
        if not self.training:
            by_batch = mean is None and var is None
            return F.batch_norm(input, mean, var, self.weight, self.bias, by_batch, 0.0, self.eps)
        if not self.track_running_stats or count is None:
            return F.batch_norm(input, None, None, self.weight, self.bias, True, 0.0, self.eps)
        # momentum=None: the k-th batch weighs 1/k, so that all batches weigh the same.
        momentum = 1 / (count.item() + 1) if self.momentum is None else self.momentum
        y = F.batch_norm(input, mean, var, self.weight, self.bias, True, momentum, self.eps)
        if 0 not in input.shape:
            count._write("BatchNorm")[...] += 1
        return y


class BatchNorm1d(_BatchNorm):
    """Normalize each channel by the mean and variance of the mini-batch; in evaluation by running averages of them.

    y = (x − μ) / √(σ² + ε) · γ + β; see `functional.batch_norm` for what exactly is computed, and for where Keras
    and PyTorch differ.

    Args:
        num_features: C, the number of channels.
        eps: ε, under the root.
        momentum: the weight of the new batch in the running averages; None averages all batches equally.
        affine: False leaves γ (`weight`) and β (`bias`) out.
        track_running_stats: False keeps no averages; evaluation then uses the batch's statistics, too.
        bias: False leaves only β out.
        dtype: of parameters and averages; float32 by default.

    Shapes:
        (N, C) or (N, C, L) → the same.

    Raises:
        ValueError: another number of channels or axes; one value per channel in training.

    `requires_grad=False` on γ and β does not stop the running averages: `eval()` does.

    Source: Ioffe & Szegedy, "Batch normalization", arXiv 1502.03167.

    Example:
        >>> import minigrad as mg
        >>> norm = mg.nn.BatchNorm1d(2)
        >>> y = norm(mg.tensor([[1.0, 10.0], [3.0, 30.0]]))
        >>> norm.running_mean.tolist()  # 0.9 · 0 + 0.1 · μ
        [0.20000000298023224, 2.0]
    """

    input_ndims, layouts = (2, 3), "(N, C) or (N, C, L)"


class BatchNorm2d(_BatchNorm):
    """`BatchNorm1d` for pictures, (N, C, H, W): batch and space share the statistics of a channel."""

    input_ndims, layouts = (4,), "(N, C, H, W)"


class BatchNorm3d(_BatchNorm):
    """`BatchNorm1d` for volumes, (N, C, D, H, W): batch and space share the statistics of a channel."""

    input_ndims, layouts = (5,), "(N, C, D, H, W)"


class _InstanceNorm(_ChannelNorm):
    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        *,
        bias: bool = True,
        dtype: Any = None,
    ):
        super().__init__(num_features, eps, momentum, affine, track_running_stats, bias=bias, dtype=dtype)

    def forward(self, input: Tensor) -> Tensor:
        unbatched = input.ndim == self.input_ndims[0]
        self._check_input(input, 0 if unbatched else 1)
        x = input.reshape(1, *input.shape) if unbatched else input
        y = F.instance_norm(
            x,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training or not self.track_running_stats,
            0.0 if self.momentum is None else self.momentum,
            self.eps,
        )
        return y.reshape(input.shape) if unbatched else y


class InstanceNorm1d(_InstanceNorm):
    """Normalize each channel of each sample by its own mean and variance over space.

    y = (x − μ) / √(σ² + ε) · γ + β; see `functional.instance_norm`.

    Args:
        num_features: C, the number of channels.
        eps: ε, under the root.
        momentum: the weight of the new batch in the running averages.
        affine: True adds γ (`weight`) and β (`bias`), one of each for a channel.
        track_running_stats: True keeps running averages, over the batch, and normalizes by them in evaluation.
        bias: False leaves β out.
        dtype: of parameters and averages; float32 by default.

    Shapes:
        (N, C, L), or (C, L) for a single sample → the same.

    Raises:
        ValueError: another number of channels or axes; one element of space.

    Differences from PyTorch: a wrong number of channels is an error also without γ and β, where PyTorch warns. As
    in PyTorch, `num_batches_tracked` is kept and not counted.

    Source: Ulyanov, Vedaldi & Lempitsky, "Instance normalization", arXiv 1607.08022.
    """

    input_ndims, layouts = (2, 3), "(N, C, L) or (C, L)"


class InstanceNorm2d(_InstanceNorm):
    """`InstanceNorm1d` for pictures: (N, C, H, W), or (C, H, W) for a single one."""

    input_ndims, layouts = (3, 4), "(N, C, H, W) or (C, H, W)"


class InstanceNorm3d(_InstanceNorm):
    """`InstanceNorm1d` for volumes: (N, C, D, H, W), or (C, D, H, W) for a single one."""

    input_ndims, layouts = (4, 5), "(N, C, D, H, W) or (C, D, H, W)"


class LayerNorm(_Norm):
    """Normalize each sample by its own mean and variance over the trailing axes.

    y = (x − μ) / √(σ² + ε) · γ + β; see `functional.layer_norm`.

    Args:
        normalized_shape: the lengths of the trailing axes; an int for one axis.
        eps: ε, under the root.
        elementwise_affine: False leaves γ (`weight`) and β (`bias`) out; both have `normalized_shape`.
        bias: False leaves only β out.
        dtype: of the parameters; float32 by default.

    Shapes:
        (*, *normalized_shape) → the same.

    Source: Ba, Kiros & Hinton, "Layer normalization", arXiv 1607.06450.
    """

    def __init__(
        self,
        normalized_shape: Any,
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        *,
        dtype: Any = None,
    ):
        super().__init__()
        lengths = (normalized_shape,) if isinstance(normalized_shape, int | np.integer) else normalized_shape
        shape = tuple(int(n) for n in lengths)
        self.normalized_shape, self.eps, self.elementwise_affine = shape, eps, elementwise_affine
        self._make_affine(shape, elementwise_affine, bias, np.float32 if dtype is None else dtype)

    def forward(self, input: Tensor) -> Tensor:
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}, "
            f"bias={self.bias is not None}"
        )


class GroupNorm(_Norm):
    """Normalize each group of channels of each sample by its own mean and variance.

    y = (x − μ) / √(σ² + ε) · γ + β; see `functional.group_norm`.

    Args:
        num_groups: G, a divisor of `num_channels`.
        num_channels: C.
        eps: ε, under the root.
        affine: False leaves γ (`weight`) and β (`bias`) out. They belong to channels, not to groups.
        bias: False leaves only β out.
        dtype: of the parameters; float32 by default.

    Shapes:
        (N, C, *) → the same.

    Raises:
        ValueError: G does not divide C; the input has another number of channels.

    Source: Wu & He, "Group normalization", arXiv 1803.08494.
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        *,
        bias: bool = True,
        dtype: Any = None,
    ):
        super().__init__()
        if num_groups < 1 or num_channels % num_groups:
            raise ValueError(f"GroupNorm: num_channels={num_channels} is not divisible by num_groups={num_groups}")
        self.num_groups, self.num_channels, self.eps, self.affine = num_groups, num_channels, eps, affine
        self._make_affine((num_channels,), affine, bias, np.float32 if dtype is None else dtype)

    def forward(self, input: Tensor) -> Tensor:
        if input.ndim < 2 or input.shape[1] != self.num_channels:
            raise ValueError(
                f"GroupNorm: num_channels={self.num_channels}, and the input must be (N, {self.num_channels}, ...); "
                f"its shape is {input.shape}"
            )
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, "
            f"bias={self.bias is not None}"
        )
