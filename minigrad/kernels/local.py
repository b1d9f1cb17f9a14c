"""Kernels for windows that slide along an axis: local response normalization, and divisive normalization.

Every window is summed separately. A running sum (add the element that enters, subtract the element that leaves) would
keep the rounding error of a large element for ever, and NaN and infinity as well. All arithmetic is in float64, so the
square of a float32 neither overflows nor vanishes.
"""

from typing import Any

import numpy as np

from minigrad.kernels.jit import inline, kernel, prange, subroutine

STRIP = 64
"""Number of neighbouring elements in one task: all channels of such a strip stay in the cache."""


@inline
def add_squares(run: Any, total: Any) -> None:
    for j in range(run.size):
        total[j] += np.float64(run[j]) * np.float64(run[j])


@inline
def add(run: Any, total: Any) -> None:
    for j in range(run.size):
        total[j] += run[j]


@inline
def copy(run: Any, out: Any) -> None:  # a loop compiles much faster than `out[:] = run`
    for j in range(run.size):
        out[j] = run[j]


@inline
def divide(total: Any, weights: Any) -> None:
    for j in range(total.size):
        total[j] /= weights[j]


@inline
def shift_and_scale(total: Any, alpha: Any, k: Any) -> None:
    for j in range(total.size):
        total[j] = k + alpha * total[j]


@inline
def inverse_powers(d: Any, beta: Any) -> None:
    """d ← d^−β. Roots take a few cycles and use SIMD; a general power takes a hundred cycles."""
    if beta == 0.75:
        for j in range(d.size):
            inverse_root = 1.0 / np.sqrt(d[j])
            d[j] = inverse_root * np.sqrt(inverse_root)
    elif beta == 0.5:
        for j in range(d.size):
            d[j] = 1.0 / np.sqrt(d[j])
    elif beta == 1.0:
        for j in range(d.size):
            d[j] = 1.0 / d[j]
    else:
        for j in range(d.size):
            d[j] = d[j] ** -beta


@inline
def multiply(run: Any, factor: Any, out: Any) -> None:
    for j in range(run.size):
        out[j] = run[j] * factor[j]


@inline
def direct_and_shared(g: Any, run: Any, d: Any, direct: Any, shared: Any) -> None:
    """direct: d^−β → g d^−β, the gradient of x by the numerator; shared = x · direct / d, the part that d sends to its
    window."""
    for j in range(run.size):
        direct[j] *= g[j]
        shared[j] = direct[j] * run[j] / d[j]


@inline
def subtract_product(direct: Any, run: Any, total: Any, slope: Any, out: Any) -> None:
    """out = direct − slope · x · total."""
    for j in range(run.size):
        out[j] = direct[j] - slope * run[j] * total[j]


@kernel
def response_forward(x: Any, before: int, after: int, alpha: float, beta: float, k: float, y: Any) -> None:
    """y = x · d^−β,  d = k + α Σ x² over the channels from c − before to c + after.  x, y: (N, C, S)."""
    batch, channels, space = x.shape
    strips = (space + STRIP - 1) // STRIP
    for task in prange(batch * strips):
        i, first = task // strips, task % strips * STRIP
        last = min(space, first + STRIP)
        d = np.empty(last - first)
        for c in range(channels):
            d[:] = 0
            for j in range(max(0, c - before), min(channels, c + after + 1)):
                add_squares(x[i, j, first:last], d)
            shift_and_scale(d, alpha, k)
            inverse_powers(d, beta)
            multiply(x[i, c, first:last], d, y[i, c, first:last])


@kernel
def response_backward(g: Any, x: Any, before: int, after: int, alpha: float, beta: float, k: float, dx: Any) -> None:
    """dx_c = g_c d_c^−β − 2αβ x_c Σ g_j x_j d_j^−(β+1) over all j whose windows contain c."""
    batch, channels, space = x.shape
    strips = (space + STRIP - 1) // STRIP
    slope = 2 * alpha * beta
    for task in prange(batch * strips):
        i, first = task // strips, task % strips * STRIP
        last = min(space, first + STRIP)
        d = np.empty(last - first)
        direct, shared = np.empty((channels, last - first)), np.empty((channels, last - first))
        for c in range(channels):
            d[:] = 0
            for j in range(max(0, c - before), min(channels, c + after + 1)):
                add_squares(x[i, j, first:last], d)
            shift_and_scale(d, alpha, k)
            copy(d, direct[c])
            inverse_powers(direct[c], beta)
            direct_and_shared(g[i, c, first:last], x[i, c, first:last], d, direct[c], shared[c])
        for c in range(channels):
            d[:] = 0
            for j in range(max(0, c - after), min(channels, c + before + 1)):  # the windows that contain an element
                add(shared[j], d)
            subtract_product(direct[c], x[i, c, first:last], d, slope, dx[i, c, first:last])


# -- divisive normalization: sums over boxes -----------------------------------------------------------------


@inline
def slide(x: Any, out: Any, lines: Any, n: Any, step: Any, before: Any, after: Any) -> None:
    """out = Σ x over a window along one axis of length n, of arrays seen as (lines, n, step) and given flat.

    All elements move together: one place along the axis is `step` places in memory.
    """
    length = n * step
    for a in range(0, lines * length, length):
        if min(before, after) >= n - 1:  # every window is the whole axis
            out[a : a + step] = 0
            for j in range(a, a + length, step):
                add(x[j : j + step], out[a : a + step])
            for j in range(a + step, a + length, step):
                copy(out[a : a + step], out[j : j + step])
            continue
        copy(x[a : a + length], out[a : a + length])
        for d in range(1, before + 1):
            add(x[a : a + length - d * step], out[a + d * step : a + length])
        for d in range(1, after + 1):
            add(x[a + d * step : a + length], out[a : a + length - d * step])


