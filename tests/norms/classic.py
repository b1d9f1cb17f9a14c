"""Batch, layer, group and instance normalization."""

import numpy as np

from minigrad.nn import functional as F
from minigrad.ops.norm import common
from tests.norms.harness import Method, Sabotage
from tests.parity.case import normal, positive
from tests.sabotage import Patch, attribute, option


def standardized(x, axes, eps=0.1):
    deviation = x - np.mean(x, axes, keepdims=True)
    return deviation / np.sqrt(np.mean(deviation**2, axes, keepdims=True) + eps)


def channelwise(values, x):
    return np.reshape(values, (1, -1) + (1,) * (x.ndim - 2))


def batch(x, gamma, beta):
    axes = (0, *range(2, x.ndim))
    return standardized(x, axes) * channelwise(gamma, x) + channelwise(beta, x)


def evaluated(x, gamma, beta, mean, variance):
    deviation = x - channelwise(mean, x)
    return deviation / np.sqrt(channelwise(variance, x) + 0.1) * channelwise(gamma, x) + channelwise(beta, x)


def grouped(groups):
    def oracle(x, gamma, beta):
        channels = np.array_split(x, groups, axis=1)
        x_hat = np.concatenate([standardized(part, tuple(range(1, x.ndim))) for part in channels], axis=1)
        return x_hat * channelwise(gamma, x) + channelwise(beta, x)

    return oracle


def in_training(x, gamma, beta):
    return F.batch_norm(x, None, None, gamma, beta, True, eps=0.1)


def in_evaluation(x, gamma, beta, mean, variance):
    return F.batch_norm(x, mean, variance, gamma, beta, eps=0.1)


METHODS = [
    Method(
        name="batch_norm",
        function=in_training,
        oracle=batch,
        inputs=(normal(5, 3), normal(3), normal(3)),
        shapes=[
            (in_training, batch, (normal(3, 2, 4), normal(2), normal(2))),
            (in_training, batch, (normal(2, 3, 2, 2), normal(3), normal(3))),
            (
                lambda x: F.batch_norm(x, training=True, eps=0.1),
                lambda x: standardized(x, (0, 2)),
                (normal(2, 2, 3),),
            ),
        ],
        extreme=lambda x, eps=1e-5: F.batch_norm(x, training=True, eps=eps),
        extreme_inputs=normal(4, 3, 6),
    ),
    Method(
        name="batch_norm in evaluation",
        function=in_evaluation,
        oracle=evaluated,
        inputs=(normal(4, 3), normal(3), normal(3), normal(3), positive(3)),
        shapes=[(in_evaluation, evaluated, (normal(2, 3, 4), normal(3), normal(3), normal(3), positive(3)))],
        constant_args=(3, 4),
        extreme=lambda x, eps=1e-5: F.batch_norm(
            x, np.full(3, 0.5, x.dtype), np.full(3, 2, x.dtype), training=False, eps=eps
        ),
    ),
    Method(
        name="layer_norm",
        function=lambda x, gamma, beta: F.layer_norm(x, (4,), gamma, beta, eps=0.1),
        oracle=lambda x, gamma, beta: standardized(x, -1) * gamma + beta,
        inputs=(normal(3, 4), normal(4), normal(4)),
        shapes=[
            (
                lambda x, gamma, beta: F.layer_norm(x, (2, 3), gamma, beta, eps=0.1),
                lambda x, gamma, beta: standardized(x, (-2, -1)) * gamma + beta,
                (normal(3, 2, 3), normal(2, 3), normal(2, 3)),
            ),
            (lambda x: F.layer_norm(x, 5, eps=0.1), lambda x: standardized(x, -1), (normal(2, 2, 5),)),
        ],
        extreme=lambda x, eps=1e-5: F.layer_norm(x, x.shape[-1:], eps=eps),
    ),
    Method(
        name="group_norm",
        function=lambda x, gamma, beta: F.group_norm(x, 2, gamma, beta, eps=0.1),
        oracle=grouped(2),
        inputs=(normal(2, 4, 3), normal(4), normal(4)),
        shapes=[
            (
                lambda x, gamma, beta: F.group_norm(x, 3, gamma, beta, eps=0.1),
                grouped(3),
                (normal(3, 6), normal(6), normal(6)),
            )
        ],
        extreme=lambda x, eps=1e-5: F.group_norm(x, 2, eps=eps),
    ),
    Method(
        name="instance_norm",
        function=lambda x, gamma, beta: F.instance_norm(x, None, None, gamma, beta, eps=0.1),
        oracle=lambda x, gamma, beta: standardized(x, (2, 3)) * channelwise(gamma, x) + channelwise(beta, x),
        inputs=(normal(2, 3, 2, 2), normal(3), normal(3)),
        shapes=[(lambda x: F.instance_norm(x, eps=0.1), lambda x: standardized(x, -1), (normal(2, 2, 4),))],
        extreme=lambda x, eps=1e-5: F.instance_norm(x, eps=eps),
    ),
]


