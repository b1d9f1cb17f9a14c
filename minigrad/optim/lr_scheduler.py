"""Learning-rate schedules: `scheduler.step()` after each epoch (or each batch) sets the optimizer's rates.

Most schedules change the rate that is there: they multiply it, or move it along a curve. Such schedules can be
combined with each other and with changes by hand. `LambdaLR`, `CosineAnnealingWarmRestarts`, `CyclicLR` and
`OneCycleLR` compute the rate from its initial value, and so replace what other schedules did.

Rates are those of PyTorch, step by step, whatever is combined; `ReduceLROnPlateau` says where it differs.
"""

import copy
import math
import warnings
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import FunctionType
from typing import Any, Literal

from minigrad.autograd import Tensor
from minigrad.checks import brief, is_number, is_whole
from minigrad.optim.optimizer import Optimizer

# In the states that PyTorch saves, and of no use here; and the optimizer, which is never part of a state.
_NOT_LOADED = {
    "optimizer",
    "_step_count",
    "_is_initial",
    "_get_lr_called_within_step",
    "mode_worse",
    "use_beta1",
    "verbose",
}


class LRScheduler:
    """Base class: counts steps in `last_epoch`, and asks `get_lr` for the rate of each parameter group.

    Args:
        optimizer: whose `lr` to set. The present rate of each group is its initial one. The group keeps it under
            `"initial_lr"`, for this schedule and for those that are made later.
        last_epoch: −1 to begin. Otherwise the number of a step: the schedule continues after that step, with the
            rates that the groups have now. The groups must have an `"initial_lr"` then. `load_state_dict` is simpler.

    Making a scheduler sets the rates of step 0. To continue a run, make the optimizer and the scheduler first, then
    load both states.

    Raises:
        TypeError: `optimizer` is not an optimizer.
        ValueError: an argument is out of range.
        KeyError: `last_epoch` is given, and a group has no `"initial_lr"`.

    Example:
        >>> import minigrad as mg
        >>> optimizer = mg.optim.SGD([mg.zeros(1, requires_grad=True)], lr=1.0)
        >>> scheduler = mg.optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.5)
        >>> rates = []
        >>> for epoch in range(5):
        ...     rates.append(scheduler.get_last_lr()[0])
        ...     optimizer.step()
        ...     scheduler.step()
        >>> rates
        [1.0, 1.0, 0.5, 0.5, 0.25]
    """

    _is_initial = False
    """Are the rates of the first step being set?"""

    _apart: tuple[str, ...] = ()
    """Attributes whose state is not their value: functions, and other schedulers."""

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1):
        self.optimizer = _checked(self, optimizer)
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch != -1 and "initial_lr" not in group:
                raise KeyError(
                    f"{type(self).__name__}: to continue from last_epoch={last_epoch}, group {i} needs an "
                    '"initial_lr"; load the optimizer\'s saved state first'
                )
        self.base_lrs: list[float] = [float(group.get("initial_lr", group["lr"])) for group in optimizer.param_groups]
        self.last_epoch: float = last_epoch
        self._check(type(self).__name__)
        for group, lr in zip(optimizer.param_groups, self.base_lrs, strict=True):
            group.setdefault("initial_lr", lr)
        self._initial_step()

    # -- to be written by each schedule --------------------------------------------------------------

    def get_lr(self) -> list[float]:
        """The rate of each group in step `last_epoch`, given the rates of the step before."""
        raise NotImplementedError(f"{type(self).__name__} defines no get_lr")

    def _get_closed_form_lr(self) -> list[float]:
        """The rate of each group in step `last_epoch`, computed from the initial one: for `step(epoch)`."""
        return self.get_lr()

    def _check(self, where: str) -> None:
        """Raise ValueError for attributes that make no sense, given or loaded. The text begins with `where`."""
        _check_numbers(where, self, "last_epoch", low=-(2**53), high=2**53)
        self._check_rates(where, "base_lrs")

    def _check_rates(self, where: str, name: str) -> None:
        """There is one number for each group, or one for each that was there when the scheduler was made."""
        last, groups = vars(self).get("_last_lr", []), len(self.optimizer.param_groups)
        made_for = vars(self).get(name, last)
        for value in [*_list(where, name, made_for), *_list(where, "_last_lr", last)]:
            _check_number(where, name, value)
        empty = not made_for or (not last and "_last_lr" in vars(self))
        if empty or max(len(made_for), len(last)) > groups or groups not in (len(made_for), len(last)):
            raise ValueError(
                f"{where}: there are rates for {len(made_for)} parameter groups, and the optimizer has {groups}"
            )

    # -- stepping ------------------------------------------------------------------------------------

    def _initial_step(self) -> None:
        self._is_initial = True
        self.step()
        self._is_initial = False

    def step(self, epoch: float | None = None) -> None:
        """Go on to the next step. Call it after `optimizer.step()`.

        Args:
            epoch: go to this step instead, and compute its rates from the initial ones. What other schedules and
                changes by hand did to the rates is lost then, except in a schedule that has no such formula
                (`MultiplicativeLR`).
        """
        if epoch is not None:
            _check_number(f"{type(self).__name__}.step", "epoch", epoch)
        if self.last_epoch == 0 and self.optimizer.steps_taken == 0 and not self._is_initial:
            warnings.warn(
                f"{type(self).__name__}.step() was called before optimizer.step(): the schedule's first rate is never "
                "used. Call optimizer.step() first.",
                stacklevel=2,
            )
        self._go(epoch)

    def _go(self, epoch: float | None = None) -> None:
        if epoch is None:
            self.last_epoch += 1
            self._set(self.get_lr())
        else:
            self.last_epoch = epoch
            self._set(self._get_closed_form_lr())

    def _rates(self) -> list[float]:
        """The present rate of each parameter group."""
        return [float(group["lr"]) for group in self.optimizer.param_groups]

    def _per_group(self, values: list[Any]) -> list[Any]:
        """The values, of which each parameter group needs one."""
        if len(values) != len(self.optimizer.param_groups):
            raise ValueError(
                f"{type(self).__name__}: the scheduler was made for {len(values)} parameter groups, and the optimizer "
                f"has {len(self.optimizer.param_groups)}. Add all groups before you make the scheduler."
            )
        return values

    def _set(self, rates: list[float]) -> None:
        for group, lr in zip(self.optimizer.param_groups, self._per_group(rates), strict=True):
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(float(lr))
            else:
                group["lr"] = lr
        self._last_lr = self._rates()

    def _set_initial_rates(self) -> None:
        groups = self.optimizer.param_groups
        missing = [i for i, group in enumerate(groups) if "initial_lr" not in group]
        if missing:
            raise ValueError(
                f'{type(self).__name__}: group {missing[0]} has no "initial_lr". Add all groups before you make the '
                "schedulers."
            )
        self._set([group["initial_lr"] for group in groups])

    def get_last_lr(self) -> list[float]:
        """The rate of each parameter group after the last step of this scheduler."""
        return list(self._last_lr)

    def _undo(self) -> None:
        """Take back the step that was made with the scheduler, but for the rates."""
        self.last_epoch -= 1

    def _restart(self) -> None:
        """Make step 0 again, from the present rates."""
        self.last_epoch = -1
        self._initial_step()

    # -- saving --------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer, whose own state must be saved too.

        Functions are not saved. Of an object that can be called, its attributes are.
        """
        state = {
            key: list(v) if isinstance(v, list) else v
            for key, v in vars(self).items()
            if key not in ("optimizer", "_is_initial", *self._apart) and not callable(v)
        }
        if "_last_lr" in state:  # groups may have been added since the last step
            state["_last_lr"] += self._rates()[len(self._last_lr) :]
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from what `state_dict()` gave: here, or in PyTorch for the same schedule.

        Raises:
            TypeError: it is not a dictionary.
            ValueError: it is the state of another schedule, of one for another number of groups, or a value in it
                makes no sense. The scheduler stays as it was.
        """
        for thing, values in self._restored(f"{type(self).__name__}.load_state_dict", state_dict):
            vars(thing).update(values)

    def _restored(self, where: str, state: Any) -> list[tuple[Any, dict[str, Any]]]:
        """Objects, and the attributes that each is to have; a ValueError if they make no sense."""
        if not isinstance(state, Mapping):
            raise TypeError(f"{where}: expected a dictionary from state_dict() of a scheduler, got {brief(state)}")
        names = {*LRScheduler.state_dict(self), *self._apart}
        # Schedulers of one's own may have attributes that come into being later.
        unknown = state.keys() - names - _NOT_LOADED if type(self).__module__ == __name__ else set()
        if unknown or not names <= state.keys():
            given = ", ".join(map(str, state)) or "nothing"
            raise ValueError(
                f"{where}: expected {', '.join(sorted(names))}, got {brief(given)}: this is probably the "
                "state of another schedule"
            )
        values = {
            key: list(v) if isinstance(v, list | tuple) else v
            for key, v in state.items()
            if key not in _NOT_LOADED and key not in self._apart
        }
        twin = copy.copy(self)
        vars(twin).update(values)
        twin._check(where)
        return [(self, values)]


