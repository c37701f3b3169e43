"""`Idempotency-Key`: a mutation's first answer is kept 30 minutes and given again.

developer.monday.com/api-reference/docs/idempotency. What Monday does with another body under
the same key is not published; here the first answer is given too, and the log says so.
"""

import hashlib
import threading
from dataclasses import dataclass

from sandbox import errors
from sandbox.clock import Clock
from sandbox.web import Response

LIFETIME_SECONDS = 1800
LARGEST_ANSWER = 1_000_000  # bytes
LARGEST_TOTAL = 64_000_000  # bytes of all answers kept; Monday has such a budget and doesn't publish it


@dataclass
class Kept:
    digest: bytes
    since: float
    answer: Response | None = None


@dataclass(frozen=True)
class Replay:
    answer: Response
    different_body: bool


class Idempotency:
    """The answers kept by key."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kept: dict[str, Kept] = {}  # in the order of their first requests
        self._bytes = 0
        self._lock = threading.Lock()

    def claim(self, key: str, body: bytes) -> Replay | None:
        """Take the key for this request, or the answer it had before. 409 while the first one still runs."""
        digest = hashlib.sha256(body).digest()
        with self._lock:
            self._forget_old()
            kept = self._kept.get(key)
            if kept is None:
                self._kept[key] = Kept(digest, self._clock.time())
                return None
            if kept.answer is None:
                raise errors.idempotency_conflict()
            return Replay(kept.answer, kept.digest != digest)

    def keep(self, key: str, answer: Response) -> None:
        """Keep the first answer; one over 1 MB, or for which there is no room, was given but is not kept."""
        with self._lock:
            kept = self._kept.get(key)
            if kept is None:
                return
            if len(answer.body) > LARGEST_ANSWER or self._bytes + len(answer.body) > LARGEST_TOTAL:
                del self._kept[key]
                return
            kept.answer = answer
            self._bytes += len(answer.body)

    def release(self, key: str) -> None:
        """The request came to nothing: the key is free again."""
        with self._lock:
            kept = self._kept.get(key)
            if kept is not None and kept.answer is None:
                del self._kept[key]

    def clear(self) -> None:
        with self._lock:
            self._kept.clear()
            self._bytes = 0

    def _forget_old(self) -> None:
        oldest = self._clock.time() - LIFETIME_SECONDS
        while self._kept:
            key, kept = next(iter(self._kept.items()))
            if kept.since > oldest:
                return
            del self._kept[key]
            self._bytes -= len(kept.answer.body) if kept.answer is not None else 0
