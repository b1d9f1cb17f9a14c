"""Decorrelated batch normalization, and IterNorm."""

import numpy as np

from minigrad.nn import functional as F
from minigrad.ops import matrix_root
from minigrad.ops.norm import whitening
from tests.norms.harness import Method, Sabotage
from tests.parity.case import normal
from tests.sabotage import Patch, attribute, option, rule


def channelwise(values, x):
    return np.reshape(values, (1, -1) + (1,) * (x.ndim - 2))


def over_groups(whiten, groups):
    """`whiten` of each group's matrix, channels × elements."""

    def oracle(x, gamma=None, beta=None):
        flat = np.moveaxis(x, 1, 0).reshape(groups, x.shape[1] // groups, -1)
        with np.errstate(all="ignore"):
            white = np.array(
                [whiten(group) if np.isfinite(group).all() else np.full_like(group, np.nan) for group in flat]
            )
        white = np.moveaxis(white.reshape(x.shape[1], x.shape[0], *x.shape[2:]), 0, 1)
        return white if gamma is None else white * channelwise(gamma, x) + channelwise(beta, x)

    return oracle


def zca(matrix):
    """By singular values: with X − μ = U S Vᵀ, Σ^(−½) (X − μ) = U S / √(S²/M + ε) Vᵀ."""
    centered = matrix - matrix.mean(1, keepdims=True)
    u, s, vt = np.linalg.svd(centered, full_matrices=False)
    return u * (s / np.sqrt(s**2 / matrix.shape[1] + 0.1)) @ vt


def iterated(steps):
    """Algorithm 1 of the paper, as printed there."""

    def whiten(matrix):
        centered = matrix - matrix.mean(1, keepdims=True)
        sigma = centered @ centered.T / matrix.shape[1] + 0.1 * np.eye(len(matrix))
        normalized = sigma / np.trace(sigma)
        p = np.eye(len(matrix))
        for _ in range(steps):
            p = (3 * p - np.linalg.matrix_power(p, 3) @ normalized) / 2
        return p / np.sqrt(np.trace(sigma)) @ centered

    return whiten


def multiplied(x, gamma, beta, mean, matrix):
    """Evaluation: W (x − μ), here with two groups of two channels."""
    centered = x - channelwise(mean, x)
    white = np.einsum("gij,ngj...->ngi...", matrix, centered.reshape(len(x), 2, 2, *x.shape[2:]))
    return white.reshape(x.shape) * channelwise(gamma, x) + channelwise(beta, x)


def decorrelated(groups):
    return lambda x, gamma, beta: F.decorrelated_batch_norm(
        x, None, None, gamma, beta, True, eps=0.1, num_groups=groups
    )


def iterative(groups, steps):
    return lambda x, gamma, beta: F.iterative_norm(
        x, None, None, gamma, beta, True, eps=0.1, num_groups=groups, iterations=steps
    )


def decorrelated_evaluated(x, gamma, beta, mean, matrix):
    return F.decorrelated_batch_norm(x, mean, matrix, gamma, beta, eps=0.1, num_groups=2)


def iterative_evaluated(x, gamma, beta, mean, matrix):
    return F.iterative_norm(x, mean, matrix, gamma, beta, eps=0.1, num_groups=2)


EVALUATION = (normal(3, 4), normal(4), normal(4), normal(4), normal(2, 2, 2))

METHODS = [
    Method(
        name="decorrelated_batch_norm",
        function=decorrelated(1),
        oracle=over_groups(zca, 1),
        inputs=(normal(5, 3), normal(3), normal(3)),
        shapes=[
            (decorrelated(2), over_groups(zca, 2), (normal(2, 4, 3), normal(4), normal(4))),
            (decorrelated(1), over_groups(zca, 1), (normal(2, 2, 2, 2), normal(2), normal(2))),
            (decorrelated(1), over_groups(zca, 1), (normal(3, 4), normal(4), normal(4))),  # a singular covariance
            (
                lambda x: F.decorrelated_batch_norm(x, training=True, eps=0.1),
                over_groups(zca, 1),
                (normal(4, 2),),
            ),
        ],
        extreme=lambda x, eps=1e-5: F.decorrelated_batch_norm(x, training=True, eps=eps),
        extreme_inputs=normal(4, 3, 6),
    ),
    Method(
        name="decorrelated_batch_norm in evaluation",
        function=decorrelated_evaluated,
        oracle=multiplied,
        inputs=EVALUATION,
        shapes=[(decorrelated_evaluated, multiplied, (normal(2, 4, 3), *EVALUATION[1:]))],
        constant_args=(3, 4),
        extreme=lambda x: decorrelated_evaluated(x, None, None, np.ones(4, x.dtype), np.ones((2, 2, 2), x.dtype)),
    ),
    Method(
        name="iterative_norm",
        function=iterative(1, 5),
        oracle=over_groups(iterated(5), 1),
        inputs=(normal(5, 3), normal(3), normal(3)),
        shapes=[
            (iterative(2, 3), over_groups(iterated(3), 2), (normal(2, 4, 3), normal(4), normal(4))),
            (iterative(1, 0), over_groups(iterated(0), 1), (normal(2, 2, 2, 2), normal(2), normal(2))),
            (
                lambda x: F.iterative_norm(x, training=True, eps=0.1),
                over_groups(iterated(5), 1),
                (normal(3, 4),),
            ),
        ],
        extreme=lambda x, eps=1e-5: F.iterative_norm(x, training=True, eps=eps),
        extreme_inputs=normal(4, 3, 6),
    ),
    Method(
        name="iterative_norm in evaluation",
        function=iterative_evaluated,
        oracle=multiplied,
        inputs=EVALUATION,
        constant_args=(3, 4),
        extreme=lambda x: iterative_evaluated(x, None, None, np.ones(4, x.dtype), np.ones((2, 2, 2), x.dtype)),
    ),
]


def without_the_matrix_term(patch: Patch) -> None:
    """The whitening matrix is taken for a constant: no gradient goes through the covariance."""
    patch.setattr(whitening, "grad", lambda root, covariance, g, **_: (0 * covariance,))


def cached_root(self, g):
    """The matrix of the forward pass is a constant of the rule."""
    w = self._saved[0]
    return -((w @ w) @ matrix_root.Lyapunov(*self.known)(w, g) @ (w @ w))


SABOTAGE = [
    Sabotage(
        "decorrelated_batch_norm",
        "ε is ten times as large",
        option("decorrelated_batch_norm", eps=lambda eps: 10 * eps),
        "forward",
    ),
    Sabotage(
        "decorrelated_batch_norm",
        "one group instead of two",
        option("decorrelated_batch_norm", num_groups=lambda groups: 1),
        "forward",
    ),
    Sabotage("decorrelated_batch_norm", "the matrix passes no gradient", without_the_matrix_term, "first derivative"),
    Sabotage(
        "decorrelated_batch_norm",
        "the root's rule takes the root for a constant",
        rule("InverseSqrt", cached_root),
        "second derivative",
    ),
    Sabotage(
        "decorrelated_batch_norm",
        "Lyapunov's equation has no derivative by its matrix",
        lambda patch: patch.setattr(
            matrix_root.Lyapunov,
            "backward",
            lambda self, g: (None, matrix_root.Lyapunov(*self.known)(self.saved[0], g)),
        ),
        "second derivative",
    ),
    Sabotage(
        "decorrelated_batch_norm",
        "the composed form divides the covariance by M − 1",
        attribute(
            "minigrad.ops.norm.whitening.matmul",
            lambda original: lambda a, b: original(a, b) * (1.1 if a.shape[-1] > a.shape[-2] else 1),
        ),
        "fused is composed",
    ),
    Sabotage(
        "decorrelated_batch_norm",
        "NaN in one group spoils all",
        attribute(
            "minigrad.ops.matrix_root.eigen",
            lambda original: lambda a: original(a if np.isfinite(a).all() else np.nan * a),
        ),
        "nan",
    ),
    Sabotage(
        "decorrelated_batch_norm in evaluation",
        "the batch's own statistics are used",
        option(
            "decorrelated_batch_norm",
            training=lambda _: True,
            running_mean=lambda _: None,
            running_matrix=lambda _: None,
        ),
        "forward",
    ),
    Sabotage(
        "iterative_norm",
        "one iteration too few",
        option("iterative_norm", iterations=lambda steps: max(steps - 1, 0)),
        "forward",
    ),
    Sabotage(
        "iterative_norm",
        "ε is ten times as large",
        option("iterative_norm", eps=lambda eps: 10 * eps),
        "forward",
    ),
    Sabotage("iterative_norm", "the matrix passes no gradient", without_the_matrix_term, "fused is composed"),
    Sabotage(
        "iterative_norm in evaluation",
        "β is lost",
        option("iterative_norm", bias=lambda beta: None),
        "forward",
    ),
]
