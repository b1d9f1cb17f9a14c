"""What `nn.utils.recompute_statistics` asks of a layer: something that looks at its inputs and sets its averages.

A layer with running averages has a method `population_statistics()`, which returns an object with

    add(x)      called with each input of the layer, an array
    store()     called at the end: replace the averages by the statistics of everything that was added
    count       0 if nothing was added

or None where the layer keeps no averages. Here are the two that the layers of batch and instance norm use.

During this pass the layer normalizes by its batches, if `has_variance(x)` is true. A layer that needs more than one
value per channel has a method of that name.
"""

from typing import Any

import numpy as np

from minigrad.ops.norm.batch import channel_axes
from minigrad.ops.norm.moments import Moments


def has_variance(x: Any) -> bool:
    """True if this input, an array, has more than one value per channel. One value has no variance."""
    return x.ndim < 2 or x.size != x.shape[1]


class ChannelPopulation:
    """The mean and the unbiased variance of each channel over everything that was added.

    Args:
        layer: it has `num_features`, and buffers `running_mean` and `running_var`, or only one of them.
    """

    def __init__(self, layer: Any):
        self.layer = layer
        self.moments = Moments(layer.num_features)

    @property
    def count(self) -> int:
        """Number of values of each channel that were added."""
        return self.moments.count

    def add(self, x: Any) -> None:
        """Add an input, (N, C) or (N, C, *)."""
        self.moments.add(x, channel_axes(x))

    def store(self) -> None:
        """Set the layer's averages."""
        running_mean, running_var = (getattr(self.layer, name, None) for name in ("running_mean", "running_var"))
        if running_mean is not None:
            running_mean.copy_(self.moments.mean)
        if running_var is not None:
            if self.moments.count == 1:
                raise ValueError(
                    f"{type(self.layer).__name__}: it saw one value per channel in all, which has no variance"
                )
            running_var.copy_(self.moments.variance(correction=1))


class InstancePopulation:
    """The averages over all samples of each sample's own mean and unbiased variance: those of instance norm."""

    def __init__(self, layer: Any):
        self.layer = layer
        self.count = 0
        self.sums = np.zeros((2, layer.num_features))

    def add(self, x: Any) -> None:
        """Add an input, (N, C, *) or (C, *)."""
        x = x[None] if x.ndim == self.layer.input_ndims[0] else x
        if x.size == 0:
            return
        space = tuple(range(2, x.ndim))
        self.sums[0] += x.mean(space, dtype=np.float64).sum(0)
        self.sums[1] += x.var(space, dtype=np.float64, ddof=1).sum(0)
        self.count += len(x)

    def store(self) -> None:
        """Set the layer's averages."""
        self.layer.running_mean.copy_(self.sums[0] / self.count)
        self.layer.running_var.copy_(self.sums[1] / self.count)
