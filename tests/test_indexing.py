"""x[index] against NumPy; gather, scatter and embedding against sums spelled out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import minigrad as mg
import minigrad.nn.functional as F
from minigrad.autograd import gradcheck, gradgradcheck

SHAPE = (3, 4, 2)


def normal(*shape, seed=0):
    return mg.tensor(np.random.default_rng(seed).standard_normal(shape), requires_grad=True)


def check_against_numpy(index, shape=SHAPE):
    """Value and gradient; the gradient adds up one element at a time."""
    rng = np.random.default_rng(0)
    x = normal(*shape)
    y = x[index]
    plain = tuple(i.array if isinstance(i, mg.Tensor) else i for i in index) if isinstance(index, tuple) else index
    plain = plain.array if isinstance(plain, mg.Tensor) else plain
    np.testing.assert_array_equal(y.array, x.array[plain])
    v = rng.standard_normal(y.shape)
    y.backward(mg.tensor(v))
    expected = np.zeros(x.array.size)
    places = np.arange(x.array.size).reshape(shape)[plain]
    for place, value in zip(places.ravel(), v.ravel(), strict=True):
        expected[place] += value
    np.testing.assert_allclose(x.grad.array, expected.reshape(shape), atol=1e-12)


@settings(max_examples=80, deadline=None)
@given(hnp.basic_indices(SHAPE, allow_newaxis=True))
def test_basic_indices(index):
    check_against_numpy(index)


@settings(max_examples=60, deadline=None)
@given(hnp.integer_array_indices(SHAPE, result_shape=hnp.array_shapes(max_dims=2, max_side=4)))
def test_integer_arrays(index):
    check_against_numpy(index)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(-3, 2), max_size=6), st.integers(0, 2))
def test_repeated_rows_add_up(rows, axis):
    moved = SHAPE[axis:] + SHAPE[:axis]
    rows = np.array(rows, np.int64).clip(-moved[0], moved[0] - 1)
    check_against_numpy(mg.tensor(rows), moved)
    check_against_numpy((slice(None), mg.tensor(rows.clip(-1, 0))), SHAPE)


@settings(max_examples=40, deadline=None)
@given(hnp.arrays(np.bool_, SHAPE))
def test_masks(mask):
    check_against_numpy(mg.tensor(mask))
    check_against_numpy((mg.tensor(mask[:, 0, 0]), slice(None), 0))


@pytest.mark.parametrize(
    "index",
    [
        ([0, 0, 2], slice(None), [1, 1, 0]),
        (Ellipsis, [1, 0, 1]),
        (None, [0, -1]),
        (np.array([True, False, True]), [1, 1]),
        ([[0, 1], [1, 1]],),
        [],
        (np.int64(1), 0),
        (0, 0, 0),
        True,
    ],
    ids=str,
)
def test_mixtures(index):
    check_against_numpy(index)


def test_second_derivatives():
    for index in ([0, 0, 2], (slice(None), 1), (..., [1, 1]), (None, 0, [[0], [1]])):
        assert gradcheck(lambda x, i=index: x[i] ** 2, normal(*SHAPE))
        assert gradgradcheck(lambda x, i=index: x[i] ** 2, normal(*SHAPE))


def test_an_index_that_changes_later_changes_no_gradient():
    x, index = mg.tensor([1.0, 2.0], requires_grad=True), mg.tensor([0, 0])
    y = x[index]
    index.fill_(1)
    y.sum().backward()
    assert x.grad.tolist() == [2, 0]


def test_a_view_of_one_element_can_be_written_through():
    x = mg.tensor([1.0, 2.0])
    x[0].add_(5)
    assert x.tolist() == [6, 2]


def test_gather_and_scatter_are_each_other_transposed():
    x, y = normal(3, 4), normal(3, 6, seed=1)
    index = mg.tensor(np.random.default_rng(2).integers(0, 4, (3, 6)))
    inner = (x.gather(1, index) * y).sum()
    other = (x * mg.zeros(3, 4, dtype=mg.float64).scatter_add(1, index, y)).sum()
    np.testing.assert_allclose(inner.item(), other.item())
    assert gradgradcheck(lambda x: x.gather(1, index) ** 2, x)
    assert gradgradcheck(lambda x, y: x.scatter_add(1, index, y) ** 2, [x, y])
    assert gradgradcheck(lambda x: x.index_select(1, mg.tensor([3, 3, 0])) ** 2, x)
    assert gradgradcheck(lambda x, y: x.index_add(1, mg.tensor([1, 1, 0, 2, 2, 1]), y) ** 2, [x, y])


def test_take_along_dim_broadcasts():
    x = normal(3, 4)
    index = np.array([[2, 0]])
    np.testing.assert_array_equal(x.take_along_dim(mg.tensor(index), 1).array, np.take_along_axis(x.array, index, 1))
    assert gradcheck(lambda x: x.take_along_dim(mg.tensor(index), 1), x)
    assert x.take_along_dim(mg.tensor([5, 5])).shape == (2,)


@pytest.mark.parametrize("padding", [None, 1, -1])
def test_embedding(padding):
    table = normal(4, 3)
    index = mg.tensor([[1, 3, 1], [0, 1, 3]])
    y = F.embedding(index, table, padding)
    np.testing.assert_array_equal(y.array, table.array[index.array])
    v = np.random.default_rng(1).standard_normal(y.shape)
    y.backward(mg.tensor(v))
    expected = np.zeros((4, 3))
    for i, g in zip(index.array.ravel(), v.reshape(-1, 3), strict=True):
        expected[i] += g
    if padding is not None:
        expected[padding] = 0
    np.testing.assert_allclose(table.grad.array, expected, atol=1e-14)
    if padding is None:
        assert gradgradcheck(lambda table: F.embedding(index, table) ** 2, table)


def test_many_rows_are_added_as_numpy_adds_them():
    rng = np.random.default_rng(0)
    index, v = rng.integers(0, 50, 3000), rng.standard_normal((3000, 130))
    table = mg.zeros(50, 130, dtype=mg.float64, requires_grad=True)
    F.embedding(mg.tensor(index), table).backward(mg.tensor(v))
    expected = np.zeros((50, 130))
    np.add.at(expected, index, v)
    np.testing.assert_allclose(table.grad.array, expected, atol=1e-11)


def test_one_hot():
    assert F.one_hot(mg.tensor([2, 0]), 3).tolist() == [[0, 0, 1], [1, 0, 0]]
    with pytest.raises(IndexError, match="one_hot: index 3 is out of range"):
        F.one_hot(mg.tensor([3]), 3)


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        (lambda x: x[3], IndexError, "GetItem: index 3 is out of bounds"),
        (lambda x: x[0.5], IndexError, "GetItem: only integers"),
        (lambda x: x[mg.tensor([0.5])], IndexError, "GetItem: arrays used as indices must be of integer"),
        (
            lambda x: x.gather(1, mg.tensor([[4]])),
            IndexError,
            "gather: index 4 is out of range for axis 1, which has length 4",
        ),
        (lambda x: x.gather(1, mg.tensor([4])), ValueError, r"gather: index of shape \(1,\) does not fit"),
        (
            lambda x: x.index_select(0, mg.tensor([0.0])),
            TypeError,
            "index_select: index must hold integers, not float32",
        ),
        (
            lambda x: x.index_add(0, mg.tensor([0, 1]), x),
            ValueError,
            r"index_add: source has shape \(3, 4\), and must have \(2, 4\)",
        ),
        (
            lambda x: x.scatter_add(0, mg.tensor([[0], [1]]), mg.ones(1, 1)),
            ValueError,
            r"scatter_add: src of shape \(1, 1\) has no element for each place in index, of shape \(2, 1\)",
        ),
        (lambda x: F.embedding(mg.tensor([3]), x), IndexError, "embedding: index 3 is out of range"),
        (lambda x: F.embedding(mg.tensor([0]), x, 7), ValueError, "embedding: padding_idx 7 is not a row of 3"),
    ],
)
def test_errors(function, error, message):
    with pytest.raises(error, match=message):
        function(mg.zeros(3, 4))


def test_a_number_beside_an_array_only_picks():
    """NumPy would take it for an array and move the axis of both to the front: (2, 3), not (3, 2)."""
    x = mg.tensor(np.arange(24.0).reshape(2, 3, 4))
    y = x[1, :, [2, 0]]
    np.testing.assert_array_equal(y.array, x.array[1][:, [2, 0]])
    x[1, :, [2, 0]] = y * 10
    np.testing.assert_array_equal(x.array[1][:, [2, 0]], y.array * 10)
    x[mg.tensor(0)][:] = 5  # a 0-d tensor is a number: a view
    assert (x.array[0] == 5).all()


def test_dots_that_stand_for_no_axis_part_no_arrays():
    x = mg.arange(24).reshape(2, 3, 4)
    rows, columns = [0, 2, 2], [3, 0, 1]
    assert x[:, rows, ..., columns].tolist() == x[:, rows, columns].tolist()
    assert x[0, None, rows, ..., columns].tolist() == x[0][None, rows, columns].tolist()
    assert x[rows[:1], ..., columns].shape == (3, 3)  # here they stand for the middle axis
    x[:, rows, ..., columns] = mg.tensor([[-1, -2, -3], [-4, -5, -6]])
    assert x[1, 2, 0] == -5


def test_an_embedding_in_no_dimensions():
    table = mg.zeros(3, 0, requires_grad=True)
    mg.nn.functional.embedding(mg.tensor([0, 2, 2]), table).sum().backward()
    assert table.grad.shape == (3, 0)
