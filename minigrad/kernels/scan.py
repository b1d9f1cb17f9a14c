"""Recurrences along a row: each element needs the element before it, so a row is a task."""

from minigrad.kernels.jit import kernel, prange


@kernel
def recurrence(a, b, s):
    """s[t] = a[t] · s[t−1] + b[t] along each row, with nothing before the first."""
    for row in prange(b.shape[0]):
        before = b[row, 0] * 0
        for t in range(b.shape[1]):
            before = a[row, t] * before + b[row, t] if t > 0 else b[row, t]
            s[row, t] = before
