"""One run: train one network from one seed, and write down what happened.

A run is decided by its settings and its seed, so it can be stopped and continued: at the end of each epoch,
all that the rest depends on goes to a checkpoint (weights, running statistics, the states of the optimizer, the
loader and the random generator, and the record so far). A run that is continued from there ends with the very
same bits as one that was never stopped; only the timings differ. The checkpoint also holds what these bits depend
on (`identity`), and a checkpoint of anything else is not continued.
"""

import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import nn
from minigrad.data import DataLoader, Splits, TensorDataset
from minigrad.lab import models
from minigrad.lab.identity import identity
from minigrad.lab.recipe import OPTIMIZERS, Recipe
from minigrad.nn import functional as F

PREPARED_ON = 256
"""The number of training samples from which a method may initialize itself."""


class CheckpointError(ValueError):
    """A checkpoint that cannot be continued: it is damaged, or other settings, data or versions wrote it."""


Watcher = Callable[[dict[str, Any], int, float], None]
"""Called as `watch(record, step, loss)` after each step."""


def train(
    recipe: Recipe, norm: str, seed: int, data: Splits, checkpoint: Path | None = None, watch: Watcher | None = None
) -> dict[str, Any]:
    """Train one network and return the record of the run, plain data that JSON can hold.

    Args:
        recipe: the network and how to train it.
        norm: a key of `models.NORMS`.
        seed: decides the initial weights and the order of the batches; both are the same for every norm.
        data: training and test samples.
        checkpoint: a file to continue from if it exists, and to write at the end of each epoch. The checkpoint of
            another norm or seed is replaced.
        watch: is called after each step.

    Returns:
        `status` is "finished", "diverged" (with `diverged_at`, the number of the step whose loss was no
        longer finite) or "does not apply" (with `why`). `epochs` holds the mean training loss and the test
        loss and accuracy after each epoch; `step_losses` the loss of every step; `gradient_norms`, for the
        first step of each epoch, the norm of every layer's weight gradient, from input to output. `chance` is the
        share of the most frequent class in the test set: the accuracy of a network that always answers this class.

    Raises:
        CheckpointError: the checkpoint of this norm and seed is damaged, or was written with other settings, data
            or versions. Without the file, the run begins anew.
    """
    record: dict[str, Any] = {"norm": norm, "seed": seed, "status": "running"}
    mg.manual_seed(seed)
    try:
        network = models.build(
            recipe.model, norm, data.input_shape, data.num_classes, recipe.depth, recipe.width, recipe.activation
        )
    except models.DoesNotApply as error:
        return record | {"status": "does not apply", "why": str(error)}
    optimizer = OPTIMIZERS[recipe.optimizer](network.parameters(), recipe.lr)
    # Full batches only: a last one of a single sample would leave a batch norm without a variance.
    loader = DataLoader(data.train, recipe.batch_size, shuffle=True, drop_last=True, seed=seed)
    method = models.NORMS[norm]
    if method.prepare is not None:
        method.prepare(network, data.train[:PREPARED_ON][0])
    layers = models.weight_layers(network)
    record |= {
        "test_samples": len(data.test),
        "chance": int(np.bincount(data.test.tensors[1].numpy()).max()) / len(data.test),
        "parameters": sum(p.numel() for p in network.parameters()),
        "layers": list(layers),
        "step_losses": [],
        "gradient_norms": [],
        "epochs": [],
        "timing": {"us_per_step": []},
    }
    steps_per_epoch = len(loader)
    about = {} if checkpoint is None else identity(recipe, norm, seed, data)
    if checkpoint is not None and checkpoint.exists():
        record = _restore(
            checkpoint, record, about, steps_per_epoch, network=network, optimizer=optimizer, loader=loader
        )

    with np.errstate(all="ignore"):  # a run that overflows is a result, not a warning
        for epoch in range(len(record["epochs"]), recipe.epochs):
            times: list[float] = []
            network.train()
            for step, (x, y) in enumerate(loader):
                begin = time.perf_counter()
                optimizer.zero_grad()
                try:
                    scores = network(x)
                except ValueError as error:
                    if record["step_losses"]:
                        raise
                    # such as batch norm with batches of one, or instance norm where a map has shrunk to a pixel
                    return record | {"status": "does not apply", "why": str(error)}
                loss = F.cross_entropy(scores, y)
                loss.backward()
                value = loss.item()
                if not np.isfinite(value):
                    return record | {"status": "diverged", "diverged_at": epoch * steps_per_epoch + step + 1}
                if step == 0:
                    middle = time.perf_counter()
                    record["gradient_norms"].append([_gradient_norm(layer) for layer in layers.values()])
                    begin += time.perf_counter() - middle  # watching is not part of the work
                if method.clip is not None:
                    method.clip(network)
                optimizer.step()
                times.append(time.perf_counter() - begin)
                record["step_losses"].append(value)
                if watch is not None:
                    watch(record, epoch * steps_per_epoch + step + 1, value)
            if method.before_evaluation is not None:
                method.before_evaluation(network, DataLoader(data.train, recipe.batch_size))
            test_loss, test_accuracy = evaluate(network, data.test)
            if test_loss is None:
                return record | {"status": "diverged", "diverged_at": (epoch + 1) * steps_per_epoch}
            record["epochs"].append(
                {
                    "train_loss": statistics.fmean(record["step_losses"][-steps_per_epoch:]),
                    "test_loss": test_loss,
                    "test_accuracy": test_accuracy,
                }
            )
            record["timing"]["us_per_step"].append(1e6 * statistics.median(times))
            if checkpoint is not None:
                _save(checkpoint, record, about, network=network, optimizer=optimizer, loader=loader)
    return record | {"status": "finished"}


