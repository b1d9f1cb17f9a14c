"""Pooling: against its definition, finite differences, and at its edges."""

import gc
import itertools
import tracemalloc

import numba
import numpy as np
import pytest

import minigrad as mg
from minigrad.autograd import gradcheck, gradgradcheck
from minigrad.kernels.threads import num_threads
from minigrad.nn import functional as F
from minigrad.ops import pool

RNG = np.random.default_rng(0)


def distinct(*shape):
    """No ties: a maximum has no derivative where two elements share it."""
    values = RNG.permutation(np.linspace(-2, 2, int(np.prod(shape))))
    return mg.Tensor(values.reshape(shape), requires_grad=True)


def randn(*shape):
    return mg.Tensor(RNG.standard_normal(shape), requires_grad=True)


OPERATIONS = {
    "max1d": (lambda x: F.max_pool1d(x, 3, 2, 1), (2, 2, 7)),
    "max2d": (lambda x: F.max_pool2d(x, 2), (2, 2, 5, 4)),
    "max2d overlapping": (lambda x: F.max_pool2d(x, 3, 1, 1), (1, 2, 4, 4)),
    "max2d dilated": (lambda x: F.max_pool2d(x, (2, 3), (2, 1), 1, 2), (1, 2, 5, 6)),
    "max2d ceil": (lambda x: F.max_pool2d(x, 2, ceil_mode=True), (2, 2, 5, 3)),
    "max3d": (lambda x: F.max_pool3d(x, 2, 1), (1, 2, 3, 3, 2)),
    "avg1d": (lambda x: F.avg_pool1d(x, 3, 2, 1), (2, 2, 7)),
    "avg2d": (lambda x: F.avg_pool2d(x, 2), (2, 2, 5, 4)),
    "avg2d overlapping": (lambda x: F.avg_pool2d(x, 3, 1, 1, count_include_pad=False), (1, 2, 4, 4)),
    "avg2d divisor": (lambda x: F.avg_pool2d(x, (2, 3), (2, 1), 1, True, True, 5), (1, 2, 4, 5)),
    "avg3d": (lambda x: F.avg_pool3d(x, 2, 1), (1, 2, 3, 3, 2)),
    "adaptive avg1d": (lambda x: F.adaptive_avg_pool1d(x, 3), (2, 2, 7)),
    "adaptive avg2d": (lambda x: F.adaptive_avg_pool2d(x, (3, None)), (1, 2, 5, 3)),
    "adaptive avg3d": (lambda x: F.adaptive_avg_pool3d(x, 2), (1, 2, 3, 3, 4)),
    "adaptive max1d": (lambda x: F.adaptive_max_pool1d(x, 3), (2, 2, 7)),
    "adaptive max2d": (lambda x: F.adaptive_max_pool2d(x, (3, None)), (1, 2, 5, 3)),
    "adaptive max3d": (lambda x: F.adaptive_max_pool3d(x, 2), (1, 2, 3, 3, 4)),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_first_and_second_derivatives(name):
    function, shape = OPERATIONS[name]
    x = distinct(*shape)
    assert gradcheck(function, x)
    assert gradgradcheck(lambda x: function(x * x.exp()), mg.Tensor(distinct(*shape).array[:1], requires_grad=True))


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize(("size", "stride", "padding"), [(2, 2, 0), (3, 1, 1), (3, 2, 1), (2, 3, 0)])
def test_the_definition(n, size, stride, padding):
    x = distinct(2, 2, *(6, 5, 7)[:n])
    pads = [(0, 0), (0, 0)] + [(padding, padding)] * n
    around = np.pad(x.array, pads, constant_values=-np.inf), np.pad(x.array, pads)
    counts = [(length + 2 * padding - size) // stride + 1 for length in x.shape[2:]]
    maxima, means = np.empty((2, 2, *counts)), np.empty((2, 2, *counts))
    for at in itertools.product(*map(range, counts)):
        window = (slice(None), slice(None), *(slice(stride * i, stride * i + size) for i in at))
        axes = tuple(range(2, n + 2))
        maxima[(slice(None), slice(None), *at)] = around[0][window].max(axis=axes)
        means[(slice(None), slice(None), *at)] = around[1][window].mean(axis=axes)
    max_pool = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[n - 1]
    avg_pool = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[n - 1]
    y, index = max_pool(x, size, stride, padding, return_indices=True)
    assert np.array_equal(y.array, maxima)
    flat = x.array.reshape(2, 2, -1)
    assert np.array_equal(np.take_along_axis(flat, index.array.reshape(2, 2, -1), 2).reshape(y.shape), maxima)
    assert index.dtype == np.int64 and not index.requires_grad
    assert avg_pool(x, size, stride, padding).array == pytest.approx(means, abs=1e-12)


def test_of_equal_elements_the_first_gets_the_gradient():
    x = mg.Tensor(np.ones((1, 1, 4, 4)), requires_grad=True)
    F.max_pool2d(x, 2).backward(mg.Tensor(np.array([[[[1.0, 2.0], [3.0, 4.0]]]])))
    expected = np.zeros((4, 4))
    expected[::2, ::2] = [[1, 2], [3, 4]]
    assert np.array_equal(x.grad.array[0, 0], expected)


@pytest.mark.parametrize("shape", [(1, 1, 4, 4), (1, 1, 5, 6)])
@pytest.mark.parametrize("stride", [1, 2])
def test_nan_and_infinity(shape, stride):
    x = mg.Tensor(np.zeros(shape))
    x.array[0, 0, 1, 1] = np.nan
    x.array[0, 0, 2, 2] = np.inf
    x.array[0, 0, 0, :] = -np.inf
    y, index = F.max_pool2d(x, 2, stride, return_indices=True)
    assert np.isnan(y.array[0, 0, 0, 0]) and index.array[0, 0, 0, 0] == shape[3] + 1
    assert y.array[0, 0, 1, 1] == (np.inf if stride == 2 else np.nan) or np.isnan(y.array[0, 0, 1, 1])
    assert F.max_pool2d(mg.Tensor(np.full((1, 1, 2, 2), -np.inf)), 2).item() == -np.inf


def test_windows_that_overlap_add_up():
    x = mg.Tensor(np.array([[[0.0, 9.0, 0.0]]]), requires_grad=True)
    F.max_pool1d(x, 2, 1).backward(mg.Tensor(np.array([[[1.0, 2.0]]])))
    assert x.grad.tolist() == [[[0.0, 3.0, 0.0]]]


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_memory_and_batches(name, dtype):
    function, shape = OPERATIONS[name]
    x = RNG.standard_normal(shape).astype(dtype)
    kept = x.copy()
    y = function(mg.Tensor(x))
    assert y.dtype == dtype
    assert np.array_equal(x, kept)
    turned = np.ascontiguousarray(x.T).T
    assert np.array_equal(function(mg.Tensor(turned)).array, y.array)
    assert np.array_equal(function(mg.Tensor(x[0])).array, y.array[0])
    empty = mg.Tensor(np.empty((0, *shape[1:]), dtype), requires_grad=True)
    z = function(empty)
    assert z.shape == (0, *y.shape[1:])
    z.sum().backward()
    assert empty.grad.shape == empty.shape


def test_a_large_batch_on_all_threads():
    x = mg.Tensor(RNG.standard_normal((40, 9, 24, 24)).astype("f"), requires_grad=True)
    for function in (lambda x: F.max_pool2d(x, 2), lambda x: F.avg_pool2d(x, 3, 2, 1)):
        with num_threads(2):
            whole = function(x)
            v = RNG.standard_normal(whole.shape).astype("f")
            (g,) = mg.grad(whole, x, mg.Tensor(v))
        for i in (0, 39):
            one = mg.Tensor(x.array[i : i + 1], requires_grad=True)
            part = function(one)
            assert np.array_equal(part.array[0], whole.array[i])
            assert np.array_equal(mg.grad(part, one, mg.Tensor(v[i : i + 1]))[0].array[0], g.array[i])


LARGE = {  # the number of axes, the options of a window, and those that only a maximum has
    "line": (1, {"kernel_size": 3, "stride": 2, "padding": 1}, {"dilation": 2}),
    "side by side": (1, {"kernel_size": 4}, {}),
    "reaches over the edge": (1, {"kernel_size": 5, "stride": 4, "padding": 2, "ceil_mode": True}, {}),
    "plane": (2, {"kernel_size": (3, 2), "stride": (1, 2), "padding": (1, 0)}, {"dilation": (1, 2)}),
    "plane, edge": (2, {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True}, {}),
    "space": (3, {"kernel_size": 2, "stride": (1, 2, 1), "padding": 1}, {"dilation": (2, 1, 1)}),
}


@pytest.mark.parametrize("name", LARGE)
@pytest.mark.parametrize("nan", [False, True])
def test_a_large_image_is_pooled_as_a_small_one(name, nan, monkeypatch):
    """`SMALL` divides the two ways to find a maximum; both must agree with the definition, places included."""
    n, options, more = LARGE[name]
    values = RNG.integers(0, 5, (2, 3, *(11, 9, 8)[:n])).astype("f")  # many are equal
    if nan:
        values[RNG.random(values.shape) < 0.1] = np.nan
    function = getattr(F, f"max_pool{n}d")
    found = []
    for small in (1 << 30, 0):
        monkeypatch.setattr(pool, "SMALL", small)
        x = mg.tensor(values, requires_grad=True)
        y, places = function(x, **options, **more, return_indices=True)
        y.backward(mg.tensor(np.arange(y.numel()).reshape(y.shape).astype("f")))
        found.append((y.array, places.array, x.grad.array))
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)
    kernel, stride, padding, dilation = (
        (v,) * n if isinstance(v, int) else v
        for v in (options["kernel_size"], options.get("stride", options["kernel_size"]), options.get("padding", 0),
                  more.get("dilation", 1))
    )  # fmt: skip
    y, places, _ = found[1]
    flat = values.reshape(2, 3, -1)
    for o in np.ndindex(y.shape[2:]):
        window = [[s * i - p + d * t for t in range(k)]
                  for i, k, s, p, d in zip(o, kernel, stride, padding, dilation, strict=True)]  # fmt: skip
        inside = [e for e in itertools.product(*window)
                  if all(0 <= a < m for a, m in zip(e, values.shape[2:], strict=True))]  # fmt: skip
        elements = [np.ravel_multi_index(e, values.shape[2:]) for e in inside]
        for plane in np.ndindex(2, 3):
            candidates = flat[plane][elements]
            at = (*plane, *o)
            np.testing.assert_array_equal(y[at], candidates.max())  # NaN if there is one
            expected = np.flatnonzero(np.isnan(candidates))[-1] if np.isnan(y[at]) else np.argmax(candidates)
            assert places[at] == elements[expected]


@pytest.mark.parametrize("n", [1, 2, 3])
def test_adaptive_maxima_of_a_large_image(n, monkeypatch):
    values = RNG.standard_normal((2, 3, *(11, 9, 8)[:n]))
    function = getattr(F, f"adaptive_max_pool{n}d")
    found = []
    for small in (1 << 30, 0):
        monkeypatch.setattr(pool, "SMALL", small)
        found.append([t.array for t in function(mg.tensor(values), (4, 5, 3)[:n], return_indices=True)])
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("size", [1, 2, 5])
@pytest.mark.parametrize("stride", [1, 2, 3, 7])
@pytest.mark.parametrize("dilation", [1, 3])
def test_a_line_of_several_strips(size, stride, dilation):
    """The windows in the middle of a row are walked together, those at the edges one by one, in strips of a row."""
    x = RNG.integers(-50, 50, (1, 2, 30_011)).astype("f")
    x[RNG.random(x.shape) < 0.001] = np.nan
    pad, reach = size // 2, dilation * (size - 1) + 1
    around = np.pad(x, [(0, 0), (0, 0), (pad, pad)], constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(around, reach, -1)[..., ::stride, ::dilation]
    nan = np.isnan(windows)
    # The first of the largest, or the last NaN.
    best = np.where(nan.any(-1), size - 1 - nan[..., ::-1].argmax(-1), np.where(nan, -np.inf, windows).argmax(-1))
    places = np.arange(best.shape[-1]) * stride - pad + best * dilation
    y, found = F.max_pool1d(mg.tensor(x), size, stride, pad, dilation, return_indices=True)
    assert np.array_equal(y.array, windows.max(-1), equal_nan=True)
    assert np.array_equal(found.array, places)
    leaf = mg.tensor(x, requires_grad=True)
    for t in (mg.tensor(x), leaf):  # without places, and with
        assert np.array_equal(F.max_pool1d(t, size, stride, pad, dilation).array, y.array, equal_nan=True)
    v = RNG.integers(1, 9, y.shape).astype("f")
    F.max_pool1d(leaf, size, stride, pad, dilation).backward(mg.tensor(v))
    expected = np.zeros_like(x)
    for c in range(2):
        np.add.at(expected[0, c], places[0, c], v[0, c])
    assert np.array_equal(leaf.grad.array, expected)


@pytest.mark.parametrize("shape", [(2, 3, 12, 10), (1, 1, 400, 300)])
def test_a_maximum_without_a_gradient_is_the_same(shape):
    x = RNG.standard_normal(shape).astype("f")
    x[0, 0, 3, 3] = np.nan
    leaf = mg.tensor(x, requires_grad=True)
    with_places = F.max_pool2d(leaf, 3, 2, 1).array
    assert np.array_equal(F.max_pool2d(mg.tensor(x), 3, 2, 1).array, with_places, equal_nan=True)
    assert np.array_equal(F.max_pool2d(x, 3, 2, 1), with_places, equal_nan=True)
    with mg.no_grad():
        assert np.array_equal(F.max_pool2d(leaf, 3, 2, 1).array, with_places, equal_nan=True)
        _, places = F.max_pool2d(leaf, 3, 2, 1, return_indices=True)
    assert np.array_equal(np.take(x[0, 0], places.array[0, 0]), with_places[0, 0], equal_nan=True)


POOLS = {
    "max": lambda x: F.max_pool1d(x, 101, 1, 50),
    "max, with places": lambda x: F.max_pool1d(x, 101, 1, 50, return_indices=True)[0],
    "max of a plane": lambda x: F.max_pool2d(x.reshape(1, 500, 400), 9, 1, 4).reshape(1, 1, -1),
    "adaptive max": lambda x: F.adaptive_max_pool1d(x, 199_999),
    "avg": lambda x: F.avg_pool1d(x, 101, 1, 50),
    "avg of a plane": lambda x: F.avg_pool2d(x.reshape(1, 500, 400), 9, 1, 4).reshape(1, 1, -1),
    "adaptive avg": lambda x: F.adaptive_avg_pool1d(x, 199_999),
}


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="plain Python takes minutes")
@pytest.mark.parametrize("name", POOLS)
def test_a_long_signal_needs_no_table_of_all_elements_of_all_windows(name):
    x = mg.tensor(RNG.standard_normal((1, 1, 200_000)).astype("f"), requires_grad=True)
    POOLS[name](x)  # compile
    pool._windows.cache_clear()
    pool._adaptive_windows.cache_clear()
    gc.collect()
    tracemalloc.start()
    try:
        POOLS[name](x).sum().backward()
        _, peak = tracemalloc.get_traced_memory()
        blocks = sum(trace.count for trace in tracemalloc.take_snapshot().statistics("filename"))
    finally:
        tracemalloc.stop()
    assert peak < 24 * x.array.nbytes
    assert blocks < 20_000  # no Python number for each window, either


X = mg.zeros(2, 3, 5, 5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: F.max_pool2d(X, 6), r"max_pool2d: kernel_size=\(6, 6\) is larger than the image \(5, 5\)"),
        (lambda: F.max_pool2d(X, 2, padding=2), "max_pool2d: padding must be at most half of kernel_size"),
        (
            # Window 0 begins at −1 and goes on at 2, behind a row of two pixels.
            lambda: F.max_pool1d(mg.zeros(1, 1, 2), 2, padding=1, dilation=3),
            r"max_pool1d: with dilation=\(3,\) and padding=\(1,\), some windows of kernel_size=\(2,\) step over",
        ),
        (
            lambda: F.max_pool2d(mg.zeros(1, 1, 5, 2), (3, 2), padding=1, dilation=(1, 3), ceil_mode=True),
            "hold nothing but padding",
        ),
        (lambda: F.avg_pool2d(X, 0), "avg_pool2d: kernel_size must be at least 1, got 0"),
        (lambda: F.max_pool2d(X, 2, stride=0), "max_pool2d: stride must be at least 1"),
        (lambda: F.max_pool2d(X, 2, padding=-1), "max_pool2d: padding must be at least 0"),
        (lambda: F.max_pool2d(X, (2, 2, 2)), "max_pool2d: kernel_size must be an integer or 2 of them"),
        (lambda: F.max_pool1d(X, 2), r"max_pool1d: the input must have 3 axes .* got shape \(2, 3, 5, 5\)"),
        (lambda: F.avg_pool2d(X, 2, divisor_override=0), "divisor_override must not be 0"),
        (lambda: F.adaptive_avg_pool2d(X, (1, 2, 3)), "output_size must be an integer or 2 of them"),
        (lambda: F.adaptive_avg_pool2d(X, -1), "output_size must be at least 0"),
        (lambda: F.adaptive_max_pool2d(mg.zeros(2, 3, 0, 5), 1), "adaptive_max_pool2d: the image has no pixels"),
    ],
)
def test_messages(call, message):
    with pytest.raises(ValueError, match=message):
        call()
