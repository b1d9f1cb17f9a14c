"""Doing without normalization: SELU with LeCun's initialization, Fixup, adaptive gradient clipping."""

import math
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.nn import functional as F
from minigrad.nn import init


def random(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


# -- SELU ----------------------------------------------------------------------------------------------------

Z = np.linspace(-14, 14, 200_001)
DENSITY = np.exp(-(Z**2) / 2) / math.sqrt(2 * math.pi) * (Z[1] - Z[0])


def moments(scale: float, alpha: float, mean: float, variance: float) -> tuple[float, float]:
    """Mean and variance of selu(z) for a normal z of this mean and variance, by quadrature."""
    z = mean + math.sqrt(variance) * Z
    y = scale * np.where(z > 0, z, alpha * np.expm1(np.minimum(z, 0)))
    first = float((y * DENSITY).sum())
    return first, float((y**2 * DENSITY).sum()) - first**2


def constants() -> tuple[float, float]:
    """λ and α of the library's selu, read off its values."""
    scale = F.selu(mg.tensor(np.array([1.0]))).item()
    return scale, -F.selu(mg.tensor(np.array([-60.0]))).item() / scale


def test_selu_has_the_constants_that_make_mean_0_and_variance_1_a_fixed_point():
    """Solved here from the definition, by Newton's method: the two equations E[selu(z)] = 0 and E[selu(z)²] = 1."""
    point = np.array([1.0, 1.5])
    for _ in range(20):
        here = np.array(moments(*point, 0.0, 1.0)) - [0, 1]
        slopes = np.array([(np.array(moments(*(point + h), 0.0, 1.0)) - [0, 1] - here) / 1e-7
                           for h in 1e-7 * np.eye(2)]).T  # fmt: skip
        point = point - np.linalg.solve(slopes, here)
    np.testing.assert_allclose(constants(), point, rtol=1e-7)
    np.testing.assert_allclose(point, [1.0507009873554805, 1.6732632423543772], rtol=1e-7)


def test_the_fixed_point_attracts():
    """Theorem 1 of the paper: means and variances near the fixed point are drawn to it."""
    scale, alpha = constants()
    h = 1e-5
    jacobian = np.array([
        (np.array(moments(scale, alpha, h, 1.0)) - moments(scale, alpha, -h, 1.0)) / (2 * h),
        (np.array(moments(scale, alpha, 0.0, 1 + h)) - moments(scale, alpha, 0.0, 1 - h)) / (2 * h),
    ]).T  # fmt: skip
    # Σ w = 0 and Σ w² = 1 in expectation: a layer passes the variance on, and makes the mean 0.
    assert 0 < jacobian[1, 1] < 0.8
    mean, variance = 0.0, 1.5
    for _ in range(50):
        _, variance = moments(scale, alpha, mean, variance)
        mean = 0.0
    assert variance == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("fill", [init.lecun_normal_, init.lecun_uniform_])
def test_fifty_layers_of_selu_keep_mean_0_and_variance_1(fill):
    mg.manual_seed(0)
    x = start = mg.tensor(random(256, 200).astype(np.float32), requires_grad=True)
    other, layers = x, []
    for _ in range(50):
        layer = nn.Linear(200, 200, bias=False)
        fill(layer.weight)
        layers.append(layer)
        x, other = F.selu(layer(x)), F.relu(layer(other))
        assert abs(x.array.mean()) < 0.1 and 0.7 < x.array.var() < 1.4
    assert other.array.var() < 1e-12  # what relu makes of the same layers
    # The gradient's variance grows by E[selu'(z)²] with each layer, which is 1.07: no matter, in 50 layers.
    scale, alpha = constants()
    growth = float((np.where(Z > 0, scale, scale * alpha * np.exp(np.minimum(Z, 0))) ** 2 * DENSITY).sum())
    assert growth == pytest.approx(1.07, abs=0.01)
    (g,) = mg.grad(x, start, mg.tensor(random(256, 200, seed=1).astype(np.float32)))
    assert 0.5 < g.array.std() / growth**25 < 2


# -- Fixup ---------------------------------------------------------------------------------------------------


def residual(blocks: int, width: int = 16, m: int = 2, activate_sum: bool = False) -> Any:
    """A residual network with `blocks` branches of m Linear layers."""
    parts = [
        nn.FixupBlock(*[nn.Linear(width, width, bias=False) for _ in range(m)], activate_sum=activate_sum)
        for _ in range(blocks)
    ]
    return nn.Sequential(nn.Linear(8, width), *parts, nn.Linear(width, 4))


@pytest.mark.parametrize("m", [1, 2, 3])
def test_fixup_is_the_papers(m):
    model = residual(5, m=m)
    mg.manual_seed(1)
    assert init.fixup_(model) is model
    # The same, written out: the same random numbers, in the order of the layers.
    mg.manual_seed(1)
    first = mg.zeros(16, 8)
    init.kaiming_normal_(first, nonlinearity="relu")
    np.testing.assert_array_equal(model[0].weight.array, first.array)
    for block in model[1:6]:
        for layer in block.layers[:-1]:
            he = init.kaiming_normal_(mg.zeros(16, 16), nonlinearity="relu").array
            np.testing.assert_allclose(layer.weight.array, he * 5 ** (-1 / (2 * m - 2)), rtol=1e-6)
        assert not block.layers[-1].weight.array.any()
        assert block.scale.tolist() == [1.0] and not any(b.item() for b in (*block.before, *block.after))
    assert not model[6].weight.array.any() and not model[0].bias.array.any()


def test_a_fixup_block_is_the_papers():
    """Figure 1, right: a bias before each layer and activation, a multiplier after the last layer."""
    block = nn.FixupBlock(
        nn.Conv2d(2, 3, 3, padding=1, bias=False),
        nn.Conv2d(3, 4, 3, padding=1, bias=False),
        shortcut=nn.Conv2d(2, 4, 1, bias=False),
    )
    for i, p in enumerate(block.parameters()):
        p.array[...] = random(*p.shape, seed=i)
    before, after = ([b.item() for b in biases] for biases in (block.before, block.after))
    x = mg.tensor(random(2, 2, 4, 4).astype(np.float32))
    first, second = block.layers
    h = F.relu(first(x + before[0]) + after[0])
    h = second(h + before[1]) * block.scale.item() + after[1]
    expected = F.relu(h + block.shortcut(x + before[0]))
    np.testing.assert_allclose(block(x).array, expected.array, rtol=1e-5, atol=1e-5)
    block(x).backward(mg.randn(2, 4, 4, 4))
    assert all(p.grad is not None for p in block.parameters())
    names = ["layers.0.weight", "layers.1.weight", "shortcut.weight", "before.0", "before.1", "after.0", "after.1"]
    assert sorted(block.state_dict()) == sorted([*names, "scale"])
    init.fixup_(nn.Sequential(block, nn.Linear(4, 2)))
    np.testing.assert_allclose(block(x).array, F.relu(block.shortcut(x)).array)
    doubled = nn.FixupBlock(nn.Linear(3, 3, bias=False)).double()
    assert doubled(mg.zeros(2, 3).double()).dtype == np.float64


def losses(model: Any, steps: int, lr: float = 0.05) -> list[float]:
    x, y = mg.tensor(random(64, 8).astype(np.float32)), mg.tensor(np.random.default_rng(0).integers(0, 4, 64))
    optimizer = mg.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    found = []
    for _ in range(steps):
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append(loss.item())
    return found


def test_fixup_trains_fifty_blocks_without_normalization_and_he_does_not():
    mg.manual_seed(0)
    found = losses(init.fixup_(residual(50)), 30)
    assert found[0] == pytest.approx(math.log(4), rel=1e-6)  # the classifier starts at 0
    assert found[-1] < 0.8 * found[0]
    model = residual(50)
    for p in model.parameters():
        if p.ndim == 2:
            init.kaiming_normal_(p, nonlinearity="relu")
    with np.errstate(all="ignore"):
        found = losses(model, 5)
    assert not found[-1] < 1e6  # NaN, or as good as


def test_the_first_steps_of_fixup_do_not_depend_on_depth():
    """The paper's Θ(η) per step: how far the output moves is a matter of the step and not of L."""
    moved = {}
    x = mg.tensor(random(64, 8).astype(np.float32))
    for blocks in (4, 16, 64):
        mg.manual_seed(0)
        model = init.fixup_(residual(blocks, width=32))
        losses(model, 4, lr=0.02)
        before = model(x).array
        losses(model, 1, lr=0.02)
        moved[blocks] = float(np.sqrt(np.mean((model(x).array - before) ** 2)))
    assert max(moved.values()) < 3 * min(moved.values()), moved


def test_fixup_names_what_is_missing():
    with pytest.raises(ValueError, match="no residual block in the model"):
        init.fixup_(nn.Sequential(nn.Linear(2, 2)))
    with pytest.raises(ValueError, match="the classifier must be a layer of the model outside"):
        init.fixup_(residual(2), classifier=nn.Linear(2, 2))
    with pytest.raises(ValueError, match="FixupBlock: give at least one layer"):
        nn.FixupBlock()
    model = residual(2)
    init.fixup_(model, classifier=model[0])
    assert not model[0].weight.array.any() and model[-1].weight.array.any()


def test_a_shortcut_is_no_classifier():
    """Zeros there would cut the way past the branch: nothing would reach the layers behind it."""
    linear = nn.Linear(4, 4)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(4, 3)
            self.block = nn.FixupBlock(nn.Linear(4, 4), nn.Linear(4, 4), shortcut=linear)

    model = init.fixup_(Net())
    assert linear.weight.array.any() and not model.head.weight.array.any()
    init.fixup_(model.block)
    assert linear.weight.array.any()


def test_fixup_starts_parametrized_layers():
    """Their weight is computed: to fill it in place would change nothing."""
    model, twin = residual(3), residual(3)
    layers = [layer for layer in model.modules() if isinstance(layer, nn.Linear)]
    for layer in layers:
        nn.utils.parametrizations.weight_norm(layer)
    mg.manual_seed(3)
    init.fixup_(model)
    for layer in layers:
        nn.utils.parametrize.remove_parametrizations(layer, "weight")
    mg.manual_seed(3)
    expected = init.fixup_(twin).state_dict()
    for name, values in model.state_dict().items():
        np.testing.assert_allclose(values.array, expected[name].array, rtol=1e-6, err_msg=name)


def test_fixup_asks_any_module_for_its_branch():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = nn.Linear(4, 4), nn.Linear(4, 4)

        def residual_layers(self):
            return [self.one, self.two]

        def forward(self, x):
            return x + self.two(F.relu(self.one(x)))

    model = init.fixup_(nn.Sequential(Block(), Block(), nn.Linear(4, 2)), mode="fan_out")
    assert model[0].one.weight.array.any() and not model[0].one.bias.array.any()
    assert not model[0].two.weight.array.any() and not model[2].weight.array.any()


# -- adaptive gradient clipping ----------------------------------------------------------------------------


def parameter(*shape: int, weight: float = 1.0, grad: float = 1.0, dtype: Any = np.float32) -> Any:
    p = nn.Parameter((weight * random(*shape)).astype(dtype))
    p.grad = mg.tensor((grad * random(*shape, seed=1)).astype(dtype))
    return p


def clipped(w: Any, g: Any, clipping: float, eps: float) -> Any:
    """Equation 3 of the paper, unit by unit, in float64."""
    w, g = np.asarray(w, np.float64), np.array(g, np.float64)
    units = [()] if w.ndim < 2 else [(i,) for i in range(len(w))]
    for i in units:
        norm, bound = math.sqrt((g[i] ** 2).sum()), clipping * max(math.sqrt((w[i] ** 2).sum()), eps)
        if norm > bound:
            g[i] = g[i] * bound / norm
    return g


@pytest.mark.parametrize("shape", [(), (6,), (5, 7), (4, 3, 2), (4, 3, 2, 2), (1, 5), (5, 1)])
@pytest.mark.parametrize("grad", [1e-4, 0.02, 10.0, 1e25, 1e-25])
def test_adaptive_clipping_is_the_papers(shape, grad):
    p = parameter(*shape, grad=grad)
    expected = clipped(p.array, p.grad.array, 0.03, 0.5)
    mg.optim.adaptive_clip_grad_(p, 0.03, eps=0.5)
    assert p.grad.dtype == np.float32
    np.testing.assert_allclose(p.grad.array, expected, rtol=1e-6)


def test_the_bound_holds_for_each_unit_and_small_gradients_stay():
    p = parameter(200, 30, grad=0.06)
    before = p.grad.array.copy()
    mg.optim.adaptive_clip_grad_(p)
    bound = 0.01 * np.maximum(np.linalg.norm(p.array.astype(np.float64), axis=1), 1e-3)
    norms = np.linalg.norm(p.grad.array.astype(np.float64), axis=1)
    assert (norms <= bound * (1 + 1e-6)).all()
    p.grad = mg.tensor(before * (np.arange(200) % 2 * 0.01).astype(np.float32)[:, None])
    before = p.grad.array.copy()
    version = p.grad.version[0]
    mg.optim.adaptive_clip_grad_(p)
    np.testing.assert_array_equal(p.grad.array, before)
    assert p.grad.version[0] == version


def test_weights_that_are_zero_can_still_move():
    p = parameter(3, 4, weight=0.0)
    mg.optim.adaptive_clip_grad_(p, 0.1, eps=0.5)
    np.testing.assert_allclose(np.linalg.norm(p.grad.array, axis=1), 0.05, rtol=1e-6)


def test_a_bias_is_one_unit_and_a_filter_is_one():
    bias, conv = parameter(6), parameter(4, 3, 2, 2)
    ratio = []
    for p in (bias, conv):
        before = p.grad.array.copy()
        mg.optim.adaptive_clip_grad_(p)
        ratio.append(p.grad.array / before)
    assert np.ptp(ratio[0]) < 1e-7
    assert np.ptp(ratio[1].reshape(4, -1), axis=1).max() < 1e-7 < np.ptp(ratio[1])


def test_the_last_layer_may_be_excluded_and_parameters_without_gradient_are_left_out():
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    for p in model[:1].parameters():
        p.grad = mg.tensor(100 * np.ones(p.shape, np.float32))
    model[1].weight.grad = mg.tensor(100 * np.ones((2, 4), np.float32))
    mg.optim.adaptive_clip_grad_(model.parameters(), exclude=model[1].parameters())
    assert (model[1].weight.grad.array == 100).all() and model[1].bias.grad is None
    assert (model[0].weight.grad.array < 1).all()
    mg.optim.adaptive_clip_grad_(model.parameters(), exclude=model[0].weight)
    assert (model[1].weight.grad.array < 1).all()


def test_what_is_not_finite_shows_in_its_unit():
    p = parameter(4, 3, grad=10.0)
    p.grad.array[1, 2], p.grad.array[2, 0] = np.nan, np.inf
    mg.optim.adaptive_clip_grad_(p)
    assert np.isnan(p.grad.array).any(1).tolist() == [False, True, True, False]
    p = parameter(4, 3)
    p.grad.array[...] = 0
    mg.optim.adaptive_clip_grad_(p)
    assert not p.grad.array.any()
    empty = parameter(0, 3)
    mg.optim.adaptive_clip_grad_(empty)
    for bad in ({"clipping": 0.0}, {"eps": -1.0}):
        with pytest.raises(ValueError, match="adaptive_clip_grad_: clipping="):
            mg.optim.adaptive_clip_grad_(p, **bad)


def test_a_gradient_in_another_layout_is_clipped_too():
    p = parameter(5, 7, grad=10.0)
    expected = clipped(p.array, p.grad.array, 0.01, 1e-3)
    p.grad = mg.tensor(np.asfortranarray(p.grad.array))
    mg.optim.adaptive_clip_grad_([p])
    np.testing.assert_allclose(p.grad.array, expected, rtol=1e-6)


def test_adaptive_clipping_saves_a_step_that_would_explode():
    """Fifty residual blocks without normalization, a learning rate that is too high: clipped, they learn."""

    def train(clip: bool) -> list[float]:
        mg.manual_seed(0)
        model = init.fixup_(residual(50))
        x, y = mg.tensor(random(64, 8).astype(np.float32)), mg.tensor(np.random.default_rng(0).integers(0, 4, 64))
        optimizer = mg.optim.SGD(model.parameters(), lr=1.0, momentum=0.9)
        found = []
        for _ in range(25):
            loss = F.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            if clip:
                mg.optim.adaptive_clip_grad_(model.parameters(), 0.02, exclude=model[-1].parameters())
            optimizer.step()
            found.append(loss.item())
        return found

    with np.errstate(all="ignore"):
        assert not max(train(False)) < 100
    assert max(train(True)) < 100


# -- do these tests notice? ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "wrong", "check"),
    [
        (
            "_start",
            lambda original: lambda layer, factor, mode: original(layer, float(factor > 0), mode),
            "fixup",
        ),
        ("_start", lambda original: lambda layer, factor, mode: original(layer, factor or 1.0, mode), "fixup"),
        ("lecun_normal_", lambda original: lambda w: original(w).mul_(1.1), "selu"),
        ("lecun_uniform_", lambda original: lambda w: original(w).mul_(0.9), "selu"),
    ],
)
def test_a_broken_initializer_is_found(target, wrong, check, monkeypatch):
    broken = wrong(getattr(init, target))
    monkeypatch.setattr(init, target, broken)
    with mg.no_grad(), pytest.raises(AssertionError):
        if check == "fixup":
            test_fixup_is_the_papers(2)
        else:
            test_fifty_layers_of_selu_keep_mean_0_and_variance_1(broken)


@pytest.mark.parametrize("wrong", [lambda norms: norms + 0.01, lambda norms: np.full_like(norms, norms.mean())])
def test_a_broken_clipping_is_found(wrong, monkeypatch):
    from minigrad.optim import clip

    original = clip._unit_norms
    monkeypatch.setattr(clip, "_unit_norms", lambda x: wrong(original(x)))
    with pytest.raises(AssertionError):
        test_adaptive_clipping_is_the_papers((5, 7), 10.0)
