"""Activations: the ReLU family, the smooth ones, and softmax."""

import math
import warnings
from typing import Any

import numpy as np

from minigrad.autograd import Function, Tensor
from minigrad.autograd.modes import modes
from minigrad.autograd.tensor import raw
from minigrad.kernels import activation as kernels
from minigrad.ops.compare import where
from minigrad.ops.dims import accepts_dim, normalize_axes
from minigrad.ops.elementwise import cast, sum_to
from minigrad.ops.random import generator
from minigrad.ops.reduction import sum
from minigrad.ops.shape import chunk, reshape
from minigrad.ops.unary import OfInput, erfc, exp, expm1, log, sigmoid, tanh


def check_float(x: Any, op: str) -> None:
    """Refuse integers and booleans, whose activation would be rounded or has no gradient."""
    dtype = x.array.dtype if isinstance(x, Tensor) else getattr(x, "dtype", None)
    if dtype is None:
        raise TypeError(f"{op}: input is a {type(x).__name__}, and must be a tensor: mg.tensor(...)")
    if dtype.kind != "f":
        raise TypeError(f"{op}: input is {dtype}, and must be floating-point: convert it first, x.float()")


def placed(y: Any, x: Any, inplace: bool, op: str) -> Any:
    """y; with `inplace`, x, which then holds the values of y, and takes the place of y in the graph."""
    if not inplace or y is x:
        return y
    op = f"{op}(inplace=True)"
    if not isinstance(x, Tensor):
        np.copyto(x, y)
        return x
    if x._is_recorded_with(y):
        return x._become(op, y)
    return x._change(op, lambda a, b: np.copyto(a, b, casting="same_kind"), y)


# -- piecewise linear ---------------------------------------------------------------------------------------


class Gate(Function):
    """g where x > 0, and slope · g elsewhere. Linear in g; in x it is piecewise constant.

    This is the backward rule of `ReLU` and of `LeakyReLU`, and also its own backward rule.
    """

    def __init__(self, slope: float = 0.0):
        self.slope = slope

    def forward(self, g: Any, x: Any) -> Any:
        self.save_for_backward(x)
        out = np.empty(g.shape, g.dtype)
        kernels.gate(g.size, g.ravel(), x.ravel(), self.slope, out.ravel())
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
        kernels.gate(x.size, flat, flat, 0.0, y.ravel())
        self.save_for_backward(y)  # y shows where x > 0 as well as x does, and the next layer keeps y anyway
        return y

    def backward(self, g: Any) -> Any:
        (y,) = self.saved
        return Gate()(g, y)


def relu(input: Any, inplace: bool = False) -> Any:
    """max(x, 0), elementwise. Its gradient at 0 is 0.

    Example:
        >>> import minigrad as mg
        >>> mg.nn.functional.relu(mg.tensor([-1.0, 0.0, 2.0])).tolist()
        [0.0, 0.0, 2.0]
    """
    return placed(ReLU()(input), input, inplace, "relu")


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


def leaky_relu(input: Any, negative_slope: float = 0.01, inplace: bool = False) -> Any:
    """x where x > 0, and negative_slope · x elsewhere. Its gradient at 0 is negative_slope."""
    check_float(input, "leaky_relu")
    return placed(LeakyReLU(float(negative_slope))(input), input, inplace, "leaky_relu")


class PReLU(Function):
    """y = x where x > 0, and w · x elsewhere, w being learned; w is broadcast to x."""

    def forward(self, x: Any, w: Any) -> Any:
        self.save_for_backward(x, w)
        self.positive = x > 0
        return np.where(self.positive, x, w * x)

    def backward(self, g: Any) -> Any:
        x, w = self.saved
        # Choose the factors, then multiply: a product 0 · ∞ that is computed and not used would still make the second
        # derivative NaN.
        gx = g * where(self.positive, 1.0, w) if self.needs(0) else None
        gw = sum_to(where(self.positive, 0.0, g * where(self.positive, 0.0, x)), w.shape) if self.needs(1) else None
        return gx, gw


