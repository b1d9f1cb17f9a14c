"""Modules that hold other modules or parameters, and those that only pass on or reshape their input."""

from collections.abc import Iterable, Iterator, Mapping
from operator import index as as_int
from typing import Any, Self

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
    """What Sequential and ModuleList share: submodules named "0", "1", ..., used like a list."""

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
        modules = self._list()
        modules.insert(i, module)
        self._replace_all(modules)
        return self

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
    """Modules one after another: each gets the output of the one before.

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

    def forward(self, x: Any) -> Any:
        attributes = self.__dict__
        for name in self._module_names:
            x = attributes[name](x)
        return x

    def __getitem__(self, i: Any) -> Any:
        if isinstance(i, slice):
            return type(self)({name: self.__dict__[name] for name in list(self._module_names)[i]})
        return super().__getitem__(i)

    def __add__(self, other: "Sequential") -> "Sequential":
        return Sequential(*self, *other)


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

    Keys become names in the state dictionary, so they contain no dot, and no name of a method such as "keys".

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


def _as_parameter(value: Any) -> Parameter:
    return value if isinstance(value, Parameter) else Parameter(value)


class ParameterList(Module):
    """A list of parameters, registered under the names "0", "1", ... Tensors are made into parameters.

    Args:
        values: the parameters to start with.
    """

    def __init__(self, values: Iterable[Any] = ()):
        super().__init__()
        self.extend(values)

    def __len__(self) -> int:
        return len(self._parameter_names)

    def __iter__(self) -> Iterator[Parameter]:
        return iter([self.__dict__[name] for name in self._parameter_names])

    def __getitem__(self, i: Any) -> Any:
        if isinstance(i, slice):
            return type(self)(list(self)[i])
        return self.__dict__[str(_position(i, len(self), "ParameterList"))]

    def __setitem__(self, i: int, value: Any) -> None:
        self.register_parameter(str(_position(i, len(self), "ParameterList")), _as_parameter(value))

    def append(self, value: Any) -> Self:
        """Add a parameter at the end, and return self."""
        self.register_parameter(str(len(self)), _as_parameter(value))
        return self

    def extend(self, values: Iterable[Any]) -> Self:
        """Add several parameters at the end, and return self."""
        for value in list(values):
            self.append(value)
        return self


class ParameterDict(Module):
    """A dictionary of parameters. Tensors are made into parameters.

    Args:
        parameters: a dictionary, or pairs of key and parameter, to start with.
    """

    def __init__(self, parameters: "Mapping[str, Any] | Iterable[tuple[str, Any]]" = ()):
        super().__init__()
        self.update(parameters)

    def __len__(self) -> int:
        return len(self._parameter_names)

    def __iter__(self) -> Iterator[str]:
        return iter(self._parameter_names)

    def __contains__(self, key: object) -> bool:
        return key in self._parameter_names

    def __getitem__(self, key: str) -> Parameter:
        if key not in self._parameter_names:
            known = ", ".join(self._parameter_names) or "none"
            raise KeyError(f"ParameterDict: no parameter {key!r} (there are: {known})")
        return self.__dict__[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.register_parameter(key, _as_parameter(value))

    def __delitem__(self, key: str) -> None:
        self[key]  # for its error message
        delattr(self, key)

    def keys(self) -> Iterable[str]:
        """The keys, in order of insertion."""
        return self._parameter_names.keys()

    def values(self) -> Iterable[Parameter]:
        """The parameters, in order of insertion."""
        return [self.__dict__[name] for name in self._parameter_names]

    def items(self) -> Iterable[tuple[str, Parameter]]:
        """Pairs of key and parameter, in order of insertion."""
        return [(name, self.__dict__[name]) for name in self._parameter_names]

    def update(self, parameters: "Mapping[str, Any] | Iterable[tuple[str, Any]]") -> None:
        """Add or replace several parameters."""
        for key, value in dict(parameters).items():
            self[key] = value


class Identity(Module):
    """y = x. Takes and ignores any arguments, so that it can stand in for another layer."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return x


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

    def forward(self, x: Tensor) -> Tensor:
        ndim = x.ndim
        if ndim == 0:
            return reshape(x, (1,))
        for name, axis in (("start_dim", self.start_dim), ("end_dim", self.end_dim)):
            if not -ndim <= axis < ndim:
                raise IndexError(f"Flatten: {name}={axis} is out of range for an input of shape {x.shape}")
        start, end = self.start_dim % ndim, self.end_dim % ndim
        if start > end:
            raise ValueError(f"Flatten: start_dim={self.start_dim} comes after end_dim={self.end_dim} in {x.shape}")
        joined = 1
        for n in x.shape[start : end + 1]:
            joined *= n
        return reshape(x, (*x.shape[:start], joined, *x.shape[end + 1 :]))

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """Split one axis into several: the opposite of `Flatten`.

    Args:
        dim: the axis to split.
        unflattened_size: the lengths to split it into; one may be −1, and is then worked out.
    """

    def __init__(self, dim: int, unflattened_size: Iterable[int]):
        super().__init__()
        self.dim, self.unflattened_size = dim, tuple(unflattened_size)

    def forward(self, x: Tensor) -> Tensor:
        if not -x.ndim <= self.dim < x.ndim:
            raise IndexError(f"Unflatten: dim={self.dim} is out of range for an input of shape {x.shape}")
        dim = self.dim % x.ndim
        known = 1
        for n in self.unflattened_size:
            known *= n if n != -1 else 1
        length = x.shape[dim]
        if self.unflattened_size.count(-1) > 1 or (
            (known == 0 or length % known) if -1 in self.unflattened_size else known != length
        ):
            raise ValueError(
                f"Unflatten: axis {self.dim} of shape {x.shape} has length {length} and cannot be split into "
                f"{self.unflattened_size}"
            )
        sizes = [length // known if n == -1 else n for n in self.unflattened_size]
        return reshape(x, (*x.shape[:dim], *sizes, *x.shape[dim + 1 :]))

    def extra_repr(self) -> str:
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"
