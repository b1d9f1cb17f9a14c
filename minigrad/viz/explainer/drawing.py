"""The graph of a walk as SVG, for the page to colour: every node and edge has an id."""

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from minigrad.extras import require
from minigrad.viz import render
from minigrad.viz.dot import FONT, escape

if TYPE_CHECKING:
    from minigrad.viz.explainer.walk import Walk


def check() -> Any:
    """The package graphviz.

    Raises:
        ImportError: it is missing, or what draws.
    """
    graphviz = require("graphviz", extra="viz", what="the graph of an explanation")
    render.check("svg")
    return graphviz


def svg(walk: "Walk") -> str:
    """A drawing of the walk by what draws `mg.viz.graph`; ids are `node-NAME` and `edge-PARENT-USER`."""
    graphviz = check()
    dot = graphviz.Digraph()
    dot.attr(rankdir="TB", nodesep="0.25", ranksep="0.3", bgcolor="transparent")
    dot.attr("node", shape="box", style="rounded,filled", fontname=FONT, fontsize="13", margin="0.2,0.08")
    dot.attr("edge", dir="both", arrowsize="0.6")
    for value in walk.values.values():
        first = f'<FONT POINT-SIZE="17">{escape(value.symbol)}</FONT>'
        text = value.formula.partition(" = ")[2]
        second = f'<BR/><FONT POINT-SIZE="11">{escape(text)}</FONT>' if text else ""
        dot.node(value.name, label=f"<{first}{second}>", id=f"node-{value.name}", **{"class": value.role})
        for parent in value.parents:
            dot.edge(parent, value.name, id=f"edge-{parent}-{value.name}")
    return _drawn(dot.source)


@lru_cache(maxsize=256)
def _drawn(source: str) -> str:
    """The drawing of a text in DOT; most combinations of switches have the same graph."""
    return embeddable(render.render(source, "svg").decode())


def embeddable(text: str) -> str:
    """An SVG file as a part of a page: without its head, titles and style, and as wide as there is room."""
    text = text[text.index("<svg") :]
    text = re.sub(r"<!--.*?-->|<title>.*?</title>|<style>.*?</style>", "", text, flags=re.S)
    text = re.sub(r'<svg width="(\d+)pt" height="(\d+)pt"', r'<svg data-width="\1" data-height="\2"', text)
    return re.sub(r"\n+", "\n", text).strip()
