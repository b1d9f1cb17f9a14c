"""An `Explanation`: one operation on given numbers, with every combination of its switches worked out."""

import csv
import io
import itertools
import json
import os
import shutil
import sys
import zlib
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal, localcontext
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from minigrad.autograd import Tensor, composed, grad, no_grad
from minigrad.suggest import UnknownName, choose, nearest
from minigrad.viz.explainer.methods import ALIASES, OPERATIONS
from minigrad.viz.explainer.operation import Closed, Operation, Setting
from minigrad.viz.explainer.walk import Gradients, Walk
from minigrad.viz.names import printable, short

STEP = 1e-6
"""How far finite differences go to either side."""

DIGITS = 12
"""Significant digits of the numbers in the page, eight more than it shows."""

MOST = 48
"""The most elements that the input may have: more numbers than these nobody reads."""

LARGEST = 1 << 20
"""The most bytes that a file of values may have."""


@dataclass
class Way:
    """A leaf's gradient, found in several ways.

    Attributes:
        staged: step by step backward through the walk.
        closed: by the closed form.
        engine: by `mg.grad` over the same graph.
        fused: by the op that computes it in one go; None if a switch asks for something that it does not do.
        numeric: by finite differences of the forward pass.
        size: of the largest element of the leaf.
        error: by which rounding may change `numeric`.
    """

    staged: Any
    closed: Any
    engine: Any
    fused: Any
    numeric: Any
    size: float
    error: float

    @property
    def wrong(self) -> bool:
        """Is the staged gradient farther from finite differences than these are from the right one?"""
        largest = float(np.abs(self.numeric).max(initial=0.0))
        # A gradient of 0 is right if it is small for numbers of this size: elements 10 times as large have gradients
        # a tenth as large.
        return not gap(self.staged, self.numeric) <= 1e-4 * max(1 / max(1.0, self.size), largest) + self.error

    @property
    def unclear(self) -> bool:
        """May rounding hide a gradient that is as large as this one?"""
        largest = float(np.abs(self.staged).max(initial=0.0))
        return self.error > 0.1 * largest and largest * max(1.0, self.size) > 1e-6


@dataclass
class Change:
    """How far something moved when switches were turned on.

    Attributes:
        right: without the switches (of a smaller batch, the samples that are left).
        now: with them.
    """

    right: Any
    now: Any

    @property
    def largest(self) -> float:
        """The largest difference; NaN if there is a NaN on one side only."""
        return gap(self.right, self.now)

    @property
    def relative(self) -> float:
        """The same as a share of the largest element."""
        size = float(np.abs(self.right).max(initial=0.0))
        return self.largest / size if size else (0.0 if self.largest == 0 else np.inf)

    @property
    def happened(self) -> bool:
        """Is it more than rounding?"""
        return not self.relative <= 1e-11


@dataclass
class Variation:
    """The operation with certain switches on.

    Attributes:
        setting: its data.
        walk: the stages.
        gradients: the backward pass through them.
        closed: the closed form.
        paths: for each term of the closed form, what the graph itself sends along that path: the difference that
            it makes to the gradient whether the path is open or cut.
        ways: for each leaf, its gradient in several ways.
        laws: what the input's gradient cannot contain if it is right: formula, reason, and what it does contain.
    """

    setting: Setting
    walk: Walk
    gradients: Gradients
    closed: Closed
    paths: list[Any]
    ways: dict[str, Way]
    laws: list[tuple[str, str, Any]]


def gap(a: Any, b: Any) -> float:
    """The largest difference between two arrays; equal infinities, and NaNs at the same place, are none."""
    a, b = np.asarray(a, float), np.asarray(b, float)
    with np.errstate(all="ignore"):
        difference = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0.0, np.abs(a - b))
    return float(np.nan if np.isnan(difference).any() else difference.max(initial=0.0))