@subroutine
def box_sums(total: Any, spare: Any, windows: Any, backward: Any) -> None:
    """Replace `total` by its sums over boxes, axis by axis; `backward` reverses the windows: for each element, the
    windows that contain it."""
    for w in range(windows.shape[0]):
        before, after = windows[w, 3], windows[w, 4]
        if backward:
            before, after = after, before
        slide(total, spare, windows[w, 0], windows[w, 1], windows[w, 2], before, after)
        copy(spare, total)


@inline
def add_from(run: Any, origin: Any, total: Any) -> None:
    for j in range(run.size):
        total[j] += np.float64(run[j]) - origin


@inline
def all_near(run: Any, origin: Any) -> Any:
    """True if every element is within a factor of two of `origin`, so that x − origin is exact."""
    reach = 0.5 * abs(origin)
    outside = 0
    for j in range(run.size):
        if not abs(np.float64(run[j]) - origin) <= reach:
            outside += 1
    return outside == 0


@inline
def subtract(run: Any, origin: Any, mean: Any, out: Any) -> None:
    for j in range(run.size):
        out[j] = (np.float64(run[j]) - origin) - mean[j]


@kernel
def center(x: Any, windows: Any, count: Any, pads: bool, transpose: bool, v: Any) -> None:
    """v = x − local mean; with `transpose`, the gradient of x where x is that of v.

    x, v: (N, C, S). count: (K, S), the number of elements of each mean; K is C, or 1 if all channels share.
    windows: for each axis a row (lines, n, step, before, after), see `slide`.
    """
    batch, channels, space = x.shape
    weights = count.reshape(count.size)
    for i in prange(batch):
        total, spare = np.zeros(count.size), np.empty(count.size)
        # Means about an element are exact if all elements are equal. But an element of 1e20 must not spoil windows
        # without it.
        origin = 0.0 if pads or transpose else np.float64(x[i, 0, 0])
        for c in range(channels if origin != 0 else 0):
            if not all_near(x[i, c], origin):
                origin = 0.0
                break
        for c in range(channels):
            at = c * space % total.size
            add_from(x[i, c], origin, total[at : at + space])
        if transpose:
            divide(total, weights)
            box_sums(total, spare, windows, True)
        else:
            box_sums(total, spare, windows, False)
            divide(total, weights)
        for c in range(channels):
            at = c * space % total.size
            subtract(x[i, c], origin, total[at : at + space], v[i, c])


@subroutine
def inverse_deviations(v: Any, total: Any, spare: Any, windows: Any, weights: Any, variance: Any) -> None:
    """total = 1/√(σ² + local mean of v²), v: (C, S)."""
    space = v.shape[1]
    total[:] = 0
    for c in range(v.shape[0]):
        at = c * space % total.size
        add_squares(v[c], total[at : at + space])
    box_sums(total, spare, windows, False)
    for j in range(total.size):
        total[j] = 1.0 / np.sqrt(total[j] / weights[j] + variance)


@inline
def scale_and_shift(run: Any, factor: Any, gamma: Any, beta: Any, out: Any) -> None:
    for j in range(run.size):
        out[j] = run[j] * factor[j] * gamma + beta


@kernel
def divide_forward(v: Any, windows: Any, count: Any, variance: float, gamma: Any, beta: Any, y: Any) -> None:
    """y = v r γ + β,  r = 1/√(σ² + local mean of v²).  v, y: (N, C, S); `variance` is σ²."""
    batch, channels, space = v.shape
    weights = count.reshape(count.size)
    for i in prange(batch):
        r, spare = np.empty(count.size), np.empty(count.size)
        inverse_deviations(v[i], r, spare, windows, weights, variance)
        for c in range(channels):
            at = c * space % r.size
            scale_and_shift(v[i, c], r[at : at + space], gamma[c], beta[c], y[i, c])


@inline
def add_sent(g: Any, run: Any, gamma: Any, total: Any) -> None:
    for j in range(run.size):
        total[j] += np.float64(g[j]) * run[j] * gamma


@inline
def divided_gradient(g: Any, run: Any, r: Any, gamma: Any, sent: Any, out: Any) -> Any:
    """out = γ g r − v · sent; gives Σ g v r and Σ g."""
    total_scale = 0.0
    total_shift = 0.0
    for j in range(run.size):
        direct = np.float64(g[j]) * r[j]
        out[j] = direct * gamma - run[j] * sent[j]
        total_scale += direct * run[j]
        total_shift += g[j]
    return total_scale, total_shift


@kernel
def divide_backward(
    g: Any, v: Any, windows: Any, count: Any, variance: float, gamma: Any, dv: Any, partial: Any
) -> None:
    """partial: (N, 2, C), for ∂L/∂γ and ∂L/∂β of each sample; the caller adds them up."""
    batch, channels, space = v.shape
    weights = count.reshape(count.size)
    for i in prange(batch):
        r, sent, spare = np.empty(count.size), np.zeros(count.size), np.empty(count.size)
        inverse_deviations(v[i], r, spare, windows, weights, variance)
        for c in range(channels):
            at = c * space % r.size
            add_sent(g[i, c], v[i, c], gamma[c], sent[at : at + space])
        for j in range(r.size):
            sent[j] *= r[j] * r[j] * r[j] / weights[j]
        box_sums(sent, spare, windows, True)
        for c in range(channels):
            at = c * space % r.size
            here = slice(at, at + space)
            scale, shift = divided_gradient(g[i, c], v[i, c], r[here], gamma[c], sent[here], dv[i, c])
            partial[i, 0, c] = scale
            partial[i, 1, c] = shift
