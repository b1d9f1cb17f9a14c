"""Weight norm, weight standardization and spectral norm: their identities, their state, and their start."""

import copy
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.autograd import gradcheck, gradgradcheck
from minigrad.nn.utils import data_dependent_init
from minigrad.nn.utils.parametrizations import (
    scaled_weight_standardization,
    spectral_norm,
    weight_norm,
    weight_standardization,
)
from minigrad.nn.utils.parametrize import register_parametrization, remove_parametrizations

F = nn.functional


def random(*shape: int, dtype: Any = np.float64, seed: int = 0) -> mg.Tensor:
    array = np.random.default_rng(seed + sum(shape)).standard_normal(shape)
    return mg.Tensor(array.astype(dtype), requires_grad=True)


def values(tensor: Any) -> Any:
    return tensor.detach().numpy()


@pytest.fixture(autouse=True)
def _seed():
    mg.manual_seed(0)


# -- weight norm ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dim", "g_shape"), [(0, (3, 1, 1)), (1, (1, 4, 1)), (-1, (1, 1, 2)), (None, ())])
def test_the_gradient_for_v_is_at_right_angles_to_v(dim: Any, g_shape: Any):
    v, g, c = random(3, 4, 2), random(*g_shape, seed=1), random(3, 4, 2, seed=2)
    dv, _ = mg.grad(F.weight_norm(v, g, dim), [v, g], c.detach())
    axes = tuple(axis for axis in range(3) if dim is None or axis != dim % 3)
    np.testing.assert_allclose((values(dv) * values(v)).sum(axes), 0, atol=1e-14)
    assert np.abs(values(dv)).max() > 0.1


def test_v_only_grows():
    layer = weight_norm(nn.Linear(4, 3, dtype=np.float64))
    _, _, v = layer.parameters()
    optimizer = mg.optim.SGD(layer.parameters(), lr=0.1)
    x, lengths = random(8, 4).detach(), []
    for _ in range(4):
        optimizer.zero_grad()
        (layer(x) ** 2).sum().backward()
        optimizer.step()
        lengths.append(np.linalg.norm(values(v), axis=1))
    assert (np.diff(lengths, axis=0) > 0).all()


def test_weight_norm_starts_from_the_weight_that_is_there():
    for layer, dim in ((nn.Linear(3, 2), 0), (nn.Conv2d(2, 3, 2), 1), (nn.ConvTranspose1d(2, 3, 2), None)):
        before = values(layer.weight).copy()
        weight_norm(layer, dim=dim)
        np.testing.assert_allclose(values(layer.weight), before, rtol=1e-6)
        layer.weight = mg.tensor(-3 * before)
        np.testing.assert_allclose(values(layer.weight), -3 * before, rtol=1e-6)


def test_where_v_is_zero():
    """Its length is taken for 1: nothing is NaN, and both derivatives are those of w = g · v/1."""
    for composed in (False, True):
        v, g, c = random(2, 3), random(2, 1), random(2, 3, seed=2)
        v.array[0] = 0
        with mg.composed() if composed else mg.enable_grad():
            w = F.weight_norm(v, g)
            dv, dg = mg.grad(w, [v, g], c, create_graph=True)
            (second,) = mg.grad((dv * c.detach()).sum(), g)
        assert not values(w)[0].any() and values(dg)[0] == 0
        np.testing.assert_allclose(values(dv)[0], values(g)[0] * values(c)[0])
        np.testing.assert_allclose(values(second)[0], (values(c)[0] ** 2).sum())
    layer = nn.Linear(3, 2)
    with mg.no_grad():
        layer.weight[0].zero_()
    weight_norm(layer)
    assert not values(layer.weight)[0].any()
    layer(mg.ones(1, 3)).sum().backward()
    assert layer.parametrizations.weight.original0.grad[0].item() != 0  # it can learn


def test_weight_norm_of_a_vector_and_of_nothing():
    v, g = random(4), random(4, seed=1)
    np.testing.assert_allclose(values(F.weight_norm(v, g)), values(g) * np.sign(values(v)))
    gradcheck(F.weight_norm, [v, g])
    gradgradcheck(F.weight_norm, [v, g])
    for shape, g_shape in (((0, 3), (0, 1)), ((3, 0), (3, 1))):
        empty = mg.Tensor(np.zeros(shape), requires_grad=True)
        w = F.weight_norm(empty, mg.Tensor(np.ones(g_shape)))
        assert w.shape == shape
        assert mg.grad(w.sum(), empty)[0].shape == shape


