import ast
import subprocess
import sys
from pathlib import Path

import pytest

from config.embedded import bootstrap
from tests.support.servers import ROOT


def test_any_python_since_3_7_can_read_it() -> None:
    ast.parse(Path(bootstrap.__file__).read_text(), feature_version=(3, 7))


def test_an_old_python_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(
        bootstrap.StartError, match=r"needs Python 3\.11 or newer, and this is 3\.9\. Install one"
    ):
        bootstrap.check_python((3, 9))


def test_an_old_python_hands_over_to_a_newer_one_that_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[list[str]] = []
    monkeypatch.setattr("shutil.which", lambda name: name)
    monkeypatch.setattr("subprocess.call", lambda command, **rest: 0 if command[0] == "python3.12" else 127)
    monkeypatch.setattr("os.execvp", lambda name, arguments: called.append([name, *arguments]))
    with pytest.raises(bootstrap.StartError):
        bootstrap.check_python((3, 9))
    assert called == [["python3.12", "python3.12", *sys.argv]]


def test_a_missing_venv_module_is_told_with_the_package_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ensurepip", None)
    with pytest.raises(bootstrap.StartError, match=r"has no venv module.*apt install python3\.\d+-venv"):
        bootstrap.check_venv_module()


@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        (
            "WARNING: NewConnectionError('...')\nERROR: No matching distribution",
            "does not answer. Connect to the",
        ),
        ("ERROR: Could not install: [Errno 13] Permission denied: '/x'", "this user may not write here"),
        ("OSError: [Errno 28] No space left on device", "the disk is full"),
        ("one\ntwo", "The last lines:\none\ntwo"),
    ],
)
def test_a_failed_install_ends_in_a_sentence(output: str, sentence: str) -> None:
    assert sentence in bootstrap.reason("The packages could not be installed", output)


def test_pip_without_network_is_told_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"PIP_INDEX_URL": "http://127.0.0.1:9/", "PIP_NO_CACHE_DIR": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--retries",
        "0",
        "no-such-package-of-npd-sync",
    ]
    with pytest.raises(bootstrap.StartError, match=r"the package index .* does not answer"):
        bootstrap.run_quietly([*command, "--target", str(tmp_path)], "The packages could not be installed")


def test_the_stamp_changes_with_the_requirements(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "ROOT", tmp_path)
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements.txt").write_text("Django==5.2.19")
    first = bootstrap.fingerprint("embedded")
    (tmp_path / "requirements.txt").write_text("Django==5.2.20")
    assert bootstrap.fingerprint("embedded") != first


def test_make_without_python_says_so() -> None:
    command = ["make", "-s", "run", "PYTHON=no-such-python"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode != 0
    assert "There is no no-such-python. Install Python 3.11 or newer" in result.stdout


def test_make_alone_shows_the_commands() -> None:
    result = subprocess.run(["make", "-s"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert {"setup", "run", "test", "lint", "logs", "reset", "bench"} <= set(result.stdout.split())
