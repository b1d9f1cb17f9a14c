"""Response normalization: a channel is divided by the size of its response (FRN), or compared with others by it
(GRN)."""

from math import prod
from typing import Any

import numpy as np

from minigrad.autograd import Tensor
from minigrad.autograd.fused import Fused
from minigrad.autograd.modes import modes
from minigrad.autograd.tensor import raw
from minigrad.kernels import response as response_kernels
from minigrad.kernels import rms as kernels
from minigrad.ops.compare import maximum
from minigrad.ops.elementwise import cast
from minigrad.ops.norm.batch import per_channel
from minigrad.ops.norm.common import PASSES, affine, check_channels, check_parameters, vector
from minigrad.ops.reduction import mean, norm
from minigrad.ops.shape import reshape
from minigrad.ops.unary import abs, sqrt


def space_axes(x: Any) -> tuple[int, ...]:
    """All axes behind the channels."""
    return tuple(range(2, x.ndim))


def as_channels(x: Any) -> Any:
    """A contiguous array as (N, C, S)."""
    return x.reshape(*x.shape[:2], prod(x.shape[2:]))


# -- filter response normalization ---------------------------------------------------------------------------


class FilterResponseNorm(Fused):
    """A row is one channel of one sample. There is one γ, β and ε for each channel, or one ε for all."""

    def forward(self, x: Any, gamma: Any, beta: Any, eps: Any) -> Any:
        self.save_for_backward(x, gamma, beta, eps)
        x = np.ascontiguousarray(x)
        y = np.empty(x.shape, x.dtype)
        if x.size:
            channels, rows = x.shape[1], x.shape[0] * x.shape[1]
            self.stats = np.empty((2, rows))
            kernels.runs_forward(
                PASSES * x.size,
                x.reshape(rows, -1),
                vector(gamma, 1, channels, x.dtype),
                vector(beta, 0, channels, x.dtype),
                np.full(channels, np.abs(eps), np.float64),
                False,
                y.reshape(rows, -1),
                self.stats,
            )
        return y

    def gradients(self, g: Any, x: Any, gamma: Any, beta: Any, eps: Any) -> Any:
        x, g = np.ascontiguousarray(x), np.ascontiguousarray(g)
        dx, (batch, channels) = np.empty(x.shape, x.dtype), x.shape[:2]
        sums, inv = np.zeros((2, batch, channels)), np.zeros((batch, channels))
        scale = vector(gamma, 1, channels, x.dtype)
        if x.size:
            rows = batch * channels
            kernels.runs_backward(
                PASSES * x.size,
                g.reshape(rows, -1),
                x.reshape(rows, -1),
                scale,
                self.stats,
                dx.reshape(rows, -1),
                sums.reshape(2, rows),
            )
            inv = self.stats[0].reshape(batch, channels)
        dot, total = sums
        deps = None
        if self.needs(3):  # ∂y/∂ε = −½ γ x̂ / (mean(x²) + |ε|), and the sign of ε
            deps = (-0.5 * inv * inv * dot * scale).sum(0)
            deps = (np.sign(eps) * (deps if eps.ndim else deps.sum())).astype(eps.dtype)
        return (
            dx if self.needs(0) else None,
            dot.sum(0).astype(x.dtype) if self.needs(1) else None,
            total.sum(0).astype(x.dtype) if self.needs(2) else None,
            deps,
        )

    def composed(self, x: Any, gamma: Any, beta: Any, eps: Any) -> Any:
        """ν², the mean square of a channel's response; division by its root; scale and shift."""
        nu2 = mean(x * x, space_axes(x), keepdim=True)
        eps = reshape(eps, per_channel(x)) if eps.ndim else eps
        return affine(x / sqrt(nu2 + abs(eps)), gamma, beta, per_channel(x))


