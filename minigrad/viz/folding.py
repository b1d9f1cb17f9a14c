"""Choose the parts of a program that are drawn: modules as boxes, collapsed from a given depth on, and repeated parts
only once.

A drawing is a tree of boxes. Each node of the program is either drawn, or lies in a closed box, or belongs to a
repetition of something that is drawn: `Layout.shown` says by which id each is represented. No function here calls
itself: a chain of 100,000 ops, and modules nested a thousand deep, are only long lists.
"""

from collections import Counter
from dataclasses import dataclass, field
from math import ceil
from typing import Any

import numpy as np

from minigrad.viz.program import DIFFERENCE, Node, Scope

PERIODS = 64
"""The longest sequence of units whose repetition is found."""

CHUNKS = 24
"""The number of boxes for ops that stand side by side in great number and do not repeat."""


@dataclass(slots=True, eq=False)
class Box:
    """A group of nodes: one call of a module, or a sequence that repeats.

    Attributes:
        id: such as "m3".
        scope: the module call it stands for; None for a sequence that was put together here.
        items: nodes and boxes in their order.
        level: how many modules are around it.
        closed: drawn as one node?
        count: how many like it there are in a row; only this one is drawn.
        last: name of the last of them.
        size: number of ops in it.
        parameters: number of numbers in the parameters in it.
    """

    id: str
    scope: Scope | None
    level: int
    items: list[Any] = field(default_factory=list)
    closed: bool = False
    count: int = 1
    last: str = ""
    size: int = 0
    parameters: int = 0

    @property
    def is_module(self) -> bool:
        """Is it a call of a module, rather than one of the two passes, or a sequence?"""
        return self.scope is not None and self.scope.module

    def leaves_and_units(self) -> "tuple[list[Node], list[Node | Box]]":
        """Its own leaf tensors, and everything else."""
        leaves = [item for item in self.items if isinstance(item, Node) and not item.op]
        return leaves, [item for item in self.items if isinstance(item, Box) or item.op]


@dataclass(slots=True)
class Layout:
    """The tree, and what became of each node.

    Attributes:
        shown: for each node the id of what represents it in the drawing.
        repetitions: for nodes of something that repeats, the number of the repetition, by number of what repeats.
        places: names of modules that hold one op only: they are written on it rather than drawn around it.
        backward: closed boxes with nothing but backward rules in them.
        outputs: ids of nodes that are drawn and are, or stand for, an output.
    """

    root: Box
    shown: dict[str, str]
    repetitions: dict[str, dict[int, int]]
    places: dict[str, str]
    backward: set[str]
    outputs: set[str]

    def goes_on(self, source: str, user: str) -> bool:
        """Does this arrow lead from one repetition to the next? Then it is not drawn: it would become a circle."""
        there = self.repetitions.get(source)
        here = self.repetitions.get(user)
        return there is not None and here is not None and any(there.get(f, j) != j for f, j in here.items())


def arrange(nodes: list[Node], depth: int | None = None, fold: bool | None = None, limit: int = 120) -> Layout:
    """Decide what is drawn.

    Args:
        nodes: of a program, in order.
        depth: modules nested deeper than this are collapsed; None collapses modules only if the drawing is too large.
        fold: draw repetitions once? None: repeated modules always, others if there is half of what is too much.
        limit: the largest number of nodes that is drawn.
    """
    if limit < 1:
        raise ValueError(f"graph: limit={limit} must be at least 1")
    root, boxes = _tree(nodes)
    _hoist(boxes)
    places = _dissolve(boxes)
    fold_of = _Folds()
    if fold is not False:
        boxes += _repeat(boxes, fold is True or len(nodes) > limit / 2, fold_of)
    _count(root)
    if depth is not None:
        for box in boxes:
            box.closed = box.is_module and box.level >= depth
    elif fold is not False:
        _close_until(root, limit)
    if fold is not False:
        _chunks(root, limit)
    shown = _representatives(root, fold_of.alias, nodes)
    backward = {box.id for box in _boxes_below(root) if box.closed and all(node.twin for node in walk(box) if node.op)}
    outputs = {shown[node.id] for node in nodes if node.role == "output"}
    return Layout(root, shown, fold_of.repetitions, places, backward, outputs)


def _dissolve(boxes: list[Box]) -> dict[str, str]:
    """A module that holds one op and nothing else is no box of its own. Returns the modules' names by op."""
    places: dict[str, str] = {}
    inside: dict[Box, Node] = {}
    for box in reversed(boxes):
        box.items = [inside.get(item, item) if isinstance(item, Box) else item for item in box.items]
        if box.is_module and len(box.items) == 1 and isinstance(box.items[0], Node) and box.level > 0:
            inside[box] = node = box.items[0]
            if box.scope is not None:
                places.setdefault(node.id, box.scope.name)
    boxes[:] = [box for box in boxes if box not in inside]
    return places


