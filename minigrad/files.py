"""Files: written as a whole or not at all, and read without trust.

Writing. `replacing` gives a temporary file in the folder of the target, brings its content to the disk (fsync), and
renames it to the target's name: at every moment the name leads to the old content or to the new one, never to a part.
Several threads, processes and machines may write to one name; each has a temporary file of its own.

A process that is killed leaves its temporary file behind. The next write into that folder removes it: a writer holds
a lock (flock) on its file, the system frees the lock of a dead process, and who gets the lock may remove the file.

Reading. Whatever is wrong with a file is a `BadFile`. Sizes that a file announces are checked before memory is taken.
"""

import errno
import io
import os
import platform
import re
import secrets
import stat
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

try:
    import fcntl
except ModuleNotFoundError:  # Windows, where nobody can remove a file that is open
    fcntl = None

FilePath = str | os.PathLike[str]


class BadFile(ValueError):
    """A file that is damaged, or not of the kind that was asked for. The message names the file and the reason."""


# -- writing ----------------------------------------------------------------------------------------------


def write(path: FilePath, content: Any) -> None:
    """Write bytes to a file, all or nothing. See `replacing`."""
    with replacing(path) as file:
        file.write(content)


def write_arrays(path: FilePath, **arrays: Any) -> None:
    """Write arrays to an .npz file, to be read by `numpy.load(path)`; all or nothing."""
    if Path(path).suffix != ".npz":
        raise ValueError(f"save({str(path)!r}): numbers are written to an .npz file")
    with replacing(path) as file:
        np.savez_compressed(file, **arrays)


