"""Relatives of batch norm: batch renorm, ghost and mean-only batch norm, power norm, switchable norm."""

import numpy as np

from minigrad.autograd.tensor import raw
from minigrad.nn import functional as F
from minigrad.ops.norm import common, renorm, switchable
from minigrad.ops.norm import ghost as ghost_module
from tests.norms.harness import Method, Sabotage
from tests.parity.case import normal, positive
from tests.sabotage import Patch, attribute, forward, option, rule

EPS = 0.1


def channelwise(values, x):
    return np.reshape(values, (1, -1) + (1,) * (x.ndim - 2))


def others(x):
    """All axes but the channels'."""
    return (0, *range(2, x.ndim))


def statistics(x, axes):
    mean = x.mean(axes, keepdims=True)
    return mean, ((x - mean) ** 2).mean(axes, keepdims=True)


def scaled(x_hat, gamma, beta):
    return x_hat * channelwise(gamma, x_hat) + channelwise(beta, x_hat)


# -- batch renorm --------------------------------------------------------------------------------------------

LIMITS = {"r_max": 1.2, "d_max": 0.4}  # narrow: some channels are clipped at either end, and some are not


def corrections(x, mean, std):
    mu, variance = statistics(x, others(x))
    sigma = np.sqrt(variance + EPS)
    r = np.clip(sigma / channelwise(std, x), 1 / LIMITS["r_max"], LIMITS["r_max"])
    return r, np.clip((mu - channelwise(mean, x)) / channelwise(std, x), -LIMITS["d_max"], LIMITS["d_max"])


def renormed_with(r, d):
    def oracle(x, gamma, beta, mean, std):
        mu, variance = statistics(x, others(x))
        return scaled((x - mu) / np.sqrt(variance + EPS) * r + d, gamma, beta)

    return oracle


def renormed(x, gamma, beta, mean, std):
    return renormed_with(*corrections(x, mean, std))(x, gamma, beta, mean, std)


def renormed_frozen(x, gamma, beta, mean, std):
    return renormed_with(*corrections(x, mean, std))


def renorm_training(x, gamma, beta, mean, std):
    return F.batch_renorm(x, mean.clone(), std.clone(), gamma, beta, True, eps=EPS, **LIMITS)


def running(channels, dtype, mean=0.0, second=1.0):
    return np.full(channels, mean, dtype), np.full(channels, second, dtype)


# -- ghost batch norm ----------------------------------------------------------------------------------------


def ghosts(size):
    def oracle(x, gamma, beta):
        parts = np.split(x, range(size, len(x), size))
        means, variances = zip(*[statistics(part, others(x)) for part in parts], strict=True)
        x_hat = [(p - m) / np.sqrt(v + EPS) for p, m, v in zip(parts, means, variances, strict=True)]
        return scaled(np.concatenate(x_hat), gamma, beta)

    return oracle


def ghost(size):
    return lambda x, gamma, beta: F.ghost_batch_norm(x, size, None, None, gamma, beta, True, eps=EPS)


# -- power norm ----------------------------------------------------------------------------------------------


def powered(x, gamma, beta, square, nu):
    return scaled(x / np.sqrt(channelwise(square, x) + EPS), gamma, beta)


def powered_by_the_batch(x, gamma, beta, square, nu):
    return scaled(x / np.sqrt((x**2).mean(others(x), keepdims=True) + EPS), gamma, beta)


def published_backward(v, x, gamma, beta, square, nu):
    """Algorithm 2 of the paper, backward, line by line."""
    psi = np.sqrt(channelwise(square, x) + EPS)
    x_hat = x / psi
    d_x_hat = channelwise(gamma, x) * v
    d_x = (d_x_hat - channelwise(nu, x) * x_hat) / psi
    return d_x, (v * x_hat).sum(others(x)), v.sum(others(x))


def power_norm(**options):
    return lambda x, gamma, beta, square, nu: F.power_norm(
        x, square.clone(), nu.clone(), gamma, beta, eps=EPS, **({"training": True} | options)
    )


# -- switchable norm -----------------------------------------------------------------------------------------


