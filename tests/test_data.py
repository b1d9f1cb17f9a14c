"""Datasets, loaders and transforms. Files are written here in their real formats; nothing is downloaded."""

import functools
import gzip
import hashlib
import http.server
import io
import re
import struct
import sys
import tarfile
import threading
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.data import ConcatDataset, DataLoader, Dataset, Subset, TensorDataset, collate, files, random_split
from minigrad.extras import require
from minigrad.install import install_command


class Squares(Dataset):
    """Samples made one by one."""

    def __init__(self, n: int = 10):
        self.n = n

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, i: int) -> Any:
        return np.full(3, i, np.float32), i * i


class NoSubclass:
    def __len__(self) -> int:
        return 5

    def __getitem__(self, i: int) -> float:
        return float(i)


def order_of(loader: DataLoader) -> list[int]:
    return [int(v) for batch in loader for v in np.atleast_1d(batch[-1].numpy())]


def numbers(n: int = 20) -> TensorDataset:
    return TensorDataset(np.arange(n, dtype=np.float32) * 10, np.arange(n))


# -- datasets ---------------------------------------------------------------------------------------------


def test_tensor_dataset() -> None:
    x, y = np.arange(12, dtype=np.float64).reshape(4, 3), mg.arange(4)
    data = TensorDataset(x, y)
    assert len(data) == 4
    sample, label = data[2]
    assert sample.tolist() == [6, 7, 8] and label.item() == 2 and sample.dtype == np.float64
    assert data[-1][1].item() == 3
    batch = data.batch([3, 0, 3])
    assert batch[0].tolist() == [x[3].tolist(), x[0].tolist(), x[3].tolist()] and batch[1].tolist() == [3, 0, 3]
    batch[0].zero_()
    data[1][0].zero_()
    assert x[3, 1] == 10 and x[1, 1] == 4  # batches and samples have memory of their own
    with pytest.raises(ValueError, match="first axes"):
        TensorDataset(x, np.arange(3))
    with pytest.raises(ValueError, match="first axes"):
        TensorDataset(np.array(1.0))
    with pytest.raises(ValueError, match="at least one"):
        TensorDataset()


def test_subset_and_concatenation() -> None:
    subset = Subset(numbers(), [5, -1, 5])
    assert [int(subset[i][1].item()) for i in range(3)] == [5, 19, 5]
    assert subset.batch(np.array([1, 0]))[1].tolist() == [19, 5]
    assert Subset(subset, [2]).batch([0])[1].tolist() == [5]
    assert len(Subset(numbers(), [])) == 0
    both = ConcatDataset([numbers(3), Subset(numbers(), []), numbers(2)])
    assert len(both) == 5 and [int(both[i][1].item()) for i in range(5)] == [0, 1, 2, 0, 1]
    assert both[-1][1].item() == 1
    assert both.batch([4, 2])[1].tolist() == [1, 2]
    for bad in (5, -6):
        with pytest.raises(IndexError, match="of 5"):
            both[bad]
    with pytest.raises(IndexError, match="from 0 to 20; the dataset has 20"):
        Subset(numbers(), [0, 20])
    with pytest.raises(TypeError, match="integers"):
        Subset(numbers(), [0.5])
    with pytest.raises(ValueError, match="at least one"):
        ConcatDataset([])


@pytest.mark.parametrize(
    ("lengths", "expected"),
    [([15, 5], [15, 5]), ([0.5, 0.5], [10, 10]), ([0.33, 0.33, 0.34], [7, 7, 6]), ([0, 20], [0, 20]), ([1.0], [20])],
)
def test_random_split(lengths: Any, expected: list[int]) -> None:
    parts = random_split(numbers(), lengths, seed=3)
    assert [len(p) for p in parts] == expected
    together = np.concatenate([p.indices for p in parts])
    assert sorted(together) == list(range(20))
    again = random_split(numbers(), lengths, seed=3)
    assert [p.indices.tolist() for p in again] == [p.indices.tolist() for p in parts]
    other = np.concatenate([p.indices for p in random_split(numbers(), lengths, seed=4)])
    assert other.tolist() != together.tolist()


def test_random_split_follows_the_frameworks_seed_and_generators() -> None:
    splits = []
    for _ in range(2):
        mg.manual_seed(5)
        splits.append(random_split(numbers(), [0.5, 0.5])[0].indices.tolist())
    assert splits[0] == splits[1]
    a, b = (random_split(numbers(), [10, 10], np.random.default_rng(1))[0].indices.tolist() for _ in range(2))
    assert a == b


@pytest.mark.parametrize("lengths", [[10, 5], [0.5, 0.2], [-5, 25], [10.5, 9.5], [30]])
def test_random_split_errors(lengths: Any) -> None:
    with pytest.raises(ValueError, match="random_split: lengths"):
        random_split(numbers(), lengths)


