"""From a bare Python to a working .venv, and on to the command that `make` was asked for.

launcher.py has checked that Python is new enough; nothing is installed yet, so: the standard library only.
"""

import hashlib
import os
import runpy
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
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


def check_root(environment: Mapping[str, str]) -> None:
    """Raise StartError where root can start no PostgreSQL here, before anything is installed for it."""
    dotenv = ROOT / ".env"
    answer = dotenv.read_text() if dotenv.is_file() else ""
    if environment.get("DATABASE_URL") or environment.get("TEST_SERVERS") == "1" or "DATABASE_URL=" in answer:
        return
    # Not imported: the package `config` needs what isn't installed yet.
    refusal = runpy.run_path(str(Path(__file__).with_name("accounts.py")))["refusal"](ROOT)
    if refusal:
        raise StartError(refusal)


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
    """Install into .venv what requirements/NAME.txt locks; quick when it is there already."""
    wanted = fingerprint(requirements)
    stamp = VENV / ("installed-" + requirements)
    if stamp.is_file() and stamp.read_text() == wanted and PYTHON.exists():
        return
    try:
        if not PYTHON.exists():
            check_venv_module()
            print("Making .venv …", flush=True)
            run_quietly([sys.executable, "-m", "venv", "--clear", str(VENV)], "The folder .venv could not be made")
        print("Installing the packages (this once; a minute or two) …", flush=True)
        install(requirements)
        add_project_path()
        stamp.write_text(wanted)
        forget_stale_stamps()
    except PermissionError as error:
        raise StartError(
            f"{error.filename} can't be written by this user. Clone the project into a folder of your own."
        ) from error


def fingerprint(requirements: str) -> str:
    """Return what the stamp must say: it changes with the lock, with the folder and with Python."""
    texts = [str(ROOT), sys.version, lock_of(requirements).read_text()]
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


def lock_of(requirements: str) -> Path:
    """Return the file that pip installs: complete in itself, every file of every package with its hash."""
    return ROOT / "requirements" / (requirements + ".txt")


def forget_stale_stamps() -> None:
    # Locks of one commit agree, so all their stamps stay; those of other commits name replaced packages.
    for stamp in VENV.glob("installed-*"):
        name = stamp.name[len("installed-") :]
        if not lock_of(name).is_file() or stamp.read_text() != fingerprint(name):
            stamp.unlink()


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
        "--require-hashes",
    ]
    run_quietly([*command, "-r", str(lock_of(requirements))], "The packages could not be installed")


def run_quietly(command: list[str], failure: str) -> None:
    """Run without output; raise StartError with the reason, or with the last ten lines."""
    try:
        result = subprocess.run(
            command, cwd=ROOT, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
    except OSError as error:
        raise StartError(f"{failure}: {error}") from error
    if result.returncode:
        raise StartError(reason(failure, result.stdout))


def reason(failure: str, output: str) -> str:
    if any(word in output for word in NETWORK_WORDS):
        return (
            failure + ": the package index (pypi.org) does not answer. "
            "Connect to the network, or set PIP_INDEX_URL to one you can reach, and type the same again."
        )
    if "DO NOT MATCH THE HASHES" in output:
        return (
            failure + ": the index gave a file that is not the one in the lock file, so nothing was installed. "
            "Take the files of pypi.org (pip config list shows other indexes), and type the same again."
        )
    if "ermission denied" in output:
        return failure + ": this user may not write here. Clone the project into a folder of your own."
    if "No space left" in output:
        return failure + ": the disk is full. About 500 MB are needed."
    return "\n".join([failure + ". The last lines:", *output.strip().splitlines()[-10:]])


def add_project_path() -> None:
    """Let .venv's own programs (pytest, celery) find the project's modules from any folder."""
    for packages in VENV.glob("lib/python3*/site-packages"):
        (packages / "npd_sync.pth").write_text(str(ROOT) + "\n")


def exec_command(*command: str) -> None:
    """Become a program of .venv, so that a Ctrl-C meets one process."""
    os.chdir(ROOT)
    sys.stdout.flush()
    os.execv(str(PYTHON), [str(PYTHON), *command])  # noqa: S606


def main(arguments: list[str]) -> int:
    """`bootstrap.py REQUIREMENTS [PYTHON ARGUMENTS …]`."""
    try:
        check_root(os.environ)
        ensure(arguments[0])
    except StartError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    if arguments[1:]:
        exec_command(*arguments[1:])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