# -- schedules that multiply the rate -------------------------------------------------------------------


class _FactorLR(LRScheduler):
    """Multiplies the rate by change(t) in step t. From the initial rate on, that makes factor(t) in all."""

    def change(self, t: float) -> float:
        raise NotImplementedError

    def factor(self, t: float) -> float:
        raise NotImplementedError

    def get_lr(self) -> list[float]:
        change = self.change(self.last_epoch)
        return [lr * change for lr in self._rates()]

    def _get_closed_form_lr(self) -> list[float]:
        factor = self.factor(self.last_epoch)
        return [lr * factor for lr in self._per_group(self.base_lrs)]


class StepLR(_FactorLR):
    """Multiplies the rate by `gamma` every `step_size` steps: lr(t) = lr · gamma^⌊t / step_size⌋."""

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1):
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer, last_epoch)

    def _check(self, where: str) -> None:
        super()._check(where)
        _check_numbers(where, self, "step_size", low=1)
        _check_numbers(where, self, "gamma")

    def change(self, t: float) -> float:
        return self.gamma if t != 0 and t % self.step_size == 0 else 1.0

    def factor(self, t: float) -> float:
        return self.gamma ** (t // self.step_size)


class MultiStepLR(_FactorLR):
    """Multiplies the rate by `gamma` at each of the `milestones` (a milestone that is listed twice counts twice)."""

    def __init__(self, optimizer: Optimizer, milestones: Iterable[int], gamma: float = 0.1, last_epoch: int = -1):
        self.milestones: list[Any] = sorted(milestones)
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def _check(self, where: str) -> None:
        super()._check(where)
        _check_numbers(where, self, "gamma")
        for milestone in _list(where, "milestones", self.milestones):
            _check_number(where, "milestones", milestone)

    def change(self, t: float) -> float:
        return self.gamma ** self.milestones.count(t)

    def factor(self, t: float) -> float:
        return self.gamma ** bisect_right(self.milestones, t)

    def _restored(self, where: str, state: Any) -> list[tuple[Any, dict[str, Any]]]:
        milestones = state.get("milestones") if isinstance(state, Mapping) else None
        if isinstance(milestones, Mapping):  # PyTorch counts how often each is listed
            for milestone, times in milestones.items():
                _check_number(where, "milestones", milestone)
                _check_number(where, f"the number of milestones {milestone}", times, low=1, high=1000)
            state = {**state, "milestones": sorted(m for m, times in milestones.items() for _ in range(int(times)))}
        return super()._restored(where, state)


class ConstantLR(LRScheduler):
    """Multiplies the rate by `factor` in step 0, and divides it by `factor` again in step `total_iters`.

    lr(t) = lr · factor for t < total_iters, and lr from then on

    Args:
        optimizer: whose rate to set.
        factor: from 0 to 1.
        total_iters: the number of steps with the smaller rate.
        last_epoch: see `LRScheduler`.

    Example:
        >>> import minigrad as mg
        >>> optimizer = mg.optim.SGD([mg.zeros(1, requires_grad=True)], lr=1.0)
        >>> scheduler = mg.optim.lr_scheduler.ConstantLR(optimizer, factor=0.25, total_iters=2)
        >>> rates = []
        >>> for epoch in range(4):
        ...     rates.append(scheduler.get_last_lr()[0])
        ...     optimizer.step()
        ...     scheduler.step()
        >>> rates
        [0.25, 0.25, 1.0, 1.0]
    """

    def __init__(self, optimizer: Optimizer, factor: float = 1 / 3, total_iters: int = 5, last_epoch: int = -1):
        self.factor, self.total_iters = factor, total_iters
        super().__init__(optimizer, last_epoch)

    def _check(self, where: str) -> None:
        super()._check(where)
        _check_numbers(where, self, "factor", low=0, high=1)
        _check_numbers(where, self, "total_iters")

    def get_lr(self) -> list[float]:
        if self.last_epoch == 0:
            return [lr * self.factor for lr in self._rates()]
        if self.last_epoch != self.total_iters:
            return self._rates()
        # Nothing brings a rate of 0 back but the initial rate.
        return [lr * (1.0 / self.factor) for lr in self._rates()] if self.factor else self._get_closed_form_lr()

    def _get_closed_form_lr(self) -> list[float]:
        factor = 1.0 if self.last_epoch >= self.total_iters else self.factor
        return [lr * factor for lr in self._per_group(self.base_lrs)]


class LinearLR(_FactorLR):
    """Changes the factor in a straight line from `start_factor` to `end_factor`: a linear warm-up.

    lr(t) = lr · (start_factor + (end_factor − start_factor) · min(t, total_iters) / total_iters)
    """

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ):
        self.start_factor, self.end_factor, self.total_iters = start_factor, end_factor, total_iters
        super().__init__(optimizer, last_epoch)

    def _check(self, where: str) -> None:
        super()._check(where)
        if not is_number(self.start_factor) or not 0 < self.start_factor <= 1:
            raise ValueError(f"{where}: start_factor must be above 0 and at most 1, got {brief(self.start_factor)}")
        _check_numbers(where, self, "end_factor", low=0, high=1)
        _check_numbers(where, self, "total_iters", low=1)

    def change(self, t: float) -> float:
        if t == 0:
            return self.start_factor
        if self._is_initial or t > self.total_iters:
            return 1.0
        rise = self.end_factor - self.start_factor
        return 1.0 + rise / (self.total_iters * self.start_factor + (t - 1) * rise)

    def factor(self, t: float) -> float:
        return self.start_factor + (self.end_factor - self.start_factor) * min(t, self.total_iters) / self.total_iters


