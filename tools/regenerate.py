"""Every number and picture of the README that a program printed or drew, from one command.

    python tools/regenerate.py                  all that is older than the sources, but for the benchmark
    python tools/regenerate.py landscape graph  these, in any case
    python tools/regenerate.py --check          compute the cheap ones anew and compare; changes nothing
    python tools/regenerate.py --list           what there is, how long it takes, and whether it is up to date

The numbers are kept in docs/numbers.json, and from there go into the README, between marks such as

    <!-- begin: landscape/table --> ... <!-- end -->

The pictures go to docs/, and their checksums to docs/numbers.json: so numbers and pictures come from the same run.
What is done is written at once: stop the command whenever you like, and give it again to go on. A comparison goes on
in the middle. (--force begins anew.)

Needs the extra "test"; the explorer's picture also needs "test-browser" and Chromium, the benchmark needs PyTorch.
"""

import argparse
import ast
import fnmatch
import hashlib
import html
import json
import math
import os
import platform
import re
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import numba  # noqa: E402
import numpy  # noqa: E402

from minigrad import files  # noqa: E402
from minigrad.lab import models, summary  # noqa: E402
from minigrad.lab.compare import Comparison  # noqa: E402

README, NUMBERS, WORK = ROOT / "README.md", ROOT / "docs" / "numbers.json", ROOT / "runs" / "regenerate"
MARKED = re.compile(r"<!-- begin: ([\w-]+/[\w-]+) -->(.*?)<!-- end -->", re.S)
NUMBER = re.compile(r"[-+−]?\d+(?:,\d{3})*(?:\.\d+)?(?:e[-+]?\d+)?")

Values = dict[str, Any]
"""Name → a number, or a text with numbers in it. Only what `docs/numbers.json` can hold."""


@dataclass(frozen=True)
class Item:
    """One piece of work, with all numbers and pictures that come from it.

    Attributes:
        command: what a reader types to get the same, as a list of arguments of `python`; "" for none.
        compute: does the work in a folder, leaves the pictures there under their names in docs/, returns the numbers.
        render: from the numbers to the README's blocks, by name.
        claims: words of the README or of a lesson, each with what must hold of the numbers.
        pictures: their names in docs/.
        seconds: how long it takes on two cores, roughly.
        cheap: `--check` computes it.
        on_request: it is done only if it is named.
        tolerance: pattern of names → how far a number may be from one that was recorded with another processor, NumPy
            or Numba, as (absolute, relative): networks end a little elsewhere there. The first pattern that fits
            counts, and a name that none fits must agree to the digit. Where processor and versions are the same, all
            must agree to the digit, but for times, which are never compared.
    """

    command: str
    compute: Callable[["Item", Path], Values]
    render: Callable[[Values], dict[str, str]] = lambda values: {}
    claims: dict[str, Callable[[Values], bool]] = field(default_factory=dict)
    pictures: tuple[str, ...] = ()
    seconds: int = 1
    cheap: bool = True
    on_request: bool = False
    tolerance: dict[str, tuple[float, float]] = field(default_factory=dict)


ANY = (math.inf, math.inf)


