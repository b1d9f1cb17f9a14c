"""Learning-rate schedules: closed forms, continuing, combining, errors. PyTorch's curves: tests/parity/optim.py."""

import json
import math
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.optim.lr_scheduler import (
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    LRScheduler,
    MultiStepLR,
    OneCycleLR,
    ReduceLROnPlateau,
    SequentialLR,
    StepLR,
)

STEPS = 16
MEASURES = [5, 4, 4, 4, 4.5, 3, 3.1, 3.2, 3.3, 3.4, 3.5, 2.95, 2.9, 2.9, 2.9, 2.9, 2.9]

SCHEDULES = {
    "step": lambda o: StepLR(o, 3, 0.5),
    "multi_step": lambda o: MultiStepLR(o, [2, 9, 9], 0.5),
    "exponential": lambda o: ExponentialLR(o, 0.9),
    "linear": lambda o: LinearLR(o, 0.1, 0.7, 8),
    "lambda": lambda o: LambdaLR(o, lambda t: 1 / (1 + t)),
    "cosine": lambda o: CosineAnnealingLR(o, 7, 0.01),
    "restarts": lambda o: CosineAnnealingWarmRestarts(o, 2, 2, 0.01),
    "one_cycle": lambda o: OneCycleLR(o, 0.5, total_steps=STEPS + 1),
    "one_cycle_linear": lambda o: OneCycleLR(
        o, 0.5, total_steps=STEPS + 1, anneal_strategy="linear", three_phase=True
    ),
    "sequential": lambda o: SequentialLR(o, [LinearLR(o, 0.2, total_iters=4), CosineAnnealingLR(o, 9)], [4]),
    "plateau": lambda o: ReduceLROnPlateau(o, patience=1, cooldown=1),
}


def optimizer(kind: Any = mg.optim.SGD, **options: Any) -> mg.optim.Optimizer:
    groups = [{"params": [mg.zeros(1, requires_grad=True)], "lr": lr} for lr in (1.0, 0.1)]
    if kind is mg.optim.SGD:
        options.setdefault("momentum", 0.5)
    return kind(groups, **options)


def advance(o: mg.optim.Optimizer, scheduler: LRScheduler, steps: range) -> list[Any]:
    """After each step: the rates, and the momenta."""
    found = []
    for t in steps:
        o.step()
        if isinstance(scheduler, ReduceLROnPlateau):
            scheduler.step(MEASURES[t])
        else:
            scheduler.step()
        assert scheduler.get_last_lr() == [group["lr"] for group in o.param_groups]
        found.append([(g["lr"], g.get("momentum"), g.get("betas")) for g in o.param_groups])
    return found


def curve(scheduler: LRScheduler, steps: int) -> list[float]:
    rates = [scheduler.get_last_lr()[0]]
    for _ in range(steps):
        scheduler.optimizer.step()
        scheduler.step()
        rates.append(scheduler.get_last_lr()[0])
    return rates


