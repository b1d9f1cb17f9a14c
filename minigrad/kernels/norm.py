"""Kernels of the normalizations that standardize: subtract a mean, divide by a deviation, scale, shift.

    y = (x − μ) / √(σ² + ε) · γ + β,        σ² the biased variance

What distinguishes one normalization from another is which elements share μ and σ². To memory that makes
just two layouts, each in two forms:

    layout        shared elements     form         γ, β                                    used by
    rows          contiguous          `rows`       one for each element                    LayerNorm
                                      `segments`   one for each run of elements            GroupNorm, InstanceNorm
    channels      strided             `columns`    (N, C): channels side by side           BatchNorm after Linear
                                      `channels`   (N, C, S): runs of S elements           BatchNorm after Conv

**Statistics.** A float32 has 24 bits, and a mean that is rounded to it can be off by more than the deviation:
near 1e6 the neighbours of a float32 are 0.06 apart. So the mean is kept as two numbers, μ = hi + lo, and
subtracted one after the other, (x − hi) − lo. Two passes find them:

    1.  hi = x₀ + mean(x − x₀), rounded          x₀ the first element: a constant group gives hi = x₀ exactly
    2.  lo = mean(x − hi),   σ² = mean((x − hi)²) − lo²

The last difference cannot cancel as E[x²] − E[x]² does: hi is the representable number nearest to μ, so no
element is closer to μ than |lo|, hence lo² ≤ σ². (Chan, Golub & LeVeque, "Algorithms for computing the sample
variance", 1983, is where shifting by an estimate and correcting for it come from.)

Sums run in the input's own precision over blocks of at most 1,024 elements, which the compiler spreads over SIMD
lanes (a lane adds some 32 numbers), and the blocks are added in float64. Squares that leave the range of
float32 are noticed, and added in float64 as well.

**Derivatives.** With x̂ = (x − μ)/√(σ² + ε), n elements in a group, and h = γ·∂L/∂y (Ioffe & Szegedy 2015, section
3, simplified):

    ∂L/∂x = (h − mean(h) − x̂ · mean(h·x̂)) / √(σ² + ε),    ∂L/∂γ = Σ ∂L/∂y · x̂,    ∂L/∂β = Σ ∂L/∂y

**Statistics as arrays.** Every kernel writes, or is given, `stats` of shape (4, groups) in the input's dtype:
hi, lo, 1/√(σ² + ε), σ².
"""

from typing import Any

import numpy as np
from numba import njit

from minigrad.kernels import jit
from minigrad.kernels.jit import inline, kernel, prange

BLOCK = 1024
"""So many elements are summed in their own precision before float64 takes over."""

SMALLEST = 1e-30
"""A mean square below this may have lost squares that float32 cannot hold."""

COLUMNS = 128
"""So many neighbouring columns are one task of the `columns` kernels."""


# -- sums over one contiguous run --------------------------------------------------------------------------


@njit(fastmath={"contract"}, cache=True, nogil=True)
def minus(a: Any, b: Any) -> Any:
    """a − b, in just this order. Kernels may reorder sums, and (x − hi) − lo must not become x − (hi + lo)."""
    return a - b


@inline
def sum_from(run: Any, origin: Any) -> Any:
    """Σ (x − origin), as float64."""
    total = 0.0
    for start in range(0, run.size, BLOCK):
        block = run[start : start + BLOCK]
        part = run.dtype.type(0)
        for j in range(block.size):
            part += minus(block[j], origin)
        total += np.float64(part)
    if not abs(total) < np.inf:  # float32 overflowed (or NaN and infinity are really there)
        total = 0.0
        for j in range(run.size):
            total += minus(np.float64(run[j]), np.float64(origin))
    return total


@inline
def sums_about(run: Any, origin: Any) -> Any:
    """Σ (x − origin) and Σ (x − origin)², as float64."""
    total = 0.0
    squares = 0.0
    for start in range(0, run.size, BLOCK):
        block = run[start : start + BLOCK]
        part = run.dtype.type(0)
        part_squares = run.dtype.type(0)
        for j in range(block.size):
            d = minus(block[j], origin)
            part += d
            part_squares += d * d
        total += np.float64(part)
        squares += np.float64(part_squares)
    if not SMALLEST * run.size <= squares < np.inf:  # squares too small or too large for float32
        total = 0.0
        squares = 0.0
        for j in range(run.size):
            wide = minus(np.float64(run[j]), np.float64(origin))
            total += wide
            squares += wide * wide
    return total, squares


