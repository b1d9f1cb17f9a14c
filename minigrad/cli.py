"""The `minigrad` command: reads the arguments, and leaves the work to `minigrad.lab` and `minigrad.viz`."""

import argparse
import os
import re
import sys
from collections.abc import Callable
from dataclasses import Field, fields
from io import TextIOWrapper
from pathlib import Path
from typing import Any, NoReturn

import minigrad
from minigrad import interrupt
from minigrad.kernels import cache
from minigrad.lab.display import printable
from minigrad.lab.settings import SettingError, Settings
from minigrad.suggest import UnknownName, choose, nearest

_EPILOG = """examples:
  minigrad compare                                   the default: a deep sigmoid CNN on scanned digits
  minigrad compare --model mlp --norm none,batch     two norms only
  minigrad compare --activation relu --lr 0.4 --optimizer sgd --depth 10
  minigrad compare --norm none,weight,GroupNorm,dyt  names from `minigrad norms`
  minigrad compare --resume runs/20260101-120000-cnn-digits
"""


_GRAPH_EPILOG = """examples:
  minigrad graph --model cnn --norm batch -o cnn.svg
  minigrad graph --model mlp --norm layer --view both --layers 1 -o mlp.png
  minigrad graph --model mlp --norm batch --layers 1 --expand -o batch.pdf
  minigrad graph --layers 12 --depth 1               a deep network, each of its parts as one node
  minigrad graph my_script.py:make_loss              what this function computes
  minigrad graph my_script.py:model --input 4,64     what this module computes for such an input

A program of your own is imported (its name is not `__main__`), and the function or module is called once.
"""


_EXPLAIN_EPILOG = """operations:
  batch_norm, layer_norm, instance_norm, group_norm, rms_norm, weight_norm, local_response_norm, batch_renorm,
  softmax_cross_entropy, linear, conv2d

examples:
  minigrad explain batch_norm                        writes batch_norm.html
  minigrad explain layer_norm --shape 2,5 -o ln.html
  minigrad explain group_norm --shape 2,6 --groups 3
  minigrad explain batch_norm --values mine.csv --eps 0.1
  minigrad explain batch_norm --text                 the same walk in the terminal
  minigrad explain batch_norm --text --break mean    what goes wrong if μ is taken for a constant

A .json file may hold an object with any of the leaves, and "seed", the gradient that arrives at the output:
  {"x": [[1, 2], [3, 5]], "gamma": [1, 2], "seed": [[1, 0], [0, 1]]}
"""


class _Parser(argparse.ArgumentParser):
    """Errors in one line, with exit code 2."""

    def complain(self, message: Any) -> None:
        """Print a line that begins with the name of the command, which the library may have named already."""
        text = printable(" ".join(str(message).split("\n")))
        for start in (f"{self.prog}: ", f"{self.prog.split()[-1]}: "):
            text = text.removeprefix(start)
        if re.match(rf"{self.prog.split()[-1]} \w+: ", text):  # "explain batch_norm: ..."
            text = f"{self.prog.split()[0]} {text}"
        elif not text.startswith(f"{self.prog} "):
            text = f"{self.prog}: {text}"
        print(text, file=sys.stderr)

    def error(self, message: str) -> NoReturn:
        self.complain(message)
        print(f"Try '{self.prog} --help'.", file=sys.stderr)
        raise SystemExit(2)


def _flag(f: Field[Any]) -> str:
    """The option for a field of the settings."""
    return f.metadata["flag"] or "--" + f.name.replace("_", "-")


def _setting(option: Callable[..., Any], f: Field[Any]) -> None:
    """Make an option of a field of the settings, with the field's default in its help."""
    kinds: dict[Any, Any] = {int: int, float: float, tuple[str, ...]: _names, tuple[int, ...]: _seeds}
    default = f.default
    if isinstance(default, tuple):
        default = len(default) if f.name == "seeds" else ",".join(default)
    shown = f.metadata["help"] + ("" if default is None else f" (default: {default})")
    option(_flag(f), dest=f.name, type=kinds.get(f.type, str), metavar=f.metadata["metavar"], help=shown)


