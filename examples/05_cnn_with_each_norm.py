# %% [markdown]
# # Lesson 5: one small CNN, five ways to normalize
#
# Batch, layer, instance and group norm divide an activation block (N samples × C channels × S pixels) into
# different groups, and make each group's mean 0 and deviation 1. Which elements share a group is all that
# tells them apart. We train the same CNN with each of them, with batches of 32 and with batches of 2.

# %%
import os
import time
from pathlib import Path

import matplotlib

matplotlib.use(os.environ.get("MPLBACKEND", "agg"))
import matplotlib.pyplot as plt
import numpy as np

import minigrad as mg
from minigrad import nn

train, test = mg.data.load("digits")
norms = {  # each: (channels, size of the image) → layer.   Who shares statistics?
    "none": lambda c, s: nn.Identity(),
    "batch": lambda c, s: nn.BatchNorm2d(c),  # the whole batch, one channel
    "layer": lambda c, s: nn.LayerNorm((c, s, s)),  # one sample, all channels
    "instance": lambda c, s: nn.InstanceNorm2d(c, affine=True),  # one sample, one channel
    "group": lambda c, s: nn.GroupNorm(4, c),  # one sample, a group of channels
}


# %%
def network(norm, seed=0):
    """Three convolutions; the images shrink from 8×8 to 4×4 to 2×2."""
    mg.manual_seed(seed)
    layers, channels = [], 1
    for width, size in ((16, 8), (32, 4), (32, 2)):
        layers += [nn.Conv2d(channels, width, 3, padding=1), norms[norm](width, size), nn.ReLU()]
        layers += [nn.MaxPool2d(2)] if size > 2 else []
        channels = width
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * 4, 10))


def run(norm, batch_size, steps, lr):
    """Train for a number of steps; give the loss of each, the test accuracy, and µs per step."""
    model = network(norm)
    optimizer = mg.optim.SGD(model.parameters(), lr=lr)
    batches = mg.data.DataLoader(train, batch_size=batch_size, shuffle=True, seed=0, drop_last=True)
    losses, seconds = [], []
    while len(losses) < steps:
        for x, y in batches:
            start = time.perf_counter()
            loss = nn.functional.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            seconds.append(time.perf_counter() - start)
            losses.append(loss.item())
            if len(losses) == steps:
                break
    model.eval()
    with mg.no_grad():
        x, y = test[:]
        accuracy = (model(x).argmax(dim=1) == y).float().mean().item()
    return losses, 100 * accuracy, 1e6 * float(np.median(seconds))


# %% [markdown]
# ## Two settings, five networks each

# %%
figure, axes = plt.subplots(1, 2, figsize=(10, 3.8), sharey=True)
for axis, (batch_size, steps, lr) in zip(axes, ((32, 270, 0.1), (2, 2150, 0.02)), strict=True):
    print(f"\nbatches of {batch_size}, {steps} steps of SGD, learning rate {lr}")
    print(f"{'norm':12}{'test accuracy':>14}{'µs per step':>14}")
    for norm in norms:
        losses, accuracy, micros = run(norm, batch_size, steps, lr)
        print(f"{norm:12}{accuracy:12.1f} %{micros:14.0f}")
        window = steps // 30
        smooth = np.convolve(losses, np.ones(window) / window, mode="valid")
        axis.plot(np.arange(len(smooth)) + window, smooth, label=norm)
    axis.set(title=f"batches of {batch_size}", xlabel="step", yscale="log")
    axis.grid(alpha=0.3)
axes[0].set_ylabel("training loss, smoothed")
axes[0].legend()
figure.suptitle("A three-layer CNN on the digits (one seed)")
figure.tight_layout()
out = Path(os.environ.get("MINIGRAD_LESSONS", "runs/lessons"))
out.mkdir(parents=True, exist_ok=True)
figure.savefig(out / "05_cnn_norms.png", dpi=150)
print(f"picture: {out / '05_cnn_norms.png'}")
