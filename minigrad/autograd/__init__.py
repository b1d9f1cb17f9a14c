"""Reverse-mode automatic differentiation: `Tensor`, `Function`, the backward pass, and checks of it."""

from minigrad.autograd.engine import grad
from minigrad.autograd.function import AnomalyError, Function
from minigrad.autograd.gradcheck import GradcheckError, gradcheck, gradgradcheck
from minigrad.autograd.modes import (
    composed,
    detect_anomaly,
    enable_grad,
    is_grad_enabled,
    no_grad,
    set_grad_enabled,
)
from minigrad.autograd.tensor import Tensor

__all__ = [
    "AnomalyError",
    "Function",
    "GradcheckError",
    "Tensor",
    "composed",
    "detect_anomaly",
    "enable_grad",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "is_grad_enabled",
    "no_grad",
    "set_grad_enabled",
]
