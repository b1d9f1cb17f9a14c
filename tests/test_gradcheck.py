"""The checkers are checked: each of these rules is wrong on purpose, and must be found out."""

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.autograd import GradcheckError, gradcheck, gradgradcheck


def random(*shape: int, seed: int = 0) -> mg.Tensor:
    return mg.Tensor(np.random.default_rng(seed).standard_normal(shape), requires_grad=True)


class Op(mg.Function):
    """y = x³, with a rule that each test gives."""

    def __init__(self, rule: Any):
        self.rule = rule

    def forward(self, x):
        self.save_for_backward(x)
        return x * x * x

    def backward(self, g):
        return self.rule(g, *self.saved)


def right(g, x):
    return 3 * x * x * g


WRONG = {
    "scaled by 1.001": lambda g, x: 1.001 * right(g, x),
    "of the wrong sign": lambda g, x: -right(g, x),
    "times −7": lambda g, x: -7 * right(g, x),
    "zero": lambda g, x: 0 * g,
    "transposed": lambda g, x: right(g, x).transpose(1, 0),
    "without the cotangent": lambda g, x: 3 * x * x,
    "with a term dropped": lambda g, x: 2 * x * x * g,
    "with the mean of the cotangent": lambda g, x: 3 * x * x * g.mean(),
    "with a term too many": lambda g, x: right(g, x) + 1e-4 * x,
    "NaN": lambda g, x: right(g, x) * float("nan"),
    "infinite": lambda g, x: right(g, x) + float("inf"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_rule_is_found(name):
    x = random(3, 3)
    function = lambda x: Op(WRONG[name])(x)  # noqa: E731
    with pytest.raises(GradcheckError, match=r"autograd says .* finite differences say"):
        gradcheck(function, x)
    assert not gradcheck(function, x, raise_exception=False)


def test_a_right_rule_passes():
    x = random(3, 3)
    assert gradcheck(lambda x: Op(right)(x), x)
    assert gradgradcheck(lambda x: Op(right)(x), x)


def test_one_wrong_element_is_found_and_named():
    def rule(g, x):
        mask = np.ones((4, 5))
        mask[2, 3] = 1.01
        return right(g, x) * mask

    with pytest.raises(GradcheckError, match=r"input 0, element \(2, 3\).*1 of 20 elements"):
        gradcheck(lambda x: Op(rule)(x), random(4, 5))


def test_the_wrong_input_is_named():
    class Product(mg.Function):
        def forward(self, x, y):
            self.save_for_backward(x, y)
            return x * y

        def backward(self, g):
            _, y = self.saved
            return g * y, g * y

    with pytest.raises(GradcheckError, match="input 1"):
        gradcheck(lambda x, y: Product()(x, y), [random(3), random(3, seed=1)])


SECOND_ORDER_WRONG = {
    "detached": lambda g, x: 3 * x.detach() * x * g if isinstance(x, mg.Tensor) else right(g, x),
    "constant": lambda g, x: 3 * g * mg.Tensor((x * x).array) if isinstance(x, mg.Tensor) else right(g, x),
    "scaled by 1.001 where recorded": lambda g, x: (
        right(g, x) + (0.001 * (right(g, x) - right(g, x).detach()) if isinstance(g, mg.Tensor) else 0)
    ),
}


@pytest.mark.parametrize("name", SECOND_ORDER_WRONG)
def test_a_rule_that_is_wrong_at_second_order_only(name):
    function = lambda x: Op(SECOND_ORDER_WRONG[name])(x)  # noqa: E731
    x = random(3)
    assert gradcheck(function, x)
    with pytest.raises(GradcheckError):
        gradgradcheck(function, x)
    assert not gradgradcheck(function, x, raise_exception=False)


def test_a_cached_statistic_is_wrong_at_second_order_only():
    """The fault of several frameworks: the inverse deviation is kept from the forward pass as a constant."""

    class Standardize(mg.Function):
        def forward(self, x):
            self.save_for_backward(x)
            self.mean, self.inv_std = x.mean(), 1 / np.sqrt(x.var() + 1e-5)
            return (x - self.mean) * self.inv_std

        def backward(self, g):
            (x,) = self.saved
            x_hat = (x - self.mean) * self.inv_std
            return self.inv_std * (g - g.mean() - x_hat * (g * x_hat).mean())

    x = random(5)
    assert gradcheck(lambda x: Standardize()(x), x)
    with pytest.raises(GradcheckError):
        gradgradcheck(lambda x: Standardize()(x), x)


def test_a_derivative_by_the_cotangent_that_is_wrong():
    def rule(g, x):
        return 3 * x * x * (g.detach() if isinstance(g, mg.Tensor) else g)

    assert gradcheck(lambda x: Op(rule)(x), random(3))
    with pytest.raises(GradcheckError):
        gradgradcheck(lambda x: Op(rule)(x), random(3))


def test_an_input_that_autograd_does_not_see():
    with pytest.raises(GradcheckError, match="input 1"):
        gradcheck(lambda x, y: x * y.detach(), [random(3), random(3, seed=1)])


def test_an_output_without_a_graph():
    for check in (gradcheck, gradgradcheck):
        with pytest.raises(GradcheckError, match="no output depends on the inputs"):
            check(lambda x: x.detach() * 2, random(3))


def test_an_unused_input_has_gradient_zero():
    assert gradcheck(lambda x, y: x * 2, [random(3), random(3, seed=1)])


def test_several_outputs_are_all_checked():
    def function(x):
        return x * 2, Op(WRONG["of the wrong sign"])(x)

    with pytest.raises(GradcheckError):
        gradcheck(function, random(3))
    assert gradcheck(lambda x: (x * 2, x * x, mg.Tensor(np.arange(3))), random(3))
    assert gradgradcheck(lambda x: (x * 2, x * x), random(3))


def test_inputs_of_lower_precision_are_refused():
    x = mg.Tensor(np.ones(3, np.float32), requires_grad=True)
    for check in (gradcheck, gradgradcheck):
        with pytest.raises(TypeError, match=r"inputs\[0\] is float32.*float64"):
            check(lambda x: x * 2, x)


def test_nothing_to_check():
    for check in (gradcheck, gradgradcheck):
        with pytest.raises(ValueError, match="none of the inputs requires a gradient"):
            check(lambda x: x * 2, mg.Tensor(np.ones(3)))


def test_other_arguments_are_passed_on():
    assert gradcheck(lambda x, k, flag: x * k if flag else x, [random(3), 2.0, True])
    assert gradgradcheck(lambda x, k, flag: x * x * k if flag else x, [random(3), 2.0, True])


def test_the_check_changes_nothing():
    x = random(3)
    before = x.detach().numpy().copy()
    gradcheck(lambda x: x * x, x)
    gradgradcheck(lambda x: x * x, x)
    np.testing.assert_array_equal(x.detach().numpy(), before)
    assert x.grad is None


def test_works_inside_no_grad():
    with mg.no_grad():
        assert gradcheck(lambda x: x * x, random(3))
        assert gradgradcheck(lambda x: x * x, random(3))


def test_0d_and_empty_and_non_contiguous_inputs():
    assert gradcheck(lambda x: x * x, random())
    assert gradgradcheck(lambda x: x * x, random())
    assert gradcheck(lambda x: x * x, random(0, 3))
    x = mg.Tensor(np.random.default_rng(0).standard_normal((3, 2)).T, requires_grad=True)
    assert gradcheck(lambda x: x * x, x)
    assert gradgradcheck(lambda x: x * x, x)


def test_a_linear_function_has_second_derivative_zero():
    assert gradgradcheck(lambda x: x * 2, random(3))
    assert gradgradcheck(lambda x: x.reshape(3, 1), random(3))


# -- inputs of any size ---------------------------------------------------------------------------------------------

SIZES = [1e-3, 1.0, 100.0, 1e4]
FUNCTIONS = {
    "cube": lambda x: x**3,
    "sum of cubes": lambda x: (x**3).sum(),
    "product": lambda x: x.prod(),
    "squared sum of squares": lambda x: (x * x).sum() ** 2,
    "sine": lambda x: x.sin(),
    "exponential of a sine": lambda x: x.sin().exp(),
    "root": lambda x: x.abs().sqrt(),
    "logarithm": lambda x: x.abs().log(),
    "reciprocal": lambda x: 1 / x,
    "softmax": lambda x: mg.softmax(x, 1),
    "log_softmax": lambda x: mg.log_softmax(x, 1),
    "norm": lambda x: mg.norm(x, 2, axis=1),
    "norm of order 3": lambda x: mg.norm(x, 3),
    "layer_norm": lambda x: mg.nn.functional.layer_norm(x, (4,)),
    "matrix product": lambda x: x @ x.T,
    "mse_loss": lambda x: mg.nn.functional.mse_loss(x, x.flip(0) * 0.5),
    "beside something large": lambda x: (x.sin() + 1e6 * (x.detach() * 0 + 1)).sum(),
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_no_false_alarm_at_any_size(name, size):
    x = mg.Tensor(np.random.default_rng(3).standard_normal((3, 4)) * size, requires_grad=True)
    assert gradcheck(FUNCTIONS[name], x)
    assert gradgradcheck(FUNCTIONS[name], x)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ["scaled by 1.001", "of the wrong sign", "zero", "without the cotangent", "NaN"])
def test_a_wrong_rule_is_found_at_any_size(name, size):
    x = mg.Tensor((np.random.default_rng(3).standard_normal((3, 3)) + 2) * size, requires_grad=True)
    scaled = lambda x: Op(WRONG[name])(x / size) * size  # noqa: E731
    # (Without that, a slope of 3·10⁻⁶ would be within `atol` of 0.)
    for function in (scaled, lambda x: Op(WRONG[name])(x)) if size >= 1 else (scaled,):
        assert not gradcheck(function, x, raise_exception=False)
        assert not gradcheck(lambda x, f=function: f(x).sum(), x, raise_exception=False)


@pytest.mark.parametrize("size", SIZES)
def test_one_wrong_element_among_large_ones(size):
    def rule(g, x):
        mask = np.ones(20)
        mask[7] = 1.001
        return right(g, x) * mask

    x = mg.Tensor((np.random.default_rng(3).uniform(1, 2, 20)) * size, requires_grad=True)
    with pytest.raises(GradcheckError, match=r"element \(7,\)"):
        gradcheck(lambda x: (Op(rule)(x / size) * size).sum(), x)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", SECOND_ORDER_WRONG)
def test_a_wrong_second_derivative_is_found_at_any_size(name, size):
    x = mg.Tensor((np.random.default_rng(3).standard_normal(3) + 3) * size, requires_grad=True)
    function = lambda x: Op(SECOND_ORDER_WRONG[name])(x / size)  # noqa: E731
    assert gradcheck(function, x)
    assert not gradgradcheck(function, x, raise_exception=False, atol=1e-12)


def test_a_function_with_limits_is_not_asked_beyond_them():
    p = mg.Tensor(np.array([1e-3, 0.5, 0.999]), requires_grad=True)
    target = np.array([0.0, 1.0, 0.25])
    assert gradcheck(lambda p: mg.nn.functional.binary_cross_entropy(p, target), p)
    assert gradcheck(lambda x: x.log(), mg.Tensor(np.array([1e-5, 1e-4]), requires_grad=True))


# -- functions that take a gradient themselves ----------------------------------------------------------------------


def energy(x):
    return (x.sin() * x * x.flip(0)).sum() + (x**4).sum()


def gradient(x):
    return mg.grad(energy(x), x, create_graph=True)[0]


INNER = {
    "gradient": gradient,
    "gradient penalty": lambda x: ((gradient(x) ** 2).sum() + 1e-3).sqrt() - 1,
    "Hessian times vector": lambda x: mg.grad((gradient(x) * np.array([1.0, -2.0, 0.5])).sum(), x, create_graph=True)[
        0
    ],
    "loss and gradient": lambda x: (energy(x), gradient(x)),
}


@pytest.mark.parametrize("name", INNER)
def test_a_function_that_takes_a_gradient_inside(name):
    x = random(3)
    for _ in range(2):
        assert gradcheck(INNER[name], x)
        assert gradgradcheck(INNER[name], x)
    with mg.no_grad():
        assert gradcheck(INNER[name], x)
        assert gradgradcheck(INNER[name], x)


def test_the_gradient_penalty_of_a_network():
    w, v = random(4, 3), random(1, 4, seed=1)

    def penalty(x, w, v):
        y = (x @ w.T).tanh() @ v.T
        (g,) = mg.grad(y.sum(), x, create_graph=True)
        return ((g * g).sum(1).sqrt() - 1) ** 2

    assert gradcheck(penalty, [random(5, 3, seed=2), w, v])
    assert gradgradcheck(penalty, [random(5, 3, seed=2), w, v])


@pytest.mark.parametrize("name", SECOND_ORDER_WRONG)
def test_a_wrong_rule_inside_a_gradient_is_found(name):
    def inner(x):
        return mg.grad(Op(SECOND_ORDER_WRONG[name])(x).sum(), x, create_graph=True)[0]

    with pytest.raises(GradcheckError):
        gradcheck(inner, random(3))
