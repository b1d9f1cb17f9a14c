"""The pictures of training show the right numbers: what is drawn is compared with what NumPy computes."""

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.viz import style

pytest.importorskip("matplotlib")
Image = pytest.importorskip("PIL.Image")
F = nn.functional


def network(norm: bool = True, dropout: float = 0.0) -> nn.Sequential:
    """Three inputs, four hidden units, two classes."""
    mg.manual_seed(1)
    middle: list[nn.Module] = [nn.BatchNorm1d(4)] if norm else []
    return nn.Sequential(nn.Linear(3, 4), *middle, nn.ReLU(), nn.Dropout(dropout), nn.Linear(4, 2))


def samples(n: int = 12, features: int = 3) -> tuple[mg.Tensor, mg.Tensor]:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n, features)).astype(np.float32)
    return mg.tensor(x), mg.tensor((x[:, 0] > x[:, 1]).astype(np.int64))


def state(model: nn.Module) -> list[Any]:
    """Everything that a picture must leave as it is."""
    tensors = [t.array.copy() for t in (*model.parameters(), *model.buffers())]
    return [*tensors, [m.training for m in model.modules()], str(mg.get_rng_state())]


def same(a: list[Any], b: list[Any]) -> bool:
    return all(np.array_equal(x, y) if isinstance(x, np.ndarray) else x == y for x, y in zip(a, b, strict=True))


# -- files and style ----------------------------------------------------------------------------------------


def test_drawing_opens_no_window_and_importing_viz_loads_no_matplotlib():
    code = (
        "import sys, minigrad as mg\n"
        "mg.viz\n"
        "assert 'matplotlib' not in sys.modules\n"
        "mg.viz.filters(mg.nn.Conv2d(1, 2, 3))\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    root = Path(mg.__file__).parent.parent
    environment = {**os.environ, "PYTHONPATH": str(root), "MPLBACKEND": "TkAgg", "DISPLAY": ""}
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=240)
    assert result.returncode == 0, result.stderr


def test_without_matplotlib_the_error_says_what_to_install(monkeypatch):
    for name in ("matplotlib", "matplotlib.figure"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=r"needs matplotlib.*\[viz\]"):
        mg.viz.filters(nn.Conv2d(1, 2, 3))


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_a_picture_is_saved_whole_and_always_the_same(tmp_path, ending):
    mg.manual_seed(0)
    model = nn.Conv2d(1, 2, 3)
    for name in ("a", "b"):
        mg.viz.filters(model).save(tmp_path / f"{name}.{ending}")
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"a.{ending}", f"b.{ending}"]
    assert (tmp_path / f"a.{ending}").read_bytes() == (tmp_path / f"b.{ending}").read_bytes()


def test_a_picture_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    figure = mg.viz.filters(nn.Conv2d(1, 2, 3))
    path = tmp_path / "a.png"
    path.write_bytes(b"old")

    def fail(*args: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        figure.save(path)
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"] and path.read_bytes() == b"old"
    with pytest.raises(ValueError, match=r"can be \.png, \.svg, \.pdf, not '\.jpeg'"):
        figure.save(tmp_path / "a.jpeg")


def test_dark_pictures_have_dark_paper():
    for theme in ("light", "dark"):
        figure = mg.viz.filters(nn.Conv2d(1, 2, 3), theme=theme)
        pixels = np.asarray(Image.open(io.BytesIO(figure._repr_png_())).convert("RGB"))
        assert "#" + pixels[0, 0].tobytes().hex().upper() == style.PAPER[theme]
    with pytest.raises(ValueError, match=r"theme='grey' is unknown[.] Choose from: light, dark"):
        mg.viz.filters(nn.Conv2d(1, 2, 3), theme="grey")


# -- landscapes ---------------------------------------------------------------------------------------------


def test_directions_have_the_length_of_each_filter():
    mg.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.LayerNorm((3, 4, 4)), nn.Flatten(), nn.Linear(48, 2))
    for weights_only in (True, False):
        for d in mg.viz.directions(model, seed=3, weights_only=weights_only):
            assert list(d) == [name for name, _ in model.named_parameters()]
            for name in ("0.weight", "3.weight"):
                axes = tuple(range(1, d[name].ndim))
                lengths = np.sqrt((model.get_parameter(name).array.astype(float) ** 2).sum(axes))
                np.testing.assert_allclose(np.sqrt((d[name] ** 2).sum(axes)), lengths, rtol=1e-6)
            # γ has three axes here, and is no weight all the same.
            moved = [bool(d[name].any()) for name in ("0.bias", "1.weight", "3.bias")]
            assert moved == [not weights_only] * 3
            if not weights_only:
                np.testing.assert_allclose(np.linalg.norm(d["1.weight"]), np.sqrt(48))
    first, second = mg.viz.directions(model, seed=3)
    again, other = mg.viz.directions(model, seed=3)[0], mg.viz.directions(model, seed=4)[0]
    assert np.array_equal(first["0.weight"], again["0.weight"])
    assert not np.allclose(first["0.weight"], other["0.weight"])
    assert not np.allclose(first["0.weight"], second["0.weight"])


