"""Attention, the transformer encoder, positional encoding, and nn.utils."""

import math

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.nn import functional as F

RNG = np.random.default_rng(11)


def leaf(*shape):
    return mg.tensor(RNG.standard_normal(shape), requires_grad=True)


MASK = np.array([[True, False, True, True], [False] * 4, [True] * 4])


@pytest.mark.parametrize(
    "options",
    [{}, {"is_causal": True}, {"attn_mask": mg.tensor(MASK)}, {"scale": 0.7}],
    ids=["plain", "causal", "mask", "scale"],
)
def test_derivatives(options):
    inputs = [leaf(2, 3, 2), leaf(2, 4, 2), leaf(2, 4, 3)]
    function = lambda q, k, v: F.scaled_dot_product_attention(q, k, v, **options)  # noqa: E731
    assert mg.autograd.gradcheck(function, inputs)
    assert mg.autograd.gradgradcheck(function, inputs)


def test_a_learned_bias_gets_its_gradient():
    inputs = [leaf(3, 2), leaf(4, 2), leaf(4, 3), leaf(3, 4)]
    assert mg.autograd.gradcheck(F.scaled_dot_product_attention, inputs)


def test_against_the_formula():
    q, k, v = RNG.standard_normal((2, 3, 5)), RNG.standard_normal((2, 4, 5)), RNG.standard_normal((2, 4, 2))
    scores = q @ k.swapaxes(1, 2) / math.sqrt(5)
    e = np.exp(scores)
    expected = e / e.sum(-1, keepdims=True) @ v
    y = F.scaled_dot_product_attention(mg.tensor(q), mg.tensor(k), mg.tensor(v))
    np.testing.assert_allclose(y.array, expected, rtol=1e-12)
    e = e * MASK
    total = e.sum(-1, keepdims=True)
    expected = e / np.where(total == 0, 1, total) @ v
    for mask in (mg.tensor(MASK), mg.tensor(np.where(MASK, 0, -np.inf))):
        y = F.scaled_dot_product_attention(mg.tensor(q), mg.tensor(k), mg.tensor(v), attn_mask=mask)
        np.testing.assert_allclose(y.array, expected, rtol=1e-12)
        assert (y.array[:, 1] == 0).all()  # a query that may read nothing


def test_what_is_masked_has_no_influence():
    attention = nn.MultiheadAttention(4, 2, batch_first=True, dtype=mg.float64)
    x = RNG.standard_normal((2, 5, 4))
    padding = mg.tensor(np.array([[False] * 5, [False] * 3 + [True] * 2]))
    changed = x.copy()
    changed[1, 3:] += 100
    x, changed = mg.tensor(x), mg.tensor(changed)
    y, z = (attention(x, s, s, key_padding_mask=padding)[0].detach().array for s in (x, changed))
    np.testing.assert_allclose(y, z, rtol=1e-12)
    z = attention(x, changed, changed)[0].detach().array
    assert abs(y[1] - z[1]).max() > 0.01


def test_causal_attention_does_not_see_the_future():
    layer = nn.TransformerEncoderLayer(4, 2, 8, dropout=0, batch_first=True, dtype=mg.float64)
    stack = nn.TransformerEncoder(layer, 2)
    x = RNG.standard_normal((1, 6, 4))
    later = x.copy()
    later[0, 4:] += 1
    y, z = (stack(mg.tensor(a), is_causal=True).detach().array for a in (x, later))
    np.testing.assert_allclose(y[0, :4], z[0, :4], rtol=1e-12)
    assert abs(y[0, 4:] - z[0, 4:]).max() > 0.01
    causal = mg.tensor(np.triu(np.ones((6, 6), bool), 1))
    np.testing.assert_allclose(stack(mg.tensor(x), mask=causal).detach().array, y, rtol=1e-12)


