"""`minigrad norms`: the catalogue as a table, and one method in full.

The output is plain text, as wide as the terminal. Only a terminal gets colours.
"""

import inspect
import os
import re
import shutil
import string
import sys
import textwrap
import unicodedata
from itertools import product, zip_longest
from typing import Any

from minigrad.lab import models
from minigrad.lab.catalogue import CATALOGUE, CENTER, ENTRIES, FAMILIES, Entry, Example, Sharing, find

NARROWEST, WIDEST = 60, 180


def show(name: str | None = None) -> None:
    """The command: print the table, or the method called `name`.

    Raises:
        UnknownName: there is no such method.
    """
    entry = None if name is None else CATALOGUE[find(name, option="NAME")]
    width = min(max(shutil.get_terminal_size().columns, NARROWEST), WIDEST)
    lines = table(width) if entry is None else page(entry, width)
    colours = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    text = "\n".join(colour(line) if colours else line.replace(HEADING, "") for line in lines)
    encoding = sys.stdout.encoding or "utf-8"
    try:
        "■".encode(encoding)
    except UnicodeEncodeError:  # a terminal without ■ or γ shows plainer marks and question marks, and no error
        text = text.translate(str.maketrans("■□◆·", "#o@.")).encode(encoding, "replace").decode(encoding)
    print(text, flush=True)


HEADING = "\x02"
"""Stands before a line that is a heading."""


def colour(line: str) -> str:
    """Headings bold, the elements that share a statistic in colour."""
    if line.startswith(HEADING):
        return f"\x1b[1m{line[1:]}\x1b[0m"
    return re.sub("[■◆]+(?: ■+)*", "\x1b[36m\\g<0>\x1b[0m", line)


# -- text ---------------------------------------------------------------------------------------------------


def length(text: str) -> int:
    """How many columns a text takes: the hat of x̂ takes none."""
    return sum(not unicodedata.combining(c) for c in text)


def pad(text: str, width: int) -> str:
    return text + " " * (width - length(text))


def wrap(text: str, width: int, first: str = "", rest: str = "") -> list[str]:
    return textwrap.wrap(text, width, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False)


def beside(columns: list[tuple[list[str], int]]) -> list[str]:
    """Columns of lines, each (lines, width), side by side."""
    widths = [width for _, width in columns]
    rows = zip_longest(*(lines for lines, _ in columns), fillvalue="")
    return ["  ".join(map(pad, row, widths)).rstrip() for row in rows]


# -- which elements share statistics, drawn -----------------------------------------------------------------


def small(entry: Entry) -> list[str]:
    """A line for each channel, a block for each sample, a mark for each place: ■ shares the statistic, · does not.

    If there are several statistics, ■ shares all of them and □ some.

    Example:
        >>> print("\\n".join(small(CATALOGUE["group"])))
        ■■■ ··· ··· ···
        ■■■ ··· ··· ···
        ··· ··· ··· ···
        ··· ··· ··· ···
    """
    samples, channels, places = entry.example.shape

    def mark(n: int, c: int, s: int) -> str:
        shared = [sharing.marked(n, c, s) for sharing in entry.sharing]
        return "·" if not any(shared) else "■" if all(shared) else "□"

    return [
        " ".join("".join(mark(n, c, s) for s in range(places)) for n in range(samples)) for c in range(channels)
    ]  # fmt: skip


def large(sharing: Sharing, example: Example) -> list[str]:
    """The same with names on the axes. Elements that share another statistic have the same letter.

    Example:
        >>> from minigrad.lab.catalogue import ACTIVATIONS, GROUP
        >>> print("\\n".join(large(GROUP, ACTIVATIONS)))
                   sample 1  sample 2  sample 3  sample 4
        channel 1  ■ ■ ■     b b b     d d d     f f f
        channel 2  ■ ■ ■     b b b     d d d     f f f
        channel 3  a a a     c c c     e e e     g g g
        channel 4  a a a     c c c     e e e     g g g
    """
    samples, channels, places = example.shape
    letters: dict[Any, str] = {}

    def mark(n: int, c: int, s: int) -> str:
        if sharing.window is not None and (n, c, s) == CENTER:
            return "◆"
        if sharing.marked(n, c, s):
            return "■"
        if sharing.group is None:
            return "·"
        return letters.setdefault(sharing.group(n, c, s), string.ascii_letters[len(letters)])

    blocks: list[list[str]] = [[f"{example.line} {c + 1}" for c in range(channels)]]
    for n in range(samples):
        blocks.append([" ".join(mark(n, c, s) for s in range(places)) for c in range(channels)])
    heads = ["", *(f"{example.block} {n + 1}" for n in range(samples))]
    return beside([([h, *b], max(map(length, (h, *b)))) for h, b in zip(heads, blocks, strict=True)])


