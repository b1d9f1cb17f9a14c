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

from minigrad.kernels.jit import inline, kernel, prange

STRIP = 4096
"""The number of windows, side by side, that are one task of `max_pool_large`."""


@kernel
def max_pool(x, places, out, index):
    """out[p, o] = the largest of x[p, places[:, o]], and index[p, o] where it is, unless `index` is None.

    Of equal elements the first counts, and NaN is larger than any number. The innermost loop runs over windows and
    not over the few elements of one: it is long, and it chooses without branches. The elements are fetched first, by a
    loop of their own, because the choice between values that lie side by side is many times faster.
    """
    for p in prange(x.shape[0]):
        image, best, place = x[p], out[p], None if index is None else index[p]
        for o in range(best.size):
            at = places[0, o]
            best[o] = image[np.uintp(at)]
            if place is not None:
                place[o] = at
        values = np.empty(best.size, x.dtype)
        for t in range(1, places.shape[0]):
            row = places[t]
            for o in range(best.size):
                values[o] = image[np.uintp(row[o])]
            for o in range(best.size):
                value, old = values[o], best[o]
                larger = (value > old) | (value != value)
                best[o] = value if larger else old
                if place is not None:
                    there = place[o]
                    place[o] = row[o] if larger else there


@inline
def _take(best, place, x, start, stride):
    """best[k] = the larger of best[k] and x[start + stride · k], and place[k] is where it is."""
    for k in range(best.size):
        at = start + stride * k
        value, old = x[np.uintp(at)], best[k]
        larger = (value > old) | (value != value)  # chosen without a branch, which would be guessed
        best[k] = value if larger else old
        if place is not None:
            there = place[k]
            place[k] = at if larger else there


@kernel
def max_pool_large(x, size, d0, d1, h0, h1, w0, w1, steps, alike, out, index):
    """The same as `max_pool` for x of (planes, D·H·W), `size` = (D, H, W), and out and index of (planes, D, H, W).

    `steps`: from element to element of a window, along each axis. The planes may be few: a task is a strip of a row.

    `alike` = (begin, end, stride): windows begin to end − 1 of a row have equally many elements, and each lies
    `stride` behind the one before. They take one element each, then the next one each: that loop is long, and its
    compiled form takes several windows at once. The others are those at the edges, or all of an adaptive pooling.
    """
    depth, height, width = out.shape[1:]
    strips = (width + STRIP - 1) // STRIP
    for task in prange(x.shape[0] * depth * height * strips):
        row, strip = task // strips, task % strips
        p, i, j = row // (depth * height), row // height % depth, row % height
        a, b = strip * STRIP, min(strip * STRIP + STRIP, width)
        begin = min(max(a, alike[0]), b)
        end = max(begin, min(b, alike[1]))
        plane, best, place = x[p], out[p, i, j], None if index is None else index[p, i, j]
        start = (d0[i] * size[1] + h0[j]) * size[2]
        for k in range(a, b):
            best[k] = plane[np.uintp(start + w0[k])]
            if place is not None:
                place[k] = start + w0[k]
        for d in range(d0[i], d1[i], steps[0]):
            for h in range(h0[j], h1[j], steps[1]):
                start = (d * size[1] + h) * size[2]
                if begin < end:
                    middle, there = best[begin:end], None if place is None else place[begin:end]
                    for at in range(start + w0[begin], start + w1[begin], steps[2]):
                        if alike[2] == 1:  # with a stride that the compiler knows, the loop is much faster
                            _take(middle, there, plane, at, 1)
                        elif alike[2] == 2:
                            _take(middle, there, plane, at, 2)
                        else:
                            _take(middle, there, plane, at, alike[2])
                for edge in range(begin - a + b - end):
                    k = a + edge if edge < begin - a else end + edge - (begin - a)
                    one, there = best[k : k + 1], None if place is None else place[k : k + 1]
                    for at in range(start + w0[k], start + w1[k], steps[2]):
                        _take(one, there, plane, at, 0)


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
