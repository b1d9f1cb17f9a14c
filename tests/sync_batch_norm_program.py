"""What each rank does in the tests of SyncBatchNorm: its share of a batch, against batch norm of the whole batch.

`mpiexec -n 2 python -m mpi4py -m tests.sync_batch_norm_program` runs every check under MPI and prints their names;
`tests/test_sync_batch_norm.py` does that, and also runs them on threads where there is no MPI.
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import nn
from minigrad.nn.utils import recompute_statistics
from minigrad.ops.collective import all_reduce

F = mg.nn.functional
TIGHT = {"rtol": 1e-12, "atol": 1e-12}


def random(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


def shares(size: int, empty: bool) -> list[int]:
    """How many samples each rank has: uneven, and on request none for rank 0."""
    counts = [3 + 2 * rank for rank in range(size)]
    if empty:
        counts[0] = 0
    return counts


class Share:
    """A rank's part of arrays along the batch axis."""

    def __init__(self, group: Any, empty: bool = False):
        self.counts = shares(group.size, empty)
        start = sum(self.counts[: group.rank])
        self.part = slice(start, start + self.counts[group.rank])
        self.total = sum(self.counts)

    def of(self, array: Any) -> Any:
        return np.ascontiguousarray(array[self.part])


def variable(array: Any) -> mg.Tensor:
    return mg.Tensor(np.array(array), requires_grad=True)


def derivatives(function: Callable[..., Any], x: Any, gamma: Any, beta: Any, v: Any, u: Any, w: Any) -> list[Any]:
    """y; the gradients of ⟨y, v⟩; those of ⟨first gradients, u⟩, and those of ⟨second gradients, w⟩."""
    inputs = [variable(x), variable(gamma), variable(beta)]
    y, v = function(*inputs), variable(v)
    first = mg.grad(y, inputs, v, create_graph=True)
    wanted = [*inputs, v]
    second = mg.grad(first, wanted, [mg.tensor(a) for a in u], create_graph=True, allow_unused=True)
    reached = [(g, mg.tensor(a)) for g, a in zip(second, w, strict=True) if g is not None and g.requires_grad]
    third = mg.grad([g for g, _ in reached], wanted, [a for _, a in reached], allow_unused=True)
    return [y, *first, *second, *third]


def same_as_the_whole_batch(
    group: Any, shape: tuple[int, ...], empty: bool, composed: bool = False, gamma_zero: bool = False
) -> None:
    """Output and derivatives up to the third order, running averages after two steps."""
    share = Share(group, empty)
    shape = (share.total, *shape)
    x, v, channels = 5 + 2 * random(*shape), random(*shape, seed=1), shape[1]
    gamma, beta = random(channels, seed=2) * (not gamma_zero), random(channels, seed=3)
    u = random(*shape, seed=4), random(channels, seed=5), random(channels, seed=6)
    w = random(*shape, seed=7), random(channels, seed=8), random(channels, seed=9), random(*shape, seed=10)
    averages = [[np.zeros(channels), np.ones(channels)] for _ in range(2)]

    def whole(x: Any, gamma: Any, beta: Any) -> Any:
        return F.batch_norm(x, *map(mg.Tensor, averages[0]), gamma, beta, True, 0.3, 0.1)

    def part(x: Any, gamma: Any, beta: Any) -> Any:
        return F.sync_batch_norm(x, *map(mg.Tensor, averages[1]), gamma, beta, True, 0.3, 0.1, group)

    of = share.of
    for _ in range(2):
        expected = derivatives(whole, x, gamma, beta, v, u, w)
        arguments = of(x), gamma, beta, of(v), (of(u[0]), *u[1:]), (of(w[0]), *w[1:3], of(w[3]))
        if composed:
            with mg.composed():
                found = derivatives(part, *arguments)
        else:
            found = derivatives(part, *arguments)
        for a, b in zip(found, expected, strict=True):
            assert (a is None) == (b is None)
            if a is None:
                continue
            assert a.shape == (of(b.detach().numpy()).shape if b.shape == shape else b.shape)
            # Of γ and β each rank has its share of the gradient; all of them together are the whole.
            a = a.detach() if b.shape == shape else all_reduce(a.detach(), group)
            b = of(b.detach().numpy()) if b.shape == shape else b.detach().numpy()
            np.testing.assert_allclose(a.numpy(), b, **TIGHT)
        for a, b in zip(*averages, strict=True):
            np.testing.assert_allclose(b, a, **TIGHT)
    assert (averages[0][0] > 1).all()  # (they share memory with the tensors, and have moved)
    # To the last bit the same on all ranks, whatever share they had.
    assert len({values.tobytes() for values in group.allgather(averages[1][1])}) == 1


