"""`Function`: one differentiable operation, and the node that it leaves in the graph.

Write an op as a class with two methods, `forward` on arrays and `backward` from the gradient of the
output to the gradients of the inputs::

    class Cube(mg.Function):
        def forward(self, x):
            self.save_for_backward(x)
            return x**3

        def backward(self, grad):
            (x,) = self.saved
            return 3 * x**2 * grad

    y = Cube()(x)           # options, if the op has any, are arguments of the class

**One rule serves every order of derivative.** In an ordinary backward pass `grad` and `self.saved` are
NumPy arrays, and the rule is plain arithmetic. With `create_graph=True` the engine calls the very same
rule with Tensors, so the rule itself is recorded, and can be differentiated again. That is why a rule
uses operators and the functions of `minigrad.ops`, which accept both, and never `np.exp(x)` or the like.

`forward` may keep a value as an attribute of `self`, but only a value that the rule may treat as a constant: a mask,
an index. A mean is *not* a constant. A rule that treats a mean as a constant has a correct gradient and, without any
error, a wrong second derivative.
"""

import itertools
import linecache
import sys
from collections.abc import Callable, Sequence
from inspect import getattr_static
from pathlib import Path
from typing import Any

import numpy as np

from minigrad.autograd.modes import modes
from minigrad.autograd.tensor import Tensor, ViewOf

_PACKAGE = str(Path(__file__).resolve().parent.parent)
_new = object.__new__
_ndarray = np.ndarray
_CONSTANT = [0]  # the version counter of a saved value that is no tensor
once_differentiable: Callable[..., Any]  # PyTorch has it here; `autograd.static` builds on this file and puts it in
_clock = itertools.count()  # numbers the nodes: a node is always younger than those it depends on


