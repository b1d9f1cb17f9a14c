"""Padding layers."""

from tests.parity.case import Case, ModuleCase, normal


def _case(kind, n, *arguments, shape, name):
    return ModuleCase(f"{kind}{n}d_{name}", lambda lib: getattr(lib.nn, f"{kind}{n}d")(*arguments), normal(*shape))


CASES: list[Case] = []
for _n in (1, 2, 3):
    _shape = (2, 3, 5, 4, 6)[: _n + 2]
    _uneven = (1, 2, 0, 3, 2, 1)[: 2 * _n]
    for _kind in ("ZeroPad", "ReflectionPad", "ReplicationPad", "CircularPad"):
        CASES += [
            _case(_kind, _n, 2, shape=_shape, name="even"),
            _case(_kind, _n, _uneven, shape=_shape, name="uneven"),
            _case(_kind, _n, 1, shape=_shape[1:], name="no_batch"),
        ]
    CASES += [
        _case("ConstantPad", _n, 2, 1.5, shape=_shape, name="even"),
        _case("ConstantPad", _n, (-1, *_uneven[1:]), -3.0, shape=_shape, name="cut"),
    ]