def training_a_network(group: Any) -> None:
    """Some steps with an optimizer: converted layers, uneven shares, each step another one."""

    def network() -> nn.Module:
        model = nn.Sequential(
            nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 4), nn.BatchNorm1d(4)
        ).double()
        for seed, p in enumerate(model.parameters()):  # (the framework's random numbers are shared by all threads)
            p.detach().copy_(random(*p.shape, seed=seed))
        return model

    alone, together = network(), nn.SyncBatchNorm.convert_sync_batchnorm(network(), group)
    optimizers = [mg.optim.SGD(model.parameters(), lr=0.1, momentum=0.9) for model in (alone, together)]
    for step in range(3):
        share = Share(group, empty=step == 1)
        x, target = random(share.total, 1, 4, 4, seed=step), random(share.total, 4, seed=step)
        for optimizer, model, part in ((optimizers[0], alone, slice(None)), (optimizers[1], together, share.part)):
            optimizer.zero_grad()
            error = model(mg.tensor(x[part])) - mg.tensor(target[part])
            ((error * error).sum() / share.total).backward()
            if model is together:
                for p in model.parameters():
                    p.grad = all_reduce(p.grad, group)
            optimizer.step()
    for (name, a), b in zip(alone.state_dict().items(), together.state_dict().values(), strict=True):
        np.testing.assert_allclose(b.numpy(), a.numpy(), err_msg=name, **TIGHT)
    assert together[1].num_batches_tracked.item() == 3
    x = mg.tensor(random(5, 1, 4, 4))
    np.testing.assert_allclose(together.eval()(x).detach().numpy(), alone.eval()(x).detach().numpy(), **TIGHT)


def cumulative_averages(group: Any) -> None:
    """momentum=None, and a batch that is empty on all ranks, which counts nowhere."""
    alone, together = nn.BatchNorm1d(2, momentum=None).double(), nn.SyncBatchNorm(2, momentum=None).double()
    together.process_group = group
    share = Share(group)
    for seed in range(3):
        x = random(share.total, 2, 3, seed=seed)
        alone(mg.tensor(x))
        together(mg.tensor(share.of(x)))
        assert together(mg.zeros(0, 2, 3, dtype=mg.float64)).shape == (0, 2, 3)
    for a, b in zip(alone.buffers(), together.buffers(), strict=True):
        np.testing.assert_allclose(b.numpy(), a.numpy(), **TIGHT)


def population_statistics(group: Any) -> None:
    """Those of the whole set, on every rank, though each sees only its share of every batch."""
    batches = [3 + random(n, 2, seed=n) for n in (7, 2, 1, 5)]  # of 2 there is one here and one there, or nothing
    shares = [mg.tensor(np.ascontiguousarray(x[group.rank :: group.size])) for x in batches]
    for layer_by_layer in (False, True):
        models = []
        for norm in (nn.BatchNorm1d, nn.SyncBatchNorm):
            model = nn.Sequential(norm(2), nn.Linear(2, 3), nn.ReLU(), norm(3)).double()
            model[1].weight.detach().copy_(random(3, 2))
            model[1].bias.detach().copy_(random(3))
            models.append(model)
        alone, together = models
        together[0].process_group = together[3].process_group = group
        recompute_statistics(alone, [mg.tensor(x) for x in batches], layer_by_layer=layer_by_layer)
        recompute_statistics(together, shares, layer_by_layer=layer_by_layer)
        for a, b in zip(alone.buffers(), together.buffers(), strict=True):
            np.testing.assert_allclose(b.numpy(), a.numpy(), **TIGHT)
        np.testing.assert_allclose(alone[0].running_var.numpy(), np.concatenate(batches).var(0, ddof=1), **TIGHT)


def far_from_zero(group: Any) -> None:
    """float32 at 10⁶ ± 1, at 10⁻²⁰ and at 10³⁰, where squares leave its range; a constant channel; a NaN."""
    share = Share(group)
    for scale, shift in ((1, 1e6), (1e-20, 0), (1e30, 0)):
        x = (shift + scale * random(share.total, 2, 5)).astype(np.float32)
        exact = x.astype(np.float64)
        eps = 1e-5 * scale**2
        exact = (exact - exact.mean((0, 2), keepdims=True)) / np.sqrt(exact.var((0, 2), keepdims=True) + eps)
        y = F.sync_batch_norm(mg.tensor(share.of(x)), training=True, eps=eps, process_group=group)
        np.testing.assert_allclose(y.numpy(), share.of(exact), atol=2e-6)
    x = random(share.total, 3)
    x[:, 0], x[-1, 1] = 0.1, np.nan
    y = F.sync_batch_norm(mg.tensor(share.of(x)), training=True, process_group=group).numpy()
    assert (y[:, 0] == 0).all()
    assert np.isnan(y[:, 1]).all()
    assert np.isfinite(y[:, 2]).all()


