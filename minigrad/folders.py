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
    """Put temporary files beside `near` if the system has no place for them: matplotlib cannot do without.

    Raises:
        PermissionError: nor can a file be written there.
    """
    try:
        tempfile.gettempdir()
    except FileNotFoundError:
        near = near.absolute()
        while not near.is_dir():
            near = near.parent
        if not os.access(near, os.W_OK):
            raise PermissionError(
                f"no file can be written in {near}, and the system has no folder for temporary files; give a folder "
                "that can be written (out)"
            ) from None
        tempfile.tempdir = str(near)
