"""Files of datasets: finding or downloading them, checking them, and reading their formats (IDX, CIFAR-10).

Nothing in a downloaded file is trusted: its checksum is compared, lengths are checked against headers, archives
are read without unpacking them to disk, and pickles may build lists and dictionaries, but call nothing.
"""

import gzip
import hashlib
import io
import os
import pickle
import pickletools
import struct
import sys
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minigrad.extras import require


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
    {
        "cifar-10-python.tar.gz": "c58f30108f718f92721af3b95e74349a",
        "cifar-10-binary.tar.gz": "c32a1d4ab5d03f1284b67883e8d87530",
    },
)


def cache_folder() -> Path:
    """Where downloads are kept: $MINIGRAD_DATA if that is set, else a folder in the user's cache."""
    if os.environ.get("MINIGRAD_DATA"):
        return Path(os.environ["MINIGRAD_DATA"]).expanduser()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or ("~/Library/Caches" if sys.platform == "darwin" else "~/.cache")
    return Path(base).expanduser() / "minigrad"


# -- finding files ----------------------------------------------------------------------------------------


def locate(source: Source, file: str, data_dir: str | Path | None, download: bool) -> Path:
    """The path of `file`: in `data_dir` if that is given, else in the cache folder, downloaded if it is not there.

    In `data_dir`, the file may be unpacked (without ".gz"), and may lie in a folder named after the dataset. It may
    be any file in the right format, so its checksum is not compared.

    Raises:
        FileNotFoundError: it is not there, and could not be downloaded.
        ValueError: the file in the cache folder does not have the checksum that it should have.
    """
    if data_dir is not None:
        folder = Path(data_dir).expanduser()
        for candidate in _candidates(folder, source, file):
            if candidate.is_file():
                return candidate
        raise FileNotFoundError(
            f"{file} is not in {folder}. Put it there (unpacked, without .gz, will do), or leave out data_dir to "
            f"download it. It is published at {source.urls[0]}{file}"
        )
    folder = cache_folder() / source.folder
    path = folder / file
    if not path.is_file():
        if not download:
            raise FileNotFoundError(_how_to_get(source, file, folder, "and downloading is switched off"))
        _download(source, file, folder)
    found = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    if found != source.checksums[file]:
        raise ValueError(
            f"{path} is damaged, or another file of that name: its MD5 checksum is {found}, and it should be "
            f"{source.checksums[file]}. Delete it, and it will be downloaded anew; or name its folder as data_dir to "
            "read it all the same."
        )
    return path


def _candidates(folder: Path, source: Source, file: str) -> list[Path]:
    names = [file, file.removesuffix(".gz")] if "idx" in file else [file]
    return [place / name for place in (folder, folder / source.folder) for name in names]


