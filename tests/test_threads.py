"""The number of threads: one by default, what was asked for after that, and the same bits for every number."""

import os
import subprocess
import sys

import numba
import numpy as np
import pytest

import minigrad as mg
from minigrad.kernels import jit, threads

VARIABLES = ("NUMBA", "OMP", "OPENBLAS", "GOTO", "MKL", "BLIS")


def python(code: str, **environment: str) -> str:
    """What a fresh process prints in which no variable speaks of threads, but those that are given."""
    inherited = {k: v for k, v in os.environ.items() if k not in [f"{name}_NUM_THREADS" for name in VARIABLES]}
    root = os.path.dirname(os.path.dirname(mg.__file__))
    result = subprocess.run(
        [sys.executable, "-c", code],
        env={**inherited, "PYTHONPATH": root, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


BOTH = """
import minigrad as mg, threadpoolctl
print(mg.get_num_threads(), max(pool["num_threads"] for pool in threadpoolctl.threadpool_info()
                                if pool["user_api"] == "blas"))
"""


@pytest.mark.parametrize(
    ("environment", "found"),
    [
        ({}, "1 1"),
        ({"NUMBA_NUM_THREADS": "2"}, "2 1"),
        ({"OPENBLAS_NUM_THREADS": "2", "MKL_NUM_THREADS": "2", "BLIS_NUM_THREADS": "2"}, "1 2"),
        ({"OMP_NUM_THREADS": "2"}, "2 2"),
        ({"OMP_NUM_THREADS": "2,1", "OPENBLAS_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}, "1 1"),
        ({"OMP_NUM_THREADS": "nonsense", "OPENBLAS_NUM_THREADS": "1"}, "1 1"),
    ],
)
def test_one_thread_unless_the_environment_asks_for_more(environment, found):
    if "2" in found.split()[1] and (os.cpu_count() or 1) < 2:
        pytest.skip("BLAS starts no second thread on one core")
    assert python(BOTH, **environment) == found


def test_set_and_get():
    with threads.num_threads(1):
        for n in (2, np.int64(5), 1):
            mg.set_num_threads(n)
            assert mg.get_num_threads() == n and type(mg.get_num_threads()) is int


@pytest.mark.parametrize(
    ("n", "error", "message"),
    [
        (0, ValueError, "set_num_threads: n must be at least 1, got 0"),
        (-3, ValueError, "set_num_threads: n must be at least 1, got -3"),
        (1.5, TypeError, "set_num_threads: n must be an int, got 1.5"),
        ("2", TypeError, "set_num_threads: n must be an int, got '2'"),
        (True, TypeError, "set_num_threads: n must be an int, got True"),
    ],
)
def test_what_is_no_number_of_threads(n, error, message):
    before = mg.get_num_threads()
    with pytest.raises(error, match=message):
        mg.set_num_threads(n)
    assert mg.get_num_threads() == before


@jit.kernel
def who(out):
    """Which of Numba's threads does each element, and how many threads there are."""
    for i in jit.prange(out.size):
        out[i] = numba.get_num_threads()


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="without Numba there is one thread")
def test_large_kernels_use_the_threads_that_were_asked_for():
    seen = np.empty(100)
    for n in (1, 2, threads.most_threads(), 1000):
        with threads.num_threads(n):
            before = numba.get_num_threads()
            who(jit.PARALLEL_FROM, seen)
            assert numba.get_num_threads() == before  # the user's own Numba functions go on as they did
            if n > 1:
                assert set(seen) == {min(n, threads.most_threads())}
    assert who.parallel.signatures


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="without Numba there is one thread")
def test_by_default_nothing_is_compiled_for_several_threads():
    code = """
import minigrad as mg, numpy as np
from minigrad.kernels import activation, norm, jit
x = mg.ones(600, 300, requires_grad=True)
assert x.array.size > jit.PARALLEL_FROM
mg.nn.functional.batch_norm(mg.relu(x), training=True).sum().backward()
print(sum(len(k.parallel.signatures) for m in (activation, norm) for k in vars(m).values() if hasattr(k, "parallel")))
"""
    assert python(code) == "0"
    assert int(python(code.replace("x =", "mg.set_num_threads(2); x =", 1))) > 0
