"""Names that a user types: say which ones there are, and which one was probably meant."""

import re
from collections.abc import Iterable


class UnknownName(ValueError):
    """A name that is not among the known ones; the message says the nearest."""


def nearest(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'batch'?`, or only `.` if no known name is near.

    A name is near if it differs by at most about one mistyped letter in four (left out, added, replaced, or swapped
    with its neighbour), or if one of the two names begins with the other. Case, dashes and underscores do not count.

    Example:
        >>> nearest("Lyaer", ["batch", "layer"]), nearest("fashion", ["mnist", "fashion-mnist"])
        ("; did you mean 'layer'?", "; did you mean 'fashion-mnist'?")
        >>> nearest("dropout", ["batch", "layer"])
        '.'
    """
    typed = _letters(name)
    best, least = "", 1.0
    for candidate in known:
        letters = _letters(candidate)
        length = max(len(typed), len(letters))
        distance = _distance(typed, letters) if abs(len(typed) - len(letters)) <= length // 4 + 1 else length
        share = distance / (length or 1)
        if distance > max((length + 1) // 4, length > 2):
            whole = min(len(typed), len(letters)) >= 3 and (letters.startswith(typed) or typed.startswith(letters))
            share = 0.5 + share / 3 if whole else 1.0
        if share < least:
            best, least = candidate, share
    return f"; did you mean {best!r}?" if best else "."


def _letters(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.lower())


def _distance(a: str, b: str) -> int:
    """How many letters must be left out, added, replaced or swapped with their neighbours to turn a into b."""
    rows: list[list[int]] = [list(range(len(b) + 1))]
    for i, x in enumerate(a):
        row = [i + 1]
        for j, y in enumerate(b):
            cost = min(row[j] + 1, rows[i][j + 1] + 1, rows[i][j] + (x != y))
            if i and j and x == b[j - 1] and a[i - 1] == y:
                cost = min(cost, rows[i - 1][j - 1] + 1)
            row.append(cost)
        rows.append(row)
    return rows[-1][-1]


def choose(known: Iterable[str]) -> str:
    """`Choose from: batch, layer`."""
    return f"Choose from: {', '.join(known)}"


def check_name(option: str, name: str, known: Iterable[str]) -> None:
    """Raise `UnknownName` unless `name` is known.

    Example:
        >>> check_name("--norm", "bacth", ["batch", "layer"])
        Traceback (most recent call last):
        minigrad.suggest.UnknownName: --norm: 'bacth' is unknown; did you mean 'batch'? Choose from: batch, layer
    """
    known = list(known)
    if name not in known:
        raise UnknownName(f"{option}: {name!r} is unknown{nearest(name, known)} {choose(known)}")
