"""The command that installs what is missing: into this Python, from where this minigrad came."""

import functools
import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

PROJECT = "minigrad"
"""The name of the distribution. No command here installs it by this name: on the index it is another project."""


def install_command(extra: str, package: str = "") -> str:
    """The command that installs an extra of minigrad here: for this Python, from where this minigrad came.

    A checkout is installed again, in place, with the extra, and so is a wheel that is still there. Of an installation
    from elsewhere, the packages of the extra are named one by one.

    Args:
        extra: such as "lab".
        package: what to install if nothing is known of the extra.

    Example:
        >>> install_command("viz")  # doctest: +SKIP
        "/srv/minigrad/.venv/bin/python -m pip install -e '/srv/minigrad[viz]'"
    """
    return pip_install(*_sources(extra) or [package or extra])


def pip_install(*arguments: str) -> str:
    """`pip install ...` as a shell command that installs into this Python, whether or not it has a pip of its own."""
    return _shell([*_pip(), *arguments])


def _shell(command: list[str]) -> str:
    return subprocess.list2cmdline(command) if os.name == "nt" else shlex.join(command)


def _pip() -> tuple[str, ...]:
    """The beginning of the command, up to "install"."""
    python = sys.executable or "python3"
    if importlib.util.find_spec("pip") is not None:
        return (python, "-m", "pip", "install")
    # An environment made with --without-pip: the Python that it was made from may have one, or another on the path.
    others = [getattr(sys, "_base_executable", None), shutil.which("python3"), shutil.which("python")]
    for other in dict.fromkeys(filter(None, others)):
        if other != python and _has_pip(other):
            return (other, "-m", "pip", "--python", python, "install")
    if shutil.which("uv"):
        return ("uv", "pip", "install", "--python", python)
    return ("python3", "-m", "pip", "--python", python, "install")


@functools.cache
def _has_pip(python: str) -> bool:
    """Does this other Python have a pip that knows --python?"""
    code = "import pip; raise SystemExit(tuple(map(int, pip.__version__.split('.')[:2])) < (22, 3))"
    try:
        done = subprocess.run([python, "-c", code], capture_output=True, timeout=20, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.SubprocessError):
        return False
    return done.returncode == 0


def _sources(extra: str) -> list[str]:
    """What to name to pip so that this minigrad gets the extra; empty if nothing is known."""
    checkout = Path(__file__).resolve().parent.parent
    if _project_in(checkout) == PROJECT:
        return ["-e", f"{checkout}[{extra}]"]
    try:
        distribution = metadata.distribution(PROJECT)
    except metadata.PackageNotFoundError:
        return []
    return _origin(distribution.read_text("direct_url.json"), extra) or _requirements(
        distribution.requires or [], extra
    )


def _project_in(folder: Path) -> str | None:
    """The name of the project whose root is this folder."""
    try:
        return tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]["name"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _origin(direct_url: str | None, extra: str) -> list[str]:
    """The file, folder or address that was installed (`direct_url.json`, PEP 610), if it is still there."""
    try:
        record = json.loads(direct_url or "")
        url, version_control = record["url"], record.get("vcs_info")
        parts = urlsplit(url)
    except (ValueError, KeyError, TypeError, AttributeError):
        return []
    if parts.scheme == "file" and not version_control:
        path = url2pathname(parts.path) if os.name == "nt" else unquote(parts.path)
        return [f"{path}[{extra}]"] if Path(path).exists() else []
    if version_control:
        url = f"{version_control['vcs']}+{url}@{version_control['commit_id']}"
    return [f"{PROJECT}[{extra}] @ {url}"]


def _requirements(requires: list[str], extra: str) -> list[str]:
    """The packages of an extra, by the names that the installed metadata give."""
    found = []
    for line in requires:
        requirement, _, marker = (part.strip() for part in line.partition(";"))
        wanted = rf"""\s*(?:\band\s+)?\bextra\s*==\s*['"]{re.escape(extra)}['"]"""
        if re.search(wanted, marker):
            rest = re.sub(r"^\s*and\s+", "", re.sub(wanted, "", marker)).strip()
            found.append(f"{requirement}; {rest}" if rest else requirement)
    named = re.compile(rf"{PROJECT}\s*\[([^\]]*)\]")
    whole: list[str] = []
    for requirement in found:  # an extra may be made of others of this project
        own = named.match(requirement)
        whole += [x for e in own[1].split(",") for x in _requirements(requires, e.strip())] if own else [requirement]
    return list(dict.fromkeys(whole))
