"""Compiled kernels on disk: keyed by the source of all kernels, shared by processes; none if nothing is writable."""

import ast
import json
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import numba
import pytest

import minigrad as mg
from minigrad import folders

pytestmark = pytest.mark.skipif(numba.config.DISABLE_JIT, reason="nothing is compiled")

PACKAGE = Path(mg.__file__).parent

LAYER = """
    import minigrad as mg
    x = mg.tensor([[1.0, 2.0, 6.0]], requires_grad=True)
    y = mg.nn.functional.rms_norm(x, 3)
    print(y.tolist())
"""


def python(code: str, where: Path, **environment: str) -> str:
    """What a fresh process prints, with the package at `where`, and no cache but those that the test names."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("NUMBA_") and k != "XDG_CACHE_HOME"}
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=where,
        env={**inherited, "PYTHONPATH": str(where), "PYTHONDONTWRITEBYTECODE": "1", **environment},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A folder with a copy of the package, without anything compiled."""
    shutil.copytree(PACKAGE, tmp_path / "minigrad", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def kernels_of(code: str) -> str:
    """Two kernel files, in which the second uses the first's function and constant: what `code` then prints."""
    return f"""
        import numpy as np
        import minigrad.kernels.user as user
        out = np.zeros(4)
        user.fill(4, out)
        {code}
    """


PROVIDER = """
from minigrad.kernels.jit import {decorator}
STEP = {step}

@{decorator}
def increased(x):
    return x + {increase}
"""

USER = """
from minigrad.kernels.jit import kernel, prange
from minigrad.kernels.provider import STEP, increased

@kernel
def fill(out):
    for i in prange(out.size):
        out[i] = increased(STEP * i)
"""


@pytest.mark.parametrize("decorator", ["inline", "subroutine", "in_order"])
@pytest.mark.parametrize("place", ["package", "NUMBA_CACHE_DIR"])
def test_a_kernel_follows_a_change_in_another_file(decorator, place, copied):
    folder = copied / "minigrad" / "kernels"
    environment = {} if place == "package" else {"NUMBA_CACHE_DIR": str(copied / "cache")}
    (folder / "user.py").write_text(USER)
    for step, increase in ((1, 10), (2, 10), (2, 5), (1, 10)):
        (folder / "provider.py").write_text(PROVIDER.format(decorator=decorator, step=step, increase=increase))
        found = python(kernels_of("print([int(v) for v in out])"), copied, **environment)
        assert json.loads(found) == [step * i + increase for i in range(4)]


def compiled_by(where: Path, **environment: str) -> bool:
    """Did a process have to compile the kernel of rms norm?"""
    code = """
        from minigrad.kernels import cache
        compiled = []
        cache.announce = compiled.append
        import minigrad as mg
        x = mg.tensor([[1.0, 2.0, 6.0]], requires_grad=True)
        y = mg.nn.functional.rms_norm(x, 3)
        assert abs(y[0, 2].item() - 6 / (41 / 3) ** 0.5) < 1e-5
        print(bool(compiled))
    """
    return python(code, where, **environment) == "True"


def test_a_kernel_is_compiled_once(copied):
    assert compiled_by(copied)
    assert not compiled_by(copied)
    cache = str(copied / "elsewhere")
    assert compiled_by(copied, NUMBA_CACHE_DIR=cache) is False  # the package holds it
    shutil.rmtree(copied / "minigrad" / "kernels" / "__pycache__")
    assert compiled_by(copied, NUMBA_CACHE_DIR=cache)
    assert not compiled_by(copied, NUMBA_CACHE_DIR=cache)
    assert not (copied / "minigrad" / "kernels" / "__pycache__").exists()


def test_a_damaged_file_is_compiled_again(copied):
    assert compiled_by(copied)
    files = list((copied / "minigrad" / "kernels" / "__pycache__").glob("kernels-*/*"))
    assert files
    for i, file in enumerate(files):
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.write_bytes(bytes(data) if i % 2 else bytes(data[: len(data) // 3]))
    assert compiled_by(copied)
    assert not compiled_by(copied)


def test_old_versions_do_not_fill_the_disk(copied):
    kernels = copied / "minigrad" / "kernels"
    cache = kernels / "__pycache__"
    cache.mkdir()
    (cache / "norm.far-125.py311.nbi").write_text("by an earlier minigrad")
    (cache / "rms.cpython-311.pyc").write_text("Python's own")
    for version in range(6):
        with (kernels / "sums.py").open("a") as file:
            file.write(f"# version {version}\n")
        assert compiled_by(copied)
    assert len(list(cache.glob("kernels-*"))) == 3
    assert not list(cache.glob("*.nbi"))
    assert (cache / "rms.cpython-311.pyc").exists()


def test_processes_that_start_at_once_share_a_cache(copied):
    code = """
        import minigrad as mg, sys
        dtype = mg.float32 if int(sys.argv[1]) % 2 else mg.float64
        x = mg.tensor([[1.0, 2.0, 6.0]], dtype=dtype, requires_grad=True)
        y = mg.nn.functional.rms_norm(x, 3)
        y.sum().backward()
        print(y.dtype, round(y[0, 2].item(), 4))
    """
    environment = {**os.environ, "PYTHONPATH": str(copied), "NUMBA_CACHE_DIR": str(copied / "cache")}
    for _ in range(2):  # the second time from the cache that the first time left
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", textwrap.dedent(code), str(i)],
                cwd=copied,
                env=environment,
                stdout=subprocess.PIPE,
                text=True,
            )
            for i in range(4)
        ]
        for i, process in enumerate(processes):
            out, _ = process.communicate(timeout=280)
            assert out.split() == ["float32" if i % 2 else "float64", "1.623"]
    assert not list((copied / "cache").rglob("*.part"))


# -- where nothing can be written ---------------------------------------------------------------------------


def sealed(where: Path) -> dict[str, str]:
    """A place without any writable cache, whoever asks: where the folders would be, there are files."""
    nothing = where / "nothing"
    nothing.write_text("")
    for folder in (where / "minigrad").rglob("*"):
        if folder.is_dir():
            (folder / "__pycache__").write_text("")
    inside = str(nothing / "inside")
    return {"HOME": inside, "XDG_CACHE_HOME": inside, "NUMBA_CACHE_DIR": inside, "XDG_CONFIG_HOME": inside}


def test_without_any_cache_kernels_are_compiled_all_the_same(copied):
    environment = sealed(copied)
    assert compiled_by(copied, **environment)
    assert compiled_by(copied, **environment)


def test_a_user_without_a_home(copied):
    environment = sealed(copied) | {"HOME": "", "XDG_CACHE_HOME": "relative", "NUMBA_CACHE_DIR": ""}
    code = """
        import os, pwd
        del os.environ["HOME"]
        pwd.getpwuid = lambda uid: (_ for _ in ()).throw(KeyError(uid))
        import minigrad as mg
        print(mg.nn.functional.rms_norm(mg.ones(1, 3), 3).sum().item() > 0)
    """
    assert python(code, copied, **environment) == "True"
    assert not (copied / "relative").exists()


def test_the_cache_of_the_user_serves_a_package_that_cannot_be_written(copied):
    environment = sealed(copied) | {"XDG_CACHE_HOME": str(copied / "user"), "NUMBA_CACHE_DIR": ""}
    assert compiled_by(copied, **environment)
    assert not compiled_by(copied, **environment)
    assert list((copied / "user" / "minigrad").iterdir())


def test_temporary_files_lie_near_the_result_where_the_system_has_no_place_for_them(monkeypatch, tmp_path):
    def none():
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "gettempdir", none)
    folders.have_temporary(tmp_path / "not" / "yet" / "there")
    assert tempfile.tempdir == str(tmp_path)


def test_where_no_folder_can_be_written_at_all_this_is_the_error(monkeypatch, tmp_path):
    def none():
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "gettempdir", none)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(PermissionError, match="no file can be written in"):
        folders.have_temporary(tmp_path / "runs")
    assert tempfile.tempdir is None


