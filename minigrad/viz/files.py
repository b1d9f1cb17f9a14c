"""Files that are either whole or not there."""

import io
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np


def write(path: str | Path, content: bytes) -> None:
    """Write a file under a temporary name and rename it: nobody ever sees half a file."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except OSError as error:  # tell of the file that was asked for
        if error.errno is None:
            raise
        raise type(error)(error.errno, error.strerror, str(path)) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_arrays(path: str | Path, **arrays: Any) -> None:
    """Write arrays to an .npz file, to be read by `numpy.load(path)`; whole or not at all."""
    if Path(path).suffix != ".npz":
        raise ValueError(f"save({str(path)!r}): numbers are written to an .npz file")
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    write(path, file.getvalue())
