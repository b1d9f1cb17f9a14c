"""Recurrent layers, RNN, LSTM and GRU, and their cells, with a place for a norm before the activation.

**Where the norm goes.** A recurrent network multiplies its hidden state by the same matrix at every step, so
a pre-activation that grows a little grows exponentially with time. `norm=` puts a norm on the pre-activations, which
stops this growth. The value of `norm` is a function that makes norms: `norm=nn.LayerNorm` makes a layer norm for each
place, called as `norm(n_features)`. The places follow Ba, Kiros and Hinton 2016 ("Layer Normalization", arXiv
1607.06450):

- RNN:  h_t = tanh(**norm**(W_ih x_t + W_hh h_{t−1}) + b)          one norm, of the sum (their eq. 4)
- LSTM: i, f, g, o = **norm_ih**(W_ih x_t) + **norm_hh**(W_hh h_{t−1}) + b,   (their eq. 20 to 22)
        h_t = σ(o) ⊙ tanh(**norm_c**(c_t))
- GRU:  r, z = σ(**norm_ih**(W_ih x_t) + **norm_hh**(W_hh h_{t−1}) + b), the rows of r and z together, and
        n = tanh(**norm_ih**(W_in x_t) + b_in + r ⊙ (**norm_hh**(W_hn h_{t−1}) + b_hn)), with norms of its own

The input part and the hidden part are normalized separately, because their sizes differ and the larger part would hide
the smaller one. The scale of each norm then sets the weight of its part. The state c_t itself is *not* normalized,
only the value read from it: so gradients still flow unchanged along the cell state. The biases are added after the
norm. If the norm has a shift, biases are not needed: pass `bias=False`.

With `norm=nn.BatchNorm1d` this is the batch-normalized LSTM of Cooijmans et al. 2017 (arXiv 1603.09025), with
two differences: the statistics of the input part are taken over all steps together, as in Laurent et al.
2016 (arXiv 1510.01378), and the running statistics of the hidden part are shared by all steps. The authors recommend
to start the norms' weights at 0.1 instead of 1, so that tanh is not saturated at the start.

**Speed.** Without a norm, a layer is two graph nodes: one matrix product for the inputs of all steps, and one
op for the whole recurrence. With a norm, every step is recorded by itself.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from minigrad.autograd import Tensor
from minigrad.nn import functional as F
from minigrad.nn import init
from minigrad.nn.linear import empty_parameter
from minigrad.nn.module import Module
from minigrad.ops.linalg import matmul
from minigrad.ops.recurrent import gru_sequence, gru_step, lstm_gates, lstm_sequence, rnn_sequence
from minigrad.ops.shape import cat, reshape, stack, transpose, unbind
from minigrad.ops.unary import tanh

NormFactory = Callable[[int], Module]


class GRUNorm(Module):
    """The norm of a GRU's pre-activations (..., 3H): the gates r and z together, the candidate n separately."""

    def __init__(self, norm: NormFactory, hidden_size: int):
        super().__init__()
        self.n_gates = 2 * hidden_size
        self.gates = norm(2 * hidden_size)
        self.candidate = norm(hidden_size)

    def forward(self, input: Tensor) -> Tensor:
        return cat(
            [self.gates(input[..., : self.n_gates]), self.candidate(input[..., self.n_gates :])], input.ndim - 1
        )


def _transposed(weight: Tensor) -> Tensor:
    return transpose(weight, 0, 1)


def _plus(x: Tensor, *biases: Tensor | None) -> Tensor:
    for b in biases:
        if b is not None:
            x = x + b
    return x


