"""Normalizations of weights. Units are rows here, whatever axis they are on in the function."""

import numpy as np

from minigrad.nn import functional as F
from minigrad.ops.norm import weight as ops
from tests.norms.harness import Method, Sabotage
from tests.parity.case import normal
from tests.sabotage import attribute, kernel, option

# -- oracles: one unit after the other, as the papers say ------------------------------------------------------


def units_of(w, dim):
    return [np.take(w, i, axis=dim) for i in range(w.shape[dim])]


def directions(dim):
    """w = g · v/‖v‖."""

    def oracle(v, g):
        if dim is None:
            return g * v / np.sqrt(np.sum(v**2))
        scales = np.reshape(g, -1)
        return np.stack([s * u / np.linalg.norm(u) for s, u in zip(scales, units_of(v, dim), strict=True)], axis=dim)

    return oracle


def standardized(dim, eps, scaled=False, gamma=1.0):
    def oracle(w, gain=None):
        units = units_of(w, dim)
        gains = np.ones(len(units)) if gain is None else np.reshape(gain, -1)
        found = []
        for u, factor in zip(units, gains, strict=True):
            n = u.size
            mean = np.sum(u) / n
            variance = np.sum((u - mean) ** 2) / n
            u_hat = (u - mean) / np.sqrt(variance + eps)
            found.append(factor * gamma / np.sqrt(n) * u_hat if scaled else u_hat)
        return np.stack(found, axis=dim)

    return oracle


def divided(dim):
    """W / uᵀWv."""

    def oracle(w, u, v):
        sigma = sum(u[i] * np.dot(np.ravel(row), v) for i, row in enumerate(units_of(w, dim)))
        return w / sigma

    return oracle


def iterated(w, u, v):
    """The same after three power iterations."""
    u, v = np.array(u), np.array(v)
    for _ in range(3):
        u = np.einsum("ij,j->i", w, v)
        u = u / np.sqrt(np.einsum("i,i->", u, u))
        v = np.einsum("ij,i->j", w, u)
        v = v / np.sqrt(np.einsum("j,j->", v, v))
    return w / np.einsum("i,ij,j->", u, w, v)


def turned(w, u, v):
    """What `iterated` has arrived at, as a function of w alone: u and v pass no gradient."""
    u, v = np.array(u), np.array(v)
    for _ in range(3):
        u = np.linalg.matmul(w, v) / np.linalg.norm(w @ v)
        v = np.linalg.matmul(w.T, u) / np.linalg.norm(w.T @ u)
    return lambda w, *_: w / (u @ w @ v)


def fresh(w, u, v):
    """In training, with copies of u and v to turn."""
    return F.spectral_norm(w, u.clone(), v.clone(), 3, training=True)


# -- the table -------------------------------------------------------------------------------------------------

METHODS = [
    Method(
        name="weight_norm",
        function=lambda v, gamma: F.weight_norm(v, gamma),
        oracle=directions(0),
        inputs=(normal(3, 4), normal(3, 1)),
        shapes=[
            (lambda v, gamma: F.weight_norm(v, gamma), directions(0), (normal(3, 2, 2), normal(3, 1, 1))),
            (lambda v, gamma: F.weight_norm(v, gamma, 1), directions(1), (normal(2, 3, 2), normal(1, 3, 1))),
            (lambda v, gamma: F.weight_norm(v, gamma, -1), directions(2), (normal(2, 3, 2), normal(1, 1, 2))),
            (lambda v, gamma: F.weight_norm(v, gamma, None), directions(None), (normal(2, 3), normal())),
        ],
        extreme=lambda v: F.weight_norm(v, np.ones((len(v), 1), v.dtype)),
        exclude={"empty batch": "there is no batch, and g would have to lose its units as well; see test_weight"},
    ),
    Method(
        name="weight_standardization",
        function=lambda w: F.weight_standardization(w, eps=0.1),
        oracle=standardized(0, 0.1),
        inputs=(normal(3, 5),),
        shapes=[
            (lambda w: F.weight_standardization(w, eps=0.1), standardized(0, 0.1), (normal(2, 3, 1, 2),)),
            (lambda w: F.weight_standardization(w, 1, 0.1), standardized(1, 0.1), (normal(3, 2, 3),)),
            (lambda w: F.weight_standardization(w, -1, 0.1), standardized(2, 0.1), (normal(3, 2, 3),)),
        ],
        extreme=lambda w, eps=1e-10: F.weight_standardization(w, eps=eps),
    ),
    Method(
        name="scaled_weight_standardization",
        function=lambda w, gamma: F.scaled_weight_standardization(w, gamma, 1.7, eps=0.1),
        oracle=standardized(0, 0.1, True, 1.7),
        inputs=(normal(3, 5), normal(3, 1)),
        shapes=[
            (
                lambda w: F.scaled_weight_standardization(w, eps=0.1),
                standardized(0, 0.1, True),
                (normal(2, 3, 2),),
            ),
            (
                lambda w, gamma: F.scaled_weight_standardization(w, gamma, 1.7, 1, 0.1),
                standardized(1, 0.1, True, 1.7),
                (normal(3, 2, 3), normal(1, 2, 1)),
            ),
        ],
        batched=(0,),
        extreme=lambda w, eps=1e-10: F.scaled_weight_standardization(w, eps=eps),
        exclude={"empty batch": "there is no batch, and the gain would have to lose its units as well"},
    ),
    Method(
        name="spectral_norm",
        function=lambda w, u, v: F.spectral_norm(w, u, v),
        oracle=divided(0),
        inputs=(normal(3, 4), normal(3), normal(4)),
        shapes=[
            (lambda w, u, v: F.spectral_norm(w, u, v), divided(0), (normal(2, 3, 1, 2), normal(2), normal(6))),
            (lambda w, u, v: F.spectral_norm(w, u, v, dim=1), divided(1), (normal(3, 2, 3), normal(2), normal(9))),
            (lambda w, u, v: F.spectral_norm(w, u, v, dim=-1), divided(2), (normal(3, 2, 3), normal(3), normal(6))),
        ],
        constant_args=(1, 2),
        extreme=lambda w: F.spectral_norm(w, np.arange(1, 4, dtype=w.dtype) / 4, np.ones(4, w.dtype) / 2),
        exclude={"empty batch": "there is no batch, and u or v would have to become shorter as well; see test_weight"},
    ),
    Method(
        name="spectral_norm in training",
        function=fresh,
        oracle=iterated,
        inputs=(normal(3, 4), normal(3), normal(4)),
        shapes=[(fresh, iterated, (normal(70, 3), normal(70), normal(3)))],
        constant_args=(1, 2),
        frozen_oracle=turned,
        exclude={
            "extremes": "ε = 1e-12 is part of the iteration, which a weight of 1e-20 does not survive",
            "at zero": "a weight of zeros moves neither u nor v, and the row above has it",
            "empty batch": "a matrix without rows has no singular values",
        },
    ),
]


