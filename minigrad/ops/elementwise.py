"""Elementwise arithmetic, the dtypes of operands, and broadcasting."""

from typing import Any

import numpy as np

from minigrad.autograd import Function, Tensor
from minigrad.autograd.tensor import check_dtype
from minigrad.kernels.sums import add_up
from minigrad.ops.device import check_device, conversion

# -- types and shapes of operands -------------------------------------------------------------------------


class Cast(Function):
    """The same values in another dtype."""

    def __init__(self, dtype: Any):
        self.dtype = np.dtype(dtype).newbyteorder("=")
        check_dtype(self.dtype, "to")
        self.differentiable = self.dtype.kind == "f"

    def forward(self, x: Any) -> Any:
        self.original = x.dtype
        return x.astype(self.dtype)

    def backward(self, g: Any) -> Any:
        return cast(g, self.original)


def cast(x: Any, dtype: Any) -> Any:
    """`x` as another dtype; `x` itself if it has that dtype already."""
    return x if x.dtype == np.dtype(dtype) else Cast(dtype)(x)


def to(x: Any, *arguments: Any, **options: Any) -> Any:
    """`x` as another dtype: `x.to(mg.float64)`, `x.to("cpu")`, `x.to("cpu", mg.float64)`, `x.to(other)`.

    Also by keyword: `dtype=`, `device=`, `copy=` (a new tensor in any case) and `non_blocking=` (changes nothing). The
    result is `x` itself where nothing changes.
    """
    dtype, copy = conversion("to", arguments, options)
    result = x if dtype is None else cast(x, dtype)
    return clone(x) if copy and result is x else result


def type_as(x: Any, other: Any) -> Any:
    """`x` in the dtype of `other`."""
    return cast(x, other.dtype)


def cpu(x: Any) -> Any:
    """`x` itself: it is on the CPU."""
    return x


def cuda(x: Any, device: Any = None, non_blocking: bool = False) -> Any:
    """Raises an error: the CPU is the only device."""
    check_device("cuda" if device is None else device, "cuda")
    return x


def to_float(x: Any) -> Any:
    """`x` as float32."""
    return cast(x, np.float32)


def to_double(x: Any) -> Any:
    """`x` as float64."""
    return cast(x, np.float64)


def to_int(x: Any) -> Any:
    """`x` as int32, cut towards zero."""
    return cast(x, np.int32)


def to_long(x: Any) -> Any:
    """`x` as int64, cut towards zero."""
    return cast(x, np.int64)


def to_short(x: Any) -> Any:
    """`x` as int16, cut towards zero."""
    return cast(x, np.int16)


def to_byte(x: Any) -> Any:
    """`x` as uint8, cut towards zero."""
    return cast(x, np.uint8)


def to_bool(x: Any) -> Any:
    """True where `x` is not 0."""
    return cast(x, np.bool_)


def result_dtype(x: Any, y: Any) -> "np.dtype[Any]":
    """The dtype of an op on x and y, by PyTorch's rules.

    bool < integer < float decides first, so int64 + float32 is float32 (NumPy: float64). Within a kind, a
    tensor with axes decides over a 0-d one, and both over a Python number.
    """

    def rank(a: Any) -> tuple[int, int]:
        if not hasattr(a, "dtype"):
            return ("bif".index(np.asarray(a).dtype.kind), 0)
        return ("bif".index("i" if a.dtype.kind == "u" else a.dtype.kind), 2 if a.ndim else 1)

    def dtype(a: Any) -> Any:
        if hasattr(a, "dtype"):
            return a.dtype
        return np.float32 if isinstance(a, float) else np.asarray(a).dtype

    (kind_x, weight_x), (kind_y, weight_y) = rank(x), rank(y)
    if kind_x != kind_y:
        return np.dtype(dtype(x) if kind_x > kind_y else dtype(y))
    if weight_x != weight_y:
        return np.dtype(dtype(x) if weight_x > weight_y else dtype(y))
    return np.promote_types(dtype(x), dtype(y))


