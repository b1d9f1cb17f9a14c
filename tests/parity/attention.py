"""Attention and the transformer encoder against PyTorch's."""

import numpy as np

from tests.parity.case import Case, ModuleCase, constant, normal


def sdpa(name, *inputs, **options):
    """`scaled_dot_product_attention` of three float inputs and maybe a mask."""

    def call(lib, q, k, v, mask=None):
        return lib.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, **options)

    # PyTorch's kernel for inputs with heads has no second derivative.
    second = len(inputs[0](np.random.RandomState(0)).shape) == 3
    return Case(name, call, *inputs, second=second, tolerance={"float32": 3e-5})


def mha(name, make, *inputs, calls=("train",), **options):
    def call(lib, module, *xs):
        return module(*xs, **{k: v(lib) if callable(v) else v for k, v in options.items()})

    return ModuleCase(name, make, *inputs, call=call, calls=calls, tolerance={"float32": 3e-5})


def mask(array):
    """A mask as a constant of either library."""
    array = np.asarray(array)
    return lambda lib: lib.tensor(array) if lib.__name__ == "minigrad" else lib.from_numpy(array)


def layer(name, *inputs, calls=("train",), masks=None, **options):
    def make(lib):
        return lib.nn.TransformerEncoderLayer(4, 2, dim_feedforward=6, dropout=0.0, **options)

    def call(lib, module, *xs):
        return module(*xs, **{k: v(lib) for k, v in (masks or {}).items()})

    return ModuleCase(name, make, *inputs, call=call, calls=calls, tolerance={"float32": 3e-5})


def encoder(lib, norm):
    block = lib.nn.TransformerEncoderLayer(4, 2, 6, dropout=0.0, norm_first=True, batch_first=True)
    options = {} if lib.__name__ == "minigrad" else {"enable_nested_tensor": False}
    return lib.nn.TransformerEncoder(block, 2, norm=lib.nn.LayerNorm(4) if norm else None, **options)


CAUSAL = np.triu(np.ones((5, 5), bool), 1)
PADDING = np.array([[False] * 5, [False] * 3 + [True] * 2])
ONE_ROW_NOTHING = np.array([[True, False, True], [False, False, False], [True, True, True], [True, True, False]])

# A table: one case a line or two.
# fmt: off
CASES = [
    sdpa("sdpa", normal(2, 4, 3), normal(2, 5, 3), normal(2, 5, 2)),
    sdpa("sdpa_heads_scale", normal(2, 2, 4, 3), normal(2, 2, 4, 3), normal(2, 2, 4, 3), scale=0.3),
    sdpa("sdpa_causal", normal(2, 4, 3), normal(2, 4, 3), normal(2, 4, 3), is_causal=True),
    sdpa("sdpa_causal_more_keys", normal(2, 3, 3), normal(2, 5, 3), normal(2, 5, 3), is_causal=True),
    sdpa("sdpa_bool_mask", normal(2, 4, 3), normal(2, 3, 3), normal(2, 3, 3), constant(ONE_ROW_NOTHING)),
    sdpa("sdpa_float_mask", normal(2, 4, 3), normal(2, 5, 3), normal(2, 5, 3), normal(4, 5)),
    sdpa("sdpa_shared_heads", normal(2, 4, 3, 3), normal(2, 2, 3, 3), normal(2, 2, 3, 3), enable_gqa=True),
    mha("mha_self", lambda lib: lib.nn.MultiheadAttention(4, 2), normal(5, 2, 4), normal(5, 2, 4), normal(5, 2, 4)),
    mha("mha_batch_first_each_head", lambda lib: lib.nn.MultiheadAttention(4, 2, batch_first=True),
        normal(2, 3, 4), normal(2, 5, 4), normal(2, 5, 4), average_attn_weights=False),
    mha("mha_no_bias_no_weights", lambda lib: lib.nn.MultiheadAttention(4, 2, bias=False),
        normal(3, 2, 4), normal(5, 2, 4), normal(5, 2, 4), need_weights=False),
    mha("mha_kdim_vdim", lambda lib: lib.nn.MultiheadAttention(4, 2, kdim=3, vdim=6),
        normal(3, 2, 4), normal(5, 2, 3), normal(5, 2, 6)),
    mha("mha_unbatched", lambda lib: lib.nn.MultiheadAttention(4, 2), normal(3, 4), normal(5, 4), normal(5, 4)),
    mha("mha_masks", lambda lib: lib.nn.MultiheadAttention(4, 2), normal(5, 2, 4), normal(5, 2, 4), normal(5, 2, 4),
        attn_mask=mask(CAUSAL), key_padding_mask=mask(PADDING)),
    mha("mha_bias_kv_zero", lambda lib: lib.nn.MultiheadAttention(4, 2, add_bias_kv=True, add_zero_attn=True),
        normal(5, 2, 4), normal(5, 2, 4), normal(5, 2, 4), attn_mask=mask(CAUSAL), key_padding_mask=mask(PADDING)),
    mha("mha_dropout_eval", lambda lib: lib.nn.MultiheadAttention(4, 2, dropout=0.5),
        normal(3, 2, 4), normal(3, 2, 4), normal(3, 2, 4), calls=("eval",)),
    ModuleCase("mha_same_input", lambda lib: lib.nn.MultiheadAttention(4, 2), normal(5, 2, 4),
               call=lambda lib, module, x: module(x, x, x), tolerance={"float32": 3e-5}, second=True),
    ModuleCase("mha_mask_per_head", lambda lib: lib.nn.MultiheadAttention(4, 2),
               normal(3, 2, 4), normal(4, 3, 3), tolerance={"float32": 3e-5},
               call=lambda lib, module, x, m: module(x, x, x, attn_mask=m)),
    layer("encoder_post_norm", normal(5, 2, 4)),
    layer("encoder_pre_norm_gelu", normal(5, 2, 4), norm_first=True, activation="gelu"),
    layer("encoder_batch_first_no_bias_eps", normal(2, 5, 4), batch_first=True, bias=False, layer_norm_eps=0.1),
    layer("encoder_unbatched", normal(5, 4), norm_first=True),
    layer("encoder_masks", normal(5, 2, 4),
          masks={"src_mask": mask(CAUSAL), "src_key_padding_mask": mask(PADDING)}),
    ModuleCase("encoder_stack_final_norm", lambda lib: encoder(lib, True), normal(2, 3, 4),
               tolerance={"float32": 3e-5}),
    ModuleCase("encoder_stack", lambda lib: encoder(lib, False), normal(2, 3, 4), tolerance={"float32": 3e-5}),
]
# fmt: on
