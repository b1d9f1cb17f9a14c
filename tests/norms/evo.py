"""EvoNorm B0 and S0."""

import numpy as np

from minigrad.nn import functional as F
from minigrad.ops.norm import evo
from tests.norms.harness import Method, Sabotage
from tests.parity.case import normal, positive
from tests.sabotage import attribute, kernel, option


def channelwise(values, x):
    return np.reshape(values, (1, -1) + (1,) * (x.ndim - 2))


def deviation(x, axes, eps):
    return np.sqrt(np.mean((x - np.mean(x, axes, keepdims=True)) ** 2, axes, keepdims=True) + eps)


def b0(x, gamma=1.0, beta=0.0, v=1.0, variance=None, eps=0.1):
    space = tuple(range(2, x.ndim))
    batch = deviation(x, (0, *space), eps) if variance is None else np.sqrt(channelwise(variance, x) + eps)
    denominator = np.maximum(batch, channelwise(v, x) * x + deviation(x, space, eps))
    return x / denominator * channelwise(gamma, x) + channelwise(beta, x)


def s0(groups, eps=0.1):
    def oracle(x, gamma=1.0, beta=0.0, v=1.0):
        parts = np.split(x, groups, axis=1)
        axes = tuple(range(1, x.ndim))
        deviations = [np.broadcast_to(deviation(part, axes, eps), part.shape) for part in parts]
        with np.errstate(over="ignore"):
            gate = 1 / (1 + np.exp(-channelwise(v, x) * x))
        return x * gate / np.concatenate(deviations, 1) * channelwise(gamma, x) + channelwise(beta, x)

    return oracle


def in_training(x, gamma, beta, v):
    return F.evo_norm_b0(x, None, gamma, beta, v, True, eps=0.1)


def in_evaluation(x, gamma, beta, v, variance):
    return F.evo_norm_b0(x, variance, gamma, beta, v, eps=0.1)


METHODS = [
    Method(
        name="evo_norm_b0",
        function=in_training,
        oracle=b0,
        inputs=(normal(3, 2, 5), normal(2), normal(2), normal(2)),
        shapes=[
            (in_training, b0, (normal(2, 3, 2, 2), normal(3), normal(3), normal(3))),
            (
                lambda x, v: F.evo_norm_b0(x, v=v, training=True, eps=0.1),
                lambda x, v: b0(x, v=v),
                (normal(2, 2, 1, 2, 2), positive(2)),
            ),
        ],
        extreme=lambda x, eps=1e-5: F.evo_norm_b0(x, training=True, eps=eps),
        extreme_inputs=normal(4, 3, 6),
    ),
    Method(
        name="evo_norm_b0 in evaluation",
        function=in_evaluation,
        oracle=b0,
        inputs=(normal(3, 2, 5), normal(2), normal(2), normal(2), positive(2)),
        constant_args=(4,),
        extreme=lambda x, eps=1e-5: F.evo_norm_b0(x, np.full(x.shape[1], 2, x.dtype), eps=eps),
    ),
    Method(
        name="evo_norm_s0",
        function=lambda x, gamma, beta, v: F.evo_norm_s0(x, 2, gamma, beta, v, eps=0.1),
        oracle=s0(2),
        inputs=(normal(2, 4, 3), normal(4), normal(4), normal(4)),
        shapes=[
            (
                lambda x, gamma, beta, v: F.evo_norm_s0(x, 2, gamma, beta, v, eps=0.1),
                s0(2),
                (normal(3, 6), normal(6), normal(6), normal(6)),
            ),
            (
                lambda x, v: F.evo_norm_s0(x, 1, v=v, eps=0.1),
                lambda x, v: s0(1)(x, v=v),
                (normal(2, 2, 2, 2), normal(2)),
            ),
        ],
        extreme=lambda x, eps=1e-5: F.evo_norm_s0(x, 2, eps=eps),
    ),
]

SABOTAGE = [
    Sabotage("evo_norm_b0", "v is lost", option("evo_norm_b0", v=lambda v: v * 0 + 1.0), "forward"),
    Sabotage(
        "evo_norm_b0",
        "the batch's variance is that of its means alone",
        kernel("minigrad.kernels.evo.b0_backward", variances=lambda variances: variances * 0.5),
        "first derivative",
    ),
    Sabotage(
        "evo_norm_b0",
        "the smaller denominator divides",
        attribute("minigrad.ops.norm.evo.maximum", lambda _: __import__("minigrad").minimum),
        "fused is composed",
    ),
    Sabotage(
        "evo_norm_b0 in evaluation",
        "the running variance passes a gradient to the batch",
        kernel("minigrad.kernels.evo.b0_backward", given=lambda _: False),
        "first derivative",
    ),
    Sabotage("evo_norm_s0", "one group too few", option("evo_norm_s0", num_groups=lambda _: 1), "forward"),
    Sabotage(
        "evo_norm_s0",
        "the gate is a step",
        lambda patch: patch.setattr(evo.EvoNormS0, "exponentials", lambda self, x, v: np.zeros(x.shape)),
        "forward",
    ),
    Sabotage(
        "evo_norm_s0",
        "ε is left out of the gradient",
        kernel("minigrad.kernels.evo.s0_backward", eps=lambda eps: 0.0),
        "first derivative",
    ),
]
