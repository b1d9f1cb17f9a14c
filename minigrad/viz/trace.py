"""What a program computed, as a list of nodes: the material of every drawing.

There are two ways to get it. `from_outputs` walks the graph that autograd recorded for the sake of the backward pass:
it knows the ops that lead from parameters to a loss, and those tensors that a rule retains. `record` runs a program
and watches it: then every op is there, also those without a gradient, with all values, and with the module that
called it. It does so by putting itself in the place of `Function.__call__` and `Module.__call__` while it watches, so
a program that nobody watches pays nothing.

`differentiate` adds the gradients, and remembers who sent which part of them to whom.

Nodes stand in the order in which they ran, and are named after it: n1, n2, ... The same program gives the same names.
"""

import inspect
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from minigrad.autograd import engine
from minigrad.autograd.function import Function
from minigrad.autograd.modes import modes
from minigrad.autograd.tensor import Tensor, raw
from minigrad.nn.container import Sequential
from minigrad.nn.module import Module
from minigrad.nn.parameter import Parameter

_PACKAGE = str(Path(__file__).resolve().parent.parent)


@dataclass(slots=True, eq=False)
class Value:
    """One tensor: an output of an op, or a leaf.

    Attributes:
        shape, dtype: None where they are not known.
        array: its values; None where autograd did not keep them and nobody watched.
        grad: its gradient, after `differentiate`.
        kept_by: ids of the ops that retain it for their backward rule.
        parts: what the gradient is the sum of: (id of the op whose rule sent it, number of that op's input, array).
        name: what it is, where an op has several outputs.
    """

    shape: tuple[int, ...] | None
    dtype: Any
    array: Any = None
    grad: Any = None
    kept_by: list[str] = field(default_factory=list)
    parts: list[tuple[str, int, Any]] = field(default_factory=list)
    name: str = ""


@dataclass(frozen=True, slots=True)
class Scope:
    """One call of a module, or (then `module` is False) another group of nodes that is drawn as a box."""

    name: str
    kind: str = ""
    call: int = 1
    module: bool = True


@dataclass(slots=True, eq=False)
class Node:
    """An op, or a leaf tensor.

    Attributes:
        id: such as "n7": stable from run to run, and the id of its element in an SVG.
        op: the name of the op; "" for a leaf.
        label: what is written on it: the op, or the name of the tensor.
        role: "op", "parameter", "buffer", "input", "leaf" (any other tensor that wants a gradient), "constant",
            "output" (an op whose result was asked for), "error"; in the views of the backward pass "backward",
            "sum" (gradients meet) and "gradient" (what a leaf gets).
        inputs: where each input comes from: (id of a node, number of its output); None for what is no tensor.
        outputs: a `Value` for each output.
        scope: the modules around it, outermost first.
        details: the op's options, and its inputs that are plain numbers.
        error: the message, if this is where the program failed.
        twin: in the views of the backward pass, the id of the forward node that this one belongs to.
        kept: in the views of the backward pass, the tensors of the forward pass that its rule needs.
        function, tensor: what it stands for.
        arguments: the arrays (or numbers, or None) that the op was given; None where they are not all known.
    """

    id: str
    op: str
    label: str
    role: str
    inputs: list[tuple[str, int] | None] = field(default_factory=list)
    outputs: list[Value] = field(default_factory=list)
    scope: tuple[Scope, ...] = ()
    details: dict[str, str] = field(default_factory=dict)
    error: str | None = None
    twin: str | None = None
    kept: list[tuple[str, int]] = field(default_factory=list)
    function: Function | None = None
    tensor: Tensor | None = None
    arguments: tuple[Any, ...] | None = None

    @property
    def value(self) -> Any:
        """The array of the first output, or None."""
        return self.outputs[0].array if self.outputs else None

    @property
    def grad(self) -> Any:
        """The gradient of the first output, or None."""
        return self.outputs[0].grad if self.outputs else None


@dataclass(slots=True, eq=False)
class Step:
    """One op's turn in the backward pass: the gradients of its outputs came in, those of its inputs went out."""

    node: Node
    incoming: list[Any]
    outgoing: list[Any]


