"""Activations: the ReLU family, the smooth ones, and softmax."""

from typing import Any

import numpy as np

from minigrad.autograd import Function
from minigrad.autograd.modes import modes
from minigrad.kernels import activation as kernels
from minigrad.ops.dims import accepts_dim, normalize_axes
from minigrad.ops.elementwise import cast
from minigrad.ops.reduction import sum
from minigrad.ops.shape import reshape
from minigrad.ops.unary import exp


def check_float(x: Any, op: str) -> None:
    """Refuse integers and booleans, whose activation would be rounded or has no gradient."""
    if x.dtype.kind != "f":
        raise TypeError(f"{op}: input is {x.dtype}, and must be floating-point: convert it first, x.float()")


# -- piecewise linear ---------------------------------------------------------------------------------------


class Gate(Function):
    """g where x > 0, and slope · g elsewhere. Linear in g; in x it is piecewise constant.

    This is the backward rule of `ReLU` and of `LeakyReLU`, and its own rule too.
    """

    def __init__(self, slope: float = 0.0):
        self.slope = slope

    def forward(self, g: Any, x: Any) -> Any:
        self.save_for_backward(x)
        out = np.empty(g.shape, g.dtype)
        kernels.gate(g.size, g.ravel(), x.ravel(), self.slope, out.reshape(-1))
        return out

    def backward(self, g: Any) -> Any:
        (x,) = self.saved
        return Gate(self.slope)(g, x), None


class ReLU(Function):
    """y = max(x, 0):  ∂y/∂x = 1 where x > 0, else 0."""

    def forward(self, x: Any) -> Any:
        if x.dtype.kind != "f":
            return np.maximum(x, 0)
        y = np.empty(x.shape, x.dtype)
        flat = x.ravel()
        kernels.gate(x.size, flat, flat, 0.0, y.reshape(-1))
        self.save_for_backward(y)  # it tells where x > 0 as well as x does, and the next layer keeps it anyway
        return y

    def backward(self, g: Any) -> Any:
        (y,) = self.saved
        return Gate()(g, y)


def relu(x: Any) -> Any:
    """max(x, 0), elementwise. Its gradient at 0 is 0.

    Example:
        >>> import minigrad as mg
        >>> mg.nn.functional.relu(mg.tensor([-1.0, 0.0, 2.0])).tolist()
        [0.0, 0.0, 2.0]
    """
    return ReLU()(x)


class LeakyReLU(Function):
    """y = x where x > 0, and slope · x elsewhere."""

    def __init__(self, slope: float):
        self.slope = slope

    def forward(self, x: Any) -> Any:
        self.save_for_backward(x)
        y = np.empty(x.shape, x.dtype)
        flat = x.ravel()
        kernels.gate(x.size, flat, flat, self.slope, y.reshape(-1))
        return y

    def backward(self, g: Any) -> Any:
        (x,) = self.saved
        return Gate(self.slope)(g, x)


def leaky_relu(x: Any, negative_slope: float = 0.01) -> Any:
    """x where x > 0, and negative_slope · x elsewhere. Its gradient at 0 is negative_slope."""
    check_float(x, "leaky_relu")
    return LeakyReLU(float(negative_slope))(x)


# -- softmax ------------------------------------------------------------------------------------------------


class _AlongAxis(Function):
    """A function of the rows along one axis. Its kernel works on the rows of a contiguous 2-d array."""

    kernel: Any = None

    def __init__(self, axis: int):
        self.axis = axis

    def _apply(self, *arrays: Any) -> Any:
        moved = [np.moveaxis(a, self.axis, -1) for a in arrays]
        shape = moved[0].shape
        out = np.empty(shape, arrays[0].dtype)
        if out.size:
            rows = [np.ascontiguousarray(a).reshape(-1, shape[-1]) for a in moved]
            type(self).kernel(out.size, *rows, out.reshape(-1, shape[-1]))
        return np.moveaxis(out, -1, self.axis)


class Softmax(_AlongAxis):
    """y = eˣ / Σ eˣ:  ∂⟨g, y⟩/∂x = y (g − Σ g y)."""

    kernel = kernels.softmax

    def forward(self, x: Any) -> Any:
        y = self._apply(x)
        self.save_for_backward(y)
        return y

    def backward(self, g: Any) -> Any:
        (y,) = self.saved
        return SoftmaxBackward(self.axis)(g, y)