def _tree(nodes: list[Node]) -> tuple[Box, list[Box]]:
    """Boxes by scope. Parents stand before their children."""
    root = Box("m0", None, -1)
    boxes = [root]
    found: dict[tuple[Box, Scope], Box] = {}
    for node in nodes:
        box = root
        for scope in node.scope:
            inside = found.get((box, scope))
            if inside is None:
                inside = Box(f"m{len(boxes)}", scope, box.level + scope.module)
                boxes.append(inside)
                found[box, scope] = inside
                box.items.append(inside)
            box = inside
        box.items.append(node)
    return root, boxes


def _hoist(boxes: list[Box]) -> None:
    """Take a constant out of a module if it stands where the next module of this kind takes something from outside.

    The data that a network starts with are used by its first block alone, so they would lie in it, and the first of
    twelve equal blocks would look unlike the others.
    """
    for box in reversed(boxes):  # from the inside out: a constant may leave several modules
        following: dict[str, Box] = {}  # by kind, the next module of this kind
        for module in reversed(box.items):
            if isinstance(module, Box) and module.is_module and module.scope is not None:
                after = following.get(module.scope.kind)
                following[module.scope.kind] = module
                strangers = {} if after is None else _strangers(module, after)
                if strangers:
                    for part in _boxes_below(module):
                        part.items = [item for item in part.items if item not in strangers]
                    box.items = [*strangers, *box.items]


def _strangers(module: Box, other: Box) -> dict[Node, None]:
    """The constants in a module whose counterparts, in another module with the same ops, come from outside."""
    nodes, others = walk(module), walk(other)
    ops, other_ops = [n for n in nodes if n.op], [n for n in others if n.op]
    if [n.op for n in ops] != [n.op for n in other_ops]:
        return {}
    constants = {n.id: n for n in nodes if n.role in ("constant", "leaf", "input")}
    inside = {n.id for n in others}
    found: dict[Node, None] = {}
    for node, counterpart in zip(ops, other_ops, strict=True):
        for source, other_source in zip(node.inputs, counterpart.inputs, strict=False):
            if source and other_source and source[0] in constants and other_source[0] not in inside:
                found[constants[source[0]]] = None
    return found


def walk(root: Box) -> list[Node]:
    """All nodes in a box, in order, also those in closed ones."""
    found, stack = [], [iter(root.items)]
    while stack:
        for item in stack[-1]:
            if isinstance(item, Box):
                stack.append(iter(item.items))
                break
            found.append(item)
        else:
            stack.pop()
    return found


def _count(root: Box) -> None:
    """Sizes, from the leaves of the tree upwards."""
    order = _boxes_below(root)
    for box in reversed(order):
        box.size = box.parameters = 0
        for item in box.items:
            if isinstance(item, Box):
                box.size += item.size * item.count
                box.parameters += item.parameters * item.count
            elif item.op:
                box.size += 1
            elif item.role == "parameter":
                box.parameters += int(np.prod(item.outputs[0].shape or ()))


def _boxes_below(root: Box) -> list[Box]:
    """The box and all in it, parents first."""
    order, stack = [], [root]
    while stack:
        box = stack.pop()
        order.append(box)
        stack.extend(item for item in reversed(box.items) if isinstance(item, Box))
    return order


# -- what repeats --------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Folds:
    """The folded parts: for each node that is not drawn, the node that is drawn instead; and the repetition of each
    node."""

    alias: dict[str, str] = field(default_factory=dict)
    repetitions: dict[str, dict[int, int]] = field(default_factory=dict)
    members: dict[str, list[str]] = field(default_factory=dict)
    count: int = 0

    def drawn(self, id: str) -> str:
        """The node that is drawn for this one."""
        while id in self.alias:
            id = self.alias[id]
        return id

    def add(self, parts: list[list[Node]]) -> None:
        """These parts are drawn as the first of them. What was folded into their nodes before, comes along."""
        for j, part in enumerate(parts):
            for kept, node in zip(parts[0], part, strict=True):
                for id in (node.id, *self.members.get(node.id, ())):
                    self.repetitions.setdefault(id, {})[self.count] = j
                if j:
                    self.alias[node.id] = kept.id
        for nodes in zip(*parts, strict=True):
            everyone = [id for node in nodes for id in (node.id, *self.members.pop(node.id, ()))]
            self.members[nodes[0].id] = everyone[1:]
        self.count += 1


