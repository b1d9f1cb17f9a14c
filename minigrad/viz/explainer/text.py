"""The walk as plain text, for a terminal."""

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np

from minigrad.viz.explainer.explanation import gap, number

if TYPE_CHECKING:
    from minigrad.viz.explainer.explanation import Explanation, Variation

HEADING = "\x02"
"""Stands before a line that is a heading."""

LABELS = {"closed": "closed form", "engine": "engine", "fused": "fused op", "numeric": "finite differences"}


def text(explanation: "Explanation", on: Any = (), width: int = 100) -> list[str]:
    """The lines: what goes in, the steps forward and backward, the closed form, the other ways, and the switches."""
    operation, v = explanation.operation, explanation.variation(on)
    lines = [HEADING + f"{operation.title}, step by step", "", "  " + operation.formula, ""]
    lines += textwrap.wrap(operation.about, width)
    if on:
        labels = [s.label for s in explanation.switches if s.key in on]
        lines += ["", *textwrap.wrap("Broken: " + "; ".join(labels) + ".", width)]
    lines += _forward(v, width) + _backward(v, width) + _closed(v, width) + _ways(v)
    lines += ["", HEADING + "Break it", ""]
    for switch in explanation.switches:
        lines += textwrap.wrap(f"{switch.label} (--break {switch.key}): {' '.join(explanation.verdict({switch.key}))}",
                               width, subsequent_indent="  ")  # fmt: skip
    if len(on) > 1:
        lines += ["", *textwrap.wrap(f"All of them: {' '.join(explanation.verdict(on))}", width)]
    return lines


def _forward(v: "Variation", width: int) -> list[str]:
    values = list(v.walk.values.values())
    lines = ["", HEADING + "The inputs"]
    for value in values:
        if value.function is None:
            lines += ["", f"{value.symbol}: {value.why}", *table(value.array, value.axes)]
    steps = [value for value in values if value.function is not None]
    for i, value in enumerate(steps):
        lines += ["", HEADING + f"Forward, {i + 1} of {len(steps)}: {value.formula}"]
        lines += textwrap.wrap(value.why, width)
        if value.cut:
            lines.append(f"{value.symbol} counts as a constant from here on: its gradient will go no further.")
        lines += table(value.array, value.axes)
        local = "; ".join(f"∂{value.symbol}/∂{v.walk.values[p].symbol} = {s}" for p, s in value.parents.items())
        lines += textwrap.wrap("For the way back: " + local, width, subsequent_indent="  ")
    return lines


def _backward(v: "Variation", width: int) -> list[str]:
    walk, order = v.walk, list(reversed(v.walk.values.values()))
    lines: list[str] = []
    for i, value in enumerate(order):
        gradient = v.gradients.of[value.name]
        lines += ["", HEADING + f"Backward, {i + 1} of {len(order)}: ∂L/∂{value.symbol}"]
        users = [walk.values[u] for u in walk.users(value.name)]
        sent = [u for u in users if (u.name, value.name) in v.gradients.sent]
        if value.name == walk.output:
            lines.append("Given: what comes from above.")
        for u in users:
            if u not in sent:
                lines.append(f"From {u.formula}: nothing, because {u.symbol} counts as a constant.")
                continue
            lines += textwrap.wrap(
                f"From {u.formula}: ∂L/∂{u.symbol} times ∂{u.symbol}/∂{value.symbol} = {u.parents[value.name]}", width
            )
            if len(sent) > 1:
                lines += table(v.gradients.sent[u.name, value.name], value.axes)
        if len(sent) > 1:
            lines.append(f"A fork: {value.symbol} is used {len(sent)} times, and its gradients add up to")
        lines += ["No gradient arrives."] if gradient is None else table(gradient, value.axes)
        if value.cut:
            lines.append(f"{value.symbol} counts as a constant: the gradient goes no further.")
    return lines


def _closed(v: "Variation", width: int) -> list[str]:
    main = v.walk.values[v.walk.leaves[0]]
    lines = ["", HEADING + "From the stages to the closed form"]
    for formula, why in v.closed.derivation:
        lines += ["", "  " + formula, *textwrap.wrap(why, width, initial_indent="    ", subsequent_indent="    ")]
    lines += ["", v.closed.formula, "", "Term by term, by the formula and along the way through the graph:"]
    for term, path in zip(v.closed.terms, v.paths, strict=True):
        lines += ["", f"{term.symbol}   ({term.path})", *beside(table(term.array, main.axes), table(path, main.axes))]
        lines.append(f"largest difference {number(gap(term.array, path))}")
    way = v.ways[main.name]
    lines += ["", f"Together, closed and staged: ∂L/∂{main.symbol}"]
    lines += [*beside(table(way.closed, main.axes), table(way.staged, main.axes))]
    lines.append(f"largest difference {number(gap(way.closed, way.staged))}")
    for formula, why, array in v.laws:
        values = ", ".join(number(float(x)) for x in array.ravel())
        lines += ["", *textwrap.wrap(f"{formula} should be 0, and is {values}. {why}", width)]
    return lines


def _ways(v: "Variation") -> list[str]:
    lines = ["", HEADING + "The same gradients, found in other ways: largest difference from the staged ones", ""]
    rows = [["", *LABELS.values()]]
    for name, way in v.ways.items():
        found = [getattr(way, label) for label in LABELS]
        cells = ["–" if array is None else number(gap(array, way.staged)) for array in found]
        rows.append([f"∂L/∂{v.walk.values[name].symbol}", *cells])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return lines + ["  ".join(c.rjust(w) for c, w in zip(row, widths, strict=True)) for row in rows]


# -- tensors -----------------------------------------------------------------------------------------------


def table(array: Any, axes: tuple[str, ...]) -> list[str]:
    """A tensor as lines; of more than two axes, one table after the other.

    Example:
        >>> import numpy as np
        >>> print("\\n".join(table(np.array([[1.0, -2.0]]), ("n", "c"))))
                 c 1      c 2
        n 1   1.0000  −2.0000
    """
    array = np.asarray(array)
    if array.ndim == 0:
        return ["  " + number(float(array))]
    names = list(axes[: array.ndim]) + [""] * (array.ndim - len(axes))
    rows = array.reshape(-1, *array.shape[-2:]) if array.ndim > 1 else array.reshape(1, 1, -1)
    lines = []
    for sheet, at in zip(rows, np.ndindex(array.shape[:-2]), strict=True):
        if array.ndim > 2:
            lines.append("  " + ", ".join(f"{name} {i + 1}" for name, i in zip(names, at, strict=False)))
        heads = [f"{names[-2]} {r + 1}" if array.ndim > 1 else "" for r in range(len(sheet))]
        cells = [[number(float(x)) for x in row] for row in sheet]
        tops = [f"{names[-1]} {c + 1}" for c in range(sheet.shape[1])]
        widths = [max(len(top), *(len(row[c]) for row in cells)) for c, top in enumerate(tops)]
        left = max(map(len, heads))
        for head, row in zip(["", *heads], [tops, *cells], strict=True):
            lines.append(
                (head.ljust(left) + "  " + "  ".join(x.rjust(w) for x, w in zip(row, widths, strict=True))).rstrip()
            )
    return lines


def beside(left: list[str], right: list[str]) -> list[str]:
    """Two tables side by side."""
    width = max(map(len, left))
    return [f"{a.ljust(width)}     {b}".rstrip() for a, b in zip(left, right, strict=True)]