@contextmanager
def replacing(path: FilePath) -> Iterator[BinaryIO]:
    """A binary file to write to and to read from. It takes the place of `path` if the block ends without an error.

    - After an error, the old file is as it was, and there is no other.
    - A symbolic link stays one: the file that it leads to is replaced.
    - The old file's permissions stay, and its owner where the system allows it. A new file gets those of `open`.
    - A device or a pipe, such as /dev/stdout, cannot be replaced: it is written to.

    Raises:
        OSError: as `open(path, "wb")` and `write` would; it names `path`. PermissionError for a file that is
            protected against writing.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "greeting")
        >>> with replacing(path) as file:
        ...     _ = file.write(b"good morning")
        >>> path.read_bytes()
        b'good morning'
    """
    old = None
    with suppress(FileNotFoundError):
        old = os.stat(path)
    if old is not None and stat.S_ISDIR(old.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if old is not None and not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
    if old is not None and not stat.S_ISREG(old.st_mode):
        with open(path, "wb") as file:
            yield file
        return
    target = os.path.realpath(path) if os.path.islink(path) else os.fspath(path)
    folder = os.path.dirname(target) or "."
    remove_leftovers(folder)
    temporary = None
    try:
        descriptor, temporary = _create(folder, 0o666 if old is None else stat.S_IMODE(old.st_mode))
        with open(descriptor, "w+b") as file:
            if old is not None:
                _take_over(old, descriptor)
            yield file
            file.flush()
            os.fsync(descriptor)
            if fcntl is None:
                file.close()  # Windows renames no open files
            os.replace(temporary, target)
    except BaseException as error:
        if temporary is not None:
            with suppress(OSError):
                os.unlink(temporary)
        if isinstance(error, OSError) and error.errno is not None and _is_ours(error.filename):
            raise type(error)(error.errno, error.strerror, str(path)) from error  # the name that was asked for
        raise
    _sync_folder(folder)


def _take_over(old: os.stat_result, descriptor: int) -> None:
    """Owner and permissions of the old file, as far as the system allows and knows them."""
    if hasattr(os, "fchown"):
        with suppress(OSError):
            os.fchown(descriptor, old.st_uid, old.st_gid)
        with suppress(OSError):
            os.fchmod(descriptor, stat.S_IMODE(old.st_mode))


def _sync_folder(folder: str) -> None:
    """Bring the new name to the disk as well. Some systems cannot open or sync a folder: the name is there anyway."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


# -- temporary files, and those of the dead ---------------------------------------------------------------


def _machine() -> str:
    """Eight characters for this machine since it was started: its locks are known here, others' may not be."""
    name = platform.node()
    with suppress(OSError):
        name = Path("/proc/sys/kernel/random/boot_id").read_text()
    return f"{zlib.crc32(name.encode()):08x}"


_HERE = _machine()
_TEMPORARY = re.compile(r"\.minigrad-([0-9a-f]{8})-[0-9a-f]{16}\.tmp")
ABANDONED = 24 * 3600
"""Seconds without a change after which a temporary file of another machine counts as left behind."""


def _is_ours(filename: Any) -> bool:
    """Is an error about our temporary file? Errors of writing name no file."""
    return filename is None or _TEMPORARY.fullmatch(os.path.basename(str(filename))) is not None


def _create(folder: str, mode: int) -> tuple[int, str]:
    """A new, locked temporary file: descriptor and path. The name is short, however long the target's may be."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    while True:
        path = os.path.join(folder, f".minigrad-{_HERE}-{secrets.token_hex(8)}.tmp")
        descriptor = os.open(path, flags, mode)
        try:
            if _locked(descriptor) is not False and os.path.samestat(os.fstat(descriptor), os.stat(path)):
                return descriptor, path
        except FileNotFoundError:
            pass  # another writer took it for left behind, in the moment before it was locked
        os.close(descriptor)
        with suppress(OSError):
            os.unlink(path)


def remove_leftovers(folder: FilePath) -> None:
    """Remove the temporary files of writers that are dead, and never that of a living one."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            match = _TEMPORARY.fullmatch(entry.name)
            if match:
                with suppress(OSError):
                    _remove_if_dead(entry.path, match[1] == _HERE)


def _remove_if_dead(path: str, of_this_machine: bool) -> None:
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    try:
        status = os.fstat(descriptor)
        locked = _locked(descriptor)
        # In a shared folder, this machine may not see the locks of others; and some systems have no locks.
        trusted = locked and of_this_machine
        abandoned = trusted or (locked is not False and time.time() - status.st_mtime > ABANDONED)
        if abandoned and stat.S_ISREG(status.st_mode):
            os.unlink(path)
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool | None:
    """Lock a file: True if that worked, False if another has it, None where files cannot be locked."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False
    except OSError:
        return None


# -- reading ----------------------------------------------------------------------------------------------


def open_regular(path: FilePath) -> BinaryIO:
    """Open a file for reading bytes. A pipe or a device, which may never end, is a `BadFile` and is not read."""

    def opener(path: str, flags: int) -> int:
        return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # a pipe without a writer would wait forever

    file = open(path, "rb", opener=opener)  # noqa: SIM115 - the caller closes it
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise BadFile(f"{path} is a pipe or a device, and not a file")
    return file


def unpacked_limit(packed: int) -> int:
    """The number of bytes to which a packed file of this size may grow: 100 times its size, and at least 256 MB.

    Numbers that were learned or measured hardly shrink when they are packed; a file that was made to fill the memory
    grows by a factor of 1000.
    """
    return max(1 << 28, 100 * packed)


def in_units(size: int) -> str:
    """A number of bytes for people to read.

    Example:
        >>> in_units(80), in_units(12_345), in_units(8 << 30)
        ('80 bytes', '12.3 kB', '8.59 GB')
    """
    power = min((len(str(size)) - 1) // 3, 4)
    value = float(f"{size / 1000**power:.3g}")
    return f"{value:g} {('bytes', 'kB', 'MB', 'GB', 'TB')[power]}"


def read_at_most(file: Any, limit: int) -> io.BytesIO:
    """All that a file holds, in memory; a ValueError if that is more than `limit` bytes."""
    content = io.BytesIO()
    while chunk := file.read(1 << 20):
        content.write(chunk)
        if content.tell() > limit:
            raise ValueError(f"it holds more than {in_units(limit)}")
    content.seek(0)
    return content
