"""The ops of a network as functions, under the names of `torch.nn.functional`."""

from typing import Any

from minigrad.ops.linalg import matmul
from minigrad.ops.shape import transpose


def linear(x: Any, weight: Any, bias: Any = None) -> Any:
    """y = x Wᵀ + b, over the last axis."""
    y = matmul(x, transpose(weight, 0, 1))
    return y if bias is None else y + bias
