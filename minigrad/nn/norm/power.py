"""The power normalization layer."""

from typing import Any

import numpy as np

from minigrad.autograd import Tensor
from minigrad.nn import functional as F
from minigrad.nn.norm.common import ChannelNorm
from minigrad.nn.norm.population import ChannelPopulation


class SquarePopulation(ChannelPopulation):
    """The mean square of each channel over everything that was added."""

    def add(self, x: Any) -> None:
        """Add an input; its channels are on the layer's axis."""
        super().add(np.moveaxis(x, self.layer.axis, 1))

    def store(self) -> None:
        """Set the layer's average: mean(x²) = σ² + μ²."""
        self.layer.running_square.copy_(self.moments.variance() + self.moments.mean**2)


class PowerNorm(ChannelNorm):
    """Divide each channel by a running quadratic mean; train by the paper's **approximate** gradient.

    y = γ x / √(ψ² + ε) + β; see `functional.power_norm`, also for what the backward pass computes: it is not the
    derivative of y.

    In the first `warmup` training steps the averages mean little. These steps use the batch's own quadratic mean with
    the exact gradient, and all of them have the same weight in the averages. After them `momentum` counts.

    Args:
        num_features: C, the number of channels.
        eps: ε, under the root.
        momentum: the weight of a new step in both averages; the paper's 1 − α.
        affine: False leaves γ (`weight`) and β (`bias`) out.
        warmup: steps of warm-up. The authors' transformers take thousands; small networks need fewer.
        approximate: False trains by the derivative with ψ as a constant.
        axis: the axis of the channels: 1, or −1 for text in a transformer, (N, T, C).
        bias: False leaves only β out.
        dtype: of parameters and averages; float32 by default.

    Shapes:
        (N, C), (N, C, *), or with `axis=-1` (*, C) → the same.

    Raises:
        ValueError: another number of channels.

    The buffers: `running_square` is ψ², `nu` is ν, the running average of the gradient's part along x̂, which the
    *backward* pass updates. In evaluation nothing is updated, and the gradient is the derivative. The authors put
    another layer before it, which divides each token's groups of channels by their root mean square: `RMSNorm` does
    that for one group.

    Source: Shen, Yao, Gholami, Mahoney & Keutzer, "PowerNorm", arXiv 2003.07845.

    Example:
        >>> import minigrad as mg
        >>> norm = mg.nn.PowerNorm(1, warmup=1)
        >>> y = norm(mg.tensor([[3.0], [4.0]]))
        >>> norm.running_square.tolist()  # (9 + 16)/2: the first step knows nothing else
        [12.5]
    """

    averages = {"running_square": 1, "nu": 0}
    running_square: Tensor
    nu: Tensor

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = True,
        *,
        warmup: int = 100,
        approximate: bool = True,
        axis: int = 1,
        bias: bool = True,
        dtype: Any = None,
    ):
        super().__init__(num_features, eps, momentum, affine, True, bias=bias, dtype=dtype)
        if axis not in (1, -1):
            raise ValueError(f"PowerNorm: the channels are on axis 1 or axis −1, not {axis}")
        self.warmup, self.approximate, self.axis = warmup, approximate, axis

    def forward(self, input: Tensor) -> Tensor:
        if input.ndim < 2 or input.shape[self.axis] != self.num_features:
            raise ValueError(
                f"PowerNorm: the input must have num_features={self.num_features} channels on axis {self.axis}, "
                f"got shape {input.shape}"
            )
        warming_up = self.training and self.batches_seen < self.warmup
        y = F.power_norm(
            input,
            self.running_square,
            self.nu,
            self.weight,
            self.bias,
            self.training,
            1 / (self.batches_seen + 1) if warming_up else self.next_momentum(),
            self.eps,
            warmup=warming_up,
            approximate=self.approximate,
            axis=self.axis,
        )
        if self.training:
            self.count_batch(input)
        return y

    def population_statistics(self) -> Any:
        """The object that `nn.utils.recompute_statistics` feeds with this layer's inputs."""
        return SquarePopulation(self)

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, warmup={self.warmup}, approximate={self.approximate}, axis={self.axis}"
        )