def operands(x: Any, y: Any, divide: bool = False) -> tuple[Any, Any]:
    """Bring two operands to one dtype; with `divide`, to a floating-point one.

    In the usual cases, two float tensors of one dtype or a float tensor and a number, nothing happens.
    """
    a = x.array if isinstance(x, Tensor) else x
    b = y.array if isinstance(y, Tensor) else y
    if isinstance(a, np.ndarray):
        kind = type(b)
        if kind is float or kind is int:
            if a.dtype.kind == "f":
                return x, y
        elif kind is np.ndarray and a.dtype is b.dtype and (not divide or a.dtype.kind == "f"):
            return x, y
    return _promoted(x, y, divide)


def _promoted(x: Any, y: Any, divide: bool) -> tuple[Any, Any]:
    if isinstance(x, np.float64):  # a subclass of Python's float, but NumPy would let it decide the dtype
        x = float(x)
    if isinstance(y, np.float64):
        y = float(y)
    x_number, y_number = isinstance(x, float | int), isinstance(y, float | int)
    if not x_number and not hasattr(x, "dtype"):
        x = _from_lists(x, y)
    if not y_number and not hasattr(y, "dtype"):
        y = _from_lists(y, x)
    if y_number or x_number:
        array, number = (x, y) if y_number else (y, x)
        if not hasattr(array, "dtype") or array.dtype.kind == "f":
            return x, y
        if not divide and not isinstance(number, float) and array.dtype.kind != "b":
            return x, y
    elif x.dtype == y.dtype and (not divide or x.dtype.kind == "f"):
        return x, y
    dtype = result_dtype(x, y)
    if divide and dtype.kind != "f":
        dtype = np.dtype(np.float32)
    return (x if x_number else cast(x, dtype)), (y if y_number else cast(y, dtype))


def _from_lists(values: Any, other: Any) -> Any:
    """Lists of numbers as an array. As for a single number, floats take the other operand's dtype if it is a
    floating-point one."""
    array = np.asarray(values)
    check_dtype(array.dtype, "operand")
    if array.dtype.kind == "f":
        dtype = getattr(other, "dtype", None)
        array = array.astype(dtype if dtype in (np.float32, np.float64) else np.float32)
    return array


class SumTo(Function):
    """Add up the axes along which `shape` was broadcast: the transpose of `Expand`."""

    def __init__(self, shape: tuple[int, ...]):
        self.shape = shape

    def forward(self, x: Any) -> Any:
        self.original = x.shape
        extra = x.ndim - len(self.shape)
        axes = tuple(range(extra)) + tuple(
            extra + i for i, n in enumerate(self.shape) if n == 1 and x.shape[extra + i] != 1
        )
        return add_up(x, axes, True).reshape(self.shape)

    def backward(self, g: Any) -> Any:
        return expand(g, self.original)


def sum_to(x: Any, shape: tuple[int, ...]) -> Any:
    """Undo broadcasting: the sum of `x` over every axis that `shape` lacks or has with length 1."""
    return x if x.shape == shape else SumTo(shape)(x)


class Expand(Function):
    """Repeat along new axes and axes of length 1, without copying."""

    is_view = True

    def __init__(self, shape: tuple[int, ...]):
        self.shape = shape

    def forward(self, x: Any) -> Any:
        self.original = np.shape(x)
        try:
            return np.broadcast_to(x, self.shape)
        except ValueError as error:
            raise ValueError(
                f"Expand: shape {self.original} cannot become {self.shape}: only axes of length 1 grow, and new axes "
                "come in front"
            ) from error

    def backward(self, g: Any) -> Any:
        return sum_to(g, self.original)


