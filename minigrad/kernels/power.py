"""The part that power norm's backward pass subtracts: a share of x̂, in place."""

from typing import Any

from minigrad.kernels.jit import in_order, inline, kernel, prange


@in_order
def times(a: Any, b: Any) -> Any:
    """a · b, in exactly this order: (x/ψ) · factor must not become x · (factor/ψ), which may be outside the range of
    float32."""
    return a * b


@inline
def take_off_run(x: Any, dx: Any, inv_psi: Any, factor: Any) -> None:
    """dx −= (x/ψ) · factor."""
    for j in range(x.size):
        dx[j] -= times(times(x[j], inv_psi), factor)


@inline
def take_off_row(x: Any, dx: Any, inv_psi: Any, factor: Any) -> None:
    """The same, column by column."""
    for j in range(x.size):
        dx[j] -= times(times(x[j], inv_psi[j]), factor[j])


@kernel
def take_off_channels(x: Any, dx: Any, inv_psi: Any, factor: Any) -> None:
    """x, dx: (N, C, S); inv_psi, factor: (C,)."""
    for i in prange(x.shape[0]):
        for c in range(x.shape[1]):
            take_off_run(x[i, c], dx[i, c], inv_psi[c], factor[c])


@kernel
def take_off_columns(x: Any, dx: Any, inv_psi: Any, factor: Any) -> None:
    """x, dx: (N, C); inv_psi, factor: (C,)."""
    for i in prange(x.shape[0]):
        take_off_row(x[i], dx[i], inv_psi, factor)
