"""The affine map as one graph op."""

import numpy as np
import pytest

import minigrad as mg
import minigrad.nn.functional as F


def _tensor(*shape, seed=0):
    return mg.tensor(np.random.default_rng(seed).standard_normal(shape), requires_grad=True)


@pytest.mark.parametrize("shape", [(4, 3), (3,), (2, 4, 3), (0, 3)])
@pytest.mark.parametrize("bias", [True, False])
def test_value_and_derivatives(shape, bias):
    x, w = _tensor(*shape), _tensor(5, 3, seed=1)
    b = _tensor(5, seed=2) if bias else None
    y = F.linear(x, w, b)
    np.testing.assert_allclose(y.array, x.array @ w.array.T + (b.array if bias else 0), rtol=1e-14)
    inputs = [x, w, b] if bias else [x, w]
    assert mg.autograd.gradcheck(F.linear, inputs)
    assert mg.autograd.gradgradcheck(F.linear, inputs)


def test_few_rows_and_a_large_weight():
    x, w, b = _tensor(2, 9), _tensor(8, 9, seed=1), _tensor(8, seed=2)
    y = F.linear(x, w, b)
    np.testing.assert_allclose(y.array, x.array @ w.array.T + b.array, rtol=1e-13)
    assert y.array.flags.c_contiguous
    assert mg.autograd.gradgradcheck(F.linear, [x, w, b])


def test_weight_with_one_axis():
    x, w, b = _tensor(4, 3), _tensor(3, seed=1), mg.tensor(np.array(0.5), requires_grad=True)
    assert F.linear(x, w, b).shape == (4,)
    assert mg.autograd.gradcheck(F.linear, [x, w, b])


def test_errors():
    x = mg.zeros(2, 3)
    with pytest.raises(ValueError, match=r"linear: the input has shape \(2, 3\) and weight \(4, 5\)"):
        F.linear(x, mg.zeros(4, 5))
    with pytest.raises(ValueError, match=r"linear: bias has shape \(3,\), and must have \(4,\)"):
        F.linear(x, mg.zeros(4, 3), mg.zeros(3))
    with pytest.raises(TypeError, match=r"linear: the input is float32, weight float64; .*module.double\(\)"):
        F.linear(x, _tensor(4, 3))
