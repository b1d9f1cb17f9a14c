"""Long sums of float32 numbers."""

import math
from typing import Any

import numpy as np

LONG = 4096
"""From this number of float32 summands on, adding one after the other may lose more than the last few digits."""


def add_up(x: Any, axes: tuple[int, ...], keepdims: bool = False) -> Any:
    """x.sum(axes), with an error that hardly grows with the number of summands.

    Along neighbours in memory, NumPy adds pairs, then pairs of pairs. Along any other axis it adds row after row, and
    each rounding affects the whole sum so far: in float32, the sum of a million rows of 0.1 is 1 % too large. So long
    sums along such axes are computed in float64.
    """
    dtype = None
    if x.size >= LONG and x.dtype == np.float32:
        count = math.prod([x.shape[a] for a in axes])
        if count >= LONG and (count < x.size or not x.flags.forc):
            nearest = min(range(x.ndim), key=lambda a: abs(x.strides[a]) if x.shape[a] > 1 else math.inf)
            in_pairs = x.shape[nearest] if nearest in axes else 1
            dtype = np.float64 if count >= LONG * in_pairs else None
    total = x.sum(axis=axes, keepdims=keepdims, dtype=dtype)
    return total if dtype is None else total.astype(x.dtype)
