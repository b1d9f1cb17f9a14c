"""`graph`: a computation as a picture.

The way of a drawing: a `program` (`recorded` by autograd, or run under the eyes of `watching`), its `gradients`, a
choice of `views`, `folding` of what is too much, the text of the drawing in `dot`, and `render` makes a picture.

**For those who build on it.** A `Graph` has `nodes`, in the order in which they run, each with `id`, `op`, `label`,
`role`, `inputs` (pairs of a node's id and the number of its output), `value` and `grad` (arrays, or None); and `svg()`
gives the drawing as text. In it the element of a node is `<g id="n7" class="node op">` with the node's id, that of an
arrow `<g id="n3-n7" class="edge data">` ("gradient" in the backward pass, "kept" if dotted). With `svg(prefix="p-")`
all ids begin with `p-`, so that several drawings fit in one page. `program.steps` is the backward pass, op by op;
`Value.parts` says who sent which part of a gradient.
"""

import re
from pathlib import Path
from typing import Any

from minigrad.autograd.tensor import Tensor
from minigrad.extras import require
from minigrad.files import write
from minigrad.nn.module import Module
from minigrad.ops.random import get_rng_state, set_rng_state
from minigrad.viz import dot, folding, gradients, recorded, render, views, watching
from minigrad.viz.program import Node, Program, tensors_in

VIEWS = ("forward", "backward", "both", "double")


class Graph:
    """A drawing of a computation. It shows itself in a notebook.

    Attributes:
        source: the drawing as text, in Graphviz's language DOT.
        nodes: the nodes of the view, in the order in which they run.
        program: all that is known about the computation.
        layout: what of it is drawn.
        error: the exception that stopped the computation, or None.
    """

    def __init__(self, program: Program, nodes: list[Node], layout: folding.Layout, source: str):
        self.program, self.nodes, self.layout, self.source = program, nodes, layout, source
        self.error = program.error

    def svg(self, prefix: str = "") -> str:
        """The drawing as the text of an SVG element; `prefix` is put in front of every id in it."""
        text = render.render(self.source, "svg").decode()
        text = text[text.index("<svg") :]
        return re.sub(r'(<(?:g|a)\b[^>]*?\bid=")', rf"\g<1>{prefix}", text) if prefix else text

    def save(self, path: str | Path) -> None:
        """Write a .svg, .png, .pdf or .dot, under a temporary name that is then changed: there is never half a file.

        Raises:
            ValueError: another ending.
            ImportError: nothing is there to draw with; .dot needs nothing.
        """
        format = render.format_of(path)
        write(path, self.source.encode() if format == "dot" else render.render(self.source, format))

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        try:
            return {"image/svg+xml": self.svg(), "text/plain": repr(self)}
        except (ImportError, RuntimeError) as error:
            return {"text/plain": f"{self!r}\n{error}"}

    def __repr__(self) -> str:
        drawn = len(set(self.layout.shown.values()))
        return f"<Graph of {len(self.nodes)} nodes, {drawn} of them drawn; save it: .save('graph.svg')>"


