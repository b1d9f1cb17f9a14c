"""Kernels of the normalizations that standardize: subtract a mean, divide by a deviation, scale, shift.

    y = (x − μ) / √(σ² + ε) · γ + β,        σ² the biased variance

Normalizations differ in the elements that share μ and σ². In memory, this gives only two layouts, each in two forms:

    layout        shared elements     form         γ, β                                    used by
    rows          contiguous          `rows`       one for each element                    LayerNorm
                                      `segments`   one for each run of elements            GroupNorm, InstanceNorm
    channels      strided             `columns`    (N, C): channels side by side           BatchNorm after Linear
                                      `channels`   (N, C, S): runs of S elements           BatchNorm after Conv

**Statistics.** A float32 has 24 bits, and the error of a mean rounded to float32 can be larger than the deviation:
near 1e6, neighbouring float32 numbers differ by 0.06. So the mean is kept as two numbers, μ = hi + lo, which are
subtracted in turn, x̂ = (x − hi)/√(σ² + ε) − lo/√(σ² + ε). Sums about an origin near the mean give both statistics in
one pass:

    1.  origin = x₀ + mean(x − x₀) over a small sample     x₀ the first element: a constant group gives exactly x₀
    2.  m = mean(x − origin),   μ = origin + m,   σ² = mean((x − origin)²) − m²

The last difference loses digits, like E[x²] − E[x]², if the origin is far from the mean. If |m| ≤ σ, it loses at most
one bit. Otherwise the sample gave a bad origin: pass 2 runs once more, with the rounded μ as the origin. Then |m| ≤ σ,
because no element is closer to μ than the representable number nearest to μ. (Chan, Golub & LeVeque, "Algorithms for
computing the sample variance", 1983, shift by an estimate and correct for it in this way.)

Sums run in the input's own precision over blocks of at most 1,024 elements, which the compiler spreads over SIMD
lanes (a lane adds some 32 numbers), and the blocks are added in float64. If squares leave the range of float32, the
kernel notices this and sums them again in float64.

**Derivatives.** With x̂ = (x − μ)/√(σ² + ε), n elements in a group, and h = γ·∂L/∂y (Ioffe & Szegedy 2015, section
3, simplified):

    ∂L/∂x = (h − mean(h) − x̂ · mean(h·x̂)) / √(σ² + ε),    ∂L/∂γ = Σ ∂L/∂y · x̂,    ∂L/∂β = Σ ∂L/∂y

**Statistics as arrays.** Every kernel writes, or is given, `stats` of shape (4, groups) in the input's dtype:
hi, lo, 1/√(σ² + ε), σ².
"""

from typing import Any

import numpy as np

from minigrad.kernels import jit
from minigrad.kernels.jit import in_order, inline, kernel, prange, subroutine

BLOCK = 1024
"""Block size: number of elements that are summed in their own precision before float64 takes over."""

SMALLEST = 1e-30
"""A mean square below this may have lost squares that float32 cannot hold."""

ROWS = 32
"""Number of rows that the `columns` kernels add up before float64 takes over."""

CHUNK = 128
"""Number of rows in one task of the `columns` kernels; a multiple of ROWS."""


# -- sums over one contiguous run --------------------------------------------------------------------------


@in_order
def minus(a: Any, b: Any) -> Any:
    """a − b, in exactly this order. Kernels may reorder sums, but (x − hi)·s − lo·s must not become (x − (hi +
    lo))·s."""
    return a - b


@in_order
def times(a: Any, b: Any) -> Any:
    """a · b, in exactly this order: g · (d · inv_std) must not become (g · d) · inv_std; g · d may be out of range."""
    return a * b


@inline
def sum_from(run: Any, origin: Any) -> Any:
    """Σ (x − origin) over at most a block."""
    total = run.dtype.type(0)
    for j in range(run.size):
        total += minus(run[j], origin)
    return np.float64(total)


