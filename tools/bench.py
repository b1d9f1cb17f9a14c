"""minigrad and PyTorch side by side, in one process, in alternation; ratios, never a time alone.

    python tools/bench.py                 everything (about five minutes)
    python tools/bench.py --quick         fewer blocks, about a minute
    python tools/bench.py --only "norm"   the cases with this in their name
    python tools/bench.py --threads 1     for a machine that others use too, where a second thread is a lottery
    python tools/bench.py --json out.json --check

Each case is the same function, called with `lib=minigrad` and with `lib=torch`. It runs in blocks of some
milliseconds, a block of one and then a block of the other, with a pause before each: the worker threads of both
libraries go on spinning for a moment after their last task, and would otherwise slow down the other one. The time
shown is the median over the blocks; the ratio says how many times faster minigrad is, and is followed by the
lowest and highest ratio of neighbouring blocks.

`--check` ends with exit code 1 if a ratio misses its target: 1 for each norm and the CNN step, 2 for the MLP step
with batch norm.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

import minigrad
from minigrad.files import write

SETTLE = 0.03
"""Seconds of rest before a block."""

rng = np.random.default_rng(0)


@dataclass
class Result:
    name: str
    minigrad: float
    torch: float
    unit: str
    ratio: float
    low: float
    high: float
    target: float | None

    @property
    def misses(self) -> bool:
        return self.target is not None and self.ratio < self.target


@dataclass
class Case:
    """`make(lib)` prepares everything and returns the function to time."""

    name: str
    make: Callable[[Any], Callable[[], Any]]
    target: float | None = None
    per_call: int = 1  # how many of the things named one call does


def tensor(lib: Any, array: Any, requires_grad: bool = False) -> Any:
    """The array as a tensor of either library."""
    made = torch.from_numpy(array.copy()) if lib is torch else minigrad.tensor(array.copy())
    return made.requires_grad_() if requires_grad else made


def normal(*shape: int) -> Any:
    return rng.standard_normal(shape).astype(np.float32)


def grad(lib: Any) -> Callable[..., Any]:
    return torch.autograd.grad if lib is torch else minigrad.grad


# -- the cases --------------------------------------------------------------------------------------------

FEATURES = [(32, 64), (32, 256), (64, 10), (64, 768), (128, 512), (512, 1024), (1024, 64), (4096, 1024)]
MAPS = [
    (8, 64, 8, 8),
    (8, 32, 16, 16),
    (32, 16, 8, 8),
    (32, 16, 4, 4),
    (32, 64, 16, 16),
    (64, 16, 28, 28),
    (16, 64, 32, 32),
    (8, 128, 16, 16),
    (32, 32, 14, 14),
    (4, 256, 7, 7),
    (1, 64, 56, 56),
    (2, 32, 64, 64),
    (64, 64, 56, 56),
]
TOKENS = [(8, 16, 64), (8, 128, 64), (32, 64, 128), (32, 128, 256), (4, 256, 512), (2, 16, 1024)]


def norm_layer(lib: Any, norm: str, shape: tuple[int, ...]) -> Any:
    """The layer of this name for inputs of this shape; None for "none"."""
    nn, channels = lib.nn, shape[1]
    if norm == "batch":
        return nn.BatchNorm2d(channels) if len(shape) == 4 else nn.BatchNorm1d(channels)
    if norm == "evaluated batch":
        return norm_layer(lib, "batch", shape).eval()
    if norm == "layer":
        return nn.LayerNorm(shape[1:] if len(shape) == 4 else shape[-1])
    if norm == "instance":
        return (nn.InstanceNorm2d if len(shape) == 4 else nn.InstanceNorm1d)(channels, affine=True)
    if norm == "group":
        return nn.GroupNorm(4 if channels % 4 == 0 else 2, channels)
    return None


def norm_cases() -> Iterator[Case]:
    shapes = {
        "batch": [*FEATURES, (8, 16, 64), *MAPS],
        "evaluated batch": [*FEATURES[:6], (8, 16, 64), *MAPS[:8]],
        "layer": [*FEATURES, *TOKENS, (8, 64, 8, 8), (32, 16, 8, 8), (64, 64, 56, 56)],
        "instance": [(8, 16, 64), *MAPS],
        "group": [(32, 64), (32, 256), (64, 10), (4096, 1024), (8, 16, 64), *MAPS],
    }
    for norm, several in shapes.items():
        for shape in several:
            x, g = normal(*shape), normal(*shape)

            def forward(lib: Any, norm: str = norm, x: Any = x) -> Callable[[], Any]:
                layer, input = norm_layer(lib, norm, x.shape), tensor(lib, x, requires_grad=True)
                return lambda: layer(input)

            def backward(lib: Any, norm: str = norm, x: Any = x, g: Any = g) -> Callable[[], Any]:
                layer, input = norm_layer(lib, norm, x.shape), tensor(lib, x, requires_grad=True)
                output, wanted, run = layer(input), [input, *layer.parameters()], grad(lib)
                cotangent = tensor(lib, g)
                return lambda: run(output, wanted, cotangent, retain_graph=True)

            size = "×".join(map(str, shape))
            yield Case(f"{norm} norm {size} forward", forward, target=1)
            yield Case(f"{norm} norm {size} backward", backward, target=1)


LAST = [*FEATURES, *TOKENS]
ACROSS = [(8, 64, 8, 8), (32, 16, 8, 8), (32, 64, 16, 16), (4, 256, 7, 7), (1, 64, 56, 56), (8, 128, 64)]

# name → the function of (lib, *inputs), and for each case the shapes of its inputs
FUNCTIONS: dict[str, tuple[Callable[..., Any], list[list[tuple[int, ...]]]]] = {
    "rms norm": (lambda lib, x, w: lib.nn.functional.rms_norm(x, (x.shape[-1],), w), [[s, s[-1:]] for s in LAST]),
    "normalize": (lambda lib, x: lib.nn.functional.normalize(x, dim=-1), [[s] for s in LAST]),
    "normalize channels": (lambda lib, x: lib.nn.functional.normalize(x), [[s] for s in ACROSS]),
    "cosine similarity": (lambda lib, x, y: lib.nn.functional.cosine_similarity(x, y, dim=-1), [[s, s] for s in LAST]),
    "cosine similarity of channels": (
        lambda lib, x, y: lib.nn.functional.cosine_similarity(x, y),
        [[s, s] for s in ACROSS],
    ),
    "local response norm": (
        lambda lib, x: lib.nn.functional.local_response_norm(x, 5),
        [[s] for s in [(8, 16, 64), *MAPS]],
    ),
    "SELU": (lambda lib, x: lib.nn.functional.selu(x), [[s] for s in [*FEATURES, *MAPS[:5]]]),
    "local response norm, even window and exponent 0.6": (
        lambda lib, x: lib.nn.functional.local_response_norm(x, 4, beta=0.6),
        [[s] for s in ACROSS[:4]],
    ),
}


def function_cases() -> Iterator[Case]:
    for name, (function, several) in FUNCTIONS.items():
        for shapes in several:
            arrays = [normal(*shape) for shape in shapes]

            def forward(lib: Any, function: Any = function, arrays: Any = arrays) -> Callable[[], Any]:
                inputs = [tensor(lib, a, requires_grad=True) for a in arrays]
                return lambda: function(lib, *inputs)

            def backward(lib: Any, function: Any = function, arrays: Any = arrays) -> Callable[[], Any]:
                inputs, run = [tensor(lib, a, requires_grad=True) for a in arrays], grad(lib)
                output = function(lib, *inputs)
                cotangent = tensor(
                    lib, np.cos(np.arange(np.prod(output.shape)), dtype=np.float32).reshape(output.shape)
                )
                return lambda: run(output, inputs, cotangent, retain_graph=True)

            size = "×".join(map(str, shapes[0]))
            yield Case(f"{name} {size} forward", forward, target=1)
            yield Case(f"{name} {size} backward", backward, target=1)


WEIGHTS = [(10, 64), (256, 64), (256, 256), (512, 512), (1024, 256), (16, 1, 3, 3), (64, 64, 3, 3), (128, 64, 3, 3)]


def weight_cases() -> Iterator[Case]:
    """A layer's weight, computed from what is learned in its place; spectral norm in training, an iteration a call."""
    for norm in ("weight_norm", "spectral_norm"):
        for shape in WEIGHTS:
            g = normal(*shape)

            def layer(lib: Any, norm: str = norm, shape: tuple[int, ...] = shape) -> tuple[Any, list[Any]]:
                lib.manual_seed(0)
                nn, (out, into, *kernel) = lib.nn, shape
                plain = nn.Conv2d(into, out, kernel, bias=False) if kernel else nn.Linear(into, out, bias=False)
                made = getattr(nn.utils.parametrizations, norm)(plain)
                return made, list(made.parameters())

            def forward(lib: Any, layer: Any = layer) -> Callable[[], Any]:
                made, _ = layer(lib)
                return lambda: made.weight

            def backward(lib: Any, layer: Any = layer, g: Any = g) -> Callable[[], Any]:
                made, wanted = layer(lib)
                output, cotangent, run = made.weight, tensor(lib, g), grad(lib)
                return lambda: run(output, wanted, cotangent, retain_graph=True)

            size = f"{norm.replace('_', ' ')} {'×'.join(map(str, shape))}"
            yield Case(f"{size} forward", forward, target=1)
            yield Case(f"{size} backward", backward, target=1)


