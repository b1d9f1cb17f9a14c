"""Normalizations of weights: weight norm, weight standardization, spectral norm.

They use no activations: a layer's weight is computed from other parameters, and the layer uses the result. So a batch
of one works as well as any other batch, and the cost does not grow with the batch. Training and evaluation compute the
same, but in evaluation the estimate of spectral norm does not change.

The four decisions, for weights: (1) which weights share a statistic: those of one output unit, a *filter*, or the
whole matrix; (2) which statistic: a length, mean and variance, the largest singular value; (3) how it is applied:
divide, standardize; (4) how capacity is restored: a learned length g, a gain, or not at all, because the purpose is a
bound on the layer.
"""

from math import prod, sqrt
from typing import Any

import numpy as np

from minigrad.autograd.fused import Fused
from minigrad.autograd.modes import modes
from minigrad.autograd.tensor import Tensor, raw
from minigrad.kernels import weight as kernels
from minigrad.ops.compare import where
from minigrad.ops.conv import filters_back, filters_first
from minigrad.ops.linalg import dot, mv
from minigrad.ops.norm.common import PASSES, RowNorm, affine, check_float, moments, squares_fit, standardize
from minigrad.ops.reduction import norm
from minigrad.ops.shape import movedim, one_axis, reshape

# -- what they share -----------------------------------------------------------------------------------------


def nonzero(size: Any) -> Any:
    """`size` with 1 in place of 0: a quotient 0/0 becomes 0, and the gradient stays finite."""
    return where(raw(size) == 0, 1.0, size)


def unit_shape(shape: tuple[int, ...], dim: int | None, groups: int = 1) -> tuple[int, ...]:
    """The shape of one number for each unit; () for a single number. With one group it broadcasts to the weight."""
    if dim is None:
        return ()
    units = (1,) * dim + (shape[dim],) + (1,) * (len(shape) - dim - 1)
    return units if groups == 1 or dim != 1 else (groups, *units[1:])


def checked(op: str, weight: Any, dim: int | None) -> tuple[Any, int | None]:
    """The weight's array, and `dim` counted from the front."""
    w = check_float(op, weight)
    if w.ndim == 0:
        raise ValueError(f"{op}: the weight must have an axis of units, got a 0-d tensor")
    return w, dim if dim is None else one_axis(dim, w.ndim, op)


def check_groups(op: str, shape: tuple[int, ...], dim: int | None, groups: int) -> int:
    """The number of groups whose units share an index of `dim`. Along axis 0 each unit has its own index."""
    if groups < 1 or (shape[0] % groups and dim):
        raise ValueError(f"{op}: groups={groups} must divide the first axis of the weight, whose shape is {shape}")
    if groups > 1 and dim not in (0, 1):
        raise ValueError(f"{op}: groups={groups} needs dim=1, as ConvTranspose has it, and dim is {dim}")
    return groups if dim == 1 else 1


def check_fits(op: str, name: str, values: Any, shape: tuple[int, ...], w: Any) -> None:
    """`values` must have this shape, and the dtype of the weight."""
    array = raw(values)
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{op}: {name} must be a tensor or an array, not a {type(array).__name__}")
    if array.shape != shape:
        raise ValueError(
            f"{op}: {name} has shape {array.shape}, and must have {shape} for a weight of shape {w.shape}"
        )
    if array.dtype != w.dtype:
        raise TypeError(f"{op}: the weight is {w.dtype} and {name} is {array.dtype}; bring them to one dtype")


def as_matrix(w: Any, dim: int | None) -> Any:
    """An array as contiguous rows, one for each unit; a single row without `dim`. A view if possible."""
    if dim == 0 and w.ndim == 2:
        return np.ascontiguousarray(w)
    if dim is None:
        return np.ascontiguousarray(w).reshape(1, -1)
    rows = w if dim == 0 else np.moveaxis(w, dim, 0)
    return np.ascontiguousarray(rows).reshape(w.shape[dim], prod(rows.shape[1:]))


def from_matrix(matrix: Any, out: Any, dim: int | None) -> Any:
    """The opposite: `out` with the values of `matrix`, which was `as_matrix(out, dim)` and is full now."""
    if dim:
        np.moveaxis(out, dim, 0)[...] = matrix.reshape(out.shape[dim], *out.shape[:dim], *out.shape[dim + 1 :])
    return out


