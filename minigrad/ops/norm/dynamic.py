"""Norms without statistics: Dynamic Tanh and Dynamic erf, elementwise functions in place of layer normalization."""

import math
from math import prod
from typing import Any

import numpy as np

from minigrad.autograd import Tensor
from minigrad.autograd.fused import Fused
from minigrad.autograd.modes import modes
from minigrad.autograd.tensor import raw
from minigrad.kernels import dynamic as kernels
from minigrad.kernels.special import erf as erf_array
from minigrad.ops.norm.common import affine, check_float, check_parameters, like, vector
from minigrad.ops.unary import erf, tanh

PART = 1 << 16
"""Number of elements that are computed at a time."""


class Dynamic(Fused):
    """y = γ f(α x + s) + β for an f that saturates.

    With u = α x + s and h = γ g f′(u):  ∂L/∂x = α h,  ∂L/∂α = Σ h x,  ∂L/∂s = Σ h,  ∂L/∂γ = Σ g f(u),  ∂L/∂β = Σ g.

    Args:
        shape: the shape in which γ and β broadcast against x.
    """

    def __init__(self, shape: tuple[int, ...]):
        self.shape = shape

    def composed(self, x: Any, alpha: Any, shift: Any, gamma: Any, beta: Any) -> Any:
        u = x * alpha
        return affine(self.squash(u if shift is None else u + shift), gamma, beta, self.shape)

    def forward(self, x: Any, alpha: Any, shift: Any, gamma: Any, beta: Any) -> Any:
        self.save_for_backward(x, alpha, shift, gamma, beta)
        y = np.empty(x.shape, x.dtype)
        for part in self.parts(x):
            self.inside(x[part], alpha, shift, y[part])
            self.squash_array(y[part])
            if gamma is not None:
                y[part] *= gamma.reshape(self.shape)
            if beta is not None:
                y[part] += beta.reshape(self.shape)
        return y

    def parts(self, x: Any) -> Any:
        """Parts of x along its first axis that fit in the cache: each pass over them costs arithmetic, not memory."""
        if x.ndim <= max(len(self.shape), 1):
            return [...]
        step = max(1, PART * len(x) // max(x.size, 1))
        return [slice(i, i + step) for i in range(0, len(x), step)]

    @staticmethod
    def inside(x: Any, alpha: Any, shift: Any, u: Any) -> None:
        """u = α x + s."""
        with np.errstate(all="ignore"):  # overflow is harmless: f(∞) is the limit
            np.multiply(x, alpha.reshape(()), out=u)
            if shift is not None:
                np.add(u, shift.reshape(()), out=u)

    def gradients(self, g: Any, x: Any, alpha: Any, shift: Any, gamma: Any, beta: Any) -> tuple[Any, ...]:
        runs, length = self.layout(x, gamma, beta)
        layout = -1, runs, length
        dx = np.empty(x.shape, x.dtype)
        scale = vector(gamma, 1, runs, x.dtype)
        of_channels, of_all = np.zeros((2, runs)), np.zeros(2)
        for part in self.parts(x) if x.size else ():
            g_part, x_part = np.ascontiguousarray(g[part]), np.ascontiguousarray(x[part])
            f = np.empty(x_part.shape, x.dtype)
            self.inside(x_part, alpha, shift, f)
            slope = self.slopes(f)
            self.squash_array(f)
            f = f.reshape(layout)
            chunks = kernels.chunk_count(len(f), 2 * f.size)
            partial, sums = np.empty((chunks, 2, runs)), np.empty((chunks, 2))
            arrays = (a.reshape(layout) for a in (g_part, x_part, f, slope))
            kernels.backward(
                2 * f.size, *arrays, scale, float(alpha.reshape(())), dx[part].reshape(layout), partial, sums
            )
            of_channels += partial.sum(0)
            of_all += sums.sum(0)

        def given(i: int, gradient: Any, other: Any) -> Any:
            return like(np.asarray(gradient, x.dtype), other) if self.needs(i) else None

        return (
            dx if self.needs(0) else None,
            given(1, of_all[0], alpha),
            given(2, of_all[1], shift),
            given(3, of_channels[0], gamma),
            given(4, of_channels[1], beta),
        )

    def layout(self, x: Any, gamma: Any, beta: Any) -> tuple[int, int]:
        """The number of γ, and the number of neighbours that share one."""
        one = gamma if gamma is not None else beta
        if one is None:
            return 1, max(prod(x.shape[1:]), 1)
        return max(one.size, 1), max(prod(x.shape[x.ndim - len(self.shape) + one.ndim :]), 1)

    # -- what a function adds --

    squash: Any
    """f as a graph op."""

    def squash_array(self, u: Any) -> None:
        """u ← f(u)."""
        raise NotImplementedError

    def slopes(self, u: Any) -> Any:
        """f′(u)."""
        raise NotImplementedError


class DynamicTanh(Dynamic):
    """f = tanh."""

    squash = staticmethod(tanh)

    def squash_array(self, u: Any) -> None:
        np.tanh(u, out=u)

    def slopes(self, u: Any) -> Any:
        # tanh′ = 4e/(1 + e)² with e = exp(−2|u|), which keeps its digits where 1 − tanh² cancels.
        e = np.abs(u, out=np.empty_like(u))
        e *= -2
        np.exp(e, out=e)
        slope = e + 1
        np.multiply(slope, slope, out=slope)
        e *= 4
        return np.divide(e, slope, out=slope)


class DynamicErf(Dynamic):
    """f = erf."""

    squash = staticmethod(erf)

    def squash_array(self, u: Any) -> None:
        u[...] = erf_array(u)

    def slopes(self, u: Any) -> Any:
        with np.errstate(over="ignore"):
            e = np.multiply(u, u, out=np.empty_like(u))
        np.negative(e, out=e)
        np.exp(e, out=e)
        return np.multiply(e, 2 / math.sqrt(math.pi), out=e)


def scalar(op: str, name: str, value: Any, x: Any) -> Any:
    """α or s: a number, or a tensor of one element and of the input's dtype."""
    if isinstance(value, float | int | np.number):
        return np.asarray(value, x.dtype)
    array = raw(value)
    if not isinstance(array, np.ndarray) or array.size != 1:
        raise ValueError(f"{op}: {name} must be one number for all elements, not {value!r}")
    if array.dtype != x.dtype:
        raise TypeError(
            f"{op}: the input is {x.dtype} and {name} is {array.dtype}; bring them to one dtype, x.double() or "
            "module.double()"
        )
    return value.reshape(()) if isinstance(value, Tensor) else array.reshape(())


def dynamic(
    op: str, kind: type[Dynamic], input: Any, alpha: Any, shift: Any, weight: Any, bias: Any, last: bool
) -> Any:
    x = check_float(op, input)
    alpha = scalar(op, "alpha", alpha, x)
    shift = None if shift is None else scalar(op, "shift", shift, x)
    given = [p for p in (weight, bias) if p is not None]
    shape: tuple[int, ...] = ()
    if given:
        covered = tuple(np.shape(raw(given[0])))
        if last:
            wanted = shape = x.shape[x.ndim - len(covered) :]
        else:
            if x.ndim < 2:
                raise ValueError(f"{op}: with channels_last=False the input must be (N, C, ...), not {x.shape}")
            wanted, shape = (x.shape[1],), (x.shape[1], *(1,) * (x.ndim - 2))
        check_parameters(op, x, wanted, weight, bias)
    norm = kind(shape)
    arguments = input, alpha, shift, weight, bias
    return norm.composed(*arguments) if modes.composed else norm(*arguments)


def dynamic_tanh(input: Any, alpha: Any, weight: Any = None, bias: Any = None, *, channels_last: bool = True) -> Any:
    """Squash every element by a tanh of learned steepness. Takes the place of layer normalization.

    y = γ tanh(α x) + β

    Plot the outputs of a layer norm in a trained transformer against its inputs, over all samples: the points lie
    along an S-shaped curve, nearly a line for most inputs and flat for the few extreme ones. This op is that curve,
    without the statistics. The four decisions: (1) no elements share a statistic; (2) there is no statistic; (3) a
    tanh squashes extreme values, and α has the role of 1/σ; (4) one γ and one β for each channel restore capacity.

    Shapes:
        input any, output the same; alpha one number; weight and bias the end of the input's shape, or (C,) for an
        input (N, C, *) with `channels_last=False`.

    Args:
        input: x, floating-point.
        alpha: α; the paper's layers learn it, starting at 0.5 (in large language models lower, and higher before
            attention than elsewhere).
        weight, bias: γ and β; None means 1 and 0.
        channels_last: True: channels are the last axis, as in a transformer. False: axis 1, as in a convolutional
            network.

    Raises:
        ValueError: α is not one number; γ or β has another shape.
        TypeError: an input that is not floating-point, or dtypes that differ.

    Nothing changes in evaluation. PyTorch and Keras do not have it.

    Source: Zhu, Chen, He, LeCun & Liu, "Transformers without normalization", arXiv 2503.10622.

    Example:
        >>> import minigrad as mg
        >>> x = mg.tensor([-1000.0, 0.0, 1000.0])
        >>> mg.nn.functional.dynamic_tanh(x, 0.5).tolist()
        [-1.0, 0.0, 1.0]
    """
    return dynamic("dynamic_tanh", DynamicTanh, input, alpha, None, weight, bias, channels_last)


def dynamic_erf(
    input: Any,
    alpha: Any,
    shift: Any = None,
    weight: Any = None,
    bias: Any = None,
    *,
    channels_last: bool = True,
) -> Any:
    """Derf: squash every element by an error function of learned steepness and place.

    y = γ erf(α x + s) + β

    It takes the place of a layer normalization, like `dynamic_tanh`. Its authors searched the curves that are
    centered, bounded and rising everywhere. This one was the best; it also learns the place of its center. The four
    decisions: (1) no elements share a statistic; (2) there is no statistic; (3) an error function squashes extreme
    values; (4) one γ and one β for each channel restore capacity.

    Shapes:
        input any, output the same; alpha and shift one number; weight and bias the end of the input's shape, or (C,)
        for an input (N, C, *) with `channels_last=False`.

    Args:
        input: x, floating-point.
        alpha: α; the paper's layers learn it, starting at 0.5.
        shift: s, learned as well, starting at 0; None means 0.
        weight, bias: γ and β; None means 1 and 0.
        channels_last: True: channels are the last axis. False: axis 1.

    Raises:
        ValueError: α or s is not one number; γ or β has another shape.
        TypeError: an input that is not floating-point, or dtypes that differ.

    Nothing changes in evaluation. PyTorch and Keras do not have it.

    Source: Chen et al., "Stronger normalization-free transformers", arXiv 2512.10938.

    Example:
        >>> import minigrad as mg
        >>> x = mg.tensor([-1000.0, 0.0, 1000.0])
        >>> mg.nn.functional.dynamic_erf(x, 0.5).tolist()
        [-1.0, 0.0, 1.0]
    """
    return dynamic("dynamic_erf", DynamicErf, input, alpha, shift, weight, bias, channels_last)
