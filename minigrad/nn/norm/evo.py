"""EvoNorm layers: normalization and activation in one."""

from typing import Any

import numpy as np

from minigrad.autograd import Tensor
from minigrad.nn import functional as F
from minigrad.nn.norm.common import ChannelNorm, Norm
from minigrad.nn.norm.population import ChannelPopulation
from minigrad.nn.parameter import Parameter


class _EvoNorm(Norm):
    """γ (`weight`) and `v` start at 1, β (`bias`) at 0."""

    v: Parameter | None

    def make_affine(self, shape: tuple[int, ...], affine: bool, bias: bool, dtype: Any) -> None:
        super().make_affine(shape, affine, bias, dtype)
        self.register_parameter("v", Parameter(np.ones(shape, dtype)) if affine else None)

    def reset_parameters(self) -> None:
        """Set γ and v to 1, β to 0, and the running averages to their first values."""
        super().reset_parameters()
        if self.v is not None:
            self.v.detach().fill_(1)


class EvoNormB0(_EvoNorm, ChannelNorm):
    """Divide by the deviation of the batch, or by one that grows with the element itself: whichever is larger.

    y = x / max(√(σ²_batch + ε), v x + √(σ²_instance + ε)) · γ + β; see `functional.evo_norm_b0`. It takes the place
    of a batch norm and of the activation after it.

    Args:
        num_features: C, the number of channels.
        eps: ε, under each root.
        momentum: the weight of the new batch in the running variance; None averages all batches equally.
        affine: False leaves γ (`weight`), β (`bias`) and `v` out, for 1, 0 and 1.
        track_running_stats: False keeps no running variance; evaluation then uses the batch's as well.
        dtype: of parameters and running variance; float32 by default.

    Shapes:
        (N, C, *), with an axis of space → the same.

    Raises:
        ValueError: another number of channels or too few axes; one value per channel in training.

    In evaluation σ²_batch is the running variance; σ²_instance always comes from the input.

    Source: Liu, Brock, Simonyan & Le, "Evolving normalization-activation layers", arXiv 2004.02967.

    Example:
        >>> import minigrad as mg
        >>> norm = mg.nn.EvoNormB0(2)
        >>> y = norm(mg.randn(4, 2, 3, 3))
        >>> norm.num_batches_tracked.item()
        1
    """

    averages = {"running_var": 1}

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        *,
        dtype: Any = None,
    ):
        super().__init__(num_features, eps, momentum, affine, track_running_stats, dtype=dtype)

    def forward(self, input: Tensor) -> Tensor:
        if input.ndim < 3 or input.shape[1] != self.num_features:
            raise ValueError(
                f"EvoNormB0: num_features={self.num_features}, and the input must be (N, {self.num_features}, ...) "
                f"with an axis of space; its shape is {input.shape}"
            )
        affine = self.weight, self.bias, self.v
        if self.running_var is None:
            return F.evo_norm_b0(input, None, *affine, True, 0.0, self.eps)
        y = F.evo_norm_b0(input, self.running_var, *affine, self.training, self.next_momentum(), self.eps)
        if self.training:
            self.count_batch(input)
        return y

    def population_statistics(self) -> Any:
        """The object that `nn.utils.recompute_statistics` feeds with this layer's inputs; None without a running
        variance."""
        return None if self.running_var is None else ChannelPopulation(self)

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"track_running_stats={self.track_running_stats}"
        )


class EvoNormS0(_EvoNorm):
    """Gate every element by a sigmoid, and divide by the deviation of its group of channels.

    y = x · sigmoid(v x) / √(σ²_group + ε) · γ + β; see `functional.evo_norm_s0`. It takes the place of a group
    norm and of the activation after it.

    Args:
        num_groups: G, a divisor of `num_channels`; the paper takes 32.
        num_channels: C.
        eps: ε, under the root.
        affine: False leaves γ (`weight`), β (`bias`) and `v` out, for 1, 0 and 1.
        dtype: of the parameters; float32 by default.

    Shapes:
        (N, C) or (N, C, *) → the same.

    Raises:
        ValueError: G does not divide C; the input has another number of channels.

    Nothing changes in evaluation.

    Source: Liu, Brock, Simonyan & Le, "Evolving normalization-activation layers", arXiv 2004.02967.

    Example:
        >>> import minigrad as mg
        >>> norm = mg.nn.EvoNormS0(num_groups=2, num_channels=4)
        >>> norm(mg.randn(2, 4, 5, 5)).shape
        (2, 4, 5, 5)
    """

    def __init__(
        self, num_groups: int, num_channels: int, eps: float = 1e-5, affine: bool = True, *, dtype: Any = None
    ):
        super().__init__()
        if num_groups < 1 or num_channels % num_groups:
            raise ValueError(f"EvoNormS0: num_channels={num_channels} is not divisible by num_groups={num_groups}")
        self.num_groups, self.num_channels, self.eps, self.affine = num_groups, num_channels, eps, affine
        self.make_affine((num_channels,), affine, True, np.float32 if dtype is None else dtype)

    def forward(self, input: Tensor) -> Tensor:
        if input.ndim < 2 or input.shape[1] != self.num_channels:
            raise ValueError(
                f"EvoNormS0: num_channels={self.num_channels}, and the input must be (N, {self.num_channels}, ...); "
                f"its shape is {input.shape}"
            )
        return F.evo_norm_s0(input, self.num_groups, self.weight, self.bias, self.v, self.eps)

    def extra_repr(self) -> str:
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}"
