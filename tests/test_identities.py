"""What must be the same: one normalization that is another, inputs that make no difference, and right angles.

Each of these is a lesson as well. A norm that passes has its statistics over the right elements.
"""

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.nn import functional as F

nn = mg.nn


def random(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


def tensor(*shape: int, seed: int = 0) -> mg.Tensor:
    return mg.tensor(random(*shape, seed=seed), requires_grad=True)


def close(a: Any, b: Any, tolerance: float = 1e-12) -> None:
    a, b = (t.detach().numpy() if isinstance(t, mg.Tensor) else t for t in (a, b))
    np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def same(one: Any, other: Any, *inputs: mg.Tensor, tolerance: float = 1e-11) -> None:
    """Two functions of the same inputs have the same outputs, gradients, and gradients of gradients."""
    found = []
    for function in (one, other):
        y = function(*inputs)
        v = tensor(*y.shape, seed=7)
        gradients = mg.grad(y, inputs, v, create_graph=True)
        directions = [mg.tensor(random(*g.shape, seed=8)) for g in gradients]
        second = mg.grad(gradients, [*inputs, v], directions, allow_unused=True)  # (β has none)
        found.append([y, *gradients, *(np.zeros(()) if s is None else s for s in second)])
    for a, b in zip(*found, strict=True):
        close(a, b, tolerance)


def instance_norm(x: Any, w: Any = None, b: Any = None) -> Any:
    return F.instance_norm(x, None, None, w, b, eps=0.1)


def batch_norm(x: Any, w: Any = None, b: Any = None) -> Any:
    return F.batch_norm(x, None, None, w, b, True, eps=0.1)


X, GAMMA, BETA = tensor(4, 6, 5), tensor(6, seed=1), tensor(6, seed=2)


# -- one norm that is another ------------------------------------------------------------------------------------


def test_group_norm_with_a_group_for_each_channel_is_instance_norm():
    same(lambda x, w, b: F.group_norm(x, 6, w, b, eps=0.1), instance_norm, X, GAMMA, BETA)


def test_group_norm_with_one_group_is_layer_norm_but_for_the_affine_part():
    same(lambda x: F.group_norm(x, 1), lambda x: F.layer_norm(x, (6, 5)), X)

    def each_element(x: Any, w: Any, b: Any) -> Any:
        return F.layer_norm(x, (6, 5)) * w.reshape(6, 1) + b.reshape(6, 1)

    same(lambda x, w, b: F.group_norm(x, 1, w, b), each_element, X, GAMMA, BETA)


def test_batch_norm_of_one_sample_is_instance_norm():
    same(batch_norm, instance_norm, tensor(1, 6, 5), GAMMA, BETA)


def test_batch_norm_of_samples_as_rows_is_layer_norm_of_the_transpose():
    same(lambda x: batch_norm(x), lambda x: F.layer_norm(x.T, 7, eps=0.1).T, tensor(7, 3))


def renormed(r_max: float, d_max: float) -> Any:
    def apply(x: Any, w: Any, b: Any) -> Any:
        mean, std = random(6, seed=3), np.abs(random(6, seed=4))
        return F.batch_renorm(x, mean, std, w, b, True, eps=0.1, r_max=r_max, d_max=d_max)

    return apply


def test_batch_renorm_without_room_is_batch_norm():
    same(renormed(1, 0), batch_norm, X, GAMMA, BETA)
    assert np.abs((renormed(1.1, 0)(X, GAMMA, BETA) - batch_norm(X, GAMMA, BETA)).detach().numpy()).max() > 0.01


def test_batch_renorm_with_the_batchs_own_averages_is_batch_norm():
    mean, std = X.detach().numpy().mean((0, 2)), np.sqrt(X.detach().numpy().var((0, 2)) + 0.1)
    y = F.batch_renorm(X, mean.copy(), std.copy(), GAMMA, BETA, True, eps=0.1)
    close(y, batch_norm(X, GAMMA, BETA))


@pytest.mark.parametrize("size", [4, 100])
def test_ghost_batch_norm_with_one_ghost_is_batch_norm(size: int):
    same(lambda x, w, b: F.ghost_batch_norm(x, size, None, None, w, b, True, eps=0.1), batch_norm, X, GAMMA, BETA)
    ghost, batch = nn.GhostBatchNorm1d(6, size).double(), nn.BatchNorm1d(6).double()
    for step in range(3):
        x = mg.tensor(random(4, 6, 5, seed=step))
        close(ghost(x), batch(x))
    for name, values in batch.state_dict().items():
        np.testing.assert_array_equal(ghost.state_dict()[name].numpy(), values.numpy(), err_msg=name)
    close(ghost.eval()(X), batch.eval()(X))


def test_ghost_batch_norm_with_ghosts_of_one_is_instance_norm():
    same(lambda x, w, b: F.ghost_batch_norm(x, 1, None, None, w, b, True, eps=0.1), instance_norm, X, GAMMA, BETA)


ONE_HOT = np.eye(3) * 1000  # through softmax


@pytest.mark.parametrize(
    ("kind", "other"),
    [
        (0, instance_norm),
        (1, lambda x, w, b: F.group_norm(x, 1, w, b, eps=0.1)),  # layer norm over (C, S), γ and β for channels
        (2, batch_norm),
    ],
    ids=["instance", "layer", "batch"],
)
def test_switchable_norm_with_one_hot_weights_is_the_one_it_points_at(kind: int, other: Any):
    def switched(x: Any, w: Any, b: Any) -> Any:
        return F.switchable_norm(x, ONE_HOT[kind], ONE_HOT[kind], None, None, w, b, True, eps=0.1)

    same(switched, other, X, GAMMA, BETA)


def test_switchable_norm_that_points_at_the_batch_is_batch_norm_in_evaluation_too():
    switchable, batch = nn.SwitchableNorm(6).double(), nn.BatchNorm1d(6).double()
    for weights in (switchable.mean_weight, switchable.var_weight):
        weights.detach().copy_(ONE_HOT[2])
    for step in range(3):
        x = mg.tensor(random(4, 6, 5, seed=step))
        close(switchable(x), batch(x))
    close(switchable.running_var, batch.running_var)
    close(switchable.eval()(X), batch.eval()(X))


def test_mean_only_batch_norm_is_the_numerator_of_batch_norm():
    deviation = np.sqrt(X.detach().numpy().var((0, 2)) + 0.1).reshape(6, 1)
    close(F.mean_only_batch_norm(X, training=True), batch_norm(X) * deviation)


def test_power_norm_warming_up_is_batch_norm_of_what_has_no_mean():
    x = F.mean_only_batch_norm(X, training=True).detach()
    close(F.power_norm(x, np.ones(6), training=True, warmup=True, eps=0.1), batch_norm(x))


def test_rms_norm_of_what_has_no_mean_is_layer_norm():
    x = X.detach() - X.detach().mean(-1, keepdim=True)
    close(F.rms_norm(x, 5, eps=0.1), F.layer_norm(x, 5, eps=0.1))


def test_whitening_groups_of_one_channel_is_batch_norm():
    close(F.decorrelated_batch_norm(X, num_groups=6, training=True, eps=0.1), batch_norm(X))


# -- what γ and β can undo ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", ["batch_norm", "batch_renorm", "switchable_norm", "ghost_batch_norm"])
def test_gamma_and_beta_can_give_back_the_input(norm: str):
    """Batch norm can represent the identity: with γ = √(σ² + ε) and β = μ. With γ = 1 and β = 0 it does not."""
    x = X.detach().numpy()
    mean, gamma = x.mean((0, 2)), np.sqrt(x.var((0, 2)) + 1e-5)
    functions = {
        "batch_norm": lambda w, b: F.batch_norm(X, None, None, w, b, True),
        "batch_renorm": lambda w, b: F.batch_renorm(X, np.zeros(6), np.ones(6), w, b, True, r_max=1, d_max=0),
        "switchable_norm": lambda w, b: F.switchable_norm(X, ONE_HOT[2], ONE_HOT[2], None, None, w, b, True),
        "ghost_batch_norm": lambda w, b: F.ghost_batch_norm(X, 4, None, None, w, b, True),
    }
    close(functions[norm](gamma, mean), x)
    assert np.abs(functions[norm](None, None).detach().numpy() - x).max() > 0.1


# -- what a norm does not see ------------------------------------------------------------------------------------

# Each standardizes: (x, ε) → x̂, its shape, and the axes that share statistics, after a reshape to groups. For those
# that mix several kinds of groups, the axes are those of what all kinds share.
STANDARDIZING: dict[str, tuple[Any, tuple[int, ...], tuple[int, ...], tuple[int, ...]]] = {
    "batch_norm": (lambda x, eps: F.batch_norm(x, training=True, eps=eps), (5, 3, 4), (5, 3, 4), (0, 2)),
    "batch_norm (N, C)": (lambda x, eps: F.batch_norm(x, training=True, eps=eps), (7, 3), (7, 3), (0,)),
    "layer_norm": (lambda x, eps: F.layer_norm(x, (3, 4), eps=eps), (5, 3, 4), (5, 3, 4), (1, 2)),
    "group_norm": (lambda x, eps: F.group_norm(x, 2, eps=eps), (3, 4, 5), (3, 2, 2, 5), (2, 3)),
    "instance_norm": (lambda x, eps: F.instance_norm(x, eps=eps), (3, 4, 5), (3, 4, 5), (2,)),
    "ghost_batch_norm": (
        lambda x, eps: F.ghost_batch_norm(x, 2, training=True, eps=eps),
        (6, 3, 4),
        (3, 2, 3, 4),
        (1, 3),
    ),
    "batch_renorm": (
        lambda x, eps: F.batch_renorm(x, np.zeros(3), np.ones(3), training=True, eps=eps, r_max=1, d_max=0),
        (5, 3, 4),
        (5, 3, 4),
        (0, 2),
    ),
    "switchable_norm": (
        lambda x, eps: F.switchable_norm(x, np.zeros(3), np.arange(3.0), training=True, eps=eps),
        (4, 3, 5),
        (4, 3, 5),
        (0, 1, 2),
    ),
    "adaptive_instance_norm, the content": (
        lambda x, eps: F.adaptive_instance_norm(x, mg.tensor(random(3, 4, 5, seed=5)), eps=eps),
        (3, 4, 5),
        (3, 4, 5),
        (2,),
    ),
    "decorrelated_batch_norm": (
        lambda x, eps: F.decorrelated_batch_norm(x, training=True, eps=eps),
        (9, 2, 4),
        (9, 2, 4),
        (0, 2),
    ),
    "mean_variance_normalization": (
        lambda x, eps: F.mean_variance_normalization(x, (0, 2), eps=eps),
        (5, 3, 4),
        (5, 3, 4),
        (0, 2),
    ),
    "weight_standardization": (
        lambda x, eps: F.weight_standardization(x, eps=eps),
        (5, 3, 4),
        (5, 3, 4),
        (1, 2),
    ),
}
# These divide and do not subtract.
DIVIDING: dict[str, tuple[Any, tuple[int, ...], tuple[int, ...], tuple[int, ...]]] = {
    "rms_norm": (lambda x: F.rms_norm(x, 4, eps=0.0), (5, 4), (5, 4), (1,)),
    "scale_norm": (lambda x: F.scale_norm(x, eps=0.0), (5, 4), (5, 4), (1,)),
    "normalize": (lambda x: F.normalize(x, eps=0.0), (5, 4), (5, 4), (1,)),
    "filter_response_norm": (lambda x: F.filter_response_norm(x, eps=0.0), (2, 3, 2, 2), (2, 3, 4), (2,)),
    "power_norm": (
        lambda x: F.power_norm(x, np.ones(3), training=True, warmup=True, eps=0.0),
        (5, 3, 4),
        (5, 3, 4),
        (0, 2),
    ),
    "weight_norm": (lambda x: F.weight_norm(x, mg.tensor(np.full((5, 1), 2.0))), (5, 4), (5, 4), (1,)),
}


@pytest.mark.parametrize("name", STANDARDIZING)
def test_a_shifted_and_rescaled_input_is_not_noticed(name: str):
    function, shape, _, _ = STANDARDIZING[name]
    x = random(*shape)
    close(function(mg.tensor(3.5 * x - 11), 0.0), function(mg.tensor(x), 0.0), 1e-9)


@pytest.mark.parametrize("name", DIVIDING)
def test_a_rescaled_input_is_not_noticed_where_nothing_is_subtracted(name: str):
    function, shape, _, _ = DIVIDING[name]
    x = random(*shape)
    close(function(mg.tensor(3.5 * x)), function(mg.tensor(x)), 1e-10)
    assert np.abs((function(mg.tensor(x + 3)) - function(mg.tensor(x))).detach().numpy()).max() > 0.1


def test_mean_only_batch_norm_sees_the_scale_and_not_the_shift():
    x = X.detach()
    close(F.mean_only_batch_norm(3.5 * x - 11, training=True), 3.5 * F.mean_only_batch_norm(x, training=True))


@pytest.mark.parametrize("norm", ["batch_norm", "batch_renorm", "ghost_batch_norm", "mean_only_batch_norm"])
def test_norms_over_the_batch_hide_the_bias_before_them(norm: str):
    layers = {
        "batch_norm": lambda: nn.BatchNorm1d(3),
        "batch_renorm": lambda: nn.BatchRenorm1d(3),  # in its first steps; later it sees how the average lags behind
        "ghost_batch_norm": lambda: nn.GhostBatchNorm1d(3, 4),
        "mean_only_batch_norm": lambda: nn.MeanOnlyBatchNorm1d(3),
    }
    x, linear, layer = mg.tensor(random(7, 4)), nn.Linear(4, 3).double(), layers[norm]().double()
    before = layer(linear(x))
    with mg.no_grad():
        linear.bias.add_(5.0)
    y = layer(linear(x))
    close(y, before, 1e-10)
    y.backward(mg.tensor(random(7, 3)))
    close(linear.bias.grad, np.zeros(3))
    assert np.abs(linear.weight.grad.numpy()).max() > 0.01


# -- right angles ------------------------------------------------------------------------------------------------


def gradient(function: Any, shape: tuple[int, ...]) -> tuple[Any, Any]:
    """x, and the gradient that comes back to it along a random cotangent."""
    x = tensor(*shape)
    y = function(x)
    (g,) = mg.grad(y, x, mg.tensor(random(*y.shape, seed=1)))
    assert np.abs(g.numpy()).max() > 0.05
    return x.detach().numpy(), g.numpy()


@pytest.mark.parametrize("name", STANDARDIZING)
def test_the_gradient_is_orthogonal_to_one_and_to_x_hat(name: str):
    """What a norm does not see, it cannot be asked to change. (Orthogonal to 1 and x̂ is orthogonal to 1 and x.)"""
    function, shape, grouped, axes = STANDARDIZING[name]
    x, g = gradient(lambda x: function(x, 0.0), shape)
    x, g = x.reshape(grouped), g.reshape(grouped)
    deviation = x - x.mean(axes, keepdims=True)
    whole = (0, 1, 2) if name == "decorrelated_batch_norm" else axes  # whitening mixes channels: only their sum
    close(g.sum(axes), 0 * g.sum(axes), 1e-10)
    close((g * deviation).sum(whole), 0 * g.sum(whole), 1e-10)


@pytest.mark.parametrize("name", DIVIDING)
def test_the_gradient_is_orthogonal_to_x_where_nothing_is_subtracted(name: str):
    """Among them the catalogue's: with respect to v, the gradient of weight norm is orthogonal to v."""
    function, shape, grouped, axes = DIVIDING[name]
    x, g = (a.reshape(grouped) for a in gradient(function, shape))
    close((g * x).sum(axes), 0 * g.sum(axes), 1e-10)
    assert np.abs(g.sum(axes)).max() > 0.01


def test_the_gradient_of_mean_only_batch_norm_is_orthogonal_to_one_and_not_to_x():
    x, g = gradient(lambda x: F.mean_only_batch_norm(x, training=True), (7, 3))
    close(g.sum(0), np.zeros(3))
    assert np.abs((g * x).sum(0)).max() > 0.01


def test_weight_normalized_layers_send_gradients_that_are_orthogonal_to_v():
    layer = nn.utils.parametrizations.weight_norm(nn.Linear(4, 3).double())
    layer(mg.tensor(random(5, 4))).backward(mg.tensor(random(5, 3, seed=1)))
    (v,) = [p for p in layer.parameters() if p.shape == (3, 4)]
    close((v.grad * v).sum(1), np.zeros(3))
    assert np.abs(v.grad.numpy()).max() > 0.01
