"""Pooling kernels: the largest element, or the mean, of every window of an image.

An image always has three axes here (a 2-d one has depth 1), and a window is a product of three ranges. The ranges
come in tables, one for each axis: window i of the axis covers the positions first[i], first[i] + step, ... below
last[i]. Padding, dilation, ceil_mode and adaptive pooling differ only in what is in the tables.

All samples and channels are pooled separately, so they are one axis, "planes", and a task for a thread each.
"""

import numpy as np

from minigrad.kernels.jit import kernel, prange


@kernel
def max_pool(x, d0, d1, ds, h0, h1, hs, w0, w1, ws, out, index):
    """out: the largest element of each window; index: where it is in the flattened image.

    Of equal elements the first counts, and NaN is larger than any number.
    """
    height, width = x.shape[2], x.shape[3]
    for p in prange(x.shape[0]):
        for i in range(out.shape[1]):
            for j in range(out.shape[2]):
                for k in range(out.shape[3]):
                    best = -np.inf
                    at = (d0[i] * height + h0[j]) * width + w0[k]
                    for d in range(d0[i], d1[i], ds):
                        for h in range(h0[j], h1[j], hs):
                            for w in range(w0[k], w1[k], ws):
                                value = x[p, d, h, w]
                                if value > best or value != value:
                                    best = value
                                    at = (d * height + h) * width + w
                    out[p, i, j, k] = best
                    index[p, i, j, k] = at


@kernel
def scatter(g, index, gx):
    """gx[p, index[p, i]] += g[p, i]: each window's gradient goes to its largest element. gx starts as zeros."""
    for p in prange(g.shape[0]):
        for i in range(g.shape[1]):
            gx[p, index[p, i]] += g[p, i]


@kernel
def gather(x, index, out):
    """out[p, i] = x[p, index[p, i]], the transpose of `scatter`."""
    for p in prange(x.shape[0]):
        for i in range(index.shape[1]):
            out[p, i] = x[p, index[p, i]]


@kernel
def window_sum(x, d0, d1, h0, h1, w0, w1, dn, hn, wn, out):
    """out: the sum of each window, over dn · hn · wn."""
    for p in prange(x.shape[0]):
        for i in range(out.shape[1]):
            for j in range(out.shape[2]):
                for k in range(out.shape[3]):
                    total = x.dtype.type(0)
                    for d in range(d0[i], d1[i]):
                        for h in range(h0[j], h1[j]):
                            for w in range(w0[k], w1[k]):
                                total += x[p, d, h, w]
                    out[p, i, j, k] = total / (dn[i] * hn[j] * wn[k])


@kernel
def window_spread(g, d0, d1, h0, h1, w0, w1, dn, hn, wn, gx):
    """The transpose of `window_sum`: each window's gradient goes to all its elements. gx starts as zeros."""
    for p in prange(g.shape[0]):
        for i in range(g.shape[1]):
            for j in range(g.shape[2]):
                for k in range(g.shape[3]):
                    share = g[p, i, j, k] / (dn[i] * hn[j] * wn[k])
                    for d in range(d0[i], d1[i]):
                        for h in range(h0[j], h1[j]):
                            for w in range(w0[k], w1[k]):
                                gx[p, d, h, w] += share
