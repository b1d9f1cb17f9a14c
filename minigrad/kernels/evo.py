"""Kernels of EvoNorm B0 and S0: a normalization and an activation in one.

Statistics are found as in `kernels.norm`; everything else is in float64, element by element.
"""

from typing import Any

import numpy as np

from minigrad.kernels.jit import inline, kernel, prange
from minigrad.kernels.norm import far, near_mean, out_of_range, run_sums_about, sample_size, sums_again


@inline
def run_moments(run: Any, sample: Any, share: Any) -> Any:
    """Mean and biased variance, in float64. `share` is 1/n, and `sample` a part of the run to start from."""
    origin = near_mean(sample, 1.0 / sample.size)
    total, squares = run_sums_about(run, origin)
    if far(total, squares, share) or out_of_range(squares, run.size):
        origin, total, squares = sums_again(run, origin + total * share)
    m = total * share
    variance = squares * share - m * m
    if variance < 0:  # by rounding; NaN stays NaN
        variance = 0.0
    return np.float64(origin) + m, variance


# -- B0 ------------------------------------------------------------------------------------------------------


@inline
def larger(a: Any, b: Any) -> Any:
    """The larger number; NaN if either is NaN."""
    return a if a > b or a != a else b


@inline
def divide_run(run: Any, v: Any, of_run: Any, of_batch: Any, gamma: Any, beta: Any, out: Any) -> None:
    for j in range(run.size):
        x = np.float64(run[j])
        out[j] = x / larger(v * x + of_run, of_batch) * gamma + beta


@kernel
def b0_forward(
    x: Any, gamma: Any, beta: Any, v: Any, eps: float, y: Any, means: Any, variances: Any, batch: Any, given: bool
) -> None:
    """x, y: (N, C, S). means, variances: (N, C), of every channel of every sample. batch: (2, C), mean and variance
    over the batch, the law of total variance giving the latter; with `given`, it is used unchanged."""
    samples, channels, space = x.shape
    share, sample = 1.0 / space, sample_size(space)
    for c in prange(channels):
        mean = 0.0
        for i in range(samples):
            means[i, c], variances[i, c] = run_moments(x[i, c], x[i, c, :sample], share)
            mean += means[i, c] / samples
        if not given:
            variance = 0.0
            for i in range(samples):
                away = means[i, c] - mean
                variance += (variances[i, c] + away * away) / samples
            batch[0, c] = mean
            batch[1, c] = variance
        of_batch = np.sqrt(batch[1, c] + eps)
        for i in range(samples):
            of_run = np.sqrt(variances[i, c] + eps)
            divide_run(x[i, c], np.float64(v[c]), of_run, of_batch, np.float64(gamma[c]), beta[c], y[i, c])


@inline
def divided_gradients(g: Any, run: Any, v: Any, of_run: Any, of_batch: Any, gamma: Any, dx: Any) -> Any:
    """The direct part of the gradient of x; and the sums for the gradients of the run's deviation, the batch's
    deviation, v, γ and β."""
    sum_run = 0.0
    sum_batch = 0.0
    sum_v = 0.0
    sum_gamma = 0.0
    sum_beta = 0.0
    for j in range(run.size):
        x = np.float64(run[j])
        own = v * x + of_run
        inverse = 1.0 / larger(own, of_batch)
        # The larger of the two gets the gradient; at a tie, each gets half.
        here = 1.0 if own > of_batch else (0.5 if own == of_batch else 0.0)
        direct = g[j] * inverse
        sent = -direct * gamma * x * inverse
        dx[j] = direct * gamma + here * sent * v
        sum_run += here * sent
        sum_batch += (1.0 - here) * sent
        sum_v += here * sent * x
        sum_gamma += direct * x
        sum_beta += g[j]
    return sum_run, sum_batch, sum_v, sum_gamma, sum_beta


@inline
def add_deviations(run: Any, mean: Any, slope: Any, dx: Any) -> None:
    """dx += slope · (x − mean)."""
    for j in range(run.size):
        dx[j] += slope * (np.float64(run[j]) - mean)


