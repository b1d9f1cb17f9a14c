"""Whitening: the inverse square root and its derivatives, the identities, running averages, errors."""

import itertools
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.autograd import gradcheck, gradgradcheck
from minigrad.nn import functional as F
from minigrad.ops.matrix_root import inverse_sqrt, newton_schulz, solve_lyapunov
from tests.test_norm import derivatives


def random(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


def variable(array: Any) -> Any:
    return mg.tensor(np.array(array, np.float64), requires_grad=True)


def positive(*shape: int, seed: int = 0) -> Any:
    """A batch of symmetric positive matrices."""
    a = random(*shape, seed=seed)
    return a @ a.swapaxes(-1, -2) + 0.3 * np.eye(shape[-1])


def correlated(n: int, channels: int, seed: int = 0) -> Any:
    return random(n, channels, seed=seed) @ random(channels, channels, seed=seed + 1) + 5


def whitened(x: Any, **options: Any) -> Any:
    return F.decorrelated_batch_norm(x, training=True, **{"eps": 0.0, **options})


def iterated(x: Any, steps: int, **options: Any) -> Any:
    return F.iterative_norm(x, training=True, iterations=steps, **{"eps": 0.0, **options})


METHODS = {"decorrelated_batch_norm": whitened, "iterative_norm": lambda x, **options: iterated(x, 5, **options)}
each_method = pytest.mark.parametrize("name", METHODS)
MODULES = {"decorrelated_batch_norm": mg.nn.DecorrelatedBatchNorm, "iterative_norm": mg.nn.IterativeNorm}


# -- the inverse square root -------------------------------------------------------------------------------

ROOTS = {
    "inverse_sqrt": inverse_sqrt,
    "inverse_sqrt with ε": lambda a: inverse_sqrt(a, 0.2),
    "newton_schulz": lambda a: newton_schulz(a, 4),
}
MATRICES = {
    "different eigenvalues": positive(3, 3),
    "a batch": positive(2, 3, 3),
    "a double eigenvalue": np.diag([2.0, 2.0, 0.5]),
    "nearly equal eigenvalues": np.eye(3) + 1e-9 * positive(3, 3),
    "the identity": np.eye(3),
}


@pytest.mark.parametrize("root", ROOTS)
@pytest.mark.parametrize("matrix", MATRICES)
def test_derivatives_of_roots(root: str, matrix: str) -> None:
    a = variable(MATRICES[matrix])
    function = ROOTS[root]
    if root != "newton_schulz":
        w, eps = function(a).array, 0.2 if "ε" in root else 0.0
        np.testing.assert_allclose(
            w @ w @ (a.array + eps * np.eye(3)), np.broadcast_to(np.eye(3), w.shape), atol=1e-12
        )
    assert gradcheck(function, a)
    assert gradgradcheck(function, a)


@pytest.mark.parametrize("matrix", MATRICES)
def test_third_derivative_of_the_inverse_root(matrix: str) -> None:
    v = variable(random(*MATRICES[matrix].shape, seed=3))

    def gradient(a: Any) -> Any:
        with mg.enable_grad():
            return mg.grad(inverse_sqrt(a), a, v, create_graph=True)[0]

    assert gradgradcheck(gradient, variable(MATRICES[matrix]))


def test_lyapunov() -> None:
    a, b = variable(positive(2, 3, 3)), variable(random(2, 3, 3))
    x = solve_lyapunov(a, b).array
    np.testing.assert_allclose(a.array @ x + x @ a.array, b.array, atol=1e-13)
    assert gradcheck(solve_lyapunov, [a, b])
    assert gradgradcheck(solve_lyapunov, [a, b])
    with pytest.raises(ValueError, match="the same shape"):
        solve_lyapunov(a, b[0])
    for function in (inverse_sqrt, lambda a: newton_schulz(a, 1), lambda a: solve_lyapunov(a, a)):
        with pytest.raises(ValueError, match=r"square matrices, .* \(2, 3\)"):
            function(variable(random(2, 3)))


def test_inverse_sqrt_of_what_it_should_not_get() -> None:
    rounded = np.diag([1.0, -1e-17])  # a covariance that rounding left with a negative eigenvalue
    np.testing.assert_allclose(inverse_sqrt(rounded, 0.01), np.diag([1 / np.sqrt(1.01), 10.0]))
    one_bad = np.stack([np.eye(2), np.full((2, 2), np.nan), 4 * np.eye(2)])
    found = inverse_sqrt(one_bad)
    np.testing.assert_array_equal(found[[0, 2]], [np.eye(2), 0.5 * np.eye(2)])
    assert np.isnan(found[1]).all()
    assert inverse_sqrt(np.eye(2, dtype=np.float32)).dtype == np.float32
    assert not np.isfinite(inverse_sqrt(np.diag([1.0, 0.0]))).all()


def test_newton_schulz_stays_when_it_has_arrived() -> None:
    a = positive(4, 4)
    for steps in (20, 60):
        np.testing.assert_allclose(newton_schulz(a, steps), inverse_sqrt(a), rtol=1e-9, atol=1e-12)


# -- identities --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(40, 4), (8, 4, 6), (4, 4, 3, 3), (3, 4, 2, 2, 3)])
def test_output_is_white(shape: tuple[int, ...]) -> None:
    x = np.moveaxis(np.tensordot(random(4, 4), random(*shape, seed=1), (0, 1)), 0, 1) + 3
    for groups in (1, 2):
        y = np.moveaxis(whitened(x, num_groups=groups), 1, 0).reshape(4, -1)
        covariance = y @ y.T / y.shape[1]
        np.testing.assert_allclose(y.mean(1), 0, atol=1e-12)
        np.testing.assert_allclose(covariance[:2, :2], np.eye(2), atol=1e-11)
        assert (np.abs(covariance[:2, 2:]).max() < 1e-11) == (groups == 1)


def test_zca_is_the_white_output_closest_to_the_input() -> None:
    x = correlated(30, 4)
    centered, y = x - x.mean(0), whitened(x)
    for seed in range(5):
        rotation, _ = np.linalg.qr(random(4, 4, seed=seed + 2))
        assert np.linalg.norm(y - centered) < np.linalg.norm(y @ rotation - centered)


def test_iterations_approach_zca() -> None:
    x = correlated(50, 4)
    errors = [np.abs(iterated(x, steps) - whitened(x)).max() for steps in range(0, 31, 3)]
    assert all(after < before or after < 1e-9 for before, after in itertools.pairwise(errors))
    assert errors[0] > 0.5 and errors[-1] < 1e-9


@each_method
@pytest.mark.parametrize("shape", [(9, 4), (3, 4, 5)])
def test_one_channel_a_group_is_batch_norm(name: str, shape: tuple[int, ...]) -> None:
    x, w, b = variable(random(*shape)), variable(random(4)), variable(random(4, seed=1))
    function = getattr(F, name)
    ours = derivatives(lambda x, w, b: function(x, None, None, w, b, True, eps=0.1, num_groups=4), [x, w, b], 2)
    theirs = derivatives(lambda x, w, b: F.batch_norm(x, None, None, w, b, True, eps=0.1), [x, w, b], 2)
    for a, e in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, e, rtol=1e-9, atol=1e-10)