# -- weight norm ---------------------------------------------------------------------------------------------


class WeightNorm(Fused):
    """w = g · v/‖v‖, one g and one length for each unit."""

    inverse: Any = None  # 1/‖v‖ of each unit

    def __init__(self, dim: int | None):
        self.dim = dim

    def composed(self, v: Any, g: Any) -> Any:
        """Equation 2 of the paper."""
        axes = tuple(axis for axis in range(v.ndim) if axis != self.dim)
        return g * (v / nonzero(norm(v, 2, axes, keepdim=self.dim is not None)))

    def forward(self, v: Any, g: Any) -> Any:
        self.save_for_backward(v, g)
        w = np.empty(v.shape, v.dtype)
        rows, out = as_matrix(v, self.dim), as_matrix(w, self.dim)
        self.inverse = inverse = np.empty(len(rows))
        kernels.unit_rows_forward(PASSES * v.size, rows, g.reshape(-1), out, inverse)
        return from_matrix(out, w, self.dim)

    def gradients(self, grad: Any, v: Any, g: Any) -> tuple[Any, Any]:
        dv, dg = np.empty(v.shape, v.dtype), np.empty(g.shape, v.dtype)
        rows, grad, out = as_matrix(v, self.dim), as_matrix(grad, self.dim), as_matrix(dv, self.dim)
        kernels.unit_rows_backward(PASSES * v.size, grad, rows, g.reshape(-1), self.inverse, out, dg.reshape(-1))
        return from_matrix(out, dv, self.dim) if self.needs(0) else None, dg if self.needs(1) else None


def weight_norm(v: Any, g: Any, dim: int | None = 0, groups: int = 1) -> Any:
    """Write a weight as a length times a direction, and learn both separately.

    w = g · v / ‖v‖

    The four decisions: (1) the weights of one output unit share a statistic; (2) the statistic is their Euclidean
    length; (3) it divides them; (4) g, one for each unit, is the new length.

    A gradient step on v is at right angles to v. So v only grows, and its direction turns more slowly as it grows: the
    step size adjusts itself. Nothing is subtracted, so the mean of activations is not controlled; mean-only batch norm
    (section 4 of the paper) subtracts it. `nn.utils.data_dependent_init` standardizes the pre-activations once, at the
    start.

    Shapes:
        v any, g as v with every axis but `dim` of length 1, or () for `dim=None` → w as v. With groups g's first axis
        is of length `groups`.

    Args:
        v: the direction, of any length.
        g: the length of each unit's weights.
        dim: the axis of the units. For Linear and Conv this is 0; for ConvTranspose, whose weight is
            (in, out, ...), 1. None: one length for all of v.
        groups: of a ConvTranspose, with dim=1: each group's filters have a g of their own. With 1, filters of
            different groups share a g, as in PyTorch.

    Raises:
        ValueError: a shape or an axis that does not fit.
        TypeError: not floating-point, or dtypes that differ.

    Nothing changes in evaluation. If v is 0, it has no direction. Its length then counts as 1, so that w = 0, ∂L/∂v =
    g · ∂L/∂w and ∂L/∂g = 0.

    Differences from PyTorch: in PyTorch, v = 0 gives NaN, and `dim=-1` means None; here it is the last axis. Second
    derivatives with respect to v are right here; in PyTorch 2.13 they fail its own gradgradcheck. Keras has no weight
    norm.

    Source: Salimans & Kingma, "Weight normalization", arXiv 1602.07868.

    Example:
        >>> import minigrad as mg
        >>> v = mg.tensor([[3.0, 4.0], [0.0, 0.5]])
        >>> mg.nn.functional.weight_norm(v, mg.tensor([[10.0], [1.0]])).tolist()
        [[6.0, 8.0], [0.0, 1.0]]
    """
    op = "weight_norm"
    array, dim = checked(op, v, dim)
    groups = check_groups(op, array.shape, dim, groups)
    check_fits(op, "g", g, unit_shape(array.shape, dim, groups), array)
    if groups > 1:
        filters = filters_first(v, groups)
        return filters_back(weight_norm(filters, reshape(g, unit_shape(filters.shape, 0)), 0), groups)
    rule = WeightNorm(dim)
    return rule.composed(v, g) if modes.composed or not squares_fit(array) else rule(v, g)


