"""What treats a weight filter by filter, on transposed convolutions: (in, out/groups, ...), a filter in each group.

The oracles are plain indexing, filter by filter, and a layer without groups for each group.
"""

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.autograd import gradcheck, gradgradcheck
from minigrad.nn import functional as F
from minigrad.nn.utils import data_dependent_init
from minigrad.nn.utils.parametrizations import (
    scaled_weight_standardization,
    spectral_norm,
    weight_norm,
    weight_standardization,
)
from minigrad.ops.conv import filters_back, filters_first

LAYERS = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
SIZES = [(1, 4, 6), (2, 4, 6), (3, 6, 3), (4, 4, 8), (4, 4, 4)]  # groups, in, out


def layer_of(n, groups, inputs, outputs, kernel=3, **options):
    mg.manual_seed(groups + inputs)
    return LAYERS[n](inputs, outputs, kernel, groups=groups, bias=False, dtype=np.float64, **options)


def filters(weight, groups):
    """Each output channel's weights as a list of arrays, by plain indexing."""
    share, per_group = weight.shape[0] // groups, weight.shape[1]
    return [weight[g * share : (g + 1) * share, o] for g in range(groups) for o in range(per_group)]


@pytest.mark.parametrize(("groups", "inputs", "outputs"), SIZES)
@pytest.mark.parametrize("n", [1, 2, 3])
def test_filters_first_and_back(n, groups, inputs, outputs):
    weight = np.random.default_rng(0).standard_normal((inputs, outputs // groups, *(2, 3, 4)[:n]))
    rows = filters_first(weight, groups)
    assert rows.shape == (outputs, inputs // groups, *(2, 3, 4)[:n])
    for row, expected in zip(rows, filters(weight, groups), strict=True):
        np.testing.assert_array_equal(row, expected)
    np.testing.assert_array_equal(filters_back(rows, groups), weight)


@pytest.mark.parametrize(("groups", "inputs", "outputs"), SIZES)
@pytest.mark.parametrize("n", [1, 2, 3])
def test_each_filter_is_standardized(n, groups, inputs, outputs):
    layer = layer_of(n, groups, inputs, outputs)
    plain = layer.weight.detach().numpy().copy()
    weight_standardization(layer)
    for found, w in zip(filters(layer.weight.detach().numpy(), groups), filters(plain, groups), strict=True):
        np.testing.assert_allclose(found, (w - w.mean()) / np.sqrt(w.var() + 1e-10), rtol=1e-10)


@pytest.mark.parametrize(("groups", "inputs", "outputs"), SIZES)
@pytest.mark.parametrize("n", [1, 2, 3])
def test_the_scaled_one_keeps_the_variance(n, groups, inputs, outputs):
    layer = scaled_weight_standardization(layer_of(n, groups, inputs, outputs))
    gain = layer.parametrizations.weight[0].gain
    assert gain.shape == (groups, outputs // groups, *(1,) * n) and gain.numel() == outputs
    fan_in = inputs // groups * 3**n
    for w in filters(layer.weight.detach().numpy(), groups):
        assert abs(w.mean()) < 1e-12
        np.testing.assert_allclose(w.var() * fan_in, 1, rtol=1e-6)
    x = np.random.default_rng(1).standard_normal((60, inputs, *(60, 9, 7)[n - 1 : n] * n))
    y = layer(mg.tensor(x)).detach().numpy()[(slice(None), slice(None), *[slice(2, -2)] * n)]  # no output at the edge
    np.testing.assert_allclose(y.var(axis=(0, *range(2, n + 2))), 1, rtol=0.25)
    np.testing.assert_allclose(y.var(), 1, rtol=0.1)
    # The gain is one number for each output.
    values = np.arange(1.0, outputs + 1)
    gain.array[...] = values.reshape(gain.shape)
    for w, factor in zip(filters(layer.weight.detach().numpy(), groups), values, strict=True):
        np.testing.assert_allclose(w.var() * fan_in, factor**2, rtol=1e-6)


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_the_same_as_a_twin_for_each_group(n, scaled):
    """A grouped layer is several layers side by side, each with a share of the channels: weight, output, gradient."""
    groups, inputs, outputs = 3, 6, 9
    parametrize = scaled_weight_standardization if scaled else weight_standardization
    layer = parametrize(layer_of(n, groups, inputs, outputs))
    rng = np.random.default_rng(2)
    x = mg.tensor(rng.standard_normal((2, inputs, *(5, 4, 3)[:n])), requires_grad=True)
    y = layer(x)
    v = rng.standard_normal(y.shape)
    layer.zero_grad()
    y.backward(mg.tensor(v))
    original = layer.parametrizations.weight.original
    for g in range(groups):
        twin = layer_of(n, 1, inputs // groups, outputs // groups)
        rows, columns = (slice(g * k // groups, (g + 1) * k // groups) for k in (inputs, outputs))
        twin.weight.array[...] = original.array[rows]
        parametrize(twin)
        part = mg.tensor(x.array[:, rows], requires_grad=True)
        out = twin(part)
        out.backward(mg.tensor(v[:, columns]))
        np.testing.assert_allclose(out.array, y.array[:, columns], rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(part.grad.array, x.grad.array[:, rows], rtol=1e-9, atol=1e-12)
        twin_original = twin.parametrizations.weight.original
        np.testing.assert_allclose(twin_original.grad.array, original.grad.array[rows], rtol=1e-7, atol=1e-9)
        if scaled:
            one, all_of_them = twin.parametrizations.weight[0].gain, layer.parametrizations.weight[0].gain
            np.testing.assert_allclose(one.grad.array[0], all_of_them.grad.array[g], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("composed", [False, True])
def test_derivatives_with_groups(composed):
    rng = np.random.default_rng(3)
    w = mg.tensor(rng.standard_normal((4, 2, 3)), requires_grad=True)
    gain = mg.tensor(rng.standard_normal((2, 2, 1)), requires_grad=True)
    for function, inputs in (
        (lambda w: F.weight_standardization(w, 1, groups=2), (w,)),
        (lambda w, gain: F.scaled_weight_standardization(w, gain, 1.7, 1, groups=2), (w, gain)),
        (lambda w, gain: F.weight_norm(w, gain, 1, groups=2), (w, gain)),
    ):

        def call(*args, function=function):
            if composed:
                with mg.composed():
                    return function(*args)
            return function(*args)

        assert gradcheck(call, inputs)
        assert gradgradcheck(call, inputs)


def test_ordinary_convolutions_and_other_axes_are_as_before():
    conv = nn.Conv2d(4, 6, 3, groups=2)
    weight = conv.weight.detach().numpy()
    out = weight_standardization(conv).weight.detach().numpy()
    mean, var = weight.mean(axis=(1, 2, 3), keepdims=True), weight.var(axis=(1, 2, 3), keepdims=True)
    np.testing.assert_allclose(out, (weight - mean) / np.sqrt(var + 1e-10), rtol=2e-5, atol=1e-6)
    layer = layer_of(2, 2, 4, 6)
    w = layer.weight.detach().numpy()
    out = weight_standardization(layer, dim=0).weight.detach().numpy()  # asked for: by input channel
    mean, std = w.mean(axis=(1, 2, 3), keepdims=True), w.std(axis=(1, 2, 3), keepdims=True)
    np.testing.assert_allclose(out, (w - mean) / std, rtol=1e-6)
    negative = weight_standardization(layer_of(2, 2, 4, 6), dim=-3).weight
    np.testing.assert_array_equal(
        negative.detach().numpy(), weight_standardization(layer_of(2, 2, 4, 6)).weight.detach().numpy()
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda w: F.weight_standardization(w, 1, groups=3),
            r"weight_standardization: groups=3 must divide .*\(4, 2, 3",
        ),
        (
            lambda w: F.weight_standardization(w, 2, groups=2),
            "groups=2 needs dim=1, as ConvTranspose has it, and dim is 2",
        ),
        (lambda w: F.scaled_weight_standardization(w, mg.ones(1, 2, 1), 1, 1, groups=2), r"must have \(2, 2, 1\)"),
        (lambda w: F.weight_norm(w, mg.ones(1, 2, 1), 1, groups=2), r"g has shape .* must have \(2, 2, 1\)"),
        (lambda w: F.weight_norm(w, mg.ones(1, 2, 1), 1, groups=0), "weight_norm: groups=0 must divide"),
        (lambda w: F.weight_standardization(w[:, :, :1], 1, groups=4), "a filter of one weight has no variance"),
    ],
)
def test_messages(call, message):
    with pytest.raises(ValueError, match=message):
        call(mg.ones(4, 2, 3))


@pytest.mark.parametrize(("groups", "inputs", "outputs"), SIZES)
@pytest.mark.parametrize("n", [1, 2, 3])
def test_weight_norm_with_a_g_for_each_filter(n, groups, inputs, outputs):
    layer = layer_of(n, groups, inputs, outputs)
    plain = layer.weight.detach().numpy().copy()
    if groups > 1:
        plain[: inputs // groups, 0] = layer.weight.array[: inputs // groups, 0] = 0  # one filter, in the first group
    weight_norm(layer, dim=1, groups=groups)
    np.testing.assert_allclose(layer.weight.detach().numpy(), plain, rtol=1e-12)
    g = layer.parametrizations.weight.original0
    assert g.shape == (groups, outputs // groups, *(1,) * n)
    lengths = [np.linalg.norm(w) for w in filters(plain, groups)]
    np.testing.assert_allclose(g.array.ravel(), lengths, rtol=1e-12)
    shared = weight_norm(layer_of(n, groups, inputs, outputs), dim=1)  # as in PyTorch
    assert shared.parametrizations.weight.original0.shape == (1, outputs // groups, *(1,) * n)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_data_dependent_init(n, bias):
    layer = weight_norm(LAYERS[n](6, 4, 2, groups=2, bias=bias, dtype=np.float64), dim=1, groups=2)
    x = mg.tensor(np.random.default_rng(4).standard_normal((50, 6, *(4,) * n)) * 3 + 1)
    y = data_dependent_init(layer, x)(x).detach().numpy()
    axes = (0, *range(2, n + 2))
    np.testing.assert_allclose(y.var(axes), 1, rtol=1e-6)
    if bias:
        np.testing.assert_allclose(y.mean(axes), 0, atol=1e-9)
    with pytest.raises(ValueError, match=r"use weight_norm\(layer, dim=1, groups=2\)"):
        data_dependent_init(weight_norm(LAYERS[n](6, 4, 2, groups=2), dim=1), mg.ones(2, 6, *(4,) * n))
    with pytest.raises(ValueError, match=r"use weight_norm\(layer, dim=1, groups=2\)"):
        data_dependent_init(weight_norm(LAYERS[n](6, 4, 2, groups=2)), mg.ones(2, 6, *(4,) * n))


@pytest.mark.parametrize("n", [1, 2, 3])
def test_directions_have_the_length_of_each_filter(n):
    model = nn.Sequential(
        LAYERS[n](4, 6, 3, groups=2, dtype=np.float64),
        weight_standardization(LAYERS[n](6, 4, 3, groups=2, dtype=np.float64)),
        weight_norm(LAYERS[n](4, 4, 3, groups=4, dtype=np.float64), dim=1),
        LAYERS[n](4, 3, 2, dtype=np.float64),
    )
    (found,) = mg.viz.directions(model, count=1)
    parameters = dict(model.named_parameters())
    names = ["0.weight", "1.parametrizations.weight.original", "2.parametrizations.weight.original1", "3.weight"]
    for name, groups in zip(names, (2, 2, 4, 1), strict=True):
        for d, w in zip(filters(found[name], groups), filters(parameters[name].array, groups), strict=True):
            np.testing.assert_allclose(np.linalg.norm(d), np.linalg.norm(w), rtol=1e-10)


def test_looking_for_directions_leaves_spectral_norm_alone():
    layer = spectral_norm(nn.ConvTranspose1d(4, 6, 3, groups=2))
    before = layer.parametrizations.weight[0]._u.array.copy()
    mg.viz.directions(layer, count=1)
    np.testing.assert_array_equal(layer.parametrizations.weight[0]._u.array, before)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_gradients_are_clipped_by_output(n):
    layer = layer_of(n, 2, 4, 6)
    rng = np.random.default_rng(5)
    g = rng.standard_normal(layer.weight.shape)
    layer.weight.grad = mg.tensor(g.copy())
    mg.optim.adaptive_clip_grad_(layer, 0.1)
    found = filters(layer.weight.grad.array, 2)
    for w, before, after in zip(filters(layer.weight.array, 2), filters(g, 2), found, strict=True):
        factor = min(1, 0.1 * max(np.linalg.norm(w), 1e-3) / np.linalg.norm(before))
        np.testing.assert_allclose(after, before * factor, rtol=1e-12)


@pytest.mark.parametrize(("groups", "inputs", "outputs"), [(1, 40, 8), (4, 80, 40), (2, 8, 200)])
def test_fixup_starts_transposed_convolutions_by_their_inputs(groups, inputs, outputs):
    mg.manual_seed(0)
    first = nn.ConvTranspose1d(inputs, outputs, 5, groups=groups)
    block = nn.FixupBlock(nn.Linear(3, 3), nn.Linear(3, 3))
    nn.init.fixup_(nn.Sequential(first, block, nn.Linear(3, 2)))
    fan_in = inputs // groups * 5
    np.testing.assert_allclose(first.weight.array.var(), 2 / fan_in, rtol=0.15)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_batch_norm_is_folded_into_the_filters_of_its_channels(n):
    layer = LAYERS[n](4, 6, 3, groups=2, dtype=np.float64)
    norm = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}[n](6, dtype=np.float64)
    rng = np.random.default_rng(6)
    for tensor in (norm.weight, norm.bias, norm.running_mean):
        tensor.array[...] = rng.standard_normal(6)
    norm.running_var.array[...] = rng.random(6) + 0.5
    norm.eval()
    x = mg.tensor(rng.standard_normal((2, 4, *(4,) * n)))
    fused = nn.utils.fuse_conv_bn_eval(layer, norm, transpose=True)
    np.testing.assert_allclose(fused(x).detach().numpy(), norm(layer(x)).detach().numpy(), rtol=1e-9, atol=1e-12)
