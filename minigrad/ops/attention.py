"""Attention: each query reads a weighted mean of the values, weighted by how well it fits the keys.

    Attention(Q, K, V) = softmax(Q Kᵀ / √d) V                    (Vaswani et al. 2017, arXiv 1706.03762)

The scores are divided by √d, because a sum of d products of unit variance has variance d. Without this division
softmax would pick a single key, and its gradient would vanish.
"""

import math
from typing import Any

import numpy as np

from minigrad.autograd.tensor import raw
from minigrad.ops.activation import softmax
from minigrad.ops.compare import where
from minigrad.ops.dropout import dropout
from minigrad.ops.linalg import matmul
from minigrad.ops.shape import repeat_interleave, transpose


def attention_weights(
    query: Any, key: Any, attn_mask: Any = None, is_causal: bool = False, scale: float | None = None
) -> Any:
    """softmax(scale · Q Kᵀ + mask), (..., L, S): the share of each value in what each query reads.

    The arguments are those of `scaled_dot_product_attention`.
    """
    who = "scaled_dot_product_attention"
    if query.ndim < 2 or key.ndim < 2 or query.shape[-1] != key.shape[-1]:
        raise ValueError(
            f"{who}: query (..., L, E) and key (..., S, E) must have the same number of features E, got shapes "
            f"{query.shape} and {key.shape}"
        )
    if is_causal:
        if attn_mask is not None:
            raise ValueError(f"{who}: give either attn_mask or is_causal=True, not both")
        attn_mask = np.tri(query.shape[-2], key.shape[-2], dtype=bool)
    # Scale the queries, not the scores: there are usually fewer query elements.
    scores = matmul(query * (1 / math.sqrt(query.shape[-1]) if scale is None else scale), transpose(key, -1, -2))
    if attn_mask is None:
        return softmax(scores, -1)
    mask = raw(attn_mask)
    try:
        np.broadcast_to(mask, scores.shape)
    except ValueError as error:
        raise ValueError(
            f"{who}: attn_mask of shape {mask.shape} does not broadcast to the scores (..., L, S), {scores.shape}"
        ) from error
    if mask.dtype == bool:
        forbidden = ~mask
    elif mask.dtype.kind == "f":
        forbidden = mask == -np.inf
        scores = scores + attn_mask
    else:
        raise TypeError(f"{who}: attn_mask must be boolean or floating-point, not {mask.dtype}")
    if not forbidden.any():
        return softmax(scores, -1)
    # Replace the score of a forbidden key; do not add −∞ to it: the score may be NaN or ∞, and the sum would be NaN.
    nothing = forbidden.all(axis=-1, keepdims=True)
    weights = softmax(where(forbidden, np.where(nothing, 0, -np.inf).astype(scores.dtype), scores), -1)
    # A query that may read nothing gets zeros; softmax alone would give 0/0.
    return where(nothing, 0.0, weights) if nothing.any() else weights


def without_unread(x: Any, attn_mask: Any) -> Any:
    """Keys or values (..., S, E), with zeros in place of those that no query may read.

    Their weights are 0, and 0 · NaN would be NaN.
    """
    mask = raw(attn_mask)
    if mask is None or mask.ndim == 0:
        return x
    forbidden = ~mask if mask.dtype == bool else mask == -np.inf
    unread = forbidden.all(axis=-2) if mask.ndim > 1 else forbidden
    return where(unread[..., None], 0.0, x) if unread.any() else x


def scaled_dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    """softmax(scale · Q Kᵀ + mask) V.

    Args:
        query: (..., L, E).
        key: (..., S, E).
        value: (..., S, Ev).
        attn_mask: broadcast to (..., L, S). Boolean: True where a query *may* read a value; floating-point:
            added to the scores.
        dropout_p: the probability to drop each weight. The function knows no evaluation mode: pass 0 there.
        is_causal: True: query i may read only the values 0 ... i.
        scale: 1/√E by default.
        enable_gqa: True: query has more heads (the third axis from the end) than key and value, and neighbouring query
            heads share one key and value head (Ainslie et al. 2023, arXiv 2305.13245).

    Returns:
        (..., L, Ev). A query that may read nothing gets zeros.

    Example:
        >>> import minigrad as mg
        >>> q, k, v = mg.zeros(1, 2, 4), mg.zeros(1, 3, 4), mg.tensor([[[1.0], [2.0], [6.0]]])
        >>> mg.nn.functional.scaled_dot_product_attention(q, k, v).tolist()
        [[[3.0], [3.0]]]
    """
    if enable_gqa:
        if query.ndim < 3 or key.ndim < 3:
            raise ValueError(
                "scaled_dot_product_attention: enable_gqa needs an axis of heads, (..., heads, L, E); query and key "
                f"have shapes {query.shape} and {key.shape}"
            )
        times, rest = divmod(query.shape[-3], key.shape[-3])
        if rest:
            raise ValueError(
                f"scaled_dot_product_attention: {query.shape[-3]} query heads are not a multiple of the "
                f"{key.shape[-3]} key heads"
            )
        key, value = repeat_interleave(key, times, -3), repeat_interleave(value, times, -3)
    if key.shape[-2] != value.shape[-2]:
        raise ValueError(
            f"scaled_dot_product_attention: there are {key.shape[-2]} keys and {value.shape[-2]} values (shapes "
            f"{key.shape} and {value.shape})"
        )
    weights = attention_weights(query, without_unread(key, attn_mask), attn_mask, is_causal, scale)
    value = without_unread(value, attn_mask)
    return matmul(dropout(weights, dropout_p) if dropout_p else weights, value)
