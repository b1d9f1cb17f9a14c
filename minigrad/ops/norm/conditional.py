"""Conditional normalization: γ and β come from another input, the *condition*.

The first three decisions are those of batch or instance normalization without parameters. What is new is the fourth:
γ and β are not learned numbers. They are computed, so that a sentence, a style or a map of labels steers how the
picture is processed. Each sample has its own γ and β, and the gradient flows on into the network that computed them.

    method                             γ and β come from             one of each for
    `adaptive_instance_norm` (AdaIN)   σ and μ of another picture    each channel of each sample
    `conditional_instance_norm`        any (N, C): a style vector    each channel of each sample
    `conditional_batch_norm`           any (N, C): a class, a text   each channel of each sample
    `spade`                            any (N, C, *): a label map    each element
"""

from math import prod
from typing import Any

import numpy as np

from minigrad.autograd import Function
from minigrad.autograd.fused import Fused
from minigrad.autograd.modes import modes
from minigrad.kernels import conditional as kernels
from minigrad.ops.norm.batch import batch_norm
from minigrad.ops.norm.common import (
    RowNorm,
    affine,
    check_channels,
    check_float,
    check_parameters,
    moments,
    standardize,
)
from minigrad.ops.norm.group import InstanceNorm, instance_norm
from minigrad.ops.shape import reshape
from minigrad.ops.unary import sqrt


def space_axes(x: Any) -> tuple[int, ...]:
    """The axes after batch and channels."""
    return tuple(range(2, x.ndim))


def per_sample(x: Any) -> tuple[int, ...]:
    """The shape in which one number for each channel of each sample broadcasts against x."""
    return (*x.shape[:2], *(1,) * (x.ndim - 2))


# -- the scale and shift ------------------------------------------------------------------------------------


class Modulate(Fused):
    """y = γ x̂ + β, with a γ and a β for each channel of each sample, (N, C), or for each element, as x̂."""

    def composed(self, x_hat: Any, gamma: Any, beta: Any) -> Any:
        return affine(x_hat, gamma, beta, x_hat.shape if gamma.shape == x_hat.shape else per_sample(x_hat))

    def forward(self, x_hat: Any, gamma: Any, beta: Any) -> Any:
        self.save_for_backward(x_hat, gamma, beta)
        if gamma.shape == x_hat.shape:
            y = x_hat * gamma
            y += beta
            return y
        rows = np.ascontiguousarray(x_hat).reshape(gamma.size, prod(x_hat.shape[2:]))
        y = np.empty(rows.shape, rows.dtype)
        kernels.modulate(x_hat.size, rows, flat(gamma), flat(beta), y)
        return y.reshape(x_hat.shape)

    def gradients(self, g: Any, x_hat: Any, gamma: Any, beta: Any) -> Any:
        if gamma.shape == x_hat.shape:
            return g * gamma, g * x_hat if self.needs(1) else None, g if self.needs(2) else None
        shape = (gamma.size, prod(x_hat.shape[2:]))
        g, rows = (np.ascontiguousarray(a).reshape(shape) for a in (g, x_hat))
        dx_hat, dgamma, dbeta = np.empty(shape, g.dtype), np.empty(gamma.shape, g.dtype), np.empty(beta.shape, g.dtype)
        kernels.modulate_backward(g.size, g, rows, flat(gamma), dx_hat, dgamma.reshape(-1), dbeta.reshape(-1))
        return dx_hat.reshape(x_hat.shape), dgamma, dbeta


def flat(values: Any) -> Any:
    """A contiguous vector."""
    return np.ascontiguousarray(values).reshape(-1)


def modulate(x_hat: Any, gamma: Any, beta: Any) -> Any:
    """γ x̂ + β, where γ and β have the shape (N, C) or that of x̂; either may be None."""
    if gamma is None or beta is None:
        given = beta if gamma is None else gamma
        shape = None if given is None else x_hat.shape if given.shape == x_hat.shape else per_sample(x_hat)
        return x_hat if shape is None else affine(x_hat, gamma, beta, shape)
    op = Modulate()
    return op.composed(x_hat, gamma, beta) if modes.composed else op(x_hat, gamma, beta)


# -- instance norm with a γ and a β for each sample ----------------------------------------------------------


