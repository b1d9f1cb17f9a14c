"""Kernels for windows that slide along an axis: local response normalization, and sums over windows.

Every window is added up anew. A running sum, plus the element that enters and minus the one that leaves, would
keep for ever what a large element's rounding left in it, and NaN and infinity too. All arithmetic is in float64:
the square of a float32 then neither overflows nor vanishes.
"""

from typing import Any

import numpy as np

from minigrad.kernels.jit import inline, kernel, prange

STRIP = 64
"""So many neighbouring elements are one task: all channels of a strip stay in the cache."""


@inline
def add_squares(run: Any, total: Any) -> None:
    for j in range(run.size):
        total[j] += np.float64(run[j]) * np.float64(run[j])


@inline
def add(run: Any, total: Any) -> None:
    for j in range(run.size):
        total[j] += run[j]


@inline
def denominators(x: Any, c: Any, before: Any, after: Any, alpha: Any, k: Any, d: Any) -> None:
    """d = k + α Σ x² over the window of channel `c`; x: (C, strip)."""
    d[:] = 0
    for j in range(max(0, c - before), min(x.shape[0], c + after + 1)):
        add_squares(x[j], d)
    for j in range(d.size):
        d[j] = k + alpha * d[j]


@inline
def inverse_powers(d: Any, beta: Any, out: Any) -> None:
    """out = d^−β. Roots take a few cycles, and several at once; a general power takes a hundred."""
    if beta == 0.75:
        for j in range(d.size):
            inverse_root = 1.0 / np.sqrt(d[j])
            out[j] = inverse_root * np.sqrt(inverse_root)
    elif beta == 0.5:
        for j in range(d.size):
            out[j] = 1.0 / np.sqrt(d[j])
    elif beta == 1.0:
        for j in range(d.size):
            out[j] = 1.0 / d[j]
    else:
        for j in range(d.size):
            out[j] = d[j] ** -beta


@inline
def multiply(run: Any, factor: Any, out: Any) -> None:
    for j in range(run.size):
        out[j] = run[j] * factor[j]


@inline
def direct_and_shared(g: Any, run: Any, d: Any, direct: Any, shared: Any) -> None:
    """direct: d^−β → g d^−β, what reaches x by the numerator; shared = x · direct / d, what d sends to its window."""
    for j in range(run.size):
        direct[j] *= g[j]
        shared[j] = direct[j] * run[j] / d[j]


@inline
def subtract_product(direct: Any, run: Any, total: Any, slope: Any, out: Any) -> None:
    """out = direct − slope · x · total."""
    for j in range(run.size):
        out[j] = direct[j] - slope * run[j] * total[j]


@kernel
def response_forward(x: Any, before: int, after: int, alpha: float, beta: float, k: float, y: Any) -> None:
    """y = x · d^−β,  d = k + α Σ x² over the channels from c − before to c + after.  x, y: (N, C, S)."""
    batch, channels, space = x.shape
    strips = (space + STRIP - 1) // STRIP
    for task in prange(batch * strips):
        i, first = task // strips, task % strips * STRIP
        last = min(space, first + STRIP)
        d = np.empty(last - first)
        for c in range(channels):
            denominators(x[i, :, first:last], c, before, after, alpha, k, d)
            inverse_powers(d, beta, d)
            multiply(x[i, c, first:last], d, y[i, c, first:last])


@kernel
def response_backward(g: Any, x: Any, before: int, after: int, alpha: float, beta: float, k: float, dx: Any) -> None:
    """dx_c = g_c d_c^−β − 2αβ x_c Σ g_j x_j d_j^−(β+1) over those j in whose windows c is."""
    batch, channels, space = x.shape
    strips = (space + STRIP - 1) // STRIP
    slope = 2 * alpha * beta
    for task in prange(batch * strips):
        i, first = task // strips, task % strips * STRIP
        last = min(space, first + STRIP)
        d = np.empty(last - first)
        direct, shared = np.empty((channels, last - first)), np.empty((channels, last - first))
        for c in range(channels):
            denominators(x[i, :, first:last], c, before, after, alpha, k, d)
            inverse_powers(d, beta, direct[c])
            direct_and_shared(g[i, c, first:last], x[i, c, first:last], d, direct[c], shared[c])
        for c in range(channels):
            d[:] = 0
            for j in range(max(0, c - after), min(channels, c + before + 1)):  # the windows, seen from inside
                add(shared[j], d)
            subtract_product(direct[c], x[i, c, first:last], d, slope, dx[i, c, first:last])


@kernel
def window_sums(x: Any, before: int, after: int, out: Any) -> None:
    """out[a, i] = Σ x[a, j] over j from i − before to i + after.  x, out: (A, n, B), of float64."""
    lines, n, _ = x.shape
    for a in prange(lines):
        for i in range(n):
            out[a, i] = 0
            for j in range(max(0, i - before), min(n, i + after + 1)):
                add(x[a, j], out[a, i])
