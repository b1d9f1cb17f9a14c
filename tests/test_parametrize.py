"""Parametrizations of any tensor of any module: putting on, using, copying, saving, taking off."""

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.nn.utils.parametrizations import scaled_weight_standardization, spectral_norm, weight_norm
from minigrad.nn.utils.parametrize import (
    cached,
    is_parametrized,
    register_parametrization,
    remove_parametrizations,
    type_before_parametrizations,
)


class Square(nn.Module):
    def forward(self, x: mg.Tensor) -> mg.Tensor:
        return x * x

    def right_inverse(self, w: mg.Tensor) -> mg.Tensor:
        return w.abs().sqrt()


class Halved(nn.Module):
    def forward(self, x: mg.Tensor) -> mg.Tensor:
        return x * 0.5

    def right_inverse(self, w: mg.Tensor) -> mg.Tensor:
        return w * 2


class Symmetric(nn.Module):
    """Without an inverse."""

    def forward(self, x: mg.Tensor) -> mg.Tensor:
        return mg.triu(x) + mg.triu(x, 1).T


class Sum(nn.Module):
    """Of two originals."""

    def forward(self, a: mg.Tensor, b: mg.Tensor) -> mg.Tensor:
        return a + b

    def right_inverse(self, w: mg.Tensor) -> tuple[mg.Tensor, mg.Tensor]:
        return w * 0.25, w * 0.75


class Counted(nn.Module):
    calls = 0

    def forward(self, x: mg.Tensor) -> mg.Tensor:
        self.calls += 1
        return x * 1


def values(tensor: Any) -> Any:
    return tensor.detach().numpy()


@pytest.fixture(autouse=True)
def _seed():
    mg.manual_seed(0)


def test_a_parametrized_layer_computes_its_weight_and_trains_the_original():
    layer = nn.Linear(3, 2)
    before = values(layer.weight).copy()
    parameter = layer.weight
    assert register_parametrization(layer, "weight", Square()) is layer
    assert isinstance(layer, nn.Linear) and type(layer).__name__ == "ParametrizedLinear"
    assert type_before_parametrizations(layer) is nn.Linear
    assert is_parametrized(layer) and is_parametrized(layer, "weight") and not is_parametrized(layer, "bias")
    assert layer.parametrizations.weight.original is parameter  # an optimizer may hold it
    assert [name for name, _ in layer.named_parameters()] == ["bias", "parametrizations.weight.original"]
    np.testing.assert_allclose(values(layer.weight), np.abs(before), rtol=1e-6)
    assert not layer.weight.is_leaf

    x = mg.randn(4, 3)
    np.testing.assert_allclose(values(layer(x)), values(x @ layer.weight.T + layer.bias), rtol=1e-6)
    optimizer = mg.optim.SGD(layer.parameters(), lr=0.1)
    old = values(layer.weight).copy()
    layer(x).sum().backward()
    assert parameter.grad is not None
    optimizer.step()
    assert np.abs(values(layer.weight) - old).max() > 1e-3


def test_repr_counts_each_parameter_once():
    text = repr(nn.Sequential(weight_norm(nn.Linear(3, 2)), nn.ReLU()))
    assert "ParametrizedLinear(in_features=3, out_features=2, bias=True" in text
    assert "original0 2x1, original1 2x3" in text and "(0): WeightNorm(dim=0)" in text
    assert text.endswith("total: 10 parameters")


def test_assignment_goes_backwards_through_all_parametrizations():
    layer = nn.Linear(2, 2)
    register_parametrization(layer, "weight", Square())
    register_parametrization(layer, "weight", Halved())
    wanted = mg.tensor([[1.0, 2.0], [3.0, 4.0]])
    layer.weight = wanted
    np.testing.assert_allclose(values(layer.weight), wanted.numpy(), rtol=1e-6)
    np.testing.assert_allclose(values(layer.parametrizations.weight.original) ** 2, 2 * wanted.numpy(), rtol=1e-6)
    layer.weight = nn.Parameter(wanted * 2)
    np.testing.assert_allclose(values(layer.weight), 2 * wanted.numpy(), rtol=1e-6)
    assert "weight" not in layer._parameter_names and layer.weight.grad_fn is not None


