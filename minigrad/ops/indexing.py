"""Pick elements by their places, and the transpose: add elements into places.

If an element is picked twice, its gradient is the sum of both gradients. So the transpose *adds* into places and never
overwrites.
"""

import math
from typing import Any

import numpy as np

from minigrad.autograd import Function, Tensor
from minigrad.autograd.tensor import raw
from minigrad.kernels.rows import add_rows
from minigrad.ops.dims import accepts_dim
from minigrad.ops.elementwise import add, cast, expand, sum_to
from minigrad.ops.shape import one_axis

# -- x[index] ---------------------------------------------------------------------------------------------


class GetItem(Function):
    """y = x[index]; the gradient goes back to the places it came from."""

    def __init__(self, index: tuple[Any, ...], distinct: bool = False):
        self.index = index
        self.distinct = distinct or not any(isinstance(i, np.ndarray) and i.dtype != np.bool_ for i in index)
        self.is_view = not any(isinstance(i, np.ndarray) for i in index)

    def forward(self, x: Any) -> Any:
        self.original = x.shape
        return x[self.index]

    def backward(self, g: Any) -> Any:
        return PutItem(self.original, self.index, self.distinct)(g)


class PutItem(Function):
    """The transpose of `GetItem`: zeros, with x added in at the places `index`."""

    def __init__(self, shape: tuple[int, ...], index: tuple[Any, ...], distinct: bool):
        self.shape, self.index, self.distinct = shape, index, distinct

    def forward(self, x: Any) -> Any:
        y = np.zeros(self.shape, x.dtype)
        if self.distinct:
            y[self.index] = x
        else:
            add_at(y, self.index, x)
        return y

    def backward(self, g: Any) -> Any:
        return GetItem(self.index, self.distinct)(g)


def add_at(table: Any, index: tuple[Any, ...], values: Any) -> None:
    """table[index] += values, where an index may occur several times. Changes `table`, which must be contiguous."""
    if len(index) == 1 and index[0].ndim and table.ndim > 1 and values.size:  # whole rows
        places = index[0].reshape(-1).astype(np.int64, copy=False)
        rows = values.reshape(places.size, -1)
        places = np.where(places < 0, places + table.shape[0], places)
        add_rows(values.size, table.reshape(table.shape[0], -1), places, rows, 64)
    else:
        # NumPy's `add.at` is fast only in one dimension: number the elements, and use the numbers as places.
        numbers = np.arange(table.size).reshape(table.shape)[index]
        np.add.at(table.reshape(-1), numbers.reshape(-1), np.ascontiguousarray(values).reshape(-1))


def getitem(x: Any, index: Any) -> Any:
    """`x[index]`: numbers, slices, None, `...`, boolean masks, and integer arrays, tensors or lists.

    As in NumPy and PyTorch, an index of numbers, slices, None and `...` gives a view of the same memory, and one
    with arrays a copy. The gradient of an element that is picked several times is the sum. If NumPy and PyTorch
    differ, PyTorch's rule holds. Example: for x of shape (2, 3, 4), x[0, :, [1, 2]] has shape (3, 2), columns of x[0],
    and not (2, 3). A `...` that stands for no axis changes nothing.

    Example:
        >>> import minigrad as mg
        >>> x = mg.tensor([1.0, 2.0, 3.0], requires_grad=True)
        >>> x[[0, 0, 2]].sum().backward()
        >>> x.grad.tolist()
        [2.0, 0.0, 1.0]
    """
    return _get(x, _parts(index, x.ndim))


