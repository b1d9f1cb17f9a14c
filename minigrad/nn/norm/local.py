"""Normalization by a neighbourhood: local response and divisive normalization layers."""

from typing import Any

import numpy as np

from minigrad.autograd import Tensor
from minigrad.nn import functional as F
from minigrad.nn.module import Module
from minigrad.nn.norm.common import Norm
from minigrad.ops.reduction import mean
from minigrad.ops.unary import abs


class LocalResponseNorm(Module):
    """Divide every element by a power of the energy of neighbouring channels.

    y_c = x_c / (k + α · mean(x_j²))^β over a window of `size` channels around c; see
    `functional.local_response_norm`.

    Args:
        size: n, number of channels in a window.
        alpha: α, the weight of the squares.
        beta: β, the exponent.
        k: the base of the denominator where all channels are 0.
        average: False: the sum of the squares, as in the paper and in TensorFlow, so that α is not divided by n.

    Shapes:
        (N, C) or (N, C, *) → the same.

    Raises:
        ValueError: a size below 1, or an input without channels.

    It learns nothing, and nothing changes in evaluation. The paper's settings are
    `LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=2.0, average=False)`.

    Source: Krizhevsky, Sutskever & Hinton, "ImageNet classification with deep convolutional neural networks", 2012.

    Example:
        >>> import minigrad as mg
        >>> norm = mg.nn.LocalResponseNorm(3, alpha=1.0, beta=0.5, k=0.0, average=False)
        >>> norm(mg.tensor([[3.0, 4.0, 0.0, 2.0]]))  # 3/5, 4/5, 0, 2/2
        tensor([[0.6, 0.8, 0. , 1. ]])
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0, *, average: bool = True):
        super().__init__()
        self.size, self.alpha, self.beta, self.k, self.average = size, alpha, beta, k, average

    def forward(self, input: Tensor) -> Tensor:
        return F.local_response_norm(input, self.size, self.alpha, self.beta, self.k, average=self.average)

    def extra_repr(self) -> str:
        of_sum = "" if self.average else ", average=False"
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}{of_sum}"


class DivisiveNorm(Norm):
    """Subtract from every element the mean around it, and divide by the deviation around it.

    v = x − mean_A(x),  y = v / √(σ² + mean_B(v²)) · γ + β; see `functional.divisive_norm`.

    Args:
        num_features: C, the number of channels.
        window: the box A in space; an int, or one length for each axis; None means the whole axis.
        sigma: σ; at 1, the default, weak signals stay weak.
        affine: False leaves γ (`weight`) and β (`bias`) out.
        suppression: the box B in space; None means B = A.
        channels: number of neighbouring channels in both boxes; None means all.
        count_include_pad: True: elements beyond the edges count as zeros. False: they are left out.
        l1: the weight of the paper's penalty. If not 0, each call in training leaves l1 · mean(|v|) in `penalty`, to
            be added to the loss.
        bias: False leaves only β out.
        dtype: of the parameters; float32 by default.

    Shapes:
        (N, C) or (N, C, *) → the same. For (N, C) the window slides along the features.

    Raises:
        ValueError: another number of channels; a window that does not fit.

    Nothing changes in evaluation, except that there is no penalty.

    Source: Ren, Liao, Urtasun, Sinz & Zemel, "Normalizing the normalizers", arXiv 1611.04520.

    Example:
        >>> import minigrad as mg
        >>> norm = mg.nn.DivisiveNorm(2, window=3, l1=0.01)
        >>> x = mg.randn(4, 2, 5, 5)
        >>> loss = norm(x).square().mean() + norm.penalty
    """

    penalty: Tensor | None

    def __init__(
        self,
        num_features: int,
        window: Any,
        sigma: float = 1.0,
        affine: bool = True,
        *,
        suppression: Any = None,
        channels: int | None = None,
        count_include_pad: bool = False,
        l1: float = 0.0,
        bias: bool = True,
        dtype: Any = None,
    ):
        super().__init__()
        self.num_features, self.window, self.sigma, self.affine = num_features, window, sigma, affine
        self.suppression, self.channels, self.count_include_pad, self.l1 = suppression, channels, count_include_pad, l1
        self.penalty = None
        self.make_affine((num_features,), affine, bias, np.float32 if dtype is None else dtype)

    def forward(self, input: Tensor) -> Tensor:
        if input.ndim < 2 or input.shape[1] != self.num_features:
            raise ValueError(
                f"DivisiveNorm: num_features={self.num_features}, and the input must be (N, {self.num_features}, "
                f"...); its shape is {input.shape}"
            )
        y, v = F.divisive_norm(
            input,
            self.window,
            self.weight,
            self.bias,
            self.sigma,
            suppression=self.suppression,
            channels=self.channels,
            count_include_pad=self.count_include_pad,
            return_centered=True,
        )
        self.penalty = mean(abs(v)) * self.l1 if self.training and self.l1 else None
        return y

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "penalty": None}  # it belongs to a graph, and a graph cannot be copied or pickled

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, window={self.window}, sigma={self.sigma}, affine={self.affine}, "
            f"suppression={self.suppression}, channels={self.channels}, "
            f"count_include_pad={self.count_include_pad}, l1={self.l1}, bias={self.bias is not None}"
        )
