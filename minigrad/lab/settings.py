"""What `minigrad compare` compares: the fields, their defaults, their help texts, and what is refused.

The command builds its options from these fields, so a default stands here and nowhere else.
"""

import math
from collections import Counter
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from minigrad import data
from minigrad.lab import models
from minigrad.lab.catalogue import find
from minigrad.lab.recipe import OPTIMIZERS, Recipe
from minigrad.suggest import check_name


class SettingError(ValueError):
    """A setting that cannot be used. The message begins with the name of the field and writes values as in Python."""


def _option(default: Any, help: str, metavar: str | None = None, flag: str | None = None) -> Any:
    """A field, with what the command needs to make an option of it."""
    return field(default=default, metadata={"help": help, "metavar": metavar, "flag": flag})


@dataclass(frozen=True)
class Settings:
    """What is compared. The defaults are a network that is known to fail without a norm (see the README).

    One thread is the default because layers of this size gain little from a second one, and lose much if another
    program keeps that core busy: the first thread waits for the second at the end of every loop.

    Raises:
        SettingError: a field has a value that cannot be used, or no norm can be used in this model.
        UnknownName: a name is not known; the message says the nearest.
    """

    model: str = _option("cnn", "mlp or cnn")
    data: str = _option("digits", "digits, moons, spirals, blobs, mnist, fashion-mnist or cifar-10")
    data_dir: str | None = _option(
        None, "the folder with the files of the data set; then nothing is downloaded", "DIR"
    )
    norms: tuple[str, ...] = _option(
        ("none", "batch", "layer", "instance", "group"), "none, names from `minigrad norms`, or all", "A,B", "--norm"
    )
    activation: str = _option("sigmoid", "relu, tanh, sigmoid, gelu, ...", "NAME")
    depth: int = _option(6, "number of hidden layers", "N")
    width: int = _option(16, "number of units or channels of a hidden layer", "N")
    optimizer: str = _option("adam", "sgd, momentum, adam, adamw, rmsprop or adagrad", "NAME")
    lr: float = _option(1e-3, "learning rate", "X")
    batch_size: int = _option(32, "number of samples in a batch", "N")
    epochs: int = _option(6, "number of passes over the training set", "N")
    seeds: tuple[int, ...] = _option((0, 1, 2), "number of seeds, or a list of seeds such as 0,1,2", "N|A,B")
    target: float = _option(0.9, "test accuracy, from 0 to 1; the report says after which epoch it is reached", "X")
    threads: int = _option(1, "number of threads for large kernels", "N")

    def __post_init__(self) -> None:
        check_name("model", self.model, models.MODELS)
        check_name("data", self.data, data.names())
        for name in ("norms", "seeds"):
            if len(getattr(self, name)) > _MOST_NAMES:
                raise SettingError(f"{name}: {len(getattr(self, name)):,} are too many; at most {_MOST_NAMES:,}")
        names = tuple(models.NORMS) if "all" in self.norms else self.norms
        object.__setattr__(self, "norms", tuple(find(norm, ("none",), "norms") for norm in names))
        check_name("activation", self.activation, models.ACTIVATIONS)
        check_name("optimizer", self.optimizer, OPTIMIZERS)
        for name, most in _LIMITS.items():
            if not 1 <= getattr(self, name) <= most:
                raise SettingError(f"{name} must be at least 1 and at most {most:,}, got {getattr(self, name):,}")
        if not 0 < self.lr < math.inf:
            raise SettingError(f"lr must be positive and finite, got {self.lr}")
        if not 0 < self.target <= 1:
            raise SettingError(f"target must be an accuracy above 0 and at most 1 (such as 0.95), got {self.target}")
        for name in ("norms", "seeds"):
            values = getattr(self, name)
            if not values:
                raise SettingError(f"{name}: give at least one")
            twice = [value for value, count in Counter(values).items() if count > 1]
            if twice:
                raise SettingError(f"{name}: {twice[0]} is named twice; name each once")
        for seed in self.seeds:
            if not 0 <= seed < 2**32:
                raise SettingError(f"seeds must be numbers from 0 to {2**32 - 1}, and one is {seed}")
        if self.data_dir is not None:
            if self.data not in data.names(from_files=True):
                known = ", ".join(data.names(from_files=True))
                raise SettingError(
                    f"data_dir is for data that are read from files ({known}), and data={self.data!r} is not"
                )
            try:  # so that a comparison can be continued from any folder
                folder = Path(self.data_dir).expanduser().absolute()
            except RuntimeError as error:  # ~ of a user who is not there
                raise SettingError(f"data_dir: {self.data_dir!r} cannot be found ({error})") from error
            object.__setattr__(self, "data_dir", str(folder))
        reasons = {norm: models.NORMS[norm].cannot(self.model) for norm in self.norms}
        if all(reasons.values()):
            because = "; ".join(f"{norm}: {reason}" for norm, reason in reasons.items())
            raise SettingError(
                f"norms: nothing to train, because none of them can be used in an {self.model} ({because})"
            )

    @property
    def recipe(self) -> Recipe:
        """How one network is made and trained."""
        return Recipe(**{f.name: getattr(self, f.name) for f in fields(Recipe)})

    def lines(self) -> list[tuple[str, str]]:
        """The settings in words, for the terminal and the report."""
        where = f" from {self.data_dir}" if self.data_dir else ""
        epochs = "1 epoch" if self.epochs == 1 else f"{self.epochs} epochs"
        layers = "1 layer" if self.depth == 1 else f"{self.depth} layers"
        return [
            ("network", f"{self.model}, {layers} of width {self.width}, {self.activation}"),
            ("data", self.data + where),
            ("training", f"{self.optimizer}, lr {self.lr:g}, batches of {self.batch_size}, {epochs}"),
            ("norms", ", ".join(self.norms)),
            (
                "seeds",
                ", ".join(map(str, self.seeds[:20])) + (f", ... ({len(self.seeds):,})" if self.seeds[20:] else ""),
            ),
            ("target", f"{100 * self.target:g} % on the test set"),
            ("threads", str(self.threads)),
            ("weights", self.start),
            *([("activation", note)] if (note := self.other_activations) else []),
        ]

    @property
    def start(self) -> str:
        """How the weights are drawn, and which norms draw them in another way."""
        drawn = "Glorot" if self.activation in models.SATURATING else "He"
        others = [norm for norm in self.norms if models.NORMS[norm].own_start]
        same = "the same for every norm"
        return f"{drawn}, {same}" + (f" but {', '.join(others)}, whose start is part of the method" if others else "")

    @property
    def other_activations(self) -> str:
        """Which norms bring an activation of their own: a gain of these is not due to the norm alone."""
        others = [norm for norm in self.norms if models.NORMS[norm].activation is not None]
        return (
            f"{', '.join(others)}: instead of {self.activation}, the one that belongs to the method" if others else ""
        )


# Far more than a comparison on a CPU can use. A file with a damaged number ends in an error, and not in a run that
# never ends.
_MOST_NAMES = 10_000
_LIMITS = {"depth": 1000, "width": 100_000, "batch_size": 1_000_000, "epochs": 1_000_000, "threads": 1024}
