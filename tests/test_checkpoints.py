"""State dictionaries that PyTorch's older versions wrote, and the options of `load_state_dict`."""

import copy
from functools import partial

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.nn.utils import parametrizations


def rng(seed=0):
    return np.random.default_rng(seed)


LAYERS = {
    "linear": (lambda: nn.Linear(4, 3), (5, 4)),
    "conv": (lambda: nn.Conv2d(2, 3, 3), (1, 2, 5, 5)),
    "transposed": (lambda: nn.ConvTranspose1d(2, 3, 3), (1, 2, 5)),
}


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("dim", [0, 1, None])
def test_weight_g_and_weight_v_fit_the_parametrization(kind, dim):
    make, shape = LAYERS[kind]
    net = nn.Sequential(nn.Identity(), parametrizations.weight_norm(make(), dim=dim))
    g = net[1].parametrizations.weight.original0.shape
    v = net[1].parametrizations.weight.original1.shape
    old = {
        "1.weight_g": rng(1).standard_normal(g).astype(np.float32),
        "1.weight_v": rng(2).standard_normal(v).astype(np.float32),
        "1.bias": rng(3).standard_normal(3).astype(np.float32),
    }
    given = dict(old)
    assert not any(net.load_state_dict(old))
    assert old.keys() == given.keys()  # the dictionary itself is left as it was
    v64, axes = old["1.weight_v"].astype(float), tuple(a for a in range(len(v)) if a != dim)
    expected = old["1.weight_g"] * v64 / np.sqrt((v64**2).sum(axes, keepdims=True))
    np.testing.assert_allclose(net[1].weight.detach(), expected, rtol=1e-5)
    np.testing.assert_array_equal(net[1].bias.detach(), old["1.bias"])

    # The older function has these names itself, and computes the same.
    hooked = nn.Sequential(nn.Identity(), nn.utils.weight_norm(make(), dim=dim))
    assert [(k, t.shape) for k, t in hooked.state_dict().items()] == [
        ("1.bias", (3,)), ("1.weight_g", g), ("1.weight_v", v)
    ]  # fmt: skip
    hooked.load_state_dict(old)
    x = mg.randn(*shape)
    np.testing.assert_allclose(hooked(x).detach(), net(x).detach(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", LAYERS)
def test_weight_orig_and_weight_u_fit_the_parametrization(kind):
    make, shape = LAYERS[kind]
    net = nn.Sequential(parametrizations.spectral_norm(make()))
    hooked = nn.Sequential(nn.utils.spectral_norm(make()))
    x = mg.randn(*shape)
    hooked(x)
    old = copy.deepcopy(hooked.state_dict())
    assert list(old) == ["0.bias", "0.weight_orig", "0.weight_u", "0.weight_v"]
    assert not any(net.load_state_dict(old))
    np.testing.assert_array_equal(net[0].parametrizations.weight[0]._u, old["0.weight_u"])
    for mode in (False, True):
        np.testing.assert_allclose(hooked.train(mode)(x).detach(), net.train(mode)(x).detach(), rtol=1e-5, atol=1e-6)


def test_a_second_parametrization_and_one_old_name_alone():
    layer = parametrizations.spectral_norm(parametrizations.weight_norm(nn.Linear(4, 3)))
    state = dict(layer.state_dict())
    state["weight_g"] = state.pop("parametrizations.weight.original0") * 2
    with pytest.raises(RuntimeError, match=r"missing: parametrizations.weight.original0\n.*unexpected: weight_g"):
        layer.load_state_dict(state)
    state["weight_v"] = state.pop("parametrizations.weight.original1")
    layer.load_state_dict(state)
    np.testing.assert_array_equal(layer.parametrizations.weight.original0.detach(), state["weight_g"])


def test_the_older_functions_learn_and_are_taken_off():
    mg.manual_seed(0)
    plain = nn.Linear(4, 3)
    x, target = mg.randn(6, 4), mg.randn(6, 3)

    def trained(layer):
        optimizer = mg.optim.SGD(layer.parameters(), lr=0.3)
        for _ in range(3):
            optimizer.zero_grad()
            nn.functional.mse_loss(layer(x), target).backward()
            optimizer.step()
        return layer(x).detach().numpy()

    hooked = nn.utils.weight_norm(copy.deepcopy(plain))
    np.testing.assert_allclose(hooked(x).detach(), plain(x).detach(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        trained(hooked), trained(parametrizations.weight_norm(copy.deepcopy(plain))), rtol=1e-4, atol=1e-5
    )
    before = hooked(x).detach()
    assert nn.utils.remove_weight_norm(hooked) is hooked
    assert [n for n, _ in hooked.named_parameters()] == ["bias", "weight"]
    np.testing.assert_allclose(hooked(x).detach(), before, rtol=1e-5, atol=1e-6)

    spectral = nn.utils.spectral_norm(copy.deepcopy(plain), n_power_iterations=50)
    spectral(x)
    assert abs(np.linalg.norm(spectral.weight.detach().numpy(), 2) - 1) < 1e-4
    nn.utils.remove_spectral_norm(spectral)
    assert abs(np.linalg.norm(spectral.weight.detach().numpy(), 2) - 1) < 1e-4
    assert list(spectral.state_dict()) == ["bias", "weight"] and spectral.training
    for remove in (nn.utils.remove_weight_norm, nn.utils.remove_spectral_norm):
        with pytest.raises(ValueError, match="Linear has no 'weight' that"):
            remove(spectral)
    twice = nn.utils.weight_norm(nn.Linear(2, 2))
    with pytest.raises(RuntimeError, match="'weight' is computed by such a hook already"):
        nn.utils.weight_norm(twice)


@pytest.mark.parametrize(
    ("layer", "space", "counts"),
    [
        (nn.BatchNorm1d, 0, True),
        (nn.BatchNorm2d, 2, True),
        (nn.BatchNorm3d, 3, True),
        (nn.SyncBatchNorm, 0, True),
        (nn.GhostBatchNorm1d, 0, True),
        (nn.InstanceNorm2d, 2, False),
    ],
)
def test_a_checkpoint_without_a_count_of_batches(layer, space, counts):
    options = {"affine": True, "track_running_stats": True}
    if layer is nn.GhostBatchNorm1d:
        layer = partial(layer, ghost_size=2)
    net = nn.Sequential(layer(3, **options), nn.Identity())
    shape = (4, 3) + (2,) * space
    net(mg.randn(*shape))
    seen = net[0].num_batches_tracked.item()
    assert bool(seen) == counts
    old = {k: np.full(t.shape, 0.5, np.float32) for k, t in net.state_dict().items() if "num_batches" not in k}
    assert repr(net.load_state_dict(old)) == "<All keys matched successfully>"
    assert net[0].running_mean.tolist() == [0.5] * 3 and net[0].num_batches_tracked.item() == seen
    fresh = nn.Sequential(layer(3, **options), nn.Identity())
    fresh.load_state_dict(old)
    assert fresh[0].num_batches_tracked.item() == 0
    fresh(mg.randn(*shape))
    assert fresh[0].num_batches_tracked.item() == seen
    del old["0.running_var"]
    assert fresh.load_state_dict(old, strict=False).missing_keys == ["0.running_var"]
    untracked = nn.Sequential(layer(3, affine=True, track_running_stats=False))
    assert untracked.load_state_dict(old, strict=False).unexpected_keys == ["0.running_mean"]


def test_what_strict_false_returns():
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    result = net.load_state_dict({"0.weight": np.zeros((2, 2)), "x.y": np.zeros(3)}, strict=False)
    missing, unexpected = result
    assert missing == result.missing_keys == ["0.bias", "1.weight", "1.bias"]
    assert unexpected == result.unexpected_keys == ["x.y"]
    assert repr(result) == "IncompatibleKeys(missing_keys=['0.bias', '1.weight', '1.bias'], unexpected_keys=['x.y'])"


def test_assign_takes_the_tensors_themselves():
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    net[0].weight.requires_grad_(False)
    state = copy.deepcopy(net).double().state_dict()
    old = net[0].weight
    assert not any(net.load_state_dict(state, assign=True))
    assert net[0].weight is not old and isinstance(net[0].weight, nn.Parameter)
    assert net[0].weight.dtype == np.float64 and np.shares_memory(net[0].weight.detach(), state["0.weight"])
    assert not net[0].weight.requires_grad and net[0].bias.requires_grad
    assert net[1].running_mean.dtype == np.float64 and "running_mean" in dict(net[1].named_buffers())
    given = nn.Parameter(mg.ones(2))
    net.load_state_dict({"0.bias": given}, strict=False, assign=True)
    assert net[0].bias is given
    with pytest.raises(RuntimeError, match=r"shape of 0\.bias"):
        net.load_state_dict({"0.bias": mg.ones(3)}, strict=False, assign=True)


def test_assign_keeps_shared_parameters_shared():
    net = nn.Sequential(nn.Embedding(4, 3), nn.Linear(3, 4, bias=False))
    net[1].weight = net[0].weight
    state = {k: t.clone() for k, t in net.state_dict().items()}
    net.load_state_dict(state, assign=True)
    assert net[0].weight is net[1].weight and len(list(net.parameters())) == 1