def test_collate() -> None:
    batch = collate([{"x": np.ones(2), "y": (1, 2.5), "name": "a"}, {"x": np.zeros(2), "y": (3, 4), "name": "b"}])
    assert batch["x"].tolist() == [[1, 1], [0, 0]] and batch["x"].dtype == np.float64
    assert batch["y"][0].tolist() == [1, 3] and batch["y"][0].dtype == np.int64
    assert batch["y"][1].tolist() == [2.5, 4] and batch["y"][1].dtype == np.float32
    assert batch["name"] == ["a", "b"]
    assert collate([True, False]).dtype == np.bool_
    assert collate([mg.tensor(1.0), mg.tensor(2.0)]).tolist() == [1, 2]
    assert collate([np.float64(1), np.float64(2)]).dtype == np.float64
    with pytest.raises(ValueError, match=r"shapes \(2,\), \(3,\) cannot be stacked"):
        collate([np.ones(2), np.ones(3)])
    with pytest.raises(ValueError, match="numbers of parts"):
        collate([(1, 2), (1,)])


# -- the loader -------------------------------------------------------------------------------------------


def test_batches_in_order() -> None:
    loader = DataLoader(numbers(10), batch_size=4)
    batches = list(loader)
    assert [y.tolist() for _, y in batches] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert all(isinstance(t, mg.Tensor) for batch in batches for t in batch)
    assert batches[1][0].tolist() == [40, 50, 60, 70] and batches[1][0].dtype == np.float32
    assert len(loader) == 3
    dropping = DataLoader(numbers(10), batch_size=4, drop_last=True)
    assert len(dropping) == len(list(dropping)) == 2
    assert order_of(loader) == order_of(loader)
    assert len(DataLoader(numbers(8), batch_size=4)) == 2
    assert list(DataLoader(TensorDataset(np.zeros((0, 3))), batch_size=4)) == []


def test_epochs_differ_and_runs_repeat() -> None:
    loader, again = (DataLoader(numbers(), batch_size=6, shuffle=True, seed=1) for _ in range(2))
    epochs = [order_of(loader) for _ in range(3)]
    assert all(sorted(e) == list(range(20)) for e in epochs)
    assert len({tuple(e) for e in epochs}) == 3
    assert [order_of(again) for _ in range(3)] == epochs
    other = DataLoader(numbers(), batch_size=6, shuffle=True, seed=2)
    assert order_of(other) != epochs[0]
    # The samples of an epoch do not depend on how they are cut into batches.
    assert order_of(DataLoader(numbers(), batch_size=7, shuffle=True, seed=1)) == epochs[0]


def test_the_frameworks_seed_decides_where_none_is_given() -> None:
    orders = []
    for _ in range(2):
        mg.manual_seed(7)
        loader = DataLoader(numbers(), shuffle=True)
        mg.rand(3)  # random numbers drawn meanwhile change nothing
        orders.append(order_of(loader))
    assert orders[0] == orders[1]
    before = mg.get_rng_state()
    order_of(DataLoader(numbers()))
    assert mg.get_rng_state() == before  # nothing random, nothing drawn
    a, b = (DataLoader(numbers(), shuffle=True, generator=np.random.default_rng(1)) for _ in range(2))
    assert order_of(a) == order_of(b)


def test_continuing_at_an_epoch() -> None:
    loader = DataLoader(numbers(), batch_size=6, shuffle=True, seed=1)
    order_of(loader)
    saved = loader.state_dict()
    rest = [order_of(loader) for _ in range(2)]
    resumed = DataLoader(numbers(), batch_size=6, shuffle=True, seed=99)
    resumed.load_state_dict(saved)
    assert [order_of(resumed) for _ in range(2)] == rest


def test_an_abandoned_epoch_counts_and_two_loops_do_not_mix() -> None:
    loader = DataLoader(numbers(), batch_size=6, shuffle=True, seed=1)
    epochs = [order_of(loader) for _ in range(3)]
    again = DataLoader(numbers(), batch_size=6, shuffle=True, seed=1)
    next(iter(again))
    assert order_of(again) == epochs[1]
    both = DataLoader(numbers(), batch_size=6, shuffle=True, seed=1)
    pairs = list(zip(both, both, strict=True))
    assert [int(v) for (_, y), _ in pairs for v in y] == epochs[0]
    assert [int(v) for _, (_, y) in pairs for v in y] == epochs[1]


def test_sampler_and_collate_fn() -> None:
    loader = DataLoader(numbers(), batch_size=2, sampler=[3, 3, 1])
    assert order_of(loader) == [3, 3, 1] and len(loader) == 2
    loader = DataLoader(numbers(), batch_size=2, sampler=(i for i in [3, 1, 2]))
    with pytest.raises(TypeError, match="has no length"):
        len(loader)
    assert order_of(loader) == [3, 1, 2]
    loader = DataLoader(NoSubclass(), batch_size=3, collate_fn=lambda samples: sum(samples))
    assert list(loader) == [3.0, 7.0]


