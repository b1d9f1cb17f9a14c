"""Kernels of the scale and shift that a condition decides: y = γ x̂ + β, with a γ and a β for each run of elements."""

from typing import Any

import numpy as np

from minigrad.kernels.jit import inline, kernel, prange
from minigrad.kernels.norm import BLOCK


@kernel
def modulate(x_hat: Any, gamma: Any, beta: Any, y: Any) -> None:
    """x_hat, y: (R, S). gamma, beta: (R,)."""
    rows, n = x_hat.shape
    for r in prange(rows):
        scale, shift = gamma[r], beta[r]
        for j in range(n):
            y[r, j] = x_hat[r, j] * scale + shift


@inline
def sums(g: Any, x_hat: Any) -> Any:
    """Σ g and Σ g·x̂ over at most a block."""
    total = g.dtype.type(0)
    dot = g.dtype.type(0)
    for j in range(g.size):
        total += g[j]
        dot += g[j] * x_hat[j]
    return np.float64(total), np.float64(dot)


@kernel
def modulate_backward(g: Any, x_hat: Any, gamma: Any, dx_hat: Any, dgamma: Any, dbeta: Any) -> None:
    """∂L/∂x̂ = γ g,  ∂L/∂γ = Σ g x̂  and  ∂L/∂β = Σ g  over each run."""
    rows, n = g.shape
    for r in prange(rows):
        total = 0.0
        dot = 0.0
        for i in range(0, n, BLOCK):
            part, part_dot = sums(g[r, i : i + BLOCK], x_hat[r, i : i + BLOCK])
            total += part
            dot += part_dot
        dgamma[r] = dot
        dbeta[r] = total
        scale = gamma[r]
        for j in range(n):
            dx_hat[r, j] = g[r, j] * scale
