"""`Parameter`: a tensor that a module learns."""

from typing import Any

import numpy as np

from minigrad.autograd import Tensor


class Parameter(Tensor):
    """A Tensor that becomes part of a module's `parameters()` when it is assigned as an attribute.

    Args:
        data: a tensor or an array, whose memory the parameter then shares, or (nested) numbers, which
            become float32.
        requires_grad: False for a parameter that is not to be trained.

    Example:
        >>> import minigrad as mg
        >>> weight = mg.nn.Parameter([0.5, -0.5])
        >>> weight.requires_grad, weight.is_leaf
        (True, True)
    """

    def __init__(self, data: Any, requires_grad: bool = True):
        if not isinstance(data, Tensor | np.ndarray):
            data = np.asarray(data, dtype=np.float32)
        super().__init__(data, requires_grad)

    def __repr__(self) -> str:
        return f"Parameter containing:\n{super().__repr__()}"
