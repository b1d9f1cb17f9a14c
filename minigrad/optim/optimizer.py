"""`Optimizer`: what all optimizers share — parameter groups, state, saving, and the loop over parameters."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from minigrad.autograd import Tensor, enable_grad


class Optimizer:
    """Changes parameters in place, given their gradients. Subclasses say how, in `update`.

    Args:
        params: tensors, `(name, tensor)` pairs, or dictionaries, one for each group, whose key `"params"` holds
            either of these and whose other keys override options for the group.
        defaults: the options of groups that do not set their own.

    Attributes:
        param_groups: a list of dictionaries: the options of each group, and its tensors under `"params"`.
        state: for each tensor, a dictionary of what is remembered between steps.

    Differences from PyTorch: `state_dict()` copies the state, so that it stays as it is while training goes on; a
    tensor that is listed twice is an error; there are no options that choose an implementation (`foreach`,
    `fused`, `capturable`).
    """

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
        """Raise ValueError for options that make no sense. Every option does, unless a subclass says otherwise."""

    def options(self, group: dict[str, Any]) -> Any:
        """The options of a group as `update` wants them; called once a step, since any of them may have changed.

        By default the group itself. Those with a kernel make floats of its numbers: Numba would compile the kernel
        anew for an int where it had a float.
        """
        return group

    def update(self, p: Tensor, x: Any, g: Any, state: dict[str, Any], options: Any) -> None:
        """Change `x` in place, the values of `p` as a flat array; `g` is the gradient, flat as well.

        What is needed in later steps is kept in `state`.
        """
        raise NotImplementedError(f"{self._name} defines no update(self, p, x, g, state, options)")

    # -- stepping ------------------------------------------------------------------------------------

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient; parameters without one are left alone.

        Args:
            closure: a function that computes the loss anew, with gradients; called first.

        Returns:
            What the closure returned, or None.
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
                state = self.state.get(p)
                if state is None:
                    state = self.state[p] = {}
                x, g = p.data, grad.data
                if g.shape != x.shape:
                    raise ValueError(f"{self._name}: a parameter of shape {x.shape} has a gradient of shape {g.shape}")
                if g.dtype != x.dtype or not g.flags.carray:
                    g = np.array(g, dtype=x.dtype, order="C")
                if x.flags.carray:
                    self.update(p, x.ravel(), g.ravel(), state, options)
                else:  # its memory has gaps, or another order of axes: update a copy
                    copy = np.array(x, order="C")
                    self.update(p, copy.ravel(), g.ravel(), state, options)
                    x[...] = copy
                p.version[0] += 1
        return loss

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients (set them to None), or with `set_to_none=False` set them to zero, in place."""
        for group in self.param_groups:
            for p in group["params"]:
                if set_to_none or p.grad is None:
                    p.grad = None
                else:
                    p.grad = p.grad.detach().zero_()

    # -- groups --------------------------------------------------------------------------------------

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Train more parameters: `{"params": tensors, ...}`, with options that override the defaults.

        Raises:
            TypeError: not a dictionary, or something in it is not a tensor.
            ValueError: a tensor is there already, is no leaf or no float, an option is unknown or out of range.
        """
        if not isinstance(param_group, dict) or "params" not in param_group:
            raise TypeError(
                f'{self._name}: a parameter group is a dictionary with a key "params", and this is {param_group!r:.80}'
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
        self.check(group)
        self.param_groups.append(group)

    def _named(self, params: Any) -> tuple[list[Tensor], list[str]]:
        """Tensors, and their names if they came as (name, tensor) pairs."""
        if isinstance(params, set | frozenset):
            raise TypeError(f"{self._name}: params is a set, whose order changes from run to run: pass a list")
        items = [params] if isinstance(params, Tensor) else list(params)
        pairs = [item for item in items if isinstance(item, tuple)]
        if not pairs:
            return items, []
        if len(pairs) != len(items):
            raise ValueError(f"{self._name}: give names to all parameters of a group, or to none")
        return [p for _, p in pairs], [name for name, _ in pairs]

    def _check_tensors(self, params: list[Any]) -> None:
        seen = {id(p) for group in self.param_groups for p in group["params"]}
        for i, p in enumerate(params):
            if not isinstance(p, Tensor):
                raise TypeError(f"{self._name}: can optimize Tensors only, and params[{i}] is a {type(p).__name__}")
            if p.dtype.kind != "f":
                raise TypeError(f"{self._name}: can optimize floating-point tensors only; params[{i}] is {p.dtype}")
            if not p.is_leaf:
                raise ValueError(
                    f"{self._name}: params[{i}] (shape {p.shape}) is the output of {p.grad_fn}. Only leaves can be "
                    "optimized, tensors that no op made: x.detach().requires_grad_()"
                )
            if id(p) in seen:
                raise ValueError(
                    f"{self._name}: params[{i}] (shape {p.shape}) is in the optimizer already; a parameter updated "
                    "twice a step would learn twice as fast. List each tensor once."
                )
            seen.add(id(p))

    def _check_range(self, group: dict[str, Any], *options: str) -> None:
        """These options must be finite numbers that are not negative."""
        for option in options:
            value = group[option]
            if not isinstance(value, int | float | np.number) or not 0 <= value < float("inf"):
                raise ValueError(f"{self._name}: {option} must be a number of at least 0, and is {value!r}")

    # -- saving --------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """All that is needed to continue exactly: `{"state": {index: ...}, "param_groups": [...]}`.

        PyTorch's layout: parameters are numbered in the order of the groups, and a group lists numbers.
        """
        number = {id(p): i for i, p in enumerate(p for group in self.param_groups for p in group["params"])}
        return {
            "state": {
                number[id(p)]: {key: v.clone() if isinstance(v, Tensor) else v for key, v in values.items()}
                for p, values in self.state.items()
            },
            "param_groups": [
                {key: _copied(v) for key, v in group.items() if key != "params"}
                | {"params": [number[id(p)] for p in group["params"]]}
                for group in self.param_groups
            ],
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from `state_dict()` of an optimizer of this kind with the same groups. The values are copied.

        State that PyTorch saved can be loaded as well; its options that do not exist here are left out.

        Raises:
            ValueError: the number of groups, the number of parameters of a group, or a shape differs.
            TypeError: it is no optimizer's state.
        """
        if not isinstance(state_dict, dict) or not {"state", "param_groups"} <= state_dict.keys():
            raise TypeError(
                f'{self._name}.load_state_dict: expected a dictionary with "state" and "param_groups", from '
                f"state_dict() of an optimizer, and got {state_dict!r:.80}"
            )
        saved = state_dict["param_groups"]
        if len(saved) != len(self.param_groups):
            raise ValueError(
                f"{self._name}.load_state_dict: the saved state has {len(saved)} parameter groups, and this optimizer "
                f"{len(self.param_groups)}"
            )
        by_number: dict[Any, Tensor] = {}
        for i, (old, group) in enumerate(zip(saved, self.param_groups, strict=True)):
            if len(old["params"]) != len(group["params"]):
                raise ValueError(
                    f"{self._name}.load_state_dict: group {i} has {len(old['params'])} parameters in the saved state, "
                    f"and {len(group['params'])} in this optimizer"
                )
            by_number.update(zip(old["params"], group["params"], strict=True))
        state = {}
        for number, values in state_dict["state"].items():
            if number not in by_number:
                number = int(number)  # JSON turns the numbers into strings
            p = by_number[number]
            state[p] = {key: self._restored(key, v, p) for key, v in values.items() if v is not None}
        groups = []
        for old, group in zip(saved, self.param_groups, strict=True):
            extras = ("param_names", "initial_lr", "max_lr", "min_lr", "max_momentum", "base_momentum")
            known = {key: _copied(v) for key, v in old.items() if key in self.defaults or key in extras}
            if "betas" in known:
                known["betas"] = tuple(known["betas"])
            groups.append({**group, **known})
            self.check(groups[-1])
        # Nothing was changed until here: an error above leaves the optimizer as it was.
        self.state = state
        self.param_groups[:] = groups

    def _restored(self, key: str, value: Any, p: Tensor) -> Any:
        if key == "step":
            return int(value)
        if isinstance(value, bool | int | float | str) and p.ndim:  # of a 0-d parameter, JSON's form of a tensor
            return value
        array = np.array(value, dtype=p.dtype, order="C")
        if array.shape != p.shape:
            raise ValueError(
                f"{self._name}.load_state_dict: {key} has shape {array.shape}, and its parameter {p.shape}. Are the "
                "parameters in the same order as when the state was saved?"
            )
        return Tensor(array)

    def __repr__(self) -> str:
        lines = [f"{self._name} ("]
        for i, group in enumerate(self.param_groups):
            values = sum(p.data.size for p in group["params"])
            lines.append(f"  group {i}: {len(group['params'])} tensors, {values:,} values")
            lines.extend(f"    {key}: {group[key]}" for key in group if key not in ("params", "param_names"))
        return "\n".join([*lines, ")"])


def buffer(state: dict[str, Any], name: str, p: Tensor, value: float = 0.0) -> Any:
    """`state[name]` as a flat array: a tensor like `p`, filled with `value` when it is first asked for."""
    if name not in state:
        state[name] = Tensor(np.full(p.shape, value, p.dtype))
    return state[name].data.ravel()  # no copy: it is contiguous


def _copied(value: Any) -> Any:
    return list(value) if isinstance(value, list) else value
