"""An op of one tensor goes a shorter way through `Function.__call__`. It must leave the same graph as the long one.

Watched by `detect_anomaly`, every op goes the long way.
"""

from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest

import minigrad as mg


class SavesInput(mg.Function):
    def forward(self, x: Any) -> Any:
        self.save_for_backward(x)
        return x * x

    def backward(self, g: Any) -> Any:
        (x,) = self.saved
        return 2 * x * g


class SavesOutput(mg.Function):
    def forward(self, x: Any) -> Any:
        y = np.exp(x)
        self.save_for_backward(y)
        return y

    def backward(self, g: Any) -> Any:
        (y,) = self.saved
        return y * g


class SavesBoth(mg.Function):
    def forward(self, x: Any) -> Any:
        y = x * np.exp(x)
        self.save_for_backward(y, x)
        return y

    def backward(self, g: Any) -> Any:
        y, x = self.saved
        return (y + mg.exp(x)) * g


class SavesNothing(mg.Function):
    def forward(self, x: Any) -> Any:
        return 3 * x

    def backward(self, g: Any) -> Any:
        return 3 * g


class Turned(mg.Function):
    is_view = True

    def forward(self, x: Any) -> Any:
        self.save_for_backward(x)
        return x.T

    def backward(self, g: Any) -> Any:
        assert self.saved[0].shape == (2, 3)
        return mg.transpose(g, 0, 1)


class TheSame(mg.Function):
    def forward(self, x: Any) -> Any:
        self.save_for_backward(x)
        return x

    def backward(self, g: Any) -> Any:
        return g * mg.ones_like(mg.as_tensor(self.saved[0])).array


class Total(mg.Function):
    def forward(self, x: Any) -> Any:
        self.shape = x.shape
        total = x.sum()  # NumPy makes this a scalar
        self.save_for_backward(total)
        return total

    def backward(self, g: Any) -> Any:
        return mg.expand(g * self.saved[0] / self.saved[0], self.shape)


class Sign(mg.Function):
    differentiable = False

    def forward(self, x: Any) -> Any:
        return np.sign(x)


class Halves(mg.Function):
    def forward(self, x: Any) -> Any:
        self.save_for_backward(x)
        return x * x, 2 * x

    def backward(self, a: Any, b: Any) -> Any:
        (x,) = self.saved
        return 2 * x * a + 2 * b


OPS = [SavesInput, SavesOutput, SavesBoth, SavesNothing, Turned, TheSame, Total, Sign, Halves]
WAYS = {"short": nullcontext, "long": mg.detect_anomaly}


def graph(op: mg.Function, x: mg.Tensor, y: Any) -> dict[str, Any]:
    """What the op left behind."""
    outputs = y if isinstance(y, tuple) else (y,)
    return {
        "edges": [(edge[0] is (x.grad_fn or x), edge[1]) for edge in op.edges if edge is not None],
        "inputs": len(op.edges),
        "outputs": list(op.outputs),
        "sources": list(op._sources),
        "counters": [counter is x.version for counter in op._counters],
        "changes": op._changes,
        "saved": len(op._saved or ()),
        "recorded": op.order >= 0,
        "results": [(t.requires_grad, t.grad_fn is op, t.output_index, t.version is x.version) for t in outputs],
        "own arrays": [t.array is not x.array for t in outputs],
    }


@pytest.mark.parametrize("leaf", [True, False], ids=["leaf", "not a leaf"])
@pytest.mark.parametrize("op", OPS)
def test_both_ways_leave_the_same_graph(op: type[mg.Function], leaf: bool) -> None:
    found, derivatives = [], []
    v = np.random.default_rng(1).standard_normal((2, 3))
    for way in WAYS.values():
        start = mg.tensor(np.random.default_rng(0).standard_normal((2, 3)), requires_grad=True)
        x = start if leaf else start * 1.5
        with mg.no_grad():
            x._write("a change")  # so that its version is not 0
        with way():
            node = op()
            y = node(x)
        found.append(graph(node, x, y))
        if op is Sign:
            continue
        outputs = y if isinstance(y, tuple) else (y,)
        (first,) = mg.grad(outputs, start, [mg.tensor(np.resize(v, t.shape)) for t in outputs], create_graph=True)
        second = mg.grad(first * mg.sin(start), start, mg.tensor(v))
        derivatives.append([first.array, second[0].array])
    assert found[0] == found[1]
    if derivatives:
        np.testing.assert_array_equal(*derivatives)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("op", [SavesInput, SavesOutput, SavesBoth, Turned])
def test_both_ways_notice_a_change_in_place(op: type[mg.Function], way: str) -> None:
    x = mg.tensor(np.ones((2, 3)), requires_grad=True) * 1.0
    with WAYS[way]():
        y = op()(x)
    with mg.no_grad():
        (y if op is SavesOutput else x).add_(1.0)
    with pytest.raises(RuntimeError, match="changed in place"):
        mg.grad(y, x, mg.ones(*y.shape, dtype=mg.float64))


@pytest.mark.parametrize("way", WAYS)
def test_both_ways_refuse_a_second_application(way: str) -> None:
    x = mg.tensor([1.0], requires_grad=True)
    op = SavesInput()
    with WAYS[way]():
        op(x)
        with pytest.raises(RuntimeError, match="applied before"):
            op(x)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("keep", [None, np.ones(3)], ids=["None", "an array"])
def test_both_ways_refuse_to_save_what_is_neither_input_nor_output(way: str, keep: Any) -> None:
    class Keeps(mg.Function):
        def forward(self, x: Any) -> Any:
            self.save_for_backward(keep)
            return x + 1

    with WAYS[way](), pytest.raises(RuntimeError, match="neither"):
        Keeps()(mg.tensor([1.0, 2.0, 3.0], requires_grad=True))
