"""Reductions, running sums, extrema, sorting."""

import numpy as np

from tests.parity.case import Case, constant, distinct, fixed, normal, positive

TIES = constant(np.array([[1.0, 2.0, 2.0, 0.0], [3.0, 3.0, 3.0, 3.0], [0.0, -1.0, -1.0, 5.0]]))
ZEROS = constant(np.array([[1.0, 2.0, 0.0, 3.0], [0.0, 0.0, 2.0, 1.0], [4.0, 5.0, 6.0, 0.5]]))


def spread(name):
    return [
        Case(name, lambda lib, x: getattr(lib, name)(x), normal(3, 4), second=True),
        Case(f"{name}_axis", lambda lib, x: getattr(x, name)(1), normal(3, 4, 5)),
        Case(f"{name}_biased", lambda lib, x: getattr(x, name)(1, False), normal(3, 4, 5)),
        Case(f"{name}_unbiased_first", lambda lib, x: getattr(x, name)(False), normal(3, 4)),
        Case(
            f"{name}_correction",
            lambda lib, x: getattr(x, name)(dim=(0, 2), correction=2, keepdim=True),
            normal(3, 4, 5),
            second=True,
        ),
        Case(f"{name}_mean", lambda lib, x: getattr(lib, f"{name}_mean")(x, 1), normal(3, 4)),
    ]


VALUES = constant(np.array([[3, 1, 3], [2, 1, 3], [3, 1, 3]]))
RUNS = constant(np.array([1, 1, 2, 2, 2, 1, 3, 3]))

