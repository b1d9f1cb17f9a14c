"""The switchable normalization layer."""

from typing import Any

import numpy as np

from minigrad.autograd import Tensor
from minigrad.autograd.tensor import raw
from minigrad.nn import functional as F
from minigrad.nn.norm.common import ChannelNorm
from minigrad.nn.parameter import Parameter
from minigrad.ops.activation import softmax


class SwitchableNorm(ChannelNorm):
    """Normalize by a learned mix of instance, layer and batch norm's statistics.

    y = (x − Σ w_k μ_k) / √(Σ w′_k σ²_k + ε) · γ + β, w and w′ the softmax of `mean_weight` and `var_weight`; see
    `functional.switchable_norm`. After training, `mix()` returns the mix that this layer learned.

    Args:
        num_features: C, the number of channels.
        eps: ε, under the root.
        momentum: the weight of the new batch in the running averages. None averages all batches equally, the paper's
            *batch average*: after training, call `reset_running_stats()` and, in training mode and under `no_grad`,
            the network on a few batches. (`nn.utils.recompute_statistics` does that, exactly, for the whole set.)
        affine: False leaves γ (`weight`) and β (`bias`) out.
        using_in: False leaves the instance out, as (N, C) must.
        using_bn: False leaves the batch out, and the running averages: then nothing changes in evaluation.
        last_gamma: True starts γ at 0: for the last norm of a residual branch, which then begins as an identity.
        bias: False leaves only β out.
        dtype: of parameters and averages; float32 by default.

    Shapes:
        (N, C, *), or with `using_in=False` also (N, C) → the same. `mean_weight` and `var_weight` are (3,), in the
        order instance, layer, batch; without one of them, (2,).

    Raises:
        ValueError: another number of channels; (N, C) with `using_in`; one value per channel in training.

    The mix starts with equal weights, as in the authors' code. Their `momentum` weighs the old value.

    Source: Luo, Ren, Peng, Zhang & Li, "Differentiable learning-to-normalize via switchable normalization",
    arXiv 1806.10779.

    Example:
        >>> import minigrad as mg
        >>> norm = mg.nn.SwitchableNorm(4)
        >>> norm(mg.randn(2, 4, 3, 3)).shape
        (2, 4, 3, 3)
        >>> norm.mix()["mean"]
        {'instance': 0.333, 'layer': 0.333, 'batch': 0.333}
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        *,
        using_in: bool = True,
        using_bn: bool = True,
        last_gamma: bool = False,
        bias: bool = True,
        dtype: Any = None,
    ):
        super().__init__(num_features, eps, momentum, affine, using_bn, bias=bias, dtype=dtype)
        self.using_in, self.using_bn, self.last_gamma = using_in, using_bn, last_gamma
        self.kinds = [k for k, used in (("instance", using_in), ("layer", True), ("batch", using_bn)) if used]
        dtype = np.float32 if dtype is None else dtype
        self.mean_weight = Parameter(np.ones(len(self.kinds), dtype))
        self.var_weight = Parameter(np.ones(len(self.kinds), dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set γ to 1 (to 0 with `last_gamma`), β to 0, the mix to equal weights, and the running averages to their
        first values."""
        super().reset_parameters()
        self.mean_weight.detach().fill_(1)
        self.var_weight.detach().fill_(1)
        if self.last_gamma and self.weight is not None:
            self.weight.detach().fill_(0)

    def mix(self, digits: int = 3) -> dict[str, dict[str, float]]:
        """The weight of each kind in the mean and in the variance, rounded."""
        return {
            name: {k: round(float(w), digits) for k, w in zip(self.kinds, softmax(raw(weights), 0), strict=True)}
            for name, weights in (("mean", self.mean_weight), ("variance", self.var_weight))
        }

    def forward(self, input: Tensor) -> Tensor:
        if input.ndim < 2 or input.shape[1] != self.num_features:
            raise ValueError(
                f"SwitchableNorm: num_features={self.num_features}, and the input must be (N, {self.num_features}, "
                f"...); its shape is {input.shape}"
            )
        y = F.switchable_norm(
            input,
            self.mean_weight,
            self.var_weight,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training,
            self.next_momentum(),
            self.eps,
            using_in=self.using_in,
            using_bn=self.using_bn,
        )
        if self.training:
            self.count_batch(input)
        return y

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, using_in={self.using_in}, using_bn={self.using_bn}, "
            f"last_gamma={self.last_gamma}"
        )
