"""A look inside a network while it trains: the activations and gradients of every layer, step by step."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from minigrad import nn
from minigrad.autograd import Tensor
from minigrad.autograd.tensor import raw
from minigrad.files import write_arrays
from minigrad.nn.module import Module
from minigrad.nn.utils import parametrize
from minigrad.suggest import choose, nearest
from minigrad.viz import style
from minigrad.viz.histogram import Histogram

if TYPE_CHECKING:
    from minigrad.viz.picture import Picture

KINDS = ("activations", "gradients", "parameter_gradients")
_PASS_ON = (nn.Flatten, nn.Unflatten, nn.Identity)
_DASHES = ("-", (0, (5, 2)), (0, (1, 1.2)), (0, (5, 2, 1, 2)))
_TITLES = {
    "activations": "Activations",
    "gradients": "Gradients of the loss by activations",
    "parameter_gradients": "Gradients of the loss by parameters",
}


@dataclass
class Summary:
    """A summary of the numbers of a layer in one step. Summaries can be added.

    Attributes:
        count: how many numbers there were; NaN and infinite ones are counted in `nonfinite` and are in none of the
            others.
        mean: their mean.
        squares: the sum of the squares of their deviations from it.
        low, high: the smallest and the largest.
        zeros: how many are exactly 0.
    """

    count: int
    mean: float
    squares: float
    low: float
    high: float
    zeros: int
    nonfinite: int

    @classmethod
    def of(cls, values: Any) -> "Summary":
        """Of an array with at least one number."""
        values = values.reshape(-1).astype(np.float64, copy=False)
        nonfinite, total = 0, float(values.sum())
        if not np.isfinite(total):
            finite = values[np.isfinite(values)]
            nonfinite, values, total = values.size - finite.size, finite, float(finite.sum())
            if not values.size:
                return cls(0, 0.0, 0.0, np.inf, -np.inf, 0, nonfinite)
        mean = total / values.size
        deviations = values - mean
        return cls(
            values.size, mean, float(deviations @ deviations), float(values.min()), float(values.max()),
            values.size - int(np.count_nonzero(values)), nonfinite,
        )  # fmt: skip

    def __add__(self, other: "Summary") -> "Summary":
        count = self.count + other.count
        if not self.count or not other.count:
            full = self if self.count else other
            return Summary(
                count, full.mean, full.squares, full.low, full.high, full.zeros, self.nonfinite + other.nonfinite
            )
        gap = other.mean - self.mean
        return Summary(
            count, self.mean + gap * other.count / count,
            self.squares + other.squares + gap * gap * self.count * other.count / count,
            min(self.low, other.low), max(self.high, other.high), self.zeros + other.zeros,
            self.nonfinite + other.nonfinite,
        )  # fmt: skip

    def numbers(self) -> tuple[float, ...]:
        """mean, std, min, max, rms, norm, share of zeros, share of NaN and infinity."""
        if not self.count:
            return (np.nan,) * 7 + (1.0,)
        power = self.squares + self.count * self.mean**2
        everything = self.count + self.nonfinite
        return (
            self.mean, np.sqrt(self.squares / self.count), self.low, self.high, np.sqrt(power / self.count),
            np.sqrt(power), self.zeros / everything, self.nonfinite / everything,
        )  # fmt: skip


STATISTICS = ("mean", "std", "min", "max", "rms", "norm", "zeros", "nonfinite")


def monitor(
    model: Module,
    *,
    layers: Iterable[Any] | None = None,
    every: int = 1,
    histograms: int = 100,
    evaluation: bool = False,
) -> "Monitor":
    """Watch a network while it trains: one line before the loop, and pictures after it.

    In each training step it collects for each layer, of its output and of the loss's gradient by that output, and of
    the gradient of each parameter: mean, deviation, smallest and largest value, root mean square, norm, the shares of
    zeros and of NaN or infinity; and a histogram. The network computes the same bits with it and without.

    - A *step* begins whenever the model is called in training mode; calls in evaluation mode are not looked at. Where
      the model is not called as a whole, but its parts are, call `.step()` at the beginning of each step.
    - What a layer gives in several calls of one step is taken together, as are several backward passes.
    - Of an output that is a tuple, a list or a dictionary, the first tensor of floating-point numbers is taken.

    It costs 25 µs for each 10,000 numbers, and as much again in steps whose histogram is kept. A step of an MLP
    64-256-256-10 with batches of 32 takes 1.4 ms instead of 0.4; with `every=10`, which looks at each tenth step only,
    0.7 on average.

    Args:
        model: any module.
        layers: the layers to watch: names as in `named_modules()`, or classes. Default: all that have no parts
            (a parametrized layer counts as one), but for those that only pass on, `Flatten`, `Unflatten` and
            `Identity`.
        every: 5 looks at every fifth step.
        histograms: how many to keep of each layer, at most: when there are more, every second one is dropped, and
            from then on only half as many are taken. 0 takes none.
        evaluation: True: look at calls in evaluation mode as well.

    Returns:
        A `Monitor`. Use it in a `with` statement, or call its `close()`: then its hooks are gone from the model, and
        what it collected stays.

    Raises:
        ValueError: no such layer; `every` is not positive.

    Example:
        >>> import minigrad as mg
        >>> model = mg.nn.Sequential(mg.nn.Linear(4, 8), mg.nn.ReLU(), mg.nn.Linear(8, 1))
        >>> with mg.viz.monitor(model) as watch:
        ...     for step in range(3):
        ...         (model(mg.randn(16, 4)) ** 2).mean().backward()
        >>> watch
        Monitor(3 steps, layers: 0, 1, 2)
        >>> watch.statistics("gradients", "0")["rms"].shape
        (3,)
        >>> curves, pictures = watch.plot(), watch.histograms()
    """
    return Monitor(model, layers, every, histograms, evaluation)


class Monitor:
    """The result of `monitor`.

    Attributes:
        layers: the names of the watched layers, from input to output.
        parameters: the names of their parameters that have a gradient.
        matrices: those of them with two axes or more.
        step_count: how many steps have begun.
    """

    def __init__(self, model: Module, layers: Iterable[Any] | None, every: int, histograms: int, evaluation: bool):
        if not isinstance(model, Module):
            raise TypeError(f"monitor: model must be a Module, not a {type(model).__name__}")
        if every < 1 or histograms < 0:
            raise ValueError(f"monitor: every={every} must be at least 1, and histograms={histograms} at least 0")
        chosen = _choose(model, layers)
        self.layers = list(chosen)
        self.kinds = {name: type(module).__name__ for name, module in chosen.items()}
        self.step_count = 0
        self._model, self._every, self._evaluation = model, every, evaluation
        self._limit, self._stride = histograms, 1
        self._by_hand = False
        self._step: int | None = None  # the step that is looked at; None between them
        self._summaries: dict[str, dict[str, dict[int, Summary]]] = {kind: {} for kind in KINDS}
        self._histograms: dict[str, dict[str, dict[int, Histogram]]] = {kind: {} for kind in KINDS}
        self._handles = [model.register_forward_pre_hook(lambda module, args: self._called(module), prepend=True)]
        for name, module in chosen.items():
            self._handles.append(module.register_forward_hook(self._output_hook(name, module)))
        mine = set(chosen.values())
        parts = [part for module in mine for part in module.modules()]
        wanted = {p for part in parts for p in part.parameters(recurse=False) if p.requires_grad}
        self.parameters = [name for name, p in model.named_parameters() if p in wanted]
        self.matrices = [name for name, p in model.named_parameters() if p in wanted and p.ndim >= 2]
        for name, parameter in model.named_parameters():
            if parameter in wanted:
                hook = _OfThisOnly(self._gradient_hook("parameter_gradients", name))
                self._handles.append(parameter.register_hook(hook))
        self._open = True

    # -- collecting --------------------------------------------------------------------------------------

    def step(self) -> None:
        """Begin a step. From then on, calls of the model do not begin one of their own."""
        self._by_hand = True
        self._begin()

    def _called(self, module: Module) -> None:
        if module is self._model and not self._by_hand and self._looks():
            self._begin()

    def _looks(self) -> bool:
        return self._evaluation or self._model.training

    def _begin(self) -> None:
        self._step = self.step_count if self.step_count % self._every == 0 else None
        self.step_count += 1

    def _output_hook(self, name: str, watched: Module) -> Any:
        def hook(module: Module, args: Any, output: Any) -> None:
            if module is not watched:
                return  # a deep copy of the model has a copy of the hooks, and is not the one that is watched
            if self.step_count == 0 and self._looks():
                self._begin()  # a part is called before the model was
            if self._step is None or not self._looks():
                return
            tensor = _first_tensor(output)
            if tensor is None:
                return
            self._keep("activations", name, self._step, tensor.array)
            if tensor.requires_grad:
                tensor.register_hook(self._gradient_hook("gradients", name, self._step))

        return hook

    def _gradient_hook(self, kind: str, name: str, step: int | None = None) -> Any:
        """Of an output, the gradient belongs to the step in which it was computed; of a parameter, to the last one."""

        def hook(gradient: Any) -> None:
            now = self._step if step is None else step
            if self._open and now is not None:
                self._keep(kind, name, now, raw(gradient))

        return hook

    def _keep(self, kind: str, name: str, step: int, values: Any) -> None:
        if not values.size:
            return
        with np.errstate(all="ignore"):
            summary = Summary.of(values)
        summaries = self._summaries[kind].setdefault(name, {})
        summaries[step] = summaries[step] + summary if step in summaries else summary
        if self._limit and summary.count and step // self._every % self._stride == 0:
            histogram = Histogram.of(values if not summary.nonfinite else values[np.isfinite(values)])
            mine = self._histograms[kind].setdefault(name, {})
            mine[step] = mine[step] + histogram if step in mine else histogram
            if len(mine) > self._limit:
                self._thin()

    def _thin(self) -> None:
        """Keep every second histogram of all layers, so that all have the same steps."""
        self._stride *= 2
        for layers in self._histograms.values():
            for name, mine in layers.items():
                layers[name] = {s: h for s, h in mine.items() if s // self._every % self._stride == 0}

    def close(self) -> None:
        """Remove all hooks from the model. The collected numbers stay."""
        self._open, self._step = False, None
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def __enter__(self) -> "Monitor":
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Monitor({self.step_count} steps, layers: {', '.join(name or 'model' for name in self.layers)})"

    # -- what was collected ------------------------------------------------------------------------------

    def statistics(self, kind: str, name: str) -> dict[str, Any]:
        """The numbers of one layer or parameter, arrays with an entry for each step that was looked at.

        Args:
            kind: "activations", "gradients" (of the loss by the layer's output) or "parameter_gradients".
            name: of a layer, as in `layers`; or of a parameter, as in `parameters`.

        Returns:
            "step", "mean", "std", "min", "max", "rms" (root mean square), "norm" (root of the sum of squares), and
            "zeros" and "nonfinite" (shares).
        """
        mine = self._find(self._summaries, kind, name)
        rows = np.array([summary.numbers() for summary in mine.values()]).reshape(-1, len(STATISTICS))
        return {"step": np.array(list(mine)), **dict(zip(STATISTICS, rows.T, strict=True))}

    def histogram(self, kind: str, name: str, step: int) -> tuple[Any, Any]:
        """(counts, edges) of the numbers of one layer or parameter in one step, as `numpy.histogram` gives them."""
        mine = self._find(self._histograms, kind, name)
        if step not in mine:
            raise ValueError(f"histogram: there is none of step {step}; steps with one: {', '.join(map(str, mine))}")
        return mine[step].counts, mine[step].edges

    def histogram_steps(self, kind: str, name: str) -> list[int]:
        """The steps of which there is a histogram."""
        return list(self._find(self._histograms, kind, name))

    def _find(self, table: Any, kind: str, name: str) -> Any:
        if kind not in KINDS:
            raise ValueError(f"monitor: there is no kind {kind!r}{nearest(kind, KINDS)} {choose(KINDS)}")
        if name not in table[kind]:
            known = list(table[kind])
            what = f"There are: {', '.join(known)}" if known else "Nothing of the kind was collected yet"
            raise ValueError(f"monitor: no {kind} of {name!r}{nearest(name, known)} {what}")
        return dict(sorted(table[kind][name].items()))  # backward passes may come in another order

    def save(self, path: str | Path) -> None:
        """Write the curves (`plot`) to a .png, .svg or .pdf, or all numbers to an .npz.

        In the .npz, "activations/0.weight/mean" and the like are arrays over the steps "activations/0.weight/step".
        """
        if Path(path).suffix != ".npz":
            self.plot().save(path)
            return
        arrays = {
            f"{kind}/{name}/{statistic}": values
            for kind in KINDS
            for name in self._summaries[kind]
            for statistic, values in self.statistics(kind, name).items()
        }
        write_arrays(path, **arrays)

    # -- pictures ----------------------------------------------------------------------------------------

    def plot(self, layers: Iterable[Any] | None = None, theme: str = "light") -> "Picture":
        """Draw curves over the steps, a line for each layer, from violet (input) to yellow (output); a dash per class.

        Four pairs of axes: the deviation of activations and their share of zeros (units that a ReLU shut), the root
        mean square of gradients by activations, and the norm of each weight's gradient.
        """
        style.check_theme(theme)
        names = self._chosen(layers)
        weights = [p for p in self.parameters if p.rpartition(".")[0].partition(".parametrizations")[0] in names]
        weights = [p for p in weights if p.rpartition(".")[2] != "bias"]
        panels = [
            ("activations", "std", "Standard deviation of activations", names),
            ("activations", "zeros", "Share of activations that are 0", names),
            ("gradients", "rms", "Gradient by activations, root mean square", names),
            ("parameter_gradients", "norm", "Norm of each weight's gradient", weights),
        ]
        figure = style.picture(11, 6.6, theme)
        colours = dict(zip(names, style.depth_colours(len(names), theme), strict=True))
        classes = list(dict.fromkeys(self.kinds[name] for name in names))
        dashes = {name: _DASHES[classes.index(self.kinds[name]) % len(_DASHES)] for name in names}
        for axes, (kind, statistic, title, rows) in zip(figure.subplots(2, 2).flat, panels, strict=True):
            style.dress(axes, theme, title, "step")
            positive = False
            for name in rows:
                if name not in self._summaries[kind]:
                    continue
                numbers = self.statistics(kind, name)
                layer = name if kind != "parameter_gradients" else name.rpartition(".")[0].partition(".parametr")[0]
                axes.plot(
                    numbers["step"], numbers[statistic], color=colours[layer], linestyle=dashes[layer],
                    linewidth=1.3, label=style.written(name),
                )  # fmt: skip
                positive |= bool((numbers[statistic] > 0).any())
            if statistic == "zeros":
                axes.set_ylim(-0.02, 1.02)
            elif positive:
                axes.set_yscale("log")
                style.logarithmic(axes.yaxis)
            axes.xaxis.get_major_locator().set_params(integer=True)
        self._key(figure, colours, dashes, theme)
        return figure

    def _key(self, figure: Any, colours: dict[str, Any], dashes: dict[str, Any], theme: str) -> None:
        from matplotlib.lines import Line2D

        names = list(colours)
        if len(names) > 21:  # too many for a legend: some of them show how the colours go
            names = [names[i] for i in np.unique(np.linspace(0, len(names) - 1, 14).round().astype(int))]
        lines = [Line2D([], [], color=colours[name], linestyle=dashes[name], linewidth=2) for name in names]
        style.legend(figure, lines, [f"{style.written(name)} {self.kinds[name]}".strip() for name in names], theme)

    def histograms(
        self, kind: str = "activations", layers: Iterable[Any] | None = None, theme: str = "light"
    ) -> "Picture":
        """Draw the histograms through training, a panel for each layer; see `mg.viz.histograms`."""
        return histograms({"": self}, kind, layers, theme=theme)

    def _chosen(self, layers: Iterable[Any] | None) -> list[str]:
        if layers is None:
            return self.layers
        wanted = [layers] if isinstance(layers, str | type) else list(layers)
        unknown = [name for name in wanted if isinstance(name, str) and name not in self.layers]
        if unknown:
            raise ValueError(f"monitor: {unknown[0]!r} is not watched; these layers are: {', '.join(self.layers)}")
        types = {t.__name__ for t in wanted if isinstance(t, type)}
        found = [name for name in self.layers if name in wanted or self.kinds[name] in types]
        if not found:
            kinds = ", ".join(dict.fromkeys(self.kinds.values()))
            raise ValueError(f"monitor: none of these layers is watched; there are layers of the classes {kinds}")
        return found


def histograms(
    monitors: "Mapping[str, Monitor]",
    kind: str = "activations",
    layers: Iterable[Any] | None = None,
    *,
    theme: str = "light",
) -> "Picture":
    """Draw how the numbers of each layer are distributed, through training: a column of colours for each step.

    The darker, the more of the step's numbers lie there. Lines are the median and, thinner, the 5 and 95 % quantiles.
    Each panel has a scale of its own; what lies outside
    the inner 98 % of every step is not in the picture. The network with each name has a row of
    its own, or rows, if it has more than six layers.

    Args:
        monitors: by name, for instance {"none": ..., "batch": ...}.
        kind: "activations", "gradients" (of the loss by activations) or "parameter_gradients".
        layers: names or classes of layers; of parameters, names. Default: all layers; all parameters with two axes
            or more, which leaves out biases.
        theme: "light" or "dark".

    Raises:
        ValueError: nothing was collected, or the names are unknown.

    Example:
        >>> import minigrad as mg
        >>> model = mg.nn.Sequential(mg.nn.Linear(4, 8), mg.nn.Tanh())
        >>> with mg.viz.monitor(model) as watch:
        ...     for step in range(3):
        ...         (model(mg.randn(16, 4)) ** 2).mean().backward()
        >>> figure = mg.viz.histograms({"a network": watch}, "gradients", layers=[mg.nn.Linear])
    """
    style.check_theme(theme)
    if kind not in KINDS:
        raise ValueError(f"histograms: there is no kind {kind!r}{nearest(kind, KINDS)} {choose(KINDS)}")
    if not monitors:
        raise ValueError("histograms: give at least one monitor, such as {'batch': monitor(model)}")
    rows: list[tuple[str, Monitor, list[str]]] = []
    for name, watch in monitors.items():
        if kind == "parameter_gradients":
            wanted = watch.matrices if layers is None else [layers] if isinstance(layers, str) else list(layers)
        else:
            wanted = watch._chosen(layers)
        found = [layer for layer in wanted if watch._histograms[kind].get(layer)]
        if not found:
            raise ValueError(
                f"histograms: {name or 'the monitor'} collected no {kind} of {', '.join(map(str, wanted)) or 'layers'}"
                "; call the model in training mode (and for gradients, backward()) inside the `with` block"
            )
        rows += [(name, watch, found[i : i + 6]) for i in range(0, len(found), 6)]
    columns = max(len(row[2]) for row in rows)
    figure = style.picture(0.7 + 2.15 * columns, 0.5 + 1.95 * len(rows), theme)
    every = figure.subplots(len(rows), columns, squeeze=False)
    for line, (name, watch, shown) in zip(every, rows, strict=True):
        for axes in line[len(shown) :]:
            axes.set_visible(False)
        for axes, layer in zip(line, shown, strict=False):
            title = layer if kind == "parameter_gradients" else f"{layer} {watch.kinds[layer]}".strip()
            _through_training(axes, watch._histograms[kind][layer], title, theme)
        if name:
            line[0].set_ylabel(style.written(name), color=style.INK[theme], fontsize=11)
    for axes in every[-1]:
        axes.set_xlabel("step", color=style.INK[theme], fontsize=9)
    figure.suptitle(_TITLES[kind], color=style.INK[theme], fontsize=12)
    return figure


def _through_training(axes: Any, mine: dict[int, Histogram], title: str, theme: str) -> None:
    """Steps to the right, values upwards, shares as colours."""
    from matplotlib.colors import PowerNorm

    mine = dict(sorted(mine.items()))
    steps = np.array(list(mine), float)
    quantiles = np.array([h.quantiles([0.01, 0.05, 0.5, 0.95, 0.99]) for h in mine.values()])
    low, high = quantiles[:, 0].min(), quantiles[:, -1].max()
    rows = np.linspace(low, high, 97)
    shares = np.stack([h.density(rows) for h in mine.values()], axis=1)
    width = steps[1] - steps[0] if len(steps) > 1 else 1.0
    columns = np.append(steps, steps[-1] + width) - width / 2
    positive = shares[shares > 0]
    # Half of ReLU's numbers may be in the one row of 0: it must not take the colours from all others.
    top = float(np.quantile(positive, 0.98)) if positive.size else 1.0
    axes.pcolormesh(
        columns, rows, shares, cmap=style.sequential(theme), norm=PowerNorm(0.5, 0, top, clip=True), rasterized=True
    )
    for k, width in ((1, 0.6), (2, 1.2), (3, 0.6)):
        axes.plot(steps, quantiles[:, k], color=style.COLOURS[theme]["layer"], linewidth=width)
    style.dress(axes, theme, grid=False)
    axes.set_title(style.written(title), color=style.INK[theme], fontsize=9, loc="left")
    axes.tick_params(labelsize=8)
    axes.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3))
    axes.yaxis.get_offset_text().set_fontsize(8)
    axes.xaxis.get_major_locator().set_params(integer=True, nbins=4)
    axes.set_xlim(columns[0], columns[-1])
    axes.set_ylim(low, high if high > low else low + 1)


class _OfThisOnly:
    """A hook of a tensor that is not copied with it: on a deep copy of the model, the copy does nothing."""

    def __init__(self, hook: Any = None):
        self.hook = hook

    def __call__(self, gradient: Any) -> None:
        if self.hook is not None:
            self.hook(gradient)

    def __deepcopy__(self, memo: dict[int, Any]) -> "_OfThisOnly":
        return _OfThisOnly()


def _choose(model: Module, layers: Iterable[Any] | None) -> dict[str, Module]:
    """The layers to watch, by name, in the order of the model."""
    modules = dict(model.named_modules())
    if layers is None:
        parts = {p for module in modules.values() if parametrize.is_parametrized(module) for p in module.modules()}
        whole = [m for m in modules.values() if parametrize.is_parametrized(m)]
        return {
            name: module
            for name, module in modules.items()
            if any(module is one for one in whole)
            or (module not in parts and not list(module.children()) and not isinstance(module, _PASS_ON))
        }
    wanted = [layers] if isinstance(layers, str | type) else list(layers)
    for one in wanted:
        if isinstance(one, str) and one not in modules:
            raise ValueError(f"monitor: the model has no layer {one!r}{nearest(one, filter(None, modules))}")
        if not isinstance(one, str | type):
            raise TypeError(f"monitor: layers are given as names or classes, not as {type(one).__name__}")
    types = tuple(one for one in wanted if isinstance(one, type))
    found = {name: module for name, module in modules.items() if name in wanted or isinstance(module, types)}
    if not found:
        raise ValueError(f"monitor: the model has no layer of {', '.join(t.__name__ for t in types) or 'the names'}")
    return found


def _first_tensor(output: Any) -> Tensor | None:
    """The first floating-point tensor of what a module returned."""
    if isinstance(output, Tensor):
        return output if output.dtype.kind == "f" else None
    parts = output.values() if isinstance(output, Mapping) else output if isinstance(output, tuple | list) else ()
    return next((found for found in map(_first_tensor, parts) if found is not None), None)
