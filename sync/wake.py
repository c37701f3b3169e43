"""Wake-ups: a nudge to the workers that a board has due rows.

A lost wake-up costs latency and never data: the rows are the truth, and Beat sweeps every ten seconds.
"""

from __future__ import annotations

import os
import threading
import time
from functools import lru_cache

import structlog
from celery import current_app
from django.conf import settings
from kombu import Connection
from kombu.pools import producers

log = structlog.get_logger(__name__)

INTERVAL_SECONDS = 1.0
POOL_WAIT_SECONDS = 0.1

_last_sent: dict[str, float] = {}
_owed: set[str] = set()
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


def _owe(entity_type: str, seconds: float) -> None:
    if entity_type not in _owed:
        _owed.add(entity_type)
        timer = threading.Timer(seconds, _pay, (entity_type,))
        timer.daemon = True
        timer.start()


def _pay(entity_type: str) -> None:
    with _guard:
        _owed.discard(entity_type)
        _last_sent[entity_type] = time.monotonic()
    send(entity_type)


def send(entity_type: str, *, in_seconds: float = 0.0) -> bool:
    """Send a wake-up, for now or for later; a broker that is away is logged and survived, within 200 ms."""
    from sync.tasks import work_board

    try:
        with producers[_connection(os.getpid())].acquire(block=True, timeout=POOL_WAIT_SECONDS) as producer:
            work_board.apply_async((entity_type,), producer=producer, retry=False, countdown=in_seconds)
    except (
        Exception
    ) as error:  # whatever the broker's library raises: the row is stored, a sweep will find it
        log.warning(
            "wake-up not sent; the next sweep takes the row",
            entity_type=entity_type,
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
