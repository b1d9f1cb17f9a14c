"""From the records of the runs to what can be said about them: one row per norm, and a verdict.

The runs of one seed share their initial weights and their batches, so norms are compared seed by seed: the
interval for "how much better than none" is that of the mean of paired differences, by Student's t. It says how much
the choice of seeds matters, and by chance it can have width zero. It ignores that the test set is a sample as well. So
a difference is called clear only if both hold:

- It is unlikely as a matter of seeds: paired t-test, with Holm's correction for the number of norms that are compared
  (of 40 norms that make no difference at all, a plain test would call two clear).
- It is larger than `sampling_error`, which the choice of test samples may explain.

A network that always answers the most frequent class has the accuracy `chance`. What is not clearly better than that
has learned nothing, and does not win.
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


def tail(t: float, freedom: int) -> float:
    """The probability that |T| ≥ |t|, for Student's T with whole degrees of freedom: the two-sided p-value.

    With θ = arctan(t/√ν), P(|T| < t) is a finite sum of powers of cos θ. Source: Abramowitz and Stegun, "Handbook of
    Mathematical Functions", 26.7.3 and 26.7.4.

    Example:
        >>> round(tail(12.706, 1), 4), round(tail(2.228, 10), 4)
        (0.05, 0.05)
    """
    angle = math.atan2(abs(t), math.sqrt(freedom))
    cosine = math.cos(angle)
    odd = freedom % 2
    term, total = (cosine if odd else 1.0), 0.0
    for k in range(1 + odd, freedom, 2):
        total += term
        term *= cosine * cosine * k / (k + 1)
    inside = math.sin(angle) * total
    return max(0.0, 1 - (2 / math.pi * (angle + inside) if odd else inside))


def holm(p_values: dict[Any, float], tests: int, level: float = 0.05) -> set[Any]:
    """The hypotheses that are rejected. The probability of any wrong rejection is at most `level`.

    The smallest p is compared with level/n, the next with level/(n − 1), and so on until one is larger, where n is the
    number of tests. Source: Holm, Scandinavian Journal of Statistics 6(2), 1979.

    Args:
        p_values: by name. Tests with p = 1 may be left out.
        tests: the number of all tests.
        level: see above.

    Example:
        >>> sorted(holm({"a": 0.01, "b": 0.03, "c": 0.04}, tests=3))
        ['a']
    """
    rejected: set[Any] = set()
    for name in sorted(p_values, key=lambda name: p_values[name]):
        if p_values[name] > level / (tests - len(rejected)):
            break
        rejected.add(name)
    return rejected


def sampling_error(a: float, b: float, samples: int) -> float:
    """How far two accuracies on `samples` test samples may differ by the choice of these samples (95 %).

    1.96 binomial standard errors of the difference, each accuracy with one more right and one more wrong answer, so
    that 100 % is not taken for certain. The two networks see the same samples, so the true error is smaller than this.
    Source: Agresti and Caffo, The American Statistician 54(4), 2000.
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
    """One row for each norm that has a run: numbers, with None where there is nothing to say.

    An interval is cut where no accuracy (0 to 1) and no difference of two accuracies (−1 to 1) can lie.
    """
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
        mean, interval = mean_and_interval(accuracies) if accuracies else (None, None)
        rows.append(
            {
                "norm": norm,
                "runs": len(mine),
                "finished": len(finished),
                "diverged_at": [run["diverged_at"] for run in mine if run["status"] == "diverged"],
                "why_not": next((run["why"] for run in mine if run["status"] == "does not apply"), None),
                "accuracies": accuracies,
                "accuracy_mean": mean,
                "accuracy_interval": _cut(mean, interval, 0.0, 1.0),
                "accuracy_sd": statistics.stdev(accuracies) if len(accuracies) > 1 else None,
                "epochs_to_target": statistics.fmean(reached) if reached else None,
                "reached_target": len(reached),
                "final_loss": statistics.fmean(r["epochs"][-1]["train_loss"] for r in finished) if finished else None,
                "us_per_step": statistics.median(times) if times else None,
                "gain": gain,
                "gain_interval": gain_interval,
                "gain_range": _cut(gain, gain_interval, -1.0, 1.0),
                "paired_seeds": len(gains),
                "test_samples": finished[0]["test_samples"] if finished else None,
                "chance": next((run["chance"] for run in mine if run.get("chance") is not None), None),
            }
        )
    return rows


def _cut(mean: float | None, half: float | None, low: float, high: float) -> list[float] | None:
    return None if mean is None or half is None else [max(low, mean - half), min(high, mean + half)]


MANY = 8
"""More norms than this are shown in the order of their accuracy, and each with a curve of its own."""


