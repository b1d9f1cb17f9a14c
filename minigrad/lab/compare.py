"""`minigrad compare`: the same network with each normalization, over several seeds, and what came of it.

The run folder is the whole state of a comparison:

- `results.json` holds the settings and the record of every run that ended; it is rewritten after each,
- `checkpoint.npz` is where the run that is going on stood at the end of its last epoch,
- `report.html`, `comparison.png` and `comparison-dark.png` show the results.

Every file is written under a temporary name and renamed, so at any moment the folder can be continued.
"""

import dataclasses
import json
import math
import os
import platform
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numba
import numpy as np

import minigrad
from minigrad import data
from minigrad.data import Splits, StandardScaler, TensorDataset
from minigrad.extras import require
from minigrad.files import write
from minigrad.folders import have_temporary
from minigrad.kernels.threads import most_threads, num_threads
from minigrad.lab import models, report, summary
from minigrad.lab.catalogue import find
from minigrad.lab.display import Bars, Display, Lines
from minigrad.lab.train import OPTIMIZERS, Recipe, train
from minigrad.suggest import check_name


@dataclass(frozen=True)
class Settings:
    """What is compared. The defaults are a network that is known to fail without a norm (see the README).

    One thread is the default because layers of this size gain little from a second one, and lose much if another
    program keeps that core busy: the first thread waits for the second at the end of every loop.
    """

    model: str = "cnn"
    data: str = "digits"
    data_dir: str | None = None
    norms: tuple[str, ...] = ("none", "batch", "layer", "instance", "group")
    activation: str = "sigmoid"
    depth: int = 6
    width: int = 16
    optimizer: str = "adam"
    lr: float = 1e-3
    batch_size: int = 32
    epochs: int = 6
    seeds: tuple[int, ...] = (0, 1, 2)
    target: float = 0.9
    threads: int = 1

    def __post_init__(self) -> None:
        check_name("--model", self.model, models.MODELS)
        check_name("--data", self.data, data.names())
        names = tuple(models.NORMS) if "all" in self.norms else self.norms
        object.__setattr__(self, "norms", tuple(find(norm, ("none",), "--norm") for norm in names))
        check_name("--activation", self.activation, models.ACTIVATIONS)
        check_name("--optimizer", self.optimizer, OPTIMIZERS)
        for option in ("depth", "width", "batch_size", "epochs", "threads"):
            if getattr(self, option) < 1:
                raise ValueError(f"--{option.replace('_', '-')} must be at least 1, and is {getattr(self, option)}")
        if not 0 < self.lr < math.inf:
            raise ValueError(f"--lr must be positive and finite, and is {self.lr}")
        if not 0 < self.target <= 1:
            raise ValueError(f"--target is an accuracy above 0 and at most 1 (such as 0.95), and is {self.target}")
        for option in ("norms", "seeds"):
            values = getattr(self, option)
            flag = "--norm" if option == "norms" else "--seeds"
            if not values:
                raise ValueError(f"{flag}: at least one")
            if len(set(values)) != len(values):
                raise ValueError(f"{flag}: name each once")
        if any(seed < 0 for seed in self.seeds):
            raise ValueError("--seeds: seeds are numbers from 0 on")
        if self.data_dir is not None:
            if self.data not in data.names(from_files=True):
                known = ", ".join(data.names(from_files=True))
                raise ValueError(
                    f"--data-dir is for data that are read from files ({known}), and --data is {self.data}"
                )
            # so that --resume finds it from any folder
            object.__setattr__(self, "data_dir", str(Path(self.data_dir).expanduser().absolute()))

    @property
    def recipe(self) -> Recipe:
        """How one network is made and trained."""
        return Recipe(**{f.name: getattr(self, f.name) for f in dataclasses.fields(Recipe)})

    def lines(self) -> list[tuple[str, str]]:
        """The settings in words, for the terminal and the report."""
        where = f" from {self.data_dir}" if self.data_dir else ""
        epochs = "1 epoch" if self.epochs == 1 else f"{self.epochs} epochs"
        return [
            ("network", f"{self.model}, {self.depth} layers of width {self.width}, {self.activation}"),
            ("data", self.data + where),
            ("training", f"{self.optimizer}, lr {self.lr:g}, batches of {self.batch_size}, {epochs}"),
            ("norms", ", ".join(self.norms)),
            ("seeds", ", ".join(map(str, self.seeds))),
            ("target", f"{100 * self.target:g} % on the test set"),
            ("threads", str(self.threads)),
            ("weights", self.start),
            *([("activation", note)] if (note := self.other_activations) else []),
        ]

    @property
    def start(self) -> str:
        """How the weights are drawn, and for whom otherwise."""
        drawn = "Glorot" if self.activation in models.SATURATING else "He"
        others = [norm for norm in self.norms if models.NORMS[norm].own_start]
        same = "the same for every norm"
        return f"{drawn}, {same}" + (f" but {', '.join(others)}, whose start is part of the method" if others else "")

    @property
    def other_activations(self) -> str:
        """Which norms do not stand before the network's activation: a gain of theirs is not the norm's alone."""
        others = [norm for norm in self.norms if models.NORMS[norm].activation is not None]
        return (
            f"{', '.join(others)}: instead of {self.activation}, the one that belongs to the method" if others else ""
        )


