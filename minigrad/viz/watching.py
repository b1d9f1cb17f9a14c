"""A program that is run and watched: every op, every value, and the module that called it.

The watcher puts itself in the place of `Function.__call__` and `Module.__call__` while the program runs. So a program
that nobody watches pays nothing, and every op is seen, also those that autograd does not record.
"""

import inspect
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from minigrad.autograd.function import Function
from minigrad.autograd.tensor import Tensor, raw
from minigrad.nn.module import Module
from minigrad.viz.program import (
    Node,
    Program,
    Scope,
    Value,
    add_leaf,
    finish,
    mark_kept,
    names_of,
    options_of,
    place_leaves,
    tensors_in,
)

_PACKAGE = str(Path(__file__).resolve().parent.parent)


class NoTensor(TypeError):
    """The function returned something else than tensors: `result`."""

    def __init__(self, result: Any):
        self.result = result
        super().__init__(
            f"graph: the function returned a {type(result).__name__}; it must return a tensor, or several in a tuple, "
            "a list or a dictionary"
        )


class Watcher:
    """Writes down every op that runs, and in which module."""

    def __init__(self, program: Program, names: dict[Tensor, tuple[str, str]]):
        self.program, self.names = program, names
        self.thread = threading.get_ident()
        self.scope: tuple[Scope, ...] = ()
        self.stack: list[Module] = []
        self.calls: Counter[tuple[Any, ...]] = Counter()
        self.paths: dict[Module, str] = {}

    # -- modules --

    def know(self, module: Module) -> None:
        """Learn the names in a module that is met for the first time, and what it remembers."""
        self.program.remember(module)
        for path, part in module.named_modules():
            self.paths.setdefault(part, path)
        for tensor, name in names_of(module).items():
            self.names.setdefault(tensor, name)

    def call_module(self, call: Callable[..., Any], module: Module, args: Any, kwargs: Any) -> Any:
        if module not in self.paths:
            self.know(module)
        before = self.scope
        key = (before, self.paths[module])
        self.calls[key] += 1
        self.scope = (*before, Scope(self.paths[module], type(module).__name__, self.calls[key]))
        try:
            return call(module, *args, **kwargs)
        except Exception as error:
            own = [module.__dict__[name] for name in module._parameter_names]
            inputs = [x for x in (*args, *kwargs.values(), *own) if isinstance(x, Tensor)]
            self.fail(type(module).__name__, inputs, error)
            raise
        finally:
            self.scope = before

    # -- ops --

    def call_op(self, call: Callable[..., Any], op: Function, inputs: tuple[Any, ...]) -> Any:
        if not any(isinstance(x, Tensor) for x in inputs):
            return call(op, *inputs)
        try:
            result = call(op, *inputs)
        except Exception as error:
            self.fail(op.name, inputs, error)
            raise
        self.note(op, inputs, result if isinstance(result, tuple) else (result,))
        return result

    def note(self, op: Function, inputs: tuple[Any, ...], results: tuple[Tensor, ...]) -> Node:
        details = options_of(op)
        sources = self.sources(inputs, details)
        values = [Value(r.shape, r.dtype, r.array) for r in results]
        program = self.program
        node = Node(program.next_id(), op.name, op.name, "op", sources, values, self.scope, details, function=op)
        node.arguments = tuple(map(raw, inputs))
        program.add(node)
        for i, result in enumerate(results):
            program._of_tensor[result] = node, i
        mark_kept(program, node)
        return node

    def sources(self, inputs: Iterable[Any], details: dict[str, str]) -> list[tuple[str, int] | None]:
        found: list[tuple[str, int] | None] = []
        for i, x in enumerate(inputs):
            if isinstance(x, Tensor):
                node, index = self.program.find(x) or (add_leaf(self.program, x, self.names, self.scope), 0)
                found.append((node.id, index))
            elif isinstance(x, np.ndarray) and x.ndim:
                value = Value(x.shape, x.dtype, x)
                node = Node(self.program.next_id(), "", "constant", "constant", outputs=[value], scope=self.scope)
                found.append((self.program.add(node).id, 0))
            else:
                found.append(None)
                if x is not None:
                    details[f"input {i}"] = f"{float(x):g}" if np.ndim(x) == 0 and not isinstance(x, str) else str(x)
        return found

    def fail(self, name: str, inputs: Iterable[Any], error: Exception) -> None:
        """The culprit: the innermost op, or else module, that an exception came out of."""
        program = self.program
        if program.error is error or error.__cause__ is program.error is not None:
            return
        program.error = error
        details: dict[str, str] = {}
        sources = self.sources(inputs, details)
        node = Node(program.next_id(), name, name, "error", sources, [], self.scope, details, str(error))
        program.add(node)


_watching = threading.RLock()


