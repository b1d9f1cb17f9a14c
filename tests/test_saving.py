"""`mg.save` and `mg.load`: paths and file objects, and files that are damaged, hostile, or of another kind."""

import contextlib
import io
import json
import os
import random
import struct
import tracemalloc
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn

DATA = {
    "w": mg.ones(16, 64),
    "n": [1, (2.5, None, "x"), float("inf")],
    "a": {"b": np.arange(3), 7: mg.tensor(True)},
    "e": mg.zeros(0, 3),
}


def same(a: Any, b: Any) -> bool:
    """The same types, dtypes, shapes and bytes."""
    if type(a) is not type(b):
        return False
    if isinstance(a, mg.Tensor):
        a, b = a.numpy(), b.numpy()
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def saved(obj: Any = DATA) -> bytes:
    file = io.BytesIO()
    mg.save(obj, file)
    return file.getvalue()


def numpys(write: Any = np.savez, **arrays: Any) -> bytes:
    file = io.BytesIO()
    write(file, **arrays)
    return file.getvalue()


def archive(*members: tuple[str, Any], method: int = zipfile.ZIP_STORED) -> bytes:
    """A zip archive whose checksums are right, whatever it holds."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as written, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # two members of one name
        for name, content in members:
            written.writestr(name, content)
    return file.getvalue()


def structured(structure: Any, *members: tuple[str, Any], method: int = zipfile.ZIP_STORED) -> bytes:
    text = structure if isinstance(structure, str | bytes) else json.dumps(structure)
    return archive(("structure.json", text), *members, method=method)


def npy(array: Any = None, header: str | None = None, content: bytes = b"", version: int = 1) -> bytes:
    if header is None:
        file = io.BytesIO()
        np.save(file, np.asarray(array), allow_pickle=True)
        return file.getvalue()
    text = header.encode("latin1")
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H" if version == 1 else "<I", len(text)) + text + content


def refused(content: bytes, **options: Any) -> str:
    with pytest.raises(mg.BadFile) as caught:
        mg.load(io.BytesIO(content), **options)
    message = str(caught.value)
    assert message.startswith("load: the BytesIO ") and "\n" not in message
    return message


# -- damage -----------------------------------------------------------------------------------------------


def damages(whole: bytes) -> Iterator[bytes]:
    for i in range(len(whole)):
        yield whole[:i]
        if i:
            yield whole[i:]
        for bit in range(8):
            broken = bytearray(whole)
            broken[i] ^= 1 << bit
            yield bytes(broken)


FILES = {
    "mg.save": saved({"w": mg.ones(2, 8), "l": [1, ("x", None)], "n": np.arange(2), "e": mg.zeros(0)}),
    "mg.save of one tensor": saved(mg.ones(14, 4)),
    "mg.save without an array": saved({"a": 1}),
    "numpy.savez": numpys(a=np.arange(6.0).reshape(2, 3), b=np.asfortranarray(np.arange(6).reshape(2, 3))),
    "numpy.savez_compressed": numpys(np.savez_compressed, a=np.ones((16, 64)), b=np.array([True, False])),
}


@pytest.mark.parametrize("kind", FILES)
def test_every_flipped_bit_and_every_cut_is_noticed_or_changes_nothing(kind):
    whole = FILES[kind]
    content, noticed = mg.load(io.BytesIO(whole)), 0
    for broken in damages(whole):
        try:
            loaded = mg.load(io.BytesIO(broken))
        except mg.BadFile:
            noticed += 1
        else:  # a date, say, was hit
            assert same(loaded, content), "a damaged file was believed"
    assert noticed > 6 * len(whole)


TOKENS = rb"""{ } [ ] ( ) '<f4' 'O' True -1 99999999999999 lambda # "dict" "items" null NaN '|b1' ''' \N{x}""".split()
TOKENS += [b"\0", b"\xff", b"\n", b"(" * 200, b"[" * 2000, b"'(9,)f8'"]