def softmax(weights):
    return np.exp(weights) / np.exp(weights).sum()


def switched(*kinds):
    def oracle(x, gamma, beta, mean_weight, var_weight, *running):
        space = tuple(range(2, x.ndim))
        axes = {"in": space, "ln": (1, *space), "bn": (0, *space)}
        found = {kind: statistics(x, axes[kind]) for kind in kinds}
        if running:
            found["bn"] = tuple(channelwise(values, x) for values in running)
        mean, variance = (
            sum(softmax(weights)[k] * found[kind][i] for k, kind in enumerate(kinds))
            for i, weights in enumerate((mean_weight, var_weight))
        )
        return scaled((x - mean) / np.sqrt(variance + EPS), gamma, beta)

    return oracle


def switchable_norm(**options):
    return lambda x, gamma, beta, mean_weight, var_weight, *running: F.switchable_norm(
        x, mean_weight, var_weight, *(running or (None, None)), gamma, beta, not running, eps=EPS, **options
    )


AFFINE = normal(3), normal(3)

METHODS = [
    Method(
        name="batch_renorm",
        function=renorm_training,
        oracle=renormed,
        frozen_oracle=renormed_frozen,
        inputs=(normal(5, 3), *AFFINE, normal(3), positive(3)),
        shapes=[(renorm_training, renormed, (normal(3, 3, 4), *AFFINE, normal(3), positive(3)))],
        constant_args=(3, 4),
        extreme=lambda x, eps=1e-5: F.batch_renorm(x, *running(3, x.dtype, 0.5, 2.0), training=True, eps=eps),
        extreme_inputs=normal(4, 3, 6),
    ),
    Method(
        name="batch_renorm in evaluation",
        function=lambda x, gamma, beta, mean, std: F.batch_renorm(x, mean, std, gamma, beta),
        oracle=lambda x, gamma, beta, mean, std: scaled((x - channelwise(mean, x)) / channelwise(std, x), gamma, beta),
        inputs=(normal(4, 3), *AFFINE, normal(3), positive(3)),
        constant_args=(3, 4),
        extreme=lambda x: F.batch_renorm(x, *running(3, x.dtype, 0.5, 2.0)),
    ),
    Method(
        name="ghost_batch_norm",
        function=ghost(2),
        oracle=ghosts(2),
        inputs=(normal(4, 3), *AFFINE),
        shapes=[
            (ghost(3), ghosts(3), (normal(5, 3), *AFFINE)),  # the last ghost is smaller
            (ghost(2), ghosts(2), (normal(5, 3, 2), *AFFINE)),  # and here it is a single sample
            (
                lambda x: F.ghost_batch_norm(x, 9, training=True, eps=EPS),
                lambda x: ghosts(9)(x, np.ones(2), np.zeros(2)),
                (normal(3, 2, 2, 2),),
            ),
        ],
        extreme=lambda x, eps=1e-5: F.ghost_batch_norm(x, 2, training=True, eps=eps),
        extreme_inputs=normal(5, 3, 6),
    ),
    Method(
        name="mean_only_batch_norm",
        function=lambda x, beta: F.mean_only_batch_norm(x, None, beta, True),
        oracle=lambda x, beta: x - statistics(x, others(x))[0] + channelwise(beta, x),
        inputs=(normal(4, 3), normal(3)),
        shapes=[
            (
                lambda x: F.mean_only_batch_norm(x, training=True),
                lambda x: x - statistics(x, others(x))[0],
                (normal(2, 3, 4),),
            ),
            (
                lambda x, beta: F.mean_only_batch_norm(x, np.array([0.3, -1.0], x.dtype), beta),
                lambda x, beta: x - channelwise([0.3, -1.0], x) + channelwise(beta, x),
                (normal(3, 2, 2), normal(2)),
            ),
        ],
        extreme=lambda x: F.mean_only_batch_norm(x, training=True),
        extreme_inputs=normal(4, 3, 6),
    ),
    Method(
        name="power_norm",
        function=power_norm(),
        oracle=powered,
        derivative_oracle=published_backward,
        inputs=(normal(4, 3), *AFFINE, positive(3), normal(3)),
        shapes=[(power_norm(), powered, (normal(3, 3, 4), *AFFINE, positive(3), normal(3)))],
        constant_args=(3, 4),
        extreme=lambda x: F.power_norm(x, running(3, x.dtype, 2.0)[0], running(3, x.dtype, 0.3)[0], training=True),
    ),
    Method(
        name="power_norm with the derivative",
        function=power_norm(approximate=False),
        oracle=powered,
        inputs=(normal(4, 3), *AFFINE, positive(3), normal(3)),
        shapes=[(power_norm(training=False), powered, (normal(3, 3, 2), *AFFINE, positive(3), normal(3)))],
        constant_args=(3, 4),
        extreme=lambda x: F.power_norm(x, running(3, x.dtype, 2.0)[0]),
    ),
    Method(
        name="power_norm warming up",
        function=power_norm(warmup=True),
        oracle=powered_by_the_batch,
        inputs=(normal(4, 3), *AFFINE, positive(3), normal(3)),
        shapes=[(power_norm(warmup=True), powered_by_the_batch, (normal(3, 3, 4), *AFFINE, positive(3), normal(3)))],
        constant_args=(3, 4),
        extreme=lambda x, eps=1e-5: F.power_norm(
            x, running(3, x.dtype, 2.0)[0], running(3, x.dtype, 0.3)[0], training=True, eps=eps, warmup=True
        ),
        extreme_inputs=normal(4, 3, 6),
    ),
    Method(
        name="switchable_norm",
        function=switchable_norm(),
        oracle=switched("in", "ln", "bn"),
        inputs=(normal(2, 3, 4), *AFFINE, normal(3), normal(3)),
        shapes=[
            (switchable_norm(), switched("in", "ln", "bn"), (normal(3, 3, 2, 2), *AFFINE, normal(3), normal(3))),
            (
                switchable_norm(using_bn=False),
                switched("in", "ln"),
                (normal(2, 3, 4), *AFFINE, normal(2), normal(2)),
            ),
            (
                switchable_norm(using_in=False),
                switched("ln", "bn"),
                (normal(4, 3), *AFFINE, normal(2), normal(2)),
            ),
        ],
        extreme=lambda x, eps=1e-5: F.switchable_norm(
            x, np.array([0, 1, 2], x.dtype), np.array([1, 2, 0], x.dtype), training=True, eps=eps
        ),
    ),
    Method(
        name="switchable_norm in evaluation",
        function=switchable_norm(),
        oracle=switched("in", "ln", "bn"),
        inputs=(normal(2, 3, 4), *AFFINE, normal(3), normal(3), normal(3), positive(3)),
        constant_args=(5, 6),
        extreme=lambda x, eps=1e-5: F.switchable_norm(
            x,
            np.array([0, 1, 2], x.dtype),
            np.array([1, 2, 0], x.dtype),
            *running(3, x.dtype, 0.5, 2.0),
            eps=eps,
        ),
    ),
]