def prelu(input: Any, weight: Any) -> Any:
    """x where x > 0, and weight · x elsewhere: a leaky ReLU whose slope is learned.

    Args:
        input: any shape; its axis 1 holds the channels.
        weight: one slope, (1,) or 0-d, or one for each channel, (C,).

    Source: He et al., arXiv 1502.01852.
    """
    check_float(input, "prelu")
    channels = input.shape[1] if input.ndim > 1 else 1
    if weight.ndim > 1 or weight.shape not in ((), (1,), (channels,)):
        raise ValueError(
            f"prelu: weight has shape {weight.shape}, and must hold one slope, or one for each of the {channels} "
            f"channels (axis 1) of input, which has shape {input.shape}"
        )
    if weight.ndim and input.ndim > 1:
        weight = reshape(weight, (-1, *(1,) * (input.ndim - 2)))
    return PReLU()(input, reshape(weight, ()) if input.ndim == 0 else weight)


class HardTanh(Function):
    """y = min(max(x, low), high):  ∂y/∂x = 1 strictly between the limits, else 0."""

    def __init__(self, low: float, high: float):
        self.low, self.high = low, high

    def forward(self, x: Any) -> Any:
        self.inside = (x > self.low) & (x < self.high)
        return np.clip(x, self.low, self.high)

    def backward(self, g: Any) -> Any:
        return Gate()(g, self.inside)