@pytest.mark.parametrize("seed", range(4))
def test_whatever_is_in_an_archive_whose_checksums_are_right(seed):
    """Strangers compute checksums: headers and structure are spoiled, and the archive made around them."""
    rng = random.Random(seed)
    with zipfile.ZipFile(io.BytesIO(FILES["mg.save"])) as whole:
        members = [(info.filename, whole.read(info)) for info in whole.infolist()]
    outcomes = {"read": 0, "refused": 0}
    for _ in range(400):
        spoiled = list(members)
        which = rng.randrange(len(spoiled))
        name, content = spoiled[which]
        head = bytearray(content[:128] if name.endswith(".npy") else content)
        for _ in range(rng.choice([1, 1, 2, 4])):
            i = rng.randrange(len(head))
            head[i : i + rng.choice([0, 1, 2, 8])] = rng.choice([bytes([rng.randrange(256)]), rng.choice(TOKENS), b""])
        spoiled[which] = (name, bytes(head) + (content[128:] if name.endswith(".npy") else b""))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python's about strange headers
            try:
                mg.load(io.BytesIO(archive(*spoiled, method=rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]))))
                outcomes["read"] += 1
            except mg.BadFile:
                outcomes["refused"] += 1
    assert outcomes["refused"] > 100


HEADERS = {
    "a token that does not end": "{'descr': '<f4', 'fortran_order': False, 'shape': (3",
    "no Python": "{'descr': '<f4' 'fortran_order'? False}",
    "a call": "{'descr': print(1), 'fortran_order': False, 'shape': (3,)}",
    "brackets without end": "{'descr': '<f4', 'fortran_order': False, 'shape': " + "(" * 9000 + "}",
    "minus signs without end": "{'descr': '<f4', 'fortran_order': False, 'shape': (" + "-" * 9000 + "3,)}",
    "too long": "{'descr': '<f4', 'fortran_order': False, 'shape': (3,)}" + " " * 20_000,
    "objects": "{'descr': '|O', 'fortran_order': False, 'shape': (3,)}",
    "dates": "{'descr': '<M8[s]', 'fortran_order': False, 'shape': (3,)}",
    "text": "{'descr': '<U9', 'fortran_order': False, 'shape': (3,)}",
    "complex numbers": "{'descr': '<c8', 'fortran_order': False, 'shape': (3,)}",
    "bytes": "{'descr': '|V4', 'fortran_order': False, 'shape': (3,)}",
    "records": "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (3,)}",
    "records of objects": "{'descr': [('a', '|O')], 'fortran_order': False, 'shape': (3,)}",
    "arrays in arrays": "{'descr': ('<f4', (1000000, 1000000)), 'fortran_order': False, 'shape': (3,)}",
    "an unknown type": "{'descr': '<q9', 'fortran_order': False, 'shape': (3,)}",
    "a negative axis": "{'descr': '<f4', 'fortran_order': False, 'shape': (-3,)}",
    "two negative axes": "{'descr': '<f4', 'fortran_order': False, 'shape': (-3, -1)}",
    "a huge axis": "{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775807,)}",
    "beyond 64 bits": "{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387905, 4)}",
    "nothing of much": "{'descr': '<f4', 'fortran_order': False, 'shape': (0, 9223372036854775807, 2147483647)}",
    "too many axes": "{'descr': '<f4', 'fortran_order': False, 'shape': (" + "1, " * 99 + ")}",
    "a broken axis": "{'descr': '<f4', 'fortran_order': False, 'shape': (1.5, 2)}",
    "fewer than there are": "{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}",
    "more than there are": "{'descr': '<f4', 'fortran_order': False, 'shape': (4,)}",
    "another width": "{'descr': '<f8', 'fortran_order': False, 'shape': (3,)}",
    "no shape": "{'descr': '<f4', 'fortran_order': False}",
    "a fourth entry": "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), 'more': 1}",
    "a zero byte": "{'descr': '<f4', \0}",
    "empty": "",
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("kind", HEADERS)
def test_headers_of_arrays(kind, version):
    member = npy(header=HEADERS[kind], content=bytes(12), version=version)
    assert "'x.npy'" in refused(archive(("x.npy", member)))
    refused(structured({"kind": "tensor", "name": "x"}, ("x.npy", member)))


@pytest.mark.parametrize(
    "member",
    [b"", b"\x93NUM", b"\x93NUMPY\x01\x00", b"\x93NUMPY\x09\x00" + bytes(50), b"PK\x05\x06" + bytes(18), b"{}"],
)
def test_members_that_are_no_arrays(member):
    assert "'x.npy' has no header of a NumPy array" in refused(archive(("x.npy", member)))


def test_booleans_are_0_and_1():
    member = npy(np.array([True, False]))[:-2] + b"\x01\x02"
    assert "booleans other than 0 and 1" in refused(archive(("x.npy", member)))


ONE = ("x.npy", npy(np.zeros(2)))
STRUCTURES: dict[str, tuple[Any, ...]] = {
    "no JSON": ("{",),
    "nothing": ("",),
    "not text": (b"\xff\xfe\xfd",),
    "deep nesting": ("[" * 100_000,),
    "deep nesting of our kind": ('{"kind": "list", "items": [' * 20_000 + "]}" * 20_000,),
    "a long number": ('{"kind": "list", "items": [' + "9" * 5000 + "]}",),
    "a list": ([1, 2],),
    "an unknown kind": ({"kind": "module", "items": []},),
    "no kind": ({"items": []},),
    "a kind that is no text": ({"kind": ["dict"], "items": []},),
    "no items": ({"kind": "dict"},),
    "items that are text": ({"kind": "list", "items": "ab"},),
    "items that are a number": ({"kind": "tuple", "items": 3},),
    "pairs of three": ({"kind": "dict", "items": [["a", 1, 2]]},),
    "a key that is a list": ({"kind": "dict", "items": [[["a"], 1]]},),
    "a key twice": ({"kind": "dict", "items": [["a", 1], ["a", 2]]},),
    "an array that is not there": ({"kind": "tensor", "name": "y"}, ONE),
    "a name that is a number": ({"kind": "tensor", "name": 3}, ONE),
    "no name": ({"kind": "array"}, ONE),
    "the same array twice": ({"kind": "list", "items": [{"kind": "tensor", "name": "x"}] * 2}, ONE),
    "an array that nobody asks for": ({"kind": "list", "items": []}, ONE),
    "the structure as an array": ({"kind": "tensor", "name": "structure.json"[:-4]}, ONE),
    "another member": ({"kind": "tensor", "name": "x"}, ONE, ("setup.py", "print(1)")),
}


@pytest.mark.parametrize("kind", STRUCTURES)
def test_structures(kind):
    refused(structured(*STRUCTURES[kind]))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.0, 10**4000, "\ud800", True])
