"""Unit vectors: division by a p-norm, ScaleNorm, and cosine similarity."""

from functools import lru_cache
from math import prod
from typing import Any

import numpy as np

from minigrad.autograd.fused import Fused
from minigrad.autograd.modes import modes
from minigrad.autograd.tensor import raw
from minigrad.kernels import cosine as cosine_kernels
from minigrad.kernels import rms as kernels
from minigrad.ops.compare import clip
from minigrad.ops.dims import accepts_dim, normalize_axes
from minigrad.ops.elementwise import cast, expand
from minigrad.ops.linear import linear
from minigrad.ops.norm.common import PASSES, check_float, constant, squares_fit, vector
from minigrad.ops.norm.layer import layer_norm
from minigrad.ops.reduction import norm, sum


def vectors(x: Any, axis: int) -> Any:
    """A contiguous array as rows, (R, n), if the axis is the last one; otherwise as (N, n, S)."""
    n = x.shape[axis]
    return x.reshape(-1, n) if axis == x.ndim - 1 else x.reshape(-1, n, prod(x.shape[axis + 1 :]))


@lru_cache(maxsize=64)
def number(value: float) -> Any:
    """ε as kernels take it that could have one for each channel."""
    return np.array([value])


# -- division by a norm --------------------------------------------------------------------------------------


