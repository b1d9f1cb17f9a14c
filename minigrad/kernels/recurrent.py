"""The elementwise part of one LSTM step, forward and backward, in one pass over memory each."""

from minigrad.kernels.jit import kernel, prange


@kernel
def lstm_forward(a, c, new_c):
    """Finish the gates in place, and compute the new cell state from them.

    `a` holds tanh(i/2), tanh(f/2), tanh(g), tanh(o/2); it becomes σ(i), σ(f), tanh(g), σ(o), for
    σ(x) = (1 + tanh(x/2)) / 2.
    """
    n = c.shape[1]
    half = a.dtype.type(0.5)
    for b in prange(c.shape[0]):
        for j in range(n):
            i = half + half * a[b, j]
            f = half + half * a[b, n + j]
            a[b, j] = i
            a[b, n + j] = f
            a[b, 3 * n + j] = half + half * a[b, 3 * n + j]
            new_c[b, j] = f * c[b, j] + i * a[b, 2 * n + j]


@kernel
def lstm_backward(a, tanh_c, c, grad_h, dh, dc, d):
    """Gradients of the pre-activations (into d) and of the cell state (dc, in place).

    Args:
        a: the gates σ(i), σ(f), tanh(g), σ(o).
        tanh_c: of the new cell state.
        c: the cell state before the step.
        grad_h, dh: the two parts of the gradient of h: from the output, and from the step after.
    """
    n = c.shape[1]
    one = a.dtype.type(1)
    for b in prange(c.shape[0]):
        for j in range(n):
            i, f, g, o = a[b, j], a[b, n + j], a[b, 2 * n + j], a[b, 3 * n + j]
            t = tanh_c[b, j]
            h = grad_h[b, j] + dh[b, j]
            u = dc[b, j] + h * o * (one - t * t)
            d[b, j] = u * g * i * (one - i)
            d[b, n + j] = u * c[b, j] * f * (one - f)
            d[b, 2 * n + j] = u * i * (one - g * g)
            d[b, 3 * n + j] = h * t * o * (one - o)
            dc[b, j] = u * f