def test_what_json_can_hold_beyond_its_standard(value):
    assert repr(mg.load(io.BytesIO(saved([value])))) == repr([value])


def test_two_members_of_one_name():
    assert "same name" in refused(archive(ONE, ONE))
    assert "same name" in refused(structured({"kind": "tensor", "name": "x"}, ONE, ONE))


def test_an_archive_in_an_archive():
    assert "other things than arrays" in refused(archive(("inner.npz", numpys(a=np.ones(2)))))
    assert "no header" in refused(archive(("inner.npy", numpys(a=np.ones(2)))))


@pytest.mark.parametrize("name", ["../../x.npy", "/etc/x.npy", "a//b.npy", "c:\\x.npy", ".npy", "a/.npy"])
def test_names_that_are_paths_are_only_names(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    assert list(mg.load(io.BytesIO(archive((name, ONE[1]))))) == [name.removesuffix(".npy")]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_packings_are_not_unpacked(method):
    content = archive(ONE, method=method)
    assert "packed by a method" in refused(content)
    broken = bytearray(content)
    broken[45:60] = bytes(15)
    refused(bytes(broken))


def test_an_encrypted_member():
    content = bytearray(archive(ONE))
    content[content.index(b"PK\x01\x02") + 8] |= 1
    assert "encrypted" in refused(bytes(content))


# -- sizes ------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def at_most(mebibytes: float) -> Iterator[None]:
    """Python and NumPy ask for no more memory than this inside."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < mebibytes * 2**20, f"{peak / 2**20:.0f} MiB"


def zeros(size: int) -> bytes:
    """Raw deflate of zeros, made without holding them."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block, parts = bytes(1 << 22), []
    for _ in range(size >> 22):
        parts.append(packer.compress(block))
    return b"".join([*parts, packer.compress(bytes(size % (1 << 22))), packer.flush()])


def bomb(name: str, size: int, packed: bytes, crc: int = 0) -> bytes:
    """An archive with one packed member, which announces any size."""
    wide = struct.pack("<HHQQ", 1, 16, size, len(packed))
    rest = struct.pack("<HHHHHIIIHH", 45, 0, 8, 0, 33, crc, 0xFFFFFFFF, 0xFFFFFFFF, len(name), len(wide))
    local = b"PK\x03\x04" + rest + name.encode() + wide + packed
    entry = b"PK\x01\x02" + struct.pack("<H", 45) + rest + struct.pack("<HHHII", 0, 0, 0, 0, 0) + name.encode() + wide
    return local + entry + b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 1, 1, len(entry), len(local), 0)


