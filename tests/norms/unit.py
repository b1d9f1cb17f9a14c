"""Division by a norm, and cosines."""

import numpy as np

import minigrad as mg
from minigrad.nn import functional as F
from minigrad.ops.norm import unit
from tests.norms.harness import Method, Sabotage
from tests.parity.case import distinct, normal
from tests.sabotage import gradient, kernel, option


def length(x, axis=-1):
    return np.sqrt(np.sum(x * x, axis, keepdims=True))


def unit_vectors(p, axis, eps=0.0):
    def oracle(x):
        if p == np.inf:
            size = np.max(np.abs(x), axis, keepdims=True)
        else:
            size = np.sum(np.abs(x) ** p, axis, keepdims=True) ** (1 / p)
        return x / np.where(size < eps, eps, size)

    return oracle


def cosines(x, y, axis, eps):
    """One pair of vectors after the other."""
    x, y = np.broadcast_arrays(x, y)
    x, y = np.moveaxis(x, axis, -1), np.moveaxis(y, axis, -1)
    out = np.empty(x.shape[:-1])
    for at in np.ndindex(out.shape):
        a, b = np.linalg.norm(x[at]), np.linalg.norm(y[at])
        out[at] = np.dot(x[at], y[at]) / ((eps if a < eps else a) * (eps if b < eps else b))
    return out


def correlation(x, w):
    """Pearson's coefficient, ε aside."""
    x, w = x - np.mean(x, -1, keepdims=True), w - np.mean(w, -1, keepdims=True)
    return (x @ w.T) / (length(x) * length(w)[:, 0])


def untied(*shape):
    """Numbers of different magnitudes: a maximum of equal ones has no derivative."""
    draw = distinct(*shape)
    return lambda rng: draw(rng) + 0.0625


def both_ways(x, **options):
    """x as inputs and as weights, against vectors of other directions.

    Two that are almost parallel, as all are at 1e6 ± 1, would have a gradient that is almost 0, a difference of
    numbers that are rounded to float32 before.
    """
    other = mg.Tensor(np.linspace(-1, 1, 2 * x.shape[1]).reshape(2, -1).astype(x.dtype))
    pair = F.cosine_linear(x, other, **options), F.cosine_linear(other, x, **options)
    return mg.cat([y.reshape(-1) for y in pair])


METHODS = [
    Method(
        name="normalize",
        function=lambda x: F.normalize(x, axis=-1),
        oracle=unit_vectors(2, -1),
        inputs=(normal(4, 3),),
        shapes=[
            # Some vectors are shorter than ε, and others longer.
            (lambda x: F.normalize(x, axis=1, eps=1.7), unit_vectors(2, 1, 1.7), (normal(6, 3),)),
            (lambda x: F.normalize(x, eps=1.7), unit_vectors(2, 1, 1.7), (normal(2, 3, 4),)),
            (lambda x: F.normalize(x, axis=1), unit_vectors(2, 1), (normal(2, 2, 2, 2),)),
            (lambda x: F.normalize(x, 1.0), unit_vectors(1, 1), (normal(3, 4),)),
            (lambda x: F.normalize(x, 3.0, axis=(1, 2)), unit_vectors(3, (1, 2)), (normal(2, 3, 2),)),
            (lambda x: F.normalize(x, 0.5, eps=20.0), unit_vectors(0.5, 1, 20.0), (normal(4, 4),)),
            (lambda x: F.normalize(x, float("inf")), unit_vectors(np.inf, 1), (untied(3, 4),)),
            (lambda x: F.normalize(x, -2.0), unit_vectors(-2, 1), (normal(3, 3),)),
        ],
        extreme=lambda x, eps=1e-12: F.normalize(x, axis=-1, eps=eps),
    ),
    Method(
        name="scale_norm",
        function=lambda x, weight: F.scale_norm(x, weight),
        oracle=lambda x, weight: weight * x / length(x),
        inputs=(normal(4, 3), normal()),
        shapes=[
            (
                lambda x, weight: F.scale_norm(x, weight, eps=1.7),
                lambda x, weight: weight * unit_vectors(2, -1, 1.7)(x),
                (normal(6, 3), normal()),
            ),
            (lambda x: F.scale_norm(x), lambda x: x / length(x), (normal(2, 2, 3),)),
        ],
        extreme=lambda x, eps=1e-5: F.scale_norm(x, eps=eps),
    ),
    Method(
        name="cosine_similarity",
        function=lambda x, y: F.cosine_similarity(x, y),
        oracle=lambda x, y: cosines(x, y, 1, 0.0),
        inputs=(normal(4, 3), normal(4, 3)),
        batched=(0, 1),
        shapes=[
            (
                lambda x, y: F.cosine_similarity(x, y, axis=-1, eps=1.7),
                lambda x, y: cosines(x, y, -1, 1.7),
                (normal(6, 3), normal(6, 3)),
            ),
            (
                lambda x, y: F.cosine_similarity(x, y, axis=1),
                lambda x, y: cosines(x, y, 1, 0.0),
                (normal(2, 3, 2), normal(2, 3, 1)),
            ),
            (
                lambda x, y: F.cosine_similarity(x[:, None], y, axis=-1),
                lambda x, y: cosines(x[:, None], y, -1, 0.0),
                (normal(2, 4), normal(2, 3, 4)),
            ),
        ],
        extreme=lambda x, eps=1e-8: F.cosine_similarity(x, x.flip(-1), -1, eps),
    ),
    Method(
        name="cosine_linear",
        function=lambda x, w: F.cosine_linear(x, w),
        oracle=lambda x, w: np.stack([cosines(x, row, -1, 0.0) for row in w], -1),
        inputs=(normal(4, 3), normal(2, 3)),
        shapes=[
            (
                lambda x, w: F.cosine_linear(x, w, eps=1.7),
                lambda x, w: np.stack([cosines(x, row, -1, 1.7) for row in w], -1),
                (normal(2, 3, 3), normal(2, 3)),
            ),
            (lambda x, w: F.cosine_linear(x, w, centered=True), correlation, (normal(3, 4), normal(2, 4))),
        ],
        extreme=lambda x, eps=1e-8: both_ways(x, eps=eps),
    ),
]