def test_long_rows_keep_the_digits_of_float32():
    """Rows of more than a block of 4,096; and a matrix that several threads share."""
    for shape in ((2, 9001), (300, 500)):
        v, g = random(*shape, dtype=np.float32), random(shape[0], 1, dtype=np.float32)
        c = random(*shape, dtype=np.float32, seed=5).detach()
        wide = [mg.Tensor(values(t).astype(np.float64), requires_grad=True) for t in (v, g)]
        found = (F.weight_norm(v, g), *mg.grad(F.weight_norm(v, g), [v, g], c))
        exact = (F.weight_norm(*wide), *mg.grad(F.weight_norm(*wide), wide, c.double()))
        for a, e in zip(found, exact, strict=True):
            np.testing.assert_allclose(values(a), values(e), rtol=1e-6, atol=2e-6 * np.abs(values(e)).max())


def test_weight_norm_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match=r"weight_norm: g has shape \(3,\), and must have \(3, 1\)"):
        F.weight_norm(random(3, 4), random(3))
    with pytest.raises(TypeError, match="the weight is float64 and g is float32"):
        F.weight_norm(random(3, 4), random(3, 1, dtype=np.float32))
    with pytest.raises(TypeError, match="must be floating-point, not int64"):
        F.weight_norm(mg.tensor([[1, 2]]), random(1, 1))
    with pytest.raises(TypeError, match="g must be a tensor or an array, not a float"):
        F.weight_norm(random(3, 4), 1.0)
    with pytest.raises(IndexError, match="axis 2 is out of range for 2 axes"):
        F.weight_norm(random(3, 4), random(3, 1), 2)
    with pytest.raises(ValueError, match="got a 0-d tensor"):
        F.weight_norm(random(), random())
    with pytest.raises(ValueError, match=r"Linear has no parameter 'wieght' \(it has: weight, bias\)"):
        weight_norm(nn.Linear(2, 2), "wieght")
    with pytest.raises(TypeError, match="expected a module, not a Tensor"):
        weight_norm(random(2, 2))  # pyright: ignore[reportArgumentType]
    layer = weight_norm(nn.Linear(2, 2))
    with pytest.raises(ValueError, match="makes a tensor of several originals, so it must be the first on 'weight'"):
        weight_norm(layer)


# -- weight standardization ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "axes"),
    [
        (lambda: nn.Linear(5, 3), (1,)),
        (lambda: nn.Conv2d(2, 3, 2), (1, 2, 3)),
        (lambda: nn.ConvTranspose2d(2, 3, 2), (0, 2, 3)),
    ],
)
def test_filters_are_standardized(make: Any, axes: Any):
    w = values(weight_standardization(make().double()).weight)
    np.testing.assert_allclose(w.mean(axes), 0, atol=1e-14)
    np.testing.assert_allclose(w.var(axes), 1, rtol=1e-6)

    layer = scaled_weight_standardization(make().double(), gamma=1.7)
    w = values(layer.weight)
    np.testing.assert_allclose(w.sum(axes), 0, atol=1e-13)
    np.testing.assert_allclose((w**2).sum(axes), 1.7**2, rtol=1e-6)  # the variance of outputs, for standard inputs
    assert layer.parametrizations.weight[0].gain.shape == tuple(1 if a in axes else m for a, m in enumerate(w.shape))
    assert len(list(scaled_weight_standardization(make(), learned_gain=False).parameters())) == 2


def test_it_is_instance_norm_of_the_weight():
    w = random(3, 2, 4)
    as_image = F.instance_norm(w.reshape(1, 3, 8), eps=1e-10).reshape(3, 2, 4)
    np.testing.assert_allclose(values(F.weight_standardization(w)), values(as_image))


def test_the_gradient_sees_neither_a_shift_nor_a_scale():
    w, c = random(3, 5), random(3, 5, seed=1).detach()
    (g,) = mg.grad(F.weight_standardization(w), w, c)
    np.testing.assert_allclose(values(g).sum(1), 0, atol=1e-13)
    np.testing.assert_allclose((values(g) * values(w)).sum(1), 0, atol=1e-8)
    np.testing.assert_allclose(
        values(F.weight_standardization(3 * w + 7)), values(F.weight_standardization(w)), rtol=1e-8
    )


def test_equal_weights_become_zero():
    w = mg.Tensor(np.full((2, 3), 0.3), requires_grad=True)
    y = F.weight_standardization(w)
    (g,) = mg.grad(y, w, random(2, 3).detach())
    assert not values(y).any() and np.isfinite(values(g)).all()