class Explanation:
    """An operation on given numbers, explained; see `explain`, which makes one."""

    def __init__(self, operation: Operation, setting: Setting):
        self.operation, self.setting = operation, setting
        self.switches = [s for s in operation.switches if operation.applies(s, setting)]
        self.missing = [s for s in operation.switches if not operation.applies(s, setting)]
        self._done: dict[frozenset[str], Variation] = {}
        self._slopes: dict[Any, dict[str, Any]] = {}

    # -- one combination of switches ---------------------------------------------------------------------------

    def combinations(self) -> list[frozenset[str]]:
        """All combinations of the switches; the first has none on."""
        keys = [s.key for s in self.switches]
        return [frozenset(c) for n in range(len(keys) + 1) for c in itertools.combinations(keys, n)]

    def variation(self, on: Any = ()) -> Variation:
        """The operation with the switches `on`."""
        on = frozenset(on)
        if on not in self._done:
            known = [s.key for s in self.switches]
            for key in on - set(known):
                raise UnknownName(
                    f"{self.operation.name}: there is no switch {key!r}{nearest(key, known)} {choose(known)}"
                )
            with np.errstate(all="ignore"):
                self._done[on] = self._work_out(self.operation.switched(self.setting, on))
        return self._done[on]

    def _work_out(self, s: Setting) -> Variation:
        operation, cuts = self.operation, self.operation.cuts(s)
        walk = operation.walk(s)
        gradients = walk.backward(s.seed)
        engine = walk.gradients_by_engine(s.seed)
        closed = operation.closed(s, cuts)
        paths = self._paths(s, closed, cuts)
        for term in closed.terms:
            if term.cut in cuts:
                term.array = np.zeros_like(term.array)
        main, *_ = walk.leaves
        by_formula = {main: add_up([term.array for term in closed.terms])}
        by_formula |= {name: array for name, (_, array) in closed.others.items()}
        fused = self._fused(s) if operation.is_one_op(s) else {}
        numeric = self._numeric(s)
        terms = float(np.abs(s.seed * walk[walk.output].array).sum())
        ways = {}
        for name in walk.leaves:
            staged = gradients.of[name]
            staged = np.zeros_like(walk.values[name].array) if staged is None else staged
            # Rounding moves each term of L by parts of itself, and each element by parts of itself.
            leaf = np.abs(s.arrays[name])
            moved = terms + float(np.abs(staged).max(initial=0.0) * leaf.sum())
            size, error = float(leaf.max(initial=0.0)), 8 * sys.float_info.epsilon * moved / STEP
            ways[name] = Way(staged, by_formula[name], engine[name], fused.get(name), numeric[name], size, error)
        laws = operation.laws(s, walk, ways[main].staged)
        return Variation(s, walk, gradients, closed, paths, ways, laws)

    def _paths(self, s: Setting, closed: Closed, cuts: frozenset[str]) -> list[Any]:
        """Open the paths one after the other; what each adds to the gradient is its own."""
        everything = cuts | {term.cut for term in closed.terms} - {""}
        found: list[Any] = []
        before = None
        for term in closed.terms:
            everything = everything - ({term.cut} - cuts)
            walk = self.operation.walk(s, everything)
            after = walk.gradients_by_engine(s.seed)[walk.leaves[0]]
            found.append(after if before is None else after - before)
            before = after
        return found

    def _fused(self, s: Setting) -> dict[str, Any]:
        """The leaves' gradients by the op that does it in one go."""
        leaves = [Tensor(a, requires_grad=True) for a in s.arrays.values()]
        found = grad(self.operation.at_once(s, *leaves), leaves, Tensor(np.asarray(s.seed, float)))
        return {name: g.array for name, g in zip(s.arrays, found, strict=True)}

    def _numeric(self, s: Setting) -> dict[str, Any]:
        """Central differences of L = Σ seed · output, for every element of every leaf.

        What is a constant by definition stays as it is, and what a switch only takes for one moves.
        """
        constant = self.operation.cuts(s) & frozenset(self.operation.fixed_cuts)
        functions = {switch.key for switch in self.switches if switch.changes == "function"}
        known = s.on & functions, constant  # all that the forward pass depends on
        if known in self._slopes:
            return self._slopes[known]
        base = self.operation.walk(s)
        frozen = {name: base[name].array for name in constant}

        def loss(arrays: dict[str, Any]) -> float:
            with no_grad():
                walk = self.operation.walk(Setting(arrays, s.seed, s.eps, s.groups, s.given, s.on), None, frozen)
            return float((s.seed * walk[walk.output].array).sum())

        found = {}
        for name, array in s.arrays.items():
            slopes = np.empty_like(array)
            for i in range(array.size):
                moved = []
                for sign in (1, -1):
                    nudged = array.copy()
                    nudged.reshape(-1)[i] += sign * STEP
                    moved.append(loss(s.arrays | {name: nudged}))
                slopes.reshape(-1)[i] = (moved[0] - moved[1]) / (2 * STEP)
            found[name] = slopes
        self._slopes[known] = found
        return found

    # -- what changes ------------------------------------------------------------------------------------------

    def changes(self, on: Any) -> dict[str, Change]:
        """The output and the leaves' gradients, right and with switches on."""
        right, now = self.variation(), self.variation(on)
        found = {"output": Change(right.walk[right.walk.output].array, now.walk[now.walk.output].array)}
        found |= {name: Change(right.ways[name].staged, now.ways[name].staged) for name in now.walk.leaves}
        for change in found.values():
            if change.right.shape != change.now.shape:  # a smaller batch: compare the samples that are left
                change.right = change.right[: len(change.now)]
        return found

    def verdict(self, on: Any) -> list[str]:
        """What the switches did, in sentences."""
        misfit = f"steps of {number(STEP)} do not fit numbers of this size"
        now = self.variation(on)
        finite = all(np.isfinite(w.staged).all() and np.isfinite(w.numeric).all() for w in now.ways.values())
        if not on and not finite:
            return [
                "Nothing is switched off, and yet not all is finite: where 0 is divided by 0 there is no gradient."
            ]
        if not on:
            off = [name for name, way in now.ways.items() if way.wrong or way.unclear]
            if not off:
                return ["Nothing is broken: staged, closed form, engine and finite differences agree."]
            which = listed([f"∂L/∂{now.walk.values[name].symbol}" for name in off])
            return [
                "Nothing is broken: staged, closed form and engine agree.",
                f"For {which} finite differences cannot tell: {misfit}.",
            ]
        symbols = {name: now.walk.values[name].symbol for name in now.walk.leaves}
        moved, still = [], []
        for name, change in self.changes(on).items():
            what = (
                f"the output {now.walk.values[now.walk.output].symbol}" if name == "output" else f"∂L/∂{symbols[name]}"
            )
            if not change.happened:
                still.append(what)
            elif not np.isfinite(change.largest):
                moved.append(f"{what} is no longer finite")
            else:
                moved.append(f"{what} changes by up to {number(change.largest)} ({percent(change.relative)})")
        sentences = []
        if moved:
            sentences.append(sentence("; ".join(moved) + "."))
        if still:
            sentences.append(sentence(f"{listed(still)} {'does' if len(still) == 1 else 'do'} not change."))
        wrong = [
            f"∂L/∂{symbols[name]} (by {number(gap(way.staged, way.numeric))})"
            for name, way in now.ways.items()
            if way.wrong and not way.unclear
        ]
        if not finite:
            sentences.append("Where 0 is divided by 0 there is no gradient at all.")
        elif wrong:
            sentences.append(f"Finite differences disagree with {listed(wrong)}: this gradient is wrong.")
        elif any(way.unclear for way in now.ways.values()):
            sentences.append(
                f"Finite differences cannot tell: steps of {number(STEP)} do not fit numbers of this size."
            )
        else:
            sentences.append("Finite differences agree: it is the right gradient of what is now computed.")
        return sentences

    # -- who shares --------------------------------------------------------------------------------------------

    @np.errstate(all="ignore")  # what is NaN is shown as NaN, and needs no warning
    def sharing(self, on: Any = ()) -> dict[str, list[list[int]]]:
        """For each statistic, for each of its elements, the elements of the input that it depends on.

        Autograd says it: where ∂statistic/∂x, at a random x, is not 0.
        """
        s = self.operation.switched(self.setting, frozenset(on))
        rng = np.random.default_rng(0)
        arrays = {name: rng.standard_normal(a.shape) for name, a in s.arrays.items()}
        walk = self.operation.walk(Setting(arrays, s.seed, s.eps, s.groups, s.given, s.on), frozenset())
        leaf = walk[walk.leaves[0]]
        found = {}
        for value in walk.values.values():
            if not value.statistic:
                continue
            rows = []
            for i in range(value.array.size):
                one = np.zeros(value.array.shape)
                one.reshape(-1)[i] = 1
                (g,) = grad(value.tensor, [leaf], Tensor(one), retain_graph=True)
                rows.append(np.flatnonzero(np.abs(g.array) > 1e-12).tolist())
            found[value.name] = rows
        return found

    # -- what it is shown as -----------------------------------------------------------------------------------

    @cached_property
    def data(self) -> dict[str, Any]:
        """Everything that the page shows, ready for JSON."""
        from minigrad.viz.explainer.page import data

        return data(self)

    def html(self) -> str:
        """The page: one file, which needs nothing else."""
        from minigrad.viz.explainer.page import html

        return html(self)

    def text(self, on: Any = (), width: int = 100) -> str:
        """The same walk as plain text, with the switches `on`."""
        from minigrad.viz.explainer.text import HEADING, text

        return "\n".join(text(self, on, width)).replace(HEADING, "")

    def print(self, on: Any = ()) -> None:
        """Print the walk, as wide as the terminal and with bold headings where there is one."""
        from minigrad.viz.explainer.text import HEADING, text

        width = min(max(shutil.get_terminal_size().columns, 60), 110)
        bold = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        lines = text(self, on, width)
        whole = "\n".join(f"\x1b[1m{x[1:]}\x1b[0m" if bold and x.startswith(HEADING) else x for x in lines)
        whole = whole.replace(HEADING, "")
        encoding = sys.stdout.encoding or "utf-8"
        try:
            whole.encode(encoding)
        except UnicodeEncodeError:  # a terminal without Greek shows question marks, and no error
            whole = whole.replace("−", "-").encode(encoding, "replace").decode(encoding)
        sys.stdout.write(whole + "\n")
        sys.stdout.flush()

    def save(self, path: Any) -> Path:
        """Write the page to a .html file, or the walk as plain text to a .txt file; returns the path.

        A path without an ending gets .html; a folder gets a page that is named after the operation.

        Raises:
            ValueError: another ending.
        """
        from minigrad.files import write

        path = page_path(path, self.operation)
        write(path, (self.text() + "\n" if path.suffix.lower() == ".txt" else self.html()).encode())
        return path

    def _repr_html_(self) -> str:
        import html

        return (
            f'<iframe title="{html.escape(self.operation.title)}, explained" style="width: 100%; height: 60rem; '
            f'border: 0" srcdoc="{html.escape(self.html())}"></iframe>'
        )


