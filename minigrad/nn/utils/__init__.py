"""Small tools for parameters, as in `torch.nn.utils`."""

from collections.abc import Callable, Iterable
from typing import Any

from minigrad.autograd import Tensor, no_grad
from minigrad.nn.utils import parametrizations, parametrize
from minigrad.nn.utils.fusion import fold_batch_norm, fuse_conv_bn_eval, fuse_linear_bn_eval
from minigrad.nn.utils.hooked import remove_spectral_norm, remove_weight_norm, spectral_norm, weight_norm
from minigrad.nn.utils.start import data_dependent_init
from minigrad.nn.utils.statistics import freeze_statistics, recompute_statistics, unfreeze_statistics
from minigrad.ops.shape import cat, reshape

# PyTorch has gradient clipping here as well. Here it belongs to `minigrad.optim`, which imports this package; so
# `minigrad/__init__.py` adds the two functions.
clip_grad_norm_: Callable[..., Any]
clip_grad_value_: Callable[..., Any]


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All parameters in one vector, one after another; gradients flow through it.

    Example:
        >>> import minigrad as mg
        >>> mg.nn.utils.parameters_to_vector(mg.nn.Linear(3, 2).parameters()).shape
        (8,)
    """
    vectors = [reshape(p, (-1,)) for p in parameters]
    if not vectors:
        raise ValueError("parameters_to_vector: there are no parameters")
    return cat(vectors)


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Copy the parts of a vector into the parameters, in place: the opposite of `parameters_to_vector`."""
    parameters = list(parameters)
    total = sum(p.numel() for p in parameters)
    if vec.shape != (total,):
        raise ValueError(f"vector_to_parameters: the parameters have {total} elements, the vector shape {vec.shape}")
    start = 0
    with no_grad():
        for p in parameters:
            p.copy_(vec.array[start : start + p.numel()].reshape(p.shape))
            start += p.numel()
