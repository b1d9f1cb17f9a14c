"""`gradcheck` and `gradgradcheck`: hold a derivative against finite differences.

The check draws a random cotangent v and compares two computations of the gradient of ⟨v, f(x)⟩: the one by
autograd, and the central difference (⟨v, f(x + h·e_i)⟩ − ⟨v, f(x − h·e_i)⟩) / 2h for every element i. The
cotangent is random because a special one hides faults: with v = 1, the loss y.sum(), the gradient of softmax
and of every standardizing normalization is zero whatever the rule says.

A difference has errors of its own: the function's curvature, which grows with h, and its rounding, which grows with
1/h. No single h suits inputs of size 0.001 and of size 10,000. So where the first difference disagrees with autograd,
it is taken again with many steps and extrapolated to h = 0 (Ridders 1982), which also tells how far it can be trusted.
"""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minigrad.autograd.engine import grad
from minigrad.autograd.modes import enable_grad
from minigrad.autograd.tensor import Tensor


class GradcheckError(AssertionError):
    """Autograd and finite differences disagree; the message says where and by how much."""


def gradcheck(
    function: Callable[..., Any],
    inputs: Tensor | Sequence[Any],
    *,
    eps: float = 1e-6,
    atol: float = 1e-6,
    rtol: float = 1e-5,
    seed: int = 0,
    raise_exception: bool = True,
) -> bool:
    """Compare the gradients of `function` at `inputs` with central differences, along a random cotangent.

    Args:
        function: takes the inputs, returns a Tensor or several. It must be deterministic, and smooth near
            the inputs (keep away from kinks, such as relu at 0, and from ties of a maximum).
        inputs: float64 tensors with requires_grad=True are checked; everything else is passed on.
        eps: the first step h that is tried, relative to elements above 1.
        atol, rtol: an element passes if |autograd − difference| ≤ atol + rtol · |difference|, plus the error that the
            difference itself has, as far as it is known.
        seed: of the random cotangents.
        raise_exception: raise on failure (default), or return False.

    Returns:
        True if every element passes.

    Raises:
        GradcheckError: naming input, element and both numbers.
        TypeError: a checked input is not float64: differences in float32 are too coarse to tell anything.

    Differences from PyTorch: one random direction on the output side rather than the whole Jacobian.

    Example:
        >>> import numpy as np, minigrad as mg
        >>> x = mg.tensor(np.array([0.3, -1.2]), requires_grad=True)
        >>> mg.autograd.gradcheck(lambda x: (x * x).exp(), x)
        True
    """
    inputs = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    checked = _checked(inputs, "gradcheck")
    rng = _generator(seed, 1)
    with enable_grad():
        outputs = _float_outputs(function(*inputs))
        cotangents = [rng.standard_normal(y.shape) for y in outputs]
        differentiable = [(y, v) for y, v in zip(outputs, cotangents, strict=True) if y.requires_grad]
        if not differentiable:
            raise GradcheckError("gradcheck: no output depends on the inputs by recorded ops")
        ys, vs = zip(*differentiable, strict=True)
        analytic = grad(ys, [inputs[i] for i in checked], [Tensor(v) for v in vs], allow_unused=True)

    try:
        for i, g in zip(checked, analytic, strict=True):
            difference = _Difference(function, inputs, i, cotangents)
            point = inputs[i].array
            _compare(np.zeros_like(point) if g is None else g.array, difference, point, i, eps, atol, rtol)
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def gradgradcheck(
    function: Callable[..., Any],
    inputs: Tensor | Sequence[Any],
    *,
    eps: float = 1e-6,
    atol: float = 1e-6,
    rtol: float = 1e-5,
    seed: int = 0,
    raise_exception: bool = True,
) -> bool:
    """`gradcheck` of the gradient: compare second derivatives of `function` with differences of first ones.

    The function checked is (x, v) ↦ ∂⟨v, f(x)⟩/∂x, by x and by v. Arguments, result and errors are those of
    `gradcheck`.

    Example:
        >>> import numpy as np, minigrad as mg
        >>> x = mg.tensor(np.array([0.3, -1.2]), requires_grad=True)
        >>> mg.autograd.gradgradcheck(lambda x: x.sin() * x, x)
        True
    """
    inputs = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    checked = _checked(inputs, "gradgradcheck")
    rng = _generator(seed, 2)
    with enable_grad():  # the function may itself take a gradient
        shapes = [y.shape for y in _float_outputs(function(*inputs))]
    cotangents = [Tensor(rng.standard_normal(shape), requires_grad=True) for shape in shapes]

    def gradient(*arguments: Any) -> Any:
        xs, vs = arguments[: len(inputs)], arguments[len(inputs) :]
        with enable_grad():
            pairs = [(y, v) for y, v in zip(_float_outputs(function(*xs)), vs, strict=True) if y.requires_grad]
            if not pairs:
                raise GradcheckError("gradgradcheck: no output depends on the inputs by recorded ops")
            ys, used = zip(*pairs, strict=True)
            found = grad(ys, [xs[i] for i in checked], used, create_graph=True, allow_unused=True)
        return [g for g in found if g is not None]

    return gradcheck(
        gradient,
        [*inputs, *cotangents],
        eps=eps,
        atol=atol,
        rtol=rtol,
        seed=seed,
        raise_exception=raise_exception,
    )


