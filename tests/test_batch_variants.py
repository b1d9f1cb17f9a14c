"""Relatives of batch norm as layers: what their averages are after one, two and many steps, and how they train."""

from contextlib import nullcontext
from typing import Any

import numba
import numpy as np
import pytest

import minigrad as mg
from minigrad.kernels import jit
from minigrad.kernels.threads import num_threads
from minigrad.nn import functional as F
from minigrad.ops.norm.power import GradientAverage
from tests.sabotage import attribute

nn = mg.nn
both_forms = pytest.mark.parametrize("form", [nullcontext, mg.composed], ids=["fused", "composed"])


def random(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


def step_input(step: int, *shape: int) -> Any:
    """Batches whose mean and scale move."""
    return random(*shape, seed=step) * (1 + step / 3) + step / 2


def close(a: Any, b: Any, tolerance: float = 1e-12) -> None:
    a, b = (t.detach().numpy() if isinstance(t, mg.Tensor) else t for t in (a, b))
    np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def train(layer: Any, x: Any, seed: int = 9) -> Any:
    """A step: forward, and backward along a random cotangent. Returns output, x's gradient, and the cotangent."""
    x, v = mg.tensor(x, requires_grad=True), random(*x.shape, seed=seed)
    y = layer(x)
    y.backward(mg.tensor(v))
    return y.detach().numpy(), x.grad.numpy(), v


# -- batch renorm: algorithm 1, step by step -----------------------------------------------------------------


@both_forms
@pytest.mark.parametrize("momentum", [0.3, None])
@pytest.mark.parametrize("shape", [(6, 3), (4, 3, 2)])
def test_batch_renorm_over_many_steps(form, momentum, shape):
    layer = nn.BatchRenorm1d(3, momentum=momentum, r_max=1.5, d_max=0.8, start=2, r_end=5, d_end=4, dtype=np.float64)
    axes, per_channel = (0, *range(2, len(shape))), (1, 3) + (1,) * (len(shape) - 2)
    mu, sigma = np.zeros(3), np.ones(3)
    clipped = set()
    for step in range(8):
        x = step_input(step, *shape)
        r_max, d_max = 1 + 0.5 * np.clip((step - 2) / 3, 0, 1), 0.8 * np.clip((step - 2) / 2, 0, 1)
        assert layer.limits() == pytest.approx((r_max, d_max))
        mu_b, sigma_b = x.mean(axes), np.sqrt(x.var(axes) + 1e-5)
        r, d = np.clip(sigma_b / sigma, 1 / r_max, r_max), np.clip((mu_b - mu) / sigma, -d_max, d_max)
        clipped |= {bool(c) for c in r == r_max} | {bool(c) for c in np.abs(d) == d_max}
        with form():
            y, dx, v = train(layer, x)
        shaped = [values.reshape(per_channel) for values in (mu_b, sigma_b, r, d)]
        x_hat = (x - shaped[0]) / shaped[1]
        close(y, x_hat * shaped[2] + shaped[3])
        # Batch norm's gradient, times r: none flows through r and d.
        expected = v - v.mean(axes, keepdims=True) - x_hat * (v * x_hat).mean(axes, keepdims=True)
        close(dx, expected / shaped[1] * shaped[2], 1e-10)
        alpha = 1 / (step + 1) if momentum is None else momentum
        mu, sigma = mu + alpha * (mu_b - mu), sigma + alpha * (sigma_b - sigma)
        close(layer.running_mean, mu)
        close(layer.running_std, sigma)
        layer.eval()
        with form():
            close(layer(mg.tensor(x)), (x - mu.reshape(per_channel)) / sigma.reshape(per_channel))
        layer.train()
        assert layer.num_batches_tracked.item() == step + 1
    assert clipped == {True, False}, "the limits should bind sometimes, and sometimes not"


def test_batch_renorm_without_clipping_trains_on_what_it_evaluates():
    layer = nn.BatchRenorm2d(3, r_max=1e6, d_max=1e6, start=0, r_end=0, d_end=0, dtype=np.float64)
    x = mg.tensor(step_input(3, 4, 3, 2, 2))
    layer(x)
    evaluated = layer.eval()(x)
    close(layer.train()(x), evaluated, 1e-10)


def test_the_papers_schedule():
    norm = nn.BatchRenorm1d(2)
    assert norm.limits(0) == norm.limits(5_000) == (1, 0)
    assert norm.limits(25_000)[1] == 5 == norm.limits(10**6)[1]
    assert norm.limits(22_500) == (2, 4.375)
    assert norm.limits(40_000) == (3, 5)
    norm.num_batches_tracked.fill_(40_000)
    copy = nn.BatchRenorm1d(2)
    copy.load_state_dict(norm.state_dict())
    assert copy.limits() == (3, 5)


# -- ghost batch norm ------------------------------------------------------------------------------------------


@both_forms
@pytest.mark.parametrize("momentum", [0.3, None])
def test_ghost_batch_norm_over_many_steps(form, momentum):
    layer = nn.GhostBatchNorm1d(3, ghost_size=3, momentum=momentum, dtype=np.float64)
    mean, variance, seen = np.zeros(3), np.ones(3), 0
    for step in range(4):
        x = step_input(step, 8, 3)  # ghosts of 3, 3 and 2
        expected = []
        for ghost in (x[:3], x[3:6], x[6:]):
            seen += 1
            eta = 1 / seen if momentum is None else momentum
            mean = (1 - eta) * mean + eta * ghost.mean(0)
            variance = (1 - eta) * variance + eta * ghost.var(0, ddof=1)
            expected.append((ghost - ghost.mean(0)) / np.sqrt(ghost.var(0) + 1e-5))
        with form():
            y, _, _ = train(layer, x)
        close(y, np.concatenate(expected))
        close(layer.running_mean, mean)
        close(layer.running_var, variance)
        assert layer.num_batches_tracked.item() == seen
        layer.eval()
        close(layer(mg.tensor(x)), (x - mean) / np.sqrt(variance + 1e-5))
        layer.train()


def test_ghosts_move_the_averages_by_the_weighted_formula():
    x, eta = random(8, 3), 0.2
    mean, variance = mg.ones(3).double(), mg.ones(3).double()
    F.ghost_batch_norm(mg.tensor(x), 2, mean, variance, training=True, momentum=eta)
    weights = eta * (1 - eta) ** np.arange(3, -1, -1)
    assert weights.sum() + (1 - eta) ** 4 == pytest.approx(1)
    close(mean, (1 - eta) ** 4 + weights @ x.reshape(4, 2, 3).mean(1))
    close(variance, (1 - eta) ** 4 + weights @ x.reshape(4, 2, 3).var(1, ddof=1))


def test_ghosts_without_averages_evaluate_as_ghosts():
    layer = nn.GhostBatchNorm2d(2, 2, track_running_stats=False)
    x = mg.tensor(random(4, 2, 3, 3).astype(np.float32))
    close(layer(x), layer.eval()(x))


# -- mean-only batch norm --------------------------------------------------------------------------------------


@both_forms
@pytest.mark.parametrize("momentum", [0.3, None])
def test_mean_only_batch_norm_over_many_steps(form, momentum):
    layer = nn.MeanOnlyBatchNorm2d(3, momentum=momentum, dtype=np.float64)
    layer.bias.detach().copy_(np.array([1.0, -2.0, 0.5]))
    beta, mean = np.array([1.0, -2.0, 0.5]).reshape(1, 3, 1, 1), np.zeros(3)
    for step in range(4):
        x = step_input(step, 4, 3, 2, 2)
        with form():
            y, dx, v = train(layer, x)
        close(y, x - x.mean((0, 2, 3), keepdims=True) + beta)
        close(dx, v - v.mean((0, 2, 3), keepdims=True))
        mean += (1 / (step + 1) if momentum is None else momentum) * (x.mean((0, 2, 3)) - mean)
        close(layer.running_mean, mean)
        close(layer.eval()(mg.tensor(x)), x - mean.reshape(1, 3, 1, 1) + beta)
        layer.train()


def test_one_value_has_a_mean():
    layer = nn.MeanOnlyBatchNorm1d(2, bias=False)
    assert layer(mg.tensor([[5.0, 7.0]])).tolist() == [[0.0, 0.0]]
    assert layer.running_mean.tolist() == [0.5, pytest.approx(0.7)]


# -- power norm: algorithm 2, step by step ---------------------------------------------------------------------


@both_forms
@pytest.mark.parametrize("warmup", [0, 2])
def test_power_norm_over_many_steps(form, warmup):
    layer = nn.PowerNorm(3, momentum=0.3, warmup=warmup, dtype=np.float64)
    gamma, beta = np.array([1.0, -2.0, 0.5]), np.array([0.1, 0.2, 0.3])
    layer.weight.detach().copy_(gamma)
    layer.bias.detach().copy_(beta)
    gamma, beta = gamma.reshape(1, 3, 1), beta.reshape(1, 3, 1)
    square, nu = np.ones(3), np.zeros(3)
    for step in range(6):
        x = step_input(step, 4, 3, 2)
        warming = step < warmup
        of_batch = (x**2).mean((0, 2))
        psi = np.sqrt((of_batch if warming else square) + 1e-5).reshape(1, 3, 1)
        x_hat = x / psi
        with form():
            y, dx, v = train(layer, x, seed=step)
        close(y, gamma * x_hat + beta)
        d_x_hat = gamma * v
        capital_lambda, capital_gamma = (d_x_hat * x_hat).mean((0, 2)), (x_hat**2).mean((0, 2))
        close(dx, (d_x_hat - (capital_lambda if warming else nu).reshape(1, 3, 1) * x_hat) / psi)
        one_minus_alpha = 1 / (step + 1) if warming else 0.3
        nu = nu * (1 - one_minus_alpha * capital_gamma) + one_minus_alpha * capital_lambda
        square = square + one_minus_alpha * (of_batch - square)
        close(layer.nu, nu)
        close(layer.running_square, square)
        layer.eval()
        y, dx, v = train(layer, x)
        close(y, gamma * x / np.sqrt(square + 1e-5).reshape(1, 3, 1) + beta)
        close(dx, gamma * v / np.sqrt(square + 1e-5).reshape(1, 3, 1))  # the derivative, and nothing moves
        close(layer.nu, nu)
        layer.train()
    assert np.abs(nu).min() > 1e-3


@both_forms
def test_the_published_backward_is_not_the_derivative(form):
    square, nu = mg.ones(2).double(), mg.ones(2).double()
    x = mg.tensor(random(5, 2), requires_grad=True)
    with form(), pytest.raises(AssertionError, match="finite differences"):
        mg.autograd.gradcheck(lambda x: F.power_norm(x, square.clone(), nu.clone(), training=True), x)


@both_forms
def test_a_second_pass_through_the_same_graph_is_not_a_second_step(form):
    layer = nn.PowerNorm(2, warmup=0, dtype=np.float64)
    x = mg.tensor(random(5, 2), requires_grad=True)
    with form():
        y = layer(x)
        v = mg.tensor(random(5, 2, seed=1))
        (first,) = mg.grad(y, x, v, retain_graph=True)
        nu = layer.nu.numpy().copy()
        assert np.abs(nu).min() > 0
        (again,) = mg.grad(y, x, v, create_graph=True)
        mg.grad(again, x, v, allow_unused=True)
    close(first, again)
    close(layer.nu, nu)


def test_power_norm_of_text():
    layer, other = nn.PowerNorm(4, axis=-1), nn.PowerNorm(4)
    x = mg.tensor(random(2, 3, 4).astype(np.float32))
    for _ in range(2):
        close(layer(x), other(x.transpose(1, 2)).transpose(1, 2), 1e-6)
        close(layer.running_square, other.running_square, 1e-6)
    assert layer(mg.zeros(0, 3, 4)).shape == (0, 3, 4)


# -- switchable norm -------------------------------------------------------------------------------------------


@both_forms
@pytest.mark.parametrize("momentum", [0.3, None])
def test_switchable_norm_over_many_steps(form, momentum):
    layer = nn.SwitchableNorm(3, momentum=momentum, dtype=np.float64)
    layer.mean_weight.detach().copy_(np.array([0.0, 1.0, 2.0]))
    layer.var_weight.detach().copy_(np.array([2.0, 0.0, 1.0]))
    w, v = (np.exp(a) / np.exp(a).sum() for a in (np.array([0.0, 1.0, 2.0]), np.array([2.0, 0.0, 1.0])))
    mean, variance = np.zeros(3), np.ones(3)

    def expected(x, mean_bn, variance_bn):
        means = [x.mean(2, keepdims=True), x.mean((1, 2), keepdims=True), mean_bn.reshape(1, 3, 1)]
        variances = [x.var(2, keepdims=True), x.var((1, 2), keepdims=True), variance_bn.reshape(1, 3, 1)]
        mixed = sum(a * m for a, m in zip(w, means, strict=True))
        return (x - mixed) / np.sqrt(sum(a * s for a, s in zip(v, variances, strict=True)) + 1e-5)

    for step in range(4):
        x = step_input(step, 4, 3, 5)
        with form():
            y, _, _ = train(layer, x)
        close(y, expected(x, x.mean((0, 2)), x.var((0, 2))))
        m = 1 / (step + 1) if momentum is None else momentum
        mean, variance = mean + m * (x.mean((0, 2)) - mean), variance + m * (x.var((0, 2), ddof=1) - variance)
        close(layer.running_mean, mean)
        close(layer.running_var, variance)
        layer.eval()
        with form():
            close(layer(mg.tensor(x)), expected(x, mean, variance))
        layer.train()


def test_switchable_norm_without_the_batch_is_the_same_in_evaluation():
    layer = nn.SwitchableNorm(3, using_bn=False)
    assert list(layer.state_dict()) == ["weight", "bias", "mean_weight", "var_weight"]
    x = mg.randn(1, 3, 4)
    close(layer(x), layer.eval()(x))
    assert layer.mix()["variance"] == {"instance": 0.5, "layer": 0.5}


def test_last_gamma_starts_a_branch_at_zero():
    layer = nn.SwitchableNorm(3, last_gamma=True)
    assert layer(mg.randn(2, 3, 4)).abs().max().item() == 0
    layer.weight.detach().fill_(1)
    layer.reset_parameters()
    assert layer.weight.tolist() == [0, 0, 0]


def test_the_mix_learns():
    """Samples of different brightness, of which only the color counts: batch statistics are in the way."""
    layer = nn.SwitchableNorm(2, dtype=np.float64)
    rng = np.random.default_rng(0)
    optimizer = mg.optim.Adam(layer.parameters(), lr=0.05)
    for _ in range(150):
        color = rng.standard_normal((8, 2, 6))
        x = mg.tensor(color * rng.uniform(0.2, 5, (8, 1, 1)) + rng.uniform(-5, 5, (8, 1, 1)))
        optimizer.zero_grad()
        ((layer(x) - mg.tensor(color)) ** 2).mean().backward()
        optimizer.step()
    for weights in layer.mix().values():
        assert weights["batch"] < 0.1 < weights["layer"]


# -- all of them -------------------------------------------------------------------------------------------------

LAYERS = {
    "BatchRenorm1d": lambda n: nn.BatchRenorm1d(n, start=0, r_end=0, d_end=0),
    "GhostBatchNorm1d": lambda n: nn.GhostBatchNorm1d(n, 2),
    "MeanOnlyBatchNorm1d": nn.MeanOnlyBatchNorm1d,
    "PowerNorm": nn.PowerNorm,
    "SwitchableNorm": nn.SwitchableNorm,
}
each_layer = pytest.mark.parametrize("name", LAYERS)


def state(layer: Any) -> dict[str, Any]:
    return {name: values.numpy().copy() for name, values in layer.state_dict().items()}


@each_layer
@both_forms
@pytest.mark.parametrize("shape", [(0, 3, 4), (4, 3, 0)])
def test_an_empty_batch_leaves_everything_alone(name, form, shape):
    layer = LAYERS[name](3)
    layer(mg.randn(4, 3, 4))
    before = state(layer)
    with form(), np.errstate(all="ignore"):
        y = layer(mg.zeros(shape))
    assert y.shape == shape
    for key, values in state(layer).items():
        np.testing.assert_array_equal(values, before[key], err_msg=key)


@each_layer
def test_derivatives_do_not_touch_the_averages(name):
    layer = LAYERS[name](3).double()
    x, v = mg.tensor(random(4, 3, 2), requires_grad=True), mg.tensor(random(4, 3, 2, seed=1))
    y = layer(x)
    before = state(layer)
    (g,) = mg.grad(y, x, v, create_graph=True)
    mg.grad(g, x, v, retain_graph=True, allow_unused=True) if g.requires_grad else None
    for key, values in state(layer).items():
        if key != "nu":  # which the backward pass moves
            np.testing.assert_array_equal(values, before[key], err_msg=key)


@each_layer
def test_the_averages_may_move_between_forward_and_backward(name):
    layer = LAYERS[name](3).double().eval()
    x, v = mg.tensor(random(4, 3, 2), requires_grad=True), mg.tensor(random(4, 3, 2, seed=1))
    (expected,) = mg.grad(layer(x), x, v)
    y = layer(x)
    layer.train()(mg.tensor(5 * random(4, 3, 2) + 1))
    close(mg.grad(y, x, v)[0], expected)


@each_layer
def test_state_goes_into_another_layer(name):
    layer, other = LAYERS[name](3), LAYERS[name](3)
    for step in range(3):
        layer(mg.tensor(step_input(step, 4, 3, 2).astype(np.float32))).sum().backward()
    other.load_state_dict(layer.state_dict())
    x = mg.randn(4, 3, 2)
    np.testing.assert_array_equal(layer.eval()(x).detach().numpy(), other.eval()(x).detach().numpy())
    layer.reset_parameters()
    for key, values in LAYERS[name](3).state_dict().items():
        np.testing.assert_array_equal(layer.state_dict()[key].numpy(), values.numpy(), err_msg=key)


AVERAGED = {
    "batch_norm": (lambda: mg.nn.BatchNorm1d(2, momentum=1.0), ("running_mean", "running_var")),
    "instance_norm": (
        lambda: mg.nn.InstanceNorm1d(2, momentum=1.0, track_running_stats=True),
        ("running_mean", "running_var"),
    ),
    "batch_renorm": (lambda: mg.nn.BatchRenorm1d(2, momentum=1.0), ("running_mean", "running_std")),
    "ghost": (lambda: mg.nn.GhostBatchNorm1d(2, ghost_size=8, momentum=1.0), ("running_mean", "running_var")),
    "mean_only": (lambda: mg.nn.MeanOnlyBatchNorm1d(2, momentum=1.0), ("running_mean",)),
    "power": (lambda: mg.nn.PowerNorm(2, momentum=1.0, warmup=0), ("running_square",)),
    "switchable": (lambda: mg.nn.SwitchableNorm(2, momentum=1.0), ("running_mean", "running_var")),
    "evo_b0": (lambda: mg.nn.EvoNormB0(2, momentum=1.0), ("running_var",)),
}


@pytest.mark.parametrize("name", AVERAGED)
def test_the_newest_batch_alone_counts_with_momentum_1(name):
    """running + 1 · (new − running) is not new where running is 1e20; PyTorch's (1 − 1) · running + 1 · new is."""
    make, names = AVERAGED[name]
    x = mg.tensor(random(4, 2, 6).astype(np.float32))
    fresh, moved = make(), make()
    fresh(x)
    for average in names:
        getattr(moved, average).fill_(1e20)
    moved(x)
    for average in names:
        np.testing.assert_array_equal(getattr(moved, average).array, getattr(fresh, average).array)


@pytest.mark.parametrize("name", AVERAGED)
@pytest.mark.filterwarnings("error")
def test_an_infinite_average_stays_infinite(name):
    """As in PyTorch, where ∞ + 0.1 · (1 − ∞) would be NaN."""
    make, names = AVERAGED[name]
    layer = make()
    layer.momentum = 0.1
    for average in names:
        getattr(layer, average).fill_(np.inf)
    layer(mg.tensor(random(4, 2, 6).astype(np.float32)))
    for average in names:
        np.testing.assert_array_equal(getattr(layer, average).array, np.inf)


@pytest.mark.parametrize("name", ["batch_norm", "power", "switchable", "evo_b0"])
@pytest.mark.filterwarnings("error")
def test_a_square_beyond_float32_makes_an_infinite_average(name):
    make, names = AVERAGED[name]
    layer = make()
    layer(mg.tensor((1e20 * random(4, 2, 6)).astype(np.float32)))
    np.testing.assert_array_equal(getattr(layer, names[-1]).array, np.inf)


@pytest.mark.parametrize("scale", [1e-15, 1e-20, 1e-24])
def test_averages_of_squares_that_float32_cannot_hold(scale):
    """What the kernel leaves of such a variance are few digits, or none. 1/√(σ² + ε) tells it where ε is no larger."""
    x = (scale * random(4, 3, 5)).astype(np.float32)
    wide = x.astype(np.float64)
    square, nu = mg.zeros(3), mg.zeros(3)
    F.power_norm(mg.tensor(x), square, nu, training=True, momentum=1.0)
    np.testing.assert_allclose(square.array, (wide**2).mean((0, 2)), rtol=1e-4, atol=3e-45)
    mean, variance = mg.zeros(3), mg.zeros(3)
    F.switchable_norm(mg.tensor(x), mg.ones(3), mg.ones(3), mean, variance, training=True, momentum=1.0)
    np.testing.assert_allclose(variance.array, wide.var((0, 2), ddof=1), rtol=1e-4, atol=3e-45)
    # Without ε, outputs do not depend on the scale.
    y = F.power_norm(mg.tensor(x), square, nu, training=True, warmup=True, eps=0.0)
    np.testing.assert_allclose(y.array, wide / np.sqrt((wide**2).mean((0, 2), keepdims=True)), rtol=1e-6)
    y, expected = (
        F.switchable_norm(t, mg.ones(3, dtype=t.dtype), mg.ones(3, dtype=t.dtype), training=True, eps=0.0)
        for t in (mg.tensor(x), mg.tensor(wide / scale))
    )
    np.testing.assert_allclose(y.array, expected.array, rtol=1e-5, atol=1e-6)


def test_a_switchable_norm_of_equal_elements_is_zero_in_float64():
    """The weights add up to 1 but for rounding, and 1e12 times that is far from 0."""
    x = mg.tensor(np.full((2, 3, 4), 1e12 + 0.1))
    weights = mg.tensor(np.array([0.3, -1.0, 0.7]))
    np.testing.assert_array_equal(F.switchable_norm(x, weights, weights, training=True).array, 0)


def test_the_gradient_of_a_bias_keeps_its_digits_over_many_rows():
    x, g = random(4000, 50).astype(np.float32), random(4000, 50, seed=1).astype(np.float32)
    bias = mg.zeros(50, requires_grad=True)
    y = F.mean_only_batch_norm(mg.tensor(x), bias=bias, training=True)
    (found,) = mg.grad(y, bias, mg.tensor(g))
    exact = g.astype(np.float64).sum(0)
    assert found.dtype == np.float32
    assert np.abs(found.array - exact).max() <= np.spacing(np.abs(exact).max().astype(np.float32))


def test_names_of_the_state():
    expected = {
        "BatchRenorm1d": ["weight", "bias", "running_mean", "running_std", "num_batches_tracked"],
        "GhostBatchNorm1d": ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"],
        "MeanOnlyBatchNorm1d": ["bias", "running_mean", "num_batches_tracked"],
        "PowerNorm": ["weight", "bias", "running_square", "nu", "num_batches_tracked"],
        "SwitchableNorm": [
            *("weight", "bias", "mean_weight", "var_weight"),
            *("running_mean", "running_var", "num_batches_tracked"),
        ],
    }
    for name, keys in expected.items():
        assert sorted(LAYERS[name](3).state_dict()) == sorted(keys), name


def test_repr():
    assert repr(nn.BatchRenorm2d(3)).startswith(
        "BatchRenorm2d(3, eps=1e-05, momentum=0.01, affine=True, bias=True, r_max=3.0, d_max=5.0, start=5000, "
        "r_end=40000, d_end=25000)"
    )
    assert repr(nn.GhostBatchNorm3d(3, 16)).startswith(
        "GhostBatchNorm3d(3, ghost_size=16, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)"
    )
    assert repr(nn.MeanOnlyBatchNorm1d(3)).startswith(
        "MeanOnlyBatchNorm1d(3, momentum=0.1, bias=True, track_running_stats=True)"
    )
    assert repr(nn.PowerNorm(3, axis=-1)).startswith(
        "PowerNorm(3, eps=1e-05, momentum=0.1, affine=True, bias=True, warmup=100, approximate=True, axis=-1)"
    )
    assert repr(nn.SwitchableNorm(3)).startswith(
        "SwitchableNorm(3, eps=1e-05, momentum=0.1, affine=True, bias=True, using_in=True, using_bn=True, "
        "last_gamma=False)"
    )


@pytest.mark.parametrize("name", ["BatchRenorm1d", "GhostBatchNorm1d", "MeanOnlyBatchNorm1d"])
def test_folding_into_the_layer_before(name):
    model = nn.Sequential(nn.Linear(4, 3), LAYERS[name](3)).double()
    for step in range(3):
        model(mg.tensor(step_input(step, 6, 4)))
    model.eval()
    x = mg.tensor(random(6, 4))
    close(nn.utils.fold_batch_norm(model)(x), model(x))


@each_layer
def test_statistics_of_the_whole_set(name):
    layer = LAYERS[name](3).double()
    batches = [mg.tensor(step_input(step, n, 3, 2)) for step, n in enumerate((4, 6, 2))]
    nn.utils.recompute_statistics(layer, batches)
    x = np.concatenate([b.numpy() for b in batches])
    mean, variance = x.mean((0, 2)), x.var((0, 2))
    expected = {
        "running_mean": mean,
        "running_var": x.var((0, 2), ddof=1),
        "running_std": np.sqrt(variance + 1e-5),
        "running_square": (x**2).mean((0, 2)),
    }
    found = {key: values for key, values in layer.state_dict().items() if key in expected}
    assert found
    for key, values in found.items():
        close(values, expected[key])


@pytest.mark.parametrize(
    "layer", [nn.BatchRenorm1d(3), nn.SwitchableNorm(3, using_in=False), nn.GhostBatchNorm1d(3, 4)]
)
def test_a_batch_of_one_has_no_variance(layer):
    with pytest.raises(ValueError, match="more than one value per channel"):
        layer(mg.zeros(1, 3))
    assert layer.num_batches_tracked.item() == 0
    assert layer.eval()(mg.zeros(1, 3)).shape == (1, 3)


LARGE = {
    "mean-only columns": (lambda x: F.mean_only_batch_norm(x, training=True), (300, 240)),
    "mean-only channels": (lambda x: F.mean_only_batch_norm(x, training=True), (3, 4, 6000)),
    "power norm columns": (lambda x: power_norm(x), (300, 240)),
    "power norm channels": (lambda x: power_norm(x), (3, 4, 6000)),
}


def power_norm(x: Any) -> Any:
    return F.power_norm(x, np.ones(x.shape[1], x.dtype), np.full(x.shape[1], 0.3, x.dtype), training=True)


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="without Numba there is one thread")
@pytest.mark.parametrize("layout", LARGE)
def test_the_bits_do_not_depend_on_the_number_of_threads(layout):
    function, shape = LARGE[layout]
    x = mg.tensor(random(*shape).astype(np.float32), requires_grad=True)
    v = mg.tensor(random(*shape, seed=1).astype(np.float32))
    assert 2 * x.array.size >= jit.PARALLEL_FROM
    found = []
    for n in (1, 2, 1, 64):
        with num_threads(n):
            y = function(x)
            found.append((y.detach().numpy(), mg.grad(y, x, v)[0].numpy()))
    for other in found[1:]:
        for one, many in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(one, many)


