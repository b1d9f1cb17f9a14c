"""Convolutions of 1, 2 and 3 axes, and their transposes.

A convolution is bilinear: linear in the image x and linear in the weights w. So its derivatives are operations of the
same kind. With ⟨a, b⟩ the sum of all products, there are three forms of one trilinear form::

    ⟨g, Conv(x, w)⟩ = ⟨x, ConvInputGrad(g, w)⟩ = ⟨w, ConvWeightGrad(g, x)⟩

and the derivatives of each are the other two. So derivatives of any order need no other operation. A transposed
convolution is `ConvInputGrad` under another name.
"""

import math
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from minigrad.autograd import Function
from minigrad.autograd.modes import modes
from minigrad.kernels import conv as kernels
from minigrad.ops.indexing import getitem
from minigrad.ops.linalg import matmul
from minigrad.ops.reduction import sum
from minigrad.ops.shape import cat, flip, reshape, transpose


def filters_first(weight: Any, groups: int) -> Any:
    """A transposed convolution's weight, (in, out/groups, ...), laid out as a convolution's: (out, in/groups, ...).

    Row o holds the weights that output channel o adds up. In the given layout group g has the g-th share of the input
    channels, so that one index of axis 1 stands for a filter in each group. It works on tensors and on arrays.
    """
    channels, outputs, *kernel = weight.shape
    grouped = weight.reshape((groups, channels // groups, outputs, *kernel)).swapaxes(1, 2)
    return grouped.reshape((groups * outputs, channels // groups, *kernel))


def filters_back(filters: Any, groups: int) -> Any:
    """The opposite of `filters_first`."""
    outputs, channels, *kernel = filters.shape
    grouped = filters.reshape((groups, outputs // groups, channels, *kernel)).swapaxes(1, 2)
    return grouped.reshape((groups * channels, outputs // groups, *kernel))


class Geometry(NamedTuple):
    """All sizes of a convolution: one number for each spatial axis, except for `groups`."""

    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    padding: tuple[int, ...]  # before the first pixel; the padding after the last pixel follows from `out_size`
    groups: int
    image: tuple[int, ...]
    kernel_size: tuple[int, ...]
    out_size: tuple[int, ...]


class Conv(Function):
    """out[n, o, j] = b[o] + Σ_c Σ_t w[o, c, t] · x[n, c, stride·j + dilation·t − padding]."""

    def __init__(self, geometry: Geometry):
        self.geometry = geometry

    def forward(self, x: Any, w: Any, bias: Any = None) -> Any:
        self.save_for_backward(x, w)
        at = self.geometry
        return kernels.correlate(x, w, bias, at.stride, at.dilation, at.padding, at.groups, at.out_size)

    def composed(self, x: Any, w: Any, bias: Any = None) -> Any:
        return conv_simple(x, w, bias, self.geometry)

    def backward(self, g: Any) -> Any:
        x, w = self.saved
        gx = ConvInputGrad(self.geometry)(g, w) if self.needs(0) else None
        return gx, *_weight_and_bias(self, g, x, g)


class ConvInputGrad(Function):
    """The transpose of `Conv` for fixed w: each input pixel gets the gradients of all outputs that it is part of."""

    def __init__(self, geometry: Geometry):
        self.geometry = geometry

    def forward(self, g: Any, w: Any, bias: Any = None) -> Any:
        self.save_for_backward(g, w)
        at = self.geometry
        return kernels.input_grad(g, w, bias, at.stride, at.dilation, at.padding, at.groups, at.image)

    def composed(self, g: Any, w: Any, bias: Any = None) -> Any:
        return conv_transpose_simple(g, w, bias, self.geometry)

    def backward(self, u: Any) -> Any:
        g, w = self.saved
        gg = Conv(self.geometry)(u, w) if self.needs(0) else None
        return gg, *_weight_and_bias(self, g, u, u)


class ConvWeightGrad(Function):
    """The transpose of `Conv` for fixed x; and Σ g, because a bias is a weight on a constant 1."""

    def __init__(self, geometry: Geometry):
        self.geometry = geometry

    def forward(self, g: Any, x: Any) -> Any:
        self.save_for_backward(g, x)
        at = self.geometry
        return kernels.weight_grad(g, x, at.stride, at.dilation, at.padding, at.groups, at.kernel_size)

    def backward(self, u: Any, u_bias: Any) -> Any:
        g, x = self.saved
        gg = Conv(self.geometry)(x, u, u_bias) if self.needs(0) else None
        gx = ConvInputGrad(self.geometry)(g, u) if self.needs(1) else None
        return gg, gx


def _weight_and_bias(op: Conv | ConvInputGrad, g: Any, x: Any, cotangent: Any) -> tuple[Any, ...]:
    """The gradients of w and bias; of w alone if there was no bias.

    g is on the side of a convolution's output, x on that of its image; `cotangent` is the one of them that belongs
    to the output of `op`, to which the bias was added.
    """
    has_bias = len(op.edges) == 3
    gw = gb = None
    if op.needs(1):
        gw, sum_of_g = ConvWeightGrad(op.geometry)(g, x)
        gb = sum_of_g if cotangent is g else None  # it comes for free
    if has_bias and op.needs(2) and gb is None:
        gb = sum(cotangent, (0, *range(2, cotangent.ndim)))
    return (gw, gb) if has_bias else (gw,)


# -- the same, spelled out ---------------------------------------------------------------------------------


def conv_simple(x: Any, w: Any, bias: Any, at: Geometry) -> Any:
    """The convolution as its definition says it: a sum over the positions t of the kernel, in small ops.

    Position t sees the image shifted by t, of which the stride picks every s-th pixel; its weights w[:, :, t] are
    a matrix that mixes the channels. `with mg.composed():` makes all convolutions run like this.
    """
    axes = zip(at.padding, at.image, at.stride, at.out_size, at.dilation, at.kernel_size, strict=True)
    for axis, (before, length, s, o, d, k) in enumerate(axes, start=2):
        seen = s * (o - 1) + d * (k - 1) + 1  # number of pixels that all windows cover together
        x = _zeros_around(x, axis, before, max(0, seen - before - length))
    total = None
    for t in product(*map(range, at.kernel_size)):
        shifted = [
            slice(d * i, d * i + s * (o - 1) + 1, s)
            for i, o, s, d in zip(t, at.out_size, at.stride, at.dilation, strict=True)
        ]
        pixels = getitem(x, (slice(None), slice(None), *shifted))
        term = _mix(getitem(w, (slice(None), slice(None), *t)), pixels, at.groups)
        total = term if total is None else total + term
    return total if bias is None else total + reshape(bias, (-1, *[1] * len(at.image)))


def conv_transpose_simple(x: Any, w: Any, bias: Any, at: Geometry) -> Any:
    """The transpose: put stride − 1 zeros between the pixels, then convolve with the kernel turned round."""
    for axis, s in enumerate(at.stride, start=2):
        if s > 1:  # a b c → a 0 b 0 c 0, by an axis of zeros that is then merged into this one
            apart = _zeros_around(reshape(x, (*x.shape[: axis + 1], 1, *x.shape[axis + 1 :])), axis + 1, 0, s - 1)
            x = reshape(apart, (*x.shape[:axis], x.shape[axis] * s, *x.shape[axis + 1 :]))
    w = flip(w, tuple(range(2, w.ndim)))
    grouped = reshape(w, (at.groups, -1, *w.shape[1:]))  # (groups, C_in/groups, C_out/groups, ...)
    w = reshape(transpose(grouped, 1, 2), (at.groups * w.shape[1], -1, *at.kernel_size))
    reach = tuple(d * (k - 1) for d, k in zip(at.dilation, at.kernel_size, strict=True))
    # Now reach − padding zeros lie before the image; if this number is negative, pixels are cut off instead.
    around = [r - p for p, r in zip(at.padding, reach, strict=True)]
    x = getitem(x, (slice(None), slice(None), *(slice(max(0, -a), None) for a in around)))
    padding = tuple(max(0, a) for a in around)
    ones = (1,) * len(reach)
    return conv_simple(x, w, bias, at._replace(stride=ones, padding=padding, image=x.shape[2:], out_size=at.image))


def _zeros_around(x: Any, axis: int, before: int, after: int) -> Any:
    """x with `before` zeros in front and `after` zeros behind, along an axis."""

    def zeros(n: int) -> Any:
        return np.zeros((*x.shape[:axis], n, *x.shape[axis + 1 :]), x.dtype)

    parts = ([zeros(before)] if before else []) + [x] + ([zeros(after)] if after else [])
    return x if len(parts) == 1 else cat(parts, axis)


def _mix(w: Any, x: Any, groups: int) -> Any:
    """y[n, o, j] = Σ_c w[o, c] · x[n, c, j], for each group of channels by itself."""
    n, channels, *image = x.shape
    columns = reshape(x, (n, groups, channels // groups, math.prod(image)))
    rows = reshape(w, (groups, w.shape[0] // groups, w.shape[1]))
    return reshape(matmul(rows, columns), (n, w.shape[0], *image))


# -- arguments --------------------------------------------------------------------------------------------


def sizes(value: Any, n: int, op: str, argument: str, least: int) -> tuple[int, ...]:
    """`value` as n integers: one number stands for all axes. Raises if one is smaller than `least`."""
    given = (value,) if isinstance(value, int) or not hasattr(value, "__len__") else tuple(value)
    if len(given) == 1:
        given = given * n
    if len(given) != n or any(int(v) != v for v in given):
        raise ValueError(f"{op}: {argument} must be an integer or {n} of them (one for each axis), got {value!r}")
    if any(v < least for v in given):
        raise ValueError(f"{op}: {argument} must be at least {least}, got {value!r}")
    return tuple(map(int, given))


_AXES = {1: "length", 2: "height, width", 3: "depth, height, width"}


def check_axes(op: str, n: int, x: Any) -> None:
    """Is x a batch of images with n axes of space, or one such image?"""
    if x.ndim not in (n + 1, n + 2):
        raise ValueError(
            f"{op}: the input must have {n + 2} axes (batch, channels, {_AXES[n]}), or {n + 1} without a batch, "
            f"got shape {x.shape}"
        )


def _check(op: str, n: int, x: Any, weight: Any, bias: Any, groups: int, transposed: bool) -> None:
    """Do the shapes and dtypes of x, weight and bias go together?"""
    check_axes(op, n, x)
    if weight.ndim != n + 2:
        kind = "(in_channels, out_channels/groups" if transposed else "(out_channels, in_channels/groups"
        raise ValueError(f"{op}: the weight must have {n + 2} axes {kind}, {_AXES[n]}), got shape {weight.shape}")
    if groups < 1 or weight.shape[0] % groups:
        what = "input" if transposed else "output"
        raise ValueError(f"{op}: groups={groups} must divide the number of {what} channels, {weight.shape[0]}")
    channels = x.shape[-n - 1]
    expected = weight.shape[0] if transposed else weight.shape[1] * groups
    if channels != expected:
        detail = "" if groups == 1 else f" and groups={groups}"
        raise ValueError(
            f"{op}: expected an input with {expected} channels (weight of shape {weight.shape}{detail}), got "
            f"{channels} (input of shape {x.shape})"
        )
    out_channels = weight.shape[1] * groups if transposed else weight.shape[0]
    if bias is not None and bias.shape != (out_channels,):
        raise ValueError(
            f"{op}: the bias must have shape ({out_channels},), one for each output channel, not {bias.shape}"
        )
    for name, other in (("weight", weight), ("bias", bias)):
        if other is not None and other.dtype != x.dtype:
            raise TypeError(
                f"{op}: the input is {x.dtype} and the {name} {other.dtype}; convert one of them, as in x.float() or "
                "module.double()"
            )
    if x.dtype.kind != "f":
        raise TypeError(f"{op}: needs floating-point tensors, not {x.dtype}: convert it first, x.float()")


def _conv(
    op: str, n: int, x: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any, groups: int
) -> Any:
    """Check the arguments, work out the geometry, and convolve."""
    _check(op, n, x, weight, bias, groups, transposed=False)
    stride = sizes(stride, n, op, "stride", 1)
    dilation = sizes(dilation, n, op, "dilation", 1)
    image, kernel_size = x.shape[-n:], weight.shape[2:]
    reach = tuple(d * (k - 1) for d, k in zip(dilation, kernel_size, strict=True))
    if padding == "same":
        if any(s != 1 for s in stride):
            raise ValueError(
                f"{op}: padding='same' keeps the size of the image, which a stride of {stride} does not; give the "
                "padding as a number"
            )
        before, both = tuple(r // 2 for r in reach), reach  # if the number is odd, the extra one goes to the end
    else:
        before = (0,) * n if padding == "valid" else _padding(padding, n, op)
        both = tuple(2 * p for p in before)
    free = [i + p - r - 1 for i, p, r in zip(image, both, reach, strict=True)]  # the distance that the kernel can move
    if min(free) < 0:
        raise ValueError(
            f"{op}: the kernel does not fit in the image: with dilation it covers {tuple(r + 1 for r in reach)} "
            f"pixels, and the padded image has {tuple(i + p for i, p in zip(image, both, strict=True))}"
        )
    out_size = tuple(f // s + 1 for f, s in zip(free, stride, strict=True))
    geometry = Geometry(stride, dilation, before, groups, image, kernel_size, out_size)
    return _run(False, geometry, x, weight, bias)


def _conv_transpose(
    op: str, n: int, x: Any, weight: Any, bias: Any, stride: Any,
    padding: Any, output_padding: Any, groups: int, dilation: Any,
) -> Any:  # fmt: skip
    _check(op, n, x, weight, bias, groups, transposed=True)
    stride = sizes(stride, n, op, "stride", 1)
    dilation = sizes(dilation, n, op, "dilation", 1)
    before = _padding(padding, n, op)
    extra = sizes(output_padding, n, op, "output_padding", 0)
    if any(e >= max(s, d) for e, s, d in zip(extra, stride, dilation, strict=True)):
        raise ValueError(
            f"{op}: output_padding must be smaller than stride or dilation, got output_padding={extra}, "
            f"stride={stride}, dilation={dilation}"
        )
    kernel_size, out_size = weight.shape[2:], x.shape[-n:]
    image = tuple(
        (o - 1) * s - 2 * p + d * (k - 1) + e + 1
        for o, s, p, d, k, e in zip(out_size, stride, before, dilation, kernel_size, extra, strict=True)
    )
    if min(image) < 1:
        raise ValueError(
            f"{op}: the output would have size {image}: the input {out_size} is too small for padding={before}"
        )
    geometry = Geometry(stride, dilation, before, groups, image, kernel_size, out_size)
    return _run(True, geometry, x, weight, bias)


def _padding(padding: Any, n: int, op: str) -> tuple[int, ...]:
    if isinstance(padding, str):
        allowed = "'same' or 'valid'" if "transpose" not in op else "a number"
        raise ValueError(f"{op}: padding must be a number, one for each axis, or a name; {padding!r} is not {allowed}")
    return sizes(padding, n, op, "padding", 0)


def _run(transposed: bool, at: Geometry, x: Any, weight: Any, bias: Any) -> Any:
    """Choose the form; an input without a batch axis is a batch of one."""
    single = x.ndim == len(at.image) + 1
    if single:
        x = reshape(x, (1, *x.shape))
    op = (ConvInputGrad if transposed else Conv)(at)
    inputs = (x, weight) if bias is None else (x, weight, bias)
    y = op.composed(*inputs) if modes.composed else op(*inputs)
    return reshape(y, y.shape[1:]) if single else y


# -- the public functions ---------------------------------------------------------------------------------


def conv1d(
    input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
) -> Any:
    """A convolution over one axis; see `conv2d`.

    Shapes:
        input (N, C_in, L) or (C_in, L), weight (C_out, C_in/groups, K), bias (C_out,)
        → (N, C_out, L_out) or (C_out, L_out).
    """
    return _conv("conv1d", 1, input, weight, bias, stride, padding, dilation, groups)


def conv2d(
    input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
) -> Any:
    """Slide `weight` over an image: each output pixel is the sum of its products with the window that it sees.

    out[n, o, y, x] = b[o] + Σ_c Σ_i Σ_j w[o, c, i, j] · input[n, c, s·y + d·i − p, s·x + d·j − p]

    with stride s, dilation d, padding p, and zeros outside the image. (The kernel is not turned round, so
    mathematicians call this a cross-correlation.) The output has ⌊(L + 2p − d(K − 1) − 1) / s⌋ + 1 pixels along an
    axis with L pixels and K weights.

    Args:
        input: (N, C_in, H, W), or (C_in, H, W) for one image.
        weight: (C_out, C_in/groups, K_h, K_w).
        bias: (C_out,), or None.
        stride: how far the window moves from one output pixel to the next. Here and below: an int, or one for
            each axis.
        padding: how many zeros to put on each side; "valid" is 0; "same" keeps the image size (stride 1 only; an
            odd number of zeros puts the extra one behind).
        dilation: the distance between neighbouring weights of the window.
        groups: number of groups that the input and output channels are cut into, each with its own weights; with
            groups = C_in every channel is convolved by itself ("depthwise").

    Returns:
        (N, C_out, H_out, W_out), or (C_out, H_out, W_out).

    Raises:
        ValueError: shapes, groups or options do not fit together; the message says which.
        TypeError: input, weight and bias are not of one floating-point dtype.

    Example:
        >>> import minigrad as mg
        >>> x = mg.ones(1, 1, 3, 3)
        >>> mg.nn.functional.conv2d(x, mg.ones(1, 1, 2, 2)).tolist()
        [[[[4.0, 4.0], [4.0, 4.0]]]]
    """
    return _conv("conv2d", 2, input, weight, bias, stride, padding, dilation, groups)


def conv3d(
    input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
) -> Any:
    """A convolution over three axes; see `conv2d`.

    Shapes:
        input (N, C_in, D, H, W) or (C_in, D, H, W), weight (C_out, C_in/groups, K_d, K_h, K_w), bias (C_out,)
        → (N, C_out, D_out, H_out, W_out) or (C_out, D_out, H_out, W_out).
    """
    return _conv("conv3d", 3, input, weight, bias, stride, padding, dilation, groups)


def conv_transpose1d(
    input: Any, weight: Any, bias: Any = None, stride: Any = 1,
    padding: Any = 0, output_padding: Any = 0, groups: int = 1, dilation: Any = 1,
) -> Any:  # fmt: skip
    """The transpose of `conv1d`; see `conv_transpose2d`.

    Shapes:
        input (N, C_in, L) or (C_in, L), weight (C_in, C_out/groups, K), bias (C_out,)
        → (N, C_out, L_out) or (C_out, L_out).
    """
    return _conv_transpose(
        "conv_transpose1d", 1, input, weight, bias, stride, padding, output_padding, groups, dilation
    )


def conv_transpose2d(
    input: Any, weight: Any, bias: Any = None, stride: Any = 1,
    padding: Any = 0, output_padding: Any = 0, groups: int = 1, dilation: Any = 1,
) -> Any:  # fmt: skip
    """The transpose of `conv2d`, as a linear map of the image: each input pixel paints its window on the output.

    out[n, o, s·y + d·i − p, s·x + d·j − p] += w[c, o, i, j] · input[n, c, y, x],  plus b[o]

    With the same weight and options ⟨conv2d(x), y⟩ = ⟨x, conv_transpose2d(y)⟩: it is how the gradient of a
    convolution flows back, and it turns small images into larger ones where a stride made large ones small. It
    is *not* the inverse. The output has (L − 1)s − 2p + d(K − 1) + output_padding + 1 pixels along an axis.

    Args:
        input: (N, C_in, H, W), or (C_in, H, W) for one image.
        weight: (C_in, C_out/groups, K_h, K_w): the weight of the convolution that this one transposes.
        bias: (C_out,), or None.
        stride: how far the painted windows of neighbouring input pixels are apart.
        padding: how many pixels to cut off on each side of the output.
        output_padding: how many more pixels the output has at the end. A convolution with stride s makes the same
            output size from s different image sizes; this says which of them to make.
        groups, dilation: as for `conv2d`. Mind the order of the arguments: it is PyTorch's.

    Returns:
        (N, C_out, H_out, W_out), or (C_out, H_out, W_out).

    Raises:
        ValueError: shapes, groups or options do not fit together; the message says which.
        TypeError: input, weight and bias are not of one floating-point dtype.

    Source: M. D. Zeiler et al., "Deconvolutional networks", CVPR 2010.

    Example:
        >>> import minigrad as mg
        >>> x = mg.tensor([[[1.0, 2.0]]])
        >>> mg.nn.functional.conv_transpose1d(x, mg.tensor([[[1.0, 10.0]]]), stride=2).tolist()
        [[[1.0, 10.0, 2.0, 20.0]]]
    """
    return _conv_transpose(
        "conv_transpose2d", 2, input, weight, bias, stride, padding, output_padding, groups, dilation
    )


def conv_transpose3d(
    input: Any, weight: Any, bias: Any = None, stride: Any = 1,
    padding: Any = 0, output_padding: Any = 0, groups: int = 1, dilation: Any = 1,
) -> Any:  # fmt: skip
    """The transpose of `conv3d`; see `conv_transpose2d`.

    Shapes:
        input (N, C_in, D, H, W) or (C_in, D, H, W), weight (C_in, C_out/groups, K_d, K_h, K_w), bias (C_out,)
        → (N, C_out, D_out, H_out, W_out) or (C_out, D_out, H_out, W_out).
    """
    return _conv_transpose(
        "conv_transpose3d", 3, input, weight, bias, stride, padding, output_padding, groups, dilation
    )