def test_a_small_file_does_not_become_a_large_array():
    packed = zeros(512 << 20)
    content = bomb("x.npy", 512 << 20, packed)
    assert len(content) < 1 << 20
    with at_most(4):
        assert "takes 537 MB of memory; the limit is 268 MB" in refused(content)
    with at_most(4):
        refused(bomb("structure.json", 512 << 20, packed))
    with at_most(4):
        refused(bomb("x.npy", 8 << 40, packed))  # nor one that announces more than it has


def test_a_structure_does_not_become_a_large_list():
    content = structured("[" + "[]," * 10_000_000 + "[]]", method=zipfile.ZIP_DEFLATED)
    with at_most(4):
        assert "max_bytes" in refused(content)


@pytest.mark.parametrize("size", [0, 1, 100, 128 + 79, 128 + 81, 2**31, 2**62])
def test_announced_sizes_that_lie(size):
    member = npy(np.arange(10.0))
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(member) + packer.flush()
    assert same(
        mg.load(io.BytesIO(bomb("x.npy", len(member), packed, zlib.crc32(member)))), {"x": mg.arange(10.0).double()}
    )
    with at_most(4):
        refused(bomb("x.npy", size, packed, zlib.crc32(member)))
        refused(bomb("x.npy", size, packed, zlib.crc32(member[:size])), max_bytes=2**63)


def test_a_header_that_announces_more_than_the_member_has():
    for shape in ((10**9,), (10**6, 10**6), (3, 2**40)):
        header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}"
        with at_most(4):
            assert "announces the shape" in refused(archive(("x.npy", npy(header=header, content=bytes(80)))))


def test_the_limit_can_be_moved():
    content = numpys(np.savez_compressed, a=np.zeros(40_000_000))  # 320 MB of nothing: 300 kB in the file
    message = refused(content)
    limit = int(message.rpartition("max_bytes=")[2])
    assert mg.load(io.BytesIO(content), max_bytes=limit)["a"].shape == (40_000_000,)
    refused(content, max_bytes=limit - 1)
    refused(saved(mg.ones(100)), max_bytes=300)


def test_a_damaged_header_is_not_believed_even_if_it_is_smaller(tmp_path):
    """One flipped bit makes (16, 64) a (14, 64): the rest of the member, and its checksum, must be asked."""
    path = tmp_path / "net"
    mg.save({"w": mg.ones(16, 64)}, path)
    content = bytearray(path.read_bytes())
    at = content.index(b"(16, 64)") + 2
    content[at] ^= ord("6") ^ ord("4")
    path.write_bytes(content)
    with pytest.raises(mg.BadFile, match=r"net is damaged.*announces the shape \(14, 64\)"):
        mg.load(path)


# -- files of other kinds ---------------------------------------------------------------------------------