class Function:
    """One application of an op: calls `forward`, and records itself if a gradient may be wanted.

    Attributes:
        edges: for each input, where its gradient goes: `(node, output_index)`, with the leaf tensor itself
            standing for a node at the end of the graph; None where no gradient is wanted.
        outputs: shape and dtype of each output.
        order: when it ran. Going from the youngest node to the oldest visits each after all its users.
    """

    edges: Sequence[tuple[Any, int] | None] = ()
    outputs: Sequence[tuple[tuple[int, ...], np.dtype[Any]]] = ()
    order = -1
    is_view = False
    """True if the output may share memory with the first input: then they share a version counter too."""
    differentiable = True
    """False for an op whose result has no gradient (a comparison, an index): it is never recorded."""
    materialize_grads = True
    """True if `backward` gets zeros (rather than None) for an unused output."""
    hooks: "dict[int, list[Any]] | None" = None
    where: str | None = None

    _saved: "tuple[Any, ...] | None" = ()  # the arrays; None once they are freed
    _sources: Sequence[int] = ()  # which input or output each array is: i for input i, ~i = −1 − i for output i
    _counters: Sequence[list[int]] = ()  # the version counter of each saved tensor
    _changes = 0  # sum of these counters when the op ran: any change in place makes it larger

    # -- to be written by each op --------------------------------------------------------------------

    # (An op takes as many arrays as it likes. `*arrays: Any, **_: Any` is how type checkers spell "anything".)

    def forward(self, *arrays: Any, **_: Any) -> Any:
        """Compute the output array (or a tuple of arrays) from the input arrays. Must not change its inputs."""
        raise NotImplementedError(f"{self.name} has no forward")

    def backward(self, *grads: Any, **_: Any) -> Any:
        """Compute the gradient of each input (None: no gradient) from the gradient of each output."""
        raise NotImplementedError(f"{self.name} has no derivative: it defines no backward")

    # -- for use inside forward and backward ---------------------------------------------------------

    def save_for_backward(self, *arrays: Any) -> None:
        """Keep these inputs or outputs for `backward`; everything else is freed after `forward`."""
        self._saved = arrays

    @property
    def saved(self) -> tuple[Any, ...]:
        """The values saved by `forward`: arrays, or Tensors of the graph in a recorded backward pass."""
        if self._saved is None:
            raise RuntimeError(
                f"{self.name}: its saved values were freed by an earlier backward pass. To go backward "
                "through a graph twice, call backward(retain_graph=True) the first time."
            )
        changes = 0
        for counter in self._counters:
            changes += counter[0]
        if changes != self._changes:
            raise RuntimeError(
                f"{self.name}: a value that it needs for its gradient was changed in place after the forward pass. "
                "Change a copy instead, x.clone(), or make the change before the value is used."
            )
        if not modes.create_graph:
            return self._saved
        return tuple(map(self._as_tensor, self._saved, self._sources, self._counters))

    def needs(self, i: int) -> bool:
        """True if the gradient of input `i` is wanted. A costly rule asks before it computes."""
        edge = self.edges[i]
        return edge is not None and (modes.wanted is None or edge[0] in modes.wanted)

    def input_shape(self, i: int) -> tuple[int, ...]:
        """The shape of input `i`, one of those whose gradient is wanted."""
        edge = self.edges[i]
        assert edge is not None, "a rule asks needs(i) before it computes the gradient of input i"
        return edge[0].outputs[edge[1]][0]

    @property
    def name(self) -> str:
        return type(self).__name__

    def __repr__(self) -> str:
        return f"<{self.name}>"

    def __reduce_ex__(self, protocol: Any) -> Any:
        if self.order >= 0:
            raise RuntimeError(
                f"{self.name}: what an op made cannot be deep-copied or pickled, because its graph cannot: the copy "
                "would send its gradients to leaves that nobody holds. Copy x.detach()"
            )
        return super().__reduce_ex__(protocol)

    # -- the machinery -------------------------------------------------------------------------------

    @classmethod
    def apply(cls, *inputs: Any, **options: Any) -> Any:
        """Apply the op as PyTorch does: `Cube.apply(x)` is `Cube()(x)`.

        It is the way to apply an op whose `forward` and `backward` are static methods; see `autograd.static`.
        """
        if not isinstance(getattr_static(cls, "forward"), staticmethod):
            return cls(**options)(*inputs)
        from minigrad.autograd.static import apply

        return apply(cls, inputs, options)

    def __call__(self, *inputs: Any) -> Any:
        """Apply the op. Tensors in, Tensor out. With plain arrays only, it computes and records nothing."""
        if self.order >= 0:  # asked before `forward` could overwrite what it remembers
            raise RuntimeError(
                f"{self.name}: this object has been applied before, and it remembers one application only. Make a "
                f"new one for each: {self.name}(...)(x)"
            )
        if len(inputs) == 1 and isinstance(inputs[0], Tensor):
            # Fast path for most ops: one tensor in, one new array out. The code after this block does the same, but
            # takes a third longer.
            (x,) = inputs
            array, tracked = x.array, x.requires_grad
            edge = (x, 0) if x.grad_fn is None else (x.grad_fn, x.output_index)
            try:
                out = self.forward(array)
            except (ValueError, TypeError, IndexError, ZeroDivisionError) as error:
                raise _explain(error, self, [array]) from error
            if type(out) is _ndarray and out is not array and not modes.anomaly:
                result = _new(Tensor)
                result.array = out
                if self.is_view:
                    _share(result, x)
                else:
                    result.version = [0]
                if tracked and self.differentiable and modes.grad:
                    saved: tuple[Any, ...] | None = self._saved
                    if saved and (len(saved) != 1 or not (saved[0] is array or saved[0] is out)):
                        self._record(inputs, [array], [edge], (result,), ((out.shape, out.dtype),))
                    else:  # `_record` in short
                        self.edges = (edge,)
                        self.outputs = ((out.shape, out.dtype),)
                        self.order = next(_clock)
                        if not saved:
                            pass
                        elif saved[0] is out:
                            self._sources, self._counters, self._changes = (~0,), (result.version,), result.version[0]
                        else:
                            self._sources, self._counters, self._changes = (0,), (x.version,), x.version[0]
                    result.grad_fn = self
                    result.requires_grad = True
                return result
            arrays, edges = [array], [edge if tracked else None]
        else:
            arrays, edges = [], []
            any_tensor = tracked = False
            for x in inputs:
                edge = None
                if isinstance(x, Tensor):
                    any_tensor = True
                    if x.requires_grad:
                        tracked = True
                        edge = (x, 0) if x.grad_fn is None else (x.grad_fn, x.output_index)
                    x = x.array
                arrays.append(x)
                edges.append(edge)
            try:
                out = self.forward(*arrays)
            except (ValueError, TypeError, IndexError, ZeroDivisionError) as error:
                raise _explain(error, self, arrays) from error
            if not any_tensor:
                return out
        if modes.anomaly:
            self._look_for_nan(arrays, out)
        tracked = tracked and self.differentiable and modes.grad
        if type(out) is tuple:
            return self._several(out, arrays, inputs, edges, tracked)
        # One output, as nearly every op has. Written out for speed, because it runs for every op.
        if type(out) is not _ndarray:
            out = self._as_array(out)
        result = _new(Tensor)
        result.array = out
        result.version = [0]
        if self.is_view:
            _share(result, inputs[0])
        for array in arrays:
            if array is out:
                _set_apart(result, arrays, inputs)
                break
        if tracked:
            self._record(inputs, arrays, edges, (result,), ((out.shape, out.dtype),))
            result.grad_fn = self
            result.requires_grad = True
        return result

    def _several(
        self, outs: tuple[Any, ...], arrays: list[Any], inputs: tuple[Any, ...], edges: list[Any], tracked: bool
    ) -> tuple[Tensor, ...]:
        """The rest of `__call__` for an op with several outputs."""
        results = tuple([Tensor._of(out if type(out) is _ndarray else self._as_array(out)) for out in outs])
        for result in results:
            if self.is_view:
                _share(result, inputs[0])
            if any(result.array is array for array in arrays):
                _set_apart(result, arrays, inputs)
        if tracked:
            outputs = tuple([(r.array.shape, r.array.dtype) for r in results])
            self._record(inputs, arrays, edges, results, outputs)
            for i, result in enumerate(results):
                if result.array.dtype.kind == "f":  # indices that come along have no gradient
                    result.grad_fn = self
                    result.output_index = i
                    result.requires_grad = True
        return results

    def _as_array(self, out: Any) -> Any:
        """Make an array of an output of `forward` that is not one: NumPy turns results without axes into scalars."""
        array = np.asarray(out)
        if array.dtype.kind not in "fiub" or isinstance(out, list):
            raise TypeError(
                f"{self.name}.forward returned a {type(out).__name__}; it must return an array of numbers, or a "
                "tuple of arrays"
            )
        if self._saved:
            self._saved = tuple([array if s is out else s for s in self._saved])
        return array

    def _record(
        self,
        inputs: tuple[Any, ...],
        arrays: list[Any],
        edges: list[Any],
        results: tuple[Tensor, ...],
        outputs: Sequence[tuple[tuple[int, ...], np.dtype[Any]]],
    ) -> None:
        """Become a node of the graph: remember where gradients go, the shapes of the outputs, and when this op ran.

        The node also remembers which input or output each saved array is. `forward` sees only arrays; a recorded
        backward pass needs the Tensors of these arrays, and finds them by this number (see `_as_tensor`). The version
        counters of the Tensors tell whether a value was changed in place in the meantime.
        """
        # Tuples, not lists: Python's garbage collector soon ignores a tuple of plain values.
        self.edges = tuple(edges)
        self.outputs = outputs
        self.order = next(_clock)
        if not self._saved:
            return
        sources: list[int] = []
        counters: list[list[int]] = []
        source = changes = 0
        for array in self._saved:
            if source < len(arrays) and array is arrays[source]:  # often all inputs are saved, in their order
                sources.append(source)
                owner = inputs[source]
                source += 1
            elif results and array is results[0].array:  # or the output, alone
                sources.append(~0)
                owner = results[0]
            else:
                at, owner = self._source(array, inputs, arrays, results)
                sources.append(at)
            counter = owner.version if isinstance(owner, Tensor) else _CONSTANT
            counters.append(counter)
            changes += counter[0]
        self._sources, self._counters, self._changes = sources, counters, changes

    def _source(
        self, array: Any, inputs: tuple[Any, ...], arrays: list[Any], results: tuple[Tensor, ...]
    ) -> tuple[int, Any]:
        """(i, input i) or (~i, output i), whichever holds this same array object."""
        for i, candidate in enumerate(arrays):
            if candidate is array:
                return i, inputs[i]
        for i, result in enumerate(results):
            if result.array is array:
                return ~i, result
        raise self._cannot_save(array)

    def _cannot_save(self, array: Any) -> Exception:
        return RuntimeError(
            f"{self.name}: save_for_backward takes only inputs and outputs of forward, got an array of shape "
            f"{np.shape(array)} that is neither. If the rule may treat it as a constant (a mask, an index), keep it "
            "as an attribute; otherwise let the rule compute it again from the inputs, or its second derivative "
            "would be wrong."
        )

    def _as_tensor(self, array: Any, source: int, version: Any) -> Any:
        """A saved array as a Tensor in its old place in the graph: the leaf itself, or an output of the same node.

        It shares the version counter of the saved tensor: nodes of the backward pass save it as well, and they must
        notice a change in place.
        """
        edge = self.edges[source] if source >= 0 else (self, ~source)
        if edge is not None and isinstance(edge[0], Tensor):  # a leaf
            if edge[0].array is not array:
                raise RuntimeError(
                    f"{self.name}: the .data of a leaf was set to another array after the forward pass, so its "
                    "gradient cannot be differentiated: the values that it comes from are no longer those of the leaf"
                )
            return edge[0]
        if not isinstance(array, np.ndarray):
            return array
        tensor = Tensor._of(array)
        tensor.version = version
        if edge is None:
            return tensor
        node, index = edge
        tensor.grad_fn, tensor.output_index, tensor.requires_grad = node, index, True
        return tensor

    def release(self) -> None:
        """Free the saved values. The engine calls this as soon as the rule has run."""
        if self._saved:
            self._saved = None

    def _look_for_nan(self, arrays: list[Any], out: Any) -> None:
        self.where = _calling_line()
        for o in out if type(out) is tuple else (out,):
            if has_nan(o) and not any(has_nan(a) for a in arrays):
                shapes = ", ".join(str(np.shape(a)) for a in arrays)
                raise AnomalyError(
                    f"{self.name} made a NaN out of inputs without one (shapes {shapes}), in the forward pass at\n"
                    f"{self.where}"
                )