def python(arguments: list[str], folder: Path, **environment: str) -> str:
    """Run a Python program in a process of its own; what it prints is shown, and returned."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "MPLBACKEND": "Agg", "PYTHONIOENCODING": "utf-8", "COLUMNS": "80"}
    process = subprocess.Popen(
        [sys.executable, *arguments], cwd=folder, env=env | environment, text=True, encoding="utf-8", stdout=-1
    )
    assert process.stdout is not None
    lines = []
    try:
        for line in process.stdout:
            lines.append(line)
            print("    " + line, end="", flush=True)
        code = process.wait()
    except KeyboardInterrupt:
        process.wait()  # Ctrl-C reached it as well: let it keep what it has
        raise
    if code:
        raise RuntimeError(f"python {shlex.join(arguments)}: exit code {code}")
    return "".join(lines)


def compared(item: Item, folder: Path) -> Comparison:
    """Do the comparison of an item, or go on with it."""
    run = folder / "run"
    begun = (run / "results.json").exists()
    options = ["--resume", str(run)] if begun else [*shlex.split(item.command)[4:], "--out", str(run)]
    python(["-m", "minigrad", "compare", *options], folder)
    return Comparison.resume(run)


def lesson(number: str, folder: Path) -> str:
    (path,) = (ROOT / "examples").glob(f"{number}_*.py")
    return python([str(path)], folder, MINIGRAD_LESSONS=str(folder))


def table(head: list[str], rows: list[list[str]]) -> str:
    first, *rest = [("| " + " | ".join(line) + " |").replace("|  |", "| |") for line in (head, *rows)]
    return "\n".join(["", first, "|---" * len(head) + "|", *rest, ""])


def short(value: float) -> str:
    """Two digits that count."""
    digits = max(0, 1 - math.floor(math.log10(abs(value)))) if value else 0
    rounded = round(value, 1 - math.floor(math.log10(abs(value)))) if value else 0
    return f"{rounded:,.{digits}f}"


def ranged(values: list[float], text: Callable[[float], str]) -> str:
    low, high = text(min(values)), text(max(values))
    return low if low == high else f"{low} to {high}"


def numbers_in(text: Any) -> list[float]:
    return [float(found.replace(",", "").replace("−", "-")) for found in NUMBER.findall(str(text))]


# -- minigrad compare -------------------------------------------------------------------------------------

CELLS = ("accuracy", "gain", "epochs", "loss", "time")
COMPARED = {"*.accuracy": (3, 0), "*.gain": (5, 0), "*.epochs": (1.5, 0), "*.loss": (0.15, 0), "*.time": ANY}


def compare_rows(comparison: Comparison) -> Values:
    """The cells of the report's table."""
    values: Values = {"norms": list(comparison.settings.norms)}
    for row in comparison.rows():
        norm, *cells = summary.cells(row)
        for name, cell in zip(CELLS, cells, strict=True):
            values[f"{norm}.{name}"] = re.sub(r"(?<![\w.])-(?=\d)", "−", cell)
    return values


def mean_accuracy(values: Values, norm: str) -> float:
    return numbers_in(values[f"{norm}.accuracy"])[0]


def compute_comparison(item: Item, folder: Path) -> Values:
    comparison = compared(item, folder)
    values = compare_rows(comparison)
    means = [mean_accuracy(values, norm) / 100 for norm in values["norms"] if norm != "none"]
    samples = next(run["test_samples"] for run in comparison.runs)
    values["points"] = f"{100 * summary.sampling_error(max(means), min(means), samples):.0f}"
    first: dict[str, list[float]] = {"none": [], "batch": []}
    for run in comparison.runs:
        if run["norm"] in first:
            first[run["norm"]].append(math.log(run["gradient_norms"][0][0]))
    ratio = math.exp(statistics.fmean(first["batch"]) - statistics.fmean(first["none"]))
    values["gradient"] = short(ratio)
    for name in item.pictures:
        (folder / name).write_bytes((comparison.folder / name).read_bytes())
    return values


def render_comparison(values: Values) -> dict[str, str]:
    head = ["norm", "test accuracy, mean ± sd", "gain over none (95 % interval)", "epochs to 90 %", "final loss"]
    rows = [[n, *[values[f"{n}.{c}"].replace("–", "") for c in CELLS]] for n in values["norms"]]
    return {
        "table": table([*head, "µs per step"], rows),
        "points": values["points"],
        "gradient": values["gradient"],
    }


def compute_small_batches(item: Item, folder: Path) -> Values:
    return compare_rows(compared(item, folder))


def render_small_batches(values: Values) -> dict[str, str]:
    head = ["norm", "test accuracy, mean ± sd", "gain over none (95 % interval)", "µs per step"]
    rows = [[n, *[values[f"{n}.{c}"].replace("–", "") for c in ("accuracy", "gain", "time")]] for n in values["norms"]]
    return {"table": table(head, rows)}


