"""Numbers whose squares leave the range of their dtype, where the result itself is ordinary.

A norm scales with its input, ‖s x‖ = s ‖x‖, and a unit vector does not depend on the size. So a function of degree k
at s · x has the value sᵏ f(x), the gradient sᵏ⁻¹ f′(x) and the second derivative sᵏ⁻² f″(x).
"""

import math

import numpy as np
import pytest

import minigrad as mg
import minigrad.nn.functional as F

SIZES = [(np.float32, s) for s in (1e-30, 1e-20, 1e20, 1e30)] + [
    (np.float64, s) for s in (1e-200, 1e-160, 1e160, 1e200)
]
X, Y = np.random.default_rng(0).standard_normal((2, 4, 6))


def constant(array, x):
    return mg.tensor(array.astype(x.dtype))


DEGREE_1 = {
    f"norm p={p} axis={axis}": lambda x, p=p, axis=axis: mg.norm(x, p, axis=axis, keepdim=axis == 1)
    for p in (2, "fro", 1, 3, 2.5, 1.5, 0.5, -0.5, -1, -2, math.inf, -math.inf)
    for axis in (None, 0, 1)
} | {
    "std": lambda x: x.std(),
    "std of rows": lambda x: x.std(1, correction=0),
    "std_mean": lambda x: mg.std_mean(x, 0)[0],
}
DEGREE_0 = {
    f"normalize p={p} axis={axis}": lambda x, p=p, axis=axis: F.normalize(x, p, axis, eps=0)
    for p in (2, 1, 3, 0.5, math.inf, -1)
    for axis in (0, 1, (0, 1))
} | {
    "norm p=0": lambda x: mg.norm(x, 0, axis=1),
    "cosine_similarity": lambda x: F.cosine_similarity(x, constant(Y, x), eps=0),
    "cosine_similarity, both": lambda x: F.cosine_similarity(x, x.flip(0), axis=0, eps=0),
    "cosine_linear": lambda x: F.cosine_linear(x, constant(Y, x), eps=0),
    "scale_norm": lambda x: F.scale_norm(x, eps=0),
    "weight_norm": lambda x: F.weight_norm(x, constant(np.ones((4, 1)), x)),
    "weight_norm, columns": lambda x: F.weight_norm(x, constant(np.ones((1, 6)), x), 1),
    "quotient": lambda x: x / x.flip(0),
}


def derivatives(function, array):
    rng = np.random.default_rng(5)
    x = mg.tensor(array, requires_grad=True)
    y = function(x)
    (g,) = mg.grad(y, x, mg.tensor(rng.standard_normal(y.shape), dtype=x.dtype), create_graph=True)
    found = [y, g]
    if g.requires_grad:
        found += mg.grad(g, x, mg.tensor(rng.standard_normal(g.shape), dtype=x.dtype), allow_unused=True)
    return [t.detach().numpy().astype(np.longdouble) for t in found if t is not None]


