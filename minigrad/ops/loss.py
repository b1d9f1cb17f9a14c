"""Losses: the error of predictions, as one number or one for each sample.

Every loss takes `reduction`: "mean" (default), "sum", or "none" for the elements themselves.
"""

import warnings
from typing import Any

import numpy as np

from minigrad.autograd import Function
from minigrad.autograd.fused import fused_backward
from minigrad.autograd.modes import modes
from minigrad.autograd.tensor import raw
from minigrad.kernels import loss as kernels
from minigrad.ops.activation import check_float, log_softmax, logsigmoid
from minigrad.ops.compare import clip, where
from minigrad.ops.elementwise import cast, expand, operands
from minigrad.ops.reduction import mean, sum
from minigrad.ops.shape import permute, reshape
from minigrad.ops.unary import exp, log


def _check_reduction(reduction: str, op: str, also: tuple[str, ...] = ()) -> None:
    if reduction not in ("mean", "sum", "none"):
        names = ", ".join(f'"{r}"' for r in (*also, "mean", "sum"))
        raise ValueError(f'{op}: reduction must be {names} or "none", not {reduction!r}')


def _reduce(losses: Any, reduction: str) -> Any:
    """The mean, the sum, or the losses themselves. The mean of no losses at all is NaN, as in PyTorch."""
    if reduction == "mean":
        return mean(losses)
    return sum(losses) if reduction == "sum" else losses


def _pair(x: Any, target: Any, op: str, exact: bool = False) -> tuple[Any, Any]:
    """Input and target, of one shape and dtype.

    Shapes that differ but broadcast are an error if `exact`. Otherwise there is a warning, because such shapes are
    usually a mistake: (N, 1) and (N,) give N² losses.
    """
    if not hasattr(target, "dtype"):
        target = np.asarray(target)
    if x.shape != target.shape:
        said = f"{op}: input has shape {x.shape}, and target {target.shape}"
        try:
            shape = np.broadcast_shapes(x.shape, target.shape)
        except ValueError:
            shape = None
        if exact or shape is None:
            raise ValueError(f"{said}: they must have the same shape, target.reshape(input.shape)")
        warnings.warn(
            f"{said}. They are broadcast to {shape}, which is likely not what you want: give both the same shape, "
            "target.reshape(input.shape).",
            stacklevel=3,
        )
        x, target = expand(x, shape), expand(target, shape)
    return operands(x, target, divide=True)


def _check_weight(weight: Any, x: Any, op: str) -> None:
    if weight.shape != x.shape:
        raise ValueError(f"{op}: weight has shape {weight.shape}, and must have the shape of input, {x.shape}")


def _reduce_weighted(losses: Any, weight: Any, x: Any, reduction: str, op: str) -> Any:
    if weight is None:
        return _reduce(losses, reduction)
    _check_weight(weight, x, op)
    losses = losses * weight
    return sum(losses) / sum(weight) if reduction == "mean" else _reduce(losses, reduction)


# -- regression ---------------------------------------------------------------------------------------------


class SquaredError(Function):
    """z = (x − y)²:  ∂z/∂x = 2 (x − y),  ∂z/∂y = −2 (x − y)."""

    def forward(self, x: Any, y: Any) -> Any:
        self.save_for_backward(x, y)
        d = x - y
        return d * d

    def backward(self, g: Any) -> Any:
        x, y = self.saved
        gx = (x - y) * 2 * g
        return gx if self.needs(0) else None, -gx if self.needs(1) else None


class AbsoluteError(Function):
    """z = |x − y|:  ∂z/∂x = sign(x − y),  ∂z/∂y = −sign(x − y)."""

    def forward(self, x: Any, y: Any) -> Any:
        d = x - y
        self.sign = np.sign(d)
        return np.abs(d)

    def backward(self, g: Any) -> Any:
        gx = g * self.sign
        return gx if self.needs(0) else None, -gx if self.needs(1) else None


