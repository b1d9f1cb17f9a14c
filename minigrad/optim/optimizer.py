"""`Optimizer`: what all optimizers share — parameter groups, state, saving, and the loop over parameters."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from minigrad.autograd import Tensor, enable_grad
from minigrad.checks import brief, is_number

_REAL = (np.dtype(np.float32), np.dtype(np.float64))
_FLAGS = ("amsgrad", "centered", "decoupled_weight_decay", "maximize", "nesterov")

# What schedules keep in a group, beside the options.
_OF_SCHEDULES = ("initial_lr", "max_lr", "min_lr", "max_momentum", "base_momentum")


class Optimizer:
    """Changes parameters in place, given their gradients. Subclasses say how, in `update`.

    Args:
        params: tensors, `(name, tensor)` pairs, or dictionaries, one for each group. The key `"params"` of such a
            dictionary holds tensors or pairs, and the other keys override options for the group. Either all
            parameters have names, or none has.
        defaults: the options of groups that do not set their own.

    Attributes:
        param_groups: a list of dictionaries: the options of each group, and its tensors under `"params"`.
        state: for each tensor, a dictionary of what is remembered between steps.

    The state follows its parameter: after `model.double()` or `model.float()` it is converted as well by the next
    `step()` or `state_dict()`.

    The option `lr` may be a tensor with one element. Schedules then change the tensor in place.

    Differences from PyTorch: `state_dict()` copies the state, so that a saved state does not change while training
    goes on; a tensor that is listed twice is an error, and so is an option that the optimizer does not have; there
    are no options that choose an implementation (`foreach`, `fused`, `capturable`).
    """

    remembers: dict[str, bool] | None = None
    """The names in the state of a parameter; True if the name is there after every step. None: any names."""

    def __init__(self, params: Any, defaults: dict[str, Any]):
        self.defaults = defaults
        self.param_groups: list[dict[str, Any]] = []
        self.state: dict[Tensor, dict[str, Any]] = {}
        self.steps_taken = 0
        if isinstance(params, Tensor | str | dict) or not isinstance(params, Iterable):
            raise TypeError(
                f"{self._name}: params must be an iterable of tensors or of dictionaries, not a "
                f"{type(params).__name__}. Pass model.parameters(), or put the one tensor in a list."
            )
        groups = list(params)
        if not groups:
            raise ValueError(
                f"{self._name}: got an empty list of parameters. A generator such as model.parameters() can be used "
                "only once."
            )
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    @property
    def _name(self) -> str:
        return type(self).__name__

    # -- to be written by each optimizer -------------------------------------------------------------

    def check(self, group: dict[str, Any]) -> None:
        """Raise ValueError for options that make no sense. Without this method, every value is accepted."""

    def options(self, group: dict[str, Any]) -> Any:
        """The options of a group as `update` wants them. It is called in every step, since options can change.

        By default the group itself. Optimizers with a kernel convert the numbers to floats: Numba would compile the
        kernel again for an int in place of a float.
        """
        return group

    def update(self, p: Tensor, x: Any, g: Any, state: dict[str, Any], options: Any) -> None:
        """Change the values of `p` in place: `x` holds them as a flat array, and `g` the gradient as another.

        What later steps need is kept in `state`.
        """
        raise NotImplementedError(f"{self._name} defines no update(self, p, x, g, state, options)")

    # -- stepping ------------------------------------------------------------------------------------

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient. Parameters without a gradient stay as they are.

        Args:
            closure: a function that computes the loss and its gradients. It is called first.

        Returns:
            What the closure returned, or None.

        Raises:
            ValueError: a parameter now has another shape than its gradient or its state.
        """
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        self.steps_taken += 1
        for group in self.param_groups:
            options = self.options(group)
            for p in group["params"]:
                grad = p.grad
                if grad is None:
                    continue
                x, g = p.array, grad.array
                if g.shape != x.shape:
                    raise ValueError(f"{self._name}: a parameter of shape {x.shape} has a gradient of shape {g.shape}")
                if x.dtype not in _REAL:
                    raise TypeError(
                        f"{self._name}: can optimize float32 and float64, and a parameter is {x.dtype} now"
                    )
                state = self.state.get(p)
                if state is None:
                    state = self.state[p] = {}
                else:
                    _follow(x, state)
                if g.dtype != x.dtype or not g.flags.carray:
                    g = np.array(g, dtype=x.dtype, order="C")
                if x.flags.carray:
                    self.update(p, x.ravel(), g.ravel(), state, options)
                elif not x.flags.writeable:
                    raise ValueError(
                        f"{self._name}: the data of a parameter of shape {x.shape} are read-only: copy them"
                    )
                else:  # its memory has gaps, or another order of axes: update a copy
                    copy = np.array(x, order="C")
                    self.update(p, copy.ravel(), g.ravel(), state, options)
                    x[...] = copy
                p.version[0] += 1
        return loss

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Set the gradients to None, or fill them with zeros if `set_to_none=False`."""
        for group in self.param_groups:
            for p in group["params"]:
                if set_to_none or p.grad is None:
                    p.grad = None
                else:
                    p.grad = (p.grad.detach() if p.grad.requires_grad else p.grad).zero_()

    # -- groups --------------------------------------------------------------------------------------

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Train more parameters: `{"params": tensors, ...}`, with options that override the defaults.

        Raises:
            TypeError: the argument is not a dictionary, or something in it is not a tensor.
            ValueError: a tensor is in the optimizer already, is not a leaf, or is not of a float dtype; an option is
                unknown or out of range; some parameters of the optimizer have names and others have none.
        """
        if not isinstance(param_group, dict) or "params" not in param_group:
            raise TypeError(
                f'{self._name}: a parameter group must be a dictionary with a key "params", got {brief(param_group)}'
            )
        group = dict(param_group)
        params, names = self._named(group["params"])
        group["params"] = params
        if names:
            group["param_names"] = names
        known = set(self.defaults) | {"params", "param_names", "initial_lr"}
        unknown = [key for key in param_group if key not in known]
        if unknown:
            raise ValueError(
                f"{self._name}: a parameter group has no option {unknown[0]!r}; it has {', '.join(self.defaults)}"
            )
        for option, value in self.defaults.items():
            group.setdefault(option, value)
        self._check_tensors(params)
        self._check_group(group)
        self._check_names([*self.param_groups, group])
        self.param_groups.append(group)

    def _named(self, params: Any) -> tuple[list[Tensor], list[str]]:
        """Tensors, and their names if they came as (name, tensor) pairs."""
        if isinstance(params, set | frozenset):
            raise TypeError(f"{self._name}: params is a set, whose order changes from run to run: pass a list")
        if isinstance(params, str | dict) or not isinstance(params, Iterable):
            raise TypeError(f"{self._name}: the params of a group must be tensors, not a {type(params).__name__}")
        items = [params] if isinstance(params, Tensor) else list(params)
        pairs = [item for item in items if isinstance(item, tuple)]
        if not pairs:
            return items, []
        if len(pairs) != len(items):
            raise ValueError(f"{self._name}: give names to all parameters of a group, or to none")
        for pair in pairs:
            if len(pair) != 2 or not isinstance(pair[0], str):
                raise TypeError(f"{self._name}: a named parameter must be a pair (name, tensor), got {brief(pair)}")
        return [p for _, p in pairs], [name for name, _ in pairs]

    def _check_names(self, groups: list[dict[str, Any]]) -> None:
        """Either all groups have names, or none has."""
        for i, group in enumerate(groups):
            if ("param_names" in group) != ("param_names" in groups[0]):
                has, had = ("names", "none") if "param_names" in group else ("no names", "names")
                raise ValueError(
                    f"{self._name}: the parameters of group {i} have {has}, and those of group 0 have {had}; name all "
                    "parameters, or none"
                )

    def _check_tensors(self, params: list[Any]) -> None:
        seen = {id(p) for group in self.param_groups for p in group["params"]}
        for i, p in enumerate(params):
            if not isinstance(p, Tensor):
                raise TypeError(f"{self._name}: can optimize only Tensors, and params[{i}] is a {type(p).__name__}")
            if p.dtype.kind != "f":
                raise TypeError(f"{self._name}: can optimize only floating-point tensors; params[{i}] is {p.dtype}")
            if not p.is_leaf:
                raise ValueError(
                    f"{self._name}: params[{i}] (shape {p.shape}) is the output of {p.grad_fn}. Only leaves can be "
                    "optimized, tensors that no op made: x.detach().requires_grad_()"
                )
            if id(p) in seen:
                raise ValueError(
                    f"{self._name}: params[{i}] (shape {p.shape}) is in the optimizer already; a parameter that is "
                    "updated twice in a step would learn twice as fast. List each tensor once."
                )
            seen.add(id(p))

    def _check_group(self, group: dict[str, Any]) -> None:
        """Check all that a group holds, but for its tensors."""
        for option in _FLAGS:
            if option in group and not (is_number(group[option], flags=True) and group[option] in (0, 1)):
                raise ValueError(f"{self._name}: {option} must be True or False, got {brief(group[option])}")
        for key in _OF_SCHEDULES:
            if key in group and not is_number(group[key]):
                raise ValueError(f"{self._name}: {key} must be a number, got {brief(group[key])}")
        if "param_names" in group:
            names = group["param_names"]
            if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
                raise TypeError(f"{self._name}: param_names must be a list of strings, got {brief(names)}")
            if len(names) != len(group["params"]):
                raise ValueError(f"{self._name}: {len(names)} param_names for {len(group['params'])} parameters")
        self.check(group)

    def _check_range(self, group: dict[str, Any], *options: str) -> None:
        """These options must be finite numbers that are not negative."""
        for option in options:
            value = group[option]
            if option == "lr":
                value = value.item() if isinstance(value, Tensor) and value.array.size == 1 else value
                if "initial_lr" in group and is_number(value):
                    value = abs(value)  # schedules that work together can make it negative for a while
            if not is_number(value) or not 0 <= value < float("inf"):
                raise ValueError(f"{self._name}: {option} must be a number of at least 0, got {brief(value)}")

    # -- saving --------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """All that is needed to continue exactly: `{"state": {index: ...}, "param_groups": [...]}`.

        PyTorch's layout: parameters are numbered in the order of the groups, and a group lists numbers.
        """
        number = {id(p): i for i, p in enumerate(p for group in self.param_groups for p in group["params"])}
        for p, values in self.state.items():
            _follow(p.array, values)
        return {
            "state": {
                number[id(p)]: {key: _copied(v) for key, v in values.items()}
                for p, values in self.state.items()
                if id(p) in number  # it may have been taken out of its group by hand
            },
            "param_groups": [
                {key: _copied(v) for key, v in group.items() if key != "params"}
                | {"params": [number[id(p)] for p in group["params"]]}
                for group in self.param_groups
            ],
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from `state_dict()` of an optimizer of this kind with the same groups.

        The values are copied, and tensors take the dtype of their parameter. A state that PyTorch saved can be
        loaded as well; options that do not exist here are left out.

        Raises:
            ValueError: the number of groups or of parameters of a group differs, a shape differs, something is
                missing, or a value is not one that this optimizer can save. The optimizer stays as it was.
            TypeError: it is not the state of an optimizer.
        """
        where = f"{self._name}.load_state_dict"
        if not isinstance(state_dict, dict) or not {"state", "param_groups"} <= state_dict.keys():
            raise TypeError(
                f'{where}: expected a dictionary with "state" and "param_groups", from state_dict() of an optimizer, '
                f"got {brief(state_dict)}"
            )
        remembered, saved = state_dict["state"], state_dict["param_groups"]
        if not isinstance(remembered, dict):
            raise TypeError(f'{where}: "state" must be a dictionary, got {brief(remembered)}')
        if not isinstance(saved, list | tuple) or not all(
            isinstance(old, dict) and isinstance(old.get("params"), list | tuple) for old in saved
        ):
            raise TypeError(
                f'{where}: "param_groups" must be a list of dictionaries with a list "params", got {brief(saved)}'
            )
        if len(saved) != len(self.param_groups):
            raise ValueError(
                f"{where}: the saved state has {len(saved)} parameter groups, and this optimizer "
                f"{len(self.param_groups)}"
            )
        groups, by_number = [], {}
        for i, (old, group) in enumerate(zip(saved, self.param_groups, strict=True)):
            if len(old["params"]) != len(group["params"]):
                raise ValueError(
                    f"{where}: group {i} has {len(old['params'])} parameters in the saved state, and "
                    f"{len(group['params'])} in this optimizer"
                )
            for number, p in zip(old["params"], group["params"], strict=True):
                if not is_number(number) or number in by_number:
                    raise ValueError(f'{where}: "params" must hold different whole numbers, got {brief(number)}')
                by_number[number] = p
            for key in self.defaults:
                if key not in old and key not in _FLAGS:  # old versions of PyTorch lack some of the flags
                    raise ValueError(f"{where}: group {i} has no {key!r} in the saved state")
            kept = {*self.defaults, *_OF_SCHEDULES, "param_names"}
            unscheduled = {key: v for key, v in group.items() if key not in _OF_SCHEDULES}
            groups.append({**unscheduled, **{key: _plain(v) for key, v in old.items() if key in kept}})
            if isinstance(groups[-1].get("betas"), list):
                groups[-1]["betas"] = tuple(groups[-1]["betas"])  # JSON has no tuples
            self._check_group(groups[-1])
        self._check_names(groups)
        state = {}
        for number, values in remembered.items():
            # JSON turns the numbers into strings.
            p = by_number.get(int(number) if isinstance(number, str) and number.isdecimal() else number)
            if p is None:
                raise ValueError(f'{where}: "state" has an entry {brief(number)}, and no group lists that number')
            state[p] = self._restored(f"{where}: the state of parameter {number}", values, p)
        # Nothing was changed until here: an error above leaves the optimizer as it was.
        self.state = state
        self.param_groups[:] = groups

    def _restored(self, what: str, values: Any, p: Tensor) -> dict[str, Any]:
        if not isinstance(values, dict):
            raise TypeError(f"{what} must be a dictionary, got {brief(values)}")
        values = {key: v for key, v in values.items() if v is not None}
        names = self.remembers
        if values and names is not None:
            missing = [key for key, always in names.items() if always and key not in values]
            if missing or not values.keys() <= names.keys():
                raise ValueError(
                    f"{what} has {', '.join(map(repr, values)):.200}, and {self._name} keeps "
                    f"{', '.join(map(repr, names)) or 'nothing'}. This is probably the state of another optimizer"
                )
        found = {}
        for key, value in values.items():
            if key == "step":
                found[key] = _count(f"{what}: {key}", value)
            elif names is None and isinstance(value, bool | int | float | str) and p.ndim:
                found[key] = value  # an optimizer of one's own; of a 0-d parameter it is JSON's form of a tensor
            else:
                found[key] = _tensor_like(f"{what}: {key}", value, p)
        return found

    def __repr__(self) -> str:
        lines = [f"{self._name} ("]
        for i, group in enumerate(self.param_groups):
            values = sum(p.array.size for p in group["params"])
            lines.append(f"  group {i}: {len(group['params'])} tensors, {values:,} values")
            lines.extend(f"    {key}: {group[key]}" for key in group if key not in ("params", "param_names"))
        return "\n".join([*lines, ")"])


