"""Datasets: things with a length, from which samples are taken by number."""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from minigrad.autograd import Tensor
from minigrad.autograd.tensor import raw
from minigrad.ops import random
from minigrad.ops.creation import as_tensor


class Dataset:
    """Samples by number. A subclass defines `__len__` and `__getitem__`.

    A `DataLoader` asks for whole batches, with `batch`. A subclass that can give many samples at once faster than
    one by one overrides it.

    Example:
        >>> import minigrad as mg
        >>> class Squares(mg.data.Dataset):
        ...     def __len__(self):
        ...         return 10
        ...     def __getitem__(self, i):
        ...         return float(i), i * i
        >>> x, y = Squares().batch([1, 2, 3])
        >>> x.tolist(), y.tolist()
        ([1.0, 2.0, 3.0], [1, 4, 9])
    """

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} defines no __len__")

    def __getitem__(self, index: int) -> Any:
        raise NotImplementedError(f"{type(self).__name__} defines no __getitem__")

    def batch(self, indices: Any) -> Any:
        """The samples with these numbers, stacked: a tensor, or a tuple or dictionary of tensors."""
        return collate([self[int(i)] for i in indices])


class TensorDataset(Dataset):
    """Samples along the first axis of tensors: sample i is `(tensors[0][i], tensors[1][i], ...)`.

    Args:
        tensors: tensors or arrays whose first axes have the same length. Their memory is shared, not copied. (Lists
            of Python floats become float32.)

    Example:
        >>> import minigrad as mg
        >>> data = mg.data.TensorDataset(mg.zeros(100, 3), mg.arange(100))
        >>> len(data), data[7][1].item()
        (100, 7)
    """

    def __init__(self, *tensors: Any):
        if not tensors:
            raise ValueError("TensorDataset: needs at least one tensor")
        self.tensors = tuple([as_tensor(t) for t in tensors])
        shapes = [t.shape for t in self.tensors]
        if any(len(shape) == 0 for shape in shapes) or len({shape[0] for shape in shapes}) != 1:
            raise ValueError(
                f"TensorDataset: the tensors have shapes {', '.join(map(str, shapes))}; their first axes count the "
                "samples, and must have the same length"
            )

    def __len__(self) -> int:
        return self.tensors[0].shape[0]

    def __getitem__(self, index: Any) -> tuple[Tensor, ...]:
        return tuple([Tensor(np.array(t.array[index])) for t in self.tensors])

    def batch(self, indices: Any) -> tuple[Tensor, ...]:
        return tuple([Tensor(np.take(t.array, indices, axis=0)) for t in self.tensors])


class Subset(Dataset):
    """The samples of `dataset` with the numbers in `indices`, in that order."""

    def __init__(self, dataset: Any, indices: Any):
        self.dataset = dataset
        self.indices = np.asarray(raw(indices))
        if self.indices.ndim != 1 or (self.indices.size and self.indices.dtype.kind not in "iu"):
            raise TypeError(
                f"Subset: indices must be a list of integers, got {self.indices.dtype}{list(self.indices.shape)}"
            )
        self.indices = self.indices.astype(np.int64)
        n = len(dataset)
        if self.indices.size and not -n <= self.indices.min() <= self.indices.max() < n:
            raise IndexError(
                f"Subset: indices go from {self.indices.min()} to {self.indices.max()}; the dataset has {n} samples"
            )

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Any:
        return self.dataset[int(self.indices[index])]

    def batch(self, indices: Any) -> Any:
        return fetch(self.dataset, self.indices[indices])


class ConcatDataset(Dataset):
    """The samples of several datasets, one dataset after the other."""

    def __init__(self, datasets: Sequence[Any]):
        self.datasets = list(datasets)
        if not self.datasets:
            raise ValueError("ConcatDataset: needs at least one dataset")
        self.ends = list(accumulate(len(d) for d in self.datasets))

    def __len__(self) -> int:
        return self.ends[-1]

    def __getitem__(self, index: int) -> Any:
        n = len(self)
        if not -n <= index < n:
            raise IndexError(f"ConcatDataset: sample {index} of {n}")
        index %= n
        which = bisect_right(self.ends, index)
        return self.datasets[which][index - (self.ends[which - 1] if which else 0)]