def test_closed_forms() -> None:
    t = np.arange(STEPS + 1)
    expected = {
        "step": 0.5 ** (t // 3),
        "exponential": 0.9**t,
        "linear": 0.1 + 0.6 * np.minimum(t, 8) / 8,
        "lambda": 1 / (1 + t),
        "cosine": 0.01 + 0.99 * (1 + np.cos(np.pi * t / 7)) / 2,
    }
    for name, rates in expected.items():
        np.testing.assert_allclose(curve(SCHEDULES[name](optimizer()), STEPS), rates, rtol=1e-13, err_msg=name)


def test_restarts_begin_where_they_should() -> None:
    rates = curve(SCHEDULES["restarts"](optimizer()), STEPS)
    assert [i for i, lr in enumerate(rates) if lr == 1.0] == [0, 2, 6, 14]  # cycles of 2, 4, 8 steps


def test_one_cycle_reaches_its_top_and_its_ends() -> None:
    for kind in (mg.optim.SGD, mg.optim.Adam):
        o = optimizer(kind)
        scheduler = OneCycleLR(o, 1.0, total_steps=21, pct_start=10 / 21 + 1 / 21, div_factor=10, final_div_factor=100)
        states = [[(g["lr"], g.get("momentum", g.get("betas", [0])[0])) for g in o.param_groups]]
        for _ in range(20):
            o.step()
            scheduler.step()
            states.append([(g["lr"], g.get("momentum", g.get("betas", [0])[0])) for g in o.param_groups])
        for group in range(2):
            assert states[0][group] == pytest.approx((0.1, 0.95))
            assert states[10][group] == pytest.approx((1.0, 0.85))
            assert states[20][group] == pytest.approx((0.001, 0.95))
        if kind is mg.optim.Adam:
            assert o.param_groups[0]["betas"][1] == 0.999


def test_one_cycle_cannot_go_on_for_ever() -> None:
    scheduler = OneCycleLR(optimizer(), 1.0, total_steps=3)
    curve(scheduler, 3)
    with pytest.raises(ValueError, match="step 4 of 3"):
        scheduler.step()


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("kind", [mg.optim.SGD, mg.optim.Adam])
def test_continuing_from_saved_states_gives_the_same_rates(name: str, kind: Any) -> None:
    o = optimizer(kind)
    scheduler = SCHEDULES[name](o)
    advance(o, scheduler, range(6))
    saved = json.loads(json.dumps([scheduler.state_dict(), o.state_dict()], default=lambda tensor: tensor.tolist()))
    rest = advance(o, scheduler, range(6, STEPS))

    again = optimizer(kind)
    resumed = SCHEDULES[name](again)
    resumed.load_state_dict(saved[0])
    again.load_state_dict(saved[1])
    assert advance(again, resumed, range(6, STEPS)) == rest
    assert len({str(state) for state in rest}) > 1  # there was something to continue


@pytest.mark.parametrize("name", ["exponential", "linear", "lambda", "cosine", "restarts"])
def test_continuing_from_last_epoch(name: str) -> None:
    makers: dict[str, Any] = {
        "exponential": lambda o, t: ExponentialLR(o, 0.9, t),
        "linear": lambda o, t: LinearLR(o, 0.1, 0.7, 6, t),
        "lambda": lambda o, t: LambdaLR(o, lambda t: 1 / (1 + t), t),
        "cosine": lambda o, t: CosineAnnealingLR(o, 7, 0.01, t),
        "restarts": lambda o, t: CosineAnnealingWarmRestarts(o, 2, 2, 0.01, t),
    }
    o = optimizer()
    scheduler = makers[name](o, -1)
    advance(o, scheduler, range(6))
    here = [group["lr"] for group in o.param_groups]
    again = makers[name](o, 5)
    assert again.last_epoch == 6 and [group["lr"] for group in o.param_groups] == pytest.approx(here)
    with pytest.raises(KeyError, match="initial_lr"):
        makers[name](optimizer(), 5)


def test_factors_multiply_what_is_there() -> None:
    o = optimizer()
    warm_up, decay = LinearLR(o, 0.5, total_iters=2), StepLR(o, 2, 0.1)
    rates = [o.param_groups[0]["lr"]]
    for t in range(4):
        o.step()
        warm_up.step()
        decay.step()
        if t == 2:
            o.param_groups[0]["lr"] *= 2
        rates.append(o.param_groups[0]["lr"])
    np.testing.assert_allclose(rates, [0.5, 0.75, 0.1, 0.2, 0.02])


def test_sequences_can_be_nested() -> None:
    o = optimizer()
    inner = SequentialLR(o, [StepLR(o, 1, 0.5), ExponentialLR(o, 0.9)], [2])
    outer = SequentialLR(o, [LinearLR(o, 0.5, total_iters=2), inner], [2])
    np.testing.assert_allclose(curve(outer, 6), [0.5, 0.75, 1.0, 0.5, 1.0, 0.9, 0.81])


def test_plateau_waits_reduces_and_stops_at_the_lowest() -> None:
    o = optimizer()
    scheduler = ReduceLROnPlateau(o, patience=1, factor=0.5, min_lr=[0.3, 0.0])
    rates = []
    for value in [1.0, 1.0, 1.0, 1.0, 1.0, math.nan, mg.tensor(0.5), mg.tensor(0.1)]:
        scheduler.step(value)
        rates.append(tuple(scheduler.get_last_lr()))
    assert [lr for lr, _ in rates] == [1.0, 1.0, 0.5, 0.5, 0.3, 0.3, 0.3, 0.3]
    assert rates[-1][1] == 0.025


def test_warns_when_the_first_rate_is_never_used() -> None:
    o = optimizer()
    scheduler = StepLR(o, 1)
    with pytest.warns(UserWarning, match=r"before optimizer\.step"):
        scheduler.step()


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda o: StepLR(X, 3), TypeError, "StepLR: needs an optimizer, not a Tensor"),
        (lambda o: LambdaLR(X, math.sqrt), TypeError, "needs an optimizer"),
        (lambda o: StepLR(o, 0), ValueError, "step_size"),
        (lambda o: LinearLR(o, 0.0), ValueError, "start_factor"),
        (lambda o: LinearLR(o, 0.5, 2.0), ValueError, "end_factor"),
        (lambda o: LinearLR(o, total_iters=0), ValueError, "total_iters"),
        (lambda o: LambdaLR(o, [math.sqrt]), ValueError, "1 functions for 2 parameter groups"),
        (lambda o: CosineAnnealingLR(o, 0), ValueError, "T_max"),
        (lambda o: CosineAnnealingWarmRestarts(o, 0), ValueError, "T_0"),
        (lambda o: OneCycleLR(o, 1.0), ValueError, "total_steps, or both"),
        (lambda o: OneCycleLR(o, 1.0, total_steps=0), ValueError, "at least one step"),
        (lambda o: OneCycleLR(o, [1.0], total_steps=5), ValueError, "max_lr: 1 values for 2"),
        (lambda o: OneCycleLR(o, 1.0, 5, pct_start=2), ValueError, "pct_start"),
        (lambda o: OneCycleLR(o, 1.0, 5, anneal_strategy="exp"), ValueError, "'exp'"),
        (lambda o: OneCycleLR(optimizer(mg.optim.Adagrad), 1.0, 5), ValueError, "Adagrad has no momentum"),
        (lambda o: SequentialLR(o, [StepLR(o, 1)], [3]), ValueError, "1 schedulers need 0 milestones"),
        (lambda o: SequentialLR(o, [StepLR(o, 1)] * 3, [5, 2]), ValueError, "later than the one before"),
        (lambda o: SequentialLR(o, [ReduceLROnPlateau(o)], []), TypeError, "ReduceLROnPlateau"),
        (lambda o: SequentialLR(o, [StepLR(optimizer(), 1)], []), ValueError, "another optimizer"),
        (lambda o: ReduceLROnPlateau(o, factor=1.0), ValueError, "factor"),
        (lambda o: ReduceLROnPlateau(o, mode="least"), ValueError, "'least'"),
        (lambda o: ReduceLROnPlateau(o, threshold_mode="x"), ValueError, "threshold_mode"),
        (lambda o: ReduceLROnPlateau(o, min_lr=[0.1]), ValueError, "min_lr: 1 values"),
        (lambda o: ReduceLROnPlateau(o).step(), TypeError, "needs the measure"),
        (lambda o: LRScheduler(o), NotImplementedError, "get_lr"),
    ],
)
def test_errors(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make(optimizer())


X: Any = mg.zeros(1)


def test_a_group_added_later_is_noticed() -> None:
    o = optimizer()
    scheduler = CosineAnnealingLR(o, 5)
    o.add_param_group({"params": [mg.zeros(2, requires_grad=True)]})
    o.step()
    with pytest.raises(ValueError, match="Add all groups before"):
        scheduler.step()