def test_the_main_job_runs_in_a_container(copied):
    """Package, home and caches cannot be written, there is no terminal, and the language is C."""
    environment = sealed(copied) | {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    out = copied / "out"
    code = f"""
        import sys
        from minigrad.cli import main
        command = "compare --model mlp --data moons --norm none,batch --depth 2 --epochs 1 --seeds 1"
        sys.exit(main([*command.split(), "--out", {str(out)!r}]))
    """
    python(code, copied, **environment)
    assert len(json.loads((out / "results.json").read_text())["runs"]) == 2
    assert (out / "report.html").stat().st_size > 10_000


def test_the_command_says_that_it_compiles_and_the_library_does_not(copied):
    command = [sys.executable, "-m", "minigrad.cli", "explain", "rms_norm", "--text"]
    environment = {k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"} | {"PYTHONPATH": str(copied)}

    def run() -> str:
        result = subprocess.run(command, cwd=copied, env=environment, capture_output=True, text=True, timeout=280)
        assert result.returncode == 0 and "compiling" not in result.stdout
        return result.stderr

    first = run()
    assert first.count("compiling, once") == first.count("\n") == 1
    assert run() == ""
    library = [sys.executable, "-c", textwrap.dedent(LAYER)]
    shutil.rmtree(copied / "minigrad" / "kernels" / "__pycache__")
    result = subprocess.run(library, cwd=copied, env=environment, capture_output=True, text=True, timeout=280)
    assert result.returncode == 0 and result.stderr == ""


def test_explaining_a_norm_compiles_that_norm_only(copied):
    """The page shows for four norms which elements share statistics. That needs none of their kernels."""
    cache = copied / "cache"
    command = [sys.executable, "-m", "minigrad.cli", "explain", "instance_norm"]
    environment = {**os.environ, "PYTHONPATH": str(copied), "NUMBA_CACHE_DIR": str(cache)}
    subprocess.run(command, cwd=copied, env=environment, capture_output=True, timeout=280, check=True)
    names = {file.name.partition("-")[0] for file in cache.glob("*/kernels-*/*")}
    assert {"norm.segments_forward", "norm.segments_backward"} <= names
    others = ("norm.rows_", "norm.columns_", "norm.channels_")
    assert not [name for name in names if name.startswith(others)]


def test_no_kernel_assigns_an_array_to_a_slice():
    """Numba compiles an error message for lengths that differ, more than a second of strings. Loops need none."""
    found = []
    for file in sorted((PACKAGE / "kernels").glob("*.py")):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        functions = [f for f in ast.walk(tree) if isinstance(f, ast.FunctionDef) and f.decorator_list]
        for node in (node for function in functions for node in ast.walk(function)):
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Subscript):
                sliced = any(isinstance(part, ast.Slice) for part in ast.walk(node.targets[0].slice))
                scalar = isinstance(node.value, ast.Constant) or ast.unparse(node.value).startswith("bias[")
                if sliced and not scalar:
                    found.append(f"{file.name}: {ast.unparse(node)}")
    assert not found


def test_the_command_says_that_nothing_is_kept(copied):
    environment = {**os.environ, **sealed(copied), "PYTHONPATH": str(copied)}
    command = [sys.executable, "-m", "minigrad.cli", "explain", "rms_norm", "--text"]
    result = subprocess.run(command, cwd=copied, env=environment, capture_output=True, text=True, timeout=280)
    assert result.returncode == 0
    assert "as in every run" in result.stderr and "NUMBA_CACHE_DIR" in result.stderr