def hardtanh(input: Any, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Any:
    """x, limited to the range from min_val to max_val. At the limits themselves the gradient is 0."""
    if min_val > max_val:
        raise ValueError(f"hardtanh: min_val={min_val} is larger than max_val={max_val}")
    check_float(input, "hardtanh")
    return placed(HardTanh(min_val, max_val)(input), input, inplace, "hardtanh")


def relu6(input: Any, inplace: bool = False) -> Any:
    """min(max(x, 0), 6). At 0 and 6 the gradient is 0."""
    return hardtanh(input, 0.0, 6.0, inplace)


def hardsigmoid(input: Any, inplace: bool = False) -> Any:
    """min(max(x/6 + 1/2, 0), 1): a sigmoid of three straight lines."""
    return placed(hardtanh(input, -3.0, 3.0) / 6 + 0.5, input, inplace, "hardsigmoid")


class HardSwish(Function):
    """y = x · hardsigmoid(x):  ∂y/∂x = 0 up to −3, x/3 + 1/2 in the middle, 1 from 3."""

    def forward(self, x: Any) -> Any:
        self.save_for_backward(x)
        self.inside, self.above = (
            ~((x <= -3) | (x >= 3)),
            x >= 3,
        )  # NaN counts as inside, and passes on to the gradient
        return x * (np.clip(x, -3, 3) / 6 + 0.5)

    def backward(self, g: Any) -> Any:
        (x,) = self.saved
        return where(self.inside, g * (where(self.inside, x, 0.0) / 3 + 0.5), Gate()(g, self.above))


def hardswish(input: Any, inplace: bool = False) -> Any:
    """x · hardsigmoid(x): 0 up to −3, x from 3, a parabola between. Source: Howard et al., arXiv 1905.02244."""
    check_float(input, "hardswish")
    return placed(HardSwish()(input), input, inplace, "hardswish")


def threshold(input: Any, threshold: float, value: float, inplace: bool = False) -> Any:
    """x where x > threshold, and value elsewhere."""
    low = raw(input) <= threshold
    return placed(where(low, np.asarray(value, input.dtype), input), input, inplace, "threshold")


def rrelu(
    input: Any, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False, inplace: bool = False
) -> Any:
    """x where x > 0, and a · x elsewhere: a leaky ReLU whose slope is random in training.

    Args:
        input: floating-point.
        lower, upper: a is drawn from U(lower, upper), for each element.
        training: if False, a = (lower + upper)/2.
        inplace: write the result into the input, and return that.

    Source: Xu et al., arXiv 1505.00853.
    """
    check_float(input, "rrelu")
    if lower > upper:
        raise ValueError(f"rrelu: lower={lower} is larger than upper={upper}")
    if not training:
        return leaky_relu(input, (lower + upper) / 2, inplace)
    slopes = generator().uniform(lower, upper, input.shape).astype(input.dtype)
    return placed(where(raw(input) > 0, input, input * slopes), input, inplace, "rrelu")


def hardshrink(input: Any, lambd: float = 0.5) -> Any:
    """x, and 0 where |x| ≤ λ."""
    check_float(input, "hardshrink")
    return where(np.abs(raw(input)) <= lambd, np.zeros((), input.dtype), input)


def softshrink(input: Any, lambd: float = 0.5) -> Any:
    """x − λ where x > λ, x + λ where x < −λ, and 0 between: small values are treated as noise."""
    check_float(input, "softshrink")
    if lambd < 0:
        raise ValueError(f"softshrink: lambd must be at least 0, got {lambd}")
    array = raw(input)
    small, shift = np.abs(array) <= lambd, np.sign(array) * array.dtype.type(lambd)
    return where(small, np.zeros((), input.dtype), input - shift)


# -- smooth -------------------------------------------------------------------------------------------------


class ELU(Function):
    """y = s x where x > 0, and d (eᵏˣ − 1) elsewhere, with positive s and k and d ≥ 0:  ∂y/∂x = s, and k (y + d).

    s is the scale. d is the depth: y approaches −d for x → −∞. k is the rate of this approach.
    """

    def __init__(self, scale: float, depth: float, rate: float):
        self.scale, self.depth, self.rate = scale, depth, rate

    def forward(self, x: Any) -> Any:
        y = np.empty(x.shape, x.dtype)
        elu = kernels.elu_float32 if x.itemsize == 4 else kernels.elu_float64
        elu(x.size, x.ravel(), self.scale, self.depth, self.rate, y.ravel())
        self.save_for_backward(y)  # y shows where x > 0 as well as x does, and saves the exponential
        return y

    def backward(self, g: Any) -> Any:
        (y,) = self.saved
        if modes.create_graph:
            return g * where(y > 0, self.scale, (y + self.depth) * self.rate)
        out = np.empty(g.shape, g.dtype)
        kernels.elu_backward(g.size, g.ravel(), y.ravel(), self.scale, self.depth, self.rate, out.ravel())
        return out


SELU_ALPHA = 1.6732632423543772848170429916717
SELU_SCALE = 1.0507009873554804934193349852946


class SELU(ELU):
    """The ELU that normalizes: s = λ, d = λ α, and k = 1."""

    scale, depth, rate = SELU_SCALE, SELU_SCALE * SELU_ALPHA, 1.0

    def __init__(self) -> None:
        pass


def _negative_elu(x: Any, depth: float, rate: float) -> Any:
    """An ELU in small ops, for a negative α or one without a limit: then the output does not show where x > 0."""
    return where(x > 0, x, expm1(where(x > 0, 0.0, x) * rate) * depth)


def elu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Any:
    """x where x > 0, and α (eˣ − 1) elsewhere. Source: Clevert et al., arXiv 1511.07289."""
    check_float(input, "elu")
    alpha = float(alpha)
    return placed(
        _negative_elu(input, alpha, 1.0) if alpha < 0 else ELU(1.0, alpha, 1.0)(input), input, inplace, "elu"
    )


def celu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Any:
    """x where x > 0, and α (exp(x/α) − 1) elsewhere: an ELU without a kink for any α.

    Source: Barron, arXiv 1704.07483.
    """
    check_float(input, "celu")
    alpha = float(alpha)
    if alpha == 0:
        raise ZeroDivisionError("celu: alpha is 0, and x/alpha is needed: use relu, the limit for small alpha")
    return placed(
        _negative_elu(input, alpha, 1 / alpha) if alpha < 0 else ELU(1.0, alpha, 1 / alpha)(input),
        input,
        inplace,
        "celu",
    )


def selu(input: Any, inplace: bool = False) -> Any:
    """Scaled exponential linear unit: an activation that moves mean and variance to 0 and 1, layer by layer.

    y = λ x for x > 0,   y = λ α (eˣ − 1) otherwise

    λ = 1.0507 (`SELU_SCALE`) and α = 1.6733 (`SELU_ALPHA`) are chosen so that an x with mean 0 and variance 1 gives a
    y with mean 0 and variance 1. This point attracts: if mean and variance are somewhat off, the layer brings them
    closer to 0 and 1. So a network of such layers normalizes itself and computes no statistics. This needs weights
    with mean 0 and variance 1/fan_in (`nn.init.lecun_normal_`), standardized inputs, and `alpha_dropout` as dropout.

    Shapes:
        input any, output the same.

    Nothing is learned, and nothing changes in evaluation. Keras has the same `selu`; its `lecun_normal` is truncated.
    The claim is proved for fully connected layers. It holds only roughly for convolutions at the edges of a picture,
    where padding adds zeros.

    Source: Klambauer et al., "Self-normalizing neural networks", arXiv 1706.02515.

    Example:
        >>> import minigrad as mg
        >>> y = mg.nn.functional.selu(mg.randn(100_000))
        >>> abs(y.mean().item()) < 0.02, abs(y.var().item() - 1) < 0.02
        (True, True)
    """
    check_float(input, "selu")
    return placed(SELU()(input), input, inplace, "selu")


class GELU(OfInput):
    """y = x Φ(x), Φ being the normal distribution function and φ its density:  ∂y/∂x = Φ(x) + x φ(x)."""

    @staticmethod
    def function(x: Any) -> Any:
        return x * _normal_cdf(x)

    def slope(self, x: Any) -> Any:
        density = exp(x * x * -0.5) * (1 / math.sqrt(2 * math.pi))
        return _normal_cdf(x) + x * density


def _normal_cdf(x: Any) -> Any:
    # Not (1 + erf(x/√2)) / 2, which loses digits for negative x.
    return erfc(x * -math.sqrt(0.5)) * 0.5


class TanhGELU(OfInput):
    """y = x/2 (1 + tanh u),  u = √(2/π) (x + 0.044715 x³):  ∂y/∂x = (1 + tanh u)/2 + x/2 (1 − tanh² u) u′."""

    @staticmethod
    def function(x: Any) -> Any:
        return x * (tanh(_inside_tanh(x)) + 1) * 0.5

    def slope(self, x: Any) -> Any:
        t = tanh(_inside_tanh(x))
        inner_slope = (x * x * (3 * 0.044715) + 1) * math.sqrt(2 / math.pi)
        return ((t + 1) + x * (1 - t * t) * inner_slope) * 0.5


def _inside_tanh(x: Any) -> Any:
    return (x * x * 0.044715 + 1) * x * math.sqrt(2 / math.pi)


def gelu(input: Any, approximate: str = "none") -> Any:
    """x Φ(x), with Φ the standard normal distribution function; or its approximation with a tanh.

    Args:
        input: floating-point.
        approximate: "none" for x Φ(x), "tanh" for x/2 (1 + tanh(√(2/π) (x + 0.044715 x³))).

    Source: Hendrycks and Gimpel, arXiv 1606.08415.
    """
    check_float(input, "gelu")
    if approximate not in ("none", "tanh"):
        raise ValueError(f'gelu: approximate must be "none" or "tanh", not {approximate!r}')
    return GELU()(input) if approximate == "none" else TanhGELU()(input)


class SiLU(OfInput):
    """y = x σ(x):  ∂y/∂x = σ(x) (1 + x (1 − σ(x)))."""

    @staticmethod
    def function(x: Any) -> Any:
        return x * sigmoid(x)

    def slope(self, x: Any) -> Any:
        s = sigmoid(x)
        return s * (x * (1 - s) + 1)


def silu(input: Any, inplace: bool = False) -> Any:
    """x · sigmoid(x), also called swish. Source: Elfwing et al., arXiv 1702.03118."""
    check_float(input, "silu")
    return placed(SiLU()(input), input, inplace, "silu")


class Softplus(Function):
    """y = log(1 + exp(β x)) / β, and x itself where β x > threshold:  ∂y/∂x = σ(β x), and 1."""

    def __init__(self, beta: float, threshold: float):
        self.beta, self.threshold = beta, threshold

    def forward(self, x: Any) -> Any:
        self.save_for_backward(x)
        z = x * self.beta
        self.straight = z > self.threshold
        # log(1 + eᶻ) = max(z, 0) + log(1 + e⁻ᶻ) with |z| in the exponent: nothing overflows.
        y = (np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z)))) / self.beta
        return np.where(self.straight, x, y)

    def backward(self, g: Any) -> Any:
        (x,) = self.saved
        return where(self.straight, g, g * sigmoid(x * self.beta))


