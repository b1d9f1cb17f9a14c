"""How a comparison is shown: the table, the pictures, and a page that holds everything."""

import base64
import html
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from minigrad.lab import summary
from minigrad.lab.catalogue import CATALOGUE, FAMILIES
from minigrad.lab.display import outcome, printable
from minigrad.lab.settings import Settings
from minigrad.viz import style

if TYPE_CHECKING:
    from minigrad.lab.compare import Comparison

# -- tables -----------------------------------------------------------------------------------------------


def rich_table(settings: Settings, rows: list[dict[str, Any]]) -> Any:
    """The table for a terminal, with the best accuracy in bold."""
    from rich.table import Table

    table = Table(title=None)
    for i, head in enumerate(summary.columns(len(settings.seeds), settings.target)):
        table.add_column(head, justify="left" if i == 0 else "right", no_wrap=i == 0, overflow="fold")
    best = summary.winner(rows)
    for row in summary.trained(rows):
        table.add_row(*summary.cells(row), style="bold green" if row["norm"] == best else None)
    return table


def plain_table(settings: Settings, rows: list[dict[str, Any]]) -> list[str]:
    """The table as lines of text, where there is no terminal."""
    body = [summary.cells(row) for row in summary.trained(rows)]
    if not body:
        return []
    lines = [summary.columns(len(settings.seeds), settings.target), *body]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    texts = [
        "  ".join([line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))])
        for line in lines
    ]
    return [texts[0], "-" * len(texts[0]), *texts[1:]]


# -- pictures ---------------------------------------------------------------------------------------------


def picture(settings: Settings, runs: list[dict[str, Any]], theme: str = "light", narrow: bool = False) -> bytes:
    """Test accuracy and training loss by epoch, and gradient norms by layer, as a PNG.

    A line is the mean over the seeds; the band goes from the lowest to the highest. Of many norms, each has a small
    picture of its own, in which the other norms are grey.

    Args:
        settings, runs: what is drawn.
        theme: "light" or "dark".
        narrow: for the screen of a phone.
    """
    norms = [row["norm"] for row in summary.trained(summary.summarize(runs, list(settings.norms), settings.target))]
    draw = _each_by_itself if len(norms) > summary.MANY else _together
    return draw(settings, runs, norms, theme, narrow)


def _together(settings: Settings, runs: list[dict[str, Any]], norms: list[str], theme: str, narrow: bool) -> bytes:
    """Three pictures with one line for each norm."""
    figure = style.picture(4.2, 10.5, theme) if narrow else style.picture(12.5, 4.1, theme)
    ink = style.INK[theme]
    accuracy, loss, gradients = figure.subplots(*((3, 1) if narrow else (1, 3)))
    for axes in (accuracy, loss, gradients):
        style.dress(axes, theme)

    colours = style.colours(settings.norms, theme)
    layers: list[str] = []
    for norm, marker in zip(norms, style.MARKERS * 9, strict=False):
        colour = colours[norm]
        mine = [run for run in runs if run["norm"] == norm and run.get("epochs") is not None]
        line = {"color": colour, "label": norm, "marker": marker, "markersize": 4, "linewidth": 1.8}
        _band(accuracy, _accuracies(mine), line)
        _band(loss, [[e["train_loss"] for e in run["epochs"]] for run in mine], line)
        for run in mine:
            if run["status"] == "diverged":
                x = _when(settings, run, runs)
                accuracy.plot([x], [0], marker="x", color=colour, markersize=9, markeredgewidth=2, clip_on=False)
                accuracy.annotate(
                    f"diverged at step {run['diverged_at']}", (x, 0), xytext=(6, 5), textcoords="offset points",
                    color=colour, fontsize=8,
                )  # fmt: skip
        first = _first_gradients(mine)
        if first:
            layers = mine[0]["layers"]
            _band(gradients, first, line)

    accuracy.axhline(100 * settings.target, color=ink, linewidth=0.8, linestyle=(0, (4, 4)))
    accuracy.set_ylim(0, 101)
    accuracy.set_title("Test accuracy, %", color=ink, fontsize=11, loc="left")
    loss.set_yscale("log")
    style.logarithmic(loss.yaxis)
    loss.set_title("Training loss (mean of the epoch)", color=ink, fontsize=11, loc="left")
    for axes in (accuracy, loss):
        axes.set_xlabel("epoch", color=ink, fontsize=9)
        axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    gradients.set_yscale("log")
    gradients.set_title("Gradient norm of each layer, first step", color=ink, fontsize=11, loc="left")
    _name_layers(gradients, layers, theme, first=1)
    handles, labels = accuracy.get_legend_handles_labels()
    if handles:
        style.legend(figure, handles, labels, theme)
    return figure.encoded()


