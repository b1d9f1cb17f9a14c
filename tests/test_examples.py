"""Every lesson runs as it stands, in a process of its own, and leaves a picture or a table."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LESSONS = sorted((ROOT / "examples").glob("[0-9]*.py"))


def test_there_are_lessons():
    assert len(LESSONS) >= 7


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda path: path.stem)
def test_a_lesson_runs(lesson: Path, tmp_path: Path):
    # One thread each: with more, a lesson that shares the machine with other tests waits for its second thread.
    threads = {"NUMBA_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    result = subprocess.run(
        [sys.executable, str(lesson)],
        cwd=tmp_path,
        env={**os.environ, **threads, "PYTHONPATH": str(ROOT), "MPLBACKEND": "Agg", "MINIGRAD_LESSONS": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert result.returncode == 0, result.stderr
    assert any(tmp_path.rglob("*.png")) or len(result.stdout.splitlines()) > 3


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda path: path.stem)
def test_a_lesson_is_short_and_opens_as_a_notebook(lesson: Path):
    lines = lesson.read_text(encoding="utf-8").splitlines()
    assert len(lines) < 100
    assert lines[0] == "# %% [markdown]"
    assert lines.count("# %%") >= 2
