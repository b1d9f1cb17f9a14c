"""The RMSNorm layer."""

from typing import Any

import numpy as np

from minigrad.autograd import Tensor
from minigrad.nn import functional as F
from minigrad.nn.norm.common import Norm


class RMSNorm(Norm):
    """Divide each sample by its root mean square over the trailing axes.

    y = x / √(mean(x²) + ε) · γ; see `functional.rms_norm`.

    Args:
        normalized_shape: the lengths of the trailing axes; an int for one axis.
        eps: ε, under the root; None is the dtype's machine epsilon.
        elementwise_affine: False leaves γ (`weight`, of `normalized_shape`) out.
        dtype: of γ; float32 by default.
        partial: the share of a sample's elements, from the first on, whose mean square is taken.

    Shapes:
        (*, *normalized_shape) → the same.

    Raises:
        ValueError: the input does not end in `normalized_shape`; a `partial` that is not above 0 and at most 1.

    Nothing changes in evaluation.

    Source: Zhang & Sennrich, "Root mean square layer normalization", arXiv 1910.07467.

    Example:
        >>> import minigrad as mg
        >>> mg.nn.RMSNorm(4, partial=0.25)(mg.tensor([[2.0, 4.0, 6.0, -2.0]])).round(3).tolist()
        [[1.0, 2.0, 3.0, -1.0]]
    """

    def __init__(
        self,
        normalized_shape: Any,
        eps: float | None = None,
        elementwise_affine: bool = True,
        *,
        dtype: Any = None,
        partial: float = 1.0,
    ):
        super().__init__()
        lengths = (normalized_shape,) if isinstance(normalized_shape, int | np.integer) else normalized_shape
        shape = tuple(int(n) for n in lengths)
        if not 0 < partial <= 1:
            raise ValueError(f"RMSNorm: partial={partial} must be above 0 and at most 1")
        self.normalized_shape, self.eps, self.elementwise_affine = shape, eps, elementwise_affine
        self.partial = partial
        self.make_affine(shape, elementwise_affine, False, np.float32 if dtype is None else dtype)

    def forward(self, x: Tensor) -> Tensor:  # (PyTorch's name for it)
        return F.rms_norm(x, self.normalized_shape, self.weight, self.eps, partial=self.partial)

    def extra_repr(self) -> str:
        partial = "" if self.partial == 1 else f", partial={self.partial}"
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}{partial}"
