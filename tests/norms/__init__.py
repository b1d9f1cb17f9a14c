"""The rows of the normalization table, one family a file, and the machine that checks them, `harness`."""

import importlib
import pkgutil

from tests.norms.harness import Method, Sabotage


def _all(name: str) -> list:
    found = []
    for module in pkgutil.iter_modules(__path__):
        found += getattr(importlib.import_module(f"{__name__}.{module.name}"), name, [])
    return found


def methods() -> list[Method]:
    """Every row of the table: `METHODS` of each file here."""
    return _all("METHODS")


def sabotage() -> list[Sabotage]:
    """Every way in which a method is broken on purpose: `SABOTAGE` of each file here."""
    return _all("SABOTAGE")
