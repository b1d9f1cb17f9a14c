"""The ops of a network as functions, under the names of `torch.nn.functional`."""

from typing import Any

import numpy as np

from minigrad.autograd import Tensor
from minigrad.autograd.tensor import raw
from minigrad.ops.activation import leaky_relu, log_softmax, relu, softmax, softmin
from minigrad.ops.linalg import matmul
from minigrad.ops.loss import cross_entropy, mse_loss, nll_loss
from minigrad.ops.norm import batch_norm, group_norm, instance_norm, layer_norm
from minigrad.ops.shape import transpose


def linear(x: Any, weight: Any, bias: Any = None) -> Any:
    """y = x Wᵀ + b, over the last axis."""
    y = matmul(x, transpose(weight, 0, 1))
    return y if bias is None else y + bias


def embedding(index: Any, weight: Any, padding_idx: int | None = None) -> Any:
    """Row `index` of a table; no gradient flows to row `padding_idx`."""
    rows = np.eye(weight.shape[0], dtype=weight.dtype)
    fixed = np.zeros_like(rows)
    if padding_idx is not None:
        fixed[padding_idx], rows[padding_idx] = rows[padding_idx], 0
    return matmul(Tensor(rows[raw(index)]), weight) + matmul(Tensor(fixed[raw(index)]), weight.detach())
