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


@kernel
def softmax(x, y):
    """y = exp(x − max x) / Σ exp(x − max x) along each row of a 2-d array.

    Subtracting the maximum changes nothing in the quotient, and no exponential can overflow.
    """
    rows, n = x.shape
    for r in prange(rows):
        largest = x[r, 0]
        for j in range(n):
            if x[r, j] > largest:
                largest = x[r, j]
        total = np.float64(0)  # in double precision: a long row of float32 is added up exactly enough
        for j in range(n):
            e = np.exp(x[r, j] - largest)
            y[r, j] = e
            total += e
        scale = x.dtype.type(1 / total)
        for j in range(n):
            y[r, j] *= scale


@kernel
def softmax_backward(g, y, out):
    """out = y · (g − Σ g y), row by row."""
    rows, n = y.shape
    for r in prange(rows):
        dot = np.float64(0)
        for j in range(n):
            dot += g[r, j] * y[r, j]
        rounded = y.dtype.type(dot)
        for j in range(n):
            out[r, j] = y[r, j] * (g[r, j] - rounded)


@kernel
def log_softmax(x, y):
    """y = x − max x − log Σ exp(x − max x) along each row of a 2-d array."""
    rows, n = x.shape
    for r in prange(rows):
        largest = x[r, 0]
        for j in range(n):
            if x[r, j] > largest:
                largest = x[r, j]
        total = np.float64(0)
        for j in range(n):
            total += np.exp(x[r, j] - largest)
        log_total = x.dtype.type(np.log(total))
        for j in range(n):
            y[r, j] = x[r, j] - largest - log_total


@kernel
def log_softmax_backward(g, y, out):
    """out = g − exp(y) Σ g, row by row."""
    rows, n = y.shape
    for r in prange(rows):
        total = np.float64(0)
        for j in range(n):
            total += g[r, j]
        rounded = y.dtype.type(total)
        for j in range(n):
            out[r, j] = g[r, j] - np.exp(y[r, j]) * rounded
