"""`minigrad explain`: every number that it shows is right, and its switches do what they say.

The oracles here are written in NumPy alone: forward functions, gradients in closed form, finite differences.
"""

import io
import itertools
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
from minigrad import cli
from minigrad.suggest import UnknownName
from minigrad.viz.explainer import explain
from minigrad.viz.explainer.explanation import MOST, Explanation, gap, number
from minigrad.viz.explainer.methods import OPERATIONS

ROOT = Path(mg.__file__).parent.parent
NAMES = list(OPERATIONS)
STANDARDIZING = ["batch_norm", "layer_norm", "instance_norm", "group_norm"]
each = pytest.mark.parametrize("name", NAMES)


# -- what is right ------------------------------------------------------------------------------------------


def standardized(name, x, gamma, beta, eps, unbiased=False, groups=2):
    """y, x̂ and s of batch, layer, instance or group norm."""
    grouped = x
    if name == "group_norm":
        grouped = x.reshape(x.shape[0], groups, -1)
    axes = {
        "batch_norm": (0, *range(2, x.ndim)),
        "layer_norm": tuple(range(1, x.ndim)),
        "instance_norm": tuple(range(2, x.ndim)),
        "group_norm": (2,),
    }[name]
    m = np.prod([grouped.shape[a] for a in axes])
    d = grouped - grouped.sum(axes, keepdims=True) / m
    s = np.sqrt((d * d).sum(axes, keepdims=True) / (m - unbiased) + eps)
    hat = (d / s).reshape(x.shape)
    wide = gamma if name == "layer_norm" else gamma.reshape(1, -1, *[1] * (x.ndim - 2))
    shift = beta if name == "layer_norm" else beta.reshape(1, -1, *[1] * (x.ndim - 2))
    return hat * wide + shift, axes, m, d, s, wide, grouped.shape


def closed_form(name, x, gamma, beta, dy, eps, on=()):
    """∂L/∂x, ∂L/∂γ, ∂L/∂β by hand, with the breaks by hand, too."""
    unbiased = "unbiased" in on
    _, axes, m, d, s, wide, shape = standardized(name, x, gamma, beta, eps, unbiased)
    hat = d / s
    g = (dy * wide).reshape(shape)
    dx = g.copy()
    if "mean" not in on:
        dx = dx - g.mean(axes, keepdims=True)
    if "variance" not in on:
        dx = dx - hat * (g * hat).sum(axes, keepdims=True) / (m - unbiased)
    dx = (dx / s).reshape(x.shape)
    rest = 0 if name == "layer_norm" else (0, *range(2, x.ndim))
    return {"x": dx, "gamma": (dy * hat.reshape(x.shape)).sum(rest), "beta": dy.sum(rest)}


def softmax(z):
    e = np.exp(z - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def forward(name, s):
    """The output of an operation in its ordinary form, in NumPy alone."""
    a, eps = s.arrays, s.eps
    if name in STANDARDIZING:
        return standardized(name, a["x"], a["gamma"], a["beta"], eps, groups=s.groups)[0]
    if name == "batch_renorm":
        x, axes = a["x"], (0, *range(2, a["x"].ndim))
        mu, sigma = x.mean(axes), np.sqrt(x.var(axes) + eps)
        r = np.clip(sigma / s.given["running_std"], 1 / 3, 3)
        d = np.clip((mu - s.given["running_mean"]) / s.given["running_std"], -5, 5)
        return a["gamma"] * ((x - mu) / sigma * r + d) + a["beta"]
    if name == "rms_norm":
        x, axes = a["x"], tuple(range(1, a["x"].ndim))
        return a["gamma"] * x / np.sqrt((x * x).mean(axes, keepdims=True) + eps)
    if name == "weight_norm":
        v = a["v"]
        return a["g"] * v / np.sqrt((v * v).sum(tuple(range(1, v.ndim)), keepdims=True))
    if name == "local_response_norm":
        x = a["x"]
        padded = np.pad(x * x, ((0, 0), (1, 1)))
        return x / (1 + (padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]) / 3) ** 0.75
    if name == "softmax_cross_entropy":
        p = softmax(a["z"])
        return -np.log(p[np.arange(len(p)), s.given["target"]]).mean()
    if name == "linear":
        return a["x"] @ a["W"].T + a["b"]
    assert name == "conv2d"
    x, w = a["x"], a["W"]
    height, width = x.shape[2] - 1, x.shape[3] - 1
    y = np.zeros((len(x), len(w), height, width)) + a["b"].reshape(1, -1, 1, 1)
    for i, j in itertools.product(range(2), range(2)):
        y += np.einsum("nchw,oc->nohw", x[:, :, i : i + height, j : j + width], w[:, :, i, j])
    return y


