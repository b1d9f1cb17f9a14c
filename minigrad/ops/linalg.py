"""Matrix products."""

from typing import Any

from minigrad.autograd import Function
from minigrad.ops.elementwise import operands, sum_to
from minigrad.ops.shape import reshape, transpose


class MatMul(Function):
    """C = A B:  ∂⟨G, C⟩/∂A = G Bᵀ,  ∂⟨G, C⟩/∂B = Aᵀ G.  Leading axes are batches, and broadcast."""

    def forward(self, a: Any, b: Any) -> Any:
        self.save_for_backward(a, b)
        return a @ b

    def backward(self, g: Any) -> Any:
        a, b = self.saved
        ga = sum_to(matmul(g, transpose(b, -1, -2)), a.shape) if self.needs(0) else None
        gb = sum_to(matmul(transpose(a, -1, -2), g), b.shape) if self.needs(1) else None
        return ga, gb


def matmul(a: Any, b: Any) -> Any:
    """The matrix product over the last two axes; leading axes are batches and broadcast.

    A 1-d `a` is a row and a 1-d `b` a column, whose axis is then dropped from the result.
    """
    a, b = operands(a, b)
    if a.ndim == 0 or b.ndim == 0:
        raise ValueError(f"matmul: both operands need at least one axis, and have shapes {a.shape} and {b.shape}")
    rows = reshape(a, (1, *a.shape)) if a.ndim == 1 else a
    columns = reshape(b, (*b.shape, 1)) if b.ndim == 1 else b
    if rows.shape[-1] != columns.shape[-2]:
        raise ValueError(
            f"matmul: {a.shape} @ {b.shape}: the last axis of the first ({rows.shape[-1]}) must be as long as the "
            f"second-to-last of the second ({columns.shape[-2]})"
        )
    c = MatMul()(rows, columns)
    if a.ndim == 1 or b.ndim == 1:
        shape = list(c.shape)
        if b.ndim == 1:
            del shape[-1]
        if a.ndim == 1:
            del shape[-1 if b.ndim == 1 else -2]
        c = reshape(c, shape)
    return c
