"""Kernels that subtract the mean of each channel, and nothing else.

The mean is kept as hi + lo, as in `kernels.norm`, and found from differences to the channel's first element: equal
elements give exactly 0. Infinite sums, of which such differences would make NaN, are taken once more without them.
"""

from typing import Any

import numpy as np

from minigrad.kernels.jit import inline, kernel, prange
from minigrad.kernels.norm import minus

COLUMNS = 64
"""So many neighbouring channels of (N, C) are one task."""


@inline
def write_mean(means: Any, c: Any, origin: Any, total: Any, n: Any) -> None:
    """μ = origin + total/n as hi + lo."""
    m = total / n
    hi = means.dtype.type(origin + m)
    means[0, c] = hi
    means[1, c] = minus(np.float64(origin), np.float64(hi)) + m if np.isfinite(total) else 0.0


@inline
def subtract(row: Any, out: Any, hi: Any, low: Any) -> None:
    """out = x − hi − low."""
    for j in range(row.size):
        out[j] = minus(minus(row[j], hi), low)


@kernel
def center_channels(x: Any, beta: Any, y: Any, means: Any) -> None:
    """y = x − μ + β for x, y: (N, C, S); means: (2, C)."""
    batch, channels, space = x.shape
    for c in prange(channels):
        origin = x[0, c, 0]
        total = 0.0
        for i in range(batch):
            for j in range(space):
                total += minus(np.float64(x[i, c, j]), np.float64(origin))
        if not np.isfinite(total):
            origin = x.dtype.type(0)
            total = 0.0
            for i in range(batch):
                for j in range(space):
                    total += np.float64(x[i, c, j])
        write_mean(means, c, origin, total, batch * space)
        for i in range(batch):
            subtract(x[i, c], y[i, c], means[0, c], means[1, c] - beta[c])


@kernel
def center_columns(x: Any, beta: Any, y: Any, means: Any) -> None:
    """y = x − μ + β for x, y: (N, C); means: (2, C)."""
    batch, channels = x.shape
    for task in prange((channels + COLUMNS - 1) // COLUMNS):
        first = task * COLUMNS
        last = min(first + COLUMNS, channels)
        totals = np.zeros(last - first)
        for i in range(batch):
            for c in range(first, last):
                totals[c - first] += minus(np.float64(x[i, c]), np.float64(x[0, c]))
        for c in range(first, last):
            origin = x[0, c]
            total = totals[c - first]
            if not np.isfinite(total):
                origin = x.dtype.type(0)
                total = 0.0
                for i in range(batch):
                    total += np.float64(x[i, c])
            write_mean(means, c, origin, total, batch)
        for i in range(batch):
            for c in range(first, last):
                y[i, c] = minus(minus(x[i, c], means[0, c]), means[1, c] - beta[c])
