"""Special functions that NumPy lacks, element by element."""

import math
from typing import Any

import numpy as np

from minigrad.kernels.jit import kernel, prange


@kernel
def _erf(x, y):
    for i in prange(x.size):
        y[i] = math.erf(x[i])


# erf x ≈ x P(x²)/Q(x²) for |x| ≤ 3.95, and erf x is ±1 in float32 beyond. Of all ratios of polynomials of these
# degrees, this one has the least relative error, 2e-9 (found by weighted least squares). The library's erf handles one
# number at a time; this ratio can be computed for several numbers at once.
P = (
    1.1283791692266343,
    0.18516994862188144,
    0.05427470809482586,
    0.003843383557301956,
    0.00037792977841600585,
    4.640226613841371e-06,
    -1.2966057254052653e-08,
)
Q = (1.0, 0.4974360033681806, 0.11391121168957971, 0.015443719801557952, 0.0013040556684289237, 6.269052982633565e-05)


@kernel
def _erf_float32(x, y):
    for i in prange(x.size):
        a = np.float64(x[i])
        if a > 3.95:  # (not min and max, so that NaN stays NaN)
            a = 3.95
        elif a < -3.95:
            a = -3.95
        z = a * a
        p = P[0] + z * (P[1] + z * (P[2] + z * (P[3] + z * (P[4] + z * (P[5] + z * P[6])))))
        q = Q[0] + z * (Q[1] + z * (Q[2] + z * (Q[3] + z * (Q[4] + z * Q[5]))))
        y[i] = a * p / q


@kernel
def _erfc(x, y):
    for i in prange(x.size):
        y[i] = math.erfc(x[i])


def erf(x: Any) -> "np.ndarray[Any, Any]":
    """The error function of each element of a floating-point array, to the last digit or two of its dtype."""
    x = np.asarray(x)
    return _each(_erf_float32, x, 2) if x.dtype == np.float32 else _each(_erf, x)


def erfc(x: Any) -> "np.ndarray[Any, Any]":
    """The complementary error function 1 − erf x, exact also where it is small."""
    return _each(_erfc, x)


def _each(function: Any, x: Any, cost: int = 8) -> "np.ndarray[Any, Any]":
    """`cost`: one element costs about as much as this number of elements in a plain loop."""
    x = np.ascontiguousarray(x).reshape(np.shape(x))  # ascontiguousarray makes 0-d arrays 1-d
    y = np.empty_like(x)
    function(cost * x.size, x.reshape(-1), y.reshape(-1))
    return y
