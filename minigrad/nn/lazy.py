"""Lazy layers: you leave out the size of the input, and the layer takes it from its first input.

`nn.LazyLinear(10)` is a `Linear` that gets its `in_features` in its first call: then it makes its parameters, and its
class becomes `Linear`. Before the first call, its parameters are `UninitializedParameter`s, which have no shape. They
stay the same objects, so you may make the optimizer before or after the first call.

If you write a lazy layer, name the class that it becomes, and define what to do at the first call::

    class LazyScale(nn.LazyModuleMixin, Scale):
        cls_to_become = Scale

        def __init__(self):
            super().__init__(0)
            self.weight = nn.UninitializedParameter()

        def initialize_parameters(self, input):
            self.weight.materialize(input.shape[-1:])
            self.reset_parameters()
"""

from typing import Any

import numpy as np

from minigrad.autograd import Tensor
from minigrad.autograd.tensor import raw
from minigrad.nn.conv import Conv1d, Conv2d, Conv3d, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from minigrad.nn.linear import Linear
from minigrad.nn.module import Module
from minigrad.nn.norm import BatchNorm1d, BatchNorm2d, BatchNorm3d, InstanceNorm1d, InstanceNorm2d, InstanceNorm3d
from minigrad.nn.parameter import Parameter, UninitializedBuffer, UninitializedParameter, is_lazy


class LazyModuleMixin:
    """Makes a module lazy. Put this class before the class of the layer: `class LazyX(LazyModuleMixin, X)`."""

    cls_to_become: Any = None
    """The class after the first call; None if it stays the same."""

    def initialize_parameters(self, *args: Any, **kwargs: Any) -> None:
        """Give the parameters their shapes and values. Called with the arguments of the first forward pass."""
        raise NotImplementedError(f"{type(self).__name__} does not define initialize_parameters(self, ...)")

    def has_uninitialized_params(self) -> bool:
        """True if there are parameters or buffers without a shape."""
        assert isinstance(self, Module)
        tensors = *self.parameters(recurse=False), *self.buffers(recurse=False)
        return any(map(is_lazy, tensors))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.cls_to_become is not None or self.has_uninitialized_params():
            self.initialize_parameters(*args, **kwargs)
            if self.has_uninitialized_params():
                raise RuntimeError(
                    f"{type(self).__name__}: initialize_parameters left parameters uninitialized; it must call "
                    "materialize(shape) of each"
                )
        if self.cls_to_become is None:
            return super().__call__(*args, **kwargs)  # type: ignore[misc]
        self.__class__ = self.cls_to_become
        return self(*args, **kwargs)


class _LazyLayer(LazyModuleMixin):
    """A layer of this library whose first argument, the size of the input, is left out."""

    size = "in_features"  # the attribute, and the argument

    def __init__(self, smallest: int, *arguments: Any, **options: Any):
        # Make the layer with any allowed size; its parameters are replaced later.
        super().__init__(smallest, *arguments, **options)  # type: ignore[call-arg]
        self._made_with = arguments, options
        setattr(self, self.size, 0)
        for name, tensor in (*self.named_parameters(), *self.named_buffers()):  # type: ignore[attr-defined]
            if tensor.ndim:
                lazy = UninitializedParameter if isinstance(tensor, Parameter) else UninitializedBuffer
                setattr(self, name, lazy(dtype=tensor.dtype))

    def size_of(self, input: Tensor) -> int:
        return input.shape[-1]

    def reset_parameters(self) -> None:
        """Do nothing before the first call, because the first call initializes the parameters."""

    def initialize_parameters(self, input: Tensor) -> None:
        """Make the parameters and buffers for this input, unless they were loaded."""
        name = type(self).__name__
        if not isinstance(input, Tensor):
            raise TypeError(f"{name}: the input must be a tensor, not a {type(input).__name__}")
        size = self.size_of(input)
        arguments, options = self._made_with
        layer: Any = self.cls_to_become(size, *arguments, **options)
        own: dict[str, Any] = dict((*self.named_parameters(), *self.named_buffers()))  # type: ignore[attr-defined]
        fresh = dict((*layer.named_parameters(), *layer.named_buffers()))
        for key, tensor in own.items():
            if not is_lazy(tensor) and tensor.shape != fresh[key].shape:
                raise ValueError(
                    f"{name}: {key}, which was loaded, has shape {tensor.shape}; this input, of shape {input.shape}, "
                    f"needs {fresh[key].shape}"
                )
        if any(is_lazy(tensor) and tensor.dtype != fresh[key].dtype for key, tensor in own.items()):
            layer.to(next(tensor for tensor in own.values() if is_lazy(tensor)).dtype)
            layer.reset_parameters()  # drawn in this precision
        for key, tensor in own.items():
            if is_lazy(tensor):
                tensor.materialize(fresh[key].shape)
                np.copyto(tensor.array, raw(fresh[key]))
        setattr(self, self.size, size)
        del self._made_with


