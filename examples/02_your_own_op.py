# %% [markdown]
# # Lesson 2: an op of your own, and how not to be fooled by it
#
# The op standardizes each row: y = (x − mean x) / std x. We write its derivative rule once right and twice
# wrong, and let three checks loose on them. Two of the checks are in daily use, and blind.

# %%
import numpy as np

import minigrad as mg


class Standardize(mg.Function):
    """y = (x − μ) / σ over the last axis; no ε, so that the formulas stay short."""

    def forward(self, x):
        self.sigma = x.std(axis=-1, keepdims=True)
        y = (x - x.mean(axis=-1, keepdims=True)) / self.sigma
        self.save_for_backward(x, y)
        return y

    def backward(self, g):
        # A shift or a rescaling of x does not change y. So what comes back is g without its mean and without
        # its part along y, divided by σ, and σ is worked out anew from x.
        x, y = self.saved
        centred = x - mg.mean(x, axis=-1, keepdim=True)
        sigma = mg.sqrt(mg.mean(centred * centred, axis=-1, keepdim=True))
        return self.rule(g, y, sigma)

    def rule(self, g, y, sigma):
        return (g - mg.mean(g, axis=-1, keepdim=True) - y * mg.mean(g * y, axis=-1, keepdim=True)) / sigma


# %% [markdown]
# Two wrong ones. The first is off by a factor of −7. The second uses the σ that `forward` had at hand. As a
# number it is right; as a function of x it is a constant, and that shows one derivative later.


# %%
class TimesMinusSeven(Standardize):
    def rule(self, g, y, sigma):
        return super().rule(g, y, sigma) * -7


class CachedSigma(Standardize):
    def rule(self, g, y, sigma):
        return super().rule(g, y, self.sigma)


# %% [markdown]
# ## Three checks
#
# 1. *Ones*: compare the gradient of y.sum() with finite differences. But y.sum() is 0 for every x, and −7
#    times zero is zero.
# 2. *Random cotangent*: the gradient of Σ v·y with random v. It sees every wrong first derivative.
# 3. *Second order*: the same for the gradient itself.

# %%
x = mg.tensor(np.random.default_rng(0).standard_normal((3, 5)), requires_grad=True)


def ones_check(op):
    (gradient,) = mg.grad(op()(x).sum(), x)
    nudge, difference = 1e-6, np.zeros(x.shape)
    for i in np.ndindex(x.shape):
        step = np.zeros(x.shape)
        step[i] = nudge
        up, down = op()(mg.tensor(x.array + step)), op()(mg.tensor(x.array - step))
        difference[i] = (up.sum() - down.sum()).item() / (2 * nudge)
    return bool(np.allclose(gradient.array, difference, atol=1e-6))


checks = {
    "ones": ones_check,
    "random cotangent": lambda op: mg.autograd.gradcheck(lambda x: op()(x), x, raise_exception=False),
    "second order": lambda op: mg.autograd.gradgradcheck(lambda x: op()(x), x, raise_exception=False),
}
print(f"{'rule':18}" + "".join(f"{name:>18}" for name in checks))
for op in (Standardize, TimesMinusSeven, CachedSigma):
    print(f"{op.__name__:18}" + "".join(f"{'pass' if check(op) else 'FAIL':>18}" for check in checks.values()))
print("Only the first rule is right, and only the last check knows.")
