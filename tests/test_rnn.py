"""RNN, LSTM, GRU and their cells: derivatives, fused against composed, where the norm goes, errors."""

import copy
import gc
import pickle
import weakref

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.ops import recurrent

RNG = np.random.default_rng(5)
T, B, N, H = 3, 2, 2, 3  # steps, batch, inputs, hidden units


def leaf(*shape, scale=1.0):
    return mg.tensor(RNG.standard_normal(shape) * scale, requires_grad=True)


def sequence_cases(reverse):
    bias = leaf(3 * H)
    return {
        "rnn": (
            lambda x, w, h: recurrent.rnn_sequence(x, w, h, "tanh", reverse),
            [leaf(T, B, H), leaf(H, H), leaf(B, H)],
        ),
        "rnn_relu": (
            lambda x, w, h: recurrent.rnn_sequence(x, w, h, "relu", reverse),
            [leaf(T, B, H), leaf(H, H), leaf(B, H)],
        ),
        "lstm": (
            lambda x, w, h, c: recurrent.lstm_sequence(x, w, h, c, reverse),
            [leaf(T, B, 4 * H), leaf(4 * H, H), leaf(B, H), leaf(B, H)],
        ),
        "gru": (
            lambda x, w, b, h: recurrent.gru_sequence(x, w, b, h, reverse),
            [leaf(T, B, 3 * H), leaf(3 * H, H), bias, leaf(B, H)],
        ),
        "gru_no_bias": (
            lambda x, w, h: recurrent.gru_sequence(x, w, None, h, reverse),
            [leaf(T, B, 3 * H), leaf(3 * H, H), leaf(B, H)],
        ),
    }


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("name", ["rnn", "rnn_relu", "lstm", "gru", "gru_no_bias"])
def test_sequence_derivatives(name, reverse):
    function, inputs = sequence_cases(reverse)[name]
    assert mg.autograd.gradcheck(function, inputs)
    assert mg.autograd.gradgradcheck(function, inputs)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("name", ["rnn", "lstm", "gru"])
def test_fused_equals_composed_to_the_third_order(name, reverse):
    function, inputs = sequence_cases(reverse)[name]

    def derivatives():
        y = function(*inputs)
        y = y[0] * y[0].shape[0] + y[1] if isinstance(y, tuple) else y
        rng = np.random.default_rng(1)
        found, level = [], [y]
        for _ in range(3):
            cotangents = [mg.tensor(rng.standard_normal(g.shape)) for g in level]
            level = mg.grad(level, inputs, cotangents, create_graph=True)
            found.extend(g.detach().array for g in level)
        return found

    fused = derivatives()
    with mg.composed():
        composed = derivatives()
    for a, b in zip(fused, composed, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


def test_a_layer_is_few_graph_nodes():
    def count(y):
        seen, stack = set(), [y.grad_fn]
        while stack:
            node = stack.pop()
            if node not in seen:
                seen.add(node)
                stack.extend(e[0] for e in node.edges if e is not None)
        return len(seen)

    layer, x = nn.LSTM(N, H), mg.zeros(20, B, N)
    assert count(layer(x)[0]) < 15
    with mg.composed():
        assert count(layer(x)[0]) > 200


def test_steps():
    gates, c = leaf(B, 4 * H), leaf(B, H)
    x, y, h = leaf(B, 3 * H), leaf(B, 3 * H), leaf(B, H)
    for function, inputs in ((recurrent.lstm_gates, [gates, c]), (recurrent.gru_step, [x, y, h])):
        assert mg.autograd.gradcheck(function, inputs) and mg.autograd.gradgradcheck(function, inputs)
        fused = function(*inputs)
        with mg.composed():
            composed = function(*inputs)
        fused, composed = (r if isinstance(r, tuple) else (r,) for r in (fused, composed))
        for a, b in zip(fused, composed, strict=True):
            np.testing.assert_allclose(a.detach().array, b.detach().array, rtol=1e-12)


@pytest.mark.parametrize("cell, layer", [(nn.RNNCell, nn.RNN), (nn.LSTMCell, nn.LSTM), (nn.GRUCell, nn.GRU)])
@pytest.mark.parametrize("norm", [None, nn.LayerNorm])
def test_cells_are_steps_of_layers(cell, layer, norm):
    layer, cell = layer(N, H, norm=norm, dtype=mg.float64), cell(N, H, norm=norm, dtype=mg.float64)
    state = {key.replace("_l0", ""): RNG.standard_normal(v.shape) for key, v in layer.state_dict().items()}
    layer.load_state_dict({key: state[key.replace("_l0", "")] for key in layer.state_dict()})
    cell.load_state_dict({key: state[key.replace("norm_sum", "norm")] for key in cell.state_dict()})
    x = mg.tensor(RNG.standard_normal((T, B, N)))
    outputs, final = layer(x)
    here = None
    for t in range(T):
        here = cell(x[t], here)
        h = here[0] if isinstance(here, tuple) else here
        np.testing.assert_allclose(outputs[t].detach().array, h.detach().array, rtol=1e-10)
    final = final if isinstance(final, tuple) else (final,)
    here = here if isinstance(here, tuple) else (here,)
    for a, b in zip(final, here, strict=True):
        np.testing.assert_allclose(a[0].detach().array, b.detach().array, rtol=1e-10)


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
def test_norm_that_does_nothing_changes_nothing(kind):
    options = {"num_layers": 2, "bidirectional": True, "dtype": mg.float64}
    plain, normed = kind(N, H, **options), kind(N, H, norm=lambda n: nn.Identity(), **options)
    normed.load_state_dict(plain.state_dict())
    x = mg.tensor(RNG.standard_normal((T, B, N)), requires_grad=True)
    results = []
    for module in (plain, normed):
        y, states = module(x)
        states = states if isinstance(states, tuple) else (states,)
        loss = sum((s * s).sum() for s in (y, *states))
        results.append([y, *states, *mg.grad(loss, [x, *module.parameters()])])
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a.detach().array, b.detach().array, rtol=1e-10, atol=1e-12)


