"""Kernels of cosine similarity: one number for each pair of rows.

cos = x·y / (‖x‖ · ‖y‖),        each norm replaced by ε where it is smaller

∂cos/∂x = (ŷ − cos · x̂) / ‖x‖,        x̂ = x/‖x‖, ŷ = y/‖y‖;        without its second term where ‖x‖ < ε
"""

from typing import Any

import numpy as np

from minigrad.kernels.jit import inline, kernel, prange
from minigrad.kernels.rms import inverse_length


@inline
def products(x: Any, y: Any) -> Any:
    """Σ x·y, Σ x² and Σ y², in float64: a float32 holds neither the square of 1e-20 nor that of 1e20."""
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
    """x, y: (R, n). out: (R,). stats: (4, R), of float64, gets 1/‖x‖, 1/‖y‖, and what stands before x̂ and ŷ."""
    for r in prange(x.shape[0]):
        dot, squares_x, squares_y = products(x[r], y[r])
        inv_x, share_x = inverse_length(squares_x, eps)
        inv_y, share_y = inverse_length(squares_y, eps)
        cosine = dot * inv_x * inv_y
        out[r] = cosine
        stats[0, r], stats[1, r], stats[2, r], stats[3, r] = inv_x, inv_y, cosine * share_x, cosine * share_y


@inline
def gradient_row(x: Any, y: Any, inv_x: Any, inv_y: Any, slope: Any, scale: Any, dx: Any) -> None:
    """dx = (ŷ − x̂ · slope) · scale, in float64: of vectors that are almost parallel, almost nothing is left."""
    for j in range(x.size):
        dx[j] = (np.float64(y[j]) * inv_y - np.float64(x[j]) * inv_x * slope) * scale


@kernel
def cosine_backward(g: Any, x: Any, y: Any, inv_x: Any, inv_y: Any, slope: Any, dx: Any) -> None:
    """The gradient for one side. g, inv_x, inv_y, slope: (R,)."""
    for r in prange(x.shape[0]):
        gradient_row(x[r], y[r], inv_x[r], inv_y[r], slope[r], np.float64(g[r]) * inv_x[r], dx[r])
