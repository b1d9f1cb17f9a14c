"""Normalizations that divide by a length: identities, tricky points, layers, errors. The table checks the rest."""

import tracemalloc
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.autograd import gradcheck, gradgradcheck
from minigrad.kernels import jit
from minigrad.kernels.threads import num_threads
from minigrad.nn import functional as F


def random(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


def variable(array: Any) -> Any:
    return mg.tensor(np.array(array, np.float64), requires_grad=True)


# -- identities --------------------------------------------------------------------------------------------


def test_rms_norm_is_layer_norm_where_the_mean_is_zero():
    x = random(3, 6)
    x -= x.mean(1, keepdims=True)
    np.testing.assert_allclose(F.rms_norm(x, 6, eps=0.1), F.layer_norm(x, 6, eps=0.1), atol=1e-12)


def test_scale_norm_is_rms_norm_with_equal_gammas():
    x, n = random(3, 4), 4
    expected = F.rms_norm(x, n, np.full(n, 2.5), eps=0.0)
    np.testing.assert_allclose(F.scale_norm(x, np.array(2.5 * n**0.5)), expected, atol=1e-12)


def test_filter_response_norm_without_parameters_is_rms_norm_over_space():
    x = random(2, 3, 4, 2)
    np.testing.assert_allclose(F.filter_response_norm(x, eps=0.1), F.rms_norm(x, (4, 2), eps=0.1), atol=1e-12)


def test_mean_variance_normalization_is_the_others_without_epsilon():
    x = random(4, 3, 5, 2)
    per_channel = F.mean_variance_normalization(x, eps=0.0)
    np.testing.assert_allclose(per_channel, F.batch_norm(x, training=True, eps=0.0), atol=1e-12)
    per_map = F.mean_variance_normalization(x, (2, 3), eps=0.0)
    np.testing.assert_allclose(per_map, F.instance_norm(x, eps=0.0), atol=1e-12)
    per_sample = F.mean_variance_normalization(x, (-1, 1, 2), eps=0.0)
    np.testing.assert_allclose(per_sample, F.layer_norm(x, (3, 5, 2), eps=0.0), atol=1e-12)


def test_cosine_similarity_is_the_product_of_unit_vectors():
    x, y = random(3, 4), random(3, 4, seed=1)
    expected = (F.normalize(x) * F.normalize(y)).sum(1)
    np.testing.assert_allclose(F.cosine_similarity(x, y), expected, atol=1e-12)
    np.testing.assert_allclose(F.cosine_similarity(x, 3 * x), np.ones(3), atol=1e-12)


def test_centered_cosines_are_correlation_coefficients():
    x, w = random(3, 5), random(2, 5)
    expected = np.corrcoef(x, w)[:3, 3:]
    np.testing.assert_allclose(F.cosine_linear(x, w, centered=True), expected, atol=1e-12)


def test_global_response_norm_with_zero_parameters_is_the_identity():
    x, zero = random(2, 3, 4), np.zeros(3)
    np.testing.assert_array_equal(F.global_response_norm(x, zero, zero), x)


def test_global_response_norm_of_equal_channels_doubles_them():
    x = np.repeat(random(2, 1, 4), 3, axis=1)
    np.testing.assert_allclose(F.global_response_norm(x, eps=0.0), 2 * x, atol=1e-12)


def test_a_thresholded_linear_unit_is_a_relu_shifted_twice():
    x, tau = random(4, 3), random(3)
    np.testing.assert_allclose(F.thresholded_linear_unit(x, tau), F.relu(x - tau) + tau, atol=1e-12)


# What each sees of a rescaled input; those with a scale-free output have a gradient orthogonal to the input.
SCALE_FREE: dict[str, Any] = {
    "rms_norm": lambda x: F.rms_norm(x, x.shape[-1], eps=0.0),
    "partial rms_norm": lambda x: F.rms_norm(x, x.shape[-1], eps=0.0, partial=0.5),
    "scale_norm": F.scale_norm,
    "normalize": lambda x: F.normalize(x, axis=-1),
    "normalize, p = 3": lambda x: F.normalize(x, 3.0, axis=-1),
    "cosine_linear": lambda x: F.cosine_linear(x, mg.tensor(random(2, 4))),
}


@pytest.mark.parametrize("name", SCALE_FREE)
def test_a_rescaled_sample_gives_the_same_and_the_gradient_is_orthogonal_to_it(name: str):
    function, x = SCALE_FREE[name], variable(random(3, 4))
    y = function(x)
    np.testing.assert_allclose(function(7 * x).array, y.array, rtol=1e-12)
    (g,) = mg.grad(y, x, mg.tensor(random(*y.shape, seed=1)))
    assert np.abs(g.array).max() > 0.01
    np.testing.assert_allclose((g.array * x.array).sum(1), 0, atol=1e-12)


def test_partial_rms_norm_looks_at_the_first_elements():
    x = random(3, 10)
    for partial, k in [(0.07, 1), (0.3, 3), (0.31, 4), (0.95, 10), (1.0, 10)]:
        expected = x / np.sqrt(np.mean(x[:, :k] ** 2, 1, keepdims=True) + 0.1)
        np.testing.assert_allclose(F.rms_norm(x, 10, eps=0.1, partial=partial), expected, rtol=1e-12)
    # 0.07 · 100 is 7.000000000000001 in floating point.
    x = random(2, 100)
    expected = x / np.sqrt(np.mean(x[:, :7] ** 2, 1, keepdims=True) + 0.1)
    np.testing.assert_allclose(F.rms_norm(x, 100, eps=0.1, partial=0.07), expected, rtol=1e-12)


# -- tricky points -----------------------------------------------------------------------------------------


def test_the_default_epsilon_of_rms_norm_is_that_of_the_dtype():
    for dtype in (np.float32, np.float64):
        x = np.full((1, 3), 1e-9, dtype)
        expected = 1e-9 / np.sqrt(1e-18 + float(np.finfo(dtype).eps))
        np.testing.assert_allclose(F.rms_norm(x, 3), np.full((1, 3), expected), rtol=1e-6)


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 2)])
def test_below_epsilon_a_unit_norm_is_a_division_by_epsilon(shape: tuple[int, ...]):
    for x in (np.zeros(shape), random(*shape) * 0.01):
        x = variable(x)
        y = F.normalize(x, eps=0.5)
        np.testing.assert_allclose(y.array, x.array / 0.5)
        v = random(*shape)
        np.testing.assert_allclose(mg.grad(y, x, mg.tensor(v))[0].array, v / 0.5)
        assert gradcheck(lambda x: F.normalize(x, eps=0.5), x)
        assert gradgradcheck(lambda x: F.normalize(x, eps=0.5), x)


