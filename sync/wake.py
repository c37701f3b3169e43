"""Wake-ups: a nudge to the workers that a board has due rows.

A lost wake-up costs latency and never data: the rows are the truth, and Beat sweeps every ten seconds.
"""

from __future__ import annotations

import threading
import time

import structlog

log = structlog.get_logger(__name__)

INTERVAL_SECONDS = 1.0

_last_sent: dict[str, float] = {}
_guard = threading.Lock()


def board(entity_type: str) -> bool:
    """Send a wake-up for this type's board, at most one a second and process; return whether one went out."""
    with _guard:
        now = time.monotonic()
        if now - _last_sent.get(entity_type, -INTERVAL_SECONDS) < INTERVAL_SECONDS:
            return False
        _last_sent[entity_type] = now
    return send(entity_type)


def send(entity_type: str) -> bool:
    """Send a wake-up now; a broker that is away is logged and survived."""
    from sync.tasks import work_board

    try:
        work_board.apply_async((entity_type,), retry=False)
    except (
        Exception
    ) as error:  # whatever the broker's library raises, the row is stored and a sweep will find it
        log.warning(
            "wake-up not sent; the next sweep takes the row",
            entity_type=entity_type,
            error=type(error).__name__,
        )
        return False
    return True
