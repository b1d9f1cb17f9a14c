"""Convolution kernels: one for "slide weights over an image", one for the gradient of the weights.

Everything that a convolution layer computes is one of two sums over an image x, n-dimensional and padded
with zeros (o: output channel, c: input channel, t: position within the kernel, j: position in the image)::

    correlate:    out[n, o, j] = bias[o] + Σ_c Σ_t w[o, c, t] · x[n, c, stride·j + dilation·t − padding]
    weight_grad:  gw[o, c, t]  = Σ_n Σ_j g[n, o, j] · x[n, c, stride·j + dilation·t − padding]

The gradient with respect to the input is a `correlate` again: with stride 1 one over g, with the kernel
turned round; with stride s one for each of the s residues that an input position has modulo s.

**How they are fast.** An image is first copied into a buffer where it is padded, and where the pixels that
one tap of the kernel visits are neighbours: with stride 2 all even columns come before all odd ones. In that
buffer each tap is the whole output image, shifted by a constant, so the innermost loop runs over the entire
image and not over a short row. At the end of each row it computes a few values that nobody asked for
(positions that straddle two rows), which costs less than starting anew. Small images of several samples are
interleaved (the sample is the last axis), which makes the run longer without waste. The innermost loop
combines four taps and four channels: sixteen multiply-adds for twelve memory accesses, all in the L1 cache.
That is what makes it arithmetic-bound. There is no big im2col matrix: writing it would cost more than the
arithmetic.
"""

import math
from functools import lru_cache
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from minigrad.kernels.jit import inline, kernel, prange

SEGMENT = 1024  # values of one channel that are worked on at a time: 4 + 4 such rows fit the L1 cache
TASKS = 4  # at least so many for the threads; in a gradient of weights, as many partial sums
RUN = 700  # shorter runs are made longer by interleaving samples
Size = tuple[int, ...]


class Plan(NamedTuple):
    """Where everything lies in the buffer; depends on shapes only, and is computed once for each."""

    samples: int  # how many samples are interleaved
    rows: Any  # for each row of the buffer: first source pixel (−1: none), first and last column to fill
    row_length: int
    step: int  # distance of two neighbouring source pixels: the stride of the last axis
    channel: int  # length of one channel in the buffer
    taps: Any  # by how much each (channel, tap) is shifted; the list is filled up to a multiple of four
    run: int  # length of the innermost run, a multiple of eight
    starts: Any  # where in the run each row of the output starts
    width: int  # length of an output row