def bowl(model: Any) -> Any:
    return (model.weight * model.weight).sum() + 1


def test_a_landscape_measures_what_it_says():
    mg.manual_seed(0)
    model = nn.Linear(3, 2, dtype=np.float64)
    land = mg.viz.landscape(model, bowl, points=7, span=1.5, seed=5)
    d, e = (way["weight"] for way in mg.viz.directions(model, seed=5))
    np.testing.assert_allclose(land.a, np.linspace(-1.5, 1.5, 7))
    for i, a in enumerate(land.a):
        for j, b in enumerate(land.a):
            expected = ((model.weight.array + a * d + b * e) ** 2).sum() + 1
            np.testing.assert_allclose(land.losses[i, j], expected, rtol=1e-12)
    line = mg.viz.landscape(model, bowl, points=7, span=1.5, seed=5, dimensions=1)
    np.testing.assert_array_equal(line.losses, land.losses[:, 3])
    np.testing.assert_allclose(line.rise(0.5), line.losses[[2, 4]].mean())
    rim = np.concatenate([land.losses[0], land.losses[-1], land.losses[1:-1, 0], land.losses[1:-1, -1]])
    np.testing.assert_allclose(land.rise(1.5), rim.mean())
    with pytest.raises(ValueError, match=r"measured at distances 0, 0\.5, 1, 1\.5"):
        land.rise(0.3)


@pytest.mark.parametrize("statistics", ["batch", "running"])
@pytest.mark.parametrize("training", [True, False])
def test_the_middle_is_the_loss_exactly_and_nothing_is_left_changed(statistics, training):
    model, (x, y) = network(dropout=0.5), samples()
    model(x + 3)  # running averages of other data
    model.train(training)
    before = state(model)
    versions = [p.version[0] for p in model.parameters()]
    seen = []

    def loss(model: Any) -> Any:
        seen.append([m.training for m in model.modules()])
        return F.cross_entropy(model(x), y)

    land = mg.viz.landscape(model, loss, points=5, statistics=statistics)
    assert same(state(model), before)
    assert all(p.version[0] > v for p, v in zip(model.parameters(), versions, strict=True))
    assert np.array_equal(land.losses, mg.viz.landscape(model, loss, points=5, statistics=statistics).losses)
    batch = statistics == "batch"
    assert all(modes == [False, False, batch, False, False, False] for modes in seen)

    model.eval()
    model[1].training = batch
    assert land.center == F.cross_entropy(model(x), y).item()


def test_the_two_kinds_of_statistics_give_different_landscapes():
    model, (x, y) = network(), samples()
    model(x)
    lands = [
        mg.viz.landscape(model, lambda m: F.cross_entropy(m(x), y), points=5, statistics=s)
        for s in ("batch", "running")
    ]
    assert not np.allclose(lands[0].losses, lands[1].losses, rtol=0.01)


def test_batch_statistics_do_not_see_the_scale_of_weights():
    """Filter normalization and batch statistics together: twice the weights, the same landscape."""
    model, (x, y) = network(), samples()
    model[1].eps = 0.0
    nn.init.zeros_(model[0].bias)

    def measure() -> Any:
        return mg.viz.landscape(model, lambda m: F.cross_entropy(m(x), y), points=5).losses

    once = measure()
    model[0].weight.array[...] *= 2
    np.testing.assert_allclose(measure(), once, rtol=1e-5)


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_everything_is_put_back_after_an_error(error):
    model, (x, y) = network(dropout=0.5), samples()
    before = state(model)
    calls = []

    def loss(model: Any) -> Any:
        model.train()
        calls.append(F.cross_entropy(model(x), y).item())
        if len(calls) == 3:
            raise error
        return calls[-1]

    with pytest.raises(error):
        mg.viz.landscape(model, loss, points=3)
    assert len(calls) == 3 and same(state(model), before) and mg.is_grad_enabled()