def test_the_first_element_may_be_far_from_the_mean():
    x = random(50, 6, 40).astype(np.float32)
    x[0, :, 0] = 1e6
    exact = x.astype(np.float64) - x.astype(np.float64).mean((0, 2), keepdims=True)
    for shape in ((50, 6, 40), (2000, 6)):
        moved = x if len(shape) == 3 else np.moveaxis(x, 1, 2).reshape(shape)
        expected = exact if len(shape) == 3 else np.moveaxis(exact, 1, 2).reshape(shape)
        y = F.mean_only_batch_norm(mg.tensor(moved), training=True).numpy()
        np.testing.assert_allclose(y, expected, rtol=2e-7)


ONES = np.ones(3, np.float32)
ERRORS = {
    "batch_renorm: running_mean and running_std are needed, in training as well": (
        lambda: F.batch_renorm(mg.zeros(2, 3), None, ONES, training=True)
    ),
    "batch_renorm: the limits must be r_max ≥ 1 and d_max ≥ 0, not r_max=0.5": (
        lambda: F.batch_renorm(mg.zeros(2, 3), ONES, ONES, r_max=0.5)
    ),
    "batch_renorm: running_std has shape (2,), and must have (3,)": (
        lambda: F.batch_renorm(mg.zeros(2, 3), ONES, ONES[:2])
    ),
    "BatchRenorm1d: the limits widen from step start=9 to r_end=8": lambda: nn.BatchRenorm1d(3, start=9, r_end=8),
    "BatchRenorm2d: the input must be (N, C, H, W), got shape (2, 3)": lambda: nn.BatchRenorm2d(3)(mg.zeros(2, 3)),
    "ghost_batch_norm: a ghost has at least one sample, and ghost_size=0": (
        lambda: F.ghost_batch_norm(mg.zeros(2, 3), 0, training=True)
    ),
    "with ghost_size=2 ends in a ghost of one": lambda: F.ghost_batch_norm(mg.zeros(5, 3), 2, training=True),
    "ghost_batch_norm: without training, running_mean and running_var are needed": (
        lambda: F.ghost_batch_norm(mg.zeros(2, 3), 2)
    ),
    "ghost_batch_norm: pass both running_mean and running_var": (
        lambda: F.ghost_batch_norm(mg.zeros(2, 3), 2, ONES, training=True)
    ),
    "GhostBatchNorm1d: a ghost has at least one sample": lambda: nn.GhostBatchNorm1d(3, 0),
    "mean_only_batch_norm: without training, running_mean is needed": lambda: F.mean_only_batch_norm(mg.zeros(2, 3)),
    "mean_only_batch_norm: bias has shape (2,), and must have (3,)": (
        lambda: F.mean_only_batch_norm(mg.zeros(2, 3), None, ONES[:2], True)
    ),
    "mean_only_batch_norm: running_mean must be updated in place": (
        lambda: F.mean_only_batch_norm(mg.zeros(2, 3), np.broadcast_to(np.float32(0), 3), training=True)
    ),
    "power_norm: the channels are on axis 1 or axis −1, not 2": lambda: F.power_norm(mg.zeros(2, 3), ONES, axis=2),
    "power_norm: running_square is needed": lambda: F.power_norm(mg.zeros(2, 3), None),
    "power_norm: the paper's backward pass needs its running average nu": (
        lambda: F.power_norm(mg.zeros(2, 3), ONES, training=True)
    ),
    "PowerNorm: the input must have num_features=3 channels on axis -1, got shape (2, 3, 4)": (
        lambda: nn.PowerNorm(3, axis=-1)(mg.zeros(2, 3, 4))
    ),
    "switchable_norm: in (N, C) an instance is a single element": lambda: nn.SwitchableNorm(3)(mg.zeros(2, 3)),
    "switchable_norm: mean_weight has shape (2,), and must have (3,)": (
        lambda: F.switchable_norm(mg.zeros(2, 3, 4), ONES[:2], ONES, training=True)
    ),
    "switchable_norm: without training, running_mean and running_var are needed": (
        lambda: F.switchable_norm(mg.zeros(2, 3, 4), ONES, ONES)
    ),
    "SwitchableNorm: num_features=3, and the input must be (N, 3, ...); its shape is (2, 4, 5)": (
        lambda: nn.SwitchableNorm(3)(mg.zeros(2, 4, 5))
    ),
    "batch_renorm: the input must be floating-point, not int64": (
        lambda: F.batch_renorm(mg.tensor([[1, 2, 3]]), ONES, ONES)
    ),
}


