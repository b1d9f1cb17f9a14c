"""Which results are tensors of their own, and which share the memory of the input, as in PyTorch."""

import numpy as np
import pytest

import minigrad as mg
import minigrad.nn.functional as F

OWN = {
    **{f"pad {mode}": lambda x, mode=mode: F.pad(x, (0, 0), mode=mode) for mode in ("constant", "reflect")},
    **{f"pad {mode}": lambda x, mode=mode: F.pad(x, (0, 0, 0, 0), mode=mode) for mode in ("replicate", "circular")},
    **{
        f"pad {mode}, cut off": lambda x, mode=mode: F.pad(x, (-1, 0), mode=mode)
        for mode in ("constant", "reflect", "replicate", "circular")
    },
    "pad nothing at all": lambda x: F.pad(x, ()),
    "interpolate to a size": lambda x: F.interpolate(x, size=(4, 5)),
    "interpolate, nearest-exact": lambda x: F.interpolate(x, size=(4, 5), mode="nearest-exact"),
    "interpolate by a factor": lambda x: F.interpolate(x, scale_factor=1),
    "repeat": lambda x: x.repeat(1, 1, 1, 1),
    "repeat of one element": lambda x: x[:1, :1, :1, :1].repeat(3, 1, 2, 1),
    "tile": lambda x: x.tile(1),
    "flip": lambda x: x.flip(0),
    "flip of nothing": lambda x: x.flip(()),
    "roll": lambda x: x.roll(0, 0),
    "repeat_interleave": lambda x: x.repeat_interleave(1, 0),
    "diag": lambda x: x[0, 0, :, :4].diag(),
    "clone": lambda x: x.clone(),
    "cat of one": lambda x: mg.cat([x]),
    "stack of one": lambda x: mg.stack([x]),
    "index": lambda x: x[[0, 1]],
    "relu": lambda x: x.relu(),
    "power 1": lambda x: x**1,
    "clip": lambda x: x.clip(-1e9, 1e9),
    "tril": lambda x: x.tril(9),
    "max_pool": lambda x: F.max_pool2d(x, 1),
    "adaptive_avg_pool": lambda x: F.adaptive_avg_pool2d(x, (4, 5)),
    "round": lambda x: x.round(),
    "sum over no axis": lambda x: x.sum(()),
    "sort": lambda x: x.sort().values,
}
SHARED = {
    "dropout in evaluation": lambda x: F.dropout(x, 0.5, training=False),
    "alpha_dropout in evaluation": lambda x: F.alpha_dropout(x, 0.5),
    "dtype": lambda x: x.to(x.dtype),
    "contiguous": lambda x: x.contiguous(),
    "detach": lambda x: x.detach(),
    "reshape": lambda x: x.reshape(-1),
    "flatten": lambda x: x.flatten(2),
    "squeeze": lambda x: x.squeeze(),
    "permute": lambda x: x.permute(3, 2, 1, 0),
    "expand": lambda x: x.expand(2, 2, 3, 4, 5),
    "slice": lambda x: x[:, 1:],
    "diagonal": lambda x: x.diagonal(),
    "split": lambda x: x.split(1)[0],
    "Identity": lambda x: mg.nn.Identity()(x),
}


@pytest.mark.parametrize("name", [*OWN, *SHARED])
def test_memory(name):
    array = np.arange(2 * 3 * 4 * 5, dtype=np.float32).reshape(2, 3, 4, 5)
    x = mg.tensor(array)
    y = OWN.get(name, SHARED.get(name))(x)
    assert np.shares_memory(x.array, y.array) == (name in SHARED)
    if name in OWN:
        before = x.version[0]
        y.fill_(-7.0)
        assert (x.numpy() == array).all() and x.version[0] == before
        leaf = mg.tensor(array.astype(np.float64), requires_grad=True)
        y = OWN[name](leaf)
        v = np.random.default_rng(0).standard_normal(y.shape)
        (g,) = mg.grad(y, leaf, mg.tensor(v))
        if name != "round":  # each of the others moves or keeps elements: ⟨v, y⟩ = ⟨g, x⟩
            assert (v * y.array).sum() == pytest.approx((g.array * array).sum())
