"""Files of datasets: finding or downloading them, checking them, and reading their formats (IDX, CIFAR-10).

Nothing in a file is trusted: the checksum of a download is compared, the sizes that a file announces are compared with
what is there, nothing is unpacked to disk, or beyond a limit, and no file is a program. (CIFAR-10 is also published as
pickles, which are programs. Those are not read: its binary version holds the same.)
"""

import gzip
import hashlib
import io
import math
import os
import struct
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minigrad.extras import require
from minigrad.files import BadFile, in_units, open_regular, read_at_most, replacing, unpacked_limit
from minigrad.folders import user_cache


@dataclass(frozen=True)
class Source:
    """Where a dataset's files are published, and the MD5 checksum of each, as published with them."""

    folder: str
    urls: tuple[str, ...]
    checksums: dict[str, str]


MNIST = Source(
    "mnist",
    ("https://ossci-datasets.s3.amazonaws.com/mnist/", "http://yann.lecun.com/exdb/mnist/"),
    {
        "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
        "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
        "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
    },
)
FASHION_MNIST = Source(
    "fashion-mnist",
    ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
    {
        "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
        "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
        "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
    },
)
CIFAR10 = Source(
    "cifar-10",
    ("https://www.cs.toronto.edu/~kriz/",),
    {"cifar-10-binary.tar.gz": "c32a1d4ab5d03f1284b67883e8d87530"},
)


def cache_folder() -> Path:
    """Where downloads are kept: $MINIGRAD_DATA if that is set, else a folder in the user's cache."""
    if os.environ.get("MINIGRAD_DATA"):
        return Path(os.environ["MINIGRAD_DATA"]).expanduser()
    folder = user_cache()
    if folder is None:
        raise OSError("this user has no home folder to keep downloads in: name a folder in $MINIGRAD_DATA")
    return folder


# -- finding files ----------------------------------------------------------------------------------------


def locate(source: Source, file: str, data_dir: str | Path | None, download: bool) -> Path:
    """The path of `file`: in `data_dir` if that is given, else in the cache folder, downloaded if it is not there.

    In `data_dir`, the file may be unpacked (without ".gz"), and may lie in a folder named after the dataset. It may
    be any file in the right format, so its checksum is not compared.

    Raises:
        FileNotFoundError: it is not there, and could not be downloaded.
        BadFile: the file in the cache folder does not have the checksum that it should have.
    """
    if data_dir is not None:
        folder = Path(data_dir).expanduser()
        for candidate in _candidates(folder, source, file):
            if candidate.is_file():
                return candidate
        unpacked = "unpacked, without .gz" if "idx" in file else f"as the unpacked folder {_CIFAR_FOLDER}"
        raise FileNotFoundError(
            f"{file} is not in {folder}. Put it there (packed or {unpacked}), or leave out data_dir to download it. "
            f"It is published at {source.urls[0]}{file}"
        )
    folder = cache_folder() / source.folder
    path = folder / file
    if not path.is_file():
        if not download:
            raise FileNotFoundError(_how_to_get(source, file, folder, "and downloading is switched off"))
        _download(source, file, folder)
    with open_regular(path) as content:
        found = _md5(content)
    if found != source.checksums[file]:
        raise BadFile(
            f"{path} is damaged, or another file of that name: its MD5 checksum is {found}, and it should be "
            f"{source.checksums[file]}. Delete it, and it will be downloaded again; or name its folder as data_dir, "
            "and it will be read as it is."
        )
    return path


def _candidates(folder: Path, source: Source, file: str) -> list[Path]:
    names = [file, file.removesuffix(".gz")] if "idx" in file else [file]
    return [place / name for place in (folder, folder / source.folder) for name in names]


