"""Mean-only batch normalization layers."""

from typing import Any

import numpy as np

from minigrad.autograd import Tensor
from minigrad.autograd.tensor import raw
from minigrad.nn import functional as F
from minigrad.nn.norm.common import ChannelNorm
from minigrad.nn.parameter import Parameter


class _MeanOnlyBatchNorm(ChannelNorm):
    averages = {"running_mean": 0}
    running_var = None  # there is none to recompute

    def __init__(
        self,
        num_features: int,
        momentum: float | None = 0.1,
        bias: bool = True,
        track_running_stats: bool = True,
        *,
        dtype: Any = None,
    ):
        super().__init__(num_features, 0.0, momentum, False, track_running_stats, bias=False, dtype=dtype)
        if bias:
            self.bias = Parameter(np.zeros(num_features, np.float32 if dtype is None else dtype))

    def forward(self, input: Tensor) -> Tensor:
        self.check_input(input, 1)
        if not self.training:
            return F.mean_only_batch_norm(input, self.running_mean, self.bias, self.running_mean is None, 0.0)
        average = self.running_mean if self.track_running_stats else None
        y = F.mean_only_batch_norm(input, average, self.bias, True, self.next_momentum())
        self.count_batch(input)
        return y

    def in_evaluation(self) -> tuple[Any, Any, Any]:
        """(mean, scale, shift), float64: in evaluation y = (x − mean) · scale + shift, for each channel."""
        if self.running_mean is None:
            raise ValueError(f"{type(self).__name__}: it keeps no running mean to subtract in evaluation")
        mean = raw(self.running_mean).astype(np.float64)
        zero = np.zeros_like(mean)
        return mean, zero + 1, zero if self.bias is None else raw(self.bias).astype(np.float64)

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, momentum={self.momentum}, bias={self.bias is not None}, "
            f"track_running_stats={self.track_running_stats}"
        )


class MeanOnlyBatchNorm1d(_MeanOnlyBatchNorm):
    """Subtract the mean of the mini-batch from each channel; in evaluation a running average of it.

    y = x − μ + β; see `functional.mean_only_batch_norm`. Put it after a layer with weight normalization. Give that
    layer no bias: subtracting the mean would remove it.

    Args:
        num_features: C, the number of channels.
        momentum: the weight of the new batch in the running average; None averages all batches equally.
        bias: False leaves β out.
        track_running_stats: False keeps no average; evaluation then uses the batch's mean as well.
        dtype: of bias and average; float32 by default.

    Shapes:
        (N, C) or (N, C, L) → the same.

    Raises:
        ValueError: another number of channels or axes.

    Source: Salimans & Kingma, "Weight normalization", arXiv 1602.07868, section 4.

    Example:
        >>> import minigrad as mg
        >>> norm = mg.nn.MeanOnlyBatchNorm1d(2)
        >>> norm(mg.tensor([[1.0, 10.0], [3.0, 30.0]])).tolist()
        [[-1.0, -10.0], [1.0, 10.0]]
    """

    input_ndims, layouts = (2, 3), "(N, C) or (N, C, L)"


class MeanOnlyBatchNorm2d(_MeanOnlyBatchNorm):
    """`MeanOnlyBatchNorm1d` for pictures, (N, C, H, W)."""

    input_ndims, layouts = (4,), "(N, C, H, W)"


class MeanOnlyBatchNorm3d(_MeanOnlyBatchNorm):
    """`MeanOnlyBatchNorm1d` for volumes, (N, C, D, H, W)."""

    input_ndims, layouts = (5,), "(N, C, D, H, W)"
