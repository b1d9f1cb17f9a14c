"""Layers that make unit vectors, or compare them: UnitNorm, ScaleNorm, CosineSimilarity, CosineLinear."""

import math
from typing import Any

import numpy as np

from minigrad.autograd import Tensor
from minigrad.nn import functional as F
from minigrad.nn import init
from minigrad.nn.module import Module
from minigrad.nn.parameter import Parameter


class UnitNorm(Module):
    """Divide every vector along `dim` by its p-norm.

    y = x / max(‖x‖ₚ, ε); see `functional.normalize`.

    Args:
        p: the order of the norm; 2 is the Euclidean norm.
        dim: the axis along which the vectors lie; several axes, or None for all.
        eps: ε: shorter vectors are divided by ε.

    Shapes:
        any → the same.

    It learns nothing, and nothing changes in evaluation. PyTorch has only the function.

    Example:
        >>> import minigrad as mg
        >>> mg.nn.UnitNorm()(mg.tensor([[3.0, 4.0], [0.0, 0.5]]))
        tensor([[0.6, 0.8],
                [0. , 1. ]])
    """

    def __init__(self, p: float = 2.0, dim: Any = 1, eps: float = 1e-12):
        super().__init__()
        self.p, self.dim, self.eps = p, dim, eps

    def forward(self, input: Tensor) -> Tensor:
        return F.normalize(input, self.p, self.dim, self.eps)

    def extra_repr(self) -> str:
        return f"p={self.p}, dim={self.dim}, eps={self.eps}"


class ScaleNorm(Module):
    """Bring every vector along the last axis to one learned length.

    y = g · x / max(‖x‖, ε); see `functional.scale_norm`.

    Args:
        num_features: n, the length of the last axis. g (`scale`, a single number) starts from √n, so that elements
            start with mean square 1.
        eps: ε: shorter vectors are divided by ε.
        dtype: of g; float32 by default.

    Shapes:
        (*, n) → the same.

    Raises:
        ValueError: the last axis has another length.

    Nothing changes in evaluation.

    Source: Nguyen & Salazar, "Transformers without tears", arXiv 1910.05895. Their code is given √n.

    Example:
        >>> import minigrad as mg
        >>> mg.nn.ScaleNorm(4)(mg.tensor([[3.0, 0.0, 4.0, 0.0]])).detach()  # to length 2
        tensor([[1.2, 0. , 1.6, 0. ]])
    """

    def __init__(self, num_features: int, eps: float = 1e-5, *, dtype: Any = None):
        super().__init__()
        self.num_features, self.eps = num_features, eps
        self.scale = Parameter(np.empty((), np.float32 if dtype is None else dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set g to √n."""
        self.scale.detach().fill_(math.sqrt(self.num_features))

    def forward(self, input: Tensor) -> Tensor:
        if input.shape[-1:] != (self.num_features,):
            raise ValueError(
                f"ScaleNorm: num_features={self.num_features} must be the length of the input's last axis; its shape "
                f"is {input.shape}"
            )
        return F.scale_norm(input, self.scale, self.eps)

    def extra_repr(self) -> str:
        return f"{self.num_features}, eps={self.eps}"


class CosineSimilarity(Module):
    """The cosine of the angle between vectors along `dim`; see `functional.cosine_similarity`.

    cos(x, y) = Σ x y / (max(‖x‖, ε) · max(‖y‖, ε))

    Args:
        dim: along which the vectors lie.
        eps: ε: shorter vectors are divided by ε.

    Shapes:
        two inputs that broadcast → their shape without `dim`.

    Example:
        >>> import minigrad as mg
        >>> mg.nn.CosineSimilarity()(mg.tensor([[3.0, 4.0]]), mg.tensor([[30.0, 40.0]])).round(decimals=4).tolist()
        [1.0]
    """

    def __init__(self, dim: int = 1, eps: float = 1e-8):
        super().__init__()
        self.dim, self.eps = dim, eps

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        return F.cosine_similarity(x1, x2, self.dim, self.eps)

    def extra_repr(self) -> str:
        return f"dim={self.dim}, eps={self.eps}"


class CosineLinear(Module):
    """A linear layer whose outputs are the cosines between the input and the weights of each neuron.

    y_k = w_k·x / (‖w_k‖ · ‖x‖), or Pearson's correlation coefficient; see `functional.cosine_linear`.

    Outputs lie between −1 and 1, too small a range for a softmax over classes: in a last layer, multiply by a
    temperature, `scale`. The weights start as those of `Linear`; their lengths do not matter.

    Args:
        in_features: the length of the last axis of x.
        out_features: the length of the last axis of y.
        centered: subtract the means of x and of each w_k first.
        scale: the first value of a learned factor; None means no factor, as in the paper.
        eps: ε: a norm that is smaller is replaced by it.
        dtype: of the parameters; float32 by default.

    Shapes:
        x (*, in_features) → y (*, out_features); weight (out_features, in_features), scale ().

    Nothing changes in evaluation.

    Source: Luo, Zhan, Wang & Yang, "Cosine normalization", arXiv 1702.05870.

    Example:
        >>> import minigrad as mg
        >>> layer = mg.nn.CosineLinear(64, 10, scale=16.0)
        >>> layer(mg.ones(32, 64)).shape
        (32, 10)
    """

    scale: Parameter | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        centered: bool = False,
        scale: float | None = None,
        eps: float = 1e-8,
        *,
        dtype: Any = None,
    ):
        super().__init__()
        dtype = np.float32 if dtype is None else dtype
        self.in_features, self.out_features, self.centered, self.eps = in_features, out_features, centered, eps
        self.start = scale
        self.weight = Parameter(np.empty((out_features, in_features), dtype))
        self.register_parameter("scale", None if scale is None else Parameter(np.empty((), dtype)))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights at random again, and set the scale to its first value."""
        bound = 1 / math.sqrt(max(self.in_features, 1))
        init.uniform_(self.weight, -bound, bound)
        if self.scale is not None and self.start is not None:
            self.scale.detach().fill_(self.start)

    def forward(self, input: Tensor) -> Tensor:
        y = F.cosine_linear(input, self.weight, centered=self.centered, eps=self.eps)
        return y if self.scale is None else y * self.scale

    def extra_repr(self) -> str:
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, centered={self.centered}, "
            f"scale={self.start}, eps={self.eps}"
        )
