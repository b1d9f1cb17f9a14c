"""Input scalers: they agree with scikit-learn where it has them, invert, are saved, and pass gradients on."""

import warnings
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.autograd import gradcheck, gradgradcheck
from minigrad.data import DecimalScaler, LogTransform, MinMaxScaler, StandardScaler, Whitening

NAN = np.nan


def random(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


def table() -> Any:
    """Six columns: ordinary, large, constant twice, with missing values, and missing throughout."""
    x = random(20, 6) * [1, 1e4, 0, 0, 3, 0] + [0, -2e4, 0.1, 1e9, 5, NAN]
    x[[2, 7, 11], 4] = NAN
    return x


def sklearn(name: str, **options: Any) -> Any:
    from sklearn import decomposition, preprocessing

    return getattr(preprocessing if hasattr(preprocessing, name) else decomposition, name)(**options)


def quiet(function: Any, *args: Any) -> Any:
    with warnings.catch_warnings():  # scikit-learn warns of the column that is missing throughout
        warnings.simplefilter("ignore")
        return function(*args)


SCALERS = {
    "MinMaxScaler": [{}, {"feature_range": (-2, 3)}, {"clip": True}, {"feature_range": (-1, 0.5), "clip": True}],
    "StandardScaler": [{}, {"with_mean": False}, {"with_std": False}, {"with_mean": False, "with_std": False}],
}
EACH = [
    pytest.param(name, options, id=f"{name} {options}") for name, several in SCALERS.items() for options in several
]
ALL = [
    MinMaxScaler((-1, 1)),
    StandardScaler(),
    DecimalScaler(),
    LogTransform(symmetric=True),
    LogTransform(100.0),
    Whitening("pca"),
    Whitening("zca", eps=0.1),
]
each = pytest.mark.parametrize("scaler", ALL, ids=repr)


# -- scikit-learn ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "options"), EACH)
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64])
def test_agrees_with_scikit_learn(name: str, options: Any, dtype: Any) -> None:
    train = table() if dtype == np.float64 else (random(15, 3) * [1, 50, 0] + [3, 0, 7]).astype(dtype)
    test = train[::-1] * 3 + 1
    ours, theirs = getattr(mg.data, name)(**options), sklearn(name, **options)
    quiet(theirs.fit, train)
    ours.fit(train)
    rtol, atol = (1e-12, 1e-12) if dtype == np.float64 else (3e-6, 1e-6)
    for x in (train, test.astype(dtype)):
        z = ours.transform(x)
        assert z.dtype == (np.float64 if dtype == np.float64 else np.float32)
        np.testing.assert_allclose(z, theirs.transform(x), rtol, atol)
        np.testing.assert_allclose(ours.inverse_transform(z), theirs.inverse_transform(z), rtol)


@pytest.mark.parametrize("name", SCALERS)
def test_statistics_are_those_of_scikit_learn(name: str) -> None:
    ours, theirs = getattr(mg.data, name)().fit(table()), quiet(sklearn(name).fit, table())
    names = ["scale_", "n_samples_seen_"]
    names += ["data_min_", "data_max_", "data_range_", "min_"] if name == "MinMaxScaler" else ["mean_", "var_"]
    for attribute in names:
        np.testing.assert_allclose(getattr(ours, attribute), getattr(theirs, attribute), rtol=1e-12, err_msg=attribute)
    complete = random(5, 2)
    assert getattr(mg.data, name)().fit(complete).n_samples_seen_ == 5


@pytest.mark.parametrize("name", SCALERS)
def test_fitting_in_parts(name: str) -> None:
    x = table()[:, :5]
    x[:6, 4] = NAN  # a column that is missing from the first parts
    ours, theirs = getattr(mg.data, name)(), sklearn("StandardScaler")
    for part in (x[:5], x[5:6], x[6:]):
        ours.partial_fit(part)
        quiet(theirs.partial_fit, part)
    whole = getattr(mg.data, name)().fit(x)
    np.testing.assert_allclose(ours.transform(x), whole.transform(x), rtol=1e-11, atol=1e-11)
    if name == "StandardScaler":
        np.testing.assert_allclose(ours.var_, theirs.var_, rtol=1e-11, atol=1e-20)
        np.testing.assert_array_equal(ours.n_samples_seen_, theirs.n_samples_seen_)
    ours.fit(x[:3])  # forgets
    assert np.max(ours.n_samples_seen_) == 3