def some_ranks_want_more(group: Any) -> None:
    """The picture's gradient is wanted on rank 0 only: the exchange is the same, and nobody waits."""
    share = Share(group)
    x, v = random(share.total, 2, 3), random(share.total, 2, 3, seed=1)
    gamma = random(2)
    whole, weight = variable(x), variable(gamma)
    F.batch_norm(whole, None, None, weight, None, True).backward(v)
    part, own = mg.Tensor(share.of(x), requires_grad=group.rank == 0), variable(gamma)
    F.sync_batch_norm(part, None, None, own, None, True, process_group=group).backward(share.of(v))
    if group.rank == 0:
        np.testing.assert_allclose(part.grad.numpy(), share.of(whole.grad.numpy()), **TIGHT)
    np.testing.assert_allclose(all_reduce(own.grad, group).numpy(), weight.grad.numpy(), **TIGHT)


def faults_are_told_to_all(group: Any) -> None:
    """What is wrong on one rank stops all of them."""

    def message(function: Callable[[], Any]) -> str:
        try:
            function()
        except (RuntimeError, ValueError, TypeError) as error:
            return f"{type(error).__name__}: {error}"
        raise AssertionError("there was no error")

    def call(x: Any, **options: Any) -> Any:
        return F.sync_batch_norm(x, training=True, process_group=group, **options)

    first = group.rank == 0
    text = message(lambda: call(mg.zeros(3, 2 if first else 4)))
    assert "the number of channels is" in text, text
    text = message(lambda: call(mg.zeros(3, 2, dtype=mg.float32 if first else mg.float64)))
    assert "the dtype is" in text, text
    text = message(lambda: call(mg.zeros(3, 2, requires_grad=first)))
    assert "the recording of a graph is" in text, text
    layer = nn.SyncBatchNorm(2, process_group=group)
    text = message(lambda: layer(mg.zeros(3, 5 if first else 2)))
    assert ("num_features=2" in text) and (first or "rank 0 stopped" in text), text
    text = message(lambda: call(mg.zeros(1 if first else 0, 2)))
    assert "all" in text and "together have one" in text, text


def sums_over_ranks(group: Any) -> None:
    """`all_reduce` and its derivatives: of L = Σ_r ⟨v_r, (Σ x)²⟩."""
    x, v = variable(random(3, seed=group.rank)), random(3, seed=10 + group.rank)
    total = all_reduce(x, group)
    everything = sum(random(3, seed=rank) for rank in range(group.size))
    np.testing.assert_allclose(total.detach().numpy(), everything, **TIGHT)
    (g,) = mg.grad(total * total, x, v, create_graph=True)
    weights = sum(random(3, seed=10 + rank) for rank in range(group.size))
    np.testing.assert_allclose(g.detach().numpy(), 2 * everything * weights, **TIGHT)
    (h,) = mg.grad(g, x, np.ones(3))
    np.testing.assert_allclose(h.numpy(), 2 * group.size * weights, **TIGHT)


CHECKS: dict[str, Callable[[Any], None]] = {
    "(N, C)": lambda group: same_as_the_whole_batch(group, (3,), empty=False),
    "(N, C, L)": lambda group: same_as_the_whole_batch(group, (3, 4), empty=False),
    "(N, C, H, W), nothing on rank 0": lambda group: same_as_the_whole_batch(group, (2, 3, 2), empty=True),
    "(N, C), nothing on rank 0": lambda group: same_as_the_whole_batch(group, (3,), empty=True),
    "composed": lambda group: same_as_the_whole_batch(group, (3, 2), empty=False, composed=True),
    "composed, nothing on rank 0": lambda group: same_as_the_whole_batch(group, (3, 2), empty=True, composed=True),
    "gamma is 0": lambda group: same_as_the_whole_batch(group, (3,), empty=False, gamma_zero=True),
    "training a network": training_a_network,
    "cumulative averages": cumulative_averages,
    "population statistics": population_statistics,
    "far from zero": far_from_zero,
    "some ranks want more": some_ranks_want_more,
    "faults are told to all": faults_are_told_to_all,
    "sums over ranks": sums_over_ranks,
}


class Patient:
    """A communicator that sleeps while it waits for the other ranks.

    MPI waits by asking again and again, which on a machine with fewer free cores than ranks keeps those that are
    waited for from running.
    """

    def __init__(self, group: Any):
        self.group, self.rank, self.size = group, group.rank, group.size

    def allgather(self, value: Any) -> list[Any]:
        """Every rank's value, in the order of the ranks."""
        arrived = self.group.Ibarrier()
        while not arrived.Test():
            time.sleep(1e-4)
        return self.group.allgather(value)


def by_default(group: Any) -> None:
    """Without a process group, all processes that mpiexec started are meant."""
    share = Share(group)
    x = random(share.total, 2)
    expected = F.batch_norm(mg.tensor(x), training=True).numpy()
    found = nn.SyncBatchNorm(2, dtype=np.float64)(mg.tensor(share.of(x)))
    np.testing.assert_allclose(found.detach().numpy(), share.of(expected), **TIGHT)


def main() -> None:
    from mpi4py import MPI

    group = MPI.COMM_WORLD
    for name, check in {**CHECKS, "by default": by_default}.items():
        check(Patient(group))
        group.Barrier()
        if group.rank == 0:
            print(f"{name}: passed on {group.size} ranks", flush=True)


if __name__ == "__main__":
    main()
