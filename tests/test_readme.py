"""The README: its Python runs, and its numbers and pictures are those that the programs print and draw today."""

import importlib.util
import os
import re
import sys
import types
from pathlib import Path
from typing import Any

import pytest

import minigrad as mg

README = Path(__file__).resolve().parent.parent / "README.md"
TEXT = README.read_text(encoding="utf-8") if README.exists() else ""


def blocks(language: str) -> list[tuple[int, str]]:
    """Line number and text of each block."""
    return [
        (TEXT[: match.start()].count("\n") + 2, match.group(1))
        for match in re.finditer(rf"^```{language}\n(.*?)^```", TEXT, re.M | re.S)
    ]


def test_the_python_blocks_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    found = blocks("python")
    assert found, "the README shows no Python"
    monkeypatch.chdir(tmp_path)  # pictures and files that it writes go there
    monkeypatch.setitem(os.environ, "MPLBACKEND", "Agg")
    namespace: dict[str, object] = {"__name__": "readme"}
    for line, code in found:
        # Blank lines before it make line numbers in tracebacks those of the README.
        exec(compile("\n" * (line - 1) + code, str(README), "exec"), namespace)


def test_every_link_to_a_file_leads_somewhere():
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)|<img[^>]*src=\"([^\"]+)\"", TEXT):
        path = target[0] or target[1]
        if "://" not in path and not path.startswith("mailto:"):
            assert (README.parent / path).exists(), f"README links to {path}, which is not there"


# -- numbers and pictures: tools/regenerate.py ------------------------------------------------------------


@pytest.fixture
def regenerate(monkeypatch: pytest.MonkeyPatch) -> Any:
    path = README.parent / "tools" / "regenerate.py"
    spec = importlib.util.spec_from_file_location("regenerate", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "regenerate", module)
    spec.loader.exec_module(module)
    return module


def test_what_is_recorded_is_what_the_readme_shows(regenerate: Any) -> None:
    """Numbers, sentences and pictures; `.ci/run` computes the cheap ones anew as well."""
    assert regenerate.recorded()
    for name in regenerate.recorded():
        assert regenerate.stale(name, TEXT) == [], name


def test_every_marked_block_has_a_maker(regenerate: Any) -> None:
    marked = [match[1] for match in regenerate.MARKED.finditer(TEXT)]
    assert len(marked) == len(set(marked)) == TEXT.count("<!-- end -->") == TEXT.count("<!-- begin: ")
    made = set()
    for name, record in regenerate.recorded().items():
        made |= {f"{name}/{part}" for part in regenerate.ITEMS[name].render(record["values"])}
    assert made <= set(marked)
    for name in marked:
        assert name.partition("/")[0] in regenerate.ITEMS
        assert name in made or name.partition("/")[0] not in regenerate.recorded()


def test_no_table_of_numbers_and_no_picture_is_made_by_hand(regenerate: Any) -> None:
    unmarked = regenerate.MARKED.sub("", TEXT)
    rows = [line for line in unmarked.splitlines() if re.match(r"\|.*\d\.\d.*\|.*\d\.\d", line)]
    assert rows == []
    made = {f"docs/{picture}" for item in regenerate.ITEMS.values() for picture in item.pictures}
    shown = set(re.findall(r"docs/[\w.-]+\.(?:png|svg|gif)", TEXT))
    there = {f"docs/{path.name}" for path in (README.parent / "docs").iterdir() if path.suffix != ".json"}
    assert shown == made == there


def test_the_commands_in_the_readme_are_those_that_made_the_numbers(regenerate: Any) -> None:
    for name in ("comparison", "small-batches", "graph", "landscape", "boundaries", "benchmark", "norms"):
        command = regenerate.ITEMS[name].command.removeprefix("python ").replace("-m minigrad", "minigrad")
        assert command in TEXT, name


def test_numbers_of_the_data_in_the_text() -> None:
    train, test = mg.data.load("digits")
    lesson = next((README.parent / "examples").glob("04_*.py")).read_text(encoding="utf-8")
    assert f"{len(train):,} scanned digits to learn from, {len(test)} to be tested on" in lesson
    assert f"The {len(test)} test images" in TEXT


@pytest.mark.parametrize(
    ("item", "old", "new", "exact", "found"),
    [
        ("comparison", {"a.accuracy": "96.2 ± 0.3"}, {"a.accuracy": "96.2 ± 0.3"}, True, False),
        ("comparison", {"a.accuracy": "96.2 ± 0.3"}, {"a.accuracy": "95.9 ± 0.3"}, True, True),
        ("comparison", {"a.accuracy": "96.2 ± 0.3"}, {"a.accuracy": "94.9 ± 0.9"}, False, False),
        ("comparison", {"a.accuracy": "96.2 ± 0.3"}, {"a.accuracy": "91.9 ± 0.3"}, False, True),
        ("comparison", {"a.time": "2409"}, {"a.time": "9999"}, True, False),
        ("comparison", {"a.epochs": "never"}, {"a.epochs": "6.0"}, False, True),
        ("comparison", {"a.gain": "−20.3 (−23.9 … −16.7)"}, {"a.gain": "+20.3 (+16.7 … +23.9)"}, False, True),
        ("comparison", {"a.loss": "1"}, {}, False, True),
        ("landscape", {"layer.accuracy": "90.8 to 91.6"}, {"layer.accuracy": "91.9 to 93.0"}, True, True),
        ("landscape", {"layer.accuracy": "90.8 to 91.6"}, {"layer.accuracy": "94.9 to 95.0"}, False, True),
        ("landscape", {"batch.whole": "3.8"}, {"batch.whole": "3.7 to 3.9"}, False, False),
        ("landscape", {"batch.whole": "3.8"}, {"batch.whole": "3.7 to 38"}, False, True),
        ("norms", {"group": "a a b"}, {"group": "a b b"}, False, True),
        ("norms", {"count": 40}, {"count": 41}, False, True),
        ("graph", {"texts": ["x 1.250", "y"]}, {"texts": ["x 1.251", "y"]}, False, False),
        ("graph", {"texts": ["x 1.250", "y"]}, {"texts": ["x 1.250", "z"]}, False, True),
    ],
)
def test_what_counts_as_a_difference(regenerate: Any, item: str, old: Any, new: Any, exact: bool, found: bool) -> None:
    assert bool(regenerate.differences(item, old, new, exact)) == found


