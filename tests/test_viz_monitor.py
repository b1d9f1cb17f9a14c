"""The monitor sees every number that passes a layer, counts it rightly, and leaves the training alone."""

import copy
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.viz.histogram import BINS, Histogram
from minigrad.viz.monitoring import Summary

F = nn.functional


def counts(values: Any, edges: Any) -> Any:
    """Numbers in each bin, the lower end included and the upper not, also of the last bin."""
    places = np.searchsorted(edges, np.asarray(values, np.float64).reshape(-1), side="right") - 1
    return np.bincount(places, minlength=len(edges) - 1)


# -- histograms that can be added ---------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", [1e-30, 1.0, 3e20])
@pytest.mark.parametrize("shift", [0.0, -2.5, 1e6])
def test_a_histogram_counts_every_number_once(dtype, scale, shift):
    rng = np.random.default_rng(0)
    x = (rng.standard_normal(300) * scale + shift).astype(dtype)
    h = Histogram.of(x)
    assert h.counts.sum() == 300 and len(h.counts) <= BINS and h.counts[0] > 0 and h.counts[-1] > 0
    assert np.array_equal(h.counts, counts(x, h.edges))
    if x.max() > x.min() and shift == 0:
        assert len(h.counts) >= BINS // 2


def test_sums_of_histograms_are_exact():
    rng = np.random.default_rng(0)
    parts = [rng.standard_normal(50) * s + m for s, m in [(1, 0), (1e-3, 5), (40, -7), (1e-9, 1e4), (0, 3)]]
    total = Histogram.of(parts[0])
    for i, part in enumerate(parts[1:], 2):
        total = total + Histogram.of(part)
        together = np.concatenate(parts[:i])
        assert np.array_equal(total.counts, counts(together, total.edges)) and len(total.counts) <= BINS
    assert len(total.counts) > BINS // 4
    again = Histogram.of(parts[-1])
    for part in parts[-2::-1]:
        again = Histogram.of(part) + again
    assert again.counts.sum() == total.counts.sum() == 250


@pytest.mark.parametrize("values", [[0.0], [3.3, 3.3], [1e308, -1e308], [5e-324, 0.0], [-1e-300]])
def test_histograms_of_extreme_numbers(values):
    h = Histogram.of(np.array(values))
    assert h.counts.sum() == len(values) and len(h.counts) <= BINS
    both = h + Histogram.of(np.array([1.0]))
    assert both.counts.sum() == len(values) + 1


def test_quantiles_and_shares():
    h = Histogram.of(np.arange(64.0))
    np.testing.assert_allclose(h.quantiles([0.25, 0.5]), [16, 32], atol=0.5)
    np.testing.assert_allclose(h.density([0.0, 16.0, 64.0]), [0.25, 0.75])
    assert h.counts[h.bin(7.0)] == 1


def test_summaries_add_up():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal(20) + 1e6, np.concatenate([rng.standard_normal(30) * 5, [0, 0, np.nan, np.inf]])
    whole = Summary.of(a) + Summary.of(b)
    x = np.concatenate([a, b[:-2]])
    mean, std, low, high, rms, norm, zeros, nonfinite = whole.numbers()
    np.testing.assert_allclose([mean, std, low, high], [x.mean(), x.std(), x.min(), x.max()], rtol=1e-12)
    np.testing.assert_allclose([rms, norm], [np.sqrt((x**2).mean()), np.linalg.norm(x)], rtol=1e-12)
    assert (zeros, nonfinite) == (2 / 54, 2 / 54)
    nothing = Summary.of(np.array([np.nan]))
    assert np.isnan(nothing.numbers()[0]) and nothing.numbers()[-1] == 1
    for sum_ in (nothing + whole, whole + nothing):
        assert sum_.numbers()[:6] == whole.numbers()[:6] and sum_.nonfinite == 3
    # Far from zero, the deviation must not come from E[x²] − E[x]².
    np.testing.assert_allclose(Summary.of(np.array([40000, 40001, 40002, 40003], np.float32)).numbers()[1], 1.25**0.5)


