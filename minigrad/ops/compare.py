"""Comparisons, logic, and ops that choose between values: where, maximum, clip.

The choice is piecewise constant. So these ops keep it as a mask, and send the gradient to the chosen values.
"""

from typing import Any

import numpy as np

from minigrad.autograd import Function, Tensor
from minigrad.autograd.tensor import raw
from minigrad.ops.elementwise import cast, operands, sum_to

# -- comparisons and logic: no gradient -------------------------------------------------------------------


class Predicate(Function):
    """A NumPy function whose results are truth values (or other values that have no gradient)."""

    differentiable = False

    def __init__(self, function: Any):
        self.function = function

    @property
    def name(self) -> str:
        return self.function.__name__

    def forward(self, *arrays: Any) -> Any:
        with np.errstate(invalid="ignore"):
            return self.function(*arrays)


def _comparable(x: Any) -> bool:
    return isinstance(x, Tensor | np.ndarray | np.generic | float | int | list | tuple)


def eq(input: Any, other: Any) -> Any:
    """x = y, element by element."""
    return Predicate(np.equal)(input, other) if _comparable(other) else NotImplemented


def ne(input: Any, other: Any) -> Any:
    """x ≠ y, element by element."""
    return Predicate(np.not_equal)(input, other) if _comparable(other) else NotImplemented


def lt(input: Any, other: Any) -> Any:
    """x < y, element by element."""
    return Predicate(np.less)(input, other)


def le(input: Any, other: Any) -> Any:
    """x ≤ y, element by element."""
    return Predicate(np.less_equal)(input, other)


def gt(input: Any, other: Any) -> Any:
    """x > y, element by element."""
    return Predicate(np.greater)(input, other)


def ge(input: Any, other: Any) -> Any:
    """x ≥ y, element by element."""
    return Predicate(np.greater_equal)(input, other)


def logical_and(input: Any, other: Any) -> Any:
    """True where both x and y are other than 0."""
    return Predicate(np.logical_and)(input, other)


def logical_or(input: Any, other: Any) -> Any:
    """True where x or y (or both) is other than 0."""
    return Predicate(np.logical_or)(input, other)


def logical_xor(input: Any, other: Any) -> Any:
    """True where exactly one of x and y is other than 0."""
    return Predicate(np.logical_xor)(input, other)


def logical_not(input: Any) -> Any:
    """True where x is 0."""
    return Predicate(np.logical_not)(input)


def bitwise_and(input: Any, other: Any) -> Any:
    """x & y: logical for booleans, bit by bit for integers."""
    return Predicate(np.bitwise_and)(input, other)


def bitwise_or(input: Any, other: Any) -> Any:
    """x | y: logical for booleans, bit by bit for integers."""
    return Predicate(np.bitwise_or)(input, other)


def bitwise_xor(input: Any, other: Any) -> Any:
    """x ^ y: logical for booleans, bit by bit for integers."""
    return Predicate(np.bitwise_xor)(input, other)


def bitwise_not(input: Any) -> Any:
    """~x: logical for booleans, bit by bit for integers."""
    return Predicate(np.invert)(input)


def isnan(input: Any) -> Any:
    """True where x is NaN."""
    return Predicate(np.isnan)(input)


def isinf(input: Any) -> Any:
    """True where x is ∞ or −∞."""
    return Predicate(np.isinf)(input)


def isfinite(input: Any) -> Any:
    """True where x is neither infinite nor NaN."""
    return Predicate(np.isfinite)(input)


