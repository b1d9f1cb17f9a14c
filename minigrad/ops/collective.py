"""Ops across processes, over MPI: the same program runs as several processes ("ranks"), each on its share of the data.

A *collective* is an exchange in which every rank of a group takes part; if one rank stays away, all others wait. So
all ranks must make the same calls, forward and backward, in the same order; a rank with no data as well.

A group is an mpi4py communicator. Only its `size`, `rank` and `allgather` are used, so a test can pass a simple
object.
"""

import os
import sys
from collections.abc import Callable
from typing import Any

from minigrad.autograd import Function
from minigrad.extras import require

# How many processes `mpiexec` started: Open MPI, MPICH and Intel MPI, MVAPICH.
_SIZES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE")


def world() -> Any:
    """All processes that `mpiexec` started, as a communicator; None if this process runs alone.

    MPI is not started unless `mpiexec` started this process: starting it takes time, and a broken installation would
    end the program.

    Raises:
        ImportError: there are several processes, and mpi4py is not installed.
    """
    sizes = [os.environ[name] for name in _SIZES if name in os.environ]
    if sizes:
        several = any(size.isdigit() and int(size) > 1 for size in sizes)
    else:
        several = "PMIX_RANK" in os.environ  # perhaps started by another launcher, such as srun
    if not several and "mpi4py.MPI" not in sys.modules:
        return None
    return require("mpi4py.MPI", extra="mpi", what="a group of several processes", package="mpi4py").COMM_WORLD


class AllReduce(Function):
    """s = Σ x_r over all ranks r, on each of them:  ∂L/∂x_q = Σ ∂L_r/∂s, for L = Σ L_r: the same exchange again.

    The sum is taken in the order of the ranks, so that all have the same bits, in every run.
    """

    def __init__(self, group: Any):
        self.group = group

    def forward(self, x: Any) -> Any:
        parts = self.group.allgather(x)
        if any(part.shape != x.shape for part in parts):
            raise ValueError(f"AllReduce: the ranks brought different shapes: {[part.shape for part in parts]}")
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        return total

    def backward(self, g: Any) -> Any:
        return AllReduce(self.group)(g)


def all_reduce(x: Any, group: Any = None) -> Any:
    """The sum of x over all ranks; every rank gets it, and gradients of every order flow through it.

    Each rank computes its own loss, and its gradients are those of the sum of all losses.

    Args:
        x: of the same shape on every rank.
        group: an mpi4py communicator; default: all processes. With a single process, the sum is x.

    Example:
        >>> import minigrad as mg
        >>> all_reduce(mg.tensor([1.0, 2.0])).tolist()  # of one process
        [1.0, 2.0]
    """
    group = world() if group is None else group
    return x if group is None or group.size == 1 else AllReduce(group)(x)


def agree(op: str, group: Any, facts: dict[str, Any], count: int, check: Callable[[], Any]) -> int:
    """Exchange facts before a collective. Returns the sum of all ranks' counts; if the ranks disagree, it raises an
    error on every rank, so that none waits forever.

    Args:
        op: the name of the caller, for messages.
        group: the communicator.
        facts: the values that must be the same on all ranks, by name.
        count: this rank's part of the sum.
        check: raises if something is wrong on this rank.
    """
    problem: Exception | None = None
    try:
        check()
    except (TypeError, ValueError) as error:
        problem = error
    notes = group.allgather((None if problem is None else str(problem), facts, count))
    if problem is not None:
        raise problem
    for rank, (trouble, others, _) in enumerate(notes):
        if trouble is not None:
            raise RuntimeError(f"{op}: rank {rank} stopped: {trouble}")
        for name, value in facts.items():
            if others[name] != value:
                raise RuntimeError(
                    f"{op}: {name} is {others[name]} on rank {rank}, and {value} on rank {group.rank}; all ranks must "
                    "make the same calls, or they would wait for each other for ever"
                )
    return sum(amount for _, _, amount in notes)
