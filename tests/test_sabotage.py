"""Do the tests notice? Each row breaks something on purpose and names the check that must find out.

A check that never fails is worth nothing. Here rules lose a term, kernels put ε in the wrong place, running
statistics freeze, optimizers forget their corrections; and gradcheck, the comparison of fused with composed
forms, the recorded numbers of PyTorch, or an identity must object. Some rows also name a check that is *blind*
to the fault and passes: the reason why there is more than one.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.autograd import engine, gradcheck, gradgradcheck
from minigrad.autograd.tensor import raw
from minigrad.data import scalers
from minigrad.ops.norm import common
from tests import test_scalers, test_whitening
from tests.parity import families
from tests.parity.case import check_golden
from tests.sabotage import Patch, attribute, forward, gradient, kernel, op, option, rule

F = mg.nn.functional


# -- the checks ---------------------------------------------------------------------------------------------


def random(*shape: int, seed: int = 0) -> mg.Tensor:
    return mg.Tensor(np.random.default_rng(seed + sum(shape)).standard_normal(shape), requires_grad=True)


def assigned_twice(x: Any, v: Any) -> Any:
    """Of three values for two places, the second one is overwritten by the third."""
    y = x * 1
    y[[0, 2, 2], 1] = v
    return y * y


FUNCTIONS: dict[str, tuple[Any, list[mg.Tensor]]] = {
    "matmul": (lambda a, b: a @ b, [random(3, 3), random(3, 3, seed=1)]),
    "multiply": (lambda a, b: a * b, [random(3, 2), random(2, seed=1)]),
    "reuse": (lambda x: x * x + x.exp() * x, [random(4)]),
    "exp": (lambda x: x.exp(), [random(4)]),
    "relu": (F.relu, [random(8)]),
    "elu": (F.elu, [random(8)]),
    "softmax": (lambda x: F.softmax(x, 1), [random(3, 4)]),
    "log_softmax": (lambda x: F.log_softmax(x, 1), [random(3, 4)]),
    "index": (lambda x: x[[0, 2, 0]], [random(3, 2)]),
    "assignment": (assigned_twice, [random(3, 2), random(3)]),
    "scatter": (
        lambda x, v: x.scatter(0, mg.tensor([[1, 1, 0]]).T, v.reshape(3, 1)),
        [random(3, 2), random(3)],
    ),
    "embedding": (lambda w: F.embedding(mg.tensor([0, 2, 0]), w), [random(3, 2)]),
    "cross_entropy": (lambda x: F.cross_entropy(x, mg.tensor([0, 2, 1])), [random(3, 4)]),
    "batch_norm": (
        lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True, eps=0.1),
        [random(5, 3), random(3), random(3, seed=1)],
    ),
    "layer_norm": (lambda x, w, b: F.layer_norm(x, (4,), w, b, eps=0.1), [random(3, 4), random(4), random(4, seed=1)]),
    "group_norm": (lambda x, w, b: F.group_norm(x, 2, w, b, eps=0.1), [random(2, 4, 3), random(4), random(4, seed=1)]),
    "instance_norm": (lambda x: F.instance_norm(x, eps=0.1), [random(2, 2, 4)]),
    "conv2d": (
        lambda x, w, b: F.conv2d(x, w, b, stride=2, padding=1),
        [random(1, 2, 5, 4), random(3, 2, 3, 2), random(3)],
    ),
    "max_pool2d": (lambda x: F.max_pool2d(x, 2), [random(1, 2, 4, 4)]),
    "dropout": (lambda x: (mg.manual_seed(0), F.dropout(x, 0.5))[1], [random(8)]),
}


def first_order(name: str) -> None:
    function, inputs = FUNCTIONS[name]
    gradcheck(function, inputs)


def second_order(name: str) -> None:
    function, inputs = FUNCTIONS[name]
    gradgradcheck(function, inputs)


def with_ones(name: str) -> None:
    """A gradient test as it should not be: the cotangent is 1 everywhere, the loss y.sum()."""
    function, inputs = FUNCTIONS[name]
    gradcheck(lambda *xs: function(*xs).sum(), inputs)


def fused_is_composed(name: str) -> None:
    function, inputs = FUNCTIONS[name]

    def all_orders() -> list[Any]:
        y = function(*inputs)
        v = random(*y.shape, seed=7)
        gradients = mg.grad(y, inputs, v, create_graph=True)
        second = mg.grad(gradients, [*inputs, v], [random(*g.shape, seed=8) for g in gradients], allow_unused=True)
        return [raw(t) for t in (y, *gradients, *second) if t is not None]

    fused = all_orders()
    with mg.composed():
        composed = all_orders()
    for a, b in zip(fused, composed, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


@cache
def golden() -> dict[str, Any]:
    return json.loads((Path(__file__).parent / "golden" / "sabotaged.json").read_text())


def parity(name: str) -> None:
    (case,) = (c for c in families()["sabotaged"] if c.name == name)
    problems = check_golden(case, "float64", golden()[name])
    assert not problems, problems


def far_from_zero() -> None:
    """float32 values near 10⁶ normalize to within 1e-5 of the float64 answer."""
    x = 1e6 + np.random.default_rng(0).standard_normal((4, 64))
    exact = x.astype(np.float32).astype(np.float64)
    exact = (exact - exact.mean(1, keepdims=True)) / np.sqrt(exact.var(1, keepdims=True) + 1e-5)
    found = F.layer_norm(mg.tensor(x.astype(np.float32)), (64,))
    np.testing.assert_allclose(found.numpy(), exact, atol=1e-5)


def dropout_keeps_the_mean() -> None:
    mg.manual_seed(0)
    assert set(F.dropout(mg.ones(1000), 0.75).tolist()) == {0.0, 4.0}


def softmax_sums_to_one() -> None:
    np.testing.assert_allclose(F.softmax(random(3, 4), 1).detach().numpy().sum(1), 1)


def clipping_reaches_the_norm() -> None:
    x, y = random(2), random(2)
    x.grad, y.grad = mg.tensor(np.array([3.0, 4.0])), mg.tensor(np.array([0.0, 12.0]))
    assert float(mg.optim.clip_grad_norm_([x, y], 2.0)) == 13.0
    np.testing.assert_allclose(np.hypot(*(np.linalg.norm(p.grad.numpy()) for p in (x, y))), 2.0, rtol=1e-5)


# -- ways to break things -----------------------------------------------------------------------------------


def norm_gradient(change: Callable[..., Any]) -> Callable[[Patch], None]:
    """Change what every norm's backward kernel writes for x: `change(dx, g, x_hat, inv_std)` over the shared axes."""

    def apply(patch: Patch) -> None:
        original = common.FusedNorm.gradients

        def gradients(self: Any, g: Any, x: Any, gamma: Any, beta: Any) -> Any:
            dx, *rest = original(self, g, x, gamma, beta)
            rows = as_rows(self, x)
            weight = np.ones(x.shape) if gamma is None else np.broadcast_to(spread(self, gamma, x), x.shape)
            gg = as_rows(self, g * weight)
            inv_std = 1 / np.sqrt(rows.var(1, keepdims=True) + self.eps)
            x_hat = (rows - rows.mean(1, keepdims=True)) * inv_std
            return from_rows(self, change(as_rows(self, dx), gg, x_hat, inv_std), x), *rest

        patch.setattr(common.FusedNorm, "gradients", gradients)

    return apply


