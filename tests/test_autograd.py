"""The engine: what backward and grad promise, at any order, and the errors that they give."""

import copy
import operator as op
import pickle
import threading
from typing import Any

import numpy as np
import pytest

import minigrad as mg


def leaf(*values: Any, dtype: str = "float64") -> mg.Tensor:
    return mg.Tensor(np.array(values[0] if len(values) == 1 else values, dtype), requires_grad=True)


def random(*shape: int, seed: int = 0, requires_grad: bool = True) -> mg.Tensor:
    return mg.Tensor(np.random.default_rng(seed).standard_normal(shape), requires_grad=requires_grad)


def derivatives(function: Any, at: float, orders: int) -> list[float]:
    """f(x), f′(x), f″(x), ... by differentiating again and again."""
    x = leaf(at)
    found = [function(x)]
    for _ in range(orders):
        found.append(mg.grad(found[-1], x, create_graph=True)[0])
    return [y.item() for y in found]


class Cube(mg.Function):
    def forward(self, x):
        self.save_for_backward(x)
        return x * x * x

    def backward(self, g):
        (x,) = self.saved
        return 3 * x * x * g


class Halves(mg.Function):
    """Two outputs."""

    def forward(self, x):
        self.n = x.shape[0] // 2
        return x[: self.n].copy(), x[self.n :].copy()

    def backward(self, g1, g2):
        self.seen = g1, g2
        return mg.cat([g1, g2])


# -- accumulation -----------------------------------------------------------------------------------------


def test_a_tensor_used_twice_gets_both_gradients():
    a, b = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    y = (a + a) * b + b + b  # the forks that defeat a naive traversal
    y.backward(mg.Tensor(np.array([1.0, 10.0])))
    np.testing.assert_allclose(a.grad.numpy(), [2 * 3, 2 * 4 * 10])
    np.testing.assert_allclose(b.grad.numpy(), [2 * 1 + 2, (2 * 2 + 2) * 10])


def test_a_tensor_used_a_thousand_times():
    x = leaf([2.0, 3.0])
    total = x * 0
    for i in range(1000):
        total = total + x * i
    total.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [499500.0, 499500.0])


def test_diamonds_that_double_paths_take_linear_time():
    x = leaf(1.0)
    y = x
    for _ in range(60):  # 2⁶⁰ paths
        y = y + y
    y.backward()
    assert x.grad.item() == 2.0**60


def test_backward_adds_to_grad_and_grad_leaves_it_alone():
    x = leaf([1.0, 2.0])
    (x * 3).sum().backward()
    (x * 4).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [7, 7])
    (g,) = mg.grad((x * 5).sum(), x)
    np.testing.assert_array_equal(g.numpy(), [5, 5])
    np.testing.assert_array_equal(x.grad.numpy(), [7, 7])


def test_an_intermediate_result_may_be_used_after_the_output_was_made():
    x = leaf(2.0)
    y = x * x
    z = y * 3
    w = y * z  # y is older than z, and used by both
    w.backward()
    assert x.grad.item() == pytest.approx(3 * 4 * 2.0**3)


def test_a_leaf_is_its_own_output():
    x = leaf(2.0)
    x.backward()
    assert x.grad.item() == 1
    assert mg.grad(x, x)[0].item() == 1


# -- any order --------------------------------------------------------------------------------------------


def test_fourth_derivative_of_sin():
    found = derivatives(lambda x: x.sin(), 0.7, 4)
    s, c = np.sin(0.7), np.cos(0.7)
    np.testing.assert_allclose(found, [s, c, -s, -c, s], rtol=1e-14)


def test_derivatives_of_x_to_the_x():
    x = 1.3
    found = derivatives(lambda x: x**x, x, 3)
    f, u = x**x, np.log(x) + 1  # f′ = f·u,  f″ = f·(u² + 1/x),  f‴ = f·(u³ + 3u/x − 1/x²)
    expected = [f, f * u, f * (u**2 + 1 / x), f * (u**3 + 3 * u / x - 1 / x**2)]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_sixth_derivative_of_exp_of_a_square():
    # dⁿ/dxⁿ e^{x²} = Hₙ(x) e^{x²} with H₆(x) = 64x⁶ + 480x⁴ + 720x² + 120
    x = 0.6
    found = derivatives(lambda x: (x * x).exp(), x, 6)
    assert found[6] == pytest.approx((64 * x**6 + 480 * x**4 + 720 * x**2 + 120) * np.exp(x * x), rel=1e-12)


def test_tanh_whose_rule_saves_its_output():
    x = 0.4
    found = derivatives(lambda x: x.tanh(), x, 3)
    t = np.tanh(x)
    np.testing.assert_allclose(found[1:], [1 - t**2, -2 * t * (1 - t**2), (1 - t**2) * (6 * t**2 - 2)], rtol=1e-12)


def test_gradient_of_a_gradient_norm():
    x = leaf([1.0, -2.0, 0.5])
    (g,) = mg.grad((x * x * x).sum(), x, create_graph=True)
    (g * g).sum().backward()  # Σ 9x⁴ → 36x³
    np.testing.assert_allclose(x.grad.numpy(), 36 * x.detach().numpy() ** 3)


def test_backward_with_create_graph_gives_a_grad_that_can_be_differentiated():
    x = leaf(3.0)
    (x * x * x).backward(create_graph=True)
    assert x.grad.requires_grad
    (h,) = mg.grad(x.grad, x)
    assert h.item() == pytest.approx(18.0)
    assert x.grad.item() == pytest.approx(27.0)


def test_create_graph_through_two_backward_calls_adds_recorded_gradients():
    x = leaf(3.0)
    (x * x).backward(create_graph=True)
    (x * x * x).backward(create_graph=True)
    assert x.grad.item() == pytest.approx(6 + 27)
    assert mg.grad(x.grad, x)[0].item() == pytest.approx(2 + 18)


def test_derivative_by_the_cotangent():
    x, v = random(3), random(3, seed=1)
    (g,) = mg.grad(x.exp(), x, v, create_graph=True)
    (back,) = mg.grad(g.sum(), v)
    np.testing.assert_allclose(back.numpy(), np.exp(x.detach().numpy()))


def test_hessian_vector_products_agree_with_the_hessian():
    x = random(4)
    v = random(4, seed=1, requires_grad=False)
    a = random(4, 4, seed=2, requires_grad=False)
    y = (x * (a @ x)).sum().exp() * 0.01

    (g,) = mg.grad(y, x, create_graph=True)
    rows = [mg.grad(g, x, mg.Tensor(np.eye(4)[i]), retain_graph=True)[0].numpy() for i in range(4)]
    (hv,) = mg.grad(g, x, v)
    np.testing.assert_allclose(np.stack(rows), np.stack(rows).T, rtol=1e-12)
    np.testing.assert_allclose(hv.numpy(), np.stack(rows) @ v.numpy(), rtol=1e-12)


def test_create_graph_inside_no_grad_records():
    x = leaf([3.0, 1.0])
    v = leaf([1.0, 2.0])
    y = (x * v).sum()
    plain = x + 0  # its rule hands the cotangent through
    with mg.no_grad():
        (g,) = mg.grad(y, x, create_graph=True)
        (h,) = mg.grad(plain, x, v, create_graph=True)
    np.testing.assert_array_equal(mg.grad(g.sum(), v)[0].numpy(), [1, 1])
    np.testing.assert_array_equal(mg.grad(h.sum(), v)[0].numpy(), [1, 1])


@pytest.mark.parametrize(
    "norm",
    [
        lambda x, w: mg.nn.functional.batch_norm(x, None, None, w, None, training=True, eps=0.1),
        lambda x, w: mg.nn.functional.layer_norm(x, (4,), w, eps=0.1),
        lambda x, w: mg.nn.functional.group_norm(x, 2, w, eps=0.1),
        lambda x, w: mg.nn.functional.cross_entropy(x * w, mg.tensor([0, 1, 2, 3, 0])),
        lambda x, w: mg.nn.functional.softmax(x * w, 1),
    ],
    ids=["batch_norm", "layer_norm", "group_norm", "cross_entropy", "softmax"],
)
def test_third_derivatives_of_fused_ops(norm):
    """Of ⟨u, ∇⟨v, f⟩⟩ and so on: by differences of the second, and like the composed form."""
    x, w = random(5, 4), random(4, seed=1)

    def gradient_of(function, seed):
        def gradient(x, w):
            y = function(x, w)
            pairs = y if isinstance(y, tuple) else (y,)
            vs = [random(*p.shape, seed=seed, requires_grad=False) for p in pairs]
            return mg.grad(pairs, [x, w], vs, create_graph=True)

        return gradient

    second = gradient_of(gradient_of(norm, 2), 3)
    assert mg.autograd.gradcheck(second, [x, w])
    third = gradient_of(second, 4)
    fused = third(x, w)
    with mg.composed():
        composed = third(x, w)
    for a, b in zip(fused, composed, strict=True):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-9, atol=1e-11)


# -- grad: inputs, outputs, unused ------------------------------------------------------------------------


def test_grad_by_an_intermediate_result():
    x = leaf([1.0, 2.0])
    y = x * 3
    z = (y * y).sum()
    gy, gx = mg.grad(z, [y, x])
    np.testing.assert_allclose(gy.numpy(), 2 * np.array([3.0, 6.0]))
    np.testing.assert_allclose(gx.numpy(), 6 * np.array([3.0, 6.0]))


def test_grad_by_an_intermediate_result_leaves_the_graph_below_it_alone():
    x = leaf([1.0, 2.0])
    h = (x * 1).exp()
    (gh,) = mg.grad((h * h).sum(), h)
    np.testing.assert_allclose(gh.numpy(), 2 * h.array)
    h.sum().backward()  # what exp saved is still there
    np.testing.assert_allclose(x.grad.numpy(), h.array)


def test_grad_by_the_output_itself():
    x = leaf([1.0, 2.0])
    y = x * 3
    v = mg.Tensor(np.array([5.0, 6.0]))
    np.testing.assert_array_equal(mg.grad(y, y, v)[0].numpy(), [5, 6])


def test_grad_of_several_outputs_adds_up():
    x = leaf([1.0, 2.0])
    y, z = x * 2, x * x
    (g,) = mg.grad([y, z], x, [mg.Tensor(np.array([1.0, 10.0])), mg.Tensor(np.array([100.0, 1000.0]))])
    np.testing.assert_allclose(g.numpy(), [2 + 200, 20 + 4000])


def test_grad_when_one_output_is_computed_from_another():
    x = leaf(2.0)
    y = x * x
    z = y * y
    (g,) = mg.grad([y, z], x)
    assert g.item() == pytest.approx(2 * 2 + 4 * 8)


def test_the_same_input_twice():
    x = leaf([1.0, 2.0])
    a, b = mg.grad((x * x).sum(), [x, x])
    a.mul_(0)
    np.testing.assert_allclose(b.numpy(), [2, 4])


def test_unused_input():
    x, unused = leaf([1.0]), leaf([1.0])
    with pytest.raises(RuntimeError, match=r"grad: inputs\[1\].*allow_unused=True"):
        mg.grad((x * 2).sum(), [x, unused])
    g, none = mg.grad((x * 2).sum(), [x, unused], allow_unused=True)
    assert none is None
    assert g.item() == 2


def test_an_op_is_not_asked_for_gradients_that_nobody_wants():
    asked = []

    class Product(mg.Function):
        def forward(self, x, y):
            self.save_for_backward(x, y)
            return x * y

        def backward(self, g):
            x, y = self.saved
            asked.append((self.needs(0), self.needs(1)))
            return g * y, g * x

    x, y = leaf(2.0), leaf(3.0)
    mg.grad(Product()(x, y), x)
    Product()(x, mg.Tensor(np.array(3.0))).backward()
    Product()(x, y).backward()
    assert asked == [(True, False), (True, False), (True, True)]


def test_grad_does_not_run_rules_that_lead_nowhere():
    class Untouchable(mg.Function):
        def forward(self, x):
            return x + 0

        def backward(self, g):
            raise AssertionError("this rule is not needed")

    x, y = leaf(2.0), leaf(3.0)
    (g,) = mg.grad(x * 2 + Untouchable()(y), x)
    assert g.item() == 2


def test_grad_asks_for_tensors_that_require_a_gradient():
    x, plain = leaf(2.0), mg.Tensor(np.array(2.0))
    with pytest.raises(RuntimeError, match=r"inputs\[0\] does not require a gradient"):
        mg.grad(x * plain, plain)
    with pytest.raises(TypeError, match=r"inputs\[0\] must be a Tensor, not float"):
        mg.grad(x * 2, [2.0])
    with pytest.raises(TypeError, match=r"outputs\[0\] must be a Tensor"):
        mg.grad([np.zeros(1)], x)
    with pytest.raises(ValueError, match="2 outputs, but 1 grad_outputs"):
        mg.grad([x * 2, x * 3], x, [None])


# -- where gradients start --------------------------------------------------------------------------------


def test_backward_of_something_without_a_graph():
    with pytest.raises(RuntimeError, match="does not require a gradient and has no graph"):
        mg.Tensor(np.array(1.0)).backward()
    x = leaf(1.0)
    with mg.no_grad():
        y = x * 2
    with pytest.raises(RuntimeError, match="no_grad"):
        y.backward()


def test_backward_of_many_elements_needs_a_gradient():
    with pytest.raises(RuntimeError, match=r"must have one element, and it has shape \(2,\)"):
        (leaf([1.0, 2.0]) * 2).backward()


def test_cotangent_of_the_wrong_shape():
    y = leaf([1.0, 2.0]) * 2
    with pytest.raises(RuntimeError, match=r"gradient has shape \(3,\), and the tensor \(2,\)"):
        y.backward(mg.Tensor(np.ones(3)))
    with pytest.raises(RuntimeError, match=r"gradient has shape \(1, 2\), and the tensor \(2,\)"):
        mg.grad(y, y, mg.Tensor(np.ones((1, 2))))  # it would broadcast, and is wrong all the same


def test_cotangent_of_another_dtype_is_converted():
    x = leaf([1.0, 2.0], dtype="float32")
    (x * 2).backward(mg.Tensor(np.array([1.0, 2.0])))
    assert x.grad.dtype == np.float32
    x.grad = None
    (x * 2).backward(np.array([1, 2]))
    np.testing.assert_array_equal(x.grad.numpy(), [2, 4])


def test_one_element_of_any_shape_needs_no_gradient():
    x = leaf([[2.0]])
    (x * x).backward()
    np.testing.assert_array_equal(x.grad.numpy(), [[4.0]])


def test_empty_tensors_go_backward():
    x = mg.Tensor(np.zeros((0, 3)), requires_grad=True)
    (x * 2).sum().backward()
    assert x.grad.shape == (0, 3)


def test_integers_have_no_gradient():
    with pytest.raises(TypeError, match=r"only floating-point.*int64.*x\.float\(\)"):
        mg.Tensor(np.arange(3), requires_grad=True)
    with pytest.raises(TypeError, match="only floating-point"):
        mg.Tensor(np.array([True])).requires_grad_()
    x = leaf([1.0, 2.0])
    assert not (x > 1).requires_grad
    assert not x.astype("int64").requires_grad


def test_only_leaves_can_be_switched_off():
    x = leaf([1.0, 2.0])
    y = x * 2
    with pytest.raises(RuntimeError, match=r"requires_grad_\(False\) on the output of Mul.*detach"):
        y.requires_grad_(False)
    x.requires_grad_(False)
    assert not (x * 2).requires_grad


def test_gradients_have_the_dtype_of_their_tensor():
    x, y = leaf([1.0, 2.0], dtype="float32"), leaf([3.0, 4.0])
    (x * y).sum().backward()
    assert x.grad.dtype == np.float32
    assert y.grad.dtype == np.float64


# -- graphs that were freed -------------------------------------------------------------------------------


def test_second_backward_through_a_freed_graph():
    x = leaf([1.0, 2.0])
    y = x.exp().sum()
    y.backward()
    with pytest.raises(RuntimeError, match=r"Exp: .*freed.*retain_graph=True"):
        y.backward()


def test_retain_graph_allows_it():
    x = leaf([1.0, 2.0])
    y = x.exp().sum()
    y.backward(retain_graph=True)
    y.backward()
    np.testing.assert_allclose(x.grad.numpy(), 2 * np.exp([1.0, 2.0]))
    with pytest.raises(RuntimeError, match="freed"):
        y.backward()


def test_create_graph_retains_unless_told_otherwise():
    x = leaf([1.0, 2.0])
    y = x.exp().sum()
    mg.grad(y, x, create_graph=True)
    mg.grad(y, x, create_graph=True, retain_graph=False)
    with pytest.raises(RuntimeError, match="freed"):
        mg.grad(y, x)


def test_two_outputs_of_one_graph():
    x = leaf([1.0, 2.0])
    e = x.exp()
    a, b = e.sum(), (e * 2).sum()
    a.backward()
    with pytest.raises(RuntimeError, match="freed"):
        b.backward()


# -- changes in place -------------------------------------------------------------------------------------


def changes(x: mg.Tensor) -> dict[str, Any]:
    def by_index():
        x[0] = 5.0

    def through_detach():
        x.detach().add_(1.0)

    def through_a_view():
        with mg.no_grad():
            x.reshape(-1)[0:1].mul_(2.0)

    def through_a_view_of_detach():
        x.detach().reshape(-1, 1).transpose(0, 1).fill_(0.0)

    return {
        "by index": by_index,
        "add_": lambda: x.add_(1.0),
        "sub_": lambda: x.sub_(1.0),
        "mul_": lambda: x.mul_(2.0),
        "div_": lambda: x.div_(2.0),
        "copy_": lambda: x.copy_(mg.Tensor(np.zeros(x.shape))),
        "zero_": lambda: x.zero_(),
        "fill_": lambda: x.fill_(3.0),
        "clamp_": lambda: x.clamp_(0.0, 0.5),
        "through detach": through_detach,
        "through a view": through_a_view,
        "through a view of detach": through_a_view_of_detach,
    }


@pytest.mark.parametrize("how", changes(leaf([1.0])).keys())
def test_a_change_of_a_saved_value_is_noticed(how):
    x = leaf([0.5, 1.5])
    y = (x * x).sum()
    with mg.no_grad():
        changes(x)[how]()
    with pytest.raises(RuntimeError, match=r"Mul: .*changed in place.*clone"):
        y.backward()


def test_a_change_of_a_saved_output_is_noticed():
    x = leaf([0.5, 1.5])
    y = x.exp()
    y.detach().zero_()
    with pytest.raises(RuntimeError, match=r"Exp: .*changed in place"):
        y.sum().backward()


def test_a_change_of_a_constant_operand_is_noticed():
    x, c = leaf([0.5, 1.5]), mg.Tensor(np.array([1.0, 2.0]))
    y = (x * c).sum()
    c.add_(1)
    with pytest.raises(RuntimeError, match=r"Mul: .*changed in place"):
        y.backward()


def test_data_set_to_another_array_does_not_mix_old_and_new_values():
    x = leaf([1.0, 2.0])
    y = (x**3).sum()
    x.array = np.array([10.0, 20.0])
    with pytest.raises(RuntimeError, match=r"the \.data of a leaf was set to another array"):
        mg.grad(y, x, create_graph=True)
    np.testing.assert_allclose(mg.grad(y, x)[0].numpy(), [3, 12])  # the old values were saved


def test_a_change_of_something_that_no_rule_needs_is_allowed():
    x, c = leaf([0.5, 1.5]), mg.Tensor(np.array([1.0, 2.0]))
    y = (x + c).sum()
    c.add_(1)
    y.backward()
    np.testing.assert_array_equal(x.grad.numpy(), [1, 1])


def test_a_change_of_a_clone_is_allowed():
    x = leaf([0.5, 1.5])
    y = (x * x).sum()
    x.detach().clone().zero_()
    y.backward()
    np.testing.assert_allclose(x.grad.numpy(), [1, 3])


INDICES = np.array([0, 2, 2, 1])
MASK = np.array([[True, False, True, False]] * 2 + [[False, False, True, True]] * 2)
SIDE_INPUTS = {
    "index": (lambda x, a: x[a], INDICES),
    "mask as index": (lambda x, a: x[a], MASK),
    "gather": (lambda x, a: x.gather(1, a), np.stack([INDICES] * 4)),
    "index_select": (lambda x, a: mg.index_select(x, 0, a), INDICES),
    "embedding": (lambda x, a: mg.nn.functional.embedding(a, x), INDICES),
    "where": (lambda x, a: mg.where(a, x, x * 2), MASK),
    "masked_fill": (lambda x, a: x.masked_fill(a, 0.0), MASK),
    "cross_entropy": (lambda x, a: mg.nn.functional.cross_entropy(x, a), INDICES),
    "nll_loss": (lambda x, a: mg.nn.functional.nll_loss(x, a), INDICES),
    "class weights": (
        lambda x, a: mg.nn.functional.cross_entropy(x, mg.tensor(INDICES), weight=a),
        np.array([0.1, 0.2, 0.3, 0.4]),
    ),
    "probabilities": (lambda x, a: mg.nn.functional.cross_entropy(x, a), np.linspace(0, 1, 16).reshape(4, 4)),
    "mse_loss": (lambda x, a: mg.nn.functional.mse_loss(x, a), np.linspace(0, 1, 16).reshape(4, 4)),
    "bce": (
        lambda x, a: mg.nn.functional.binary_cross_entropy_with_logits(x, a),
        np.linspace(0, 1, 16).reshape(4, 4),
    ),
    "attention mask": (lambda x, a: mg.nn.functional.scaled_dot_product_attention(x, x, x, attn_mask=a), MASK),
    "running mean": (
        lambda x, a: mg.nn.functional.batch_norm(x, a, mg.ones(4, dtype="float64")),
        np.array([1.0, 2.0, 3.0, 4.0]),
    ),
}


@pytest.mark.parametrize("name", SIDE_INPUTS)
def test_a_change_of_what_has_no_gradient_itself_is_never_silently_wrong(name):
    """Indices, masks, targets: a change of them after the forward pass is an error, or makes no difference."""
    function, values = SIDE_INPUTS[name]
    gradients = []
    for changed in (False, True):
        x, a = random(4, 4), mg.tensor(values.copy())
        y = function(x, a)
        if changed:
            a.copy_(np.roll(values, 1))
        try:
            y.backward(random(*y.shape, seed=1, requires_grad=False))
        except RuntimeError as error:
            assert changed
            assert "changed in place" in str(error)
            return
        gradients.append(x.grad.numpy())
    np.testing.assert_array_equal(*gradients)


def test_a_step_of_the_optimizer_is_noticed_and_running_statistics_are_not():
    model = mg.nn.Sequential(mg.nn.Linear(3, 4), mg.nn.BatchNorm1d(4), mg.nn.Linear(4, 2))
    optimizer = mg.optim.SGD(model.parameters(), lr=0.1)
    x = mg.ones(5, 3) * mg.arange(5).float().reshape(5, 1)
    first, second = model(x).sum(), model(x).sum()  # the second call moves the running statistics
    first.backward()
    optimizer.step()
    with pytest.raises(RuntimeError, match="changed in place"):
        second.backward()


def test_a_reshape_that_had_to_copy_is_no_view():
    x = leaf([[0.5, 1.5], [2.5, 3.5]])
    y = (x * x).sum()
    with mg.no_grad():
        x.transpose(0, 1).reshape(-1).zero_()
    y.backward()
    np.testing.assert_allclose(x.grad.numpy(), [[1, 3], [5, 7]])


def test_a_leaf_that_requires_a_gradient_is_not_changed_unnoticed():
    x = leaf([0.5, 1.5])
    for change in changes(x).values():
        if change.__name__ == "<lambda>" or change.__name__ == "by_index":
            with pytest.raises(RuntimeError, match=r"a leaf that requires a gradient cannot be changed in place"):
                change()
    np.testing.assert_array_equal(x.detach().numpy(), [0.5, 1.5])


def test_a_change_in_place_that_needs_a_gradient_is_recorded():
    x, w = leaf([0.5, 1.5]), leaf([2.0, 3.0])
    y = x.exp()  # its rule keeps its output
    kept = y
    y.add_(w, alpha=2)
    y.mul_(x)
    y.sub_(1)
    y.div_(w)
    y.clamp_(max=1.5)
    y[0] += w[1]
    assert y is kept
    e, a, b = np.exp([0.5, 1.5]), np.array([0.5, 1.5]), np.array([2.0, 3.0])
    expected = ((e + 2 * b) * a - 1) / b
    assert expected[0] < 1.5 < expected[1]
    np.testing.assert_allclose(y.detach().numpy(), [expected[0] + 3, 1.5])
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [(e[0] * (1 + a[0]) + 2 * b[0]) / b[0], 0])
    np.testing.assert_allclose(w.grad.numpy(), [(1 - e[0] * a[0]) / b[0] ** 2, 1])


def test_writing_a_tensor_with_a_gradient_into_an_integer_one_is_refused():
    x = leaf([0.5, 1.5])
    with pytest.raises(RuntimeError, match="would lose it"):
        mg.zeros(2, dtype=mg.int64)[:] = x


# -- no_grad, enable_grad, detach -------------------------------------------------------------------------


def test_no_grad_records_nothing():
    x = leaf([1.0, 2.0])
    with mg.no_grad():
        assert not mg.is_grad_enabled()
        y = x * 2
    assert mg.is_grad_enabled()
    assert y.grad_fn is None
    assert not y.requires_grad


def test_modes_nest_and_survive_errors():
    x = leaf([1.0])
    with mg.no_grad():
        with mg.enable_grad():
            assert (x * 2).requires_grad
            with mg.no_grad():
                assert not (x * 2).requires_grad
            assert (x * 2).requires_grad
        assert not (x * 2).requires_grad
    with pytest.raises(KeyError), mg.no_grad():
        raise KeyError
    assert mg.is_grad_enabled()


def test_one_switch_may_be_entered_inside_itself():
    switch = mg.no_grad()
    with switch:
        with mg.enable_grad(), switch:
            assert not mg.is_grad_enabled()
        assert not mg.is_grad_enabled()
    assert mg.is_grad_enabled()


def test_no_grad_as_a_decorator():
    x = leaf([1.0])

    @mg.no_grad()
    def twice(x):
        """Its docstring."""
        return x * 2

    assert twice.__name__ == "twice"
    assert twice.__doc__ == "Its docstring."
    for _ in range(2):
        assert not twice(x).requires_grad
        assert mg.is_grad_enabled()


def test_no_grad_on_a_generator_function_holds_inside_it_only():
    x = leaf([1.0])

    @mg.no_grad()
    def steps():
        sent = yield (x * 2).requires_grad
        yield (x * sent).requires_grad
        return (x * 3).requires_grad

    generator = steps()
    assert next(generator) is False
    assert mg.is_grad_enabled()  # between the steps the caller's mode holds
    assert generator.send(3.0) is False
    assert mg.is_grad_enabled()
    with pytest.raises(StopIteration) as stop:
        next(generator)
    assert stop.value.value is False
    assert mg.is_grad_enabled()


def test_set_grad_enabled_works_at_once_and_as_a_block():
    try:
        mg.set_grad_enabled(False)
        assert not mg.is_grad_enabled()
    finally:
        mg.set_grad_enabled(True)
    assert mg.is_grad_enabled()
    for mode in (True, False):
        with mg.set_grad_enabled(mode):
            assert mg.is_grad_enabled() is mode
        assert mg.is_grad_enabled()

    @mg.set_grad_enabled(False)
    def enabled():
        return mg.is_grad_enabled()

    assert mg.is_grad_enabled()
    assert not enabled()
    assert mg.is_grad_enabled()


def test_detach_cuts_the_graph_and_shares_memory():
    x = leaf([1.0, 2.0])
    y = x * 2
    d = y.detach()
    assert not d.requires_grad
    assert d.is_leaf
    assert np.shares_memory(d.numpy(), y.array)
    (y * d).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 2 * d.numpy())  # d counts as a constant


def test_numpy_of_a_tensor_in_the_graph():
    with pytest.raises(RuntimeError, match=r"t\.detach\(\)\.numpy\(\)"):
        leaf([1.0]).numpy()


def test_backward_works_inside_no_grad():
    x = leaf([1.0, 2.0])
    y = (x * x).sum()
    with mg.no_grad():
        y.backward()
    np.testing.assert_allclose(x.grad.numpy(), [2, 4])
    assert not x.grad.requires_grad


# -- hooks and retain_grad --------------------------------------------------------------------------------


def test_a_hook_on_a_leaf_sees_the_whole_gradient_once():
    x = leaf([1.0, 2.0])
    seen = []
    x.register_hook(lambda g: seen.append(g.numpy().copy()))
    (x * 2 + x * 3).sum().backward()
    assert len(seen) == 1
    np.testing.assert_array_equal(seen[0], [5, 5])


def test_a_hook_may_replace_the_gradient():
    x = leaf([1.0, 2.0])
    y = x * 2
    y.register_hook(lambda g: g * 10)
    y.register_hook(lambda g: g + 1)  # in the order of registration
    (y * 3).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [62, 62])


def test_a_removed_hook_does_not_run():
    x = leaf([1.0])
    seen = []
    first, second = x.register_hook(seen.append), x.register_hook(seen.append)
    first.remove()
    first.remove()  # twice is harmless, and does not take the other one off
    x.sum().backward()
    assert len(seen) == 1
    second.remove()
    with x.register_hook(seen.append):
        x.sum().backward()
    x.sum().backward()
    assert len(seen) == 2


def test_a_hook_may_remove_itself():
    x = leaf([1.0])
    seen = []

    def once(g):
        seen.append(g)
        handle.remove()

    handle = x.register_hook(once)
    other = []
    x.register_hook(other.append)
    x.sum().backward()
    x.sum().backward()
    assert (len(seen), len(other)) == (1, 2)


def test_hooks_act_before_grad_reads_its_inputs():
    x = leaf([1.0])
    y = x * 2
    y.register_hook(lambda g: g * 10)
    gy, gx = mg.grad((y * 3).sum(), [y, x])
    assert gy.item() == 30
    assert gx.item() == 60


def test_hooks_get_tensors_of_the_graph_when_the_pass_is_recorded():
    x = leaf(2.0)
    y = x * x
    y.register_hook(lambda g: g * x)
    (g,) = mg.grad(y, x, create_graph=True)  # 2x·x
    assert g.item() == pytest.approx(8)
    assert mg.grad(g, x)[0].item() == pytest.approx(8)  # 4x


def test_a_hook_that_changes_its_argument_harms_nobody():
    x, y = leaf([1.0]), leaf([1.0])
    z = x + y  # both get the same array
    x.register_hook(lambda g: g.zero_() and None)
    z.sum().backward()
    assert y.grad.item() == 1


def test_a_hook_that_returns_the_wrong_shape():
    x = leaf([1.0, 2.0])
    x.register_hook(lambda g: g.sum())
    with pytest.raises(RuntimeError, match=r"a hook changed a gradient of float64\[2\] into one of float64\[\]"):
        (x * 2).sum().backward()


def test_a_hook_where_no_gradient_flows():
    with pytest.raises(RuntimeError, match="requires no gradient"):
        mg.Tensor(np.array(1.0)).register_hook(print)


def test_an_error_in_a_hook_passes_through_and_leaves_the_modes_alone():
    x = leaf([1.0])
    y = x * 2

    def fail(g):
        raise KeyError("from the hook")

    y.register_hook(fail)
    with pytest.raises(KeyError, match="from the hook"):
        y.sum().backward()
    assert mg.is_grad_enabled()
    z = x * x
    z.sum().backward()  # and the next pass is an ordinary one
    assert not x.grad.requires_grad


def test_retain_grad():
    x = leaf([1.0, 2.0])
    y = x * 2
    y.retain_grad()
    y.retain_grad()  # twice is harmless
    (y * y).sum().backward(retain_graph=True)
    np.testing.assert_allclose(y.grad.numpy(), [4, 8])
    (y * 1).sum().backward()
    np.testing.assert_allclose(y.grad.numpy(), [5, 9])
    x.retain_grad()  # a leaf keeps its gradient anyway
    assert (x * 2).grad is None


def test_retain_grad_keeps_what_the_hooks_made_of_it():
    y = leaf([1.0, 2.0]) * 2
    y.retain_grad()
    y.register_hook(lambda g: g * 10)
    y.sum().backward()
    np.testing.assert_allclose(y.grad.numpy(), [10, 10])


def test_retain_grad_where_no_gradient_flows():
    with pytest.raises(RuntimeError, match="requires no gradient"):
        mg.Tensor(np.array(1.0)).retain_grad()


# -- what belongs to whom ---------------------------------------------------------------------------------


@pytest.mark.parametrize("create_graph", [False, True])
def test_two_leaves_never_share_the_memory_of_their_gradients(create_graph):
    x, y = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    (x + y).backward(mg.Tensor(np.array([1.0, 2.0])), create_graph=create_graph)
    assert not np.shares_memory(x.grad.array, y.grad.array)
    a, b = mg.grad(x + y, [x, y], mg.Tensor(np.array([1.0, 2.0])), create_graph=create_graph)
    assert not np.shares_memory(a.array, b.array)


@pytest.mark.parametrize("create_graph", [False, True])
def test_the_users_gradient_is_not_kept(create_graph):
    x = leaf([1.0, 2.0])
    v = mg.Tensor(np.array([1.0, 2.0]))
    (x + 0).backward(v, create_graph=create_graph)
    x.backward(v, create_graph=create_graph)
    assert not np.shares_memory(x.grad.array, v.array)
    (g,) = mg.grad(x, x, v, create_graph=create_graph)
    assert not np.shares_memory(g.array, v.array)
    np.testing.assert_array_equal(v.numpy(), [1, 2])


@pytest.mark.parametrize(
    "view",
    [
        lambda x: x.sum(),
        lambda x: x.reshape(-1).sum(),
        lambda x: x.expand(3, 2, 2).sum(),
        lambda x: x.transpose(0, 1).sum(),
    ],
)
def test_gradients_can_be_written_to(view):
    x, y = leaf([[1.0, 2.0], [3.0, 4.0]]), leaf([[1.0, 2.0], [3.0, 4.0]])
    (view(x) + view(y)).backward()
    expected = y.grad.numpy().copy()
    x.grad.mul_(0)
    np.testing.assert_array_equal(y.grad.numpy(), expected)
    assert x.grad.numpy().flags.writeable


def test_a_grad_that_the_user_set_is_added_to():
    x = leaf([1.0, 2.0])
    x.grad = mg.ones(1, dtype="float64").expand(2)  # memory that cannot be written to
    (x * 2).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [3, 3])
    x.grad = mg.ones(3, 2, dtype="float64")  # it would broadcast
    with pytest.raises(RuntimeError, match=r"shape \(2,\) had its \.grad set to one of shape \(3, 2\)"):
        (x * 2).sum().backward()


def test_incoming_cotangents_are_not_modified():
    x = leaf([1.0, 2.0])
    v = np.array([1.0, 2.0])
    y = (x + x) + x * 3
    y.backward(mg.Tensor(v))
    y = (x + x) + x * 3
    y.backward(mg.Tensor(v))
    np.testing.assert_array_equal(v, [1, 2])


def test_a_leaf_can_be_copied_and_pickled():
    x = leaf([1.0, 2.0])
    (x * x).sum().backward()
    for twin in (copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        assert twin.requires_grad
        np.testing.assert_array_equal(twin.array, x.array)
        twin.detach().zero_()
        np.testing.assert_array_equal(x.detach().numpy(), [1, 2])


def test_what_is_in_a_graph_is_neither_deep_copied_nor_pickled():
    # A copy's gradients would go to leaves that nobody holds; and in another process its graph would seem younger
    # than what is computed from it, and get none.
    y = (leaf([1.0, 2.0]) * 2).exp()
    for copying in (copy.deepcopy, pickle.dumps):
        with pytest.raises(RuntimeError, match=r"Exp: .*copied or pickled.*detach"):
            copying({"cached": y})
    assert copy.deepcopy(y.detach()).tolist() == y.tolist()
    assert copy.deepcopy(Cube()) is not None  # not applied: there is no graph
    model = mg.nn.Linear(2, 2)
    twin = copy.deepcopy(model)
    assert type(twin.weight) is type(model.weight)
    assert not np.shares_memory(twin.weight.array, model.weight.array)


# -- ops of one's own -------------------------------------------------------------------------------------


class Careless(mg.Function):
    def __init__(self, value: Any, gradient: Any = None):
        self.value, self.gradient = value, gradient

    def forward(self, x):
        return x.copy() if self.value is Ellipsis else self.value

    def backward(self, g):
        return self.gradient


@pytest.mark.parametrize("value", [None, {}, "text", [np.zeros(3)], np.array(1j)[()]])
def test_forward_that_returns_no_array(value):
    with pytest.raises(TypeError, match=r"Careless\.forward returned a .* must return an array"):
        Careless(value)(leaf([1.0, 2.0]))


@pytest.mark.parametrize("gradient", [1.0, [np.zeros(2)], "text"])
@pytest.mark.parametrize("create_graph", [False, True])
def test_backward_that_returns_no_array(gradient, create_graph):
    y = Careless(..., gradient)(leaf([1.0, 2.0])).sum()
    with pytest.raises(TypeError, match=r"Careless\.backward returned a \w+ as the gradient of input 0; .*\(2,\)"):
        y.backward(create_graph=create_graph)


def test_an_op_of_ones_own_at_every_order():
    x = random(3)
    assert mg.autograd.gradcheck(lambda x: Cube()(x), x)
    assert mg.autograd.gradgradcheck(lambda x: Cube()(x), x)
    assert derivatives(lambda x: Cube()(x), 2.0, 3) == pytest.approx([8, 12, 12, 6])


def test_a_rule_gets_zeros_for_outputs_that_nobody_used():
    x = leaf([1.0, 2.0, 3.0, 4.0])
    op = Halves()
    first, second = op(x)
    (first * 5).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [5, 5, 0, 0])
    np.testing.assert_array_equal(op.seen[1], [0, 0])
    assert second.requires_grad


def test_several_outputs_at_second_order():
    x = random(4)
    function = lambda x: (lambda a, b: a * a * b)(*Halves()(x))  # noqa: E731
    assert mg.autograd.gradcheck(function, x)
    assert mg.autograd.gradgradcheck(function, x)
    assert mg.autograd.gradgradcheck(lambda x: Halves()(x * x)[1], x)


def test_grad_by_one_of_several_outputs():
    x = leaf([1.0, 2.0, 3.0, 4.0])
    first, second = Halves()(x)
    a, b = mg.grad((first * second).sum(), [second, first])
    np.testing.assert_array_equal(a.numpy(), [1, 2])
    np.testing.assert_array_equal(b.numpy(), [3, 4])


def test_an_integer_output_has_no_gradient():
    class Sorted(mg.Function):
        def forward(self, x):
            self.order_of = np.argsort(x)
            return x[self.order_of], self.order_of

        def backward(self, g, _):
            return g[np.argsort(self.order_of)]

    x = leaf([3.0, 1.0, 2.0])
    values, indices = Sorted()(x)
    assert values.requires_grad
    assert not indices.requires_grad
    (values * mg.Tensor(np.array([1.0, 10.0, 100.0]))).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [100, 1, 10])


def test_a_rule_of_the_wrong_shape_names_its_op():
    class Flattening(Cube):
        def backward(self, g):
            return g.sum()

    with pytest.raises(RuntimeError, match=r"Flattening\.backward: the gradient of input 0 has shape \(\), the input"):
        Flattening()(leaf([1.0, 2.0])).sum().backward()


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_rule_with_the_wrong_number_of_gradients(count):
    class Miscounting(mg.Function):
        def forward(self, x, y):
            return x + y

        def backward(self, g):
            return (g,) * count

    x, y = leaf([1.0]), leaf([2.0])
    with pytest.raises(RuntimeError, match=rf"Miscounting\.backward returned {count} gradients for 2 inputs"):
        Miscounting()(x, y).sum().backward()


def test_saving_an_intermediate_value_is_refused():
    class Caching(mg.Function):
        def forward(self, x):
            root = np.sqrt(x)
            self.save_for_backward(root)
            return root + 1

    with pytest.raises(RuntimeError, match=r"Caching: save_for_backward takes only inputs and outputs"):
        Caching()(leaf([1.0, 2.0]))


def test_an_op_without_a_rule():
    class OneWay(mg.Function):
        def forward(self, x):
            return x + 1

    with pytest.raises(NotImplementedError, match="OneWay has no derivative"):
        OneWay()(leaf([1.0])).sum().backward()
    with pytest.raises(NotImplementedError, match="Nothing has no forward"):
        type("Nothing", (mg.Function,), {})()(leaf([1.0]))


def test_an_op_object_is_for_one_call():
    cube = Cube()
    x, y = leaf([1.0]), leaf([2.0])
    cube(x)
    with pytest.raises(RuntimeError, match=r"Cube: .*Cube\(\.\.\.\)\(x\)"):
        cube(y)


class Made(mg.Function):
    """Gives back what it was made with, in forward and in backward."""

    def __init__(self, forward, backward):
        self.values = forward, backward

    def forward(self, x):
        return np.array(self.values[0])

    def backward(self, g):
        return np.array(self.values[1])


def test_integers_made_of_floats_have_no_gradient():
    x = leaf([1.0])
    with pytest.raises(TypeError, match=r"input 0 is int64.*comes from Made.*differentiable = False"):
        (Made([3], [1.0])(x) * 0.5).sum().backward()
    with pytest.raises(TypeError, match=r"backward: the tensor is int64"):
        Made([3], [1.0])(x).backward()
    with pytest.raises(TypeError, match=r"Made\.backward: the gradient of input 0 is complex128"):
        Made([3.0], [1j])(x).backward()


@pytest.mark.parametrize("again", [np.array([2.0]), mg.tensor([2.0], dtype=np.float64), leaf([2.0])])
def test_a_second_call_of_an_op_object_does_not_harm_the_first(again):
    cube, x = Cube(), leaf([1.0])
    y = cube(x)
    with pytest.raises(RuntimeError, match=r"Cube: .*applied before"), mg.no_grad():
        cube(again)
    y.backward()
    np.testing.assert_array_equal(x.grad.numpy(), [3.0])


def test_errors_in_forward_name_the_op_and_the_shapes():
    class Joined(mg.Function):
        def forward(self, x, y):
            return np.concatenate([x, y])

    with pytest.raises(ValueError, match=r"Joined: .*float64\[1, 2\], float64\[2\]"):
        Joined()(leaf([[1.0, 2.0]]), leaf([1.0, 2.0]))
    with pytest.raises(ValueError, match=r"Add: .*\[2\].*\[3\]"):
        leaf([1.0, 2.0]) + leaf([1.0, 2.0, 3.0])


def test_errors_in_a_rule_name_the_op():
    class Clumsy(Cube):
        def backward(self, g):
            return g + np.zeros(7)

    with pytest.raises(ValueError) as error:
        Clumsy()(leaf([1.0, 2.0])).sum().backward()
    assert any("Clumsy.backward" in note for note in error.value.__notes__)


