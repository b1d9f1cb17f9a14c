"""Population statistics: compute them from the whole training set, or freeze them."""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from minigrad.autograd import Tensor, no_grad
from minigrad.autograd.tensor import raw
from minigrad.nn.module import Module
from minigrad.nn.norm.population import has_variance


def _with_averages(model: Module, op: str) -> list[Any]:
    """The layers that keep running averages."""
    if not isinstance(model, Module):
        raise TypeError(f"{op}: model must be a Module, not a {type(model).__name__}")
    found = []
    for module in model.modules():
        population = getattr(module, "population_statistics", None)
        if callable(population) and population() is not None:
            found.append(module)
    if not found:
        raise ValueError(
            f"{op}: no layer of this {type(model).__name__} keeps running statistics, as batch norm does with "
            "track_running_stats=True; other norms have none and need nothing of the kind"
        )
    return found


# -- the statistics of the whole training set ----------------------------------------------------------------


@no_grad()
def recompute_statistics(
    model: Module,
    loader: Iterable[Any],
    *,
    forward: Callable[[Module, Any], Any] | None = None,
    layer_by_layer: bool = False,
) -> None:
    """Replace running averages by the mean and variance of the whole training set ("precise batch norm").

    μ = (1/n) Σ x,   σ² = 1/(n − 1) Σ (x − μ)²,   the sums over all n values that reach a channel of the layer

    Running averages cover only the last few dozen batches, and come from older weights. The statistics computed here
    belong to the present weights, and every sample has the same weight, even if batches have different sizes. They are
    summed in float64.

    **The input of a deeper layer** depends on how the layers before it normalize. There are two choices:

    - by the statistics of the mini-batch, as in training. Then a single pass over the loader is enough for all layers.
      The statistics of the first norm do not depend on the split into batches; those of deeper norms depend on it a
      little. This is the population estimate of Ioffe & Szegedy, and "PreciseBN" of Wu & Johnson, who find that the
      batch size of training is right for it. (A batch with a single value per channel, or with a ghost of one, has no
      variance. It passes through as in evaluation, and counts as well.)
    - by their own new statistics, as in later evaluation: `layer_by_layer=True`. Then each layer needs the statistics
      of the layers before it, which takes a pass for each layer. In evaluation every batch norm's x̂ then has, over
      the training set, mean 0 and variance 1 (up to ε and n/(n − 1)), and nothing depends on the batches.

    Everything else runs as in evaluation, without dropout. Every module gets its training flag back. If an error stops
    the passes, all averages keep their old values. `num_batches_tracked` still counts training batches. Layers under
    `freeze_statistics` do not change. Only calls of a module are seen, not direct calls of its `forward`.

    Args:
        model: any module. Layers of other kinds take part if they have a method `population_statistics`; see
            `minigrad.nn.norm.population`.
        loader: yields batches. A batch is x, or (x, ...), and x is passed to the model; or a dictionary, and the model
            gets the entries that its `forward` has arguments for. Wrap the loader to watch progress.
        forward: `forward(model, batch)` runs the model on any other kind of batch.
        layer_by_layer: see above; True goes through the loader once for each layer.

    Raises:
        ValueError: no layer keeps running statistics, or all such layers are frozen; the loader is empty; the whole
            loader has a single value per channel.
        TypeError: a batch that the model cannot be called with; `layer_by_layer` with a loader that lasts only once.

    Differences from PyTorch: `torch.optim.swa_utils.update_bn` averages the variances of the batches, which ignores
    the differences of their means. It also gives a small last batch the same weight as the others, and keeps dropout
    active.

    Source: Wu & Johnson, "Rethinking 'Batch' in BatchNorm", arXiv 2105.07576, section 3; Ioffe & Szegedy, arXiv
    1502.03167, algorithm 2.

    Example:
        >>> import minigrad as mg
        >>> model = mg.nn.Sequential(mg.nn.BatchNorm1d(1), mg.nn.ReLU())
        >>> mg.nn.utils.recompute_statistics(model, [mg.tensor([[1.0], [2.0]]), mg.tensor([[6.0]])])
        >>> model[0].running_mean.item(), model[0].running_var.item()
        (3.0, 7.0)
    """
    op = "recompute_statistics"
    layers = [layer for layer in _with_averages(model, op) if layer._mode_when_unfrozen is None]
    if not layers:
        raise ValueError(f"{op}: all running statistics of this model are frozen; call unfreeze_statistics first")
    if layer_by_layer and isinstance(loader, Iterator):
        raise TypeError(
            f"{op}: layer_by_layer goes over the loader once for each layer, and a {type(loader).__name__} lasts "
            "only once; pass a DataLoader or a list"
        )
    run = _run if forward is None else forward
    training = {module: module.training for module in model.modules()}
    averages = {buffer: buffer.array.copy() for layer in layers for buffer in layer.buffers()}

    def put_back() -> None:
        for buffer, values in averages.items():
            buffer.copy_(values)

    try:
        for module in training:
            module.training = False
        if layer_by_layer:
            _go_layer_by_layer(model, layers, loader, run)
        else:
            _go_once(model, layers, loader, run, put_back)
    except BaseException:
        put_back()
        raise
    finally:
        for module, mode in training.items():
            module.training = mode


