"""The normalizations as graph ops, one family a file. `common` holds what they share, and the idea behind it."""

from minigrad.ops.norm.batch import batch_norm
from minigrad.ops.norm.conditional import (
    adaptive_instance_norm,
    conditional_batch_norm,
    conditional_instance_norm,
    spade,
)
from minigrad.ops.norm.dynamic import dynamic_erf, dynamic_tanh
from minigrad.ops.norm.evo import evo_norm_b0, evo_norm_s0
from minigrad.ops.norm.ghost import ghost_batch_norm
from minigrad.ops.norm.group import group_norm, instance_norm
from minigrad.ops.norm.layer import layer_norm
from minigrad.ops.norm.local import divisive_norm, local_response_norm
from minigrad.ops.norm.mean_only import mean_only_batch_norm
from minigrad.ops.norm.mean_variance import mean_variance_normalization
from minigrad.ops.norm.power import power_norm
from minigrad.ops.norm.renorm import batch_renorm
from minigrad.ops.norm.response import filter_response_norm, global_response_norm, thresholded_linear_unit
from minigrad.ops.norm.rms import rms_norm
from minigrad.ops.norm.switchable import switchable_norm
from minigrad.ops.norm.sync import sync_batch_norm
from minigrad.ops.norm.unit import cosine_linear, cosine_similarity, normalize, scale_norm
from minigrad.ops.norm.weight import scaled_weight_standardization, spectral_norm, weight_norm, weight_standardization
from minigrad.ops.norm.whitening import decorrelated_batch_norm, iterative_norm

__all__ = [
    "adaptive_instance_norm",
    "batch_norm",
    "batch_renorm",
    "conditional_batch_norm",
    "conditional_instance_norm",
    "cosine_linear",
    "cosine_similarity",
    "decorrelated_batch_norm",
    "divisive_norm",
    "dynamic_erf",
    "dynamic_tanh",
    "evo_norm_b0",
    "evo_norm_s0",
    "filter_response_norm",
    "ghost_batch_norm",
    "global_response_norm",
    "group_norm",
    "instance_norm",
    "iterative_norm",
    "layer_norm",
    "local_response_norm",
    "mean_only_batch_norm",
    "mean_variance_normalization",
    "normalize",
    "power_norm",
    "rms_norm",
    "scale_norm",
    "scaled_weight_standardization",
    "spade",
    "spectral_norm",
    "switchable_norm",
    "sync_batch_norm",
    "thresholded_linear_unit",
    "weight_norm",
    "weight_standardization",
]
