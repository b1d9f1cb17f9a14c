"""Padding layers: a border around the last axis, or the last two or three axes, as by `functional.pad`."""

from typing import Any

from minigrad.autograd import Tensor
from minigrad.nn import functional as F
from minigrad.nn.module import Module


class _Pad(Module):
    n: int
    mode = "constant"
    value: float | None = None

    def __init__(self, padding: Any):
        super().__init__()
        given = (padding,) * (2 * self.n) if isinstance(padding, int) else tuple(padding)
        if len(given) != 2 * self.n:
            raise ValueError(
                f"{type(self).__name__}: padding must be a number, or {2 * self.n}, a pair for each axis with "
                f"the last axis first, got {padding!r}"
            )
        self.padding = given

    def forward(self, input: Tensor) -> Tensor:
        if self.mode != "constant" and input.ndim not in (self.n + 1, self.n + 2):
            raise ValueError(
                f"{type(self).__name__}: the input must have {self.n + 2} axes, or {self.n + 1} without a batch, "
                f"got shape {input.shape}"
            )
        return F.pad(input, self.padding, self.mode, self.value)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class _ConstantPad(_Pad):
    def __init__(self, padding: Any, value: float):
        super().__init__(padding)
        self.value = value

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class _ZeroPad(_Pad):
    value = 0.0


class _ReflectionPad(_Pad):
    mode = "reflect"


class _ReplicationPad(_Pad):
    mode = "replicate"


class _CircularPad(_Pad):
    mode = "circular"


class ConstantPad1d(_ConstantPad):
    """A border of `value` before and after the last axis; `padding` is one number, or (left, right)."""

    n = 1


class ConstantPad2d(_ConstantPad):
    """A border of `value` around an image; `padding` is one number, or (left, right, top, bottom).

    Example:
        >>> import minigrad as mg
        >>> mg.nn.ConstantPad2d((1, 0, 0, 1), 9.0)(mg.zeros(1, 1, 2)).tolist()
        [[[9.0, 0.0, 0.0], [9.0, 9.0, 9.0]]]
    """

    n = 2


class ConstantPad3d(_ConstantPad):
    """A border of `value` around a volume; `padding` is one number, or (left, right, top, bottom, front, back)."""

    n = 3


class ZeroPad1d(_ZeroPad):
    """`ConstantPad1d` with zeros."""

    n = 1


class ZeroPad2d(_ZeroPad):
    """`ConstantPad2d` with zeros."""

    n = 2


class ZeroPad3d(_ZeroPad):
    """`ConstantPad3d` with zeros."""

    n = 3


class ReflectionPad1d(_ReflectionPad):
    """(N, C, L) or (C, L), mirrored at its outermost elements; `padding` is one number, or (left, right)."""

    n = 1


class ReflectionPad2d(_ReflectionPad):
    """(N, C, H, W) or (C, H, W), mirrored at its outermost pixels."""

    n = 2


class ReflectionPad3d(_ReflectionPad):
    """(N, C, D, H, W) or (C, D, H, W), mirrored at its outermost elements."""

    n = 3


class ReplicationPad1d(_ReplicationPad):
    """(N, C, L) or (C, L), its outermost elements repeated."""

    n = 1


class ReplicationPad2d(_ReplicationPad):
    """(N, C, H, W) or (C, H, W), its outermost pixels repeated."""

    n = 2


class ReplicationPad3d(_ReplicationPad):
    """(N, C, D, H, W) or (C, D, H, W), its outermost elements repeated."""

    n = 3


class CircularPad1d(_CircularPad):
    """(N, C, L) or (C, L), continued from its other end."""

    n = 1


class CircularPad2d(_CircularPad):
    """(N, C, H, W) or (C, H, W), continued from its other side."""

    n = 2


class CircularPad3d(_CircularPad):
    """(N, C, D, H, W) or (C, D, H, W), continued from its other side."""

    n = 3