def _go_once(model: Module, layers: list[Any], loader: Any, run: Any, put_back: Callable[[], None]) -> None:
    """All layers collect statistics in the same pass; each normalizes by its batch."""
    populations: dict[Module, Any] = {layer: layer.population_statistics() for layer in layers}

    def see(layer: Any, x: Any) -> None:
        populations[layer].add(x)
        layer.training = getattr(layer, "has_variance", has_variance)(x)

    handles = _watch(layers, see)
    try:
        for batch in loader:
            run(model, batch)
            put_back()  # each batch meets the same model, also in layers that use their averages in training
    finally:
        for handle in handles:
            handle.remove()
    _check_seen(any(population.count for population in populations.values()))
    for population in populations.values():
        if population.count:  # a layer that evaluation never calls needs no statistics
            population.store()


def _go_layer_by_layer(model: Module, layers: list[Any], loader: Any, run: Any) -> None:
    """In each pass, a single layer collects: the first one without new statistics. The layers before it use their new
    statistics."""
    waiting = set(layers)
    while waiting:
        found = _collect_first(model, layers, waiting, loader, run)
        if not found and len(waiting) < len(layers):
            return  # evaluation never calls the other layers
        _check_seen(found and found[1].count)
        layer, population = found
        population.store()
        waiting.discard(layer)


def _collect_first(model: Module, layers: list[Any], waiting: set[Any], loader: Any, run: Any) -> list[Any]:
    """The first layer of `waiting` that is called, and what it saw; nothing if none is called."""
    found: list[Any] = []

    def see(layer: Any, x: Any) -> None:
        if not found and layer in waiting:
            found.extend((layer, layer.population_statistics()))
        if found and layer is found[0]:
            found[1].add(x)

    handles = _watch(layers, see)
    try:
        for batch in loader:
            run(model, batch)
    finally:
        for handle in handles:
            handle.remove()
    return found


def _watch(layers: list[Any], see: Callable[[Any, Any], None]) -> list[Any]:
    """Call `see(layer, x)` for each input of each layer."""

    def hook(layer: Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        see(layer, raw(args[0] if args else next(iter(kwargs.values()))))

    return [layer.register_forward_pre_hook(hook, with_kwargs=True) for layer in layers]


def _check_seen(any_data: Any) -> None:
    if not any_data:
        raise ValueError(
            "recompute_statistics: the loader brought no data to any layer with running statistics; it is empty, or "
            "an iterator that was used up before"
        )


def _run(model: Module, batch: Any) -> None:
    """Call the model with a batch of one of the usual kinds."""
    if isinstance(batch, Mapping):
        parameters = inspect.signature(model.forward).parameters
        takes_all = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
        known = {name: value for name, value in batch.items() if takes_all or name in parameters}
        if not known:
            raise TypeError(
                f"recompute_statistics: the batch has the entries {', '.join(map(str, batch))}, and "
                f"{type(model).__name__}.forward the arguments {', '.join(parameters)}; pass "
                "forward=lambda model, batch: model(batch[...])"
            )
        model(**known)
        return
    x = batch[0] if isinstance(batch, tuple | list) and batch else batch
    if not isinstance(x, Tensor | np.ndarray):
        raise TypeError(
            "recompute_statistics: a batch must be a tensor, an array, a tuple that begins with one, or a dictionary, "
            f"not a {type(batch).__name__}; pass forward=lambda model, batch: model(...) to say how it is used"
        )
    model(x if isinstance(x, Tensor) else Tensor(x))


# -- frozen statistics ---------------------------------------------------------------------------------------


class FrozenStatistics:
    """The result of `freeze_statistics`: leaving its `with` block unfreezes the layers that this call froze."""

    def __init__(self, layers: list[Any]):
        self._layers = layers

    def __enter__(self) -> "FrozenStatistics":
        return self

    def __exit__(self, *exception: Any) -> None:
        self.unfreeze()

    def unfreeze(self) -> None:
        """Set the layers to the mode of the last `train()` or `eval()`."""
        for layer in self._layers:
            _unfreeze(layer)
        self._layers = []


def freeze_statistics(model: Module) -> FrozenStatistics:
    """Normalize by the present running statistics, also in training; γ and β still learn.

    y = (x − running mean) / √(running variance + ε) · γ + β, and no batch changes the averages

    Use it for small batches, whose own statistics are too noisy, and for the last part of training, so that training
    and evaluation use the same network. `requires_grad=False` has another effect: it stops γ and β.

    The layers stay in evaluation mode when `model.train()` is called, and remember the mode until
    `unfreeze_statistics(model)`. At the end of a `with` statement, the layers that it froze are unfrozen.

    Args:
        model: all layers in it that keep running statistics are frozen.

    Raises:
        ValueError: there is no such layer.

    Differences from PyTorch: there, such a layer must be put in evaluation mode after each `model.train()`, or be
    replaced by torchvision's `FrozenBatchNorm2d`, whose γ and β are frozen as well.

    Example:
        >>> import minigrad as mg
        >>> model = mg.nn.Sequential(mg.nn.Linear(3, 2), mg.nn.BatchNorm1d(2))
        >>> with mg.nn.utils.freeze_statistics(model):
        ...     y = model.train()(mg.ones(4, 3))
        >>> model[1].running_mean.tolist(), model[1].training
        ([0.0, 0.0], True)
    """
    layers = [layer for layer in _with_averages(model, "freeze_statistics") if layer._mode_when_unfrozen is None]
    for layer in layers:
        layer._mode_when_unfrozen = layer.training
        layer.training = False
    return FrozenStatistics(layers)


def unfreeze_statistics(model: Module) -> None:
    """Undo `freeze_statistics`: the layers get the mode of the last `train()` or `eval()`."""
    for layer in model.modules():
        _unfreeze(layer)


def _unfreeze(layer: Module) -> None:
    if layer._mode_when_unfrozen is not None:
        layer.training = layer._mode_when_unfrozen
        layer._mode_when_unfrozen = None
