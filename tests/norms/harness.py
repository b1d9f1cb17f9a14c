"""One machine checks every normalization. A method is a row; what must hold of it is a function in `CHECKS`.

A row is a `Method`: the function, and an oracle, a transcription of the paper's formula to NumPy that shares no code
with it. Rows live in `tests/norms/<family>.py`::

    METHODS = [
        Method(
            name="rms_norm",
            function=lambda x, gamma: F.rms_norm(x, (7,), gamma, eps=0.1),
            oracle=lambda x, gamma: x / np.sqrt(np.mean(x**2, -1, keepdims=True) + 0.1) * gamma,
            inputs=(normal(4, 7), normal(7)),
            extreme=lambda x, eps=None: F.rms_norm(x, x.shape[-1:], eps=eps),
        ),
    ]
    SABOTAGE = [
        Sabotage("rms_norm", "ε is ten times as large", option("rms_norm", eps=lambda eps: 10 * eps), "forward"),
    ]

A small ε would hide that it stands in the wrong place, so rows use a large one. Every method needs a row in
`SABOTAGE` as well: a check that cannot fail is worth nothing.
"""

import inspect
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.autograd import gradcheck, gradgradcheck
from tests.parity.case import Input, seed_of


@dataclass(frozen=True, kw_only=True)
class Method:
    """A normalization, and what is right.

    Args:
        name: the function's name, as in the catalogue.
        function: minigrad's, on tensors, pure: running averages are made anew inside it. Arguments called `gamma` or
            `weight` are also tried with 0.
        oracle: the same by NumPy, in float64.
        inputs: makers from `tests.parity.case`, one for each argument: `normal(4, 7)`. The first is x, with the batch
            on axis 0.
        shapes: further (function, oracle, inputs).
        extreme: a function of x alone, without γ and β and with the default ε, for inputs of any size; if it has an
            argument `eps` as well, ε is tried at both ends, too.
        extreme_inputs: the maker of x for `extreme`; by default the first of `inputs`.
        constant_args: which inputs have no gradient.
        batched: which inputs have the batch on axis 0.
        frozen_oracle: where part of the formula passes no gradient: given the inputs, the oracle as a function of
            inputs that move while that part stays. Differences are then taken of this one.
        derivative_oracle: where the published backward pass is no derivative at all: given the cotangent and the
            inputs, the gradients of the inputs that have one.
        ulps: how far a float32 result may be from the rounded float64 one, in units of the last place, where the
            unit is that of the root mean square of the result for elements below it.
        gradient_ulps: the same for gradients, in units of the largest element.
        exclude: checks that make no sense here, each with the reason.
    """

    name: str
    function: Callable[..., Any]
    oracle: Callable[..., Any]
    inputs: Sequence[Input]
    shapes: Sequence[tuple[Callable[..., Any], Callable[..., Any], Sequence[Input]]] = ()
    extreme: Callable[..., Any] | None = None
    extreme_inputs: Input | None = None
    constant_args: Sequence[int] = ()
    batched: Sequence[int] = (0,)
    frozen_oracle: Callable[..., Callable[..., Any]] | None = None
    derivative_oracle: Callable[..., Any] | None = None
    ulps: float = 4
    gradient_ulps: float = 16
    exclude: dict[str, str] = field(default_factory=dict)

    def variants(self) -> list["Variant"]:
        """The row's function at each of its shapes."""
        all_shapes = [(self.function, self.oracle, self.inputs), *self.shapes]
        return [Variant(self, i, *shape) for i, shape in enumerate(all_shapes)]


@dataclass(frozen=True)
class Sabotage:
    """A way to break a method, and the check that must notice.

    Args:
        method: its name in the table.
        what: is broken, for a reader.
        how: breaks it, given pytest's `monkeypatch`; see `tests.sabotage` for makers.
        caught_by: the name of a check.
    """

    method: str
    what: str
    how: Callable[[pytest.MonkeyPatch], Any]
    caught_by: str