@dataclass
class Comparison:
    """A comparison on its way: the settings, the folder, the records of the runs that ended."""

    settings: Settings
    folder: Path
    runs: list[dict[str, Any]]

    @classmethod
    def start(cls, settings: Settings, folder: Path | None) -> "Comparison":
        """A new one, in a folder that holds none yet."""
        if folder is None:
            stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
            name = f"{stamp}-{settings.model}-{settings.data}"
            folder = Path("runs") / name
            for number in range(2, 100):  # of several that start in the same second
                if not folder.exists():
                    break
                folder = Path("runs") / f"{name}-{number}"
        if (folder / "results.json").exists():
            raise FileExistsError(
                f"{folder} holds a comparison already: continue it with --resume {folder}, or name another folder "
                "with --out"
            )
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise NotADirectoryError(f"--out: {folder} is a file, or lies in one; name a folder") from None
        comparison = cls(settings, folder, [])
        comparison.save()
        return comparison

    @classmethod
    def resume(cls, folder: Path) -> "Comparison":
        """The one in `folder`, as it was left."""
        file = folder / "results.json"
        if not file.exists():
            raise FileNotFoundError(f"--resume: there is no comparison in {folder} (it would have a results.json)")
        try:
            saved = json.loads(file.read_text(encoding="utf-8"))
            fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in saved["settings"].items()}
            comparison = cls(Settings(**fields), folder, saved["runs"])
            comparison.rows()
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise ValueError(
                f"--resume: {file} is damaged, or another version wrote it ({type(error).__name__}: {error}). "
                "Start anew, with another --out"
            ) from error
        return comparison

    @property
    def plan(self) -> list[tuple[str, int]]:
        """All runs in order: seed by seed, so that a sweep that is stopped has something of every norm."""
        return [(norm, seed) for seed in self.settings.seeds for norm in self.settings.norms]

    @property
    def remaining(self) -> list[tuple[str, int]]:
        ended = {(run["norm"], run["seed"]) for run in self.runs}
        return [pair for pair in self.plan if pair not in ended]

    def rows(self) -> list[dict[str, Any]]:
        return summary.summarize(self.runs, list(self.settings.norms), self.settings.target)

    @property
    def environment(self) -> dict[str, Any]:
        """What the timings depend on."""
        return {
            "minigrad": minigrad.__version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "numba": numba.__version__,
            "system": f"{platform.system()} {platform.machine()}",
            "cpus": os.cpu_count(),
            "threads": min(self.settings.threads, most_threads()),
        }

    def save(self) -> None:
        """Write `results.json`."""
        content = {
            "settings": dataclasses.asdict(self.settings),
            "environment": self.environment,
            "summary": self.rows(),
            "runs": self.runs,
        }
        write(self.folder / "results.json", (json.dumps(content, indent=1, allow_nan=False) + "\n").encode())

    def run(self, samples: Splits, display: Display) -> None:
        """Do what remains. A KeyboardInterrupt leaves the folder ready to be continued."""
        checkpoint = self.folder / "checkpoint.npz"
        with num_threads(self.settings.threads), display:
            for record in self.runs:
                display.finish(record)
            for norm, seed in self.remaining:
                record = train(self.settings.recipe, norm, seed, samples, checkpoint, display.step)
                self.runs.append(record)
                self.save()
                display.finish(record)
        checkpoint.unlink(missing_ok=True)


