"""How a NumPy loop becomes a kernel: compiled once, cached on disk, in a serial and a parallel form.

A kernel is written as a loop over *tasks*::

    @kernel
    def double(x, y):
        for row in prange(x.shape[0]):     # rows are independent: any order, any thread
            for j in range(x.shape[1]):
                y[row, j] = 2 * x[row, j]

    double(x.size, x, y)                   # first argument: how many elements it will touch

The same source is compiled twice, each form when it is first called. Waking a second thread costs
microseconds even where the loop itself needs less, so the parallel form starts only where the work
pays for it, and where `set_num_threads` asked for more than one thread. A reduction across tasks
writes one partial result per task and adds them in task order afterwards: the answer then has the
same bits on one thread and on sixty-four.
"""

import os
import threading
from collections.abc import Callable
from types import FunctionType
from typing import Any

import numpy as np
from numba import njit, prange

from minigrad.kernels import threads
from minigrad.kernels.cache import KernelCache

__all__ = ["PARALLEL_FROM", "in_order", "inline", "kernel", "prange", "subroutine"]

# Sums may be reordered into SIMD lanes and fused into multiply-adds. `nnan` and `ninf` are left out on
# purpose: they would let the compiler assume that NaN and infinity never occur, and so lose them.
# Even so a kernel must ask abs(x) < np.inf, not np.isfinite(x): Numba's is x − x == x − x, reordered to True.
FASTMATH = {"reassoc", "contract", "nsz", "arcp"}

# error_model="numpy": x / 0 is inf or NaN, as in NumPy. Numba's default raises ZeroDivisionError, and the test
# for zero in every division keeps the loop from being turned into SIMD instructions (five times slower).

PARALLEL_FROM = 1 << 17
"""A kernel that touches at least this many elements runs on all threads that `set_num_threads` allows."""


def _compiled(function: Callable[..., Any], **options: Any) -> Any:
    """Numba's compiled form of a function, kept on disk where the function is one of minigrad's kernels."""
    options |= {"error_model": "numpy", "nogil": True, "no_cfunc_wrapper": True}
    compiled: Any = njit(**options)(function)
    if compiled is not function and function.__module__.rpartition(".")[0] == __package__:
        compiled._cache = KernelCache(f"{function.__module__.rpartition('.')[2]}.{function.__name__}")
    return compiled


def inline(function: Callable[..., Any]) -> Any:
    """A small function that kernels call: it is compiled into its callers."""
    return _compiled(function, fastmath=FASTMATH, forceinline=True, no_cpython_wrapper=True)


def subroutine(function: Callable[..., Any]) -> Any:
    """A function that kernels call, compiled once and not into each of them: it is long, and calls are few."""
    return _compiled(function, fastmath=FASTMATH, no_cpython_wrapper=True)


def in_order(function: Callable[..., Any]) -> Any:
    """A small function whose operations are done in the very order in which they are written."""
    return _compiled(function, fastmath={"contract"}, no_cpython_wrapper=True)


_launch = threading.Lock()
_forked = False


def _after_fork() -> None:
    # OpenMP threads do not survive fork(), and starting new ones in the child aborts it.
    global _forked
    _forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _renamed(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    # Under one name, compiled code that comes from the disk could not tell the two forms apart.
    assert isinstance(function, FunctionType)
    copy = FunctionType(function.__code__, function.__globals__, name, function.__defaults__, function.__closure__)
    copy.__qualname__ = name
    copy.__doc__ = function.__doc__
    return copy


def kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile `function`; the result takes the amount of work first, then the function's arguments."""
    serial = _compiled(function, fastmath=FASTMATH)
    parallel = serial
    if "prange" in function.__code__.co_names:
        parallel = _compiled(_renamed(function, function.__name__ + "_parallel"), fastmath=FASTMATH, parallel=True)

    def launch(work: int, *args: Any) -> Any:
        if work < PARALLEL_FROM or threads.number == 1 or _forked or parallel is serial:
            return serial(*args)
        with _launch, threads.of_numba():  # some of Numba's threading layers die when two threads launch at once
            return parallel(*args)

    if serial is function:  # NUMBA_DISABLE_JIT=1: NumPy would warn of infinities that compiled code just makes
        plain = np.errstate(all="ignore")(function)

        def launch(work: int, *args: Any) -> Any:
            return plain(*args)

    launch.__name__ = function.__name__
    launch.__doc__ = function.__doc__
    launch.serial = serial  # type: ignore[attr-defined]
    launch.parallel = parallel  # type: ignore[attr-defined]
    return launch
