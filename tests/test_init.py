"""Initializers: their moments, bounds, orthogonality, and that they fill in place."""

import math

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.nn import init


@pytest.fixture(autouse=True)
def _seed():
    mg.manual_seed(3)


N = 200  # a standard error of a mean over N·N numbers is std/200


def weight(*shape):
    return nn.Parameter(np.full(shape, np.nan, np.float32))


@pytest.mark.parametrize(
    ("fill", "std", "bound"),
    [
        (lambda w: init.uniform_(w, -2, 2), 2 / math.sqrt(3), 2),
        (lambda w: init.normal_(w, 0, 0.5), 0.5, None),
        (lambda w: init.xavier_uniform_(w, gain=2), 2 * math.sqrt(2 / (3 * N)), 2 * math.sqrt(6 / (3 * N))),
        (lambda w: init.xavier_normal_(w, gain=2), 2 * math.sqrt(2 / (3 * N)), None),
        (lambda w: init.kaiming_uniform_(w, nonlinearity="relu"), math.sqrt(2 / N), math.sqrt(6 / N)),
        (lambda w: init.kaiming_uniform_(w, a=math.sqrt(5)), math.sqrt(1 / 3 / N), math.sqrt(1 / N)),
        (lambda w: init.kaiming_normal_(w, mode="fan_out", nonlinearity="relu"), math.sqrt(2 / (2 * N)), None),
        (lambda w: init.lecun_normal_(w), math.sqrt(1 / N), None),
        (lambda w: init.lecun_uniform_(w), math.sqrt(1 / N), math.sqrt(3 / N)),
    ],
)
def test_moments(fill, std, bound):
    w = weight(2 * N, N)
    assert fill(w) is w and w.requires_grad and w.grad_fn is None and w.version[0] == 1
    assert abs(w.array.mean()) < 4 * std / math.sqrt(w.numel())
    assert abs(w.array.std() / std - 1) < 0.015
    if bound is not None:
        assert 0.999 * bound < abs(w.array).max() <= bound * (1 + 1e-6)
    else:
        kurtosis = (w.array**4).mean() / (w.array**2).mean() ** 2  # 3 for a normal distribution, 1.8 for a uniform
        assert abs(kurtosis - 3) < 0.15


@pytest.mark.parametrize(
    ("mean", "std", "a", "b"),
    [(0, 1, -2, 2), (1, 2, -2, 2), (0, 1, -0.1, 0.05), (0, 1, 3, 9), (0, 0.02, -2, 2), (0, 1, -50, -4), (5, 1, -2, 2)],
)
def test_truncated_normal(mean, std, a, b):
    w = mg.zeros(N, N, dtype=mg.float64)
    init.trunc_normal_(w, mean, std, a, b)
    assert w.array.min() >= a and w.array.max() <= b
    # Quadrature of the density, for the moments.
    low, high = max(a, mean - 12 * std), min(b, mean + 12 * std)
    x = np.linspace(low, high, 200_001)
    density = np.exp(-(((x - mean) / std) ** 2) / 2)
    density /= density.sum()
    expected_mean = (x * density).sum()
    expected_std = math.sqrt((x**2 * density).sum() - expected_mean**2)
    assert abs(w.array.mean() - expected_mean) < 4 * expected_std / N
    assert abs(w.array.std() / expected_std - 1) < 0.025


def test_truncated_normal_refuses_an_empty_interval():
    with pytest.raises(ValueError, match="empty"):
        init.trunc_normal_(mg.zeros(3), a=1, b=-1)


@pytest.mark.parametrize("shape", [(5, 5), (3, 7), (7, 3), (4, 3, 2, 2), (1, 4), (4, 1)])
def test_orthogonal(shape):
    w = init.orthogonal_(mg.zeros(*shape, dtype=mg.float64), gain=1.5)
    q = w.array.reshape(shape[0], -1) / 1.5
    gram = q @ q.T if q.shape[0] <= q.shape[1] else q.T @ q
    np.testing.assert_allclose(gram, np.eye(len(gram)), atol=1e-12)


def test_orthogonal_is_uniform_over_rotations():
    # Without the sign correction the first column's first element would be of one sign.
    first = [init.orthogonal_(mg.zeros(3, 3)).array[0, 0] for _ in range(400)]
    assert abs(np.mean(first)) < 0.12 and abs(np.mean(np.square(first)) - 1 / 3) < 0.06


def test_constants_eye_dirac_sparse():
    assert (init.ones_(mg.zeros(3)).array == 1).all() and (init.zeros_(mg.ones(3)).array == 0).all()
    assert (init.constant_(mg.ones(3), 0.3).array == np.float32(0.3)).all()
    np.testing.assert_array_equal(init.eye_(mg.ones(2, 3)).array, np.eye(2, 3))
    w = init.dirac_(mg.ones(4, 2, 3, 3), groups=2).array
    assert w.sum() == 4 and all(w[i, i % 2, 1, 1] == 1 for i in range(4))
    s = init.sparse_(mg.ones(20, 6), sparsity=0.33, std=1).array
    assert ((s == 0).sum(axis=0) == 7).all()
    for fill, shape in ((init.eye_, (2, 2, 2)), (init.dirac_, (2, 2)), (init.orthogonal_, (3,))):
        with pytest.raises(ValueError, match=fill.__name__):
            fill(mg.zeros(*shape))
    with pytest.raises(ValueError, match="groups=3"):
        init.dirac_(mg.zeros(4, 2, 3), groups=3)


def test_gains_and_fans():
    assert init.calculate_gain("tanh") == 5 / 3 and init.calculate_gain("relu") == math.sqrt(2)
    assert init.calculate_gain("leaky_relu", 0.2) == math.sqrt(2 / 1.04)
    assert init.calculate_gain("selu") == 0.75 and init.calculate_gain("conv2d") == 1
    with pytest.raises(ValueError, match="unknown nonlinearity"):
        init.calculate_gain("relo")
    assert init.fan_in_and_fan_out(mg.zeros(8, 3, 5, 5)) == (75, 200)
    with pytest.raises(ValueError, match="at least 2 axes"):
        init.xavier_normal_(mg.zeros(3))
    with pytest.raises(ValueError, match="mode"):
        init.kaiming_normal_(mg.zeros(3, 3), mode="fan")
    with pytest.raises(TypeError, match="expected a Tensor"):
        init.zeros_(np.zeros(3))


@pytest.mark.parametrize("name", [n for n in init.__all__ if n.endswith("_") and n != "fixup_"])
def test_empty_tensors_are_fine(name):
    extra = {"constant_": (1,), "sparse_": (0.5,)}.get(name, ())
    for shape in ((0, 3), (3, 0)):
        shape = (*shape, 3) if name == "dirac_" else shape
        assert getattr(init, name)(mg.zeros(*shape), *extra).numel() == 0


def test_seeds_repeat():
    mg.manual_seed(7)
    a = nn.Linear(5, 5).weight.array.copy()
    mg.manual_seed(7)
    assert (nn.Linear(5, 5).weight.array == a).all()
    assert (nn.Linear(5, 5).weight.array != a).any()