@dataclass
class Variant:
    """One function to check, with inputs that are the same in every run."""

    method: Method
    number: int
    function: Callable[..., Any]
    oracle: Callable[..., Any]
    inputs: Sequence[Input]

    def arrays(self) -> list[Any]:
        rng = np.random.RandomState(seed_of(f"{self.method.name} {self.number}"))
        return [make(rng) for make in self.inputs]

    def tensors(self, arrays: Sequence[Any] | None = None, dtype: Any = np.float64) -> list[Any]:
        """The inputs as tensors; all but the constant ones want a gradient."""
        tensors = []
        for i, array in enumerate(self.arrays() if arrays is None else arrays):
            is_float = np.asarray(array).dtype.kind == "f"
            array = np.asarray(array).astype(dtype) if is_float else array
            tensors.append(mg.Tensor(array, requires_grad=is_float and i not in self.method.constant_args))
        return tensors

    def variables(self, tensors: Sequence[Any]) -> list[Any]:
        return [t for t in tensors if t.requires_grad]

    def cotangent(self, shape: tuple[int, ...], number: int = 0) -> Any:
        return np.random.RandomState(1 + number + seed_of(self.method.name)).standard_normal(shape)

    def gammas(self) -> list[int]:
        """Which inputs are γ, by their names."""
        return [i for i, name in enumerate(inspect.signature(self.function).parameters) if name in ("gamma", "weight")]


# -- the checks ---------------------------------------------------------------------------------------------


def forward(variant: Variant) -> None:
    """The function is the oracle."""
    arrays = variant.arrays()
    y = variant.function(*variant.tensors(arrays))
    expected = variant.oracle(*arrays)
    assert y.dtype == np.float64
    np.testing.assert_allclose(y.array, expected, rtol=1e-10, atol=1e-12)


def first_derivative(variant: Variant) -> None:
    """Gradients along a random cotangent are differences of the oracle; and of the function itself."""
    method, arrays = variant.method, variant.arrays()
    inputs = variant.tensors(arrays)
    variables = variant.variables(inputs)
    y = variant.function(*inputs)
    v = variant.cotangent(y.shape)
    found = mg.grad(y, variables, mg.Tensor(v), allow_unused=True)
    found = [np.zeros(t.shape) if g is None else g.array for t, g in zip(variables, found, strict=True)]
    if method.derivative_oracle is not None:
        expected = method.derivative_oracle(v, *arrays)
        expected = expected if isinstance(expected, tuple | list) else (expected,)
        tolerance = {"rtol": 1e-9, "atol": 1e-10}
    else:
        oracle = variant.oracle if method.frozen_oracle is None else method.frozen_oracle(*arrays)
        moving = [i for i, t in enumerate(inputs) if t.requires_grad]
        expected = [differences(oracle, arrays, i, v) for i in moving]
        tolerance = {"rtol": 1e-5, "atol": 1e-7}
        if method.frozen_oracle is None:
            assert gradcheck(variant.function, inputs)
    for g, e in zip(found, expected, strict=True):
        np.testing.assert_allclose(g, e, **tolerance)


def second_derivative(variant: Variant) -> None:
    """Second derivatives along random directions are second differences of the oracle; and gradgradcheck passes."""
    method, arrays = variant.method, variant.arrays()
    inputs = variant.tensors(arrays)
    if method.derivative_oracle is not None:  # there is no second derivative but that of the published backward
        assert gradgradcheck(variant.function, inputs)
        return
    if method.frozen_oracle is None:
        assert gradgradcheck(variant.function, inputs)
    oracle = variant.oracle if method.frozen_oracle is None else method.frozen_oracle(*arrays)
    variables = variant.variables(inputs)
    y = variant.function(*inputs)
    v = variant.cotangent(y.shape)
    gradients = list(mg.grad(y, variables, mg.Tensor(v), create_graph=True, allow_unused=True))
    for k in range(3):
        directions = [np.zeros(a.shape) if not t.requires_grad else variant.cotangent(a.shape, 7 * k + i + 1)
                      for i, (a, t) in enumerate(zip(map(np.asarray, arrays), inputs, strict=True))]  # fmt: skip
        along = [mg.Tensor(d) for d, t in zip(directions, inputs, strict=True) if t.requires_grad]
        slope = sum((g * d).sum() for g, d in zip(gradients, along, strict=True) if g is not None)
        second = [None] * len(variables)
        if isinstance(slope, mg.Tensor) and slope.requires_grad:
            second = mg.grad(slope, variables, retain_graph=True, allow_unused=True)
        found = sum(float((s.array * d.array).sum()) for s, d in zip(second, along, strict=True) if s is not None)
        expected = second_difference(oracle, arrays, directions, v)
        scale = sum(
            float(np.abs(s.array * d.array).sum()) for s, d in zip(second, along, strict=True) if s is not None
        )
        assert abs(found - expected) <= 1e-6 * max(scale, 1), f"direction {k}: {found} is not {expected}"


def fused_is_composed(variant: Variant) -> None:
    """Both forms give the same outputs, gradients and gradients of gradients."""
    fused = orders(variant)
    with mg.composed():
        composed = orders(variant)
    assert fused.keys() == composed.keys()
    for label, a in fused.items():
        np.testing.assert_allclose(a, composed[label], rtol=1e-9, atol=1e-10, err_msg=label)


