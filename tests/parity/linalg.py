"""Matrix products and einsum."""

from tests.parity.case import Case, normal

EINSUMS = {
    "ij,jk": [(3, 4), (4, 5)],
    "ij,jk->ki": [(3, 4), (4, 5)],
    "ij,jk,kl->il": [(3, 4), (4, 5), (5, 2)],
    "ii->i": [(3, 3)],
    "ii": [(3, 3)],
    "ij->j": [(3, 4)],
    "ba": [(3, 4)],
    "bij,bjk->bik": [(2, 3, 4), (2, 4, 5)],
    "...ij,...jk->...ik": [(2, 3, 4), (4, 5)],
    "bhqd,bhkd->bhqk": [(2, 2, 3, 4), (2, 2, 5, 4)],
    "i,j->ij": [(3,), (4,)],
    "i,i->": [(3,), (3,)],
    "ijk,ij->k": [(2, 3, 4), (2, 3)],
    "i,ij,j": [(3,), (3, 4), (4,)],
    "iij,jk->ik": [(3, 3, 4), (4, 2)],
    "ij,ij->ij": [(3, 4), (3, 4)],
    "ij,k->i": [(3, 4), (5,)],
    "i...,i...": [(3, 2), (3, 2)],
    "ba,cb": [(2, 3), (4, 2)],
    ",i->i": [(), (3,)],
    "ab,bc,cd,de->ae": [(2, 3), (3, 4), (4, 2), (2, 5)],
    "ij,ij": [(3, 1), (3, 4)],
}

MATMULS = [
    ((3,), (3,)),
    ((3,), (3, 4)),
    ((3, 4), (4,)),
    ((2, 1, 3, 4), (3, 4, 2)),
    ((3, 4), (2, 4, 2)),
    ((2, 3, 4), (4,)),
]

CASES = [
    *[
        Case(f"matmul_{k}", lambda lib, a, b: a @ b, normal(*a), normal(*b), second=True)
        for k, (a, b) in enumerate(MATMULS)
    ],
    Case("mm", lambda lib, a, b: lib.mm(a, b), normal(3, 4), normal(4, 5)),
    Case("bmm", lambda lib, a, b: lib.bmm(a, b), normal(2, 3, 4), normal(2, 4, 5)),
    Case(
        "mv_dot_outer",
        lambda lib, a, b, c: (lib.mv(a, b), lib.dot(b, b), lib.outer(b, c)),
        normal(3, 4),
        normal(4),
        normal(2),
    ),
    Case("trace", lambda lib, a: lib.trace(a), normal(3, 4)),
    *[
        Case(
            f"einsum {equation}",
            lambda lib, *xs, equation=equation: lib.einsum(equation, *xs),
            *[normal(*s) for s in shapes],
            second=True,
        )
        for equation, shapes in EINSUMS.items()
    ],
    Case("tensordot", lambda lib, a, b: lib.tensordot(a, b, dims=1), normal(2, 3, 4), normal(4, 5)),
    Case(
        "tensordot_axes",
        lambda lib, a, b: lib.tensordot(a, b, dims=([1, 0], [0, 2])),
        normal(2, 3, 4),
        normal(3, 5, 2),
    ),
    Case(
        "linear",
        lambda lib, x, w, b: lib.nn.functional.linear(x, w, b),
        normal(2, 5, 3),
        normal(4, 3),
        normal(4),
        second=True,
    ),
    Case("linear_vector", lambda lib, x, w: lib.nn.functional.linear(x, w), normal(3), normal(4, 3)),
    Case(
        "bilinear",
        lambda lib, x, y, w, b: lib.nn.functional.bilinear(x, y, w, b),
        normal(2, 5, 3),
        normal(2, 5, 4),
        normal(6, 3, 4),
        normal(6),
    ),
]
