"""The page: an explanation as one HTML file, which needs no network and no other file.

Python works out every number, for every combination of switches; what is in the page only shows them. Arrays that
come up again (a cut changes no value of the forward pass) are stored once, in a pool.
"""

import html as escaping
import json
from importlib import resources
from typing import TYPE_CHECKING, Any

import numpy as np

import minigrad
from minigrad.viz.explainer.drawing import svg
from minigrad.viz.explainer.explanation import DIGITS, explain, gap, number, percent

if TYPE_CHECKING:
    from minigrad.viz.explainer.explanation import Explanation
    from minigrad.viz.explainer.walk import Walk

BLOCK = (3, 4, 3)
"""Samples, channels and places of the block on which sharing is shown."""

COMPARED = ("batch_norm", "layer_norm", "instance_norm", "group_norm")


class Pool:
    """Things that are stored once and referred to by number."""

    def __init__(self) -> None:
        self.items: list[Any] = []
        self._known: dict[str, int] = {}

    def add(self, item: Any) -> int:
        key = json.dumps(item, ensure_ascii=False)
        if key not in self._known:
            self._known[key] = len(self.items)
            self.items.append(item)
        return self._known[key]


def plain(array: Any) -> dict[str, Any]:
    """Shape and numbers of an array; what JSON has no number for becomes a word."""
    array = np.asarray(array, float)
    return {"shape": list(array.shape), "v": [_number(v) for v in array.ravel().tolist()]}


def _number(value: float) -> Any:
    if np.isnan(value):
        return "NaN"
    if np.isinf(value):
        return "∞" if value > 0 else "−∞"
    short = float(f"{value:.{DIGITS - 1}e}")
    return int(short) if short == int(short) and abs(short) < 1e9 else short


def data(explanation: "Explanation") -> dict[str, Any]:
    """Everything that the page shows."""
    operation = explanation.operation
    arrays, programs, graphs = Pool(), Pool(), Pool()

    def put(array: Any) -> int | None:
        return None if array is None else arrays.add(plain(array))

    variants = {}
    for on in explanation.combinations():
        v = explanation.variation(on)
        program = {
            "graph": graphs.add(svg(v.walk)),
            "steps": steps(v.walk),
            "sharing": explanation.sharing(on),
            "formula": v.closed.formula,
            "terms": [[t.symbol, t.path, t.cut] for t in v.closed.terms],
            "others": {name: formula for name, (formula, _) in v.closed.others.items()},
            "derivation": v.closed.derivation,
            "cuts": sorted(operation.cuts(v.setting)),
        }
        changes = explanation.changes(on)
        variants["+".join(s.key for s in explanation.switches if s.key in on)] = {
            "program": programs.add(program),
            "values": {name: put(value.array) for name, value in v.walk.values.items()},
            "grads": {name: put(g) for name, g in v.gradients.of.items()},
            "sent": {f"{user}>{name}": put(g) for (user, name), g in v.gradients.sent.items()},
            "terms": [
                [put(term.array), put(path), number(gap(term.array, path))]
                for term, path in zip(v.closed.terms, v.paths, strict=True)
            ],
            "ways": {
                name: [
                    [label, put(array), number(gap(array, way.staged)), _off(label, array, way)]
                    for label, array in (
                        ("staged", way.staged),
                        ("closed", way.closed),
                        ("engine", way.engine),
                        ("fused", way.fused),
                        ("numeric", way.numeric),
                    )
                    if array is not None
                ]
                for name, way in v.ways.items()
            },
            "changes": {
                name: [put(c.right), put(c.now), put(c.now - c.right), number(c.largest), percent(c.relative)]
                if c.happened
                else [put(c.right), put(c.now), None, "", ""]
                for name, c in changes.items()
            },
            "laws": [[formula, why, put(array)] for formula, why, array in v.laws],
            "verdict": explanation.verdict(on),
        }
    first = explanation.variation()
    return {
        "name": operation.name,
        "title": operation.title,
        "formula": operation.formula,
        "about": operation.about,
        "source": operation.source,
        "eps": explanation.setting.eps,
        "input": first.walk.leaves[0],
        "output": first.walk.output,
        "shape": list(explanation.setting.x.shape),
        "given": {name: np.asarray(v).tolist() for name, v in explanation.setting.given.items()},
        "switches": [[s.key, s.label, s.about, s.changes] for s in explanation.switches],
        "missing": [s.label for s in explanation.missing],
        "blocks": blocks(operation.name),
        "block": list(BLOCK),
        "pool": arrays.items,
        "programs": programs.items,
        "graphs": graphs.items,
        "variants": variants,
    }


def _off(label: str, array: Any, way: Any) -> bool:
    """Is a gradient so far from the staged one that it is another?"""
    if label == "numeric":
        return way.wrong or way.unclear
    return not gap(array, way.staged) <= 1e-9 * max(1.0, float(np.abs(way.staged).max(initial=0.0)))


def steps(walk: "Walk") -> list[dict[str, Any]]:
    """What the page says about each value."""
    return [
        {
            "name": v.name,
            "symbol": v.symbol,
            "formula": v.formula,
            "why": v.why,
            "role": v.role,
            "axes": list(v.axes),
            "parents": [[p, slope] for p, slope in v.parents.items()],
            "users": walk.users(v.name),
            "cut": v.cut,
            "statistic": v.statistic,
        }
        for v in walk.values.values()
    ]


def blocks(name: str) -> list[dict[str, Any]]:
    """On a block of samples × channels × places: for each element, those that share its statistic.

    For the four best known methods, and for this one if it is a normalization and none of them.
    """
    if name in ("softmax_cross_entropy", "linear", "conv2d"):
        return []
    found = []
    for other in dict.fromkeys((*COMPARED, name)):
        explanation = explain(other, shape=BLOCK)
        # The last statistic is that which divides; it depends on all that the earlier ones depend on.
        *_, members = explanation.sharing().values()
        size = int(np.prod(BLOCK))
        if len(members) == size:  # a window for each element
            shared = members
        else:
            shared = [next(m for m in members if i in m) for i in range(size)]
        found.append({"name": other, "title": explanation.operation.title, "shared": shared})
    return found


def html(explanation: "Explanation") -> str:
    """The page as text."""
    folder = resources.files("minigrad.viz.explainer")
    page = (folder / "page.html").read_text(encoding="utf-8")
    # "<" cannot end the script element early when it is written as an escape.
    content = json.dumps(explanation.data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    parts = {
        "%TITLE%": escaping.escape(f"{explanation.operation.title}, step by step"),
        "%VERSION%": escaping.escape(minigrad.__version__),
        "%STYLE%": (folder / "page.css").read_text(encoding="utf-8"),
        "%SCRIPT%": (folder / "page.js").read_text(encoding="utf-8"),
        "%DATA%": content,
    }
    for mark, text in parts.items():
        page = page.replace(mark, text)
    return page
