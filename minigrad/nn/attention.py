"""Attention with several heads, and the transformer encoder built on it."""

import copy
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from minigrad.autograd import Tensor
from minigrad.autograd.tensor import raw
from minigrad.nn import functional as F
from minigrad.nn import init
from minigrad.nn.container import ModuleList
from minigrad.nn.dropout import Dropout
from minigrad.nn.linear import Linear, empty_parameter
from minigrad.nn.module import Module
from minigrad.nn.norm import LayerNorm
from minigrad.nn.parameter import Parameter
from minigrad.ops.attention import attention_weights, without_unread
from minigrad.ops.linalg import matmul
from minigrad.ops.shape import cat, expand, permute, reshape, split, transpose, unbind


class MultiheadAttention(Module):
    """Attention in several heads side by side, each with its own projections.

        head_j = softmax(q_j k_jᵀ / √d) v_j,   q_j, k_j, v_j = W_j query, W′_j key, W″_j value
        output = W_out [head_1, ..., head_h] + b                (Vaswani et al. 2017, arXiv 1706.03762)

    Args:
        embed_dim: features of queries and outputs; each head has d = embed_dim / num_heads.
        num_heads: the number of heads.
        dropout: the probability of dropping an attention weight, in training.
        bias: True: the projections have biases.
        add_bias_kv: True: add a learned key and value to every sequence.
        add_zero_attn: True: add a key and a value of zeros, so that a query can read nothing.
        kdim, vdim: features of keys and values; embed_dim if left out.
        batch_first: input and output are (batch, length, features) rather than (length, batch, features).
        dtype: of the parameters; float32 by default.

    Shapes:
        query (L, N, embed_dim), key (S, N, kdim), value (S, N, vdim), or all three without N
        → output (L, N, embed_dim), weights (N, L, S), or (N, num_heads, L, S) if not averaged.
        Parameters: in_proj_weight (3 · embed_dim, embed_dim), with rows for queries, keys and values (or, with kdim
        or vdim, q_proj_weight, k_proj_weight and v_proj_weight), in_proj_bias, out_proj.weight, out_proj.bias.

    Differences from PyTorch: `is_causal=True` needs no additional mask. A query that may read nothing gets zeros
    rather than NaN.

    Example:
        >>> import minigrad as mg
        >>> attention = mg.nn.MultiheadAttention(8, num_heads=2, batch_first=True)
        >>> x = mg.zeros(5, 7, 8)
        >>> output, weights = attention(x, x, x)
        >>> output.shape, weights.shape
        ((5, 7, 8), (5, 7, 7))
    """

    in_proj_weight: Parameter | None
    in_proj_bias: Parameter | None
    bias_k: Parameter | None
    bias_v: Parameter | None

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        *,
        dtype: Any = None,
    ):
        super().__init__()
        if embed_dim < 1:
            raise ValueError(f"MultiheadAttention: embed_dim must be at least 1, got {embed_dim}")
        if num_heads < 1 or embed_dim % num_heads:
            raise ValueError(f"MultiheadAttention: embed_dim={embed_dim} is not divisible by num_heads={num_heads}")
        self.embed_dim, self.num_heads, self.head_dim = embed_dim, num_heads, embed_dim // num_heads
        self.kdim, self.vdim = embed_dim if kdim is None else kdim, embed_dim if vdim is None else vdim
        self.dropout, self.batch_first, self.add_zero_attn = dropout, batch_first, add_zero_attn
        names = ("q_proj_weight", "k_proj_weight", "v_proj_weight")
        self._one_matrix = self.kdim == self.vdim == embed_dim
        if self._one_matrix:
            self.in_proj_weight = empty_parameter(3 * embed_dim, embed_dim, dtype=dtype)
            for name in names:
                self.register_parameter(name, None)
        else:
            for name, n in zip(names, (embed_dim, self.kdim, self.vdim), strict=True):
                setattr(self, name, empty_parameter(embed_dim, n, dtype=dtype))
            self.register_parameter("in_proj_weight", None)
        self.register_parameter("in_proj_bias", empty_parameter(3 * embed_dim, dtype=dtype) if bias else None)
        self.out_proj = Linear(embed_dim, embed_dim, bias, dtype=dtype)
        for name in ("bias_k", "bias_v"):
            self.register_parameter(name, empty_parameter(1, 1, embed_dim, dtype=dtype) if add_bias_kv else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialize the parameters again: weights by `xavier_uniform_`, biases 0, bias_k and bias_v by
        `xavier_normal_`."""
        self.out_proj.reset_parameters()
        for name, parameter in self.named_parameters():
            if name in ("in_proj_bias", "out_proj.bias"):
                init.zeros_(parameter)
            elif name in ("bias_k", "bias_v"):
                init.xavier_normal_(parameter)
            elif name != "out_proj.weight":
                init.xavier_uniform_(parameter)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Let each query read the values.

        Args:
            query, key, value: see the class.
            key_padding_mask: (N, S), or (S,) without N. Boolean: True for a key that is padding and must not
                be read; floating-point: added to the scores.
            need_weights: True: return the weights as well.
            attn_mask: (L, S), or (N · num_heads, L, S). Boolean: True where reading is *not* allowed;
                floating-point: added to the scores.
            average_attn_weights: average the returned weights over the heads.
            is_causal: True: query i may read only the keys 0 ... i.

        Returns:
            The output and, if needed, the weights (as they are after dropout), else None.
        """
        batched = query.ndim == 3
        if query.ndim not in (2, 3) or not query.ndim == key.ndim == value.ndim:
            raise ValueError(
                "MultiheadAttention: query, key and value must all have 3 axes, or 2 without a batch, got shapes "
                f"{query.shape}, {key.shape} and {value.shape}"
            )
        # From here on: (N, L, features).
        same = query is key is value
        if not batched:
            query, key, value = (reshape(x, (1, *x.shape)) for x in (query, key, value))
        elif not self.batch_first:
            query, key, value = (transpose(x, 0, 1) for x in (query, key, value))
        self._check_inputs(query, key, value)
        n, length, _ = query.shape
        if key_padding_mask is not None:
            padding = _additive(key_padding_mask, key.dtype, "key_padding_mask")
            if not (np.isfinite(key.array).all() and np.isfinite(value.array).all()):  # it must not reach the weights
                rows = padding[..., None, :]
                key, value, same = without_unread(key, rows), without_unread(value, rows), False
        q, k, v = self._project(query, key, value, same)
        extra = 0
        if self.bias_k is not None and self.bias_v is not None:
            k = cat([k, self._heads(expand(self.bias_k, n, 1, self.embed_dim))], 2)
            v = cat([v, self._heads(expand(self.bias_v, n, 1, self.embed_dim))], 2)
            extra += 1
        if self.add_zero_attn:
            zeros = Tensor(np.zeros((n, self.num_heads, 1, self.head_dim), k.dtype))
            k, v = cat([k, zeros], 2), cat([v, zeros], 2)
            extra += 1
        mask = self._mask(attn_mask, key_padding_mask, n, length, key.shape[1], extra, is_causal, q.dtype)
        k, v = without_unread(k, mask), without_unread(v, mask)
        weights = attention_weights(q, k, mask)
        if self.dropout and self.training:
            weights = F.dropout(weights, self.dropout)
        heads = transpose(matmul(weights, v), 1, 2)
        output = self.out_proj(reshape(heads, (n, length, self.embed_dim)))
        if not batched:
            output = reshape(output, (length, self.embed_dim))
        elif not self.batch_first:
            output = transpose(output, 0, 1)
        if not need_weights:
            return output, None
        if average_attn_weights:
            weights = weights.mean(axis=1)
        return output, weights if batched else reshape(weights, weights.shape[1:])

    def _check_inputs(self, query: Tensor, key: Tensor, value: Tensor) -> None:
        sizes = (("query", query, self.embed_dim), ("key", key, self.kdim), ("value", value, self.vdim))
        for name, x, features in sizes:
            if x.shape[2] != features:
                raise ValueError(
                    f"MultiheadAttention: {name} has {x.shape[2]} features, and this layer expects {features}"
                )
            if x.shape[0] != query.shape[0] or (name == "value" and x.shape[1] != key.shape[1]):
                order = f"batch_first={self.batch_first}"
                raise ValueError(
                    "MultiheadAttention: batch and length do not fit together: query "
                    f"{query.shape[:2]}, key {key.shape[:2]}, value {value.shape[:2]} (as batch, length; {order})"
                )

    def _heads(self, x: Tensor) -> Tensor:
        """(N, L, embed_dim) → (N, heads, L, head_dim)."""
        return transpose(reshape(x, (x.shape[0], x.shape[1], self.num_heads, self.head_dim)), 1, 2)

    def _project(self, query: Tensor, key: Tensor, value: Tensor, same: bool) -> Any:
        in_proj_weight = self.in_proj_weight
        if same and in_proj_weight is not None:  # self-attention: one matrix product for all three
            n, length, _ = query.shape
            joint = F.linear(query, in_proj_weight, self.in_proj_bias)
            joint = reshape(joint, (n, length, 3, self.num_heads, self.head_dim))
            return unbind(permute(joint, (2, 0, 3, 1, 4)), 0)
        if in_proj_weight is not None:
            weights = split(in_proj_weight, self.embed_dim)
        else:
            weights = [getattr(self, f"{letter}_proj_weight") for letter in "qkv"]
        biases = [None] * 3 if self.in_proj_bias is None else split(self.in_proj_bias, self.embed_dim)
        inputs = (query, key, value)
        return [self._heads(F.linear(x, w, b)) for x, w, b in zip(inputs, weights, biases, strict=True)]

    def _mask(
        self,
        attn_mask: Any,
        key_padding_mask: Any,
        n: int,
        length: int,
        n_keys: int,
        extra: int,
        is_causal: bool,
        dtype: Any,
    ) -> Any:
        """All masks combined into one, to be added to the scores (N, heads, L, S); None if there is no mask.

        Extra keys (`add_bias_kv`, `add_zero_attn`) come last, and every query may read them.
        """
        parts = []
        if is_causal and attn_mask is None:
            attn_mask = ~np.tri(length, n_keys, dtype=bool)
        if attn_mask is not None:
            attn_mask = _additive(attn_mask, dtype, "attn_mask")
            if attn_mask.shape == (n * self.num_heads, length, n_keys):
                attn_mask = reshape(attn_mask, (n, self.num_heads, length, n_keys))
            elif attn_mask.shape != (length, n_keys):
                raise ValueError(
                    f"MultiheadAttention: attn_mask must have shape {(length, n_keys)}, or "
                    f"{(n * self.num_heads, length, n_keys)} for a mask of each head, got {attn_mask.shape}"
                )
            parts.append(attn_mask)
        if key_padding_mask is not None:
            key_padding_mask = _additive(key_padding_mask, dtype, "key_padding_mask")
            if key_padding_mask.shape not in ((n, n_keys), (n_keys,)):
                raise ValueError(
                    f"MultiheadAttention: key_padding_mask must have shape {(n, n_keys)}, got {key_padding_mask.shape}"
                )
            parts.append(reshape(key_padding_mask, (-1, 1, 1, n_keys)))
        if not parts:
            return None
        mask = parts[0] if len(parts) == 1 else parts[0] + parts[1]
        if extra:
            mask = cat([mask, np.zeros((*mask.shape[:-1], extra), dtype)], mask.ndim - 1)
        return mask

    def extra_repr(self) -> str:
        return f"{self.embed_dim}, num_heads={self.num_heads}"


def _additive(mask: Any, dtype: Any, name: str) -> Any:
    """A mask to add to scores: −∞ where a boolean mask is True, that is, where reading is not allowed."""
    array = raw(mask)
    if array.dtype == bool:
        return np.where(array, -np.inf, 0).astype(dtype)
    if array.dtype.kind != "f":
        raise TypeError(f"MultiheadAttention: {name} must be boolean or floating-point, not {array.dtype}")
    return mask.astype(dtype)


class TransformerEncoderLayer(Module):
    """Self-attention and a small network for each position, each with a residual connection and a norm.

        post-norm (norm_first=False):  x = norm1(x + attention(x));  x = norm2(x + feedforward(x))
        pre-norm  (norm_first=True):   x = x + attention(norm1(x));  x = x + feedforward(norm2(x))

    Post-norm is the original (Vaswani et al. 2017). Its residual stream passes through every norm, and training
    needs a learning rate that warms up. Pre-norm leaves a path without norms from the output to the input, and
    trains without warm-up (Xiong et al. 2020, arXiv 2002.04745).

    Args:
        d_model: features of input and output.
        nhead: the number of heads.
        dim_feedforward: the width of the small network, linear2(activation(linear1(x))).
        dropout: the probability of dropping an element, on both residual branches and inside them.
        activation: "relu", "gelu" or a function.
        layer_norm_eps: ε of the layer norms.
        batch_first: input and output are (batch, length, features) rather than (length, batch, features).
        norm_first: pre-norm rather than post-norm.
        bias: True: the linear layers and norms have biases.
        norm: a function that makes another norm for the place of the two layer norms, called as `norm(d_model)`.
        dtype: of the parameters; float32 by default.

    Shapes:
        src (L, N, d_model), or (L, d_model) → the same.

    Example:
        >>> import minigrad as mg
        >>> layer = mg.nn.TransformerEncoderLayer(8, nhead=2, dim_feedforward=16, norm_first=True)
        >>> layer(mg.zeros(7, 5, 8)).shape
        (7, 5, 8)
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: "str | Callable[[Tensor], Tensor]" = F.relu,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        *,
        norm: Callable[[int], Module] | None = None,
        dtype: Any = None,
    ):
        super().__init__()
        known = {"relu": F.relu, "gelu": F.gelu}
        if isinstance(activation, str):
            if activation not in known:
                raise ValueError(
                    f"TransformerEncoderLayer: activation must be 'relu', 'gelu' or a function, not {activation!r}"
                )
            self.activation = known[activation]
        else:
            self.activation = activation
        self.self_attn = MultiheadAttention(d_model, nhead, dropout, bias, batch_first=batch_first, dtype=dtype)
        self.linear1 = Linear(d_model, dim_feedforward, bias, dtype=dtype)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias, dtype=dtype)
        self.norm_first = norm_first
        for name in ("norm1", "norm2"):
            module = LayerNorm(d_model, layer_norm_eps, bias=bias) if norm is None else norm(d_model)
            self.add_module(name, module if dtype is None else module.to(dtype))
        self.dropout1, self.dropout2 = Dropout(dropout), Dropout(dropout)

    activation: Callable[[Tensor], Tensor]
    norm1: Module
    norm2: Module

    def forward(
        self,
        src: Tensor,
        src_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Tensor:
        """Masks as in `MultiheadAttention`: True, or −∞, where reading is not allowed."""
        masks = src_mask, src_key_padding_mask, is_causal
        x = src
        if self.norm_first:
            x = x + self._attend(self.norm1(x), *masks)
            return x + self._feed_forward(self.norm2(x))
        x = self.norm1(x + self._attend(x, *masks))
        return self.norm2(x + self._feed_forward(x))

    def _attend(self, x: Tensor, mask: Tensor | None, padding: Tensor | None, is_causal: bool) -> Tensor:
        y, _ = self.self_attn(
            x, x, x, attn_mask=mask, key_padding_mask=padding, need_weights=False, is_causal=is_causal
        )
        return self.dropout1(y)

    def _feed_forward(self, x: Tensor) -> Tensor:
        return self.dropout2(self.linear2(self.dropout(self.activation(self.linear1(x)))))

    def extra_repr(self) -> str:
        return f"norm_first={self.norm_first}"


class TransformerEncoder(Module):
    """Several encoder layers in sequence.

    Args:
        encoder_layer: the layer, of which `num_layers` copies are made, all with its initial weights.
        num_layers: the number of layers.
        norm: a module applied to the output, or None. Pre-norm layers need one, because nothing else bounds the
            residual stream.

    Shapes:
        as of the layer.

    Example:
        >>> import minigrad as mg
        >>> layer = mg.nn.TransformerEncoderLayer(8, nhead=2, dim_feedforward=16)
        >>> mg.nn.TransformerEncoder(layer, num_layers=3)(mg.zeros(7, 5, 8)).shape
        (7, 5, 8)
    """

    def __init__(self, encoder_layer: Module, num_layers: int, norm: Module | None = None):
        super().__init__()
        self.layers = ModuleList(copy.deepcopy(encoder_layer) for _ in range(num_layers))
        self.num_layers = num_layers
        self.norm = norm

    def forward(
        self,
        src: Tensor,
        mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Tensor:
        """Masks as in `MultiheadAttention`: True, or −∞, where reading is not allowed."""
        x = src
        for layer in self.layers:
            x = layer(x, src_mask=mask, src_key_padding_mask=src_key_padding_mask, is_causal=is_causal)
        return x if self.norm is None else self.norm(x)


class PositionalEncoding(Module):
    """x + p, where p encodes the position of each vector: attention alone does not know positions.

        p[t, 2i] = sin(t / 10000^(2i/d)),  p[t, 2i + 1] = cos(t / 10000^(2i/d))   (Vaswani et al. 2017)

    Args:
        d_model: features.
        max_len: the longest sequence.
        dropout: applied to the sum.
        batch_first: input and output are (batch, length, features) rather than (length, batch, features).

    PyTorch has no such layer.

    Example:
        >>> import minigrad as mg
        >>> mg.nn.PositionalEncoding(4)(mg.zeros(2, 1, 4))[0].tolist()
        [[0.0, 1.0, 0.0, 1.0]]
    """

    def __init__(self, d_model: int, max_len: int = 5000, dropout: float = 0.0, batch_first: bool = False):
        super().__init__()
        self.dropout, self.batch_first, self.max_len = Dropout(dropout), batch_first, max_len
        angles = np.arange(max_len)[:, None] * np.exp(np.arange(0, d_model, 2) * (-math.log(10000.0) / d_model))
        table = np.empty((max_len, d_model), np.float32)
        table[:, 0::2], table[:, 1::2] = np.sin(angles), np.cos(angles)[:, : d_model // 2]
        self.register_buffer("table", Tensor(table), persistent=False)

    table: Tensor

    def forward(self, x: Tensor) -> Tensor:
        length = x.shape[1 if self.batch_first and x.ndim == 3 else 0]
        if length > self.max_len:
            raise ValueError(f"PositionalEncoding: the sequence has {length} positions, more than {self.max_len=}")
        encoding = self.table[:length]
        if x.ndim == 3 and not self.batch_first:
            encoding = reshape(encoding, (length, 1, encoding.shape[1]))
        return self.dropout(x + encoding.astype(x.dtype))
