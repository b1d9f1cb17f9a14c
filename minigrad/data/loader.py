"""`DataLoader`: a dataset in batches, in a new order each epoch that can be repeated."""

from collections.abc import Callable, Iterator
from operator import index as as_index
from typing import Any

import numpy as np

from minigrad.autograd import Tensor
from minigrad.checks import brief, is_whole
from minigrad.data.dataset import fetch
from minigrad.data.sampler import batches
from minigrad.data.transforms import Compose, Lambda, Transform
from minigrad.ops import random


class DataLoader:
    """Batches of a dataset; each `for` loop over it is one epoch.

    The order of an epoch depends on two numbers only: the seed, and the number of epochs before it. So epochs differ
    from each other, a run with the same seed repeats them, and `state_dict()` is these two numbers.

    Args:
        dataset: anything with a length and samples by number; a `TensorDataset` is fastest.
        batch_size: samples in a batch.
        shuffle: visit the samples in a new random order each epoch.
        sampler: an iterable of sample numbers, in place of `shuffle`: a list, or one of `minigrad.data.sampler`. Each
            epoch iterates over it again. It is asked for one batch at a time, so it may be endless.
        batch_sampler: an iterable of lists of sample numbers, one for each batch, in place of `batch_size`, `shuffle`,
            `sampler` and `drop_last`.
        num_workers, pin_memory, timeout, worker_init_fn, multiprocessing_context, prefetch_factor, persistent_workers,
            pin_memory_device, in_order: accepted and without effect: batches are loaded in this process.
        collate_fn: makes a batch of a list of samples (default: `collate`, which stacks them).
        drop_last: leave out the last batch if it is smaller than the others. A batch of one sample is an error in a
            BatchNorm layer in training: this avoids it.
        transform: applied to the inputs of each batch, that is to its first tensor: a function of an array, a
            transform (see `minigrad.data.transforms`), or a list of them.
        seed: of the order, and of random transforms. Default: a number drawn from the framework's random numbers
            when the loader is made, so that `mg.manual_seed` decides it.
        generator: an `mg.Generator`, or a NumPy one, from which to draw the seed.

    Attributes:
        epoch: the number of epochs that have begun.

    Raises:
        ValueError: `batch_size` is below 1, `seed` below 0, both `shuffle` and `sampler` are given, or no batch would
            be left.
        TypeError: `dataset` has no length.

    Differences from PyTorch: batches are loaded in this process (no workers); a batch of pairs is a tuple;
    `transform` works on whole batches.

    Example:
        >>> import minigrad as mg
        >>> data = mg.data.TensorDataset(mg.arange(10))
        >>> loader = mg.data.DataLoader(data, batch_size=4, shuffle=True, seed=0)
        >>> [len(x) for (x,) in loader]
        [4, 4, 2]
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int = 1,
        shuffle: bool = False,
        sampler: Any = None,
        batch_sampler: Any = None,
        num_workers: int = 0,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Any = None,
        multiprocessing_context: Any = None,
        generator: Any = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
        transform: Any = None,
        seed: int | None = None,
    ):
        if num_workers < 0:
            raise ValueError(f"DataLoader: num_workers must not be negative, got {num_workers}")
        if batch_sampler is not None and (batch_size != 1 or shuffle or sampler is not None or drop_last):
            raise ValueError(
                "DataLoader: batch_sampler decides on the batches, so batch_size, shuffle, sampler and drop_last must "
                "be left out"
            )
        if not isinstance(batch_size, int | np.integer) or isinstance(batch_size, bool) or batch_size < 1:
            raise ValueError(f"DataLoader: batch_size must be an integer of at least 1, got {batch_size!r}")
        if not hasattr(dataset, "__len__") or not hasattr(dataset, "__getitem__"):
            raise TypeError(
                f"DataLoader: dataset needs a length and samples by number, and a {type(dataset).__name__} does not "
                "have both; make a list of it, or a Dataset"
            )
        if seed is not None and (not isinstance(seed, int | np.integer) or seed < 0):
            raise ValueError(f"DataLoader: seed must be an integer of at least 0, got {seed!r}")
        if sampler is not None and shuffle:
            raise ValueError("DataLoader: the sampler decides the order, so shuffle must be False")
        self.dataset, self.batch_size, self.drop_last = dataset, int(batch_size), drop_last
        self.shuffle, self.sampler, self.batch_sampler, self.collate_fn = shuffle, sampler, batch_sampler, collate_fn
        self.num_workers, self.pin_memory = num_workers, pin_memory
        self.transform = _as_transform(transform)
        self.epoch = 0
        if seed is None and (shuffle or transform is not None):
            seed = int(random.generator(generator).integers(2**63))
        self.seed = seed
        if drop_last and (sampler is None or hasattr(sampler, "__len__")) and len(self) == 0:
            raise ValueError(
                f"DataLoader: drop_last=True with batch_size={batch_size} leaves no batch of {self._count()} samples"
            )

    def _count(self) -> int:
        sampler = self.sampler if self.batch_sampler is None else self.batch_sampler
        if sampler is None:
            return len(self.dataset)
        if not hasattr(sampler, "__len__"):
            raise TypeError(f"len() of a DataLoader whose sampler, a {type(sampler).__name__}, has no length")
        return len(sampler)

    def __len__(self) -> int:
        """The number of batches in an epoch."""
        n = self._count()
        if self.batch_sampler is not None:
            return n
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)

    def __iter__(self) -> Iterator[Any]:
        # Not a generator itself: an epoch counts from the moment its loop starts, not from its first batch.
        rng = np.random.default_rng(None if self.seed is None else [self.seed, self.epoch])
        self.epoch += 1
        if self.batch_sampler is not None:
            return self._batches(map(_whole_numbers, self.batch_sampler), rng)
        if self.sampler is not None:
            lists = batches(iter(self.sampler), self.batch_size, self.drop_last)
            return self._batches(map(_whole_numbers, lists), rng)
        n, size = len(self.dataset), self.batch_size
        order = rng.permutation(n) if self.shuffle else np.arange(n)
        stop = n - n % size if self.drop_last else n
        return self._batches((order[start : start + size] for start in range(0, stop, size)), rng)

    def _batches(self, numbers: Iterator[Any], rng: np.random.Generator) -> Iterator[Any]:
        empty = True
        for indices in numbers:
            empty = False
            if self.collate_fn is not None:
                batch = self.collate_fn([self.dataset[int(i)] for i in indices])
            else:
                batch = fetch(self.dataset, indices)
            if self.transform is not None:
                batch = _transformed(batch, self.transform, rng)
            yield batch
        sampler = self.sampler if self.batch_sampler is None else self.batch_sampler
        if empty and isinstance(sampler, Iterator):
            raise RuntimeError(
                f"DataLoader: the sampler, a {type(sampler).__name__}, is used up. For several epochs it must be "
                "something like a list"
            )

    def state_dict(self) -> dict[str, Any]:
        """The seed and the number of epochs begun. Saved between two epochs, it continues with the next one."""
        return {"seed": self.seed, "epoch": self.epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue as the loader that gave `state_dict()` would.

        Raises:
            TypeError: it is not the state of a loader.
            ValueError: `seed` or `epoch` is not a whole number of at least 0. (A loader that draws nothing at random
                has the seed None.) The loader stays as it was.
        """
        where = "DataLoader.load_state_dict"
        if not isinstance(state_dict, dict) or state_dict.keys() != {"seed", "epoch"}:
            raise TypeError(f'{where}: expected a dictionary with "seed" and "epoch", got {brief(state_dict)}')
        for name, value in state_dict.items():
            whole = is_whole(value) and value >= 0
            if not whole and not (name == "seed" and value is None and self.seed is None):
                raise ValueError(f"{where}: {name} must be a whole number of at least 0, got {brief(value)}")
        self.seed, self.epoch = state_dict["seed"], state_dict["epoch"]


