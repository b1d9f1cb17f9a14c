"""Convolution layers: Conv1d/2d/3d and their transposes."""

import math
from typing import Any

import numpy as np

from minigrad.autograd import Tensor
from minigrad.nn import functional as F
from minigrad.nn import init
from minigrad.nn.linear import empty_parameter
from minigrad.nn.module import Module
from minigrad.nn.parameter import Parameter
from minigrad.ops.conv import sizes
from minigrad.ops.indexing import index_select

# The values outside the image: PyTorch's names, and NumPy's names for the same.
_BORDERS = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}


class _Conv(Module):
    """The common part of all six layers: the arguments, the parameters and their initialization."""

    n: int  # number of spatial axes
    transposed = False
    bias: Parameter | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any,
        padding: Any,
        dilation: Any,
        output_padding: Any,
        groups: int,
        bias: bool,
        padding_mode: str,
        dtype: Any,
    ):
        super().__init__()
        name, n = type(self).__name__, self.n
        if groups < 1 or in_channels % groups or out_channels % groups:
            raise ValueError(
                f"{name}: groups={groups} must divide both in_channels={in_channels} and out_channels={out_channels}"
            )
        if padding_mode != "zeros" and (self.transposed or padding_mode not in _BORDERS):
            allowed = ["zeros"] if self.transposed else ["zeros", *_BORDERS]
            raise ValueError(f"{name}: padding_mode must be one of {allowed}, got {padding_mode!r}")
        if isinstance(padding, str) and (self.transposed or padding not in ("same", "valid")):
            raise ValueError(f"{name}: padding must be a number, 'same' or 'valid', got {padding!r}")
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size = sizes(kernel_size, n, name, "kernel_size", 1)
        self.stride = sizes(stride, n, name, "stride", 1)
        self.dilation = sizes(dilation, n, name, "dilation", 1)
        self.padding = padding if isinstance(padding, str) else sizes(padding, n, name, "padding", 0)
        self.output_padding = sizes(output_padding, n, name, "output_padding", 0)
        self.padding_mode = padding_mode
        if padding == "same" and any(s != 1 for s in self.stride):
            raise ValueError(f"{name}: padding='same' needs stride 1, got stride={self.stride}")
        first, second = (in_channels, out_channels) if self.transposed else (out_channels, in_channels)
        self.weight = empty_parameter(first, second // groups, *self.kernel_size, dtype=dtype)
        self.register_parameter("bias", empty_parameter(out_channels, dtype=dtype) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialize the parameters again, from U(−1/√fan_in, 1/√fan_in), as in PyTorch."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        fan_in, _ = init.fan_in_and_fan_out(self.weight)
        if self.bias is not None and fan_in:
            init.uniform_(self.bias, -1 / math.sqrt(fan_in), 1 / math.sqrt(fan_in))

    def forward(self, input: Tensor) -> Tensor:
        padding = self.padding
        if self.padding_mode != "zeros":
            input, padding = self._with_border(input), 0
        convolve = (F.conv1d, F.conv2d, F.conv3d)[self.n - 1]
        return convolve(input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)

    def _with_border(self, x: Tensor) -> Tensor:
        """Pad x with its own pixels: index x, axis by axis, so that the border repeats pixels of x."""
        for i, (k, d) in enumerate(zip(self.kernel_size, self.dilation, strict=True)):
            if isinstance(self.padding, str):
                both = d * (k - 1) if self.padding == "same" else 0
                before, after = both // 2, both - both // 2
            else:
                before = after = self.padding[i]
            axis = x.ndim - self.n + i
            length = x.shape[axis]
            if max(before, after) > (length - 1 if self.padding_mode == "reflect" else length):
                raise ValueError(
                    f"{type(self).__name__}: padding_mode={self.padding_mode!r} with a padding of "
                    f"{max(before, after)} needs a larger image; the input has shape {x.shape}"
                )
            if before or after:
                border: Any = _BORDERS[self.padding_mode]
                x = index_select(x, axis, np.pad(np.arange(length), (before, after), mode=border))
        return x

    def extra_repr(self) -> str:
        parts = [f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"]
        if isinstance(self.padding, str) or any(self.padding):
            parts.append(f"padding={self.padding!r}")
        if any(d != 1 for d in self.dilation):
            parts.append(f"dilation={self.dilation}")
        if any(self.output_padding):
            parts.append(f"output_padding={self.output_padding}")
        if self.groups != 1:
            parts.append(f"groups={self.groups}")
        if self.bias is None:
            parts.append("bias=False")
        if self.padding_mode != "zeros":
            parts.append(f"padding_mode={self.padding_mode!r}")
        return ", ".join(parts)


class _ConvForward(_Conv):
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        *,
        dtype: Any = None,
    ):
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, 0, groups, bias, padding_mode, dtype
        )


class Conv1d(_ConvForward):
    """A convolution over one axis; see `Conv2d`.

    Shapes:
        input (N, C_in, L) or (C_in, L) → (N, C_out, L_out) or (C_out, L_out);
        weight (C_out, C_in/groups, K), bias (C_out,).
    """

    n = 1


class Conv2d(_ConvForward):
    """Slide learned weights over an image: out = b + w ⋆ x. The formula is in `nn.functional.conv2d`.

    Weight and bias start from U(−1/√fan_in, 1/√fan_in) with fan_in = C_in/groups · K_h · K_w, as in PyTorch.
    If a batch norm follows, use `bias=False`: the norm subtracts the mean, and with it any bias.

    Args:
        in_channels, out_channels: C_in and C_out.
        kernel_size: the size of the window. Here and below: an int, or one for each axis.
        stride: how far the window moves from one output pixel to the next.
        padding: how many pixels to add on each side; "valid" is 0; "same" keeps the image size (stride 1 only).
        dilation: the distance between neighbouring weights of the window.
        groups: number of groups that the channels are cut into, each with its own weights; C_in: "depthwise".
        bias: False leaves b out.
        padding_mode: the values of the added pixels: "zeros"; "reflect" (the image mirrored at its edge pixel),
            "replicate" (the edge pixel), "circular" (the other end of the image).
        dtype: of the parameters; float32 by default.

    Shapes:
        input (N, C_in, H, W) or (C_in, H, W) → (N, C_out, H_out, W_out) or (C_out, H_out, W_out);
        weight (C_out, C_in/groups, K_h, K_w), bias (C_out,).

    Raises:
        ValueError: `groups` does not divide the channels, an option is unknown, the input has other channels.

    Example:
        >>> import minigrad as mg
        >>> layer = mg.nn.Conv2d(3, 16, 3, stride=2, padding=1)
        >>> layer(mg.zeros(8, 3, 32, 32)).shape
        (8, 16, 16, 16)
    """

    n = 2


class Conv3d(_ConvForward):
    """A convolution over three axes; see `Conv2d`.

    Shapes:
        input (N, C_in, D, H, W) or (C_in, D, H, W) → (N, C_out, D_out, H_out, W_out), or without N;
        weight (C_out, C_in/groups, K_d, K_h, K_w), bias (C_out,).
    """

    n = 3


class _ConvTranspose(_Conv):
    transposed = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Any = 1,
        padding_mode: str = "zeros",
        *,
        dtype: Any = None,
    ):
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, output_padding, groups, bias,
            padding_mode, dtype,
        )  # fmt: skip

    def forward(self, input: Tensor, output_size: Any = None) -> Tensor:
        extra = self.output_padding if output_size is None else self._extra(input, output_size)
        convolve = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[self.n - 1]
        return convolve(input, self.weight, self.bias, self.stride, self.padding, extra, self.groups, self.dilation)

    def _extra(self, x: Tensor, output_size: Any) -> tuple[int, ...]:
        """The output padding that makes an output of this size."""
        wanted = sizes(tuple(output_size)[-self.n :], self.n, type(self).__name__, "output_size", 1)
        smallest = [
            (i - 1) * s - 2 * int(p) + d * (k - 1) + 1
            for i, s, p, d, k in zip(
                x.shape[-self.n :], self.stride, self.padding, self.dilation, self.kernel_size, strict=True
            )
        ]
        extra = tuple(w - least for w, least in zip(wanted, smallest, strict=True))
        if any(not 0 <= e < s for e, s in zip(extra, self.stride, strict=True)):
            largest = [least + s - 1 for least, s in zip(smallest, self.stride, strict=True)]
            raise ValueError(
                f"{type(self).__name__}: output_size={wanted} is out of reach: from an input of {x.shape} it can "
                f"be {smallest} to {largest}"
            )
        return extra


