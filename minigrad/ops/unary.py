"""Functions of one number, applied to each element: exponentials, logarithms, roots, trigonometry, rounding.

Each op consists of a NumPy function and its slope. Outside their domain they give no warning, as in PyTorch: log(0) is
−∞, √−1 is NaN.
"""

import math
from typing import Any

import numpy as np

from minigrad.autograd import Function
from minigrad.kernels import special
from minigrad.ops.elementwise import cast, no_slope


class OfInput(Function):
    """y = f(x) with the slope f′ written in terms of x."""

    function: Any = None

    def forward(self, x: Any) -> Any:
        self.save_for_backward(x)
        with np.errstate(all="ignore"):
            return type(self).function(x)

    def backward(self, g: Any) -> Any:
        (x,) = self.saved
        return g * self.slope(x)

    def slope(self, x: Any) -> Any:
        raise NotImplementedError


class OfOutput(Function):
    """y = f(x) with the slope f′ written in terms of y, so that x is not kept."""

    function: Any = None

    def forward(self, x: Any) -> Any:
        with np.errstate(all="ignore"):
            y = type(self).function(x)
        self.save_for_backward(y)
        return y

    def backward(self, g: Any) -> Any:
        (y,) = self.saved
        return g * self.slope(y)

    def slope(self, y: Any) -> Any:
        raise NotImplementedError


class Step(Function):
    """y = f(x) for a step function: its slope is 0."""

    function: Any = None

    def forward(self, x: Any) -> Any:
        return type(self).function(x)

    def backward(self, g: Any) -> Any:
        return no_slope(g)


def floating(x: Any) -> Any:
    """`x` itself, or integers and booleans as float32."""
    if not hasattr(x, "dtype"):
        x = np.asarray(x, np.float32)
    return x if x.dtype.kind == "f" else cast(x, np.float32)


# -- exponentials and logarithms --------------------------------------------------------------------------


class Exp(OfOutput):
    """y = eˣ:  y′ = y."""

    function = np.exp

    def slope(self, y: Any) -> Any:
        return y


class Exp2(OfOutput):
    """y = 2ˣ:  y′ = y log 2."""

    function = np.exp2

    def slope(self, y: Any) -> Any:
        return y * math.log(2)


class Expm1(OfOutput):
    """y = eˣ − 1:  y′ = y + 1."""

    function = np.expm1

    def slope(self, y: Any) -> Any:
        return y + 1


class Log(OfInput):
    """y = log x:  y′ = 1/x."""

    function = np.log

    def slope(self, x: Any) -> Any:
        return 1 / x


class Log2(OfInput):
    """y = log₂ x:  y′ = 1/(x log 2)."""

    function = np.log2

    def slope(self, x: Any) -> Any:
        return 1 / (x * math.log(2))


class Log10(OfInput):
    """y = log₁₀ x:  y′ = 1/(x log 10)."""

    function = np.log10

    def slope(self, x: Any) -> Any:
        return 1 / (x * math.log(10))


class Log1p(OfInput):
    """y = log(1 + x):  y′ = 1/(1 + x)."""

    function = np.log1p

    def slope(self, x: Any) -> Any:
        return 1 / (x + 1)


def exp(input: Any) -> Any:
    """eˣ."""
    return Exp()(floating(input))


def exp2(input: Any) -> Any:
    """2ˣ."""
    return Exp2()(floating(input))


def expm1(input: Any) -> Any:
    """eˣ − 1, exact also for small x."""
    return Expm1()(floating(input))


def log(input: Any) -> Any:
    """The natural logarithm; −∞ at 0, NaN below."""
    return Log()(floating(input))


def log2(input: Any) -> Any:
    """The logarithm to base 2."""
    return Log2()(floating(input))


def log10(input: Any) -> Any:
    """The logarithm to base 10."""
    return Log10()(floating(input))


def log1p(input: Any) -> Any:
    """log(1 + x), exact also for small x."""
    return Log1p()(floating(input))


# -- roots and reciprocals --------------------------------------------------------------------------------


class Sqrt(OfOutput):
    """y = √x:  y′ = 1/(2y), which is ∞ at 0."""

    function = np.sqrt

    def slope(self, y: Any) -> Any:
        return 0.5 / y


class Rsqrt(OfOutput):
    """y = 1/√x:  y′ = −y³/2."""

    @staticmethod
    def function(x: Any) -> Any:
        return 1 / np.sqrt(x)

    def slope(self, y: Any) -> Any:
        return y * y * y * -0.5


class Reciprocal(OfOutput):
    """y = 1/x:  y′ = −y²."""

    @staticmethod
    def function(x: Any) -> Any:
        return 1 / x

    def slope(self, y: Any) -> Any:
        return -(y * y)


class Abs(OfInput):
    """y = |x|:  y′ = sign x, and 0 at the kink."""

    function = np.abs

    def slope(self, x: Any) -> Any:
        return sign(x)


def sqrt(input: Any) -> Any:
    """√x; NaN below 0. Its gradient at 0 is ∞."""
    return Sqrt()(floating(input))


def rsqrt(input: Any) -> Any:
    """1/√x."""
    return Rsqrt()(floating(input))


def reciprocal(input: Any) -> Any:
    """1/x."""
    return Reciprocal()(floating(input))


def abs(input: Any) -> Any:
    """|x|. Its gradient at 0 is 0."""
    return Abs()(input)


# -- trigonometry -----------------------------------------------------------------------------------------


class Sin(OfInput):
    """y = sin x:  y′ = cos x."""

    function = np.sin

    def slope(self, x: Any) -> Any:
        return cos(x)


class Cos(OfInput):
    """y = cos x:  y′ = −sin x."""

    function = np.cos

    def slope(self, x: Any) -> Any:
        return -sin(x)


