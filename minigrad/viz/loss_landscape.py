"""The loss around a set of weights, along random directions: how smooth is the ground that training walks on?

A direction d is drawn for all weights at once, and the loss is measured at w + a·d, or over a plane at w + a·d + b·e.
Networks with ReLU or with norms compute the same function when the weights of a filter grow and the next ones shrink,
so a step of length 1 means little by itself. *Filter normalization* gives it a meaning: each filter of d gets the
length of the filter of w that it is added to.

Source: Li, Xu, Taylor, Studer & Goldstein, "Visualizing the loss landscape of neural nets", arXiv 1712.09913.
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from minigrad.autograd import Tensor, no_grad
from minigrad.files import write_arrays
from minigrad.nn.module import Module
from minigrad.nn.norm.common import Norm
from minigrad.nn.utils.parametrizations import transposed_weights
from minigrad.ops.conv import filters_back, filters_first
from minigrad.ops.random import get_rng_state, set_rng_state
from minigrad.viz import style

if TYPE_CHECKING:
    from minigrad.viz.picture import Picture

STATISTICS = ("batch", "running")


@dataclass(frozen=True)
class Landscape:
    """The losses that `landscape` measured.

    Attributes:
        a: the places along the first direction, in lengths of the weights; the middle one is 0.
        losses: `losses[i]` at a[i]; in two dimensions `losses[i, j]` at a[i] along the first and a[j] along the
            second direction. Infinite or NaN where the network's numbers were.
        seed: of the directions.
        statistics: what batch norms normalized by, "batch" or "running".
    """

    a: Any
    losses: Any
    seed: int
    statistics: str

    @property
    def dimensions(self) -> int:
        return self.losses.ndim

    @property
    def center(self) -> float:
        """The loss of the weights themselves."""
        middle = len(self.a) // 2
        return float(self.losses[(middle,) * self.dimensions])

    def rise(self, a: float) -> float:
        """The mean loss at distance |a| (in one dimension), or on the rim of the square of half width a."""
        distance = np.abs(self.a)
        if self.dimensions == 2:
            distance = np.maximum(distance[:, None], distance[None, :])
        near = np.isclose(distance, a)
        if not near.any():
            places = ", ".join(f"{x:g}" for x in self.a[self.a >= 0])
            raise ValueError(f"rise({a}): the loss was measured at distances {places}")
        return float(self.losses[near].mean())

    def plot(self, theme: str = "light") -> "Picture":
        """The landscape alone; `landscapes` draws several side by side."""
        return landscapes({"": self}, theme=theme)

    def save(self, path: Any) -> None:
        """Write the numbers to an .npz file, to be read by `numpy.load`."""
        write_arrays(path, a=self.a, losses=self.losses, seed=self.seed, statistics=self.statistics)


def directions(model: Module, seed: int = 0, count: int = 2, weights_only: bool = True) -> list[dict[str, Any]]:
    """Random directions in the space of the parameters, normalized by filter.

    d_f = g_f ‖w_f‖ / ‖g_f‖,   g standard normal, f a filter: the weights that one output adds up

    Args:
        model: its parameters w.
        seed: decides all directions.
        count: how many.
        weights_only: leave biases, and γ and β of norms, where they are: their direction is 0. With False they move
            too, each vector as one filter.

    Returns:
        Per direction an array, float64, for each name in `named_parameters()`.

    Source: Li et al., arXiv 1712.09913, section 4.

    Example:
        >>> import minigrad as mg
        >>> model = mg.nn.Linear(3, 2)
        >>> (d,) = mg.viz.directions(model, count=1)
        >>> bool(np.allclose(np.linalg.norm(d["weight"], axis=1), np.linalg.norm(model.weight.array, axis=1)))
        True
    """
    rng = np.random.default_rng(seed)
    of_norms = {p for module in model.modules() if isinstance(module, Norm) for p in module.parameters(recurse=False)}
    transposed = transposed_weights(model)
    found = []
    for _ in range(count):
        direction = {}
        for name, parameter in model.named_parameters():
            w = parameter.array.astype(np.float64)
            g = rng.standard_normal(w.shape)  # drawn for all, so that `weights_only` changes no other direction
            is_weight = w.ndim >= 2 and parameter not in of_norms
            if weights_only and not is_weight:
                direction[name] = np.zeros_like(w)
                continue
            groups = transposed.get(parameter, 0)
            if groups:
                w, g = filters_first(w, groups), filters_first(g, groups)
            axes = tuple(range(1, w.ndim)) if is_weight else None
            length = np.sqrt((g * g).sum(axes, keepdims=True))
            d = g * (np.sqrt((w * w).sum(axes, keepdims=True)) / np.where(length > 0, length, 1))
            direction[name] = filters_back(d, groups) if groups else d
        found.append(direction)
    return found


def landscape(
    model: Module,
    loss: Callable[[Module], Any],
    *,
    span: float = 1.0,
    points: int = 25,
    dimensions: int = 2,
    seed: int = 0,
    statistics: str = "batch",
    weights_only: bool = True,
    progress: bool | Callable[[int, int], None] = False,
) -> Landscape:
    """Measure the loss along one random direction from the weights, or over a plane through them.

    L(a, b) = loss(w + a·d + b·e),   a and b from −span to span, d and e filter-normalized

    The value in the middle is the loss of the weights as they are, exactly. Afterwards parameters, buffers, training
    flags and the random generator are as they were, to the bit, whatever happened in between. Every point sees the
    same random numbers.

    **Batch norm.** Running averages belong to the weights in the middle and to no others, so there are two
    landscapes, and they differ:

    - `statistics="batch"`, the one that training walks on: layers that keep averages normalize by the batch that
      `loss` runs. Everything else is as in evaluation, without dropout.
    - `statistics="running"`: all of the network as in evaluation, with the averages as they are; away from the
      middle they do not fit any more.

    Args:
        model: the network, trained or not.
        loss: `loss(model)` returns the loss, a tensor with one element or a number. Give it always the same batch,
            and one that is large enough for its statistics.
        span: how far to go; at 1 the random part is as long as the weights themselves.
        points: how many places along each direction; odd, so that one is in the middle.
        dimensions: 1 or 2.
        seed: of the directions.
        statistics: see above.
        weights_only: leave biases, γ and β alone, see `directions`.
        progress: True prints a line that counts the points; a function is called as `progress(done, all)`.

    Raises:
        ValueError: `points` is even, `dimensions` is neither 1 nor 2, no weight could move, ...
        TypeError: `loss` returns no number.

    Source: Li et al., arXiv 1712.09913. They take the running averages as they are, and on their plots also leave
    biases, γ and β alone.

    Example:
        >>> import minigrad as mg
        >>> _ = mg.manual_seed(0)
        >>> model, x, y = mg.nn.Linear(2, 2), mg.randn(8, 2), mg.arange(8) % 2
        >>> land = mg.viz.landscape(model, lambda model: mg.nn.functional.cross_entropy(model(x), y), points=5)
        >>> land.losses.shape, land.center == mg.nn.functional.cross_entropy(model(x), y).item()
        ((5, 5), True)
    """
    op = "landscape"
    if not isinstance(model, Module):
        raise TypeError(f"{op}: model must be a Module, not a {type(model).__name__}")
    if not callable(loss):
        raise TypeError(
            f"{op}: loss must be a function of the model, such as lambda model: F.cross_entropy(model(x), y), "
            f"not a {type(loss).__name__}"
        )
    if dimensions not in (1, 2):
        raise ValueError(f"{op}: dimensions={dimensions}: it can go along 1 direction, or over a plane of 2")
    if points < 3 or points % 2 == 0:
        raise ValueError(f"{op}: points={points} must be odd and at least 3, so that one is in the middle")
    if not (np.isfinite(span) and span > 0):
        raise ValueError(f"{op}: span={span} must be a positive number")
    if statistics not in STATISTICS:
        raise ValueError(f"{op}: statistics={statistics!r} is unknown. Choose from: batch, running")
    parameters = dict(model.named_parameters())
    ways = directions(model, seed, dimensions, weights_only)
    if not any(d.any() for way in ways for d in way.values()):
        what = "weights, that is parameters with two axes or more" if weights_only else "parameters"
        raise ValueError(f"{op}: this {type(model).__name__} has no {what} other than 0, so there is nowhere to go")

    half = points // 2
    a = np.arange(-half, half + 1) * (span / half)
    losses = np.full((points,) * dimensions, np.nan)
    tell = _counter if progress is True else progress or None
    with _unchanged(model) as (weights, put_back), np.errstate(all="ignore"):
        for done, place in enumerate(np.ndindex(losses.shape), 1):
            _set_modes(model, statistics)
            for name, parameter in parameters.items():
                moved = sum((a[i] * way[name] for i, way in zip(place, ways, strict=True)), start=weights[name])
                _overwrite(parameter, moved)
            losses[place] = _number(loss(model))
            put_back()  # averages that this point moved, and random numbers that it drew
            if tell is not None:
                tell(done, losses.size)
    return Landscape(a, losses, seed, statistics)


def _overwrite(tensor: Tensor, values: Any) -> None:
    np.copyto(tensor.array, values, casting="same_kind")
    tensor.version[0] += 1


@contextmanager
def _unchanged(model: Module) -> Iterator[tuple[dict[str, Any], Callable[[], None]]]:
    """Gives the weights, and a function that puts buffers and random numbers back; at the end, all is put back."""
    parameters = dict(model.named_parameters())
    saved = {name: parameter.array.copy() for name, parameter in parameters.items()}
    buffers = [(buffer, buffer.array.copy()) for buffer in model.buffers()]
    training = {module: module.training for module in model.modules()}
    random = get_rng_state()

    def put_back() -> None:
        for buffer, values in buffers:
            _overwrite(buffer, values)
        set_rng_state(random)

    try:
        with no_grad():
            yield saved, put_back
    finally:
        for name, parameter in parameters.items():
            _overwrite(parameter, saved[name])
        put_back()
        for module, mode in training.items():
            module.training = mode


def _set_modes(model: Module, statistics: str) -> None:
    """Evaluation, but for layers with averages, which with "batch" normalize as in training."""
    for module in model.modules():
        population = getattr(module, "population_statistics", None)
        averages = callable(population) and population() is not None
        module.training = averages and statistics == "batch" and module._mode_when_unfrozen is None


def _number(value: Any) -> float:
    array = np.asarray(value.array if isinstance(value, Tensor) else value)
    if array.size != 1 or array.dtype.kind not in "fiu":
        raise TypeError(
            f"landscape: loss(model) must return one number, and returned {type(value).__name__} "
            f"{array.dtype}{list(array.shape)}; take its mean"
        )
    return float(array.item())


def _counter(done: int, total: int) -> None:
    end = "\n" if done == total else ""
    if sys.stderr.isatty() or end:
        print(f"\rlandscape: {done} of {total} points", end=end, file=sys.stderr, flush=True)


# -- pictures ---------------------------------------------------------------------------------------------


def _heading(name: str, land: "Landscape") -> str:
    return f"{style.written(name)}{': ' if name else ''}loss {land.center:.3g} in the middle"


def landscapes(
    lands: "Mapping[str, Landscape | Sequence[Landscape]]",
    *,
    kind: str | None = None,
    theme: str = "light",
    limit: float | None = None,
) -> "Picture":
    """Draw landscapes for comparison, on one scale of losses.

    Args:
        lands: by name; the names of norms have colours of their own. Those along one direction are drawn as lines
            in one pair of axes, and a name can have several (other directions, other seeds): its line is their
            mean, its band goes from the lowest to the highest; the scale is logarithmic where the largest loss is more
            than thirty times the smallest. Those over a plane get a panel each, with logarithmic levels.
        kind: "contour" (default) or "surface", for those over a plane.
        theme: "light" or "dark".
        limit: losses above it are drawn as this one. Default: the highest that was measured.

    Raises:
        ValueError: nothing to draw, or one and two dimensions mixed, or landscapes of one name at other places.

    Example:
        >>> import minigrad as mg
        >>> model, x = mg.nn.Linear(2, 2), mg.randn(8, 2)
        >>> lands = [mg.viz.landscape(model, lambda m: (m(x) ** 2).mean(), dimensions=1, seed=s) for s in range(3)]
        >>> figure = mg.viz.landscapes({"a linear layer": lands})
    """
    style.check_theme(theme)
    groups = {name: [land] if isinstance(land, Landscape) else list(land) for name, land in lands.items()}
    flat = [land for group in groups.values() for land in group]
    if not flat or not all(groups.values()):
        raise ValueError("landscapes: give at least one landscape for each name, such as {'batch': landscape(...)}")
    if len({land.dimensions for land in flat}) > 1:
        raise ValueError("landscapes: some go along one direction and some over a plane; draw them apart")
    if flat[0].dimensions == 1:
        return _lines(groups, theme, limit)
    if kind not in (None, "contour", "surface"):
        raise ValueError(f"landscapes: kind={kind!r} is unknown. Choose from: contour, surface")
    panels = {}
    for name, group in groups.items():
        for land in group:
            panels[name if len(group) == 1 else f"{name}, seed {land.seed}"] = land
    return (_surfaces if kind == "surface" else _contours)(panels, theme, limit)


def _lines(groups: dict[str, list[Landscape]], theme: str, limit: float | None) -> "Picture":
    figure = style.picture(6.4, 4.3, theme)
    axes = figure.subplots()
    style.dress(axes, theme, "Loss along filter-normalized random directions", "distance from the weights", "loss")
    for (name, group), colour in zip(groups.items(), style.colours(groups, theme).values(), strict=True):
        if any(not np.array_equal(land.a, group[0].a) for land in group):
            raise ValueError(f"landscapes: those of {name!r} were measured at different places")
        a, losses = group[0].a, np.stack([land.losses for land in group])
        losses = np.where(np.isfinite(losses), losses, np.nan)
        losses = losses if limit is None else np.minimum(losses, limit)
        axes.plot(a, losses.mean(0), color=colour, linewidth=2, label=style.written(name))
        if len(group) > 1:
            axes.fill_between(a, losses.min(0), losses.max(0), color=colour, alpha=0.18, linewidth=0)
    drawn = np.concatenate([np.asarray(line.get_ydata()) for line in axes.lines])
    drawn = drawn[np.isfinite(drawn)]
    if drawn.size and drawn.min() > 0 and drawn.max() > 30 * drawn.min():
        axes.set_yscale("log")
        style.logarithmic(axes.yaxis)
    if any(groups):
        style.legend(figure, *axes.get_legend_handles_labels(), theme)
    return figure


def _levels(panels: dict[str, Landscape], limit: float | None) -> tuple[Any, dict[str, Any]]:
    """Levels with equal ratios from the lowest to the highest loss, and the losses without what is not finite."""
    finite = np.concatenate([land.losses[np.isfinite(land.losses)] for land in panels.values()])
    if not finite.size:
        raise ValueError("landscapes: no loss is finite; measure with a smaller span")
    low, high = max(finite.min(), 1e-8), finite.max() if limit is None else limit
    if finite.min() < 0 or high < 0:
        raise ValueError(
            f"landscapes: the scale of a plane is logarithmic, and losses go from {finite.min():.3g} to {high:.3g}; "
            "add a constant to the loss that makes it positive, or measure along one direction"
        )
    low, high = min(low, 0.999 * high), max(high, 1e-7)
    shown = {
        name: np.clip(np.nan_to_num(land.losses, nan=high, posinf=high), low, high) for name, land in panels.items()
    }
    return np.geomspace(low, high, 22), shown


def _contours(panels: dict[str, Landscape], theme: str, limit: float | None) -> "Picture":
    levels, shown = _levels(panels, limit)
    columns = min(4, len(panels))
    rows = -(-len(panels) // columns)
    figure = style.picture(0.9 + 3.5 * columns, 0.3 + 3.5 * rows, theme)
    from matplotlib.colors import LogNorm
    from matplotlib.ticker import LogLocator, NullFormatter

    every = list(figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).flat)
    scale = LogNorm(levels[0], levels[-1])
    filled = None
    for axes, (name, land) in zip(every, panels.items(), strict=False):
        style.dress(axes, theme, _heading(name, land), grid=False)
        z = shown[name].T  # the first direction goes to the right
        filled = axes.contourf(land.a, land.a, z, levels=levels, norm=scale, cmap=style.sequential(theme))
        axes.contour(land.a, land.a, z, levels=levels[::2], colors=style.INK[theme], linewidths=0.5, alpha=0.55)
        axes.plot(0, 0, marker="+", markersize=10, markeredgewidth=1.6, color=style.COLOURS[theme]["layer"])
        axes.set_aspect("equal")
        axes.set_xlabel("first direction", color=style.INK[theme], fontsize=9)
    for axes in every[len(panels) :]:
        axes.set_visible(False)
    for axes in every[::columns]:
        axes.set_ylabel("second direction", color=style.INK[theme], fontsize=9)
    assert filled is not None
    bar = figure.colorbar(filled, ax=every, shrink=0.9, pad=0.015)
    bar.ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    bar.ax.yaxis.set_major_formatter("{x:g}")
    bar.ax.yaxis.set_minor_formatter(NullFormatter())
    bar.ax.tick_params(colors=style.INK[theme], labelsize=9, which="both")
    bar.outline.set_edgecolor(style.INK[theme])
    bar.set_label("loss", color=style.INK[theme], fontsize=9)
    return figure


def _surfaces(panels: dict[str, Landscape], theme: str, limit: float | None) -> "Picture":
    """Losses as heights, on a logarithmic scale: beside a loss of 1000, one of 1 would look like one of 0."""
    levels, shown = _levels(panels, limit)
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    # Constrained layout does not know how far the labels of 3-D axes reach.
    figure = style.picture(4.3 * columns, 4.2 * rows, theme, layout=None)
    from matplotlib import rc_context
    from matplotlib.colors import LogNorm, to_rgba

    figure.subplots_adjust(left=0.01, right=1 - 0.12 / columns, bottom=0.07, top=0.92, wspace=0.12)
    ink = style.INK[theme]
    scale = LogNorm(levels[0], levels[-1])
    powers = np.arange(np.floor(np.log10(levels[0])), np.ceil(np.log10(levels[-1])) + 1)
    for i, (name, land) in enumerate(panels.items()):
        with rc_context({"grid.color": style.GRID[theme], "grid.linewidth": 0.7}):
            axes: Any = figure.add_subplot(rows, columns, i + 1, projection="3d")
        axes.set_facecolor(style.PAPER[theme])
        x, y = np.meshgrid(land.a, land.a, indexing="ij")
        colours = style.sequential(theme)(0.15 + 0.85 * np.asarray(scale(shown[name])))
        axes.plot_surface(
            x, y, np.log10(shown[name]), facecolors=colours, rstride=1, cstride=1, linewidth=0.3,
            edgecolor=to_rgba(ink, 0.35), shade=False, antialiased=True,
        )  # fmt: skip
        axes.set_zticks(powers, [f"{10**power:g}" for power in powers])
        axes.set_zlim(np.log10(levels[0]), np.log10(levels[-1]))
        axes.view_init(30, -55)
        axes.set_title(_heading(name, land), color=ink, fontsize=11)
        for axis in (axes.xaxis, axes.yaxis, axes.zaxis):
            axis.set_pane_color(to_rgba(style.PAPER[theme], 0))
            axis.line.set_color(ink)
        axes.tick_params(colors=ink, labelsize=8, pad=0)
        axes.locator_params(axis="x", nbins=5)
        axes.locator_params(axis="y", nbins=5)
        axes.set_xlabel("first direction", color=ink, fontsize=9)
        axes.set_ylabel("second direction", color=ink, fontsize=9)
        axes.set_zlabel("loss", color=ink, fontsize=9)
    return figure