GROUPS = {
    "standardize by the batch, a sample, or a mix": (
        "batch and its relatives, layer, RMS, instance, group, power, switchable",
        "batch population batch_renorm ghost_batch decorrelated_batch iterative power layer rms instance "
        "group switchable",
    ),
    "bring their own activation": (
        "filter response with its threshold, EvoNorm B0 and S0, SELU",
        "filter_response evo_b0 evo_s0 selu",
    ),
    "standardize weights, and the activations once or at their mean": (
        "weight norm with its initialization from data, also with mean-only batch norm",
        "weight mean_only_batch",
    ),
    "standardize weights, scaled for the activation before them": (
        "scaled weight standardization",
        "scaled_weight_standardization",
    ),
    "bound the scale and do not set it": (
        "spectral, unit, local response and divisive norm, dynamic tanh and erf, gradient clipping",
        "spectral unit local_response divisive dynamic_tanh dynamic_erf agc",
    ),
}
"""What the README's table of all methods calls them, and their names."""
SINGLE = ("weight_standardization", "group", "global_response")


def compute_all_norms(item: Item, folder: Path) -> Values:
    comparison = compared(item, folder)
    cells = [summary.cells(row) for row in comparison.rows()]
    values: Values = {f"{norm}.accuracy": cell for norm, cell, *_ in cells if numbers_in(cell)}
    listed = {norm for _, names in GROUPS.values() for norm in names.split()} | {"none", *SINGLE}
    apply = {name.partition(".")[0] for name in values}
    values["wrong in the table"] = " ".join(sorted(apply ^ listed))  # it has no row, or it does not apply
    return values


def render_all_norms(values: Values) -> dict[str, str]:
    def over(names: str) -> str:
        means = [mean_accuracy(values, norm) for norm in names.split() if f"{norm}.accuracy" in values]
        return ranged(means, lambda v: f"{v:.0f}") + " %"

    rows = [[label, methods, over(names)] for label, (methods, names) in GROUPS.items()]
    single = {norm.replace("_", "-"): over(norm) for norm in SINGLE}
    return {"table": table(["", "methods", "test accuracy"], rows), **single}


# -- the command's texts and drawings ---------------------------------------------------------------------


def compute_norms(item: Item, folder: Path) -> Values:
    text = python(shlex.split(item.command)[1:], folder)
    return {
        "group": text[: text.index("The marks side by side")].rstrip(),
        "count": sum(norm != "none" for norm in models.NORMS),
        "drawn": len(_assigned_keys(ROOT / "examples" / "07_who_shares_statistics.py", "norms")),
        "lessons": len(list((ROOT / "examples").glob("[0-9]*.py"))),
    }


WORDS = ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]


def render_norms(values: Values) -> dict[str, str]:
    return {
        "group": f"\n```text\n{values['group']}\n```\n",
        "count": str(values["count"]),
        "drawn": WORDS[values["drawn"]],
        "lessons": WORDS[values["lessons"]],
    }


def _assigned_keys(path: Path, name: str) -> list[str]:
    """The keys of the dictionary that a program assigns to a name."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name and isinstance(node.value, ast.Dict):
            return [ast.literal_eval(key) for key in node.value.keys if key is not None]
    raise LookupError(f"{path} assigns no dictionary to {name}")


def compute_graph(item: Item, folder: Path) -> Values:
    python(shlex.split(item.command)[1:], folder)
    texts = re.findall(r"<text[^>]*>(.*?)</text>", (folder / "graph.svg").read_text(encoding="utf-8"), re.S)
    return {"texts": [html.unescape(text) for text in texts]}


def compute_explorer(item: Item, folder: Path) -> Values:
    """Batch norm's page in Chromium, at the end of its way back, light and dark."""
    from minigrad.viz.explainer import explain
    from tests.browser import Browser, missing

    if missing():
        raise RuntimeError(missing())
    page = explain("batch_norm").save(folder / "batch_norm.html")
    browser = Browser()
    try:
        for name in item.pictures:
            browser.open(page, 1280, 960, "dark" in name)
            browser.press("End")
            browser.run("document.getElementById('walk').scrollIntoView()")
            browser.screenshot(folder / name)
    finally:
        browser.close()
    return {}


# -- lessons ----------------------------------------------------------------------------------------------

PLACES = ("accuracy", "loss", "quarter", "half", "whole")


def compute_landscape(item: Item, folder: Path) -> Values:
    found: dict[str, list[list[float]]] = {}
    for line in lesson("08", folder).splitlines():
        if match := re.match(r"(none|batch|layer) +\d+ +(.*)", line):
            found.setdefault(match[1], []).append(numbers_in(match[2]))
    for name in item.pictures:
        (folder / f"08_{name}").rename(folder / name)
    return {
        f"{norm}.{place}": ranged(list(column), (lambda v: f"{v:.1f}") if place == "accuracy" else short)
        for norm, rows in found.items()
        for place, column in zip(PLACES, zip(*rows, strict=True), strict=True)
    }


