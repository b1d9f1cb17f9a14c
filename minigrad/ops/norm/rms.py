"""RMSNorm: every sample is divided by its own length; nothing is subtracted."""

from math import ceil, prod
from typing import Any

import numpy as np

from minigrad.autograd.fused import Fused
from minigrad.autograd.modes import modes
from minigrad.kernels import rms as kernels
from minigrad.kernels.norm import row_chunks
from minigrad.ops.norm.common import PASSES, affine, check_float, check_parameters, like, vector
from minigrad.ops.reduction import mean
from minigrad.ops.shape import reshape
from minigrad.ops.unary import sqrt


class RMSNorm(Fused):
    """A row is one sample, or the trailing part of a sample that `shape` describes. The mean square is taken over the
    first elements of a row.

    Attributes:
        counted: number of elements that the mean square is taken over; all of a row in plain RMSNorm.
        inv: of each row, 1/√(mean(x²) + ε).
    """

    def __init__(self, shape: tuple[int, ...], eps: float, counted: int):
        self.shape, self.eps, self.counted = shape, eps, counted
        self.length = prod(shape)

    def rows(self, x: Any) -> Any:
        """One sample a row. (Most inputs have this shape already, and the question costs less than a reshape.)"""
        return x if x.ndim == 2 and x.shape[1] == self.length else x.reshape(-1, self.length)

    def forward(self, x: Any, gamma: Any) -> Any:
        self.save_for_backward(x, gamma)
        x = np.ascontiguousarray(x)
        y = np.empty(x.shape, x.dtype)
        if x.size:
            rows = self.rows(x)
            self.inv = np.empty(len(rows))
            scale = vector(gamma, 1, self.length, x.dtype)
            kernels.elements_forward(PASSES * x.size, rows, scale, self.eps, self.counted, self.rows(y), self.inv)
        return y

    def gradients(self, g: Any, x: Any, gamma: Any) -> tuple[Any, Any]:
        x, g = np.ascontiguousarray(x), np.ascontiguousarray(g)
        dx, dgamma = np.empty(x.shape, x.dtype), np.zeros(self.length, x.dtype)
        if x.size:
            rows, scale = self.rows(x), vector(gamma, 1, self.length, x.dtype)
            partial = np.empty((row_chunks(len(rows), PASSES * x.size), self.length), x.dtype)
            kernels.elements_backward(
                PASSES * x.size, self.rows(g), rows, scale, self.counted, self.inv, self.rows(dx), dgamma, partial
            )
        return dx if self.needs(0) else None, like(dgamma, gamma) if self.needs(1) else None

    def composed(self, x: Any, gamma: Any) -> Any:
        """Equation 4 of the paper: the root mean square of a sample, or of its first part; then the gain."""
        axes = tuple(range(x.ndim - len(self.shape), x.ndim))
        if self.counted == self.length:
            mean_square = mean(x * x, axes, keepdim=True)
        else:
            lead = x.shape[: x.ndim - len(axes)]
            part = reshape(x, (*lead, self.length))[..., : self.counted]
            mean_square = reshape(mean(part * part, -1), (*lead, *[1] * len(axes)))
        return affine(x / sqrt(mean_square + self.eps), gamma, None, self.shape)


def rms_norm(
    input: Any, normalized_shape: Any, weight: Any = None, eps: float | None = None, *, partial: float = 1.0
) -> Any:
    """Divide every sample by its root mean square over the trailing axes.

    y = x / √(mean(x²) + ε) · γ

    The four decisions: (1) the elements of the trailing axes, one sample's features, share statistics, as in layer
    norm; (2) the statistic is the mean square, about 0 and not about the mean; (3) its root divides: the sample is
    rescaled and not shifted; (4) one γ for each *element* restores capacity, and there is no β. Layer norm also
    subtracts the mean, which makes it invariant to a shift. The paper finds that this invariance is not needed.

    With `partial` = p below 1 (the paper's pRMSNorm), the mean square is estimated from the first ⌈p·n⌉ of a
    sample's n elements, and divides all of them.

    Shapes:
        input (*, *normalized_shape), output the same; weight normalized_shape.

    Args:
        input: x, floating-point.
        normalized_shape: the lengths of the trailing axes to normalize over; an int for one axis.
        weight: γ; None means 1.
        eps: ε, under the root; None is the distance from 1 to the next larger number of the input's dtype, 1.2e-7 in
            float32 and 2.2e-16 in float64, as in PyTorch.
        partial: p, above 0 and at most 1.

    Raises:
        ValueError: the input does not end in `normalized_shape`, γ has another shape, or p is out of range.
        TypeError: an input that is not floating-point, or dtypes that differ.

    Nothing changes in evaluation. A sample of zeros gives zeros. PyTorch has no `partial`. Keras names an axis instead
    of a shape, and its ε is 1e-6. The paper has no ε.

    Source: Zhang & Sennrich, "Root mean square layer normalization", arXiv 1910.07467.

    Example:
        >>> import minigrad as mg
        >>> x = mg.tensor([[3.0, 3.0], [1.0, -7.0]])
        >>> mg.nn.functional.rms_norm(x, 2, eps=0.0).tolist()[0]
        [1.0, 1.0]
    """
    op = "rms_norm"
    shape = normalized_shape
    if type(shape) is not tuple:
        shape = (int(shape),) if isinstance(shape, int | np.integer) else tuple(shape)
    x = check_float(op, input)
    if not shape or x.shape[-len(shape) :] != shape:
        raise ValueError(f"{op}: normalized_shape={shape} must be the end of the input's shape, which is {x.shape}")
    if not 0 < partial <= 1:
        raise ValueError(
            f"{op}: partial={partial} must be above 0 and at most 1: the share of a sample whose mean square is taken"
        )
    check_parameters(op, x, shape, weight)
    eps = float(np.finfo(x.dtype).eps) if eps is None else float(eps)
    # 0.07 · 100 comes out slightly above 7 in floating point. It must not become 8 elements.
    counted = prod(shape) if partial == 1 else ceil(partial * prod(shape) - 1e-9)
    norm = RMSNorm(shape, eps, counted)
    return norm.composed(input, weight) if modes.composed else norm(input, weight)
