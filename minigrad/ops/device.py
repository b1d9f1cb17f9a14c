"""The CPU is the only device; here are the names by which programs ask for other devices.

A program for PyTorch says `device = "cuda" if torch.cuda.is_available() else "cpu"` and passes it around. Here the
answer is always the CPU, every function that makes or converts a tensor takes `device="cpu"`, and anything else is
an error.
"""

from typing import Any

import numpy as np

_REFUSED = 'is not available: minigrad computes on the CPU only. Pass "cpu", or leave it out'


class device:
    """The device of a tensor: always `mg.device("cpu")`.

    Args:
        type: "cpu", "cpu:0", or another device.
        index: its number, None or 0.

    Raises:
        RuntimeError: a device other than the CPU.

    Example:
        >>> import minigrad as mg
        >>> mg.ones(2, device=mg.device("cpu")).device
        device(type='cpu')
        >>> mg.device("cuda")
        Traceback (most recent call last):
            ...
        RuntimeError: device: 'cuda' is not available: minigrad computes on the CPU only. Pass "cpu", or leave it out
    """

    __slots__ = ("index", "type")

    def __init__(self, type: Any = "cpu", index: int | None = None):
        _set = object.__setattr__
        if isinstance(type, device):
            _set(self, "type", type.type)
            _set(self, "index", type.index)
            return
        name, _, number = type.partition(":") if isinstance(type, str) else (type, "", "")
        if name != "cpu" or number not in ("", "0") or index not in (None, 0) or (number and index is not None):
            given = repr(type) if index is None else f"{type!r}, {index!r}"
            raise RuntimeError(f"device: {given} {_REFUSED}")
        _set(self, "type", "cpu")
        _set(self, "index", 0 if number else index)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"device: {name} cannot be changed")

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __repr__(self) -> str:
        return f"device(type='{self.type}'{'' if self.index is None else f', index={self.index}'})"

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, device) and (self.type, self.index) == (other.type, other.index)

    def __hash__(self) -> int:
        return hash((self.type, self.index))

    def __reduce__(self) -> Any:
        return device, (self.type, self.index)

    def __enter__(self) -> "device":
        return self

    def __exit__(self, *exception: Any) -> None:
        pass


CPU = device("cpu")


def check_device(given: Any, who: str) -> None:
    """Raise if `given` is neither None nor the CPU."""
    if given is None or given is CPU:
        return
    try:
        device(given)
    except RuntimeError:
        raise RuntimeError(f"{who}: device {given!r} {_REFUSED}") from None


def conversion(who: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> tuple[Any, bool]:
    """(dtype or None, copy) of a call of `to`: a dtype, a device, a tensor to be like, in PyTorch's orders."""
    dtype, copy = options.pop("dtype", None), options.pop("copy", False)
    check_device(options.pop("device", None), who)
    options.pop("non_blocking", None)
    options.pop("memory_format", None)
    if "other" in options:
        arguments = (options.pop("other"), *arguments)
    if options:
        raise TypeError(f"{who}: unknown argument {next(iter(options))!r}; it takes dtype, device, non_blocking, copy")
    flags = []
    for given in arguments:
        if isinstance(given, bool):
            flags.append(given)
        elif given is None or isinstance(given, device):
            pass
        elif hasattr(given, "shape") and hasattr(given, "dtype") and not isinstance(given, type):
            dtype = given.dtype
        else:
            found = _dtype(given)
            if found is None:
                check_device(given, who)
            else:
                dtype = found
    if len(flags) > 1:  # non_blocking, copy
        copy = flags[1]
    return (None if dtype is None else _dtype(dtype) or np.dtype(dtype)), copy


def _dtype(given: Any) -> Any:
    """The dtype that `given` names; None if it names none."""
    try:
        return np.dtype(getattr(given, "dtype", given) if not isinstance(given, type) else given)
    except TypeError:
        return None


# -- other devices, which are never available -----------------------------------------------------------------


class _Absent:
    """`mg.cuda` and similar modules: they say that the device is not available, and accept the calls of programs."""

    def __init__(self, name: str, **switches: bool):
        self._name = name
        self.__dict__.update(switches)

    def is_available(self) -> bool:
        """False."""
        return False

    def is_built(self) -> bool:
        """False."""
        return False

    def device_count(self) -> int:
        """0."""
        return 0

    def manual_seed(self, seed: int) -> None:
        """Nothing to seed. (`mg.manual_seed` seeds all random numbers.)"""

    manual_seed_all = manual_seed

    def empty_cache(self) -> None:
        """Nothing to empty."""

    def current_accelerator(self) -> None:
        """None."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise AttributeError(
            f"mg.{self._name}.{name}: minigrad computes on the CPU only, and mg.{self._name}.is_available() is False"
        )


class _Backends:
    """`mg.backends`: programs for PyTorch set switches here; they change nothing."""

    def __init__(self) -> None:
        self.cuda, self.mps = _Absent("backends.cuda"), _Absent("backends.mps")
        self.cudnn = _Absent("backends.cudnn", enabled=False, deterministic=True, benchmark=False)


cuda, mps, xpu, accelerator = _Absent("cuda"), _Absent("mps"), _Absent("xpu"), _Absent("accelerator")
backends = _Backends()


def get_default_device() -> device:
    """The device on which tensors are made: the CPU."""
    return CPU


def set_default_device(device: Any) -> None:
    """Only the CPU can be chosen."""
    check_device(device, "set_default_device")
