"""`minigrad graph`: the networks of `minigrad compare`, or a program of the user's, as a picture."""

import importlib.util
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import minigrad as mg
from minigrad import nn
from minigrad.autograd import Tensor
from minigrad.extras import require
from minigrad.lab import models
from minigrad.lab.catalogue import find
from minigrad.suggest import check_name, nearest
from minigrad.viz import dot, inputs, render, watching
from minigrad.viz.graphs import VIEWS, Graph, graph

SAMPLE = (1, 8, 8)
"""A picture of the digits data. A graph needs its shape only, so the pixels are drawn at random."""


@dataclass(frozen=True)
class Settings:
    """What is drawn, and how.

    Attributes:
        target: "my_script.py:make_loss"; None for a network of `minigrad compare`.
        inputs: (kind, shape) of each input of a module or function of the user's; see `viz.inputs.of_shapes`.
        model, norm, activation, layers, width, batch_size: that network.
        view, depth, expand, fold, values, direction: as in `mg.viz.graph`.
        format: svg, png, pdf or dot; None: by the ending of `out`, or svg.
        out: the file; None names it after what is drawn.
    """

    target: str | None = None
    inputs: tuple[tuple[str | None, tuple[int, ...]], ...] = ()
    model: str = "cnn"
    norm: str = "batch"
    activation: str = "relu"
    layers: int = 3
    width: int = 16
    batch_size: int = 32
    view: str = "forward"
    depth: int | None = None
    expand: bool = False
    fold: bool | None = None
    values: bool = True
    direction: str = "TB"
    format: str | None = None
    out: Path | None = None

    def __post_init__(self) -> None:
        check_name("--model", self.model, models.MODELS)
        check_name("--activation", self.activation, models.ACTIVATIONS)
        check_name("--view", self.view, VIEWS)
        object.__setattr__(self, "norm", find(self.norm, ("none",), "--norm"))
        for option in ("layers", "width", "batch_size"):
            if getattr(self, option) < 1:
                raise ValueError(f"--{option.replace('_', '-')} must be at least 1, got {getattr(self, option)}")
        if self.depth is not None and self.depth < 0:
            raise ValueError(f"--depth must be at least 0, got {self.depth}")
        if self.format is not None:
            check_name("--format", self.format, render.FORMATS)
        if self.target is not None:
            file_and_name(self.target)
        elif self.inputs:
            raise ValueError("--input is for a program of your own, FILE.py:NAME; for these networks, --batch-size")
        for _, shape in self.inputs:
            if any(n < 0 for n in shape):
                raise ValueError(f"--input: the shape {shape} has a negative length")
        if self.out is not None and self.out.suffix and not self.out.is_dir():
            ending = render.format_of(self.out)
            if self.format not in (None, ending):
                raise ValueError(f"--format {self.format}, but the file is called {self.out}; leave out one of them")

    def path(self) -> Path:
        """Where the picture goes."""
        stem = f"{self.model}-{self.norm}" if self.target is None else self.target.rpartition(":")[2]
        path = Path(stem) if self.out is None else self.out
        if path.is_dir():
            path = path / stem
            return path.with_name(f"{stem}.{self.format or 'svg'}")
        return path if path.suffix else path.with_name(f"{path.name}.{self.format or 'svg'}")


def draw(settings: Settings) -> tuple[Graph, Path]:
    """Draw it and save it. Whether there is anything to draw with is found out first."""
    path = settings.path()
    require("graphviz", extra="viz", what=dot.WHAT)
    render.check(render.format_of(path))
    options: dict[str, Any] = {
        name: getattr(settings, name) for name in ("view", "depth", "expand", "fold", "values", "direction")
    }
    if settings.target is None:
        drawing = graph(_network_loss(settings), title=_title(settings), **options)
    else:
        options["title"] = settings.target.rpartition(":")[2]
        drawing = _of_program(settings.target, settings.inputs, options)
    drawing.save(path)
    return drawing, path