def test_several_originals():
    layer = nn.Linear(2, 2)
    before = values(layer.weight).copy()
    register_parametrization(layer, "weight", Sum())
    names = [name for name, _ in layer.named_parameters()]
    assert names == ["bias", "parametrizations.weight.original0", "parametrizations.weight.original1"]
    np.testing.assert_allclose(values(layer.weight), before, rtol=1e-6)
    layer.weight = mg.ones(2, 2)
    np.testing.assert_allclose(values(layer.parametrizations.weight.original1), 0.75)
    with pytest.raises(ValueError, match="2 originals, and none of them"):
        remove_parametrizations(layer, "weight", leave_parametrized=False)


def test_a_frozen_tensor_stays_frozen_and_a_buffer_a_buffer():
    layer = nn.Linear(2, 2).requires_grad_(False)
    register_parametrization(layer, "weight", Sum())
    assert not any(p.requires_grad for p in layer.parameters())
    remove_parametrizations(layer, "weight")
    assert not layer.weight.requires_grad

    norm = nn.BatchNorm1d(2)
    register_parametrization(norm, "running_var", Square())
    register_parametrization(norm, "running_mean", Sum())
    assert {name for name, _ in norm.named_parameters()} == {"weight", "bias"}
    assert "parametrizations.running_var.original" in norm.state_dict()
    remove_parametrizations(norm, "running_var")
    remove_parametrizations(norm, "running_mean")
    assert type(norm) is nn.BatchNorm1d and {"running_mean", "running_var"} <= dict(norm.named_buffers()).keys()


def test_removal_leaves_a_plain_layer():
    for leave, expected in ((True, 4.0), (False, 2.0)):
        layer = nn.Linear(2, 2)
        register_parametrization(layer, "weight", Square())
        layer.weight = mg.full((2, 2), 4.0)
        original = layer.parametrizations.weight.original
        assert remove_parametrizations(layer, "weight", leave_parametrized=leave) is layer
        assert type(layer) is nn.Linear and not is_parametrized(layer) and not hasattr(layer, "parametrizations")
        assert layer.weight is original
        np.testing.assert_allclose(values(layer.weight), expected, rtol=1e-6)
        assert list(layer.state_dict()) == ["bias", "weight"]


def test_removing_one_of_two_leaves_the_other():
    layer = nn.Linear(2, 2)
    register_parametrization(layer, "weight", Square())
    register_parametrization(layer, "bias", Halved())
    remove_parametrizations(layer, "weight")
    assert is_parametrized(layer, "bias") and not is_parametrized(layer, "weight")
    assert layer(mg.ones(1, 2)).shape == (1, 2)
    remove_parametrizations(layer, "bias")
    assert type(layer) is nn.Linear


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))])
def test_copies_are_independent(duplicate: Any):
    layer = spectral_norm(weight_norm(nn.Linear(3, 2), "bias", dim=None)).eval()
    twin = duplicate(layer)
    assert type(twin) is type(layer)
    for name, tensor in layer.state_dict().items():
        np.testing.assert_array_equal(values(tensor), values(twin.state_dict()[name]), err_msg=name)
    x = mg.randn(2, 3)
    np.testing.assert_array_equal(values(layer(x)), values(twin(x)))
    with mg.no_grad():
        for p in twin.parameters():
            p.fill_(0.5)
    assert np.abs(values(layer.weight) - values(twin.weight)).max() > 0.01
    remove_parametrizations(twin, "weight")
    assert is_parametrized(layer, "weight")