def _as_transform(transform: Any) -> Transform | None:
    if transform is None or isinstance(transform, Transform):
        return transform
    if isinstance(transform, list | tuple):
        return Compose(transform)
    if callable(transform):
        return Lambda(transform)
    raise TypeError(f"DataLoader: transform must be a function or a list of them, not a {type(transform).__name__}")


def _whole_numbers(batch: Any) -> Any:
    return np.array([as_index(i) for i in batch], np.int64)


def _transformed(batch: Any, transform: Transform, rng: np.random.Generator) -> Any:
    if isinstance(batch, Tensor):
        return _applied(transform, batch, rng)
    if isinstance(batch, tuple | list) and batch and isinstance(batch[0], Tensor):
        return (_applied(transform, batch[0], rng), *batch[1:])
    raise TypeError(
        "DataLoader: transform changes the first tensor of a batch, and this batch is "
        f"{'empty' if isinstance(batch, tuple | list) and not batch else 'a ' + type(batch).__name__}; transform the "
        "samples in the dataset or in collate_fn instead"
    )


def _applied(transform: Transform, x: Tensor, rng: np.random.Generator) -> Tensor:
    y = transform(x.array, rng)
    if np.ndim(y) == 0 or len(y) != len(x):
        raise ValueError(
            f"DataLoader: transform made shape {np.shape(y)} of a batch of shape {x.shape}; it must return the "
            "number of samples that it is given"
        )
    return Tensor(y)
