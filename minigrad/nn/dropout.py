"""Dropout as layers: active in training, the identity in evaluation."""

from typing import Any

from minigrad.autograd import Tensor
from minigrad.nn import functional as F
from minigrad.nn.module import Module


class Dropout(Module):
    """While training, each element is 0 with probability p, and x / (1 − p) otherwise.

    Args:
        p: the probability to drop an element.
        inplace: write the result into the input, and return that.

    Example:
        >>> import minigrad as mg
        >>> layer = mg.nn.Dropout(0.5).eval()
        >>> layer(mg.ones(3)).tolist()
        [1.0, 1.0, 1.0]
    """

    function: Any = staticmethod(F.dropout)

    def __init__(self, p: float = 0.5, inplace: bool = False):
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(
                f"{type(self).__name__}: p is the probability to drop an element; it must be between 0 and 1, not {p}"
            )
        self.p, self.inplace = p, inplace

    def forward(self, input: Tensor) -> Tensor:
        return self.function(input, self.p, self.training, self.inplace)

    def extra_repr(self) -> str:
        return f"p={self.p}" + (", inplace=True" if self.inplace else "")


class Dropout1d(Dropout):
    """Dropout of whole channels of (N, C, L) or (C, L)."""

    function = staticmethod(F.dropout1d)


class Dropout2d(Dropout):
    """Dropout of whole channels of (N, C, H, W)."""

    function = staticmethod(F.dropout2d)


class Dropout3d(Dropout):
    """Dropout of whole channels of (N, C, D, H, W) or (C, D, H, W)."""

    function = staticmethod(F.dropout3d)


class AlphaDropout(Dropout):
    """Dropout that keeps mean 0 and variance 1, for networks with SELU; see `functional.alpha_dropout`.

    In training, each element becomes, with probability p, the value of SELU at −∞; then all elements are scaled and
    shifted. In evaluation, the layer returns its input.

    Example:
        >>> import minigrad as mg
        >>> _ = mg.manual_seed(0)
        >>> y = mg.nn.AlphaDropout(0.2)(mg.randn(100_000))
        >>> abs(y.mean().item()) < 0.02, abs(y.var().item() - 1) < 0.02
        (True, True)
    """

    function = staticmethod(F.alpha_dropout)


class FeatureAlphaDropout(Dropout):
    """`AlphaDropout` of whole channels."""

    function = staticmethod(F.feature_alpha_dropout)
