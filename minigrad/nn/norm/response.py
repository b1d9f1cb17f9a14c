"""Response normalization layers: FilterResponseNorm, with its ThresholdedLinearUnit, and GlobalResponseNorm."""

from typing import Any

import numpy as np

from minigrad.autograd import Tensor
from minigrad.nn import functional as F
from minigrad.nn.module import Module
from minigrad.nn.norm.common import Norm
from minigrad.nn.parameter import Parameter


def check_channels(layer: Module, input: Tensor, num_features: int) -> None:
    """Raise unless the input is (N, num_features, *)."""
    if input.ndim < 2 or input.shape[1] != num_features:
        raise ValueError(
            f"{type(layer).__name__}: num_features={num_features}, and the input must be (N, {num_features}, ...); "
            f"its shape is {input.shape}"
        )


class ThresholdedLinearUnit(Module):
    """z = max(y, τ), with a learned threshold for each channel; see `functional.thresholded_linear_unit`.

    Args:
        num_features: C, the number of channels.
        dtype: of τ (`threshold`), which starts from 0, as a ReLU; float32 by default.

    Shapes:
        (N, C) or (N, C, *) → the same.

    Nothing changes in evaluation.

    Source: Singh & Krishnan, "Filter response normalization layer", arXiv 1911.09737.

    Example:
        >>> import minigrad as mg
        >>> tlu = mg.nn.ThresholdedLinearUnit(2)
        >>> tlu.threshold.detach().copy_(mg.tensor([-1.0, 0.5])).tolist()
        [-1.0, 0.5]
        >>> tlu(mg.tensor([[-2.0, -2.0], [3.0, 3.0]])).tolist()
        [[-1.0, 0.5], [3.0, 3.0]]
    """

    def __init__(self, num_features: int, *, dtype: Any = None):
        super().__init__()
        self.num_features = num_features
        self.threshold = Parameter(np.zeros(num_features, np.float32 if dtype is None else dtype))

    def reset_parameters(self) -> None:
        """Set τ to 0."""
        self.threshold.detach().fill_(0)

    def forward(self, input: Tensor) -> Tensor:
        check_channels(self, input, self.num_features)
        return F.thresholded_linear_unit(input, self.threshold)

    def extra_repr(self) -> str:
        return str(self.num_features)


class FilterResponseNorm(Norm):
    """Divide each channel of each sample by the root mean square of its response; then cut it off below a threshold.

    y = max(x / √(ν² + ε) · γ + β, τ); see `functional.filter_response_norm`.

    Args:
        num_features: C, the number of channels.
        eps: ε, under the root.
        affine: False leaves γ (`weight`) and β (`bias`) out.
        tlu: False leaves max(·, τ) out. Then put another activation behind the layer.
        learn_eps: add a learned part, ε = eps + |ε_l| with one `eps_l` for all channels, which starts from 1e-4. The
            paper does so where there is no space to average over: after a Linear, or for 1×1 images.
        bias: False leaves only β out.
        dtype: of the parameters; float32 by default.

    Shapes:
        (N, C) or (N, C, *) → the same.

    Raises:
        ValueError: the input has another number of channels.

    The layer contains its activation: add none behind it. γ starts at 1, β and τ at 0.

    Nothing changes in evaluation.

    Source: Singh & Krishnan, "Filter response normalization layer", arXiv 1911.09737.

    Example:
        >>> import minigrad as mg
        >>> mg.nn.FilterResponseNorm(16)(mg.randn(2, 16, 8, 8)).min().item()
        0.0
    """

    threshold: Parameter | None
    eps_l: Parameter | None

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-6,
        affine: bool = True,
        tlu: bool = True,
        learn_eps: bool = False,
        *,
        bias: bool = True,
        dtype: Any = None,
    ):
        super().__init__()
        dtype = np.float32 if dtype is None else dtype
        self.num_features, self.eps, self.affine, self.tlu, self.learn_eps = num_features, eps, affine, tlu, learn_eps
        self.make_affine((num_features,), affine, bias, dtype)
        self.register_parameter("threshold", Parameter(np.empty(num_features, dtype)) if tlu else None)
        self.register_parameter("eps_l", Parameter(np.empty((), dtype)) if learn_eps else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set γ to 1, β and τ to 0, ε_l to 1e-4."""
        super().reset_parameters()
        for parameter, value in ((self.threshold, 0), (self.eps_l, 1e-4)):
            if parameter is not None:
                parameter.detach().fill_(value)

    def forward(self, input: Tensor) -> Tensor:
        check_channels(self, input, self.num_features)
        eps = self.eps if self.eps_l is None else self.eps_l.abs() + self.eps
        return F.filter_response_norm(input, self.weight, self.bias, self.threshold, eps)

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, affine={self.affine}, bias={self.bias is not None}, "
            f"tlu={self.tlu}, learn_eps={self.learn_eps}"
        )


class GlobalResponseNorm(Norm):
    """Strengthen the channels that respond more than others, and weaken those that respond less.

    y = γ · x · N + β + x,    N_c = ‖x_c‖ / (mean of ‖x‖ over channels + ε); see `functional.global_response_norm`.

    γ (`weight`) and β (`bias`) start at 0, so that a new layer changes nothing.

    Args:
        num_features: C, the number of channels.
        eps: ε, added to the mean of the norms.
        dtype: of the parameters; float32 by default.

    Shapes:
        (N, C) or (N, C, *) → the same.

    Raises:
        ValueError: the input has another number of channels.

    Nothing changes in evaluation.

    Source: Woo et al., "ConvNeXt V2", arXiv 2301.00808.

    Example:
        >>> import minigrad as mg
        >>> norm = mg.nn.GlobalResponseNorm(2, eps=0.0)
        >>> x = mg.tensor([[[3.0, 4.0], [0.0, 15.0]]])  # channels of norm 5 and 15, the mean is 10
        >>> norm(x).tolist() == x.tolist()  # γ = 0
        True
        >>> _ = norm.weight.detach().fill_(1)
        >>> norm(x).tolist()  # the first grows by half of itself, the second by one and a half
        [[[4.5, 6.0], [0.0, 37.5]]]
    """

    def __init__(self, num_features: int, eps: float = 1e-6, *, dtype: Any = None):
        super().__init__()
        self.num_features, self.eps = num_features, eps
        self.make_affine((num_features,), True, True, np.float32 if dtype is None else dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set γ and β to 0."""
        for parameter in (self.weight, self.bias):
            if parameter is not None:
                parameter.detach().fill_(0)

    def forward(self, input: Tensor) -> Tensor:
        check_channels(self, input, self.num_features)
        return F.global_response_norm(input, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.num_features}, eps={self.eps}"
