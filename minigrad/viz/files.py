"""Files that are either whole or not there."""

import os
from pathlib import Path


def write(path: str | Path, content: bytes) -> None:
    """Write a file under a temporary name and rename it: nobody ever sees half a file."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