def test_a_vector_exactly_epsilon_long_has_the_gradient_of_a_longer_one():
    x, v = variable([[3.0, 4.0]]), mg.tensor(random(1, 2))
    (at,) = mg.grad(F.normalize(x, eps=5.0), x, v)
    (above,) = mg.grad(F.normalize(x, eps=1.0), x, v)
    np.testing.assert_allclose(at.array, above.array)


def test_without_epsilon_zero_has_no_direction():
    with np.errstate(all="ignore"):
        assert np.isnan(F.normalize(np.zeros((1, 2)), eps=0.0)).all()
        assert np.isnan(F.normalize(np.zeros((1, 2, 1)), eps=0.0)).all()


def test_cosine_similarity_at_zero_is_smooth():
    x, y = variable(np.zeros((2, 3))), variable(random(2, 3))
    assert F.cosine_similarity(x, y, eps=0.1).tolist() == [0.0, 0.0]
    assert gradcheck(lambda x, y: F.cosine_similarity(x, y, eps=0.1), [x, y])
    assert gradgradcheck(lambda x, y: F.cosine_similarity(x, y, eps=0.1), [x, y])
    both = [variable(np.zeros((1, 3))), variable(np.zeros((1, 3)))]
    assert gradgradcheck(lambda x, y: F.cosine_similarity(x, y, eps=0.1), both)


