"""Batch normalization of a batch that is spread over several processes."""

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from minigrad.autograd import Tensor
from minigrad.autograd.modes import modes
from minigrad.autograd.tensor import raw
from minigrad.kernels import norm as kernels
from minigrad.ops.collective import agree, all_reduce, world
from minigrad.ops.norm.batch import BatchNorm, batch_norm, channel_axes, per_channel
from minigrad.ops.norm.common import (
    affine,
    as_stats,
    check_channels,
    check_parameters,
    like,
    standardize,
    update_running,
)
from minigrad.ops.norm.moments import Moments
from minigrad.ops.reduction import sum


class SyncBatchNorm(BatchNorm):
    """Groups are channels, over the samples of all ranks.

    Args:
        channels: C.
        eps: ε.
        group: the communicator.
        count: n, the values of a channel on all ranks together.
    """

    def __init__(self, channels: int, eps: float, group: Any, count: int):
        super().__init__(channels, eps)
        self.group, self.count = group, count

    def composed(self, x: Any, gamma: Any, beta: Any) -> Any:
        """Algorithm 1 of the paper. Both sums over the mini-batch run over all ranks."""
        axes, shape = channel_axes(x), per_channel(x)
        mu = all_reduce(sum(x, axes, keepdim=True), self.group) / self.count
        deviation = x - mu
        variance = all_reduce(sum(deviation * deviation, axes, keepdim=True), self.group) / self.count
        return affine(standardize(x, mu, variance, self.eps), gamma, beta, shape)

    # The fused form makes two exchanges: one of the statistics, and in the backward pass one of the two sums that it
    # needs. Every rank takes part, also where x is empty or no gradient of x is wanted.

    def forward(self, x: Any, gamma: Any, beta: Any) -> Any:
        self.save_for_backward(x, gamma, beta)
        x = np.ascontiguousarray(x)
        y = np.empty(x.shape, x.dtype)
        moments = Moments(self.parameters)
        for part in self.group.allgather(self.own_moments(x, y)):
            moments.merge(*part)
        self.stats = stats = np.empty((4, self.parameters), x.dtype)
        with np.errstate(all="ignore"):  # an infinite value, or a variance of 0 without ε, shows in the result
            variance = moments.variance()
            stats[0] = moments.mean
            stats[1] = moments.mean - stats[0].astype(np.float64)
            stats[2] = 1 / np.sqrt(variance + self.eps)
            stats[3] = variance
        if x.size:
            self.run_forward(x, self.parameter(gamma, 1, x.dtype), self.parameter(beta, 0, x.dtype), y, True)
        return y

    def own_moments(self, x: Any, scratch: Any) -> tuple[int, Any, Any]:
        """Count, mean and Σ (x − μ)² of each channel of this rank's share. `scratch` is written to."""
        if not x.size:
            return 0, np.zeros(self.parameters), np.zeros(self.parameters)
        n = x.size // self.parameters
        self.stats = stats = np.empty((4, self.parameters), x.dtype)
        zeros = self.parameter(None, 0, x.dtype)
        self.run_forward(x, zeros, zeros, scratch, False)  # for the statistics, which it writes into self.stats
        with np.errstate(all="ignore"):
            mean, squares = stats[0].astype(np.float64) + stats[1], stats[3].astype(np.float64) * n
        # The kernel returns the variance in x's precision. If that overflowed, compute it again in float64.
        lost = ~((stats[3] > kernels.SMALLEST) & (stats[3] < np.inf))
        if lost.any():
            own = Moments(int(lost.sum()))
            own.add(x[:, lost], channel_axes(x))
            mean[lost], squares[lost] = own.mean, own.squares
        return n, mean, squares

    def gradients(self, g: Any, x: Any, gamma: Any, beta: Any) -> tuple[Any, Any, Any]:
        """With h = γ·g:  dx = (h − mean(h) − x̂ · mean(h·x̂)) / √(σ² + ε), the means over all ranks.

        The gradients of γ and β are this rank's share of the sums; added over the ranks they are those of the batch.
        """
        x, g = np.ascontiguousarray(x), np.ascontiguousarray(g)
        dx = np.empty(x.shape, x.dtype)
        dgamma, dbeta = np.zeros(self.parameters, x.dtype), np.zeros(self.parameters, x.dtype)
        scale = self.parameter(gamma, 1, x.dtype)
        if x.size:  # h / √(σ² + ε), as for given statistics, and the two sums
            self.run_backward(g, x, scale, dx, dgamma, dbeta, True)
        sums = all_reduce(np.stack((dgamma, dbeta)).astype(np.float64), self.group)
        if x.size:  # x̂ · mean(h·x̂) + mean(h) is one more scale and shift of x̂
            mean_hx, mean_h = (sums / self.count * scale).astype(x.dtype)
            rest = np.empty(x.shape, x.dtype)
            self.run_forward(x, mean_hx, mean_h, rest, True)
            rest *= self.stats[2].reshape(per_channel(x))
            dx -= rest
        return dx, None if gamma is None else like(dgamma, gamma), None if beta is None else like(dbeta, beta)