def gamma_zero(variant: Variant) -> None:
    """With γ = 0 nothing is lost: outputs and derivatives of both orders are right and finite."""
    gammas = variant.gammas()
    if not gammas:
        return
    arrays = variant.arrays()
    for i in gammas:
        arrays[i] = np.zeros_like(arrays[i])
    inputs = variant.tensors(arrays)
    np.testing.assert_allclose(variant.function(*inputs).array, variant.oracle(*arrays), rtol=1e-10, atol=1e-12)
    if variant.method.derivative_oracle is None and variant.method.frozen_oracle is None:
        assert gradcheck(variant.function, inputs)
        assert gradgradcheck(variant.function, inputs)
    else:
        assert all(np.isfinite(a).all() for a in orders(variant, arrays).values())


def memory(variant: Variant) -> None:
    """Inputs and cotangents in any layout of memory give the same numbers, and are not modified."""
    arrays = variant.arrays()
    expected = orders(variant, arrays)
    turned = [np.asfortranarray(a) if np.ndim(a) > 1 else a for a in arrays]
    spread = [np.repeat(a, 2, axis=-1)[..., ::2] if np.ndim(a) else a for a in arrays]
    for layout, strided in ((arrays, False), (turned, True), (spread, True)):
        found = orders(variant, layout, keep=True, strided=strided)
        for label, a in expected.items():
            np.testing.assert_allclose(found[label], a, rtol=1e-10, atol=1e-12, err_msg=label)


def float32(variant: Variant) -> None:
    """Results in float32 are, but for a few units in the last place, the rounded ones of float64."""
    method, arrays = variant.method, variant.arrays()
    found, exact = (
        [y.array, *(None if g is None else g.array for g in gradients)]
        for dtype in (np.float32, np.float64)
        for y, gradients in [first_order(variant.function, variant.tensors(arrays, dtype), variant)]
    )
    np.testing.assert_allclose(exact[0], variant.oracle(*arrays), rtol=1e-10, atol=1e-12)
    for i, (a, e) in enumerate(zip(found, exact, strict=True)):
        if e is None:
            assert a is None
            continue
        assert a.dtype == np.float32, f"float32 inputs give {a.dtype}"
        if i == 0:
            near(a, e, method.ulps, "output")
        else:
            near(a, e, method.gradient_ulps, f"gradient {i - 1}", by_largest=True)


def extremes(variant: Variant) -> None:
    """float32 far from zero, near it, at the ends of its range, in constant groups: as good as float64.

    Second derivatives, too.
    """
    method = variant.method
    function = the_extreme(method)
    rng = np.random.RandomState(seed_of(method.name))
    x = (method.extreme_inputs or variant.inputs[0])(rng)
    takes_eps = "eps" in inspect.signature(function).parameters
    inputs: dict[str, tuple[Any, Any]] = {
        "1e6 ± 1": (1e6 + np.sign(x), None),
        "1e6 + x": (1e6 + x, None),
        **{f"{scale:g} · x": (scale * x, None) for scale in (1e-30, 1e-20, 1e20, 1e30)},
        **{f"all {value:g}": (np.full(x.shape, value), None) for value in (0.0, 0.1, -3.3, 1e6 + 1 / 3)},
    }
    if takes_eps:
        inputs["ε = 1e10"] = (x, 1e10)
        inputs |= {f"{scale:g} · x, ε below it": (scale * x, 1e-3 * scale**2) for scale in (1e-15, 1e-20)}
    for label, (array, eps) in inputs.items():
        array = array.astype(np.float32)
        options = {} if eps is None else {"eps": eps}
        results = []
        for dtype in (np.float32, np.float64):
            t = mg.Tensor(array.astype(dtype), requires_grad=True)
            with np.errstate(all="ignore"):
                y, (g,) = first_order(lambda x, o=options: function(x, **o), [t], variant)
                second = second_order(lambda x, o=options: function(x, **o), t, variant)
            results.append((y.array, g.array, second))
        (y, g, second), (exact, exact_g, exact_second) = results
        near(y, exact, 2 * method.ulps, label)
        near(g, exact_g, 4 * method.gradient_ulps, f"{label}, gradient", by_largest=True)
        # The derivative for the cotangent may be 0 up to rounding; it is of the size 1/x where that for x is of 1/x².
        size = np.sqrt(np.abs(exact_second[0]).max(initial=0))
        for a, e, scale in zip(second, exact_second, (0.0, size), strict=True):
            if np.abs(e).max(initial=0) < np.finfo(np.float32).max:
                near(a, e, 4 * method.gradient_ulps, f"{label}, second derivative", True, scale)