class _Recurrent(Module):
    """The common part of RNN, LSTM and GRU: parameters, layers, directions and shapes. A subclass runs a single
    layer."""

    rows = 1  # rows of the weights for each hidden unit: the number of gates
    states = ("hx",)  # the names of the initial states in error messages

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int,
        bias: bool,
        batch_first: bool,
        dropout: float,
        bidirectional: bool,
        norm: NormFactory | None,
        dtype: Any,
        proj_size: int = 0,
    ):
        super().__init__()
        name = type(self).__name__
        _check_factory(name, norm)
        for argument, value in (("input_size", input_size), ("hidden_size", hidden_size), ("num_layers", num_layers)):
            if value < 1:
                raise ValueError(f"{name}: {argument} must be at least 1, not {value}")
        if not 0 <= dropout <= 1:
            raise ValueError(f"{name}: dropout is a probability, and {dropout} is not between 0 and 1")
        if dropout and num_layers == 1:
            raise ValueError(
                f"{name}: dropout={dropout} would have no effect with num_layers=1, because it works between layers; "
                "put an nn.Dropout after the layer"
            )
        if not 0 <= proj_size < hidden_size:
            raise ValueError(f"{name}: proj_size={proj_size} must be smaller than hidden_size={hidden_size}")
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.dropout = bias, batch_first, dropout
        self.bidirectional, self.proj_size, self.normalized = bidirectional, proj_size, norm is not None
        self.num_directions = 2 if bidirectional else 1
        self._suffixes = [
            f"_l{layer}{'_reverse' if direction else ''}"
            for layer in range(num_layers)
            for direction in range(self.num_directions)
        ]
        out_size = proj_size or hidden_size
        n_rows = self.rows * hidden_size
        for k, suffix in enumerate(self._suffixes):
            n_inputs = input_size if k < self.num_directions else out_size * self.num_directions
            setattr(self, "weight_ih" + suffix, empty_parameter(n_rows, n_inputs, dtype=dtype))
            setattr(self, "weight_hh" + suffix, empty_parameter(n_rows, out_size, dtype=dtype))
            for part in ("bias_ih", "bias_hh"):
                self.register_parameter(part + suffix, empty_parameter(n_rows, dtype=dtype) if bias else None)
            if proj_size:
                setattr(self, "weight_hr" + suffix, empty_parameter(proj_size, hidden_size, dtype=dtype))
        self.reset_parameters()
        if norm is not None:
            for suffix in self._suffixes:
                for part, module in self._make_norms(norm).items():
                    self.add_module(part + suffix, module if dtype is None else module.to(dtype))

    def reset_parameters(self) -> None:
        """Draw all weights and biases from U(−1/√hidden_size, 1/√hidden_size)."""
        bound = 1 / math.sqrt(self.hidden_size)
        for parameter in self.parameters(recurse=False):
            init.uniform_(parameter, -bound, bound)

    def _make_norms(self, norm: NormFactory) -> dict[str, Module]:
        n = self.rows * self.hidden_size
        return {"norm_ih": norm(n), "norm_hh": norm(n)}

    def _layer(self, x: Tensor, suffix: str, state: list[Tensor], reverse: bool) -> tuple[Tensor, list[Tensor]]:
        """One layer in one direction: x (T, B, I) and its initial state → outputs (T, B, H) and final state."""
        raise NotImplementedError

    def _get(self, name: str, suffix: str) -> Any:
        return getattr(self, name + suffix)

    def _project(self, x: Tensor, suffix: str, bias: Any) -> Tensor:
        """The input part of the pre-activations of all steps at once: W_ih x_t + b, normalized before b is added."""
        if not self.normalized:
            return F.linear(x, self._get("weight_ih", suffix), bias)
        y = F.linear(x, self._get("weight_ih", suffix))
        n_steps, batch, n = y.shape
        # A norm takes (N, C): a row for each step of each sequence.
        y = reshape(self._get("norm_ih", suffix)(reshape(y, (n_steps * batch, n))), (n_steps, batch, n))
        return _plus(y, bias)

    def _summed_bias(self, suffix: str) -> Any:
        return self._get("bias_ih", suffix) + self._get("bias_hh", suffix) if self.bias else None

    def _run(self, x: Tensor, initial: "tuple[Tensor, ...] | None") -> tuple[Tensor, list[Tensor]]:
        """Run all layers and directions. Returns the outputs and, for each kind of state, the final states."""
        name = type(self).__name__
        if x.ndim not in (2, 3):
            expected = "(batch, steps, features)" if self.batch_first else "(steps, batch, features)"
            raise ValueError(f"{name}: expected an input {expected}, or (steps, features), got shape {x.shape}")
        dtype = next(self.parameters()).dtype
        if x.dtype != dtype:
            raise TypeError(f"{name}: the input is {x.dtype} and the weights are {dtype}; convert one of them")
        for state in initial or ():
            if not isinstance(state, Tensor):
                raise TypeError(f"{name}: an initial state must be a tensor, not a {type(state).__name__}")
        batched = x.ndim == 3
        if not batched:
            x = reshape(x, (x.shape[0], 1, x.shape[1]))
            if initial is not None:
                initial = tuple(reshape(s, (s.shape[0], 1, *s.shape[1:])) for s in initial)
        elif self.batch_first:
            x = transpose(x, 0, 1)
        if x.shape[2] != self.input_size:
            raise ValueError(f"{name}: the input has {x.shape[2]} features, and input_size is {self.input_size}")
        if x.shape[0] == 0:
            raise ValueError(f"{name}: the sequence has no steps (input shape {x.shape}, steps first)")
        sizes = self._state_sizes()
        if initial is not None:
            self._check_states(initial, x.shape[1], batched)

        finals: list[list[Tensor]] = []
        for layer in range(self.num_layers):
            outputs = []
            for direction in range(self.num_directions):
                k = layer * self.num_directions + direction
                if initial is None:
                    state = [Tensor(np.zeros((x.shape[1], n), dtype)) for n in sizes]
                else:
                    state = [s[k] for s in initial]
                y, final = self._layer(x, self._suffixes[k], state, reverse=direction == 1)
                outputs.append(y)
                finals.append(final)
            x = outputs[0] if len(outputs) == 1 else cat(outputs, 2)
            if self.dropout and self.training and layer < self.num_layers - 1:
                x = F.dropout(x, self.dropout)
        last = [stack([final[i] for final in finals]) for i in range(len(sizes))]
        if not batched:
            x, last = reshape(x, (x.shape[0], x.shape[2])), [reshape(s, (s.shape[0], s.shape[2])) for s in last]
        elif self.batch_first:
            x = transpose(x, 0, 1)
        return x, last

    def _state_sizes(self) -> tuple[int, ...]:
        return (self.hidden_size,)

    def _check_states(self, initial: tuple[Tensor, ...], batch: int, batched: bool) -> None:
        for name, state, n in zip(self.states, initial, self._state_sizes(), strict=True):
            expected = (len(self._suffixes), batch, n)
            if state.shape != expected:
                shown = expected if batched else (expected[0], n)
                given = state.shape if batched else (state.shape[0], *state.shape[2:])
                raise ValueError(
                    f"{type(self).__name__}: the initial state {name} must have shape {shown} (layers × directions, "
                    f"{'batch, ' if batched else ''}features), also with batch_first, got {given}"
                )

    def extra_repr(self) -> str:
        parts = [f"{self.input_size}, {self.hidden_size}"]
        for name, default in (
            ("proj_size", 0),
            ("num_layers", 1),
            ("bias", True),
            ("batch_first", False),
            ("dropout", 0.0),
            ("bidirectional", False),
        ):
            if getattr(self, name) != default:
                parts.append(f"{name}={getattr(self, name)}")
        return ", ".join(parts)


