"""What the normalizations share: the composed steps, the two memory layouts, running averages, and checks.

Every normalization makes four decisions (after Huang et al., "Normalization techniques in training DNNs",
arXiv 2009.12836):

1. **Which elements share statistics?** One channel of the whole batch, one sample, one group of channels, ...
2. **Which statistic?** Mean and variance; others use the root mean square, a norm, a covariance.
3. **How is it applied?** Standardize: subtract the mean, divide by the deviation.
4. **How is capacity restored?** A learned scale γ and shift β, for each channel or for each element.

The composed form of a method spells the decisions out with small Tensor ops: `moments` over the axes of decision
1, `standardize`, `affine`. The fused form is `RowNorm` where a group is contiguous in memory, and `ChannelNorm`
where it is strided. The file of a method says which decisions it makes, and offers both forms as one function.
"""

from functools import lru_cache
from typing import Any

import numpy as np

from minigrad.autograd import Tensor
from minigrad.autograd.fused import Fused
from minigrad.autograd.tensor import raw
from minigrad.kernels import norm as kernels
from minigrad.ops.reduction import mean
from minigrad.ops.shape import reshape
from minigrad.ops.unary import sqrt

# -- the composed form: the steps as the papers write them ---------------------------------------------------


def moments(x: Any, axes: tuple[int, ...]) -> tuple[Any, Any]:
    """μ and the biased variance σ² over `axes`, which stay as axes of length 1."""
    mu = mean(x, axes, keepdim=True)
    deviation = x - mu
    return mu, mean(deviation * deviation, axes, keepdim=True)


def standardize(x: Any, mu: Any, variance: Any, eps: float) -> Any:
    """x̂ = (x − μ) / √(σ² + ε)."""
    return (x - mu) / sqrt(variance + eps)


def affine(x_hat: Any, gamma: Any, beta: Any, shape: tuple[int, ...]) -> Any:
    """y = γ x̂ + β, with γ and β brought to a shape that broadcasts against x̂. Either may be None."""
    y = x_hat if gamma is None else x_hat * reshape(gamma, shape)
    return y if beta is None else y + reshape(beta, shape)


# -- the fused form: one graph op for each memory layout -----------------------------------------------------


PASSES = 2
"""Number of passes of a normalization over its input. From it follows the size from which all threads are used."""

RUN = 32
"""Starting a run of neighbouring elements costs about as much as this number of elements."""


class FusedNorm(Fused):
    """What both layouts share: (x, γ, β) → y, and a backward kernel whose own derivative is the composed form's.

    Attributes:
        eps: ε.
        parameters: number of γ, which is also the number of β.
        stats: (4, groups), the statistics of the forward pass: the mean's high and low part, 1/√(σ² + ε), σ².
    """

    eps: float
    parameters: int
    stats: Any = None

    def forward(self, x: Any, gamma: Any, beta: Any) -> Any:
        self.save_for_backward(x, gamma, beta)
        x = np.ascontiguousarray(x)
        y = np.empty_like(x)
        if x.size:
            # (Raveled here: two calls of `self.parameter` are a measurable part of a small norm.)
            gamma = self.parameter(None, 1, x.dtype) if gamma is None else gamma.ravel()
            beta = self.parameter(None, 0, x.dtype) if beta is None else beta.ravel()
            self.normalize(x, gamma, beta, y)
        return y

    def gradients(self, g: Any, x: Any, gamma: Any, beta: Any) -> tuple[Any, Any, Any]:
        x, g = np.ascontiguousarray(x), np.ascontiguousarray(g)
        dx = np.empty_like(x)
        dgamma, dbeta = np.empty(self.parameters, x.dtype), np.empty(self.parameters, x.dtype)
        if x.size:
            self.differentiate(g, x, self.parameter(gamma, 1, x.dtype), dx, dgamma, dbeta)
        else:
            dgamma[...] = dbeta[...] = 0
        return (
            dx if self.needs(0) else None,
            like(dgamma, gamma) if self.needs(1) else None,
            like(dbeta, beta) if self.needs(2) else None,
        )

    def parameter(self, values: Any, default: int, dtype: Any) -> Any:
        return vector(values, default, self.parameters, dtype)

    # -- what a layout adds --

    def normalize(self, x: Any, gamma: Any, beta: Any, y: Any) -> None:
        """Write the output into `y`."""
        raise NotImplementedError

    def differentiate(self, g: Any, x: Any, gamma: Any, dx: Any, dgamma: Any, dbeta: Any) -> None:
        """Write the three gradients."""
        raise NotImplementedError