def test_a_dead_channel_gets_the_gradient_of_the_added_input():
    x = random(2, 3, 4)
    x[:, 1] = 0
    x = variable(x)
    v = random(2, 3, 4, seed=1)
    (g,) = mg.grad(F.global_response_norm(x), x, mg.tensor(v), create_graph=True)
    np.testing.assert_allclose(g.array[:, 1], v[:, 1])
    (second,) = mg.grad(g, x, mg.tensor(random(2, 3, 4, seed=2)))
    assert np.isfinite(second.array).all()


def test_a_constant_group_is_zero_and_its_gradient_finite():
    x = variable(np.full((2, 4), 3.0))
    y = F.mean_variance_normalization(x, 1, eps=0.5)
    assert not y.array.any()
    v = random(2, 4)
    np.testing.assert_allclose(mg.grad(y, x, mg.tensor(v))[0].array, (v - v.mean(1, keepdims=True)) / 0.5)


@pytest.mark.parametrize("value", [0.1, -3.3, 1e6 + 1 / 3, 1e12 + 0.1])
def test_equal_elements_have_no_deviation_in_float64_either(value: float):
    """Their mean, rounded, is not any of them; ε = 1e-9 would make 0.1 out of what is left of 1e6."""
    y = F.mean_variance_normalization(mg.tensor(np.full((2, 3, 7), value)), (0, 2))
    np.testing.assert_array_equal(y.array, 0)


def test_a_number_of_numpy_is_a_number():
    x = mg.tensor(random(2, 3, 4).astype(np.float32))
    for kind in (np.float32, np.float64):
        np.testing.assert_allclose(F.filter_response_norm(x, eps=kind(0.5)), F.filter_response_norm(x, eps=0.5))
        np.testing.assert_array_equal(F.dynamic_tanh(x, kind(0.5)), F.dynamic_tanh(x, 0.5))
    with pytest.raises(ValueError, match=r"eps has shape \(2,\), and must be one number, \(\), or one a channel"):
        F.filter_response_norm(x, eps=[0.1, 0.2])


@pytest.mark.parametrize("scale", [1e-38, 1e-41])
def test_a_channel_that_is_almost_dead_has_a_finite_gradient(scale: float):
    """1/‖x‖ is beyond float32 there; x/‖x‖ is not."""
    x = (scale * random(2, 3, 8)).astype(np.float32)
    x[:, 1] = random(2, 8, seed=1)
    v = random(2, 3, 8, seed=2)
    found = []
    for dtype in (np.float32, np.float64):
        t = mg.tensor(x.astype(dtype), requires_grad=True)
        found.append(mg.grad(F.global_response_norm(t), t, mg.tensor(v.astype(dtype)))[0].array)
    np.testing.assert_allclose(found[0], found[1], rtol=1e-6, atol=1e-6)


def test_vectors_of_any_number_of_elements_do_not_stay_in_memory():
    def call(n: int) -> None:
        F.layer_norm(mg.zeros(1, n), n)
        F.rms_norm(mg.zeros(1, n), n)

    call(99_999)  # (kernels that are compiled do stay)
    tracemalloc.start()
    try:
        for n in range(100_000, 100_010):
            call(n)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 1_000_000


def test_at_a_tie_input_and_threshold_share_the_gradient():
    x, tau = variable([[1.0, 2.0]]), variable([1.0, 3.0])
    gx, gtau = mg.grad(F.thresholded_linear_unit(x, tau), [x, tau], mg.tensor(np.array([[1.0, 1.0]])))
    assert gx.tolist() == [[0.5, 0.0]]
    assert gtau.tolist() == [0.5, 1.0]