# -- weight standardization ----------------------------------------------------------------------------------


class WeightStandardization(RowNorm):
    """Rows are filters, the weights of one output unit. The kernels are those of group norm."""

    def __init__(self, shape: tuple[int, ...], eps: float):
        self.parameters, self.eps = shape[0], float(eps)
        self.length = self.run = prod(shape[1:])

    def composed(self, x: Any, gamma: Any, beta: Any) -> Any:
        """The definition in section 3 of the paper, and the gain of the scaled one."""
        filters = tuple(range(1, x.ndim))
        return affine(standardize(x, *moments(x, filters), self.eps), gamma, beta, unit_shape(x.shape, 0))


def standardized(op: str, weight: Any, gain: Any, dim: int, eps: float, groups: int) -> Any:
    """Each filter to mean 0 and variance 1, times a gain for each."""
    shape = raw(weight).shape
    fan_in = prod(shape) // max(shape[dim] * groups, 1)
    if fan_in == 1:
        raise ValueError(
            f"{op}: a filter of one weight has no variance, and the weight has shape {shape} with dim={dim}"
            f"{f' and groups={groups}' if groups > 1 else ''}: standardized, all would be 0. "
            "Depthwise 1×1 convolutions and single inputs are better left alone"
        )
    w = filters_first(weight, groups) if groups > 1 else movedim(weight, dim, 0) if dim else weight
    rule = WeightStandardization(raw(w).shape, eps)
    w = rule.composed(w, gain, None) if modes.composed else rule(w, gain, None)
    return filters_back(w, groups) if groups > 1 else movedim(w, 0, dim) if dim else w


def weight_standardization(weight: Any, dim: int = 0, eps: float = 1e-10, groups: int = 1) -> Any:
    """Give the weights of every output unit mean 0 and variance 1.

    ŵ = (w − μ) / √(σ² + ε)

    The four decisions: (1) the weights of one output unit, a filter, share statistics; (2) the statistics are the mean
    and the biased variance; (3) they standardize the weights; (4) nothing restores capacity: γ and β of a norm of
    activations after the layer do this (group norm in the paper).

    In each filter, the gradient of w is orthogonal to 1 and, except for ε, to ŵ. This makes the loss smoother.
    Together with group norm, training with one image per batch works as well as batch norm with many.

    Shapes:
        weight (out, ...) for dim = 0, result the same.

    Args:
        weight: w, at least two-dimensional.
        dim: the axis of the output units: 0 for Linear and Conv, 1 for ConvTranspose.
        eps: ε, under the root. Weights are small, with a variance near 1/fan_in, so batch norm's 1e-5 would change the
            result. The authors' program adds 1e-5 to the *deviation* σ, which corresponds to ε = 2e-5·σ + 1e-10 here.
        groups: of a ConvTranspose, with dim=1: its weight, (in, out/groups, ...), holds a filter of each group at one
            index of axis 1. A Conv's filters have separate indices, so it needs no groups here.

    Raises:
        ValueError: filters of a single weight, an axis that is not there, or groups that do not fit.
        TypeError: not floating-point.

    Nothing changes in evaluation. A filter of equal weights becomes 0. The authors' program uses the unbiased
    deviation; the paper, and this function, the biased one. PyTorch and Keras have no weight standardization. It
    equals `instance_norm` of the weight as a single image whose channels are the filters, and uses the same kernels.

    Source: Qiao, Wang, Liu, Shen & Yuille, "Weight standardization", arXiv 1903.10520.

    Example:
        >>> import minigrad as mg
        >>> mg.nn.functional.weight_standardization(mg.tensor([[1.0, 3.0], [10.0, 30.0]])).tolist()
        [[-1.0, 1.0], [-1.0, 1.0]]
    """
    op = "weight_standardization"
    w, axis = checked(op, weight, int(dim))
    return standardized(op, weight, None, int(axis or 0), eps, check_groups(op, w.shape, axis, groups))


