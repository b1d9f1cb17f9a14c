"""Ops in PyTorch's form: static methods with a context, applied with `apply`."""

import copy
import gc
import weakref

import numpy as np
import pytest

import minigrad as mg
from minigrad.autograd import Function
from minigrad.autograd.function import once_differentiable


class Power(Function):
    """y = scale · xᵏ · w: tensors and plain options, and a saved input, output and constant."""

    @staticmethod
    def forward(ctx, x, k, w, scale=1.0):
        y = scale * x**k * w
        ctx.k, ctx.scale = k, scale
        ctx.save_for_backward(x, None, w, mg.full((1,), scale, dtype=x.dtype))
        return y

    @staticmethod
    def backward(ctx, grad):
        x, nothing, w, scale = ctx.saved_tensors
        assert nothing is None
        gx = grad * scale * ctx.k * x ** (ctx.k - 1) * w if ctx.needs_input_grad[0] else None
        gw = grad * ctx.scale * x**ctx.k if ctx.needs_input_grad[2] else None
        return gx, None, gw, None


def numbers(*values):
    return mg.tensor(list(values), dtype=mg.float64, requires_grad=True)


def test_values_and_gradients_are_those_of_the_formula():
    x, w = numbers(1, -2, 3), numbers(2, 5, -1)
    y = Power.apply(x, 3, w, 0.5)
    y.backward(mg.tensor([1.0, 10.0, 100.0], dtype=mg.float64))
    np.testing.assert_allclose(y.tolist(), [1, -20, -13.5])
    np.testing.assert_allclose(x.grad.tolist(), [1.5 * 1 * 2, 10 * 1.5 * 4 * 5, 100 * 1.5 * 9 * -1])
    np.testing.assert_allclose(w.grad.tolist(), [0.5, 10 * 0.5 * -8, 100 * 0.5 * 27])
    assert repr(y.grad_fn) == "<Power>"


def test_finite_differences_of_first_and_second_order():
    x, w = mg.randn(4, dtype=mg.float64, requires_grad=True), mg.randn(4, dtype=mg.float64, requires_grad=True)
    assert mg.autograd.gradcheck(lambda x, w: Power.apply(x, 3, w, 0.5), (x, w))
    assert mg.autograd.gradgradcheck(lambda x, w: Power.apply(x, 3, w, 0.5), (x, w))


def test_a_gradient_that_was_broadcast_is_summed():
    x, w = numbers(1, 2, 3), numbers(2)
    Power.apply(x, 2, w).sum().backward()
    assert w.grad.tolist() == [1 + 4 + 9]
    matrix = mg.ones(2, 1, 3, dtype=mg.float64)
    x.grad = None
    Power.apply(x, 2, matrix).sum().backward()
    assert x.grad.tolist() == [4, 8, 12]


def test_a_saved_output_is_part_of_the_graph_of_a_second_derivative():
    class Exp(Function):
        @staticmethod
        def forward(ctx, x):
            y = x.exp()
            ctx.save_for_backward(y)
            return y

        @staticmethod
        def backward(ctx, grad):
            (y,) = ctx.saved_tensors
            return grad * y

    x = numbers(0.5, -1)
    (g,) = mg.grad(Exp.apply(x).sum(), x, create_graph=True)
    (h,) = mg.grad(g.sum(), x, create_graph=True)
    (third,) = mg.grad(h.sum(), x)
    for derivative in (g, h, third):
        np.testing.assert_allclose(derivative.detach().numpy(), np.exp([0.5, -1]))


def test_the_form_with_setup_context_takes_names_and_defaults():
    class Scaled(Function):
        @staticmethod
        def forward(x, factor=2.0):
            return x * factor

        @staticmethod
        def setup_context(ctx, inputs, output):
            _, ctx.factor = inputs
            assert not output.requires_grad

        @staticmethod
        def backward(ctx, grad):
            return grad * ctx.factor, None

    x = numbers(1, 2)
    (Scaled.apply(x) + Scaled.apply(x, factor=5.0) + Scaled.apply(x, 7.0)).sum().backward()
    assert x.grad.tolist() == [14, 14]
    with pytest.raises(TypeError, match=r"Power.apply: arguments are given by position"):
        Power.apply(x, 2, x, scale=3.0)