def test_a_shallow_copy_shares_tensors_and_nothing_else():
    layer = weight_norm(nn.Linear(3, 2))
    names = list(layer.state_dict())
    twin = copy.copy(layer)
    assert twin.parametrizations.weight.original0 is layer.parametrizations.weight.original0
    remove_parametrizations(twin, "weight")
    twin.extra = nn.Parameter(mg.ones(1))
    assert is_parametrized(layer, "weight") and list(layer.state_dict()) == names
    assert layer(mg.ones(1, 3)).shape == (1, 2)
    assert list(twin.state_dict()) == ["bias", "weight", "extra"] and type(twin) is nn.Linear


def test_state_dictionaries_are_saved_and_loaded(tmp_path: Any):
    def make() -> nn.Module:
        return nn.Sequential(
            weight_norm(nn.Linear(3, 4)),
            nn.ReLU(),
            spectral_norm(nn.Linear(4, 4)),
            scaled_weight_standardization(nn.Linear(4, 2)),
        )

    net, other = make(), make()
    assert list(net.state_dict()) == [
        "0.bias",
        "0.parametrizations.weight.original0",
        "0.parametrizations.weight.original1",
        "2.bias",
        "2.parametrizations.weight.original",
        "2.parametrizations.weight.0._u",
        "2.parametrizations.weight.0._v",
        "3.bias",
        "3.parametrizations.weight.original",
        "3.parametrizations.weight.0.gain",
    ]
    x = mg.randn(5, 3)
    net(x)
    net.eval(), other.eval()
    assert np.abs(values(net(x)) - values(other(x))).max() > 1e-3
    mg.save(net.state_dict(), tmp_path / "net.npz")
    other.load_state_dict(mg.load(tmp_path / "net.npz"))
    np.testing.assert_array_equal(values(net(x)), values(other(x)))


def test_cached_values_are_computed_once_and_never_stale():
    layer, counted = nn.Linear(2, 2), Counted()
    register_parametrization(layer, "weight", counted)
    counted.calls = 0
    x = mg.ones(1, 2)
    with cached():
        y = layer(layer(x))
        with cached():
            layer(x)
        assert counted.calls == 1
        y.sum().backward()
        with mg.no_grad():
            assert not layer.weight.requires_grad
            layer.parametrizations.weight.original.fill_(0)
        assert not values(layer.weight).any()
        assert layer.weight.requires_grad
        layer.requires_grad_(False)
        assert not layer.weight.requires_grad
        layer.requires_grad_(True)
        assert layer.weight.requires_grad
    counted.calls = 0
    layer(layer(x))
    assert counted.calls == 2


def test_train_and_eval_reach_the_parametrization():
    layer = nn.Linear(2, 2).eval()
    register_parametrization(layer, "weight", Square())
    assert not layer.parametrizations.weight.training and not layer.parametrizations.weight[0].training
    layer.train()
    assert layer.parametrizations.weight[0].training
    double = weight_norm(nn.Linear(2, 2)).double()
    assert double.weight.dtype == np.float64


