"""Do the tests of population statistics, of folding and of SyncBatchNorm notice? See `test_sabotage`."""

from functools import partial
from typing import Any

import numpy as np
import pytest

from minigrad import nn
from minigrad.nn.utils import fusion, statistics
from minigrad.ops.norm import sync
from minigrad.ops.norm.moments import Moments
from tests import test_fold_batch_norm as folding
from tests import test_population as population
from tests.ranks import all_well, run_ranks
from tests.sabotage import Patch, gradient
from tests.sync_batch_norm_program import CHECKS
from tests.test_sabotage import Row


def on_two_ranks(name: str) -> None:
    all_well(run_ranks(2, CHECKS[name]))


def on_three_ranks(name: str) -> None:
    all_well(run_ranks(3, CHECKS[name]))


def method(cls: Any, name: str, wrong: Any) -> Any:
    """Replace a method, given the original."""
    return lambda patch: patch.setattr(cls, name, wrong(getattr(cls, name)))


def unweighted(original: Any) -> Any:
    """All parts count the same, whatever their size."""

    def merge(self: Any, count: int, mean: Any, squares: Any) -> None:
        parts = getattr(self, "parts", 0) + 1 if count else getattr(self, "parts", 0)
        before = self.mean
        original(self, count, mean, squares)
        if count:
            self.parts = parts
            self.mean = before + (mean - before) / parts

    return merge


def without_the_means(original: Any) -> Any:
    """Squared deviations are added, and how far the means of the parts are apart is forgotten."""

    def merge(self: Any, count: int, mean: Any, squares: Any) -> None:
        before = self.squares
        original(self, count, mean, squares)
        self.squares = before + squares

    return merge


def naive(original: Any) -> Any:
    """E[x²] − μ²."""

    def own(self: Any, x: Any, scratch: Any) -> Any:
        count, mean, squares = original(self, x, scratch)
        total = squares + count * mean * mean
        dtype = x.dtype.type
        return count, mean, (total.astype(dtype) - (count * mean * mean).astype(dtype)).astype(np.float64)

    return own


def biased(original: Any) -> Any:
    return lambda self, correction=0: original(self, 0)


def whole_batches_only(original: Any) -> Any:
    """Statistics of this rank's own share."""

    def own(self: Any, x: Any, scratch: Any) -> Any:
        count, mean, squares = original(self, x, scratch)
        return (count, mean, squares) if self.group.rank == 0 else (0, mean, squares)

    return own


def wrong_axis(original: Any) -> Any:
    """A transposed convolution's weight is scaled as if the groups' channels were side by side."""

    def fold(layer: Any, norm: Any) -> None:
        scale = norm.in_evaluation()[1]
        original(layer, norm)
        if isinstance(layer, nn.ConvTranspose2d):
            layer.weight.array[...] *= scale.mean() / scale[: layer.weight.shape[1]].reshape(1, -1, *(1,) * layer.n)

    return fold


def forgets(position: int, value: float) -> Any:
    """The norm's map in evaluation without one of its three numbers."""

    def wrong(original: Any) -> Any:
        def in_evaluation(self: Any) -> Any:
            result = list(original(self))
            result[position] = np.full_like(result[position], value)
            return tuple(result)

        return in_evaluation

    return wrong


def asleep(original: Any) -> Any:
    """Every layer normalizes as in evaluation while it collects."""

    def watch(layers: Any, see: Any) -> Any:
        def see_and_sleep(layer: Any, x: Any) -> None:
            see(layer, x)
            layer.training = False

        return original(layers, see_and_sleep)

    return watch


def train_always(original: Any) -> Any:
    """train() sets the flag of frozen layers, too."""

    def train(self: Any, mode: bool = True) -> Any:
        for module in self.modules():
            module.training = mode
        return self

    return train


deeper = population.test_deeper_norms_see_inputs_normalized_by_the_batches
exact = partial(population.test_the_first_norm_gets_the_exact_statistics_of_the_set, (10, 10, 3))
standardized = partial(population.test_layer_by_layer_evaluation_standardizes_the_whole_set, (10, 10, 3))
of_one_batch = partial(population.test_the_first_norm_gets_the_exact_statistics_of_the_set, (23,))
transposed = partial(folding.test_transposed_convolutions, 2, 2, True)
linear = partial(folding.test_linear, True)

