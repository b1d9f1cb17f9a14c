"""Tensors out of nothing."""

import numpy as np
import pytest

import minigrad as mg


@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        (1.5, np.float32),
        (3, np.int64),
        (True, np.bool_),
        ([1, 2.5], np.float32),
        ([1, 2], np.int64),
        ([True, False], np.bool_),
        ([], np.float32),
        (np.ones(2), np.float64),
        (np.float64(1), np.float64),
        (np.ones(2, np.float32), np.float32),
        ([np.ones(2), [1, 2]], np.float64),
        (range(3), np.int64),
        ([mg.ones(2), [1, 2.5]], np.float32),
        ([mg.tensor(1), mg.tensor(2)], np.int64),
        (mg.ones(2), np.float32),
    ],
    ids=str,
)
def test_dtype_of_data(data, dtype):
    assert mg.tensor(data).dtype == dtype


def test_tensor_copies_and_as_tensor_does_not():
    array = np.zeros(2)
    copied, shared, same = mg.tensor(array), mg.as_tensor(array), mg.from_numpy(array)
    array[0] = 1
    assert (copied[0].item(), shared[0].item(), same[0].item()) == (0, 1, 1)
    x = mg.ones(2, requires_grad=True)
    assert mg.as_tensor(x) is x
    assert mg.as_tensor(x, dtype=mg.float64).dtype == np.float64
    assert not mg.tensor(x).requires_grad
    assert mg.tensor(np.zeros(2, ">f4")).dtype == np.float32  # bytes in the other order


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        ([[1], [1, 2]], ValueError, "tensor: the nested lists do not form a rectangle"),
        ([1, "a"], TypeError, "tensor: data must be real numbers.* it holds str"),
        (1j, TypeError, "complex"),
        (np.ones(2, complex), TypeError, "complex128"),
        (object(), TypeError, "object"),
        ([2**70], TypeError, "more than 64 bits"),
        (None, TypeError, "NoneType"),
        ({"a": 1}, TypeError, "dict"),
    ],
)
def test_what_is_no_tensor(data, error, message):
    with pytest.raises(error, match=message):
        mg.tensor(data)


def test_integers_cannot_require_gradients():
    with pytest.raises(TypeError, match=r"only floating-point tensors can have a gradient, .* x.float\(\)"):
        mg.tensor([1, 2], requires_grad=True)


def test_constants_and_ranges():
    assert mg.zeros(2, 3).shape == mg.ones((2, 3)).shape == mg.empty([2, 3]).shape == (2, 3)
    assert mg.full((2,), 3).dtype == np.int64
    assert mg.full((2,), 3.0).dtype == np.float32
    x = mg.ones(2, dtype=mg.float64)
    for like in (mg.zeros_like, mg.ones_like, mg.rand_like, mg.randn_like, mg.empty_like):
        assert (like(x).shape, like(x).dtype) == ((2,), np.float64)
    assert mg.full_like(x, 2).tolist() == [2, 2]
    assert mg.eye(2, 3).tolist() == [[1, 0, 0], [0, 1, 0]]
    assert mg.arange(3).tolist() == [0, 1, 2]
    assert mg.arange(1, 2, 0.25).tolist() == [1, 1.25, 1.5, 1.75]
    assert mg.arange(3, 0, -1).dtype == np.int64
    assert mg.linspace(0, 1, 3).tolist() == [0, 0.5, 1]
    assert mg.zeros(2, requires_grad=True).requires_grad
    with pytest.raises(ValueError, match="arange: step must not be 0"):
        mg.arange(0, 1, 0)


def test_random_numbers_repeat_and_have_the_right_moments():
    def draw():
        mg.manual_seed(3)
        return [
            mg.rand(3),
            mg.randn(3),
            mg.randint(5, (3,)),
            mg.randperm(4),
            mg.bernoulli(mg.full((3,), 0.5)),
            mg.normal(size=2),
        ]

    for a, b in zip(draw(), draw(), strict=True):
        assert a.tolist() == b.tolist()
    mg.manual_seed(0)
    x = mg.normal(mg.tensor([0.0, 10.0]), 2.0, (20000, 2))
    np.testing.assert_allclose(x.mean(0).array, [0, 10], atol=0.05)
    np.testing.assert_allclose(x.std(0).array, [2, 2], atol=0.05)
    assert abs(mg.rand(20000).mean().item() - 0.5) < 0.01
    assert set(mg.randint(2, 5, (200,)).tolist()) == {2, 3, 4}
    assert sorted(mg.randperm(6).tolist()) == list(range(6))
    assert mg.rand(2, dtype=mg.float64).dtype == np.float64
    with pytest.raises(TypeError, match="randn: dtype must be float32 or float64, not int64"):
        mg.randn(2, dtype=mg.int64)
    with pytest.raises(ValueError, match="randint: the range from low=3 to high=3"):
        mg.randint(3, 3, (1,))
    with pytest.raises(ValueError, match="bernoulli: every probability"):
        mg.bernoulli(2.0)


def test_conversions():
    x = mg.tensor([1.5, 0.0], requires_grad=True)
    assert (x.int().dtype, x.long().dtype, x.bool().dtype) == (np.int32, np.int64, np.bool_)
    assert (x.double().dtype, x.to(mg.float64).dtype, x.to(mg.arange(1)).dtype) == (np.float64, np.float64, np.int64)
    assert x.float() is x
    assert not x.long().requires_grad
    x.double().sum().backward()
    assert x.grad.dtype == np.float32