def expand(input: Any, *shape: Any) -> Any:
    """Broadcast `input` to `shape` without copying; −1 keeps a length.

    Example:
        >>> import minigrad as mg
        >>> mg.tensor([[1.0], [2.0]]).expand(2, 3).tolist()
        [[1.0, 1.0, 1.0], [2.0, 2.0, 2.0]]
    """
    shape = shape[0] if len(shape) == 1 and not isinstance(shape[0], int | np.integer) else shape
    extra = len(shape) - input.ndim
    sizes = tuple(input.shape[i - extra] if n == -1 and i >= extra else int(n) for i, n in enumerate(shape))
    return input if input.shape == sizes else Expand(sizes)(input)


class Clone(Function):
    """A copy; the gradient passes through it."""

    def forward(self, x: Any) -> Any:
        return x.copy()

    def backward(self, g: Any) -> Any:
        return g


def clone(input: Any) -> Any:
    """A copy of the values, through which gradients flow."""
    return Clone()(input)


# -- arithmetic -------------------------------------------------------------------------------------------


class Add(Function):
    """z = x + y:  ∂z/∂x = 1,  ∂z/∂y = 1."""

    def forward(self, x: Any, y: Any) -> Any:
        return x + y

    def backward(self, g: Any) -> Any:
        gx = sum_to(g, self.input_shape(0)) if self.needs(0) else None
        gy = sum_to(g, self.input_shape(1)) if self.needs(1) else None
        return gx, gy


class Sub(Function):
    """z = x − y:  ∂z/∂x = 1,  ∂z/∂y = −1."""

    def forward(self, x: Any, y: Any) -> Any:
        return x - y

    def backward(self, g: Any) -> Any:
        gx = sum_to(g, self.input_shape(0)) if self.needs(0) else None
        gy = sum_to(-g, self.input_shape(1)) if self.needs(1) else None
        return gx, gy


class Mul(Function):
    """z = x · y:  ∂z/∂x = y,  ∂z/∂y = x."""

    def forward(self, x: Any, y: Any) -> Any:
        self.save_for_backward(x, y)
        return x * y

    def backward(self, g: Any) -> Any:
        x, y = self.saved
        gx = sum_to(g * y, x.shape) if self.needs(0) else None
        gy = sum_to(g * x, y.shape) if self.needs(1) else None
        return gx, gy


class Div(Function):
    """z = x / y:  ∂z/∂x = 1/y,  ∂z/∂y = −x/y²."""

    def forward(self, x: Any, y: Any) -> Any:
        self.save_for_backward(x, y)
        with np.errstate(divide="ignore", invalid="ignore"):
            return x / y

    def backward(self, g: Any) -> Any:
        x, y = self.saved
        share = g / y
        gx = sum_to(share, x.shape) if self.needs(0) else None
        gy = sum_to(share * -(x / y), y.shape) if self.needs(1) else None  # y² may leave the range of the numbers
        return gx, gy


class Neg(Function):
    """z = −x."""

    def forward(self, x: Any) -> Any:
        return -x

    def backward(self, g: Any) -> Any:
        return -g


def add(input: Any, other: Any, *, alpha: Any = 1) -> Any:
    """x + alpha · y, with broadcasting."""
    return Add()(*operands(input, other if alpha == 1 else mul(other, alpha)))


def sub(input: Any, other: Any, *, alpha: Any = 1) -> Any:
    """x − alpha · y, with broadcasting."""
    return Sub()(*operands(input, other if alpha == 1 else mul(other, alpha)))


def mul(input: Any, other: Any) -> Any:
    """x · y, elementwise, with broadcasting."""
    return Mul()(*operands(input, other))