def scaled_weight_standardization(
    weight: Any, gain: Any = None, gamma: float = 1.0, dim: int = 0, eps: float = 1e-10, groups: int = 1
) -> Any:
    """Standardize every filter and divide by √fan_in, so that the layer keeps the variance of its input.

    ŵ = gain · γ/√N · (w − μ) / √(σ² + ε),        N = fan_in, the number of weights of a filter

    The four decisions: (1) the weights of one output unit share statistics; (2) the statistics are the mean and the
    biased variance; (3) they standardize the weights; (4) a learned gain for each unit, if any, and a constant γ
    restore the scale; γ makes up for the loss of variance in the nonlinearity.

    For inputs of variance 1 the pre-activations have variance γ², and because the weights of a unit add up to 0, the
    mean of relu's outputs is no longer amplified from layer to layer. With γ = √2/√(1 − 1/π) ≈ 1.7129 for relu,
    residual networks train without any norm of activations. (In a transposed convolution of stride s with n axes of
    space, an output sums only about 1/sⁿ of a filter; its variance is smaller by the same factor.)

    Shapes:
        weight (out, ...) for dim = 0, gain (out, 1, ...) → as the weight.
        weight (in, out/groups, ...) for dim = 1, gain (groups, out/groups, 1, ...) → as the weight.

    Args:
        weight: w, at least two-dimensional.
        gain: one number for each unit; None for 1.
        gamma: γ, 1 divided by the deviation of the nonlinearity's output for a standard normal input.
        dim: the axis of the output units: 0 for Linear and Conv, 1 for ConvTranspose.
        eps: ε, under the root; see `weight_standardization`.
        groups: of a ConvTranspose, with dim=1; see `weight_standardization`.

    Raises:
        ValueError: filters of a single weight, or a shape, an axis or groups that do not fit.
        TypeError: not floating-point, or dtypes that differ.

    Nothing changes in evaluation. The authors' program bounds N·σ² from below by 1e-4 instead of adding ε. PyTorch and
    Keras do not have this function.

    Source: Brock, De & Smith, "Characterizing signal propagation to close the performance gap in unnormalized
    ResNets", arXiv 2101.08692; the learned gain is from their arXiv 2102.06171.

    Example:
        >>> import minigrad as mg
        >>> w = mg.tensor([[1.0, 3.0, 1.0, 3.0]])
        >>> mg.nn.functional.scaled_weight_standardization(w, gamma=2.0).tolist()
        [[-1.0, 1.0, -1.0, 1.0]]
    """
    op = "scaled_weight_standardization"
    w, axis = checked(op, weight, int(dim))
    groups = check_groups(op, w.shape, axis, groups)
    units = w.shape[int(axis or 0)] * groups
    scale = float(gamma) / sqrt(max(w.size // max(units, 1), 1))
    if gain is None:
        factors = np.full(units, scale, w.dtype)
    else:
        check_fits(op, "gain", gain, unit_shape(w.shape, axis, groups), w)
        factors = reshape(gain, (units,)) * scale
    return standardized(op, weight, factors, int(axis or 0), eps, groups)


# -- spectral norm -------------------------------------------------------------------------------------------


class SpectralNorm(Fused):
    """W/σ with σ = uᵀ W v, where u and v are constants.

    Args:
        u, v: estimates of the first singular vectors. Forward updates them, in place.
        steps: the number of power iterations before the division.
        dim: the axis of the weight that becomes the first axis of the matrix.
        eps: ε, the least length that a vector is divided by.
    """

    sigma = 1.0

    def __init__(self, u: Any, v: Any, steps: int, dim: int, eps: float):
        self.u, self.v, self.steps, self.dim, self.eps = u, v, steps, dim, float(eps)

    def composed(self, weight: Any) -> Any:
        """Equation 8 of the paper, with uᵀ W v in place of the singular value."""
        matrix = movedim(weight, self.dim, 0) if self.dim else weight
        matrix = reshape(matrix, (self.u.size, self.v.size))
        return weight / nonzero(dot(Tensor(self.u), mv(matrix, Tensor(self.v))))

    def forward(self, weight: Any) -> Any:
        self.save_for_backward(weight)
        matrix, y = as_matrix(weight, self.dim), np.empty(weight.shape, weight.dtype)
        out, work = as_matrix(y, self.dim), PASSES * weight.size
        self.sigma = kernels.spectral_forward(work, matrix, self.u, self.v, self.steps, self.eps, out)
        return from_matrix(out, y, self.dim)

    def gradients(self, g: Any, weight: Any) -> tuple[Any]:
        if self.sigma == 0:  # replaced by 1, a constant
            return (g,)
        matrix, dw = as_matrix(weight, self.dim), np.empty(weight.shape, weight.dtype)
        out, work = as_matrix(dw, self.dim), PASSES * weight.size
        kernels.spectral_backward(work, as_matrix(g, self.dim), matrix, self.u, self.v, self.sigma, out)
        return (from_matrix(out, dw, self.dim),)


def spectral_norm(
    weight: Any,
    u: Any,
    v: Any,
    n_power_iterations: int = 1,
    dim: int = 0,
    eps: float = 1e-12,
    training: bool = False,
) -> Any:
    """Divide a weight by its largest singular value, so that the layer makes no input longer.

    y = W / σ,   σ = uᵀ W v;    in training first, n times,   u ← W v/‖W v‖,  v ← Wᵀ u/‖Wᵀ u‖

    The four decisions: (1) the whole weight, as a matrix with a row for each unit, shares one statistic; (2) the
    statistic is its largest singular value, the largest factor by which it lengthens a vector, estimated by power
    iteration; (3) it divides the weight; (4) nothing restores capacity, because the purpose is a bound: the layer is
    1-Lipschitz.

    A weight changes little in each step, so one iteration from the vectors of the last step is enough. At the start,
    one iteration is not enough: pass a large `n_power_iterations` once, or make u and v with
    `nn.utils.parametrizations.spectral_norm`, which iterates 15 times.

    Shapes:
        weight any, with m units along `dim`; u (m,); v (number of elements / m,) → as the weight.

    Args:
        weight: W.
        u, v: estimates of the first left and right singular vectors. With `training` they are updated in place;
            otherwise they are used unchanged.
        n_power_iterations: n.
        dim: the axis of the units, which becomes the first axis of the matrix: 0 for Linear and Conv, 1 for
            ConvTranspose.
        eps: ε, the least length that a vector is divided by.
        training: True runs the power iterations.

    Raises:
        ValueError: a shape or an axis that does not fit.
        TypeError: not floating-point, or dtypes that differ.

    No gradient flows through u and v: at the true singular vectors ∂σ/∂W is u vᵀ, as if they were constants. (So first
    derivatives are exact. Second derivatives ignore that u and v change with W, as in PyTorch.)

    In evaluation u and v do not change, and σ follows the weight alone. A weight of 0 stays 0, because σ = 0 counts as
    1. u and v change only if σ is a number other than 0; in PyTorch they become 0 or NaN and stay so. For
    convolutions, σ belongs to the reshaped weight, as in the paper, not to the convolution as a linear map. Keras'
    SpectralNormalization divides in the same way.

    Source: Miyato, Kataoka, Koyama & Yoshida, "Spectral normalization for GANs", arXiv 1802.05957.

    Example:
        >>> import minigrad as mg
        >>> w = mg.tensor([[2.0, 0.0], [0.0, 1.0]])
        >>> u, v = mg.tensor([1.0, 0.0]), mg.tensor([1.0, 0.0])
        >>> mg.nn.functional.spectral_norm(w, u, v).tolist()
        [[1.0, 0.0], [0.0, 0.5]]
    """
    op = "spectral_norm"
    w, axis = checked(op, weight, int(dim))
    axis = int(axis or 0)
    units = w.shape[axis]
    check_fits(op, "u", u, (units,), w)
    check_fits(op, "v", v, (prod(w.shape[:axis] + w.shape[axis + 1 :]),), w)
    if n_power_iterations < 0:
        raise ValueError(f"{op}: n_power_iterations must not be negative, got {n_power_iterations}")
    # Copies, because the estimates may change before the backward pass.
    norm = SpectralNorm(raw(u).copy(), raw(v).copy(), n_power_iterations if training else 0, axis, eps)
    y = norm(weight)
    if training and np.isfinite(norm.sigma) and norm.sigma != 0:
        overwrite(op, "u", u, norm.u)
        overwrite(op, "v", v, norm.v)
    return norm.composed(weight) if modes.composed else y


def overwrite(op: str, name: str, values: Any, new: Any) -> None:
    """Set `values`, in place."""
    if not raw(values).flags.writeable:
        raise ValueError(f"{op}: {name} must be updated in place, but it is read-only; pass a copy of it")
    array = values._write(op) if isinstance(values, Tensor) else values
    array[...] = new
