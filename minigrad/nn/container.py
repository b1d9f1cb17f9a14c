"""Modules that hold other modules or parameters, and modules that only pass on or reshape their input."""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from operator import index as as_int
from typing import Any, Self

import numpy as np

from minigrad.autograd import Tensor
from minigrad.nn.module import Module
from minigrad.nn.parameter import Parameter
from minigrad.ops.shape import reshape


def _position(i: Any, length: int, who: str) -> int:
    """A list index from −length to length − 1 as a position from 0."""
    i = as_int(i)
    if not -length <= i < length:
        raise IndexError(f"{who}: index {i} is out of range for {length} entries")
    return i % length


class _ModuleSequence(Module):
    """The common part of Sequential and ModuleList: submodules named "0", "1", ..., used like a list."""

    def _list(self) -> list[Module]:
        return [self.__dict__[name] for name in self._module_names]

    def _replace_all(self, modules: Iterable[Module]) -> None:
        modules = list(modules)
        for name in list(self._module_names):
            delattr(self, name)
        for i, module in enumerate(modules):
            self.add_module(str(i), module)

    def _name(self, i: Any) -> str:
        return list(self._module_names)[_position(i, len(self), type(self).__name__)]

    def __len__(self) -> int:
        return len(self._module_names)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._list())

    def __contains__(self, module: object) -> bool:
        return any(module is m for m in self._list())

    def __setitem__(self, i: int, module: Module) -> None:
        self.add_module(self._name(i), module)

    def __delitem__(self, i: Any) -> None:
        if isinstance(i, slice):
            for name in list(self._module_names)[i]:
                delattr(self, name)
        else:
            delattr(self, self._name(i))
        if all(name.isdigit() for name in self._module_names):
            self._replace_all(self._list())

    def append(self, module: Module) -> Self:
        """Add a module at the end, and return self."""
        self.add_module(str(len(self)), module)
        return self

    def extend(self, modules: Iterable[Module]) -> Self:
        """Add several modules at the end, and return self."""
        for module in list(modules):
            self.append(module)
        return self

    def insert(self, i: int, module: Module) -> Self:
        """Put a module in before position `i`, and return self. The modules are then named by position."""
        modules, i = self._list(), as_int(i)
        if not -len(modules) <= i <= len(modules):
            raise IndexError(f"{type(self).__name__}: cannot insert at {i} among {len(modules)} entries")
        modules.insert(i, module)
        self._replace_all(modules)
        return self

    def __iadd__(self, modules: Any) -> Self:
        return self.extend(modules)

    def pop(self, i: Any = -1) -> Any:
        """Take the module at position `i` out, and return it."""
        module = self[i]
        del self[i]
        return module

    def __getitem__(self, i: Any) -> Any:
        if isinstance(i, slice):
            return type(self)(*self._list()[i])
        return self.__dict__[self._name(i)]


class Sequential(_ModuleSequence):
    """Modules in sequence: each module gets the output of the module before.

    Args:
        modules: the modules in order, or one dictionary from names to modules.

    Example:
        >>> import minigrad as mg
        >>> net = mg.nn.Sequential(mg.nn.Linear(4, 8), mg.nn.Linear(8, 2))
        >>> net(mg.zeros(5, 4)).shape
        (5, 2)
        >>> net[0].out_features, len(net[1:])
        (8, 1)
    """

    def __init__(self, *modules: Any):
        super().__init__()
        if len(modules) == 1 and isinstance(modules[0], Mapping):
            for name, module in modules[0].items():
                self.add_module(name, module)
        else:
            for i, module in enumerate(modules):
                self.add_module(str(i), module)

    def forward(self, input: Any) -> Any:
        attributes = self.__dict__
        for name in self._module_names:
            input = attributes[name](input)
        return input

    def __getitem__(self, i: Any) -> Any:
        if isinstance(i, slice):
            return type(self)({name: self.__dict__[name] for name in list(self._module_names)[i]})
        return super().__getitem__(i)

    def __add__(self, other: "Sequential") -> "Sequential":
        return Sequential(*self, *self._checked(other))

    def __iadd__(self, modules: "Sequential") -> Self:
        return self.extend(self._checked(modules))

    def _checked(self, other: Any) -> "Sequential":
        if not isinstance(other, Sequential):
            raise ValueError(
                f"Sequential: only another Sequential can be added, not a {type(other).__name__}; extend() takes lists"
            )
        return other

    def __mul__(self, n: int) -> "Sequential":
        """The same modules, repeated n times. They are shared, not copied, so the number of parameters stays the
        same."""
        return Sequential(*self._times(n))

    __rmul__ = __mul__

    def __imul__(self, n: int) -> Self:
        return self.extend(self._times(n)[len(self) :])

    def _times(self, n: Any) -> list[Module]:
        if not isinstance(n, int):
            raise TypeError(f"Sequential: can be multiplied by an int, not by a {type(n).__name__}")
        if n <= 0:
            raise ValueError(f"Sequential: can be multiplied by a positive number, not by {n}")
        return self._list() * n


