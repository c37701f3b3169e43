"""Counting webhook deliveries without a lock in their way: in the process's memory, stored together now and then.

A row that every delivery adds to would let them pass one after another, each waiting for the other's commit. What a
process has counted since it last stored is lost if it is killed: a second's worth at most under load.
"""

from __future__ import annotations

import threading
import time
from collections import Counter

import structlog
from django.db import Error

from sync.metrics.counts import Count, add
from sync.metrics.names import WEBHOOKS

log = structlog.get_logger(__name__)

STORED, DUPLICATE, IGNORED, REFUSED = "stored", "duplicate", "ignored", "refused"
RESULTS = (STORED, DUPLICATE, IGNORED, REFUSED)
INTERVAL_SECONDS = 1.0

_counted: Counter[str] = Counter()
_guard = threading.Lock()
_stored_at = 0.0


def note(result: str) -> None:
    """Count one delivery."""
    with _guard:
        _counted[result] += 1


def store_when_due() -> None:
    """Store what was counted, where that was last done a second ago or longer."""
    if time.monotonic() - _stored_at >= INTERVAL_SECONDS:
        store()


def store() -> None:
    """Store what was counted since the last time; a database that doesn't answer leaves it for the next."""
    taken = _take()
    try:
        add([Count(WEBHOOKS, label=result, value=number) for result, number in taken.items()])
    except Error as error:
        log.warning("webhooks not counted yet", error=type(error).__name__)
        with _guard:
            _counted.update(taken)


def _take() -> Counter[str]:
    global _stored_at  # noqa: PLW0603 - one a process, as the counts are
    with _guard:
        taken = Counter(_counted)
        _counted.clear()
        _stored_at = time.monotonic()
    return taken
