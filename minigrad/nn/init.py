"""Initial values of weights. Every function fills a tensor in place and returns it; the names are PyTorch's.

A layer y = W x with n inputs adds up n products, so Var(y) = n · Var(w) · E[x²]. To keep the size of the signal from
layer to layer, Var(w) should be about 1/n. `xavier_*` balances the forward pass (fan_in inputs) with the backward pass
(fan_out). `kaiming_*` adds the factor 2, because relu halves E[x²].

The random numbers come from the generator that `mg.manual_seed` seeds, or from an argument `generator`.
"""

import math
from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np

from minigrad.autograd import Tensor, no_grad
from minigrad.ops.conv import filters_back, filters_first
from minigrad.ops.random import generator as numpy_generator

__all__ = [
    "calculate_gain",
    "constant_",
    "dirac_",
    "eye_",
    "fan_in_and_fan_out",
    "fixup_",
    "kaiming_normal_",
    "kaiming_uniform_",
    "lecun_normal_",
    "lecun_uniform_",
    "normal_",
    "ones_",
    "orthogonal_",
    "sparse_",
    "trunc_normal_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
    "zeros_",
]


def _fills(draw: Callable[..., Any]) -> Callable[..., Tensor]:
    """Turn a function that computes values into a function that writes them into the tensor, outside the graph."""

    @wraps(draw)
    def fill(tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if not isinstance(tensor, Tensor):
            raise TypeError(f"init.{draw.__name__}: expected a Tensor to fill, got a {type(tensor).__name__}")
        values = draw(tensor, *args, **kwargs)
        if tensor.numel():
            with no_grad():
                tensor.copy_(values)
        return tensor

    return fill


def fan_in_and_fan_out(tensor: Tensor) -> tuple[int, int]:
    """The number of inputs of each output, and the number of outputs that each input reaches.

    For a Linear weight (out, in) these numbers are in and out; for a convolution (out, in, *kernel) both are
    multiplied by the number of kernel positions.

    As in PyTorch, axis 0 always counts as the outputs. The weight of a transposed convolution has the shape (in,
    out/groups, *kernel), so the two numbers change places: `mode="fan_out"` then keeps the size of activations. With
    groups, the number of inputs is `groups` times too large.
    """
    if tensor.ndim < 2:
        raise ValueError(
            f"fan_in_and_fan_out: needs a weight with at least 2 axes (out, in, ...), got shape {tensor.shape}"
        )
    positions = math.prod(tensor.shape[2:])
    return tensor.shape[1] * positions, tensor.shape[0] * positions


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor by which a layer before `nonlinearity` should scale its weights.

    1 for linear, conv*, sigmoid; 5/3 for tanh; √2 for relu; √(2 / (1 + slope²)) for leaky_relu, with
    `param` the slope (0.01 by default); 3/4 for selu.
    """
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        return math.sqrt(2 / (1 + slope**2))
    gains = {"linear": 1.0, "sigmoid": 1.0, "tanh": 5 / 3, "relu": math.sqrt(2), "selu": 0.75}
    for axes in (1, 2, 3):
        gains[f"conv{axes}d"] = gains[f"conv_transpose{axes}d"] = 1.0
    if nonlinearity not in gains:
        raise ValueError(
            f"calculate_gain: unknown nonlinearity {nonlinearity!r}. Choose from: leaky_relu, {', '.join(gains)}"
        )
    return gains[nonlinearity]


# -- plain distributions ----------------------------------------------------------------------------------


@_fills
def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Any = None) -> Any:
    """Fill with numbers drawn evenly from [a, b)."""
    return numpy_generator(generator).uniform(a, b, tensor.shape)


@_fills
def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Any = None) -> Any:
    """Fill from the normal distribution N(mean, std²)."""
    return numpy_generator(generator).normal(mean, std, tensor.shape)


@_fills
def trunc_normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0, generator: Any = None
) -> Any:
    """Fill from N(mean, std²) restricted to [a, b]. As in PyTorch, a and b are values, not multiples of std.

    The numbers are drawn by rejection (Robert 1995, "Simulation of truncated normal variables"): propose,
    and accept with the probability that makes the accepted ones follow the density.
    """
    if not a < b:
        raise ValueError(f"trunc_normal_: the interval [a, b] = [{a}, {b}] is empty")
    low, high = (a - mean) / std, (b - mean) / std
    inside = 0.5 * (math.erf(high / math.sqrt(2)) - math.erf(low / math.sqrt(2)))
    draw = numpy_generator(generator)
    accepted = np.empty(0)
    peak = min(max(0.0, low), high)  # the place in the interval where the density is largest
    if inside < 0.2:
        # A narrow interval, or an interval in a tail: few normal numbers would fall into it. So propose evenly over
        # the interval, and accept in proportion to the density. Beyond `reach` the density is less than 1e-17 of its
        # peak.
        reach = math.sqrt(peak**2 + 80)
        low, high = max(low, -reach), min(high, reach)
    while accepted.size < tensor.numel():
        n = int(1.5 * (tensor.numel() - accepted.size)) + 16
        if inside < 0.2:
            z = draw.uniform(low, high, n)
            z = z[draw.uniform(size=n) < np.exp((peak**2 - z**2) / 2)]
        else:
            z = draw.normal(size=n)
            z = z[(z >= low) & (z <= high)]
        accepted = np.concatenate([accepted, z])
    values = mean + std * accepted[: tensor.numel()].reshape(tensor.shape)
    return np.clip(values, a, b)


@_fills
def constant_(tensor: Tensor, val: float) -> Any:
    """Fill with one value."""
    return val


@_fills
def ones_(tensor: Tensor) -> Any:
    """Fill with 1."""
    return 1


@_fills
def zeros_(tensor: Tensor) -> Any:
    """Fill with 0."""
    return 0


@_fills
def eye_(tensor: Tensor) -> Any:
    """Fill a matrix with the identity: a Linear layer then passes on as many inputs as possible."""
    if tensor.ndim != 2:
        raise ValueError(f"eye_: needs a matrix, got shape {tensor.shape}")
    return np.eye(tensor.shape[0], tensor.shape[1])


@_fills
def dirac_(tensor: Tensor, groups: int = 1) -> Any:
    """Fill a convolution's weight so that it passes on as many input channels as possible.

    Each group of output channels passes on the input channels of its group.
    """
    if not 3 <= tensor.ndim <= 5:
        raise ValueError(f"dirac_: needs a convolution weight with 3 to 5 axes, got shape {tensor.shape}")
    out_channels, in_channels, *kernel = tensor.shape
    if out_channels % groups:
        raise ValueError(f"dirac_: {out_channels} output channels are not divisible by groups={groups}")
    values = np.zeros(tensor.shape)
    centre = tuple(n // 2 for n in kernel)
    per_group = out_channels // groups
    for group in range(groups):
        for channel in range(min(per_group, in_channels)):
            values[(group * per_group + channel, channel, *centre)] = 1
    return values


# -- variances that keep the signal -----------------------------------------------------------------------


def _fan(tensor: Tensor, mode: str, who: str) -> int:
    fan_in, fan_out = fan_in_and_fan_out(tensor)
    modes = {"fan_in": fan_in, "fan_out": fan_out}
    if mode not in modes:
        raise ValueError(f"{who}: mode must be 'fan_in' or 'fan_out', not {mode!r}")
    return modes[mode]


@_fills
def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Any = None) -> Any:
    """Fill from U(−b, b) with b = gain · √(6 / (fan_in + fan_out)) (Glorot and Bengio 2010)."""
    bound = gain * math.sqrt(6 / max(sum(fan_in_and_fan_out(tensor)), 1))
    return numpy_generator(generator).uniform(-bound, bound, tensor.shape)


@_fills
def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Any = None) -> Any:
    """Fill from N(0, gain² · 2 / (fan_in + fan_out)) (Glorot and Bengio 2010)."""
    std = gain * math.sqrt(2 / max(sum(fan_in_and_fan_out(tensor)), 1))
    return numpy_generator(generator).normal(0, std, tensor.shape)


@_fills
def kaiming_uniform_(
    tensor: Tensor, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu", generator: Any = None
) -> Any:
    """Fill from U(−b, b) with b = gain · √(3 / fan) (He et al. 2015).

    Args:
        tensor: the weight.
        a: the slope of the leaky relu that follows (0: relu).
        mode: "fan_in" keeps the size of activations in the forward pass, "fan_out" the size of gradients in the
            backward pass.
        nonlinearity: decides the gain, see `calculate_gain`.
    """
    fan = max(_fan(tensor, mode, "kaiming_uniform_"), 1)
    bound = calculate_gain(nonlinearity, a) * math.sqrt(3 / fan)
    return numpy_generator(generator).uniform(-bound, bound, tensor.shape)


@_fills
def kaiming_normal_(
    tensor: Tensor, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu", generator: Any = None
) -> Any:
    """Fill from N(0, gain² / fan) (He et al. 2015). The arguments are those of `kaiming_uniform_`."""
    fan = max(_fan(tensor, mode, "kaiming_normal_"), 1)
    return numpy_generator(generator).normal(0, calculate_gain(nonlinearity, a) / math.sqrt(fan), tensor.shape)


@_fills
def lecun_normal_(tensor: Tensor, generator: Any = None) -> Any:
    """Fill from N(0, 1 / fan_in) (LeCun et al. 1998): for selu networks that normalize themselves.

    If the inputs have mean 0 and variance 1, then the sum of fan_in products has mean 0 and variance 1 as well, and
    selu keeps both (Klambauer et al., arXiv 1706.02515). For the weight of a transposed convolution, whose first axis
    belongs to the inputs, see `fan_in_and_fan_out`.

    Example:
        >>> import minigrad as mg
        >>> from minigrad import nn
        >>> _ = mg.manual_seed(0)
        >>> x = mg.randn(200, 300)
        >>> for _ in range(50):
        ...     layer = nn.Linear(300, 300)
        ...     _, _ = nn.init.lecun_normal_(layer.weight), nn.init.zeros_(layer.bias)
        ...     x = nn.functional.selu(layer(x))
        >>> abs(x.mean().item()) < 0.1, abs(x.var().item() - 1) < 0.2
        (True, True)
    """
    return numpy_generator(generator).normal(
        0, 1 / math.sqrt(max(_fan(tensor, "fan_in", "lecun_normal_"), 1)), tensor.shape
    )


@_fills
def lecun_uniform_(tensor: Tensor, generator: Any = None) -> Any:
    """Fill from U(−b, b) with b = √(3 / fan_in): the variance of `lecun_normal_`, 1 / fan_in, evenly spread.

    Example:
        >>> import minigrad as mg
        >>> w = mg.nn.init.lecun_uniform_(mg.zeros(1000, 12))
        >>> w.abs().max().item() <= 0.5, abs(w.var().item() * 12 - 1) < 0.1
        (True, True)
    """
    bound = math.sqrt(3 / max(_fan(tensor, "fan_in", "lecun_uniform_"), 1))
    return numpy_generator(generator).uniform(-bound, bound, tensor.shape)


@_fills
def orthogonal_(tensor: Tensor, gain: float = 1, generator: Any = None) -> Any:
    """Fill with gain times a random matrix whose rows, or columns if there are fewer, are orthonormal.

    The matrix is Q of the QR decomposition of a matrix of normal numbers, with R's diagonal made positive: then Q is
    evenly distributed over all orthogonal matrices (Saxe et al. 2014; Mezzadri 2007). Axes after the first count as a
    single axis.
    """
    if tensor.ndim < 2:
        raise ValueError(f"orthogonal_: needs a tensor with at least 2 axes, got shape {tensor.shape}")
    rows, columns = tensor.shape[0], math.prod(tensor.shape[1:])
    if rows * columns == 0:
        return 0
    q, r = np.linalg.qr(numpy_generator(generator).normal(size=(max(rows, columns), min(rows, columns))))
    q = q * np.where(np.diag(r) < 0, -1.0, 1.0)
    return gain * (q.T if rows < columns else q).reshape(tensor.shape)


@_fills
def sparse_(tensor: Tensor, sparsity: float, std: float = 0.01, generator: Any = None) -> Any:
    """Fill a matrix from N(0, std²), and set the fraction `sparsity` of each column to 0 (Martens 2010)."""
    if tensor.ndim != 2:
        raise ValueError(f"sparse_: needs a matrix, got shape {tensor.shape}")
    rows, columns = tensor.shape
    values = numpy_generator(generator).normal(0, std, tensor.shape)
    for column in range(columns):
        values[numpy_generator(generator).permutation(rows)[: math.ceil(sparsity * rows)], column] = 0
    return values


# -- whole networks ---------------------------------------------------------------------------------------


def fixup_(model: Any, classifier: Any = None, mode: str = "fan_in") -> Any:
    """Initialize a residual network so that it trains without normalization, at any depth.

    With L residual branches of m layers each:

    1. the last layer of each branch, and the classifier, start at 0;
    2. all other layers start as by `kaiming_normal_`; layers inside branches are scaled by L^(−1/(2m − 2));
    3. biases start at 0, and each branch's multiplier at 1 (a block's method `reset_scalars()`, if it has one).

    Then every step of gradient descent changes the network's output by an amount that does not depend on L.

    Args:
        model: a module with `nn.FixupBlock`s in it, or other blocks that have a method `residual_layers()`, which
            lists the weight layers of the branch.
        classifier: the last layer; by default, the last Linear or convolution in `model` that is not in a block.
        mode: "fan_in" or "fan_out", as for `kaiming_normal_`.

    Returns:
        The model.

    Raises:
        ValueError: no residual block in the model; a `classifier` that is not part of it.

    If a branch has a single layer, this layer is the last one, and starts at 0.

    Source: Zhang, Dauphin & Ma, "Fixup initialization: residual learning without normalization", arXiv 1901.09321,
    section 3.2.

    Example:
        >>> from minigrad import nn
        >>> block = nn.FixupBlock(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False))
        >>> model = nn.init.fixup_(nn.Sequential(block, nn.Linear(3, 2)))
        >>> [bool(p.any()) for p in (block.layers[0].weight, block.layers[1].weight, model[1].weight)]
        [True, False, False]
    """
    blocks = [module for module in model.modules() if hasattr(module, "residual_layers")]
    branches = [list(block.residual_layers()) for block in blocks]
    if not branches:
        raise ValueError(
            "fixup_: there is no residual block in the model; make it of nn.FixupBlock, or give your own block a "
            "method residual_layers() that lists the weight layers of its branch"
        )
    inside = {layer for branch in branches for layer in branch}
    others = [layer for layer in model.modules() if _adds_up_products(layer) and layer not in inside]
    if classifier is None:
        in_blocks = {layer for block in blocks for layer in block.modules()}  # a shortcut, for instance
        classifier = next((layer for layer in reversed(others) if layer not in in_blocks), None)
    elif classifier not in others:
        raise ValueError("fixup_: the classifier must be a layer of the model outside its residual branches")

    for block in blocks:
        if hasattr(block, "reset_scalars"):
            block.reset_scalars()
    for layer in others:
        _start(layer, 0.0 if layer is classifier else 1.0, mode)
    for branch in branches:
        m = len(branch)
        for layer in branch[:-1]:
            _start(layer, len(branches) ** (-1 / (2 * m - 2)), mode)
        _start(branch[-1], 0.0, mode)
    return model


def _adds_up_products(layer: Any) -> bool:
    """True if the module is a Linear layer or a convolution."""
    return hasattr(layer, "in_features") or hasattr(layer, "in_channels")


def _start(layer: Any, factor: float, mode: str) -> None:
    """Set the layer's weight as by He et al., times a factor, and its bias to 0."""
    with no_grad():
        weight = layer.weight
        if factor and getattr(layer, "transposed", False):
            filters = kaiming_normal_(filters_first(weight.detach(), layer.groups).clone(), 0, mode, "relu")
            weight.copy_(filters_back(filters * factor, layer.groups))
        elif factor:
            kaiming_normal_(weight, mode=mode, nonlinearity="relu").mul_(factor)
        else:
            zeros_(weight)
        if "weight" not in layer._parameter_names:  # a parametrized weight is computed, so assign it
            layer.weight = weight
    if getattr(layer, "bias", None) is not None:
        zeros_(layer.bias)
