"""A `Walk`: a computation written down step by step, and its backward pass, contribution by contribution.

Each step is a value with a name, computed by minigrad from values before it. Going back, every value collects what
its users send: for each user, the gradient of that user times the local derivative. `Walk.backward` does this one
edge at a time, so that each contribution can be looked at; the rules that it applies are those of minigrad's ops.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minigrad.autograd import Tensor, enable_grad, grad


@dataclass
class Value:
    """One value of a walk.

    Attributes:
        name: what the code calls it.
        symbol: what formulas call it.
        tensor: the value, part of a connected graph that minigrad can differentiate by itself.
        formula: how it is computed.
        why: what it is for, in a sentence or two.
        role: "input", "parameter", "step" or "output".
        axes: a letter for each axis.
        parents: the values it is computed from, each with the local derivative as a formula.
        function: computes it from the tensors of its parents; None for a leaf.
        cut: is it taken for a constant, so that its gradient goes no further?
        statistic: is it a statistic that several elements share?
    """

    name: str
    symbol: str
    tensor: Tensor
    formula: str = ""
    why: str = ""
    role: str = "step"
    axes: tuple[str, ...] = ()
    parents: dict[str, str] = field(default_factory=dict)
    function: Callable[..., Any] | None = None
    cut: bool = False
    statistic: bool = False

    @property
    def array(self) -> Any:
        return self.tensor.array


@dataclass
class Gradients:
    """What a backward pass brought.

    Attributes:
        of: name → ∂L/∂value; None where nothing arrives.
        sent: (user, value) → what the user sent to the value. Their sum over the users is `of[value]`.
    """

    of: dict[str, Any]
    sent: dict[tuple[str, str], Any]


class Walk:
    """The values in the order in which they are computed.

    Args:
        cuts: names of the values that are to be taken for constants.
        frozen: values that are not computed but given, for finite differences beside a constant.
    """

    def __init__(self, cuts: Sequence[str] = (), frozen: dict[str, Any] | None = None):
        self.cuts = frozenset(cuts)
        self.frozen = frozen or {}
        self.values: dict[str, Value] = {}
        self.output = ""

    def __getitem__(self, name: str) -> Tensor:
        return self.values[name].tensor

    def leaf(
        self, name: str, symbol: str, array: Any, axes: tuple[str, ...], why: str = "", role: str = "parameter"
    ) -> Tensor:
        """A value that is given, and whose gradient is wanted."""
        tensor = Tensor(np.asarray(array, np.float64), requires_grad=True)
        self.values[name] = Value(name, symbol, tensor, why=why, role=role, axes=axes)
        return tensor

    def step(
        self,
        name: str,
        symbol: str,
        function: Callable[..., Any],
        parents: dict[str, str],
        formula: str,
        why: str,
        axes: tuple[str, ...] | None = None,
        statistic: bool = False,
    ) -> Tensor:
        """A value computed by `function` from the values named in `parents`."""
        if name in self.frozen:
            tensor = Tensor(self.frozen[name])
        else:
            tensor = function(*(self.values[p].tensor for p in parents))
        cut = name in self.cuts
        if cut:  # a leaf of its own: gradients arrive at it, and none goes on
            tensor = Tensor(tensor.array.copy(), requires_grad=True)
        if axes is None:
            axes = self.values[next(iter(parents))].axes
        self.values[name] = Value(
            name, symbol, tensor, formula, why, "step", axes, dict(parents), function, cut, statistic
        )
        self.output = name
        return tensor

    def finish(self) -> Tensor:
        """The last step is the output."""
        self.values[self.output].role = "output"
        return self.values[self.output].tensor

    @property
    def leaves(self) -> list[str]:
        """What was given: the input and the parameters."""
        return [v.name for v in self.values.values() if v.function is None]

    def users(self, name: str) -> list[str]:
        """The values computed from this one."""
        return [v.name for v in self.values.values() if name in v.parents]

    def backward(self, seed: Any) -> Gradients:
        """From the gradient of the output, `seed`, to the gradient of every value, one edge at a time."""
        of: dict[str, Any] = dict.fromkeys(self.values)
        sent: dict[tuple[str, str], Any] = {}
        of[self.output] = np.asarray(seed, np.float64)
        for value in reversed(self.values.values()):
            if value.function is None or value.cut or of[value.name] is None:
                continue
            for parent, contribution in zip(value.parents, self._send(value, of[value.name]), strict=True):
                sent[value.name, parent] = contribution
                before = of[parent]
                of[parent] = contribution if before is None else before + contribution
        return Gradients(of, sent)

    def _send(self, value: Value, gradient: Any) -> list[Any]:
        """What one value sends to each of its parents: minigrad's rule for this step alone."""
        assert value.function is not None
        with enable_grad():
            alone = [Tensor(self.values[p].array, requires_grad=True) for p in value.parents]
            found = grad(value.function(*alone), alone, Tensor(gradient), allow_unused=True)
        return [np.zeros_like(a.array) if g is None else g.array for a, g in zip(alone, found, strict=True)]

    def gradients_by_engine(self, seed: Any) -> dict[str, Any]:
        """The gradients of the leaves once more, by one call of `mg.grad` over the whole connected graph."""
        leaves = [self.values[name].tensor for name in self.leaves]
        found = grad(self.values[self.output].tensor, leaves, Tensor(seed), retain_graph=True, allow_unused=True)
        return {
            name: np.zeros_like(leaf.array) if g is None else g.array
            for name, leaf, g in zip(self.leaves, leaves, found, strict=True)
        }
