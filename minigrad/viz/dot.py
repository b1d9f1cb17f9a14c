"""A layout as text in Graphviz's language: what stands in a node, its colours, boxes and arrows."""

import html
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np

from minigrad.extras import require
from minigrad.viz.folding import Box, Layout, summary
from minigrad.viz.names import LONGEST, printable, short
from minigrad.viz.program import Node, Program, Value

WHAT = "a computation graph"

# Fill and border by role: light enough for black text; the borders can be seen on light and on dark paper.
ROLES = {
    "op": ("#EEF1F4", "#7A8592", "an op"),
    "parameter": ("#CFE6F7", "#0072B2", "a parameter"),
    "buffer": ("#DDEBEA", "#3F8F86", "a buffer"),
    "input": ("#D5EFE3", "#009E73", "an input"),
    "leaf": ("#D5EFE3", "#009E73", "a leaf that gets a gradient"),
    "constant": ("#F5F2E7", "#A3966B", "a constant"),
    "output": ("#FFE3C2", "#D55E00", "the output"),
    "backward": ("#F3E3EF", "#B0578D", "a backward rule"),
    "sum": ("#FFFFFF", "#B0578D", "gradients add up"),
    "gradient": ("#E9D3F2", "#8E4BA8", "the gradient of a leaf"),
    "seed": ("#FFE3C2", "#D55E00", "where the backward pass starts"),
    "error": ("#FFD3D3", "#D40000", "here it failed"),
    "module": ("#E4E8F5", "#5B6FB5", "a module, drawn as one node"),
}
INK, SOFT, ALARM = "#1F2328", "#4A5560", "#B00000"
LINE = "#7A8592"
FONT = "Helvetica,Arial,sans-serif"
MONO = "Courier,monospace"

SMALL = 12
"""Tensors with up to this number of elements are printed whole."""


def escape(text: Any) -> str:
    r"""Text for a label, HTML-like or plain. What XML cannot hold, or nobody can see, becomes a question mark.

    Graphviz reads `\N` and the like in the text as the name of the node, and so on; `\\` is a backslash.
    """
    return html.escape(printable(text)).replace("\\", "\\\\")


def tooltip(text: Any) -> str:
    """Text for a tooltip, in which Graphviz looks for such names twice."""
    return escape(text).replace("\\", "\\\\")


# -- numbers in words ----------------------------------------------------------------------------------------


def shape_text(shape: Any) -> str:
    """(32, 16) as "32 × 16", and () as "scalar"."""
    return " × ".join(map(str, shape)) or "scalar"


def summarize(array: Any) -> tuple[str, str]:
    """An array in a line: mean, deviation, range, share of zeros; and what is wrong with it, or "".

    Example:
        >>> import numpy as np
        >>> summarize(np.array([0.0, 0.0, 1.0, 3.0]))
        ('mean 1, sd 1.22, 0 … 3, 50 % zeros', '')
        >>> summarize(np.array([1.0, np.nan]))[1]
        'NaN: 1 of 2'
    """
    size = array.size
    if not size:
        return "empty", ""
    if array.dtype.kind == "b":
        return f"{100 * np.count_nonzero(array) / size:.3g} % true", ""
    alarms = []
    x = array
    if array.dtype.kind == "f":
        # A sum is finite if all is finite (or else it overflowed, and a closer look tells).
        with np.errstate(all="ignore"):
            finite = np.isfinite(array.sum())
        if not finite:
            for name, count in (("NaN", np.isnan(array).sum()), ("infinite", np.isinf(array).sum())):
                if count:
                    alarms.append(f"{name}: {count} of {size}")
            x = array[np.isfinite(array)]
            if not x.size:
                return "", ", ".join(alarms)
    with np.errstate(all="ignore"):
        mean = x.mean(dtype=np.float64)
        sd = x.std(dtype=np.float64)
    text = f"mean {mean:.3g}, sd {sd:.3g}, {x.min():.3g} … {x.max():.3g}"
    zeros = size - np.count_nonzero(array)
    if zeros:
        text += f", {100 * zeros / size:.3g} % zeros"
    return text, ", ".join(alarms)


def _whole(array: Any) -> str:
    return np.array2string(array, precision=4, separator=", ", max_line_width=44, threshold=SMALL + 1)


