# %% [markdown]
# # Lesson 7: one idea, the whole catalogue
#
# Every normalization answers the same first question: which elements share statistics? We do not look it up, we
# ask autograd: which elements of x does y[n, c, s] change with? Then: what can a norm not see, and which norms are
# secretly the same?

# %%
import os
from pathlib import Path

import matplotlib

matplotlib.use(os.environ.get("MPLBACKEND", "agg"))
import matplotlib.pyplot as plt
import numpy as np

import minigrad as mg

F = mg.nn.functional
mg.manual_seed(0)
N = C = S = 4  # samples, channels, pixels
norms = {
    "batch": lambda x: F.batch_norm(x, training=True),
    "ghost batch (2)": lambda x: F.ghost_batch_norm(x, 2, training=True),
    "layer": lambda x: F.layer_norm(x, (C, S)),
    "RMS": lambda x: F.rms_norm(x, (C, S)),
    "group (2)": lambda x: F.group_norm(x, 2),
    "instance": F.instance_norm,
    "filter response": F.filter_response_norm,
    "unit": F.normalize,
    "local response (3)": lambda x: F.local_response_norm(x, 3, alpha=1.0),
    "global response": F.global_response_norm,
    "switchable": lambda x: F.switchable_norm(x, mg.zeros(3).double(), mg.zeros(3).double(), training=True),
    "iterative whitening": lambda x: F.iterative_norm(x, training=True),
}

# %% [markdown]
# ## Who shares? A picture of N × C × S cells
#
# Red is the element y[at] that we look at, blue are all elements of x that it depends on.


# %%
def neighbours(norm, at=(N - 1, C - 1, 0)):
    x = mg.randn(N, C, S).double().requires_grad_()
    (gradient,) = mg.grad(norm(x)[at], x)
    return np.abs(gradient.array) > 1e-9


figure = plt.figure(figsize=(11, 8.5))
for i, (name, norm) in enumerate(norms.items()):
    shares = neighbours(norm)
    colours = np.where(shares, "#6fa8dc", "#f4f4f4").astype(object)
    colours[N - 1, C - 1, 0] = "#d9534f"
    axis = figure.add_subplot(3, 4, i + 1, projection="3d")
    axis.voxels(np.ones((N, S, C)), facecolors=colours.transpose(0, 2, 1), edgecolor="grey", linewidth=0.4)
    axis.set(xticks=[], yticks=[], zticks=[], title=f"{name}: {shares.sum()}")
    for name_axis, letter in zip((axis.set_xlabel, axis.set_ylabel, axis.set_zlabel), "NSC", strict=True):
        name_axis(letter, labelpad=-14)
figure.subplots_adjust(0.02, 0.02, 0.96, 0.95)
out = Path(os.environ.get("MINIGRAD_LESSONS", "runs/lessons"))
out.mkdir(parents=True, exist_ok=True)
figure.savefig(out / "07_who_shares_statistics.png", dpi=110)

# %% [markdown]
# ## What a norm cannot see
#
# If a shift or a rescaling of x leaves y as it is, no gradient points that way: it is orthogonal to 1, or to x.

# %%
x, v = mg.randn(N, C, S).double().requires_grad_(), mg.randn(N, C, S).double()
print(f"{'norm':20}{'shares':>8}{'y(x+9) − y':>14}{'Σ dx':>12}{'y(9x) − y':>14}{'Σ dx·x':>12}")
for name, norm in norms.items():
    y = norm(x)
    (dx,) = mg.grad(y, x, v)
    moved, scaled = (np.abs(norm(z).array - y.array).max() for z in (x + 9, 9 * x))
    sums = abs(dx.array.sum()), abs((dx * x).array.sum())
    print(f"{name:20}{neighbours(norm).sum():8}{moved:14.4f}{sums[0]:12.4f}{scaled:14.4f}{sums[1]:12.4f}")

# %% [markdown]
# ## Which norms are the same?

# %%
mean, std = x.detach().mean((0, 2)), (x.detach().var((0, 2), correction=0) + 1e-5).sqrt()
identities = {
    "group norm, a group for each channel = instance norm": (F.group_norm(x, C), F.instance_norm(x)),
    "group norm, one group = layer norm over (C, S)": (F.group_norm(x, 1), F.layer_norm(x, (C, S))),
    "batch norm of one sample = instance norm": (F.batch_norm(x[:1], training=True), F.instance_norm(x[:1])),
    "ghost batch norm, one ghost = batch norm": (F.ghost_batch_norm(x, N, training=True), norms["batch"](x)),
    "AdaIN in its own style = the input": (F.adaptive_instance_norm(x, x), x),
    "batch norm, γ = √(σ²+ε), β = μ = the input": (F.batch_norm(x, None, None, std, mean, training=True), x),
    "layer norm = RMS norm of x − μ": (norms["layer"](x), F.rms_norm(x - x.mean((1, 2), True), (C, S), eps=1e-5)),
    "but: batch norm = the input": (norms["batch"](x), x),
}
print(f"\n{'':56}{'largest gap':>14}")
for claim, (left, right) in identities.items():
    print(f"{claim:56}{np.abs((left - right).array).max():14.1e}")
print(f"\npicture: {out / '07_who_shares_statistics.png'}")
