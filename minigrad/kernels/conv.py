"""Convolution kernels: one for "slide weights over an image", one for the gradient of the weights.

A convolution layer computes only two kinds of sums over an image x, n-dimensional and padded with zeros (o: output
channel, c: input channel, t: position within the kernel, j: position in the image)::

    correlate:    out[n, o, j] = bias[o] + Σ_c Σ_t w[o, c, t] · x[n, c, stride·j + dilation·t − padding]
    weight_grad:  gw[o, c, t]  = Σ_n Σ_j g[n, o, j] · x[n, c, stride·j + dilation·t − padding]

The gradient with respect to the input is a `correlate` again. With stride 1 it is a single `correlate` over g, with
the kernel reversed. With stride s there is a `correlate` for each residue of the input position modulo s.

**Why they are fast.** The textbook method, im2col, copies the image once for each position of the kernel (each *tap*),
and multiplies two matrices. Writing these copies costs more than the arithmetic. Here the image is copied once, into a
padded buffer in which the pixels of each tap are neighbours: with stride 2, all even pixels come before all odd
pixels. Each tap then reads a run of the buffer, shifted by a constant::

    image, padded      0 a b c d e f 0         stride 2, three weights: the taps see 0bd, ace, bdf
    buffer             0 b d f a c e 0         phase 0 (the even pixels), then phase 1 (the odd ones)
    tap 0, shift 0     0 b d
    tap 1, shift 4             a c e
    tap 2, shift 1       b d f

Several rows work in the same way. Example: an output of 2 rows of 3 values, from an image whose padded rows have 5
pixels, is a run of 8 values, `y y y · · y y y`. The innermost loop goes over the entire run, not over three values at
a time. The values at the dots, between two rows, are computed but not used. This costs less than a new loop for each
row.

Small images of several samples are interleaved (the sample is the last axis), so that the run is longer without waste.
The innermost loop combines four taps and four channels: sixteen multiply-adds for twelve memory accesses, all in the
L1 cache. So arithmetic, not memory, limits its speed.

(−(−a // b) is a/b rounded up, here and elsewhere.)
"""

import math
from functools import lru_cache
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from minigrad.kernels.jit import inline, kernel, prange

SEGMENT = 1024  # number of values of a channel in one step: 4 + 4 such rows fit into the L1 cache
TASKS = 4  # the least number of tasks for the threads; also the number of partial sums in a gradient of weights
RUN = 700  # shorter runs are made longer by interleaving samples
Size = tuple[int, ...]


class Layout(NamedTuple):
    """The layout of the buffer. It depends only on shapes, and is computed once for each set of shapes."""

    samples: int  # number of interleaved samples
    rows: Any  # for each row of the buffer: the source of its first pixel (−1: all zeros), first and last column
    row_length: int
    step: int  # distance, in the image, of two pixels that are neighbours in the buffer: the stride of the last axis
    channel: int  # length of one channel in the buffer
    taps: Any  # the shift of each (channel, tap); the list is filled up to a multiple of four
    run: int  # length of the innermost run, a multiple of eight
    starts: Any  # the start of each output row in the run
    width: int  # length of an output row


def three(sizes: Any, fill: int = 1) -> Size:
    """One, two or three numbers as three: a 1-d or 2-d image becomes a 3-d image of depth 1."""
    return (fill,) * (3 - len(sizes)) + tuple(sizes)


