"""`Operation`: what can be explained says its stages, its closed form term by term, and the ways to break it.

The stages are those of the composed form (`with minigrad.composed():`), with a name, a formula and a reason for each.
An `Operation` says how to build them as a `Walk`, what the closed form of its gradient is, and which op of minigrad
computes the same in one go. Which parts of a gradient flow where is decided by `cuts`: the names of values that are
taken for constants. A break is a set of cuts, or a changed function.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minigrad.autograd import Tensor, no_grad
from minigrad.ops.reduction import sum
from minigrad.viz.explainer.walk import Walk


@dataclass(frozen=True)
class Switch:
    """A way to break an operation.

    Attributes:
        key: its name.
        label: what it does, as an order.
        about: what to look for.
        changes: "gradient" if the forward pass stays as it is and the gradient becomes wrong; "function" if another
            function is computed, whose gradient is right for it.
        cut: the value that is taken for a constant.
        uncut: values that are constants by definition, and are now differentiated.
    """

    key: str
    label: str
    about: str
    changes: str
    cut: str = ""
    uncut: tuple[str, ...] = ()


@dataclass
class Term:
    """One term of the closed form of the input's gradient.

    Attributes:
        symbol: the term as a formula.
        path: the way through the graph that it comes from.
        array: its value.
        cut: the value whose being a constant deletes the term; "" for a term that is always there.
    """

    symbol: str
    path: str
    array: Any
    cut: str = ""


@dataclass
class Closed:
    """A closed form.

    Attributes:
        formula: of the input's gradient.
        terms: what adds up to it.
        others: for each other leaf, formula and value of its gradient.
        derivation: how the stages become the formula, line by line, each with a reason.
    """

    formula: str
    terms: list[Term]
    others: dict[str, tuple[str, Any]]
    derivation: list[tuple[str, str]]


@dataclass
class Setting:
    """Everything that one run of an operation depends on.

    Attributes:
        arrays: the leaves, the input first.
        seed: ∂L/∂output.
        eps: ε; None for an operation without.
        groups: of `group_norm`.
        given: constants such as running averages or class numbers.
        on: the keys of the switches that are on.
    """

    arrays: dict[str, Any]
    seed: Any
    eps: float | None = None
    groups: int = 1
    given: dict[str, Any] = field(default_factory=dict)
    on: frozenset[str] = frozenset()

    @property
    def x(self) -> Any:
        return next(iter(self.arrays.values()))


AXES = ("n", "c", "h", "w", "d")
VAR_WHY = "The variance: the mean of the squares. Like μ it depends on every element of the group."

MEAN = Switch("mean", "Treat the mean as a constant", "Cuts the path through μ.", "gradient", "mu")
VARIANCE = Switch("variance", "Treat the variance as a constant", "Cuts the path through σ².", "gradient", "var")
NO_EPS = Switch("eps", "Drop ε", "Divides by √σ² alone. Try it with a constant group, where σ² = 0.", "function")
UNBIASED = Switch(
    "unbiased", "Use the unbiased variance", "Divides by m − 1, as running averages do, and not by m.", "function"
)
TWO = Switch(
    "two",
    "Batch of two",
    "Keeps only the first two samples, which are independent of each other: see ∂L/∂x.",
    "function",
)
TWO_COUPLED = Switch(
    "two",
    "Batch of two",
    "Of two samples, standardizing leaves only which is larger: x̂ is ±1 whatever x is, and hardly any gradient is "
    "left (with space, more is).",
    "function",
)
TWO_SUMMED = Switch("two", "Batch of two", "Keeps only the first two samples: fewer gradients to add.", "function")
FLAT = Switch(
    "flat",
    "Make the first group flat",
    "All its elements become 1: σ² = 0. Only ε keeps the next steps finite.",
    "function",
)


class Operation:
    """What all explained operations share.

    Attributes:
        name, title: for the command, and in words.
        formula: what it computes.
        about: what to learn from it.
        shape: the default one of the input.
        ranks: the numbers of axes that the input may have.
        switches: the ways to break it.
        eps: the default ε; None if it has none.
        batch: is the first axis a batch?
        axes: letters for the axes of the input.
        source: the paper.
    """

    name = ""
    title = ""
    formula = ""
    about = ""
    source = ""
    shape: tuple[int, ...] = (4, 2)
    ranks: tuple[int, ...] = (2, 3, 4)
    switches: tuple[Switch, ...] = ()
    eps: float | None = None
    batch = True
    axes: tuple[str, ...] = AXES
    fixed_cuts: tuple[str, ...] = ()

    def fill(self, shape: tuple[int, ...], rng: Any) -> dict[str, Any]:
        """Values for the leaves, the input first."""
        raise NotImplementedError

    def given(self, arrays: dict[str, Any], rng: Any) -> dict[str, Any]:
        """Constants that go with the leaves."""
        return {}

    def stages(self, walk: Walk, s: Setting) -> None:
        """Write the operation down step by step."""
        raise NotImplementedError

    def closed(self, s: Setting, cuts: frozenset[str]) -> Closed:
        """The closed form, computed with minigrad's ops."""
        raise NotImplementedError

    def laws(self, s: Setting, walk: Walk, gradient: Any) -> list[tuple[str, str, Any]]:
        """Parts that the right gradient of the input cannot have: formula, reason, and the value (should be 0)."""
        return []

    def at_once(self, s: Setting, *leaves: Tensor) -> Tensor:
        """The same by one op of minigrad."""
        raise NotImplementedError

    def seed(self, shape: tuple[int, ...], rng: Any) -> Any:
        """A gradient to start from: random, so that no fault can hide (the sum of a standardized x̂ has none)."""
        return np.round(rng.uniform(-1, 1, shape), 1)

    # -- what follows from these --

    def cuts(self, s: Setting) -> frozenset[str]:
        """The values that are constants: by definition, and by the switches that are on."""
        found = set(self.fixed_cuts)
        for switch in self.switches:
            if switch.key in s.on:
                found |= {switch.cut} - {""}
                found -= set(switch.uncut)
        return frozenset(found)

    def walk(self, s: Setting, cuts: frozenset[str] | None = None, frozen: dict[str, Any] | None = None) -> Walk:
        """The stages for this setting; `cuts` overrides what the switches say, `frozen` values stay as they are."""
        walk = Walk(tuple(self.cuts(s) if cuts is None else cuts), frozen)
        for name, array in s.arrays.items():
            self.leaf(walk, name, array)
        self.stages(walk, s)
        walk.finish()
        return walk

    def leaf(self, walk: Walk, name: str, array: Any) -> None:
        first = not walk.values
        symbol, why = LEAVES[name]
        axes = self.axes[: array.ndim] if first else self.leaf_axes(name, array)
        walk.leaf(name, symbol, array, axes, why, "input" if first else "parameter")

    def leaf_axes(self, name: str, array: Any) -> tuple[str, ...]:
        return ("c",) if array.ndim == 1 else AXES[: array.ndim]

    def applies(self, switch: Switch, s: Setting) -> bool:
        """Does this switch change anything in this setting?"""
        return switch.key != "two" or len(s.x) > 2

    def switched(self, s: Setting, on: frozenset[str]) -> Setting:
        """The setting with these switches on: the data are changed, too, where a switch asks for that."""
        arrays, seed, given = dict(s.arrays), s.seed, dict(s.given)
        name = next(iter(arrays))
        if "flat" in on:
            x = arrays[name].copy()
            x[self.first_group(x, s)] = 1  # (a number whose mean has no rounding error)
            arrays[name] = x
        if "two" in on:
            arrays[name] = arrays[name][:2]
            given = {key: value[:2] if key == "target" else value for key, value in given.items()}
            seed = seed[:2] if np.ndim(seed) else seed
        eps = 0.0 if "eps" in on else s.eps
        return Setting(arrays, seed, eps, s.groups, given, on)

    def first_group(self, x: Any, s: Setting) -> Any:
        """An index of the elements that share the first statistic."""
        raise NotImplementedError

    def is_one_op(self, s: Setting) -> bool:
        """Does minigrad have an op that computes just this, with these switches?"""
        return not s.on - {"two", "flat", "eps"}


LEAVES = {
    "x": ("x", "The input."),
    "gamma": ("γ", "The learned scale."),
    "beta": ("β", "The learned shift."),
    "v": ("v", "The direction of the weights, of any length: a row is one output unit."),
    "g": ("g", "The learned length of each unit's weights."),
    "z": ("z", "Scores: a row is a sample, a column a class."),
    "W": ("W", "The weights."),
    "b": ("b", "The bias."),
}


def rounded(rng: Any, shape: tuple[int, ...], spread: Any = 1.5, digits: int = 1) -> Any:
    """Random numbers that are easy to read; none is 0, which would hide what is multiplied by it."""
    numbers = np.round(rng.standard_normal(shape) * spread, digits)
    return np.where(numbers == 0, 0.2, numbers)


def scales(rng: Any, shape: tuple[int, ...]) -> Any:
    """A γ: near 1, and nowhere just 1."""
    return np.round(rng.uniform(0.5, 1.8, shape), 1)


def inner(a: Any, b: Any, axes: tuple[int, ...]) -> Any:
    """Σ a · b over `axes`, which stay."""
    with no_grad():
        return sum(Tensor(a) * b, axes, keepdim=True).array