def _set_apart(result: Tensor, arrays: list[Any], inputs: tuple[Any, ...]) -> None:
    """Give the tensors separate array objects, because saved values are told apart by identity. They share a
    counter."""
    owner = next(x for x, array in zip(inputs, arrays, strict=True) if array is result.array)
    result.array = result.array.view()
    if isinstance(owner, Tensor):
        _share(result, owner)


def _share(view: Tensor, owner: Tensor) -> None:
    """Share one version counter, because the tensors share memory."""
    view.version, view._base = owner.version, ViewOf._make(view, owner)


class AnomalyError(RuntimeError):
    """An op made a NaN inside `detect_anomaly()`; the message names the op and the line that called it."""


def has_nan(array: Any) -> bool:
    """Does a float array hold a NaN?"""
    array = np.asarray(array)
    return array.dtype.kind == "f" and bool(np.isnan(array).any())


def _calling_line() -> str:
    """The innermost line of the program outside this package, like a traceback would show it."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    file, line = frame.f_code.co_filename, frame.f_lineno
    return f'  File "{file}", line {line}, in {frame.f_code.co_name}\n    {linecache.getline(file, line).strip()}'


def _explain(error: Exception, op: Function, arrays: list[Any]) -> Exception:
    """The same kind of error, naming the op and the shapes of its inputs."""
    if isinstance(getattr_static(type(op), "forward"), staticmethod):
        return TypeError(f"{op.name}: forward is a static method: apply the op with {op.name}.apply(...)")
    message = str(error)
    if message.startswith(op.name):
        return error
    inputs = ", ".join(f"{a.dtype}{list(a.shape)}" if isinstance(a, np.ndarray) else repr(a) for a in arrays)
    kind = type(error) if type(error) in (ValueError, TypeError, IndexError) else ValueError
    return kind(f"{op.name}: {message} (inputs: {inputs})")
