"""Conditional normalization layers: small networks that compute γ and β from another input, the condition."""

from typing import Any

import numpy as np

from minigrad.autograd import Tensor
from minigrad.nn import functional as F
from minigrad.nn import init
from minigrad.nn.activation import ReLU
from minigrad.nn.container import Sequential
from minigrad.nn.conv import Conv2d
from minigrad.nn.linear import Embedding, Linear
from minigrad.nn.module import Module
from minigrad.nn.norm.batch import BatchNorm1d, BatchNorm2d, BatchNorm3d
from minigrad.nn.norm.common import Norm
from minigrad.nn.norm.group import InstanceNorm2d
from minigrad.nn.parameter import Parameter
from minigrad.ops.norm.conditional import modulate


class AdaptiveInstanceNorm(Module):
    """Instance normalization whose γ and β are a learned linear map of a style vector.

    (γ, β) = A w + b,    y[n, c] = (x[n, c] − μ) / √(σ² + ε) · γ[n, c] + β[n, c]        w the style vector of sample n

    There are two things called AdaIN. This layer is StyleGAN's: it learns the map A, and the vector w comes from
    another network. The original AdaIN learns nothing and takes γ and β from the features of a style *picture*: see
    `functional.adaptive_instance_norm`. Both then apply γ and β in the same way: see
    `functional.conditional_instance_norm`, also for the four decisions.

    Args:
        num_features: C, the number of channels.
        style_features: D, the length of the style vectors.
        eps: ε, under the root.
        dtype: of the parameters; float32 by default.

    Shapes:
        x (N, C, *), style (N, D) → as x. `linear.weight` (2C, D) and `linear.bias` (2C,): γ's half, then β's.

    Raises:
        ValueError: another number of channels, of samples, or of style features; one element of space.

    b starts with γ = 1 and β = 0, as in StyleGAN. Nothing changes in evaluation.

    Source: Karras, Laine & Aila, "A style-based generator architecture for generative adversarial networks", arXiv
    1812.04948, equation 1; after Huang & Belongie, arXiv 1703.06868.

    Example:
        >>> import minigrad as mg
        >>> norm = mg.nn.AdaptiveInstanceNorm(3, style_features=8)
        >>> norm(mg.randn(2, 3, 4, 4), mg.randn(2, 8)).shape
        (2, 3, 4, 4)
    """

    def __init__(self, num_features: int, style_features: int, eps: float = 1e-5, *, dtype: Any = None):
        super().__init__()
        self.num_features, self.style_features, self.eps = num_features, style_features, eps
        self.linear = Linear(style_features, 2 * num_features, dtype=dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw A at random again, and set b to γ = 1, β = 0."""
        self.linear.reset_parameters()
        bias = self.linear.bias
        assert bias is not None
        one_and_zero(bias, self.num_features)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        if x.ndim < 3 or x.shape[1] != self.num_features:
            raise ValueError(
                f"AdaptiveInstanceNorm: the input must be (N, {self.num_features}, ...) with an axis of space, "
                f"got shape {x.shape}"
            )
        check_vectors(self, "style", style, x, self.style_features)
        gamma_beta = self.linear(style)
        c = self.num_features
        return F.conditional_instance_norm(x, gamma_beta[:, :c], gamma_beta[:, c:], self.eps)

    def extra_repr(self) -> str:
        return f"{self.num_features}, style_features={self.style_features}, eps={self.eps}"


class _ConditionalBatchNorm(Norm):
    plain: type[Any]  # the batch norm with this number of axes

    def __init__(
        self,
        num_features: int,
        num_classes: int | None = None,
        condition_features: int | None = None,
        hidden_features: int | None = None,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        track_running_stats: bool = True,
        *,
        dtype: Any = None,
    ):
        super().__init__()
        if (num_classes is None) == (condition_features is None):
            raise ValueError(
                f"{type(self).__name__}: give either num_classes={num_classes}, for conditions that are class "
                f"numbers, or condition_features={condition_features}, for conditions that are vectors"
            )
        dtype = np.float32 if dtype is None else dtype
        self.num_features, self.num_classes = num_features, num_classes
        self.condition_features, self.hidden_features = condition_features, hidden_features
        self.make_affine((num_features,), condition_features is not None, True, dtype)
        self.norm = self.plain(num_features, eps, momentum, False, track_running_stats, dtype=dtype)
        if num_classes is not None:
            self.embedding = Embedding(num_classes, 2 * num_features, dtype=dtype)
        elif condition_features is not None:
            hidden = condition_features if hidden_features is None else hidden_features
            self.mlp = Sequential(
                Linear(condition_features, hidden, dtype=dtype),
                ReLU(),
                Linear(hidden, 2 * num_features, dtype=dtype),
            )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """γ = 1 and β = 0 for every condition, and no statistics seen."""
        super().reset_parameters()
        self.norm.reset_parameters()
        if self.num_classes is not None:
            one_and_zero(self.embedding.weight, self.num_features)
        else:
            self.mlp[0].reset_parameters()
            for parameter in self.mlp[2].parameters():
                init.zeros_(parameter)

    def forward(self, x: Tensor, condition: Any) -> Tensor:
        self.norm.check_input(x, 1)
        gamma, beta = self.gamma_and_beta(condition, x)
        return modulate(self.norm(x), gamma, beta)

    def gamma_and_beta(self, condition: Any, x: Tensor) -> tuple[Any, Any]:
        """γ and β of every sample, each (N, C)."""
        c = self.num_features
        if self.num_classes is not None:
            if getattr(condition, "shape", None) != x.shape[:1]:
                raise ValueError(
                    f"{type(self).__name__}: the condition must be a tensor with a class number for each sample, "
                    f"shape {x.shape[:1]}; its shape is {getattr(condition, 'shape', None)}"
                )
            table = self.embedding(condition)
            return table[:, :c], table[:, c:]
        check_vectors(self, "condition", condition, x, self.condition_features)
        change = self.mlp(condition)
        return change[:, :c] + self.weight, change[:, c:] + self.bias

    def extra_repr(self) -> str:
        names = ("num_classes", "condition_features", "hidden_features")
        given = [f"{name}={getattr(self, name)}" for name in names if getattr(self, name) is not None]
        return ", ".join([str(self.num_features), *given])


class ConditionalBatchNorm1d(_ConditionalBatchNorm):
    """Batch normalization whose γ and β depend on each sample's class, or on a vector given with the sample.

    y[n, c] = (x[n, c] − μ[c]) / √(σ²[c] + ε) · γ[n, c] + β[n, c], and

    - with `num_classes`: γ and β are rows of a table, one for each class;
    - with `condition_features`: γ = γ₀ + Δγ(v), β = β₀ + Δβ(v), where γ₀ and β₀ are learned as in batch norm, and a
      net of two layers with a relu between computes (Δγ, Δβ) from the vector v. This is the paper's.

    `functional.conditional_batch_norm` has the four decisions.

    Args:
        num_features: C, the number of channels.
        num_classes: K, if the condition is a class number.
        condition_features: D, if it is a vector.
        hidden_features: H, the width of the net's hidden layer; D by default.
        eps, momentum, track_running_stats: as for batch norm.
        dtype: of parameters and averages; float32 by default.

    Shapes:
        x (N, C) or (N, C, L); the condition (N,) class numbers, or (N, D) → as x.
        `embedding.weight` (K, 2C): γ's half, then β's; or `weight` and `bias` (C,) for γ₀ and β₀, and `mlp`.
        `norm` holds the running averages.

    Raises:
        ValueError: not exactly one of `num_classes` and `condition_features`; shapes that do not fit; one value per
            channel in training.

    A new layer is plain batch norm: all γ are 1 and all β are 0, because the net's last layer starts at 0. In
    evaluation running averages replace the batch's statistics; the condition counts as in training. To fine-tune a
    trained network as the paper does, copy its γ and β into `weight` and `bias`, and set their `requires_grad` to
    False.

    Source: De Vries et al., "Modulating early visual processing by language", arXiv 1707.00683. The table is that of
    Dumoulin, Shlens & Kudlur, arXiv 1610.07629, on batch norm.

    Example:
        >>> import minigrad as mg
        >>> norm = mg.nn.ConditionalBatchNorm1d(3, num_classes=10)
        >>> norm(mg.randn(4, 3), mg.tensor([7, 0, 7, 2])).shape
        (4, 3)
    """

    plain = BatchNorm1d


class ConditionalBatchNorm2d(_ConditionalBatchNorm):
    """`ConditionalBatchNorm1d` for pictures, (N, C, H, W).

    Example:
        >>> import minigrad as mg
        >>> norm = mg.nn.ConditionalBatchNorm2d(3, condition_features=5, hidden_features=8)
        >>> norm(mg.randn(4, 3, 2, 2), mg.randn(4, 5)).shape
        (4, 3, 2, 2)
    """

    plain = BatchNorm2d


class ConditionalBatchNorm3d(_ConditionalBatchNorm):
    """`ConditionalBatchNorm1d` for volumes, (N, C, D, H, W)."""

    plain = BatchNorm3d


class SPADE(Module):
    """Normalization whose γ and β are computed, for each pixel, from a map of labels.

    y = x̂ · (1 + γ(m)) + β(m)        x̂ the input, normalized without parameters; m the map, resized to x

    γ(m) and β(m) come from a small convolutional net: one layer with relu, and from that one layer for each of them.
    `functional.spade` has the four decisions, and the reason.

    Args:
        num_features: C, the number of channels.
        label_features: K, the number of channels of the map: one for each label, one-hot.
        hidden_features: the width of the net.
        kernel_size: of its convolutions, an odd number.
        norm: "batch", the paper's, or "instance".
        eps, momentum: as for batch norm.
        dtype: of parameters and averages; float32 by default.

    Shapes:
        x (N, C, H, W), m (N, K, H', W') of any size → as x. The map is resized to (H, W) by `interpolate`, "nearest":
        then each pixel keeps a label.

    Raises:
        ValueError: shapes that do not fit; an even kernel size; another `norm`; one value per channel in training.

    With "batch", running averages take the place of the batch's statistics in evaluation; with "instance" nothing
    changes. The paper writes γ(m). Its published code and this layer use 1 + γ(m): a new net computes values near 0,
    so the layer starts near plain normalization. Parameters have the names of that code.

    Source: Park et al., "Semantic image synthesis with spatially-adaptive normalization", arXiv 1903.07291.

    Example:
        >>> import minigrad as mg
        >>> norm = mg.nn.SPADE(3, label_features=5, hidden_features=8)
        >>> norm(mg.randn(2, 3, 4, 4), mg.zeros(2, 5, 16, 16)).shape
        (2, 3, 4, 4)
    """

    def __init__(
        self,
        num_features: int,
        label_features: int,
        hidden_features: int = 128,
        kernel_size: int = 3,
        norm: str = "batch",
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        *,
        dtype: Any = None,
    ):
        super().__init__()
        norms = {"batch": BatchNorm2d, "instance": InstanceNorm2d}
        if norm not in norms:
            raise ValueError(f"SPADE: norm must be 'batch' or 'instance', got {norm!r}")
        if kernel_size % 2 != 1:
            raise ValueError(f"SPADE: kernel_size must be odd, so that the map keeps its size, got {kernel_size}")
        self.num_features, self.label_features = num_features, label_features
        self.param_free_norm = norms[norm](num_features, eps, momentum, affine=False, dtype=dtype)

        def convolution(inputs: int, outputs: int) -> Conv2d:
            return Conv2d(inputs, outputs, kernel_size, padding=kernel_size // 2, dtype=dtype)

        self.mlp_shared = Sequential(convolution(label_features, hidden_features), ReLU())
        self.mlp_gamma = convolution(hidden_features, num_features)
        self.mlp_beta = convolution(hidden_features, num_features)

    def forward(self, x: Tensor, map: Tensor) -> Tensor:
        if x.ndim != 4 or x.shape[1] != self.num_features:
            raise ValueError(f"SPADE: the input must be (N, {self.num_features}, H, W), got shape {x.shape}")
        if map.ndim != 4 or map.shape[:2] != (x.shape[0], self.label_features):
            raise ValueError(
                f"SPADE: the map must be ({x.shape[0]}, {self.label_features}, H, W), a channel for each label and as "
                f"many samples as the input, got shape {map.shape}"
            )
        hidden = self.mlp_shared(F.interpolate(map, size=x.shape[2:]))
        gamma, beta = 1 + self.mlp_gamma(hidden), self.mlp_beta(hidden)
        return modulate(self.param_free_norm(x), gamma, beta)

    def extra_repr(self) -> str:
        return f"{self.num_features}, label_features={self.label_features}"


def one_and_zero(parameter: Parameter, c: int) -> None:
    """Fill γ's half, the first `c` numbers of the last axis, with 1 and β's half with 0."""
    init.zeros_(parameter)
    parameter.array[..., :c] = 1


def check_vectors(layer: Module, name: str, vectors: Any, x: Tensor, features: int | None) -> None:
    """A condition must be one vector for each sample."""
    if getattr(vectors, "shape", None) != (x.shape[0], features):
        raise ValueError(
            f"{type(layer).__name__}: the {name} must be a tensor of shape {(x.shape[0], features)}, a vector for "
            f"each sample; its shape is {getattr(vectors, 'shape', None)}"
        )
