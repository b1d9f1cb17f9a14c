"""Losses: derivatives, closed forms, fused against composed, errors. Parity with PyTorch is in `parity/loss.py`."""

import math
import warnings

import numpy as np
import pytest

import minigrad as mg
import minigrad.nn.functional as F
from minigrad import nn

REDUCTIONS = ["mean", "sum", "none"]
TARGET = np.array([2, 0, -100, 3, 1, -100])
WEIGHT = np.array([0.5, 2.0, 1.0, 3.0])


def random(*shape, seed=0, low=None):
    rng = np.random.default_rng(seed)
    array = rng.standard_normal(shape) if low is None else rng.uniform(low, 1 - low, shape)
    return mg.tensor(array, requires_grad=True)


def log_softmax(x):
    return x - np.log(np.exp(x).sum(1, keepdims=True))


# -- regression and yes-or-no -------------------------------------------------------------------------------

PAIRS = {
    "mse": F.mse_loss,
    "l1": F.l1_loss,
    "smooth_l1": lambda x, y, **o: F.smooth_l1_loss(x, y, beta=0.6, **o),
    "huber": lambda x, y, **o: F.huber_loss(x, y, delta=0.6, **o),
    "bce": F.binary_cross_entropy,
    "bce_with_logits": F.binary_cross_entropy_with_logits,
    "kl_div": F.kl_div,
    "kl_div_log": lambda x, y, **o: F.kl_div(x, y, log_target=True, **o),
}


def pair(name, *shape):
    x = random(*shape, low=0.05) if name == "bce" else random(*shape)
    return x, random(*shape, seed=1, low=0.05)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("name", PAIRS)
def test_derivatives(name, reduction):
    x, y = pair(name, 3, 4)

    def loss(x, y):
        return PAIRS[name](x, y, reduction=reduction)

    assert mg.autograd.gradcheck(loss, [x, y])
    assert mg.autograd.gradgradcheck(loss, [x, y], atol=1e-5)


@pytest.mark.parametrize("name", PAIRS)
def test_shapes_layouts_dtypes(name):
    f = PAIRS[name]
    x, y = (t.detach() for t in pair(name, 4, 6))
    strided = mg.Tensor(np.asfortranarray(x.array)), mg.Tensor(np.repeat(y.array, 2, axis=1)[:, ::2])
    np.testing.assert_allclose(f(*strided, reduction="none").array, f(x, y, reduction="none").array, rtol=1e-15)
    assert f(x, y).shape == () and f(x.float(), y.float()).dtype == np.float32
    assert f(x[0, 0], y[0, 0], reduction="none").shape == ()
    assert f(x[:0], y[:0], reduction="none").shape == (0, 6)
    assert f(x[:0], y[:0], reduction="sum").item() == 0
    assert math.isnan(f(x[:0], y[:0]).item())
    with pytest.raises(ValueError, match=r"reduction must be .*\"none\", not 'average'"):
        f(x, y, reduction="average")
    with pytest.raises(ValueError, match=r"input has shape \(4, 6\), and target \(4, 5\)"):
        f(x, y[:, :5])


def test_closed_forms():
    x, y = np.array([0.0, 1.0, 5.0]), np.array([0.0, 0.5, 1.0])
    tx, ty = mg.Tensor(x), mg.Tensor(y)
    assert F.mse_loss(tx, ty, "none").tolist() == [0.0, 0.25, 16.0]
    assert F.l1_loss(tx, ty, "none").tolist() == [0.0, 0.5, 4.0]
    assert F.smooth_l1_loss(tx, ty, "none", beta=2.0).tolist() == [0.0, 0.0625, 3.0]
    assert F.huber_loss(tx, ty, "none", delta=2.0).tolist() == [0.0, 0.125, 6.0]
    assert F.mse_loss(tx, ty, weight=mg.Tensor(np.array([1.0, 2.0, 1.0]))).item() == 16.5 / 4


def test_l1_at_zero_has_gradient_zero():
    x = mg.tensor(np.zeros(2), requires_grad=True)
    F.l1_loss(x, mg.tensor(np.zeros(2)), "sum").backward()
    assert x.grad.tolist() == [0.0, 0.0]


def test_broadcasting_target_warns():
    x, y = random(3, 1), random(3, seed=1)
    with pytest.warns(UserWarning, match=r"mse_loss: input has shape \(3, 1\), and target \(3,\).*\(3, 3\)") as seen:
        loss = F.mse_loss(x, y)
    assert seen[0].filename == __file__
    np.testing.assert_allclose(loss.item(), ((x.array - y.array) ** 2).mean())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert mg.autograd.gradcheck(F.mse_loss, [x, y])
    with pytest.raises(ValueError, match=r"binary_cross_entropy_with_logits: .*the same shape"):
        F.binary_cross_entropy_with_logits(x, y)


def test_bce_is_finite_for_sure_and_wrong_answers():
    x = mg.tensor(np.array([0.0, 1.0, 0.0, 1.0]), requires_grad=True)
    loss = F.binary_cross_entropy(x, mg.tensor(np.array([1.0, 0.0, 0.0, 1.0])), reduction="none")
    assert loss.tolist() == [100.0, 100.0, 0.0, 0.0]
    loss.sum().backward()
    np.testing.assert_allclose(x.grad.array, [-1e12, 1e12, 0, 0])


def test_bce_wants_probabilities():
    with pytest.raises(ValueError, match=r"binary_cross_entropy: input must be probabilities.*between -0.5 and 0.3"):
        F.binary_cross_entropy(mg.tensor([-0.5, 0.3]), mg.tensor([0.0, 1.0]))


def test_bce_with_logits_is_bce_of_sigmoid_and_exact_far_out():
    x, y = random(3, 4), random(3, 4, seed=1, low=0.0)
    a = F.binary_cross_entropy_with_logits(x, y, reduction="none")
    b = F.binary_cross_entropy(F.sigmoid(x), y, reduction="none")
    np.testing.assert_allclose(a.array, b.array, rtol=1e-12)
    far = F.binary_cross_entropy_with_logits(mg.tensor([1000.0, -1000.0]), mg.tensor([0.0, 0.0]), reduction="none")
    assert far.tolist() == [1000.0, 0.0]


def test_pos_weight():
    x, y, p = random(3, 4), random(3, 4, seed=1, low=0.0), mg.Tensor(WEIGHT)
    loss = F.binary_cross_entropy_with_logits(x, y, pos_weight=p, reduction="none")
    s = 1 / (1 + np.exp(-x.array))
    expected = -WEIGHT * y.array * np.log(s) - (1 - y.array) * np.log(1 - s)
    np.testing.assert_allclose(loss.array, expected, rtol=1e-12)


def test_kl_div_batchmean_is_the_divergence():
    p = np.array([[0.5, 0.5, 0.0], [0.2, 0.3, 0.5]])
    q = np.array([[0.25, 0.25, 0.5], [0.2, 0.3, 0.5]])
    loss = F.kl_div(mg.Tensor(np.log(q)), mg.Tensor(p), reduction="batchmean")
    assert loss.item() == pytest.approx(math.log(2) / 2)


# -- classification -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_cross_entropy(reduction, weighted, smoothing):
    x, t = random(6, 4), mg.Tensor(TARGET)
    w = mg.Tensor(WEIGHT) if weighted else None

    def loss(x):
        return F.cross_entropy(x, t, w, reduction=reduction, label_smoothing=smoothing)

    log_p = log_softmax(x.array)
    weights = WEIGHT if weighted else np.ones(4)
    counts = TARGET != -100
    q = (1 - smoothing) * np.eye(4)[np.where(counts, TARGET, 0)] + smoothing / 4
    losses = -(q * weights * log_p).sum(1) * counts
    expected = {
        "none": losses,
        "sum": losses.sum(),
        "mean": losses.sum() / weights[TARGET[counts]].sum(),
    }[reduction]
    np.testing.assert_allclose(loss(x).array, expected, rtol=1e-12)
    assert mg.autograd.gradcheck(loss, x)
    assert mg.autograd.gradgradcheck(loss, x)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_fused_and_composed_agree_to_third_order(reduction):
    rng = np.random.default_rng(0)
    data, directions = rng.standard_normal((6, 4)), rng.standard_normal((2, 6, 4))
    start = rng.standard_normal(6) if reduction == "none" else rng.standard_normal(())

    def derivatives():
        x = mg.tensor(data, requires_grad=True)
        y = F.cross_entropy(x, mg.Tensor(TARGET), mg.Tensor(WEIGHT), reduction=reduction)
        found = [y.array]
        for v in (start, *directions):
            (y,) = mg.grad(y, x, mg.tensor(v), create_graph=True)
            found.append(y.array)
        return found

    fused = derivatives()
    with mg.composed():
        composed = derivatives()
    for a, b in zip(fused, composed, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-13)


def test_cross_entropy_of_probabilities():
    x, q = random(2, 4, 3), mg.tensor(np.random.default_rng(1).dirichlet(np.ones(4), (2, 3)).transpose(0, 2, 1))
    q.requires_grad_()
    losses = F.cross_entropy(x, q, reduction="none")
    assert losses.shape == (2, 3)
    np.testing.assert_allclose(losses.array, -(q.array * log_softmax(x.array)).sum(1), rtol=1e-12)
    np.testing.assert_allclose(F.cross_entropy(x, q).item(), losses.array.mean(), rtol=1e-12)
    assert mg.autograd.gradcheck(F.cross_entropy, [x, q])
    hard = np.eye(4)[[1, 3]]
    numbers = F.cross_entropy(x[:, :, 0], mg.tensor([1, 3]), label_smoothing=0.2)
    shares = F.cross_entropy(x[:, :, 0], mg.tensor(hard), label_smoothing=0.2)
    np.testing.assert_allclose(numbers.item(), shares.item(), rtol=1e-12)


def test_cross_entropy_of_images_and_single_samples():
    x, t = random(2, 4, 3, 2), np.random.default_rng(1).integers(0, 4, (2, 3, 2))
    losses = F.cross_entropy(x, mg.tensor(t), reduction="none")
    expected = -np.take_along_axis(log_softmax(x.array), t[:, None], 1)[:, 0]
    np.testing.assert_allclose(losses.array, expected, rtol=1e-12)
    assert mg.autograd.gradcheck(lambda x: F.cross_entropy(x, mg.tensor(t)), x)
    one = F.cross_entropy(x[0, :, 0, 0], mg.tensor(t[0, 0, 0]))
    np.testing.assert_allclose(one.item(), expected[0, 0, 0], rtol=1e-12)
    assert F.cross_entropy(x[0, :, 0, 0], mg.tensor(t[0, 0, 0]), reduction="none").shape == ()


def test_cross_entropy_is_nll_of_log_softmax():
    x, t, w = random(6, 4), mg.Tensor(TARGET), mg.Tensor(WEIGHT)
    for reduction in REDUCTIONS:
        a = F.cross_entropy(x, t, w, reduction=reduction)
        b = F.nll_loss(F.log_softmax(x, 1), t, w, reduction=reduction)
        np.testing.assert_allclose(a.array, b.array, rtol=1e-12)
    assert mg.autograd.gradcheck(lambda x: F.nll_loss(x, t, w), x)
    assert mg.autograd.gradgradcheck(lambda x: F.nll_loss(x, t, w) * x.sum(), x)


def test_large_scores_are_exact():
    x = mg.tensor([[0.0, 1e4], [1e4, -1e4]], requires_grad=True)
    loss = F.cross_entropy(x, mg.tensor([0, 0]), reduction="none")
    assert loss.tolist() == [1e4, 0.0]
    loss.sum().backward()
    assert x.grad.tolist() == [[-1.0, 1.0], [0.0, 0.0]]


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_all_ignored_and_empty_batches(smoothing):
    x = random(3, 4)
    t = mg.tensor(np.full(3, -100))
    loss = F.cross_entropy(x, t, label_smoothing=smoothing)
    assert math.isnan(loss.item())
    loss.backward()
    assert (x.grad.array == 0).all()
    assert F.cross_entropy(x, t, reduction="sum", label_smoothing=smoothing).item() == 0
    empty = random(0, 4)
    assert math.isnan(F.cross_entropy(empty, t[:0], label_smoothing=smoothing).item())
    assert F.cross_entropy(empty, t[:0], reduction="none", label_smoothing=smoothing).shape == (0,)


def test_ignored_samples_may_be_anything():
    data = np.random.default_rng(0).standard_normal((3, 4))
    data[1] = [np.nan, np.inf, -np.inf, 0]
    x = mg.tensor(data, requires_grad=True)
    loss = F.cross_entropy(x, mg.tensor([1, 7, 2]), ignore_index=7)
    loss.backward()
    assert np.isfinite(loss.item()) and np.isfinite(x.grad.array).all() and (x.grad.array[1] == 0).all()


def test_nan_and_layouts():
    x = random(6, 4)
    t = mg.Tensor(TARGET)
    expected = F.cross_entropy(x, t).item()
    assert F.cross_entropy(mg.Tensor(np.asfortranarray(x.array)), t).item() == expected
    assert F.cross_entropy(x, mg.Tensor(np.repeat(TARGET, 2)[::2].astype(np.int32))).item() == expected
    assert F.cross_entropy(x.float(), t).dtype == np.float32
    bad = x.array.copy()
    bad[0, 3] = np.nan
    assert math.isnan(F.cross_entropy(mg.Tensor(bad), t).item())


