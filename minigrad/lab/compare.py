"""`minigrad compare`: the same network with each normalization, over several seeds, and the results.

The run folder is the whole state of a comparison:

- `results.json` holds the settings and the record of every run that ended; it is rewritten after each,
- `checkpoint.npz` holds the run that is going on, as it was at the end of its last epoch,
- `report.html`, `comparison.png` and `comparison-dark.png` show the results.

Every file is written under a temporary name and renamed, so at any moment the folder can be continued.
"""

import dataclasses
import json
import os
import platform
import shlex
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numba
import numpy as np

import minigrad
from minigrad import data, interrupt
from minigrad.data import Splits, StandardScaler, TensorDataset
from minigrad.extras import require
from minigrad.files import remove_leftovers, write
from minigrad.folders import have_temporary
from minigrad.kernels.threads import most_threads, num_threads
from minigrad.lab import identity, report, summary
from minigrad.lab.display import Bars, Display, Lines, printable
from minigrad.lab.settings import SettingError, Settings
from minigrad.lab.train import CheckpointError, train


@dataclass
class Comparison:
    """A comparison on its way: the settings, the folder, the records of the runs that ended, what data they saw."""

    settings: Settings
    folder: Path
    runs: list[dict[str, Any]]
    fingerprint: str | None = None

    @classmethod
    def start(cls, settings: Settings, folder: Path | None, fingerprint: str | None = None) -> "Comparison":
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
                f"out: {folder} already holds a comparison. Continue it with `minigrad compare --resume {folder}`, or "
                "give another folder"
            )
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise NotADirectoryError(f"out: {folder} is a file, or lies in one; give a folder") from None
        comparison = cls(settings, folder, [], fingerprint)
        comparison.save()
        return comparison

    @classmethod
    def resume(cls, folder: Path) -> "Comparison":
        """The one in `folder`, as it was left.

        Raises:
            FileNotFoundError: there is none.
            RecordError: its `results.json` is damaged.
        """
        from minigrad.lab import records  # needs msgspec, which only those need who read a file

        file = folder / "results.json"
        if not file.exists():
            raise FileNotFoundError(f"resume: there is no comparison in {folder} (it would have a results.json)")
        settings, runs, found = records.results(file)
        return cls(settings, folder, runs, found.data and found.data.fingerprint)

    def check_data(self, samples: Splits) -> None:
        """Raise ValueError if the runs that ended saw other data. From now on, these are the data."""
        now = identity.fingerprint(samples)
        if self.runs and self.fingerprint not in (None, now):
            raise ValueError(
                f"resume: the runs in {self.folder} saw other data than those that are found now as "
                f"{self.settings.data!r}, so they cannot be compared with new runs"
            )
        self.fingerprint = now

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
            "data": {"name": self.settings.data, "fingerprint": self.fingerprint} if self.fingerprint else None,
            "summary": self.rows(),
            "runs": self.runs,
        }
        write(self.folder / "results.json", (json.dumps(content, indent=1, allow_nan=False) + "\n").encode())

    def run(self, samples: Splits, display: Display) -> None:
        """Do what remains. A KeyboardInterrupt leaves the folder ready to be continued."""
        checkpoint = self.folder / "checkpoint.npz"
        remove_leftovers(self.folder)
        with num_threads(self.settings.threads), display:
            for record in self.runs:
                display.finish(record)
            for norm, seed in self.remaining:
                arguments = (self.settings.recipe, norm, seed, samples, checkpoint, display.step)
                try:
                    record = train(*arguments)
                except CheckpointError as error:  # costs no more than the epochs of this one run
                    display.note(f"{error}. It is removed.")
                    checkpoint.unlink()
                    record = train(*arguments)
                self.runs.append(record)
                self.save()
                display.finish(record)
        checkpoint.unlink(missing_ok=True)


def load_samples(settings: Settings) -> Splits:
    """The data, standardized by the training set's mean and deviation: one of each per channel or feature."""
    samples = data.load(settings.data, data_dir=settings.data_dir)
    x = samples.train.tensors[0].numpy()
    if settings.model == "cnn" and x.ndim != 4:
        raise SettingError(f"model='cnn' needs images, and {settings.data} are points: take model='mlp'")
    if not len(samples.test):
        raise SettingError(f"data: the test set of {settings.data} is empty, so nothing can be compared")
    if settings.batch_size > len(x):
        raise SettingError(f"batch_size={settings.batch_size} is more than the {len(x)} samples of {settings.data}")
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
    for module in ("matplotlib", "msgspec", "rich"):
        require(module, extra="lab", what="minigrad compare")
    from rich.console import Console

    console = Console(highlight=False)

    def line(text: str = "", style: str | None = None) -> None:
        console.print(printable(text), style=style, markup=False, soft_wrap=True)

    with interrupt.kept():
        if resume is None:
            settings = settings or Settings()
            samples = load_samples(settings)  # before the folder is made: data that are not there leave no trace
            comparison = Comparison.start(settings, out, identity.fingerprint(samples))
        else:
            comparison = Comparison.resume(resume)
            settings = comparison.settings
            samples = load_samples(settings)
            comparison.check_data(samples)
        for name, value in settings.lines():
            line(f"{name:<10} {value}")
        line()
        steps = settings.epochs * (len(samples.train) // settings.batch_size)
        display = Bars(comparison.plan, steps, console) if console.is_terminal else Lines(comparison.plan, line)
        interrupted = False
        try:
            comparison.run(samples, display)
        except KeyboardInterrupt:
            interrupted = True
        try:
            if comparison.runs:
                show(comparison, console, line)
        except KeyboardInterrupt:  # all runs are kept; the report is written by --resume
            interrupted = True
    line()
    if interrupted:
        done, total = len(comparison.runs), len(comparison.plan)
        line(f"Stopped: {done} of {total} runs are done and kept. Continue with")
        line(f"    minigrad compare --resume {shlex.quote(str(comparison.folder))}")
        line(f"Run folder: {comparison.folder}")
        return 130
    line(f"Report: {comparison.folder / 'report.html'}")
    line(f"Run folder: {comparison.folder}")
    return 0


def show(comparison: Comparison, console: Any, line: Any) -> None:
    """Print the table and the verdict, and write the report."""
    rows = comparison.rows()
    line()
    if console.is_terminal:
        console.print(report.rich_table(comparison.settings, rows))
    else:
        for text in report.plain_table(comparison.settings, rows):
            line(text)
    for sentence in summary.verdict(comparison.runs, rows):
        line(sentence)
    report.write_report(comparison, write)
