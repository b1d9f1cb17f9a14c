"""Kernels for activations: the gate of the ReLU family, and softmax along rows."""

import numpy as np

from minigrad.kernels.jit import kernel, prange


@kernel
def gate(g, x, slope, out):
    """out = g where x > 0, and slope · g elsewhere: ReLU's forward (with g = x) and backward in one pass.

    All arrays are 1-d. A NaN in x lets g through, so that relu(NaN) is NaN.
    """
    for i in prange(g.size):
        if x[i] <= 0:
            # Not `0 * g`: an infinite gradient must not become NaN where the gate is closed.
            out[i] = slope * g[i] if slope != 0 else 0
        else:
            out[i] = g[i]


# Softmax takes three passes over memory: NumPy's exponential works on many numbers at once, and one inside a
# loop here would work on one at a time, which takes four times as long as all the rest.


def softmax(work, x, y):
    """y = exp(x − max x) / Σ exp(x − max x) along each row of a 2-d array.

    Subtracting the maximum changes nothing in the quotient, and no exponential can overflow.
    """
    _subtract_largest(work, x, y)
    np.exp(y, out=y)
    _divide_by_sum(work, y)


def log_softmax(work, x, y):
    """y = x − max x − log Σ exp(x − max x) along each row of a 2-d array."""
    _subtract_largest(work, x, y)
    _subtract_log_sum(work, np.exp(y), y)


def log_softmax_backward(work, g, y, out):
    """out = g − exp(y) Σ g, row by row."""
    _subtract_share(work, g, np.exp(y), out)


@kernel
def softmax_backward(g, y, out):
    """out = y · (g − Σ g y), row by row. Sums are in double precision: rows may be long."""
    rows, n = y.shape
    for r in prange(rows):
        dot = np.float64(0)
        for j in range(n):
            dot += g[r, j] * y[r, j]
        rounded = y.dtype.type(dot)
        for j in range(n):
            out[r, j] = y[r, j] * (g[r, j] - rounded)


@kernel
def _subtract_largest(x, y):
    rows, n = x.shape
    for r in prange(rows):
        # Four maxima at once: with one, each comparison would wait for the one before.
        m0 = m1 = m2 = m3 = x[r, 0]
        whole = n - n % 4
        for j in range(0, whole, 4):
            m0 = x[r, j] if x[r, j] > m0 else m0
            m1 = x[r, j + 1] if x[r, j + 1] > m1 else m1
            m2 = x[r, j + 2] if x[r, j + 2] > m2 else m2
            m3 = x[r, j + 3] if x[r, j + 3] > m3 else m3
        for j in range(whole, n):
            m0 = x[r, j] if x[r, j] > m0 else m0
        largest = max(max(m0, m1), max(m2, m3))
        for j in range(n):
            y[r, j] = x[r, j] - largest


@kernel
def _divide_by_sum(y):
    rows, n = y.shape
    for r in prange(rows):
        total = np.float64(0)
        for j in range(n):
            total += y[r, j]
        scale = y.dtype.type(1 / total)
        for j in range(n):
            y[r, j] *= scale


@kernel
def _subtract_log_sum(e, y):
    rows, n = y.shape
    for r in prange(rows):
        total = np.float64(0)
        for j in range(n):
            total += e[r, j]
        log_total = y.dtype.type(np.log(total))
        for j in range(n):
            y[r, j] -= log_total


@kernel
def _subtract_share(g, p, out):
    rows, n = p.shape
    for r in prange(rows):
        total = np.float64(0)
        for j in range(n):
            total += g[r, j]
        rounded = p.dtype.type(total)
        for j in range(n):
            out[r, j] = g[r, j] - p[r, j] * rounded