class SetItem(Function):
    """y = x with y[index] = value. Overwritten elements get no gradient; the value gets the gradient of its places."""

    def __init__(self, index: tuple[Any, ...]):
        self.index = index

    def forward(self, x: Any, value: Any) -> Any:
        y = x.copy()
        _part(y, self.index)[self.index[1]] = value
        return y

    def backward(self, g: Any) -> Any:
        gx = SetItem(self.index)(g, 0) if self.needs(0) else None
        gv = None
        if self.needs(1):
            places = _get(g, self.index)
            winners = self._winners(g.shape, places.shape)
            gv = sum_to(places if winners is None else places * winners, self.input_shape(1))
        return gx, gv

    def _winners(self, shape: tuple[int, ...], places: tuple[int, ...]) -> Any:
        """Marks the values that stay: of several values for one place, the last one. None: no place occurs twice."""
        if not any(isinstance(i, np.ndarray) and i.dtype != np.bool_ for i in self.index[1]):
            return None
        numbers = np.arange(math.prod(places)).reshape(places)
        last = np.zeros(shape, np.int64)
        _part(last, self.index)[self.index[1]] = numbers
        return _part(last, self.index)[self.index[1]] == numbers


def _part(array: Any, index: tuple[Any, Any]) -> Any:
    """A view of `array` by the numbers in an index; the rest of the index then applies to this view."""
    return array if index[0] is None else array[index[0]]


def _get(x: Any, index: tuple[Any, Any]) -> Any:
    numbers, rest = index
    return GetItem(rest)(x if numbers is None else GetItem(numbers)(x))


def setitem(x: Tensor, index: Any, value: Any) -> None:
    """`x[index] = value`, in place; an index as for `getitem`.

    If `x` or `value` needs a gradient, the change is recorded: `x` and its views get new memory. Earlier results keep
    the old values.

    Raises:
        RuntimeError: `x` is a leaf that requires a gradient, or a view of one: use `with mg.no_grad():`.

    Example:
        >>> import minigrad as mg
        >>> w = mg.tensor([1.0, 2.0], requires_grad=True)
        >>> y = mg.zeros(3)
        >>> y[:2] = w * w
        >>> y.sum().backward()
        >>> w.grad.tolist()
        [2.0, 4.0]
    """
    parts = _parts(index, x.ndim)
    if x._is_recorded_with(value):
        if isinstance(value, Tensor) and value._base is not None and value._base.how == "view":
            places = _part(x.array, parts)[parts[1]]
            if value.array.__array_interface__ == places.__array_interface__:
                return  # x[i] += y ends with x[i] = v, where v are these very elements
        if not isinstance(value, Tensor):
            value = np.asarray(value)
        x._become("setitem", SetItem(parts)(x, cast(value, x.dtype)))
        return

    def write(array: Any, value: Any) -> None:
        (array if parts[0] is None else array[parts[0]])[parts[1]] = value

    x._change("setitem", write, value)


def _parts(index: Any, ndim: int) -> tuple[tuple[Any, ...] | None, tuple[Any, ...]]:
    """Split an index into two that are applied in turn: the numbers (None if there are none), and the rest."""
    parts = []
    basic = True
    for part in index if type(index) is tuple else (index,):
        if isinstance(part, Tensor | list | np.ndarray | range):
            part = _places(part)
            basic = basic and isinstance(part, int)
        elif isinstance(part, bool | np.bool_):
            part = np.asarray(part)
            basic = False
        parts.append(part)
    if basic:
        if Ellipsis not in parts:
            parts.append(Ellipsis)  # then NumPy gives a view even of a single element
        return None, tuple(parts)
    if (
        sum(map(_axes_of, parts)) == ndim
    ):  # here `...` stands for no axis; between arrays, NumPy would move their axes to the front
        parts = [part for part in parts if part is not Ellipsis]
    if not any(isinstance(part, int | np.integer) for part in parts):
        return None, tuple(parts)
    # Beside an array, NumPy treats a number as an array and may move both axes to the front.
    numbers, rest = [], []
    for part in parts:
        if isinstance(part, int | np.integer):
            numbers.append(part)
            continue
        rest.append(part)
        if part is Ellipsis:
            numbers.append(part)
        else:
            numbers += [slice(None)] * _axes_of(part)
    if Ellipsis not in numbers:
        numbers.append(Ellipsis)
    return tuple(numbers), tuple(rest)


def _axes_of(part: Any) -> int:
    """The number of the tensor's axes that this part of an index covers. (`...` covers the remaining axes.)"""
    if part is None or part is Ellipsis:
        return 0
    return part.ndim if isinstance(part, np.ndarray) and part.dtype == np.bool_ else 1