ROWS = [
    # population statistics
    Row("a small batch counts like a large one", method(Moments, "merge", unweighted), exact, of_one_batch),
    Row(
        "batches' variances are averaged, as if their means were one",
        method(Moments, "merge", without_the_means),
        exact,
        of_one_batch,
    ),
    Row("the population's variance is biased", method(Moments, "variance", biased), exact),
    Row(
        "earlier norms use old averages in the one pass",
        lambda patch: patch.setattr(statistics, "_watch", asleep(statistics._watch)),
        deeper,
        exact,
    ),
    Row(
        "layer by layer is all at once",
        lambda patch: patch.setattr(
            statistics,
            "_go_layer_by_layer",
            lambda model, layers, loader, run: statistics._go_once(model, layers, loader, run, lambda: None),
        ),
        standardized,
    ),
    Row(
        "training goes on moving the averages during the pass",
        lambda patch: patch.setattr(
            statistics, "_go_once", lambda *args, go=statistics._go_once: go(*args[:-1], lambda: None)
        ),
        population.test_flags_counts_and_hooks_are_as_before,
    ),
    Row(
        "frozen layers wake up in train()",
        method(nn.Module, "train", train_always),
        population.test_frozen_statistics_are_used_and_stay_while_gamma_and_beta_learn,
    ),
    # folding
    Row("the running mean is not folded", method(nn.BatchNorm1d, "in_evaluation", forgets(0, 0.0)), linear),
    Row("γ / √(σ² + ε) is not folded", method(nn.BatchNorm1d, "in_evaluation", forgets(1, 1.0)), linear),
    Row("β is not folded", method(nn.BatchNorm1d, "in_evaluation", forgets(2, 0.0)), linear),
    Row(
        "a transposed convolution's groups are mixed up",
        lambda patch: patch.setattr(fusion, "_fold", wrong_axis(fusion._fold)),
        transposed,
        linear,
    ),
    # batch norm over several ranks
    Row(
        "a rank's share counts like any other",
        method(Moments, "merge", unweighted),
        partial(on_two_ranks, "(N, C)"),
    ),
    Row(
        "ranks' variances are averaged, as if their means were one",
        method(Moments, "merge", without_the_means),
        partial(on_two_ranks, "(N, C, L)"),
    ),
    Row(
        "only rank 0 brings statistics",
        method(sync.SyncBatchNorm, "own_moments", whole_batches_only),
        partial(on_three_ranks, "(N, C)"),
    ),
    Row(
        "E[x²] − μ²",
        method(sync.SyncBatchNorm, "own_moments", naive),
        partial(on_two_ranks, "far from zero"),
        partial(on_two_ranks, "training a network"),
    ),
    Row(
        "the backward pass stays on its rank",
        lambda patch: patch.setattr(sync, "all_reduce", lambda x, group: x),
        partial(on_two_ranks, "(N, C)"),
    ),
    Row(
        "an exchange's gradient stays on its rank",
        lambda patch: patch.setattr(sync.all_reduce.__globals__["AllReduce"], "backward", lambda self, g: g),
        partial(on_two_ranks, "composed"),
        partial(on_two_ranks, "training a network"),
    ),
    Row(
        "the second derivative's exchange is off",
        gradient("AllReduce", 0, lambda g: g * 1.001),
        partial(on_two_ranks, "(N, C)"),
        partial(on_two_ranks, "training a network"),
    ),
    Row(
        "the running variance is made unbiased by the rank's own count",
        lambda patch: patch.setattr(
            sync,
            "update_running",
            lambda op, mean, var, stats, n, momentum, update=sync.update_running: update(
                op, mean, var, stats, 3, momentum
            ),
        ),
        partial(on_two_ranks, "(N, C)"),
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.what)
def test_the_check_notices(row: Row, monkeypatch: Patch):
    row.finds()  # nothing is broken yet
    row.how(monkeypatch)
    with pytest.raises(AssertionError):
        row.finds()
    if row.blind is not None:
        row.blind()
