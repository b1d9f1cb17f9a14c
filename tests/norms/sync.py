"""Batch normalization over several processes, one of which has nothing: what one process can see of it.

That shares add up to the whole batch is checked in `tests/test_sync_batch_norm.py`.
"""

import numpy as np

from minigrad.nn import functional as F
from minigrad.ops.norm import sync
from tests.norms.classic import batch
from tests.norms.harness import Method, Sabotage
from tests.parity.case import normal
from tests.ranks import IdleRank
from tests.sabotage import attribute, gradient


def synchronized(x, gamma=None, beta=None, eps=0.1):
    return F.sync_batch_norm(x, None, None, gamma, beta, True, eps=eps, process_group=IdleRank())


METHODS = [
    Method(
        name="sync_batch_norm",
        function=synchronized,
        oracle=batch,
        inputs=(normal(5, 3), normal(3), normal(3)),
        shapes=[
            (synchronized, batch, (normal(3, 2, 4), normal(2), normal(2))),
            (synchronized, batch, (normal(2, 3, 2, 2), normal(3), normal(3))),
        ],
        extreme=lambda x, eps=1e-5: synchronized(x, eps=eps),
        extreme_inputs=normal(4, 3, 6),
    )
]


def without(place):
    """The backward pass forgets one of its two exchanged sums."""

    def apply(original):
        def all_reduce(x, group):
            total = original(x, group)
            if x.shape[0] == 2:
                total = np.array(total)
                total[place] = 0
            return total

        return all_reduce

    return attribute("minigrad.ops.norm.sync.all_reduce", apply)


SABOTAGE = [
    Sabotage("sync_batch_norm", "the mean's gradient is lost", without(1), "first derivative"),
    Sabotage("sync_batch_norm", "the deviation's gradient is lost", without(0), "first derivative"),
    Sabotage(
        "sync_batch_norm",
        "an exchange sends back a little more than it got",
        gradient("AllReduce", 0, lambda g: g * 1.001),
        "second derivative",
    ),
    Sabotage(
        "sync_batch_norm",
        "variances that float32 cannot hold are left out",
        lambda patch: patch.setattr(sync.Moments, "add", lambda self, x, axes: None),
        "extremes",
    ),
]
