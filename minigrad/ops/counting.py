"""Find the different values and count them: ops without a derivative."""

from typing import Any, NamedTuple

import numpy as np

from minigrad.autograd import Tensor
from minigrad.autograd.tensor import raw
from minigrad.ops.dims import accepts_dim, normalize_axes


def _result(parts: list[Any]) -> Any:
    tensors = tuple([Tensor(part) for part in parts])
    return tensors[0] if len(tensors) == 1 else tensors


@accepts_dim
def unique(
    input: Any, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False, axis: int | None = None
) -> Any:
    """The different values of `input`, in ascending order; with `axis`, the different slices along it.

    Args:
        input: any tensor.
        sorted: accepted for PyTorch's sake; the values are always sorted.
        return_inverse: True: also return, for each value (slice) of `input`, its position in the result.
        return_counts: True: also return how often each value occurs.
        axis: None for single values.

    Returns:
        The values; with `return_inverse` or `return_counts` a tuple of them and int64 tensors, in this order.

    Differences from PyTorch: the values are outside the graph.

    Example:
        >>> import minigrad as mg
        >>> values, counts = mg.unique(mg.tensor([3, 1, 3]), return_counts=True)
        >>> values.tolist(), counts.tolist()
        ([1, 3], [1, 2])
    """
    array = np.asarray(raw(input))
    if axis is not None:
        (axis,) = normalize_axes(axis, array.ndim, "unique") or (None,)
    values, inverse, counts = np.unique(
        array, return_inverse=True, return_counts=True, axis=axis, equal_nan=False, sorted=True
    )
    inverse = inverse.reshape(array.shape if axis is None else -1)
    return _result([values] + [inverse] * return_inverse + [counts] * return_counts)


@accepts_dim
def unique_consecutive(
    x: Any, return_inverse: bool = False, return_counts: bool = False, axis: int | None = None
) -> Any:
    """`x` without values (slices along `axis`) that equal the one before them. Results as for `unique`.

    Example:
        >>> import minigrad as mg
        >>> mg.unique_consecutive(mg.tensor([1, 1, 2, 2, 1])).tolist()
        [1, 2, 1]
    """
    array = np.asarray(raw(x))
    a = None if axis is None else normalize_axes(axis, array.ndim, "unique_consecutive")[0]
    slices = array.reshape(-1) if a is None else np.moveaxis(array, a, 0)
    differs = (slices[1:] != slices[:-1]).reshape(max(len(slices) - 1, 0), -1).any(1)
    starts = np.flatnonzero(np.concatenate([np.ones(min(len(slices), 1), bool), differs]))
    values = slices[starts] if a is None else np.moveaxis(slices[starts], 0, a)
    inverse = np.zeros(len(slices), np.int64)
    inverse[starts[1:]] = 1
    inverse = np.cumsum(inverse).reshape(array.shape if axis is None else -1)
    counts = np.diff(np.append(starts, len(slices)))
    return _result([values] + [inverse] * return_inverse + [counts] * return_counts)


def bincount(input: Any, weights: Any = None, minlength: int = 0) -> Tensor:
    """The number of times that 0, 1, 2, ... occur in a row of integers; with `weights`, the sums of their weights.

    Args:
        input: integers of at least 0, with one axis.
        weights: a number for each of them. The result then has their dtype (float64, if they are integers).
        minlength: the result has at least this length.

    Example:
        >>> import minigrad as mg
        >>> mg.bincount(mg.tensor([0, 2, 2]), minlength=4).tolist()
        [1, 0, 2, 0]
    """
    numbers = np.asarray(raw(input))
    if numbers.dtype.kind not in "iu":
        raise TypeError(f"bincount: the input must hold integers, not {numbers.dtype}")
    if numbers.ndim != 1 or (numbers.size and numbers.min() < 0):
        what = f"has shape {numbers.shape}" if numbers.ndim != 1 else f"holds {numbers.min()}"
        raise ValueError(f"bincount: the input must have one axis and hold integers of at least 0, and {what}")
    if minlength < 0:
        raise ValueError(f"bincount: minlength must be at least 0, got {minlength}")
    if weights is None:
        return Tensor(np.bincount(numbers, minlength=minlength).astype(np.int64))
    weights = np.asarray(raw(weights))
    if weights.shape != numbers.shape:
        raise ValueError(f"bincount: weights of shape {weights.shape} do not fit an input of shape {numbers.shape}")
    sums = np.bincount(numbers, weights, minlength)
    return Tensor(sums.astype(weights.dtype if weights.dtype.kind == "f" else np.float64))


