"""Recurrent ops: one step of an LSTM or a GRU, and whole sequences as one node of the graph.

A sequence of T steps recorded step by step is some 15 T small ops. Here it is one op, whose forward and
backward pass are loops over time: at each step one matrix product with the hidden weights, and a few
elementwise operations on arrays that are already there. The product with the inputs needs no loop at all
(it is the same weight for every step) and is done before, by `linear`.

Each sequence op has a composed form, the same recurrence in small ops, as textbooks write it. It says what
the op means; it is what runs under `mg.composed()`; and the second derivative is taken through it.

σ is the logistic function; ⊙ is elementwise; x_t below is already W_ih x_t + b.

    RNN   h_t = tanh(x_t + W h_{t−1})
    LSTM  i, f, g, o = x_t + W h_{t−1}                                   (Hochreiter and Schmidhuber 1997;
          c_t = σ(f) ⊙ c_{t−1} + σ(i) ⊙ tanh(g),  h_t = σ(o) ⊙ tanh(c_t)   the forget gate: Gers et al. 2000)
    GRU   r, z = σ(x_t + W h_{t−1} + b)                                  (Cho et al. 2014)
          n = tanh(x_t + r ⊙ (W h_{t−1} + b)),  h_t = (1 − z) ⊙ n + z ⊙ h_{t−1}
"""

from collections.abc import Iterable
from typing import Any

import numpy as np

from minigrad.autograd import Function
from minigrad.autograd.fused import fused_backward
from minigrad.autograd.modes import modes
from minigrad.kernels import recurrent as kernels
from minigrad.kernels.sums import add_up
from minigrad.ops.activation import relu
from minigrad.ops.linalg import matmul
from minigrad.ops.shape import cat, stack, transpose
from minigrad.ops.unary import sigmoid, tanh

# -- one step ---------------------------------------------------------------------------------------------


class LSTMGates(Function):
    """(pre-activations, c_{t−1}) → (c_t, σ(o)): the elementwise part of an LSTM step as one op."""

    def forward(self, a: Any, c: Any) -> Any:
        self.save_for_backward(a, c)
        i, f, g, o = _lstm_activations(a)
        return f * c + i * g, o

    def backward(self, grad_c: Any, grad_o: Any) -> Any:
        a, c = self.saved
        i, f, g, o = _lstm_activations(a)  # computed again, so that the rule can be differentiated itself
        da = cat(
            [grad_c * g * i * (1 - i), grad_c * c * f * (1 - f), grad_c * i * (1 - g * g), grad_o * o * (1 - o)], 1
        )
        return da, grad_c * f


def _lstm_activations(a: Any) -> tuple[Any, Any, Any, Any]:
    n = a.shape[1] // 4
    return sigmoid(a[:, :n]), sigmoid(a[:, n : 2 * n]), tanh(a[:, 2 * n : 3 * n]), sigmoid(a[:, 3 * n :])


def lstm_gates(a: Any, c: Any) -> tuple[Any, Any]:
    """The elementwise part of an LSTM step: c_t = σ(f) ⊙ c_{t−1} + σ(i) ⊙ tanh(g), and σ(o).

    The step ends with h_t = σ(o) ⊙ tanh(c_t); the two are given apart, so that c_t can be normalized first.

    Args:
        a: the summed pre-activations (B, 4H), in the order i, f, g, o.
        c: the cell state (B, H).
    """
    if not modes.composed:
        return LSTMGates()(a, c)
    i, f, g, o = _lstm_activations(a)
    return f * c + i * g, o


class GRUStep(Function):
    """(input part, hidden part, h_{t−1}) → h_t: the elementwise part of a GRU step as one op."""

    def forward(self, x: Any, y: Any, h: Any) -> Any:
        self.save_for_backward(x, y, h)
        _, z, n = _gru_activations(x, y)
        return n + z * (h - n)

    def backward(self, g: Any) -> Any:
        x, y, h = self.saved
        r, z, n = _gru_activations(x, y)  # computed again, so that the rule can be differentiated itself
        dn = g * (1 - z) * (1 - n * n)
        dr = dn * y[:, 2 * h.shape[1] :] * r * (1 - r)
        dz = g * (h - n) * z * (1 - z)
        return cat([dr, dz, dn], 1), cat([dr, dz, dn * r], 1), g * z


