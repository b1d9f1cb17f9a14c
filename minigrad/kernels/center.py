"""Kernels that subtract the mean of each channel, and nothing else.

The mean is kept as hi + lo, as in `kernels.norm`, and computed from differences to the channel's first element, in
float64. So equal elements give exactly 0, and the first element may be far from the others. If a sum is infinite, it
is computed again without differences, which would give NaN.
"""

from typing import Any

import numpy as np

from minigrad.kernels.jit import inline, kernel, prange
from minigrad.kernels.norm import CHUNK, minus, wide_sum_from


@inline
def write_mean(means: Any, c: Any, origin: Any, total: Any, n: Any) -> None:
    """μ = origin + total/n as hi + lo."""
    m = total / n
    hi = means.dtype.type(origin + m)
    means[0, c] = hi
    means[1, c] = minus(np.float64(origin), np.float64(hi)) + m if abs(total) < np.inf else 0.0


@inline
def add_wide_from(row: Any, origin: Any, total: Any) -> None:
    """total += x − origin, column by column, in float64."""
    for j in range(row.size):
        total[j] += minus(np.float64(row[j]), np.float64(origin[j]))


@inline
def subtract(run: Any, out: Any, hi: Any, low: Any) -> None:
    """out = x − hi − low."""
    for j in range(run.size):
        out[j] = minus(minus(run[j], hi), low)


@inline
def subtract_columns(row: Any, out: Any, hi: Any, low: Any) -> None:
    """out = x − hi − low, column by column."""
    for j in range(row.size):
        out[j] = minus(minus(row[j], hi[j]), low[j])


@kernel
def center_channels(x: Any, beta: Any, y: Any, means: Any) -> None:
    """y = x − μ + β for x, y: (N, C, S); means: (2, C)."""
    batch, channels, space = x.shape
    for c in prange(channels):
        origin = x[0, c, 0]
        total = 0.0
        for i in range(batch):
            total += wide_sum_from(x[i, c], origin)
        if not abs(total) < np.inf:
            origin = x.dtype.type(0)
            total = 0.0
            for i in range(batch):
                total += wide_sum_from(x[i, c], origin)
        write_mean(means, c, origin, total, batch * space)
        for i in range(batch):
            subtract(x[i, c], y[i, c], means[0, c], means[1, c] - beta[c])


@kernel
def center_columns(x: Any, beta: Any, y: Any, means: Any) -> None:
    """y = x − μ + β for x, y: (N, C); means: (2, C). A task is a chunk of whole rows."""
    batch, channels = x.shape
    chunks = (batch + CHUNK - 1) // CHUNK
    sums = np.zeros((chunks, channels))
    for chunk in prange(chunks):
        for i in range(chunk * CHUNK, min(batch, chunk * CHUNK + CHUNK)):
            add_wide_from(x[i], x[0], sums[chunk])
    low = np.empty(channels, x.dtype)
    for c in range(channels):
        origin = x[0, c]
        total = 0.0
        for chunk in range(chunks):
            total += sums[chunk, c]
        if not abs(total) < np.inf:
            origin = x.dtype.type(0)
            total = wide_sum_from(x[:, c], origin)
        write_mean(means, c, origin, total, batch)
        low[c] = means[1, c] - beta[c]
    for chunk in prange(chunks):
        for i in range(chunk * CHUNK, min(batch, chunk * CHUNK + CHUNK)):
            subtract_columns(x[i], y[i], means[0], low)
