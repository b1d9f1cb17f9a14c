"""Scalers: normalizing the inputs of a network, by numbers taken once from the training set.

A scaler is fitted to the training set and then applied to everything, test set included::

    scaler = mg.data.StandardScaler().fit(x_train)
    z = scaler.transform(x_test)                 # scaler(x_test) is the same
    x = scaler.inverse_transform(z)

    mg.save({"model": net.state_dict(), "scaler": scaler.state_dict()}, path)

Statistics of the *test* set must not enter: they are not known when the network meets a single new sample. That is
also why a scaler keeps its numbers and is saved with the model.

The four decisions of the other normalizations apply here as well. Elements of one feature share statistics, over all
samples (axis 0); the statistic is a mean and deviation, a minimum and maximum, a power of ten or a covariance; it is
subtracted and divided by; and nothing needs to restore capacity, because the first layer can undo it.

Names and results are those of scikit-learn where it has the same thing, fitted attributes with their underscore at
the end. What differs:

- Features may have any shape: (N, *), such as images; `axis` may let some axes of it share statistics.
- Tensors give tensors, through which gradients flow; arrays, data frames and lists give arrays.
- Statistics and transforms are computed in float64. float32 and float64 come out as they came in, integers and
  booleans as float32, minigrad's default.
- Missing values (NaN) are ignored by `fit` and kept by `transform`; infinities are refused.
"""

from collections.abc import Iterator, Mapping
from math import prod
from typing import Any, Self

import numpy as np

from minigrad.autograd import Tensor
from minigrad.autograd.tensor import raw
from minigrad.checks import brief, is_number, is_whole
from minigrad.data.transforms import Transform
from minigrad.ops.compare import clip as clip_to
from minigrad.ops.elementwise import cast
from minigrad.ops.unary import exp, expm1, log, log1p

BLOCK = 1 << 18
"""About this number of elements is converted to float64 at a time."""


