"""Population statistics: recomputed from a whole data set, frozen, and folded into the layer before."""

import copy
import inspect
import sys
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.nn.utils import freeze_statistics, recompute_statistics, unfreeze_statistics
from minigrad.ops.norm.moments import Moments


def random(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


def parts(x: Any, *lengths: int) -> list[Any]:
    """x cut along its first axis, as tensors."""
    assert sum(lengths) == len(x)
    return [mg.tensor(part) for part in np.split(x, np.cumsum(lengths)[:-1])]


def network(dropout: float = 0.0) -> nn.Sequential:
    mg.manual_seed(0)
    return nn.Sequential(
        nn.Linear(3, 4),
        nn.BatchNorm1d(4, eps=1e-12),
        nn.Tanh(),
        nn.Dropout(dropout),
        nn.Linear(4, 5),
        nn.BatchNorm1d(5, eps=1e-12),
    ).double()


def averages(model: nn.Module) -> list[Any]:
    return [buffer.numpy().copy() for buffer in model.buffers()]


# -- moments in parts ----------------------------------------------------------------------------------------


def test_moments_of_parts_are_those_of_the_whole():
    x = random(23, 3, 4) * [[1], [100], [1e-8]] + [[0], [1e6], [-1]]
    moments = Moments(3)
    for part in np.split(x, [1, 2, 2, 10]):
        moments.add(part, (0, 2))
    exact = x.astype(np.longdouble)
    np.testing.assert_allclose(moments.mean, exact.mean((0, 2)).astype(float), rtol=1e-15)
    np.testing.assert_allclose(moments.variance(), exact.var((0, 2)).astype(float), rtol=1e-10)
    np.testing.assert_allclose(moments.variance(1) * (23 * 4 - 1), moments.variance() * 23 * 4)
    assert moments.count == 23 * 4


def test_moments_keep_what_is_not_finite_to_its_channel():
    x = np.array([[1.0, np.nan, np.inf], [3.0, 1.0, 1.0]])
    moments = Moments(3)
    moments.add(x[:1], (0,))
    moments.add(x[1:], (0,))
    assert moments.mean[0] == 2
    assert moments.variance()[0] == 1
    assert np.isnan(moments.mean[1])
    assert not np.isfinite(moments.mean[2])


# -- recompute_statistics ------------------------------------------------------------------------------------


@pytest.mark.parametrize("lengths", [(23,), (10, 10, 3), (1, 22), (7, 0, 16)])
def test_the_first_norm_gets_the_exact_statistics_of_the_set(lengths):
    model, x = network(), 1e3 + random(23, 3)
    recompute_statistics(model, parts(x, *lengths))
    seen = model[0](mg.tensor(x)).detach().numpy()
    np.testing.assert_allclose(model[1].running_mean.numpy(), seen.mean(0), rtol=1e-13)
    np.testing.assert_allclose(model[1].running_var.numpy(), seen.var(0, ddof=1), rtol=1e-9)


@pytest.mark.parametrize("shape", [(9, 2), (9, 2, 5), (9, 2, 3, 2), (9, 2, 2, 3, 2)])
def test_all_layouts(shape):
    kind = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}[len(shape)]
    norm, x = kind(2), random(*shape).astype(np.float32)
    recompute_statistics(norm, parts(x, 4, 5))
    axes = (0, *range(2, len(shape)))
    np.testing.assert_allclose(norm.running_mean.numpy(), x.mean(axes, dtype=np.float64), rtol=1e-6)
    np.testing.assert_allclose(norm.running_var.numpy(), x.var(axes, dtype=np.float64, ddof=1), rtol=1e-6)


def test_deeper_norms_see_inputs_normalized_by_the_batches():
    model, x = network(), random(23, 3)
    first, norm = copy.deepcopy(model[:4]).train(), []
    for part in parts(x, 10, 10, 3):
        norm.append(model[4](first(part)).detach().numpy())
    recompute_statistics(model, parts(x, 10, 10, 3))
    np.testing.assert_allclose(model[5].running_mean.numpy(), np.concatenate(norm).mean(0), rtol=1e-12)
    np.testing.assert_allclose(model[5].running_var.numpy(), np.concatenate(norm).var(0, ddof=1), rtol=1e-12)


