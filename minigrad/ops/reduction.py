"""Reductions: sums, means, extrema and products over axes."""

from typing import Any

import numpy as np

from minigrad.autograd import Function
from minigrad.ops.dims import accepts_dim, normalize_axes
from minigrad.ops.elementwise import cast, expand
from minigrad.ops.shape import reshape


def keepdim_shape(shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[int, ...]:
    """`shape` with length 1 along the reduced axes."""
    return tuple(1 if i in axes else n for i, n in enumerate(shape))


class Sum(Function):
    """s = Σ x over `axes`:  every summand's derivative is 1."""

    def __init__(self, axes: tuple[int, ...], keepdim: bool):
        self.axes, self.keepdim = axes, keepdim

    def forward(self, x: Any) -> Any:
        self.original = x.shape
        return x.sum(axis=self.axes, keepdims=self.keepdim)

    def backward(self, g: Any) -> Any:
        return expand(reshape(g, keepdim_shape(self.original, self.axes)), self.original)


@accepts_dim
def sum(x: Any, axis: Any = None, keepdim: bool = False, dtype: Any = None) -> Any:
    """Σ x over `axis` (default: all axes). Booleans and integers add up to int64.

    Example:
        >>> import minigrad as mg
        >>> mg.tensor([[1.0, 2.0], [3.0, 4.0]]).sum(axis=1).tolist()
        [3.0, 7.0]
    """
    x = x if dtype is None else cast(x, dtype)
    return Sum(normalize_axes(axis, x.ndim, "sum"), keepdim)(x)


@accepts_dim
def mean(x: Any, axis: Any = None, keepdim: bool = False) -> Any:
    """(1/n) Σ x over `axis` (default: all axes), n being the number of elements averaged."""
    if x.dtype.kind != "f":
        raise TypeError(f"mean: needs a floating-point tensor, not {x.dtype}: convert it first, x.float()")
    axes = normalize_axes(axis, x.ndim, "mean")
    n = int(np.prod([x.shape[a] for a in axes]))
    return sum(x, axes, keepdim) / n if n else sum(x, axes, keepdim) * float("nan")