class Scaler(Transform):
    """Base of all scalers: `fit`, `transform`, `inverse_transform`, `fit_transform`, and their state.

    A subclass names its arguments in `options` and what it learns in `fitted`; it defines `learn` (take statistics
    from an array), `scale` and `unscale` (on float64 arrays or tensors), and can define `check_statistics`.
    """

    options: tuple[str, ...] = ()
    fitted: tuple[str, ...] = ()
    allows_missing = True
    feature_names_in_: list[str] | None = None

    # -- to be written by each scaler --

    def learn(self, x: Any) -> None:
        """Take statistics from the array `x`, after those that are there already."""
        raise NotImplementedError(f"{type(self).__name__} defines no learn")

    def scale(self, x: Any) -> Any:
        """The transformed values, given an array or a tensor in float64."""
        raise NotImplementedError(f"{type(self).__name__} defines no scale")

    def unscale(self, z: Any) -> Any:
        """The inverse of `scale`."""
        raise NotImplementedError(f"{type(self).__name__} defines no unscale")

    def check_features(self, method: str, shape: tuple[int, ...]) -> None:
        """Does an array of this shape have the features that the scaler was fitted to?"""

    def check_statistics(self) -> None:
        """Raise ValueError if what was loaded into `fitted` does not fit together."""

    # -- for users --

    def fit(self, x: Any) -> Self:
        """Take the statistics from the samples `x`, (N, *), forgetting earlier ones. Returns the scaler.

        Raises:
            ValueError: no samples, infinities, or too few samples to have the statistic.
            TypeError: values that are no numbers.
        """
        array = self._array("fit", x)
        self.forget()
        return self._learn("fit", x, array)

    def transform(self, x: Any) -> Any:
        """The scaled samples, a new array; of a Tensor, a Tensor that gradients flow through.

        Raises:
            RuntimeError: the scaler has not been fitted.
            ValueError: other features than it was fitted to; infinities.
        """
        self._check_fitted("transform")
        array = self._array("transform", x)
        self._check_names(x)
        self.check_features("transform", array.shape)
        return self._apply(self.scale, x, array)

    def inverse_transform(self, z: Any) -> Any:
        """The samples that `transform` would make `z` of. Arguments, result and errors are as there."""
        self._check_fitted("inverse_transform")
        array = self._array("inverse_transform", z)
        self.check_features("inverse_transform", array.shape)
        return self._apply(self.unscale, z, array)

    def fit_transform(self, x: Any) -> Any:
        """`fit` to `x`, and transform it."""
        return self.fit(x).transform(x)

    def __call__(self, x: Any, rng: np.random.Generator | None = None) -> Any:
        return self.transform(x)

    def apply(self, x: Any, rng: np.random.Generator) -> Any:
        return self.transform(x)

    def forget(self) -> None:
        """Unfit: as the scaler was when it was made."""
        self.feature_names_in_ = None
        for name in self.fitted:
            setattr(self, name, None)

    def state_dict(self) -> dict[str, Any]:
        """Arguments and statistics, to be saved by `mg.save`, beside a model's in one file."""
        return {name: getattr(self, name) for name in self._state()}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Become the scaler that gave `state_dict()`, its arguments included.

        Raises:
            RuntimeError: it is the state of something else, or its values make no sense. The scaler stays as it was.
        """
        expected = self._state()
        if not isinstance(state_dict, Mapping) or set(state_dict) != set(expected):
            given = ", ".join(map(str, state_dict)) if isinstance(state_dict, Mapping) else type(state_dict).__name__
            raise RuntimeError(
                f"load_state_dict of {type(self).__name__}: expected {', '.join(expected)}, got {given}"
            )
        values = {name: raw(state_dict[name]) for name in expected}
        try:
            twin = self._with(values)
        except (TypeError, ValueError) as error:
            what = str(error).removeprefix(f"{type(self).__name__}: ")
            raise RuntimeError(f"load_state_dict of {type(self).__name__}: {what}") from error
        for name in expected:
            setattr(self, name, getattr(twin, name))

    def _with(self, values: Mapping[str, Any]) -> Self:
        """A scaler with these arguments and statistics."""
        for name in self.options:
            if isinstance(getattr(self, name), bool) and not isinstance(values[name], bool | np.bool_):
                raise ValueError(f"{name} must be True or False, got {brief(values[name])}")
        twin = type(self)(**{name: values[name] for name in self.options})
        names = values["feature_names_in_"]
        if names is not None and not (isinstance(names, list | tuple) and all(isinstance(n, str) for n in names)):
            raise ValueError(f"feature_names_in_ must be a list of strings, got {brief(names)}")
        twin.feature_names_in_ = None if names is None else list(names)
        missing = [name for name in self.fitted if values[name] is None]
        if missing and len(missing) < len(self.fitted):
            raise ValueError(f"{missing[0]} is missing")
        if not missing:
            for name in self.fitted:
                setattr(twin, name, _statistic(name, values[name]))
            twin.check_statistics()
        return twin

    def __repr__(self) -> str:
        arguments = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.options)
        return f"{type(self).__name__}({arguments})"

    # -- inside --

    def _state(self) -> tuple[str, ...]:
        return (*self.options, "feature_names_in_", *self.fitted)

    def _learn(self, method: str, x: Any, array: Any) -> Self:
        if array.ndim == 0 or array.size == 0:
            raise ValueError(f"{type(self).__name__}.{method}: the data, of shape {array.shape}, are empty")
        if self.feature_names_in_ is None:
            self.feature_names_in_ = _names(x)
        self.learn(array)
        return self

    def _array(self, method: str, x: Any) -> Any:
        """The numbers in `x`."""
        where = f"{type(self).__name__}.{method}"
        array = np.asarray(raw(x))
        if array.dtype.kind == "O":  # columns of several kinds, or an object that says "missing"
            try:
                nullable = hasattr(x, "to_numpy")  # a data frame knows its own such object
                array = x.to_numpy(np.float64, na_value=np.nan) if nullable else array.astype(np.float64)
            except (TypeError, ValueError) as error:
                raise TypeError(f"{where}: the data hold something that is not a number: {error}") from error
        if array.dtype.kind not in "fiub":
            raise TypeError(f"{where}: the data must be numbers, got dtype {array.dtype}")
        if array.dtype.kind == "f":
            if np.isinf(array).any():
                at = tuple(int(i) for i in np.argwhere(np.isinf(array))[0])
                raise ValueError(
                    f"{where}: the data have infinities, the first at {at}, and no scale fits them; replace them, by "
                    "NaN if the values are missing"
                )
            if not self.allows_missing and np.isnan(array).any():
                at = tuple(int(i) for i in np.argwhere(np.isnan(array))[0])
                raise ValueError(f"{where}: a value is missing (NaN) at {at}; fill it in or leave the sample out")
        return array

    def _apply(self, function: Any, x: Any, array: Any) -> Any:
        dtype = array.dtype if array.dtype.kind == "f" else np.dtype(np.float32)
        if isinstance(x, Tensor):
            return cast(function(cast(x, np.float64)), dtype)
        with np.errstate(invalid="ignore"):
            results = [function(block).astype(dtype, copy=False) for block in _blocks(array)]
        return results[0] if len(results) == 1 else np.concatenate(results)

    def _check_fitted(self, method: str) -> None:
        if self.fitted and getattr(self, self.fitted[0]) is None:
            name = type(self).__name__
            raise RuntimeError(f"{name}.{method}: the scaler has no statistics yet; call fit(x_train) first")

    def _check_names(self, x: Any) -> None:
        names, known = _names(x), self.feature_names_in_
        if known is not None and names is not None and names != known:
            raise ValueError(
                f"{type(self).__name__}: fitted to the columns {', '.join(known)}, and given {', '.join(names)}"
            )


def _statistic(name: str, value: Any) -> Any:
    """Numbers that were saved, as an array of floats; of a count, as whole numbers."""
    try:
        array = np.array(value)
    except ValueError:  # rows of different lengths
        array = np.asarray(None)
    if array.dtype.kind not in "fiu":
        raise ValueError(f"{name} must be numbers, got {brief(value)}")
    if name == "n_samples_seen_":
        if not (array >= 0).all() or not (array < 2**63).all() or (array != np.floor(array)).any():
            raise ValueError(f"{name} must be a number of samples, got {brief(value)}")
        return array.astype(np.int64) if array.ndim else int(array)
    return array if array.dtype.kind == "f" else array.astype(np.float64)


def _names(x: Any) -> list[str] | None:
    """The columns of a data frame, if they are strings."""
    columns = getattr(x, "columns", None)
    if columns is None or isinstance(x, Tensor | np.ndarray) or not all(isinstance(c, str) for c in columns):
        return None
    return [str(c) for c in columns]


# -- one feature at a time --------------------------------------------------------------------------------


class FeatureScaler(Scaler):
    """What all scalers have in common that treat each feature separately.

    Args:
        axis: the axes that share statistics; axis 0, the samples, is one of them. 0: each feature has its own;
            (0, 2, 3): each channel of images (N, C, H, W); None: all features have the same.
    """

    options = ("axis",)
    axis: int | tuple[int, ...] | None
    n_samples_seen_: Any = None

    def __init__(self, axis: int | tuple[int, ...] | None = 0):
        axes = (axis,) if isinstance(axis, int | np.integer) else axis
        if axes is not None and not _are_axes(axes):
            raise ValueError(
                f"{type(self).__name__}: axis={brief(axis)} must be different axes, with 0, the axis of the samples, "
                "among them and nothing negative"
            )
        self.axis = None if axes is None else tuple(axes) if len(axes) > 1 else 0

    def partial_fit(self, x: Any) -> Self:
        """Take more samples into the statistics: after several calls they are those of all samples together.

        Samples that all miss a feature leave its statistics as they were (scikit-learn's become NaN).
        """
        array = self._array("partial_fit", x)
        if self.n_samples_seen_ is not None:
            self.check_features("partial_fit", array.shape)
            self._check_names(x)
        return self._learn("partial_fit", x, array)

    def axes(self, ndim: int) -> tuple[int, ...]:
        """The axes that share statistics, of an array with `ndim` axes."""
        axes = (0, *range(1, ndim)) if self.axis is None else np.atleast_1d(self.axis).tolist()
        if max(axes) >= ndim:
            raise ValueError(f"{type(self).__name__}: axis={self.axis}, and the data have {ndim} axes")
        return tuple(axes)

    def check_features(self, method: str, shape: tuple[int, ...]) -> None:
        features = np.shape(getattr(self, self.fitted[0]))  # shared axes have length 1 there
        given = tuple(1 if i in self.axes(len(shape)) else n for i, n in enumerate(shape))[1:]
        if given != features:
            raise ValueError(
                f"{type(self).__name__}.{method}: the scaler was fitted to features of shape {features} (with 1 where "
                f"they share statistics), and the data, of shape {shape}, have {given}"
            )

    def check_statistics(self) -> None:
        features = np.shape(getattr(self, self.fitted[0]))
        for name in self.fitted:
            shape, count = np.shape(getattr(self, name)), name == "n_samples_seen_"
            if shape != features and not (count and shape == ()):
                raise ValueError(f"{name} has shape {shape}, and {self.fitted[0]} has shape {features}")
        if any(axis > 0 and features[axis - 1] != 1 for axis in self.axes(len(features) + 1)):
            raise ValueError(f"{self.fitted[0]}, of shape {features}, must have length 1 along axis={self.axis}")
        if not np.any(self.n_samples_seen_):
            raise ValueError("n_samples_seen_ is 0, and there are statistics")

    def count(self, n: int) -> None:
        """Count `n` more samples."""
        self.n_samples_seen_ = n + (self.n_samples_seen_ or 0)


def _are_axes(axes: Any) -> bool:
    whole = isinstance(axes, tuple | list) and all(map(is_whole, axes))
    return whole and 0 in axes and min(axes) == 0 and len(set(axes)) == len(axes)


class MinMaxScaler(FeatureScaler):
    """Map the range of each feature in the training set to a given one.

    z = (x − min) / (max − min) · (high − low) + low

    Args:
        feature_range: (low, high).
        clip: set values outside the training set's range to low or high.
        axis: the axes that share a minimum and a maximum; see `StandardScaler`.

    Attributes:
        data_min_, data_max_, data_range_: of the training set.
        scale_, min_: the transform is z = x · scale_ + min_, up to rounding.
        n_samples_seen_: the number of samples.

    One outlier decides the scale of a whole feature. A feature that is constant in the training set (its range is
    below 10 units of the last place of 1) is shifted to low and not scaled; one that is missing throughout stays so.

    Agrees with scikit-learn's `MinMaxScaler`. Computing x − min first, rather than x · scale_ + min_, keeps the digits
    of features far from 0, and maps the ends of the range to low and high exactly.

    Example:
        >>> import numpy as np
        >>> scaler = MinMaxScaler().fit(np.array([[1.0, 5.0], [3.0, 5.0]]))
        >>> scaler.transform(np.array([[2.0, 5.0], [5.0, 6.0]])).tolist()
        [[0.5, 0.0], [2.0, 1.0]]
    """

    options = ("feature_range", "clip", "axis")
    fitted = ("data_min_", "data_max_", "n_samples_seen_")
    data_min_: Any = None
    data_max_: Any = None

    def __init__(
        self,
        feature_range: tuple[float, float] = (0, 1),
        *,
        clip: bool = False,
        axis: int | tuple[int, ...] | None = 0,
    ):
        super().__init__(axis)
        pair: Any = feature_range if isinstance(feature_range, tuple | list) and len(feature_range) == 2 else (0, 0)
        low, high = pair
        if not all(map(is_number, pair)) or not -np.inf < low < high < np.inf:
            raise ValueError(
                f"MinMaxScaler: feature_range must be two numbers, the smaller one first, got {brief(feature_range)}"
            )
        self.feature_range, self.clip = (low, high), bool(clip)

    def learn(self, x: Any) -> None:
        # fmin and fmax pass over NaN. The dtype stays: it says how precise the range is.
        x = x if x.dtype.kind == "f" else x.astype(np.float64)
        axes = self.axes(x.ndim)
        low, high = np.fmin.reduce(x, axes, keepdims=True)[0], np.fmax.reduce(x, axes, keepdims=True)[0]
        self.data_min_ = np.asarray(low if self.data_min_ is None else np.fmin(self.data_min_, low))
        self.data_max_ = np.asarray(high if self.data_max_ is None else np.fmax(self.data_max_, high))
        self.count(len(x))

    def check_statistics(self) -> None:
        super().check_statistics()
        if (self.data_min_ > self.data_max_).any():
            raise ValueError("data_min_ is larger than data_max_")

    @property
    def data_range_(self) -> Any:
        """max − min."""
        return np.asarray(self.data_max_, np.float64) - self.data_min_

    @property
    def scale_(self) -> Any:
        """(high − low) / (max − min)."""
        low, high = self.feature_range
        return (high - low) / self._divisor()

    @property
    def min_(self) -> Any:
        """What 0 becomes."""
        return self.feature_range[0] - self.data_min_ * self.scale_

    def _divisor(self) -> Any:
        width = self.data_range_
        constant = width < 10 * np.finfo(self.data_min_.dtype).eps
        return np.where(constant, 1.0, width)

    def scale(self, x: Any) -> Any:
        low, high = self.feature_range
        z = (x - np.asarray(self.data_min_, np.float64)) / self._divisor() * (high - low) + low
        return clip_to(z, low, high) if self.clip else z

    def unscale(self, z: Any) -> Any:
        low, high = self.feature_range
        return (z - low) / (high - low) * self._divisor() + np.asarray(self.data_min_, np.float64)


class StandardScaler(FeatureScaler):
    """Shift and scale each feature to mean 0 and standard deviation 1 over the training set: z-scores.

    z = (x − μ) / σ,  σ² the biased variance

    Args:
        with_mean: subtract μ?
        with_std: divide by σ?
        axis: the axes that share a mean and a deviation; axis 0, the samples, is one of them. 0: each feature (or
            pixel) has its own; (0, 2, 3): each channel of images; None: all features have the same.

    Attributes:
        mean_, var_: μ and σ².
        scale_: σ, and 1 for constant features.
        n_samples_seen_: the number of values that were not missing; one number if it is the same for all features.

    A feature that is constant in the training set becomes 0: its variance is 0, or no more than rounding explains, and
    it is divided by 1. One that is missing throughout stays so.

    Agrees with scikit-learn's `StandardScaler`, also batch by batch (`partial_fit`), where Chan's formula joins the
    variances of the parts: nothing is lost by a mean that is large beside the deviation.

    Source: Chan, Golub & LeVeque, "Algorithms for computing the sample variance", 1983.

    Example:
        >>> import numpy as np
        >>> x = np.array([[0.0, 5.0], [2.0, 5.0], [np.nan, 5.0]])
        >>> StandardScaler().fit(x).transform(x).tolist()
        [[-1.0, 0.0], [1.0, 0.0], [nan, 0.0]]
    """

    options = ("with_mean", "with_std", "axis")
    fitted = ("mean_", "var_", "n_samples_seen_")
    mean_: Any = None
    var_: Any = None

    def __init__(self, *, with_mean: bool = True, with_std: bool = True, axis: int | tuple[int, ...] | None = 0):
        super().__init__(axis)
        self.with_mean, self.with_std = bool(with_mean), bool(with_std)

    def learn(self, x: Any) -> None:
        for block in _blocks(x):
            axes = self.axes(block.ndim)
            there = ~np.isnan(block)
            n = there.sum(axes, keepdims=True)[0]
            with np.errstate(invalid="ignore", divide="ignore"):
                # Differences from one of the values: a constant feature has a mean without rounding.
                some = np.fmin.reduce(block, axes, keepdims=True)
                block = np.where(there, block - some, 0.0)
                mean = block.sum(axes, keepdims=True) / n
                block = np.where(there, block - mean, 0.0)
                # Σ (x − m) is 0 but for the rounding of m, for which it corrects.
                squares = np.square(block).sum(axes, keepdims=True) - block.sum(axes, keepdims=True) ** 2 / n
                self._join(n, (some + mean)[0], squares[0] / n)
        counts = np.asarray(self.n_samples_seen_)
        self.n_samples_seen_ = int(counts.flat[0]) if (counts == counts.flat[0]).all() else counts

    def check_statistics(self) -> None:
        super().check_statistics()
        if (self.var_ < 0).any():
            raise ValueError("var_ is negative")

    def _join(self, n: Any, mean: Any, var: Any) -> None:
        """Chan's formula: the mean and variance of two sets together, from those of each."""
        if self.mean_ is None:
            self.mean_, self.var_, self.n_samples_seen_ = mean, var, n
            return
        before = np.broadcast_to(self.n_samples_seen_, n.shape)
        total = before + n
        delta = mean - self.mean_
        joined = self.mean_ + delta * (n / total)
        spread = (self.var_ * before + var * n + delta**2 * (before * n / total)) / total
        # Where one of the sets is empty its mean is NaN, and the other's counts.
        self.mean_ = np.where(n == 0, self.mean_, np.where(before == 0, mean, joined))
        self.var_ = np.where(n == 0, self.var_, np.where(before == 0, var, spread))
        self.n_samples_seen_ = total

    @property
    def scale_(self) -> Any:
        """σ, and 1 where the variance may be rounding and nothing else."""
        eps, n = np.finfo(np.float64).eps, self.n_samples_seen_
        constant = self.var_ <= n * eps * self.var_ + (n * self.mean_ * eps) ** 2
        return np.where(constant, 1.0, np.sqrt(self.var_))

    def scale(self, x: Any) -> Any:
        x = x - self.mean_ if self.with_mean else x
        return x / self.scale_ if self.with_std else x

    def unscale(self, z: Any) -> Any:
        z = z * self.scale_ if self.with_std else z
        return z + self.mean_ if self.with_mean else z


class DecimalScaler(FeatureScaler):
    """Move the decimal point of each feature, so that the training set lies between −1 and 1.

    z = x / 10ʲ,  with the smallest integer j for which max |z| < 1

    j is negative for features that are small throughout: 0.003 becomes 0.3. The digits stay as they are, which keeps
    a table readable. A feature that is 0 throughout has j = 0.

    Args:
        axis: the axes that share a j; see `StandardScaler`.

    Attributes:
        max_abs_: the largest |x| of each feature.
        exponent_: j.

    Example:
        >>> import numpy as np
        >>> scaler = DecimalScaler().fit(np.array([[-150.0, 0.02], [7.0, 0.03], [999.0, 0.01]]))
        >>> scaler.transform(np.array([[42.0, 0.05]])).tolist(), scaler.exponent_.tolist()
        ([[0.042, 0.5]], [3, -1])
    """

    fitted = ("max_abs_", "n_samples_seen_")
    max_abs_: Any = None

    def learn(self, x: Any) -> None:
        x = x if x.dtype.kind == "f" else x.astype(np.float64)
        largest = np.fmax.reduce(np.abs(x), self.axes(x.ndim), keepdims=True)[0].astype(np.float64)
        self.max_abs_ = largest if self.max_abs_ is None else np.fmax(self.max_abs_, largest)
        self.count(len(x))

    def check_statistics(self) -> None:
        super().check_statistics()
        if (self.max_abs_ < 0).any():
            raise ValueError("max_abs_ is negative")

    @property
    def exponent_(self) -> Any:
        """j, of each feature."""
        largest = np.where(self.max_abs_ > 0, self.max_abs_, 0.5)  # also for NaN, where nothing was seen
        j = np.floor(np.log10(largest)).astype(np.int64) + 1
        # The logarithm is rounded: it may miss a power of ten by one.
        with np.errstate(over="ignore"):
            j += largest >= 10.0**j
        return j - (largest < 10.0 ** (j - 1))

    def scale(self, x: Any) -> Any:
        return move_point(x, -self.exponent_)

    def unscale(self, z: Any) -> Any:
        return move_point(z, self.exponent_)


def move_point(x: Any, j: Any) -> Any:
    """x · 10ʲ, in two steps where 10ʲ would be infinite or 0."""
    first = np.clip(j, -300, 300)
    for k in (first, j - first):
        if k.any():  # 10ʲ is exact in binary for j from 0 to 22, and 10⁻ʲ never: so divide, rather than multiply by it
            x = x * 10.0 ** np.maximum(k, 0) / 10.0 ** np.maximum(-k, 0)
    return x


class LogTransform(Scaler):
    """Compress large values: the logarithm makes ratios into differences, and long tails short.

    z = log(x + offset);   symmetric: z = sign(x) · log(1 + |x| / offset)

    The symmetric form takes values of both signs, is linear (z ≈ x / offset) around 0 and logarithmic far from it.
    With the offset 1, the default, both are log(1 + x) for positive x, computed so that small x keep their digits.
    `inverse_transform` is the inverse, e to the power of z.

    There is nothing to learn: `fit` only checks the values, and may be left out.

    Args:
        offset: added to x. The plain form needs x > −offset; 0 is the plain logarithm, for positive x.
        symmetric: take negative values as well.

    Raises (in `fit` and `transform`):
        ValueError: values that have no logarithm.

    Example:
        >>> import numpy as np
        >>> z = LogTransform().transform(np.array([0.0, 9.0, 99.0]))
        >>> (z / np.log(10)).round(6).tolist()
        [0.0, 1.0, 2.0]
    """

    options = ("offset", "symmetric")

    def __init__(self, offset: float = 1.0, *, symmetric: bool = False):
        if not is_number(offset) or not abs(offset) < np.inf or (symmetric and offset <= 0):
            raise ValueError(f"LogTransform: offset must be a number, and above 0 if symmetric: {brief(offset)}")
        self.offset, self.symmetric = float(offset), bool(symmetric)

    def learn(self, x: Any) -> None:
        self._check_domain("fit", x)

    def transform(self, x: Any) -> Any:
        self._check_domain("transform", self._array("transform", x))
        return super().transform(x)

    def _check_domain(self, method: str, x: Any) -> None:
        if not self.symmetric and (x <= -self.offset).any():
            lowest = np.fmin.reduce(x, None)
            raise ValueError(
                f"LogTransform.{method}: x + offset must be above 0, and the smallest x is {lowest:g} with "
                f"offset={self.offset:g}; use a larger offset, or symmetric=True"
            )

    def scale(self, x: Any) -> Any:
        if self.symmetric:
            # ±1 and never 0: at 0 the slope must be that of its neighbours.
            sign = np.where(raw(x) < 0, -1.0, 1.0)
            return sign * log1p(sign * x / self.offset)
        return log1p(x) if self.offset == 1 else log(x + self.offset)

    def unscale(self, z: Any) -> Any:
        if self.symmetric:
            sign = np.where(raw(z) < 0, -1.0, 1.0)
            return sign * expm1(sign * z) * self.offset
        return expm1(z) if self.offset == 1 else exp(z) - self.offset


# -- all features together ----------------------------------------------------------------------------------


class Whitening(Scaler):
    """Make features uncorrelated, with variance 1: PCA or ZCA whitening.

    With the covariance of the training set Σ = V diag(λ) Vᵀ (divided by n − 1), the columns of V the principal axes,

        PCA:  z = diag(1/√(λ + ε)) Vᵀ (x − μ)         the coordinates along the axes, the largest variance first
        ZCA:  z = V diag(1/√(λ + ε)) Vᵀ (x − μ)       the same rotated back: of all white z, the one closest to x

    PCA can leave out axes of little variance. ZCA leaves every feature in its place: whitened images are images.

    Args:
        method: "pca" or "zca".
        n_components: the number of axes that are kept; or None, for all; or a number below 1, the part of the whole
            variance that the kept axes must hold. ZCA projects the others away.
        eps: ε, added to the variances. Above 0 it damps axes of little variance, which are mostly noise.

    Shapes:
        (N, *) → (N, K) for PCA with K axes, (N, *) for ZCA.

    Attributes:
        mean_: μ, of the features' shape.
        components_: (K, features), the axes as rows, of length 1, signed so that the largest element is positive.
        explained_variance_, explained_variance_ratio_: λ, and its part of the whole.

    Raises (in `fit`):
        ValueError: fewer than two samples, which have no covariance; missing values.

    An axis along which the training set does not vary (a constant feature, or fewer samples than features) gives 0
    with ε = 0, where dividing by its deviation would give nothing but rounding errors.

    PCA agrees with scikit-learn's `PCA(whiten=True)`, which has no ε.

    Source: Bell & Sejnowski, "The 'independent components' of natural scenes are edge filters", 1997, for ZCA.

    Example:
        >>> import numpy as np
        >>> x = np.array([[2.0, 2.0], [-2.0, -2.0], [1.0, -1.0], [-1.0, 1.0]])
        >>> z = Whitening("zca").fit_transform(x)
        >>> np.allclose(np.cov(z.T), np.eye(2))
        True
    """

    options = ("method", "n_components", "eps")
    fitted = ("mean_", "components_", "explained_variance_", "explained_variance_ratio_")
    allows_missing = False
    mean_: Any = None
    components_: Any = None
    explained_variance_: Any = None
    explained_variance_ratio_: Any = None

    def __init__(self, method: str = "pca", n_components: float | None = None, *, eps: float = 0.0):
        if not isinstance(method, str) or method not in ("pca", "zca"):
            raise ValueError(f'Whitening: method must be "pca" or "zca", got {brief(method)}')
        fits = n_components is None or (
            is_number(n_components) and (n_components >= 1 if is_whole(n_components) else 0 < n_components < 1)
        )
        if not fits:
            raise ValueError(
                "Whitening: n_components must be a number of axes (1, 2, ...), a part of the variance between 0 and "
                f"1, or None, got {brief(n_components)}"
            )
        if not is_number(eps) or not 0 <= eps < np.inf:
            raise ValueError(f"Whitening: eps must be a number of at least 0, got {brief(eps)}")
        self.method, self.n_components, self.eps = method, n_components, float(eps)

    def learn(self, x: Any) -> None:
        shape = x.shape
        n, features = shape[0], prod(shape[1:])
        if n < 2:
            raise ValueError(f"Whitening.fit: a covariance needs at least 2 samples; the data have shape {shape}")
        if isinstance(self.n_components, int | np.integer) and self.n_components > min(n, features):
            raise ValueError(
                f"Whitening.fit: {n} samples of {features} features have at most {min(n, features)} axes, and "
                f"n_components={self.n_components}"
            )
        x = x.astype(np.float64).reshape(n, features)
        first = x[0].copy()  # differences from it: a constant feature has a mean without rounding
        x -= first
        mean = x.mean(0)
        x -= mean
        # The singular values of X are √((n − 1) λ). Those of R in X = Q R are the same, and R is small. Going by Σ
        # instead would square them, and lose half of the digits of the small ones.
        if n > features:
            x = np.linalg.qr(x, mode="r")
        _, s, axes = np.linalg.svd(x, full_matrices=False)
        s[s <= max(n, features) * np.finfo(np.float64).eps * s[0]] = 0
        axes *= np.where(np.take_along_axis(axes, np.abs(axes).argmax(1)[:, None], 1) < 0, -1.0, 1.0)
        variance = s**2 / (n - 1)
        total = variance.sum()
        ratio = variance / total if total else np.zeros_like(variance)
        k = self.n_components
        if k is None:
            k = len(s)
        elif not isinstance(k, int | np.integer):
            k = min(int(np.searchsorted(np.cumsum(ratio), k, side="right")) + 1, len(s))
        self.mean_ = (first + mean).reshape(shape[1:])
        self.components_, self.explained_variance_, self.explained_variance_ratio_ = axes[:k], variance[:k], ratio[:k]

    def check_features(self, method: str, shape: tuple[int, ...]) -> None:
        inverse = method == "inverse_transform" and self.method == "pca"
        features = (len(self.components_),) if inverse else self.mean_.shape
        if shape[1:] != features or not shape:
            raise ValueError(
                f"Whitening.{method}: the data, of shape {shape}, must be (N, {', '.join(map(str, features))}), as "
                "those that the scaler was fitted to"
            )

    def check_statistics(self) -> None:
        axes, features = np.shape(self.components_)[:1], np.size(self.mean_)
        shapes = {"components_": (*axes, features), "explained_variance_": axes, "explained_variance_ratio_": axes}
        for name, shape in shapes.items():
            if np.shape(getattr(self, name)) != shape or not axes:
                raise ValueError(
                    f"{name} has shape {np.shape(getattr(self, name))}, which does not fit {features} features and "
                    f"components_ of shape {np.shape(self.components_)}"
                )
        if any(not np.isfinite(getattr(self, name)).all() for name in self.fitted):
            raise ValueError("the statistics are not finite")
        if (self.explained_variance_ < 0).any():
            raise ValueError("explained_variance_ is negative")

    def _deviation(self) -> Any:
        return np.sqrt(self.explained_variance_ + self.eps)

    def scale(self, x: Any) -> Any:
        deviation = self._deviation()
        factor = np.where(deviation > 0, 1 / np.where(deviation > 0, deviation, 1.0), 0.0)
        z = (x - self.mean_).reshape(len(x), self.mean_.size) @ self.components_.T * factor
        return z if self.method == "pca" else (z @ self.components_).reshape(x.shape)

    def unscale(self, z: Any) -> Any:
        coordinates = z if self.method == "pca" else z.reshape(len(z), self.mean_.size) @ self.components_.T
        x = (coordinates * self._deviation()) @ self.components_
        return x.reshape(len(z), *self.mean_.shape) + self.mean_


def _blocks(x: Any) -> Iterator[Any]:
    """The samples in float64, in blocks: a whole data set at once would need several times its memory."""
    if x.size <= BLOCK:
        yield x.astype(np.float64)
        return
    rows = max(1, BLOCK * len(x) // x.size)
    for start in range(0, len(x), rows):
        yield x[start : start + rows].astype(np.float64)