def flowing(self, x, gamma, beta):
    """Batch renorm's composed form, with a gradient through d."""
    shape, axes = (1, -1) + (1,) * (x.ndim - 2), (0, *range(2, x.ndim))
    mu, variance = common.moments(x, axes)
    x_hat = common.standardize(x, mu, variance, self.eps) * self.r.reshape(shape)
    return common.affine(x_hat + mu * 0.1 - raw(mu) * 0.1 + self.d.reshape(shape), gamma, beta, shape)


def without_correction(self, g, x, gamma, dx, dgamma, dbeta):
    """Batch renorm's γ gets the gradient of batch norm's."""
    common.ChannelNorm.differentiate(self, g, x, gamma * (1 if self.r is None else self.r), dx, dgamma, dbeta)


def of_the_last_ghost(original):
    def differentiate(self, *arrays):
        self.every = [self.every[-1]] * len(self.every)
        original(self, *arrays)

    return differentiate


def without_the_layer(original):
    def gather(self, stats):
        original(self, stats)
        mu, variance = self.statistics["layer"]
        instance = self.statistics["instance"]
        self.statistics["layer"] = mu, instance[1].mean(1, keepdims=True) + 0 * variance

    return gather


def tenfold(eps):
    return 10 * eps


def patched(cls, name, change):
    return lambda patch: patch.setattr(cls, name, change)


