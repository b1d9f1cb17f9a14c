"""Module, Parameter, containers, Linear and its kin, saving and loading."""

import copy
import inspect
import os
import pickle
import subprocess
import sys
from collections import OrderedDict
from typing import Any, NamedTuple

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn


class Affine(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.weight = nn.Parameter(np.arange(1, n + 1, dtype=np.float32))
        self.register_parameter("bias", None)
        self.register_buffer("count", mg.tensor(0))
        self.register_buffer("scratch", mg.zeros(2), persistent=False)

    def forward(self, x):
        return x * self.weight


def net():
    return nn.Sequential(nn.Linear(3, 4), nn.Sequential(Affine(4), nn.Identity()), nn.Linear(4, 2, bias=False))


# -- registration and walking ----------------------------------------------------------------------------


def test_names_in_order():
    model = net()
    assert [n for n, _ in model.named_parameters()] == ["0.weight", "0.bias", "1.0.weight", "2.weight"]
    assert [n for n, _ in model.named_buffers()] == ["1.0.count", "1.0.scratch"]
    assert [n for n, _ in model.named_modules()] == ["", "0", "1", "1.0", "1.1", "2"]
    assert [n for n, _ in model.named_children()] == ["0", "1", "2"]
    assert [n for n, _ in model.named_parameters(prefix="net", recurse=False)] == []
    assert list(model.state_dict()) == ["0.weight", "0.bias", "1.0.weight", "1.0.count", "2.weight"]
    assert next(iter(model.state_dict(prefix="a."))) == "a.0.weight"


def test_shared_parameters_count_once_and_are_saved_under_both_names():
    a, b = nn.Linear(3, 3), nn.Linear(3, 3)
    b.weight = a.weight
    model = nn.Sequential(a, b, a)
    assert [n for n, _ in model.named_parameters()] == ["0.weight", "0.bias", "1.bias"]
    assert len(list(model.named_parameters(remove_duplicate=False))) == 6
    assert list(model.state_dict()) == ["0.weight", "0.bias", "1.weight", "1.bias", "2.weight", "2.bias"]
    assert "total: 15 parameters" in repr(model)
    assert len(list(model.children())) == 2
    twin = copy.deepcopy(model)
    assert twin[0].weight is twin[1].weight and twin[0] is twin[2] and twin[0].weight is not a.weight


def test_attributes_are_plain_and_replaceable():
    layer = nn.Linear(2, 2)
    assert layer.__dict__["weight"] is layer.weight
    layer.weight = nn.Parameter(mg.zeros(2, 2))
    assert next(layer.parameters()).numpy is not None and layer.weight.array.sum() == 0
    layer.bias = None
    assert [n for n, _ in layer.named_parameters()] == ["weight"]
    with pytest.raises(TypeError, match="weight is a parameter"):
        layer.weight = mg.zeros(2, 2)
    del layer.weight
    assert list(layer.parameters()) == [] and not hasattr(layer, "weight")
    model = nn.Sequential(layer)
    with pytest.raises(TypeError, match="submodule"):
        setattr(model, "0", 3)
    affine = Affine(2)
    with pytest.raises(TypeError, match="buffer"):
        affine.count = 3
    affine.count = mg.tensor(5)
    assert affine.state_dict()["count"].item() == 5
    affine.count = nn.Parameter(mg.ones(1))  # a buffer becomes a parameter: it is no longer both
    assert [n for n, _ in affine.named_buffers()] == ["scratch"]


def test_forgotten_super_init_does_no_harm():
    class Forgetful(nn.Module):
        def __init__(self):
            self.layer = nn.Linear(1, 1)

    assert len(list(Forgetful().parameters())) == 2


@pytest.mark.parametrize("name", ["", "a.b", "forward", "weight"])
def test_bad_names(name):
    layer = Affine(2)
    with pytest.raises(KeyError):
        layer.add_module(name, nn.Identity())
    with pytest.raises(KeyError):
        layer.register_buffer(name, mg.zeros(1))


def test_wrong_kinds():
    with pytest.raises(TypeError, match="must be a Module"):
        nn.Sequential(nn.Linear(1, 1), lambda x: x)
    with pytest.raises(TypeError, match="call it with brackets"):
        nn.Sequential(nn.Identity)
    with pytest.raises(TypeError, match="wrap it"):
        nn.Module().register_parameter("w", mg.zeros(1))
    with pytest.raises(TypeError, match="wrap it"):
        nn.Module().register_buffer("w", np.zeros(1))
    with pytest.raises(NotImplementedError, match="forward"):
        nn.Module()(1)
    with pytest.raises(TypeError, match="floating-point"):
        nn.Parameter(mg.tensor([1, 2]))


def test_getters():
    model = net()
    assert model.get_submodule("1.0") is model[1][0]
    assert model.get_submodule("") is model
    assert model.get_parameter("1.0.weight") is model[1][0].weight
    assert model.get_buffer("1.0.count") is model[1][0].count
    with pytest.raises(AttributeError, match="no submodule '7'"):
        model.get_submodule("1.7")
    with pytest.raises(AttributeError, match="no parameter 'wieght'"):
        model.get_parameter("0.wieght")


# -- whole-model operations ------------------------------------------------------------------------------


def test_train_eval_apply_zero_grad_requires_grad():
    model = net()
    assert model.eval() is model and not any(m.training for m in model.modules())
    assert model.train() is model and all(m.training for m in model.modules())
    order = []
    model.apply(order.append)
    assert order[-1] is model and order[0] is model[0] and len(order) == 6
    model(mg.ones(2, 3)).sum().backward()
    model.zero_grad(set_to_none=False)
    assert all((p.grad.array == 0).all() for p in model.parameters())
    model.zero_grad()
    assert all(p.grad is None for p in model.parameters())
    model.requires_grad_(False)
    assert not model(mg.ones(2, 3)).requires_grad


def test_to_converts_floats_in_place():
    model = net()
    before = list(model.parameters())
    model(mg.ones(2, 3)).sum().backward()
    model.double()
    assert all(p.dtype == np.float64 and p.grad.dtype == np.float64 for p in model.parameters())
    assert all(a is b for a, b in zip(before, model.parameters(), strict=True))
    assert model[1][0].count.dtype == np.int64 and model[1][0].scratch.dtype == np.float64
    assert model.to(mg.float32)(mg.ones(2, 3)).dtype == np.float32
    assert model.to("cpu") is model and model.to("cpu", mg.float64)[0].weight.dtype == np.float64
    assert model.to(device="cpu", dtype=mg.float32)[0].weight.dtype == np.float32
    assert model.to(mg.ones(1, dtype=mg.float64))[0].weight.dtype == np.float64
    assert model.type(mg.FloatTensor).cpu()[0].weight.dtype == np.float32
    for move in (
        lambda: model.to("cuda"),
        lambda: model.to(device="cuda:1"),
        model.cuda,
        lambda: model.to("mps", 1.0),
    ):
        with pytest.raises(RuntimeError, match="computes on the CPU only"):
            move()
    with pytest.raises(TypeError, match="float32 or float64"):
        model.to(mg.int64)


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_are_independent(clone):
    model = net()
    model[0].weight.requires_grad_(False)
    twin = clone(model)
    assert list(twin.state_dict()) == list(model.state_dict())
    for a, b in zip(model.parameters(), twin.parameters(), strict=True):
        assert type(b) is nn.Parameter and a.requires_grad == b.requires_grad
        assert (a.array == b.array).all() and not np.shares_memory(a.array, b.array)
    twin[2].weight.array += 1
    assert not np.allclose(model(mg.ones(1, 3)).detach().array, twin(mg.ones(1, 3)).detach().array)


# -- state dictionaries ----------------------------------------------------------------------------------


def test_load_state_dict_copies_in_place():
    source, target = net(), net()
    parameter = target[0].weight
    version = parameter.version[0]
    result = target.load_state_dict(source.state_dict())
    assert result == ([], []) and result.missing_keys == []
    assert target[0].weight is parameter and parameter.version[0] > version
    for a, b in zip(source.parameters(), target.parameters(), strict=True):
        assert (a.array == b.array).all() and not np.shares_memory(a.array, b.array)


def test_load_state_dict_lists_all_problems_and_changes_nothing():
    model = net()
    before = copy.deepcopy(model.state_dict())
    bad = model.state_dict()
    bad = {k: np.zeros(v.shape) for k, v in bad.items() if k != "0.bias"}
    bad["2.weight"] = np.zeros((3, 3))
    bad["extra"] = np.zeros(1)
    with pytest.raises(RuntimeError) as error:
        model.load_state_dict(bad)
    for part in ("missing: 0.bias", "unexpected: extra", "shape of 2.weight: (3, 3) given, (2, 4) expected"):
        assert part in str(error.value)
    with pytest.raises(RuntimeError, match=r"shape of 2\.weight"):
        model.load_state_dict(bad, strict=False)
    with pytest.raises(RuntimeError, match=r"dtype of 1\.0\.count"):
        model.load_state_dict(bad)
    for key, value in model.state_dict().items():
        assert (value.array == before[key].array).all()
    del bad["2.weight"], bad["1.0.count"]
    result = model.load_state_dict(bad, strict=False)
    assert result.missing_keys == ["0.bias", "1.0.count", "2.weight"] and result.unexpected_keys == ["extra"]
    assert (model[0].weight.array == 0).all()


def test_state_dict_shares_memory_and_keep_vars_gives_parameters():
    layer = nn.Linear(2, 2)
    assert np.shares_memory(layer.state_dict()["weight"].array, layer.weight.array)
    assert not layer.state_dict()["weight"].requires_grad
    assert layer.state_dict(keep_vars=True)["weight"] is layer.weight


# -- hooks -----------------------------------------------------------------------------------------------


def test_forward_hooks():
    layer = nn.Linear(2, 2)
    x = mg.ones(1, 2)
    plain = layer(x).detach().array
    seen = []
    pre = layer.register_forward_pre_hook(lambda m, args: seen.append("pre") or (args[0] * 2,))
    post = layer.register_forward_hook(lambda m, args, y: seen.append(args[0].array[0, 0]) or -y)
    first = layer.register_forward_hook(lambda m, args, y: seen.append("first"), prepend=True)
    y = layer(x)
    assert seen == ["pre", "first", 2.0]
    for handle in (pre, post, first):
        handle.remove()
    np.testing.assert_allclose(layer(x).detach().array, plain)
    np.testing.assert_allclose(y.detach().array, -layer(x * 2).detach().array)
    with layer.register_forward_hook(lambda m, args, kwargs, y: seen.append(kwargs), with_kwargs=True):
        layer(input=x)
    assert seen[-1]["input"] is x


def test_full_backward_hook_sees_and_changes_gradients():
    layer = nn.Linear(3, 2).double()
    x = mg.tensor(np.ones((4, 3)), requires_grad=True)
    seen = []

    def hook(module, grad_input, grad_output):
        seen.append((module, grad_input[0].array.copy(), grad_output[0].array.copy()))
        return (grad_input[0] * 3,)

    handle = layer.register_full_backward_hook(hook)
    v = np.random.default_rng(0).standard_normal((4, 2))
    layer(x).backward(mg.tensor(v))
    module, grad_input, grad_output = seen[0]
    assert module is layer
    np.testing.assert_allclose(grad_output, v)
    np.testing.assert_allclose(grad_input, v @ layer.weight.detach().array)
    np.testing.assert_allclose(x.grad.array, 3 * grad_input)
    handle.remove()
    layer(x).sum().backward()
    assert len(seen) == 1


def test_full_backward_hook_of_a_first_layer():
    layer = nn.Linear(3, 2)
    seen = []
    layer.register_full_backward_hook(lambda m, gi, go: seen.append((gi, go[0].shape)))
    layer(mg.ones(4, 3)).sum().backward()
    assert seen == [((None,), (4, 2))]


# -- repr ------------------------------------------------------------------------------------------------


def test_repr_shows_shapes_counts_and_total():
    model = nn.Sequential(OrderedDict(first=nn.Linear(64, 256), last=nn.Linear(256, 10, bias=False)))
    model[1].requires_grad_(False)
    lines = repr(model).splitlines()
    assert lines[0] == "Sequential("
    assert lines[1].split("  ")[-1] == "weight 256x64, bias 256" and "16,640" in lines[1]
    assert lines[2].startswith("  (last): Linear(in_features=256, out_features=10, bias=False)")
    assert lines[2].endswith("2,560  weight 10x256 (frozen)")
    assert lines[-1] == "total: 19,200 parameters, 2,560 of them frozen"
    assert lines[1].index("16,640") + 6 == lines[2].index("2,560") + 5
    assert repr(nn.Identity()).splitlines() == ["Identity()", "total: 0 parameters"]
    assert repr(nn.Parameter([1.0])).startswith("Parameter containing:\ntensor([1.]")


# -- containers ------------------------------------------------------------------------------------------


def test_sequential():
    a, b, c, d = (nn.Linear(2, 2) for _ in range(4))
    model = nn.Sequential(a, b)
    assert model.append(c) is model and len(model) == 3 and list(model) == [a, b, c]
    model.insert(1, d)
    assert list(model) == [a, d, b, c] and list(model.state_dict())[2] == "1.weight"
    assert model[-1] is c and list(model[1:3]) == [d, b] and isinstance(model[1:3], nn.Sequential)
    del model[1]
    assert list(model) == [a, b, c] and [n for n, _ in model.named_children()] == ["0", "1", "2"]
    model[0] = d
    assert model[0] is d and d in model
    assert model.pop() is c and len(model.extend([a, c])) == 4
    with pytest.raises(IndexError, match="out of range"):
        model[4]
    assert list(model + nn.Sequential(a))[-1] is a
    assert nn.Sequential()(3) == 3


def test_module_list_and_dict():
    layers = nn.ModuleList([nn.Linear(2, 2) for _ in range(3)])
    assert len(list(layers.parameters())) == 6 and isinstance(layers[1:], nn.ModuleList) and len(layers[1:]) == 2
    with pytest.raises(NotImplementedError):
        layers(1)
    table = nn.ModuleDict({"a": nn.Linear(1, 1)})
    table["b"] = nn.Identity()
    assert list(table) == list(table.keys()) == ["a", "b"] and "a" in table and len(table) == 2
    assert [k for k, _ in table.items()] == ["a", "b"] and isinstance(table["b"], nn.Identity)
    table.pop("a")
    assert list(table.parameters()) == []
    with pytest.raises(KeyError, match="no module 'z'"):
        table["z"]
    with pytest.raises(KeyError, match="attribute of that name"):
        table["keys"] = nn.Identity()
    table.clear()
    assert len(table) == 0


def test_parameter_list_and_dict():
    values = nn.ParameterList([mg.zeros(2), nn.Parameter(mg.ones(3))])
    assert values.append(mg.ones(1)) is values and len(values) == 3 and values[-1].shape == (1,)
    assert [n for n, _ in values.named_parameters()] == ["0", "1", "2"]
    values[0] = mg.ones(5)
    assert values[0].shape == (5,)
    table = nn.ParameterDict({"w": mg.zeros(2)})
    assert isinstance(table["w"], nn.Parameter) and list(table.keys()) == ["w"]
    del table["w"]
    assert "w" not in table


def test_flatten_and_unflatten():
    x = mg.zeros(2, 3, 4, 5)
    assert nn.Flatten()(x).shape == (2, 60)
    assert nn.Flatten(0, 1)(x).shape == (6, 4, 5)
    assert nn.Flatten(0)(mg.tensor(1.0)).shape == (1,)
    assert nn.Flatten()(mg.zeros(0, 3, 2)).shape == (0, 6)
    assert nn.Unflatten(2, (2, -1))(x).shape == (2, 3, 2, 2, 5)
    with pytest.raises(ValueError, match="cannot be split"):
        nn.Unflatten(1, (2, 2))(x)
    with pytest.raises(IndexError, match="out of range"):
        nn.Flatten(4)(x)
    with pytest.raises(ValueError, match="comes after"):
        nn.Flatten(2, 1)(x)


# -- layers ----------------------------------------------------------------------------------------------


def test_linear_bilinear_embedding():
    rng = np.random.default_rng(0)
    x, z = rng.standard_normal((2, 5, 3)), rng.standard_normal((2, 5, 4))
    linear, bilinear = nn.Linear(3, 2, dtype=mg.float64), nn.Bilinear(3, 4, 2, dtype=mg.float64)
    w, b = linear.weight.array, linear.bias.array
    np.testing.assert_allclose(linear(mg.tensor(x)).detach().array, x @ w.T + b)
    expected = np.einsum("...i,kij,...j->...k", x, bilinear.weight.array, z) + bilinear.bias.array
    np.testing.assert_allclose(bilinear(mg.tensor(x), mg.tensor(z)).detach().array, expected)
    with pytest.raises(ValueError, match="leading axes differ"):
        bilinear(mg.tensor(x[:1]), mg.tensor(z))
    with pytest.raises(ValueError, match="3 and 4 features"):
        bilinear(mg.tensor(z), mg.tensor(x))
    parameters = [mg.tensor(p.array, requires_grad=True) for p in bilinear.parameters()]

    def run(x, z, weight, bias):
        twin = copy.copy(bilinear)
        twin.__dict__.update(weight=weight, bias=bias)
        return twin(x, z)

    inputs = [mg.tensor(x[0], requires_grad=True), mg.tensor(z[0], requires_grad=True), *parameters]
    assert mg.autograd.gradcheck(run, inputs) and mg.autograd.gradgradcheck(run, inputs)

    table = nn.Embedding(6, 3, padding_idx=-1)
    assert table.padding_idx == 5 and (table.weight.array[5] == 0).all()
    index = mg.tensor([[1, 5], [1, 0]])
    y = table(index)
    np.testing.assert_array_equal(y.detach().array, table.weight.array[index.array])
    y.backward(mg.ones(2, 2, 3))
    np.testing.assert_array_equal(table.weight.grad.array[:, 0], [1, 2, 0, 0, 0, 0])
    with pytest.raises(ValueError, match="padding_idx"):
        nn.Embedding(3, 2, padding_idx=3)
    frozen = nn.Embedding.from_pretrained(mg.ones(2, 3))
    assert not frozen.weight.requires_grad and frozen(mg.tensor(1)).tolist() == [1, 1, 1]


def test_default_initialization_is_uniform_within_the_bound():
    mg.manual_seed(0)
    layer = nn.Linear(100, 300)
    for p in layer.parameters():
        assert abs(p.array).max() <= 0.1 and abs(p.array).max() > 0.099
        assert abs(p.array.std() - 0.1 / np.sqrt(3)) < 0.004
    assert nn.Linear(0, 3)(mg.zeros(2, 0)).shape == (2, 3)


# -- saving ----------------------------------------------------------------------------------------------


def test_save_and_load(tmp_path):
    model = net()
    path = tmp_path / "any.name"
    data = {
        "model": model.state_dict(),
        "optimizer": {
            "state": {0: {"step": 3, "m": mg.ones(2)}},
            "groups": [{"betas": (0.9, 0.99), "lr": np.float64(1)}],
        },
        "rng": mg.get_rng_state(),
        "history": [float("inf"), None, True, "text"],
        "array": np.arange(3),
        "a": {"b": mg.zeros(1)},
        "a/b": mg.ones(1),
    }
    mg.save(data, path)
    back = mg.load(path)
    assert back["optimizer"]["state"][0]["step"] == 3
    assert back["optimizer"]["groups"][0] == {"betas": (0.9, 0.99), "lr": 1}
    assert back["rng"] == mg.get_rng_state() and back["history"] == [float("inf"), None, True, "text"]
    assert isinstance(back["array"], np.ndarray) and back["a"]["b"].item() == 0 and back["a/b"].item() == 1
    twin = net()
    twin.load_state_dict(back["model"])
    for a, b in zip(model.state_dict().values(), twin.state_dict().values(), strict=True):
        assert (a.array == b.array).all() and a.dtype == b.dtype
    assert [p.name for p in tmp_path.iterdir()] == ["any.name"]


def test_a_state_dict_is_a_plain_npz(tmp_path):
    layer = nn.Linear(2, 3)
    mg.save(layer.state_dict(), tmp_path / "x.npz")
    with np.load(tmp_path / "x.npz") as arrays:
        assert (arrays["weight"] == layer.weight.array).all()
    np.savez(tmp_path / "y.npz", weight=np.zeros((3, 2)), bias=np.zeros(3))
    nn.Linear(2, 3).load_state_dict(mg.load(tmp_path / "y.npz"))
    mg.save(layer.state_dict(), tmp_path / "z.npz")
    assert (tmp_path / "x.npz").read_bytes() == (tmp_path / "z.npz").read_bytes()


def test_saving_refuses_what_it_cannot_hold_and_keeps_the_old_file(tmp_path):
    path = tmp_path / "x"
    mg.save({"a": 1}, path)
    with pytest.raises(TypeError, match=r"Linear at model/net.*state_dict"):
        mg.save({"model": {"net": nn.Linear(1, 1)}}, path)
    with pytest.raises(TypeError, match="not a number"):
        mg.save(np.array([None]), path)
    with pytest.raises(TypeError, match="key"):
        mg.save({(1, 2): 3}, path)
    assert mg.load(path) == {"a": 1}
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(ValueError, match="damaged"):
        mg.load(path)
    with pytest.raises(FileNotFoundError):
        mg.load(tmp_path / "none")


def test_loading_never_unpickles(tmp_path):
    np.savez(tmp_path / "x.npz", evil=np.array([print], dtype=object))
    with pytest.raises(ValueError, match=r"pickle|Object"):
        mg.load(tmp_path / "x.npz")


@pytest.mark.parametrize("given", [None, "weights.npz", mg.nn.Linear(1, 1), [("weight", 1)]])
def test_loading_what_is_no_dictionary(given):
    with pytest.raises(TypeError, match=r"load_state_dict of Linear: expected a dictionary .* not a"):
        mg.nn.Linear(1, 1).load_state_dict(given)


def test_loading_names_that_are_no_strings():
    with pytest.raises(RuntimeError, match=r"missing: weight, bias\n  unexpected: 1"):
        mg.nn.Linear(1, 1).load_state_dict({1: np.ones(1)})


def test_backward_hooks_of_a_module_that_returns_a_namedtuple():
    class Pair(NamedTuple):
        double: Any
        triple: Any

    class Both(mg.nn.Module):
        def forward(self, x):
            return Pair(2 * x, 3 * x)

    module, seen = Both(), []
    module.register_full_backward_hook(lambda module, grad_input, grad_output: seen.extend([grad_input, grad_output]))
    x = mg.ones(2, requires_grad=True)
    y = module(x)
    assert isinstance(y, Pair)
    (y.double + y.triple * 10).sum().backward()
    assert [[g.tolist() for g in grads] for grads in seen] == [[[32, 32]], [[1, 1], [10, 10]]]


@pytest.mark.parametrize("result", [2.0, (mg.ones(2), mg.ones(2)), ()])
def test_a_backward_hook_that_returns_the_wrong_thing(result):
    module = mg.nn.ReLU()
    module.register_full_backward_hook(lambda *_: result)
    with pytest.raises(TypeError, match=r"backward hook of a ReLU must return a tensor or None"):
        module(mg.ones(2, requires_grad=True)).sum().backward()


@pytest.mark.parametrize("key", ["a\0b", "\ud800", "k" * 70_000, "../up", "", "γ"])
def test_any_text_is_a_key(tmp_path, key):
    mg.save({key: mg.ones(1), key + "\0": mg.zeros(1)}, tmp_path / "file")
    assert {k: v.tolist() for k, v in mg.load(tmp_path / "file").items()} == {key: [1], key + "\0": [0]}


def test_saving_a_complex_number(tmp_path):
    with pytest.raises(TypeError, match="save: cannot save the complex64 at a"):
        mg.save({"a": np.complex64(1)}, tmp_path / "file")


@pytest.mark.parametrize("compressed", [False, True])
def test_a_damaged_file_is_noticed(tmp_path, compressed):
    path, values = tmp_path / "file", np.arange(12.0).reshape(3, 4)
    if compressed:
        with open(path, "wb") as file:
            np.savez_compressed(file, a=values)
    else:
        mg.save({"a": values}, path)
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    for _ in range(400):
        broken = bytearray(whole)
        broken[rng.integers(len(whole))] = rng.integers(256)
        path.write_bytes(broken[: rng.integers(len(whole))] if rng.random() < 0.2 else broken)
        try:
            loaded = mg.load(path)
        except ValueError as error:
            assert str(error).startswith(f"load: {path}")
        else:  # a date, say, was hit
            for array in loaded.values():
                np.testing.assert_array_equal(array, values)


def test_a_class_that_inherits_its_init_shows_its_arguments():
    class Twin(nn.Linear):
        pass

    own = Twin.__signature__  # Python before 3.11.5 needs it, later ones agree
    assert inspect.signature(Twin) == own
    assert list(own.parameters)[:3] == ["in_features", "out_features", "bias"]
    assert list(inspect.signature(Twin(2, 3)).parameters) == ["args", "kwargs"], "a module is called like `forward`"


# -- printing ------------------------------------------------------------------------------------------------------

PRINTS = """
import minigrad as mg
from minigrad import nn

net = nn.Sequential(
    nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.LSTM(3, 4), nn.MultiheadAttention(4, 2),
    nn.utils.parametrizations.weight_norm(nn.Linear(3, 2)), nn.Embedding(3, 4), nn.SELU(), nn.Bilinear(2, 3, 4),
)
net[0].requires_grad_(False)
optimizer = mg.optim.Adam(net.parameters())
print(net, repr(net), optimizer, mg.optim.lr_scheduler.StepLR(optimizer, 3))
x = mg.randn(3, 2, requires_grad=True)
print(x, x.exp(), x.exp().grad_fn, mg.arange(3), f"{x}")
"""


def test_printing_on_an_ascii_terminal():
    settings = {"LANG": "C", "LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command = [sys.executable, "-c", PRINTS]
    result = subprocess.run(command, env={**os.environ, **settings}, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "weight 2x1x3x3 (frozen), bias 2 (frozen)" in result.stdout and "grad_fn" in result.stdout


def test_every_layer_prints_as_ascii():
    arguments = [(), (4,), (4, 4), (2, 4), (4, 2), (2, 3, 3), (4, 4, 4), ((4,),), (4, 2, 8), (4, 2, 8, 8)]
    layers = [c for c in vars(nn).values() if isinstance(c, type) and issubclass(c, nn.Module)]
    printed = set()
    for layer in layers:
        for values in arguments:
            try:
                text = repr(layer(*values))
            except (TypeError, ValueError, KeyError, AttributeError, ZeroDivisionError):
                continue  # not the arguments of this layer
            printed.add(layer)
            assert text.isascii(), text
    assert len(printed) > 0.8 * len(layers)
