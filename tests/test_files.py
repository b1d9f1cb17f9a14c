"""`minigrad.files`: writing all or nothing, by many at once, under faults; and what dead writers leave behind."""

import errno
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import files

ROOT = Path(__file__).resolve().parent.parent
posix = pytest.mark.skipif(os.name != "posix", reason="permissions, links and locks of POSIX")


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def writers(path: Path) -> list[Any]:
    """Every way to write a file to a path, each as a function without arguments."""
    tensors = {"w": mg.ones(2, 3)}
    figure = mg.viz.filters(mg.nn.Conv2d(1, 2, 3))
    return [
        lambda: files.write(path, b"x"),
        lambda: mg.save(tensors, path),
        lambda: figure.save(path.with_suffix(".svg")),
        lambda: files.write_arrays(path.with_suffix(".npz"), a=np.ones(3)),
    ]


# -- several writers --------------------------------------------------------------------------------------


def test_threads_that_write_to_one_path_never_tear_it(tmp_path):
    path = tmp_path / "state.npz"
    mg.save({"w": mg.zeros(20_000)}, path)
    stop, errors = threading.Event(), []

    def work(number: int) -> None:
        try:
            for _ in range(12):
                mg.save({"w": mg.full((20_000,), number)}, path)
        except BaseException as error:
            errors.append(error)

    def read() -> None:
        try:
            while not stop.is_set():
                values = mg.load(path)["w"].numpy()
                assert (values == values[0]).all()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(1, 6)]
    reader = threading.Thread(target=read)
    for thread in [reader, *threads]:
        thread.start()
    for thread in threads:
        thread.join()
    stop.set()
    reader.join()
    assert not errors
    assert names(tmp_path) == ["state.npz"]


@posix
def test_processes_that_write_to_one_path(tmp_path):
    code = "import sys, minigrad.files as f\nfor _ in range(60): f.write(sys.argv[1], sys.argv[2].encode() * 50_000)"
    path = tmp_path / "x"
    running = [subprocess.Popen([sys.executable, "-c", code, str(path), letter], cwd=ROOT) for letter in "abcd"]
    while any(process.poll() is None for process in running):
        if path.exists():
            assert len(set(path.read_bytes())) == 1 and path.stat().st_size == 50_000
    assert [process.returncode for process in running] == [0] * 4
    assert names(tmp_path) == ["x"]


# -- names ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["n" * 255, "n" * 251 + ".npz", "γ" * 127, ".", "a b\n", "-x"])
def test_every_name_that_the_system_takes(tmp_path, name):
    if name == ".":
        name = ".hidden"
    mg.save({"a": 1}, tmp_path / name)
    assert mg.load(tmp_path / name) == {"a": 1}
    assert names(tmp_path) == [name]


def test_a_path_without_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mg.save({"a": 1}, "x")
    mg.save({"a": 2}, "./x")
    assert mg.load("x") == {"a": 2} and names(tmp_path) == ["x"]


@pytest.mark.parametrize("which", range(4))
def test_a_folder_that_is_not_there_is_named(tmp_path, which):
    with pytest.raises(FileNotFoundError) as caught:
        writers(tmp_path / "none" / "x")[which]()
    assert str(tmp_path / "none" / "x") in str(caught.value)


def test_a_folder_is_not_replaced(tmp_path):
    (tmp_path / "x").mkdir()
    with pytest.raises(IsADirectoryError, match="x"):
        mg.save({"a": 1}, tmp_path / "x")
    assert names(tmp_path) == ["x"]


# -- to the disk, and under faults ------------------------------------------------------------------------


@posix
@pytest.mark.parametrize("which", range(4))
def test_the_content_is_synced_then_renamed_then_the_folder_is_synced(tmp_path, monkeypatch, which):
    events = []

    def fsync(descriptor: int, real: Any = os.fsync) -> None:
        folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        events.append(("sync folder" if folder else "sync file", os.fstat(descriptor).st_size if not folder else None))
        real(descriptor)

    def replace(a: str, b: str, real: Any = os.replace) -> None:
        events.append(("rename", os.stat(a).st_size))
        real(a, b)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    writers(tmp_path / "x")[which]()
    (file,) = tmp_path.iterdir()
    size = file.stat().st_size
    assert events == [("sync file", size), ("rename", size), ("sync folder", None)]


