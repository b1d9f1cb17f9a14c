"""Empty inputs, integers and layers of size 0: taken where PyTorch takes them, and refused where it refuses them."""

import numpy as np
import pytest

import minigrad as mg
import minigrad.nn.functional as F
from minigrad import nn

# -- normalizations of nothing, and of too little ----------------------------------------------------------------


@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_of_an_empty_vector(training):
    mean, var = mg.ones(3), mg.ones(3)
    x = mg.zeros(0, requires_grad=True)
    y = F.batch_norm(x, mean, var, training=training)
    y.sum().backward()
    assert y.shape == x.grad.shape == (0,) and y is not x
    assert mean.tolist() == var.tolist() == [1, 1, 1]
    for shape in ((3,), (), (1,)):
        with pytest.raises(ValueError, match=r"batch_norm: the input must be \(N, C\)"):
            F.batch_norm(mg.zeros(shape), mean, var, training=training)
    with pytest.raises(ValueError, match="must be"):
        nn.BatchNorm1d(3)(mg.zeros(0))


@pytest.mark.parametrize("shape", [(0, 3), (0, 3, 4), (2, 3, 0), (0, 3, 2, 2), (2, 3, 0, 2), (0, 3, 0)])
@pytest.mark.parametrize(
    "norm",
    [
        lambda x: F.batch_norm(x, mg.zeros(3), mg.ones(3)),
        lambda x: F.batch_norm(x, mg.zeros(3), mg.ones(3), training=True),
        lambda x: F.group_norm(x, 1),
        lambda x: F.group_norm(x, 3),
        lambda x: F.layer_norm(x, x.shape[1:]),
        lambda x: F.rms_norm(x, x.shape[1:]),
        lambda x: F.normalize(x),
        lambda x: F.instance_norm(x, mg.zeros(3), mg.ones(3), use_input_stats=False),
    ],
)
def test_empty_batches_and_empty_space(norm, shape):
    x = mg.zeros(shape, requires_grad=True)
    y = norm(x)
    y.sum().backward()
    assert y.shape == x.grad.shape == shape


def test_instance_norm_by_running_averages_needs_no_space():
    x = mg.tensor([[1.0, 2.0], [3.0, 6.0]])
    y = F.instance_norm(x, mg.tensor([1.0, 2.0]), mg.tensor([4.0, 16.0]), use_input_stats=False, eps=0)
    assert y.tolist() == [[0, 0], [1, 1]]
    with pytest.raises(ValueError, match="with an axis of space"):
        F.instance_norm(x)


# -- pooling -------------------------------------------------------------------------------------------------------

INTEGERS = [np.int64, np.int32, np.int16, np.int8, np.uint8]
EVERY = [*INTEGERS, np.bool_]


def image(n, dtype, size=6):
    return np.random.default_rng(0).integers(0 if dtype == np.uint8 else -90, 90, (2, 3) + (size,) * n).astype(dtype)


def blocks(x, n):
    """(..., 6, 6) as windows of 2 side by side: (..., 3, 3, 2ⁿ)."""
    x = x.reshape(*x.shape[:-n], *[k for _ in range(n) for k in (3, 2)])
    order = [*range(2), *range(2, 2 + 2 * n, 2), *range(3, 3 + 2 * n, 2)]
    return x.transpose(order).reshape(*x.shape[:2], *[3] * n, 2**n)


@pytest.mark.parametrize("n", [2, 3])
@pytest.mark.parametrize("dtype", INTEGERS)
def test_the_largest_of_integers(n, dtype):
    x = image(n, dtype)
    pool = getattr(F, f"max_pool{n}d")
    y, index = pool(mg.tensor(x), 2, return_indices=True)
    assert y.dtype == dtype
    np.testing.assert_array_equal(y.numpy(), blocks(x, n).max(-1))
    planes = x.reshape(6, -1)
    np.testing.assert_array_equal(
        np.take_along_axis(planes, index.numpy().reshape(6, -1), 1), y.numpy().reshape(6, -1)
    )
    lowest = np.full_like(x, np.iinfo(dtype).min)  # no padding may win against it
    assert (pool(mg.tensor(lowest), 3, 2, 1).numpy() == np.iinfo(dtype).min).all()


