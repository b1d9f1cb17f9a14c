"""Names that a user gave may hold anything: drawings and pictures write them as they are, or a sign in their place."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.viz.graphs import Graph, graph

pytest.importorskip("pygraphviz")
SVG = "{http://www.w3.org/2000/svg}"
TITLE = "{http://www.w3.org/1999/xlink}title"

# As Graphviz must not read them: names of the graph, node and edge, line ends, and markup.
AS_IT_IS = [
    *[rf"\{letter}" for letter in "GNLETHnrl"],
    *["a\\", "\\\\", r"\\N", r"\\\N", r"a\"b", "C:\\new\\Layer", "<b>x</b>", "<x>", "a&b", "&amp;", "&lt;", "&#92;N"],
    *['"q"', "it's", "-->", "<!--", "}", "{a|b}", "a:b", "a;b", "#c", "//c", "node", "->", "$x$", "%s", "{}"],
    *["שלום", "😀", "👩‍🔬", "é", "日本"],
]
REPLACED = {
    "\ud800": "?",
    "a\udfffb": "a?b",
    "\x00": "?",
    "\x07bell": "?bell",
    "\x1b[31mred": "?[31mred",
    "a\nb": "a b",
    "a\r\n\tb": "a b",
    "\u202eabc": "?abc",
    "\ufffe": "?",
    "\x7f\x9b": "??",
}
NAMES = [*((name, name) for name in AS_IT_IS), *REPLACED.items()]
IDS = [ascii(name) for name, _ in NAMES]


def texts(g: Graph) -> tuple[list[str], list[str]]:
    root = ElementTree.fromstring(g.svg())
    tooltips = [a.get(TITLE) or "" for a in root.iter(f"{SVG}a")]
    return ["".join(text.itertext()) for text in root.iter(f"{SVG}text")], tooltips


@pytest.mark.parametrize(("name", "written"), NAMES, ids=IDS)
def test_a_graph_writes_the_names_of_tensors_and_its_title(name: str, written: str):
    w = mg.tensor([1.0, 2.0], requires_grad=True)
    g = graph((w * w).sum(), params={name: w}, title=name)
    labels, tooltips = texts(g)
    assert labels.count(written) == 2
    assert f"n1: {written}" in tooltips
    assert written in g.nodes[0].label or name in g.nodes[0].label


@pytest.mark.parametrize("depth", [None, 1])
@pytest.mark.parametrize(("name", "written"), NAMES, ids=IDS)
def test_a_graph_writes_the_names_of_modules(name: str, written: str, depth: int | None):
    model = nn.Sequential()
    model.add_module(name, nn.Sequential(nn.Linear(2, 2), nn.ReLU()))
    labels, tooltips = texts(graph(model, mg.ones(1, 2), depth=depth))
    assert f"{written}: Sequential" in labels and f"{written}: Sequential" in tooltips


@pytest.mark.parametrize("name", [r"\G \N", "\ud800", "\x00", "<b>&", "a\nb", "x" * 4000, "שלום 😀"], ids=ascii)
@pytest.mark.parametrize("ending", ["svg", "png", "pdf", "dot"])
def test_every_format_can_be_written(name: str, ending: str, tmp_path: Path):
    def fails() -> None:
        raise ValueError(name)

    graph(mg.ones(2, requires_grad=True).exp(), title=name).save(tmp_path / f"title.{ending}")
    failed = graph(fails)
    failed.save(tmp_path / f"error.{ending}")
    assert str(failed.error) == name
    assert (tmp_path / f"title.{ending}").stat().st_size > 100 and (tmp_path / f"error.{ending}").stat().st_size > 100


def test_a_long_name_does_not_make_a_wide_drawing():
    long = "".join(chr(97 + i % 26) for i in range(3000))
    w = mg.tensor([1.0], requires_grad=True)
    g = graph(w.exp(), params={long: w}, title=long)
    labels, tooltips = texts(g)
    assert max(map(len, labels)) < 200 and f"n1: {long}" in tooltips
    assert float(ElementTree.fromstring(g.svg()).get("width", "").removesuffix("pt")) < 2000

    def fails() -> None:
        raise ValueError(long)

    assert max(map(len, texts(graph(fails))[0])) < 100


def pictures(name: str) -> dict[str, Any]:
    """Every picture that writes a name."""
    x, y = mg.randn(20, 2), mg.arange(20) % 2
    model, image = nn.Sequential(), nn.Sequential()
    for key, layer in ((name, nn.Linear(2, 4)), (f"{name} norm", nn.BatchNorm1d(4)), ("out", nn.Linear(4, 2))):
        model.add_module(key, layer)
    image.add_module(name, nn.Conv2d(1, 2, 3))

    def loss(network: Any) -> Any:
        return nn.functional.cross_entropy(network(x), y)

    with mg.viz.monitor(model) as watch:
        loss(model).backward()
    land, line = (mg.viz.landscape(model, loss, points=3, dimensions=d) for d in (2, 1))
    movie = mg.viz.BoundaryMovie({name: model}, x, y, points=3)
    movie.snap(name)
    return {
        "curves": watch.plot(),
        "histograms": mg.viz.histograms({name: watch}, "gradients"),
        "running": mg.viz.running_statistics(model, [(x,)]),
        "landscapes": mg.viz.landscapes({name: land}),
        "surface": mg.viz.landscapes({name: land}, kind="surface"),
        "lines": mg.viz.landscapes({name: [line]}),
        "boundary": movie.picture(),
        "filters": mg.viz.filters(image),
        "maps": mg.viz.feature_maps(image, mg.randn(1, 1, 5, 5)),
    }


@pytest.mark.filterwarnings("ignore::UserWarning")  # of matplotlib: letters that its font lacks, wide labels
@pytest.mark.parametrize(
    "name", ["\ud800", "$\\frac$", "$x$ and $y$", "\x00", "\x1b[31m", "a\nb", "w" * 900], ids=ascii
)
def test_pictures_write_any_name(name: str):
    for kind, figure in pictures(name).items():
        for ending in ("png", "svg", "pdf"):
            assert len(figure.encoded(ending)) > 1000, (kind, ending)


def test_a_dollar_in_a_picture_begins_no_formula():
    from matplotlib.text import Text

    found = {text.get_text() for figure in pictures("$a$").values() for text in figure.findobj(Text)}
    assert any(r"\$a\$" in text for text in found) and not any("$a$" in text.replace(r"\$", "") for text in found)


def test_the_text_of_an_array_stays(tmp_path: Path):
    w = mg.tensor(np.array([1.5, -2.0]), requires_grad=True)
    assert "[ 1.5, -2. ]" in " ".join(texts(graph(w.sum(), params={"w": w}))[0]).replace("\xa0", " ")