@pytest.mark.parametrize(("dtype", "size"), SIZES)
@pytest.mark.parametrize("name", [*DEGREE_1, *DEGREE_0])
def test_value_and_derivatives_of_any_size(name, dtype, size):
    function = DEGREE_1.get(name) or DEGREE_0[name]
    degree = 1 if name in DEGREE_1 else 0
    ordinary = derivatives(function, X)  # in float64
    limits = np.finfo(dtype)
    compared = 0
    for order, (found, expected) in enumerate(
        zip(derivatives(function, (X * size).astype(dtype)), ordinary, strict=True)
    ):
        expected = expected * np.longdouble(size) ** (degree - order)
        largest = np.abs(expected).max()
        if largest and not limits.tiny * 1e6 < largest < limits.max / 10:
            continue  # the dtype does not hold the answer
        compared += 1
        np.testing.assert_allclose(
            found, expected, rtol=0, atol=float(largest) * (1e-4 if dtype == np.float32 else 1e-11)
        )
    assert compared


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("p", [2, 3, 0.5, -1, 1, math.inf])
def test_norms_of_nothing_much(p, dtype):
    zero = mg.tensor(np.zeros((2, 3), dtype), requires_grad=True)
    y = mg.norm(zero, p, axis=1)
    y.sum().backward()
    assert y.tolist() == [0, 0] and zero.grad.tolist() == [[0] * 3] * 2
    assert np.isnan(mg.norm(mg.tensor(np.array([1, np.nan], dtype)), p).item())
    assert mg.norm(mg.tensor(np.array([3, 3e-30], dtype)), 2).item() == 3
    assert mg.norm(mg.tensor(np.array([-np.inf, 1], dtype)), p).item() == (1 if p < 0 else np.inf)
    if 0 < p < math.inf:
        assert mg.norm(mg.zeros(2, 0), p, axis=1).tolist() == [0, 0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("p", [2, 3, 1.5, 0.5])
def test_a_norm_that_overflows_has_a_gradient(p, dtype):
    """The norm of these is beyond the dtype; how it depends on each of them is an ordinary number."""
    share = np.array([[1.0, -0.5, 0.75], [1.0, 2.0, 3.0]])
    size = np.array([[np.finfo(dtype).max], [1.0]])
    x = mg.tensor((share * size).astype(dtype), requires_grad=True)
    y = mg.norm(x, p, axis=1)
    (g,) = mg.grad(y, x, mg.tensor([2.0, 3.0], dtype=x.dtype), create_graph=True)
    assert np.isinf(y.array[0]) and np.isfinite(y.array[1])
    total = (np.abs(share) ** p).sum(1, keepdims=True) ** (1 / p)
    expected = np.sign(share) * (np.abs(share) / total) ** (p - 1) * np.array([[2.0], [3.0]])
    np.testing.assert_allclose(g.detach().numpy(), expected, rtol=1e-5)
    (h,) = mg.grad(g, x, mg.ones(2, 3, dtype=x.dtype))
    assert np.isfinite(h.array).all() and np.abs(h.array[0]).max() < 1e-30 and h.array[1].any()


def test_a_zero_vector_has_a_second_derivative_of_0():
    x = mg.tensor(np.zeros(3), requires_grad=True)
    (g,) = mg.grad(mg.norm(x), x, create_graph=True)
    assert mg.grad(g, x, mg.ones(3, dtype=mg.float64))[0].tolist() == [0, 0, 0]


# -- clipping -------------------------------------------------------------------------------------------------------


def with_gradients(dtype, *values):
    parameters = []
    for value in values:
        p = mg.tensor(np.zeros(np.shape(value), dtype), requires_grad=True)
        p.grad = mg.tensor(np.array(value, dtype))
        parameters.append(p)
    return parameters


@pytest.mark.parametrize("p", [1, 2, 3, 0.5, 20, math.inf])
@pytest.mark.parametrize(("dtype", "size"), [(np.float32, 1e38), (np.float32, 1e20), (np.float64, 1e200)])
def test_clipping_by_a_norm_that_overflows(p, dtype, size):
    parts = [3 * X[0], -X[1:]]
    flat = np.concatenate([part.ravel() for part in parts])
    total = np.abs(flat).max() if p == math.inf else (np.abs(flat) ** p).sum() ** (1 / p)
    for goal in (1.0, size * 1e-3):
        parameters = with_gradients(dtype, *(part * size / 10 for part in parts))
        norm = mg.optim.clip_grad_norm_(parameters, goal, norm_type=p, error_if_nonfinite=True).item()
        fits = total * size / 10 < np.finfo(dtype).max
        assert norm == (pytest.approx(total * size / 10, rel=1e-5) if fits else math.inf)
        for parameter, part in zip(parameters, parts, strict=True):
            np.testing.assert_allclose(parameter.grad.numpy(), part / total * goal, rtol=1e-5)


@pytest.mark.parametrize("p", [2, 3, 20])
@pytest.mark.parametrize(("dtype", "size"), [(np.float32, 1e-30), (np.float64, 1e-200)])
def test_a_total_norm_that_underflows(p, dtype, size):
    (parameter,) = with_gradients(dtype, X * size)
    expected = (np.abs(X) ** p).sum() ** (1 / p) * size
    assert mg.optim.get_total_norm([parameter.grad], p).item() == pytest.approx(expected, rel=1e-5)


def test_clipping_still_shows_what_is_not_finite():
    for value in (np.nan, np.inf):
        parameters = with_gradients(np.float32, [1.0, value])
        with pytest.raises(RuntimeError, match="total norm"):
            mg.optim.clip_grad_norm_(parameters, 1.0, error_if_nonfinite=True)
        assert parameters[0].grad.array[0] == 1
        mg.optim.clip_grad_norm_(parameters, 1.0)
        assert np.isnan(parameters[0].grad.array[1])
    with pytest.raises(RuntimeError, match="total norm"):
        mg.optim.get_total_norm(mg.tensor([np.inf]), error_if_nonfinite=True)


@pytest.mark.parametrize("size", [1e-200, 1e200])
def test_adaptive_clipping_of_any_size(size):
    w = mg.tensor(X * size, requires_grad=True)
    w.grad = mg.tensor(Y * size)
    mg.optim.adaptive_clip_grad_(w, clipping=0.1, eps=1e-250)
    lengths = np.linalg.norm(X, axis=1, keepdims=True) / np.linalg.norm(Y, axis=1, keepdims=True)
    np.testing.assert_allclose(w.grad.numpy() / size, Y * np.minimum(1, 0.1 * lengths), rtol=1e-12)


def test_clipping_values_beyond_the_dtype():
    (parameter,) = with_gradients(np.float32, [1.0, 3e38, -3e38])
    mg.optim.clip_grad_value_(parameter, 1e300)
    np.testing.assert_array_equal(parameter.grad.numpy(), np.array([1, 3e38, -3e38], np.float32))


@pytest.mark.parametrize("p", [1, 2, 3, math.inf])
def test_clipping_where_float64_has_no_room_for_the_norm_or_the_factor(p):
    for size, goal in ((1e308, 1.0), (1e200, 1e-200), (1e-320, 1e-321)):
        part = np.array([1.0, -1.0, 1.0])
        total = 1 if p == math.inf else 3 ** (1 / p)
        parameters = with_gradients(np.float64, part * size, -part[:0])
        norm = mg.optim.clip_grad_norm_(parameters, goal, norm_type=p, error_if_nonfinite=True).item()
        with np.errstate(over="ignore"):
            assert norm == pytest.approx(np.float64(total) * size, rel=1e-3)
        expected = part * (np.float64(goal) / total * min(1.0, size / 1e-6))
        np.testing.assert_allclose(parameters[0].grad.numpy(), expected, rtol=1e-12, atol=5e-324)
    parameters = with_gradients(np.float64, [0.0])
    assert mg.optim.clip_grad_norm_(parameters, 0.0).item() == 0 and parameters[0].grad.item() == 0


def test_a_total_norm_has_the_widest_dtype():
    mixed = with_gradients(np.float32, [3.0]) + with_gradients(np.float64, [4e200])
    norm = mg.optim.clip_grad_norm_(mixed, 1.0)
    assert norm.dtype == np.float64 and norm.item() == 4e200
