"""Comparison with PyTorch. Each module here is a family of cases, in its list `CASES`; see `case.py`."""

import importlib
import pkgutil
from typing import Any


def families() -> dict[str, list[Any]]:
    """The cases of every module in this package, by the module's name."""
    found: dict[str, list[Any]] = {}
    for module in pkgutil.iter_modules(__path__):
        if module.name != "case":
            cases = list(importlib.import_module(f"{__name__}.{module.name}").CASES)
            names = [case.name for case in cases]
            twice = {name for name in names if names.count(name) > 1}
            if twice:
                raise ValueError(f"tests/parity/{module.name}.py: case names used twice: {sorted(twice)}")
            found[module.name] = cases
    return found
