"""Pictures of a convolutional network: its filters, and its feature maps for an input."""

from typing import TYPE_CHECKING, Any

import numpy as np

from minigrad.autograd import Tensor, no_grad
from minigrad.autograd.tensor import raw
from minigrad.nn import Conv1d, Conv2d, Conv3d, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from minigrad.nn.module import Module
from minigrad.viz import style

if TYPE_CHECKING:
    from minigrad.viz.picture import Picture

_DRAWN = (Conv1d, Conv2d, ConvTranspose1d, ConvTranspose2d)
_CONVOLUTIONS = (*_DRAWN, Conv3d, ConvTranspose3d)


def _convolutions(model: Module, layer: str | None, op: str) -> dict[str, Any]:
    """The convolutions of a model by name; of one name only, if given."""
    if not isinstance(model, Module):
        raise TypeError(f"{op}: model must be a Module, not a {type(model).__name__}")
    found = {name: module for name, module in model.named_modules() if isinstance(module, _CONVOLUTIONS)}
    if not found:
        kinds = sorted({type(module).__name__ for module in model.modules() if not list(module.children())})
        raise ValueError(
            f"{op}: this {type(model).__name__} has no convolutional layer (its layers: {', '.join(kinds)})"
        )
    if layer is not None:
        if layer not in found:
            raise ValueError(
                f"{op}: {layer!r} is not a convolutional layer of the model. Choose from: {', '.join(found)}"
            )
        found = {layer: found[layer]}
    return found


