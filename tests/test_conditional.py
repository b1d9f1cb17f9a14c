"""Conditional normalization: identities, layers, state, errors; and the resizing that SPADE needs."""

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.autograd import gradcheck, gradgradcheck
from minigrad.nn import functional as F


def random(*shape: int, seed: int = 0) -> Any:
    return mg.tensor(np.random.default_rng([seed, *shape]).standard_normal(shape), requires_grad=True)


def close(a: Any, b: Any, tolerance: float = 1e-12) -> None:
    np.testing.assert_allclose(a.array, b.array, rtol=tolerance, atol=tolerance)


X = random(4, 3, 5)


# -- identities --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("eps", [0.0, 1e-5, 10.0])
def test_a_picture_in_its_own_style_is_itself(eps):
    """γ = √(σ² + ε) and β = μ undo the normalization."""
    close(F.adaptive_instance_norm(X, X, eps), X)


def test_adain_takes_the_statistics_of_the_style_and_nothing_else():
    style = random(4, 3, 8, seed=1)
    y = F.adaptive_instance_norm(X, style, eps=0.0).array
    np.testing.assert_allclose(y.mean(2), style.array.mean(2), rtol=1e-12)
    np.testing.assert_allclose(y.std(2), style.array.std(2), rtol=1e-12)
    close(F.adaptive_instance_norm(X, mg.flip(style, [2])), F.adaptive_instance_norm(X, style))
    close(F.adaptive_instance_norm(3 * X + 7, style, eps=0.0), F.adaptive_instance_norm(X, style, eps=0.0))


def test_one_condition_for_all_is_the_plain_norm():
    gamma, beta = random(3), random(3, seed=1)
    each = [mg.stack([p] * 4) for p in (gamma, beta)]
    close(F.conditional_instance_norm(X, *each), F.instance_norm(X, None, None, gamma, beta))
    close(F.conditional_batch_norm(X, *each, training=True), F.batch_norm(X, None, None, gamma, beta, training=True))
    everywhere = [p.reshape(4, 3, 1).expand(4, 3, 5) for p in each]
    close(F.spade(X, *everywhere, training=True), F.conditional_batch_norm(X, *each, training=True))
    close(F.spade(X, *everywhere, norm="instance"), F.conditional_instance_norm(X, *each))


def test_conditional_norms_of_one_sample_are_the_same():
    x, gamma, beta = random(1, 3, 5), random(1, 3), random(1, 3, seed=1)
    close(F.conditional_instance_norm(x, gamma, beta), F.conditional_batch_norm(x, gamma, beta, training=True))


def test_running_averages_are_those_of_batch_norm():
    ours, plain = [[mg.zeros(3).double(), mg.ones(3).double()] for _ in range(2)]
    F.conditional_batch_norm(X, random(4, 3), random(4, 3), *ours, training=True, momentum=0.3)
    F.batch_norm(X, *plain, training=True, momentum=0.3)
    for a, b in zip(ours, plain, strict=True):
        np.testing.assert_array_equal(a.array, b.array)
    spade = [mg.zeros(3).double(), mg.ones(3).double()]
    F.spade(X, random(4, 3, 5), random(4, 3, 5), *spade, training=True, norm="instance")
    own = [mg.zeros(3).double(), mg.ones(3).double()]
    F.instance_norm(X, *own)
    np.testing.assert_array_equal(spade[1].array, own[1].array)
    close(
        F.spade(X, mg.ones(4, 3, 5).double(), mg.zeros(4, 3, 5).double(), *own, norm="instance"),
        F.batch_norm(X, *own),
    )


def test_third_derivatives_with_respect_to_both_pictures():
    """Fused and composed agree where the statistics of the style are differentiated three times."""
    content, style = random(2, 2, 3), random(2, 2, 4)

    def third() -> list[Any]:
        outputs, variables = [F.adaptive_instance_norm(content, style, 0.1)], [content, style]
        for k in range(3):
            cotangents = [random(*y.shape, seed=10 * k + i) for i, y in enumerate(outputs)]
            outputs = list(mg.grad(outputs, variables, cotangents, create_graph=True))
            variables += cotangents
            variables = variables[:4]
        return [g.array for g in outputs]

    fused = third()
    with mg.composed():
        for a, b in zip(fused, third(), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


def test_a_condition_that_depends_on_the_input():
    def tied(x: Any) -> Any:
        return F.conditional_instance_norm(x, x.sum(2), (x * x).mean(2), eps=0.1)

    assert gradcheck(tied, X)
    assert gradgradcheck(tied, X)


# -- numbers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1e-20, 1e20, 1e30])
def test_styles_at_the_ends_of_float32(scale):
    """Squares of these are no float32 numbers."""
    x, style = X.array.astype(np.float32), (scale * X.array[:, :, ::-1]).astype(np.float32)
    y = F.adaptive_instance_norm(mg.tensor(x), mg.tensor(style), eps=0.0).array
    assert y.dtype == np.float32
    wide = style.astype(np.float64)
    x_hat = F.instance_norm(mg.tensor(x.astype(np.float64)), eps=0.0).array
    expected = x_hat * wide.std(2, keepdims=True) + wide.mean(2, keepdims=True)
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-6 * np.abs(expected).max())


