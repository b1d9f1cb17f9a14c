"""The layer normalization layer."""

from typing import Any

import numpy as np

from minigrad.autograd import Tensor
from minigrad.nn import functional as F
from minigrad.nn.norm.common import Norm


class LayerNorm(Norm):
    """Normalize each sample by its own mean and variance over the trailing axes.

    y = (x − μ) / √(σ² + ε) · γ + β; see `functional.layer_norm`.

    Args:
        normalized_shape: the lengths of the trailing axes; an int for one axis.
        eps: ε, under the root.
        elementwise_affine: False leaves γ (`weight`) and β (`bias`) out; both have `normalized_shape`.
        bias: False leaves only β out.
        dtype: of the parameters; float32 by default.

    Shapes:
        (*, *normalized_shape) → the same.

    Raises:
        ValueError: the input does not end in `normalized_shape`.

    Nothing changes in evaluation. In networks for pictures, (N, C, H, W), give (C, H, W); γ and β then belong to each
    pixel.

    Source: Ba, Kiros & Hinton, "Layer normalization", arXiv 1607.06450.

    Example:
        >>> import minigrad as mg
        >>> norm = mg.nn.LayerNorm(4, eps=0.0)
        >>> norm(mg.tensor([[1.0, 1.0, 3.0, 3.0], [10.0, 10.0, 30.0, 30.0]])).tolist()
        [[-1.0, -1.0, 1.0, 1.0], [-1.0, -1.0, 1.0, 1.0]]
    """

    def __init__(
        self,
        normalized_shape: Any,
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        *,
        dtype: Any = None,
    ):
        super().__init__()
        lengths = (normalized_shape,) if isinstance(normalized_shape, int | np.integer) else normalized_shape
        shape = tuple(int(n) for n in lengths)
        self.normalized_shape, self.eps, self.elementwise_affine = shape, eps, elementwise_affine
        self.make_affine(shape, elementwise_affine, bias, np.float32 if dtype is None else dtype)

    def forward(self, input: Tensor) -> Tensor:
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}, "
            f"bias={self.bias is not None}"
        )