def test_a_learned_epsilon_counts_by_its_magnitude():
    x = mg.tensor(random(2, 3, 4))
    plus, minus = variable(0.3), variable(-0.3)
    y, z = F.filter_response_norm(x, eps=plus), F.filter_response_norm(x, eps=minus)
    np.testing.assert_array_equal(y.array, z.array)
    v = mg.tensor(random(2, 3, 4, seed=1))
    assert mg.grad(y, plus, v)[0].item() == -mg.grad(z, minus, v)[0].item() != 0


def test_p_norms_of_huge_and_tiny_numbers():
    for p in (0.5, 1.0, 2.0, 3.0, 7.0, float("inf"), -1.0):
        unit = F.normalize(random(2, 3).astype(np.float32), p)
        for scale in (1e-12, 1e30):
            scaled = (scale * random(2, 3)).astype(np.float32)
            np.testing.assert_allclose(F.normalize(scaled, p, eps=0.0), unit, rtol=1e-5)


@pytest.mark.parametrize(("p", "axis"), [(1.0, 1), (3.0, 1), (0.5, -1), (2.0, (1, 2)), (2.0, None)])
@pytest.mark.parametrize("scale", [1e-20, 1.0, 1e20, 1e30])
def test_gradients_of_p_norms_of_huge_and_tiny_numbers(p: float, axis: Any, scale: float):
    """In float32 the rule of a quotient, −x ∂L/∂y / ‖x‖², has nothing left of its second term: 1e40 is infinite."""
    x, v = (scale * random(2, 3, 4)).astype(np.float32), random(2, 3, 4, seed=1).astype(np.float32)
    found = []
    for dtype in (np.float32, np.float64):
        t = mg.tensor(x.astype(dtype), requires_grad=True)
        y = F.normalize(t, p, axis, eps=0.0)
        assert y.dtype == dtype
        (g,) = mg.grad(y, t, mg.tensor(v.astype(dtype)))
        found.append(g.array * dtype(scale))
    np.testing.assert_allclose(found[0], found[1], rtol=0, atol=1e-6 * np.abs(found[1]).max())


@pytest.mark.parametrize("centered", [False, True])
def test_vectors_without_elements_have_cosine_zero(centered: bool):
    y = F.cosine_linear(mg.zeros(2, 0), mg.zeros(3, 0), centered=centered)
    np.testing.assert_array_equal(y.array, np.zeros((2, 3)))


def test_plain_arrays_stay_float32_in_the_composed_form():
    x, tau = random(2, 3, 4).astype(np.float32), np.zeros(3, np.float32)
    with mg.composed():
        y = F.filter_response_norm(x, threshold=tau)
    assert y.dtype == np.float32
    np.testing.assert_allclose(y, F.filter_response_norm(x, threshold=tau), rtol=1e-6, atol=1e-7)


def test_one_number_is_a_vector():
    assert F.normalize(np.array(-3.0), axis=-1) == -1
    assert F.cosine_similarity(np.array(-3.0), np.array(2.0), axis=0) == -1
    x = variable(-3.0)
    assert abs(mg.grad(F.cosine_similarity(x, x * 2, axis=0), x)[0].item()) < 1e-15


def test_empty_inputs():
    assert F.rms_norm(np.zeros((0, 3)), 3).shape == (0, 3)
    assert F.rms_norm(np.zeros((2, 0)), 0).shape == (2, 0)
    assert F.normalize(np.zeros((2, 0))).shape == (2, 0)
    assert F.normalize(np.zeros((2, 0, 3))).shape == (2, 0, 3)
    assert F.cosine_similarity(np.zeros((2, 0)), np.zeros((2, 0))).tolist() == [0, 0]
    assert F.global_response_norm(np.zeros((2, 3, 0))).shape == (2, 3, 0)
    assert F.filter_response_norm(np.zeros((2, 3, 0))).shape == (2, 3, 0)
    for function in (F.normalize, F.global_response_norm, lambda x: F.cosine_similarity(x, x), F.scale_norm):
        x = variable(np.zeros((2, 0)))
        y = function(x)
        assert mg.grad(y, x, mg.tensor(np.zeros(y.shape)))[0].shape == (2, 0)