class SmoothL1(Function):
    """z = d²/2β where |d| < β, and |d| − β/2 elsewhere, with d = x − y:  ∂z/∂x = d/β, and sign(d)."""

    def __init__(self, beta: float):
        self.beta = beta

    def forward(self, x: Any, y: Any) -> Any:
        self.save_for_backward(x, y)
        d = x - y
        size = np.abs(d)
        self.near, self.sign = size < self.beta, np.sign(d)
        return np.where(self.near, d * d * (0.5 / self.beta), size - 0.5 * self.beta)

    def backward(self, g: Any) -> Any:
        x, y = self.saved
        gx = g * where(self.near, (x - y) / self.beta, self.sign)
        return gx if self.needs(0) else None, -gx if self.needs(1) else None


def mse_loss(input: Any, target: Any, reduction: str = "mean", weight: Any = None) -> Any:
    """The squared error (x − y)².

    Args:
        input, target: of one shape. (Other shapes are broadcast, with a warning.)
        reduction: "mean", "sum" or "none".
        weight: multiplies each loss, of the shape of input; the mean is then Σ weight · loss / Σ weight.

    Example:
        >>> import minigrad as mg
        >>> mg.nn.functional.mse_loss(mg.tensor([1.0, 2.0]), mg.tensor([1.0, 4.0])).item()
        2.0
    """
    _check_reduction(reduction, "mse_loss")
    losses = SquaredError()(*_pair(input, target, "mse_loss"))
    return _reduce_weighted(losses, weight, input, reduction, "mse_loss")


def l1_loss(input: Any, target: Any, reduction: str = "mean", weight: Any = None) -> Any:
    """The absolute error |x − y|; its gradient at 0 is 0. Arguments as for `mse_loss`."""
    _check_reduction(reduction, "l1_loss")
    losses = AbsoluteError()(*_pair(input, target, "l1_loss"))
    return _reduce_weighted(losses, weight, input, reduction, "l1_loss")


def smooth_l1_loss(input: Any, target: Any, reduction: str = "mean", beta: float = 1.0) -> Any:
    """d²/2β where |d| < β, and |d| − β/2 elsewhere, with d = x − y: squared near 0, absolute far away.

    Args:
        input, target: of one shape.
        reduction: "mean", "sum" or "none".
        beta: the |d| where the squared and the absolute part meet; 0 gives `l1_loss`.

    Source: Girshick, Fast R-CNN, arXiv 1504.08083.
    """
    _check_reduction(reduction, "smooth_l1_loss")
    if beta < 0:
        raise ValueError(f"smooth_l1_loss: beta must not be negative, got {beta}")
    x, y = _pair(input, target, "smooth_l1_loss")
    return _reduce(SmoothL1(beta)(x, y) if beta else AbsoluteError()(x, y), reduction)


def huber_loss(input: Any, target: Any, reduction: str = "mean", delta: float = 1.0, weight: Any = None) -> Any:
    """d²/2 where |d| < δ, and δ (|d| − δ/2) elsewhere, with d = x − y: δ times `smooth_l1_loss` with β = δ.

    `weight`, of the shape of input, multiplies each loss. As in PyTorch, the mean is not divided by it.
    """
    _check_reduction(reduction, "huber_loss")
    if delta <= 0:
        raise ValueError(f"huber_loss: delta must be positive, got {delta}")
    losses = SmoothL1(delta)(*_pair(input, target, "huber_loss")) * delta
    if weight is not None:
        _check_weight(weight, input, "huber_loss")
        losses = losses * weight
    return _reduce(losses, reduction)


# -- yes or no ----------------------------------------------------------------------------------------------


