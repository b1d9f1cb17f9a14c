"""Padding: a border of a constant, or of elements from elsewhere in the tensor."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.autograd import Function
from minigrad.ops.elementwise import clone
from minigrad.ops.indexing import getitem

MODES = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}


class ConstantPad(Function):
    """A border of one constant; the gradient is that of the inside."""

    def __init__(self, widths: list[tuple[int, int]], value: float):
        self.widths, self.value = widths, value

    def forward(self, x: Any) -> Any:
        self.inside = tuple([slice(a, a + n) for (a, _), n in zip(self.widths, x.shape, strict=True)])
        shape = [a + n + b for (a, b), n in zip(self.widths, x.shape, strict=True)]
        y = np.full(shape, self.value, x.dtype)
        y[self.inside] = x
        return y

    def backward(self, g: Any) -> Any:
        return g[self.inside]


def pad(input: Any, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Any:
    """`input` with a border.

    Args:
        pad: how many elements before and after, in pairs that begin with the *last* axis: (left, right) pads the
            last axis, (left, right, top, bottom) the last two. A negative number cuts off elements.
        mode: "constant"; "reflect" mirrors at the outermost element, without repeating it; "replicate" repeats
            it; "circular" continues from the other end.
        value: the constant, 0 by default.

    Example:
        >>> import minigrad as mg
        >>> x = mg.tensor([1, 2, 3])
        >>> mg.nn.functional.pad(x, (1, 2)).tolist()
        [0, 1, 2, 3, 0, 0]
        >>> mg.nn.functional.pad(x, (1, 2), mode="reflect").tolist()
        [2, 1, 2, 3, 2, 1]
    """
    numbers = [int(n) for n in pad]
    if len(numbers) % 2 or len(numbers) > 2 * input.ndim:
        raise ValueError(
            f"pad: needs pairs of numbers, at most one pair for each axis of shape {input.shape}, got {tuple(pad)}"
        )
    if mode != "constant" and mode not in MODES:
        raise ValueError(f"pad: mode must be constant, reflect, replicate or circular, not {mode!r}")
    if mode != "constant" and value is not None:
        raise ValueError(f'pad: value={value} is for mode="constant" only')

    widths = [(0, 0)] * (input.ndim - len(numbers) // 2)
    widths += [(numbers[i], numbers[i + 1]) for i in range(len(numbers) - 2, -1, -2)]
    for axis, ((before, after), n) in enumerate(zip(widths, input.shape, strict=True)):
        if min(before, 0) + min(after, 0) + n < 0:
            raise ValueError(
                f"pad: cutting off {max(-before, 0)} and {max(-after, 0)} elements is too much for axis {axis}, of "
                f"length {n}"
            )
    if any(a < 0 or b < 0 for a, b in widths):
        kept = tuple([slice(max(-a, 0), n - max(-b, 0)) for (a, b), n in zip(widths, input.shape, strict=True)])
        input = getitem(input, kept)
        widths = [(max(a, 0), max(b, 0)) for a, b in widths]
    if mode == "constant":
        return ConstantPad(widths, 0 if value is None else value)(input)

    source = input
    for axis, (before, after) in enumerate(widths):
        if before or after:
            n = input.shape[axis]
            longest = {"reflect": n - 1, "circular": n, "replicate": np.inf if n else 0}[mode]
            if max(before, after) > longest:
                raise ValueError(
                    f'pad: mode="{mode}" can add at most {longest} elements at each end of axis {axis}, of length '
                    f"{n}; ({before}, {after}) is too much"
                )
            kind: Any = MODES[mode]
            places = np.pad(np.arange(n), (before, after), mode=kind)
            input = getitem(input, (*[slice(None)] * axis, places))
    return clone(input) if input is source else input  # nothing was added, but the result must be a new tensor