@pytest.mark.parametrize(
    ("make", "name", "inputs"),
    [
        (lambda: nn.LSTM(3, 4, num_layers=2, bidirectional=True), "weight_hh_l1_reverse", (mg.ones(2, 1, 3),)),
        (lambda: nn.LSTM(3, 4, norm=nn.LayerNorm), "weight_ih_l0", (mg.ones(2, 1, 3),)),
        (lambda: nn.GRU(3, 4), "weight_hh_l0", (mg.ones(2, 1, 3),)),
        (lambda: nn.GRU(3, 4), "bias_hh_l0", (mg.ones(2, 1, 3),)),
        (lambda: nn.RNNCell(3, 4), "weight_hh", (mg.ones(2, 3),)),
        (lambda: nn.Embedding(5, 3), "weight", (mg.tensor([1, 4]),)),
        (lambda: nn.Bilinear(2, 3, 4), "weight", (mg.ones(1, 2), mg.ones(1, 3))),
        (lambda: nn.Conv3d(1, 2, 1), "weight", (mg.ones(1, 1, 2, 1, 1),)),
        (lambda: nn.ConvTranspose1d(2, 3, 2), "weight", (mg.ones(1, 2, 3),)),
        (lambda: nn.MultiheadAttention(4, 2), "in_proj_weight", (mg.ones(2, 1, 4),) * 3),
        (
            lambda: nn.MultiheadAttention(4, 2, kdim=3, vdim=3),
            "k_proj_weight",
            (mg.ones(2, 1, 4), *[mg.ones(2, 1, 3)] * 2),
        ),
        (lambda: nn.BatchNorm1d(3), "weight", (mg.ones(2, 3),)),
        (lambda: nn.PReLU(), "weight", (mg.ones(2, 3),)),
    ],
)
def test_any_layer_uses_what_is_computed(make: Any, name: str, inputs: Any):
    layer, counted = make(), Counted()
    plain = layer(*inputs)
    weight = getattr(layer, name)
    register_parametrization(layer, name, counted)
    counted.calls = 0
    y = layer(*inputs)
    assert counted.calls == 1, "computed once for each forward pass"
    for a, b in zip(*(out if isinstance(out, tuple) else (out,) for out in (plain, y)), strict=True):
        if isinstance(a, mg.Tensor):
            np.testing.assert_allclose(values(a), values(b), rtol=1e-6, atol=1e-7)
    (y[0] if isinstance(y, tuple) else y).sum().backward()
    assert weight.grad is not None


def test_errors_say_what_is_wrong():
    layer = nn.Linear(3, 2)
    with pytest.raises(ValueError, match=r"Linear has no parameter or buffer 'wieght' \(it has: weight, bias\)"):
        register_parametrization(layer, "wieght", Square())
    with pytest.raises(TypeError, match="the class itself"):
        register_parametrization(layer, "weight", Square)  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError, match="module must be a module, not a int"):
        register_parametrization(3, "weight", Square())  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="'weight' of Linear is not parametrized"):
        remove_parametrizations(layer, "weight")

    class Wider(nn.Module):
        def forward(self, x: mg.Tensor) -> mg.Tensor:
            return mg.cat([x, x], 1)

    class Pair(Square):
        def right_inverse(self, w: mg.Tensor) -> Any:
            return {"w": w}

    class NoTensor(nn.Module):
        def forward(self, x: mg.Tensor) -> Any:
            return 1.0

    before = values(layer.weight).copy()
    with pytest.raises(ValueError, match=r"float32\[2, 6\] of a tensor that was float32\[2, 3\].*unsafe=True"):
        register_parametrization(layer, "weight", Wider())
    with pytest.raises(TypeError, match=r"Pair.right_inverse must return a tensor or a tuple"):
        register_parametrization(layer, "weight", Pair())
    with pytest.raises(TypeError, match="must return a tensor, not a float"):
        register_parametrization(layer, "weight", NoTensor())
    assert type(layer) is nn.Linear
    np.testing.assert_array_equal(values(layer.weight), before)

    register_parametrization(layer, "weight", Square())
    with pytest.raises(ValueError, match=r"keeps shape and dtype"):
        register_parametrization(layer, "weight", Wider())
    with pytest.raises(ValueError, match=r"WeightNorm makes a tensor of several originals.*where Square is already"):
        weight_norm(layer)
    with pytest.raises(ValueError, match=r"original has shape \(2, 3\)"):
        layer.weight = mg.ones(3, 3)
    with pytest.raises(TypeError, match="can only be set to a tensor, not to a float"):
        layer.weight = 1.0
    with pytest.raises(AttributeError, match="remove_parametrizations"):
        del layer.weight
    with pytest.raises(KeyError, match="parametrized tensor"):
        layer.register_buffer("weight", mg.ones(2))
    with pytest.raises(AttributeError, match="'ParametrizedLinear' object has no attribute 'wieght'"):
        layer.wieght  # noqa: B018
    with pytest.raises(ValueError, match="'bias' of ParametrizedLinear is not parametrized; parametrized: weight"):
        remove_parametrizations(layer, "bias")
    assert "weight" in dir(layer)

    square = nn.Linear(2, 2)
    register_parametrization(square, "weight", Symmetric())
    with pytest.raises(RuntimeError, match="Symmetric defines no right_inverse"):
        square.weight = mg.ones(2, 2)


