"""PyTorch's older `weight_norm` and `spectral_norm`: the same formulas, with the parameter names of old checkpoints.

The layer gets the parameters `weight_g` and `weight_v` (or `weight_orig`, `weight_u` and `weight_v`), and a hook that
computes `weight` before each forward pass. New programs use the functions of the same names in
`nn.utils.parametrizations`, which can also load the checkpoints of these older functions.
"""

from typing import Any

from minigrad.autograd import Tensor, no_grad
from minigrad.nn import functional as F
from minigrad.nn.module import Module
from minigrad.nn.parameter import Parameter
from minigrad.nn.utils.parametrizations import SpectralNorm, WeightNorm, tensor_of, unit_axis
from minigrad.nn.utils.parametrize import AnyModule
from minigrad.ops.shape import one_axis


class _ComputedWeight:
    """The hook: sets `module.<name>` before each forward pass."""

    def __init__(self, name: str, dim: int | None):
        self.name, self.dim = name, dim

    def __call__(self, module: Module, args: Any = ()) -> None:
        setattr(module, self.name, self.compute(module))

    def compute(self, module: Module) -> Tensor:
        raise NotImplementedError

    def put_on(self, module: Module, parts: dict[str, Tensor]) -> None:
        """Replace the weight by its parts; their names begin with the name of the weight, such as `weight_g`."""
        if module._hooks is not None:
            for hook, _ in module._hooks.pre:
                if isinstance(hook, _ComputedWeight) and type(hook) is type(self) and hook.name == self.name:
                    raise RuntimeError(f"{type(module).__name__}: {self.name!r} is computed by such a hook already")
        delattr(module, self.name)
        for suffix, part in parts.items():
            if isinstance(part, Parameter):
                module.register_parameter(self.name + suffix, part)
            else:
                module.register_buffer(self.name + suffix, part)
        self(module)
        module.register_forward_pre_hook(self)


def _take_off(module: AnyModule, name: str, kind: type[_ComputedWeight], suffixes: str, op: str) -> AnyModule:
    hooks = [] if module._hooks is None else module._hooks.pre
    for entry in hooks:
        hook = entry[0]
        if isinstance(hook, kind) and hook.name == name:
            with no_grad():
                weight = hook.compute(module)
            learned = any(module.__dict__[name + suffix].requires_grad for suffix in suffixes.split())
            hooks.remove(entry)
            delattr(module, name)
            for suffix in suffixes.split():
                delattr(module, name + suffix)
            module.register_parameter(name, Parameter(weight, learned))
            return module
    raise ValueError(f"{op}: {type(module).__name__} has no {name!r} that {op.removeprefix('remove_')} made")


# -- weight norm ---------------------------------------------------------------------------------------------


class _HookedWeightNorm(_ComputedWeight):
    def compute(self, module: Module) -> Tensor:
        g, v = (getattr(module, self.name + suffix) for suffix in ("_g", "_v"))
        return F.weight_norm(v, g, self.dim)


def weight_norm(module: AnyModule, name: str = "weight", dim: int | None = 0) -> AnyModule:
    """Learn length and direction of a layer's weights separately: w = g · v/‖v‖. See `functional.weight_norm`.

    Args:
        module: a layer. Its `name` is computed before each forward pass, from the parameters `<name>_g` and
            `<name>_v`.
        name: of the weight.
        dim: the axis of the units, each with a g of its own; None: a single g for the whole weight.

    Returns:
        The layer.

    `nn.utils.parametrizations.weight_norm` is the newer form; it computes the weight whenever it is used.

    Example:
        >>> import minigrad as mg
        >>> layer = mg.nn.utils.weight_norm(mg.nn.Linear(3, 2))
        >>> list(layer.state_dict())
        ['bias', 'weight_g', 'weight_v']
        >>> list(mg.nn.utils.remove_weight_norm(layer).state_dict())
        ['bias', 'weight']
    """
    weight = tensor_of("weight_norm", module, name)
    dim = dim if dim is None else one_axis(dim, weight.ndim, "weight_norm")
    g, v = WeightNorm(dim).right_inverse(weight.detach().clone())
    wanted = weight.requires_grad
    _HookedWeightNorm(name, dim).put_on(module, {"_g": Parameter(g, wanted), "_v": Parameter(v, wanted)})
    return module


def remove_weight_norm(module: AnyModule, name: str = "weight") -> AnyModule:
    """Undo `nn.utils.weight_norm`: the weight becomes an ordinary parameter again, with its present values."""
    return _take_off(module, name, _HookedWeightNorm, "_g _v", "remove_weight_norm")


# -- spectral norm -------------------------------------------------------------------------------------------


class _HookedSpectralNorm(_ComputedWeight):
    def __init__(self, name: str, dim: int, n_power_iterations: int, eps: float):
        super().__init__(name, dim)
        self.n_power_iterations, self.eps = n_power_iterations, eps

    def compute(self, module: Module) -> Tensor:
        weight, u, v = (getattr(module, self.name + suffix) for suffix in ("_orig", "_u", "_v"))
        return F.spectral_norm(weight, u, v, self.n_power_iterations, self.dim or 0, self.eps, module.training)


def spectral_norm(
    module: AnyModule, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int | None = None
) -> AnyModule:
    """Divide a layer's weight by its largest singular value. See `functional.spectral_norm`.

    Args:
        module: a layer. Its `name` is computed before each forward pass, from the parameter `<name>_orig` and the
            buffers `<name>_u` and `<name>_v`.
        name: of the weight.
        n_power_iterations: the number of power iterations in each forward pass in training.
        eps: ε, the least length that a vector is divided by.
        dim: the axis of the units; by default 1 for transposed convolutions and 0 for other layers.

    Returns:
        The layer.

    `nn.utils.parametrizations.spectral_norm` is the newer form.
    """
    weight = tensor_of("spectral_norm", module, name, 2)
    start = SpectralNorm(weight.detach(), n_power_iterations, unit_axis(module, dim), eps)
    assert start._u is not None and start._v is not None, "a matrix has both"
    parts = {"_orig": weight, "_u": start._u, "_v": start._v}
    _HookedSpectralNorm(name, start.dim, n_power_iterations, eps).put_on(module, parts)
    return module


def remove_spectral_norm(module: AnyModule, name: str = "weight") -> AnyModule:
    """Undo `nn.utils.spectral_norm`: the weight becomes an ordinary parameter again, with its present values."""
    training = module.training
    module.training = False  # without a power iteration
    try:
        return _take_off(module, name, _HookedSpectralNorm, "_orig _u _v", "remove_spectral_norm")
    finally:
        module.training = training