def test_other_datasets() -> None:
    (x, y), *_ = DataLoader(Squares(), batch_size=4)
    assert x.tolist() == [[i] * 3 for i in range(4)] and y.tolist() == [0, 1, 4, 9]
    assert [b.tolist() for b in DataLoader(NoSubclass(), batch_size=3)] == [[0, 1, 2], [3, 4]]
    (x, _), *_ = DataLoader(Subset(Squares(), [7, 2]), batch_size=2)
    assert x.tolist() == [[7] * 3, [2] * 3]
    with pytest.raises(NotImplementedError, match="__len__"):
        len(Dataset())
    with pytest.raises(NotImplementedError, match="__getitem__"):
        Dataset()[0]


def test_transforms_of_batches() -> None:
    loader = DataLoader(numbers(4), batch_size=4, transform=lambda x: x + 1)
    ((x, y),) = loader
    assert x.tolist() == [1, 11, 21, 31] and y.tolist() == [0, 1, 2, 3]
    ((x, _),) = DataLoader(numbers(4), batch_size=4, transform=[lambda x: x + 1, lambda x: x * 2])
    assert x.tolist() == [2, 22, 42, 62]
    (x,) = DataLoader(NoSubclass(), batch_size=5, transform=mg.data.Normalize(1.0, 2.0))
    assert x.tolist() == [-0.5, 0, 0.5, 1, 1.5]
    with pytest.raises(TypeError, match="first tensor"):
        next(iter(DataLoader(NoSubclass(), collate_fn=str, transform=lambda x: x)))
    with pytest.raises(TypeError, match="transform must be"):
        DataLoader(numbers(), transform=3)


def test_random_transforms_repeat_with_the_seed() -> None:
    images = TensorDataset(np.arange(6 * 9.0).reshape(6, 1, 3, 3))

    def epochs(seed: int) -> list[Any]:
        loader = DataLoader(images, 4, transform=[mg.data.RandomShift(1), mg.data.RandomHorizontalFlip()], seed=seed)
        return [np.concatenate([x.numpy() for (x,) in loader]) for _ in range(3)]

    first, second, other = epochs(1), epochs(1), epochs(2)
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first[0], first[1]) and not np.array_equal(first, other)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size"),
        ({"batch_size": 2.5}, "batch_size"),
        ({"batch_size": True}, "batch_size"),
        ({"shuffle": True, "sampler": [1]}, "shuffle must be False"),
        ({"batch_size": 30, "drop_last": True}, "leaves no batch of 20 samples"),
    ],
)
def test_loader_errors(options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DataLoader(numbers(), **options)


# -- transforms -------------------------------------------------------------------------------------------


def test_normalize() -> None:
    x = np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2)
    before = x.copy()
    y = mg.data.Normalize([1.0, 2.0, 3.0], [2.0, 4.0, 8.0])(x)
    np.testing.assert_allclose(y[:, 1], (x[:, 1] - 2) / 4)
    assert y.dtype == np.float32
    np.testing.assert_array_equal(x, before)
    np.testing.assert_allclose(mg.data.Normalize(1.0, 2.0)(np.array([3, 5])), [1, 2])
    with pytest.raises(ValueError, match="each channel"):
        mg.data.Normalize([1.0, 2.0], [1.0, 1.0])(x)
    with pytest.raises(ValueError, match="must not be 0"):
        mg.data.Normalize(0.0, [1.0, 0.0])


def test_flip() -> None:
    x = np.arange(2 * 1 * 2 * 3.0).reshape(2, 1, 2, 3)
    before = x.copy()
    np.testing.assert_array_equal(mg.data.RandomHorizontalFlip(1.0)(x), x[..., ::-1])
    np.testing.assert_array_equal(mg.data.RandomHorizontalFlip(0.0)(x), x)
    many = np.tile(x[:1], (200, 1, 1, 1))
    flipped = mg.data.RandomHorizontalFlip()(many, np.random.default_rng(0))
    share = (flipped != many).any(axis=(1, 2, 3)).mean()
    assert 0.35 < share < 0.65
    np.testing.assert_array_equal(x, before)
    with pytest.raises(ValueError, match="between 0 and 1"):
        mg.data.RandomHorizontalFlip(2)
    with pytest.raises(ValueError, match="batch of images"):
        mg.data.RandomHorizontalFlip()(np.zeros((3, 4)))


@pytest.mark.parametrize("shape", [(40, 2, 5, 4), (40, 5, 4)])
def test_crop_is_a_window_of_the_padded_image(shape: tuple[int, ...]) -> None:
    x = np.arange(1, np.prod(shape) + 1, dtype=np.float64).reshape(shape)
    padded = np.pad(x, [(0, 0)] * (x.ndim - 2) + [(1, 1)] * 2)
    y = mg.data.RandomCrop((3, 2), padding=1)(x, np.random.default_rng(0))
    assert y.shape == (*shape[:-2], 3, 2)
    places = set()
    for image, window in zip(padded, y, strict=True):
        fits = [(i, j) for i in range(5) for j in range(5) if np.array_equal(image[..., i : i + 3, j : j + 2], window)]
        assert fits
        places.add(fits[0])
    assert len(places) > 10
    assert mg.data.RandomCrop(3)(x).shape == (*shape[:-2], 3, 3)
    with pytest.raises(ValueError, match="does not fit"):
        mg.data.RandomCrop(6)(x)


