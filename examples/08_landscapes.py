# %% [markdown]
# # Lesson 8: the ground that training walks on
#
# We train a deep network with and without a norm, and then leave its weights in random directions: how fast does
# the loss rise? The directions are filter-normalized (Li et al., arXiv 1712.09913): each row of a random step is as
# long as the row of weights that it is added to, so "distance 1" means the same in every network.

# %%
import os
import time
from pathlib import Path

import minigrad as mg
from minigrad.lab import models

F = mg.nn.functional
NORMS, SEEDS = ("none", "batch", "layer"), (0, 1, 2)
DEPTH, WIDTH, EPOCHS, BATCH, LR = 10, 32, 15, 64, 0.01
began = time.perf_counter()

train, test = mg.data.load("digits")
scale = mg.data.StandardScaler(axis=(0, 2, 3)).fit(train.tensors[0].numpy())
(x, y), (test_x, test_y) = ((mg.tensor(scale(part.tensors[0].numpy())), part.tensors[1]) for part in (train, test))
probe_x, probe_y = x[:512], y[:512]  # the samples on which every loss below is measured


# %%
def trained(norm, seed):
    mg.manual_seed(seed)
    network = models.build("mlp", norm, (1, 8, 8), 10, DEPTH, WIDTH, "relu")
    optimizer = mg.optim.SGD(network.parameters(), lr=LR, momentum=0.9)
    samples = mg.data.TensorDataset(x, y)
    loader = mg.data.DataLoader(samples, BATCH, shuffle=True, drop_last=True, seed=seed)
    for _ in range(EPOCHS):
        for xb, yb in loader:
            optimizer.zero_grad()
            F.cross_entropy(network(xb), yb).backward()
            optimizer.step()
    return network.eval()


def loss(network):
    return F.cross_entropy(network(probe_x), probe_y)


# %% [markdown]
# ## Planes through the trained weights, and lines in three directions
#
# Away from the trained weights, batch norm's running averages belong to a network that is not there any more. So the
# layers normalize by the 512 samples, as in training. (Try `statistics="running"` to see what becomes of it.)

# %%
planes, lines = {}, {norm: [] for norm in NORMS}
print(f"{'norm':8}{'seed':>6}{'test accuracy':>15}{'loss':>9}{'at 0.25':>9}{'at 0.5':>9}{'at 1':>9}")
for norm in NORMS:
    for seed in SEEDS:
        network = trained(norm, seed)
        accuracy = (network(test_x).array.argmax(1) == test_y.array).mean()
        line = mg.viz.landscape(network, loss, points=41, dimensions=1, seed=seed)
        lines[norm].append(line)
        rises = "".join(f"{line.rise(a):9.3g}" for a in (0, 0.25, 0.5, 1))
        print(f"{norm:8}{seed:6}{100 * accuracy:13.1f} %{rises}")
        if seed == 0:
            planes[norm] = mg.viz.landscape(network, loss, points=33)

# %% [markdown]
# ## What it shows, and what it doesn't
#
# All networks have learned. Up to a quarter of the weights' length, the loss rises least with batch norm. At the full
# length it is more than five times as high without a norm as with either norm.
#
# Much of that height is no more than scale. A random step of length 1 makes each row √2 times as long, ten layers
# multiply that to 32, and without a norm the outputs grow with it; a norm divides it out. (At 0.25 that factor is
# 1.35.) And these are random planes through a space of 12,000 dimensions: what training meets on its way may look
# different.

# %%
out = Path(os.environ.get("MINIGRAD_LESSONS", "runs/lessons"))
out.mkdir(parents=True, exist_ok=True)
surfaces, contours = mg.viz.landscapes(planes, kind="surface"), mg.viz.landscapes(planes)
surfaces.save(out / "08_landscape.png")
mg.viz.landscapes(planes, kind="surface", theme="dark").save(out / "08_landscape-dark.png")
contours.save(out / "08_contours.png")
mg.viz.landscapes(lines).save(out / "08_lines.png")
print(f"{time.perf_counter() - began:.0f} seconds; pictures: {out / '08_*.png'}")
surfaces

# %%
contours

# %%
mg.viz.landscapes(lines)