def render_landscape(values: Values) -> dict[str, str]:
    head = [
        "norm",
        "test accuracy",
        "loss of the weights",
        "at a quarter of their length",
        "at a half",
        "at the whole",
    ]
    rows = []
    for norm in ("none", "batch", "layer"):
        accuracy, *losses = (values[f"{norm}.{place}"] for place in PLACES)
        rows.append([norm, f"{accuracy} %", *losses])
    return {"table": table(head, rows)}


def flattest_with_batch_norm(values: Values) -> bool:
    others = numbers_in(values["none.quarter"]) + numbers_in(values["layer.quarter"])
    return max(numbers_in(values["batch.quarter"])) < min(others)


def compute_boundaries(item: Item, folder: Path) -> Values:
    text = lesson("09", folder)
    rows = [numbers_in(line.replace("before training", "0")) for line in text.splitlines() if line.endswith("%")]
    values: Values = {}
    for column, norm in ((1, "none"), (2, "batch")):
        values[f"{norm}.epochs"] = next((row[0] for row in rows if row[column] >= 95), math.inf)
        values[f"{norm}.end"] = rows[-1][column]
    values["ratio"] = numbers_in(text[text.index("with batch norm") :])[0]
    (folder / "09_decision_boundaries.gif").rename(folder / item.pictures[0])
    return values


def render_boundaries(values: Values) -> dict[str, str]:
    fast, slow = values["batch.epochs"], values["none.epochs"]
    alt = (
        "Two networks learn to tell three spirals apart, one frame every half epoch. With batch norm 95 % of the "
        f"points are right after {fast:.0f} epochs, without it after {slow:.0f}."
    )
    return {"picture": f"\n![{alt}](docs/decision-boundaries.gif)\n", "ratio": f"{values['ratio']:.0f}"}


# -- the benchmark ----------------------------------------------------------------------------------------

STEPS = {
    "training step MLP 64-256-256-10, none,": "MLP 64-256-256-10, no norm",
    "training step MLP 64-256-256-10, batch,": "the same with batch norm",
    "training step MLP 64-256-256-10, layer,": "the same with layer norm",
    "training step MLP 64-256-256-10, group,": "the same with group norm",
    "training step CNN 1-16-32 on 8×8, none,": "CNN 1-16-32 on 8×8, no norm",
    "training step CNN 1-16-32 on 8×8, batch,": "the same with batch norm",
    "training step CNN 1-16-32 on 8×8, layer,": "the same with layer norm",
    "training step CNN 1-16-32 on 8×8, instance,": "the same with instance norm",
    "training step CNN 1-16-32 on 8×8, group,": "the same with group norm",
    "peak memory, 200 steps of the MLP": "peak memory of 200 steps of the MLP",
}


def compute_benchmark(item: Item, folder: Path) -> Values:
    python([str(ROOT / "tools" / "bench.py"), "--json", str(folder / "bench.json")], folder)
    content = json.loads((folder / "bench.json").read_text(encoding="utf-8"))
    values: Values = {"torch": content["torch"], "threads": content["threads"]}
    for start, label in STEPS.items():
        (result,) = (r for r in content["results"] if r["name"].startswith(start))
        ours, theirs = (f"{result[lib]:.0f} {result['unit']}" for lib in ("minigrad", "torch"))
        values[start] = [label, ours, theirs, f"{result['ratio']:.1f}"]
    alone = [r for r in content["results"] if re.search(r"(for|back)ward$", r["name"]) and "conv2d" not in r["name"]]
    alone.sort(key=lambda r: r["ratio"])
    values |= {"rows": len(alone), "faster": sum(r["ratio"] >= 1 for r in alone)}
    low, high = (alone[int(len(alone) * share)]["ratio"] for share in (0.05, 0.95))
    values |= {"range": f"{low:.1f} to {high:.1f}"}
    values["closest"] = [f"{r['name']} ({r['ratio']:.2f})" for r in alone[:5]]
    return values


