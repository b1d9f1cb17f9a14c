"""Reductions, running sums, extrema: derivatives, NumPy's answers, zeros, ties, infinities, empty tensors."""

import numpy as np
import pytest

import minigrad as mg
from minigrad.autograd import gradcheck, gradgradcheck


def tensor(array):
    return mg.tensor(np.asarray(array, np.float64), requires_grad=True)


def normal(*shape, seed=0):
    return tensor(np.random.default_rng(seed).standard_normal(shape))


AXES = [{}, {"axis": 0}, {"axis": -1, "keepdim": True}, {"axis": (0, 2)}, {"dim": (1, 2), "keepdims": True}]


@pytest.mark.parametrize("options", AXES)
@pytest.mark.parametrize("name", ["sum", "mean", "amax", "amin", "logsumexp", "norm", "var", "std"])
def test_derivatives_and_values(name, options):
    x = normal(2, 3, 2)
    axis = options.get("axis", options.get("dim"))
    keep = options.get("keepdim", options.get("keepdims", False))
    expected = {
        "logsumexp": lambda a, **k: np.log(np.exp(a).sum(**k)),
        "norm": lambda a, **k: np.sqrt((a * a).sum(**k)),
        "var": lambda a, **k: a.var(ddof=1, **k),
        "std": lambda a, **k: a.std(ddof=1, **k),
    }.get(name, getattr(np, name, None))(x.array, axis=axis, keepdims=keep)
    function = getattr(mg, name)
    np.testing.assert_allclose(function(x, **options).array, expected, rtol=1e-13)
    assert function(x, **options).shape == np.shape(expected)
    assert gradcheck(lambda x: function(x, **options), x)
    assert gradgradcheck(lambda x: function(x, **options) ** 2, x)


@pytest.mark.parametrize("correction", [0, 1, 2])
def test_corrections(correction):
    x = normal(4, 3)
    np.testing.assert_allclose(x.var(0, correction=correction).array, x.array.var(0, ddof=correction), rtol=1e-13)
    assert gradgradcheck(lambda x: x.std(0, correction=correction), x)
    v, m = mg.var_mean(x, 0, correction=correction)
    assert (v.shape, m.shape) == ((3,), (3,))
    with pytest.raises(TypeError, match="var: give unbiased or correction, not both"):
        x.var(0, unbiased=True, correction=1)


def test_a_large_mean_costs_no_digits_of_the_variance():
    assert mg.tensor([40000.0, 40001.0, 40002.0, 40003.0]).var(correction=0).item() == 1.25


def test_std_of_equal_elements_has_gradient_zero():
    x = tensor([2.0, 2.0, 2.0])
    x.std().backward()
    assert x.grad.tolist() == [0, 0, 0]


ZEROS = [[1.0, 2.0, 0.0, 3.0], [0.0, 0.0, 2.0, 1.0], [4.0, 5.0, 6.0, 0.5]]


@pytest.mark.parametrize(
    "function",
    [
        mg.prod,
        lambda x: mg.prod(x, 1),
        lambda x: mg.prod(x, axis=0, keepdim=True),
        lambda x: mg.cumprod(x, 1),
        lambda x: mg.cumprod(x, 0),
    ],
)
def test_products_with_zeros_to_third_order(function):
    x = tensor(ZEROS)
    assert gradcheck(function, x)
    assert gradgradcheck(function, x)

    def second(x):
        rng = np.random.default_rng(5)
        y = function(x)
        (g,) = mg.grad(y, x, mg.tensor(rng.standard_normal(y.shape)), create_graph=True)
        return mg.grad(g, x, mg.tensor(rng.standard_normal(x.shape)), create_graph=True)[0]

    assert gradcheck(second, x)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_running_sums_and_products(axis):
    x = normal(3, 2, 4)
    np.testing.assert_allclose(x.cumsum(axis).array, np.cumsum(x.array, axis))
    np.testing.assert_allclose(x.cumprod(axis).array, np.cumprod(x.array, axis))
    assert gradcheck(lambda x: x.cumsum(axis), x)
    assert gradgradcheck(lambda x: x.cumsum(axis) ** 2, x)
    assert gradgradcheck(lambda x: x.cumprod(axis), x)


@pytest.mark.parametrize("p", [0.5, 1, 1.5, 2, 3, float("inf"), float("-inf"), 0])
def test_norms(p):
    x = normal(3, 4)
    expected = np.array([np.linalg.norm(row, p) for row in x.array])
    np.testing.assert_allclose(mg.norm(x, p, axis=1).array, expected, rtol=1e-13)
    assert gradcheck(lambda x: mg.norm(x, p, axis=1), x)
    if p:
        assert gradgradcheck(lambda x: mg.norm(x, p, axis=1) ** 2, x)


