"""The inverse square root A^(−½) of a symmetric positive matrix, in two ways, differentiable to any order.

Whitening multiplies by it: if x has covariance A, then A^(−½) x has covariance A^(−½) A A^(−½) = I.

**By eigenvalues.** With A = Q diag(λ) Qᵀ, W = Q diag(1/√λ) Qᵀ. `inverse_sqrt` computes W in this way, but
differentiates it in another way. The derivative of an eigenvector has λᵢ − λⱼ in its denominators: it explodes if two
eigenvalues are close, and is undefined if they are equal, as in the covariance of white data. W itself is smooth
there, because it does not depend on the choice of eigenvectors for a double eigenvalue. So the rule for W must not use
eigenvectors. W satisfies

    W² = A⁻¹    ⇒    W dW + dW W = −A⁻¹ dA A⁻¹ = −W² dA W²

a linear equation for dW, of the form W X + X W = B (Sylvester's, or Lyapunov's). Its solution divides by sums of two
eigenvalues of W, which are positive, so equal eigenvalues do no harm. The solution can be differentiated again in the
same way. So derivatives of every order are solutions of such equations.

**By Newton–Schulz iterations.** `newton_schulz` only multiplies and adds matrices; a few steps come close to W.
"""

from typing import Any

import numpy as np

from minigrad.autograd import Function
from minigrad.ops.elementwise import cast
from minigrad.ops.linalg import matmul
from minigrad.ops.reduction import sum as sum_over
from minigrad.ops.shape import matrix_transpose
from minigrad.ops.unary import sqrt


def eigen(a: Any) -> tuple[Any, Any]:
    """Eigenvalues λ and eigenvectors Q of symmetric matrices, A = Q diag(λ) Qᵀ; NaN where a matrix is not finite.

    If one matrix has a NaN, LAPACK refuses the whole batch. Here the other matrices keep their results.
    """
    finite = np.isfinite(a).all((-2, -1), keepdims=True)
    values, vectors = np.linalg.eigh(np.where(finite, a, np.eye(a.shape[-1])))
    return np.where(finite[..., 0], values, np.nan), vectors


def conjugate(vectors: Any, middle: Any) -> Any:
    """Q M Qᵀ."""
    return vectors @ middle @ vectors.swapaxes(-1, -2)


class Lyapunov(Function):
    """X with A X + X A = B, for a symmetric positive A.

    In the eigenbasis of A the equation falls apart into one for each element, (λᵢ + λⱼ) Xᵢⱼ = Bᵢⱼ.

    The map B → X is its own adjoint, as A is symmetric: the gradient for B solves the equation with G on the right,
    Y. From A dX + dX A = −(dA X + X dA), the gradient for A is −(Y Xᵀ + Xᵀ Y).

    Args:
        eigenvalues, eigenvectors: of A, if they are known: they save time in `forward`; no derivative rule uses them.
    """

    def __init__(self, eigenvalues: Any = None, eigenvectors: Any = None):
        self.known = eigenvalues, eigenvectors

    def forward(self, a: Any, b: Any) -> Any:
        if self.known[0] is None:
            self.known = eigen(a)
        values, vectors = self.known
        middle = conjugate(vectors.swapaxes(-1, -2), b)
        with np.errstate(all="ignore"):  # 0/0 if A is singular: the result is NaN
            x = conjugate(vectors, middle / (values[..., :, None] + values[..., None, :]))
        self.save_for_backward(a, x)
        return x

    def backward(self, g: Any) -> Any:
        a, x = self.saved
        y = Lyapunov(*self.known)(a, g)
        x = x.swapaxes(-1, -2)
        return -(y @ x + x @ y) if self.needs(0) else None, y


class InverseSqrt(Function):
    """W = (A + εI)^(−½) for a symmetric A without negative eigenvalues.

    ⟨G, dW⟩ with W dW + dW W = −W² dA W² is −⟨W² Y W², dA⟩, where Y solves W Y + Y W = G.
    """

    def __init__(self, eps: float):
        self.eps = eps

    def forward(self, a: Any) -> Any:
        values, vectors = eigen(a)
        with np.errstate(all="ignore"):
            # A covariance has no negative eigenvalues, but rounding may make a zero eigenvalue negative.
            values = 1 / np.sqrt(np.maximum(values, 0) + self.eps)
            w = vectors * values[..., None, :] @ vectors.swapaxes(-1, -2)
        self.known = values, vectors
        self.save_for_backward(w)
        return w

    def backward(self, g: Any) -> Any:
        (w,) = self.saved
        inverse = w @ w
        return -(inverse @ Lyapunov(*self.known)(w, g) @ inverse)


