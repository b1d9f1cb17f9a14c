"""The catalogue of normalizations: what each is called, where it is, and which elements share its statistics.

The docstring of a method's function says what the method computes, and why. This file holds the rest. The papers are
read from the docstrings, so that nothing stands in two places.
"""

import inspect
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import minigrad
from minigrad.suggest import UnknownName, nearest

# -- which elements share statistics ------------------------------------------------------------------------


@dataclass(frozen=True)
class Sharing:
    """One statistic of a method, on an example of four samples, four channels and three places in space.

    Attributes:
        group: a function of the element (n, c, s) whose value is the same for all elements with the same statistic.
        window: in place of groups: is the element (n, c, s) in the window of the element `CENTER`?
        what: the name of this statistic, if the method has several.
    """

    group: Callable[[int, int, int], Any] | None = None
    window: Callable[[int, int, int], bool] | None = None
    what: str = ""

    def marked(self, n: int, c: int, s: int) -> bool:
        """Does the element share the statistic that is marked?"""
        if self.window is not None:
            return self.window(n, c, s)
        return self.group is not None and self.group(n, c, s) == self.group(0, 0, 0)


@dataclass(frozen=True)
class Example:
    """The tensor on which the statistics are drawn: the names of its axes, and their lengths."""

    block: str
    line: str
    places: str
    shape: tuple[int, int, int]


ACTIVATIONS = Example("sample", "channel", "places in space", (4, 4, 3))
TEXT = Example("text", "feature", "words", (4, 4, 3))
WEIGHTS = Example("unit", "input", "places of the kernel", (4, 4, 3))
TABLE = Example("sample", "feature", "", (4, 4, 1))

CENTER = (0, 1, 0)
"""The element whose window is drawn."""

