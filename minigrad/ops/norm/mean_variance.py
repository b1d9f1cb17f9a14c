"""Mean-variance normalization, as ONNX has it: over any axes, without parameters."""

from typing import Any

import numpy as np

from minigrad.ops.dims import normalize_axes
from minigrad.ops.elementwise import cast
from minigrad.ops.norm.common import check_float
from minigrad.ops.reduction import mean, std


def mean_variance_normalization(input: Any, axes: Any = (0, 2, 3), *, eps: float = 1e-9) -> Any:
    """Subtract the mean over `axes`, and divide by the deviation.

    y = (x − μ) / (σ + ε)

    The four decisions: (1) all elements along `axes` share statistics: with the default, a channel of images over the
    batch; with the trailing axes, a sample; (2) the statistics are the mean and the biased variance; (3) they
    standardize x; (4) nothing restores capacity.

    Shapes:
        input any, output the same.

    Args:
        input: x, floating-point.
        axes: the axes to normalize over; an int for one axis, None for all.
        eps: ε, *outside* the root.

    Raises:
        TypeError: an input that is not floating-point.
        IndexError: an axis that the input does not have.

    ONNX has this as MeanVarianceNormalization, where ε is 1e-9, and computes the variance as mean(x²) − μ², which
    cancels far from 0. Here it is mean((x − μ)²) in float64. The other norms have ε inside the root, where it keeps
    the slope of the root finite. Here the slope of σ counts as 0 in a group of equal elements, and y is 0.

    Source: the ONNX operator of this name, versions 9 and 13.

    Example:
        >>> import minigrad as mg
        >>> x = mg.tensor([[1.0, 3.0], [10.0, 30.0]])
        >>> mg.nn.functional.mean_variance_normalization(x, axes=1).tolist()
        [[-1.0, 1.0], [-1.0, 1.0]]
    """
    op = "mean_variance_normalization"
    x = check_float(op, input)
    found = normalize_axes(axes, x.ndim, op)
    # Subtract the first element, so that a constant group gives exactly 0. (Any shift is allowed.)
    first = x[tuple(slice(0, 1) if axis in found else slice(None) for axis in range(x.ndim))]
    with np.errstate(all="ignore"):  # ∞ − ∞ shows in the result
        wide = cast(input, np.float64) - first
        y = (wide - mean(wide, found, keepdim=True)) / (std(wide, found, keepdim=True, correction=0) + eps)
        return cast(y, x.dtype)
