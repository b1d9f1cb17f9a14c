"""Names, order and defaults of arguments are PyTorch's, as recorded in `golden/signatures.json`.

What differs on purpose stands in the tables here, with its reason; everything else is a fault.
"""

import ast
import inspect
import json
from pathlib import Path
from typing import Any

import pytest

import minigrad as mg

RECORDED: dict[str, list[str]] = json.loads((Path(__file__).parent / "golden" / "signatures.json").read_text())

# Arguments of PyTorch's that mean nothing on a CPU with NumPy arrays, or are deprecated or internal there.
ABSENT = {
    "out", "device", "layout", "pin_memory", "memory_format", "requires_grad", "generator", "foreach",
    "capturable", "differentiable", "fused", "size_average", "reduce", "_stacklevel", "min_value", "max_value",
    "sparse", "sparse_grad", "enable_nested_tensor", "mask_check", "output_size_hint", "out_dtype",
}  # fmt: skip

# Given by keyword everywhere, so that its place does not matter.
BY_KEYWORD = {"dtype", "device", "generator", "requires_grad"}

# The same thing under another name: ours → PyTorch's. Axes may be named
# `axis` or `dim` in every call.
RENAMED = {
    "axis": {"dim"},
    "axes": {"dims"},
    "dim0": {"axis0"},
    "dim1": {"axis1"},
    "sizes": {"dims"},
    "modules": {"args"},
    "array": {"ndarray"},
    "split_size": {"split_size_or_sections"},
}

# name → why its signature is not compared
DIFFERENT = {
    "arange": "(start=0, end, step=1) cannot be written in Python",
    "randint": "(low=0, high, size) cannot be written in Python",
    "bernoulli": "takes a number and a shape as well as a tensor of probabilities",
    "normal": "takes numbers and a shape as well as tensors",
    "einsum": "the equation has a name",
    "randint_like": "(low=0, high) cannot be written in Python",
    "scatter": "takes src or value, and reduce, in one function",
    "true_divide": "is div",
    "no_grad": "is a function here, and takes the function that it decorates if there are no brackets",
    "set_num_threads": "the number has a name",
    "load": "reads plain files without pickle, which needs no options",
    "set_rng_state": "the state is NumPy's",
    "nn.UninitializedBuffer": "whether it is saved is told where it is registered, not here",
    "var": "takes both of PyTorch's forms, (dim, unbiased, keepdim) and (dim, *, correction, keepdim)",
    "std": "as var",
    "var_mean": "as var",
    "std_mean": "as var",
    "median": "one function for all axes and one axis",
}

# name → arguments of PyTorch's that ours lacks
_TABLE_OPTIONS = {"max_norm", "norm_type", "scale_grad_by_freq", "_weight", "_freeze"}
MISSING: dict[str, set[str]] = {
    "index_add": {"alpha"},
    "cdist": {"compute_mode"},
    "repeat_interleave": {"output_size"},
    "nn.Embedding": _TABLE_OPTIONS,
    "nn.functional.embedding": _TABLE_OPTIONS,
    "nn.functional.interpolate": {"align_corners", "recompute_scale_factor", "antialias"},
}

# name → arguments of ours that PyTorch's lacks; they have defaults
EXTRA: dict[str, set[str]] = {
    "nn.RNNCell": {"norm"},  # a normalization before the activation
    "nn.LSTMCell": {"norm"},
    "nn.GRUCell": {"norm"},
    "nn.LocalResponseNorm": {"average"},  # mean or sum of squares
    "nn.functional.local_response_norm": {"average"},
    "nn.RMSNorm": {"partial"},  # the paper's second method
    "nn.functional.rms_norm": {"partial"},
    "nn.utils.parametrizations.weight_norm": {"groups"},  # of a transposed convolution, apart
}

# (name, argument) → why its default is another one
DEFAULTS = {
    **{
        (f"{room}.{name}", argument): "PyTorch guesses an axis, and warns"
        for room, names, argument in (
            ("nn", ("Softmax", "Softmin", "LogSoftmax"), "dim"),
            ("nn.functional", ("softmax", "softmin", "log_softmax"), "axis"),
        )
        for name in names
    },
    ("sort", "stable"): "NumPy's stable sort is as fast",
    ("argsort", "stable"): "NumPy's stable sort is as fast",
    ("topk", "axis"): "PyTorch's None is the last axis too",
    ("norm", "p"): "PyTorch's 'fro' is 2 for a vector",
    ("meshgrid", "indexing"): "PyTorch's None is 'ij', with a warning",
    ("nn.functional.rrelu_", "lower"): "1 / 8, written as a fraction",
    ("nn.functional.rrelu_", "upper"): "1 / 3, written as a fraction",
    ("nn.Parameter", "data"): "an empty parameter is of no use",
}

NO_DEFAULT = "(required)"


