"""Dynamic Tanh and Dynamic erf."""

import math

import numpy as np

from minigrad.nn import functional as F
from minigrad.ops.norm import dynamic
from tests.norms.harness import Method, Sabotage
from tests.parity.case import normal, uniform
from tests.sabotage import option, rule

erf = np.vectorize(math.erf, otypes=[np.float64])
ALPHA = uniform(1, low=0.4, high=1.6)
SHIFT = uniform(low=-0.5, high=0.5)


def channelwise(values, x):
    return np.reshape(values, (1, -1) + (1,) * (x.ndim - 2))


METHODS = [
    Method(
        name="dynamic_tanh",
        function=lambda x, alpha, gamma, beta: F.dynamic_tanh(x, alpha, gamma, beta),
        oracle=lambda x, alpha, gamma, beta: gamma * np.tanh(alpha * x) + beta,
        inputs=(normal(3, 2, 4), ALPHA, normal(4), normal(4)),
        shapes=[
            (
                lambda x, alpha, gamma, beta: F.dynamic_tanh(x, alpha, gamma, beta, channels_last=False),
                lambda x, alpha, gamma, beta: channelwise(gamma, x) * np.tanh(alpha * x) + channelwise(beta, x),
                (normal(2, 3, 2, 2), ALPHA, normal(3), normal(3)),
            ),
            (
                lambda x, alpha, gamma: F.dynamic_tanh(x, alpha, gamma),
                lambda x, alpha, gamma: gamma * np.tanh(alpha * x),
                (normal(3, 2, 2), ALPHA, normal(2, 2)),
            ),
            (lambda x: F.dynamic_tanh(x, 0.8), lambda x: np.tanh(0.8 * x), (normal(3, 4),)),
        ],
        extreme=lambda x: F.dynamic_tanh(x, 0.5),
    ),
    Method(
        name="dynamic_erf",
        function=lambda x, alpha, shift, gamma, beta: F.dynamic_erf(x, alpha, shift, gamma, beta),
        oracle=lambda x, alpha, shift, gamma, beta: gamma * erf(alpha * x + shift) + beta,
        inputs=(normal(3, 2, 4), ALPHA, SHIFT, normal(4), normal(4)),
        shapes=[
            (
                lambda x, alpha, shift, beta: F.dynamic_erf(x, alpha, shift, bias=beta, channels_last=False),
                lambda x, alpha, shift, beta: erf(alpha * x + shift) + channelwise(beta, x),
                (normal(2, 3, 4), ALPHA, SHIFT, normal(3)),
            ),
            (lambda x, alpha: F.dynamic_erf(x, alpha), lambda x, alpha: erf(alpha * x), (normal(5), ALPHA)),
        ],
        extreme=lambda x: F.dynamic_erf(x, 0.5, 0.25),
    ),
]


def constant_slope(self, g):
    """The slope of the forward pass, taken for a constant."""
    x, alpha, shift, gamma, beta = (None if t is None else getattr(t, "array", t) for t in self.saved)
    slope = self.gradients(np.ones(g.shape), x, alpha, shift, gamma, beta)[0]
    return g * slope, *self.gradients(getattr(g, "array", g), x, alpha, shift, gamma, beta)[1:]


SABOTAGE = [
    Sabotage("dynamic_tanh", "α is lost", option("dynamic_tanh", alpha=lambda alpha: alpha * 0 + 1.0), "forward"),
    Sabotage(
        "dynamic_tanh",
        "the slope is that of a logistic function",
        lambda patch: patch.setattr(dynamic.DynamicTanh, "slopes", lambda self, u: 1 / (2 + 2 * np.cosh(u))),
        "first derivative",
    ),
    Sabotage("dynamic_tanh", "the slope is a constant", rule("DynamicTanh", constant_slope), "second derivative"),
    Sabotage("dynamic_erf", "s is lost", option("dynamic_erf", shift=lambda shift: shift * 0), "forward"),
    Sabotage(
        "dynamic_erf",
        "the slope lacks its factor",
        lambda patch: patch.setattr(dynamic.DynamicErf, "slopes", lambda self, u: np.exp(-u * u)),
        "first derivative",
    ),
    Sabotage(
        "dynamic_erf",
        "the composed form is another function",
        lambda patch: patch.setattr(dynamic.DynamicErf, "squash", staticmethod(dynamic.tanh)),
        "fused is composed",
    ),
]
