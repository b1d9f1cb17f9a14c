"""Layer normalization."""

from math import prod
from typing import Any

import numpy as np

from minigrad.autograd.modes import modes
from minigrad.ops.norm.common import RowNorm, affine, check_float, check_parameters, moments, standardize


class LayerNorm(RowNorm):
    """A row is one sample, or the trailing part of a sample that `shape` describes. Each element of a row has its own
    γ and β."""

    run = 1

    def __init__(self, shape: tuple[int, ...], eps: float):
        self.shape, self.eps = shape, float(eps)
        self.length = self.parameters = prod(shape)

    def composed(self, x: Any, gamma: Any, beta: Any) -> Any:
        """Equation 3 of the paper: μ and σ² of one sample's layer, normalize, gain and bias for each unit."""
        axes = tuple(range(x.ndim - len(self.shape), x.ndim))
        return affine(standardize(x, *moments(x, axes), self.eps), gamma, beta, self.shape)


def layer_norm(input: Any, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    """Normalize every sample by itself, over its trailing axes.

    y = (x − μ) / √(σ² + ε) · γ + β

    The four decisions: (1) the elements of the trailing axes, one sample's features, share statistics; (2) the
    statistics are the mean and the biased variance; (3) they standardize x; (4) one γ and one β for each *element*
    restore capacity.

    Shapes:
        input (*, *normalized_shape), output the same; weight and bias normalized_shape.

    Args:
        input: x, floating-point.
        normalized_shape: the lengths of the trailing axes to normalize over; an int for one axis.
        weight, bias: γ and β; None for 1 and 0.
        eps: ε, under the root.

    Raises:
        ValueError: the input does not end in `normalized_shape`, or γ or β has another shape.
        TypeError: an input that is not floating-point, or dtypes that differ.

    A batch of one is allowed, and nothing changes in evaluation. A sample of equal elements gives exactly β. Keras
    names axes instead of a shape, and has ε = 1e-3; defaults and arguments are PyTorch's.

    Source: Ba, Kiros & Hinton, "Layer normalization", arXiv 1607.06450.

    Example:
        >>> import minigrad as mg
        >>> x = mg.tensor([[1.0, 3.0], [10.0, 30.0]])
        >>> mg.nn.functional.layer_norm(x, 2, eps=0.0).tolist()
        [[-1.0, 1.0], [-1.0, 1.0]]
    """
    op = "layer_norm"
    shape = normalized_shape
    if type(shape) is not tuple:
        shape = (int(shape),) if isinstance(shape, int | np.integer) else tuple(shape)
    x = check_float(op, input)
    if not shape or x.shape[-len(shape) :] != shape:
        raise ValueError(f"{op}: normalized_shape={shape} must be the end of the input's shape, which is {x.shape}")
    check_parameters(op, x, shape, weight, bias)
    norm = LayerNorm(shape, eps)
    return norm.composed(input, weight, bias) if modes.composed else norm(input, weight, bias)