class BinaryCrossEntropy(Function):
    """z = −y log x − (1 − y) log(1 − x):  ∂z/∂x = (x − y) / (x (1 − x)),  ∂z/∂y = log(1 − x) − log x.

    Both logarithms are at least −100, so that a wrong answer of probability 0 has a finite loss.
    """

    def forward(self, x: Any, y: Any) -> Any:
        self.save_for_backward(x, y)
        with np.errstate(divide="ignore"):
            log_x, log_rest = np.maximum(np.log(x), -100), np.maximum(np.log1p(-x), -100)
        return (y - 1) * log_rest - y * log_x

    def backward(self, g: Any) -> Any:
        x, y = self.saved
        gx = gy = None
        if self.needs(0):
            gx = g * (x - y) / clip(x * (1 - x), 1e-12)
        if self.needs(1):
            gy = g * (clip(log(1 - x), -100) - clip(log(x), -100))
        return gx, gy


def binary_cross_entropy(input: Any, target: Any, weight: Any = None, reduction: str = "mean") -> Any:
    """−y log x − (1 − y) log(1 − x), for probabilities x and targets y between 0 and 1.

    Prefer `binary_cross_entropy_with_logits` to a sigmoid before this: it is exact for probabilities near 0 and 1 as
    well.

    Args:
        input, target: of one shape.
        weight: multiplies each loss; broadcast to input.
        reduction: "mean", "sum" or "none".

    Raises:
        ValueError: shapes differ, or input is not between 0 and 1.
    """
    _check_reduction(reduction, "binary_cross_entropy")
    x, y = _pair(input, target, "binary_cross_entropy", exact=True)
    array = raw(x)
    if ((array < 0) | (array > 1)).any():
        raise ValueError(
            f"binary_cross_entropy: input must be probabilities between 0 and 1, and lies between {array.min():.6g} "
            f"and {array.max():.6g}: apply sigmoid, or use binary_cross_entropy_with_logits"
        )
    losses = BinaryCrossEntropy()(x, y)
    return _reduce(losses if weight is None else losses * weight, reduction)


def binary_cross_entropy_with_logits(
    input: Any, target: Any, weight: Any = None, reduction: str = "mean", pos_weight: Any = None
) -> Any:
    """−p y log σ(x) − (1 − y) log(1 − σ(x)), for scores x and targets y between 0 and 1.

    It is computed as (1 − y) x − (1 + (p − 1) y) log σ(x), which is exact for scores of any size.

    Args:
        input, target: of one shape.
        weight: multiplies each loss; broadcast to input.
        reduction: "mean", "sum" or "none".
        pos_weight: p, the weight of the positive answers; broadcast to input.
    """
    _check_reduction(reduction, "binary_cross_entropy_with_logits")
    x, y = _pair(input, target, "binary_cross_entropy_with_logits", exact=True)
    log_p = logsigmoid(x)
    if pos_weight is not None:
        log_p = log_p * ((pos_weight - 1) * y + 1)
    losses = (1 - y) * x - log_p
    return _reduce(losses if weight is None else losses * weight, reduction)


# -- distributions ------------------------------------------------------------------------------------------


class XLogX(Function):
    """y = x log x, and 0 for x = 0:  ∂y/∂x = log x + 1."""

    def forward(self, x: Any) -> Any:
        self.save_for_backward(x)
        return x * np.log(np.where(x == 0, 1, x))

    def backward(self, g: Any) -> Any:
        (x,) = self.saved
        return g * (log(x) + 1)


def kl_div(input: Any, target: Any, reduction: str = "mean", log_target: bool = False) -> Any:
    """y (log y − x): the Kullback–Leibler divergence from log-probabilities x to probabilities y.

    Args:
        input: log-probabilities.
        target: probabilities, or their logarithms with `log_target`.
        reduction: "batchmean" (the sum, divided by the length of the first axis: the divergence as the
            textbooks define it), "mean" (over all elements), "sum" or "none".
        log_target: True if target holds logarithms.
    """
    if reduction != "batchmean":
        _check_reduction(reduction, "kl_div", also=("batchmean",))
    x, y = _pair(input, target, "kl_div")
    losses = exp(y) * (y - x) if log_target else XLogX()(y) - y * x
    if reduction == "batchmean":
        return sum(losses) / (x.shape[0] if x.ndim else 1)
    return _reduce(losses, reduction)


# -- classification -----------------------------------------------------------------------------------------


