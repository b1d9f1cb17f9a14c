"""Datasets by name: `load("digits")`, `load("moons")`, `load("mnist")`, ...

Digits come with scikit-learn. Moons, spirals and blobs are drawn here. MNIST, Fashion-MNIST and CIFAR-10 are read
from a folder of yours, or downloaded once into a cache folder.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minigrad.data import files
from minigrad.data.dataset import TensorDataset
from minigrad.extras import require
from minigrad.files import BadFile
from minigrad.suggest import choose, nearest


@dataclass(frozen=True)
class Splits:
    """A dataset divided into training and test samples: `train, test = load("digits")`.

    Attributes:
        name: as given to `load`.
        train, test: pairs of an input (float32) and a class number (int64).
        classes: the names of the classes.
    """

    name: str
    train: TensorDataset
    test: TensorDataset
    classes: tuple[str, ...]

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one input: (channels, height, width) of images, (features,) of points."""
        return self.train.tensors[0].shape[1:]

    @property
    def num_classes(self) -> int:
        return len(self.classes)

    def __iter__(self) -> Iterator[TensorDataset]:
        return iter((self.train, self.test))


def load(
    name: str, data_dir: str | Path | None = None, download: bool = True, seed: int = 0, **options: Any
) -> Splits:
    """A dataset by its name.

    ================  =================================  ==================  ==============================
    name              input                              samples             where from
    ================  =================================  ==================  ==============================
    digits            (1, 8, 8), scans of digits         1,438 + 359         scikit-learn, no download
    moons             (2,)                               800 + 200           drawn
    spirals           (2,)                               799 + 201           drawn
    blobs             (2,)                               799 + 201           drawn
    mnist             (1, 28, 28), scans of digits       60,000 + 10,000     a folder, or downloaded
    fashion-mnist     (1, 28, 28), photos of clothes     60,000 + 10,000     a folder, or downloaded
    cifar-10          (3, 32, 32), photos                50,000 + 10,000     a folder, or downloaded
    ================  =================================  ==================  ==============================

    Args:
        name: one of these; upper case, "_" and spaces do not matter.
        data_dir: for the last three: the folder that holds their files, so that nothing is downloaded.
        download: if False, never download: only files that are there are read.
        seed: for the division into training and test samples, and for the points that are drawn. The last three
            are divided already.
        options: further arguments of the function that makes the dataset (`digits`, `moons`, ...).

    Returns:
        `Splits`. Pixels are divided by their largest value, so that they are between 0 and 1.

    Raises:
        ValueError: no such name (the message names the nearest).
        BadFile: files that are damaged, or of another kind (a ValueError as well).
        FileNotFoundError: files that are not there and cannot be downloaded; the message says what to put where.
        ImportError: a package that is needed is not installed.

    Example:
        >>> train, test = load("moons", n_samples=50)
        >>> len(train), len(test)
        (40, 10)
    """
    key = name.lower().replace("_", "-").replace(" ", "-")
    key = {"fashionmnist": "fashion-mnist", "cifar10": "cifar-10"}.get(key, key)
    if key in _MADE:
        return _MADE[key](seed=seed, **options)
    if key in _READ:
        return _READ[key](data_dir=data_dir, download=download, **options)
    raise ValueError(f"there is no dataset {name!r}{nearest(key, names())} {choose(names())}")


def names(from_files: bool = False) -> list[str]:
    """The names that `load` knows; or only those of data that are read from files."""
    return [*_READ] if from_files else [*_MADE, *_READ]


# -- made on the spot -------------------------------------------------------------------------------------


def digits(seed: int = 0, test_fraction: float = 0.2) -> Splits:
    """1,797 scans of handwritten digits, 8×8 pixels, from scikit-learn: the UCI Optical Recognition set.

    Of each digit, the fraction `test_fraction` (rounded) is drawn for the test set; `seed` decides which. The
    default leaves 1,438 samples for training and 359 for the test. Both stay in the original order.

    Source: Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998.
    """
    sklearn_datasets = require("sklearn.datasets", package="scikit-learn", extra="lab", what="the digits data")
    bunch: Any = sklearn_datasets.load_digits()
    images = (bunch.images[:, None] / 16).astype(np.float32)  # grey levels from 0 to 16
    return _divide("digits", images, bunch.target, tuple("0123456789"), seed, test_fraction)


def moons(seed: int = 0, n_samples: int = 1000, noise: float = 0.1, test_fraction: float = 0.2) -> Splits:
    """Two half circles in the plane that reach into each other; `noise` is the standard deviation added."""
    rng = np.random.default_rng(seed)
    label = _labels(n_samples, 2)
    angle = rng.uniform(0, np.pi, n_samples)
    upper = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    lower = np.stack([1 - np.cos(angle), 0.5 - np.sin(angle)], axis=1)
    x = np.where(label[:, None] == 0, upper, lower) + rng.normal(0, noise, (n_samples, 2))
    return _divide("moons", x, label, ("upper", "lower"), seed, test_fraction)


def spirals(
    seed: int = 0,
    n_samples: int = 1000,
    num_classes: int = 3,
    turns: float = 0.75,
    noise: float = 0.03,
    test_fraction: float = 0.2,
) -> Splits:
    """Arms that wind around the origin `turns` times, one class each, out to radius 1."""
    rng = np.random.default_rng(seed)
    label = _labels(n_samples, num_classes)
    radius = np.sqrt(rng.uniform(0.01, 1, n_samples))
    angle = 2 * np.pi * (turns * radius + label / num_classes)
    x = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1) + rng.normal(0, noise, (n_samples, 2))
    return _divide("spirals", x, label, tuple(f"arm {i}" for i in range(num_classes)), seed, test_fraction)


