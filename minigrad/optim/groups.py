"""Parameter groups for weight decay that leaves norms and biases alone."""

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from minigrad.nn import Module

_NORM = re.compile(r"Norm(\dd)?$|^Dynamic(Tanh|Erf)$")


def weight_decay_groups(model: "Module", weight_decay: float) -> list[dict[str, Any]]:
    """Two parameter groups: weights, which decay, and all other parameters, which do not.

    Weight decay is meant to keep a function simple: it keeps the weights small. For the γ of a normalization layer it
    has another effect: it makes the layer's output small. And biases add little to a model's capacity. So these
    parameters do not decay:

    - those of normalization layers (of any class whose name, or the name of a base class, ends in "Norm", "Norm1d",
      ...) and of layers that replace them (`DynamicTanh`, `DynamicErf`);
    - a conditional norm's table of γ and β;
    - parameters named "bias", "bias_..." or "gain" (of scaled weight standardization);
    - parameters with fewer than two axes.

    Args:
        model: the module whose parameters to train. Each parameter is in exactly one group, also if it is shared.
        weight_decay: the weight decay of the first group; that of the second group is 0.

    Returns:
        What an optimizer takes as `params`, with the parameters' names. A group without parameters is left out.

    Example:
        >>> import minigrad as mg
        >>> model = mg.nn.Linear(3, 2)
        >>> optimizer = mg.optim.AdamW(mg.optim.weight_decay_groups(model, 0.01), lr=1e-3)
        >>> [(group["weight_decay"], group["param_names"]) for group in optimizer.param_groups]
        [(0.01, ['weight']), (0.0, ['bias'])]
    """
    kept = set()
    for module in model.modules():
        is_norm = any(_NORM.search(kind.__name__) for kind in type(module).__mro__)
        if is_norm:
            tables = [child for child in module.children() if type(child).__name__ == "Embedding"]
            kept.update(id(p) for table in tables for p in table.parameters())
        for name, p in module.named_parameters(recurse=False):
            if is_norm or p.ndim < 2 or name in ("bias", "gain") or name.startswith("bias_"):
                kept.add(id(p))
    decaying, others = [], []
    for name, p in model.named_parameters():
        (others if id(p) in kept else decaying).append((name, p))
    groups = [{"params": decaying, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]
