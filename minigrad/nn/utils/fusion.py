"""Fold batch norm into the layer before it: in evaluation, both together are a single linear map."""

import copy
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import numpy as np

from minigrad.autograd.tensor import raw
from minigrad.nn.container import Identity, Sequential
from minigrad.nn.conv import Conv1d, Conv2d, Conv3d, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from minigrad.nn.linear import Linear
from minigrad.nn.module import Module
from minigrad.nn.parameter import Parameter
from minigrad.nn.utils.parametrize import is_parametrized

_CONVS = (Conv1d, Conv2d, Conv3d)
_TRANSPOSED = (ConvTranspose1d, ConvTranspose2d, ConvTranspose3d)
_LAYERS = (Linear, *_CONVS, *_TRANSPOSED)


def fold_batch_norm(model: Module, pairs: Iterable[tuple[str, str]] | None = None) -> Any:
    """A copy of the model in which batch norms are merged into the layers before them; it computes the same.

    (W x + b − μ) · s + β = (s W) x + ((b − μ) s + β),   s = γ / √(σ² + ε), one for each output channel

    μ and σ² are the running statistics, so this is for evaluation. The norm then costs nothing: an `Identity` takes
    its place, and all other names stay the same. Products are computed in float64 and rounded once.

    Args:
        model: in evaluation mode; it is not changed.
        pairs: names of layer and norm, such as `[("conv1", "bn1")]`, where the norm, and nothing else, gets the
            layer's output. Default: every Linear, Conv or ConvTranspose that is followed by a batch norm in a
            `Sequential`. (For modules of your own, the function cannot know the order of the parts.)

    Returns:
        The new model. A layer without a bias gets one.

    Raises:
        ValueError: nothing to fold; the norm is in training mode, or has no running statistics; the layer or the norm
            is used in several places, shares its parameters, has parametrized weights or hooks; the channels differ.
        TypeError: a pair of other layers.

    A batch norm *before* a layer cannot be folded into a convolution with padding, since the padding is not
    normalized. `Linear` → `BatchNorm1d` is assumed to get inputs (N, C); for (N, L, C) the norm would be over L.

    Source: it follows from algorithm 2 of Ioffe & Szegedy, arXiv 1502.03167.

    Example:
        >>> import minigrad as mg
        >>> model = mg.nn.Sequential(mg.nn.Linear(3, 2, bias=False), mg.nn.BatchNorm1d(2), mg.nn.ReLU()).eval()
        >>> mg.nn.utils.fold_batch_norm(model)
        Sequential(
          (0): Linear(in_features=3, out_features=2, bias=True)  8  weight 2x3, bias 2
          (1): Identity()
          (2): ReLU()
        )
        total: 8 parameters
    """
    if not isinstance(model, Module):
        raise TypeError(f"fold_batch_norm: model must be a Module, not a {type(model).__name__}")
    pairs = _pairs_in_sequentials(model) if pairs is None else list(pairs)
    if not pairs:
        raise ValueError(
            "fold_batch_norm: no Linear, Conv or ConvTranspose is followed by a batch norm in a Sequential; for "
            'modules of your own, name them: pairs=[("conv1", "bn1")]'
        )
    _check_each_is_used_once(model, pairs)
    model = copy.deepcopy(model)
    for layer_name, norm_name in pairs:
        layer, norm = model.get_submodule(layer_name), model.get_submodule(norm_name)
        where = f"fold_batch_norm of {layer_name!r} and {norm_name!r}"
        _check(where, layer, norm)
        _fold(layer, norm)
        path, _, name = norm_name.rpartition(".")
        model.get_submodule(path).add_module(name, Identity().train(norm.training))
    return model


def fuse_conv_bn_eval(conv: Any, bn: Any, transpose: bool = False) -> Any:
    """A new convolution that computes the same as `conv` followed by `bn` in evaluation; see `fold_batch_norm`.

    Args:
        conv: Conv1d, Conv2d, Conv3d, or one of their transposes.
        bn: a batch norm with running statistics, in evaluation mode.
        transpose: as in PyTorch; it must say whether `conv` is a transposed convolution.

    Example:
        >>> import minigrad as mg
        >>> conv, bn = mg.nn.Conv2d(1, 2, 3), mg.nn.BatchNorm2d(2).eval()
        >>> fused = mg.nn.utils.fuse_conv_bn_eval(conv, bn)
        >>> x = mg.randn(1, 1, 5, 5)
        >>> mg.allclose(fused(x), bn(conv(x)), atol=1e-6)
        True
    """
    if not isinstance(conv, _TRANSPOSED if transpose else _CONVS):
        raise TypeError(
            f"fuse_conv_bn_eval: with transpose={transpose}, conv must be a "
            f"{'ConvTranspose' if transpose else 'Conv'}1d, 2d or 3d, not a {type(conv).__name__}"
        )
    return _fused("fuse_conv_bn_eval", conv, bn)


def fuse_linear_bn_eval(linear: Any, bn: Any) -> Any:
    """A new Linear that computes the same as `linear` followed by `bn` in evaluation; see `fold_batch_norm`."""
    if not isinstance(linear, Linear):
        raise TypeError(f"fuse_linear_bn_eval: linear must be a Linear, not a {type(linear).__name__}")
    return _fused("fuse_linear_bn_eval", linear, bn)


