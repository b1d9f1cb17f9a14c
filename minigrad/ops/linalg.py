"""Matrix products: matmul, einsum, and the functions built on them."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.autograd import Function
from minigrad.ops.elementwise import cast, expand, operands, result_dtype, sum_to
from minigrad.ops.reduction import sum as sum_over
from minigrad.ops.shape import diagonal, permute

# -- products of two matrices -----------------------------------------------------------------------------


class MatMul(Function):
    """C = A B:  ∂⟨G, C⟩/∂A = G Bᵀ,  ∂⟨G, C⟩/∂B = Aᵀ G.  Leading axes are batches, and broadcast."""

    def forward(self, a: Any, b: Any) -> Any:
        self.save_for_backward(a, b)
        return _times(a, b)

    def backward(self, g: Any) -> Any:
        a, b = self.saved
        ga = sum_to(_times(g, b.swapaxes(-1, -2)), a.shape) if self.needs(0) else None
        gb = None
        if self.needs(1):
            if b.ndim == 2:
                a, g = _rows(a), _rows(g)
            gb = sum_to(a.swapaxes(-1, -2) @ g, b.shape)
        return ga, gb


def _rows(a: Any) -> Any:
    """The rows of all batches in one matrix."""
    return a.reshape(math.prod(a.shape[:-1]), a.shape[-1]) if a.ndim > 2 else a


def _times(a: Any, b: Any) -> Any:
    """A B. If B is a single matrix for all batches, compute one large product; NumPy would compute a small product for
    each batch."""
    if a.ndim == 2 or b.ndim > 2:
        return a @ b
    return (_rows(a) @ b).reshape(*a.shape[:-1], b.shape[-1])


def matmul(input: Any, other: Any) -> Any:
    """The matrix product over the last two axes; leading axes are batches and broadcast.

    A 1-d `input` is a row and a 1-d `other` a column, whose axis is then dropped from the result.

    Example:
        >>> import minigrad as mg
        >>> (mg.ones(2, 3) @ mg.ones(3)).tolist()
        [3.0, 3.0]
    """
    input, other = operands(input, other)
    if getattr(input, "ndim", 0) == 0 or getattr(other, "ndim", 0) == 0:
        raise ValueError(
            f"matmul: needs two tensors with at least one axis, got shapes {np.shape(input)} and {np.shape(other)}"
        )
    rows = input.reshape(1, -1) if input.ndim == 1 else input
    columns = other.reshape(-1, 1) if other.ndim == 1 else other
    if rows.shape[-1] != columns.shape[-2]:
        raise ValueError(
            f"matmul: {input.shape} @ {other.shape}: the last axis of the first ({rows.shape[-1]}) must be as long as "
            f"the second-to-last of the second ({columns.shape[-2]})"
        )
    c = MatMul()(rows, columns)
    if other.ndim == 1:
        c = c.reshape(c.shape[:-1])
        return c.reshape(()) if input.ndim == 1 else c
    return c.reshape((*c.shape[:-2], c.shape[-1])) if input.ndim == 1 else c


def _product(op: str, a: Any, b: Any, axes: tuple[int, int]) -> Any:
    if (a.ndim, b.ndim) != axes:
        raise ValueError(f"{op}: needs a {axes[0]}-d and a {axes[1]}-d tensor, got shapes {a.shape} and {b.shape}")
    return matmul(a, b)


def mm(input: Any, mat2: Any) -> Any:
    """The product of two matrices."""
    return _product("mm", input, mat2, (2, 2))


def bmm(input: Any, mat2: Any) -> Any:
    """The products of two batches of matrices: (n, i, j), (n, j, k) → (n, i, k)."""
    if input.ndim == mat2.ndim == 3 and input.shape[0] != mat2.shape[0]:
        raise ValueError(f"bmm: batches of {input.shape[0]} and {mat2.shape[0]} matrices; matmul would broadcast")
    return _product("bmm", input, mat2, (3, 3))


def addmm(input: Any, mat1: Any, mat2: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    """beta · x + alpha · mat1 mat2, for matrices; x is broadcast."""
    product = mm(mat1, mat2)
    return (input if beta == 1 else input * beta) + (product if alpha == 1 else product * alpha)


def mv(input: Any, vec: Any) -> Any:
    """A matrix times a vector."""
    return _product("mv", input, vec, (2, 1))


def dot(input: Any, tensor: Any) -> Any:
    """The inner product Σ aᵢ bᵢ of two vectors."""
    return _product("dot", input, tensor, (1, 1))


def outer(input: Any, vec2: Any) -> Any:
    """The outer product aᵢ bⱼ of two vectors."""
    if input.ndim != 1 or vec2.ndim != 1:
        raise ValueError(f"outer: needs two vectors, got shapes {input.shape} and {vec2.shape}")
    return input.reshape(-1, 1) * vec2


def trace(input: Any) -> Any:
    """The sum of the diagonal of a matrix."""
    if input.ndim != 2:
        raise ValueError(f"trace: needs a matrix, got shape {input.shape}")
    return sum_over(diagonal(input))


# -- einsum -----------------------------------------------------------------------------------------------


class Contract(Function):
    """Einsum of two operands. No letter is repeated within an operand, and every letter occurs in the other operand or
    in the result.

    Then the gradient of an operand is an einsum as well: of the result's gradient and the other operand.
    """

    def __init__(self, a: str, b: str, out: str):
        self.a, self.b, self.out = a, b, out

    def forward(self, x: Any, y: Any) -> Any:
        self.save_for_backward(x, y)
        # As one batched matrix product. Four kinds of letters: in both and kept, in both and summed, in one.
        batch = [c for c in self.out if c in self.a and c in self.b]
        summed = [c for c in self.a if c not in self.out]
        rows = [c for c in self.out if c not in self.b]
        columns = [c for c in self.out if c not in self.a]
        length = dict(zip(self.a + self.b, x.shape + y.shape, strict=True))
        m, k, n = (int(np.prod([length[c] for c in group])) for group in (rows, summed, columns))
        left = x.transpose([self.a.index(c) for c in batch + rows + summed])
        right = y.transpose([self.b.index(c) for c in batch + summed + columns])
        outer = [length[c] for c in batch]
        product = left.reshape(*outer, m, k) @ right.reshape(*outer, k, n)
        natural = batch + rows + columns
        product = product.reshape([length[c] for c in natural])
        return product.transpose([natural.index(c) for c in self.out])

    def backward(self, g: Any) -> Any:
        x, y = self.saved
        gx = Contract(self.out, self.b, self.a)(g, y) if self.needs(0) else None
        gy = Contract(self.out, self.a, self.b)(g, x) if self.needs(1) else None
        return gx, gy


def einsum(equation: str, *tensors: Any) -> Any:
    """Products and sums by Einstein's convention: name the axes, and say which the result has.

    Args:
        equation: such as "bij,bjk->bik". A letter that the result lacks is summed over; one that an operand
            has twice takes its diagonal; `...` stands for any number of axes, which broadcast. Without `->` the
            result has the letters that occur once, in alphabetical order, after those of `...`.
        tensors: one for each operand of the equation, or a list of them.

    Example:
        >>> import minigrad as mg
        >>> x = mg.tensor([[1.0, 2.0], [3.0, 4.0]])
        >>> mg.einsum("ii", x).item(), mg.einsum("ij->j", x).tolist()
        (5.0, [4.0, 6.0])
    """
    if len(tensors) == 1 and isinstance(tensors[0], tuple | list):
        tensors = tuple(tensors[0])
    inputs, out = _parse(equation, tensors)
    dtype = tensors[0].dtype
    for x in tensors[1:]:
        dtype = result_dtype(np.empty(1, dtype), np.empty(1, x.dtype))
    operands = [_diagonals(equation, letters, cast(x, dtype)) for letters, x in zip(inputs, tensors, strict=True)]
    length = _lengths(equation, operands)

    # Contract two operands at a time, in the order that NumPy finds cheapest; each result joins the end of the list.
    while len(operands) > 1:
        i, j = _next_pair(operands, out) if len(operands) > 2 else (0, 1)
        (b, y), (a, x) = operands.pop(j), operands.pop(i)
        needed = set(out).union(*[letters for letters, _ in operands])
        a, x = _sum_out(a, x, needed | set(b))
        b, y = _sum_out(b, y, needed | set(a))
        shared = set(a) & set(b)
        x = expand(x, [length[c] if c in shared else n for c, n in zip(a, x.shape, strict=True)])
        y = expand(y, [length[c] if c in shared else n for c, n in zip(b, y.shape, strict=True)])
        kept = "".join(c for c in dict.fromkeys(a + b) if c in needed)
        operands.append((kept, Contract(a, b, kept)(x, y)))
    letters, x = _sum_out(*operands[0], set(out))
    return x if letters == out else permute(x, [letters.index(c) for c in out])


def _parse(equation: str, tensors: Sequence[Any]) -> tuple[list[str], str]:
    """The letters of each operand and of the result, with letters of their own for the axes of `...`."""
    left, arrow, out = equation.replace(" ", "").partition("->")
    inputs = left.split(",")
    if len(inputs) != len(tensors):
        raise ValueError(f'einsum: "{equation}" names {len(inputs)} operands, and {len(tensors)} were given')
    used = set(equation)
    spare = [c for c in map(chr, range(ord("À"), ord("À") + 64)) if c not in used]
    hidden = [x.ndim - len(s.replace("...", "")) for s, x in zip(inputs, tensors, strict=True)]
    for s, n, x in zip(inputs, hidden, tensors, strict=True):
        if n < 0 or (n > 0 and "..." not in s):
            raise ValueError(f'einsum: "{s}" in "{equation}" does not fit an operand with {x.ndim} axes, {x.shape}')
    most = max(n for s, n in zip(inputs, hidden, strict=True))
    dots = "".join(spare[:most])
    inputs = [s.replace("...", dots[most - n :]) for s, n in zip(inputs, hidden, strict=True)]
    if not arrow:
        letters = "".join(inputs)
        out = dots + "".join(sorted(c for c in set(letters) if letters.count(c) == 1 and c not in dots))
    out = out.replace("...", dots)
    for c in out:
        if out.count(c) > 1 or not any(c in s for s in inputs):
            raise ValueError(
                f'einsum: "{equation}": the result may name an axis once, and only one that an operand has'
            )
    return inputs, out


def _diagonals(equation: str, letters: str, x: Any) -> tuple[str, Any]:
    """Take the diagonal of each pair of axes with the same letter."""
    for c in dict.fromkeys(letters):
        while letters.count(c) > 1:
            first, second = letters.index(c), letters.rindex(c)
            if x.shape[first] != x.shape[second]:
                lengths = f"{x.shape[first]}, {x.shape[second]}"
                raise ValueError(f'einsum: "{c}" in "{equation}" names axes of lengths {lengths}')
            x = diagonal(x, 0, first, second)  # the diagonal becomes the last axis
            letters = letters[:first] + letters[first + 1 : second] + letters[second + 1 :] + c
    return letters, x


def _lengths(equation: str, operands: list[tuple[str, Any]]) -> dict[str, int]:
    """The length of each letter's axis; a length of 1 is broadcast to any other length."""
    length: dict[str, int] = {}
    for letters, x in operands:
        for c, n in zip(letters, x.shape, strict=True):
            if length.get(c, 1) not in (1, n) and n != 1:
                raise ValueError(f'einsum: "{equation}": one letter names axes of lengths {length[c]} and {n}')
            length[c] = n if length.get(c, 1) == 1 else length[c]
    return length