def test_fitting_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = StandardScaler().fit(table())
    monkeypatch.setattr("minigrad.data.scalers.BLOCK", 18)
    blocks = StandardScaler().fit(table())
    np.testing.assert_allclose(blocks.mean_, whole.mean_, rtol=1e-14)
    np.testing.assert_allclose(blocks.var_, whole.var_, rtol=1e-12)
    np.testing.assert_array_equal(blocks.transform(table()).shape, table().shape)
    images = random(9, 2, 5)
    for scaler in (MinMaxScaler(axis=None), Whitening("zca", eps=1.0), Whitening("pca", 3)):
        z = scaler.fit_transform(images)  # in five parts
        np.testing.assert_allclose(scaler.transform(mg.tensor(images)).array, z, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("n_components", [None, 2, 0.7])
@pytest.mark.parametrize("shape", [(30, 4), (5, 8)])
def test_pca_agrees_with_scikit_learn(shape: tuple[int, int], n_components: Any) -> None:
    x = random(*shape) @ random(shape[1], shape[1], seed=1) + 7
    x[:, 1] = 3.3
    n_components = 2 if n_components == 0.7 and shape == (5, 8) else n_components
    ours = Whitening("pca", n_components).fit(x)
    theirs = sklearn("PCA", n_components=n_components, whiten=True, svd_solver="full").fit(x)
    np.testing.assert_allclose(ours.explained_variance_, theirs.explained_variance_, rtol=1e-10, atol=1e-25)
    np.testing.assert_allclose(
        ours.explained_variance_ratio_, theirs.explained_variance_ratio_, rtol=1e-10, atol=1e-25
    )
    varying = ours.explained_variance_ > 0
    np.testing.assert_allclose(ours.components_[varying], theirs.components_[varying], rtol=1e-9, atol=1e-10)
    new = x + random(*shape, seed=2) * (np.arange(shape[1]) != 1)
    z = ours.transform(new)
    if varying.all() or shape == (30, 4):
        np.testing.assert_allclose(z[:, varying], theirs.transform(new)[:, varying], rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(ours.inverse_transform(z), theirs.inverse_transform(z), rtol=1e-9)
    assert not z[:, ~varying].any()


# -- what scikit-learn does not have -------------------------------------------------------------------------


def test_whitened_features_are_uncorrelated() -> None:
    x = random(40, 5) @ random(5, 5, seed=1)
    for method in ("pca", "zca"):
        z = Whitening(method).fit_transform(x)
        np.testing.assert_allclose(np.cov(z.T), np.eye(5), atol=1e-12)
        np.testing.assert_allclose(z.mean(0), 0, atol=1e-12)


def test_zca_is_the_white_data_closest_to_the_input() -> None:
    x = random(40, 4) @ random(4, 4, seed=1)
    centered, z = x - x.mean(0), Whitening("zca").fit_transform(x)
    for seed in range(5):
        rotation, _ = np.linalg.qr(random(4, 4, seed=seed + 2))
        assert np.linalg.norm(z - centered) < np.linalg.norm(z @ rotation - centered)
    assert np.linalg.norm(z - centered) < np.linalg.norm(Whitening("pca").fit_transform(x) - centered)


def test_zca_keeps_the_shape_of_images_and_can_leave_axes_out() -> None:
    x = random(20, 2, 3, 2)
    scaler = Whitening("zca").fit(x)
    assert scaler.transform(x).shape == x.shape and scaler.mean_.shape == (2, 3, 2)
    np.testing.assert_allclose(scaler.inverse_transform(scaler.transform(x)), x, rtol=1e-10, atol=1e-12)
    few = Whitening("zca", 3).fit_transform(x).reshape(20, -1)
    np.testing.assert_allclose(np.linalg.eigvalsh(np.cov(few.T))[-4:], [0, 1, 1, 1], atol=1e-12)
    damped = Whitening("pca", eps=0.5).fit(x)
    expected = damped.explained_variance_ / (damped.explained_variance_ + 0.5)
    np.testing.assert_allclose(damped.transform(x).var(0, ddof=1), expected)


def test_decimal_scaling() -> None:
    x = np.array([[0.0, -1000.0, 0.99, 1.0, 0.01, NAN], [0.0, 999.0, 0.5, NAN, 0.001, NAN]])
    scaler = DecimalScaler().fit(x)
    assert scaler.exponent_.tolist() == [0, 4, 0, 1, -1, 0]
    z = scaler.transform(x)
    assert (np.abs(z[~np.isnan(z)]) < 1).all()
    np.testing.assert_array_equal(z[:, 1], [-0.1, 0.0999])
    np.testing.assert_array_equal(scaler.inverse_transform(z), x)
    for power in range(-20, 20):  # the logarithm of a power of ten may be rounded to either side
        for factor, j in ((1.0, power + 1), (1 - 1e-15, power), (1 + 1e-15, power + 1)):
            assert DecimalScaler().fit(np.array([float(f"1e{power}") * factor])).exponent_ == j
    parts = DecimalScaler().partial_fit(x[:1] / 100).partial_fit(x[1:])
    assert parts.exponent_.tolist() == [0, 3, 0, -1, -2, 0]


def test_decimal_scaler_moves_the_point_past_all_powers_of_ten():
    x = np.array([[1e308, 5e-324, 0.0, 999.0]])  # 10^309 is infinite, and 10^-324 is 0
    scaler = DecimalScaler().fit(x)
    assert scaler.exponent_.tolist() == [309, -323, 0, 3]
    z = scaler.transform(x)
    np.testing.assert_allclose(z, [[0.1, 0.494065645841247, 0.0, 0.999]], rtol=1e-14)
    np.testing.assert_allclose(scaler.inverse_transform(z), x, rtol=1e-14)


def test_log_transform() -> None:
    x = np.array([0.0, 1e-12, 1.0, 1e6, NAN])
    np.testing.assert_array_equal(LogTransform().transform(x), np.log1p(x))
    np.testing.assert_allclose(LogTransform(0.5).transform(x), np.log(x + 0.5), rtol=1e-15)
    np.testing.assert_allclose(LogTransform(0.0).transform(x[1:]), np.log(x[1:]), rtol=1e-15)
    both = np.concatenate([-x, x])
    z = LogTransform(symmetric=True).transform(both)
    np.testing.assert_allclose(z, np.sign(both) * np.log1p(np.abs(both)), rtol=1e-15)
    for scaler in (LogTransform(), LogTransform(symmetric=True), LogTransform(3.0, symmetric=True)):
        np.testing.assert_allclose(scaler.inverse_transform(scaler.transform(x)), x, rtol=1e-14)
    slope = mg.tensor(np.zeros(1), requires_grad=True)
    LogTransform(2.0, symmetric=True).transform(slope).backward()
    assert slope.grad is not None and slope.grad.item() == 0.5  # at 0 too
    with pytest.raises(ValueError, match="smallest x is -1 with offset=1"):
        LogTransform().transform(np.array([3.0, -1.0]))
    with pytest.raises(ValueError, match=r"LogTransform\.fit"):
        LogTransform(0.0).fit(np.array([0.0]))
    with pytest.raises(ValueError, match="offset must be"):
        LogTransform(0.0, symmetric=True)


# -- all of them -------------------------------------------------------------------------------------------


@each
def test_inverse(scaler: Any) -> None:
    x = random(12, 3) + np.array([0, 5, -5])
    before = x.copy()
    z = scaler.fit_transform(x)
    np.testing.assert_allclose(scaler.inverse_transform(z), x, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(x, before)
    np.testing.assert_array_equal(scaler(x), z)
    narrow = scaler.transform(x.astype(np.float32))
    assert narrow.dtype == np.float32
    np.testing.assert_allclose(narrow, z, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(scaler.fit_transform(np.asfortranarray(x)), z, rtol=1e-12, atol=1e-14)
    assert scaler.transform(x[:0]).shape == (0, *z.shape[1:])


@each
def test_saved_with_a_model_in_one_file(scaler: Any, tmp_path: Any) -> None:
    x = random(12, 3) + 5
    net, path = mg.nn.Linear(3, 2), tmp_path / "model.npz"
    z = scaler.fit_transform(x)
    mg.save({"model": net.state_dict(), "scaler": scaler.state_dict()}, path)
    state = mg.load(path)
    net.load_state_dict(state["model"])
    new = type(scaler)()
    new.load_state_dict(state["scaler"])
    assert repr(new) == repr(scaler)
    np.testing.assert_array_equal(new.transform(x), z)
    np.testing.assert_array_equal(new.inverse_transform(z), scaler.inverse_transform(z))
    if hasattr(new, "partial_fit"):
        more = x * 7 - 3
        new.partial_fit(more)
        scaler.partial_fit(more)
        np.testing.assert_array_equal(new.transform(x), scaler.transform(x))
    with pytest.raises(RuntimeError, match=f"load_state_dict of {type(scaler).__name__}"):
        new.load_state_dict(net.state_dict())


def test_unfitted_state_and_one_feature(tmp_path: Any) -> None:
    mg.save(MinMaxScaler().state_dict(), tmp_path / "unfitted")
    new = MinMaxScaler()
    new.load_state_dict(mg.load(tmp_path / "unfitted"))
    with pytest.raises(RuntimeError, match="no statistics yet"):
        new.transform(random(2))
    for scaler in (MinMaxScaler(), StandardScaler(), DecimalScaler()):
        x = random(6).astype(np.float32) + 3
        z = scaler.fit_transform(x)
        assert z.shape == (6,)
        mg.save(scaler.state_dict(), tmp_path / "one")
        again = type(scaler)()
        again.load_state_dict(mg.load(tmp_path / "one"))
        np.testing.assert_array_equal(again.transform(x), z)
        np.testing.assert_array_equal(again.partial_fit(x * 2).transform(x), scaler.partial_fit(x * 2).transform(x))


@each
def test_gradients_flow_through_tensors(scaler: Any) -> None:
    scaler.fit(random(12, 3) + 5)
    x = mg.tensor(random(4, 3, seed=1) + 5, requires_grad=True)
    z = scaler.transform(x)
    assert isinstance(z, mg.Tensor) and z.dtype == np.float64
    np.testing.assert_allclose(z.array, scaler.transform(x.array), rtol=1e-14)
    for function in (scaler.transform, scaler.inverse_transform):
        assert gradcheck(function, x)
    assert gradgradcheck(lambda x: scaler(x * x), x)
    assert scaler.transform(mg.tensor(x.array.astype(np.float32))).dtype == np.float32
    assert scaler.transform(mg.tensor([[1, 2, 3]])).dtype == np.float32


def test_shared_axes() -> None:
    x = random(6, 2, 3, 4) * np.array([1.0, 10.0]).reshape(2, 1, 1) + 3
    channels = StandardScaler(axis=(0, 2, 3)).fit(x)
    assert channels.mean_.shape == (2, 1, 1) and channels.n_samples_seen_ == 6 * 12
    np.testing.assert_allclose(channels.mean_.ravel(), x.mean((0, 2, 3)))
    np.testing.assert_allclose(channels.transform(x).std((0, 2, 3)), 1)
    assert channels.transform(x[:, :, :2]).shape == (6, 2, 2, 4)  # pictures of another size
    np.testing.assert_allclose(StandardScaler(axis=None).fit_transform(x), (x - x.mean()) / x.std())
    np.testing.assert_allclose(MinMaxScaler(axis=(0, 2, 3)).fit_transform(x).max((0, 2, 3)), 1, rtol=1e-15)
    with pytest.raises(ValueError, match=r"fitted to features of shape \(2, 1, 1\)"):
        channels.transform(x[:, :1])
    with pytest.raises(ValueError, match="axis of the samples"):
        StandardScaler(axis=(1, 2))
    with pytest.raises(ValueError, match="the data have 2 axes"):
        StandardScaler(axis=(0, 2)).fit(random(3, 2))


def test_constant_and_far_columns_are_exact() -> None:
    x = np.repeat([[0.1, 1e6 + 1 / 3, -7e12, 0.0]], 7, axis=0)
    for scaler in (StandardScaler(), MinMaxScaler(), Whitening("pca"), Whitening("zca")):
        assert not scaler.fit_transform(x).any()
        np.testing.assert_allclose(scaler.inverse_transform(np.zeros((1, 4))), x[:1], rtol=1e-15)
    far = (1e6 + np.sign(random(50, 2))).astype(np.float32)
    exact = far.astype(np.float64)
    np.testing.assert_allclose(StandardScaler().fit_transform(far), (exact - exact.mean(0)) / exact.std(0), rtol=1e-6)
    z = MinMaxScaler((-0.3, 0.7)).fit_transform(random(9, 3) * 1e-3 + 1e3)
    np.testing.assert_array_equal(z.min(0), -0.3)
    assert (z.max(0) == 0.7).all()


class Missing:
    """The object that some data frames have for a missing value."""


class Frame:
    """What matters of a data frame: columns, a shape, and how it becomes an array."""

    def __init__(self, columns: list[str], values: Any):
        self.columns, self.values = columns, values

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return np.asarray(self.values, dtype)

    def to_numpy(self, dtype: Any, na_value: Any) -> Any:
        return np.array([[na_value if isinstance(v, Missing) else v for v in row] for row in self.values], dtype)


def test_data_frames() -> None:
    values = np.array([[1, Missing()], [2, 5.0], [4, 9.0]], dtype=object)
    scaler = StandardScaler().fit(Frame(["age", "height"], values))
    assert scaler.feature_names_in_ == ["age", "height"]
    np.testing.assert_allclose(scaler.mean_, [7 / 3, 7])
    z = scaler.transform(Frame(["age", "height"], values))
    assert z.dtype == np.float64 and np.isnan(z[0, 1])
    with pytest.raises(ValueError, match="fitted to the columns age, height, and given height, age"):
        scaler.transform(Frame(["height", "age"], values))
    with pytest.raises(TypeError, match="not a number"):
        scaler.fit(Frame(["name", "age"], np.array([["Ada", 36]], dtype=object)))


@pytest.mark.parametrize("scaler", [MinMaxScaler(), StandardScaler(), DecimalScaler(), Whitening()], ids=repr)
def test_errors(scaler: Any) -> None:
    name, x = type(scaler).__name__, random(5, 3)
    for method in ("transform", "inverse_transform"):
        with pytest.raises(RuntimeError, match=rf"{name}.{method}: the scaler has no statistics yet; call fit"):
            getattr(type(scaler)(), method)(x)
    scaler.fit(x)
    for method in ("transform", "inverse_transform"):
        with pytest.raises(ValueError, match=f"{name}.{method}: .*fitted to"):
            getattr(scaler, method)(x[:, :2])
    bad = x.copy()
    bad[1, 2] = -np.inf
    with pytest.raises(ValueError, match=rf"{name}.transform: the data have infinities, the first at \(1, 2\)"):
        scaler.transform(bad)
    with pytest.raises(ValueError, match=f"{name}.fit: the data have infinities"):
        scaler.fit(mg.tensor(bad))
    with pytest.raises(ValueError, match="are empty"):
        scaler.fit(x[:0])
    with pytest.raises(ValueError, match="are empty"):
        scaler.fit(np.array(3.0))
    with pytest.raises(TypeError, match="must be numbers"):
        scaler.fit(np.array(["a", "b"]))
    if hasattr(scaler, "partial_fit"):
        scaler.fit(x)
        with pytest.raises(ValueError, match="fitted to"):
            scaler.partial_fit(x[:, :2])


def test_errors_of_arguments() -> None:
    with pytest.raises(ValueError, match="feature_range"):
        MinMaxScaler((1, 1))
    with pytest.raises(ValueError, match='"pca" or "zca"'):
        Whitening("ica")
    for k in (0, 1.5, -1):
        with pytest.raises(ValueError, match="n_components"):
            Whitening("pca", k)
    with pytest.raises(ValueError, match="eps"):
        Whitening("pca", eps=-1.0)
    with pytest.raises(ValueError, match="at most 2 axes"):
        Whitening("pca", 3).fit(random(5, 2))
    with pytest.raises(ValueError, match="at least 2 samples"):
        Whitening().fit(random(1, 2))
    with pytest.raises(ValueError, match=r"missing \(NaN\) at \(0, 1\)"):
        Whitening().fit(np.array([[1.0, NAN], [2.0, 3.0]]))


def test_in_a_data_loader() -> None:
    x = random(10, 3).astype(np.float32) * 4 + 2
    data = mg.data.TensorDataset(mg.tensor(x), mg.arange(10))
    scaler = StandardScaler().fit(x)
    loader = mg.data.DataLoader(data, batch_size=10, transform=[scaler, LogTransform(symmetric=True)])
    ((z, _),) = loader
    expected = (x - x.mean(0)) / x.std(0)
    np.testing.assert_allclose(z.numpy(), np.sign(expected) * np.log1p(np.abs(expected)), rtol=1e-4, atol=1e-6)


# -- states that do not fit --------------------------------------------------------------------------------

WRONG = [
    7,
    "junk",
    b"junk",
    [1, 2],
    {},
    {"a": 1},
    NAN,
    object(),
    ["a", "b", "c"],
    np.zeros((3, 1)),
    np.full(2, NAN),
    10**400,
]


def fits(name: str, wrong: Any) -> bool:
    """Is it wrong elsewhere, and makes sense as this value? One feature or two, two ends, one count, names."""
    if name == "max_abs_":
        return isinstance(wrong, int | float | np.ndarray) or wrong == [1, 2]
    if name in ("offset", "n_components", "eps", "n_samples_seen_"):
        return isinstance(wrong, int)
    return not isinstance(wrong, np.ndarray) and (name, wrong) in [
        ("feature_range", [1, 2]),
        ("feature_names_in_", ["a", "b", "c"]),
    ]


def kept(scaler: Any) -> dict[str, Any]:
    return {name: np.array(value) if name in scaler.fitted else value for name, value in scaler.state_dict().items()}


@each
def test_junk_is_refused_when_it_is_loaded_and_changes_nothing(scaler: Any) -> None:
    scaler = type(scaler)(**{name: getattr(scaler, name) for name in scaler.options})
    other = type(scaler)()
    scaler.fit(abs(random(12, 3)) + 5)
    good = scaler.state_dict()

    def refuses(state: Any) -> None:
        for one in (scaler, other):
            before = kept(one)
            with pytest.raises(RuntimeError, match=f"load_state_dict of {type(scaler).__name__}: ") as info:
                one.load_state_dict(state)
            assert "\n" not in str(info.value) and len(str(info.value)) < 400
            for name, value in kept(one).items():
                np.testing.assert_array_equal(value, before[name])

    for wrong in WRONG:
        refuses(wrong)
        for name in good:
            shaped = isinstance(scaler, Whitening) and name == "mean_" and np.shape(wrong) == (3, 1)
            if not fits(name, wrong) and not shaped:
                refuses({**good, name: wrong})
            if name in scaler.fitted:
                refuses({**good, name: None})
    for name in good:
        refuses({key: value for key, value in good.items() if key != name})
    refuses({**good, "color": 1})
    for name in scaler.fitted:
        if name == "n_samples_seen_":
            for wrong in (-1, 0, 1.5, NAN, np.inf, [3, NAN, 3], True):
                refuses({**good, name: wrong})
        else:
            refuses({**good, name: [[1.0], [1.0, 2.0]]})
            refuses({**good, name: good[name].astype(complex)})
            refuses({**good, name: good[name].astype(str)})
    other.load_state_dict(good)
    np.testing.assert_array_equal(other.transform(random(2, 3) + 9), scaler.transform(random(2, 3) + 9))


@pytest.mark.parametrize(
    ("scaler", "changes"),
    [
        (MinMaxScaler(), {"feature_range": "ab"}),
        (MinMaxScaler(), {"feature_range": (1, 0)}),
        (MinMaxScaler(), {"feature_range": (0, np.inf)}),
        (MinMaxScaler(), {"clip": "yes"}),
        (MinMaxScaler(), {"axis": (0, 0)}),
        (MinMaxScaler(), {"axis": (0, "1")}),
        (MinMaxScaler(), {"axis": (0, 5)}),
        (MinMaxScaler(), {"axis": None}),
        (MinMaxScaler(), {"data_min_": np.full(3, 100.0)}),
        (StandardScaler(), {"var_": -np.ones(3)}),
        (StandardScaler(), {"with_mean": 2}),
        (DecimalScaler(), {"max_abs_": -np.ones(3)}),
        (LogTransform(), {"offset": NAN}),
        (Whitening(), {"method": "svd"}),
        (Whitening(), {"explained_variance_": -np.ones(3)}),
        (Whitening(), {"mean_": np.full(3, NAN)}),
        (Whitening(), {"mean_": np.zeros(4)}),
        (Whitening(), {"components_": np.zeros((3, 4))}),
        (Whitening(), {"eps": -1.0}),
    ],
)
def test_values_that_make_no_sense_are_refused(scaler: Any, changes: dict[str, Any]) -> None:
    scaler.fit(abs(random(12, 3)) + 5)
    with pytest.raises(RuntimeError, match=f"load_state_dict of {type(scaler).__name__}: "):
        scaler.load_state_dict({**scaler.state_dict(), **changes})


def test_states_as_json_gives_them() -> None:
    import json

    x = np.round(abs(random(12, 3)) * 5 + 5)
    for scaler in (*ALL, MinMaxScaler(axis=None), StandardScaler(axis=(0, 1)), StandardScaler()):
        data = np.where(x > 9, NAN, x) if scaler.allows_missing else x
        scaler.fit(data)
        state = json.loads(json.dumps(scaler.state_dict(), default=lambda array: array.tolist()))
        again = type(scaler)()
        again.load_state_dict(state)
        np.testing.assert_array_equal(again.transform(x), scaler.transform(x))
        assert repr(again) == repr(scaler)


def test_a_loaded_state_is_a_copy() -> None:
    scaler = StandardScaler().fit(random(5, 2))
    again, state = StandardScaler(), scaler.state_dict()
    again.load_state_dict(state)
    state["mean_"][:] = 100
    assert (abs(again.mean_) < 10).all()
