"""Elementwise ops: derivatives, special points, dtypes, broadcasting against NumPy."""

import math
import operator
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import minigrad as mg
from minigrad.autograd import gradcheck, gradgradcheck


def tensor(array, requires_grad=True):
    return mg.tensor(np.asarray(array, np.float64), requires_grad=requires_grad)


def normal(*shape, seed=0):
    return tensor(np.random.default_rng(seed).standard_normal(shape))


def positive(*shape, seed=0):
    return tensor(np.random.default_rng(seed).uniform(0.5, 2, shape))


SMOOTH = ["exp", "exp2", "expm1", "sin", "cos", "tan"]
SMOOTH += ["sinh", "cosh", "tanh", "sigmoid", "erf", "erfc", "square", "neg", "abs"]
ON_POSITIVE = ["sqrt", "rsqrt", "log", "log2", "log10", "log1p", "reciprocal"]
INSIDE = ["asin", "acos", "atan"]
NUMPY = {
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "neg": np.negative,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "erf": np.vectorize(math.erf),
    "erfc": np.vectorize(math.erfc),
}


@pytest.mark.parametrize("name", SMOOTH + ON_POSITIVE + INSIDE)
def test_functions_of_one_number(name):
    x = positive(2, 3) if name in ON_POSITIVE else tensor(np.tanh(normal(2, 3).array) * 0.9)
    expected = NUMPY.get(name, getattr(np, name, None))(x.array)
    np.testing.assert_allclose(getattr(mg, name)(x).array, expected, rtol=1e-14)
    before = x.array.copy()
    assert gradcheck(getattr(mg, name), x)
    assert gradgradcheck(getattr(mg, name), x)
    np.testing.assert_array_equal(x.array, before)


@pytest.mark.parametrize("name", SMOOTH + ON_POSITIVE + INSIDE)
def test_shapes_and_dtypes_of_functions_of_one_number(name):
    function = getattr(mg, name)
    for x in (mg.zeros(0, 3), mg.tensor(0.5), mg.full((4, 6), 0.5).T[::2, 1:]):
        y = function(x)
        assert (y.shape, y.dtype) == (x.shape, np.float32)
    assert function(mg.tensor([1, 1])).dtype == (np.int64 if name in ("square", "neg", "abs") else np.float32)


@pytest.mark.parametrize("name", ["sign", "floor", "ceil", "trunc", "round"])
def test_steps_have_slope_zero(name):
    x = tensor([-1.5, -0.2, 0.7, 2.5])
    y = getattr(x, name)()
    np.testing.assert_array_equal(y.array, getattr(np, name)(x.array))
    y.backward(mg.ones(4, dtype=mg.float64))
    np.testing.assert_array_equal(x.grad.array, np.zeros(4))


def test_round_to_decimals():
    assert mg.tensor([1.25, 1.35], dtype=mg.float64).round(1).tolist() == [1.2, 1.4]


@pytest.mark.parametrize("op", [operator.add, operator.sub, operator.mul, operator.truediv])
@pytest.mark.parametrize("shapes", [((2, 3), (3,)), ((2, 1), (1, 3)), ((), (2, 2)), ((1, 1, 2), (2,))])
def test_arithmetic_and_broadcasting(op, shapes):
    x, y = normal(*shapes[0]), positive(*shapes[1], seed=1)
    np.testing.assert_array_equal(op(x, y).array, op(x.array, y.array))
    assert gradcheck(op, [x, y])
    assert gradgradcheck(op, [x, y])


@pytest.mark.parametrize("op", [operator.add, operator.sub, operator.mul, operator.truediv, operator.pow])
def test_numbers_as_operands(op):
    x = positive(3)
    assert gradcheck(lambda x: op(x, 2.5), x)
    assert gradcheck(lambda x: op(2.5, x), x)
    assert gradgradcheck(lambda x: op(2.5, x) * op(x, 3), x)


def test_a_number_never_decides_the_dtype():
    x = mg.ones(2)
    for number in (2, 2.5, np.float64(2.5), np.int64(2), True):
        assert (x * number).dtype == (number + x).dtype == np.float32
    assert (mg.arange(2) * 2.5).dtype == np.float32
    assert (mg.arange(2) * x).dtype == np.float32
    assert (mg.arange(2) / 2).dtype == np.float32
    assert (mg.ones(2) * mg.ones(2, dtype=mg.float64)).dtype == np.float64
    assert (mg.ones(2) * mg.tensor(1.0, dtype=mg.float64)).dtype == np.float32  # axes count more


