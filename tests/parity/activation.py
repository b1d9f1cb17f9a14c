"""Activations against PyTorch."""

import warnings

from tests.parity.case import Case, constant, normal, transposed

SPECIAL = constant([-float("inf"), -100.0, -1.0, -0.0, 0.0, 1e-30, 1.0, 100.0, float("inf")])
# The points where a piecewise function changes, and values far out.
LIMITS = constant([-90.0, -6.0, -3.0, -1.0, -0.25, 0.0, 0.75, 1.0, 3.0, 6.0, 90.0])
# PyTorch keeps the 1/6 of hardsigmoid's slope in float32, and has no second derivative of it.
ROUNDED = {"hardsigmoid": {"float64": 1e-7}}
MASKED = constant([[1.0, -float("inf"), 2.0], [-float("inf"), -float("inf"), 0.5]])


def _f(name, *args, **options):
    return lambda lib, *inputs: getattr(lib.nn.functional, name)(*inputs, *args, **options)


def _quiet(name):
    """The function without `dim`, which warns."""

    def run(lib, x):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return getattr(lib.nn.functional, name)(x)

    return run


CASES = [
    Case("glu", _f("glu"), normal(3, 6), second=True),
    Case("glu_first", _f("glu", dim=0), transposed(normal(3, 4))),
    Case("prelu_shared", _f("prelu"), normal(2, 3, 2), normal(1), second=True),
    Case("prelu_channels", _f("prelu"), normal(2, 3, 2), normal(3), second=True),
    Case("prelu_1d", _f("prelu"), normal(5), normal(1)),
    Case("relu", _f("relu"), normal(3, 4), second=True),
    Case("relu_special", _f("relu"), SPECIAL),
    Case("leaky_relu", _f("leaky_relu", 0.2), normal(3, 4), second=True),
    Case("leaky_relu_zero", _f("leaky_relu"), constant([-1.0, 0.0, 1.0])),
]
_ELEMENTWISE = {
    "relu6": [()],
    "elu": [(), (0.4,), (-0.4,)],
    "celu": [(), (0.5,), (-50.0,)],
    "selu": [()],
    "gelu": [()],
    "silu": [()],
    "mish": [()],
    "softplus": [(), (3.0, 2.0)],
    "softsign": [()],
    "hardtanh": [(), (-0.25, 0.75)],
    "hardsigmoid": [()],
    "hardswish": [()],
    "logsigmoid": [()],
    "threshold": [(-1.0, 20.0), (0.75, 0.0)],
    "rrelu": [(), (0.25, 0.75)],
    "hardshrink": [(), (1.0,)],
    "softshrink": [(), (1.0,)],
    "tanhshrink": [()],
    "sigmoid": [()],
    "tanh": [()],
}
for _name, _variants in _ELEMENTWISE.items():
    for _i, _args in enumerate(_variants):
        CASES += [
            Case(
                f"{_name}_{_i}",
                _f(_name, *_args),
                normal(3, 5, scale=2.0),
                second=_name != "hardsigmoid",
                tolerance=ROUNDED.get(_name),
            ),
            Case(f"{_name}_{_i}_limits", _f(_name, *_args), LIMITS, tolerance=ROUNDED.get(_name)),
            Case(f"{_name}_{_i}_empty", _f(_name, *_args), normal(0, 2)),
        ]
CASES += [
    Case("gelu_tanh", _f("gelu", approximate="tanh"), normal(3, 5, scale=2.0), second=True),
    Case("gelu_tanh_limits", _f("gelu", approximate="tanh"), LIMITS),
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


def _in_place(name, *args):
    """The result, and the input, which holds it then: part of a graph, and not part of one."""

    def run(lib, x):
        h, plain = x * 1, x.detach() * 1
        y = getattr(lib.nn.functional, name)(h, *args, inplace=True)
        getattr(lib.nn.functional, name)(plain, *args, inplace=True)
        return {"y": y, "twice": h * x, "plain": plain}

    return run


for _name, _args in {
    "relu": (), "relu6": (), "leaky_relu": (0.3,), "elu": (0.4,), "celu": (0.5,), "selu": (), "silu": (), "mish": (),
    "hardtanh": (-0.25, 0.75), "hardsigmoid": (), "hardswish": (), "threshold": (0.1, 20.0), "rrelu": (0.25, 0.75),
}.items():  # fmt: skip
    _tolerance = ROUNDED.get(_name)
    CASES.append(Case(f"{_name}_in_place", _in_place(_name, *_args), normal(3, 5, scale=2.0), tolerance=_tolerance))
for _name, _args in {
    "relu_": (), "leaky_relu_": (0.3,), "elu_": (0.4,), "celu_": (0.5,), "selu_": (), "hardtanh_": (-0.25, 0.75),
    "threshold_": (0.1, 20.0), "rrelu_": (0.25, 0.75),
}.items():  # fmt: skip

    def _underscored(lib, x, name=_name, args=_args):
        h = x * 1
        getattr(lib.nn.functional, name)(h, *args)
        return h

    CASES.append(Case(f"{_name}_underscored", _underscored, normal(3, 5, scale=2.0)))

for _name, _make in {
    "ReLU": lambda nn: nn.ReLU(inplace=True),
    "ELU": lambda nn: nn.ELU(0.4, inplace=True),
    "Hardtanh": lambda nn: nn.Hardtanh(-0.25, 0.75, inplace=True),
    "Threshold": lambda nn: nn.Threshold(0.1, 20.0, inplace=True),
    "LeakyReLU": lambda nn: nn.LeakyReLU(0.3, True),
}.items():

    def _layer_in_place(lib, x, make=_make):
        h = x * 1
        return {"y": make(lib.nn)(h), "h": h}

    CASES.append(Case(f"{_name}_layer_in_place", _layer_in_place, normal(3, 5, scale=2.0)))
CASES += [
    *[
        Case(f"{name}_{len(shape)}_axes_no_dim", _quiet(name), normal(*shape))
        for name in ("softmax", "log_softmax", "softmin")
        for shape in ((4,), (2, 3), (2, 3, 4), (2, 3, 2, 2))
    ],
    Case("softmax2d", lambda lib, x: lib.nn.Softmax2d()(x), normal(2, 4, 3, 2)),
    Case("softmax2d_one", lambda lib, x: lib.nn.Softmax2d()(x), normal(4, 3, 2)),
    Case("softmax_masked", _f("softmax", dim=1), MASKED),
    Case("log_softmax_masked", _f("log_softmax", dim=1), MASKED),
]
