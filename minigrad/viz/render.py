"""DOT to pictures, by the program `dot` where it is installed, else by the Graphviz that pygraphviz brings along."""

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

from minigrad.install import install_command

FORMATS = ("svg", "png", "pdf", "dot")
DOTS_PER_INCH = 144
"""Of a PNG: twice what Graphviz takes, so that small print stays sharp."""

# Dark paper for readers who have set their system so; the nodes, light cards with black text, stay as they are.
_STYLE = """<style>
@media (prefers-color-scheme: dark) {
 .graph > polygon[fill="#ffffff"] { fill: #15181c; }
 .graph > text:not([fill="#1f2328"]), .cluster > text, .cluster a > text { fill: #c3cad2; }
 .graph > polygon[stroke="#1f2328"] { stroke: #c3cad2; }
 .edge path { stroke: #9aa4ae; } .edge polygon { fill: #9aa4ae; stroke: #9aa4ae; }
 .edge.gradient path { stroke: #e08cc0; } .edge.gradient polygon { fill: #e08cc0; stroke: #e08cc0; }
}
</style>"""


def format_of(path: str | Path) -> str:
    """The format that a file's ending names."""
    ending = Path(path).suffix.lower()[1:]
    if ending not in FORMATS:
        known = ", ".join("." + f for f in FORMATS)
        raise ValueError(f"graph: {str(path)!r}: a graph can be saved as {known}, not as {'.' + ending!r}")
    return ending


def check(format: str) -> str:
    """Which renderer will draw this format: "dot", "pygraphviz", or "" if none is needed.

    Raises:
        ValueError: an unknown format.
        ImportError: neither is installed; the message says what to do.
    """
    if format not in FORMATS:
        raise ValueError(f"graph: format={format!r} is unknown. Choose from: {', '.join(FORMATS)}")
    if format == "dot":
        return ""
    if shutil.which("dot"):
        return "dot"
    if importlib.util.find_spec("pygraphviz") is not None:
        return "pygraphviz"
    raise ImportError(
        f"drawing a graph as {format} needs Graphviz, which is not installed. pygraphviz brings it: "
        f"{install_command('viz', 'pygraphviz')} (or install Graphviz itself, so that there is a program `dot`). "
        "The text of the drawing needs neither: graph(...).source, or save it as .dot"
    )


def render(source: str, format: str) -> bytes:
    """Draw `source` as svg, png or pdf.

    Raises:
        ImportError: there is nothing to draw with.
        RuntimeError: Graphviz did not draw it; the message is Graphviz's.
    """
    renderer = check(format)
    if not renderer:
        return source.encode()
    # Always in a process of its own: Graphviz is written in C, and should it run out of stack, only that one dies.
    if renderer == "dot":
        command = ["dot", f"-T{format}", *([f"-Gdpi={DOTS_PER_INCH}"] if format == "png" else [])]
    else:
        command = [sys.executable, "-c", _PROGRAM, format]
    done = subprocess.run(command, input=source.encode(), capture_output=True, check=False)
    if done.returncode or not done.stdout:
        reason = done.stderr.decode(errors="replace").strip() or f"it ended with code {done.returncode}"
        raise RuntimeError(
            f"Graphviz could not draw this graph as {format}: {reason}. A smaller drawing may help (depth=1, or a "
            "smaller limit); its text is in .source"
        )
    if format == "pdf":  # the same program gives the same bytes, today and tomorrow
        return re.sub(rb"(/CreationDate ?\(D:)\d{14}", rb"\g<1>19700101000000", done.stdout)
    return _with_style(done.stdout) if format == "svg" else done.stdout


# The other process: reads DOT, writes the picture. (It must not import minigrad: Numba alone takes half a second.)
# `AGraph(string=...)` would need a temporary file, which a read-only container has no place for.
_PROGRAM = f"""
import sys
import pygraphviz
graph = pygraphviz.AGraph()
graph.read(sys.stdin.buffer)
if sys.argv[1] == "png":
    graph.graph_attr["dpi"] = "{DOTS_PER_INCH}"
sys.stdout.buffer.write(graph.draw(format=sys.argv[1], prog="dot"))
"""


def _with_style(svg: bytes) -> bytes:
    """Add the style sheet, and leave out the comments, which name the version of Graphviz."""
    text = re.sub(r"<!--.*?-->\n?", "", svg.decode(), flags=re.S)
    return re.sub(r"(<svg\b[^>]*>)", lambda found: found.group(1) + "\n" + _STYLE, text, count=1).encode()
