"""AdaIN, conditional instance and batch normalization, SPADE: γ and β come from another input."""

import numpy as np

from minigrad.nn import functional as F
from minigrad.ops.norm import conditional
from tests.norms.harness import Method, Sabotage
from tests.parity.case import normal, positive
from tests.sabotage import Patch, attribute, gradient, option, rule


def x_hat(x, axes, eps=0.1):
    return (x - np.mean(x, axes, keepdims=True)) / np.sqrt(np.var(x, axes, keepdims=True) + eps)


def over(values, x):
    return np.reshape(values, values.shape + (1,) * (x.ndim - values.ndim))


def adain(content, style):
    space = tuple(range(2, content.ndim))
    style = style.reshape(*style.shape[:2], -1)
    return over(np.sqrt(style.var(2) + 0.1), content) * x_hat(content, space) + over(style.mean(2), content)


def conditional_instance(x, gamma, beta):
    return x_hat(x, tuple(range(2, x.ndim))) * over(gamma, x) + over(beta, x)


def conditional_batch(x, gamma, beta):
    return x_hat(x, (0, *range(2, x.ndim))) * over(gamma, x) + over(beta, x)


def in_training(x, gamma, beta):
    return F.conditional_batch_norm(x, gamma, beta, training=True, eps=0.1)


def in_evaluation(x, gamma, beta, mean, variance):
    return F.conditional_batch_norm(x, gamma, beta, mean, variance, eps=0.1)


def evaluated(x, gamma, beta, mean, variance):
    shape = (1, -1) + (1,) * (x.ndim - 2)
    return (x - mean.reshape(shape)) / np.sqrt(variance.reshape(shape) + 0.1) * over(gamma, x) + over(beta, x)


METHODS = [
    Method(
        name="adaptive_instance_norm",
        function=lambda content, style: F.adaptive_instance_norm(content, style, eps=0.1),
        oracle=adain,
        inputs=(normal(2, 3, 2, 2), normal(2, 3, 3, 2)),
        shapes=[
            (
                lambda content, style: F.adaptive_instance_norm(content, style, eps=0.1),
                adain,
                (normal(2, 2, 5), normal(2, 2, 1)),
            )
        ],
        batched=(0, 1),
        extreme=lambda x, eps=1e-5: F.adaptive_instance_norm(x, x[:, :, ::2] * 0.5, eps=eps),
        extreme_inputs=normal(2, 3, 8),
    ),
    Method(
        name="conditional_instance_norm",
        function=lambda x, gamma, beta: F.conditional_instance_norm(x, gamma, beta, eps=0.1),
        oracle=conditional_instance,
        inputs=(normal(2, 3, 2, 2), normal(2, 3), normal(2, 3)),
        shapes=[
            (
                lambda x, gamma, beta: F.conditional_instance_norm(x, gamma, beta, eps=0.1),
                conditional_instance,
                (normal(3, 2, 4), normal(3, 2), normal(3, 2)),
            ),
        ],
        batched=(0, 1, 2),
        extreme=lambda x, eps=1e-5: F.conditional_instance_norm(x, eps=eps),
    ),
    Method(
        name="conditional_batch_norm",
        function=in_training,
        oracle=conditional_batch,
        inputs=(normal(4, 3), normal(4, 3), normal(4, 3)),
        shapes=[
            (in_training, conditional_batch, (normal(3, 2, 2, 2), normal(3, 2), normal(3, 2))),
        ],
        batched=(0, 1, 2),
        extreme=lambda x, eps=1e-5: F.conditional_batch_norm(x, None, None, training=True, eps=eps),
        extreme_inputs=normal(4, 3, 6),
    ),
    Method(
        name="conditional_batch_norm in evaluation",
        function=in_evaluation,
        oracle=evaluated,
        inputs=(normal(3, 2, 4), normal(3, 2), normal(3, 2), normal(2), positive(2)),
        constant_args=(3, 4),
        batched=(0, 1, 2),
        extreme=lambda x, eps=1e-5: F.conditional_batch_norm(
            x, None, None, np.full(2, 0.5, x.dtype), np.full(2, 2, x.dtype), eps=eps
        ),
    ),
    Method(
        name="spade",
        function=lambda x, gamma, beta: F.spade(x, gamma, beta, training=True, eps=0.1),
        oracle=lambda x, gamma, beta: x_hat(x, (0, 2, 3)) * gamma + beta,
        inputs=(normal(3, 2, 2, 2), normal(3, 2, 2, 2), normal(3, 2, 2, 2)),
        shapes=[
            (
                lambda x, gamma, beta: F.spade(x, gamma, beta, training=True, eps=0.1, norm="instance"),
                lambda x, gamma, beta: x_hat(x, 2) * gamma + beta,
                (normal(2, 2, 4), normal(2, 2, 4), normal(2, 2, 4)),
            )
        ],
        batched=(0, 1, 2),
        extreme=lambda x, eps=1e-5: F.spade(x, None, None, training=True, eps=eps),
        extreme_inputs=normal(4, 3, 6),
    ),
]