def cached_lengths(self, grad):
    """The closed form of weight norm's gradient, with the lengths of the forward pass as constants."""
    v, g = self.saved
    inverse = self.inverse.reshape(-1, *[1] * (v.ndim - 1))
    along = (grad * v * inverse).sum(tuple(range(1, v.ndim)), keepdims=True)
    return (grad - v * inverse * along) * g * inverse, along


def cached_sigma(self, grad):
    """The closed form of spectral norm's gradient, with σ as a constant."""
    (w,) = self.saved
    along = (grad * w).sum() / self.sigma
    return (grad - along * np.multiply.outer(self.u, self.v).reshape(w.shape)) / self.sigma


def unbiased(original):
    """The variance by n − 1."""

    def moments(x, axes):
        mu, variance = original(x, axes)
        n = np.prod([x.shape[axis] for axis in axes])
        return mu, variance * (n / (n - 1))

    return moments


def scaled_gradients(cls):
    """The backward kernel's results for the first input a thousandth too large."""

    def apply(patch):
        original = cls.gradients

        def gradients(self, *arrays):
            first, *others = original(self, *arrays)
            return first * 1.001, *others

        patch.setattr(cls, "gradients", gradients)

    return apply


SABOTAGE = [
    Sabotage(
        "weight_norm",
        "the lengths are off",
        kernel("minigrad.kernels.weight.unit_rows_forward", g=lambda g: 1.001 * g),
        "forward",
    ),
    Sabotage(
        "weight_norm",
        "the gradient for v is not at right angles to v",
        kernel("minigrad.kernels.weight.unit_rows_backward", inverse=lambda inverse: 1.001 * inverse),
        "first derivative",
    ),
    Sabotage(
        "weight_norm",
        "lengths of the forward pass as constants",
        lambda patch: patch.setattr(ops.WeightNorm, "backward", cached_lengths),
        "second derivative",
    ),
    Sabotage(
        "weight_norm",
        "a length of 0 is left as it is",
        attribute("minigrad.ops.norm.weight.nonzero", lambda _: lambda size: size),
        "at zero",
    ),
    Sabotage(
        "weight_standardization",
        "ε is ten times as large",
        option("weight_standardization", eps=lambda e: 10 * e),
        "forward",
    ),
    Sabotage(
        "weight_standardization",
        "the composed form's variance is unbiased",
        attribute("minigrad.ops.norm.weight.moments", unbiased),
        "fused is composed",
    ),
    Sabotage(
        "weight_standardization",
        "the gradient is scaled",
        scaled_gradients(ops.WeightStandardization),
        "first derivative",
    ),
    Sabotage(
        "scaled_weight_standardization",
        "divided by the fan-in, not its root",
        attribute("minigrad.ops.norm.weight.sqrt", lambda _: lambda n: n),
        "forward",
    ),
    Sabotage(
        "scaled_weight_standardization",
        "γ is lost",
        option("scaled_weight_standardization", gamma=lambda _: 1.0),
        "forward",
    ),
    Sabotage(
        "spectral_norm",
        "the backward kernel has another σ",
        kernel("minigrad.kernels.weight.spectral_backward", sigma=lambda sigma: 1.001 * sigma),
        "first derivative",
    ),
    Sabotage(
        "spectral_norm",
        "σ of the forward pass as a constant",
        lambda patch: patch.setattr(ops.SpectralNorm, "backward", cached_sigma),
        "second derivative",
    ),
    Sabotage(
        "spectral_norm",
        "the rows of the matrix are not the units",
        attribute("minigrad.ops.norm.weight.as_matrix", lambda original: lambda w, dim: original(w, 0)),
        "forward",
    ),
    Sabotage(
        "spectral_norm in training",
        "one power iteration too few",
        kernel("minigrad.kernels.weight.spectral_forward", steps=lambda steps: max(steps - 1, 0)),
        "forward",
    ),
    Sabotage(
        "spectral_norm in training",
        "the gradient is scaled",
        scaled_gradients(ops.SpectralNorm),
        "first derivative",
    ),
]