@pytest.fixture
def workshop(regenerate: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The command with a README of its own, and two items: one that draws and counts, and one that can fail."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text(
        "It is <!-- begin: one/count -->3<!-- end --> long, very long.\n<!-- begin: two/word -->old<!-- end -->\n"
    )
    for name, path in {"README": "README.md", "NUMBERS": "docs/numbers.json", "WORK": "work", "ROOT": "."}.items():
        monkeypatch.setattr(regenerate, name, tmp_path / path)
    state: dict[str, Any] = {"count": 4, "error": None, "sources": "s", "calls": []}

    def one(item: Any, folder: Path) -> Any:
        state["calls"].append("one")
        (folder / "p.png").write_bytes(b"picture")
        return {"count": state["count"]}

    def two(item: Any, folder: Path) -> Any:
        state["calls"].append("two")
        if state["error"] is not None:
            raise state["error"]
        return {"word": "new"}

    item = regenerate.Item
    items = {
        "one": item(
            "c", one, lambda v: {"count": str(v["count"])}, {"very long": lambda v: v["count"] > 1}, ("p.png",)
        ),
        "two": item("c", two, lambda v: {"word": v["word"]}),
        "three": item("c", two, on_request=True, cheap=False),
    }
    monkeypatch.setattr(regenerate, "ITEMS", items)
    monkeypatch.setattr(regenerate, "sources", lambda: state["sources"])

    def run(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["regenerate.py", *arguments])
        state["calls"].clear()
        return regenerate.main()

    return types.SimpleNamespace(run=run, state=state, folder=tmp_path, readme=tmp_path / "README.md")


def test_one_command_writes_numbers_and_pictures_and_does_each_once(workshop: Any) -> None:
    assert workshop.run() == 0 and workshop.state["calls"] == ["one", "two"]
    assert workshop.readme.read_text() == (
        "It is <!-- begin: one/count -->4<!-- end --> long, very long.\n<!-- begin: two/word -->new<!-- end -->\n"
    )
    assert (workshop.folder / "docs" / "p.png").read_bytes() == b"picture"
    assert workshop.run() == 0 and workshop.state["calls"] == []
    assert workshop.run("two", "three") == 0 and workshop.state["calls"] == ["two", "two"]
    workshop.state["sources"] = "others"
    assert workshop.run() == 0 and workshop.state["calls"] == ["one", "two"]
    assert workshop.run("--force") == 0 and workshop.state["calls"] == ["one", "two"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("no")])
def test_what_is_done_is_kept_when_another_fails(workshop: Any, error: BaseException) -> None:
    workshop.state["error"] = error
    assert workshop.run() == (130 if isinstance(error, KeyboardInterrupt) else 1)
    assert "4<!-- end --> long" in workshop.readme.read_text() and "old" in workshop.readme.read_text()
    workshop.state["error"] = None
    assert workshop.run() == 0 and workshop.state["calls"] == ["two"]


def test_checking_finds_what_is_stale(workshop: Any, capsys: pytest.CaptureFixture[str]) -> None:
    def findings() -> str:
        paths = [workshop.readme, *(workshop.folder / "docs").iterdir()]
        before = {path: path.read_bytes() for path in paths}
        code = workshop.run("--check")
        assert all(path.read_bytes() == content for path, content in before.items())  # it changes nothing
        text = capsys.readouterr().out.strip().rpartition("\n\n")[2]
        assert (code == 1) == (": " in text.splitlines()[-1] and "good" not in text.splitlines()[-1])
        return text

    assert "one: docs/numbers.json has no numbers: python tools/regenerate.py one" in findings()
    workshop.run()
    capsys.readouterr()
    assert workshop.run("--check") == 0 and workshop.state["calls"] == ["one", "two"]
    capsys.readouterr()
    workshop.state["count"] = 5
    assert "one: count: recorded 4, now 5" in findings()
    workshop.state["count"] = 4
    (workshop.folder / "docs" / "p.png").write_bytes(b"another")
    assert "one: docs/p.png is not the picture" in findings()
    workshop.run("--force")
    text = workshop.readme.read_text()
    workshop.readme.write_text(text.replace(">4<", ">3<"))
    assert "one: README.md does not show the numbers" in findings()
    workshop.readme.write_text(text.replace("very long", "quite long"))
    assert 'says "very long" any more' in findings()
    workshop.readme.write_text(text)
    workshop.state["count"] = 1
    assert workshop.run("one") == 1
    assert 'says "very long", and the numbers do not' in capsys.readouterr().out


def test_a_readme_without_a_place_for_a_number_is_an_error(workshop: Any, capsys: pytest.CaptureFixture[str]) -> None:
    workshop.readme.write_text("no marks")
    assert workshop.run("two") == 1
    assert "README.md has no place for two/word" in capsys.readouterr().out
