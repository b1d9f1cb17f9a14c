"""Learning-rate schedules: `scheduler.step()` after each epoch (or each batch) sets the optimizer's rates.

They are of two kinds. Some multiply the rate that is there by a factor, and so can be combined with each other and
with changes by hand. The others (`LambdaLR`, the cosines, `OneCycleLR`) set the rate, from the initial one.
"""

import math
import warnings
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

from minigrad.optim.optimizer import Optimizer


class LRScheduler:
    """Base class: counts steps in `last_epoch`, and asks `get_lr` for the rate of each parameter group.

    Args:
        optimizer: whose `lr` to set. The rate that it has now is the initial one; it is kept in the group under
            `"initial_lr"`.
        last_epoch: −1 to begin. To continue from a certain step instead, its number; the groups must have an
            `"initial_lr"` then. (Simpler: `load_state_dict`.)

    Making a scheduler sets the rates for step 0, so make it before you load an optimizer's state.

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

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1):
        self.optimizer = _checked(self, optimizer)
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            elif "initial_lr" not in group:
                raise KeyError(
                    f"{type(self).__name__}: to continue from last_epoch={last_epoch}, group {i} needs an "
                    '"initial_lr"; load the optimizer\'s saved state first'
                )
        self.base_lrs: list[float] = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self._begin()

    # -- to be written by each schedule --------------------------------------------------------------

    def get_lr(self) -> list[float]:
        """The rate of each group in step `last_epoch`."""
        raise NotImplementedError(f"{type(self).__name__} defines no get_lr")

    # -- stepping ------------------------------------------------------------------------------------

    def _begin(self) -> None:
        self.last_epoch += 1
        self._set(self.get_lr())

    def step(self) -> None:
        """Go on to the next step. Call it after `optimizer.step()`."""
        if self.last_epoch == 0 and self.optimizer.steps_taken == 0:
            warnings.warn(
                f"{type(self).__name__}.step() was called before optimizer.step(): the schedule's first rate is never "
                "used. Call optimizer.step() first.",
                stacklevel=2,
            )
        self.last_epoch += 1
        self._set(self.get_lr())

    def _restart(self) -> None:
        """Go to step 0, from the initial rates."""
        for group, lr in zip(self.optimizer.param_groups, self.base_lrs, strict=True):
            group["lr"] = lr
        self.last_epoch = 0
        self._set(self.get_lr())

    def _set(self, rates: list[float]) -> None:
        if len(rates) != len(self.optimizer.param_groups):
            raise ValueError(
                f"{type(self).__name__}: has rates for {len(rates)} parameter groups, and the optimizer has "
                f"{len(self.optimizer.param_groups)}. Add all groups before you make the scheduler."
            )
        for group, lr in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = lr
        self._last_lr = rates

    def get_last_lr(self) -> list[float]:
        """The rate of each parameter group, as set last."""
        return list(self._last_lr)

    # -- saving --------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer, whose own state must be saved too."""
        return {
            key: list(v) if isinstance(v, list) else v
            for key, v in vars(self).items()
            if key != "optimizer" and not callable(v)
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from what `state_dict()` gave."""
        vars(self).update({key: list(v) if isinstance(v, list) else v for key, v in state_dict.items()})


class _FactorLR(LRScheduler):
    """Multiplies the rate by factor(t) / factor(t − 1) in step t, so that in all it is multiplied by factor(t)."""

    def factor(self, t: int) -> float:
        raise NotImplementedError

    def _begin(self) -> None:
        if self.last_epoch == -1:
            super()._begin()
        else:  # the groups' rates were multiplied already, when this step was reached the first time
            self.last_epoch += 1
            self._set([group["lr"] for group in self.optimizer.param_groups])

    def get_lr(self) -> list[float]:
        t = self.last_epoch
        now, before = self.factor(t), self.factor(t - 1) if t else 1.0
        change = now / before if before else 0.0  # a factor of 0 is final
        return [group["lr"] * change for group in self.optimizer.param_groups]


class StepLR(_FactorLR):
    """Multiplies the rate by `gamma` every `step_size` steps: lr(t) = lr · gamma^⌊t / step_size⌋."""

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1):
        if step_size < 1:
            raise ValueError(f"StepLR: step_size must be at least 1, and is {step_size}")
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer, last_epoch)

    def factor(self, t: int) -> float:
        return self.gamma ** (t // self.step_size)


class MultiStepLR(_FactorLR):
    """Multiplies the rate by `gamma` at each of the `milestones` (a milestone that is listed twice counts twice)."""

    def __init__(self, optimizer: Optimizer, milestones: Iterable[int], gamma: float = 0.1, last_epoch: int = -1):
        self.milestones, self.gamma = sorted(milestones), gamma
        super().__init__(optimizer, last_epoch)

    def factor(self, t: int) -> float:
        return self.gamma ** bisect_right(self.milestones, t)


class ExponentialLR(_FactorLR):
    """Multiplies the rate by `gamma` in every step: lr(t) = lr · gammaᵗ."""

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1):
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def factor(self, t: int) -> float:
        return self.gamma**t


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
        if not 0 < start_factor <= 1:
            raise ValueError(f"LinearLR: start_factor must be above 0 and at most 1, and is {start_factor}")
        if not 0 <= end_factor <= 1:
            raise ValueError(f"LinearLR: end_factor must be between 0 and 1, and is {end_factor}")
        if total_iters < 1:
            raise ValueError(f"LinearLR: total_iters must be at least 1, and is {total_iters}")
        self.start_factor, self.end_factor, self.total_iters = start_factor, end_factor, total_iters
        super().__init__(optimizer, last_epoch)

    def factor(self, t: int) -> float:
        progress = min(t, self.total_iters) / self.total_iters
        return self.start_factor + (self.end_factor - self.start_factor) * progress


class LambdaLR(LRScheduler):
    """lr(t) = initial lr · lr_lambda(t); `lr_lambda` is a function, or a list of one for each parameter group.

    Functions are not part of `state_dict()`: make the scheduler with them again, then load.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]],
        last_epoch: int = -1,
    ):
        groups = len(_checked(self, optimizer).param_groups)
        self.lr_lambdas = [lr_lambda] * groups if callable(lr_lambda) else list(lr_lambda)
        if len(self.lr_lambdas) != groups:
            raise ValueError(f"LambdaLR: {len(self.lr_lambdas)} functions for {groups} parameter groups")
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        return [lr * function(self.last_epoch) for lr, function in zip(self.base_lrs, self.lr_lambdas, strict=True)]

    def state_dict(self) -> dict[str, Any]:
        return {key: v for key, v in super().state_dict().items() if key != "lr_lambdas"}