class Tan(OfOutput):
    """y = tan x:  y′ = 1 + y²."""

    function = np.tan

    def slope(self, y: Any) -> Any:
        return y * y + 1


class Asin(OfInput):
    """y = arcsin x:  y′ = 1/√(1 − x²)."""

    function = np.arcsin

    def slope(self, x: Any) -> Any:
        return rsqrt(1 - x * x)


class Acos(OfInput):
    """y = arccos x:  y′ = −1/√(1 − x²)."""

    function = np.arccos

    def slope(self, x: Any) -> Any:
        return -rsqrt(1 - x * x)


class Atan(OfInput):
    """y = arctan x:  y′ = 1/(1 + x²)."""

    function = np.arctan

    def slope(self, x: Any) -> Any:
        return 1 / (x * x + 1)


def sin(input: Any) -> Any:
    """The sine of x (in radians)."""
    return Sin()(floating(input))


def cos(input: Any) -> Any:
    """The cosine of x (in radians)."""
    return Cos()(floating(input))


def tan(input: Any) -> Any:
    """The tangent of x (in radians)."""
    return Tan()(floating(input))


def asin(input: Any) -> Any:
    """The angle in [−π/2, π/2] whose sine is x; NaN outside [−1, 1]."""
    return Asin()(floating(input))


def acos(input: Any) -> Any:
    """The angle in [0, π] whose cosine is x; NaN outside [−1, 1]."""
    return Acos()(floating(input))


def atan(input: Any) -> Any:
    """The angle in (−π/2, π/2) whose tangent is x."""
    return Atan()(floating(input))


# -- hyperbolic and sigmoid functions ---------------------------------------------------------------------


class Sinh(OfInput):
    """y = sinh x:  y′ = cosh x."""

    function = np.sinh

    def slope(self, x: Any) -> Any:
        return cosh(x)


class Cosh(OfInput):
    """y = cosh x:  y′ = sinh x."""

    function = np.cosh

    def slope(self, x: Any) -> Any:
        return sinh(x)


class Tanh(OfOutput):
    """y = tanh x:  y′ = 1 − y²."""

    function = np.tanh

    def slope(self, y: Any) -> Any:
        return 1 - y * y


class Sigmoid(OfOutput):
    """y = 1/(1 + e⁻ˣ):  y′ = y (1 − y)."""

    @staticmethod
    def function(x: Any) -> Any:
        # Where e⁻ˣ overflows to ∞, the quotient is 0, which is right.
        return 1 / (1 + np.exp(-x))

    def slope(self, y: Any) -> Any:
        return y * (1 - y)


class Erf(OfInput):
    """y = erf x:  y′ = 2/√π · e^(−x²)."""

    function = staticmethod(special.erf)

    def slope(self, x: Any) -> Any:
        return exp(-(x * x)) * (2 / math.sqrt(math.pi))


class Erfc(OfInput):
    """y = 1 − erf x:  y′ = −2/√π · e^(−x²)."""

    function = staticmethod(special.erfc)

    def slope(self, x: Any) -> Any:
        return exp(-(x * x)) * (-2 / math.sqrt(math.pi))


def sinh(input: Any) -> Any:
    """The hyperbolic sine (eˣ − e⁻ˣ)/2."""
    return Sinh()(floating(input))


def cosh(input: Any) -> Any:
    """The hyperbolic cosine (eˣ + e⁻ˣ)/2."""
    return Cosh()(floating(input))


def tanh(input: Any) -> Any:
    """The hyperbolic tangent (eˣ − e⁻ˣ)/(eˣ + e⁻ˣ)."""
    return Tanh()(floating(input))


def sigmoid(input: Any) -> Any:
    """1/(1 + e⁻ˣ)."""
    return Sigmoid()(floating(input))


def erf(input: Any) -> Any:
    """The error function 2/√π ∫₀ˣ e^(−t²) dt."""
    return Erf()(floating(input))


def erfc(input: Any) -> Any:
    """1 − erf x, exact also for large x, where erf x is almost 1."""
    return Erfc()(floating(input))


# -- steps ------------------------------------------------------------------------------------------------


class Sign(Step):
    """y = −1, 0 or 1."""

    function = np.sign


class Floor(Step):
    """y = ⌊x⌋."""

    function = np.floor


class Ceil(Step):
    """y = ⌈x⌉."""

    function = np.ceil


class Trunc(Step):
    """y = x without its fraction."""

    function = np.trunc


class Round(Step):
    """y = the integer nearest to 10ᵈ x, over 10ᵈ."""

    def __init__(self, decimals: int):
        self.decimals = decimals

    def forward(self, x: Any) -> Any:
        return np.round(x, self.decimals)


def sign(input: Any) -> Any:
    """−1, 0 or 1, as x is negative, zero or positive. Its gradient is 0."""
    return Sign()(input)


def floor(input: Any) -> Any:
    """The largest integer that is not above x. Its gradient is 0."""
    return Floor()(input)


def ceil(input: Any) -> Any:
    """The smallest integer that is not below x. Its gradient is 0."""
    return Ceil()(input)


def trunc(input: Any) -> Any:
    """x without its fraction. Its gradient is 0."""
    return Trunc()(input)


def round(input: Any, decimals: int = 0) -> Any:
    """The nearest number with `decimals` decimals; a half goes to the even neighbour. The gradient is 0."""
    return Round(decimals)(input)


def logit(input: Any, eps: float | None = None) -> Any:
    """log(x / (1 − x)), the inverse of `sigmoid`; with `eps`, x is first limited to [eps, 1 − eps]."""
    if eps is not None:
        from minigrad.ops.compare import clip

        input = clip(input, eps, 1 - eps)
    return log(input) - log1p(-input)
