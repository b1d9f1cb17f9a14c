"""Kernels for losses: cross-entropy straight from scores and class numbers."""

import numpy as np

from minigrad.kernels.jit import kernel, prange


@kernel
def cross_entropy(x, target, weight, ignore_index, p, losses):
    """losses[n] = −w log softmax(x[n])[target[n]], and the probabilities p = softmax(x) for the backward pass.

    `weight` holds w for each class, or is empty (w = 1). Samples whose target is `ignore_index` have loss 0.

    Returns:
        Σ losses, Σ w over the samples that count, and the first sample whose target is not a class (or −1).
    """
    samples, classes = x.shape
    for n in prange(samples):
        largest = x[n, 0]
        for j in range(classes):
            if x[n, j] > largest:
                largest = x[n, j]
        total = np.float64(0)
        for j in range(classes):
            e = np.exp(x[n, j] - largest)
            p[n, j] = e
            total += e
        scale = x.dtype.type(1 / total)
        for j in range(classes):
            p[n, j] *= scale
        t = target[n]
        losses[n] = 0
        if t != ignore_index and t >= 0 and t < classes:
            losses[n] = np.log(total) - (x[n, t] - largest)
            if weight.size:
                losses[n] *= weight[t]

    # Sum in the order of the samples, so that the sum does not depend on the number of threads.
    loss_sum = 0.0
    weight_sum = 0.0
    bad = -1
    for n in range(samples):
        t = target[n]
        if t == ignore_index:
            continue
        if t < 0 or t >= classes:
            bad = n
            break
        loss_sum += losses[n]
        weight_sum += weight[t] if weight.size else 1.0
    return loss_sum, weight_sum, bad


@kernel
def cross_entropy_backward(g, p, target, weight, ignore_index, scale, out):
    """out[n] = scale · g[n] · w · (p[n] − one_hot(target[n])); 0 for ignored samples.

    `g` has one element for each sample, or a single one for a loss that was summed or averaged.
    """
    samples, classes = p.shape
    for n in prange(samples):
        t = target[n]
        if t == ignore_index:
            for j in range(classes):
                out[n, j] = 0
        else:
            factor = p.dtype.type((g[n] if g.size > 1 else g[0]) * scale)
            if weight.size:
                factor *= weight[t]
            for j in range(classes):
                out[n, j] = factor * p[n, j]
            out[n, t] -= factor