class Program:
    """Nodes in the order in which they ran, inputs before those who use them.

    Attributes:
        nodes: all of them; `program[id]` finds one.
        outputs: (node, number of the output) of each result.
        steps: the backward pass in its order, after `differentiate`.
        error: the exception that stopped the program, or None.
        note: what the drawing should say about it, such as why there are no gradients.
    """

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.outputs: list[tuple[Node, int]] = []
        self.steps: list[Step] = []
        self.error: Exception | None = None
        self.note = ""
        self._by_id: dict[str, Node] = {}
        self._of_function: dict[Function, Node] = {}
        self._of_tensor: dict[Tensor, tuple[Node, int]] = {}
        self._of_array: dict[int, Node] = {}  # leaves by the array object that they hold

    def __getitem__(self, id: str) -> Node:
        return self._by_id[id]

    def add(self, node: Node) -> Node:
        self.nodes.append(node)
        self._by_id[node.id] = node
        if node.function is not None:
            self._of_function[node.function] = node
        if node.tensor is not None:
            self._of_tensor[node.tensor] = node, 0
        if not node.op:
            self._of_array.setdefault(id(node.value), node)
        return node

    def next_id(self) -> str:
        return f"n{len(self.nodes) + 1}"

    def find(self, tensor: Tensor) -> tuple[Node, int] | None:
        """The node that stands for a tensor, or made it."""
        found = self._of_tensor.get(tensor)
        if found is None and tensor.grad_fn in self._of_function:
            found = self._of_function[tensor.grad_fn], tensor.output_index
        if found is None and tensor.grad_fn is None and id(tensor.data) in self._of_array:
            found = self._of_array[id(tensor.data)], 0
        return found


# -- names ---------------------------------------------------------------------------------------------------


def names_of(params: Any) -> dict[Tensor, tuple[str, str]]:
    """Name and role of the tensors that the user names.

    `params` is a module, a dictionary from names to tensors, or pairs as of `named_parameters()`.
    """
    if params is None:
        return {}
    if isinstance(params, Module):
        named = {p: (name, "parameter") for name, p in params.named_parameters()}
        return named | {b: (name, "buffer") for name, b in params.named_buffers()}
    pairs = list(params.items() if isinstance(params, Mapping) else params)
    for pair in pairs:
        if not (isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[1], Tensor)):
            raise TypeError(
                "graph: params must be a module, a dictionary from names to tensors, or pairs of both such as "
                f"model.named_parameters(); got a {type(params).__name__} with a {type(pair).__name__} in it. To give "
                "names to a list: dict(w=w, b=b)"
            )
    return {tensor: (str(name), "parameter" if isinstance(tensor, Parameter) else "") for name, tensor in pairs}


def _role(tensor: Tensor) -> str:
    if isinstance(tensor, Parameter):
        return "parameter"
    return "leaf" if tensor.requires_grad else "constant"


def _leaf(program: Program, tensor: Tensor, names: Mapping[Tensor, tuple[str, str]], scope: tuple[Scope, ...]) -> Node:
    name, role = names.get(tensor, ("", ""))
    role = role or _role(tensor)
    value = Value(tensor.shape, tensor.dtype, tensor.data)
    node = Node(program.next_id(), "", name or role, role, outputs=[value], scope=scope, tensor=tensor)
    return program.add(node)


@cache
def _option_names(kind: type[Function]) -> list[str]:
    return list(inspect.signature(kind).parameters)


def _options(op: Function) -> dict[str, str]:
    """What the op was told, such as axis=1: those arguments of its class that it keeps under the same name."""
    found = {}
    for name in _option_names(type(op)):
        value = getattr(op, name, None)
        plain = (int, float, str)
        if isinstance(value, plain) or (isinstance(value, tuple) and all(isinstance(v, plain) for v in value)):
            text = f"{value:g}" if isinstance(value, float) else str(value)
            if len(text) <= 24 and name != "label":
                found[name] = text
    return found


# -- the graph that autograd recorded ------------------------------------------------------------------------