def _repeat(boxes: list[Box], much: bool, folds: _Folds) -> list[Box]:
    """Keep the first of what repeats; the nodes of the others become aliases of its nodes."""
    kinds: dict[Any, int] = {}
    kind_of: dict[Any, int] = {}
    made: list[Box] = []
    for box in reversed(boxes):  # children first: a box is known by what is in it
        leaves, units = box.leaves_and_units()
        for unit in units:
            if isinstance(unit, Node):
                shapes = tuple((value.shape, value.dtype) for value in unit.outputs)
                role = "op" if unit.role == "output" else unit.role
                options = tuple(item for item in unit.details.items() if item[0] != DIFFERENCE)
                key: Any = (unit.op, role, shapes, len(unit.inputs), options)
                kind_of[unit] = kinds.setdefault(key, len(kinds))
        contents = tuple(kind_of[unit] for unit in units)
        key = (
            box.scope and box.scope.kind,
            contents,
            tuple((leaf.role, leaf.outputs[0].shape) for leaf in leaves),
        )
        kind_of[box] = kinds.setdefault(key, len(kinds))
        made += _fold(box, leaves, units, list(contents), much, folds, len(boxes) + len(made))
    return made


def _fold(
    box: Box, leaves: list[Node], units: list[Any], kinds: list[int], much: bool, folds: _Folds, next_id: int
) -> list[Box]:
    """Find runs in the units of one box, and cut them down to their first repetition."""
    runs = _runs(np.array(kinds), 3, PERIODS if much else 1)
    if not runs:
        return []
    # A leaf that one unit alone uses goes with it; the others are not part of what repeats.
    users: dict[str, set[int]] = {}
    for i, unit in enumerate(units):
        for node in _nodes_of(unit):
            for source in node.inputs:
                if source is not None:
                    users.setdefault(source[0], set()).add(i)
    owned: list[list[Node]] = [[] for _ in units]
    shared: list[Any] = []
    for leaf in leaves:
        homes = users.get(leaf.id, ())
        (owned[next(iter(homes))] if len(homes) == 1 else shared).append(leaf)
    made: list[Box] = []
    items: list[Any] = []
    at = 0
    for start, period, count in runs:
        is_modules = all(isinstance(unit, Box) for unit in units[start : start + period])
        if not much and not is_modules:
            continue
        if count > 1 and any(owned[start : start + period]) and not any(owned[start + period : start + 2 * period]):
            for i in range(start, start + period):  # what only the first repetition uses is where the chain begins
                shared += owned[i]
                owned[i] = []
        parts = [
            [x for i in range(s, s + period) for x in (*owned[i], units[i])]
            for s in range(start, start + period * count, period)
        ]
        count = _verify(parts, folds)
        if count < 3:
            continue
        for i in range(at, start):
            items += (*owned[i], units[i])
        folds.add([[node for item in part for node in _nodes_of(item)] for part in parts[:count]])
        last = units[start + period * count - 1]
        if period == 1 and isinstance(units[start], Box):
            units[start].count = count
            units[start].last = last.scope.name if last.scope is not None else ""
            items += parts[0]
        else:
            repeated = Box(f"m{next_id + len(made)}", None, box.level, parts[0], count=count)
            made.append(repeated)
            items.append(repeated)
        at = start + period * count
    for i in range(at, len(units)):
        items += (*owned[i], units[i])
    box.items = shared + items
    return made


def _nodes_of(item: Any) -> list[Node]:
    return walk(item) if isinstance(item, Box) else [item]