def at_zero(variant: Variant) -> None:
    """Where all inputs are 0, outputs and derivatives of both orders are finite."""
    function = the_extreme(variant.method)
    shape = (variant.method.extreme_inputs or variant.inputs[0])(np.random.RandomState(0)).shape
    for dtype in (np.float64, np.float32):
        x = mg.Tensor(np.zeros(shape, dtype), requires_grad=True)
        y = function(x)
        v = mg.Tensor(variant.cotangent(y.shape).astype(dtype), requires_grad=True)
        (g,) = mg.grad(y, x, v, create_graph=True)
        u = mg.Tensor(variant.cotangent(g.shape, 1).astype(dtype))
        second = mg.grad(g, [x, v], u, allow_unused=True)
        for label, t in (("output", y), ("gradient", g), *(("second derivative", s) for s in second if s is not None)):
            assert np.isfinite(t.array).all(), f"{label} at 0 in {np.dtype(dtype)}: {t.array}"


def not_a_number(variant: Variant) -> None:
    """NaN and infinity reach what the formula lets them reach, and nothing else.

    (Sums may start from the first one.)
    """
    for bad, at in itertools.product((np.nan, np.inf, -np.inf), (0, -1)):
        arrays = variant.arrays()
        arrays[0] = np.array(arrays[0])
        arrays[0][(at,) * arrays[0].ndim] = bad
        label = f"with {bad} at {at}"
        with np.errstate(all="ignore"):
            expected = variant.oracle(*arrays)
            found = variant.function(*variant.tensors(arrays)).array
            np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12, err_msg=label)
            narrow = variant.function(*variant.tensors(arrays, np.float32)).array
        np.testing.assert_array_equal(np.isnan(narrow), np.isnan(expected), err_msg=f"{label}, float32")


def empty_batch(variant: Variant) -> None:
    """A batch of no samples gives no samples, and parameters a gradient of 0."""
    arrays = variant.arrays()
    for i in variant.method.batched:
        arrays[i] = arrays[i][:0]
    for dtype in (np.float32, np.float64):
        with np.errstate(all="raise"):
            inputs = variant.tensors(arrays, dtype)
            y, gradients = first_order(variant.function, inputs, variant)
        assert y.shape[0] == 0
        for t, g in zip(variant.variables(inputs), gradients, strict=True):
            assert g is None or (g.shape == t.shape and not g.array.any())


CHECKS: dict[str, Callable[[Variant], None]] = {
    "forward": forward,
    "first derivative": first_derivative,
    "second derivative": second_derivative,
    "fused is composed": fused_is_composed,
    "gamma zero": gamma_zero,
    "memory": memory,
    "float32": float32,
    "extremes": extremes,
    "at zero": at_zero,
    "nan": not_a_number,
    "empty batch": empty_batch,
}
ONCE = ("extremes", "at zero")
"""Checks of `extreme`, which does not depend on the variant."""


def run(check: str, method: Method, number: int | None = None) -> None:
    """Run one check on a method, or on one of its variants."""
    for variant in method.variants():
        if number not in (None, variant.number) or (variant.number and check in ONCE):
            continue
        try:
            CHECKS[check](variant)
        except Exception as error:
            error.add_note(f"{method.name}, variant {variant.number}: the check {check!r} fails")
            raise


# -- what the checks are made of ----------------------------------------------------------------------------


def first_order(function: Callable[..., Any], inputs: Sequence[Any], variant: Variant) -> tuple[Any, list[Any]]:
    """The output, and the gradient of each variable along a random cotangent."""
    variables = variant.variables(inputs)
    y = function(*inputs)
    v = mg.Tensor(variant.cotangent(y.shape).astype(y.dtype))
    return y, list(mg.grad(y, variables, v, allow_unused=True))


def second_order(function: Callable[..., Any], x: Any, variant: Variant) -> list[Any]:
    """The gradient's own gradients, for x and for the cotangent, along a random direction."""
    y = function(x)
    v = mg.Tensor(variant.cotangent(y.shape).astype(y.dtype), requires_grad=True)
    (g,) = mg.grad(y, x, v, create_graph=True)
    second = mg.grad(g, [x, v], mg.Tensor(variant.cotangent(g.shape, 1).astype(y.dtype)), allow_unused=True)
    return [np.zeros(t.shape, t.dtype) if s is None else s.array for t, s in zip([x, v], second, strict=True)]


