"""Ops that move elements, indexing, gather and scatter, padding."""

from tests.parity.case import Case, distinct, fixed, integers, normal, transposed

X, MATRIX = normal(3, 4, 5), normal(3, 4)

INDICES = {
    "number": lambda lib, x: x[1],
    "numbers": lambda lib, x: x[1, 2, 3],
    "negative": lambda lib, x: x[-1],
    "ellipsis": lambda lib, x: x[..., 0],
    "none": lambda lib, x: x[:, None, 1:3],
    "steps": lambda lib, x: x[::2, 1],
    "empty": lambda lib, x: x[1:1],
    "tensor": lambda lib, x: x[lib.tensor([0, 0, 2])],
    "two_tensors": lambda lib, x: x[lib.tensor([0, 0, 2]), lib.tensor([1, 1, 3])],
    "tensor_of_two_axes": lambda lib, x: x[:, lib.tensor([[0, 1], [1, 1]])],
    "tensors_apart": lambda lib, x: x[lib.tensor([0, 0, 2]), :, lib.tensor([1, 1, 3])],
    "mask": lambda lib, x: x[x > 0],
    "mask_of_rows": lambda lib, x: x[lib.tensor([True, False, True])],
    "mask_and_tensor": lambda lib, x: x[lib.tensor([True, False, True]), lib.tensor([1, 1])],
    "list": lambda lib, x: x[[0, -1, -1]],
    "list_second": lambda lib, x: x[:, [1, 1]],
    "tensor_without_axes": lambda lib, x: x[lib.tensor(2)],
    "number_beside_tensor": lambda lib, x: x[0, :, lib.tensor([1, 2])],
    "tensor_before_none_and_number": lambda lib, x: x[..., lib.tensor([[1, 2]]), None, -1],
    "number_beside_mask": lambda lib, x: x[:, lib.tensor([True, False, True, True]), None, lib.tensor(2)],
}


def assigned(lib, x, v, index):
    y = lib.sin(x)
    y[index(lib)] = v * v
    return y * x


def set_and_square(x, index, value):
    y = x * x
    y[index] = value if isinstance(value, float) else value[0]
    return y**2


def recurrence(lib, x):
    """Rows of a table of zeros, each made of the one before."""
    y = lib.zeros(4, 3, dtype=x.dtype)
    y[0] = x[0]
    for t in range(1, 4):
        y[t] = lib.tanh(y[t - 1].clone() * x[t])
    y[2:, 1] += x[0, 0]
    return y


def repeated(lib):
    return lib.tensor([[0, 0, 0], [1, 3, 1], [2, 2, 3]])