def from_outputs(outputs: Iterable[Tensor], params: Any = None) -> Program:
    """The recorded graph below `outputs`. Values are known of leaves, and of what the rules retain."""
    program, outputs, names = Program(), list(outputs), names_of(params)
    for i, output in enumerate(outputs):
        if not output.requires_grad:
            raise ValueError(
                f"graph: outputs[{i}] (shape {output.shape}) has no graph: it was computed without any tensor that "
                "requires a gradient, or inside no_grad(). To draw it all the same, let graph() watch the "
                "computation: mg.viz.graph(model, x), or mg.viz.graph(lambda: ...)"
            )
    freed = False
    for op in engine._reachable([output.grad_fn or output for output in outputs]):
        kept = op._saved
        freed = freed or kept is None
        known = dict(zip(op._sources, kept or (), strict=False))
        sources: list[tuple[str, int] | None] = []
        unknown = 0
        for i, edge in enumerate(op.edges):
            if edge is None:
                array = known.get(i)
                if isinstance(array, np.ndarray):
                    value = Value(array.shape, array.dtype, array)
                    constant = program.add(Node(program.next_id(), "", "constant", "constant", outputs=[value]))
                    sources.append((constant.id, 0))
                else:
                    unknown += i not in known
                    sources.append(None)
                continue
            below, index = edge
            if isinstance(below, Tensor):
                found = program.find(below)
                source = found[0] if found else _leaf(program, below, names, ())
            else:
                source = program._of_function[below]
            sources.append((source.id, index))
        details = _options(op)
        if unknown:
            details["inputs without gradient"] = str(unknown)
        values = [Value(shape, dtype) for shape, dtype in op.outputs]
        node = Node(program.next_id(), op.name, op.name, "op", sources, values, details=details, function=op)
        if all(i in known for i in range(len(op.edges))):
            node.arguments = tuple(known[i] for i in range(len(op.edges)))
        program.add(node)
        _mark_kept(program, node)
    for output in outputs:
        found = program.find(output) or (_leaf(program, output, names, ()), 0)
        _finish(program, found, output)
    if freed:
        program.note = FREED
    _infer_modules(program, params)
    return program


def _mark_kept(program: Program, node: Node) -> None:
    """Note which tensors this op retains; their values are known by that."""
    op = node.function
    if op is None or not op._saved:
        return
    for array, source in zip(op._saved, op._sources, strict=False):
        place = (node.id, ~source) if source < 0 else node.inputs[source]
        if place is None or not isinstance(array, np.ndarray):
            continue
        value = program[place[0]].outputs[place[1]]
        if value.array is None:
            value.array = array
        if node.id not in value.kept_by:
            value.kept_by.append(node.id)


def _finish(program: Program, found: tuple[Node, int], tensor: Tensor) -> None:
    node, index = found
    if node.op:
        node.role = "output"
    if node.outputs[index].array is None:
        node.outputs[index].array = tensor.data
    program.outputs.append(found)


