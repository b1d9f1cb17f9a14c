"""Containers behave as PyTorch's do: the expected names and sizes were read off PyTorch."""

import copy
from collections import OrderedDict

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn


def layers(*sizes):
    return [nn.Linear(n, 1) for n in sizes]


def listed(modules):
    """(name, size) of each entry, repeated ones included."""
    return [(name, modules.__dict__[name].in_features) for name in modules._module_names]


@pytest.fixture
def net():
    return nn.Sequential(*layers(1, 2, 3))


def test_a_product_repeats_the_same_modules(net):
    for product in (net * 2, 2 * net):
        assert type(product) is nn.Sequential and product is not net
        assert listed(product) == [("0", 1), ("1", 2), ("2", 3), ("3", 1), ("4", 2), ("5", 3)]
        assert product[3] is product[0] is net[0]
        assert len(list(product.parameters())) == 6
    before = net
    net *= 3
    assert net is before and len(net) == 9 and net[8] is net[2]
    linear = nn.Sequential(nn.Linear(2, 2)) * 3
    x = mg.ones(1, 2)
    np.testing.assert_array_equal(linear(x).detach(), linear[0](linear[0](linear[0](x))).detach())


@pytest.mark.parametrize(("factor", "error"), [(0, ValueError), (-1, ValueError), (1.5, TypeError), ("a", TypeError)])
def test_a_product_needs_a_positive_integer(net, factor, error):
    for product in (lambda: net * factor, lambda: factor * net, lambda: net.__imul__(factor)):
        with pytest.raises(error):
            product()
    assert len(net) == 3


def test_sums(net):
    other = nn.Sequential(*layers(8, 9))
    total = net + other
    assert listed(total) == [("0", 1), ("1", 2), ("2", 3), ("3", 8), ("4", 9)] and len(net) == 3
    before = net
    net += other
    assert net is before and listed(net) == listed(total) and net[3] is other[0]
    for wrong in (layers(1), 3, nn.ModuleList(layers(1))):
        with pytest.raises(ValueError, match="Sequential: only another Sequential can be added"):
            net + wrong
        with pytest.raises(ValueError, match="Sequential: only another Sequential can be added"):
            net += wrong
    modules = nn.ModuleList(layers(1, 2))
    before = modules
    modules += layers(3)
    assert modules is before and listed(modules) == [("0", 1), ("1", 2), ("2", 3)]
    assert listed(modules + layers(4)) == [("0", 1), ("1", 2), ("2", 3), ("3", 4)]


def test_named_entries_keep_their_names():
    net = nn.Sequential(OrderedDict(a=nn.Linear(1, 1), b=nn.Linear(2, 1)))
    net += nn.Sequential(OrderedDict(c=nn.Linear(3, 1)))
    assert listed(net) == [("a", 1), ("b", 2), ("2", 3)]
    assert listed(net * 1) == [("0", 1), ("1", 2), ("2", 3)]
    assert listed(net[1:]) == [("b", 2), ("2", 3)]


@pytest.mark.parametrize("kind", [nn.Sequential, lambda *m: nn.ModuleList(m)])
def test_a_list_of_modules(kind):
    net = kind(*layers(1, 2, 3))
    net.insert(-1, nn.Linear(7, 1))
    assert listed(net) == [("0", 1), ("1", 2), ("2", 7), ("3", 3)]
    for i in (-5, 5):
        with pytest.raises(IndexError, match="cannot insert at"):
            net.insert(i, nn.Linear(7, 1))
    assert net.pop(1).in_features == 2 and listed(net) == [("0", 1), ("1", 7), ("2", 3)]
    del net[::2]
    assert listed(net) == [("0", 7)]
    net.extend(net)
    net.extend(m for m in layers(5))
    assert listed(net) == [("0", 7), ("1", 7), ("2", 5)]
    assert [m.in_features for m in reversed(net)] == [5, 7, 7]
    net[-1] = nn.Linear(9, 1)
    assert [m.in_features for m in net[::-1]] == [9, 7, 7]
    assert not kind() and nn.Linear(1, 1) not in net


def parameters(module):
    return [(name, p.shape) for name, p in module.named_parameters()]


def zeros(n):
    return nn.Parameter(mg.zeros(n))


def test_a_list_of_parameters():
    made = nn.ParameterList([zeros(1), mg.zeros(2), np.zeros(3, np.float32)])
    before = made
    made += [zeros(4)]
    made += (zeros(n) for n in (5,))
    assert made is before and parameters(made) == [(str(i), (i + 1,)) for i in range(5)]
    made.append("text").append(zeros(7))
    assert len(made) == 7 and made[5] == "text" and made[-2] == "text"
    assert [name for name, _ in parameters(made)] == ["0", "1", "2", "3", "4", "6"]
    assert list(made.state_dict()) == ["0", "1", "2", "3", "4", "6"]
    made[5] = mg.zeros(6)
    made[-1] = zeros(70)
    assert parameters(made)[-2:] == [("6", (70,)), ("5", (6,))]
    with pytest.raises(TypeError, match="is a parameter"):
        made[0] = "text"
    assert parameters(made[1:3]) == [("0", (2,)), ("1", (3,))] and made[1:3][0] is made[1]
    twin, deep = copy.copy(made), copy.deepcopy(made)
    twin.append(zeros(8))
    assert (len(made), len(twin), len(deep)) == (7, 8, 7) and deep[0] is not made[0]
    for i in (7, -8):
        with pytest.raises(IndexError, match=f"ParameterList: index {i} is out of range"):
            made[i]
    with pytest.raises(TypeError):
        made += 3


def test_a_dictionary_of_parameters():
    made = nn.ParameterDict({"b": zeros(2), "a": mg.zeros(1)})
    assert parameters(made) == [("a", (1,)), ("b", (2,))]  # a plain dictionary is sorted by key
    before = made
    made |= nn.ParameterDict([("c", zeros(3)), ("a", zeros(9))])
    assert made is before and parameters(made) == [("a", (9,)), ("b", (2,)), ("c", (3,))]
    assert parameters(made | {"d": zeros(4)})[-1] == ("d", (4,)) and len(made) == 3
    assert list({"d": zeros(4)} | made) == ["d", "a", "b", "c"]
    assert made.get("a") is made["a"] is made.a and made.get("x") is None and made.get("x", 5) == 5
    assert made.setdefault("a", zeros(7)) is made["a"] and made.setdefault("x", zeros(7)).shape == (7,)
    key, last = made.popitem()
    assert key == "x" and last.shape == (7,) and "x" not in made
    assert made.pop("c").shape == (3,) and made.pop("c", None) is None
    with pytest.raises(KeyError, match="no parameter 'c'"):
        made.pop("c")
    assert list(reversed(made)) == ["b", "a"] and list(made.keys()) == ["a", "b"]
    twin = made.copy()
    assert twin is not made and twin["a"] is made["a"]
    assert [(k, v.shape) for k, v in made.fromkeys(["p", "q"], zeros(2)).items()] == [("p", (2,)), ("q", (2,))]
    made["note"] = "text"
    assert made["note"] == "text" and "note" not in made.state_dict() and len(made) == 3
    made["note"] = zeros(1)
    assert "note" in made.state_dict()
    made.update(OrderedDict(z=zeros(1), y=zeros(1)))
    assert list(made)[-2:] == ["z", "y"]
    del made["z"]
    made.clear()
    assert len(made) == 0 and list(made.parameters()) == [] and not hasattr(made, "a")
    with pytest.raises(KeyError, match="popitem from an empty"):
        made.popitem()
    assert len(twin) == 2
