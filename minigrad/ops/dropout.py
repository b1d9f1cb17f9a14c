"""Dropout: set random elements, or whole channels, to zero while training.

Masks are drawn as float32 from the framework's generator (`mg.manual_seed`), so that a float64 network drops
the same elements as a float32 one. What is not dropped is scaled up at once ("inverted" dropout), so that the
layer is the identity when it is not training, and does no work then.

Source: Srivastava et al., Dropout, Journal of Machine Learning Research 15 (2014).
"""

import warnings
from typing import Any

import numpy as np

from minigrad.autograd import Function
from minigrad.ops.activation import SELU_ALPHA, SELU_SCALE, check_float
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
    """Is there nothing to do? Checks the arguments."""
    if not 0 <= p <= 1:
        raise ValueError(f"{op}: p is the probability to drop an element; it must be between 0 and 1, not {p}")
    check_float(x, op)
    return not training or p == 0


def _drop(x: Any, shape: tuple[int, ...], p: float) -> Any:
    scale = 0.0 if p == 1 else 1 / (1 - p)
    return Dropout(_keep(shape, p) * x.dtype.type(scale))(x)


def dropout(x: Any, p: float = 0.5, training: bool = True) -> Any:
    """Each element is 0 with probability p, and x / (1 − p) otherwise: the mean stays the same.

    Args:
        x: floating-point.
        p: the probability to drop an element.
        training: if False, x itself is returned.

    Example:
        >>> import minigrad as mg
        >>> _ = mg.manual_seed(0)
        >>> mg.nn.functional.dropout(mg.ones(6), p=0.5).tolist()
        [2.0, 2.0, 2.0, 0.0, 0.0, 0.0]
    """
    return x if _idle(x, p, training, "dropout") else _drop(x, x.shape, p)


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


def dropout1d(x: Any, p: float = 0.5, training: bool = True) -> Any:
    """Dropout of whole channels of (N, C, L) or (C, L): neighbours that resemble each other go together.

    Source: Tompson et al., Efficient Object Localization Using Convolutional Networks, arXiv 1411.4280.
    """
    return _drop_channels(x, p, training, "dropout1d", 1)


def dropout2d(x: Any, p: float = 0.5, training: bool = True) -> Any:
    """Dropout of whole channels of (N, C, H, W). See `dropout1d`.

    With three axes the input is taken for (N, C, L), and there is a warning, as in PyTorch.
    """
    if x.ndim == 3:
        warnings.warn(
            f"dropout2d: input with three axes, {x.shape}, is taken for (N, C, L): use dropout1d to say so, or "
            "add an axis for the batch, x.unsqueeze(0)",
            stacklevel=2,
        )
        return _drop_channels(x, p, training, "dropout2d", 1)
    return _drop_channels(x, p, training, "dropout2d", 2)


def dropout3d(x: Any, p: float = 0.5, training: bool = True) -> Any:
    """Dropout of whole channels of (N, C, D, H, W) or (C, D, H, W). See `dropout1d`."""
    return _drop_channels(x, p, training, "dropout3d", 3)


def alpha_dropout(x: Any, p: float = 0.5, training: bool = False) -> Any:
    """Dropout for networks with `selu`: mean 0 and variance 1 stay what they are.

    A dropped element becomes α′ = −SELU_SCALE · SELU_ALPHA, the value of selu at −∞. Then all are scaled and
    shifted, y = a x + b with a = ((1 − p)(1 + p α′²))^(−1/2) and b = −a p α′, which undoes the change of mean
    and variance.

    Args:
        x: floating-point.
        p: the probability to drop an element.
        training: if False (the default, as in PyTorch), x itself is returned.

    Source: Klambauer et al., "Self-normalizing neural networks", arXiv 1706.02515.
    """
    return x if _idle(x, p, training, "alpha_dropout") else _alpha_drop(x, x.shape, p)


def feature_alpha_dropout(x: Any, p: float = 0.5, training: bool = False) -> Any:
    """`alpha_dropout` of whole channels, axis 1 of x."""
    if _idle(x, p, training, "feature_alpha_dropout"):
        return x
    if x.ndim < 2:
        raise ValueError(f"feature_alpha_dropout: input has shape {x.shape}, and must have channels on axis 1")
    return _alpha_drop(x, x.shape[:2] + (1,) * (x.ndim - 2), p)


def _alpha_drop(x: Any, shape: tuple[int, ...], p: float) -> Any:
    if p == 1:
        return Dropout(np.zeros(shape, x.dtype))(x)
    saturated = -SELU_SCALE * SELU_ALPHA
    a = ((1 - p) * (1 + p * saturated**2)) ** -0.5
    b = -a * p * saturated
    keep = _keep(shape, p)
    noise = keep * x.dtype.type(a)
    return Dropout(noise, np.where(keep, b, a * saturated + b).astype(x.dtype))(x)
