"""Mean and variance of data in several parts: batches of an epoch, or shares of a batch in several processes."""

from typing import Any

import numpy as np


class Moments:
    """Count, mean and summed squared deviation of each channel, over all parts that were added.

    Two parts with counts n and m, means μ and ν and squared deviations S and T make one with

        count n + m,   mean μ + δ·m/(n + m),   squared deviation S + T + δ²·n·m/(n + m),   δ = ν − μ

    which is exact, whatever the sizes of the parts, and never takes the difference of two large numbers, as
    E[x²] − μ² would. Everything is float64.

    Source: Chan, Golub & LeVeque, "Algorithms for computing the sample variance", The American Statistician 37 (1983).

    Example:
        >>> whole = Moments(1)
        >>> whole.add(np.array([[1.0], [2.0]]), axes=(0,))
        >>> whole.add(np.array([[6.0]]), axes=(0,))
        >>> whole.count, whole.mean, whole.variance(correction=1)
        (3, array([3.]), array([7.]))
    """

    def __init__(self, channels: int):
        self.count = 0
        self.mean = np.zeros(channels)
        self.squares = np.zeros(channels)

    def add(self, x: Any, axes: tuple[int, ...]) -> None:
        """Add an array; `axes` are all but the channels'."""
        n = x.size // max(self.mean.size, 1)
        if n == 0:
            return
        with np.errstate(all="ignore"):  # ∞ − ∞ shows in the result
            mean = x.mean(axes, dtype=np.float64, keepdims=True)
            deviation = x - mean
            # Correct for the rounding of the mean.
            rest = deviation.mean(axes)
            squares = (deviation * deviation).sum(axes) - n * rest * rest
            self.merge(n, mean.reshape(-1) + rest, squares)

    def merge(self, count: int, mean: Any, squares: Any) -> None:
        """Add a part whose count, mean and squared deviation are known."""
        if count == 0:
            return
        total = self.count + count
        shift = mean - self.mean
        # (The first part is taken as it is: 0 + (μ − 0) would be μ as well, but for an infinite one.)
        self.squares = squares + (self.squares + shift * shift * (self.count * count / total) if self.count else 0.0)
        self.mean = self.mean + shift * (count / total) if self.count else np.array(mean, np.float64)
        self.count = total

    def variance(self, correction: int = 0) -> Any:
        """The squared deviation divided by count − correction: 0 for the biased variance, 1 for the unbiased one."""
        return self.squares / (self.count - correction)