def _infer_modules(program: Program, params: Any) -> None:
    """Guess from the names of parameters which module called an op.

    An op that uses parameters is in the module that holds them. Another one is in the smallest module around the op
    whose result it took last and the op that takes its own first; at the ends, where one is missing, it is in none.
    """
    homes: dict[str, tuple[str, ...]] = {}
    for node in program.nodes:
        if not node.op and node.role in ("parameter", "buffer"):
            homes[node.id] = tuple(node.label.split("."))[:-1]
    own: dict[str, tuple[str, ...]] = {}
    for node in program.nodes:
        paths = [homes[source[0]] for source in node.inputs if source is not None and source[0] in homes]
        if paths:
            own[node.id] = _common(paths)
    before, after = dict(own), dict(own)
    users: dict[str, list[str]] = {}
    for node in program.nodes:
        for source in node.inputs:
            if source is not None:
                users.setdefault(source[0], []).append(node.id)
        known = [source[0] for source in node.inputs if source is not None and source[0] in before]
        if node.id not in own and known:
            before[node.id] = before[max(known, key=lambda id: int(id[1:]))]
    for node in reversed(program.nodes):
        first_user = next((id for id in users.get(node.id, ()) if id in after), None)
        if node.id not in own and first_user is not None and node.op:
            after[node.id] = after[first_user]
    module = params if isinstance(params, Module) else None
    kinds = {} if module is None else {path: type(part).__name__ for path, part in module.named_modules()}
    # By path the names of the children of each Sequential, which runs them and nothing else.
    sequences = {
        tuple(path.split(".")) if path else (): list(part._module_names)
        for path, part in (() if module is None else module.named_modules())
        if isinstance(part, Sequential)
    }
    calls: Counter[tuple[str, ...]] = Counter()
    current: tuple[Scope, ...] = ()
    for node in program.nodes:
        if not node.op:
            continue
        inside = node.id in before and node.id in after
        parts = _common([before[node.id], after[node.id]]) if inside else ()
        if inside and parts in sequences:
            parts = _inside_sequence(parts, sequences[parts], before[node.id], after[node.id])
        scopes: list[Scope] = []
        paths = [parts[:i] for i in range(0 if module is not None and inside else 1, len(parts) + 1)]
        for i, path in enumerate(paths):
            name = ".".join(path)
            if i < len(current) and current[i].name == name and tuple(current[:i]) == tuple(scopes):
                scopes.append(current[i])
            else:
                calls[path] += 1
                scopes.append(Scope(name, kinds.get(name, ""), calls[path]))
        node.scope = current = tuple(scopes)
    place_leaves(program)


def _inside_sequence(
    path: tuple[str, ...], children: list[str], before: tuple[str, ...], after: tuple[str, ...]
) -> tuple[str, ...]:
    """An op between two neighbours in a Sequential belongs to the first: nobody else could have called it."""
    first, second = (other[len(path)] if len(other) > len(path) else None for other in (before, after))
    if first in children and second in children and children.index(second) == children.index(first) + 1:
        return (*path, first)
    return path


def place_leaves(program: Program) -> None:
    """Parameters and constants stand in the smallest box around all who use them, what the user gave outside."""
    places: dict[str, tuple[Scope, ...]] = {}
    for node in program.nodes:
        for source in node.inputs:
            if source is not None and not program[source[0]].op:
                known = places.get(source[0])
                places[source[0]] = node.scope if known is None else _common([known, node.scope])
    for id, place in places.items():
        program[id].scope = () if program[id].role in ("input", "leaf") else place


def _common(paths: list[tuple[Any, ...]]) -> tuple[Any, ...]:
    """The longest path that all begin with."""
    first, *others = paths
    for other in others:
        length = min(len(first), len(other))
        first = first[: next((i for i in range(length) if first[i] != other[i]), length)]
    return first


# -- a program that is watched -------------------------------------------------------------------------------


class _Watcher:
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
        """Learn the names in a module that is met for the first time."""
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
        details = _options(op)
        sources = self.sources(inputs, details)
        values = [Value(r.shape, r.dtype, r.data) for r in results]
        program = self.program
        node = Node(program.next_id(), op.name, op.name, "op", sources, values, self.scope, details, function=op)
        node.arguments = tuple(map(raw, inputs))
        program.add(node)
        for i, result in enumerate(results):
            program._of_tensor[result] = node, i
        _mark_kept(program, node)
        return node

    def sources(self, inputs: Iterable[Any], details: dict[str, str]) -> list[tuple[str, int] | None]:
        found: list[tuple[str, int] | None] = []
        for i, x in enumerate(inputs):
            if isinstance(x, Tensor):
                node, index = self.program.find(x) or (_leaf(self.program, x, self.names, self.scope), 0)
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
def _watch(watcher: _Watcher) -> Any:
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
    it came from. What a module remembers from call to call (running statistics) is put back as it was.

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
    watcher = _Watcher(program, names)
    for module in modules:
        watcher.know(module)
    with unchanged_buffers(modules), _watch(watcher):
        try:
            result = function(*inputs)
        except Exception as error:
            result = ()
            _blame(watcher, error)
    _keep_needed(program, result)
    place_leaves(program)
    return program