def page_path(path: Any, operation: Operation) -> Path:
    """Where the page of an operation goes; see `Explanation.save`."""
    path = Path(path)
    if path.is_dir():
        return path / f"{operation.name}.html"
    if not path.suffix:
        return path.with_name(f"{path.name}.html")
    if path.suffix.lower() not in (".html", ".htm", ".txt"):
        raise ValueError(
            f"explain {operation.name}: {str(path)!r}: a page is saved as .html, and the walk as plain text as .txt, "
            f"not as {path.suffix!r}"
        )
    return path


def add_up(arrays: list[Any]) -> Any:
    total = arrays[0]
    for array in arrays[1:]:
        total = total + array
    return total


# -- text --------------------------------------------------------------------------------------------------


def number(value: float) -> str:
    """A number as the page prints it: four digits after the point, or in powers of ten.

    Example:
        >>> [number(v) for v in (0.0, -1.5, 0.00001234, 123456.7)]
        ['0.0000', '−1.5000', '1.2e−5', '1.2e5']
        >>> number(1 / 32)
        '0.0313'
    """
    if not np.isfinite(value):
        return "NaN" if np.isnan(value) else "∞" if value > 0 else "−∞"
    value += 0.0  # no −0
    # Rounded like the numbers in the page, and then as a browser does it, which does not round halves to even: page
    # and terminal print the same.
    exact = Decimal(float(f"{value:.{DIGITS - 1}e}"))
    with localcontext(rounding=ROUND_HALF_UP):
        if exact and not 1e-3 <= abs(exact) < 1e4:
            mantissa, power = f"{exact:.1e}".split("e")
            return f"{mantissa}e{int(power)}".replace("-", "−")
        return f"{exact:.4f}".replace("-", "−")


