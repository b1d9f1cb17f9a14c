"""Recorded changes in place, and the views of what is changed.

A view shares its elements with another tensor, its base. A change that is recorded gives the base memory of its own,
so that no rule loses the values that it needs: the views go with it, and become parts of the new base. A change of a
view is a change of these elements of the base::

    v[...] = y      base ← base with y at the places of v;  each view of base ← these elements of base
"""

from typing import Any, NoReturn
from weakref import getweakrefs

import numpy as np

from minigrad.autograd import Function, Tensor
from minigrad.autograd.tensor import ViewOf
from minigrad.ops.elementwise import clone
from minigrad.ops.indexing import PutItem, SetItem
from minigrad.ops.shape import reshape


class Part(Function):
    """The elements of x that lie at certain places in memory, in any order, as a view.

    Args:
        layout: shape, strides and offset of the view in the memory of x, in elements.
        numbers: which element of x each place in memory holds.
    """

    is_view = True

    def __init__(self, layout: tuple[Any, Any, int], numbers: Any):
        self.layout = layout
        self.numbers = numbers

    def forward(self, x: Any) -> Any:
        self.shape = x.shape
        shape, strides, offset = self.layout
        memory = np.lib.stride_tricks.as_strided(x, (x.size,), (x.itemsize,))[offset:]
        return np.lib.stride_tricks.as_strided(memory, shape, [n * x.itemsize for n in strides])

    def backward(self, g: Any) -> Any:
        return PutItem((int(np.prod(self.shape)),), (self.places(),), False)(g).reshape(self.shape)

    def places(self) -> Any:
        """The number of each element of the view among those of x."""
        shape, strides, offset = self.layout
        return np.lib.stride_tricks.as_strided(self.numbers[offset:], shape, [8 * n for n in strides]).copy()


def numbered(base: Tensor) -> Any:
    """The numbers of the elements of `base` in the order of memory. None: they do not fill a piece of memory."""
    array, size = base.array, base.array.size
    steps = [n // array.itemsize for n in array.strides]
    last = sum((n - 1) * step for n, step in zip(array.shape, steps, strict=True))
    if any(n < 0 for n in steps) or (size and last >= size):
        return None
    numbers = np.full(size, -1)  # of the elements of the base, in the order of memory
    as_strided = np.lib.stride_tricks.as_strided
    as_strided(numbers, array.shape, [8 * n for n in steps])[...] = np.arange(size).reshape(array.shape)
    return None if size and numbers.min() < 0 else numbers


def part_of(base: Tensor, view: Tensor, numbers: Any) -> Part:
    """How `view` lies in `base`, whose elements are `numbered`."""
    item = view.array.itemsize
    offset = (view.data_ptr() - base.data_ptr()) // item if view.array.size else 0
    return Part((view.shape, [n // item for n in view.array.strides], offset), numbers)


def become(x: Tensor, op: str, result: Tensor) -> Tensor:
    """`x` is from now on `result`: a change in place that is recorded. Returns `x`.

    Raises:
        RuntimeError: `x` is a view of a leaf that requires a gradient, or a view outside the graph.
    """
    if result is x:
        return x
    if result.shape != x.shape:
        raise ValueError(f"{op}: the result has shape {result.shape}, which does not fit into {x.shape}")
    link = x._base
    base = None if link is None else link()
    if link is None or base is None:
        _replace(x, op, result)
        return x
    if link.how != "view":
        _refuse(op, "this tensor is outside the graph (x.detach()), and shares its elements with one that is in it")
    if base.requires_grad and base.is_leaf:
        _refuse(op, "this tensor is a view of a leaf that requires a gradient")
    numbers = numbered(base)
    if numbers is None:
        _refuse(op, "this tensor is a view of one whose elements do not lie side by side")
    part = part_of(base, x, numbers)
    places = part.places().reshape(-1)
    if 0 in part.layout[1] and np.unique(places).size != places.size:
        _refuse(op, "several elements of this tensor (x.expand()) share one place in memory")
    flat = SetItem((None, (places,)))(reshape(base, -1), reshape(result, -1))
    _replace(base, op, reshape(flat, base.shape))
    return x


def _refuse(op: str, why: str) -> NoReturn:
    raise RuntimeError(f"{op}: {why}, so the change cannot be recorded. Change a copy instead, x.clone()")


def _replace(base: Tensor, op: str, result: Tensor) -> None:
    """Give `base` the elements and the history of `result`, and its views theirs."""
    views: list[tuple[Tensor, str, Part]] = []
    numbers = None
    for link in getweakrefs(base):
        view = link.view() if isinstance(link, ViewOf) else None
        if view is None:
            continue
        numbers = numbered(base) if numbers is None else numbers
        if numbers is None:
            _refuse(op, "there is a view of this tensor, whose elements do not lie side by side")
        if link.how == "view" and view.requires_grad and view.is_leaf:
            _refuse(op, "there is a view of this tensor that is a leaf and requires a gradient")
        views.append((view, link.how, part_of(base, view, numbers)))
    if result._base is not None:
        result = clone(result)
    if views and result.array.strides != base.array.strides:  # the views need the layout of memory that they had
        array = np.empty_like(base.array)
        np.copyto(array, result.array)
        result.array = array
    _assume(base, result)
    base._base = None
    for view, how, part in views:
        if how == "view":
            _assume(view, part(base))
            continue
        view.array = part.forward(base.array)
        if how == "detached":
            view.version = base.version


def _assume(x: Tensor, result: Tensor) -> None:
    hooks = None
    if x._retains_grad and x.grad_fn is not None and x.grad_fn.hooks is not None:
        hooks = x.grad_fn.hooks[x.output_index]
    x.array, x.version = result.array, result.version
    x.grad_fn, x.output_index, x.requires_grad = result.grad_fn, result.output_index, result.requires_grad
    if hooks is not None:  # `retain_grad` is about this tensor, not about what it was
        hooks.pop()
        x._retains_grad = False
        x.retain_grad()
