"""Batch norms folded into the layers before them."""

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.nn.utils import fold_batch_norm, fuse_conv_bn_eval, fuse_linear_bn_eval

NORMS = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
CONVS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}


def random(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


def settled(norm: Any) -> Any:
    """A norm in evaluation whose parameters and averages are all different and far from 0 and 1."""
    n = norm.num_features
    norm.double().eval()
    with mg.no_grad():
        for k, name in enumerate(("weight", "bias", "running_mean")):
            if getattr(norm, name) is not None:
                getattr(norm, name).copy_(random(n, seed=k + 1))
        norm.running_var.copy_(0.1 + random(n, seed=4) ** 2)
    return norm


def check(layer: nn.Module, norm: Any, x: Any) -> None:
    model = nn.Sequential(layer.double(), settled(norm), nn.Tanh()).eval()
    before = {name: values.numpy().copy() for name, values in model.state_dict().items()}
    folded = fold_batch_norm(model)
    x = mg.tensor(x)
    np.testing.assert_allclose(folded(x).detach().numpy(), model(x).detach().numpy(), rtol=1e-12, atol=1e-13)
    assert isinstance(folded[1], nn.Identity)
    assert not folded[0].training
    for name, values in model.state_dict().items():
        np.testing.assert_array_equal(values.numpy(), before[name])


@pytest.mark.parametrize("bias", [True, False])
def test_linear(bias):
    check(nn.Linear(3, 4, bias=bias), nn.BatchNorm1d(4, eps=0.1), random(5, 3))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_convolutions(n, groups, bias):
    layer = CONVS[n](4, 6, 2, stride=2, padding=1, groups=groups, bias=bias)
    check(layer, NORMS[n](6, eps=0.1), random(2, 4, *(4, 3, 3)[:n]))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_transposed_convolutions(n, groups, bias):
    layer = TRANSPOSED[n](4, 6, 2, stride=2, padding=1, output_padding=1, groups=groups, bias=bias)
    check(layer, NORMS[n](6, eps=0.1), random(2, 4, *(4, 3, 3)[:n]))


@pytest.mark.parametrize("mode", ["reflect", "circular"])
def test_padding_modes_and_depthwise(mode):
    layer = nn.Conv2d(4, 4, 3, padding=1, groups=4, padding_mode=mode)
    check(layer, nn.BatchNorm2d(4, eps=0.1), random(2, 4, 4, 4))


@pytest.mark.parametrize("options", [{"affine": False}, {"bias": False}])
def test_norms_without_parameters(options):
    check(nn.Linear(3, 4), nn.BatchNorm1d(4, **options), random(5, 3))


def test_every_pair_of_a_nested_model():
    def block(n_in: int, n_out: int) -> nn.Sequential:
        return nn.Sequential(nn.Conv2d(n_in, n_out, 3, bias=False), settled(nn.BatchNorm2d(n_out)), nn.ReLU())

    model = nn.Sequential(
        block(1, 2), block(2, 3), nn.Flatten(), nn.BatchNorm1d(3), nn.Linear(3, 2), settled(nn.BatchNorm1d(2))
    )
    model.double().eval()
    folded = fold_batch_norm(model)
    x = mg.tensor(random(4, 1, 5, 5))
    np.testing.assert_allclose(folded(x).detach().numpy(), model(x).detach().numpy(), rtol=1e-12)
    left = [name for name, module in folded.named_modules() if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d))]
    assert left == ["3"]  # it follows no layer that could take it
    assert all(p.requires_grad for p in folded.parameters())
    assert "0.0.bias" in folded.state_dict()
    assert isinstance(model[0][1], nn.BatchNorm2d)


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv1d(2, 2, 3, padding=1), settled(nn.BatchNorm1d(2))
        self.conv2, self.bn2 = nn.Conv1d(2, 2, 3, padding=1), settled(nn.BatchNorm1d(2))

    def forward(self, x):
        return x + self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))


def test_pairs_by_name():
    model = nn.Sequential(Residual(), Residual()).double().eval()
    x = mg.tensor(random(3, 2, 5))
    with pytest.raises(ValueError, match="name them"):
        fold_batch_norm(model)
    folded = fold_batch_norm(model, [("0.conv1", "0.bn1"), ("0.conv2", "0.bn2"), ("1.conv2", "1.bn2")])
    np.testing.assert_allclose(folded(x).detach().numpy(), model(x).detach().numpy(), rtol=1e-12)
    assert isinstance(folded[0].bn1, nn.Identity)
    assert isinstance(folded[1].bn1, nn.BatchNorm1d)
    with pytest.raises(AttributeError, match="no submodule 'bn3'"):
        fold_batch_norm(model, [("0.conv1", "0.bn3")])