def _md5(file: Any) -> str:
    return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _download(source: Source, file: str, folder: Path) -> None:
    pooch: Any = require("pooch", extra="lab", what=f"downloading {file}")
    reasons = []
    for url in source.urls:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with replacing(folder / file) as content:
                pooch.HTTPDownloader()(url + file, content, None)
                content.seek(0)
                found = _md5(content)
                if found != source.checksums[file]:
                    raise ValueError(f"its MD5 hash is {found}, and should be {source.checksums[file]}")
            return
        except (OSError, ValueError) as error:  # no network, no room on the disk; or a file with another checksum
            reasons.append(f"{url}: {error!s:.200}")
    raise FileNotFoundError(_how_to_get(source, file, folder, "and could not be downloaded", reasons))


def _how_to_get(source: Source, file: str, folder: Path, why: str, reasons: list[str] | None = None) -> str:
    details = "".join(f"\n  tried {reason}" for reason in reasons or ())
    return (
        f"{file} is not in the cache folder, {why}. Get it from {source.urls[0]}{file} on any machine with a network "
        f"and put it into\n  {folder}\nor into a folder that you name as data_dir.{details}"
    )


# -- IDX: MNIST and Fashion-MNIST -------------------------------------------------------------------------

_IDX_TYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}


def read_idx(path: str | Path) -> Any:
    """An array from an IDX file, packed with gzip or not.

    The format: two zero bytes, a byte for the type, a byte for the number of axes, the length of each axis as a
    big-endian 32-bit number, and then the elements, big-endian, in C order.

    Raises:
        BadFile: the file is damaged, or is no IDX file.
    """
    content = _unpacked(Path(path)).getbuffer()
    if len(content) < 4 or content[0] or content[1] or content[2] not in _IDX_TYPES:
        raise BadFile(
            f"{path} is not an IDX file: it begins with the bytes {content[:4].hex(' ') or '(none)'}, and an IDX file "
            f"with 00 00, one of {', '.join(f'{t:02x}' for t in _IDX_TYPES)}, and the number of axes"
        )
    dtype, ndim = np.dtype(_IDX_TYPES[content[2]]), content[3]
    start = 4 + 4 * ndim
    if len(content) < start:
        raise BadFile(f"{path} is damaged: it ends within its header, after {len(content)} bytes")
    shape = struct.unpack(f">{ndim}I", content[4:start])
    expected = math.prod(shape) * dtype.itemsize
    if len(content) - start != expected:
        raise BadFile(
            f"{path} is damaged: its header announces {expected:,} bytes for the shape {shape!s:.80}, and there are "
            f"{len(content) - start:,}"
        )
    try:
        return np.frombuffer(content, np.uint8)[start:].view(dtype).reshape(shape)
    except ValueError as error:  # more axes than NumPy knows; or no elements, along axes too long for it
        raise BadFile(f"{path} is damaged: its header announces the shape {shape!s:.80} ({error})") from error


def _unpacked(path: Path) -> io.BytesIO:
    """The content of a file, packed with gzip or not."""
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        if not packed:
            return read_at_most(file, size)
        try:
            with gzip.open(file) as unpacked:
                return read_at_most(unpacked, unpacked_limit(size))
        except OSError as error:
            if error.errno is not None:  # the disk's, not the file's
                raise
            raise BadFile(f"{path} is damaged: it cannot be unpacked with gzip ({error})") from error
        except Exception as error:  # whatever a stranger's bytes may lead gzip to
            raise BadFile(f"{path} is damaged: it cannot be unpacked with gzip ({error})") from error


def to_unit(pixels: Any) -> Any:
    """Bytes from 0 to 255 as float32 from 0 to 1."""
    return np.divide(pixels, 255, dtype=np.float32)


# -- CIFAR-10 ---------------------------------------------------------------------------------------------

_CIFAR_SHAPE = (3, 32, 32)
_CIFAR_ARCHIVE, _CIFAR_FOLDER = "cifar-10-binary.tar.gz", "cifar-10-batches-bin"
_CIFAR_PICKLED = ("cifar-10-python.tar.gz", "cifar-10-batches-py", "data_batch_1")
_CIFAR_BATCHES = ([f"data_batch_{i}.bin" for i in range(1, 6)], ["test_batch.bin"])