@each_method
def test_rotations_pass_through(name: str) -> None:
    """White is white in any direction: rotating the channels before is rotating them after. Shift and scale vanish."""
    x = correlated(20, 3)
    rotation, _ = np.linalg.qr(random(3, 3))
    np.testing.assert_allclose(METHODS[name](x @ rotation), METHODS[name](x) @ rotation, atol=1e-10)
    np.testing.assert_allclose(METHODS[name](7 * x - 3), METHODS[name](x), atol=1e-10)


@each_method
def test_gradient_is_orthogonal_to_shift_and_scale(name: str) -> None:
    x = variable(correlated(20, 3))
    (g,) = mg.grad(METHODS[name](x), x, mg.tensor(random(20, 3, seed=5)))
    np.testing.assert_allclose(g.array.sum(0), 0, atol=1e-12)
    np.testing.assert_allclose((g.array * x.array).sum(), 0, atol=1e-11)


# -- derivatives where they are hard -----------------------------------------------------------------------

WHITE = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1], [1, 1, -1], [1, -1, 1], [-1, 1, 1], [-1, -1, -1]])


@each_method
@pytest.mark.parametrize(
    ("x", "eps"),
    [
        (WHITE, 0.0),  # three equal eigenvalues
        (WHITE * np.array([1, 1, 3]), 0.0),  # two
        (WHITE[:4] * np.array([1, 1, 0]), 0.1),  # and a constant channel
        (random(3, 5), 0.1),  # fewer samples than channels: three eigenvalues are 0
        (np.repeat(random(6, 1), 3, axis=1), 0.1),  # channels that are all the same
    ],
)
def test_derivatives_with_equal_eigenvalues(name: str, x: Any, eps: float) -> None:
    function = lambda x: METHODS[name](x, eps=eps)  # noqa: E731
    assert gradcheck(function, variable(x))
    assert gradgradcheck(function, variable(x))


@each_method
def test_fused_is_composed_up_to_the_third_order(name: str) -> None:
    function = getattr(F, name)
    inputs = [variable(random(2, 4, 3)), variable(random(4)), variable(random(4, seed=1))]
    apply = lambda x, w, b: function(x, None, None, w, b, True, eps=0.1, num_groups=2)  # noqa: E731
    fused = derivatives(apply, inputs, 3)
    with mg.composed():
        composed = derivatives(apply, inputs, 3)
    for a, b in zip(fused, composed, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


@each_method
def test_third_derivatives_agree_with_differences(name: str) -> None:
    def second(x: Any) -> Any:
        with mg.enable_grad():
            (g,) = mg.grad(METHODS[name](x, eps=0.1), x, mg.tensor(random(5, 2, seed=1)), create_graph=True)
            return mg.grad(g, x, mg.tensor(random(5, 2, seed=2)), create_graph=True)[0]

    assert gradcheck(second, variable(random(5, 2)))


@each_method
@pytest.mark.parametrize("shape", [(1, 4, 6), (6, 1), (6, 4)])
def test_nothing_is_modified(name: str, shape: tuple[int, ...]) -> None:
    x, v = random(*shape), random(*shape, seed=1)
    before = x.copy(), v.copy()
    t = variable(x)
    y = METHODS[name](t, eps=0.1)
    first, second = (mg.grad(y, t, mg.Tensor(v), retain_graph=True)[0].array for _ in range(2))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(v, before[1])
    np.testing.assert_array_equal(t.array, before[0])


@each_method
def test_constant_channels_give_beta(name: str) -> None:
    x = random(6, 3)
    x[:, 1] = 1e6 + 1 / 3
    for dtype in (np.float32, np.float64):
        y = getattr(F, name)(x.astype(dtype), None, None, None, np.array([1, 2, 3], dtype), True)
        np.testing.assert_allclose(y[:, 1], 2, rtol=1e-6 if dtype == np.float32 else 1e-12)
        y = getattr(F, name)(np.full((4, 2, 3), 0.1, dtype), training=True)
        assert not y.any()


@each_method
def test_float32_far_from_zero(name: str) -> None:
    x = (1e6 + np.sign(random(40, 3)) + random(40, 3)).astype(np.float32)
    y = METHODS[name](x, eps=1e-5)
    assert y.dtype == np.float32
    np.testing.assert_allclose(y, METHODS[name](x.astype(np.float64), eps=1e-5), atol=1e-6)


# -- running averages and modules --------------------------------------------------------------------------


def statistics(x: Any, groups: int) -> tuple[Any, Any]:
    """μ and W, from the singular values of each group."""
    flat = np.moveaxis(x, 1, 0).reshape(x.shape[1], -1)
    matrices = []
    for part in np.split(flat - flat.mean(1, keepdims=True), groups):
        u, s, _ = np.linalg.svd(part, full_matrices=False)
        matrices.append(u / np.sqrt(s**2 / part.shape[1] + 1e-5) @ u.T)
    return flat.mean(1), np.array(matrices)


@pytest.mark.parametrize("momentum", [0.3, None])
@pytest.mark.parametrize("composed", [False, True])
@each_method
def test_running_averages(name: str, composed: bool, momentum: float | None) -> None:
    options = {"iterations": 40} if name == "iterative_norm" else {}
    norm = MODULES[name](4, 2, momentum=momentum, dtype=np.float64, **options)
    mean, matrix = np.zeros(4), np.tile(np.eye(2), (2, 1, 1))
    for step in range(1, 6):
        x = random(3, 4, 5, seed=step) + step
        if composed:
            with mg.composed():
                norm(mg.tensor(x))
        else:
            norm(mg.tensor(x))
        weight = 1 / step if momentum is None else momentum
        new_mean, new_matrix = statistics(x, 2)
        mean = (1 - weight) * mean + weight * new_mean
        matrix = (1 - weight) * matrix + weight * new_matrix
        np.testing.assert_allclose(norm.running_mean.array, mean, rtol=1e-12)
        np.testing.assert_allclose(norm.running_matrix.array, matrix, rtol=1e-9, atol=1e-12)
        assert norm.num_batches_tracked.item() == step
    x = random(1, 4, 2)
    norm.eval()
    expected = np.einsum("gij,ngjs->ngis", matrix, (x - mean[:, None]).reshape(1, 2, 2, 2)).reshape(x.shape)
    np.testing.assert_allclose(norm(mg.tensor(x)).array, expected, rtol=1e-9, atol=1e-12)
    assert norm.num_batches_tracked.item() == 5
    assert gradcheck(norm, variable(x))
    assert gradgradcheck(norm, variable(x))


@each_method
def test_module(name: str) -> None:
    cls = MODULES[name]
    norm = cls(4, num_groups=2)
    assert list(norm.state_dict()) == ["weight", "bias", "running_mean", "running_matrix", "num_batches_tracked"]
    x = mg.tensor(random(6, 4).astype(np.float32))
    before = {k: v.numpy().copy() for k, v in norm.state_dict().items()}
    norm(mg.tensor(np.zeros((0, 4), np.float32)))  # an empty batch leaves everything alone
    for key, value in norm.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[key])
    norm(x)
    other = cls(4, num_groups=2)
    other.load_state_dict(norm.state_dict())
    np.testing.assert_array_equal(other.eval()(x).array, norm.eval()(x).array)
    norm.reset_parameters()
    for key, value in norm.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[key])
    assert norm.double().eval()(x.double()).dtype == np.float64
    untracked = cls(4, affine=False, track_running_stats=False)
    assert not untracked.state_dict()
    np.testing.assert_array_equal(untracked(x).array, untracked.eval()(x).array)
    assert cls(4, bias=False).bias is None
    assert "4, num_groups=2, eps=1e-05, momentum=0.1" in repr(cls(4, 2))
    for shape in ((3, 4), (3, 4, 5), (2, 4, 3, 3), (2, 4, 2, 2, 2)):
        assert cls(4)(mg.randn(*shape)).shape == shape


def test_training_a_network() -> None:
    mg.manual_seed(0)
    x = mg.tensor(correlated(64, 6).astype(np.float32))
    y = (x[:, 0] > x[:, 1]).long()
    for norm in (mg.nn.DecorrelatedBatchNorm(6, 2), mg.nn.IterativeNorm(6, iterations=3)):
        net = mg.nn.Sequential(norm, mg.nn.Linear(6, 8), mg.nn.IterativeNorm(8), mg.nn.ReLU(), mg.nn.Linear(8, 2))
        optimizer = mg.optim.Adam(net.parameters(), lr=0.02)
        losses = []
        for _ in range(30):
            loss = F.cross_entropy(net(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert losses[-1] < 0.5 * losses[0]


# -- errors ------------------------------------------------------------------------------------------------


@each_method
def test_errors(name: str) -> None:
    function, cls, x = getattr(F, name), MODULES[name], random(3, 4)
    mean, matrix = np.zeros(4), np.eye(4)[None]
    with pytest.raises(ValueError, match=f"{name}: training needs more than one value per channel"):
        function(x[:1], training=True)
    with pytest.raises(ValueError, match=f"{name}: without training, running_mean and running_matrix are needed"):
        function(x)
    with pytest.raises(ValueError, match=f"{name}: pass both"):
        function(x, mean, training=True)
    with pytest.raises(ValueError, match=rf"{name}: the input.s 4 channels .* cannot be divided into num_groups=3"):
        function(x, training=True, num_groups=3)
    with pytest.raises(ValueError, match=r"running_matrix has shape \(1, 4, 4\), and must have \(2, 2, 2\)"):
        function(x, mean, matrix, num_groups=2)
    with pytest.raises(TypeError, match="the input is float64 and running_matrix is float32"):
        function(x, mean, matrix.astype(np.float32))
    with pytest.raises(TypeError, match="running_matrix must be a tensor or an array, not a list"):
        function(x, mean, matrix.tolist())
    with pytest.raises(ValueError, match="weight has shape"):
        function(x, weight=np.ones(3), training=True)
    with pytest.raises(ValueError, match=r"must be \(N, C\)"):
        function(x[0], training=True)
    with pytest.raises(TypeError, match="floating-point"):
        function(np.ones((2, 2), int), training=True)
    with pytest.raises(ValueError, match="read-only"):
        function(x, np.broadcast_to(0.0, 4), matrix.copy(), training=True)
    with pytest.raises(ValueError, match="num_features=4 is not divisible by num_groups=3"):
        cls(4, 3)
    with pytest.raises(ValueError, match=r"num_features=4, and the input must be \(N, 4\)"):
        cls(4)(mg.zeros(2, 3))


def test_errors_of_iterations() -> None:
    for steps in (-1, 2.5):
        with pytest.raises(ValueError, match="iterations must be an integer of at least 0"):
            F.iterative_norm(random(3, 2), training=True, iterations=steps)  # pyright: ignore[reportArgumentType]
        with pytest.raises(ValueError, match="iterations must be an integer of at least 0"):
            mg.nn.IterativeNorm(2, iterations=steps)  # pyright: ignore[reportArgumentType]
