"""Optimizers, schedules and gradient clipping, step by step.

The options are chosen so that each one matters: an eps of 0.01, betas far from 1, a weight decay of 0.1.
"""

import itertools
from typing import Any

from tests.parity.case import Case, TrajectoryCase, fixed, normal

EXACT = {"float64": 1e-12}
SHAPES = (normal(3, 4), normal(5), normal())


def _optimizer(name: str, kind: str, steps: int = 8, **options: Any) -> TrajectoryCase:
    return TrajectoryCase(
        name,
        lambda lib, ps: getattr(lib.optim, kind)(ps, **options),
        *SHAPES,
        steps=steps,
        sparse=True,
        tolerance=EXACT,
    )


def _tag(**options: Any) -> str:
    return "_".join(key for key, value in options.items() if value)


OPTIMIZERS = [
    _optimizer("sgd", "SGD", lr=0.1),
    _optimizer("sgd_maximize", "SGD", lr=0.1, maximize=True),
    _optimizer("sgd_weight_decay", "SGD", lr=0.1, weight_decay=0.1),
    _optimizer("sgd_momentum", "SGD", lr=0.1, momentum=0.8),
    _optimizer("sgd_dampening", "SGD", lr=0.1, momentum=0.8, dampening=0.3, weight_decay=0.1),
    _optimizer("sgd_nesterov", "SGD", lr=0.1, momentum=0.8, nesterov=True, weight_decay=0.1),
    _optimizer("sgd_nesterov_maximize", "SGD", lr=0.1, momentum=0.8, nesterov=True, maximize=True),
    *[
        _optimizer(
            _tag(**{kind.lower(): True, "amsgrad": amsgrad, "decay": decay, "maximize": maximize}),
            kind,
            lr=0.1,
            betas=(0.7, 0.8),
            eps=1e-2,
            amsgrad=amsgrad,
            weight_decay=0.1 if decay else 0.0,
            maximize=maximize,
        )
        for kind, amsgrad, decay, maximize in itertools.product(("Adam", "AdamW"), *[(False, True)] * 3)
        if not (maximize and (amsgrad or not decay))
    ],
    _optimizer("adam_defaults", "Adam", steps=30),
    _optimizer("adamw_defaults", "AdamW", steps=30),
    *[
        _optimizer(
            _tag(rmsprop=True, centered=centered, momentum=momentum, decay=decay),
            "RMSprop",
            lr=0.05,
            alpha=0.8,
            eps=1e-2,
            centered=centered,
            momentum=0.8 if momentum else 0.0,
            weight_decay=0.1 if decay else 0.0,
        )
        for centered, momentum, decay in itertools.product(*[(False, True)] * 3)
    ],
    _optimizer("rmsprop_defaults", "RMSprop"),
    _optimizer("rmsprop_maximize", "RMSprop", maximize=True),
    _optimizer("adagrad_defaults", "Adagrad"),
    _optimizer(
        "adagrad_all", "Adagrad", lr=0.1, lr_decay=0.2, weight_decay=0.1, initial_accumulator_value=0.5, eps=1e-2
    ),
    _optimizer("adagrad_maximize", "Adagrad", lr=0.1, maximize=True),
    TrajectoryCase(
        "groups",
        lambda lib, ps: lib.optim.AdamW(
            [{"params": ps[:1], "weight_decay": 0.3}, {"params": ps[1:], "lr": 0.2, "betas": (0.5, 0.6)}], lr=0.1
        ),
        *SHAPES,
        tolerance=EXACT,
    ),
]