def like(array: Any, other: Any) -> Any:
    """`array` in the shape of `other`."""
    return array if array.shape == other.shape else array.reshape(other.shape)


def vector(values: Any, default: int, n: int, dtype: Any) -> Any:
    """γ or β as a contiguous vector; n times the default if there is none."""
    return constant(default, n, dtype) if values is None else values.ravel()


def squares_fit(*arrays: Any) -> bool:
    """Can kernels square these numbers? They do it in float64, which has room for the square of any float32.

    The composed form computes with numbers of any size.
    """
    for a in arrays:
        if a.dtype == np.float64 and a.size:
            m = max(a.max(), -a.min())  # max |x|, without an array of |x|
            if 1e150 < m < np.inf or 0 < m < 1e-150:
                return False
    return True


def constant(value: int, n: int, dtype: Any) -> Any:
    """γ = 1 or β = 0, for layers without them. Kernels only read it."""
    return _kept(value, n, dtype) if n <= KEPT else np.full(n, value, dtype)


KEPT = 1 << 16
"""Only vectors up to this length are kept. Longer ones would fill memory, and making them costs little beside the work
on them."""


@lru_cache(maxsize=64)
def _kept(value: int, n: int, dtype: Any) -> Any:
    return np.full(n, value, dtype)


class RowNorm(FusedNorm):
    """A group is contiguous. The input is seen as rows of `length` elements, one group each.

    Attributes:
        length: elements in a group.
        run: number of neighbouring elements that share one γ and one β.
    """

    length: int
    run: int

    def normalize(self, x: Any, gamma: Any, beta: Any, y: Any) -> None:
        size, length = x.size, self.length
        groups = size // length
        self.stats = stats = np.empty((4, groups), x.dtype)
        x, y = x.ravel(), y.ravel()
        if self.run == 1:
            work = 3 * PASSES * size // 2  # more than PASSES: each element has its own γ and β, which are read as well
            kernels.rows_forward(work, x, gamma, beta, self.eps, y, stats)
        else:
            runs = length // self.run
            kernels.segments_forward(PASSES * size + RUN * groups * runs, x, gamma, beta, self.eps, y, stats, runs)

    def differentiate(self, g: Any, x: Any, gamma: Any, dx: Any, dgamma: Any, dbeta: Any) -> None:
        if self.run == 1:
            shape = (-1, self.length)
            x, g, dx = x.reshape(shape), g.reshape(shape), dx.reshape(shape)
            # 1.5 passes, not 2: each chunk sums its own ∂L/∂γ, which costs part of what a thread gains.
            work = 3 * x.size // 2
            chunks = kernels.row_chunks(len(x), work)
            partial = np.empty((chunks, 2, gamma.size // self.length, self.length), x.dtype)
            kernels.rows_backward(work, g, x, gamma, self.stats, dx, dgamma, dbeta, partial)
        else:
            shape = (-1, self.length // self.run, self.run)
            x, g, dx = x.reshape(shape), g.reshape(shape), dx.reshape(shape)
            partial = np.empty((2, *x.shape[:2]))
            work = PASSES * x.size + RUN * partial.size // 2
            kernels.segments_backward(work, g, x, gamma, self.stats, dx, dgamma, dbeta, partial)


class ChannelNorm(FusedNorm):
    """A group is one channel, axis 1, of all samples. The input is seen as (N, C) or (N, C, S).

    Attributes:
        given: (mean, variance), constants for each channel, to normalize by. None: the statistics of the input.
    """

    given: Any = None

    def layout(self, *arrays: Any) -> Any:
        """Arrays of the input's shape as the kernels see them: (N, C), or (N, C, S)."""
        x = arrays[0]
        if x.ndim == 2:
            return arrays
        batch, channels = x.shape[:2]
        space = x.size // (batch * channels)
        shape = (batch, channels, space) if space > 1 else (batch, channels)
        return [array.reshape(shape) for array in arrays]

    def work(self, x: Any) -> int:
        """The amount of work to share between threads; 0 if all rows are one task."""
        if x.ndim == 2:
            return 0 if x.shape[0] <= kernels.CHUNK else PASSES * x.size
        return PASSES * x.size + RUN * x.shape[0] * x.shape[1]

    def normalize(self, x: Any, gamma: Any, beta: Any, y: Any) -> None:
        self.stats = stats = np.empty((4, self.parameters), x.dtype)
        if self.given is not None:
            kernels.given_stats(self.parameters, *self.given, self.eps, stats)
        self.run_forward(x, gamma, beta, y, self.given is not None)

    def run_forward(self, x: Any, gamma: Any, beta: Any, y: Any, given: bool) -> None:
        """Write y = (x − μ) / √(σ² + ε) · γ + β by the `given` statistics in `stats`, or compute those first."""
        x, y = self.layout(x, y)
        forward = kernels.columns_forward if x.ndim == 2 else kernels.channels_forward
        work = self.work(x) // 2 if given else self.work(x)  # (no pass for the statistics)
        forward(work, x, gamma, beta, self.eps, y, self.stats, given)

    def differentiate(self, g: Any, x: Any, gamma: Any, dx: Any, dgamma: Any, dbeta: Any) -> None:
        self.run_backward(g, x, gamma, dx, dgamma, dbeta, self.given is not None)

    def run_backward(self, g: Any, x: Any, gamma: Any, dx: Any, dgamma: Any, dbeta: Any, given: bool) -> None:
        """Write the gradients of `run_forward`; `given` statistics do not depend on x."""
        x, g, dx = self.layout(x, g, dx)
        backward = kernels.columns_backward if x.ndim == 2 else kernels.channels_backward
        backward(self.work(x), g, x, gamma, self.stats, dx, dgamma, dbeta, given)


# -- running averages ----------------------------------------------------------------------------------------


def update_running(op: str, running_mean: Any, running_var: Any, stats: Any, n: int, momentum: float) -> None:
    """running ← (1 − momentum) · running + momentum · new, in place. No gradient flows into it.

    `stats` are those of a fused norm over `n` elements each: one group for each channel, or one for each channel of
    each sample. In the second case their mean over the samples is taken. The variance is made unbiased first, by n/(n
    − 1).
    """
    if running_mean is None or running_var is None:
        return
    check_writable(op, running_mean=running_mean, running_var=running_var)
    mean = running_mean._write(op) if isinstance(running_mean, Tensor) else running_mean
    variance = running_var._write(op) if isinstance(running_var, Tensor) else running_var
    kernels.update_running(stats.size, mean, variance, stats, float(momentum), n / (n - 1))


def check_writable(op: str, **averages: Any) -> None:
    """Running averages are updated in place. All are checked before the first is changed."""
    for name, values in averages.items():
        if not raw(values).flags.writeable:
            raise ValueError(
                f"{op}: {name} must be updated in place, but its elements share memory or are read-only; pass a "
                f"copy, {name}.clone()"
            )


def follow(op: str, running: Any, new: Any, momentum: float) -> None:
    """running ← (1 − momentum) · running + momentum · new, in place, for averages of any one statistic."""
    values = running._write(op) if isinstance(running, Tensor) else running
    with np.errstate(all="ignore"):  # the square of 1e20 is infinite in float32
        values[...] = (1 - momentum) * values.astype(np.float64) + momentum * np.asarray(new).reshape(values.shape)


def wide_moments(stats: Any, eps: float) -> tuple[Any, Any]:
    """μ and σ² in float64, from the statistics of a fused norm.

    A variance that overflows or underflows float32 is computed from 1/√(σ² + ε), which does not, except where ε is so
    large that this quotient knows less about σ².
    """
    mu = stats[0].astype(np.float64) + stats[1]
    variance = stats[3].astype(np.float64)
    limits = np.finfo(stats.dtype)
    if variance.size and limits.tiny <= variance.min() and variance.max() <= limits.max:
        return mu, variance
    with np.errstate(all="ignore"):
        total = stats[2].astype(np.float64) ** -2  # σ² + ε
        lost = (total < limits.tiny) | (variance > limits.max)
        return mu, np.where(lost, np.maximum(total - eps, 0), variance)


def as_stats(mu: Any, variance: Any) -> Any:
    """Statistics of the composed form, in the layout of a fused norm's."""
    mu, variance = raw(mu).reshape(-1), raw(variance).reshape(-1)
    return np.stack((mu, np.zeros_like(mu), np.zeros_like(mu), variance))


# -- checks --------------------------------------------------------------------------------------------------


FLOATS = np.dtype(np.float32), np.dtype(np.float64)


def check_float(op: str, input: Any) -> Any:
    """The input's array, which must be of floating-point numbers."""
    x = raw(input)
    if not isinstance(x, np.ndarray):
        raise TypeError(f"{op}: the input must be a tensor or an array, not a {type(x).__name__}: mg.tensor(...)")
    if x.dtype not in FLOATS:
        kind = "float32 or float64 in native byte order" if x.dtype.kind == "f" else "floating-point"
        how = "x.float()" if isinstance(input, Tensor) else "x.astype(np.float32)"
        raise TypeError(f"{op}: the input must be {kind}, not {x.dtype}: convert it first, {how}")
    return x


def check_channels(op: str, input: Any) -> Any:
    """The input's array, which must be of floating-point numbers and have channels."""
    x = check_float(op, input)
    if x.ndim < 2:
        raise ValueError(f"{op}: the input must be (N, C) or (N, C, ...), got shape {x.shape}")
    return x


def check_groups(op: str, x: Any, num_groups: int) -> None:
    """The channels must be divisible into equal groups."""
    if num_groups < 1 or x.shape[1] % num_groups:
        raise ValueError(
            f"{op}: the input's {x.shape[1]} channels (shape {x.shape}) cannot be divided into "
            f"num_groups={num_groups} equal groups"
        )


PARAMETERS = ("weight", "bias", "running_mean", "running_var")


def check_parameters(
    op: str, x: Any, shape: tuple[int, ...], *parameters: Any, names: tuple[str, ...] = PARAMETERS
) -> None:
    """γ, β and running averages (each may be None) must have the right shape and the input's dtype."""
    dtype = x.dtype
    for values in parameters:
        if values is not None:
            array = values.array if isinstance(values, Tensor) else values
            if type(array) is not np.ndarray or array.shape != shape or array.dtype is not dtype:
                break
    else:
        return  # fast exit: everything fits
    for name, values in zip(names, parameters, strict=False):
        if values is None:
            continue
        values = raw(values)
        if not isinstance(values, np.ndarray):
            raise TypeError(f"{op}: {name} must be a tensor or an array, not a {type(values).__name__}")
        if values.shape != shape:
            raise ValueError(
                f"{op}: {name} has shape {values.shape}, and must have {shape} for an input of shape {x.shape}"
            )
        if values.dtype != dtype:
            raise TypeError(
                f"{op}: the input is {dtype} and {name} is {values.dtype}; bring them to one dtype, "
                "x.double() or module.double()"
            )