def conv_cases() -> Iterator[Case]:
    for shape, out, kernel, stride in [
        ((32, 1, 8, 8), 16, 3, 1),
        ((32, 16, 8, 8), 16, 3, 1),
        ((32, 16, 14, 14), 32, 3, 1),
        ((16, 32, 28, 28), 32, 3, 1),
        ((8, 64, 16, 16), 64, 3, 2),
        ((32, 32, 8, 8), 64, 1, 1),
    ]:
        x, w, b = normal(*shape), normal(out, shape[1], kernel, kernel), normal(out)

        def forward(lib: Any, x: Any = x, w: Any = w, b: Any = b, s: int = stride) -> Callable[[], Any]:
            args = [tensor(lib, a, requires_grad=True) for a in (x, w, b)]
            conv, p = lib.nn.functional.conv2d, w.shape[-1] // 2
            return lambda: conv(*args, stride=s, padding=p)

        def backward(lib: Any, x: Any = x, w: Any = w, b: Any = b, s: int = stride) -> Callable[[], Any]:
            args = [tensor(lib, a, requires_grad=True) for a in (x, w, b)]
            output = lib.nn.functional.conv2d(*args, stride=s, padding=w.shape[-1] // 2)
            cotangent, run = tensor(lib, np.ones(tuple(output.shape), np.float32)), grad(lib)
            return lambda: run(output, args, cotangent, retain_graph=True)

        size = f"{'×'.join(map(str, shape))} → {out}, {kernel}×{kernel}" + (f" stride {stride}" if stride > 1 else "")
        yield Case(f"conv2d {size} forward", forward)
        yield Case(f"conv2d {size} backward", backward)
    for kind in ("max_pool2d", "avg_pool2d"):
        for shape in [(32, 16, 8, 8), (64, 16, 28, 28)]:
            x = normal(*shape)

            def both(lib: Any, kind: str = kind, x: Any = x) -> Callable[[], Any]:
                pool, input, run = getattr(lib.nn.functional, kind), tensor(lib, x, requires_grad=True), grad(lib)
                cotangent = tensor(lib, np.ones_like(x[:, :, ::2, ::2]))
                return lambda: run(pool(input, 2), [input], cotangent)

            yield Case(f"{kind} {'×'.join(map(str, shape))} forward + backward", both)


def mlp(lib: Any, norm: str) -> Any:
    """64-256-256-10 with a norm before each ReLU."""
    nn, layers, features = lib.nn, [], 64
    for _ in range(2):
        layers += [nn.Linear(features, 256), norm_layer(lib, norm, (32, 256)), nn.ReLU()]
        features = 256
    return nn.Sequential(*[layer for layer in layers if layer is not None], nn.Linear(256, 10))


def cnn(lib: Any, norm: str) -> Any:
    """Two 3×3 convolutions to 16 and 32 channels on 8×8 images, each with norm, ReLU and pooling."""
    nn, layers, channels, size = lib.nn, [], 1, 8
    for out in (16, 32):
        layers += [nn.Conv2d(channels, out, 3, padding=1), norm_layer(lib, norm, (32, out, size, size))]
        layers += [nn.ReLU(), nn.MaxPool2d(2)]
        channels, size = out, size // 2
    return nn.Sequential(*[layer for layer in layers if layer is not None], nn.Flatten(), nn.Linear(128, 10))


def step_cases() -> Iterator[Case]:
    y = rng.integers(0, 10, 32)
    for name, build, shape, norms in [
        ("MLP 64-256-256-10", mlp, (32, 64), ("none", "batch", "layer", "group")),
        ("CNN 1-16-32 on 8×8", cnn, (32, 1, 8, 8), ("none", "batch", "layer", "instance", "group")),
    ]:
        x = normal(*shape)
        for norm in norms:

            def make(lib: Any, build: Any = build, norm: str = norm, x: Any = x) -> Callable[[], Any]:
                lib.manual_seed(0)
                model = build(lib, norm)
                optimizer = lib.optim.Adam(model.parameters(), lr=1e-3)
                input, labels, loss_of = tensor(lib, x), tensor(lib, y), lib.nn.functional.cross_entropy

                def step() -> None:
                    optimizer.zero_grad()
                    loss_of(model(input), labels).backward()
                    optimizer.step()

                return step

            target = 1.0 if build is cnn else 2.0 if norm == "batch" else None
            yield Case(f"training step {name}, {norm}, batch 32, Adam", make, target)


def tiny_cases() -> Iterator[Case]:
    def chain(lib: Any) -> Callable[[], Any]:
        start = tensor(lib, np.float32([1.0]), requires_grad=True)

        def run() -> None:
            x = start
            for _ in range(100):
                x = x * 1.01
            x.backward()

        return run

    yield Case("tiny op (x · 1.01, one element) forward + backward", chain, per_call=100)


# -- timing -----------------------------------------------------------------------------------------------


def block(function: Callable[[], Any], calls: int) -> float:
    """Seconds per call."""
    time.sleep(SETTLE)
    function()
    begin = time.perf_counter()
    for _ in range(calls):
        function()
    return (time.perf_counter() - begin) / calls


def measure(case: Case, blocks: int, length: float) -> Result:
    ours, theirs = case.make(minigrad), case.make(torch)
    calls = []
    for function in (ours, theirs):
        for _ in range(3):  # compile, fill caches
            function()
        calls.append(max(1, int(length / max(block(function, 3), 1e-7))))
    times: tuple[list[float], list[float]] = ([], [])
    for i in range(blocks):
        for which in (0, 1) if i % 2 == 0 else (1, 0):
            times[which].append(block((ours, theirs)[which], calls[which]))
    scale = 1e6 / case.per_call
    mine, other = (scale * statistics.median(t) for t in times)
    ratios = [b / a for a, b in zip(*times, strict=True)]
    return Result(case.name, mine, other, "µs", other / mine, min(ratios), max(ratios), case.target)


_TRAIN = """
import resource, sys
import numpy as np
sys.path.insert(0, {tools!r})
import {lib} as lib
x, y = np.zeros((32, 64), np.float32), np.zeros(32, np.int64)
tensor = lib.from_numpy if {lib!r} == "torch" else lib.tensor
nn = lib.nn
model = nn.Sequential(nn.Linear(64, 256), nn.BatchNorm1d(256), nn.ReLU(), nn.Linear(256, 256), nn.BatchNorm1d(256),
                      nn.ReLU(), nn.Linear(256, 10))
optimizer = lib.optim.Adam(model.parameters(), lr=1e-3)
for _ in range(200):
    optimizer.zero_grad()
    nn.functional.cross_entropy(model(tensor(x)), tensor(y)).backward()
    optimizer.step()
try:  # a new process starts with the peak of the one that started it, and Linux can tell them apart
    status = dict(line.split(":", 1) for line in open("/proc/self/status"))
    print(int(status["VmHWM"].split()[0]) / 2**10)
except (OSError, KeyError):
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10))
"""


def python(code: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(Path(minigrad.__file__).parent.parent)}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    ).stdout