class ConditionalInstanceNorm(RowNorm):
    """`InstanceNorm`, except that each of the N·C rows has a γ and a β of its own.

    Args:
        shape: the input's, (N, C, *).
        eps: ε.
    """

    def __init__(self, shape: tuple[int, ...], eps: float):
        self.eps = float(eps)
        self.parameters, self.length = prod(shape[:2]), prod(shape[2:])
        self.run = self.length

    def composed(self, x: Any, gamma: Any, beta: Any) -> Any:
        """Instance normalization, then each sample's own scale and shift."""
        return affine(standardize(x, *moments(x, space_axes(x)), self.eps), gamma, beta, per_sample(x))


def conditional_instance_norm(input: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    """Instance normalization with a γ and a β for each sample. They select the style of the picture.

    y[n, c] = (x[n, c] − μ) / √(σ² + ε) · γ[n, c] + β[n, c]

    The four decisions: (1) the elements of one channel of one sample share statistics; (2) the statistics are the mean
    and the biased variance; (3) they standardize x; (4) one γ and one β for each channel *of each sample* come from a
    condition.

    Shapes:
        input (N, C, *) with at least one axis of space, output the same; weight and bias (N, C).

    Args:
        input: x, floating-point.
        weight, bias: γ and β, computed from the condition; None means 1 and 0.
        eps: ε, under the root.

    Raises:
        ValueError: one element of space (one element has no variance); a shape that does not fit.
        TypeError: an input that is not floating-point, or dtypes that differ.

    Nothing changes in evaluation. With the same γ and β for all samples it is `instance_norm`. PyTorch and Keras do
    not have it.

    Source: Dumoulin, Shlens & Kudlur, "A learned representation for artistic style", arXiv 1610.07629 (γ and β from a
    table of styles); Karras, Laine & Aila, StyleGAN, arXiv 1812.04948, who call it AdaIN (γ and β from a linear map).

    Example:
        >>> import minigrad as mg
        >>> x = mg.tensor([[[1.0, 3.0]], [[1.0, 3.0]]])
        >>> gamma, beta = mg.tensor([[1.0], [2.0]]), mg.tensor([[0.0], [10.0]])
        >>> mg.nn.functional.conditional_instance_norm(x, gamma, beta, eps=0.0).tolist()
        [[[-1.0, 1.0]], [[8.0, 12.0]]]
    """
    return _conditional_instance_norm("conditional_instance_norm", input, weight, bias, eps)


def _conditional_instance_norm(op: str, input: Any, gamma: Any, beta: Any, eps: float) -> Any:
    x = _check_space(op, "the input", input)
    check_parameters(op, x, x.shape[:2], gamma, beta)
    if prod(x.shape[2:]) == 1:
        raise ValueError(
            f"{op}: more than one element of space is needed, and the input has shape {x.shape}: the variance of one "
            "element is 0. Leave the norm out where the picture is a single point, or use conditional_batch_norm"
        )
    norm = ConditionalInstanceNorm(x.shape, eps)
    return norm.composed(input, gamma, beta) if modes.composed else norm(input, gamma, beta)


def _check_space(op: str, name: str, value: Any) -> Any:
    x = check_float(op, value)
    if x.ndim < 3:
        raise ValueError(f"{op}: {name} must be (N, C, ...) with an axis of space, got shape {x.shape}")
    return x


# -- AdaIN -------------------------------------------------------------------------------------------------


class SpaceStatistics(Function):
    """√(σ² + ε) and μ of every channel of every sample, each (N, C):  ∂√(σ² + ε)/∂x = x̂/n,  ∂μ/∂x = 1/n."""

    def __init__(self, eps: float):
        self.eps = float(eps)

    def forward(self, x: Any) -> Any:
        self.save_for_backward(x)
        norm = InstanceNorm(x.shape[1], x.shape, self.eps)
        norm.forward(x, None, None)
        if norm.stats is None:  # there were no elements
            return np.full(x.shape[:2], np.nan, x.dtype), np.full(x.shape[:2], np.nan, x.dtype)
        mu, _, inv_std, _ = norm.stats.reshape(4, *x.shape[:2])
        with np.errstate(divide="ignore"):  # ε = 0 and a constant channel give ∞: no warning, the result shows it
            return 1 / inv_std, mu.copy()

    def composed(self, x: Any) -> Any:
        mu, variance = moments(x, space_axes(x))
        return reshape(sqrt(variance + self.eps), x.shape[:2]), reshape(mu, x.shape[:2])

    def backward(self, g_deviation: Any, g_mu: Any) -> Any:
        # x̂/n · ∂L/∂√(σ² + ε) + 1/n · ∂L/∂μ: a normalization, with these as its γ and β.
        (x,) = self.saved
        share = 1 / max(prod(x.shape[2:]), 1)
        x_hat = InstanceNorm(x.shape[1], x.shape, self.eps)(x, None, None)
        gamma, beta = g_deviation * share, g_mu * share
        if modes.create_graph:
            return modulate(x_hat, gamma, beta)
        rows = x_hat.reshape(gamma.size, prod(x.shape[2:]))
        kernels.modulate(x.size, rows, flat(gamma), flat(beta), rows)  # x̂ is ours alone, and may be written over
        return x_hat


def deviation_and_mean(x: Any, eps: float) -> tuple[Any, Any]:
    """√(σ² + ε) and μ over space, each (N, C)."""
    op = SpaceStatistics(eps)
    return op.composed(x) if modes.composed else op(x)


def adaptive_instance_norm(content: Any, style: Any, eps: float = 1e-5) -> Any:
    """AdaIN: give the content's channels the mean and the deviation of the style's.

    y = √(σ_s² + ε) · (x − μ_x) / √(σ_x² + ε) + μ_s        x the content, s the style

    The four decisions: (1) the elements of one channel of one sample share statistics; (2) the statistics are the mean
    and the biased variance; (3) they standardize the content; (4) nothing is learned: γ and β are the deviation and
    the mean of the style picture, channel by channel. Gradients flow into both pictures.

    Shapes:
        content (N, C, *), style (N, C, *) with any lengths of space; output as content.

    Args:
        content: x, features of the picture to be changed; floating-point.
        style: s, features of the picture whose style is wanted.
        eps: ε, under both roots: AdaIN of a picture with itself gives it back.

    Raises:
        ValueError: another number of samples or channels; no axis of space; a content with one element of space.
        TypeError: an input that is not floating-point, or dtypes that differ.

    Nothing changes in evaluation. The paper does not say which σ it means. Here σ is the biased one, as in all
    normalizations and in the authors' program (which adds ε to the content's variance only). Popular copies of that
    program use the unbiased one. PyTorch and Keras do not have it. For StyleGAN's AdaIN, where γ and β are a learned
    linear map of a style *vector*, see `nn.AdaptiveInstanceNorm`.

    Source: Huang & Belongie, "Arbitrary style transfer in real-time with adaptive instance normalization", arXiv
    1703.06868, equation 8.

    Example:
        >>> import minigrad as mg
        >>> content, style = mg.tensor([[[1.0, 3.0]]]), mg.tensor([[[10.0, 42.0, 42.0, 10.0]]])
        >>> mg.nn.functional.adaptive_instance_norm(content, style, eps=0.0).tolist()
        [[[10.0, 42.0]]]
    """
    op = "adaptive_instance_norm"
    x, s = _check_space(op, "the content", content), _check_space(op, "the style", style)
    if x.shape[:2] != s.shape[:2]:
        raise ValueError(
            f"{op}: content and style need the same samples and channels, got shapes {x.shape} and {s.shape}; "
            "expand the style, style.expand(...), to give all samples one"
        )
    if x.dtype != s.dtype:
        raise TypeError(f"{op}: the content is {x.dtype} and the style {s.dtype}; bring them to one dtype, s.double()")
    gamma, beta = deviation_and_mean(style, eps)
    return _conditional_instance_norm(op, content, gamma, beta, eps)


# -- conditional batch norm --------------------------------------------------------------------------------


def conditional_batch_norm(
    input: Any,
    weight: Any,
    bias: Any,
    running_mean: Any = None,
    running_var: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    """Batch normalization with a γ and a β for each sample, computed from its class, a question, a noise vector.

    y[n, c] = (x[n, c] − μ[c]) / √(σ²[c] + ε) · γ[n, c] + β[n, c]

    The four decisions: (1) all elements of a channel, over the batch and over space, share statistics; (2) the
    statistics are the mean and the biased variance; (3) they standardize x; (4) one γ and one β for each channel *of
    each sample* come from a condition.

    Shapes:
        input (N, C) or (N, C, *), output the same; weight and bias (N, C); running averages (C,).

    Args:
        input: x, floating-point.
        weight, bias: γ and β, computed from the condition.
        running_mean, running_var: averages of μ and of the *unbiased* variance, updated in place in training, used
            otherwise. See `batch_norm`.
        training: True: use the statistics of the batch. False: use the running averages.
        momentum: the weight of the new value.
        eps: ε, under the root.

    Raises:
        ValueError: one value per channel in training; a shape that does not fit; in evaluation, no running averages.
        TypeError: an input that is not floating-point, or dtypes that differ.

    In evaluation the running averages stand for the batch's statistics; the condition counts as in training. With the
    same γ and β for all samples it is `batch_norm`. PyTorch and Keras do not have it.

    Source: De Vries et al., "Modulating early visual processing by language", arXiv 1707.00683, section 3.

    Example:
        >>> import minigrad as mg
        >>> x, gamma = mg.tensor([[1.0], [3.0]]), mg.tensor([[1.0], [5.0]])
        >>> mg.nn.functional.conditional_batch_norm(x, gamma, mg.zeros(2, 1), training=True, eps=0.0).tolist()
        [[-1.0], [5.0]]
    """
    op = "conditional_batch_norm"
    x = check_channels(op, input)
    check_parameters(op, x, x.shape[:2], weight, bias)
    x_hat = batch_norm(input, running_mean, running_var, None, None, training, momentum, eps)
    return modulate(x_hat, weight, bias)


# -- SPADE -------------------------------------------------------------------------------------------------


def spade(
    input: Any,
    weight: Any,
    bias: Any,
    running_mean: Any = None,
    running_var: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *,
    norm: str = "batch",
) -> Any:
    """Spatially-adaptive denormalization: a γ and a β for each *element*, computed from a map of labels.

    y = (x − μ) / √(σ² + ε) · γ(m) + β(m)        m the map; γ(m) and β(m) have x's shape

    Normalization removes what all elements that share statistics have in common. Where the channels of a picture are
    constant, such as an even patch of sky, instance norm gives 0 for every constant. γ and β that differ from place to
    place bring the map back after every normalization.

    The four decisions: (1) a channel over batch and space (`norm="batch"`, the paper's), or of one sample
    (`norm="instance"`) share statistics; (2) the statistics are the mean and the biased variance; (3) they standardize
    x; (4) one γ and one β for each *element* come from a map.

    Shapes:
        input (N, C, *), output the same; weight and bias as the input; running averages (C,).

    Args:
        input: x, floating-point.
        weight, bias: γ(m) and β(m). (`nn.SPADE` computes them, with a small convolutional net.)
        running_mean, running_var: averages of μ and of the *unbiased* variance, updated in place in training, used
            otherwise. See `batch_norm`. Without them, instance norm uses the sample's own statistics.
        training: True: use the statistics of the batch. False: use the running averages.
        momentum: the weight of the new value.
        eps: ε, under the root.
        norm: "batch" or "instance".

    Raises:
        ValueError: a shape that does not fit; another `norm`; what `batch_norm` and `instance_norm` raise.
        TypeError: an input that is not floating-point, or dtypes that differ.

    In evaluation the running averages stand for the batch's statistics; the map counts as in training. If γ and β are
    the same at every place, this is `conditional_batch_norm`. PyTorch and Keras do not have it. The paper synchronizes
    the batch's statistics over several GPUs.

    Source: Park et al., "Semantic image synthesis with spatially-adaptive normalization", arXiv 1903.07291,
    equation 1.

    Example:
        >>> import minigrad as mg
        >>> x, gamma = mg.tensor([[[1.0, 3.0]]]), mg.tensor([[[1.0, 7.0]]])
        >>> mg.nn.functional.spade(x, gamma, mg.zeros(1, 1, 2), training=True, eps=0.0).tolist()
        [[[-1.0, 7.0]]]
    """
    op = "spade"
    x = _check_space(op, "the input", input)
    if norm not in ("batch", "instance"):
        raise ValueError(f"{op}: norm must be 'batch' or 'instance', got {norm!r}")
    check_parameters(op, x, x.shape, weight, bias)
    if norm == "batch":
        x_hat = batch_norm(input, running_mean, running_var, None, None, training, momentum, eps)
    else:
        own = training or running_mean is None
        x_hat = instance_norm(input, running_mean, running_var, None, None, own, momentum, eps)
    return modulate(x_hat, weight, bias)
