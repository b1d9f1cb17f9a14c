"""Ghost batch normalization."""

from typing import Any

import numpy as np

from minigrad.autograd.modes import modes
from minigrad.ops.norm.batch import (
    batch_norm,
    channel_axes,
    elements,
    per_channel,
)
from minigrad.ops.norm.common import (
    ChannelNorm,
    affine,
    as_stats,
    check_channels,
    check_parameters,
    moments,
    standardize,
    update_running,
)
from minigrad.ops.shape import cat


class GhostBatchNorm(ChannelNorm):
    """Batch norm of each ghost alone. A ghost is a run of `size` samples.

    Attributes:
        every: the statistics of each ghost, as `ChannelNorm` leaves them.
    """

    def __init__(self, channels: int, size: int, eps: float):
        self.parameters, self.size, self.eps = channels, size, float(eps)
        self.every: list[Any] = []

    def ghosts(self, batch: int) -> list[slice]:
        """The samples of each ghost. The last one may be smaller."""
        return [slice(first, min(first + self.size, batch)) for first in range(0, batch, self.size)]

    def composed(self, x: Any, gamma: Any, beta: Any) -> Any:
        """Algorithm 1 of the paper: each ghost by its own μ and σ²."""
        axes = channel_axes(x)
        parts = [x[ghost] for ghost in self.ghosts(x.shape[0])] or [x]
        x_hat = cat([standardize(part, *moments(part, axes), self.eps) for part in parts], 0)
        return affine(x_hat, gamma, beta, per_channel(x))

    def normalize(self, x: Any, gamma: Any, beta: Any, y: Any) -> None:
        for ghost in self.ghosts(len(x)):
            super().normalize(x[ghost], gamma, beta, y[ghost])
            self.every.append(self.stats)

    def differentiate(self, g: Any, x: Any, gamma: Any, dx: Any, dgamma: Any, dbeta: Any) -> None:
        parts = np.empty((2, len(self.every), self.parameters), x.dtype)
        for i, ghost in enumerate(self.ghosts(len(x))):
            self.stats = self.every[i]
            super().differentiate(g[ghost], x[ghost], gamma, dx[ghost], parts[0, i], parts[1, i])
        dgamma[...], dbeta[...] = parts.sum(1, dtype=np.float64)


def ghost_batch_norm(
    input: Any,
    ghost_size: int,
    running_mean: Any = None,
    running_var: Any = None,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float | None = 0.1,
    eps: float = 1e-5,
    *,
    ghosts_seen: int = 0,
) -> Any:
    """Batch norm that sees a large batch as many small ones, the ghosts.

    y = (x − μ) / √(σ² + ε) · γ + β,  μ and σ² those of the ghost that x belongs to

    The noise of small batches' statistics makes networks generalize better. Ghosts keep it where batches are large
    for the sake of speed.

    The four decisions: (1) all elements of a channel, over the samples of a ghost and over space, share statistics;
    (2) the statistics are the mean and the biased variance; (3) they standardize x; (4) one γ and one β for each
    channel, the same in all ghosts, restore capacity. In evaluation there are no ghosts: running averages are used, as
    in `batch_norm`. With one ghost, this is `batch_norm`.

    Shapes:
        input (N, C) or (N, C, *), output the same; everything else (C,).

    Args:
        input: x, floating-point.
        ghost_size: number of samples in a ghost: the first `ghost_size` samples are the first ghost, and so on. The
            last ghost is smaller where `ghost_size` does not divide N.
        running_mean, running_var: averages of μ and of the *unbiased* variance. In training each ghost, in order,
            updates them in place; see below. Pass both or neither.
        weight, bias: γ and β; None means 1 and 0.
        training: True: use the statistics of the ghosts. False: use the running averages.
        momentum: η, the weight of a new value; None: the k-th ghost has weight 1/k, so that all ghosts count alike.
        eps: ε, under the root.
        ghosts_seen: how many ghosts are in the averages already, for `momentum=None`.

    Raises:
        ValueError: one value per channel in a ghost (one value has no variance); a shape that does not fit; only one
            of the running averages; no running averages in evaluation.
        TypeError: an input that is not floating-point, or dtypes that differ.

    K ghosts move a running average as K batches in a row would:

        running ← (1 − η)ᴷ · running + Σ_l (1 − η)ᴷ⁻ˡ · η · new_l,    l = 1, ..., K

    The paper prints the exponents as |B_S|, the size of a ghost, and l. Those weights do not add up to 1: even equal
    ghosts would not keep the average at their value. The paper also averages the deviation. This function averages the
    unbiased variance, so that with one ghost it equals `batch_norm` in evaluation as well. PyTorch and Keras have no
    such function; Keras 2 had an argument `virtual_batch_size`.

    Source: Hoffer, Hubara & Soudry, "Train longer, generalize better", arXiv 1705.08741, algorithm 1.

    Example:
        >>> import minigrad as mg
        >>> x = mg.tensor([[1.0], [3.0], [10.0], [30.0]])
        >>> mg.nn.functional.ghost_batch_norm(x, 2, training=True, eps=0.0).tolist()
        [[-1.0], [1.0], [-1.0], [1.0]]
    """
    op = "ghost_batch_norm"
    x = check_channels(op, input)
    if ghost_size < 1:
        raise ValueError(f"{op}: a ghost has at least one sample, and ghost_size={ghost_size}")
    check_parameters(op, x, (x.shape[1],), weight, bias, running_mean, running_var)
    if (running_mean is None) != (running_var is None):
        raise ValueError(f"{op}: pass both running_mean and running_var, to be updated together, or neither")
    if not training:
        if running_mean is None:
            raise ValueError(
                f"{op}: without training, running_mean and running_var are needed; pass both, or training=True to "
                "normalize by the ghosts' own statistics"
            )
        return batch_norm(input, running_mean, running_var, weight, bias, False, 0.0, eps)
    norm = GhostBatchNorm(x.shape[1], int(ghost_size), eps)
    ghosts = norm.ghosts(len(x))
    if any(elements(x[ghost]) == 1 for ghost in ghosts[:1] + ghosts[-1:]):
        raise ValueError(
            f"{op}: training needs more than one value per channel in every ghost, and an input of shape {x.shape} "
            f"with ghost_size={ghost_size} ends in a ghost of one: its variance is 0. Use another ghost_size, batches "
            "that it divides (drop_last=True drops a small last one), or evaluation mode"
        )
    if modes.composed:
        y = norm.composed(input, weight, bias)
        every = [as_stats(*moments(x[ghost], channel_axes(x))) for ghost in ghosts]
    else:
        y = norm(input, weight, bias)
        every = norm.every
    if running_mean is not None and x.size:
        for k, (ghost, stats) in enumerate(zip(ghosts, every, strict=True), ghosts_seen + 1):
            weighs = 1 / k if momentum is None else momentum
            update_running(op, running_mean, running_var, stats, elements(x[ghost]), weighs)
    return y
