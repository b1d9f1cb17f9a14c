"""Explained operations other than normalizations: softmax with cross-entropy, the linear layer, the convolution."""

from typing import Any

import numpy as np

from minigrad.autograd import Function, Tensor, no_grad
from minigrad.nn import functional as F
from minigrad.ops.compare import where
from minigrad.ops.linalg import matmul
from minigrad.ops.reduction import mean, sum
from minigrad.ops.shape import reshape
from minigrad.ops.unary import exp, log
from minigrad.viz.explainer.operation import TWO_SUMMED, Closed, Operation, Setting, Switch, Term, inner, rounded
from minigrad.viz.explainer.walk import Walk


class SoftmaxCrossEntropy(Operation):
    name, title = "softmax_cross_entropy", "Softmax and cross-entropy"
    formula = "L = mean( log Σ exp(z) − zₜ )"
    about = (
        "The loss of classification from raw scores. Its gradient is very simple, p − 1 for the right class "
        "and p for the others, and the walk shows where it comes from."
    )
    source = "Bridle, 1990"
    shape = (3, 3)
    ranks = (2,)
    axes = ("n", "k")
    fixed_cuts = ("m",)
    switches = (
        Switch("normalizer", "Treat Σ exp as a constant", "Cuts the path through S.", "gradient", "S"),
        Switch("sum", "Add up the losses rather than average them", "No 1/N.", "function"),
        TWO_SUMMED,
    )

    def fill(self, shape: tuple[int, ...], rng: Any) -> dict[str, Any]:
        return {"z": rounded(rng, shape)}

    def given(self, arrays: dict[str, Any], rng: Any) -> dict[str, Any]:
        samples, classes = arrays["z"].shape
        return {"target": np.arange(samples) % classes}

    def seed(self, shape: tuple[int, ...], rng: Any) -> Any:
        return np.array(1.0)

    def stages(self, walk: Walk, s: Setting) -> None:
        target, n = s.given["target"], len(s.x)
        rows = np.arange(n)
        classes = ", ".join(str(t + 1) for t in target)
        walk.step(
            "m", "m", lambda z: _largest(z), {"z": "1 at the largest, else 0"}, "m = max z",
            "The largest score of each sample, so that exp cannot overflow. Any shift cancels, so it may count as a "
            "constant: look at what arrives here on the way back.", statistic=True,
        )  # fmt: skip
        walk.step(
            "a",
            "a",
            lambda z, m: z - m,
            {"z": "1", "m": "−1, and add up"},
            "a = z − m",
            "Shifted scores: 0 and below.",
        )
        walk.step("e", "e", exp, {"a": "e"}, "e = exp(a)", "Exponentials are their own derivative.")
        walk.step(
            "S", "S", lambda e: sum(e, 1, keepdim=True), {"e": "1"}, "S = Σ e",
            "Over the classes of a sample. e/S would be the softmax p.", statistic=True,
        )  # fmt: skip
        walk.step("l", "l", log, {"S": "1/S"}, "l = log S", "The logarithm of the normalizer.")
        walk.step(
            "t", "aₜ", lambda a: reshape(a[rows, target], (n, 1)), {"a": "1 at the right class, else 0"},
            f"aₜ = a at class {classes}", "The score of the right class. a is used a second time.", ("n", "k"),
        )  # fmt: skip
        walk.step(
            "losses", "ℓ", lambda log_sum, t: log_sum - t, {"l": "1", "t": "−1"}, "ℓ = l − aₜ",
            "The loss of each sample: −log p of the right class.",
        )  # fmt: skip
        if "sum" in s.on:
            walk.step(
                "L", "L", lambda each: sum(each), {"losses": "1"}, "L = Σ ℓ", "The loss of the batch, added up.", ()
            )
        else:
            walk.step(
                "L", "L", lambda each: mean(each), {"losses": f"1/{n}"}, f"L = (1/{n}) Σ ℓ", "The mean loss.", ()
            )

    def closed(self, s: Setting, cuts: frozenset[str]) -> Closed:
        n = len(s.x)
        scale = float(s.seed) if "sum" in s.on else float(s.seed) / n
        by, by_formula = ("", "") if "sum" in s.on else (f" / {n}", f" / {n}")
        with no_grad():
            p = F.softmax(Tensor(s.x), 1)
            right = np.zeros_like(s.x)
            right[np.arange(n), s.given["target"]] = 1
            terms = [
                Term(f"− 1[right class]{by}", "straight: z → a → aₜ → ℓ", -right * scale),
                Term(f"+ p{by}", "through the normalizer: z → a → e → S → l → ℓ", (p * scale).array.copy(), "S"),
            ]
        derivation = [
            (f"∂L/∂ℓ = 1{by}", "The mean distributes the gradient evenly." if by else "Each loss counts whole."),
            ("∂L/∂S = ∂L/∂ℓ / S", "The derivative of the logarithm."),
            ("∂L/∂e = ∂L/∂S,  ∂L/∂a = e · ∂L/∂e = e/S · ∂L/∂ℓ = p · ∂L/∂ℓ", "The softmax appears by itself."),
            (
                f"∂L/∂z = ( p − 1[right class] ){by_formula}",
                "a has two users: its gradients add up. Each row of it sums to 0, so the maximum gets 0.",
            ),
        ]
        return Closed(f"∂L/∂z = ( p − 1[right class] ){by_formula}", terms, {}, derivation)

    def at_once(self, s: Setting, *leaves: Tensor) -> Tensor:
        return F.cross_entropy(leaves[0], Tensor(s.given["target"]), reduction="sum" if "sum" in s.on else "mean")

    def is_one_op(self, s: Setting) -> bool:
        return "normalizer" not in s.on

    def laws(self, s: Setting, walk: Walk, gradient: Any) -> list[tuple[str, str, Any]]:
        return [
            ("Σ ∂L/∂z of each sample", "The loss stays as it is when all scores of a sample grow by the same.",
             inner(gradient, np.ones(gradient.shape), (1,))),
        ]  # fmt: skip