def blobs(
    seed: int = 0,
    n_samples: int = 1000,
    num_classes: int = 3,
    num_features: int = 2,
    spread: float = 1.0,
    test_fraction: float = 0.2,
) -> Splits:
    """One normal distribution for each class, of standard deviation `spread`. The centres are drawn from [−10, 10]."""
    rng = np.random.default_rng(seed)
    label = _labels(n_samples, num_classes)
    centres = rng.uniform(-10, 10, (num_classes, num_features))
    x = centres[label] + rng.normal(0, spread, (n_samples, num_features))
    return _divide("blobs", x, label, tuple(f"blob {i}" for i in range(num_classes)), seed, test_fraction)


def _labels(n_samples: int, num_classes: int) -> Any:
    """Class numbers, in turn: each class has the same number of samples, or one more than the others."""
    if n_samples < 2 * num_classes:
        raise ValueError(f"n_samples={n_samples} is too small for {num_classes} classes: each class needs two")
    return np.arange(n_samples) % num_classes


def _divide(name: str, x: Any, label: Any, classes: tuple[str, ...], seed: int, test_fraction: float) -> Splits:
    """Stratified: the same fraction of each class, drawn with `seed`, is for the test."""
    if not 0 < test_fraction < 1:
        raise ValueError(f"{name}: test_fraction must lie between 0 and 1, got {test_fraction}")
    rng = np.random.default_rng(seed)
    is_test = np.zeros(len(label), dtype=bool)
    for c in range(len(classes)):
        members = rng.permutation(np.flatnonzero(label == c))
        count = min(max(round(test_fraction * len(members)), 1), len(members) - 1)  # both parts have every class
        is_test[members[:count]] = True
    x, label = np.asarray(x, np.float32), np.asarray(label, np.int64)
    train, test = (TensorDataset(x[part], label[part]) for part in (~is_test, is_test))
    return Splits(name, train, test, classes)


# -- read from files --------------------------------------------------------------------------------------


def mnist(data_dir: str | Path | None = None, download: bool = True) -> Splits:
    """70,000 scans of handwritten digits, 28×28 pixels.

    Source: LeCun, Cortes and Burges, The MNIST database of handwritten digits, 1998.
    """
    return _idx_dataset("mnist", files.MNIST, tuple("0123456789"), data_dir, download)


def fashion_mnist(data_dir: str | Path | None = None, download: bool = True) -> Splits:
    """70,000 photos of clothes, 28×28 pixels.

    Source: Xiao, Rasul and Vollgraf, arXiv 1708.07747.
    """
    classes = "T-shirt/top,Trouser,Pullover,Dress,Coat,Sandal,Shirt,Sneaker,Bag,Ankle boot"
    return _idx_dataset("fashion-mnist", files.FASHION_MNIST, tuple(classes.split(",")), data_dir, download)


def cifar10(data_dir: str | Path | None = None, download: bool = True) -> Splits:
    """60,000 photos, 32×32 pixels, three colours. As float32 they take 740 MB of memory.

    They are read from the *binary* version, `cifar-10-binary.tar.gz`. The one for Python consists of pickles, which
    could run a program when they are opened.

    Source: Krizhevsky, Learning multiple layers of features from tiny images, 2009.
    """
    parts = files.read_cifar10(data_dir, download)
    train, test = (TensorDataset(images, labels) for images, labels in parts)
    classes = "airplane,automobile,bird,cat,deer,dog,frog,horse,ship,truck"
    return Splits("cifar-10", train, test, tuple(classes.split(",")))


def _idx_dataset(
    name: str, source: "files.Source", classes: tuple[str, ...], data_dir: str | Path | None, download: bool
) -> Splits:
    parts = []
    for which in ("train", "t10k"):
        images_path = files.locate(source, f"{which}-images-idx3-ubyte.gz", data_dir, download)
        labels_path = files.locate(source, f"{which}-labels-idx1-ubyte.gz", data_dir, download)
        images, labels = files.read_idx(images_path), files.read_idx(labels_path)
        if images.ndim != 3 or labels.ndim != 1 or len(images) != len(labels):
            raise BadFile(
                f"{images_path} holds images of shape {images.shape}, and {labels_path} labels of shape "
                f"{labels.shape}; expected (N, height, width) and (N,)"
            )
        if labels.dtype.kind not in "iu":
            raise BadFile(f"{labels_path} holds {labels.dtype.name}; labels are whole numbers")
        wrong = labels[(labels < 0) | (labels >= len(classes))]
        if wrong.size:
            raise BadFile(f"{labels_path} holds the class {wrong[0]}; {name} has the classes 0 to {len(classes) - 1}")
        if parts and parts[0].tensors[0].shape[2:] != images.shape[1:]:
            raise BadFile(
                f"{images_path} holds images of shape {images.shape[1:]}, and those for training have the shape "
                f"{parts[0].tensors[0].shape[2:]}"
            )
        parts.append(TensorDataset(files.to_unit(images[:, None]), labels.astype(np.int64)))
    return Splits(name, parts[0], parts[1], classes)


_MADE: dict[str, Callable[..., Splits]] = {"digits": digits, "moons": moons, "spirals": spirals, "blobs": blobs}
_READ: dict[str, Callable[..., Splits]] = {"mnist": mnist, "fashion-mnist": fashion_mnist, "cifar-10": cifar10}
