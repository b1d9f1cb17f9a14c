"""Make tensors: from Python numbers and arrays, with constants, ranges, or random numbers.

None of these is a graph op: each result is a leaf. Sizes are given as in PyTorch, `zeros(2, 3)`, `zeros((2, 3))` or
`zeros(size=(2, 3))`; floating-point results are float32 unless `dtype` says otherwise. All take `device="cpu"`, and
the random ones `generator=`, an `mg.Generator`.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np

from minigrad.autograd import Tensor
from minigrad.autograd.tensor import check_dtype, raw
from minigrad.ops.device import check_device
from minigrad.ops.random import generator as numpy_generator

float32, float64 = np.dtype(np.float32), np.dtype(np.float64)
int8, int16, int32, int64 = np.dtype(np.int8), np.dtype(np.int16), np.dtype(np.int32), np.dtype(np.int64)
uint8 = np.dtype(np.uint8)
boolean = np.dtype(np.bool_)  # minigrad.bool


# -- from data --------------------------------------------------------------------------------------------


def tensor(data: Any, dtype: Any = None, requires_grad: bool = False, *, device: Any = None) -> Tensor:
    """A new tensor with a copy of `data`.

    Args:
        data: a number, a NumPy array, a Tensor (its values, without its graph), or nested lists of these.
        dtype: by default that of the array or tensor; float32 for Python floats, int64 for Python integers,
            bool for booleans.
        requires_grad: record what is computed from it, so that `backward()` fills its `.grad`.
        device: "cpu".

    Raises:
        ValueError: lists whose lengths do not fit together.
        TypeError: something that is not a real number.

    Example:
        >>> import minigrad as mg
        >>> mg.tensor([[1, 2], [3, 4.5]])
        tensor([[1. , 2. ],
                [3. , 4.5]])
    """
    check_device(device, "tensor")
    return Tensor(np.array(_array(data, "tensor", dtype), dtype=dtype, order="C"), requires_grad)


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """`data` as a tensor, without a copy if possible: a Tensor is returned itself, and an array's memory is shared.

    Example:
        >>> import numpy as np, minigrad as mg
        >>> array = np.zeros(2)
        >>> mg.as_tensor(array)[0] = 7
        >>> array.tolist()
        [7.0, 0.0]
    """
    check_device(device, "as_tensor")
    if isinstance(data, Tensor):
        from minigrad.ops.elementwise import cast

        return data if dtype is None else cast(data, dtype)
    return Tensor(np.asarray(_array(data, "as_tensor", dtype), dtype=dtype))


def from_numpy(array: "np.ndarray[Any, Any]") -> Tensor:
    """A tensor that shares the memory of `array`: a change in one is seen in the other."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"from_numpy: needs a NumPy array, not {type(array).__name__}; use mg.tensor(...)")
    return Tensor(array)


def _array(data: Any, who: str, dtype: Any = None) -> "np.ndarray[Any, Any]":
    """`data` as an array of a dtype that a tensor may have; `dtype`, if given, is what it will become."""
    if isinstance(data, Tensor):
        return data.array
    if isinstance(data, np.ndarray | np.generic):
        array = np.asarray(data)
        if dtype is None or array.dtype.kind not in "fiub":
            check_dtype(array.dtype, who)
        return array
    dtypes: set[Any] = set()
    plain = _without_tensors(data, dtypes)
    try:
        array = np.array(plain)
    except ValueError as error:
        raise ValueError(
            f"{who}: the nested lists do not form a rectangle: every list at one depth must be equally long ({error})"
        ) from None
    if array.dtype.kind not in "fiub":
        kinds = sorted(_strange_types(plain)) or [str(array.dtype)]
        raise TypeError(
            f"{who}: data must be real numbers or booleans, or nested lists or arrays of them; it holds "
            f"{', '.join(kinds)}"
        )
    if dtype is None and array.dtype == np.float64 and np.dtype(np.float64) not in dtypes:
        array = array.astype(np.float32)  # Python floats, which say nothing about precision
    return array