@posix
@pytest.mark.parametrize("size", [0, 1, 4096, 100_000])
@pytest.mark.parametrize("which", [0, 1])
def test_a_full_disk_leaves_the_old_file(tmp_path, which, size):
    """The system is told to refuse files beyond a size, as a full disk would."""
    path = tmp_path / "x"
    mg.save({"old": 1}, path)
    code = f"""
import resource, signal, sys
import minigrad as mg
from minigrad import files
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))
try:
    if {which}:
        mg.save({{"w": mg.zeros(100_000)}}, sys.argv[1])
    else:
        files.write(sys.argv[1], b"x" * 200_000)
except OSError as error:
    assert sys.argv[1] in str(error), error
    print("refused", error.errno)
"""
    result = subprocess.run([sys.executable, "-c", code, str(path)], cwd=ROOT, capture_output=True, text=True)
    assert (result.stdout, result.stderr) == (f"refused {errno.EFBIG}\n", "")
    assert mg.load(path) == {"old": 1}
    assert names(tmp_path) == ["x"]


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), OSError(errno.EIO, "broken", "elsewhere")])
def test_an_error_in_the_block_leaves_the_old_file_and_stays_what_it_is(tmp_path, error):
    files.write(tmp_path / "x", b"old")
    with pytest.raises(type(error)) as caught, files.replacing(tmp_path / "x") as file:
        file.write(b"new")
        raise error
    assert caught.value is error
    assert (tmp_path / "x").read_bytes() == b"old" and names(tmp_path) == ["x"]


def test_what_cannot_be_renamed_leaves_nothing(tmp_path, monkeypatch):
    def replace(a: str, b: str) -> None:
        raise PermissionError(errno.EACCES, "no", a)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(PermissionError) as caught:
        files.write(tmp_path / "x", b"new")
    assert caught.value.filename == str(tmp_path / "x")
    assert names(tmp_path) == []


# -- permissions, links, pipes ----------------------------------------------------------------------------


@posix
def test_a_new_file_has_the_permissions_that_open_gives(tmp_path):
    before = os.umask(0o027)
    try:
        files.write(tmp_path / "a", b"x")
        (tmp_path / "b").write_bytes(b"x")
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


@posix
@pytest.mark.parametrize("mode", [0o600, 0o664, 0o755])
def test_an_old_files_permissions_stay_and_are_never_wider(tmp_path, mode):
    path = tmp_path / "x"
    path.write_bytes(b"old")
    path.chmod(mode)
    with files.replacing(path) as file:
        (temporary,) = [p for p in tmp_path.iterdir() if p != path]
        assert stat.S_IMODE(temporary.stat().st_mode) == mode
        file.write(b"new")
    assert stat.S_IMODE(path.stat().st_mode) == mode and path.read_bytes() == b"new"


@posix
def test_a_protected_file_stays(tmp_path, monkeypatch):
    path = tmp_path / "x"
    path.write_bytes(b"old")
    path.chmod(0o444)
    if os.access(path, os.W_OK):  # the superuser may write to it
        monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(PermissionError, match="x"):
        mg.save({"a": 1}, path)
    assert path.read_bytes() == b"old" and names(tmp_path) == ["x"]


@posix
@pytest.mark.parametrize("there", [True, False])
def test_a_link_stays_a_link(tmp_path, there):
    (tmp_path / "data").mkdir()
    (tmp_path / "links").mkdir()
    if there:
        (tmp_path / "data" / "v1").write_bytes(b"old")
    link = tmp_path / "links" / "latest"
    link.symlink_to("../data/v1")
    files.write(link, b"new")
    assert link.is_symlink() and (tmp_path / "data" / "v1").read_bytes() == b"new"
    assert names(tmp_path / "data") == ["v1"] and names(tmp_path / "links") == ["latest"]


@posix
def test_a_circle_of_links_is_an_error(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OSError, match="a"):
        files.write(tmp_path / "a", b"x")
    assert names(tmp_path) == ["a", "b"]


@posix
def test_a_pipe_is_written_to_and_not_replaced(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    files.write(pipe, b"through")
    reader.join()
    assert read == [b"through"] and stat.S_ISFIFO(pipe.stat().st_mode)
    files.write("/dev/null", b"x")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


# -- what dead writers leave ------------------------------------------------------------------------------

HALF = """
import sys, time
from minigrad import files
with files.replacing(sys.argv[1]) as file:
    file.write(b"half")
    file.flush()
    print("writing", flush=True)
    time.sleep(600)
"""


def start_writer(path: Path) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-c", HALF, str(path)], cwd=ROOT, stdout=subprocess.PIPE, text=True, bufsize=1
    )
    assert process.stdout is not None and process.stdout.readline() == "writing\n"
    return process


