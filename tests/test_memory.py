"""Graphs die by reference count alone, saved values as soon as they are used, and depth costs no stack."""

import gc
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import minigrad as mg


@pytest.fixture(autouse=True)
def without_garbage_collector() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


def leaf(*shape: int, seed: int = 0) -> mg.Tensor:
    return mg.Tensor(np.random.default_rng(seed).uniform(0.5, 1.5, shape), requires_grad=True)


class TwoOutputs(mg.Function):
    def forward(self, x):
        first, second = x * 2, x * x
        self.save_for_backward(x, second)
        return first, second

    def backward(self, g1, g2):
        x, _ = self.saved
        return 2 * g1 + 2 * x * g2


F = mg.nn.functional

GRAPHS = {
    "add": lambda x: x + x,
    "saves an input": lambda x: x * x,
    "saves an output": lambda x: x.exp(),
    "0-d output": lambda x: x.sum().exp(),
    "broadcast": lambda x: x * x.sum(axis=0),
    "views": lambda x: x.reshape(-1).reshape(x.shape).transpose(0, 1).expand(2, *x.shape),
    "matmul": lambda x: x @ x,
    "index": lambda x: x[0] * x[[1, 1]],
    "cat": lambda x: mg.cat([x, x * 2]),
    "two outputs": lambda x: TwoOutputs()(x)[1],
    "two outputs, both used": lambda x: (lambda a, b: a * b)(*TwoOutputs()(x)),
    "max with indices": lambda x: x.max(axis=0)[0],
    "where": lambda x: mg.where(x > 1, x * 2, x.exp()),
    "prod": lambda x: x.prod(axis=1),
    "cumsum": lambda x: x.cumsum(0) * x,
    "einsum": lambda x: mg.einsum("ij,jk->ik", x, x),
    "softmax": lambda x: F.softmax(x, -1) * F.log_softmax(x, 0),
    "relu": lambda x: F.relu(x) + F.gelu(x) + F.silu(x),
    "cross_entropy": lambda x: F.cross_entropy(x, mg.tensor([0, 1, 2, 0])),
    "dropout": lambda x: F.dropout(x, 0.5),
    "conv2d": lambda x: F.conv2d(x.reshape(1, 1, 4, 4), x[:2, :2].reshape(1, 1, 2, 2)),
    "max_pool2d": lambda x: F.max_pool2d(x.reshape(1, 1, 4, 4), 2),
    "layer_norm": lambda x: F.layer_norm(x, (4,), x[0], x[1]),
    "batch_norm": lambda x: F.batch_norm(x, None, None, x[0], x[1], training=True),
    "group_norm": lambda x: F.group_norm(x, 2, x[0], x[1]),
    "instance_norm": lambda x: F.instance_norm(x.reshape(2, 2, 4)),
}


def nodes_of(output: mg.Tensor) -> list[Any]:
    """Weak references to every recorded op below `output`."""
    seen, stack = set(), [output.grad_fn]
    while stack:
        node = stack.pop()
        if isinstance(node, mg.Function) and node not in seen:
            seen.add(node)
            stack.extend(edge[0] for edge in node.edges if edge is not None)
    return [weakref.ref(node) for node in seen]


def alive(references: list[Any]) -> list[str]:
    return [repr(node) for node in (r() for r in references) if node is not None]


@pytest.mark.parametrize("name", GRAPHS)
def test_a_graph_dies_with_its_output(name):
    x = leaf(4, 4)
    y = GRAPHS[name](x)
    nodes = nodes_of(y)
    assert alive(nodes)
    del y
    assert alive(nodes) == []


@pytest.mark.parametrize("name", GRAPHS)
def test_a_graph_dies_after_backward(name):
    x = leaf(4, 4)
    y = GRAPHS[name](x)
    nodes = nodes_of(y)
    y.backward(mg.Tensor(np.ones(y.shape)))
    del y
    assert alive(nodes) == []


