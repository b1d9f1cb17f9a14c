"""From the records of the runs to what can be said about them: one row per norm, and a verdict.

The runs of one seed share their initial weights and their batches, so norms are compared seed by seed: the
interval for "how much better than none" is that of the mean of paired differences, by Student's t. It says how
much seeds matter, and can be of width zero by chance; that the test set is a sample too, it does not know. So a
difference is called clear only if it is larger than this interval and than `sampling_error`.
"""

import math
import statistics
from typing import Any

# Student's t, two-sided 95 %, for 1, 2, ... degrees of freedom.
_T95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131)


def mean_and_interval(values: list[float]) -> tuple[float, float | None]:
    """The mean, and half the width of its 95 % confidence interval (None for a single value)."""
    if len(values) < 2:
        return statistics.fmean(values), None
    t = _T95[min(len(values) - 1, len(_T95)) - 1]
    return statistics.fmean(values), t * statistics.stdev(values) / math.sqrt(len(values))


def sampling_error(a: float, b: float, samples: int) -> float:
    """How far two accuracies on `samples` test samples may differ by the choice of these samples (95 %).

    1.96 binomial standard errors of the difference, each accuracy with one more right and one more wrong answer, so
    that 100 % is not taken for certain. The two networks see the same samples, which makes the error smaller: more
    caution than is needed. Source: Agresti and Caffo, The American Statistician 54(4), 2000.
    """
    variance = 0.0
    for p in ((a * samples + 1) / (samples + 2), (b * samples + 1) / (samples + 2)):
        variance += p * (1 - p) / (samples + 2)
    return 1.96 * math.sqrt(variance)


def accuracy(run: dict[str, Any]) -> float | None:
    """The test accuracy after the last epoch; None for a run that did not finish."""
    return run["epochs"][-1]["test_accuracy"] if run["status"] == "finished" else None


def epochs_to(run: dict[str, Any], target: float) -> int | None:
    """The first epoch after which the test accuracy was at least `target`; None if there was none."""
    for number, epoch in enumerate(run.get("epochs", ()), 1):
        if epoch["test_accuracy"] >= target:
            return number
    return None


def summarize(runs: list[dict[str, Any]], norms: list[str], target: float) -> list[dict[str, Any]]:
    """One row for each norm that has a run: numbers, with None where there is nothing to say."""
    rows = []
    reference = {run["seed"]: accuracy(run) for run in runs if run["norm"] == "none"}
    for norm in norms:
        mine = [run for run in runs if run["norm"] == norm]
        if not mine:
            continue
        finished = [run for run in mine if run["status"] == "finished"]
        accuracies = [a for run in finished if (a := accuracy(run)) is not None]
        reached = [n for run in mine if (n := epochs_to(run, target)) is not None]
        times = [t for run in mine for t in run.get("timing", {}).get("us_per_step", ())]
        gains = [
            a - b
            for run in finished
            if norm != "none" and (a := accuracy(run)) is not None and (b := reference.get(run["seed"])) is not None
        ]
        gain, gain_interval = mean_and_interval(gains) if gains else (None, None)
        rows.append(
            {
                "norm": norm,
                "runs": len(mine),
                "finished": len(finished),
                "diverged_at": [run["diverged_at"] for run in mine if run["status"] == "diverged"],
                "why_not": next((run["why"] for run in mine if run["status"] == "does not apply"), None),
                "accuracy_mean": statistics.fmean(accuracies) if accuracies else None,
                "accuracy_sd": statistics.stdev(accuracies) if len(accuracies) > 1 else None,
                "epochs_to_target": statistics.fmean(reached) if reached else None,
                "reached_target": len(reached),
                "final_loss": statistics.fmean(r["epochs"][-1]["train_loss"] for r in finished) if finished else None,
                "us_per_step": statistics.median(times) if times else None,
                "gain": gain,
                "gain_interval": gain_interval,
                "paired_seeds": len(gains),
                "test_samples": finished[0]["test_samples"] if finished else None,
            }
        )
    return rows


def columns(seeds: int, target: float) -> list[str]:
    """The table's head."""
    over = f"mean ± sd, {seeds} seeds" if seeds > 1 else "1 seed"
    return [
        "norm",
        f"test accuracy % ({over})",
        "gain over none (95 % interval)",
        f"epochs to {100 * target:g} %",
        "final loss",
        "µs per step",
    ]