def constant_length(patch):
    """A rule that forgets, when it is recorded, that the length depends on x."""
    fused = unit.UnitRows.backward

    def backward(self, g):
        if isinstance(g, np.ndarray):
            return fused(self, g)
        x, gamma = self.saved
        inv, share = (s.reshape(*x.shape[:-1], 1) for s in self.stats)
        dx = (g - x * inv * (g * x * inv).sum(-1, keepdim=True) * share) * inv
        return dx if gamma is None else dx * gamma, None if gamma is None else (g * x * inv).sum()

    patch.setattr(unit.UnitRows, "backward", backward)


def without_share(stats):
    """As if every vector were longer than ε."""
    stats = stats.copy()
    stats[1] = 1
    return stats


SABOTAGE = [
    Sabotage("normalize", "ε is ten times as large", option("normalize", eps=lambda eps: 10 * eps), "forward"),
    Sabotage(
        "normalize",
        "vectors below ε get the gradient of others",
        kernel("minigrad.kernels.rms.runs_backward", stats=without_share),
        "first derivative",
    ),
    Sabotage(
        "normalize",
        "the same, across channels",
        kernel("minigrad.kernels.rms.across_backward", stats=without_share),
        "fused is composed",
    ),
    Sabotage("normalize", "a cached length is taken for a constant", constant_length, "second derivative"),
    Sabotage(
        "scale_norm", "the gradient of g is lost", gradient("UnitRows", 1, lambda g: g * 0.999), "first derivative"
    ),
    Sabotage("scale_norm", "a cached length is taken for a constant", constant_length, "second derivative"),
    Sabotage(
        "cosine_similarity",
        "vectors below ε get the gradient of others",
        kernel("minigrad.kernels.cosine.cosine_backward", slope=lambda slope: slope * 0),
        "first derivative",
    ),
    Sabotage(
        "cosine_similarity",
        "the two norms change places",
        kernel("minigrad.kernels.cosine.cosine_backward", inv_x=lambda inv: inv[::-1].copy()),
        "first derivative",
    ),
    Sabotage(
        "cosine_similarity",
        "ε is squared",
        option("cosine_similarity", eps=lambda eps: eps**2),
        "forward",
    ),
    Sabotage(
        "cosine_linear",
        "the mean is not subtracted",
        option("cosine_linear", centered=lambda _: False),
        "forward",
    ),
    Sabotage("cosine_linear", "a cached length is taken for a constant", constant_length, "second derivative"),
]
