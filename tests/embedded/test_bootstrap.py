import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from config.embedded import bootstrap
from tests.support.servers import ROOT, ran

pytestmark = pytest.mark.processes

LAUNCHER = ROOT / "config" / "embedded" / "launcher.py"
NEWER_THAN_2_7 = (ast.JoinedStr, ast.AnnAssign, ast.NamedExpr, ast.Starred, ast.Nonlocal, ast.AsyncFunctionDef)


def python(version: str) -> str:
    """The path of a Python of this version, one of pyenv's too; skips where the machine has none."""
    pyenv = Path.home().glob(f".pyenv/versions/{version}.*/bin/python")
    for candidate in [*map(str, pyenv), shutil.which("python" + version)]:
        if candidate and subprocess.call([candidate, "-c", ""], stderr=subprocess.DEVNULL) == 0:
            return candidate
    pytest.skip(f"there is no Python {version} here")


def launched(interpreter: str, path: Path) -> subprocess.CompletedProcess[str]:
    """`make` with this Python, where only the programs in `path` are found."""
    return ran(interpreter, str(LAUNCHER), "embedded", "--version", env={"PATH": str(path)})


def test_every_old_python_can_read_the_launcher() -> None:
    text = LAUNCHER.read_text(encoding="ascii")
    found = list(ast.walk(ast.parse(text, feature_version=(3, 7))))
    assert not [node for node in found if isinstance(node, NEWER_THAN_2_7)]
    assert not [node for node in found if isinstance(node, (ast.FunctionDef, ast.ClassDef))]


@pytest.mark.parametrize("version", ["2.7", "3.6", "3.9", "3.10"])
def test_an_old_python_is_told_what_to_install_in_one_sentence(version: str, tmp_path: Path) -> None:
    result = launched(python(version), tmp_path)
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert f"needs Python 3.11 or newer, and this is {version}. Install one" in result.stderr


@pytest.mark.parametrize("version", ["2.7", "3.9"])
def test_an_old_python_hands_over_to_a_newer_one_that_runs(version: str, tmp_path: Path) -> None:
    for name, text in (("python3.13", "exit 127"), ("python3.12", 'test "$1" = -c || echo "$@"')):
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    result = launched(python(version), tmp_path)
    assert result.stdout.split() == [str(LAUNCHER), "embedded", "--version"]


def test_a_missing_venv_module_is_told_with_the_package_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ensurepip", None)
    with pytest.raises(bootstrap.StartError, match=r"has no venv module.*apt install python3\.\d+-venv"):
        bootstrap.check_venv_module()


@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        ("WARNING: NewConnectionError('...')\nERROR: No matching distribution", "does not answer. Connect to the"),
        (
            "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.",
            "a file that is not the one in the lock",
        ),
        ("ERROR: Could not install: [Errno 13] Permission denied: '/x'", "this user may not write here"),
        ("OSError: [Errno 28] No space left on device", "the disk is full"),
        ("one\ntwo", "The last lines:\none\ntwo"),
    ],
)
def test_a_failed_install_ends_in_a_sentence(output: str, sentence: str) -> None:
    assert sentence in bootstrap.reason("The packages could not be installed", output)


def clone(folder: Path) -> Path:
    """The bootstrap alone in a folder, whose .venv is this one's Python; its locks name no package."""
    program = folder / "config" / "embedded" / "bootstrap.py"
    program.parent.mkdir(parents=True)
    shutil.copy(bootstrap.__file__, program)
    python = folder / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    (folder / "requirements").mkdir()
    lock(folder, "one")
    return program


def lock(folder: Path, commit: str) -> None:
    for name in ("requirements.txt", "requirements/embedded.txt", "requirements/development.txt"):
        (folder / name).write_text(f"# {commit}\n")


def installs(program: Path, requirements: str) -> bool:
    return "Installing the packages" in ran(sys.executable, str(program), requirements, check=True).stdout


def test_packages_are_installed_when_the_lock_changed_and_only_then(tmp_path: Path) -> None:
    program = clone(tmp_path)
    assert [installs(program, name) for name in ("development", "embedded", "development")] == [True, True, False]
    lock(tmp_path, "two")
    assert installs(program, "development")


def test_make_without_python_says_so() -> None:
    result = ran("make", "-s", "run", "PYTHON=no-such-python")
    assert result.returncode != 0
    assert "There is no no-such-python. Install Python 3.11 or newer" in result.stdout
