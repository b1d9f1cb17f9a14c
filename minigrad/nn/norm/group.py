"""Group and instance normalization layers."""

from typing import Any

import numpy as np

from minigrad.autograd import Tensor
from minigrad.nn import functional as F
from minigrad.nn.norm.common import ChannelNorm, Norm
from minigrad.nn.norm.population import InstancePopulation


class GroupNorm(Norm):
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

    Nothing changes in evaluation.

    Source: Wu & He, "Group normalization", arXiv 1803.08494.

    Example:
        >>> import minigrad as mg
        >>> norm = mg.nn.GroupNorm(2, 4, eps=0.0)  # channels 0 and 1 are one group, 2 and 3 the other
        >>> norm(mg.tensor([[1.0, 3.0, 10.0, 30.0]])).tolist()
        [[-1.0, 1.0, -1.0, 1.0]]
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
        self.make_affine((num_channels,), affine, bias, np.float32 if dtype is None else dtype)

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


class _InstanceNorm(ChannelNorm):
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
        self.check_input(input, 0 if unbatched else 1)
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

    def population_statistics(self) -> Any:
        """The object that `nn.utils.recompute_statistics` feeds with this layer's inputs; None without running
        averages."""
        return None if self.running_mean is None else InstancePopulation(self)


class InstanceNorm1d(_InstanceNorm):
    """Normalize each channel of each sample by its own mean and variance over space.

    y = (x − μ) / √(σ² + ε) · γ + β; see `functional.instance_norm`.

    Args:
        num_features: C, the number of channels.
        eps: ε, under the root.
        momentum: the weight of the new batch in the running averages.
        affine: True adds γ (`weight`) and β (`bias`), one each per channel.
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

    Example:
        >>> import minigrad as mg
        >>> norm = mg.nn.InstanceNorm1d(2, eps=0.0)
        >>> norm(mg.tensor([[[1.0, 3.0], [10.0, 30.0]]])).tolist()
        [[[-1.0, 1.0], [-1.0, 1.0]]]
    """

    input_ndims, layouts = (2, 3), "(N, C, L) or (C, L)"


class InstanceNorm2d(_InstanceNorm):
    """`InstanceNorm1d` for pictures: (N, C, H, W), or (C, H, W) for a single one."""

    input_ndims, layouts = (3, 4), "(N, C, H, W) or (C, H, W)"


class InstanceNorm3d(_InstanceNorm):
    """`InstanceNorm1d` for volumes: (N, C, D, H, W), or (C, D, H, W) for a single one."""

    input_ndims, layouts = (4, 5), "(N, C, D, H, W) or (C, D, H, W)"
