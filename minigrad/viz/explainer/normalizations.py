"""The normalizations that can be explained."""

from math import prod
from typing import Any

import numpy as np

from minigrad.autograd import Tensor, no_grad
from minigrad.nn import functional as F
from minigrad.ops.compare import where
from minigrad.ops.elementwise import expand
from minigrad.ops.norm.local import reach, window_sum
from minigrad.ops.power import pow
from minigrad.ops.reduction import mean, sum
from minigrad.ops.shape import reshape
from minigrad.ops.unary import sqrt
from minigrad.viz.explainer.operation import (
    AXES,
    FLAT,
    MEAN,
    NO_EPS,
    TWO,
    TWO_COUPLED,
    UNBIASED,
    VAR_WHY,
    VARIANCE,
    Closed,
    Operation,
    Setting,
    Switch,
    Term,
    inner,
    rounded,
    scales,
)
from minigrad.viz.explainer.walk import Walk

# -- standardizing by mean and variance --------------------------------------------------------------------


class Standardize(Operation):
    """y = γ (x − μ)/√(σ² + ε) + β: batch, layer, instance and group norm differ in who shares μ and σ²."""

    formula = "y = γ · (x − μ) / √(σ² + ε) + β"
    switches = (MEAN, VARIANCE, NO_EPS, UNBIASED, TWO, FLAT)
    eps = 1e-5
    sharing = ""

    def fill(self, shape: tuple[int, ...], rng: Any) -> dict[str, Any]:
        x = rounded(rng, shape)
        parameters = self.parameter_shape(shape)
        return {"x": x, "gamma": scales(rng, parameters), "beta": rounded(rng, parameters, 0.5)}

    def parameter_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Of γ and β."""
        return (shape[1],)

    def spread_shape(self, x: Any) -> tuple[int, ...]:
        """In which γ and β broadcast against x."""
        return (1, -1) + (1,) * (x.ndim - 2)

    def grouped_shape(self, x: Any, s: Setting) -> tuple[int, ...]:
        """The shape in which a group is whole axes of x; x.shape if it is so already."""
        return x.shape

    def shared(self, x: Any, s: Setting) -> tuple[int, ...]:
        """The axes, in the grouped shape, that are averaged over."""
        raise NotImplementedError

    def count(self, s: Setting) -> int:
        """m: how many elements share a statistic."""
        return prod(self.grouped_shape(s.x, s)[a] for a in self.shared(s.x, s))

    def first_group(self, x: Any, s: Setting) -> Any:
        shape, shared = self.grouped_shape(x, s), self.shared(x, s)
        inside = np.zeros(shape, bool)
        inside[tuple(slice(None) if a in shared else 0 for a in range(len(shape)))] = True
        return inside.reshape(x.shape)

    def moments(self, walk: Walk, s: Setting) -> None:
        """From x to the deviation s."""
        x = s.x
        axes, m = self.shared(x, s), self.count(s)
        shape = self.grouped_shape(x, s)
        divisor = m - 1 if "unbiased" in s.on else m
        eps = s.eps or 0.0
        root = "√σ²" if "eps" in s.on else "√(σ² + ε)"
        source = "x"
        if shape != x.shape:
            source = "grouped"
            walk.step(
                "grouped", "x′", lambda x: reshape(x, shape), {"x": "1"}, "x′ = x seen as (N, G, C/G, …)",
                "The channels are split into groups. No number changes, only the shape.",
                ("n", "g", "c", *AXES[2 : x.ndim]),
            )  # fmt: skip
        sym = walk.values[source].symbol
        walk.step(
            "mu", "μ", lambda x: mean(x, axes, keepdim=True), {source: f"1/{m}"}, f"μ = (1/{m}) Σ {sym}",
            f"The mean {self.sharing}. All {m} elements go into it, so each of them gets a share of its gradient.",
            statistic=True,
        )  # fmt: skip
        walk.step(
            "d", "d", lambda x, mu: x - mu, {source: "1", "mu": "−1, and add up: one μ was taken from each"},
            f"d = {sym} − μ",
            f"Centred. Here {sym} is used a second time: directly, and through μ. Its two gradients will add up.",
        )  # fmt: skip
        walk.step("q", "q", lambda d: d * d, {"d": "2d"}, "q = d²", "Squared, for the variance.")
        walk.step(
            "var", "σ²", lambda q: mean(q, axes, keepdim=True) if divisor == m else _over(q, axes, divisor),
            {"q": f"1/{divisor}"}, f"σ² = (1/{divisor}) Σ q",
            VAR_WHY if divisor == m else f"The unbiased variance: divided by {divisor}, not by {m}.",
            statistic=True,
        )  # fmt: skip
        walk.step(
            "s", "s", lambda v: sqrt(v + eps), {"var": "1/(2s)"}, f"s = {root}",
            "The deviation." if "eps" in s.on else "The deviation. ε inside the root keeps it away from 0.",
        )  # fmt: skip

    def stages(self, walk: Walk, s: Setting) -> None:
        self.moments(walk, s)
        walk.step(
            "x_hat", "x̂", lambda d, s: d / s, {"d": "1/s", "s": "−d/s², and add up: one s divides the whole group"},
            "x̂ = d / s", "Standardized: mean 0, variance 1 (a little less, because of ε). d is used a second time.",
        )  # fmt: skip
        normal = "x_hat"
        if self.grouped_shape(s.x, s) != s.x.shape:
            normal = "back"
            walk.step(
                "back", "x̂′", lambda x: reshape(x, s.x.shape), {"x_hat": "1"}, "x̂′ = x̂ seen as (N, C, …)",
                "The channels are channels again, because γ and β belong to channels.", self.axes[: s.x.ndim],
            )  # fmt: skip
        self.restore(walk, s, normal)

    def restore(self, walk: Walk, s: Setting, normal: str) -> None:
        """Scale and shift what is called `normal`."""
        spread = self.spread_shape(s.x)
        hat = walk.values[normal].symbol
        walk.step(
            "a", "a", lambda h, gamma: h * reshape(gamma, spread),
            {normal: "γ", "gamma": f"{hat}, and add up: one γ scales many"}, f"a = γ · {hat}",
            "Scaled, so that the network can choose the deviation.",
        )  # fmt: skip
        walk.step(
            "y", "y", lambda a, beta: a + reshape(beta, spread),
            {"a": "1", "beta": "1, and add up: one β shifts many"},
            "y = a + β", "Shifted: the output.",
        )  # fmt: skip

    def closed(self, s: Setting, cuts: frozenset[str]) -> Closed:
        x = s.x
        axes, m = self.shared(x, s), self.count(s)
        shape, spread = self.grouped_shape(x, s), self.spread_shape(x)
        with np.errstate(all="ignore"), no_grad():
            divisor = m - 1 if "unbiased" in s.on else m
            tx, gamma, dy = Tensor(x), reshape(Tensor(s.arrays["gamma"]), spread), Tensor(s.seed)
            grouped = reshape(tx, shape)
            d = grouped - mean(grouped, axes, keepdim=True)
            root = sqrt(_over(d * d, axes, divisor) + (s.eps or 0.0))
            hat = d / root
            g = reshape(dy * gamma, shape)  # ∂L/∂x̂
            average = mean(g, axes, keepdim=True)
            along = _over(g * hat, axes, divisor)
            direct, through_mean, through_var = (
                reshape(t, x.shape).array.copy()
                for t in (g / root, expand(-average / root, *shape), -hat * along / root)
            )
            flat = reshape(hat, x.shape)
            others = {
                "gamma": ("Σ ∂L/∂y · x̂", _sum_like(dy * flat, s.arrays["gamma"], spread)),
                "beta": ("Σ ∂L/∂y", _sum_like(dy, s.arrays["beta"], spread)),
            }
        share = f"1/{divisor} Σ"
        terms = [
            Term("ĝ / s", "straight: x → d → x̂", direct),
            Term(f"− (1/{m} Σ ĝ) / s", "through the mean: x → μ → d → x̂", through_mean, "mu"),
            Term(f"− x̂ · ({share} ĝ·x̂) / s", "through the variance: x → d → q → σ² → s → x̂", through_var, "var"),
        ]
        derivation = [
            (
                "∂L/∂x̂ = ĝ = γ · ∂L/∂y",
                "First the scale is undone. β gets its gradient here, and does not change the rest.",
            ),
            ("∂L/∂s = Σ ĝ · (−d/s²) = −(Σ ĝ·x̂) / s", "One s divides the whole group: its gradient is a sum over it."),
            ("∂L/∂σ² = ∂L/∂s · 1/(2s) = −(Σ ĝ·x̂) / (2s²)", "The derivative of the root."),
            (
                f"∂L/∂d = ĝ/s + ∂L/∂σ² · (1/{divisor}) · 2d = ( ĝ − x̂ · {share} ĝ·x̂ ) / s",
                "d has two users. The 2 of the square and the ½ of the root cancel; so does one s.",
            ),
            ("∂L/∂μ = −Σ ∂L/∂d = −(Σ ĝ) / s", "The part along x̂ drops out, because Σ x̂ = 0."),
            (
                f"∂L/∂x = ∂L/∂d + (1/{m}) ∂L/∂μ = ( ĝ − 1/{m} Σ ĝ − x̂ · {share} ĝ·x̂ ) / s",
                "x has two users as well. The result is ĝ without its mean and without its part along x̂, rescaled: "
                "x̂ does not change when x is shifted or rescaled, so no gradient points in these directions.",
            ),
        ]
        return Closed(f"∂L/∂x = ( ĝ − 1/{m} Σ ĝ − x̂ · {share} ĝ·x̂ ) / s,  ĝ = γ · ∂L/∂y", terms, others, derivation)

    def laws(self, s: Setting, walk: Walk, gradient: Any) -> list[tuple[str, str, Any]]:
        axes, shape = self.shared(s.x, s), self.grouped_shape(s.x, s)
        g, hat = gradient.reshape(shape), (walk["d"] / walk["s"]).array
        small = " (Not quite 0, because of ε.)" if s.eps else ""
        return [
            ("Σ ∂L/∂x over each group", "x̂ stays as it is when a group is shifted: no gradient points there.",
             inner(g, np.ones(shape), axes)),
            ("Σ ∂L/∂x · x̂ over each group", f"x̂ stays as it is when a group is rescaled.{small}",
             inner(g, hat, axes)),
        ]  # fmt: skip


def _over(x: Any, axes: tuple[int, ...], divisor: float) -> Any:
    """Σ x / divisor over `axes`, which stay; NaN or ∞ where the divisor is 0."""
    total = sum(x, axes, keepdim=True)
    return total * (1 / divisor if divisor else np.inf)


def _sum_like(x: Any, parameter: Any, spread: tuple[int, ...]) -> Any:
    """The sum over everything that shares a parameter."""
    shape = np.reshape(parameter, spread).shape
    shape = (1,) * (x.ndim - len(shape)) + shape
    axes = tuple(a for a in range(x.ndim) if shape[a] == 1 and x.shape[a] != 1)
    total = sum(x, axes, keepdim=True) if axes else x
    return total.array.reshape(np.shape(parameter)).copy()


class BatchNorm(Standardize):
    name, title = "batch_norm", "Batch normalization"
    about = (
        "Every channel is standardized by the mean and variance of the whole batch. So every output of a channel "
        "depends on every sample, and every sample gets a gradient from all the others."
    )
    source = "Ioffe & Szegedy, arXiv 1502.03167"
    shape = (4, 2)
    sharing = "of one channel, over the batch"
    switches = (MEAN, VARIANCE, NO_EPS, UNBIASED, TWO_COUPLED, FLAT)

    def shared(self, x: Any, s: Setting) -> tuple[int, ...]:
        return (0, *range(2, x.ndim))

    def at_once(self, s: Setting, *leaves: Tensor) -> Tensor:
        x, gamma, beta = leaves
        return F.batch_norm(x, None, None, gamma, beta, training=True, eps=s.eps or 0.0)


class LayerNorm(Standardize):
    name, title = "layer_norm", "Layer normalization"
    about = (
        "Every sample is standardized separately, over all its features. Samples are independent of each other: a "
        "batch of two changes no gradient of x."
    )
    source = "Ba, Kiros & Hinton, arXiv 1607.06450"
    shape = (3, 4)
    sharing = "of one sample"

    def parameter_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return shape[1:]

    def spread_shape(self, x: Any) -> tuple[int, ...]:
        return x.shape[1:]

    def shared(self, x: Any, s: Setting) -> tuple[int, ...]:
        return tuple(range(1, x.ndim))

    def leaf_axes(self, name: str, array: Any) -> tuple[str, ...]:
        return AXES[1 : 1 + array.ndim]

    def at_once(self, s: Setting, *leaves: Tensor) -> Tensor:
        x, gamma, beta = leaves
        return F.layer_norm(x, x.shape[1:], gamma, beta, s.eps or 0.0)


class InstanceNorm(Standardize):
    name, title = "instance_norm", "Instance normalization"
    about = (
        "Every channel of every sample is standardized separately, over space. This removes the style of a picture."
    )
    source = "Ulyanov, Vedaldi & Lempitsky, arXiv 1607.08022"
    shape = (3, 2, 3)
    ranks = (3, 4)
    sharing = "of one channel of one sample, over space"

    def shared(self, x: Any, s: Setting) -> tuple[int, ...]:
        return tuple(range(2, x.ndim))

    def at_once(self, s: Setting, *leaves: Tensor) -> Tensor:
        x, gamma, beta = leaves
        return F.instance_norm(x, None, None, gamma, beta, eps=s.eps or 0.0)


class GroupNorm(Standardize):
    name, title = "group_norm", "Group normalization"
    about = (
        "The channels of a sample are divided into groups, and each group is standardized separately. Statistics "
        "belong to groups, γ and β to channels."
    )
    source = "Wu & He, arXiv 1803.08494"
    shape = (3, 6)
    sharing = "of one group of channels of one sample"

    def grouped_shape(self, x: Any, s: Setting) -> tuple[int, ...]:
        return (x.shape[0], s.groups, x.shape[1] // s.groups, *x.shape[2:])

    def shared(self, x: Any, s: Setting) -> tuple[int, ...]:
        return tuple(range(2, x.ndim + 1))

    def at_once(self, s: Setting, *leaves: Tensor) -> Tensor:
        x, gamma, beta = leaves
        return F.group_norm(x, s.groups, gamma, beta, s.eps or 0.0)


# -- batch renorm ------------------------------------------------------------------------------------------


class BatchRenorm(BatchNorm):
    """x̂ = (x − μ)/s · r + δ, where r and δ compare the batch with running averages and count as constants."""

    name, title = "batch_renorm", "Batch renormalization"
    formula = "y = γ · ( (x − μ)/s · r + δ ) + β,  r = clip(s/σᵣ),  δ = clip((μ − μᵣ)/σᵣ)"
    about = (
        "Batch norm whose x̂ is brought to what the running averages μᵣ and σᵣ would have made of x. r and δ depend on "
        "the batch, and yet count as constants by definition: let the gradient flow through them, and see what is "
        "left."
    )
    source = "Ioffe, arXiv 1702.03275"
    fixed_cuts = ("r", "delta")
    r_max, d_max = 3.0, 5.0
    switches = (
        MEAN,
        VARIANCE,
        Switch(
            "flow", "Let the gradient flow through r and δ",
            "Where nothing is clipped, x̂ is then (x − μᵣ)/σᵣ, and the batch's statistics cancel: no coupling is left.",
            "gradient", uncut=("r", "delta"),
        ),
        NO_EPS, UNBIASED, TWO_COUPLED,
    )  # fmt: skip

    def given(self, arrays: dict[str, Any], rng: Any) -> dict[str, Any]:
        x = arrays["x"]
        axes = (0, *range(2, x.ndim))
        with np.errstate(all="ignore"):
            return {
                "running_mean": np.round(x.mean(axes) + 0.3, 1),
                "running_std": np.round(x.std(axes) * 1.25 + 0.1, 1),
            }

    def stages(self, walk: Walk, s: Setting) -> None:
        spread = self.spread_shape(s.x)
        self.moments(walk, s)
        average, deviation = (s.given[k].reshape(spread) for k in ("running_mean", "running_std"))
        walk.step(
            "z", "z", lambda d, s: d / s, {"d": "1/s", "s": "−d/s², and add up: one s divides the whole group"},
            "z = d / s", "Standardized by the batch: the x̂ of batch norm.",
        )  # fmt: skip
        walk.step(
            "r", "r", lambda s: _clip(s / deviation, 1 / self.r_max, self.r_max), {"s": "1/σᵣ (0 where clipped)"},
            "r = clip(s / σᵣ)", "How much wider the batch is than the running average. A constant by definition: "
            "gradient arrives here, and goes no further.",
        )  # fmt: skip
        walk.step(
            "delta", "δ", lambda mu: _clip((mu - average) / deviation, -self.d_max, self.d_max),
            {"mu": "1/σᵣ (0 where clipped)"}, "δ = clip((μ − μᵣ) / σᵣ)",
            "The distance of the batch from the running average. Also a constant by definition.",
        )  # fmt: skip
        walk.step(
            "x_hat", "x̂", lambda z, r, delta: z * r + delta,
            {"z": "r", "r": "z, and add up", "delta": "1, and add up"}, "x̂ = z · r + δ",
            "The value that the running averages would give, within the limits.",
        )  # fmt: skip
        self.restore(walk, s, "x_hat")

    def closed(self, s: Setting, cuts: frozenset[str]) -> Closed:
        x = s.x
        axes, m, spread = self.shared(x, s), self.count(s), self.spread_shape(x)
        divisor = m - 1 if "unbiased" in s.on else m
        with np.errstate(all="ignore"), no_grad():
            average, deviation = (s.given[k].reshape(spread) for k in ("running_mean", "running_std"))
            tx, dy = Tensor(x), Tensor(s.seed)
            mu = mean(tx, axes, keepdim=True)
            d = tx - mu
            root = sqrt(_over(d * d, axes, divisor) + (s.eps or 0.0))
            z = d / root
            ratio, shift = root / deviation, (mu - average) / deviation
            r, delta = _clip(ratio, 1 / self.r_max, self.r_max), _clip(shift, -self.d_max, self.d_max)
            free_r, free_delta = (r.array == ratio.array) / deviation, (delta.array == shift.array) / deviation
            g = dy * reshape(Tensor(s.arrays["gamma"]), spread)
            average_g, along = mean(g, axes, keepdim=True), _over(g * z, axes, divisor)
            hat = z * r + delta
            full = x.shape
            arrays = [
                t.array.copy()
                for t in (
                    g * r / root,
                    expand(-average_g * r / root, *full),
                    -z * along * r / root,
                    z * along * free_r,
                    expand(average_g * free_delta, *full),
                )
            ]
            others = {
                "gamma": ("Σ ∂L/∂y · x̂", _sum_like(dy * hat, s.arrays["gamma"], spread)),
                "beta": ("Σ ∂L/∂y", _sum_like(dy, s.arrays["beta"], spread)),
            }
        if "var" in cuts:  # r comes from σ², and δ from μ
            arrays[3] = np.zeros_like(arrays[3])
        if "mu" in cuts:
            arrays[4] = np.zeros_like(arrays[4])
        share = f"1/{divisor} Σ"
        terms = [
            Term("ĝ · r/s", "straight: x → d → z → x̂", arrays[0]),
            Term(f"− (1/{m} Σ ĝ) · r/s", "through the mean: x → μ → d → z → x̂", arrays[1], "mu"),
            Term(f"− z · ({share} ĝ·z) · r/s", "through the variance: x → … → σ² → s → z → x̂", arrays[2], "var"),
            Term(f"+ z · ({share} ĝ·z) / σᵣ", "through r: x → … → σ² → s → r → x̂", arrays[3], "r"),
            Term(f"+ (1/{m} Σ ĝ) / σᵣ", "through δ: x → μ → δ → x̂", arrays[4], "delta"),
        ]
        derivation = [
            ("∂L/∂z = ĝ · r,  ĝ = γ · ∂L/∂y", "r is a number like any other."),
            (
                f"∂L/∂x = r/s · ( ĝ − 1/{m} Σ ĝ − z · {share} ĝ·z )",
                "From z to x this is batch norm; see its walk. Its gradient is scaled by r.",
            ),
            (
                "r/s = 1/σᵣ where r is not clipped",
                "So the scale of the gradient is that of the running averages. Were r and δ differentiated, their two "
                "terms would cancel the second and the third, and leave ĝ/σᵣ: a plain division by a constant.",
            ),
        ]
        return Closed(f"∂L/∂x = r/s · ( ĝ − 1/{m} Σ ĝ − z · {share} ĝ·z ),  ĝ = γ · ∂L/∂y", terms, others, derivation)

    def laws(self, s: Setting, walk: Walk, gradient: Any) -> list[tuple[str, str, Any]]:
        if "flow" in s.on:  # then x̂ does feel shifts and rescalings
            return []
        return super().laws(s, walk, gradient)

    def at_once(self, s: Setting, *leaves: Tensor) -> Tensor:
        x, gamma, beta = leaves
        average, deviation = (s.given[k].copy() for k in ("running_mean", "running_std"))
        return F.batch_renorm(x, average, deviation, gamma, beta, True, 0.0, s.eps or 0.0, self.r_max, self.d_max)


def _clip(x: Any, lowest: float, highest: float) -> Any:
    """x within the limits; the gradient is 0 where it was outside."""
    inside = (x.array >= lowest) & (x.array <= highest)
    return where(inside, x, Tensor(np.clip(x.array, lowest, highest)))


# -- dividing by a length ----------------------------------------------------------------------------------


class RMSNorm(Operation):
    name, title = "rms_norm", "RMSNorm"
    formula = "y = γ · x / √(mean(x²) + ε)"
    about = (
        "Every sample is divided by its root mean square; nothing is subtracted. It is layer norm without the mean: "
        "one statistic, one fork and one term fewer."
    )
    source = "Zhang & Sennrich, arXiv 1910.07467"
    shape = (3, 4)
    eps = 1e-5
    switches = (
        Switch("square", "Treat the mean square as a constant", "Cuts the path through M.", "gradient", "ms"),
        NO_EPS, TWO,
        Switch("flat", "Make the first sample zero", "All its elements are 0, so its length is 0.", "function"),
    )  # fmt: skip

    def fill(self, shape: tuple[int, ...], rng: Any) -> dict[str, Any]:
        return {"x": rounded(rng, shape), "gamma": scales(rng, shape[1:])}

    def leaf_axes(self, name: str, array: Any) -> tuple[str, ...]:
        return AXES[1 : 1 + array.ndim]

    def switched(self, s: Setting, on: frozenset[str]) -> Setting:
        changed = super().switched(s, on - {"flat"})
        changed.on = on
        if "flat" in on:
            changed.arrays["x"] = changed.arrays["x"].copy()
            changed.arrays["x"][0] = 0
        return changed

    def stages(self, walk: Walk, s: Setting) -> None:
        x, eps = s.x, s.eps or 0.0
        axes, m = tuple(range(1, x.ndim)), prod(x.shape[1:])
        walk.step("q", "q", lambda x: x * x, {"x": "2x"}, "q = x²", "Squared. x will be used a second time.")
        walk.step(
            "ms", "M", lambda q: mean(q, axes, keepdim=True), {"q": f"1/{m}"}, f"M = (1/{m}) Σ q",
            "The mean square of a sample: the only statistic.", statistic=True,
        )  # fmt: skip
        walk.step(
            "s", "s", lambda ms: sqrt(ms + eps), {"ms": "1/(2s)"}, "s = √M" if "eps" in s.on else "s = √(M + ε)",
            "The root mean square.",
        )  # fmt: skip
        walk.step(
            "x_hat", "x̂", lambda x, s: x / s, {"x": "1/s", "s": "−x/s², and add up: one s divides the whole sample"},
            "x̂ = x / s", "Rescaled to length √m; the direction is that of x.",
        )  # fmt: skip
        walk.step(
            "y", "y", lambda h, gamma: h * gamma, {"x_hat": "γ", "gamma": "x̂, and add up: one γ scales many"},
            "y = γ · x̂", "Scaled: the output.",
        )  # fmt: skip

    def closed(self, s: Setting, cuts: frozenset[str]) -> Closed:
        x, axes, m = s.x, tuple(range(1, s.x.ndim)), prod(s.x.shape[1:])
        with np.errstate(all="ignore"), no_grad():
            tx, dy = Tensor(x), Tensor(s.seed)
            root = sqrt(mean(tx * tx, axes, keepdim=True) + (s.eps or 0.0))
            hat = tx / root
            g = dy * Tensor(s.arrays["gamma"])
            along = mean(g * hat, axes, keepdim=True)
            terms = [
                Term("ĝ / s", "straight: x → x̂", (g / root).array.copy()),
                Term(
                    f"− x̂ · (1/{m} Σ ĝ·x̂) / s", "through the length: x → q → M → s → x̂",
                    (-hat * along / root).array.copy(), "ms",
                ),
            ]  # fmt: skip
            others = {"gamma": ("Σ ∂L/∂y · x̂", sum(dy * hat, 0).array.copy())}
        derivation = [
            ("∂L/∂x̂ = ĝ = γ · ∂L/∂y", "The scale is undone first."),
            ("∂L/∂s = −(Σ ĝ·x̂) / s", "One s divides the whole sample: its gradient is a sum over it."),
            ("∂L/∂M = −(Σ ĝ·x̂) / (2s²)", "The derivative of the root."),
            (
                f"∂L/∂x = ĝ/s + ∂L/∂M · (1/{m}) · 2x = ( ĝ − x̂ · 1/{m} Σ ĝ·x̂ ) / s",
                "x has two users. What is left takes from ĝ its part along x̂: a longer x gives the same y, so no "
                "gradient points along x. The mean stays in: RMSNorm does feel a shift.",
            ),
        ]
        return Closed(f"∂L/∂x = ( ĝ − x̂ · 1/{m} Σ ĝ·x̂ ) / s,  ĝ = γ · ∂L/∂y", terms, others, derivation)

    def at_once(self, s: Setting, *leaves: Tensor) -> Tensor:
        x, gamma = leaves
        return F.rms_norm(x, x.shape[1:], gamma, s.eps or 0.0)

    def laws(self, s: Setting, walk: Walk, gradient: Any) -> list[tuple[str, str, Any]]:
        small = " (Not quite 0, because of ε.)" if s.eps else ""
        return [
            ("Σ ∂L/∂x · x̂ of each sample", f"x̂ stays as it is when a sample is rescaled.{small}",
             inner(gradient, walk["x_hat"].array, tuple(range(1, s.x.ndim)))),
        ]  # fmt: skip


class WeightNorm(Operation):
    name, title = "weight_norm", "Weight normalization"
    formula = "w = g · v / ‖v‖"
    about = (
        "No activation is used: a weight is written as a length times a direction. The gradient of v stands at "
        "right angles to v, so v only grows."
    )
    source = "Salimans & Kingma, arXiv 1602.07868"
    shape = (2, 3)
    batch = False
    axes = ("unit", "in", "h", "w")
    switches = (Switch("length", "Treat the length as a constant", "Cuts the path through ‖v‖.", "gradient", "n"),)

    def fill(self, shape: tuple[int, ...], rng: Any) -> dict[str, Any]:
        lengths = (shape[0],) + (1,) * (len(shape) - 1)
        return {"v": rounded(rng, shape), "g": scales(rng, lengths)}

    def leaf_axes(self, name: str, array: Any) -> tuple[str, ...]:
        return self.axes[: array.ndim]

    def stages(self, walk: Walk, s: Setting) -> None:
        axes = tuple(range(1, s.x.ndim))
        walk.step("q", "q", lambda v: v * v, {"v": "2v"}, "q = v²", "Squared. v will be used a second time.")
        walk.step(
            "S", "S", lambda q: sum(q, axes, keepdim=True), {"q": "1"}, "S = Σ q", "The sum over a unit's weights.",
            statistic=True,
        )  # fmt: skip
        walk.step("n", "‖v‖", sqrt, {"S": "1/(2‖v‖)"}, "‖v‖ = √S", "The length of a unit's weights.")
        walk.step(
            "u", "u", lambda v, n: v / n, {"v": "1/‖v‖", "n": "−v/‖v‖², and add up: one ‖v‖ divides the whole unit"},
            "u = v / ‖v‖", "The direction alone, of length 1.",
        )  # fmt: skip
        walk.step(
            "w", "w", lambda u, g: u * g, {"u": "g", "g": "u, and add up: one g scales the whole unit"},
            "w = g · u", "The weight that the layer uses.",
        )  # fmt: skip

    def closed(self, s: Setting, cuts: frozenset[str]) -> Closed:
        axes = tuple(range(1, s.x.ndim))
        with np.errstate(all="ignore"), no_grad():
            v, g, dw = Tensor(s.x), Tensor(s.arrays["g"]), Tensor(s.seed)
            length = sqrt(sum(v * v, axes, keepdim=True))
            u = v / length
            along = sum(dw * u, axes, keepdim=True)
            terms = [
                Term("g/‖v‖ · ∂L/∂w", "straight: v → u", (g / length * dw).array.copy()),
                Term(
                    "− g/‖v‖ · u · (Σ u·∂L/∂w)", "through the length: v → q → S → ‖v‖ → u",
                    (-g / length * u * along).array.copy(), "n",
                ),
            ]  # fmt: skip
            others = {"g": ("Σ u · ∂L/∂w", along.array.copy())}
        derivation = [
            ("∂L/∂u = g · ∂L/∂w", "The length is undone first, and gets as its gradient the part of ∂L/∂w along u."),
            ("∂L/∂‖v‖ = −g/‖v‖ · Σ u·∂L/∂w", "One length divides the whole unit."),
            ("∂‖v‖/∂v = v/‖v‖ = u", "The 2 of the square and the ½ of the root cancel."),
            (
                "∂L/∂v = g/‖v‖ · ( ∂L/∂w − u · Σ u·∂L/∂w )",
                "v has two users. What is left has no part along v: a longer v gives the same w.",
            ),
        ]
        return Closed("∂L/∂v = g/‖v‖ · ( ∂L/∂w − u · Σ u·∂L/∂w )", terms, others, derivation)

    def at_once(self, s: Setting, *leaves: Tensor) -> Tensor:
        v, g = leaves
        return F.weight_norm(v, g)

    def laws(self, s: Setting, walk: Walk, gradient: Any) -> list[tuple[str, str, Any]]:
        return [
            ("Σ ∂L/∂v · v of each unit", "w stays as it is when v is rescaled: a step moves v at right angles.",
             inner(gradient, s.x, tuple(range(1, s.x.ndim)))),
        ]  # fmt: skip


class LocalResponseNorm(Operation):
    name, title = "local_response_norm", "Local response normalization"
    formula = "y = x / (k + α/n · Σ x²)^β over a window of n = 3 channels, with α = 1, β = 0.75, k = 1"
    about = (
        "Every element is divided by a power of the energy in the channels around it. Windows overlap, so an element "
        "counts in several denominators and collects a gradient from each: nothing cancels here. "
        "(α is 1 here; the usual 1e-4 would hide what happens.)"
    )
    source = "Krizhevsky, Sutskever & Hinton, 2012"
    shape = (3, 5)
    size, alpha, power, k = 3, 1.0, 0.75, 1.0
    switches = (
        Switch("energy", "Treat the neighbours' energy as a constant", "Cuts the path through E.", "gradient", "E"),
        TWO,
    )

    def fill(self, shape: tuple[int, ...], rng: Any) -> dict[str, Any]:
        return {"x": rounded(rng, shape)}

    def window(self, x: Any) -> tuple[int, int]:
        before, after = reach(self.size)
        limit = max(x.shape[1] - 1, 0)
        return min(before, limit), min(after, limit)

    def stages(self, walk: Walk, s: Setting) -> None:
        before, after = self.window(s.x)
        walk.step("q", "q", lambda x: x * x, {"x": "2x"}, "q = x²", "The energy of each element.")
        walk.step(
            "E", "E", lambda q: window_sum(q, 1, before, after),
            {"q": "1 for each window that holds it, and add up"}, "E = Σ q over the window",
            "The energy around each element: a sum over neighbouring channels. Each q is in up to three windows.",
            statistic=True,
        )  # fmt: skip
        walk.step(
            "D", "D", lambda e: e * (self.alpha / self.size) + self.k, {"E": "α/3"}, "D = k + (α/3) · E",
            "Weighted; k keeps it away from 0.",
        )  # fmt: skip
        walk.step("B", "B", lambda d: pow(d, self.power), {"D": "β · D^(β−1)"}, "B = Dᵝ", "The power that divides.")
        walk.step(
            "y", "y", lambda x, b: x / b, {"x": "1/B", "B": "−x/B²"}, "y = x / B",
            "Strong responses inhibit their neighbours. x is used a second time.",
        )  # fmt: skip

    def closed(self, s: Setting, cuts: frozenset[str]) -> Closed:
        before, after = self.window(s.x)
        weight = self.alpha / self.size
        with np.errstate(all="ignore"), no_grad():
            x, dy = Tensor(s.x), Tensor(s.seed)
            d = window_sum(x * x, 1, before, after) * weight + self.k
            inhibited = window_sum(dy * x / pow(d, self.power + 1), 1, after, before)
            terms = [
                Term("∂L/∂y / D^β", "straight: x → y", (dy / pow(d, self.power)).array.copy()),
                Term(
                    "− (2αβ/3) · x · Σ ∂L/∂y · x / D^(β+1)", "through the windows: x → q → E → D → B → y",
                    (x * inhibited * (-2 * weight * self.power)).array.copy(), "E",
                ),
            ]  # fmt: skip
        derivation = [
            ("∂L/∂B = −∂L/∂y · x / B²", "Each element has a denominator of its own."),
            ("∂L/∂E = (α/3) · β · D^(β−1) · ∂L/∂B = −(αβ/3) · ∂L/∂y · x / D^(β+1)", "D^(β−1) / D^(2β) = 1 / D^(β+1)."),
            ("∂L/∂q = Σ ∂L/∂E over the windows that hold it", "The window of the sum, reversed."),
            (
                "∂L/∂x = ∂L/∂y / D^β − (2αβ/3) · x · Σ ∂L/∂y · x / D^(β+1)",
                "x has two users. The sum runs over the elements in whose window x lies.",
            ),
        ]
        return Closed(
            "∂L/∂x = ∂L/∂y / D^β − (2αβ/3) · x · Σ ∂L/∂y · x / D^(β+1)", terms, {}, derivation
        )  # fmt: skip

    def at_once(self, s: Setting, *leaves: Tensor) -> Tensor:
        return F.local_response_norm(leaves[0], self.size, self.alpha, self.power, self.k)