class RNN(_Recurrent):
    """A plain recurrent network: h_t = tanh(W_ih x_t + b_ih + W_hh h_{t−1} + b_hh).

    Args:
        input_size: features of x.
        hidden_size: features of h.
        num_layers: the number of layers; each layer reads the outputs of the layer before.
        nonlinearity: "tanh" or "relu".
        bias: False leaves both biases out.
        batch_first: input and output are (batch, steps, features) rather than (steps, batch, features). The states
            keep their shapes.
        dropout: the probability of dropping a layer's outputs on the way to the next layer, in training.
        bidirectional: True: a second set of weights reads from the end; its outputs are joined to those of the first
            set.
        norm: a function that makes norms, called as `norm(hidden_size)`, of a norm for W_ih x_t + W_hh h_{t−1}; the
            biases are added after it. See the top of this file.
        dtype: of the parameters; float32 by default.

    Shapes:
        input (T, B, input_size), or (T, input_size) without a batch; h_0 (layers · directions, B, hidden_size),
        zeros if left out → output (T, B, directions · hidden_size), h_n like h_0. Parameters of layer k:
        weight_ih_lk (H, inputs), weight_hh_lk (H, H), bias_ih_lk, bias_hh_lk (H,), and the same with `_reverse`.

    Differences from PyTorch: no packed sequences; dropout with one layer is an error rather than a warning.

    Example:
        >>> import minigrad as mg
        >>> output, h_n = mg.nn.RNN(3, 5, num_layers=2)(mg.zeros(7, 4, 3))
        >>> output.shape, h_n.shape
        ((7, 4, 5), (2, 4, 5))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        norm: NormFactory | None = None,
        dtype: Any = None,
    ):
        _check_nonlinearity("RNN", nonlinearity)
        super().__init__(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, norm, dtype)
        self.nonlinearity = nonlinearity

    def _make_norms(self, norm: NormFactory) -> dict[str, Module]:
        return {"norm": norm(self.hidden_size)}

    def forward(self, input: Tensor, hx: Tensor | None = None) -> tuple[Tensor, Tensor]:
        y, (h,) = self._run(input, None if hx is None else (hx,))
        return y, h

    def _layer(self, x: Tensor, suffix: str, state: list[Tensor], reverse: bool) -> tuple[Tensor, list[Tensor]]:
        (h,) = state
        weight, bias = self._get("weight_hh", suffix), self._summed_bias(suffix)
        if not self.normalized:
            y = rnn_sequence(self._project(x, suffix, bias), weight, h, self.nonlinearity, reverse)
            return y, [y[0] if reverse else y[-1]]
        act = tanh if self.nonlinearity == "tanh" else F.relu
        norm, w = self._get("norm", suffix), _transposed(weight)
        outputs = []
        for x_t in _in_time(F.linear(x, self._get("weight_ih", suffix)), reverse):
            h = act(_plus(norm(x_t + matmul(h, w)), bias))
            outputs.append(h)
        return _out_of_time(outputs, reverse), [h]


class LSTM(_Recurrent):
    """A long short-term memory (Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000).

        i, f, g, o = W_ih x_t + b_ih + W_hh h_{t−1} + b_hh
        c_t = σ(f) ⊙ c_{t−1} + σ(i) ⊙ tanh(g)
        h_t = σ(o) ⊙ tanh(c_t)

    Args:
        input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, dtype: as for `RNN`.
        proj_size: if not 0, h_t is W_hr (σ(o) ⊙ tanh(c_t)), with this many features (Sak et al. 2014).
        norm: a function that makes norms, called as `norm(4 * hidden_size)` for norm_ih and norm_hh, and
            `norm(hidden_size)` for norm_c. See the top of this file.

    Shapes:
        input (T, B, input_size), or (T, input_size) without a batch; (h_0, c_0), zeros if left out, of
        (layers · directions, B, hidden_size) each, h with proj_size in place of hidden_size
        → output (T, B, directions · hidden_size), (h_n, c_n). Parameters of layer k: weight_ih_lk (4H, inputs),
        weight_hh_lk (4H, H), bias_ih_lk, bias_hh_lk (4H,), rows in the order i, f, g, o.

    Differences from PyTorch: as for `RNN`.

    Example:
        >>> import minigrad as mg
        >>> output, (h_n, c_n) = mg.nn.LSTM(3, 5, bidirectional=True)(mg.zeros(7, 4, 3))
        >>> output.shape, c_n.shape
        ((7, 4, 10), (2, 4, 5))
    """

    rows = 4
    states = ("h_0", "c_0")

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        *,
        norm: NormFactory | None = None,
        dtype: Any = None,
    ):
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, norm, dtype, proj_size
        )

    def _make_norms(self, norm: NormFactory) -> dict[str, Module]:
        return {**super()._make_norms(norm), "norm_c": norm(self.hidden_size)}

    def _state_sizes(self) -> tuple[int, ...]:
        return self.proj_size or self.hidden_size, self.hidden_size

    def forward(self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        if hx is not None and (not isinstance(hx, tuple | list) or len(hx) != 2):
            raise TypeError("LSTM: the initial state must be a pair (h_0, c_0)")
        y, (h, c) = self._run(input, None if hx is None else tuple(hx))
        return y, (h, c)

    def _layer(self, x: Tensor, suffix: str, state: list[Tensor], reverse: bool) -> tuple[Tensor, list[Tensor]]:
        h, c = state
        weight = self._get("weight_hh", suffix)
        gates = self._project(x, suffix, self._summed_bias(suffix))
        if not self.normalized and not self.proj_size:
            y, c = lstm_sequence(gates, weight, h, c, reverse)
            return y, [y[0] if reverse else y[-1], c]
        w = _transposed(weight)
        projection = _transposed(self._get("weight_hr", suffix)) if self.proj_size else None
        norm_hh = self._get("norm_hh", suffix) if self.normalized else None
        norm_c = self._get("norm_c", suffix) if self.normalized else None
        outputs = []
        for x_t in _in_time(gates, reverse):
            h, c = _lstm_step(x_t, matmul(h, w), c, norm_hh, norm_c)
            h = h if projection is None else matmul(h, projection)
            outputs.append(h)
        return _out_of_time(outputs, reverse), [h, c]


class GRU(_Recurrent):
    """Gated recurrent units (Cho et al. 2014).

        r, z = σ(W_ih x_t + b_ih + W_hh h_{t−1} + b_hh)        (the rows of r and z)
        n = tanh(W_in x_t + b_in + r ⊙ (W_hn h_{t−1} + b_hn))  (the rows of n)
        h_t = (1 − z) ⊙ n + z ⊙ h_{t−1}

    Args:
        input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, dtype: as for `RNN`.
        norm: a function that makes norms, called as `norm(2 * hidden_size)` for the gates and `norm(hidden_size)` for
            the candidate, of the input part and of the hidden part. See the top of this file.

    Shapes:
        as for `RNN`; weight_ih_lk (3H, inputs), weight_hh_lk (3H, H), bias_ih_lk, bias_hh_lk (3H,), rows in the
        order r, z, n.

    Differences from PyTorch: as for `RNN`. From the paper: r multiplies W_hn h_{t−1}, as in PyTorch, rather
    than h_{t−1}.

    Example:
        >>> import minigrad as mg
        >>> output, h_n = mg.nn.GRU(3, 5, batch_first=True)(mg.zeros(4, 7, 3))
        >>> output.shape, h_n.shape
        ((4, 7, 5), (1, 4, 5))
    """

    rows = 3

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        norm: NormFactory | None = None,
        dtype: Any = None,
    ):
        super().__init__(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, norm, dtype)

    def _make_norms(self, norm: NormFactory) -> dict[str, Module]:
        return {"norm_ih": GRUNorm(norm, self.hidden_size), "norm_hh": GRUNorm(norm, self.hidden_size)}

    def forward(self, input: Tensor, hx: Tensor | None = None) -> tuple[Tensor, Tensor]:
        y, (h,) = self._run(input, None if hx is None else (hx,))
        return y, h

    def _layer(self, x: Tensor, suffix: str, state: list[Tensor], reverse: bool) -> tuple[Tensor, list[Tensor]]:
        (h,) = state
        weight, bias = self._get("weight_hh", suffix), self._get("bias_hh", suffix)
        gates = self._project(x, suffix, self._get("bias_ih", suffix))
        if not self.normalized:
            y = gru_sequence(gates, weight, bias, h, reverse)
            return y, [y[0] if reverse else y[-1]]
        norm_hh, w = self._get("norm_hh", suffix), _transposed(weight)
        outputs = []
        for x_t in _in_time(gates, reverse):
            h = gru_step(x_t, _plus(norm_hh(matmul(h, w)), bias), h)
            outputs.append(h)
        return _out_of_time(outputs, reverse), [h]


def _lstm_step(
    x: Tensor, y: Tensor, c: Tensor, norm_hh: Module | None, norm_c: Module | None
) -> tuple[Tensor, Tensor]:
    """One step from the input part x and the hidden part y of the pre-activations, with norms, if there are norms."""
    c, o = lstm_gates(x + (y if norm_hh is None else norm_hh(y)), c)
    return o * tanh(c if norm_c is None else norm_c(c)), c


def _in_time(x: Tensor, reverse: bool) -> Any:
    steps = unbind(x, 0)
    return reversed(steps) if reverse else steps


def _out_of_time(outputs: list[Tensor], reverse: bool) -> Tensor:
    return stack(outputs[::-1] if reverse else outputs)


def _check_factory(name: str, norm: Any) -> None:
    if norm is not None and (isinstance(norm, Module) or not callable(norm)):
        raise TypeError(
            f"{name}: norm must be a factory, called with the number of features for each place that needs a norm, "
            f"such as norm=nn.LayerNorm or norm=lambda n: nn.GroupNorm(4, n), not {type(norm).__name__}"
            + ("(...), which is one layer" if isinstance(norm, Module) else "")
        )


def _check_nonlinearity(name: str, nonlinearity: str) -> None:
    if nonlinearity not in ("tanh", "relu"):
        raise ValueError(f"{name}: nonlinearity must be 'tanh' or 'relu', not {nonlinearity!r}")


# -- cells: one step --------------------------------------------------------------------------------------


class _Cell(Module):
    """The common part of the three cells: a single step of a single layer, for your own loops."""

    rows = 1

    bias_ih: Tensor | None
    bias_hh: Tensor | None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        *,
        norm: NormFactory | None = None,
        dtype: Any = None,
    ):
        super().__init__()
        _check_factory(type(self).__name__, norm)
        self.input_size, self.hidden_size, self.bias, self.normalized = input_size, hidden_size, bias, norm is not None
        n = self.rows * hidden_size
        self.weight_ih = empty_parameter(n, input_size, dtype=dtype)
        self.weight_hh = empty_parameter(n, hidden_size, dtype=dtype)
        self.register_parameter("bias_ih", empty_parameter(n, dtype=dtype) if bias else None)
        self.register_parameter("bias_hh", empty_parameter(n, dtype=dtype) if bias else None)
        self.reset_parameters()
        if norm is not None:
            for name, module in self._make_norms(norm).items():
                self.add_module(name, module if dtype is None else module.to(dtype))

    def reset_parameters(self) -> None:
        """Draw all weights and biases from U(−1/√hidden_size, 1/√hidden_size)."""
        bound = 1 / math.sqrt(max(self.hidden_size, 1))
        for parameter in self.parameters(recurse=False):
            init.uniform_(parameter, -bound, bound)

    def _make_norms(self, norm: NormFactory) -> dict[str, Module]:
        n = self.rows * self.hidden_size
        return {"norm_ih": norm(n), "norm_hh": norm(n)}

    def _norm(self, name: str, x: Tensor) -> Tensor:
        return self.__dict__[name](x) if self.normalized else x

    def _prepare(self, x: Tensor, *states: Any) -> list[Any]:
        """Input and states as (B, features); zeros for states that are not given."""
        name = type(self).__name__
        if x.ndim not in (1, 2) or x.shape[-1] != self.input_size:
            raise ValueError(
                f"{name}: expected an input of shape (batch, {self.input_size}) or ({self.input_size},), got {x.shape}"
            )
        expected = (*x.shape[:-1], self.hidden_size)
        found = [reshape(x, (1, -1)) if x.ndim == 1 else x]
        for state in states:
            if state is None:
                state = Tensor(np.zeros(expected, x.dtype))
            elif state.shape != expected:
                raise ValueError(f"{name}: the state must have shape {expected}, got {state.shape}")
            found.append(reshape(state, (1, -1)) if x.ndim == 1 else state)
        return found

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}" + ("" if self.bias else ", bias=False")


class RNNCell(_Cell):
    """One step of an `RNN`: (x, h) → h′.

    Args:
        input_size, hidden_size, bias, nonlinearity, norm, dtype: as for `RNN`.

    Shapes:
        input (B, input_size), h (B, hidden_size), zeros if left out → (B, hidden_size); B may be left out.

    Example:
        >>> import minigrad as mg
        >>> cell = mg.nn.RNNCell(3, 5)
        >>> cell(mg.zeros(4, 3)).shape
        (4, 5)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        *,
        norm: NormFactory | None = None,
        dtype: Any = None,
    ):
        _check_nonlinearity("RNNCell", nonlinearity)
        super().__init__(input_size, hidden_size, bias, norm=norm, dtype=dtype)
        self.nonlinearity = nonlinearity

    def _make_norms(self, norm: NormFactory) -> dict[str, Module]:
        return {"norm_sum": norm(self.hidden_size)}

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        rows, h = self._prepare(input, hx)
        total = self._norm("norm_sum", F.linear(rows, self.weight_ih) + F.linear(h, self.weight_hh))
        h = (tanh if self.nonlinearity == "tanh" else F.relu)(_plus(total, self.bias_ih, self.bias_hh))
        return reshape(h, (-1,)) if input.ndim == 1 else h