def test_every_point_sees_the_same_random_numbers():
    model = nn.Linear(2, 1, bias=False)
    land = mg.viz.landscape(model, lambda m: 0 * m.weight.sum() + mg.rand(1), points=3)
    assert len(np.unique(land.losses)) == 1


def test_frozen_statistics_stay_frozen_in_a_landscape():
    model, (x, y) = network(), samples()
    with nn.utils.freeze_statistics(model):
        lands = [
            mg.viz.landscape(model, lambda m: F.cross_entropy(m(x), y), points=3, statistics=s)
            for s in ("batch", "running")
        ]
    assert np.array_equal(lands[0].losses, lands[1].losses)


def test_progress_is_told(capsys):
    told = []
    model = nn.Linear(2, 1)
    mg.viz.landscape(model, bowl, points=3, progress=lambda done, total: told.append((done, total)))
    assert told == [(i, 9) for i in range(1, 10)]
    mg.viz.landscape(model, bowl, points=3, progress=True)
    assert "9 of 9" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"points": 4}, "points=4 must be odd"),
        ({"dimensions": 3}, "dimensions=3"),
        ({"span": 0}, "span=0"),
        ({"statistics": "mine"}, "statistics='mine' is unknown[.] Choose from: batch, running"),
    ],
)
def test_landscape_options_are_checked(options, message):
    with pytest.raises(ValueError, match=message):
        mg.viz.landscape(nn.Linear(2, 1), bowl, **options)


def test_landscape_says_what_else_is_wrong():
    with pytest.raises(TypeError, match="must be a Module"):
        mg.viz.landscape(bowl, nn.Linear(2, 1))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="a function of the model"):
        mg.viz.landscape(nn.Linear(2, 1), mg.ones(1))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="must return one number"):
        mg.viz.landscape(nn.Linear(2, 1), lambda model: model.weight, points=3)
    with pytest.raises(ValueError, match="nowhere to go"):
        mg.viz.landscape(nn.LayerNorm(3), bowl)


def test_landscapes_along_a_line_are_drawn_as_mean_and_band():
    model = nn.Linear(3, 2)
    lands = [mg.viz.landscape(model, bowl, points=5, dimensions=1, seed=s) for s in range(3)]
    figure = mg.viz.landscapes({"batch": lands, "none": lands[0]})
    (axes,) = figure.axes
    batch, none = axes.lines
    stacked = np.stack([land.losses for land in lands])
    np.testing.assert_allclose(batch.get_ydata(), stacked.mean(0))
    np.testing.assert_array_equal(none.get_ydata(), lands[0].losses)
    assert batch.get_color() == style.COLOURS["light"]["batch"] and batch.get_label() == "batch"
    band = axes.collections[0].get_paths()[0].vertices
    for i, a in enumerate(lands[0].a):
        ends = band[np.isclose(band[:, 0], a), 1]
        np.testing.assert_allclose([ends.min(), ends.max()], [stacked[:, i].min(), stacked[:, i].max()])


def test_contours_lie_where_the_loss_has_their_level():
    mg.manual_seed(0)
    model = nn.Linear(3, 2, dtype=np.float64)
    land = mg.viz.landscape(model, bowl, points=41, seed=1)
    d, e = (way["weight"] for way in mg.viz.directions(model, seed=1))
    figure = mg.viz.landscapes({"none": land, "layer": land})
    panels = [axes for axes in figure.axes if axes.get_title(loc="left")]
    assert [axes.get_title(loc="left") for axes in panels] == [
        f"{name}: loss {land.center:.3g} in the middle" for name in ("none", "layer")
    ]
    filled, lines = panels[0].collections[:2]
    np.testing.assert_allclose([filled.zmin, filled.zmax], [land.losses.min(), land.losses.max()])
    checked = 0
    for level, path in zip(lines.levels, lines.get_paths(), strict=True):
        for a, b in path.vertices:
            loss = ((model.weight.array + a * d + b * e) ** 2).sum() + 1
            assert abs(loss - level) < 0.02 * level
            checked += 1
    assert checked > 100


