"""The ONNX project's published node tests of the normalizations, through minigrad's functions.

The cases come with the `onnx` package: a node with its attributes, inputs and expected outputs. `ADAPTERS` says what
a node means in minigrad. Of some ops ONNX also publishes the definition, as a graph of small ops (the cases named
`..._expanded`); these run on minigrad's small ops, node by node.

What ONNX means by its words: batch norm's momentum weighs the *old* running value, and the running variance averages
the biased one; LRN is PyTorch's, which divides α by the window; LpNormalization has no ε; MeanVarianceNormalization
adds ε to the deviation and not to the variance.
"""

import warnings
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.nn import functional as F

onnx = pytest.importorskip("onnx", reason="the published cases come with the onnx package")
from onnx.backend.test.case.node import collect_testcases  # noqa: E402

# -- nodes as calls of minigrad's functions -----------------------------------------------------------------


def batch_normalization(
    x: Any,
    scale: Any,
    bias: Any,
    mean: Any,
    var: Any,
    epsilon: Any = 1e-5,
    momentum: Any = 0.9,
    training_mode: Any = 0,
) -> Any:
    if not training_mode:
        return F.batch_norm(x, mean, var, scale, bias, training=False, eps=epsilon)
    n, kept = x.numel() // x.shape[1], momentum * var
    y = F.batch_norm(x, mean, var, scale, bias, training=True, momentum=1 - momentum, eps=epsilon)
    return y, mean, kept + (var - kept) * ((n - 1) / n)


def layer_normalization(
    x: Any, scale: Any, bias: Any = None, axis: Any = -1, epsilon: Any = 1e-5, stash_type: Any = 1
) -> Any:
    shape = x.shape[axis:]
    axes = tuple(range(-len(shape), 0))
    inv_std = 1 / mg.sqrt(mg.var(x, axes, correction=0, keepdim=True) + epsilon)
    return F.layer_norm(x, shape, scale, bias, epsilon), mg.mean(x, axes, keepdim=True), inv_std


def lp_normalization(x: Any, axis: Any = -1, p: Any = 2) -> Any:
    return F.normalize(x, p, axis)


def lrn(x: Any, size: Any, alpha: Any = 1e-4, beta: Any = 0.75, bias: Any = 1.0) -> Any:
    return F.local_response_norm(x, size, alpha, beta, bias)


ADAPTERS: dict[str, Callable[..., Any]] = {
    "BatchNormalization": batch_normalization,
    "GroupNormalization": lambda x, scale, bias, num_groups, epsilon=1e-5, stash_type=1: F.group_norm(
        x, num_groups, scale, bias, epsilon
    ),
    "InstanceNormalization": lambda x, scale, bias, epsilon=1e-5: F.instance_norm(
        x, None, None, scale, bias, eps=epsilon
    ),
    "LayerNormalization": layer_normalization,
    "LpNormalization": lp_normalization,
    "LRN": lrn,
    "MeanVarianceNormalization": F.mean_variance_normalization,
    "RMSNormalization": lambda x, scale, axis=-1, epsilon=1e-5, stash_type=1: F.rms_norm(
        x, x.shape[axis:], scale, epsilon
    ),
}

# -- the small ops of ONNX's definitions --------------------------------------------------------------------


def ints(tensor: Any) -> list[int]:
    return [int(i) for i in tensor.numpy().ravel()]


def whole_slice(x: Any, starts: Any, ends: Any) -> Any:
    ((start,), (end,)) = (ints(starts), ints(ends))
    return x[start:end]


def reshaped(x: Any, shape: Any) -> Any:
    return x.reshape([x.shape[i] if n == 0 else n for i, n in enumerate(ints(shape))])


def constant(value: Any = None, **values: Any) -> Any:
    if value is not None:
        return mg.tensor(np.array(onnx.numpy_helper.to_array(value)))
    ((_, numbers),) = values.items()
    return mg.tensor(np.array(numbers))


def divided(x: Any, y: Any) -> Any:
    return x // y if x.dtype.kind == "i" else x / y


SMALL_OPS: dict[str, Callable[..., Any]] = {
    "Add": lambda x, y: x + y,
    "Cast": lambda x, to: x.to(onnx.helper.tensor_dtype_to_np_dtype(to)),
    "Concat": lambda *xs, axis: mg.concat(xs, axis),
    "Constant": constant,
    "ConstantOfShape": lambda shape, value: mg.tensor(np.full(ints(shape), onnx.numpy_helper.to_array(value)[0])),
    "Div": divided,
    "Flatten": lambda x, axis=1: x.reshape(int(np.prod(x.shape[:axis])), -1),
    "Identity": lambda x: x,
    "Mul": lambda x, y: x * y,
    "Neg": lambda x: -x,
    "Pow": lambda x, y: x**y,
    "Range": lambda start, limit, delta: mg.arange(start.item(), limit.item(), delta.item()),
    "Reciprocal": lambda x: 1 / x,
    "ReduceMean": lambda x, over=None, axes=None: mg.mean(
        x, tuple(axes if over is None else ints(over)), keepdim=True
    ),
    "Reshape": reshaped,
    "Shape": lambda x, start=0, end=None: mg.tensor(np.array(x.shape[start:end])),
    "Size": lambda x: mg.tensor(np.array(x.numel())),
    "Slice": whole_slice,
    "Sqrt": mg.sqrt,
    "Sub": lambda x, y: x - y,
}


# -- the cases ----------------------------------------------------------------------------------------------


def published() -> dict[str, Any]:
    """The cases of these ops, whole and expanded, by name."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # the cases of all ops are made, and some overflow on purpose
        cases = {case.name: case for case in collect_testcases(None)}
    whole = {name for name, case in cases.items() if case.model.graph.node[0].op_type in ADAPTERS}
    return {name: case for name, case in cases.items() if name.split("_expanded")[0] in whole}


CASES = published()


def run(case: Any) -> list[Any]:
    """The outputs of the case's graph."""
    graph = case.model.graph
    (inputs, _), *others = case.data_sets
    assert not others
    values = {"": None}
    values |= {value.name: mg.tensor(np.array(x)) for value, x in zip(graph.input, inputs, strict=True)}
    for node in graph.node:
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        function = ADAPTERS.get(node.op_type) or SMALL_OPS[node.op_type]
        results = function(*[values[name] for name in node.input], **attributes)
        results = results if isinstance(results, tuple | list) else [results]
        values |= dict(zip(node.output, results, strict=False))
    return [values[value.name] for value in graph.output]


FORMS = [(name, form) for name in CASES for form in ("fused", "composed") if form == "fused" or "expanded" not in name]


@pytest.mark.parametrize(("name", "form"), FORMS)
def test_onnx_node(name: str, form: str):
    case = CASES[name]
    with mg.composed() if form == "composed" else nullcontext():
        found = run(case)
    ((_, expected),) = case.data_sets
    for y, e in zip(found, expected, strict=True):
        assert y.dtype == e.dtype
        np.testing.assert_allclose(y.numpy(), e, rtol=case.rtol, atol=case.atol)


def test_all_eight_ops_are_there():
    assert {case.model.graph.node[0].op_type for case in CASES.values()} >= ADAPTERS.keys()
    assert sum("expanded" not in name for name in CASES) >= 55
