"""Recurrent ops: one step of an LSTM or a GRU, and whole sequences as one node of the graph.

If a sequence of T steps is recorded step by step, it needs about 15 T small ops. Here it is one op, whose forward and
backward pass are loops over time. Each step computes one matrix product with the hidden weights, and a few elementwise
operations on existing arrays. The product with the inputs needs no loop, because all steps share the weight; `linear`
computes it beforehand.

Each sequence op has a composed form: the same recurrence in small ops, as textbooks write it. The composed form
defines the op, runs under `mg.composed()`, and gives the second derivative.

σ is the logistic function; ⊙ is elementwise; x_t below is already W_ih x_t + b.

    RNN   h_t = tanh(x_t + W h_{t−1})
    LSTM  i, f, g, o = x_t + W h_{t−1}                                   (Hochreiter and Schmidhuber 1997;
          c_t = σ(f) ⊙ c_{t−1} + σ(i) ⊙ tanh(g),  h_t = σ(o) ⊙ tanh(c_t)   the forget gate: Gers et al. 2000)
    GRU   r, z = σ(x_t + W h_{t−1} + b)                                  (Cho et al. 2014)
          n = tanh(x_t + r ⊙ (W h_{t−1} + b)),  h_t = (1 − z) ⊙ n + z ⊙ h_{t−1}

The code writes the last formula as n + z ⊙ (h − n), which saves a product, and σ(a) as (1 + tanh(a/2)) / 2, because
NumPy has a fast tanh and no σ. The gates of a step lie side by side in one row, i, f, g, o or r, z, n, so that one
matrix product computes them all. In a backward rule, `dr` is the gradient with respect to r's pre-activation, and so
on.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np

from minigrad.autograd import Function
from minigrad.autograd.fused import fused_backward
from minigrad.autograd.modes import modes
from minigrad.autograd.tensor import raw
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

    def composed(self, a: Any, c: Any) -> Any:
        i, f, g, o = _lstm_activations(a)
        return f * c + i * g, o

    def backward(self, grad_c: Any, grad_o: Any) -> Any:
        a, c = self.saved
        i, f, g, o = _lstm_activations(a)  # computed again, so that the rule itself can be differentiated
        da = cat(
            [grad_c * g * i * (1 - i), grad_c * c * f * (1 - f), grad_c * i * (1 - g * g), grad_o * o * (1 - o)], 1
        )
        return da, grad_c * f


def _lstm_activations(a: Any) -> tuple[Any, Any, Any, Any]:
    """σ(i), σ(f), tanh(g), σ(o)."""
    n = a.shape[1] // 4
    return sigmoid(a[:, :n]), sigmoid(a[:, n : 2 * n]), tanh(a[:, 2 * n : 3 * n]), sigmoid(a[:, 3 * n :])


def lstm_gates(a: Any, c: Any) -> tuple[Any, Any]:
    """The elementwise part of an LSTM step: c_t = σ(f) ⊙ c_{t−1} + σ(i) ⊙ tanh(g), and σ(o).

    The step ends with h_t = σ(o) ⊙ tanh(c_t). The op returns c_t and σ(o) separately, so that c_t can be normalized
    first.

    Args:
        a: the summed pre-activations (B, 4H), in the order i, f, g, o.
        c: the cell state (B, H).
    """
    gates = LSTMGates()
    return gates.composed(a, c) if modes.composed else gates(a, c)


class GRUStep(Function):
    """(input part, hidden part, h_{t−1}) → h_t: the elementwise part of a GRU step as one op."""

    def forward(self, x: Any, y: Any, h: Any) -> Any:
        self.save_for_backward(x, y, h)
        _, z, n = _gru_activations(x, y)
        return n + z * (h - n)

    def composed(self, x: Any, y: Any, h: Any) -> Any:
        _, z, n = _gru_activations(x, y)
        return n + z * (h - n)

    def backward(self, g: Any) -> Any:
        x, y, h = self.saved
        r, z, n = _gru_activations(x, y)  # computed again, so that the rule itself can be differentiated
        dn = g * (1 - z) * (1 - n * n)
        dr = dn * y[:, 2 * h.shape[1] :] * r * (1 - r)
        dz = g * (h - n) * z * (1 - z)
        return cat([dr, dz, dn], 1), cat([dr, dz, dn * r], 1), g * z


def _thirds(a: Any) -> tuple[Any, Any, Any]:
    """The parts of r, z and n: views of an array that has them side by side along its last axis."""
    n = a.shape[-1] // 3
    return a[..., :n], a[..., n : 2 * n], a[..., 2 * n :]


def _gru_activations(x: Any, y: Any) -> tuple[Any, Any, Any]:
    """r, z and n, from the input part x and the hidden part y of their pre-activations."""
    (x_r, x_z, x_n), (y_r, y_z, y_n) = _thirds(x), _thirds(y)
    r, z = sigmoid(x_r + y_r), sigmoid(x_z + y_z)
    return r, z, tanh(x_n + r * y_n)


def gru_step(x: Any, y: Any, h: Any) -> Any:
    """The elementwise part of a GRU step.

    Args:
        x: the input part of the pre-activations, W_ih x_t + b_ih (B, 3H), in the order r, z, n.
        y: the hidden part, W_hh h_{t−1} + b_hh (B, 3H).
        h: h_{t−1} (B, H).

    Returns:
        h_t = (1 − z) ⊙ n + z ⊙ h_{t−1} (B, H).
    """
    step = GRUStep()
    return step.composed(x, y, h) if modes.composed else step(x, y, h)


# -- sequences --------------------------------------------------------------------------------------------


def _times(steps: int, reverse: bool) -> Iterable[int]:
    """0 ... T − 1, in the order in which the steps are computed."""
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
    """The common part of the three sequence ops: the cache of activations, the order of time, the weight's
    gradient."""

    cache: Any = None

    def __init__(self, reverse: bool = False):
        self.reverse = reverse

    def release(self) -> None:
        super().release()
        self.cache = None

    def steps(self, n: int) -> list[tuple[int, int | None]]:
        """For each step, in order of computation: its t, and the t of the step before (None: the initial state)."""
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
    """h_1 ... h_T and c_T of an LSTM, stacked into one output: see the top of this file."""

    def composed(self, x: Any, weight: Any, h: Any, c: Any) -> Any:
        return composed_lstm(x, weight, h, c, self.reverse)

    def forward(self, x: Any, weight: Any, h0: Any, c0: Any) -> Any:
        n_steps, batch, width = x.shape
        size = width // 4
        y = np.empty((n_steps + 1, batch, size), x.dtype)
        cells, tanh_cells = np.empty((2, n_steps, batch, size), x.dtype)
        # One tanh over the whole row serves all four gates, if i, f and o are halved before: they need σ.
        scale = np.full(width, 0.5, x.dtype)
        scale[2 * size : 3 * size] = 1
        gates = np.multiply(x, scale, order="C")  # becomes σ(i), σ(f), tanh(g), σ(o) of every step
        w = np.ascontiguousarray(weight.T) * scale
        product = np.empty((batch, width), x.dtype)
        h, c = h0, np.ascontiguousarray(c0)
        for t, _ in self.steps(n_steps):
            a = gates[t]
            a += np.matmul(h, w, out=product)
            np.tanh(a, out=a)
            kernels.lstm_forward(a.size, a, c, cells[t])
            c = cells[t]
            np.tanh(c, out=tanh_cells[t])
            h = np.multiply(a[:, 3 * size :], tanh_cells[t], out=y[t])
        y[n_steps] = c
        self.cache = gates, cells, tanh_cells
        self.save_for_backward(x, weight, h0, c0, y)
        return y

    def backward(self, grad: Any) -> Any:
        *inputs, y = self.saved
        y, cache = (
            raw(y),
            self.cache,
        )  # arrays, for the kernel only: the derivative of the kernel comes from the composed form

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

        return fused_backward(self.composed, kernel, "LSTMSequenceBackward", grad, *inputs)


class GRUSequence(_Sequence):
    """h_1 ... h_T of a GRU: see the top of this file."""

    def composed(self, x: Any, weight: Any, bias: Any, h: Any) -> Any:
        return composed_gru(x, weight, bias, h, self.reverse)

    def forward(self, x: Any, weight: Any, bias: Any, h0: Any) -> Any:
        n_steps, batch, width = x.shape
        size = width // 3
        y = np.empty((n_steps, batch, size), x.dtype)
        gates = np.empty_like(x, order="C")  # r, z, n of every step
        hidden = np.empty_like(y)  # W h_{t−1} + b of n, the factor of r
        product = np.empty((batch, width), x.dtype)
        w = np.ascontiguousarray(weight.T)
        rs, zs, ns = _thirds(gates)
        h = h0
        for t, _ in self.steps(n_steps):
            r, z, n, rz = rs[t], zs[t], ns[t], gates[t, :, : 2 * size]
            np.matmul(h, w, out=product)
            if bias is not None:
                product += bias
            hidden[t] = product[:, 2 * size :]
            # r, z = σ(x + W h + b), both at once
            np.add(x[t, :, : 2 * size], product[:, : 2 * size], out=rz)
            rz *= 0.5
            np.tanh(rz, out=rz)
            rz *= 0.5
            rz += 0.5
            # n = tanh(x + r ⊙ (W h + b))
            np.multiply(r, hidden[t], out=n)
            n += x[t, :, 2 * size :]
            np.tanh(n, out=n)
            # h_t = n + z ⊙ (h_{t−1} − n)
            h = np.subtract(h, n, out=y[t])
            h *= z
            h += n
        self.cache = gates, hidden
        self.save_for_backward(x, weight, bias, h0, y)
        return y

    def backward(self, grad: Any) -> Any:
        *inputs, y = self.saved
        y, cache = raw(y), self.cache

        def kernel(grad: Any, x: Any, weight: Any, bias: Any, h0: Any) -> Any:
            gates, hidden = cache
            n_steps, _, size = hidden.shape
            dx, d = np.empty_like(gates), np.empty_like(gates)  # of the input part, of the hidden part
            (rs, zs, ns), (d_rs, d_zs, d_ns) = _thirds(gates), _thirds(d)
            dh = np.zeros_like(y[0])
            for t, before in reversed(self.steps(n_steps)):
                h = h0 if before is None else y[before]
                z, n = zs[t], ns[t]
                dh += grad[t]
                dn = dh * (1 - z)
                dn *= 1 - n * n
                dx[t, :, 2 * size :] = dn
                np.multiply(dn, rs[t], out=d_ns[t])
                # The gradients of r and z, times the slope of σ, which is σ (1 − σ), for both at once.
                np.multiply(dn, hidden[t], out=d_rs[t])
                np.multiply(dh, h - n, out=d_zs[t])
                rz, d_rz = gates[t, :, : 2 * size], d[t, :, : 2 * size]
                d_rz *= rz
                d_rz *= 1 - rz
                dx[t, :, : 2 * size] = d_rz
                # The gradient reaches h_{t−1} directly, by z, and through the weights.
                dh *= z
                dh += d[t] @ weight
            dw = self.weight_gradient(d, y, h0) if self.needs(1) else None
            db = add_up(d, (0, 1)) if bias is not None and self.needs(2) else None
            return dx, dw, db, dh

        return fused_backward(self.composed, kernel, "GRUSequenceBackward", grad, *inputs)


class RNNSequence(_Sequence):
    """h_1 ... h_T of a plain RNN: see the top of this file."""

    def __init__(self, nonlinearity: str = "tanh", reverse: bool = False):
        super().__init__(reverse)
        self.nonlinearity = nonlinearity

    def composed(self, x: Any, weight: Any, h: Any) -> Any:
        return composed_rnn(x, weight, h, self.nonlinearity, self.reverse)

    def forward(self, x: Any, weight: Any, h0: Any) -> Any:
        y = np.empty_like(x, order="C")
        w = np.ascontiguousarray(weight.T)
        h = h0
        for t, _ in self.steps(x.shape[0]):
            a = np.matmul(h, w, out=y[t])
            a += x[t]
            h = np.tanh(a, out=a) if self.nonlinearity == "tanh" else np.maximum(a, 0, out=a)
        self.save_for_backward(x, weight, h0, y)
        return y

    def backward(self, grad: Any) -> Any:
        *inputs, y = self.saved
        y = raw(y)

        def kernel(grad: Any, x: Any, weight: Any, h0: Any) -> Any:
            slope = 1 - y * y if self.nonlinearity == "tanh" else y > 0
            d = np.empty_like(y)
            dh = np.zeros_like(y[0])
            for t, _ in reversed(self.steps(len(y))):
                dh += grad[t]
                np.multiply(dh, slope[t], out=d[t])
                np.matmul(d[t], weight, out=dh)
            return d, self.weight_gradient(d, y, h0) if self.needs(1) else None, dh

        return fused_backward(self.composed, kernel, "RNNSequenceBackward", grad, *inputs)


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
    op = LSTMSequence(reverse)
    y = op.composed(x, weight, h, c) if modes.composed else op(x, weight, h, c)
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
    op = GRUSequence(reverse)
    return op.composed(x, weight, bias, h) if modes.composed else op(x, weight, bias, h)


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
    op = RNNSequence(nonlinearity, reverse)
    return op.composed(x, weight, h) if modes.composed else op(x, weight, h)
