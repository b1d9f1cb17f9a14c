"""The networks that are compared: one architecture, with a norm between the sum and the activation of each layer.

Each block is  layer → norm → activation,  as in Ioffe and Szegedy (arXiv 1502.03167). `NORMS` says which layer each
name of the catalogue stands for; or what the method does otherwise, if it is one for weights, for the initialization,
or for gradients. Everything else is the same. The layers keep their bias: before a norm that subtracts a mean, the
bias is superfluous and harmless. γ and β are constants at the start, so the same seed gives the same initial weights
with every norm. There are two exceptions, and a comparison names them: a method that is itself an initialization
(`Norm.own_start`), and a method with a nonlinearity of its own, which replaces the network's.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import nn, optim
from minigrad.nn.utils import data_dependent_init, parametrizations, parametrize, recompute_statistics


class DoesNotApply(ValueError):
    """This norm has no meaning in this model; the message says why."""


@dataclass(frozen=True)
class Norm:
    """What a name of the catalogue means in a network.

    Attributes:
        features: makes the layer for `(N, width)`, given width; None if there is none.
        maps: makes the layer for `(N, channels, height, width)`, given the last three; None if there is none.
        why_not: why one of them is None.
        note: what is special about the method here.
        activation: the nonlinearity that belongs to the method, in place of the network's.
        initialize: draws the weights of the hidden layers, in place of He's or Glorot's initialization.
        layer: changes a hidden layer after its weights are drawn.
        takes_gamma: does `layer` need to know by which factor the activation before it changes the deviation?
        prepare: called with the network and some training samples before the first step.
        clip: called with the network before each step of the optimizer.
        before_evaluation: called with the network and batches of all training samples.
    """

    features: Callable[[int], nn.Module] | None = None
    maps: Callable[[int, int, int], nn.Module] | None = None
    why_not: str = ""
    note: str = ""
    activation: Callable[[], nn.Module] | None = None
    initialize: Callable[[Any], Any] | None = None
    layer: Callable[..., nn.Module] | None = None
    takes_gamma: bool = False
    prepare: Callable[[nn.Module, Any], Any] | None = None
    clip: Callable[[nn.Module], None] | None = None
    before_evaluation: Callable[[nn.Module, Iterable[Any]], None] | None = None

    @property
    def own_start(self) -> bool:
        """Does it begin at other weights than the rest?"""
        return self.initialize is not None or self.prepare is not None

    def cannot(self, model: str) -> str:
        """Why the norm cannot be used in this model; empty if it can."""
        return self.why_not if {"mlp": self.features, "cnn": self.maps}[model] is None else ""

    def about(self, name: str) -> str:
        """How `minigrad compare` uses it, in words."""
        models = [model for model, make in (("mlp", self.features), ("cnn", self.maps)) if make is not None]
        if not models:
            return f"not possible: {self.why_not}"
        only = f" --model {models[0]}" if len(models) == 1 else ""
        rest = "; ".join(text for text in (self.note, self.why_not) if text)
        return f"minigrad compare --norm {name}{only}" + (f" ({rest})" if rest else "")


def _identity(*sizes: int) -> nn.Module:
    return nn.Identity()


def _weights(layer: Callable[..., nn.Module], note: str = "", **options: Any) -> Norm:
    """A method for weights: no layer is added."""
    return Norm(_identity, _identity, layer=layer, note=note, **options)


def _impossible(why_not: str) -> Norm:
    return Norm(why_not=why_not)


def _groups(channels: int) -> int:
    """Four groups if the channels can be divided so, and the next smaller number of groups otherwise."""
    return next(g for g in (4, 3, 2, 1) if channels % g == 0)


def _cosine(layer: nn.Linear) -> nn.Module:
    """A layer of the same weights whose outputs are cosines."""
    cosine = nn.CosineLinear(layer.in_features, layer.out_features)
    cosine.load_state_dict({"weight": layer.weight}, strict=False)
    return cosine


def _clip(network: nn.Module) -> None:
    """Clip all gradients but the classifier's."""
    *_, classifier = weight_layers(network).values()
    optim.adaptive_clip_grad_(network.parameters(), exclude=classifier.parameters())


_ONE_PIXEL = "this method averages over the pixels of a channel; a feature of an MLP has no pixels"
_SECOND_INPUT = "γ and β come from a second input, {}; these networks have one input only"
_SCALER = "this method transforms the inputs; here the inputs of all runs are standardized in the same way"
_RENORM: dict[str, Any] = {"momentum": 0.1, "start": 50, "r_end": 200, "d_end": 150}

