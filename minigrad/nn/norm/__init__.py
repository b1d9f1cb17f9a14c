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
from minigrad.nn.norm.evo import EvoNormB0, EvoNormS0
from minigrad.nn.norm.ghost import GhostBatchNorm1d, GhostBatchNorm2d, GhostBatchNorm3d
from minigrad.nn.norm.group import GroupNorm, InstanceNorm1d, InstanceNorm2d, InstanceNorm3d
from minigrad.nn.norm.layer import LayerNorm
from minigrad.nn.norm.local import DivisiveNorm, LocalResponseNorm
from minigrad.nn.norm.mean_only import MeanOnlyBatchNorm1d, MeanOnlyBatchNorm2d, MeanOnlyBatchNorm3d
from minigrad.nn.norm.power import PowerNorm
from minigrad.nn.norm.renorm import BatchRenorm1d, BatchRenorm2d, BatchRenorm3d
from minigrad.nn.norm.response import FilterResponseNorm, GlobalResponseNorm, ThresholdedLinearUnit
from minigrad.nn.norm.rms import RMSNorm
from minigrad.nn.norm.switchable import SwitchableNorm
from minigrad.nn.norm.sync import SyncBatchNorm
from minigrad.nn.norm.unit import CosineLinear, CosineSimilarity, ScaleNorm, UnitNorm
from minigrad.nn.norm.whitening import DecorrelatedBatchNorm, IterativeNorm

__all__ = [
    "SPADE",
    "AdaptiveInstanceNorm",
    "BatchNorm1d",
    "BatchNorm2d",
    "BatchNorm3d",
    "BatchRenorm1d",
    "BatchRenorm2d",
    "BatchRenorm3d",
    "ConditionalBatchNorm1d",
    "ConditionalBatchNorm2d",
    "ConditionalBatchNorm3d",
    "CosineLinear",
    "CosineSimilarity",
    "DecorrelatedBatchNorm",
    "DivisiveNorm",
    "DynamicErf",
    "DynamicTanh",
    "EvoNormB0",
    "EvoNormS0",
    "FilterResponseNorm",
    "GhostBatchNorm1d",
    "GhostBatchNorm2d",
    "GhostBatchNorm3d",
    "GlobalResponseNorm",
    "GroupNorm",
    "InstanceNorm1d",
    "InstanceNorm2d",
    "InstanceNorm3d",
    "IterativeNorm",
    "LayerNorm",
    "LocalResponseNorm",
    "MeanOnlyBatchNorm1d",
    "MeanOnlyBatchNorm2d",
    "MeanOnlyBatchNorm3d",
    "PowerNorm",
    "RMSNorm",
    "ScaleNorm",
    "SwitchableNorm",
    "SyncBatchNorm",
    "ThresholdedLinearUnit",
    "UnitNorm",
]