@inline
def sums_about(run: Any, origin: Any) -> Any:
    """Σ (x − origin) and Σ (x − origin)² over at most a block."""
    total = run.dtype.type(0)
    squares = run.dtype.type(0)
    for j in range(run.size):
        d = minus(run[j], origin)
        total += d
        squares += d * d
    return np.float64(total), np.float64(squares)


@inline
def wide_sum_from(run: Any, origin: Any) -> Any:
    """`sum_from` in float64 throughout."""
    total = 0.0
    for j in range(run.size):
        total += minus(np.float64(run[j]), np.float64(origin))
    return total


@inline
def wide_sums_about(run: Any, origin: Any) -> Any:
    """`sums_about` in float64 throughout."""
    total = 0.0
    squares = 0.0
    for j in range(run.size):
        d = minus(np.float64(run[j]), np.float64(origin))
        total += d
        squares += d * d
    return total, squares


@inline
def out_of_range(squares: Any, n: Any) -> Any:
    """True if float32 may have lost digits in this sum of squares. (Also true for NaN, which wide sums keep.)"""
    return not (SMALLEST * n <= squares < np.inf)


@inline
def far(total: Any, squares: Any, share: Any) -> Any:
    """True if the origin of these sums is more than a deviation away from the mean. `share` is 1/n."""
    m = total * share
    return 2 * m * m > squares * share


@inline
def write_stats(stats: Any, i: Any, origin: Any, total: Any, squares: Any, share: Any, eps: Any) -> None:
    """Statistics of group `i` from its sums about `origin`; `share` is 1/n."""
    m = total * share
    hi = stats.dtype.type(origin + m)
    variance = squares * share - m * m
    if variance < 0:  # by rounding; NaN stays NaN
        variance = 0.0
    stats[0, i] = hi
    stats[1, i] = minus(np.float64(origin), np.float64(hi)) + m
    stats[2, i] = 1.0 / np.sqrt(variance + eps)
    stats[3, i] = variance


@inline
def run_sums_about(run: Any, origin: Any) -> Any:
    """`sums_about` for a run of any length."""
    if run.size <= BLOCK:
        return sums_about(run, origin)
    total = 0.0
    squares = 0.0
    for i in range(0, run.size, BLOCK):
        part, part_squares = sums_about(run[i : i + BLOCK], origin)
        total += part
        squares += part_squares
    return total, squares


