"""Suggestions for unknown names are near, or there are none; and a message names the command once."""

import re
import sys
from pathlib import Path
from typing import Any

import pytest

from minigrad import cli
from minigrad.lab.catalogue import CATALOGUE
from minigrad.suggest import nearest
from minigrad.viz.explainer.methods import OPERATIONS

NORMS = list(CATALOGUE)


@pytest.mark.parametrize(
    ("typed", "meant", "known"),
    [
        ("bacth", "batch", NORMS),
        ("Batch_Renrom", "batch_renorm", NORMS),
        ("instnace", "instance", NORMS),
        ("groupnorm", "group_norm", OPERATIONS),
        ("linaer", "linear", OPERATIONS),
        ("conv", "conv2d", OPERATIONS),
        ("--valeus", "--values", ["--view", "--values", "--fold"]),
        ("--seed", "--seeds", ["--lr", "--seeds"]),
        ("fashion", "fashion-mnist", ["mnist", "fashion-mnist"]),
        ("explian", "explain", ["compare", "norms", "explain", "graph"]),
        ("Linear2", "Linear1", ["Conv1", "Linear1"]),
    ],
)
def test_the_nearest_name(typed: str, meant: str, known: Any):
    assert nearest(typed, known) == f"; did you mean {meant!r}?"


@pytest.mark.parametrize(
    ("typed", "known"),
    [
        *[(typed, NORMS) for typed in ("transformer", "foo", "x", "", "nonsense", "dropout", "aaaaa", "norm2")],
        *[(typed, OPERATIONS) for typed in ("attention", "sigmoid", "embedding", "pooling", "tensor", "b")],
        *[(typed, ["compare", "norms", "explain", "graph"]) for typed in ("train", "plot", "run", "help", "version")],
        *[(typed, ["--lr", "--seeds", "--out", "-o"]) for typed in ("--learning-rate", "-z", "--verbose", "--gpu")],
        ("mean", ["mlp", "cnn"]),
        ("a", ["b"]),
        ("ab", ["cd", "ax"]),
    ],
)
def test_no_name_is_near(typed: str, known: Any):
    assert nearest(typed, known) == "."


MISUSE = [
    ["norms", "nonsense"],
    ["explain", "nonsense"],
    ["explain", "batch_norm", "--shape", "4"],
    ["explain", "batch_norm", "--values", "nowhere.csv"],
    ["explain", "batch_norm", "--text", "--break", "nonsense"],
    ["explain", "linear", "-o", "x.pdf"],
    ["explain", "linear", "-o", "nowhere/x.html"],
    ["explain", "linear", "--eps", "1"],
    ["explain"],
    ["graph", "-o", "x.jpg"],
    ["graph", "-o", "nowhere/x.dot"],
    ["graph", "--depth", "-1"],
    ["graph", "--depth", "x"],
    ["graph", "--norm", "nonsense"],
    ["graph", "nowhere.py:f"],
    ["graph", "nothing"],
    ["graph", "PROGRAM:number"],
    ["graph", "PROGRAM:nothing"],
    ["graph", "PROGRAM:square"],
    ["graph", "PROGRAM:three"],
    ["graph", "PROGRAM:fails"],
    ["compare", "--norm", "nonsense"],
    ["compare", "--lr", "x"],
    ["compare", "--resume", "nowhere"],
    ["compare", "--resume", "nowhere", "--lr", "1"],
    ["compare", "--out", "report.html"],
    ["compare", "--nonsense"],
    ["nonsense"],
    ["--nonsense"],
]
PROGRAM = """
number = 3
square = lambda x: x * x
three = lambda: 3
def fails():
    raise ValueError("graph: of mine")
"""


def complaint(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    try:
        code = cli.main(arguments)
    except SystemExit as stop:
        code = stop.code
    assert code in (1, 2)
    lines = capsys.readouterr().err.splitlines()
    return next(line for line in lines if not line.startswith("minigrad: compiling"))


@pytest.mark.parametrize("arguments", MISUSE, ids=" ".join)
def test_a_message_names_the_command_once(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "program.py").write_text(PROGRAM)
    line = complaint([a.replace("PROGRAM", "program.py") for a in arguments], capsys)
    command = arguments[0] if arguments[0] in ("norms", "explain", "graph", "compare") else ""
    assert re.match(rf"minigrad{command and ' ' + command}( \w+)?: \S", line), line
    rest = line.partition(": ")[2]
    assert not rest.startswith((f"{command}: ", "minigrad ", "minigrad: ")) or not command, line
    assert not re.match(rf"{command} \w+: ", rest) or not command, line


@pytest.mark.parametrize(
    ("module", "arguments"), [("graphviz", ["graph"]), ("matplotlib", ["compare"]), ("rich.console", ["compare"])]
)
def test_so_does_the_message_about_a_missing_package(
    module: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setitem(sys.modules, module, None)
    assert complaint(arguments, capsys).count(f"minigrad {arguments[0]}") == 1


def test_what_is_written_in_a_name_does_not_reach_the_terminal(capsys: pytest.CaptureFixture[str]):
    line = complaint(["explain", "a\x1b[31mb\x07"], capsys)
    assert "\x1b" not in line and "\x07" not in line
    line = complaint(["graph", "no\x1b]0;where.py:f"], capsys)
    assert line.isprintable() and "x1b" in line
