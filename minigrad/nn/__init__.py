"""Modules: layers with their parameters, and the containers that make networks of them."""

from minigrad.nn import functional, init
from minigrad.nn.container import (
    Flatten,
    Identity,
    ModuleDict,
    ModuleList,
    ParameterDict,
    ParameterList,
    Sequential,
    Unflatten,
)
from minigrad.nn.linear import Bilinear, Embedding, Linear
from minigrad.nn.module import Module
from minigrad.nn.norm import (
    BatchNorm1d,
    BatchNorm2d,
    BatchNorm3d,
    GroupNorm,
    InstanceNorm1d,
    InstanceNorm2d,
    InstanceNorm3d,
    LayerNorm,
)
from minigrad.nn.parameter import Parameter
