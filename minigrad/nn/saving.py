"""`save` and `load`: weights, optimizer states and other plain data in one file.

The file is an ordinary NumPy `.npz` archive: each tensor is an array in it, and one text entry, `structure.json`,
describes the place of each array in dictionaries and lists. Loading reads only numbers and JSON. So, unlike a pickle,
a file from an unknown source cannot run a program when it is opened.
"""

import errno
import io
import json
import math
import os
import zipfile
from collections.abc import Callable
from typing import IO, Any

import numpy as np

from minigrad.autograd import Tensor
from minigrad.files import BadFile, in_units, open_regular, replacing, unpacked_limit

_STRUCTURE = "structure.json"
_SCALARS = bool | int | float | str
_CHUNK = 1 << 20
_DEEPEST = 100
"""The largest depth of nested dictionaries and lists: more would exhaust Python's stack, here or in the JSON
reader."""


def save(obj: Any, f: "str | os.PathLike[str] | IO[bytes]") -> None:
    """Write tensors, arrays and plain data to a file.

    Args:
        obj: a state dictionary; or any dictionaries, lists and tuples, one inside another, of tensors,
            NumPy arrays, numbers, strings, booleans and None, such as
            `{"model": net.state_dict(), "optimizer": opt.state_dict(), "epoch": 7}`.
        f: the path of the file, under any name; or an open binary file, to which everything is written at its
            present position. A path is first written under a temporary name, and renamed when it is complete: after an
            interruption, an older file is unchanged.

    Raises:
        TypeError: something else is in `obj`; the message says where.
        ValueError: dictionaries and lists are nested more than 100 deep.
        OSError: the file cannot be written. An older file of that name is unchanged.

    Differences from PyTorch: only data, no modules and no other objects. Save `net.state_dict()`.

    Example:
        >>> import minigrad as mg, tempfile, os
        >>> path = os.path.join(tempfile.mkdtemp(), "net.npz")
        >>> mg.save({"weight": mg.ones(2), "epoch": 7}, path)
        >>> mg.load(path)
        {'weight': tensor([1., 1.]), 'epoch': 7}
    """
    arrays: dict[str, Any] = {}
    structure = json.dumps(_encode(obj, "", arrays))
    if isinstance(f, str | os.PathLike):
        with replacing(f) as file:
            _write(file, structure, arrays)
        return
    if not hasattr(f, "write"):
        raise TypeError(f"save: f must be a path or an open binary file, got a {type(f).__name__}")
    if isinstance(f, io.TextIOBase):
        raise TypeError('save: f is open for text; open it for bytes: open(path, "wb")')
    memory = io.BytesIO()  # the writer of an archive goes back in the file, and not every file allows this
    _write(memory, structure, arrays)
    rest = memory.getbuffer()
    while rest:
        written = f.write(rest)
        rest = rest[written if isinstance(written, int) else len(rest) :]  # an unbuffered file may write only a part


def load(
    f: "str | os.PathLike[str] | IO[bytes]",
    map_location: Any = None,
    *,
    weights_only: bool | None = None,
    max_bytes: int | None = None,
) -> Any:
    """Read what `save` wrote. An `.npz` file that NumPy wrote is read as a dictionary of tensors.

    No code in the file is run: it holds numbers and JSON only. All checksums in it are verified, and the sizes that
    it announces are checked before memory is taken.

    Args:
        f: a path, or an open binary file, which is read from its present position to its end. The file must be able to
            seek; if it cannot, pass `io.BytesIO(f.read())`.
        map_location: for programs written for PyTorch: "cpu", the CPU device, or a dictionary or function that gives
            the CPU.
        weights_only: for programs written for PyTorch. Its value is ignored: loading is always restricted to data.
        max_bytes: the largest number of bytes that the arrays may take. Default: 100 times the size of the file, and
            at least 256 MB. Only a compressed file (`numpy.savez_compressed`) can hold more bytes than it has.

    Raises:
        FileNotFoundError, PermissionError, IsADirectoryError, ...: the file cannot be opened.
        BadFile: the file is damaged, or was not written by `save` or NumPy, or takes more than `max_bytes`. `BadFile`
            is a ValueError. The contents of a file never raise another error.
        ValueError: `map_location` is another device than the CPU.

    Example:
        >>> import io, minigrad as mg
        >>> file = io.BytesIO()
        >>> mg.save([mg.zeros(2), "text"], file)
        >>> _ = file.seek(0)
        >>> mg.load(file, map_location="cpu")
        [tensor([0., 0.]), 'text']
    """
    place = _to_cpu(map_location)
    if isinstance(f, str | os.PathLike):
        try:
            file = open_regular(f)
        except BadFile as error:
            raise BadFile(f"load: {error}") from None
        with file:
            return _load(file, str(f), place, max_bytes)
    if not hasattr(f, "read"):
        raise TypeError(f"load: f must be a path or an open binary file, got a {type(f).__name__}")
    if isinstance(f, io.TextIOBase):
        raise TypeError('load: f is open for text; open it for bytes: open(path, "rb")')
    if not hasattr(f, "seek") or not getattr(f, "seekable", lambda: True)():
        raise TypeError("load: f cannot seek, as reading an archive needs; use mg.load(io.BytesIO(f.read()))")
    name = getattr(f, "name", None)
    return _load(f, name if isinstance(name, str) else f"the {type(f).__name__}", place, max_bytes)


