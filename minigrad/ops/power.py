"""Powers, with a number or a tensor as the exponent."""

from typing import Any

import numpy as np

from minigrad.autograd import Function
from minigrad.autograd.tensor import raw
from minigrad.ops.compare import where
from minigrad.ops.elementwise import mul, no_slope, operands, sum_to
from minigrad.ops.unary import log


class Power(Function):
    """y = xⁿ for a constant n:  ∂y/∂x = n xⁿ⁻¹, and 0 for n = 0 even at x = 0."""

    def __init__(self, exponent: float):
        self.exponent = exponent

    def forward(self, x: Any) -> Any:
        self.save_for_backward(x)
        with np.errstate(all="ignore"):
            return x**self.exponent

    def backward(self, g: Any) -> Any:
        (x,) = self.saved
        n = self.exponent
        if n == 2:
            return g * x * 2
        return g * (n * pow(x, n - 1)) if n else no_slope(g)


class TensorPower(Function):
    """z = xʸ:  ∂z/∂x = y xʸ⁻¹,  ∂z/∂y = z log x.

    At x = 0 these formulas may give 0 · ∞. As in PyTorch, ∂z/∂x = 0 where y = 0, and ∂z/∂y = 0 where x = 0 and y ≥ 0:
    both are the limits. The guards change the arguments, not the results: a product 0 · ∞ that is computed and not
    used would still make the second derivative NaN.
    """

    def forward(self, x: Any, y: Any) -> Any:
        with np.errstate(all="ignore"):
            z = np.power(x, y)
        self.save_for_backward(x, y, z)
        return z

    def backward(self, g: Any) -> Any:
        x, y, z = self.saved
        gx = gy = None
        if self.needs(0):
            gx = sum_to(g * (y * pow(x, where(raw(y) == 0, 1.0, y) - 1)), x.shape)
        if self.needs(1):
            flat = (raw(x) == 0) & (raw(y) >= 0)
            gy = sum_to(g * (z * log(where(flat, 1.0, x))), y.shape)
        return gx, gy


def pow(input: Any, exponent: Any) -> Any:
    """xʸ, with broadcasting; x or y may be a number.

    0⁰ is 1, and a negative base with a fractional exponent gives NaN, as in C. The gradients where x = 0 or
    y = 0 are those of PyTorch: see `TensorPower`.
    """
    input, exponent = operands(input, exponent)
    if isinstance(exponent, float | int):
        return Power(exponent)(input)
    if isinstance(input, float | int):
        input = np.asarray(input, exponent.dtype)
    return TensorPower()(input, exponent)


def square(input: Any) -> Any:
    """x²."""
    return mul(input, input)