@pytest.mark.parametrize("composed", [False, True])
@pytest.mark.parametrize("f", [F.cross_entropy, F.nll_loss])
def test_class_outside(f, composed):
    name = "cross_entropy" if f is F.cross_entropy else "nll_loss"
    x = mg.zeros(5, 10)
    with mg.composed() if composed else mg.enable_grad():
        with pytest.raises(IndexError, match=rf"{name}: target 12 at position \(3,\) is outside 0\.\.9"):
            f(x, mg.tensor([0, 1, 2, 12, 4]))
        with pytest.raises(IndexError, match=rf"{name}: target -1 at position \(1, 0\) is outside 0\.\.9"):
            f(mg.zeros(2, 10, 2), mg.tensor([[0, 1], [-1, 3]]))


def test_errors():
    x = mg.zeros(5, 10)
    with pytest.raises(ValueError, match=r"cross_entropy: target has shape \(4,\), and must be \(5,\)"):
        F.cross_entropy(x, mg.tensor([0, 1, 2, 3]))
    with pytest.raises(TypeError, match=r"cross_entropy: target is float32 of shape \(5,\).*target.long\(\)"):
        F.cross_entropy(x, mg.zeros(5))
    with pytest.raises(TypeError, match="must hold probabilities"):
        F.cross_entropy(x, mg.tensor(np.zeros((5, 10), np.int64)))
    with pytest.raises(ValueError, match=r"cross_entropy: weight has shape \(3,\), and must be \(10,\)"):
        F.cross_entropy(x, mg.tensor([0] * 5), mg.ones(3))
    with pytest.raises(ValueError, match=r"weight is a constant.*weight.detach\(\)"):
        F.cross_entropy(x, mg.tensor([0] * 5), mg.tensor(np.ones(10), requires_grad=True))
    with pytest.raises(ValueError, match=r"label_smoothing must be between 0 and 1, not 1\.5"):
        F.cross_entropy(x, mg.tensor([0] * 5), label_smoothing=1.5)
    with pytest.raises(ValueError, match="ignore_index has no meaning for probabilities"):
        F.cross_entropy(x, mg.zeros(5, 10), ignore_index=1)
    with pytest.raises(TypeError, match="nll_loss: input is int64"):
        F.nll_loss(mg.tensor([[1, 2]]), mg.tensor([0]))
    with pytest.raises(ValueError, match="huber_loss: delta must be positive"):
        F.huber_loss(x, x, delta=0.0)
    with pytest.raises(ValueError, match="smooth_l1_loss: beta must not be negative"):
        F.smooth_l1_loss(x, x, beta=-1.0)


# -- layers -------------------------------------------------------------------------------------------------


def test_layers_are_their_functions():
    x, t, w = random(6, 4), mg.Tensor(TARGET), mg.Tensor(WEIGHT)
    p, y = F.sigmoid(x), random(6, 4, seed=1, low=0.0)
    for layer, expected, inputs in [
        (nn.MSELoss("sum"), F.mse_loss(x, y, "sum"), (x, y)),
        (nn.L1Loss(), F.l1_loss(x, y), (x, y)),
        (nn.SmoothL1Loss(beta=0.5), F.smooth_l1_loss(x, y, beta=0.5), (x, y)),
        (nn.HuberLoss("none", 0.5), F.huber_loss(x, y, "none", 0.5), (x, y)),
        (nn.BCELoss(w), F.binary_cross_entropy(p, y, w), (p, y)),
        (nn.BCEWithLogitsLoss(pos_weight=w), F.binary_cross_entropy_with_logits(x, y, pos_weight=w), (x, y)),
        (nn.NLLLoss(w, -1, "sum"), F.nll_loss(x, t % 4, w, -1, "sum"), (x, t % 4)),
        (nn.CrossEntropyLoss(w, label_smoothing=0.1), F.cross_entropy(x, t, w, label_smoothing=0.1), (x, t)),
        (nn.KLDivLoss("batchmean", log_target=True), F.kl_div(x, y, "batchmean", True), (x, y)),
    ]:
        np.testing.assert_array_equal(layer(*inputs).array, expected.array)
        assert not list(layer.parameters())
    assert list(nn.CrossEntropyLoss(w).state_dict()) == ["weight"]
    assert list(nn.CrossEntropyLoss().state_dict()) == []
    with pytest.raises(ValueError, match="MSELoss: reduction must be one of"):
        nn.MSELoss("batchmean")
