"""Weight norm, weight standardization and spectral norm for any layer that has a weight, as parametrizations.

Each function changes the given layer, and returns it::

    layer = weight_norm(nn.Linear(3, 2))

`parametrize.remove_parametrizations(layer, "weight")` leaves a plain layer with the present weight. The formulas are
in the functions of `nn.functional` with the same names; the docstrings here say what each parametrization learns and
remembers.
"""

from typing import Any

import numpy as np

from minigrad.autograd import Tensor
from minigrad.autograd.tensor import raw
from minigrad.nn import functional as F
from minigrad.nn.conv import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from minigrad.nn.module import Module
from minigrad.nn.parameter import Parameter
from minigrad.nn.utils.parametrize import AnyModule, is_parametrized, register_parametrization
from minigrad.ops.conv import filters_back, filters_first
from minigrad.ops.norm.weight import as_matrix, check_groups, unit_shape
from minigrad.ops.random import generator
from minigrad.ops.shape import one_axis

__all__ = [
    "ScaledWeightStandardization",
    "SpectralNorm",
    "WeightNorm",
    "WeightStandardization",
    "scaled_weight_standardization",
    "spectral_norm",
    "weight_norm",
    "weight_standardization",
]

FIRST_ITERATIONS = 15
"""Number of power iterations that turn random vectors into the first estimates of a spectral norm."""


def tensor_of(op: str, module: Module, name: str, min_axes: int = 1) -> Tensor:
    """The tensor of a module that is to be parametrized."""
    if not isinstance(module, Module):
        raise TypeError(f"{op}: expected a module, not a {type(module).__name__}")
    tensor = getattr(module, name, None)
    if not isinstance(tensor, Tensor):
        known = ", ".join(n for n, _ in module.named_parameters(recurse=False)) or "none"
        raise ValueError(f"{op}: {type(module).__name__} has no parameter {name!r} (it has: {known})")
    if tensor.ndim < min_axes:
        raise ValueError(
            f"{op}: {name} of {type(module).__name__} has shape {tensor.shape}, and must have at least "
            f"{min_axes} {'axis' if min_axes == 1 else 'axes'}"
        )
    return tensor


def unit_axis(module: Module, dim: int | None) -> int:
    """`dim`, or the axis of the output units: 1 for transposed convolutions, and 0 for other layers."""
    return int(_is_transposed(module)) if dim is None else dim


def unit_groups(module: Any, name: str, dim: int) -> int:
    """The number of units for each index of `dim`: in a transposed convolution, one unit in each group."""
    transposed = _is_transposed(module) and name == "weight"
    return module.groups if transposed and dim in (1, 1 - module.weight.ndim) else 1


def _is_transposed(module: Any) -> bool:
    return isinstance(module, ConvTranspose1d | ConvTranspose2d | ConvTranspose3d)


