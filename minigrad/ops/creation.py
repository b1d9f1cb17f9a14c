"""Tensors out of nothing: from Python numbers and arrays, constant ones, ranges, random ones.

None of these is a graph op: what they make is a leaf. Sizes are given as in PyTorch, `zeros(2, 3)` or
`zeros((2, 3))`; floating-point results are float32 unless `dtype` says otherwise.
"""

from typing import Any

import numpy as np

from minigrad.autograd import Tensor
from minigrad.autograd.tensor import check_dtype, raw
from minigrad.ops.random import generator

float32, float64 = np.dtype(np.float32), np.dtype(np.float64)
int32, int64, uint8 = np.dtype(np.int32), np.dtype(np.int64), np.dtype(np.uint8)
boolean = np.dtype(np.bool_)  # minigrad.bool


# -- from data --------------------------------------------------------------------------------------------


def tensor(data: Any, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """A new tensor with a copy of `data`.

    Args:
        data: a number, a NumPy array, a Tensor (its values, without its graph), or nested lists of these.
        dtype: by default that of the array or tensor; float32 for Python floats, int64 for Python integers,
            bool for booleans.
        requires_grad: record what is computed from it, so that `backward()` fills its `.grad`.

    Raises:
        ValueError: lists whose lengths do not fit together.
        TypeError: something that is not a real number.

    Example:
        >>> import minigrad as mg
        >>> mg.tensor([[1, 2], [3, 4.5]])
        tensor([[1. , 2. ],
                [3. , 4.5]])
    """
    return _leaf(np.array(_array(data, "tensor", dtype), dtype=dtype, order="C"), requires_grad)


def as_tensor(data: Any, dtype: Any = None) -> Tensor:
    """`data` as a tensor, without a copy where none is needed: a Tensor itself, an array's own memory.

    Example:
        >>> import numpy as np, minigrad as mg
        >>> array = np.zeros(2)
        >>> mg.as_tensor(array)[0] = 7
        >>> array.tolist()
        [7.0, 0.0]
    """
    if isinstance(data, Tensor):
        from minigrad.ops.elementwise import cast

        return data if dtype is None else cast(data, dtype)
    return _leaf(np.asarray(_array(data, "as_tensor", dtype), dtype=dtype), False)


def from_numpy(array: "np.ndarray[Any, Any]") -> Tensor:
    """A tensor that shares the memory of `array`: a change in one is seen in the other."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"from_numpy: needs a NumPy array, not {type(array).__name__}; use mg.tensor(...)")
    return _leaf(array, False)


def _leaf(array: Any, requires_grad: bool) -> Tensor:
    return Tensor(array, requires_grad=requires_grad)


def _array(data: Any, who: str, dtype: Any = None) -> "np.ndarray[Any, Any]":
    """`data` as an array of a dtype that a tensor may have; `dtype`, if given, is what it will become."""
    if isinstance(data, Tensor):
        return data.data
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
    """Is `obj` a Tensor?"""
    return isinstance(obj, Tensor)


def is_floating_point(x: Tensor) -> bool:
    """Is the dtype of `x` a floating-point one?"""
    return x.data.dtype.kind == "f"


# -- constant ---------------------------------------------------------------------------------------------


def _shape(size: tuple[Any, ...]) -> tuple[int, ...]:
    """(2, 3) from zeros(2, 3), zeros((2, 3)) and zeros([2, 3])."""
    if len(size) == 1 and isinstance(size[0], tuple | list):
        size = tuple(size[0])
    return tuple(int(n) for n in size)


def _number_dtype(value: Any) -> Any:
    if hasattr(value, "dtype"):
        return value.dtype
    return np.bool_ if isinstance(value, bool) else np.int64 if isinstance(value, int) else np.float32


def zeros(*size: Any, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """Zeros of the given shape."""
    return Tensor(np.zeros(_shape(size), dtype or np.float32), requires_grad)


def ones(*size: Any, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """Ones of the given shape."""
    return Tensor(np.ones(_shape(size), dtype or np.float32), requires_grad)


def empty(*size: Any, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """Whatever the memory holds, in the given shape: to be overwritten."""
    return Tensor(np.empty(_shape(size), dtype or np.float32), requires_grad)


def full(size: Any, fill_value: Any, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """`fill_value` everywhere; its type decides the dtype: float32, int64 or bool."""
    shape = _shape((size,))
    return Tensor(np.full(shape, raw(fill_value), dtype or _number_dtype(fill_value)), requires_grad)


def zeros_like(x: Any, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """Zeros of the shape and dtype of `x`."""
    return zeros(x.shape, dtype=dtype or x.dtype, requires_grad=requires_grad)


def ones_like(x: Any, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """Ones of the shape and dtype of `x`."""
    return ones(x.shape, dtype=dtype or x.dtype, requires_grad=requires_grad)


def empty_like(x: Any, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """An uninitialized tensor of the shape and dtype of `x`."""
    return empty(x.shape, dtype=dtype or x.dtype, requires_grad=requires_grad)


def full_like(x: Any, fill_value: Any, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """`fill_value` everywhere, in the shape and dtype of `x`."""
    return full(x.shape, fill_value, dtype or x.dtype, requires_grad)


def eye(n: int, m: int | None = None, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """The n × m matrix (default: n × n) with ones on the diagonal and zeros elsewhere."""
    return Tensor(np.eye(n, m, dtype=dtype or np.float32), requires_grad)


# -- ranges -----------------------------------------------------------------------------------------------


def arange(
    start: float, end: float | None = None, step: float = 1, dtype: Any = None, requires_grad: bool = False
) -> Tensor:
    """start, start + step, ... up to and without `end`; `arange(n)` counts from 0 to n − 1.

    int64 if all arguments are integers, else float32.
    """
    if end is None:
        start, end = 0, start
    if step == 0:
        raise ValueError("arange: step must not be 0")
    if dtype is None:
        dtype = np.int64 if all(isinstance(v, int | np.integer) for v in (start, end, step)) else np.float32
    # In float64, then rounded once: adding up a float32 step would drift.
    return Tensor(np.arange(start, end, step).astype(dtype), requires_grad)


def linspace(start: float, end: float, steps: int, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """`steps` numbers at equal distances, from `start` to `end`, both included."""
    return Tensor(np.linspace(start, end, steps).astype(dtype or np.float32), requires_grad)


# -- random -----------------------------------------------------------------------------------------------


def _floating(dtype: Any, who: str) -> Any:
    dtype = np.dtype(dtype or np.float32)
    if dtype not in (float32, float64):
        raise TypeError(f"{who}: dtype must be float32 or float64, not {dtype}")
    return dtype


def rand(*size: Any, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """Uniform random numbers in [0, 1)."""
    return Tensor(np.asarray(generator().random(_shape(size), _floating(dtype, "rand"))), requires_grad)


def randn(*size: Any, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """Normal random numbers with mean 0 and standard deviation 1.

    Example:
        >>> import minigrad as mg
        >>> mg.manual_seed(0)
        >>> mg.randn(2, 3).shape
        (2, 3)
    """
    return Tensor(np.asarray(generator().standard_normal(_shape(size), _floating(dtype, "randn"))), requires_grad)


def rand_like(x: Any, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """Uniform random numbers in [0, 1), in the shape and dtype of `x`."""
    return rand(x.shape, dtype=dtype or x.dtype, requires_grad=requires_grad)


def randn_like(x: Any, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """Standard normal random numbers, in the shape and dtype of `x`."""
    return randn(x.shape, dtype=dtype or x.dtype, requires_grad=requires_grad)


def randint(low: int, high: Any = None, size: Any = None, dtype: Any = None) -> Tensor:
    """Random integers from `low` to `high` − 1: `randint(low, high, size)` or `randint(high, size)`."""
    if size is None:  # PyTorch's short form leaves out `low`
        low, high, size = 0, low, high
    if size is None:
        raise TypeError("randint: needs a size: randint(high, size) or randint(low, high, size)")
    if high <= low:
        raise ValueError(f"randint: the range from low={low} to high={high} (exclusive) holds no integer")
    return Tensor(np.asarray(generator().integers(low, high, _shape((size,)))).astype(dtype or np.int64))


def randperm(n: int, dtype: Any = None) -> Tensor:
    """The numbers 0 to n − 1 in random order."""
    return Tensor(generator().permutation(n).astype(dtype or np.int64))


def bernoulli(p: Any, size: Any = None, dtype: Any = None) -> Tensor:
    """1 with probability `p`, else 0: for each element of the tensor `p`, or `size` times for a number `p`."""
    probabilities = np.asarray(raw(p))
    if not ((probabilities >= 0) & (probabilities <= 1)).all():
        raise ValueError("bernoulli: every probability p must lie between 0 and 1")
    shape = probabilities.shape if size is None else _shape((size,))
    if dtype is None:
        dtype = probabilities.dtype if isinstance(p, Tensor | np.ndarray) else np.float32
    return Tensor(np.asarray(generator().random(shape) < probabilities).astype(dtype))


def normal(
    mean: Any = 0.0, std: Any = 1.0, size: Any = None, dtype: Any = None, requires_grad: bool = False
) -> Tensor:
    """Normal random numbers with the given mean and standard deviation, which may be tensors.

    `size` defaults to the shape to which `mean` and `std` broadcast.
    """
    mean, std = raw(mean), raw(std)
    if (np.asarray(std) < 0).any():
        raise ValueError("normal: the standard deviation std must not be negative")
    shape = np.broadcast_shapes(np.shape(mean), np.shape(std)) if size is None else _shape((size,))
    if dtype is None:
        dtypes = [a.dtype for a in (mean, std) if isinstance(a, np.ndarray) and a.dtype.kind == "f"]
        dtype = np.result_type(*dtypes) if dtypes else np.float32
    z = generator().standard_normal(shape, _floating(dtype, "normal"))
    return Tensor(np.asarray(mean + std * z, dtype=dtype), requires_grad)
