"""Normalization layers: they hold what `minigrad.ops.norm` computes with, γ and β, and running averages.

The files are those of `minigrad.ops.norm`, where the formulas are.
"""

from minigrad.nn.norm.batch import BatchNorm1d, BatchNorm2d, BatchNorm3d
from minigrad.nn.norm.conditional import (
    SPADE,
    AdaptiveInstanceNorm,
    ConditionalBatchNorm1d,
    ConditionalBatchNorm2d,
    ConditionalBatchNorm3d,
)
from minigrad.nn.norm.dynamic import DynamicErf, DynamicTanh
from minigrad.nn.norm.group import GroupNorm, InstanceNorm1d, InstanceNorm2d, InstanceNorm3d
from minigrad.nn.norm.layer import LayerNorm
from minigrad.nn.norm.local import DivisiveNorm, LocalResponseNorm
from minigrad.nn.norm.response import FilterResponseNorm, GlobalResponseNorm, ThresholdedLinearUnit
from minigrad.nn.norm.rms import RMSNorm
from minigrad.nn.norm.sync import SyncBatchNorm
from minigrad.nn.norm.unit import CosineLinear, CosineSimilarity, ScaleNorm, UnitNorm
from minigrad.nn.norm.whitening import DecorrelatedBatchNorm, IterativeNorm

__all__ = [
    "SPADE",
    "AdaptiveInstanceNorm",
    "BatchNorm1d",
    "BatchNorm2d",
    "BatchNorm3d",
    "ConditionalBatchNorm1d",
    "ConditionalBatchNorm2d",
    "ConditionalBatchNorm3d",
    "CosineLinear",
    "CosineSimilarity",
    "DecorrelatedBatchNorm",
    "DivisiveNorm",
    "DynamicErf",
    "DynamicTanh",
    "FilterResponseNorm",
    "GlobalResponseNorm",
    "GroupNorm",
    "InstanceNorm1d",
    "InstanceNorm2d",
    "InstanceNorm3d",
    "IterativeNorm",
    "LayerNorm",
    "LocalResponseNorm",
    "RMSNorm",
    "ScaleNorm",
    "SyncBatchNorm",
    "ThresholdedLinearUnit",
    "UnitNorm",
]
