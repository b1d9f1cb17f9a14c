"""Kernels of weight norm, one length for each row, and of spectral norm, one singular value for the matrix.

Weight norm:      w = g · v̂,  v̂ = v/‖v‖;        ∂L/∂g = ⟨∂L/∂w, v̂⟩,  ∂L/∂v = (∂L/∂w − v̂ ∂L/∂g) · g/‖v‖
Spectral norm:    y = W/σ,  σ = uᵀ W v;          ∂L/∂W = (∂L/∂y − ⟨∂L/∂y, y⟩ u vᵀ) / σ,  for ∂σ/∂W = u vᵀ

where u and v are constants in the derivative. Power iteration turns them towards the first singular vectors:

    u ← W v/‖W v‖,  v ← Wᵀ u/‖Wᵀ u‖

A length or a singular value of 0 is replaced by 1. Sums over long rows, and all sums of spectral norm, are in float64,
and so are squares that float32 cannot hold. (Weight standardization has the kernels of group norm: `segments_forward`
and `segments_backward` in `norm`.)
"""

from typing import Any

import numpy as np

from minigrad.kernels.jit import inline, kernel, prange
from minigrad.kernels.norm import BLOCK, out_of_range

LANE = 64
"""Number of columns of Wᵀ u in one task."""


@inline
def dot(a: Any, b: Any) -> Any:
    """Σ a·b."""
    total = 0.0
    for j in range(a.size):
        total += np.float64(a[j]) * np.float64(b[j])
    return total


@inline
def short_dot(a: Any, b: Any) -> Any:
    """Σ a·b over at most a block, in their own precision."""
    total = a.dtype.type(0)
    for j in range(a.size):
        total += a[j] * b[j]
    return np.float64(total)


@inline
def run_dot(a: Any, b: Any) -> Any:
    """Σ a·b over a run of any length."""
    if a.size <= BLOCK:
        return short_dot(a, b)
    total = 0.0
    for i in range(0, a.size, BLOCK):
        total += short_dot(a[i : i + BLOCK], b[i : i + BLOCK])
    return total


@inline
def add_multiple(row: Any, factor: Any, total: Any) -> None:
    """total += row · factor."""
    for j in range(row.size):
        total[j] += np.float64(row[j]) * factor


@inline
def write_unit(x: Any, eps: Any, out: Any) -> Any:
    """out = x / max(‖x‖, ε). Returns ‖x‖."""
    size = np.sqrt(dot(x, x))
    inverse = 1.0 / (eps if size < eps else size)  # NaN is not below ε, so it passes through
    for j in range(x.size):
        out[j] = x[j] * inverse
    return size


@inline
def scale_row(row: Any, scale: Any, out: Any) -> None:
    for j in range(row.size):
        out[j] = row[j] * scale


@inline
def unit_gradient_row(dw: Any, v: Any, slope: Any, scale: Any, dv: Any) -> None:
    """dv = (dw − v · slope) · scale."""
    for j in range(v.size):
        dv[j] = (dw[j] - v[j] * slope) * scale


@inline
def gradient_row(g: Any, inverse: Any, along: Any, v: Any, out: Any) -> None:
    for j in range(g.size):
        out[j] = g[j] * inverse - along * v[j]


# -- weight norm ---------------------------------------------------------------------------------------------


@kernel
def unit_rows_forward(v: Any, g: Any, w: Any, inverse: Any) -> None:
    """v, w: (R, n); g: (R,). inverse: (R,), gets 1/‖v‖."""
    for r in prange(v.shape[0]):
        squares = run_dot(v[r], v[r])
        if out_of_range(squares, v.shape[1]):
            squares = dot(v[r], v[r])
        length = np.sqrt(squares)
        inverse[r] = 1.0 / (length if length != 0 else 1.0)
        scale_row(v[r], v.dtype.type(g[r] * inverse[r]), w[r])


@kernel
def unit_rows_backward(dw: Any, v: Any, g: Any, inverse: Any, dv: Any, dg: Any) -> None:
    """dv: (R, n); dg: (R,)."""
    for r in prange(v.shape[0]):
        dg[r] = along = run_dot(dw[r], v[r]) * inverse[r]
        scale = v.dtype.type(g[r] * inverse[r])
        unit_gradient_row(dw[r], v[r], v.dtype.type(along * inverse[r]), scale, dv[r])


# -- spectral norm -------------------------------------------------------------------------------------------


@kernel
def spectral_forward(w: Any, u: Any, v: Any, steps: int, eps: float, y: Any) -> float:
    """w, y: (R, C). Turns u and v, in place, by `steps` power iterations; writes w/σ, and returns σ.

    σ = 0 is replaced by 1.
    """
    rows, columns = w.shape
    lanes = (columns + LANE - 1) // LANE
    left, right = np.empty(rows), np.empty(columns)
    sigma = 0.0
    for _ in range(steps):
        for r in prange(rows):
            left[r] = dot(w[r], v)
        write_unit(left, eps, u)
        for lane in prange(lanes):
            block = slice(lane * LANE, min(columns, lane * LANE + LANE))
            right[block] = 0
            for r in range(rows):
                add_multiple(w[r, block], np.float64(u[r]), right[block])
        sigma = write_unit(right, eps, v)  # uᵀ W v = (Wᵀ u)ᵀ (Wᵀ u)/‖Wᵀ u‖
    if steps == 0 or sigma < eps:
        for r in prange(rows):
            left[r] = dot(w[r], v)
        sigma = dot(u, left)
    scale = w.dtype.type(1.0 / sigma if sigma != 0 else 1.0)
    for r in prange(rows):
        scale_row(w[r], scale, y[r])
    return sigma


@kernel
def spectral_backward(g: Any, w: Any, u: Any, v: Any, sigma: float, dw: Any) -> None:
    rows = w.shape[0]
    partial = np.empty(rows)
    for r in prange(rows):
        partial[r] = dot(g[r], w[r])
    along = 0.0
    for r in range(rows):
        along += partial[r]
    inverse = 1.0 / sigma
    along = along * inverse * inverse
    for r in prange(rows):
        gradient_row(g[r], w.dtype.type(inverse), w.dtype.type(along * u[r]), v, dw[r])