def _places(part: Any) -> Any:
    """An index array of our own: if its owner changes it later, the gradient still goes to the right places.

    A single integer is a number.
    """
    array = np.array([raw(i) for i in part]) if isinstance(part, list | range) else np.array(raw(part))
    if array.size == 0 and array.dtype.kind == "f":  # what NumPy makes of []
        array = array.astype(np.int64)
    return int(array) if array.ndim == 0 and array.dtype.kind in "iu" else array


# -- along one axis ---------------------------------------------------------------------------------------


def _integer_index(index: Any, op: str) -> Any:
    array = np.array(raw(index))
    if array.dtype.kind not in "iu":
        raise TypeError(f"{op}: index must hold integers, not {array.dtype}")
    return array


def _check_range(index: Any, length: int, axis: int, op: str) -> None:
    if index.size and (index.min() < 0 or index.max() >= length):
        wrong = int(index[(index < 0) | (index >= length)][0])
        raise IndexError(f"{op}: index {wrong} is out of range for axis {axis}, which has length {length}")


@accepts_dim
def index_select(input: Any, axis: int, index: Any) -> Any:
    """The slices number index[0], index[1], ... of `input` along an axis, in that order."""
    a = one_axis(axis, input.ndim, "index_select")
    places = _integer_index(index, "index_select")
    if places.ndim > 1:
        raise ValueError(f"index_select: index must have one axis, got shape {places.shape}")
    _check_range(places, input.shape[a], axis, "index_select")
    return GetItem((*(slice(None),) * a, places.reshape(-1)))(input)


@accepts_dim
def index_add(input: Any, axis: int, index: Any, source: Any) -> Any:
    """`input` with source[i] added to slice number index[i] along an axis, for every i."""
    a = one_axis(axis, input.ndim, "index_add")
    places = _integer_index(index, "index_add")
    _check_range(places, input.shape[a], axis, "index_add")
    where = (*(slice(None),) * a, places.reshape(-1))
    expected = (*input.shape[:a], places.size, *input.shape[a + 1 :])
    if source.shape != expected:
        raise ValueError(
            f"index_add: source has shape {source.shape}, and must have {expected}: a slice for each of the "
            f"{places.size} indices"
        )
    return add(input, PutItem(input.shape, where, False)(cast(source, input.dtype)))


def along(index: Any, axis: int) -> tuple[Any, ...]:
    """For axis 1, the index by which x[i, index[i, j, k], k] is picked for each place (i, j, k)."""
    grid = np.ogrid[tuple(slice(n) for n in index.shape)]
    return (*grid[:axis], index, *grid[axis + 1 :])


@accepts_dim
def gather(input: Any, axis: int, index: Any) -> Any:
    """y[i, j, k] = input[i, index[i, j, k], k] (for axis 1): one element of `input` for each element of `index`.

    `index` has as many axes as `input`, and elsewhere than along `axis` may not be longer.

    Example:
        >>> import minigrad as mg
        >>> mg.tensor([[1, 2], [3, 4]]).gather(1, mg.tensor([[1], [0]])).tolist()
        [[2], [3]]
    """
    a = one_axis(axis, input.ndim or 1, "gather")
    places = _integer_index(index, "gather")
    if input.ndim == 0:
        return gather(input.reshape(1), 0, places.reshape(1)).reshape(places.shape)
    _check_shape(places, input.shape, a, "gather")
    _check_range(places, input.shape[a], axis, "gather")
    return GetItem(along(places, a))(input)


@accepts_dim
def scatter_add(input: Any, axis: int, index: Any, src: Any) -> Any:
    """`input` with src[i, j, k] added at [i, index[i, j, k], k] (for axis 1): the transpose of `gather`."""
    where, src = _scattered(input, axis, index, src, "scatter_add")
    return add(input, PutItem(input.shape, where, False)(src))