def _of_program(target: str, shapes: Any, options: dict[str, Any]) -> Graph:
    """What the user named: a tensor, a function or a module, or what makes one."""
    mg.manual_seed(0)  # the same command draws the same picture
    thing = load(target)
    if isinstance(thing, Tensor):
        if shapes:
            raise ValueError(f"{target}: this is a tensor; leave out --input")
        return graph(thing, **options)
    if not callable(thing):
        raise ValueError(
            f"{target}: this is of type {type(thing).__name__}; name a Module, a tensor, or a function that returns a "
            "loss"
        )
    if isinstance(thing, type) and issubclass(thing, nn.Module):
        missing = inputs.required(thing)
        if missing:
            raise ValueError(
                f"{target}: this class needs {', '.join(missing)}; make a module of it in the file, such as "
                f"net = {thing.__name__}(...), and name that"
            )
        thing = thing()
    if not isinstance(thing, nn.Module):
        missing = inputs.required(thing)
        if missing and not shapes:
            raise ValueError(f"{target}: this function takes {', '.join(missing)}; {inputs.WAY_OUT}")
        try:
            # A function without arguments may make a model, which takes the inputs.
            given = shapes if missing or inputs.takes(thing, len(shapes)) else ()
            drawing = graph(thing, *_inputs(thing, given, target), **options)
            if shapes and not given:
                raise ValueError(f"{target}: this function takes no --input")
            return drawing
        except watching.NoTensor as error:
            if not isinstance(error.result, nn.Module):
                raise
            thing = error.result  # a function that makes a model
    return graph(thing, *_inputs(thing, shapes, target), **options)


def _inputs(thing: Any, shapes: Any, target: str) -> tuple[Tensor, ...]:
    if shapes or not isinstance(thing, nn.Module):
        return inputs.of_shapes(thing, shapes, target)
    return inputs.guessed(thing, target)


def _title(settings: Settings) -> str:
    norm = "without a norm" if settings.norm == "none" else f"with {settings.norm.replace('_', ' ')} norm"
    return f"{settings.model.upper()} {norm}, {settings.view if settings.view != 'both' else 'forward and backward'}"


def _network_loss(settings: Settings) -> Any:
    s = settings
    mg.manual_seed(0)
    try:
        network = models.build(s.model, s.norm, SAMPLE, 10, s.layers, s.width, s.activation)
    except models.DoesNotApply as error:
        raise ValueError(f"--norm {s.norm} with --model {s.model}: {error}") from error
    images, labels = mg.randn(s.batch_size, *SAMPLE), mg.arange(s.batch_size) % 10
    return lambda: nn.functional.cross_entropy(network(images), labels)


def file_and_name(target: str) -> tuple[str, str]:
    """The two parts of "my_script.py:make_loss"."""
    file, _, name = target.rpartition(":")
    if not file or not name.isidentifier():
        raise ValueError(f"{target!r}: name the file and what in it is to be drawn, such as my_script.py:make_loss")
    return file, name


def load(target: str) -> Any:
    """What "my_script.py:make_loss" names. The script runs as an imported module: not as `__main__`.

    Raises:
        ValueError: there is no such file, or nothing of that name in it.
        RuntimeError: the script failed; the message says in which line.
    """
    file, name = file_and_name(target)
    path = Path(file).resolve()
    if not path.is_file():
        raise ValueError(f"{target!r}: there is no file {file}")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ValueError(f"{target!r}: {file} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.parent))  # so that the script finds its neighbours
    known_module = sys.modules.setdefault(path.stem, module)  # a script called random.py does not replace `random`
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        if known_module is module:
            del sys.modules[path.stem]
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        where = f", line {lines[-1]}" if lines else ""
        raise RuntimeError(f"{file}{where}: {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove(str(path.parent))
    if not hasattr(module, name):
        known = [n for n, x in vars(module).items() if callable(x) or isinstance(x, Tensor)]
        raise ValueError(f"{target!r}: there is no {name!r} in {file}{nearest(name, known)}")
    return getattr(module, name)
