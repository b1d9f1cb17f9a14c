"""Running sums and products along an axis, and the linear recurrence behind their gradients."""

from typing import Any

import numpy as np

from minigrad.autograd import Function
from minigrad.kernels import scan as kernels
from minigrad.ops.dims import accepts_dim
from minigrad.ops.elementwise import cast
from minigrad.ops.indexing import getitem
from minigrad.ops.shape import cat, flip, movedim, one_axis


class CumSum(Function):
    """yₜ = x₀ + ... + xₜ:  element t is in every sum from t on, so the gradient is a running sum from the end."""

    def __init__(self, axis: int):
        self.axis = axis

    def forward(self, x: Any) -> Any:
        if x.dtype.kind in "iub":
            return np.cumsum(x, axis=self.axis, dtype=np.int64)
        # In float64: each sum uses the sum before, and in float32 a million rounding errors would add up.
        return np.cumsum(x, axis=self.axis, dtype=np.float64).astype(x.dtype, copy=False)

    def backward(self, g: Any) -> Any:
        return flip(CumSum(self.axis)(flip(g, self.axis)), self.axis)


class CumProd(Function):
    """yₜ = x₀ · ... · xₜ.

    The gradient of xⱼ is Σ_{t≥j} gₜ Π_{i≤t, i≠j} xᵢ. All terms have the product of the elements before j as a factor;
    the rest, Sⱼ = gⱼ + xⱼ₊₁ Sⱼ₊₁, is a recurrence from the end. There is no division, so zeros do no harm.
    """

    def __init__(self, axis: int):
        self.axis = axis

    def forward(self, x: Any) -> Any:
        y = np.cumprod(x, axis=self.axis, dtype=np.int64 if x.dtype.kind in "iub" else None)
        self.save_for_backward(x, y)
        return y

    def backward(self, g: Any) -> Any:
        x, y = self.saved
        x, y, g = (movedim(v, self.axis, -1) for v in (x, y, g))
        return movedim(_shift(y, 1.0) * _from_the_end(x, g), -1, self.axis)


class Recurrence(Function):
    """sₜ = aₜ sₜ₋₁ + bₜ along the last axis.

    Its gradient runs backwards in the same way, λₜ = gₜ + aₜ₊₁ λₜ₊₁, with ∂/∂b = λₜ and ∂/∂a = λₜ sₜ₋₁. So the rule
    needs only this op, for derivatives of every order.
    """

    def forward(self, a: Any, b: Any) -> Any:
        s = np.empty(b.shape, b.dtype)
        if b.size:
            rows = (-1, b.shape[-1])
            flat = [np.ascontiguousarray(v).reshape(rows) for v in (a, b)]
            kernels.recurrence(b.size, *flat, s.reshape(rows))
        self.save_for_backward(a, s)
        return s

    def backward(self, g: Any) -> Any:
        a, s = self.saved
        slope = _from_the_end(a, g)
        return slope * _shift(s, 0.0), slope


def _from_the_end(a: Any, g: Any) -> Any:
    """λₜ = gₜ + aₜ₊₁ λₜ₊₁ along the last axis."""
    return flip(Recurrence()(_shift(flip(a, -1), 0.0), flip(g, -1)), -1)


def _shift(x: Any, first: float) -> Any:
    """`x` moved by one place along the last axis, with `first` in front."""
    if not x.shape[-1]:
        return x
    front = np.full((*x.shape[:-1], 1), first, x.dtype)
    return cat([front, getitem(x, (..., slice(0, x.shape[-1] - 1)))], -1)


@accepts_dim
def cumsum(input: Any, axis: int, dtype: Any = None) -> Any:
    """The running sum along an axis: y[t] = x[0] + ... + x[t]."""
    input = input if dtype is None else cast(input, dtype)
    if input.ndim == 0:
        return cumsum(input.reshape(1), axis).reshape(())
    return CumSum(one_axis(axis, input.ndim, "cumsum"))(input)


@accepts_dim
def cumprod(input: Any, axis: int, dtype: Any = None) -> Any:
    """The running product along an axis: y[t] = x[0] · ... · x[t]. The gradient is also right where elements are 0."""
    input = input if dtype is None else cast(input, dtype)
    if input.ndim == 0:
        return cumprod(input.reshape(1), axis).reshape(())
    return CumProd(one_axis(axis, input.ndim, "cumprod"))(input)
