"""Ops that move elements: derivatives to second order, NumPy's answers, memory shared or not, errors."""

import numpy as np
import pytest

import minigrad as mg
import minigrad.nn.functional as F
from minigrad.autograd import gradcheck, gradgradcheck


def normal(*shape, seed=0):
    return mg.tensor(np.random.default_rng(seed).standard_normal(shape), requires_grad=True)


FUNCTIONS = {
    "reshape": (lambda x: x.reshape(4, -1), lambda a: a.reshape(4, -1)),
    "flatten": (lambda x: x.flatten(1), lambda a: a.reshape(2, -1)),
    "unflatten": (lambda x: x.unflatten(2, (-1, 2)), lambda a: a.reshape(2, 3, 2, 2)),
    "permute": (lambda x: x.permute(2, 0, 1), lambda a: a.transpose(2, 0, 1)),
    "transpose": (lambda x: x.transpose(0, -1), lambda a: a.swapaxes(0, -1)),
    "T": (lambda x: x.T, lambda a: a.T),
    "mT": (lambda x: x.mT, lambda a: a.swapaxes(1, 2)),
    "movedim": (lambda x: x.movedim(0, -1), lambda a: np.moveaxis(a, 0, -1)),
    "unsqueeze": (lambda x: x.unsqueeze(-2), lambda a: a[:, :, None]),
    "squeeze": (lambda x: x[:, :1].squeeze(1), lambda a: a[:, 0]),
    "expand": (lambda x: x[:, :1].expand(3, -1, 5, 4), lambda a: np.broadcast_to(a[:, :1], (3, 2, 5, 4))),
    "cat": (lambda x: mg.cat([x, x * x], 1), lambda a: np.concatenate([a, a * a], 1)),
    "stack": (lambda x: mg.stack([x, x * x], -1), lambda a: np.stack([a, a * a], -1)),
    "split": (lambda x: mg.cat(x.split([1, 3], 2)[::-1], 2), lambda a: np.roll(a, 3, 2)),
    "chunk": (lambda x: x.chunk(3, 1)[1], lambda a: a[:, 1:2]),
    "unbind": (lambda x: x.unbind(2)[3], lambda a: a[:, :, 3]),
    "repeat": (lambda x: x.repeat(2, 1, 1, 3), lambda a: np.tile(a, (2, 1, 1, 3))),
    "tile": (lambda x: x.tile(2), lambda a: np.tile(a, 2)),
    "repeat_interleave": (lambda x: x.repeat_interleave(2, 1), lambda a: np.repeat(a, 2, 1)),
    "flip": (lambda x: x.flip(0, 2), lambda a: np.flip(a, (0, 2))),
    "roll": (lambda x: x.roll((1, -2), (0, 2)), lambda a: np.roll(a, (1, -2), (0, 2))),
    "roll_flat": (lambda x: x.roll(3), lambda a: np.roll(a, 3)),
    "tril": (lambda x: x.tril(1), lambda a: np.tril(a, 1)),
    "triu": (lambda x: x.triu(-1), lambda a: np.triu(a, -1)),
    "diagonal": (lambda x: x.diagonal(1, 2, 1), lambda a: np.diagonal(a, 1, 2, 1)),
    "diag_of_matrix": (lambda x: x[0].diag(-1), lambda a: np.diag(a[0], -1)),
    "diag_of_vector": (lambda x: x[0, 0].diag(-2), lambda a: np.diag(a[0, 0], -2)),
    "pad": (
        lambda x: F.pad(x, (1, 2, 0, 1), value=3.0),
        lambda a: np.pad(a, ((0, 0), (0, 1), (1, 2)), constant_values=3.0),
    ),
    "crop": (lambda x: F.pad(x, (-1, 1)), lambda a: np.pad(a[..., 1:], ((0, 0), (0, 0), (0, 1)))),
    "pad_reflect": (lambda x: F.pad(x, (3, 2), "reflect"), lambda a: np.pad(a, ((0, 0), (0, 0), (3, 2)), "reflect")),
    "pad_replicate": (lambda x: F.pad(x, (3, 2), "replicate"), lambda a: np.pad(a, ((0, 0), (0, 0), (3, 2)), "edge")),
    "pad_circular": (lambda x: F.pad(x, (3, 2), "circular"), lambda a: np.pad(a, ((0, 0), (0, 0), (3, 2)), "wrap")),
    "meshgrid": (
        lambda x: mg.meshgrid(x[0, 0], x[1, 1])[1],
        lambda a: np.meshgrid(a[0, 0], a[1, 1], indexing="ij")[1],
    ),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_and_derivatives(name):
    function, oracle = FUNCTIONS[name]
    x = normal(2, 3, 4)
    before = x.array.copy()
    np.testing.assert_array_equal(function(x).array, oracle(x.array))
    assert gradcheck(function, x)
    assert gradgradcheck(lambda x: function(x) ** 2, x)
    np.testing.assert_array_equal(x.array, before)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_inputs_with_gaps_in_memory(name):
    function, oracle = FUNCTIONS[name]
    x = mg.from_numpy(np.arange(192.0).reshape(4, 6, 8)[::2, ::2, ::2])
    np.testing.assert_array_equal(function(x).array, oracle(x.array))


def test_views_share_memory_and_version():
    x = mg.zeros(2, 3)
    for y in (x.reshape(3, 2), x.T, x[0], x[0, 0], x.unsqueeze(0), x.split(1)[0], x.diagonal()):
        assert np.shares_memory(x.array, y.array)
        assert y.version is x.version


def test_cat_promotes_and_leaves_out_the_empty():
    assert mg.cat([mg.ones(2), mg.arange(2)]).dtype == np.float32
    assert mg.cat([mg.zeros(0), mg.ones(2, 3)]).shape == (2, 3)
    assert mg.hstack([mg.tensor(1.0), mg.tensor(2.0)]).tolist() == [1, 2]


def test_an_empty_axis_in_chunks():
    assert [piece.shape for piece in mg.zeros(3, 0).chunk(2, 1)] == [(3, 0), (3, 0)]
    assert F.glu(mg.zeros(3, 0)).shape == (3, 0)


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        (lambda x: x.reshape(4, 4), ValueError, "Reshape: cannot reshape"),
        (lambda x: x.permute(0, 0), ValueError, r"permute: axes \(0, 0\) is not an order of the 2 axes"),
        (lambda x: x.transpose(0, 2), IndexError, "transpose: axis 2 is out of range for 2 axes"),
        (lambda x: mg.cat([x, mg.zeros(2, 2)]), ValueError, r"cat: along axis 0, tensor 1 of shape \(2, 2\)"),
        (lambda x: mg.cat([]), ValueError, "cat: needs at least one tensor"),
        (lambda x: mg.stack([x, x[0]]), ValueError, r"stack: tensor 1 has shape \(3,\)"),
        (lambda x: x.split([1, 1], 1), ValueError, r"split: the sizes \[1, 1\] must .* add up to the length 3"),
        (lambda x: x.split([4, -1], 1), ValueError, r"split: the sizes \[4, -1\] must not be negative"),
        (lambda x: mg.cat([x, 1]), TypeError, "cat: needs tensors, and input 1 is a int"),
        (lambda x: x.expand(4, 3), ValueError, r"Expand: shape \(2, 3\) cannot become \(4, 3\)"),
        (lambda x: x.sum(dim=0, axis=1), TypeError, "sum: dim and axis are two names for one"),
        (lambda x: x.repeat(2), ValueError, "repeat: needs a number for each of the 2 axes"),
        (lambda x: x.unflatten(1, (2, 2)), ValueError, r"unflatten: sizes \(2, 2\)"),
        (lambda x: mg.tril(x[0]), ValueError, r"tril: needs a matrix or several, got shape \(3,\)"),
        (lambda x: F.pad(x, (3, 0), "reflect"), ValueError, "at most 2 elements at each end of axis 1"),
        (lambda x: F.pad(x, (1,)), ValueError, "pad: needs pairs"),
        (lambda x: F.pad(x, (1, 1), "mirror"), ValueError, "pad: mode must be"),
    ],
)
def test_errors(function, error, message):
    with pytest.raises(error, match=message):
        function(mg.zeros(2, 3))


@pytest.mark.parametrize("widths", [(-2, 2), (2, -2), (-1, -1)])
def test_pad_cannot_cut_off_more_than_there_is(widths):
    with pytest.raises(ValueError, match=r"pad: cutting off \d and \d elements is too much for axis 0, of length 1"):
        mg.nn.functional.pad(mg.ones(1), widths)
    assert mg.nn.functional.pad(mg.ones(2), (-2, 1)).tolist() == [0]


@pytest.mark.parametrize("join", ["cat", "stack"])
def test_joining_nothing(join):
    with pytest.raises(ValueError, match=f"^{join}: needs at least one tensor"):
        getattr(mg, join)([])