class LSTMCell(_Cell):
    """One step of an `LSTM`: (x, (h, c)) → (h′, c′).

    Args:
        input_size, hidden_size, bias, norm, dtype: as for `LSTM`.

    Shapes:
        input (B, input_size), h and c (B, hidden_size), zeros if left out → h′, c′ (B, hidden_size);
        B may be left out.

    Example:
        >>> import minigrad as mg
        >>> h, c = mg.nn.LSTMCell(3, 5, norm=mg.nn.LayerNorm)(mg.zeros(4, 3))
        >>> h.shape, c.shape
        ((4, 5), (4, 5))
    """

    rows = 4

    def _make_norms(self, norm: NormFactory) -> dict[str, Module]:
        return {**super()._make_norms(norm), "norm_c": norm(self.hidden_size)}

    def forward(self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        rows, h, c = self._prepare(input, *(hx or (None, None)))
        x_part = _plus(self._norm("norm_ih", F.linear(rows, self.weight_ih)), self.bias_ih, self.bias_hh)
        norm_hh, norm_c = (self.__dict__["norm_hh"], self.__dict__["norm_c"]) if self.normalized else (None, None)
        h, c = _lstm_step(x_part, F.linear(h, self.weight_hh), c, norm_hh, norm_c)
        return (reshape(h, (-1,)), reshape(c, (-1,))) if input.ndim == 1 else (h, c)


class GRUCell(_Cell):
    """One step of a `GRU`: (x, h) → h′.

    Args:
        input_size, hidden_size, bias, norm, dtype: as for `GRU`.

    Shapes:
        input (B, input_size), h (B, hidden_size), zeros if left out → (B, hidden_size); B may be left out.

    Example:
        >>> import minigrad as mg
        >>> mg.nn.GRUCell(3, 5)(mg.zeros(4, 3)).shape
        (4, 5)
    """

    rows = 3

    def _make_norms(self, norm: NormFactory) -> dict[str, Module]:
        return {"norm_ih": GRUNorm(norm, self.hidden_size), "norm_hh": GRUNorm(norm, self.hidden_size)}

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        rows, h = self._prepare(input, hx)
        x_part = _plus(self._norm("norm_ih", F.linear(rows, self.weight_ih)), self.bias_ih)
        h_part = _plus(self._norm("norm_hh", F.linear(h, self.weight_hh)), self.bias_hh)
        h = gru_step(x_part, h_part, h)
        return reshape(h, (-1,)) if input.ndim == 1 else h
