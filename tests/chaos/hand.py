"""`python -m tests.chaos.hand`: quickly forks workers that can be stopped or killed at any point.

Reads one JSON command a line: {"id", "do", "at"?, "end"?, "only"?}; writes one JSON line when a child starts, stops
or ends. Each child does what a child of Celery's worker does with a task, or what a management command does.
"""

import ctypes
import gc
import json
import os
import select
import signal
import sys
import traceback
from contextlib import suppress
from typing import Any

import django

CHILD_SECONDS = 60  # real time; a worker that takes longer hangs


def main() -> None:
    django.setup()
    _warm_up()
    children: dict[int, dict[str, Any]] = {}
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    _say({"ready": os.getpid()})
    rest = b""
    while True:
        readable, _, _ = select.select([0, woken, *(c["pipe"] for c in children.values())], [], [])
        if woken in readable:
            os.read(woken, 1024)
        for pid in list(children):
            _listen(children, pid)
        if 0 in readable:
            chunk = os.read(0, 65536)
            if not chunk:
                return
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                _fork(children, json.loads(line))


def _warm_up() -> None:
    """Import what workers need once, and keep no connection that children would share."""
    from django.db import connections

    from config.celery import app

    app.loader.import_default_modules()
    app.finalize()
    connections.close_all()
    gc.collect()
    gc.freeze()  # keeps these objects' memory shared with the children


def _fork(children: dict[int, dict[str, Any]], command: dict[str, Any]) -> None:
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(ours)
        os.dup2(2, 1)  # what commands print goes to the log; the standard output is for our lines
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os._exit(_work(command, theirs))
    os.close(theirs)
    os.set_blocking(ours, False)
    children[pid] = {"id": command["id"], "pipe": ours, "told": b""}
    _say({"id": command["id"], "pid": pid})


def _listen(children: dict[int, dict[str, Any]], pid: int) -> None:
    """Report what a child said, and whether it stopped or ended."""
    child = children[pid]
    with suppress(BlockingIOError):
        while chunk := os.read(child["pipe"], 65536):
            child["told"] += chunk
    changed, status = os.waitpid(pid, os.WNOHANG | os.WUNTRACED)
    if not changed:
        return
    messages = [json.loads(line) for line in child["told"].splitlines()]
    report = {"id": child["id"], "told": {key: value for message in messages for key, value in message.items()}}
    if os.WIFSTOPPED(status):
        _say(report | {"stopped": True})
        return
    with suppress(BlockingIOError):
        rest = os.read(child["pipe"], 65536)
        for line in rest.splitlines():
            report["told"].update(json.loads(line))
    os.close(child["pipe"])
    del children[pid]
    _say(report | {"ended": os.waitstatus_to_exitcode(status)})


def _say(message: dict[str, Any]) -> None:
    os.write(1, json.dumps(message).encode() + b"\n")


def _work(command: dict[str, Any], pipe: int) -> int:
    """Run in the child; return its exit code."""
    from tests.chaos.points import Points

    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: it ends with the hand
    signal.alarm(CHILD_SECONDS)

    def tell(**message: Any) -> None:
        os.write(pipe, json.dumps(message).encode() + b"\n")

    end = signal.SIGKILL if command.get("end") == "kill" else signal.SIGSTOP
    only = command.get("only", "")
    points = Points(command.get("at"), end, lambda name, count: tell(point=name, points=count), only)
    points.install()
    try:
        tell(result=_do(command["do"]))
    except BaseException:
        tell(error=traceback.format_exc())
        return 1
    tell(points=points.count)
    return 0


def _do(command: str) -> Any:
    from django.core.management import call_command

    from sync.queue import SyncQueueService

    if command == "work":
        return vars(SyncQueueService().process(seconds=20))
    if command == "reconcile":
        call_command("sync_reconcile")
        return None
    if command.startswith("task "):
        from config.celery import app

        app.tasks[command.removeprefix("task ")]()
        return None
    raise ValueError(command)


if __name__ == "__main__":
    main()
