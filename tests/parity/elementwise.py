"""Arithmetic, powers, functions of one number, comparisons and choices."""

import operator

import numpy as np

from tests.parity.case import Case, bools, constant, normal, positive, uniform

# Where they meet infinities, zeros of both signs, and what is large for an exponential.
EDGES = constant(np.array([0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, 2.0, -2.0, 50.0, -50.0]))
TIES = constant(np.array([[1.0, 2.0, 3.0], [0.0, -1.0, 2.0]]))
OTHER = constant(np.array([[1.0, 3.0, 2.0], [0.0, -1.0, -2.0]]))
BASES = np.array([0.0, 0.0, 0.0, 0.0, 1.0, -1.0, -2.0, 2.0, 2.0, -2.0, 3.0])
EXPONENTS = np.array([0.0, 1.0, 2.0, -1.0, 0.0, 2.0, 3.0, 0.5, -1.0, 0.5, 0.0])

EVERYWHERE = "exp exp2 expm1 abs sin cos tan sinh cosh tanh sigmoid erf erfc sign floor ceil trunc round square neg"
POSITIVE = "sqrt rsqrt log log2 log10 log1p reciprocal"
INSIDE = "asin acos atan"


def unary(name):
    return lambda lib, x: getattr(x, name)()


QUOTIENTS = np.array([7.0, -7.0, 7.5, -7.5, 0.0, 6.0, -6.0]), np.array([2.0, 2.0, -2.5, -2.5, 3.0, -3.0, 3.0])
WHOLE = np.array([7, -7, 7, -7, 0, 6, -6]), np.array([2, 2, -2, -2, 3, -3, 3])


def in_place(name, *arguments):
    """y.name_(...) of an op's result, whose derivative is that of the op without the underscore."""

    def run(lib, x, *others):
        y = x * 1.5
        kept = y
        getattr(y, name)(*others, *arguments)
        return kept * x

    return run


IN_PLACE = {
    "add_": 1, "sub_": 1, "mul_": 1, "div_": 1, "exp_": 0, "sqrt_": 0, "rsqrt_": 0, "reciprocal_": 0, "abs_": 0,
    "neg_": 0, "log_": 0, "tanh_": 0, "sigmoid_": 0, "sin_": 0, "cos_": 0, "square_": 0, "relu_": 0, "zero_": 0,
    "addcmul_": 2, "addcdiv_": 2, "copy_": 1, "floor_": 0, "tril_": 0, "triu_": 0,
}  # fmt: skip