@pytest.mark.parametrize("p", [1.5, 2, 3])
def test_the_norm_of_zero_has_gradient_zero(p):
    x = tensor([[0.0, 0.0], [3.0, 4.0]])
    mg.norm(x, p, axis=1).backward(mg.ones(2, dtype=mg.float64))
    assert x.grad[0].tolist() == [0, 0]
    assert np.isfinite(x.grad.array).all()


def test_logsumexp_of_infinities():
    inf = np.inf
    x = tensor([[-inf, -inf], [1000.0, 1000.0], [-inf, 0.0]])
    y = mg.logsumexp(x, 1)
    np.testing.assert_allclose(y.array, [-inf, 1000 + np.log(2), 0])
    (g,) = mg.grad(y.sum(), x)
    np.testing.assert_allclose(g.array, [[0, 0], [0.5, 0.5], [0, 1]])
    assert mg.logsumexp(mg.tensor([inf, 0.0]), 0).item() == inf


def test_ties_of_extrema():
    x = tensor([[1.0, 2.0, 2.0], [2.0, 0.0, -1.0]])
    for function, expected in (
        (lambda x: x.max(), [[0, 1 / 3, 1 / 3], [1 / 3, 0, 0]]),
        (lambda x: x.amax(1).sum(), [[0, 0.5, 0.5], [1, 0, 0]]),
        (lambda x: x.max(1).values.sum(), [[0, 1, 0], [1, 0, 0]]),
        (lambda x: x.min(), [[0, 0, 0], [0, 0, 1]]),
    ):
        (g,) = mg.grad(function(x), x)
        np.testing.assert_allclose(g.array, expected)


def test_max_is_a_named_pair():
    x = normal(3, 4)
    found = x.max(dim=1, keepdim=True)
    assert found.values.shape == found.indices.shape == (3, 1)
    values, indices = mg.min(x, 0)
    np.testing.assert_array_equal(values.array, x.array.min(0))
    np.testing.assert_array_equal(indices.array, x.array.argmin(0))
    assert not indices.requires_grad
    assert mg.max(x, x + 1).shape == (3, 4)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.max(1).values,
        lambda x: x.min(0)[0],
        lambda x: x.sort(1, descending=True).values,
        lambda x: x.topk(2, axis=0).values,
        lambda x: x.median(1).values,
        lambda x: x.median(),
        lambda x: x.max(),
    ],
)
def test_picked_values(function):
    assert gradcheck(function, normal(3, 4))
    assert gradgradcheck(lambda x: function(x) ** 2, normal(3, 4))


def test_sorting_is_stable_both_ways():
    x = mg.tensor([2, 1, 2, 1])
    assert x.argsort().tolist() == [1, 3, 0, 2]
    assert x.argsort(descending=True).tolist() == [0, 2, 1, 3]
    assert mg.tensor([1.0, float("nan"), 0.0]).sort().indices.tolist() == [2, 0, 1]
    assert mg.tensor([3.0, float("nan")]).max().isnan().item()


def test_empty_tensors():
    assert mg.zeros(0).sum().item() == 0
    assert mg.zeros(0).prod().item() == 1
    assert np.isnan(mg.zeros(0).mean().item())
    assert mg.zeros(0, 3).sum(1).shape == (0,)
    assert np.isnan(mg.zeros(0, 3).var(0).array).all()
    assert mg.zeros(0).logsumexp().item() == -np.inf
    with pytest.raises(ValueError, match=r"amax: no element to choose from over axis 0 of a tensor of shape \(0, 3\)"):
        mg.zeros(0, 3).amax(0)


def test_dtypes():
    assert mg.tensor([True, True]).sum().dtype == np.int64
    assert mg.tensor([1, 2], dtype=mg.uint8).sum().dtype == np.int64
    assert mg.ones(2).sum(dtype=mg.float64).dtype == np.float64
    with pytest.raises(
        TypeError, match=r"mean: needs a floating-point tensor, not int64: convert it first, x.float\(\)"
    ):
        mg.arange(3).mean()


def test_wrong_axes():
    with pytest.raises(IndexError, match="sum: axis 2 is out of range for a tensor with 2 axes"):
        mg.zeros(2, 3).sum(2)
    with pytest.raises(ValueError, match="names an axis twice"):
        mg.zeros(2, 3).sum((0, -2))
    with pytest.raises(ValueError, match="topk: k=4 is not between 0 and the length 3"):
        mg.zeros(3).topk(4)