class CosineAnnealingLR(LRScheduler):
    """Half a cosine from the initial rate down to `eta_min` in `T_max` steps (and up again in the next T_max).

    lr(t) = eta_min + (lr − eta_min) · (1 + cos(π t / T_max)) / 2

    Difference from PyTorch: the rate is computed from the initial one, so a rate set by hand on the way does not
    last beyond the next step.

    Source: Loshchilov and Hutter, SGDR, arXiv 1608.03983, without the restarts.
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1):
        if T_max < 1:
            raise ValueError(f"CosineAnnealingLR: T_max must be at least 1, and is {T_max}")
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        return [_cosine(lr, self.eta_min, self.last_epoch / self.T_max) for lr in self.base_lrs]


class CosineAnnealingWarmRestarts(LRScheduler):
    """Half cosines from the initial rate to `eta_min`, again and again.

    The first takes `T_0` steps, and each later one `T_mult` times as many as the one before.

    Source: Loshchilov and Hutter, SGDR, arXiv 1608.03983.
    """

    def __init__(self, optimizer: Optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0, last_epoch: int = -1):
        if T_0 < 1 or T_mult < 1:
            raise ValueError(f"CosineAnnealingWarmRestarts: T_0 and T_mult must be at least 1: {T_0}, {T_mult}")
        self.T_0, self.T_mult, self.eta_min = T_0, T_mult, eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        t, length = self.last_epoch, self.T_0
        if self.T_mult == 1:
            t %= length
        while t >= length:
            t, length = t - length, length * self.T_mult
        return [_cosine(lr, self.eta_min, t / length) for lr in self.base_lrs]


class OneCycleLR(LRScheduler):
    """One cycle: up to `max_lr`, then down to almost nothing, while the momentum goes the other way. Step each batch.

    The rate starts at max_lr / div_factor, reaches `max_lr` after the fraction `pct_start` of the steps, and ends at
    its start / final_div_factor.

    Args:
        optimizer: whose rate, and momentum or β₁, to set.
        max_lr: the highest rate, or a list of one for each group.
        total_steps: how many steps there are in all; or else give both
        epochs, steps_per_epoch: whose product it is.
        pct_start: the fraction of the steps that lead up.
        anneal_strategy: "cos" or "linear".
        cycle_momentum: change the momentum too, from `max_momentum` to `base_momentum` and back.
        base_momentum, max_momentum: its ends; numbers, or lists of one for each group.
        div_factor, final_div_factor: see above.
        three_phase: go down as long as up, and spend the rest on the last descent.

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
        if total_steps < 1:
            raise ValueError(f"OneCycleLR: there must be at least one step in all, not {total_steps}")
        if not 0 <= pct_start <= 1:
            raise ValueError(f"OneCycleLR: pct_start must be between 0 and 1, and is {pct_start}")
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f'OneCycleLR: anneal_strategy must be "cos" or "linear", and is {anneal_strategy!r}')
        if cycle_momentum and not {"momentum", "betas"} & set(optimizer.defaults):
            raise ValueError(f"OneCycleLR: {type(optimizer).__name__} has no momentum: pass cycle_momentum=False")
        self.total_steps, self.pct_start, self.anneal_strategy = total_steps, pct_start, anneal_strategy
        self.cycle_momentum, self.three_phase = cycle_momentum, three_phase
        if last_epoch == -1:
            tops = _one_each("max_lr", max_lr, groups)
            lows = _one_each("base_momentum", base_momentum, groups)
            highs = _one_each("max_momentum", max_momentum, groups)
            for group, top, low, high in zip(groups, tops, lows, highs, strict=True):
                group["initial_lr"] = top / div_factor
                group["max_lr"], group["min_lr"] = top, group["initial_lr"] / final_div_factor
                if cycle_momentum:
                    group["base_momentum"], group["max_momentum"] = low, high
        super().__init__(optimizer, last_epoch)

    def _phases(self) -> list[tuple[float, str, str, str, str]]:
        """For each phase: its last step, the rate at its ends, and the momentum at its ends."""
        up = self.pct_start * self.total_steps - 1
        last = self.total_steps - 1
        rise = (up, "initial_lr", "max_lr", "max_momentum", "base_momentum")
        if not self.three_phase:
            return [rise, (last, "max_lr", "min_lr", "base_momentum", "max_momentum")]
        fall = (2 * up, "max_lr", "initial_lr", "base_momentum", "max_momentum")
        return [rise, fall, (last, "initial_lr", "min_lr", "max_momentum", "max_momentum")]

    def get_lr(self) -> list[float]:
        t = self.last_epoch
        if t > self.total_steps:
            raise ValueError(f"OneCycleLR: step {t} of {self.total_steps}: the cycle is over; make it longer")
        phases = self._phases()
        now = next((i for i, phase in enumerate(phases) if t <= phase[0]), len(phases) - 1)
        start = phases[now - 1][0] if now else 0.0
        end, *ends = phases[now]
        progress = (t - start) / ((end - start) or 1.0)
        between = _cosine if self.anneal_strategy == "cos" else _line
        rates = []
        for group in self.optimizer.param_groups:
            lr_from, lr_to, momentum_from, momentum_to = (group.get(key, 0.0) for key in ends)
            rates.append(between(lr_from, lr_to, progress))
            if self.cycle_momentum:
                momentum = between(momentum_from, momentum_to, progress)
                if "betas" in group:
                    group["betas"] = (momentum, *group["betas"][1:])
                else:
                    group["momentum"] = momentum
        return rates