def test_places_of_the_norms():
    sizes = []

    def norm(n):
        sizes.append(n)
        return nn.LayerNorm(n)

    assert [n for n, _ in nn.LSTM(N, H, norm=norm).named_children()] == ["norm_ih_l0", "norm_hh_l0", "norm_c_l0"]
    assert sizes == [4 * H, 4 * H, H]
    sizes.clear()
    gru = nn.GRU(N, H, norm=norm, bidirectional=True)
    assert [n for n, _ in gru.named_children()] == [
        "norm_ih_l0", "norm_hh_l0", "norm_ih_l0_reverse", "norm_hh_l0_reverse",
    ]  # fmt: skip
    assert sizes == [2 * H, H] * 4
    sizes.clear()
    assert [n for n, _ in nn.RNN(N, H, 2, norm=norm).named_children()] == ["norm_l0", "norm_l1"] and sizes == [H, H]


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
def test_layer_norm_tames_large_hidden_weights(kind):
    # The literature's claim in small: with weights ten times too large, the plain layer's units saturate, and
    # gradients vanish or explode; with layer norm they do not depend on the scale of the weights.
    mg.manual_seed(0)
    module = kind(N, 8, norm=nn.LayerNorm, bias=False, dtype=mg.float64)
    x = mg.randn(20, 4, N, dtype=mg.float64)
    outputs = []
    for _ in range(2):
        with mg.no_grad():
            for name, p in module.named_parameters():
                if name.startswith("weight"):
                    p.mul_(10)
        outputs.append(module(x)[0].detach().array)
    np.testing.assert_allclose(outputs[0], outputs[1], atol=0.01)


def test_batch_norm_inside():
    module = nn.LSTM(N, H, norm=nn.BatchNorm1d)
    x = mg.randn(4, 6, N)
    module(x)
    assert module.norm_ih_l0.num_batches_tracked.item() == 1 and module.norm_hh_l0.num_batches_tracked.item() == 4
    module.eval()
    one = module(x[:, :1])[0].detach().array
    np.testing.assert_allclose(module(x)[0].detach().array[:, :1], one, rtol=1e-5, atol=1e-6)


def test_shapes_and_layouts():
    x = mg.randn(T, B, N)
    module = nn.LSTM(N, H, 2, bidirectional=True)
    y, (h, c) = module(x)
    assert y.shape == (T, B, 2 * H) and h.shape == c.shape == (4, B, H)
    np.testing.assert_array_equal(h[2].detach().array, y[-1, :, :H].detach().array)
    np.testing.assert_array_equal(h[3].detach().array, y[0, :, H:].detach().array)
    module.batch_first = True
    np.testing.assert_allclose(
        module(x.transpose(0, 1))[0].detach().array, y.transpose(0, 1).detach().array, rtol=1e-5, atol=1e-7
    )
    module.batch_first = False
    one, (h1, _) = module(x[:, 1])
    assert h1.shape == (4, H)
    np.testing.assert_allclose(one.detach().array, y[:, 1].detach().array, rtol=1e-5, atol=1e-6)
    assert nn.GRU(N, H)(mg.zeros(T, 0, N))[0].shape == (T, 0, H)