def read_cifar10(data_dir: str | Path | None, download: bool) -> list[tuple[Any, Any]]:
    """[(training images, labels), (test images, labels)] from the binary version of CIFAR-10.

    `data_dir` may hold the archive, or the folder `cifar-10-batches-bin` that was unpacked from it; or be that folder.

    Raises:
        FileNotFoundError, BadFile: as `locate`; or the files are damaged.
    """
    if data_dir is not None:
        folder = Path(data_dir).expanduser()
        for place in (folder, folder / CIFAR10.folder):
            for candidate in (place, place / _CIFAR_FOLDER):
                if (candidate / _CIFAR_BATCHES[0][0]).is_file():
                    return _parts(_read_folder(candidate), candidate)
            if (place / _CIFAR_ARCHIVE).is_file():
                return _parts(_read_archive(place / _CIFAR_ARCHIVE), place / _CIFAR_ARCHIVE)
        pickled = [folder / name for name in _CIFAR_PICKLED if (folder / name).exists()]
        if pickled:
            raise FileNotFoundError(
                f"{pickled[0]} consists of pickles, which can run programs when they are opened, and is not read. Put "
                f"{_CIFAR_ARCHIVE} there, which holds the same images: {CIFAR10.urls[0]}{_CIFAR_ARCHIVE}"
            )
    path = locate(CIFAR10, _CIFAR_ARCHIVE, data_dir, download)
    return _parts(_read_archive(path), path)


def _read_folder(folder: Path) -> dict[str, Any]:
    paths = [folder / name for names in _CIFAR_BATCHES for name in names]
    return {path.name: _unpacked(path).getbuffer() for path in paths if path.is_file()}


def _read_archive(path: Path) -> dict[str, Any]:
    """The batches in an archive, by name. They are parts of the unpacked archive, which is in memory once."""
    unpacked = _unpacked(path)
    content = unpacked.getbuffer()
    batches: dict[str, Any] = {}
    try:
        with tarfile.open(fileobj=unpacked, mode="r:") as archive:
            for member in archive:
                name = member.name.rpartition("/")[2]
                if not any(name in names for names in _CIFAR_BATCHES):
                    continue
                end = member.offset_data + member.size
                if not member.isfile() or member.issparse() or member.size < 0 or end > len(content):
                    raise ValueError(f"{name} announces {in_units(member.size)} that are not there")
                if name in batches:
                    raise ValueError(f"{name} is there twice")
                batches[name] = content[member.offset_data : end]
    except Exception as error:  # whatever a stranger's bytes may lead tarfile to
        raise BadFile(f"{path} is damaged: it cannot be read as a tar.gz archive ({error!s:.200})") from error
    return batches


def _parts(contents: dict[str, Any], path: Path) -> list[tuple[Any, Any]]:
    parts = []
    for names in _CIFAR_BATCHES:
        missing = [name for name in names if name not in contents]
        if missing:
            raise BadFile(f"{path} is not complete: {', '.join(missing)} is missing")
        batches = [_read_batch(contents[name], f"{name} in {path}") for name in names]
        # Bytes become floats batch by batch, in their final place: a training set of 600 MB is not held twice.
        images = np.empty((sum(len(x) for x, _ in batches), *_CIFAR_SHAPE), np.float32)
        end = 0
        for x, _ in batches:
            np.divide(x, 255, out=images[end : end + len(x)], casting="unsafe")
            end += len(x)
        parts.append((images, np.concatenate([y for _, y in batches]).astype(np.int64)))
    return parts


def _read_batch(content: Any, where: str) -> tuple[Any, Any]:
    """Records of one byte for the label and 3072 for the pixels, colour by colour, row by row."""
    size = 1 + math.prod(_CIFAR_SHAPE)
    if not len(content) or len(content) % size:
        raise BadFile(f"{where} is damaged: it has {len(content)} bytes, no multiple of {size}, a record's size")
    records = np.frombuffer(content, np.uint8).reshape(-1, size)
    labels = records[:, 0]
    if labels.max() > 9:
        raise BadFile(f"{where}: labels go from {labels.min()} to {labels.max()}; CIFAR-10 has the classes 0 to 9")
    return records[:, 1:].reshape(-1, *_CIFAR_SHAPE), labels