@mg.no_grad()
def evaluate(network: nn.Module, samples: TensorDataset) -> tuple[float | None, float]:
    """Mean cross entropy (None if it is not finite) and accuracy, in evaluation mode."""
    network.eval()
    loss, correct = 0.0, 0
    for x, y in DataLoader(samples, batch_size=512):
        scores = network(x)
        loss += F.cross_entropy(scores, y, reduction="sum").item()
        correct += int((scores.numpy().argmax(axis=1) == y.numpy()).sum())
    return finite(loss / len(samples)), correct / len(samples)


def finite(value: float) -> float | None:
    """The number, or None in place of NaN and infinity, which JSON does not know."""
    return float(value) if np.isfinite(value) else None


def _gradient_norm(layer: Any) -> float | None:
    gradients = [w.grad.numpy() for w in models.trained_weights(layer) if w.grad is not None]
    return finite(float(np.sqrt(sum((g.astype(np.float64) ** 2).sum() for g in gradients)))) if gradients else None


def _save(checkpoint: Path, record: dict[str, Any], about: dict[str, str], **parts: Any) -> None:
    states = {name: part.state_dict() for name, part in parts.items()}
    content = {"identity": about, "record": json.dumps(record), "random": mg.get_rng_state(), **states}
    mg.save(content, checkpoint)


def _restore(
    checkpoint: Path, fresh: dict[str, Any], about: dict[str, str], steps_per_epoch: int, **parts: Any
) -> dict[str, Any]:
    """Bring network, optimizer, loader and random numbers to where the checkpoint was written; its record."""
    begin = "Without this file, the run that it was for begins anew, and the runs that ended are kept"
    try:
        saved = mg.load(checkpoint)
        was = saved["identity"]
        if (was["norm"], was["seed"]) != (about["norm"], about["seed"]):
            return fresh  # the run that it was for has ended
        changed = [
            f"{name} was {was.get(name)!s:.80} and is {about[name]}" for name in about if was.get(name) != about[name]
        ]
    except Exception as error:  # whatever may go wrong in reading a file that somebody else may have written
        raise _damaged(checkpoint, error, begin) from error
    if changed:
        raise CheckpointError(f"{checkpoint} cannot be continued: {'; '.join(changed)}. {begin}")
    from minigrad.lab import records  # needs msgspec, which only those need who read a file

    try:
        record = records.unfinished(saved["record"], fresh, steps_per_epoch)
        for name, part in parts.items():
            part.load_state_dict(saved[name])
        if (parts["loader"].seed, parts["loader"].epoch) != (fresh["seed"], len(record["epochs"])):
            raise ValueError("the order of the batches is that of another epoch")
        mg.set_rng_state(saved["random"])
    except Exception as error:
        raise _damaged(checkpoint, error, begin) from error
    return record


def _damaged(checkpoint: Path, error: Exception, begin: str) -> CheckpointError:
    reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return CheckpointError(f"{checkpoint} is damaged, or another version wrote it ({reason:.300}). {begin}")
