"""What normalization layers share: γ and β, and one pair of running averages for each channel."""

from typing import Any

import numpy as np

from minigrad.autograd import Tensor
from minigrad.nn.module import Module
from minigrad.nn.norm.population import ChannelPopulation
from minigrad.nn.parameter import Parameter


class Norm(Module):
    """γ (`weight`) starts at 1 and β (`bias`) at 0: a new layer standardizes and does no more."""

    weight: Parameter | None
    bias: Parameter | None

    def make_affine(self, shape: tuple[int, ...], affine: bool, bias: bool, dtype: Any) -> None:
        self.register_parameter("weight", Parameter(np.ones(shape, dtype)) if affine else None)
        self.register_parameter("bias", Parameter(np.zeros(shape, dtype)) if affine and bias else None)

    def reset_parameters(self) -> None:
        """γ back to 1, and β to 0."""
        for parameter, value in ((self.weight, 1), (self.bias, 0)):
            if parameter is not None:
                parameter.detach().fill_(value)


class ChannelNorm(Norm):
    """What batch and instance norm share: one γ, one β and one pair of running averages for each channel.

    `averages` names the buffers of the averages, with the values that they start from. The defaults are batch norm's.
    """

    averages: dict[str, float] = {"running_mean": 0, "running_var": 1}
    input_ndims: tuple[int, ...]
    layouts: str

    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        *,
        bias: bool = True,
        dtype: Any = None,
    ):
        super().__init__()
        dtype = np.float32 if dtype is None else dtype
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        self.make_affine((num_features,), affine, bias, dtype)
        tracked = track_running_stats
        for name, value in self.first_averages().items():
            self.register_buffer(name, Tensor(value.astype(dtype)) if tracked else None)
        self.register_buffer("num_batches_tracked", Tensor(np.array(0)) if tracked else None)

    def first_averages(self) -> dict[str, Any]:
        """The value of each running average before the first batch."""
        return {name: np.full(self.num_features, value) for name, value in self.averages.items()}

    def reset_running_stats(self) -> None:
        """Set the running averages back to their first values, and the number of batches to 0."""
        for name, value in (*self.first_averages().items(), ("num_batches_tracked", 0)):
            buffer = getattr(self, name)
            if buffer is not None:
                buffer.copy_(value)

    @property
    def batches_seen(self) -> int:
        """Number of batches in the running averages."""
        return 0 if self.num_batches_tracked is None else int(self.num_batches_tracked.item())

    def next_momentum(self) -> float:
        """The weight of the next batch. With momentum=None the k-th batch has weight 1/k, so that all batches count
        alike."""
        return 1 / (self.batches_seen + 1) if self.momentum is None else self.momentum

    def count_batch(self, input: Tensor, by: int = 1) -> None:
        """Count one more batch, unless it is empty."""
        if 0 not in input.shape:
            self.count(by)

    def count(self, by: int = 1) -> None:
        """Count `by` more batches."""
        if self.num_batches_tracked is not None:
            count = self.num_batches_tracked._write(type(self).__name__)
            count[()] = count.item() + by  # (ten times faster than += on a 0-d array)

    def reset_parameters(self) -> None:
        """Set γ to 1, β to 0, and the running averages to their first values."""
        self.reset_running_stats()
        super().reset_parameters()

    def _update_names(self, state: dict[str, Any], prefix: str) -> None:
        # Checkpoints from before batches were counted have no counter. As in PyTorch, this one's stays as it is.
        if self.num_batches_tracked is not None:
            state.setdefault(f"{prefix}num_batches_tracked", self.num_batches_tracked)

    def population_statistics(self) -> Any:
        """The object that `nn.utils.recompute_statistics` feeds with this layer's inputs; None without running
        averages. A layer with other averages than means and unbiased variances of channels returns another object.
        """
        return None if self.running_mean is None else ChannelPopulation(self)

    def check_input(self, input: Tensor, channel_axis: int) -> None:
        shape, name = input.shape, type(self).__name__
        if len(shape) not in self.input_ndims:
            raise ValueError(f"{name}: the input must be {self.layouts}, got shape {shape}")
        if shape[channel_axis] != self.num_features:
            raise ValueError(
                f"{name}: num_features={self.num_features}, but the input has {shape[channel_axis]} channels "
                f"(axis {channel_axis} of shape {shape}); give the layer the number of channels that comes in"
            )

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )
