"""Local response and divisive norm, EvoNorm, Dynamic Tanh and erf: identities, conventions, layers, errors."""

import copy
import math
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.autograd import gradgradcheck
from minigrad.kernels.special import erf
from minigrad.nn import functional as F

nn = mg.nn


def random(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


def tensor(*shape: int, seed: int = 0) -> mg.Tensor:
    return mg.tensor(random(*shape, seed=seed), requires_grad=True)


def close(a: Any, b: Any, tolerance: float = 1e-12) -> None:
    a, b = (t.detach().numpy() if isinstance(t, mg.Tensor) else t for t in (a, b))
    np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


# -- local response ------------------------------------------------------------------------------------------


def test_sum_and_mean_of_squares_differ_by_the_factor_of_alpha():
    x = tensor(2, 6, 3)
    close(
        F.local_response_norm(x, 5, alpha=0.2, k=2.0, average=False),
        F.local_response_norm(x, 5, alpha=1.0, k=2.0, average=True),
    )
    # The paper's own settings, on one element by hand.
    y = F.local_response_norm(x, 5, alpha=1e-4, beta=0.75, k=2.0, average=False)
    squares = sum(x[1, c, 2].item() ** 2 for c in range(1, 6))
    assert y[1, 3, 2].item() == pytest.approx(x[1, 3, 2].item() / (2 + 1e-4 * squares) ** 0.75, rel=1e-14)


def test_a_window_of_all_channels_is_one_for_all():
    x = tensor(2, 3, 4)
    energy = (x * x).sum(1, keepdim=True)
    for size in (6, 7, 100):
        close(F.local_response_norm(x, size, 1.0, 0.5, 0.1, average=False), x / (energy + 0.1).sqrt())


def test_an_even_window_reaches_further_back():
    x = mg.tensor(np.array([[1.0, 10.0, 100.0]]))
    y = F.local_response_norm(x, 2, 1.0, 1.0, 0.0, average=False)
    close(y, [[1 / 1, 10 / 101, 100 / 10100]])
    # ONNX reaches ahead instead: that is the same with the channels in reverse.
    ahead = F.local_response_norm(x.flip(1), 2, 1.0, 1.0, 0.0, average=False).flip(1)
    close(ahead, [[1 / 101, 10 / 10100, 100 / 10000]])


def test_a_large_element_leaves_nothing_behind():
    """A running sum would still hold what the rounding of 10¹⁶ left in it, and would never be rid of a NaN."""
    for large in (1e8, np.inf, np.nan):
        x = np.ones((1, 8, 20))
        x[0, 1] = large
        y = F.local_response_norm(mg.tensor(x), 3, 3.0, 1.0, 0.0)
        np.testing.assert_array_equal(y.numpy()[0, 3], 1 / 3)
        np.testing.assert_array_equal(y.numpy()[0, 4:7], 1 / 3)
        assert np.isnan(y.numpy()[0, 1]).all() == (not np.isfinite(large))


@pytest.mark.parametrize("shape", [(40, 5), (40, 5, 1), (9, 5, 7), (2, 5, 150)])
def test_short_and_long_strips_of_space(shape: tuple[int, ...]):
    x = mg.tensor(random(*shape).astype(np.float32), requires_grad=True)
    results = []
    for composed in (False, True):
        if composed:
            x = mg.tensor(x.detach().numpy().astype(np.float64), requires_grad=True)
            with mg.composed():
                y = F.local_response_norm(x, 4, 0.9)
        else:
            y = F.local_response_norm(x, 4, 0.9)
        assert y.array.flags.c_contiguous
        (g,) = mg.grad(y, x, mg.tensor(random(*shape, seed=3).astype(x.dtype)))
        results.append((y, g))
    close(results[0][0], results[1][0], 1e-6)
    close(results[0][1], results[1][1], 1e-6)


def test_local_response_layer():
    norm = nn.LocalResponseNorm(5, k=2.0, average=False)
    x = tensor(2, 6, 3, 3)
    close(norm(x), F.local_response_norm(x, 5, k=2.0, average=False))
    close(norm.eval()(x), norm.train()(x))
    assert not norm.state_dict()
    assert norm.extra_repr() == "5, alpha=0.0001, beta=0.75, k=2.0, average=False"
    assert "average" not in nn.LocalResponseNorm(5).extra_repr()


# -- divisive ------------------------------------------------------------------------------------------------


def same(one: Any, other: Any, *inputs: mg.Tensor) -> None:
    """Two functions have the same outputs, gradients, and gradients of gradients."""
    found = []
    for function in (one, other):
        y = function(*inputs)
        v = tensor(*y.shape, seed=7)
        gradients = mg.grad(y, inputs, v, create_graph=True)
        directions = [mg.tensor(random(*g.shape, seed=8)) for g in gradients]
        found.append([y, *gradients, *mg.grad(gradients, [inputs[0], v], directions)])
    for a, b in zip(*found, strict=True):
        close(a, b, 1e-10)


@pytest.mark.parametrize("window", [None, 9, (None, 100)])
def test_boxes_of_everything_make_it_layer_norm(window: Any):
    same(
        lambda x: F.divisive_norm(x, window, sigma=0.3),
        lambda x: F.layer_norm(x, (3, 4, 5), eps=0.3**2),
        tensor(2, 3, 4, 5),
    )


def test_boxes_of_everything_in_one_channel_make_it_instance_norm():
    same(
        lambda x, w, b: F.divisive_norm(x, None, w, b, 0.3, channels=1),
        lambda x, w, b: F.instance_norm(x, None, None, w, b, eps=0.3**2),
        tensor(2, 3, 4),
        tensor(3),
        tensor(3, seed=1),
    )


def test_boxes_of_one_leave_nothing():
    x, b = tensor(2, 3, 4), tensor(3)
    close(F.divisive_norm(x, 1, bias=b, channels=1), b.reshape(1, 3, 1).expand(2, 3, 4))


def test_equal_elements_give_beta_exactly():
    b = tensor(3)
    for value in (0.1, 1e6 + 1 / 3, -3.3e8):
        y = F.divisive_norm(mg.full((2, 3, 5), value, dtype=np.float64), 3, bias=b, sigma=1e-6)
        np.testing.assert_array_equal(y.detach().numpy(), np.broadcast_to(b.detach().numpy()[:, None], (2, 3, 5)))


def test_padding_by_zeros_is_another_mean_at_the_edge():
    x = mg.tensor([[[2.0, 2.0, 2.0]]])
    _, v = F.divisive_norm(x, 2, return_centered=True)
    assert v.tolist() == [[[0.0, 0.0, 0.0]]]
    _, v = F.divisive_norm(x, 2, count_include_pad=True, return_centered=True)
    assert v.tolist() == [[[1.0, 0.0, 0.0]]]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_huge_first_element_spoils_no_window_but_its_own(dtype: Any):
    """Means about it would take the digits of all others: 1e25 + 1 is 1e25 in float64 as well."""
    x = random(2, 3, 12).astype(dtype)
    expected = F.divisive_norm(mg.tensor(x), 3, channels=1).array
    for value in (1e10, 1e25):
        x[0, 0, 0] = value
        found = F.divisive_norm(mg.tensor(x), 3, channels=1).array
        np.testing.assert_array_equal(found[0, 1:], expected[0, 1:])
        np.testing.assert_array_equal(found[1], expected[1])
        np.testing.assert_allclose(found[0, 0, 3:], expected[0, 0, 3:], rtol=1e-6 if dtype == np.float32 else 1e-14)


def test_divisive_layer_and_its_penalty():
    norm = nn.DivisiveNorm(3, window=3, sigma=0.5, l1=0.1)
    x = tensor(2, 3, 4, 4).detach().float()
    assert norm.penalty is None
    y = norm(x)
    expected, v = F.divisive_norm(x, 3, norm.weight, norm.bias, 0.5, return_centered=True)
    close(y, expected)
    assert norm.penalty is not None
    close(norm.penalty, 0.1 * np.abs(v.numpy()).mean(), 1e-6)
    assert copy.deepcopy(norm).penalty is None
    norm.eval()(x)
    assert norm.penalty is None
    assert list(norm.state_dict()) == ["weight", "bias"]
    assert norm.extra_repr().startswith("3, window=3, sigma=0.5, affine=True, suppression=None, channels=None")
    assert not list(nn.DivisiveNorm(3, 3, affine=False).parameters())


# -- EvoNorm -------------------------------------------------------------------------------------------------


def test_evo_b0_keeps_the_unbiased_variance():
    norm = nn.EvoNormB0(3, momentum=0.25).double()
    expected = np.ones(3)
    for step in range(3):
        x = random(4, 3, 5, seed=step)
        norm(mg.tensor(x))
        expected = 0.75 * expected + 0.25 * x.var((0, 2), ddof=1)
        close(norm.running_var, expected)
    norm(mg.zeros(0, 3, 5, dtype=np.float64))  # an empty batch changes nothing
    close(norm.running_var, expected)
    assert norm.state_dict()["num_batches_tracked"].item() == 3
    assert list(norm.state_dict()) == ["weight", "bias", "v", "running_var", "num_batches_tracked"]

    x = mg.tensor(random(1, 3, 4))
    close(norm.eval()(x), F.evo_norm_b0(x, norm.running_var, norm.weight, norm.bias, norm.v))
    close(norm.running_var, expected)
    norm.reset_parameters()
    assert norm.state_dict()["running_var"].tolist() == [1.0] * 3
    assert norm.state_dict()["num_batches_tracked"].item() == 0


def test_evo_b0_averages_all_batches_alike_without_momentum():
    norm = nn.EvoNormB0(3, momentum=None).double()
    batches = [random(4, 3, 5, seed=step) for step in range(3)]
    for x in batches:
        norm(mg.tensor(x))
    close(norm.running_var, np.mean([x.var((0, 2), ddof=1) for x in batches], 0))


def test_evo_b0_composed_keeps_the_same_average():
    averages = []
    for composed in (False, True):
        norm = nn.EvoNormB0(3).double()
        if composed:
            with mg.composed():
                norm(mg.tensor(random(4, 3, 5)))
        else:
            norm(mg.tensor(random(4, 3, 5)))
        averages.append(norm.running_var)
    close(*averages)


def test_evo_b0_without_tracking_uses_the_batch_in_evaluation():
    norm = nn.EvoNormB0(3, track_running_stats=False, affine=False)
    x = mg.tensor(random(4, 3, 5).astype(np.float32))
    close(norm.train()(x), norm.eval()(x))
    assert not norm.state_dict()


def test_evo_b0_is_a_linear_function_of_small_and_negative_elements_and_levels_off():
    v = mg.tensor(np.array([2.0]))
    variance = np.array([4.0])
    x = mg.tensor(np.concatenate([np.linspace(-0.2, 0, 5), [1e9, -1e9]]).reshape(7, 1, 1))  # each its own instance
    y = F.evo_norm_b0(x, variance, v=v, eps=0.0).numpy().ravel()
    close(y[:5], x.numpy().ravel()[:5] / 2)
    assert y[5] == pytest.approx(1 / 2)
    assert y[6] == pytest.approx(-1e9 / 2)


def test_evo_s0_with_v_zero_is_half_of_group_norm_without_its_mean():
    x = tensor(2, 4, 3)
    deviation = x.detach().numpy().reshape(2, 2, 6).std(2).repeat(2, 1)[..., None]
    close(F.evo_norm_s0(x, 2, v=mg.zeros(4, dtype=np.float64), eps=0.0), x.detach().numpy() / 2 / deviation)


def test_evo_s0_is_close_to_silu_of_standardized_values_of_mean_zero():
    norm = nn.EvoNormS0(2, 4)
    x = F.group_norm(tensor(2, 4, 8).detach().float(), 2, eps=0.0)
    close(norm(x), F.silu(x), 1e-4)
    assert list(norm.state_dict()) == ["weight", "bias", "v"]
    assert norm.extra_repr() == "2, 4, eps=1e-05, affine=True"
    assert list(nn.EvoNormS0(2, 4, affine=False).state_dict()) == []


# -- Dynamic Tanh and erf ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [nn.DynamicTanh, nn.DynamicErf])
def test_dynamic_layers_start_as_the_papers_do(kind: Any):
    norm = kind(4)
    assert norm.alpha.tolist() == [0.5]
    assert norm.weight.tolist() == [1.0] * 4
    assert norm.bias.tolist() == [0.0] * 4
    x = tensor(2, 3, 4).detach().float()
    f = np.tanh if kind is nn.DynamicTanh else np.vectorize(math.erf)
    close(norm(x), f(x.numpy() / 2), 1e-6)
    close(norm.eval()(x), norm.train()(x))
    for p in norm.parameters():
        p.detach().fill_(7)
    norm.reset_parameters()
    close(norm(x), f(x.numpy() / 2), 1e-6)


def test_dynamic_layers_show_and_save_what_they_learn():
    assert list(nn.DynamicTanh(4).state_dict()) == ["alpha", "weight", "bias"]
    assert set(nn.DynamicErf(4).state_dict()) == {"alpha", "shift", "weight", "bias"}
    assert nn.DynamicErf(4).shift.tolist() == [0.0]
    assert nn.DynamicTanh(4).extra_repr() == "(4,), channels_last=True, alpha_init_value=0.5"
    assert nn.DynamicErf((2, 3), dtype=np.float64).shift.dtype == np.float64


def test_dynamic_tanh_of_pictures_has_a_gamma_for_each_channel():
    norm = nn.DynamicTanh(3, channels_last=False).double()
    norm.load_state_dict({**norm.state_dict(), "weight": mg.tensor([1.0, 2.0, 3.0]).double()})
    x = tensor(2, 3, 4, 4)
    close(norm(x), np.tanh(x.detach().numpy() / 2) * np.array([1, 2, 3]).reshape(3, 1, 1))


def test_dynamic_norms_of_small_inputs_are_linear():
    x = tensor(5)
    close(F.dynamic_tanh(x * 1e-9, 0.8), x * 0.8e-9, 1e-22)
    close(F.dynamic_erf(x * 1e-9, 0.8), x * (1.6e-9 / math.sqrt(math.pi)), 1e-22)


def test_large_inputs_in_parts_are_as_small_ones():
    x = mg.tensor(random(70, 1000).astype(np.float32), requires_grad=True)
    alpha, gamma, beta = (mg.tensor(random(n).astype(np.float32), requires_grad=True) for n in (1, 1000, 1000))
    v = mg.tensor(random(70, 1000, seed=1).astype(np.float32))
    y = F.dynamic_tanh(x, alpha, gamma, beta)
    gradients = mg.grad(y, [x, alpha, gamma, beta], v)
    wide = [mg.tensor(t.detach().numpy().astype(np.float64), requires_grad=True) for t in (x, alpha, gamma, beta)]
    with mg.composed():
        exact = F.dynamic_tanh(*wide)
    close(y, exact, 1e-6)
    for g, e in zip(gradients, mg.grad(exact, wide, v.double()), strict=True):
        close(g, e, 1e-5)


def test_erf_of_float32_is_the_rounded_one():
    x = np.concatenate([np.linspace(-6, 6, 5001), np.geomspace(1e-30, 1, 200), [np.inf, -np.inf, np.nan, 0]])
    x = x.astype(np.float32)
    exact = np.array([math.erf(value) for value in x.astype(np.float64)])
    error = np.abs(erf(x).astype(np.float64) - exact) / np.spacing(np.abs(exact).astype(np.float32))
    assert np.nanmax(error) < 0.6
    np.testing.assert_array_equal(np.isnan(erf(x)), np.isnan(x))


# -- third derivatives ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "shapes"),
    [
        (lambda x: F.local_response_norm(x, 3, 0.9), [(2, 3, 2)]),
        (lambda x, w: F.divisive_norm(x, 3, w), [(1, 2, 4), (2,)]),
        (lambda x, v: F.evo_norm_b0(x, v=v, training=True, eps=0.1), [(2, 2, 3), (2,)]),
        (lambda x, v: F.evo_norm_s0(x, 1, v=v, eps=0.1), [(2, 2, 2), (2,)]),
        (lambda x, alpha, s: F.dynamic_erf(x, alpha, s), [(2, 3), (1,), ()]),
    ],
    ids=["local_response_norm", "divisive_norm", "evo_norm_b0", "evo_norm_s0", "dynamic_erf"],
)
def test_third_derivatives_agree_with_differences(function: Any, shapes: Any):
    inputs = [tensor(*shape) for shape in shapes]
    v = mg.tensor(random(*shapes[0], seed=7))

    def gradient(*xs: Any) -> Any:
        with mg.enable_grad():
            return mg.grad(function(*xs), xs, v, create_graph=True)

    assert gradgradcheck(gradient, inputs, rtol=1e-4)


# -- errors --------------------------------------------------------------------------------------------------

X = mg.ones(2, 4, 3)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: F.local_response_norm(X, 0), ValueError, "local_response_norm: size .* not 0"),
        (lambda: F.divisive_norm(X, 2.5), ValueError, "divisive_norm: window .* not 2.5"),
        (lambda: F.local_response_norm(mg.ones(3), 3), ValueError, r"\(N, C\) or .* shape \(3,\)"),
        (lambda: F.local_response_norm(X.long(), 3), TypeError, "floating-point, not int64"),
        (lambda: F.divisive_norm(X, 0), ValueError, "divisive_norm: window .* not 0"),
        (lambda: F.divisive_norm(X, (3, 3)), ValueError, r"window=\(3, 3\) .* each of the 1 axes"),
        (lambda: F.divisive_norm(X, 3, suppression=-1), ValueError, "suppression .* not -1"),
        (lambda: F.divisive_norm(X, 3, channels=0), ValueError, "channels .* not 0"),
        (lambda: F.divisive_norm(X, 3, sigma=-1.0), ValueError, "sigma=-1.0 must not be negative"),
        (lambda: F.divisive_norm(mg.ones(2, 4), 3, channels=2), ValueError, "inputs with space"),
        (lambda: F.divisive_norm(X, 3, mg.ones(3)), ValueError, r"weight has shape \(3,\)"),
        (lambda: nn.DivisiveNorm(3, 3)(X), ValueError, "num_features=3"),
        (lambda: F.evo_norm_b0(X), ValueError, "running_var is needed"),
        (lambda: F.evo_norm_b0(mg.ones(1, 4, 1), training=True), ValueError, "more than one value per channel"),
        (lambda: F.evo_norm_b0(mg.ones(2, 4), training=True), ValueError, "axis of space"),
        (lambda: F.evo_norm_b0(X, v=mg.ones(3), training=True), ValueError, r"v has shape \(3,\)"),
        (lambda: F.evo_norm_b0(X, mg.ones(4).double()), TypeError, "running_var is float64"),
        (lambda: nn.EvoNormB0(3)(X), ValueError, "num_features=3"),
        (lambda: F.evo_norm_s0(X, 3), ValueError, "num_groups=3"),
        (lambda: F.evo_norm_s0(X, 2, v=mg.ones(4).double()), TypeError, "v is float64"),
        (lambda: nn.EvoNormS0(3, 4), ValueError, "num_channels=4 is not divisible by num_groups=3"),
        (lambda: nn.EvoNormS0(3, 6)(X), ValueError, "num_channels=6"),
        (lambda: F.dynamic_tanh(X, mg.ones(3)), ValueError, "alpha must be one number"),
        (lambda: F.dynamic_tanh(X, mg.ones(1).double()), TypeError, "alpha is float64"),
        (lambda: F.dynamic_tanh(X, 0.5, mg.ones(4)), ValueError, r"weight has shape \(4,\)"),
        (lambda: F.dynamic_tanh(X, 0.5, mg.ones(3), channels_last=False), ValueError, r"must have \(4,\)"),
        (lambda: F.dynamic_erf(X, 0.5, "left"), ValueError, "shift must be one number"),
        (lambda: F.dynamic_erf(X.long(), 0.5), TypeError, "floating-point"),
        (lambda: nn.DynamicTanh((3, 4), channels_last=False), ValueError, "number of channels"),
    ],
)
def test_errors(call: Any, error: type[Exception], message: str):
    with pytest.raises(error, match=message):
        call()