def test_self_attention_shortcut_equals_three_projections():
    attention = nn.MultiheadAttention(4, 2, dtype=mg.float64)
    x = leaf(5, 2, 4)
    joint = attention(x, x, x)
    apart = attention(x, x.clone(), x.clone())
    for a, b in zip(joint, apart, strict=True):
        np.testing.assert_allclose(a.detach().array, b.detach().array, rtol=1e-12)
    v = mg.tensor(RNG.standard_normal(joint[0].shape))
    inputs = [x, *attention.parameters()]
    for a, b in zip(mg.grad(joint[0], inputs, v), mg.grad(apart[0], inputs, v), strict=True):
        np.testing.assert_allclose(a.array, b.array, rtol=1e-9, atol=1e-12)


def test_self_attention_does_not_know_positions_and_the_encoding_tells_them():
    layer = nn.TransformerEncoderLayer(4, 2, 8, dropout=0, dtype=mg.float64)
    x = RNG.standard_normal((6, 1, 4))
    order = RNG.permutation(6)
    y, z = layer(mg.tensor(x)).detach().array, layer(mg.tensor(x[order])).detach().array
    np.testing.assert_allclose(y[order], z, rtol=1e-10)
    where = nn.PositionalEncoding(4)
    y, z = (layer(where(mg.tensor(a))).detach().array for a in (x, x[order]))
    assert abs(y[order] - z).max() > 0.01


def test_positional_encoding():
    where = nn.PositionalEncoding(5, max_len=20)
    p = where(mg.zeros(20, 3, 5)).array
    assert (p[:, 0] == p[:, 1]).all()
    t = np.arange(20)
    slow, slower = t / 10**1.6, t / 10**3.2
    for i, expected in enumerate([np.sin(t), np.cos(t), np.sin(slow), np.cos(slow), np.sin(slower)]):
        np.testing.assert_allclose(p[:, 0, i], expected, atol=1e-6)
    first = nn.PositionalEncoding(5, batch_first=True)
    np.testing.assert_array_equal(first(mg.zeros(3, 20, 5)).array.swapaxes(0, 1)[:, 0], p[:, 0])
    assert where(mg.zeros(7, 5)).shape == (7, 5) and where(mg.zeros(7, 5, dtype=mg.float64)).dtype == np.float64
    assert list(where.state_dict()) == []
    with pytest.raises(ValueError, match="21 positions"):
        where(mg.zeros(21, 1, 5))


def test_norm_first_bypasses_the_norms():
    # The residual stream of a pre-norm layer reaches the output untouched: with branches that give zero, y = x.
    for norm_first in (True, False):
        layer = nn.TransformerEncoderLayer(4, 2, 8, dropout=0, norm_first=norm_first)
        for name in ("self_attn.out_proj.weight", "linear2.weight", "linear2.bias"):
            nn.init.zeros_(layer.get_parameter(name))
        x = 10 * mg.randn(3, 2, 4)
        assert np.allclose(layer(x).detach().array, x.array) == norm_first


def test_another_norm_takes_the_place_of_layer_norm():
    layer = nn.TransformerEncoderLayer(4, 2, 8, norm=lambda n: nn.Identity())
    assert isinstance(layer.norm1, nn.Identity) and layer(mg.zeros(3, 2, 4)).shape == (3, 2, 4)


def test_encoder_layers_are_independent_copies():
    layer = nn.TransformerEncoderLayer(4, 2, 8)
    stack = nn.TransformerEncoder(layer, 3, norm=nn.LayerNorm(4))
    assert len(stack.layers) == 3 and len({id(p) for p in stack.parameters()}) == 3 * 12 + 2
    assert (stack.layers[0].linear1.weight.array == stack.layers[2].linear1.weight.array).all()


def test_dropout_in_training_only():
    mg.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 8, dropout=0.5)
    x = mg.randn(3, 2, 8)
    assert (layer(x).detach().array != layer(x).detach().array).any()
    layer.eval()
    assert (layer(x).detach().array == layer(x).detach().array).all()