def render_benchmark(values: Values) -> dict[str, str]:
    return {
        "table": table(["training step", "minigrad", "PyTorch", "times faster"], [values[start] for start in STEPS]),
        "settings": f"PyTorch {values['torch'].partition('+')[0]}, {values['threads']} threads each",
        "norms": (
            f"{values['rows']} rows, and minigrad is at least as fast in {values['faster']} of them; nine in ten lie "
            f"at {values['range']} times. The closest: {', '.join(values['closest'])}"
        ),
    }


# -- all items --------------------------------------------------------------------------------------------

ITEMS = {
    "norms": Item("python -m minigrad norms group", compute_norms, render_norms, seconds=3),
    "graph": Item(
        "python -m minigrad graph --model mlp --norm batch --layers 1 --width 3 --batch-size 4 --view both "
        "-o graph.svg",
        compute_graph,
        pictures=("graph.svg",),
        seconds=5,
        tolerance={"*": (0.01, 0.01)},
    ),
    "landscape": Item(
        "python examples/08_landscapes.py",
        compute_landscape,
        render_landscape,
        {
            "near the weights, the ground is flattest under batch norm": flattest_with_batch_norm,
            "the loss rises least with batch norm": flattest_with_batch_norm,
            "more than five times as high without a norm": lambda v: (
                max(*numbers_in(v["batch.whole"]), *numbers_in(v["layer.whole"]))
                < min(numbers_in(v["none.whole"])) / 5
            ),
            "All three can be trained": lambda v: (
                min(numbers_in(v[f"{norm}.accuracy"])[0] for norm in ("none", "batch", "layer")) > 85
            ),
        },
        ("landscape.png", "landscape-dark.png"),
        40,
        tolerance={"*.accuracy": (2, 0), "*.whole": (0.3, 0.5), "*": (0.1, 0.3)},
    ),
    "boundaries": Item(
        "python examples/09_decision_boundaries.py",
        compute_boundaries,
        render_boundaries,
        {
            "Two networks learn": lambda v: min(v["none.end"], v["batch.end"]) > 90,
            "with batch norm it takes half the epochs": lambda v: 2 * v["batch.epochs"] <= v["none.epochs"],
        },
        ("decision-boundaries.gif",),
        45,
        tolerance={"*.epochs": (3, 0), "*.end": (5, 0), "ratio": (0, 0.3)},
    ),
    "comparison": Item(
        "python -m minigrad compare",
        compute_comparison,
        render_comparison,
        {
            "stays at chance": lambda v: mean_accuracy(v, "none") < 15,
            "passes 90 %": lambda v: min(mean_accuracy(v, n) for n in v["norms"] if n != "none") > 90,
            "hundreds of times smaller": lambda v: numbers_in(v["gradient"])[0] >= 200,
            "the four are too close to call": lambda v: (
                max(mean_accuracy(v, n) for n in v["norms"] if n != "none")
                - min(mean_accuracy(v, n) for n in v["norms"] if n != "none")
                <= float(v["points"]) + 0.5
            ),
        },
        ("comparison.png", "comparison-dark.png"),
        45,
        tolerance={**COMPARED, "gradient": (0, 0.5), "points": (1, 0)},
    ),
    "small-batches": Item(
        "python -m minigrad compare --model mlp --activation relu --depth 2 --width 64 --batch-size 2 --epochs 3 "
        "--norm none,batch,layer,group",
        compute_small_batches,
        render_small_batches,
        {
            "Layer and group norm do no harm here, and no good either": lambda v: (
                max(abs(mean_accuracy(v, n) - mean_accuracy(v, "none")) for n in ("layer", "group")) < 3
            ),
            "### Where it does not help": lambda v: mean_accuracy(v, "batch") < mean_accuracy(v, "none") - 10,
        },
        seconds=45,
        cheap=False,
        tolerance=COMPARED,
    ),
    "all-norms": Item(
        "python -m minigrad compare --norm all",
        compute_all_norms,
        render_all_norms,
        {"### Every normalization": lambda v: not v["wrong in the table"]},
        seconds=420,
        cheap=False,
        tolerance={"*.accuracy": (3, 0)},
    ),
    "explorer": Item(
        "",
        compute_explorer,
        pictures=("explorer.png", "explorer-dark.png"),
        seconds=20,
        cheap=False,
    ),
    "benchmark": Item(
        "python tools/bench.py",
        compute_benchmark,
        render_benchmark,
        seconds=400,
        cheap=False,
        on_request=True,
        tolerance={"*": ANY},
    ),
}


