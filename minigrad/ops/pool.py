"""Pooling: the largest element or the mean of every window of an image, over 1, 2 or 3 axes.

Which elements a window covers is worked out first, as one table of ranges for each axis (`Windows`); that is where
stride, padding, dilation, ceil_mode and the adaptive sizes have their say. What is done with a window is then the
same for all of them.
"""

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from minigrad.autograd import Function
from minigrad.autograd.modes import modes
from minigrad.kernels import pool as kernels
from minigrad.ops.conv import check_axes, sizes
from minigrad.ops.reduction import mean


@dataclass(frozen=True, eq=False)  # equal to itself only: to compare long tables takes longer than to pool
class Windows:
    """The windows along one axis: window i covers first[i], first[i] + step, ..., below end[i]."""

    first: Any
    end: Any
    step: int
    divisor: Any  # by how much this axis divides the sum, in a mean
    alike: tuple[int, int, int]
    """(begin, end, stride): windows begin to end − 1 have equally many elements, each `stride` behind the last one."""

    @cached_property
    def size(self) -> int:
        """Number of elements of the largest window."""
        return int((-(-(self.end - self.first) // self.step)).max(initial=1))

    @cached_property
    def hollow(self) -> bool:
        """Is there a window without elements?"""
        return bool((self.first >= self.end).any())


class MaxPool(Function):
    """y[i] = the largest x in window i:  ∂y[i]/∂x[j] = 1 where j is the place of the largest, else 0.

    The places are constants of the derivative rule: they don't change when x changes a little.
    """

    def __init__(self, windows: tuple[Windows, ...], return_indices: bool, places: bool = True):
        self.windows, self.return_indices, self.places = windows, return_indices, places

    def forward(self, x: Any) -> Any:
        n = len(self.windows)
        planes, image = math.prod(x.shape[:-n]), x.shape[-n:]
        shape = _pooled_shape(x, self.windows)
        out, index = np.empty(shape, x.dtype), np.empty(shape, np.int32) if self.places else None
        elements = math.prod(w.size for w in self.windows)
        count = math.prod(shape[-n:])
        together = _planes_together(planes, count)
        blocks = planes // together
        if out.size:
            if elements * count * together <= SMALL:
                x2, out2 = np.ascontiguousarray(x).reshape(blocks, -1), out.reshape(blocks, -1)
                index2 = None if index is None else index.reshape(blocks, -1)
                kernels.max_pool(out.size * elements, x2, _places(self.windows, image, together), out2, index2)
            else:
                blocks = planes
                size, steps = (1,) * (3 - n) + image, (1,) * (3 - n) + tuple(w.step for w in self.windows)
                index4 = None if index is None else _image(index, n)
                kernels.max_pool_large(
                    x.size, np.ascontiguousarray(x).reshape(planes, -1), size,
                    *_ranges(self.windows, x.dtype)[:6], steps, self.windows[-1].alike, _image(out, n), index4,
                )  # fmt: skip
        self.index, self.blocks, self.shape = index, blocks, x.shape
        return (out, index.astype(np.int64) % math.prod(image)) if self.return_indices and index is not None else out

    def backward(self, g: Any, _: Any = None) -> Any:
        return Scatter(self.index, self.blocks, self.shape)(g)


SMALL = 1 << 16
"""The largest table of places. An image with more of them has its windows described axis by axis."""


def _planes_together(planes: int, count: int) -> int:
    """How many planes the kernel pools as if they were one: with few windows each, its inner loop would be short."""
    together = max(1, min(planes, 64 // max(count, 1)))
    while planes % together:
        together -= 1
    return together


@lru_cache(maxsize=256)
def _places(windows: tuple[Windows, ...], image: tuple[int, ...], planes: int) -> Any:
    """places[e, i]: where element e of window i lies in the flattened image (of all planes, one after another).

    For windows of 2 × 2 side by side::

        image    0 1 2 3      windows    0 1    2 3      places    0 2
                 4 5 6 7                 4 5    6 7                1 3
                                                                   4 6
                                                                   5 7

    A window at the edge may have fewer elements. Its column is filled up by repeating its last row or last pixels,
    which changes no maximum, and leaves the places of a column in order: of equal elements the first one counts.
    """
    places = np.zeros((1, 1), np.int64)
    for w, length in zip(windows, image, strict=True):
        last = w.end - 1 - (w.end - 1 - w.first) % w.step
        table = np.minimum(w.first + w.step * np.arange(w.size)[:, None], last)
        # All pairs of an element so far and one of this axis, for all pairs of windows.
        pairs = places[:, None, :, None] * length + table[None, :, None, :]
        places = pairs.reshape(len(places) * w.size, -1)
    starts = np.arange(planes)[:, None] * math.prod(image)
    return (places[:, None, :] + starts).reshape(len(places), -1).astype(np.int32)


class Scatter(Function):
    """x[index[i]] = Σ g[i] in every block of planes: the gradients of the windows, sent to their largest elements."""

    def __init__(self, index: Any, blocks: int, shape: tuple[int, ...]):
        self.index, self.blocks, self.shape = index, blocks, shape

    def forward(self, g: Any) -> Any:
        gx = np.zeros(self.shape, g.dtype)
        if g.size:
            g = np.ascontiguousarray(g)
            kernels.scatter(g.size, *(a.reshape(self.blocks, -1) for a in (g, self.index, gx)))
        return gx

    def backward(self, u: Any) -> Any:
        return Gather(self.index, self.blocks, self.shape)(u)


class Gather(Function):
    """y[i] = x[index[i]] in every block of planes: the transpose of `Scatter`."""

    def __init__(self, index: Any, blocks: int, shape: tuple[int, ...]):
        self.index, self.blocks, self.shape = index, blocks, shape

    def forward(self, x: Any) -> Any:
        out = np.empty(self.index.shape, x.dtype)
        if out.size:
            x = np.ascontiguousarray(x)
            kernels.gather(out.size, *(a.reshape(self.blocks, -1) for a in (x, self.index, out)))
        return out

    def backward(self, g: Any) -> Any:
        return Scatter(self.index, self.blocks, self.shape)(g)


class AvgPool(Function):
    """y[i] = (1/count) Σ x over window i.  Linear, so its derivative is its transpose."""

    def __init__(self, windows: tuple[Windows, ...], image: tuple[int, ...]):
        self.windows, self.image = windows, image

    def forward(self, x: Any) -> Any:
        n = len(self.windows)
        out = np.empty(_pooled_shape(x, self.windows), x.dtype)
        kernels.window_sum(x.size, _image(x, n), *_ranges(self.windows, x.dtype), _image(out, n))
        return out

    def backward(self, g: Any) -> Any:
        return AvgPoolTranspose(self.windows, self.image)(g)


class AvgPoolTranspose(Function):
    """x[j] = Σ y[i]/count over the windows i that cover j."""

    def __init__(self, windows: tuple[Windows, ...], image: tuple[int, ...]):
        self.windows, self.image = windows, image

    def forward(self, g: Any) -> Any:
        n = len(self.windows)
        gx = np.zeros((*g.shape[:-n], *self.image), g.dtype)
        kernels.window_spread(gx.size, _image(g, n), *_ranges(self.windows, g.dtype), _image(gx, n))
        return gx

    def backward(self, u: Any) -> Any:
        return AvgPool(self.windows, self.image)(u)


def _pooled_shape(x: Any, windows: tuple[Windows, ...]) -> tuple[int, ...]:
    """The shape of an image after pooling: along each axis of space, one value for each window."""
    return (*x.shape[: -len(windows)], *(len(w.first) for w in windows))


def _image(x: Any, n: int) -> Any:
    """An array as (planes, depth, height, width): `n` spatial axes, and everything before them is planes."""
    x = np.ascontiguousarray(x)
    return x.reshape(math.prod(x.shape[:-n]), *[1] * (3 - n), *x.shape[-n:])


@lru_cache(maxsize=64)
def _ranges(windows: tuple[Windows, ...], dtype: Any) -> list[Any]:
    """The tables as arrays: first and end of three axes, then their divisors."""
    three = (_WHOLE,) * (3 - len(windows)) + windows
    ranges = [a.astype(np.int32) for w in three for a in (w.first, w.end)]
    return ranges + [np.asarray(w.divisor, dtype) for w in three]


# -- the tables -------------------------------------------------------------------------------------------


@lru_cache(maxsize=64)
def _windows(
    length: int, size: int, stride: int, padding: int, dilation: int, ceil_mode: bool, pad_counts: bool, divisor: Any
) -> Windows | None:
    """The windows along an axis, or None if there are none: the windows are larger than the padded image."""
    free = length + 2 * padding - dilation * (size - 1) - 1  # how far a window can be moved
    count = (-(-free // stride) if ceil_mode else free // stride) + 1
    if ceil_mode and (count - 1) * stride >= length + padding:
        count -= 1  # a window must not lie in the padding behind the image altogether
    if count < 1 or (free < 0 and not ceil_mode):
        return None
    start = np.arange(count) * stride - padding
    end = start + dilation * (size - 1) + 1
    first = np.where(start < 0, start % dilation, start)  # the first element that is not padding
    inside = np.minimum(end, length)
    counted = np.minimum(end, length + padding) - start if pad_counts else inside - first
    if divisor is not None:
        counted = np.full(count, divisor)
    whole = -(-padding // stride), min((length + padding - dilation * (size - 1) - 1) // stride + 1, count)
    return Windows(first, inside, dilation, counted, (*whole, stride))


@lru_cache(maxsize=64)
def _adaptive_windows(length: int, count: int) -> Windows:
    """`count` windows that cover the axis, as equal as they can be: from ⌊i·L/count⌋ to ⌈(i + 1)·L/count⌉."""
    i = np.arange(count)
    first, end = i * length // max(count, 1), -(-(i + 1) * length // max(count, 1))
    whole = count if count and length % count == 0 else 0
    return Windows(first, end, 1, end - first, (0, whole, length // max(count, 1)))


_WHOLE = _adaptive_windows(1, 1)  # an axis that the image does not have


def _check(op: str, n: int, x: Any) -> None:
    """Are the shape and the dtype those that PyTorch takes, too?"""
    check_axes(op, n, x)
    if op in ("max_pool2d", "max_pool3d"):
        fits = x.dtype.kind in "fiu"
    else:
        fits = x.dtype.kind == "f" or (op.startswith("avg_pool") and x.dtype == np.int64)
    if not fits:
        raise TypeError(f"{op}: needs a floating-point tensor, not {x.dtype}: convert it first, x.float()")
    # A batch may be empty. Where adaptive pooling takes a first axis for one, it does so without a batch as well.
    lenient = op in ("adaptive_avg_pool1d", "adaptive_avg_pool2d") or (op.startswith("adaptive") and x.ndim == n + 1)
    if x.shape[-n - 1] == 0 and not lenient:
        raise ValueError(f"{op}: the input must have at least one channel, got shape {x.shape}")


def _tables(
    op: str, n: int, x: Any, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool,
    pad_counts: bool, divisor: Any = None,
) -> tuple[Windows, ...]:  # fmt: skip
    """The windows along each axis, from the arguments of a pooling function."""
    _check(op, n, x)
    size = sizes(kernel_size, n, op, "kernel_size", 1)
    no_stride = stride is None or (hasattr(stride, "__len__") and len(stride) == 0)
    step = size if no_stride else sizes(stride, n, op, "stride", 1)
    dilated = sizes(dilation, n, op, "dilation", 1)
    pads = sizes(padding, n, op, "padding", 0)
    if any(p > k // 2 for p, k in zip(pads, size, strict=True)):
        raise ValueError(
            f"{op}: padding must be at most half of kernel_size, or some windows would hold nothing but padding; got "
            f"padding={pads} with kernel_size={size}"
        )
    image = x.shape[-n:]
    divisors = (divisor,) + (None if divisor is None else 1,) * (n - 1)
    tables = []
    for *a, d in zip(image, size, step, pads, dilated, divisors, strict=True):
        w = _windows(*a, ceil_mode, pad_counts, d)
        tables += [] if w is None else [w]
    if len(tables) < n:
        raise ValueError(f"{op}: kernel_size={size} is larger than the image {image} with padding={pads}")
    if any(w.hollow for w in tables):
        raise ValueError(
            f"{op}: with dilation={dilated} and padding={pads}, some windows of kernel_size={size} step over the "
            f"whole image {image} and hold nothing but padding; use less of either"
        )
    return tuple(tables)


def _adaptive_tables(op: str, n: int, x: Any, output_size: Any) -> tuple[Windows, ...]:
    _check(op, n, x)
    image = x.shape[-n:]
    given = output_size if isinstance(output_size, tuple | list) else (output_size,) * n
    if len(given) == n:
        given = [i if o is None else o for i, o in zip(image, given, strict=True)]
    wanted = sizes(given, n, op, "output_size", 0)
    if 0 in image and not (op.startswith("adaptive_avg") and set(wanted) == {1}):
        raise ValueError(f"{op}: the image has no pixels: the input has shape {x.shape}")
    return tuple(map(_adaptive_windows, image, wanted))


def _max_pool(
    op: str, n: int, x: Any, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool, indices: bool
) -> Any:
    return _apply_max_pool(_tables(op, n, x, kernel_size, stride, padding, dilation, ceil_mode, False), indices, x)


def _apply_max_pool(tables: tuple[Windows, ...], indices: bool, x: Any) -> Any:
    """Maxima, and the places of the maxima only if they are asked for, or a backward pass may ask for them."""
    return MaxPool(tables, indices, indices or (modes.grad and getattr(x, "requires_grad", False)))(x)


def _avg_pool(
    op: str, n: int, x: Any, kernel_size: Any, stride: Any, padding: Any, ceil_mode: bool, include: bool, divisor: Any
) -> Any:
    if divisor is not None and divisor == 0:
        raise ValueError(f"{op}: divisor_override must not be 0")
    tables = _tables(op, n, x, kernel_size, stride, padding, 1, ceil_mode, include, divisor)
    return AvgPool(tables, x.shape[-n:])(x)


def _adaptive_avg_pool(op: str, n: int, x: Any, output_size: Any) -> Any:
    tables = _adaptive_tables(op, n, x, output_size)
    if all(len(t.first) == 1 for t in tables):
        return mean(x, tuple(range(-n, 0)), keepdim=True)
    return AvgPool(tables, x.shape[-n:])(x)


# -- the public functions ---------------------------------------------------------------------------------


def max_pool1d(
    input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
    ceil_mode: bool = False, return_indices: bool = False,
) -> Any:  # fmt: skip
    """The largest element of each window of (N, C, L) or (C, L); see `max_pool2d`."""
    return _max_pool("max_pool1d", 1, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool2d(
    input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
    ceil_mode: bool = False, return_indices: bool = False,
) -> Any:  # fmt: skip
    """The largest element of each window.

    out[n, c, y, x] = max over i, j of input[n, c, s·y + d·i − p, s·x + d·j − p]

    with stride s, dilation d and padding p; what lies outside the image counts as −∞. The gradient goes to the
    largest element, to the first one if there are several. NaN is larger than any number.

    Args:
        input: (N, C, H, W), or (C, H, W) for one image.
        kernel_size: the size of a window. Here and below: an int, or one for each axis.
        stride: the distance between windows; None stands for `kernel_size`: windows side by side.
        padding: how many pixels to add on each side; at most half of the window.
        dilation: the distance between neighbouring elements of a window.
        ceil_mode: round the number of windows up rather than down: the last one may reach over the edge.
        return_indices: return (out, indices), the place of each largest element in its flattened image.

    Returns:
        (N, C, H_out, W_out) or (C, H_out, W_out), with ⌊(L + 2p − d(k − 1) − 1) / s⌋ + 1 windows along an axis.

    Raises:
        ValueError: no window fits, there are no channels, or an option is out of range.
        TypeError: a boolean input (in one dimension, also an integer one).

    Example:
        >>> import minigrad as mg
        >>> mg.nn.functional.max_pool2d(mg.arange(16.0).reshape(1, 1, 4, 4), 2).tolist()
        [[[[5.0, 7.0], [13.0, 15.0]]]]
    """
    return _max_pool("max_pool2d", 2, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool3d(
    input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
    ceil_mode: bool = False, return_indices: bool = False,
) -> Any:  # fmt: skip
    """The largest element of each window of (N, C, D, H, W) or (C, D, H, W); see `max_pool2d`."""
    return _max_pool("max_pool3d", 3, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def avg_pool1d(
    input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0,
    ceil_mode: bool = False, count_include_pad: bool = True,
) -> Any:  # fmt: skip
    """The mean of each window of (N, C, L) or (C, L); see `avg_pool2d`."""
    return _avg_pool("avg_pool1d", 1, input, kernel_size, stride, padding, ceil_mode, count_include_pad, None)


def avg_pool2d(
    input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0,
    ceil_mode: bool = False, count_include_pad: bool = True, divisor_override: int | None = None,
) -> Any:  # fmt: skip
    """The mean of each window.

    out[n, c, y, x] = (1/m) Σ_i Σ_j input[n, c, s·y + i − p, s·x + j − p]

    with stride s and padding p; what lies outside the image counts as 0.

    Args:
        input: (N, C, H, W), or (C, H, W) for one image.
        kernel_size, stride, padding, ceil_mode: as for `max_pool2d`.
        count_include_pad: True if m counts the padding that a window covers. (Padding added by ceil_mode is never
            counted.)
        divisor_override: m itself.

    Returns:
        (N, C, H_out, W_out) or (C, H_out, W_out).

    Raises:
        ValueError: no window fits, there are no channels, or an option is out of range.
        TypeError: an input that is neither floating-point nor int64, whose means are cut towards zero.

    Example:
        >>> import minigrad as mg
        >>> mg.nn.functional.avg_pool2d(mg.arange(16.0).reshape(1, 1, 4, 4), 2).tolist()
        [[[[2.5, 4.5], [10.5, 12.5]]]]
    """
    return _avg_pool(
        "avg_pool2d", 2, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    )


def avg_pool3d(
    input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0,
    ceil_mode: bool = False, count_include_pad: bool = True, divisor_override: int | None = None,
) -> Any:  # fmt: skip
    """The mean of each window of (N, C, D, H, W) or (C, D, H, W); see `avg_pool2d`."""
    return _avg_pool(
        "avg_pool3d", 3, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    )


def adaptive_avg_pool1d(input: Any, output_size: Any) -> Any:
    """Means of `output_size` windows of (N, C, L) or (C, L); see `adaptive_avg_pool2d`."""
    return _adaptive_avg_pool("adaptive_avg_pool1d", 1, input, output_size)


def adaptive_avg_pool2d(input: Any, output_size: Any) -> Any:
    """The mean of each window, with one window for each output pixel. The output size does not depend on the image
    size.

    Window i of o along an axis of length L goes from ⌊i·L/o⌋ to ⌈(i + 1)·L/o⌉: windows are as equal as they
    can be, and may overlap by one. Output size 1 is the mean of each channel ("global average pooling").

    Args:
        input: (N, C, H, W), or (C, H, W) for one image.
        output_size: (H_out, W_out), or one number for both; None keeps a length.

    Returns:
        (N, C, H_out, W_out) or (C, H_out, W_out).

    Example:
        >>> import minigrad as mg
        >>> mg.nn.functional.adaptive_avg_pool2d(mg.arange(12.0).reshape(1, 3, 4), 1).tolist()
        [[[5.5]]]
    """
    return _adaptive_avg_pool("adaptive_avg_pool2d", 2, input, output_size)


def adaptive_avg_pool3d(input: Any, output_size: Any) -> Any:
    """Means of windows of (N, C, D, H, W) or (C, D, H, W); see `adaptive_avg_pool2d`."""
    return _adaptive_avg_pool("adaptive_avg_pool3d", 3, input, output_size)


def adaptive_max_pool1d(input: Any, output_size: Any, return_indices: bool = False) -> Any:
    """Maxima of `output_size` windows of (N, C, L) or (C, L); see `adaptive_max_pool2d`."""
    return _apply_max_pool(_adaptive_tables("adaptive_max_pool1d", 1, input, output_size), return_indices, input)


def adaptive_max_pool2d(input: Any, output_size: Any, return_indices: bool = False) -> Any:
    """The maximum of each window, with one window for each output pixel; the windows are those of
    `adaptive_avg_pool2d`.

    Args:
        input: (N, C, H, W), or (C, H, W) for one image.
        output_size: (H_out, W_out), or one number for both; None keeps a length.
        return_indices: return (out, indices), as `max_pool2d` does.

    Returns:
        (N, C, H_out, W_out) or (C, H_out, W_out).
    """
    return _apply_max_pool(_adaptive_tables("adaptive_max_pool2d", 2, input, output_size), return_indices, input)


def adaptive_max_pool3d(input: Any, output_size: Any, return_indices: bool = False) -> Any:
    """Maxima of windows of (N, C, D, H, W) or (C, D, H, W); see `adaptive_max_pool2d`."""
    return _apply_max_pool(_adaptive_tables("adaptive_max_pool3d", 3, input, output_size), return_indices, input)