@pytest.mark.parametrize("name", GRAPHS)
def test_the_graph_of_a_gradient_dies_too(name):
    x = leaf(4, 4)
    y = GRAPHS[name](x)
    v = leaf(*y.shape, seed=1)
    (g,) = mg.grad(y, x, v, create_graph=True)
    nodes = nodes_of(y) + nodes_of(g)
    (h,) = mg.grad(g, v, mg.Tensor(np.ones(g.shape)), create_graph=True)
    nodes += nodes_of(h)
    del y, g, h
    assert alive(nodes) == []


def test_hooks_and_retain_grad_keep_nothing_alive():
    x = leaf(3)
    y = x * 2
    y.retain_grad()
    y.register_hook(lambda g: None)
    z = y.exp().sum()
    output, nodes = weakref.ref(y), nodes_of(z)
    z.backward()
    del y, z
    assert output() is None
    assert alive(nodes) == []


def test_an_error_in_backward_keeps_nothing_alive_once_it_is_handled():
    class Fails(mg.Function):
        def forward(self, x):
            return x + 0

        def backward(self, g):
            raise KeyError

    x = leaf(3)
    y = Fails()(x * x).sum()
    nodes = nodes_of(y)
    with pytest.raises(KeyError) as error:
        y.backward()
    del y, error
    # The traceback holds the frames until the next error; they are no part of the graph.
    try:
        raise ValueError
    except ValueError:
        pass
    assert alive(nodes) == []


def test_no_grad_keeps_no_intermediate_result():
    x = leaf(3)
    with mg.no_grad():
        y = x * 2
        reference = weakref.ref(y.array)
        z = y.exp()
        del y
    assert reference() is None
    assert z.grad_fn is None


def test_what_no_rule_needs_is_freed_in_the_forward_pass():
    x = leaf(3)
    y = x + 1
    reference = weakref.ref(y.array)
    z = y + 1  # needs nothing
    del y
    assert reference() is None
    z.sum().backward()


def test_saved_values_are_freed_while_backward_runs():
    x = leaf(3)
    y = x * 2
    first = y.exp()
    saved = weakref.ref(first.array)
    seen = []
    y.register_hook(lambda g: seen.append(saved() is None))
    loss = (first * 3).sum()
    del first
    assert saved() is not None
    loss.backward()
    assert seen == [True]  # the graph is still held by `loss`, and the value is gone


def test_a_training_loop_does_not_grow():
    x, w = leaf(8, 4), leaf(4, 4, seed=1)
    counts = []
    for _ in range(5):
        w.grad = None
        ((x @ w).exp().sum()).backward()
        counts.append(sum(isinstance(o, mg.Tensor | mg.Function) for o in gc.get_objects()))
    assert counts[1:] == counts[1:2] * 4


def test_a_chain_of_100_000_ops():
    x = leaf(1)
    y = x
    for _ in range(100_000):
        y = y + x
    nodes = nodes_of(y)
    assert len(nodes) == 100_000
    y.sum().backward()
    assert x.grad.item() == 100_001
    del y
    assert alive(nodes) == []


def test_a_deep_chain_in_a_thread_with_a_small_stack():
    result: list[float] = []

    def run():
        x = leaf(1)
        y = x
        for _ in range(100_000):
            y = y * 1.0
        y.sum().backward()
        del y
        result.append(x.grad.item())

    before = threading.stack_size(256 * 1024)
    try:
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
    finally:
        threading.stack_size(before)
    assert result == [1.0]


def test_a_deep_chain_at_second_order():
    x = leaf(1)
    y = x
    for _ in range(5_000):
        y = y * 1.0
    (g,) = mg.grad((y * y).sum(), x, create_graph=True)
    (h,) = mg.grad(g.sum(), x)
    assert h.item() == pytest.approx(2)


def test_a_wide_graph():
    leaves = [leaf(1, seed=i) for i in range(2_000)]
    total = leaves[0]
    for x in leaves[1:]:
        total = total + x * 2
    nodes = nodes_of(total)
    total.sum().backward()
    assert [x.grad.item() for x in leaves] == [1.0] + [2.0] * 1_999
    del total
    assert alive(nodes) == []
