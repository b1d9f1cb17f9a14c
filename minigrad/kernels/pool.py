"""Pooling kernels: the largest element, or the mean, of every window of an image.

Which elements belong to a window comes in tables, so padding, dilation, ceil_mode and adaptive pooling are all the
same here. An image has three axes (a 2-d one has depth 1). For a mean, window i of an axis covers the places from
first[i] up to, and without, end[i]. The arguments of the kernels are, for the depth, d0 (first), d1 (end), and dn, by
which this axis divides the sum; h and w are height and width.

A maximum is found in two ways. For a small image, one table holds all places of each window. For a large image that
table would be many times the image, so there is one table for each axis.

All samples and channels are pooled separately, so they are one axis, "planes".
"""

import numpy as np

from minigrad.kernels.jit import kernel, prange

STRIP = 4096
"""The number of windows, side by side, that are one task of `max_pool_large`."""


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
def max_pool_large(x, size, d0, d1, h0, h1, w0, w1, steps, out, index):
    """The same as `max_pool` for x of (planes, D·H·W), `size` = (D, H, W), and out and index of (planes, D, H, W).

    `steps`: from element to element of a window, along each axis. The planes may be few: a task is a strip of a row.
    """
    depth, height, width = out.shape[1:]
    strips = (width + STRIP - 1) // STRIP
    rows, columns = size[1], size[2]
    deep, high, wide = steps[0], steps[1], steps[2]
    for task in prange(x.shape[0] * depth * height * strips):
        row, strip = task // strips, task % strips
        p, i, j = row // (depth * height), row // height % depth, row % height
        for k in range(strip * STRIP, min(strip * STRIP + STRIP, width)):
            at = (d0[i] * rows + h0[j]) * columns + w0[k]
            best = x[p, np.uintp(at)]
            for d in range(d0[i], d1[i], deep):
                for h in range(h0[j], h1[j], high):
                    start = (d * rows + h) * columns
                    for w in range(start + w0[k], start + w1[k], wide):
                        value = x[p, np.uintp(w)]
                        larger = (value > best) | (value != value)  # chosen without a branch, which would be guessed
                        best = value if larger else best
                        at = w if larger else at
            out[p, i, j, k] = best
            index[p, i, j, k] = at


@kernel
def max_pool_line(x, w0, w1, steps, out, index):
    """`max_pool_large` for images of one axis, x: (planes, W). With one loop inside it is several times faster."""
    width = w0.size
    strips = (width + STRIP - 1) // STRIP
    wide = steps[2]
    for task in prange(x.shape[0] * strips):
        p, strip = task // strips, task % strips
        for k in range(strip * STRIP, min(strip * STRIP + STRIP, width)):
            at = w0[k]
            best = x[p, np.uintp(at)]
            for w in range(w0[k] + wide, w1[k], wide):
                value = x[p, np.uintp(w)]
                larger = (value > best) | (value != value)
                best = value if larger else best
                at = w if larger else at
            out[p, k] = best
            index[p, k] = at


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
