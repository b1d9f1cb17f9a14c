"""Residual networks without normalization: the block of Fixup. `init.fixup_` initializes a network of such blocks."""

from typing import Any

import numpy as np

from minigrad.autograd import Tensor
from minigrad.nn import init
from minigrad.nn.activation import ReLU
from minigrad.nn.container import ModuleList, ParameterList
from minigrad.nn.module import Module
from minigrad.nn.parameter import Parameter


class FixupBlock(Module):
    """A residual block that needs no normalization if `init.fixup_` initializes it.

    y = relu(shortcut(x) + scale · branch(x) + after[m − 1])

    where the branch passes x through its m layers,  h ← relu(layer[k](h + before[k]) + after[k]),  the last layer
    having no relu. Every `before` and `after` is a *single* number, and so is `scale`. They replace the γ and β of a
    normalization.

    Args:
        layers: the weight layers of the branch, Linear or convolutions, best with `bias=False`.
        shortcut: a layer for the path past the branch, if the branch changes the shape; None for x itself. Its input
            is x + before[0].
        activation: a layer to use instead of relu.
        activate_sum: False leaves the activation after the sum out (then `after[m − 1]` is a bias of the sum).

    Shapes:
        those of the layers; branch and shortcut must give the same shape.

    With ordinary initial weights, a sum of L branches, or its gradient, grows with L, because each branch adds its
    share. Normalization limits this growth. Fixup instead starts each branch at 0, and makes its other layers so small
    that a step of gradient descent changes the network's output as much as in a shallow network. The authors' code
    trains the single numbers with a tenth of the learning rate, because their gradients are sums over whole layers.
    PyTorch does not have this block.

    Source: Zhang, Dauphin & Ma, "Fixup initialization: residual learning without normalization", arXiv 1901.09321.

    Example:
        >>> import minigrad as mg
        >>> nn = mg.nn
        >>> blocks = [nn.FixupBlock(nn.Linear(8, 8, bias=False), nn.Linear(8, 8, bias=False)) for _ in range(50)]
        >>> model = mg.nn.init.fixup_(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), *blocks, nn.Linear(8, 3)))
        >>> model(mg.randn(2, 4)).tolist()  # the classifier starts at 0
        [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    """

    shortcut: Module | None
    activation: Module

    def __init__(
        self,
        *layers: Any,
        shortcut: Module | None = None,
        activation: Module | None = None,
        activate_sum: bool = True,
    ):
        super().__init__()
        if not layers:
            raise ValueError("FixupBlock: give at least one layer, such as nn.Linear(16, 16, bias=False)")
        self.layers = ModuleList(layers)
        self.register_module("shortcut", shortcut)
        self.activation = ReLU() if activation is None else activation
        self.activate_sum = activate_sum
        dtype = layers[0].weight.dtype
        self.before = ParameterList([np.zeros(1, dtype) for _ in layers])
        self.after = ParameterList([np.zeros(1, dtype) for _ in layers])
        self.scale = Parameter(np.ones(1, dtype))

    def residual_layers(self) -> list[Module]:
        """The weight layers of the branch, first to last, for `init.fixup_`."""
        return list(self.layers)

    def reset_scalars(self) -> None:
        """Set all biases to 0, and the multiplier to 1."""
        for bias in (*self.before, *self.after):
            init.zeros_(bias)
        init.ones_(self.scale)

    def forward(self, x: Tensor) -> Tensor:
        h = x
        for k, layer in enumerate(self.layers):
            if k:
                h = self.activation(h + self.after[k - 1])
            h = layer(h + self.before[k])
        past = x if self.shortcut is None else self.shortcut(x + self.before[0])
        y = past + (self.scale * h + self.after[len(self.layers) - 1])
        return self.activation(y) if self.activate_sum else y

    def extra_repr(self) -> str:
        return "" if self.activate_sum else "activate_sum=False"
