"""Extrema and order: max, min, argmax, sort, topk, median.

The place of an extremum is piecewise constant. The op picks the value at that place, and the gradient goes to the same
place.
"""

from typing import Any, NamedTuple

import numpy as np

from minigrad.autograd import Tensor
from minigrad.autograd.tensor import raw
from minigrad.ops.compare import Predicate, maximum, minimum, where
from minigrad.ops.dims import accepts_dim, normalize_axes
from minigrad.ops.elementwise import clone
from minigrad.ops.indexing import pick
from minigrad.ops.reduction import Reduction, keepdim_shape
from minigrad.ops.shape import one_axis, squeeze


class ValuesAndIndices(NamedTuple):
    """Values, and their indices along the axis."""

    values: Any
    indices: Any


# -- the largest and the smallest -------------------------------------------------------------------------


class AMax(Reduction):
    """y = max x: the largest element gets the gradient; equally large elements share it evenly."""

    def forward(self, x: Any) -> Any:
        return self.keep_for_backward(x, x.max(axis=self.axes, keepdims=self.keepdim))

    def keep_for_backward(self, x: Any, y: Any) -> Any:
        y = np.asarray(y)
        self.save_for_backward(x, y)
        return y

    def backward(self, g: Any) -> Any:
        x, y = map(raw, self.saved)  # only to find the extrema
        y = y.reshape(keepdim_shape(x.shape, self.axes))
        here = (x == y) | (np.isnan(x) & np.isnan(y))
        share = here.sum(axis=self.axes, keepdims=True).astype(x.dtype)
        return where(here, self.keep(g, x.shape) / share, 0.0)


class AMin(AMax):
    """y = min x: the smallest element gets the gradient; equally small elements share it evenly."""

    def forward(self, x: Any) -> Any:
        return self.keep_for_backward(x, x.min(axis=self.axes, keepdims=self.keepdim))


@accepts_dim
def amax(input: Any, axis: Any = None, keepdim: bool = False) -> Any:
    """The largest element over one axis or several (default: all). Ties share the gradient evenly."""
    return AMax(_with_elements(input, axis, "amax"), keepdim)(input)


@accepts_dim
def amin(input: Any, axis: Any = None, keepdim: bool = False) -> Any:
    """The smallest element over one axis or several (default: all). Ties share the gradient evenly."""
    return AMin(_with_elements(input, axis, "amin"), keepdim)(input)


def _with_elements(x: Any, axis: Any, op: str) -> tuple[int, ...]:
    axes = normalize_axes(axis, x.ndim, op)
    if 0 in [x.shape[a] for a in axes]:
        raise ValueError(f"{op}: no element to choose from over axis {axis} of a tensor of shape {x.shape}")
    return axes


@accepts_dim
def max(input: Any, axis: Any = None, keepdim: bool = False) -> Any:
    """The largest element.

    `max(x)` is one number, and elements that are equally large share its gradient. `max(x, axis)` is a pair
    `(values, indices)`; the first of equally large elements is chosen, and gets the gradient. `max(x, y)` with
    a tensor y is `maximum(x, y)`. NaN counts as largest.

    Example:
        >>> import minigrad as mg
        >>> values, indices = mg.tensor([[1.0, 3.0], [5.0, 2.0]]).max(1)
        >>> values.tolist(), indices.tolist()
        ([3.0, 5.0], [1, 0])
    """
    if isinstance(axis, Tensor):
        return maximum(input, axis)
    return amax(input) if axis is None else _extreme(np.argmax, input, axis, keepdim, "max")


@accepts_dim
def min(input: Any, axis: Any = None, keepdim: bool = False) -> Any:
    """The smallest element: one number, or with an axis a pair `(values, indices)`. See `max`."""
    if isinstance(axis, Tensor):
        return minimum(input, axis)
    return amin(input) if axis is None else _extreme(np.argmin, input, axis, keepdim, "min")


def _extreme(function: Any, x: Any, axis: int, keepdim: bool, op: str) -> ValuesAndIndices:
    axes = _with_elements(x, int(axis), op)
    if not axes:
        return _only_element(x)
    (a,) = axes
    index = function(raw(x), axis=a, keepdims=True)
    values = pick(x, a, index)
    return ValuesAndIndices(values if keepdim else squeeze(values, a), Tensor(index if keepdim else index.squeeze(a)))