def trained(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of the norms that were trained: the best first, if there are many."""
    found = [row for row in rows if not row["why_not"]]
    if len(found) > MANY:
        found.sort(key=lambda row: -1.0 if row["accuracy_mean"] is None else row["accuracy_mean"], reverse=True)
    return found


def learned(row: dict[str, Any]) -> bool:
    """Is the accuracy clearly better than that of a network that always answers the most frequent class?"""
    if row["accuracy_mean"] is None:
        return False
    if row["chance"] is None:  # of an older version: not known
        return True
    chance, samples = row["chance"], row["test_samples"]
    return row["accuracy_mean"] > chance + 1.96 * math.sqrt(chance * (1 - chance) / samples)


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
        if row["gain_range"] is not None:
            low, high = row["gain_range"]
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
    """The norm with the best mean accuracy, if any network learned."""
    scored = [row for row in rows if learned(row)]
    return max(scored, key=lambda row: row["accuracy_mean"])["norm"] if scored else None


def verdict(runs: list[dict[str, Any]], rows: list[dict[str, Any]]) -> list[str]:
    """Who wins, in sentences, and how sure that is."""
    return result(runs, rows) + inapplicable(rows)


def inapplicable(rows: list[dict[str, Any]]) -> list[str]:
    """A sentence for each reason why norms do not apply."""
    reasons: dict[str, list[str]] = {}
    for row in rows:
        if row["why_not"]:
            reasons.setdefault(row["why_not"], []).append(row["norm"])
    return [
        f"{', '.join(norms)} {'does' if len(norms) == 1 else 'do'} not apply: {why}." for why, norms in reasons.items()
    ]


def result(runs: list[dict[str, Any]], rows: list[dict[str, Any]]) -> list[str]:
    """The verdict without the norms that do not apply."""
    tried = [row for row in rows if not row["why_not"]]
    scored = [row for row in tried if row["accuracy_mean"] is not None]
    if not tried:
        return ["Nothing was trained."]
    if not scored:
        return ["No run finished, so no norm wins."]
    idle = [row["norm"] for row in scored if not learned(row)]
    chance = f"{100 * scored[0]['chance']:.1f} %, the share of the most frequent class" if idle else ""
    best = winner(rows)
    if best is None:
        return [
            f"Nothing was learned: no test accuracy is clearly above chance ({chance}). So no norm wins. Try more "
            "epochs or another learning rate."
        ]
    by_norm = {row["norm"]: row for row in rows}
    top = by_norm[best]
    score = f"{100 * top['accuracy_mean']:.1f} % on the {top['test_samples']} test samples"
    others = [row["norm"] for row in tried if row["norm"] != best]
    # A norm with fewer runs that finished is behind in any case.
    rivals = [norm for norm in others if not _finished_more(runs, best, norm)]
    behind = clearly_better(runs, [(best, norm) for norm in rivals])
    close = [norm for norm in rivals if (best, norm) not in behind]
    seeds = top["runs"]
    if not others:
        sentences = [f"{best} reaches {score}."]
    else:
        sentences = [f"{best} {'is ahead' if close else 'wins'} with {score}."]
    if others and seeds == 1:
        sentences.append("One seed cannot show whether the difference is luck: try three seeds.")
    elif close:
        plural = "s" if len(close) > 1 else ""
        sentences.append(f"Too close to call with {seeds} seeds: the difference{plural} to {_listed(close)}.")
    none = by_norm.get("none")
    if none is not None:
        if none["accuracy_mean"] is None and none["diverged_at"]:
            sentences.append("Without a norm, training diverged.")
        paired = [row["norm"] for row in rows if row["gain"] is not None]
        both = [(norm, "none") for norm in paired] + [("none", norm) for norm in paired]
        clear = clearly_better(runs, both, comparisons=len(paired))
        for word, found in (
            ("better", [norm for norm in paired if (norm, "none") in clear]),
            ("worse", [norm for norm in paired if ("none", norm) in clear]),
        ):
            if found:
                sentences.append(f"Clearly {word} than no norm: {', '.join(found)}.")
    if idle:
        sentences.append(f"Not clearly above chance ({chance}): {', '.join(idle)}.")
    return sentences


def _listed(names: list[str], most: int = 6) -> str:
    """The first names, and how many more there are."""
    if len(names) <= most:
        return ", ".join(names)
    return f"{', '.join(names[: most - 1])} and {len(names) - most + 1} others"


def _scores(runs: list[dict[str, Any]], norm: str) -> dict[int, float]:
    return {run["seed"]: a for run in runs if run["norm"] == norm and (a := accuracy(run)) is not None}


def _finished_more(runs: list[dict[str, Any]], one: str, other: str) -> bool:
    return len(_scores(runs, one)) > len(_scores(runs, other))


def clearly_better(
    runs: list[dict[str, Any]], pairs: list[tuple[str, str]], comparisons: int | None = None
) -> set[tuple[str, str]]:
    """The pairs in which the first norm is clearly better than the second.

    Args:
        runs: the records.
        pairs: two norms each.
        comparisons: the number of tests, if (a, b) and (b, a) are both given: these are one test.
    """
    p_values: dict[tuple[str, str], float] = {}
    for one, other in pairs:
        ours, theirs = _scores(runs, one), _scores(runs, other)
        seeds = sorted(ours.keys() & theirs.keys())
        if len(seeds) < 2:
            continue  # one pair tells nothing
        differences = [ours[seed] - theirs[seed] for seed in seeds]
        mean, spread = statistics.fmean(differences), statistics.stdev(differences)
        samples = next(run["test_samples"] for run in runs if run["norm"] == one and accuracy(run) is not None)
        a, b = (statistics.fmean(scores[seed] for seed in seeds) for scores in (ours, theirs))
        if mean > sampling_error(a, b, samples):  # otherwise p counts as 1
            t = mean * math.sqrt(len(seeds)) / spread if spread > 0 else math.inf
            p_values[one, other] = tail(t, len(seeds) - 1)
    return holm(p_values, len(pairs) if comparisons is None else comparisons)