# -- the monitor --------------------------------------------------------------------------------------------


def network() -> nn.Sequential:
    mg.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(6, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 2))


def batches(n: int) -> list[Any]:
    rng = np.random.default_rng(1)
    return [(mg.tensor(rng.standard_normal((8, 2, 3)).astype(np.float32)), mg.arange(8) % 2) for _ in range(n)]


def train(model: Any, n: int, watch: Any = None) -> list[float]:
    optimizer = mg.optim.Adam(model.parameters(), lr=0.05)
    losses = []
    for x, y in batches(n):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def by_hand(model: Any, x: Any, y: Any) -> dict[str, Any]:
    """Outputs and gradients of each layer, and of each parameter, for one batch."""
    outputs = [x]
    for layer in model:
        outputs.append(layer(outputs[-1]))
    gradients = mg.grad(F.cross_entropy(outputs[-1], y), [*outputs[2:], *model.parameters()])
    names = [str(i) for i in range(1, len(model))]
    return {
        "activations": dict(zip(names, [o.array for o in outputs[2:]], strict=True)),
        "gradients": dict(zip(names, [g.array for g in gradients[: len(names)]], strict=True)),
        "parameter_gradients": {
            name: g.array for (name, _), g in zip(model.named_parameters(), gradients[len(names) :], strict=True)
        },
    }


def test_statistics_and_histograms_are_those_of_the_numbers():
    ((x, y),) = batches(1)
    expected = by_hand(network(), x, y)
    model = network()
    with mg.viz.monitor(model) as watch:
        F.cross_entropy(model(x), y).backward()
    assert watch.layers == ["1", "2", "3", "4"] and watch.step_count == 1
    for kind, tensors in expected.items():
        for name, values in tensors.items():
            v = values.astype(np.float64)
            found = watch.statistics(kind, name)
            assert found["step"].tolist() == [0]
            for statistic, number in [
                ("mean", v.mean()), ("std", v.std()), ("min", v.min()), ("max", v.max()),
                ("rms", np.sqrt((v**2).mean())), ("norm", np.linalg.norm(v)), ("zeros", (v == 0).mean()),
                ("nonfinite", 0),
            ]:  # fmt: skip
                np.testing.assert_allclose(found[statistic][0], number, rtol=1e-5, atol=1e-8, err_msg=f"{kind} {name}")
            got, edges = watch.histogram(kind, name, 0)
            assert got.sum() == v.size
            if kind == "activations":  # the same bits: forward passes of the same weights
                assert np.array_equal(got, counts(values, edges))


def test_training_is_the_same_to_the_bit_and_the_hooks_go_away():
    plain, watched = network(), network()
    losses = train(plain, 5)
    with mg.viz.monitor(watched) as watch:
        assert train(watched, 5) == losses
    for a, b in zip(plain.parameters(), watched.parameters(), strict=True):
        assert np.array_equal(a.array, b.array)
    assert all(not m._hooks or not (m._hooks.pre or m._hooks.post or m._hooks.backward) for m in watched.modules())
    assert not any(hooks for p in watched.parameters() for hooks in (p.hooks or {}).values())
    train(watched, 2)
    assert watch.step_count == 5 and len(watch.statistics("activations", "1")["step"]) == 5
    watch.close()


def test_an_error_in_the_block_takes_the_hooks_off_too():
    model = network()
    with pytest.raises(ValueError, match="shape"), mg.viz.monitor(model):
        model(mg.ones(8, 2, 4))
    assert all(not m._hooks or not (m._hooks.pre or m._hooks.post) for m in model.modules())


