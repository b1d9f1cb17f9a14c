"""`Tensor`: a NumPy array that remembers how it was computed."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias
from weakref import ref

import numpy as np

from minigrad.autograd.modes import modes

if TYPE_CHECKING:
    # x.exp(), x + y and so on are the functions of minigrad.ops under another name. That room comes after
    # this one, so it hands them to the class when it is imported; here they are known to type checkers.
    from minigrad.autograd.function import Function
    from minigrad.ops.methods import Methods as _Methods
else:
    _Methods = object

_new = object.__new__

ArrayLike: TypeAlias = "np.ndarray[Any, Any] | Tensor | Sequence[Any] | float | int | bool | np.generic"


class Tensor(_Methods):
    """An n-dimensional array with a gradient.

    Make one with `mg.tensor(data, requires_grad=True)`; this constructor keeps the array that it is given
    without copying it.

    Attributes:
        data: the NumPy array.
        requires_grad: should a gradient be computed for it, or through it?
        grad: after `backward()`, the gradient (a Tensor of the same shape and dtype), or None. Only leaves
            (tensors that no recorded op made) get one, and those that called `retain_grad()`.
        grad_fn: the `Function` that made it; None for a leaf.
        output_index: which of that function's outputs it is.
        version: a one-element list that counts the in-place changes; tensors that share memory share it.

    Differences from PyTorch: `.data` is the NumPy array itself, not a Tensor.
    """

    grad: "Tensor | None" = None
    grad_fn: "Function | None" = None
    output_index: int = 0
    requires_grad: bool = False
    hooks: "dict[int, list[Callable[[Tensor], Any]]] | None" = None
    _retains_grad: bool = False

    # What the engine reads of a leaf, where a graph ends: it depends on nothing and is older than any op.
    edges = ()
    order = -1

    @property
    def outputs(self) -> "tuple[tuple[tuple[int, ...], np.dtype[Any]], ...]":
        """Shape and dtype, as a `Function` tells them of each of its outputs."""
        return ((self.data.shape, self.data.dtype),)

    __array_ufunc__ = None  # array + tensor: let NumPy leave it to our __radd__

    def __init__(self, data: Any, requires_grad: bool = False):
        # Shared memory, shared counter: a change in place must not escape those who saved the other tensor.
        self.version: list[int] = data.version if isinstance(data, Tensor) else [0]
        array = np.asarray(raw(data))
        check_dtype(array.dtype, "Tensor")
        if not array.dtype.isnative:  # another machine's order of bytes, which kernels cannot read
            array = array.astype(array.dtype.newbyteorder("="))
        self.data: np.ndarray[Any, Any] = array.view()
        if requires_grad:
            self.requires_grad_()

    @classmethod
    def _of(cls, array: "np.ndarray[Any, Any]") -> "Tensor":
        """Wrap an array that an op made. No checks: this runs once for every op."""
        tensor = _new(Tensor)
        tensor.data = array
        tensor.version = [0]
        return tensor

    # -- what it looks like --------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        return self.data.shape

    @property
    def dtype(self) -> "np.dtype[Any]":
        return self.data.dtype

    @property
    def ndim(self) -> int:
        return self.data.ndim

    def dim(self) -> int:
        """The number of axes, as `ndim`."""
        return self.data.ndim

    def size(self, axis: int | None = None) -> Any:
        """The shape, or the length of one axis (as in PyTorch; NumPy's `size` is `numel()` here)."""
        return self.shape if axis is None else self.shape[axis]

    def numel(self) -> int:
        """The number of elements."""
        return self.data.size

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of a 0-d tensor")
        return self.shape[0]

    def __iter__(self) -> Any:
        if not self.shape:
            raise TypeError("iteration over a 0-d tensor")
        return (self[i] for i in range(self.shape[0]))

    def __bool__(self) -> bool:
        if self.data.size != 1:
            raise ValueError(
                f"the truth value of a tensor with {self.data.size} elements (shape {self.shape}) is ambiguous: "
                "use .any() or .all()"
            )
        return bool(self.data.item())

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        if self.data.dtype.kind not in "iu" or self.data.size != 1:
            raise TypeError(f"only an integer tensor with one element can be an index, not {self.dtype}{self.shape}")
        return int(self.data.item())

    # Tensors are told apart by identity. (`==` compares elements, so Python would take hashing away.)
    __hash__ = object.__hash__

    def __contains__(self, value: Any) -> bool:
        value = value.data if isinstance(value, Tensor) else value
        return bool((self.data == value).any())

    def __format__(self, spec: str) -> str:
        return format(self.data.item(), spec) if spec and self.data.size == 1 else str(self)

    def __repr__(self) -> str:
        text = np.array2string(self.data, separator=", ", prefix="tensor(", precision=4, threshold=200)
        extras = [] if self.dtype in (np.float32, np.int64, np.bool_) else [f"dtype={self.dtype}"]
        if self.grad_fn is not None:
            extras.append(f"grad_fn={self.grad_fn}")
        elif self.requires_grad:
            extras.append("requires_grad=True")
        return f"tensor({', '.join([text, *extras])})"

    # -- ways out of the graph -----------------------------------------------------------------------

    def numpy(self) -> "np.ndarray[Any, Any]":
        """The array itself, sharing memory. Of a tensor that needs a gradient: `t.detach().numpy()`."""
        if self.requires_grad:
            raise RuntimeError(
                "numpy() on a tensor that requires a gradient would lose track of it: call t.detach().numpy()"
            )
        return self.data

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> "np.ndarray[Any, Any]":
        """What NumPy asks for in `np.asarray(t)`. Of a tensor that needs a gradient: `t.detach()`."""
        if self.requires_grad:
            raise RuntimeError(
                "a tensor that requires a gradient cannot become a NumPy array, because the gradient would be lost: "
                "compute with minigrad's functions (minigrad.stack for a list of tensors), or call t.detach() first"
            )
        return np.array(self.data, dtype=dtype, copy=copy)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        """What NumPy's functions come to when they are given a Tensor: `np.mean(t)`, `np.stack([t, u])`."""
        from minigrad.autograd.numpy_functions import call

        return call(function, args, kwargs)

    def item(self) -> Any:
        """The only element, as a Python number."""
        if self.data.size != 1:
            raise ValueError(f"item() needs a tensor with exactly one element, and this one has shape {self.shape}")
        return self.data.item()

    def tolist(self) -> Any:
        """Nested Python lists (a number, if 0-d)."""
        return self.data.tolist()

    def detach(self) -> "Tensor":
        """The same memory, outside the graph: no gradient flows through it. Changes in place are shared."""
        tensor = Tensor._of(self.data.view())
        tensor.version = self.version
        return tensor

    # -- gradients -----------------------------------------------------------------------------------

    @property
    def is_leaf(self) -> bool:
        """Was it made by the user rather than by a recorded op?"""
        return self.grad_fn is None

    def requires_grad_(self, requires_grad: bool = True) -> "Tensor":
        """Switch `requires_grad` of a leaf, and return it."""
        if requires_grad and self.data.dtype.kind != "f":
            raise TypeError(
                f"requires_grad: only floating-point tensors can have a gradient, and this one is {self.dtype}. "
                "Convert it first: x.float()"
            )
        if not requires_grad and self.grad_fn is not None:
            raise RuntimeError(
                f"requires_grad_(False) on the output of {self.grad_fn.name}: only leaves can be switched; "
                "use x.detach()"
            )
        self.requires_grad = requires_grad
        return self

    def backward(self, gradient: Any = None, retain_graph: bool | None = None, create_graph: bool = False) -> None:
        """Compute the gradient of this tensor with respect to every leaf, and add it to their `.grad`.

        Args:
            gradient: the gradient to start from, of this tensor's shape; 1 for a tensor with one element.
            retain_graph: keep what the ops saved, so that backward can run again. Default: `create_graph`.
            create_graph: record the backward pass itself, so that its results can be differentiated.

        Raises:
            RuntimeError: no gradient is needed, the graph was freed, `gradient` has the wrong shape or is
                missing, or something that a rule needs was changed in place.
        """
        from minigrad.autograd.engine import backward

        backward(self, gradient, retain_graph, create_graph)

    def register_hook(self, hook: "Callable[[Tensor], Any]") -> "HookHandle":
        """Call `hook(grad)` with this tensor's gradient in each backward pass; it may return another one.

        Returns a handle whose `remove()` takes the hook off again.
        """
        if not self.requires_grad:
            raise RuntimeError("register_hook: this tensor requires no gradient, so the hook would never run")
        owner = self.grad_fn or self
        if owner.hooks is None:
            owner.hooks = {}
        hooks = owner.hooks.setdefault(self.output_index, [])
        # What `retain_grad` keeps is what the hooks made of the gradient: its own hook stays the last.
        hooks.insert(len(hooks) - self._retains_grad, hook)
        return HookHandle(hooks, hook)

    def retain_grad(self) -> None:
        """Give this tensor a `.grad` in backward though it is no leaf."""
        if not self.requires_grad:
            raise RuntimeError("retain_grad: this tensor requires no gradient, so there will be none to keep")
        if self.grad_fn is None or self._retains_grad:
            return
        me = ref(self)  # weak: the graph must not keep its own outputs alive

        def keep(grad: "Tensor") -> None:
            tensor = me()
            if tensor is not None:
                tensor.grad = grad if tensor.grad is None else tensor.grad + grad

        self.register_hook(keep)
        self._retains_grad = True

    # -- changes in place ----------------------------------------------------------------------------

    def _write(self, op: str, *sources: Any) -> "np.ndarray[Any, Any]":
        """Ask to change `data` in place: refused where autograd would not notice; counted where it may be."""
        if modes.grad:
            if self.requires_grad:
                what = "a leaf" if self.is_leaf else f"the output of {self.grad_fn!r}"
                raise RuntimeError(
                    f"{op}: {what} that requires a gradient cannot be changed in place, because the change is not "
                    "recorded. Compute a new tensor (mg.where, mg.cat, x * 2), or, to set values without a "
                    "gradient, do it inside `with mg.no_grad():`"
                )
            if sources and any(isinstance(s, Tensor) and s.requires_grad for s in sources):
                raise RuntimeError(
                    f"{op}: writing a tensor that requires a gradient into another one is not recorded, so its "
                    "gradient would be lost. Build the result with mg.stack, mg.cat or mg.where."
                )
        self.version[0] += 1
        return self.data

    def _change(self, op: str, change: "Callable[..., Any]", *sources: Any) -> "Tensor":
        """Run `change(data, *sources)`, which writes into `data`, and explain what NumPy objects to."""
        array, values = self._write(op, *sources), list(map(raw, sources))
        try:
            change(array, *values)
        except (ValueError, TypeError, IndexError) as error:
            self.version[0] -= 1  # nothing was written
            given = ", ".join(f"{v.dtype}{list(v.shape)}" if isinstance(v, np.ndarray) else repr(v) for v in values)
            hint = "" if array.flags.writeable else ". Its elements share memory, or are read-only: change x.clone()"
            kind = next(kind for kind in (ValueError, TypeError, IndexError) if isinstance(error, kind))
            raise kind(f"{op}: {error} (tensor: {self.dtype}{list(self.shape)}, given: {given}){hint}") from error
        return self

    def copy_(self, source: ArrayLike) -> "Tensor":
        """Overwrite the values in place, broadcasting `source`."""
        return self._change("copy_", lambda x, y: np.copyto(x, y, casting="same_kind"), source)

    def fill_(self, value: float) -> "Tensor":
        """Set every element to `value`, in place."""
        return self._change("fill_", lambda x, v: x.__setitem__(..., v), value)

    def zero_(self) -> "Tensor":
        """Set every element to 0, in place."""
        return self.fill_(0)

    def add_(self, other: ArrayLike, alpha: float = 1) -> "Tensor":
        """x ← x + alpha · other, in place."""
        step = raw(other) if alpha == 1 else np.multiply(raw(other), alpha)
        return self._change("add_", lambda x, _: np.add(x, step, out=x, casting="same_kind"), other)

    def sub_(self, other: ArrayLike, alpha: float = 1) -> "Tensor":
        """x ← x − alpha · other, in place."""
        return self.add_(other, -alpha)

    def mul_(self, other: ArrayLike) -> "Tensor":
        """x ← x · other, in place."""
        return self._change("mul_", lambda x, y: np.multiply(x, y, out=x, casting="same_kind"), other)

    def div_(self, other: ArrayLike) -> "Tensor":
        """x ← x / other, in place."""
        return self._change("div_", lambda x, y: np.divide(x, y, out=x, casting="same_kind"), other)

    def clamp_(self, min: float | None = None, max: float | None = None) -> "Tensor":
        """x ← clip(x, min, max), in place."""
        return self._change("clamp_", lambda x, low, high: np.clip(x, low, high, out=x), min, max)

    def _is_recorded_with(self, other: Any) -> bool:
        """Must `x += other` be `x = x + other`, because it belongs into a graph? (To a leaf, neither may be done.)"""
        from minigrad.autograd.modes import modes

        if not modes.grad or (self.requires_grad and self.is_leaf):
            return False
        return self.requires_grad or (isinstance(other, Tensor) and other.requires_grad)

    def __iadd__(self, other: ArrayLike) -> "Tensor":
        return self + other if self._is_recorded_with(other) else self.add_(other)

    def __isub__(self, other: ArrayLike) -> "Tensor":
        return self - other if self._is_recorded_with(other) else self.sub_(other)

    def __imul__(self, other: ArrayLike) -> "Tensor":
        return self * other if self._is_recorded_with(other) else self.mul_(other)

    def __itruediv__(self, other: ArrayLike) -> "Tensor":
        return self / other if self._is_recorded_with(other) else self.div_(other)


class HookHandle:
    """Takes a hook off again: `handle.remove()`, or leave a `with handle:` block."""

    def __init__(self, hooks: list[Any], hook: Any):
        self._hooks, self._hook = hooks, hook

    def remove(self) -> None:
        if self._hook in self._hooks:
            self._hooks.remove(self._hook)
        self._hooks = []  # removing twice must not take off the same hook where it was registered once more

    def __enter__(self) -> "HookHandle":
        return self

    def __exit__(self, *exception: Any) -> None:
        self.remove()


def raw(x: Any) -> Any:
    """The array of a Tensor; anything else unchanged."""
    return x.data if isinstance(x, Tensor) else x


def check_dtype(dtype: "np.dtype[Any]", who: str) -> None:
    if dtype.kind not in "fiub" or (dtype.kind == "f" and dtype.itemsize not in (4, 8)):
        raise TypeError(
            f"{who}: data must be float32, float64, integers or booleans, not {dtype}; convert it first, "
            "array.astype(np.float32)"
        )