def spread(norm: Any, gamma: Any, x: Any) -> Any:
    """γ in a shape that broadcasts against x."""
    if isinstance(norm, common.RowNorm) and norm.run == 1:
        return gamma
    return gamma.reshape((-1,) + (1,) * (x.ndim - 2))


def as_rows(norm: Any, x: Any) -> Any:
    """One row for each group of elements that share statistics."""
    if isinstance(norm, common.RowNorm):
        return x.reshape(-1, norm.length)
    return np.moveaxis(x, 1, 0).reshape(norm.parameters, -1)


def from_rows(norm: Any, rows: Any, x: Any) -> Any:
    if isinstance(norm, common.RowNorm):
        return rows.reshape(x.shape)
    return np.moveaxis(rows.reshape(x.shape[1], x.shape[0], *x.shape[2:]), 0, 1).copy()


def without_mean_term(dx: Any, g: Any, x_hat: Any, inv_std: Any) -> Any:
    return inv_std * (g - x_hat * (g * x_hat).mean(1, keepdims=True))


def without_variance_term(dx: Any, g: Any, x_hat: Any, inv_std: Any) -> Any:
    return inv_std * (g - g.mean(1, keepdims=True))


def cached_statistics(self: Any, g: Any) -> Any:
    """The closed form of batch norm's gradient, with the statistics of the forward pass as constants."""
    x, gamma, _ = self.saved
    mu, inv_std = self.stats[0] + self.stats[1], self.stats[2]
    x_hat = (x - mu) * inv_std
    dx = gamma * inv_std * (g - g.mean(0) - x_hat * (g * x_hat).mean(0))
    return dx, (g * x_hat).sum(0), g.sum(0)


