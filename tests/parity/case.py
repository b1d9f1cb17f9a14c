"""The parity harness: one function, run once with PyTorch and once with minigrad, must give the same numbers.

Write cases in `tests/parity/<family>.py`::

    from tests.parity.case import Case, ModuleCase, TrajectoryCase, integers, normal

    CASES = [
        Case("conv2d_stride", lambda lib, x, w: lib.nn.functional.conv2d(x, w, stride=2),
             normal(2, 3, 8, 8), normal(4, 3, 3, 3)),
        ModuleCase("lstm", lambda lib: lib.nn.LSTM(3, 4), normal(5, 2, 3)),
        ModuleCase("batch_norm", lambda lib: lib.nn.BatchNorm1d(4), normal(8, 4), calls=("train", "train", "eval")),
        TrajectoryCase("adam", lambda lib, ps: lib.optim.Adam(ps, lr=0.1), normal(3, 4), normal(4)),
    ]

A case is run with `lib=torch` once, by `tools/record_golden.py`, which keeps the numbers in
`tests/golden/<family>.json`; and with `lib=minigrad` by `tests/test_parity.py`, in float64 and float32. A case
without recorded numbers fails. `pytest --live-torch tests/test_parity.py` compares with an installed PyTorch
instead of the files, element by element.

What is compared: every output (a tensor, or tensors in tuples, lists and dictionaries), its dtype and shape, and
the gradient of every float input for random cotangents on every float output. `second=True` adds the second
derivatives: the gradients' gradients, for random cotangents again.

Inputs are drawn from a seed made of the case's name, and rounded to float32. One float64 answer from PyTorch is
then the right answer for both dtypes. NumPy promises that `RandomState` draws the same numbers for ever.
"""

import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

# An error may be this large, relative to the largest element of the array compared.
TOLERANCE = {"float64": 1e-10, "float32": 1e-5}

# Arrays of zeros, or nearly, have no scale of their own.
SMALLEST_SCALE = 1e-2

Input = Callable[[np.random.RandomState], Any]


# -- inputs -----------------------------------------------------------------------------------------------


def _floats(array: Any) -> Any:
    return np.asarray(array, np.float32).astype(np.float64)


def normal(*shape: int, scale: float = 1.0) -> Input:
    """Standard normal numbers, times `scale`."""
    return lambda rng: _floats(rng.standard_normal(shape) * scale)


def uniform(*shape: int, low: float = 0.0, high: float = 1.0) -> Input:
    """Numbers between `low` and `high`."""
    return lambda rng: _floats(rng.uniform(low, high, shape))


def positive(*shape: int) -> Input:
    """Numbers between 0.5 and 2: for logarithms, roots and divisors."""
    return uniform(*shape, low=0.5, high=2.0)


def distinct(*shape: int) -> Input:
    """Numbers between −2 and 2 that keep a distance: for maxima and sorting, where a tie has no derivative."""
    return lambda rng: _floats(rng.permutation(np.linspace(-2, 2, int(np.prod(shape)))).reshape(shape))


def integers(high: int, *shape: int, low: int = 0) -> Input:
    """int64 numbers from `low` to `high` − 1."""
    return lambda rng: rng.randint(low, high, shape, dtype=np.int64)


def bools(*shape: int) -> Input:
    """Booleans, half of them true."""
    return lambda rng: rng.random_sample(shape) < 0.5


def constant(array: Any) -> Input:
    """This array. Floats take the dtype of the run, as all other inputs do."""
    array = np.asarray(array)
    return lambda rng: _floats(array) if array.dtype.kind == "f" else array.copy()


def fixed(source: Any) -> Input:
    """A float input whose gradient is not asked for: `fixed(normal(3))`."""

    def draw(rng: np.random.RandomState) -> Any:
        return _Fixed(source(rng))

    return draw


class _Fixed:
    def __init__(self, array: Any):
        self.array = array


def transposed(source: Any) -> Input:
    """The same numbers with the first and last axis swapped, so that memory is not contiguous."""
    return lambda rng: np.swapaxes(source(rng), 0, -1)


def seed_of(name: str) -> int:
    return zlib.crc32(name.encode())


# -- the two libraries -----------------------------------------------------------------------------------