# -- record and README ------------------------------------------------------------------------------------


def sources() -> str:
    """A short name for all that the numbers come from."""
    digest = hashlib.sha256()
    for folder, names in (("minigrad", "*.py"), ("examples", "*.*"), ("tools", "bench.py")):
        for path in sorted((ROOT / folder).rglob(names)):
            if path.suffix != ".pyc":
                digest.update(str(path.relative_to(ROOT)).encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def environment() -> str:
    """A short name for what the last bits of a number depend on: processor, NumPy, Numba."""
    processor = platform.processor() or platform.machine()
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        processor = "".join(sorted({line for line in lines if re.match(r"model name|flags", line)}))
    return hashlib.sha256(f"{processor} {numpy.__version__} {numba.__version__}".encode()).hexdigest()[:16]


def checksum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else "missing"


def recorded() -> dict[str, Any]:
    return json.loads(NUMBERS.read_text(encoding="utf-8")) if NUMBERS.exists() else {}


def fill(text: str, name: str, values: Values) -> str:
    """The README with the blocks of an item as they follow from its numbers."""
    blocks = {f"{name}/{part}": block for part, block in ITEMS[name].render(values).items()}
    missing = blocks.keys() - {match[1] for match in MARKED.finditer(text)}
    if missing:
        raise LookupError(f"README.md has no place for {', '.join(sorted(missing))}")
    return MARKED.sub(lambda m: f"<!-- begin: {m[1]} -->{blocks[m[1]]}<!-- end -->" if m[1] in blocks else m[0], text)


def broken_claims(name: str, values: Values, text: str) -> list[str]:
    """Words of README and lessons that the numbers contradict, or that are not there any more."""
    lessons = "".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "examples").glob("*.py")))
    flat = " ".join((text + re.sub(r"^# ", "", lessons, flags=re.M)).split())
    found = []
    for words, holds in ITEMS[name].claims.items():
        if words not in flat:
            found.append(
                f'neither README nor a lesson says "{words}" any more: change the claim in tools/regenerate.py'
            )
        elif not holds(values):
            found.append(f'README or a lesson says "{words}", and the numbers do not: rewrite it')
    return found


def stale(name: str, text: str) -> list[str]:
    """Where README, pictures and record do not fit together. This computes nothing anew."""
    record = recorded().get(name)
    if record is None:
        return (
            [] if ITEMS[name].on_request else [f"docs/numbers.json has no numbers: python tools/regenerate.py {name}"]
        )
    found = broken_claims(name, record["values"], text)
    if fill(text, name, record["values"]) != text:
        found.append("README.md does not show the numbers of docs/numbers.json")
    for picture, expected in record["pictures"].items():
        if checksum(ROOT / "docs" / picture) != expected:
            found.append(f"docs/{picture} is not the picture that belongs to the numbers")
    return found


def differences(name: str, old: Values, new: Values, exact: bool) -> list[str]:
    """The numbers that are further apart than they may be, and the texts that differ otherwise."""
    found = [f"{key}: only in one of the two" for key in sorted(old.keys() ^ new.keys())]
    for key in sorted(old.keys() & new.keys()):
        a, b = (json.dumps(v, ensure_ascii=False) if isinstance(v, list) else str(v) for v in (old[key], new[key]))
        fitting = (limit for pattern, limit in ITEMS[name].tolerance.items() if fnmatch.fnmatch(key, pattern))
        absolute, relative = next(fitting, (0.0, 0.0))
        if absolute == math.inf:
            continue  # a time
        if exact:
            absolute = relative = 0.0
        x, y = numbers_in(a), numbers_in(b)
        # A range whose ends round to the same text is one number.
        same_text = NUMBER.sub("#", a).replace("# to #", "#") == NUMBER.sub("#", b).replace("# to #", "#")
        pairs = [(x[0], y[0]), (x[-1], y[-1])] if x and y and len(x) != len(y) else list(zip(x, y, strict=False))
        if not same_text or any(abs(p - q) > absolute + relative * max(abs(p), abs(q)) for p, q in pairs):
            found.append(f"{key}: recorded {a:.200}, now {b:.200}")
    return found