def test_shift_moves_zeros_in() -> None:
    x = np.ones((100, 1, 4, 4), np.float32)
    x[:, :, 1, 2] = 5
    y = mg.data.RandomShift(1)(x, np.random.default_rng(0))
    assert y.shape == x.shape and y.dtype == x.dtype
    spots = {tuple(np.argwhere(image[0] == 5)[0]) for image in y}
    assert spots == {(1 + i, 2 + j) for i in (-1, 0, 1) for j in (-1, 0, 1)}
    assert {int((image == 0).sum()) for image in y} == {0, 4, 7}
    np.testing.assert_array_equal(mg.data.RandomShift(0)(x), x)


# -- datasets by name -------------------------------------------------------------------------------------


def test_digits() -> None:
    pytest.importorskip("sklearn")
    data = mg.data.load("digits")
    x, y = data.train.tensors
    assert data.input_shape == (1, 8, 8) and data.num_classes == 10 and x.dtype == np.float32 and y.dtype == np.int64
    assert len(data.train) == 1438 and len(data.test) == 359
    assert x.array.min() == 0 and x.array.max() == 1
    together = np.concatenate([t.tensors[0].array.reshape(-1, 64) for t in data])
    from sklearn.datasets import load_digits

    original: Any = load_digits()
    assert sorted(map(bytes, (together * 16).astype(np.uint8))) == sorted(map(bytes, original.data.astype(np.uint8)))
    for c in range(10):  # stratified
        total = (original.target == c).sum()
        assert (data.test.tensors[1].array == c).sum() == round(0.2 * total)
    train, _ = mg.data.load("Digits")
    np.testing.assert_array_equal(train.tensors[0].array, x.array)
    other, _ = mg.data.load("digits", seed=1, test_fraction=0.5)
    assert abs(len(other) - 898) <= 5


@pytest.mark.parametrize("name", ["moons", "spirals", "blobs"])
def test_points(name: str) -> None:
    data = mg.data.load(name, n_samples=300, seed=1)
    train, test = data
    assert len(train) + len(test) == 300 and data.input_shape == (2,) and data.train.tensors[0].dtype == np.float32
    assert set(train.tensors[1].tolist()) == set(test.tensors[1].tolist()) == set(range(data.num_classes))
    again, other = mg.data.load(name, n_samples=300, seed=1), mg.data.load(name, n_samples=300, seed=2)
    np.testing.assert_array_equal(again.train.tensors[0].array, train.tensors[0].array)
    assert not np.array_equal(other.train.tensors[0].array, train.tensors[0].array)
    assert np.isfinite(train.tensors[0].array).all()


def test_points_without_noise_lie_on_their_curves() -> None:
    train, _ = mg.data.load("moons", noise=0.0)
    x, y = (t.array for t in train.tensors)
    np.testing.assert_allclose(np.hypot(x[y == 0, 0], x[y == 0, 1]), 1, rtol=1e-6)
    np.testing.assert_allclose(np.hypot(x[y == 1, 0] - 1, x[y == 1, 1] - 0.5), 1, rtol=1e-6)
    train, _ = mg.data.load("spirals", noise=0.0, num_classes=2, turns=1.0)
    x, y = (t.array for t in train.tensors)
    angle = np.arctan2(x[:, 1], x[:, 0]) - 2 * np.pi * (np.hypot(x[:, 0], x[:, 1]) + y / 2)
    np.testing.assert_allclose(np.cos(angle), 1, atol=1e-5)
    train, _ = mg.data.load("blobs", spread=0.0, num_features=5, num_classes=4)
    assert len(np.unique(train.tensors[0].array, axis=0)) == 4 and train.tensors[0].shape[1] == 5


@pytest.mark.parametrize(
    ("name", "near"), [("mnits", "mnist"), ("digit", "digits"), ("CIFAR", "cifar-10"), ("fashion", "fashion-mnist")]
)
def test_unknown_names_suggest_the_nearest(name: str, near: str) -> None:
    with pytest.raises(ValueError, match=f"no dataset '{name}'; did you mean '{near}'"):
        mg.data.load(name)
    with pytest.raises(ValueError, match="Choose from: digits, moons"):
        mg.data.load("?")


def test_impossible_options() -> None:
    with pytest.raises(ValueError, match="test_fraction"):
        mg.data.load("moons", test_fraction=1.0)
    with pytest.raises(ValueError, match="too small for 3 classes"):
        mg.data.load("blobs", n_samples=5)


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ImportError, match="the digits data needs scikit-learn.*" + re.escape(install_command("lab"))):
        mg.data.load("digits")
    monkeypatch.setitem(sys.modules, "pooch", None)
    monkeypatch.setenv("MINIGRAD_DATA", str(tmp_path))
    with pytest.raises(ImportError, match=r"downloading train-images-idx3-ubyte.gz needs pooch"):
        mg.data.load("mnist")
    with pytest.raises(ImportError, match="needs no_such_package"):
        require("no_such_package.part", extra="lab", what="this")


# -- IDX files --------------------------------------------------------------------------------------------