def _largest(z: Any) -> Any:
    """The largest of each row, as a sum with a mask: its gradient goes to that element."""
    mask = np.zeros_like(z.array)
    mask[np.arange(len(z.array)), z.array.argmax(1)] = 1
    return sum(where(mask == 1, z, 0.0), 1, keepdim=True)


AVERAGE = Switch(
    "average", "Average over the batch", "Every sample's gradient is divided by N, as a mean loss would.", "function"
)


class Linear(Operation):
    name, title = "linear", "Linear layer"
    formula = "y = x Wᵀ + b"
    about = (
        "Two products, each with the other factor: the gradient of x goes through W, the gradient of W is made of x. "
        "W and b are used by every sample, so the samples' gradients add up."
    )
    source = "Rumelhart, Hinton & Williams, 1986"
    shape = (3, 2)
    ranks = (2,)
    axes = ("n", "in")
    switches = (AVERAGE, TWO_SUMMED)
    outputs = 2

    def fill(self, shape: tuple[int, ...], rng: Any) -> dict[str, Any]:
        return {
            "x": rounded(rng, shape), "W": rounded(rng, (self.outputs, shape[1]), 1.0),
            "b": rounded(rng, (self.outputs,), 0.5),
        }  # fmt: skip

    def leaf_axes(self, name: str, array: Any) -> tuple[str, ...]:
        return ("out", "in") if array.ndim == 2 else ("out",)

    def switched(self, s: Setting, on: frozenset[str]) -> Setting:
        changed = super().switched(s, on)
        if "average" in on:
            changed.seed = changed.seed / len(changed.x)
        return changed

    def stages(self, walk: Walk, s: Setting) -> None:
        walk.step(
            "p", "p", lambda x, w: matmul(x, w.T), {"x": "W: ∂L/∂p · W", "W": "x: (∂L/∂p)ᵀ · x, a sum over samples"},
            "p = x Wᵀ", "Every output is a sum over inputs, every input is used by all outputs.", ("n", "out"),
        )  # fmt: skip
        walk.step(
            "y", "y", lambda p, b: p + b, {"p": "1", "b": "1, and add up over the batch"}, "y = p + b", "Shifted."
        )

    def closed(self, s: Setting, cuts: frozenset[str]) -> Closed:
        with no_grad():
            x, w, dy = Tensor(s.x), Tensor(s.arrays["W"]), Tensor(s.seed)
            terms = [Term("∂L/∂y · W", "through p", matmul(dy, w).array.copy())]
            others = {"W": ("(∂L/∂y)ᵀ · x", matmul(dy.T, x).array.copy()), "b": ("Σ ∂L/∂y", sum(dy, 0).array.copy())}
        derivation = [
            ("p_no = Σ_i x_ni · W_oi", "A product with one index summed."),
            ("∂L/∂x_ni = Σ_o ∂L/∂p_no · W_oi", "x_ni is in all outputs of its sample: add up over o."),
            ("∂L/∂W_oi = Σ_n ∂L/∂p_no · x_ni", "W_oi is used by all samples: add up over n."),
            ("∂L/∂x = ∂L/∂y · W,  ∂L/∂W = (∂L/∂y)ᵀ · x,  ∂L/∂b = Σ_n ∂L/∂y", "The same as matrices."),
        ]
        return Closed("∂L/∂x = ∂L/∂y · W", terms, others, derivation)

    def at_once(self, s: Setting, *leaves: Tensor) -> Tensor:
        return F.linear(*leaves)

    def is_one_op(self, s: Setting) -> bool:
        return True  # `average` is in the gradient that arrives


class _Overwritten(Function):
    """Columns of x picked by `index`, with a wrong rule: a column picked twice keeps its last gradient only."""

    def __init__(self, index: Any, columns: int):
        self.index, self.columns = index, columns

    def forward(self, x: Any) -> Any:
        return x[:, self.index]

    def backward(self, g: Any) -> Any:
        out = np.zeros((len(g), self.columns))
        out[:, self.index.ravel()] = g.reshape(len(g), -1)
        return out