def isclose(input: Any, other: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Any:
    """|x − y| ≤ atol + rtol · |y|, element by element."""

    def isclose(input: Any, other: Any) -> Any:
        return np.isclose(input, other, rtol, atol, equal_nan)

    return Predicate(isclose)(input, other)


def allclose(input: Any, other: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> bool:
    """True if |x − y| ≤ atol + rtol · |y| everywhere."""
    return bool(np.allclose(raw(input), raw(other), rtol, atol, equal_nan))


def equal(input: Any, other: Any) -> bool:
    """True if x and y have the same shape and the same values."""
    return np.array_equal(raw(input), raw(other))


# -- choosing ---------------------------------------------------------------------------------------------


class Where(Function):
    """z = x where the mask is true, else y: each gets the gradient where it was chosen."""

    def forward(self, mask: Any, x: Any, y: Any) -> Any:
        self.save_for_backward(mask)
        return np.where(mask, x, y)

    def backward(self, g: Any) -> Any:
        (mask,) = self.saved
        gx = sum_to(where(mask, g, 0.0), self.input_shape(1)) if self.needs(1) else None
        gy = sum_to(where(mask, 0.0, g), self.input_shape(2)) if self.needs(2) else None
        return None, gx, gy


def where(condition: Any, input: Any = None, other: Any = None) -> Any:
    """`input` where `condition` is true, and `other` elsewhere, with broadcasting; both may be numbers.

    With a condition only: the indices where it is true, one tensor for each axis.

    Example:
        >>> import minigrad as mg
        >>> x = mg.tensor([-1.0, 2.0])
        >>> mg.where(x > 0, x, 0.0)
        tensor([0., 2.])
    """
    if input is None and other is None:
        return tuple(Tensor(index) for index in np.nonzero(raw(condition)))
    mask = raw(condition)
    if getattr(mask, "dtype", None) != np.bool_:
        if hasattr(mask, "dtype"):
            raise TypeError(f"where: the condition must be boolean, not {mask.dtype}: write e.g. x != 0")
        mask = np.asarray(mask, np.bool_)
    if isinstance(input, float | int) and isinstance(other, float | int):
        input, other = _number(input, other), _number(other, input)
    input, other = operands(input, other)
    # Pass the condition unchanged: a Tensor condition makes the result a Tensor.
    return Where()(condition if isinstance(condition, Tensor) else mask, input, other)


def nonzero(input: Any, *, as_tuple: bool = False) -> Any:
    """The indices of the elements that are not 0: a row for each, or with `as_tuple` a tensor for each axis.

    Example:
        >>> import minigrad as mg
        >>> mg.nonzero(mg.tensor([[0, 5], [7, 0]])).tolist()
        [[0, 1], [1, 0]]
    """
    indices = np.nonzero(np.atleast_1d(raw(input)))
    if as_tuple:
        return tuple(Tensor(index) for index in indices)
    places = np.stack(indices, axis=1) if np.ndim(raw(input)) else np.zeros((len(indices[0]), 0), np.int64)
    return Tensor(places.astype(np.int64))


def _number(x: Any, other: Any) -> Any:
    """A number as an array. If neither operand is a tensor, the dtype is the one that `mg.tensor` gives."""
    if isinstance(x, np.generic):  # not only a number: in a backward pass on arrays, this is what has no axes
        return np.asarray(x)
    return np.asarray(x, np.float32 if isinstance(x, float) or isinstance(other, float) else np.int64)


def masked_fill(x: Any, mask: Any, value: Any) -> Any:
    """`value` where `mask` is true, and `x` elsewhere, in the dtype of `x`."""
    if not hasattr(value, "dtype"):
        value = np.asarray(value)
    if x.dtype.kind in "iu" and not np.isfinite(raw(value)).all():
        raise ValueError(
            f"masked_fill: a tensor of {x.dtype} cannot hold {raw(value)}: convert the tensor first, x.float()"
        )
    return where(mask, cast(value, x.dtype), x)


class Maximum(Function):
    """z = max(x, y): the larger one gets the gradient; where they are equal, each gets half."""

    def forward(self, x: Any, y: Any) -> Any:
        self.lost, self.won, self.tie = x < y, x > y, x == y
        return np.maximum(x, y)

    def backward(self, g: Any) -> Any:
        # x gets the gradient unless x < y, and y gets it unless x > y: both get it where one is NaN.
        shared = where(self.tie, g / 2, g) if self.tie.any() else g
        gx = sum_to(where(self.lost, 0.0, shared), self.input_shape(0)) if self.needs(0) else None
        gy = sum_to(where(self.won, 0.0, shared), self.input_shape(1)) if self.needs(1) else None
        return gx, gy


def maximum(input: Any, other: Any) -> Any:
    """The larger of x and y, element by element. NaN if either is. At ties each gets half the gradient."""
    return Maximum()(*operands(input, other))


def minimum(input: Any, other: Any) -> Any:
    """The smaller of x and y, element by element. NaN if either is. At ties each gets half the gradient."""
    return Minimum()(*operands(input, other))


class Minimum(Maximum):
    """z = min(x, y): the smaller one gets the gradient; where they are equal, each gets half."""

    def forward(self, x: Any, y: Any) -> Any:
        self.lost, self.won, self.tie = x > y, x < y, x == y
        return np.minimum(x, y)


class Clip(Function):
    """z = min(max(x, low), high): x gets the gradient where low ≤ x ≤ high, else the bound that was hit."""

    def forward(self, x: Any, low: Any, high: Any) -> Any:
        z, inside = x, True
        self.at_low = self.at_high = False
        if low is not None:
            z, inside = np.maximum(z, low), x >= low
            self.at_low = x < low
        if high is not None:
            z, inside = np.minimum(z, high), inside & (x <= high)
            self.at_high = x > high
            if low is not None:  # where low > high, the result is high
                self.at_low, self.at_high = self.at_low & (low < high), self.at_high | (high < low)
        self.inside = inside
        return z

    def backward(self, g: Any) -> Any:
        masks = self.inside, self.at_low, self.at_high
        return tuple(
            sum_to(where(mask, g, 0.0), self.input_shape(i)) if self.needs(i) else None for i, mask in enumerate(masks)
        )


def clip(input: Any, min: Any = None, max: Any = None) -> Any:
    """`input` limited to the range from `min` to `max`; either may be missing, a number or a tensor.

    The gradient of x is kept where min ≤ x ≤ max, the bounds included, and is 0 outside. Where min > max the
    result is max.

    Example:
        >>> import minigrad as mg
        >>> mg.tensor([-2.0, 0.5, 3.0]).clip(0, 1)
        tensor([0. , 0.5, 1. ])
    """
    if min is None and max is None:
        raise ValueError("clip: give at least one of min and max")
    for bound in (min, max):
        if bound is not None:
            input, _ = operands(input, bound)
    low = None if min is None else operands(input, min)[1]
    high = None if max is None else operands(input, max)[1]
    return Clip()(input, low, high)


class NanToNum(Function):
    """z = x with numbers for NaN and infinities, which get no gradient."""

    def __init__(self, nan: float, posinf: float | None, neginf: float | None):
        self.nan, self.posinf, self.neginf = nan, posinf, neginf

    def forward(self, x: Any) -> Any:
        self.finite = np.isfinite(x)
        return np.nan_to_num(x, nan=self.nan, posinf=self.posinf, neginf=self.neginf)

    def backward(self, g: Any) -> Any:
        return where(self.finite, g, 0.0)


def nan_to_num(input: Any, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None) -> Any:
    """`input` with `nan` for NaN, and `posinf` and `neginf` for ∞ and −∞ (default: the largest finite numbers)."""
    return NanToNum(nan, posinf, neginf)(input)


def clamp_min(input: Any, min: Any) -> Any:
    """max(x, min), elementwise: as `clip`."""
    return clip(input, min)


def clamp_max(input: Any, max: Any) -> Any:
    """min(x, max), elementwise: as `clip`."""
    return clip(input, max=max)