def _numbers(array: Any, sign: str, background: str) -> str:
    """The rows of a label that tell the values of an array, whole or in summary; what is wrong stands out in red."""
    summary, alarm = ("", "") if array.size <= SMALL and array.ndim <= 2 else summarize(array)
    rows = ""
    if array.size <= SMALL and array.ndim <= 2:
        alarm = summarize(array)[1]
        # Browsers take another font of equal widths, perhaps a wider one: leave some room.
        lines = "".join(f'{escape(line)}&#160;&#160;<BR ALIGN="LEFT"/>' for line in _whole(array).splitlines())
        rows = f'<FONT FACE="{MONO}" POINT-SIZE="9">{escape(sign)}{lines}</FONT>'
    elif summary:
        rows = f'<FONT POINT-SIZE="9" COLOR="{SOFT}">{escape(sign + summary)}</FONT>'
    result = f'<TR><TD ALIGN="LEFT"{background}>{rows}</TD></TR>' if rows else ""
    if alarm:
        result += _alarm_row(sign + alarm)
    return result


# -- labels --------------------------------------------------------------------------------------------------


def _table(role: str, rows: str, style: str = "ROUNDED") -> str:
    fill, border, _ = ROLES[role]
    width = 2 if role in ("output", "error", "seed") else 1
    return (
        f'<<TABLE BORDER="{width}" CELLBORDER="0" CELLSPACING="0" CELLPADDING="3" STYLE="{style}" BGCOLOR="{fill}" '
        f'COLOR="{border}">{rows}</TABLE>>'
    )


def node_label(node: Node, place: str, values: bool, names: Any, alarm: str = "") -> str:
    """The label of a node: name, place in the model, options, and for each output its type and its numbers."""
    head = f"<B>{escape(short(node.label))}</B>"
    aside = "  ".join(text for text in (short(place), node.id if node.op and node.id[0] == "n" else "") if text)
    if aside:
        head += f'  <FONT POINT-SIZE="9" COLOR="{SOFT}">{escape(aside)}</FONT>'
    rows = f"<TR><TD>{head}</TD></TR>"
    if node.details:
        text = ", ".join(f"{name} = {value}" for name, value in list(node.details.items())[:6])
        rows += f'<TR><TD><FONT POINT-SIZE="9" COLOR="{SOFT}">{escape(text)}</FONT></TD></TR>'
    for i, value in enumerate(node.outputs):
        rows += _value_rows(value, i, values, names)
    if alarm:
        rows += _alarm_row(alarm)
    if node.error is not None:
        for line in _wrap(node.error, 60):
            rows += f'<TR><TD ALIGN="LEFT"><FONT COLOR="{ALARM}">{escape(line)}</FONT></TD></TR>'
    return _table(node.role, rows)


def _value_rows(value: Value, i: int, values: bool, names: Any) -> str:
    type_ = "" if value.shape is None else f"{value.dtype}  {shape_text(value.shape)}"
    type_ = f"{short(value.name)}  {type_}" if value.name else type_
    rows = f'<TR><TD PORT="o{i}">{escape(type_)}</TD></TR>'
    if values and value.array is not None:
        rows += _numbers(value.array, "", "")
    if values and value.grad is not None:
        rows += _numbers(value.grad, "∇ ", ' BGCOLOR="#F3E3EF"')
    if value.kept_by:
        users = list(dict.fromkeys(names(id) for id in value.kept_by))
        text = "kept for " + ", ".join(map(short, users[:3])) + (" …" if len(users) > 3 else "")
        rows += f'<TR><TD BORDER="1" STYLE="DOTTED" COLOR="{INK}"><FONT POINT-SIZE="9">{escape(text)}</FONT></TD></TR>'
    return rows


def _wrap(text: str, width: int) -> list[str]:
    lines = []
    for line in text.splitlines() or [""]:
        current = ""
        words = [word[i : i + width] for word in line.split(" ") for i in range(0, max(len(word), 1), width)]
        for word in words:
            if current and len(current) + len(word) >= width:
                lines.append(current)
                current = word
            else:
                current = f"{current} {word}" if current else word
        lines.append(current)
    return lines


def box_title(box: Box) -> str:
    """ "blocks.0 … blocks.11: Block × 12"."""
    if box.scope is None:
        name = summary(box)
        if box.count == 1:
            return name
        return f"({name}) × {box.count:,}" if "," in name else f"{name} × {box.count:,}"
    kind = box.scope.kind or box.scope.name
    name = box.scope.name if box.scope.kind and box.scope.name != kind else ""
    if box.count > 1:
        name = f"{name} … {box.last}" if box.last and box.last != name else name
        return f"{name}: {kind} × {box.count}" if name else f"{kind} × {box.count}"
    call = f" (call {box.scope.call})" if box.scope.call > 1 else ""
    return f"{name}: {kind}{call}" if name else f"{kind}{call}"


