"""The batch normalization layer for a batch that is spread over several processes."""

from copy import deepcopy
from typing import Any

from minigrad.autograd import Tensor
from minigrad.nn.module import Module
from minigrad.nn.norm.batch import BatchNorm1d, BatchNorm2d, BatchNorm3d, _BatchNorm
from minigrad.nn.norm.population import ChannelPopulation, has_variance
from minigrad.ops.norm.moments import Moments
from minigrad.ops.norm.sync import communicator, normalize_together


class SyncBatchNorm(_BatchNorm):
    """Batch norm over the samples of all processes. Each process trains on its part of the batch.

    y = (x − μ) / √(σ² + ε) · γ + β; see `functional.sync_batch_norm` for how, and for how to start the processes.

    With `BatchNorm1d`, a batch of 32 on four processes is four batches of 8, each with its own, noisier statistics.
    Here μ and σ² are those of all 32 samples. In evaluation, and with a single process, this is batch norm: nothing is
    exchanged, and no MPI is needed.

    Args:
        num_features: C, the number of channels.
        eps: ε, under the root.
        momentum: the weight of the new batch in the running averages; None averages all batches equally.
        affine: False leaves γ (`weight`) and β (`bias`) out.
        track_running_stats: False keeps no averages; evaluation then uses the statistics of this process's part.
        process_group: an mpi4py communicator; default: all processes that `mpiexec` started.
        bias: False leaves only β out.
        dtype: of parameters and averages; float32 by default.

    Shapes:
        (N_r, C) or (N_r, C, *) on rank r → the same; N_r may be 0.

    Raises:
        ImportError: there are several processes, and mpi4py is not installed.
        ValueError: another number of channels; one value per channel on all processes together.
        RuntimeError: the processes do not make the same call.

    γ and β get this process's share of their gradients, as all parameters do; add them over the processes before
    the optimizer's step::

        for p in model.parameters():
            p.grad = ops.collective.all_reduce(p.grad)

    `nn.utils.recompute_statistics` gives all processes the statistics of the whole set. Each process's loader yields
    its share of the set, and all loaders the same number of batches. The state dictionary is that of a `BatchNorm1d`.

    Source: Ioffe & Szegedy, arXiv 1502.03167; Zhang et al., arXiv 1803.08904, for the synchronization.

    Example:
        >>> import minigrad as mg
        >>> norm = mg.nn.SyncBatchNorm(2)
        >>> norm(mg.tensor([[1.0, 10.0], [3.0, 30.0]])).shape
        (2, 2)
    """

    input_ndims, layouts = (2, 3, 4, 5), "(N, C) or (N, C, ...)"

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        process_group: Any = None,
        *,
        bias: bool = True,
        dtype: Any = None,
    ):
        super().__init__(num_features, eps, momentum, affine, track_running_stats, bias=bias, dtype=dtype)
        self.process_group = process_group

    def forward(self, input: Tensor) -> Tensor:
        group = communicator("SyncBatchNorm", self.process_group) if self.training else None
        if group is None:
            return super().forward(input)
        moves = self.track_running_stats
        y, n = normalize_together(
            input,
            self.running_mean if moves else None,
            self.running_var if moves else None,
            self.weight,
            self.bias,
            self.next_momentum(),
            self.eps,
            group,
            lambda: self.check_input(input, 1),
        )
        if moves and n:  # (an input that is empty on this process may not be empty on others)
            self.count()
        return y

    def population_statistics(self) -> Any:
        """The statistics of what all processes see; see `population`."""
        group = communicator("SyncBatchNorm", self.process_group)
        if group is None or self.running_mean is None:
            return super().population_statistics()
        return _SharedPopulation(self, group)

    def has_variance(self, x: Any) -> bool:
        """True if all processes together have more than one value per channel. (See `population`.)"""
        group = communicator("SyncBatchNorm", self.process_group)
        if group is None:
            return has_variance(x)
        return sum(group.allgather(x.size // max(self.num_features, 1))) != 1

    def __deepcopy__(self, memo: dict[int, Any]) -> "SyncBatchNorm":
        """A copy of parameters and averages in the same group: a communicator cannot be copied."""
        memo[id(self.process_group)] = self.process_group
        copy = type(self).__new__(type(self))
        memo[id(self)] = copy
        for name, value in self.__dict__.items():
            object.__setattr__(copy, name, deepcopy(value, memo))
        return copy

    @classmethod
    def convert_sync_batchnorm(cls, module: Module, process_group: Any = None) -> Module:
        """Put a SyncBatchNorm in the place of each BatchNorm1d, 2d and 3d in `module`, with the same tensors.

        Args:
            module: it is changed, and returned; if it is a batch norm itself, its replacement is returned.
            process_group: for the new layers.

        Parameters stay the same objects, so an optimizer that has them goes on working. Your own subclasses may
        compute something else, so they stay as they are (PyTorch converts them). Parametrized norms also stay as they
        are.

        Example:
            >>> import minigrad as mg
            >>> model = mg.nn.Sequential(mg.nn.Linear(3, 2), mg.nn.BatchNorm1d(2))
            >>> type(mg.nn.SyncBatchNorm.convert_sync_batchnorm(model)[1]).__name__
            'SyncBatchNorm'
        """
        if not isinstance(module, Module):
            raise TypeError(f"convert_sync_batchnorm: a Module is to be converted, not a {type(module).__name__}")
        norms = [m for m in module.modules() if type(m) in (BatchNorm1d, BatchNorm2d, BatchNorm3d)]
        replacements = {norm: cls._from(norm, process_group) for norm in norms}
        if module in replacements:
            return replacements[module]
        for parent in list(module.modules()):
            for name in parent._module_names:
                child = getattr(parent, name)
                if child in replacements:
                    parent.add_module(name, replacements[child])
        return module

    @classmethod
    def _from(cls, norm: Any, process_group: Any) -> "SyncBatchNorm":
        new = cls(norm.num_features, norm.eps, norm.momentum, False, False, process_group)
        new.affine, new.track_running_stats = norm.affine, norm.track_running_stats
        for name in ("weight", "bias"):
            new.register_parameter(name, getattr(norm, name))
        for name in ("running_mean", "running_var", "num_batches_tracked"):
            new.register_buffer(name, getattr(norm, name))
        for name in ("training", "_mode_when_unfrozen", "_hooks"):
            setattr(new, name, getattr(norm, name))
        return new


class _SharedPopulation(ChannelPopulation):
    """The mean and variance of each channel over what all processes added, each its share; the same on all of them."""

    def __init__(self, layer: SyncBatchNorm, group: Any):
        super().__init__(layer)
        self.group, self.calls = group, 0

    @property
    def count(self) -> int:
        """Number of parts that were added, empty ones included, so that all processes store."""
        return self.calls

    def add(self, x: Any) -> None:
        """Add this process's share of an input."""
        self.calls += 1
        super().add(x)

    def store(self) -> None:
        """Add up all shares, and set the layer's averages."""
        own, whole = self.moments, Moments(self.layer.num_features)
        for part in self.group.allgather((own.count, own.mean, own.squares)):
            whole.merge(*part)
        if not whole.count:
            raise ValueError("SyncBatchNorm: the loaders of all processes brought no data")
        self.moments = whole
        super().store()
