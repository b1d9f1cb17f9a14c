"""Kernels on several threads: that form is compiled by itself, and only where there is much to do."""

import numpy as np
import pytest

import minigrad as mg
import minigrad.nn.functional as F
from minigrad.kernels import jit, norm
from minigrad.kernels.threads import num_threads


def normal(*shape):
    x = np.random.default_rng(len(shape)).standard_normal(shape)
    return mg.tensor(x, dtype=mg.float32, requires_grad=True)


TARGET = mg.tensor([1, 0, 4, 4, 2, -100, 3])

OPS = {
    "relu": lambda: (F.relu, normal(7, 5)),
    "gelu": lambda: (F.gelu, normal(7, 5)),
    "softmax": lambda: (lambda x: F.softmax(x, -1), normal(7, 5)),
    "log_softmax": lambda: (lambda x: F.log_softmax(x, 0), normal(7, 5)),
    "cross_entropy": lambda: (lambda x: F.cross_entropy(x, TARGET), normal(7, 5)),
    "max_pool": lambda: (lambda x: F.max_pool1d(x, 3, 2), normal(2, 3, 9)),
    "avg_pool": lambda: (lambda x: F.avg_pool1d(x, 3, 2), normal(2, 3, 9)),
    "rows": lambda: (lambda x: x[[0, 3, 3, -1]], normal(7, 5)),
    "conv": lambda: (lambda x: F.conv2d(x, mg.ones(9, 2, 3, 3), groups=3, padding=1), normal(5, 6, 9, 8)),
    "conv_transpose": lambda: (lambda x: F.conv_transpose2d(x, mg.ones(6, 8, 3, 3), stride=2), normal(5, 6, 9, 8)),
    "batch_norm": lambda: (lambda x: F.batch_norm(x, training=True), normal(33, 6, 35)),
    "group_norm": lambda: (lambda x: F.group_norm(x, 2), normal(33, 6, 35)),
    "cumprod": lambda: (lambda x: x.cumprod(1), normal(7, 5)),
    "local_response": lambda: (lambda x: F.local_response_norm(x, 3, 0.9), normal(3, 5, 9)),
    "divisive": lambda: (lambda x: F.divisive_norm(x, 3, channels=3), normal(3, 5, 9)),
    "evo_b0": lambda: (lambda x: F.evo_norm_b0(x, training=True), normal(3, 5, 9)),
    "evo_s0": lambda: (lambda x: F.evo_norm_s0(x, 2), normal(3, 4, 9)),
    "dynamic": lambda: (lambda x: F.dynamic_tanh(x, 0.5), normal(7, 9)),
    "lstm": lambda: (lambda x: mg.nn.LSTM(3, 4)(x)[0], normal(5, 2, 3)),
}


@pytest.mark.parametrize("name", OPS)
def test_serial_and_parallel_form_have_the_same_bits(name, monkeypatch):
    monkeypatch.setattr(jit, "PARALLEL_FROM", 0)
    results = []
    for n in (1, 2, 1, 64):
        with num_threads(n):
            mg.manual_seed(0)
            function, x = OPS[name]()
            y = function(x)
            y.backward(mg.tensor(np.random.default_rng(1).standard_normal(y.shape), dtype=mg.float32))
        results.append((y.array, x.grad.array))
    for several in results[1:]:
        for one, other in zip(results[0], several, strict=True):
            np.testing.assert_array_equal(one, other)


def test_what_cannot_be_shared_out_has_no_parallel_form():
    @jit.kernel
    def last(x, y):
        y[0] = x[-1]

    assert last.parallel is last.serial


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_gradient_of_layer_norm_has_the_same_bits_wherever_its_arrays_lie(dtype):
    rng = np.random.default_rng(0)
    rows, n = 3, 4
    g, x, gamma = (rng.standard_normal(shape).astype(dtype) for shape in ((rows, n), (rows, n), n))
    stats = np.empty((4, rows), dtype)
    norm.rows_forward(0, x.ravel(), gamma, gamma, 1e-5, np.empty(x.size, dtype), stats)
    given = g, x, gamma, stats, g, gamma, gamma, np.empty((1, 2, 1, n), dtype)  # what is written has such shapes
    found = set()
    for gap in (0, 1, 2, 64):  # close together, compiled code may not use SIMD instructions
        for order in (range(8), (2, 0, 1, 4, 5, 3, 6, 7), range(7, -1, -1)):
            memory, start, arrays = np.zeros(200 + 8 * gap, dtype), 0, {}
            for i in order:
                arrays[i] = memory[start : start + given[i].size].reshape(given[i].shape)
                arrays[i][...] = given[i]
                start += given[i].size + gap
            norm.rows_backward(0, *[arrays[i] for i in range(8)])
            found.add(arrays[4].tobytes())
    assert len(found) == 1
