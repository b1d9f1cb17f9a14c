"""Pooling layers. They have no parameters; the formulas are in the functions of the same names."""

from typing import Any

from minigrad.autograd import Tensor
from minigrad.nn import functional as F
from minigrad.nn.module import Module


class _MaxPool(Module):
    n: int

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ):
        super().__init__()
        self.kernel_size, self.stride = kernel_size, kernel_size if stride is None else stride
        self.padding, self.dilation = padding, dilation
        self.return_indices, self.ceil_mode = return_indices, ceil_mode

    def forward(self, input: Tensor) -> Any:
        pool = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[self.n - 1]
        return pool(
            input, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode, self.return_indices
        )

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, dilation={self.dilation}, "
            f"ceil_mode={self.ceil_mode}"
        )


class MaxPool1d(_MaxPool):
    """The largest element of each window of (N, C, L) or (C, L); see `MaxPool2d`."""

    n = 1


class MaxPool2d(_MaxPool):
    """The largest element of each window. The image becomes smaller, and the largest values remain.

    The gradient goes to the largest element, to the first one if there are several.

    Args:
        kernel_size: the size of a window. Here and below: an int, or one for each axis.
        stride: the distance between windows; None stands for `kernel_size`: windows side by side.
        padding: how many pixels (of −∞) to add on each side; at most half of the window.
        dilation: the distance between neighbouring elements of a window.
        return_indices: return (out, indices), the place of each largest element in its flattened image.
        ceil_mode: round the number of windows up rather than down. The order of the last two arguments is PyTorch's;
            in `nn.functional.max_pool2d` they change places.

    Shapes:
        input (N, C, H, W) or (C, H, W) → (N, C, H_out, W_out) or (C, H_out, W_out).

    Raises:
        ValueError: no window fits, or an option is out of range.

    Example:
        >>> import minigrad as mg
        >>> mg.nn.MaxPool2d(2)(mg.zeros(8, 16, 28, 28)).shape
        (8, 16, 14, 14)
    """

    n = 2


class MaxPool3d(_MaxPool):
    """The largest element of each window of (N, C, D, H, W) or (C, D, H, W); see `MaxPool2d`."""

    n = 3


class AvgPool1d(Module):
    """The mean of each window of (N, C, L) or (C, L); see `AvgPool2d`."""

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ):
        super().__init__()
        self.kernel_size, self.stride = kernel_size, kernel_size if stride is None else stride
        self.padding, self.ceil_mode, self.count_include_pad = padding, ceil_mode, count_include_pad

    def forward(self, input: Tensor) -> Tensor:
        return F.avg_pool1d(input, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class _AvgPool(AvgPool1d):
    n: int

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ):
        super().__init__(kernel_size, stride, padding, ceil_mode, count_include_pad)
        self.divisor_override = divisor_override

    def forward(self, input: Tensor) -> Tensor:
        pool = F.avg_pool2d if self.n == 2 else F.avg_pool3d
        options = self.padding, self.ceil_mode, self.count_include_pad, self.divisor_override
        return pool(input, self.kernel_size, self.stride, *options)


class AvgPool2d(_AvgPool):
    """The mean of each window.

    Args:
        kernel_size: the size of a window. Here and below: an int, or one for each axis.
        stride: the distance between windows; None stands for `kernel_size`: windows side by side.
        padding: how many pixels (of 0) to add on each side; at most half of the window.
        ceil_mode: round the number of windows up rather than down.
        count_include_pad: True if padding counts in the mean.
        divisor_override: divide by this number rather than by the number of elements.

    Shapes:
        input (N, C, H, W) or (C, H, W) → (N, C, H_out, W_out) or (C, H_out, W_out).

    Raises:
        ValueError: no window fits, or an option is out of range.

    Example:
        >>> import minigrad as mg
        >>> mg.nn.AvgPool2d(2)(mg.zeros(8, 16, 28, 28)).shape
        (8, 16, 14, 14)
    """

    n = 2


class AvgPool3d(_AvgPool):
    """The mean of each window of (N, C, D, H, W) or (C, D, H, W); see `AvgPool2d`."""

    n = 3


class _AdaptivePool(Module):
    n: int

    def __init__(self, output_size: Any):
        super().__init__()
        self.output_size = output_size

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class _AdaptiveAvgPool(_AdaptivePool):
    def forward(self, input: Tensor) -> Tensor:
        pool = (F.adaptive_avg_pool1d, F.adaptive_avg_pool2d, F.adaptive_avg_pool3d)[self.n - 1]
        return pool(input, self.output_size)


class AdaptiveAvgPool1d(_AdaptiveAvgPool):
    """Means of `output_size` windows of (N, C, L) or (C, L); see `AdaptiveAvgPool2d`."""

    n = 1


class AdaptiveAvgPool2d(_AdaptiveAvgPool):
    """The mean of each window, with one window for each output pixel. The output size does not depend on the image
    size.

    `AdaptiveAvgPool2d(1)` is the mean of each channel ("global average pooling"), the last step of many networks.

    Args:
        output_size: (H_out, W_out), or one number for both; None keeps a length.

    Shapes:
        input (N, C, H, W) or (C, H, W) → (N, C, H_out, W_out) or (C, H_out, W_out).

    Example:
        >>> import minigrad as mg
        >>> mg.nn.AdaptiveAvgPool2d(1)(mg.zeros(8, 16, 28, 28)).shape
        (8, 16, 1, 1)
    """

    n = 2


class AdaptiveAvgPool3d(_AdaptiveAvgPool):
    """Means of windows of (N, C, D, H, W) or (C, D, H, W); see `AdaptiveAvgPool2d`."""

    n = 3


class _AdaptiveMaxPool(_AdaptivePool):
    def __init__(self, output_size: Any, return_indices: bool = False):
        super().__init__(output_size)
        self.return_indices = return_indices

    def forward(self, input: Tensor) -> Any:
        pool = (F.adaptive_max_pool1d, F.adaptive_max_pool2d, F.adaptive_max_pool3d)[self.n - 1]
        return pool(input, self.output_size, self.return_indices)


class AdaptiveMaxPool1d(_AdaptiveMaxPool):
    """Maxima of `output_size` windows of (N, C, L) or (C, L); see `AdaptiveMaxPool2d`."""

    n = 1


class AdaptiveMaxPool2d(_AdaptiveMaxPool):
    """The maximum of each window, with one window for each output pixel. The output size does not depend on the image
    size.

    Args:
        output_size: (H_out, W_out), or one number for both; None keeps a length.
        return_indices: return (out, indices), the place of each largest element in its flattened image.

    Shapes:
        input (N, C, H, W) or (C, H, W) → (N, C, H_out, W_out) or (C, H_out, W_out).
    """

    n = 2


class AdaptiveMaxPool3d(_AdaptiveMaxPool):
    """Maxima of windows of (N, C, D, H, W) or (C, D, H, W); see `AdaptiveMaxPool2d`."""

    n = 3