@contextmanager
def watch(watcher: Watcher) -> Any:
    """Put the watcher in the place of `Function.__call__` and `Module.__call__`, for this thread."""
    call_op, call_module = Function.__call__, Module.__call__

    def watched_op(self: Function, *inputs: Any) -> Any:
        if threading.get_ident() != watcher.thread:
            return call_op(self, *inputs)
        return watcher.call_op(call_op, self, inputs)

    def watched_module(self: Module, *args: Any, **kwargs: Any) -> Any:
        if threading.get_ident() != watcher.thread:
            return call_module(self, *args, **kwargs)
        return watcher.call_module(call_module, self, args, kwargs)

    with _watching:
        Function.__call__, Module.__call__ = watched_op, watched_module
        try:
            yield
        finally:
            Function.__call__, Module.__call__ = call_op, call_module


def record(function: Callable[..., Any], *inputs: Any, params: Any = None) -> Program:
    """Run `function(*inputs)` and write down every op.

    An exception stops the program, and not this function: it is found in `Program.error`, and the last node is where
    it came from. Running statistics move; `Program.restore` puts them back.

    Args:
        function: a module, or anything else that can be called and returns a tensor or several.
        inputs: its arguments.
        params: as in `mg.viz.graph`; names of tensors.
    """
    program, names = Program(), names_of(params)
    for name, x in zip(_argument_names(function, len(inputs)), inputs, strict=False):
        if isinstance(x, Tensor):
            names.setdefault(x, (name, "leaf" if x.requires_grad else "input"))
    modules, tensors = _within_reach(function)
    for name, x in tensors.items():
        names.setdefault(x, (name, "" if x.requires_grad else "input"))
    if isinstance(params, Module):
        modules.insert(0, params)
    watcher = Watcher(program, names)
    for module in modules:
        watcher.know(module)
    try:
        with watch(watcher):
            try:
                result = function(*inputs)
            except Exception as error:
                result = ()
                _blame(watcher, error)
        _keep_needed(program, result)
    except BaseException:  # Ctrl-C, or no tensor came back: nobody else will put things back
        program.restore()
        raise
    place_leaves(program)
    return program


def _keep_needed(program: Program, result: Any) -> None:
    """Leave out what the result does not depend on; and where there is none, leave out nothing."""
    if program.error is not None:
        return
    for tensor in tensors_in(result):
        found = program.find(tensor)
        if found is None:
            found = add_leaf(program, tensor, {}, ()), 0
        finish(program, found, tensor)
    if not program.outputs:
        raise NoTensor(result)
    needed = {node.id for node, _ in program.outputs}
    for node in reversed(program.nodes):
        if node.id in needed:
            needed.update(source[0] for source in node.inputs if source is not None)
    nodes = [node for node in program.nodes if node.id in needed]
    # New numbers, without gaps.
    new = {node.id: f"n{i + 1}" for i, node in enumerate(nodes)}
    for node in nodes:
        node.inputs = [source and (new[source[0]], source[1]) for source in node.inputs]
        for value in node.outputs:
            value.kept_by = [new[id] for id in value.kept_by if id in new]
    for node in nodes:
        node.id = new[node.id]
    program.nodes = nodes
    program._by_id = {node.id: node for node in nodes}


def _argument_names(function: Any, count: int) -> list[str]:
    try:
        parameters = inspect.signature(function.forward if isinstance(function, Module) else function).parameters
    except (TypeError, ValueError):
        return [f"input {i}" for i in range(count)]
    names = []
    for name, parameter in parameters.items():
        if parameter.kind is parameter.VAR_POSITIONAL:
            names += [f"{name}[{i}]" for i in range(count - len(names))]
        elif parameter.kind is not parameter.KEYWORD_ONLY:
            names.append(name)
    return names


def _within_reach(function: Any) -> tuple[list[Module], dict[str, Tensor]]:
    """The modules and tensors that a function uses from outside: what `lambda: loss(model(x))` calls model and x."""
    if isinstance(function, Module):
        return [function], {}
    try:
        found = inspect.getclosurevars(function)
    except (TypeError, ValueError):  # no Python function; or a variable outside it that has no value yet
        return [], {}
    outside = {**found.globals, **found.nonlocals}
    modules = [x for x in outside.values() if isinstance(x, Module)]
    return modules, {name: x for name, x in outside.items() if isinstance(x, Tensor)}


def _blame(watcher: Watcher, error: Exception) -> None:
    """Where did it fail, if no op and no module told? In the function of minigrad that the program called last."""
    if watcher.program.error is not None:
        return
    trace, frame = error.__traceback__, None
    inside = True
    while trace is not None:
        code = trace.tb_frame.f_code
        was_inside, inside = inside, code.co_filename.startswith(_PACKAGE)
        if inside and (not was_inside or (frame is not None and _takes_anything(frame.f_code))):
            frame = trace.tb_frame
        trace = trace.tb_next
    if frame is None:
        watcher.fail(type(error).__name__, (), error)
        return
    given = inspect.getargvalues(frame)
    names = [*given.args, *([given.varargs] if given.varargs else [])]
    watcher.fail(frame.f_code.co_name, tensors_in([given.locals.get(name) for name in names]), error)


def _takes_anything(code: Any) -> bool:
    """Is it called with (*args, **options)? A decorator's function is; the one inside it is meant."""
    anything = inspect.CO_VARARGS | inspect.CO_VARKEYWORDS
    return code.co_argcount == 0 and code.co_flags & anything == anything