# -- the command ------------------------------------------------------------------------------------------


def regenerate(name: str, fresh: bool) -> list[str]:
    """Do one item, and write its numbers and pictures. Returns what a writer must look at."""
    item = ITEMS[name]
    folder = WORK / f"{name}-{sources()}"
    if fresh and folder.exists():
        folder = folder.with_name(f"{folder.name}-{time.time_ns()}")
    folder.mkdir(parents=True, exist_ok=True)
    values = json.loads(json.dumps(item.compute(item, folder)))
    text = README.read_text(encoding="utf-8")
    filled = fill(text, name, values)
    for picture in item.pictures:
        files.write(ROOT / "docs" / picture, (folder / picture).read_bytes())
    pictures = {picture: checksum(ROOT / "docs" / picture) for picture in item.pictures}
    record = {"command": item.command, "values": values, "pictures": pictures}
    record |= {"sources": sources(), "environment": environment()}
    content = json.dumps(recorded() | {name: record}, indent=1, ensure_ascii=False, sort_keys=True)
    files.write(NUMBERS, (content + "\n").encode())
    if filled != text:
        files.write(README, filled.encode())
    return broken_claims(name, values, filled)


def check(name: str) -> list[str]:
    """Compute an item anew, and compare with what is recorded."""
    item, record = ITEMS[name], recorded().get(name)
    if record is None:
        return []
    WORK.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"check-{name}-", dir=WORK) as folder:
        values = json.loads(json.dumps(item.compute(item, Path(folder))))
    return differences(name, record["values"], values, record["environment"] == environment())


def up_to_date(name: str, text: str) -> bool:
    record = recorded().get(name)
    return record is not None and record["sources"] == sources() and not stale(name, text)


def main() -> int:
    parser = argparse.ArgumentParser(description="The README's numbers and pictures, from one command.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(ITEMS)}")
    parser.add_argument("--check", action="store_true", help="compute the cheap ones (or those named) and compare")
    parser.add_argument("--list", action="store_true", help="say what there is")
    parser.add_argument("--force", action="store_true", help="do not go on with what was begun: do all of it anew")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.names if name not in ITEMS]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}. There is {', '.join(ITEMS)}")
    text = README.read_text(encoding="utf-8")
    if arguments.list:
        for name, item in ITEMS.items():
            state = "up to date" if up_to_date(name, text) else "not up to date"
            when = "cheap" if item.cheap else "on request" if item.on_request else ""
            print(f"{name:14} about {item.seconds:4} s  {when:11} {state:16} {item.command}")
        return 0
    problems: dict[str, list[str]] = {}
    if arguments.check:
        for name in arguments.names or ITEMS:
            problems[name] = stale(name, text)
        chosen = [name for name in ITEMS if (name in arguments.names if arguments.names else ITEMS[name].cheap)]
        left = [name for name in ITEMS if name not in chosen]
        print(f"Not computed anew: {', '.join(left) or 'none'}. Of those, only README and record are compared.")
    else:
        again = arguments.force or arguments.names
        chosen = arguments.names or [name for name, item in ITEMS.items() if not item.on_request]
        done = [] if again else [name for name in chosen if up_to_date(name, text)]
        chosen = [name for name in chosen if name not in done]
        if done:
            print(f"Up to date: {', '.join(done)}")
    for number, name in enumerate(chosen, 1):
        item, began = ITEMS[name], time.perf_counter()
        print(f"\n[{number}/{len(chosen)}] {name}, about {item.seconds} s: {item.command}", flush=True)
        try:
            found = check(name) if arguments.check else regenerate(name, arguments.force)
        except KeyboardInterrupt:
            print(
                f"\nStopped. What is done is written; the same command goes on with {', '.join(chosen[number - 1 :])}."
            )
            return 130
        except Exception as error:  # the others can be done all the same
            found = [f"failed: {type(error).__name__}: {error}"]
        problems.setdefault(name, []).extend(found)
        print(f"[{number}/{len(chosen)}] {name}: {time.perf_counter() - began:.0f} s, {'NOT ' if found else ''}good")
    print()
    for name, found in problems.items():
        for problem in found:
            print(f"{name}: {problem}")
    return 1 if any(problems.values()) else 0


if __name__ == "__main__":
    raise SystemExit(main())