def sync_batch_norm(
    input: Any,
    running_mean: Any = None,
    running_var: Any = None,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    process_group: Any = None,
) -> Any:
    """Batch norm of a batch that is spread over several processes. The statistics are those of all samples together.

    y = (x − μ) / √(σ² + ε) · γ + β

    The four decisions: (1) all elements of a channel, over the samples of all processes and over space, share
    statistics; (2) the statistics are the mean and the biased variance; (3) they standardize x; (4) one γ and one β
    for each channel restore capacity. The result is `batch_norm` of the concatenated batch: outputs, gradients of
    every order and running averages are the same. Each process holds one part of the batch. Parts may differ in size
    and may be empty.

    The processes exchange counts, means and sums of squared deviations, which add up exactly (Chan's formula), and in
    the backward pass Σ g and Σ g·x̂. The gradient of x is that of the sum of all processes' losses. The gradients of γ
    and β are this process's share. As for any other parameter, add them over the processes before the optimizer's
    step.

    Start the processes with `mpiexec -n 2 python -m mpi4py train.py` (`-m mpi4py` ends all of them when one fails).
    All processes must call this function, and `backward()`, the same number of times. A process with an empty part
    passes an input of shape (0, C, *). A single process, or evaluation, runs `batch_norm` and exchanges nothing.

    Shapes:
        input (N_r, C) or (N_r, C, *) on rank r, output the same; everything else (C,).

    Args:
        input: x, this process's part of the batch.
        running_mean, running_var, weight, bias, training, momentum, eps: as for `batch_norm`. The averages are
            updated alike on all processes.
        process_group: an mpi4py communicator; default: all processes that `mpiexec` started.

    Raises:
        ImportError: there are several processes, and mpi4py is not installed.
        RuntimeError: another process got bad input, or another dtype or number of channels, or it computes without
            gradients while this one needs them. Every process gets the error, so none waits forever.
        ValueError, TypeError: as for `batch_norm`. One value per channel is too few only if all processes together
            have one.

    Differences from PyTorch: empty parts need no special care, and second derivatives are right. Keras has it as
    `BatchNormalization(synchronized=True)`.

    Source: Ioffe & Szegedy, arXiv 1502.03167. The synchronization has no paper of its own; the name is used in Zhang
    et al., "Context encoding for semantic segmentation", arXiv 1803.08904.

    Example:
        >>> import minigrad as mg
        >>> x = mg.tensor([[1.0, 10.0], [3.0, 30.0]])
        >>> mg.nn.functional.sync_batch_norm(x, training=True, eps=0.0).tolist()  # one process
        [[-1.0, -1.0], [1.0, 1.0]]
    """
    group = communicator("sync_batch_norm", process_group)
    if group is None or not training:
        return batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)
    parameters = running_mean, running_var, weight, bias
    return normalize_together(input, *parameters, momentum, eps, group)[0]


def communicator(op: str, process_group: Any) -> Any:
    """The group, or None for a process that is alone in it."""
    group = world() if process_group is None else process_group
    if group is None:
        return None
    if not hasattr(group, "allgather") or not hasattr(group, "size"):
        raise TypeError(f"{op}: process_group must be an mpi4py communicator, not a {type(group).__name__}")
    return None if group.size == 1 else group


def normalize_together(
    input: Any,
    running_mean: Any,
    running_var: Any,
    weight: Any,
    bias: Any,
    momentum: float,
    eps: float,
    group: Any,
    check: Callable[[], Any] = lambda: None,
) -> tuple[Any, int]:
    """`sync_batch_norm` in training, and how many values a channel has on all ranks. `check` is a layer's own."""
    op = "sync_batch_norm"
    x = raw(input)

    def check_all() -> None:
        check()
        check_channels(op, input)
        check_parameters(op, x, (x.shape[1],), weight, bias, running_mean, running_var)
        if (running_mean is None) != (running_var is None):
            raise ValueError(f"{op}: pass both running_mean and running_var, to be updated together, or neither")

    facts = {
        "the number of channels": np.shape(x)[1:2],
        "the dtype": str(getattr(x, "dtype", None)),
        "weight=None": weight is None,
        "bias=None": bias is None,
        "the recording of a graph": modes.grad
        and any(isinstance(t, Tensor) and t.requires_grad for t in (input, weight, bias)),
        "mg.composed()": modes.composed,
        # (`batch_norm_composed` exchanges the gradient of x only if x needs one; the fused form always exchanges.)
        "input.requires_grad": modes.composed and modes.grad and isinstance(input, Tensor) and input.requires_grad,
    }
    shape = np.shape(x)
    n = agree(op, group, facts, prod(shape[:1] + shape[2:]), check_all)
    if n == 1:
        raise ValueError(
            f"{op}: training needs more than one value per channel, and all {group.size} processes together have one: "
            "the variance of one value is 0. Use larger batches or evaluation mode (model.eval())"
        )
    norm = SyncBatchNorm(shape[1], eps, group, n)
    if n == 0 or shape[1] == 0:  # nothing anywhere: no rank has statistics to bring
        return batch_norm(input, None, None, weight, bias, True, 0.0, eps), 0
    if modes.composed:
        y = norm.composed(input, weight, bias)
        with np.errstate(all="ignore"):
            mu = all_reduce(x.sum(channel_axes(x), dtype=np.float64), group) / n
            squares = ((x - mu.reshape(per_channel(x))) ** 2).sum(channel_axes(x))
            stats = as_stats(mu, all_reduce(squares, group) / n).astype(x.dtype)
    else:
        y = norm(input, weight, bias)
        stats = norm.stats
    if running_mean is not None:
        update_running(op, running_mean, running_var, stats, n, momentum)
    return y, n