def percent(share: float) -> str:
    """A share of the largest element."""
    if not np.isfinite(share):
        return "from nothing"
    if share < 1e-4:
        return f"{number(share)} of the largest"
    if share >= 10:
        return f"{share:.0f} times the largest"
    return f"{100 * share:.3g} % of the largest"


def listed(words: list[str]) -> str:
    """a, b and c."""
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]


def sentence(text: str) -> str:
    return text[0].upper() + text[1:]


# -- making one --------------------------------------------------------------------------------------------


def find(name: str) -> Operation:
    """The operation of this name, or of another name for it.

    Raises:
        UnknownName: there is none.
    """
    key = str(name).lower().replace("-", "_").replace(" ", "_")
    key = ALIASES.get(str(name).lower(), ALIASES.get(key, key))
    if key not in OPERATIONS:
        known = [*OPERATIONS, *ALIASES]
        raise UnknownName(f"explain: {name!r} is unknown{nearest(key, known)} {choose(OPERATIONS)}")
    return OPERATIONS[key]


def explain(
    name: str,
    shape: Any = None,
    values: Any = None,
    eps: float | None = None,
    batch_size: int | None = None,
    groups: int | None = None,
) -> Explanation:
    """Take one operation apart: every step forward, every gradient backward, and what happens if it is broken.

    Args:
        name: batch_norm, layer_norm, instance_norm, group_norm, rms_norm, weight_norm, local_response_norm,
            batch_renorm, softmax_cross_entropy, linear, conv2d, or a short name such as bn.
        shape: of the input; small by default, so that the numbers can be read.
        values: the input itself, in place of random numbers: an array, a file (.npy, .csv, .json), or a dictionary
            with any of the leaves ("x", "gamma", "beta", ...) and "seed", the gradient that arrives at the output.
        eps: ε.
        batch_size: the length of the first axis; of given values, this number is used.
        groups: of group_norm (default: 2, or 1 if the channels are odd in number).

    Returns:
        An `Explanation`: `save("page.html")`, `text()`, and it shows itself in a notebook.

    Raises:
        UnknownName: there is no such operation.
        ValueError: a shape, a value or an option that does not fit.

    Example:
        >>> import minigrad as mg
        >>> page = mg.viz.explain("batch_norm", shape=(3, 2))
        >>> page.variation().ways["x"].staged.shape
        (3, 2)
    """
    operation = find(name)
    who = f"explain {operation.name}"
    arrays, seed, given = read(values, operation, who)
    main = next(iter(operation.fill(operation.shape, np.random.default_rng(0))))
    if main in arrays:
        if shape is not None:
            raise ValueError(f"{who}: shape and values were both given; the values have a shape already")
        if batch_size is not None:
            _check_batch(who, operation, batch_size)
            if batch_size > len(arrays[main]):
                raise ValueError(f"{who}: batch_size={batch_size}, and the values have {len(arrays[main])} samples")
            arrays[main] = arrays[main][:batch_size]
            seed = seed if seed is None or not np.ndim(seed) else seed[:batch_size]
            given = {k: v[:batch_size] if k == "target" else v for k, v in given.items()}
        wanted = arrays[main].shape
    else:
        wanted = operation.shape if shape is None else tuple(int(n) for n in shape)
        if batch_size is not None:
            _check_batch(who, operation, batch_size)
            wanted = (batch_size, *wanted[1:])
    _check_shape(who, operation, wanted)
    # The same command gives the same numbers; each operation has its own.
    rng = np.random.default_rng(zlib.crc32(operation.name.encode()))
    filled = operation.fill(wanted, rng)
    for key, array in arrays.items():
        if array.shape != filled[key].shape:
            raise ValueError(
                f"{who}: {key} has shape {array.shape}, and must have {filled[key].shape} for an input of shape "
                f"{wanted}"
            )
        filled[key] = array
    given = operation.given(filled, rng) | given
    if "target" in given and given["target"].max(initial=0) >= wanted[1]:
        raise ValueError(f"{who}: target holds class {given['target'].max()}, and there are 0 to {wanted[1] - 1}")
    if eps is not None and operation.eps is None:
        raise ValueError(f"{who}: it has no ε")
    if eps is not None and not (np.isfinite(eps) and eps >= 0):
        raise ValueError(f"{who}: eps={eps} must be a finite number, 0 or more")
    eps = operation.eps if eps is None else float(eps)
    setting = Setting(filled, 0.0, eps, _groups(who, operation, wanted, groups), given)
    leaves = [Tensor(a, requires_grad=True) for a in filled.values()]
    # Whatever minigrad refuses to compute is refused here with its own words; and the stages must be what it computes.
    with np.errstate(all="ignore"), composed():
        output = operation.at_once(setting, *leaves)
    setting.seed = operation.seed(output.shape, rng) if seed is None else seed
    if np.shape(setting.seed) != output.shape:
        raise ValueError(f"{who}: seed has shape {np.shape(setting.seed)}, and the output {output.shape}")
    return Explanation(operation, setting)


