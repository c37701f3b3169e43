"""Idempotency keys that were used: one key stands for one body only."""

from __future__ import annotations

import threading
from collections import OrderedDict
from hashlib import sha256

REMEMBERED = 1_024


class KeyReused(ValueError):
    """A key came again with another body: Monday might replay the first one's answer for it."""


class UsedKeys:
    """The bodies, as hashes, that went out under the last keys of this process.

    Whether Monday itself refuses another body under a used key is not stated
    (developer.monday.com/api-reference/docs/idempotency); it answers a known key with what it answered before.
    """

    def __init__(self) -> None:
        self._bodies: OrderedDict[str, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def check(self, key: str, body: bytes) -> None:
        """Note a key's body; raises KeyReused where the key went out with another one."""
        digest = sha256(body).digest()
        with self._lock:
            known = self._bodies.setdefault(key, digest)
            self._bodies.move_to_end(key)
            while len(self._bodies) > REMEMBERED:
                self._bodies.popitem(last=False)
        if known != digest:
            raise KeyReused("This idempotency key was used for another body; take a new key.")