@accepts_dim
def scatter(
    input: Any, axis: int, index: Any, src: Any = None, *, value: Any = None, reduce: str | None = None
) -> Any:
    """`input` with src[i, j, k] written at [i, index[i, j, k], k] (for axis 1): the opposite of `gather`.

    Args:
        input: what is copied and written to.
        axis: along which `index` counts.
        index: integers, with as many axes as `input`.
        src: a tensor that is at least as large as `index`, or a number.
        value: a number, in place of `src`.
        reduce: "add" or "multiply", rather than to overwrite.

    Of several values for one place the last one stays, and it alone gets the gradient.

    Example:
        >>> import minigrad as mg
        >>> mg.zeros(2, 3).scatter(1, mg.tensor([[2], [0]]), 1.0).tolist()
        [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
    """
    if (src is None) == (value is None):
        raise TypeError("scatter: takes either src or value")
    if reduce not in (None, "add", "multiply"):
        raise ValueError(f"scatter: reduce must be None, 'add' or 'multiply', not {reduce!r}")
    where, src = _scattered(input, axis, index, value if src is None else src, "scatter")
    if reduce == "add":
        return add(input, PutItem(input.shape, where, False)(src))
    if reduce is None:
        return SetItem((None, where))(input, src)
    # A place that occurs n times is multiplied in n rounds; within a round, no place occurs twice.
    numbers = np.arange(math.prod(input.shape)).reshape(input.shape)[where].reshape(-1)
    order = np.argsort(numbers, kind="stable")
    turns = np.arange(order.size) - np.searchsorted(numbers[order], numbers[order])
    for turn in range(int(turns.max()) + 1 if turns.size else 0):
        chosen = np.unravel_index(order[turns == turn], src.shape)
        part = tuple([np.broadcast_to(w, src.shape)[chosen] for w in where])
        input = SetItem((None, part))(input, GetItem(part)(input) * GetItem(chosen)(src))
    return input


def _scattered(x: Any, axis: int, index: Any, src: Any, op: str) -> tuple[Any, Any]:
    """The index of the places to write to, and the values for them."""
    a = one_axis(axis, x.ndim or 1, op)
    places = _integer_index(index, op)
    if not isinstance(src, Tensor | np.ndarray) or src.ndim == 0 != places.ndim:
        if isinstance(src, Tensor):
            src = expand(src, places.shape)
        else:
            src = np.full(places.shape, src)
    if x.ndim == 0:
        raise ValueError(f"{op}: x must have an axis; write x.reshape(1)")
    _check_shape(places, x.shape, a, op)
    _check_range(places, x.shape[a], axis, op)
    if src.ndim != places.ndim or any(n > m for n, m in zip(places.shape, src.shape, strict=True)):
        raise ValueError(
            f"{op}: src of shape {src.shape} has no element for each place in index, of shape {places.shape}"
        )
    used = tuple([slice(n) for n in places.shape])  # src may be larger than index; the rest of src is not used
    src = src if src.shape == places.shape else src[used]
    return along(places, a), cast(src, x.dtype)


def _check_shape(index: Any, shape: tuple[int, ...], axis: int, op: str) -> None:
    fits = index.ndim == len(shape) and all(
        n <= m for i, (n, m) in enumerate(zip(index.shape, shape, strict=True)) if i != axis
    )
    if not fits:
        raise ValueError(
            f"{op}: index of shape {index.shape} does not fit a tensor of shape {shape}: it needs the same "
            f"number of axes, and no axis except {axis} may be longer"
        )


@accepts_dim
def take_along_dim(input: Any, indices: Any, axis: int | None = None) -> Any:
    """As `gather`, but other axes than `axis` broadcast; without an axis, elements of the flattened tensor."""
    if axis is None:
        return getitem(input.reshape(-1), _integer_index(indices, "take_along_dim").reshape(-1))
    a = one_axis(axis, input.ndim, "take_along_dim")
    places = _integer_index(indices, "take_along_dim")
    _check_range(places, input.shape[a], axis, "take_along_dim")
    if places.ndim != input.ndim:
        raise ValueError(
            f"take_along_dim: indices of shape {places.shape} must have as many axes as shape {input.shape}"
        )
    before = np.broadcast_shapes(input.shape[:a], places.shape[:a])
    after = np.broadcast_shapes(input.shape[a + 1 :], places.shape[a + 1 :])
    places = np.broadcast_to(places, (*before, places.shape[a], *after))
    return GetItem(along(places, a))(expand(input, (*before, input.shape[a], *after)))


