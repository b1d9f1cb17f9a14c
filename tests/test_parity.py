"""Every case of `tests/parity` gives PyTorch's numbers: against the golden files, or live with `--live-torch`."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.parity import families
from tests.parity.case import check_golden, check_live

GOLDEN = Path(__file__).parent / "golden"

RUNS = [
    pytest.param(family, case, dtype, id=f"{family}-{case.name}-{dtype}")
    for family, cases in families().items()
    for case in cases
    for dtype in case.dtypes
]


@cache
def golden(family: str) -> dict[str, Any]:
    path = GOLDEN / f"{family}.json"
    return json.loads(path.read_text()) if path.exists() else {}


@pytest.mark.parametrize(("family", "case", "dtype"), RUNS)
def test_parity(family: str, case: Any, dtype: str, live_torch: bool) -> None:
    if live_torch:
        problems = check_live(case, dtype)
    else:
        entry = golden(family).get(case.name)
        assert entry is not None, (
            f"tests/golden/{family}.json has no values for {case.name!r}: run `python tools/record_golden.py {family}`"
        )
        problems = check_golden(case, dtype, entry)
    assert not problems, "\n".join([f"{family}/{case.name} in {dtype} differs from PyTorch:", *problems])


def test_golden_files_hold_no_leftovers() -> None:
    """A case that was renamed or removed leaves no values behind."""
    known = {family: {case.name for case in cases} for family, cases in families().items()}
    for family, names in known.items():
        assert golden(family).keys() <= names, f"record tests/golden/{family}.json again"