CASES = [
    *[
        Case(
            f"in_place_{name}",
            in_place(name),
            *[positive(3, 3)] * (1 + others),
            second=name not in ("zero_", "floor_"),
        )
        for name, others in IN_PLACE.items()
    ],
    Case("in_place_pow_", in_place("pow_", 3), positive(3, 4), second=True),
    Case("in_place_fill_", in_place("fill_", 2.5), positive(3, 4)),
    Case("in_place_clamp_", in_place("clamp_", 1.0, 2.0), positive(3, 4)),
    Case("in_place_masked_fill_", lambda lib, x: (x * 2).masked_fill_(x > 0, 3.0) * x, normal(3, 4)),
    Case("add_alpha", lambda lib, x, y: (lib.add(x, y, alpha=2), x.sub(y, alpha=0.5)), normal(3, 1), normal(4)),
    Case(
        "addcmul_addcdiv",
        lambda lib, x, y, z: (lib.addcmul(x, y, z, value=0.5), x.addcdiv(y, z, value=-2)),
        normal(3, 1),
        normal(4),
        positive(3, 4),
        second=True,
    ),
    *[
        Case(f"div_{mode}_{kind}", lambda lib, x, y, m=mode: lib.div(x, y, rounding_mode=m), *map(constant, arrays))
        for mode in ("trunc", "floor")
        for kind, arrays in (("floats", QUOTIENTS), ("integers", WHOLE))
    ],
    Case("div_trunc_number", lambda lib, x: (x.div(-2, rounding_mode="trunc"), x / 2), constant(WHOLE[0])),
    *[
        Case(name, unary(name), normal(3, 4), second=name not in ["sign", "floor", "ceil", "trunc", "round"])
        for name in EVERYWHERE.split()
    ],
    *[Case(name, unary(name), positive(3, 4), second=True) for name in POSITIVE.split()],
    *[Case(name, unary(name), uniform(3, 4, low=-0.9, high=0.9), second=True) for name in INSIDE.split()],
    *[
        Case(f"{name}_edges", unary(name), EDGES)
        for name in f"{EVERYWHERE} {POSITIVE} {INSIDE}".split()
        if name not in ("round", "trunc", "ceil")
    ],
    *[
        Case(f"{op.__name__}_broadcast", lambda lib, x, y, op=op: op(x, y), normal(3, 1), positive(4), second=True)
        for op in (operator.add, operator.sub, operator.mul, operator.truediv, operator.mod)
    ],
    *[
        Case(f"{op.__name__}_number", lambda lib, x, op=op: op(x, 2.5), normal(3, 4))
        for op in (operator.add, operator.sub, operator.mul, operator.truediv, operator.mod)
    ],
    *[
        Case(f"number_{op.__name__}", lambda lib, x, op=op: op(2, x), positive(3, 4))
        for op in (operator.add, operator.sub, operator.mul, operator.truediv)
    ],
    Case("floordiv", lambda lib, x, y: (x // y).detach(), normal(3, 4), positive(3, 4)),
    *[
        Case(f"power_{n}", lambda lib, x, n=n: x**n, constant(np.array([0.0, 1.0, 2.0, -1.0, -2.5, 3.0])))
        for n in (0, 1, 2, 3, -1, -2, 0.5, -0.5, 2.5)
    ],
    Case("power_tensor", lambda lib, x, y: x**y, positive(3, 4), normal(4), second=True),
    Case("power_tensor_edges", lambda lib, x, y: x**y, constant(BASES), constant(EXPONENTS)),
    *[Case(f"power_of_{b}", lambda lib, y, b=b: b**y, constant(EXPONENTS)) for b in (2.0, 0.0, -2.0)],
    Case(
        "integers",
        lambda lib, x: (lib.arange(6) // 4, lib.arange(6) % 4, lib.arange(6) / 4, lib.arange(6) ** 2, x),
        normal(1),
    ),
    Case(
        "promotion",
        lambda lib, x: (lib.arange(3) * x, lib.arange(3) + 0.5, lib.tensor([True]) + 1, lib.arange(3).sqrt()),
        normal(3),
    ),
    Case("maximum", lambda lib, x, y: lib.maximum(x, y), TIES, OTHER),
    Case("minimum", lambda lib, x, y: lib.minimum(x, y), TIES, OTHER),
    Case("maximum_nan", lambda lib, x, y: lib.maximum(x, y), constant([1.0, np.nan, 3]), constant([np.nan, 3.0, 2])),
    Case("clamp", lambda lib, x: x.clamp(0, 2), constant([-1.0, 0, 1, 2, 3])),
    Case("clamp_min", lambda lib, x: x.clamp(min=0.5), constant([-1.0, 0, 0.5, 2, 3])),
    Case("clamp_max", lambda lib, x: lib.clip(x, max=0.5), constant([-1.0, 0, 0.5, 2, 3])),
    Case(
        "clamp_tensors",
        lambda lib, x, a, b: x.clamp(a, b),
        constant([-1.0, 0, 0.5, 2, 3, 5]),
        constant([0.0, 0, 1, 1, 4, 4]),
        constant([1.0, 1, 2, 2, 3, 3]),
    ),
    Case("where", lambda lib, m, x, y: lib.where(m, x, y), bools(3, 4), normal(3, 4), normal(4), second=True),
    Case("where_number", lambda lib, x: lib.where(x > 0, x, 0.0), normal(3, 4)),
    Case("masked_fill", lambda lib, x, m: x.masked_fill(m, -2.0), normal(3, 4), bools(3, 4)),
    Case("nan_to_num", lambda lib, x: x.nan_to_num(posinf=3.0, neginf=-4.0), constant([np.nan, np.inf, -np.inf, 2.0])),
    Case("lerp", lambda lib, x, y: x.lerp(y, 0.3), normal(3, 4), normal(3, 4)),
    Case(
        "comparisons",
        lambda lib, x, y: (
            x < y,
            x <= y,
            x > y,
            x >= y,
            x == y,
            x != y,
            x.isnan(),
            x.isinf(),
            (x < y) & (x > 0),
            (x < y) | (x > 0),
            ~(x < y),
            (x < y) ^ (x > 0),
        ),
        TIES,
        OTHER,
    ),
]
