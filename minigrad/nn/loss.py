"""Losses as layers. The function of the same name in `minigrad.ops.loss` says what each layer computes."""

from typing import Any

from minigrad.autograd import Tensor
from minigrad.nn import functional as F
from minigrad.nn.module import Module


class _Loss(Module):
    """A loss with a `reduction`."""

    reductions = ("mean", "sum", "none")

    def __init__(self, reduction: str = "mean"):
        super().__init__()
        if reduction not in self.reductions:
            names = ", ".join(f'"{r}"' for r in self.reductions)
            raise ValueError(f"{type(self).__name__}: reduction must be one of {names}, not {reduction!r}")
        self.reduction = reduction

    def extra_repr(self) -> str:
        return f"reduction={self.reduction!r}"


class MSELoss(_Loss):
    """The squared error (x − y)².

    Args:
        reduction: "mean", "sum" or "none".

    Example:
        >>> import minigrad as mg
        >>> mg.nn.MSELoss()(mg.tensor([1.0, 2.0]), mg.tensor([1.0, 4.0])).item()
        2.0
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.mse_loss(input, target, self.reduction)


class L1Loss(_Loss):
    """The absolute error |x − y|."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.l1_loss(input, target, self.reduction)


class SmoothL1Loss(_Loss):
    """d²/2β where |d| < β, and |d| − β/2 elsewhere, with d = x − y."""

    def __init__(self, reduction: str = "mean", beta: float = 1.0):
        super().__init__(reduction)
        self.beta = beta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.smooth_l1_loss(input, target, self.reduction, self.beta)

    def extra_repr(self) -> str:
        return f"reduction={self.reduction!r}, beta={self.beta}"


class HuberLoss(_Loss):
    """d²/2 where |d| < δ, and δ (|d| − δ/2) elsewhere, with d = x − y."""

    def __init__(self, reduction: str = "mean", delta: float = 1.0):
        super().__init__(reduction)
        self.delta = delta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.huber_loss(input, target, self.reduction, self.delta)

    def extra_repr(self) -> str:
        return f"reduction={self.reduction!r}, delta={self.delta}"


class BCELoss(_Loss):
    """−y log x − (1 − y) log(1 − x), for probabilities x.

    Args:
        weight: multiplies each loss; kept as a buffer.
        reduction: "mean", "sum" or "none".
    """

    def __init__(self, weight: Any = None, reduction: str = "mean"):
        super().__init__(reduction)
        self.register_buffer("weight", weight)

    weight: Any

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.binary_cross_entropy(input, target, self.weight, self.reduction)


class BCEWithLogitsLoss(_Loss):
    """−p y log σ(x) − (1 − y) log(1 − σ(x)), for scores x.

    Args:
        weight: multiplies each loss; kept as a buffer.
        reduction: "mean", "sum" or "none".
        pos_weight: p, the weight of positive answers; kept as a buffer.
    """

    def __init__(self, weight: Any = None, reduction: str = "mean", pos_weight: Any = None):
        super().__init__(reduction)
        self.register_buffer("weight", weight)
        self.register_buffer("pos_weight", pos_weight)

    weight: Any
    pos_weight: Any

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(input, target, self.weight, self.reduction, self.pos_weight)


class NLLLoss(_Loss):
    """−w[t] x[t], for log-probabilities x and class numbers t.

    Args:
        weight: of each class, (C,); kept as a buffer.
        ignore_index: samples with this class number do not count.
        reduction: "mean", "sum" or "none".
    """

    def __init__(self, weight: Any = None, ignore_index: int = -100, reduction: str = "mean"):
        super().__init__(reduction)
        self.register_buffer("weight", weight)
        self.ignore_index = ignore_index

    weight: Any

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.nll_loss(input, target, self.weight, self.ignore_index, self.reduction)


class CrossEntropyLoss(_Loss):
    """−w[t] log softmax(x)[t], for scores x and class numbers (or probabilities) t.

    Args:
        weight: of each class, (C,); kept as a buffer.
        ignore_index: samples with this class number do not count.
        reduction: "mean", "sum" or "none".
        label_smoothing: ε: the true class has probability 1 − ε + ε/C, every other one ε/C.

    Shapes:
        x (N, C, ...) or (C,); class numbers (N, ...) or (), probabilities of the shape of x.

    Example:
        >>> import minigrad as mg
        >>> loss = mg.nn.CrossEntropyLoss()
        >>> round(loss(mg.tensor([[2.0, 0.0], [0.0, 2.0]]), mg.tensor([0, 0])).item(), 4)
        1.1269
    """

    def __init__(
        self,
        weight: Any = None,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ):
        super().__init__(reduction)
        self.register_buffer("weight", weight)
        self.ignore_index, self.label_smoothing = ignore_index, label_smoothing

    weight: Any

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(input, target, self.weight, self.ignore_index, self.reduction, self.label_smoothing)


class KLDivLoss(_Loss):
    """y (log y − x), for log-probabilities x and probabilities y.

    Args:
        reduction: "mean", "sum", "none" or "batchmean".
        log_target: True if y holds logarithms.
    """

    reductions = ("mean", "sum", "none", "batchmean")

    def __init__(self, reduction: str = "mean", log_target: bool = False):
        super().__init__(reduction)
        self.log_target = log_target

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.kl_div(input, target, self.reduction, self.log_target)