def drawing(entry: Entry) -> list[str]:
    """The large drawings of all statistics of a method, and what the marks mean."""
    if not entry.sharing:
        return ["The elements share nothing: each is changed by itself."]
    lines: list[str] = []
    for i, sharing in enumerate(entry.sharing):
        lines += [""] * bool(i) + [f"{sharing.what}:"] * bool(sharing.what) + large(sharing, entry.example)
    places = entry.example.places and f"The marks side by side are {entry.example.places}. "
    if entry.sharing[0].window is not None:
        return [
            *lines,
            f"{places}The element ◆ is normalized by the elements ■ and by itself. Every element has its own window.",
        ]
    elements = list(product(*map(range, entry.example.shape)))
    letters = any(not sharing.marked(*at) for sharing in entry.sharing for at in elements)
    return [
        *lines,
        f"{places}The elements ■ share one statistic"
        + ("; elements with the same letter share another." if letters else "."),
    ]


# -- the table ----------------------------------------------------------------------------------------------


def table(width: int) -> list[str]:
    """The catalogue in a table of this width, with five lines for each method."""
    spare = width - 79
    columns = {
        "name": 15 + min(4, spare // 8 if spare > 0 else 0),
        "shared by": 15,
        "learned": 15 + max(0, min(12, 3 * spare // 10)),
        "in evaluation": 14 + max(0, min(12, 3 * spare // 10)),
        "paper": 12 + max(0, min(10, spare // 4)),
    }
    if width < 79:  # a narrow terminal
        columns = {"name": 15, "shared by": 15, "learned": 13, "paper": 11}
    rest = width - sum(columns.values()) - 2 * len(columns)
    if rest >= 24:
        columns["formula"] = rest
    lines = [
        *wrap(
            "The drawings show which elements share a statistic, for 4 samples (N, a block each), 4 channels (C, a "
            "line each) and 3 places in space (S, the marks in a block). The elements ■ share one statistic; the "
            "elements · have another one, or none; the elements □ share only one of several. In drawings of text, "
            "lines are features and marks are words. In drawings of weights, blocks are output units and lines are "
            "inputs. In drawings of inputs, lines are features.",
            width,
        ),
        "",
        HEADING + beside([([head], w) for head, w in columns.items()])[0],
    ]
    for family, title in FAMILIES.items():
        lines += ["", HEADING + title]
        for entry in ENTRIES:
            if entry.family == family:
                lines += ["", *beside([(cell(entry, head, w), w) for head, w in columns.items()])]
    return [
        *lines,
        "",
        *wrap("minigrad norms NAME shows one method in full; minigrad compare --norm NAME trains it.", width),
    ]


def cell(entry: Entry, column: str, width: int) -> list[str]:
    """What stands in a column of the table."""
    if column == "shared by":
        return small(entry)
    if column == "formula":
        return [line for text in formula(entry) for line in wrap(text, width, rest="  ")]
    if column == "name":
        return [line.replace(" ", "_") for line in broken(entry.name.replace("_", " "), width)]
    text = {"learned": entry.learns, "in evaluation": entry.evaluation, "paper": short(entry.paper)}[column]
    return wrap(text, width)


def broken(text: str, width: int) -> list[str]:
    """A name over several lines, all but the last ending in a space."""
    lines = wrap(text, width)
    return [line + " " * (i < len(lines) - 1) for i, line in enumerate(lines)]


def short(paper: str) -> str:
    """ "Ba, Kiros & Hinton, arXiv 1607.06450" as "Ba et al. 1607.06450"."""
    if not paper:
        return "–"
    authors, number = paper.rsplit(", ", 1)
    names = re.split(", | & ", authors)
    return (authors if len(names) <= 2 else f"{names[0]} et al.") + " " + number.removeprefix("arXiv ")


def formula(entry: Entry) -> list[str]:
    """The lines of the docstring's formula, its second paragraph."""
    paragraphs = entry.doc.split("\n\n")
    found = paragraphs[1] if len(paragraphs) > 1 and " = " in paragraphs[1] else ""
    return [" ".join(line.split()) for line in found.splitlines()]


# -- one method ---------------------------------------------------------------------------------------------

DECISIONS = ("shared by", "statistic", "applied by", "capacity by")


def page(entry: Entry, width: int) -> list[str]:
    """One method in full: the drawing, how to call it, and the docstring of its function."""
    lines = [
        HEADING + entry.title[0].upper() + entry.title[1:],
        FAMILIES[entry.family],
        "",
        HEADING + "Which elements share a statistic",
    ]
    lines += [line for text in drawing(entry) for line in ([text] if "  " in text else wrap(text, width) or [""])]
    facts = {"learned": entry.learns, "in evaluation": entry.evaluation, "compare": compared(entry.name)}
    lines += ["", HEADING + "In short"]
    lines += [line for head, text in facts.items() for line in wrap(text, width, f"{head:<15}", " " * 15)]
    lines += ["", HEADING + "Names"]
    calls: dict[str, list[str]] = {}  # BatchNorm1d, BatchNorm2d and BatchNorm3d are called alike
    for place, thing in entry.objects.items():
        calls.setdefault(signature(thing), []).append(f"mg.{place}")
    for call, places in calls.items():
        lines += wrap(", ".join(places) + call, width, rest="    ")
    return [*lines, "", *explained(entry.doc, width)]


def compared(name: str) -> str:
    """How `minigrad compare` takes the method."""
    return models.NORMS[name].about(name)


def signature(thing: Any) -> str:
    """All arguments and defaults of a call, without types.

    Example:
        >>> from minigrad.nn import functional as F
        >>> signature(F.layer_norm)
        '(input, normalized_shape, weight=None, bias=None, eps=1e-05)'
    """
    found = inspect.signature(thing)
    bare = [p.replace(annotation=inspect.Parameter.empty) for p in found.parameters.values()]
    return str(found.replace(parameters=bare, return_annotation=inspect.Signature.empty))


def explained(doc: str, width: int) -> list[str]:
    """A docstring for the terminal: paragraphs wrapped, the four decisions one by one, sections under headings."""
    lines: list[str] = []
    for number, block in enumerate(doc.split("\n\n")):
        head, _, body = block.partition("\n")
        indented = all(line.startswith("    ") for line in block.splitlines())
        if number:
            lines.append("")
        if head.endswith(":") and body.startswith("    "):
            lines.append(HEADING + {"Args:": "Arguments", "Raises:": "Errors"}.get(head, head[:-1]))
            lines += section(body, width)
        elif "(1)" in block and "(4)" in block:
            lines += decisions(" ".join(block.split()), width)
        elif indented or (number == 1 and re.search(" [=←] ", head)):
            lines += [part for line in block.splitlines() for part in narrowed(line.strip(), width - 4)]
        else:
            for part in re.split(r"\n(?=- |\d\. )", block):
                lines += wrap(" ".join(part.split()), width, rest="  " if part[0] in "-123456789" else "")
    return lines


def narrowed(line: str, width: int) -> list[str]:
    """A formula's line, indented; if it is too long, each part that wide gaps set off has a line of its own."""
    if length(line) <= width:
        return [" " * 4 + line]
    return [text for part in re.split("  +", line) for text in wrap(part, width + 4, " " * 4, " " * 8)]


def section(body: str, width: int) -> list[str]:
    """The lines of "Args:" and the like: each entry wrapped by itself; examples as they are."""
    lines = body.splitlines()
    if lines[0].lstrip().startswith(">>>"):
        return lines
    entries: list[str] = []
    before = ""
    for line in lines:
        # A line continues the one before if it is indented further, or had no room there.
        full = len(before) + len(line.split()[0]) > 105 and not re.match(r"[\w*, ]+: ", line)
        if entries and (line.startswith(" " * 5) or full):
            entries[-1] += " " + line.strip()
        else:
            entries.append(line.strip())
        before = line
    return [line for entry in entries for line in wrap(entry, width, " " * 4, " " * 8)]


def decisions(text: str, width: int) -> list[str]:
    """The paragraph of the four decisions, a line for each."""
    before, *parts = re.split(r"[,;:.]?\s*\([1-4]\)\s*", text)
    *parts, last = parts
    end = re.search(r"\.(?= [A-ZΓ-ω`])|\.$", last)
    last, after = (last[: end.start()], last[end.end() :].strip()) if end else (last, "")
    lines = wrap(before.removesuffix(":") + ":", width)
    for i, (head, part) in enumerate(zip(DECISIONS, [*parts, last], strict=True), 1):
        lines += wrap(part, width, f"({i}) {head:<13}", " " * 17)
    return lines + (["", *wrap(after, width)] if after else [])
