"""Checks of values that users give or files hold, and how errors show them."""

import reprlib
import sys
from typing import Any

import numpy as np

_REPR = reprlib.Repr()
_REPR.maxother = _REPR.maxstring = 80


def brief(value: Any) -> str:
    """What an error shows of a value: its beginning, in one line."""
    return " ".join(_REPR.repr(value).split())


def is_number(value: Any, flags: bool = False) -> bool:
    """Is it an int or a float, of Python's or NumPy's? NaN is not a number; booleans count with `flags` only.

    Nor is an int that no float can hold: to compute with it would be an OverflowError.
    """
    if isinstance(value, bool | np.bool_):
        return flags
    if isinstance(value, int) and abs(value) > sys.float_info.max:
        return False
    return isinstance(value, int | float | np.integer | np.floating) and value == value


def is_whole(value: Any) -> bool:
    """Is it an int, of Python's or NumPy's, and not a boolean?"""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)
