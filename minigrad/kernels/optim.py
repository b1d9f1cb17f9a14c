"""Optimizer updates: each parameter, its gradient and its buffers are read and written once, in one loop.

All arrays are flat (1-d, contiguous), of one dtype and one length, and changed in place. `sign` is 1 to
descend and −1 to ascend. Options come as float64 and are first rounded to the arrays' dtype; otherwise the whole loop
would run in float64, at half the speed. In NumPy, an Adam update makes eight passes over memory. The loop below makes
a single pass, and compiles to SIMD instructions.
"""

import numpy as np

from minigrad.kernels.jit import kernel, prange


@kernel
def sgd(p, g, lr, weight_decay, sign):
    """p ← p − lr · (g + weight_decay · p)."""
    real = p.dtype.type
    lr, weight_decay, sign = real(lr), real(weight_decay), real(sign)
    for i in prange(p.size):
        d = sign * g[i]
        if weight_decay != 0:  # 0 · ∞ would be NaN
            d = d + weight_decay * p[i]
        p[i] = p[i] - lr * d


@kernel
def sgd_momentum(p, g, buffer, lr, momentum, take, weight_decay, nesterov, sign):
    """b ← momentum · b + take · d;  p ← p − lr · b, or with Nesterov's look-ahead p ← p − lr · (d + momentum · b)."""
    real = p.dtype.type
    lr, momentum, take = real(lr), real(momentum), real(take)
    weight_decay, sign = real(weight_decay), real(sign)
    for i in prange(p.size):
        d = sign * g[i]
        if weight_decay != 0:
            d = d + weight_decay * p[i]
        b = momentum * buffer[i] + take * d
        buffer[i] = b
        if nesterov:
            b = d + momentum * b
        p[i] = p[i] - lr * b


@kernel
def adam(p, g, m, v, lr, beta1, beta2, root, eps, weight_decay, keep, sign):
    """m ← m + (1 − β₁)(d − m);  v ← β₂ v + (1 − β₂) d²;  p ← keep · p − lr · m / (√v / root + ε)."""
    real = p.dtype.type
    take1, take2, per_root = real(1 - beta1), real(1 - beta2), real(1 / root)
    lr, beta2, eps = real(lr), real(beta2), real(eps)
    weight_decay, keep, sign = real(weight_decay), real(keep), real(sign)
    for i in prange(p.size):
        d = sign * g[i]
        if weight_decay != 0:
            d = d + weight_decay * p[i]
        first = m[i] + take1 * (d - m[i])
        second = beta2 * v[i] + take2 * d * d
        m[i] = first
        v[i] = second
        p[i] = keep * p[i] - lr * first / (np.sqrt(second) * per_root + eps)


@kernel
def amsgrad(p, g, m, v, v_max, lr, beta1, beta2, root, eps, weight_decay, keep, sign):
    """Adam with the largest v so far in the denominator."""
    real = p.dtype.type
    take1, take2, per_root = real(1 - beta1), real(1 - beta2), real(1 / root)
    lr, beta2, eps = real(lr), real(beta2), real(eps)
    weight_decay, keep, sign = real(weight_decay), real(keep), real(sign)
    for i in prange(p.size):
        d = sign * g[i]
        if weight_decay != 0:
            d = d + weight_decay * p[i]
        first = m[i] + take1 * (d - m[i])
        second = beta2 * v[i] + take2 * d * d
        largest = v_max[i] if v_max[i] >= second else second  # the comparison is false for NaN, which stays
        m[i] = first
        v[i] = second
        v_max[i] = largest
        p[i] = keep * p[i] - lr * first / (np.sqrt(largest) * per_root + eps)


@kernel
def rmsprop(p, g, square, lr, alpha, eps, weight_decay, sign):
    """s ← α s + (1 − α) d²;  p ← p − lr · d / (√s + ε)."""
    real = p.dtype.type
    take = real(1 - alpha)
    lr, alpha, eps, weight_decay, sign = real(lr), real(alpha), real(eps), real(weight_decay), real(sign)
    for i in prange(p.size):
        d = sign * g[i]
        if weight_decay != 0:
            d = d + weight_decay * p[i]
        s = alpha * square[i] + take * d * d
        square[i] = s
        p[i] = p[i] - lr * d / (np.sqrt(s) + eps)


@kernel
def rmsprop_with(p, g, square, average, buffer, lr, alpha, eps, weight_decay, momentum, centered, sign):
    """RMSprop centered, √(s − a²) with a the average of d, or with momentum, b ← momentum · b + d / root, or both.

    `average` is used only if `centered`, `buffer` only if `momentum` is not 0; but they must not overlap the other
    arrays, or the loop runs without SIMD instructions.
    """
    real = p.dtype.type
    take = real(1 - alpha)
    lr, alpha, eps, momentum = real(lr), real(alpha), real(eps), real(momentum)
    weight_decay, sign, zero = real(weight_decay), real(sign), real(0)
    for i in prange(p.size):
        d = sign * g[i]
        if weight_decay != 0:
            d = d + weight_decay * p[i]
        s = alpha * square[i] + take * d * d
        square[i] = s
        if centered:
            a = average[i] + take * (d - average[i])
            average[i] = a
            s = s - a * a
            s = zero if s < zero else s  # a variance, which rounding can make negative
        d = d / (np.sqrt(s) + eps)
        if momentum != 0:
            d = momentum * buffer[i] + d
            buffer[i] = d
        p[i] = p[i] - lr * d


@kernel
def adagrad(p, g, total, lr, eps, weight_decay, sign):
    """s ← s + d²;  p ← p − lr · d / (√s + ε)."""
    real = p.dtype.type
    lr, eps, weight_decay, sign = real(lr), real(eps), real(weight_decay), real(sign)
    for i in prange(p.size):
        d = sign * g[i]
        if weight_decay != 0:
            d = d + weight_decay * p[i]
        s = total[i] + d * d
        total[i] = s
        p[i] = p[i] - lr * d / (np.sqrt(s) + eps)


CHUNK = 4096


@kernel
def square_sums(x, sums):
    """sums[k] = Σ x² over the k-th chunk of 4096 elements, in float64: no overflow, and the same on any thread."""
    for k in prange(sums.size):
        total = 0.0
        for i in range(k * CHUNK, min(x.size, (k + 1) * CHUNK)):
            total += np.float64(x[i]) * np.float64(x[i])
        sums[k] = total
