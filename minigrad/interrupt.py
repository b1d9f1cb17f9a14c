"""Ctrl-C in the `minigrad` command: one line and exit code 130, at any moment.

Python raises KeyboardInterrupt between two bytecodes of whatever runs. While packages are imported, this prints a
traceback. In a destructor, or in a function that C calls (Numba's compiler has such functions), the exception is
printed and *lost*, and the program goes on. So:

- While the command starts, and has nothing to keep, Ctrl-C ends the process at once (`quick`).
- While it trains, Ctrl-C raises KeyboardInterrupt and is remembered, and `check`, after each step, raises it again
  if it was lost (`kept`).

In a program that imports minigrad, nothing is changed.
"""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_asked = False


def is_command() -> bool:
    """Is this process the `minigrad` command?"""
    module = sys.orig_argv[1:3]
    return Path(sys.argv[0] if sys.argv else "").name in ("minigrad", "minigrad.exe") or module in (
        ["-m", "minigrad"],
        ["-m", "minigrad.cli"],
    )


def quick() -> None:
    """From now on, Ctrl-C ends the process; unless it is ignored, as in what a shell starts in the background."""
    if threading.current_thread() is threading.main_thread() and (
        signal.getsignal(signal.SIGINT) is signal.default_int_handler
    ):
        signal.signal(signal.SIGINT, _end)


def _end(number: int, frame: Any) -> None:
    os.write(2, b"minigrad: interrupted\n")
    os._exit(130)


@contextmanager
def kept() -> Iterator[None]:
    """Within this block, Ctrl-C raises KeyboardInterrupt, and `check` raises it again if that was lost."""
    global _asked
    _asked = False
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or before not in (_end, signal.default_int_handler):
        yield
        return
    report = sys.unraisablehook

    def silent(lost: Any) -> None:
        if not isinstance(lost.exc_value, KeyboardInterrupt):
            report(lost)

    sys.unraisablehook = silent
    signal.signal(signal.SIGINT, _raise)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        sys.unraisablehook = report


def _raise(number: int, frame: Any) -> None:
    global _asked
    _asked = True
    raise KeyboardInterrupt


def check() -> None:
    """Raise the KeyboardInterrupt that was lost, if one was."""
    global _asked
    if _asked:
        _asked = False
        raise KeyboardInterrupt


if is_command():
    quick()