def _fused(op: str, layer: Module, norm: Any) -> Module:
    _check(op, layer, norm)
    layer = copy.deepcopy(layer)
    _fold(layer, norm)
    return layer


# -- which pairs there are -----------------------------------------------------------------------------------


def _pairs_in_sequentials(model: Module) -> list[tuple[str, str]]:
    pairs = []
    for path, module in model.named_modules():
        if type(module).forward is not Sequential.forward:
            continue
        children = [(f"{path}.{name}" if path else name, getattr(module, name)) for name in module._module_names]
        for (layer_name, layer), (norm_name, norm) in pairwise(children):
            if isinstance(layer, _LAYERS) and hasattr(norm, "in_evaluation"):
                pairs.append((layer_name, norm_name))
    return pairs


def _check_each_is_used_once(model: Module, pairs: list[tuple[str, str]]) -> None:
    """Refuse a layer that is used in two places: it would be folded in both, and only one has the norm after it."""
    paths: dict[Module, list[str]] = {}
    for path, module in model.named_modules(remove_duplicate=False):
        paths.setdefault(module, []).append(path)
    owners = Counter(parameter for _, parameter in model.named_parameters(remove_duplicate=False))
    for name in [name for pair in pairs for name in pair]:
        module = model.get_submodule(name)
        if len(paths[module]) > 1:
            raise ValueError(
                f"fold_batch_norm: {name!r} is used in several places ({', '.join(map(repr, paths[module]))}), so "
                "what is right for one is wrong for another; give each a module of its own, or name other pairs"
            )
        for parameter_name, parameter in module.named_parameters(recurse=False):
            if owners[parameter] > 1:
                raise ValueError(
                    f"fold_batch_norm: {parameter_name} of {name!r} is shared with another module, which must not "
                    "change; give each a parameter of its own, or name other pairs"
                )


# -- folding one pair ----------------------------------------------------------------------------------------


def _check(where: str, layer: Any, norm: Any) -> None:
    if not hasattr(norm, "in_evaluation"):
        raise TypeError(f"{where}: a batch norm is to be folded, not a {type(norm).__name__}")
    if is_parametrized(layer):
        names = list(layer.parametrizations)
        raise ValueError(
            f"{where}: the {' and '.join(names)} of the {type(layer).__name__} is parametrized, that is, computed "
            "anew in each call; take that off first: "
            f"nn.utils.parametrize.remove_parametrizations(layer, {names[0]!r})"
        )
    if type(layer) not in _LAYERS:
        raise TypeError(
            f"{where}: a batch norm can be folded into a {', '.join(kind.__name__ for kind in _LAYERS)}, not into a "
            f"{type(layer).__name__}"
        )
    if norm.training:
        raise ValueError(
            f"{where}: the {type(norm).__name__} is in training mode, and normalizes by batches that are still to "
            "come; call model.eval() first"
        )
    if norm.running_mean is None:
        raise ValueError(
            f"{where}: the {type(norm).__name__} keeps no running statistics (track_running_stats=False), and "
            "normalizes by the batch also in evaluation"
        )
    ndim, channels = (2, layer.out_features) if type(layer) is Linear else (layer.n + 2, layer.out_channels)
    if ndim not in norm.input_ndims:
        raise ValueError(f"{where}: a {type(norm).__name__} cannot follow a {type(layer).__name__}")
    if channels != norm.num_features:
        raise ValueError(
            f"{where}: the {type(layer).__name__} puts out {channels} channels, and the {type(norm).__name__} has "
            f"num_features={norm.num_features}"
        )
    for module in (layer, norm):
        hooks = module._hooks
        if hooks is not None and (hooks.pre or hooks.post or hooks.backward):
            raise ValueError(
                f"{where}: the {type(module).__name__} has hooks, which would see other values than before; remove "
                "them first"
            )


def _fold(layer: Any, norm: Any) -> None:
    """Change the layer in place."""
    mean, scale, shift = norm.in_evaluation()
    weight = raw(layer.weight).astype(np.float64)
    if isinstance(layer, _TRANSPOSED):
        # (C_in, C_out/groups, *): the input channels of group g, row after row, make the output channels of group g.
        groups = layer.groups
        grouped = weight.reshape(groups, weight.shape[0] // groups, *weight.shape[1:])
        factor = scale.reshape(groups, 1, -1, *(1,) * layer.n)
        folded = (grouped * factor).reshape(weight.shape)
    else:
        folded = weight * scale.reshape(-1, *(1,) * (weight.ndim - 1))
    bias = 0.0 if layer.bias is None else raw(layer.bias).astype(np.float64)
    old, dtype = layer.weight, layer.weight.dtype
    layer.weight = Parameter(folded.astype(dtype), requires_grad=old.requires_grad)
    trained = old.requires_grad if layer.bias is None else layer.bias.requires_grad
    layer.bias = Parameter(((bias - mean) * scale + shift).astype(dtype), requires_grad=trained)
