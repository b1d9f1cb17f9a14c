"""`Tensor`: a NumPy array that remembers how it was computed."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias
from weakref import ref

import numpy as np

from minigrad.autograd.modes import modes

if TYPE_CHECKING:
    # x.exp(), x + y and so on are functions of minigrad.ops. That package imports this one, so it adds the methods to
    # the class when it is imported; this declaration is for type checkers.
    from minigrad.autograd.function import Function
    from minigrad.ops.methods import Methods as _Methods
else:
    _Methods = object

_new = object.__new__

ArrayLike: TypeAlias = "np.ndarray[Any, Any] | Tensor | Sequence[Any] | float | int | bool | np.generic"


class Tensor(_Methods):
    """An n-dimensional array with a gradient.

    Make one with `mg.tensor(data, requires_grad=True)`. This constructor keeps the array that it is given without
    copying it. As in PyTorch, it makes float32 of lists, and takes integers for a size: `Tensor(2, 3)`.

    Attributes:
        array: the NumPy array itself.
        data: a tensor that shares the memory and is outside the graph: its changes are not recorded.
        requires_grad: True if gradients are computed for this tensor, or through it.
        grad: after `backward()`, the gradient (a Tensor of the same shape and dtype), or None. Only leaves
            (tensors that no recorded op made) get one, and those that called `retain_grad()`.
        grad_fn: the `Function` that made it; None for a leaf.
        output_index: its number among the outputs of that function.
        version: a one-element list that counts the in-place changes; tensors that share memory share it.
    """

    grad: "Tensor | None" = None
    grad_fn: "Function | None" = None
    output_index: int = 0
    requires_grad: bool = False
    hooks: "dict[int, list[Callable[[Tensor], Any]]] | None" = None
    _retains_grad: bool = False
    _base: "ViewOf | None" = None
    """Of a view: a weak reference to the tensor that it is a view of."""
    _shown: "np.ndarray[Any, Any] | None" = None
    """Of `x.data`: the array of x."""

    # What the engine reads of a leaf, where a graph ends: it depends on nothing and is older than any op.
    edges = ()
    order = -1

    @property
    def outputs(self) -> "tuple[tuple[tuple[int, ...], np.dtype[Any]], ...]":
        """Shape and dtype, as a `Function` tells them of each of its outputs."""
        return ((self.array.shape, self.array.dtype),)

    def __init__(self, data: Any, requires_grad: bool | int = False, *size: int):
        # Shared memory, shared counter: a change in place must not escape those who saved the other tensor.
        self.version: list[int] = data.version if isinstance(data, Tensor) else [0]
        if type(data) is int:
            rest = (requires_grad, *size) if type(requires_grad) is int else size
            array, requires_grad = np.empty((data, *rest), np.float32), requires_grad is True
        else:
            array = np.asarray(data, np.float32) if isinstance(data, list | tuple) else np.asarray(raw(data))
        check_dtype(array.dtype, "Tensor")
        if not array.dtype.isnative:  # another machine's order of bytes, which kernels cannot read
            array = array.astype(array.dtype.newbyteorder("="))
        self.array: np.ndarray[Any, Any] = array.view()
        if isinstance(data, Tensor):
            self._base = ViewOf._make(self, data, "detached")
        if requires_grad:
            self.requires_grad_()

    @classmethod
    def _of(cls, array: "np.ndarray[Any, Any]") -> "Tensor":
        """Wrap an array that an op made. No checks: this runs once for every op."""
        tensor = _new(Tensor)
        tensor.array = array
        tensor.version = [0]
        return tensor

    # -- what it looks like --------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    @property
    def dtype(self) -> "np.dtype[Any]":
        return self.array.dtype

    @property
    def ndim(self) -> int:
        return self.array.ndim

    def dim(self) -> int:
        """The number of axes, as `ndim`."""
        return self.array.ndim

    ndimension = dim

    def size(self, axis: int | None = None) -> Any:
        """The shape, or the length of one axis (as in PyTorch; NumPy's `size` is `numel()` here)."""
        return self.shape if axis is None else self.shape[axis]

    def numel(self) -> int:
        """The number of elements."""
        return self.array.size

    nelement = numel

    def element_size(self) -> int:
        """The number of bytes of one element."""
        return self.array.itemsize

    @property
    def nbytes(self) -> int:
        """The number of bytes of all elements."""
        return self.array.nbytes

    def stride(self, axis: int | None = None) -> Any:
        """The distance in memory, in elements, to the next element along each axis, or along one axis."""
        steps = tuple([n // self.array.itemsize for n in self.array.strides])
        return steps if axis is None else steps[axis]

    def is_contiguous(self) -> bool:
        """True if the elements lie in memory in the order of their indices."""
        return self.array.flags.c_contiguous

    def data_ptr(self) -> int:
        """The address of the first element."""
        return self.array.__array_interface__["data"][0]

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of a 0-d tensor")
        return self.shape[0]

    def __iter__(self) -> Any:
        if not self.shape:
            raise TypeError("iteration over a 0-d tensor")
        return (self[i] for i in range(self.shape[0]))

    def __bool__(self) -> bool:
        if self.array.size != 1:
            raise ValueError(
                f"the truth value of a tensor with {self.array.size} elements (shape {self.shape}) is ambiguous: "
                "use .any() or .all()"
            )
        return bool(self.array.item())

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        if self.array.dtype.kind not in "iu" or self.array.size != 1:
            raise TypeError(f"only an integer tensor with one element can be an index, not {self.dtype}{self.shape}")
        return int(self.array.item())

    # Tensors are told apart by identity. (`==` compares elements, so Python would take hashing away.)
    __hash__ = object.__hash__

    def __contains__(self, value: Any) -> bool:
        value = value.array if isinstance(value, Tensor) else value
        return bool((self.array == value).any())

    def __format__(self, spec: str) -> str:
        return format(self.array.item(), spec) if spec and self.array.size == 1 else str(self)

    def __repr__(self) -> str:
        text = np.array2string(self.array, separator=", ", prefix="tensor(", **_print)
        extras = [] if self.dtype in (np.float32, np.int64, np.bool_) else [f"dtype={self.dtype}"]
        if self.grad_fn is not None:
            extras.append(f"grad_fn={self.grad_fn}")
        elif self.requires_grad:
            extras.append("requires_grad=True")
        return f"tensor({', '.join([text, *extras])})"

    def __getstate__(self) -> dict[str, Any]:
        """The state for copies: a deep copy of a view is not a view."""
        return {name: value for name, value in self.__dict__.items() if name not in ("_base", "_shown")}

    # -- ways out of the graph -----------------------------------------------------------------------

    def numpy(self, *, force: bool = False) -> "np.ndarray[Any, Any]":
        """The array itself, sharing memory. For a tensor that requires a gradient: `t.detach().numpy()`, or
        force=True."""
        if self.requires_grad and not force:
            raise RuntimeError(
                "numpy() on a tensor that requires a gradient would lose track of it: call t.detach().numpy()"
            )
        return self.array

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> "np.ndarray[Any, Any]":
        """The array for `np.asarray(t)`. For a tensor that requires a gradient, use `t.detach()`."""
        array = self.array
        if self.requires_grad:
            raise RuntimeError(
                "a tensor that requires a gradient cannot become a NumPy array, because the gradient would be lost: "
                "compute with minigrad's functions (minigrad.stack for a list of tensors), or call t.detach() first"
            )
        return np.array(array, dtype=dtype, copy=copy)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        """The calls of NumPy's functions with tensors: `np.mean(t)`, `np.stack([t, u])`."""
        from minigrad.autograd.numpy_functions import call

        return call(function, args, kwargs)

    def item(self) -> Any:
        """The only element, as a Python number."""
        if self.array.size != 1:
            raise ValueError(f"item() needs a tensor with exactly one element, and this one has shape {self.shape}")
        return self.array.item()

    def tolist(self) -> Any:
        """Nested Python lists (a number, if 0-d)."""
        return self.array.tolist()

    def detach(self) -> "Tensor":
        """The same memory, outside the graph: no gradient flows through it. Changes in place are shared."""
        tensor = Tensor._of(self.array.view())
        tensor.version = self.version
        tensor._base = ViewOf._make(tensor, self, "detached")
        return tensor

    @property
    def data(self) -> "Tensor":
        """A tensor with the same memory, outside the graph.

        A change of `data` changes this tensor without a record: derivative rules that still need the old values use
        the new ones. Use it for an update step, `p.data -= lr * p.grad`; `with mg.no_grad():` does the same with a
        check. Assign another tensor or array to `data` to replace all values.

        Example:
            >>> import minigrad as mg
            >>> p = mg.tensor([1.0, 2.0], requires_grad=True)
            >>> (p * p).sum().backward()
            >>> p.data -= 0.25 * p.grad
            >>> p
            tensor([0.5, 1. ], requires_grad=True)
        """
        tensor = Tensor._of(self.array.view())
        tensor._base, tensor._shown = ViewOf._make(tensor, self, "data"), self.array
        return tensor

    @data.setter
    def data(self, values: Any) -> None:
        if isinstance(values, Tensor) and values._shown is self.array:
            return  # after `p.data -= step`, these are its own elements again, which the graph may know
        array = np.asarray(raw(values))
        check_dtype(array.dtype, "data")
        if self.requires_grad and array.dtype.kind != "f":
            raise TypeError(
                f"data: this tensor requires a gradient, and {array.dtype} has none; convert it: x.float()"
            )
        self.array, self._shown = array.view(), None

    # -- NumPy's elementwise functions ---------------------------------------------------------------

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, out: Any = None, **options: Any) -> Any:
        """`np.exp(x)` and `array + x` call the op of minigrad, which is recorded. Other functions run on the values.

        A function without an op here is an error if a gradient would be lost.
        """
        name: str = ufunc.__name__
        op = getattr(Tensor, _UFUNCS.get(name, name), None) if method == "__call__" else None
        if op is not None and out is None and not options:
            return op(*inputs)
        if any(isinstance(x, Tensor) and x.requires_grad for x in inputs):
            call = f"np.{name}" if method == "__call__" else f"np.{name}.{method}"
            raise RuntimeError(
                f"{call}: a tensor that requires a gradient would lose track of it here. Use minigrad's own "
                "functions, or x.detach() where no gradient is wanted"
            )
        if out is not None:
            if any(isinstance(o, Tensor) for o in out):
                raise TypeError(
                    f"np.{name}: a tensor cannot be written by NumPy, because autograd would not notice. Write "
                    "x[...] = values or x.copy_(values), or to its array, x.array"
                )
            options["out"] = out
        result = getattr(ufunc, method)(*map(raw, inputs), **options)
        if out is not None:
            return out[0] if len(out) == 1 else out
        return tuple(map(_as_tensor, result)) if type(result) is tuple else _as_tensor(result)

    # -- gradients -----------------------------------------------------------------------------------

    @property
    def is_leaf(self) -> bool:
        """True if the user made the tensor, not a recorded op."""
        return self.grad_fn is None

    def requires_grad_(self, requires_grad: bool = True) -> "Tensor":
        """Switch `requires_grad` of a leaf, and return it."""
        if requires_grad and self.array.dtype.kind != "f":
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
        """Call `hook(grad)` with this tensor's gradient in each backward pass; the hook may return another gradient.

        Returns a handle whose `remove()` removes the hook.
        """
        if not self.requires_grad:
            raise RuntimeError("register_hook: this tensor requires no gradient, so the hook would never run")
        owner = self.grad_fn or self
        if owner.hooks is None:
            owner.hooks = {}
        hooks = owner.hooks.setdefault(self.output_index, [])
        # `retain_grad` keeps the gradient after all hooks, so its own hook stays the last.
        hooks.insert(len(hooks) - self._retains_grad, hook)
        return HookHandle(hooks, hook)

    def retain_grad(self) -> None:
        """Give this tensor a `.grad` in backward, although it is not a leaf."""
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
        """Ask to change `array` in place: refused where autograd would not notice; counted where it may be."""
        if modes.grad and not self._is_data():
            if self.requires_grad:
                what = "a leaf" if self.is_leaf else f"the output of {self.grad_fn!r}"
                raise RuntimeError(
                    f"{op}: {what} that requires a gradient cannot be changed in place, because the change is not "
                    "recorded. Compute a new tensor (mg.where, mg.cat, x * 2), or, to set values without a "
                    "gradient, do it inside `with mg.no_grad():`"
                )
            if sources and any(isinstance(s, Tensor) and s.requires_grad for s in sources):
                raise RuntimeError(
                    f"{op}: writing a tensor that requires a gradient into one of {self.dtype}, which has none, would "
                    "lose it. Convert the one that is written to (x.float()), or write y.detach()"
                )
        self.version[0] += 1
        return self.array

    def _change(self, op: str, change: "Callable[..., Any]", *sources: Any) -> "Tensor":
        """Run `change(array, *sources)`, which writes into `array`, and explain what NumPy objects to."""
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

    def copy_(self, source: ArrayLike, non_blocking: bool = False) -> "Tensor":
        """Overwrite the values in place, broadcasting `source`."""
        if self._is_recorded_with(source):
            self[...] = source
            return self
        return self._change("copy_", lambda x, y: np.copyto(x, y, casting="unsafe"), source)

    def fill_(self, value: Any) -> "Tensor":
        """Set every element to `value`, in place."""
        if self._is_recorded_with(value):
            self[...] = value
            return self
        return self._change("fill_", lambda x, v: x.__setitem__(..., v), value)

    def zero_(self) -> "Tensor":
        """Set every element to 0, in place."""
        return self.fill_(0)

    def add_(self, other: ArrayLike, alpha: float = 1) -> "Tensor":
        """x ← x + alpha · other, in place."""
        if self._is_recorded_with(other):
            other = other if isinstance(other, Tensor) else np.asarray(other)
            return self._become("add_", (self + (other if alpha == 1 else other * alpha)).to(self.dtype))
        step = raw(other) if alpha == 1 else np.multiply(raw(other), alpha)
        return self._change("add_", lambda x, _: np.add(x, step, out=x, casting="same_kind"), other)

    def sub_(self, other: ArrayLike, alpha: float = 1) -> "Tensor":
        """x ← x − alpha · other, in place."""
        return self.add_(other, -alpha)

    def mul_(self, other: ArrayLike) -> "Tensor":
        """x ← x · other, in place."""
        if self._is_recorded_with(other):
            return self._become("mul_", (self * other).to(self.dtype))
        return self._change("mul_", lambda x, y: np.multiply(x, y, out=x, casting="same_kind"), other)

    def div_(self, other: ArrayLike) -> "Tensor":
        """x ← x / other, in place."""
        if self._is_recorded_with(other):
            return self._become("div_", (self / other).to(self.dtype))
        return self._change("div_", lambda x, y: np.divide(x, y, out=x, casting="same_kind"), other)

    def clamp_(self, min: float | None = None, max: float | None = None) -> "Tensor":
        """x ← clip(x, min, max), in place."""
        if self._is_recorded_with(None):
            return self._become("clamp_", self.clip(min, max))
        return self._change("clamp_", lambda x, low, high: np.clip(x, low, high, out=x), min, max)

    def _is_recorded_with(self, other: Any) -> bool:
        """Does a change in place by `other` belong into a graph? (A leaf with a gradient must not be.)"""
        if not self.requires_grad and not (isinstance(other, Tensor) and other.requires_grad):
            return False
        if not modes.grad or (self.requires_grad and self.is_leaf) or self._is_data():
            return False
        return self.requires_grad or self.array.dtype.kind == "f"

    def _is_data(self) -> bool:
        """Is it `x.data` of some x, or a view of that? Changes of these are not recorded."""
        return self._base is not None and self._base.how == "data"

    def __iadd__(self, other: ArrayLike) -> "Tensor":
        return self.add_(other)

    def __isub__(self, other: ArrayLike) -> "Tensor":
        return self.sub_(other)

    def __imul__(self, other: ArrayLike) -> "Tensor":
        return self.mul_(other)

    def __itruediv__(self, other: ArrayLike) -> "Tensor":
        return self.div_(other)

    def __ipow__(self, other: ArrayLike) -> "Tensor":
        return self.pow_(other)


class ViewOf(ref):  # type: ignore[type-arg]
    """The reference of a view to its base: to the tensor at the end of the chain, if that is still there.

    Every view has one of its own, so that the base finds all its views among the references to it.

    Attributes:
        view: a weak reference to the view.
        how: "view", or outside the graph: "detached", or "data", of which no change is recorded.
    """

    __slots__ = ("how", "view")
    how: str
    view: "Callable[[], Tensor | None]"

    @staticmethod
    def _make(view: Tensor, owner: Tensor, how: str = "view") -> "ViewOf":
        """That of a view of `owner`, which may be a view itself."""
        above = owner._base
        base = None if above is None else above()
        if above is not None and above.how != "view" and how != "data":
            how = above.how
        if how == "view" and owner.requires_grad and not modes.grad:
            how = "detached"
        link = ViewOf(owner if base is None else base)
        link.view, link.how = ref(view), how
        return link


class HookHandle:
    """Removes a hook: call `handle.remove()`, or leave a `with handle:` block."""

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


_print: dict[str, Any] = {"precision": 4, "threshold": 200}


def set_printoptions(
    precision: int | None = None,
    threshold: int | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """Set the format in which tensors are printed.

    Args:
        precision: digits after the point (at first 4).
        threshold: above this number of elements, the middle ones are left out (at first 200).
        edgeitems: how many of each axis are shown then, at the beginning and at the end.
        linewidth: characters in a line.
        profile: "default", "short" (two digits) or "full" (everything), before the others are set.
        sci_mode: False writes no exponents; True and None leave it to NumPy.

    Example:
        >>> import minigrad as mg
        >>> mg.set_printoptions(precision=2)
        >>> mg.tensor(3.14159)
        tensor(3.14)
        >>> mg.set_printoptions(profile="default")
    """
    profiles = {
        "default": {"precision": 4, "threshold": 200},
        "short": {"precision": 2, "threshold": 200},
        "full": {"precision": 4, "threshold": 2**62},
    }
    if profile is not None:
        if profile not in profiles:
            raise ValueError(f"set_printoptions: profile must be {', '.join(profiles)}, not {profile!r}")
        _print.clear()
        _print.update(profiles[profile])
    given = {"precision": precision, "threshold": threshold, "edgeitems": edgeitems, "max_line_width": linewidth}
    _print.update({name: value for name, value in given.items() if value is not None})
    if sci_mode is not None:
        _print["suppress_small"] = not sci_mode


# NumPy's name → that of the method, where they differ. (`x.equal(y)` is one boolean.)
_UFUNCS = {
    "equal": "eq", "not_equal": "ne", "less": "lt", "less_equal": "le", "greater": "gt", "greater_equal": "ge",
    "power": "pow", "rint": "round", "invert": "__invert__", "bitwise_and": "__and__", "bitwise_or": "__or__",
    "bitwise_xor": "__xor__", "arcsin": "asin", "arccos": "acos", "arctan": "atan",
}  # fmt: skip


def _as_tensor(result: Any) -> Any:
    """The result of a NumPy function, as a tensor if its dtype is possible for a tensor."""
    array = np.asarray(result)
    return Tensor._of(array) if array.dtype.kind in "fiub" and array.dtype != np.float16 else result


def raw(x: Any) -> Any:
    """The array of a Tensor; anything else unchanged."""
    return x.array if isinstance(x, Tensor) else x


def check_dtype(dtype: "np.dtype[Any]", who: str) -> None:
    if dtype.kind not in "fiub" or (dtype.kind == "f" and dtype.itemsize not in (4, 8)):
        raise TypeError(
            f"{who}: data must be float32, float64, integers or booleans, not {dtype}; convert it first, "
            "array.astype(np.float32)"
        )


def Variable(data: Tensor, requires_grad: bool = False) -> Tensor:
    """A tensor that shares the memory of `data`, for old programs that wrap tensors. Today, a tensor is enough."""
    return data.detach().requires_grad_(requires_grad)