def _life(kind: str, **options: Any) -> Any:
    """What can happen to an optimizer between two steps, all of it in one run."""

    def run(lib: Any, x: Any, y: Any, *gradients: Any) -> Any:
        a, b = x.detach().clone().requires_grad_(), y.detach().clone().T.requires_grad_()
        empty = (x.detach() * 1)[:0].requires_grad_()
        optimizer = getattr(lib.optim, kind)([a, empty], lr=lib.tensor(0.1, dtype=lib.float64), **options)
        losses, paths = [], []
        for step, gradient in enumerate(gradients):
            if step == 3:  # a group is added, in another memory layout
                optimizer.add_param_group({"params": [b], "lr": 0.05, "weight_decay": 0.2})
            if step == 5:  # another optimizer goes on
                state = optimizer.state_dict()
                optimizer = getattr(lib.optim, kind)([{"params": [a, empty]}, {"params": [b]}])
                optimizer.load_state_dict(state)
            if step == 6:  # one is frozen
                a.requires_grad_(False)
            if step == 8:
                a.requires_grad_()
            if step == 9:  # options are changed
                optimizer.param_groups[0]["lr"] = 0.02
                optimizer.param_groups[1]["maximize"] = True

            def closure(optimizer: Any = optimizer, step: int = step, gradient: Any = gradient) -> Any:
                optimizer.zero_grad(set_to_none=step % 2 == 0)
                loss = (a * gradient).sum() + (a * a).sum() / 4
                if step >= 3 and step != 10:  # left out for one step
                    loss = loss + (b * gradient).sum() + (b * b).sum() / 4
                loss.backward()
                return loss

            losses.append(optimizer.step(closure).detach())
            paths.append(lib.stack([a.detach(), b.detach()]))
        return lib.stack(losses), lib.stack(paths)

    return run


LIVES = [
    Case(
        f"life_of_{_tag(**{kind.lower(): True}, **options)}",
        _life(kind, **options),
        fixed(normal(3, 4)),
        fixed(normal(4, 3)),
        *[fixed(normal(3, 4))] * 12,
    )
    for kind, options in [
        ("SGD", {}),
        ("SGD", {"momentum": 0.8, "dampening": 0.3, "weight_decay": 0.1}),
        ("SGD", {"momentum": 0.8, "nesterov": True}),
        ("Adam", {"eps": 1e-2}),
        ("Adam", {"eps": 1e-2, "amsgrad": True, "weight_decay": 0.1}),
        ("AdamW", {"eps": 1e-2, "weight_decay": 0.1}),
        ("RMSprop", {"eps": 1e-2}),
        ("RMSprop", {"eps": 1e-2, "centered": True, "momentum": 0.7}),
        ("Adagrad", {"eps": 1e-2, "lr_decay": 0.1}),
    ]
]


def _schedule(name: str, make: Any, steps: int = 24, kind: str = "SGD", each: Any = None) -> TrajectoryCase:
    """Two groups with different rates; the parameters follow the rates, and the momentum where it is cycled."""

    def prepare(lib: Any, ps: Any) -> Any:
        groups = [{"params": ps[:1], "lr": 0.1}, {"params": ps[1:], "lr": 0.02}]
        optimizer = lib.optim.SGD(groups, momentum=0.5) if kind == "SGD" else getattr(lib.optim, kind)(groups)
        return optimizer, make(lib.optim.lr_scheduler, optimizer)

    return TrajectoryCase(name, prepare, normal(2), normal(), steps=steps, each=each, tolerance=EXACT)


def _each_of_them(lib: Any, optimizer: Any, schedulers: Any, step: int) -> None:
    for scheduler in schedulers:
        scheduler.step()


def _measure(lib: Any, optimizer: Any, scheduler: Any, step: int) -> None:
    """A measure that falls, rises, and stays where it is for long."""
    scheduler.step([5, 4, 4, 4, 4.5, 3, 3.1, 3.2, 3.3, 3.4, 3.5, 2.95, 2.9, 2.9, 2.9, 2.9][step % 16])