@pytest.mark.parametrize("lengths", [(23,), (10, 10, 3), (1, 21, 1)])
def test_layer_by_layer_evaluation_standardizes_the_whole_set(lengths):
    model, x = network(), random(23, 3)
    recompute_statistics(model, parts(x, *lengths), layer_by_layer=True)
    y = model.eval()(mg.tensor(x)).detach().numpy()
    np.testing.assert_allclose(y.mean(0), 0, atol=1e-13)
    np.testing.assert_allclose(y.var(0, ddof=1), 1, rtol=1e-9)


def test_the_order_of_the_batches_does_not_matter():
    first, second = network(), network()
    batches = parts(random(23, 3), 10, 10, 3)
    recompute_statistics(first, batches)
    recompute_statistics(second, batches[::-1])
    for a, b in zip(averages(first), averages(second), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-13)


def test_dropout_is_off_and_draws_nothing():
    x = parts(random(8, 3), 8)
    wet, dry = network(0.9), network(0.0)
    mg.manual_seed(1)
    before = mg.rand(1).item()
    mg.manual_seed(1)
    recompute_statistics(wet, x)
    assert mg.rand(1).item() == before
    recompute_statistics(dry, x)
    for a, b in zip(averages(wet), averages(dry), strict=True):
        np.testing.assert_array_equal(a, b)


def test_flags_counts_and_hooks_are_as_before():
    model = network().train()
    model[1].eval()
    model(mg.tensor(random(5, 3)))
    flags = [m.training for m in model.modules()]
    recompute_statistics(model, parts(random(8, 3), 3, 5))
    assert [m.training for m in model.modules()] == flags
    assert model[5].num_batches_tracked.item() == 1
    assert not any(m._hooks.pre for m in model.modules() if m._hooks is not None)


def test_nothing_is_recorded():
    model = network()
    seen = []
    model[4].register_forward_hook(lambda module, args, output: seen.append(output))
    recompute_statistics(model, parts(random(8, 3), 8))
    assert len(seen) == 1
    assert not seen[0].requires_grad
    assert mg.is_grad_enabled()


def test_kinds_of_batches():
    x, y = random(8, 3), np.arange(8)

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm1d(3, dtype=np.float64)

        def forward(self, x, scale=1.0):
            return self.norm(input=x * scale)

    def mean_after(batch: Any, **options: Any) -> Any:
        model = Model()
        recompute_statistics(model, [batch], **options)
        return model.norm.running_mean.numpy()

    t = mg.tensor(x)
    for batch in (t, x, (t, y), [t, y], {"x": t, "label": y}):
        np.testing.assert_allclose(mean_after(batch), x.mean(0), rtol=1e-13)
    np.testing.assert_allclose(mean_after({"x": t, "scale": 2.0}), 2 * x.mean(0), rtol=1e-13)
    np.testing.assert_allclose(
        mean_after({"picture": t}, forward=lambda model, batch: model(batch["picture"])), x.mean(0), rtol=1e-13
    )
    with pytest.raises(TypeError, match=r"entries picture, and Model\.forward the arguments x, scale"):
        mean_after({"picture": t})
    with pytest.raises(TypeError, match="not a str"):
        mean_after("x")


def test_a_data_loader():
    data = mg.data.TensorDataset(mg.tensor(random(11, 3)), mg.arange(11))
    norm = nn.BatchNorm1d(3, dtype=np.float64)
    recompute_statistics(norm, mg.data.DataLoader(data, batch_size=4, shuffle=True, seed=0))
    np.testing.assert_allclose(norm.running_mean.numpy(), random(11, 3).mean(0), rtol=1e-13)