def random_split(
    dataset: Any, lengths: Sequence[float], generator: Any = None, *, seed: int | None = None
) -> list[Subset]:
    """Divide a dataset at random into parts that do not overlap.

    Args:
        dataset: anything with a length and samples by number.
        lengths: the number of samples of each part, or fractions that add up to 1. Fractions are rounded down. The
            samples that are left over go to the parts in turn, the first part first.
        generator: an `mg.Generator`, or a NumPy one, to draw from. Default: the framework's random numbers
            (`mg.manual_seed`).
        seed: in place of a generator; the same seed gives the same parts.

    Returns:
        A `Subset` for each part.

    Raises:
        ValueError: the lengths do not add up to the number of samples, or the fractions to 1.

    Example:
        >>> import minigrad as mg
        >>> data = mg.data.TensorDataset(mg.arange(10))
        >>> [len(part) for part in mg.data.random_split(data, [0.75, 0.25], seed=0)]
        [8, 2]
    """
    n, given = len(dataset), list(lengths)
    if any(part < 0 for part in given):
        raise ValueError(f"random_split: lengths must not be negative: {given}")
    counts = [int(part) for part in given]
    if abs(sum(given) - 1) < 1e-9 and all(part <= 1 for part in given) and sum(counts) != n:
        counts = [int(np.floor(n * part)) for part in given]
        for i in range(n - sum(counts)):
            counts[i % len(counts)] += 1
    if sum(counts) != n or (counts != given and abs(sum(given) - 1) >= 1e-9):
        raise ValueError(
            f"random_split: lengths {given} add up to {sum(given)}; they must add up to the number of samples, {n}, "
            "or, as fractions, to 1"
        )
    draw = random.generator(np.random.default_rng(seed) if generator is None and seed is not None else generator)
    order = draw.permutation(n)
    return [Subset(dataset, part) for part in np.split(order, list(accumulate(counts))[:-1])]


def fetch(dataset: Any, indices: Any) -> Any:
    """A batch from any dataset. The dataset need not be a subclass of `Dataset`."""
    batch = getattr(dataset, "batch", None)
    return batch(indices) if batch is not None else collate([dataset[int(i)] for i in indices])


def collate(samples: Sequence[Any]) -> Any:
    """Stack samples into a batch: numbers and arrays into tensors, tuples and dictionaries part by part.

    Python floats become float32. Text and anything else that has no tensor is collected in a list.

    Raises:
        ValueError: the samples do not have the same shape.
    """
    first = samples[0]
    if isinstance(first, Tensor | np.ndarray | np.generic):
        arrays = [raw(sample) for sample in samples]
        shapes = sorted({np.shape(a) for a in arrays})
        if len(shapes) > 1:
            raise ValueError(
                f"collate: samples of shapes {', '.join(map(str, shapes))} cannot be stacked into a batch. Bring them "
                "to one shape in the dataset, or pass a collate_fn to the DataLoader."
            )
        return Tensor(np.stack(arrays))
    if isinstance(first, bool | int | float):
        dtype = np.float32 if any(isinstance(s, float) for s in samples) else None
        return Tensor(np.asarray(samples, dtype=dtype))
    if isinstance(first, tuple | list):
        lengths = {len(sample) if isinstance(sample, tuple | list) else None for sample in samples}
        if len(lengths) > 1:
            raise ValueError("collate: samples have different numbers of parts; pass a collate_fn to the DataLoader")
        return tuple([collate(part) for part in zip(*samples, strict=True)])
    if isinstance(first, dict):
        if any(not isinstance(sample, dict) or sample.keys() != first.keys() for sample in samples):
            raise ValueError("collate: samples have different keys; pass a collate_fn to the DataLoader")
        return {key: collate([sample[key] for sample in samples]) for key in first}
    return list(samples)
