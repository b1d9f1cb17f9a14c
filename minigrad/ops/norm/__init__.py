"""The normalizations as graph ops, one family a file. `common` holds what they share, and the idea behind it."""

from minigrad.ops.norm.batch import batch_norm
from minigrad.ops.norm.group import group_norm, instance_norm
from minigrad.ops.norm.layer import layer_norm
from minigrad.ops.norm.local import divisive_norm, local_response_norm

__all__ = [
    "batch_norm",
    "divisive_norm",
    "group_norm",
    "instance_norm",
    "layer_norm",
    "local_response_norm",
]
