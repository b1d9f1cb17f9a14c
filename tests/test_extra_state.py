"""`get_extra_state` and `set_extra_state`: what a module keeps beside tensors goes with its state dictionary."""

import copy

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn


class Vocabulary(nn.Module):
    def __init__(self, words=()):
        super().__init__()
        self.words = list(words)
        self.weight = nn.Parameter(np.ones(2, np.float32))
        self.log = []

    def get_extra_state(self):
        return {"words": self.words, "table": mg.tensor([1.0, 2.0]), "size": (len(self.words), None)}

    def set_extra_state(self, state):
        self.log.append(self.weight.tolist())  # the tensors are there already
        self.words = list(state["words"])


class Net(nn.Module):
    def __init__(self, *words):
        super().__init__()
        self.linear = nn.Linear(2, 2)
        self.parts = nn.ModuleList([Vocabulary(words), nn.Identity()])


def test_a_round_trip(tmp_path):
    net, other = Net("a", "b"), Net()
    nn.init.constant_(net.parts[0].weight, 5.0)
    state = net.state_dict()
    assert list(state) == ["linear.weight", "linear.bias", "parts.0.weight", "parts.0._extra_state"]
    mg.save(state, tmp_path / "net")
    for loaded in (state, copy.deepcopy(state), mg.load(tmp_path / "net")):
        other = Net()
        assert other.load_state_dict(loaded) == ([], [])
        assert other.parts[0].words == ["a", "b"] and other.parts[0].log == [[5, 5]]
        assert other.parts[0].weight.tolist() == [5, 5]
    assert mg.load(tmp_path / "net")["parts.0._extra_state"]["size"] == (2, None)
    assert list(net.parts[0].state_dict(prefix="x.")) == ["x.weight", "x._extra_state"]
    assert list(net.state_dict(keep_vars=True)) == list(state)


def test_the_extra_state_of_the_module_itself():
    first, second = Vocabulary(["x"]), Vocabulary()
    assert list(first.state_dict()) == ["weight", "_extra_state"]
    second.load_state_dict(first.state_dict())
    assert second.words == ["x"]


def test_missing_and_unexpected():
    net = Net("a")
    state = net.state_dict()
    del state["parts.0._extra_state"]
    with pytest.raises(RuntimeError, match=r"missing: parts\.0\._extra_state"):
        net.load_state_dict(state)
    assert net.load_state_dict(state, strict=False) == (["parts.0._extra_state"], [])
    assert net.parts[0].words == ["a"] and not net.parts[0].log
    state = nn.Linear(2, 2).state_dict() | {"_extra_state": 3}
    with pytest.raises(RuntimeError, match="unexpected: _extra_state"):
        nn.Linear(2, 2).load_state_dict(state)
    assert nn.Linear(2, 2).load_state_dict(state, strict=False) == ([], ["_extra_state"])


def test_nothing_is_set_where_something_does_not_fit():
    net = Net("a")
    state = net.state_dict() | {"linear.weight": np.zeros((3, 3), np.float32)}
    with pytest.raises(RuntimeError, match=r"shape of linear\.weight"):
        net.load_state_dict(state)
    assert not net.parts[0].log


def test_one_method_without_the_other():
    class Saves(nn.Module):
        def get_extra_state(self):
            return 1

    class Loads(nn.Module):
        def set_extra_state(self, state):
            self.state = state

    assert Saves().state_dict() == {"_extra_state": 1}
    with pytest.raises(RuntimeError, match="unexpected: _extra_state"):
        Saves().load_state_dict({"_extra_state": 1})
    module = Loads()
    assert module.state_dict() == {}
    module.load_state_dict({"_extra_state": None})
    assert module.state is None
    for call in (nn.Module().get_extra_state, lambda: nn.Module().set_extra_state(1)):
        with pytest.raises(NotImplementedError, match="does not define"):
            call()
