"""Kernels for activations: the gate of the ReLU family, the exponential tail of the ELU family, softmax along rows."""

import math

import numpy as np

from minigrad.kernels.jit import inline, kernel, prange


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


# eᶻ − 1 for z < 0, in a form that the compiler can turn into SIMD instructions. The library's expm1 handles one number
# at a time, and takes ten times as long. With z = k log 2 + r, k an integer and |r| ≤ ½ log 2,
#
#   eᶻ − 1 = 2ᵏ (eʳ − 1) + (2ᵏ − 1),    eʳ − 1 = r + r²/2! + r³/3! + …
#
# Near 0, where eᶻ − 1 would lose digits, k is 0 and only the series remains. For smaller z, the rounding errors of the
# series and of k log 2 shrink with 2ᵏ. The error of the result is at most 1.2 units in the last place.
# (Muller, "Elementary Functions", explains this reduction.)

LOG_2 = math.log(2)
SERIES = tuple([1 / math.factorial(n) for n in range(14)])
LOG_2_FLOAT32 = np.float32(LOG_2)
INVERSE_LOG_2_FLOAT32 = np.float32(1 / LOG_2)
SERIES_FLOAT32 = tuple([np.float32(c) for c in SERIES[:8]])


@inline
def _expm1_float32(z):
    if z < -18:  # the result is −1 from here on, and 2ᵏ would leave the range of the exponents
        z = np.float32(-18)
    # np.int32 rounds towards 0; with − ½ this gives the nearest integer, because z < 0.
    k = np.int32(z * INVERSE_LOG_2_FLOAT32 - np.float32(0.5))
    r = z - np.float32(k) * LOG_2_FLOAT32
    c = SERIES_FLOAT32
    p = r * (c[1] + r * (c[2] + r * (c[3] + r * (c[4] + r * (c[5] + r * (c[6] + r * c[7]))))))
    # The bits of the float32 number 2ᵏ: sign 0, exponent k + 127, and 23 zeros.
    power = np.int32((k + 127) << 23).view(np.float32)
    return power * p + (power - c[0])


@inline
def _expm1_float64(z):
    if z < -40:
        z = -40.0
    k = np.int32(z * (1 / LOG_2) - 0.5)
    r = z - np.float64(k) * LOG_2
    c = SERIES
    p = c[7] + r * (c[8] + r * (c[9] + r * (c[10] + r * (c[11] + r * (c[12] + r * c[13])))))
    p = r * (c[1] + r * (c[2] + r * (c[3] + r * (c[4] + r * (c[5] + r * (c[6] + r * p))))))
    power = np.int64((np.int64(k) + 1023) << 52).view(np.float64)  # here the exponent is followed by 52 zeros
    return power * p + (power - c[0])


@kernel
def elu_float32(x, scale, depth, rate, y):
    """y = depth (exp(rate · x) − 1) where x < 0, and scale · x elsewhere (a NaN stays one). All arrays are 1-d."""
    scale, depth, rate = np.float32(scale), np.float32(depth), np.float32(rate)
    for i in prange(x.size):
        y[i] = depth * _expm1_float32(rate * x[i]) if x[i] < 0 else scale * x[i]


@kernel
def elu_float64(x, scale, depth, rate, y):
    for i in prange(x.size):
        y[i] = depth * _expm1_float64(rate * x[i]) if x[i] < 0 else scale * x[i]


@kernel
def elu_backward(g, y, scale, depth, rate, out):
    """The slope of elu, from its output, times g: scale where y > 0, and rate (y + depth) elsewhere."""
    scale, depth, rate = g.dtype.type(scale), g.dtype.type(depth), g.dtype.type(rate)
    for i in prange(g.size):
        out[i] = g[i] * (scale if y[i] > 0 else rate * (y[i] + depth))


# Softmax takes three passes over memory, because NumPy's exponential works on many numbers at once. An exponential
# inside a loop here would work on one number at a time, which takes four times as long as all the rest.


def softmax(work, x, y):
    """y = exp(x − max x) / Σ exp(x − max x) along each row of a 2-d array.

    Subtracting the maximum does not change the quotient, and then no exponential can overflow.
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
    """out = y · (g − Σ g y), row by row. Sums are in double precision, because rows may be long."""
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
        # Four maxima at once: with a single maximum, each comparison would wait for the comparison before.
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
