"""The sandbox's one clock: real time plus an offset that tests may move."""

import os
import time
from datetime import UTC, datetime


class Clock:
    """Every 'now' of the sandbox: `updated_at`, cursors, idempotency, retries, JWTs, limits."""

    def __init__(self) -> None:
        self.offset_seconds = 0.0  # from real time
        self._stamped = (0, "")  # the last second that was asked for, and its text

    def time(self) -> float:
        return time.time() + self.offset_seconds

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.time(), UTC)

    def stamp(self) -> str:
        """Now as Monday writes dates: `2026-01-31T18:00:00Z`, whole seconds."""
        second, text = self._stamped
        now = int(self.time())
        if now != second:
            text = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            self._stamped = (now, text)
        return text


def ordered_id(seconds: float) -> str:
    """A new UUID that sorts by its time (RFC 9562, version 7): rows of random ids would go all over the file."""
    milliseconds = int(seconds * 1000) & 0xFFFF_FFFF_FFFF
    tail = os.urandom(9).hex()
    head = f"{milliseconds:012x}"
    return f"{head[:8]}-{head[8:]}-7{tail[:3]}-8{tail[3:6]}-{tail[6:]}"


def milliseconds(moment: datetime) -> str:
    """A moment as webhooks write it: `2026-01-31T18:00:00.123Z`."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
