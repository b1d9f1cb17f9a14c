"""Matrix products and einsum: derivatives, NumPy's answers, errors."""

import numpy as np
import pytest

import minigrad as mg
import minigrad.nn.functional as F
from minigrad.autograd import gradcheck, gradgradcheck
from tests.parity.linalg import EINSUMS


def normal(*shape, seed=0):
    return mg.tensor(np.random.default_rng(seed).standard_normal(shape), requires_grad=True)


@pytest.mark.parametrize(
    "shapes",
    [
        ((2, 3), (3, 2)),
        ((3,), (3,)),
        ((3,), (3, 2)),
        ((2, 3), (3,)),
        ((2, 1, 2, 3), (2, 3, 2)),
        ((2, 3), (2, 3, 1)),
        ((2, 2, 3), (3,)),
        ((0, 3), (3, 2)),
        ((2, 0), (0, 3)),
    ],
)
def test_matmul(shapes):
    a, b = normal(*shapes[0]), normal(*shapes[1], seed=1)
    np.testing.assert_allclose((a @ b).array, a.array @ b.array, atol=1e-14)
    assert gradcheck(lambda a, b: a @ b, [a, b])
    assert gradgradcheck(lambda a, b: a @ b, [a, b])


def test_matmul_of_transposed_and_of_arrays():
    a = normal(4, 3)
    np.testing.assert_allclose((a.T @ a).array, a.array.T @ a.array)
    assert isinstance(a.array.T @ a, mg.Tensor)
    assert gradgradcheck(lambda a: a.T @ a, a)


def test_named_products():
    a, b, v = normal(2, 3), normal(3, 2), normal(3)
    np.testing.assert_allclose(mg.mm(a, b).array, a.array @ b.array)
    np.testing.assert_allclose(a.mv(v).array, a.array @ v.array)
    np.testing.assert_allclose(mg.dot(v, v).item(), v.array @ v.array)
    np.testing.assert_allclose(mg.outer(v, v).array, np.outer(v.array, v.array))
    np.testing.assert_allclose(mg.trace(a).item(), np.trace(a.array))
    assert gradgradcheck(mg.outer, [v, normal(2)])
    assert gradcheck(mg.trace, a)


@pytest.mark.parametrize("equation", EINSUMS)
def test_einsum(equation):
    operands = [normal(*shape, seed=i) for i, shape in enumerate(EINSUMS[equation])]
    expected = np.einsum(equation, *[x.array for x in operands])
    np.testing.assert_allclose(mg.einsum(equation, *operands).array, expected, atol=1e-13)
    assert gradcheck(lambda *xs: mg.einsum(equation, *xs), operands)


@pytest.mark.parametrize(
    ("equation", "shapes"),
    [
        ("ij,jk,kl->il", [(2, 2), (2, 2), (2, 1)]),
        ("bii,bj->bj", [(2, 2, 2), (2, 1)]),
        ("...i,...i->...", [(2, 2), (2,)]),
        ("i,i,i->i", [(2,), (2,), (2,)]),
    ],
)
def test_einsum_to_second_order(equation, shapes):
    assert gradgradcheck(lambda *xs: mg.einsum(equation, *xs), [normal(*s, seed=i) for i, s in enumerate(shapes)])


@pytest.mark.parametrize(
    ("equation", "shapes", "message"),
    [
        ("ij,jk", [(2, 3), (4, 2)], "one letter names axes of lengths 3 and 4"),
        ("ij", [(2,)], r'"ij" in "ij" does not fit an operand with 1 axes'),
        ("i,i", [(2,)], "names 2 operands, and 1 were given"),
        ("i->j", [(2,)], "only one that an operand has"),
        ("ii", [(2, 3)], "names axes of lengths 2, 3"),
    ],
)
def test_errors_of_einsum(equation, shapes, message):
    with pytest.raises(ValueError, match=f"einsum: .*{message}"):
        mg.einsum(equation, *[mg.zeros(*s) for s in shapes])


def test_tensordot():
    a, b = normal(2, 3, 4), normal(3, 4, 2)
    for dims in (1, 2, ([0], [2]), ([1, 0], [0, 2])):
        if dims == 1:
            np.testing.assert_allclose(
                mg.tensordot(a, b.reshape(4, 6), 1).array, np.tensordot(a.array, b.array.reshape(4, 6), 1)
            )
        else:
            np.testing.assert_allclose(mg.tensordot(a, b, dims).array, np.tensordot(a.array, b.array, dims))
    with pytest.raises(ValueError, match="tensordot: axes"):
        mg.tensordot(a, a, 1)


def test_bilinear():
    x, y, w, b = normal(2, 2), normal(2, 3), normal(2, 2, 3), normal(2)
    expected = np.einsum("ni,kij,nj->nk", x.array, w.array, y.array) + b.array
    np.testing.assert_allclose(F.bilinear(x, y, w, b).array, expected)
    assert gradgradcheck(F.bilinear, [x, y, w, b])
    with pytest.raises(ValueError, match="bilinear: inputs of shapes"):
        F.bilinear(y, x, w)


def test_shapes_that_do_not_fit():
    with pytest.raises(ValueError, match=r"matmul: \(2, 3\) @ \(2, 3\): the last axis of the first \(3\)"):
        mg.zeros(2, 3) @ mg.zeros(2, 3)
    with pytest.raises(ValueError, match="mm: needs a 2-d and a 2-d tensor"):
        mg.mm(mg.zeros(2), mg.zeros(2, 2))
    with pytest.raises(ValueError, match="matmul: needs two tensors with at least one axis"):
        mg.matmul(mg.tensor(1.0), mg.zeros(2))