def filter_response_norm(
    input: Any, weight: Any = None, bias: Any = None, threshold: Any = None, eps: Any = 1e-6
) -> Any:
    """Divide every channel of every sample by the root mean square of its response.

    y = max(x / √(ν² + |ε|) · γ + β, τ),    ν² = mean(x²)

    The four decisions: (1) all elements of one channel of one sample share statistics, as in instance norm; (2) the
    statistic is the mean square, about 0; (3) its root divides; (4) one γ and one β for each channel restore capacity.
    No mean is subtracted, so outputs may lie far from 0, where a ReLU would cut off everything or nothing. The paper
    replaces the ReLU by a learned threshold τ for each channel: see `thresholded_linear_unit`.

    Without space, (N, C) or 1×1, ν² = x² and y is nearly the sign of x: only one bit is left. The paper's answer is a
    learned ε that starts at 1e-4 and keeps small x in proportion: pass a tensor.

    Shapes:
        input (N, C) or (N, C, *), output the same; weight, bias and threshold (C,); eps a number, (), or (C,).

    Args:
        input: x, floating-point.
        weight, bias: γ and β; None means 1 and 0.
        threshold: τ; None leaves max(·, τ) out.
        eps: ε, a number, or a tensor to be learned. |ε| is used, so ε may change its sign.

    Raises:
        ValueError: an input without channels, or a parameter of another shape.
        TypeError: an input that is not floating-point, or dtypes that differ.

    A batch of one is allowed, and nothing changes in evaluation. PyTorch and Keras have no such layer. The paper's
    images are (N, H, W, C).

    Source: Singh & Krishnan, "Filter response normalization layer", arXiv 1911.09737.

    Example:
        >>> import minigrad as mg
        >>> x = mg.tensor([[[3.0, 3.0, -3.0, 3.0]]])
        >>> mg.nn.functional.filter_response_norm(x, eps=0.0).tolist()
        [[[1.0, 1.0, -1.0, 1.0]]]
        >>> mg.nn.functional.filter_response_norm(x, threshold=mg.tensor([0.0]), eps=0.0).tolist()
        [[[1.0, 1.0, 0.0, 1.0]]]
    """
    op = "filter_response_norm"
    x = check_channels(op, input)
    channels = x.shape[1]
    check_parameters(op, x, (channels,), weight, bias)
    learned = isinstance(eps, Tensor | np.ndarray)
    if not learned:
        eps = np.array(eps, np.float64)  # of float32's range, the square of 1e-22 is not
    if eps.shape not in ((), (channels,)):
        raise ValueError(
            f"{op}: eps has shape {eps.shape}, and must be one number, (), or one a channel, {(channels,)}"
        )
    if learned and eps.dtype != x.dtype:
        raise TypeError(f"{op}: the input is {x.dtype} and eps is {eps.dtype}; bring them to one dtype, x.double()")
    norm = FilterResponseNorm()
    y = norm.composed(input, weight, bias, eps) if modes.composed else norm(input, weight, bias, eps)
    y = cast(y, x.dtype)  # (an ε of float64 widens arrays in the composed form)
    return y if threshold is None else thresholded_linear_unit(y, threshold)


class ThresholdedLinearUnit(Fused):
    """z = max(y, τ), with a τ for each channel."""

    def forward(self, y: Any, tau: Any) -> Any:
        self.save_for_backward(y, tau)
        y, tau = np.ascontiguousarray(y), np.ascontiguousarray(tau)
        z = np.empty(y.shape, y.dtype)
        if y.size:
            response_kernels.threshold_forward(y.size, as_channels(y), tau, as_channels(z))
        return z

    def gradients(self, g: Any, y: Any, tau: Any) -> tuple[Any, Any]:
        g, y, tau = np.ascontiguousarray(g), np.ascontiguousarray(y), np.ascontiguousarray(tau)
        dy, sums = np.empty(y.shape, y.dtype), np.zeros(y.shape[:2])
        if y.size:
            response_kernels.threshold_backward(y.size, as_channels(g), as_channels(y), tau, as_channels(dy), sums)
        return dy if self.needs(0) else None, sums.sum(0).astype(y.dtype) if self.needs(1) else None

    def composed(self, y: Any, tau: Any) -> Any:
        return maximum(y, reshape(tau, per_channel(y)))


def thresholded_linear_unit(input: Any, threshold: Any) -> Any:
    """z = max(y, τ), with a learned threshold τ for each channel: a ReLU with a movable knee.

    It equals relu(y − τ) + τ. Where y = τ, y and τ each get half of the gradient.

    Shapes:
        input (N, C) or (N, C, *), output the same; threshold (C,).

    Raises:
        ValueError: an input without channels, or a threshold of another shape.
        TypeError: an input that is not floating-point, or dtypes that differ.

    Source: Singh & Krishnan, "Filter response normalization layer", arXiv 1911.09737.

    Example:
        >>> import minigrad as mg
        >>> mg.nn.functional.thresholded_linear_unit(mg.tensor([[-2.0, 3.0]]), mg.tensor([-1.0, 5.0])).tolist()
        [[-1.0, 5.0]]
    """
    op = "thresholded_linear_unit"
    x = check_channels(op, input)
    tau = raw(threshold)
    if not isinstance(tau, np.ndarray) or tau.shape != x.shape[1:2]:
        raise ValueError(
            f"{op}: threshold must be a tensor of shape {x.shape[1:2]}, one number a channel of an input of shape "
            f"{x.shape}, got " + (f"shape {tau.shape}" if isinstance(tau, np.ndarray) else f"{tau!r}")
        )
    if tau.dtype != x.dtype:
        raise TypeError(
            f"{op}: the input is {x.dtype} and threshold is {tau.dtype}; bring them to one dtype, x.double()"
        )
    unit = ThresholdedLinearUnit()
    return unit.composed(input, threshold) if modes.composed else unit(input, threshold)


