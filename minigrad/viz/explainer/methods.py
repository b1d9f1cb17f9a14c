"""The operations that can be explained, by name."""

from minigrad.viz.explainer.layers import Conv2d, Linear, SoftmaxCrossEntropy
from minigrad.viz.explainer.normalizations import (
    BatchNorm,
    BatchRenorm,
    GroupNorm,
    InstanceNorm,
    LayerNorm,
    LocalResponseNorm,
    RMSNorm,
    WeightNorm,
)
from minigrad.viz.explainer.operation import Operation

OPERATIONS: dict[str, Operation] = {
    operation.name: operation
    for operation in (
        BatchNorm(), LayerNorm(), InstanceNorm(), GroupNorm(), RMSNorm(), WeightNorm(), LocalResponseNorm(),
        BatchRenorm(), SoftmaxCrossEntropy(), Linear(), Conv2d(),
    )
}  # fmt: skip

ALIASES = {
    "batch": "batch_norm", "bn": "batch_norm", "batchnorm": "batch_norm",
    "layer": "layer_norm", "ln": "layer_norm", "layernorm": "layer_norm",
    "instance": "instance_norm", "in": "instance_norm", "instancenorm": "instance_norm",
    "group": "group_norm", "gn": "group_norm", "groupnorm": "group_norm",
    "rms": "rms_norm", "rmsnorm": "rms_norm", "weight": "weight_norm", "weightnorm": "weight_norm",
    "lrn": "local_response_norm", "local_response": "local_response_norm", "renorm": "batch_renorm",
    "batchrenorm": "batch_renorm", "softmax": "softmax_cross_entropy", "cross_entropy": "softmax_cross_entropy",
    "crossentropy": "softmax_cross_entropy", "softmax+cross-entropy": "softmax_cross_entropy",
    "conv": "conv2d", "convolution": "conv2d",
}  # fmt: skip
