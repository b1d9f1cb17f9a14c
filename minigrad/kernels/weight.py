"""Kernels of weight normalization: every row of a matrix scaled to a length of its own.

    w = g · v̂,  v̂ = v/‖v‖,        ∂L/∂g = ⟨∂L/∂w, v̂⟩,    ∂L/∂v = g/‖v‖ · (∂L/∂w − v̂ ⟨∂L/∂w, v̂⟩)

A length of 0 is taken for 1, in both directions.
"""

from typing import Any

import numpy as np

from minigrad.kernels.jit import inline, kernel, prange
from minigrad.kernels.norm import BLOCK, out_of_range, run_sums_about, wide_sums_about


@inline
def length_of(row: Any) -> Any:
    """‖row‖, in float64."""
    squares = run_sums_about(row, row.dtype.type(0))[1]
    if out_of_range(squares, row.size):
        squares = wide_sums_about(row, row.dtype.type(0))[1]
    return np.sqrt(squares)


@inline
def inner(a: Any, b: Any) -> Any:
    """Σ a·b, block by block."""
    total = 0.0
    for start in range(0, a.size, BLOCK):
        part = a.dtype.type(0)
        for j in range(start, min(a.size, start + BLOCK)):
            part += a[j] * b[j]
        total += np.float64(part)
    return total


@kernel
def unit_rows_forward(v: Any, g: Any, w: Any, lengths: Any) -> None:
    """v, w: (R, M); g: (R,). Writes w, and the rows' lengths, float64, with 1 for 0."""
    for r in prange(v.shape[0]):
        length = length_of(v[r])
        if length == 0:
            length = 1.0
        lengths[r] = length
        scale = v.dtype.type(g[r] / length)
        for j in range(v.shape[1]):
            w[r, j] = v[r, j] * scale


@kernel
def unit_rows_backward(dw: Any, v: Any, g: Any, lengths: Any, dv: Any, dg: Any) -> None:
    for r in prange(v.shape[0]):
        along = inner(dw[r], v[r]) / lengths[r]
        dg[r] = along
        inverse = 1.0 / lengths[r]
        scale, share = v.dtype.type(g[r] * inverse), v.dtype.type(along)
        inverse = v.dtype.type(inverse)
        for j in range(v.shape[1]):
            dv[r, j] = scale * (dw[r, j] - v[r, j] * inverse * share)
