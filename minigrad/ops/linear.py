"""The affine map of a layer, y = x Wᵀ + b, as one graph op."""

from typing import Any

import numpy as np

from minigrad.autograd import Function
from minigrad.autograd.tensor import raw
from minigrad.kernels.sums import LONG
from minigrad.ops.elementwise import sum_to
from minigrad.ops.linalg import matmul
from minigrad.ops.shape import transpose


class Linear(Function):
    """y = x Wᵀ + b over the last axis:  ∂⟨G, y⟩/∂x = G W,  ∂⟨G, y⟩/∂W = Gᵀ x,  ∂⟨G, y⟩/∂b = Σ G.

    It joins a transpose, a product and a sum: one node instead of three, and no copy of W. Leading axes are merged
    into one, because NumPy would compute a separate product for each of them.
    """

    def forward(self, x: Any, weight: Any, bias: Any) -> Any:
        self.save_for_backward(x, weight)
        y = _times_transposed(_rows(x), weight)
        if bias is not None:
            y += bias  # nothing else uses y yet
        return y if x.ndim == 2 else y.reshape(*x.shape[:-1], weight.shape[0])

    def composed(self, x: Any, weight: Any, bias: Any) -> Any:
        y = matmul(x, transpose(weight, 0, 1))
        return y if bias is None else y + bias

    def backward(self, g: Any) -> Any:
        x, weight = self.saved
        rows = _rows(g)
        gx = gw = gb = None
        if self.needs(0):
            gx = rows @ weight
            gx = gx if x.ndim == 2 else gx.reshape(x.shape)
        if self.needs(1):
            gw = rows.T @ _rows(x)
        if self.needs(2):
            gb = rows.sum(0) if rows.shape[0] < LONG else sum_to(rows, weight.shape[:1])
        return gx, gw, gb


def _rows(x: Any) -> Any:
    return x if x.ndim == 2 else x.reshape(int(np.prod(x.shape[:-1])), x.shape[-1])


def _times_transposed(rows: Any, weight: Any) -> Any:
    """X Wᵀ. BLAS rearranges the transposed operand. For few rows, it is cheaper to rearrange X than a large W."""
    if 8 <= rows.shape[0] <= 32 and weight.size >= 1 << 14:
        return (weight @ rows.T).T.copy()
    return rows @ weight.T


def linear(input: Any, weight: Any, bias: Any = None) -> Any:
    """y = x Wᵀ + b, over the last axis.

    Args:
        x: (..., in_features).
        weight: W, (out_features, in_features), or (in_features,) for one feature whose axis is dropped from y.
        bias: b, (out_features,), or None.

    Raises:
        ValueError: shapes that do not fit.
        TypeError: dtypes that differ.

    Example:
        >>> import minigrad as mg
        >>> mg.nn.functional.linear(mg.ones(2, 3), mg.ones(4, 3)).shape
        (2, 4)
    """
    array, w, b = raw(input), raw(weight), raw(bias)
    shape = w.shape
    if len(shape) == 1:
        y = linear(input, weight.reshape(1, -1), None if bias is None else bias.reshape(1))
        return y.reshape(y.shape[:-1])
    if len(shape) != 2 or array.shape[-1:] != shape[1:]:
        raise ValueError(
            f"linear: the input has shape {input.shape} and weight {shape}; the last axis of the input must be as "
            "long as that of weight, (out_features, in_features)"
        )
    if b is not None and b.shape != shape[:1]:
        raise ValueError(f"linear: bias has shape {bias.shape}, and must have {shape[:1]}: one for each row of weight")
    if array.dtype != w.dtype or (b is not None and b.dtype != w.dtype) or w.dtype.kind != "f":
        raise TypeError(
            f"linear: the input is {input.dtype}, weight {weight.dtype}"
            + ("" if bias is None else f" and bias {bias.dtype}")
            + "; bring them to one floating-point dtype, x.float() or module.double()"
        )
    return Linear()(input, weight, bias)
