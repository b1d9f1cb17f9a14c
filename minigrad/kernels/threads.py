"""The number of threads of the kernels, and of NumPy's matrix products.

Both use one by default. Layers of a small network gain little from a second thread, and lose much if another program
uses that core, because the first thread waits for the second at the end of every loop.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numba
from numba.core import config
from threadpoolctl import threadpool_limits

__all__ = ["get_num_threads", "most_threads", "num_threads", "set_num_threads"]


def _from_environment() -> int:
    """The number that the user set for Numba or for all libraries, in environment variables; otherwise 1."""
    for name in ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS"):
        first = os.environ.get(name, "").partition(",")[0].strip()
        if first.isdecimal() and int(first) > 0:
            return int(first)
    return 1


number = _from_environment()

_BLAS = ("OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "OMP_NUM_THREADS")

if not any(os.environ.get(name) for name in _BLAS):
    threadpool_limits(1, user_api="blas")


def set_num_threads(n: int) -> None:
    """Let large kernels use up to `n` threads, but not more than there are cores. The default is 1.

    A kernel with little work still runs on one thread. The results have the same bits for every `n`.

    Args:
        n: at least 1.

    Raises:
        ValueError, TypeError: `n` is not an integer of at least 1.

    Differences from PyTorch: its default is all cores. This function does not change NumPy's matrix products: `import
    minigrad` sets them to one thread, because their last digits depend on the number of threads. For large matrices,
    set the variable `OPENBLAS_NUM_THREADS`, or call `threadpoolctl.threadpool_limits(4, user_api="blas")` after the
    import. The variables `NUMBA_NUM_THREADS` and `OMP_NUM_THREADS` set the default.

    Example:
        >>> import minigrad as mg
        >>> before = mg.get_num_threads()
        >>> mg.set_num_threads(4)
        >>> mg.get_num_threads()
        4
        >>> mg.set_num_threads(before)
    """
    global number
    if isinstance(n, bool) or not hasattr(n, "__index__"):
        raise TypeError(f"set_num_threads: n must be an int, got {n!r}")
    if n.__index__() < 1:
        raise ValueError(f"set_num_threads: n must be at least 1, got {n}")
    number = n.__index__()


def get_num_threads() -> int:
    """The largest number of threads of a kernel: 1, or the number set by `set_num_threads` or the environment."""
    return number


def most_threads() -> int:
    """The number of threads that Numba can start: by default one for each core."""
    return config.NUMBA_NUM_THREADS  # pyright: ignore[reportAttributeAccessIssue]


@contextmanager
def num_threads(n: int) -> Iterator[None]:
    """Inside it: up to `n` threads for the kernels, and one for BLAS, whatever the environment says."""
    before = number
    set_num_threads(n)
    try:
        with threadpool_limits(1, user_api="blas"):
            yield
    finally:
        set_num_threads(before)


def launch(parallel: Callable[..., Any], *args: Any) -> Any:
    """Run a parallel kernel on `number` threads; the user's own Numba functions keep their number.

    Plain calls, because a context manager costs 3 µs, a fifth of layer norm of 64×768 (see tools/bench.py).
    """
    before, wanted = numba.get_num_threads(), min(number, most_threads())
    if before == wanted:
        return parallel(*args)
    numba.set_num_threads(wanted)
    try:
        return parallel(*args)
    finally:
        numba.set_num_threads(before)
