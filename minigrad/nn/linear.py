"""Layers made of matrix products and table look-ups: Linear, Bilinear, Embedding."""

import math
from typing import Any

import numpy as np

from minigrad.autograd import Tensor
from minigrad.nn import functional as F
from minigrad.nn import init
from minigrad.nn.module import Module
from minigrad.nn.parameter import Parameter


def empty_parameter(*shape: int, dtype: Any = None) -> Parameter:
    """An uninitialized parameter of this shape; float32 by default."""
    return Parameter(np.empty(shape, np.float32 if dtype is None else dtype))


class Linear(Module):
    """y = x Wᵀ + b, over the last axis.

    Weight and bias start from U(−1/√in_features, 1/√in_features), as in PyTorch.

    Args:
        in_features: the length of the last axis of x.
        out_features: the length of the last axis of y.
        bias: False leaves b out. Before a batch norm b has no effect, because the mean is subtracted.
        dtype: of the parameters; float32 by default.

    Shapes:
        input (..., in_features) → y (..., out_features); weight (out_features, in_features), bias (out_features,).

    Example:
        >>> import minigrad as mg
        >>> layer = mg.nn.Linear(64, 10)
        >>> layer(mg.zeros(32, 64)).shape
        (32, 10)
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True, *, dtype: Any = None):
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self.weight = empty_parameter(out_features, in_features, dtype=dtype)
        self.register_parameter("bias", empty_parameter(out_features, dtype=dtype) if bias else None)
        self.reset_parameters()

    bias: Parameter | None

    def reset_parameters(self) -> None:
        """Initialize the parameters again."""
        bound = 1 / math.sqrt(max(self.in_features, 1))
        init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input: Tensor) -> Tensor:
        return F.linear(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"


class Bilinear(Module):
    """y_k = x1ᵀ A_k x2 + b_k, over the last axes.

    The parameters start from U(−1/√in1_features, 1/√in1_features), as in PyTorch.

    Args:
        in1_features, in2_features: the lengths of the last axes of x1 and x2.
        out_features: the number of matrices A_k.
        bias: False leaves b out.
        dtype: of the parameters; float32 by default.

    Shapes:
        input1 (..., in1_features), input2 (..., in2_features) → y (..., out_features), with the same leading axes;
        weight (out_features, in1_features, in2_features), bias (out_features,).
    """

    def __init__(
        self, in1_features: int, in2_features: int, out_features: int, bias: bool = True, *, dtype: Any = None
    ):
        super().__init__()
        self.in1_features, self.in2_features, self.out_features = in1_features, in2_features, out_features
        self.weight = empty_parameter(out_features, in1_features, in2_features, dtype=dtype)
        self.register_parameter("bias", empty_parameter(out_features, dtype=dtype) if bias else None)
        self.reset_parameters()

    bias: Parameter | None

    def reset_parameters(self) -> None:
        """Initialize the parameters again."""
        bound = 1 / math.sqrt(max(self.in1_features, 1))
        init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input1: Tensor, input2: Tensor) -> Tensor:
        if input1.shape[-1:] != (self.in1_features,) or input2.shape[-1:] != (self.in2_features,):
            raise ValueError(
                f"Bilinear: the last axes must have {self.in1_features} and {self.in2_features} features; the inputs "
                f"have shapes {input1.shape} and {input2.shape}"
            )
        if input1.shape[:-1] != input2.shape[:-1]:
            raise ValueError(f"Bilinear: the leading axes differ: {input1.shape} and {input2.shape}")
        # One matrix product computes x1ᵀ A_k for all k; then each row is multiplied by its own x2.
        n_out, n_1, n_2 = self.out_features, self.in1_features, self.in2_features
        forms = self.weight.permute(1, 0, 2).reshape(n_1, n_out * n_2)
        left = (input1 @ forms).reshape(*input1.shape[:-1], n_out, n_2)
        y = (left @ input2.reshape(*input2.shape, 1)).reshape(*input1.shape[:-1], n_out)
        return y if self.bias is None else y + self.bias

    def extra_repr(self) -> str:
        return (
            f"in1_features={self.in1_features}, in2_features={self.in2_features}, out_features={self.out_features}, "
            f"bias={self.bias is not None}"
        )


class Embedding(Module):
    """Row `index` of a learned table: y[...] = weight[index[...]].

    The table starts from N(0, 1), as in PyTorch, with row `padding_idx` zero.

    Args:
        num_embeddings: the number of rows; indices go from 0 to num_embeddings − 1.
        embedding_dim: the length of a row.
        padding_idx: a row that is never trained, for the padding of short sequences; a negative number counts from the
            end.
        dtype: of the table; float32 by default.

    Shapes:
        input (...), integers → y (..., embedding_dim); weight (num_embeddings, embedding_dim).

    Differences from PyTorch: no `max_norm`, `scale_grad_by_freq` or `sparse`.

    Example:
        >>> import minigrad as mg
        >>> table = mg.nn.Embedding(10, 4)
        >>> table(mg.tensor([[1, 2, 2], [0, 9, 9]])).shape
        (2, 3, 4)
    """

    def __init__(self, num_embeddings: int, embedding_dim: int, padding_idx: int | None = None, *, dtype: Any = None):
        super().__init__()
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        if padding_idx is not None:
            if not -num_embeddings <= padding_idx < num_embeddings:
                raise ValueError(f"Embedding: padding_idx={padding_idx} is none of the {num_embeddings} rows")
            padding_idx %= num_embeddings
        self.padding_idx = padding_idx
        self.weight = empty_parameter(num_embeddings, embedding_dim, dtype=dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialize the table again."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            self.weight.array[self.padding_idx] = 0

    @classmethod
    def from_pretrained(cls, embeddings: Tensor, freeze: bool = True, padding_idx: int | None = None) -> "Embedding":
        """A layer whose table is `embeddings` (rows, embedding_dim), not trained further if `freeze`."""
        layer = cls(*embeddings.shape, padding_idx=padding_idx, dtype=embeddings.dtype)
        layer.weight = Parameter(embeddings, requires_grad=not freeze)
        return layer

    def forward(self, input: Any) -> Tensor:
        return F.embedding(input, self.weight, self.padding_idx)

    def extra_repr(self) -> str:
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}"