def _in_flags(message: str, flags: dict[str, str]) -> str:
    """A message of the library, which speaks of fields, in the words of the command: `lr=0` is `--lr 0`."""
    message = re.sub(r"^\w+(?=[: ])|\b[a-z]+_[a-z]+\b(?!=)", lambda found: flags.get(found[0], found[0]), message)
    return re.sub(
        r"\b(\w+)=(['\"]?)([^\s'\",;:]+)\2",
        lambda found: f"{flags[found[1]]} {found[3]}" if found[1] in flags else found[0],
        message,
    )


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _seeds(text: str) -> tuple[int, ...]:
    """ "3" is a number of seeds (0, 1, 2); "3,5" or "3," are the seeds themselves."""
    try:
        numbers = tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number of seeds nor a list such as 0,1,2") from None
    if "," in text or not numbers:
        return numbers
    if numbers[0] > 10_000:
        raise argparse.ArgumentTypeError(f"{text} seeds are too many; to name the seed {text} itself, write '{text},'")
    return tuple(range(numbers[0]))


def _shape(text: str) -> tuple[int, ...]:
    """ "4,2" or "4x2"."""
    try:
        return tuple(int(part) for part in text.lower().replace("x", ",").replace("×", ",").split(",") if part.strip())
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a shape; write lengths with commas, such as 4,2") from None


def _input(text: str) -> tuple[str | None, tuple[int, ...]]:
    """ "4,64", or "int:4,16": what kind of numbers, and the shape."""
    kind, colon, shape = text.rpartition(":")
    kinds = {"float": "float", "float32": "float", "int": "int", "int64": "int", "long": "int", "bool": "bool"}
    if colon and kind not in kinds:
        raise argparse.ArgumentTypeError(f"{text!r} begins with {kind!r}{nearest(kind, kinds)} {choose(kinds)}")
    return kinds.get(kind), _shape(shape)


def _folder(text: str) -> Path:
    """A folder of results: a name that looks like that of a file was meant for one."""
    path = Path(text)
    if path.suffix.lower() in (".html", ".htm", ".pdf", ".png", ".svg", ".json", ".csv", ".txt", ".npz", ".gif"):
        raise argparse.ArgumentTypeError(f"{text!r} is called like a file; name a folder, which gets all of them")
    return path


