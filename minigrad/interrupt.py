"""Ctrl-C in the `minigrad` command: one line and exit code 130, at any moment.

Python raises KeyboardInterrupt between two bytecodes of whatever runs. While packages are imported, this prints a
traceback. In a destructor, or in a function that C calls (Numba's compiler has such functions), the exception is
printed and *lost*, and the program goes on. So:

- While the command starts, and has nothing to keep, Ctrl-C ends the process at once (`quick`).
- While it trains, Ctrl-C raises KeyboardInterrupt and is remembered, and `check`, after each step, raises it again
  if it was lost (`kept`).

In a program that imports minigrad, nothing is changed. This module is imported first, so it imports little itself.
"""

import os
import signal
import sys


def is_command() -> bool:
    """Is this process the `minigrad` command?"""
    name = os.path.basename(sys.argv[0] if sys.argv else "")
    return name in ("minigrad", "minigrad.exe") or sys.orig_argv[1:3] in (["-m", "minigrad"], ["-m", "minigrad.cli"])


def quick() -> None:
    """From now on, Ctrl-C ends the process; unless it is ignored, as in what a shell starts in the background."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        _listen(_end)


def _listen(handler: "signal._HANDLER") -> bool:
    """Have Ctrl-C call `handler`; False if this is not the main thread, to which Ctrl-C does not come."""
    try:
        signal.signal(signal.SIGINT, handler)
    except ValueError:
        return False
    return True


def _end(number: int, frame: object) -> None:
    os.write(2, b"minigrad: interrupted\n")
    os._exit(130)


class kept:
    """Within this block, Ctrl-C raises KeyboardInterrupt, and `check` raises it again if it was lost."""

    def __enter__(self) -> None:
        global _asked
        _asked = False
        self.before = signal.getsignal(signal.SIGINT)
        self.report = sys.unraisablehook
        self.active = self.before in (_end, signal.default_int_handler) and _listen(_raise)
        if self.active:
            sys.unraisablehook = self.silent

    def silent(self, lost: "sys.UnraisableHookArgs") -> None:
        """Do not print the KeyboardInterrupt that was lost: `check` raises it again."""
        if not isinstance(lost.exc_value, KeyboardInterrupt):
            self.report(lost)

    def __exit__(self, *exception: object) -> None:
        if self.active:
            signal.signal(signal.SIGINT, self.before)
            sys.unraisablehook = self.report


_asked = False


def _raise(number: int, frame: object) -> None:
    global _asked
    _asked = True
    raise KeyboardInterrupt


def check() -> None:
    """Raise the KeyboardInterrupt that was lost, if one was."""
    global _asked
    if _asked:
        _asked = False
        raise KeyboardInterrupt


def forget() -> None:
    """Let the process end with its own exit code.

    Python remembers a KeyboardInterrupt that left an `exec`, as in the code that defines a dataclass, also when it is
    caught later: at its end, the process would kill itself by the signal. The next `exec` clears that memory.
    """
    exec("")


if is_command():
    quick()