def theirs(signature: str) -> list[tuple[str, Any]] | None:
    """Names and defaults in a recorded signature; None where it is not Python."""
    signature = signature.replace("\\*", "*")
    if signature.startswith("*") and signature.count("*") > 1:  # "*size, *, out=None", as PyTorch writes it
        signature = signature.replace(" *,", "")
    try:
        definition = ast.parse(f"def f({signature}): ...").body[0]
    except SyntaxError:
        return None
    assert isinstance(definition, ast.FunctionDef)
    arguments = definition.args
    plain = [*arguments.posonlyargs, *arguments.args]
    defaults = [NO_DEFAULT] * (len(plain) - len(arguments.defaults)) + [value(d) for d in arguments.defaults]
    found = [(a.arg, d) for a, d in zip(plain, defaults, strict=True)]
    if arguments.vararg is not None:
        found.append(("*" + arguments.vararg.arg, NO_DEFAULT))
    for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        found.append((a.arg, NO_DEFAULT if d is None else value(d)))
    return found


def value(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError:
        return ast.unparse(node)


def ours(thing: Any) -> list[tuple[str, Any]]:
    found = []
    for p in inspect.signature(thing).parameters.values():
        name = "*" + p.name if p.kind is p.VAR_POSITIONAL else p.name
        found.append((name, NO_DEFAULT if p.default is p.empty else p.default))
    return found


def differences(name: str, mine: list[tuple[str, Any]], recorded: str) -> str | None:
    """Why this is not PyTorch's signature; None if it is."""
    reference = theirs(recorded)
    if reference is None:
        return f"({recorded}) cannot be read"
    known = {n for n, _ in mine}
    left_out = (ABSENT - known) | MISSING.get(name, set()) | BY_KEYWORD
    reference = [(n, d) for n, d in reference if n not in left_out]
    extra = EXTRA.get(name, set())
    if [n for n, d in mine if n in extra and d is NO_DEFAULT]:
        return "an argument that PyTorch lacks has no default"
    kept = [(n, d) for n, d in mine if n not in extra | BY_KEYWORD]
    if len(kept) != len(reference):
        return f"({describe(mine)}) has not the arguments of ({describe(reference)})"
    for (n, d), (rn, rd) in zip(kept, reference, strict=True):
        if n != rn and rn.lstrip("*") not in {n.lstrip("*")} | RENAMED.get(n.lstrip("*"), set()):
            return f"{n} stands where PyTorch has {rn}: ({describe(mine)}) against ({describe(reference)})"
        # What PyTorch asks for may be optional here.
        if rd != NO_DEFAULT and d != rd and not (d == () and rd is None) and (name, n) not in DEFAULTS:
            return f"{n}={d!r}, and PyTorch's default is {rd!r}"
    return None


def describe(parameters: list[tuple[str, Any]]) -> str:
    return ", ".join(n if d is NO_DEFAULT else f"{n}={d!r}" for n, d in parameters)


def compared() -> list[str]:
    rooms = {
        "": mg,
        "nn.": mg.nn,
        "nn.functional.": mg.nn.functional,
        "nn.init.": mg.nn.init,
        "nn.utils.parametrize.": mg.nn.utils.parametrize,
        "nn.utils.parametrizations.": mg.nn.utils.parametrizations,
        "optim.": mg.optim,
        "optim.lr_scheduler.": mg.optim.lr_scheduler,
    }
    return [
        prefix + name
        for prefix, room in rooms.items()
        for name, thing in vars(room).items()
        if (inspect.isfunction(thing) or inspect.isclass(thing))
        and prefix + name in RECORDED
        and prefix + name not in DIFFERENT
    ]


def find(name: str) -> Any:
    thing: Any = mg
    for part in name.split("."):
        thing = getattr(thing, part)
    return thing


@pytest.mark.parametrize("name", compared())
def test_a_signature_is_pytorchs(name):
    mine = ours(find(name))
    problems = [differences(name, mine, recorded) for recorded in RECORDED[name]]
    assert None in problems, f"{name}: " + "; or ".join(str(p) for p in problems)


# Containers are not called, or take what their `forward` takes.
NOT_CALLED = {"Module", "ModuleDict", "ModuleList", "ParameterDict", "ParameterList"}


def layers() -> list[str]:
    return [n for n, c in vars(mg.nn).items() if f"nn.{n}.forward" in RECORDED and isinstance(c, type)]


@pytest.mark.parametrize("name", sorted(set(layers()) - NOT_CALLED))
def test_the_arguments_of_forward_are_pytorchs(name):
    (recorded,) = RECORDED[f"nn.{name}.forward"]
    _, *mine = inspect.signature(getattr(mg.nn, name).forward).parameters
    wanted = recorded.split(", ")
    assert mine[: len(wanted)] == wanted


@pytest.mark.parametrize("name", [n for n in vars(mg.nn.functional) if f"nn.functional.{n}" in RECORDED])
def test_the_first_argument_of_a_function_bears_pytorchs_name(name):
    names = [theirs(recorded) for recorded in RECORDED[f"nn.functional.{name}"]]
    first = ours(getattr(mg.nn.functional, name))[0][0]
    assert first in {found[0][0] for found in names if found}


def test_the_tables_name_only_what_exists():
    for name in [*DIFFERENT, *EXTRA, *MISSING, *(name for name, _ in DEFAULTS)]:
        assert name in RECORDED
        find(name)
