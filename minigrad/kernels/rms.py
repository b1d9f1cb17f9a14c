"""Kernels of the normalizations that divide by a length and subtract nothing.

    y = x / s · γ + β,        s = √(mean(x²) + ε)  or  s = max(‖x‖, ε)

    kernels       elements that share s      γ, β                        used by
    `elements`    a row                      γ for each element          RMSNorm
    `runs`        a row                      one of each for a row       FilterResponseNorm, ScaleNorm, normalize
    `across`      strided: x[i, :, s]        none                        normalize over the channels of an image

**Statistics.** A float32 can hold neither the square of 1e-20 nor the square of 1e20. So squares are computed and
summed in float64, which costs almost no time: these loops wait for memory.

**Derivatives.** With x̂ = x/s and h = γ·∂L/∂y, ∂s/∂x is x̂/n for the root of a mean over n elements, x̂ for a norm,
and 0 where a norm is below ε:

    ∂L/∂x = (h − x̂ · Σ h·x̂ · share) / s,    share = 1/n, 1 or 0;    ∂L/∂γ = Σ ∂L/∂y · x̂,    ∂L/∂β = Σ ∂L/∂y
"""

from typing import Any

import numpy as np

from minigrad.kernels.jit import inline, kernel, prange

LANE = 512
"""Number of neighbouring elements in one task of the `across` kernels."""


# -- loops over one row --------------------------------------------------------------------------------------


@inline
def sum_of_squares(row: Any) -> Any:
    """Σ x², in float64."""
    total = 0.0
    for j in range(row.size):
        value = np.float64(row[j])
        total += value * value
    return total


@inline
def inverse_length(squares: Any, eps: Any) -> Any:
    """1/max(‖x‖, ε); and 1 if it depends on x, otherwise 0."""
    length = np.sqrt(squares)
    if length < eps:  # a comparison with NaN is false, so NaN passes through
        return 1.0 / eps, 0.0
    return 1.0 / length, 1.0


@inline
def scale_elements(row: Any, inv: Any, gamma: Any, out: Any) -> None:
    """out = x/s · γ, with a γ for each element."""
    for j in range(row.size):
        out[j] = row[j] * inv * gamma[j]


@inline
def scale_run(row: Any, scale: Any, shift: Any, out: Any) -> None:
    """out = x · scale + shift."""
    for j in range(row.size):
        out[j] = row[j] * scale + shift


@inline
def dot_elements(g: Any, row: Any, gamma: Any) -> Any:
    """Σ h·x, in float64, h = γ g with a γ for each element."""
    total = 0.0
    for j in range(row.size):
        total += np.float64(g[j] * gamma[j]) * np.float64(row[j])
    return total


@inline
def dot_run(g: Any, row: Any) -> Any:
    """Σ g and Σ g·x, in float64."""
    total = 0.0
    dot = 0.0
    for j in range(row.size):
        total += np.float64(g[j])
        dot += np.float64(g[j]) * np.float64(row[j])
    return total, dot


@inline
def add_products(g: Any, row: Any, inv: Any, dgamma: Any) -> None:
    """dγ += g·x̂, with a γ for each element."""
    for j in range(row.size):
        dgamma[j] += g[j] * (row[j] * inv)


@inline
def gradient_elements(g: Any, row: Any, inv: Any, gamma: Any, slope: Any, dx: Any) -> None:
    """dx = (h − x̂ · slope) / s, with a γ for each element."""
    for j in range(row.size):
        dx[j] = (g[j] * gamma[j] - row[j] * inv * slope) * inv


@inline
def gradient_run(g: Any, row: Any, inv: Any, slope: Any, scale: Any, dx: Any) -> None:
    """dx = (g − x̂ · slope) · scale."""
    for j in range(row.size):
        dx[j] = (g[j] - row[j] * inv * slope) * scale


# -- rows with a γ for each element --------------------------------------------------------------------------


@kernel
def elements_forward(x: Any, gamma: Any, eps: float, counted: int, y: Any, inv: Any) -> None:
    """x, y: (R, n). gamma: n numbers. The mean is over the first `counted` elements. inv: (R,), gets 1/s."""
    for r in prange(x.shape[0]):
        inv[r] = 1.0 / np.sqrt(sum_of_squares(x[r, :counted]) / counted + eps)
        scale_elements(x[r], x.dtype.type(inv[r]), gamma, y[r])