class Histogram(NamedTuple):
    """The result of `histogram`: the height of each bin, and the edges of the bins (one more than bins)."""

    hist: Tensor
    bin_edges: Tensor


def _range(array: Any, low: float, high: float, op: str) -> tuple[float, float]:
    """The given range; if it is empty, the range of the data, made wider if all values are equal."""
    if low == high and array.size:
        low, high = float(array.min()), float(array.max())
    if not np.isfinite([low, high]).all():
        raise ValueError(f"{op}: the range from {low} to {high} is not finite. Give a range, or take out NaN and ∞")
    if low > high:
        raise ValueError(f"{op}: the range from {low} to {high} is empty")
    return low, high


def _float(x: Any, op: str) -> Any:
    array = np.asarray(raw(x))
    if array.dtype.kind != "f":
        raise TypeError(f"{op}: the input must be floating-point, got {array.dtype}; convert it with x.float()")
    return array.reshape(-1)


def _counted(array: Any, edges: Any, weight: Any = None) -> Any:
    inside = (array >= edges[0]) & (array <= edges[-1])
    return np.histogram(array[inside], edges, weights=None if weight is None else weight[inside])[0]


def histc(input: Any, bins: int = 100, min: float = 0, max: float = 0) -> Tensor:
    """The number of elements in each of `bins` equal intervals from `min` to `max`; other elements are not counted.

    With min = max (the default) the range is that of the data. The last interval includes `max`.

    Example:
        >>> import minigrad as mg
        >>> mg.histc(mg.tensor([1.0, 2.0, 1.0]), bins=4, min=0, max=3).tolist()
        [0.0, 2.0, 1.0, 0.0]
    """
    array = _float(input, "histc")
    if bins < 1:
        raise ValueError(f"histc: bins must be at least 1, got {bins}")
    low, high = _range(array, min, max, "histc")
    if low == high:
        low, high = low - 1, high + 1
    return Tensor(_counted(array, np.linspace(low, high, bins + 1)).astype(array.dtype))


def histogram(
    input: Any,
    bins: Any = 100,
    *,
    range: tuple[float, float] | None = None,
    weight: Any = None,
    density: bool = False,
) -> Histogram:
    """The heights and edges of a histogram.

    Args:
        input: floating-point, of any shape.
        bins: the number of bins, or a tensor of edges in ascending order.
        range: lowest and highest edge; by default those of the data. Elements outside are not counted.
        weight: the weight of each element, of the shape of `input`. Default: 1.
        density: divide by the total and by the bins' widths: then the area is 1.

    Returns:
        A named tuple (hist, bin_edges), outside the graph, of the dtype of `input`.

    Example:
        >>> import minigrad as mg
        >>> hist, edges = mg.histogram(mg.tensor([1.0, 2.0, 4.0]), bins=3)
        >>> hist.tolist(), edges.tolist()
        ([1.0, 1.0, 1.0], [1.0, 2.0, 3.0, 4.0])
    """
    array = _float(input, "histogram")
    if isinstance(bins, int | np.integer):
        if bins < 1:
            raise ValueError(f"histogram: bins must be at least 1, got {bins}")
        low, high = _range(array, *(range or (0, 0)), op="histogram")
        if low == high:
            low, high = (0.0, 1.0) if not array.size else (low - 0.5, high + 0.5)
        edges = np.linspace(low, high, int(bins) + 1)
    else:
        edges = np.asarray(raw(bins), np.float64)
        if edges.ndim != 1 or edges.size < 2 or not (np.diff(edges) > 0).all():
            raise ValueError("histogram: bins must be a number, or at least two edges in ascending order")
        if range is not None:
            raise ValueError("histogram: range is for a number of bins; these edges have theirs")
    if weight is not None:
        given = np.asarray(raw(weight))
        if given.size != array.size:
            raise ValueError(f"histogram: weight of shape {given.shape} must have the shape of the input")
        weight = given.reshape(-1).astype(np.float64)
    hist = _counted(array, edges, weight).astype(np.float64)
    if density:
        with np.errstate(invalid="ignore"):
            hist = hist / hist.sum() / np.diff(edges)
    return Histogram(Tensor(hist.astype(array.dtype)), Tensor(edges.astype(array.dtype)))