def idx(array: Any, code: int = 8) -> bytes:
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, code, array.ndim, *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


def mnist_files(seed: int = 0) -> dict[str, bytes]:
    rng = np.random.default_rng(seed)
    found = {}
    for which, n in (("train", 7), ("t10k", 3)):
        found[f"{which}-images-idx3-ubyte"] = idx(rng.integers(0, 256, (n, 28, 28), dtype=np.uint8))
        found[f"{which}-labels-idx1-ubyte"] = idx((np.arange(n) % 10).astype(np.uint8))
    return found


def write_mnist(folder: Path, packed: bool = True) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in mnist_files().items():
        path = folder / (name + ".gz" if packed else name)
        path.write_bytes(gzip.compress(content) if packed else content)


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "Fashion_MNIST"])
@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("inside", [True, False])
def test_mnist_from_a_folder(tmp_path: Path, name: str, packed: bool, inside: bool) -> None:
    write_mnist(tmp_path / name.lower().replace("_", "-") if inside else tmp_path, packed)
    data = mg.data.load(name, data_dir=str(tmp_path))
    x, y = data.train.tensors
    pixels = np.frombuffer(mnist_files()["train-images-idx3-ubyte"][16:], np.uint8).reshape(7, 1, 28, 28)
    np.testing.assert_array_equal(x.array, pixels.astype(np.float32) / 255)
    assert x.dtype == np.float32 and y.tolist() == list(range(7)) and y.dtype == np.int64
    assert len(data.test) == 3 and data.input_shape == (1, 28, 28) and data.num_classes == 10


@pytest.mark.parametrize(("code", "dtype"), [(8, "u1"), (9, "i1"), (11, "i2"), (12, "i4"), (13, "f4"), (14, "f8")])
def test_idx_types(tmp_path: Path, code: int, dtype: str) -> None:
    array = (np.arange(24) - (0 if dtype == "u1" else 9)).astype(dtype).reshape(2, 3, 4)
    (tmp_path / "x").write_bytes(idx(array, code))
    np.testing.assert_array_equal(files.read_idx(tmp_path / "x"), array)


