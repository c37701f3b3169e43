"""`python -I config/health.py [web|worker|beat]`: whether that process is well, for a container's health check.

The web process is asked. Worker and beat serve no port: the main loop of each writes a sign of life below var/ (in
the image that is /tmp).
Without a name, whichever process wrote one there is checked (web does at its start), so that one image has one check
for all three. Nothing of Django is imported, because this runs every few seconds; -I keeps this folder's modules from
shadowing Python's own.
"""

import contextlib
import os
import sys
import time
from http.client import HTTPConnection, HTTPException
from pathlib import Path

# Several beats fit into LONGEST_SECONDS: a late one is no alarm.
EVERY_SECONDS = 10
LONGEST_SECONDS = 60
"""Seconds of silence; a loop that waits for a lost broker is silent for longer."""
ANSWER_SECONDS = 3
FOLDER = Path(__file__).resolve().parent.parent / "var" / "alive"


def beat(name: str) -> None:
    """Write that this process's loop still runs, timed by the machine's uptime, which nobody can set."""
    path = FOLDER / f"{name}.heartbeat"
    fresh = path.with_suffix(f".{os.getpid()}")
    with contextlib.suppress(OSError):  # a full disk shows in the health check, and must not end the process
        FOLDER.mkdir(parents=True, exist_ok=True)
        fresh.write_text(str(time.monotonic()))
        # Replaced in one step: a check never reads half a number.
        fresh.replace(path)


def problem_of(name: str = "") -> str:
    """Return why the process is not well; empty when it is. No name: whichever has written must be."""
    if name == "web":
        return _problem_of_web()
    if name:
        try:
            last_beat = float((FOLDER / f"{name}.heartbeat").read_text())
        except (OSError, ValueError):
            return f"{name} has given no sign of life yet in {FOLDER}."
        silent = time.monotonic() - last_beat
        return f"{name} has given no sign of life for {silent:.0f} s." if silent > LONGEST_SECONDS else ""
    names = sorted(path.stem for path in FOLDER.glob("*.heartbeat"))
    if not names:
        return f"No process of NPD has given a sign of life yet in {FOLDER}."
    return " ".join(filter(None, map(problem_of, names)))


def _problem_of_web() -> str:
    port = int(os.environ.get("PORT") or 8000)
    web = HTTPConnection("127.0.0.1", port, timeout=ANSWER_SECONDS)
    try:
        web.request("GET", "/healthz")
        status = web.getresponse().status
    except (OSError, HTTPException) as error:
        return f"web doesn't answer on port {port}: {type(error).__name__}."
    finally:
        web.close()
    return "" if status == 200 else f"web answered /healthz with {status}."


if __name__ == "__main__":
    problem = problem_of(*sys.argv[1:2])
    if problem:
        sys.exit(problem)
