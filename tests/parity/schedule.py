"""Learning-rate schedules in every combination: alone, in pairs, nested, changed by hand, continued.

A case gives the rates, momenta and β₁ of two parameter groups over 60 steps. Cases with pairs stack the curves of one
schedule with each of the others.
"""

import itertools
import random
from collections.abc import Callable, Sequence
from typing import Any

from tests.parity.case import Case

STEPS = 60

LEAVES: dict[str, Callable[..., Any]] = {
    "lambda": lambda s, o, **k: s.LambdaLR(o, [lambda t: 0.9**t, lambda t: 1 / (1 + t)], **k),
    "multiplicative": lambda s, o, **k: s.MultiplicativeLR(o, lambda t: 1 - 0.5 / (1 + t), **k),
    "step": lambda s, o, **k: s.StepLR(o, 7, 0.6, **k),
    "multi_step": lambda s, o, **k: s.MultiStepLR(o, [20, 3, 3, 41], 0.6, **k),
    "constant": lambda s, o, **k: s.ConstantLR(o, 0.4, 9, **k),
    "linear": lambda s, o, **k: s.LinearLR(o, 0.2, 0.9, 13, **k),
    "linear_to_zero": lambda s, o, **k: s.LinearLR(o, 0.7, 0.0, 30, **k),
    "exponential": lambda s, o, **k: s.ExponentialLR(o, 0.95, **k),
    "polynomial": lambda s, o, **k: s.PolynomialLR(o, 50, 1.7, **k),
    "cosine": lambda s, o, **k: s.CosineAnnealingLR(o, 11, 0.004, **k),
    "cosine_long": lambda s, o, **k: s.CosineAnnealingLR(o, 100, **k),
    "restarts": lambda s, o, **k: s.CosineAnnealingWarmRestarts(o, 4, 2, 0.001, **k),
    "restarts_equal": lambda s, o, **k: s.CosineAnnealingWarmRestarts(o, 7, eta_min=0.001, **k),
    "cyclic": lambda s, o, **k: s.CyclicLR(o, [0.01, 0.02], 0.2, 6, 9, **k),
    "cyclic_halved": lambda s, o, **k: s.CyclicLR(o, 0.01, [0.2, 0.3], 6, mode="triangular2", base_momentum=0.3, **k),
    "cyclic_exponential": lambda s, o, **k: s.CyclicLR(
        o, 0.01, 0.2, 6, mode="exp_range", gamma=0.97, cycle_momentum=False, **k
    ),
    "cyclic_function": lambda s, o, **k: s.CyclicLR(
        o, 0.01, 0.3, 5, scale_fn=lambda x: 1 / (1 + x), scale_mode="iterations", **k
    ),
    "one_cycle": lambda s, o, **k: s.OneCycleLR(o, 0.5, total_steps=70, **k),
    "one_cycle_linear": lambda s, o, **k: s.OneCycleLR(
        o, [0.5, 0.1], epochs=7, steps_per_epoch=10, anneal_strategy="linear", three_phase=True, pct_start=0.35, **k
    ),
}
PLATEAUS: dict[str, Callable[..., Any]] = {
    "plateau": lambda s, o: s.ReduceLROnPlateau(o, patience=1, factor=0.7, cooldown=2, threshold=0.01, min_lr=1e-3),
    "plateau_max": lambda s, o: s.ReduceLROnPlateau(
        o, mode="max", patience=2, factor=0.7, min_lr=[0.01, 0.0], threshold_mode="abs"
    ),
}
ALL = {**LEAVES, **PLATEAUS}

_NAN, _INF = float("nan"), float("inf")
MEASURES = [5, 4, 4, 4, 4.5, 3, 3.1, 3.2, 3.3, 3.4, 3.5, 2.95, 2.9, 2.9, 2.9, _NAN, 2.9, _INF, 2.8, 0, 0, 0]


def _optimizer(lib: Any, kind: str) -> Any:
    groups = [{"params": [lib.zeros(1, requires_grad=True)], "lr": lr} for lr in (0.1, 0.03)]
    return lib.optim.SGD(groups, momentum=0.5) if kind == "SGD" else getattr(lib.optim, kind)(groups)


def _seen(optimizer: Any) -> list[float]:
    groups = optimizer.param_groups
    return [x for g in groups for x in (float(g["lr"]), g["betas"][0] if "betas" in g else g["momentum"])]