@inline
def write_stats(stats: Any, i: Any, hi: Any, total: Any, squares: Any, n: Any, eps: Any) -> None:
    """Statistics of group `i` from its sums about `hi`."""
    low = total / n
    variance = squares / n - low * low
    if variance < 0:  # by rounding, where σ² = lo²; NaN stays NaN
        variance = 0.0
    stats[0, i] = hi
    stats[1, i] = low
    stats[2, i] = 1.0 / np.sqrt(variance + eps)
    stats[3, i] = variance


@inline
def row_stats(row: Any, stats: Any, i: Any, eps: Any) -> None:
    """Statistics of one contiguous group."""
    hi = row.dtype.type(row[0] + sum_from(row, row[0]) / row.size)
    total, squares = sums_about(row, hi)
    write_stats(stats, i, hi, total, squares, row.size, eps)


@inline
def standardize_run(run: Any, out: Any, hi: Any, lo: Any, scale: Any, shift: Any) -> None:
    """out = (x − μ) · scale + shift."""
    for j in range(run.size):
        out[j] = minus(minus(run[j], hi), lo) * scale + shift


@inline
def gradient_sums(g: Any, run: Any, hi: Any, lo: Any, inv_std: Any) -> Any:
    """Σ g and Σ g·x̂ over one run, as float64."""
    total = 0.0
    dot = 0.0
    for start in range(0, run.size, BLOCK):
        block = run[start : start + BLOCK]
        g_block = g[start : start + BLOCK]
        part = run.dtype.type(0)
        part_dot = run.dtype.type(0)
        for j in range(block.size):
            part += g_block[j]
            part_dot += g_block[j] * (minus(minus(block[j], hi), lo) * inv_std)
        total += np.float64(part)
        dot += np.float64(part_dot)
    return total, dot


@inline
def gradient_run(
    g: Any, run: Any, dx: Any, hi: Any, lo: Any, inv_std: Any, gamma: Any, mean_h: Any, mean_hx: Any
) -> None:
    """dx = (h − mean(h) − x̂ · mean(h·x̂)) / √(σ² + ε),  h = γ g with one γ for the whole run."""
    for j in range(run.size):
        x_hat = minus(minus(run[j], hi), lo) * inv_std
        dx[j] = (minus(g[j] * gamma, mean_h) - x_hat * mean_hx) * inv_std


# -- rows: a group is contiguous, γ and β change from element to element -------------------------------------


@kernel
def rows_forward(x: Any, gamma: Any, beta: Any, eps: float, y: Any, stats: Any) -> None:
    """x, y: (R, M). gamma, beta: G·M numbers; row r uses those of r modulo G (G = 1: all rows alike)."""
    rows, n = x.shape
    groups = gamma.size // n
    for r in prange(rows):
        row, out = x[r], y[r]
        row_stats(row, stats, r, eps)
        hi, lo, inv_std = stats[0, r], stats[1, r], stats[2, r]
        first = r % groups * n
        scale, shift = gamma[first : first + n], beta[first : first + n]
        for j in range(n):
            out[j] = minus(minus(row[j], hi), lo) * inv_std * scale[j] + shift[j]


