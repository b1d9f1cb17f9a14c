"""Names that a user types: say which are known, and which one was probably meant."""

import difflib
from collections.abc import Iterable


class UnknownName(ValueError):
    """A name that is not among the known ones; the message says the nearest."""


def nearest(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'batch'?`, or nothing if no known name is near."""
    near = difflib.get_close_matches(name.lower(), list(known), n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else "."


def check_name(option: str, name: str, known: Iterable[str]) -> None:
    """Raise `UnknownName` unless `name` is known.

    Example:
        >>> check_name("--norm", "bacth", ["batch", "layer"])
        Traceback (most recent call last):
        minigrad.suggest.UnknownName: --norm: 'bacth' is unknown; did you mean 'batch'? Known: batch, layer
    """
    known = list(known)
    if name not in known:
        raise UnknownName(f"{option}: {name!r} is unknown{nearest(name, known)} Known: {', '.join(known)}")
