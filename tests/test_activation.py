"""Activations: derivatives, limits, axes, values far out, errors. Parity with PyTorch is in `parity/activation.py`."""

import math

import numpy as np
import pytest

import minigrad as mg
import minigrad.nn.functional as F
from minigrad import nn
from minigrad.kernels import activation as kernels
from minigrad.kernels.threads import num_threads

# No kink of any activation here (0, ±1, ±3, 6, and the threshold of softplus) is closer than 0.05.
POINTS = np.array([-7.3, -3.2, -2.1, -1.4, -0.6, -0.11, 0.2, 0.7, 1.6, 2.8, 3.3, 5.5, 6.4])

ELEMENTWISE = {
    "relu": F.relu,
    "relu6": F.relu6,
    "leaky_relu": lambda x: F.leaky_relu(x, 0.3),
    "leaky_relu_negative_slope": lambda x: F.leaky_relu(x, -0.3),
    "elu": lambda x: F.elu(x, 0.7),
    "elu_negative_alpha": lambda x: F.elu(x, -0.7),
    "celu": lambda x: F.celu(x, 1.9),
    "selu": F.selu,
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "silu": F.silu,
    "mish": F.mish,
    "softplus": F.softplus,
    "softplus_threshold": lambda x: F.softplus(x, beta=3.0, threshold=2.0),
    "softsign": F.softsign,
    "hardtanh": lambda x: F.hardtanh(x, -0.5, 1.5),
    "hardsigmoid": F.hardsigmoid,
    "hardswish": F.hardswish,
    "logsigmoid": F.logsigmoid,
}

ALONG_AXIS = {
    "softmax": F.softmax,
    "log_softmax": F.log_softmax,
    "softmin": F.softmin,
}


def variable(array):
    return mg.tensor(np.array(array, np.float64), requires_grad=True)


def random(*shape, seed=0):
    return variable(np.random.default_rng(seed).standard_normal(shape))


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_derivatives(name):
    x = variable(POINTS)
    assert mg.autograd.gradcheck(ELEMENTWISE[name], x)
    assert mg.autograd.gradgradcheck(ELEMENTWISE[name], x)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_any_layout_and_inputs_unmodified(name):
    f = ELEMENTWISE[name]
    x = np.random.default_rng(0).standard_normal((3, 4, 2)).astype(np.float32)
    strided = x.transpose(2, 0, 1)[:, ::2]
    before = strided.copy()
    with mg.no_grad():
        np.testing.assert_array_equal(f(mg.Tensor(strided)).array, f(mg.Tensor(np.ascontiguousarray(strided))).array)
        assert f(mg.tensor(0.5)).shape == () and f(mg.tensor(0.5)).dtype == np.float32
        assert f(mg.zeros(0, 3)).shape == (0, 3)
    np.testing.assert_array_equal(strided, before)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_gradient_of_a_broadcast_cotangent(name):
    x = variable(POINTS)
    ELEMENTWISE[name](x).sum().backward()  # the cotangent is one number, broadcast: it cannot be written to
    y = variable(POINTS)
    ELEMENTWISE[name](y).backward(mg.tensor(np.ones_like(POINTS)))
    np.testing.assert_array_equal(x.grad.array, y.grad.array)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_nan_is_not_masked(name):
    x = variable([np.nan, 1.0])
    y = ELEMENTWISE[name](x)
    assert np.isnan(y.array[0]) and not np.isnan(y.array[1])


def test_gradient_at_the_kinks():
    for f, point, slope in [
        (F.relu, 0.0, 0.0),
        (F.leaky_relu, 0.0, 0.01),
        (F.relu6, 6.0, 0.0),
        (F.hardtanh, -1.0, 0.0),
        (F.hardtanh, 1.0, 0.0),
        (F.elu, 0.0, 1.0),
        (F.softsign, 0.0, 1.0),
    ]:
        x = variable([point])
        f(x).sum().backward()
        assert x.grad.item() == slope, (f, point)


def test_closed_gate_stops_an_infinite_gradient():
    x = variable([-1.0, 1.0])
    F.relu(x).backward(mg.tensor(np.array([np.inf, np.inf])))
    assert x.grad.tolist() == [0.0, np.inf]


