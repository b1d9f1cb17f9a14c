"""Learning-rate schedules: closed forms, states, groups, errors. PyTorch's rates: tests/parity/schedule.py."""

import json
import math
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.optim.lr_scheduler import (
    ChainedScheduler,
    ConstantLR,
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    CyclicLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    LRScheduler,
    MultiplicativeLR,
    MultiStepLR,
    OneCycleLR,
    PolynomialLR,
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
    "constant": lambda o: ConstantLR(o, 0.25, 9),
    "polynomial": lambda o: PolynomialLR(o, 12, 2.0),
    "multiplicative": lambda o: MultiplicativeLR(o, lambda t: 1 - 1 / (2 + t)),
    "cyclic": lambda o: CyclicLR(o, 0.1, 0.5, 3, 5, mode="triangular2"),
    "cyclic_function": lambda o: CyclicLR(o, 0.1, 0.5, 3, scale_fn=lambda x: 1 / x, cycle_momentum=False),
    "chained": lambda o: ChainedScheduler([ConstantLR(o, 0.5, 9), ExponentialLR(o, 0.9)]),
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
        (
            lambda o: OneCycleLR(o, 1.0, total_steps=0),
            ValueError,
            "total_steps must be a whole number of at least 1",
        ),
        (lambda o: OneCycleLR(o, 1.0, total_steps=2.5), ValueError, "total_steps must be a whole number"),
        (lambda o: CosineAnnealingWarmRestarts(o, 3.5), ValueError, "T_0 must be a whole number"),
        (lambda o: OneCycleLR(o, [1.0], total_steps=5), ValueError, "max_lr: 1 values for 2"),
        (lambda o: OneCycleLR(o, 1.0, 5, pct_start=2), ValueError, "pct_start"),
        (lambda o: OneCycleLR(o, 1.0, 5, anneal_strategy="exp"), ValueError, "'exp'"),
        (lambda o: OneCycleLR(optimizer(mg.optim.Adagrad), 1.0, 5), ValueError, "Adagrad has no momentum"),
        (lambda o: SequentialLR(o, [StepLR(o, 1)], [3]), ValueError, "1 schedulers need 0 milestones"),
        (lambda o: SequentialLR(o, [StepLR(o, 1)] * 3, [5, 2]), ValueError, "in rising order"),
        (lambda o: SequentialLR(o, [StepLR(o, 1)] * 2, ["x"]), ValueError, "milestones must be a number"),
        (lambda o: SequentialLR(o, [], []), ValueError, "at least one scheduler"),
        (lambda o: SequentialLR(o, [o], []), TypeError, "schedulers.0. must be a scheduler, not a SGD"),
        (lambda o: SequentialLR(o, [ReduceLROnPlateau(o)], []), ValueError, "ReduceLROnPlateau"),
        (lambda o: ChainedScheduler([]), ValueError, "at least one scheduler"),
        (lambda o: ChainedScheduler([ReduceLROnPlateau(o)]), ValueError, "ReduceLROnPlateau"),
        (lambda o: ChainedScheduler([StepLR(o, 1), StepLR(optimizer(), 1)]), ValueError, "schedulers.1. belongs"),
        (lambda o: ConstantLR(o, 1.5), ValueError, "ConstantLR: factor must be a number from 0 to 1, got 1.5"),
        (lambda o: PolynomialLR(o, 0), ValueError, "total_iters"),
        (lambda o: MultiplicativeLR(o, 0.5), TypeError, "lr_lambda must be a function"),
        (lambda o: MultiStepLR(o, ["a"]), ValueError, "milestones must be a number"),
        (lambda o: ExponentialLR(o, math.nan), ValueError, "gamma must be a number, got nan"),
        (lambda o: CyclicLR(o, 0.1, [1.0], 5), ValueError, "CyclicLR: max_lr: 1 values for 2"),
        (lambda o: CyclicLR(o, 0.1, 1.0, 0), ValueError, "step_size_up"),
        (lambda o: CyclicLR(o, 0.1, 1.0, mode="up"), ValueError, 'must be "triangular" or'),
        (lambda o: CyclicLR(optimizer(mg.optim.Adagrad), 0.1, 1.0), ValueError, "Adagrad has no momentum"),
        (lambda o: CosineAnnealingWarmRestarts(o, 3).step(-1), ValueError, "epoch must be a number of at least 0"),
        (lambda o: StepLR(o, 3).step("1"), ValueError, "StepLR.step: epoch must be a number, got '1'"),
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
    o = optimizer()
    with pytest.raises(error, match=message):
        make(o)
    assert [(group["lr"], group["momentum"]) for group in o.param_groups] == [(1.0, 0.5), (0.1, 0.5)]


X: Any = mg.zeros(1)


def test_schedules_that_compute_from_the_initial_rate_notice_a_new_group() -> None:
    for name in ("lambda", "multiplicative", "restarts", "one_cycle", "cyclic"):
        o = optimizer()
        scheduler = SCHEDULES[name](o)
        o.add_param_group({"params": [mg.zeros(2, requires_grad=True)]})
        o.step()
        before = [dict(group) for group in o.param_groups]
        with pytest.raises(ValueError, match="Add all groups before"):
            scheduler.step()
        assert [dict(group) for group in o.param_groups] == before, name


def test_a_cosine_takes_a_new_group_along_until_it_needs_the_initial_rate() -> None:
    o = optimizer()
    scheduler = CosineAnnealingLR(o, 5)
    o.add_param_group({"params": [mg.zeros(2, requires_grad=True)], "lr": 0.5})
    rates = []
    for _ in range(5):
        o.step()
        scheduler.step()
        rates.append(o.param_groups[2]["lr"])
    np.testing.assert_allclose(rates, 0.5 * (1 + np.cos(np.pi * np.arange(1, 6) / 5)) / 2, atol=1e-15)
    with pytest.raises(ValueError, match="Add all groups before"):
        scheduler.step()


def test_a_sequence_needs_the_initial_rate_of_each_group() -> None:
    o = optimizer()
    parts = [StepLR(o, 2), StepLR(o, 3)]
    o.add_param_group({"params": [mg.zeros(2, requires_grad=True)]})
    with pytest.raises(ValueError, match='SequentialLR: group 2 has no "initial_lr"'):
        SequentialLR(o, parts, [4])


def test_what_a_schedule_left_in_a_group_is_exchanged_with_the_state() -> None:
    """A new scheduler gives every group an initial rate. If the saved group had none, as one that was added after the
    scheduler was made, it has none after loading: or the next phase of a sequence would set it, in resumed runs only.
    """
    o = optimizer()
    StepLR(o, 2)
    o.add_param_group({"params": [mg.zeros(2, requires_grad=True)], "lr": 0.5})
    resumed = optimizer()
    resumed.add_param_group({"params": [mg.zeros(2, requires_grad=True)], "lr": 0.7})
    OneCycleLR(resumed, 0.5, 7)
    resumed.load_state_dict(o.state_dict())
    assert [group.get("initial_lr") for group in resumed.param_groups] == [1.0, 0.1, None]
    assert not any("max_lr" in group for group in resumed.param_groups)


def test_plateau_reduces_a_group_that_was_added_later() -> None:
    for lowest in (0.25, [0.25, 0.0]):
        o = optimizer()
        scheduler = ReduceLROnPlateau(o, patience=0, factor=0.5, min_lr=lowest)
        scheduler.step(1.0)
        o.add_param_group({"params": [mg.zeros(2, requires_grad=True)], "lr": 0.3})
        if isinstance(lowest, list):
            with pytest.raises(RuntimeError, match="2 values of min_lr for 3 parameter groups"):
                scheduler.step(1.0)
            scheduler.min_lrs.append(0.25)
        scheduler.step(1.0)
        assert [group["lr"] for group in o.param_groups] == [0.5, 0.1 if lowest == 0.25 else 0.05, 0.25]


# -- the relative threshold of a plateau: an improvement is larger than threshold · |best| -----------------


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("threshold_mode", ["rel", "abs"])
@pytest.mark.parametrize("best", [4.0, -4.0, 0.0, 1e-3, -1e3])
def test_what_counts_as_an_improvement(mode: Any, threshold_mode: Any, best: float) -> None:
    margin = 0.25 * abs(best) if threshold_mode == "rel" else 0.25
    sign = -1 if mode == "min" else 1
    changes = [-2 * margin - 1e-9, -margin, 0.0, 0.5 * margin, margin, 1.5 * margin + 1e-6, 10 * margin + 1]
    for change in changes:
        scheduler = ReduceLROnPlateau(optimizer(), mode, 0.5, 5, 0.25, threshold_mode)
        scheduler.step(best)
        assert (scheduler.best, scheduler.num_bad_epochs) == (best, 0)
        scheduler.step(best + sign * change)
        improved = change > margin
        assert (scheduler.num_bad_epochs == 0) == improved
        assert scheduler.best == (best + sign * change if improved else best)


@pytest.mark.parametrize("mode", ["min", "max"])
def test_a_negative_measure_that_stays_the_same_reduces_the_rate(mode: Any) -> None:
    o = optimizer()
    scheduler = ReduceLROnPlateau(o, mode, factor=0.5, patience=2)
    for _ in range(7):
        scheduler.step(-3.0)
    assert o.param_groups[0]["lr"] == 0.25
    o = optimizer()
    scheduler = ReduceLROnPlateau(o, mode, factor=0.5, patience=2)
    for t in range(12):
        scheduler.step(-3.0 + t * (1 if mode == "max" else -1) * 0.1)  # a negative measure that gets better
    assert o.param_groups[0]["lr"] == 1.0


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("threshold_mode", ["rel", "abs"])
def test_measures_that_are_not_finite(mode: Any, threshold_mode: Any) -> None:
    worst, best = (math.inf, -math.inf) if mode == "min" else (-math.inf, math.inf)
    scheduler = ReduceLROnPlateau(optimizer(), mode, threshold=2.0, threshold_mode=threshold_mode, patience=99)
    counts = []
    for value in (math.nan, worst, 5.0, math.nan, worst, best, best, 5.0):
        scheduler.step(value)
        counts.append(scheduler.num_bad_epochs)
    assert counts == [1, 2, 0, 1, 2, 0, 1, 2] and scheduler.best == best


# -- schedules inside schedules ---------------------------------------------------------------------------


def test_a_chain_is_its_parts_one_after_the_other() -> None:
    a, b = optimizer(), optimizer()
    parts = [LinearLR(a, 0.1, total_iters=4), StepLR(a, 3, 0.5), CosineAnnealingLR(a, 9)]
    chain = ChainedScheduler([LinearLR(b, 0.1, total_iters=4), StepLR(b, 3, 0.5), CosineAnnealingLR(b, 9)])
    for _ in range(20):
        a.step()
        b.step()
        for part in parts:
            part.step()
        chain.step()
        assert chain.get_last_lr() == [group["lr"] for group in a.param_groups]


def test_a_chain_can_start_in_the_middle_of_a_sequence() -> None:
    """PyTorch cannot start one there. It starts as a new chain would, from the initial rates."""
    o = optimizer()
    chain = ChainedScheduler([ConstantLR(o, 0.5, 2), ExponentialLR(o, 0.5)])
    sequence = SequentialLR(o, [LinearLR(o, 0.1, total_iters=4), chain], [3])
    np.testing.assert_allclose(curve(sequence, 6), [0.1, 0.325, 0.55, 0.5, 0.25, 0.25, 0.125])


# -- states -----------------------------------------------------------------------------------------------


class Halving:
    """A function with a state of its own."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, t: float) -> float:
        self.calls += 1
        return 0.5**self.calls


@pytest.mark.parametrize("kind", [LambdaLR, MultiplicativeLR, CyclicLR])
def test_objects_that_can_be_called_keep_their_attributes(kind: Any) -> None:
    def make(o: Any) -> Any:
        return kind(o, 0.1, 0.5, 3, scale_fn=Halving()) if kind is CyclicLR else kind(o, [Halving(), Halving()])

    o = optimizer()
    scheduler = make(o)
    curve(scheduler, 4)
    saved = json.loads(json.dumps([scheduler.state_dict(), o.state_dict()], default=lambda tensor: tensor.tolist()))
    again = optimizer()
    resumed = make(again)
    resumed.load_state_dict(saved[0])
    again.load_state_dict(saved[1])
    assert curve(resumed, 5)[1:] == curve(scheduler, 5)[1:]


def test_states_that_pytorch_saved() -> None:
    """Their layout, written down from PyTorch 2.13."""
    common = {"_step_count": 4, "_is_initial": False, "_get_lr_called_within_step": False}
    rates = {"base_lrs": [1.0, 0.1], "last_epoch": 3, "_last_lr": [0.5, 0.05]}
    momenta = ("max_momentum", "base_momentum")
    phases = [
        {"end_step": 2.0, "start_lr": "initial_lr", "end_lr": "max_lr"}
        | dict(zip(("start_momentum", "end_momentum"), momenta, strict=True)),
        {"end_step": 9, "start_lr": "max_lr", "end_lr": "min_lr"}
        | dict(zip(("start_momentum", "end_momentum"), momenta[::-1], strict=True)),
    ]
    states: list[tuple[Any, dict[str, Any]]] = [
        (StepLR(optimizer(), 9), {"step_size": 2, "gamma": 0.5}),
        (MultiStepLR(optimizer(), [1]), {"milestones": {2: 1, 4: 2}, "gamma": 0.5}),
        (LambdaLR(optimizer(), lambda t: 0.5), {"lr_lambdas": [None, None]}),
        (
            OneCycleLR(optimizer(), 0.5, 7),
            {"total_steps": 10, "_schedule_phases": phases, "_anneal_func_type": "linear"}
            | {"cycle_momentum": True, "use_beta1": False},
        ),
    ]
    for scheduler, state in states:
        scheduler.load_state_dict({**common, **rates, **state})
        assert scheduler.last_epoch == 3 and scheduler.get_last_lr() == [0.5, 0.05]
        scheduler.optimizer.step()
        scheduler.step()
    multi = states[1][0]
    assert multi.optimizer.param_groups[0]["lr"] == 1.0 * 0.5**2  # the milestone 4 counts twice
    assert states[3][0].optimizer.param_groups[0]["momentum"] == pytest.approx(0.85 + 0.1 * 2 / 7)


JUNK = [None, 3, "state", [], {}, {"last_epoch": 3}, {"state": {}, "param_groups": []}]
BAD_VALUES = [None, "1", [1, 2], math.nan, math.inf, {}, b"1", True, 10**400]


@pytest.mark.parametrize("name", SCHEDULES)
def test_junk_is_refused_when_it_is_loaded_and_changes_nothing(name: str) -> None:
    o = optimizer()
    scheduler = SCHEDULES[name](o)
    advance(o, scheduler, range(3))
    good = scheduler.state_dict()
    groups = [dict(group) for group in o.param_groups]

    def refuses(state: Any) -> None:
        with pytest.raises((ValueError, TypeError)) as info:
            scheduler.load_state_dict(state)
        assert f"{type(scheduler).__name__}.load_state_dict: " in str(info.value)
        assert "\n" not in str(info.value) and len(str(info.value)) < 600
        assert scheduler.state_dict() == good and [dict(group) for group in o.param_groups] == groups

    for junk in JUNK:
        refuses(junk)
    for key in good:
        refuses({k: v for k, v in good.items() if k != key})
    refuses({**good, "color": 3})
    for key, value in good.items():
        for bad in BAD_VALUES:
            harmless = (
                (key in ("best", "default_min_lr") and bad in (None, math.inf, -math.inf) and bad == bad)
                or (isinstance(value, bool) and bad is True)
                or (key in ("base_lrs", "_last_lr", "min_lrs", "milestones") and bad == [1, 2])
                or (key.endswith(("lrs", "momentums")) and bad == [1, 2])
                or (key == "_scale_fn_custom" and bad is None)
                or (key == "mode" and name == "cyclic_function")
                or (key == "milestones" and bad == {})
            )
            if not harmless:
                refuses({**good, key: bad})
    for key in ("base_lrs", "_last_lr", "_schedulers", "lr_lambdas", "min_lrs", "_milestones"):
        if key in good and not (name == "plateau" and key == "min_lrs"):
            refuses({**good, key: good[key][:1] * 3})
            refuses({**good, key: []})
            refuses({**good, key: ["a"] * len(good[key])})
    for i, part in enumerate(good.get("_schedulers", [])):
        for key in part:
            parts = list(good["_schedulers"])
            parts[i] = {**part, key: "junk"}
            refuses({**good, "_schedulers": parts})
    for other in SCHEDULES:
        theirs = SCHEDULES[other](optimizer())
        if theirs.state_dict().keys() != good.keys():  # those of LambdaLR and MultiplicativeLR are the same
            refuses(theirs.state_dict())
    scheduler.load_state_dict(good)
    assert scheduler.state_dict() == good


def test_a_state_for_another_number_of_groups_is_refused() -> None:
    one = mg.optim.SGD([mg.zeros(1, requires_grad=True)], lr=1.0, momentum=0.5)
    for name, make in SCHEDULES.items():
        for here, there in ((optimizer(), one), (one, optimizer())):
            with pytest.raises(ValueError, match="load_state_dict"):
                make(here).load_state_dict(make(there).state_dict())
            assert name


@pytest.mark.parametrize("step_between", [False, True])
def test_a_run_with_a_group_that_was_added_is_resumed(step_between: bool) -> None:
    def make(o: Any) -> list[Any]:
        return [StepLR(o, 3, 0.5), CosineAnnealingLR(o, 30), ReduceLROnPlateau(o, patience=1)]

    def go(o: Any, schedulers: list[Any], steps: range) -> list[Any]:
        rates = []
        for t in steps:
            o.step()
            for scheduler in schedulers:
                scheduler.step(*[MEASURES[t]] * isinstance(scheduler, ReduceLROnPlateau))
            rates.append([group["lr"] for group in o.param_groups])
        return rates

    new = {"params": [mg.zeros(2, requires_grad=True)], "lr": 0.7}
    o = optimizer()
    schedulers = make(o)
    go(o, schedulers, range(4))
    o.add_param_group(new)
    go(o, schedulers, range(4, 6 if step_between else 4))
    saved, states = o.state_dict(), [scheduler.state_dict() for scheduler in schedulers]
    rest = go(o, schedulers, range(6, STEPS))

    again = optimizer()
    again.add_param_group(new)
    resumed = make(again)
    again.load_state_dict(saved)
    for scheduler, state in zip(resumed, states, strict=True):
        scheduler.load_state_dict(state)
    assert go(again, resumed, range(6, STEPS)) == rest


def test_a_schedule_of_ones_own() -> None:
    class Warm(LRScheduler):
        def __init__(self, o: Any, last_epoch: int = -1):
            self.length = 4
            super().__init__(o, last_epoch)

        def get_lr(self) -> list[float]:
            self.seen = self.last_epoch  # comes into being late
            return [lr * min(1.0, (self.last_epoch + 1) / self.length) for lr in self.base_lrs]

    o = optimizer()
    scheduler = Warm(o)
    assert curve(scheduler, 4) == [0.25, 0.5, 0.75, 1.0, 1.0]
    again = Warm(optimizer())
    again.load_state_dict(scheduler.state_dict())
    assert again.last_epoch == 4 and again.seen == 4


# -- rates that are tensors ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_rate_that_is_a_tensor_is_changed_in_place(name: str) -> None:
    lr = mg.tensor(0.5)
    o = mg.optim.SGD([mg.zeros(1, requires_grad=True)], lr=lr, momentum=0.5)
    plain = mg.optim.SGD([mg.zeros(1, requires_grad=True)], lr=0.5, momentum=0.5)
    scheduler, twin = SCHEDULES[name](o), SCHEDULES[name](plain)
    for t in range(STEPS):
        for either, schedule in ((o, scheduler), (plain, twin)):
            either.step()
            schedule.step(*[MEASURES[t]] * isinstance(schedule, ReduceLROnPlateau))
        assert o.param_groups[0]["lr"] is lr
        assert lr.item() == pytest.approx(plain.param_groups[0]["lr"], rel=1e-5, abs=1e-7)
    assert all(isinstance(rate, float) for rate in scheduler.get_last_lr())
