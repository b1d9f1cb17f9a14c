"""Normalizations by a neighbourhood: local response normalization, and divisive normalization.

Elsewhere the elements that share a statistic form groups, and every element is in one of them. Here each element
has a neighbourhood of its own, a window around it, and the windows overlap.
"""

from math import prod
from typing import Any

import numpy as np

from minigrad.autograd import Function
from minigrad.autograd.fused import Fused
from minigrad.autograd.modes import modes
from minigrad.kernels import local as kernels
from minigrad.ops.norm.batch import per_channel
from minigrad.ops.norm.common import affine, check_channels, check_parameters, vector
from minigrad.ops.padding import pad
from minigrad.ops.power import pow
from minigrad.ops.reduction import sum
from minigrad.ops.unary import sqrt


def reach(size: int) -> tuple[int, int]:
    """How far a window of `size` reaches before and after its element; an even one reaches one further back."""
    return size // 2, (size - 1) // 2


def window_sum(x: Any, axis: int, before: int, after: int) -> Any:
    """Σ x over a window that slides along `axis`, with nothing beyond the ends: the sum of shifted copies."""
    n = x.shape[axis]
    padded = pad(x, (*(0, 0) * (x.ndim - axis - 1), before, after))
    shifted = [padded[(*(slice(None),) * axis, slice(i, i + n))] for i in range(before + after + 1)]
    total = shifted[0]
    for copy in shifted[1:]:
        total = total + copy
    return total


# -- local response normalization ----------------------------------------------------------------------------


class LocalResponseNorm(Fused):
    """y = x / (k + α Σ x²)^β over the channels from `before` to `after`, α being the weight of the plain sum."""

    def __init__(self, before: int, after: int, alpha: float, beta: float, k: float):
        self.window = before, after
        self.alpha, self.beta, self.k = alpha, beta, k

    def composed(self, x: Any) -> Any:
        """The paper's formula of section 3.3."""
        return x / pow(window_sum(x * x, 1, *self.window) * self.alpha + self.k, self.beta)

    def forward(self, x: Any) -> Any:
        self.save_for_backward(x)
        return self.run(kernels.response_forward, x)

    def gradients(self, g: Any, x: Any) -> tuple[Any]:
        return (self.run(kernels.response_backward, g, x),)

    def run(self, kernel: Any, *arrays: Any) -> Any:
        """The kernels see arrays as (N, C, S) and work on strips of S."""
        shape = arrays[0].shape
        if 0 in shape:
            return np.empty(shape, arrays[0].dtype)
        batch, channels, space = shape[0], shape[1], prod(shape[2:])
        short = batch > 1 and space < 8  # then strips run through the samples: (1, C, N·S)
        seen = [a.reshape(batch, channels, space) for a in arrays]
        if short:
            seen = [np.moveaxis(a, 1, 0).reshape(1, channels, -1) for a in seen]
        seen = [np.ascontiguousarray(a) for a in seen]
        out = np.empty(seen[0].shape, seen[0].dtype)
        kernel(8 * out.size, *seen, *self.window, self.alpha, self.beta, self.k, out)
        if short:
            out = np.ascontiguousarray(np.moveaxis(out.reshape(channels, batch, space), 0, 1))
        return out.reshape(shape)


def local_response_norm(
    input: Any,
    size: int,
    alpha: float = 1e-4,
    beta: float = 0.75,
    k: float = 1.0,
    *,
    average: bool = True,
) -> Any:
    """Divide every element by a power of the energy around it, in neighbouring channels.

    y_c = x_c / (k + α · mean(x_j²))^β,  j from c − ⌊n/2⌋ to c + ⌊(n − 1)/2⌋

    n is `size`, and the mean always divides by n: channels beyond the first and last count as zeros.

    The four decisions: (1) n neighbouring channels, at one place of one sample, share a statistic, and each element
    has its own window; (2) the statistic is the mean of their squares, and nothing is subtracted; (3) a power of it
    divides, so that strong responses inhibit their neighbours, as neurons do; (4) nothing is learned.

    Shapes:
        input (N, C) or (N, C, *), output the same.

    Args:
        input: x, floating-point.
        size: n, number of channels in a window. An even window reaches one channel further back than ahead. A window
            wider than C holds all channels.
        alpha: α, the weight of the squares.
        beta: β, the exponent.
        k: the base of the denominator at a place where all channels are 0; with k = 0 such a place gives NaN.
        average: False: the paper's sum of squares in place of the mean, so that α is not divided by n.

    Raises:
        ValueError: a size below 1, or an input without channels.
        TypeError: an input that is not floating-point.

    Nothing changes in evaluation. The paper has k = 2, n = 5, α = 1e-4, β = 0.75 and the sum: `size=5, k=2.0,
    average=False`. The defaults are PyTorch's. PyTorch, Caffe and ONNX take the mean (ONNX's even windows reach
    further *ahead*). TensorFlow takes the sum over the last axis with `size = 2·depth_radius + 1`, α = 1, β = 0.5.
    Keras has no such layer. PyTorch refuses (N, C).

    Source: Krizhevsky, Sutskever & Hinton, "ImageNet classification with deep convolutional neural networks", 2012.

    Example:
        >>> import minigrad as mg
        >>> x = mg.tensor([[3.0, 4.0, 0.0]])
        >>> mg.nn.functional.local_response_norm(x, 3, alpha=1.0, beta=0.5, k=0.0, average=False).tolist()
        [[0.6000000238418579, 0.800000011920929, 0.0]]
    """
    op = "local_response_norm"
    x = check_channels(op, input)
    check_window(op, "size", size)
    before, after = (min(n, max(x.shape[1] - 1, 0)) for n in reach(int(size)))
    norm = LocalResponseNorm(before, after, alpha / size if average else float(alpha), float(beta), float(k))
    return norm.composed(input) if modes.composed else norm(input)


