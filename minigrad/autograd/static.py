"""Ops written as PyTorch writes them: `forward` and `backward` are static methods, on tensors, with a context.

::

    class Cube(mg.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx, grad):
            (x,) = ctx.saved_tensors
            return 3 * x**2 * grad

    y = Cube.apply(x)

Such a class is a description of an op; it is never instantiated. Each call of `apply` makes a `StaticFunction`, which
is the node in the graph. `forward` runs without being recorded. `backward` is recorded if the backward pass is
recorded (`create_graph=True`), so a rule made of tensor operations can be differentiated again.

Differences from PyTorch: there is no `vmap` and no `jvp`; inside `forward` and `backward`, views of an input that was
changed with `mark_dirty` do not become part of the graph.
"""

from collections.abc import Callable
from functools import wraps
from inspect import getattr_static, signature
from typing import Any

from minigrad.autograd.function import Function
from minigrad.autograd.modes import modes, no_grad
from minigrad.autograd.tensor import Tensor, ViewOf, raw


class FunctionCtx:
    """The values that `forward` keeps for `backward`. You may set any other attribute on it as well: options, shapes,
    masks.

    Attributes:
        needs_input_grad: for each argument of `forward`, whether its gradient may be wanted.
        saved_tensors: in `backward`, the tensors given to `save_for_backward`, which are checked for changes in place.
    """

    needs_input_grad: tuple[bool, ...] = ()
    saved_tensors: tuple[Tensor | None, ...] = ()
    _non_differentiable: tuple[Tensor, ...] = ()
    _dirty: tuple[Tensor, ...] = ()
    _materialize_grads = True

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep tensors for `backward`: inputs, outputs, or other tensors, which are constants in higher
        derivatives."""
        for i, tensor in enumerate(tensors):
            if tensor is not None and not isinstance(tensor, Tensor):
                raise TypeError(
                    f"save_for_backward: argument {i} is a {type(tensor).__name__}, and must be a tensor or None. "
                    "Keep other things as attributes: ctx.name = value"
                )
        self.saved_tensors = tensors

    def mark_non_differentiable(self, *outputs: Tensor) -> None:
        """These outputs have no gradient."""
        self._non_differentiable = outputs

    def mark_dirty(self, *inputs: Tensor) -> None:
        """These inputs were changed in place; `forward` returns them."""
        self._dirty = inputs

    def set_materialize_grads(self, value: bool) -> None:
        """Give `backward` zeros (True, the default) or None (False) for an unused output."""
        self._materialize_grads = bool(value)


def apply(op: type[Function], inputs: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """`op.apply(*inputs, **options)`."""
    if _has_setup(op):  # then arguments may have names and defaults
        bound = signature(op.forward).bind(*inputs, **options)
        bound.apply_defaults()
        inputs, options = bound.args, bound.kwargs
    if options:
        raise TypeError(f"{op.__name__}.apply: arguments are given by position, not by name: {', '.join(options)}")
    return StaticFunction(op).run(inputs)


def _has_setup(op: type[Function]) -> bool:
    """PyTorch's other form: `forward` knows no context, and `setup_context(ctx, inputs, output)` comes after it."""
    return hasattr(op, "setup_context")


