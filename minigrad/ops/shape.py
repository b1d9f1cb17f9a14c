"""Ops that move elements and compute nothing: reshape, permute, indexing, joining, padding."""

from typing import Any

from minigrad.autograd import Function


class Reshape(Function):
    """The same elements, in the same order, in another shape."""

    is_view = True

    def __init__(self, shape: tuple[int, ...]):
        self.shape = shape

    def forward(self, x: Any) -> Any:
        self.original = x.shape
        return x.reshape(self.shape)

    def backward(self, g: Any) -> Any:
        return reshape(g, self.original)


def reshape(x: Any, *shape: Any) -> Any:
    """The elements of `x` in another shape; one length may be −1, and is then worked out.

    Example:
        >>> import minigrad as mg
        >>> mg.arange(6).reshape(2, -1).shape
        (2, 3)
    """
    shape = shape[0] if len(shape) == 1 and not isinstance(shape[0], int) else shape
    return Reshape(tuple(map(int, shape)))(x)


class Permute(Function):
    """The axes in another order."""

    is_view = True

    def __init__(self, axes: tuple[int, ...]):
        self.axes = axes

    def forward(self, x: Any) -> Any:
        return x.transpose(self.axes)

    def backward(self, g: Any) -> Any:
        inverse = [0] * len(self.axes)
        for i, axis in enumerate(self.axes):
            inverse[axis] = i
        return Permute(tuple(inverse))(g)


def permute(x: Any, *axes: Any) -> Any:
    """The axes of `x` in the order given: result.shape[i] = x.shape[axes[i]]."""
    axes = axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes
    if sorted(a % max(x.ndim, 1) for a in axes) != list(range(x.ndim)):
        raise ValueError(f"permute: axes {tuple(axes)} is not an order of the {x.ndim} axes of shape {x.shape}")
    return Permute(tuple(a % x.ndim for a in axes))(x)


def transpose(x: Any, dim0: int, dim1: int) -> Any:
    """Swap two axes."""
    axes = list(range(x.ndim))
    axes[dim0], axes[dim1] = axes[dim1], axes[dim0]
    return permute(x, axes)
