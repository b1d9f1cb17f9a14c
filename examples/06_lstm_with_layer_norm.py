# %% [markdown]
# # Lesson 6: an LSTM that learns a page of *Alice*, with and without layer norm
#
# In a recurrent network the same weights are applied at every step, so a small change of scale is multiplied
# once for every character. Layer norm before the gates (Ba et al., arXiv 1607.06450) takes the scale out at
# each step. Batch norm would need statistics of its own for each step; layer norm needs none.
#
# The text is the beginning of Lewis Carroll's *Alice's Adventures in Wonderland* (1865, public domain).

# %%
import os
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use(os.environ.get("MPLBACKEND", "agg"))
import matplotlib.pyplot as plt

import minigrad as mg
from minigrad import nn

# A notebook runs in its own folder, or in that of the project.
folder = Path(__file__).parent if "__file__" in globals() else Path("examples" if Path("examples").is_dir() else ".")
text = (folder / "data" / "alice.txt").read_text(encoding="utf-8")
letters = sorted(set(text))
codes = np.array([letters.index(letter) for letter in text])
print(f"{len(text)} characters, {len(letters)} different ones")


# %%
class Reader(nn.Module):
    """Predicts each next character from those before it."""

    def __init__(self, norm=None, width=96):
        super().__init__()
        self.embed = nn.Embedding(len(letters), 32)
        self.lstm = nn.LSTM(32, width, batch_first=True, norm=norm)
        self.head = nn.Linear(width, len(letters))

    def forward(self, x, state=None):
        h, state = self.lstm(self.embed(x), state)
        return self.head(h), state


def train(norm, lr, steps=250, length=40, batch=16):
    mg.manual_seed(0)
    model, rng = Reader(norm), np.random.default_rng(0)
    optimizer = mg.optim.Adam(model.parameters(), lr=lr)
    losses = []
    for _ in range(steps):
        starts = rng.integers(0, len(codes) - length - 1, batch)
        windows = mg.tensor(codes[starts[:, None] + np.arange(length + 1)])
        scores, _ = model(windows[:, :-1])
        loss = nn.functional.cross_entropy(scores.reshape(-1, len(letters)), windows[:, 1:].reshape(-1))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    return model, losses


@mg.no_grad()
def continue_text(model, beginning, count=120):
    """Let the model write on: always the likeliest character."""
    ids, state = [letters.index(letter) for letter in beginning], None
    scores, state = model(mg.tensor([ids]), state)
    for _ in range(count):
        ids.append(int(scores[0, -1].argmax()))
        scores, state = model(mg.tensor([ids[-1:]]), state)
    return "".join(letters[i] for i in ids).replace("\n", " ")


# %% [markdown]
# ## Two networks, two learning rates
#
# A loss of ln(number of letters) is guessing; e^loss is the number of letters the model hesitates between.

# %%
figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True)
for axis, lr in zip(axes, (0.003, 0.02), strict=True):
    for name, norm in (("plain LSTM", None), ("layer norm", nn.LayerNorm)):
        model, losses = train(norm, lr)
        axis.plot(losses, label=name)
        print(f"\nlearning rate {lr}, {name}: loss {np.mean(losses[-20:]):.3f} over the last 20 steps")
        print(f"   {continue_text(model, 'Alice was ')}")
    axis.set(title=f"Adam, learning rate {lr}", xlabel="step")
    axis.grid(alpha=0.3)
axes[0].set_ylabel("loss per character, nats")
axes[0].legend()
figure.tight_layout()
out = Path(os.environ.get("MINIGRAD_LESSONS", "runs/lessons"))
out.mkdir(parents=True, exist_ok=True)
figure.savefig(out / "06_lstm.png", dpi=150)
print(f"\npicture: {out / '06_lstm.png'}")