def test_surfaces_and_limits():
    model = nn.Linear(3, 2)
    land = mg.viz.landscape(model, bowl, points=5)
    figure = mg.viz.landscapes({"none": land}, kind="surface", theme="dark")
    heights = figure.axes[0].get_zlim()
    np.testing.assert_allclose(heights, np.log10([land.losses.min(), land.losses.max()]), atol=1e-6)
    limited = mg.viz.landscapes({"none": land}, limit=land.center * 1.5)
    np.testing.assert_allclose(limited.axes[0].collections[0].zmax, land.center * 1.5)
    # What overflowed is drawn as the highest.
    holes = mg.viz.Landscape(land.a, np.where(land.a == land.a[0], np.inf, land.losses), 0, "batch")
    drawn = mg.viz.landscapes({"none": holes}).axes[0].collections[0]
    assert np.isfinite([drawn.zmin, drawn.zmax]).all()


def test_landscapes_that_cannot_be_compared():
    model = nn.Linear(2, 1)
    plane = mg.viz.landscape(model, bowl, points=3)
    line, longer = (mg.viz.landscape(model, bowl, points=3, dimensions=1, span=s) for s in (1, 2))
    for lands, message in [
        ({}, "at least one"),
        ({"a": []}, "at least one"),
        ({"a": plane, "b": line}, "draw them apart"),
        ({"a": [line, longer]}, "different places"),
        ({"a": mg.viz.Landscape(plane.a, plane.losses * np.nan, 0, "batch")}, "no loss is finite"),
    ]:
        with pytest.raises(ValueError, match=message):
            mg.viz.landscapes(lands)
    with pytest.raises(ValueError, match=r"kind='map' is unknown[.] Choose from: contour, surface"):
        mg.viz.landscapes({"a": plane}, kind="map")


def test_a_landscape_is_saved_as_numbers(tmp_path):
    land = mg.viz.landscape(nn.Linear(2, 1), bowl, points=3, seed=7)
    land.save(tmp_path / "land.npz")
    with np.load(tmp_path / "land.npz") as saved:
        assert np.array_equal(saved["losses"], land.losses) and saved["seed"] == 7
    with pytest.raises(ValueError, match=r"\.npz"):
        land.save(tmp_path / "land.png")


# -- decision boundaries ------------------------------------------------------------------------------------


def classes_drawn(image: Any, theme: str, count: int) -> Any:
    """The class of each pixel, from its colour: that of the class, more or less mixed with the paper's."""
    from matplotlib.colors import to_rgb

    paper = np.array(to_rgb(style.PAPER[theme]))
    towards = np.array([to_rgb(c) for c in style.CLASSES[theme][:count]]) - paper
    shift = np.asarray(image.get_array()) - paper
    shift /= np.linalg.norm(shift, axis=-1, keepdims=True)
    return (shift @ (towards / np.linalg.norm(towards, axis=1, keepdims=True)).T).argmax(-1)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("classes", [2, 3])
def test_the_colours_are_the_models_decisions(theme, classes):
    mg.manual_seed(2)
    model = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Dropout(0.5), nn.Linear(8, classes))
    nn.init.zeros_(model[4].bias)
    x, _ = samples(30, 2)
    model(x)
    with mg.no_grad():
        y = mg.tensor(model.eval()(x).array.argmax(1))
    model.train()
    before = state(model)
    figure = mg.viz.decision_boundary(model, x, y, points=21, theme=theme)
    assert same(state(model), before)
    (axes,) = figure.axes
    image = axes.images[0]
    assert image.origin == "lower"
    left, right, bottom, top = image.get_extent()
    width, height = (right - left) / 21, (top - bottom) / 21
    places = np.array(
        [[(left + (i + 0.5) * width, bottom + (j + 0.5) * height) for i in range(21)] for j in range(21)], np.float32
    )
    model.eval()
    decisions = model(mg.tensor(places.reshape(-1, 2))).array.argmax(1).reshape(21, 21)
    assert len(np.unique(decisions)) == classes
    assert np.array_equal(classes_drawn(image, theme, classes), decisions)
    assert axes.get_title(loc="left") == "100 % right"
    # The lines run where two classes are equally probable, and the dots are the samples.
    lines = [c for c in axes.collections if hasattr(c, "levels")]
    for line in lines:
        for path in line.get_paths():
            scores = np.sort(model(mg.tensor(path.vertices.astype(np.float32))).softmax(1).array, axis=1)
            assert (scores[:, -1] - scores[:, -2]).max() < 0.1
    dots = np.concatenate([c.get_offsets() for c in axes.collections if not hasattr(c, "levels")])
    assert lines and np.array_equal(np.sort(dots, axis=0), np.sort(x.array, axis=0))