def test_the_error_is_one_and_names_the_path(tmp_path):
    assert issubclass(mg.BadFile, ValueError)
    path = tmp_path / "some.file"
    for content in (b"", b"x", b"hello, world", bytes(100), b"PK\x03\x04", os.urandom(50), saved()[:-1]):
        path.write_bytes(content)
        with pytest.raises(mg.BadFile) as caught:
            mg.load(path)
        assert str(caught.value).startswith(f"load: {path} ")


def test_what_is_not_there_or_no_file_is_the_systems_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        mg.load(tmp_path / "none")
    with pytest.raises(IsADirectoryError):
        mg.load(tmp_path)
    with pytest.raises(NotADirectoryError):
        mg.load(Path(__file__) / "x")


@pytest.mark.skipif(os.name != "posix", reason="pipes of POSIX")
def test_a_pipe_or_device_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero"):
        with pytest.raises(mg.BadFile, match=f"load: {path} is a pipe or a device"):
            mg.load(path)


@pytest.mark.parametrize(
    "content, message",
    [
        (
            archive(("net/data.pkl", b"\x80\x02}q\x00."), ("net/version", "3\n")),
            r"was written by torch\.save.*numpy\.savez",
        ),
        (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", r"perhaps one that was written by torch\.save.*numpy\.savez"),
        (b"\x80\x04\x95\x05\x00\x00\x00\x00\x00\x00\x00}\x94.", "is a pickle"),
        (npy(np.ones(3)), r"numpy\.load"),
        (b"\x89HDF\r\n\x1a\n" + bytes(90), "h5py"),
        (
            struct.pack("<Q", 60) + b'{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}      ' + bytes(4),
            "safetensors",
        ),
        (archive(("word/document.xml", "<xml/>")), "other things than arrays"),
    ],
)
def test_well_known_files_of_others(tmp_path, content, message):
    path = tmp_path / "net.pt"
    path.write_bytes(content)
    with pytest.raises(mg.BadFile, match=message):
        mg.load(path)


def test_arrays_of_other_programs():
    short = "{'shape': (2,), 'fortran_order': False, 'descr': '<i2'}\n"
    content = archive(
        ("big.npy", npy(np.arange(4, dtype=">f4"))),
        ("fortran.npy", npy(np.asfortranarray(np.arange(6).reshape(2, 3)))),
        (
            "wide.npy",
            npy(header=short, content=bytes(4), version=2),
        ),
        ("scalar.npy", npy(np.float64(3))),
    )
    loaded = mg.load(io.BytesIO(content))
    assert loaded["big"].tolist() == [0, 1, 2, 3] and loaded["big"].dtype == np.float32
    assert loaded["big"].numpy().dtype.isnative
    assert loaded["fortran"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert loaded["wide"].tolist() == [0, 0] and loaded["scalar"].item() == 3
    for tensor in loaded.values():
        assert tensor.numpy().flags.writeable


def test_an_empty_archive_of_numpy():
    assert mg.load(io.BytesIO(numpys())) == {}


# -- file objects, and PyTorch's arguments ----------------------------------------------------------------


def test_file_objects(tmp_path):
    memory = io.BytesIO()
    mg.save(DATA, memory)
    memory.seek(0)
    assert same(mg.load(memory), DATA)
    assert memory.tell() == len(memory.getvalue())
    for buffering in (0, -1):
        with open(tmp_path / "x", "wb", buffering=buffering) as file:
            mg.save(DATA, file)
        with open(tmp_path / "x", "rb", buffering=buffering) as file:
            assert same(mg.load(file), DATA)
    assert (tmp_path / "x").read_bytes() == memory.getvalue()
    assert same(mg.load(str(tmp_path / "x")), DATA)


def test_file_objects_from_their_present_position(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"header, ")
    with open(path, "ab") as file:  # cannot go back
        mg.save(DATA, file)
    assert path.read_bytes() == b"header, " + saved()
    with open(path, "rb") as file:
        file.seek(8)
        assert same(mg.load(file), DATA)
        file.seek(0)
        with pytest.raises(mg.BadFile):
            mg.load(file)
    with open(path, "r+b") as file:
        file.seek(3)
        mg.save([1], file)
        assert file.tell() == 3 + len(saved([1]))


def test_two_archives_one_after_the_other_are_not_taken_for_one():
    first, second = saved([1]), saved([2])
    file = io.BytesIO(first + second)
    with pytest.raises(mg.BadFile, match=f"begins at byte {len(first)}"):
        mg.load(file)
    file.seek(len(first))
    assert mg.load(file) == [2]


def test_an_archive_that_claims_to_be_empty_is_damaged():
    """Eight bytes of 0 in the last record, over the numbers of members and the size of their list, hide them all."""
    file = io.BytesIO()
    np.savez(file, a=np.arange(3.0))
    data = bytearray(file.getvalue())
    data[-14:-6] = bytes(8)
    with pytest.raises(mg.BadFile):
        mg.load(io.BytesIO(bytes(data)))
    empty = io.BytesIO()
    np.savez(empty)
    empty.seek(0)
    assert mg.load(empty) == {}


def test_something_that_can_only_write():
    class Sink:
        content = b""

        def write(self, data: Any) -> int:
            part = bytes(data[:100])  # as a raw file, it may take a part only
            self.content += part
            return len(part)

    sink = Sink()
    mg.save(DATA, sink)  # type: ignore[arg-type]
    assert sink.content == saved()


def test_file_objects_that_do_not_fit(tmp_path):
    (tmp_path / "x").write_text("text")
    with open(tmp_path / "x", "r+") as text:
        with pytest.raises(TypeError, match='"wb"'):
            mg.save([1], text)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match='"rb"'):
            mg.load(text)  # type: ignore[arg-type]
    for f in (3, None, b"bytes"):
        with pytest.raises(TypeError, match="path or an open binary file"):
            mg.save([1], f)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="path or an open binary file"):
            mg.load(f)  # type: ignore[arg-type]
    read, write = os.pipe()
    os.close(write)
    with open(read, "rb") as pipe, pytest.raises(TypeError, match=r"cannot seek.*BytesIO"):
        mg.load(pipe)


