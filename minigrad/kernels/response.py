"""Kernels of response normalization: the threshold behind the filter's, and the global one.

**Threshold.** z = max(y, τ), with a τ for each channel. The larger of the two gets the gradient; at a tie, each gets
half.

**Global response normalization.** The channels of one sample compete by their norms over space.

    y = x · (1 + γ N) + β,        N_c = G_c / (mean(G) + ε),        G_c = ‖x_c‖

With d_c = Σ ∂L/∂y · x over the space of channel c, and m = mean(G) + ε:

    ∂L/∂γ_c = Σ d_c N_c,    ∂L/∂β_c = Σ ∂L/∂y,    ∂L/∂G_c = γ_c d_c / m − Σ_k γ_k d_k G_k / (C m²)

    ∂L/∂x = ∂L/∂y · (1 + γ N) + x/G · ∂L/∂G,        the second term being 0 where G = 0
"""

from typing import Any

import numpy as np

from minigrad.kernels.jit import inline, kernel, prange
from minigrad.kernels.rms import dot_run, scale_run, sum_of_squares

# -- threshold -----------------------------------------------------------------------------------------------


@inline
def larger(y: Any, tau: Any) -> Any:
    """max(y, τ), and NaN if either is NaN."""
    return y if y > tau or y != y else tau


@inline
def part(g: Any, one: Any, other: Any) -> Any:
    """The gradient for `one` in max(one, other). If `other` is NaN, `one` keeps its gradient."""
    if one < other:
        return 0.0
    if one == other:
        return 0.5 * g
    return 1.0 * g


@inline
def threshold_run(run: Any, tau: Any, z: Any) -> None:
    for j in range(run.size):
        z[j] = larger(run[j], tau)


@inline
def threshold_gradient_run(g: Any, run: Any, tau: Any, dy: Any) -> Any:
    """Writes the gradient for y, and returns that for τ."""
    total = 0.0
    for j in range(run.size):
        dy[j] = part(g[j], run[j], tau)
        total += part(g[j], tau, run[j])
    return total


@kernel
def threshold_forward(y: Any, tau: Any, z: Any) -> None:
    """y, z: (N, C, S). tau: (C,)."""
    batch, channels, space = y.shape
    for i in prange(batch):
        if space == 1:  # neighbours are channels
            for c in range(channels):
                z[i, c, 0] = larger(y[i, c, 0], tau[c])
        else:
            for c in range(channels):
                threshold_run(y[i, c], tau[c], z[i, c])


@kernel
def threshold_backward(g: Any, y: Any, tau: Any, dy: Any, sums: Any) -> None:
    """sums: (N, C), of float64, gets the gradient of τ in every sample."""
    batch, channels, space = y.shape
    for i in prange(batch):
        if space == 1:
            for c in range(channels):
                dy[i, c, 0] = part(g[i, c, 0], y[i, c, 0], tau[c])
                sums[i, c] = part(g[i, c, 0], tau[c], y[i, c, 0])
        else:
            for c in range(channels):
                sums[i, c] = threshold_gradient_run(g[i, c], y[i, c], tau[c], dy[i, c])


# -- global response normalization ---------------------------------------------------------------------------


@inline
def combine(g: Any, row: Any, a: Any, inv: Any, b: Any, dx: Any) -> None:
    """dx = g · a + x/G · b."""
    for j in range(row.size):
        dx[j] = g[j] * a + row[j] * inv * b


@kernel
def response_forward(x: Any, gamma: Any, beta: Any, eps: float, y: Any, norms: Any, share: Any) -> None:
    """x, y: (N, C, S). norms: (N, C), gets G; share: (N,), gets 1/(mean(G) + ε); both of float64."""
    batch, channels, _ = x.shape
    for i in prange(batch):
        total = 0.0
        for c in range(channels):
            norms[i, c] = np.sqrt(sum_of_squares(x[i, c]))
            total += norms[i, c]
        share[i] = 1.0 / (total / channels + eps)
        for c in range(channels):
            scale_run(x[i, c], x.dtype.type(1.0 + gamma[c] * (norms[i, c] * share[i])), beta[c], y[i, c])


@kernel
def response_backward(g: Any, x: Any, gamma: Any, norms: Any, share: Any, dx: Any, sums: Any) -> None:
    """sums: (2, N, C), of float64, gets Σ g·x·N and Σ g of every channel."""
    batch, channels, _ = x.shape
    for i in prange(batch):
        weighted = 0.0
        for c in range(channels):
            total, dot = dot_run(g[i, c], x[i, c])
            sums[0, i, c], sums[1, i, c] = dot * share[i], total
            weighted += gamma[c] * (dot * share[i]) * (norms[i, c] * share[i])
        for c in range(channels):
            slope = gamma[c] * sums[0, i, c] - weighted / channels
            sums[0, i, c] *= norms[i, c]
            inv = 1.0 / norms[i, c]
            if norms[i, c] == 0:
                inv = 0.0
            a = x.dtype.type(1.0 + gamma[c] * (norms[i, c] * share[i]))
            # In float64: if a channel is almost 0, 1/G is outside the range of float32.
            combine(g[i, c], x[i, c], a, inv, slope, dx[i, c])
