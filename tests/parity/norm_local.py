"""Local response normalization: α near 1, for with 1e-4 a window that is off by one passes."""

from tests.parity.case import Case, ModuleCase, normal, transposed

CASES = [
    Case(
        f"local_response_norm_{name}",
        lambda lib, x, size=size, options=options: lib.nn.functional.local_response_norm(x, size, **options),
        normal(*shape),
        second=True,
    )
    for name, shape, size, options in [
        ("3d", (2, 6, 4), 3, {"alpha": 0.9}),
        ("4d", (2, 5, 2, 3), 5, {"alpha": 1.5, "k": 2.0}),
        ("5d", (2, 4, 1, 2, 2), 3, {"alpha": 0.9, "beta": 0.5}),
        ("6d", (1, 3, 1, 2, 1, 2), 2, {"alpha": 0.9}),
        ("even", (2, 6, 3), 4, {"alpha": 2.0, "beta": 1.0}),
        ("one", (2, 4, 3), 1, {"alpha": 0.9}),
        ("wider_than_the_channels", (2, 3, 4), 9, {"alpha": 2.0, "beta": 1.3}),
        ("even_and_wider", (2, 3, 4), 8, {"alpha": 2.0}),
        ("one_channel", (3, 1, 4), 3, {"alpha": 1.0}),
        ("one_place", (5, 6, 1), 3, {"alpha": 0.9}),
        ("many_places", (1, 3, 9, 8), 2, {"alpha": 0.9}),
        ("negative_exponent", (2, 4, 3), 3, {"alpha": 0.9, "beta": -0.5}),
        ("defaults", (2, 6, 4), 5, {}),
    ]
]
CASES += [
    Case(
        "local_response_norm_strided",
        lambda lib, x: lib.nn.functional.local_response_norm(x, 3, 0.9),
        transposed(normal(4, 5, 3)),
    ),
    ModuleCase(
        "local_response_norm_module",
        lambda lib: lib.nn.LocalResponseNorm(3, alpha=0.9, beta=0.6, k=1.5),
        normal(2, 5, 3, 2),
        calls=("train", "eval"),
    ),
]
