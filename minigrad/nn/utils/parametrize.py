"""Parametrizations: a module computes its weight from other parameters, each time that it is used.

Weight norm trains g and v, and the layer uses w = g·v/‖v‖. The code of the layer does not change::

    layer = nn.Linear(3, 2)
    register_parametrization(layer, "weight", Something())
    layer.weight            # computed: Something()(original)
    layer.weight = w        # sets the originals: Something().right_inverse(w)
    layer.parameters()      # the originals, for the optimizer

**How it works.** The layer loses its parameter `weight`, and gets a module that holds the originals and the
parametrizations: `layer.parametrizations.weight`. The layer's class becomes `ParametrizedLinear`, a subclass of Linear
with a `__getattr__`. Python calls this method for names that it cannot find elsewhere, so for `weight` as well. The
method computes the weight in the graph, and the gradient passes on to the originals.

**What a parametrization is.** A parametrization is a module whose `forward` takes the original tensor (or several) and
returns the weight. If it has a method `right_inverse`, this takes a weight and returns an original that gives this
weight (or a tuple of originals). Several parametrizations of a tensor are applied in sequence.

State dictionaries have PyTorch's names: `parametrizations.weight.original` for a single original,
`parametrizations.weight.original0`, `original1` and so on for several, and `parametrizations.weight.0._u` for the
buffer `_u` of the first parametrization.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from functools import cache
from typing import Any, TypeVar

from minigrad.autograd import Tensor, no_grad
from minigrad.autograd.modes import modes
from minigrad.nn.container import ModuleDict, ModuleList
from minigrad.nn.module import Module
from minigrad.nn.parameter import Parameter

__all__ = [
    "ParametrizationList",
    "cached",
    "is_parametrized",
    "register_parametrization",
    "remove_parametrizations",
    "type_before_parametrizations",
]


AnyModule = TypeVar("AnyModule", bound=Module)


class ParametrizationList(ModuleList):
    """The originals of a tensor, and the parametrizations that compute the tensor from them, first to last.

    Args:
        modules: the parametrizations.
        original: the parameter or buffer that will be computed.
        unsafe: allow the computed tensor to have another shape or dtype than the original one.

    Attributes:
        original, or original0, original1, ...: parameters, or buffers if the tensor was a buffer.
    """

    def __init__(self, modules: list[Module], original: Tensor, unsafe: bool = False):
        super().__init__(modules)
        self.unsafe = unsafe
        with no_grad():
            values = original.detach()
            for parametrization in reversed(modules):
                inverse = getattr(parametrization, "right_inverse", None)
                values = values if inverse is None else inverse(values)
            self.is_tensor = isinstance(values, Tensor)
            parts = _as_tensors(values, self[0])
            # Everything is checked before anything changes.
            if self.is_tensor:
                _check_dtypes(self[0], [original], parts)
            _check_same(self, original, self._compute(parts), unsafe)
        self._names = ["original"] if self.is_tensor else [f"original{i}" for i in range(len(parts))]
        for name, part in zip(self._names, parts, strict=True):
            if self.is_tensor:
                _set_values(original, part)  # the same object, which an optimizer may hold already
                part = original
            elif isinstance(original, Parameter):
                part = Parameter(part.array.copy(), original.requires_grad)
            else:
                part = Tensor(part.array.copy())
            _register(self, name, part)

    def originals(self) -> list[Tensor]:
        """The tensors that are trained instead of the computed tensor."""
        return [self.__dict__[name] for name in self._names]

    def forward(self) -> Tensor:
        return self._compute(self.originals())

    def _compute(self, parts: list[Tensor]) -> Tensor:
        x: Any = None
        for name in self._module_names:
            parametrization = self.__dict__[name]
            x = parametrization(*parts) if x is None else parametrization(x)
        return x

    def right_inverse(self, value: Tensor) -> None:
        """Set the originals so that the computed tensor is `value`."""
        with no_grad():
            values: Any = value.detach()
            for parametrization in reversed(self._list()):
                inverse = getattr(parametrization, "right_inverse", None)
                if inverse is None:
                    raise RuntimeError(
                        f"{type(parametrization).__name__} defines no right_inverse, so there is no way to tell from "
                        "which original the assigned value comes; write one, or set the original itself: "
                        "module.parametrizations.weight.original"
                    )
                values = inverse(values)
            parts = _as_tensors(values, self[0])
            if len(parts) != len(self._names):
                raise ValueError(
                    f"{type(self[0]).__name__}.right_inverse returned {len(parts)} tensors, and there are "
                    f"{len(self._names)} originals"
                )
            _check_dtypes(self[0], self.originals(), parts)
            for old, new in zip(self.originals(), parts, strict=True):
                if not self.unsafe and old.shape != new.shape:
                    raise ValueError(
                        f"a parametrized tensor whose original has shape {old.shape} cannot be set to a value of "
                        f"shape {value.shape}, for which the original would have shape {new.shape}"
                    )
            for old, new in zip(self.originals(), parts, strict=True):
                _set_values(old, new)


def _register(module: Module, name: str, tensor: Tensor) -> None:
    if isinstance(tensor, Parameter):
        module.register_parameter(name, tensor)
    else:
        module.register_buffer(name, tensor)


def _as_tensors(values: Any, parametrization: Module) -> list[Tensor]:
    parts = [values] if isinstance(values, Tensor) else values
    if not isinstance(parts, list | tuple) or not all(isinstance(part, Tensor) for part in parts):
        raise TypeError(
            f"{type(parametrization).__name__}.right_inverse must return a tensor or a tuple of tensors, not a "
            f"{type(values).__name__}"
        )
    return list(parts)


def _check_dtypes(parametrization: Module, originals: list[Tensor], parts: list[Tensor]) -> None:
    """An original stays the same object and keeps its dtype, because a cast would silently change the values."""
    for old, new in zip(originals, parts, strict=True):
        if old.dtype != new.dtype:
            raise ValueError(
                f"{type(parametrization).__name__}: the right inverse is {new.dtype}, and the original that it is for "
                f"is {old.dtype}: return right_inverse(...).astype({old.dtype}), or assign a value of that dtype"
            )


def _check_same(parametrization: Module, original: Tensor, computed: Any, unsafe: bool) -> None:
    """The computed tensor replaces the original, so it must have the same shape and dtype."""
    if not isinstance(computed, Tensor):
        raise TypeError(f"a parametrization must return a tensor, not a {type(computed).__name__}")
    if not unsafe and (computed.shape != original.shape or computed.dtype != original.dtype):
        names = ", ".join(
            type(m).__name__
            for m in (parametrization if isinstance(parametrization, ModuleList) else [parametrization])
        )
        raise ValueError(
            f"{names} makes {computed.dtype}{list(computed.shape)} of a tensor that was "
            f"{original.dtype}{list(original.shape)}; a parametrization keeps shape and dtype, unless it is "
            "registered with unsafe=True"
        )


def _set_values(tensor: Tensor, values: Tensor) -> None:
    """Give a tensor new values, perhaps with another shape; it stays the same object."""
    if tensor.shape != values.shape:
        tensor.grad = None
    tensor.array = values.array.copy()
    tensor.version[0] += 1


# -- the class of a parametrized module ----------------------------------------------------------------------


class _Parametrized(Module):
    """The additional methods of a parametrized module's class."""

    parametrizations: ModuleDict

    def __getattr__(self, name: str) -> Any:
        parts = self.__dict__.get("parametrizations", ())
        if name in parts:
            return _value(parts[name])
        inherited = getattr(super(), "__getattr__", None)
        if inherited is not None:
            return inherited(name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        parts = self.__dict__.get("parametrizations", ())
        if name not in parts:
            super().__setattr__(name, value)
        elif isinstance(value, Tensor):
            parts[name].right_inverse(value)
        else:
            raise TypeError(
                f"{type(self).__name__}.{name} is parametrized and can only be set to a tensor, not to a "
                f"{type(value).__name__}"
            )

    def __delattr__(self, name: str) -> None:
        if name in self.__dict__.get("parametrizations", ()):
            raise AttributeError(
                f"{type(self).__name__}.{name} is parametrized: call remove_parametrizations(module, {name!r}) first"
            )
        super().__delattr__(name)

    def _check_name(self, name: str, names: dict[str, Any], what: str) -> None:
        if name in self.__dict__.get("parametrizations", ()):
            raise KeyError(
                f"{type(self).__name__}: a {what} cannot be named {name!r}, because that is a parametrized tensor"
            )
        super()._check_name(name, names, what)

    def _update_names(self, state: dict[str, Any], prefix: str) -> None:
        super()._update_names(state, prefix)
        for name, parts in self.parametrizations.items():
            for i, parametrization in enumerate(parts):
                old_names = getattr(parametrization, "old_names", {})  # such as {"_g": "original0"}
                if old_names and all(f"{prefix}{name}{suffix}" in state for suffix in old_names):
                    for suffix, new in old_names.items():
                        new = f"{prefix}parametrizations.{name}.{new.format(i)}"
                        state[new] = state.pop(f"{prefix}{name}{suffix}")

    def __dir__(self) -> Any:
        return [*super().__dir__(), *self.parametrizations]

    def __copy__(self) -> Any:
        twin = super().__copy__()
        twin.__dict__["parametrizations"] = copy(self.parametrizations)  # to be removed one by one
        return twin

    def __reduce_ex__(self, protocol: Any) -> Any:
        # No file defines this class, so a pickle cannot import it: it is made again.
        return _restore, (type_before_parametrizations(self),), self.__dict__


@cache
def _parametrized(cls: type[Module]) -> type[Module]:
    """`cls` with computed attributes."""
    names = {"__module__": cls.__module__, "__doc__": cls.__doc__}
    return type(f"Parametrized{cls.__name__}", (_Parametrized, cls), names)


def _restore(cls: type[Module]) -> Module:
    """An empty parametrized module, for copies and pickles to fill."""
    made = _parametrized(cls)
    return made.__new__(made)


def type_before_parametrizations(module: Module) -> type[Module]:
    """The class that a module has without its parametrizations."""
    cls = type(module)
    return cls.__bases__[1] if isinstance(module, _Parametrized) else cls


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """True if parametrizations compute this tensor of the module; without a name, if they compute any tensor of it."""
    if not isinstance(module, _Parametrized):
        return False
    return tensor_name is None or tensor_name in module.parametrizations


# -- computing once for many uses ----------------------------------------------------------------------------


class _Cache(threading.local):
    values: "dict[tuple[Module, bool], tuple[list[tuple[int, bool]], Tensor]] | None" = None


_cache = _Cache()


def _value(parts: ParametrizationList) -> Tensor:
    if _cache.values is None:
        return parts()
    key = parts, modes.grad  # a value computed in no_grad has no graph
    states = [(tensor.version[0], tensor.requires_grad) for tensor in parts.parameters()]
    known = _cache.values.get(key)
    if known is None or known[0] != states:
        _cache.values[key] = known = states, parts()
    return known[1]


@contextmanager
def cached() -> Iterator[None]:
    """Inside it, each parametrized tensor is computed only once, even if it is used several times.

    Use it for modules that use their weight several times in a forward pass, such as a cell in a loop over time. Leave
    the block before the backward pass, or at least before the next forward pass: each graph allows only a single
    backward pass.

    Differences from PyTorch: a value is computed again if one of its parameters was changed, frozen or unfrozen.

    Example:
        >>> import minigrad as mg
        >>> layer = mg.nn.utils.parametrizations.weight_norm(mg.nn.Linear(3, 2))
        >>> with mg.nn.utils.parametrize.cached():
        ...     layer.weight is layer.weight
        True
        >>> layer.weight is layer.weight
        False
    """
    before = _cache.values
    _cache.values = {} if before is None else before
    try:
        yield
    finally:
        _cache.values = before


# -- adding and removing parametrizations --------------------------------------------------------------------


def register_parametrization(
    module: AnyModule, tensor_name: str, parametrization: Module, *, unsafe: bool = False
) -> AnyModule:
    """Compute a parameter or buffer of a module in each use: `module.weight` becomes `parametrization(original)`.

    Args:
        module: any module; it is changed in place, and its class becomes "Parametrized...".
        tensor_name: the name of a parameter or buffer directly in the module, such as "weight" or "weight_hh_l0".
        parametrization: a module. Its forward takes the original and returns the tensor. If it has a
            `right_inverse`, this gives the original at the start (or several, in a tuple), and at each assignment;
            otherwise the original starts as the present tensor. If the tensor is parametrized already, the new
            parametrization comes last, and gets the result of the others.
        unsafe: allow another shape or dtype than the tensor's own.

    Returns:
        The module.

    Raises:
        ValueError: no such tensor; the parametrization makes another shape or dtype of it; its right inverse has
            another dtype than the original; or it takes several originals, as weight norm does, and is not the first
            on this tensor.
        TypeError: something that is not a module, or does not return tensors.

    A single original is the same object as the parameter before, so an existing optimizer still works. Several
    originals are new parameters, so make the optimizer afterwards. Initialize a weight by assignment and not
    in place: write `module.weight = mg.zeros(...)`, because `init.zeros_(module.weight)` changes only a computed copy.

    Example:
        >>> import minigrad as mg
        >>> class Symmetric(mg.nn.Module):
        ...     def forward(self, x):
        ...         return mg.triu(x) + mg.triu(x, 1).T
        >>> layer = mg.nn.Linear(3, 3)
        >>> layer = mg.nn.utils.parametrize.register_parametrization(layer, "weight", Symmetric())
        >>> bool((layer.weight == layer.weight.T).all())
        True
        >>> [name for name, _ in layer.named_parameters()]
        ['bias', 'parametrizations.weight.original']
    """
    for argument, value in (("module", module), ("parametrization", parametrization)):
        if not isinstance(value, Module):
            raise TypeError(
                f"register_parametrization: {argument} must be a module, not a {type(value).__name__}"
                + (
                    " (it is the class itself; call it with brackets to make a module)"
                    if isinstance(value, type)
                    else ""
                )
            )
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        assert isinstance(module, _Parametrized)
        parts = module.parametrizations[tensor_name]
        with no_grad():
            value = parts()
            inverse = getattr(parametrization, "right_inverse", None)
            given = value if inverse is None else inverse(value)
            if not isinstance(given, Tensor):
                raise ValueError(
                    f"register_parametrization: {type(parametrization).__name__} makes a tensor of several originals, "
                    f"so it must be the first on {tensor_name!r}, where {type(parts[-1]).__name__} is already; call "
                    f"remove_parametrizations(module, {tensor_name!r}) before, and register the others again after it"
                )
            if not unsafe:
                _check_dtypes(parametrization, [value], [given])
            _check_same(parametrization, value, parametrization(value), unsafe)
        parts.append(parametrization)
        parts.unsafe |= unsafe
        return module

    names = module._parameter_names if tensor_name in module._parameter_names else module._buffer_names
    original = module.__dict__.get(tensor_name) if tensor_name in names else None
    if original is None:
        known = ", ".join(
            n for n in (*module._parameter_names, *module._buffer_names) if module.__dict__[n] is not None
        )
        raise ValueError(
            f"register_parametrization: {type(module).__name__} has no parameter or buffer {tensor_name!r} (it has: "
            f"{known or 'none'})"
        )
    parts = ParametrizationList([parametrization], original, unsafe).train(module.training)
    if not isinstance(module, _Parametrized):
        module.add_module("parametrizations", ModuleDict())
        object.__setattr__(module, "__class__", _parametrized(type(module)))
    delattr(module, tensor_name)
    module.__dict__["parametrizations"][tensor_name] = parts
    return module


def remove_parametrizations(module: AnyModule, tensor_name: str, leave_parametrized: bool = True) -> AnyModule:
    """Remove the parametrizations of a tensor: it becomes an ordinary parameter (or buffer) again.

    Args:
        module: the module; it is changed in place. If no other tensor in it is parametrized, it gets its old class
            back.
        tensor_name: the tensor's name.
        leave_parametrized: True keeps the computed value; False restores the original.

    Returns:
        The module.

    Raises:
        ValueError: the tensor is not parametrized; or `leave_parametrized=False` with several originals, because no
            single original can replace the tensor.

    With a single original the parameter stays the same object, and an existing optimizer still works. With several
    originals (weight norm) it is a new parameter: give it to the optimizer.

    Example:
        >>> import minigrad as mg
        >>> layer = mg.nn.utils.parametrizations.weight_norm(mg.nn.Linear(3, 2))
        >>> mg.nn.utils.parametrize.remove_parametrizations(layer, "weight").state_dict().keys()
        dict_keys(['bias', 'weight'])
    """
    if not is_parametrized(module, tensor_name):
        raise ValueError(
            f"remove_parametrizations: {tensor_name!r} of {type(module).__name__} is not parametrized"
            + (f"; parametrized: {', '.join(module.parametrizations)}" if isinstance(module, _Parametrized) else "")
        )
    assert isinstance(module, _Parametrized)
    parts: ParametrizationList = module.parametrizations[tensor_name]
    originals = parts.originals()
    if not leave_parametrized and not parts.is_tensor:
        raise ValueError(
            f"remove_parametrizations: {tensor_name!r} is computed from {len(originals)} originals, and none of them "
            "can take its place: use leave_parametrized=True"
        )
    with no_grad():
        value = parts() if leave_parametrized else originals[0]
    tensor = originals[0]
    if not parts.is_tensor:
        learned = isinstance(tensor, Parameter)
        tensor = Tensor(value.array.copy())
        if learned:
            tensor = Parameter(tensor.array, any(original.requires_grad for original in originals))
    elif leave_parametrized:
        _set_values(tensor, value)
        tensor.grad = None  # the old gradient belongs to the original, not to the weight

    del module.parametrizations[tensor_name]
    if not len(module.parametrizations):
        del module.parametrizations
        object.__setattr__(module, "__class__", type_before_parametrizations(module))
    _register(module, tensor_name, tensor)
    return module
