"""One run: train one network from one seed, and write down what happened.

A run is decided by its settings and its seed, so it can be stopped and continued: at the end of each epoch,
all that the rest depends on goes to a checkpoint (weights, running statistics, the states of the optimizer, the
loader and the random generator, and the record so far). A run that is continued from there ends with the very
same bits as one that was never stopped; only the timings differ.
"""

import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import nn, optim
from minigrad.data import DataLoader, Splits, TensorDataset
from minigrad.lab import models
from minigrad.nn import functional as F

OPTIMIZERS: dict[str, Callable[[Any, float], optim.Optimizer]] = {
    "sgd": lambda parameters, lr: optim.SGD(parameters, lr=lr),
    "momentum": lambda parameters, lr: optim.SGD(parameters, lr=lr, momentum=0.9),
    "adam": lambda parameters, lr: optim.Adam(parameters, lr=lr),
    "adamw": lambda parameters, lr: optim.AdamW(parameters, lr=lr),
    "rmsprop": lambda parameters, lr: optim.RMSprop(parameters, lr=lr),
    "adagrad": lambda parameters, lr: optim.Adagrad(parameters, lr=lr),
}


PREPARED_ON = 256
"""So many training samples does a method see that initializes itself from data."""


@dataclass(frozen=True)
class Recipe:
    """How a network is made and trained: everything but the norm and the seed."""

    model: str
    activation: str
    depth: int
    width: int
    optimizer: str
    lr: float
    batch_size: int
    epochs: int


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
        checkpoint: a file to continue from if it exists, and to write at the end of each epoch.
        watch: is told of each step.

    Returns:
        `status` is "finished", "diverged" (with `diverged_at`, the number of the step whose loss was no
        longer finite) or "does not apply" (with `why`). `epochs` holds the mean training loss and the test
        loss and accuracy after each epoch; `step_losses` the loss of every step; `gradient_norms`, for the
        first step of each epoch, the norm of every layer's weight gradient, from input to output.
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
        "parameters": sum(p.numel() for p in network.parameters()),
        "layers": list(layers),
        "step_losses": [],
        "gradient_norms": [],
        "epochs": [],
        "timing": {"us_per_step": []},
    }
    if checkpoint is not None and checkpoint.exists():
        record = _restore(checkpoint, record, network=network, optimizer=optimizer, loader=loader)

    steps_per_epoch = len(loader)
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
                _save(checkpoint, record, network=network, optimizer=optimizer, loader=loader)
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


def _save(checkpoint: Path, record: dict[str, Any], **parts: Any) -> None:
    states = {name: part.state_dict() for name, part in parts.items()}
    mg.save({"record": json.dumps(record), "random": mg.get_rng_state(), **states}, checkpoint)


def _restore(checkpoint: Path, fresh: dict[str, Any], **parts: Any) -> dict[str, Any]:
    """Bring network, optimizer, loader and random numbers to where the checkpoint was written; its record."""
    try:
        saved = mg.load(checkpoint)
        record = json.loads(saved["record"])
        if (record["norm"], record["seed"], record.keys()) != (fresh["norm"], fresh["seed"], fresh.keys()):
            return fresh  # it was written by another run of the sweep, which has ended since, or by another version
        for name, part in parts.items():
            part.load_state_dict(saved[name])
        mg.set_rng_state(saved["random"])
    except (LookupError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(
            f"{checkpoint} is damaged, or belongs to other settings: {error}\n"
            "Without this file, the run that it was for begins anew, and the runs that ended are kept."
        ) from error
    return record
