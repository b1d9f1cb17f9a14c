"""Convolutions: against their definition, finite differences, their transposes and their spelled-out twins."""

import itertools
import math

import numpy as np
import pytest

import minigrad as mg
from minigrad.autograd import gradcheck, gradgradcheck
from minigrad.kernels import conv as kernels
from minigrad.nn import functional as F

RNG = np.random.default_rng(0)


def randn(*shape, grad=True):
    return mg.Tensor(RNG.standard_normal(shape), requires_grad=grad)


def by_definition(x, w, b, stride, padding, dilation, groups):
    """conv2d in six loops."""
    n, _, height, width = x.shape
    out_channels, per_group, kh, kw = w.shape
    rows = (height + 2 * padding - dilation * (kh - 1) - 1) // stride + 1
    columns = (width + 2 * padding - dilation * (kw - 1) - 1) // stride + 1
    out = np.zeros((n, out_channels, rows, columns))
    for o, y, z, c, i, j in itertools.product(*map(range, (out_channels, rows, columns, per_group, kh, kw))):
        row, column = stride * y + dilation * i - padding, stride * z + dilation * j - padding
        if 0 <= row < height and 0 <= column < width:
            channel = o // (out_channels // groups) * per_group + c
            out[:, o, y, z] += w[o, c, i, j] * x[:, channel, row, column]
    return out + b[:, None, None]


# (stride, padding, dilation, groups): what the gradients and the twins are checked with
OPTIONS = [
    (1, 0, 1, 1),
    (1, 1, 1, 1),
    (2, 1, 1, 2),
    (3, 2, 2, 1),
    (2, 3, 3, 2),
    (1, 0, 2, 4),
    (4, 1, 1, 1),
    (4, 2, 2, 1),
]
AXES = pytest.mark.parametrize("n", [1, 2, 3])
ALL = pytest.mark.parametrize(("stride", "padding", "dilation", "groups"), OPTIONS)


def conv(n):
    return (F.conv1d, F.conv2d, F.conv3d)[n - 1]


