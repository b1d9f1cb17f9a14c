"""Recurrent layers and cells against PyTorch's."""

from tests.parity.case import Case, ModuleCase, normal


def layer(name, make, *inputs, **options):
    return ModuleCase(name, make, *inputs, tolerance={"float32": 3e-5}, **options)


def with_state(lib, module, x, *states):
    return module(x, states if len(states) == 2 else states[0])


# A table: one case a line or two.
# fmt: off
CASES = [
    layer("rnn", lambda lib: lib.nn.RNN(3, 4), normal(5, 2, 3)),
    layer("rnn_relu_two_layers", lambda lib: lib.nn.RNN(3, 4, 2, nonlinearity="relu"), normal(5, 2, 3)),
    layer("rnn_bidirectional_state", lambda lib: lib.nn.RNN(3, 4, 2, bidirectional=True),
          normal(5, 2, 3), normal(4, 2, 4), call=with_state),
    layer("rnn_no_bias_batch_first", lambda lib: lib.nn.RNN(3, 4, bias=False, batch_first=True), normal(2, 5, 3)),
    layer("rnn_unbatched", lambda lib: lib.nn.RNN(3, 4, bidirectional=True), normal(5, 3), normal(2, 4),
          call=with_state),
    layer("lstm", lambda lib: lib.nn.LSTM(3, 4), normal(5, 2, 3)),
    layer("lstm_state", lambda lib: lib.nn.LSTM(3, 4), normal(5, 2, 3), normal(1, 2, 4), normal(1, 2, 4),
          call=with_state, second=True),
    layer("lstm_two_layers_bidirectional_batch_first",
          lambda lib: lib.nn.LSTM(3, 4, 2, bidirectional=True, batch_first=True),
          normal(2, 5, 3), normal(4, 2, 4), normal(4, 2, 4), call=with_state),
    layer("lstm_one_step", lambda lib: lib.nn.LSTM(3, 4, bidirectional=True), normal(1, 2, 3)),
    layer("lstm_no_bias", lambda lib: lib.nn.LSTM(3, 4, bias=False), normal(5, 2, 3)),
    layer("lstm_unbatched", lambda lib: lib.nn.LSTM(3, 4, batch_first=True), normal(5, 3)),
    layer("lstm_projection", lambda lib: lib.nn.LSTM(3, 5, 2, bidirectional=True, proj_size=2), normal(4, 2, 3)),
    layer("lstm_dropout_eval", lambda lib: lib.nn.LSTM(3, 4, 2, dropout=0.5), normal(5, 2, 3), calls=("eval",)),
    layer("gru", lambda lib: lib.nn.GRU(3, 4), normal(5, 2, 3)),
    layer("gru_state", lambda lib: lib.nn.GRU(3, 4), normal(5, 2, 3), normal(1, 2, 4), call=with_state, second=True),
    layer("gru_two_layers_bidirectional", lambda lib: lib.nn.GRU(3, 4, 2, bidirectional=True),
          normal(5, 2, 3), normal(4, 2, 4), call=with_state),
    layer("gru_no_bias_unbatched", lambda lib: lib.nn.GRU(3, 4, bias=False), normal(5, 3)),
    layer("rnn_cell", lambda lib: lib.nn.RNNCell(3, 4), normal(2, 3), normal(2, 4)),
    layer("rnn_cell_relu_unbatched", lambda lib: lib.nn.RNNCell(3, 4, nonlinearity="relu"), normal(3)),
    layer("lstm_cell", lambda lib: lib.nn.LSTMCell(3, 4), normal(2, 3), normal(2, 4), normal(2, 4), call=with_state),
    layer("lstm_cell_unbatched_no_bias", lambda lib: lib.nn.LSTMCell(3, 4, bias=False), normal(3)),
    layer("gru_cell", lambda lib: lib.nn.GRUCell(3, 4), normal(2, 3), normal(2, 4)),
    # The norms' places, against cells put together by hand from PyTorch's own layer norm.
    Case("lstm_layer_norm", lambda lib, *args: layer_norm_lstm(lib, *args),
         normal(4, 2, 3), normal(20, 3), normal(20, 5), normal(20), normal(20), normal(20), normal(5), normal(5),
         tolerance={"float32": 1e-4}),
    Case("gru_layer_norm", lambda lib, *args: layer_norm_gru(lib, *args),
         normal(4, 2, 3), normal(15, 3), normal(15, 5), normal(15), normal(10), normal(10), normal(5), normal(5),
         tolerance={"float32": 1e-4}),
]
# fmt: on


def layer_norm_lstm(lib, x, w_ih, w_hh, bias, g_ih, g_hh, g_c, b_c):
    if lib.__name__ == "minigrad":
        module = lib.nn.LSTM(3, 5, norm=lib.nn.LayerNorm)
        zeros = lib.zeros(20, dtype=x.dtype)
        put(module, weight_ih_l0=w_ih, weight_hh_l0=w_hh, bias_ih_l0=bias, bias_hh_l0=zeros)
        put(module.norm_ih_l0, weight=g_ih, bias=zeros)
        put(module.norm_hh_l0, weight=g_hh, bias=zeros)
        put(module.norm_c_l0, weight=g_c, bias=b_c)
        return module(x)
    F, outputs = lib.nn.functional, []
    h = c = lib.zeros(2, 5, dtype=x.dtype)
    for x_t in x:
        a = F.layer_norm(x_t @ w_ih.T, (20,), g_ih) + F.layer_norm(h @ w_hh.T, (20,), g_hh) + bias
        i, f, g, o = a.chunk(4, 1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * F.layer_norm(c, (5,), g_c, b_c).tanh()
        outputs.append(h)
    return lib.stack(outputs), (h[None], c[None])


def layer_norm_gru(lib, x, w_ih, w_hh, b_hh, g_ih, g_hh, g_in, g_hn):
    if lib.__name__ == "minigrad":
        module = lib.nn.GRU(3, 5, norm=lib.nn.LayerNorm)
        put(module, weight_ih_l0=w_ih, weight_hh_l0=w_hh, bias_ih_l0=lib.zeros(15, dtype=x.dtype), bias_hh_l0=b_hh)
        for norm, gates, candidate in ((module.norm_ih_l0, g_ih, g_in), (module.norm_hh_l0, g_hh, g_hn)):
            put(norm.gates, weight=gates, bias=lib.zeros(10, dtype=x.dtype))
            put(norm.candidate, weight=candidate, bias=lib.zeros(5, dtype=x.dtype))
        return module(x)
    F, outputs = lib.nn.functional, []
    h = lib.zeros(2, 5, dtype=x.dtype)
    for x_t in x:
        a, b = x_t @ w_ih.T, h @ w_hh.T
        rz = F.layer_norm(a[:, :10], (10,), g_ih) + F.layer_norm(b[:, :10], (10,), g_hh) + b_hh[:10]
        r, z = rz.sigmoid().chunk(2, 1)
        n = (F.layer_norm(a[:, 10:], (5,), g_in) + r * (F.layer_norm(b[:, 10:], (5,), g_hn) + b_hh[10:])).tanh()
        h = (1 - z) * n + z * h
        outputs.append(h)
    return lib.stack(outputs), h[None]


def put(module, **tensors):
    """Let a module compute with these tensors, so that gradients reach them."""
    module.__dict__.update(tensors)