def filters(model: Module, layer: str | None = None, *, limit: int = 64, theme: str = "light") -> "Picture":
    """Draw the filters of a convolutional layer, all on one scale: blue is negative, vermilion positive.

    A layer that looks at colour pictures (three channels) is drawn in colours, grey being 0. One with a single input
    channel is a grid of its filters; any other a table, a row for each output and a column for each input channel.

    Args:
        model: it has a convolutional layer, or is one.
        layer: the name, as in `named_modules()`; default: the first.
        limit: the largest number of filters, and of columns, that is drawn.
        theme: "light" or "dark".

    Raises:
        ValueError: there is no such layer; or it is three-dimensional.

    Example:
        >>> import minigrad as mg
        >>> model = mg.nn.Sequential(mg.nn.Conv2d(1, 8, 5), mg.nn.ReLU(), mg.nn.Conv2d(8, 4, 3))
        >>> first, second = mg.viz.filters(model), mg.viz.filters(model, "2")
    """
    style.check_theme(theme)
    if limit < 1:
        raise ValueError(f"filters: limit={limit} must be at least 1")
    name, conv = next(iter(_convolutions(model, layer, "filters").items()))
    if not isinstance(conv, _DRAWN):
        raise ValueError(
            f"filters: {name or 'the model'} is a {type(conv).__name__}, and volumes are not drawn; name a layer of "
            "one or two dimensions"
        )
    weight = np.asarray(raw(conv.weight), np.float64)
    if isinstance(conv, ConvTranspose1d | ConvTranspose2d):
        # Group by group from (in, out, ...) to (out, in, ...), as the others have.
        apart = weight.reshape(conv.groups, -1, *weight.shape[1:]).swapaxes(1, 2)
        weight = apart.reshape(-1, *apart.shape[2:])
    if weight.ndim == 3:
        weight = weight[:, :, None]  # one pixel high
    out, channels, height, width = weight.shape
    shown = weight[:limit, :limit]
    scale = float(np.abs(shown).max()) or 1.0
    if channels in (1, 3):
        columns = int(np.ceil(np.sqrt(len(shown) * 1.6)))
        rows = -(-len(shown) // columns)
        tiles = [0.5 + one.transpose(1, 2, 0) / (2 * scale) if channels == 3 else one[0] for one in shown]
    else:
        rows, columns = shown.shape[:2]
        tiles = [one for row in shown for one in row]
    size = float(np.clip(9 / columns, 0.28, 0.9))
    shape = (columns * size, rows * size * max(0.25, height / width))
    count = f"{out} filters over {channels} channel{'s' * (channels > 1)}, {height}×{width}"
    title = f"{style.written(name)} {type(conv).__name__}: {count}"
    figure = style.picture(max(shape[0] + 1.0, 4.5), shape[1] + 0.7, theme)
    axes = figure.subplots()
    drawn = _mosaic(axes, tiles, rows, columns, scale, theme)
    figure.suptitle(title.strip(), color=style.INK[theme], fontsize=11)
    if channels not in (1, 3):
        figure.supxlabel("input channel →", color=style.INK[theme], fontsize=9)
        figure.supylabel("← output channel", color=style.INK[theme], fontsize=9)
    if channels != 3:
        _bar(figure, drawn, axes, theme)
    return figure


def _mosaic(axes: Any, tiles: list[Any], rows: int, columns: int, scale: float, theme: str) -> Any:
    """Small pictures side by side as one image: thousands of axes would take minutes."""
    height, width = tiles[0].shape[:2]
    sheet = np.full((rows, height, columns, width, *tiles[0].shape[2:]), np.nan)
    if sheet.ndim == 5:
        from matplotlib.colors import to_rgb

        sheet[:] = to_rgb(style.PAPER[theme])
    for i, tile in enumerate(tiles):
        sheet[i // columns, :, i % columns] = tile
    drawn = axes.imshow(
        sheet.reshape(rows * height, columns * width, *sheet.shape[4:]), vmin=-scale, vmax=scale,
        cmap=style.diverging(theme), interpolation="nearest", aspect="auto",
    )  # fmt: skip
    # Stripes of paper keep the tiles apart, an eighth of a tile wide and at most 5 points.
    gap = min(5.0, 9 * axes.figure.get_figwidth() / columns)
    right, bottom = columns * width - 0.5, rows * height - 0.5
    axes.vlines(np.arange(1, columns) * width - 0.5, -0.5, bottom, colors=style.PAPER[theme], linewidth=gap)
    axes.hlines(np.arange(1, rows) * height - 0.5, -0.5, right, colors=style.PAPER[theme], linewidth=gap)
    axes.set_axis_off()
    return drawn


def _tiles(every: list[Any], tiles: list[Any], scale: float, theme: str, signed: bool = True) -> Any:
    """Small pictures without axes; those left over are hidden."""
    drawn = None
    low, colours = (-scale, style.diverging(theme)) if signed else (0.0, style.sequential(theme))
    for axes, tile in zip(every, tiles, strict=False):
        image = axes.imshow(tile, vmin=low, vmax=scale, cmap=colours, interpolation="nearest", aspect="auto")
        drawn = image if tile.ndim == 2 else drawn
        axes.set_xticks([])
        axes.set_yticks([])
        for spine in axes.spines.values():
            spine.set_color(style.GRID[theme])
    for axes in every[len(tiles) :]:
        axes.set_visible(False)
    return drawn


def _bar(figure: Any, drawn: Any, axes: Any, theme: str) -> None:
    bar = figure.colorbar(drawn, ax=axes, shrink=0.9, pad=0.02, aspect=25)
    bar.ax.tick_params(colors=style.INK[theme], labelsize=8)
    bar.outline.set_edgecolor(style.INK[theme])


@no_grad()
def feature_maps(
    model: Module, x: Any, *, layers: Any = None, sample: int = 0, limit: int = 12, theme: str = "light"
) -> "Picture":
    """Draw what each layer makes of one picture: a row for each layer, a column for each channel.

    The network runs once on all of x, in evaluation mode and without recording, and gets its training flags back. Each
    row has a scale of its own, symmetric about 0: blue is negative, vermilion positive.

    Args:
        model: the network.
        x: pictures, (N, C, H, W).
        layers: name or names of the layers to draw, as in `named_modules()`. Default: all convolutions.
        sample: which of the pictures.
        limit: the largest number of channels of each layer that is drawn.
        theme: "light" or "dark".

    Raises:
        ValueError: no convolutional layers; unknown names; x is not (N, C, H, W); a layer was not called, or its
            output are no maps.

    Example:
        >>> import minigrad as mg
        >>> model = mg.nn.Sequential(mg.nn.Conv2d(1, 4, 3), mg.nn.ReLU(), mg.nn.Conv2d(4, 4, 3))
        >>> figure = mg.viz.feature_maps(model, mg.randn(2, 1, 8, 8), layers=["0", "1", "2"])
    """
    style.check_theme(theme)
    op = "feature_maps"
    if not isinstance(model, Module):
        raise TypeError(f"{op}: model must be a Module, not a {type(model).__name__}")
    if limit < 1:
        raise ValueError(f"{op}: limit={limit} must be at least 1")
    layers = [layers] if isinstance(layers, str) else layers
    known = dict(model.named_modules())
    names = list(_convolutions(model, None, op)) if layers is None else list(layers)
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise ValueError(f"{op}: no layer {unknown or names!r}. Choose from: {', '.join(filter(None, known))}")
    x = x if isinstance(x, Tensor) else Tensor(x)
    if x.ndim != 4:
        raise ValueError(f"{op}: x must be pictures, (N, C, H, W), got shape {x.shape}; for one picture, pass x[None]")
    if not -len(x) <= sample < len(x):
        raise ValueError(f"{op}: sample={sample}, and x has {len(x)} pictures")
    maps: dict[str, Any] = {}

    def keep(name: str) -> Any:
        def hook(module: Module, args: Any, output: Any) -> None:
            maps.setdefault(name, np.array(raw(output)))  # of a layer called several times, the first call

        return hook

    handles = [known[name].register_forward_hook(keep(name)) for name in names]
    training = {module: module.training for module in model.modules()}
    try:
        for module in training:
            module.training = False
        model(x)
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in training.items():
            module.training = mode
    for name in names:
        if name not in maps or maps[name].ndim != 4:
            what = f"gives shape {maps[name].shape}, not (N, C, H, W)" if name in maps else "was not called"
            raise ValueError(f"{op}: layer {name!r} {what}; name other layers")
    return _maps(model, {name: maps[name][sample] for name in names}, np.asarray(x.array[sample]), limit, theme)


def _maps(model: Module, maps: dict[str, Any], picture: Any, limit: int, theme: str) -> "Picture":
    rows = {"input": picture, **maps}
    kinds = {name: type(module).__name__ for name, module in model.named_modules()}
    columns = min(limit, max(len(row) for row in rows.values()))
    figure = style.picture(1.5 + 0.8 * columns, 0.4 + 0.82 * len(rows), theme)
    every = figure.subplots(len(rows), columns, squeeze=False)
    for line, (name, row) in zip(every, rows.items(), strict=True):
        row = row[:columns].astype(np.float64)
        finite = np.abs(row[np.isfinite(row)])
        scale = float(finite.max()) if finite.size and finite.max() > 0 else 1.0
        _tiles(list(line), list(row), scale, theme)
        label = name if name == "input" else f"{style.written(name) or 'model'} {kinds[name]}"
        more = f"\n{rows[name].shape[0]} × {rows[name].shape[1]} × {rows[name].shape[2]}"
        line[0].set_ylabel(label + more, color=style.INK[theme], fontsize=9, rotation=0, ha="right", va="center")
    return figure