def row_chunks(rows: int, size: int) -> int:
    """In how many chunks `rows_backward` adds up ∂L/∂γ: a matter of the shape only, never of the threads."""
    return min(rows, max(-(-rows // 64), 8 if size >= jit.PARALLEL_FROM else 1))


@kernel
def rows_backward(g: Any, x: Any, gamma: Any, stats: Any, dx: Any, dgamma: Any, dbeta: Any, partial: Any) -> None:
    """partial: (chunks, 2, G·M), of x's dtype, to hold the sums for γ and β over each chunk of rows."""
    rows, n = x.shape
    groups = gamma.size // n
    chunks = partial.shape[0]
    length = (rows + chunks - 1) // chunks
    for chunk in prange(chunks):
        partial[chunk] = 0
        for r in range(chunk * length, min(rows, chunk * length + length)):
            first = r % groups * n
            row, g_row, dx_row, scale = x[r], g[r], dx[r], gamma[first : first + n]
            d_scale, d_shift = partial[chunk, 0, first : first + n], partial[chunk, 1, first : first + n]
            hi, lo, inv_std = stats[0, r], stats[1, r], stats[2, r]
            sum_h = 0.0
            sum_hx = 0.0
            for start in range(0, n, BLOCK):
                part = x.dtype.type(0)
                part_dot = x.dtype.type(0)
                for j in range(start, min(n, start + BLOCK)):
                    x_hat = minus(minus(row[j], hi), lo) * inv_std
                    d_scale[j] += g_row[j] * x_hat
                    d_shift[j] += g_row[j]
                    h = g_row[j] * scale[j]
                    part += h
                    part_dot += h * x_hat
                sum_h += np.float64(part)
                sum_hx += np.float64(part_dot)
            mean_h, mean_hx = x.dtype.type(sum_h / n), x.dtype.type(sum_hx / n)
            for j in range(n):
                x_hat = minus(minus(row[j], hi), lo) * inv_std
                dx_row[j] = (minus(g_row[j] * scale[j], mean_h) - x_hat * mean_hx) * inv_std
    for j in range(gamma.size):
        total_scale = 0.0
        total_shift = 0.0
        for chunk in range(chunks):
            total_scale += np.float64(partial[chunk, 0, j])
            total_shift += np.float64(partial[chunk, 1, j])
        dgamma[j] = total_scale
        dbeta[j] = total_shift


# -- segments: a group is contiguous, and made of runs that have one γ and one β each ------------------------


@kernel
def segments_forward(x: Any, gamma: Any, beta: Any, eps: float, y: Any, stats: Any, runs: int) -> None:
    """x, y: (R, M), each row made of `runs` runs. gamma, beta: G·runs numbers, row r being of group r modulo G."""
    rows, n = x.shape
    groups = gamma.size // runs
    length = n // runs
    for r in prange(rows):
        row_stats(x[r], stats, r, eps)
        hi, lo, inv_std = stats[0, r], stats[1, r], stats[2, r]
        first = r % groups * runs
        for k in range(runs):
            run, out = x[r, k * length : (k + 1) * length], y[r, k * length : (k + 1) * length]
            standardize_run(run, out, hi, lo, inv_std * gamma[first + k], beta[first + k])


@kernel
def segments_backward(g: Any, x: Any, gamma: Any, stats: Any, dx: Any, dgamma: Any, dbeta: Any, partial: Any) -> None:
    """partial: (2, R, runs), of float64, to hold Σ g·x̂ and Σ g of every run."""
    rows, n = x.shape
    runs = partial.shape[2]
    groups = gamma.size // runs
    length = n // runs
    for r in prange(rows):
        hi, lo, inv_std = stats[0, r], stats[1, r], stats[2, r]
        first = r % groups * runs
        sum_h = 0.0
        sum_hx = 0.0
        for k in range(runs):
            run, g_run = x[r, k * length : (k + 1) * length], g[r, k * length : (k + 1) * length]
            total, dot = gradient_sums(g_run, run, hi, lo, inv_std)
            partial[0, r, k] = dot
            partial[1, r, k] = total
            sum_h += total * gamma[first + k]
            sum_hx += dot * gamma[first + k]
        mean_h, mean_hx = x.dtype.type(sum_h / n), x.dtype.type(sum_hx / n)
        for k in range(runs):
            run, g_run = x[r, k * length : (k + 1) * length], g[r, k * length : (k + 1) * length]
            dx_run = dx[r, k * length : (k + 1) * length]
            gradient_run(g_run, run, dx_run, hi, lo, inv_std, gamma[first + k], mean_h, mean_hx)
    for group in range(groups):
        for k in range(runs):
            total = 0.0
            dot = 0.0
            for r in range(group, rows, groups):
                dot += partial[0, r, k]
                total += partial[1, r, k]
            dgamma[group * runs + k] = dot
            dbeta[group * runs + k] = total


# -- channels: (N, C, S), a group is every run of one channel ------------------------------------------------


@kernel
def channels_forward(x: Any, gamma: Any, beta: Any, eps: float, y: Any, stats: Any, given: bool) -> None:
    """x, y: (N, C, S). With `given`, `stats` are used as they come (evaluation); otherwise they are computed."""
    batch, channels, space = x.shape
    for c in prange(channels):
        if not given:
            total = 0.0
            for i in range(batch):
                total += sum_from(x[i, c], x[0, c, 0])
            hi = x.dtype.type(x[0, c, 0] + total / (batch * space))
            total = 0.0
            squares = 0.0
            for i in range(batch):
                run_total, run_squares = sums_about(x[i, c], hi)
                total += run_total
                squares += run_squares
            write_stats(stats, c, hi, total, squares, batch * space, eps)
        scale = stats[2, c] * gamma[c]
        for i in range(batch):
            standardize_run(x[i, c], y[i, c], stats[0, c], stats[1, c], scale, beta[c])


@kernel
def channels_backward(g: Any, x: Any, gamma: Any, stats: Any, dx: Any, dgamma: Any, dbeta: Any, given: bool) -> None:
    """With `given` statistics, which do not depend on x: dx = γ g / √(σ² + ε)."""
    batch, channels, space = x.shape
    n = batch * space
    for c in prange(channels):
        hi, lo, inv_std = stats[0, c], stats[1, c], stats[2, c]
        total = 0.0
        dot = 0.0
        for i in range(batch):
            run_total, run_dot = gradient_sums(g[i, c], x[i, c], hi, lo, inv_std)
            total += run_total
            dot += run_dot
        dgamma[c] = dot
        dbeta[c] = total
        if given:
            scale = inv_std * gamma[c]
            for i in range(batch):
                g_run, dx_run = g[i, c], dx[i, c]
                for j in range(space):
                    dx_run[j] = g_run[j] * scale
        else:
            mean_h, mean_hx = x.dtype.type(total * gamma[c] / n), x.dtype.type(dot * gamma[c] / n)
            for i in range(batch):
                gradient_run(g[i, c], x[i, c], dx[i, c], hi, lo, inv_std, gamma[c], mean_h, mean_hx)


# -- columns: (N, C), channels side by side. A task is a block of columns, read row by row -------------------


@kernel
def columns_forward(x: Any, gamma: Any, beta: Any, eps: float, y: Any, stats: Any, given: bool) -> None:
    """x, y: (N, C). With `given`, `stats` are used as they come (evaluation); otherwise they are computed."""
    batch, channels = x.shape
    for task in prange((channels + COLUMNS - 1) // COLUMNS):
        first, last = task * COLUMNS, min(channels, task * COLUMNS + COLUMNS)
        width = last - first
        scale, shift = gamma[first:last], beta[first:last]
        hi, lo, inv_std = stats[0, first:last], stats[1, first:last], stats[2, first:last]
        if not given:
            totals = np.zeros((2, width))
            total, squares = totals[0], totals[1]
            origin = x[0, first:last]
            for i in range(batch):
                row = x[i, first:last]
                for j in range(width):
                    total[j] += minus(np.float64(row[j]), np.float64(origin[j]))
            for j in range(width):
                hi[j] = origin[j] + total[j] / batch
                total[j] = 0
            for i in range(batch):
                row = x[i, first:last]
                for j in range(width):
                    d = minus(np.float64(row[j]), np.float64(hi[j]))
                    total[j] += d
                    squares[j] += d * d
            for j in range(width):
                write_stats(stats, first + j, hi[j], total[j], squares[j], batch, eps)
        for i in range(batch):
            row, out = x[i, first:last], y[i, first:last]
            for j in range(width):
                out[j] = minus(minus(row[j], hi[j]), lo[j]) * (inv_std[j] * scale[j]) + shift[j]


@kernel
def columns_backward(g: Any, x: Any, gamma: Any, stats: Any, dx: Any, dgamma: Any, dbeta: Any, given: bool) -> None:
    """With `given` statistics, which do not depend on x: dx = γ g / √(σ² + ε)."""
    batch, channels = x.shape
    for task in prange((channels + COLUMNS - 1) // COLUMNS):
        first, last = task * COLUMNS, min(channels, task * COLUMNS + COLUMNS)
        width = last - first
        scale = gamma[first:last]
        hi, lo, inv_std = stats[0, first:last], stats[1, first:last], stats[2, first:last]
        totals = np.zeros((2, width))
        total, dot = totals[0], totals[1]
        for i in range(batch):
            row, g_row = x[i, first:last], g[i, first:last]
            for j in range(width):
                total[j] += np.float64(g_row[j])
                dot[j] += np.float64(g_row[j] * (minus(minus(row[j], hi[j]), lo[j]) * inv_std[j]))
        for j in range(width):
            dgamma[first + j] = dot[j]
            dbeta[first + j] = total[j]
            total[j] /= batch
            dot[j] /= batch
        if given:
            for i in range(batch):
                g_row, dx_row = g[i, first:last], dx[i, first:last]
                for j in range(width):
                    dx_row[j] = g_row[j] * (scale[j] * inv_std[j])
        else:
            means = totals.astype(x.dtype)
            mean_g, mean_gx = means[0], means[1]
            for i in range(batch):
                row, g_row, dx_row = x[i, first:last], g[i, first:last], dx[i, first:last]
                for j in range(width):
                    x_hat = minus(minus(row[j], hi[j]), lo[j]) * inv_std[j]
                    dx_row[j] = (minus(g_row[j], mean_g[j]) - x_hat * mean_gx[j]) * (scale[j] * inv_std[j])