def box_label(box: Box, outgoing: list[Value], values: bool, names: Any, alarm: str = "") -> str:
    """The label of a closed box."""
    rows = f"<TR><TD><B>{escape(short(box_title(box), 2 * LONGEST))}</B></TD></TR>"
    facts = [f"{box.size:,} op{'s' * (box.size != 1)}"]
    if box.parameters:
        facts.append(f"{box.parameters:,} parameters")
    rows += f'<TR><TD><FONT POINT-SIZE="9" COLOR="{SOFT}">{escape(", ".join(facts))}</FONT></TD></TR>'
    for i, value in enumerate(outgoing[:3]):
        rows += _value_rows(value, i, values, names)
    if alarm:
        rows += _alarm_row(alarm)
    return _table("module", rows)


# -- the drawing ---------------------------------------------------------------------------------------------


def source(program: Program, nodes: list[Node], layout: Layout, title: str, values: bool, direction: str) -> str:
    """The whole drawing as DOT. The same program gives the same text."""
    graphviz = require("graphviz", extra="viz", what=WHAT)
    drawing = graphviz.Digraph(
        "minigrad",
        graph_attr={
            "rankdir": direction,
            "bgcolor": "#FFFFFF",
            "fontname": FONT,
            "fontsize": "11",
            "fontcolor": SOFT,
            "labelloc": "t",
            "ranksep": "0.35",
            "nodesep": "0.25",
        },
        node_attr={"shape": "plain", "fontname": FONT, "fontsize": "11", "fontcolor": INK},
        edge_attr={"color": LINE, "arrowsize": "0.7", "fontname": FONT, "fontsize": "9", "fontcolor": SOFT},
    )
    by_id = {node.id: node for node in nodes}
    outgoing = _outgoing(nodes, layout)
    alarms = _hidden_alarms(nodes, layout) if values else {}
    roles: dict[str, None] = {}
    kept = repeats = False

    def name_of(id: str) -> str:
        return f"{by_id[id].op} {id}" if id in by_id else id

    stack = [iter(layout.root.items)]
    while stack:
        for item in stack[-1]:
            if not isinstance(item, Node) and not item.closed:
                repeats = repeats or item.count > 1
                drawing.body.append(f"subgraph cluster_{item.id} {{\n")
                drawing.attr("graph", **_box_style(item))
                stack.append(iter(item.items))
                break
            alarm = alarms.get(item.id, "")
            if isinstance(item, Node):
                if item.id in layout.outputs and item.role != "output":
                    item = replace(item, role="output")
                roles[item.role] = None
                kept = kept or any(value.kept_by for value in item.outputs)
                label = node_label(item, layout.places.get(item.id, ""), values, name_of, alarm)
                kind, name = item.role, f"{item.id}: {item.label}"
            else:
                roles["module"] = None
                repeats = repeats or item.count > 1
                label = box_label(item, outgoing.get(item.id, []), values, name_of, alarm)
                kind, name = "closed", box_title(item)
            if alarm or (isinstance(item, Node) and _is_bad(item)):
                kind += " nan"  # the class is for style sheets and scripts
            drawing.node(item.id, label, id=item.id, tooltip=tooltip(name), **{"class": kind})
        else:
            stack.pop()
            if stack:
                drawing.body.append("}\n")
    _edges(drawing, nodes, layout)
    drawing.graph_attr["label"] = _caption(title, program.note, roles, kept, repeats)
    return drawing.source


def _is_bad(node: Node) -> bool:
    """Is there a NaN or an infinity in its values or gradients?"""
    arrays = [a for value in node.outputs for a in (value.array, value.grad) if a is not None]
    return any(a.dtype.kind == "f" and not np.isfinite(a).all() for a in arrays)


def _hidden_alarms(nodes: list[Node], layout: Layout) -> dict[str, str]:
    """Faults in nodes that are not drawn, by the id of the node that is drawn instead."""
    found: dict[str, list[str]] = {}
    for node in nodes:
        if layout.shown[node.id] != node.id and _is_bad(node):
            found.setdefault(layout.shown[node.id], []).append(f"{short(node.label)} {node.id}")
    return {
        id: "NaN or infinity in " + ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        for id, names in found.items()
    }


def _alarm_row(text: str) -> str:
    return (
        f'<TR><TD ALIGN="LEFT" BGCOLOR="{ALARM}"><FONT POINT-SIZE="10" COLOR="#FFFFFF"><B>{escape(text)}</B></FONT>'
        "</TD></TR>"
    )