class SoftmaxBackward(_AlongAxis):
    """u = y (g − Σ g y). It is linear in g, and symmetric: its rule for g is itself."""

    kernel = kernels.softmax_backward

    def forward(self, g: Any, y: Any) -> Any:
        self.save_for_backward(g, y)
        return self._apply(g, y)

    def backward(self, v: Any) -> Any:
        g, y = self.saved
        for_g = SoftmaxBackward(self.axis)(v, y) if self.needs(0) else None
        for_y = None
        if self.needs(1):
            for_y = v * (g - sum(g * y, self.axis, True)) - g * sum(v * y, self.axis, True)
        return for_g, for_y


class LogSoftmax(_AlongAxis):
    """y = x − log Σ eˣ:  ∂⟨g, y⟩/∂x = g − eʸ Σ g."""

    kernel = kernels.log_softmax

    def forward(self, x: Any) -> Any:
        y = self._apply(x)
        self.save_for_backward(y)
        return y

    def backward(self, g: Any) -> Any:
        (y,) = self.saved
        return LogSoftmaxBackward(self.axis)(g, y)


class LogSoftmaxBackward(_AlongAxis):
    """u = g − eʸ Σ g."""

    kernel = kernels.log_softmax_backward

    def forward(self, g: Any, y: Any) -> Any:
        self.save_for_backward(g, y)
        return self._apply(g, y)

    def backward(self, v: Any) -> Any:
        g, y = self.saved
        p = exp(y)
        for_g = v - sum(v * p, self.axis, True) if self.needs(0) else None
        for_y = -v * p * sum(g, self.axis, True) if self.needs(1) else None
        return for_g, for_y


@accepts_dim
def softmax(x: Any, axis: int, dtype: Any = None) -> Any:
    """The probabilities eˣ / Σ eˣ along `axis`: positive, and their sum is 1.

    Safe for values of any size, and for −∞ (probability 0). A row of nothing but −∞ gives NaN, as in PyTorch.

    Args:
        x: scores, floating-point.
        axis: along which the sum is 1.
        dtype: convert x to it first.

    Example:
        >>> import minigrad as mg
        >>> mg.nn.functional.softmax(mg.tensor([1000.0, 1000.0]), dim=0).tolist()
        [0.5, 0.5]
    """
    return _along_axis(Softmax, _composed_softmax, x, axis, dtype, "softmax")


@accepts_dim
def log_softmax(x: Any, axis: int, dtype: Any = None) -> Any:
    """log softmax(x) = x − log Σ eˣ along `axis`, computed so that it is exact where softmax rounds to 0.

    Args:
        x: scores, floating-point.
        axis: along which the probabilities sum to 1.
        dtype: convert x to it first.

    Example:
        >>> import minigrad as mg
        >>> mg.nn.functional.log_softmax(mg.tensor([0.0, 1000.0]), dim=0).tolist()
        [-1000.0, 0.0]
    """
    return _along_axis(LogSoftmax, None, x, axis, dtype, "log_softmax")


@accepts_dim
def softmin(x: Any, axis: int, dtype: Any = None) -> Any:
    """softmax(−x) along `axis`: the smallest value gets the largest probability."""
    return softmax(-x, axis, dtype)


def _along_axis(op: Any, composed: Any, x: Any, axis: int, dtype: Any, name: str) -> Any:
    if dtype is not None:
        x = cast(x, dtype)
    check_float(x, name)
    if x.ndim == 0:  # one number is a row of length 1
        return reshape(_along_axis(op, composed, reshape(x, (1,)), axis, None, name), ())
    (axis,) = normalize_axes(axis, x.ndim, name)
    return composed(x, axis) if modes.composed and composed else op(axis)(x)


def _largest(x: Any, axis: int) -> Any:
    """max x, as a constant: softmax does not change when one number is taken from all scores."""
    array = x if isinstance(x, np.ndarray) else x.data
    return array.max(axis=axis, keepdims=True) if array.size else np.zeros((1,) * array.ndim, array.dtype)


def _composed_softmax(x: Any, axis: int) -> Any:
    e = exp(x - _largest(x, axis))
    return e / sum(e, axis, True)