def test_far_out_values():
    x = np.array([-1e4, -50.0, 50.0, 1e4])
    np.testing.assert_allclose(F.softplus(mg.Tensor(x)).array, [0, math.exp(-50), 50, 1e4], rtol=1e-12)
    np.testing.assert_allclose(F.logsigmoid(mg.Tensor(x)).array, [-1e4, -50, -math.exp(-50), 0], rtol=1e-12)
    # Φ(−10) = 7.6199e-24 would be lost in 1 + erf.
    assert F.gelu(mg.tensor(np.array(-10.0))).item() == pytest.approx(-7.619853024160527e-23, rel=1e-12)
    for f in ELEMENTWISE.values():
        x = variable([-1e4, 1e4])
        y = f(x)
        y.backward(mg.tensor(np.ones(2)))
        assert np.isfinite(y.array).all() and np.isfinite(x.grad.array).all()


def test_relu_of_integers():
    assert F.relu(mg.tensor([-2, 3])).tolist() == [0, 3]
    with pytest.raises(TypeError, match=r"gelu: input is a list, and must be a tensor"):
        F.gelu([1.0])
    with pytest.raises(TypeError, match=r"gelu: input is int64, and must be floating-point.*x\.float\(\)"):
        F.gelu(mg.tensor([1, 2]))


# -- the exponential of the ELU family, which has kernels of its own -----------------------------------------

ELUS = {"elu": F.elu, "elu with α": lambda x: F.elu(x, 0.3), "celu": lambda x: F.celu(x, 2.0), "selu": F.selu}
# y = scale · x where x > 0, and depth · (exp(rate · x) − 1) elsewhere
SCALE_DEPTH_RATE = {
    "elu": (1.0, 1.0, 1.0),
    "elu with α": (1.0, 0.3, 1.0),
    "celu": (1.0, 2.0, 0.5),
    "selu": (1.0507009873554805, 1.0507009873554805 * 1.6732632423543772, 1.0),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ELUS)
