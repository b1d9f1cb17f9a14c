"""Pooling kernels: the largest element, or the mean, of every window of an image.

Which elements belong to a window comes in tables, so padding, dilation, ceil_mode and adaptive pooling are all the
same here. For a maximum the table holds all places of each window. For a mean it holds ranges: an image has three
axes (a 2-d one has depth 1), and window i of an axis covers the places from first[i] up to, and without, end[i]. The
arguments of the kernels are, for the depth, d0 (first), d1 (end), and dn, by which this axis divides the sum; h and w
are height and width.

All samples and channels are pooled separately, so they are one axis, "planes", and a task for a thread each.
"""

import numpy as np

from minigrad.kernels.jit import kernel, prange


@kernel
def max_pool(x, places, out, index):
    """out[p, o] = the largest of x[p, places[:, o]], and index[p, o] where it is.

    Of equal elements the first counts, and NaN is larger than any number. The innermost loop runs over windows and
    not over the few elements of one: it is long, and it chooses without branches.
    """
    for p in prange(x.shape[0]):
        for o in range(places.shape[1]):
            at = places[0, o]
            out[p, o] = x[p, np.uintp(at)]
            index[p, o] = at
        for t in range(1, places.shape[0]):
            for o in range(places.shape[1]):
                at = places[t, o]
                value = x[p, np.uintp(at)]
                best = out[p, o]
                larger = (value > best) | (value != value)
                out[p, o] = value if larger else best
                index[p, o] = at if larger else index[p, o]


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