@each
def test_the_stages_compute_the_operation(name):
    explanation = explain(name)
    v = explanation.variation()
    want = forward(name, explanation.setting)
    got = v.walk[v.walk.output].array
    assert got.shape == np.shape(want)
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-14)
    fused = explanation.operation.at_once(explanation.setting, *map(mg.tensor, explanation.setting.arrays.values()))
    np.testing.assert_allclose(got, fused.array, rtol=0, atol=1e-13)


@each
def test_every_way_leads_to_the_same_gradient(name):
    explanation = explain(name)
    v = explanation.variation()
    for leaf, way in v.ways.items():
        size = max(1.0, np.abs(way.staged).max())
        assert way.staged.shape == explanation.setting.arrays[leaf].shape
        assert np.abs(way.staged).max() > 1e-3, "a gradient of nothing shows nothing"
        assert way.fused is not None
        assert gap(way.staged, way.engine) < 1e-14 * size
        assert gap(way.staged, way.fused) < 1e-13 * size
        assert gap(way.staged, way.closed) < 1e-13 * size
        assert gap(way.staged, way.numeric) < 1e-8 * size


@each
def test_finite_differences_are_those_of_the_function(name):
    """Once more, of the oracle above, with a step of its own; not where constants by definition make the rule."""
    explanation = explain(name)
    s = explanation.setting
    if name == "batch_renorm":
        pytest.skip("its r and δ count as constants, so its gradient is not that of the function")
    for leaf, way in explanation.variation().ways.items():
        for at in np.ndindex(s.arrays[leaf].shape):
            values = []
            for h in (1e-5, -1e-5):
                moved = explanation.operation.switched(s, frozenset())
                moved.arrays[leaf] = s.arrays[leaf].copy()
                moved.arrays[leaf][at] += h
                values.append((s.seed * forward(name, moved)).sum())
            assert (values[0] - values[1]) / 2e-5 == pytest.approx(way.staged[at], abs=1e-8)


@each
def test_contributions_add_up_and_come_from_every_user(name):
    v = explain(name).variation()
    walk = v.walk
    for value in walk.values.values():
        parts = [v.gradients.sent[u, value.name] for u in walk.users(value.name) if not walk.values[u].cut]
        if parts:
            np.testing.assert_array_equal(sum(parts[1:], parts[0]), sum(reversed(parts[:-1]), parts[-1]))
            np.testing.assert_allclose(v.gradients.of[value.name], sum(parts), rtol=0, atol=1e-15)
    main = walk.leaves[0]
    assert name in ("linear", "conv2d") or max(len(walk.users(n)) for n in walk.values) > 1, "no fork to look at"
    assert v.gradients.of[main].shape == walk[main].shape


@each
def test_terms_of_the_closed_form_are_what_flows_along_their_ways(name):
    explanation = explain(name)
    for on in explanation.combinations():
        if "overwrite" in on:
            continue
        v = explanation.variation(on)
        main = v.ways[v.walk.leaves[0]]
        pairs = [(term.array, path) for term, path in zip(v.closed.terms, v.paths, strict=True)]
        for formula, graph in [*pairs, (main.closed, main.staged)]:
            finite = np.isfinite(graph)
            assert finite.all() or {"flat", "eps"} <= on
            assert gap(formula[finite], graph[finite]) < 1e-11 * max(1.0, np.abs(graph[finite]).max()), on


# -- breaking it --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", STANDARDIZING)
@pytest.mark.parametrize("on", [c for n in range(5) for c in itertools.combinations(
    ("mean", "variance", "eps", "unbiased", "two"), n)], ids="+".join)  # fmt: skip
def test_switches_of_a_standardizing_norm(name, on):
    explanation = explain(name, eps=0.3)
    s = explanation.setting
    x, dy = (a[:2] if "two" in on else a for a in (s.arrays["x"], s.seed))
    want = closed_form(name, x, s.arrays["gamma"], s.arrays["beta"], dy, 0.0 if "eps" in on else 0.3, on)
    v = explanation.variation(on)
    for leaf, gradient in want.items():
        np.testing.assert_allclose(v.ways[leaf].staged, gradient, rtol=0, atol=1e-12, err_msg=leaf)
    y = standardized(
        name, x, s.arrays["gamma"], s.arrays["beta"], 0.0 if "eps" in on else 0.3, "unbiased" in on, s.groups
    )[0]
    np.testing.assert_allclose(v.walk["y"].array, y, rtol=0, atol=1e-13)
    right = all(gap(w.staged, w.numeric) < 1e-7 for w in v.ways.values())
    assert right == (not {"mean", "variance"} & set(on)), "only a wrong gradient may differ from finite differences"
    verdict = " ".join(explanation.verdict(on))
    assert ("this gradient is wrong" in verdict) == (not right)


