"""Local response and divisive normalization. α near 1: with the default 1e-4 a window that is off by one passes."""

import numpy as np

from minigrad.nn import functional as F
from minigrad.ops.norm import local
from tests.norms.harness import Method, Sabotage
from tests.parity.case import normal
from tests.sabotage import attribute, gradient, kernel, option


def response(size, alpha, beta, k, average=True):
    """The paper's sum, channel by channel."""

    def oracle(x):
        y = np.empty(x.shape)
        for c in range(x.shape[1]):
            window = [j for j in range(c - size // 2, c + (size - 1) // 2 + 1) if 0 <= j < x.shape[1]]
            total = np.sum(x[:, window] ** 2, axis=1)
            y[:, c] = x[:, c] * (k + alpha * (total / size if average else total)) ** -beta
        return y

    return oracle


def response_row(shape, size, alpha=0.9, beta=0.75, k=1.0, average=True):
    return (
        lambda x: F.local_response_norm(x, size, alpha, beta, k, average=average),
        response(size, alpha, beta, k, average),
        (normal(*shape),),
    )


def neighbours(at, shape, sizes):
    """Where the box around `at` lies; sizes: axis → length, None for the whole axis; other axes are not in it."""
    box = []
    for axis, n in enumerate(shape):
        size = sizes.get(axis, 1)
        before, after = (n, n) if size is None else (size // 2, (size - 1) // 2)
        box.append(slice(max(at[axis] - before, 0), min(at[axis] + after + 1, n)))
    return tuple(box)


def local_mean(x, sizes, pads=False):
    y = np.empty(x.shape)
    for at in np.ndindex(x.shape):
        box = x[neighbours(at, x.shape, sizes)]
        whole = [x.shape[axis] if size is None else size for axis, size in sizes.items()]
        y[at] = np.sum(box) / np.prod(whole) if pads else np.mean(box)
    return y


def divisive(sizes, suppression=None, sigma=0.7, pads=False):
    def oracle(x, *affine):
        v = x - local_mean(x, sizes, pads)
        y = v / np.sqrt(sigma**2 + local_mean(v**2, suppression or sizes, pads))
        shape = (1, -1) + (1,) * (x.ndim - 2)
        for values, apply in zip(affine, (np.multiply, np.add), strict=False):
            y = apply(y, np.reshape(values, shape))
        return y

    return oracle


METHODS = [
    Method(
        name="local_response_norm",
        function=lambda x: F.local_response_norm(x, 3, 0.9, 0.75, 1.0),
        oracle=response(3, 0.9, 0.75, 1.0),
        inputs=(normal(2, 4, 3),),
        shapes=[
            response_row((2, 5), 3, k=2.0, average=False),
            response_row((2, 5, 2), 2, alpha=2.0, beta=0.5),
            response_row((1, 5, 2, 5), 4, beta=1.0),
            response_row((2, 3, 1, 2, 2), 9, beta=1.3, average=False),
        ],
        extreme=lambda x, eps=1.0: F.local_response_norm(x, 3, 0.9, k=eps),
    ),
    Method(
        name="divisive_norm",
        function=lambda x, gamma, beta: F.divisive_norm(x, 3, gamma, beta, 0.7),
        oracle=divisive({1: None, 2: 3}),
        inputs=(normal(2, 2, 5), normal(2), normal(2)),
        shapes=[
            (lambda x: F.divisive_norm(x, 3, sigma=0.7), divisive({1: 3}), (normal(2, 6),)),
            (
                lambda x, gamma, beta: F.divisive_norm(x, (2, 3), gamma, beta, 0.7, suppression=(3, None), channels=2),
                divisive({1: 2, 2: 2, 3: 3}, {1: 2, 2: 3, 3: None}),
                (normal(1, 3, 3, 4), normal(3), normal(3)),
            ),
            (
                lambda x, gamma: F.divisive_norm(x, (3, 4), gamma, sigma=0.7, count_include_pad=True),
                divisive({1: None, 2: 3, 3: 4}, pads=True),
                (normal(1, 2, 4, 3), normal(2)),
            ),
        ],
        extreme=lambda x, eps=1.0: F.divisive_norm(x, 3, sigma=eps**0.5),
    ),
]


def wider(reach):
    return lambda size: (size // 2, size // 2)


SABOTAGE = [
    Sabotage(
        "local_response_norm",
        "the window of even sizes is one too wide",
        attribute("minigrad.ops.norm.local.reach", wider),
        "forward",
    ),
    Sabotage(
        "local_response_norm",
        "the backward kernel looks the wrong way",
        kernel("minigrad.kernels.local.response_backward", before=lambda n: n - 1),
        "first derivative",
    ),
    Sabotage(
        "local_response_norm",
        "α is divided by n where it must not be",
        option("local_response_norm", average=lambda _: True),
        "forward",
    ),
    Sabotage(
        "local_response_norm",
        "the denominator is a constant",
        lambda patch: patch.setattr(
            local.LocalResponseNorm, "backward", lambda self, g: g * (self.run(local.kernels.response_forward, g) / g)
        ),
        "first derivative",
    ),
    Sabotage("divisive_norm", "σ is not squared", option("divisive_norm", sigma=lambda s: s**0.5), "forward"),
    Sabotage(
        "divisive_norm",
        "the centre's gradient is the centre of the gradient",
        kernel("minigrad.kernels.local.center", transpose=lambda _: False),
        "first derivative",
    ),
    Sabotage(
        "divisive_norm",
        "boxes at the edge count as many elements as others",
        kernel("minigrad.kernels.local.divide_forward", count=lambda count: count * 0 + count.max()),
        "fused is composed",
    ),
    Sabotage(
        "divisive_norm",
        "the gradient that reaches x is scaled",
        gradient("Center", 0, lambda g: g * 1.001),
        "second derivative",
    ),
]