def test_an_array_on_the_left_is_no_surprise():
    y = np.ones(3, np.float32) * mg.ones(3, requires_grad=True)
    assert isinstance(y, mg.Tensor)
    assert y.requires_grad


@pytest.mark.parametrize("n", [0, 1, 2, 3, -1, -2, 0.5, 2.5])
def test_powers_with_a_number(n):
    x = positive(4)
    assert gradcheck(lambda x: x**n, x)
    assert gradgradcheck(lambda x: x**n * x, x)


def test_powers_with_a_tensor():
    assert gradcheck(operator.pow, [positive(3, 2), normal(2)])
    assert gradgradcheck(operator.pow, [positive(3, 2), normal(2)])


def test_second_derivatives_of_powers_at_zero():
    x = tensor([0.0, 0.0, 0.0])
    y = tensor([0.0, 1.0, 2.0])
    (gx,) = mg.grad((x**y).sum(), x, create_graph=True)
    np.testing.assert_array_equal(gx.array, [0, 1, 0])
    (gxx,) = mg.grad(gx.sum(), x)
    np.testing.assert_array_equal(gxx.array, [0, 0, 2])


def test_remainder_and_floor_division():
    x, y = tensor([-3.5, 2.5, 7.2]), tensor([2.0, -2.0, 3.1])
    np.testing.assert_array_equal((x % y).array, np.remainder(x.array, y.array))
    np.testing.assert_array_equal((x // y).array, np.floor_divide(x.array, y.array))
    assert gradcheck(operator.mod, [x, y])
    assert (mg.arange(5) % 3).tolist() == [0, 1, 2, 0, 1]
    assert (7 // mg.tensor([2, 3])).tolist() == [3, 2]


def test_ties_share_the_gradient_of_maximum_and_minimum():
    for op in (mg.maximum, mg.minimum):
        x, y = tensor([1.0, 2.0]), tensor([1.0, 2.0])
        op(x, y).backward(tensor([3.0, 5.0], False))
        assert x.grad.tolist() == y.grad.tolist() == [1.5, 2.5]


@pytest.mark.parametrize(
    "function",
    [
        lambda x, y: mg.maximum(x, y) ** 2,
        lambda x, y: mg.minimum(x, y) ** 2,
        lambda x, y: mg.where(x > y, x * x, y**3),
        lambda x, y: x.clip(-0.5, 0.5) * y,
        lambda x, y: x.clip(y, y + 1) ** 2,
        lambda x, y: x.masked_fill(y > 0, 2.0) ** 2,
        lambda x, y: x.lerp(y, 0.3) ** 2,
        lambda x, y: x.nan_to_num() ** 2 * y,
    ],
)
def test_choices(function):
    assert gradcheck(function, [normal(3, 4), normal(4, seed=1)])
    assert gradgradcheck(function, [normal(3, 4), normal(4, seed=1)])


def test_clip_keeps_the_gradient_at_its_bounds():
    x = tensor([-1.0, 0.0, 0.5, 1.0, 2.0])
    x.clip(0, 1).backward(tensor([1.0, 2.0, 3.0, 4.0, 5.0], False))
    assert x.grad.tolist() == [0, 2, 3, 4, 0]
    with pytest.raises(ValueError, match="clip: give at least one of min and max"):
        x.clip()


def test_where_with_one_argument_and_errors():
    assert [i.tolist() for i in mg.where(mg.tensor([[True, False], [False, True]]))] == [[0, 1], [0, 1]]
    with pytest.raises(TypeError, match="where: the condition must be boolean, not float32"):
        mg.where(mg.ones(2), 1.0, 0.0)
    assert mg.where(mg.tensor([True, False]), 1.0, 0).dtype == np.float32


def test_nothing_warns_where_results_are_infinite_or_nan():
    x = tensor([0.0, -1.0, np.inf, 1000.0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in SMOOTH + ON_POSITIVE + INSIDE:
            y = getattr(x, name)()
            y.backward(tensor(np.ones(4), False))
        (x / 0.0).backward(tensor(np.ones(4), False))
        (0.0 / x).backward(tensor(np.ones(4), False))
        (x**-0.5).backward(tensor(np.ones(4), False))


def test_comparisons_have_no_gradient():
    x = tensor([1.0, 2.0])
    for y in (x < 2, x == x, x != 1, x >= x, ~(x > 1), (x > 0) & (x < 2), x.isnan(), mg.isclose(x, x)):
        assert y.dtype == np.bool_
        assert not y.requires_grad
    assert (x == None) is False  # noqa: E711
    assert x in [x]
    assert mg.allclose(x, x + 1e-9)
    assert not mg.equal(x, x[:1])


def test_erf_is_exact_to_the_last_digits():
    x = np.linspace(-6, 6, 401)
    expected = np.array([math.erf(v) for v in x])
    np.testing.assert_allclose(mg.erf(mg.tensor(x)).array, expected, rtol=4e-16)
    expected = np.array([math.erfc(v) for v in x])
    np.testing.assert_allclose(mg.erfc(mg.tensor(x)).array, expected, rtol=1e-14)


@settings(max_examples=60, deadline=None)
@given(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=3, max_side=3), st.integers(0, 99))
def test_broadcasting_against_numpy(shapes, seed):
    rng = np.random.default_rng(seed)
    a, b = (rng.standard_normal(s) for s in shapes.input_shapes)
    x, y = tensor(a), tensor(b)
    z = x * y + y
    np.testing.assert_array_equal(z.array, a * b + b)
    assert z.shape == shapes.result_shape
    v = rng.standard_normal(z.shape)
    z.backward(tensor(v, False))

    def back(g, shape):  # the sum over the axes that were broadcast, spelled out
        g = g.sum(axis=tuple(range(g.ndim - len(shape))))
        return g.sum(axis=tuple(i for i, n in enumerate(shape) if n == 1), keepdims=True).reshape(shape)

    np.testing.assert_allclose(x.grad.array, back(v * b, a.shape), atol=1e-12)
    np.testing.assert_allclose(y.grad.array, back(v * (a + 1), b.shape), atol=1e-12)


def test_shapes_that_do_not_broadcast_are_named():
    with pytest.raises(ValueError, match=r"Mul: .*\(inputs: float32\[2\], float32\[3\]\)"):
        mg.ones(2) * mg.ones(3)


def test_masked_fill_keeps_the_dtype():
    mask = mg.tensor([True, False])
    filled = mg.arange(2).masked_fill(mask, 7.0)
    assert filled.dtype == np.int64
    assert filled.tolist() == [7, 1]
    assert mg.tensor([False, False]).masked_fill(mask, 2).dtype == bool
    assert mg.tensor([0.0, 1.0]).masked_fill(mask, float("-inf")).tolist() == [-math.inf, 1]
    with pytest.raises(ValueError, match="masked_fill: a tensor of int64 cannot hold inf"):
        mg.arange(2).masked_fill(mask, math.inf)


@pytest.mark.parametrize("function", [operator.floordiv, operator.mod])
def test_integers_divided_by_zero(function):
    for x, y in ((mg.arange(2), 0), (1, mg.arange(2)), (mg.arange(2), mg.arange(2))):
        with pytest.raises(ValueError, match="an integer is divided by 0"):
            function(x, y)
    assert np.isnan(function(mg.tensor(0.0), 0).item())


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_lists_as_operands_decide_no_dtype(dtype):
    x = mg.tensor([1, 2], dtype=dtype)
    for y in (x * [0.1, 0.2], (0.1, 0.2) * x, mg.maximum(x, [0.1, 0.2]), mg.where(x > 5, x, [0.1, 0.2])):
        assert y.dtype == (np.float32 if dtype == np.int64 else dtype)
    assert mg.add(x, [1, 2]).dtype == dtype
    if dtype == np.float64:
        assert (x * [0.1, 0.2]).tolist() == [0.1, 0.4]


@pytest.mark.parametrize(
    "dtype", [np.float64, np.dtype("float64"), "float64", mg.float64, float, mg.zeros(1).double()]
)
def test_every_spelling_of_a_dtype_converts(dtype):
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    assert x.to(dtype).dtype == np.float64
    assert x.to(np.float32) is x
