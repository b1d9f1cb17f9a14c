# %% [markdown]
# # Lesson 3: backprop through batch norm
#
# Three ways to the same gradient: *staged*, one small step at a time; the *closed form*, which is what is
# left of the stages when they are collected; and autograd. The paper is Ioffe & Szegedy, arXiv 1502.03167.

# %%
import numpy as np

import minigrad as mg

rng = np.random.default_rng(1)
N, C, eps = 8, 3, 1e-5
x = rng.standard_normal((N, C)) * [1.0, 5.0, 0.1] + [0.0, 3.0, -2.0]
gamma, beta = rng.standard_normal(C), rng.standard_normal(C)
dy = rng.standard_normal((N, C))  # the gradient that arrives from above: random, so that no fault can hide

# %% [markdown]
# ## Forward, staged: every intermediate value gets a name

# %%
mu = x.mean(axis=0)  # 1: one mean for each channel
centred = x - mu  # 2
var = (centred**2).mean(axis=0)  # 3: the biased variance
inv_std = 1 / np.sqrt(var + eps)  # 4: ε inside the square root
x_hat = centred * inv_std  # 5
y = gamma * x_hat + beta  # 6

# %% [markdown]
# ## Backward, staged: the same lines upside down
#
# Read `d_v` as the gradient of the loss with respect to v. Where a value is used twice (`centred` makes x̂
# directly and through `inv_std`; x makes `centred` directly and through `mu`), its gradients add up.

# %%
d_beta = dy.sum(axis=0)  # 6: β was added to every row
d_gamma = (dy * x_hat).sum(axis=0)
d_x_hat = dy * gamma
d_inv_std = (d_x_hat * centred).sum(axis=0)  # 5: inv_std multiplied every row
d_centred = d_x_hat * inv_std
d_var = d_inv_std * -0.5 * inv_std**3  # 4: the derivative of v ↦ v^(−1/2)
d_centred = d_centred + d_var * 2 * centred / N  # 3: the second way to `centred`
d_mu = -d_centred.sum(axis=0)  # 2: μ was subtracted from every row
dx_staged = d_centred + d_mu / N  # 1: the second way to x

# %% [markdown]
# ## Closed form
#
# Put the lines into each other and collect. What remains says what batch norm does to a gradient: it takes
# off its mean and its part along x̂, and rescales the rest.
#
# dx = γ · inv_std · (dy − mean(dy) − x̂ · mean(dy · x̂))

# %%
dx_closed = gamma * inv_std * (dy - dy.mean(axis=0) - x_hat * (dy * x_hat).mean(axis=0))

# %% [markdown]
# ## Autograd: the small ops recorded one by one, and the fused kernel

# %%
tx, tgamma, tbeta = (mg.tensor(v, requires_grad=True) for v in (x, gamma, beta))


def autograd():
    out = mg.nn.functional.batch_norm(tx, None, None, tgamma, tbeta, training=True, eps=eps)
    return [g.array for g in mg.grad(out, [tx, tgamma, tbeta], mg.tensor(dy))]


with mg.composed():
    composed = autograd()
fused = autograd()


# %%
def loss(x):
    return (dy * (gamma * (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + eps) + beta)).sum()


nudges = 1e-5 * np.eye(x.size).reshape(-1, N, C)
dx_nudged = np.array([(loss(x + h) - loss(x - h)) / 2e-5 for h in nudges]).reshape(N, C)
ways = {
    "stages by hand": dx_staged,
    "closed form": dx_closed,
    "autograd, small ops": composed[0],
    "autograd, fused": fused[0],
    "finite differences": dx_nudged,
}
print(f"{'dx of sample 0':22}" + "".join(f"{f'channel {c}':>16}" for c in range(C)) + f"{'largest gap':>16}")
for name, dx in ways.items():
    gap = np.abs(dx - dx_staged).max()
    print(f"{name:22}" + "".join(f"{v:16.10f}" for v in dx[0]) + f"{gap:16.1e}")
    assert gap < (1e-6 if dx is dx_nudged else 1e-12)
assert np.allclose(fused[1], d_gamma) and np.allclose(fused[2], d_beta)
print("\nBatch norm sends back what is blind to shifts and rescalings, per channel:")
print("  Σ dx     =", dx_staged.sum(axis=0).round(12))
print("  Σ dx · x̂ =", (dx_staged * x_hat).sum(axis=0).round(4), "(not quite zero, because of ε)")
