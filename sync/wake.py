"""Wake-ups: a nudge to the workers that a board has due rows.

A lost wake-up costs latency and never data: the rows are the truth, and Beat sweeps every ten seconds. A message says
which board, and nothing of when: a wake-up for later waits here, in the memory of the process that knows of it.
"""

from __future__ import annotations

import os
import threading
import time
from functools import lru_cache

import structlog
from celery import Task, current_app
from django.conf import settings
from kombu import Connection
from kombu.pools import producers

log = structlog.get_logger(__name__)

INTERVAL_SECONDS = 1.0
POOL_WAIT_SECONDS = 0.1


_last_sent: dict[str, float] = {}
_owed: dict[tuple[str, bool], threading.Timer] = {}
"""One timer a board that ends its second, and one (True) for a time that is further off."""
_guard = threading.Lock()


def board(entity_type: str) -> bool:
    """Send a wake-up for this type's board, at most one a second and process; return whether one went out.

    One that comes sooner is sent at the end of that second, for many together: the worker that the last one
    woke may have gone to sleep again before this one's row was there.
    """
    with _guard:
        now = time.monotonic()
        left = _last_sent.get(entity_type, -INTERVAL_SECONDS) + INTERVAL_SECONDS - now
        if left > 0:
            _owe(entity_type, left)
            return False
        _last_sent[entity_type] = now
    return send(entity_type)


def later(entity_type: str, seconds: float) -> None:
    """Send a wake-up in so many seconds; the last word counts, and it is lost when this process ends."""
    with _guard:
        owed = _owed.pop((entity_type, True), None)
        if owed is not None:
            owed.cancel()
        _owe(entity_type, seconds, far=True)


def _owe(entity_type: str, seconds: float, *, far: bool = False) -> None:
    key = (entity_type, far)
    if key not in _owed:
        timer = threading.Timer(seconds, _pay, key)
        timer.daemon = True  # no process waits for it to end
        timer.start()  # before it is kept: one that could not start would keep the next from being made
        _owed[key] = timer


def _pay(entity_type: str, far: bool) -> None:
    with _guard:
        if _owed.get((entity_type, far)) is not threading.current_thread():
            return  # another took its place while it woke up
        del _owed[entity_type, far]
        _last_sent[entity_type] = time.monotonic()
    send(entity_type)


def send(entity_type: str) -> bool:
    """Send a wake-up now; a broker that is away is logged and survived, within 200 ms."""
    from sync.tasks import work_board

    return nudge(work_board, entity_type)


def nudge(task: Task[..., None], *args: str) -> bool:
    """Have a task run now, for work whose rows are stored; a broker that is away is logged and survived within 200 ms.

    Every task that is nudged so is also run by the schedule, which finds what a lost message was about.
    """
    try:
        with producers[_connection(os.getpid())].acquire(block=True, timeout=POOL_WAIT_SECONDS) as producer:
            task.apply_async(args=args, producer=producer, retry=False)
    except (
        Exception
    ) as error:  # whatever the broker's library raises: the rows are stored, the schedule finds them
        log.warning(
            "wake-up not sent; the schedule brings the next",
            task=task.name,
            about=args,
            error=type(error).__name__,
        )
        return False
    return True


@lru_cache(maxsize=1)
def _connection(process_id: int) -> Connection:
    """A connection of its own, one a process: it may give up far sooner than the one that a worker reads from."""
    usual = current_app.connection_for_write()
    return usual.clone(
        transport_options={**(usual.transport_options or {}), **settings.WAKE_UP_TRANSPORT_OPTIONS}
    )
