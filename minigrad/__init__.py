"""minigrad: reverse-mode autodiff small enough to read, and every normalization layer in it."""

from minigrad import autograd, ops
from minigrad.autograd import (
    Function,
    Tensor,
    composed,
    detect_anomaly,
    enable_grad,
    grad,
    is_grad_enabled,
    no_grad,
    set_grad_enabled,
)
from minigrad.ops.random import get_rng_state, manual_seed, set_rng_state

__version__ = "0.1.0"