def transposed_weights(model: Module) -> dict[Any, int]:
    """The weights of all transposed convolutions in a model, with the number of groups of each.

    Their shape is (in, out/groups, ...); other weights have (out, ...): see `ops.conv.filters_first`. For a
    parametrized weight, the list has its originals of the same shape.
    """
    found = {}
    for layer in model.modules():
        if _is_transposed(layer):
            conv: Any = layer
            shape = (conv.in_channels, conv.out_channels // conv.groups, *conv.kernel_size)
            owner = conv.parametrizations.weight if is_parametrized(conv, "weight") else conv
            found |= {p: conv.groups for p in owner.parameters(recurse=False) if p.shape == shape}
    return found


# -- weight norm ---------------------------------------------------------------------------------------------


class WeightNorm(Module):
    """(g, v) → w = g · v/‖v‖; see `functional.weight_norm`. The originals are g (`original0`) and v (`original1`).

    Args:
        dim: the axis of the units; None for a single g.
        groups: of a ConvTranspose, if the units of each group get a g of their own.
    """

    # The names in the older function, before parametrizations: weight_g and weight_v.
    old_names = {"_g": "original0", "_v": "original1"}

    def __init__(self, dim: int | None = 0, groups: int = 1):
        super().__init__()
        self.dim, self.groups = dim, groups

    def forward(self, g: Tensor, v: Tensor) -> Tensor:
        return F.weight_norm(v, g, self.dim, self.groups)

    def right_inverse(self, w: Tensor) -> tuple[Tensor, Tensor]:
        """g = ‖w‖ and v = w. Where w is 0, g is 0, and v is 1, so that g can learn."""
        array = raw(w)
        apart = self.groups > 1
        filters = filters_first(array, self.groups) if apart else array
        dim = 0 if apart else self.dim
        lengths = np.linalg.norm(as_matrix(filters, dim).astype(np.float64), axis=1).astype(array.dtype)
        v = np.where(lengths.reshape(unit_shape(filters.shape, dim)) == 0, array.dtype.type(1), filters)
        g = lengths.reshape(unit_shape(array.shape, self.dim, self.groups))
        return Tensor(g), Tensor(filters_back(v, self.groups) if apart else v)

    def extra_repr(self) -> str:
        return f"dim={self.dim}" + (f", groups={self.groups}" if self.groups > 1 else "")


def weight_norm(module: AnyModule, name: str = "weight", dim: int | None = 0, groups: int = 1) -> AnyModule:
    """Learn length and direction of each unit's weights separately: w = g · v/‖v‖. See `functional.weight_norm`.

    Args:
        module: a layer. Its `name` is computed from now on, from the parameters `parametrizations.<name>.original0`,
            which is g, and `original1`, which is v. They start as ‖w‖ and w, so that the layer's output stays the
            same.
        name: of the weight: "weight_hh_l0" in an LSTM.
        dim: the axis of the units, each with a g of its own. For transposed convolutions pass 1. None: a single g for
            the whole weight.
        groups: for a transposed convolution with groups, pass their number: then each group's units have a g of their
            own. With 1, units of different groups share a g, as in PyTorch.

    Returns:
        The layer.

    Nothing changes between training and evaluation. Make the optimizer afterwards: g and v are new parameters.
    `nn.utils.data_dependent_init` initializes them as in the paper.

    Differences from PyTorch: a filter of zeros starts with g = 0 and v = 1; in PyTorch it gives NaN.

    Source: Salimans & Kingma, "Weight normalization", arXiv 1602.07868.

    Example:
        >>> import minigrad as mg
        >>> layer = mg.nn.utils.parametrizations.weight_norm(mg.nn.Linear(3, 2))
        >>> [(name, p.shape) for name, p in layer.named_parameters()]
        [('bias', (2,)), ('parametrizations.weight.original0', (2, 1)), ('parametrizations.weight.original1', (2, 3))]
    """
    weight = tensor_of("weight_norm", module, name)
    dim = dim if dim is None else one_axis(dim, weight.ndim, "weight_norm")
    check_groups("weight_norm", weight.shape, dim, groups)
    return register_parametrization(module, name, WeightNorm(dim, groups if dim == 1 else 1))


# -- weight standardization ----------------------------------------------------------------------------------


class WeightStandardization(Module):
    """w → (w − μ)/√(σ² + ε), for each filter separately; see `functional.weight_standardization`.

    Args:
        dim: the axis of the output units.
        eps: ε, under the root.
        groups: of a ConvTranspose, whose units have one index of `dim` for a unit in each group.
    """

    def __init__(self, dim: int = 0, eps: float = 1e-10, groups: int = 1):
        super().__init__()
        self.dim, self.eps, self.groups = dim, eps, groups

    def forward(self, w: Tensor) -> Tensor:
        return F.weight_standardization(w, self.dim, self.eps, self.groups)

    def right_inverse(self, w: Tensor) -> Tensor:
        """w itself. So a standardized weight keeps its value, and any other weight becomes standardized."""
        return w

    def extra_repr(self) -> str:
        return f"dim={self.dim}, eps={self.eps}" + (f", groups={self.groups}" if self.groups > 1 else "")


def weight_standardization(
    module: AnyModule, name: str = "weight", dim: int | None = None, eps: float = 1e-10
) -> AnyModule:
    """Give the weights of every output unit mean 0 and variance 1. See `functional.weight_standardization`.

    Args:
        module: a layer. Its `name` is computed from now on, from the parameter `parametrizations.<name>.original`.
        name: of the weight.
        dim: the axis of the output units; by default 1 for transposed convolutions and 0 for other layers.
        eps: ε, under the root.

    Returns:
        The layer. Put a norm of activations after it, such as group norm, because its outputs are large, about
        √fan_in.

    Nothing changes between training and evaluation.

    Source: Qiao, Wang, Liu, Shen & Yuille, "Weight standardization", arXiv 1903.10520.

    Example:
        >>> import minigrad as mg
        >>> layer = mg.nn.utils.parametrizations.weight_standardization(mg.nn.Conv2d(3, 8, 3))
        >>> bool((layer.weight.mean((1, 2, 3)).abs() < 1e-6).all())
        True
    """
    tensor_of("weight_standardization", module, name, 2)
    axis = unit_axis(module, dim)
    return register_parametrization(module, name, WeightStandardization(axis, eps, unit_groups(module, name, axis)))


class ScaledWeightStandardization(Module):
    """w → gain · γ/√fan_in · (w − μ)/√(σ² + ε); see `functional.scaled_weight_standardization`.

    Args:
        shape: of the weight.
        gamma: γ, a constant.
        learned_gain: True adds a parameter `gain`, a number for each unit that starts at 1.
        dim: the axis of the output units.
        eps: ε, under the root.
        groups: of a ConvTranspose, whose units have one index of `dim` for a unit in each group.
        dtype: of the gain; float32 by default.
    """

    gain: Parameter | None

    def __init__(
        self,
        shape: tuple[int, ...],
        gamma: float = 1.0,
        learned_gain: bool = True,
        dim: int = 0,
        eps: float = 1e-10,
        groups: int = 1,
        *,
        dtype: Any = None,
    ):
        super().__init__()
        self.gamma, self.dim, self.eps, self.groups = gamma, dim, eps, groups
        axis = one_axis(dim, len(shape), "scaled_weight_standardization")
        ones = np.ones(unit_shape(shape, axis, groups), dtype or np.float32)
        self.register_parameter("gain", Parameter(ones) if learned_gain else None)

    def forward(self, w: Tensor) -> Tensor:
        return F.scaled_weight_standardization(w, self.gain, self.gamma, self.dim, self.eps, self.groups)

    def right_inverse(self, w: Tensor) -> Tensor:
        """w itself. Only its direction counts; γ and the gain set the scale."""
        return w

    def extra_repr(self) -> str:
        groups = f", groups={self.groups}" if self.groups > 1 else ""
        return f"gamma={self.gamma:.6g}, learned_gain={self.gain is not None}, dim={self.dim}, eps={self.eps}{groups}"


def scaled_weight_standardization(
    module: AnyModule,
    name: str = "weight",
    gamma: float = 1.0,
    learned_gain: bool = True,
    dim: int | None = None,
    eps: float = 1e-10,
) -> AnyModule:
    """Standardize every filter, and scale it so that the layer keeps the variance of its input.

    See `functional.scaled_weight_standardization`.

    Args:
        module: a layer. Its `name` is computed from now on, from the parameters `parametrizations.<name>.original` and
            `parametrizations.<name>.0.gain`.
        name: of the weight.
        gamma: γ, a constant: √2/√(1 − 1/π) = 1.7129 for a layer after a relu.
        learned_gain: True adds a gain for each unit that starts at 1.
        dim: the axis of the output units; by default 1 for transposed convolutions and 0 for other layers.
        eps: ε, under the root.

    Returns:
        The layer.

    Nothing changes between training and evaluation. Exclude the gains from weight decay, as γ and β of norms.

    Source: Brock, De & Smith, arXiv 2101.08692; the learned gain: Brock, De, Smith & Simonyan, arXiv 2102.06171.

    Example:
        >>> import minigrad as mg
        >>> layer = mg.nn.utils.parametrizations.scaled_weight_standardization(mg.nn.Linear(64, 8, bias=False))
        >>> [name for name, _ in layer.named_parameters()]
        ['parametrizations.weight.original', 'parametrizations.weight.0.gain']
    """
    weight = tensor_of("scaled_weight_standardization", module, name, 2)
    axis = unit_axis(module, dim)
    groups = unit_groups(module, name, axis)
    norm = ScaledWeightStandardization(weight.shape, gamma, learned_gain, axis, eps, groups, dtype=weight.dtype)
    return register_parametrization(module, name, norm)


# -- spectral norm -------------------------------------------------------------------------------------------


class SpectralNorm(Module):
    """W → W/σ, σ the largest singular value; see `functional.spectral_norm`.

    Args:
        weight: W, for the first estimates.
        n_power_iterations: the number of power iterations in each use in training; there are none in evaluation.
        dim: the axis of the units, the matrix' first.
        eps: ε, the least length that a vector is divided by.

    Attributes:
        _u, _v: buffers with estimates of the first singular vectors. A weight with one axis has none: its σ is its
            length.
    """

    old_names = {"_orig": "original", "_u": "{}._u", "_v": "{}._v"}

    _u: Tensor | None
    _v: Tensor | None

    def __init__(self, weight: Tensor, n_power_iterations: int = 1, dim: int = 0, eps: float = 1e-12):
        super().__init__()
        if n_power_iterations < 1:
            raise ValueError(f"spectral_norm: n_power_iterations must be at least 1, got {n_power_iterations}")
        self.n_power_iterations, self.eps = n_power_iterations, eps
        self.dim = one_axis(dim, weight.ndim, "spectral_norm")
        if weight.ndim > 1:
            units = weight.shape[self.dim]
            for name, n in (("_u", units), ("_v", weight.numel() // max(units, 1))):
                x = generator().standard_normal(n)
                self.register_buffer(name, Tensor((x / np.linalg.norm(x)).astype(weight.dtype)))
            F.spectral_norm(weight, self._u, self._v, FIRST_ITERATIONS, self.dim, eps, training=True)

    def forward(self, weight: Tensor) -> Tensor:
        if weight.ndim == 1:
            return F.normalize(weight, dim=0, eps=self.eps)
        return F.spectral_norm(weight, self._u, self._v, self.n_power_iterations, self.dim, self.eps, self.training)

    def right_inverse(self, weight: Tensor) -> Tensor:
        """The weight itself. So a weight of spectral norm 1 keeps its value, and any other weight is divided by its
        norm."""
        return weight

    def extra_repr(self) -> str:
        return f"n_power_iterations={self.n_power_iterations}, dim={self.dim}, eps={self.eps}"


def spectral_norm(
    module: AnyModule, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int | None = None
) -> AnyModule:
    """Divide a weight by its largest singular value, so that the layer makes no input longer.

    See `functional.spectral_norm`.

    Args:
        module: a layer. Its `name` is computed from now on, from the parameter `parametrizations.<name>.original` and
            the buffers `parametrizations.<name>.0._u` and `parametrizations.<name>.0._v`.
        name: of the weight.
        n_power_iterations: the number of power iterations in each use in training.
        eps: ε, the least length that a vector is divided by.
        dim: the axis of the units, the matrix' first; by default 1 for transposed convolutions and 0 for other layers.

    As in PyTorch, a convolution with groups is divided by the norm of all groups' matrices in one matrix, which is at
    least the largest norm of a group.

    Returns:
        The layer.

    In training every use of the weight improves the estimates of its singular vectors by a step. In evaluation the
    estimates do not change. Inside `parametrize.cached()` several uses count as a single use.

    Source: Miyato, Kataoka, Koyama & Yoshida, "Spectral normalization for GANs", arXiv 1802.05957.

    Example:
        >>> import minigrad as mg, numpy as np
        >>> layer = mg.nn.utils.parametrizations.spectral_norm(mg.nn.Linear(20, 40), n_power_iterations=100)
        >>> round(float(np.linalg.norm(layer.weight.detach().numpy(), 2)), 4)
        1.0
    """
    weight = tensor_of("spectral_norm", module, name)
    return register_parametrization(
        module, name, SpectralNorm(weight.detach(), n_power_iterations, unit_axis(module, dim), eps)
    )