def softplus(input: Any, beta: float = 1.0, threshold: float = 20.0) -> Any:
    """log(1 + exp(β x)) / β: a smooth ReLU; x itself where β x > threshold (the difference is below e⁻²⁰)."""
    check_float(input, "softplus")
    return Softplus(beta, threshold)(input)


class LogSigmoid(OfInput):
    """y = log σ(x) = −log(1 + e⁻ˣ):  ∂y/∂x = σ(−x)."""

    @staticmethod
    def function(x: Any) -> Any:
        # |x| in the exponent: nothing overflows.
        return np.minimum(x, 0) - np.log1p(np.exp(-np.abs(x)))

    def slope(self, x: Any) -> Any:
        return sigmoid(-x)


def logsigmoid(input: Any) -> Any:
    """log sigmoid(x), exact also where sigmoid rounds to 0."""
    check_float(input, "logsigmoid")
    return LogSigmoid()(input)


class Mish(OfInput):
    """y = x t,  t = tanh(log(1 + eˣ)):  ∂y/∂x = t + x (1 − t²) σ(x)."""

    @staticmethod
    def function(x: Any) -> Any:
        return x * tanh(softplus(x))

    def slope(self, x: Any) -> Any:
        t = tanh(softplus(x))
        return t + x * (1 - t * t) * sigmoid(x)


