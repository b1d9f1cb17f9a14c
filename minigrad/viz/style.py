"""The common part of all pictures: the colours on light and dark paper, and the style of axes."""

from typing import TYPE_CHECKING, Any

from minigrad.extras import require
from minigrad.viz.names import printable, short

if TYPE_CHECKING:
    from minigrad.viz.picture import Picture

# Okabe and Ito's colours, which colour-blind readers can tell apart; each norm keeps its own in every picture.
COLOURS = {
    "light": {"none": "#767676", "batch": "#0072B2", "layer": "#D55E00", "instance": "#009E73", "group": "#B0578D"},
    "dark": {"none": "#A8A8A8", "batch": "#56B4E9", "layer": "#F08A4B", "instance": "#2BC49A", "group": "#E08CC0"},
}
OTHERS = {
    "light": ("#8C6D00", "#5B4FC9", "#7A4B2A", "#C2185B", "#00838F", "#6A8F00", "#9C27B0"),
    "dark": ("#F0E442", "#A79CF5", "#C99873", "#FF6F9C", "#4DD0E1", "#B5D66B", "#CE93D8"),
}
# For the classes of a data set: the same colours in an order that keeps neighbours apart.
CLASSES = {
    "light": [
        "#0072B2",
        "#D55E00",
        "#009E73",
        "#B0578D",
        "#8C6D00",
        "#5B4FC9",
        "#767676",
        "#7A4B2A",
        "#C2185B",
        "#00838F",
    ],
    "dark": [
        "#56B4E9",
        "#F08A4B",
        "#2BC49A",
        "#E08CC0",
        "#F0E442",
        "#A79CF5",
        "#A8A8A8",
        "#C99873",
        "#FF6F9C",
        "#4DD0E1",
    ],
}
MARKERS = "osD^vPX*"
PAPER = {"light": "#FFFFFF", "dark": "#15181C"}
INK = {"light": "#1F2328", "dark": "#E6E8EA"}
GRID = {"light": "#D8DCE0", "dark": "#3A4048"}
SOFT = {"light": "#59636E", "dark": "#9AA4AE"}


def check_theme(theme: str) -> None:
    if theme not in PAPER:
        raise ValueError(f"theme={theme!r} is unknown. Choose from: light, dark")


def colours(names: Any, theme: str) -> dict[str, str]:
    """A colour for each name: norms have their own, other names get the free ones in order."""
    others = iter(OTHERS[theme] * (1 + len(list(names))))
    return {name: COLOURS[theme].get(name) or next(others) for name in names}


def sequential(theme: str) -> Any:
    """The colour map for amounts, which begins at the colour of the paper."""
    maps = require("matplotlib.colors", extra="viz", what="a picture")
    steps = {
        "light": ("#FFFFFF", "#F3F0C4", "#A8DBC0", "#3DA3C4", "#1B5FA8", "#0B2260"),
        "dark": ("#15181C", "#1F3A6E", "#1F72A8", "#3FB5B0", "#B4E2A0", "#FBF8CF"),
    }
    return maps.LinearSegmentedColormap.from_list(f"amount-{theme}", steps[theme])


def diverging(theme: str) -> Any:
    """The colour map for signed numbers: blue below zero, the paper at zero, vermilion above."""
    maps = require("matplotlib.colors", extra="viz", what="a picture")
    steps = {
        "light": ("#003B66", "#0072B2", "#FFFFFF", "#D55E00", "#6E3000"),
        "dark": ("#BFE3FA", "#56B4E9", "#15181C", "#F08A4B", "#FFDCC4"),
    }
    return maps.LinearSegmentedColormap.from_list(f"signed-{theme}", steps[theme])


def depth_colours(count: int, theme: str) -> list[Any]:
    """A colour for each layer, from the input (dark violet) to the output (yellow)."""
    matplotlib = require("matplotlib", extra="viz", what="a picture")
    low, high = (0.0, 0.85) if theme == "light" else (0.25, 1.0)
    return [matplotlib.colormaps["viridis"](low + (high - low) * i / max(1, count - 1)) for i in range(count)]


def picture(width: float, height: float, theme: str, layout: Any = "constrained") -> "Picture":
    """An empty figure on the paper of a theme. It belongs to no window, so it works without a display."""
    check_theme(theme)
    require("matplotlib.figure", extra="viz", what="a picture")
    from minigrad.viz.picture import Picture

    return Picture(figsize=(width, height), dpi=110, layout=layout, facecolor=PAPER[theme])


def written(name: Any) -> str:
    """A name that a user gave, for matplotlib: short, printable, and its dollars begin no formula."""
    return short(printable(name), 40).replace("$", r"\$")


def dress(axes: Any, theme: str, title: str = "", x: str = "", y: str = "", grid: bool = True) -> None:
    """Colours, title and labels of one pair of axes."""
    ink = INK[theme]
    axes.set_facecolor(PAPER[theme])
    axes.tick_params(which="both", colors=ink, labelsize=9)
    if grid:
        axes.grid(color=GRID[theme], linewidth=0.6)
        axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(ink)
    axes.xaxis.get_offset_text().set_color(ink)
    axes.yaxis.get_offset_text().set_color(ink)
    axes.set_title(title, color=ink, fontsize=11, loc="left")
    axes.set_xlabel(x, color=ink, fontsize=9)
    axes.set_ylabel(y, color=ink, fontsize=9)


def logarithmic(axis: Any) -> None:
    """Ticks of a logarithmic axis (or colour bar) as plain numbers: 0.5, 1, 2; powers of ten where there are many."""
    from matplotlib.ticker import FuncFormatter, LogFormatterSciNotation, LogLocator, NullFormatter

    low, high = sorted(axis.get_view_interval())
    few = low > 0 and high / low < 300
    plain = low >= 1e-3 and high <= 1e6
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if few else (1,)))
    axis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}") if plain or few else LogFormatterSciNotation())
    axis.set_minor_formatter(NullFormatter())


def legend(figure: Any, handles: Any, labels: Any, theme: str) -> None:
    """One legend below all axes, of as many columns as the width has room for."""
    room = figure.get_figwidth() * 72 / (5.5 * max(map(len, labels)) + 45)
    figure.legend(
        handles, labels, loc="outside lower center", ncols=max(1, min(len(labels), 7, int(room))), frameon=False,
        labelcolor=INK[theme], fontsize=10,
    )  # fmt: skip
