"""`gradcheck` and `gradgradcheck`: hold a derivative against finite differences.

The check draws a random cotangent v and compares two computations of the gradient of ⟨v, f(x)⟩: the one by
autograd, and the central difference (⟨v, f(x + h·e_i)⟩ − ⟨v, f(x − h·e_i)⟩) / 2h for every element i. The
cotangent is random because a special one hides faults: with v = 1, the loss y.sum(), the gradient of softmax
and of every standardizing normalization is zero whatever the rule says.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minigrad.autograd.engine import grad
from minigrad.autograd.modes import enable_grad, no_grad
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
        eps: the step h.
        atol, rtol: an element passes if |autograd − difference| ≤ atol + rtol · |difference|.
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
            numeric = _differences(function, inputs, i, cotangents, eps)
            _compare(np.zeros_like(numeric) if g is None else g.data, numeric, i, atol, rtol)
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
    with no_grad():
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
    """A stream that no plain seed starts. A cotangent drawn with the seed of the inputs *is* the inputs, and as
    blind as ones are: what standardizes x sends back nothing along x."""
    return np.random.default_rng([0x6772_6164, order, seed])


def _checked(inputs: list[Any], caller: str) -> list[int]:
    """Which inputs to check: those that require a gradient."""
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


def _differences(
    function: Callable[..., Any], inputs: list[Any], i: int, cotangents: list[Any], eps: float
) -> "np.ndarray[Any, Any]":
    """∂⟨v, f(x)⟩/∂x_i, element by element, on copies of the input."""

    def projected(x: Any) -> float:
        moved = Tensor(x, requires_grad=True)
        arguments = [moved if argument is inputs[i] else argument for argument in inputs]  # it may be there twice
        outputs = _float_outputs(function(*arguments))
        return sum(float((v * y.data).sum()) for y, v in zip(outputs, cotangents, strict=True))

    point = inputs[i].data
    numeric = np.zeros_like(point)
    for j in np.ndindex(point.shape):
        up, down = point.copy(), point.copy()
        up[j] += eps
        down[j] -= eps
        numeric[j] = (projected(up) - projected(down)) / (up[j] - down[j])
    return numeric


def _compare(analytic: Any, numeric: Any, i: int, atol: float, rtol: float) -> None:
    error = np.abs(analytic - numeric)
    wrong = ~(error <= atol + rtol * np.abs(numeric))  # so that NaN counts as wrong
    if wrong.any():
        at = np.unravel_index(np.argmax(np.where(wrong, np.nan_to_num(error, nan=np.inf), -1)), error.shape)
        where = tuple(int(k) for k in at)
        raise GradcheckError(
            f"gradcheck: input {i}, element {where}: autograd says {analytic[at]:.10g}, finite differences say "
            f"{numeric[at]:.10g} ({wrong.sum()} of {wrong.size} elements differ by more than "
            f"{atol:g} + {rtol:g}·|difference|)"
        )
