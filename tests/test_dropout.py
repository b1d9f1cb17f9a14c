"""Dropout: what is dropped, how often, and what never changes."""

import numpy as np
import pytest

import minigrad as mg
import minigrad.nn.functional as F
from minigrad import nn

CHANNELS = {"dropout1d": (40, 30, 5), "dropout2d": (40, 30, 3, 2), "dropout3d": (40, 30, 2, 2, 1)}


@pytest.fixture(autouse=True)
def seed():
    mg.manual_seed(0)


def test_drops_with_probability_p_and_scales_the_rest():
    y = F.dropout(mg.ones(100, 200), p=0.3).array
    assert y.dtype == np.float32
    assert set(np.unique(y)) == {np.float32(0), np.float32(1 / 0.7)}
    # 20,000 draws: the standard deviation of the share is 0.0032.
    assert abs((y == 0).mean() - 0.3) < 0.016


def test_gradient_goes_where_the_elements_went():
    x = mg.tensor(np.random.default_rng(0).standard_normal((5, 6)), requires_grad=True)
    y = F.dropout(x, 0.4)
    v = np.random.default_rng(1).standard_normal((5, 6))
    y.backward(mg.tensor(v))
    noise = np.where(y.array == 0, 0, 1 / 0.6)
    np.testing.assert_allclose(x.grad.array, v * noise, rtol=1e-7)


def _repeatable(f):
    def run(x):
        mg.manual_seed(3)
        return f(x)

    return run


@pytest.mark.parametrize("f", [F.dropout, F.dropout1d, lambda x, p: F.alpha_dropout(x, p, True)])
def test_derivatives(f):
    x = mg.tensor(np.random.default_rng(0).standard_normal((2, 3, 2)), requires_grad=True)
    assert mg.autograd.gradcheck(_repeatable(lambda x: f(x, 0.5)), x)
    assert mg.autograd.gradgradcheck(_repeatable(lambda x: f(x, 0.5) * x), x)


def test_seed_decides_whatever_the_dtype():
    x = np.ones((7, 5))
    mg.manual_seed(1)
    a = F.dropout(mg.tensor(x)).array
    mg.manual_seed(1)
    b = F.dropout(mg.tensor(x.astype(np.float32))).array
    np.testing.assert_array_equal(a, b)
    assert (F.dropout(mg.tensor(x)).array != a).any()


@pytest.mark.parametrize(
    "f", [F.dropout, F.alpha_dropout, F.feature_alpha_dropout, *(getattr(F, n) for n in CHANNELS)]
)
def test_nothing_happens_in_evaluation_or_with_p_zero(f):
    x = mg.ones(2, 3, 4, 5, 1) if f is F.dropout3d else mg.ones(2, 3, 4, 5) if f is F.dropout2d else mg.ones(2, 3, 4)
    state = mg.get_rng_state()
    assert f(x, 0.5, False) is x
    assert f(x, 0.0, True) is x
    assert mg.get_rng_state() == state  # no number was drawn
    assert (f(x, 1.0, True).array == 0).all()


@pytest.mark.parametrize("name", CHANNELS)
def test_channels_go_as_a_whole(name):
    y = getattr(F, name)(mg.ones(*CHANNELS[name]), 0.25).array.reshape(40, 30, -1)
    assert (y == y[:, :, :1]).all()
    assert abs((y[:, :, 0] == 0).mean() - 0.25) < 0.07
    unbatched = CHANNELS[name][1:]
    if name == "dropout2d":
        with pytest.warns(UserWarning, match="dropout2d: input with three axes"):
            F.dropout2d(mg.ones(*unbatched), 0.5)
    else:
        y = getattr(F, name)(mg.ones(*unbatched), 0.5).array.reshape(30, -1)
        assert (y == y[:, :1]).all() and 0 < (y == 0).mean() < 1


def test_alpha_dropout_keeps_mean_and_variance():
    x = mg.randn(300, 300)
    y = F.alpha_dropout(x, 0.3, True).array
    assert abs(y.mean()) < 0.02 and abs(y.var() - 1) < 0.02
    y = F.feature_alpha_dropout(mg.randn(300, 300, 2), 0.3, True).array
    assert abs(y.mean()) < 0.03 and abs(y.var() - 1) < 0.03


def test_infinite_input_and_layouts():
    x = np.full((4, 6), 2.0).T[::2]
    before = x.copy()
    y = F.dropout(mg.Tensor(x), 0.5).array
    assert set(np.unique(y)) <= {0.0, 4.0}
    np.testing.assert_array_equal(x, before)
    assert F.dropout(mg.tensor(1.0), 0.5).shape == ()
    assert F.dropout(mg.zeros(0, 2), 0.5).shape == (0, 2)


def test_errors():
    with pytest.raises(ValueError, match=r"dropout: p is the probability.* not 1.5"):
        F.dropout(mg.ones(2), 1.5)
    with pytest.raises(TypeError, match="dropout: input is int64"):
        F.dropout(mg.tensor([1, 2]))
    with pytest.raises(ValueError, match=r"dropout1d: input has shape \(2, 3, 4, 5\).*3 axes"):
        F.dropout1d(mg.ones(2, 3, 4, 5))
    with pytest.raises(ValueError, match="Dropout: p is the probability"):
        nn.Dropout(-0.1)


@pytest.mark.parametrize(
    "layer", [nn.Dropout, nn.Dropout1d, nn.AlphaDropout, nn.FeatureAlphaDropout], ids=lambda layer: layer.__name__
)
def test_layers(layer):
    module = layer(0.5)
    x = mg.ones(20, 30, 2)
    assert (module(x).array != 1).any()
    assert module.eval()(x) is x
    assert "p=0.5" in repr(module)


@pytest.mark.parametrize(
    "name", ["dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout"]
)
def test_in_place_the_input_becomes_the_result(name):
    shape = (4, 3, *(5,) * (int(name[7]) if name[7:8].isdigit() else 1))
    function = getattr(nn.functional, name)
    x = mg.randn(*shape, requires_grad=True)
    mg.manual_seed(0)
    expected = function(x, 0.5, training=True)
    h, plain = x * 1, x.detach() * 1
    for target in (h, plain):
        mg.manual_seed(0)
        assert function(target, p=0.5, training=True, inplace=True) is target
        assert target.tolist() == expected.tolist()
        assert function(target, 0.5, training=False, inplace=True) is target
    (g,) = mg.grad(expected.sum(), x)
    (g_in_place,) = mg.grad(h.sum(), x)
    assert g.tolist() == g_in_place.tolist()
    with pytest.raises(RuntimeError, match=rf"{name}\(inplace=True\): a leaf that requires a gradient"):
        function(x, 0.5, training=True, inplace=True)


@pytest.mark.parametrize("layer", [nn.Dropout, nn.Dropout1d, nn.AlphaDropout, nn.FeatureAlphaDropout])
def test_a_layer_in_place(layer):
    x = mg.randn(2, 3, 4)
    made = layer(0.5, inplace=True)
    assert made(x) is x and "inplace=True" in repr(made) and "inplace" not in repr(layer())


def test_a_network_in_place_learns_as_one_that_is_not():
    def gradients(inplace):
        mg.manual_seed(3)
        net = nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace), nn.Flatten(), nn.Linear(144, 8),
            nn.ELU(1.0, inplace), nn.Dropout(0.3, inplace), nn.Linear(8, 3), nn.Hardswish(inplace),
        )  # fmt: skip
        net(mg.randn(5, 1, 8, 8)).square().sum().backward()
        return [p.grad.tolist() for p in net.parameters()]

    assert gradients(True) == gradients(False)