def test_an_op_on_arrays_only_computes():
    y = Cube()(np.array([1.0, 2.0]))
    assert isinstance(y, np.ndarray)
    np.testing.assert_array_equal(y, [1, 8])


def test_an_output_that_is_the_input_itself():
    class Same(mg.Function):
        def forward(self, x):
            self.save_for_backward(x)
            return x

        def backward(self, g):
            return g

    x = leaf([1.0, 2.0])
    y = Same()(x)
    assert y is not x
    (y * y).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [2, 4])


# -- anomaly mode -----------------------------------------------------------------------------------------


def test_anomaly_mode_names_the_line_where_a_nan_was_born():
    x = leaf([1.0, -1.0])
    with mg.detect_anomaly(), pytest.raises(mg.autograd.AnomalyError) as error:
        y = x * 2
        z = y.log()  # the culprit
        z.sum()
    assert "Log" in str(error.value)
    assert "forward pass" in str(error.value)
    assert "z = y.log()  # the culprit" in str(error.value)
    assert __file__ in str(error.value)


def test_anomaly_mode_looks_at_the_backward_pass():
    x = leaf([0.0, 4.0])
    with mg.detect_anomaly():
        y = (x * 0).sqrt()  # infinite slope
        z = (y * 0).sum()
        with pytest.raises(mg.autograd.AnomalyError) as error:
            z.backward()
    message = str(error.value)
    assert "Sqrt" in message
    assert "backward pass" in message
    assert "y = (x * 0).sqrt()  # infinite slope" in message


def test_anomaly_mode_does_not_blame_an_op_for_a_nan_that_came_in():
    x = leaf([np.nan, 1.0])
    with mg.detect_anomaly():
        assert np.isnan((x * 2).array[0])


def test_anomaly_mode_does_not_blame_an_op_for_a_nan_in_the_cotangent():
    x = leaf([2.0, 1.0])
    with mg.detect_anomaly():
        (x * 3).exp().backward(mg.Tensor(np.array([np.nan, 1.0])))
    assert np.isnan(x.grad.numpy()).tolist() == [True, False]


def test_without_anomaly_mode_nan_passes():
    with np.errstate(invalid="ignore"):
        y = leaf([-1.0]).log()
    assert np.isnan(y.item())


# -- threads ----------------------------------------------------------------------------------------------


def in_threads(*functions: Any) -> list[Any]:
    results: list[Any] = [None] * len(functions)
    errors: list[BaseException] = []

    def call(i, function):
        try:
            results[i] = function()
        except BaseException as error:  # handed to the main thread
            errors.append(error)

    threads = [threading.Thread(target=call, args=pair) for pair in enumerate(functions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results


def test_no_grad_is_for_its_own_thread():
    x = leaf([1.0])
    entered, looked = threading.Event(), threading.Event()

    def without():
        with mg.no_grad():
            entered.set()
            assert looked.wait(10)
            return (x * 2).requires_grad

    def ordinary():
        assert entered.wait(10)
        recorded = (x * 2).requires_grad
        looked.set()
        return recorded

    assert in_threads(without, ordinary) == [False, True]


def test_one_decorated_function_in_two_threads():
    x = leaf([1.0])
    inside, go = threading.Barrier(2), threading.Event()

    @mg.no_grad()
    def slow(wait):
        inside.wait(10)
        if wait:
            assert go.wait(10)
        return (x * 2).requires_grad

    def first():
        result = slow(False)
        go.set()
        return result, mg.is_grad_enabled()

    def second():
        result = slow(True)
        return result, mg.is_grad_enabled()

    assert in_threads(first, second) == [(False, True), (False, True)]


def test_two_threads_train_networks_independently():
    def train(seed):
        rng = np.random.default_rng(seed)
        model = mg.nn.Sequential(
            mg.nn.Conv2d(1, 4, 3), mg.nn.BatchNorm2d(4), mg.nn.ReLU(), mg.nn.Flatten(), mg.nn.LayerNorm(64)
        )
        with mg.no_grad():
            for p in model.parameters():
                p.copy_(rng.standard_normal(p.shape).astype("float32"))
        optimizer = mg.optim.Adam(model.parameters())
        for _ in range(10):
            x = mg.tensor(rng.standard_normal((4, 1, 6, 6)).astype("float32"))
            loss = mg.nn.functional.cross_entropy(model(x), mg.tensor(rng.integers(0, 64, 4)))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return np.concatenate([p.detach().numpy().ravel() for p in model.parameters()])

    alone = [train(0), train(1)]
    together = in_threads(lambda: train(0), lambda: train(1))
    for a, b in zip(alone, together, strict=True):
        np.testing.assert_array_equal(a, b)


def test_two_threads_train_independently():
    def train(seed):
        w = random(4, 4, seed=seed)
        for _ in range(50):
            w.grad = None
            y = w @ w
            (g,) = mg.grad((y * y).sum(), w, create_graph=True)
            ((g * g).sum() * 1e-4 + (y * y).sum()).backward()
            with mg.no_grad():
                w.sub_(w.grad, alpha=1e-3)
        return w.detach().numpy()

    alone = [train(0), train(1)]
    together = in_threads(lambda: train(0), lambda: train(1))
    for a, b in zip(alone, together, strict=True):
        np.testing.assert_array_equal(a, b)


def test_gradcheck_draws_a_cotangent_that_differs_from_inputs_of_the_same_seed():
    class Seven(mg.Function):
        """Standardize, with a gradient of −7 times the right one: zero where the cotangent is x itself."""

        def forward(self, x):
            y = (x - x.mean()) / x.std()
            self.save_for_backward(x, y)
            return y

        def backward(self, g):
            x, y = self.saved
            centred = x - mg.mean(x)
            sigma = mg.sqrt(mg.mean(centred * centred))
            return (g - mg.mean(g) - y * mg.mean(g * y)) / sigma * -7

    for seed in (0, 1):
        x = mg.tensor(np.random.default_rng(seed).standard_normal(6), requires_grad=True)
        assert not mg.autograd.gradcheck(lambda x: Seven()(x), x, seed=seed, raise_exception=False)


class WrongShape(mg.Function):
    def forward(self, x, y):
        return x + y

    def backward(self, g):
        return g, g[:1]


def test_the_wrong_gradient_of_a_second_leaf_is_named():
    with pytest.raises(RuntimeError, match=r"WrongShape.backward: .* input 1 has shape \(1,\), .* \(2,\)"):
        WrongShape()(leaf([1.0, 2.0]), leaf([3.0, 4.0])).sum().backward()


class Same(mg.Function):
    def forward(self, x):
        return x

    def backward(self, g):
        return g


def test_an_op_that_returns_its_input_shares_its_version():
    x = leaf([1.0, 2.0])
    y = Same()(x)
    z = (y * y).sum()
    with mg.no_grad():
        x.add_(1)
    with pytest.raises(RuntimeError, match="changed in place"):
        z.backward()


# -- what a hostile user does -----------------------------------------------------------------------------


def test_a_leaf_that_is_switched_off_after_its_use_gets_no_gradient():
    x, w = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    y = (x * w).sum()
    x.requires_grad_(False)
    y.backward()
    assert x.grad is None and w.grad.tolist() == [1, 2]


@pytest.mark.parametrize("wrap", [mg.Tensor, mg.nn.Parameter])
def test_a_tensor_around_a_tensor_shares_its_version(wrap):
    for saved, changed in [(0, 1), (1, 0)]:
        x = leaf([1.0, 2.0])
        pair = x, wrap(x)
        pair[1].requires_grad_()
        y = (pair[saved] * pair[saved]).sum()
        with mg.no_grad():
            pair[changed].add_(1)
        with pytest.raises(RuntimeError, match="changed in place"):
            y.backward()


def test_a_grad_that_does_not_fit_is_refused():
    for grad in (np.zeros(2), mg.zeros(3), mg.zeros(2, 2)):
        x = leaf([1.0, 2.0])
        x.grad = grad
        with pytest.raises(RuntimeError, match=r"shape \(2,\) had its \.grad set to"):
            (x * 2).sum().backward()


def test_a_grad_that_is_read_only_is_replaced():
    x = leaf([1.0, 2.0])
    x.grad = mg.ones(1, dtype=np.float64).expand(2)
    (x * 2).sum().backward()
    assert x.grad.tolist() == [3, 3]


def test_hooks_return_tensors_of_the_gradients_dtype():
    for result, error in [(2.0, TypeError), (np.zeros(2, np.float32), RuntimeError)]:
        x = leaf([1.0, 2.0])
        x.register_hook(lambda g, result=result: result)
        with pytest.raises(error, match="hook"):
            (x * 2).sum().backward()


@pytest.mark.parametrize("kind", ["float16", "longdouble", "complex64", "U3", "object"])
def test_only_these_dtypes(kind):
    array = np.zeros(3).astype(kind)
    by_name = (lambda _: mg.zeros(3, dtype=kind), lambda _: mg.zeros(3).to(kind))
    for make in (mg.Tensor, mg.tensor, mg.nn.Parameter, *by_name):
        with pytest.raises(TypeError, match="float32"):
            make(array)


def test_other_floats_can_be_converted():
    assert mg.tensor(np.ones(2, np.float16), dtype=np.float32).tolist() == [1, 1]
    with pytest.raises(TypeError, match="complex128"):
        mg.ones(2) * 1j


def test_arrays_with_the_bytes_of_another_machine():
    array = np.arange(6, dtype=">f4").reshape(2, 3)
    for make in (mg.Tensor, mg.tensor, mg.from_numpy, mg.nn.Parameter, lambda a: mg.tensor(a.tolist()).to(a.dtype)):
        x = make(array)
        assert x.dtype.isnative and x.tolist() == array.tolist()
        assert mg.nn.functional.layer_norm(x, 3).shape == (2, 3)


def test_async_functions_are_not_decorated():
    async def task():
        pass

    async def stream():
        yield 1

    for function in (task, stream):
        with pytest.raises(TypeError, match=r"async.*with mg\.no_grad\(\)"):
            mg.no_grad()(function)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda x: x.add_(mg.ones(2)), r"^add_: .*float32\[3\], given: float32\[2\]"),
        (lambda x: x.mul_(mg.ones(2, 3)), r"^mul_: .*float32\[3\], given: float32\[2, 3\]"),
        (lambda x: x.copy_(np.ones(2)), r"^copy_: .*float32\[3\], given: float64\[2\]"),
        (lambda x: x.long().div_(2), r"^div_: .*int64\[3\], given: 2"),
        (lambda x: x.__setitem__(5, 1.0), r"^setitem: index 5 is out of bounds"),
        (lambda x: x.expand(2, 3).fill_(1.0), r"^fill_: .*x\.clone\(\)"),
        (lambda x: x.clamp_("a"), r"^clamp_: "),
    ],
)
def test_a_change_in_place_that_is_impossible(change, message):
    x = mg.ones(3)
    with pytest.raises((ValueError, TypeError, IndexError), match=message):
        change(x)
    assert x.tolist() == [1, 1, 1] and x.version == [0]