class ExponentialLR(_FactorLR):
    """Multiplies the rate by `gamma` in every step: lr(t) = lr · gammaᵗ."""

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1):
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def _check(self, where: str) -> None:
        super()._check(where)
        _check_numbers(where, self, "gamma")

    def change(self, t: float) -> float:
        return 1.0 if self._is_initial else self.gamma

    def factor(self, t: float) -> float:
        return self.gamma**t


class PolynomialLR(_FactorLR):
    """Lets the rate fall to 0 in `total_iters` steps.

    lr(t) = lr · (1 − min(t, total_iters) / total_iters)^power

    Args:
        optimizer: whose rate to set.
        total_iters: the number of steps.
        power: 1 for a straight line; above 1, the rate falls fast at first and slowly at last.
        last_epoch: see `LRScheduler`.

    Example:
        >>> import minigrad as mg
        >>> optimizer = mg.optim.SGD([mg.zeros(1, requires_grad=True)], lr=1.0)
        >>> scheduler = mg.optim.lr_scheduler.PolynomialLR(optimizer, total_iters=4, power=2.0)
        >>> rates = []
        >>> for epoch in range(6):
        ...     rates.append(scheduler.get_last_lr()[0])
        ...     optimizer.step()
        ...     scheduler.step()
        >>> rates
        [1.0, 0.5625, 0.25, 0.0625, 0.0, 0.0]
    """

    def __init__(self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1):
        self.total_iters, self.power = total_iters, power
        super().__init__(optimizer, last_epoch)

    def _check(self, where: str) -> None:
        super()._check(where)
        _check_numbers(where, self, "total_iters", low=1)
        _check_numbers(where, self, "power")

    def change(self, t: float) -> float:
        if self._is_initial or t > self.total_iters:
            return 1.0
        return ((1.0 - t / self.total_iters) / (1.0 - (t - 1) / self.total_iters)) ** self.power

    def factor(self, t: float) -> float:
        return (1.0 - min(t, self.total_iters) / self.total_iters) ** self.power


class _FunctionLR(LRScheduler):
    """A schedule that functions of the step define: one function for all parameter groups, or one for each."""

    _apart = ("lr_lambdas",)

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]],
        last_epoch: int = -1,
    ):
        groups, name = len(_checked(self, optimizer).param_groups), type(self).__name__
        self.lr_lambdas: list[Any] = list(lr_lambda) if isinstance(lr_lambda, list | tuple) else [lr_lambda] * groups
        if not all(callable(function) for function in self.lr_lambdas):
            raise TypeError(f"{name}: lr_lambda must be a function or a list of functions, got {brief(lr_lambda)}")
        if len(self.lr_lambdas) != groups:
            raise ValueError(f"{name}: {len(self.lr_lambdas)} functions for {groups} parameter groups")
        super().__init__(optimizer, last_epoch)

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "lr_lambdas": [_attributes(function) for function in self.lr_lambdas]}

    def _restored(self, where: str, state: Any) -> list[tuple[Any, dict[str, Any]]]:
        restored = super()._restored(where, state)
        return restored + _with_attributes(where, "lr_lambdas", self.lr_lambdas, state["lr_lambdas"])


