"""What the terminal shows during the runs: progress bars, or plain lines where there is no terminal."""

import time
from collections.abc import Callable
from typing import Any, Protocol

from minigrad import interrupt
from minigrad.lab.summary import accuracy


class Display(Protocol):
    """Is called after each step and at the end of each run. Used as a context manager."""

    def __enter__(self) -> "Display": ...
    def __exit__(self, *exception: Any) -> None: ...
    def step(self, record: dict[str, Any], step: int, loss: float) -> None: ...
    def finish(self, record: dict[str, Any]) -> None: ...
    def note(self, text: str) -> None: ...


def printable(text: str) -> str:
    r"""The text without anything that could move the cursor or forge a line: such characters become escapes.

    Names and messages may come from a stranger's file.

    Example:
        >>> print(printable("a\x1b[2J\nb"))
        a\x1b[2J\nb
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def outcome(record: dict[str, Any]) -> str:
    """How a run ended, in a few words."""
    if record["status"] == "does not apply":
        return "does not apply"
    if record["status"] == "diverged":
        return f"diverged at step {record['diverged_at']}"
    score = accuracy(record)
    return "" if score is None else f"test {100 * score:5.1f} %"


def speed(record: dict[str, Any]) -> str:
    times = record.get("timing", {}).get("us_per_step", ())
    return f"{sorted(times)[len(times) // 2]:.0f} µs/step" if times else ""


class Lines:
    """One line at the end of each run; and in a long run, one every half minute."""

    every = 30.0
    """Seconds between two lines of one run."""

    def __init__(self, plan: list[tuple[str, int]], print_line: Callable[[str], None]):
        self.plan, self.print, self.done = plan, print_line, 0
        self.width = max((len(norm) for norm, _ in plan), default=0)
        self.last = time.monotonic()

    def __enter__(self) -> "Lines":
        return self

    def __exit__(self, *exception: Any) -> None:
        pass

    def step(self, record: dict[str, Any], step: int, loss: float) -> None:
        interrupt.check()
        if time.monotonic() - self.last > self.every:
            self.last = time.monotonic()
            where = f"{record['norm']:<{self.width}}  seed {record['seed']}  epoch {len(record['epochs']) + 1}"
            self.print(f"{'...':<{2 * len(str(len(self.plan))) + 3}}  {where}  step {step}  loss {loss:.4f}")

    def note(self, text: str) -> None:
        self.print(text)

    def finish(self, record: dict[str, Any]) -> None:
        self.done += 1
        self.last = time.monotonic()
        loss = f"loss {record['epochs'][-1]['train_loss']:.4f}" if record.get("epochs") else ""
        parts = [
            f"[{self.done:>{len(str(len(self.plan)))}}/{len(self.plan)}]",
            f"{record['norm']:<{self.width}}  seed {record['seed']}  {outcome(record)}",
            loss,
            speed(record),
        ]
        self.print("  ".join(part for part in parts if part))


class Bars:
    """One bar per run: all visible from the beginning, or the latest, where the terminal has fewer lines."""

    def __init__(self, plan: list[tuple[str, int]], steps: int, console: Any):
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        width = max(len(norm) for norm, _ in plan)
        self.lines = max(1, console.height - 2)
        self.progress = Progress(
            TextColumn(f"{{task.fields[norm]:<{width}}} seed {{task.fields[seed]}}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[epoch]:>9}"),
            TextColumn("{task.fields[loss]:>11}"),
            TextColumn("{task.fields[score]}"),
            TextColumn("{task.fields[speed]:>13}"),
            TimeElapsedColumn(),
            console=console,
        )
        blank: dict[str, Any] = {"epoch": "", "loss": "", "score": "", "speed": ""}
        self.tasks = {
            (norm, seed): self.progress.add_task(
                "", total=steps, start=False, visible=i < self.lines, norm=norm, seed=seed, **blank
            )
            for i, (norm, seed) in enumerate(plan)
        }
        self.done = 0

    def __enter__(self) -> "Bars":
        self.progress.__enter__()
        return self

    def __exit__(self, *exception: Any) -> None:
        self.progress.__exit__(*exception)

    def note(self, text: str) -> None:
        self.progress.console.print(printable(text), markup=False, soft_wrap=True)

    def step(self, record: dict[str, Any], step: int, loss: float) -> None:
        interrupt.check()
        task = self.tasks[record["norm"], record["seed"]]
        if not self.progress.tasks[task].started:
            self.progress.start_task(task)
        if step % 8 == 0:  # the bar is drawn ten times a second: more news than that costs time and shows nothing
            done = record["epochs"]
            score = f"test {100 * done[-1]['test_accuracy']:5.1f} %" if done else ""
            self.progress.update(
                task, completed=step, epoch=f"epoch {len(done) + 1}", loss=f"loss {loss:.3f}", score=score
            )

    def finish(self, record: dict[str, Any]) -> None:
        task = self.tasks[record["norm"], record["seed"]]
        if not self.progress.tasks[task].started:
            self.progress.start_task(task)
        diverged = record["status"] == "diverged"
        style = {"finished": "green", "diverged": "red"}.get(record["status"], "yellow")
        self.progress.update(
            task,
            completed=self.progress.tasks[task].completed if diverged else self.progress.tasks[task].total,
            epoch="",
            loss=f"loss {record['epochs'][-1]['train_loss']:.3f}" if record.get("epochs") else "",
            score=f"[{style}]{outcome(record)}[/{style}]",
            speed=speed(record),
        )
        self.progress.stop_task(task)
        self.done += 1
        if self.lines <= self.done < len(self.tasks):  # the next one comes into sight, the oldest goes
            order = list(self.tasks.values())
            self.progress.update(order[self.done - self.lines], visible=False)
            self.progress.update(order[self.done], visible=True)