@kernel
def b0_backward(
    g: Any,
    x: Any,
    gamma: Any,
    v: Any,
    eps: float,
    means: Any,
    variances: Any,
    batch: Any,
    given: bool,
    dx: Any,
    sums: Any,
) -> None:
    """sums: (3, C), for ∂L/∂γ, ∂L/∂β and ∂L/∂v."""
    samples, channels, space = x.shape
    for c in prange(channels):
        of_batch = np.sqrt(batch[1, c] + eps)
        to_batch = 0.0
        to_run = np.empty(samples)
        sums[:, c] = 0
        for i in range(samples):
            of_run = np.sqrt(variances[i, c] + eps)
            to_run[i], shared, sum_v, sum_gamma, sum_beta = divided_gradients(
                g[i, c], x[i, c], np.float64(v[c]), of_run, of_batch, np.float64(gamma[c]), dx[i, c]
            )
            to_batch += shared
            sums[0, c] += sum_gamma
            sums[1, c] += sum_beta
            sums[2, c] += sum_v
        for i in range(samples):
            slope = to_run[i] / (space * np.sqrt(variances[i, c] + eps))
            add_deviations(x[i, c], means[i, c], slope, dx[i, c])
            if not given:
                add_deviations(x[i, c], batch[0, c], to_batch / (samples * space * of_batch), dx[i, c])


# -- S0 ------------------------------------------------------------------------------------------------------


@inline
def gate_run(run: Any, e: Any, v: Any, scale: Any, beta: Any, out: Any) -> None:
    """out = x σ(v x) · scale + β, given e = exp(−|v x|)."""
    for j in range(run.size):
        x = np.float64(run[j])
        sigmoid = (1.0 if v * x > 0 else np.float64(e[j])) / (1.0 + e[j])
        out[j] = x * sigmoid * scale + beta


@kernel
def s0_forward(x: Any, e: Any, gamma: Any, beta: Any, v: Any, eps: float, y: Any, stats: Any) -> None:
    """x, e, y: (R, runs, S): a row is a group of one sample, a run one of its channels. e = exp(−|v x|).

    stats: (2, R), mean and variance. Row r has the channels of group r modulo G, which gamma, beta and v hold.
    """
    rows, runs, length = x.shape
    n = runs * length
    groups = gamma.size // runs
    flat = x.reshape((rows, n))
    share, sample = 1.0 / n, sample_size(n)
    for r in prange(rows):
        stats[0, r], stats[1, r] = run_moments(flat[r], flat[r, :sample], share)
        inverse = 1.0 / np.sqrt(stats[1, r] + eps)
        for k in range(runs):
            c = r % groups * runs + k
            gate_run(x[r, k], e[r, k], np.float64(v[c]), inverse * gamma[c], beta[c], y[r, k])


@inline
def gated_gradients(g: Any, run: Any, e: Any, v: Any, scale: Any, dx: Any) -> Any:
    """The direct part of the gradient of x; and Σ g x σ, Σ g, and Σ g x² σ′."""
    sum_gate = 0.0
    sum_beta = 0.0
    sum_v = 0.0
    for j in range(run.size):
        x = np.float64(run[j])
        share = 1.0 / (1.0 + e[j])
        sigmoid = share if v * x > 0 else e[j] * share
        slope = x * (e[j] * share * share)
        dx[j] = g[j] * scale * (sigmoid + v * slope)
        sum_gate += g[j] * (x * sigmoid)
        sum_beta += g[j]
        sum_v += g[j] * (x * slope)
    return sum_gate, sum_beta, sum_v


@kernel
def s0_backward(g: Any, x: Any, e: Any, gamma: Any, v: Any, eps: float, stats: Any, dx: Any, partial: Any) -> None:
    """partial: (3, R, runs), for ∂L/∂γ, ∂L/∂β and ∂L/∂v of each run."""
    rows, runs, length = x.shape
    groups = gamma.size // runs
    for r in prange(rows):
        inverse = 1.0 / np.sqrt(stats[1, r] + eps)
        dot = 0.0
        for k in range(runs):
            c = r % groups * runs + k
            scale = inverse * gamma[c]
            sum_gate, sum_beta, sum_v = gated_gradients(g[r, k], x[r, k], e[r, k], np.float64(v[c]), scale, dx[r, k])
            partial[0, r, k] = sum_gate * inverse
            partial[1, r, k] = sum_beta
            partial[2, r, k] = sum_v * scale
            dot += sum_gate * scale
        slope = -dot * inverse * inverse / (runs * length)
        for k in range(runs):
            add_deviations(x[r, k], stats[0, r], slope, dx[r, k])