@pytest.mark.parametrize("message", ERRORS)
def test_errors_say_what_came_and_what_was_expected(message):
    with pytest.raises((ValueError, TypeError)) as error:
        ERRORS[message]()
    assert message in str(error.value)


# -- would these tests notice? -----------------------------------------------------------------------------------


def old_value_weighs(original: Any) -> Any:
    return lambda op, running, new, momentum: original(op, running, new, 1 - momentum)


def forgets(original: Any) -> Any:
    return lambda *arguments: None


FAULTS = {
    "batch renorm's momentum weighs the old value": (
        attribute("minigrad.ops.norm.renorm.follow", old_value_weighs),
        lambda: test_batch_renorm_over_many_steps(nullcontext, 0.3, (6, 3)),
    ),
    "batch renorm's limits do not widen": (
        lambda patch: patch.setattr(nn.BatchRenorm1d, "limits", lambda self, step=None: (1.0, 0.0)),
        lambda: test_batch_renorm_over_many_steps(nullcontext, 0.3, (6, 3)),
    ),
    "ghosts move the averages by biased variances": (
        attribute(
            "minigrad.ops.norm.ghost.update_running",
            lambda original: (
                lambda op, mean, var, stats, n, momentum: original(op, mean, var, stats, 10**12, momentum)
            ),
        ),
        lambda: test_ghost_batch_norm_over_many_steps(nullcontext, 0.3),
    ),
    "ghosts count as one batch": (
        lambda patch: patch.setattr(
            nn.GhostBatchNorm1d, "count_batch", lambda self, input, by=1: nn.BatchNorm1d.count_batch(self, input)
        ),
        lambda: test_ghost_batch_norm_over_many_steps(nullcontext, None),
    ),
    "mean-only batch norm's average stands still": (
        attribute("minigrad.ops.norm.mean_only.follow", forgets),
        lambda: test_mean_only_batch_norm_over_many_steps(nullcontext, 0.3),
    ),
    "power norm's ν stands still": (
        lambda patch: patch.setattr(GradientAverage, "__call__", forgets(None)),
        lambda: test_power_norm_over_many_steps(nullcontext, 0),
    ),
    "power norm never stops warming up": (
        lambda patch: patch.setattr(nn.PowerNorm, "batches_seen", 0),
        lambda: test_power_norm_over_many_steps(nullcontext, 2),
    ),
    "switchable norm's momentum weighs the old value": (
        attribute("minigrad.ops.norm.switchable.follow", old_value_weighs),
        lambda: test_switchable_norm_over_many_steps(nullcontext, 0.3),
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_tests_notice(fault, monkeypatch):
    how, check = FAULTS[fault]
    check()
    how(monkeypatch)
    with pytest.raises(AssertionError):
        check()