class NLL(Function):
    """losses[n] = −weights[n] · x[n, target[n]], for x of shape (N, C). Linear in x.

    An ignored sample has weight 0 and target 0; its loss is 0 even if x is infinite there.
    """

    def __init__(self, target: Any, weights: Any, counts: Any):
        self.target, self.weights, self.counts = target, weights, counts

    def forward(self, x: Any) -> Any:
        self.classes = x.shape[1]
        picked = x[np.arange(len(self.target)), self.target]
        return np.where(self.counts, -self.weights * picked, 0).astype(x.dtype, copy=False)

    def backward(self, g: Any) -> Any:
        return NLLBackward(self.target, self.weights, self.counts, self.classes)(g)


class NLLBackward(Function):
    """out[n, target[n]] = −weights[n] · g[n], and 0 elsewhere: the transpose of `NLL`."""

    def __init__(self, target: Any, weights: Any, counts: Any, classes: int):
        self.target, self.weights, self.counts, self.classes = target, weights, counts, classes

    def forward(self, g: Any) -> Any:
        out = np.zeros((len(self.target), self.classes), g.dtype)
        out[np.arange(len(self.target)), self.target] = np.where(self.counts, -self.weights * g, 0)
        return out

    def backward(self, v: Any) -> Any:
        return NLL(self.target, self.weights, self.counts)(v)


class CrossEntropy(Function):
    """−w log softmax(x)[target], for scores (N, C) and class numbers (N,), in one kernel each way."""

    def __init__(self, target: Any, weight: Any, ignore_index: int, reduction: str):
        self.target, self.weight, self.ignore_index, self.reduction = target, weight, ignore_index, reduction

    def forward(self, x: Any) -> Any:
        self.save_for_backward(x)
        weight = np.empty(0, x.dtype) if self.weight is None else self.weight
        p = np.empty(x.shape, x.dtype)
        losses = np.empty(len(x), x.dtype)
        x = np.ascontiguousarray(x)
        loss_sum, weight_sum, bad = kernels.cross_entropy(x.size, x, self.target, weight, self.ignore_index, p, losses)
        self.bad = bad
        # Only the kernel of the backward pass uses these; the derivative of the backward pass starts from x again.
        self.p, self.kernel_weight, self.scale = p, weight, 1.0
        if self.reduction == "none":
            return losses
        if self.reduction == "sum":
            return np.array(loss_sum, x.dtype)
        if weight_sum == 0:  # if every sample is ignored: 0/0
            self.scale = float("nan")
            return np.array(np.nan, x.dtype)
        self.scale = 1 / weight_sum
        return np.array(loss_sum / weight_sum, x.dtype)

    def backward(self, g: Any) -> Any:
        return fused_backward(self.composed, self._kernel, "CrossEntropyBackward", g, *self.saved)

    def _kernel(self, g: Any, x: Any) -> Any:
        out = np.empty(x.shape, x.dtype)
        kernels.cross_entropy_backward(
            x.size, g.ravel(), self.p, self.target, self.kernel_weight, self.ignore_index, self.scale, out
        )
        return (out,)

    def composed(self, x: Any) -> Any:
        return _from_scores(x, self.target, self.weight, self.ignore_index, self.reduction, 0.0)


