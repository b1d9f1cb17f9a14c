"""Compiled kernels on disk: a kernel is compiled once, and again after the source of any kernel has changed.

Numba has such a cache as well, but it only watches the file of the function itself. Kernels inline functions and
constants of other files, and would keep an old constant after a change there. Here the name of the cache folder
depends on the source of all kernels. Every function and signature has a file of its own, which is written completely
or not at all, so several processes may compile at the same time.
"""

import hashlib
import os
import pickle
import shutil
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import llvmlite
import numba
from numba.core.compiler import CompileResult
from numba.core.serialize import dumps

from minigrad.folders import user_cache

__all__ = ["KernelCache", "announce", "folders"]

KEEP = 3
"""Number of versions of the kernels that stay on disk: a change back to an earlier version needs no compilation."""

HERE = Path(__file__).resolve().parent

announce: Callable[[bool], None] | None = None
"""The command sets this function. It is called before a kernel is compiled; its argument is True if the disk will keep
the result."""


def _source() -> str:
    """A name that depends on the source of all kernels; "" if the source cannot be read (for example, in an
    archive)."""
    digest = hashlib.sha256()
    files = sorted(HERE.glob("*.py"))
    for file in files:
        digest.update(f"{file.name}\0{file.stat().st_size}\0".encode() + file.read_bytes())
    return digest.hexdigest()[:16] if files else ""


SOURCE = _source()


def folders() -> Iterator[Path]:
    """The possible folders for compiled code, in order of preference: $NUMBA_CACHE_DIR, the package, the user's
    cache."""
    if not SOURCE:
        return
    place = f"minigrad-{hashlib.sha256(str(HERE).encode()).hexdigest()[:16]}"  # of this copy of the package
    if os.environ.get("NUMBA_CACHE_DIR"):
        yield Path(os.environ["NUMBA_CACHE_DIR"]).absolute() / place / f"kernels-{SOURCE}"
    yield HERE / "__pycache__" / f"kernels-{SOURCE}"
    user = user_cache()
    if user is not None:
        yield user / place / f"kernels-{SOURCE}"


def _make(folder: Path) -> None:
    """Make the folder, and remove the oldest folders of other versions beside it."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        folder.mkdir()
    except FileExistsError:
        return
    others = [f for f in folder.parent.glob("kernels-*") if f != folder]
    for old in sorted(others, key=_age)[KEEP - 1 :]:
        shutil.rmtree(old, ignore_errors=True)
    if folder.parent.name == "__pycache__":
        for old in folder.parent.glob("*.nb[ic]"):  # Numba's own, from before
            with suppress(OSError):
                old.unlink()


def _age(folder: Path) -> float:
    try:
        return -folder.stat().st_mtime
    except OSError:  # another process removed it
        return 0.0


class KernelCache:
    """The object from which Numba's dispatcher gets the compiled form of a function, and to which it gives this
    form."""

    def __init__(self, name: str):
        self.name = name
        self.cache_path = ""  # Numba shows it in statistics

    @cached_property
    def folders(self) -> list[Path]:
        return list(folders())

    def load_overload(self, signature: Any, context: Any) -> Any:
        """The compiled code, or None."""
        context.refresh()
        name = self._file(signature, context.codegen())
        for folder in self.folders:
            try:
                data = (folder / name).read_bytes()
            except OSError:
                continue
            if hashlib.sha256(data[32:]).digest() == data[:32]:  # else the file is damaged
                return CompileResult._rebuild(context, *pickle.loads(data[32:]))
        if announce is not None:
            announce(any(map(_writable, self.folders)))
        return None

    def save_overload(self, signature: Any, result: Any) -> None:
        """Keep the compiled code in the first folder that can be written. If no folder can be written, this is not an
        error."""
        if result.library.has_dynamic_globals or not all(loop.can_cache for loop in result.lifted):
            return
        data = dumps(result._reduce())
        name = self._file(signature, result.codegen)
        for folder in self.folders:
            part = folder / f"{name}.{uuid.uuid4().hex}.part"
            try:
                _make(folder)
                part.write_bytes(hashlib.sha256(data).digest() + data)
                part.replace(folder / name)
                return
            except OSError:
                with suppress(OSError):
                    part.unlink()

    def _file(self, signature: Any, codegen: Any) -> str:
        versions = numba.__version__, llvmlite.__version__, sys.implementation.cache_tag
        key = repr((self.name, signature, codegen.magic_tuple(), versions))
        return f"{self.name}-{hashlib.sha256(key.encode()).hexdigest()[:16]}"

    def enable(self) -> None: ...

    def disable(self) -> None: ...

    def flush(self) -> None: ...


def _writable(folder: Path) -> bool:
    """True if a file can be written there."""
    there = str(folder)
    while not os.path.lexists(there):
        there = os.path.dirname(there)
    return os.path.isdir(there) and os.access(there, os.W_OK | os.X_OK)
