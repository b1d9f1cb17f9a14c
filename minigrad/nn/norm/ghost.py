"""Ghost batch normalization layers."""

from typing import Any

from minigrad.autograd import Tensor
from minigrad.nn import functional as F
from minigrad.nn.norm.batch import _BatchNorm
from minigrad.nn.norm.population import has_variance


class _GhostBatchNorm(_BatchNorm):
    def __init__(
        self,
        num_features: int,
        ghost_size: int = 128,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        *,
        bias: bool = True,
        dtype: Any = None,
    ):
        super().__init__(num_features, eps, momentum, affine, track_running_stats, bias=bias, dtype=dtype)
        if ghost_size < 1:
            raise ValueError(f"{type(self).__name__}: a ghost has at least one sample, and ghost_size={ghost_size}")
        self.ghost_size = ghost_size

    def forward(self, input: Tensor) -> Tensor:
        if not self.training and self.running_mean is not None:
            return super().forward(input)
        self.check_input(input, 1)
        moves = self.training and self.track_running_stats
        y = F.ghost_batch_norm(
            input,
            self.ghost_size,
            self.running_mean if moves else None,
            self.running_var if moves else None,
            self.weight,
            self.bias,
            True,
            self.momentum,
            self.eps,
            ghosts_seen=self.batches_seen,
        )
        if moves:
            self.count_batch(input, by=-(-input.shape[0] // self.ghost_size))
        return y

    def has_variance(self, x: Any) -> bool:
        """True if the last ghost, which is the smallest, has more than one value per channel. (See `population`.)"""
        return has_variance(x[: len(x) % self.ghost_size or self.ghost_size])

    def extra_repr(self) -> str:
        return f"{self.num_features}, ghost_size={self.ghost_size}, {super().extra_repr().partition(', ')[2]}"


class GhostBatchNorm1d(_GhostBatchNorm):
    """`BatchNorm1d` that in training sees a large batch as many small ones, the ghosts.

    y = (x − μ) / √(σ² + ε) · γ + β, with the statistics of the ghost; see `functional.ghost_batch_norm`.

    Args:
        num_features: C, the number of channels.
        ghost_size: samples in a ghost; 128 in the paper, for batches of 4,096. The last ghost of a batch may be
            smaller.
        eps: ε, under the root.
        momentum: the weight of a new ghost in the running averages; None averages all ghosts equally.
        affine: False leaves γ (`weight`) and β (`bias`) out.
        track_running_stats: False keeps no averages; evaluation then uses the ghosts' statistics as well.
        bias: False leaves only β out.
        dtype: of parameters and averages; float32 by default.

    Shapes:
        (N, C) or (N, C, L) → the same.

    Raises:
        ValueError: another number of channels or axes; one value per channel in a ghost.

    Evaluation is batch norm's. Every ghost counts as one batch in `num_batches_tracked`; state dictionaries are those
    of `BatchNorm1d`.

    Source: Hoffer, Hubara & Soudry, "Train longer, generalize better", arXiv 1705.08741.

    Example:
        >>> import minigrad as mg
        >>> norm = mg.nn.GhostBatchNorm1d(1, ghost_size=2, eps=0.0)
        >>> norm(mg.tensor([[1.0], [3.0], [10.0], [30.0]])).tolist()
        [[-1.0], [1.0], [-1.0], [1.0]]
        >>> norm.num_batches_tracked.item()
        2
    """

    input_ndims, layouts = (2, 3), "(N, C) or (N, C, L)"


class GhostBatchNorm2d(_GhostBatchNorm):
    """`GhostBatchNorm1d` for pictures, (N, C, H, W)."""

    input_ndims, layouts = (4,), "(N, C, H, W)"


class GhostBatchNorm3d(_GhostBatchNorm):
    """`GhostBatchNorm1d` for volumes, (N, C, D, H, W)."""

    input_ndims, layouts = (5,), "(N, C, D, H, W)"
