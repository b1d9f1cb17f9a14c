"""The ops that the engine itself rests on."""

from tests.parity.case import Case, normal, positive, transposed

CASES = [
    Case("add_broadcast", lambda lib, x, y: x + y, normal(3, 4), normal(4), second=True),
    Case("mul_broadcast", lambda lib, x, y: x * y, normal(2, 3, 1), normal(4), second=True),
    Case("div", lambda lib, x, y: x / y, normal(3, 4), positive(3, 1), second=True),
    Case("matmul", lambda lib, x, y: x @ y, normal(3, 4), normal(4, 5), second=True),
    Case("matmul_of_transposed", lambda lib, x, y: x @ y, transposed(normal(4, 3)), normal(4, 5)),
    Case("diamond", lambda lib, x: (x * x + x).sum() * x, normal(30), second=True),
    Case("several_outputs", lambda lib, x, y: {"a": x * y, "rest": (x + y, None, x)}, normal(3), normal(3)),
]
