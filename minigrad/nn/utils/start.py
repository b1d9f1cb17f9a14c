"""Weight norm's data-dependent start: standardize the pre-activations of one batch, once."""

from typing import Any

import numpy as np

from minigrad.autograd import Tensor, no_grad
from minigrad.autograd.tensor import HookHandle
from minigrad.nn.conv import Conv1d, Conv2d, Conv3d, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from minigrad.nn.linear import Bilinear, Linear
from minigrad.nn.module import Module
from minigrad.nn.utils.parametrizations import WeightNorm
from minigrad.nn.utils.parametrize import AnyModule, is_parametrized
from minigrad.ops.norm.common import moments

_OP = "data_dependent_init"
_SPACE = {Conv1d: 1, Conv2d: 2, Conv3d: 3, ConvTranspose1d: 1, ConvTranspose2d: 2, ConvTranspose3d: 3}
"""The number of output axes after the axis of the units; 0 for Linear and Bilinear."""


def data_dependent_init(model: AnyModule, batch: Any) -> AnyModule:
    """Start weight-normalized layers so that on one batch every pre-activation has mean 0 and variance 1.

    t = v·x/‖v‖,   g ← 1/σ[t],   b ← −μ[t]/σ[t]

    for each unit, with mean and deviation over the batch, and for convolutions over space. Afterwards, unlike batch
    norm, weight norm uses no statistics of a batch.

    It takes a single pass through the model. An initialized layer returns its new output, so each layer sees the final
    state of the layers before it.

    Args:
        model: a network in which Linear, Bilinear, Conv and ConvTranspose layers have `weight_norm` on their weight.
            Other layers do not change. The model runs in its present mode.
        batch: the model's input; a tuple means several inputs. Use some hundred samples: more samples give better
            statistics.

    Returns:
        The model.

    Raises:
        ValueError: no layer of the model has weight norm, or none was used; a layer's g are not one for each output
            unit; or the output of a unit is the same for the whole batch, or not finite.

    In a layer without bias, only the variance becomes 1: the mean cannot be removed.

    PyTorch and Keras have no such function.

    Source: Salimans & Kingma, "Weight normalization", arXiv 1602.07868, section 3.

    Example:
        >>> import minigrad as mg
        >>> layer = mg.nn.utils.parametrizations.weight_norm(mg.nn.Linear(3, 2))
        >>> x = mg.randn(200, 3) * 5 + 1
        >>> y = mg.nn.utils.data_dependent_init(layer, x)(x)
        >>> bool((y.mean(0).abs() < 1e-5).all()), bool(((y.std(0, correction=0) - 1).abs() < 1e-5).all())
        (True, True)
    """
    layers = {name: layer for name, layer in model.named_modules() if _has_weight_norm(layer)}
    if not layers:
        raise ValueError(
            f"{_OP}: no Linear, Bilinear, Conv or ConvTranspose layer of this {type(model).__name__} has weight norm; "
            "put it on first: nn.utils.parametrizations.weight_norm(layer)"
        )
    for name, layer in layers.items():
        _check_units(name, layer)
    before = {layer: [(p, p.detach().clone()) for p in _g_and_bias(layer)] for layer in layers.values()}
    done: set[Module] = set()
    with no_grad():
        handles = [_at_first_use(name, layer, done) for name, layer in layers.items()]
        try:
            for layer in before:
                g, *bias = _g_and_bias(layer)
                g.fill_(1)  # now the layer computes t
                for b in bias:
                    b.zero_()
            model(*batch) if isinstance(batch, tuple) else model(batch)
        except BaseException:
            done.clear()
            raise
        finally:
            for handle in handles:
                handle.remove()
            for layer in before.keys() - done:
                for parameter, values in before[layer]:
                    parameter.copy_(values)
    if not done:
        raise ValueError(f"{_OP}: the model used none of its layers with weight norm ({', '.join(layers)})")
    return model


def _has_weight_norm(layer: Any) -> bool:
    if not isinstance(layer, (Linear, Bilinear, *_SPACE)) or not is_parametrized(layer, "weight"):
        return False
    return any(isinstance(norm, WeightNorm) for norm in layer.parametrizations.weight)


def _space(layer: Module) -> int:
    return next((n for cls, n in _SPACE.items() if isinstance(layer, cls)), 0)


def _check_units(name: str, layer: Any) -> None:
    """Check that g scales every output unit separately."""
    norms = layer.parametrizations.weight
    transposed = isinstance(layer, ConvTranspose1d | ConvTranspose2d | ConvTranspose3d)
    what = f"{_OP}: layer {name or 'itself'!r}, a {type(layer).__name__},"
    if len(norms) > 1:
        raise ValueError(f"{what} has other parametrizations beside weight norm, so its output may not be linear in g")
    groups = layer.groups if transposed else 1
    way_out = f"weight_norm(layer, dim={int(transposed)}{f', groups={groups}' if groups > 1 else ''})"
    if norms[0].dim != int(transposed):
        raise ValueError(
            f"{what} has weight norm with dim={norms[0].dim}, which is not its axis of output units; use {way_out}"
        )
    if norms[0].groups != groups:
        raise ValueError(
            f"{what} has groups={groups}, which share each g, so that no unit has one of its own; use {way_out}"
        )


def _g_and_bias(layer: Any) -> list[Tensor]:
    g = layer.parametrizations.weight.original0
    return [g] if layer.bias is None else [g, layer.bias]


def _at_first_use(name: str, layer: Any, done: set[Module]) -> HookHandle:
    """When the layer, with g = 1 and b = 0, returns t for the first time, set g and b, and correct its output."""

    def standardize(module: Module, args: Any, t: Tensor) -> Tensor:
        if module in done:  # the layer is used again: keep its values
            return t
        unit_axis = t.ndim - 1 - _space(layer)
        mu, variance = moments(t.double(), tuple(axis for axis in range(t.ndim) if axis != unit_axis))
        varies = variance.array > (np.finfo(t.dtype).eps * mu.array) ** 2  # by more than rounding
        if not varies.all():
            unit = int(np.argmin(varies))
            finite = t.numel() == 0 or np.isfinite(variance.array.reshape(-1)[unit])
            problem = "no variance over the batch" if finite else "outputs that are not finite"
            way_out = "use a larger batch, of inputs that differ" if finite else "mend the batch"
            raise ValueError(
                f"{_OP}: unit {unit} of layer {name or 'itself'!r} ({type(layer).__name__}) has {problem} (output "
                f"shape {t.shape}), so its g cannot be 1/σ; {way_out}"
            )
        sigma = variance.sqrt()
        g, *bias = _g_and_bias(layer)
        g.copy_((1 / sigma).reshape(g.shape))
        for b in bias:
            b.copy_((-mu / sigma).reshape(b.shape))
        done.add(module)
        return (((t - mu) if bias else t) / sigma).to(t.dtype)

    return layer.register_forward_hook(standardize)