def test_a_layer_that_is_called_twice_sees_both():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm1d(2, dtype=np.float64)

        def forward(self, a):
            return self.norm(a) + self.norm(3 * a)

    model, x = Twice(), random(6, 2)
    recompute_statistics(model, parts(x, 2, 4))
    np.testing.assert_allclose(model.norm.running_var.numpy(), np.concatenate([x, 3 * x]).var(0, ddof=1), rtol=1e-12)


@pytest.mark.parametrize("layer_by_layer", [False, True])
def test_a_layer_that_evaluation_never_reaches_stays(layer_by_layer):
    class Auxiliary(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm, self.unused = nn.BatchNorm1d(2).double(), nn.BatchNorm1d(2).double()

        def forward(self, x):
            return self.norm(x)

    model = Auxiliary()
    model.unused.running_mean.fill_(7)
    recompute_statistics(model, parts(random(6, 2), 6), layer_by_layer=layer_by_layer)
    assert model.unused.running_mean.tolist() == [7, 7]
    np.testing.assert_allclose(model.norm.running_mean.numpy(), random(6, 2).mean(0), rtol=1e-13)


def test_instance_norm_averages_over_samples():
    norm, x = nn.InstanceNorm1d(2, track_running_stats=True, dtype=np.float64), random(7, 2, 5)
    recompute_statistics(norm, parts(x, 3, 4))
    np.testing.assert_allclose(norm.running_mean.numpy(), x.mean(2).mean(0), rtol=1e-12)
    np.testing.assert_allclose(norm.running_var.numpy(), x.var(2, ddof=1).mean(0), rtol=1e-12)
    single = nn.InstanceNorm1d(2, track_running_stats=True, dtype=np.float64)
    recompute_statistics(single, [mg.tensor(sample) for sample in x])
    np.testing.assert_allclose(single.running_var.numpy(), norm.running_var.numpy(), rtol=1e-12)


def test_an_error_on_the_way_changes_nothing():
    model = network()
    before = averages(model)

    def broken():
        yield mg.tensor(random(4, 3))
        raise OSError("the disk is gone")

    for batches in (broken(), [mg.tensor(random(4, 3)), mg.tensor(random(4, 2))]):
        with pytest.raises((OSError, ValueError)):
            recompute_statistics(model, batches)
        for a, b in zip(averages(model), before, strict=True):
            np.testing.assert_array_equal(a, b)
    assert model.training
    assert model[1].training
    assert not model[1]._hooks.pre


def test_what_cannot_be_recomputed_is_said():
    with pytest.raises(ValueError, match="no layer of this Sequential keeps running statistics"):
        recompute_statistics(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2, track_running_stats=False)), [])
    with pytest.raises(ValueError, match="the loader brought no data"):
        recompute_statistics(network(), [])
    with pytest.raises(ValueError, match="the loader brought no data"):
        recompute_statistics(network(), [mg.zeros(0, 3, dtype=mg.float64)])
    with pytest.raises(ValueError, match="one value per channel in all"):
        recompute_statistics(network(), [mg.zeros(1, 3, dtype=mg.float64)])
    with pytest.raises(TypeError, match="lasts only once"):
        recompute_statistics(network(), iter([mg.zeros(4, 3)]), layer_by_layer=True)
    with pytest.raises(TypeError, match="must be a Module"):
        recompute_statistics([1], [])  # pyright: ignore[reportArgumentType]


# -- freeze_statistics ---------------------------------------------------------------------------------------


def test_frozen_statistics_are_used_and_stay_while_gamma_and_beta_learn():
    model = network()
    for _ in range(3):
        model(mg.tensor(random(6, 3)))
    freeze_statistics(model)
    model.train()
    before = averages(model)
    x = mg.tensor(random(6, 3, seed=1))
    y = model[1](x @ model[0].weight.T)
    expected = in_evaluation(model[1], x @ model[0].weight.T)
    np.testing.assert_array_equal(y.detach().numpy(), expected)
    optimizer = mg.optim.SGD(model.parameters(), lr=0.1)
    gamma, beta = model[1].weight.detach().numpy().copy(), model[1].bias.detach().numpy().copy()
    model(x).square().sum().backward()
    optimizer.step()
    assert not np.allclose(model[1].weight.detach().numpy(), gamma)
    assert not np.allclose(model[1].bias.detach().numpy(), beta)
    for a, b in zip(averages(model), before, strict=True):
        np.testing.assert_array_equal(a, b)
    assert model[3].training  # dropout still trains