def curve(
    lib: Any,
    makers: Sequence[Callable[..., Any]],
    kind: str = "SGD",
    by_hand: bool = False,
    resumed: int | None = None,
    state_first: bool = False,
    group_at: int | None = None,
) -> list[list[float]]:
    """What the schedules, one after the other in each step, make of an optimizer.

    Args:
        by_hand: now and then, change the rates between two steps.
        resumed: at this step, go on with a new optimizer and new schedulers that load the states.
        state_first: load the optimizer's state before the new schedulers are made.
        group_at: at this step, add a group.
    """
    room, optimizer = lib.optim.lr_scheduler, _optimizer(lib, kind)
    schedulers = [make(room, optimizer) for make in makers]
    found = []
    for t in range(STEPS):
        if t == resumed:
            saved, states = optimizer.state_dict(), [scheduler.state_dict() for scheduler in schedulers]
            optimizer = _optimizer(lib, kind)
            if state_first:
                optimizer.load_state_dict(saved)
            schedulers = [make(room, optimizer) for make in makers]
            if not state_first:
                optimizer.load_state_dict(saved)
            for scheduler, state in zip(schedulers, states, strict=True):
                scheduler.load_state_dict(state)
        if t == group_at:
            optimizer.add_param_group({"params": [lib.zeros(1, requires_grad=True)], "lr": 0.2})
            found.clear()  # rows with fewer groups
        else:
            found.append([*_seen(optimizer), *(lr for scheduler in schedulers for lr in scheduler.get_last_lr())])
        optimizer.step()
        for scheduler in schedulers:
            plateau = isinstance(scheduler, room.ReduceLROnPlateau)
            scheduler.step(*[MEASURES[t % len(MEASURES)]] * plateau)
        if by_hand and t % 13 == 5:
            optimizer.param_groups[0]["lr"] *= 0.5
            optimizer.param_groups[1]["lr"] = 0.07
    return found


def _case(name: str, function: Callable[[Any], dict[str, Any]]) -> Case:
    """The rates are Python's floats: the dtype does not matter."""

    def run(lib: Any) -> dict[str, Any]:
        return {label: lib.tensor(curves, dtype=lib.float64) for label, curves in function(lib).items()}

    return Case(name, run, dtypes=("float64",))


def _alone(make: Any) -> Callable[[Any], dict[str, Any]]:
    return lambda lib: {
        "sgd": curve(lib, [make]),
        "adam": curve(lib, [make], "Adam"),
        "rmsprop": curve(lib, [make], "RMSprop"),
        "changed by hand": curve(lib, [make], by_hand=True),
        "resumed": curve(lib, [make], resumed=23),
        "resumed, the optimizer's state first": curve(lib, [make], "Adam", resumed=23, state_first=True),
    }


def _side_by_side(make: Any) -> Callable[[Any], dict[str, Any]]:
    return lambda lib: {
        label: [curve(lib, [make, other], **options) for other in ALL.values()]
        for label, options in {
            "two": {},
            "changed by hand": {"by_hand": True},
            "resumed": {"resumed": 23},
            "resumed, the optimizer's state first": {"resumed": 31, "state_first": True, "by_hand": True},
        }.items()
    }


def _joined(make: Any) -> Callable[[Any], dict[str, Any]]:
    def chain(s: Any, o: Any, other: Any) -> Any:
        return s.ChainedScheduler([make(s, o), other(s, o)])

    def sequence(s: Any, o: Any, other: Any, milestone: int) -> Any:
        return s.SequentialLR(o, [make(s, o), other(s, o)], [milestone])

    def run(lib: Any) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for label, options in {"": {}, ", resumed": {"resumed": 9, "by_hand": True}}.items():
            found[f"chained{label}"] = [
                curve(lib, [lambda s, o, other=other: chain(s, o, other)], **options) for other in LEAVES.values()
            ]
            for m in (0, 1, 17):
                found[f"in sequence from {m}{label}"] = [
                    curve(lib, [lambda s, o, other=other, m=m: sequence(s, o, other, m)], **options)
                    for other in LEAVES.values()
                ]
        return found

    return run


def _continued(make: Any) -> Callable[[Any], dict[str, Any]]:
    def run(lib: Any) -> dict[str, Any]:
        found = {}
        for last in (0, 2, 5, 6, 8, 12, 29):
            optimizer = _optimizer(lib, "SGD")
            scheduler = make(lib.optim.lr_scheduler, optimizer)
            for _ in range(last):
                optimizer.step()
                scheduler.step()
            scheduler = make(lib.optim.lr_scheduler, optimizer, last_epoch=last)
            rates = [_seen(optimizer)]
            for _ in range(30):
                optimizer.step()
                scheduler.step()
                rates.append(_seen(optimizer))
            found[f"last_epoch={last}"] = rates
            found[f"last_epoch={last}: its last"] = [scheduler.last_epoch]
        return found

    return run