def _next_pair(operands: list[tuple[str, Any]], out: str) -> tuple[int, int]:
    """The two operands that NumPy's search for the cheapest order would contract first."""
    names = sorted({c for letters, _ in operands for c in letters})
    numbers = {c: i for i, c in enumerate(names)}
    arguments = []
    for letters, x in operands:
        arguments += [np.broadcast_to(np.False_, x.shape), [numbers[c] for c in letters]]
    path = np.einsum_path(*arguments, [numbers[c] for c in out], optimize="greedy")[0]
    i, j, *_ = sorted(path[1])
    return i, j


def _sum_out(letters: str, x: Any, keep: set[str]) -> tuple[str, Any]:
    """Sum over the axes whose letters occur nowhere else."""
    axes = tuple([i for i, c in enumerate(letters) if c not in keep])
    return ("".join(c for c in letters if c in keep), sum_over(x, axes)) if axes else (letters, x)


def tensordot(a: Any, b: Any, dims: Any = 2) -> Any:
    """The sum of products over pairs of axes.

    Args:
        dims: a number n, for the last n axes of `a` and the first n of `b`; or two lists of axes.
    """
    if isinstance(dims, int):
        dims = (list(range(a.ndim - dims, a.ndim)), list(range(dims)))
    left, right = ([axes] if isinstance(axes, int) else list(axes) for axes in dims)
    left, right = [i % a.ndim for i in left], [i % b.ndim for i in right]
    if len(left) != len(right) or any(a.shape[i] != b.shape[j] for i, j in zip(left, right, strict=True)):
        raise ValueError(f"tensordot: axes {left} of {a.shape} and {right} of {b.shape} are not pairs of equal length")
    names = [chr(ord("a") + i) for i in range(a.ndim + b.ndim)]
    first, second = names[: a.ndim], names[a.ndim :]
    for i, j in zip(left, right, strict=True):
        second[j] = first[i]
    kept = [c for c in first + second if (first + second).count(c) == 1]
    return einsum(f"{''.join(first)},{''.join(second)}->{''.join(kept)}", a, b)


def bilinear(input1: Any, input2: Any, weight: Any, bias: Any = None) -> Any:
    """y_k = Σᵢⱼ x1ᵢ W_kij x2ⱼ + b_k over the last axes.

    Args:
        input1, input2: (*, in1_features) and (*, in2_features), with the same leading axes.
        weight: (out_features, in1_features, in2_features).
        bias: (out_features,), or None.
    """
    if weight.ndim != 3 or input1.shape[-1] != weight.shape[1] or input2.shape[-1] != weight.shape[2]:
        raise ValueError(
            f"bilinear: inputs of shapes {input1.shape} and {input2.shape} do not fit weight of shape {weight.shape}, "
            "which is (out_features, in1_features, in2_features)"
        )
    if input1.shape[:-1] != input2.shape[:-1]:
        raise ValueError(f"bilinear: leading axes of the inputs differ: {input1.shape} and {input2.shape}")
    y = einsum("...i,kij,...j->...k", input1, weight, input2)
    return y if bias is None else y + bias
