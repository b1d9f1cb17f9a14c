"""Axes as arguments: one spelling inside, both spellings outside."""

from collections.abc import Callable
from functools import wraps
from operator import index
from typing import Any

import numpy as np


def accepts_dim(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let a function with an `axis` argument be called with PyTorch's `dim=` as well (and keepdims/keepdim)."""

    @wraps(function)
    def accepting(*args: Any, **options: Any) -> Any:
        if options:
            for theirs, ours in (("dim", "axis"), ("keepdims", "keepdim")):
                if theirs in options:
                    if ours in options:
                        raise TypeError(f"{function.__name__}: {theirs} and {ours} are two names for one: give either")
                    options[ours] = options.pop(theirs)
        return function(*args, **options)

    return accepting


def normalize_axes(axis: Any, ndim: int, op: str) -> tuple[int, ...]:
    """`axis` (None: all; a number; several) as a tuple of numbers from 0 to ndim − 1, in order.

    For a 0-d array, axis 0 or −1 is allowed, as in PyTorch; the result is then an empty tuple.

    Raises:
        IndexError: an axis that the array does not have.
        ValueError: an axis named twice.
        TypeError: `axis` is not an integer, a tuple of integers, or None.
    """
    if axis is None:
        return tuple(range(ndim))
    axes = (int(axis),) if isinstance(axis, int | np.integer) else _several(axis, op)
    if ndim == 0 and axes in ((0,), (-1,)):
        return ()
    for a in axes:
        if not -ndim <= a < ndim:
            raise IndexError(f"{op}: axis {a} is out of range for a tensor with {ndim} axes")
    found = tuple(sorted(a % ndim for a in axes))
    if len(set(found)) != len(found):
        raise ValueError(f"{op}: axis {axis} names an axis twice")
    return found


def _several(axes: Any, op: str) -> tuple[int, ...]:
    try:
        return tuple([index(a) for a in axes])
    except TypeError:
        raise TypeError(f"{op}: axis must be an integer, a tuple of integers, or None, got {axes!r}") from None
