"""Reductions: sums, averages, spreads, products and norms over axes.

Gradients spread: each is the gradient of the result, broadcast back along the reduced axes, times the slope.
"""

import math
from typing import Any

import numpy as np

from minigrad.autograd import Function
from minigrad.autograd.tensor import raw
from minigrad.kernels.sums import LONG, add_up
from minigrad.ops.compare import Predicate, where
from minigrad.ops.dims import accepts_dim, normalize_axes
from minigrad.ops.elementwise import cast, expand
from minigrad.ops.indexing import getitem
from minigrad.ops.power import pow
from minigrad.ops.scan import cumprod
from minigrad.ops.shape import cat, flip
from minigrad.ops.unary import abs, exp, floating


def keepdim_shape(shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[int, ...]:
    """`shape` with length 1 along the reduced axes."""
    return tuple([1 if i in axes else n for i, n in enumerate(shape)])


def _count(shape: tuple[int, ...], axes: tuple[int, ...]) -> int:
    n = 1
    for a in axes:
        n *= shape[a]
    return n


class Reduction(Function):
    """The common part of all reductions: the axes, and the way back to the earlier shape."""

    def __init__(self, axes: tuple[int, ...], keepdim: bool):
        self.axes, self.keepdim = axes, keepdim

    def keep(self, g: Any, shape: tuple[int, ...]) -> Any:
        """`g`, a result's gradient, with the reduced axes put back with length 1: it broadcasts against x."""
        return g.reshape(keepdim_shape(shape, self.axes))


# -- sums and averages ------------------------------------------------------------------------------------


class Sum(Reduction):
    """s = Σ x:  every summand's derivative is 1."""

    def forward(self, x: Any) -> Any:
        self.original = x.shape
        if x.dtype.kind in "iub":
            return x.sum(axis=self.axes, keepdims=self.keepdim, dtype=np.int64)
        return add_up(x, self.axes, self.keepdim)

    def backward(self, g: Any) -> Any:
        return expand(self.keep(g, self.original), self.original)


class Mean(Reduction):
    """m = (1/n) Σ x:  every summand's derivative is 1/n."""

    def forward(self, x: Any) -> Any:
        self.original = x.shape
        n = _count(x.shape, self.axes)
        return add_up(x, self.axes, self.keepdim) * x.dtype.type(1 / n if n else np.nan)

    def backward(self, g: Any) -> Any:
        n = _count(self.original, self.axes)
        return expand(self.keep(g, self.original) * (1 / n if n else np.nan), self.original)


def _floats_only(x: Any, op: str) -> None:
    if x.dtype.kind != "f":
        raise TypeError(f"{op}: needs a floating-point tensor, not {x.dtype}: convert it first, x.float()")


@accepts_dim
def sum(input: Any, axis: Any = None, keepdim: bool = False, dtype: Any = None) -> Any:
    """Σ x over `axis` (default: all axes). Booleans and integers add up to int64.

    Example:
        >>> import minigrad as mg
        >>> mg.tensor([[1.0, 2.0], [3.0, 4.0]]).sum(axis=1).tolist()
        [3.0, 7.0]
    """
    input = input if dtype is None else cast(input, dtype)
    return Sum(normalize_axes(axis, input.ndim, "sum"), keepdim)(input)


@accepts_dim
def nansum(input: Any, axis: Any = None, keepdim: bool = False) -> Any:
    """Σ x over `axis`, NaN counting as 0; no gradient flows to the NaNs."""
    return sum(where(np.isnan(raw(input)), 0.0, input) if input.dtype.kind == "f" else input, axis, keepdim)


@accepts_dim
def mean(input: Any, axis: Any = None, keepdim: bool = False, dtype: Any = None) -> Any:
    """(1/n) Σ x over `axis` (default: all axes), n being the number of elements averaged; NaN for n = 0."""
    input = input if dtype is None else cast(input, dtype)
    _floats_only(input, "mean")
    return Mean(normalize_axes(axis, input.ndim, "mean"), keepdim)(input)


# -- variance and standard deviation ----------------------------------------------------------------------


class Var(Reduction):
    """v = Σ (x − m)² / (n − c):  ∂v/∂x = 2 (x − m) / (n − c).

    In two passes, the mean first: the shortcut E[x²] − E[x]² loses every digit where the mean is large. The mean
    depends on x as well, but Σ (x − m) = 0, so ∂v/∂m = 0.
    """

    def __init__(self, axes: tuple[int, ...], keepdim: bool, correction: float):
        super().__init__(axes, keepdim)
        self.correction = correction

    def divisor(self, shape: tuple[int, ...]) -> float:
        """n − c, and never below 0."""
        return max(_count(shape, self.axes) - self.correction, 0)

    def deviations(self, x: Any) -> Any:
        n = _count(x.shape, self.axes)
        return x - add_up(x, self.axes, True) * x.dtype.type(1 / n if n else np.nan)

    def variance(self, x: Any) -> Any:
        d = self.deviations(x)
        d *= d
        return add_up(d, self.axes, self.keepdim) / x.dtype.type(self.divisor(x.shape))

    def forward(self, x: Any) -> Any:
        self.save_for_backward(x)
        with np.errstate(all="ignore"):
            return self.variance(x)

    def backward(self, g: Any) -> Any:
        (x,) = self.saved
        n = self.divisor(x.shape)
        return self.keep(g, x.shape) * (2 / n if n else np.nan) * (x - mean(x, self.axes, True))


class Std(Var):
    """s = √v = ‖x − m‖ / √(n − c):  ∂s/∂x = (x − m) / (s (n − c)), and 0 where s = 0, as in PyTorch."""

    def forward(self, x: Any) -> Any:
        with np.errstate(all="ignore"):
            v = self.variance(x)
            if moderate(v):
                s = np.sqrt(v)
            else:
                root = x.dtype.type(np.sqrt(self.divisor(x.shape)))
                s = euclidean(self.deviations(x), self.axes, self.keepdim) / root
        s = np.asarray(s)
        self.save_for_backward(x, s)
        return s

    def backward(self, g: Any) -> Any:
        x, s = self.saved
        n = self.divisor(x.shape)
        if moderate(raw(s), 2):
            return self.keep(g / s, x.shape) * (1 / n if n else np.nan) * (x - mean(x, self.axes, True))
        flat = raw(s) == 0  # and g / s may leave the range of the numbers
        g, s = where(flat, 0.0, g), where(flat, 1.0, s)
        x_hat = (x - mean(x, self.axes, True)) / self.keep(s, x.shape)
        return self.keep(g, x.shape) * (1 / n if n else np.nan) * x_hat


def _spread(op: Any, x: Any, axis: Any, unbiased: Any, keepdim: bool, correction: Any) -> Any:
    name = op.__name__.lower()
    _floats_only(x, name)
    if isinstance(axis, bool):  # PyTorch's var(unbiased)
        axis, unbiased = None, axis
    if unbiased is not None and correction is not None:
        raise TypeError(f"{name}: give unbiased or correction, not both")
    if correction is None:
        correction = 1 if unbiased is None else int(unbiased)
    return op(normalize_axes(axis, x.ndim, name), keepdim, correction)(x)


@accepts_dim
def var(input: Any, axis: Any = None, unbiased: Any = None, keepdim: bool = False, *, correction: Any = None) -> Any:
    """The variance Σ (x − mean)² / (n − correction) over `axis` (default: all axes).

    Args:
        correction: 1 by default, as in PyTorch (NumPy and normalization layers: 0).
        unbiased: the same by another name: True is correction=1, False is correction=0.

    Example:
        >>> import minigrad as mg
        >>> x = mg.tensor([1.0, 3.0])
        >>> x.var().item(), x.var(correction=0).item()
        (2.0, 1.0)
    """
    return _spread(Var, input, axis, unbiased, keepdim, correction)


@accepts_dim
def std(input: Any, axis: Any = None, unbiased: Any = None, keepdim: bool = False, *, correction: Any = None) -> Any:
    """The standard deviation, √var. Its gradient is 0 where all elements are equal."""
    return _spread(Std, input, axis, unbiased, keepdim, correction)


@accepts_dim
def var_mean(
    input: Any, axis: Any = None, unbiased: Any = None, keepdim: bool = False, *, correction: Any = None
) -> Any:
    """The variance and the mean, as a pair."""
    v = var(input, axis, unbiased, keepdim, correction=correction)
    return v, mean(input, None if isinstance(axis, bool) else axis, keepdim)


@accepts_dim
def std_mean(
    input: Any, axis: Any = None, unbiased: Any = None, keepdim: bool = False, *, correction: Any = None
) -> Any:
    """The standard deviation and the mean, as a pair."""
    s = std(input, axis, unbiased, keepdim, correction=correction)
    return s, mean(input, None if isinstance(axis, bool) else axis, keepdim)


# -- products ---------------------------------------------------------------------------------------------


class Prod(Reduction):
    """p = Π x over one axis:  ∂p/∂xᵢ = the product of all the others.

    Not p / xᵢ, which fails at zeros: the product of those before i times the product of those after i.
    """

    def forward(self, x: Any) -> Any:
        self.save_for_backward(x)
        return x.prod(axis=self.axes, keepdims=self.keepdim, dtype=np.int64 if x.dtype.kind in "iub" else None)

    def backward(self, g: Any) -> Any:
        (x,) = self.saved
        (axis,) = self.axes
        before = product_before(x, axis)
        after = flip(product_before(flip(x, axis), axis), axis)
        return self.keep(g, x.shape) * before * after


def product_before(x: Any, axis: int) -> Any:
    """The product of all elements before each one along an axis; 1 for the first."""
    inner = (*[slice(None)] * axis, slice(0, max(x.shape[axis] - 1, 0)))
    first = np.ones((*x.shape[:axis], min(x.shape[axis], 1), *x.shape[axis + 1 :]), x.dtype)
    return cat([first, cumprod(getitem(x, inner), axis)], axis)


@accepts_dim
def prod(input: Any, axis: int | None = None, keepdim: bool = False, dtype: Any = None) -> Any:
    """Π x over one axis (default: over all elements). The gradient is also right where elements are 0."""
    input = input if dtype is None else cast(input, dtype)
    if axis is None or not normalize_axes(int(axis), input.ndim, "prod"):
        p = Prod((0,), False)(input.reshape(-1))
        return p.reshape((1,) * input.ndim) if keepdim else p
    return Prod(normalize_axes(int(axis), input.ndim, "prod"), keepdim)(input)


# -- logsumexp and norms ----------------------------------------------------------------------------------


class LogSumExp(Reduction):
    """y = log Σ eˣ = m + log Σ eˣ⁻ᵐ with m = max x, which cannot overflow:  ∂y/∂x = eˣ⁻ʸ, the softmax."""

    def forward(self, x: Any) -> Any:
        with np.errstate(all="ignore"):
            m = x.max(axis=self.axes, keepdims=True, initial=-np.inf)
            m = np.where(np.isfinite(m), m, x.dtype.type(0))  # ∞ − ∞ is NaN; e^∞ and e^−∞ are right
            y = np.log(add_up(np.exp(x - m), self.axes, True)) + m
        if not self.keepdim:
            y = y.reshape([n for i, n in enumerate(x.shape) if i not in self.axes])
        self.save_for_backward(x, y)
        return y

    def backward(self, g: Any) -> Any:
        x, y = self.saved
        y = where(np.isneginf(raw(y)), 0.0, y)  # all of x is −∞: then eˣ is 0, where eˣ⁻ʸ would be NaN
        return self.keep(g, x.shape) * exp(x - self.keep(y, x.shape))


@accepts_dim
def logsumexp(input: Any, axis: Any = None, keepdim: bool = False) -> Any:
    """log Σ eˣ over `axis` (default: all axes), without overflow."""
    return LogSumExp(normalize_axes(axis, input.ndim, "logsumexp"), keepdim)(floating(input))


TINY = {np.dtype(np.float32): 1e-20, np.dtype(np.float64): 1e-250}
"""A sum of squares, or of other powers, above this has lost nothing to speak of to powers that vanished."""


def moderate(y: Any, p: float = 1) -> bool:
    """Do the p-th powers of all y lie far within the range of the numbers?"""
    bounds = TINY[y.dtype] ** (1 / p), TINY[y.dtype] ** (-1 / p)
    low, high = min(bounds), max(bounds)
    if y.size == 1:  # the same, and several times faster
        return low < y.item() < high
    return bool(((y > low) & (y < high)).all())


class EuclideanNorm(Reduction):
    """y = √(Σ x²):  ∂y/∂x = x / y, and 0 where y = 0, as in PyTorch."""

    def forward(self, x: Any) -> Any:
        y = np.asarray(euclidean(x, self.axes, self.keepdim))
        self.save_for_backward(x, y)
        return y

    def backward(self, g: Any) -> Any:
        x, y = self.saved
        if moderate(raw(y), 2):
            return x * self.keep(g / y, x.shape)
        zero = raw(y) == 0
        g, y = where(zero, 0.0, g), where(zero, 1.0, y)
        # g / y may leave the range of the numbers.
        return self.keep(g, x.shape) * _quotient(x, self.keep(y, x.shape), EuclideanNorm(self.axes, True))


def euclidean(x: Any, axes: tuple[int, ...], keepdim: bool = False) -> Any:
    """√(Σ x²) of an array, whatever the size of its elements.

    Squares leave the range of the numbers long before their root does: in float32 beyond 1e19 and below 1e-19. Where
    that may have happened, the norm is computed again, as m ‖x/m‖ with m = max |x|.
    """
    if x.dtype == np.float32 and x.size < LONG and len(axes) == x.ndim and not keepdim:
        norm = math.sqrt(np.square(x, dtype=np.float64).sum())  # float64 has room for these squares
        if norm < 1e38:
            return x.dtype.type(norm)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        squares = add_up(x * x, axes, keepdim)
        if moderate(squares):
            return np.sqrt(squares)
        m = _magnitude(x, axes)
        y = np.sqrt(add_up((x / m) ** 2, axes, True)) * m
    return y.reshape(np.shape(squares))


def _quotient(x: Any, y: Any, norm: Any) -> Any:
    """x / y for y = norm(x). It does not depend on the size of x, and exists where y itself would overflow."""
    if np.isinf(raw(y)).any():
        x = x / _magnitude(raw(x), norm.axes)
        y = norm(x)
        y = where(raw(y) == 0, 1.0, y)
    return x / y


def _magnitude(x: Any, axes: tuple[int, ...], least: bool = False) -> Any:
    """The largest (or the smallest) |x| over `axes`, which stay; 1 where there is none to divide by."""
    size = np.abs(x)
    m = size.min(axis=axes, keepdims=True, initial=np.inf) if least else size.max(axis=axes, keepdims=True, initial=0)
    return np.where((m > 0) & np.isfinite(m), m, m.dtype.type(1))


class PNorm(Reduction):
    """y = (Σ |x|ᵖ)^(1/p):  ∂y/∂x = sign(x) (|x|/y)ᵖ⁻¹, and 0 where y = 0; for p < 1 also where x = 0.

    Where powers of |x| leave the range of the numbers, powers of |x|/m do not, with m the magnitude that decides the
    sum; nor do powers of |x|/y.
    """

    def __init__(self, p: float, axes: tuple[int, ...], keepdim: bool):
        super().__init__(axes, keepdim)
        self.p = p

    def forward(self, x: Any) -> Any:
        with np.errstate(all="ignore"):
            powers, m = add_up(np.power(np.abs(x), self.p), self.axes, True), 1
            if not moderate(powers):
                m = _magnitude(x, self.axes, least=self.p < 0)
                powers = add_up(np.power(np.abs(x) / m, self.p), self.axes, True)
            y = (np.power(powers, 1 / self.p, dtype=np.float64) * m).astype(x.dtype)
        y = y if self.keepdim else y.squeeze(self.axes)
        self.save_for_backward(x, y)
        return y

    def backward(self, g: Any) -> Any:
        x, y = self.saved
        if self.p > 1 and moderate(raw(y), self.p):
            powers = pow(abs(x), self.p - 1)
            return powers * np.sign(raw(x)) * self.keep(g / pow(y, self.p - 1), x.shape)
        # Powers, or the quotient, may leave the range of the numbers.
        flat = self.keep(raw(y) == 0, x.shape)
        if self.p < 1:
            flat = flat | (raw(x) == 0)
        y = self.keep(where(raw(y) == 0, 1.0, y), x.shape)
        ratio = where(flat, 1.0, _quotient(abs(x), y, PNorm(self.p, self.axes, True)))
        return where(flat, 0.0, self.keep(g, x.shape)) * (np.sign(raw(x)) * pow(ratio, self.p - 1))


class CountNonzero(Reduction):
    """y = the number of elements that are not 0, in the dtype of x: a step function, whose slope is 0."""

    def forward(self, x: Any) -> Any:
        self.original = x.shape
        return np.asarray(np.count_nonzero(x, axis=self.axes, keepdims=self.keepdim)).astype(x.dtype)

    def backward(self, g: Any) -> Any:
        return np.zeros(self.original, g.dtype)


@accepts_dim
def norm(input: Any, p: Any = 2, axis: Any = None, keepdim: bool = False) -> Any:
    """The p-norm (Σ |x|ᵖ)^(1/p) over `axis` (default: all axes), of the elements as one long vector.

    Args:
        p: 2 (or "fro") is the Euclidean norm, 1 the sum of magnitudes, inf and -inf the largest and the smallest
            magnitude, 0 the number of elements that are not 0; any other number as well.

    The gradient is 0 where the norm is 0, for p > 1 and for p < 0, where a single 0 makes it 0; and at elements that
    are 0, for 0 < p < 1. Elements may be of any size that the dtype holds: no power of them overflows or vanishes.

    Example:
        >>> import minigrad as mg
        >>> mg.tensor([3.0, 4.0]).norm().item()
        5.0
    """
    _floats_only(input, "norm")
    axes = normalize_axes(axis, input.ndim, "norm")
    if p in (2, "fro"):
        return EuclideanNorm(axes, keepdim)(input)
    if isinstance(p, str):
        raise ValueError(f'norm: p must be a number or "fro", not {p!r}')
    if p == 0:
        return CountNonzero(axes, keepdim)(input)
    if p == 1:
        return sum(abs(input), axes, keepdim)
    if np.isinf(p):
        from minigrad.ops.extrema import amax, amin

        return (amax if p > 0 else amin)(abs(input), axes, keepdim)
    return PNorm(float(p), axes, keepdim)(input)


# -- truth values and counts: no gradient -----------------------------------------------------------------


def _tested(function: Any, x: Any, axis: Any, keepdim: bool) -> Any:
    axes = normalize_axes(axis, np.ndim(raw(x)), function.__name__)

    def reduced(x: Any) -> Any:
        return function(x, axis=axes, keepdims=keepdim)

    reduced.__name__ = function.__name__
    return Predicate(reduced)(x)


@accepts_dim
def any(input: Any, axis: Any = None, keepdim: bool = False) -> Any:
    """True where at least one element over `axis` (default: all) is other than 0."""
    return _tested(np.any, input, axis, keepdim)


@accepts_dim
def all(input: Any, axis: Any = None, keepdim: bool = False) -> Any:
    """True where all elements over `axis` (default: all) are other than 0."""
    return _tested(np.all, input, axis, keepdim)


@accepts_dim
def count_nonzero(input: Any, axis: Any = None) -> Any:
    """The number of elements that are not 0."""
    return _tested(np.count_nonzero, input, axis, False)


# -- distances --------------------------------------------------------------------------------------------


def cdist(x1: Any, x2: Any, p: float = 2.0) -> Any:
    """The p-norm of the difference of each row of `x1` and each row of `x2`.

    Args:
        x1, x2: (..., P, M) and (..., R, M); the leading axes broadcast.
        p: see `norm`.

    Returns:
        (..., P, R).

    Example:
        >>> import minigrad as mg
        >>> mg.cdist(mg.tensor([[0.0, 0.0], [3.0, 0.0]]), mg.tensor([[0.0, 4.0]])).tolist()
        [[4.0], [5.0]]
    """
    if x1.ndim < 2 or x2.ndim < 2 or x1.shape[-1] != x2.shape[-1]:
        raise ValueError(
            f"cdist: needs two tensors of rows that are equally long, (..., P, M) and (..., R, M), got shapes "
            f"{x1.shape} and {x2.shape}"
        )
    return norm(x1[..., :, None, :] - x2[..., None, :, :], p, -1)