def test_initial_weights():
    mg.manual_seed(0)
    attention = nn.MultiheadAttention(64, 4, add_bias_kv=True)
    assert (attention.in_proj_bias.array == 0).all() and (attention.out_proj.bias.array == 0).all()
    bound = math.sqrt(6 / (4 * 64))
    assert 0.99 * bound < abs(attention.in_proj_weight.array).max() <= bound
    assert abs(attention.out_proj.weight.array).max() <= 1 / 8
    names = [n for n, _ in nn.MultiheadAttention(4, 2, kdim=3).named_parameters()]
    projections = ["q_proj_weight", "k_proj_weight", "v_proj_weight", "in_proj_bias"]
    assert names == [*projections, "out_proj.weight", "out_proj.bias"]


def test_errors():
    x = mg.zeros(5, 2, 4)
    attention = nn.MultiheadAttention(4, 2)
    with pytest.raises(ValueError, match="not divisible by num_heads=3"):
        nn.MultiheadAttention(4, 3)
    with pytest.raises(ValueError, match="key has 6 features, and this layer expects 4"):
        attention(x, mg.zeros(5, 2, 6), x)
    with pytest.raises(ValueError, match="do not fit together"):
        attention(x, mg.zeros(5, 3, 4), mg.zeros(5, 3, 4))
    with pytest.raises(ValueError, match="must all have 3 axes"):
        attention(x, x[0], x)
    with pytest.raises(ValueError, match=r"attn_mask must have shape \(5, 5\)"):
        attention(x, x, x, attn_mask=mg.zeros(3, 5))
    with pytest.raises(ValueError, match=r"key_padding_mask must have shape \(2, 5\)"):
        attention(x, x, x, key_padding_mask=mg.zeros(5, 2))
    with pytest.raises(TypeError, match="boolean or floating-point"):
        attention(x, x, x, attn_mask=mg.zeros(5, 5, dtype=mg.int64))
    with pytest.raises(ValueError, match="either attn_mask or is_causal"):
        F.scaled_dot_product_attention(x, x, x, mg.zeros(2, 2), is_causal=True)
    with pytest.raises(ValueError, match="same number of features"):
        F.scaled_dot_product_attention(x, mg.zeros(5, 2, 3), x)
    with pytest.raises(ValueError, match="2 keys and 3 values"):
        F.scaled_dot_product_attention(x, x, mg.zeros(5, 3, 4))
    with pytest.raises(ValueError, match="'relu', 'gelu' or a function"):
        nn.TransformerEncoderLayer(4, 2, activation="rleu")


def test_utils():
    layer = nn.Linear(3, 2)
    vector = nn.utils.parameters_to_vector(layer.parameters())
    np.testing.assert_array_equal(
        vector.detach().array, np.concatenate([layer.weight.array.ravel(), layer.bias.array])
    )
    (vector * vector).sum().backward()
    np.testing.assert_allclose(layer.bias.grad.array, 2 * layer.bias.array)
    nn.utils.vector_to_parameters(mg.arange(8).float(), layer.parameters())
    assert layer.weight.tolist() == [[0, 1, 2], [3, 4, 5]] and layer.bias.tolist() == [6, 7]
    with pytest.raises(ValueError, match="8 elements"):
        nn.utils.vector_to_parameters(mg.zeros(9), layer.parameters())
    assert nn.utils.clip_grad_norm_ is mg.optim.clip_grad_norm_


def test_messages_of_scaled_dot_product_attention():
    q, k = mg.zeros(2, 3), mg.zeros(4, 3)
    with pytest.raises(ValueError, match=r"attn_mask of shape \(3, 4\) does not broadcast to the scores .*, \(2, 4\)"):
        mg.nn.functional.scaled_dot_product_attention(q, k, k, attn_mask=mg.zeros(3, 4))
    with pytest.raises(ValueError, match="enable_gqa needs an axis of heads"):
        mg.nn.functional.scaled_dot_product_attention(q, k, k, enable_gqa=True)