# -- writing ----------------------------------------------------------------------------------------------


def _write(file: IO[bytes], structure: str, arrays: dict[str, Any]) -> None:
    with zipfile.ZipFile(file, "w") as archive:
        # A ZipInfo without a date: the same data give the same bytes.
        archive.writestr(zipfile.ZipInfo(_STRUCTURE), structure)
        for name, array in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def _encode(value: Any, place: str, arrays: dict[str, Any], depth: int = 0) -> Any:
    """`value` as JSON. JSON does not distinguish lists and tuples, so {"kind": ...} does. Arrays go to `arrays`."""
    if value is None or isinstance(value, _SCALARS):
        return value
    if isinstance(value, np.generic) and isinstance(value.item(), _SCALARS):
        return value.item()
    if isinstance(value, Tensor | np.ndarray):
        array = value.array if isinstance(value, Tensor) else value
        if array.dtype.kind not in "fiub":
            raise TypeError(f"save: the array at {place or 'the top'} has dtype {array.dtype}, which is not a number")
        name = place or "value"
        if len(name) > 1000 or not name.isprintable():  # archives do not allow such names
            name = f"array {len(arrays)}"
        while name in arrays:  # {"a": {"b": x}, "a/b": y}
            name += "_"
        arrays[name] = array
        return {"kind": "tensor" if isinstance(value, Tensor) else "array", "name": name}
    if depth > _DEEPEST and isinstance(value, dict | list | tuple):
        raise ValueError(
            f"save: dictionaries and lists are more than {_DEEPEST} deep, or one contains itself, at {place:.60}"
        )
    if isinstance(value, dict):
        items = []
        for key, item in value.items():
            if key is not None and not isinstance(key, _SCALARS):
                where = place or "the top"
                raise TypeError(f"save: a dictionary at {where} has the key {key!r}; use strings or numbers")
            items.append([key, _encode(item, f"{place}/{key}".lstrip("/"), arrays, depth + 1)])
        return {"kind": "dict", "items": items}
    if isinstance(value, list | tuple):
        items = [_encode(item, f"{place}/{i}".lstrip("/"), arrays, depth + 1) for i, item in enumerate(value)]
        return {"kind": "list" if isinstance(value, list) else "tuple", "items": items}
    hint = "; save its state_dict()" if hasattr(value, "state_dict") else ""
    raise TypeError(
        f"save: cannot save the {type(value).__name__} at {place or 'the top'}: only tensors, arrays, numbers, "
        f"strings, and dictionaries, lists and tuples of these{hint}"
    )


# -- reading ----------------------------------------------------------------------------------------------


def _load(file: IO[bytes], name: str, place: Callable[[Tensor], None], max_bytes: int | None) -> Any:
    content, tensors = None, []
    try:
        start = file.tell()
        end = file.seek(0, os.SEEK_END)
        file.seek(start)
        reason = _other_kind(file.read(8), name)
        if reason is None:
            with zipfile.ZipFile(file) as archive:
                members = _members(file, archive, start, end)
                reason = _other_archive(members, name) or _too_large(members, end - start, max_bytes)
                if reason is None:
                    content = _content(archive, members, tensors)
            file.seek(end)
    except OSError as error:
        if error.errno not in (None, errno.EINVAL):  # both errors come from an offset outside the file
            raise
        raise _damaged(name, error) from error
    except MemoryError:
        raise  # the announced sizes are checked already: so this machine has too little memory for the file
    except Exception as error:  # arbitrary bytes can cause any error in the readers of zip, NumPy and JSON
        raise _damaged(name, error) from error
    if reason is not None:
        raise BadFile(f"load: {name} {reason}")
    for tensor in tensors:
        place(tensor)
    return content


