"""How a comparison is shown: the table, the pictures, and a page that holds everything."""

import base64
import html
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from minigrad.lab import summary
from minigrad.lab.display import outcome
from minigrad.viz import style

if TYPE_CHECKING:
    from minigrad.lab.compare import Comparison, Settings

# -- tables -----------------------------------------------------------------------------------------------


def rich_table(settings: "Settings", rows: list[dict[str, Any]]) -> Any:
    """The table for a terminal, with the best accuracy in bold."""
    from rich.table import Table

    table = Table(title=None)
    for i, head in enumerate(summary.columns(len(settings.seeds), settings.target)):
        table.add_column(head, justify="left" if i == 0 else "right", no_wrap=i == 0, overflow="fold")
    best = summary.winner(rows)
    for row in rows:
        table.add_row(*summary.cells(row), style="bold green" if row["norm"] == best else None)
    return table


def plain_table(settings: "Settings", rows: list[dict[str, Any]]) -> list[str]:
    """The table as lines of text, where there is no terminal."""
    lines = [summary.columns(len(settings.seeds), settings.target), *(summary.cells(row) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    texts = [
        "  ".join([line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))])
        for line in lines
    ]
    return [texts[0], "-" * len(texts[0]), *texts[1:]]


# -- pictures ---------------------------------------------------------------------------------------------


def picture(settings: "Settings", runs: list[dict[str, Any]], theme: str = "light") -> bytes:
    """Test accuracy and training loss by epoch, and gradient norms by layer, as a PNG.

    A line is the mean over the seeds; the band goes from the lowest to the highest.
    """
    figure = style.picture(12.5, 4.1, theme)
    ink = style.INK[theme]
    accuracy, loss, gradients = figure.subplots(1, 3)
    for axes in (accuracy, loss, gradients):
        style.dress(axes, theme)

    others = iter(style.OTHERS[theme] * 9)
    layers: list[str] = []
    for norm, marker in zip(settings.norms, style.MARKERS * 9, strict=False):
        colour = style.COLOURS[theme].get(norm) or next(others)
        mine = [run for run in runs if run["norm"] == norm and run.get("epochs") is not None]
        absent = any(run["norm"] == norm and run["status"] == "does not apply" for run in runs)
        label = f"{norm} (does not apply)" if absent else norm
        line = {"color": colour, "label": label, "marker": marker, "markersize": 4, "linewidth": 1.8}
        _band(accuracy, [[100 * e["test_accuracy"] for e in run["epochs"]] for run in mine], line)
        _band(loss, [[e["train_loss"] for e in run["epochs"]] for run in mine], line)
        for run in mine:
            if run["status"] == "diverged":
                x = run["diverged_at"] * settings.epochs / max(1, _steps(settings, run, runs))
                accuracy.plot([x], [0], marker="x", color=colour, markersize=9, markeredgewidth=2, clip_on=False)
                accuracy.annotate(
                    f"diverged at step {run['diverged_at']}", (x, 0), xytext=(6, 5), textcoords="offset points",
                    color=colour, fontsize=8,
                )  # fmt: skip
        first = [run["gradient_norms"][0] for run in mine if run["gradient_norms"]]
        first = [[np.nan if value is None else value for value in values] for values in first]
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
        axes.xaxis.get_major_locator().set_params(integer=True)
    gradients.set_yscale("log")
    gradients.set_title("Gradient norm of each layer, first step", color=ink, fontsize=11, loc="left")
    gradients.set_xticks(range(1, len(layers) + 1), layers, rotation=30 if len(layers) <= 8 else 75, ha="right")
    gradients.set_xlabel("input → output", color=ink, fontsize=9)
    handles, labels = accuracy.get_legend_handles_labels()
    if handles:
        style.legend(figure, handles, labels, theme)
    return figure.encoded()


def _band(axes: Any, curves: list[list[float]], style: dict[str, Any]) -> None:
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
    if len(curves) > 1:
        axes.fill_between(x, table.min(axis=0), table.max(axis=0), color=style["color"], alpha=0.18, linewidth=0)


def _steps(settings: "Settings", run: dict[str, Any], runs: list[dict[str, Any]]) -> int:
    """The number of steps that a whole run has, known from any that finished."""
    finished = [len(other["step_losses"]) for other in runs if other["status"] == "finished"]
    return finished[0] if finished else max(run["diverged_at"], settings.epochs)