def cells(row: dict[str, Any]) -> list[str]:
    """One row of the table as text."""
    if row["why_not"]:
        return [row["norm"], "does not apply", *["–"] * 4]
    diverged = ""
    if row["diverged_at"]:
        steps = ", ".join(map(str, sorted(row["diverged_at"])))
        diverged = f"diverged at step {steps}"
    if row["accuracy_mean"] is None:
        shown = diverged or "–"
    else:
        shown = f"{100 * row['accuracy_mean']:.1f}"
        if row["accuracy_sd"] is not None:
            shown += f" ± {100 * row['accuracy_sd']:.1f}"
        if diverged:
            shown += f" ({row['finished']} of {row['runs']}; {diverged})"
    gain = "–"
    if row["gain"] is not None:
        gain = f"{100 * row['gain']:+.1f}"
        if row["gain_interval"] is not None:
            low, high = row["gain"] - row["gain_interval"], row["gain"] + row["gain_interval"]
            gain += f" ({100 * low:+.1f} … {100 * high:+.1f})"
    reached = "never"
    if row["epochs_to_target"] is not None:
        reached = f"{row['epochs_to_target']:.1f}"
        if row["reached_target"] < row["runs"]:
            reached += f" ({row['reached_target']} of {row['runs']} runs)"
    loss = "–" if row["final_loss"] is None else f"{row['final_loss']:.4f}"
    step = "–" if row["us_per_step"] is None else f"{row['us_per_step']:.0f}"
    return [row["norm"], shown, gain, reached, loss, step]


def winner(rows: list[dict[str, Any]]) -> str | None:
    """The norm with the best mean accuracy, if there is one."""
    scored = [row for row in rows if row["accuracy_mean"] is not None]
    return max(scored, key=lambda row: row["accuracy_mean"])["norm"] if scored else None


def verdict(runs: list[dict[str, Any]], rows: list[dict[str, Any]]) -> list[str]:
    """Who wins, in sentences, and how sure that is."""
    best = winner(rows)
    inapplicable = [f"{row['norm']} does not apply: {row['why_not']}." for row in rows if row["why_not"]]
    if best is None:
        return ["No run finished, so nobody wins.", *inapplicable]
    by_norm = {row["norm"]: row for row in rows}
    score = f"{100 * by_norm[best]['accuracy_mean']:.1f} %"
    others = [row["norm"] for row in rows if row["norm"] != best and not row["why_not"]]
    # A norm with fewer runs that finished is behind in any case.
    close = [n for n in others if not _finished_more(runs, best, n) and not _clearly_better(runs, best, n)]
    seeds, samples = by_norm[best]["runs"], by_norm[best]["test_samples"]
    if not others:
        sentences = [f"{best} reaches {score} on the {samples} test samples."]
    else:
        sentences = [f"{best} {'is ahead' if close else 'wins'} with {score} on the {samples} test samples."]
    if others and seeds == 1:
        sentences.append("With one seed, skill cannot be told from luck: try --seeds 3.")
    elif close:
        plural = "s" if len(close) > 1 else ""
        sentences.append(f"Too close to call with {seeds} seeds: the difference{plural} to {', '.join(close)}.")
    none = by_norm.get("none")
    if none is not None:
        if none["accuracy_mean"] is None and none["diverged_at"]:
            sentences.append("Without a norm, training diverged.")
        paired = [row["norm"] for row in rows if row["gain"] is not None]
        helped = [norm for norm in paired if _clearly_better(runs, norm, "none")]
        hurt = [norm for norm in paired if _clearly_better(runs, "none", norm)]
        if helped:
            sentences.append(f"Clearly better than no norm: {', '.join(helped)}.")
        if hurt:
            sentences.append(f"Clearly worse than no norm: {', '.join(hurt)}.")
    return sentences + inapplicable


def _scores(runs: list[dict[str, Any]], norm: str) -> dict[int, float]:
    return {run["seed"]: a for run in runs if run["norm"] == norm and (a := accuracy(run)) is not None}


def _finished_more(runs: list[dict[str, Any]], one: str, other: str) -> bool:
    return len(_scores(runs, one)) > len(_scores(runs, other))


def _clearly_better(runs: list[dict[str, Any]], one: str, other: str) -> bool:
    """Is the mean difference, seed by seed, larger than what the choice of seeds or of test samples may explain?"""
    ours, theirs = _scores(runs, one), _scores(runs, other)
    seeds = sorted(ours.keys() & theirs.keys())
    if len(seeds) < 2:
        return False  # one pair tells nothing
    mean, interval = mean_and_interval([ours[seed] - theirs[seed] for seed in seeds])
    samples = next(run["test_samples"] for run in runs if run["norm"] == one)
    a, b = (statistics.fmean(scores[seed] for seed in seeds) for scores in (ours, theirs))
    return mean > max(interval or 0.0, sampling_error(a, b, samples))