def test_several_outputs_some_without_a_gradient():
    seen = []

    class Sorted(Function):
        @staticmethod
        def forward(ctx, x):
            values, order = x.sort()
            positive = (values > 0).double()
            ctx.mark_non_differentiable(positive)
            ctx.order = order
            return values, order, positive, "text"

        @staticmethod
        def backward(ctx, *grads):
            seen.append(grads)
            g = mg.zeros_like(grads[0])
            g[ctx.order] = grads[0]
            return g

    x = numbers(3, -1, 2)
    values, order, positive, text = Sorted.apply(x)
    assert values.requires_grad and not order.requires_grad and not positive.requires_grad and text == "text"
    (values * mg.tensor([1.0, 2.0, 3.0], dtype=mg.float64) * positive).sum().backward()
    assert x.grad.tolist() == [3, 0, 2]
    assert [g if g is None else g.shape for g in seen[0]] == [(3,), (3,), (3,), None]


@pytest.mark.parametrize("materialize", [True, False])
def test_an_output_that_nobody_used(materialize):
    seen = []

    class Both(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.set_materialize_grads(materialize)
            return x * 2, x * 3

        @staticmethod
        def backward(ctx, first, second):
            seen.append(first)
            return second * 3

    x = numbers(1, 2)
    Both.apply(x)[1].sum().backward()
    assert x.grad.tolist() == [3, 3]
    assert seen[0].tolist() == [0, 0] if materialize else seen == [None]


def test_an_input_that_is_returned_is_another_tensor_with_the_same_memory():
    class Reverse(Function):
        @staticmethod
        def forward(ctx, x, strength):
            ctx.strength = strength
            return x

        @staticmethod
        def backward(ctx, grad):
            return -ctx.strength * grad, None

    class ReverseView(Reverse):
        @staticmethod
        def forward(ctx, x, strength):
            ctx.strength = strength
            return x.reshape(x.shape)

    for op in (Reverse, ReverseView):
        x = numbers(1, 2)
        h = x * 2
        y = op.apply(h, 0.5)
        assert y is not h and np.shares_memory(y.detach().numpy(), h.detach().numpy())
        (3 * y).sum().backward()
        assert x.grad.tolist() == [-3, -3]
        # The memory is one, and so is its version: a change of one is noticed through the other.
        h = x * 2
        z = op.apply(h, 0.5) * h
        with mg.no_grad():
            h.mul_(2)
        with pytest.raises(RuntimeError, match="changed in place"):
            z.sum().backward()


def test_an_input_that_was_changed_in_place():
    class Triple(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.mark_dirty(x)
            return x.mul_(3)

        @staticmethod
        def backward(ctx, grad):
            return 3 * grad

    x = numbers(1, 2)
    h = x * 1
    assert Triple.apply(h) is h
    (h * h).sum().backward()  # 9 x²
    assert x.grad.tolist() == [18, 36]
    with pytest.raises(RuntimeError, match="Triple: a leaf that requires a gradient was changed in place"):
        Triple.apply(x)


def test_a_second_derivative_that_was_refused_is_an_error():
    class Sine(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.sin()

        @staticmethod
        @once_differentiable
        def backward(ctx, grad):
            (x,) = ctx.saved_tensors
            return grad * mg.tensor(np.cos(x.detach().numpy()))

    x = numbers(0.3)
    Sine.apply(x).backward()
    np.testing.assert_allclose(x.grad.item(), np.cos(0.3))
    (g,) = mg.grad(Sine.apply(x), x, create_graph=True)
    np.testing.assert_allclose(g.item(), np.cos(0.3))
    with pytest.raises(RuntimeError, match=r"Sine.backward is marked with once_differentiable"):
        g.backward()


def test_a_backward_that_runs_a_backward_pass_of_its_own():
    class Checkpoint(Function):
        @staticmethod
        def forward(ctx, function, x):
            ctx.function = function
            ctx.save_for_backward(x)
            return function(x)

        @staticmethod
        def backward(ctx, grad):
            (x,) = ctx.saved_tensors
            x = x.detach().requires_grad_()
            with mg.enable_grad():
                y = ctx.function(x)
            y.backward(grad)
            return None, x.grad

    x = numbers(0.1, 0.2)
    Checkpoint.apply(lambda t: (t * t).exp(), x * 2).sum().backward()
    values = np.array([0.1, 0.2])
    np.testing.assert_allclose(x.grad.tolist(), 8 * values * np.exp(4 * values**2))


def test_nothing_is_recorded_where_nothing_is_wanted():
    x = numbers(1, 2)
    with mg.no_grad():
        assert not Power.apply(x, 2, x).requires_grad
    y = Power.apply(x.detach(), 2, mg.ones(2, dtype=mg.float64))
    assert y.grad_fn is None and not y.requires_grad
    assert Function.apply.__doc__ and not hasattr(y, "saved_tensors")


def test_a_graph_dies_when_its_result_is_let_go():
    x = numbers(1, 2)
    gc.collect()
    gc.disable()
    try:
        y = Power.apply(x * 1, 2, x)
        node = weakref.ref(y.grad_fn)
        del y
        assert node() is None
    finally:
        gc.enable()


def test_the_usual_errors():
    class WrongPlace(Function):
        @staticmethod
        def forward(ctx, x, k):
            return x * k

        @staticmethod
        def backward(ctx, grad):
            return grad, grad

    class TooFew(WrongPlace):
        @staticmethod
        def backward(ctx, grad):
            return grad

    class NoRule(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

    class SavesNumbers(NoRule):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x, 3)
            return x * 2

    x = numbers(1, 2)
    with pytest.raises(RuntimeError, match=r"WrongPlace.backward returned a gradient for argument 1"):
        WrongPlace.apply(x, 2.0).sum().backward()
    with pytest.raises(RuntimeError, match=r"TooFew.backward returned 1 gradients for 2 inputs"):
        TooFew.apply(x, 2.0).sum().backward()
    with pytest.raises(NotImplementedError, match="NoRule has no derivative"):
        NoRule.apply(x).sum().backward()
    with pytest.raises(TypeError, match="save_for_backward: argument 1 is a int"):
        SavesNumbers.apply(x)
    with pytest.raises(TypeError, match=r"NoRule: forward is a static method: apply the op with NoRule.apply"):
        NoRule()(x)
    y = Power.apply(x, 2, x).sum()
    y.backward()
    with pytest.raises(RuntimeError, match="Power: its saved values were freed"):
        y.backward()
    h = x * 1
    y = Power.apply(h, 2, x)
    with mg.no_grad():
        h.zero_()
    with pytest.raises(RuntimeError, match="Power: a value that it needs for its gradient was changed in place"):
        y.sum().backward()
    with pytest.raises(RuntimeError, match="Power: what an op made cannot be deep-copied"):
        copy.deepcopy(Power.apply(x, 2, x))


def test_apply_of_an_op_with_ordinary_methods():
    class Times(Function):
        def __init__(self, factor=2.0):
            self.factor = factor

        def forward(self, x):
            return x * self.factor

        def backward(self, grad):
            return grad * self.factor

    x = numbers(1, 2)
    (Times.apply(x) + Times.apply(x, factor=5.0)).sum().backward()
    assert x.grad.tolist() == [7, 7]


def test_a_drawing_shows_it():
    x = numbers(1, 2)
    recorded = mg.viz.graph(Power.apply(x, 2, x).sum())
    watched = mg.viz.graph(lambda x: Power.apply(x, 2, x).sum(), x)
    assert "Power" in recorded.source and "Power" in watched.source
