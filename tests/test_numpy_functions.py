"""NumPy's functions on tensors: an error where a gradient would be lost, and arrays elsewhere."""

import io

import numpy as np
import pytest

import minigrad as mg


def tensors():
    """A vector and a matrix that need a gradient, and the same without."""
    x = mg.tensor([[1.0, 2.0], [3.0, 5.0]], requires_grad=True)
    return x[0], x, x.detach()[0], x.detach()


# Each takes a vector and a matrix.
FUNCTIONS = {
    "minigrad.cat": lambda v, m: np.concatenate([v, v]),
    "minigrad.stack": lambda v, m: np.stack([v, v], axis=1),
    "minigrad.vstack": lambda v, m: np.vstack((v, m)),
    "minigrad.hstack": lambda v, m: np.hstack((m, m)),
    "minigrad.cat of append": lambda v, m: np.append(v, 1.0),
    "minigrad.where": lambda v, m: np.where(np.array([True, False]), v, 0.0),
    "minigrad.clip": lambda v, m: np.clip(v, 0, 1),
    "minigrad.matmul": lambda v, m: np.dot(m, v),
    "minigrad.nn.functional.pad": lambda v, m: np.pad(v, 1),
    "minigrad.einsum": lambda v, m: np.einsum("ij->j", m),
    "minigrad.tensordot": lambda v, m: np.tensordot(m, m, 1),
    "full": lambda v, m: np.full_like([1.0, 2.0], v),
    "write": lambda v, m: np.copyto(np.zeros(2), v),
    "minigrad.outer": lambda v, m: np.outer(v, v),
    "minigrad.trace": lambda v, m: np.trace(m),
    "minigrad.norm": lambda v, m: np.linalg.norm(v),
    "minigrad.sum": lambda v, m: np.sum(m, axis=0),
    "minigrad.mean": lambda v, m: np.mean(m),
    "minigrad.mean of average": lambda v, m: np.average(v),
    "minigrad.var": lambda v, m: np.var(m, 0),
    "minigrad.std": lambda v, m: np.std(v),
    "minigrad.prod": lambda v, m: np.prod(v),
    "minigrad.cumsum": lambda v, m: np.cumsum(v),
    "minigrad.amax": lambda v, m: np.max(m, 1),
    "minigrad.amin": lambda v, m: np.min(m),
    "minigrad.median": lambda v, m: np.median(v),
    "minigrad.sort": lambda v, m: np.sort(m),
    "minigrad.argmax": lambda v, m: np.argmax(m, 1),
    "minigrad.permute": lambda v, m: np.transpose(m),
    "minigrad.transpose": lambda v, m: np.swapaxes(m, 0, 1),
    "minigrad.movedim": lambda v, m: np.moveaxis(m, 0, 1),
    "minigrad.reshape": lambda v, m: np.reshape(m, -1),
    "minigrad.flatten": lambda v, m: np.ravel(m),
    "minigrad.unsqueeze": lambda v, m: np.expand_dims(v, 0),
    "minigrad.squeeze": lambda v, m: np.squeeze(m),
    "minigrad.split": lambda v, m: np.split(m, 2),
    "minigrad.repeat_interleave": lambda v, m: np.repeat(v, 2),
    "minigrad.tile": lambda v, m: np.tile(v, 2),
    "minigrad.flip": lambda v, m: np.flip(v),
    "minigrad.roll": lambda v, m: np.roll(v, 1),
    "minigrad.tril": lambda v, m: np.tril(m),
    "minigrad.diag": lambda v, m: np.diag(m),
    "minigrad.diagonal": lambda v, m: np.diagonal(m),
    "minigrad.broadcast_to": lambda v, m: np.broadcast_to(v, (2, 2)),
    "minigrad.index_select": lambda v, m: np.take(v, [0]),
    "minigrad.meshgrid": lambda v, m: np.meshgrid(v, v),
    "minigrad.nan_to_num": lambda v, m: np.nan_to_num(v),
    "minigrad.round": lambda v, m: np.round(v),
    "minigrad.clone": lambda v, m: np.copy(v),
    "minigrad.allclose": lambda v, m: np.allclose(v, v),
    "minigrad.equal": lambda v, m: np.array_equal(v, v),
    "minigrad.diff": lambda v, m: np.diff(v),
    "no such function, interp": lambda v, m: np.interp(0.5, v, v),
    "no such function, percentile": lambda v, m: np.percentile(v, 50),
    "no such function, svd": lambda v, m: np.linalg.svd(m),
    "no such function, fft": lambda v, m: np.fft.fft(v),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_that_would_lose_the_gradient(name):
    v, m, v_free, m_free = tensors()
    function = FUNCTIONS[name]
    for inside in (mg.enable_grad, mg.no_grad):  # as x.numpy()
        with inside(), pytest.raises(RuntimeError, match=r"numpy\..*requires a gradient.*t\.detach\(\)") as caught:
            function(v, m)
    own = name.partition(" ")[0]
    if own.startswith("minigrad."):
        assert f"use {own};" in str(caught.value)
        found = mg
        for part in own.split(".")[1:]:
            found = getattr(found, part)
        assert callable(found)
    else:
        assert "minigrad has no such function" in str(caught.value)
    np.testing.assert_equal(function(v_free, m_free), function(v_free.numpy(), m_free.numpy()))


CONVERSIONS = {
    "array": np.array,
    "asarray": np.asarray,
    "ascontiguousarray": np.ascontiguousarray,
    "array of a list": lambda x: np.array([x, x]),
    "array of a nested list": lambda x: np.array([[x, [[0.0] * 2] * 2], [x, x]]),
    "asarray of a dtype": lambda x: np.asarray(x, np.float64),
    "assignment": lambda x: np.zeros((2, 2)).__setitem__(slice(None), x),
    "testing": lambda x: np.testing.assert_allclose(x, [[1, 2], [3, 5]]),
}


@pytest.mark.parametrize("name", CONVERSIONS)
def test_a_conversion_that_would_lose_the_gradient(name):
    _, x, _, free = tensors()
    with pytest.raises(RuntimeError, match=r"cannot become a NumPy array.*t\.detach\(\)"):
        CONVERSIONS[name](x)
    CONVERSIONS[name](free)
    leaf = mg.nn.Parameter(np.ones((2, 2), np.float32))
    with mg.no_grad(), pytest.raises(RuntimeError, match=r"cannot become a NumPy array.*t\.detach\(\)"):
        CONVERSIONS[name](leaf)


def test_one_of_several_is_enough():
    v, _, free, _ = tensors()
    for function in (
        lambda: np.array([[v.sum(), 1.0], [2.0, free.sum()]]),
        lambda: np.stack([free, v]),
        lambda: np.concatenate((free.numpy(), v)),
        lambda: np.where(free > 1, free, v),
        lambda: np.clip(free, a_min=v, a_max=None),
        lambda: np.clip(np.ones(2), 0, v[1]),
        lambda: np.array([free, v]),
        lambda: np.block([[free], [v]]),
    ):
        with pytest.raises(RuntimeError, match="requires a gradient"):
            function()


def test_what_loses_no_gradient():
    _, x, _, _ = tensors()
    assert np.shape(x) == (2, 2) and np.ndim(x) == 2 and np.size(x) == 4
    assert not np.zeros_like(x).any() and np.ones_like(x).shape == (2, 2)
    assert np.result_type(x, np.float64) == np.float64
    assert float(x[0, 0]) == 1 and f"{x[0, 1]:.2f}" == "2.00" and "requires" not in str(x.detach())
    assert isinstance(np.array2string(x), str) and np.array_repr(x)


def test_arithmetic_with_arrays_stays_recorded():
    v, _, free, _ = tensors()
    a = np.array([2.0, 3.0], np.float32)
    for y in (a + v, a - v, a * v, a / v, a @ v, v * a, np.float32(2) * v):
        assert isinstance(y, mg.Tensor) and y.requires_grad
    for y in (a * free, np.float64(2) * free):
        assert isinstance(y, mg.Tensor) and not y.requires_grad


def test_numpy_does_not_write_tensors():
    _, _, free, matrix = tensors()
    for write in (
        lambda: np.copyto(free, 0.0),
        lambda: np.put(free, [0], 0.0),
        lambda: np.fill_diagonal(matrix, 0.0),
        lambda: np.clip(np.ones(2), 0, 1, out=free),
        lambda: np.mean(matrix, 0, out=free),
    ):
        with pytest.raises(TypeError):
            write()
    assert free.tolist() == [1, 2] and matrix.tolist() == [[1, 2], [3, 5]]


def test_plots_of_detached_tensors():
    plt = pytest.importorskip("matplotlib.pyplot")
    v, x, free, _ = tensors()
    figure, axes = plt.subplots()
    axes.plot(free, free * 2)
    axes.scatter(free, free)
    axes.hist(free)
    axes.imshow(x.detach())
    figure.savefig(io.BytesIO())
    with pytest.raises(RuntimeError, match="requires a gradient"):
        axes.plot(v)
    plt.close(figure)