def in_processes(name: str, unit: str, repeats: int, one: Callable[[str], float]) -> Result:
    """A quantity that needs a fresh process each time, in alternation."""
    one("minigrad")  # writes the kernels' cache, if it is not there yet
    pairs = [(one("minigrad"), one("torch")) for _ in range(repeats)]
    mine, other = (statistics.median(values) for values in zip(*pairs, strict=True))
    ratios = [b / a for a, b in pairs]
    return Result(name, mine, other, unit, other / mine, min(ratios), max(ratios), None)


def import_time(lib: str) -> float:
    code = f"import time; t = time.perf_counter(); import {lib}; print(time.perf_counter() - t)"
    return 1000 * float(python(code))


def peak_memory(lib: str) -> float:
    return float(python(_TRAIN.format(lib=lib, tools=str(Path(__file__).parent))))


# -- the program ------------------------------------------------------------------------------------------


def main() -> int:
    parser = argparse.ArgumentParser(description="minigrad and PyTorch side by side")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter blocks")
    parser.add_argument("--only", metavar="TEXT", default="", help="the cases with this in their name")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there as well")
    parser.add_argument("--check", action="store_true", help="exit code 1 if a target is missed")
    parser.add_argument("--threads", type=int, metavar="N", help="for both libraries (default: all)")
    arguments = parser.parse_args()
    threads = arguments.threads or torch.get_num_threads()  # the same for both; minigrad's default is one
    minigrad.set_num_threads(threads)
    torch.set_num_threads(threads)
    blocks, length = (3, 0.01) if arguments.quick else (9, 0.03)

    print(f"minigrad {minigrad.__version__}, PyTorch {torch.__version__}, NumPy {np.__version__}, float32")
    print(
        f"{platform.machine()}, {os.cpu_count()} CPUs; {threads} threads each; "
        f"{blocks} blocks of {1000 * length:.0f} ms each\n"
    )
    print(f"{'':<64}{'minigrad':>12}{'PyTorch':>12}   times faster (lowest … highest)")

    results: list[Result] = []

    def show(result: Result) -> None:
        results.append(result)
        mark = f"   below {result.target:g}" if result.misses else ""
        times = "".join(f"{value:>9.1f} {result.unit}" for value in (result.minigrad, result.torch))
        spread = f"({result.low:.2f} … {result.high:.2f})"
        print(f"{result.name:<64}{times}   {result.ratio:5.2f}  {spread}{mark}", flush=True)

    for cases in (step_cases(), tiny_cases(), norm_cases(), weight_cases(), function_cases(), conv_cases()):
        for case in cases:
            if arguments.only in case.name:
                show(measure(case, blocks, length))
    repeats = 2 if arguments.quick else 5
    for name, unit, one in (
        ("import", "ms", import_time),
        ("peak memory, 200 steps of the MLP with batch norm", "MB", peak_memory),
    ):
        if arguments.only in name:
            show(in_processes(name, unit, repeats, one))

    missed = [result for result in results if result.misses]
    print(f"\n{len(results)} cases, {len(missed)} below their target")
    if arguments.json is not None:
        content = {"threads": threads, "torch": torch.__version__, "results": [asdict(result) for result in results]}
        write(arguments.json, (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())
    return 1 if missed and arguments.check else 0


if __name__ == "__main__":
    raise SystemExit(main())
