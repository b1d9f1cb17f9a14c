"""The shape of the package: what importing it costs, who may import whom, and that everything is documented."""

import ast
import inspect
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import minigrad as mg

PACKAGE = Path(mg.__file__).parent
ROOT = PACKAGE.parent

# Each room may import from those before it.
ROOMS = ["kernels", "autograd", "ops", "nn", "optim", "data", "viz", "lab", "cli"]
SOURCES = sorted(PACKAGE.rglob("*.py"))


def run(code: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=240,
    )


def test_importing_it_pulls_in_nothing_heavy():
    heavy = ["matplotlib", "sklearn", "rich", "graphviz", "pooch", "typer", "torch", "pandas", "IPython"]
    code = f"import sys, minigrad; print([m for m in {heavy} if m in sys.modules])"
    result = run(code)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "[]"


def test_importing_it_compiles_nothing():
    code = (
        "import minigrad, minigrad.kernels, pkgutil, importlib\n"
        "from numba.core.dispatcher import Dispatcher\n"
        "compiled = []\n"
        "for info in pkgutil.iter_modules(minigrad.kernels.__path__):\n"
        "    module = importlib.import_module('minigrad.kernels.' + info.name)\n"
        "    for name, thing in vars(module).items():\n"
        "        for form in (thing, getattr(thing, 'serial', None), getattr(thing, 'parallel', None)):\n"
        "            if isinstance(form, Dispatcher) and form.signatures:\n"
        "                compiled.append(name)\n"
        "print(compiled)"
    )
    result = run(code)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "[]"


def room_of(module: str) -> str | None:
    """The room of `minigrad.<room>...`; None for what stands outside (the package itself)."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[0] == "minigrad" and parts[1] in ROOMS else None


def imports_of(path: Path) -> list[tuple[int, str]]:
    """Line and module of each import that runs: those for type checkers only are left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            node.body = []
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: line {node.lineno}: imports name the package, minigrad.…"
            found.append((node.lineno, node.module))
            found += [(node.lineno, f"{node.module}.{alias.name}") for alias in node.names]
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_room_imports_only_rooms_before_it(path):
    here = room_of("minigrad." + ".".join(path.relative_to(PACKAGE).with_suffix("").parts))
    if here is None:
        return
    for line, module in imports_of(path):
        there = room_of(module)
        if there is not None:
            assert ROOMS.index(there) <= ROOMS.index(here), f"{path}, line {line}: {here} must not import {module}"
        if here in ("kernels", "autograd", "ops", "nn", "optim"):
            assert module != "minigrad", f"{path}, line {line}: import the room, not the whole package"


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_every_module_says_what_it_is(path):
    doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert doc, f"{path} has no docstring"


def public(module: ModuleType) -> list[str]:
    names = getattr(module, "__all__", None) or [n for n in vars(module) if not n.startswith("_")]
    return [
        n
        for n in names
        if (inspect.isclass(getattr(module, n)) or inspect.isfunction(getattr(module, n)))
        and getattr(module, n).__module__.startswith("minigrad")
    ]


PLACES = [mg, mg.autograd, mg.nn, mg.nn.functional, mg.nn.init, mg.optim, mg.data, mg.viz]


@pytest.mark.parametrize("place", PLACES, ids=lambda m: m.__name__)
def test_everything_public_is_documented(place):
    bare = []
    for name in public(place):
        thing = getattr(place, name)
        if not (vars(thing).get("__doc__") if inspect.isclass(thing) else thing.__doc__):
            bare.append(name)
        if inspect.isclass(thing):
            bare += [
                f"{name}.{method}"
                for method, function in vars(thing).items()
                if inspect.isfunction(function)
                and not method.startswith("_")
                and method not in ("forward", "backward", "extra_repr")  # the class explains these
                and not inspect.getdoc(getattr(thing, method))
            ]
    assert not bare, f"without a docstring in {place.__name__}: {bare}"


def test_no_name_is_exported_twice_with_different_meaning():
    """`mg.relu` and `F.relu` are the same function, wherever both exist."""
    for name in public(mg.nn.functional):
        if inspect.isfunction(getattr(mg, name, None)) and name not in DIFFERENT_IN_FUNCTIONAL:
            assert getattr(mg, name) is getattr(mg.nn.functional, name), name


DIFFERENT_IN_FUNCTIONAL: set[str] = set()


def test_no_leftovers_in_the_sources():
    for path in [*SOURCES, *sorted((ROOT / "tests").rglob("*.py")), *sorted((ROOT / "examples").rglob("*.py"))]:
        if path == Path(__file__):
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            for word in ("TODO", "FIXME", "XXX", "breakpoint()", "import pdb", "/home/", "/Users/", "/root/"):
                assert word not in line, f"{path}, line {number}: {word}"


WITHOUT_COMPILER = """
import numpy as np, numba, minigrad as mg
assert numba.config.DISABLE_JIT
from minigrad.autograd import gradcheck, gradgradcheck
F = mg.nn.functional
rng = np.random.default_rng(0)
new = lambda *shape: mg.tensor(rng.standard_normal(shape), requires_grad=True)

norms = {
    "layer": (lambda x, w, b: F.layer_norm(x, (4,), w, b), new(3, 4), new(4), new(4)),
    "batch": (lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True), new(5, 3), new(3), new(3)),
    "group": (lambda x, w, b: F.group_norm(x, 2, w, b), new(2, 4, 3), new(4), new(4)),
    "instance": (lambda x: F.instance_norm(x), new(2, 2, 4)),
}
for name, (function, *inputs) in norms.items():
    assert gradcheck(function, inputs), name
    assert gradgradcheck(function, inputs), name
assert gradcheck(lambda x, w: F.conv2d(x, w, padding=1), [new(1, 2, 4, 4), new(3, 2, 3, 3)])
assert gradcheck(lambda x: F.max_pool2d(x, 2), new(1, 2, 4, 4))
assert gradcheck(lambda x: F.cross_entropy(x, mg.tensor([0, 2])), new(2, 3))

mg.manual_seed(0)
model = mg.nn.Sequential(mg.nn.Linear(4, 8), mg.nn.BatchNorm1d(8), mg.nn.ReLU(), mg.nn.Linear(8, 3))
optimizer = mg.optim.Adam(model.parameters(), lr=0.02)
x, target = mg.randn(12, 4), mg.randint(0, 3, (12,))
losses = []
for _ in range(30):
    loss = F.cross_entropy(model(x), target)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
assert losses[-1] < losses[0] / 2, losses
print("all is well")
"""


def test_everything_works_without_the_compiler():
    """NUMBA_DISABLE_JIT=1 runs the kernels as plain Python: for debugging them, and for coverage."""
    result = run(WITHOUT_COMPILER, NUMBA_DISABLE_JIT="1")
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "all is well"