class Minigrad:
    """What the harness itself needs of a library, in minigrad."""

    def __init__(self) -> None:
        import minigrad

        self.lib: Any = minigrad

    def tensor(self, array: Any, requires_grad: bool = False) -> Any:
        return self.lib.Tensor(array, requires_grad=requires_grad)

    def is_tensor(self, x: Any) -> bool:
        return isinstance(x, self.lib.Tensor)

    def array(self, tensor: Any) -> Any:
        return np.array(tensor.array)

    def is_float(self, tensor: Any) -> bool:
        return tensor.dtype.kind == "f"

    def grad(self, outputs: Any, inputs: Any, cotangents: Any, create_graph: bool = False) -> list[Any]:
        return list(self.lib.grad(outputs, inputs, cotangents, create_graph=create_graph, allow_unused=True))


class Torch:
    """The same in PyTorch."""

    def __init__(self) -> None:
        import torch

        torch.set_num_threads(1)  # sums in another order would change the last digits, and small work goes faster
        self.lib: Any = torch

    def tensor(self, array: Any, requires_grad: bool = False) -> Any:
        tensor = self.lib.from_numpy(np.array(array, order="K"))
        return tensor.requires_grad_() if requires_grad else tensor

    def is_tensor(self, x: Any) -> bool:
        return isinstance(x, self.lib.Tensor)

    def array(self, tensor: Any) -> Any:
        return np.array(tensor.detach().numpy(force=True))

    def is_float(self, tensor: Any) -> bool:
        return tensor.is_floating_point()

    def grad(self, outputs: Any, inputs: Any, cotangents: Any, create_graph: bool = False) -> list[Any]:
        return list(self.lib.autograd.grad(outputs, inputs, cotangents, create_graph=create_graph, allow_unused=True))


# -- the cases -------------------------------------------------------------------------------------------


class Case:
    """A function of tensors.

    Args:
        name: unique in its family; the seed of the inputs.
        function: takes the library and the inputs as tensors; returns a tensor, or several.
        inputs: from the makers above.
        dtypes: in which to run.
        tolerance: for one dtype or more, instead of `TOLERANCE`: `{"float32": 1e-4}`.
        second: compare second derivatives as well.
    """

    whole = False
    """Keep all numbers in the golden file, however many."""

    def __init__(
        self,
        name: str,
        function: Callable[..., Any],
        *inputs: Input,
        dtypes: Sequence[str] = ("float64", "float32"),
        tolerance: dict[str, float] | None = None,
        second: bool = False,
    ):
        self.name, self.function, self.inputs = name, function, inputs
        self.dtypes = tuple(dtypes)
        self.tolerance = {**TOLERANCE, **(tolerance or {})}
        self.second = second

    def run(self, library: Any, dtype: str) -> dict[str, Any]:
        """Every number to compare, by a label."""
        rng = np.random.RandomState(seed_of(self.name))
        inputs, variables = _make_inputs(library, self.inputs, dtype, rng)
        outputs = dict(_flatten(library, self.function(library.lib, *inputs), "output"))
        found = {label: library.array(y) for label, y in outputs.items()}
        _add_gradients(library, outputs, variables, dtype, rng, self.second, found)
        return found


class ModuleCase(Case):
    """A layer, with the same state in both libraries, called once or several times.

    Args:
        make: takes the library, returns the module: `lambda lib: lib.nn.Linear(3, 4)`.
        inputs: drawn anew for each call.
        calls: "train" or "eval" for each call, in order.
        call: how to call it, if not `module(*inputs)`: takes the library, the module and the inputs.

    Parameters and running statistics are drawn from the seed. Besides what `Case` compares: the keys and shapes
    of the state dictionary, the gradient of each parameter, and each buffer after each call.
    """

    def __init__(
        self,
        name: str,
        make: Callable[[Any], Any],
        *inputs: Input,
        calls: Sequence[str] = ("train",),
        call: Callable[..., Any] | None = None,
        **options: Any,
    ):
        super().__init__(name, call or (lambda lib, module, *xs: module(*xs)), *inputs, **options)
        self.make, self.calls = make, tuple(calls)

    def run(self, library: Any, dtype: str) -> dict[str, Any]:
        rng = np.random.RandomState(seed_of(self.name))
        module = self.make(library.lib)
        module = module.double() if dtype == "float64" else module.float()
        found: dict[str, Any] = {}
        state = {}
        for key, value in sorted(module.state_dict().items()):
            value = library.array(value)
            if "running_var" in key:
                value = uniform(*value.shape, low=0.5, high=2.0)(rng).astype(dtype)
            elif value.dtype.kind == "f":
                value = normal(*value.shape, scale=0.5)(rng).astype(dtype)
            state[key] = library.tensor(value)
            found[f"state.{key}.shape"] = np.array(value.shape, np.int64)
        module.load_state_dict(state)
        for i, mode in enumerate(self.calls):
            module.train(mode == "train")
            inputs, variables = _make_inputs(library, self.inputs, dtype, rng)
            variables.update({f"{key}": p for key, p in module.named_parameters() if p.requires_grad})
            outputs = dict(_flatten(library, self.function(library.lib, module, *inputs), "output"))
            here = {label: library.array(y) for label, y in outputs.items()}
            _add_gradients(library, outputs, variables, dtype, rng, self.second, here)
            here.update({f"buffer {key}": library.array(b) for key, b in module.named_buffers()})
            found.update({f"call {i}: {label}": a for label, a in here.items()})
        return found


