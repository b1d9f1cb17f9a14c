"""Batch normalization layers."""

from typing import Any

import numpy as np

from minigrad.autograd import Tensor
from minigrad.autograd.tensor import raw
from minigrad.nn import functional as F
from minigrad.nn.norm.common import ChannelNorm


class _BatchNorm(ChannelNorm):
    def forward(self, input: Tensor) -> Tensor:
        self.check_input(input, 1)
        mean, var = self.running_mean, self.running_var
        if not self.training:
            by_batch = mean is None and var is None
            return F.batch_norm(input, mean, var, self.weight, self.bias, by_batch, 0.0, self.eps)
        if not self.track_running_stats or self.num_batches_tracked is None:
            return F.batch_norm(input, None, None, self.weight, self.bias, True, 0.0, self.eps)
        y = F.batch_norm(input, mean, var, self.weight, self.bias, True, self.next_momentum(), self.eps)
        self.count_batch(input)
        return y

    def in_evaluation(self) -> tuple[Any, Any, Any]:
        """(mean, scale, shift), float64: in evaluation y = (x − mean) · scale + shift, for each channel."""
        if self.running_mean is None or self.running_var is None:
            raise ValueError(f"{type(self).__name__}: it keeps no running statistics to normalize by in evaluation")
        mean, variance = (raw(t).astype(np.float64) for t in (self.running_mean, self.running_var))
        scale = 1 / np.sqrt(variance + self.eps)
        if self.weight is not None:
            scale = scale * raw(self.weight)
        return mean, scale, np.zeros_like(mean) if self.bias is None else raw(self.bias).astype(np.float64)


class BatchNorm1d(_BatchNorm):
    """Normalize each channel by the mean and variance of the mini-batch; in evaluation by running averages of them.

    y = (x − μ) / √(σ² + ε) · γ + β; see `functional.batch_norm` for the details and for the differences from PyTorch
    and Keras.

    Args:
        num_features: C, the number of channels.
        eps: ε, under the root.
        momentum: the weight of the new batch in the running averages; None averages all batches equally.
        affine: False leaves γ (`weight`) and β (`bias`) out.
        track_running_stats: False keeps no averages; evaluation then uses the batch's statistics as well.
        bias: False leaves only β out.
        dtype: of parameters and averages; float32 by default.

    Shapes:
        (N, C) or (N, C, L) → the same.

    Raises:
        ValueError: another number of channels or axes; one value per channel in training.

    `requires_grad=False` on γ and β does not stop the running averages: `nn.utils.freeze_statistics` does. After
    training, `nn.utils.recompute_statistics` replaces them by the statistics of the whole training set.

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