def test_gradcheck_of_one_tensor_passed_twice():
    x = random(3)
    assert mg.autograd.gradcheck(lambda a, b: a * a * b, (x, x))
    assert mg.autograd.gradgradcheck(lambda a, b: a * a * b, (x, x))


@pytest.mark.parametrize(
    "operator, result",
    [("iadd", [5, 7]), ("isub", [-3, -3]), ("imul", [4, 10]), ("itruediv", [0.25, 0.4])],
)
def test_operators_in_place(operator, result):
    apply = getattr(op, operator)
    x, y = leaf([1.0, 2.0]), mg.tensor(np.array([4.0, 5.0]))
    with mg.no_grad():  # a step by hand: `for p in model.parameters(): p -= lr * p.grad`
        twin = apply(x, y)
    assert twin is x and x.is_leaf and x.tolist() == pytest.approx(result)
    with pytest.raises(RuntimeError, match="a leaf that requires a gradient cannot be changed in place"):
        apply(x, y)

    x = leaf([1.0, 2.0])
    plain = mg.tensor(np.array([1.0, 2.0]))
    assert apply(plain, y) is plain and plain.tolist() == pytest.approx(result)
    for start, other in ((x * 1, y), (mg.tensor(np.array([1.0, 2.0])), leaf([4.0, 5.0]))):  # recorded: still the same
        memory = start.array
        assert apply(start, other) is start and start.requires_grad and not start.is_leaf
        assert start.tolist() == pytest.approx(result) and memory.tolist() == [1, 2]
    table = x * mg.ones(2, 2, dtype=mg.float64)
    row = table[0]
    assert apply(row, y) is row and row.tolist() == pytest.approx(result)  # of a view: part of the tensor
    assert table.tolist() == [pytest.approx(result), [1, 2]]


def test_a_sum_that_grows_by_operators_in_place():
    x = leaf([1.0, 2.0])
    total = mg.zeros(2, dtype="float64")
    for k in range(1, 4):
        total += x * k
    total.sum().backward()
    assert x.grad.tolist() == [6, 6]


def test_what_a_backward_pass_may_start_from():
    x = leaf([1.0, 2.0])
    assert mg.grad((x * x).sum(), x, 2.0)[0].tolist() == [4, 8]
    with pytest.raises(TypeError, match="complex128"):
        (x * x).backward(np.ones(2) * 1j)


@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("changed", ["input", "output", "cotangent"])
def test_a_change_in_place_is_noticed_by_the_derivative_of_a_derivative(changed, norm):
    """The recorded backward pass saves the same values, and has to know of their versions."""
    x = mg.tensor(np.array([[0.3, -1.0, 0.7]]), requires_grad=True)
    v = mg.tensor(np.array([[1.0, 2.0, -1.0]]), requires_grad=True)
    h, w = x * 1.0, v * 1.0
    if norm:
        y = mg.nn.functional.layer_norm(h, 3)
    else:
        y = h.exp() if changed == "output" else h * h
    (g,) = mg.grad(y, h, w, create_graph=True)
    u = mg.tensor(np.array([[1.0, 0.5, 2.0]]))
    mg.grad(g, x, u, retain_graph=True)
    with mg.no_grad():
        {"input": h, "output": y, "cotangent": w}[changed].mul_(2.0)
    if norm and changed == "output":  # which is not needed
        mg.grad(g, x, u)
        return
    with pytest.raises(RuntimeError, match="changed in place"):
        mg.grad(g, [x, v], u, allow_unused=True)