def mish(input: Any, inplace: bool = False) -> Any:
    """x · tanh(softplus(x)). Source: Misra, arXiv 1908.08681."""
    check_float(input, "mish")
    return placed(Mish()(input), input, inplace, "mish")


class Softsign(Function):
    """y = x / (1 + |x|):  ∂y/∂x = 1 / (1 + |x|)²."""

    def forward(self, x: Any) -> Any:
        self.save_for_backward(x)
        self.sign = np.sign(x)
        return x / (1 + np.abs(x))

    def backward(self, g: Any) -> Any:
        (x,) = self.saved
        d = x * self.sign + 1
        return g / (d * d)


def softsign(input: Any) -> Any:
    """x / (1 + |x|): between −1 and 1, and approaches them more slowly than tanh."""
    check_float(input, "softsign")
    return Softsign()(input)


def tanhshrink(input: Any) -> Any:
    """x − tanh x."""
    check_float(input, "tanhshrink")
    return input - tanh(input)


@accepts_dim
def glu(input: Any, axis: int = -1) -> Any:
    """a · sigmoid(b), where a and b are the first and the second half of x along `axis`.

    Source: Dauphin et al., arXiv 1612.08083.
    """
    check_float(input, "glu")
    if input.ndim == 0:
        raise ValueError("glu: input is 0-d, and there is no axis to halve")
    (axis,) = normalize_axes(axis, input.ndim, "glu")
    n = input.shape[axis]
    if n % 2:
        raise ValueError(f"glu: axis {axis} of input has length {n}, which is odd and cannot be halved")
    a, b = chunk(input, 2, axis)
    return a * sigmoid(b)


# -- names of PyTorch's for inplace=True ----------------------------------------------------------------------


def relu_(input: Any) -> Any:
    """`relu`, in place."""
    return relu(input, True)


def leaky_relu_(input: Any, negative_slope: float = 0.01) -> Any:
    """`leaky_relu`, in place."""
    return leaky_relu(input, negative_slope, True)


def hardtanh_(input: Any, min_val: float = -1.0, max_val: float = 1.0) -> Any:
    """`hardtanh`, in place."""
    return hardtanh(input, min_val, max_val, True)


def threshold_(input: Any, threshold: float, value: float) -> Any:
    """`threshold`, in place."""
    return _threshold(input, threshold, value, True)


def rrelu_(input: Any, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False) -> Any:
    """`rrelu`, in place."""
    return rrelu(input, lower, upper, training, True)


def elu_(input: Any, alpha: float = 1.0) -> Any:
    """`elu`, in place."""
    return elu(input, alpha, True)


def celu_(input: Any, alpha: float = 1.0) -> Any:
    """`celu`, in place."""
    return celu(input, alpha, True)


def selu_(input: Any) -> Any:
    """`selu`, in place."""
    return selu(input, True)


_threshold = threshold  # the argument of `threshold_` hides it


# -- softmax ------------------------------------------------------------------------------------------------