def test_pytorchs_names():
    x = mg.tensor(random(3, 2, 5))
    for layer, transpose in ((nn.Conv1d(2, 4, 3), False), (nn.ConvTranspose1d(2, 4, 3, groups=2), True)):
        norm = settled(nn.BatchNorm1d(4))
        layer.double()
        fused = fuse_conv_bn_eval(layer, norm, transpose)
        np.testing.assert_allclose(fused(x).detach().numpy(), norm(layer(x)).detach().numpy(), rtol=1e-12, atol=1e-14)
        with pytest.raises(TypeError, match="conv must be a Conv"):
            fuse_conv_bn_eval(layer, norm, not transpose)
    linear, norm = nn.Linear(5, 4).double(), settled(nn.BatchNorm1d(4))
    flat = mg.tensor(random(3, 5))
    np.testing.assert_allclose(
        fuse_linear_bn_eval(linear, norm)(flat).detach().numpy(), norm(linear(flat)).detach().numpy(), rtol=1e-12
    )
    with pytest.raises(TypeError, match="linear must be a Linear"):
        fuse_linear_bn_eval(norm, norm)


def test_float32_is_rounded_once():
    layer, norm = nn.Linear(3, 4), nn.BatchNorm1d(4)
    for _ in range(3):
        norm(mg.tensor(3 + random(6, 4).astype(np.float32)))
    folded = fold_batch_norm(nn.Sequential(layer, norm).eval())
    weight = layer.weight.detach().numpy() / np.sqrt(norm.running_var.numpy().astype(np.float64) + 1e-5)[:, None]
    np.testing.assert_array_equal(folded[0].weight.detach().numpy(), weight.astype(np.float32))
    assert folded[0].bias.dtype == np.float32


def test_frozen_parameters_stay_frozen():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)).eval().requires_grad_(False)
    assert not any(p.requires_grad for p in fold_batch_norm(model).parameters())


def test_what_cannot_be_folded_is_said():
    def fold(layer: nn.Module, norm: nn.Module) -> None:
        fold_batch_norm(nn.Sequential(layer, norm.eval()))

    with pytest.raises(ValueError, match=r"'0' and '1': the BatchNorm1d is in training mode.*model\.eval\(\)"):
        fold_batch_norm(nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)))
    with pytest.raises(ValueError, match="keeps no running statistics"):
        fold(nn.Linear(3, 4), nn.BatchNorm1d(4, track_running_stats=False))
    with pytest.raises(ValueError, match="puts out 4 channels, and the BatchNorm1d has num_features=5"):
        fold(nn.Linear(3, 4), nn.BatchNorm1d(5))
    with pytest.raises(ValueError, match="a BatchNorm2d cannot follow a Conv1d"):
        fold(nn.Conv1d(3, 4, 1), nn.BatchNorm2d(4))
    with pytest.raises(TypeError, match="not into a ReLU"):
        fold_batch_norm(nn.Sequential(nn.ReLU(), nn.BatchNorm1d(4)), [("0", "1")])
    with pytest.raises(TypeError, match="a batch norm is to be folded, not a LayerNorm"):
        fold_batch_norm(nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4)), [("0", "1")])
    with pytest.raises(TypeError, match="must be a Module"):
        fold_batch_norm(3)  # pyright: ignore[reportArgumentType]
    hooked = nn.Linear(3, 4)
    hooked.register_forward_hook(lambda *_: None)
    with pytest.raises(ValueError, match="the Linear has hooks"):
        fold(hooked, nn.BatchNorm1d(4))


def test_shared_layers_are_not_folded():
    layer = nn.Linear(4, 4)
    model = nn.Sequential(layer, nn.BatchNorm1d(4), layer).eval()
    with pytest.raises(ValueError, match=r"'0' is used in several places \('0', '2'\)"):
        fold_batch_norm(model)
    other = nn.Linear(4, 4)
    other.weight = layer.weight
    with pytest.raises(ValueError, match="weight of '0' is shared with another module"):
        fold_batch_norm(nn.Sequential(layer, nn.BatchNorm1d(4), other).eval())
    norm = nn.BatchNorm1d(4)
    with pytest.raises(ValueError, match="used in several places"):
        fold_batch_norm(nn.Sequential(layer, norm, nn.Linear(4, 4), norm).eval())


def test_it_follows_recomputed_and_frozen_statistics():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)).double()
    mg.nn.utils.recompute_statistics(model, [mg.tensor(random(6, 3))])
    mg.nn.utils.freeze_statistics(model)
    x = mg.tensor(random(5, 3, seed=1))
    np.testing.assert_allclose(
        fold_batch_norm(model)(x).detach().numpy(), model(x).detach().numpy(), rtol=1e-12, atol=1e-14
    )


def test_parametrized_weights_are_named():
    """What computes a weight anew in each call cannot take a factor in; taken off, the plain weight can."""
    layer, norm = nn.Linear(3, 4).double(), settled(nn.BatchNorm1d(4))
    nn.utils.parametrizations.weight_norm(layer)
    model = nn.Sequential(layer, norm).eval()
    with pytest.raises(ValueError, match=r"weight of the Parametrized\w* is parametrized.*remove_parametrizations"):
        fold_batch_norm(model)
    nn.utils.parametrize.remove_parametrizations(layer, "weight")
    x = mg.tensor(random(5, 3))
    np.testing.assert_allclose(fold_batch_norm(model)(x).detach().numpy(), model(x).detach().numpy(), rtol=1e-12)