def test_a_flat_group_lives_on_epsilon():
    explanation = explain("batch_norm")
    v = explanation.variation({"flat"})
    s = v.setting
    assert np.ptp(s.x[:, 0]) == 0
    assert v.walk["y"].array[:, 0] == pytest.approx(np.full(4, s.arrays["beta"][0]), abs=0)
    dy = s.seed[:, 0]
    want = s.arrays["gamma"][0] * (dy - dy.mean()) / np.sqrt(1e-5)
    np.testing.assert_allclose(v.ways["x"].staged[:, 0], want, rtol=1e-12)
    both = explanation.variation({"flat", "eps"})
    assert np.isnan(both.walk["y"].array[:, 0]).all() and np.isfinite(both.walk["y"].array[:, 1]).all()
    assert any("no gradient" in text for text in explanation.verdict({"flat", "eps"}))


def test_a_batch_of_two_leaves_batch_norm_nearly_no_gradient_and_layer_norm_all():
    x = explain("batch_norm").variation({"two"}).ways["x"].staged
    assert np.abs(x).max() < 1e-4
    for name in ("layer_norm", "instance_norm", "group_norm", "rms_norm", "local_response_norm"):
        change = explain(name).changes({"two"})["x"]
        assert change.right.shape == change.now.shape and not change.happened


def test_switches_of_the_others():
    s = explain("rms_norm").setting
    x, g = s.x, s.seed * s.arrays["gamma"]
    rms = np.sqrt((x * x).mean(1, keepdims=True) + s.eps)
    np.testing.assert_allclose(explain("rms_norm").variation({"square"}).ways["x"].staged, g / rms, atol=1e-14)

    s = explain("weight_norm").setting
    size = np.sqrt((s.x * s.x).sum(1, keepdims=True))
    wrong = explain("weight_norm").variation({"length"}).ways["v"].staged
    np.testing.assert_allclose(wrong, s.arrays["g"] / size * s.seed, atol=1e-14)

    s = explain("local_response_norm").setting
    padded = np.pad(s.x * s.x, ((0, 0), (1, 1)))
    bottom = (1 + (padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]) / 3) ** 0.75
    wrong = explain("local_response_norm").variation({"energy"}).ways["x"].staged
    np.testing.assert_allclose(wrong, s.seed / bottom, atol=1e-14)

    explanation = explain("softmax_cross_entropy")
    s, p = explanation.setting, softmax(explanation.setting.x)
    right = np.eye(3)[s.given["target"]]
    np.testing.assert_allclose(explanation.variation({"sum"}).ways["z"].staged, p - right, atol=1e-15)
    np.testing.assert_allclose(explanation.variation({"normalizer"}).ways["z"].staged, -right / 3, atol=1e-15)
    np.testing.assert_allclose(explanation.variation().gradients.of["m"], 0, atol=1e-15)

    explanation = explain("batch_renorm")
    s = explanation.setting
    free = explanation.variation({"flow"}).ways["x"].staged
    np.testing.assert_allclose(free, s.seed * s.arrays["gamma"] / s.given["running_std"], atol=1e-14)
    assert gap(free, explanation.variation({"flow"}).ways["x"].numeric) < 1e-8

    explanation = explain("linear")
    np.testing.assert_allclose(
        explanation.variation({"average"}).ways["W"].staged, explanation.variation().ways["W"].staged / 3
    )

    explanation = explain("conv2d")  # the last window that holds the middle pixel begins at it
    s = explanation.setting
    wrong, right = (explanation.variation(on).ways["x"].staged[0, 0] for on in ({"overwrite"}, ()))
    assert wrong[1, 1] == pytest.approx(s.seed[0, 0, 1, 1] * s.arrays["W"][0, 0, 0, 0])
    assert wrong[0, 0] == right[0, 0] and wrong[1, 1] != right[1, 1]


def test_clipped_renorm_still_has_its_closed_form():
    x = np.array([[1.0, 2.0], [3.0, -1.0], [9.0, 0.5]])
    values = {"x": x, "running_mean": [-50.0, 0.2], "running_std": [1.0, 0.1]}
    explanation = explain("batch_renorm", values=values)
    assert explanation.variation().walk["r"].array.ravel().tolist() == [3.0, 3.0]
    for on in ((), {"flow"}, {"flow", "mean"}, {"flow", "variance"}):
        way = explanation.variation(on).ways["x"]
        assert gap(way.staged, way.closed) < 1e-13
    assert (
        gap(explanation.variation({"flow"}).ways["x"].staged, explanation.variation({"flow"}).ways["x"].numeric) < 1e-7
    )