def test_constant_channels():
    constant = mg.tensor(np.full((2, 1, 4), 3.3, np.float32), requires_grad=True)
    style = mg.tensor(np.array([[[1.0, 3.0]], [[5.0, 5.0]]], np.float32), requires_grad=True)
    y = F.adaptive_instance_norm(constant, style)
    np.testing.assert_array_equal(y.array, [[[2.0] * 4], [[5.0] * 4]])  # β, which is the style's mean
    for g in mg.grad(y, [constant, style], mg.randn(2, 1, 4)):
        assert np.isfinite(g.array).all()


def test_nan_in_a_style_spoils_its_own_channel():
    style = X.array.copy()
    style[1, 2, 0] = np.nan
    y = F.adaptive_instance_norm(X, mg.tensor(style)).array
    assert np.isnan(y[1, 2]).all() and np.isnan(y).sum() == y.shape[2]


# -- layers ------------------------------------------------------------------------------------------------


def test_adaptive_instance_norm_layer():
    norm = nn.AdaptiveInstanceNorm(3, 6, eps=0.1, dtype=np.float64)
    assert list(norm.state_dict()) == ["linear.weight", "linear.bias"]
    assert norm.linear.bias.tolist() == [1.0] * 3 + [0.0] * 3
    style = random(4, 6)
    gamma_beta = style.array @ norm.linear.weight.array.T + norm.linear.bias.array
    x_hat = F.instance_norm(X, eps=0.1).array
    expected = x_hat * gamma_beta[:, :3, None] + gamma_beta[:, 3:, None]
    np.testing.assert_allclose(norm(X, style).array, expected, rtol=1e-12, atol=1e-12)
    close(norm(X, 0 * style), F.instance_norm(X, eps=0.1))
    assert gradcheck(lambda x, w: norm(x, w), [X, style])
    assert gradgradcheck(lambda x, w: norm(x, w), [X, style])
    assert "AdaptiveInstanceNorm(3, style_features=6, eps=0.1" in repr(norm)


@pytest.mark.parametrize("kind", ["classes", "vectors"])
def test_conditional_batch_norm_starts_as_batch_norm_and_learns_its_condition(kind):
    mg.manual_seed(0)
    if kind == "classes":
        norm, condition = nn.ConditionalBatchNorm1d(3, num_classes=5, dtype=np.float64), mg.tensor([4, 0, 4, 1])
        keys = ["norm.running_mean", "norm.running_var", "norm.num_batches_tracked", "embedding.weight"]
    else:
        norm = nn.ConditionalBatchNorm1d(3, condition_features=6, hidden_features=4, dtype=np.float64)
        condition = random(4, 6)
        keys = ["weight", "bias", "norm.running_mean", "norm.running_var", "norm.num_batches_tracked"]
        keys += [f"mlp.{i}.{name}" for i in (0, 2) for name in ("weight", "bias")]
    assert list(norm.state_dict()) == keys
    close(norm(X, condition), F.batch_norm(X, training=True))
    for p in norm.parameters():
        p.array[...] = random(*p.shape, seed=3).array
    y = norm(X, condition)
    assert norm.norm.num_batches_tracked.item() == 2
    if kind == "classes":
        table = norm.embedding.weight.array[condition.array]
        gamma, beta = table[:, :3], table[:, 3:]
    else:
        w1, b1, w2, b2 = (p.array for p in norm.mlp.parameters())
        change = np.maximum(condition.array @ w1.T + b1, 0) @ w2.T + b2
        gamma, beta = norm.weight.array + change[:, :3], norm.bias.array + change[:, 3:]
    expected = F.batch_norm(X, training=True).array * gamma[..., None] + beta[..., None]
    np.testing.assert_allclose(y.array, expected, rtol=1e-12, atol=1e-12)
    y.backward(random(*y.shape, seed=4))
    assert all(p.grad is not None and np.abs(p.grad.array).max() > 0 for p in norm.parameters())

    norm.eval()
    mean, var = norm.norm.running_mean.array, norm.norm.running_var.array
    expected = (X.array - mean[:, None]) / np.sqrt(var[:, None] + 1e-5) * gamma[..., None] + beta[..., None]
    np.testing.assert_allclose(norm(X, condition).array, expected, rtol=1e-12, atol=1e-12)
    assert gradcheck(lambda x: norm(x, condition), X)
    assert gradgradcheck(lambda x: norm(x, condition), X)

    norm.reset_parameters()
    close(norm.train()(X, condition), F.batch_norm(X, training=True))
    assert norm.norm.num_batches_tracked.item() == 1


