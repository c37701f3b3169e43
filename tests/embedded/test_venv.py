"""`make` on a machine without .venv: what it makes, and what it says if it can't."""

import subprocess
from pathlib import Path

import pytest

from tests.support.servers import ROOT, run_command

pytestmark = pytest.mark.processes

SCRIPT = ROOT / "config" / "embedded" / "venv.sh"
# The pip of a new .venv; it fails if the lock contains "fails".
PYTHON = '#!/bin/sh\ncase "$*" in *pip*) ! grep -q fails "$(eval echo \\${$#})" ;; *) exit 0 ;; esac\n'
# Makes a .venv and writes down where.
MAKER = """#!/bin/sh
case "$*" in *--clear*)
    mkdir -p .venv/bin
    cp {python} .venv/bin/python
    echo "command = python -m venv --clear $PWD/.venv" >.venv/pyvenv.cfg ;;
esac
"""


def program(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A clone with only the script and its locks, and a machine with one fake Python."""
    place = tmp_path / "npd" / "config" / "embedded"
    place.mkdir(parents=True)
    program(place / SCRIPT.name, SCRIPT.read_text())
    (tmp_path / "npd" / "requirements").mkdir()
    lock(tmp_path / "npd", "one")
    (tmp_path / "bin").mkdir()
    python = program(tmp_path / "python", PYTHON)
    program(tmp_path / "bin" / "python3", MAKER.format(python=python))
    return tmp_path / "npd"


def lock(folder: Path, commit: str) -> None:
    for name in ("embedded", "development"):
        (folder / "requirements" / f"{name}.txt").write_text(f"# {name} of {commit}\n")


def run(folder: Path, packages: str = "embedded", **env: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": f"{folder.parent / 'bin'}:/usr/bin:/bin", **env}
    return run_command("config/embedded/venv.sh", packages, cwd=folder, env=environment)


def installs(folder: Path, packages: str) -> bool:
    result = run(folder, packages)
    assert result.returncode == 0, result.stderr
    return "Installing the packages" in result.stdout


def test_packages_are_installed_when_the_lock_changed_and_only_then(folder: Path) -> None:
    assert [installs(folder, name) for name in ("embedded", "embedded", "development")] == [True, False, True]
    assert not installs(folder, "embedded"), "the larger one has it all"
    lock(folder, "two")
    assert installs(folder, "embedded")
    assert installs(folder, "development"), "its packages were replaced"


def test_a_failed_install_says_what_to_do_and_is_tried_again(folder: Path) -> None:
    lock(folder, "what fails")
    for _ in range(2):
        result = run(folder)
        assert result.returncode == 1
        assert "set PIP_INDEX_URL" in result.stderr


@pytest.mark.parametrize("python", ["", "/no/such/python"])
def test_an_old_or_missing_python_is_told_what_to_install_or_name(folder: Path, python: str) -> None:
    program(folder.parent / "bin" / "python3", "#!/bin/sh\nexit 1\n")
    result = run(folder, PYTHON=python)
    assert result.returncode == 1
    assert "make run PYTHON=" in result.stderr


def test_a_folder_with_a_colon_in_its_path_is_refused_by_name(folder: Path) -> None:
    renamed = folder.rename(folder.with_name("npd: 2026"))
    result = run(renamed)
    assert result.returncode == 1
    assert str(renamed) in result.stderr
    assert not (renamed / ".venv").exists()