class ConvTranspose1d(_ConvTranspose):
    """The transpose of `Conv1d`; see `ConvTranspose2d`.

    Shapes:
        input (N, C_in, L) or (C_in, L) → (N, C_out, L_out) or (C_out, L_out);
        weight (C_in, C_out/groups, K), bias (C_out,).
    """

    n = 1


class ConvTranspose2d(_ConvTranspose):
    """Each input pixel adds its window of weights to a larger image. Decoders and generators enlarge images in this
    way.

    It is the transpose of a `Conv2d`, not its inverse. The formula is in `nn.functional.conv_transpose2d`.
    Weight and bias start from U(−1/√fan_in, 1/√fan_in) with fan_in = C_out/groups · K_h · K_w, as in PyTorch.

    Args:
        in_channels, out_channels: C_in and C_out.
        kernel_size: the size of the window. Here and below: an int, or one for each axis.
        stride: how far the windows of neighbouring input pixels are apart.
        padding: how many pixels to cut off on each side of the output.
        output_padding: how many more pixels the output has at the end.
        groups, bias, dilation: as for `Conv2d`. Mind the order of the arguments: it is PyTorch's.
        padding_mode: only "zeros".
        dtype: of the parameters; float32 by default.

    Calling it with `output_size=(H, W)` chooses the output padding that gives this size.

    Shapes:
        input (N, C_in, H, W) or (C_in, H, W) → (N, C_out, H_out, W_out) or (C_out, H_out, W_out);
        weight (C_in, C_out/groups, K_h, K_w), bias (C_out,).

    Raises:
        ValueError: `groups` does not divide the channels, an option is out of range, the input has other channels.

    Example:
        >>> import minigrad as mg
        >>> layer = mg.nn.ConvTranspose2d(16, 3, 2, stride=2)
        >>> layer(mg.zeros(8, 16, 14, 14)).shape
        (8, 3, 28, 28)
    """

    n = 2


class ConvTranspose3d(_ConvTranspose):
    """The transpose of `Conv3d`; see `ConvTranspose2d`.

    Shapes:
        input (N, C_in, D, H, W) or (C_in, D, H, W) → (N, C_out, D_out, H_out, W_out), or without N;
        weight (C_in, C_out/groups, K_d, K_h, K_w), bias (C_out,).
    """

    n = 3
