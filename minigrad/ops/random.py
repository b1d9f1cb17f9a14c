"""The random numbers of the framework: one generator, seeded by `mg.manual_seed`."""

from typing import Any

import numpy as np

_generator = np.random.default_rng()


def manual_seed(seed: int) -> None:
    """Start the framework's random numbers anew: the same seed gives the same weights, masks and shuffles.

    The numbers are NumPy's (PCG64), so they differ from those that PyTorch draws for the same seed.
    """
    global _generator
    _generator = np.random.default_rng(seed)


def generator() -> np.random.Generator:
    """The generator from which initial weights, dropout masks and `mg.randn` are drawn."""
    return _generator


def get_rng_state() -> dict[str, Any]:
    """The generator's state, as plain data that JSON can hold: save it to continue exactly later."""
    return dict(_generator.bit_generator.state)


def set_rng_state(state: dict[str, Any]) -> None:
    """Continue from a state that `get_rng_state` gave."""
    _generator.bit_generator.state = state