def test_gradients_that_come_after_closing_are_not_kept():
    model, ((x, y),) = network(), batches(1)
    with mg.viz.monitor(model) as watch:
        loss = F.cross_entropy(model(x), y)
    loss.backward()
    with pytest.raises(ValueError, match="Nothing of the kind"):
        watch.statistics("gradients", "1")


class Twice(nn.Module):
    """A layer that is used twice, and one of which gives a tuple."""

    def __init__(self) -> None:
        self.layer = nn.Linear(3, 3)
        self.rnn = nn.LSTM(3, 2)

    def forward(self, x: Any) -> Any:
        return self.rnn(self.layer(self.layer(x)))[0]


def test_a_layer_that_is_called_twice_in_a_step():
    mg.manual_seed(0)
    model, x = Twice(), mg.randn(4, 2, 3)
    once = model.layer(x)
    twice = model.layer(once)
    output = model.rnn(twice)[0]
    g_once, g_twice = mg.grad((output**2).sum(), [once, twice])
    with mg.viz.monitor(model) as watch:
        (model(x) ** 2).sum().backward()
    assert watch.layers == ["layer", "rnn"]
    for kind, parts in [("activations", [once, twice]), ("gradients", [g_once, g_twice])]:
        values = np.stack([p.array for p in parts]).astype(np.float64)
        found = watch.statistics(kind, "layer")
        np.testing.assert_allclose([found["mean"][0], found["std"][0]], [values.mean(), values.std()], rtol=1e-5)
        got, edges = watch.histogram(kind, "layer", 0)
        assert np.array_equal(got, counts(values, edges))
    np.testing.assert_allclose(watch.statistics("activations", "rnn")["max"], output.array.max())


def test_evaluation_is_not_looked_at_unless_asked():
    model, ((x, y),) = network(), batches(1)
    with mg.viz.monitor(model) as watch:
        model(x)
        model.eval()
        model(x + 100)
        with mg.no_grad():
            model(x + 100)
        model.train()
        F.cross_entropy(model(x), y).backward()
    assert watch.step_count == 2
    assert watch.statistics("activations", "1")["step"].tolist() == [0, 1]
    assert watch.statistics("gradients", "1")["step"].tolist() == [1]
    assert watch.statistics("activations", "1")["max"].max() < 10
    with mg.viz.monitor(model.eval(), evaluation=True) as watch:
        model(x)
    assert watch.step_count == 1 and watch.statistics("activations", "4")["step"].tolist() == [0]


def test_steps_by_hand_and_parts_that_are_called_alone():
    model, ((x, _),) = network(), batches(1)
    with mg.viz.monitor(model) as watch:
        model[1](x.reshape(8, 6))  # before any step: one begins
        assert watch.step_count == 1
        for _ in range(2):
            watch.step()
            model(x)
            model(x)
    assert watch.step_count == 3
    got, _ = watch.histogram("activations", "1", 2)
    assert got.sum() == 2 * 8 * 5


def test_gradients_accumulate_over_backward_passes_of_a_step():
    model, ((x, y),) = network(), batches(1)
    with mg.viz.monitor(model, layers="4") as watch:
        loss = F.cross_entropy(model(x), y)
        loss.backward(retain_graph=True)
        loss.backward()
    assert watch.histogram("gradients", "4", 0)[0].sum() == 2 * 8 * 2
    assert watch.parameters == ["4.weight", "4.bias"]


def test_a_gradient_belongs_to_the_step_of_its_forward_pass():
    model, ((x, y), (z, _)) = network(), batches(2)
    with mg.viz.monitor(model, layers="4") as watch:
        first, second = F.cross_entropy(model(x), y), F.cross_entropy(model(z), y)
        second.backward()
        (first * 100).backward()
    largest = watch.statistics("gradients", "4")
    assert largest["step"].tolist() == [0, 1]
    norms = dict(zip(largest["step"].tolist(), largest["norm"], strict=True))
    assert norms[0] > 20 * norms[1]