class ModuleList(_ModuleSequence):
    """A list of modules, registered so that their parameters are found. It is not callable itself.

    Args:
        modules: the modules to start with.
    """

    def __init__(self, modules: Iterable[Module] = ()):
        super().__init__()
        self.extend(modules)

    def __getitem__(self, i: Any) -> Any:
        if isinstance(i, slice):
            return type(self)(self._list()[i])
        return super().__getitem__(i)

    def __add__(self, other: Iterable[Module]) -> "ModuleList":
        return ModuleList([*self, *other])


class ModuleDict(Module):
    """A dictionary of modules, registered so that their parameters are found. It is not callable itself.

    Keys become names in the state dictionary. So a key must not contain a dot, and must not be the name of a method
    such as "keys".

    Args:
        modules: a dictionary, or pairs of key and module, to start with.
    """

    def __init__(self, modules: "Mapping[str, Module] | Iterable[tuple[str, Module]]" = ()):
        super().__init__()
        self.update(modules)

    def __getitem__(self, key: str) -> Any:
        if key not in self._module_names:
            raise KeyError(f"ModuleDict: no module {key!r} (there are: {', '.join(self._module_names) or 'none'})")
        return self.__dict__[key]

    def __setitem__(self, key: str, module: Module) -> None:
        self.add_module(key, module)

    def __delitem__(self, key: str) -> None:
        self[key]  # for its error message
        delattr(self, key)

    def __len__(self) -> int:
        return len(self._module_names)

    def __iter__(self) -> Iterator[str]:
        return iter(self._module_names)

    def __contains__(self, key: object) -> bool:
        return key in self._module_names

    def keys(self) -> Iterable[str]:
        """The keys, in order of insertion."""
        return self._module_names.keys()

    def values(self) -> Iterable[Any]:
        """The modules, in order of insertion."""
        return [self.__dict__[name] for name in self._module_names]

    def items(self) -> Iterable[tuple[str, Any]]:
        """Pairs of key and module, in order of insertion."""
        return [(name, self.__dict__[name]) for name in self._module_names]

    def update(self, modules: "Mapping[str, Module] | Iterable[tuple[str, Module]]") -> None:
        """Add or replace several modules."""
        for key, module in dict(modules).items():
            self[key] = module

    def pop(self, key: str) -> Any:
        """Take a module out, and return it."""
        module = self[key]
        del self[key]
        return module

    def clear(self) -> None:
        """Take all modules out."""
        for key in list(self):
            del self[key]


class _Values(Module):
    """The common part of ParameterList and ParameterDict: values by name; tensors become parameters."""

    def __init__(self) -> None:
        super().__init__()
        self._keys: dict[str, None] = {}  # in order; the values are attributes

    def __copy__(self) -> Self:
        twin = super().__copy__()
        twin._keys = self._keys.copy()
        return twin

    def __len__(self) -> int:
        return len(self._keys)

    def _put(self, key: str, value: Any) -> None:
        if isinstance(value, Tensor | np.ndarray) and not isinstance(value, Parameter):
            value = Parameter(value)
        self._check_name(key, self._keys, "parameter")
        setattr(self, key, value)
        self._keys[key] = None

    def _all(self) -> list[Any]:
        return [self.__dict__[key] for key in self._keys]


class ParameterList(_Values):
    """A list of parameters, registered under the names "0", "1", ...

    Tensors and arrays become parameters. The list may hold other values as well; they are not learned and not part of
    the state dictionary.

    Args:
        values: the parameters to start with.
    """

    def __init__(self, values: Iterable[Any] = ()):
        super().__init__()
        self.extend(values)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._all())

    def __getitem__(self, i: Any) -> Any:
        if isinstance(i, slice):
            return type(self)(self._all()[i])
        return self.__dict__[str(_position(i, len(self), "ParameterList"))]

    def __setitem__(self, i: int, value: Any) -> None:
        self._put(str(_position(i, len(self), "ParameterList")), value)

    def __iadd__(self, values: Iterable[Any]) -> Self:
        return self.extend(values)

    def append(self, value: Any) -> Self:
        """Add a parameter at the end, and return self."""
        self._put(str(len(self)), value)
        return self

    def extend(self, values: Iterable[Any]) -> Self:
        """Add several parameters at the end, and return self."""
        for value in list(values):
            self.append(value)
        return self


_NOTHING = object()