def _keep_needed(program: Program, result: Any) -> None:
    """Leave out what the result does not depend on; and where there is none, leave out nothing."""
    if program.error is not None:
        return
    for tensor in tensors_in(result):
        found = program.find(tensor)
        if found is None:
            found = _leaf(program, tensor, {}, ()), 0
        _finish(program, found, tensor)
    if not program.outputs:
        raise TypeError(
            f"graph: the function returned a {type(result).__name__}; it must return a tensor, or several in a tuple, "
            "a list or a dictionary"
        )
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


def tensors_in(result: Any) -> list[Tensor]:
    """The tensors in nested tuples, lists and dictionaries, in order."""
    found, stack = [], [result]
    while stack:
        x = stack.pop()
        if isinstance(x, Tensor):
            found.append(x)
        elif isinstance(x, Mapping):
            stack.extend(reversed(list(x.values())))
        elif isinstance(x, list | tuple):
            stack.extend(reversed(x))
    return found


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
    if not inspect.isfunction(function):
        return [], {}
    found = inspect.getclosurevars(function)
    outside = {**found.globals, **found.nonlocals}
    modules = [x for x in outside.values() if isinstance(x, Module)]
    return modules, {name: x for name, x in outside.items() if isinstance(x, Tensor)}


@contextmanager
def unchanged_buffers(modules: Iterable[Module]) -> Any:
    """Running statistics, and whatever else modules remember, are put back at the end: looking changes nothing."""
    buffers = {buffer: buffer.data.copy() for module in modules for buffer in module.buffers()}
    try:
        yield
    finally:
        for buffer, values in buffers.items():
            if not np.array_equal(buffer.data, values, equal_nan=buffer.dtype.kind == "f"):
                buffer.data[...] = values


def _blame(watcher: _Watcher, error: Exception) -> None:
    """Where did it fail, if no op and no module told? In the function of minigrad that the program called last."""
    if watcher.program.error is not None:
        return
    trace, frame = error.__traceback__, None
    inside = True
    while trace is not None:
        code = trace.tb_frame.f_code
        was_inside, inside = inside, code.co_filename.startswith(_PACKAGE)
        if inside and not was_inside:
            frame = trace.tb_frame
        trace = trace.tb_next
    if frame is None:
        watcher.fail(type(error).__name__, (), error)
        return
    arguments = [frame.f_locals.get(name) for name in frame.f_code.co_varnames[: frame.f_code.co_argcount]]
    watcher.fail(frame.f_code.co_name, [x for x in arguments if isinstance(x, Tensor)], error)


# -- the backward pass ---------------------------------------------------------------------------------------

FREED = "A backward pass has freed what the ops retained; draw before it, or use retain_graph=True."


def differentiate(program: Program, gradient: Any = None) -> None:
    """Run the backward pass over a program, and write down every gradient and where each came from.

    It is the engine's pass, with two differences: nothing is added to `.grad`, and hooks do not run.

    Args:
        program: is given gradients (`Value.grad`, `Value.parts`) and `steps`.
        gradient: that of the first output, where the pass starts; ones by default.
    """
    program.steps.clear()
    for node in program.nodes:
        for value in node.outputs:
            value.grad = None
            value.parts.clear()
    pass_ = _Pass(program, gradient, create_graph=False)
    for op, grads in pass_.turns():
        node = program._of_function[op]
        for value, g in zip(node.outputs, grads, strict=True):
            value.grad = None if g is None else np.asarray(g)
        outgoing = pass_.run(op, grads)
        for i, g in enumerate(outgoing):
            source = node.inputs[i] if g is not None else None
            if source is not None:
                program[source[0]].outputs[source[1]].parts.append((node.id, i, np.asarray(g)))
        program.steps.append(Step(node, list(grads), outgoing))
    for leaf, g in pass_.leaves():
        leaf.outputs[0].grad = np.asarray(g)
    if program.note == FREED:
        for node in program.nodes:  # an earlier pass left these
            if node.tensor is not None and node.tensor.grad is not None:
                node.outputs[0].grad = node.tensor.grad.data