class TrajectoryCase(Case):
    """An optimizer: the parameters and learning rates after every step, given the same gradients.

    Args:
        make: takes the library and a list of parameters; returns the optimizer, or (optimizer, scheduler).
        inputs: makers of the initial parameters.
        steps: how many.
        each: called after each step with (library, optimizer, scheduler, step number); by default it calls
            `scheduler.step()` if there is a scheduler.
        sparse: leave out a parameter's gradient (None) at every third step, to see that the optimizer skips it.

    The gradient at each step is random noise plus half the parameter, so that an error feeds back.
    """

    def __init__(
        self,
        name: str,
        make: Callable[..., Any],
        *inputs: Input,
        steps: int = 8,
        each: Callable[..., Any] | None = None,
        sparse: bool = False,
        **options: Any,
    ):
        super().__init__(name, make, *inputs, **options)
        self.steps, self.each, self.sparse = steps, each or _step_scheduler, sparse

    def run(self, library: Any, dtype: str) -> dict[str, Any]:
        rng = np.random.RandomState(seed_of(self.name))
        parameters = [library.tensor(x(rng).astype(dtype), requires_grad=True) for x in self.inputs]
        made = self.function(library.lib, parameters)
        optimizer, scheduler = made if isinstance(made, tuple) else (made, None)
        paths: list[list[Any]] = [[] for _ in parameters]
        rates = []
        for step in range(self.steps):
            for i, p in enumerate(parameters):
                noise = normal(*p.shape)(rng)
                gradient = (noise + 0.5 * library.array(p)).astype(dtype)
                skipped = self.sparse and (step + i) % 3 == 0
                p.grad = None if skipped else library.tensor(gradient)
            optimizer.step()
            self.each(library.lib, optimizer, scheduler, step)
            for path, p in zip(paths, parameters, strict=True):
                path.append(library.array(p))
            rates.append([float(group["lr"]) for group in optimizer.param_groups])
        found = {f"parameter {i} over the steps": np.stack(path) for i, path in enumerate(paths)}
        found["lr over the steps"] = np.array(rates)
        return found