def test_every_and_the_number_of_histograms():
    model = network()
    with mg.viz.monitor(model, every=3, histograms=4) as watch:
        train(model, 31)
    assert watch.statistics("activations", "1")["step"].tolist() == list(range(0, 31, 3))
    for kind in ("activations", "gradients"):
        assert watch.histogram_steps(kind, "1") == [0, 12, 24]
    with mg.viz.monitor(model, histograms=0) as watch:
        train(model, 2)
    with pytest.raises(ValueError, match="Nothing of the kind"):
        watch.histogram_steps("activations", "1")


def test_numbers_that_are_not_finite_are_counted():
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    with mg.viz.monitor(model) as watch:
        model(mg.tensor([[1.0, np.nan], [1.0, 1.0]]))
    found = watch.statistics("activations", "0")
    assert found["nonfinite"].tolist() == [0.5] and np.isfinite(found["mean"]).all()
    assert watch.histogram("activations", "0", 0)[0].sum() == 2


def test_which_layers_are_watched():
    mg.manual_seed(0)
    linear = nn.utils.parametrizations.weight_norm(nn.Linear(3, 3))
    model = nn.Sequential(nn.Sequential(linear, nn.Identity()), nn.Embedding(3, 3), nn.Linear(3, 1))
    with mg.viz.monitor(model) as watch:
        model[0](mg.ones(2, 3))
    assert watch.layers == ["0.0", "1", "2"]
    assert "0.0.parametrizations.weight.original0" in watch.parameters
    assert mg.viz.monitor(model, layers=[nn.Embedding, "0"]).layers == ["0", "1"]
    model[2].requires_grad_(False)
    assert "2.weight" not in mg.viz.monitor(model).parameters
    for layers, message in [(["3"], "no layer '3'"), ([nn.Conv2d], "no layer of Conv2d")]:
        with pytest.raises(ValueError, match=message):
            mg.viz.monitor(model, layers=layers)
    with pytest.raises(TypeError, match="names or classes"):
        mg.viz.monitor(model, layers=[linear])
    with pytest.raises(ValueError, match="every=0"):
        mg.viz.monitor(model, every=0)
    with pytest.raises(TypeError, match="must be a Module"):
        mg.viz.monitor(print)  # type: ignore[arg-type]


def test_questions_that_have_no_answer():
    model = network()
    with mg.viz.monitor(model) as watch:
        train(model, 1)
    with pytest.raises(ValueError, match="did you mean 'gradients'"):
        watch.statistics("gradient", "1")
    with pytest.raises(ValueError, match="no activations of '9'"):
        watch.statistics("activations", "9")
    with pytest.raises(ValueError, match="steps with one: 0"):
        watch.histogram("activations", "1", 5)


# -- what is drawn ------------------------------------------------------------------------------------------


def test_the_curves_are_the_statistics():
    pytest.importorskip("matplotlib")
    model = network()
    with mg.viz.monitor(model) as watch:
        train(model, 4)
    deviations, zeros, gradients, weights = watch.plot().axes
    for axes, kind, statistic in [
        (deviations, "activations", "std"), (zeros, "activations", "zeros"), (gradients, "gradients", "rms")
    ]:  # fmt: skip
        assert [line.get_label() for line in axes.lines] == watch.layers
        for line in axes.lines:
            np.testing.assert_array_equal(line.get_ydata(), watch.statistics(kind, line.get_label())[statistic])
    assert [line.get_label() for line in weights.lines] == ["1.weight", "2.weight", "4.weight"]
    np.testing.assert_array_equal(
        weights.lines[0].get_ydata(), watch.statistics("parameter_gradients", "1.weight")["norm"]
    )
    assert len(watch.plot(layers=nn.Linear).axes[0].lines) == 2
    with pytest.raises(ValueError, match="'0' is not watched"):
        watch.plot(layers=["0"])