def differentiate_recorded(program: Program, gradient: Any = None) -> None:
    """Run the backward pass with `create_graph`, and add the ops that it consists of to the program."""
    pass_ = _Pass(program, gradient, create_graph=True)
    watcher = _Watcher(
        program, {g: ("start", "seed") for grads in pass_.pending.values() for g in grads if g is not None}
    )
    with _watch(watcher):
        for op, grads in pass_.turns():
            node = program._of_function[op]
            title = f"derivative of {op.name} ({node.id})"
            watcher.scope = (Scope("backward pass", module=False), *node.scope, Scope(title, module=False))
            count = len(program.nodes)
            pass_.run(op, grads)
            for made in program.nodes[count:]:
                made.twin = node.id
                made.role = "backward" if made.op else made.role
    for leaf, g in list(pass_.leaves()):
        found = program.find(g) if isinstance(g, Tensor) else None
        if found is not None:
            scope = (Scope("backward pass", module=False), *leaf.scope)
            value = Value(g.shape, g.dtype, g.data)
            id = program.next_id()
            sources: list[tuple[str, int] | None] = [(found[0].id, found[1])]
            node = Node(id, "Gradient", f"∇ {leaf.label}", "gradient", sources, [value], scope, twin=leaf.id)
            program.add(node)


class _Pass:
    """The engine's loop, one turn at a time."""

    def __init__(self, program: Program, gradient: Any, create_graph: bool):
        self.program, self.create_graph = program, create_graph
        self.pending: dict[Any, list[Any]] = {}
        self.ops: list[Function] = []
        start = [(node, i) for node, i in program.outputs if _wants_gradient(node)]
        if not start:
            program.note = program.note or "Nothing here requires a gradient."
            return
        node, index = start[0]
        value = node.outputs[index]
        seed = np.ones(value.shape, value.dtype) if gradient is None else np.asarray(raw(gradient), value.dtype)
        if seed.shape != value.shape:
            raise ValueError(f"graph: the gradient has shape {seed.shape}, and the output {value.shape}")
        engine._send(
            self.pending,
            node.function or node.tensor,
            len(node.outputs),
            index,
            Tensor(seed) if create_graph else seed,
        )
        ops = engine._reachable(self.pending)
        if any(op._saved is None for op in ops):
            program.note = FREED
        elif any(op not in program._of_function for op in ops):
            program.note = "Part of this was computed before the drawing began, so there are no gradients."
        else:
            self.ops = ops
            return
        self.pending.clear()

    def turns(self) -> Iterator[tuple[Function, list[Any]]]:
        """Each op, from the youngest to the oldest, with the gradients of its outputs."""
        before = modes.grad, modes.create_graph, modes.wanted
        modes.grad, modes.create_graph, modes.wanted = self.create_graph, self.create_graph, None
        try:
            with np.errstate(all="ignore"):
                for op in reversed(self.ops):
                    grads = self.pending.pop(op, None)
                    if grads is not None:
                        yield op, grads
        finally:
            modes.grad, modes.create_graph, modes.wanted = before

    def run(self, op: Function, grads: list[Any]) -> list[Any]:
        """The gradients of an op's inputs, which are also sent on."""
        results = op.backward(*engine._fill_in(op, list(grads), self.create_graph))
        results = results if type(results) is tuple else (results,)
        outgoing: list[Any] = [None] * len(op.edges)
        for i, (edge, g) in enumerate(zip(op.edges, results, strict=False)):
            if edge is None or g is None:
                continue
            target, index = edge
            outgoing[i] = g = engine._fit(op, edge, g)
            engine._send(self.pending, target, len(target.outputs), index, g)
        return outgoing

    def leaves(self) -> Iterator[tuple[Node, Any]]:
        """What arrived at the leaves."""
        for leaf, grads in self.pending.items():
            found = self.program.find(leaf)
            if found is not None and grads[0] is not None:
                yield found[0], grads[0]


def _wants_gradient(node: Node) -> bool:
    return bool(node.function.edges) if node.function else node.tensor is not None and node.tensor.requires_grad