def _gru_activations(x: Any, y: Any) -> tuple[Any, Any, Any]:
    n = x.shape[1] // 3
    r, z = sigmoid(x[:, :n] + y[:, :n]), sigmoid(x[:, n : 2 * n] + y[:, n : 2 * n])
    return r, z, tanh(x[:, 2 * n :] + r * y[:, 2 * n :])


def gru_step(x: Any, y: Any, h: Any) -> Any:
    """The elementwise part of a GRU step.

    Args:
        x: the input part of the pre-activations, W_ih x_t + b_ih (B, 3H), in the order r, z, n.
        y: the hidden part, W_hh h_{t−1} + b_hh (B, 3H).
        h: h_{t−1} (B, H).

    Returns:
        h_t = (1 − z) ⊙ n + z ⊙ h_{t−1} (B, H).
    """
    if not modes.composed:
        return GRUStep()(x, y, h)
    _, z, n = _gru_activations(x, y)
    return n + z * (h - n)


# -- sequences --------------------------------------------------------------------------------------------


def _times(steps: int, reverse: bool) -> Iterable[int]:
    return range(steps - 1, -1, -1) if reverse else range(steps)


def composed_lstm(x: Any, weight: Any, h: Any, c: Any, reverse: bool = False) -> Any:
    """The LSTM recurrence in small ops. Returns h_1 ... h_T and then the last c, stacked: (T + 1, B, H)."""
    outputs: list[Any] = [None] * x.shape[0]
    w = transpose(weight, 0, 1)
    for t in _times(x.shape[0], reverse):
        i, f, g, o = _lstm_activations(x[t] + matmul(h, w))
        c = f * c + i * g
        outputs[t] = h = o * tanh(c)
    return stack([*outputs, c])


def composed_gru(x: Any, weight: Any, bias: Any, h: Any, reverse: bool = False) -> Any:
    """The GRU recurrence in small ops. Returns h_1 ... h_T, stacked: (T, B, H)."""
    outputs: list[Any] = [None] * x.shape[0]
    w = transpose(weight, 0, 1)
    for t in _times(x.shape[0], reverse):
        y = matmul(h, w)
        _, z, n = _gru_activations(x[t], y if bias is None else y + bias)
        outputs[t] = h = n + z * (h - n)
    return stack(outputs)


def composed_rnn(x: Any, weight: Any, h: Any, nonlinearity: str = "tanh", reverse: bool = False) -> Any:
    """The plain recurrence in small ops. Returns h_1 ... h_T, stacked: (T, B, H)."""
    outputs: list[Any] = [None] * x.shape[0]
    w = transpose(weight, 0, 1)
    act = tanh if nonlinearity == "tanh" else relu
    for t in _times(x.shape[0], reverse):
        outputs[t] = h = act(x[t] + matmul(h, w))
    return stack(outputs)


class _Sequence(Function):
    """What the three sequence ops share: the cache of activations, the order of time, the weight's gradient."""

    cache: Any = None

    def __init__(self, reverse: bool = False):
        self.reverse = reverse

    def release(self) -> None:
        super().release()
        self.cache = None

    def steps(self, n: int) -> list[tuple[int, int | None]]:
        """(t, the time that comes before t, or None where the initial state does), in order of computation."""
        order = list(_times(n, self.reverse))
        return list(zip(order, [None, *order[:-1]], strict=True))

    def weight_gradient(self, d: Any, y: Any, h0: Any) -> Any:
        """Σ_t d_tᵀ h_{t−1} as two matrix products: all steps but the first, and the first."""
        later, before = (d[:-1], y[1:]) if self.reverse else (d[1:], y[:-1])
        first = d[-1] if self.reverse else d[0]
        total = first.T @ h0
        if len(later):
            total += later.reshape(-1, d.shape[2]).T @ before.reshape(-1, y.shape[2])
        return total