def test_conditional_batch_norm_without_averages_and_with_cumulative_ones():
    norm = nn.ConditionalBatchNorm2d(3, 2, track_running_stats=False).eval()
    x = mg.randn(4, 3, 2, 2)
    y = norm(x, mg.tensor([0, 1, 1, 0]))
    np.testing.assert_array_equal(y.array, F.batch_norm(x, training=True).array)
    norm = nn.ConditionalBatchNorm3d(3, 2, momentum=None)
    for _ in range(2):
        norm(mg.randn(4, 3, 2, 2, 1), mg.tensor([0, 1, 1, 0]))
    assert norm.norm.num_batches_tracked.item() == 2 and norm.norm.momentum is None


@pytest.mark.parametrize("kind", ["batch", "instance"])
def test_spade_layer(kind):
    mg.manual_seed(0)
    norm = nn.SPADE(3, 2, hidden_features=4, norm=kind, eps=0.1, dtype=np.float64)
    names = [f"{part}.{name}" for part in ("mlp_shared.0", "mlp_gamma", "mlp_beta") for name in ("weight", "bias")]
    assert [n for n in norm.state_dict() if n.startswith("mlp")] == names
    x, labels = random(2, 3, 4, 4), random(2, 2, 6, 8)
    small = mg.tensor(labels.array[:, :, [0, 1, 3, 4]][..., [0, 2, 4, 6]])
    hidden = F.relu(F.conv2d(small, norm.mlp_shared[0].weight, norm.mlp_shared[0].bias, padding=1))
    gamma = 1 + F.conv2d(hidden, norm.mlp_gamma.weight, norm.mlp_gamma.bias, padding=1)
    beta = F.conv2d(hidden, norm.mlp_beta.weight, norm.mlp_beta.bias, padding=1)
    y = norm(x, labels)
    close(y, F.spade(x, gamma, beta, training=True, eps=0.1, norm=kind))
    assert gradcheck(lambda x, m: norm(x, m), [random(2, 3, 2, 2), random(2, 2, 4, 2)])
    norm.eval()
    assert gradgradcheck(lambda x: norm(x, mg.tensor(labels.array[:, :, ::2, ::2])), [random(2, 3, 2, 2)])
    for p in norm.parameters():
        p.array[...] = 0  # then γ(m) = β(m) = 0, and the layer is the plain norm
    close(norm(x, labels), norm.param_free_norm(x))


def test_spade_keeps_a_map_that_normalization_would_wash_away():
    """Two samples that are even patches of sky and of sea: after normalization alone they look the same."""
    x = mg.tensor(np.stack([np.full((1, 2, 2), 3.0), np.full((1, 2, 2), -5.0)]))
    assert not F.instance_norm(x).array.any()
    labels = mg.tensor(np.stack([np.ones((1, 2, 2)), np.zeros((1, 2, 2))]))
    norm = nn.SPADE(1, 1, hidden_features=2, norm="instance", dtype=np.float64)
    y = norm(x, labels).array
    assert np.abs(y[0] - y[1]).max() > 1e-3


# -- errors ------------------------------------------------------------------------------------------------

