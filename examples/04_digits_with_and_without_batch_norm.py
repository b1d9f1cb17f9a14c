# %% [markdown]
# # Lesson 4: what batch norm does to a 64-256-256-10 network
#
# The same network on the same digits, from the same weights, in the same batches, with and without batch
# norm; at a careful learning rate and at a bold one. 1,438 scanned digits to learn from, 359 to be tested on.

# %%
import os
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use(os.environ.get("MPLBACKEND", "agg"))
import matplotlib.pyplot as plt

import minigrad as mg
from minigrad import nn

train, test = mg.data.load("digits")
epochs, seeds = 12, (0, 1, 2)


# %%
def network(seed, batch_norm):
    """Linear, [BatchNorm1d], sigmoid, twice; then the scores. The seed fixes the Linears either way."""
    mg.manual_seed(seed)
    layers = [nn.Flatten()]
    for width_in, width_out in ((64, 256), (256, 256)):
        # Batch norm subtracts the bias again with the mean. It stays, so that both networks draw the same weights.
        layers += [nn.Linear(width_in, width_out)]
        layers += [nn.BatchNorm1d(width_out)] if batch_norm else []
        layers += [nn.Sigmoid()]
    return nn.Sequential(*layers, nn.Linear(256, 10))


def accuracy(model):
    model.eval()  # batch norm now uses its running statistics
    x, y = test[:]
    with mg.no_grad():
        right = model(x).argmax(dim=1) == y
    model.train()
    return right.float().mean().item()


def run(seed, batch_norm, lr):
    model = network(seed, batch_norm)
    optimizer = mg.optim.SGD(model.parameters(), lr=lr)
    batches = mg.data.DataLoader(train, batch_size=32, shuffle=True, seed=seed)
    curve = [accuracy(model)]
    for _ in range(epochs):
        for x, y in batches:
            loss = nn.functional.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        curve.append(accuracy(model))
    return curve


# %% [markdown]
# ## Twelve runs: two networks, two learning rates, three seeds

# %%
figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True)
print(f"{'learning rate':>14}{'':3}{'network':22}{'after 1 epoch':>16}{f'after {epochs}':>16}")
for axis, lr in zip(axes, (0.1, 1.0), strict=True):
    for batch_norm, colour in ((False, "tab:orange"), (True, "tab:blue")):
        curves = 100 * np.array([run(seed, batch_norm, lr) for seed in seeds])
        label = "with batch norm" if batch_norm else "without"
        axis.plot(curves.T, color=colour, alpha=0.35, linewidth=1)
        axis.plot(curves.mean(axis=0), color=colour, linewidth=2, label=label)
        first, last = (f"{curves[:, i].mean():.1f} ± {curves[:, i].std(ddof=1):.1f} %" for i in (1, -1))
        print(f"{lr:14}{'':3}{label:22}{first:>16}{last:>16}")
    axis.set(title=f"learning rate {lr}", xlabel="epoch", ylim=(0, 100))
    axis.grid(alpha=0.3)
axes[0].set_ylabel("test accuracy, %")
axes[1].legend(loc="lower right")
figure.suptitle("64-256-256-10, sigmoid, SGD, batch 32: each of three seeds (thin) and their mean")
figure.tight_layout()
out = Path(os.environ.get("MINIGRAD_LESSONS", "runs/lessons"))
out.mkdir(parents=True, exist_ok=True)
figure.savefig(out / "04_batch_norm.png", dpi=150)
print(f"picture: {out / '04_batch_norm.png'}")
