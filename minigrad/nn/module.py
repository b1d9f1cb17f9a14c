"""`Module`: a part of a network, with its parameters, its buffers and its submodules.

A layer is a class with two methods: `__init__` makes the parameters and submodules, and `forward` uses them::

    class Affine(nn.Module):
        def __init__(self, n):
            super().__init__()
            self.weight = nn.Parameter(np.ones(n, dtype=np.float32))   # learned
            self.register_buffer("calls", mg.tensor(0))                # state that is not learned

        def forward(self, x):
            return x * self.weight

Parameters, buffers and submodules are ordinary attributes, and as fast as any other attribute. The module also
remembers their *names*, so that it can list, save and load them.
"""

import inspect
from collections import namedtuple
from collections.abc import Callable, Iterator, Mapping
from functools import wraps
from typing import Any, Self

import numpy as np

from minigrad.autograd import Function, Tensor, no_grad
from minigrad.autograd.tensor import HookHandle, raw
from minigrad.nn.parameter import Parameter, is_lazy
from minigrad.ops.device import check_device, conversion


class IncompatibleKeys(namedtuple("IncompatibleKeys", ["missing_keys", "unexpected_keys"])):
    """The names that `load_state_dict` did not find, and the names that it did not know."""

    __slots__ = ()

    def __repr__(self) -> str:
        return super().__repr__() if any(self) else "<All keys matched successfully>"


class _Signature:
    """The signature that `inspect.signature` and `help` show for a class of modules: the arguments of `__init__`.

    Without this, Python before 3.11.5 shows the arguments of `Module.__new__` for a class that inherits its
    `__init__`.
    """

    def __get__(self, module: Any, cls: type) -> inspect.Signature:
        if module is not None:
            raise AttributeError("__signature__")  # a module itself is called with the arguments of `forward`
        _, *parameters = inspect.signature(cls.__init__).parameters.values()
        return inspect.Signature(parameters)


def _on_a_device(init: Callable[..., None]) -> Callable[..., None]:
    """`__init__` with an additional argument `device`, which is checked and not used."""

    @wraps(init)
    def checked(self: Any, *args: Any, device: Any = None, **options: Any) -> None:
        if device is not None:
            check_device(device, type(self).__name__)
        init(self, *args, **options)

    return checked