def halved_gamma(patch: Patch) -> None:
    """γ's gradient is half of what it should be."""
    original = common.FusedNorm.gradients

    def gradients(self, *arrays):
        dx, dgamma, dbeta = original(self, *arrays)
        return dx, None if dgamma is None else dgamma / 2, dbeta

    patch.setattr(common.FusedNorm, "gradients", gradients)


SABOTAGE = [
    Sabotage("batch_renorm", "d has no limit", option("batch_renorm", d_max=lambda _: 100.0), "forward"),
    Sabotage("batch_renorm", "r has no limit", option("batch_renorm", r_max=lambda _: 100.0), "forward"),
    Sabotage(
        "batch_renorm",
        "γ forgets the correction",
        patched(renorm.BatchRenorm, "differentiate", without_correction),
        "first derivative",
    ),
    Sabotage(
        "batch_renorm",
        "a gradient flows through d in the composed form",
        patched(renorm.BatchRenorm, "composed", flowing),
        "second derivative",
    ),
    Sabotage(
        "batch_renorm in evaluation",
        "the running average is taken for a variance",
        option("batch_renorm", running_std=lambda std: std**0.5),
        "forward",
    ),
    Sabotage("batch_renorm in evaluation", "γ's gradient is halved", halved_gamma, "first derivative"),
    Sabotage("ghost_batch_norm", "one large ghost", option("ghost_batch_norm", ghost_size=lambda _: 100), "forward"),
    Sabotage(
        "ghost_batch_norm",
        "all ghosts go back by the last one's statistics",
        patched(
            ghost_module.GhostBatchNorm, "differentiate", of_the_last_ghost(ghost_module.GhostBatchNorm.differentiate)
        ),
        "first derivative",
    ),
    Sabotage(
        "mean_only_batch_norm",
        "the mean is taken for a constant",
        rule("MeanOnlyBatchNorm", lambda self, g: (g, g.sum(0))),
        "first derivative",
    ),
    Sabotage(
        "mean_only_batch_norm",
        "the mean is rounded to float32",
        forward("MeanOnlyBatchNorm", lambda original, self, x, beta: x - x.mean((0, 2), keepdims=True)),
        "extremes",
    ),
    Sabotage(
        "power_norm",
        "the derivative is taken for the published backward",
        option("power_norm", approximate=lambda _: False),
        "first derivative",
    ),
    Sabotage("power_norm", "the batch's ψ is used", option("power_norm", warmup=lambda _: True), "forward"),
    Sabotage(
        "power_norm with the derivative",
        "the published backward is taken for the derivative",
        option("power_norm", approximate=lambda _: True),
        "first derivative",
    ),
    Sabotage(
        "power_norm with the derivative", "ε is ten times as large", option("power_norm", eps=tenfold), "forward"
    ),
    Sabotage(
        "power_norm warming up", "the running average is used", option("power_norm", warmup=lambda _: False), "forward"
    ),
    Sabotage(
        "power_norm warming up",
        "the quadratic mean loses the mean",
        attribute(
            "minigrad.ops.norm.power.wide_moments",
            lambda original: lambda stats, eps: (0.0, original(stats, eps)[1]),
        ),
        "forward",
    ),
    Sabotage(
        "switchable_norm",
        "layers have no variance between their instances",
        patched(switchable.SwitchableNorm, "gather", without_the_layer(switchable.SwitchableNorm.gather)),
        "forward",
    ),
    Sabotage(
        "switchable_norm",
        "the statistics are taken for constants",
        patched(switchable.SwitchableNorm, "add_line", lambda *_: None),
        "first derivative",
    ),
    Sabotage(
        "switchable_norm in evaluation",
        "the batch's own statistics are used",
        option("switchable_norm", training=lambda _: True),
        "forward",
    ),
    Sabotage(
        "switchable_norm in evaluation", "ε is ten times as large", option("switchable_norm", eps=tenfold), "forward"
    ),
]
