"""Histograms that can be added up exactly, whatever the numbers: bins whose widths are powers of two."""

from dataclasses import dataclass
from typing import Any

import numpy as np

BINS = 512
"""The largest number of bins of a histogram; it has at least half of them unless all numbers are equal."""


@dataclass
class Histogram:
    """Counts of numbers in bins of equal width, the i-th from (first + i) · 2^power to the next.

    Bins begin at whole multiples of a power of two, so two bins of one width fit exactly in one of twice the width.
    Therefore histograms of different numbers can be added without an error: of what comes in several calls, or of
    several steps of training.

    Attributes:
        power: the width of a bin is 2^power.
        first: the number of the first bin.
        counts: how many numbers lie in each bin, the lower end included.

    Example:
        >>> h = Histogram.of(np.array([0.0, 1.0, 1.0, 4.0])) + Histogram.of(np.array([100.0]))
        >>> int(h.counts.sum()), int(h.counts[h.bin(1.0)])
        (5, 2)
    """

    power: int
    first: int
    counts: Any

    @classmethod
    def of(cls, values: Any) -> "Histogram":
        """The histogram of an array of finite numbers, at least one."""
        values = values.reshape(-1)
        low, high = float(values.min()), float(values.max())
        # The finest power of two of which not more than BINS − 1 widths lie between the ends. Numbers that differ by
        # less than float64 can tell from their size would need bins whose numbers are no longer exact.
        half = max(high / 2 - low / 2, 2.0**-1000, (abs(low) / 2 + abs(high) / 2) * 2.0**-40)
        power = int(np.ceil(np.log2(half / (BINS - 1)))) + 1
        places = np.floor(np.ldexp(values.astype(np.float64, copy=False), -power))
        first = int(np.floor(np.ldexp(low, -power)))
        return cls(power, first, np.bincount((places - first).astype(np.int64)))

    def coarser(self, power: int) -> "Histogram":
        """The same numbers in bins of width 2^power, which is at least that of now."""
        steps = power - self.power
        if steps == 0:
            return self
        # A shift rounds down, also of negative numbers. The numbers of bins are below 2^62.
        places = np.arange(self.first, self.first + len(self.counts), dtype=np.int64) >> min(steps, 62)
        first = int(places[0])
        return Histogram(power, first, np.bincount(places - first, self.counts).astype(np.int64))

    def __add__(self, other: "Histogram") -> "Histogram":
        power = max(self.power, other.power)
        while True:
            a, b = self.coarser(power), other.coarser(power)
            first = min(a.first, b.first)
            length = max(a.first + len(a.counts), b.first + len(b.counts)) - first
            if length <= BINS:
                break
            power += 1
        counts = np.zeros(length, np.int64)
        for part in (a, b):
            counts[part.first - first : part.first - first + len(part.counts)] += part.counts
        return Histogram(power, first, counts)

    def bin(self, value: float) -> int:
        """The number of the bin in which a value lies (or would lie)."""
        return int(np.floor(np.ldexp(value, -self.power))) - self.first

    @property
    def edges(self) -> Any:
        """The ends of the bins, one more than there are bins."""
        return np.ldexp(np.arange(self.first, self.first + len(self.counts) + 1, dtype=np.float64), self.power)

    def quantiles(self, shares: Any) -> Any:
        """The values below which the given shares of the numbers lie, as if each bin were evenly filled."""
        below = np.concatenate([[0.0], np.cumsum(self.counts)]) / self.counts.sum()
        return np.interp(shares, below, self.edges)

    def density(self, edges: Any) -> Any:
        """The share of the numbers between each two of these ends, as if each bin were evenly filled."""
        below = np.concatenate([[0.0], np.cumsum(self.counts)]) / self.counts.sum()
        return np.diff(np.interp(edges, self.edges, below))
