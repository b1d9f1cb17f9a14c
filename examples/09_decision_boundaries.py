# %% [markdown]
# # Lesson 9: watch networks draw the line
#
# Points in a plane, three spirals, and two networks that are the same but for batch norm. A network gives each place
# of the plane to one of three classes; we take a snapshot now and then while it learns, and make a film of them.

# %%
import os
from pathlib import Path

import numpy as np

import minigrad as mg
from minigrad.lab import models

F = mg.nn.functional
NORMS, DEPTH, WIDTH, ACTIVATION, EPOCHS, BATCH, LR = ("none", "batch"), 6, 16, "tanh", 12, 50, 0.003

train, _ = mg.data.load("spirals")
scaled = mg.data.StandardScaler().fit(train.tensors[0].numpy())(train.tensors[0].numpy())
x, y = mg.tensor(scaled), train.tensors[1]

# %% [markdown]
# ## Train both on the same batches
#
# Snapshots are taken in evaluation mode: batch norm uses its running averages. Before any training those are 0 and 1,
# so the first picture is that of a network without norms.

# %%
networks, optimizers = {}, {}
for norm in NORMS:
    mg.manual_seed(0)  # the same initial weights for both
    networks[norm] = models.build("mlp", norm, (2,), 3, DEPTH, WIDTH, ACTIVATION)
    optimizers[norm] = mg.optim.Adam(networks[norm].parameters(), lr=LR)
film = mg.viz.BoundaryMovie(networks, x, y, points=100)
film.snap("before training")
watches = {norm: mg.viz.monitor(network) for norm, network in networks.items()}

loader = mg.data.DataLoader(mg.data.TensorDataset(x, y), BATCH, shuffle=True, drop_last=True, seed=0)
for epoch in range(EPOCHS):
    for step, (xb, yb) in enumerate(loader):
        for norm in NORMS:
            optimizers[norm].zero_grad()
            F.cross_entropy(networks[norm](xb), yb).backward()
            optimizers[norm].step()
        if step + 1 in (len(loader) // 2, len(loader)):
            film.snap(f"epoch {epoch + (step + 1) / len(loader):.1f}")

# %% [markdown]
# ## Who is faster?

# %%
print(f"{'':18}" + "".join(f"{norm:>8}" for norm in NORMS))
for title, right in list(zip(film.titles, film.accuracies, strict=True))[::2]:
    print(f"{title:18}" + "".join(f"{100 * right[norm]:6.0f} %" for norm in NORMS))

# %% [markdown]
# One seed and one learning rate: until 95 % are right, with batch norm it takes half the epochs that it takes without,
# or less. In the end both get there. (These are the points that the networks were trained on, and no others.)
#
# %%
out = Path(os.environ.get("MINIGRAD_LESSONS", "runs/lessons"))
out.mkdir(parents=True, exist_ok=True)
film.save(out / "09_decision_boundaries.gif", fps=6, colours=64)
print(f"film: {out / '09_decision_boundaries.gif'}")
film

# %% [markdown]
# ## Why is it faster?
#
# Histograms of what the layers put out, and of the gradients that reach them, step by step, may tell.

# %%
activations, gradients = (
    mg.viz.histograms(watches, kind, layers=[mg.nn.Linear]) for kind in ("activations", "gradients")
)
activations.save(out / "09_activations.png")
gradients.save(out / "09_gradients.png")
print(f"histograms: {out / '09_activations.png'}, 09_gradients.png")
activations

# %%
first = {norm: watch.statistics("gradients", watch.layers[0])["rms"] for norm, watch in watches.items()}
ratio = np.median(first["batch"][:16] / first["none"][:16])
print(f"gradients that reach the first layer, first epoch: with batch norm {ratio:.1f} times those without")
gradients