class SequentialLR(LRScheduler):
    """One schedule after the other: a warm-up, then a decay. At each milestone the next one starts, at its step 0.

    Args:
        optimizer: the optimizer of all the schedulers.
        schedulers: in order.
        milestones: the steps at which the second, third, ... scheduler starts.

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
        >>> rates
        [0.5, 0.75, 1.0, 0.5, 0.0]
    """

    def __init__(self, optimizer: Optimizer, schedulers: Sequence[LRScheduler], milestones: Sequence[int]):
        self.optimizer = _checked(self, optimizer)
        self._schedulers, self._milestones = list(schedulers), list(milestones)
        for i, scheduler in enumerate(self._schedulers):
            if isinstance(scheduler, ReduceLROnPlateau) or not isinstance(scheduler, LRScheduler):
                raise TypeError(f"SequentialLR: schedulers[{i}] cannot be a {type(scheduler).__name__}")
            if scheduler.optimizer is not optimizer:
                raise ValueError(f"SequentialLR: schedulers[{i}] belongs to another optimizer")
        if len(self._milestones) != len(self._schedulers) - 1 or sorted(set(self._milestones)) != self._milestones:
            raise ValueError(
                f"SequentialLR: {len(self._schedulers)} schedulers need {len(self._schedulers) - 1} milestones, each "
                f"later than the one before, and they are {self._milestones}"
            )
        self._restart()

    def _restart(self) -> None:
        self.last_epoch = 0
        self._run(self._current()._restart)

    def _current(self) -> LRScheduler:
        return self._schedulers[bisect_right(self._milestones, self.last_epoch)]

    def _run(self, action: Callable[[], None]) -> None:
        action()
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]

    def step(self) -> None:
        self.last_epoch += 1
        scheduler = self._current()
        self._run(scheduler._restart if self.last_epoch in self._milestones else scheduler.step)

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "_schedulers": [scheduler.state_dict() for scheduler in self._schedulers]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict({key: v for key, v in state_dict.items() if key != "_schedulers"})
        for scheduler, state in zip(self._schedulers, state_dict["_schedulers"], strict=True):
            scheduler.load_state_dict(state)


