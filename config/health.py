"""`python -I config/health.py web|worker|beat`: whether that process is well, for a container's health check.

The web process is asked. Worker and beat serve no port: the main loop of each leaves a sign of life in HEARTBEAT_DIR.
Nothing of Django is imported, for this runs every few seconds; -I keeps this folder's modules from Python's own names.
"""

import contextlib
import os
import sys
import time
from http.client import HTTPConnection, HTTPException
from pathlib import Path

EVERY_SECONDS = 10
LONGEST_SECONDS = 60
"""Of silence; a loop that waits for a lost broker is silent for longer."""
ANSWER_SECONDS = 3


def give(name: str) -> None:
    """Write that this process's loop still turns. Time is the machine's since its start: nobody sets that clock."""
    folder = os.environ.get("HEARTBEAT_DIR")
    if not folder:
        return
    path = Path(folder) / f"{name}.heartbeat"
    fresh = path.with_suffix(f".{os.getpid()}")
    with contextlib.suppress(OSError):  # a full disk shows in the health check, and must not end the process
        fresh.write_text(str(time.monotonic()))
        fresh.replace(path)


def trouble(name: str) -> str:
    """Why the process is not well, as a sentence; an empty text when it is."""
    return _of_web() if name == "web" else _of_loop(name)


def _of_loop(name: str) -> str:
    folder = os.environ.get("HEARTBEAT_DIR")
    if not folder:
        return "HEARTBEAT_DIR is not set: nothing is known of the process."
    try:
        given = float((Path(folder) / f"{name}.heartbeat").read_text())
    except (OSError, ValueError):
        return f"{name} has given no sign of life yet in {folder}."
    silent = time.monotonic() - given
    return f"{name} has given no sign of life for {silent:.0f} s." if silent > LONGEST_SECONDS else ""


def _of_web() -> str:
    port = int(os.environ.get("PORT") or 8000)
    web = HTTPConnection("127.0.0.1", port, timeout=ANSWER_SECONDS)
    try:
        web.request("GET", "/healthz", headers={"Host": _host()})
        status = web.getresponse().status
    except (OSError, HTTPException) as error:
        return f"web doesn't answer on port {port}: {type(error).__name__}."
    finally:
        web.close()
    return "" if status == 200 else f"web answered /healthz with {status}."


def _host() -> str:
    """A name that web answers to: where ALLOWED_HOSTS is set, 127.0.0.1 may be none."""
    first = (os.environ.get("ALLOWED_HOSTS") or "").split(",")[0].strip()
    return "127.0.0.1" if first in ("", "*") else first.removeprefix(".")


if __name__ == "__main__":
    found = trouble(sys.argv[1])
    if found:
        sys.exit(found)