class Score(nn.Module):
    """Positive where the first feature is greater than the second; of shape (N,) or (N, 1)."""

    def __init__(self, keep: bool):
        self.keep = keep

    def forward(self, x: Any) -> Any:
        score = x[:, 0] - x[:, 1]
        return score.reshape(-1, 1) if self.keep else score


@pytest.mark.parametrize("keep", [True, False])
def test_one_score_means_class_one_where_it_is_positive(keep):
    x, y = samples(20, 2)
    movie = mg.viz.BoundaryMovie(Score(keep), x, y, points=11)
    movie.snap()
    first, second = np.meshgrid(movie.x_axis, movie.y_axis)
    np.testing.assert_allclose(movie.frames[0][""][..., 1], 1 / (1 + np.exp(second - first)), rtol=1e-5)
    assert movie.accuracies == [{"": 1.0}]


def test_a_movie_has_a_frame_for_each_snapshot(tmp_path):
    mg.manual_seed(0)
    x, y = samples(20, 2)
    models = {"none": nn.Linear(2, 2), "batch": nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))}
    movie = mg.viz.BoundaryMovie(models, x, y, points=15)
    for i in range(4):
        movie.snap(f"step {i}")
        models["none"].weight.array[...] += 0.3
    movie.save(tmp_path / "movie.gif", fps=5, hold=1)
    assert [p.name for p in tmp_path.iterdir()] == ["movie.gif"]
    with Image.open(tmp_path / "movie.gif") as film:
        frames, times = [], []
        for i in range(film.n_frames):
            film.seek(i)
            frames.append(film.convert("RGB").tobytes())
            # The palette has the colours of the first frames, too, which are the palest.
            wanted = np.asarray(Image.open(io.BytesIO(movie.picture(i).encoded(dpi=80))).convert("RGB"), float)
            assert np.abs(np.asarray(film.convert("RGB"), float) - wanted).mean() < 3
            times.append(film.info["duration"])
    assert len(frames) == 4 == len(set(frames))
    assert times == [200, 200, 200, 1000]
    assert [axes.get_title(loc="left").split(":")[0] for axes in movie.picture(2).axes] == ["none", "batch"]
    assert movie.picture(2)._suptitle.get_text() == "step 2"


def test_boundaries_say_what_they_need(tmp_path):
    x, y = samples(10, 2)
    model = nn.Linear(2, 2)
    for arguments, message in [
        ((model, samples(10, 3)[0], y), "points in a plane"),
        ((model, x, y[:5]), "one class number per sample"),
        ((model, x, x[:, 0]), "one class number per sample"),
        (({}, x, y), "a Module, or a dictionary"),
        ((nn.Sequential(model, nn.Unflatten(1, (2, 1))), x, y), "must return scores"),
    ]:
        with pytest.raises(ValueError, match=message):
            mg.viz.decision_boundary(*arguments, points=5)
    movie = mg.viz.BoundaryMovie(model, x, y, points=5)
    with pytest.raises(ValueError, match="no snapshot yet"):
        movie.save(tmp_path / "a.gif")
    movie.snap()
    with pytest.raises(ValueError, match=r"is a \.gif"):
        movie.save(tmp_path / "a.mp4")
    with pytest.raises(ValueError, match="fps=0"):
        movie.save(tmp_path / "a.gif", fps=0)
    assert not list(tmp_path.iterdir())


# -- filters and feature maps -------------------------------------------------------------------------------


def tiles(figure: Any) -> list[Any]:
    return [np.asarray(axes.images[0].get_array()) for axes in figure.axes if axes.images and axes.get_visible()]


def cut(figure: Any, height: int, width: int) -> list[Any]:
    """The filters in a picture, row by row."""
    sheet = np.ma.filled(figure.axes[0].images[0].get_array(), np.nan)
    rows, columns = sheet.shape[0] // height, sheet.shape[1] // width
    found = sheet.reshape(rows, height, columns, width, *sheet.shape[2:]).swapaxes(1, 2)
    return [tile for row in found for tile in row if not np.isnan(tile).any()]


