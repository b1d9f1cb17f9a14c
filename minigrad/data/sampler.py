"""Samplers: in which order a `DataLoader` visits the samples. Each `for` loop over one is an epoch."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np

from minigrad.autograd.tensor import raw
from minigrad.ops import random

_CHUNK = 1024  # how many numbers are drawn at once, because `num_samples` may be ten thousand millions


class Sampler:
    """Numbers of samples, in some order. A subclass defines `__iter__`, and `__len__` where it knows its length."""

    def __iter__(self) -> Iterator[Any]:
        raise NotImplementedError(f"{type(self).__name__} defines no __iter__")


class SequentialSampler(Sampler):
    """0, 1, 2, ..., one for each sample of `data_source`."""

    def __init__(self, data_source: Any):
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


class RandomSampler(Sampler):
    """Samples at random, in another order each epoch.

    Args:
        data_source: the dataset, or anything with a length.
        replacement: True: draw each number from all samples, so that a sample may occur twice.
        num_samples: how many numbers are in an epoch; by default as many as there are samples. Without replacement,
            more than that are several orders one after the other.
        generator: an `mg.Generator`, or a NumPy one, to draw from. Default: the framework's random numbers.

    Raises:
        ValueError: `num_samples` is not positive, or there are no samples.

    Example:
        >>> import minigrad as mg
        >>> sampler = mg.data.RandomSampler(range(5), replacement=True, num_samples=10**10)
        >>> len(sampler), next(iter(sampler)) in range(5)
        (10000000000, True)
    """

    def __init__(
        self, data_source: Any, replacement: bool = False, num_samples: int | None = None, generator: Any = None
    ):
        if not isinstance(replacement, bool):
            raise TypeError(f"RandomSampler: replacement must be True or False, got {replacement!r}")
        self.data_source, self.replacement, self.generator = data_source, replacement, generator
        self._num_samples = num_samples
        if not isinstance(self.num_samples, int) or self.num_samples <= 0:
            raise ValueError(f"RandomSampler: num_samples must be a positive integer, got {self.num_samples!r}")

    @property
    def num_samples(self) -> int:
        """How many numbers are in an epoch."""
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def __iter__(self) -> Iterator[int]:
        return islice(self._endless(random.generator(self.generator)), self.num_samples)

    def _endless(self, draw: np.random.Generator) -> Iterator[int]:
        n = len(self.data_source)
        while True:
            yield from (draw.integers(n, size=_CHUNK) if self.replacement else draw.permutation(n)).tolist()

    def __len__(self) -> int:
        return self.num_samples


class SubsetRandomSampler(Sampler):
    """The numbers in `indices`, in another random order each epoch: for a part of a dataset."""

    def __init__(self, indices: Sequence[int], generator: Any = None):
        self.indices, self.generator = indices, generator

    def __iter__(self) -> Iterator[int]:
        for i in random.generator(self.generator).permutation(len(self.indices)):
            yield self.indices[i]

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(Sampler):
    """Sample i with a probability proportional to `weights[i]`: to show rare classes more often.

    Args:
        weights: one for each sample, not negative; they need not add up to 1.
        num_samples: how many numbers are in an epoch.
        replacement: may a sample come twice?
        generator: an `mg.Generator`, or a NumPy one, to draw from. Default: the framework's random numbers.

    Raises:
        ValueError: `num_samples` is not positive, or more than there are samples with a weight; weights that are no
            list of numbers of at least 0.
    """

    def __init__(self, weights: Any, num_samples: int, replacement: bool = True, generator: Any = None):
        self.weights = np.asarray(raw(weights), np.float64)
        if not isinstance(num_samples, int) or isinstance(num_samples, bool) or num_samples <= 0:
            raise ValueError(f"WeightedRandomSampler: num_samples must be a positive integer, got {num_samples!r}")
        if not isinstance(replacement, bool):
            raise ValueError(f"WeightedRandomSampler: replacement must be True or False, got {replacement!r}")
        if self.weights.ndim != 1 or not (self.weights >= 0).all() or not 0 < self.weights.sum() < np.inf:
            raise ValueError(
                "WeightedRandomSampler: weights must be a list of numbers of at least 0, not all of them 0, got "
                f"an array of shape {self.weights.shape}"
            )
        if not replacement and num_samples > (self.weights > 0).sum():
            raise ValueError(
                f"WeightedRandomSampler: {num_samples} samples without replacement are more than the "
                f"{(self.weights > 0).sum()} that have a weight"
            )
        self.num_samples, self.replacement, self.generator = num_samples, replacement, generator

    def __iter__(self) -> Iterator[int]:
        p = self.weights / self.weights.sum()
        draw = random.generator(self.generator)
        return iter(draw.choice(len(p), self.num_samples, replace=self.replacement, p=p).tolist())

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler):
    """The numbers of another sampler, in lists of `batch_size`.

    Args:
        sampler: an iterable of numbers.
        batch_size: how many are in a list.
        drop_last: leave out the last list if it is shorter.

    Example:
        >>> import minigrad as mg
        >>> list(mg.data.BatchSampler(range(5), 2, drop_last=False))
        [[0, 1], [2, 3], [4]]
    """

    def __init__(self, sampler: Any, batch_size: int, drop_last: bool):
        if not isinstance(batch_size, int) or isinstance(batch_size, bool) or batch_size <= 0:
            raise ValueError(f"BatchSampler: batch_size must be a positive integer, got {batch_size!r}")
        if not isinstance(drop_last, bool):
            raise ValueError(f"BatchSampler: drop_last must be True or False, got {drop_last!r}")
        self.sampler, self.batch_size, self.drop_last = sampler, batch_size, drop_last

    def __iter__(self) -> Iterator[list[int]]:
        return batches(iter(self.sampler), self.batch_size, self.drop_last)

    def __len__(self) -> int:
        n = len(self.sampler)
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)


def batches(numbers: Iterator[Any], batch_size: int, drop_last: bool) -> Iterator[list[Any]]:
    """Lists of `batch_size` numbers; the last one may be shorter, or is left out."""
    while batch := list(islice(numbers, batch_size)):
        if len(batch) == batch_size or not drop_last:
            yield batch
