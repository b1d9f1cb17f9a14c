"""A few cases of every kind, which `tests/test_sabotage.py` runs with something broken on purpose.

Hyperparameters are such that a fault shows: a large ε, a momentum far from 0.5, weights that are not symmetric.
"""

from tests.parity.case import Case, ModuleCase, TrajectoryCase, constant, distinct, integers, normal

CASES = [
    ModuleCase(
        "batch_norm_over_time",
        lambda lib: lib.nn.BatchNorm1d(3, eps=0.1, momentum=0.3),
        normal(5, 3),
        calls=("train",) * 3,
    ),
    ModuleCase(
        "batch_norm_train_then_eval",
        lambda lib: lib.nn.BatchNorm2d(3, eps=0.1, momentum=0.3),
        normal(3, 3, 2, 2),
        calls=("train", "eval", "train", "eval"),
    ),
    ModuleCase("layer_norm", lambda lib: lib.nn.LayerNorm(6, eps=0.1), normal(4, 6)),
    ModuleCase("group_norm", lambda lib: lib.nn.GroupNorm(2, 6, eps=0.1), normal(2, 6, 3)),
    ModuleCase("instance_norm", lambda lib: lib.nn.InstanceNorm1d(3, eps=0.1, affine=True), normal(2, 3, 4)),
    Case("div_trunc", lambda lib, x, y: lib.div(x, y, rounding_mode="trunc"), normal(8), normal(8)),
    Case("relu", lambda lib, x: lib.nn.functional.relu(x), normal(8)),
    Case(
        "conv2d",
        lambda lib, x, w, b: lib.nn.functional.conv2d(x, w, b, stride=2, padding=1, dilation=2),
        normal(2, 2, 7, 6),
        normal(3, 2, 3, 2),
        normal(3),
    ),
    Case(
        "conv_transpose2d",
        lambda lib, x, w: lib.nn.functional.conv_transpose2d(x, w, stride=2, padding=1),
        normal(2, 2, 3, 4),
        normal(2, 3, 3, 3),
    ),
    Case("max_pool2d", lambda lib, x: lib.nn.functional.max_pool2d(x, 2, padding=1), distinct(1, 2, 5, 5)),
    Case("avg_pool2d", lambda lib, x: lib.nn.functional.avg_pool2d(x, 2, padding=1), normal(1, 2, 5, 5)),
    Case(
        "cross_entropy",
        lambda lib, x, t: {
            "mean": lib.nn.functional.cross_entropy(x, t, ignore_index=1),
            "smooth": lib.nn.functional.cross_entropy(x, t, label_smoothing=0.3),
        },
        normal(6, 4),
        constant([0, 1, 2, 3, 1, 2]),
    ),
    Case("mse_loss", lambda lib, x, y: lib.nn.functional.mse_loss(x, y), normal(4, 3), normal(4, 3)),
    Case("var", lambda lib, x: lib.var(x, dim=1), normal(3, 4)),
    Case("embedding", lambda lib, i, w: lib.nn.functional.embedding(i, w), integers(4, 3, 5), normal(4, 2)),
    ModuleCase("lstm", lambda lib: lib.nn.LSTM(3, 4), normal(5, 2, 3)),
    ModuleCase("gru", lambda lib: lib.nn.GRU(3, 4), normal(5, 2, 3)),
    ModuleCase(
        "attention",
        lambda lib: lib.nn.MultiheadAttention(6, 2, batch_first=True),
        normal(2, 4, 6),
        call=lambda lib, module, x: module(x, x, x, need_weights=False)[0],
    ),
    TrajectoryCase(
        "sgd",
        lambda lib, ps: lib.optim.SGD(ps, lr=0.1, momentum=0.8, nesterov=True, weight_decay=0.1),
        normal(3, 2),
        normal(2),
        steps=4,
    ),
    TrajectoryCase(
        "adam", lambda lib, ps: lib.optim.Adam(ps, lr=0.1, eps=0.1, weight_decay=0.2), normal(3, 2), normal(2), steps=4
    ),
    TrajectoryCase("adamw", lambda lib, ps: lib.optim.AdamW(ps, lr=0.1, weight_decay=0.2), normal(3, 2), steps=4),
    TrajectoryCase("rmsprop", lambda lib, ps: lib.optim.RMSprop(ps, lr=0.1, eps=0.1), normal(3, 2), steps=4),
    TrajectoryCase(
        "schedule",
        lambda lib, ps: (lambda o: (o, lib.optim.lr_scheduler.StepLR(o, 2, gamma=0.3)))(lib.optim.SGD(ps, lr=0.1)),
        normal(2),
        steps=5,
    ),
]
