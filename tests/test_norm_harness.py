"""The machine that checks the normalizations, held against norms that are wrong on purpose.

The right one is x / √(mean x² + ε) · γ, by small ops. Each wrong one differs from it by one fault, which one check
must notice; the named others are blind to it, which is why there are several checks.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.autograd.modes import modes
from minigrad.autograd.tensor import raw
from tests.norms.harness import CHECKS, Method, run
from tests.parity.case import normal, positive


def rms(x: Any, gamma: Any = None, eps: Any = 0.1) -> Any:
    y = x / mg.sqrt((x * x).mean(-1, keepdim=True) + eps)
    return y if gamma is None else y * gamma


def rms_oracle(x: Any, gamma: Any) -> Any:
    return x / np.sqrt(np.mean(x**2, -1, keepdims=True) + 0.1) * gamma


def careful(x: Any, eps: float = 1e-5) -> Any:
    """The square is taken in float64, where it neither overflows nor vanishes."""
    return rms(x.double(), None, eps).to(x.dtype)


RIGHT = Method(
    name="right",
    function=rms,
    oracle=rms_oracle,
    inputs=(normal(3, 4), normal(4)),
    extreme=careful,
)


class Rule(mg.Function):
    """x / √(mean x² + 0.1), with whatever rule a test gives it."""

    def __init__(self, rule: Callable[..., Any]):
        self.rule = rule

    def forward(self, x: Any) -> Any:
        self.save_for_backward(x)
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + x.dtype.type(0.1))

    def backward(self, g: Any) -> Any:
        return self.rule(g, *self.saved)


def closed_form(g: Any, x: Any, factor: float = 1.0) -> Any:
    inv = 1 / mg.sqrt(mg.mean(x * x, -1, keepdim=True) + 0.1)
    return factor * inv * (g - x * inv * mg.mean(g * x * inv, -1, keepdim=True))


def constant_statistic(g: Any, x: Any) -> Any:
    """Right at first order. The inverse root is a constant to the second."""
    inv = raw(1 / mg.sqrt(mg.mean(x * x, -1, keepdim=True) + 0.1))
    return inv * (g - x * inv * mg.mean(g * x * inv, -1, keepdim=True))


def in_place(g: Any, x: Any) -> Any:
    result = closed_form(g, x)
    raw(g)[...] *= 1.0 + 1e-6
    return result


def by_rule(rule: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x, gamma: Rule(rule)(x) * gamma


def two_forms(x: Any, gamma: Any) -> Any:
    return rms(x, gamma, 0.1 if modes.composed else 0.1001)


def divided(x: Any, gamma: Any) -> Any:
    return rms(x, gamma * gamma) / gamma


def modifying(x: Any, gamma: Any) -> Any:
    y = rms(x, gamma)
    x.array[0, 0] += 1e-3
    return y


def by_memory(x: Any, gamma: Any) -> Any:
    """Reads the buffer rather than the elements."""
    flat = mg.Tensor(np.ascontiguousarray(x.array.ravel(order="K").reshape(x.shape)))
    return rms(x, gamma) + (flat - flat.array) + 0 * flat if x.array.flags.c_contiguous else rms(flat, gamma)


def rounded(x: Any, gamma: Any) -> Any:
    y = rms(x, gamma)
    return y if x.dtype == np.float64 else y * np.float32(1 + 2e-6)


def widened(x: Any, gamma: Any) -> Any:
    return rms(x, gamma).double()


def cancelled(x: Any) -> Any:
    """E[x²] − E[x]²."""
    mean = x.mean(-1, keepdim=True)
    return (x - mean) / mg.sqrt((x * x).mean(-1, keepdim=True) - mean * mean + 1e-5)


def euclidean(x: Any) -> Any:
    """‖x‖ has no derivative at 0."""
    norm = mg.sqrt((x.double() * x.double()).sum(-1, keepdim=True))
    return (x.double() / (norm + 1e-5)).to(x.dtype)


def masked(x: Any, gamma: Any) -> Any:
    return rms(mg.where(mg.isnan(x), 0.0, x), gamma)


def at_least_one(x: Any, gamma: Any) -> Any:
    return rms(x, gamma) + 0 * x[0]


FAULTS: list[tuple[str, Method, str, tuple[str, ...]]] = [
    ("ε differs", replace(RIGHT, function=lambda x, gamma: rms(x, gamma, 0.1001)), "forward", ()),
    (
        "ε outside the root",
        replace(RIGHT, function=lambda x, gamma: x / (mg.sqrt((x * x).mean(-1, keepdim=True)) + 0.1) * gamma),
        "forward",
        ("fused is composed", "memory"),
    ),
    (
        "the gradient is a thousandth too large",
        replace(RIGHT, function=by_rule(lambda g, x: closed_form(g, x, 1.001))),
        "first derivative",
        ("forward", "memory"),
    ),
    (
        "a statistic is a constant in the rule",
        replace(RIGHT, function=by_rule(constant_statistic)),
        "second derivative",
        ("forward", "first derivative"),
    ),
    ("two forms of different ε", replace(RIGHT, function=two_forms), "fused is composed", ()),
    ("divided by γ", replace(RIGHT, function=divided), "gamma zero", ("forward", "first derivative")),
    ("an input is modified", replace(RIGHT, function=modifying), "memory", ("forward",)),
    (
        "the cotangent is modified",
        replace(
            RIGHT, function=lambda x: Rule(in_place)(x), oracle=lambda x: rms_oracle(x, 1), inputs=(normal(3, 4),)
        ),
        "memory",
        ("forward",),
    ),
    ("the order of memory counts", replace(RIGHT, function=by_memory), "memory", ("forward",)),
    ("float32 is off by 17 ulp", replace(RIGHT, function=rounded), "float32", ("forward", "memory")),
    ("float32 becomes float64", replace(RIGHT, function=widened), "float32", ("forward",)),
    ("a variance by cancellation", replace(RIGHT, extreme=cancelled), "extremes", ("forward", "at zero")),
    ("squares in float32", replace(RIGHT, extreme=lambda x: rms(x, None, 1e-5)), "extremes", ("float32", "at zero")),
    ("no extremes given", replace(RIGHT, extreme=None), "extremes", ()),
    ("no derivative at zero", replace(RIGHT, extreme=euclidean), "at zero", ("forward", "second derivative")),
    ("NaN is masked", replace(RIGHT, function=masked), "nan", ("forward", "second derivative")),
    ("an empty batch is an error", replace(RIGHT, function=at_least_one), "empty batch", ("forward",)),
]


@pytest.mark.parametrize("check", CHECKS)
def test_what_is_right_passes(check: str):
    run(check, RIGHT)


@pytest.mark.parametrize(("method", "check", "blind"), [pytest.param(*rest, id=what) for what, *rest in FAULTS])
def test_what_is_wrong_does_not(method: Method, check: str, blind: tuple[str, ...]):
    with pytest.raises((AssertionError, IndexError)) as failure:
        run(check, method)
    assert any("right, variant 0" in note and check in note for note in failure.value.__notes__)
    for other in blind:
        run(other, method)


def test_every_check_has_a_fault_that_it_finds():
    assert {check for _, _, check, _ in FAULTS} == CHECKS.keys()


def test_a_wrong_variant_is_found():
    other = replace(RIGHT, shapes=[(two_forms, rms_oracle, (normal(2, 3), normal(3)))])
    with pytest.raises(AssertionError) as failure:
        run("forward", other)
    assert "variant 1" in failure.value.__notes__[0]


class Stopped(mg.Function):
    """x / s, where s = √(mean x²) passes no gradient."""

    def forward(self, x: Any) -> Any:
        self.statistic = np.sqrt((x * x).mean(-1, keepdims=True))
        return x / self.statistic

    def backward(self, g: Any) -> Any:
        return g / self.statistic


STOPPED = Method(
    name="stopped",
    function=lambda x: Stopped()(x),
    oracle=lambda x: x / np.sqrt(np.mean(x**2, -1, keepdims=True)),
    inputs=(positive(2, 3),),
    frozen_oracle=lambda x0: lambda x: x / np.sqrt(np.mean(x0**2, -1, keepdims=True)),
)


def test_a_frozen_statistic_is_compared_with_the_frozen_oracle():
    for check in ("forward", "first derivative", "second derivative"):
        run(check, STOPPED)
    with pytest.raises(AssertionError):
        run("first derivative", replace(STOPPED, frozen_oracle=None))
    with pytest.raises(AssertionError):
        run("first derivative", replace(STOPPED, frozen_oracle=lambda x0: STOPPED.oracle))


def test_a_published_backward_is_compared_with_its_formula():
    published = replace(
        STOPPED,
        frozen_oracle=None,
        derivative_oracle=lambda v, x: v / np.sqrt(np.mean(x**2, -1, keepdims=True)),
    )
    run("first derivative", published)
    with pytest.raises(AssertionError):
        run("first derivative", replace(published, derivative_oracle=lambda v, x: v))