def _check_batch(who: str, operation: Operation, batch_size: int) -> None:
    if not operation.batch:
        raise ValueError(f"{who}: it looks at weights, and has no batch: leave out batch_size")
    if batch_size < 1:
        raise ValueError(f"{who}: batch_size={batch_size} must be at least 1")


def _check_shape(who: str, operation: Operation, shape: tuple[int, ...]) -> None:
    if len(shape) not in operation.ranks:
        ranks = listed([str(r) for r in operation.ranks]).replace(" and ", " or ")
        raise ValueError(
            f"{who}: shape {shape} has {len(shape)} axes, and must have {ranks}, such as {operation.shape}"
        )
    if min(shape) < 1:
        raise ValueError(f"{who}: shape {shape} has an axis without elements")
    if prod(shape) > MOST:
        raise ValueError(
            f"{who}: shape {shape} has {prod(shape)} elements, more than one can read; at most {MOST} are shown, such "
            f"as {operation.shape}"
        )
    if operation.name == "conv2d" and min(shape[2:]) < 2:
        raise ValueError(f"{who}: the picture is {shape[2]} × {shape[3]}, smaller than the kernel, which is 2 × 2")


def _groups(who: str, operation: Operation, shape: tuple[int, ...], groups: int | None) -> int:
    if operation.name != "group_norm":
        if groups is not None:
            raise ValueError(f"{who}: only group_norm has groups")
        return 1
    channels = shape[1]
    if groups is None:
        return 1 if channels % 2 else 2
    if groups < 1 or channels % groups:
        raise ValueError(f"{who}: {channels} channels cannot be divided into {groups} equal groups")
    return groups


