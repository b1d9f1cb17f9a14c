# %% [markdown]
# # Lesson 1: backprop through one scalar expression
#
# We compute L = (tanh(a·b + c) − t)² and its gradient three ways: by hand, one line for each op; with
# `backward()`; and by nudging each input a little. Nothing else happens in a deep network: only more of it.

# %%
import math

import minigrad as mg

a, b, c, t = 0.8, -1.5, 0.6, 0.3

# %% [markdown]
# ## Forward: one op a line, each result with a name

# %%
p = a * b
s = p + c
h = math.tanh(s)
e = h - t
L = e**2

# %% [markdown]
# ## Backward: the same lines from the last to the first
#
# Write dv for ∂L/∂v. Each op multiplies the gradient of its result by its local derivative, and hands it to
# its inputs.

# %%
dL = 1.0
de = dL * 2 * e  # L = e²
dh = de * 1  # e = h − t
dt = de * -1
ds = dh * (1 - h**2)  # h = tanh s
dp = ds * 1  # s = p + c
dc = ds * 1
da = dp * b  # p = a · b
db = dp * a
by_hand = {"a": da, "b": db, "c": dc, "t": dt, "p": dp, "s": ds, "h": dh, "e": de}

# %% [markdown]
# ## The same with a tape
#
# The tensors remember which op made them; `backward()` walks those ops from the youngest to the oldest, just
# as we did. Only leaves keep a gradient, so the values in the middle have to ask for theirs.

# %%
values = {"a": a, "b": b, "c": c, "t": t}
leaves = {name: mg.tensor(value, dtype=mg.float64, requires_grad=True) for name, value in values.items()}
steps = {}
steps["p"] = leaves["a"] * leaves["b"]
steps["s"] = steps["p"] + leaves["c"]
steps["h"] = steps["s"].tanh()
steps["e"] = steps["h"] - leaves["t"]
for step in steps.values():
    step.retain_grad()
(steps["e"] ** 2).backward()
tape = {name: tensor.grad.item() for name, tensor in (leaves | steps).items()}

# %% [markdown]
# ## The same by nudging
#
# ∂L/∂a ≈ (L(a + h) − L(a − h)) / 2h needs two more evaluations of L for every input. A network with a million
# weights would need two million: this is what the chain rule saves.


# %%
def loss(a, b, c, t):
    return (math.tanh(a * b + c) - t) ** 2


nudge = 1e-6
by_nudging = {}
for name, value in values.items():
    up, down = values | {name: value + nudge}, values | {name: value - nudge}
    by_nudging[name] = (loss(**up) - loss(**down)) / (2 * nudge)

# %% [markdown]
# ## All of them side by side

# %%
print(f"{'':4}{'value':>12}{'by hand':>14}{'backward()':>14}{'by nudging':>14}")
for name, value in (values | {"p": p, "s": s, "h": h, "e": e}).items():
    difference = f"{by_nudging[name]:14.8f}" if name in by_nudging else ""
    print(f"{name:4}{value:12.6f}{by_hand[name]:14.8f}{tape[name]:14.8f}{difference}")
    assert math.isclose(by_hand[name], tape[name], rel_tol=1e-12)
    assert math.isclose(by_nudging.get(name, tape[name]), tape[name], rel_tol=1e-6)
