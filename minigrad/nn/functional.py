"""The ops of a network as functions, under the names of `torch.nn.functional`."""

from minigrad.ops.activation import (
    celu,
    elu,
    gelu,
    glu,
    hardsigmoid,
    hardswish,
    hardtanh,
    leaky_relu,
    log_softmax,
    logsigmoid,
    mish,
    prelu,
    relu,
    relu6,
    selu,
    silu,
    softmax,
    softmin,
    softplus,
    softsign,
)
from minigrad.ops.attention import scaled_dot_product_attention
from minigrad.ops.conv import (
    conv1d,
    conv2d,
    conv3d,
    conv_transpose1d,
    conv_transpose2d,
    conv_transpose3d,
)
from minigrad.ops.dropout import (
    alpha_dropout,
    dropout,
    dropout1d,
    dropout2d,
    dropout3d,
    feature_alpha_dropout,
)
from minigrad.ops.indexing import (
    embedding,
    one_hot,
)
from minigrad.ops.linalg import bilinear
from minigrad.ops.linear import linear
from minigrad.ops.loss import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cross_entropy,
    huber_loss,
    kl_div,
    l1_loss,
    mse_loss,
    nll_loss,
    smooth_l1_loss,
)
from minigrad.ops.norm import (
    adaptive_instance_norm,
    batch_norm,
    batch_renorm,
    conditional_batch_norm,
    conditional_instance_norm,
    cosine_linear,
    cosine_similarity,
    decorrelated_batch_norm,
    divisive_norm,
    dynamic_erf,
    dynamic_tanh,
    evo_norm_b0,
    evo_norm_s0,
    filter_response_norm,
    ghost_batch_norm,
    global_response_norm,
    group_norm,
    instance_norm,
    iterative_norm,
    layer_norm,
    local_response_norm,
    mean_only_batch_norm,
    mean_variance_normalization,
    normalize,
    power_norm,
    rms_norm,
    scale_norm,
    scaled_weight_standardization,
    spade,
    spectral_norm,
    switchable_norm,
    sync_batch_norm,
    thresholded_linear_unit,
    weight_norm,
    weight_standardization,
)
from minigrad.ops.padding import pad
from minigrad.ops.pool import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
    adaptive_max_pool3d,
    avg_pool1d,
    avg_pool2d,
    avg_pool3d,
    max_pool1d,
    max_pool2d,
    max_pool3d,
)
from minigrad.ops.resize import interpolate
from minigrad.ops.unary import (
    sigmoid,
    tanh,
)