def _only_element(x: Any) -> ValuesAndIndices:
    """The values and indices of a 0-d tensor: its only element, and 0."""
    return ValuesAndIndices(clone(x), Tensor(np.zeros((), np.int64)))


@accepts_dim
def argmax(input: Any, axis: int | None = None, keepdim: bool = False) -> Any:
    """Where the largest element lies along an axis (default: in the flattened tensor); the first of several."""
    return _place(np.argmax, input, axis, keepdim, "argmax")


@accepts_dim
def argmin(input: Any, axis: int | None = None, keepdim: bool = False) -> Any:
    """Where the smallest element lies along an axis (default: in the flattened tensor); the first of several."""
    return _place(np.argmin, input, axis, keepdim, "argmin")


def _place(function: Any, x: Any, axis: int | None, keepdim: bool, op: str) -> Any:
    _with_elements(x, axis, op)

    def place(x: Any) -> Any:
        return function(x, axis=axis, keepdims=keepdim)

    place.__name__ = op
    return Predicate(place)(x)


# -- order ------------------------------------------------------------------------------------------------


def _order(array: Any, axis: int, descending: bool) -> Any:
    """The stable order of the elements; NaN counts as largest."""
    if not descending:
        return np.argsort(array, axis=axis, kind="stable")
    # Backwards twice, so that equal elements keep their order.
    backwards = np.argsort(np.flip(array, axis), axis=axis, kind="stable")
    return array.shape[axis] - 1 - np.flip(backwards, axis)


@accepts_dim
def argsort(input: Any, axis: int = -1, descending: bool = False, stable: bool = True) -> Any:
    """The indices that sort `input` along an axis. Equal elements keep their order, whatever `stable` is."""
    array = raw(input)
    if array.ndim == 0:
        return Tensor(np.zeros((), np.int64))
    return Tensor(_order(array, one_axis(axis, array.ndim, "argsort"), descending))


@accepts_dim
def sort(input: Any, axis: int = -1, descending: bool = False, stable: bool = True) -> ValuesAndIndices:
    """The elements in order along an axis, and the indices where they were: a pair `(values, indices)`.

    Example:
        >>> import minigrad as mg
        >>> mg.tensor([3.0, 1.0, 2.0]).sort().indices.tolist()
        [1, 2, 0]
    """
    if input.ndim == 0:
        return _only_element(input)
    a = one_axis(axis, input.ndim, "sort")
    index = _order(raw(input), a, descending)
    return ValuesAndIndices(pick(input, a, index), Tensor(index))


@accepts_dim
def topk(input: Any, k: int, axis: int = -1, largest: bool = True, sorted: bool = True) -> ValuesAndIndices:
    """The k largest (or smallest) elements along an axis, in order, and their indices.

    The results are always sorted; `sorted` changes nothing.
    """
    a = one_axis(axis, input.ndim, "topk")
    if not 0 <= k <= input.shape[a]:
        raise ValueError(f"topk: k={k} is not between 0 and the length {input.shape[a]} of axis {axis}")
    index = _order(raw(input), a, largest)[(*(slice(None),) * a, slice(0, k))]
    return ValuesAndIndices(pick(input, a, index), Tensor(index))


@accepts_dim
def median(input: Any, axis: int | None = None, keepdim: bool = False) -> Any:
    """The middle element, the lower one of two as in PyTorch: a number, or with an axis `(values, indices)`.

    NaN if there is a NaN.
    """
    if axis is None:
        return median(input.reshape(-1), 0).values
    axes = _with_elements(input, int(axis), "median")
    if not axes:
        return _only_element(input)
    (a,) = axes
    array = raw(input)
    order = _order(array, a, False)
    index = order.take([(input.shape[a] - 1) // 2], axis=a)
    if array.dtype.kind == "f":
        has_nan = np.isnan(array).any(axis=a, keepdims=True)
        index = np.where(has_nan, np.isnan(array).argmax(axis=a, keepdims=True), index)
    values = pick(input, a, index)
    return ValuesAndIndices(values if keepdim else squeeze(values, a), Tensor(index if keepdim else index.squeeze(a)))