def conv_transpose(n):
    return (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[n - 1]


def image(n):
    return ((9,), (7, 5), (5, 3, 6))[n - 1]


def kernel(n):
    return ((3,), (3, 2), (2, 1, 3))[n - 1]


@ALL
def test_the_definition(stride, padding, dilation, groups):
    x, w, b = randn(2, 4, 8, 7), randn(8, 4 // groups, 3, 2), randn(8)
    expected = by_definition(x.array, w.array, b.array, stride, padding, dilation, groups)
    assert F.conv2d(x, w, b, stride, padding, dilation, groups).array == pytest.approx(expected, abs=1e-12)


@AXES
@ALL
def test_first_and_second_derivatives(n, stride, padding, dilation, groups):
    x, w, b = randn(2, 4, *image(n)), randn(4, 4 // groups, *kernel(n)), randn(4)
    small = [mg.Tensor(x.array[:1, :, :4], requires_grad=True) if n == 3 else x, w, b]
    if n == 3 and (dilation > 1 or stride > 2):
        pytest.skip("large windows are checked with one and two axes")

    def function(x, w, b):
        return conv(n)(x, w, b, stride, padding, dilation, groups)

    assert gradcheck(function, small)
    if n < 3 and (n == 1 or groups == 1):
        # One sample is enough, and finite differences of second derivatives are slow.
        assert gradgradcheck(function, [mg.Tensor(x.array[:1], requires_grad=True), w, b])


@pytest.mark.parametrize(
    ("stride", "padding", "output_padding", "dilation", "groups"),
    [(1, 0, 0, 1, 1), (2, 1, 1, 1, 2), (3, 2, 0, 2, 1), (2, 0, 2, 3, 1), (1, 3, 0, 1, 1)],
)
def test_derivatives_of_the_transpose(stride, padding, output_padding, dilation, groups):
    inputs = [randn(2, 4, 6), randn(4, 2, 3), randn(2 * groups)]

    def function(x, w, b):
        return F.conv_transpose1d(x, w, b, stride, padding, output_padding, groups, dilation)

    assert gradcheck(function, inputs)
    assert gradgradcheck(function, inputs)


def test_third_derivatives_agree_with_the_twin():
    x, w = randn(1, 2, 5), randn(2, 2, 3)

    def third(x, w):
        # The convolution is bilinear: a third derivative needs something curved behind it.
        y = (F.conv1d(x, w, stride=2, padding=1) ** 4).sum()
        for i in range(3):
            (g,) = mg.grad(y, [w if i % 2 else x], create_graph=True)
            y = (g * mg.Tensor(np.random.default_rng(i).standard_normal(g.shape))).sum()
        return y.item()

    fused = third(x, w)
    with mg.composed():
        assert third(x, w) == pytest.approx(fused, rel=1e-12)


@AXES
@ALL
def test_the_transpose_is_the_adjoint(n, stride, padding, dilation, groups):
    """⟨conv(x), y⟩ = ⟨x, conv_transpose(y)⟩, with the same weight."""
    x, w = randn(2, 4, *image(n), grad=False), randn(8, 4 // groups, *kernel(n), grad=False)
    if n == 3 and dilation > 2:
        pytest.skip("the window is larger than the image")
    out = conv(n)(x, w, None, stride, padding, dilation, groups)
    y = randn(*out.shape, grad=False)
    smallest = [
        (o - 1) * stride - 2 * padding + dilation * (k - 1) + 1 for o, k in zip(y.shape[2:], kernel(n), strict=True)
    ]
    extra = tuple(i - least for i, least in zip(image(n), smallest, strict=True))
    if max(extra) >= max(stride, dilation):
        pytest.skip("no output_padding gives this image")
    back = conv_transpose(n)(y, w, None, stride, padding, extra, groups, dilation)
    assert back.shape == x.shape
    assert (out.array * y.array).sum() == pytest.approx((x.array * back.array).sum(), rel=1e-12)


@AXES
@ALL
@pytest.mark.parametrize("transposed", [False, True])
def test_the_twin_at_first_and_second_order(n, stride, padding, dilation, groups, transposed):
    if n == 3 and dilation > 2:
        pytest.skip("the window is larger than the image")
    x, w, b = randn(3, 4, *image(n)), randn(4, 4 // groups, *kernel(n)), randn(4)
    inputs = [x, w, b]
    cotangents: list = []

    def everything():
        if transposed:
            y = conv_transpose(n)(x, w, b, stride, padding, max(stride, dilation) - 1, groups, dilation)
        else:
            y = conv(n)(x, w, b, stride, padding, dilation, groups)
        if not cotangents:
            cotangents.append(randn(*y.shape))
            cotangents.append([randn(*i.shape) for i in inputs])
        v, us = cotangents
        first = mg.grad(y, inputs, v, create_graph=True)
        second = mg.grad(first, [*inputs, v], us, allow_unused=True)
        return [y, *first, *(s for s in second if s is not None)]

    fused = everything()
    with mg.composed():
        simple = everything()
    assert all("Conv" not in repr(a.grad_fn) for a in simple)
    # What depends on x or w by a sum of zero terms may be None in one form and zero in the other.
    for a, b_ in zip(fused, simple, strict=True):
        assert a.array == pytest.approx(b_.array, abs=1e-10)


def test_only_the_wanted_gradients():
    x, w = randn(2, 3, 5, 5, grad=False), randn(4, 3, 3, 3)
    y = F.conv2d(x, w)
    assert y.grad_fn.edges[0] is None
    y.backward(mg.ones_like(y))
    assert x.grad is None and w.grad.shape == w.shape
    b = randn(4)
    F.conv2d(x, w.detach(), b).sum().backward()
    assert b.grad.array == pytest.approx(np.full(4, 2 * 3 * 3))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("batch", "channels", "out", "size"), [(40, 3, 9, 4), (2, 18, 70, 20), (1, 5, 40, 48)])
def test_serial_and_parallel_form_agree(dtype, batch, channels, out, size, monkeypatch):
    """The same bits from both forms of a kernel, whatever the number of threads."""
    x = RNG.standard_normal((batch, channels, size, size)).astype(dtype)
    w = RNG.standard_normal((out, channels, 3, 3)).astype(dtype)
    g = RNG.standard_normal((batch, out, size, size)).astype(dtype)
    options = (1, 1), (1, 1), (1, 1), 1
    results = []
    for form in ("serial", "parallel"):
        for name in ("correlate_kernel", "weight_grad_kernel"):
            launch = getattr(kernels, name)
            chosen = getattr(launch, form)
            monkeypatch.setattr(kernels, name, lambda work, *args, chosen=chosen: chosen(*args))
        results.append(
            (kernels.correlate(x, w, None, *options, (size, size)), *kernels.weight_grad(g, x, *options, (3, 3)))
        )
        monkeypatch.undo()
    for a, b in zip(*results, strict=True):
        assert np.array_equal(a, b)


def test_float32_is_as_good_as_float32_can_be():
    x, w = RNG.standard_normal((2, 16, 9, 9)).astype("f"), RNG.standard_normal((8, 16, 3, 3)).astype("f")
    exact = F.conv2d(mg.Tensor(x.astype("d")), mg.Tensor(w.astype("d")), padding=1).array
    rounded = F.conv2d(mg.Tensor(x), mg.Tensor(w), padding=1)
    assert rounded.dtype == np.float32
    assert np.abs(rounded.array - exact).max() < 1e-6 * np.abs(exact).max()


def test_nan_stays_where_the_window_sees_it():
    x = mg.ones(1, 2, 6, 6)
    x.array[0, 0, 0, 5] = np.nan  # at the end of a row: the run goes on into the next one
    y = F.conv2d(x, mg.ones(3, 2, 3, 3), padding=1).array
    expected = np.zeros((6, 6), bool)
    expected[:2, 4:] = True
    assert np.array_equal(np.isnan(y[0, 1]), expected)


def test_memory_that_is_not_contiguous():
    x, w = RNG.standard_normal((6, 5, 3, 2)), RNG.standard_normal((3, 3, 3, 4))
    turned = F.conv2d(mg.Tensor(x.T), mg.Tensor(w.T[:, :, ::-1]), padding=1)
    straight = F.conv2d(mg.Tensor(x.T.copy()), mg.Tensor(w.T[:, :, ::-1].copy()), padding=1)
    assert np.array_equal(turned.array, straight.array)
    wt = randn(4, 3, 3, 3)
    y = F.conv2d(mg.Tensor(x.T), wt, padding=1)
    y.sum().backward()  # the cotangent is a broadcast 1, with strides of 0
    (expected,) = mg.grad(F.conv2d(mg.Tensor(x.T), wt, padding=1), wt, mg.Tensor(np.ones(y.shape)))
    assert np.array_equal(wt.grad.array, expected.array)


def test_inputs_stay_as_they_are():
    x, w, b = randn(2, 3, 5, 5), randn(4, 3, 3, 3), randn(4)
    before = [t.array.copy() for t in (x, w, b)]
    y = F.conv2d(x, w, b, stride=2, padding=1)
    v = RNG.standard_normal(y.shape)
    kept = v.copy()
    y.backward(mg.Tensor(v))
    assert np.array_equal(v, kept)
    for t, old in zip((x, w, b), before, strict=True):
        assert np.array_equal(t.array, old)


@pytest.mark.parametrize("shape", [(0, 3, 5, 5), (2, 3, 5, 5)])
def test_empty(shape):
    x, w = randn(*shape), randn(0 if shape[0] else 4, 3, 3, 3)
    y = F.conv2d(x, w)
    assert y.shape == (shape[0], w.shape[0], 3, 3)
    y.sum().backward()
    assert x.grad.shape == x.shape and w.grad.shape == w.shape
    assert not w.grad.array.any() and not x.grad.array.any()


# -- messages ---------------------------------------------------------------------------------------------

X, W = mg.zeros(2, 4, 5, 5), mg.zeros(6, 3, 3, 3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: F.conv2d(X, W),
            r"conv2d: expected an input with 3 channels \(weight of shape \(6, 3, 3, 3\)\), got 4",
        ),
        (lambda: F.conv2d(X, mg.zeros(6, 4, 3, 3), groups=4), "conv2d: groups=4 must divide .* output channels, 6"),
        (
            lambda: F.conv2d(X, mg.zeros(6, 4, 3, 3), groups=2),
            r"expected an input with 8 channels .*groups=2\), got 4",
        ),
        (lambda: F.conv2d(X, mg.zeros(6, 4, 7, 3)), r"conv2d: the kernel does not fit .* \(7, 3\) .* \(5, 5\)"),
        (lambda: F.conv2d(X, mg.zeros(6, 4, 3, 3), dilation=3), "does not fit"),
        (lambda: F.conv2d(X, mg.zeros(6, 4, 3, 3), padding=-1), "conv2d: padding must be at least 0, got -1"),
        (lambda: F.conv2d(X, mg.zeros(6, 4, 3, 3), stride=0), "conv2d: stride must be at least 1, got 0"),
        (lambda: F.conv2d(X, mg.zeros(6, 4, 3, 3), stride=(1, 2, 3)), "stride must be an integer or 2 of them"),
        (lambda: F.conv2d(X, mg.zeros(6, 4, 3, 3), stride=1.5), "stride must be an integer"),
        (lambda: F.conv2d(X, mg.zeros(6, 4, 3, 3), padding="same", stride=2), "padding='same' .* stride of"),
        (lambda: F.conv2d(X, mg.zeros(6, 4, 3, 3), padding="full"), "'full' is not 'same' or 'valid'"),
        (lambda: F.conv2d(mg.zeros(5, 5), W), r"conv2d: the input must have 4 axes .* got shape \(5, 5\)"),
        (lambda: F.conv2d(X, mg.zeros(6, 4, 3)), r"conv2d: the weight must have 4 axes"),
        (lambda: F.conv2d(X, mg.zeros(6, 4, 3, 3), mg.zeros(5)), r"the bias must have shape \(6,\)"),
        (lambda: F.conv_transpose2d(X, W), "conv_transpose2d: expected an input with 6 channels .*, got 4"),
        (lambda: F.conv_transpose2d(X, mg.zeros(4, 3, 3, 3), output_padding=1), "output_padding must be smaller than"),
        (lambda: F.conv_transpose2d(X, mg.zeros(4, 3, 1, 1), padding=3), "the output would have size"),
        (lambda: mg.nn.Conv2d(3, 4, 3, groups=2), "Conv2d: groups=2 must divide both in_channels=3"),
        (lambda: mg.nn.Conv2d(3, 4, 3, padding_mode="mirror"), "Conv2d: padding_mode must be one of"),
        (lambda: mg.nn.Conv2d(3, 4, 3, padding="same", stride=2), "Conv2d: padding='same' needs stride 1"),
        (lambda: mg.nn.Conv2d(4, 4, 9, padding=5, padding_mode="reflect")(X), "needs a larger image"),
        (lambda: mg.nn.ConvTranspose2d(3, 4, 3, padding_mode="reflect"), "ConvTranspose2d: padding_mode"),
        (lambda: mg.nn.ConvTranspose2d(4, 4, 3, 2)(X, output_size=(20, 20)), "out of reach"),
    ],
)
def test_messages(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_messages_about_dtypes():
    with pytest.raises(TypeError, match="conv2d: the input is float32 and the weight float64; convert"):
        F.conv2d(X, mg.Tensor(np.zeros((6, 4, 3, 3))))
    with pytest.raises(TypeError, match="needs floating-point"):
        F.conv2d(mg.zeros(1, 1, 3, 3, dtype=mg.int64), mg.zeros(1, 1, 3, 3, dtype=mg.int64))


# -- layers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "fan_in"),
    [(lambda: mg.nn.Conv2d(16, 32, 3, groups=2), 8 * 9), (lambda: mg.nn.ConvTranspose2d(16, 32, 3, groups=2), 16 * 9)],
)
def test_initial_weights(layer, fan_in):
    mg.manual_seed(0)
    made = layer()
    bound = 1 / math.sqrt(fan_in)
    for parameter in (made.weight, made.bias):
        values = np.abs(parameter.array)
        assert values.max() <= bound and values.max() > 0.8 * bound
        assert parameter.dtype == np.float32


def test_layers_keep_what_they_were_told():
    layer = mg.nn.Conv2d(2, 4, 3, stride=(1, 2), padding=1, dilation=2, groups=2, bias=False)
    assert (layer.kernel_size, layer.stride, layer.padding, layer.dilation) == ((3, 3), (1, 2), (1, 1), (2, 2))
    assert list(layer.state_dict()) == ["weight"]
    assert "kernel_size=(3, 3), stride=(1, 2), padding=(1, 1), dilation=(2, 2), groups=2, bias=False" in repr(layer)