def test_inputs_are_not_modified_and_outputs_are_guarded():
    module = nn.LSTM(N, H, dtype=mg.float64)
    x, h, c = leaf(T, B, N), leaf(1, B, H), leaf(1, B, H)
    before = [t.array.copy() for t in (x, h, c, *module.parameters())]
    y, _ = module(x, (h, c))
    v = RNG.standard_normal(y.shape)
    y.backward(mg.tensor(v.copy()), retain_graph=True)
    for t, old in zip((x, h, c, *module.parameters()), before, strict=True):
        assert (t.array == old).all()
    with mg.no_grad():
        y.add_(1)
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward(mg.tensor(v))


def test_errors():
    module = nn.LSTM(N, H)
    x = mg.zeros(T, B, N)
    with pytest.raises(ValueError, match="input_size is 2"):
        module(mg.zeros(T, B, 5))
    with pytest.raises(ValueError, match=r"steps, batch, features"):
        module(mg.zeros(T))
    with pytest.raises(TypeError, match="convert one"):
        module(mg.zeros(T, B, N, dtype=mg.float64))
    with pytest.raises(ValueError, match=r"h_0 must have shape \(1, 2, 3\)"):
        module(x, (mg.zeros(1, B, 4), mg.zeros(1, B, H)))
    with pytest.raises(TypeError, match="pair"):
        module(x, mg.zeros(1, B, H))
    with pytest.raises(TypeError, match="GRU: an initial state must be a tensor, not a tuple"):
        mg.nn.GRU(2, 3)(mg.zeros(5, 4, 2), (mg.zeros(1, 4, 3), mg.zeros(1, 4, 3)))
    with pytest.raises(ValueError, match="no steps"):
        module(mg.zeros(0, B, N))
    with pytest.raises(ValueError, match="no effect with num_layers=1"):
        nn.GRU(N, H, dropout=0.5)
    with pytest.raises(ValueError, match="'tanh' or 'relu'"):
        nn.RNN(N, H, nonlinearity="sigmoid")
    with pytest.raises(ValueError, match="hidden_size"):
        nn.RNN(N, 0)
    with pytest.raises(ValueError, match="proj_size"):
        nn.LSTM(N, H, proj_size=3)
    with pytest.raises(TypeError, match="norm must be a factory"):
        nn.LSTM(N, H, norm=nn.LayerNorm(12))
    with pytest.raises(ValueError, match=r"LSTMCell: the state must have shape"):
        nn.LSTMCell(N, H)(mg.zeros(B, N), (mg.zeros(H), mg.zeros(H)))
    with pytest.raises(ValueError, match="GRUCell: expected an input"):
        nn.GRUCell(N, H)(mg.zeros(B, 9))


def test_repr_and_copies():
    module = nn.LSTM(N, H, num_layers=2, norm=lambda n: nn.LayerNorm(n), batch_first=True)
    assert "LSTM(2, 3, num_layers=2, batch_first=True" in repr(module)
    twin, other = copy.deepcopy(module), pickle.loads(pickle.dumps(module))
    x = mg.randn(B, T, N)
    for m in (twin, other):
        np.testing.assert_array_equal(m(x)[0].detach().array, module(x)[0].detach().array)


def test_dropout_works_between_layers_in_training_only():
    mg.manual_seed(0)
    module = nn.GRU(N, 50, num_layers=2, dropout=0.5)
    x = mg.randn(4, 2, N)
    assert (module(x)[0].detach().array != module(x)[0].detach().array).any()
    module.eval()
    assert (module(x)[0].detach().array == module(x)[0].detach().array).all()


@pytest.mark.parametrize("norm", [None, nn.LayerNorm])
def test_the_graph_dies_without_a_collector(norm):
    module = nn.LSTM(N, H, norm=norm)
    gc.collect()
    gc.disable()
    try:
        y = module(mg.randn(T, B, N))[0]
        node = weakref.ref(y.grad_fn)
        (y * y).sum().backward()
        y = module(mg.randn(T, B, N))[0]
        assert node() is None
        node = weakref.ref(y.grad_fn)
        del y
        assert node() is None
    finally:
        gc.enable()
