"""The random numbers of the framework: one generator, seeded by `mg.manual_seed`, and others of your own."""

from copy import deepcopy
from typing import Any

import numpy as np

from minigrad.checks import brief, is_whole
from minigrad.ops.device import CPU, check_device, device


class Generator:
    """An independent stream of random numbers, for the argument `generator=` of all random functions.

    Two generators with the same seed give the same numbers, whatever else draws random numbers. The numbers are
    NumPy's (PCG64), so they differ from those that PyTorch draws for the same seed. As in PyTorch, a new generator
    starts with a fixed seed.

    Args:
        device: "cpu".

    Example:
        >>> import minigrad as mg
        >>> g = mg.Generator().manual_seed(7)
        >>> first = mg.randn(3, generator=g)
        >>> mg.equal(first, mg.randn(3, generator=g.manual_seed(7)))
        True
    """

    def __init__(self, device: Any = "cpu"):
        check_device(device, "Generator")
        self.manual_seed(67280421310721)

    @property
    def device(self) -> device:
        """The CPU."""
        return CPU

    def manual_seed(self, seed: int) -> "Generator":
        """Restart from `seed`, and return this generator. A negative seed counts from 2⁶⁴ downwards."""
        if isinstance(seed, float) and seed != int(seed):
            raise TypeError(f"manual_seed: the seed must be an integer, got {seed!r}")
        seed = int(seed)
        self._seed = seed if seed >= 0 else seed % 2**64
        self.numpy = np.random.default_rng(self._seed)
        return self

    def initial_seed(self) -> int:
        """The seed from which it started."""
        return self._seed

    def seed(self) -> int:
        """Restart from a seed that the operating system draws, and return that seed."""
        self.manual_seed(np.random.SeedSequence().entropy % 2**64)  # type: ignore[operator]
        return self._seed

    def get_state(self) -> dict[str, Any]:
        """The state, as plain data that JSON can hold: save it to continue exactly later."""
        return deepcopy(dict(self.numpy.bit_generator.state))

    def set_state(self, new_state: dict[str, Any]) -> "Generator":
        """Continue from a state that `get_state` gave.

        Raises:
            ValueError: it is no such state. The generator stays as it was.
        """
        if not _is_state(new_state):
            raise ValueError(f"set_state: expected a state that get_state gave, and got {brief(new_state)}")
        self.numpy.bit_generator.state = new_state
        return self

    def clone_state(self) -> "Generator":
        """Another generator that will give the same numbers as this one."""
        twin = Generator().manual_seed(self._seed)
        return twin.set_state(self.get_state())


def _is_state(state: Any) -> bool:
    """PCG64 has two integers of 128 bits, and may keep one of 32 bits for later."""
    try:
        inner = state["state"]
        numbers = [(inner["state"], 128), (inner["inc"], 128), (state["has_uint32"], 1), (state["uinteger"], 32)]
        return state["bit_generator"] == "PCG64" and all(is_whole(n) and 0 <= n < 2**bits for n, bits in numbers)
    except (TypeError, KeyError, IndexError):
        return False


default_generator = Generator()
default_generator.seed()


def manual_seed(seed: int) -> Generator:
    """Restart the framework's random numbers: the same seed gives the same weights, masks and shuffles.

    The numbers are NumPy's (PCG64), so they differ from those that PyTorch draws for the same seed. Returns the
    generator.
    """
    return default_generator.manual_seed(seed)


def seed() -> int:
    """Restart the framework's random numbers from a seed that the operating system draws; returns that seed."""
    return default_generator.seed()


def initial_seed() -> int:
    """The seed from which the framework's random numbers started."""
    return default_generator.initial_seed()


def generator(given: Any = None) -> np.random.Generator:
    """The NumPy generator from which to draw: that of an argument `generator=`, else the framework's own."""
    if given is None:
        return default_generator.numpy
    if isinstance(given, Generator):
        return given.numpy
    if isinstance(given, np.random.Generator):
        return given
    raise TypeError(f"generator: must be an mg.Generator or a NumPy generator, not a {type(given).__name__}")


def get_rng_state() -> dict[str, Any]:
    """The generator's state, as plain data that JSON can hold: save it to continue exactly later."""
    return default_generator.get_state()


def set_rng_state(state: dict[str, Any]) -> None:
    """Continue from a state that `get_rng_state` gave."""
    default_generator.set_state(state)
