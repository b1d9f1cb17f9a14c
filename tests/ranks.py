"""Several ranks in one process: threads that exchange values as MPI's processes do. For tests that need no MPI."""

import threading
from collections.abc import Callable
from typing import Any

import numpy as np


class ThreadGroup:
    """What minigrad uses of a communicator."""

    def __init__(self, rank: int, size: int, barrier: threading.Barrier, slots: list[Any]):
        self.rank, self.size = rank, size
        self._barrier, self._slots = barrier, slots
        self.exchanges = 0

    def allgather(self, value: Any) -> list[Any]:
        """Every rank's value, in the order of the ranks; waits for all of them, but not for ever."""
        self._slots[self.rank] = value
        self._barrier.wait(timeout=120)
        values = list(self._slots)
        self._barrier.wait(timeout=120)
        self.exchanges += 1
        return values

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        raise TypeError("a communicator cannot be copied")


class IdleRank:
    """Rank 0 of two, of which the other has an empty share: the exchanges of several processes, in one thread."""

    rank, size = 0, 2

    def allgather(self, value: Any) -> list[Any]:
        """What rank 0 brings, and what a rank with nothing would."""
        if isinstance(value, np.ndarray):
            return [value, np.zeros_like(value)]
        first, second, last = value
        if isinstance(first, int):  # count, means, squared deviations
            return [value, (0, np.zeros_like(second), np.zeros_like(last))]
        return [value, (first, second, 0)]  # an error or None, facts, count


def run_ranks(size: int, program: Callable[[ThreadGroup], Any]) -> list[Any]:
    """Run `program(group)` on each rank, and return what each returned, an exception as well."""
    barrier, slots = threading.Barrier(size), [None] * size
    results: list[Any] = [None] * size

    def run(rank: int) -> None:
        try:
            results[rank] = program(ThreadGroup(rank, size, barrier, slots))
        except Exception as error:
            results[rank] = error
            barrier.abort()  # the others need not wait any longer

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def all_well(results: list[Any]) -> list[Any]:
    """The results, unless one is an exception, which is raised."""
    for result in results:
        if isinstance(result, Exception) and not isinstance(result, threading.BrokenBarrierError):
            raise result
    assert not any(isinstance(result, Exception) for result in results), results
    return results