def check_window(op: str, name: str, size: Any) -> None:
    """A window holds a whole number of elements."""
    if isinstance(size, bool) or not isinstance(size, int | np.integer) or size < 1:
        raise ValueError(f"{op}: {name} must be a whole number of at least 1, not {size!r}")


# -- divisive normalization ----------------------------------------------------------------------------------


class LocalMean:
    """The mean over a box around each element.

    Args:
        shape: the input's shape, (N, C, *).
        sizes: axis → the length of the box along it, None for the whole axis.
        count_include_pad: True: divide by the size of the box also where the box reaches over the edge.
    """

    def __init__(self, shape: tuple[int, ...], sizes: dict[int, int | None], count_include_pad: bool):
        self.pads = count_include_pad
        self.reaches: dict[int, tuple[int, int]] = {}
        self.all_channels = False
        counts: list[Any] = [np.ones(n) for n in shape]
        for axis, size in sizes.items():
            n = shape[axis]
            before, after = (n, n) if size is None else reach(size)
            at = np.arange(n)
            counts[axis] = np.minimum(at + after, n - 1) - np.maximum(at - before, 0) + 1.0
            if count_include_pad and size is not None:
                counts[axis][:] = size
            if axis == 1 and min(before, after) >= n - 1:  # one mean serves all channels
                self.all_channels = True
                counts[axis] = counts[axis][:1]
            else:
                self.reaches[axis] = min(before, max(n - 1, 0)), min(after, max(n - 1, 0))
        self.count = np.ones(())
        for inside in counts[1:]:
            self.count = np.multiply.outer(self.count, inside)
        lengths = self.count.shape
        # The arguments of the kernels: lines, length, step in memory between neighbours, reach.
        self.windows = np.array(
            [
                (prod(lengths[: axis - 1]), lengths[axis - 1], prod(lengths[axis:]), *both)
                for axis, both in self.reaches.items()
                if any(both)
            ],
            np.int64,
        ).reshape(-1, 5)

    def composed(self, x: Any) -> Any:
        total = sum(x, 1, keepdim=True) if self.all_channels else x
        for axis, (before, after) in self.reaches.items():
            total = window_sum(total, axis, before, after)
        return total / np.asarray(self.count, x.dtype)


def planes(x: Any) -> Any:
    """(N, C, *) as (N, C, S), contiguous."""
    return np.ascontiguousarray(x).reshape(*x.shape[:2], prod(x.shape[2:]))


class Center(Function):
    """v = x − mean(x) with a local mean. The op is linear, and its rule is its transpose."""

    def __init__(self, mean: LocalMean, transpose: bool = False):
        self.mean, self.transpose = mean, transpose

    def forward(self, x: Any) -> Any:
        mean, v = self.mean, np.empty(x.shape, x.dtype)
        if x.size:
            count = mean.count.reshape(len(mean.count), -1)
            kernels.center(4 * x.size, planes(x), mean.windows, count, mean.pads, self.transpose, planes(v))
        return v

    def composed(self, x: Any) -> Any:
        return x - self.mean.composed(x)

    def backward(self, g: Any) -> Any:
        return Center(self.mean, not self.transpose)(g)


