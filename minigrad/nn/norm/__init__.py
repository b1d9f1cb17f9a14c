"""Normalization layers: they hold what `minigrad.ops.norm` computes with, γ and β, and running averages.

The files are those of `minigrad.ops.norm`, where the formulas are.
"""

from minigrad.nn.norm.batch import BatchNorm1d, BatchNorm2d, BatchNorm3d
from minigrad.nn.norm.group import GroupNorm, InstanceNorm1d, InstanceNorm2d, InstanceNorm3d
from minigrad.nn.norm.layer import LayerNorm
from minigrad.nn.norm.local import DivisiveNorm, LocalResponseNorm

__all__ = [
    "BatchNorm1d",
    "BatchNorm2d",
    "BatchNorm3d",
    "DivisiveNorm",
    "GroupNorm",
    "InstanceNorm1d",
    "InstanceNorm2d",
    "InstanceNorm3d",
    "LayerNorm",
    "LocalResponseNorm",
]