def _box_style(box: Box) -> dict[str, str]:
    return {
        "label": escape(short(box_title(box), 2 * LONGEST)),
        "id": box.id,
        "class": "repeated" if box.count > 1 else "module",
        "bgcolor": "transparent",
        "style": "rounded" if box.count == 1 else "rounded,bold",
        "color": LINE if box.count == 1 else ROLES["module"][1],
        "fontcolor": SOFT,
        "labeljust": "l",
        "tooltip": tooltip(box_title(box)),
    }


def _outgoing(nodes: list[Node], layout: Layout) -> dict[str, list[Value]]:
    """For each id that is drawn, the tensors that others use; of what repeats, those of the first."""
    by_id = {node.id: node for node in nodes}
    found: dict[str, dict[tuple[str, int], Value]] = {}

    def add(id: str, index: int) -> None:
        if not any(layout.repetitions.get(id, {}).values()):
            found.setdefault(layout.shown[id], {})[id, index] = by_id[id].outputs[index]

    for node in nodes:
        for source in node.inputs:
            if source is not None and (
                layout.shown[source[0]] != layout.shown[node.id] or layout.goes_on(source[0], node.id)
            ):
                add(*source)
        if node.role == "output":
            for i in range(len(node.outputs)):
                add(node.id, i)
    return {id: list(values.values()) for id, values in found.items()}


def _edges(drawing: Any, nodes: list[Node], layout: Layout) -> None:
    """Arrows between what is drawn, each once; dotted ones from a retained tensor to the rule that needs it."""
    shown, drawn = layout.shown, {node.id: node for node in nodes}
    edges: dict[tuple[str, str, str], int] = {}
    for node in nodes:
        to = shown[node.id]
        for kind, sources in (("data", node.inputs), ("kept", node.kept)):
            for source in sources:
                if source is None or (start := shown[source[0]]) == to:
                    continue
                if layout.goes_on(source[0], node.id):
                    continue
                many = start in drawn and len(drawn[start].outputs) > 1
                edge = f"{start}:o{source[1]}" if many else start, to, kind
                # x·x uses x twice; but between closed boxes, or out of what repeats, one arrow stands for all.
                alone = start == source[0] and to == node.id and kind == "data"
                edges[edge] = edges.get(edge, 0) + alone

    def is_backward(id: str) -> bool:
        return drawn[id].twin is not None if id in drawn else id in layout.backward

    # Beside a forward pass that goes down, the backward pass goes up: each rule stands next to its op.
    up = any(node.twin is None for node in nodes) and any(node.twin is not None for node in nodes)
    taken: Counter[str] = Counter()
    for start, end, kind in (edge for edge, count in edges.items() for _ in range(max(1, count))):
        name = start.partition(":")[0]
        id = f"{name}-{end}" + ("-kept" if kind == "kept" else "")
        taken[id] += 1
        options = {"id": id if taken[id] == 1 else f"{id}-{taken[id]}", "class": kind}
        if kind == "kept":
            options |= {"style": "dotted", "constraint": "false", "color": INK}
        elif is_backward(end):
            options |= {"class": "gradient", "color": ROLES["backward"][1]}
        if kind == "data" and (name not in drawn or drawn[name].op):
            options["weight"] = "4"  # ops below one another in a line, leaves beside them
        if up and kind == "data" and is_backward(name) and is_backward(end):
            drawing.edge(end, start, dir="back", **options)
        else:
            drawing.edge(start, end, **options)


def _caption(title: str, note: str, roles: dict[str, None], kept: bool, repeats: bool) -> str:
    """Title and legend, above the drawing."""
    cells = ""
    for role, (fill, border, text) in ROLES.items():
        if role in roles and role != "op":
            cells += f'<TD BGCOLOR="{fill}" BORDER="1" COLOR="{border}"><FONT COLOR="{INK}">{escape(text)}</FONT></TD>'
    if kept:
        cells += f'<TD BORDER="1" STYLE="DOTTED" COLOR="{INK}">kept for the backward pass</TD>'
    if repeats:
        border = ROLES["module"][1]
        cells += f'<TD BORDER="2" COLOR="{border}">× n: drawn once, with the numbers of the first</TD>'
    legend = ""
    if cells:
        legend = f'<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="4" CELLPADDING="3"><TR>{cells}</TR></TABLE>'
        legend = f"<TR><TD>{legend}</TD></TR>"
    title = escape(short(title, 3 * LONGEST))
    text = f'<TR><TD><FONT POINT-SIZE="14"><B>{title}</B></FONT></TD></TR>' if title else ""
    if note:
        text += f"<TR><TD>{escape(note)}</TD></TR>"
    rows = text + legend
    return f'<<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="2">{rows}</TABLE>>' if rows else ""
