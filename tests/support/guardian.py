"""Kills what a test run has started when the run itself is killed.

Between tests worker and beat are stopped (SIGSTOP), and a stopped process ignores the SIGTERM that the kernel sends at
its parent's end. So a small process waits for the end of the run.
"""

import contextlib
import os
import signal
import subprocess
import sys

import psutil

_guardians: list["subprocess.Popen[str]"] = []


def watch(leader: int) -> None:
    """Kill this process and its group if they outlive the run."""
    if not _guardians:
        command = [sys.executable, __file__]
        _guardians.append(subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True, text=True, cwd="/"))
    pipe = _guardians[0].stdin
    assert pipe
    with contextlib.suppress(psutil.NoSuchProcess):
        pipe.write(f"{leader} {psutil.Process(leader).create_time()}\n")
        pipe.flush()


def close() -> None:
    while _guardians:
        _guardians.pop().communicate(timeout=10)


def guard() -> None:
    """Wait for the end of the run, then kill what is left of it, unless another process has its number by now."""
    for line in sys.stdin.read().splitlines():
        leader, started = line.split()
        with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError, PermissionError):
            if psutil.Process(int(leader)).create_time() == float(started):
                os.killpg(int(leader), signal.SIGKILL)


if __name__ == "__main__":
    guard()
