"""The sandbox's one clock: real time plus an offset that tests may move."""

import threading
import time
from datetime import UTC, datetime


class Clock:
    """Every 'now' of the sandbox: `updated_at`, cursors, idempotency, retries, JWTs, limits."""

    def __init__(self) -> None:
        self._offset = 0.0
        self.moved = threading.Event()

    @property
    def offset_seconds(self) -> float:
        return self._offset

    def set_offset(self, seconds: float) -> None:
        """Make the sandbox's time real time plus `seconds`."""
        self._offset = seconds
        self.moved.set()

    def time(self) -> float:
        """Seconds since the epoch."""
        return time.time() + self._offset

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.time(), UTC)

    def stamp(self) -> str:
        """Now as Monday writes dates: `2026-01-31T18:00:00Z`, whole seconds."""
        return self.now().strftime("%Y-%m-%dT%H:%M:%SZ")


def milliseconds(moment: datetime) -> str:
    """A moment as webhooks write it: `2026-01-31T18:00:00.123Z`."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
