"""NumPy's functions on tensors: `np.mean(t)`, `np.concatenate([t, u])` and so on.

NumPy knows nothing of gradients. A tensor without `requires_grad` is treated as an array, and the result is an array.
A tensor that requires a gradient would lose it silently, so it is an error; the message names minigrad's function.

If an argument is a Tensor or a list of tensors, NumPy's functions call `Tensor.__array_function__`. Other conversions
to an array, such as `np.array(t)`, call `Tensor.__array__`.
"""

import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from minigrad.autograd.tensor import Tensor

# Functions that only look at shape and dtype, or print, lose no gradient.
HARMLESS = {"shape", "ndim", "size", "result_type", "can_cast", "min_scalar_type", "common_type"}
HARMLESS |= {"iscomplexobj", "isrealobj", "zeros_like", "ones_like", "empty_like"}
HARMLESS |= {"array2string", "array_repr", "array_str"}
# Functions that write into their first argument, which no graph would notice.
WRITES = {"copyto", "put", "place", "putmask", "fill_diagonal", "put_along_axis"}
# minigrad's functions that have another name than NumPy's.
NAMES = {
    "append": "cat",
    "around": "round",
    "array_equal": "equal",
    "array_split": "chunk",
    "astype": "Tensor.to",
    "atleast_1d": "Tensor.reshape",
    "atleast_2d": "Tensor.reshape",
    "atleast_3d": "Tensor.reshape",
    "average": "mean",
    "block": "cat",
    "broadcast_arrays": "broadcast_to",
    "column_stack": "stack",
    "concatenate": "cat",
    "convolve": "nn.functional.conv1d",
    "copy": "clone",
    "cumulative_prod": "cumprod",
    "cumulative_sum": "cumsum",
    "diagflat": "diag",
    "dot": "matmul",
    "dsplit": "split",
    "dstack": "stack",
    "expand_dims": "unsqueeze",
    "fliplr": "flip",
    "flipud": "flip",
    "hsplit": "split",
    "inner": "matmul",
    "matrix_transpose": "Tensor.mT",
    "max": "amax",
    "min": "amin",
    "moveaxis": "movedim",
    "nonzero": "where",
    "pad": "nn.functional.pad",
    "permute_dims": "permute",
    "ravel": "flatten",
    "repeat": "repeat_interleave",
    "row_stack": "vstack",
    "swapaxes": "transpose",
    "take": "index_select",
    "take_along_axis": "take_along_dim",
    "transpose": "permute",
    "vdot": "dot",
    "vector_norm": "norm",
    "vsplit": "split",
}


def call(function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """`function(*args, **kwargs)` with the arrays of the tensors; an error if one of these needs a gradient."""
    name = function.__name__
    tensors = list(_tensors([args, kwargs]))
    written = [kwargs.get("out"), (*args, *kwargs.values())[:1] if name in WRITES else ()]
    if any(True for _ in _tensors(written)):
        raise TypeError(
            f"numpy.{name}: a tensor cannot be written by NumPy, because autograd would not notice. Write it with "
            "x[...] = values or x.copy_(values), or write its array, x.array"
        )
    if name in HARMLESS:
        tensors = []
    if any(tensor.requires_grad for tensor in tensors):
        raise RuntimeError(
            f"{_full_name(function)} on a tensor that requires a gradient would lose it{_instead(name)}"
        )
    return function(*_arrays(args), **_arrays(dict(kwargs)))


def _full_name(function: Any) -> str:
    return f"{function.__module__}.{function.__name__}"


def _instead(name: str) -> str:
    """The function to call instead, as the end of a sentence."""
    own = NAMES.get(name, name)
    detach = "without the gradient, t.detach() first"
    package = sys.modules["minigrad"]  # (when this file is imported, the package is still incomplete)
    if name not in NAMES and not callable(getattr(package, own, None)):
        return f", and minigrad has no such function: {detach}"
    return f": use minigrad.{own}; or, {detach}"


def _tensors(values: Any) -> Iterable[Tensor]:
    """All tensors in nested lists, tuples and dictionaries."""
    if isinstance(values, Tensor):
        yield values
    elif isinstance(values, Mapping):
        yield from _tensors(list(values.values()))
    elif isinstance(values, list | tuple):
        for value in values:
            yield from _tensors(value)


def _arrays(values: Any) -> Any:
    """The same with the array of each tensor in its place."""
    if isinstance(values, Tensor):
        return values.array
    if isinstance(values, dict):
        return {key: _arrays(value) for key, value in values.items()}
    if type(values) in (list, tuple):
        return type(values)(_arrays(value) for value in values)
    return values