def outside_the_root(original: Any) -> Any:
    """ε added to the deviation rather than to the variance."""

    def normalize(self: Any, x: Any, gamma: Any, beta: Any, y: Any) -> None:
        original(self, x, gamma, beta, y)
        std = np.sqrt(self.stats[3])
        ratio = (1 / (std + self.eps)) / self.stats[2]
        factor = from_rows(self, np.repeat(ratio, x.size // ratio.size).reshape(ratio.size, -1), x)
        shift = np.broadcast_to(spread(self, np.asarray(beta), x), x.shape)
        y[...] = (y - shift) * factor + shift

    return normalize


def naive_variance(original: Any) -> Any:
    """E[x²] − E[x]²."""

    def normalize(self: Any, x: Any, gamma: Any, beta: Any, y: Any) -> None:
        rows = as_rows(self, x)
        mean = rows.mean(1, keepdims=True)
        variance = (rows * rows).mean(1, keepdims=True) - mean * mean
        y[...] = from_rows(self, (rows - mean) / np.sqrt(np.maximum(variance, 0) + self.eps), x)

    return normalize


def replaced_sends(pending: Any, node: Any, slot_count: int, index: int, g: Any) -> None:
    """The engine overwrites a gradient where it should add."""
    pending.setdefault(node, [None] * slot_count)[index] = g


def misplaced(original: Any) -> Any:
    """The places of the maxima are lost: every gradient goes to the first pixel."""
    return lambda self, index, *rest: original(self, np.zeros_like(index), *rest)


def assigned(original: Any, self: Any, g: Any) -> Any:
    """Repeated indices overwrite where they should add."""
    table = np.zeros(self.shape, g.dtype)
    table[self.index] = g
    return table


def method(cls: type, name: str, wrong: Callable[..., Any]) -> Callable[[Patch], None]:
    """Replace a method, given the original."""
    original = getattr(cls, name)
    return lambda patch: patch.setattr(cls, name, lambda self, *args: wrong(original, self, *args))


@dataclass
class Row:
    what: str
    how: Callable[[Patch], None]
    finds: Callable[[], None]
    blind: Callable[[], None] | None = None


SCALE = 1.001

ROWS = [
    # rules
    Row("matmul's gradient scaled", gradient("MatMul", 0, lambda g: g * SCALE), partial(first_order, "matmul")),
    Row(
        "matmul's gradient transposed",
        gradient("MatMul", 1, lambda g: g.transpose(1, 0)),
        partial(first_order, "matmul"),
    ),
    Row("multiply's gradient negated", gradient("Mul", 1, lambda g: -g), partial(first_order, "multiply")),
    Row("relu's gradient scaled", gradient("ReLU", 0, lambda g: g * SCALE), partial(first_order, "relu")),
    Row(
        "relu leaks",
        kernel("minigrad.kernels.activation.gate", slope=lambda slope: slope + 0.01),
        partial(parity, "relu"),
        partial(first_order, "relu"),
    ),
    Row(
        "elu's slope too deep on the left",
        kernel("minigrad.kernels.activation.elu_backward", depth=lambda depth: depth * SCALE),
        partial(first_order, "elu"),
    ),
    Row(
        "broadcasting undone by a mean",
        attribute("minigrad.ops.elementwise.SumTo", lambda original: lambda shape: lambda x: original(shape)(x) * 0.5),
        partial(first_order, "multiply"),
    ),
    Row(
        "exp takes its output for a constant",
        rule("Exp", lambda self, g: g * raw(self.saved[0])),
        partial(second_order, "exp"),
        partial(first_order, "exp"),
    ),
    Row(
        "softmax without its sum", rule("Softmax", lambda self, g: g * self.saved[0]), partial(first_order, "softmax")
    ),
    Row(
        "softmax's gradient times −7",
        gradient("Softmax", 0, lambda g: -7 * g),
        partial(first_order, "softmax"),
        partial(with_ones, "softmax"),
    ),
    Row(
        "softmax without the division",
        lambda patch: patch.setattr(op("Softmax"), "kernel", staticmethod(lambda work, x, y: np.exp(x, out=y))),
        softmax_sums_to_one,
    ),
    Row("an index that comes twice counts once", forward("PutItem", assigned), partial(first_order, "index")),
    Row(
        "what x[i] = v overwrites keeps its gradient",
        method(op("SetItem"), "backward", lambda original, self, g: (g, original(self, g)[1])),
        partial(first_order, "assignment"),
    ),
    Row(
        "the value of x[i] = v gets half its gradient",
        gradient("SetItem", 1, lambda g: g / 2),
        partial(first_order, "assignment"),
    ),
    *[
        Row(
            f"{name}: values that were overwritten get a gradient",
            lambda patch: patch.setattr(op("SetItem"), "_winners", lambda self, *shapes: None),
            partial(first_order, name),
        )
        for name in ("assignment", "scatter")
    ],
    Row(
        "a truncated quotient is rounded down",
        forward("TruncDivide", lambda original, self, x, y: np.floor_divide(x, y)),
        partial(parity, "div_trunc"),
    ),
    Row("a word that comes twice counts once", forward("EmbeddingGrad", assigned), partial(first_order, "embedding")),
    Row(
        "dropout does not rescale",
        forward("Dropout", lambda original, self, x: np.sign(self.noise) * x),
        dropout_keeps_the_mean,
    ),
    Row("dropout's gradient is not masked", rule("Dropout", lambda self, g: g * 2.0), partial(first_order, "dropout")),
    Row(
        "cross-entropy's gradient scaled",
        gradient("CrossEntropy", 0, lambda g: g * SCALE),
        partial(first_order, "cross_entropy"),
    ),
    Row(
        "the engine overwrites where it should add",
        lambda patch: patch.setattr(engine, "_send", replaced_sends),
        partial(first_order, "reuse"),
    ),
    # norms: rules
    *[
        Row(f"{norm}: {fault} is missing", norm_gradient(change), partial(check, norm), blind)
        for norm in ("batch_norm", "layer_norm", "group_norm", "instance_norm")
        for check in (first_order, fused_is_composed)
        for fault, change, blind in (
            ("the mean's term", without_mean_term, None),
            ("the variance's term", without_variance_term, None),
        )
    ],
    Row(
        "instance_norm's gradient times −7",
        norm_gradient(lambda dx, *_: -7 * dx),
        partial(first_order, "instance_norm"),
        partial(with_ones, "instance_norm"),
    ),
    Row(
        "batch_norm takes cached statistics for constants",
        lambda patch: patch.setattr(common.FusedNorm, "backward", cached_statistics),
        partial(second_order, "batch_norm"),
        partial(first_order, "batch_norm"),
    ),
    Row(
        "batch_norm takes cached statistics for constants, against the composed form",
        lambda patch: patch.setattr(common.FusedNorm, "backward", cached_statistics),
        partial(fused_is_composed, "batch_norm"),
    ),
    # norms: numbers
    *[
        Row(f"{norm}: ε outside the root", attribute_of, check)
        for norm in ("batch_norm", "layer_norm", "group_norm", "instance_norm")
        for attribute_of in [
            lambda patch: [
                patch.setattr(cls, "normalize", outside_the_root(cls.normalize))
                for cls in (common.RowNorm, common.ChannelNorm)
            ]
        ]
        for check in (
            partial(fused_is_composed, norm),
            partial(parity, {"batch_norm": "batch_norm_over_time"}.get(norm, norm)),
        )
    ],
    Row(
        "variance as E[x²] − E[x]²",
        lambda patch: patch.setattr(common.RowNorm, "normalize", naive_variance(common.RowNorm.normalize)),
        far_from_zero,
    ),
    # running statistics
    Row(
        "running statistics frozen",
        attribute("minigrad.ops.norm.batch.update_running", lambda _: lambda *args: None),
        partial(parity, "batch_norm_over_time"),
        partial(first_order, "batch_norm"),
    ),
    Row(
        "running variance biased",
        attribute(
            "minigrad.ops.norm.batch.update_running",
            lambda original: (
                lambda op, mean, var, stats, n, momentum: original(op, mean, var, stats, 10**12, momentum)
            ),
        ),
        partial(parity, "batch_norm_over_time"),
    ),
    Row(
        "momentum weighs the old value",
        attribute(
            "minigrad.ops.norm.batch.update_running",
            lambda original: lambda op, mean, var, stats, n, momentum: original(op, mean, var, stats, n, 1 - momentum),
        ),
        partial(parity, "batch_norm_over_time"),
    ),
    Row(
        "evaluation uses the batch's statistics",
        lambda patch: (
            patch.setattr(mg.nn.BatchNorm2d, "eval", lambda self: self)
            or patch.setattr(mg.nn.BatchNorm2d, "train", lambda self, mode=True: self)
        ),
        partial(parity, "batch_norm_train_then_eval"),
    ),
    Row(
        "the running whitening matrix is replaced, not averaged",
        attribute(
            "minigrad.ops.norm.whitening.follow",
            lambda original: lambda op, running, new, momentum: original(op, running, new, 1.0),
        ),
        partial(test_whitening.test_running_averages, "decorrelated_batch_norm", False, 0.3),
    ),
    # scalers
    Row(
        "StandardScaler takes the unbiased deviation",
        method(scalers.StandardScaler, "scale", lambda original, self, x: original(self, x) * (19 / 20) ** 0.5),
        partial(test_scalers.test_agrees_with_scikit_learn, "StandardScaler", {}, np.float64),
    ),
    Row(
        "StandardScaler takes missing values for zeros",
        method(scalers.StandardScaler, "learn", lambda original, self, x: original(self, np.nan_to_num(x))),
        partial(test_scalers.test_agrees_with_scikit_learn, "StandardScaler", {}, np.float64),
    ),
    Row(
        "StandardScaler joins parts as if their means were equal",
        method(
            scalers.StandardScaler,
            "_join",
            lambda original, self, n, mean, var: original(self, n, mean if self.mean_ is None else self.mean_, var),
        ),
        partial(test_scalers.test_fitting_in_parts, "StandardScaler"),
        partial(test_scalers.test_agrees_with_scikit_learn, "StandardScaler", {}, np.float64),
    ),
    Row(
        "MinMaxScaler divides constant columns by their range",
        method(scalers.MinMaxScaler, "_divisor", lambda original, self: self.data_range_),
        test_scalers.test_constant_and_far_columns_are_exact,
    ),
    Row(
        "MinMaxScaler does not clip",
        attribute("minigrad.data.scalers.clip_to", lambda original: lambda z, low, high: z),
        partial(test_scalers.test_agrees_with_scikit_learn, "MinMaxScaler", {"clip": True}, np.float64),
        partial(test_scalers.test_agrees_with_scikit_learn, "MinMaxScaler", {}, np.float64),
    ),
    Row(
        "DecimalScaler lets 1 through",
        method(scalers.DecimalScaler, "learn", lambda original, self, x: original(self, x * (1 - 1e-12))),
        test_scalers.test_decimal_scaling,
    ),
    Row(
        "LogTransform loses the digits of small values",
        attribute("minigrad.data.scalers.log1p", lambda original: lambda x: np.log(1 + x)),
        test_scalers.test_log_transform,
    ),
    Row(
        "whitening divides by n",
        method(scalers.Whitening, "_deviation", lambda original, self: original(self) * (39 / 40) ** 0.5),
        test_scalers.test_whitened_features_are_uncorrelated,
    ),
    Row(
        "ZCA is another rotation",
        method(scalers.Whitening, "scale", lambda original, self, x: original(self, x)[:, ::-1]),
        test_scalers.test_zca_is_the_white_data_closest_to_the_input,
        test_scalers.test_whitened_features_are_uncorrelated,
    ),
    # losses
    Row(
        "cross-entropy sums",
        option("cross_entropy", reduction=lambda r: "sum"),
        partial(parity, "cross_entropy"),
        partial(first_order, "cross_entropy"),
    ),
    Row(
        "ignored samples count", option("cross_entropy", ignore_index=lambda i: -100), partial(parity, "cross_entropy")
    ),
    Row(
        "no label smoothing", option("cross_entropy", label_smoothing=lambda e: 0.0), partial(parity, "cross_entropy")
    ),
    # convolutions and pools
    *[
        Row(f"conv2d: {key} off by one", option("conv2d", **{key: lambda n: n + 1}), partial(parity, "conv2d"))
        for key in ("padding", "stride")
    ],
    Row(
        "conv2d: no dilation",
        option("conv2d", dilation=lambda d: 1, padding=lambda p: 0),
        partial(parity, "conv2d"),
        partial(first_order, "conv2d"),
    ),
    Row(
        "conv2d: the image's gradient scaled", gradient("Conv", 0, lambda g: g * SCALE), partial(first_order, "conv2d")
    ),
    Row(
        "conv2d: the weight's gradient flipped",
        gradient("Conv", 1, lambda g: mg.flip(g, [2, 3])),
        partial(first_order, "conv2d"),
    ),
    Row(
        "conv2d: the bias's gradient is a mean",
        gradient("Conv", 2, lambda g: g * 0.25),
        partial(first_order, "conv2d"),
    ),
    Row(
        "conv2d: the gradient's own gradient scaled",
        gradient("ConvWeightGrad", 0, lambda g: g * SCALE),
        partial(second_order, "conv2d"),
        partial(first_order, "conv2d"),
    ),
    Row(
        "conv_transpose2d: padding off by one",
        option("conv_transpose2d", padding=lambda p: p - 1),
        partial(parity, "conv_transpose2d"),
    ),
    Row("max_pool2d pads with zeros", option("max_pool2d", padding=lambda p: 0), partial(parity, "max_pool2d")),
    Row(
        "max_pool2d's gradient goes to the first pixel",
        lambda patch: patch.setattr(op("Scatter"), "__init__", misplaced(op("Scatter").__init__)),
        partial(first_order, "max_pool2d"),
    ),
    Row(
        "avg_pool2d leaves the padding out",
        option("avg_pool2d", count_include_pad=lambda c: False),
        partial(parity, "avg_pool2d"),
    ),
    # recurrent layers, attention, statistics
    Row(
        "attention does not scale",
        attribute(
            "minigrad.nn.attention.attention_weights",
            lambda original: lambda q, k, mask=None, causal=False, scale=None: original(q, k, mask, causal, 1.0),
        ),
        partial(parity, "attention"),
    ),
    Row(
        "attention asks what it should answer",
        attribute(
            "minigrad.nn.attention.attention_weights",
            lambda original: lambda q, k, *rest: original(k, q, *rest),
        ),
        partial(parity, "attention"),
    ),
    Row(
        "lstm takes one gate for another",
        attribute(
            "minigrad.nn.rnn.lstm_sequence",
            lambda original: lambda x, *rest: original(mg.roll(x, x.shape[-1] // 4, -1), *rest),
        ),
        partial(parity, "lstm"),
    ),
    Row(
        "gru's hidden bias is lost",
        attribute(
            "minigrad.nn.rnn.gru_sequence",
            lambda original: lambda x, weight, bias, *rest: original(x, weight, bias * 0, *rest),
        ),
        partial(parity, "gru"),
    ),
    Row(
        "var is biased",
        attribute("minigrad.var", lambda original: lambda x, dim: original(x, dim, correction=0)),
        partial(parity, "var"),
    ),
    # optimizers
    Row(
        "adam without bias correction",
        kernel("minigrad.kernels.optim.adam", lr=lambda lr: 0.1, root=lambda root: 1.0),
        partial(parity, "adam"),
    ),
    Row(
        "adam's ε inside the root",
        kernel("minigrad.kernels.optim.adam", eps=lambda eps: eps**0.5),
        partial(parity, "adam"),
    ),
    Row(
        "adam's betas swapped",
        kernel("minigrad.kernels.optim.adam", beta1=lambda beta: 0.999, beta2=lambda beta: 0.9),
        partial(parity, "adam"),
    ),
    Row(
        "adamw's decay in the gradient",
        kernel("minigrad.kernels.optim.adam", weight_decay=lambda decay: 0.2, keep=lambda keep: 1.0),
        partial(parity, "adamw"),
    ),
    Row(
        "sgd without nesterov",
        kernel("minigrad.kernels.optim.sgd_momentum", nesterov=lambda nesterov: False),
        partial(parity, "sgd"),
    ),
    Row(
        "sgd's momentum reversed",
        kernel("minigrad.kernels.optim.sgd_momentum", momentum=lambda momentum: 1 - momentum),
        partial(parity, "sgd"),
    ),
    Row(
        "sgd without weight decay",
        kernel("minigrad.kernels.optim.sgd_momentum", weight_decay=lambda decay: 0.0),
        partial(parity, "sgd"),
    ),
    Row(
        "rmsprop's ε inside the root",
        kernel("minigrad.kernels.optim.rmsprop", eps=lambda eps: eps**0.5),
        partial(parity, "rmsprop"),
    ),
    Row(
        "the schedule is a step late",
        lambda patch: patch.setattr(
            mg.optim.lr_scheduler.StepLR, "change", lambda self, t: self.gamma if t % self.step_size == 1 else 1.0
        ),
        partial(parity, "schedule"),
    ),
    Row(
        "clipping sees the first gradient only",
        attribute(
            "minigrad.optim.clip._total_norm",
            lambda original: lambda tensors, *rest, **options: original(list(tensors)[:1], *rest, **options),
        ),
        clipping_reaches_the_norm,
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.what)
def test_the_check_notices(row: Row, monkeypatch: pytest.MonkeyPatch):
    row.finds()  # nothing is broken yet
    row.how(monkeypatch)
    with pytest.raises(AssertionError):
        row.finds()
    if row.blind is not None:
        row.blind()