class ParameterDict(_Values):
    """A dictionary of parameters, with the methods of a dict.

    Tensors and arrays become parameters. The dictionary may hold other values as well; they are not learned and not
    part of the state dictionary. As in PyTorch, entries from a plain dict are sorted by key.

    Args:
        parameters: a dictionary, or pairs of key and parameter, to start with.
    """

    def __init__(self, parameters: "Mapping[str, Any] | Iterable[tuple[str, Any]]" = ()):
        super().__init__()
        self.update(parameters)

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __reversed__(self) -> Iterator[str]:
        return reversed(self._keys)

    def __contains__(self, key: object) -> bool:
        return key in self._keys

    def __getitem__(self, key: str) -> Any:
        if key not in self._keys:
            raise KeyError(f"ParameterDict: no parameter {key!r} (there are: {', '.join(self._keys) or 'none'})")
        return self.__dict__[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self._put(key, value)

    def __delitem__(self, key: str) -> None:
        self[key]  # for its error message
        delattr(self, key)
        del self._keys[key]

    def __or__(self, other: Any) -> "ParameterDict":
        merged = self.copy()
        merged |= other
        return merged

    def __ror__(self, other: Any) -> "ParameterDict":
        merged = ParameterDict(other)
        merged |= self
        return merged

    def __ior__(self, other: Any) -> Self:
        self.update(other)
        return self

    def keys(self) -> Iterable[str]:
        """The keys, in order of insertion."""
        return self._keys.keys()

    def values(self) -> Iterable[Any]:
        """The parameters, in order of insertion."""
        return self._all()

    def items(self) -> Iterable[tuple[str, Any]]:
        """Pairs of key and parameter, in order of insertion."""
        return list(zip(self._keys, self._all(), strict=True))

    def update(self, parameters: "Mapping[str, Any] | Iterable[tuple[str, Any]]") -> None:
        """Add or replace several parameters."""
        pairs = dict(parameters)
        plain = isinstance(parameters, Mapping) and not isinstance(parameters, OrderedDict)
        for key in sorted(pairs) if plain else pairs:
            self[key] = pairs[key]

    def get(self, key: str, default: Any = None) -> Any:
        """The parameter of this name, or `default`."""
        return self.__dict__[key] if key in self._keys else default

    def setdefault(self, key: str, default: Any = None) -> Any:
        """The parameter of this name; if there is none, `default`, which is added."""
        if key not in self:
            self[key] = default
        return self[key]

    def pop(self, key: str, default: Any = _NOTHING) -> Any:
        """Take a parameter out, and return it. If there is no such parameter, return `default`, if it is given."""
        if key not in self and default is not _NOTHING:
            return default
        value = self[key]
        del self[key]
        return value

    def popitem(self) -> tuple[str, Any]:
        """Take the last parameter out, and return the pair (key, parameter)."""
        if not self._keys:
            raise KeyError("ParameterDict: popitem from an empty dictionary")
        key = next(reversed(self))
        return key, self.pop(key)

    def clear(self) -> None:
        """Take all parameters out."""
        for key in list(self):
            del self[key]

    def copy(self) -> "ParameterDict":
        """A new dictionary with the same parameters."""
        return ParameterDict(self.items())

    def fromkeys(self, keys: Iterable[str], default: Any = None) -> "ParameterDict":
        """A dictionary with one value under all of these keys."""
        return ParameterDict([(key, default) for key in keys])


class Identity(Module):
    """y = x. The constructor accepts and ignores any arguments, so that the layer can replace another layer."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__()

    def forward(self, input: Tensor) -> Tensor:
        return input


class Flatten(Module):
    """Join the axes from `start_dim` to `end_dim` (inclusive) into one.

    Args:
        start_dim: the first axis to join; 1 by default, so that the batch axis stays.
        end_dim: the last axis to join.

    Example:
        >>> import minigrad as mg
        >>> mg.nn.Flatten()(mg.zeros(5, 3, 8, 8)).shape
        (5, 192)
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1):
        super().__init__()
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, input: Tensor) -> Tensor:
        ndim = input.ndim
        if ndim == 0:
            return reshape(input, (1,))
        for name, axis in (("start_dim", self.start_dim), ("end_dim", self.end_dim)):
            if not -ndim <= axis < ndim:
                raise IndexError(f"Flatten: {name}={axis} is out of range for an input of shape {input.shape}")
        start, end = self.start_dim % ndim, self.end_dim % ndim
        if start > end:
            raise ValueError(
                f"Flatten: start_dim={self.start_dim} comes after end_dim={self.end_dim} in {input.shape}"
            )
        joined = 1
        for n in input.shape[start : end + 1]:
            joined *= n
        return reshape(input, (*input.shape[:start], joined, *input.shape[end + 1 :]))

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """Split one axis into several: the opposite of `Flatten`.

    Args:
        dim: the axis to split.
        unflattened_size: the lengths of the new axes; one may be −1, and is then computed.
    """

    def __init__(self, dim: int, unflattened_size: Iterable[int]):
        super().__init__()
        self.dim, self.unflattened_size = dim, tuple(unflattened_size)

    def forward(self, input: Tensor) -> Tensor:
        if not -input.ndim <= self.dim < input.ndim:
            raise IndexError(f"Unflatten: dim={self.dim} is out of range for an input of shape {input.shape}")
        dim = self.dim % input.ndim
        known = 1
        for n in self.unflattened_size:
            known *= n if n != -1 else 1
        length = input.shape[dim]
        if self.unflattened_size.count(-1) > 1 or (
            (known == 0 or length % known) if -1 in self.unflattened_size else known != length
        ):
            raise ValueError(
                f"Unflatten: axis {self.dim} of shape {input.shape} has length {length} and cannot be split into "
                f"{self.unflattened_size}"
            )
        sizes = [length // known if n == -1 else n for n in self.unflattened_size]
        return reshape(input, (*input.shape[:dim], *sizes, *input.shape[dim + 1 :]))

    def extra_repr(self) -> str:
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"