def cross_entropy(
    input: Any,
    target: Any,
    weight: Any = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Any:
    """Softmax and negative log-likelihood in one: the loss for classification, from raw scores.

    loss = −w[t] log softmax(x)[t] for a class number t, and −Σ_c w[c] t[c] log softmax(x)[c] for
    probabilities t. The mean over class numbers is weighted: Σ losses / Σ w[t].

    Args:
        input: scores, (C,), (N, C) or (N, C, d1, ...).
        target: class numbers (integers; the shape of input without C), or probabilities (floats; the shape
            of input).
        weight: a weight for each class, (C,); a constant.
        ignore_index: samples with this class number have loss 0 and do not count in the mean.
        reduction: "mean", "sum" or "none".
        label_smoothing: ε in [0, 1]: the true class has probability 1 − ε + ε/C, every other one ε/C.

    Raises:
        IndexError: a class number outside 0..C−1.
        ValueError: shapes that do not fit.
        TypeError: a target that is neither.

    Source: label smoothing is section 7 of Szegedy et al., arXiv 1512.00567.

    Example:
        >>> import minigrad as mg
        >>> scores = mg.tensor([[2.0, 0.0], [0.0, 2.0]])
        >>> round(mg.nn.functional.cross_entropy(scores, mg.tensor([0, 0])).item(), 4)
        1.1269
    """
    _check_reduction(reduction, "cross_entropy")
    check_float(input, "cross_entropy")
    if input.ndim == 0:
        raise ValueError("cross_entropy: input is 0-d, and must have an axis of classes: (C,), (N, C) or (N, C, ...)")
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"cross_entropy: label_smoothing must be between 0 and 1, not {label_smoothing}")
    if input.shape == (target.shape if hasattr(target, "shape") else np.shape(target)):
        return _soft_cross_entropy(input, target, weight, ignore_index, reduction, label_smoothing)
    x, classes, w = _rows(input), *_class_weight(input, weight, "cross_entropy")
    t, shape = _class_numbers(input, target, "cross_entropy")
    if label_smoothing or modes.composed or not classes:
        _check_classes(t, shape, classes, ignore_index, "cross_entropy")
        losses = _from_scores(x, t, w, ignore_index, reduction, label_smoothing)
    else:
        op = CrossEntropy(t, w, ignore_index, reduction)
        losses = op(x)
        if op.bad >= 0:
            raise _no_class(t, shape, classes, op.bad, "cross_entropy")
    return reshape(losses, shape) if reduction == "none" else losses


def nll_loss(input: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: str = "mean") -> Any:
    """−w[t] x[t]: the negative log-likelihood of class numbers t, from log-probabilities x.

    `cross_entropy(x, t)` is `nll_loss(log_softmax(x, 1), t)`; arguments and errors are the same as there.
    """
    _check_reduction(reduction, "nll_loss")
    check_float(input, "nll_loss")
    if input.ndim == 0:
        raise ValueError("nll_loss: input is 0-d, and must have an axis of classes: (C,), (N, C) or (N, C, ...)")
    x, classes, w = _rows(input), *_class_weight(input, weight, "nll_loss")
    t, shape = _class_numbers(input, target, "nll_loss")
    _check_classes(t, shape, classes, ignore_index, "nll_loss")
    losses = _nll(x, t, w, ignore_index, reduction)
    return reshape(losses, shape) if reduction == "none" else losses


def _rows(x: Any) -> Any:
    """Scores as a matrix, with the classes on the last axis and all other axes merged: (C,), (N, C), (N, C, d1, ...) →
    (M, C)."""
    if x.ndim == 2:
        return x
    if x.ndim > 2:
        x = permute(x, 0, *range(2, x.ndim), 1)
    return reshape(x, (int(np.prod(x.shape[:-1])), x.shape[-1]))


def _class_weight(x: Any, weight: Any, op: str) -> tuple[int, Any]:
    """The number of classes, and the weight of each (None: all 1) as an array."""
    classes = x.shape[1 if x.ndim > 1 else 0]
    if weight is None:
        return classes, None
    if getattr(weight, "requires_grad", False):
        raise ValueError(f"{op}: weight is a constant and gets no gradient: pass weight.detach()")
    weight = np.array(raw(weight), x.dtype)
    if weight.shape != (classes,):
        raise ValueError(f"{op}: weight has shape {weight.shape}, and must be ({classes},): one for each class")
    return classes, weight