# -- the page ---------------------------------------------------------------------------------------------

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>
:root {{ --paper: #ffffff; --ink: #1f2328; --soft: #59636e; --line: #d8dce0; --best: #e6f4ea; }}
@media (prefers-color-scheme: dark) {{
  :root {{ --paper: #15181c; --ink: #e6e8ea; --soft: #9aa4ae; --line: #3a4048; --best: #1d3426; }}
}}
body {{ margin: 2rem auto; padding: 0 1.2rem; max-width: 74rem; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, sans-serif; }}
h1 {{ font-size: 1.6rem; line-height: 1.25; margin-bottom: .2rem; }}
h2 {{ font-size: 1.15rem; margin-top: 2.2rem; }}
p.verdict {{ font-size: 1.1rem; max-width: 48rem; }}
p.note {{ color: var(--soft); max-width: 48rem; }}
img {{ width: 100%; min-width: 46rem; height: auto; }}
.scroll {{ overflow-x: auto; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; }}
th, td {{ padding: .4rem .9rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }}
th {{ font-weight: 600; color: var(--soft); white-space: normal; vertical-align: bottom; }}
th:first-child, td:first-child, .settings td {{ text-align: left; }}
.settings td:last-child {{ white-space: normal; }}
tr.best td {{ background: var(--best); font-weight: 600; }}
summary {{ cursor: pointer; }}
</style>
</head>
<body>
<h1>{title}</h1>
<p class="note">{date}minigrad {version}; every norm sees the same batches.
Weights at the start: {start}.</p>
<p class="verdict">{verdict}</p>
<div class="scroll">{table}</div>
<h2>Curves</h2>
<div class="scroll"><picture>
<source srcset="{dark}" media="(prefers-color-scheme: dark)">
<img src="{light}" alt="Test accuracy by epoch, training loss by epoch, and gradient norm by layer, one line a norm">
</picture></div>
<p class="note">Lines are means over the seeds, bands go from the lowest to the highest. The dashed line is the
target accuracy. Gradients are those of the weights, before the first update. Columns: ± is the standard deviation
over seeds; the interval is a 95 % confidence interval of the mean difference to the run without a norm of the same
seed (Student's t), and a difference is called clear if it exceeds both this interval and the binomial error of the
test set; the final loss is the mean training loss of the last epoch; µs per step is the median time of
forward, backward and update.</p>
<h2>Settings</h2>
<div class="scroll"><table class="settings">{settings}</table></div>
<h2>Runs</h2>
<details><summary>each run by itself</summary><div class="scroll">{runs}</div></details>
</body>
</html>
"""


def page(comparison: "Comparison", light: bytes, dark: bytes) -> str:
    """The report: one HTML file without anything outside it, for light and dark screens."""
    settings, rows = comparison.settings, comparison.rows()
    best = summary.winner(rows)
    e = comparison.environment
    threads = "1 thread" if e["threads"] == 1 else f"{e['threads']} threads"
    machine = f"{e['minigrad']}, NumPy {e['numpy']}, Numba {e['numba']}, Python {e['python']}, {threads}"
    return _PAGE.format(
        title=html.escape(f"{settings.model} on {settings.data}: {', '.join(settings.norms)}"),
        date="" if not comparison.remaining else f"{len(comparison.remaining)} runs are still to come; ",
        version=html.escape(machine),
        start=html.escape(settings.start),
        verdict=html.escape(" ".join(summary.verdict(comparison.runs, rows))),
        table=_html_table(
            summary.columns(len(settings.seeds), settings.target),
            [summary.cells(row) for row in rows],
            [row["norm"] == best for row in rows],
        ),
        light=_inline(light),
        dark=_inline(dark),
        settings="".join(
            f"<tr><td>{html.escape(name)}</td><td>{html.escape(value)}</td></tr>" for name, value in settings.lines()
        ),
        runs=_html_table(
            ["norm", "seed", "outcome", "parameters", "final loss", "test accuracy % by epoch"],
            [_run_cells(run) for run in comparison.runs],
            [False] * len(comparison.runs),
        ),
    )


def write_report(comparison: "Comparison", write: Callable[[Path, bytes], None]) -> None:
    """Write the page and the pictures into the run folder."""
    light, dark = (picture(comparison.settings, comparison.runs, theme) for theme in ("light", "dark"))
    write(comparison.folder / "comparison.png", light)
    write(comparison.folder / "comparison-dark.png", dark)
    write(comparison.folder / "report.html", page(comparison, light, dark).encode())


def _run_cells(run: dict[str, Any]) -> list[str]:
    epochs = run.get("epochs", [])
    return [
        run["norm"],
        str(run["seed"]),
        outcome(run),
        f"{run['parameters']:,}" if "parameters" in run else "–",
        f"{epochs[-1]['train_loss']:.4f}" if epochs else "–",
        " ".join(f"{100 * epoch['test_accuracy']:.1f}" for epoch in epochs) or "–",
    ]


def _html_table(head: list[str], rows: list[list[str]], best: list[bool]) -> str:
    def line(cells: list[str], tag: str, marked: bool = False) -> str:
        inner = "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells)
        return f"<tr class=best>{inner}</tr>" if marked else f"<tr>{inner}</tr>"

    body = "".join(line(cells, "td", marked) for cells, marked in zip(rows, best, strict=True))
    return f"<table><thead>{line(head, 'th')}</thead><tbody>{body}</tbody></table>"


def _inline(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()