def _runs(kinds: Any, least: int, longest: int) -> list[tuple[int, int, int]]:
    """(start, period, count) of sequences that repeat at least `least` times in a row, from left to right."""
    n = len(kinds)
    periods = min(longest, n // least)
    if periods < 1:
        return []
    covered = np.zeros((periods + 1, n), np.int64)
    for p in range(1, periods + 1):
        same = np.zeros(n + 1, bool)
        same[: n - p] = kinds[p:] == kinds[:-p]
        # How many of the next elements, without a gap, equal the one a period later?
        stops = np.flatnonzero(~same)
        ahead = stops[np.searchsorted(stops, np.arange(n))] - np.arange(n)
        count = ahead // p + 1
        covered[p] = np.where(count >= least, count * p, 0)
    best = covered.argmax(axis=0)  # of those that cover the same, the shortest
    runs, i = [], 0
    starts = np.flatnonzero(best)
    while True:
        k = np.searchsorted(starts, i)
        if k == len(starts):
            return runs
        i = int(starts[k])
        period = int(best[i])
        length = int(covered[period, i])
        runs.append((i, period, length // period))
        i += length


def _verify(parts: list[list[Any]], folds: _Folds) -> int:
    """How many parts are wired alike: each input comes from the same place in the part, or in the one before."""
    first: list[Any] = []
    before: dict[str, int] = {}
    expected = None
    for j, part in enumerate(parts):
        nodes = [node for item in part for node in _nodes_of(item)]
        place = {node.id: i for i, node in enumerate(nodes)}
        wiring = []
        for node in nodes:
            for source in node.inputs:
                if source is None:
                    wiring.append(None)
                    continue
                id = folds.drawn(source[0])
                if id in place:
                    wiring.append(("here", place[id], source[1]))
                elif id in before:
                    wiring.append(("before", before[id], source[1]))
                else:
                    wiring.append("outside")
        if j == 0:
            first = wiring
        elif j == 1:
            expected = wiring
            # The first has nothing before it: what it takes from there comes from outside.
            pairs = zip(first, wiring, strict=False)
            if len(first) != len(wiring) or any(
                a != b and not (a == "outside" and b is not None and b[0] == "before") for a, b in pairs
            ):
                return 0
        elif wiring != expected:
            return j
        before = place
    return len(parts)


# -- what is too much ----------------------------------------------------------------------------------------


def _visible(root: Box) -> int:
    """How many nodes will be drawn."""
    count, stack = 0, [root]
    while stack:
        for item in stack.pop().items:
            if isinstance(item, Box) and not item.closed:
                stack.append(item)
            else:
                count += 1
    return count


def _close_until(root: Box, limit: int) -> None:
    """Close modules, the deepest first, until the drawing is small enough; leave the outermost open."""
    alive = _boxes_below(root)
    for level in range(max((box.level for box in alive), default=0), 0, -1):
        if _visible(root) <= limit:
            return
        for box in alive:
            box.closed = box.closed or (box.level == level and box.is_module)


def _chunks(root: Box, limit: int) -> None:
    """Where more than `limit` units stand side by side, put neighbours into closed boxes.

    They ran one after another, so arrows between such boxes go one way only.
    """
    made = False
    alive = _boxes_below(root)
    number = max(int(box.id[1:]) for box in alive)
    for box in alive:
        if box.closed:
            continue
        leaves, units = box.leaves_and_units()
        if len(units) <= limit:
            continue
        length = ceil(len(units) / min(CHUNKS, limit))
        items: list[Any] = []
        for i in range(0, len(units), length):
            number += 1
            chunk = Box(f"m{number}", None, box.level, units[i : i + length], closed=True)
            made = True
            items.append(chunk)
        # Leaves that were there for one of the ops go with it; what else is there stays visible.
        inside = {node.id: chunk for chunk in items for node in walk(chunk)}
        users: dict[str, set[str]] = {}
        for chunk in items:
            for node in walk(chunk):
                for source in node.inputs:
                    if source is not None:
                        users.setdefault(source[0], set()).add(inside[node.id].id)
        by_id = {chunk.id: chunk for chunk in items}
        outside = []
        for leaf in leaves:
            homes = users.get(leaf.id, set())
            if len(homes) == 1:
                by_id[next(iter(homes))].items.append(leaf)
            else:
                outside.append(leaf)
        if len(outside) > limit:  # leaves without end, each used here and there
            number += 1
            outside = [Box(f"m{number}", None, box.level, outside, closed=True)]
        box.items = outside + items
    if made:
        _count(root)


def _representatives(root: Box, alias: dict[str, str], nodes: list[Node]) -> dict[str, str]:
    shown: dict[str, str] = {}
    stack: list[tuple[Box, str | None]] = [(root, None)]
    while stack:
        box, inside = stack.pop()
        inside = inside or (box.id if box.closed else None)
        for item in box.items:
            if isinstance(item, Box):
                stack.append((item, inside))
            else:
                shown[item.id] = inside or item.id
    for node in nodes:
        if node.id not in shown:
            kept = alias[node.id]
            while kept in alias:
                kept = alias[kept]
            shown[node.id] = shown[kept]
    return shown


def summary(box: Box) -> str:
    """The label of a box without a name: its most frequent ops."""
    counts = Counter(node.op for node in walk(box) if node.op)
    names = [f"{name} × {n}" if n > 1 else name for name, n in counts.most_common(3)]
    return ", ".join(names) + (", …" if len(counts) > 3 else "")
