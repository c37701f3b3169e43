"""`python -m tests.following.dying_sender`: a sender of webhooks that is killed at each of its points.

With `stop UPDATE…` it stops itself (SIGSTOP) after the first statement that begins so, within its transaction.

A point is each statement to the database and each word of a call, so also between the two. Each sender is forked, kills
itself (SIGKILL) at its point, and the next begins when its claim has ended; the last one reaches its end.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

import django

MOST = 120


class Points:
    """Counts the points of this process, and dies at the `deadly` one."""

    def __init__(self, deadly: int) -> None:
        self.deadly, self.seen = deadly, 0

    def pass_one(self) -> None:
        self.seen += 1
        if self.seen == self.deadly:
            os.kill(os.getpid(), signal.SIGKILL)

    def statement(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        self.pass_one()
        result = execute(sql, params, many, context)
        self.pass_one()
        return result

    def event(self, name: str, args: Any) -> None:
        if name in ("socket.connect", "socket.getaddrinfo"):
            self.pass_one()


def send(deadly: int) -> None:
    """What the task does, until the point at which it dies."""
    from django.db import connection

    from sync.operations.outgoing_webhooks import deliver_webhooks

    points = Points(deadly)
    connection.ensure_connection()
    sys.addaudithook(points.event)
    with connection.execute_wrapper(points.statement):
        deliver_webhooks()


def stop_after(begin: str) -> None:
    """What the task does, until it stops itself after a statement that begins so."""
    from django.db import connection

    from sync.operations.outgoing_webhooks import deliver_webhooks

    def stop(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        result = execute(sql, params, many, context)
        if sql.strip().startswith(begin):
            os.kill(os.getpid(), signal.SIGSTOP)
        return result

    with connection.execute_wrapper(stop):
        deliver_webhooks()


def main() -> int:
    """Fork until one ends by itself; print how many were killed."""
    django.setup()
    if sys.argv[1:2] == ["stop"]:
        stop_after(sys.argv[2])
        return 0
    from django.db import connection

    from tests.support.clock import move_clock

    for deadly in range(1, MOST):
        move_clock(deadly * 120)
        connection.close()
        child = os.fork()
        if child == 0:
            send(deadly)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            print(deadly - 1)
            return os.waitstatus_to_exitcode(status)
    return 2


if __name__ == "__main__":
    sys.exit(main())