# -- global response normalization ---------------------------------------------------------------------------


class GlobalResponseNorm(Fused):
    """Each channel is multiplied by its norm over space divided by the mean norm of all channels."""

    def __init__(self, eps: float):
        self.eps = eps

    def forward(self, x: Any, gamma: Any, beta: Any) -> Any:
        self.save_for_backward(x, gamma, beta)
        x = np.ascontiguousarray(x)
        y = np.empty(x.shape, x.dtype)
        if x.size:
            self.norms, self.share = np.empty(x.shape[:2]), np.empty(x.shape[0])
            gamma, beta = vector(gamma, 1, x.shape[1], x.dtype), vector(beta, 0, x.shape[1], x.dtype)
            response_kernels.response_forward(
                PASSES * x.size, as_channels(x), gamma, beta, self.eps, as_channels(y), self.norms, self.share
            )
        return y

    def gradients(self, g: Any, x: Any, gamma: Any, beta: Any) -> tuple[Any, Any, Any]:
        x, g = np.ascontiguousarray(x), np.ascontiguousarray(g)
        dx, sums = np.empty(x.shape, x.dtype), np.zeros((2, *x.shape[:2]))
        if x.size:
            response_kernels.response_backward(
                PASSES * x.size,
                as_channels(g),
                as_channels(x),
                vector(gamma, 1, x.shape[1], x.dtype),
                self.norms,
                self.share,
                as_channels(dx),
                sums,
            )
        dgamma, dbeta = sums.sum(1).astype(x.dtype)
        return dx if self.needs(0) else None, dgamma if self.needs(1) else None, dbeta if self.needs(2) else None

    def composed(self, x: Any, gamma: Any, beta: Any) -> Any:
        """The paper's three steps: aggregate over space, compare with the other channels, calibrate; and the input."""
        aggregated = norm(x, 2, space_axes(x), keepdim=True)
        compared = aggregated / (mean(aggregated, 1, keepdim=True) + self.eps)
        return affine(x * compared, gamma, beta, per_channel(x)) + x


def global_response_norm(input: Any, weight: Any = None, bias: Any = None, eps: float = 1e-6) -> Any:
    """Strengthen the channels that respond more than others, and weaken those that respond less.

    y = γ · x · N + β + x,    N_c = ‖x_c‖ / (mean over channels of ‖x‖ + ε)

    The four decisions: (1) all elements of one channel of one sample share the first statistic, and all channels of a
    sample share the second; (2) the Euclidean norm, and the mean of these norms; (3) their quotient multiplies: each
    channel competes with all others (in local response norm with its neighbours only); (4) one γ and one β for each
    channel, and the input is added. The layer starts from γ = β = 0, that is y = x.

    Shapes:
        input (N, C) or (N, C, *), output the same; weight and bias (C,).

    Args:
        input: x, floating-point.
        weight, bias: γ and β; None means 1 and 0.
        eps: ε, added to the mean of the norms.

    Raises:
        ValueError: an input without channels, or a parameter of another shape.
        TypeError: an input that is not floating-point, or dtypes that differ.

    A batch of one is allowed, and nothing changes in evaluation. The paper's formula divides by the *sum* of the
    norms. Its code, like this function, divides by their mean; ε is the code's. The code's images are (N, H, W, C). A
    channel of zeros gives β, and its gradient is that of the added input. PyTorch and Keras do not have it.

    Source: Woo et al., "ConvNeXt V2", arXiv 2301.00808.

    Example:
        >>> import minigrad as mg
        >>> x = mg.tensor([[[3.0, 4.0], [0.0, 15.0]]])  # norms 5 and 15, their mean 10
        >>> mg.nn.functional.global_response_norm(x, eps=0.0).tolist()
        [[[4.5, 6.0], [0.0, 37.5]]]
    """
    op = "global_response_norm"
    x = check_channels(op, input)
    check_parameters(op, x, x.shape[1:2], weight, bias)
    norm = GlobalResponseNorm(float(eps))
    return norm.composed(input, weight, bias) if modes.composed else norm(input, weight, bias)