def test_filters_are_drawn_as_they_are():
    mg.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 5, 3), nn.ReLU(), nn.Conv2d(5, 4, 2), nn.Conv1d(2, 3, 5))
    drawn = cut(mg.viz.filters(model), 3, 3)
    assert len(drawn) == 5 and all(np.allclose(t, model[0].weight.array[i, 0]) for i, t in enumerate(drawn))
    drawn = cut(mg.viz.filters(model, "2"), 2, 2)
    assert len(drawn) == 20 and np.allclose(drawn[7], model[2].weight.array[1, 2])
    drawn = cut(mg.viz.filters(model, "3"), 1, 5)
    assert len(drawn) == 6 and np.allclose(drawn[3], model[3].weight.array[1, 1][None])
    image = mg.viz.filters(model).axes[0].images[0]
    scale = np.abs(model[0].weight.array).max()
    np.testing.assert_allclose(image.get_clim(), (-scale, scale))
    assert len(cut(mg.viz.filters(model, "2", limit=3), 2, 2)) == 9
    with pytest.raises(ValueError, match="limit=0 must be"):
        mg.viz.filters(model, limit=0)


def test_filters_of_a_wide_layer_are_one_image():
    """64 × 64 filters as 4096 axes took minutes."""
    figure = mg.viz.filters(nn.Conv2d(64, 64, 1))
    assert len(figure.axes) == 2 and len(cut(figure, 1, 1)) == 4096


def test_filters_of_a_grouped_transposed_layer_stay_in_their_groups():
    conv = nn.ConvTranspose2d(4, 6, 3, groups=2)  # its weight is (4, 3, 3, 3): each output looks at two inputs
    figure = mg.viz.filters(conv)
    assert "6 filters over 2 channels" in figure.get_suptitle()
    np.testing.assert_allclose(cut(figure, 3, 3)[2 * 4 + 1], conv.weight.array[3, 1], rtol=1e-6)


def test_a_layer_of_feature_maps_may_be_named_alone():
    """Of "11", the letters were taken for names: layer "1" was drawn, twice."""
    model, x = nn.Sequential(*[nn.Conv2d(1, 1, 1) for _ in range(12)]), mg.randn(1, 1, 4, 4)
    drawn = tiles(mg.viz.feature_maps(model, x, layers="11"))
    assert len(drawn) == 2
    np.testing.assert_allclose(drawn[1], model(x).array[0, 0], rtol=1e-5)
    with pytest.raises(ValueError, match="limit=0 must be"):
        mg.viz.feature_maps(model, x, limit=0)
    with pytest.raises(TypeError, match="must be a Module"):
        mg.viz.feature_maps(nn.Linear, x)


def test_classes_that_the_model_does_not_know_are_refused():
    x = np.array([[0.0, 1.0], [1.0, 0.0], [2.0, 1.0]])
    model = nn.Linear(2, 2)
    for y, message in (([-1, 1, 1], "numbered from 0"), ([0, 1, 5], "class 5, and the model tells 2")):
        with pytest.raises(ValueError, match=message):
            mg.viz.decision_boundary(model, x, np.array(y), points=4)
    with pytest.raises(ValueError, match="NaN"):
        mg.viz.decision_boundary(model, x * np.nan, np.array([0, 1, 1]), points=4)
    assert mg.viz.decision_boundary(model, x, np.array([False, True, True]), points=4).axes


def test_a_plane_of_negative_losses_is_refused():
    model = nn.Linear(2, 2)
    land = mg.viz.landscape(model, lambda m: -(m(mg.ones(3, 2)) ** 2).mean(), points=3)
    with pytest.raises(ValueError, match="logarithmic"):
        land.plot()


def test_filters_of_colour_pictures_have_colours_and_transposed_ones_are_turned():
    mg.manual_seed(0)
    conv = nn.Conv2d(3, 2, 4)
    drawn = cut(mg.viz.filters(conv), 4, 4)
    w = conv.weight.array
    assert len(drawn) == 2
    np.testing.assert_allclose(drawn[1], 0.5 + w[1].transpose(1, 2, 0) / (2 * np.abs(w).max()), rtol=1e-5)
    turned = nn.ConvTranspose2d(2, 5, 3)  # its weight is (in, out, ...)
    np.testing.assert_allclose(cut(mg.viz.filters(turned), 3, 3)[1], turned.weight.array[1, 0], rtol=1e-6)


