"""The networks that are compared: one architecture, and a choice of what stands between sum and activation.

Each block is  layer → norm → activation,  as in Ioffe and Szegedy (arXiv 1502.03167). `NORMS` says what
each name puts in the middle. Nothing else differs: the layers keep their bias (before a norm that subtracts
a mean it is superfluous, and harmless), and γ and β are constants at the start, so the same seed gives the
same initial weights with every norm.
"""

from collections.abc import Callable
from dataclasses import dataclass

from minigrad import nn


class DoesNotApply(ValueError):
    """This norm has no meaning in this model; the message says why."""


@dataclass(frozen=True)
class Norm:
    """One entry of the catalogue.

    Attributes:
        features: makes the layer for `(N, width)`, given width; None if there is none.
        maps: makes the layer for `(N, channels, height, width)`, given the last three; None if there is none.
        why_not: why one of them is None.
    """

    features: Callable[[int], nn.Module] | None
    maps: Callable[[int, int, int], nn.Module] | None
    why_not: str = ""


def _groups(channels: int) -> int:
    """Four groups if the channels can be divided so, and the next smaller number of groups otherwise."""
    return next(g for g in (4, 3, 2, 1) if channels % g == 0)


NORMS: dict[str, Norm] = {
    "none": Norm(
        features=lambda width: nn.Identity(),
        maps=lambda c, h, w: nn.Identity(),
    ),
    "batch": Norm(
        features=lambda width: nn.BatchNorm1d(width),
        maps=lambda c, h, w: nn.BatchNorm2d(c),
    ),
    "layer": Norm(
        features=lambda width: nn.LayerNorm(width),
        maps=lambda c, h, w: nn.LayerNorm((c, h, w)),
    ),
    "instance": Norm(
        features=None,
        maps=lambda c, h, w: nn.InstanceNorm2d(c, affine=True),
        why_not="an instance norm averages over the pixels of a channel, and a flat feature has just one",
    ),
    "group": Norm(
        features=lambda width: nn.GroupNorm(_groups(width), width),
        maps=lambda c, h, w: nn.GroupNorm(_groups(c), c),
    ),
}

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": lambda: nn.ReLU(),
    "leaky_relu": lambda: nn.LeakyReLU(),
    "tanh": lambda: nn.Tanh(),
    "sigmoid": lambda: nn.Sigmoid(),
    "gelu": lambda: nn.GELU(),
    "elu": lambda: nn.ELU(),
    "selu": lambda: nn.SELU(),
    "silu": lambda: nn.SiLU(),
    "softplus": lambda: nn.Softplus(),
}

SATURATING = ("tanh", "sigmoid")


def mlp(norm: str, sample: tuple[int, ...], classes: int, depth: int, width: int, activation: str) -> nn.Sequential:
    """`depth` blocks Linear → norm → activation, then a Linear layer to the classes."""
    make_norm = NORMS[norm].features
    if make_norm is None:
        raise DoesNotApply(NORMS[norm].why_not)
    features = 1
    for n in sample:
        features *= n
    layers: list[nn.Module] = [nn.Flatten()]
    for _ in range(depth):
        layers += [nn.Linear(features, width), make_norm(width), ACTIVATIONS[activation]()]
        features = width
    return nn.Sequential(*layers, nn.Linear(features, classes))


def cnn(norm: str, sample: tuple[int, ...], classes: int, depth: int, width: int, activation: str) -> nn.Sequential:
    """`depth` blocks 3×3 convolution → norm → activation with poolings between them, then a Linear layer.

    The poolings halve the image until it is about 4 pixels high, and are spread evenly over the depth.
    """
    make_norm = NORMS[norm].maps
    if make_norm is None:
        raise DoesNotApply(NORMS[norm].why_not)
    if len(sample) != 3:
        raise DoesNotApply(f"a CNN needs images (channels, height, width), and a sample here has shape {sample}")
    channels, h, w = sample
    poolings = 0
    while min(h, w) >> (poolings + 1) >= 4 and poolings < depth:
        poolings += 1
    after = {(i + 1) * depth // (poolings + 1) for i in range(poolings)}
    layers: list[nn.Module] = []
    for i in range(depth):
        layers += [nn.Conv2d(channels, width, 3, padding=1), make_norm(width, h, w), ACTIVATIONS[activation]()]
        channels = width
        if i + 1 in after:
            layers.append(nn.MaxPool2d(2))
            h, w = h // 2, w // 2
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * h * w, classes))


MODELS: dict[str, Callable[..., nn.Sequential]] = {"mlp": mlp, "cnn": cnn}


def build(
    model: str, norm: str, sample: tuple[int, ...], classes: int, depth: int, width: int, activation: str
) -> nn.Sequential:
    """The network, with weights drawn for its activation: He's for ReLU and its like, Glorot's for tanh and sigmoid.

    So the network without a norm starts from the initialization that was made for it. (Glorot and Bengio 2010;
    He et al., arXiv 1502.01852.)

    Raises:
        DoesNotApply: the norm has no meaning in this model.
    """
    network = MODELS[model](norm, sample, classes, depth, width, activation)
    for layer in weight_layers(network).values():
        if activation in SATURATING:
            nn.init.xavier_normal_(layer.weight)
        else:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        nn.init.zeros_(layer.bias)
    return network


def weight_layers(network: nn.Module) -> "dict[str, nn.Linear | nn.Conv2d]":
    """The layers with weights, from input to output, named by kind and number: conv1, conv2, ..., linear1."""
    found: dict[str, nn.Linear | nn.Conv2d] = {}
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            kind = "linear" if isinstance(module, nn.Linear) else "conv"
            found[f"{kind}{sum(name.startswith(kind) for name in found) + 1}"] = module
    return found