def _to_epochs(make: Any, epochs: Sequence[float | None]) -> Callable[[Any], dict[str, Any]]:
    def run(lib: Any) -> dict[str, Any]:
        optimizer = _optimizer(lib, "SGD")
        scheduler = make(lib.optim.lr_scheduler, optimizer)
        rates, steps = [], []
        for epoch in epochs:
            optimizer.step()
            scheduler.step(*[] if epoch is None else [epoch])
            rates.append(_seen(optimizer))
            steps.append(scheduler.last_epoch)
        return {"rates": rates, "last_epoch": steps}

    return run


def _tree(rng: random.Random, depth: int, first: bool = True) -> Callable[..., Any]:
    """A random nesting. PyTorch can nest a schedule of schedules in a sequence as its first part only."""
    kind = rng.choice(["leaf", "sequence", "sequence", "chain", "chain"][depth == 3 :]) if depth and first else "leaf"
    if kind == "leaf":
        return rng.choice(list(LEAVES.values()))
    n = rng.randint(2, 3)
    parts = [_tree(rng, depth - 1, first=i == 0 or kind == "chain") for i in range(n)]
    milestones = sorted(rng.sample(range(1, 50), n - 1))
    if kind == "chain":
        return lambda s, o: s.ChainedScheduler([part(s, o) for part in parts])
    return lambda s, o: s.SequentialLR(o, [part(s, o) for part in parts], milestones)


def _nested(seed: int) -> Callable[[Any], dict[str, Any]]:
    rng = random.Random(seed)
    trees = [_tree(rng, 3) for _ in range(16)]
    return lambda lib: {
        "nested": [curve(lib, [tree]) for tree in trees],
        "resumed": [curve(lib, [tree], resumed=9, by_hand=True) for tree in trees],
        "beside another": [curve(lib, [tree, LEAVES["cosine_long"]]) for tree in trees],
    }


def _plateau(mode: str, threshold_mode: str) -> Callable[[Any], dict[str, Any]]:
    """Random measures, with ties, zeros, NaN and infinities. For negative ones PyTorch's rule is another."""

    def run(lib: Any) -> dict[str, Any]:
        found = {}
        for cooldown, threshold, patience in itertools.product((0, 2), (0.0, 0.01, 0.3), (0, 2)):
            curves = []
            for seed in range(5):
                rng = random.Random(seed)
                optimizer = _optimizer(lib, "SGD")
                scheduler = lib.optim.lr_scheduler.ReduceLROnPlateau(
                    optimizer,
                    mode=mode,
                    threshold_mode=threshold_mode,
                    threshold=threshold,
                    cooldown=cooldown,
                    patience=patience,
                    factor=0.8,
                    eps=1e-3,
                    min_lr=[0.001, 0.002],
                )
                rates = []
                for _ in range(STEPS):
                    scheduler.step(rng.choice([0, 0.5, 0.99, 1, 1.01, 2, 3, _INF, _NAN, 2 * rng.random()]))
                    rates.append([*_seen(optimizer), scheduler.num_bad_epochs, scheduler.cooldown_counter])
                curves.append(rates)
            found[f"cooldown {cooldown}, threshold {threshold}, patience {patience}"] = curves
        return found

    return run


# Schedules that go on from the present rates, and so take in a group that is added.
_FOR_NEW_GROUPS = (
    *("multi_step", "step", "constant", "linear", "exponential", "polynomial", "cosine_long"),
    "plateau",
)

CASES = [
    *[_case(f"alone_{name}", _alone(make)) for name, make in ALL.items()],
    *[_case(f"side_by_side_{name}", _side_by_side(make)) for name, make in ALL.items()],
    *[_case(f"joined_{name}", _joined(make)) for name, make in LEAVES.items()],
    *[_case(f"last_epoch_{name}", _continued(make)) for name, make in LEAVES.items()],
    *[
        _case(f"epochs_{name}", _to_epochs(make, [None, None, 5, None, None, 0, None, 20, None, 30, 31, None, 3]))
        for name, make in LEAVES.items()
    ],
    *[
        _case(f"fractions_{name}", _to_epochs(LEAVES[name], [e + i / 7 for e in range(STEPS) for i in range(7)]))
        for name in ("restarts", "restarts_equal")
    ],
    _case("fractions_and_steps", _to_epochs(LEAVES["restarts"], [5.5, None, None, 12.25, None, 0.5, None, 27.999])),
    *[_case(f"nested_{seed}", _nested(seed)) for seed in range(6)],
    _case(
        "new_group",
        lambda lib: {name: curve(lib, [ALL[name]], group_at=4) for name in _FOR_NEW_GROUPS},
    ),
    *[
        _case(f"plateau_{mode}_{threshold_mode}", _plateau(mode, threshold_mode))
        for mode in ("min", "max")
        for threshold_mode in ("rel", "abs")
    ],
]