def in_evaluation(norm: Any, x: Any) -> Any:
    return (
        mg.nn.functional.batch_norm(
            x, norm.running_mean, norm.running_var, norm.weight, norm.bias, False, 0.0, norm.eps
        )
        .detach()
        .numpy()
    )


def test_frozen_layers_remember_the_mode():
    model = network().train()
    freeze_statistics(model)
    model.eval()
    unfreeze_statistics(model)
    assert not any(m.training for m in model.modules())
    model.train()
    freeze_statistics(model)
    assert not model[1].training
    assert not model[1].train().training
    unfreeze_statistics(model)
    assert all(m.training for m in model.modules())


def test_the_block_unfreezes_only_what_it_froze():
    model = network()
    model[1].eval()
    freeze_statistics(model[5])
    with freeze_statistics(model):
        assert not model[1].training
    assert not model[1].training
    assert model.train()[1].training
    assert not model[5].training
    with pytest.raises(RuntimeError), freeze_statistics(model):
        raise RuntimeError
    assert model[1].training


def test_frozen_layers_say_so_and_survive_a_copy():
    model = network()
    assert "frozen" not in repr(model)
    freeze_statistics(model)
    assert "statistics frozen" in repr(model)
    assert not copy.deepcopy(model).train()[1].training


def test_recomputing_leaves_frozen_layers_alone():
    model = network()
    freeze_statistics(model[1])
    recompute_statistics(model, parts(random(8, 3), 8))
    assert model[1].running_mean.tolist() == [0] * 4
    assert model[5].running_mean.tolist() != [0] * 5
    freeze_statistics(model)
    with pytest.raises(ValueError, match="are frozen"):
        recompute_statistics(model, parts(random(8, 3), 8))


def test_nothing_to_freeze_is_an_error():
    with pytest.raises(ValueError, match="freeze_statistics: no layer"):
        freeze_statistics(nn.Linear(2, 2))


# -- every layer that keeps averages -------------------------------------------------------------------------

# Each with the name of what evaluation must then do to the whole set: its mean and its covariance.
LAYERS = {
    "BatchNorm1d": lambda: nn.BatchNorm1d(4, eps=0.0),
    "SyncBatchNorm": lambda: nn.SyncBatchNorm(4, eps=0.0),
    "GhostBatchNorm1d": lambda: nn.GhostBatchNorm1d(4, 5, eps=0.0),
    "BatchRenorm1d": lambda: nn.BatchRenorm1d(4, eps=0.0),
    "MeanOnlyBatchNorm1d": lambda: nn.MeanOnlyBatchNorm1d(4),
    "PowerNorm": lambda: nn.PowerNorm(4, eps=0.0),
    "PowerNorm of (T, C)": lambda: nn.PowerNorm(4, eps=0.0, axis=-1),
    "SwitchableNorm": lambda: nn.SwitchableNorm(4, eps=0.0, using_in=False),
    "DecorrelatedBatchNorm": lambda: nn.DecorrelatedBatchNorm(4, 2, eps=0.0),
    "IterativeNorm": lambda: nn.IterativeNorm(4, 2, eps=0.0, iterations=20),
}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("layer_by_layer", [False, True])
def test_every_layer_with_averages_takes_part(name, layer_by_layer):
    x = 3 + random(23, 4) @ random(4, 4, seed=1)
    layer = LAYERS[name]().double()
    before = {key: values.numpy().copy() for key, values in layer.named_buffers()}
    recompute_statistics(layer, parts(x, 10, 9, 4), layer_by_layer=layer_by_layer)
    y = layer.eval()(mg.tensor(x)).detach().numpy()
    if name.startswith(("BatchNorm", "Sync", "Ghost")):
        np.testing.assert_allclose(y.var(0, ddof=1), 1, rtol=1e-12)
    elif name.startswith("BatchRenorm"):
        np.testing.assert_allclose(y.var(0), 1, rtol=1e-12)
    elif name.startswith("MeanOnly"):
        np.testing.assert_allclose(y, x - x.mean(0), rtol=1e-12, atol=1e-12)
    elif name.startswith("PowerNorm"):
        np.testing.assert_allclose((y * y).mean(0), 1, rtol=1e-12)
    elif name == "SwitchableNorm":
        np.testing.assert_allclose(layer.running_var.numpy(), x.var(0, ddof=1), rtol=1e-12)
    else:
        white = np.eye(2)
        for group in (y[:, :2], y[:, 2:]):
            np.testing.assert_allclose(group.T @ group / len(x), white, atol=1e-9)
    if not name.startswith(("PowerNorm", "Switchable")):
        np.testing.assert_allclose(y.mean(0), 0, atol=1e-12)
    for key, values in layer.named_buffers():
        moves = "running" in key
        assert moves != np.array_equal(values.numpy(), before[key]), key


