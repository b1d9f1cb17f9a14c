"""What is left out of a result does not touch it: a NaN or an infinity there changes no value and no derivative.

A mask that multiplies lets them through, since 0 · NaN and 0 · ∞ are NaN; a choice does not. The reference is the same
function of the same numbers with something ordinary in the ignored places.
"""

import numpy as np
import pytest

import minigrad as mg
import minigrad.nn.functional as F

BAD = [np.nan, np.inf, -np.inf]

pytestmark = pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")  # NumPy's, of ∞ − ∞ and the like


def derivatives(function, *arrays, seed=0):
    """Value, gradients and second derivatives along random cotangents, None where there is none."""
    rng = np.random.default_rng(seed)
    xs = [mg.tensor(a, requires_grad=True) for a in arrays]
    y = function(*xs)
    v = mg.tensor(rng.standard_normal(y.shape), requires_grad=True)
    first = mg.grad(y, xs, v, create_graph=True)
    second = mg.grad(
        list(first), [*xs, v], [mg.tensor(rng.standard_normal(g.shape)) for g in first], allow_unused=True
    )
    return [t if t is None else t.detach().numpy() for t in (y, *first, *second)]


def assert_same(found, expected):
    for a, b in zip(found, expected, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)


# -- losses: rows whose class number is ignore_index --------------------------------------------------------------


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("extra", [(), (3,), (2, 2)], ids=str)
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize(
    ("weight", "smoothing"),
    [(weight, smoothing) for weight in (None, [1.0, 2.0, 0.5]) for smoothing in (0.0, 0.1, 1.0)]
    + [([np.nan, 2.0, 0.5], 0.0)],  # (smoothing takes the weight of every class into account)
)
def test_an_ignored_row_of_cross_entropy(bad, extra, reduction, weight, smoothing):
    rng = np.random.default_rng(1)
    ordinary = rng.standard_normal((4, 3, *extra))
    target = rng.integers(1, 3, (4, *extra))  # not class 0, whose weight may be NaN
    target[1] = -100
    options = {"weight": None if weight is None else mg.tensor(weight), "reduction": reduction}

    def entropy(x):
        return F.cross_entropy(x, mg.tensor(target), label_smoothing=smoothing, **options)

    def likelihood(x):
        return F.nll_loss(x, mg.tensor(target), **options)

    for place in (slice(None), 1):  # the whole row, and one class of it
        x = ordinary.copy()
        x[1, place] = bad
        assert_same(derivatives(entropy, x), derivatives(entropy, ordinary))
        assert_same(derivatives(likelihood, x), derivatives(likelihood, ordinary))
        with mg.composed():
            assert_same(derivatives(entropy, x), derivatives(entropy, ordinary))
    assert not derivatives(entropy, ordinary)[1][1].any()


# -- attention: keys that may not be read, queries that may read nothing -------------------------------------------


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("kind", [bool, float])
def test_a_key_that_may_not_be_read(bad, kind):
    rng = np.random.default_rng(2)
    q, k, v = (rng.standard_normal((2, 3, 4)) for _ in range(3))
    mask = np.array([[True, True, False]] * 3)
    mask = mg.tensor(mask if kind is bool else np.where(mask, 0, -np.inf))

    def attend(q, k, v):
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)

    expected = derivatives(attend, q, k, v)
    k[:, 2] = v[0, 2] = bad
    assert_same(derivatives(attend, q, k, v), expected)


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("self_attention", [False, True])
def test_padding_of_attention_reaches_neither_results_nor_weights(bad, self_attention):
    mg.manual_seed(0)
    layer = mg.nn.MultiheadAttention(4, 2, batch_first=True).double()
    rng = np.random.default_rng(3)
    x, value = rng.standard_normal((2, 2, 3, 4))
    padding = mg.tensor([[False, False, True], [True, False, False]])
    query = mg.tensor(x.copy())

    def results():
        layer.zero_grad()
        t = mg.tensor(x)
        if self_attention:  # of a padded query there is no result
            y = layer(t, t, t, key_padding_mask=padding)[0][mg.tensor(~padding.array)]
        else:
            y = layer(query, t, mg.tensor(value), key_padding_mask=padding)[0]
        if not self_attention:
            (y * y.sin()).sum().backward()
        return [y.detach().numpy(), *[p.grad.numpy().copy() for p in layer.parameters() if p.grad is not None]]

    expected = results()
    x[padding.array] = value[0, 2] = bad
    assert_same(results(), expected)


@pytest.mark.parametrize("kind", [bool, float])
def test_a_query_that_may_read_nothing(kind):
    q, k, v = (np.random.default_rng(i).standard_normal((3, 4)) for i in range(3))
    q[1] = np.nan
    mask = np.array([[True, True, False], [False] * 3, [True] * 3])
    mask = mg.tensor(mask if kind is bool else np.where(mask, 0, -np.inf))
    q = mg.tensor(q, requires_grad=True)
    y = F.scaled_dot_product_attention(q, mg.tensor(k), mg.tensor(v), attn_mask=mask)
    y.backward(mg.ones(3, 4))
    assert not y.array[1].any() and not q.grad.array[1].any()
    assert np.isfinite(y.array).all() and np.isfinite(q.grad.array).all()