def _damaged(name: str, error: Exception) -> BadFile:
    reason = " ".join(str(error).split()) or type(error).__name__
    reason = "".join(letter if letter.isprintable() else "?" for letter in reason)  # it may hold text from the file
    return BadFile(f"load: {name} is damaged, or was not written by mg.save ({reason:.300})")


_PYTORCH = (
    "{what}. A pickle can run a program when it is opened, so mg.load reads none. "
    "Where PyTorch is installed, turn the weights into arrays: numpy.savez('weights.npz', **{{k: v.numpy() for k, v "
    "in torch.load('{name}', map_location='cpu').items()}}). mg.load('weights.npz') reads those"
)


def _other_kind(beginning: bytes, name: str) -> str | None:
    """The kind of a file that begins with these bytes, if it is a known kind other than ours."""
    if not beginning:
        return "is empty"
    if beginning[:1] == b"\x80" and beginning[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return _PYTORCH.format(what="is a pickle, perhaps one that was written by torch.save", name=name)
    if beginning[:6] == b"\x93NUMPY":
        return "is one NumPy array, and no archive: read it with mg.tensor(numpy.load(path))"
    if beginning[:4] == b"\x89HDF":
        return "is an HDF5 file: read it with h5py, and mg.save what it holds"
    if len(beginning) == 8 and not any(beginning[5:]) and beginning[:2] != b"PK":
        return "is not an archive; if it is a safetensors file, read it with safetensors.numpy.load_file(path)"
    return None


def _other_archive(members: dict[str, zipfile.ZipInfo], name: str) -> str | None:
    if any(member.rpartition("/")[2] == "data.pkl" for member in members):
        return _PYTORCH.format(what="was written by torch.save, as a pickle", name=name)
    if _STRUCTURE not in members and not all(member.endswith(".npy") for member in members):
        return "was not written by mg.save: it is a zip archive that holds other things than arrays"
    return None


def _members(file: IO[bytes], archive: zipfile.ZipFile, start: int, end: int) -> dict[str, zipfile.ZipInfo]:
    """The members by name, after a check of the sizes that the archive gives."""
    infos = archive.infolist()
    if _announced(file, end - len(archive.comment)) not in (len(infos), 0xFFFF):  # the latter stands for "more"
        raise ValueError("the number of its members is not what its last record says")
    members = {info.filename: info for info in infos}
    if len(members) < len(infos):
        raise ValueError("two members have the same name")
    first = min((info.header_offset for info in infos), default=archive.start_dir)
    if first != start:
        raise ValueError(f"its archive begins at byte {first - start}")
    for name, info in members.items():
        if info.flag_bits & 1:
            raise ValueError(f"{name!r:.80} is encrypted")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"{name!r:.80} is packed by a method that NumPy does not use")
        stored = info.compress_type == zipfile.ZIP_STORED
        if info.header_offset + info.compress_size > end or (stored and info.file_size != info.compress_size):
            raise ValueError(f"{name!r:.80} announces more bytes than the file has")
    return members


def _announced(file: IO[bytes], end: int) -> int | None:
    """The number of members according to the last record of a zip archive, which zipfile does not check."""
    file.seek(max(0, end - 22))
    record = file.read(22)
    return int.from_bytes(record[10:12], "little") if record.startswith(b"PK\x05\x06") else None


def _too_large(members: dict[str, zipfile.ZipInfo], size: int, max_bytes: int | None) -> str | None:
    limit = unpacked_limit(size) if max_bytes is None else max_bytes
    # A number or bracket of JSON takes two or three bytes in the file, and about sixty in Python.
    total = sum(info.file_size * (30 if name == _STRUCTURE else 1) for name, info in members.items())
    if total <= limit:
        return None
    return (
        f"has {in_units(size)}, and what it holds takes {in_units(total)} of memory; the limit is {in_units(limit)}. "
        f"If you trust the file, give mg.load a higher limit: max_bytes={total}"
    )