def test_an_error_while_encoding_leaves_the_file_object_alone():
    file = io.BytesIO()
    with pytest.raises(TypeError, match="Linear"):
        mg.save({"a": mg.ones(3), "net": nn.Linear(1, 1)}, file)
    assert file.getvalue() == b""


class Device:
    def __str__(self) -> str:
        return "cpu"


@pytest.mark.parametrize(
    "map_location",
    [
        None,
        "cpu",
        "cpu:0",
        Device(),
        {"cuda:0": "cpu"},
        {"cpu": "cpu"},
        lambda storage, location: storage,
        lambda *_: None,
    ],
)
@pytest.mark.parametrize("weights_only", [None, True, False])
def test_map_location_and_weights_only(map_location, weights_only):
    file = io.BytesIO(saved())
    assert same(mg.load(file, map_location, weights_only=weights_only), DATA)
    file.seek(0)
    assert same(mg.load(file, map_location=map_location), DATA)


@pytest.mark.parametrize(
    "map_location", ["cuda", "cuda:0", "mps", 0, {"cpu": "cuda"}, lambda storage, location: "cuda"]
)
def test_other_devices(map_location):
    with pytest.raises(ValueError, match=r"load: map_location.*CPU") as caught:
        mg.load(io.BytesIO(saved()), map_location=map_location)
    assert not isinstance(caught.value, mg.BadFile)


def test_an_error_in_the_function_is_its_own():
    def function(storage: Any, location: str) -> Any:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        mg.load(io.BytesIO(saved()), map_location=function)


# -- saving -----------------------------------------------------------------------------------------------


def test_lists_that_contain_themselves_or_are_too_deep():
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises(ValueError, match="more than 100 deep"):
        mg.save(circle, io.BytesIO())
    deep: Any = 1
    for _ in range(100):
        deep = {"k": [deep]} if isinstance(deep, int) else [deep]
    assert mg.load(io.BytesIO(saved(deep))) == deep
    with pytest.raises(ValueError, match="more than 100 deep"):
        mg.save([deep], io.BytesIO())
