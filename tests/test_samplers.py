"""Samplers, and a DataLoader that is called as PyTorch's programs call it."""

from collections import Counter

import numpy as np
import pytest

import minigrad as mg
from minigrad.data import (
    BatchSampler,
    DataLoader,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)


def seeded(seed=0):
    return mg.Generator().manual_seed(seed)


def test_orders():
    assert list(SequentialSampler("abc")) == [0, 1, 2]
    sampler = RandomSampler(range(50), generator=seeded())
    first, second = list(sampler), list(sampler)
    assert sorted(first) == sorted(second) == list(range(50)) and first != second and len(sampler) == 50
    assert list(RandomSampler(range(50), generator=seeded())) == first
    longer = list(RandomSampler(range(5), num_samples=12))
    assert len(longer) == 12 and sorted(longer[:5]) == sorted(longer[5:10]) == list(range(5))
    assert sorted(SubsetRandomSampler([3, 5, 9], generator=seeded())) == [3, 5, 9]
    mg.manual_seed(3)
    framework = list(RandomSampler(range(50)))
    mg.manual_seed(3)
    assert list(RandomSampler(range(50))) == framework


def test_with_replacement_every_sample_is_as_likely_and_may_come_twice():
    sampler = RandomSampler(range(4), replacement=True, num_samples=20_000, generator=seeded())
    counts = Counter(sampler)
    assert len(sampler) == 20_000 == sum(counts.values())
    assert all(abs(counts[i] - 5000) < 6 * np.sqrt(20_000 * 0.25 * 0.75) for i in range(4))


def test_weights_are_proportional_to_frequencies():
    sampler = WeightedRandomSampler([1, 0, 3, 4], 16_000, generator=seeded())
    counts = Counter(sampler)
    assert counts[1] == 0 and len(sampler) == 16_000
    for i, expected in ((0, 2000), (2, 6000), (3, 8000)):
        assert abs(counts[i] - expected) < 6 * np.sqrt(16_000 * expected / 16_000 * (1 - expected / 16_000))
    chosen = list(WeightedRandomSampler(mg.tensor([0.5, 0.0, 0.1, 0.1]), 3, replacement=False, generator=seeded()))
    assert sorted(chosen) == [0, 2, 3]


def test_batches_of_numbers():
    batches = BatchSampler(SequentialSampler(range(7)), 3, drop_last=False)
    assert list(batches) == [[0, 1, 2], [3, 4, 5], [6]] and len(batches) == 3
    assert list(BatchSampler(range(7), 3, True)) == [[0, 1, 2], [3, 4, 5]]
    assert len(BatchSampler(range(7), 3, True)) == 2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RandomSampler([]), "RandomSampler: num_samples must be a positive integer, got 0"),
        (lambda: RandomSampler([1], num_samples=0), "RandomSampler: num_samples"),
        (lambda: WeightedRandomSampler([1.0], 0), "WeightedRandomSampler: num_samples"),
        (lambda: WeightedRandomSampler([-1.0, 2], 1), "WeightedRandomSampler: weights"),
        (lambda: WeightedRandomSampler([1.0, np.nan], 1), "WeightedRandomSampler: weights"),
        (lambda: WeightedRandomSampler([0.0], 1), "WeightedRandomSampler: weights"),
        (lambda: WeightedRandomSampler([[1.0]], 1), "WeightedRandomSampler: weights"),
        (lambda: WeightedRandomSampler([1.0, 0], 2, False), "2 samples without replacement are more than the 1"),
        (lambda: BatchSampler([1], 0, False), "BatchSampler: batch_size"),
        (lambda: BatchSampler([1], 1, 1), "BatchSampler: drop_last"),
        (lambda: DataLoader([1], num_workers=-1), "DataLoader: num_workers"),
        (lambda: DataLoader([1], batch_sampler=[[0]], batch_size=2), "DataLoader: batch_sampler decides"),
        (lambda: DataLoader([1], batch_sampler=[[0]], shuffle=True), "DataLoader: batch_sampler decides"),
        (lambda: DataLoader([1], shuffle=True, sampler=[0]), "DataLoader: the sampler decides"),
    ],
)
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_sampler_of_ones_own_and_one_without_iter():
    class Backwards(Sampler):
        def __init__(self, n):
            self.n = n

        def __iter__(self):
            return iter(range(self.n - 1, -1, -1))

        def __len__(self):
            return self.n

    loader = DataLoader(list(range(5)), 2, sampler=Backwards(5))
    assert [b.tolist() for b in loader] == [[4, 3], [2, 1], [0]] and len(loader) == 3
    with pytest.raises(NotImplementedError, match="Sampler defines no __iter__"):
        iter(Sampler())


def test_a_loader_asks_an_endless_sampler_for_one_batch_at_a_time():
    data = TensorDataset(mg.arange(10), mg.arange(10) * 10)
    loader = DataLoader(
        data,
        sampler=RandomSampler(data, replacement=True, num_samples=int(1e10)),
        shuffle=False,
        pin_memory=True,
        batch_size=4,
        num_workers=4,
    )
    assert len(loader) == 25 * 10**8
    batches = iter(loader)
    for _ in range(3):
        x, y = next(batches)
        assert x.shape == (4,) and (x * 10).tolist() == y.tolist()


def test_batches_that_a_sampler_makes():
    loader = DataLoader(list(range(6)), batch_sampler=[[0, 5], [2], [1, 1, 1]])
    assert [b.tolist() for b in loader] == [[0, 5], [2], [1, 1, 1]] == [b.tolist() for b in loader]
    assert len(loader) == 3
    with pytest.raises(RuntimeError, match="the sampler, a list_iterator, is used up"):
        used = DataLoader([1, 2], batch_sampler=iter([[0]]))
        list(used), list(used)


def test_arguments_stand_in_pytorchs_order():
    loader = DataLoader([1.0, 2.0, 3.0], 2, False, None, None, 0, lambda samples: sum(samples), False, True, 0, None)
    assert list(loader) == [3.0]


def test_pytorchs_paths():
    import minigrad.utils.data as data
    from minigrad.utils.data import Dataset, random_split
    from minigrad.utils.data.dataloader import DataLoader as Loader
    from minigrad.utils.data.dataset import Subset
    from minigrad.utils.data.sampler import RandomSampler as Random

    assert Loader is DataLoader is mg.utils.data.DataLoader and Random is RandomSampler is mg.utils.data.RandomSampler
    assert Dataset is mg.data.Dataset and random_split is mg.data.random_split and Subset is mg.data.Subset
    assert data.default_collate([1, 2]).tolist() == [1, 2] and data.get_worker_info() is None
