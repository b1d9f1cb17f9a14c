"""Gradient clipping: keep one bad batch from throwing the parameters far away."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from minigrad.autograd import Tensor
from minigrad.kernels import optim as kernels
from minigrad.nn.module import Module
from minigrad.nn.utils.parametrizations import transposed_weights
from minigrad.ops.conv import filters_back, filters_first
from minigrad.ops.reduction import euclidean


def get_total_norm(
    tensors: Tensor | Iterable[Tensor], norm_type: float = 2.0, error_if_nonfinite: bool = False
) -> Tensor:
    """The norm of all the tensors' elements, as if they were one long vector: (Σ |x|^p)^(1/p).

    Args:
        tensors: one tensor, or several.
        norm_type: p; `math.inf` for the largest absolute value.
        error_if_nonfinite: raise an error if the result is NaN or infinite.

    Returns:
        A 0-d tensor of their dtype: ∞ if the norm is too large for it.

    Raises:
        RuntimeError: the norm is not finite, and `error_if_nonfinite` is set.
    """
    tensors = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    size, ratio = _total_norm(tensors, norm_type, error_if_nonfinite)
    return _as_tensor(size * ratio, tensors)


def _as_tensor(norm: float, tensors: list[Tensor]) -> Tensor:
    dtype = np.result_type(*[t.dtype for t in tensors]) if tensors else np.float32
    with np.errstate(over="ignore"):
        return Tensor(np.asarray(norm, dtype))


def _total_norm(tensors: list[Tensor], norm_type: float, error_if_nonfinite: bool) -> tuple[float, float]:
    """`get_total_norm` in float64, as two factors: their product may be too large where neither of them is."""
    p = float(norm_type)
    if not p > 0:
        raise ValueError(f"get_total_norm: norm_type must be above 0, got {norm_type}")
    arrays = [np.ascontiguousarray(t.array).reshape(-1) for t in tensors]
    powers = math.nan
    if p < math.inf:
        with np.errstate(over="ignore"):
            powers = sum(_square_sum(a) if p == 2 else _power_sum(np.abs(a), p) for a in arrays)
    if 1e-280 < powers < math.inf:
        size, ratio = (math.sqrt(powers) if p == 2 else powers ** (1 / p)), 1.0
    else:
        # np.max hands NaN on; Python's max would lose it.
        size, ratio = float(np.max([np.abs(a).max() for a in arrays if a.size], initial=0.0)), 1.0
        if p < math.inf and 0 < size < math.inf:
            # Powers of |x|/m, with m the largest |x|, stay within the range of the numbers.
            ratio = sum(_power_sum(np.abs(a) / np.float64(size), p) for a in arrays) ** (1 / p)
    if error_if_nonfinite and not math.isfinite(size):
        raise RuntimeError(
            f"the total norm (norm_type={norm_type}) of the gradients is {size}, so they cannot be clipped. To find "
            "where it comes from, run the step inside mg.detect_anomaly()."
        )
    return size, ratio


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> Tensor:
    """Scale all gradients, in place, so that their total norm is at most `max_norm`: g ← g · min(1, max_norm / norm).

    Call it between `backward()` and `step()`.

    Args:
        parameters: a tensor or several; those without a gradient do not count.
        max_norm: the largest norm allowed.
        norm_type: see `get_total_norm`.
        error_if_nonfinite: raise an error if the norm is NaN or infinite (the gradients are then as they were).

    Returns:
        The total norm before clipping, in the dtype of the gradients: ∞ if it is too large for that. The gradients are
        scaled by the norm all the same.

    Source: Pascanu, Mikolov and Bengio, arXiv 1211.5063. As in PyTorch, the divisor is norm + 1e-6.

    Example:
        >>> import minigrad as mg
        >>> x = mg.tensor([0.0, 0.0], requires_grad=True)
        >>> (x * mg.tensor([3.0, 4.0])).sum().backward()
        >>> mg.optim.clip_grad_norm_(x, max_norm=1.0).item()
        5.0
        >>> x.grad
        tensor([0.6, 0.8])
    """
    gradients = _gradients(parameters)
    size, ratio = _total_norm(gradients, norm_type, error_if_nonfinite)
    norm = size * ratio
    scale = max_norm / (norm + 1e-6)
    if not scale >= 1:  # also if it is NaN: then the gradients become NaN, and the fault can be seen
        for g in gradients:
            with np.errstate(invalid="ignore"):  # 0 · ∞
                if (
                    max_norm > 0 < size and abs(scale) < np.finfo(g.dtype).tiny
                ):  # it has not all its digits, or none: scale in two steps
                    g.array[...] = g.array / np.float64(size) * np.float64(max_norm / (ratio + 1e-6 / size))
                else:
                    g.array *= g.dtype.type(scale)
            g.version[0] += 1
    return _as_tensor(norm, gradients)


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float) -> None:
    """Limit every element of every gradient, in place, to [−clip_value, clip_value]. NaN stays NaN.

    Example:
        >>> import minigrad as mg
        >>> x = mg.tensor([0.0, 0.0], requires_grad=True)
        >>> (x * mg.tensor([0.25, 4.0])).sum().backward()
        >>> mg.optim.clip_grad_value_(x, 1.0)
        >>> x.grad.tolist()
        [0.25, 1.0]
    """
    if not clip_value >= 0:
        raise ValueError(f"clip_grad_value_: clip_value must not be negative, got {clip_value}")
    with np.errstate(over="ignore"):  # a limit beyond what the dtype holds is none
        for g in _gradients(parameters):
            np.clip(g.array, -clip_value, clip_value, out=g.array)
            g.version[0] += 1


def adaptive_clip_grad_(
    parameters: Tensor | Iterable[Tensor] | Module,
    clipping: float = 0.01,
    eps: float = 1e-3,
    *,
    exclude: Tensor | Iterable[Tensor] = (),
) -> None:
    """Limit every unit's gradient, in place, to a small part of the unit's weights. (Adaptive gradient clipping.)

    G_i ← G_i · min(1, clipping · max(‖W_i‖, ε) / ‖G_i‖)        W_i the weights of unit i, G_i their gradient

    A step of gradient descent with learning rate η then changes no unit by more than η · clipping of its size.
    Normalization layers have a similar effect. A unit is one output: a row of a Linear layer's weight, one filter of
    a convolution's. A vector, such as a bias, and a single number are one unit each.

    Call it between `backward()` and `step()`.

    Args:
        parameters: a tensor or several; those without a gradient are left out. Or a module, for all its parameters: it
            knows which weights are those of transposed convolutions, (in, out/groups, ...), and where their units lie.
            As mere tensors they are divided along the first axis like all others.
        clipping: λ, the largest allowed ratio of the norms.
        eps: ε, the smallest norm that is taken for weights. Without it, weights that are 0 could never change.
        exclude: parameters to leave as they are. The paper excludes the last layer:
            `adaptive_clip_grad_(model.parameters(), exclude=model.classifier.parameters())`.

    Raises:
        ValueError: a `clipping` or `eps` that is not above 0.

    Norms are computed in float64, and so neither overflow nor vanish. A gradient with NaN or infinity in it becomes
    NaN in its unit, where it can be seen. PyTorch does not have it.

    Source: Brock, De, Smith & Simonyan, "High-performance large-scale image recognition without normalization", arXiv
    2102.06171, equation 3.

    Example:
        >>> import minigrad as mg
        >>> w = mg.tensor([[3.0, 4.0], [3.0, 4.0]], requires_grad=True)
        >>> (w * mg.tensor([[0.25, 0.0], [50.0, 0.0]])).sum().backward()
        >>> mg.optim.adaptive_clip_grad_(w, clipping=0.1)  # ‖W_i‖ = 5, so that ‖G_i‖ may be 0.5
        >>> w.grad.tolist()
        [[0.25, 0.0], [0.5, 0.0]]
    """
    if not (clipping > 0 and eps > 0):
        raise ValueError(f"adaptive_clip_grad_: clipping={clipping} and eps={eps} must be above 0")
    transposed: dict[Any, int] = {}
    if isinstance(parameters, Module):
        transposed, parameters = transposed_weights(parameters), parameters.parameters()
    parameters = [parameters] if isinstance(parameters, Tensor) else parameters
    excluded = {id(p) for p in ([exclude] if isinstance(exclude, Tensor) else exclude)}
    for p in parameters:
        if p.grad is None or id(p) in excluded:
            continue
        g, groups = p.grad, transposed.get(p, 0)
        weights, gradients = (filters_first(a, groups) if groups else a for a in (p.array, g.array))
        units = _unit_norms(gradients)
        with np.errstate(divide="ignore", invalid="ignore"):  # no gradient: 0 / 0, and NaN stays
            scale = clipping * np.maximum(_unit_norms(weights), eps) / units
            factor = np.where(units == 0, 1.0, np.minimum(scale, 1.0))
            if (factor == 1).all():
                continue
            factor = factor.reshape(factor.shape + (1,) * (g.ndim - factor.ndim))
            g.array[...] = filters_back(gradients * factor, groups) if groups else gradients * factor
        g.version[0] += 1


def _unit_norms(x: Any) -> Any:
    """The norm of every unit: of each slice along the first axis, or of a whole vector. In float64."""
    if x.dtype == np.float32:  # float64 has room for these squares
        rows = x.reshape(len(x), math.prod(x.shape[1:])) if x.ndim > 1 else x.reshape(1, -1)
        norms = np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float64))
        return norms if x.ndim > 1 else norms[0]
    return euclidean(x, tuple(range(1, x.ndim)) if x.ndim > 1 else tuple(range(x.ndim)))


def _gradients(parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    parameters = [parameters] if isinstance(parameters, Tensor) else parameters
    return [p.grad for p in parameters if p.grad is not None]


def _power_sum(x: Any, p: float) -> float:
    return float(np.power(x, p, dtype=np.float64).sum())


def _square_sum(flat: Any) -> float:
    sums = np.empty(-(-flat.size // kernels.CHUNK))
    kernels.square_sums(flat.size, flat, sums)
    return math.fsum(sums) if np.isfinite(sums).all() else float(sums.sum())
