"""Batch renormalization layers."""

from typing import Any

import numpy as np

from minigrad.autograd import Tensor
from minigrad.autograd.tensor import raw
from minigrad.nn import functional as F
from minigrad.nn.norm.common import ChannelNorm
from minigrad.nn.norm.population import ChannelPopulation


class DeviationPopulation(ChannelPopulation):
    """Mean and deviation, √(σ² + ε), over everything that was added."""

    def store(self) -> None:
        """Set the layer's averages."""
        self.layer.running_mean.copy_(self.moments.mean)
        self.layer.running_std.copy_(np.sqrt(self.moments.variance() + self.layer.eps))


class _BatchRenorm(ChannelNorm):
    averages = {"running_mean": 0, "running_std": 1}
    running_std: Tensor

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.01,
        affine: bool = True,
        *,
        r_max: float = 3.0,
        d_max: float = 5.0,
        start: int = 5_000,
        r_end: int = 40_000,
        d_end: int = 25_000,
        bias: bool = True,
        dtype: Any = None,
    ):
        super().__init__(num_features, eps, momentum, affine, True, bias=bias, dtype=dtype)
        name = type(self).__name__
        if not (r_max >= 1 and d_max >= 0):
            raise ValueError(f"{name}: the limits must be r_max ≥ 1 and d_max ≥ 0, not r_max={r_max}, d_max={d_max}")
        if start < 0 or min(r_end, d_end) < start:
            raise ValueError(
                f"{name}: the limits widen from step start={start} to r_end={r_end} and d_end={d_end}, which must not "
                "come before it"
            )
        self.r_max, self.d_max, self.start, self.r_end, self.d_end = r_max, d_max, start, r_end, d_end

    def limits(self, step: int | None = None) -> tuple[float, float]:
        """(r_max, d_max) for the training step that comes after `step` others; by default for the next one.

        Example:
            >>> import minigrad as mg
            >>> norm = mg.nn.BatchRenorm1d(3)
            >>> norm.limits(), norm.limits(15_000), norm.limits(40_000)
            ((1.0, 0.0), (1.5714285714285714, 2.5), (3.0, 5.0))
        """
        step = self.batches_seen if step is None else step

        def share(end: int) -> float:
            """The share of the way that is done, from 0 to 1."""
            return 1.0 if step >= end else max(0.0, (step - self.start) / (end - self.start))

        return 1 + (self.r_max - 1) * share(self.r_end), self.d_max * share(self.d_end)

    def forward(self, input: Tensor) -> Tensor:
        self.check_input(input, 1)
        y = F.batch_renorm(
            input,
            self.running_mean,
            self.running_std,
            self.weight,
            self.bias,
            self.training,
            self.next_momentum(),
            self.eps,
            *self.limits(),
        )
        if self.training:
            self.count_batch(input)
        return y

    def population_statistics(self) -> Any:
        """The object that `nn.utils.recompute_statistics` feeds with this layer's inputs."""
        return DeviationPopulation(self)

    def in_evaluation(self) -> tuple[Any, Any, Any]:
        """(mean, scale, shift), float64: in evaluation y = (x − mean) · scale + shift, for each channel."""
        mean, scale = raw(self.running_mean).astype(np.float64), 1 / raw(self.running_std).astype(np.float64)
        if self.weight is not None:
            scale = scale * raw(self.weight)
        return mean, scale, np.zeros_like(mean) if self.bias is None else raw(self.bias).astype(np.float64)

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, r_max={self.r_max}, d_max={self.d_max}, start={self.start}, "
            f"r_end={self.r_end}, d_end={self.d_end}"
        )


class BatchRenorm1d(_BatchRenorm):
    """Batch norm whose output in training is that of evaluation, as far as two limits allow.

    training: x̂ = (x − μ_B)/σ_B · r + d, evaluation: x̂ = (x − μ)/σ, and y = γ x̂ + β; see `functional.batch_renorm`.

    Training begins as batch norm, because the running averages mean nothing yet: r_max = 1 and d_max = 0 up to step
    `start`. Then r_max grows linearly to its final value at step `r_end`, and d_max to its final value at step
    `d_end`. `num_batches_tracked` counts the steps, so the count is saved and loaded with the model. The paper's
    schedule, the default, is for training over hundreds of thousands of steps; scale it down for shorter ones.

    Args:
        num_features: C, the number of channels.
        eps: ε, under the root.
        momentum: the weight of the new batch in the running averages; None averages all batches equally.
        affine: False leaves γ (`weight`) and β (`bias`) out.
        r_max, d_max: the final limits.
        start, r_end, d_end: between these steps the limits widen. All 0: the final limits hold from the beginning.
        bias: False leaves only β out.
        dtype: of parameters and averages; float32 by default.

    Shapes:
        (N, C) or (N, C, L) → the same.

    Raises:
        ValueError: another number of channels or axes; one value per channel in training; limits below 1 and 0; a
            schedule that ends before it starts.

    The buffers are `running_mean` and `running_std`: an average of deviations, with ε in them, as in the paper. To
    continue from a batch norm's averages, set `running_std` to √(running_var + ε).

    Source: Ioffe, "Batch renormalization", arXiv 1702.03275.

    Example:
        >>> import minigrad as mg
        >>> norm = mg.nn.BatchRenorm1d(2, start=0, r_end=0, d_end=0)
        >>> norm.limits()
        (3.0, 5.0)
        >>> y = norm(mg.tensor([[1.0, 10.0], [3.0, 30.0]]))
        >>> norm.running_mean.tolist()  # 0.99 · 0 + 0.01 · μ
        [0.019999999552965164, 0.20000000298023224]
    """

    input_ndims, layouts = (2, 3), "(N, C) or (N, C, L)"


class BatchRenorm2d(_BatchRenorm):
    """`BatchRenorm1d` for pictures, (N, C, H, W)."""

    input_ndims, layouts = (4,), "(N, C, H, W)"


class BatchRenorm3d(_BatchRenorm):
    """`BatchRenorm1d` for volumes, (N, C, D, H, W)."""

    input_ndims, layouts = (5,), "(N, C, D, H, W)"
