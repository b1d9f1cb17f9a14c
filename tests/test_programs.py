"""Random programs: ops in combinations that nobody thought of, with forks, checked at first and second order."""

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.autograd import gradcheck, gradgradcheck

F = mg.nn.functional

# Smooth and bounded, so that a program may chain any of them.
ONE = [
    lambda x: x.sin(),
    lambda x: x.tanh(),
    lambda x: x.sigmoid() * 2,
    lambda x: (x * 0.3).exp(),
    lambda x: (x * x + 1).sqrt(),
    lambda x: (x * x + 1).log(),
    lambda x: x - x.mean(axis=-1, keepdim=True),
    lambda x: x.clip(-9, 9) / 2,
    lambda x: F.softmax(x, -1),
    lambda x: F.silu(x),
    lambda x: F.softplus(x),
    lambda x: F.layer_norm(x, x.shape[-1:], eps=0.3),
    lambda x: F.batch_norm(x, training=True, eps=0.3),
    lambda x: F.instance_norm(x[None], eps=0.3)[0],
    lambda x: x.transpose(0, 1) @ x @ x.transpose(0, 1) * 0.1,
    lambda x: x.reshape(-1).flip(0).reshape(x.shape),
    lambda x: x.cumsum(0) * 0.5,
    lambda x: x[[1, 0, 1]],
    lambda x: mg.roll(x, 1, 0),
    lambda x: x.logsumexp(axis=0, keepdim=True) * x,
    lambda x: x.var(axis=-1, keepdim=True) + x,
    lambda x: mg.cat([x, x * 2])[:3],
    lambda x: F.pad(x, (1, 0))[:, :-1] + x,
    lambda x: F.conv1d(x[None], x[:, :, None][:, :, [0, 0]] * 0.2, padding="same")[0],
    lambda x: mg.where(x.detach() > 0, x, x * 0.2),
    lambda x: mg.einsum("ij,kj->ik", x, x) * 0.2,
]
TWO = [
    lambda x, y: x + y,
    lambda x, y: x - y * 0.5,
    lambda x, y: x * y,
    lambda x, y: x / (y * y + 1),
    lambda x, y: x @ y,
    lambda x, y: mg.stack([x, y]).mean(axis=0),
    lambda x, y: x * y.sum(axis=0),
    lambda x, y: x.sum(axis=1, keepdim=True) * y,
]


def program(seed: int, steps: int = 6) -> Any:
    """A function of three 3×3 matrices; each step applies an op to what there is."""
    rng = np.random.default_rng(seed)
    plan = []
    for step in range(steps):
        ops = TWO if rng.random() < 0.5 else ONE
        plan.append((ops[rng.integers(len(ops))], rng.integers(0, 3 + step, 2)))

    def run(*inputs: Any) -> Any:
        values = list(inputs)
        for op, (i, j) in plan:
            y = op(values[i], values[j]) if op in TWO else op(values[i])
            values.append(y)
        return values[-1], values[-2] * values[0]

    return run


@pytest.mark.parametrize("seed", range(60))
def test_random_programs(seed: int):
    rng = np.random.default_rng(1000 + seed)
    inputs = [mg.tensor(rng.standard_normal((3, 3)), requires_grad=True) for _ in range(3)]
    assert gradcheck(program(seed), inputs, rtol=1e-4, atol=1e-5)
    if seed < 30:
        assert gradgradcheck(program(seed), inputs, rtol=1e-4, atol=1e-5)
