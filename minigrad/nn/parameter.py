"""`Parameter`: a tensor that a module learns; and tensors of lazy layers, whose shapes are not known yet."""

from typing import Any, TypeGuard

import numpy as np

from minigrad.autograd import Tensor


class Parameter(Tensor):
    """A Tensor that becomes part of a module's `parameters()` when it is assigned as an attribute.

    Args:
        data: a tensor or an array, whose memory the parameter shares; or numbers in nested lists, which become
            float32.
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


class _Uninitialized(Tensor):
    """A tensor without a shape and values; `materialize` gives it both, and its final class."""

    becomes: type[Tensor] = Tensor

    def __init__(self, requires_grad: bool = False, dtype: Any = None):
        self.version = [0]
        self.requires_grad = requires_grad
        self.kept_dtype = np.dtype(np.float32 if dtype is None else dtype)

    def _missing(self) -> Any:
        raise RuntimeError(
            f"{type(self).__name__}: it has no shape and no values yet. It belongs to a lazy layer, which makes them "
            "when it sees its first input: call the network once on a batch before you use its parameters, model(x)"
        )

    array = data = property(_missing)  # type: ignore[assignment]

    @property
    def dtype(self) -> Any:
        return self.kept_dtype

    def materialize(self, shape: Any, dtype: Any = None) -> None:
        """Become an ordinary tensor of this shape. It stays the same object; set its values afterwards."""
        requires_grad, hooks, becomes = self.requires_grad, self.hooks, self.becomes
        array = np.empty(tuple(shape), self.kept_dtype if dtype is None else dtype)
        self.__dict__.clear()
        object.__setattr__(self, "__class__", becomes)
        becomes.__init__(self, array, requires_grad)
        self.hooks = hooks

    def requires_grad_(self, requires_grad: bool = True) -> Any:
        self.requires_grad = requires_grad
        return self

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


class UninitializedParameter(_Uninitialized, Parameter):
    """A parameter of a lazy layer, before its shape is known. Any use of its shape or values is an error.

    Args:
        requires_grad: False for a parameter that is not to be trained.
        dtype: of its later values; float32 by default.

    Example:
        >>> import minigrad as mg
        >>> weight = mg.nn.UninitializedParameter()
        >>> weight.materialize((2, 3))
        >>> type(weight).__name__, weight.shape
        ('Parameter', (2, 3))
    """

    becomes = Parameter

    def __init__(self, requires_grad: bool = True, dtype: Any = None):
        super().__init__(requires_grad, dtype)


class UninitializedBuffer(_Uninitialized):
    """A buffer of a lazy layer, before its shape is known; see `UninitializedParameter`."""


def is_lazy(tensor: Any) -> TypeGuard[_Uninitialized]:
    """True if the value is a parameter or buffer without a known shape."""
    return isinstance(tensor, _Uninitialized)