def orders(
    variant: Variant, arrays: Sequence[Any] | None = None, keep: bool = False, strided: bool = False
) -> dict[str, Any]:
    """Output, gradients and second derivatives along random cotangents, by label.

    With `keep`, neither cotangents nor inputs may be modified; `strided` cotangents have gaps between elements.
    """
    arrays = variant.arrays() if arrays is None else arrays
    inputs = [
        mg.Tensor(a, requires_grad=np.asarray(a).dtype.kind == "f" and i not in variant.method.constant_args)
        for i, a in enumerate(arrays)
    ]
    variables = variant.variables(inputs)
    y = variant.function(*inputs)
    cotangent = variant.cotangent(y.shape)
    if strided:
        cotangent = np.repeat(cotangent, 2, axis=-1)[..., ::2]
    v = mg.Tensor(cotangent, requires_grad=True)
    before = [np.array(a) for a in (*arrays, cotangent)]
    gradients = mg.grad(y, variables, v, create_graph=True, allow_unused=True)
    found = {"output": y.array}
    found |= {f"gradient {i}": g.array for i, g in enumerate(gradients) if g is not None}
    recorded = [(i, g) for i, g in enumerate(gradients) if g is not None and g.requires_grad]
    directions = [mg.Tensor(variant.cotangent(g.shape, i + 1)) for i, g in recorded]
    second = mg.grad([g for _, g in recorded], [*variables, v], directions, allow_unused=True)
    # A derivative that is zero may be None in one form and zeros in the other.
    for i, (t, s) in enumerate(zip([*variables, v], second, strict=True)):
        found[f"second derivative {i}"] = np.zeros(t.shape) if s is None else s.array
    if keep:
        plain = mg.grad(variant.function(*inputs), variables, mg.Tensor(cotangent), allow_unused=True)
        for i, g in enumerate(plain):
            if g is not None:
                np.testing.assert_allclose(g.array, found[f"gradient {i}"], rtol=1e-10, atol=1e-12)
        for a, kept in zip((*arrays, cotangent), before, strict=True):
            np.testing.assert_array_equal(a, kept, err_msg="an input was modified")
    return found


def differences(oracle: Callable[..., Any], arrays: Sequence[Any], i: int, v: Any) -> Any:
    """∂⟨v, oracle⟩/∂input i by central differences."""
    arrays = list(arrays)
    point = np.asarray(arrays[i])
    result, step = np.zeros(point.shape), 1e-6
    for at in np.ndindex(point.shape):
        sides = []
        for sign in (1, -1):
            moved = point.copy()
            moved[at] += sign * step
            arrays[i] = moved
            sides.append(float((v * oracle(*arrays)).sum()))
        result[at] = (sides[0] - sides[1]) / (2 * step)
    return result


def second_difference(oracle: Callable[..., Any], arrays: Sequence[Any], directions: Sequence[Any], v: Any) -> float:
    """d²/dt² ⟨v, oracle(inputs + t · directions)⟩ at 0, from seven points: the error is of the sixth order."""
    step = 1e-3

    def at(k: int) -> float:
        moved = [
            a if np.asarray(a).dtype.kind != "f" else a + k * step * d for a, d in zip(arrays, directions, strict=True)
        ]
        return float((v * oracle(*moved)).sum())

    weights = {0: -49 / 18, 1: 3 / 2, 2: -3 / 20, 3: 1 / 90}
    return sum(w * (at(k) + at(-k) if k else at(0)) for k, w in weights.items()) / step**2


def near(found: Any, exact: Any, ulps: float, label: str, by_largest: bool = False, scale: float = 0.0) -> None:
    """Is a float32 array within `ulps` of a float64 one?"""
    with np.errstate(all="ignore"):
        rounded = exact.astype(np.float32)
        finite = np.isfinite(rounded)
        np.testing.assert_array_equal(found[~finite], rounded[~finite], err_msg=label)
        if not finite.any():
            return
        magnitudes = np.abs(exact[finite])
        typical = max(scale, magnitudes.max()) if by_largest else np.sqrt(np.mean(magnitudes**2))
        unit = np.spacing(np.maximum(magnitudes, typical).astype(np.float32)).astype(np.float64)
        error = np.abs(found[finite].astype(np.float64) - exact[finite]) / unit
    worst = np.where(np.isnan(error), np.inf, error).max()
    assert worst <= ulps, f"{label}: {worst:.1f} ulp, and {ulps} are allowed"


def the_extreme(method: Method) -> Callable[..., Any]:
    assert method.extreme is not None, "give `extreme`, or say in `exclude` why there is none"
    return method.extreme