class Module:
    """The base class of all layers and networks.

    Attributes:
        training: True in training mode, False in evaluation mode. Dropout, batch norm and similar layers use it;
            `train()` and `eval()` set it for a module and all its submodules.

    Differences from PyTorch: a call of a module without hooks is just a call of its `forward`; and a subclass may
    leave out `super().__init__()`.
    """

    training: bool = True

    # The insertion order is the order of `parameters()`. For buffers, the value tells whether the buffer is saved; the
    # other values are not used. The objects themselves are only in the instance's __dict__.
    _parameter_names: dict[str, None]
    _buffer_names: dict[str, bool]
    _module_names: dict[str, None]
    _hooks: "_Hooks | None" = None

    __signature__ = _Signature()

    # Set by `nn.utils.freeze_statistics`: the module stays in evaluation mode; this is the mode to return to.
    _mode_when_unfrozen: bool | None = None

    def __init_subclass__(cls, **options: Any) -> None:
        """A layer that takes a `dtype` takes a `device` as well, as in PyTorch. It can only be the CPU."""
        super().__init_subclass__(**options)
        keywords = getattr(cls.__init__, "__kwdefaults__", None) or {}
        if "dtype" in keywords and "device" not in keywords:
            cls.__init__ = _on_a_device(cls.__init__)

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        module = super().__new__(cls)
        module.__dict__.update(_parameter_names={}, _buffer_names={}, _module_names={})
        return module

    def __init__(self) -> None:
        pass

    def __copy__(self) -> Self:
        """A shallow copy: another module with the same tensors and submodules, which it lists separately."""
        cls = type(self)
        twin = cls.__new__(cls)
        names = {key: self.__dict__[key].copy() for key in ("_parameter_names", "_buffer_names", "_module_names")}
        twin.__dict__.update(self.__dict__ | names)
        return twin

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the module's output. Each subclass defines this method."""
        raise NotImplementedError(f"{type(self).__name__} does not define forward(self, ...)")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._hooks is None:
            return self.forward(*args, **kwargs)
        return self._hooks.call(self, args, kwargs)

    # -- registration --------------------------------------------------------------------------------

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Parameter):
            self._register(name, self._parameter_names, None)
        elif isinstance(value, Module):
            self._register(name, self._module_names, None)
        elif value is not None:
            if name in self._parameter_names:
                raise TypeError(
                    f"{type(self).__name__}.{name} is a parameter and can only be replaced by a Parameter or None, "
                    f"not by a {type(value).__name__}. To set its values: "
                    f"`with mg.no_grad(): module.{name}.copy_(values)`"
                )
            if name in self._module_names:
                raise TypeError(
                    f"{type(self).__name__}.{name} is a submodule and can only be replaced by a Module or None, not "
                    f"by a {type(value).__name__}"
                )
            if name in self._buffer_names and not isinstance(value, Tensor):
                raise TypeError(
                    f"{type(self).__name__}.{name} is a buffer and can only be replaced by a Tensor or None, not by "
                    f"a {type(value).__name__}"
                )
        object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        object.__delattr__(self, name)
        for names in (self._parameter_names, self._buffer_names, self._module_names):
            names.pop(name, None)

    def _register(self, name: str, names: dict[str, Any], value: Any) -> None:
        if name not in names:
            for others in (self._parameter_names, self._buffer_names, self._module_names):
                others.pop(name, None)
        names[name] = value

    def _check_name(self, name: str, names: dict[str, Any], what: str) -> None:
        if not isinstance(name, str):
            raise TypeError(f"{type(self).__name__}: the name of a {what} must be a string, not {name!r}")
        if not name or "." in name:
            raise KeyError(
                f"{type(self).__name__}: {name!r} cannot name a {what}: it must not be empty and have no dot"
            )
        if name not in names and (name in self.__dict__ or hasattr(type(self), name)):
            raise KeyError(
                f"{type(self).__name__}: a {what} cannot be named {name!r}, because the module has an attribute of "
                "that name"
            )

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter under a name; None reserves the name without a parameter (`bias=False`)."""
        self._check_name(name, self._parameter_names, "parameter")
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(
                f"register_parameter({name!r}): expected a Parameter or None, got a {type(param).__name__}; wrap it: "
                "nn.Parameter(x)"
            )
        self._register(name, self._parameter_names, None)
        object.__setattr__(self, name, param)

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a tensor that belongs to the module's state and is not learned, such as a running mean.

        Args:
            name: the name of the attribute.
            tensor: its value; None reserves the name.
            persistent: True if it is part of `state_dict()`.
        """
        self._check_name(name, self._buffer_names, "buffer")
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(
                f"register_buffer({name!r}): expected a Tensor or None, got a {type(tensor).__name__}; wrap it: "
                "mg.tensor(x)"
            )
        self._register(name, self._buffer_names, persistent)
        object.__setattr__(self, name, tensor)

    def add_module(self, name: str, module: "Module | None") -> None:
        """Add a submodule under a name that need not be a Python identifier ("0", "layer-1")."""
        self._check_name(name, self._module_names, "submodule")
        if module is not None and not isinstance(module, Module):
            raise TypeError(
                f"{type(self).__name__}: submodule {name!r} must be a Module, not a {type(module).__name__}"
                + (
                    " (it is the class itself; call it with brackets to make a module)"
                    if isinstance(module, type)
                    else ""
                )
            )
        self._register(name, self._module_names, None)
        object.__setattr__(self, name, module)

    register_module = add_module

    # -- lists of parameters, buffers and submodules -------------------------------------------------

    def named_children(self) -> "Iterator[tuple[str, Module]]":
        """The submodules directly in this one, each once, with their names."""
        seen = set()
        for name in self._module_names:
            module = self.__dict__[name]
            if module is not None and module not in seen:
                seen.add(module)
                yield name, module

    def children(self) -> "Iterator[Module]":
        """The submodules directly in this one, each once."""
        return (module for _, module in self.named_children())

    def named_modules(
        self, memo: "set[Module] | None" = None, prefix: str = "", remove_duplicate: bool = True
    ) -> "Iterator[tuple[str, Module]]":
        """This module (named "") and all modules in it at any depth, parents first."""
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name in self._module_names:
            module = self.__dict__[name]
            if module is not None:
                yield from module.named_modules(memo, f"{prefix}.{name}" if prefix else name, remove_duplicate)

    def modules(self) -> "Iterator[Module]":
        """This module and all modules in it at any depth, each once."""
        return (module for _, module in self.named_modules())

    def _named_tensors(
        self, kind: str, prefix: str, recurse: bool, remove_duplicate: bool
    ) -> "Iterator[tuple[str, Any]]":
        seen = set()
        modules = self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate) if recurse else [(prefix, self)]
        for path, module in modules:
            for name in getattr(module, kind):
                tensor = module.__dict__[name]
                if tensor is None or tensor in seen:
                    continue
                if remove_duplicate:
                    seen.add(tensor)
                yield f"{path}.{name}" if path else name, tensor

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """All parameters with their dotted names. One that is shared appears once, under its first name."""
        return self._named_tensors("_parameter_names", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """All parameters, each once, for an optimizer."""
        return (parameter for _, parameter in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """All buffers with their dotted names."""
        return self._named_tensors("_buffer_names", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """All buffers, each once."""
        return (buffer for _, buffer in self.named_buffers(recurse=recurse))

    def get_submodule(self, target: str) -> "Module":
        """The module at a dotted path, such as "encoder.layers.0"; "" is this module."""
        module = self
        for depth, name in enumerate(target.split(".") if target else []):
            child = module.__dict__.get(name) if name in module._module_names else None
            if child is None:
                known = ", ".join(module._module_names) or "none"
                where = ".".join(target.split(".")[:depth]) or type(self).__name__
                raise AttributeError(f"get_submodule({target!r}): {where} has no submodule {name!r} (it has: {known})")
            module = child
        return module

    def get_parameter(self, target: str) -> Parameter:
        """The parameter at a dotted path, such as "encoder.layers.0.norm1.weight"."""
        return self._get_tensor(target, "_parameter_names", "parameter")

    def get_buffer(self, target: str) -> Tensor:
        """The buffer at a dotted path."""
        return self._get_tensor(target, "_buffer_names", "buffer")

    def _get_tensor(self, target: str, kind: str, what: str) -> Any:
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        if name not in getattr(module, kind):
            known = ", ".join(getattr(module, kind)) or "none"
            raise AttributeError(
                f"get_{what}({target!r}): {path or type(self).__name__} has no {what} {name!r} (it has: {known})"
            )
        return module.__dict__[name]

    # -- changes of the whole module -----------------------------------------------------------------

    def train(self, mode: bool = True) -> Self:
        """Set training mode (or, with False, evaluation mode) here and in every submodule.

        Layers under `nn.utils.freeze_statistics` change to this mode when they are unfrozen.
        """
        for module in self.modules():
            if module._mode_when_unfrozen is None:
                module.training = bool(mode)
            else:
                module._mode_when_unfrozen = bool(mode)
        return self

    def eval(self) -> Self:
        """Set evaluation mode: dropout changes nothing, and batch norm uses its running statistics."""
        return self.train(False)

    def apply(self, fn: "Callable[[Module], Any]") -> Self:
        """Call `fn(module)` for every submodule and then this module, for instance to initialize weights.

        Example:
            >>> import minigrad as mg
            >>> net = mg.nn.Sequential(mg.nn.Linear(2, 2), mg.nn.Linear(2, 1))
            >>> def zero_bias(module):
            ...     if isinstance(module, mg.nn.Linear):
            ...         mg.nn.init.zeros_(module.bias)
            >>> net.apply(zero_bias)[1].bias.tolist()
            [0.0]
        """
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Freeze (False) or unfreeze all parameters.

        Running statistics still change in training mode; `nn.utils.freeze_statistics` stops them.
        """
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Set the gradients of all parameters to None, or with `set_to_none=False` to zeros."""
        for parameter in self.parameters():
            if set_to_none:
                parameter.grad = None
            elif parameter.grad is not None:
                parameter.grad = Tensor(np.zeros_like(parameter.grad.array))

    def to(self, *arguments: Any, **options: Any) -> Self:
        """Convert all floating-point parameters and buffers, and the gradients, to float32 or float64.

        `to(mg.float64)`, `to("cpu")`, `to("cpu", mg.float64)`, `to(tensor)`, or by keyword, `dtype=`, `device=`,
        `non_blocking=`. The parameters stay the same objects, so an optimizer that holds them still works.
        """
        dtype, _ = conversion("Module.to", arguments, options)
        if dtype is None:
            return self
        if dtype.kind != "f" or dtype.itemsize not in (4, 8):
            raise TypeError(f"Module.to: parameters can be float32 or float64, not {dtype}")
        for tensor in (*self.parameters(), *self.buffers()):
            if is_lazy(tensor):
                tensor.kept_dtype = dtype
            elif tensor.dtype.kind == "f" and tensor.dtype != dtype:
                tensor.array = tensor.array.astype(dtype)
                tensor.version[0] += 1
                if tensor.grad is not None:
                    tensor.grad = Tensor(tensor.grad.array.astype(dtype))
        return self

    def float(self) -> Self:
        """Convert to float32."""
        return self.to(np.float32)

    def double(self) -> Self:
        """Convert to float64."""
        return self.to(np.float64)

    def type(self, dst_type: Any) -> Self:
        """Convert to a dtype, as `to`: `mg.float64`, or `mg.DoubleTensor`."""
        return self.to(getattr(dst_type, "dtype", dst_type) if not inspect.isclass(dst_type) else dst_type)

    def cpu(self) -> Self:
        """The module itself: it is on the CPU."""
        return self

    def cuda(self, device: Any = None) -> Self:
        """Raises an error: the CPU is the only device."""
        return self.to(device="cuda" if device is None else device)

    # -- saving and loading --------------------------------------------------------------------------

    def state_dict(
        self, destination: dict[str, Any] | None = None, prefix: str = "", keep_vars: bool = False
    ) -> dict[str, Any]:
        """All parameters and persistent buffers by dotted name. The tensors share memory with the module.

        The result of a module's `get_extra_state` is included as well, under the name `_extra_state`. Training changes
        these tensors, because they share memory with the parameters. To keep a snapshot, use `copy.deepcopy` or save
        it (`mg.save`).

        Args:
            destination: a dictionary to add to.
            prefix: put in front of every name.
            keep_vars: give the parameters themselves rather than detached tensors.
        """
        destination = {} if destination is None else destination
        for name, value in self._state(prefix):
            if isinstance(value, Module):
                destination[name] = value.get_extra_state()
            else:
                destination[name] = value if keep_vars or is_lazy(value) else value.detach()
        return destination

    def get_extra_state(self) -> Any:
        """Additional state for `state_dict`, beside parameters and buffers: tensors, numbers, strings, lists and
        dictionaries.

        A subclass with such a state defines this method, together with `set_extra_state`.

        Example:
            >>> import minigrad as mg
            >>> class Counter(mg.nn.Module):
            ...     calls = 0
            ...     def get_extra_state(self):
            ...         return {"calls": self.calls}
            ...     def set_extra_state(self, state):
            ...         self.calls = state["calls"]
            >>> counter = Counter()
            >>> counter.calls = 7
            >>> counter.state_dict()
            {'_extra_state': {'calls': 7}}
        """
        raise NotImplementedError(f"{type(self).__name__} does not define get_extra_state(self)")

    def set_extra_state(self, state: Any) -> None:
        """Restore the state that `get_extra_state` returned. `load_state_dict` calls this method when the tensors are
        loaded."""
        raise NotImplementedError(f"{type(self).__name__} does not define set_extra_state(self, state)")

    def _state(self, prefix: str = "", extra: str = "get_extra_state") -> "Iterator[tuple[str, Any]]":
        """The entries of `state_dict`: tensors, and for an extra state the module that defines the method `extra`.

        Shared parameters appear under each of their names, as in PyTorch.
        """
        saved_buffers = [name for name, persistent in self._buffer_names.items() if persistent]
        for name in (*self._parameter_names, *saved_buffers):
            if self.__dict__[name] is not None:
                yield prefix + name, self.__dict__[name]
        if getattr(type(self), extra) is not getattr(Module, extra):
            yield prefix + "_extra_state", self
        for name in self._module_names:
            if self.__dict__[name] is not None:
                yield from self.__dict__[name]._state(f"{prefix}{name}.", extra)

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> IncompatibleKeys:
        """Copy values into the parameters and buffers, in place. Either all values are loaded, or none.

        Args:
            state_dict: a dictionary from names to tensors or arrays (also PyTorch's CPU tensors).
            strict: raise if a name is missing, or unknown here.
            assign: True: replace the module's tensors by the given tensors, with their dtype and memory, instead of
                copying values. An existing optimizer still holds the old tensors.

        Returns:
            `(missing_keys, unexpected_keys)`; only with `strict=False` they may be other than empty.

        Raises:
            TypeError: `state_dict` is not a dictionary.
            RuntimeError: names are missing or unexpected, or shapes do not fit (also with `strict=False`); the message
                lists all of them.

        Older checkpoints can be loaded as well. Names from before parametrizations (`weight_g` and `weight_v`,
        `weight_orig` and `weight_u`) fit parametrized layers. If a checkpoint has no counter of batches, batch norm
        keeps its counter.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(
                f"load_state_dict of {type(self).__name__}: expected a dictionary from names to values, such as "
                f"mg.load(path) or other.state_dict(), not a {type(state_dict).__name__}"
            )
        state = dict(state_dict)
        for path, module in self.named_modules(remove_duplicate=False):
            module._update_names(state, f"{path}." if path else "")
        own = dict(self._state(extra="set_extra_state"))
        missing = [name for name in own if name not in state]
        unexpected = [name for name in state if name not in own]
        extra = {name: own.pop(name) for name in list(own) if isinstance(own[name], Module)}
        problems = []
        if strict and missing:
            problems.append(f"missing: {', '.join(missing)}")
        if strict and unexpected:
            problems.append(f"unexpected: {', '.join(map(str, unexpected))}")
        given = {}
        for name, tensor in own.items():
            if name not in state or (is_lazy(state[name]) and is_lazy(tensor)):
                continue
            if is_lazy(state[name]):
                problems.append(f"{name} has no values: call the network that it comes from once before you save it")
                continue
            given[name] = array = np.asarray(raw(state[name]))
            if not is_lazy(tensor) and array.shape != tensor.shape:
                problems.append(f"shape of {name}: {array.shape} given, {tensor.shape} expected")
            elif not assign and not np.can_cast(array.dtype, tensor.dtype, "same_kind"):
                problems.append(f"dtype of {name}: {array.dtype} given, {tensor.dtype} expected")
        if problems:
            hint = "\n  (strict=False loads what is there and ignores the rest)" if strict else ""
            raise RuntimeError(f"load_state_dict of {type(self).__name__}:\n  " + "\n  ".join(problems) + hint)
        if assign:
            self._assign({name: state[name] for name in given}, own)
        else:
            with no_grad():
                for name, array in given.items():
                    tensor = own[name]
                    if is_lazy(tensor):
                        tensor.materialize(array.shape)
                    tensor.copy_(array)
        for name, module in extra.items():
            if name in state:
                module.set_extra_state(state[name])
        return IncompatibleKeys(missing, unexpected)

    def _assign(self, given: dict[str, Any], own: dict[str, Tensor]) -> None:
        """`load_state_dict(assign=True)`. Tensors that the modules share stay shared."""
        new: dict[Tensor, Tensor] = {}
        for name, value in given.items():
            old = own[name]
            if old not in new:
                value = value if isinstance(value, Tensor) else Tensor(np.asarray(value))
                if isinstance(old, Parameter):
                    value = value if isinstance(value, Parameter) else Parameter(value)
                    value.requires_grad_(old.requires_grad)
                new[old] = value
            path, _, leaf = name.rpartition(".")
            setattr(self.get_submodule(path), leaf, new[old])

    def _update_names(self, state: dict[str, Any], prefix: str) -> None:
        """Update this module's part of a state dictionary if an older version saved it."""

    # -- hooks ---------------------------------------------------------------------------------------

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> HookHandle:
        """Call `hook(module, args)` before each forward; if the hook's result is not None, it replaces the arguments.

        With `with_kwargs` the call is `hook(module, args, kwargs)`, and the hook returns `(args, kwargs)` or None. The
        handle's `remove()` removes the hook.
        """
        return self._hook("pre", hook, prepend, with_kwargs)

    def register_forward_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> HookHandle:
        """Call `hook(module, args, output)` after each forward; if the hook's result is not None, it replaces the
        output.

        With `with_kwargs` the call is `hook(module, args, kwargs, output)`. The handle's `remove()` removes the hook.

        Example:
            >>> import minigrad as mg
            >>> layer = mg.nn.Linear(3, 2)
            >>> handle = layer.register_forward_hook(lambda module, args, output: print(output.shape))
            >>> y = layer(mg.zeros(5, 3))
            (5, 2)
            >>> handle.remove()
        """
        return self._hook("post", hook, prepend, with_kwargs)

    def register_full_backward_hook(self, hook: Callable[..., Any], prepend: bool = False) -> HookHandle:
        """Call `hook(module, grad_input, grad_output)` when the gradients of the module's inputs are known.

        Both are tuples, over the positional arguments and the outputs, with None where there is no gradient.
        If the hook's result is not None, it replaces `grad_input`.
        """
        return self._hook("backward", hook, prepend, False)

    def _hook(self, kind: str, hook: Callable[..., Any], prepend: bool, with_kwargs: bool) -> HookHandle:
        if self._hooks is None:
            self._hooks = _Hooks()
        hooks = getattr(self._hooks, kind)
        entry = (hook, with_kwargs)
        hooks.insert(0 if prepend else len(hooks), entry)
        return HookHandle(hooks, entry)

    # -- text form -----------------------------------------------------------------------------------

    def extra_repr(self) -> str:
        """The text that `repr` shows between the brackets. A subclass may define this method."""
        return ""

    def __repr__(self) -> str:
        rows: list[tuple[str, str, str]] = []
        _describe(self, "", 0, rows, set())
        width = max(len(tree) for tree, _, _ in rows)
        digits = max(len(count) for _, count, _ in rows)
        lines = [f"{tree:<{width}}  {count:>{digits}}  {shapes}".rstrip() for tree, count, shapes in rows]
        known = [p for p in self.parameters() if not is_lazy(p)]
        total = sum(p.numel() for p in known)
        frozen = sum(p.numel() for p in known if not p.requires_grad)
        lazy = len(list(self.parameters())) - len(known)
        lines.append(
            f"total: {total:,} parameters"
            + (f", {frozen:,} of them frozen" if frozen else "")
            + (f", and {lazy} tensors that are not initialized yet" if lazy else "")
        )
        return "\n".join(lines)


def _describe(module: Module, name: str, depth: int, rows: list[tuple[str, str, str]], seen: set[Any]) -> None:
    """Add the rows of a module's `repr`: the tree, the number of its own parameters, their shapes."""
    shapes, count = [], 0
    for parameter_name in module._parameter_names:
        parameter = module.__dict__[parameter_name]
        if parameter is None:
            continue
        notes = "not initialized" if is_lazy(parameter) else "x".join(map(str, parameter.shape)) or "scalar"
        if parameter in seen:
            notes += " (shared)"
        elif not is_lazy(parameter):
            count += parameter.numel()
        if not parameter.requires_grad:
            notes += " (frozen)"
        seen.add(parameter)
        shapes.append(f"{parameter_name} {notes}")
    if module._mode_when_unfrozen is not None:
        shapes.append("statistics frozen")
    indent = "  " * depth
    label = f"{indent}({name}): " if name else indent
    head = f"{label}{type(module).__name__}({module.extra_repr()}"
    parts = [child for child in module._module_names if module.__dict__[child] is not None]
    closing = "" if parts else ")"
    rows.append((head + closing, f"{count:,}" if shapes else "", ", ".join(shapes)))
    for child in parts:
        _describe(module.__dict__[child], child, depth + 1, rows, seen)
    if parts:
        rows.append((f"{indent})", "", ""))


class _Hooks:
    """The hooks of a module, and the call of a module that has hooks."""

    def __init__(self) -> None:
        self.pre: list[tuple[Callable[..., Any], bool]] = []
        self.post: list[tuple[Callable[..., Any], bool]] = []
        self.backward: list[tuple[Callable[..., Any], bool]] = []

    def call(self, module: Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        for hook, with_kwargs in list(self.pre):
            result = hook(module, args, kwargs) if with_kwargs else hook(module, args)
            if result is None:
                continue
            if with_kwargs:
                args, kwargs = result
            else:
                args = result if isinstance(result, tuple) else (result,)
        watch = _BackwardWatch(module, [hook for hook, _ in self.backward]) if self.backward else None
        if watch is not None:
            args = watch.inputs(args)
        output = module.forward(*args, **kwargs)
        if watch is not None:
            output = watch.outputs(output)
        for hook, with_kwargs in list(self.post):
            result = hook(module, args, kwargs, output) if with_kwargs else hook(module, args, output)
            if result is not None:
                output = result
        return output


class _Tap(Function):
    """y = x for several tensors at once; the gradients pass through a function of the user."""

    def __init__(self, see: Callable[..., Any]):
        self.see = see

    def forward(self, *arrays: Any) -> Any:
        return arrays

    def backward(self, *grads: Any) -> Any:
        return self.see(grads)


class _BackwardWatch:
    """Runs backward hooks for one call of a module: taps its outputs, then its inputs."""

    def __init__(self, module: Module, hooks: list[Callable[..., Any]]):
        self.module, self.hooks = module, hooks
        self.grad_output: tuple[Any, ...] = ()
        self.input_places: list[int] = []
        self.input_count = 0

    def inputs(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        self.input_count = len(args)
        args, self.input_places = self._tap(args, self._see_inputs)
        return args

    def outputs(self, output: Any) -> Any:
        several = isinstance(output, tuple | list)
        outputs = tuple(output) if several else (output,)
        tapped, places = self._tap(outputs, lambda grads: self._see_outputs(grads, places, len(outputs)))
        if not several:
            return tapped[0]
        make = getattr(type(output), "_make", type(output))  # a namedtuple needs its fields as separate arguments
        return make(tapped)

    def _tap(self, values: tuple[Any, ...], see: Callable[..., Any]) -> tuple[tuple[Any, ...], list[int]]:
        places = [i for i, x in enumerate(values) if isinstance(x, Tensor) and x.requires_grad]
        if not places:
            return values, places
        tapped = _Tap(see)(*[values[i] for i in places])
        result = list(values)
        for i, x in zip(places, tapped, strict=True):
            result[i] = x
        return tuple(result), places

    def _see_outputs(self, grads: tuple[Any, ...], places: list[int], count: int) -> tuple[Any, ...]:
        self.grad_output = self._spread(grads, places, count)
        if not self.input_places:  # no gradient will arrive there, so call the hook now
            self._run((None,) * self.input_count)
        return grads

    def _see_inputs(self, grads: tuple[Any, ...]) -> tuple[Any, ...]:
        grad_input = self._run(self._spread(grads, self.input_places, self.input_count))
        given = [grad_input[i] for i in self.input_places]
        return tuple(raw(g) if not isinstance(old, Tensor) else g for g, old in zip(given, grads, strict=True))

    def _run(self, grad_input: tuple[Any, ...]) -> tuple[Any, ...]:
        for hook in self.hooks:
            result = hook(self.module, grad_input, self.grad_output)
            if result is None:
                continue
            result = result if isinstance(result, tuple) else (result,)
            if len(result) != len(grad_input) or not all(g is None or isinstance(g, Tensor) for g in result):
                raise TypeError(
                    f"the backward hook of a {type(self.module).__name__} must return a tensor or None for each of "
                    f"its {len(grad_input)} inputs, and returned {', '.join(type(g).__name__ for g in result)}"
                )
            grad_input = result
        return grad_input

    @staticmethod
    def _spread(grads: tuple[Any, ...], places: list[int], count: int) -> tuple[Any, ...]:
        result: list[Any] = [None] * count
        for i, g in zip(places, grads, strict=True):
            result[i] = g if isinstance(g, Tensor) else Tensor(g)
        return tuple(result)