# -- who shares ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, who",
    [
        ("batch_norm", lambda n, c, s: c),
        ("layer_norm", lambda n, c, s: n),
        ("rms_norm", lambda n, c, s: n),
        ("instance_norm", lambda n, c, s: (n, c)),
        ("group_norm", lambda n, c, s: (n, c // 2)),
    ],
)
def test_sharing_on_a_block(name, who):
    block = next(b for b in explain(name).data["blocks"] if b["name"] == name)
    elements = list(itertools.product(range(3), range(4), range(3)))
    for i, at in enumerate(elements):
        assert block["shared"][i] == [j for j, other in enumerate(elements) if who(*other) == who(*at)]


def test_windows_overlap():
    explanation = explain("local_response_norm", shape=(2, 4))
    assert explanation.sharing()["E"] == [[0, 1], [0, 1, 2], [1, 2, 3], [2, 3], [4, 5], [4, 5, 6], [5, 6, 7], [6, 7]]


# -- the inputs -------------------------------------------------------------------------------------------


def test_the_same_command_gives_the_same_page():
    assert explain("linear").html() == explain("linear").html()


@each
def test_other_shapes(name):
    shapes = {
        "conv2d": (1, 2, 3, 4), "linear": (2, 4), "softmax_cross_entropy": (2, 5), "instance_norm": (1, 2, 2, 3),
        "weight_norm": (2, 2, 2),
    }  # fmt: skip
    explanation = explain(name, shape=shapes.get(name, (2, 4, 3)))
    for leaf, way in explanation.variation().ways.items():
        assert gap(way.staged, way.closed) < 1e-12 and gap(way.staged, way.fused) < 1e-12, leaf
        assert gap(way.staged, way.numeric) < 1e-7
    assert len(explanation.html().encode()) < 1_000_000


def test_the_largest_page_stays_under_a_megabyte():
    for name in ("batch_norm", "batch_renorm"):
        explanation = explain(name, shape=(4, MOST // 8, 2))
        assert len(explanation.html().encode()) < 1_000_000


def test_values_from_files(tmp_path):
    x = np.array([[1.0, 2.0], [3.0, 5.0], [-1.0, 0.5]])
    np.save(tmp_path / "x.npy", x)
    (tmp_path / "x.csv").write_text("a,b\n1,2\n3,5\n-1,0.5\n")
    (tmp_path / "plain.csv").write_text("1,2\n3,5\n-1,0.5\n")
    (tmp_path / "x.json").write_text(json.dumps(x.tolist()))
    (tmp_path / "all.json").write_text(
        json.dumps({"x": x.tolist(), "gamma": [2, 3], "seed": [[1, 0], [0, 1], [1, 1]]})
    )
    for file in ("x.npy", "x.csv", "plain.csv", "x.json", "all.json"):
        assert explain("batch_norm", values=tmp_path / file).setting.x.tolist() == x.tolist()
    everything = explain("batch_norm", values=str(tmp_path / "all.json"), batch_size=2).setting
    assert everything.arrays["gamma"].tolist() == [2, 3] and everything.seed.tolist() == [[1, 0], [0, 1]]
    target = explain("softmax_cross_entropy", values={"z": x, "target": [1, 1, 0]}).setting.given["target"]
    assert target.tolist() == [1, 1, 0]


@pytest.mark.parametrize(
    "options, message",
    [
        ({"shape": (3,)}, r"1 axes, and must have 2, 3 or 4"),
        ({"shape": (3, 0)}, "without elements"),
        ({"shape": (10, 10)}, "100 elements"),
        ({"batch_size": 0}, "at least 1"),
        ({"batch_size": 1}, "more than one value per channel"),
        ({"eps": -1}, "0 or more"),
        ({"eps": float("nan")}, "0 or more"),
        ({"eps": float("inf")}, "a finite number"),
        ({"groups": 2}, "only group_norm"),
        ({"values": [[1.0, 2.0], [3.0, 4.0]], "shape": (2, 2)}, "both given"),
        ({"values": [[1.0, 2.0], [3.0, 4.0]], "batch_size": 3}, "have 2 samples"),
        ({"values": {"x": [[1.0, np.nan], [3.0, 4.0]]}}, "NaN"),
        ({"values": {"x": [[1.0, 2.0], [3.0]]}}, "array of real numbers"),
        ({"values": {"gama": [1.0]}}, "did you mean 'gamma'"),
        ({"values": {"gamma": [1.0]}}, r"gamma has shape \(1,\), and must have \(2,\)"),
        ({"values": {"seed": [1.0]}}, "seed has shape"),
        ({"values": "x.txt"}, "is not a .npy, .csv or .json file"),
        ({"values": "x.csv"}, "there is no such file"),
    ],
)
def test_bad_options_are_explained(options, message):
    with pytest.raises(ValueError, match=message):
        explain("batch_norm", **options)


def test_unknown_names_get_a_suggestion(tmp_path):
    with pytest.raises(UnknownName, match="did you mean 'batch_norm'"):
        explain("bacth_norm")
    assert explain("BatchNorm").operation.name == "batch_norm"
    assert explain("softmax+cross-entropy").operation.name == "softmax_cross_entropy"
    with pytest.raises(UnknownName, match="did you mean 'variance'"):
        explain("batch_norm").variation({"varience"})
    (tmp_path / "x.txt").write_text("1")
    with pytest.raises(ValueError, match=r"not a \.npy, \.csv or \.json"):
        explain("batch_norm", values=tmp_path / "x.txt")
    for options in ({"eps": 1.0}, {"groups": 2}, {"shape": (2, 2, 2)}):
        with pytest.raises(ValueError):
            explain("linear", **options)
    with pytest.raises(ValueError, match="no batch"):
        explain("weight_norm", batch_size=2)
    with pytest.raises(ValueError, match="smaller than the kernel"):
        explain("conv2d", shape=(1, 1, 1, 3))
    with pytest.raises(ValueError, match="cannot be divided"):
        explain("group_norm", groups=4)


@pytest.mark.parametrize(
    "name, values, message",
    [
        ("batch_norm", np.array([[1j, 2.0], [3.0, 1.0]]), "array of real numbers"),
        ("softmax", {"z": [[1.0, 2.0], [3.0, 1.0]], "target": [0, 7]}, "class 7, and there are 0 to 1"),
        ("softmax", {"z": [[1.0, 2.0], [3.0, 1.0]], "target": [0.5, 1]}, "whole numbers"),
        ("softmax", {"z": [[1.0, 2.0], [3.0, 1.0]], "target": [-1, 1]}, "whole numbers"),
        ("batch_renorm", {"x": [[1.0, 2.0], [3.0, 1.0]], "running_std": [1.0, 0.0]}, "must be positive"),
    ],
)
def test_values_that_mean_nothing_are_refused(name, values, message):
    with pytest.raises(ValueError, match=message):
        explain(name, values=values)


def test_the_command_finds_out_first_whether_it_can_draw(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.setattr("minigrad.viz.render.importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr("minigrad.viz.explainer.explain", lambda *a: pytest.fail("it began to work"))
    assert cli.main(["explain", "batch_norm", "-o", str(tmp_path / "x.html")]) == 1
    error = capsys.readouterr().err
    assert "pip" in error and "[viz]" in error and not list(tmp_path.iterdir())


@pytest.mark.parametrize("option, value", [("--eps", "nan"), ("--eps", "-1"), ("--batch-size", "0")])
def test_the_command_speaks_of_flags(option: str, value: str, capsys):
    with pytest.raises(SystemExit) as info:
        cli.main(["explain", "batch_norm", f"{option}={value}"])
    error = capsys.readouterr().err
    assert info.value.code == 2 and error.startswith(f"minigrad explain batch_norm: {option} {value}")


@pytest.mark.parametrize(
    "name, content",
    [
        ("empty.npy", b""),
        ("header.npy", b"\x93NUMPY\x01\x00\x10\x00{'descr': (((((("),
        (
            "announced.npy",
            b"\x93NUMPY\x01\x00\x46\x00{'descr': '<f8', 'fortran_order': False, 'shape': (10000000000,)}   \n",
        ),
        ("deep.json", b"[" * 100_000),
        ("junk.json", bytes(range(256))),
        ("null.csv", b"1,\x00\n2,3\n4,a\n"),
        ("large.csv", b"1,2\n" * 300_000),
    ],
)
def test_damaged_files_are_refused_in_one_line(name: str, content: bytes, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=r"cannot be read: ."):
        explain("batch_norm", values=tmp_path / name)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "x.csv")
    with pytest.raises(ValueError, match="pipe"):
        explain("batch_norm", values=tmp_path / "x.csv")


def test_the_verdict_owns_up_to_what_does_not_agree():
    """Without a switch, too: 0/0, or steps of 1e-6 among numbers of 1e-5."""
    assert explain("batch_norm").verdict(()) == [
        "Nothing is broken: staged, closed form, engine and finite differences agree."
    ]
    (flat,) = explain("batch_norm", values=[[0.0, 2.0], [0.0, 1.0], [0.0, 5.0]], eps=0).verdict(())
    assert "0 is divided by 0" in flat and "agree" not in flat
    tiny = explain("batch_norm", values=[[1e-5, 2.0], [2e-5, 1.0], [-1e-5, 5.0]], eps=0)
    assert tiny.verdict(())[0].endswith("staged, closed form and engine agree.")
    assert "For ∂L/∂x finite differences cannot tell" in tiny.verdict(())[1]
    far = {label: wrong for label, *_, wrong in tiny.data["variants"][""]["ways"]["x"]}
    assert far == {"staged": False, "closed": False, "engine": False, "fused": False, "numeric": True}


@pytest.mark.parametrize("scale, shift", [(1e-3, 0), (1e4, 0), (1e6, 0), (1, 1e4), (1, -1e6)])
def test_a_wrong_gradient_is_found_whatever_the_size_of_the_numbers(scale: float, shift: float):
    x = np.array([[1.0, 2.0], [3.0, 5.0], [-2.0, 7.0], [0.0, 1.0]]) * scale + shift
    explanation = explain("batch_norm", values=x)
    assert explanation.verdict(())[-1].endswith("finite differences agree.")
    for switch in ("mean", "variance"):
        assert explanation.verdict({switch})[-1].endswith("this gradient is wrong.")
    for switch in ("eps", "unbiased", "two", "flat"):
        assert "Finite differences agree" in explanation.verdict({switch})[-1]


@pytest.mark.parametrize("scale, shift", [(1e9, 0), (1e38, 0), (1, 1e9)])
def test_where_rounding_hides_the_gradient_nothing_is_claimed(scale: float, shift: float):
    x = np.array([[1.0, 2.0], [3.0, 5.0], [-2.0, 7.0], [0.0, 1.0]]) * scale + shift
    explanation = explain("batch_norm", values=x)
    for on in ((), {"mean"}, {"variance"}):
        assert "cannot tell" in explanation.verdict(on)[-1]


@pytest.mark.filterwarnings("error")
def test_a_group_of_one_element_warns_of_nothing():
    explanation = explain("layer_norm", shape=(2, 1))
    assert "NaN" in explanation.html() and "NaN" in explanation.text({"unbiased"})


# -- the page -----------------------------------------------------------------------------------------------


def page_data(explanation: Explanation) -> dict:
    html = explanation.html()
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.S)
    assert found
    return json.loads(found.group(1))


def pooled(data, index):
    entry = data["pool"][index]
    words = {"NaN": np.nan, "∞": np.inf, "−∞": -np.inf}
    return np.array([words.get(v, v) for v in entry["v"]], float).reshape(entry["shape"])


@each
def test_the_page_holds_the_numbers_of_minigrad(name):
    explanation = explain(name)
    data = page_data(explanation)
    assert len(data["variants"]) == len(explanation.combinations())
    for on in explanation.combinations():
        v = explanation.variation(on)
        shown = data["variants"]["+".join(s.key for s in explanation.switches if s.key in on)]
        for leaf, way in v.ways.items():
            np.testing.assert_allclose(pooled(data, shown["grads"][leaf]), way.staged, rtol=1e-10, atol=1e-300)
        for value in v.walk.values.values():
            np.testing.assert_allclose(pooled(data, shown["values"][value.name]), value.array, rtol=1e-10)
        for (user, value), sent in v.gradients.sent.items():
            np.testing.assert_allclose(pooled(data, shown["sent"][f"{user}>{value}"]), sent, rtol=1e-10, atol=1e-300)


@each
def test_the_page_needs_nothing_else_and_is_small(name):
    html = explain(name).html()
    assert len(html.encode()) < 1_000_000
    assert not re.search(r'(src|href)="(?!#|data:)', html)
    outside = set(re.findall(r"https?://[^\s\"'<)\\]+", html)) - {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
    assert not outside
    assert "@import" not in html and "fetch(" not in html


@each
def test_the_graph_has_a_node_for_each_value_and_an_edge_for_each_use(name):
    data = explain(name).data
    program = data["programs"][data["variants"][""]["program"]]
    svg = data["graphs"][program["graph"]].replace("&#45;", "-")
    nodes = re.findall(r'id="node-(\w+)"', svg)
    edges = re.findall(r'id="edge-(\w+-\w+)"', svg)
    assert sorted(nodes) == sorted(s["name"] for s in program["steps"])
    assert sorted(edges) == sorted(f"{p}-{s['name']}" for s in program["steps"] for p, _ in s["parents"])


def test_what_a_user_types_cannot_become_markup():
    html = explain("batch_norm", values={"x": [[1, 2], [3, 4], [5, 7]]}).html()
    data = html.split('id="data">')[1].split("</script>")[0]
    assert "<" not in data


# -- the command --------------------------------------------------------------------------------------------


def test_the_command_writes_a_page(tmp_path, capsys):
    out = tmp_path / "page.html"
    assert cli.main(["explain", "layer_norm", "--shape", "2,3", "--eps", "0.1", "-o", str(out)]) == 0
    assert str(out) in capsys.readouterr().out
    data = json.loads(out.read_text().split('id="data">')[1].split("</script>")[0])
    assert data["shape"] == [2, 3] and data["eps"] == 0.1


@each
def test_the_walk_in_the_terminal_prints_the_numbers(name, capsys):
    assert cli.main(["explain", name, "--text"]) == 0
    text = capsys.readouterr().out
    v = explain(name).variation()
    for value in v.walk.values.values():
        assert f"∂L/∂{value.symbol}" in text
        for array in (value.array, v.gradients.of[value.name]):
            for x in np.ravel(array):
                assert number(float(x)) in text
    assert "Break it" in text and "closed form" in text


def test_the_walk_in_the_terminal_broken(capsys):
    assert cli.main(["explain", "batch_norm", "--text", "--break", "mean,variance"]) == 0
    text = capsys.readouterr().out
    assert "Broken: Treat the mean as a constant; Treat the variance as a constant." in text
    s = explain("batch_norm").setting
    wrong = closed_form("batch_norm", s.x, s.arrays["gamma"], s.arrays["beta"], s.seed, 1e-5, ("mean", "variance"))
    for x in wrong["x"].ravel():
        assert number(float(x)) in text


def test_a_terminal_that_knows_ascii_only():
    done = subprocess.run(
        [sys.executable, "-m", "minigrad", "explain", "linear", "--text"],
        capture_output=True, cwd=ROOT, env={"PYTHONIOENCODING": "ascii", "PATH": "/usr/bin:/bin"}, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0 and b"Linear layer, step by step" in done.stdout


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["bacth_norm"], "did you mean 'batch_norm'"),
        (["batch_norm", "--shape", "4;2"], "is not a shape"),
        (["batch_norm", "--shape", "1,2"], "more than one value per channel"),
        (["batch_norm", "--break", "mean"], "--break is for --text"),
        (["batch_norm", "--text", "--break", "varience"], "did you mean 'variance'"),
        (["batch_norm", "--text", "-o", "x.html"], "--text prints"),
        (["batch_norm", "--text", "--break", "nonsense"], "Choose from: mean, variance, eps"),
    ],
)
def test_misuse_is_one_line_and_code_2(arguments, message, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["explain", *arguments])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("ending", [".pdf", ".png", ".svg", ".json", ".csv", ".HTMLX", ".html.gz", ".9"])
def test_a_page_is_not_written_under_another_ending(ending, tmp_path, capsys):
    path = tmp_path / f"page{ending}"
    with pytest.raises(SystemExit) as stop:
        cli.main(["explain", "linear", "-o", str(path)])
    assert stop.value.code == 2 and not path.exists()
    message = capsys.readouterr().err
    assert "saved as .html" in message and ".txt" in message and str(path) in message
    with pytest.raises(ValueError, match=r"saved as \.html"):
        explain("linear").save(path)


@pytest.mark.parametrize(
    "out, written", [("x.html", "x.html"), ("x.HTM", "x.HTM"), ("x", "x.html"), ("folder.d", "folder.d/linear.html")]
)
def test_a_page_goes_where_it_is_told(out, written, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.d").mkdir()
    assert cli.main(["explain", "linear", "-o", out]) == 0
    assert (tmp_path / written).read_text().startswith("<!doctype html>")
    assert written in capsys.readouterr().out


def test_the_walk_is_written_as_text(tmp_path):
    assert cli.main(["explain", "linear", "-o", str(tmp_path / "x.txt")]) == 0
    text = (tmp_path / "x.txt").read_text()
    assert text == explain("linear").text() + "\n" and "<" not in text.splitlines()[0]


def test_a_page_that_cannot_be_written_is_called_by_its_name(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "nowhere" / "x.html", tmp_path / "file" / "x.html"):
        assert cli.main(["explain", "linear", "-o", str(path)]) == 1
        message = capsys.readouterr().err
        assert str(path) in message and ".tmp" not in message


# -- files with junk in them --------------------------------------------------------------------------------------

NPY = io.BytesIO()
np.save(NPY, np.arange(4.0).reshape(2, 2))
NPY = NPY.getvalue()

JUNK = {
    **{f"empty.{kind}": b"" for kind in ("csv", "json", "npy")},
    **{f"blank.{kind}": b"\n \n" for kind in ("csv", "json", "npy")},
    **{f"binary.{kind}": bytes(range(256)) for kind in ("csv", "json", "npy")},
    **{f"utf16.{kind}": "1,2\n3,4".encode("utf-16") for kind in ("csv", "json", "npy")},
    **{f"large.{kind}": b"[1," * 400_000 for kind in ("csv", "json", "npy")},
    "other.txt": b"1,2",
    "archive.npz": b"PK\x03\x04",
    "noending": b"1,2",
    "ragged.csv": b"1,2\n3\n",
    "words.csv": b"a,b\nc,d\n",
    "names.csv": b"a,b\n",
    "nan.csv": b"nan,1\n2,3\n",
    "infinite.csv": b"1e999,1\n2,3\n",
    "cell.csv": b"1," + b"9" * 200_000 + b"\n",
    "many.csv": b",".join([b"1"] * 1000),
    "deep.json": b"[" * 100_000,
    "objects.json": b'{"x":' * 50_000,
    "integer.json": b"[[" + b"9" * 400 + b", 1], [2, 3]]",
    "digits.json": b"[[" + b"9" * 5000 + b", 1], [2, 3]]",
    "null.json": b"null",
    "nothing.json": b"[]",
    "word.json": b'"x"',
    "object.json": b'{"x": {"a": 1}}',
    "unknown.json": b'{"\\ud800\\u001b[31m": [1]}',
    "ragged.json": b"[[1, 2], [3]]",
    "missing.json": b"[[1, null], [3, 4]]",
    "seed.json": b'{"x": [[1, 2], [3, 4]], "seed": []}',
    "gamma.json": b'{"x": [[1, 2], [3, 4]], "gamma": [1, 2, 3]}',
    "trailing.json": b"[[1, 2], [3, 4]] x",
    "header.npy": NPY[:50],
    "short.npy": NPY[:-8],
    "shape.npy": NPY.replace(b"(2, 2), }    ", b"(9999999999,)}"),
    "brackets.npy": NPY.replace(b"(2, 2)", b"(((((("),
    "objects.npy": NPY.replace(b"'<f8'", b"'|O' "),
    "type.npy": NPY.replace(b"'<f8'", b"'zzz'"),
    "version.npy": NPY[:6] + b"\x09" + NPY[7:],
}


@pytest.mark.parametrize("name", JUNK)
def test_junk_in_a_file_of_values_is_one_line(name, tmp_path, capsys):
    (tmp_path / name).write_bytes(JUNK[name])
    with pytest.raises(SystemExit) as stop:
        cli.main(["explain", "batch_norm", "--text", "--values", str(tmp_path / name)])
    assert stop.value.code == 2
    line, hint = capsys.readouterr().err.splitlines()
    assert line.startswith("minigrad explain batch_norm: ") and line.isprintable() and len(line) < 500
    assert hint.startswith("Try ")
    with pytest.raises(ValueError, match="explain batch_norm: "):
        explain("batch_norm", values=str(tmp_path / name))


@pytest.mark.parametrize("kind", ["csv", "json", "npy"])
def test_what_is_no_file_is_not_read(kind, tmp_path, capsys):
    folder, link, pipe = tmp_path / f"folder.{kind}", tmp_path / f"link.{kind}", tmp_path / f"pipe.{kind}"
    folder.mkdir()
    link.symlink_to(link)
    paths = [folder, link, tmp_path / f"nowhere.{kind}", Path("x" * 5000 + f".{kind}"), Path(f"a\0b.{kind}")]
    if hasattr(os, "mkfifo"):
        os.mkfifo(pipe)
        endless = tmp_path / f"endless.{kind}"
        endless.symlink_to("/dev/zero")
        paths += [pipe, endless]
    for path in paths:
        with pytest.raises(SystemExit) as stop:
            cli.main(["explain", "batch_norm", "--text", "--values", str(path)])
        assert stop.value.code == 2
        line = capsys.readouterr().err.splitlines()[0]
        assert "cannot be read: " in line and len(line) < 500


@pytest.mark.parametrize(
    "text", [b"\xef\xbb\xbf1,2\n3,4\n", b"a,b\n1,2\n3,4", b"1,2\r\n\r\n3,4\r\n", b" 1 , 2\n3,4\n\n"]
)
def test_a_file_as_spreadsheets_write_it_is_read(text, tmp_path):
    (tmp_path / "x.csv").write_bytes(text)
    page = explain("batch_norm", values=tmp_path / "x.csv")
    assert page.setting.arrays["x"].tolist() == [[1, 2], [3, 4]]
