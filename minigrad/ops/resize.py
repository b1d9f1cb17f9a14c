"""Resizing pictures: every pixel of the new picture is a pixel of the old picture."""

import math
from typing import Any

import numpy as np

from minigrad.ops.elementwise import clone
from minigrad.ops.indexing import getitem

MODES = ("nearest", "nearest-exact")


def interpolate(input: Any, size: Any = None, scale_factor: Any = None, mode: str = "nearest") -> Any:
    """`input` resized along its axes of space; each new pixel takes the value of an old one.

    New pixel number i shows old pixel number ⌊i · r⌋, with r = old length / new length. With "nearest-exact" it is ⌊(i
    + ½) · r⌋, which compares the centres of pixels rather than their first edges. With factor 2, both modes repeat
    each pixel twice.

    Shapes:
        (N, C, *) → (N, C, *size).

    Args:
        size: the new length of each axis of space; a number for all of them.
        scale_factor: instead of `size`, the factor of the lengths: new length = ⌊old length · factor⌋, and r = 1 /
            factor.
        mode: "nearest" or "nearest-exact".

    Raises:
        ValueError: both or none of `size` and `scale_factor`; a wrong number of them; a length that is not positive;
            another mode (PyTorch also has "linear" and others); no axis of space.

    Example:
        >>> import minigrad as mg
        >>> mg.nn.functional.interpolate(mg.tensor([[[1.0, 2.0, 3.0]]]), size=5).tolist()
        [[[1.0, 1.0, 2.0, 2.0, 3.0]]]
    """
    op = "interpolate"
    n = input.ndim - 2
    if n < 1:
        raise ValueError(f"{op}: the input must be (N, C, ...) with an axis of space, got shape {input.shape}")
    if mode not in MODES:
        raise ValueError(f"{op}: mode must be one of {', '.join(map(repr, MODES))}, got {mode!r}")
    if (size is None) == (scale_factor is None):
        raise ValueError(f"{op}: give either size={size} or scale_factor={scale_factor}")
    lengths = input.shape[2:]
    if size is not None:
        new = [int(length) for length in _each_axis(op, "size", size, n)]
        ratios = [old / max(length, 1) for old, length in zip(lengths, new, strict=True)]
    else:
        factors = [float(factor) for factor in _each_axis(op, "scale_factor", scale_factor, n)]
        new = [math.floor(old * factor) for old, factor in zip(lengths, factors, strict=True)]
        ratios = [1 / factor if factor else 0.0 for factor in factors]
    if min(new) < 1 or (0 in lengths):
        raise ValueError(f"{op}: the axes of space must stay longer than 0, and go from {lengths} to {tuple(new)}")
    if tuple(new) == lengths and size is not None:
        return clone(input)
    # PyTorch's way of rounding; it matters if a new pixel lies exactly between two old pixels.
    number = np.float64 if input.dtype == np.float64 else np.float32
    half = 0.5 if mode == "nearest-exact" else 0.0
    places = []
    for old, length, ratio in zip(lengths, new, ratios, strict=True):
        place = (float(number(ratio)) * (np.arange(length) + half) - half).astype(number) + number(half)
        places.append(np.minimum(np.floor(place.astype(np.float32)).astype(np.int64), old - 1))
    return getitem(input, (slice(None), slice(None), *np.ix_(*places)))


def _each_axis(op: str, name: str, value: Any, n: int) -> list[Any]:
    values = list(value) if isinstance(value, tuple | list) else [value] * n
    if len(values) != n:
        raise ValueError(f"{op}: {name}={value} needs one number for each of the {n} axes of space")
    return values