class Conv2d(Linear):
    name, title = "conv2d", "Convolution"
    formula = "y = Σ x · W over a 2×2 window, + b"
    about = (
        "A linear layer on windows. Windows overlap, so a pixel is in up to four of them, and collects a gradient "
        "from each; the weights are used at every place, and collect from all."
    )
    source = "LeCun et al., 1989"
    shape = (1, 1, 3, 3)
    ranks = (4,)
    axes = ("n", "c", "h", "w")
    switches = (
        Switch(
            "overwrite", "Overwrite where gradients should add up",
            "The most common fault, = instead of +=: a pixel keeps the gradient of its last window only.",
            "gradient",
        ),
        AVERAGE, TWO_SUMMED,
    )  # fmt: skip
    outputs, kernel = 1, 2

    def fill(self, shape: tuple[int, ...], rng: Any) -> dict[str, Any]:
        return {
            "x": rounded(rng, shape), "W": rounded(rng, (self.outputs, shape[1], self.kernel, self.kernel), 1.0),
            "b": rounded(rng, (self.outputs,), 0.5),
        }  # fmt: skip

    def leaf_axes(self, name: str, array: Any) -> tuple[str, ...]:
        return ("out", "in", "i", "j") if array.ndim == 4 else ("out",)

    def applies(self, switch: Switch, s: Setting) -> bool:
        return super().applies(switch, s) and (switch.key != "average" or len(s.x) > 1)

    def stages(self, walk: Walk, s: Setting) -> None:
        n, c, h, w = s.x.shape
        k = self.kernel
        rows, columns = h - k + 1, w - k + 1
        pixel = np.arange(c * h * w).reshape(c, h, w)
        index = np.stack([pixel[:, i : i + k, j : j + k].ravel() for i in range(rows) for j in range(columns)])
        places = rows * columns

        def pick(flat: Any) -> Any:
            return _Overwritten(index, c * h * w)(flat) if "overwrite" in s.on else flat[:, index]

        walk.step(
            "p", "P", lambda x: pick(reshape(x, (n, c * h * w))),
            {"x": "1 for each window that holds the pixel, and add up"},
            "P = the windows of x, one a row",
            "Unfolded: a row holds the pixels that the kernel sees at one place. A pixel is in several rows: a fork.",
            ("n", "place", "tap"), statistic=True,
        )  # fmt: skip
        walk.step(
            "a", "a", lambda p, w: matmul(p, reshape(w, (self.outputs, c * k * k)).T),
            {"p": "W", "W": "P, and add up over all places"}, "a = P Wᵀ", "A linear layer on windows.",
            ("n", "place", "out"),
        )  # fmt: skip
        walk.step(
            "f", "f", lambda a: reshape(a.transpose(1, 2), (n, self.outputs, rows, columns)), {"a": "1"},
            f"f = a as a picture of {rows} × {columns}", f"The {places} places are pixels again.", self.axes,
        )  # fmt: skip
        walk.step(
            "y", "y", lambda f, b: f + reshape(b, (1, -1, 1, 1)), {"f": "1", "b": "1, and add up over all places"},
            "y = f + b", "Shifted: the output.",
        )  # fmt: skip

    def closed(self, s: Setting, cuts: frozenset[str]) -> Closed:
        with no_grad():
            x, w, dy = Tensor(s.x), Tensor(s.arrays["W"]), Tensor(s.seed)
            spread = F.conv_transpose2d(dy, w).array.copy()
            terms = [Term("∂L/∂y ∗ W, the transposed convolution", "through the windows", spread)]
            # ∂L/∂W is a convolution, too: of x with ∂L/∂y as the kernel. Samples are what is summed over.
            by_weight = F.conv2d(x.transpose(0, 1), dy.transpose(0, 1)).transpose(0, 1)
            others = {
                "W": ("x ∗ ∂L/∂y, a convolution", by_weight.array.copy()),
                "b": ("Σ ∂L/∂y", sum(dy, (0, 2, 3)).array.copy()),
            }
        derivation = [
            ("y_p = Σ_i x_(p+i) · W_i + b", "p is a place of the output, i a place of the kernel."),
            (
                "∂L/∂x_q = Σ_i ∂L/∂y_(q−i) · W_i",
                "Pixel q is seen from every place p = q − i: add up. The sign of i turns.",
            ),
            ("∂L/∂W_i = Σ_p ∂L/∂y_p · x_(p+i)", "W_i is used at every place: add up. It is a convolution again."),
        ]
        return Closed("∂L/∂x_q = Σ_i ∂L/∂y_(q−i) · W_i", terms, others, derivation)

    def at_once(self, s: Setting, *leaves: Tensor) -> Tensor:
        x, weight, bias = leaves
        return F.conv2d(x, weight, bias)

    def is_one_op(self, s: Setting) -> bool:
        return "overwrite" not in s.on
