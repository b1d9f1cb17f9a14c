"""Inputs for a module that is to be drawn: of given shapes, or guessed from its layers."""

import inspect
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from minigrad.autograd import Tensor, no_grad
from minigrad.nn.module import Module
from minigrad.ops.creation import randint, randn, zeros
from minigrad.ops.random import get_rng_state, set_rng_state
from minigrad.viz import watching

BATCH, STEPS = 2, 8
SIZES = (8, 16, 28, 32, 12, 14, 24, 10, 20, 48, 64, 96, 128, 224)
"""Lengths of an image that are tried: a network that ends in a Linear layer takes only one of them."""

WAY_OUT = "give the shape of each input, such as --input 4,64, or --input int:4,16 for indices"


def of_shapes(thing: Any, shapes: Sequence[tuple[str | None, tuple[int, ...]]], who: str) -> tuple[Tensor, ...]:
    """Random inputs of these (kind, shape), kind being "float", "int", "bool" or None, which fits the first layer.

    Integers are indices that each embedding of a module has, and 0 or 1 where there is none.

    Raises:
        ValueError: the function or module takes another number of inputs.
    """
    modules = list(thing.modules()) if isinstance(thing, Module) else []
    rows = [rows for module in modules if (rows := vars(module).get("num_embeddings"))]
    first = next((m for m in modules if any(_tensors_for(m))), None)
    dtype = _dtype(thing)
    made = []
    for kind, shape in shapes:
        if kind is None:
            kind = "int" if hasattr(first, "num_embeddings") else "float"
        if kind == "float":
            made.append(randn(*shape, dtype=dtype))
        else:
            made.append(randint(0, min(rows, default=2), shape) if kind == "int" else zeros(*shape, dtype=np.bool_))
    if not takes(thing, len(made)):
        names = required(thing)
        needs = f"needs {len(names)}: {', '.join(names)}" if names else "takes none"
        raise ValueError(f"{who}: number of inputs given by --input: {len(made)}; it {needs}")
    return tuple(made)


def guessed(module: Module, who: str) -> tuple[Tensor, ...]:
    """Inputs that the module accepts, guessed from its layers; found by trying them.

    Raises:
        ValueError: nothing that was tried is accepted.
    """
    names = required(module)
    if not names:
        return ()
    refused = ""
    dtype, seen = _dtype(module), set()
    for part in module.modules():  # mostly the first layer is the one that the data reach first
        for make in _tensors_for(part):
            inputs = tuple(make(dtype) for _ in names)
            kind = _type(inputs[0])
            if kind in seen:
                continue
            seen.add(kind)
            error = _error_of(module, inputs)
            if error is None:
                return inputs
            refused = refused or f" (Tried first: {kind}; {type(error).__name__}: {error})"
    raise ValueError(f"{who}: this Module needs {len(names)} input{'s' * (len(names) > 1)}; {WAY_OUT}{refused}")


def required(thing: Any) -> list[str]:
    """The names of the arguments that must be given."""
    try:
        parameters = _signature(thing).parameters.values()
    except (TypeError, ValueError):
        return []
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [p.name for p in parameters if p.default is p.empty and p.kind in positional]


def takes(thing: Any, count: int) -> bool:
    """Can it be called with this number of inputs?"""
    try:
        _signature(thing).bind(*[None] * count)
    except TypeError:
        return False
    except ValueError:  # a function that does not tell
        return True
    return True


def _signature(thing: Any) -> inspect.Signature:
    return inspect.signature(thing.forward if isinstance(thing, Module) else thing)


def _dtype(thing: Any) -> Any:
    parameters: list[Any] = list(thing.parameters()) if isinstance(thing, Module) else []
    return next((p.dtype for p in parameters if p.dtype.kind == "f"), np.dtype(np.float32))


def _type(x: Tensor) -> str:
    return f"{x.dtype} of shape {x.shape}"


def _tensors_for(layer: Any) -> Iterator[Callable[[Any], Tensor]]:
    """Makers of inputs for one layer, by the sizes that it names."""

    def normal(*shape: int) -> Callable[[Any], Tensor]:
        return lambda dtype: randn(*shape, dtype=dtype)

    size = vars(layer).get
    if size("num_embeddings"):
        yield lambda dtype: randint(0, size("num_embeddings"), (BATCH, STEPS))
    elif size("in_channels"):
        axes = layer.weight.ndim - 2
        for n in SIZES:
            if n**axes <= SIZES[-1] ** 2:
                yield normal(BATCH, size("in_channels"), *[n] * axes)
    elif size("in_features"):
        yield normal(BATCH, size("in_features"))
        yield normal(BATCH, STEPS, size("in_features"))
        # A picture in front of a Flatten that makes this number of features of it.
        for channels in (1, 3):
            side = math.isqrt(size("in_features") // channels)
            if channels * side * side == size("in_features"):
                yield normal(BATCH, channels, side, side)
    elif size("input_size"):  # recurrent layers, and their cells
        if hasattr(layer, "batch_first"):
            first, second = (BATCH, STEPS) if layer.batch_first else (STEPS, BATCH)
            yield normal(first, second, size("input_size"))
        else:
            yield normal(BATCH, size("input_size"))
    elif size("embed_dim"):  # attention
        yield normal(BATCH, STEPS, size("embed_dim"))
    elif size("normalized_shape"):
        yield normal(BATCH, *size("normalized_shape"))
        yield normal(BATCH, STEPS, *size("normalized_shape"))
    elif size("num_features") or size("num_channels"):
        channels = size("num_features") or size("num_channels")
        for axes in range(4):
            yield normal(BATCH, channels, *[STEPS] * axes)


def _error_of(module: Module, inputs: tuple[Tensor, ...]) -> Exception | None:
    """Does the module run on these inputs? It is left as it was."""
    state = get_rng_state()
    try:
        with no_grad():
            program = watching.record(module, *inputs)
        program.restore()
    except TypeError as error:  # it returned no tensor
        return error
    finally:
        set_rng_state(state)
    return program.error