class _AlongAxis(Function):
    """A function of the rows along one axis. Its kernel works on the rows of a contiguous 2-d array."""

    kernel: Any = None

    def __init__(self, axis: int):
        self.axis = axis

    def _apply(self, *arrays: Any) -> Any:
        last = self.axis == arrays[0].ndim - 1
        moved = arrays if last else [np.moveaxis(a, self.axis, -1) for a in arrays]
        shape = moved[0].shape
        out = np.empty(shape, arrays[0].dtype)
        if out.size:
            rows = [np.ascontiguousarray(a).reshape(-1, shape[-1]) for a in moved]
            type(self).kernel(out.size, *rows, out.reshape(-1, shape[-1]))
        return out if last else np.moveaxis(out, -1, self.axis)


class Softmax(_AlongAxis):
    """y = eˣ / Σ eˣ:  ∂⟨g, y⟩/∂x = y (g − Σ g y)."""

    kernel = kernels.softmax

    def composed(self, x: Any) -> Any:
        e = exp(x - _largest(x, self.axis))
        return e / sum(e, self.axis, True)

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

    def composed(self, x: Any) -> Any:
        shifted = x - _largest(x, self.axis)
        return shifted - log(sum(exp(shifted), self.axis, True))

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
def softmax(input: Any, axis: int | None = None, dtype: Any = None) -> Any:
    """The probabilities eˣ / Σ eˣ along `axis`: positive, and their sum is 1.

    Safe for values of any size, and for −∞ (probability 0). A row of nothing but −∞ gives NaN, as in PyTorch.

    Args:
        input: scores, floating-point.
        axis: the sum along this axis is 1. If it is missing, there is a warning, as in PyTorch; tensors with 0, 1 or 3
            axes then use axis 0, others axis 1.
        dtype: convert x to it first.

    Example:
        >>> import minigrad as mg
        >>> mg.nn.functional.softmax(mg.tensor([1000.0, 1000.0]), dim=0).tolist()
        [0.5, 0.5]
    """
    return _along_axis(Softmax, input, axis, dtype, "softmax")


@accepts_dim
def log_softmax(input: Any, axis: int | None = None, dtype: Any = None) -> Any:
    """log softmax(x) = x − log Σ eˣ along `axis`, computed so that it is exact where softmax rounds to 0.

    Args:
        input: scores, floating-point.
        axis: the probabilities along this axis sum to 1; if it is missing, as for `softmax`.
        dtype: convert x to it first.

    Example:
        >>> import minigrad as mg
        >>> mg.nn.functional.log_softmax(mg.tensor([0.0, 1000.0]), dim=0).tolist()
        [-1000.0, 0.0]
    """
    return _along_axis(LogSoftmax, input, axis, dtype, "log_softmax")


@accepts_dim
def softmin(input: Any, axis: int | None = None, dtype: Any = None) -> Any:
    """softmax(−x) along `axis`: the smallest value gets the largest probability."""
    return softmax(-input, _implicit_axis(axis, input.ndim, "softmin"), dtype)


def _implicit_axis(axis: Any, ndim: int, op: str) -> Any:
    """The axis that PyTorch takes where none is given."""
    if axis is not None:
        return axis
    axis = 0 if ndim in (0, 1, 3) else 1
    warnings.warn(f"{op}: no dim is given, so dim={axis} is taken: say so, {op}(x, dim={axis})", stacklevel=4)
    return axis


def _along_axis(kind: Any, x: Any, axis: int | None, dtype: Any, name: str) -> Any:
    if dtype is not None:
        x = cast(x, dtype)
    check_float(x, name)
    if x.ndim == 0:  # a single number is a row of length 1
        return reshape(_along_axis(kind, reshape(x, (1,)), axis, None, name), ())
    (axis,) = normalize_axes(_implicit_axis(axis, x.ndim, name), x.ndim, name)
    op = kind(axis)
    return op.composed(x) if modes.composed else op(x)


def _largest(x: Any, axis: int) -> Any:
    """max x, as a constant: softmax does not change when the same number is subtracted from all scores."""
    array = x if isinstance(x, np.ndarray) else x.array
    return array.max(axis=axis, keepdims=True) if array.size else np.zeros((1,) * array.ndim, array.dtype)