def test_elu_is_exact_to_the_last_digits_everywhere(name, dtype):
    """Where eˣ − 1 cancels, on both sides of each multiple of log 2, and where it has become −1."""
    halves = -math.log(2) / 2 * np.arange(1, 110, dtype=np.float64)
    jumps = np.concatenate([halves * (1 + s) for s in (-1e-7, -1e-16, 0, 1e-16, 1e-7)])
    x = np.concatenate([-np.geomspace(1e-36, 100, 20_001), -np.linspace(0, 3, 20_001), np.geomspace(1e-30, 1e30, 99)])
    x = np.concatenate([x, jumps]).astype(dtype)
    wide = x.astype(np.float64 if dtype is np.float32 else np.longdouble)
    scale, depth, rate = SCALE_DEPTH_RATE[name]
    exact = np.where(x > 0, scale * wide, depth * np.expm1(rate * np.minimum(wide, 0)))
    y = ELUS[name](mg.Tensor(x)).array
    assert y.dtype == dtype
    error = np.abs(y - exact) / np.spacing(np.abs(exact).astype(dtype))
    # On a machine whose longdouble is a float64, the exact values are themselves off by a digit.
    assert error.max() < (2.3 if np.finfo(np.longdouble).eps < 1e-18 or dtype is np.float32 else 4)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_elu_of_what_is_no_ordinary_number(dtype):
    x = np.array([np.nan, np.inf, -np.inf, -0.0, 0.0, -1e30, 1e30, np.finfo(dtype).smallest_subnormal * -8], dtype)
    for name, f in ELUS.items():
        t = mg.tensor(x, requires_grad=True)
        y = f(t)
        y.sum().backward()
        _, depth, rate = SCALE_DEPTH_RATE[name]
        limit = dtype(depth)
        assert f(mg.tensor(np.array([-100.0], dtype))).item() == -limit
        assert np.isnan(y.array[0]) and y.array[1] == np.inf and np.isinf(y.array).sum() == 1
        assert y.array[2] == -limit == y.array[5]
        np.testing.assert_array_equal(np.signbit(y.array[3:5]), [True, False])
        assert y.array[7] < 0
        assert np.isnan(t.grad.array[0]) and t.grad.array[2] == 0 == t.grad.array[5]
        np.testing.assert_allclose(t.grad.array[[3, 4]], depth * rate, rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_elu_has_the_same_bits_wherever_an_element_is_and_on_any_thread(dtype):
    x = np.random.default_rng(0).standard_normal(1003).astype(dtype) * 5
    g = np.random.default_rng(1).standard_normal(1003).astype(dtype)
    forward = kernels.elu_float32 if dtype is np.float32 else kernels.elu_float64
    y, parallel, one = np.empty_like(x), np.empty_like(x), np.empty_like(x)
    for kernel, inputs in [(forward, (x,)), (kernels.elu_backward, (g, x))]:
        kernel(0, *inputs, 1.1, 1.7, 0.9, y)
        with num_threads(2):
            kernel(1 << 20, *inputs, 1.1, 1.7, 0.9, parallel)
        for i in range(x.size):
            kernel(0, *[a[i : i + 1] for a in inputs], 1.1, 1.7, 0.9, one[i : i + 1])
        np.testing.assert_array_equal(parallel, y)
        np.testing.assert_array_equal(one, y)


@pytest.mark.parametrize("name", ELUS)
def test_elu_derivatives_of_all_orders_agree(name):
    x = variable(POINTS)
    (plain,) = mg.grad(ELUS[name](x).sum(), [x])
    (first,) = mg.grad(ELUS[name](x).sum(), [x], create_graph=True)
    np.testing.assert_allclose(plain.array, first.array, rtol=1e-15)
    (second,) = mg.grad(first.sum(), [x], create_graph=True)
    (third,) = mg.grad(second.sum(), [x])
    scale, depth, rate = SCALE_DEPTH_RATE[name]
    tail = depth * np.exp(rate * np.minimum(POINTS, 0))
    np.testing.assert_allclose(first.array, np.where(POINTS > 0, scale, rate * tail), rtol=1e-12)
    np.testing.assert_allclose(second.array, np.where(POINTS > 0, 0, rate**2 * tail), rtol=1e-12)
    np.testing.assert_allclose(third.array, np.where(POINTS > 0, 0, rate**3 * tail), rtol=1e-12)


def test_elu_with_a_negative_alpha():
    """Then y is positive on both sides of 0, or has no limit on the left."""
    x = variable([-3.0, -1e4, 0.0, 2.0, 1e4])
    y = F.elu(x, -2)
    y.sum().backward()
    np.testing.assert_allclose(y.array, [2 - 2 * math.exp(-3), 2, 0, 2, 1e4], rtol=1e-14)
    np.testing.assert_allclose(x.grad.array, [-2 * math.exp(-3), 0, -2, 1, 1], rtol=1e-14)
    np.testing.assert_allclose(
        F.celu(mg.tensor([-1.0, -200.0, 3.0]), -2.0).array, [2 - 2 * math.exp(0.5), -np.inf, 3], rtol=1e-6
    )


@pytest.mark.parametrize("weight", [1, 3])
def test_prelu(weight):
    x, w = random(2, 3, 4), random(weight, seed=1)
    expected = np.where(x.array > 0, x.array, x.array * w.array.reshape(-1, 1))
    np.testing.assert_array_equal(F.prelu(x, w).array, expected)
    assert mg.autograd.gradcheck(F.prelu, [x, w])
    assert mg.autograd.gradgradcheck(F.prelu, [x, w])


def test_prelu_errors():
    with pytest.raises(ValueError, match=r"prelu: weight has shape \(2,\).*3 channels"):
        F.prelu(random(2, 3), random(2))


def test_glu():
    x = random(3, 6)
    a, b = x.array[:, :3], x.array[:, 3:]
    np.testing.assert_allclose(F.glu(x).array, a / (1 + np.exp(-b)), rtol=1e-14)
    assert mg.autograd.gradcheck(F.glu, x)
    assert mg.autograd.gradgradcheck(lambda x: F.glu(x, 1), x)
    with pytest.raises(ValueError, match="glu: axis 0 of input has length 3, which is odd"):
        F.glu(x, 0)


# -- softmax ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALONG_AXIS)
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_along_axis(name, axis):
    x, f = random(3, 4, 2), ALONG_AXIS[name]
    sign = -1 if name == "softmin" else 1
    e = np.exp(sign * x.array)
    p = e / e.sum(axis, keepdims=True)
    np.testing.assert_allclose(f(x, axis).array, np.log(p) if name == "log_softmax" else p, rtol=1e-13)
    np.testing.assert_array_equal(f(x, dim=axis).array, f(x, axis).array)
    assert mg.autograd.gradcheck(lambda x: f(x, axis), x)
    assert mg.autograd.gradgradcheck(lambda x: f(x, axis), x)


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_composed_form_agrees_to_third_order(name):
    f = ALONG_AXIS[name]
    rng = np.random.default_rng(0)
    data, cotangents = rng.standard_normal((3, 4)), rng.standard_normal((3, 3, 4))

    def derivatives():
        x = variable(data)
        y, found = f(x, 1), []
        for v in cotangents:
            found.append(y.array)
            (y,) = mg.grad(y, x, mg.tensor(v), create_graph=True)
        return [*found, y.array]

    fused = derivatives()
    with mg.composed():
        composed = derivatives()
    for a, b in zip(fused, composed, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


def test_softmax_of_large_and_masked_scores():
    x = mg.tensor([[1e30, 1e30, -1e30], [-math.inf, 0.0, 0.0]])
    np.testing.assert_array_equal(F.softmax(x, 1).array, [[0.5, 0.5, 0], [0, 0.5, 0.5]])
    np.testing.assert_allclose(F.log_softmax(mg.tensor([0.0, -200.0]), 0).array, [0, -200])
    assert np.isnan(F.softmax(mg.tensor([-math.inf, -math.inf]), 0).array).all()
    assert np.isnan(F.softmax(mg.tensor([1.0, math.nan]), 0).array).all()


def test_softmax_rows_are_close_to_float64():
    x = np.random.default_rng(0).standard_normal((5, 4000)).astype(np.float32) * 3
    e = np.exp(x.astype(np.float64) - x.max(1, keepdims=True))
    expected = e / e.sum(1, keepdims=True)
    np.testing.assert_allclose(F.softmax(mg.tensor(x), 1).array, expected, rtol=2e-6)
    np.testing.assert_allclose(F.log_softmax(mg.tensor(x), 1).array, np.log(expected), rtol=1e-6)


def test_softmax_arguments():
    x = mg.zeros(2, 3)
    assert F.softmax(x, 1, dtype=np.float64).dtype == np.float64
    assert F.softmax(mg.zeros(2, 0), 1).shape == (2, 0)
    assert F.softmax(mg.tensor(3.0), 0).item() == 1.0
    with pytest.raises(IndexError, match="softmax: axis 2 is out of range"):
        F.softmax(x, 2)
    with pytest.raises(TypeError, match="log_softmax: input is int64"):
        F.log_softmax(mg.tensor([1, 2]), 0)


# -- layers -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (nn.ReLU(inplace=True), F.relu),
        (nn.ReLU6(), F.relu6),
        (nn.LeakyReLU(0.2), lambda x: F.leaky_relu(x, 0.2)),
        (nn.PReLU(4, 0.1), lambda x: F.leaky_relu(x, 0.1)),
        (nn.ELU(0.5), lambda x: F.elu(x, 0.5)),
        (nn.CELU(0.5), lambda x: F.celu(x, 0.5)),
        (nn.SELU(), F.selu),
        (nn.GELU("tanh"), lambda x: F.gelu(x, "tanh")),
        (nn.SiLU(), F.silu),
        (nn.Mish(), F.mish),
        (nn.Softplus(2.0, 1.0), lambda x: F.softplus(x, 2.0, 1.0)),
        (nn.Softsign(), F.softsign),
        (nn.Hardtanh(-0.1, 0.2), lambda x: F.hardtanh(x, -0.1, 0.2)),
        (nn.Hardsigmoid(), F.hardsigmoid),
        (nn.Hardswish(), F.hardswish),
        (nn.Sigmoid(), F.sigmoid),
        (nn.LogSigmoid(), F.logsigmoid),
        (nn.Tanh(), F.tanh),
        (nn.GLU(1), lambda x: F.glu(x, 1)),
        (nn.Softmax(1), lambda x: F.softmax(x, 1)),
        (nn.LogSoftmax(0), lambda x: F.log_softmax(x, 0)),
        (nn.Softmin(1), lambda x: F.softmin(x, 1)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_layer_is_its_function(layer, expected):
    x = mg.tensor(np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32))
    np.testing.assert_allclose(layer(x * 1).array, expected(x).array, rtol=1e-6)
    assert type(layer).__name__ in repr(layer)