@pytest.mark.parametrize("ghost_size", [1, 4, 9])
def test_a_ghost_of_one_passes_through_and_counts(ghost_size):
    x = 3 + random(19, 4)  # parts of 10 and 9: with ghosts of 4 the second ends in one, with ghosts of 9 the first
    model = nn.Sequential(nn.GhostBatchNorm1d(4, ghost_size), nn.BatchNorm1d(4)).double()
    recompute_statistics(model, parts(x, 10, 9))
    np.testing.assert_allclose(model[0].running_var.numpy(), x.var(0, ddof=1), rtol=1e-12)
    assert model.training


def test_evo_norm_has_a_variance_only():
    layer, x = nn.EvoNormB0(2).double(), random(7, 2, 5)
    recompute_statistics(layer, parts(x, 3, 4))
    np.testing.assert_allclose(layer.running_var.numpy(), x.var((0, 2), ddof=1), rtol=1e-12)


@pytest.mark.parametrize("name", LAYERS)
def test_every_layer_with_averages_can_be_frozen(name):
    layer = LAYERS[name]().double()
    x = random(8, 4)
    layer(mg.tensor(x))
    before = [buffer.numpy().copy() for buffer in layer.buffers()]
    layer.eval()
    expected = layer(mg.tensor(x)).detach().numpy()
    with freeze_statistics(layer):
        found = layer.train()(mg.tensor(x))
        found.sum().backward()
    np.testing.assert_array_equal(found.detach().numpy(), expected)
    for a, b in zip(layer.buffers(), before, strict=True):
        np.testing.assert_array_equal(a.numpy(), b)
    assert all(p.grad is not None for p in layer.parameters())


def test_every_kind_of_layer_with_averages_is_here():
    """A new layer with running averages must say what its population statistics are."""

    def kinds(kind: type) -> set[type]:
        return {kind, *(k for sub in kind.__subclasses__() for k in kinds(sub))}

    for kind in kinds(nn.Module):
        module = sys.modules[kind.__module__]
        if not kind.__module__.startswith("minigrad.nn.norm") or getattr(module, kind.__name__, None) is not kind:
            continue  # parametrized layers have classes of their own, made on the way
        if "register_buffer(" in inspect.getsource(kind):
            assert hasattr(kind, "population_statistics"), kind


def test_relatives_of_batch_norm_are_folded():
    for norm in (nn.GhostBatchNorm1d(4, 4), nn.BatchRenorm1d(4), nn.MeanOnlyBatchNorm1d(4), nn.SyncBatchNorm(4)):
        model = nn.Sequential(nn.Linear(3, 4), norm).double()
        for seed in range(3):
            model(mg.tensor(random(7, 3, seed=seed)))
        x = mg.tensor(random(5, 3))
        folded = nn.utils.fold_batch_norm(model.eval())
        np.testing.assert_allclose(folded(x).detach().numpy(), model(x).detach().numpy(), rtol=1e-12, atol=1e-14)
