"""The backward kernel of Dynamic Tanh and Dynamic erf: y = γ f(α x + s) + β."""

from typing import Any

import numpy as np

from minigrad.kernels import jit
from minigrad.kernels.jit import inline, kernel, prange


@inline
def add_row(g: Any, f: Any, dgamma: Any, dbeta: Any) -> None:
    """dγ += g f and dβ += g, with a γ for each element."""
    for j in range(g.size):
        dgamma[j] += np.float64(g[j]) * f[j]
        dbeta[j] += g[j]


@inline
def send_row(g: Any, x: Any, slope: Any, gamma: Any, alpha: Any, dx: Any) -> Any:
    """dx = α h with h = γ g f′; gives Σ h x and Σ h."""
    total_x = 0.0
    total = 0.0
    for j in range(g.size):
        h = np.float64(g[j]) * gamma[j] * slope[j]
        dx[j] = alpha * h
        total_x += h * x[j]
        total += h
    return total_x, total


@inline
def add_run(g: Any, f: Any) -> Any:
    """Σ g f and Σ g over a run that has one γ."""
    total_f = 0.0
    total = 0.0
    for j in range(g.size):
        total_f += np.float64(g[j]) * f[j]
        total += g[j]
    return total_f, total


@inline
def send_run(g: Any, x: Any, slope: Any, gamma: Any, alpha: Any, dx: Any) -> Any:
    """`send_row` for a run that has one γ."""
    total_x = 0.0
    total = 0.0
    for j in range(g.size):
        h = np.float64(g[j]) * gamma * slope[j]
        dx[j] = alpha * h
        total_x += h * x[j]
        total += h
    return total_x, total


def chunk_count(rows: int, work: int) -> int:
    """The number of chunks in which the rows are summed. It depends only on the shape, never on the threads."""
    return min(rows, max(-(-rows // 256), 8 if work >= jit.PARALLEL_FROM else 1))


@kernel
def backward(g: Any, x: Any, f: Any, slope: Any, gamma: Any, alpha: float, dx: Any, partial: Any, sums: Any) -> None:
    """All of shape (R, P, L): R repetitions of P runs of L elements, each run with one γ.

    f, slope: f(α x + s) and f′(α x + s). partial: (chunks, 2, P), for ∂L/∂γ and ∂L/∂β of each chunk of rows.
    sums: (chunks, 2), for ∂L/∂α and ∂L/∂s. The caller adds up the chunks.
    """
    rows, runs, length = g.shape
    shape = rows, runs * length
    g_rows, x_rows, dx_rows = g.reshape(shape), x.reshape(shape), dx.reshape(shape)
    f_rows, slope_rows = f.reshape(shape), slope.reshape(shape)
    chunks = partial.shape[0]
    size = (rows + chunks - 1) // chunks
    for chunk in prange(chunks):
        partial[chunk] = 0
        sums[chunk] = 0
        for r in range(chunk * size, min(rows, chunk * size + size)):
            if length == 1:
                add_row(g_rows[r], f_rows[r], partial[chunk, 0], partial[chunk, 1])
                total_x, total = send_row(g_rows[r], x_rows[r], slope_rows[r], gamma, alpha, dx_rows[r])
                sums[chunk, 0] += total_x
                sums[chunk, 1] += total
            else:
                for p in range(runs):
                    total_f, total = add_run(g[r, p], f[r, p])
                    partial[chunk, 0, p] += total_f
                    partial[chunk, 1, p] += total
                    total_x, total = send_run(g[r, p], x[r, p], slope[r, p], gamma[p], alpha, dx[r, p])
                    sums[chunk, 0] += total_x
                    sums[chunk, 1] += total