class DivideByDeviation(Fused):
    """y = v r γ + β,  r = 1/√(σ² + mean(v²)) with a local mean.

    With h = γ ∂L/∂y:  ∂L/∂v = h r − v · meanᵀ(Σ h v r³), where Σ runs over the elements that share one r, and meanᵀ,
    the transpose of the mean, sums over the means that an element is part of.
    """

    def __init__(self, mean: LocalMean, sigma: float):
        self.mean, self.variance = mean, sigma * sigma

    def composed(self, v: Any, gamma: Any, beta: Any) -> Any:
        return affine(v / sqrt(self.mean.composed(v * v) + self.variance), gamma, beta, per_channel(v))

    def forward(self, v: Any, gamma: Any, beta: Any) -> Any:
        self.save_for_backward(v, gamma, beta)
        y = np.empty(v.shape, v.dtype)
        if v.size:
            gamma, beta = vector(gamma, 1, v.shape[1], v.dtype), vector(beta, 0, v.shape[1], v.dtype)
            kernels.divide_forward(4 * v.size, planes(v), *self.statistic(), gamma, beta, planes(y))
        return y

    def statistic(self) -> tuple[Any, Any, float]:
        """The divisor, in the form that the kernels take."""
        count = self.mean.count
        return self.mean.windows, count.reshape(len(count), -1), self.variance

    def gradients(self, g: Any, v: Any, gamma: Any, beta: Any) -> tuple[Any, Any, Any]:
        dv, partial = np.empty(v.shape, v.dtype), np.zeros((len(v), 2, v.shape[1]))
        if v.size:
            scale = vector(gamma, 1, v.shape[1], v.dtype)
            kernels.divide_backward(4 * v.size, planes(g), planes(v), *self.statistic(), scale, planes(dv), partial)
        dgamma, dbeta = partial.sum(0).astype(v.dtype)
        return dv if self.needs(0) else None, dgamma if self.needs(1) else None, dbeta if self.needs(2) else None


def divisive_norm(
    input: Any,
    window: Any,
    weight: Any = None,
    bias: Any = None,
    sigma: float = 1.0,
    *,
    suppression: Any = None,
    channels: int | None = None,
    count_include_pad: bool = False,
    return_centered: bool = False,
) -> Any:
    """Subtract from every element the mean around it, and divide by the deviation around it.

    v = x − mean_A(x),    y = v / √(σ² + mean_B(v²)) · γ + β

    A and B are boxes around the element: `window` and `suppression` in space, and all channels or `channels` of
    them. Elements beyond the edges do not exist: a mean is over the part of the box inside the edges.

    The four decisions: (1) each element has its own neighbourhood in space and channels, and neighbourhoods overlap;
    (2) the statistics are the mean of x over A, and the mean of v² over B, where each v has had its own mean
    subtracted; (3) they standardize x. The smoothing σ matters: at σ = 1, the default, weak signals stay weak; (4) one
    γ and one β for each channel restore capacity.

    Shapes:
        input (N, C, *), output the same; weight and bias (C,). For (N, C) the window slides along the features.

    Args:
        input: x, floating-point.
        window: the box A; an int for all axes of space, or one length for each axis. None means the whole axis. An
            even length reaches one element further back than ahead.
        weight, bias: γ and β; None means 1 and 0.
        sigma: σ. Other norms call σ² ε.
        suppression: the box B; None means B = A.
        channels: number of neighbouring channels in both boxes; None means all. For (N, C) there is only `window`.
        count_include_pad: True: elements beyond the edges count as zeros, as in the authors' program.
        return_centered: True: return `(y, v)`, for the paper's penalty on mean(|v|).

    Raises:
        ValueError: a window that is not a length, or a shape that does not fit.
        TypeError: an input that is not floating-point, or dtypes that differ.

    Nothing changes in evaluation. If the boxes cover everything, this is `layer_norm` over (C, *) with ε = σ²; with
    `channels=1` it is then `instance_norm`. PyTorch and Keras do not have it.

    Source: Ren, Liao, Urtasun, Sinz & Zemel, "Normalizing the normalizers", arXiv 1611.04520.

    Example:
        >>> import minigrad as mg
        >>> x = mg.tensor([[[1.0, 3.0, 3.0, 3.0]]])
        >>> y, v = mg.nn.functional.divisive_norm(x, 2, sigma=0.5, return_centered=True)
        >>> v.tolist()
        [[[0.0, 1.0, 0.0, 0.0]]]
    """
    op = "divisive_norm"
    x = check_channels(op, input)
    if x.ndim == 2 and channels is not None:
        raise ValueError(f"{op}: channels={channels} is for inputs with space; for shape {x.shape}, give window alone")
    if not sigma >= 0:
        raise ValueError(f"{op}: sigma={sigma} must not be negative")
    check_parameters(op, x, (x.shape[1],), weight, bias)

    def box(name: str, lengths: Any) -> LocalMean:
        axes = range(1, 2) if x.ndim == 2 else range(2, x.ndim)
        lengths = tuple(lengths) if isinstance(lengths, tuple | list) else (lengths,) * len(axes)
        if len(lengths) != len(axes):
            raise ValueError(
                f"{op}: {name}={lengths} must be one length, or one for each of the {len(axes)} axes of space of an "
                f"input of shape {x.shape}"
            )
        sizes = dict(zip(axes, lengths, strict=True))
        if x.ndim > 2:
            sizes[1] = channels
        for axis, length in sizes.items():
            if length is not None:
                check_window(op, "channels" if axis == 1 and x.ndim > 2 else name, length)
        return LocalMean(x.shape, sizes, count_include_pad)

    center = Center(box("window", window))
    divide = DivideByDeviation(box("suppression", window if suppression is None else suppression), float(sigma))
    v = center.composed(input) if modes.composed else center(input)
    y = divide.composed(v, weight, bias) if modes.composed else divide(v, weight, bias)
    return (y, v) if return_centered else y