class LSTMSequence(_Sequence):
    """h_1 ... h_T and c_T of an LSTM, stacked: see the top of this file."""

    def forward(self, x: Any, weight: Any, h: Any, c: Any) -> Any:
        n_steps, batch, n_gates = x.shape
        n = n_gates // 4
        h0, c0 = h, c
        y = np.empty((n_steps + 1, batch, n), x.dtype)
        cells, tanh_cells = np.empty((2, n_steps, batch, n), x.dtype)
        # σ(a) = (1 + tanh(a/2)) / 2, so one tanh over the whole row does for all four gates, if i, f and o are
        # halved beforehand.
        scale = np.full(n_gates, 0.5, x.dtype)
        scale[2 * n : 3 * n] = 1
        gates = np.multiply(x, scale, order="C")  # becomes σ(i), σ(f), tanh(g), σ(o) of every step
        w = np.ascontiguousarray(weight.T) * scale
        c = np.ascontiguousarray(c)
        product = np.empty((batch, n_gates), x.dtype)
        for t, _ in self.steps(n_steps):
            a = gates[t]
            a += np.matmul(h, w, out=product)
            np.tanh(a, out=a)
            kernels.lstm_forward(a.size, a, c, cells[t])
            c = cells[t]
            np.tanh(c, out=tanh_cells[t])
            h = np.multiply(a[:, 3 * n :], tanh_cells[t], out=y[t])
        y[n_steps] = c
        self.cache = gates, cells, tanh_cells
        self.save_for_backward(x, weight, h0, c0, y)
        return y

    def backward(self, grad: Any) -> Any:
        *inputs, y = self.saved
        y = y if isinstance(y, np.ndarray) else y.data
        cache = self.cache

        def kernel(grad: Any, x: Any, weight: Any, h0: Any, c0: Any) -> Any:
            gates, cells, tanh_cells = cache
            n_steps = len(tanh_cells)
            d = np.empty_like(gates)
            grad, c0 = np.ascontiguousarray(grad), np.ascontiguousarray(c0)
            dh, dc = np.zeros_like(c0), grad[n_steps].copy()
            for t, before in reversed(self.steps(n_steps)):
                c = c0 if before is None else cells[before]
                kernels.lstm_backward(gates[t].size, gates[t], tanh_cells[t], c, grad[t], dh, dc, d[t])
                np.matmul(d[t], weight, out=dh)
            return d, self.weight_gradient(d, y[:n_steps], h0) if self.needs(1) else None, dh, dc

        def composed(x: Any, weight: Any, h: Any, c: Any) -> Any:
            return composed_lstm(x, weight, h, c, self.reverse)

        return fused_backward(composed, kernel, "LSTMSequenceBackward", grad, *inputs)


class GRUSequence(_Sequence):
    """h_1 ... h_T of a GRU: see the top of this file."""

    def forward(self, x: Any, weight: Any, bias: Any, h: Any) -> Any:
        n_steps, batch, n_gates = x.shape
        n = n_gates // 3
        h0 = h
        y = np.empty((n_steps, batch, n), x.dtype)
        gates = np.empty_like(x, order="C")  # r, z, n of every step
        hidden = np.empty((n_steps, batch, n), x.dtype)  # the part of n's pre-activation that r multiplies
        product = np.empty((batch, n_gates), x.dtype)
        w = np.ascontiguousarray(weight.T)
        for t, _ in self.steps(n_steps):
            a = gates[t]
            np.matmul(h, w, out=product)
            if bias is not None:
                product += bias
            rz, candidate = a[:, : 2 * n], a[:, 2 * n :]
            np.add(x[t, :, : 2 * n], product[:, : 2 * n], out=rz)
            rz *= 0.5  # σ(a) = (1 + tanh(a/2)) / 2
            np.tanh(rz, out=rz)
            rz *= 0.5
            rz += 0.5
            hidden[t] = product[:, 2 * n :]
            np.multiply(a[:, :n], hidden[t], out=candidate)
            candidate += x[t, :, 2 * n :]
            np.tanh(candidate, out=candidate)
            np.subtract(h, candidate, out=y[t])
            y[t] *= a[:, n : 2 * n]
            y[t] += candidate
            h = y[t]
        self.cache = gates, hidden
        self.save_for_backward(x, weight, bias, h0, y)
        return y

    def backward(self, grad: Any) -> Any:
        *inputs, y = self.saved
        y = y if isinstance(y, np.ndarray) else y.data
        cache = self.cache

        def kernel(grad: Any, x: Any, weight: Any, bias: Any, h0: Any) -> Any:
            gates, hidden = cache
            n_steps, _, n = hidden.shape
            dx, d = np.empty_like(gates), np.empty_like(gates)  # of the input part, of the hidden part
            dh = np.zeros_like(y[0])
            for t, before in reversed(self.steps(n_steps)):
                a, d_t = gates[t], d[t]
                r, z, candidate = a[:, :n], a[:, n : 2 * n], a[:, 2 * n :]
                h = h0 if before is None else y[before]
                dh += grad[t]
                dn = dh * (1 - z)
                dn *= 1 - candidate * candidate
                dx[t, :, 2 * n :] = dn
                np.multiply(dn, r, out=d_t[:, 2 * n :])
                np.multiply(dn, hidden[t], out=d_t[:, :n])
                np.multiply(dh, h - candidate, out=d_t[:, n : 2 * n])
                rz, d_rz = a[:, : 2 * n], d_t[:, : 2 * n]
                d_rz *= rz
                d_rz *= 1 - rz
                dx[t, :, : 2 * n] = d_rz
                dh *= z
                dh += d_t @ weight
            dw = self.weight_gradient(d, y, h0) if self.needs(1) else None
            db = add_up(d, (0, 1)) if bias is not None and self.needs(2) else None
            return dx, dw, db, dh

        def composed(x: Any, weight: Any, bias: Any, h: Any) -> Any:
            return composed_gru(x, weight, bias, h, self.reverse)

        return fused_backward(composed, kernel, "GRUSequenceBackward", grad, *inputs)


