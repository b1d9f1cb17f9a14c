"""Lazy layers: before the first call, at it, and after."""

import copy
import inspect
import pickle

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn

LAYERS = {
    "Linear": ((4,), (2, 3, 5), 5),
    "Conv1d": ((4, 3), (2, 6, 8), 6),
    "Conv2d": ((4, 3), (2, 6, 5, 5), 6),
    "Conv3d": ((4, 2), (2, 6, 3, 3, 3), 6),
    "ConvTranspose1d": ((4, 3), (2, 6, 8), 6),
    "ConvTranspose2d": ((4, 3), (2, 6, 5, 5), 6),
    "ConvTranspose3d": ((4, 2), (2, 6, 3, 3, 3), 6),
    "BatchNorm1d": ((), (8, 3), 3),
    "BatchNorm2d": ((), (4, 3, 2, 2), 3),
    "BatchNorm3d": ((), (4, 3, 2, 2, 2), 3),
    "InstanceNorm1d": ((), (4, 3, 5), 3),
    "InstanceNorm2d": ((), (4, 3, 2, 2), 3),
    "InstanceNorm3d": ((), (4, 3, 2, 2, 2), 3),
}


def both(name, **options):
    """(a lazy layer, what makes the plain one, an input)."""
    arguments, shape, size = LAYERS[name]
    if "InstanceNorm" in name:  # PyTorch's lazy one has other defaults than the plain one
        options = {"affine": True, "track_running_stats": True, **options}
    lazy = getattr(nn, f"Lazy{name}")(*arguments, **options)
    return lazy, lambda: getattr(nn, name)(size, *arguments, **options), mg.randn(*shape, dtype=options.get("dtype"))


def same_state(one, other):
    ours, theirs = one.state_dict(), other.state_dict()
    assert list(ours) == list(theirs)
    for key, value in ours.items():
        assert value.dtype == theirs[key].dtype
        np.testing.assert_array_equal(value, theirs[key])


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("options", [{}, {"bias": False}, {"dtype": np.float64}])
def test_after_the_first_call_it_is_the_plain_layer(name, options):
    lazy, make, x = both(name, **options)
    names = [n for n, _ in lazy.named_parameters()]
    mg.manual_seed(5)
    plain = make()
    mg.manual_seed(5)
    y = lazy(x)
    assert type(lazy) is type(plain) and repr(lazy) == repr(plain) and lazy.__dict__.keys() == plain.__dict__.keys()
    assert names == [n for n, _ in plain.named_parameters()]
    np.testing.assert_array_equal(y.detach(), plain(x).detach())
    same_state(lazy, plain)
    lazy.reset_parameters()


@pytest.mark.parametrize("name", [n for n in LAYERS if "Conv" in n])
def test_grouped_convolutions(name):
    lazy, make, x = both(name, groups=2)
    lazy(x)
    assert lazy.weight.shape == make().weight.shape


@pytest.mark.parametrize("name", [n for n in LAYERS if n != "Linear" and "BatchNorm" not in n])
def test_an_input_without_a_batch(name):
    lazy, make, x = both(name)
    assert lazy(x[0]).ndim == x.ndim - 1
    assert repr(lazy) == repr(make())


@pytest.mark.parametrize("name", LAYERS)
def test_arguments_are_those_of_the_plain_layer_without_the_size(name):
    plain = list(inspect.signature(getattr(nn, name)).parameters)
    assert list(inspect.signature(getattr(nn, f"Lazy{name}")).parameters) == plain[1:]


@pytest.mark.parametrize("name", LAYERS)
def test_before_the_first_call(name):
    lazy, _, _ = both(name)
    assert lazy.has_uninitialized_params()
    assert f"Lazy{name}" in repr(lazy) and "not initialized" in repr(lazy)
    state = lazy.state_dict()
    for key, tensor in state.items():
        if key != "num_batches_tracked":
            assert repr(tensor) in ("<UninitializedParameter>", "<UninitializedBuffer>")
    weight = lazy.weight
    assert isinstance(weight, nn.Parameter) and weight.requires_grad and weight.grad is None and weight.is_leaf
    uses = [
        lambda: weight.shape, lambda: weight + 1, lambda: mg.ones(3) * weight, lambda: weight.sum(),
        lambda: len(weight), lambda: weight.numel(), lambda: weight.detach(),
        lambda: weight[0], lambda: nn.init.zeros_(weight), lambda: weight.ndim, lambda: weight.array,
        lambda: nn.utils.parameters_to_vector(lazy.parameters()), lambda: weight.tolist(),
        lambda: nn.utils.parametrizations.weight_norm(lazy),
    ]  # fmt: skip
    for use in uses:
        with pytest.raises(RuntimeError, match=r"UninitializedParameter: .* call the network once on a batch"):
            use()
    lazy.zero_grad()
    lazy.reset_parameters()
    assert lazy.has_uninitialized_params()


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("twin", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))])
def test_copies_are_lazy_for_themselves(name, twin):
    lazy, make, x = both(name)
    other = twin(lazy)
    other(x)
    assert repr(other) == repr(make()) and lazy.has_uninitialized_params()
    lazy(x[:1] if "Norm" not in name else x)


