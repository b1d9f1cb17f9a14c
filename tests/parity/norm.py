"""The classic normalizations: batch, layer, instance and group norm, as functions and as layers."""

from functools import partial
from typing import Any

from tests.parity.case import Case, ModuleCase, constant, fixed, normal, positive, transposed


def batch_norm(lib: Any, x: Any, mean: Any, var: Any, *affine: Any, **options: Any) -> Any:
    """The output, and what became of the running averages."""
    y = lib.nn.functional.batch_norm(x, mean, var, *affine, **options)
    return {"y": y, "mean": mean, "var": var}


def instance_norm(lib: Any, x: Any, mean: Any, var: Any, *affine: Any, **options: Any) -> Any:
    y = lib.nn.functional.instance_norm(x, mean, var, *affine, **options)
    return {"y": y, "mean": mean, "var": var}


RUNNING = fixed(normal(4)), fixed(positive(4))
AFFINE = normal(4), normal(4)
SHAPES = {"2d": (6, 4), "3d": (3, 4, 5), "4d": (3, 4, 2, 3), "5d": (2, 4, 2, 1, 3), "no_space": (5, 4, 1)}

CASES = []

for name, shape in SHAPES.items():
    x = normal(*shape)
    CASES += [
        Case(
            f"batch_norm_{name}",
            partial(batch_norm, training=True, momentum=0.3),
            x,
            *RUNNING,
            *AFFINE,
            second=True,
        ),
        Case(f"batch_norm_eval_{name}", partial(batch_norm, eps=0.1), x, *RUNNING, *AFFINE, second=True),
        Case(
            f"group_norm_{name}",
            lambda lib, x, w, b: lib.nn.functional.group_norm(x, 2, w, b),
            x,
            *AFFINE,
            second=True,
        ),
    ]
    if name in ("3d", "4d", "5d"):
        CASES += [
            Case(
                f"instance_norm_{name}",
                partial(instance_norm, use_input_stats=True, momentum=0.3),
                x,
                *RUNNING,
                *AFFINE,
                second=True,
            ),
            Case(
                f"instance_norm_eval_{name}",
                partial(instance_norm, use_input_stats=False),
                x,
                *RUNNING,
                *AFFINE,
            ),
        ]

X = normal(3, 4, 5)
CASES += [
    Case(
        "batch_norm_plain",
        lambda lib, x: lib.nn.functional.batch_norm(x, None, None, training=True),
        X,
        second=True,
    ),
    Case(
        "batch_norm_weight_only",
        lambda lib, x, w: lib.nn.functional.batch_norm(x, None, None, w, training=True),
        X,
        normal(4),
        second=True,
    ),
    Case(
        "batch_norm_bias_only",
        lambda lib, x, b: lib.nn.functional.batch_norm(x, None, None, None, b, training=True),
        X,
        normal(4),  # no second derivative: PyTorch fails where there is β and no γ
    ),
    Case("batch_norm_eval_plain", batch_norm, X, *RUNNING),
    Case(
        "batch_norm_huge_eps",
        lambda lib, x, w, b: lib.nn.functional.batch_norm(x, None, None, w, b, True, 0.1, 7.0),
        X,
        *AFFINE,
        second=True,
    ),
    Case(
        "batch_norm_gamma_zero",
        lambda lib, x, w, b: lib.nn.functional.batch_norm(x, None, None, w, b, True),
        normal(6, 3),
        constant([0.0, 1.0, 0.0]),
        normal(3),
    ),
    Case(
        "batch_norm_not_contiguous",
        lambda lib, x, w, b: lib.nn.functional.batch_norm(x, None, None, w, b, True),
        transposed(normal(5, 4, 3)),
        *AFFINE,
    ),
    Case(
        "layer_norm",
        lambda lib, x, w, b: lib.nn.functional.layer_norm(x, (5,), w, b),
        normal(3, 4, 5),
        normal(5),
        normal(5),
        second=True,
    ),
    Case(
        "layer_norm_two_axes",
        lambda lib, x, w, b: lib.nn.functional.layer_norm(x, (4, 5), w, b, 0.3),
        normal(3, 4, 5),
        normal(4, 5),
        normal(4, 5),
        second=True,
    ),
    Case(
        "layer_norm_all_axes",
        lambda lib, x, w: lib.nn.functional.layer_norm(x, (3, 4), w),
        normal(3, 4),
        normal(3, 4),
        second=True,
    ),
    Case(
        "layer_norm_bias_only",
        lambda lib, x, b: lib.nn.functional.layer_norm(x, (4,), None, b),
        normal(3, 4),
        normal(4),
    ),
    Case("layer_norm_plain", lambda lib, x: lib.nn.functional.layer_norm(x, (5,)), X, second=True),
    Case("layer_norm_not_contiguous", lambda lib, x: lib.nn.functional.layer_norm(x, (3,)), transposed(X)),
    Case(
        "layer_norm_many_rows", lambda lib, x, w: lib.nn.functional.layer_norm(x, (3,), w), normal(200, 3), normal(3)
    ),
    Case("group_norm_plain", lambda lib, x: lib.nn.functional.group_norm(x, 2), X, second=True),
    Case("group_norm_one_group", lambda lib, x, w, b: lib.nn.functional.group_norm(x, 1, w, b), X, *AFFINE),
    Case("group_norm_not_contiguous", lambda lib, x: lib.nn.functional.group_norm(x, 2), transposed(normal(5, 4, 3))),
    Case(
        "instance_norm_weight_only",
        lambda lib, x, w: lib.nn.functional.instance_norm(x, weight=w),
        X,
        normal(4),
        second=True,
    ),
    Case("instance_norm_plain", lambda lib, x: lib.nn.functional.instance_norm(x, eps=0.5), X),
]