ERRORS = {
    "adaptive_instance_norm: content and style need the same samples and channels, got shapes (2, 3, 4) and "
    "(2, 4, 4)": lambda: F.adaptive_instance_norm(mg.zeros(2, 3, 4), mg.zeros(2, 4, 4)),
    "adaptive_instance_norm: the style must be (N, C, ...) with an axis of space, got shape (2, 3)": (
        lambda: F.adaptive_instance_norm(mg.zeros(2, 3, 4), mg.zeros(2, 3))
    ),
    "adaptive_instance_norm: the content is float32 and the style float64": (
        lambda: F.adaptive_instance_norm(mg.zeros(2, 3, 4), mg.zeros(2, 3, 4).double())
    ),
    "adaptive_instance_norm: more than one element of space is needed": (
        lambda: F.adaptive_instance_norm(mg.zeros(2, 3, 1), mg.zeros(2, 3, 4))
    ),
    "conditional_instance_norm: weight has shape (3,), and must have (2, 3) for an input of shape (2, 3, 4)": (
        lambda: F.conditional_instance_norm(mg.zeros(2, 3, 4), mg.ones(3))
    ),
    "conditional_batch_norm: weight has shape (3,), and must have (2, 3)": (
        lambda: F.conditional_batch_norm(mg.zeros(2, 3), mg.ones(3), mg.ones(3), training=True)
    ),
    "spade: bias has shape (2, 3), and must have (2, 3, 4)": (
        lambda: F.spade(mg.zeros(2, 3, 4), mg.ones(2, 3, 4), mg.ones(2, 3), training=True)
    ),
    "spade: norm must be 'batch' or 'instance', got 'group'": (
        lambda: F.spade(mg.zeros(2, 3, 4), mg.ones(2, 3, 4), mg.ones(2, 3, 4), norm="group")
    ),
    "AdaptiveInstanceNorm: the style must be a tensor of shape (2, 5), a vector for each sample; its shape": (
        lambda: nn.AdaptiveInstanceNorm(3, 5)(mg.zeros(2, 3, 4), mg.zeros(2, 4))
    ),
    "AdaptiveInstanceNorm: the input must be (N, 3, ...) with an axis of space, got shape (2, 4, 4)": (
        lambda: nn.AdaptiveInstanceNorm(3, 5)(mg.zeros(2, 4, 4), mg.zeros(2, 5))
    ),
    "ConditionalBatchNorm2d: give either num_classes=None, for conditions that are class numbers": (
        lambda: nn.ConditionalBatchNorm2d(3)
    ),
    "ConditionalBatchNorm1d: the condition must be a tensor with a class number for each sample, shape (2,); its "
    "shape is (3,)": lambda: nn.ConditionalBatchNorm1d(3, 5)(mg.zeros(2, 3), mg.tensor([0, 1, 2])),
    "ConditionalBatchNorm1d: the condition must be a tensor of shape (2, 5)": (
        lambda: nn.ConditionalBatchNorm1d(3, condition_features=5)(mg.zeros(2, 3), mg.zeros(2, 4))
    ),
    "SPADE: the map must be (2, 5, H, W), a channel for each label and as many samples as the input, got shape": (
        lambda: nn.SPADE(3, 5)(mg.zeros(2, 3, 4, 4), mg.zeros(2, 3, 4, 4))
    ),
    "SPADE: kernel_size must be odd": lambda: nn.SPADE(3, 5, kernel_size=2),
    "SPADE: norm must be 'batch' or 'instance', got 'layer'": lambda: nn.SPADE(3, 5, norm="layer"),
    "interpolate: give either size=None or scale_factor=None": lambda: F.interpolate(mg.zeros(1, 1, 2)),
    "interpolate: mode must be one of 'nearest', 'nearest-exact', got 'linear'": (
        lambda: F.interpolate(mg.zeros(1, 1, 2), 4, mode="linear")
    ),
    "interpolate: size=(2, 3) needs one number for each of the 1 axes of space": (
        lambda: F.interpolate(mg.zeros(1, 1, 2), (2, 3))
    ),
    "interpolate: the axes of space must stay longer than 0, and go from (2,) to (0,)": (
        lambda: F.interpolate(mg.zeros(1, 1, 2), scale_factor=0.2)
    ),
    "interpolate: the input must be (N, C, ...)": lambda: F.interpolate(mg.zeros(1, 2), 4),
}


@pytest.mark.parametrize("message", ERRORS)
def test_errors_say_what_came_and_what_was_expected(message):
    with pytest.raises((ValueError, TypeError)) as error:
        ERRORS[message]()
    assert message in str(error.value)


# -- resizing ----------------------------------------------------------------------------------------------


def test_interpolate_repeats_and_skips_pixels():
    x = mg.tensor(np.arange(6.0).reshape(1, 1, 2, 3))
    twice = F.interpolate(x, scale_factor=2)
    np.testing.assert_array_equal(twice.array[0, 0], np.kron(x.array[0, 0], np.ones((2, 2))))
    np.testing.assert_array_equal(F.interpolate(twice, size=(2, 3)).array, x.array)
    assert F.interpolate(x, size=5).shape == (1, 1, 5, 5)
    assert F.interpolate(x, scale_factor=(1.5, 0.7)).shape == (1, 1, 3, 2)
    row = mg.tensor(np.arange(5.0).reshape(1, 1, 5))
    assert F.interpolate(row, size=3).array.ravel().tolist() == [0, 1, 3]  # ⌊i · 5/3⌋
    assert F.interpolate(row, size=3, mode="nearest-exact").array.ravel().tolist() == [0, 2, 4]  # ⌊(i + ½) · 5/3⌋


def test_interpolate_has_derivatives_and_leaves_its_input_alone():
    x = random(1, 2, 3, 2)
    assert gradcheck(lambda x: F.interpolate(x, (5, 3)), x)
    assert gradgradcheck(lambda x: F.interpolate(x, (5, 3)) ** 3, x)
    (g,) = mg.grad(F.interpolate(x, scale_factor=2).sum(), x)
    np.testing.assert_array_equal(g.array, 4.0)
    assert F.interpolate(mg.zeros(0, 3, 4), size=2).shape == (0, 3, 2)
    assert F.interpolate(mg.tensor([[[1, 2]]]), size=4).tolist() == [[[1, 1, 2, 2]]]
