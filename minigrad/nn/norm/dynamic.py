"""Layers in place of a normalization, without statistics: Dynamic Tanh and Dynamic erf."""

from typing import Any

import numpy as np

from minigrad.autograd import Tensor
from minigrad.nn import functional as F
from minigrad.nn.norm.common import Norm
from minigrad.nn.parameter import Parameter


class _Dynamic(Norm):
    alpha: Parameter

    def __init__(self, normalized_shape: Any, channels_last: bool, alpha_init_value: float, dtype: Any):
        super().__init__()
        lengths = (normalized_shape,) if isinstance(normalized_shape, int | np.integer) else normalized_shape
        shape = tuple(int(n) for n in lengths)
        if not channels_last and len(shape) != 1:
            raise ValueError(
                f"{type(self).__name__}: with channels_last=False normalized_shape is the number of channels, and not "
                f"{normalized_shape}"
            )
        self.normalized_shape, self.channels_last, self.alpha_init_value = shape, channels_last, alpha_init_value
        dtype = np.float32 if dtype is None else dtype
        self.alpha = Parameter(np.full(1, alpha_init_value, dtype))
        self.make_affine(shape, True, True, dtype)

    def reset_parameters(self) -> None:
        """Set α to its first value, γ to 1, and β to 0."""
        self.alpha.detach().fill_(self.alpha_init_value)
        super().reset_parameters()

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, channels_last={self.channels_last}, alpha_init_value={self.alpha_init_value}"


class DynamicTanh(_Dynamic):
    """Squash every element by a tanh of learned steepness. Takes the place of layer normalization.

    y = γ tanh(α x) + β; see `functional.dynamic_tanh`.

    Args:
        normalized_shape: the lengths of the trailing axes, for γ (`weight`) and β (`bias`); an int for one axis.
        channels_last: False for (N, C, *), `normalized_shape` being C.
        alpha_init_value: where α (`alpha`, one number for the layer) starts.
        dtype: of the parameters; float32 by default.

    Shapes:
        (*, *normalized_shape) → the same; with `channels_last=False`, (N, C, *) → the same.

    Raises:
        ValueError: an input that does not end in `normalized_shape`, or has another number of channels.

    The names of the arguments and of the parameters are those of the authors' own layer.

    There are no statistics, and nothing changes in evaluation.

    Source: Zhu, Chen, He, LeCun & Liu, "Transformers without normalization", arXiv 2503.10622.

    Example:
        >>> import minigrad as mg
        >>> sorted(name for name, _ in mg.nn.DynamicTanh(4).named_parameters())
        ['alpha', 'bias', 'weight']
    """

    def __init__(
        self, normalized_shape: Any, channels_last: bool = True, alpha_init_value: float = 0.5, *, dtype: Any = None
    ):
        super().__init__(normalized_shape, channels_last, alpha_init_value, dtype)

    def forward(self, input: Tensor) -> Tensor:
        return F.dynamic_tanh(input, self.alpha, self.weight, self.bias, channels_last=self.channels_last)


class DynamicErf(_Dynamic):
    """Derf: squash every element by an error function of learned steepness and place.

    y = γ erf(α x + s) + β; see `functional.dynamic_erf`.

    Args:
        normalized_shape: the lengths of the trailing axes, for γ (`weight`) and β (`bias`); an int for one axis.
        channels_last: False for (N, C, *), `normalized_shape` being C.
        alpha_init_value: where α (`alpha`, one number for the layer) starts.
        shift_init_value: where s (`shift`, one number for the layer) starts.
        dtype: of the parameters; float32 by default.

    Shapes:
        (*, *normalized_shape) → the same; with `channels_last=False`, (N, C, *) → the same.

    Raises:
        ValueError: an input that does not end in `normalized_shape`, or has another number of channels.

    There are no statistics, and nothing changes in evaluation.

    Source: Chen et al., "Stronger normalization-free transformers", arXiv 2512.10938.

    Example:
        >>> import minigrad as mg
        >>> norm = mg.nn.DynamicErf(3, alpha_init_value=1.0)
        >>> norm(mg.tensor([[-10.0, 0.0, 10.0]])).tolist()
        [[-1.0, 0.0, 1.0]]
    """

    shift: Parameter

    def __init__(
        self,
        normalized_shape: Any,
        channels_last: bool = True,
        alpha_init_value: float = 0.5,
        shift_init_value: float = 0.0,
        *,
        dtype: Any = None,
    ):
        super().__init__(normalized_shape, channels_last, alpha_init_value, dtype)
        self.shift_init_value = shift_init_value
        self.shift = Parameter(np.full(1, shift_init_value, np.float32 if dtype is None else dtype))

    def forward(self, input: Tensor) -> Tensor:
        return F.dynamic_erf(input, self.alpha, self.shift, self.weight, self.bias, channels_last=self.channels_last)

    def reset_parameters(self) -> None:
        """Set α and s to their first values, γ to 1, and β to 0."""
        self.shift.detach().fill_(self.shift_init_value)
        super().reset_parameters()

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, shift_init_value={self.shift_init_value}"