def test_weight_standardization_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match="a filter of one weight has no variance"):
        F.weight_standardization(random(3, 1))
    with pytest.raises(ValueError, match="a filter of one weight has no variance"):
        F.scaled_weight_standardization(random(3, 1, 1, 1))
    with pytest.raises(ValueError, match=r"gain has shape \(3,\), and must have \(3, 1\)"):
        F.scaled_weight_standardization(random(3, 2), random(3))
    with pytest.raises(ValueError, match=r"bias of Linear has shape \(2,\), and must have at least 2 axes"):
        weight_standardization(nn.Linear(2, 2), "bias")


def test_the_gain_does_not_decay():
    layer = scaled_weight_standardization(nn.Linear(4, 2))
    _, kept = mg.optim.weight_decay_groups(layer, 0.1)
    assert [name for name, _ in kept["params"]] == ["bias", "parametrizations.weight.0.gain"]


# -- spectral norm -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "dim"),
    [
        (lambda: nn.Linear(5, 3), 0),
        (lambda: nn.Conv2d(3, 4, 2), 0),
        (lambda: nn.ConvTranspose2d(3, 4, 2), 1),
        (lambda: nn.Linear(200, 150), 0),
    ],
)
def test_after_enough_iterations_it_is_the_largest_singular_value(make: Any, dim: int):
    layer = make().double()
    w = values(layer.weight).copy()
    matrix = np.moveaxis(w, dim, 0).reshape(w.shape[dim], -1)
    sigma = np.linalg.norm(matrix, 2)
    spectral_norm(layer)
    for _ in range(3000 if len(w) > 100 else 300):
        layer.weight  # noqa: B018
    np.testing.assert_allclose(values(layer.weight), w / sigma, rtol=1e-9)
    norm = layer.parametrizations.weight[0]
    u, _, vt = np.linalg.svd(matrix)
    np.testing.assert_allclose(abs(u[:, 0] @ values(norm._u)), 1, rtol=1e-8)
    np.testing.assert_allclose(abs(vt[0] @ values(norm._v)), 1, rtol=1e-8)


def test_evaluation_stands_still_and_training_moves_on():
    layer = spectral_norm(nn.Linear(6, 5)).eval()
    norm = layer.parametrizations.weight[0]
    layer.weight = mg.randn(5, 6)
    before = values(norm._u).copy(), values(norm._v).copy()
    first = values(layer.weight).copy()
    np.testing.assert_array_equal(values(layer.weight), first)
    np.testing.assert_array_equal(values(norm._u), before[0])
    layer.train()
    layer(mg.ones(1, 6))
    assert np.abs(values(norm._u) - before[0]).max() > 1e-4 and np.abs(values(norm._v) - before[1]).max() > 1e-4


def test_a_backward_pass_uses_the_vectors_of_its_forward_pass():
    w, u, v = random(3, 4), random(3, seed=1).detach(), random(4, seed=2).detach()
    c = random(3, 4, seed=3).detach()
    y = F.spectral_norm(w, u, v, training=True)
    u_then, v_then = u.clone(), v.clone()
    F.spectral_norm(w, u, v, 50, training=True)
    (g,) = mg.grad(y, w, c)
    (expected,) = mg.grad(F.spectral_norm(w, u_then, v_then), w, c)
    np.testing.assert_allclose(values(g), values(expected), rtol=1e-10)
    assert not u.requires_grad and u.grad is None


def test_the_layer_is_one_lipschitz():
    layer = spectral_norm(nn.Linear(8, 8, dtype=np.float64), n_power_iterations=200)
    x, y = random(50, 8).detach(), random(50, 8, seed=1).detach()
    moved = np.linalg.norm(values(layer(x) - layer(y)), axis=1)
    assert (moved <= np.linalg.norm(values(x - y), axis=1) * (1 + 1e-9)).all()


def test_zeros_and_nan_do_not_stay_in_the_buffers():
    for composed in (False, True):
        u, v = random(3).detach(), random(4).detach()
        before = values(u).copy(), values(v).copy()
        with mg.composed() if composed else mg.enable_grad():
            zero = mg.Tensor(np.zeros((3, 4)), requires_grad=True)
            y = F.spectral_norm(zero, u, v, training=True)
            (g,) = mg.grad(y, zero, mg.Tensor(np.ones((3, 4))), create_graph=True)
            assert not values(y).any()
            np.testing.assert_array_equal(values(g), 1)
            bad = np.ones((3, 4))
            bad[0, 0] = np.nan
            assert np.isnan(values(F.spectral_norm(mg.Tensor(bad), u, v, training=True))).all()
        np.testing.assert_array_equal(values(u), before[0])
        np.testing.assert_array_equal(values(v), before[1])
    layer = nn.Linear(3, 2)
    mg.nn.init.zeros_(layer.weight)
    spectral_norm(layer)
    layer.weight = mg.ones(2, 3)
    np.testing.assert_allclose(values(layer.weight), 1 / np.sqrt(6), rtol=1e-5)