@kernel
def elements_backward(g: Any, x: Any, gamma: Any, counted: int, inv: Any, dx: Any, dgamma: Any, partial: Any) -> None:
    """partial: (chunks, n), of x's dtype, to hold the sums for γ over each chunk of rows."""
    rows, n = x.shape
    chunks = partial.shape[0]
    length = (rows + chunks - 1) // chunks
    for chunk in prange(chunks):
        partial[chunk] = 0
        for r in range(chunk * length, min(rows, chunk * length + length)):
            scale = x.dtype.type(inv[r])
            slope = x.dtype.type(dot_elements(g[r], x[r], gamma) * inv[r] / counted)
            add_products(g[r], x[r], scale, partial[chunk])
            gradient_elements(g[r, :counted], x[r, :counted], scale, gamma[:counted], slope, dx[r, :counted])
            scale_elements(g[r, counted:], scale, gamma[counted:], dx[r, counted:])
    for j in range(n):
        total = 0.0
        for chunk in range(chunks):
            total += np.float64(partial[chunk, j])
        dgamma[j] = total


# -- rows with one γ and one β each --------------------------------------------------------------------------


@kernel
def runs_forward(x: Any, gamma: Any, beta: Any, eps: Any, unit: bool, y: Any, stats: Any) -> None:
    """x, y: (R, n). gamma, beta, eps: G numbers; row r uses those of r modulo G.

    With `unit`, s = max(‖x‖, ε), otherwise the root of a mean. stats: (2, R), gets 1/s and share.
    """
    rows, n = x.shape
    groups, share = gamma.size, 1.0 / n
    for r in prange(rows):
        group = r % groups
        squares = sum_of_squares(x[r])
        if unit:
            stats[0, r], stats[1, r] = inverse_length(squares, eps[group])
        else:
            stats[0, r], stats[1, r] = 1.0 / np.sqrt(squares * share + eps[group]), share
        scale_run(x[r], x.dtype.type(stats[0, r] * gamma[group]), beta[group], y[r])


@kernel
def runs_backward(g: Any, x: Any, gamma: Any, stats: Any, dx: Any, sums: Any) -> None:
    """sums: (2, R), of float64, gets Σ g·x̂ and Σ g of every row."""
    for r in prange(x.shape[0]):
        total, dot = dot_run(g[r], x[r])
        inv, share = stats[0, r], stats[1, r]
        sums[0, r], sums[1, r] = dot * inv, total
        slope = x.dtype.type(dot * inv * share if share != 0 else 0.0)  # 0 · ∞ would be NaN
        scale = x.dtype.type(inv * gamma[r % gamma.size])
        gradient_run(g[r], x[r], x.dtype.type(inv), slope, scale, dx[r])


# -- norms across channels -----------------------------------------------------------------------------------


@inline
def add_squares(row: Any, squares: Any) -> None:
    for s in range(row.size):
        value = np.float64(row[s])
        squares[s] += value * value


@inline
def add_dots(g: Any, row: Any, dots: Any) -> None:
    for s in range(row.size):
        dots[s] += np.float64(g[s]) * np.float64(row[s])


@inline
def multiply(row: Any, factors: Any, out: Any) -> None:
    for s in range(row.size):
        out[s] = row[s] * factors[s]


@inline
def gradient_across(g: Any, row: Any, inv: Any, slope: Any, dx: Any) -> None:
    """dx = (g − x̂ · slope) / s."""
    for s in range(row.size):
        dx[s] = (g[s] - row[s] * inv[s] * slope[s]) * inv[s]


@kernel
def across_forward(x: Any, eps: float, y: Any, stats: Any) -> None:
    """x, y: (N, C, S), divided by max(‖x[i, :, s]‖, ε). stats: (2, N, S), gets 1/s and share."""
    batch, channels, space = x.shape
    lanes = (space + LANE - 1) // LANE
    for task in prange(batch * lanes):
        i, first = task // lanes, task % lanes * LANE
        last = min(first + LANE, space)
        squares = np.zeros(last - first)
        factors = np.empty(last - first, x.dtype)
        for c in range(channels):
            add_squares(x[i, c, first:last], squares)
        for s in range(last - first):
            stats[0, i, first + s], stats[1, i, first + s] = inverse_length(squares[s], eps)
            factors[s] = stats[0, i, first + s]
        for c in range(channels):
            multiply(x[i, c, first:last], factors, y[i, c, first:last])


@kernel
def across_backward(g: Any, x: Any, stats: Any, dx: Any) -> None:
    """dx: (N, C, S)."""
    batch, channels, space = x.shape
    lanes = (space + LANE - 1) // LANE
    for task in prange(batch * lanes):
        i, first = task // lanes, task % lanes * LANE
        last = min(first + LANE, space)
        dots = np.zeros(last - first)
        factors = np.empty((2, last - first), x.dtype)
        for c in range(channels):
            add_dots(g[i, c, first:last], x[i, c, first:last], dots)
        for s in range(last - first):
            inv, share = stats[0, i, first + s], stats[1, i, first + s]
            factors[0, s], factors[1, s] = inv, dots[s] * inv * share if share != 0 else 0.0
        for c in range(channels):
            gradient_across(g[i, c, first:last], x[i, c, first:last], factors[0], factors[1], dx[i, c, first:last])