def _without_tensors(data: Any, dtypes: set[Any]) -> Any:
    """Nested lists with arrays for Tensors; `dtypes` collects those of arrays and tensors on the way."""
    if isinstance(data, list | tuple | range):
        return [_without_tensors(item, dtypes) for item in data]
    data = raw(data)
    if isinstance(data, np.ndarray | np.generic):
        dtypes.add(data.dtype)
    elif hasattr(data, "__array__"):
        data = np.asarray(data)
        dtypes.add(data.dtype)
    return data


def _strange_types(data: Any) -> set[str]:
    if isinstance(data, list):
        return set().union(*map(_strange_types, data)) if data else set()
    if isinstance(data, np.ndarray):
        return set() if data.dtype.kind in "fiub" else {str(data.dtype)}
    if isinstance(data, int) and not -(2**63) <= data < 2**63:
        return {f"the integer {data}, which needs more than 64 bits"}
    return set() if isinstance(data, float | int | np.generic) else {type(data).__name__}


def is_tensor(obj: Any) -> bool:
    """True if `obj` is a Tensor."""
    return isinstance(obj, Tensor)


def numel(input: Tensor) -> int:
    """The number of elements."""
    return input.numel()


def is_floating_point(input: Tensor) -> bool:
    """True if the dtype of `input` is a floating-point one."""
    return input.array.dtype.kind == "f"


# -- constant ---------------------------------------------------------------------------------------------


def _shape(size: tuple[Any, ...]) -> tuple[int, ...]:
    """(2, 3) from zeros(2, 3), zeros((2, 3)) and zeros([2, 3])."""
    if len(size) == 1 and isinstance(size[0], tuple | list):
        size = tuple(size[0])
    return tuple(int(n) for n in size)