SCHEDULES = [
    _schedule("step_lr", lambda s, o: s.StepLR(o, 5, gamma=0.5)),
    _schedule("multi_step_lr", lambda s, o: s.MultiStepLR(o, [9, 2, 5, 5], gamma=0.5)),
    _schedule("exponential_lr", lambda s, o: s.ExponentialLR(o, 0.9)),
    _schedule("linear_lr", lambda s, o: s.LinearLR(o, 0.1, 0.8, total_iters=7)),
    _schedule("linear_lr_defaults", lambda s, o: s.LinearLR(o), steps=8),
    _schedule("linear_lr_to_zero", lambda s, o: s.LinearLR(o, 1.0, 0.0, total_iters=4), steps=7),
    _schedule("lambda_lr", lambda s, o: s.LambdaLR(o, [lambda t: 0.9**t, lambda t: 1 / (1 + t)]), steps=10),
    _schedule("cosine", lambda s, o: s.CosineAnnealingLR(o, 9, eta_min=0.01)),
    _schedule("cosine_to_zero", lambda s, o: s.CosineAnnealingLR(o, 5), steps=6),
    _schedule("cosine_restarts", lambda s, o: s.CosineAnnealingWarmRestarts(o, 3, T_mult=2, eta_min=0.001)),
    _schedule("cosine_restarts_same", lambda s, o: s.CosineAnnealingWarmRestarts(o, 4), steps=13),
    *[
        _schedule(
            f"one_cycle_{strategy}{'_three_phase' if three else ''}_{kind.lower()}",
            lambda s, o, strategy=strategy, three=three: s.OneCycleLR(
                o, [0.5, 0.1], total_steps=24, pct_start=0.35, anneal_strategy=strategy, three_phase=three
            ),
            kind=kind,
        )
        for strategy, three, kind in itertools.product(("cos", "linear"), (False, True), ("SGD", "Adam"))
    ],
    _schedule("one_cycle_epochs", lambda s, o: s.OneCycleLR(o, 0.2, epochs=3, steps_per_epoch=4), steps=12),
    _schedule(
        "one_cycle_without_momentum", lambda s, o: s.OneCycleLR(o, 0.2, total_steps=9, cycle_momentum=False), steps=9
    ),
    _schedule(
        "sequential",
        lambda s, o: s.SequentialLR(
            o,
            [s.LinearLR(o, 0.2, total_iters=4), s.CosineAnnealingLR(o, 10, 0.001), s.ExponentialLR(o, 0.5)],
            milestones=[4, 15],
        ),
    ),
    _schedule(
        "sequential_factors_first",
        lambda s, o: s.SequentialLR(o, [s.StepLR(o, 2), s.LinearLR(o, 0.2, total_iters=4)], milestones=[5]),
        steps=12,
    ),
    _schedule(
        "warm_up_times_decay",
        lambda s, o: (s.LinearLR(o, 0.1, total_iters=5), s.StepLR(o, 3, 0.5)),
        steps=12,
        each=_each_of_them,
    ),
    *[
        _schedule(
            f"plateau_{name}",
            lambda s, o, options=options: s.ReduceLROnPlateau(o, **options),
            steps=32,
            each=_measure,
        )
        for name, options in {
            "min": {"patience": 2, "factor": 0.5},
            "max": {"mode": "max", "patience": 1, "factor": 0.5},
            "absolute": {"threshold": 0.08, "threshold_mode": "abs", "patience": 1, "factor": 0.6},
            "absolute_max": {"mode": "max", "threshold": 0.3, "threshold_mode": "abs", "patience": 2, "factor": 0.9},
            "cooldown": {"patience": 0, "cooldown": 3, "factor": 0.7, "min_lr": [0.02, 0.005], "eps": 1e-3},
        }.items()
    ],
]


def _clip_norm(max_norm: float, norm_type: float) -> Any:
    def clip(lib: Any, *gradients: Any) -> Any:
        parameters = [g * 0 for g in gradients]
        for p, g in zip(parameters, gradients, strict=True):
            p.grad = g * 1
        utils = lib.optim if hasattr(lib.optim, "clip_grad_norm_") else lib.nn.utils
        norm = utils.clip_grad_norm_(parameters, max_norm, norm_type)
        return norm, [p.grad for p in parameters]

    return clip


def _clip_value(lib: Any, *gradients: Any) -> Any:
    parameters = [g * 0 for g in gradients]
    for p, g in zip(parameters, gradients, strict=True):
        p.grad = g * 1
    utils = lib.optim if hasattr(lib.optim, "clip_grad_value_") else lib.nn.utils
    utils.clip_grad_value_(parameters, 0.7)
    return [p.grad for p in parameters]


CLIPPING = [
    *[
        Case(
            f"clip_grad_norm_{norm_type}_to_{max_norm}",
            _clip_norm(max_norm, norm_type),
            fixed(normal(3, 4)),
            fixed(normal(5)),
            fixed(normal()),
        )
        for norm_type in (2.0, 1.0, 3.0, 0.5, float("inf"))
        for max_norm in (0.5, 1000.0)
    ],
    Case("clip_grad_value", _clip_value, fixed(normal(3, 4)), fixed(normal(5))),
]

CASES = [*OPTIMIZERS, *LIVES, *SCHEDULES, *CLIPPING]