CASES = [
    Case("unique", lambda lib, x: lib.unique(x, return_inverse=True, return_counts=True), VALUES),
    Case("unique_alone", lambda lib, x: (x.unique(), lib.unique(x, return_counts=True)[1]), VALUES),
    *[Case(f"unique_dim_{d}", lambda lib, x, d=d: lib.unique(x, True, True, True, dim=d), VALUES) for d in (0, 1, -1)],
    Case("unique_consecutive", lambda lib, x: lib.unique_consecutive(x, True, True), RUNS),
    Case("unique_consecutive_dim", lambda lib, x: lib.unique_consecutive(x, True, True, dim=0), VALUES),
    Case("bincount", lambda lib, x: (lib.bincount(x), x.bincount(minlength=6)), RUNS),
    Case("bincount_weights", lambda lib, x, w: lib.bincount(x, w, 5), RUNS, fixed(normal(8))),
    Case("bincount_integer_weights", lambda lib, x: lib.bincount(x, x), RUNS, dtypes=("float64",)),
    Case(
        "histc",
        lambda lib, x: (lib.histc(x, 4), x.histc(bins=3, min=-1, max=0.5), lib.histc(x[:1, :1], 2)),
        fixed(normal(5, 6)),
    ),
    Case(
        "histogram",
        lambda lib, x, w: {
            "bins": tuple(lib.histogram(x, 4)),
            "range": tuple(lib.histogram(x, bins=3, range=(-1.0, 0.5))),
            "density": tuple(x.histogram(5, density=True)),
            "weight": tuple(lib.histogram(x, 4, weight=w)),
            "edges": tuple(lib.histogram(x, lib.tensor([-1.0, 0.0, 2.0], dtype=x.dtype))),
        },
        fixed(normal(5, 6)),
        fixed(positive(5, 6)),
    ),
    Case("sum", lambda lib, x: x.sum(), normal(3, 4, 5), second=True),
    Case("sum_axes", lambda lib, x: x.sum((0, 2)), normal(3, 4, 5)),
    Case("sum_keepdim", lambda lib, x: lib.sum(x, dim=1, keepdim=True), normal(3, 4, 5)),
    Case(
        "sum_of_other_dtypes",
        lambda lib, x: (lib.tensor([True, True]).sum(), lib.arange(3).sum(), x.sum(dtype=lib.float64)),
        normal(3),
    ),
    Case("mean", lambda lib, x: x.mean(), normal(3, 4, 5)),
    Case("mean_axes", lambda lib, x: x.mean(dim=(0, -1)), normal(3, 4, 5), second=True),
    Case("nansum", lambda lib, x: lib.nansum(x, 1), constant([[1.0, np.nan], [2.0, 3.0]])),
    *spread("var"),
    *spread("std"),
    Case("std_of_equals", lambda lib, x: x.std(0), constant(np.ones((3, 2)))),
    *[
        Case(f"{name}_{i}", lambda lib, x, name=name, options=options: getattr(lib, name)(x, **options), TIES)
        for name in ("amax", "amin")
        for i, options in enumerate(({"dim": 1}, {"dim": (0, 1)}, {"dim": 0, "keepdim": True}))
    ],
    *[Case(f"{name}_of_all", lambda lib, x, name=name: getattr(x, name)(), TIES) for name in ("max", "min")],
    *[
        Case(f"{name}_axis", lambda lib, x, name=name: tuple(getattr(x, name)(1)), distinct(3, 4, 2), second=True)
        for name in ("max", "min", "median")
    ],
    *[
        Case(f"{name}_keepdim", lambda lib, x, name=name: getattr(x, name)(dim=0, keepdim=True).values, distinct(3, 4))
        for name in ("max", "min", "median")
    ],
    Case("median_of_all", lambda lib, x: x.median(), distinct(3, 4)),
    Case("max_of_two", lambda lib, x, y: lib.max(x, y), normal(3, 4), normal(3, 4)),
    *[
        Case(
            name,
            lambda lib, x, name=name: (getattr(x, name)(), getattr(x, name)(1), getattr(x, name)(0, keepdim=True)),
            distinct(3, 4),
        )
        for name in ("argmax", "argmin")
    ],
    Case("prod", lambda lib, x: x.prod(), normal(3, 4), second=True),
    Case("prod_axis", lambda lib, x: x.prod(1), normal(3, 4, 2), second=True),
    Case("prod_zeros", lambda lib, x: lib.prod(x, dim=1, keepdim=True), ZEROS),
    Case("prod_zeros_all", lambda lib, x: x.prod(), ZEROS),
    Case("cumsum", lambda lib, x: x.cumsum(1), normal(3, 4, 2), second=True),
    Case("cumprod", lambda lib, x: x.cumprod(-1), positive(3, 4), second=True),
    Case("cumprod_zeros", lambda lib, x: lib.cumprod(x, dim=1), ZEROS),
    Case("logsumexp", lambda lib, x: x.logsumexp(1), normal(3, 4), second=True),
    Case("logsumexp_large", lambda lib, x: lib.logsumexp(x, dim=(0, 1), keepdim=True), normal(3, 4, scale=300)),
    Case("logsumexp_infinite", lambda lib, x: x.logsumexp(1), constant([[-np.inf, 0.0, 1.0], [1.0, 2.0, -np.inf]])),
    *[Case(f"norm_{p}", lambda lib, x, p=p: lib.norm(x, p=p, dim=1), normal(3, 4)) for p in (2, 1, 3, 1.5, 0.5)],
    *[Case(f"norm_{p}", lambda lib, x, p=p: lib.norm(x, p=float(p), dim=1), distinct(3, 4)) for p in ("inf", "-inf")],
    Case("norm_all", lambda lib, x: x.norm(), normal(3, 4), second=True),
    *[
        Case(f"norm_{p}_zero", lambda lib, x, p=p: lib.norm(x, p=p, dim=1), constant([[0.0, 0.0], [0.0, 1.0]]))
        for p in (2, 3)
    ],
    Case(
        "truth", lambda lib, x: (lib.any(x > 1, dim=1), (x > -2).all(), lib.count_nonzero(x > 0, dim=1)), normal(3, 4)
    ),
    *[Case(f"sort_{d}", lambda lib, x, d=d: tuple(x.sort(1, descending=d)), distinct(3, 4)) for d in (False, True)],
    *[
        Case(f"argsort_ties_{d}", lambda lib, x, d=d: lib.argsort(x, dim=1, descending=d, stable=True), TIES)
        for d in (False, True)
    ],
    *[
        Case(f"topk_{d}", lambda lib, x, d=d: tuple(x.topk(2, dim=1, largest=d)), distinct(3, 4, 2))
        for d in (False, True)
    ],
]