def _each_by_itself(
    settings: Settings, runs: list[dict[str, Any]], norms: list[str], theme: str, narrow: bool
) -> bytes:
    """A small picture of the accuracy for each norm, the best first."""
    columns = 2 if narrow else 7
    lines = -(-len(norms) // columns)
    figure = style.picture(4.2 if narrow else 12.5, 1.5 * lines + 0.3, theme)
    ink, grey = style.INK[theme], style.GRID[theme]
    cells = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
    curves = {norm: _accuracies([r for r in runs if r["norm"] == norm and r.get("epochs")]) for norm in norms}
    for axes in cells.flat[len(norms) :]:
        axes.set_visible(False)
    for number, (norm, axes) in enumerate(zip(norms, cells.flat, strict=False)):
        style.dress(axes, theme, grid=False)
        for other in norms:
            _band(axes, curves[other], {"color": grey, "linewidth": 0.8}, band=False)
        mine = {"color": style.COLOURS[theme]["batch"], "linewidth": 2, "marker": "o", "markersize": 3}
        _band(axes, curves[norm], mine)
        axes.axhline(100 * settings.target, color=ink, linewidth=0.6, linestyle=(0, (4, 4)))
        for run in runs:
            if run["norm"] == norm and run["status"] == "diverged":
                axes.plot([_when(settings, run, runs)], [0], marker="x", color=ink, markersize=8, clip_on=False)
        axes.set_ylim(0, 101)
        axes.set_yticks((0, 50, 100))
        axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1, nbins=4)
        axes.tick_params(labelbottom=number + columns >= len(norms), labelsize=8)
        title = norm if len(norm) < 20 else "_\n".join(norm.rsplit("_", 1))
        axes.set_title(title, color=ink, fontsize=9, loc="left")
    figure.supxlabel("epoch", color=ink, fontsize=9)
    figure.supylabel("test accuracy, %", color=ink, fontsize=9)
    return figure.encoded()


def gradient_map(settings: Settings, runs: list[dict[str, Any]], theme: str = "light", narrow: bool = False) -> bytes:
    """Gradient norms at the first step, as colours: a line for each norm, a column for each layer."""
    norms = [row["norm"] for row in summary.trained(summary.summarize(runs, list(settings.norms), settings.target))]
    mine = {norm: [run for run in runs if run["norm"] == norm and run.get("layers")] for norm in norms}
    layers = next((found[0]["layers"] for found in mine.values() if found), [])
    values = np.full((len(norms), max(1, len(layers))), np.nan)
    for line, norm in enumerate(norms):
        first = np.array(_first_gradients(mine[norm]))
        if first.size:
            with np.errstate(all="ignore"):
                values[line] = np.log10(np.exp(np.log(first).mean(axis=0)))
    values[~np.isfinite(values)] = np.nan
    figure = style.picture(4.2 if narrow else 8.0, 0.24 * len(norms) + 1.4, theme)
    axes = figure.subplots()
    style.dress(axes, theme, grid=False)
    image = axes.imshow(values, aspect="auto", cmap=style.sequential(theme), interpolation="nearest")
    axes.set_yticks(range(len(norms)), norms)
    axes.tick_params(axis="y", labelsize=8 if narrow else 9, length=0)
    _name_layers(axes, layers, theme, first=0)
    bar = figure.colorbar(image, ax=axes, location="top", shrink=0.8, aspect=30)
    bar.set_label("gradient norm, power of ten", color=style.INK[theme], fontsize=9)
    bar.ax.tick_params(colors=style.INK[theme], labelsize=8)
    bar.outline.set_visible(False)
    return figure.encoded()