def buffer(state: dict[str, Any], name: str, p: Tensor, value: float = 0.0) -> Any:
    """`state[name]` as a flat array: a tensor like `p`, filled with `value` when it is first asked for."""
    if name not in state:
        state[name] = Tensor(np.full(p.shape, value, p.dtype))
    kept = state[name].array
    if kept.shape != p.array.shape:
        raise ValueError(
            f"{name} in the optimizer's state has shape {kept.shape}, and its parameter has shape {p.shape} now. Make "
            "a new optimizer, or delete optimizer.state[parameter]."
        )
    return kept.ravel()  # no copy: it is contiguous


def _follow(x: Any, state: dict[str, Any]) -> None:
    """Convert the state of a parameter with values `x` to their dtype, which `Module.to` may have changed."""
    dtype = x.dtype
    for key, value in state.items():
        if isinstance(value, Tensor) and value.array.dtype is not dtype and value.array.dtype.kind == "f":
            with np.errstate(over="ignore"):
                state[key] = Tensor(value.array.astype(dtype))


def _count(what: str, value: Any) -> int:
    """A number of steps: an int, a float, or PyTorch's tensor."""
    number = value.item() if hasattr(value, "item") and np.ndim(value) == 0 else value
    if not is_number(number) or not 0 <= number < 2**63 or number != int(number):
        raise ValueError(f"{what} must be a number of steps, got {brief(value)}")
    return int(number)


def _tensor_like(what: str, value: Any, p: Tensor) -> Tensor:
    """A copy of `value` as a tensor with the shape and dtype of `p`."""
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError):  # a ragged list, for instance
        array = np.asarray(None)
    if array.dtype.kind not in "fiu":
        raise ValueError(f"{what} must be an array of numbers, got {brief(value)}")
    if array.shape != p.shape:
        raise ValueError(
            f"{what} has shape {array.shape}, and its parameter {p.shape}. The parameters must be in the same "
            "order as when the state was saved"
        )
    with np.errstate(over="ignore"):
        return Tensor(np.array(array, dtype=p.dtype, order="C"))


def _plain(value: Any) -> Any:
    """A copy of an option; a number if it was PyTorch's or NumPy's."""
    if hasattr(value, "item") and not isinstance(value, Tensor) and np.ndim(value) == 0:
        return value.item()
    return _copied(value)


def _copied(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.clone()
    return list(value) if isinstance(value, list) else value