CASES = [
    Case("reshape", lambda lib, x: x.reshape(5, -1), X, second=True),
    Case("reshape_of_transposed", lambda lib, x: x.reshape(-1), transposed(X)),
    Case("view", lambda lib, x: x.view(-1, 2), X),
    Case("flatten", lambda lib, x: (x.flatten(), x.flatten(1), lib.flatten(x, 0, 1)), X),
    Case("unflatten", lambda lib, x: x.unflatten(1, (2, -1)), X),
    Case("squeeze", lambda lib, x: (x.squeeze(), x.squeeze(0), x.squeeze(dim=1)), normal(1, 3, 1)),
    Case("unsqueeze", lambda lib, x: (x.unsqueeze(-1), lib.unsqueeze(x, 1)), X),
    Case("permute", lambda lib, x: (x.permute(2, 0, 1), lib.permute(x, (1, 0, 2))), X),
    Case("transpose", lambda lib, x: (x.transpose(0, -1), x.mT, lib.swapaxes(x, 0, 1)), X, second=True),
    Case("t", lambda lib, x: (x.T, x.t()), normal(3, 4)),
    Case("movedim", lambda lib, x: (lib.movedim(x, (0, 1), (2, 0)), x.movedim(0, -1)), X),
    Case("cat", lambda lib, x, y: lib.cat([x, y, x], 1), X, normal(3, 2, 5), second=True),
    Case("cat_dim", lambda lib, x, y: lib.cat((x, y), dim=-1), X, normal(3, 4, 1)),
    Case("stack", lambda lib, x, y: (lib.stack([x, y]), lib.stack([x, y], dim=-1)), normal(3, 4), normal(3, 4)),
    Case("hstack_vstack", lambda lib, x, y: (lib.hstack([x, x]), lib.vstack([x, y])), normal(3), normal(2, 3)),
    Case("split", lambda lib, x: x.split(3, 1), X),
    Case("split_sizes_one_used", lambda lib, x: x.split([1, 3, 1], -1)[1], X),
    Case("chunk", lambda lib, x: x.chunk(3, dim=2), X),
    Case("unbind", lambda lib, x: x.unbind(1)[2], X),
    Case("repeat", lambda lib, x: (x.repeat(2, 1, 3), x.repeat(2, 1, 1, 2)), X),
    Case("tile", lambda lib, x: (lib.tile(x, (2,)), lib.tile(x, (2, 1, 1, 2))), normal(2, 3, 2)),
    Case(
        "repeat_interleave",
        lambda lib, x: (x.repeat_interleave(3, 1), x.repeat_interleave(lib.tensor([1, 0, 2]), dim=0)),
        X,
    ),
    Case("flip", lambda lib, x: (x.flip(0, 2), lib.flip(x, [1])), X),
    Case("roll", lambda lib, x: (x.roll(2), lib.roll(x, (1, -2), (0, 2))), X),
    *[Case(f"triangles_{k}", lambda lib, x, k=k: (lib.tril(x, k), x.triu(k)), X) for k in (-1, 0, 2)],
    *[
        Case(f"diagonal_{k}", lambda lib, x, k=k: (lib.diagonal(x, k, 1, 2), x.diagonal(k, 2, 0)), X)
        for k in (-1, 0, 2)
    ],
    *[
        Case(f"diag_{k}", lambda lib, x, y, k=k: (lib.diag(x, k), y.diag(k)), normal(4), normal(4, 5))
        for k in (-1, 0, 2)
    ],
    Case("expand", lambda lib, x: x.expand(2, 3, -1), normal(3, 1), second=True),
    Case("meshgrid", lambda lib, x, y: lib.meshgrid(x, y, indexing="xy"), normal(3), normal(4)),
    *[Case(f"index_{name}", function, distinct(3, 4, 5)) for name, function in INDICES.items()],
    Case("index_select", lambda lib, x: lib.index_select(x, 1, lib.tensor([0, 2, 2])), X, second=True),
    Case("index_add", lambda lib, x, y: lib.index_add(x, 1, lib.tensor([0, 2, 2]), y), X, normal(3, 3, 5)),
    Case("gather", lambda lib, x, i: lib.gather(x, 1, i), X, integers(4, 2, 6, 5), second=True),
    Case("gather_dim", lambda lib, x, i: x.gather(dim=0, index=i), X, integers(3, 2, 4, 5)),
    *[
        Case(f"set_index_{name}", lambda lib, x, v, index=index: assigned(lib, x, v, index), X, normal(5), second=True)
        for name, index in {
            "number": lambda lib: 1,
            "row": lambda lib: (slice(1, None), 2),
            "steps": lambda lib: (slice(None, None, 2), slice(1, 3)),
            "new_axis": lambda lib: (0, None),
            "tensor": lambda lib: lib.tensor([2, 0]),
            "tensor_and_number": lambda lib: (0, lib.tensor([3, 1])),
            "two_tensors": lambda lib: (lib.tensor([2, 0]), lib.tensor([1, 3])),
            "everything": lambda lib: ...,
        }.items()
    ],
    Case("set_mask", lambda lib, x: set_and_square(x, x > 0, -1.0), distinct(3, 4), second=True),
    Case("set_number_of_place", lambda lib, x, v: set_and_square(x, (1, 2), v), normal(2, 3), normal(1), second=True),
    Case("set_in_a_loop", lambda lib, x: recurrence(lib, x), normal(4, 3), second=True),
    Case(
        "scatter",
        lambda lib, x, y: x.scatter(1, lib.tensor([[3, 0], [1, 2]]), y) ** 2,
        MATRIX,
        normal(2, 2),
        second=True,
    ),
    Case("scatter_value", lambda lib, x: lib.scatter(x, 0, lib.tensor([[2, 0, 1]]), 0.5) ** 2, MATRIX, second=True),
    Case(
        "scatter_to",
        lambda lib, x, y: lib.scatter(x, dim=-1, index=lib.tensor([[1], [0], [3]]), src=y) * x,
        MATRIX,
        normal(3, 1),
    ),
    Case("scatter_number_add", lambda lib, x: x.scatter(1, repeated(lib), 0.5, reduce="add"), fixed(MATRIX)),
    Case("scatter_number_multiply", lambda lib, x: x.scatter(1, repeated(lib), 0.5, reduce="multiply"), fixed(MATRIX)),
    Case(
        "scatter_in_place",
        lambda lib, x, y: (x * 2).scatter_(0, lib.tensor([[1, 0, 2, 1]]), y) ** 2,
        MATRIX,
        normal(1, 4),
        second=True,
    ),
    Case("scatter_add", lambda lib, x, i, y: x.scatter_add(1, i, y), X, integers(4, 2, 6, 5), normal(2, 6, 5)),
    Case("take_along_dim", lambda lib, x, i: lib.take_along_dim(x, i, 1), X, integers(4, 3, 2, 1)),
    Case("masked_select", lambda lib, x: x.masked_select(x > 0), distinct(3, 4)),
    Case(
        "embedding",
        lambda lib, i, w: lib.nn.functional.embedding(i, w, padding_idx=2),
        integers(4, 2, 5),
        normal(4, 3),
    ),
    Case("one_hot", lambda lib, i: lib.nn.functional.one_hot(i, 5), integers(4, 2, 3)),
    *[
        Case(f"pad_{k}", lambda lib, x, p=p: lib.nn.functional.pad(x, p, value=1.5), normal(2, 3, 4))
        for k, p in enumerate(((1, 2), (0, 1, 2, 0), (-1, 2), (1, 1, -1, 0, 0, 2)))
    ],
    *[
        Case(
            f"pad_{mode}",
            lambda lib, x, mode=mode: lib.nn.functional.pad(x, (2, 1, 1, 2), mode=mode),
            normal(2, 3, 4, 5),
        )
        for mode in ("reflect", "replicate", "circular")
    ],
    *[
        Case(
            f"interpolate_{mode}_{k}",
            lambda lib, x, mode=mode, options=options: lib.nn.functional.interpolate(x, mode=mode, **options),
            normal(2, 2, 3, 5),
        )
        for mode in ("nearest", "nearest-exact")
        for k, options in enumerate(({"size": (2, 8)}, {"size": 5}, {"scale_factor": 2}, {"scale_factor": (1.7, 0.6)}))
    ],
]
