"""Packages that only some features need: imported when they are used, with an error that says how to get them."""

import importlib
from types import ModuleType


def require(module: str, *, extra: str, what: str, package: str | None = None) -> ModuleType:
    """Import `module`, or say which command installs it.

    Args:
        module: what to import, such as "sklearn.datasets".
        extra: the optional dependencies of minigrad that bring it, such as "lab".
        what: what it is needed for, as the subject of a sentence: "the digits data".
        package: the name under which it is installed, where that is not the module's.

    Raises:
        ImportError: it is not installed.

    Example:
        >>> require("math", extra="lab", what="this example").sqrt(9.0)
        3.0
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        missing = (error.name or module).partition(".")[0]
        if missing != module.partition(".")[0]:
            raise  # it is there, and lacks something itself
        from minigrad.install import install_command

        package = package or missing
        raise ImportError(
            f"{what} needs {package}, which is not installed. Install it with: {install_command(extra, package)}",
            name=missing,
        ) from error
