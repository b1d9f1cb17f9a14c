"""Kernels of cosine similarity: one number for each pair of vectors.

cos = x·y / (‖x‖ · ‖y‖),        each norm is replaced by ε if it is smaller

∂cos/∂x = (ŷ − cos · x̂) / ‖x‖,        x̂ = x/‖x‖, ŷ = y/‖y‖;        without its second term where ‖x‖ < ε
"""

from typing import Any

import numpy as np

from minigrad.kernels.jit import inline, kernel, prange
from minigrad.kernels.rms import LANE, inverse_length

# -- rows: vectors are contiguous ----------------------------------------------------------------------------


@inline
def products(x: Any, y: Any) -> Any:
    """Σ x·y, Σ x² and Σ y², in float64: float32 can hold neither the square of 1e-20 nor the square of 1e20."""
    dot = 0.0
    squares_x = 0.0
    squares_y = 0.0
    for j in range(x.size):
        a, b = np.float64(x[j]), np.float64(y[j])
        dot += a * b
        squares_x += a * a
        squares_y += b * b
    return dot, squares_x, squares_y


@kernel
def cosine_forward(x: Any, y: Any, eps: float, out: Any, stats: Any) -> None:
    """x, y: (R, n). out: (R,). stats: (4, R), of float64, gets 1/‖x‖, 1/‖y‖, and the factors of x̂ and ŷ."""
    for r in prange(x.shape[0]):
        dot, squares_x, squares_y = products(x[r], y[r])
        inv_x, share_x = inverse_length(squares_x, eps)
        inv_y, share_y = inverse_length(squares_y, eps)
        cosine = dot * inv_x * inv_y
        out[r] = cosine
        stats[0, r], stats[1, r], stats[2, r], stats[3, r] = inv_x, inv_y, cosine * share_x, cosine * share_y


@inline
def gradient_row(x: Any, y: Any, inv_x: Any, inv_y: Any, slope: Any, scale: Any, dx: Any) -> None:
    """dx = (ŷ − x̂ · slope) · scale, in float64: if the vectors are almost parallel, the difference is tiny."""
    for j in range(x.size):
        dx[j] = (np.float64(y[j]) * inv_y - np.float64(x[j]) * inv_x * slope) * scale


@kernel
def cosine_backward(g: Any, x: Any, y: Any, inv_x: Any, inv_y: Any, slope: Any, dx: Any) -> None:
    """The gradient for one side. g, inv_x, inv_y, slope: (R,)."""
    for r in prange(x.shape[0]):
        gradient_row(x[r], y[r], inv_x[r], inv_y[r], slope[r], np.float64(g[r]) * inv_x[r], dx[r])


# -- across channels: vectors are strided, x[i, :, s] --------------------------------------------------------


@inline
def add_products(x: Any, y: Any, sums: Any) -> None:
    """`products` of many vectors at once, to which this adds one element of each. sums: (3, S)."""
    for s in range(x.size):
        a, b = np.float64(x[s]), np.float64(y[s])
        sums[0, s] += a * b
        sums[1, s] += a * a
        sums[2, s] += b * b


@kernel
def cosine_across_forward(x: Any, y: Any, eps: float, out: Any, stats: Any) -> None:
    """x, y: (N, C, S). out: (N, S). stats: (4, N, S), as those of `cosine_forward`."""
    batch, channels, space = x.shape
    lanes = (space + LANE - 1) // LANE
    for task in prange(batch * lanes):
        i, first = task // lanes, task % lanes * LANE
        last = min(first + LANE, space)
        sums = np.zeros((3, last - first))
        for c in range(channels):
            add_products(x[i, c, first:last], y[i, c, first:last], sums)
        for s in range(first, last):
            inv_x, share_x = inverse_length(sums[1, s - first], eps)
            inv_y, share_y = inverse_length(sums[2, s - first], eps)
            cosine = sums[0, s - first] * inv_x * inv_y
            out[i, s] = cosine
            stats[0, i, s], stats[1, i, s] = inv_x, inv_y
            stats[2, i, s], stats[3, i, s] = cosine * share_x, cosine * share_y


@inline
def gradient_across(x: Any, y: Any, a: Any, b: Any, dx: Any) -> None:
    """dx = y · a − x · b, one element of each vector."""
    for s in range(x.size):
        dx[s] = np.float64(y[s]) * a[s] - np.float64(x[s]) * b[s]


@kernel
def cosine_across_backward(g: Any, x: Any, y: Any, inv_x: Any, inv_y: Any, slope: Any, dx: Any) -> None:
    """The gradient for one side. g, inv_x, inv_y, slope: (N, S)."""
    batch, channels, space = x.shape
    lanes = (space + LANE - 1) // LANE
    for task in prange(batch * lanes):
        i, first = task // lanes, task % lanes * LANE
        last = min(first + LANE, space)
        factors = np.empty((2, last - first))
        for s in range(first, last):
            scale = np.float64(g[i, s]) * inv_x[i, s]
            factors[0, s - first], factors[1, s - first] = inv_y[i, s] * scale, inv_x[i, s] * slope[i, s] * scale
        for c in range(channels):
            gradient_across(x[i, c, first:last], y[i, c, first:last], factors[0], factors[1], dx[i, c, first:last])