@inline
def sample_size(n: Any) -> Any:
    """Number of elements, of n, from which the origin is estimated."""
    return min(n, max(16, n // 16))


@inline
def near_mean(sample: Any, share: Any) -> Any:
    """The mean of a sample, which is exact if all its elements are equal. `share` is 1 over their number."""
    return sample.dtype.type(sample[0] + sum_from(sample, sample[0]) * share)


@subroutine
def sums_again(run: Any, mu: Any) -> Any:
    """An origin near `mu`, and the sums about it. (This is rare, so it is a call; inlined code would slow down short
    rows.)"""
    origin = run.dtype.type(mu)
    total, squares = run_sums_about(run, origin)
    if out_of_range(squares, run.size):
        origin = run.dtype.type(run[0] + wide_sum_from(run, run[0]) / run.size)
        total, squares = wide_sums_about(run, origin)
    return origin, total, squares


@inline
def standardize_run(run: Any, out: Any, hi: Any, lo: Any, scale: Any, shift: Any) -> None:
    """out = (x − μ) · scale + shift."""
    low = lo * scale - shift
    for j in range(run.size):
        out[j] = minus(minus(run[j], hi) * scale, low)


@inline
def standardize_elements(row: Any, out: Any, hi: Any, lo: Any, inv_std: Any, gamma: Any, beta: Any) -> None:
    """The same with a γ and a β for each element."""
    low = lo * inv_std
    for j in range(row.size):
        out[j] = minus(minus(row[j], hi) * inv_std, low) * gamma[j] + beta[j]


@inline
def gradient_sums(g: Any, run: Any, hi: Any, lo: Any, inv_std: Any) -> Any:
    """Σ g and Σ g·x̂ over at most a block."""
    total = run.dtype.type(0)
    dot = run.dtype.type(0)
    for j in range(run.size):
        total += g[j]
        dot += g[j] * times(minus(run[j], hi), inv_std)
    return np.float64(total), np.float64(dot) - np.float64(total) * lo * inv_std


@inline
def run_gradient_sums(g: Any, run: Any, hi: Any, lo: Any, inv_std: Any) -> Any:
    """Σ g and Σ g·x̂ over a run of any length."""
    if run.size <= BLOCK:
        return gradient_sums(g, run, hi, lo, inv_std)
    total = 0.0
    dot = 0.0
    for i in range(0, run.size, BLOCK):
        part, part_dot = gradient_sums(g[i : i + BLOCK], run[i : i + BLOCK], hi, lo, inv_std)
        total += part
        dot += part_dot
    return total, dot


@inline
def scaled_gradient_sums(g: Any, run: Any, gamma: Any, hi: Any, lo: Any, inv_std: Any) -> Any:
    """Σ h and Σ h·x̂ over at most a block, h = γ g with a γ for each element."""
    total = run.dtype.type(0)
    dot = run.dtype.type(0)
    for j in range(run.size):
        h = g[j] * gamma[j]
        total += h
        dot += h * times(minus(run[j], hi), inv_std)
    return np.float64(total), np.float64(dot) - np.float64(total) * lo * inv_std


@inline
def scaled_run_gradient_sums(g: Any, run: Any, gamma: Any, hi: Any, lo: Any, inv_std: Any) -> Any:
    """`scaled_gradient_sums` for a run of any length."""
    if run.size <= BLOCK:
        return scaled_gradient_sums(g, run, gamma, hi, lo, inv_std)
    total = 0.0
    dot = 0.0
    for i in range(0, run.size, BLOCK):
        block = slice(i, i + BLOCK)
        part, part_dot = scaled_gradient_sums(g[block], run[block], gamma[block], hi, lo, inv_std)
        total += part
        dot += part_dot
    return total, dot


@inline
def add_parameter_gradients(g: Any, run: Any, dgamma: Any, dbeta: Any, hi: Any, lo: Any, inv_std: Any) -> None:
    """dγ += g·x̂ and dβ += g, with a γ and a β for each element."""
    low = lo * inv_std
    for j in range(run.size):
        dgamma[j] += g[j] * minus(minus(run[j], hi) * inv_std, low)
        dbeta[j] += g[j]


@inline
def gradient_run(
    g: Any, run: Any, dx: Any, hi: Any, lo: Any, inv_std: Any, gamma: Any, mean_h: Any, mean_hx: Any
) -> None:
    """dx = (h − mean(h) − x̂ · mean(h·x̂)) / √(σ² + ε),  h = γ g with one γ for the whole run.

    The order of operations is fixed. Otherwise the compiler could choose another order, and another last bit, for
    several threads, or for arrays so close in memory that it uses no SIMD.
    """
    low = lo * inv_std
    for j in range(run.size):
        x_hat = minus(minus(run[j], hi) * inv_std, low)
        dx[j] = times(minus(minus(g[j] * gamma, mean_h), x_hat * mean_hx), inv_std)


@inline
def scaled_gradient_run(
    g: Any, run: Any, dx: Any, hi: Any, lo: Any, inv_std: Any, gamma: Any, mean_h: Any, mean_hx: Any
) -> None:
    """The same with a γ for each element."""
    low = lo * inv_std
    for j in range(run.size):
        x_hat = minus(minus(run[j], hi) * inv_std, low)
        dx[j] = times(minus(minus(g[j] * gamma[j], mean_h), x_hat * mean_hx), inv_std)


# -- rows: a group is contiguous, γ and β change from element to element -------------------------------------


@kernel
def rows_forward(x: Any, gamma: Any, beta: Any, eps: float, y: Any, stats: Any) -> None:
    """x, y: R·M numbers. gamma, beta: G·M; row r uses number r modulo G (G = 1: the same for all rows)."""
    rows = stats.shape[1]
    n = x.size // rows
    groups = gamma.size // n
    x, y = x.reshape((rows, n)), y.reshape((rows, n))
    scale, shift = gamma.reshape((groups, n)), beta.reshape((groups, n))
    sample, share = sample_size(n), 1.0 / n
    sample_share = 1.0 / sample
    for r in prange(rows):
        # Write `x[r]` each time, not a variable: then Numba need not count references.
        origin = near_mean(x[r, :sample], sample_share)
        total, squares = run_sums_about(x[r], origin)
        if far(total, squares, share) or out_of_range(squares, n):
            origin, total, squares = sums_again(x[r], origin + total * share)
        write_stats(stats, r, origin, total, squares, share, eps)
        group = r % groups if groups > 1 else 0
        standardize_elements(x[r], y[r], stats[0, r], stats[1, r], stats[2, r], scale[group], shift[group])


@inline
def add_to(total: Any, part: Any) -> None:
    """total += part, in float64."""
    for j in range(part.size):
        total[j] += np.float64(part[j])


@inline
def copy(run: Any, out: Any) -> None:
    """out[:] = run. Numba would compile this assignment with a check of lengths, which takes over a second."""
    for j in range(run.size):
        out[j] = run[j]


def row_chunks(rows: int, work: int) -> int:
    """The number of chunks in which `rows_backward` sums ∂L/∂γ. It depends only on the shape, never on the threads."""
    return min(rows, max(-(-rows // 64), 8 if work >= jit.PARALLEL_FROM else 1))


@kernel
def rows_backward(g: Any, x: Any, gamma: Any, stats: Any, dx: Any, dgamma: Any, dbeta: Any, partial: Any) -> None:
    """partial: (chunks, 2, G, M), of x's dtype, to hold the sums for γ and β over each chunk of rows."""
    rows, n = x.shape
    chunks, _, groups, _ = partial.shape
    scale = gamma.reshape((groups, n))
    length = (rows + chunks - 1) // chunks
    for chunk in prange(chunks):
        partial[chunk] = 0
        for r in range(chunk * length, min(rows, chunk * length + length)):
            group = r % groups if groups > 1 else 0
            hi, lo, inv_std = stats[0, r], stats[1, r], stats[2, r]
            # Three plain loops: a single loop would use too many arrays; the compiler could not prove that they do not
            # overlap, and would use no SIMD.
            sum_h, sum_hx = scaled_run_gradient_sums(g[r], x[r], scale[group], hi, lo, inv_std)
            add_parameter_gradients(g[r], x[r], partial[chunk, 0, group], partial[chunk, 1, group], hi, lo, inv_std)
            mean_h, mean_hx = x.dtype.type(sum_h / n), x.dtype.type(sum_hx / n)
            scaled_gradient_run(g[r], x[r], dx[r], hi, lo, inv_std, scale[group], mean_h, mean_hx)
    if chunks == 1:
        for group in range(groups):
            copy(partial[0, 0, group], dgamma[group * n : group * n + n])
            copy(partial[0, 1, group], dbeta[group * n : group * n + n])
        return
    totals = np.empty((2, n))
    for group in range(groups):
        totals[:] = 0
        for chunk in range(chunks):
            add_to(totals[0], partial[chunk, 0, group])
            add_to(totals[1], partial[chunk, 1, group])
        copy(totals[0], dgamma[group * n : group * n + n])
        copy(totals[1], dbeta[group * n : group * n + n])


# -- segments: a group is contiguous, and made of runs that have one γ and one β each ------------------------


@kernel
def segments_forward(x: Any, gamma: Any, beta: Any, eps: float, y: Any, stats: Any, runs: int) -> None:
    """x, y: R·M numbers, each row made of `runs` runs. gamma, beta: G·runs, row r being of group r modulo G."""
    rows = stats.shape[1]
    n = x.size // rows
    groups = gamma.size // runs
    x, y = x.reshape((rows, n)), y.reshape((rows, n))
    length = n // runs
    sample, share = sample_size(n), 1.0 / n
    sample_share = 1.0 / sample
    for r in prange(rows):
        # Write `x[r]` each time, not a variable: then Numba need not count references.
        origin = near_mean(x[r, :sample], sample_share)
        total, squares = run_sums_about(x[r], origin)
        if far(total, squares, share) or out_of_range(squares, n):
            origin, total, squares = sums_again(x[r], origin + total * share)
        write_stats(stats, r, origin, total, squares, share, eps)
        hi, lo, inv_std = stats[0, r], stats[1, r], stats[2, r]
        first = r % groups * runs
        for k in range(runs):
            run, out = x[r, k * length : (k + 1) * length], y[r, k * length : (k + 1) * length]
            standardize_run(run, out, hi, lo, inv_std * gamma[first + k], beta[first + k])


@kernel
def segments_backward(g: Any, x: Any, gamma: Any, stats: Any, dx: Any, dgamma: Any, dbeta: Any, partial: Any) -> None:
    """g, x, dx: (R, runs, length). partial: (2, R, runs), of float64, to hold Σ g·x̂ and Σ g of every run."""
    rows, runs, length = x.shape
    n = runs * length
    groups = gamma.size // runs
    for r in prange(rows):
        hi, lo, inv_std = stats[0, r], stats[1, r], stats[2, r]
        first = r % groups * runs
        sum_h = 0.0
        sum_hx = 0.0
        for k in range(runs):
            total, dot = run_gradient_sums(g[r, k], x[r, k], hi, lo, inv_std)
            partial[0, r, k] = dot
            partial[1, r, k] = total
            sum_h += total * gamma[first + k]
            sum_hx += dot * gamma[first + k]
        mean_h, mean_hx = x.dtype.type(sum_h / n), x.dtype.type(sum_hx / n)
        for k in range(runs):
            gradient_run(g[r, k], x[r, k], dx[r, k], hi, lo, inv_std, gamma[first + k], mean_h, mean_hx)
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


@inline
def channel_sums_about(x: Any, c: Any, origin: Any) -> Any:
    """`sums_about` over all runs of channel `c`."""
    total = 0.0
    squares = 0.0
    for i in range(x.shape[0]):
        part, part_squares = run_sums_about(x[i, c], origin)
        total += part
        squares += part_squares
    return total, squares


@inline
def wide_channel_sums(x: Any, c: Any, share: Any) -> Any:
    """An origin for channel `c`, and the sums about it, in float64 throughout."""
    total = 0.0
    squares = 0.0
    for i in range(x.shape[0]):
        total += wide_sum_from(x[i, c], x[0, c, 0])
    origin = x.dtype.type(x[0, c, 0] + total * share)
    total = 0.0
    for i in range(x.shape[0]):
        part, part_squares = wide_sums_about(x[i, c], origin)
        total += part
        squares += part_squares
    return origin, total, squares


@kernel
def channels_forward(x: Any, gamma: Any, beta: Any, eps: float, y: Any, stats: Any, given: bool) -> None:
    """x, y: (N, C, S). With `given`, `stats` are used unchanged (evaluation); otherwise they are computed."""
    batch, channels, space = x.shape
    if given:  # one pass, in the order of memory
        for r in prange(batch * channels):
            i, c = r // channels, r % channels
            standardize_run(x[i, c], y[i, c], stats[0, c], stats[1, c], stats[2, c] * gamma[c], beta[c])
        return
    n = batch * space
    share = 1.0 / n
    sample = min(space, sample_size(n))
    for c in prange(channels):
        origin = near_mean(x[0, c, :sample], 1.0 / sample)
        total, squares = channel_sums_about(x, c, origin)
        if far(total, squares, share):
            origin = x.dtype.type(origin + total * share)
            total, squares = channel_sums_about(x, c, origin)
        if out_of_range(squares, n):
            origin, total, squares = wide_channel_sums(x, c, share)
        write_stats(stats, c, origin, total, squares, share, eps)
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
            part, part_dot = run_gradient_sums(g[i, c], x[i, c], hi, lo, inv_std)
            total += part
            dot += part_dot
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


@kernel
def given_stats(mean: Any, variance: Any, eps: float, stats: Any) -> None:
    """`stats` of channels whose mean and variance are known beforehand."""
    for c in range(mean.size):
        stats[0, c] = mean[c]
        stats[1, c] = 0
        # If the variance is 0 without ε, or negative, the result is not finite.
        stats[2, c] = 1 / np.sqrt(np.float64(variance[c]) + eps)
        stats[3, c] = variance[c]


# -- columns: (N, C), channels side by side. A task is a chunk of whole rows --------------------------------


@inline
def add_from(row: Any, origin: Any, total: Any) -> None:
    """total += x − origin, column by column."""
    for j in range(row.size):
        total[j] += minus(row[j], origin[j])


@inline
def add_about(row: Any, origin: Any, total: Any, squares: Any) -> None:
    """total += x − origin and squares += (x − origin)²."""
    for j in range(row.size):
        d = minus(row[j], origin[j])
        total[j] += d
        squares[j] += d * d


@inline
def add_gradients(g: Any, row: Any, hi: Any, lo: Any, inv_std: Any, total: Any, dot: Any) -> None:
    """total += g and dot += g·x̂."""
    for j in range(row.size):
        total[j] += g[j]
        dot[j] += g[j] * times(minus(minus(row[j], hi[j]), lo[j]), inv_std[j])


@inline
def move(part: Any, total: Any) -> None:
    """Add partial sums to the float64 sums, and set the partial sums to 0."""
    add_to(total, part)
    part[:] = 0


@inline
def standardize_columns(row: Any, out: Any, hi: Any, scale: Any, low: Any) -> None:
    """out = (x − hi) · scale − low,  low = lo · scale − shift."""
    for j in range(row.size):
        out[j] = minus(minus(row[j], hi[j]) * scale[j], low[j])


@inline
def gradient_columns(g: Any, row: Any, dx: Any, hi: Any, lo: Any, mean_g: Any, slope: Any, scale: Any) -> None:
    """dx = (g − mean(g) − (x − μ) · slope) · scale,  slope = mean(g·x̂) / √(σ² + ε),  scale = γ / √(σ² + ε)."""
    for j in range(row.size):
        dx[j] = (minus(g[j], mean_g[j]) - minus(minus(row[j], hi[j]), lo[j]) * slope[j]) * scale[j]


@inline
def scale_columns(g: Any, dx: Any, scale: Any) -> None:
    for j in range(g.size):
        dx[j] = g[j] * scale[j]


@inline
def gather(chunks: Any, totals: Any) -> None:
    """Add up the sums of the chunks, (chunks, 2, C), in their order, into the totals, (2, C)."""
    totals[:] = 0
    for chunk in range(chunks.shape[0]):
        for c in range(totals.shape[1]):
            totals[0, c] += chunks[chunk, 0, c]
            totals[1, c] += chunks[chunk, 1, c]


@kernel
def columns_forward(x: Any, gamma: Any, beta: Any, eps: float, y: Any, stats: Any, given: bool) -> None:
    """x, y: (N, C). With `given`, `stats` are used unchanged (evaluation); otherwise they are computed."""
    batch, channels = x.shape
    chunks = (batch + CHUNK - 1) // CHUNK
    share = 1.0 / batch
    sample = sample_size(batch)
    factors = np.zeros((3, channels), x.dtype)
    if not given:
        origin = factors[2]
        for i in range(sample):
            add_from(x[i], x[0], factors[0])
        for c in range(channels):
            origin[c] = x[0, c] + factors[0, c] / sample
        sums = np.zeros((chunks, 2, channels))
        totals = np.empty((2, channels))
        for attempt in range(2):
            for chunk in prange(chunks):
                parts = np.zeros((2, channels), x.dtype)
                sums[chunk] = 0
                for i in range(chunk * CHUNK, min(batch, chunk * CHUNK + CHUNK)):
                    add_about(x[i], origin, parts[0], parts[1])
                    if i % ROWS == ROWS - 1 or i == batch - 1:
                        move(parts[0], sums[chunk, 0])
                        move(parts[1], sums[chunk, 1])
            gather(sums, totals)
            astray = False
            for c in range(channels):
                astray = astray or far(totals[0, c], totals[1, c], share)
            if not astray or attempt == 1:
                break
            for c in range(channels):
                origin[c] += totals[0, c] * share
        for c in range(channels):
            start, total, squares = origin[c], totals[0, c], totals[1, c]
            if out_of_range(squares, batch):
                column = x[:, c]
                start = x.dtype.type(column[0] + wide_sum_from(column, column[0]) * share)
                total, squares = wide_sums_about(column, start)
            write_stats(stats, c, start, total, squares, share, eps)
    hi, scale, low = stats[0], factors[0], factors[1]
    for c in range(channels):
        scale[c] = stats[2, c] * gamma[c]
        low[c] = stats[1, c] * scale[c] - beta[c]
    for chunk in prange(chunks):
        for i in range(chunk * CHUNK, min(batch, chunk * CHUNK + CHUNK)):
            standardize_columns(x[i], y[i], hi, scale, low)


@kernel
def columns_backward(g: Any, x: Any, gamma: Any, stats: Any, dx: Any, dgamma: Any, dbeta: Any, given: bool) -> None:
    """With `given` statistics, which do not depend on x: dx = γ g / √(σ² + ε)."""
    batch, channels = x.shape
    chunks = (batch + CHUNK - 1) // CHUNK
    hi, lo, inv_std = stats[0], stats[1], stats[2]
    sums = np.zeros((chunks, 2, channels))
    for chunk in prange(chunks):
        parts = np.zeros((2, channels), x.dtype)
        for i in range(chunk * CHUNK, min(batch, chunk * CHUNK + CHUNK)):
            add_gradients(g[i], x[i], hi, lo, inv_std, parts[0], parts[1])
            if i % ROWS == ROWS - 1 or i == batch - 1:
                move(parts[0], sums[chunk, 0])
                move(parts[1], sums[chunk, 1])
    totals = np.empty((2, channels))
    gather(sums, totals)
    factors = np.empty((3, channels), x.dtype)
    mean_g, slope, scale = factors[0], factors[1], factors[2]
    for c in range(channels):
        dbeta[c] = totals[0, c]
        dgamma[c] = totals[1, c]
        mean_g[c] = totals[0, c] / batch
        slope[c] = totals[1, c] / batch * inv_std[c]
        scale[c] = inv_std[c] * gamma[c]
    for chunk in prange(chunks):
        for i in range(chunk * CHUNK, min(batch, chunk * CHUNK + CHUNK)):
            if given:
                scale_columns(g[i], dx[i], scale)
            else:
                gradient_columns(g[i], x[i], dx[i], hi, lo, mean_g, slope, scale)


# -- running averages ----------------------------------------------------------------------------------------


@in_order
def follow(running: Any, new: Any, momentum: Any) -> Any:
    # In exactly this order: running + momentum · (new − running) would turn an infinite average into NaN, and 1 after
    # 1e20 into 0.
    return (1 - momentum) * running + momentum * new


@kernel
def update_running(running_mean: Any, running_var: Any, stats: Any, momentum: float, unbias: float) -> None:
    """Move running averages toward the statistics, averaged over the samples if each has its own.

    stats: (4, N·C), sample by sample; `unbias` is n/(n − 1), for the running variance is the unbiased one.
    """
    channels = running_mean.size
    samples = stats.shape[1] // channels
    for c in range(channels):
        mean = 0.0
        variance = 0.0
        for i in range(c, stats.shape[1], channels):
            mean += np.float64(stats[0, i]) + np.float64(stats[1, i])
            variance += np.float64(stats[3, i])
        running_mean[c] = follow(running_mean[c], mean / samples, momentum)
        running_var[c] = follow(running_var[c], variance / samples * unbias, momentum)
