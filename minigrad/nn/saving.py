"""`save` and `load`: weights, optimizer states and other plain data in one file.

The file is an ordinary NumPy `.npz` archive: each tensor is an array in it, and one text entry, `structure.json`,
says how the arrays fit into dictionaries and lists. Loading reads numbers and JSON and nothing else: unlike a
pickle, a file from somebody else cannot run a program when it is opened.
"""

import json
import os
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from minigrad.autograd import Tensor

_STRUCTURE = "structure.json"


def save(obj: Any, path: "str | os.PathLike[str]") -> None:
    """Write tensors, arrays and plain data to a file.

    Args:
        obj: a state dictionary; or any dictionaries, lists and tuples, one inside another, of tensors,
            NumPy arrays, numbers, strings, booleans and None, such as
            `{"model": net.state_dict(), "optimizer": opt.state_dict(), "epoch": 7}`.
        path: the file, under any name. It is written under a temporary name and renamed when it is complete,
            so that an interruption leaves an older file as it was.

    Raises:
        TypeError: something else is in `obj`; the message says where.

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
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            with zipfile.ZipFile(file, "w") as archive:
                # A ZipInfo without a date: the same data give the same bytes.
                archive.writestr(zipfile.ZipInfo(_STRUCTURE), structure)
                for name, array in arrays.items():
                    with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                        np.lib.format.write_array(member, array, allow_pickle=False)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def load(path: "str | os.PathLike[str]") -> Any:
    """Read what `save` wrote. An `.npz` file that NumPy wrote is read as a dictionary of tensors.

    No code in the file is run: it holds numbers and JSON only.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no such archive, or it is damaged.
    """
    with open(path, "rb") as file:
        try:
            archive = zipfile.ZipFile(file)
            names = archive.namelist()
            if _STRUCTURE in names:
                return _decode(json.loads(archive.read(_STRUCTURE)), archive)
            if all(name.endswith(".npy") for name in names):
                return {name.removesuffix(".npy"): Tensor(_read(archive, name)) for name in names}
        except _DAMAGES as error:
            raise ValueError(f"load: {path} is damaged, or was not written by mg.save ({error})") from error
    raise ValueError(
        f"load: {path} was not written by mg.save. To read PyTorch weights, save them from PyTorch as "
        "arrays: numpy.savez(path, **{k: v.numpy() for k, v in model.state_dict().items()})"
    )


# What reading a damaged archive may raise: RuntimeError where a flipped bit says "encrypted", OSError where an
# offset leads out of the file.
_DAMAGES = (zipfile.BadZipFile, zlib.error, EOFError, OSError, KeyError, ValueError, TypeError, RuntimeError)


def _encode(value: Any, place: str, arrays: dict[str, Any]) -> Any:
    """`value` as JSON, in which {"kind": ...} stands for what JSON cannot tell apart; arrays are put aside."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic) and isinstance(value.item(), bool | int | float | str):
        return value.item()
    if isinstance(value, Tensor | np.ndarray):
        array = value.data if isinstance(value, Tensor) else value
        if array.dtype.kind not in "fiub":
            raise TypeError(f"save: the array at {place or 'the top'} has dtype {array.dtype}, which is no number")
        name = place or "value"
        if len(name) > 1000 or not name.isprintable():  # archives take no such names
            name = f"array {len(arrays)}"
        while name in arrays:  # {"a": {"b": x}, "a/b": y}
            name += "_"
        arrays[name] = array
        return {"kind": "tensor" if isinstance(value, Tensor) else "array", "name": name}
    if isinstance(value, dict):
        items = []
        for key, item in value.items():
            if key is not None and not isinstance(key, str | int | float | bool):
                where = place or "the top"
                raise TypeError(f"save: a dictionary at {where} has the key {key!r}; use strings or numbers")
            items.append([key, _encode(item, f"{place}/{key}".lstrip("/"), arrays)])
        return {"kind": "dict", "items": items}
    if isinstance(value, list | tuple):
        items = [_encode(item, f"{place}/{i}".lstrip("/"), arrays) for i, item in enumerate(value)]
        return {"kind": "list" if isinstance(value, list) else "tuple", "items": items}
    hint = "; save its state_dict()" if hasattr(value, "state_dict") else ""
    raise TypeError(
        f"save: cannot save the {type(value).__name__} at {place or 'the top'}: only tensors, arrays, numbers, "
        f"strings, and dictionaries, lists and tuples of these{hint}"
    )


def _decode(value: Any, archive: zipfile.ZipFile) -> Any:
    if not isinstance(value, dict):
        return value
    kind = value["kind"]
    if kind in ("tensor", "array"):
        array = _read(archive, value["name"] + ".npy")
        return Tensor(array) if kind == "tensor" else array
    if kind == "dict":
        return {key: _decode(item, archive) for key, item in value["items"]}
    items = [_decode(item, archive) for item in value["items"]]
    return items if kind == "list" else tuple(items)


def _read(archive: zipfile.ZipFile, name: str) -> Any:
    with archive.open(name) as member:
        return np.lib.format.read_array(member, allow_pickle=False)
