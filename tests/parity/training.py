"""200 steps of Adam on the real digits: with the same weights and batches, the losses are PyTorch's to 1e-9."""

from functools import cache
from typing import Any

from tests.parity.case import TrainingCase


@cache
def digits() -> tuple[Any, Any]:
    """1,797 scanned digits, 8×8 pixels, which come with scikit-learn."""
    from sklearn.datasets import load_digits

    data = load_digits()
    return data.data / 16.0, data.target


def images() -> tuple[Any, Any]:
    flat, labels = digits()
    return flat.reshape(-1, 1, 8, 8), labels


def flat_norm(lib: Any, norm: str, n: int) -> Any:
    """Of a hidden layer with n features. Instances and groups need a second axis: 8 channels of n/8."""
    nn = lib.nn
    if norm == "batch":
        return nn.BatchNorm1d(n)
    if norm == "layer":
        return nn.LayerNorm(n)
    inner = nn.InstanceNorm1d(8, affine=True) if norm == "instance" else nn.GroupNorm(4, 8)
    return nn.Sequential(nn.Unflatten(1, (8, n // 8)), inner, nn.Flatten())


def image_norm(lib: Any, norm: str, channels: int, size: int) -> Any:
    nn = lib.nn
    return {
        "batch": lambda: nn.BatchNorm2d(channels),
        "layer": lambda: nn.LayerNorm([channels, size, size]),
        "instance": lambda: nn.InstanceNorm2d(channels, affine=True),
        "group": lambda: nn.GroupNorm(2, channels),
    }[norm]()


def named(lib: Any, *layers: tuple[str, Any]) -> Any:
    model = lib.nn.Sequential()
    for name, layer in layers:
        if layer is not None:
            model.add_module(name, layer)
    return model


def mlp(lib: Any, norm: str) -> Any:
    nn = lib.nn
    # Batch norm takes any constant away again: a bias before it has gradient zero but for rounding, and Adam makes
    # steps of full size of that.
    return named(
        lib,
        ("fc1", nn.Linear(64, 64, bias=norm != "batch")),
        ("norm1", flat_norm(lib, norm, 64) if norm != "none" else None),
        ("relu1", nn.ReLU()),
        ("fc2", nn.Linear(64, 64, bias=norm != "batch")),
        ("norm2", flat_norm(lib, norm, 64) if norm != "none" else None),
        ("relu2", nn.ReLU()),
        ("out", nn.Linear(64, 10)),
    )


def cnn(lib: Any, norm: str) -> Any:
    nn = lib.nn
    bias = norm not in ("batch", "instance")  # both take a channel's constant away
    return named(
        lib,
        ("conv1", nn.Conv2d(1, 8, 3, padding=1, bias=bias)),
        ("norm1", image_norm(lib, norm, 8, 8) if norm != "none" else None),
        ("relu1", nn.ReLU()),
        ("pool1", nn.MaxPool2d(2)),
        ("conv2", nn.Conv2d(8, 16, 3, padding=1, bias=bias)),
        ("norm2", image_norm(lib, norm, 16, 4) if norm != "none" else None),
        ("relu2", nn.ReLU()),
        ("pool2", nn.AvgPool2d(2)),
        ("flat", nn.Flatten()),
        ("out", nn.Linear(64, 10)),
    )


CASES = [
    TrainingCase(
        f"{model.__name__}_{norm}",
        lambda lib, model=model, norm=norm: model(lib, norm),
        digits if model is mlp else images,
        lambda lib, parameters: lib.optim.Adam(parameters, lr=1e-3),
        # absolute: the losses begin near 2.3
        tolerance={"float64": 1e-9 / 3},
    )
    for model in (mlp, cnn)
    for norm in ("none", "batch", "layer", "instance", "group")
]
