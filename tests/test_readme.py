"""The README's Python runs: each ```python block, in order, in one namespace."""

import os
import re
from pathlib import Path

import pytest

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