def _class_numbers(x: Any, target: Any, op: str) -> tuple[Any, tuple[int, ...]]:
    """Targets as one axis of int64, and their shape."""
    target = np.asarray(raw(target))
    expected = x.shape[:1] + x.shape[2:] if x.ndim > 1 else ()
    if target.dtype.kind not in "iu":
        raise TypeError(
            f"{op}: target is {target.dtype} of shape {target.shape}. It must be class numbers (integers of shape "
            f"{expected}: target.long())" + (f" or probabilities of shape {x.shape}" if op == "cross_entropy" else "")
        )
    if target.shape != expected:
        raise ValueError(f"{op}: target has shape {target.shape}, and must be {expected} for input of shape {x.shape}")
    # A copy, because the backward pass needs it: the program may load the next batch into the same memory.
    return np.array(target, np.int64, order="C").reshape(-1), expected


def _check_classes(target: Any, shape: tuple[int, ...], classes: int, ignore_index: int, op: str) -> None:
    outside = (target != ignore_index) & ((target < 0) | (target >= classes))
    if outside.any():
        raise _no_class(target, shape, classes, int(outside.argmax()), op)


def _no_class(target: Any, shape: tuple[int, ...], classes: int, position: int, op: str) -> IndexError:
    at = tuple(int(i) for i in np.unravel_index(position, shape)) if shape else ()
    return IndexError(f"{op}: target {int(target[position])} at position {at} is outside 0..{classes - 1}")


def _from_scores(x: Any, target: Any, weight: Any, ignore_index: int, reduction: str, epsilon: float) -> Any:
    """(1 − ε) · nll_loss + ε/C · Σ_c −w[c] log softmax(x)[c], for (N, C) and (N,)."""
    counts = target != ignore_index
    if not counts.all():
        # Set ignored rows to zeros. If their losses were multiplied by 0 instead, a NaN or an infinity in such a row
        # would still make the sum and the gradient of the row NaN.
        x = where(counts[:, None], x, 0.0)
    logp = log_softmax(x, 1)
    losses = _nll(logp, target, weight, ignore_index, reduction)
    if not epsilon:
        return losses
    everywhere = where(counts, sum(-logp if weight is None else -logp * weight, 1), 0.0)
    if reduction != "none":
        everywhere = sum(everywhere)
    if reduction == "mean":
        total = counts.sum() if weight is None else weight[target[counts]].sum()
        everywhere = _divide_or_nan(everywhere, float(total))
    return (1 - epsilon) * losses + (epsilon / logp.shape[1]) * everywhere


def _soft_cross_entropy(x: Any, target: Any, weight: Any, ignore_index: int, reduction: str, epsilon: float) -> Any:
    """Cross-entropy with a probability for each class."""
    if not hasattr(target, "dtype"):
        target = np.asarray(target, x.dtype)
    if target.dtype.kind != "f":
        raise TypeError(
            f"cross_entropy: target has the shape of input, {x.shape}, and so must hold probabilities (floats), but "
            f"is {target.dtype}. Class numbers have the shape of input without the axis of classes."
        )
    if ignore_index >= 0:
        raise ValueError("cross_entropy: ignore_index has no meaning for probabilities; leave it out")
    classes, w = _class_weight(x, weight, "cross_entropy")
    shape = x.shape[:1] + x.shape[2:] if x.ndim > 1 else ()
    x, target = _rows(x), _rows(cast(target, x.dtype))
    if epsilon:
        target = target * (1 - epsilon) + epsilon / classes
    losses = -sum(log_softmax(x, 1) * (target if w is None else target * w), 1)
    return reshape(losses, shape) if reduction == "none" else _reduce(losses, reduction)


def _nll(x: Any, target: Any, weight: Any, ignore_index: int, reduction: str) -> Any:
    """`nll_loss` of log-probabilities (N, C) and checked targets (N,)."""
    counts = target != ignore_index
    target = np.where(counts, target, 0)
    weights = counts.astype(x.dtype) if weight is None else np.where(counts, weight[target], 0)
    losses = NLL(target, weights, counts)(x)
    if reduction != "mean":
        return _reduce(losses, reduction)
    return _divide_or_nan(sum(losses), float(weights.sum()))


def _divide_or_nan(total: Any, count: float) -> Any:
    """total / count. Without samples it is NaN with gradient 0, so ignored samples get no gradient."""
    return total / count if count else total + float("nan")
