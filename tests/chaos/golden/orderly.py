"""What makes the processes of a golden run orderly. It knows nothing of the product but that it calls `uuid.uuid4`.

`python -m tests.chaos.golden.orderly …` is the sandbox with two differences: it writes down every request at /v2 as it
came, and it sends webhooks one after another, none while the gate is shut.
"""

from __future__ import annotations

import fcntl
import io
import json
import os
import sys
import threading
import uuid
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

LOOK_SECONDS = 0.01


def folder() -> Path:
    """Where the processes of this run leave what the others read."""
    return Path(os.environ["GOLDEN_FOLDER"])


def calls_file() -> Path:
    """One line a request at /v2, as it came: its document and its variables."""
    return folder() / "calls"


def gate() -> Path:
    """While this file is there, no webhook leaves the sandbox."""
    return folder() / "shut"


def seconds(stamp: str) -> float:
    """A moment as the sandbox writes it, as seconds since the epoch."""
    return datetime.fromisoformat(stamp).timestamp()


def leave_nothing_to_chance() -> None:
    """In this process new UUIDs count, and what the database takes at random is the same in each run."""
    from django.db.backends.signals import connection_created

    uuid.os = _CountingOs()  # type: ignore[attr-defined]
    connection_created.connect(_same_chances)


def _same_chances(connection: Any, **named: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT setseed(0)")


class _CountingOs:
    """What `uuid` asks for random bytes: the next number of the run, of all its processes together."""

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    @staticmethod
    def urandom(size: int) -> bytes:
        with (folder() / "count").open("ab") as counter:  # a byte a number: a process that is killed spoils nothing
            fcntl.flock(counter, fcntl.LOCK_EX)
            counter.write(b".")
            counter.flush()
            number = counter.tell()
        # In front, where the version's bits don't fall: ids sort as they were made.
        return number.to_bytes(6, "big") + bytes(size - 6)


class Scribe:
    """A WSGI application around the sandbox's that writes down the calls."""

    def __init__(self, application: Callable[..., Iterable[bytes]]) -> None:
        self.application, self.lock = application, threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if (environ["REQUEST_METHOD"], environ.get("PATH_INFO")) != ("POST", "/v2"):
            return self.application(environ, start_response)
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        with self.lock, calls_file().open("ab") as file:
            file.write(json.dumps(json.loads(body), ensure_ascii=False).encode() + b"\n")
        return self.application(environ, start_response)


def main() -> int:
    """Run the sandbox."""
    from dataclasses import replace

    from sandbox import __main__ as program
    from sandbox.__main__ import Sandbox, Settings, build
    from sandbox.webhooks import deliveries

    take = deliveries.Deliveries._next

    def with_scribe(settings: Settings) -> Sandbox:
        built = build(settings)
        return replace(built, application=Scribe(built.application))  # type: ignore[arg-type]

    def when_open(self: deliveries.Deliveries) -> Any:
        """A train leaves only where the gate was open when it was next; what waits is in order."""
        pause = threading.Event()
        while True:
            with self._condition:
                due = bool(self._due) and self._due[0][0] <= self._clock.time()
            if due and not gate().exists():
                return take(self)
            pause.wait(LOOK_SECONDS)

    program.build = with_scribe  # type: ignore[attr-defined]
    deliveries.Deliveries._next = when_open  # type: ignore[method-assign]
    deliveries.WORKERS = 1
    return program.main()


if __name__ == "__main__":
    sys.exit(main())
