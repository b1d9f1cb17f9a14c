"""Filter response normalization with its threshold, and global response normalization."""

import numpy as np

from minigrad.nn import functional as F
from minigrad.ops.norm import response
from tests.norms.harness import Method, Sabotage
from tests.parity.case import normal, uniform
from tests.sabotage import gradient, kernel, option


def filter_response(x, gamma, beta, tau, eps):
    """The paper's formulas, on (N, C, *)."""
    space = tuple(range(2, x.ndim))
    wide = (1, -1) + (1,) * len(space)
    nu2 = np.mean(np.square(x), axis=space, keepdims=True)
    y = x * (nu2 + np.abs(np.reshape(eps, wide))) ** -0.5 * np.reshape(gamma, wide) + np.reshape(beta, wide)
    return np.maximum(y, np.reshape(tau, wide))


def global_response(x, gamma, beta):
    """Algorithm 1 of the paper, on (N, C, *), one sample after the other."""
    y = np.empty(x.shape)
    for n in range(len(x)):
        norms = np.array([np.linalg.norm(channel) for channel in x[n]])
        for c, norm in enumerate(norms):
            y[n, c] = gamma[c] * x[n, c] * (norm / (np.mean(norms) + 0.3)) + beta[c] + x[n, c]
    return y


C = normal(3)

METHODS = [
    Method(
        name="filter_response_norm",
        function=lambda x, gamma, beta, tau, eps: F.filter_response_norm(x, gamma, beta, tau, eps),
        oracle=filter_response,
        inputs=(normal(2, 3, 2, 3), C, C, C, normal()),
        shapes=[
            # No space to average over, and an ε for each channel, some of them negative.
            (F.filter_response_norm, filter_response, (normal(4, 3), C, C, C, normal(3))),
            (
                lambda x, gamma: F.filter_response_norm(x, gamma, eps=0.1),
                lambda x, gamma: filter_response(x, gamma, np.zeros(2), np.full(2, -np.inf), 0.1),
                (normal(3, 2, 4), normal(2)),
            ),
        ],
        extreme=lambda x, eps=1e-6: F.filter_response_norm(x, eps=eps),
    ),
    Method(
        name="thresholded_linear_unit",
        function=lambda x, tau: F.thresholded_linear_unit(x, tau),
        oracle=lambda x, tau: np.maximum(x, tau),
        inputs=(normal(6, 3), normal(3)),
        shapes=[
            (
                lambda x, tau: F.thresholded_linear_unit(x, tau),
                lambda x, tau: np.maximum(x, tau[:, None]),
                (normal(2, 3, 4), normal(3)),
            )
        ],
        extreme=lambda x: F.thresholded_linear_unit(x, np.zeros(x.shape[1], x.dtype)),
    ),
    Method(
        name="global_response_norm",
        function=lambda x, gamma, beta: F.global_response_norm(x, gamma, beta, eps=0.3),
        oracle=global_response,
        inputs=(normal(2, 3, 2, 2), C, C),
        shapes=[
            (
                lambda x: F.global_response_norm(x, eps=0.3),
                lambda x: global_response(x, np.ones(2), np.zeros(2)),
                (normal(3, 2, 3),),
            ),
            # Without space a norm is a magnitude.
            (
                lambda x, gamma: F.global_response_norm(x, gamma, eps=0.3),
                lambda x, gamma: global_response(x, gamma, np.zeros(3)),
                (uniform(4, 3, low=-2.0, high=-0.5), C),
            ),
        ],
        extreme=lambda x, eps=1e-6: F.global_response_norm(x, eps=eps),
    ),
]


def constant_norms(patch):
    """A rule that takes the norms of the forward pass for constants when it is recorded."""
    fused = response.GlobalResponseNorm.backward

    def backward(self, g):
        if isinstance(g, np.ndarray):
            return fused(self, g)
        x, gamma, beta = self.saved
        wide = (*x.shape[:2], *[1] * (x.ndim - 2))
        norms = self.norms.reshape(wide)
        share, space, spread = (
            self.share.reshape(-1, *[1] * (x.ndim - 1)),
            tuple(range(2, x.ndim)),
            (1, -1) + (1,) * (x.ndim - 2),
        )
        scale = np.ones(x.shape[1]) if gamma is None else gamma
        dots = (g * x).sum(space, keepdim=True)
        weighted = scale.reshape(spread) * dots * share
        slope = weighted - (weighted * norms * share).mean(1, keepdim=True)
        dx = g * (scale.reshape(spread) * norms * share + 1) + x / norms * slope
        others = (0, *space)
        return dx, (dots * norms * share).sum(others), None if beta is None else g.sum(others)

    patch.setattr(response.GlobalResponseNorm, "backward", backward)


SABOTAGE = [
    Sabotage(
        "filter_response_norm",
        "ε is twice as large",
        option("filter_response_norm", eps=lambda eps: eps * 2),
        "forward",
    ),
    Sabotage(
        "filter_response_norm",
        "the threshold is left out",
        option("filter_response_norm", threshold=lambda _: None),
        "forward",
    ),
    Sabotage(
        "filter_response_norm",
        "a learned ε loses its sign",
        gradient("FilterResponseNorm", 3, abs),
        "first derivative",
    ),
    Sabotage(
        "filter_response_norm",
        "the slope of ν² is lost",
        kernel("minigrad.kernels.rms.runs_backward", stats=lambda stats: stats * [[1], [0]]),
        "first derivative",
    ),
    Sabotage(
        "thresholded_linear_unit",
        "the threshold gets no gradient",
        gradient("ThresholdedLinearUnit", 1, lambda g: g * 0),
        "first derivative",
    ),
    Sabotage(
        "global_response_norm",
        "ε stands elsewhere",
        kernel("minigrad.kernels.response.response_forward", eps=lambda eps: eps / 3),
        "forward",
    ),
    Sabotage(
        "global_response_norm",
        "a channel does not feel the others' norms",
        kernel("minigrad.kernels.response.response_backward", share=lambda share: share * 0.99),
        "first derivative",
    ),
    Sabotage("global_response_norm", "cached norms are taken for constants", constant_norms, "second derivative"),
]
