"""Ways to break minigrad on purpose, for tests of the tests: each returns a function of pytest's `monkeypatch`."""

import importlib
import inspect
from collections.abc import Callable
from typing import Any

import pytest

import minigrad as mg

F = mg.nn.functional
Patch = pytest.MonkeyPatch


def op(name: str) -> type[mg.Function]:
    """The graph op of this name."""
    stack, found = [mg.Function], []
    while stack:
        cls = stack.pop()
        stack += cls.__subclasses__()
        found += [cls] if cls.__name__ == name and cls.__module__.startswith("minigrad") else []
    assert len(found) == 1, f"{len(found)} ops are called {name}"
    return found[0]


def gradient(name: str, i: int, change: Callable[[Any], Any]) -> Callable[[Patch], None]:
    """Change the gradient that an op computes for its input i."""

    def apply(patch: Patch) -> None:
        cls = op(name)
        original = cls.backward

        def backward(self: Any, *g: Any) -> Any:
            results = original(self, *g)
            single = type(results) is not tuple
            results = [results] if single else list(results)
            if results[i] is not None:
                results[i] = change(results[i])
            return results[0] if single else tuple(results)

        patch.setattr(cls, "backward", backward)

    return apply


def rule(name: str, backward: Callable[..., Any]) -> Callable[[Patch], None]:
    """Replace an op's rule."""
    return lambda patch: patch.setattr(op(name), "backward", backward)


def forward(name: str, wrong: Callable[..., Any]) -> Callable[[Patch], None]:
    """Replace what an op computes, given the original."""

    def apply(patch: Patch) -> None:
        cls = op(name)
        original = cls.forward
        patch.setattr(cls, "forward", lambda self, *arrays: wrong(original, self, *arrays))

    return apply


def option(name: str, **changes: Callable[[Any], Any]) -> Callable[[Patch], None]:
    """Call a public function with options changed: {"padding": lambda p: p + 1}."""

    def apply(patch: Patch) -> None:
        original = getattr(F, name)
        signature = inspect.signature(original)

        def wrong(*args: Any, **options: Any) -> Any:
            bound = signature.bind(*args, **options)
            bound.apply_defaults()
            for key, change in changes.items():
                bound.arguments[key] = change(bound.arguments[key])
            return original(*bound.args, **bound.kwargs)

        patch.setattr(F, name, wrong)

    return apply


def attribute(target: str, wrong: Callable[[Any], Any]) -> Callable[[Patch], None]:
    """Replace what stands at `target`, given the original."""

    def apply(patch: Patch) -> None:
        module, name = target.rsplit(".", 1)
        holder = importlib.import_module(module)
        patch.setattr(holder, name, wrong(getattr(holder, name)))

    return apply


def kernel(target: str, **changes: Callable[[Any], Any]) -> Callable[[Patch], None]:
    """Call a kernel with some of its arguments changed."""

    def wrong(original: Any) -> Any:
        loop = getattr(original.serial, "py_func", original.serial)  # the plain function, without the compiler too
        names = list(inspect.signature(loop).parameters)
        assert changes.keys() <= set(names), f"{target} takes {names}"

        def launch(work: int, *args: Any) -> Any:
            given = dict(zip(names, args, strict=True))
            given.update({name: change(given[name]) for name, change in changes.items()})
            return original(work, *given.values())

        return launch

    return attribute(target, wrong)