def solve_lyapunov(a: Any, b: Any) -> Any:
    """X with A X + X A = B, for symmetric positive definite A (of which the symmetric part is taken).

    Args:
        a, b: (*, n, n), with the same leading axes: a batch of equations.

    Example:
        >>> import minigrad as mg
        >>> solve_lyapunov(mg.tensor([[2.0]]), mg.tensor([[8.0]])).tolist()  # 2x + x2 = 8
        [[2.0]]
    """
    _check_square("solve_lyapunov", a)
    if a.shape != b.shape:
        raise ValueError(f"solve_lyapunov: both matrices must have the same shape, got {a.shape} and {b.shape}")
    return cast(Lyapunov()(symmetric(cast(a, np.float64)), cast(b, np.float64)), b.dtype)


def inverse_sqrt(a: Any, eps: float = 0.0) -> Any:
    """(A + εI)^(−½) for a symmetric matrix without negative eigenvalues, such as a covariance.

    It is computed in float64 by eigenvalues. Derivatives of every order exist also if eigenvalues are equal: see the
    top of this file.

    Args:
        a: (*, n, n), a batch of matrices. The function uses the symmetric part of each; eigenvalues that rounding made
            negative count as 0.
        eps: ε, added to the eigenvalues. A singular matrix needs ε > 0; otherwise the result is NaN.

    Raises:
        ValueError: the matrices are not square.

    Example:
        >>> import minigrad as mg
        >>> inverse_sqrt(mg.tensor([[4.0, 0.0], [0.0, 0.25]])).tolist()
        [[0.5, 0.0], [0.0, 2.0]]
    """
    _check_square("inverse_sqrt", a)
    return cast(InverseSqrt(float(eps))(symmetric(cast(a, np.float64))), a.dtype)


def newton_schulz(a: Any, iterations: int) -> Any:
    """A^(−½), approximately: Newton's method for P⁻² = A, arranged (by Schulz) so that nothing is inverted.

    P₀ = I,    Pₖ = ½ (3 Pₖ₋₁ − Pₖ₋₁³ A / tr A),    A^(−½) ≈ P_T / √tr A

    Dividing by the trace brings the eigenvalues into (0, 1], where the iteration converges. For an eigenvalue λ of A,
    the iteration needs about log(√(tr A / λ)) / log 1.5 steps to come near; then each step doubles the number of
    correct digits. Large eigenvalues converge first. With few steps, small eigenvalues, which are mostly noise, are
    not amplified.

    Args:
        a: (*, n, n), symmetric positive definite matrices.
        iterations: T; none gives I / √tr A.

    Example:
        >>> import minigrad as mg
        >>> newton_schulz(mg.tensor([[4.0, 0.0], [0.0, 4.0]]), 6).tolist()
        [[0.5, 0.0], [0.0, 0.5]]
    """
    _check_square("newton_schulz", a)
    identity = np.eye(a.shape[-1], dtype=a.dtype)
    total = sum_over(a * identity, (-2, -1), keepdim=True)
    p, y = identity, a / total
    for _ in range(iterations):
        # y is P A / tr A, so P y P is P³ A / tr A, because these matrices commute. P³ itself would be the same without
        # rounding. With rounding the matrices no longer commute exactly, and the iteration would amplify the error.
        step = 1.5 * identity - 0.5 * matmul(p, y)
        p, y = matmul(step, p), matmul(y, step)
    return p / sqrt(total)


def symmetric(a: Any) -> Any:
    """The symmetric part, ½ (A + Aᵀ)."""
    return 0.5 * (a + matrix_transpose(a))


def _check_square(op: str, a: Any) -> None:
    if a.ndim < 2 or a.shape[-1] != a.shape[-2]:
        raise ValueError(f"{op}: needs square matrices, (..., n, n), got shape {a.shape}")
