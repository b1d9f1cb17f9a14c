"""Transforms of a batch of inputs: random changes that make more of few images. `scalers` has those that are fitted.

A transform is called with an array whose first axis counts the samples, and a NumPy generator if it draws random
numbers; it returns a new array. In a `DataLoader` the generator depends on the loader's seed and the epoch, so
that a run repeats. Images are (N, C, H, W), or (N, H, W).
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minigrad.autograd.tensor import raw
from minigrad.ops import random


class Transform:
    """Base of all transforms: a subclass defines `apply`."""

    def apply(self, x: Any, rng: np.random.Generator) -> Any:
        """The transformed array; `x` itself must stay as it is."""
        raise NotImplementedError(f"{type(self).__name__} defines no apply")

    def __call__(self, x: Any, rng: Any = None) -> Any:
        return self.apply(np.asarray(raw(x)), random.generator(rng))


class Compose(Transform):
    """One transform after the other. Functions of an array are taken as well."""

    def __init__(self, transforms: Sequence[Any]):
        self.transforms = [t if isinstance(t, Transform) else Lambda(t) for t in transforms]

    def apply(self, x: Any, rng: np.random.Generator) -> Any:
        for transform in self.transforms:
            x = transform(x, rng)
        return x


class Lambda(Transform):
    """A function of an array, as a transform."""

    def __init__(self, function: Callable[[Any], Any]):
        if not callable(function):
            raise TypeError(f"Lambda: needs a function of an array, not a {type(function).__name__}")
        self.function = function

    def apply(self, x: Any, rng: np.random.Generator) -> Any:
        return np.asarray(raw(self.function(x)))


class Normalize(Transform):
    """(x − mean) / std, with numbers that are known beforehand: one for all, or one for each channel (axis 1).

    Example:
        >>> import numpy as np
        >>> Normalize(mean=[1.0, 2.0], std=[1.0, 0.5])(np.array([[2.0, 3.0]])).tolist()
        [[1.0, 2.0]]
    """

    def __init__(self, mean: Any, std: Any):
        self.mean, self.std = np.asarray(mean, np.float64), np.asarray(std, np.float64)
        if (self.std == 0).any():
            raise ValueError(f"Normalize: std must not be 0: {self.std.tolist()}")

    def apply(self, x: Any, rng: np.random.Generator) -> Any:
        return ((x - self._along_channels(self.mean, x)) / self._along_channels(self.std, x)).astype(_real(x))

    def _along_channels(self, value: Any, x: Any) -> Any:
        if value.ndim == 0:
            return value
        if x.ndim < 2 or value.shape != (x.shape[1],):
            raise ValueError(
                f"Normalize: got {value.size} means or deviations for an input of shape {x.shape}; give one "
                "number, or one for each channel (axis 1)"
            )
        return value.reshape((-1,) + (1,) * (x.ndim - 2))


class RandomHorizontalFlip(Transform):
    """Mirrors each image, left to right, with probability `p`."""

    def __init__(self, p: float = 0.5):
        if not 0 <= p <= 1:
            raise ValueError(f"RandomHorizontalFlip: p must be between 0 and 1, got {p}")
        self.p = p

    def apply(self, x: Any, rng: np.random.Generator) -> Any:
        _check_images(self, x)
        flip = rng.random(len(x)) < self.p
        return np.where(flip.reshape((-1,) + (1,) * (x.ndim - 1)), x[..., ::-1], x)


class RandomCrop(Transform):
    """Cuts a window of `size` out of each image, at a random place, after adding `padding` zeros on every side."""

    def __init__(self, size: int | tuple[int, int], padding: int = 0):
        self.size = (size, size) if isinstance(size, int) else tuple(size)
        self.padding = padding
        if len(self.size) != 2 or min(self.size) < 1 or padding < 0:
            raise ValueError(f"RandomCrop: size must be positive and padding not negative: {size}, {padding}")

    def apply(self, x: Any, rng: np.random.Generator) -> Any:
        _check_images(self, x)
        x = _padded(x, self.padding)
        height, width = self.size
        rows, columns = x.shape[-2] - height + 1, x.shape[-1] - width + 1
        if rows < 1 or columns < 1:
            raise ValueError(f"RandomCrop: a window of {self.size} does not fit into {x.shape[-2:]} (with padding)")
        return _windows(x, rng.integers(rows, size=len(x)), rng.integers(columns, size=len(x)), height, width)


class RandomShift(Transform):
    """Moves each image by up to `max_shift` pixels up or down and left or right; zeros move in."""

    def __init__(self, max_shift: int = 1):
        if max_shift < 0:
            raise ValueError(f"RandomShift: max_shift must not be negative, got {max_shift}")
        self.max_shift = max_shift

    def apply(self, x: Any, rng: np.random.Generator) -> Any:
        _check_images(self, x)
        top, left = rng.integers(2 * self.max_shift + 1, size=(2, len(x)))
        return _windows(_padded(x, self.max_shift), top, left, x.shape[-2], x.shape[-1])


def _padded(x: Any, padding: int) -> Any:
    return np.pad(x, [(0, 0)] * (x.ndim - 2) + [(padding, padding)] * 2) if padding else x


def _windows(x: Any, top: Any, left: Any, height: int, width: int) -> Any:
    """From image n, the window whose corner is at (top[n], left[n])."""
    image = np.arange(len(x))[:, None, None]
    rows = top[:, None, None] + np.arange(height)[:, None]
    columns = left[:, None, None] + np.arange(width)
    if x.ndim == 3:
        return x[image, rows, columns]
    channels = np.arange(x.shape[1])[:, None, None]
    return x[image[:, None], channels, rows[:, None], columns[:, None]]


def _check_images(transform: Transform, x: Any) -> None:
    if x.ndim not in (3, 4):
        raise ValueError(
            f"{type(transform).__name__}: needs a batch of images, (N, C, H, W) or (N, H, W), got shape {x.shape}"
        )


def _real(x: Any) -> Any:
    return x.dtype if x.dtype.kind == "f" else np.dtype(np.float32)
