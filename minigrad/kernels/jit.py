"""Make a kernel of a NumPy loop: compiled once, cached on disk, in a serial and a parallel form.

A kernel is written as a loop over *tasks*::

    @kernel
    def double(x, y):
        for row in prange(x.shape[0]):     # rows are independent: any order, any thread
            for j in range(x.shape[1]):
                y[row, j] = 2 * x[row, j]

    double(x.size, x, y)                   # first argument: the number of elements that it will touch

The same source is compiled twice, each form in its first call. Waking a second thread costs microseconds, even if the
loop itself needs less. So the parallel form runs only if there is enough work, and if `set_num_threads` allows more
than one thread. A reduction across tasks writes a partial result for each task, and then adds these results in the
order of the tasks. So the result has the same bits for any number of threads.
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
# Even so, a kernel must test abs(x) < np.inf, not np.isfinite(x): Numba computes the latter as x − x == x − x, which
# the compiler reorders to True.
FASTMATH = {"reassoc", "contract", "nsz", "arcp"}

# error_model="numpy": x / 0 is inf or NaN, as in NumPy. Numba's default raises ZeroDivisionError, and the test
# for zero in every division stops the compiler from using SIMD instructions (five times slower).

PARALLEL_FROM = 1 << 17
"""A kernel that touches at least this many elements runs on all threads that `set_num_threads` allows."""


def _compiled(function: Callable[..., Any], **options: Any) -> Any:
    """Numba's compiled form of a function, kept on disk if the function is one of minigrad's kernels."""
    options |= {"error_model": "numpy", "nogil": True, "no_cfunc_wrapper": True}
    compiled: Any = njit(**options)(function)
    if compiled is not function and function.__module__.rpartition(".")[0] == __package__:
        compiled._cache = KernelCache(f"{function.__module__.rpartition('.')[2]}.{function.__name__}")
    return compiled


def inline(function: Callable[..., Any]) -> Any:
    """Marks a small function that kernels call: it is compiled into its callers."""
    return _compiled(function, fastmath=FASTMATH, forceinline=True, no_cpython_wrapper=True)


def subroutine(function: Callable[..., Any]) -> Any:
    """Marks a long, rarely called function of kernels: it is compiled once, and not into each caller."""
    return _compiled(function, fastmath=FASTMATH, no_cpython_wrapper=True)


def in_order(function: Callable[..., Any]) -> Any:
    """Marks a small function whose operations must run in exactly the written order."""
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
    # The two forms need different names, because compiled code on disk is found by name.
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
        with _launch:  # some of Numba's threading layers crash if two threads launch at once
            return threads.launch(parallel, *args)

    if serial is function:  # with NUMBA_DISABLE_JIT=1, NumPy would warn of infinities; compiled code gives no warning
        plain = np.errstate(all="ignore")(function)

        def launch(work: int, *args: Any) -> Any:
            return plain(*args)

    launch.__name__ = function.__name__
    launch.__doc__ = function.__doc__
    launch.serial = serial  # type: ignore[attr-defined]
    launch.parallel = parallel  # type: ignore[attr-defined]
    return launch