def load_samples(settings: Settings) -> Splits:
    """The data, standardized by the training set's mean and deviation: one of each per channel or feature."""
    samples = data.load(settings.data, data_dir=settings.data_dir)
    x = samples.train.tensors[0].numpy()
    if settings.model == "cnn" and x.ndim != 4:
        raise ValueError(f"--model cnn needs images, and {settings.data} are points: take --model mlp")
    if not len(samples.test):
        raise ValueError(f"the test set of {settings.data} is empty, so nothing can be compared")
    if settings.batch_size > len(x):
        raise ValueError(f"--batch-size {settings.batch_size} is more than the {len(x)} samples of {settings.data}")
    scale = StandardScaler(axis=(0, *range(2, x.ndim)) if x.ndim > 2 else 0).fit(x)
    train_set, test_set = (
        TensorDataset(minigrad.tensor(scale(part.tensors[0].numpy())), part.tensors[1]) for part in samples
    )
    return dataclasses.replace(samples, train=train_set, test=test_set)


def compare(settings: Settings | None = None, out: Path | None = None, resume: Path | None = None) -> int:
    """The command: run, show, save.

    Args:
        settings: what to compare; None only together with `resume`.
        out: the run folder; by default a new one in `runs`, named by the time.
        resume: a run folder to continue instead.

    Returns:
        The exit code: 0, or 130 after Ctrl-C.
    """
    have_temporary(resume or out or Path())
    require("matplotlib", extra="lab", what="minigrad compare")
    console = require("rich.console", extra="lab", what="minigrad compare").Console(highlight=False)
    samples = None
    if resume is None:
        settings = settings or Settings()
        samples = load_samples(settings)  # before the folder is made: data that are not there leave no trace
        comparison = Comparison.start(settings, out)
    else:
        comparison = Comparison.resume(resume)
        settings = comparison.settings
        samples = load_samples(settings)

    def line(text: str = "", style: str | None = None) -> None:
        console.print(text, style=style, markup=False, soft_wrap=True)

    for name, value in settings.lines():
        line(f"{name:<10} {value}")
    line()
    steps = settings.epochs * (len(samples.train) // settings.batch_size)
    display = Bars(comparison.plan, steps, console) if console.is_terminal else Lines(comparison.plan, line)

    def show() -> None:
        rows = comparison.rows()
        line()
        if console.is_terminal:
            console.print(report.rich_table(settings, rows))
        else:
            for text in report.plain_table(settings, rows):
                line(text)
        for sentence in summary.verdict(comparison.runs, rows):
            line(sentence)
        report.write_report(comparison, write)

    interrupted = False
    try:
        comparison.run(samples, display)
    except KeyboardInterrupt:
        interrupted = True
    try:
        if comparison.runs:
            show()
    except KeyboardInterrupt:  # all runs are kept; the report is written by --resume
        interrupted = True
    line()
    if interrupted:
        done, total = len(comparison.runs), len(comparison.plan)
        line(f"Stopped: {done} of {total} runs are done and kept. Go on with")
        line(f"    minigrad compare --resume {comparison.folder}")
        line(f"Run folder: {comparison.folder}")
        return 130
    line(f"Report: {comparison.folder / 'report.html'}")
    line(f"Run folder: {comparison.folder}")
    return 0