def test_unsafe_parametrizations_may_change_the_shape():
    class Outer(nn.Module):
        def forward(self, x: mg.Tensor) -> mg.Tensor:
            return x.reshape(-1, 1) * x.reshape(1, -1)

        def right_inverse(self, w: mg.Tensor) -> mg.Tensor:
            return mg.diagonal(w).abs().sqrt()

    layer = nn.Linear(3, 3)
    register_parametrization(layer, "weight", Outer(), unsafe=True)
    assert layer.parametrizations.weight.original.shape == (3,)
    layer(mg.ones(1, 3)).sum().backward()
    assert layer.parametrizations.weight.original.grad.shape == (3,)
    rank_one = values(layer.weight).copy()
    remove_parametrizations(layer, "weight")
    np.testing.assert_array_equal(values(layer.weight), rank_one)
    assert layer.weight.grad is None


# -- dtypes of the right inverse -------------------------------------------------------------------------------------


class Inverse(nn.Module):
    """Computes float32 of what its right inverse gives in a dtype of its own."""

    def __init__(self, dtype, several=False):
        super().__init__()
        self.dtype, self.several = dtype, several

    def forward(self, x, y=None):
        return (x if y is None else x + y).float()

    def right_inverse(self, w):
        w = w.to(self.dtype)
        return (w, w * 0) if self.several else w


@pytest.mark.parametrize("unsafe", [False, True])
def test_a_right_inverse_of_another_dtype_is_no_original(unsafe):
    layer = nn.Linear(3, 2)
    before = layer.weight
    with pytest.raises(ValueError, match=r"Inverse: the right inverse is float64.*original.*is float32"):
        register_parametrization(layer, "weight", Inverse(np.float64), unsafe=unsafe)
    assert layer.weight is before and type(layer) is nn.Linear

    part = Inverse(np.float32)
    register_parametrization(layer, "weight", part, unsafe=unsafe)
    part.dtype = np.float64
    values = layer.weight.tolist()
    with pytest.raises(ValueError, match=r"float64.*float32"):
        layer.weight = mg.ones(2, 3)
    assert layer.weight.tolist() == values


def test_several_originals_have_the_dtype_of_the_right_inverse():
    layer = register_parametrization(nn.Linear(3, 2), "weight", Inverse(np.float64, several=True))
    originals = layer.parametrizations.weight.originals()
    assert [p.dtype for p in originals] == [np.float64] * 2 and layer.weight.dtype == np.float32
    layer.weight = mg.ones(2, 3)
    assert layer.weight.tolist() == [[1] * 3] * 2
    layer.parametrizations.weight[0].dtype = np.float32
    with pytest.raises(ValueError, match=r"float32.*float64"):
        layer.weight = mg.zeros(2, 3)
    assert layer.weight.tolist() == [[1] * 3] * 2


def test_a_second_right_inverse_of_another_dtype():
    layer = register_parametrization(nn.Linear(3, 2), "weight", Inverse(np.float32))
    with pytest.raises(ValueError, match=r"float64.*float32"):
        register_parametrization(layer, "weight", Inverse(np.float64))
    assert len(layer.parametrizations.weight) == 1


def test_assigning_another_dtype_is_an_error():
    layer = weight_norm(nn.Linear(3, 2))
    with pytest.raises(ValueError, match=r"float64.*float32"):
        layer.weight = mg.ones(2, 3, dtype=mg.float64)
    layer.weight = mg.ones(2, 3)
    layer.double()
    layer.weight = mg.ones(2, 3, dtype=mg.float64)
    assert layer.weight.dtype == np.float64