def test_truth():
    x = mg.tensor([[0, 1], [0, 0]])
    assert x.any(1).tolist() == [True, False]
    assert not x.all().item()
    assert x.count_nonzero().item() == 1
    assert mg.nansum(mg.tensor([1.0, float("nan")])).item() == 1


REDUCTIONS = ["sum", "nansum", "mean", "amax", "amin", "prod", "logsumexp", "norm", "any", "all", "argmax"]


@pytest.mark.parametrize("name", REDUCTIONS)
@pytest.mark.parametrize("axis", [0, -1, np.int64(0)])
def test_a_number_has_an_axis_if_one_is_asked_for(name, axis):
    x = mg.tensor(2.5, requires_grad=True)
    y = getattr(mg, name)(x, axis=axis, keepdim=True)
    assert y.shape == ()
    assert y.item() == {"any": True, "all": True, "argmax": 0}.get(name, 2.5)
    if y.requires_grad:
        y.backward()
        assert x.grad.item() == 1
    with pytest.raises(IndexError, match="axis 1 is out of range for a tensor with 0 axes"):
        getattr(mg, name)(x, axis=1)


@pytest.mark.parametrize("name", ["max", "min", "sort", "median"])
def test_choosing_from_a_number_keeps_its_dtype(name):
    values, indices = getattr(mg, name)(mg.tensor(True), -1)
    assert values.dtype == bool
    assert (values.item(), indices.item()) == (True, 0)
    assert mg.cumsum(mg.tensor(3, dtype=mg.int32), 0).dtype == np.int64


def test_reductions_of_integers():
    assert mg.nansum(mg.tensor([1, 2])).dtype == np.int64
    y = mg.logsumexp(mg.tensor([0, 0]), 0)
    assert y.dtype == np.float32
    assert y.item() == pytest.approx(np.log(2))


def test_norm_with_a_negative_exponent_at_zero():
    """A single 0 makes it 0, and stays the smallest whatever the others do. (PyTorch says the same.)"""
    x = mg.tensor(np.array([[0.0, 1.0, -2.0], [3.0, 3.0, 1.5]]), requires_grad=True)
    y = mg.norm(x, -1, axis=1)
    np.testing.assert_allclose(y.array, [0.0, 0.75])
    (g,) = mg.grad(y, x, mg.ones(2, dtype=mg.float64), create_graph=True)
    np.testing.assert_allclose(g.array, [[0.0, 0.0, 0.0], [0.0625, 0.0625, 0.25]])
    (second,) = mg.grad(g.sum(), x)
    assert np.isfinite(second.array).all()


def test_norm_with_a_small_exponent_at_zero():
    x = mg.tensor([0.0, 3.0, -2.0], dtype=mg.float64, requires_grad=True)
    y = x.norm(0.5)
    assert y.item() == pytest.approx((3**0.5 + 2**0.5) ** 2)
    y.backward()
    root = y.item() ** 0.5
    np.testing.assert_allclose(x.grad.array, [0, root / 3**0.5, -root / 2**0.5], rtol=1e-14)


def test_long_sums_of_float32_stay_exact():
    """Added up row after row in float32, these are off by 0.2 to 1 %."""
    x = np.full((400_000, 2), 0.1, np.float32)
    for y in (mg.tensor(x).sum(0), mg.tensor(x).T.sum(1), mg.tensor(x).mean(0) * 400_000, mg.tensor(x).cumsum(0)[-1]):
        assert y.dtype == np.float32
        np.testing.assert_allclose(y.array, 40_000, rtol=1e-6)
    np.testing.assert_allclose(mg.tensor(x).norm(axis=0).array, 0.1 * 400_000**0.5, rtol=1e-6)
    wave = mg.tensor(np.sin(np.arange(200_000)).repeat(2).reshape(-1, 2).astype(np.float32) + 50)
    np.testing.assert_allclose(wave.var(0).array, 0.5, rtol=1e-4)
    bias = mg.zeros(2, requires_grad=True)
    (mg.tensor(x) * (bias + mg.ones(400_000, 1))).sum().backward()
    np.testing.assert_allclose(bias.grad.array, 40_000, rtol=1e-6)


@pytest.mark.parametrize("axis", [0.5, (0, 0.5), "01"])
def test_an_axis_that_is_no_integer(axis):
    with pytest.raises(TypeError, match=r"sum: axis must be an integer.*got "):
        mg.ones(2, 3).sum(axis)
