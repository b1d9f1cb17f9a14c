"""Reverse-mode automatic differentiation: `Tensor`, `Function`, the backward pass, and checks of it."""

from minigrad.autograd import function
from minigrad.autograd.engine import grad
from minigrad.autograd.function import AnomalyError, Function
from minigrad.autograd.gradcheck import GradcheckError, gradcheck, gradgradcheck
from minigrad.autograd.modes import (
    composed,
    detect_anomaly,
    enable_grad,
    inference_mode,
    is_grad_enabled,
    no_grad,
    set_grad_enabled,
)
from minigrad.autograd.static import once_differentiable
from minigrad.autograd.tensor import Tensor, Variable

# Where PyTorch has it.
function.once_differentiable = once_differentiable

__all__ = [
    "AnomalyError",
    "Function",
    "GradcheckError",
    "Tensor",
    "Variable",
    "composed",
    "detect_anomaly",
    "enable_grad",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "inference_mode",
    "is_grad_enabled",
    "no_grad",
    "set_grad_enabled",
]
