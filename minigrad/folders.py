"""Where a program may keep files for later."""

import os
import sys
import tempfile
from pathlib import Path


def user_cache() -> Path | None:
    """The user's folder for what can be made again, or None: a user without a home, as in some containers, has none.

    Example:
        >>> folder = user_cache()
        >>> folder is None or folder.name == "minigrad"
        True
    """
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or ("~/Library/Caches" if sys.platform == "darwin" else "~/.cache")
    folder = Path(os.path.expanduser(base))
    return folder / "minigrad" if folder.is_absolute() else None


def have_temporary(near: Path) -> None:
    """Put temporary files beside `near` if the system has no place for them: matplotlib cannot do without."""
    try:
        tempfile.gettempdir()
    except FileNotFoundError:
        near = near.absolute()
        while not near.is_dir():
            near = near.parent
        tempfile.tempdir = str(near)
