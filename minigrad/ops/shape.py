"""Ops that move elements and compute nothing: reshape, permute, join, split, repeat, flip."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.autograd import Function
from minigrad.autograd.tensor import raw
from minigrad.ops.dims import accepts_dim, normalize_axes
from minigrad.ops.elementwise import cast, clone, expand, result_dtype

# -- the same elements in another shape -------------------------------------------------------------------


class Reshape(Function):
    """The same elements, in the same order, in another shape."""

    is_view = True

    def __init__(self, shape: tuple[int, ...]):
        self.shape = shape

    def forward(self, x: Any) -> Any:
        self.original = x.shape
        y = x.reshape(self.shape)
        if not x.flags.c_contiguous:  # then NumPy may have had to copy
            self.is_view = np.may_share_memory(x, y)
        return y

    def backward(self, g: Any) -> Any:
        return g.reshape(self.original)


def reshape(input: Any, *shape: Any) -> Any:
    """The elements of `input` in another shape; one length may be −1, and is then computed.

    The result is a view of the same memory if possible, otherwise a copy.

    Example:
        >>> import minigrad as mg
        >>> mg.arange(6).reshape(2, -1).shape
        (2, 3)
    """
    return Reshape(_sizes(shape))(input)


def view(x: Any, *shape: Any) -> Any:
    """The same memory in another shape. If this is impossible, PyTorch raises an error; this function copies, like
    `reshape`."""
    return Reshape(_sizes(shape))(x)


def view_as(x: Any, other: Any) -> Any:
    """The elements of `x` in the shape of `other`."""
    return Reshape(other.shape)(x)


def flatten(input: Any, start_dim: int = 0, end_dim: int = -1) -> Any:
    """The axes from `start_dim` to `end_dim`, both included, made into one.

    Example:
        >>> import minigrad as mg
        >>> mg.zeros(2, 3, 4).flatten(1).shape
        (2, 12)
    """
    if input.ndim == 0:
        return Reshape((1,))(input)
    start, end = one_axis(start_dim, input.ndim, "flatten"), one_axis(end_dim, input.ndim, "flatten")
    if start > end:
        raise ValueError(f"flatten: start_dim {start_dim} comes after end_dim {end_dim}")
    length = int(np.prod(input.shape[start : end + 1]))
    return Reshape((*input.shape[:start], length, *input.shape[end + 1 :]))(input)


@accepts_dim
def unflatten(input: Any, axis: int, sizes: Sequence[int]) -> Any:
    """One axis split into several, of the given sizes; one of them may be −1, and is then computed."""
    a = one_axis(axis, input.ndim, "unflatten")
    sizes = [int(n) for n in sizes]
    rest = int(np.prod([n for n in sizes if n >= 0]))
    if sizes.count(-1) == 1 and rest and input.shape[a] % rest == 0:
        sizes[sizes.index(-1)] = input.shape[a] // rest
    if int(np.prod(sizes)) != input.shape[a] or -1 in sizes:
        raise ValueError(
            f"unflatten: sizes {tuple(sizes)} do not multiply to the length {input.shape[a]} of axis {axis}"
        )
    return Reshape((*input.shape[:a], *sizes, *input.shape[a + 1 :]))(input)


@accepts_dim
def squeeze(input: Any, axis: Any = None) -> Any:
    """Without the axes of length 1: all of them, or those in `axis` (others in it are left alone)."""
    axes = normalize_axes(axis, input.ndim, "squeeze")
    return Reshape(tuple(n for i, n in enumerate(input.shape) if n != 1 or i not in axes))(input)


@accepts_dim
def unsqueeze(input: Any, axis: int) -> Any:
    """With a new axis of length 1, which becomes axis number `axis`."""
    a = one_axis(axis, input.ndim + 1, "unsqueeze")
    return Reshape((*input.shape[:a], 1, *input.shape[a:]))(input)


def _sizes(shape: tuple[Any, ...]) -> tuple[int, ...]:
    """(2, 3) from reshape(x, 2, 3) and reshape(x, (2, 3))."""
    if len(shape) == 1 and isinstance(shape[0], tuple | list):
        shape = tuple(shape[0])
    return tuple([int(n) for n in shape])


def one_axis(axis: int, ndim: int, op: str) -> int:
    """`axis` as a number from 0 to ndim − 1."""
    if not -ndim <= axis < ndim:
        raise IndexError(f"{op}: axis {axis} is out of range for {ndim} axes")
    return axis % ndim


# -- the axes in another order ----------------------------------------------------------------------------


class Permute(Function):
    """The axes in another order."""

    is_view = True

    def __init__(self, axes: tuple[int, ...]):
        self.axes = axes

    def forward(self, x: Any) -> Any:
        return x.transpose(self.axes)

    def backward(self, g: Any) -> Any:
        inverse = [0] * len(self.axes)
        for i, axis in enumerate(self.axes):
            inverse[axis] = i
        return Permute(tuple(inverse))(g)


def permute(input: Any, *dims: Any) -> Any:
    """The axes of `input` in the order given: result.shape[i] = input.shape[dims[i]]."""
    axes = _sizes(dims)
    if sorted(a % max(input.ndim, 1) for a in axes) != list(range(input.ndim)):
        raise ValueError(
            f"permute: axes {tuple(axes)} is not an order of the {input.ndim} axes of shape {input.shape}"
        )
    return Permute(tuple([a % input.ndim for a in axes]))(input)


def transpose(input: Any, dim0: int, dim1: int) -> Any:
    """Swap two axes."""
    a, b = one_axis(dim0, input.ndim, "transpose"), one_axis(dim1, input.ndim, "transpose")
    axes = list(range(input.ndim))
    axes[a], axes[b] = b, a
    return Permute(tuple(axes))(input)


def movedim(input: Any, source: Any, destination: Any) -> Any:
    """The axes `source` moved to the places `destination`; the others keep their order."""
    sources = [source] if isinstance(source, int) else list(source)
    targets = [destination] if isinstance(destination, int) else list(destination)
    sources = [one_axis(a, input.ndim, "movedim") for a in sources]
    targets = [one_axis(a, input.ndim, "movedim") for a in targets]
    if len(sources) != len(targets) or len(set(sources)) != len(sources) or len(set(targets)) != len(targets):
        raise ValueError(
            f"movedim: source {source} and destination {destination} must name the same number of different axes"
        )
    order = [a for a in range(input.ndim) if a not in sources]
    for target, a in sorted(zip(targets, sources, strict=True)):
        order.insert(target, a)
    return Permute(tuple(order))(input)


def t(input: Any) -> Any:
    """The transpose of a matrix; a 1-d or 0-d tensor as it is."""
    if input.ndim > 2:
        raise ValueError(f"t: needs at most 2 axes, got shape {input.shape}: use transpose, permute or mT")
    return Permute((1, 0))(input) if input.ndim == 2 else input


def reverse_axes(x: Any) -> Any:
    """`x.T`: the axes in reverse order."""
    return Permute(tuple(range(x.ndim))[::-1])(x)


def matrix_transpose(x: Any) -> Any:
    """`x.mT`: the last two axes swapped, for a batch of matrices."""
    return transpose(x, -2, -1)


# -- joining and splitting --------------------------------------------------------------------------------


class Cat(Function):
    """Arrays side by side along an axis; each gets its part of the gradient."""

    def __init__(self, axis: int):
        self.axis = axis

    def forward(self, *arrays: Any) -> Any:
        self.lengths = [a.shape[self.axis] for a in arrays]
        return np.concatenate(arrays, self.axis)

    def backward(self, g: Any) -> Any:
        return Split(self.lengths, self.axis)(g)


@accepts_dim
def cat(tensors: Sequence[Any], axis: int = 0) -> Any:
    """Tensors joined along an existing axis; along all other axes their shapes must agree.

    Example:
        >>> import minigrad as mg
        >>> mg.cat([mg.zeros(2, 3), mg.ones(1, 3)]).shape
        (3, 3)
    """
    tensors = _one_dtype(tensors, "cat")
    first = next((x for x in tensors if x.shape != (0,)), tensors[0])
    # As in PyTorch, an empty 1-d tensor fits any shape.
    tensors = [x for x in tensors if x.ndim == first.ndim or x.shape != (0,)]
    a = one_axis(axis, first.ndim, "cat")
    for i, x in enumerate(tensors):
        if x.ndim != first.ndim or x.shape[:a] + x.shape[a + 1 :] != first.shape[:a] + first.shape[a + 1 :]:
            raise ValueError(
                f"cat: along axis {axis}, tensor {i} of shape {x.shape} does not fit beside shape {first.shape}: all "
                "other axes must be equally long"
            )
    return Cat(a)(*tensors)


@accepts_dim
def stack(tensors: Sequence[Any], axis: int = 0) -> Any:
    """Tensors of one shape along a new axis.

    Example:
        >>> import minigrad as mg
        >>> mg.stack([mg.zeros(3), mg.ones(3)], axis=1).shape
        (3, 2)
    """
    tensors = list(tensors)
    if not tensors:
        raise ValueError("stack: needs at least one tensor, got none")
    for i, x in enumerate(tensors):
        if x.shape != tensors[0].shape:
            raise ValueError(f"stack: tensor {i} has shape {x.shape}, and the first {tensors[0].shape}")
    return cat([unsqueeze(x, axis) for x in tensors], axis)


def hstack(tensors: Sequence[Any]) -> Any:
    """Side by side: along axis 1, or axis 0 of 1-d tensors."""
    tensors = [Reshape((1,))(x) if x.ndim == 0 else x for x in tensors]
    return cat(tensors, 0 if tensors and tensors[0].ndim == 1 else 1)


def vstack(tensors: Sequence[Any]) -> Any:
    """One above the other: along axis 0, 1-d tensors being rows."""
    return cat([Reshape((1, x.shape[0] if x.ndim else 1))(x) if x.ndim < 2 else x for x in tensors], 0)


def _one_dtype(tensors: Sequence[Any], op: str) -> list[Any]:
    tensors = list(tensors)
    if not tensors:
        raise ValueError(f"{op}: needs at least one tensor, got none")
    for i, x in enumerate(tensors):
        if not hasattr(x, "dtype"):
            raise TypeError(f"{op}: needs tensors, and input {i} is a {type(x).__name__}: mg.tensor(...)")
    dtype = tensors[0].dtype
    for x in tensors[1:]:
        if x.dtype != dtype:
            dtype = result_dtype(np.empty(1, dtype), np.empty(1, x.dtype))
    return [cast(x, dtype) for x in tensors]


class Split(Function):
    """An array cut into pieces along an axis: the inverse of `Cat`."""

    is_view = True

    def __init__(self, sizes: list[int], axis: int):
        self.sizes, self.axis = sizes, axis

    def forward(self, x: Any) -> Any:
        ends = np.cumsum(self.sizes).tolist()
        before = (slice(None),) * self.axis
        return tuple([x[(*before, slice(end - n, end))] for n, end in zip(self.sizes, ends, strict=True)])

    def backward(self, *grads: Any) -> Any:
        return Cat(self.axis)(*grads)


@accepts_dim
def split(tensor: Any, split_size: Any, axis: int = 0) -> tuple[Any, ...]:
    """`tensor` cut along an axis, into pieces of `split_size` (the last may be shorter) or of the sizes in a list.

    Example:
        >>> import minigrad as mg
        >>> [piece.tolist() for piece in mg.arange(5).split(2)]
        [[0, 1], [2, 3], [4]]
    """
    a = one_axis(axis, tensor.ndim, "split")
    length = tensor.shape[a]
    if isinstance(split_size, int):
        if split_size <= 0:
            raise ValueError(f"split: split_size must be positive, not {split_size}")
        sizes = [min(split_size, length - start) for start in range(0, length, split_size)] or [0]
    else:
        sizes = [int(n) for n in split_size]
        if sum(sizes) != length or any(n < 0 for n in sizes):
            raise ValueError(
                f"split: the sizes {sizes} must not be negative, and add up to the length {length} of axis {axis}"
            )
    return Split(sizes, a)(tensor)


@accepts_dim
def chunk(input: Any, chunks: int, axis: int = 0) -> tuple[Any, ...]:
    """`input` cut along an axis into at most `chunks` pieces of equal length (the last may be shorter).

    An axis of length 0 gives `chunks` empty pieces.
    """
    if chunks <= 0:
        raise ValueError(f"chunk: chunks must be positive, not {chunks}")
    a = one_axis(axis, input.ndim, "chunk")
    if input.shape[a] == 0:
        return split(input, [0] * chunks, a)
    return split(input, max(1, -(-input.shape[a] // chunks)), a)


@accepts_dim
def unbind(input: Any, axis: int = 0) -> tuple[Any, ...]:
    """The slices of `input` along an axis, without that axis."""
    a = one_axis(axis, input.ndim, "unbind")
    return tuple([squeeze(piece, a) for piece in split(input, 1, a)]) if input.shape[a] else ()


# -- repeating --------------------------------------------------------------------------------------------


def repeat(x: Any, *sizes: Any) -> Any:
    """`x` repeated sizes[i] times along axis i, as tiles are; more sizes than axes add axes in front.

    Example:
        >>> import minigrad as mg
        >>> mg.tensor([1, 2]).repeat(2, 2)
        tensor([[1, 2, 1, 2],
                [1, 2, 1, 2]])
    """
    times = _sizes(sizes)
    if len(times) < x.ndim:
        raise ValueError(f"repeat: needs a number for each of the {x.ndim} axes, got {times}; see also tile")
    if any(n < 0 for n in times):
        raise ValueError(f"repeat: cannot repeat a negative number of times: {times}")
    shape = (1,) * (len(times) - x.ndim) + x.shape
    # (n₀, n₁) → (1, n₀, 1, n₁) → (t₀, n₀, t₁, n₁) → (t₀n₀, t₁n₁)
    apart = [n for length in shape for n in (1, length)]
    many = [n for pair in zip(times, shape, strict=True) for n in pair]
    y = expand(x.reshape(apart), many).reshape([k * n for k, n in zip(times, shape, strict=True)])
    return clone(y) if np.may_share_memory(raw(x), raw(y)) else y  # (reshape copies only where it must)


def tile(input: Any, *sizes: Any) -> Any:
    """As `repeat`, but fewer sizes than axes are sizes of the last axes."""
    times = _sizes(sizes)
    return repeat(input, (1,) * (input.ndim - len(times)) + times)


@accepts_dim
def repeat_interleave(input: Any, repeats: Any, axis: int | None = None) -> Any:
    """Each element (or slice along `axis`) repeated in its place: `repeats` times, or repeats[i] times each.

    Example:
        >>> import minigrad as mg
        >>> mg.tensor([1, 2]).repeat_interleave(2).tolist()
        [1, 1, 2, 2]
    """
    if axis is None:
        input, axis = input.reshape(-1), 0
    a = one_axis(axis, input.ndim, "repeat_interleave")
    index = np.repeat(np.arange(input.shape[a]), repeats.array if hasattr(repeats, "requires_grad") else repeats)
    return input[(*(slice(None),) * a, index)]


# -- turning and shifting ---------------------------------------------------------------------------------


class Flip(Function):
    """The order of the elements reversed along some axes; its own inverse."""

    def __init__(self, axes: tuple[int, ...]):
        self.axes = axes

    def forward(self, x: Any) -> Any:
        return np.flip(x, self.axes).copy()

    def backward(self, g: Any) -> Any:
        return Flip(self.axes)(g)


def flip(input: Any, *dims: Any) -> Any:
    """`input` with the order of its elements reversed along the given axes."""
    return Flip(normalize_axes(_sizes(dims), input.ndim, "flip"))(input)


class Roll(Function):
    """The elements shifted along axes; elements that leave at one end come in again at the other end."""

    def __init__(self, shifts: tuple[int, ...], axes: tuple[int, ...]):
        self.shifts, self.axes = shifts, axes

    def forward(self, x: Any) -> Any:
        return np.roll(x, self.shifts, self.axes)

    def backward(self, g: Any) -> Any:
        return Roll(tuple([-n for n in self.shifts]), self.axes)(g)


def roll(input: Any, shifts: Any, dims: Any = None) -> Any:
    """The elements shifted by `shifts` along `dims`, around the end; without dims, along the flattened tensor."""
    if dims is None:
        return roll(input.reshape(-1), shifts, 0).reshape(input.shape)
    shifts = (shifts,) if isinstance(shifts, int) else tuple(shifts)
    dims = (dims,) if isinstance(dims, int) else tuple(dims)
    if len(shifts) != len(dims):
        raise ValueError(f"roll: {len(shifts)} shifts for {len(dims)} axes")
    return Roll(shifts, tuple([one_axis(a, input.ndim, "roll") for a in dims]))(input)


# -- diagonals and triangles ------------------------------------------------------------------------------


class Triangle(Function):
    """A triangle of each matrix, with zeros for the rest."""

    def __init__(self, function: Any, diagonal: int):
        self.function, self.diagonal = function, diagonal

    def forward(self, x: Any) -> Any:
        return self.function(x, self.diagonal)

    def backward(self, g: Any) -> Any:
        return Triangle(self.function, self.diagonal)(g)


def tril(input: Any, diagonal: int = 0) -> Any:
    """The lower triangle: zero where column − row > diagonal."""
    return _triangle(np.tril, input, diagonal)


def triu(input: Any, diagonal: int = 0) -> Any:
    """The upper triangle: zero where column − row < diagonal."""
    return _triangle(np.triu, input, diagonal)


def _triangle(function: Any, x: Any, diagonal: int) -> Any:
    if x.ndim < 2:
        raise ValueError(f"{function.__name__}: needs a matrix or several, got shape {x.shape}")
    return Triangle(function, diagonal)(x)


class Diagonal(Function):
    """A diagonal of each matrix, as the last axis; the inverse of `DiagonalMatrix`."""

    is_view = True

    def __init__(self, offset: int, axis1: int, axis2: int):
        self.offset, self.axis1, self.axis2 = offset, axis1, axis2

    def forward(self, x: Any) -> Any:
        self.original = x.shape
        y = np.diagonal(x, self.offset, self.axis1, self.axis2)
        y.flags.writeable = x.flags.writeable  # a view like others, in contrast to NumPy's
        return y

    def backward(self, g: Any) -> Any:
        return OnDiagonal(self.original, self.offset, self.axis1, self.axis2)(g)


class OnDiagonal(Function):
    """The last axis on a diagonal of matrices that are zero elsewhere: the transpose of `Diagonal`."""

    def __init__(self, shape: tuple[int, ...], offset: int, axis1: int, axis2: int):
        self.shape, self.offset, self.axis1, self.axis2 = shape, offset, axis1, axis2

    def forward(self, x: Any) -> Any:
        y = np.zeros(self.shape, x.dtype)
        rows = np.arange(x.shape[-1]) + max(-self.offset, 0)
        np.moveaxis(y, (self.axis1, self.axis2), (-2, -1))[..., rows, rows + self.offset] = x
        return y

    def backward(self, g: Any) -> Any:
        return Diagonal(self.offset, self.axis1, self.axis2)(g)


def diagonal(input: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Any:
    """The elements whose index along `dim2` is that along `dim1` plus `offset`, as a new last axis."""
    a, b = one_axis(dim1, input.ndim, "diagonal"), one_axis(dim2, input.ndim, "diagonal")
    if a == b:
        raise ValueError(f"diagonal: dim1 and dim2 must be different axes, and both are {dim1}")
    return Diagonal(offset, a, b)(input)


def diag(input: Any, diagonal: int = 0) -> Any:
    """Of a matrix, a copy of its diagonal; of a vector, the matrix with that diagonal and zeros elsewhere."""
    if input.ndim == 1:
        n = input.shape[0] + abs(diagonal)
        return OnDiagonal((n, n), diagonal, 0, 1)(input)
    if input.ndim != 2:
        raise ValueError(f"diag: needs a vector or a matrix, got shape {input.shape}; see also diagonal")
    return clone(Diagonal(diagonal, 0, 1)(input))


def meshgrid(*tensors: Any, indexing: str = "ij") -> tuple[Any, ...]:
    """Coordinates of a grid: one tensor for each axis, of the shape of the whole grid.

    With indexing="ij" axis i belongs to the i-th tensor; with "xy" the first two axes are swapped.
    """
    if len(tensors) == 1 and isinstance(tensors[0], tuple | list):
        tensors = tuple(tensors[0])
    if indexing not in ("ij", "xy"):
        raise ValueError(f'meshgrid: indexing must be "ij" or "xy", not {indexing!r}')
    shape = [x.shape[0] if x.ndim else 1 for x in tensors]
    grid = []
    for i, x in enumerate(tensors):
        along = [1] * len(shape)
        along[i] = shape[i]
        grid.append(expand(x.reshape(along), shape))
    return tuple(transpose(x, 0, 1) if indexing == "xy" and len(shape) > 1 else x for x in grid)


@accepts_dim
def diff(input: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Any:
    """Each element minus the element before it along `axis`; this is repeated `n` times.

    Args:
        input: the tensor.
        n: the number of repetitions.
        axis: the axis of the differences.
        prepend, append: tensors that are first joined to the beginning and the end of `input`.

    Example:
        >>> import minigrad as mg
        >>> mg.diff(mg.tensor([1, 4, 9, 16])).tolist()
        [3, 5, 7]
    """
    a = one_axis(axis, input.ndim, "diff")
    parts = [part for part in (prepend, input, append) if part is not None]
    input = cat(parts, a) if len(parts) > 1 else input
    for _ in range(n):
        before = (slice(None),) * a
        later, earlier = input[(*before, slice(1, None))], input[(*before, slice(None, -1))]
        input = later != earlier if input.dtype.kind == "b" else later - earlier
    return input
