"""Group normalization, and instance normalization: groups of one channel each."""

from math import prod
from typing import Any

from minigrad.autograd.modes import modes
from minigrad.ops.norm.batch import batch_norm, per_channel
from minigrad.ops.norm.common import (
    RowNorm,
    affine,
    as_stats,
    check_channels,
    check_float,
    check_groups,
    check_parameters,
    moments,
    standardize,
    update_running,
)
from minigrad.ops.shape import reshape


class GroupNorm(RowNorm):
    """Rows are groups of channels, each channel a run of elements with one γ and one β.

    Args:
        groups: G, how many groups there are.
        shape: the input's, (N, C, *).
        eps: ε.
    """

    def __init__(self, groups: int, shape: tuple[int, ...], eps: float):
        self.groups, self.eps = groups, float(eps)
        self.parameters, self.run = shape[1], prod(shape[2:])
        self.length = self.parameters // groups * self.run if groups else 0  # (no channels, no groups)

    def composed(self, x: Any, gamma: Any, beta: Any) -> Any:
        """The paper's own six lines: see the channels as groups, normalize each, see them as channels again."""
        grouped = reshape(x, (x.shape[0], self.groups, x.shape[1] // max(self.groups, 1), *x.shape[2:]))
        x_hat = standardize(grouped, *moments(grouped, tuple(range(2, grouped.ndim))), self.eps)
        return affine(reshape(x_hat, x.shape), gamma, beta, per_channel(x))


class InstanceNorm(GroupNorm):
    """`GroupNorm` with groups of one channel each."""


def group_norm(input: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    """Normalize every group of channels of every sample by itself.

    y = (x − μ) / √(σ² + ε) · γ + β

    The four decisions: (1) the channels of a group, over space, of one sample share statistics; (2) the statistics are
    the mean and the biased variance; (3) they standardize x; (4) one γ and one β for each *channel* (not for each
    group) restore capacity. With as many groups as channels this is `instance_norm`; with one group it is `layer_norm`
    over (C, *), except that in layer norm each element has its own γ and β.

    Shapes:
        input (N, C) or (N, C, *), output the same; weight and bias (C,).

    Args:
        input: x, floating-point.
        num_groups: G, a divisor of the number of channels.
        weight, bias: γ and β; None means 1 and 0.
        eps: ε, under the root.

    Raises:
        ValueError: G does not divide C, or a shape does not fit.
        TypeError: an input that is not floating-point, or dtypes that differ.

    A batch of one is allowed, and nothing changes in evaluation. A group of equal elements, or of one, gives exactly β
    (PyTorch raises where there is a single sample whose groups have one element each). Keras has ε = 1e-3.

    Source: Wu & He, "Group normalization", arXiv 1803.08494.

    Example:
        >>> import minigrad as mg
        >>> x = mg.tensor([[1.0, 3.0, 10.0, 30.0]])
        >>> mg.nn.functional.group_norm(x, 2, eps=0.0).tolist()
        [[-1.0, 1.0, -1.0, 1.0]]
    """
    op = "group_norm"
    x = check_channels(op, input)
    channels = x.shape[1]
    check_groups(op, x, num_groups)
    check_parameters(op, x, (channels,), weight, bias)
    norm = GroupNorm(num_groups, x.shape, eps)
    return norm.composed(input, weight, bias) if modes.composed else norm(input, weight, bias)


def instance_norm(
    input: Any,
    running_mean: Any = None,
    running_var: Any = None,
    weight: Any = None,
    bias: Any = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    """Normalize every channel of every sample by itself, over space.

    y = (x − μ) / √(σ² + ε) · γ + β

    The four decisions: (1) the elements of one channel of one sample share statistics; (2) the statistics are the mean
    and the biased variance; (3) they standardize x; (4) one γ and one β for each channel restore capacity. It is
    `group_norm` with as many groups as channels.

    Shapes:
        input (N, C, *) with at least one axis of space, output the same; everything else (C,). Without
            `use_input_stats` also (N, C).

    Args:
        input: x, floating-point.
        running_mean, running_var: averages over the samples of μ and of the *unbiased* variance. With
            `use_input_stats` they are updated in place, running ← (1 − momentum) · running + momentum · new. Otherwise
            they are used, and the function is `batch_norm` in evaluation.
        weight, bias: γ and β; None means 1 and 0.
        use_input_stats: True: normalize by the statistics of the input. False: by the running averages.
        momentum: the weight of the new value.
        eps: ε, under the root.

    Raises:
        ValueError: one element of space (one element has no variance); a shape that does not fit; only one of the
            running averages.
        TypeError: an input that is not floating-point, or dtypes that differ.

    Nothing changes in evaluation unless running averages are used. By default no averages are kept, as in PyTorch.
    PyTorch's layer only warns about a wrong number of channels. Keras has it as GroupNormalization with `groups=-1`
    and ε = 1e-3.

    Source: Ulyanov, Vedaldi & Lempitsky, "Instance normalization", arXiv 1607.08022.

    Example:
        >>> import minigrad as mg
        >>> x = mg.tensor([[[1.0, 3.0], [10.0, 30.0]]])
        >>> mg.nn.functional.instance_norm(x, eps=0.0).tolist()
        [[[-1.0, 1.0], [-1.0, 1.0]]]
    """
    op = "instance_norm"
    x = check_float(op, input)
    if not use_input_stats:
        return batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    if x.ndim < 3:
        raise ValueError(f"{op}: the input must be (N, C, ...) with an axis of space, got shape {x.shape}")
    channels = x.shape[1]
    check_parameters(op, x, (channels,), weight, bias, running_mean, running_var)
    if (running_mean is None) != (running_var is None):
        raise ValueError(f"{op}: pass both running_mean and running_var, to be updated together, or neither")
    norm = InstanceNorm(channels, x.shape, eps)
    space = norm.run
    if space == 1:
        raise ValueError(
            f"{op}: more than one element of space is needed, and the input has shape {x.shape}: the variance of "
            "one element is 0. Leave the norm out where the picture is a single point, or use group_norm"
        )
    if modes.composed:
        y = norm.composed(input, weight, bias)
        stats = as_stats(*moments(x, tuple(range(2, x.ndim))))
    else:
        y = norm(input, weight, bias)
        stats = norm.stats
    if running_mean is not None and 0 not in x.shape:
        update_running(op, running_mean, running_var, stats, space, momentum)
    return y