class LambdaLR(_FunctionLR):
    """lr(t) = initial lr · lr_lambda(t); `lr_lambda` is a function, or a list with one for each parameter group.

    Functions are not part of `state_dict()`: make the scheduler with the same functions again, then load.
    """

    def get_lr(self) -> list[float]:
        bases, functions = self._per_group(self.base_lrs), self.lr_lambdas
        return [lr * function(self.last_epoch) for lr, function in zip(bases, functions, strict=True)]


class MultiplicativeLR(_FunctionLR):
    """lr(t) = lr(t − 1) · lr_lambda(t) in step t = 1, 2, ...; `lr_lambda` is as in `LambdaLR`."""

    def get_lr(self) -> list[float]:
        if self._is_initial:
            return self._rates()
        functions = self._per_group(self.lr_lambdas)
        return [lr * function(self.last_epoch) for lr, function in zip(self._rates(), functions, strict=True)]


# -- cosines and cycles ---------------------------------------------------------------------------------


class CosineAnnealingLR(LRScheduler):
    """Half a cosine from the initial rate down to `eta_min` in `T_max` steps (and up again in the next T_max).

    lr(t) = eta_min + (lr − eta_min) · (1 + cos(π t / T_max)) / 2

    Each step goes on from the present rate. So the cosine continues what a warm-up, another schedule or a change by
    hand did to the rate:

    lr(t) = eta_min + (lr(t − 1) − eta_min) · (1 + cos(π t / T_max)) / (1 + cos(π (t − 1) / T_max))

    Source: Loshchilov and Hutter, SGDR, arXiv 1608.03983, without the restarts.
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1):
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer, last_epoch)

    def _check(self, where: str) -> None:
        super()._check(where)
        _check_numbers(where, self, "T_max", low=1)
        _check_numbers(where, self, "eta_min")

    def get_lr(self) -> list[float]:
        if self._is_initial:
            return self._rates()
        t, n, low = self.last_epoch, self.T_max, self.eta_min
        if (t - 1 - n) % (2 * n) == 0:  # one step after the lowest rate, where the formula would divide 0 by 0
            rise = (1 - math.cos(math.pi / n)) / 2
            bases = self._per_group(self.base_lrs)
            return [lr + (base - low) * rise for lr, base in zip(self._rates(), bases, strict=True)]
        change = (1 + math.cos(math.pi * t / n)) / (1 + math.cos(math.pi * (t - 1) / n))
        return [change * (lr - low) + low for lr in self._rates()]

    def _get_closed_form_lr(self) -> list[float]:
        progress = self.last_epoch / self.T_max
        return [_cosine(lr, self.eta_min, progress) for lr in self._per_group(self.base_lrs)]


class CosineAnnealingWarmRestarts(LRScheduler):
    """Half cosines from the initial rate to `eta_min`, again and again.

    The first takes `T_0` steps, and each later one takes `T_mult` times as many as the one before.

    `last_epoch` must be in the first cycle, or T_mult 1, as in PyTorch. To continue in a later cycle, load a state or
    call `step(epoch)`.

    Source: Loshchilov and Hutter, SGDR, arXiv 1608.03983.
    """

    def __init__(self, optimizer: Optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0, last_epoch: int = -1):
        self.T_0 = self.T_i = T_0
        self.T_mult, self.eta_min, self.T_cur = T_mult, eta_min, last_epoch
        super().__init__(optimizer, last_epoch)

    def _check(self, where: str) -> None:
        super()._check(where)
        _check_numbers(where, self, "T_0", "T_i", "T_mult", low=1, whole=True)
        _check_numbers(where, self, "eta_min", "T_cur")

    def get_lr(self) -> list[float]:
        return [_cosine(lr, self.eta_min, self.T_cur / self.T_i) for lr in self._per_group(self.base_lrs)]

    def step(self, epoch: float | None = None) -> None:
        """Go on to the next step, or to `epoch`, which may be a fraction.

        With a call for each batch i of n, the rate changes within an epoch: `scheduler.step(epoch + i / n)`.
        """
        if epoch is not None or self.last_epoch < 0:
            epoch = 0 if epoch is None else epoch
            _check_number("CosineAnnealingWarmRestarts.step", "epoch", epoch, low=0)
            start, self.T_i = 0, self.T_0
            if self.T_mult == 1:
                start = epoch // self.T_0 * self.T_0
            while epoch - start >= self.T_i:
                start, self.T_i = start + self.T_i, self.T_i * self.T_mult
            self.last_epoch, self.T_cur = math.floor(epoch), epoch - start
        else:
            self.last_epoch += 1
            self.T_cur += 1
            if self.T_cur >= self.T_i:
                self.T_cur, self.T_i = self.T_cur % self.T_i, self.T_i * self.T_mult
        self._set(self.get_lr())


class _MomentumLR(LRScheduler):
    """A schedule that can also change the momentum (SGD, RMSprop) or β₁ (Adam)."""

    cycle_momentum: bool

    def _check_before(self, optimizer: Optimizer, last_epoch: int) -> None:
        """Check the arguments before the optimizer is changed."""
        self.optimizer, self.last_epoch = optimizer, last_epoch
        self._last_lr = self._rates()
        self._check(type(self).__name__)

    def _check(self, where: str) -> None:
        super()._check(where)
        _check_choice(where, self, "cycle_momentum", True, False)
        if self.cycle_momentum and not {"momentum", "betas"} & set(self.optimizer.defaults):
            raise ValueError(f"{where}: {type(self.optimizer).__name__} has no momentum: pass cycle_momentum=False")

    def _set_momenta(self, momenta: list[float]) -> None:
        for group, momentum in zip(self.optimizer.param_groups, momenta, strict=True):
            if "betas" in group:
                group["betas"] = (momentum, *group["betas"][1:])
            else:
                group["momentum"] = momentum


class CyclicLR(_MomentumLR):
    """Up from `base_lr` to `max_lr` and down again, in straight lines, while the momentum goes the other way.

    Args:
        optimizer: whose rate, and momentum or β₁, to set.
        base_lr, max_lr: the ends of the cycle; numbers, or lists with one for each group.
        step_size_up, step_size_down: the number of steps from `base_lr` to `max_lr`, and of those back (the same
            number by default).
        mode: "triangular": all cycles are equally high; "triangular2": each is half as high as the one before;
            "exp_range": the height is multiplied by gammaᵗ.
        gamma: see `mode`.
        scale_fn, scale_mode: a function that takes the place of `mode`. It gets the number of the cycle, from 1 on
            ("cycle"), or that of the step ("iterations"), and gives the factor of the height.
        cycle_momentum: change the momentum too, from `max_momentum` to `base_momentum` and back.
        base_momentum, max_momentum: the ends of the momentum; numbers, or lists with one for each group.

    Source: Smith, Cyclical learning rates for training neural networks, arXiv 1506.01186.

    Example:
        >>> import minigrad as mg
        >>> optimizer = mg.optim.SGD([mg.zeros(1, requires_grad=True)], momentum=0.9)
        >>> scheduler = mg.optim.lr_scheduler.CyclicLR(optimizer, base_lr=1.0, max_lr=3.0, step_size_up=2)
        >>> rates = []
        >>> for batch in range(6):
        ...     rates.append(scheduler.get_last_lr()[0])
        ...     optimizer.step()
        ...     scheduler.step()
        >>> rates
        [1.0, 2.0, 3.0, 2.0, 1.0, 2.0]
    """

    _apart = ("_scale_fn_custom",)

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | Sequence[float],
        max_lr: float | Sequence[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: Literal["triangular", "triangular2", "exp_range"] = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: Literal["cycle", "iterations"] = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float | Sequence[float] = 0.8,
        max_momentum: float | Sequence[float] = 0.9,
        last_epoch: int = -1,
    ):
        groups = _checked(self, optimizer).param_groups
        base_lrs = _one_each("CyclicLR: base_lr", base_lr, groups)
        self.max_lrs = _one_each("CyclicLR: max_lr", max_lr, groups)
        step_size_down = step_size_up if step_size_down is None else step_size_down
        _check_number("CyclicLR", "step_size_up", step_size_up, low=1)
        _check_number("CyclicLR", "step_size_down", step_size_down, low=0)
        self.total_size = float(step_size_up + step_size_down)
        self.step_ratio = step_size_up / self.total_size
        self.mode, self.gamma, self._scale_fn_custom = mode, gamma, scale_fn
        self.scale_mode = scale_mode if scale_fn else "iterations" if mode == "exp_range" else "cycle"
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self.base_momentums = _one_each("CyclicLR: base_momentum", base_momentum, groups)
            self.max_momentums = _one_each("CyclicLR: max_momentum", max_momentum, groups)
        self._check_before(optimizer, last_epoch)
        if last_epoch == -1:
            self._set(base_lrs)
            if cycle_momentum:
                for group, low, high in zip(groups, self.base_momentums, self.max_momentums, strict=True):
                    group["base_momentum"], group["max_momentum"] = low, high
        super().__init__(optimizer, last_epoch)
        self.base_lrs = base_lrs

    def _check(self, where: str) -> None:
        super()._check(where)
        if self._scale_fn_custom is None:
            _check_choice(where, self, "mode", "triangular", "triangular2", "exp_range")
        _check_choice(where, self, "scale_mode", "cycle", "iterations")
        _check_numbers(where, self, "gamma")
        _check_numbers(where, self, "total_size", low=1)
        _check_numbers(where, self, "step_ratio", low=0, high=1)
        for name in ("max_lrs", *(("base_momentums", "max_momentums") if self.cycle_momentum else ())):
            values = _list(where, name, getattr(self, name))
            if len(values) != len(self.max_lrs) or len(values) != len(vars(self).get("base_lrs", values)):
                raise ValueError(f"{where}: {len(values)} {name}, and another number of other ends")
            for value in values:
                _check_number(where, name, value)

    def scale_fn(self, x: float) -> float:
        """The factor of the height, in the cycle or step x."""
        if self._scale_fn_custom is not None:
            return self._scale_fn_custom(x)
        return {"triangular": 1.0, "triangular2": 1 / 2.0 ** (x - 1)}.get(self.mode) or self.gamma**x

    def get_lr(self) -> list[float]:
        cycle = math.floor(1 + self.last_epoch / self.total_size)
        x = 1.0 + self.last_epoch / self.total_size - cycle
        height = x / self.step_ratio if x <= self.step_ratio else (x - 1) / (self.step_ratio - 1)
        height = height * self.scale_fn(cycle if self.scale_mode == "cycle" else self.last_epoch)
        bases = self._per_group(self.base_lrs)
        if self.cycle_momentum:
            ends = zip(self.max_momentums, self.base_momentums, strict=True)
            self._set_momenta([_line(high, low, height) for high, low in ends])
        return [_line(low, high, height) for low, high in zip(bases, self.max_lrs, strict=True)]

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "_scale_fn_custom": _attributes(self._scale_fn_custom)}

    def _restored(self, where: str, state: Any) -> list[tuple[Any, dict[str, Any]]]:
        restored = super()._restored(where, state)
        return restored + _with_attributes(where, "scale_fn", [self._scale_fn_custom], [state["_scale_fn_custom"]])


class OneCycleLR(_MomentumLR):
    """One cycle: up to `max_lr`, then down to almost nothing, while the momentum goes the other way. Step each batch.

    The rate starts at max_lr / div_factor, reaches `max_lr` after the fraction `pct_start` of the steps, and ends at
    its start / final_div_factor.

    Args:
        optimizer: whose rate, and momentum or β₁, to set.
        max_lr: the highest rate, or a list with one for each group.
        total_steps: the number of steps in all; or give both
        epochs, steps_per_epoch: the two factors of this number.
        pct_start: the fraction of the steps that lead up.
        anneal_strategy: "cos" or "linear".
        cycle_momentum: change the momentum too, from `max_momentum` to `base_momentum` and back.
        base_momentum, max_momentum: the ends of the momentum; numbers, or lists with one for each group.
        div_factor, final_div_factor: see above.
        three_phase: go down for as long as up, and spend the rest on the last descent.

    Source: Smith and Topin, Super-convergence, arXiv 1708.07120; the defaults are those of fastai and PyTorch.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | Sequence[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: Literal["cos", "linear"] = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | Sequence[float] = 0.85,
        max_momentum: float | Sequence[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ):
        groups = _checked(self, optimizer).param_groups
        if total_steps is None:
            if epochs is None or steps_per_epoch is None:
                raise ValueError("OneCycleLR: give total_steps, or both epochs and steps_per_epoch")
            total_steps = epochs * steps_per_epoch
        _check_number("OneCycleLR", "pct_start", pct_start, low=0, high=1)
        self.total_steps, self._anneal_func_type, self.cycle_momentum = total_steps, anneal_strategy, cycle_momentum
        up, last = float(pct_start * total_steps) - 1, total_steps - 1
        phases = [
            _phase(up, "initial_lr", "max_lr", "max_momentum", "base_momentum"),
            _phase(last, "max_lr", "min_lr", "base_momentum", "max_momentum"),
        ]
        if three_phase:
            phases[1:] = [
                _phase(2 * up, "max_lr", "initial_lr", "base_momentum", "max_momentum"),
                _phase(last, "initial_lr", "min_lr", "max_momentum", "max_momentum"),
            ]
        self._schedule_phases = phases
        self._check_before(optimizer, last_epoch)
        if last_epoch == -1:
            tops = _one_each("OneCycleLR: max_lr", max_lr, groups)
            lows = _one_each("OneCycleLR: base_momentum", base_momentum, groups)
            highs = _one_each("OneCycleLR: max_momentum", max_momentum, groups)
            for group, top, low, high in zip(groups, tops, lows, highs, strict=True):
                group["initial_lr"] = top / div_factor
                group["max_lr"], group["min_lr"] = top, group["initial_lr"] / final_div_factor
                if cycle_momentum:
                    group["base_momentum"], group["max_momentum"] = low, high
        super().__init__(optimizer, last_epoch)

    def _check(self, where: str) -> None:
        super()._check(where)
        _check_numbers(where, self, "total_steps", low=1, whole=True)
        if self._anneal_func_type not in ("cos", "linear"):
            raise ValueError(f'{where}: anneal_strategy must be "cos" or "linear", got {self._anneal_func_type!r}')
        ends = ("initial_lr", "max_lr", "min_lr", "base_momentum", "max_momentum")
        for phase in _list(where, "_schedule_phases", self._schedule_phases):
            last, *names = phase.values() if isinstance(phase, dict) and phase.keys() == _phase().keys() else [None]
            if not is_number(last) or not all(isinstance(name, str) and name in ends for name in names):
                raise ValueError(f"{where}: not a phase of the cycle: {brief(phase)}")

    def get_lr(self) -> list[float]:
        t, phases = self.last_epoch, self._schedule_phases
        if t > self.total_steps:
            raise ValueError(f"OneCycleLR: step {t} of {self.total_steps}: the cycle is over; make it longer")
        now = next((i for i, phase in enumerate(phases) if t <= phase["end_step"]), len(phases) - 1)
        start, end = phases[now - 1]["end_step"] if now else 0.0, phases[now]["end_step"]
        progress = (t - start) / ((end - start) or 1.0)
        between = _cosine if self._anneal_func_type == "cos" else _line
        groups = [group for group in self.optimizer.param_groups if "max_lr" in group]
        if self.cycle_momentum:
            first, last = phases[now]["start_momentum"], phases[now]["end_momentum"]
            momenta = [between(group[first], group[last], progress) for group in self._per_group(groups)]
            self._set_momenta(momenta)
        first, last = phases[now]["start_lr"], phases[now]["end_lr"]
        return [between(group[first], group[last], progress) for group in self._per_group(groups)]


def _phase(end_step: float = 0.0, *ends: str) -> dict[str, Any]:
    """A part of the one cycle: its last step, and what the groups call the rate and the momentum at its ends."""
    names = ("start_lr", "end_lr", "start_momentum", "end_momentum")
    return {"end_step": end_step, **dict(zip(names, ends or names, strict=True))}


# -- several schedules ----------------------------------------------------------------------------------


class _SeveralLR(LRScheduler):
    """A schedule made of other schedules."""

    _apart = ("_schedulers",)
    _schedulers: list[LRScheduler]

    def _take(self, optimizer: Optimizer | None, schedulers: Sequence[LRScheduler]) -> None:
        name, self._schedulers = type(self).__name__, list(schedulers)
        if not self._schedulers:
            raise ValueError(f"{name}: expected at least one scheduler, got none")
        for i, scheduler in enumerate(self._schedulers):
            if not isinstance(scheduler, LRScheduler):
                raise TypeError(f"{name}: schedulers[{i}] must be a scheduler, not a {type(scheduler).__name__}")
            if isinstance(scheduler, ReduceLROnPlateau):
                raise ValueError(f"{name}: schedulers[{i}] is a ReduceLROnPlateau, whose step() needs a measure")
        self.optimizer = _checked(self, self._schedulers[0].optimizer if optimizer is None else optimizer)
        for i, scheduler in enumerate(self._schedulers):
            if scheduler.optimizer is not self.optimizer:
                raise ValueError(f"{name}: schedulers[{i}] belongs to another optimizer")
        self._last_lr = self._rates()

    def _undo(self) -> None:
        for scheduler in self._schedulers:
            scheduler._undo()

    def _go(self, epoch: float | None = None) -> None:
        """Restart when a sequence reaches this schedule. (PyTorch cannot do this.)"""
        self._set_initial_rates()
        self._restart()

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "_schedulers": [scheduler.state_dict() for scheduler in self._schedulers]}

    def _restored(self, where: str, state: Any) -> list[tuple[Any, dict[str, Any]]]:
        restored = super()._restored(where, state)
        saved = _list(where, "_schedulers", state["_schedulers"])
        if len(saved) != len(self._schedulers):
            raise ValueError(f"{where}: {len(saved)} schedulers in the saved state, and {len(self._schedulers)} here")
        for i, (scheduler, part) in enumerate(zip(self._schedulers, saved, strict=True)):
            restored += scheduler._restored(f"{where}: schedulers[{i}], a {type(scheduler).__name__}", part)
        return restored


