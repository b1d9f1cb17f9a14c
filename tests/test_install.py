"""The command that an error prints where a package is missing: it must install the right thing, into this Python."""

import json
import os
import re
import shlex
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from minigrad import install
from minigrad.extras import require

ROOT = Path(__file__).resolve().parent.parent


class Installed:
    """What `importlib.metadata` tells of an installation."""

    def __init__(self, direct_url: object = None, requires: tuple[str, ...] = ()):
        self.text = None if direct_url is None else json.dumps(direct_url)
        self.requires = list(requires)

    def read_text(self, name: str) -> str | None:
        assert name == "direct_url.json"
        return self.text


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """minigrad as in site-packages: no checkout around it, and metadata as given."""
    monkeypatch.setattr(install, "__file__", str(tmp_path / "site-packages" / "minigrad" / "install.py"))

    def set_metadata(*arguments: object) -> None:
        monkeypatch.setattr(metadata, "distribution", lambda name: Installed(*arguments))  # type: ignore[arg-type]

    return set_metadata


def packages(extra: str, package: str = "") -> list[str]:
    """What the command installs, as the shell hands it over."""
    words = shlex.split(install.install_command(extra, package))
    return words[words.index("install") + 1 :]


def test_a_checkout_is_installed_in_place():
    assert packages("viz") == ["-e", f"{ROOT}[viz]"]
    assert shlex.quote(sys.executable) in install.install_command("viz")


def test_a_checkout_in_a_folder_with_an_awkward_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    folder = tmp_path / "it's $(here) & [there]"
    (folder / "minigrad").mkdir(parents=True)
    (folder / "pyproject.toml").write_text('[project]\nname = "minigrad"\n')
    monkeypatch.setattr(install, "__file__", str(folder / "minigrad" / "install.py"))
    python = str(tmp_path / "my python")
    monkeypatch.setattr(sys, "executable", python)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    printed = subprocess.run(
        ["sh", "-c", "for word in " + install.install_command("lab") + '; do printf "%s\\n" "$word"; done'],
        capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    assert printed == [python, "-m", "pip", "install", "-e", f"{folder}[lab]"]


def test_a_wheel_that_is_still_there(elsewhere, tmp_path: Path):
    wheel = tmp_path / "my dist" / "minigrad-1.0-py3-none-any.whl"
    wheel.parent.mkdir()
    wheel.touch()
    elsewhere({"archive_info": {}, "url": wheel.as_uri()}, ("rich>=13; extra == 'lab'",))
    assert packages("lab") == [f"{wheel}[lab]"]
    wheel.unlink()
    assert packages("lab") == ["rich>=13"]


def test_what_came_from_an_address(elsewhere):
    elsewhere({"archive_info": {}, "url": "https://example.org/minigrad.whl"})
    assert packages("lab") == ["minigrad[lab] @ https://example.org/minigrad.whl"]
    elsewhere({"vcs_info": {"vcs": "git", "commit_id": "abc"}, "url": "https://example.org/minigrad"})
    assert packages("lab") == ["minigrad[lab] @ git+https://example.org/minigrad@abc"]


def test_from_an_unknown_place_the_packages_are_named(elsewhere):
    requires = (
        "numpy>=2",
        "rich>=13 ; extra == 'lab'",
        'tomli>=2; python_version < "3.12" and extra == "lab"',
        "graphviz>=0.20; extra == 'viz'",
        "minigrad[lab,viz]; extra == 'test'",
        "pytest[x]>=8; extra == 'test'",
    )
    elsewhere(None, requires)
    assert packages("lab") == ["rich>=13", 'tomli>=2; python_version < "3.12"']
    assert packages("test") == ["rich>=13", 'tomli>=2; python_version < "3.12"', "graphviz>=0.20", "pytest[x]>=8"]
    for broken in ("junk", {}, {"url": 3}, []):
        elsewhere(broken, requires)
        assert packages("viz") == ["graphviz>=0.20"]


def test_without_metadata_the_package_itself_is_named(elsewhere, monkeypatch: pytest.MonkeyPatch):
    def missing(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", missing)
    assert packages("lab", "rich") == ["rich"]


@pytest.mark.parametrize("extra", ["lab", "viz", "mpi", "test", "test-browser", "dev"])
def test_no_command_asks_the_index_for_minigrad(extra: str, elsewhere):
    """The name belongs to another project there."""
    real = metadata.metadata("minigrad").get_all("Requires-Dist") or []
    elsewhere(None, tuple(real))
    found = packages(extra)
    assert found and not [x for x in found if re.match(r"minigrad\b", x) and "@" not in x], found


def test_an_environment_without_pip_is_served_by_another_python(tmp_path: Path):
    """As in the README: `python3 -m venv --without-pip`."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "v"], check=True, timeout=120)
    python = tmp_path / "v" / ("Scripts" if os.name == "nt" else "bin") / "python"
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT / 'minigrad')!r})\n"
        "import install; print(install.install_command('viz'))"
    )
    # In an activated environment `python3` is the one without pip.
    environment = {**os.environ, "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}"}
    result = subprocess.run([python, "-c", code], capture_output=True, text=True, env=environment, check=True)
    words = shlex.split(result.stdout)
    at = words.index("install")
    assert words[at + 1 :] == ["-e", f"{ROOT}[viz]"]
    assert "--python" in words and words[words.index("--python") + 1] == str(python)
    if words[1:3] == ["-m", "pip"]:  # that Python exists, and its pip agrees to work on this environment
        asked = subprocess.run([*words[:at], "--version"], capture_output=True, text=True, check=False)
        assert asked.returncode == 0 and words[0] != str(python), asked.stderr


def test_an_environment_without_any_pip_is_served_by_uv(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr(install, "_has_pip", lambda python: False)
    monkeypatch.setattr("shutil.which", lambda name: "/usr/bin/uv" if name == "uv" else None)
    assert shlex.split(install.pip_install("rich")) == ["uv", "pip", "install", "--python", sys.executable, "rich"]
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert shlex.split(install.pip_install("a<2", "b c")) == [
        "python3", "-m", "pip", "--python", sys.executable, "install", "a<2", "b c",
    ]  # fmt: skip


def test_the_error_of_a_missing_package_ends_with_the_command():
    with pytest.raises(ImportError) as error:
        require("no_such_module.part", extra="viz", what="a picture", package="no-such-package")
    assert str(error.value) == (
        "a picture needs no-such-package, which is not installed. Install it with: " + install.install_command("viz")
    )
    assert error.value.name == "no_such_module"


def test_nothing_tells_a_user_to_install_another_project():
    """`pip install minigrad` is another project, and a bare `pip` is missing in the README's environment."""
    texts = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    for folder in ("minigrad", "examples", "tools"):
        texts += [p for p in sorted((ROOT / folder).rglob("*")) if p.suffix in (".py", ".html", ".js", ".md")]
    for path in texts:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            bare = re.search(r"(?<![\w./-])pip3? install\b|install[^\n]* ['\"]?minigrad(\[|['\"\s]|$)", line)
            if path.name != "install.py":
                assert bare is None, f"{path}, line {number}: {line.strip()}"