BATCH = Sharing(lambda n, c, s: c)
INSTANCE = Sharing(lambda n, c, s: (n, c))
LAYER = Sharing(lambda n, c, s: n)
GROUP = Sharing(lambda n, c, s: (n, c // 2))
GHOST = Sharing(lambda n, c, s: (n // 2, c))
ALL = Sharing(lambda n, c, s: 0)
PLACE = Sharing(lambda n, c, s: (n, s))

# -- the catalogue ------------------------------------------------------------------------------------------


FAMILIES = {
    "batch": "Activations, statistics over the batch",
    "sample": "Activations, statistics per sample",
    "learned": "Learned or conditioned",
    "weights": "Weights",
    "without": "Without normalization",
    "inputs": "Inputs",
}


@dataclass(frozen=True)
class Entry:
    """One method.

    Attributes:
        name: for `minigrad norms` and `minigrad compare --norm`.
        title: its name in words.
        family: a key of `FAMILIES`.
        places: what implements it, as dotted names in minigrad; the first has the docstring that teaches.
        sharing: which elements share statistics; none for a method without statistics.
        learns: what is learned, and for what.
        evaluation: what changes in evaluation.
        example: what the sharing is drawn on.
        also: other names.
    """

    name: str
    title: str
    family: str
    places: tuple[str, ...]
    sharing: tuple[Sharing, ...]
    learns: str
    evaluation: str
    example: Example = ACTIVATIONS
    also: tuple[str, ...] = ()

    @property
    def objects(self) -> dict[str, Any]:
        """What implements it, by dotted name."""
        return {place: resolve(place) for place in self.places}

    @property
    def doc(self) -> str:
        """The docstring that teaches."""
        return inspect.getdoc(resolve(self.places[0])) or ""

    @cached_property
    def paper(self) -> str:
        """Authors and number of the method's paper, "Wu & He, arXiv 1803.08494", from its docstring."""
        for place in self.places:
            source = re.search(r"^Source: (.*?)(?:\n\n|\Z)", inspect.getdoc(resolve(place)) or "", re.M | re.S)
            if source is None:
                continue
            text = " ".join(source.group(1).split())
            authors = re.match(r'(.+?), (?:"|arXiv)', text)
            number = re.search(r"arXiv \d{4}\.\d{5}|(19|20)\d\d", text)
            if authors and number:
                return f"{authors.group(1)}, {number.group()}"
        return ""


def resolve(place: str) -> Any:
    """The object with this dotted name in minigrad."""
    found: Any = minigrad
    for part in place.split("."):
        found = getattr(found, part)
    return found


def _layers(name: str) -> tuple[str, ...]:
    return tuple(f"nn.{name}{d}d" for d in (1, 2, 3))


PER_CHANNEL = "γ, β for each channel"
SAME = "the same"
AVERAGES = "running mean and variance"

ENTRIES = (
    Entry(
        "batch", "batch normalization", "batch",
        ("nn.functional.batch_norm", *_layers("BatchNorm"), "nn.functional.mean_variance_normalization"),
        (BATCH,), PER_CHANNEL, AVERAGES, also=("bn", "mvn"),
    ),
    Entry(
        "population", "population statistics, precise BN", "batch",
        ("nn.utils.recompute_statistics", "nn.utils.freeze_statistics"),
        (BATCH,), "nothing: it is for trained batch norms", "exact mean and variance of the training set",
        also=("precise_bn",),
    ),
    Entry(
        "sync_batch", "synchronized batch normalization", "batch",
        ("nn.functional.sync_batch_norm", "nn.SyncBatchNorm"),
        (BATCH,), PER_CHANNEL, AVERAGES, also=("sync",),
    ),
    Entry(
        "batch_renorm", "batch renormalization", "batch", ("nn.functional.batch_renorm", *_layers("BatchRenorm")),
        (BATCH,), PER_CHANNEL, "running mean and deviation", also=("brn", "renorm"),
    ),
    Entry(
        "ghost_batch", "ghost batch normalization", "batch",
        ("nn.functional.ghost_batch_norm", *_layers("GhostBatchNorm")),
        (GHOST,), PER_CHANNEL, AVERAGES, also=("ghost", "gbn"),
    ),
    Entry(
        "mean_only_batch", "mean-only batch normalization", "batch",
        ("nn.functional.mean_only_batch_norm", *_layers("MeanOnlyBatchNorm")),
        (BATCH,), "β for each channel", "running mean", also=("mean_only",),
    ),
    Entry(
        "decorrelated_batch", "decorrelated batch normalization", "batch",
        ("nn.functional.decorrelated_batch_norm", "nn.DecorrelatedBatchNorm"),
        (ALL,), PER_CHANNEL, "running mean and whitening matrix", also=("decorrelated", "dbn"),
    ),
    Entry(
        "iterative", "iterative normalization, IterNorm", "batch",
        ("nn.functional.iterative_norm", "nn.IterativeNorm"),
        (ALL,), PER_CHANNEL, "running mean and whitening matrix", also=("iter", "iternorm"),
    ),
    Entry(
        "power", "power normalization", "batch", ("nn.functional.power_norm", "nn.PowerNorm"),
        (BATCH,), PER_CHANNEL, "the same running quadratic mean as in training",
    ),
    Entry(
        "evo_b0", "EvoNorm B0", "batch", ("nn.functional.evo_norm_b0", "nn.EvoNormB0"),
        (
            Sharing(BATCH.group, what="The larger of two: √(σ² + ε) over the batch"),
            Sharing(INSTANCE.group, what="and v·x + √(σ² + ε) over one sample's channel"),
        ),
        "γ, β, v for each channel", "running variance in place of the batch's", also=("evonorm_b0",),
    ),
    Entry(
        "layer", "layer normalization", "sample", ("nn.functional.layer_norm", "nn.LayerNorm"),
        (LAYER,), "γ, β for each element", SAME, also=("ln",),
    ),
    Entry(
        "rms", "root mean square normalization", "sample", ("nn.functional.rms_norm", "nn.RMSNorm"),
        (LAYER,), "γ for each element", SAME, also=("partial_rms", "prms"),
    ),
    Entry(
        "scale", "scale normalization", "sample", ("nn.functional.scale_norm", "nn.ScaleNorm"),
        (PLACE,), "g, one number", SAME, TEXT,
    ),
    Entry(
        "instance", "instance normalization", "sample", ("nn.functional.instance_norm", *_layers("InstanceNorm")),
        (INSTANCE,), "γ, β for each channel, if wanted", "the same, or running averages if tracked", also=("in",),
    ),
    Entry(
        "group", "group normalization", "sample", ("nn.functional.group_norm", "nn.GroupNorm"),
        (GROUP,), PER_CHANNEL, SAME, also=("gn",),
    ),
    Entry(
        "local_response", "local response normalization", "sample",
        ("nn.functional.local_response_norm", "nn.LocalResponseNorm"),
        (Sharing(window=lambda n, c, s: n == 0 and s == 0 and c <= 2),), "nothing", SAME, also=("lrn",),
    ),
    Entry(
        "divisive", "divisive normalization", "sample", ("nn.functional.divisive_norm", "nn.DivisiveNorm"),
        (Sharing(window=lambda n, c, s: n == 0 and s <= 1),), PER_CHANNEL, SAME,
    ),
    Entry(
        "filter_response", "filter response normalization, with TLU", "sample",
        (
            "nn.functional.filter_response_norm", "nn.FilterResponseNorm",
            "nn.functional.thresholded_linear_unit", "nn.ThresholdedLinearUnit",
        ),
        (INSTANCE,), "γ, β, τ for each channel; ε if wanted", SAME, also=("frn", "tlu"),
    ),
    Entry(
        "evo_s0", "EvoNorm S0", "sample", ("nn.functional.evo_norm_s0", "nn.EvoNormS0"),
        (GROUP,), "γ, β, v for each channel", SAME, also=("evonorm_s0",),
    ),
    Entry(
        "global_response", "global response normalization", "sample",
        ("nn.functional.global_response_norm", "nn.GlobalResponseNorm"),
        (
            Sharing(INSTANCE.group, what="The norm of each channel"),
            Sharing(LAYER.group, what="and the mean of a sample's norms"),
        ),
        PER_CHANNEL, SAME, also=("grn",),
    ),
    Entry(
        "unit", "unit norm, Lp normalization", "sample", ("nn.functional.normalize", "nn.UnitNorm"),
        (PLACE,), "nothing", SAME, also=("lp", "l2", "l1"),
    ),
    Entry(
        "cosine", "cosine normalization", "sample",
        (
            "nn.functional.cosine_linear", "nn.CosineLinear",
            "nn.functional.cosine_similarity", "nn.CosineSimilarity",
        ),
        (LAYER,), "the layer's weights", SAME, TABLE,
    ),
    Entry(
        "switchable", "switchable normalization", "learned", ("nn.functional.switchable_norm", "nn.SwitchableNorm"),
        (
            Sharing(INSTANCE.group, what="One of three, the instance's"),
            Sharing(LAYER.group, what="One of three, the layer's"),
            Sharing(BATCH.group, what="One of three, the batch's"),
        ),
        "γ, β for each channel; two mixes of three", "running averages for the batch's share", also=("sn",),
    ),
    Entry(
        "adaptive_instance", "adaptive instance normalization, AdaIN", "learned",
        (
            "nn.functional.adaptive_instance_norm", "nn.AdaptiveInstanceNorm",
            "nn.functional.conditional_instance_norm",
        ),
        (INSTANCE,), "γ, β for each channel come from a style", SAME, also=("adain", "conditional_instance"),
    ),
    Entry(
        "conditional_batch", "conditional batch normalization", "learned",
        ("nn.functional.conditional_batch_norm", *_layers("ConditionalBatchNorm")),
        (BATCH,), "γ, β for each channel of a sample come from a condition", AVERAGES, also=("cbn",),
    ),
    Entry(
        "spade", "spatially-adaptive normalization, SPADE", "learned", ("nn.functional.spade", "nn.SPADE"),
        (BATCH,), "γ, β for each element come from a map", AVERAGES,
    ),
    Entry(
        "weight", "weight normalization", "weights",
        (
            "nn.functional.weight_norm", "nn.utils.parametrizations.weight_norm", "nn.utils.data_dependent_init",
        ),
        (LAYER,), "g for each unit, v in place of the weight", SAME, WEIGHTS, also=("wn",),
    ),
    Entry(
        "weight_standardization", "weight standardization", "weights",
        ("nn.functional.weight_standardization", "nn.utils.parametrizations.weight_standardization"),
        (LAYER,), "the weight", SAME, WEIGHTS, also=("ws",),
    ),
    Entry(
        "scaled_weight_standardization", "scaled weight standardization", "weights",
        ("nn.functional.scaled_weight_standardization", "nn.utils.parametrizations.scaled_weight_standardization"),
        (LAYER,), "the weight, and a gain for each unit", SAME, WEIGHTS, also=("sws",),
    ),
    Entry(
        "spectral", "spectral normalization", "weights",
        ("nn.functional.spectral_norm", "nn.utils.parametrizations.spectral_norm"),
        (ALL,), "the weight", "no power iteration", WEIGHTS,
    ),
    Entry(
        "dynamic_tanh", "dynamic tanh, DyT", "without", ("nn.functional.dynamic_tanh", "nn.DynamicTanh"),
        (), "α; γ, β for each channel", SAME, also=("dyt",),
    ),
    Entry(
        "dynamic_erf", "dynamic erf, Derf", "without", ("nn.functional.dynamic_erf", "nn.DynamicErf"),
        (), "α, s; γ, β for each channel", SAME, also=("derf",),
    ),
    Entry(
        "selu", "self-normalizing networks: SELU and LeCun's initialization", "without",
        ("nn.functional.selu", "nn.SELU", "nn.init.lecun_normal_", "nn.init.lecun_uniform_", "nn.AlphaDropout"),
        (), "nothing", SAME, also=("snn", "self_normalizing"),
    ),
    Entry(
        "fixup", "Fixup initialization", "without", ("nn.init.fixup_", "nn.FixupBlock"),
        (), "the branches' scales and biases", SAME,
    ),
    Entry(
        "agc", "adaptive gradient clipping", "without", ("optim.adaptive_clip_grad_",),
        (), "nothing", "there are no gradients", also=("adaptive_gradient_clipping",),
    ),
    Entry(
        "min_max", "min-max scaling", "inputs", ("data.MinMaxScaler",),
        (BATCH,), "fit: minimum and maximum of each feature", SAME, TABLE,
    ),
    Entry(
        "standard", "z-score", "inputs", ("data.StandardScaler",),
        (BATCH,), "fit: mean and deviation of each feature", SAME, TABLE, also=("z_score",),
    ),
    Entry(
        "decimal", "decimal scaling", "inputs", ("data.DecimalScaler",),
        (BATCH,), "fit: a power of ten for each feature", SAME, TABLE,
    ),
    Entry(
        "log", "log transform", "inputs", ("data.LogTransform",),
        (), "nothing", SAME, TABLE,
    ),
    Entry(
        "whitening", "PCA and ZCA whitening", "inputs", ("data.Whitening",),
        (ALL,), "fit: mean and covariance of the features", SAME, TABLE, also=("pca", "zca"),
    ),
)  # fmt: skip

CATALOGUE = {entry.name: entry for entry in ENTRIES}


# -- finding an entry ---------------------------------------------------------------------------------------


def _letters(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())


@cache
def _spellings() -> dict[str, str]:
    """Every way to write a name, with the name: "groupnorm", "GroupNorm", "group-norm", "gn" are all "group"."""
    found: dict[str, str] = {}
    for entry in ENTRIES:
        last = [place.rsplit(".", 1)[1] for place in entry.places]
        for text in (entry.name, f"{entry.name}_norm", *entry.also, *last, *(t.removesuffix("1d") for t in last)):
            found.setdefault(_letters(text), entry.name)
    return found


def find(name: str, others: Iterable[str] = (), option: str = "minigrad norms") -> str:
    """The entry's name for any of its spellings: also the names of its functions and layers, and common abbreviations.

    Args:
        name: as the user wrote it.
        others: other valid names, which are not in the catalogue.
        option: the name of the argument, for the error.

    Raises:
        UnknownName: no entry is called so; the message says the nearest.

    Example:
        >>> find("GroupNorm"), find("group-norm"), find("gn")
        ('group', 'group', 'group')
    """
    spellings = _spellings() | {_letters(other): other for other in others}
    if _letters(name) in spellings:
        return spellings[_letters(name)]
    known = [*others, *CATALOGUE]
    raise UnknownName(f"{option}: {name!r} is unknown{nearest(name, known)} `minigrad norms` lists all names")