class StaticFunction(Function):
    """One application of an op that is written with static methods."""

    def __init__(self, op: Any):
        self._op, self._context = op, FunctionCtx()
        self._given: tuple[Any, ...] = ()  # the arguments of the op's `forward`, and later its results
        self._are_tensors: tuple[bool, ...] = ()
        self._plan: list[Any] = []  # where each saved tensor comes from: a number if from `_saved`, or else the tensor

    @property
    def name(self) -> str:
        return self._op.__name__

    @property
    def materialize_grads(self) -> bool:  # asked by the engine
        return self._context._materialize_grads

    def run(self, inputs: tuple[Any, ...]) -> Any:
        """Apply the op, and record it if a gradient may be wanted."""
        self._are_tensors = tuple([isinstance(x, Tensor) for x in inputs])
        self._context.needs_input_grad = tuple([isinstance(x, Tensor) and x.requires_grad for x in inputs])
        self._given = inputs
        made = [r if isinstance(r, Tensor) else Tensor._of(r) for r in self(*inputs)]
        given, self._given = self._given, ()
        outputs = [self._output(x, made) if isinstance(x, Tensor) else x for x in given]
        saved, self._context.saved_tensors = self._context.saved_tensors, ()
        if self.order >= 0:  # it is part of the graph
            self._keep(saved, inputs, [x for x in given if isinstance(x, Tensor)])
        self._context._dirty = self._context._non_differentiable = ()
        return tuple(outputs) if self._returns_tuple else outputs[0]

    def forward(self, *arrays: Any) -> Any:
        context, inputs = self._context, self._given
        with no_grad():
            if _has_setup(self._op):
                output = self._op.forward(*inputs)
                self._op.setup_context(context, inputs, output)
            else:
                output = self._op.forward(context, *inputs)
        self._returns_tuple = isinstance(output, tuple)
        outputs = output if isinstance(output, tuple) else (output,)
        returned = [x for x in inputs if isinstance(x, Tensor) and not _is_one_of(x, context._dirty)]
        self._given = tuple([x.detach() if _is_one_of(x, returned) else x for x in outputs])
        self._outputs_are_tensors = [isinstance(x, Tensor) for x in self._given]
        return tuple([raw(x) for x in self._given if isinstance(x, Tensor)])

    def _output(self, x: Tensor, made: list[Tensor]) -> Tensor:
        """The next of `made`, the outputs in the graph, for what the op's `forward` returned."""
        result, context = made.pop(0), self._context
        result.version = x.version
        if x._base is not None:  # x may be a view of an input
            result._base = ViewOf._make(result, x)
        if _is_one_of(x, context._non_differentiable):
            result.grad_fn, result.output_index, result.requires_grad = None, 0, False
        if not _is_one_of(x, context._dirty):
            return result
        if x.is_leaf and x.requires_grad and modes.grad:
            raise RuntimeError(f"{self.name}: a leaf that requires a gradient was changed in place (mark_dirty)")
        x.grad_fn, x.output_index, x.requires_grad = result.grad_fn, result.output_index, result.requires_grad
        return x

    def _keep(self, saved: tuple[Tensor | None, ...], inputs: tuple[Any, ...], outputs: list[Tensor]) -> None:
        """Does for this op what `_record` does for an ordinary op; here, intermediate tensors may be saved as well."""
        sources = [_source(x, inputs, outputs) for x in saved]
        tensors = [x for x, source in zip(saved, sources, strict=True) if x is not None and source is not None]
        constants = [x for x, source in zip(saved, sources, strict=True) if x is not None and source is None]
        self._plan = [
            x.detach() if x is not None and source is None else source
            for x, source in zip(saved, sources, strict=True)
        ]
        self._saved = tuple(map(raw, tensors))
        self._sources = [source for source in sources if source is not None]
        self._counters = [x.version for x in (*tensors, *constants)]
        self._changes = sum(counter[0] for counter in self._counters)

    def _saved_tensors(self) -> tuple[Tensor | None, ...]:
        kept = map(_as_tensor, self.saved)
        return tuple([next(kept) if isinstance(part, int) else part for part in self._plan])

    def backward(self, *grads: Any) -> Any:
        if not isinstance(getattr_static(self._op, "backward"), staticmethod):
            raise NotImplementedError(
                f"{self.name} has no derivative: it defines no static method backward(ctx, grad)"
            )
        context = self._context
        context.saved_tensors = self._saved_tensors()
        try:
            sent = map(_as_tensor, grads)
            results = self._op.backward(context, *[next(sent) if t else None for t in self._outputs_are_tensors])
        finally:
            context.saved_tensors = ()
        results = list(results) if isinstance(results, tuple) else [results]
        while len(results) > len(self.edges) and results[-1] is None:
            results.pop()
        return tuple([self._gradient(i, g) for i, g in enumerate(results)])

    def _gradient(self, i: int, g: Any) -> Any:
        """The result of `backward` for input `i`, in the form that the engine expects."""
        if g is None or i >= len(self.edges):
            return g
        if not self._are_tensors[i]:
            raise RuntimeError(
                f"{self.name}.backward returned a gradient for argument {i} of forward, which was no tensor; return "
                "None there"
            )
        edge = self.edges[i]
        if edge is None:
            return None
        if isinstance(g, Tensor):
            g = _undo_broadcast(g, edge[0].outputs[edge[1]][0])
        return g if modes.create_graph else raw(g)


def _is_one_of(x: Any, others: tuple[Any, ...] | list[Tensor]) -> bool:
    return any(x is other for other in others)


def _source(x: Tensor | None, inputs: tuple[Any, ...], outputs: list[Tensor]) -> int | None:
    """i for input i, ~i for output i, as in `Function._sources`; None for anything else."""
    for i, y in enumerate(inputs if x is not None else ()):
        if x is y:
            return i
    for i, y in enumerate(outputs):
        if x is y:
            return ~i
    return None


def _as_tensor(x: Any) -> Any:
    return x if x is None or isinstance(x, Tensor) else Tensor._of(x)


def _undo_broadcast(g: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The sum of g over the axes along which a tensor of this shape was repeated. (g as it is where none were.)"""
    new = g.ndim - len(shape)
    fits = new >= 0 and all(n in (1, m) for n, m in zip(shape, g.shape[new:], strict=True))
    if g.shape == shape or not fits:
        return g
    g = g.sum(tuple(range(new))) if new else g
    repeated = tuple([i for i, n in enumerate(shape) if n == 1 and g.shape[i] != 1])
    return g.sum(repeated, True) if repeated else g


class _Once(Function):
    """y = x, for values that have no second derivative because of `once_differentiable`."""

    def __init__(self, op: str):
        self.op = op

    def forward(self, x: Any, *others: Any) -> Any:
        return x.copy()

    def backward(self, g: Any) -> Any:
        raise RuntimeError(
            f"{self.op}.backward is marked with once_differentiable, so it cannot be differentiated again"
        )


def once_differentiable(backward: Callable[..., Any]) -> Callable[..., Any]:
    """Decorates a static `backward` that has no derivative of its own, because it computes with arrays, for instance.

    A second derivative through it is then an error rather than a wrong number.

    Example:
        >>> import minigrad as mg, numpy as np
        >>> class Sine(mg.autograd.Function):
        ...     @staticmethod
        ...     def forward(ctx, x):
        ...         ctx.save_for_backward(x)
        ...         return x.sin()
        ...     @staticmethod
        ...     @mg.autograd.function.once_differentiable
        ...     def backward(ctx, grad):
        ...         (x,) = ctx.saved_tensors
        ...         return grad * mg.tensor(np.cos(x.detach().numpy()))
        >>> x = mg.tensor(0.0, requires_grad=True)
        >>> Sine.apply(x).backward()
        >>> x.grad.item()
        1.0
    """

    @wraps(backward)
    def once(ctx: Any, *grads: Any) -> Any:
        with no_grad():
            results = backward(ctx, *grads)
        if not modes.grad:
            return results
        op = backward.__qualname__.rpartition(".")[0].rpartition(".")[2]
        sources = [x for x in (*grads, *ctx.saved_tensors) if isinstance(x, Tensor)]

        def final(x: Any) -> Any:
            return _Once(op)(x, *sources) if isinstance(x, Tensor) else x

        return tuple(map(final, results)) if isinstance(results, tuple) else final(results)

    return once
