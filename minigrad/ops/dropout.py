"""Dropout: set random elements, or whole channels, to zero while training.

Masks are drawn as float32 from the framework's generator (`mg.manual_seed`), so that a float64 network drops
the same elements as a float32 one. The remaining elements are scaled up in training ("inverted" dropout). So the layer
is the identity in evaluation, and costs nothing there.

Source: Srivastava et al., Dropout, Journal of Machine Learning Research 15 (2014).
"""

import warnings
from typing import Any

import numpy as np

from minigrad.autograd import Function
from minigrad.ops.activation import SELU_ALPHA, SELU_SCALE, check_float, placed
from minigrad.ops.random import generator


class Dropout(Function):
    """y = x · noise + shift, for a random factor (and shift) that is drawn anew each time:  ∂y/∂x = noise."""

    def __init__(self, noise: Any, shift: Any = None):
        self.noise, self.shift = noise, shift

    def forward(self, x: Any) -> Any:
        y = x * self.noise
        if self.shift is not None:
            y += self.shift
        return y

    def backward(self, g: Any) -> Any:
        return g * self.noise


def _keep(shape: tuple[int, ...], p: float) -> Any:
    """True with probability 1 − p."""
    return generator().random(shape, np.float32) >= p


def _idle(x: Any, p: float, training: bool, op: str) -> bool:
    """True if there is nothing to do. Checks the arguments."""
    if not 0 <= p <= 1:
        raise ValueError(f"{op}: p is the probability to drop an element; it must be between 0 and 1, not {p}")
    check_float(x, op)
    return not training or p == 0


def _drop(x: Any, shape: tuple[int, ...], p: float) -> Any:
    scale = 0.0 if p == 1 else 1 / (1 - p)
    return Dropout(_keep(shape, p) * x.dtype.type(scale))(x)


def dropout(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """Each element is 0 with probability p, and x / (1 − p) otherwise: the mean stays the same.

    Args:
        input: floating-point.
        p: the probability to drop an element.
        training: if False, the input itself is returned.
        inplace: write the result into the input, and return that.

    Example:
        >>> import minigrad as mg
        >>> _ = mg.manual_seed(0)
        >>> mg.nn.functional.dropout(mg.ones(6), p=0.5).tolist()
        [2.0, 2.0, 2.0, 0.0, 0.0, 0.0]
    """
    return placed(
        input if _idle(input, p, training, "dropout") else _drop(input, input.shape, p), input, inplace, "dropout"
    )


def _drop_channels(x: Any, p: float, training: bool, op: str, axes: int) -> Any:
    """Drop whole channels of (N, C, ...), or of (C, ...) without a batch."""
    idle = _idle(x, p, training, op)
    if x.ndim not in (axes + 1, axes + 2):
        raise ValueError(
            f"{op}: input has shape {x.shape}, and must have {axes + 2} axes, (N, C, ...), or {axes + 1} without "
            "a batch"
        )
    if idle:
        return x
    channels = x.shape[:2] if x.ndim == axes + 2 else x.shape[:1]
    return _drop(x, channels + (1,) * (x.ndim - len(channels)), p)


def dropout1d(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """Dropout of whole channels of (N, C, L) or (C, L): similar neighbours are dropped together.

    Source: Tompson et al., Efficient Object Localization Using Convolutional Networks, arXiv 1411.4280.
    """
    return placed(_drop_channels(input, p, training, "dropout1d", 1), input, inplace, "dropout1d")


def dropout2d(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """Dropout of whole channels of (N, C, H, W). See `dropout1d`.

    With three axes the input is taken for (N, C, L), and there is a warning, as in PyTorch.
    """
    if input.ndim == 3:
        warnings.warn(
            f"dropout2d: input with three axes, {input.shape}, is taken for (N, C, L): use dropout1d to say so, or "
            "add an axis for the batch, x.unsqueeze(0)",
            stacklevel=2,
        )
        return placed(_drop_channels(input, p, training, "dropout2d", 1), input, inplace, "dropout2d")
    return placed(_drop_channels(input, p, training, "dropout2d", 2), input, inplace, "dropout2d")


def dropout3d(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """Dropout of whole channels of (N, C, D, H, W) or (C, D, H, W). See `dropout1d`."""
    return placed(_drop_channels(input, p, training, "dropout3d", 3), input, inplace, "dropout3d")


def alpha_dropout(input: Any, p: float = 0.5, training: bool = False, inplace: bool = False) -> Any:
    """Dropout for networks with `selu`: mean 0 and variance 1 stay what they are.

    A dropped element becomes α′ = −SELU_SCALE · SELU_ALPHA, the value of selu at −∞. Then all are scaled and
    shifted, y = a x + b with a = ((1 − p)(1 + p α′²))^(−1/2) and b = −a p α′, which undoes the change of mean
    and variance.

    Args:
        input: floating-point.
        p: the probability to drop an element.
        training: if False (the default, as in PyTorch), the input itself is returned.
        inplace: write the result into the input, and return that.

    Source: Klambauer et al., "Self-normalizing neural networks", arXiv 1706.02515.
    """
    return placed(
        input if _idle(input, p, training, "alpha_dropout") else _alpha_drop(input, input.shape, p),
        input,
        inplace,
        "alpha_dropout",
    )


def feature_alpha_dropout(input: Any, p: float = 0.5, training: bool = False, inplace: bool = False) -> Any:
    """`alpha_dropout` of whole channels, axis 1 of x."""
    if _idle(input, p, training, "feature_alpha_dropout"):
        return input
    if input.ndim < 2:
        raise ValueError(f"feature_alpha_dropout: input has shape {input.shape}, and must have channels on axis 1")
    return placed(
        _alpha_drop(input, input.shape[:2] + (1,) * (input.ndim - 2), p), input, inplace, "feature_alpha_dropout"
    )


def _alpha_drop(x: Any, shape: tuple[int, ...], p: float) -> Any:
    if p == 1:
        return Dropout(np.zeros(shape, x.dtype))(x)
    saturated = -SELU_SCALE * SELU_ALPHA
    a = ((1 - p) * (1 + p * saturated**2)) ** -0.5
    b = -a * p * saturated
    keep = _keep(shape, p)
    noise = keep * x.dtype.type(a)
    return Dropout(noise, np.where(keep, b, a * saturated + b).astype(x.dtype))(x)