def graph(
    computation: Any,
    *inputs: Any,
    params: Any = None,
    view: str = "forward",
    depth: int | None = None,
    expand: bool = False,
    fold: bool | None = None,
    values: bool = True,
    gradient: Any = None,
    limit: int = 120,
    direction: str = "TB",
    title: str | None = None,
) -> Graph:
    """Draw a computation.

    Args:
        computation: a tensor (or several), whose recorded graph is drawn; or a module or a function, which is run
            with `inputs` and watched: that shows more, see below.
        inputs: arguments of the module or function.
        params: names for tensors: a module, `dict(w=w, b=b)`, or `model.named_parameters()`.
        view: "forward"; "backward", the rules and gradients; "both", linked by the tensors that are kept for the
            backward pass; "double", the backward pass as ops that can be differentiated again.
        depth: modules nested deeper than this are drawn as one node each; 0: the model is one node, 1: its parts are.
        expand: draw every fused op beside its composed form, the small ops that it stands for.
        fold: draw what repeats (three times or more) once, as "Block × 12". None: repeated modules always, other
            sequences if there are more nodes than half the `limit`. False: draw everything, whatever it takes.
        values: write the numbers of tensors and gradients into the nodes: small ones whole, others in summary.
        gradient: of the (first) output, where the backward pass starts; ones by default.
        limit: more nodes than these are not drawn: modules are closed until it fits.
        direction: "TB" draws from top to bottom, "LR" from left to right.
        title: a heading.

    Returns:
        A `Graph`, with `.source`, `.svg()` and `.save(path)`.

    Given a **tensor**, the drawing shows what autograd recorded: ops on the way from something that requires a
    gradient; values where they were retained. Modules are known by the parameters that an op uses.

    Given a **module or a function**, it shows every op and value, and which module called it. Where the computation
    fails, the part up to there is drawn with the culprit in red, and the exception is in `.error`.

    To look changes nothing: no `.grad`, no running statistics, no random number is used up, and no backward hook runs.
    (But a function that itself calls `backward()`, or an optimizer, does so.)

    Raises:
        ImportError: the `graphviz` package is not installed.
        TypeError: `computation` is no tensor, or a function that returned none.
        ValueError: an unknown view or direction; a negative depth; a tensor without a graph.

    Differences from torchviz: no program has to be installed, modules are boxes, and there are the backward views.

    Example:
        >>> import minigrad as mg
        >>> x = mg.tensor([1.0, 2.0], requires_grad=True)
        >>> g = mg.viz.graph((x * x).sum(), params=dict(x=x))
        >>> [node.label for node in g.nodes]
        ['x', 'Mul', 'Sum']
        >>> g.nodes[0].grad.tolist()
        [2.0, 4.0]
        >>> g.save("graph.svg")  # doctest: +SKIP
    """
    require("graphviz", extra="viz", what=dot.WHAT)
    if view not in VIEWS:
        raise ValueError(f"graph: view={view!r} is unknown. Choose from: {', '.join(VIEWS)}")
    if direction not in ("TB", "LR", "BT", "RL"):
        raise ValueError(f"graph: direction={direction!r} is unknown. Choose from: TB, LR, BT, RL")
    if depth is not None and depth < 0:
        raise ValueError(f"graph: depth={depth} must be at least 0, which draws the whole model as one node")
    random = get_rng_state()
    try:
        if isinstance(computation, Module) or (callable(computation) and not isinstance(computation, Tensor)):
            program = watching.record(computation, *inputs, params=params)
        else:
            program = recorded.from_outputs(_tensors(computation, inputs), params)
        try:
            if program.error is None and _gradients_wanted(program, view, values, gradient):
                try:
                    gradients.differentiate(program, gradient)
                except Exception as error:
                    if view != "forward" or gradient is not None:
                        raise
                    # Nobody asked for gradients: a rule that is wrong must not hide the forward pass.
                    program.note = f"The backward pass failed: {type(error).__name__}: {error}"
            nodes = views.nodes(program, view, gradient)
            if expand:
                nodes = views.expand(nodes)
        finally:
            program.restore()
    finally:
        set_rng_state(random)
    layout = folding.arrange(nodes, depth, fold, limit)
    source = dot.source(program, nodes, layout, title or "", values, direction)
    return Graph(program, nodes, layout, source)


def _gradients_wanted(program: Program, view: str, values: bool, gradient: Any) -> bool:
    """A backward pass starts from a number; from several only if it is asked for."""
    if view != "forward":
        return view != "double"
    scalar = all(node.outputs[i].shape in ((), (1,)) for node, i in program.outputs)
    return values and (scalar or gradient is not None)


def _tensors(computation: Any, inputs: tuple[Any, ...]) -> list[Tensor]:
    outputs = tensors_in(computation)
    if inputs or not outputs:
        raise TypeError(
            "graph: give a tensor (or several in a list), or something that can be called, followed by its arguments: "
            f"graph(model, x). Got a {type(computation).__name__}"
            + (f" and {len(inputs)} arguments" if inputs else "")
        )
    return outputs