class RNNSequence(_Sequence):
    """h_1 ... h_T of a plain RNN: see the top of this file."""

    def __init__(self, nonlinearity: str = "tanh", reverse: bool = False):
        super().__init__(reverse)
        self.nonlinearity = nonlinearity

    def forward(self, x: Any, weight: Any, h: Any) -> Any:
        h0 = h
        y = np.empty_like(x, order="C")
        w = np.ascontiguousarray(weight.T)
        for t, _ in self.steps(x.shape[0]):
            a = np.matmul(h, w, out=y[t])
            a += x[t]
            h = np.tanh(a, out=a) if self.nonlinearity == "tanh" else np.maximum(a, 0, out=a)
        self.save_for_backward(x, weight, h0, y)
        return y

    def backward(self, grad: Any) -> Any:
        *inputs, y = self.saved
        y = y if isinstance(y, np.ndarray) else y.data

        def kernel(grad: Any, x: Any, weight: Any, h0: Any) -> Any:
            slope = 1 - y * y if self.nonlinearity == "tanh" else y > 0
            d = np.empty_like(y)
            dh = np.zeros_like(y[0])
            for t, _ in reversed(self.steps(len(y))):
                dh += grad[t]
                np.multiply(dh, slope[t], out=d[t])
                np.matmul(d[t], weight, out=dh)
            return d, self.weight_gradient(d, y, h0) if self.needs(1) else None, dh

        def composed(x: Any, weight: Any, h: Any) -> Any:
            return composed_rnn(x, weight, h, self.nonlinearity, self.reverse)

        return fused_backward(composed, kernel, "RNNSequenceBackward", grad, *inputs)


def lstm_sequence(x: Any, weight: Any, h: Any, c: Any, reverse: bool = False) -> tuple[Any, Any]:
    """Run an LSTM over T steps.

    Args:
        x: W_ih x_t + b_ih + b_hh of every step (T, B, 4H), gates in the order i, f, g, o.
        weight: W_hh (4H, H).
        h, c: the initial state, (B, H) each.
        reverse: go from the last step to the first.

    Returns:
        All h_t (T, B, H), in the order of x; and the last c (B, H).
    """
    y = composed_lstm(x, weight, h, c, reverse) if modes.composed else LSTMSequence(reverse)(x, weight, h, c)
    return y[: x.shape[0]], y[x.shape[0]]


def gru_sequence(x: Any, weight: Any, bias: Any, h: Any, reverse: bool = False) -> Any:
    """Run a GRU over T steps.

    Args:
        x: W_ih x_t + b_ih of every step (T, B, 3H), gates in the order r, z, n.
        weight: W_hh (3H, H).
        bias: b_hh (3H,), or None. It cannot be added to x beforehand, because r multiplies its last part.
        h: the initial state (B, H).
        reverse: go from the last step to the first.

    Returns:
        All h_t (T, B, H), in the order of x.
    """
    if modes.composed:
        return composed_gru(x, weight, bias, h, reverse)
    return GRUSequence(reverse)(x, weight, bias, h)


def rnn_sequence(x: Any, weight: Any, h: Any, nonlinearity: str = "tanh", reverse: bool = False) -> Any:
    """Run a plain RNN over T steps.

    Args:
        x: W_ih x_t + b_ih + b_hh of every step (T, B, H).
        weight: W_hh (H, H).
        h: the initial state (B, H).
        nonlinearity: "tanh" or "relu".
        reverse: go from the last step to the first.

    Returns:
        All h_t (T, B, H), in the order of x.
    """
    if modes.composed:
        return composed_rnn(x, weight, h, nonlinearity, reverse)
    return RNNSequence(nonlinearity, reverse)(x, weight, h)