def test_feature_maps_are_the_layers_outputs():
    mg.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Conv2d(3, 2, 3))
    x = mg.randn(4, 1, 8, 8)
    model(x)
    before = state(model)
    figure = mg.viz.feature_maps(model, x, layers=["0", "2"], sample=1)
    assert same(state(model), before) and all(not m._hooks or not m._hooks.post for m in model.modules())
    drawn = tiles(figure)
    outputs = [x, model.eval()[0](x), model[:3](x)]
    expected = [channel for y in outputs for channel in y.array[1]]
    assert len(drawn) == len(expected) == 7
    for tile, channel in zip(drawn, expected, strict=True):
        np.testing.assert_allclose(tile, channel, rtol=1e-6)
    assert [axes.get_ylabel() for axes in figure.axes if axes.get_ylabel()] == [
        "input\n1 × 8 × 8", "0 Conv2d\n3 × 6 × 6", "2 ReLU\n3 × 6 × 6"
    ]  # fmt: skip
    assert len(tiles(mg.viz.feature_maps(model, x, limit=2))) == 5  # the input, and two of each convolution


def test_pictures_of_convolutions_say_what_they_need():
    x = mg.randn(2, 1, 8, 8)
    with pytest.raises(ValueError, match=r"Sequential has no convolutional layer \(its layers: Linear, ReLU\)"):
        mg.viz.filters(nn.Sequential(nn.Linear(2, 2), nn.ReLU()))
    with pytest.raises(ValueError, match="no convolutional layer"):
        mg.viz.feature_maps(nn.Linear(2, 2), x)
    with pytest.raises(ValueError, match="volumes are not drawn"):
        mg.viz.filters(nn.Conv3d(1, 2, 3))
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten())
    with pytest.raises(ValueError, match=r"'1' is not a convolutional layer of the model\. Choose from: 0"):
        mg.viz.filters(model, "1")
    with pytest.raises(ValueError, match="no layer"):
        mg.viz.feature_maps(model, x, layers=["5"])
    with pytest.raises(ValueError, match=r"must be pictures, \(N, C, H, W\)"):
        mg.viz.feature_maps(model, x[0])
    with pytest.raises(ValueError, match="sample=2"):
        mg.viz.feature_maps(model, x, sample=2)
    with pytest.raises(ValueError, match=r"'1' gives shape"):
        mg.viz.feature_maps(model, x, layers=["1"])


# -- running statistics -------------------------------------------------------------------------------------


def test_running_statistics_are_drawn_against_the_true_ones():
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((40, 3)) * [1, 2, 3] + [0, 5, -2]).astype(np.float32)
    model = nn.Sequential(nn.BatchNorm1d(3))
    for i in range(0, 40, 8):
        model(mg.tensor(x[i : i + 8]))
    before = state(model)
    batches = [mg.tensor(x[:25]), mg.tensor(x[25:])]
    figure = mg.viz.running_statistics(model, batches)
    assert same(state(model), before)
    mean, variance = figure.axes
    for axes, true, running in [
        (mean, x.mean(0), model[0].running_mean), (variance, x.var(0, ddof=1), model[0].running_var)
    ]:  # fmt: skip
        dots = axes.lines[1]
        np.testing.assert_allclose(dots.get_xdata(), true, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(dots.get_ydata(), running.array)
        (x0, x1), (y0, y1) = axes.lines[0].get_data()
        assert (x0, x1) == (y0, y1)
    gap = (model[0].running_mean.array - x.mean(0)) / x.std(0, ddof=1)
    assert mean.get_title(loc="left") == f"0: off by {np.sqrt((gap**2).mean()):.2g} σ"


def test_running_statistics_survive_an_error_and_say_when_there_are_none():
    model = network()
    before = state(model)

    def batches() -> Any:
        yield samples()[0]
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        mg.viz.true_statistics(model, batches())
    assert same(state(model), before)
    with pytest.raises(ValueError, match="no layer of this Linear keeps running statistics"):
        mg.viz.running_statistics(nn.Linear(2, 2), [samples()[0]])


def test_layers_that_keep_only_a_mean_have_one_panel():
    model = nn.Sequential(nn.BatchNorm1d(3), nn.MeanOnlyBatchNorm1d(3))
    figure = mg.viz.running_statistics(model, [samples()[0]])
    assert [axes.get_visible() for axes in figure.axes] == [True, True, True, False]
