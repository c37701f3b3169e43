"""From a bare python3 to a working .venv, and on to the command that `make` was asked for.

Run by whatever `python3` the system has, so: the standard library only, and no syntax newer than Python 3.7.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
OLDEST = (3, 11)
CANDIDATES = ["python3.14", "python3.13", "python3.12", "python3.11"]
NETWORK_WORDS = (
    "NewConnectionError",
    "ConnectTimeout",
    "ReadTimeout",
    "name resolution",
    "Network is unreachable",
    "Connection refused",
    "ProxyError",
    "ConnectionResetError",
    "from versions: none",
)


class StartError(Exception):
    """The message is a sentence for the person at the terminal."""


def check_python(version: tuple[int, int]) -> None:
    """Go on in a newer Python where this one is too old; raise StartError when there is none."""
    if version >= OLDEST:
        return
    for name in CANDIDATES:
        # A shim of pyenv is there also for versions that are switched off: only running it tells.
        if shutil.which(name) and subprocess.call([name, "-c", ""], stderr=subprocess.DEVNULL) == 0:
            os.execvp(name, [name, *sys.argv])  # noqa: S606
    raise StartError(
        f"NPD Sync needs Python 3.11 or newer, and this is {version[0]}.{version[1]}. "
        "Install one (Debian, Ubuntu: sudo apt install python3.11 python3.11-venv; "
        "macOS: brew install python@3.12), "
        "or name one: make run PYTHON=/path/to/python3.12"
    )


def check_venv_module() -> None:
    """Raise StartError where the system's Python comes without venv, as Debian's does."""
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError as error:
        name = f"python{sys.version_info[0]}.{sys.version_info[1]}"
        raise StartError(
            f"This Python has no venv module. Install it (Debian, Ubuntu: sudo apt install {name}-venv) "
            "and type the same again."
        ) from error


def ensure(requirements: str) -> None:
    """Make .venv hold what requirements/NAME.txt lists; quick when it does already."""
    wanted = fingerprint(requirements)
    stamp = VENV / ("installed-" + requirements)
    if stamp.is_file() and stamp.read_text() == wanted and PYTHON.exists():
        return
    try:
        if not PYTHON.exists():
            check_venv_module()
            print("Making .venv …", flush=True)
            run_quietly(
                [sys.executable, "-m", "venv", "--clear", str(VENV)], "The folder .venv could not be made"
            )
        print("Installing the packages (this once; under a minute) …", flush=True)
        install(requirements)
        name_the_project()
        stamp.write_text(wanted)
    except PermissionError as error:
        raise StartError(
            f"{error.filename} can't be written by this user. Clone the project into a folder of your own."
        ) from error


def fingerprint(requirements: str) -> str:
    """What the stamp must say: it changes with the requirements, with the folder and with Python."""
    files = [ROOT / "requirements.txt", *sorted((ROOT / "requirements").glob("*.txt"))]
    texts = [str(ROOT), sys.version, requirements, *[file.read_text() for file in files]]
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


def install(requirements: str) -> None:
    """pip install, with a sentence instead of a trace where it fails."""
    command = [
        str(PYTHON),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--retries",
        "2",
    ]
    run_quietly([*command, "-r", f"requirements/{requirements}.txt"], "The packages could not be installed")


def run_quietly(command: list[str], failure: str) -> None:
    """Run without output; raise StartError with the reason, or with the last ten lines."""
    try:
        result = subprocess.run(
            command,
            cwd=ROOT,
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    except OSError as error:
        raise StartError(f"{failure}: {error}") from error
    if result.returncode:
        raise StartError(reason(failure, result.stdout))


def reason(failure: str, output: str) -> str:
    """The sentence for a failed step."""
    if any(word in output for word in NETWORK_WORDS):
        return (
            failure + ": the package index (pypi.org) does not answer. "
            "Connect to the network, or set PIP_INDEX_URL to one you can reach, and type the same again."
        )
    if "ermission denied" in output:
        return failure + ": this user may not write here. Clone the project into a folder of your own."
    if "No space left" in output:
        return failure + ": the disk is full. About 500 MB are needed."
    return "\n".join([failure + ". The last lines:", *output.strip().splitlines()[-10:]])


def name_the_project() -> None:
    """Let .venv's own programs (pytest, celery) find the project's modules from everywhere."""
    for packages in VENV.glob("lib/python3*/site-packages"):
        (packages / "npd_sync.pth").write_text(str(ROOT) + "\n")


def become(*command: str) -> None:
    """Turn into a program of .venv, so that a Ctrl-C meets one process."""
    os.chdir(ROOT)
    sys.stdout.flush()
    os.execv(str(PYTHON), [str(PYTHON), *command])  # noqa: S606


def main(arguments: list[str]) -> int:
    """`bootstrap.py REQUIREMENTS [PYTHON ARGUMENTS …]`."""
    try:
        check_python(sys.version_info[:2])
        ensure(arguments[0])
    except StartError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    if arguments[1:]:
        become(*arguments[1:])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
