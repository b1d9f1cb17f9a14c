"""How one network of a comparison is made and trained."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from minigrad import optim

OPTIMIZERS: dict[str, Callable[[Any, float], optim.Optimizer]] = {
    "sgd": lambda parameters, lr: optim.SGD(parameters, lr=lr),
    "momentum": lambda parameters, lr: optim.SGD(parameters, lr=lr, momentum=0.9),
    "adam": lambda parameters, lr: optim.Adam(parameters, lr=lr),
    "adamw": lambda parameters, lr: optim.AdamW(parameters, lr=lr),
    "rmsprop": lambda parameters, lr: optim.RMSprop(parameters, lr=lr),
    "adagrad": lambda parameters, lr: optim.Adagrad(parameters, lr=lr),
}


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