def _content(archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], tensors: list[Tensor]) -> Any:
    """The contents of the archive. Each tensor is added to the list as well."""

    def tensor(name: str) -> Tensor:
        tensors.append(Tensor(_native(_read(archive, members.pop(name)))))
        return tensors[-1]

    if _STRUCTURE not in members:
        return {name.removesuffix(".npy"): tensor(name) for name in list(members)}

    def decode(value: Any) -> Any:
        if value is None or isinstance(value, _SCALARS):
            return value
        kind = value["kind"]
        if kind == "tensor":
            return tensor(value["name"] + ".npy")  # each array may be used once; a second use finds nothing
        if kind == "array":
            return _read(archive, members.pop(value["name"] + ".npy"))
        items = value["items"]
        if not isinstance(items, list):
            raise ValueError(f"the items of a {kind!r:.40} are not a list")
        if kind == "dict":
            content = {key: decode(item) for key, item in items}
            if len(content) < len(items):
                raise ValueError("a dictionary has one key twice")
            return content
        if kind not in ("list", "tuple"):
            raise ValueError(f"{kind!r:.40} is not a known kind of data")
        content = [decode(item) for item in items]
        return content if kind == "list" else tuple(content)

    content = decode(json.loads(archive.read(members.pop(_STRUCTURE))))
    if members:
        raise ValueError(f"its structure does not mention {next(iter(members))!r:.80}")
    return content


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Any:
    """One array. The header is compared with the member's size before memory is taken.

    The member is read to its end, where zipfile compares the checksum of the whole member, including the header.
    """
    with archive.open(info) as opened:
        member: Any = opened
        shape, is_fortran, dtype = _header(member, info.filename)
        if dtype.hasobject:
            raise ValueError(f"{info.filename!r:.80} holds Python objects, which only a pickle brings back")
        if dtype.kind not in "fiub":
            raise ValueError(f"{info.filename!r:.80} holds {dtype!s:.40} instead of numbers")
        size = math.prod(shape) * dtype.itemsize
        if min(shape, default=0) < 0 or member.tell() + size != info.file_size:
            raise ValueError(
                f"{info.filename!r:.80} announces the shape {shape!s:.80}, which takes {size:,} bytes, but holds "
                f"{info.file_size - member.tell():,}"
            )
        array = np.empty(shape[::-1] if is_fortran else shape, dtype)
        values: Any = array.reshape(-1).view(np.uint8)
        view, done = memoryview(values), 0
        while done < size:
            count = member.readinto(view[done : done + _CHUNK])
            if not count:
                raise ValueError(f"{info.filename!r:.80} ends early")
            done += count
    if dtype.kind == "b" and size and values.max() > 1:
        raise ValueError(f"{info.filename!r:.80} holds booleans other than 0 and 1")
    return array.T if is_fortran else array


def _header(member: IO[bytes], name: str) -> tuple[tuple[int, ...], bool, Any]:
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    try:
        return readers[np.lib.format.read_magic(member)](member)
    except (OSError, zipfile.BadZipFile):
        raise
    except Exception as error:  # NumPy reads the header with Python's parser, which raises many kinds of errors
        raise ValueError(f"{name!r:.80} has no header of a NumPy array: {error!s:.100}") from error


def _native(array: Any) -> Any:
    """The same numbers in the byte order of this machine, in which tensors compute."""
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


# -- devices ----------------------------------------------------------------------------------------------


def _to_cpu(map_location: Any) -> Callable[[Tensor], None]:
    """Apply `map_location` to each tensor. A device other than the CPU is an error."""
    if isinstance(map_location, dict):
        map_location = map_location.get("cpu", "cpu")
    if map_location is None or str(map_location) in ("cpu", "cpu:0"):
        return lambda tensor: None
    if not callable(map_location):
        raise ValueError(f'load: map_location is {map_location!r:.60}; minigrad computes on the CPU: "cpu" or None')

    def ask(tensor: Tensor) -> None:
        """Call the user's function for each tensor. It must give the tensor back, because all tensors are on the CPU
        already."""
        placed = map_location(tensor, "cpu")
        if placed is not None and placed is not tensor:
            raise ValueError(
                f"load: map_location(tensor, 'cpu') gave a {type(placed).__name__}; minigrad computes on the CPU: "
                "the function must give back the tensor, or None"
            )

    return ask