class SequentialLR(_SeveralLR):
    """One schedule after the other: a warm-up, then a decay. At each milestone the next one starts, at its step 0.

    Args:
        optimizer: the optimizer of all the schedulers.
        schedulers: in order.
        milestones: the steps at which the second, third, ... scheduler starts.
        last_epoch: −1 to begin; otherwise the number of the step to continue after.

    The rate is the initial one again where a scheduler starts.

    A sequence can be part of a sequence. As in PyTorch, a sequence that is the *first* part of another comes to each
    of its own milestones one step early.

    Example:
        >>> import minigrad as mg
        >>> from minigrad.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR
        >>> optimizer = mg.optim.SGD([mg.zeros(1, requires_grad=True)], lr=1.0)
        >>> warm_up, decay = LinearLR(optimizer, 0.5, total_iters=2), CosineAnnealingLR(optimizer, T_max=2)
        >>> scheduler = SequentialLR(optimizer, [warm_up, decay], milestones=[2])
        >>> rates = scheduler.get_last_lr()
        >>> for _ in range(4):
        ...     optimizer.step()
        ...     scheduler.step()
        ...     rates += scheduler.get_last_lr()
        >>> [round(lr, 6) for lr in rates]
        [0.5, 0.75, 1.0, 0.5, 0.0]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        schedulers: Sequence[LRScheduler],
        milestones: Sequence[int],
        last_epoch: int = -1,
    ):
        self._take(_checked(self, optimizer), schedulers)
        self._milestones, self.last_epoch = list(milestones), last_epoch + 1
        self._check("SequentialLR")
        self._set_initial_rates()
        self._undo()
        first = self._schedulers[bisect_right(self._milestones, 0)]
        first._initial_step()
        self._last_lr = first.get_last_lr()

    def _check(self, where: str) -> None:
        super()._check(where)
        steps, n = _list(where, "milestones", self._milestones), len(self._schedulers)
        for step in steps:
            _check_number(where, "milestones", step)
        if len(steps) != n - 1 or sorted(steps) != steps:
            raise ValueError(f"{where}: {n} schedulers need {n - 1} milestones in rising order, got {steps}")

    def step(self) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        self.last_epoch += 1
        now = bisect_right(self._milestones, self.last_epoch)
        scheduler = self._schedulers[now]
        if now > 0 and self._milestones[now - 1] == self.last_epoch:
            scheduler._go(0)
        else:
            scheduler.step()
        self._last_lr = scheduler.get_last_lr()

    def _restart(self) -> None:
        self.last_epoch = 0
        first = self._schedulers[bisect_right(self._milestones, 0)]
        first._restart()
        self._last_lr = first.get_last_lr()


class ChainedScheduler(_SeveralLR):
    """Several schedules at once: a step makes a step of each, in order, and each changes the rate of the one before.

    Args:
        schedulers: in order.
        optimizer: the optimizer of all the schedulers.

    Example:
        >>> import minigrad as mg
        >>> from minigrad.optim.lr_scheduler import ChainedScheduler, ConstantLR, ExponentialLR
        >>> optimizer = mg.optim.SGD([mg.zeros(1, requires_grad=True)], lr=1.0)
        >>> parts = [ConstantLR(optimizer, factor=0.5, total_iters=2), ExponentialLR(optimizer, gamma=0.5)]
        >>> scheduler = ChainedScheduler(parts)
        >>> rates = scheduler.get_last_lr()
        >>> for _ in range(3):
        ...     optimizer.step()
        ...     scheduler.step()
        ...     rates += scheduler.get_last_lr()
        >>> rates
        [0.5, 0.25, 0.25, 0.125]
    """

    def __init__(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None):
        self._take(optimizer, schedulers)

    def _check(self, where: str) -> None:
        self._check_rates(where, "_last_lr")

    def step(self) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        for scheduler in self._schedulers:
            scheduler.step()
        self._last_lr = self._rates()

    def _restart(self) -> None:
        for scheduler in self._schedulers:
            scheduler._restart()
        self._last_lr = self._rates()


# -- a schedule that looks at the results ---------------------------------------------------------------


class ReduceLROnPlateau(LRScheduler):
    """Multiplies the rate by `factor` when a measure no longer gets better: `step(validation_loss)`.

    Args:
        optimizer: whose rate to reduce.
        mode: "min" if the measure should fall, "max" if it should rise.
        factor: below 1.
        patience: the number of steps without an improvement that are tolerated; the next one reduces the rate.
        threshold: an improvement must be larger than this.
        threshold_mode: "abs" if `threshold` is the difference itself, "rel" if it is a fraction of the best value's
            size: the difference is threshold · |best|.
        cooldown: the number of steps after a reduction in which a lack of improvement does not count.
        min_lr: the lowest rate; a number, or a list with one for each group.
        eps: the rate stays as it is if it would change by no more than this.

    A measure of NaN is never an improvement.

    Difference from PyTorch: the sign of the best value does not matter to "rel". In PyTorch, a negative measure that
    stays the same, or gets a little worse, is an improvement, and the rate is never reduced.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: Literal["min", "max"] = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: Literal["rel", "abs"] = "rel",
        cooldown: int = 0,
        min_lr: float | Sequence[float] = 0.0,
        eps: float = 1e-8,
    ):
        self.optimizer = _checked(self, optimizer)
        self.mode, self.factor, self.patience = mode, factor, patience
        self.threshold, self.threshold_mode = threshold, threshold_mode
        self.cooldown, self.eps = cooldown, eps
        self.default_min_lr: Any = None if isinstance(min_lr, list | tuple) else min_lr
        self.min_lrs = _one_each("ReduceLROnPlateau: min_lr", min_lr, optimizer.param_groups)
        self.best = math.inf if mode == "min" else -math.inf
        self.num_bad_epochs = self.cooldown_counter = self.last_epoch = 0
        self._last_lr = self._rates()
        self._check("ReduceLROnPlateau")

    def _check(self, where: str) -> None:
        super()._check(where)
        _check_choice(where, self, "mode", "min", "max")
        _check_choice(where, self, "threshold_mode", "rel", "abs")
        _check_numbers(where, self, "factor", "patience", "threshold", "cooldown", "eps")
        _check_numbers(where, self, "num_bad_epochs", "cooldown_counter", low=0)
        if not self.factor < 1:
            raise ValueError(f"{where}: factor must be below 1, got {self.factor}")
        if not is_number(self.best):
            raise ValueError(f"{where}: best must be a number, got {brief(self.best)}")
        if self.default_min_lr is not None:
            _check_number(where, "min_lr", self.default_min_lr)
        self._check_rates(where, "min_lrs")

    def step(self, metrics: Any = None, epoch: float | None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Take in the measure of one more step, a number or a tensor with one element.

        Args:
            metrics: the measure.
            epoch: the number that `last_epoch` gets, if not the next one.
        """
        if metrics is None:
            raise TypeError("ReduceLROnPlateau.step needs the measure to judge by: scheduler.step(validation_loss)")
        value = float(metrics)
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        if self._is_better(value):
            self.best, self.num_bad_epochs = value, 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self._reduce()
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
        self._last_lr = self._rates()

    def _reduce(self) -> None:
        groups = len(self.optimizer.param_groups)
        if len(self.min_lrs) != groups:  # groups were added
            if self.default_min_lr is None:
                raise RuntimeError(
                    f"ReduceLROnPlateau: {len(self.min_lrs)} values of min_lr for {groups} parameter groups, because "
                    "a group was added: make scheduler.min_lrs longer, too"
                )
            self.min_lrs = [self.default_min_lr] * groups
        reduced = [max(lr * self.factor, low) for lr, low in zip(self._rates(), self.min_lrs, strict=True)]
        self._set([new if old - new > self.eps else old for old, new in zip(self._rates(), reduced, strict=True)])

    def _is_better(self, value: float) -> bool:
        sign = 1 if self.mode == "max" else -1
        if math.isinf(self.best):  # nothing was measured yet, or nothing can be better
            return sign * value > sign * self.best
        if self.threshold_mode == "abs":
            return sign * value > sign * self.best + self.threshold
        # 1 ± threshold for a positive best value, as PyTorch rounds it, and 1 ∓ threshold for a negative one.
        return sign * value > sign * self.best * (1 + sign * math.copysign(1.0, self.best) * self.threshold)


# -- inside ---------------------------------------------------------------------------------------------


def _cosine(start: float, end: float, progress: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * progress)) / 2


def _line(start: float, end: float, progress: float) -> float:
    return start + (end - start) * progress


def _one_each(what: str, value: Any, groups: list[Any]) -> list[float]:
    values = list(value) if isinstance(value, list | tuple) else [value] * len(groups)
    if len(values) != len(groups):
        raise ValueError(f"{what}: {len(values)} values for {len(groups)} parameter groups")
    return [value.item() if isinstance(value, Tensor) else value for value in values]


def _checked(scheduler: Any, optimizer: Any) -> Optimizer:
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"{type(scheduler).__name__}: needs an optimizer, not a {type(optimizer).__name__}")
    return optimizer


def _check_number(
    where: str, name: str, value: Any, low: float = -math.inf, high: float = math.inf, whole: bool = False
) -> None:
    """It must be finite, and from `low` to `high`."""
    kind = is_number(value) and (is_whole(value) or not whole)
    if not kind or math.isinf(value) or not low <= value <= high:
        wanted = "a whole number" if whole else "a number"
        if low > -math.inf:
            wanted += f" of at least {low}" if math.isinf(high) else f" from {low} to {high}"
        raise ValueError(f"{where}: {name} must be {wanted}, got {brief(value)}")


def _check_numbers(where: str, thing: Any, *names: str, **limits: Any) -> None:
    for name in names:
        _check_number(where, name, getattr(thing, name), **limits)


def _check_choice(where: str, thing: Any, name: str, *choices: Any) -> None:
    value = getattr(thing, name)
    if not any(value is choice or (isinstance(value, str) and value == choice) for choice in choices):
        wanted = " or ".join(f'"{choice}"' if isinstance(choice, str) else str(choice) for choice in choices)
        raise ValueError(f"{where}: {name} must be {wanted}, got {brief(value)}")


def _list(where: str, name: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"{where}: {name} must be a list, got {brief(value)}")
    return value


def _attributes(function: Any) -> dict[str, Any] | None:
    """The part of a callable that can be saved: nothing for a function; the attributes for other callable objects."""
    return dict(vars(function)) if hasattr(function, "__dict__") and not isinstance(function, FunctionType) else None


def _with_attributes(where: str, name: str, functions: list[Any], saved: Any) -> list[tuple[Any, Any]]:
    """The objects among the functions, with the attributes that were saved of them."""
    if len(_list(where, name, saved)) != len(functions):
        raise ValueError(f"{where}: {len(saved)} {name} in the saved state, and {len(functions)} here")
    pairs = [(function, values) for function, values in zip(functions, saved, strict=True) if values is not None]
    for function, values in pairs:
        if not isinstance(values, dict) or _attributes(function) is None:
            raise ValueError(f"{where}: {name} in the saved state is not that of {brief(function)}")
    return pairs
