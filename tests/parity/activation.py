"""Activations against PyTorch."""

from tests.parity.case import Case, constant, normal, transposed

SPECIAL = constant([-float("inf"), -100.0, -1.0, -0.0, 0.0, 1e-30, 1.0, 100.0, float("inf")])
MASKED = constant([[1.0, -float("inf"), 2.0], [-float("inf"), -float("inf"), 0.5]])


def _f(name, *args, **options):
    return lambda lib, *inputs: getattr(lib.nn.functional, name)(*inputs, *args, **options)


CASES = [
    Case("relu", _f("relu"), normal(3, 4), second=True),
    Case("relu_special", _f("relu"), SPECIAL),
    Case("leaky_relu", _f("leaky_relu", 0.2), normal(3, 4), second=True),
    Case("leaky_relu_zero", _f("leaky_relu"), constant([-1.0, 0.0, 1.0])),
]
for _name in ("softmax", "log_softmax", "softmin"):
    CASES += [
        Case(f"{_name}_last", _f(_name, dim=-1), normal(3, 5), second=True),
        Case(f"{_name}_middle", _f(_name, dim=1), normal(2, 4, 3), second=True),
        Case(f"{_name}_first", _f(_name, dim=0), transposed(normal(4, 3))),
        Case(f"{_name}_large", _f(_name, dim=1), normal(3, 5, scale=500.0)),
        Case(f"{_name}_one", _f(_name, dim=0), normal()),
        Case(f"{_name}_empty", _f(_name, dim=1), normal(0, 5)),
    ]
CASES += [
    Case("softmax_masked", _f("softmax", dim=1), MASKED),
    Case("log_softmax_masked", _f("log_softmax", dim=1), MASKED),
]