def pick(x: Any, axis: int, index: Any) -> Any:
    """`take_along_dim` without checks, for an index (an array) that names no element twice."""
    return GetItem(along(index, axis), distinct=True)(x)


def masked_select(input: Any, mask: Any) -> Any:
    """The elements of `input` where `mask` is true, as a 1-d tensor."""
    mask = np.asarray(raw(mask))
    shape = np.broadcast_shapes(input.shape, mask.shape)
    return getitem(expand(input, shape), np.broadcast_to(mask, shape))


# -- tables -----------------------------------------------------------------------------------------------


class Embedding(Function):
    """y = table[index], row by row; no gradient for the row `padding`."""

    def __init__(self, index: Any, padding: int | None):
        self.index, self.padding = index, padding

    def forward(self, table: Any) -> Any:
        self.original = table.shape
        return table.take(self.index, axis=0)

    def backward(self, g: Any) -> Any:
        return EmbeddingGrad(self.original, self.index, self.padding)(g)


class EmbeddingGrad(Function):
    """The transpose of `Embedding`: rows added into a table of zeros."""

    def __init__(self, shape: tuple[int, ...], index: Any, padding: int | None):
        self.shape, self.index, self.padding = shape, index, padding

    def forward(self, g: Any) -> Any:
        table = np.zeros(self.shape, g.dtype)
        add_at(table, (self.index.reshape(-1),), g.reshape(self.index.size, self.shape[1]))
        if self.padding is not None:
            table[self.padding] = 0
        return table

    def backward(self, gg: Any) -> Any:
        rows = Embedding(self.index, None)(gg)
        return rows if self.padding is None else rows * (self.index != self.padding)[..., None]


def embedding(input: Any, weight: Any, padding_idx: int | None = None) -> Any:
    """Row input[i] of the table `weight`, for every element of `input`.

    Args:
        input: integers from 0 to num_embeddings − 1, of any shape.
        weight: (num_embeddings, embedding_dim).
        padding_idx: a row that gets no gradient.

    Returns:
        (*input.shape, embedding_dim).

    Example:
        >>> import minigrad as mg
        >>> table = mg.tensor([[0.0, 0.0], [1.0, 2.0]])
        >>> mg.nn.functional.embedding(mg.tensor([1, 1, 0]), table).tolist()
        [[1.0, 2.0], [1.0, 2.0], [0.0, 0.0]]
    """
    index = _integer_index(input, "embedding")
    if weight.ndim != 2:
        raise ValueError(f"embedding: weight must be (num_embeddings, embedding_dim), got shape {weight.shape}")
    _check_range(index, weight.shape[0], 0, "embedding")
    if padding_idx is not None:
        if not -weight.shape[0] <= padding_idx < weight.shape[0]:
            raise ValueError(f"embedding: padding_idx {padding_idx} is not a row of {weight.shape[0]}")
        padding_idx %= weight.shape[0]
    return Embedding(index, padding_idx)(weight)


def one_hot(tensor: Any, num_classes: int = -1) -> Any:
    """A 1 at position tensor[i] of a new last axis of length `num_classes`, zeros elsewhere; int64.

    With num_classes = −1, it is the largest class number + 1.

    Example:
        >>> import minigrad as mg
        >>> mg.nn.functional.one_hot(mg.tensor([0, 2])).tolist()
        [[1, 0, 0], [0, 0, 1]]
    """
    index = _integer_index(tensor, "one_hot")
    if num_classes < 0:
        if not index.size:
            raise ValueError("one_hot: the tensor is empty, so pass the number of classes: num_classes=...")
        num_classes = int(index.max()) + 1
    _check_range(index, num_classes, -1, "one_hot")
    return Tensor((index[..., None] == np.arange(num_classes)).astype(np.int64))