def _parser() -> tuple[_Parser, dict[str, _Parser]]:
    parser = _Parser(prog="minigrad", description=minigrad.__doc__, allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"minigrad {minigrad.__version__}")
    commands = parser.add_subparsers(dest="command", parser_class=_Parser, metavar="COMMAND")
    compare = commands.add_parser(
        "compare",
        help="train the same network with and without each normalization",
        description="Train the same network with and without each normalization, from the same initial weights "
        "and on the same batches, and show which one is best.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    option = compare.add_argument
    for f in fields(Settings):
        _setting(option, f)
    option("--out", type=_folder, metavar="DIR", help="the folder for the results (default: a new one in runs/)")
    option("--resume", type=Path, metavar="DIR", help="continue the comparison in this folder")
    norms = commands.add_parser(
        "norms",
        help="list all normalizations, or show one of them in full",
        description="List all normalizations in a table. With NAME: show this one in full.",
        allow_abbrev=False,
    )
    norms.add_argument("name", nargs="?", metavar="NAME", help="such as group, GroupNorm, group_norm or gn")
    explain = commands.add_parser(
        "explain",
        help="walk through an operation and its backward pass, number by number, in a page or as text",
        description="Take one operation apart: every step forward, every gradient backward, the closed form, and "
        "switches that break it. Writes one HTML page, or plain text.",
        epilog=_EXPLAIN_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    option = explain.add_argument
    option("name", help="batch_norm, layer_norm, ... (listed below)")
    option(
        "--shape",
        type=_shape,
        metavar="N,C,...",
        help="the shape of the input (small by default, so that you can read the numbers)",
    )
    option("--values", type=Path, metavar="FILE", help="the input from a .npy, .csv or .json file")
    option("--eps", type=float, metavar="X", help="ε (default: that of the operation)")
    option("--batch-size", type=int, metavar="N", help="the length of the first axis")
    option("--groups", type=int, metavar="G", help="the number of groups of group_norm (default: 2)")
    option("--text", action="store_true", help="print the walk in the terminal instead of writing a page")
    option(
        "--break", dest="broken", type=_names, default=(), metavar="A,B", help="with --text: the switches to turn on"
    )
    option(
        "-o",
        "--out",
        type=Path,
        metavar="FILE",
        help="the page, .html, or the walk as text, .txt (default: NAME.html)",
    )
    graph = commands.add_parser(
        "graph",
        help="draw the computation graph of a network, or of your own program",
        description="Draw the computation graph of a network of `minigrad compare`, or of what a function in "
        "your program computes. Only Python packages are needed.",
        epilog=_GRAPH_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    option = graph.add_argument
    option("target", nargs="?", metavar="FILE.py:NAME", help="a Module, a function, or a tensor of your program")
    option(
        "--input",
        dest="inputs",
        type=_input,
        action="append",
        metavar="[KIND:]SHAPE",
        help="the shape of an input of your module or function, such as 4,64 or int:4,16; once for each input "
        "(default: guessed from the layers of a module)",
    )
    option("--model", help="mlp or cnn (default: cnn)")
    option("--norm", metavar="NAME", help="none, or a name of `minigrad norms` (default: batch)")
    option("--activation", metavar="NAME", help="relu, tanh, sigmoid, gelu, ... (default: relu)")
    option("--layers", type=int, metavar="N", help="hidden layers (default: 3)")
    option("--width", type=int, metavar="N", help="units or channels of a hidden layer (default: 16)")
    option("--batch-size", type=int, metavar="N", help="default: 32")
    option("--view", help="forward, backward, both, double: a backward pass that is recorded (default: forward)")
    option(
        "--depth",
        type=int,
        metavar="N",
        help="draw modules that are nested deeper than this as one node; 0: the whole network",
    )
    option(
        "--expand",
        action="store_true",
        default=None,
        help="draw each fused op beside the small ops that it consists of",
    )
    option(
        "--fold",
        action=argparse.BooleanOptionalAction,
        help="draw repeated parts once (default: repeated modules, and in long graphs all that repeats)",
    )
    option("--values", action=argparse.BooleanOptionalAction, help="write numbers into the nodes (default: yes)")
    option("--direction", choices=("TB", "LR"), help="from top to bottom, or from left to right (default: TB)")
    option("--format", help="svg, png, pdf or dot (default: by the ending of the file, or svg)")
    option("-o", "--out", type=Path, metavar="FILE", help="the picture (default: named after what is drawn)")
    return parser, {"compare": compare, "norms": norms, "explain": explain, "graph": graph}


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code: 0 done, 1 failed, 2 misused, 130 interrupted."""
    argv = sys.argv[1:] if argv is None else argv
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal or pipe that knows no µ gets a question mark
    parser, commands = _parser()
    if argv and not argv[0].startswith("-") and argv[0] not in commands:
        parser.error(f"there is no command {argv[0]!r}{nearest(argv[0], commands)} Commands: {', '.join(commands)}")
    arguments, unknown = parser.parse_known_args(argv)
    if arguments.command is None:
        for text in unknown:
            parser.error(f"unknown argument {text!r}{nearest(text, ('--help', '--version'))}")
        parser.print_help()
        return 0
    command = commands[arguments.command]
    for text in unknown:
        known = [s for action in command._actions for s in action.option_strings]
        command.error(f"unknown argument {text!r}{nearest(text.partition('=')[0], known)}")
    run = {"norms": _norms, "compare": _compare, "explain": _explain, "graph": _graph}[arguments.command]
    cache.announce = _say_compiling
    try:
        code = run(arguments, command)
        sys.stdout.flush()  # from here on, Ctrl-C ends the process at once
    except KeyboardInterrupt:
        command.complain("interrupted")
        code = 130
    except MemoryError as error:
        command.complain(f"not enough memory for a network or data of this size. {error}")
        code = 1
    finally:
        cache.announce = None
    interrupt.forget()
    return code


def _say_compiling(kept: bool) -> None:
    """Some seconds pass before the first result; say why, once."""
    cache.announce = None
    if kept:
        text = "compiling, once: the next run will find the compiled code on disk"
    else:
        text = "compiling, as in every run: no cache folder can be written (NUMBA_CACHE_DIR can name one)"
    print(f"minigrad: {text}", file=sys.stderr, flush=True)


def _explain(arguments: argparse.Namespace, parser: _Parser) -> int:
    a = arguments
    if a.broken and not a.text:
        parser.error("--break is for --text; the page has all switches")
    if a.text and a.out is not None:
        parser.error("--text prints; leave out --out, or leave out --text for a page")
    try:
        from minigrad.viz.explainer import drawing, explain
        from minigrad.viz.explainer.explanation import find, page_path

        operation = find(a.name)
        path = page_path(a.out or Path(f"{operation.name}.html"), operation)  # before the work begins
        if not a.text and path.suffix.lower() != ".txt":
            drawing.check()
        explanation = explain(a.name, a.shape, a.values, a.eps, a.batch_size, a.groups)
        if a.text:
            explanation.print(a.broken)
            return 0
        explanation.save(path)
    except (ValueError, TypeError) as error:
        options = ("shape", "values", "eps", "batch_size", "groups")
        parser.error(_in_flags(str(error), {name: f"--{name.replace('_', '-')}" for name in options}))
    except BrokenPipeError:  # as in `minigrad explain batch_norm --text | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ImportError, OSError, RuntimeError) as error:
        parser.complain(error)
        return 1
    print(f"{operation.title}, step by step: {path}")
    return 0


def _graph(arguments: argparse.Namespace, parser: _Parser) -> int:
    given = {name: value for name, value in vars(arguments).items() if value is not None and name != "command"}
    given["inputs"] = tuple(given.get("inputs", ()))
    network = [name for name in ("model", "norm", "activation", "layers", "width", "batch_size") if name in given]
    if "target" in given and network:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in network)
        parser.error(f"{options}: for the networks of minigrad, not for a program of your own")
    try:
        from minigrad.lab import draw

        drawing, path = draw.draw(draw.Settings(**given))
    except (ValueError, TypeError) as error:
        parser.error(str(error))
    except (ImportError, OSError, RuntimeError) as error:
        parser.complain(error)
        return 1
    if drawing.error is not None:
        error = drawing.error
        parser.complain(f"the computation failed: {type(error).__name__}: {error}")
        print(f"drawn up to the failure: {path}")
        return 1
    print(f"{len(drawing.nodes)} nodes: {path}")
    return 0


def _norms(arguments: argparse.Namespace, parser: _Parser) -> int:
    from minigrad.lab import norms

    try:
        norms.show(arguments.name)
    except ValueError as error:
        parser.error(str(error))
    except BrokenPipeError:  # as in `minigrad norms | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:  # a disk that is full
        parser.complain(error)
        return 1
    return 0


def _compare(arguments: argparse.Namespace, parser: _Parser) -> int:
    flags = {f.name: _flag(f) for f in fields(Settings)} | {"out": "--out", "resume": "--resume"}
    given = {f.name: value for f in fields(Settings) if (value := getattr(arguments, f.name)) is not None}
    if arguments.resume is not None and (given or arguments.out is not None):
        options = ", ".join(flags[name] for name in given) or "--out"
        parser.error(f"--resume takes its settings from the folder: leave out {options}")
    try:
        settings = None if arguments.resume is not None else Settings(**given)
        from minigrad.lab import compare

        return compare.compare(settings, arguments.out, arguments.resume)
    except (SettingError, UnknownName) as error:
        parser.error(_in_flags(str(error), flags))
    except ValueError as error:
        parser.complain(_in_flags(str(error), flags))
        return 2
    except (ImportError, OSError) as error:
        parser.complain(_in_flags(str(error), flags))
        return 1


if __name__ == "__main__":
    raise SystemExit(main())