@pytest.mark.parametrize("name", LAYERS)
def test_a_state_is_loaded_before_and_after(name):
    lazy, make, x = both(name)
    plain = make()
    plain(x)
    assert repr(lazy.load_state_dict(plain.state_dict())) == "<All keys matched successfully>"
    assert type(lazy).__name__ == f"Lazy{name}" and not lazy.has_uninitialized_params()
    same_state(lazy, plain)
    expected = copy.deepcopy(plain).eval()(x)
    np.testing.assert_array_equal(lazy.eval()(x).detach(), expected.detach())
    assert repr(lazy) == repr(plain)
    later, _, _ = both(name)
    later(x)
    later.load_state_dict(plain.state_dict())
    same_state(later, plain)
    assigned, _, _ = both(name)
    assigned.load_state_dict(plain.state_dict(), assign=True)
    assigned.eval()(x)
    same_state(assigned, plain)


def test_a_loaded_state_that_does_not_fit_the_first_input():
    lazy = nn.LazyLinear(3)
    lazy.load_state_dict(nn.Linear(5, 3).state_dict())
    with pytest.raises(ValueError, match=r"LazyLinear: weight, which was loaded, has shape \(3, 5\).*needs \(3, 6\)"):
        lazy(mg.ones(1, 6))
    assert lazy(mg.ones(1, 5)).shape == (1, 3)


def test_a_state_without_values():
    state = nn.LazyLinear(3).state_dict()
    assert not any(nn.LazyLinear(3).load_state_dict(state))
    with pytest.raises(RuntimeError, match="weight has no values: call the network that it comes from"):
        nn.Linear(5, 3).load_state_dict(state)


@pytest.mark.parametrize("optimizer", [mg.optim.SGD, mg.optim.Adam, mg.optim.AdamW, mg.optim.RMSprop])
@pytest.mark.parametrize("first", ["optimizer", "dry run"])
def test_an_optimizer_made_before_or_after_the_dry_run(optimizer, first):
    def trained(make):
        mg.manual_seed(1)
        net = make()
        x, target = mg.ones(4, 3), mg.zeros(4, 2)
        if first == "dry run":
            net(x)
        optimize = optimizer(net.parameters(), lr=0.1)
        for _ in range(3):
            optimize.zero_grad()
            nn.functional.mse_loss(net(x), target).backward()
            optimize.step()
        return [p.tolist() for p in net.parameters()]

    lazy = trained(lambda: nn.Sequential(nn.LazyLinear(5), nn.ReLU(), nn.LazyLinear(2)))
    assert lazy == trained(lambda: nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 2)))


def test_precision_and_freezing_before_the_dry_run():
    net = nn.Sequential(nn.LazyConv1d(4, 3), nn.LazyBatchNorm1d()).double()
    net[0].requires_grad_(False)
    net(mg.randn(2, 3, 8, dtype=mg.float64))
    assert all(t.dtype == np.float64 for k, t in net.state_dict().items() if k != "1.num_batches_tracked")
    assert [p.requires_grad for p in net.parameters()] == [False, False, True, True]
    mg.manual_seed(2)
    expected = nn.Conv1d(3, 4, 3, dtype=mg.float64).weight
    mg.manual_seed(2)
    lazy = nn.LazyConv1d(4, 3).double()
    lazy(mg.randn(1, 3, 8, generator=mg.Generator().manual_seed(0), dtype=mg.float64))
    assert not np.array_equal(np.float32(lazy.weight.detach()), lazy.weight.detach())  # not drawn in float32
    assert lazy.weight.dtype == expected.dtype


def test_hooks_and_shared_layers():
    seen = []
    net = nn.Sequential(nn.LazyLinear(3), nn.LazyLinear(3))
    net.append(net[1])
    net[0].register_forward_hook(lambda module, args, y: seen.append(type(module)))
    net(input=mg.ones(2, 3))
    assert seen == [nn.Linear] and len(list(net.parameters())) == 4
    assert nn.LazyConvTranspose2d(2, 3, stride=2)(mg.ones(1, 1, 4, 4), output_size=(10, 10)).shape == (1, 2, 10, 10)


def test_errors_of_the_first_call_leave_it_lazy():
    for lazy, wrong, message in (
        (nn.LazyConv2d(3, 2), mg.ones(3), r"LazyConv2d: the input must have 4 axes, or 3 without a batch"),
        (nn.LazyBatchNorm1d(), mg.ones(3), r"LazyBatchNorm1d: the input must be \(N, C\) or \(N, C, L\)"),
        (nn.LazyConv2d(4, 2, groups=2), mg.ones(1, 5, 4, 4), "groups=2 must divide"),
    ):
        with pytest.raises(ValueError, match=message):
            lazy(wrong)
        assert lazy.has_uninitialized_params()
    with pytest.raises(TypeError, match="LazyLinear: the input must be a tensor, not a str"):
        nn.LazyLinear(3)("text")


def test_a_lazy_layer_of_ones_own():
    class Scale(nn.Module):
        def __init__(self, n):
            super().__init__()
            self.weight = nn.Parameter(mg.ones(n))

        def forward(self, x):
            return x * self.weight

    class LazyScale(nn.LazyModuleMixin, Scale):
        cls_to_become = Scale

        def __init__(self):
            super().__init__(0)
            self.weight = nn.UninitializedParameter()

        def initialize_parameters(self, x):
            self.weight.materialize(x.shape[-1:])
            with mg.no_grad():
                self.weight.fill_(2)

    class Forgetful(LazyScale):
        def initialize_parameters(self, x):
            pass

    lazy = LazyScale()
    weight = lazy.weight
    assert lazy(mg.ones(2, 3)).tolist() == [[2, 2, 2]] * 2
    assert type(lazy) is Scale and lazy.weight is weight and type(weight) is nn.Parameter
    with pytest.raises(RuntimeError, match="Forgetful: initialize_parameters left parameters uninitialized"):
        Forgetful()(mg.ones(3))
