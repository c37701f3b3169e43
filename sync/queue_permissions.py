"""Who may steer the queue, in the admin and by the API: each act has a permission of its own."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

PERMISSIONS = (
    ("retry_syncqueue", "Can try queue rows again"),
    ("cancel_syncqueue", "Can cancel waiting queue rows"),
    ("discard_syncqueue", "Can discard dead letters"),
    ("pause_syncqueue", "Can pause and resume the sync"),
)


class Steering(StrEnum):
    """What may be allowed to somebody; to resume is part of to pause."""

    VIEW = "view"
    RETRY = "retry"
    CANCEL = "cancel"
    DISCARD = "discard"
    PAUSE = "pause"


def may(user: Any, act: Steering) -> bool:
    """Whether this user may do that."""
    return bool(user.has_perm(f"sync.{act}_syncqueue"))
