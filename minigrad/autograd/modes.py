"""Switches that change how ops run, one set per thread: `no_grad`, `enable_grad`, `composed`, `detect_anomaly`.

Each is a context manager and a decorator::

    with mg.no_grad():
        y = model(x)            # nothing is recorded

    @mg.no_grad()
    def predict(x): ...
"""

import inspect
import threading
from collections.abc import Callable
from contextlib import ContextDecorator
from functools import wraps
from typing import Any


class _Modes(threading.local):
    """The switches themselves. `threading.local` gives every thread its own, with these defaults."""

    grad = True  # True: record ops, so that backward() can find them
    composed = False  # True: run fused norms as the small ops that they consist of
    anomaly = False  # True: look for the op that makes a NaN
    create_graph = False  # True: a backward pass is running that is itself recorded
    wanted: "set[Any] | None" = None  # in mg.grad: the nodes that lead to the requested inputs


modes = _Modes()


class _Switch(ContextDecorator):
    """Sets one mode on entry and puts back what was there on exit, also when an error passes through."""

    def __init__(self, mode: str, value: Any):
        self._mode, self._value = mode, value
        self._before: list[Any] = []  # a stack: the same object may be entered again inside itself

    def _recreate_cm(self) -> "_Switch":
        # A decorated function may run in several threads at once: each call gets its own stack.
        return _Switch(self._mode, self._value)

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(
                f"cannot decorate {function.__name__}, an async function: while it waits, other tasks of the thread "
                "would run in its mode. Write `with mg.no_grad():` inside it, around code that does not await"
            )
        if not inspect.isgeneratorfunction(function):
            return super().__call__(function)

        # Calling a generator function does not run its body. So the mode is set for each step of the body; between the
        # steps, the caller's mode holds.
        @wraps(function)
        def stepwise(*args: Any, **options: Any) -> Any:
            generator = function(*args, **options)
            step: Callable[[], Any] = lambda: next(generator)  # noqa: E731
            while True:
                try:
                    with self._recreate_cm():
                        value = step()
                except StopIteration as stop:
                    return stop.value
                try:
                    sent = yield value
                except GeneratorExit:
                    generator.close()
                    raise
                except BaseException as error:
                    step = lambda error=error: generator.throw(error)  # noqa: E731
                else:
                    step = lambda sent=sent: generator.send(sent)  # noqa: E731

        return stepwise

    def __enter__(self) -> "_Switch":
        self._before.append(getattr(modes, self._mode))
        setattr(modes, self._mode, self._value)
        return self

    def __exit__(self, *exception: Any) -> None:
        setattr(modes, self._mode, self._before.pop())


def no_grad(orig_func: Any = None) -> Any:
    """Inside it, ops are computed but not recorded: no graph, and no memory kept for a backward pass.

    As a decorator, `@mg.no_grad()`, or without the brackets.
    """
    return _switch("grad", False, orig_func)


def enable_grad(orig_func: Any = None) -> Any:
    """Inside it, ops are recorded again, also inside a `no_grad`. As a decorator, with or without brackets."""
    return _switch("grad", True, orig_func)


def inference_mode(mode: Any = True) -> Any:
    """As `no_grad`; with `mode=False` nothing changes. As a decorator, with or without brackets.

    Differences from PyTorch: its results may be used in a graph later.
    """
    if callable(mode):
        return no_grad(mode)
    return _Switch("grad", False) if mode else _Switch("grad", modes.grad)


def _switch(mode: str, value: Any, function: Any) -> Any:
    """The switch; or, if it is written as a decorator without brackets, the function in that mode."""
    if function is not None and not callable(function):
        raise TypeError(
            f"{'enable' if value else 'no'}_grad: takes a function to decorate, or nothing, not {function!r}"
        )
    switch = _Switch(mode, value)
    return switch if function is None else switch(function)


class _SetGrad(_Switch):
    """A mode that is set when the object is made; leaving its block sets the old mode again."""

    def __init__(self, value: bool):
        super().__init__("grad", value)
        self._before.append(modes.grad)
        modes.grad = value

    def __enter__(self) -> "_SetGrad":
        return self

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        self.__exit__()  # of a decorator, only the function's calls are meant
        return super().__call__(function)


def set_grad_enabled(mode: bool) -> _Switch:
    """Record ops from here on (True) or not (False); in a `with` statement, until its block ends."""
    return _SetGrad(bool(mode))


def is_grad_enabled() -> bool:
    """True if ops of this thread are recorded."""
    return modes.grad


def composed() -> _Switch:
    """Inside it, fused ops run in their composed form: small ops, as the paper writes them.

    The numbers agree, and the graph shows every step. The composed form is slower. Tests compare each fused op with
    it.
    """
    return _Switch("composed", True)


def detect_anomaly() -> _Switch:
    """Inside it, the first op that makes a NaN out of numbers raises an error that names its line.

    It watches the forward pass (0/0, log of a negative number, ∞−∞) and the backward pass (the slope of
    √x at 0 times 0), and in both it reports the line of *your* code that called the op. It is slow: use it to find a
    fault, not to train. PyTorch's mode of the same name watches the backward pass only.
    """
    return _Switch("anomaly", True)