@lru_cache(maxsize=512)
def plan(
    image: Size, kernel_size: Size, out: Size, stride: Size, dilation: Size, padding: Size, channels: int, batch: int
) -> Plan:
    """Lay out the buffer for images of size `image` (3 axes), `padding` being what lies before each axis."""
    residues, lengths, tap_axes = [], [], []
    for k, o, s, d in zip(kernel_size, out, stride, dilation, strict=True):
        found = sorted({i * d % s for i in range(k)})
        residues.append(found)
        lengths.append(o + (k - 1) * d // s)
        tap_axes.append([(found.index(i * d % s), i * d // s) for i in range(k)])
    depth, height, width = lengths
    pixels = depth * height * width
    run = (out[0] - 1) * height * width + (out[1] - 1) * width + out[2]
    blocks = -(-batch // min(batch, -(-RUN // run)))
    samples = -(-batch // blocks)

    rows = []
    for rd, rh, rw in product(*residues):
        first = max(0, -((rw - padding[2]) // stride[2]))
        last = min(width, -((rw - padding[2] - image[2]) // stride[2]))
        for qd, qh in product(range(depth), range(height)):
            i, j = qd * stride[0] + rd - padding[0], qh * stride[1] + rh - padding[1]
            if 0 <= i < image[0] and 0 <= j < image[1] and first < last:
                source = (i * image[1] + j) * image[2] + first * stride[2] + rw - padding[2]
                rows.append((source, first, last))
            else:
                rows.append((-1, 0, 0))
    channel = len(rows) * width * samples

    taps = []
    for c in range(channels):
        for (fd, qd), (fh, qh), (fw, qw) in product(*tap_axes):
            phase = (fd * len(residues[1]) + fh) * len(residues[2]) + fw
            taps.append(c * channel + (phase * pixels + (qd * height + qh) * width + qw) * samples)
    taps += [channels * channel] * (-len(taps) % 4)  # these point at zeros

    run = ((run - 1) * samples + samples + 7) // 8 * 8
    starts = [(d * height + h) * width * samples for d, h in product(range(out[0]), range(out[1]))]
    return Plan(
        samples,
        np.array(rows, dtype=np.int64).reshape(-1, 3),
        width,
        stride[2],
        channel,
        np.array(taps, dtype=np.int64),
        run,
        np.array(starts, dtype=np.int64),
        out[2],
    )


@inline
def pack(x, n0, n1, c0, c1, samples, rows, row_length, step, channel, run):
    """Samples n0 … n1 and channels c0 … c1 of x in the buffer, padded, with a run of zeros at the end."""
    buffer = np.zeros((c1 - c0) * channel + run + 8, x.dtype)
    for c in range(c0, c1):
        for r in range(rows.shape[0]):
            source, first, last = rows[r]
            if source < 0:
                continue
            to = (c - c0) * channel + (r * row_length + first) * samples
            if n1 - n0 > last - first:  # the longer loop goes inside
                for q in range(last - first):
                    for n in range(n1 - n0):
                        buffer[np.uintp(to + q * samples + n)] = x[n0 + n, c, np.uintp(source + q * step)]
            else:
                for n in range(n1 - n0):
                    for q in range(last - first):
                        buffer[np.uintp(to + q * samples + n)] = x[n0 + n, c, np.uintp(source + q * step)]
    return buffer


@inline
def add_four_taps_to_four(acc, start, length, run, x, x0, x1, x2, x3, w, o, k):
    """acc[i, j] += Σ_t w[o + i, k + t] · x[x_t + j], for four rows i and four taps t."""
    # An unsigned index spares the test for negative indices, which would keep the loop from being vectorized.
    w00, w01, w02, w03 = w[o, k], w[o, k + 1], w[o, k + 2], w[o, k + 3]
    w10, w11, w12, w13 = w[o + 1, k], w[o + 1, k + 1], w[o + 1, k + 2], w[o + 1, k + 3]
    w20, w21, w22, w23 = w[o + 2, k], w[o + 2, k + 1], w[o + 2, k + 2], w[o + 2, k + 3]
    w30, w31, w32, w33 = w[o + 3, k], w[o + 3, k + 1], w[o + 3, k + 2], w[o + 3, k + 3]
    a0, a1, a2, a3 = start, run + start, 2 * run + start, 3 * run + start
    for j in range(length):
        p, q = x[np.uintp(x0 + j)], x[np.uintp(x1 + j)]
        r, s = x[np.uintp(x2 + j)], x[np.uintp(x3 + j)]
        acc[np.uintp(a0 + j)] += w00 * p + w01 * q + w02 * r + w03 * s
        acc[np.uintp(a1 + j)] += w10 * p + w11 * q + w12 * r + w13 * s
        acc[np.uintp(a2 + j)] += w20 * p + w21 * q + w22 * r + w23 * s
        acc[np.uintp(a3 + j)] += w30 * p + w31 * q + w32 * r + w33 * s


@inline
def add_four_taps_to_one(acc, start, length, x, x0, x1, x2, x3, w, o, k):
    """acc[j] += Σ_t w[o, k + t] · x[x_t + j]: what is left over when channels don't come in fours."""
    w0, w1, w2, w3 = w[o, k], w[o, k + 1], w[o, k + 2], w[o, k + 3]
    for j in range(length):
        p, q = x[np.uintp(x0 + j)], x[np.uintp(x1 + j)]
        r, s = x[np.uintp(x2 + j)], x[np.uintp(x3 + j)]
        acc[np.uintp(start + j)] += w0 * p + w1 * q + w2 * r + w3 * s


@kernel
def correlate_kernel(
    x, w, bias, groups, splits, samples, rows, row_length, step, channel, taps, run, starts, width, out
):
    """out = bias + x * w. A task is a block of samples, one group, and a part of its output channels."""
    per_group_in, per_group_out = x.shape[1] // groups, w.shape[0] // groups
    part = -(-per_group_out // (4 * splits)) * 4
    blocks = -(-x.shape[0] // samples)
    for task in prange(blocks * groups * splits):
        n0 = task // (groups * splits) * samples
        n1 = min(x.shape[0], n0 + samples)
        group = task // splits % groups
        o_from = group * per_group_out + task % splits * part
        o_to = min(o_from + part, (group + 1) * per_group_out)
        buffer = pack(
            x, n0, n1, group * per_group_in, (group + 1) * per_group_in, samples, rows, row_length, step, channel, run
        )
        acc = np.empty(4 * run, x.dtype)
        for o in range(o_from, o_to, 4):
            count = min(4, o_to - o)
            for i in range(count):
                acc[i * run : (i + 1) * run] = bias[o + i]
            for j in range(0, run, SEGMENT):
                length = min(SEGMENT, run - j)
                for k in range(0, taps.size, 4):
                    x0, x1, x2, x3 = taps[k] + j, taps[k + 1] + j, taps[k + 2] + j, taps[k + 3] + j
                    if count == 4:
                        add_four_taps_to_four(acc, j, length, run, buffer, x0, x1, x2, x3, w, o, k)
                    else:
                        for i in range(count):
                            add_four_taps_to_one(acc, i * run + j, length, buffer, x0, x1, x2, x3, w, o + i, k)
            for i in range(count):
                for n in range(n0, n1):
                    for r in range(starts.size):
                        start = i * run + starts[r] + n - n0
                        for q in range(width):
                            out[n, o + i, np.uintp(r * width + q)] = acc[np.uintp(start + q * samples)]


@inline
def add_sixteen_products(g, g0, run, x, x0, x1, x2, x3, out, o, k):
    """out[o + i, k + t] += Σ_j g[i, j] · x[x_t + j], for four rows i of g and four taps t."""
    zero = g.dtype.type(0)
    s00 = s01 = s02 = s03 = s10 = s11 = s12 = s13 = zero
    s20 = s21 = s22 = s23 = s30 = s31 = s32 = s33 = zero
    g1, g2, g3 = g0 + run, g0 + 2 * run, g0 + 3 * run
    for j in range(run):
        p, q = x[np.uintp(x0 + j)], x[np.uintp(x1 + j)]
        r, s = x[np.uintp(x2 + j)], x[np.uintp(x3 + j)]
        a, b = g[np.uintp(g0 + j)], g[np.uintp(g1 + j)]
        c, d = g[np.uintp(g2 + j)], g[np.uintp(g3 + j)]
        s00 += a * p
        s01 += a * q
        s02 += a * r
        s03 += a * s
        s10 += b * p
        s11 += b * q
        s12 += b * r
        s13 += b * s
        s20 += c * p
        s21 += c * q
        s22 += c * r
        s23 += c * s
        s30 += d * p
        s31 += d * q
        s32 += d * r
        s33 += d * s
    sums = (s00, s01, s02, s03, s10, s11, s12, s13, s20, s21, s22, s23, s30, s31, s32, s33)
    for i in range(16):
        out[o + i // 4, k + i % 4] += sums[i]


@inline
def sum_of(row):
    """Σ row in float64, as a loop of its own: in one that also copies, the compiler decides for the serial and for
    the parallel form anew whether to reorder the sum, and the two may differ in the last bit."""
    total = 0.0
    for j in range(row.size):
        total += np.float64(row[j])
    return total


@kernel
def weight_grad_kernel(
    x, g, groups, chunks, splits, samples, rows, row_length, step, channel, taps, run, starts, width, partial, sums
):
    """partial[chunk] = the sum over the samples of that chunk; rows of a group are filled up to fours.

    sums[chunk, o] is that of g alone: the gradient of a bias.

    The chunks depend on the shapes alone, so the sum has the same bits on any number of threads.
    """
    per_group_in, per_group_out = x.shape[1] // groups, g.shape[1] // groups
    padded_out = -(-per_group_out // 4) * 4
    blocks = -(-x.shape[0] // samples)
    per_chunk = -(-blocks // chunks)
    part = -(-per_group_out // (4 * splits)) * 4
    for task in prange(chunks * groups * splits):
        chunk, group = task // (groups * splits), task // splits % groups
        o_from = task % splits * part
        o_to = min(o_from + part, per_group_out)
        gs = np.zeros(part * run, x.dtype)
        for block in range(chunk * per_chunk, min(blocks, (chunk + 1) * per_chunk)):
            n0 = block * samples
            n1 = min(x.shape[0], n0 + samples)
            buffer = pack(
                x, n0, n1, group * per_group_in, (group + 1) * per_group_in,
                samples, rows, row_length, step, channel, run,
            )  # fmt: skip
            for o in range(o_from, o_to):
                channel_of_g = group * per_group_out + o
                for n in range(n0, n1):
                    for r in range(starts.size):
                        start = (o - o_from) * run + starts[r] + n - n0
                        for q in range(width):
                            gs[np.uintp(start + q * samples)] = g[n, channel_of_g, np.uintp(r * width + q)]
                    sums[chunk, channel_of_g] += sum_of(g[n, channel_of_g])
            if n1 - n0 < samples:  # the last block is not full: clear what the one before it left
                for i in range(part * run):
                    if i % run % samples >= n1 - n0:
                        gs[i] = 0
            for o in range(o_from, o_to, 4):
                for k in range(0, taps.size, 4):
                    add_sixteen_products(
                        gs, (o - o_from) * run, run, buffer, taps[k], taps[k + 1], taps[k + 2], taps[k + 3],
                        partial[chunk], group * padded_out + o, k,
                    )  # fmt: skip


# -- arrays in, arrays out --------------------------------------------------------------------------------


def three(sizes: Any, fill: int = 1) -> Size:
    """One, two or three numbers as three: a 1-d or 2-d image is a 3-d one of depth 1."""
    return (fill,) * (3 - len(sizes)) + tuple(sizes)


def correlate(
    x: Any, w: Any, bias: Any, stride: Size, dilation: Size, padding: Size, groups: int, out_size: Size
) -> Any:
    """out[n, o, j] = bias[o] + Σ_c Σ_t w[o, c, t] · x[n, c, stride·j + dilation·t − padding].

    x (N, C, *image), w (O, C/groups, *kernel_size), bias (O,) or None, out (N, O, *out_size). Positions outside
    the image are zeros, on both sides; `padding` (may be negative) is how far the first one lies before it.
    """
    n, channels = x.shape[:2]
    out_channels, per_group = w.shape[:2]
    out = np.empty((n, out_channels, *out_size), x.dtype)
    if out.size == 0:
        return out
    layout = plan(
        three(x.shape[2:]), three(w.shape[2:]), three(out_size), three(stride), three(dilation), three(padding, 0),
        per_group, n,
    )  # fmt: skip
    tap_count = layout.taps.size
    matrix = np.ascontiguousarray(w.reshape(out_channels, -1))
    if matrix.shape[1] != tap_count:
        matrix = np.zeros((out_channels, tap_count), x.dtype)
        matrix[:, : w[0].size] = w.reshape(out_channels, -1)
    bias = np.zeros(out_channels, x.dtype) if bias is None else np.ascontiguousarray(bias)
    blocks = -(-n // layout.samples) * groups
    splits = min(-(-(out_channels // groups) // 4), -(-TASKS // blocks))
    correlate_kernel(
        out.size * tap_count // 16,
        np.ascontiguousarray(x).reshape(n, channels, -1), matrix, bias, groups, splits, *layout,
        out.reshape(n, out_channels, -1),
    )  # fmt: skip
    return out


def input_grad(
    g: Any, w: Any, bias: Any, stride: Size, dilation: Size, padding: Size, groups: int, image: Size
) -> Any:
    """gx[n, c, i] = bias[c] + Σ_o Σ_t w[o, c, t] · g[n, o, j], over all j with stride·j + dilation·t − padding = i.

    g (N, O, *out_size), w (O, C/groups, *kernel_size), gx (N, C, *image). It is the transpose of `correlate`.
    """
    n, out_channels = g.shape[:2]
    per_group, kernel_size = w.shape[1], w.shape[2:]
    channels = per_group * groups
    if g.size == 0 or w.size == 0:
        nothing = np.zeros((n, channels, *image), g.dtype)
        return nothing if bias is None else nothing + bias.reshape(-1, *[1] * len(image))
    # What was an output channel is an input channel now.
    turned = w.reshape(groups, out_channels // groups, per_group, *kernel_size).swapaxes(1, 2)
    turned = turned.reshape(channels, out_channels // groups, *kernel_size)
    if all(s == 1 for s in stride):
        reach = tuple(d * (k - 1) - p for d, k, p in zip(dilation, kernel_size, padding, strict=True))
        turned = turned[(slice(None), slice(None), *[slice(None, None, -1)] * len(kernel_size))]
        return correlate(g, turned, bias, stride, dilation, reach, groups, image)

    # Position i of the image is i + padding = s·q + r in the padded one. A tap t reaches it if d·t ≡ r (mod s),
    # from j = q − (d·t − r)/s. These t are first, first + s/gcd(s, d), ...: a dilated convolution over j.
    gx = np.empty((n, channels, *image), g.dtype)
    axes = []
    for size, k, s, d, p in zip(image, kernel_size, stride, dilation, padding, strict=True):
        common = int(np.gcd(s, d))
        choices = []
        for r in range(s):
            positions = slice((r - p) % s, size, s)
            count = len(range(*positions.indices(size)))
            q = (positions.start + p - r) // s
            first = next((t for t in range(k) if d * t % s == r), None)
            if first is None:
                choices.append((positions, count, None, 1, 0))
            else:
                taps = range(first, k, s // common)
                # The kernel is turned round: the last tap comes first.
                choices.append((positions, count, taps[::-1], d // common, (d * taps[-1] - r) // s - q))
        axes.append(choices)
    for choice in product(*axes):
        at = (slice(None), slice(None), *(c[0] for c in choice))
        if any(c[2] is None for c in choice):
            gx[at] = 0 if bias is None else bias.reshape(-1, *[1] * len(image))
            continue
        some = turned
        for axis, c in enumerate(choice):
            some = some.take(list(c[2]), axis=2 + axis)
        gx[at] = correlate(
            g, some, bias, (1,) * len(image), tuple(c[3] for c in choice), tuple(c[4] for c in choice), groups,
            tuple(c[1] for c in choice),
        )  # fmt: skip
    return gx


def weight_grad(
    g: Any, x: Any, stride: Size, dilation: Size, padding: Size, groups: int, kernel_size: Size
) -> tuple[Any, Any]:
    """gw[o, c, t] = Σ_n Σ_j g[n, o, j] · x[n, c, stride·j + dilation·t − padding], and gb[o] = Σ_n Σ_j g[n, o, j].

    g (N, O, *out_size), x (N, C, *image), gw (O, C/groups, *kernel_size), gb (O,).
    """
    n, channels = x.shape[:2]
    out_channels, out_size = g.shape[1], g.shape[2:]
    shape = (out_channels, channels // groups, *kernel_size)
    if g.size == 0 or x.size == 0 or 0 in shape:
        return np.zeros(shape, x.dtype), g.sum(axis=(0, *range(2, g.ndim)))
    layout = plan(
        three(x.shape[2:]), three(kernel_size), three(out_size), three(stride), three(dilation), three(padding, 0),
        channels // groups, n,
    )  # fmt: skip
    per_group, tap_count = out_channels // groups, layout.taps.size
    rows = -(-per_group // 4) * 4
    chunks = min(TASKS, -(-n // layout.samples))
    splits = min(rows // 4, -(-TASKS // (chunks * groups)))
    partial = np.zeros((chunks, groups * rows, tap_count), x.dtype)
    sums = np.zeros((chunks, out_channels))
    weight_grad_kernel(
        g.size * tap_count // 16,
        np.ascontiguousarray(x).reshape(n, channels, -1), np.ascontiguousarray(g).reshape(n, out_channels, -1),
        groups, chunks, splits, *layout, partial, sums,
    )  # fmt: skip
    total = (partial[0] if chunks == 1 else partial.sum(axis=0)).reshape(groups, rows, tap_count)
    gw = np.ascontiguousarray(total[:, :per_group, : math.prod(shape[1:])]).reshape(shape)
    return gw, sums.sum(axis=0).astype(x.dtype)