STEPS = ("train", "eval", "train", "eval", *["train"] * 8, "eval")
CASES += [
    ModuleCase("BatchNorm1d", lambda lib: lib.nn.BatchNorm1d(4), normal(6, 4), calls=STEPS),
    ModuleCase("BatchNorm1d_space", lambda lib: lib.nn.BatchNorm1d(4, eps=0.1), normal(2, 4, 3), calls=STEPS),
    ModuleCase("BatchNorm1d_cumulative", lambda lib: lib.nn.BatchNorm1d(4, momentum=None), normal(6, 4), calls=STEPS),
    ModuleCase("BatchNorm1d_no_affine", lambda lib: lib.nn.BatchNorm1d(4, affine=False), normal(6, 4), calls=STEPS),
    ModuleCase("BatchNorm1d_no_bias", lambda lib: lib.nn.BatchNorm1d(4, bias=False), normal(6, 4), calls=STEPS[:2]),
    ModuleCase(
        "BatchNorm1d_no_tracking",
        lambda lib: lib.nn.BatchNorm1d(4, track_running_stats=False),
        normal(6, 4),
        calls=STEPS[:4],
    ),
    ModuleCase("BatchNorm2d", lambda lib: lib.nn.BatchNorm2d(3, momentum=0.7), normal(2, 3, 4, 2), calls=STEPS),
    ModuleCase("BatchNorm3d", lambda lib: lib.nn.BatchNorm3d(2), normal(2, 2, 2, 3, 2), calls=STEPS[:4]),
    ModuleCase("InstanceNorm1d", lambda lib: lib.nn.InstanceNorm1d(3), normal(2, 3, 4), calls=STEPS[:2]),
    ModuleCase("InstanceNorm1d_unbatched", lambda lib: lib.nn.InstanceNorm1d(3, affine=True), normal(3, 4)),
    ModuleCase(
        "InstanceNorm2d",
        lambda lib: lib.nn.InstanceNorm2d(3, affine=True, track_running_stats=True),
        normal(2, 3, 4, 2),
        calls=STEPS,
    ),
    ModuleCase(
        "InstanceNorm2d_momentum_none",
        lambda lib: lib.nn.InstanceNorm2d(3, momentum=None, track_running_stats=True),
        normal(2, 3, 2, 2),
        calls=STEPS[:4],
    ),
    ModuleCase(
        "InstanceNorm2d_no_bias", lambda lib: lib.nn.InstanceNorm2d(3, affine=True, bias=False), normal(3, 2, 2)
    ),
    ModuleCase("InstanceNorm3d", lambda lib: lib.nn.InstanceNorm3d(2, affine=True), normal(2, 2, 2, 3, 2)),
    ModuleCase("LayerNorm", lambda lib: lib.nn.LayerNorm(5), normal(3, 5), calls=STEPS[:2]),
    ModuleCase("LayerNorm_two_axes", lambda lib: lib.nn.LayerNorm((4, 5), eps=0.2), normal(3, 4, 5)),
    ModuleCase("LayerNorm_no_bias", lambda lib: lib.nn.LayerNorm(5, bias=False), normal(3, 5)),
    ModuleCase("LayerNorm_no_affine", lambda lib: lib.nn.LayerNorm(5, elementwise_affine=False), normal(3, 5)),
    ModuleCase("GroupNorm", lambda lib: lib.nn.GroupNorm(3, 6), normal(2, 6, 2, 3), calls=STEPS[:2]),
    ModuleCase("GroupNorm_2d", lambda lib: lib.nn.GroupNorm(2, 6), normal(4, 6)),
    ModuleCase("GroupNorm_no_affine", lambda lib: lib.nn.GroupNorm(2, 6, affine=False), normal(2, 6, 3)),
]
