"""Every row of the normalization table, through every check; and the checks themselves, with wrong rules.

A test's name says which method failed which check: `test_norm[rms_norm-second derivative]`.
"""

import pytest

from tests import norms
from tests.norms import harness
from tests.norms.harness import CHECKS, Method, Sabotage
from tests.sabotage import Patch

METHODS = {method.name: method for method in norms.methods()}
SABOTAGE = norms.sabotage()


@pytest.mark.parametrize(
    ("method", "check"),
    [pytest.param(m, check, id=f"{m.name}-{check}") for m in METHODS.values() for check in CHECKS],
)
def test_norm(method: Method, check: str):
    if check in method.exclude:
        pytest.skip(method.exclude[check])
    harness.run(check, method)


@pytest.mark.parametrize("row", SABOTAGE, ids=lambda row: f"{row.method}: {row.what}")
def test_the_check_notices(row: Sabotage, monkeypatch: Patch):
    row.how(monkeypatch)
    with pytest.raises(AssertionError):
        harness.run(row.caught_by, METHODS[row.method])


def test_rows_are_named_once_and_exclude_known_checks_with_a_reason():
    assert len(METHODS) == len(norms.methods())
    for method in METHODS.values():
        assert method.exclude.keys() <= CHECKS.keys(), method.name
        assert all(len(reason) > 10 for reason in method.exclude.values()), method.name


def test_every_method_is_sabotaged():
    assert METHODS.keys() == {row.method for row in SABOTAGE}