class TrainingCase(Case):
    """A network trained from the same weights on the same batches: the loss at every step.

    Args:
        make: takes the library, returns the model.
        data: a function that gives inputs and labels, arrays.
        optimizer: takes the library and the parameters.
        steps, batch_size: the batches are drawn from the seed, with replacement.
    """

    whole = True

    def __init__(
        self,
        name: str,
        make: Callable[[Any], Any],
        data: Callable[[], tuple[Any, Any]],
        optimizer: Callable[..., Any],
        steps: int = 200,
        batch_size: int = 32,
        **options: Any,
    ):
        super().__init__(name, make, dtypes=("float64",), **options)
        self.data, self.optimizer, self.steps, self.batch_size = data, optimizer, steps, batch_size

    def run(self, library: Any, dtype: str) -> dict[str, Any]:
        rng = np.random.RandomState(seed_of(self.name))
        model = self.function(library.lib).double()
        state = {}
        for key, value in sorted(model.state_dict().items()):
            array = library.array(value)
            if "norm" not in key and array.dtype.kind == "f":  # norms keep γ = 1, β = 0 and fresh statistics
                fan_in = int(np.prod(array.shape[1:])) or 1
                array = normal(*array.shape, scale=(2 / fan_in) ** 0.5 if array.ndim > 1 else 0.1)(rng)
            state[key] = library.tensor(array)
        model.load_state_dict(state)
        optimizer = self.optimizer(library.lib, model.parameters())
        inputs, labels = self.data()
        losses = []
        for _ in range(self.steps):
            batch = rng.randint(0, len(inputs), self.batch_size)
            x, target = library.tensor(inputs[batch].astype(dtype)), library.tensor(labels[batch].astype(np.int64))
            loss = library.lib.nn.functional.cross_entropy(model(x), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        model.eval()
        scores = library.array(model(library.tensor(inputs[:4].astype(dtype))))
        return {"losses": np.array(losses), "scores in eval mode": scores}


def _step_scheduler(lib: Any, optimizer: Any, scheduler: Any, step: int) -> None:
    if scheduler is not None:
        scheduler.step()


def _make_inputs(
    library: Any, makers: Sequence[Input], dtype: str, rng: np.random.RandomState
) -> tuple[list[Any], dict[str, Any]]:
    inputs, variables = [], {}
    for i, maker in enumerate(makers):
        drawn = maker(rng)
        array = drawn.array if isinstance(drawn, _Fixed) else drawn
        if array.dtype.kind == "f":
            array = array.astype(dtype, order="K")
        tensor = library.tensor(array, requires_grad=array.dtype.kind == "f" and not isinstance(drawn, _Fixed))
        if tensor.requires_grad:
            variables[f"input {i}"] = tensor
        inputs.append(tensor)
    return inputs, variables


def _flatten(library: Any, result: Any, label: str) -> Iterator[tuple[str, Any]]:
    if library.is_tensor(result):
        yield label, result
    elif isinstance(result, dict):
        for key, part in result.items():
            yield from _flatten(library, part, f"{label} {key}")
    elif isinstance(result, tuple | list):
        for i, part in enumerate(result):
            yield from _flatten(library, part, f"{label} {i}")
    elif isinstance(result, bool | int | float | np.generic):
        yield label, library.tensor(np.asarray(result))
    elif result is not None:
        raise TypeError(f"a case returned a {type(result).__name__} at {label}: return tensors")


def _add_gradients(
    library: Any,
    outputs: dict[str, Any],
    variables: dict[str, Any],
    dtype: str,
    rng: np.random.RandomState,
    second: bool,
    found: dict[str, Any],
) -> None:
    """Put the gradient of each variable into `found`; with `second`, the gradients' gradients too."""
    name = "gradient"
    targets = dict(variables)
    for order in (1, 2) if second else (1,):
        # Cotangents are drawn for every float output, so that both libraries draw the same ones.
        drawn = {k: normal(*y.shape)(rng) for k, y in outputs.items() if library.is_float(y)}
        pairs = [
            (outputs[k], library.tensor(v.astype(str(found[k].dtype)), requires_grad=second))
            for k, v in drawn.items()
            if outputs[k].requires_grad
        ]
        if not pairs or not targets:
            return
        ys, vs = zip(*pairs, strict=True)
        gradients = library.grad(ys, list(targets.values()), vs, create_graph=second and order == 1)
        outputs = {}
        for (label, x), g in zip(list(targets.items()), gradients, strict=True):
            # "No gradient" and "zero" are the same number.
            g = library.tensor(np.zeros(tuple(x.shape), dtype)) if g is None else g
            key = f"{name} {label}"
            found[key] = library.array(g)
            outputs[key] = g
        name = "second derivative"
        if second:
            targets.update({f"cotangent {i}": v for i, v in enumerate(vs)})


# -- comparing -------------------------------------------------------------------------------------------

_WHOLE = 16  # arrays up to this size are kept whole
_SAMPLED, _PROJECTED = 6, 4


def digest(array: Any, whole: bool = False) -> list[float]:
    """A few numbers that stand for an array: all of it if small; else some elements and some random sums.

    A random sum of all elements changes when any element does, so nothing goes unnoticed. It does not say which
    element differs: for that, compare with PyTorch live.
    """
    flat = np.asarray(array, np.float64).reshape(-1)
    if whole or flat.size <= _WHOLE:
        return flat.tolist()
    rng = np.random.RandomState(flat.size % (1 << 32))
    sample = flat[rng.randint(0, flat.size, _SAMPLED)]
    finite = np.isfinite(flat)
    weights = rng.standard_normal((_PROJECTED, flat.size))
    sums = weights @ np.where(finite, flat, 0.0) / np.sqrt(flat.size)
    # Where NaN, +∞ and −∞ are, as one more sum.
    kind = np.isnan(flat) * 1.0 + np.isposinf(flat) * 2.0 + np.isneginf(flat) * 3.0
    return [*sample, *sums, float(weights[0] @ kind)]


def scale_of(array: Any) -> float:
    finite = np.abs(np.asarray(array, np.float64))
    finite = finite[np.isfinite(finite)]
    return float(finite.max()) if finite.size else 0.0


def difference(actual: Any, expected: Any, scale: float, tolerance: float) -> str | None:
    """What is wrong with `actual`, or None."""
    actual, expected = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    allowed = tolerance * max(scale, SMALLEST_SCALE)
    with np.errstate(invalid="ignore"):
        same = (np.abs(actual - expected) <= allowed) | (actual == expected) | (np.isnan(actual) & np.isnan(expected))
    if same.all():
        return None
    at = tuple(int(i) for i in np.argwhere(~same)[0])
    return (
        f"{(~same).sum()} of {same.size} numbers differ by more than {allowed:.3g}; the first at {at}: "
        f"{actual[at]!r}, expected {expected[at]!r}"
    )


def record(case: Case, torch: Torch) -> dict[str, Any]:
    """The golden entry of a case: for each label dtypes, shape, scale and digest. Run this with PyTorch."""
    runs = {dtype: case.run(torch, dtype) for dtype in dict.fromkeys(("float64", *case.dtypes))}
    entry = {}
    for label, array in runs["float64"].items():
        dtypes = {dtype: str(run[label].dtype) for dtype, run in runs.items()}
        entry[label] = {
            "shape": list(array.shape),
            "scale": float(f"{scale_of(array):.3g}"),
            "values": [float(f"{v:.13g}") for v in digest(array, case.whole)],
        }
        if any(given != dtype for dtype, given in dtypes.items()):  # usually the dtype is that of the run
            entry[label]["dtype"] = dtypes
    return entry


def check_golden(case: Case, dtype: str, entry: dict[str, Any]) -> list[str]:
    """Run a case with minigrad, and list how it differs from its golden entry."""
    found = case.run(Minigrad(), dtype)
    problems = _missing(found, entry)
    for label in found.keys() & entry.keys():
        actual, expected = found[label], entry[label]
        if list(actual.shape) != expected["shape"]:
            problems.append(f"{label}: shape {list(actual.shape)}, expected {expected['shape']}")
            continue
        expected_dtype = expected.get("dtype", {}).get(dtype, dtype)
        if str(actual.dtype) != expected_dtype:
            problems.append(f"{label}: dtype {actual.dtype}, expected {expected_dtype}")
        wrong = difference(digest(actual, case.whole), expected["values"], expected["scale"], case.tolerance[dtype])
        if wrong:
            problems.append(f"{label} (shape {actual.shape}): {wrong}")
    return sorted(problems)


def check_live(case: Case, dtype: str) -> list[str]:
    """Run a case with minigrad and with PyTorch, and list how they differ."""
    found, reference = case.run(Minigrad(), dtype), case.run(Torch(), dtype)
    exact = reference if dtype == "float64" else case.run(Torch(), "float64")
    problems = _missing(found, reference)
    for label in found.keys() & reference.keys():
        actual, expected = found[label], reference[label]
        if actual.shape != expected.shape or actual.dtype != expected.dtype:
            problems.append(f"{label}: {actual.dtype}{actual.shape}, expected {expected.dtype}{expected.shape}")
            continue
        wrong = difference(actual, exact[label], scale_of(exact[label]), case.tolerance[dtype])
        if wrong:
            problems.append(f"{label} (shape {actual.shape}): {wrong}")
    return sorted(problems)


def _missing(found: Any, expected: Any) -> list[str]:
    problems = [f"{label}: minigrad gives it, PyTorch does not" for label in found.keys() - expected.keys()]
    return problems + [f"{label}: PyTorch gives it, minigrad does not" for label in expected.keys() - found.keys()]