@posix
def test_the_next_write_removes_what_a_killed_one_left_and_nothing_of_the_living(tmp_path):
    dead, living = start_writer(tmp_path / "x"), start_writer(tmp_path / "x")
    try:
        living.send_signal(signal.SIGSTOP)  # idle for however long, it lives
        assert len(names(tmp_path)) == 2
        dead.kill()
        dead.wait()
        left = names(tmp_path)
        assert len(left) == 2, "the killed writer left nothing, so this test says nothing"
        old = time.time() - 10 * files.ABANDONED
        for name in left:
            os.utime(tmp_path / name, (old, old))
        with files.replacing(tmp_path / "another") as file:  # this process is a living writer as well
            file.write(b"x")
            files.write(tmp_path / "third", b"y")
            assert len(names(tmp_path)) == 3  # "third", and the files of the two living ones
        assert len(names(tmp_path)) == 3
        assert names(tmp_path)[1:] == ["another", "third"] and names(tmp_path)[0] in left
    finally:
        living.kill()
        living.wait()
    mg.save({"a": 1}, tmp_path / "x")
    assert names(tmp_path) == ["another", "third", "x"]


@posix
def test_files_of_other_machines_are_removed_a_day_later(tmp_path):
    """Another machine's locks may not be seen in a shared folder."""
    theirs = tmp_path / ".minigrad-00000000-0123456789abcdef.tmp"
    theirs.write_bytes(b"half")
    files.write(tmp_path / "x", b"y")
    assert theirs.exists()
    long_ago = time.time() - files.ABANDONED - 60
    os.utime(theirs, (long_ago, long_ago))
    files.write(tmp_path / "x", b"y")
    assert names(tmp_path) == ["x"]


@posix
def test_where_nothing_can_be_locked_only_old_files_are_removed(tmp_path, monkeypatch):
    fcntl = pytest.importorskip("fcntl")

    def flock(*_: Any) -> None:
        raise OSError(errno.ENOLCK, "no locks here")

    monkeypatch.setattr(fcntl, "flock", flock)
    with files.replacing(tmp_path / "x") as file:
        file.write(b"x")
        files.write(tmp_path / "y", b"y")
    assert names(tmp_path) == ["x", "y"]
    left = tmp_path / f".minigrad-{files._HERE}-0123456789abcdef.tmp"
    left.write_bytes(b"")
    os.utime(left, (0, 0))
    files.write(tmp_path / "y", b"y")
    assert names(tmp_path) == ["x", "y"]


@posix
def test_other_files_are_left_alone(tmp_path):
    others = [
        ".minigrad-x.tmp",
        ".x.npz.1.tmp",
        f".minigrad-{files._HERE}-0123456789abcde.tmp",
        f"minigrad-{files._HERE}-0123456789abcdef.tmp",
    ]
    for name in others:
        (tmp_path / name).write_bytes(b"mine")
        os.utime(tmp_path / name, (0, 0))
    link = tmp_path / f".minigrad-{files._HERE}-0000000000000000.tmp"
    link.symlink_to(others[0])
    folder = tmp_path / f".minigrad-{files._HERE}-1111111111111111.tmp"
    folder.mkdir()
    pipe = tmp_path / f".minigrad-{files._HERE}-2222222222222222.tmp"
    os.mkfifo(pipe)
    files.write(tmp_path / "x", b"y")
    assert set(names(tmp_path)) == {*others, link.name, folder.name, pipe.name, "x"}


def test_nobody_else_renames_files():
    """One place knows how a file is written: all other code of the package uses it."""
    for path in sorted((ROOT / "minigrad").rglob("*.py")):
        if path not in (ROOT / "minigrad" / "files.py", ROOT / "minigrad" / "kernels" / "cache.py"):  # it may be lost
            text = path.read_text(encoding="utf-8")
            for word in (
                "os.replace",
                "os.rename",
                ".write_bytes(",
                ".write_text(",
                "tempfile.",
                '"wb"',
                "shutil.move",
            ):
                lines = [line for line in text.splitlines() if word in line and ">>>" not in line]
                allowed = [line for line in lines if 'open(path, "wb")' in line and "TypeError" in line]
                allowed += [line for line in lines if "tempfile.gettempdir()" in line or "tempfile.tempdir =" in line]
                assert lines == allowed, f"{path}: {lines}"


# -- reading ----------------------------------------------------------------------------------------------


@posix
def test_pipes_and_devices_are_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(mg.BadFile, match="pipe or a device"):
            files.open_regular(path)
    with pytest.raises(IsADirectoryError):
        files.open_regular(tmp_path)
    with pytest.raises(FileNotFoundError):
        files.open_regular(tmp_path / "none")