def cached_statistics(self, g):
    """The closed form of the gradient, with the statistics of the forward pass as constants."""
    x, gamma, beta = self.saved
    axes = (0, *range(2, x.ndim))
    shape = (1, -1) + (1,) * (x.ndim - 2)
    mu, inv_std = ((self.stats[0] + self.stats[1]).reshape(shape), self.stats[2].reshape(shape))
    gamma = 1.0 if gamma is None else gamma.reshape(shape)
    x_hat = (x - mu) * inv_std
    dx = gamma * inv_std * (g - g.mean(axes, keepdims=True) - x_hat * (g * x_hat).mean(axes, keepdims=True))
    if beta is None:
        return dx, None, None
    return dx, (g * x_hat).sum(axes), g.sum(axes)


def lost_gradient(patch: Patch) -> None:
    """The backward kernel forgets the mean's term: what a constant cotangent should not send back, it does."""
    original = common.FusedNorm.gradients

    def gradients(self, g, x, gamma, beta):
        dx, *rest = original(self, g, x, gamma, beta)
        return None if dx is None else dx + 0.001 * g, *rest

    patch.setattr(common.FusedNorm, "gradients", gradients)


def first_sum(patch: Patch) -> None:
    """γ's gradient is divided by the number of samples."""
    original = common.FusedNorm.gradients

    def gradients(self, g, x, gamma, beta):
        dx, dgamma, dbeta = original(self, g, x, gamma, beta)
        return dx, None if dgamma is None else dgamma / 2, dbeta

    patch.setattr(common.FusedNorm, "gradients", gradients)


SABOTAGE = [
    Sabotage("batch_norm", "ε is ten times as large", option("batch_norm", eps=lambda eps: 10 * eps), "forward"),
    Sabotage(
        "batch_norm",
        "cached statistics are taken for constants",
        lambda patch: patch.setattr(common.FusedNorm, "backward", cached_statistics),
        "second derivative",
    ),
    Sabotage("batch_norm in evaluation", "γ's gradient is halved", first_sum, "first derivative"),
    Sabotage(
        "batch_norm in evaluation",
        "the batch's own statistics are used",
        option("batch_norm", training=lambda _: True, running_mean=lambda _: None, running_var=lambda _: None),
        "forward",
    ),
    Sabotage("layer_norm", "the gradient has a term too many", lost_gradient, "first derivative"),
    Sabotage("layer_norm", "β is lost", option("layer_norm", bias=lambda beta: None), "forward"),
    Sabotage("group_norm", "one group too few", option("group_norm", num_groups=lambda groups: 1), "forward"),
    Sabotage("group_norm", "the gradient has a term too many", lost_gradient, "fused is composed"),
    Sabotage(
        "instance_norm",
        "the deviation in the composed form is the unbiased one",
        attribute(
            "minigrad.ops.norm.group.standardize",
            lambda original: lambda x, mu, variance, eps: original(x, mu, variance * 1.1, eps),
        ),
        "fused is composed",
    ),
    Sabotage("instance_norm", "the gradient has a term too many", lost_gradient, "first derivative"),
]