def constant_style(self, g_deviation, g_mu):
    """The style's x̂ of the forward pass is taken for a constant."""
    (x,) = self.saved
    shape, n = conditional.per_sample(x), x[0, 0].array.size if hasattr(x, "detach") else x[0, 0].size
    values = np.asarray(x.array if hasattr(x, "detach") else x)
    constant = x_hat(values, tuple(range(2, values.ndim)), self.eps)
    return (g_mu / n).reshape(shape) + (g_deviation / n).reshape(shape) * constant


def first_of_the_batch(original):
    """Every sample gets the γ and β of sample 0."""
    return lambda x_hat, gamma, beta: original(x_hat, gamma[:1] + 0 * gamma, beta[:1] + 0 * beta)


def lost_sum(patch: Patch) -> None:
    """The backward kernel gives γ the gradient of β."""
    original = conditional.Modulate.gradients

    def gradients(self, g, x_hat, gamma, beta):
        dx_hat, _, dbeta = original(self, g, x_hat, gamma, beta)
        return dx_hat, dbeta, dbeta

    patch.setattr(conditional.Modulate, "gradients", gradients)


def shared_gamma(patch: Patch) -> None:
    """The fused form gives every sample the γ of sample 0."""
    original = conditional.ConditionalInstanceNorm.normalize

    def normalize(self, x, gamma, beta, y):
        channels = x.shape[1]
        original(self, x, np.tile(gamma[:channels], x.shape[0]), beta, y)

    patch.setattr(conditional.ConditionalInstanceNorm, "normalize", normalize)


SABOTAGE = [
    Sabotage(
        "adaptive_instance_norm",
        "the deviation of the style is its variance",
        attribute(
            "minigrad.ops.norm.conditional.deviation_and_mean",
            lambda original: lambda x, eps: (original(x, eps)[0] ** 2, original(x, eps)[1]),
        ),
        "forward",
    ),
    Sabotage(
        "adaptive_instance_norm",
        "the style gets no gradient through its mean",
        gradient("SpaceStatistics", 0, lambda g: g - g.mean(tuple(range(2, g.ndim)), keepdims=True)),
        "first derivative",
    ),
    Sabotage(
        "adaptive_instance_norm",
        "the style's statistics are taken for constants in the rule",
        rule("SpaceStatistics", constant_style),
        "second derivative",
    ),
    Sabotage(
        "conditional_instance_norm",
        "ε is ten times as large",
        option("conditional_instance_norm", eps=lambda eps: 10 * eps),
        "forward",
    ),
    Sabotage("conditional_instance_norm", "all samples get the first one's γ", shared_gamma, "forward"),
    Sabotage(
        "conditional_batch_norm",
        "all samples get the first one's γ and β",
        attribute("minigrad.ops.norm.conditional.modulate", first_of_the_batch),
        "forward",
    ),
    Sabotage("conditional_batch_norm", "γ gets the gradient of β", lost_sum, "fused is composed"),
    Sabotage(
        "conditional_batch_norm in evaluation",
        "evaluation is forgotten",
        option("conditional_batch_norm", training=lambda _: True),
        "forward",
    ),
    Sabotage("spade", "instance norm is batch norm", option("spade", norm=lambda _: "batch"), "forward"),
    Sabotage("spade", "γ gets the gradient of β", lost_sum, "first derivative"),
    Sabotage("spade", "β is lost", option("spade", bias=lambda beta: None), "forward"),
]