@lru_cache(maxsize=512)
def lay_out(
    image: Size, kernel_size: Size, out: Size, stride: Size, dilation: Size, padding: Size, channels: int, batch: int
) -> Layout:
    """The layout for a batch of images of size `image`; `padding` is the padding before each axis."""
    image, kernel_size, out, stride, dilation = map(three, (image, kernel_size, out, stride, dilation))
    padding = three(padding, 0)

    # Pixel stride·q + residue of a padded axis is number q of that residue's phase. Tap t begins at pixel dilation·t.
    phases, lengths, first_pixels = [], [], []
    for k, o, s, d in zip(kernel_size, out, stride, dilation, strict=True):
        needed = sorted({t * d % s for t in range(k)})
        phases.append(needed)
        lengths.append(o + (k - 1) * d // s)  # the last tap begins last, and covers o pixels as well
        first_pixels.append([(needed.index(t * d % s), t * d // s) for t in range(k)])  # (phase, q)
    depth, height, width = lengths

    run = (out[0] - 1) * height * width + (out[1] - 1) * width + out[2]
    blocks = -(-batch // min(batch, -(-RUN // run)))
    samples = -(-batch // blocks)  # the batch, spread evenly over the blocks

    rows = []
    for residue_d, residue_h, residue_w in product(*phases):
        offset = residue_w - padding[2]  # column q comes from column stride·q + offset, if there is one
        first = max(0, -(offset // stride[2]))
        last = min(width, -((offset - image[2]) // stride[2]))
        for q_d, q_h in product(range(depth), range(height)):
            i = q_d * stride[0] + residue_d - padding[0]
            j = q_h * stride[1] + residue_h - padding[1]
            if 0 <= i < image[0] and 0 <= j < image[1] and first < last:
                rows.append(((i * image[1] + j) * image[2] + first * stride[2] + offset, first, last))
            else:
                rows.append((-1, 0, 0))
    channel = len(rows) * width * samples

    taps = []
    for c in range(channels):
        for (phase_d, q_d), (phase_h, q_h), (phase_w, q_w) in product(*first_pixels):
            phase = (phase_d * len(phases[1]) + phase_h) * len(phases[2]) + phase_w
            pixel = ((phase * depth + q_d) * height + q_h) * width + q_w
            taps.append(c * channel + pixel * samples)
    taps += [channels * channel] * (-len(taps) % 4)  # these point at the zeros behind the last channel

    starts = [(d * height + h) * width * samples for d, h in product(range(out[0]), range(out[1]))]
    return Layout(
        samples=samples,
        rows=np.array(rows, dtype=np.int64).reshape(-1, 3),
        row_length=width,
        step=stride[2],
        channel=channel,
        taps=np.array(taps, dtype=np.int64),
        run=-(-run * samples // 8) * 8,
        starts=np.array(starts, dtype=np.int64),
        width=out[2],
    )


# -- kernels ----------------------------------------------------------------------------------------------

# An unsigned index, np.uintp(i), needs no test for negative indices; this test would stop the compiler from
# vectorizing the loop.


@inline
def pack(x, n0, n1, c0, c1, layout):
    """The buffer of samples n0 … n1 and channels c0 … c1 of x, with a run of zeros at the end."""
    samples, step = layout.samples, layout.step
    buffer = np.zeros((c1 - c0) * layout.channel + layout.run + 8, x.dtype)
    for c in range(c0, c1):
        for r in range(layout.rows.shape[0]):
            source, first, last = layout.rows[r]
            if source < 0:
                continue
            to = (c - c0) * layout.channel + (r * layout.row_length + first) * samples
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
    """acc[j] += Σ_t w[o, k + t] · x[x_t + j], for the remaining channels if their number is not a multiple of four."""
    w0, w1, w2, w3 = w[o, k], w[o, k + 1], w[o, k + 2], w[o, k + 3]
    for j in range(length):
        p, q = x[np.uintp(x0 + j)], x[np.uintp(x1 + j)]
        r, s = x[np.uintp(x2 + j)], x[np.uintp(x3 + j)]
        acc[np.uintp(start + j)] += w0 * p + w1 * q + w2 * r + w3 * s


@kernel
def correlate_kernel(x, w, bias, groups, splits, layout, out):
    """out = bias + x ⋆ w. A task: a block of samples, one group, and one of `splits` parts of its output channels."""
    samples, taps, run, starts, width = layout.samples, layout.taps, layout.run, layout.starts, layout.width
    per_group_in, per_group_out = x.shape[1] // groups, w.shape[0] // groups
    part = -(-per_group_out // (4 * splits)) * 4
    blocks = -(-x.shape[0] // samples)
    for task in prange(blocks * groups * splits):
        n0 = task // (groups * splits) * samples
        n1 = min(x.shape[0], n0 + samples)
        group = task // splits % groups
        o_from = group * per_group_out + task % splits * part
        o_to = min(o_from + part, (group + 1) * per_group_out)
        buffer = pack(x, n0, n1, group * per_group_in, (group + 1) * per_group_in, layout)
        acc = np.empty(4 * run, x.dtype)  # four output channels
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
            for i in range(count):  # copy only the needed values from the run into the output
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
    """Σ row in float64, in a separate loop. If the loop also copied, the compiler might reorder the sum in only one
    of the serial and the parallel form, and the results might differ in the last bit."""
    total = 0.0
    for j in range(row.size):
        total += np.float64(row[j])
    return total


@kernel
def weight_grad_kernel(x, g, groups, chunks, splits, layout, partial, sums):
    """partial[chunk] = the sum over the samples of that chunk; the rows of a group are filled up to a multiple of
    four.

    sums[chunk, o] is the sum of g alone: the gradient of a bias. The chunks depend on the shapes alone, so the sum has
    the same bits on any number of threads.
    """
    samples, taps, run, starts, width = layout.samples, layout.taps, layout.run, layout.starts, layout.width
    per_group_in, per_group_out = x.shape[1] // groups, g.shape[1] // groups
    padded_out = -(-per_group_out // 4) * 4
    blocks = -(-x.shape[0] // samples)
    per_chunk = -(-blocks // chunks)
    part = -(-per_group_out // (4 * splits)) * 4
    for task in prange(chunks * groups * splits):
        chunk, group = task // (groups * splits), task // splits % groups
        o_from = task % splits * part
        o_to = min(o_from + part, per_group_out)
        gs = np.zeros(part * run, x.dtype)  # g, each output channel as a run, with zeros between the rows
        for block in range(chunk * per_chunk, min(blocks, (chunk + 1) * per_chunk)):
            n0 = block * samples
            n1 = min(x.shape[0], n0 + samples)
            buffer = pack(x, n0, n1, group * per_group_in, (group + 1) * per_group_in, layout)
            for o in range(o_from, o_to):
                channel_of_g = group * per_group_out + o
                for n in range(n0, n1):
                    for r in range(starts.size):
                        start = (o - o_from) * run + starts[r] + n - n0
                        for q in range(width):
                            gs[np.uintp(start + q * samples)] = g[n, channel_of_g, np.uintp(r * width + q)]
                    sums[chunk, channel_of_g] += sum_of(g[n, channel_of_g])
            if n1 - n0 < samples:  # the last block is not full: clear the values of the block before
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


def correlate(
    x: Any, w: Any, bias: Any, stride: Size, dilation: Size, padding: Size, groups: int, out_size: Size
) -> Any:
    """out[n, o, j] = bias[o] + Σ_c Σ_t w[o, c, t] · x[n, c, stride·j + dilation·t − padding].

    x (N, C, *image), w (O, C/groups, *kernel_size), bias (O,) or None, out (N, O, *out_size). Positions outside
    the image are zeros, on both sides; `padding` (may be negative) is the distance of the first position before the
    image.
    """
    n, channels = x.shape[:2]
    out_channels, per_group = w.shape[:2]
    out = np.empty((n, out_channels, *out_size), x.dtype)
    if out.size == 0:
        return out
    layout = lay_out(x.shape[2:], w.shape[2:], out_size, stride, dilation, padding, per_group, n)
    tap_count = layout.taps.size
    matrix = np.ascontiguousarray(w.reshape(out_channels, -1))
    if matrix.shape[1] < tap_count:  # taps that only fill up the fours have weight 0
        nothing = np.zeros((out_channels, tap_count - matrix.shape[1]), x.dtype)
        matrix = np.concatenate((matrix, nothing), axis=1)
    bias = np.zeros(out_channels, x.dtype) if bias is None else np.ascontiguousarray(bias)
    # If there are fewer blocks of samples and groups than threads, output channels are split in fours as well.
    blocks = -(-n // layout.samples) * groups
    splits = min(-(-(out_channels // groups) // 4), -(-TASKS // blocks))
    correlate_kernel(
        out.size * tap_count // 16,
        np.ascontiguousarray(x).reshape(n, channels, -1), matrix, bias, groups, splits, layout,
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
    # Output channels become input channels, and the last tap comes first.
    turned = w.reshape(groups, out_channels // groups, per_group, *kernel_size).swapaxes(1, 2)
    turned = turned.reshape(channels, out_channels // groups, *kernel_size)
    turned = turned[(slice(None), slice(None), *[slice(None, None, -1)] * len(kernel_size))]
    if all(s == 1 for s in stride):
        reach = tuple(d * (k - 1) - p for d, k, p in zip(dilation, kernel_size, padding, strict=True))
        return correlate(g, turned, bias, stride, dilation, reach, groups, image)

    # With a stride, the image positions of each residue have their own taps and need a separate convolution.
    gx = np.empty((n, channels, *image), g.dtype)
    axes = [residues(*sizes) for sizes in zip(image, kernel_size, stride, dilation, padding, strict=True)]
    for choice in product(*axes):
        positions = (slice(None), slice(None), *(r.positions for r in choice))
        weights = turned[(slice(None), slice(None), *(r.taps for r in choice))]
        if weights.size == 0:  # no tap reaches these positions
            gx[positions] = 0 if bias is None else bias.reshape(-1, *[1] * len(image))
            continue
        gx[positions] = correlate(
            g, weights, bias, (1,) * len(image), tuple(r.dilation for r in choice),
            tuple(r.padding for r in choice), groups, tuple(r.length for r in choice),
        )  # fmt: skip
    return gx


class Residue(NamedTuple):
    """The positions along an axis with the same residue modulo the stride: their gradient is a `correlate` over g."""

    positions: slice
    length: int  # number of these positions
    taps: slice  # the taps that reach these positions, in the reversed kernel
    dilation: int
    padding: int


def residues(image: int, kernel_size: int, stride: int, dilation: int, padding: int) -> list[Residue]:
    """The `stride` residues along an axis.

    Position i of the image is i + padding = stride·q + r in the padded one. Tap t reaches it if dilation·t ≡ r
    (mod stride), from j = q − (dilation·t − r)/stride. These t have equal distances, so the gradient of the position,
    Σ_t w[t] · g[j], is a dilated convolution over g.
    """
    found = []
    for r in range(stride):
        first = (r - padding) % stride  # the first position with this residue
        positions = slice(first, image, stride)
        length = len(range(first, image, stride))
        taps = [t for t in range(kernel_size) if dilation * t % stride == r]
        if not taps:
            found.append(Residue(positions, length, slice(0, 0), 1, 0))
            continue
        apart = stride // math.gcd(stride, dilation)  # distance of these taps
        q = (first + padding - r) // stride
        # The kernel is reversed, so the last tap comes first.
        found.append(
            Residue(
                positions,
                length,
                slice(kernel_size - 1 - taps[-1], kernel_size - taps[0], apart),
                dilation * apart // stride,
                (dilation * taps[-1] - r) // stride - q,
            )
        )
    return found


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
    layout = lay_out(x.shape[2:], kernel_size, out_size, stride, dilation, padding, channels // groups, n)
    per_group, tap_count = out_channels // groups, layout.taps.size
    rows = -(-per_group // 4) * 4
    chunks = min(TASKS, -(-n // layout.samples))
    splits = min(rows // 4, -(-TASKS // (chunks * groups)))
    partial = np.zeros((chunks, groups * rows, tap_count), x.dtype)
    sums = np.zeros((chunks, out_channels))
    weight_grad_kernel(
        g.size * tap_count // 16,
        np.ascontiguousarray(x).reshape(n, channels, -1), np.ascontiguousarray(g).reshape(n, out_channels, -1),
        groups, chunks, splits, layout, partial, sums,
    )  # fmt: skip
    total = (partial[0] if chunks == 1 else partial.sum(axis=0)).reshape(groups, rows, tap_count)
    gw = np.ascontiguousarray(total[:, :per_group, : math.prod(shape[1:])]).reshape(shape)
    return gw, sums.sum(axis=0).astype(x.dtype)