def _sized(make: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Let a function of `*size` take `size=(2, 3)` too, and look at its `device`."""

    @wraps(make)
    def sized(*size: Any, device: Any = None, **options: Any) -> Tensor:
        check_device(device, make.__name__)
        if "size" in options:
            size = (options.pop("size"),)
        return make(*size, **options)

    return sized


def _number_dtype(value: Any) -> Any:
    if hasattr(value, "dtype"):
        return value.dtype
    return np.bool_ if isinstance(value, bool) else np.int64 if isinstance(value, int) else np.float32


@_sized
def zeros(*size: Any, dtype: Any = None, requires_grad: bool = False, device: Any = None) -> Tensor:
    """Zeros of the given shape."""
    return Tensor(np.zeros(_shape(size), dtype or np.float32), requires_grad)


@_sized
def ones(*size: Any, dtype: Any = None, requires_grad: bool = False, device: Any = None) -> Tensor:
    """Ones of the given shape."""
    return Tensor(np.ones(_shape(size), dtype or np.float32), requires_grad)


@_sized
def empty(*size: Any, dtype: Any = None, requires_grad: bool = False, device: Any = None) -> Tensor:
    """An uninitialized tensor of the given shape: its values are arbitrary, so overwrite them."""
    return Tensor(np.empty(_shape(size), dtype or np.float32), requires_grad)


def full(size: Any, fill_value: Any, dtype: Any = None, requires_grad: bool = False, *, device: Any = None) -> Tensor:
    """A tensor filled with `fill_value`, whose type decides the dtype: float32, int64 or bool."""
    check_device(device, "full")
    shape = _shape((size,))
    return Tensor(np.full(shape, raw(fill_value), dtype or _number_dtype(fill_value)), requires_grad)


def zeros_like(input: Any, dtype: Any = None, requires_grad: bool = False, *, device: Any = None) -> Tensor:
    """Zeros of the shape and dtype of `input`."""
    return zeros(input.shape, dtype=dtype or input.dtype, requires_grad=requires_grad, device=device)


def ones_like(input: Any, dtype: Any = None, requires_grad: bool = False, *, device: Any = None) -> Tensor:
    """Ones of the shape and dtype of `input`."""
    return ones(input.shape, dtype=dtype or input.dtype, requires_grad=requires_grad, device=device)


def empty_like(input: Any, dtype: Any = None, requires_grad: bool = False, *, device: Any = None) -> Tensor:
    """An uninitialized tensor of the shape and dtype of `input`."""
    return empty(input.shape, dtype=dtype or input.dtype, requires_grad=requires_grad, device=device)


def full_like(
    input: Any, fill_value: Any, dtype: Any = None, requires_grad: bool = False, *, device: Any = None
) -> Tensor:
    """A tensor of the shape and dtype of `input`, filled with `fill_value`."""
    return full(input.shape, fill_value, dtype or input.dtype, requires_grad, device=device)


def new_zeros(x: Any, *size: Any, dtype: Any = None, requires_grad: bool = False, device: Any = None) -> Tensor:
    """Zeros of the given shape and the dtype of `x`."""
    return zeros(*size, dtype=dtype or x.dtype, requires_grad=requires_grad, device=device)


def new_ones(x: Any, *size: Any, dtype: Any = None, requires_grad: bool = False, device: Any = None) -> Tensor:
    """Ones of the given shape and the dtype of `x`."""
    return ones(*size, dtype=dtype or x.dtype, requires_grad=requires_grad, device=device)


def new_empty(x: Any, *size: Any, dtype: Any = None, requires_grad: bool = False, device: Any = None) -> Tensor:
    """An uninitialized tensor of the given shape and the dtype of `x`."""
    return empty(*size, dtype=dtype or x.dtype, requires_grad=requires_grad, device=device)


def new_full(
    x: Any, size: Any, fill_value: Any, dtype: Any = None, requires_grad: bool = False, *, device: Any = None
) -> Tensor:
    """A tensor of the given shape and the dtype of `x`, filled with `fill_value`."""
    return full(size, fill_value, dtype or x.dtype, requires_grad, device=device)


def new_tensor(x: Any, data: Any, dtype: Any = None, requires_grad: bool = False, *, device: Any = None) -> Tensor:
    """A copy of `data` as a tensor of the dtype of `x`."""
    return tensor(data, dtype or x.dtype, requires_grad, device=device)


def eye(n: int, m: int | None = None, dtype: Any = None, requires_grad: bool = False, *, device: Any = None) -> Tensor:
    """The n × m matrix (default: n × n) with ones on the diagonal and zeros elsewhere."""
    check_device(device, "eye")
    return Tensor(np.eye(n, m, dtype=dtype or np.float32), requires_grad)


# -- ranges -----------------------------------------------------------------------------------------------


def arange(
    start: Any,
    end: Any = None,
    step: Any = 1,
    dtype: Any = None,
    requires_grad: bool = False,
    *,
    device: Any = None,
) -> Tensor:
    """start, start + step, ... up to and without `end`; `arange(n)` counts from 0 to n − 1.

    int64 if all arguments are integers, else float32.
    """
    check_device(device, "arange")
    start, end, step = (x.item() if isinstance(x, Tensor) else x for x in (start, end, step))
    if end is None:
        start, end = 0, start
    if step == 0:
        raise ValueError("arange: step must not be 0")
    if dtype is None:
        dtype = np.int64 if all(isinstance(v, int | np.integer) for v in (start, end, step)) else np.float32
    # Computed in float64 and rounded once: adding a float32 step again and again would drift.
    return Tensor(np.arange(start, end, step).astype(dtype), requires_grad)


def linspace(
    start: float, end: float, steps: int, dtype: Any = None, requires_grad: bool = False, *, device: Any = None
) -> Tensor:
    """`steps` numbers at equal distances, from `start` to `end`, both included."""
    check_device(device, "linspace")
    return Tensor(np.linspace(float(start), float(end), int(steps)).astype(dtype or np.float32), requires_grad)


def logspace(
    start: float,
    end: float,
    steps: int,
    base: float = 10.0,
    dtype: Any = None,
    requires_grad: bool = False,
    *,
    device: Any = None,
) -> Tensor:
    """`steps` numbers from base^start to base^end, both included, whose exponents are at equal distances.

    Example:
        >>> import minigrad as mg
        >>> mg.logspace(0, 2, 3).tolist()
        [1.0, 10.0, 100.0]
    """
    check_device(device, "logspace")
    numbers = np.logspace(float(start), float(end), int(steps), base=base)
    return Tensor(numbers.astype(dtype or np.float32), requires_grad)


# -- random -----------------------------------------------------------------------------------------------


def _floating(dtype: Any, who: str) -> Any:
    dtype = np.dtype(dtype or np.float32)
    if dtype not in (float32, float64):
        raise TypeError(f"{who}: dtype must be float32 or float64, not {dtype}")
    return dtype


@_sized
def rand(
    *size: Any, dtype: Any = None, requires_grad: bool = False, generator: Any = None, device: Any = None
) -> Tensor:
    """Uniform random numbers in [0, 1)."""
    numbers = numpy_generator(generator).random(_shape(size), _floating(dtype, "rand"))
    return Tensor(np.asarray(numbers), requires_grad)


@_sized
def randn(
    *size: Any, dtype: Any = None, requires_grad: bool = False, generator: Any = None, device: Any = None
) -> Tensor:
    """Normal random numbers with mean 0 and standard deviation 1.

    Example:
        >>> import minigrad as mg
        >>> g = mg.Generator().manual_seed(0)
        >>> mg.randn(2, 3, generator=g).shape
        (2, 3)
    """
    numbers = numpy_generator(generator).standard_normal(_shape(size), _floating(dtype, "randn"))
    return Tensor(np.asarray(numbers), requires_grad)


def rand_like(
    input: Any, dtype: Any = None, requires_grad: bool = False, *, generator: Any = None, device: Any = None
) -> Tensor:
    """Uniform random numbers in [0, 1), in the shape and dtype of `input`."""
    return rand(
        input.shape, dtype=dtype or input.dtype, requires_grad=requires_grad, generator=generator, device=device
    )


def randn_like(
    input: Any, dtype: Any = None, requires_grad: bool = False, *, generator: Any = None, device: Any = None
) -> Tensor:
    """Standard normal random numbers, in the shape and dtype of `input`."""
    return randn(
        input.shape, dtype=dtype or input.dtype, requires_grad=requires_grad, generator=generator, device=device
    )


def randint(
    low: int,
    high: Any = None,
    size: Any = None,
    dtype: Any = None,
    requires_grad: bool = False,
    *,
    generator: Any = None,
    device: Any = None,
) -> Tensor:
    """Random integers from `low` to `high` − 1: `randint(low, high, size)` or `randint(high, size)`."""
    check_device(device, "randint")
    if high is None or isinstance(high, tuple | list):  # PyTorch's short form leaves out `low`
        low, high, size = 0, low, high if size is None else size
    if size is None:
        raise TypeError("randint: needs a size: randint(high, size) or randint(low, high, size)")
    if high <= low:
        raise ValueError(f"randint: the range from low={low} to high={high} (exclusive) holds no integer")
    numbers = numpy_generator(generator).integers(int(low), int(high), _shape((size,)))
    return Tensor(np.asarray(numbers).astype(dtype or np.int64), requires_grad)


def randint_like(input: Any, low: int, high: Any = None, dtype: Any = None, *, generator: Any = None) -> Tensor:
    """Random integers from `low` to `high` − 1, in the shape and dtype of `input`. Without `low` they start at 0."""
    low, high = (0, low) if high is None else (low, high)
    return randint(low, high, input.shape, dtype or input.dtype, generator=generator)


def randperm(
    n: int, dtype: Any = None, requires_grad: bool = False, *, generator: Any = None, device: Any = None
) -> Tensor:
    """The numbers 0 to n − 1 in random order."""
    check_device(device, "randperm")
    return Tensor(numpy_generator(generator).permutation(int(n)).astype(dtype or np.int64), requires_grad)


def bernoulli(p: Any, size: Any = None, dtype: Any = None, *, generator: Any = None) -> Tensor:
    """1 with probability `p`, else 0: for each element of the tensor `p`, or `size` times for a number `p`."""
    probabilities = np.asarray(raw(p))
    if not ((probabilities >= 0) & (probabilities <= 1)).all():
        raise ValueError("bernoulli: every probability p must lie between 0 and 1")
    shape = probabilities.shape if size is None else _shape((size,))
    if dtype is None:
        dtype = probabilities.dtype if isinstance(p, Tensor | np.ndarray) else np.float32
    return Tensor(np.asarray(numpy_generator(generator).random(shape) < probabilities).astype(dtype))


def normal(
    mean: Any = 0.0,
    std: Any = 1.0,
    size: Any = None,
    dtype: Any = None,
    requires_grad: bool = False,
    *,
    generator: Any = None,
    device: Any = None,
) -> Tensor:
    """Normal random numbers with the given mean and standard deviation, which may be tensors.

    `size` defaults to the shape to which `mean` and `std` broadcast.
    """
    check_device(device, "normal")
    mean, std = raw(mean), raw(std)
    if (np.asarray(std) < 0).any():
        raise ValueError("normal: the standard deviation std must not be negative")
    shape = np.broadcast_shapes(np.shape(mean), np.shape(std)) if size is None else _shape((size,))
    if dtype is None:
        dtypes = [a.dtype for a in (mean, std) if isinstance(a, np.ndarray) and a.dtype.kind == "f"]
        dtype = np.result_type(*dtypes) if dtypes else np.float32
    z = numpy_generator(generator).standard_normal(shape, _floating(dtype, "normal"))
    return Tensor(np.asarray(mean + std * z, dtype=dtype), requires_grad)


def multinomial(input: Any, num_samples: int, replacement: bool = False, *, generator: Any = None) -> Tensor:
    """Numbers of categories, drawn with probabilities in proportion to weights.

    Args:
        input: the weights, (categories,) or (rows, categories); they need not add up to 1.
        num_samples: the number of draws from each row.
        replacement: True if a category may be drawn again.
        generator: an `mg.Generator`; by default the framework's.

    Returns:
        int64 of shape (num_samples,) or (rows, num_samples).

    Raises:
        ValueError: weights are negative, infinite or NaN, a row has no positive one, or, without replacement, there
            are fewer categories than samples.

    Differences from PyTorch: without replacement, a row with fewer positive weights than samples is an error.

    Example:
        >>> import minigrad as mg
        >>> mg.multinomial(mg.tensor([0.0, 2.0, 0.0]), 4, replacement=True).tolist()
        [1, 1, 1, 1]
    """
    weights = np.asarray(raw(input))
    if weights.dtype.kind != "f":
        raise TypeError(
            f"multinomial: the weights must be floating-point, got {weights.dtype}; convert them with x.float()"
        )
    if weights.ndim not in (1, 2) or not weights.shape[-1]:
        raise ValueError(f"multinomial: the weights must be (categories,) or (rows, categories), not {weights.shape}")
    if num_samples < 1:
        raise ValueError(f"multinomial: num_samples must be at least 1, got {num_samples}")
    rows = weights.astype(np.float64).reshape(-1, weights.shape[-1])
    if not (rows >= 0).all() or not np.isfinite(rows).all():
        raise ValueError("multinomial: every weight must be at least 0 and finite")
    positive = (rows > 0).sum(1)
    if not positive.all():
        raise ValueError(f"multinomial: row {int(positive.argmin())} has no positive weight")
    if not replacement and num_samples > positive.min():
        raise ValueError(
            f"multinomial: {num_samples} samples without replacement need as many positive weights, and row "
            f"{int(positive.argmin())} has {positive.min()}. Pass replacement=True to draw a category again"
        )
    draw = numpy_generator(generator)
    if replacement:
        ends = np.cumsum(rows, axis=1)
        places = draw.random((len(rows), num_samples)) * ends[:, -1:]
        # The first category whose running sum passes the drawn place. Rounding must not give a category after the last
        # one with a weight.
        last = rows.shape[1] - 1 - (rows[:, ::-1] > 0).argmax(1)
        chosen = [np.searchsorted(e, p, side="right") for e, p in zip(ends, places, strict=True)]
        found = np.minimum(np.array(chosen).reshape(len(rows), num_samples), last[:, None])
    else:
        # The first of exponential waiting times with these rates (Efraimidis and Spirakis 2006).
        with np.errstate(divide="ignore"):
            waiting = draw.exponential(size=rows.shape) / rows
        found = np.argsort(waiting, axis=1)[:, :num_samples]
    return Tensor(found.astype(np.int64).reshape(*weights.shape[:-1], num_samples))


# -- PyTorch's names for one dtype each -------------------------------------------------------------------


class TensorType:
    """`mg.FloatTensor` and its like: makes tensors of one dtype, and stands for it in `x.type(...)` and `isinstance`.

    Example:
        >>> import minigrad as mg
        >>> mg.LongTensor([1.0, 2.0]).tolist(), mg.FloatTensor(2, 3).shape
        ([1, 2], (2, 3))
        >>> isinstance(mg.ones(2), mg.FloatTensor)
        True
    """

    def __init__(self, name: str, dtype: Any):
        self.name, self.dtype = name, np.dtype(dtype)

    def __call__(self, *data: Any) -> Tensor:
        """A tensor of these data, or an uninitialized one of this size."""
        if all(isinstance(n, int) for n in data):
            return empty(*data, dtype=self.dtype) if data else empty(0, dtype=self.dtype)
        if len(data) != 1:
            raise TypeError(f"{self.name}: takes data, or a size as integers")
        return Tensor(np.array(_array(data[0], self.name, self.dtype), dtype=self.dtype))

    def __instancecheck__(self, x: Any) -> bool:
        return isinstance(x, Tensor) and x.dtype == self.dtype

    def __repr__(self) -> str:
        return f"minigrad.{self.name}"


FloatTensor = TensorType("FloatTensor", np.float32)
DoubleTensor = TensorType("DoubleTensor", np.float64)
IntTensor = TensorType("IntTensor", np.int32)
LongTensor = TensorType("LongTensor", np.int64)
BoolTensor = TensorType("BoolTensor", np.bool_)
ByteTensor = TensorType("ByteTensor", np.uint8)
TENSOR_TYPES = (FloatTensor, DoubleTensor, IntTensor, LongTensor, BoolTensor, ByteTensor)


def type_of(x: Any, dtype: Any = None, non_blocking: bool = False) -> Any:
    """`x` as another dtype: `mg.float64`, `mg.DoubleTensor`, or the name of one. Without one, the name of its type."""
    from minigrad.ops.elementwise import cast

    if dtype is None:
        return next((f"minigrad.{t.name}" for t in TENSOR_TYPES if t.dtype == x.dtype), str(x.dtype))
    if isinstance(dtype, str) and dtype.endswith("Tensor"):
        name = dtype.rpartition(".")[2]
        known = {t.name: t for t in TENSOR_TYPES}
        if name not in known or ".cuda." in dtype:
            raise ValueError(f"type: {dtype!r} is not a known type. Choose from: {', '.join(known)}")
        dtype = known[name]
    return cast(x, getattr(dtype, "dtype", dtype) if isinstance(dtype, TensorType) else dtype)
