"""RMSNorm, whole and partial, and ONNX's mean-variance normalization."""

import numpy as np

from minigrad.autograd.modes import modes
from minigrad.nn import functional as F
from minigrad.ops.norm import rms
from minigrad.ops.reduction import var
from tests.norms.harness import Method, Sabotage
from tests.parity.case import normal
from tests.sabotage import kernel, option


def root_mean_square(x, axes=(-1,)):
    return np.sqrt(np.mean(x**2, axes, keepdims=True) + 0.1)


def partial(n, k):
    """The statistic from the first k of n elements, on rows."""

    def oracle(x, gamma=1.0):
        rows = x.reshape(-1, n)
        s = np.sqrt(np.sum(rows[:, :k] ** 2, 1) / k + 0.1)
        return (rows / s[:, None]).reshape(x.shape) * gamma

    return oracle


def mean_variance(axes, eps):
    def oracle(x):
        deviation = np.sqrt(np.mean(x**2, axes, keepdims=True) - np.mean(x, axes, keepdims=True) ** 2)
        return (x - np.mean(x, axes, keepdims=True)) / (deviation + eps)

    return oracle


METHODS = [
    Method(
        name="rms_norm",
        function=lambda x, gamma: F.rms_norm(x, (7,), gamma, eps=0.1),
        oracle=lambda x, gamma: x / root_mean_square(x) * gamma,
        inputs=(normal(4, 7), normal(7)),
        shapes=[
            (lambda x: F.rms_norm(x, 3, eps=0.1), lambda x: x / root_mean_square(x), (normal(2, 2, 3),)),
            (
                lambda x, gamma: F.rms_norm(x, (3, 2), gamma, eps=0.1),
                lambda x, gamma: x / root_mean_square(x, (1, 2)) * gamma,
                (normal(3, 3, 2), normal(3, 2)),
            ),
            (
                lambda x, gamma: F.rms_norm(x, 7, gamma, eps=0.1, partial=0.5),
                partial(7, 4),
                (normal(3, 7), normal(7)),
            ),
            (lambda x: F.rms_norm(x, (2, 5), eps=0.1, partial=0.2), partial(10, 2), (normal(2, 2, 5),)),
            # 70 rows: the sums for γ are taken in two chunks.
            (
                lambda x, gamma: F.rms_norm(x, (2,), gamma, eps=0.1),
                lambda x, gamma: x / root_mean_square(x) * gamma,
                (normal(70, 2), normal(2)),
            ),
        ],
        # The default ε is another one in each dtype, so that the two would not agree.
        extreme=lambda x, eps=1.2e-7: F.rms_norm(x, x.shape[-1:], eps=eps),
    ),
    Method(
        name="mean_variance_normalization",
        function=lambda x: F.mean_variance_normalization(x, eps=0.3),
        oracle=mean_variance((0, 2, 3), 0.3),
        inputs=(normal(3, 2, 2, 2),),
        shapes=[
            (lambda x: F.mean_variance_normalization(x, -1, eps=0.3), mean_variance(-1, 0.3), (normal(3, 5),)),
            (
                lambda x: F.mean_variance_normalization(x, (1, 2), eps=0.3),
                mean_variance((1, 2), 0.3),
                (normal(2, 3, 2),),
            ),
        ],
        extreme=lambda x, eps=1e-9: F.mean_variance_normalization(x, -1, eps=eps),
        extreme_inputs=normal(4, 6),
    ),
]


def constant_length(self, g):
    """The root mean square of the forward pass, as if it did not depend on x: first derivatives only are right."""
    x, gamma = self.saved
    inv = self.inv.reshape(*x.shape[: x.ndim - len(self.shape)], *[1] * len(self.shape))
    x_hat = x * inv
    h = g if gamma is None else g * gamma
    axes = tuple(range(x.ndim - len(self.shape), x.ndim))
    dx = (h - x_hat * (h * x_hat).sum(axes, keepdim=True) / self.length) * inv
    return dx, (g * x_hat).sum(tuple(range(x.ndim - len(self.shape))))


def cached(patch):
    """Let the rule of recorded passes use what the forward pass cached."""
    fused = rms.RMSNorm.backward
    patch.setattr(
        rms.RMSNorm,
        "backward",
        lambda self, g: fused(self, g) if isinstance(g, np.ndarray) else constant_length(self, g),
    )


def narrow(patch):
    """Squares of float32 numbers, in float32."""
    patch.setattr("minigrad.ops.norm.mean_variance.cast", lambda x, dtype: x)
    patch.setattr("minigrad.ops.norm.mean_variance.std", lambda x, axes, **options: var(x, axes, **options).sqrt())


SABOTAGE = [
    Sabotage("rms_norm", "ε is ten times as large", option("rms_norm", eps=lambda eps: 10 * eps), "forward"),
    Sabotage(
        "rms_norm", "one element too many counts", option("rms_norm", partial=lambda p: min(1, p + 0.15)), "forward"
    ),
    Sabotage(
        "rms_norm",
        "the slope of the root mean square is lost",
        kernel("minigrad.kernels.rms.elements_backward", counted=lambda n: 1000 * n),
        "first derivative",
    ),
    Sabotage("rms_norm", "a cached length is taken for a constant", cached, "second derivative"),
    Sabotage(
        "rms_norm",
        "squares leave the range of float32",
        lambda patch: patch.setattr(modes, "composed", True),
        "extremes",
    ),
    Sabotage(
        "mean_variance_normalization",
        "ε has another size",
        option("mean_variance_normalization", eps=lambda eps: eps / 2),
        "forward",
    ),
    Sabotage(
        "mean_variance_normalization",
        "statistics are taken in float32",
        narrow,
        "extremes",
    ),
]