GOOD = idx(np.arange(6, dtype=np.uint8).reshape(2, 3))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not an IDX file"),
        (b"\x00\x00", "not an IDX file"),
        (b"\x00\x00\x07\x01" + GOOD[4:], "00 00 07 01"),
        (b"PK\x03\x04rest", "not an IDX file"),
        (GOOD[:9], "ends within its header"),
        (GOOD[:-1], r"announces 6 bytes for the shape \(2, 3\), and there are 5"),
        (GOOD + b"\x00", "there are 7"),
        (GOOD[:4] + b"\xff" * 8 + GOOD[12:], "is damaged: its header announces"),
        (b"\0\0\x08\x03" + bytes(4) + b"\xff" * 8, "its header announces the shape"),
        (b"\0\0\x08\x63" + b"\0\0\0\x01" * 99 + b"x", "its header announces the shape"),
        (b"\0\0\x08\xff" + b"\xff" * 4 * 255 + b"x", "its header announces"),
        (gzip.compress(GOOD)[:-10], "cannot be unpacked with gzip"),
        (gzip.compress(GOOD)[:-8] + b"\x00" * 8, "cannot be unpacked with gzip"),
        (b"\x1f\x8b" + b"\x00" * 30, "cannot be unpacked with gzip"),
    ],
    ids=range(14),  # compressed bytes hold the time of day; names of tests must be the same in every process
)
def test_damaged_idx_files(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "images"
    path.write_bytes(content)
    with pytest.raises(mg.BadFile, match=message) as caught:
        files.read_idx(path)
    assert str(path) in str(caught.value)


def test_idx_files_that_do_not_belong_together(tmp_path: Path) -> None:
    write_mnist(tmp_path, packed=False)
    labels = tmp_path / "train-labels-idx1-ubyte"
    labels.write_bytes(idx(np.zeros(6, np.uint8)))
    with pytest.raises(ValueError, match=r"labels of shape \(6,\)"):
        mg.data.load("mnist", data_dir=tmp_path)
    labels.write_bytes(idx(np.full(7, 10, np.uint8)))
    with pytest.raises(ValueError, match="holds the class 10"):
        mg.data.load("mnist", data_dir=tmp_path)
    labels.write_bytes(idx(np.full(7, -1, np.int8), 9))
    with pytest.raises(ValueError, match="holds the class -1"):
        mg.data.load("mnist", data_dir=tmp_path)
    labels.write_bytes(idx(np.full(7, 1.5, np.float32), 13))
    with pytest.raises(ValueError, match="holds float32; labels are whole numbers"):
        mg.data.load("mnist", data_dir=tmp_path)


def test_idx_images_of_two_sizes(tmp_path: Path) -> None:
    write_mnist(tmp_path, packed=False)
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(idx(np.zeros((3, 14, 14), np.uint8)))
    with pytest.raises(
        ValueError, match=r"t10k.* of shape \(14, 14\), and those for training have the shape \(28, 28\)"
    ):
        mg.data.load("mnist", data_dir=tmp_path)


def test_a_folder_without_the_files(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"train-images-idx3-ubyte.gz is not in .*published at"):
        mg.data.load("mnist", data_dir=tmp_path)
    with pytest.raises(FileNotFoundError, match=r"cifar-10-binary.tar.gz is not in"):
        mg.data.load("cifar-10", data_dir=tmp_path)


# -- downloading, from a server of our own ----------------------------------------------------------------


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Serves a folder on this machine; `server.asked` lists what was asked for."""
    pytest.importorskip("pooch")
    folder = tmp_path / "published"
    write_mnist(folder)
    asked: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            asked.append(self.path.strip("/"))

    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
    thread = threading.Thread(target=httpd.serve_forever, daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{httpd.server_address[1]}/"
    checksums = {p.name: hashlib.md5(p.read_bytes()).hexdigest() for p in folder.iterdir()}
    monkeypatch.setattr(files, "MNIST", files.Source("mnist", (url,), checksums))
    monkeypatch.setenv("MINIGRAD_DATA", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    httpd.asked, httpd.url, httpd.folder = asked, url, folder  # type: ignore[attr-defined]
    yield httpd
    httpd.shutdown()
    httpd.server_close()
    thread.join()


def test_downloads_once(server: Any, tmp_path: Path) -> None:
    assert len(mg.data.load("mnist").train) == 7
    assert sorted(server.asked) == sorted(files.MNIST.checksums)
    assert sorted(p.name for p in (tmp_path / "cache" / "mnist").iterdir()) == sorted(files.MNIST.checksums)
    mg.data.load("mnist")
    mg.data.load("mnist", download=False)
    assert len(server.asked) == 4


def test_tries_the_next_address(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    urls = (server.url + "nothing/", server.url)
    monkeypatch.setattr(files, "MNIST", files.Source("mnist", urls, files.MNIST.checksums))
    assert len(mg.data.load("mnist").test) == 3


def test_refuses_a_download_with_another_checksum(server: Any, tmp_path: Path) -> None:
    (server.folder / "train-images-idx3-ubyte.gz").write_bytes(b"something else")
    with pytest.raises(FileNotFoundError, match=r"could not be downloaded.*(?s:.*)tried http.*hash"):
        mg.data.load("mnist")
    assert list((tmp_path / "cache" / "mnist").iterdir()) == []


def test_notices_a_damaged_file_in_the_cache(server: Any, tmp_path: Path) -> None:
    mg.data.load("mnist")
    path = tmp_path / "cache" / "mnist" / "t10k-labels-idx1-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(ValueError, match=r"MD5 checksum is .* Delete it"):
        mg.data.load("mnist")


def test_without_a_network_says_what_to_put_where(
    server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.shutdown()
    server.server_close()
    with pytest.raises(FileNotFoundError) as caught:
        mg.data.load("mnist")
    message = str(caught.value)
    for part in ("train-images-idx3-ubyte.gz", server.url, str(tmp_path / "cache" / "mnist"), "data_dir"):
        assert part in message
    with pytest.raises(FileNotFoundError, match="switched off"):
        mg.data.load("mnist", download=False)


def test_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("MINIGRAD_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    assert files.cache_folder() == tmp_path / "minigrad"
    monkeypatch.setenv("MINIGRAD_DATA", str(tmp_path / "mine"))
    assert files.cache_folder() == tmp_path / "mine"


def test_the_checksums_are_md5() -> None:
    for source in (files.MNIST, files.FASHION_MNIST, files.CIFAR10):
        assert all(len(bytes.fromhex(checksum)) == 16 for checksum in source.checksums.values())


# -- CIFAR-10 ---------------------------------------------------------------------------------------------


def cifar_arrays(n: int = 2) -> dict[str, tuple[Any, Any]]:
    rng = np.random.default_rng(0)
    names = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
    return {name: (rng.integers(0, 256, (n, 3072), dtype=np.uint8), rng.integers(0, 10, n)) for name in names}


def pack(folder: Path, contents: dict[str, bytes]) -> Path:
    path = folder / "cifar-10-binary.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name, content in {"readme.html": b"<html>", "batches.meta.txt": b"not read", **contents}.items():
            info = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def batches_of_cifar() -> dict[str, bytes]:
    return {
        f"{name}.bin": np.concatenate([labels[:, None].astype(np.uint8), data], axis=1).tobytes()
        for name, (data, labels) in cifar_arrays().items()
    }


def check_cifar(data: Any) -> None:
    arrays = cifar_arrays()
    x, y = data.train.tensors
    expected = np.concatenate([arrays[f"data_batch_{i}"][0] for i in range(1, 6)]).reshape(10, 3, 32, 32)
    np.testing.assert_array_equal(x.array, expected.astype(np.float32) / 255)
    assert y.tolist() == [int(v) for i in range(1, 6) for v in arrays[f"data_batch_{i}"][1]]
    assert x.dtype == np.float32 and y.dtype == np.int64 and len(data.test) == 2
    np.testing.assert_array_equal(data.test.tensors[1].array, arrays["test_batch"][1])
    assert data.input_shape == (3, 32, 32) and data.classes[3] == "cat"


def test_cifar10_archives_and_folders(tmp_path: Path) -> None:
    batches = batches_of_cifar()
    path = pack(tmp_path, batches)
    check_cifar(mg.data.load("cifar-10", data_dir=tmp_path))
    (tmp_path / "other" / "cifar-10").mkdir(parents=True)
    path.rename(tmp_path / "other" / "cifar-10" / path.name)
    check_cifar(mg.data.load("CIFAR10", data_dir=tmp_path / "other"))
    folder = tmp_path / "unpacked" / "cifar-10-batches-bin"
    folder.mkdir(parents=True)
    for name, content in batches.items():
        (folder / name).write_bytes(content)
    check_cifar(mg.data.load("cifar-10", data_dir=tmp_path / "unpacked"))
    check_cifar(mg.data.load("cifar-10", data_dir=folder))
    (folder / "data_batch_4.bin").unlink()
    with pytest.raises(mg.BadFile, match=r"data_batch_4\.bin is missing"):
        mg.data.load("cifar-10", data_dir=folder)


@pytest.mark.parametrize("name", ["cifar-10-python.tar.gz", "cifar-10-batches-py"])
def test_pickled_batches_are_not_read(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(FileNotFoundError, match=rf"{name} consists of pickles.*Put cifar-10-binary\.tar\.gz there"):
        mg.data.load("cifar-10", data_dir=tmp_path)


def test_no_code_of_the_package_reads_pickles() -> None:
    package = Path(mg.__file__).parent
    found = [path for path in package.rglob("*.py") if re.search(r"^\s*(import|from) pickle", path.read_text(), re.M)]
    assert found == [package / "kernels" / "cache.py"]  # which reads only what it compiled itself, as Numba does


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"data_batch_2\.bin in .* has 0 bytes"),
        (b"\x00" * 3074, "3074 bytes, no multiple of 3073"),
        (b"\x0b" * 3073, "labels go from 11 to 11"),
    ],
)
def test_damaged_batches_of_cifar10(tmp_path: Path, content: bytes, message: str) -> None:
    pack(tmp_path, {**batches_of_cifar(), "data_batch_2.bin": content})
    with pytest.raises(mg.BadFile, match=message):
        mg.data.load("cifar-10", data_dir=tmp_path)


def test_archives_that_are_broken_or_not_complete(tmp_path: Path) -> None:
    path = pack(tmp_path, {k: v for k, v in batches_of_cifar().items() if k != "data_batch_4.bin"})
    with pytest.raises(mg.BadFile, match=r"data_batch_4\.bin is missing"):
        mg.data.load("cifar-10", data_dir=tmp_path)
    content = path.read_bytes()
    for broken in (content[: len(content) // 2], content[:-1], b"no archive", b"", b"\x1f\x8b" + b"\x00" * 50):
        path.write_bytes(broken)
        with pytest.raises(mg.BadFile, match=r"damaged|not complete"):
            mg.data.load("cifar-10", data_dir=tmp_path)


def test_every_flipped_bit_of_an_archive_is_noticed_or_changes_nothing(tmp_path: Path) -> None:
    batches = {name: content[:1] + b"\x07" * 3072 for name, content in batches_of_cifar().items()}
    path = pack(tmp_path, batches)
    whole, expected = path.read_bytes(), mg.data.load("cifar-10", data_dir=tmp_path)
    damages = [whole[:i] for i in range(len(whole))]
    for i in range(8 * len(whole)):
        damages.append(whole[: i // 8] + bytes([whole[i // 8] ^ 1 << i % 8]) + whole[i // 8 + 1 :])
    noticed = 0
    for damage in damages:
        path.write_bytes(damage)
        try:
            found = mg.data.load("cifar-10", data_dir=tmp_path)
        except mg.BadFile as error:
            noticed += 1
            assert str(path) in str(error)
        else:  # the date, say, was hit
            for a, b in zip(found, expected, strict=True):
                for x, y in zip(a.tensors, b.tensors, strict=True):
                    np.testing.assert_array_equal(x.array, y.array)
    assert noticed > 8 * len(whole)


def header(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize(
    "kind", [tarfile.REGTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.GNUTYPE_SPARSE, tarfile.SYMTYPE]
)
@pytest.mark.parametrize("size", [8 << 30, 1 << 62])
def test_a_member_that_announces_more_than_there_is(tmp_path: Path, kind: bytes, size: int) -> None:
    path = tmp_path / "cifar-10-binary.tar.gz"
    path.write_bytes(gzip.compress(header("cifar-10-batches-bin/data_batch_1.bin", size, kind) + bytes(2048)))
    tracemalloc.start()
    try:
        with pytest.raises(mg.BadFile, match=r"damaged|not complete"):
            mg.data.load("cifar-10", data_dir=tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_a_sparse_member_is_not_blown_up(tmp_path: Path) -> None:
    """It announces 8 GB of zeros, of which it holds none."""
    info = tarfile.TarInfo("cifar-10-batches-bin/data_batch_1.bin")
    info.type = tarfile.GNUTYPE_SPARSE
    block = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    block[483:495] = b"%011o\0" % ((8 << 30) - 1)  # where GNU tar writes the real size
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    path = tmp_path / "cifar-10-binary.tar.gz"
    path.write_bytes(gzip.compress(bytes(block) + bytes(2048)))
    with pytest.raises(mg.BadFile, match="not there"):
        mg.data.load("cifar-10", data_dir=tmp_path)


@pytest.mark.parametrize("name", ["cifar-10-binary.tar.gz", "train-images-idx3-ubyte.gz"])
def test_a_small_file_does_not_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(files, "unpacked_limit", lambda packed: 1 << 20)
    content = header("x", 8 << 20) if "cifar" in name else struct.pack(">4B3I", 0, 0, 8, 3, 8, 1024, 1024)
    (tmp_path / name).write_bytes(gzip.compress(content + bytes(8 << 20)))
    for other in ("train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"):
        (tmp_path / other).write_bytes(b"")
    with pytest.raises(mg.BadFile, match=r"holds more than 1\.05 MB"):
        mg.data.load("cifar-10" if "cifar" in name else "mnist", data_dir=tmp_path)


def test_two_members_of_one_name(tmp_path: Path) -> None:
    path = pack(tmp_path, {"other/data_batch_1.bin": b"x", **batches_of_cifar()})
    with pytest.raises(mg.BadFile, match=r"data_batch_1\.bin is there twice"):
        mg.data.load("cifar-10", data_dir=path.parent)


def test_archives_are_not_unpacked_to_disk(tmp_path: Path) -> None:
    path = tmp_path / "cifar-10-binary.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name, content in {"../../evil_batch.bin": b"x", **batches_of_cifar()}.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    check_cifar(mg.data.load("cifar-10", data_dir=tmp_path))
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    assert not (tmp_path.parent.parent / "evil_batch.bin").exists()


# -- misuse -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options, error, message",
    [
        ({"shuffle": True, "seed": -1}, ValueError, r"seed must be an integer of at least 0, got -1"),
        ({"seed": 0.5}, ValueError, r"seed must be .* 0\.5"),
    ],
)
def test_loader_options_that_make_no_sense(options: dict[str, Any], error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        mg.data.DataLoader([1, 2, 3], 2, **options)


def test_a_loader_needs_a_length() -> None:
    with pytest.raises(TypeError, match=r"DataLoader: dataset needs a length .* generator"):
        mg.data.DataLoader(i for i in range(3))


def test_a_sampler_that_is_used_up() -> None:
    loader = mg.data.DataLoader([1, 2, 3], 2, sampler=iter([0, 1]))
    assert len(list(loader)) == 1
    with pytest.raises(RuntimeError, match=r"sampler, a list_iterator, is used up"):
        list(loader)


def test_a_sampler_gives_integers() -> None:
    with pytest.raises(TypeError, match="integer"):
        list(mg.data.DataLoader([1, 2, 3], 2, sampler=[0, 1.5]))
    assert [b.tolist() for b in mg.data.DataLoader([1, 2, 3], 2, sampler=mg.tensor([2, 0]))] == [[3, 1]]


def test_a_transform_keeps_the_number_of_samples() -> None:
    for wrong in (lambda x: x[:1], lambda x: x.sum()):
        with pytest.raises(ValueError, match=r"transform made shape .* of a batch of shape \(2, 3\)"):
            list(mg.data.DataLoader(mg.data.TensorDataset(mg.ones(2, 3)), 2, transform=wrong))


@pytest.mark.parametrize("samples", [[{"a": 1}, {"b": 2}], [{"a": 1}, 2], [(1, 2), 3], [(1,), 3], [(1, 2), (3,)]])
def test_samples_that_are_not_alike(samples: list[Any]) -> None:
    with pytest.raises(ValueError, match=r"collate: samples .* different .* collate_fn"):
        list(mg.data.DataLoader(samples, 2))


def test_lists_in_a_dataset_become_float32() -> None:
    data = mg.data.TensorDataset([[1.0], [2.0]], np.array([1.0, 2.0]), [1, 2])
    assert [t.dtype for t in data[0]] == [np.float32, np.float64, np.int64]


@pytest.mark.parametrize(
    "state",
    [
        *(None, 3, "state", [], {}, {"seed": 1}, {"seed": 1, "epoch": 0, "more": 2}),
        *({"seed": 1, "epoch": bad} for bad in (None, -1, 1.0, np.nan, "1", [1], True)),
        *({"seed": bad, "epoch": 1} for bad in (None, -1, 1.0, np.nan, "1", [1], True)),
    ],
)
def test_a_loader_refuses_junk_when_it_is_loaded(state: Any) -> None:
    loader = mg.data.DataLoader(mg.data.TensorDataset(mg.arange(6)), batch_size=2, shuffle=True, seed=3)
    with pytest.raises((TypeError, ValueError), match=r"^DataLoader\.load_state_dict: "):
        loader.load_state_dict(state)
    assert loader.state_dict() == {"seed": 3, "epoch": 0}