def test_spectral_norm_of_a_vector_is_its_length():
    layer = spectral_norm(nn.LayerNorm(4, dtype=np.float64))
    assert not list(layer.buffers())
    np.testing.assert_allclose(values(layer.weight), 0.5)
    w = random(4)
    gradcheck(layer.parametrizations.weight[0], [w])
    gradgradcheck(layer.parametrizations.weight[0], [w])
    large = np.float32([0, 3e30, 4e30])  # float32 has no squares of these
    np.testing.assert_allclose(values(layer.parametrizations.weight[0](mg.tensor(large))), [0, 0.6, 0.8], rtol=1e-6)


def test_spectral_norm_of_large_and_small_weights_in_float32():
    u, v = np.float32([0.6, 0.8]), np.float32([1, 0, 0])
    w = random(2, 3, dtype=np.float32).detach()
    expected = values(F.spectral_norm(w, u.copy(), v.copy(), 20, training=True))
    for scale in (1e25, 1e-10):
        found = F.spectral_norm(w * scale, u.copy(), v.copy(), 20, training=True)
        np.testing.assert_allclose(values(found), expected, rtol=1e-5)


def test_spectral_norm_refuses_what_does_not_fit():
    w, u, v = random(3, 4).detach(), random(3).detach(), random(4).detach()
    with pytest.raises(ValueError, match=r"spectral_norm: u has shape \(4,\), and must have \(3,\)"):
        F.spectral_norm(w, v, u)
    with pytest.raises(ValueError, match=r"v has shape \(3,\), and must have \(4,\)"):
        F.spectral_norm(w, u, u)
    with pytest.raises(ValueError, match="n_power_iterations must not be negative"):
        F.spectral_norm(w, u, v, -1)
    with pytest.raises(ValueError, match="n_power_iterations must be at least 1, got 0"):
        spectral_norm(nn.Linear(2, 2), n_power_iterations=0)
    frozen = np.array(values(u))
    frozen.flags.writeable = False
    with pytest.raises(ValueError, match="u must be updated in place"):
        F.spectral_norm(w, frozen, v, training=True)
    assert F.spectral_norm(mg.Tensor(np.zeros((0, 4))), mg.Tensor(np.zeros(0)), v, training=True).shape == (0, 4)


# -- after removal -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", [weight_norm, spectral_norm, weight_standardization, scaled_weight_standardization])
def test_training_goes_on_after_removal(norm: Any):
    net = nn.Sequential(norm(nn.Linear(4, 8)), nn.Tanh(), norm(nn.Linear(8, 3)))
    x, target = mg.randn(16, 4), mg.tensor(np.arange(16) % 3)

    def train(steps: int) -> list[float]:
        optimizer, losses = mg.optim.Adam(net.parameters(), lr=0.02), []
        for _ in range(steps):
            optimizer.zero_grad()
            loss = F.cross_entropy(net(x), target)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return losses

    first = train(15)
    net.eval()
    before = values(net(x)).copy()
    for layer in (net[0], net[2]):
        remove_parametrizations(layer, "weight")
    np.testing.assert_allclose(values(net(x)), before, rtol=1e-6, atol=1e-6)
    net.train()
    second = train(15)
    assert first[-1] < first[0] and second[-1] < second[0] < first[0]
    assert [name for name, _ in net.named_parameters()] == ["0.bias", "0.weight", "2.bias", "2.weight"]


# -- the data-dependent start --------------------------------------------------------------------------------


def pre_activations(net: nn.Sequential, x: Any) -> Any:
    """Mean and variance over the batch, and over space, of what each parametrized layer puts out."""
    for layer in net:
        x = layer(*x) if isinstance(x, tuple) else layer(x)
        if hasattr(layer, "parametrizations"):
            axes = (0, *range(2, x.ndim))
            yield type(layer).__name__, values(x).mean(axes), values(x).var(axes)