class LazyLinear(_LazyLayer, Linear):
    """A `Linear` that takes `in_features` from its first input, and then becomes a plain `Linear`.

    Args:
        out_features, bias, dtype: as for `Linear`.

    Example:
        >>> import minigrad as mg
        >>> layer = mg.nn.LazyLinear(10)
        >>> layer.weight
        <UninitializedParameter>
        >>> layer(mg.zeros(32, 64)).shape
        (32, 10)
        >>> layer
        Linear(in_features=64, out_features=10, bias=True)  650  weight 10x64, bias 10
        total: 650 parameters
    """

    cls_to_become = Linear

    def __init__(self, out_features: int, bias: bool = True, *, dtype: Any = None):
        super().__init__(1, out_features, bias, dtype=dtype)


class _LazyConv(_LazyLayer):
    size = "in_channels"
    n: int

    def size_of(self, input: Tensor) -> int:
        if input.ndim not in (self.n + 1, self.n + 2):
            raise ValueError(
                f"{type(self).__name__}: the input must have {self.n + 2} axes, or {self.n + 1} without a batch, "
                f"got shape {input.shape}"
            )
        return input.shape[-self.n - 1]


class _LazyConvForward(_LazyConv):
    def __init__(
        self,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        *,
        dtype: Any = None,
    ):
        super().__init__(
            groups, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, dtype=dtype
        )


class LazyConv1d(_LazyConvForward, Conv1d):
    """A `Conv1d` that takes `in_channels` from its first input."""

    cls_to_become = Conv1d


class LazyConv2d(_LazyConvForward, Conv2d):
    """A `Conv2d` that takes `in_channels` from its first input, and then becomes a plain `Conv2d`.

    Example:
        >>> import minigrad as mg
        >>> net = mg.nn.Sequential(mg.nn.LazyConv2d(4, 3), mg.nn.Flatten(), mg.nn.LazyLinear(10))
        >>> net(mg.zeros(2, 1, 8, 8)).shape, net[0].in_channels, net[2].in_features
        ((2, 10), 1, 144)
    """

    cls_to_become = Conv2d


class LazyConv3d(_LazyConvForward, Conv3d):
    """A `Conv3d` that takes `in_channels` from its first input."""

    cls_to_become = Conv3d


class _LazyConvTranspose(_LazyConv):
    def __init__(
        self,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Any = 1,
        padding_mode: str = "zeros",
        *,
        dtype: Any = None,
    ):
        super().__init__(
            groups, out_channels, kernel_size, stride, padding, output_padding, groups, bias, dilation, padding_mode,
            dtype=dtype,
        )  # fmt: skip

    def initialize_parameters(self, input: Tensor, output_size: Any = None) -> None:
        super().initialize_parameters(input)


class LazyConvTranspose1d(_LazyConvTranspose, ConvTranspose1d):
    """A `ConvTranspose1d` that takes `in_channels` from its first input."""

    cls_to_become = ConvTranspose1d


class LazyConvTranspose2d(_LazyConvTranspose, ConvTranspose2d):
    """A `ConvTranspose2d` that takes `in_channels` from its first input."""

    cls_to_become = ConvTranspose2d


class LazyConvTranspose3d(_LazyConvTranspose, ConvTranspose3d):
    """A `ConvTranspose3d` that takes `in_channels` from its first input."""

    cls_to_become = ConvTranspose3d


class _LazyNorm(_LazyLayer):
    size = "num_features"
    input_ndims: tuple[int, ...]
    layouts: str

    def __init__(
        self,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        *,
        bias: bool = True,
        dtype: Any = None,
    ):
        super().__init__(1, eps, momentum, affine, track_running_stats, bias=bias, dtype=dtype)

    def size_of(self, input: Tensor) -> int:
        if input.ndim not in self.input_ndims:
            raise ValueError(f"{type(self).__name__}: the input must be {self.layouts}, got shape {input.shape}")
        return input.shape[self.channel_axis(input)]

    def channel_axis(self, input: Tensor) -> int:
        return 1


class LazyBatchNorm1d(_LazyNorm, BatchNorm1d):
    """A `BatchNorm1d` that takes `num_features` from its first input."""

    cls_to_become = BatchNorm1d


class LazyBatchNorm2d(_LazyNorm, BatchNorm2d):
    """A `BatchNorm2d` that takes `num_features` from its first input."""

    cls_to_become = BatchNorm2d


class LazyBatchNorm3d(_LazyNorm, BatchNorm3d):
    """A `BatchNorm3d` that takes `num_features` from its first input."""

    cls_to_become = BatchNorm3d


class _LazyInstanceNorm(_LazyNorm):
    def channel_axis(self, input: Tensor) -> int:
        return input.ndim - max(self.input_ndims) + 1


class LazyInstanceNorm1d(_LazyInstanceNorm, InstanceNorm1d):
    """An `InstanceNorm1d` that takes `num_features` from its first input."""

    cls_to_become = InstanceNorm1d


class LazyInstanceNorm2d(_LazyInstanceNorm, InstanceNorm2d):
    """An `InstanceNorm2d` that takes `num_features` from its first input."""

    cls_to_become = InstanceNorm2d


class LazyInstanceNorm3d(_LazyInstanceNorm, InstanceNorm3d):
    """An `InstanceNorm3d` that takes `num_features` from its first input."""

    cls_to_become = InstanceNorm3d