def div(input: Any, other: Any, *, rounding_mode: str | None = None) -> Any:
    """x / y, elementwise, with broadcasting. Integers are divided as float32.

    Args:
        input, other: tensors or numbers.
        rounding_mode: "floor" rounds towards −∞, as `x // y` in Python; "trunc" towards 0, as integers in C. Integers
            then stay integers, and the slope is 0.

    Example:
        >>> import minigrad as mg
        >>> x = mg.tensor([7, -7])
        >>> x.div(2).tolist(), x.div(2, rounding_mode="floor").tolist(), x.div(2, rounding_mode="trunc").tolist()
        ([3.5, -3.5], [3, -4], [3, -3])
    """
    if rounding_mode is None:
        return Div()(*operands(input, other, divide=True))
    if rounding_mode == "floor":
        return floor_divide(input, other)
    if rounding_mode == "trunc":
        return TruncDivide()(*operands(input, other))
    raise ValueError(f"div: rounding_mode must be None, 'trunc' or 'floor', not {rounding_mode!r}")


def neg(input: Any) -> Any:
    """−x."""
    return Neg()(input)


# -- whole numbers ----------------------------------------------------------------------------------------


def _refuse_zero(x: Any, y: Any) -> None:
    """Raise an error if integers are divided by 0: NumPy would return 0."""
    if np.result_type(x, y).kind != "f" and not np.all(y):
        raise ZeroDivisionError("an integer is divided by 0; a float would give inf or NaN: x.float()")


def no_slope(g: Any) -> Any:
    """The gradient of a step function, 0. (Not g · 0: that is NaN where g is infinite.)"""
    return np.zeros(g.shape, g.dtype)


class FloorDivide(Function):
    """z = ⌊x / y⌋, a step function: its slope is 0."""

    def forward(self, x: Any, y: Any) -> Any:
        _refuse_zero(x, y)
        with np.errstate(all="ignore"):
            return np.floor_divide(x, y)

    def backward(self, g: Any) -> Any:
        gx = sum_to(no_slope(g), self.input_shape(0)) if self.needs(0) else None
        gy = sum_to(no_slope(g), self.input_shape(1)) if self.needs(1) else None
        return gx, gy


class TruncDivide(FloorDivide):
    """z = x / y without its fraction: rounded towards 0."""

    def forward(self, x: Any, y: Any) -> Any:
        _refuse_zero(x, y)
        with np.errstate(all="ignore"):
            if np.result_type(x, y).kind == "f":
                return np.trunc(np.divide(x, y))
            floor = np.floor_divide(x, y)
            return floor + ((floor < 0) & (floor * y != x))


class Remainder(Function):
    """z = x − y ⌊x / y⌋:  ∂z/∂x = 1,  ∂z/∂y = −⌊x / y⌋ (the floor is constant almost everywhere)."""

    def forward(self, x: Any, y: Any) -> Any:
        self.save_for_backward(x, y)
        _refuse_zero(x, y)
        with np.errstate(all="ignore"):
            return np.remainder(x, y)

    def backward(self, g: Any) -> Any:
        x, y = self.saved
        gx = sum_to(g, x.shape) if self.needs(0) else None
        gy = sum_to(-g * floor_divide(x, y), y.shape) if self.needs(1) else None
        return gx, gy


def floor_divide(input: Any, other: Any) -> Any:
    """⌊x / y⌋, rounded towards −∞ as in Python. `x // y`."""
    return FloorDivide()(*operands(input, other))


def remainder(input: Any, other: Any) -> Any:
    """x − y ⌊x / y⌋, which has the sign of y, as in Python. `x % y`."""
    return Remainder()(*operands(input, other))


def lerp(input: Any, end: Any, weight: Any) -> Any:
    """input + weight · (end − input): from `input` (weight 0) straight to `end` (weight 1)."""
    return add(input, mul(weight, sub(end, input)))


def addcmul(input: Any, tensor1: Any, tensor2: Any, *, value: Any = 1) -> Any:
    """x + value · tensor1 · tensor2."""
    return add(input, mul(tensor1, tensor2), alpha=value)


def addcdiv(input: Any, tensor1: Any, tensor2: Any, *, value: Any = 1) -> Any:
    """x + value · tensor1 / tensor2."""
    return add(input, div(tensor1, tensor2), alpha=value)
