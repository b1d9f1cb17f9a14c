"""Changes in place of tensors that share memory, recorded: NumPy's programs with views, and their derivatives.

A program of slices, transposes and assignments means the same to NumPy, whose views are memory and nothing else. So
NumPy says what the values must be, and finite differences of these say what the gradients must be.
"""

import numpy as np
import pytest

import minigrad as mg
from minigrad.autograd import gradcheck, gradgradcheck
from minigrad.nn import functional as F

VIEWS = {
    "row": lambda x: x[1],
    "rows": lambda x: x[1:],
    "every second column": lambda x: x[:, ::2],
    "one element": lambda x: x[2, 1:2],
    "transposed": lambda x: x.T,
    "flat": lambda x: x.reshape(-1)[2:9],
    "a view of a view": lambda x: x.T[1:, 1:].T[0],
    "new axis": lambda x: x[:, None, 1],
    "all of it": lambda x: x[...],
}


def through_the_base(base, view, w):
    base[0] = w[:4]
    base[:, 1] *= w[1]
    return base, view


def through_the_view(base, view, w):
    view *= w[0]
    view[...] = view * view + w[2]
    return base, view


def through_both(base, view, w):
    view += w[1]
    base *= base
    view[-1:] = w[3]
    base[1:] -= w[:4]
    return base * view.sum(), view


def through_another_view(base, view, w):
    other = base[:2, 1:]
    other *= w[:3]
    base[1] += other[0].sum()
    view /= w[4]
    return other, view * 1.0


PROGRAMS = [through_the_base, through_the_view, through_both, through_another_view]
W = np.random.default_rng(1).uniform(0.5, 1.5, 5)


@pytest.mark.parametrize("known", [False, True], ids=["a constant", "a result"])
@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_with_views_means_what_numpy_says(program, name, known):
    start = np.random.default_rng(0).uniform(0.5, 1.5, (3, 4))

    def run(w, start):
        base = start * w[4] if known else start
        view = VIEWS[name](base)
        results = program(base, view, w)
        return [base, view, *results]

    def values(w):
        return run(w, mg.tensor(start.copy()))

    expected = run(W.copy(), start.copy())
    found = values(mg.tensor(W))
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a.detach().numpy(), b, rtol=1e-12)
    w = mg.tensor(W, requires_grad=True)
    weights = [np.random.default_rng(5 + i).standard_normal(b.shape) for i, b in enumerate(expected)]

    def loss(w):
        return sum((r * c).sin().sum() for r, c in zip(values(w), weights, strict=True))

    assert gradcheck(loss, [w])
    assert gradgradcheck(loss, [w])


def test_what_is_outside_the_graph_shares_the_memory_all_the_same():
    w = mg.tensor([2.0, 3.0], requires_grad=True)
    y = w * 1
    detached, data = y.detach(), y.data
    part = detached[1:]
    y *= w
    assert detached.tolist() == data.tolist() == [4, 9] and part.tolist() == [9]
    assert not (detached.requires_grad or data.requires_grad or part.requires_grad)
    data[0] = 7
    assert y.tolist() == [7, 9] and detached.tolist() == [7, 9]
    with mg.no_grad():
        y[1:].fill_(5)
    assert detached.tolist() == [7, 5]


def test_a_rule_keeps_the_values_that_it_saved():
    w = mg.tensor([1.0, 2.0], requires_grad=True)
    y = w * 3
    first = y[0]
    product = first * first
    first *= 10
    (product + y.sum()).backward()
    assert w.grad.tolist() == [2 * 9 + 30, 3]


def test_a_write_without_a_graph_is_noticed_through_every_view():
    w = mg.tensor([1.0, 2.0], requires_grad=True)
    y = w * 3
    row = y[:1]
    row *= 2  # from here on, y and row have new memory, which they share
    square = (y * y).sum()
    row.detach().fill_(0)
    with pytest.raises(RuntimeError, match="changed in place"):
        square.backward()


def test_what_a_view_cannot_do_is_refused_and_changes_nothing():
    w = mg.tensor([[1.0, 2.0]], requires_grad=True)
    with pytest.raises(RuntimeError, match="mul_: this tensor is a view of a leaf that requires a gradient"):
        w[0].mul_(2)
    y = mg.zeros(2)
    with pytest.raises(RuntimeError, match=r"add_: this tensor is outside the graph .* x.clone\(\)"):
        y.detach().add_(w[0])
    with pytest.raises(RuntimeError, match=r"mul_: .* share one place"):
        total = w.sum(1)
        total.expand(3).mul_(w[0, 0])
    assert w.tolist() == [[1, 2]] and y.tolist() == [0, 0]


def test_a_retained_gradient_of_a_view_is_that_of_the_changed_view():
    w = mg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = w * 1
    view = y[1:]
    view.retain_grad()
    y *= 2
    (view * view).sum().backward()
    assert view.grad.tolist() == [8, 12] and w.grad.tolist() == [0, 16, 24]


def test_activations_in_place_reach_the_tensor_that_they_are_given_a_view_of():
    w = mg.tensor([[-1.0, 2.0], [3.0, -4.0]], requires_grad=True)
    y = w * 2
    F.relu(y[0], inplace=True)
    y.diagonal().mul_(3)
    assert y.tolist() == [[0, 4], [6, -24]]
    y.sum().backward()
    assert w.grad.tolist() == [[0, 2], [2, 6]]


def test_an_element_that_is_added_to_is_written_once():
    """Python does `y[1] += w` as v = y[1]; v += w; y[1] = v."""
    w = mg.tensor(2.0, requires_grad=True)
    y = mg.zeros(3)
    y[1] += w
    y[1:] *= w
    (y * mg.tensor([1.0, 2.0, 3.0])).sum().backward()
    assert y.tolist() == [0, 4, 0] and w.grad.item() == 2 * 2 * 2
    y = w * mg.ones(3)
    part = y[1]
    part += w
    node = y.grad_fn
    y[1] = part
    assert y.grad_fn is node and y.tolist() == [2, 4, 2]
    y[1] = part.detach()  # the same elements, and no gradient
    assert mg.grad(y.sum(), w, retain_graph=True)[0].item() == 2
    y = w * mg.ones(3)
    part = y[1]
    part *= 2
    y[0] = part
    assert y.tolist() == [4, 4, 2] and part.item() == 4


def test_layouts_of_memory_are_kept():
    for array in (np.ones((3, 4)).T, np.asfortranarray(np.ones((3, 4))), np.ones((2, 3, 4)).transpose(1, 0, 2)):
        w = mg.tensor(2.0, dtype=mg.float64, requires_grad=True)
        x = mg.Tensor(array.copy("K"))
        view = x[1:]
        x[0] = w
        view += w
        assert (x.array == np.concatenate([array[:1] + 1, array[1:] + 2])).all()
        assert np.shares_memory(x.array, view.array)
        x.sum().backward()
        assert w.grad.item() == array.size
    empty = mg.zeros(0, 3)
    view = empty.T[1:]
    empty[:, 1] = mg.tensor(1.0, requires_grad=True)
    view *= mg.tensor(2.0, requires_grad=True)
    assert view.shape == (2, 0) and view.requires_grad and empty.requires_grad
    sparse = mg.Tensor(np.ones((4, 4))[::2])
    view = sparse[0]
    with pytest.raises(RuntimeError, match=r"setitem: .* do not lie side by side"):
        sparse[1] = mg.ones(4, requires_grad=True)