NORMS: dict[str, Norm] = {
    "none": Norm(_identity, _identity),
    # statistics over the batch
    "batch": Norm(
        features=lambda width: nn.BatchNorm1d(width),
        maps=lambda c, h, w: nn.BatchNorm2d(c),
    ),
    "population": Norm(
        features=lambda width: nn.BatchNorm1d(width),
        maps=lambda c, h, w: nn.BatchNorm2d(c),
        before_evaluation=recompute_statistics,
        note="batch norm; its statistics are recomputed over the training set before each evaluation",
    ),
    "sync_batch": _impossible(
        "this method spreads a batch over several processes; in one process it is the same as batch"
    ),
    "batch_renorm": Norm(
        features=lambda width: nn.BatchRenorm1d(width, **_RENORM),
        maps=lambda c, h, w: nn.BatchRenorm2d(c, **_RENORM),
        note="its limits open from step 50 to step 200",
    ),
    "ghost_batch": Norm(
        features=lambda width: nn.GhostBatchNorm1d(width, 8),
        maps=lambda c, h, w: nn.GhostBatchNorm2d(c, 8),
        note="ghosts of 8 samples",
    ),
    "mean_only_batch": Norm(
        features=lambda width: nn.MeanOnlyBatchNorm1d(width),
        maps=lambda c, h, w: nn.MeanOnlyBatchNorm2d(c),
        layer=parametrizations.weight_norm,
        prepare=data_dependent_init,
        note="with weight norm and its initialization from data",
    ),
    "decorrelated_batch": Norm(
        features=lambda width: nn.DecorrelatedBatchNorm(width, _groups(width)),
        maps=lambda c, h, w: nn.DecorrelatedBatchNorm(c, _groups(c)),
        note="four groups",
    ),
    "iterative": Norm(
        features=lambda width: nn.IterativeNorm(width, _groups(width)),
        maps=lambda c, h, w: nn.IterativeNorm(c, _groups(c)),
        note="four groups",
    ),
    "power": Norm(
        features=lambda width: nn.PowerNorm(width),
        maps=lambda c, h, w: nn.PowerNorm(c),
    ),
    "evo_b0": Norm(
        maps=lambda c, h, w: nn.EvoNormB0(c),
        activation=nn.Identity,
        note="it is its own activation",
        why_not=_ONE_PIXEL,
    ),
    # statistics per sample
    "layer": Norm(
        features=lambda width: nn.LayerNorm(width),
        maps=lambda c, h, w: nn.LayerNorm((c, h, w)),
    ),
    "rms": Norm(
        features=lambda width: nn.RMSNorm(width),
        maps=lambda c, h, w: nn.RMSNorm((c, h, w)),
    ),
    "scale": Norm(
        features=lambda width: nn.ScaleNorm(width),
        why_not="this method works along the last axis; in pictures these are rows of pixels, and not features",
    ),
    "instance": Norm(
        maps=lambda c, h, w: nn.InstanceNorm2d(c, affine=True),
        why_not=_ONE_PIXEL,
    ),
    "group": Norm(
        features=lambda width: nn.GroupNorm(_groups(width), width),
        maps=lambda c, h, w: nn.GroupNorm(_groups(c), c),
        note="four groups",
    ),
    "local_response": Norm(
        features=lambda width: nn.LocalResponseNorm(5, k=2.0, average=False),
        maps=lambda c, h, w: nn.LocalResponseNorm(5, k=2.0, average=False),
        note="the paper's settings",
    ),
    "divisive": Norm(
        features=lambda width: nn.DivisiveNorm(width, min(5, width)),
        maps=lambda c, h, w: nn.DivisiveNorm(c, min(5, h, w)),
        note="windows of 5",
    ),
    "filter_response": Norm(
        maps=lambda c, h, w: nn.FilterResponseNorm(c),
        activation=nn.Identity,
        note="its threshold is the activation",
        why_not=_ONE_PIXEL,
    ),
    "evo_s0": Norm(
        features=lambda width: nn.EvoNormS0(_groups(width), width),
        maps=lambda c, h, w: nn.EvoNormS0(_groups(c), c),
        activation=nn.Identity,
        note="four groups; it is its own activation",
    ),
    "global_response": Norm(
        maps=lambda c, h, w: nn.GlobalResponseNorm(c),
        note="it starts as the identity",
        why_not="this method measures the pixels of each channel; a feature of an MLP has no pixels",
    ),
    "unit": Norm(
        features=lambda width: nn.UnitNorm(),
        maps=lambda c, h, w: nn.UnitNorm(),
    ),
    "cosine": Norm(
        features=_identity,
        layer=_cosine,
        note="hidden layers give cosines",
        why_not="this method replaces the dot products of linear layers; the hidden layers of a CNN are convolutions",
    ),
    # learned or conditioned
    "switchable": Norm(
        features=lambda width: nn.SwitchableNorm(width, using_in=False),
        maps=lambda c, h, w: nn.SwitchableNorm(c),
        note="in an MLP without its instance part, because features have no pixels",
    ),
    "adaptive_instance": _impossible(_SECOND_INPUT.format("a style")),
    "conditional_batch": _impossible(_SECOND_INPUT.format("a condition")),
    "spade": _impossible(_SECOND_INPUT.format("a map of labels")),
    # weights
    "weight": _weights(
        parametrizations.weight_norm,
        "with its initialization from data",
        prepare=data_dependent_init,
    ),
    "weight_standardization": Norm(
        features=lambda width: nn.GroupNorm(_groups(width), width),
        maps=lambda c, h, w: nn.GroupNorm(_groups(c), c),
        layer=parametrizations.weight_standardization,
        note="with group norm after each layer, as in the paper",
    ),
    "scaled_weight_standardization": _weights(
        parametrizations.scaled_weight_standardization,
        "γ corrects for the activation before the layer",
        takes_gamma=True,
    ),
    "spectral": _weights(parametrizations.spectral_norm),
    # doing without
    "dynamic_tanh": Norm(
        features=lambda width: nn.DynamicTanh(width),
        maps=lambda c, h, w: nn.DynamicTanh(c, channels_last=False),
    ),
    "dynamic_erf": Norm(
        features=lambda width: nn.DynamicErf(width),
        maps=lambda c, h, w: nn.DynamicErf(c, channels_last=False),
    ),
    "selu": Norm(
        _identity,
        _identity,
        activation=nn.SELU,
        initialize=nn.init.lecun_normal_,
        note="SELU in place of the activation, LeCun's initialization",
    ),
    "fixup": _impossible("this method scales the branches of residual networks; these networks have no branches"),
    "agc": Norm(_identity, _identity, clip=_clip, note="gradients are clipped before each step, λ = 0.01"),
    # inputs
    "min_max": _impossible(_SCALER),
    "standard": _impossible(_SCALER),
    "decimal": _impossible(_SCALER),
    "log": _impossible(_SCALER),
    "whitening": _impossible(_SCALER),
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
    make_activation = NORMS[norm].activation or ACTIVATIONS[activation]
    features = 1
    for n in sample:
        features *= n
    layers: list[nn.Module] = [nn.Flatten()]
    for _ in range(depth):
        layers += [nn.Linear(features, width), make_norm(width), make_activation()]
        features = width
    return nn.Sequential(*layers, nn.Linear(features, classes))


def cnn(norm: str, sample: tuple[int, ...], classes: int, depth: int, width: int, activation: str) -> nn.Sequential:
    """`depth` blocks 3×3 convolution → norm → activation with poolings between them, then a Linear layer.

    The poolings halve the image until it is about 4 pixels high, and are spread evenly over the depth.
    """
    make_norm = NORMS[norm].maps
    if make_norm is None:
        raise DoesNotApply(NORMS[norm].why_not)
    make_activation = NORMS[norm].activation or ACTIVATIONS[activation]
    if len(sample) != 3:
        raise DoesNotApply(f"a CNN needs images (channels, height, width), and a sample here has shape {sample}")
    channels, h, w = sample
    poolings = 0
    while min(h, w) >> (poolings + 1) >= 4 and poolings < depth:
        poolings += 1
    after = {(i + 1) * depth // (poolings + 1) for i in range(poolings)}
    layers: list[nn.Module] = []
    for i in range(depth):
        layers += [nn.Conv2d(channels, width, 3, padding=1), make_norm(width, h, w), make_activation()]
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
    chosen = NORMS[norm]
    *hidden, classifier = weight_layers(network).values()
    for layer in (*hidden, classifier):
        if chosen.initialize is not None and layer is not classifier:
            chosen.initialize(layer.weight)
        elif activation in SATURATING:
            nn.init.xavier_normal_(layer.weight)
        else:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        nn.init.zeros_(layer.bias)
    if chosen.layer is not None:
        for i, layer in enumerate(network):
            if any(layer is one for one in hidden):
                after_activation = chosen.takes_gamma and layer is not hidden[0]
                network[i] = chosen.layer(layer, **({"gamma": gamma_of(activation)} if after_activation else {}))
    return network


def gamma_of(activation: str) -> float:
    """1 divided by the deviation that an activation gives to standard normal numbers: 1.7129 for relu."""
    x = np.linspace(-9, 9, 6001)
    y, density = ACTIVATIONS[activation]()(mg.tensor(x)).numpy(), np.exp(-0.5 * x * x)
    return float(np.average((y - np.average(y, weights=density)) ** 2, weights=density) ** -0.5)


def weight_layers(network: nn.Module) -> "dict[str, Any]":
    """The layers with weights, from input to output, named by kind and number: conv1, conv2, ..., linear1."""
    found: dict[str, Any] = {}
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.CosineLinear):
            kind = "conv" if isinstance(module, nn.Conv2d) else "linear"
            found[f"{kind}{sum(name.startswith(kind) for name in found) + 1}"] = module
    return found


def trained_weights(layer: Any) -> list[mg.Tensor]:
    """The tensors that are trained as a layer's weight: more than one if they are length and direction."""
    if parametrize.is_parametrized(layer, "weight"):
        return layer.parametrizations.weight.originals()
    return [layer.weight]