FUSED: dict[str, tuple[Any, tuple[int, ...]]] = {
    "rms_norm": (lambda x: F.rms_norm(x, 5, np.ones(5, x.dtype)), (64, 5)),
    "normalize": (lambda x: F.normalize(x), (64, 5)),
    "normalize across channels": (lambda x: F.normalize(x), (2, 5, 600)),
    "cosine_similarity": (lambda x: F.cosine_similarity(x, x * 2 + 1), (64, 5)),
    "cosine_similarity across channels": (lambda x: F.cosine_similarity(x, x * 2 + 1), (2, 5, 600)),
    "filter_response_norm": (lambda x: F.filter_response_norm(x), (8, 3, 4)),
    "global_response_norm": (lambda x: F.global_response_norm(x), (8, 3, 4)),
}


@pytest.mark.parametrize("name", FUSED)
def test_one_thread_and_several_give_the_same_bits(name: str, monkeypatch: pytest.MonkeyPatch):
    function, shape = FUSED[name]
    x = mg.tensor(random(*shape).astype(np.float32), requires_grad=True)

    def run() -> list[Any]:
        y = function(x)
        return [y.array, mg.grad(y, x, mg.tensor(random(*y.shape).astype(np.float32)))[0].array]

    # The number of chunks over which γ's gradient is added up is a matter of the shape, and of this constant.
    monkeypatch.setattr(jit, "PARALLEL_FROM", 0)
    with num_threads(1):
        serial = run()
    with num_threads(2):
        for a, b in zip(serial, run(), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", FUSED)
def test_a_fused_norm_is_one_node(name: str):
    function, shape = FUSED[name]
    x = variable(random(*shape))
    fused = function(x).grad_fn.name
    with mg.composed():
        assert function(x).grad_fn.name != fused


# -- layers ------------------------------------------------------------------------------------------------

LAYERS: dict[str, tuple[Any, tuple[int, ...], dict[str, tuple[int, ...]], str]] = {
    "RMSNorm": (
        lambda **o: mg.nn.RMSNorm((2, 3), **o),
        (4, 2, 3),
        {"weight": (2, 3)},
        "(2, 3), eps=None, elementwise_affine=True",
    ),
    "partial RMSNorm": (
        lambda **o: mg.nn.RMSNorm(3, 1e-6, False, partial=0.5, **o),
        (4, 3),
        {},
        "(3,), eps=1e-06, elementwise_affine=False, partial=0.5",
    ),
    "ScaleNorm": (lambda **o: mg.nn.ScaleNorm(3, **o), (4, 3), {"scale": ()}, "3, eps=1e-05"),
    "CosineLinear": (
        lambda **o: mg.nn.CosineLinear(3, 2, **o),
        (4, 3),
        {"weight": (2, 3)},
        "in_features=3, out_features=2, centered=False, scale=None, eps=1e-08",
    ),
    "scaled CosineLinear": (
        lambda **o: mg.nn.CosineLinear(3, 2, True, 16.0, **o),
        (4, 3),
        {"weight": (2, 3), "scale": ()},
        "in_features=3, out_features=2, centered=True, scale=16.0, eps=1e-08",
    ),
    "FilterResponseNorm": (
        lambda **o: mg.nn.FilterResponseNorm(3, **o),
        (4, 3, 2, 2),
        {"weight": (3,), "bias": (3,), "threshold": (3,)},
        "3, eps=1e-06, affine=True, bias=True, tlu=True, learn_eps=False",
    ),
    "learned FilterResponseNorm": (
        lambda **o: mg.nn.FilterResponseNorm(3, tlu=False, learn_eps=True, bias=False, **o),
        (4, 3),
        {"weight": (3,), "eps_l": ()},
        "3, eps=1e-06, affine=True, bias=False, tlu=False, learn_eps=True",
    ),
    "ThresholdedLinearUnit": (lambda **o: mg.nn.ThresholdedLinearUnit(3, **o), (4, 3, 2), {"threshold": (3,)}, "3"),
    "GlobalResponseNorm": (
        lambda **o: mg.nn.GlobalResponseNorm(3, **o),
        (4, 3, 2),
        {"weight": (3,), "bias": (3,)},
        "3, eps=1e-06",
    ),
    "UnitNorm": (lambda **_: mg.nn.UnitNorm(3.0, -1, 1e-6), (4, 3), {}, "p=3.0, dim=-1, eps=1e-06"),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_have_state_and_train_and_are_the_same_in_evaluation(name: str):
    make, shape, parameters, described = LAYERS[name]
    for dtype in (np.float32, np.float64):
        layer = make(dtype=dtype)
        assert {key: t.shape for key, t in layer.state_dict().items()} == parameters
        assert layer.extra_repr() == described
        x = mg.tensor(random(*shape).astype(dtype), requires_grad=True)
        y = layer(x)
        assert y.dtype == dtype
        (y * mg.tensor(random(*y.shape).astype(dtype))).sum().backward()
        for p in layer.parameters():
            assert p.dtype == dtype
            assert p.grad is not None and np.isfinite(p.grad.array).all() and p.grad.array.any()
        np.testing.assert_array_equal(layer.eval()(x).array, y.array)
        other = make(dtype=dtype)
        other.load_state_dict(layer.state_dict())
        np.testing.assert_array_equal(other(x).array, y.array)


@pytest.mark.parametrize("name", [name for name, row in LAYERS.items() if row[2] and "CosineLinear" not in name])
def test_parameters_reset_to_what_they_started_from(name: str):
    layer = LAYERS[name][0]()
    start = {key: t.numpy().copy() for key, t in layer.state_dict().items()}
    for p in layer.parameters():
        p.detach().fill_(7.0)
    layer.reset_parameters()
    for key, t in layer.state_dict().items():
        np.testing.assert_array_equal(t.numpy(), start[key])


def test_layers_start_as_their_papers_say():
    x = mg.tensor(random(4, 9))
    np.testing.assert_allclose((mg.nn.ScaleNorm(9, dtype=np.float64)(x).array ** 2).mean(1), 1, rtol=1e-12)
    x = mg.tensor(random(4, 3, 2))
    np.testing.assert_array_equal(mg.nn.GlobalResponseNorm(3, dtype=np.float64)(x).array, x.array)
    frn = mg.nn.FilterResponseNorm(3, dtype=np.float64)(x)
    np.testing.assert_allclose(frn.array, F.relu(F.filter_response_norm(x)).array)
    learned = mg.nn.FilterResponseNorm(3, tlu=False, learn_eps=True, dtype=np.float64)(x)
    np.testing.assert_allclose(learned.array, F.filter_response_norm(x, eps=1e-6 + 1e-4).array)


def test_an_output_of_a_cosine_layer_does_not_depend_on_the_size_of_its_weights():
    layer, x = mg.nn.CosineLinear(4, 3, dtype=np.float64), mg.tensor(random(5, 4))
    y = layer(x).array
    assert np.abs(y).max() <= 1
    layer.weight.detach().mul_(100.0)
    np.testing.assert_allclose(layer(x).array, y)


# -- errors ------------------------------------------------------------------------------------------------

X, IMAGE, INTEGERS = mg.ones(2, 3), mg.ones(2, 3, 4), mg.tensor([[1, 2, 3]])
WIDE = mg.tensor(np.ones(3))

ERRORS: dict[str, tuple[Any, type[Exception], str]] = {
    "shape": (lambda: F.rms_norm(X, 4), ValueError, r"rms_norm: normalized_shape=\(4,\) must be the end"),
    "weight": (
        lambda: F.rms_norm(X, 3, mg.ones(2)),
        ValueError,
        r"rms_norm: weight has shape \(2,\), and must have \(3,\)",
    ),
    "dtype": (lambda: F.rms_norm(X, 3, WIDE), TypeError, "rms_norm: the input is float32 and weight is float64"),
    "integers": (lambda: F.rms_norm(INTEGERS, 3), TypeError, "rms_norm: the input must be floating-point, not int64"),
    "partial": (
        lambda: F.rms_norm(X, 3, partial=1.5),
        ValueError,
        "rms_norm: partial=1.5 must be above 0 and at most 1",
    ),
    "layer's partial": (lambda: mg.nn.RMSNorm(3, partial=0), ValueError, "RMSNorm: partial=0 must be above 0"),
    "axis": (lambda: F.normalize(X, axis=2), IndexError, "normalize: axis 2 is out of range for a tensor with 2 axes"),
    "list": (lambda: F.normalize([1.0]), TypeError, "normalize: the input must be a tensor or an array, not a list"),
    "scale's shape": (
        lambda: F.scale_norm(X, mg.ones(3)),
        ValueError,
        r"scale_norm: scale must be .* got shape \(3,\)",
    ),
    "scale's kind": (lambda: F.scale_norm(X, 2.0), ValueError, "scale_norm: scale must be .* got a float"),
    "scale's dtype": (lambda: F.scale_norm(X, mg.tensor(np.array(1.0))), TypeError, "scale is float64"),
    "no axis": (lambda: F.scale_norm(mg.tensor(1.0)), ValueError, "scale_norm: the input must have at least one axis"),
    "features": (lambda: mg.nn.ScaleNorm(4)(X), ValueError, "ScaleNorm: num_features=4 must be the length"),
    "pair": (
        lambda: F.cosine_similarity(X, mg.ones(2, 4)),
        ValueError,
        r"cosine_similarity: x1 has shape \(2, 3\) and x2 \(2, 4\), which do not broadcast",
    ),
    "dtypes": (lambda: F.cosine_similarity(X, WIDE), TypeError, "cosine_similarity: x1 is float32 and x2 is float64"),
    "cosine's axis": (
        lambda: F.cosine_similarity(X, X, axis=2),
        IndexError,
        "cosine_similarity: axis 2 is out of range",
    ),
    "weights": (lambda: F.cosine_linear(X, mg.ones(2, 4)), ValueError, r"cosine_linear: .* weight \(2, 4\)"),
    "vector": (lambda: F.filter_response_norm(WIDE), ValueError, r"filter_response_norm: the input must be \(N, C\)"),
    "eps": (
        lambda: F.filter_response_norm(X, eps=mg.ones(2)),
        ValueError,
        r"filter_response_norm: eps has shape \(2,\), and must be one number, \(\), or one a channel, \(3,\)",
    ),
    "eps's dtype": (lambda: F.filter_response_norm(X, eps=WIDE), TypeError, "eps is float64"),
    "threshold": (
        lambda: F.filter_response_norm(IMAGE, threshold=mg.ones(4)),
        ValueError,
        r"thresholded_linear_unit: threshold must be a tensor of shape \(3,\), .* got shape \(4,\)",
    ),
    "threshold's dtype": (lambda: F.thresholded_linear_unit(X, WIDE), TypeError, "threshold is float64"),
    "channels": (
        lambda: mg.nn.GlobalResponseNorm(4)(X),
        ValueError,
        "GlobalResponseNorm: num_features=4, and the input",
    ),
    "parameters": (
        lambda: F.global_response_norm(X, mg.ones(2)),
        ValueError,
        "global_response_norm: weight has shape",
    ),
    "axes": (
        lambda: F.mean_variance_normalization(X),
        IndexError,
        "mean_variance_normalization: axis 2 is out of range for a tensor with 2 axes",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_bad_input_is_refused_with_a_reason(name: str):
    call, kind, message = ERRORS[name]
    with pytest.raises(kind, match=message):
        call()