def test_pre_activations_start_standardized():
    net = nn.Sequential(
        weight_norm(nn.Conv2d(2, 4, 3)),
        nn.ReLU(),
        weight_norm(nn.ConvTranspose2d(4, 3, 2, stride=2), dim=1),
        nn.Tanh(),
        nn.Flatten(),
        weight_norm(nn.Linear(3 * 8 * 8, 5)),
        nn.ReLU(),
        nn.Linear(5, 4),
        weight_norm(nn.Linear(4, 2)),
    ).double()
    x = mg.tensor(3 * np.random.default_rng(0).standard_normal((40, 2, 6, 6)) + 2)
    plain = copy.deepcopy(net[7].state_dict())
    assert data_dependent_init(net, x) is net
    found = list(pre_activations(net, x))
    assert len(found) == 4
    for name, mean, variance in found:
        np.testing.assert_allclose(mean, 0, atol=1e-12, err_msg=name)
        np.testing.assert_allclose(variance, 1, rtol=1e-12, err_msg=name)
    for key, value in net[7].state_dict().items():
        np.testing.assert_array_equal(values(value), values(plain[key]))
    assert not net[0]._hooks.post and all(p.grad is None and p.is_leaf for p in net.parameters())


def test_several_inputs_no_bias_and_a_layer_that_is_used_twice():
    form = weight_norm(nn.Bilinear(3, 4, 2, dtype=np.float64))
    a, b = random(30, 3).detach(), random(30, 4).detach()
    data_dependent_init(form, (a, b))
    y = values(form(a, b))
    np.testing.assert_allclose([y.mean(0), y.std(0)], [[0, 0], [1, 1]], atol=1e-12)

    layer = weight_norm(nn.Linear(3, 3, bias=False, dtype=np.float64))
    twice = nn.Sequential(layer, nn.ReLU(), layer)
    data_dependent_init(twice, a)
    np.testing.assert_allclose(values(layer(a)).std(0), 1, rtol=1e-12)


def test_the_start_refuses_what_it_cannot_do_and_changes_nothing():
    x = mg.randn(6, 4)
    with pytest.raises(ValueError, match="has weight norm; put it on first"):
        data_dependent_init(nn.Linear(4, 2), x)
    with pytest.raises(
        ValueError, match=r"weight norm with dim=0, which is not its axis.*weight_norm\(layer, dim=1\)"
    ):
        data_dependent_init(weight_norm(nn.ConvTranspose1d(2, 3, 2)), mg.randn(4, 2, 5))
    with pytest.raises(ValueError, match="dim=None"):
        data_dependent_init(weight_norm(nn.Linear(4, 2), dim=None), x)
    with pytest.raises(ValueError, match="groups=2"):
        data_dependent_init(weight_norm(nn.ConvTranspose1d(2, 2, 2, groups=2), dim=1), mg.randn(4, 2, 5))

    class Twice(nn.Module):
        def forward(self, w: mg.Tensor) -> mg.Tensor:
            return 2 * w

    both = register_parametrization(weight_norm(nn.Linear(4, 2)), "weight", Twice())
    with pytest.raises(ValueError, match="other parametrizations beside weight norm"):
        data_dependent_init(both, x)

    with pytest.raises(
        ValueError, match=r"unit 0 of layer 'itself' \(ParametrizedLinear\) has outputs that are not fin"
    ):
        data_dependent_init(weight_norm(nn.Linear(4, 2)), x * np.nan)

    net = nn.Sequential(weight_norm(nn.Linear(4, 3)), weight_norm(nn.Linear(3, 2)))
    before = copy.deepcopy(net.state_dict())
    with pytest.raises(ValueError, match=r"unit 0 of layer '0' \(ParametrizedLinear\) has no variance over the batch"):
        data_dependent_init(net, x[:1])
    with pytest.raises(ValueError, match="no variance over the batch"):
        data_dependent_init(net, mg.cat([x[:1]] * 7))
    with mg.no_grad():
        net[0].parametrizations.weight.original1.zero_()
    with pytest.raises(ValueError, match="no variance"):
        data_dependent_init(net, x)
    net.load_state_dict(
        {**net.state_dict(), "0.parametrizations.weight.original1": before["0.parametrizations.weight.original1"]}
    )
    for key, value in before.items():
        np.testing.assert_array_equal(values(net.state_dict()[key]), values(value), err_msg=key)

    class Idle(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = weight_norm(nn.Linear(4, 3))

        def forward(self, x: mg.Tensor) -> mg.Tensor:
            return x

    idle = Idle()
    before = copy.deepcopy(idle.state_dict())
    with pytest.raises(ValueError, match=r"the model used none of its layers with weight norm \(layer\)"):
        data_dependent_init(idle, x)
    for key, value in before.items():
        np.testing.assert_array_equal(values(idle.state_dict()[key]), values(value), err_msg=key)