def _download(source: Source, file: str, folder: Path) -> None:
    pooch: Any = require("pooch", extra="lab", what=f"downloading {file}")
    reasons = []
    for url in source.urls:
        try:
            pooch.retrieve(url + file, known_hash=f"md5:{source.checksums[file]}", fname=file, path=folder)
            return
        except (OSError, ValueError) as error:  # no network; or a file with another checksum
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
        ValueError: the file is damaged, or is no IDX file.
    """
    content = _unpacked(Path(path))
    if len(content) < 4 or content[0] or content[1] or content[2] not in _IDX_TYPES:
        raise ValueError(
            f"{path} is no IDX file: it begins with the bytes {content[:4].hex(' ') or '(none)'}, and an IDX file "
            f"with 00 00, one of {', '.join(f'{t:02x}' for t in _IDX_TYPES)}, and the number of axes"
        )
    dtype, ndim = np.dtype(_IDX_TYPES[content[2]]), content[3]
    start = 4 + 4 * ndim
    if len(content) < start:
        raise ValueError(f"{path} is damaged: it ends within its header, after {len(content)} bytes")
    shape = struct.unpack(f">{ndim}I", content[4:start])
    expected = dtype.itemsize
    for length in shape:
        expected *= length
    if len(content) - start != expected:
        raise ValueError(
            f"{path} is damaged: its header promises {expected} bytes for the shape {shape}, and there are "
            f"{len(content) - start}"
        )
    return np.frombuffer(content, dtype, offset=start).reshape(shape)


def _unpacked(path: Path) -> bytes:
    content = path.read_bytes()
    if not content.startswith(b"\x1f\x8b"):
        return content
    try:
        return gzip.decompress(content)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path} is damaged: it cannot be unpacked with gzip ({error})") from error


def to_unit(pixels: Any) -> Any:
    """Bytes from 0 to 255 as float32 from 0 to 1."""
    return np.divide(pixels, 255, dtype=np.float32)


# -- CIFAR-10 ---------------------------------------------------------------------------------------------

_CIFAR_SHAPE = (3, 32, 32)
# What the unpickler may raise when its instructions are damaged: they are a program, and any step can go wrong.
_BAD_PICKLE = (
    pickle.UnpicklingError,
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    TypeError,
    ValueError,
)
_CIFAR_BATCHES = (["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5"], ["test_batch"])


def read_cifar10(data_dir: str | Path | None, download: bool) -> list[tuple[Any, Any]]:
    """[(training images, labels), (test images, labels)] from the Python or the binary version of CIFAR-10.

    `data_dir` may hold the archive of either version, or a folder of either, unpacked: `cifar-10-batches-py` or
    `cifar-10-batches-bin`; or be such a folder.

    Raises:
        FileNotFoundError, ValueError: as `locate`; or the files are damaged.
    """
    if data_dir is not None:
        folder = Path(data_dir).expanduser()
        for place in (folder, folder / CIFAR10.folder):
            for candidate in (place, place / "cifar-10-batches-py", place / "cifar-10-batches-bin"):
                if (candidate / "data_batch_1").is_file() or (candidate / "data_batch_1.bin").is_file():
                    contents = {p.name: p.read_bytes() for p in candidate.iterdir() if "_batch" in p.name}
                    return _parts(contents, candidate)
            if (place / "cifar-10-binary.tar.gz").is_file():
                return _read_archive(place / "cifar-10-binary.tar.gz")
    return _read_archive(locate(CIFAR10, "cifar-10-python.tar.gz", data_dir, download))


def _read_archive(path: Path) -> list[tuple[Any, Any]]:
    contents = {}
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                name = member.name.rpartition("/")[2]
                file = archive.extractfile(member) if "_batch" in name and member.isfile() else None
                if file is not None:
                    contents[name] = file.read()
    except (tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path} is damaged: it cannot be read as a tar.gz archive ({error})") from error
    return _parts(contents, path)


def _parts(contents: dict[str, bytes], path: Path) -> list[tuple[Any, Any]]:
    suffix = ".bin" if "data_batch_1.bin" in contents else ""
    read = _read_binary_batch if suffix else _read_pickled_batch
    parts = []
    for names in _CIFAR_BATCHES:
        missing = [name + suffix for name in names if name + suffix not in contents]
        if missing:
            raise ValueError(f"{path} is not complete: {', '.join(missing)} is missing")
        batches = [read(contents[name + suffix], f"{name}{suffix} in {path}") for name in names]
        # Bytes become floats batch by batch, in their final place: a training set of 600 MB is not held twice.
        images = np.empty((sum(len(x) for x, _ in batches), *_CIFAR_SHAPE), np.float32)
        end = 0
        for x, _ in batches:
            np.divide(x, 255, out=images[end : end + len(x)], casting="unsafe")
            end += len(x)
        parts.append((images, np.concatenate([y for _, y in batches]).astype(np.int64)))
    return parts


def _read_binary_batch(content: bytes, where: str) -> tuple[Any, Any]:
    """Records of one byte for the label and 3072 for the pixels, colour by colour, row by row."""
    size = 1 + 3072
    if not content or len(content) % size:
        raise ValueError(f"{where} is damaged: it has {len(content)} bytes, no multiple of {size}, a record's size")
    records = np.frombuffer(content, np.uint8).reshape(-1, size)
    return _checked(records[:, 1:], records[:, 0], where)


def _read_pickled_batch(content: bytes, where: str) -> tuple[Any, Any]:
    """A pickled dictionary with b"data", bytes of shape (N, 3072), and b"labels", a list of N numbers."""
    try:
        _check_instructions(content)
        batch = _InertUnpickler(io.BytesIO(content), encoding="bytes").load()
        if isinstance(batch, dict):  # Python 3 writes names as text
            batch = {key.encode() if isinstance(key, str) else key: value for key, value in batch.items()}
        if not isinstance(batch, dict) or b"data" not in batch or b"labels" not in batch:
            raise ValueError("it should be a dictionary with b'data' and b'labels'")
        data, labels = (v.array() if isinstance(v, _Pickled) else v for v in (batch[b"data"], batch[b"labels"]))
        labels = np.asarray(labels)
    except _BAD_PICKLE as error:
        raise ValueError(f"{where} is damaged, or no batch of CIFAR-10: {error}") from error
    return _checked(data, labels, where)


def _checked(data: Any, labels: Any, where: str) -> tuple[Any, Any]:
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.ndim != 2 or data.shape[1] != 3072:
        found = f"{data.dtype}{list(data.shape)}" if isinstance(data, np.ndarray) else type(data).__name__
        raise ValueError(f"{where}: the images should be uint8[N, 3072], and are {found}")
    if labels.shape != (len(data),) or labels.dtype.kind not in "iu":
        found = f"{labels.dtype}{list(labels.shape)}"
        raise ValueError(f"{where}: {len(data)} images need as many labels, and those are {found}")
    if labels.size and not 0 <= labels.min() <= labels.max() <= 9:
        raise ValueError(f"{where}: labels go from {labels.min()} to {labels.max()}; CIFAR-10 has the classes 0 to 9")
    return data.reshape(-1, *_CIFAR_SHAPE), labels


def _check_instructions(content: bytes) -> None:
    """A damaged number in a pickle can ask for a table of many gigabytes, so look before it is run."""
    for instruction, argument, _ in pickletools.genops(content):
        if "BYTEARRAY" in instruction.name or ("PUT" in instruction.name and int(argument or 0) >= 1 << 20):
            raise pickle.UnpicklingError(f"it has the instruction {instruction.name} {argument!r:.20}")


class _Pickled:
    """Stands for a NumPy array or dtype in a pickle: keeps what it was made of.

    NumPy's own classes would believe a dtype's flags, which damaged or hostile files set to anything: reading such
    a file with them can crash the interpreter, or worse.
    """

    state: Any = None

    def __init__(self, *arguments: Any):
        self.arguments = arguments

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def array(self) -> Any:
        """The array, if it is one of bytes."""
        _, shape, dtype, is_fortran, content = self.state
        if dtype.arguments[0] not in ("u1", b"u1") or not isinstance(content, bytes):
            raise ValueError("its array does not hold bytes")
        return np.frombuffer(content, np.uint8).reshape(shape, order="F" if is_fortran else "C")


def _latin1(text: str, encoding: str) -> bytes:
    """How Python 3 writes bytes in Python 2's pickles: as the text with these character codes."""
    if not isinstance(text, str) or encoding != "latin1":
        raise pickle.UnpicklingError(f"it encodes {type(text).__name__} as {encoding!r:.20}")
    return text.encode("latin1")


class _InertUnpickler(pickle.Unpickler):
    """Unpickles numbers, text, lists and dictionaries, and `_Pickled`. Any other pickle could run any program."""

    _KNOWN = (
        ("numpy", "ndarray"),
        ("numpy", "dtype"),
        ("numpy.core.multiarray", "_reconstruct"),
        ("numpy._core.multiarray", "_reconstruct"),  # since NumPy 2
    )

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in self._KNOWN:
            return _Pickled
        if (module, name) == ("_codecs", "encode"):
            return _latin1
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, and a batch of images needs only NumPy arrays")