def _generator(seed: int, order: int) -> np.random.Generator:
    """A random stream that no plain integer seed gives. Reason: a cotangent drawn with the seed of the inputs *equals*
    the inputs, and hides faults as ones do, because the gradient of a standardizing op has no part along x."""
    return np.random.default_rng([0x6772_6164, order, seed])


def _checked(inputs: list[Any], caller: str) -> list[int]:
    """The positions of the inputs to check: those that require a gradient."""
    checked = [i for i, x in enumerate(inputs) if isinstance(x, Tensor) and x.requires_grad]
    if not checked:
        raise ValueError(f"{caller}: none of the inputs requires a gradient, so there is nothing to check")
    for i in checked:
        if inputs[i].dtype != np.float64:
            raise TypeError(f"{caller}: inputs[{i}] is {inputs[i].dtype}; finite differences need float64")
    return checked


def _float_outputs(result: Any) -> list[Tensor]:
    results = [result] if isinstance(result, Tensor) else list(result)
    return [y for y in results if isinstance(y, Tensor) and y.dtype.kind == "f"]


class _Difference:
    """(⟨v, f(x + h·e_j)⟩ − ⟨v, f(x − h·e_j)⟩) / 2h, for one of the inputs, on copies of it."""

    def __init__(self, function: Callable[..., Any], inputs: list[Any], i: int, cotangents: list[Any]):
        self.function, self.inputs, self.i, self.cotangents = function, inputs, i, cotangents

    def outputs(self, x: Any) -> list[Any]:
        moved, own = Tensor(x, requires_grad=True), self.inputs[self.i]
        arguments = [moved if argument is own else argument for argument in self.inputs]  # it may be there twice
        with enable_grad():
            return [y.array for y in _float_outputs(self.function(*arguments))]

    def __call__(self, j: tuple[int, ...], h: float) -> tuple[float, float]:
        """The difference, and the size of its rounding error."""
        up, down = self.inputs[self.i].array.copy(), self.inputs[self.i].array.copy()
        up[j] += h
        down[j] -= h
        ups, downs = self.outputs(up), self.outputs(down)
        width = up[j] - down[j]
        with np.errstate(all="ignore"):
            # Subtract first, then sum: outputs that do not depend on this element then add no rounding error.
            pairs = list(zip(self.cotangents, ups, downs, strict=True))
            change = sum(float((v * (a - b)).sum()) for v, a, b in pairs)
            size = sum(float((np.abs(v) * (np.abs(a) + np.abs(b))).sum()) for v, a, b in pairs)
        return change / width, float(np.finfo(np.float64).eps * size / width)

    def extrapolated(self, j: tuple[int, ...], atol: float, rtol: float) -> tuple[float, float]:
        """The limit for h → 0, and an estimate of its error.

        The error of a difference is a series in h²: c₁h² + c₂h⁴ + … The differences for h and h/2 together remove the
        first term, and so on. Of all steps and orders, take the one that agrees best with its neighbours. If several
        agree well enough, take the smallest step: large steps may miss whole periods of sin x.
        """
        h = max(1.0, abs(float(self.inputs[self.i].array[j]))) / 16
        best, least = float("nan"), float("inf")
        before: list[float] = []
        for _ in range(STEPS):
            try:
                with warnings.catch_warnings(), np.errstate(all="ignore"):
                    warnings.simplefilter("ignore")
                    value, rounding = self(j, h)
            except (ValueError, ArithmeticError):  # so far from x the function may be undefined
                value, rounding = float("nan"), float("inf")
            row = [value]
            for order, old in enumerate(before[:ORDERS], 1):
                row.append(row[-1] + (row[-1] - old) / (4**order - 1))
                error = max(abs(row[-1] - row[-2]), abs(row[-1] - old), rounding)
                enough = (atol + rtol * abs(row[-1])) / 10
                if max(error, enough) <= max(least, enough) and error < np.inf:  # never, if it is NaN
                    best, least = row[-1], error
            before, h = row, h / 2
        return best, least


STEPS, ORDERS = 28, 4  # from 1/16 of an element's size down to 2⁻²⁷ of that


def _compare(analytic: Any, difference: _Difference, point: Any, i: int, eps: float, atol: float, rtol: float) -> None:
    numeric = np.zeros_like(point)
    for j in np.ndindex(point.shape):
        numeric[j], _ = difference(j, eps * max(1.0, abs(float(point[j]))))
    excess = np.abs(analytic - numeric) - (atol + rtol * np.abs(numeric))
    wrong = ~(excess <= 0)  # so that NaN counts as wrong
    # The allowed error of a difference is small beside the largest derivative; otherwise the check could not fail.
    most = 1e-4 * np.max(np.abs(numeric), initial=0.0, where=np.isfinite(numeric))
    for k in np.argsort(-np.nan_to_num(excess, nan=np.inf), axis=None)[: wrong.sum()]:  # the worst first
        at = tuple(int(n) for n in np.unravel_index(k, point.shape))
        value, error = difference.extrapolated(at, atol, rtol)
        if not abs(analytic[at] - value) <= atol + rtol * abs(value) + min(error, most):
            raise GradcheckError(
                f"gradcheck: input {i}, element {at}: autograd says {analytic[at]:.10g}, finite differences say "
                f"{value:.10g} ({wrong.sum()} of {wrong.size} elements differ by more than "
                f"{atol:g} + {rtol:g}·|difference|)"
            )