# -- steps, gates and extrema ---------------------------------------------------------------------------------------

FLAT = {
    "sign": mg.sign,
    "floor": mg.floor,
    "ceil": mg.ceil,
    "trunc": mg.trunc,
    "round": mg.round,
    "floor_divide": lambda x: x // 2.0,
    "power 0": lambda x: x**0,
}


@pytest.mark.parametrize("name", FLAT)
@pytest.mark.parametrize("bad", BAD)
def test_a_step_has_slope_0_whatever_the_gradient(name, bad):
    x = mg.tensor([0.5, 1.5, -2.5], requires_grad=True)
    FLAT[name](x).backward(mg.tensor([bad, 1.0, bad]))
    assert x.grad.tolist() == [0, 0, 0]


def test_only_the_extrema_get_an_infinite_gradient():
    for function, at in ((mg.amax, 1), (mg.amin, 0)):
        x = mg.tensor([1.0, 3.0, 2.0], requires_grad=True)
        function(x).backward(mg.tensor(np.inf))
        assert x.grad.tolist() == [np.inf if i == at else 0 for i in range(3)]


@pytest.mark.parametrize("axis", [0, 1])
def test_a_norm_below_epsilon_gets_no_gradient(axis):
    """y = x/ε there, so ∂y/∂x = 1/ε, whatever the gradient is elsewhere in the vector."""
    x = mg.tensor(np.full((3, 3), 1e-6, np.float32), requires_grad=True)
    v = np.array([[np.inf, 1.0, 2.0]] * 3 if axis else [[np.inf] * 3, [1.0] * 3, [2.0] * 3], np.float32)
    y = F.normalize(x, axis=axis, eps=0.5)
    (g,) = mg.grad(y, x, mg.tensor(v))
    np.testing.assert_array_equal(g.numpy(), v * 2)


def test_the_slopes_of_prelu_do_not_see_the_inputs_above_0():
    """∂⟨u, ∂⟨v, y⟩/∂w⟩/∂v = u x for x ≤ 0, and 0 above, for x = ∞ as well."""
    x = np.array([[np.inf, -2.0], [3.0, -np.inf]])
    w = mg.tensor([0.25], requires_grad=True)
    v = mg.tensor(np.ones((2, 2)), requires_grad=True)
    (gw,) = mg.grad(F.prelu(mg.tensor(x), w.double()), w, v, create_graph=True)
    (found,) = mg.grad(gw, v)
    assert found.tolist() == [[0, -2], [0, -np.inf]]
    w = mg.tensor([np.inf], requires_grad=True)  # and the inputs above 0 do not see the slope
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    v = mg.tensor([1.0, 3.0], requires_grad=True)
    (gx,) = mg.grad(F.prelu(x, w), x, v, create_graph=True)
    assert gx.tolist() == [1, 3] and mg.grad(gx.sum(), v)[0].tolist() == [1, 1]


def test_hardswish_at_infinity_and_nan():
    x = mg.tensor([np.inf, -np.inf, np.nan, 1.0], requires_grad=True)
    v = mg.tensor([1.0, 2.0, 3.0, 4.0], requires_grad=True)
    (gx,) = mg.grad(F.hardswish(x), x, v, create_graph=True)
    np.testing.assert_allclose(gx.detach().numpy(), [1, 0, np.nan, 4 * (1 / 3 + 0.5)], rtol=1e-6)
    for_v, for_x = mg.grad(gx.sum(), [v, x])
    np.testing.assert_allclose(for_v.numpy(), [1, 0, np.nan, 1 / 3 + 0.5], rtol=1e-6)
    np.testing.assert_allclose(for_x.numpy()[[0, 1, 3]], [0, 0, 4 / 3], rtol=1e-6)


def test_the_deviation_of_equal_elements_has_no_second_derivative_either():
    x = mg.tensor([[2.0, 2.0, 2.0], [1.0, 2.0, 4.0]], requires_grad=True)
    (g,) = mg.grad(x.std(1).sum(), x, create_graph=True)
    (h,) = mg.grad((g * mg.tensor([1.0, 2.0, -1.0])).sum(), x)
    assert not g.array[0].any() and not h.array[0].any() and h.array[1].any()


@pytest.mark.parametrize("size", [1e-25, 1e25])
def test_a_quotient_of_sizes_whose_squares_leave_float32(size):
    x, y = (mg.tensor(3 * size, requires_grad=True), mg.tensor(2 * size, requires_grad=True))
    gx, gy = mg.grad(x / y, [x, y])
    np.testing.assert_allclose([gx.item() * size, gy.item() * size], [1 / 2, -3 / 4], rtol=1e-5)