# -- values from a file ------------------------------------------------------------------------------------

LARGEST = 1_000_000
"""The most bytes that a file of values may have."""


def read(values: Any, operation: Operation, who: str) -> tuple[dict[str, Any], Any, dict[str, Any]]:
    """Leaves, seed and constants from an array, a dictionary or a file."""
    if values is None:
        return {}, None, {}
    names = list(operation.fill(operation.shape, np.random.default_rng(0)))
    if isinstance(values, str | Path):
        values = load(Path(values), who)
    if not isinstance(values, dict):
        values = {names[0]: values}
    defaults = operation.given(operation.fill(operation.shape, np.random.default_rng(0)), None)
    known = [*names, "seed", *defaults]
    arrays, constants = {}, {}
    seed = None
    for key, entry in values.items():
        if key not in known:
            raise UnknownName(f"{who}: values has {short(key)!r}{nearest(key, known)} {choose(known)}")
        try:
            array = np.array(entry)
            if array.dtype.kind not in "biufO":
                raise TypeError
            array = array.astype(np.float64)
        except (TypeError, ValueError, OverflowError):
            raise ValueError(
                f"{who}: {key} must be an array of real numbers, with the same number of them in every row"
            ) from None
        if not np.isfinite(array).all():
            raise ValueError(f"{who}: {key} holds NaN or ∞; give finite numbers")
        if key == "running_std" and not (array > 0).all():
            raise ValueError(f"{who}: running_std must be positive: it is divided by")
        if key == "target":
            if (array != np.floor(array)).any() or (array < 0).any():
                raise ValueError(f"{who}: target must hold classes, whole numbers from 0")
            array = array.astype(np.int64)
        if key == "seed":
            seed = array
        elif key in names:
            arrays[key] = array
        else:
            constants[key] = array
    return arrays, seed, constants


def load(path: Path, who: str) -> Any:
    """What a .npy, .csv or .json file holds.

    Raises:
        ValueError: the one error for whatever is wrong with the file.
    """
    kind = path.suffix.lower()
    if kind not in (".npy", ".csv", ".json"):
        raise ValueError(f"{who}: {short(path.name)!r} is not a .npy, .csv or .json file")
    try:
        if not path.exists():
            raise ValueError("there is no such file")
        if not path.is_file():  # a folder; or a pipe, which may never end
            raise ValueError("it is not a regular file")
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
        if len(content) > LARGEST:
            raise ValueError(f"it is larger than {LARGEST:,} bytes, and at most {MOST} numbers are shown")
        if not content.strip():
            raise ValueError("it is empty")
        return _parse(kind, content)
    except Exception as error:  # the parsers raise a dozen kinds of errors, down to MemoryError and SyntaxError
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        if isinstance(error, RecursionError):
            reason = "its brackets are nested too deeply"
        elif isinstance(error, MemoryError):
            reason = "it announces an array that does not fit into memory"
        reason = short(printable(reason or type(error).__name__), 200)
        raise ValueError(f"{who}: {short(path, 200)} cannot be read: {reason}") from error


def _parse(kind: str, content: bytes) -> Any:
    if kind == ".npy":
        return np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
    text = content.decode("utf-8-sig")
    if kind == ".json":
        return json.loads(text)
    rows = [row for row in csv.reader(text.splitlines()) if any(cell.strip() for cell in row)]
    try:
        return [[float(cell) for cell in row] for row in rows]
    except ValueError:  # a first line of names
        return [[float(cell) for cell in row] for row in rows[1:]]
