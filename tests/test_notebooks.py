"""The lessons as notebooks: they run from their own folder, and each shows its pictures and tables.

The lessons are Python files in the percent format, which editors and jupytext open as notebooks. Here they are turned
into notebook files and executed by nbconvert.
"""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from minigrad.install import install_command

ROOT = Path(__file__).resolve().parent.parent
LESSONS = sorted((ROOT / "examples").glob("[0-9]*.py"))

MISSING = [name for name in ("nbconvert", "ipykernel", "nbformat") if importlib.util.find_spec(name) is None]
REASON = f"{', '.join(MISSING)}: not installed; {install_command('test-notebooks')}" if MISSING else "all is here"


def cells(lesson: str) -> list[tuple[str, str]]:
    """(kind, text) of each cell of a lesson: `# %%` begins one, `# %% [markdown]` one of text in comments."""
    found = []
    for part in re.split(r"^# %%", lesson, flags=re.M)[1:]:
        head, _, body = part.partition("\n")
        if head.strip() == "[markdown]":
            found.append(("markdown", re.sub(r"^# ?", "", body.strip(), flags=re.M)))
        else:
            found.append(("code", body.strip()))
    return found


def notebook(lesson: str) -> str:
    made: list[dict[str, Any]] = []
    for i, (kind, text) in enumerate(cells(lesson)):
        cell: dict[str, Any] = {"cell_type": kind, "id": f"cell-{i}", "metadata": {}, "source": text}
        made.append(cell | ({"execution_count": None, "outputs": []} if kind == "code" else {}))
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return json.dumps({"cells": made, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5})


def shown(executed: Path) -> tuple[int, int]:
    """Numbers of images and of tables in the outputs. A table is three lines or more with columns."""
    images = tables = 0
    for cell in json.loads(executed.read_text(encoding="utf-8"))["cells"]:
        lines = "".join(text for output in cell.get("outputs", ()) for text in output.get("text", ())).splitlines()
        tables += len([line for line in lines if re.search(r"\S {2,}\S", line)]) >= 3
        for output in cell.get("outputs", ()):
            data = output.get("data", {})
            images += any(kind.startswith("image/") for kind in data)
            images += "<img" in "".join(data.get("text/html", ()))
    return images, tables


@pytest.mark.skipif(bool(MISSING), reason=REASON)
@pytest.mark.parametrize("lesson", LESSONS, ids=lambda path: path.stem)
def test_a_lesson_runs_as_a_notebook_in_its_own_folder(lesson: Path, tmp_path: Path):
    folder = tmp_path / "examples"
    shutil.copytree(lesson.parent, folder, ignore=shutil.ignore_patterns("runs", "__pycache__"))
    text = lesson.read_text(encoding="utf-8")
    (folder / f"{lesson.stem}.ipynb").write_text(notebook(text), encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if name not in ("MPLBACKEND", "MINIGRAD_LESSONS")}
    environment |= {"NUMBA_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    environment |= {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "nbconvert", "--to", "notebook", "--execute", "--output", "executed"]
    result = subprocess.run(
        [*command, f"{lesson.stem}.ipynb"], cwd=folder, env=environment, capture_output=True, text=True, timeout=400
    )
    assert result.returncode == 0, result.stderr[-3000:]
    images, tables = shown(folder / "executed.ipynb")
    saved = len(re.findall(r"\.(?:save|savefig)\(", text))
    if saved:  # a lesson that draws shows what it draws
        assert images >= 1, "no picture in the notebook"
    assert images + tables >= 1, "neither a picture nor a table in the notebook"


def test_cells_are_those_of_the_percent_format():
    lesson = "# %% [markdown]\n# # Title\n#\n# Text.\n\n# %%\na = 1\n\n\n# %%\na\n"
    assert cells(lesson) == [("markdown", "# Title\n\nText."), ("code", "a = 1"), ("code", "a")]