class ReduceLROnPlateau(LRScheduler):
    """Multiplies the rate by `factor` when a measure has stopped getting better: `step(validation_loss)`.

    Args:
        optimizer: whose rate to reduce.
        mode: "min" if the measure should fall, "max" if it should rise.
        factor: below 1.
        patience: how many steps without an improvement are tolerated; the next one reduces the rate.
        threshold: an improvement must be larger than this, as a fraction of the best value ("rel") or by itself
        threshold_mode: ("abs").
        cooldown: after a reduction, steps in which no lack of improvement is counted.
        min_lr: no rate falls below; a number, or a list of one for each group.
        eps: a change of the rate that is not larger than this is not made.
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
        if not factor < 1:
            raise ValueError(f"ReduceLROnPlateau: factor must be below 1, and is {factor}")
        if mode not in ("min", "max"):
            raise ValueError(f'ReduceLROnPlateau: mode must be "min" or "max", and is {mode!r}')
        if threshold_mode not in ("rel", "abs"):
            raise ValueError(f'ReduceLROnPlateau: threshold_mode must be "rel" or "abs", and is {threshold_mode!r}')
        self.mode, self.factor, self.patience = mode, factor, patience
        self.threshold, self.threshold_mode = threshold, threshold_mode
        self.cooldown, self.eps = cooldown, eps
        self.min_lrs = _one_each("min_lr", min_lr, optimizer.param_groups)
        self.best = math.inf if mode == "min" else -math.inf
        self.num_bad_epochs = self.cooldown_counter = self.last_epoch = 0
        self._last_lr = [group["lr"] for group in optimizer.param_groups]

    def step(self, metrics: Any = None) -> None:
        """Take in the measure of one more step, a number or a tensor with one element."""
        if metrics is None:
            raise TypeError("ReduceLROnPlateau.step needs the measure to judge by: scheduler.step(validation_loss)")
        value = float(metrics)
        self.last_epoch += 1
        if self._is_better(value):
            self.best, self.num_bad_epochs = value, 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
            rates = []
            for group, lowest in zip(self.optimizer.param_groups, self.min_lrs, strict=True):
                lr = max(group["lr"] * self.factor, lowest)
                rates.append(lr if group["lr"] - lr > self.eps else group["lr"])
            self._set(rates)
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]

    def _is_better(self, value: float) -> bool:
        sign = 1 if self.mode == "max" else -1
        if self.threshold_mode == "abs":
            return sign * value > sign * self.best + self.threshold
        return sign * value > sign * self.best * (1 + sign * self.threshold)


def _cosine(start: float, end: float, progress: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * progress)) / 2


def _line(start: float, end: float, progress: float) -> float:
    return start + (end - start) * progress


def _one_each(what: str, value: Any, groups: list[Any]) -> list[float]:
    values = list(value) if isinstance(value, list | tuple) else [value] * len(groups)
    if len(values) != len(groups):
        raise ValueError(f"{what}: {len(values)} values for {len(groups)} parameter groups")
    return values


def _checked(scheduler: Any, optimizer: Any) -> Optimizer:
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"{type(scheduler).__name__}: needs an optimizer, not a {type(optimizer).__name__}")
    return optimizer
