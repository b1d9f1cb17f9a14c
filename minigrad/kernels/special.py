"""Special functions that NumPy lacks, element by element."""

import math
from typing import Any

import numpy as np

from minigrad.kernels.jit import kernel, prange


@kernel
def _erf(x, y):
    for i in prange(x.size):
        y[i] = math.erf(x[i])


@kernel
def _erfc(x, y):
    for i in prange(x.size):
        y[i] = math.erfc(x[i])


def erf(x: Any) -> "np.ndarray[Any, Any]":
    """The error function of each element of a floating-point array, to the last digit or two of its dtype."""
    return _each(_erf, x)


def erfc(x: Any) -> "np.ndarray[Any, Any]":
    """The complementary error function 1 − erf x, which keeps its digits where it is small."""
    return _each(_erfc, x)


def _each(function: Any, x: Any) -> "np.ndarray[Any, Any]":
    x = np.ascontiguousarray(x).reshape(np.shape(x))  # ascontiguousarray makes 0-d arrays 1-d
    y = np.empty_like(x)
    function(8 * x.size, x.reshape(-1), y.reshape(-1))  # an element costs about as much as eight of a plain loop
    return y