def _name_layers(axes: Any, layers: list[str], theme: str, first: int) -> None:
    """Ticks for the layers; of very many layers, for some."""
    every = max(1, len(layers) // 24)
    numbers = range(0, len(layers), every)
    steep = len(layers) > 8
    axes.set_xticks(
        [first + i for i in numbers], [layers[i] for i in numbers], rotation=75 if steep else 30, ha="right"
    )
    axes.set_xlabel("input → output", color=style.INK[theme], fontsize=9)


def _accuracies(runs: list[dict[str, Any]]) -> list[list[float]]:
    return [[100 * e["test_accuracy"] for e in run["epochs"]] for run in runs]


def _first_gradients(runs: list[dict[str, Any]]) -> list[list[float]]:
    """The gradient norms of each run's first step; NaN where one is not finite."""
    first = [run["gradient_norms"][0] for run in runs if run["gradient_norms"]]
    return [[np.nan if value is None else value for value in values] for values in first]


def _band(axes: Any, curves: list[list[float]], style: dict[str, Any], band: bool = True) -> None:
    """The mean of curves that may have different lengths (a diverged run is shorter), and their range."""
    length = max(map(len, curves), default=0)
    if not length:
        axes.plot([], [], **style)  # for the legend
        return
    table = np.full((len(curves), length), np.nan)
    for i, curve in enumerate(curves):
        table[i, : len(curve)] = curve
    table = np.ma.masked_invalid(table)
    x = np.arange(1, length + 1)
    axes.plot(x, table.mean(axis=0), **style)
    if band and len(curves) > 1:
        axes.fill_between(x, table.min(axis=0), table.max(axis=0), color=style["color"], alpha=0.18, linewidth=0)


def _when(settings: Settings, run: dict[str, Any], runs: list[dict[str, Any]]) -> float:
    """The place of a diverged run's last step on the axis of epochs."""
    finished = [len(other["step_losses"]) for other in runs if other["status"] == "finished"]
    steps = finished[0] if finished else max(run["diverged_at"], settings.epochs)
    return run["diverged_at"] * settings.epochs / max(1, steps)


# -- the page ---------------------------------------------------------------------------------------------

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>
:root {{ --paper: #ffffff; --ink: #1f2328; --soft: #59636e; --line: #d8dce0; --best: #e6f4ea; --mark: #0072b2;
  --band: #b9d6e9; }}
@media (prefers-color-scheme: dark) {{
  :root {{ --paper: #15181c; --ink: #e6e8ea; --soft: #9aa4ae; --line: #3a4048; --best: #1d3426; --mark: #56b4e9;
    --band: #264a61; }}
}}
* {{ box-sizing: border-box; }}
body {{ margin: 2rem auto; padding: 0 1rem; max-width: 74rem; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, sans-serif; overflow-wrap: anywhere; }}
h1 {{ font-size: 1.6rem; line-height: 1.25; margin-bottom: .2rem; }}
h2 {{ font-size: 1.15rem; margin-top: 2.2rem; }}
p.verdict {{ font-size: 1.15rem; margin-bottom: .4rem; }}
p, ul {{ max-width: 48rem; }}
ul {{ padding-left: 1.2rem; }}
.note {{ color: var(--soft); }}
img {{ display: block; width: 100%; height: auto; }}
img.map {{ max-width: 55rem; }}
.scroll {{ overflow-x: auto; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; }}
th, td {{ padding: .4rem .9rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }}
th {{ font-weight: 600; color: var(--soft); white-space: normal; overflow-wrap: normal; vertical-align: bottom; }}
th:first-child, td:first-child, .settings td {{ text-align: left; }}
.results th:first-child, .results td:first-child {{ position: sticky; left: 0; background: var(--paper);
  padding-left: 0; }}
.settings td:last-child {{ white-space: normal; }}
tr.best td, .results tr.best td:first-child {{ background: var(--best); font-weight: 600; }}
summary {{ cursor: pointer; }}
.chart {{ max-width: 55rem; --track: linear-gradient(var(--line), var(--line)); }}
.chart h3 {{ font-size: .95rem; margin: 1rem 0 .2rem; color: var(--soft); }}
.row {{ display: grid; grid-template-columns: 15.5rem 1fr 7.5rem; gap: 0 .8rem; align-items: center;
  min-height: 1.75rem; padding: 0 .3rem; }}
.row.best {{ background: var(--best); font-weight: 600; }}
.row .value {{ text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }}
.track {{ position: relative; height: 1.75rem; border-left: 1px solid var(--line); border-right: 1px solid var(--line);
  background: linear-gradient(90deg, transparent 49.9%, var(--line) 49.9%, var(--line) 50.1%, transparent 50.1%); }}
.track i {{ position: absolute; display: block; }}
.range {{ top: .55rem; height: .65rem; border-radius: .3rem; background: var(--band); }}
.seed {{ top: .5rem; height: .75rem; width: 2px; margin-left: -1px; background: var(--mark); opacity: .6; }}
.mean {{ top: .5rem; height: .75rem; width: .75rem; margin-left: -.375rem; border-radius: 50%;
  background: var(--mark); }}
.none {{ top: 0; height: 100%; border-left: 2px dashed var(--soft); }}
.axis {{ color: var(--soft); font-size: .85rem; }}
.axis .track {{ background: none; border: 0; height: 1.4rem; }}
.axis i {{ font-style: normal; transform: translateX(-50%); white-space: nowrap; }}
@media (max-width: 40rem) {{
  .row {{ grid-template-columns: 1fr auto; padding: .15rem .3rem; }}
  .row .track {{ grid-column: 1 / -1; grid-row: 2; height: 1.1rem; }}
  .range, .seed, .mean {{ top: .2rem; }}
  .axis .value {{ display: none; }}
}}
</style>
</head>
<body>
<h1>{title}</h1>
<p class="note">{date}minigrad {version}; every norm sees the same batches.
Weights at the start: {start}.</p>
<p class="verdict">{verdict}</p>
{sentences}
<h2>Test accuracy after the last epoch, %</h2>
{chart}
<h2>Curves</h2>
{curves}
<p class="note">A line is the mean over the seeds, and a band goes from the lowest to the highest. The dashed line is
the target accuracy. Gradients are those of the weights before the first update.</p>
<h2>Numbers</h2>
<div class="scroll">{table}</div>
<p class="note">± is the standard deviation over seeds. The interval is a 95 % confidence interval of the mean
difference to the run without a norm of the same seed (Student's t), for this norm alone; it is cut at −100 and +100
points, because no difference of two accuracies lies further out. A difference is called clear if it exceeds the
binomial error of the test set, and if a paired t-test finds it at the level of 5 %, corrected for the number of norms
(Holm). Chance is the share of the most frequent class in the test set; clearly above chance is what exceeds it by more
than the binomial error.
The final loss is the mean training loss of the last epoch. µs per step is the median time of forward, backward and
update.</p>
<h2>Settings</h2>
<div class="scroll"><table class="settings">{settings}</table></div>
<h2>Runs</h2>
<details><summary>each run by itself</summary><div class="scroll">{runs}</div></details>
</body>
</html>
"""


def page(comparison: "Comparison", light: bytes, dark: bytes) -> str:
    """The report: one HTML file without anything outside it, for light and dark screens, wide and narrow."""
    settings, rows, runs = comparison.settings, comparison.rows(), comparison.runs
    best = summary.winner(rows)
    e = comparison.environment
    threads = "1 thread" if e["threads"] == 1 else f"{e['threads']} threads"
    machine = f"{e['minigrad']}, NumPy {e['numpy']}, Numba {e['numba']}, Python {e['python']}, {threads}"
    names = ", ".join(settings.norms) if len(settings.norms) <= summary.MANY else f"{len(settings.norms)} norms"
    first, *others = summary.result(runs, rows)
    missing = summary.inapplicable(rows)
    shown = summary.trained(rows)
    left = len(comparison.remaining)
    curves = _image(
        {
            (theme, narrow): picture(settings, runs, theme, narrow=True) if narrow else wide
            for theme, wide in (("light", light), ("dark", dark))
            for narrow in (False, True)
        },
        "Test accuracy by epoch, training loss by epoch, and gradient norm by layer, with a line for each norm"
        if len(shown) <= summary.MANY
        else "Test accuracy by epoch, with a small picture for each norm",
    )
    if len(shown) > summary.MANY:
        maps = {
            (theme, narrow): gradient_map(settings, runs, theme, narrow)
            for theme in ("light", "dark")
            for narrow in (False, True)
        }
        curves += "<h2>Gradient norm of each layer, first step</h2>" + _image(maps, "Gradient norms by layer", "map")
    return _PAGE.format(
        title=_text(f"{settings.model} on {settings.data}: {names}"),
        date=f"{left} {'run is' if left == 1 else 'runs are'} still missing; " if left else "",
        version=_text(machine),
        start=_text(settings.start),
        verdict=_text(first),
        sentences=_list(others),
        chart=chart(rows) + (f"<p>Not for this network:</p>{_list(missing)}" if missing else ""),
        curves=curves,
        table=_html_table(
            summary.columns(len(settings.seeds), settings.target),
            [summary.cells(row) for row in shown],
            [row["norm"] == best for row in shown],
            "results",
        ),
        settings="".join(
            f"<tr><td>{_text(name)}</td><td>{_text(value)}</td></tr>" for name, value in settings.lines()
        ),
        runs=_html_table(
            ["norm", "seed", "outcome", "parameters", "final loss", "test accuracy % by epoch"],
            [_run_cells(run) for run in runs],
            [False] * len(runs),
        ),
    )


def chart(rows: list[dict[str, Any]]) -> str:
    """The accuracies as dots on one scale: the best first, and of many norms, family by family."""
    best = summary.winner(rows)
    none = next((row["accuracy_mean"] for row in rows if row["norm"] == "none"), None)
    shown = sorted(
        summary.trained(rows), key=lambda row: -1.0 if row["accuracy_mean"] is None else -row["accuracy_mean"]
    )
    shown.sort(key=lambda row: row["accuracy_mean"] is None)
    if not shown:
        return '<p class="note">Nothing was trained.</p>'
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in shown:
        family = "" if len(shown) <= summary.MANY else _family(row["norm"])
        groups.setdefault(family, []).append(row)
    lines = [_axis()]
    for family, members in groups.items():
        lines += [f"<h3>{_text(family)}</h3>"] * bool(family)
        lines += [_dots(row, none, row["norm"] == best) for row in members]
    reference = " The dashed line is the accuracy without a norm." if none is not None else ""
    note = (
        f"Dot: mean. Thin lines: the seeds. Bar: 95 % interval of the mean (Student's t), cut at 0 and 100.{reference}"
    )
    return f'<div class="chart" role="img" aria-label="Test accuracy of each norm">{"".join(lines)}</div>' + (
        f'<p class="note">{note}</p>'
    )


def _list(sentences: list[str]) -> str:
    return f"<ul>{''.join(f'<li>{_text(sentence)}</li>' for sentence in sentences)}</ul>" if sentences else ""


def _family(norm: str) -> str:
    return "No norm" if norm == "none" else FAMILIES[CATALOGUE[norm].family]


def _axis() -> str:
    marks = "".join(f'<i style="left:{at}%">{at}</i>' for at in (0, 50, 100))
    return f'<div class="row axis"><span></span><span class="track">{marks}</span><span class="value"></span></div>'


def _dots(row: dict[str, Any], none: float | None, best: bool) -> str:
    marks, value = "", "diverged"
    if none is not None:
        marks += f'<i class="none" style="left:{100 * none:.2f}%"></i>'
    if row["accuracy_mean"] is not None:
        if row["accuracy_interval"] is not None:
            low, high = (100 * x for x in row["accuracy_interval"])
            marks += f'<i class="range" style="left:{low:.2f}%;width:{high - low:.2f}%"></i>'
        marks += "".join(f'<i class="seed" style="left:{100 * x:.2f}%"></i>' for x in row["accuracies"])
        marks += f'<i class="mean" style="left:{100 * row["accuracy_mean"]:.2f}%"></i>'
        value = f"{100 * row['accuracy_mean']:.1f}"
        if row["accuracy_sd"] is not None:
            value += f" ± {100 * row['accuracy_sd']:.1f}"
        if row["finished"] < row["runs"]:
            value += f" ({row['finished']}/{row['runs']})"
    return (
        f'<div class="row{" best" if best else ""}"><span>{_text(row["norm"])}</span>'
        f'<span class="track">{marks}</span><span class="value">{value}</span></div>'
    )


def write_report(comparison: "Comparison", write: Callable[[Path, bytes], None]) -> None:
    """Write the page and the pictures into the run folder."""
    light, dark = (picture(comparison.settings, comparison.runs, theme) for theme in ("light", "dark"))
    write(comparison.folder / "comparison.png", light)
    write(comparison.folder / "comparison-dark.png", dark)
    write(comparison.folder / "report.html", page(comparison, light, dark).encode())


def _run_cells(run: dict[str, Any]) -> list[str]:
    epochs = run.get("epochs", [])
    scores = [f"{100 * epoch['test_accuracy']:.1f}" for epoch in epochs]
    if len(scores) > 20:
        scores = [*scores[:9], "…", *scores[-10:]]
    return [
        run["norm"],
        str(run["seed"]),
        outcome(run),
        f"{run['parameters']:,}" if "parameters" in run else "–",
        f"{epochs[-1]['train_loss']:.4f}" if epochs else "–",
        " ".join(scores) or "–",
    ]


def _html_table(head: list[str], rows: list[list[str]], best: list[bool], kind: str = "") -> str:
    def line(cells: list[str], tag: str, marked: bool = False) -> str:
        inner = "".join(f"<{tag}>{_text(cell)}</{tag}>" for cell in cells)
        return f"<tr class=best>{inner}</tr>" if marked else f"<tr>{inner}</tr>"

    body = "".join(line(cells, "td", marked) for cells, marked in zip(rows, best, strict=True))
    return f'<table class="{kind}"><thead>{line(head, "th")}</thead><tbody>{body}</tbody></table>'


def _text(text: str) -> str:
    """The text, safe in a page: it may come from a stranger's file."""
    return html.escape(printable(text))


def _image(variants: dict[tuple[str, bool], bytes], alt: str, kind: str = "") -> str:
    """One picture in four variants, (theme, narrow)."""
    sources = "".join(
        f'<source srcset="{_inline(variants[theme, narrow])}" media="{media}">'
        for theme, narrow, media in (
            ("dark", True, "(prefers-color-scheme: dark) and (max-width: 40rem)"),
            ("light", True, "(max-width: 40rem)"),
            ("dark", False, "(prefers-color-scheme: dark)"),
        )
    )
    image = f'<img class="{kind}" src="{_inline(variants["light", False])}" alt="{_text(alt)}">'
    return f"<picture>{sources}{image}</picture>"


def _inline(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()