def test_the_colours_of_histograms_are_shares():
    pytest.importorskip("matplotlib")
    models = {"none": nn.Sequential(nn.Linear(6, 5), nn.Tanh()), "batch": nn.Sequential(nn.Linear(6, 5))}
    watches = {}
    for name, model in models.items():
        with mg.viz.monitor(model) as watches[name]:
            for x, _ in batches(6):
                (model(x.reshape(8, 6)) ** 2).sum().backward()
    figure = mg.viz.histograms(watches)
    panels = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title(loc="left") for axes in panels] == ["0 Linear", "1 Tanh", "0 Linear"]
    assert [axes.get_ylabel() for axes in panels] == ["none", "", "batch"]
    mesh = panels[0].collections[0]
    shares = np.asarray(mesh.get_array()).reshape(96, 6)
    rows = mesh.get_coordinates()[:, 0, 1]
    for step in range(6):
        got, edges = watches["none"].histogram("activations", "0", step)
        below = np.interp(rows, edges, np.concatenate([[0], np.cumsum(got)]) / got.sum())
        np.testing.assert_allclose(shares[:, step], np.diff(below), atol=1e-12)
        assert shares[:, step].sum() > 0.97
    median = panels[0].lines[1].get_ydata()
    middle = [np.median(models["none"][0](x.reshape(8, 6)).array) for x, _ in batches(6)]
    width = np.ptp(rows) / 20
    np.testing.assert_allclose(median, middle, atol=width)
    weights = mg.viz.histograms(watches, "parameter_gradients")
    assert [axes.get_title(loc="left") for axes in weights.axes] == ["0.weight", "0.weight"]
    with pytest.raises(ValueError, match="did you mean 'gradients'"):
        mg.viz.histograms(watches, "gradient")
    with mg.viz.monitor(models["none"]) as empty, pytest.raises(ValueError, match="collected no gradients"):
        empty.histograms("gradients")


def test_the_numbers_are_saved(tmp_path):
    model = network()
    with mg.viz.monitor(model) as watch:
        train(model, 2)
    watch.save(tmp_path / "watch.npz")
    with np.load(tmp_path / "watch.npz") as saved:
        np.testing.assert_array_equal(saved["gradients/1/rms"], watch.statistics("gradients", "1")["rms"])
        assert saved["parameter_gradients/4.bias/step"].tolist() == [0, 1]
    pytest.importorskip("matplotlib")
    watch.save(tmp_path / "watch.png")
    assert (tmp_path / "watch.png").read_bytes().startswith(b"\x89PNG")


def test_a_copy_of_the_model_is_not_watched():
    """Its hooks are copied with it: what an average of weights computes would be taken for the model's."""
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU())
    watch = mg.viz.monitor(model)
    model(mg.ones(2, 3)).sum().backward()
    before = watch.statistics("activations", "0")["rms"].tolist()
    twin = copy.deepcopy(model)
    (twin.eval()(100 * mg.ones(5, 3))).sum().backward()
    (twin.train()(100 * mg.ones(5, 3))).sum().backward()
    assert watch.step_count == 1 and watch.statistics("activations", "0")["rms"].tolist() == before
    assert len(watch.statistics("gradients", "0")["step"]) == 1
    gradient = model[0].weight.grad
    assert gradient is not None
    (norm,) = watch.statistics("parameter_gradients", "0.weight")["norm"]
    np.testing.assert_allclose(norm, np.linalg.norm(gradient.array), rtol=1e-6)


def test_layers_that_are_not_there_are_named():
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU())
    with mg.viz.monitor(model) as watch:
        model(mg.ones(2, 3)).sum().backward()
    with pytest.raises(ValueError, match="of the classes Linear, ReLU"):
        watch.plot(layers=[nn.Conv2d])
    with pytest.raises(ValueError, match="at least one monitor"):
        mg.viz.histograms({})
    assert watch.histograms("parameter_gradients", "0.weight").axes
