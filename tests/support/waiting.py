"""Waiting for something to become true, instead of sleeping."""

import time
from collections.abc import Callable
from typing import TypeVar

from django.db import connection

Found = TypeVar("Found")
LOOK_SECONDS = 0.03


def wait_for(what: str, condition: Callable[[], Found], seconds: float = 20) -> Found:
    """The first truthy answer of `condition`; after `seconds` an AssertionError that names `what`."""
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {seconds} s; the last answer was {answer!r}")
        time.sleep(LOOK_SECONDS)
    return answer


def somebody_waits(kind: str = "<> 'advisory'") -> bool:
    """Whether any session waits for a lock of this kind."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND locktype {kind})")
        return bool(cursor.fetchone()[0])
