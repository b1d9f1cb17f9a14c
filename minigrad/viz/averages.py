"""Running statistics beside the true statistics of the data, to see whether evaluation normalizes correctly."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from minigrad.nn.module import Module
from minigrad.nn.utils import recompute_statistics
from minigrad.viz import style

if TYPE_CHECKING:
    from minigrad.viz.picture import Picture

NAMES = {"running_mean": "mean", "running_var": "variance"}


def true_statistics(model: Module, loader: Iterable[Any], **options: Any) -> dict[str, dict[str, tuple[Any, Any]]]:
    """The running averages of each layer, and the statistics of all the data in their place.

    The true ones are those that `nn.utils.recompute_statistics` would set, here without setting them: afterwards the
    model is as it was.

    Args:
        model: it has layers that keep running statistics.
        loader: yields batches of the data, see `recompute_statistics`.
        options: `forward` and `layer_by_layer` of `recompute_statistics`.

    Returns:
        By the layer's name, by the buffer's name ("running_mean", "running_var"), the pair (running, true).

    Raises:
        ValueError: no layer keeps running statistics, or the loader is empty.

    Example:
        >>> import minigrad as mg
        >>> model = mg.nn.Sequential(mg.nn.BatchNorm1d(1))
        >>> found = mg.viz.true_statistics(model, [mg.tensor([[1.0], [2.0], [6.0]])])
        >>> running, true = found["0"]["running_mean"]
        >>> running.tolist(), true.tolist()
        ([0.0], [3.0])
    """
    before = [(buffer, buffer.array.copy()) for buffer in model.buffers()] if isinstance(model, Module) else []
    running = _averages(model)
    try:
        recompute_statistics(model, loader, **options)
        true = _averages(model)
    finally:
        for buffer, values in before:
            buffer.copy_(values)
    return {
        layer: {name: (values, true[layer][name]) for name, values in buffers.items()}
        for layer, buffers in running.items()
    }


def _averages(model: Any) -> dict[str, dict[str, Any]]:
    found = {}
    for layer, module in model.named_modules() if isinstance(model, Module) else ():
        buffers = {name: b for name, b in module.named_buffers(recurse=False) if name in NAMES}
        if buffers:
            found[layer] = {name: np.array(buffer.array, np.float64) for name, buffer in buffers.items()}
    return found


def running_statistics(model: Module, loader: Iterable[Any], *, theme: str = "light", **options: Any) -> "Picture":
    """Draw the running mean and variance of each layer against those of all the data, a dot for each channel.

    On the diagonal the two agree. Each title tells the typical distance: of means in true standard deviations, of
    variances as a factor (the root mean square over the channels of (μ̂ − μ)/σ, and exp of that of log σ̂²/σ²).

    Args:
        model, loader, options: see `true_statistics`.
        theme: "light" or "dark".

    Raises:
        ValueError: no layer keeps running statistics, or the loader is empty.

    Example:
        >>> import minigrad as mg
        >>> model = mg.nn.Sequential(mg.nn.Linear(3, 4), mg.nn.BatchNorm1d(4))
        >>> figure = mg.viz.running_statistics(model, [mg.randn(32, 3)])
    """
    style.check_theme(theme)
    found = true_statistics(model, loader, **options)
    if not found:
        raise ValueError("running_statistics: no layer keeps a running mean or variance of channels")
    kinds = [name for name in NAMES if any(name in layer for layer in found.values())]
    # A row for each statistic, a column for each layer; many layers go on in further rows.
    columns = min(6, len(found))
    blocks = -(-len(found) // columns)
    figure = style.picture(0.5 + 2.5 * columns, 0.5 + 2.6 * len(kinds) * blocks, theme)
    every = figure.subplots(len(kinds) * blocks, columns, squeeze=False)
    for axes in every.flat:
        axes.set_visible(False)
    for i, (layer, statistics) in enumerate(found.items()):
        for j, kind in enumerate(kinds):
            if kind in statistics:
                axes = every[len(kinds) * (i // columns) + j, i % columns]
                axes.set_visible(True)
                variance = statistics.get("running_var", (None, 1.0))[1]
                _agreement(axes, layer or type(model).__name__, kind, *statistics[kind], variance, theme)
                if i % columns == 0:
                    axes.set_ylabel(f"running {NAMES[kind]}", color=style.INK[theme], fontsize=9)
    return figure


def _agreement(axes: Any, layer: str, kind: str, running: Any, true: Any, variance: Any, theme: str) -> None:
    with np.errstate(all="ignore"):
        if kind == "running_mean":
            gap = (running - true) / np.sqrt(np.maximum(variance, 1e-300))
            text = f"off by {np.sqrt(np.mean(gap**2)):.2g} σ"
        else:
            text = f"off by a factor {np.exp(np.sqrt(np.mean(np.log(running / true) ** 2))):.3g}"
    style.dress(axes, theme, f"{style.written(layer)}: {text}", f"true {NAMES[kind]}")
    both = np.concatenate([running, true])
    both = both[np.isfinite(both)]
    low, high = (both.min(), both.max()) if both.size else (0.0, 1.0)
    pad = 0.06 * ((high - low) or 1.0)
    ends = (low - pad, high + pad)
    axes.plot(ends, ends, color=style.SOFT[theme], linewidth=1, linestyle=(0, (4, 4)))
    axes.plot(
        true, running, linestyle="none", marker="o", markersize=5, color=style.COLOURS[theme]["batch"], alpha=0.75,
        markeredgewidth=0,
    )  # fmt: skip
    axes.set_xlim(ends)
    axes.set_ylim(ends)
    axes.set_aspect("equal")
    axes.locator_params(nbins=4)