class UnitRows(Fused):
    """y = γ · x / max(‖x‖, ε) over the last axis, with a single γ, or none."""

    def __init__(self, eps: float):
        self.eps = eps

    def forward(self, x: Any, gamma: Any) -> Any:
        self.save_for_backward(x, gamma)
        x = np.ascontiguousarray(x)
        y = np.empty(x.shape, x.dtype)
        if x.size:
            n = x.shape[-1]
            scale, zero, eps = vector(gamma, 1, 1, x.dtype), constant(0, 1, x.dtype), number(self.eps)
            self.stats = np.empty((2, x.size // n))
            rows, out = x.reshape(-1, n), y.reshape(-1, n)
            kernels.runs_forward(PASSES * x.size, rows, scale, zero, eps, True, out, self.stats)
        return y

    def gradients(self, g: Any, x: Any, gamma: Any) -> tuple[Any, Any]:
        x, g = np.ascontiguousarray(x), np.ascontiguousarray(g)
        dx, sums, scale = np.empty(x.shape, x.dtype), np.zeros((2, 0)), vector(gamma, 1, 1, x.dtype)
        if x.size:
            sums = np.empty(self.stats.shape)
            g, x, out = (v.reshape(-1, x.shape[-1]) for v in (g, x, dx))
            kernels.runs_backward(PASSES * x.size, g, x, scale, self.stats, out, sums)
        return dx if self.needs(0) else None, np.array(sums[0].sum(), x.dtype) if self.needs(1) else None

    def composed(self, x: Any, gamma: Any) -> Any:
        """Divide by the norm, or by ε where that is larger."""
        y = x / clip(norm(x, 2, -1, keepdim=True), min=self.eps)
        return y if gamma is None else y * gamma


class UnitAcross(Fused):
    """y = x / max(‖x‖, ε) over an axis that has others behind it: neighbours in memory belong to different vectors."""

    def __init__(self, eps: float, axis: int):
        self.eps, self.axis = eps, axis

    def forward(self, x: Any) -> Any:
        self.save_for_backward(x)
        x = np.ascontiguousarray(x)
        y = np.empty(x.shape, x.dtype)
        if x.size:
            across = vectors(x, self.axis)
            self.stats = np.empty((2, across.shape[0], across.shape[2]))
            kernels.across_forward(PASSES * x.size, across, self.eps, vectors(y, self.axis), self.stats)
        return y

    def gradients(self, g: Any, x: Any) -> tuple[Any]:
        x, g = np.ascontiguousarray(x), np.ascontiguousarray(g)
        dx = np.empty(x.shape, x.dtype)
        if x.size:
            kernels.across_backward(
                PASSES * x.size, *(vectors(v, self.axis) for v in (g, x)), self.stats, vectors(dx, self.axis)
            )
        return (dx,)

    def composed(self, x: Any) -> Any:
        return x / clip(norm(x, 2, self.axis, keepdim=True), min=self.eps)


@accepts_dim
def normalize(input: Any, p: float = 2.0, axis: Any = 1, eps: float = 1e-12) -> Any:
    """Divide every vector along `axis` by its p-norm: unit vectors.

    y = x / max(‖x‖ₚ, ε),    ‖x‖ₚ = (Σ |x|ᵖ)^(1/p)

    The four decisions: (1) the elements along `axis`, by default the channels at one place of one sample, share
    statistics; (2) the statistic is the norm; (3) it divides; (4) nothing restores capacity: only the direction is
    left.

    Shapes:
        input any, output the same.

    Args:
        input: x, floating-point.
        p: 2 is the Euclidean norm, 1 the sum of magnitudes, inf the largest magnitude, 0 the number of elements other
            than 0; any other number as well.
        axis: along which vectors lie; several axes, or None for all, make one vector of their elements.
        eps: ε, below which a norm does not count: shorter vectors are divided by ε instead.

    Raises:
        TypeError: an input that is not floating-point.
        IndexError: an axis that the input does not have.

    A vector of zeros gives zeros, and its gradient is ∂L/∂y/ε, the gradient of y = x/ε. With ε = 0 it is 0/0, NaN.
    Nothing changes in evaluation. Keras calls the layer UnitNormalization; it works along the last axis.

    Example:
        >>> import minigrad as mg
        >>> x = mg.tensor([[3.0, 4.0], [0.0, 0.0]])
        >>> mg.nn.functional.normalize(x).tolist()
        [[0.6000000238418579, 0.800000011920929], [0.0, 0.0]]
    """
    op = "normalize"
    x = check_float(op, input)
    axes = normalize_axes(axis, x.ndim, op)
    eps = float(eps)
    if p != 2 or len(axes) != 1 or modes.composed or not squares_fit(x):
        wide = cast(input, np.float64)  # the rule of a quotient squares the norm, and float32 has no 1e40
        return cast(wide / clip(norm(wide, p, axes, keepdim=True), min=eps), x.dtype)
    return UnitRows(eps)(input, None) if axes[0] == x.ndim - 1 else UnitAcross(eps, axes[0])(input)


def scale_norm(input: Any, scale: Any = None, eps: float = 1e-5) -> Any:
    """Bring every vector along the last axis to one learned length.

    y = g · x / max(‖x‖, ε)

    The four decisions: (1) the elements of the last axis, one sample's features, share statistics; (2) the statistic
    is the Euclidean norm; (3) it divides; (4) a single number g for all elements restores the length. It is RMS norm
    with one γ for all elements: g = √n corresponds to γ = 1.

    Shapes:
        input (*, n), output the same; scale one number, ().

    Args:
        input: x, floating-point.
        scale: g; None means 1. The paper starts from g = √n.
        eps: ε: shorter vectors are divided by ε.

    Raises:
        ValueError: an input without axes, or a `scale` of several numbers.
        TypeError: an input that is not floating-point, or dtypes that differ.

    Nothing changes in evaluation. The formula is the paper's; ε comes from the authors' code. PyTorch and Keras do not
    have it.

    Source: Nguyen & Salazar, "Transformers without tears", arXiv 1910.05895.

    Example:
        >>> import minigrad as mg
        >>> mg.nn.functional.scale_norm(mg.tensor([3.0, 4.0]), mg.tensor(10.0)).tolist()
        [6.0, 8.0]
    """
    op = "scale_norm"
    x = check_float(op, input)
    if x.ndim == 0:
        raise ValueError(f"{op}: the input must have at least one axis, (*, n), got a single number")
    if scale is not None:
        g = raw(scale)
        if not isinstance(g, np.ndarray) or g.shape != ():
            raise ValueError(
                f"{op}: scale must be a tensor of one number, of shape (), got "
                + (f"shape {g.shape}" if isinstance(g, np.ndarray) else f"a {type(g).__name__}: mg.tensor(...)")
            )
        if g.dtype != x.dtype:
            raise TypeError(
                f"{op}: the input is {x.dtype} and scale is {g.dtype}; bring them to one dtype, x.double()"
            )
    unit = UnitRows(float(eps))
    return unit.composed(input, scale) if modes.composed or not squares_fit(x) else unit(input, scale)


# -- cosines -------------------------------------------------------------------------------------------------


class CosineSimilarity(Fused):
    """The cosine of the angle between x and y along an axis."""

    def __init__(self, eps: float, axis: int):
        self.eps, self.axis = eps, axis

    def layout(self, x: Any) -> Any:
        """(R, n) where vectors are contiguous, otherwise (N, n, S)."""
        return vectors(np.ascontiguousarray(x), self.axis)

    def forward(self, x: Any, y: Any) -> Any:
        self.save_for_backward(x, y)
        out = np.zeros(x.shape[: self.axis] + x.shape[self.axis + 1 :], x.dtype)
        if x.size:
            x, y = self.layout(x), self.layout(y)
            shape = (x.shape[0], *x.shape[2:])
            self.stats = np.empty((4, *shape))
            run = cosine_kernels.cosine_forward if x.ndim == 2 else cosine_kernels.cosine_across_forward
            run(2 * x.size, x, y, self.eps, out.reshape(shape), self.stats)
        return out

    def gradients(self, g: Any, x: Any, y: Any) -> tuple[Any, Any]:
        dx, dy = (np.empty(x.shape, x.dtype) if self.needs(i) else None for i in (0, 1))
        if x.size:
            x, y = self.layout(x), self.layout(y)
            inv_x, inv_y, slope_x, slope_y = self.stats
            g = np.ascontiguousarray(g).reshape(inv_x.shape)
            run = cosine_kernels.cosine_backward if x.ndim == 2 else cosine_kernels.cosine_across_backward
            if dx is not None:
                run(2 * x.size, g, x, y, inv_x, inv_y, slope_x, vectors(dx, self.axis))
            if dy is not None:
                run(2 * x.size, g, y, x, inv_y, inv_x, slope_y, vectors(dy, self.axis))
        return dx, dy

    def composed(self, x: Any, y: Any) -> Any:
        """The product of the two unit vectors."""
        unit_x, unit_y = (v / clip(norm(v, 2, self.axis, keepdim=True), min=self.eps) for v in (x, y))
        return sum(unit_x * unit_y, self.axis)


@accepts_dim
def cosine_similarity(x1: Any, x2: Any, axis: int = 1, eps: float = 1e-8) -> Any:
    """The cosine of the angle between vectors: the product of the two unit vectors.

    cos = x₁·x₂ / (max(‖x₁‖, ε) · max(‖x₂‖, ε))

    The four decisions, for each of the two: (1) the elements along `axis` share statistics; (2) the statistic is the
    Euclidean norm; (3) it divides; (4) nothing restores capacity, so the result lies between −1 and 1.

    Shapes:
        x1 and x2 broadcast against each other; output that shape without `axis`.

    Args:
        x1, x2: floating-point, of one dtype.
        axis: along which the vectors lie.
        eps: ε: shorter vectors are divided by ε.

    Raises:
        TypeError: an input that is not floating-point, or dtypes that differ.
        ValueError: shapes that do not broadcast.
        IndexError: an axis that the broadcast shape does not have.

    The cosine is 1 for vectors of equal direction and 0 for orthogonal vectors, or if one vector is zero. Where a norm
    is below ε, PyTorch's gradient still has the term of the norm, though its output does not depend on it; here the
    gradient is the output's.

    Example:
        >>> import minigrad as mg
        >>> a, b = mg.tensor([[1.0, 0.0], [1.0, 1.0]]), mg.tensor([[5.0, 0.0], [-2.0, 2.0]])
        >>> mg.nn.functional.cosine_similarity(a, b).tolist()
        [1.0, 0.0]
    """
    op = "cosine_similarity"
    a, b = check_float(op, x1), check_float(op, x2)
    if a.dtype != b.dtype:
        raise TypeError(f"{op}: x1 is {a.dtype} and x2 is {b.dtype}; bring them to one dtype, x.double()")
    try:
        shape = np.broadcast_shapes(a.shape, b.shape)
    except ValueError:
        raise ValueError(
            f"{op}: x1 has shape {a.shape} and x2 {b.shape}, which do not broadcast: lengths must be equal, or 1"
        ) from None
    axes = normalize_axes(int(axis), len(shape), op)
    x, y = (v if v.shape == shape else expand(v, shape) for v in (x1, x2))
    if not axes:  # a number is a vector of one element
        x, y = x.reshape(1), y.reshape(1)
    cosine = CosineSimilarity(float(eps), axes[0] if axes else 0)
    return cosine.composed(x, y) if modes.composed or not squares_fit(a, b) else cosine(x, y)


def cosine_linear(input: Any, weight: Any, *, centered: bool = False, eps: float = 1e-8) -> Any:
    """The linear layer of cosine normalization: the cosine of the input and each row of weight, not their product.

    y_k = w_k·x / (‖w_k‖ · ‖x‖)

    and with `centered` Pearson's correlation coefficient, the cosine of w_k − mean(w_k) and x − mean(x), the second
    form in the paper. A neuron's output then lies between −1 and 1 whatever the size of its input and its weights.

    The four decisions: (1) the features of a sample share a statistic, and the weights of a neuron share another; (2)
    both are norms, about 0 or about the mean; (3) they divide; (4) nothing restores capacity.

    Shapes:
        input (*, in_features), weight (out_features, in_features) → (*, out_features).

    Args:
        input: x, floating-point.
        weight: W, one row for each neuron.
        centered: True: subtract the means first.
        eps: ε: a smaller norm is replaced by ε. With `centered`, ε² is added under the root instead.

    Raises:
        ValueError: shapes that do not fit.
        TypeError: an input that is not floating-point, or dtypes that differ.

    Nothing changes in evaluation. PyTorch and Keras have no such layer.

    Source: Luo, Zhan, Wang & Yang, "Cosine normalization: using cosine similarity instead of dot product in neural
    networks", arXiv 1702.05870.

    Example:
        >>> import minigrad as mg
        >>> w = mg.tensor([[2.0, 0.0], [0.0, 3.0]])
        >>> mg.nn.functional.cosine_linear(mg.tensor([[3.0, 4.0]]), w).tolist()
        [[0.6000000238418579, 0.800000011920929]]
    """
    op = "cosine_linear"
    x, w = check_float(op, input), check_float(op, weight)
    if w.ndim != 2 or x.shape[-1:] != w.shape[1:]:
        raise ValueError(
            f"{op}: the input has shape {x.shape} and weight {w.shape}; weight must be (out_features, in_features), "
            "and the last axis of the input as long as in_features"
        )
    if centered:
        # Standardized vectors of n elements have length √n.
        features, n = w.shape[1], max(w.shape[1], 1)
        return linear(*(layer_norm(v, features, eps=eps**2 / n) for v in (input, weight))) / n
    return linear(normalize(input, axis=-1, eps=eps), normalize(weight, axis=-1, eps=eps))