@pytest.mark.parametrize("n", [1, 2, 3])
def test_the_mean_of_integers_is_cut_towards_zero(n):
    x = image(n, np.int64)
    y = getattr(F, f"avg_pool{n}d")(mg.tensor(x), 2)
    assert y.dtype == np.int64
    np.testing.assert_array_equal(y.numpy(), np.trunc(blocks(x, n).sum(-1) / 2**n))


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("dtype", EVERY)
def test_pooling_that_takes_no_integers(n, dtype):
    x = mg.tensor(image(n, dtype))
    refused = [f"adaptive_max_pool{n}d", f"adaptive_avg_pool{n}d"]
    if n == 1 or dtype is np.bool_:
        refused.append(f"max_pool{n}d")
    if dtype is not np.int64:
        refused.append(f"avg_pool{n}d")
    for name in refused:
        with pytest.raises(TypeError, match=rf"{name}: needs a floating-point tensor, not {np.dtype(dtype)}"):
            getattr(F, name)(x, 2)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_pooling_of_nothing(n):
    space = (4,) * n
    for kind in ("max_pool", "avg_pool"):
        pool = getattr(F, f"{kind}{n}d")
        assert pool(mg.zeros(0, 3, *space), 2).shape == (0, 3, *(2,) * n)
        for shape in ((2, 0, *space), (0, *space), (0, 0, *space)):
            with pytest.raises(ValueError, match=f"{kind}{n}d: .*at least one channel"):
                pool(mg.zeros(shape), 2)
    for kind in ("adaptive_max_pool", "adaptive_avg_pool"):
        pool = getattr(F, f"{kind}{n}d")
        assert pool(mg.zeros(0, 3, *space), 2).shape == (0, 3, *(2,) * n)
        if kind == "adaptive_max_pool" or n == 3:
            with pytest.raises(ValueError, match="at least one channel"):
                pool(mg.zeros(2, 0, *space), 2)
        else:
            assert pool(mg.zeros(2, 0, *space), 2).shape == (2, 0, *(2,) * n)
        with pytest.raises(ValueError, match="no pixels"):
            pool(mg.zeros(2, 3, *space[1:], 0), 2)
    mean = getattr(F, f"adaptive_avg_pool{n}d")(mg.zeros(2, 3, *space[1:], 0), 1)
    assert mean.shape == (2, 3, *(1,) * n) and np.isnan(mean.numpy()).all()  # the mean of nothing


# -- layers of size 0 ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layer", [nn.RNN, nn.LSTM, nn.GRU])
@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ((0, 3, 1), "input_size"), ((-1, 3, 1), "input_size"), ((3, 0, 1), "hidden_size"), ((3, -2, 1), "hidden_size"),
        ((3, 4, 0), "num_layers"), ((3, 4, -1), "num_layers"), ((0, 0, 0), "input_size"),
    ],
)  # fmt: skip
def test_recurrent_layers_of_size_0(layer, arguments, name):
    with pytest.raises(ValueError, match=rf"{layer.__name__}: {name} must be at least 1, not {min(arguments)}"):
        layer(*arguments)


@pytest.mark.parametrize("cell", [nn.RNNCell, nn.LSTMCell, nn.GRUCell])
def test_cells_of_size_0_are_allowed(cell):
    out = cell(0, 3)(mg.zeros(2, 0))
    assert (out[0] if isinstance(out, tuple) else out).shape == (2, 3)


def test_attention_of_size_0():
    with pytest.raises(ValueError, match="embed_dim must be at least 1, got 0"):
        nn.MultiheadAttention(0, 1)
